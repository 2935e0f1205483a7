/* SPDX-License-Identifier: Apache-2.0 */
/* The OpenAPI document of this server, for people: every path with its fields, answers and errors, and a form to try it. */

const SHOWN_MAX = 200000; /* characters of an answer on the screen */
let spec = null;

const refName = (schema) => schema?.$ref?.split("/").pop();

/* "Token[]", "string or null", as links where there is something behind them. */
function typeOf(schema) {
	if (!schema) {
		return [];
	}
	const name = refName(schema);
	if (name) {
		return [el("a", { href: `#schema-${name}` }, name)];
	}
	if (schema.anyOf) {
		return schema.anyOf.flatMap((s, i) => [...(i ? [" or "] : []), ...typeOf(s)]);
	}
	const types = [schema.type ?? "anything"].flat();
	if (types.includes("array")) {
		return ["list of ", ...typeOf(schema.items), ...(types.includes("null") ? [" or null"] : [])];
	}
	return [types.join(" or ") + (schema.format && schema.format !== "float" ? ` (${schema.format})` : "")];
}

function table(heads, rows) {
	return el(
		"div",
		{ className: "wide" },
		el(
			"table",
			{},
			el("thead", {}, el("tr", {}, heads.map((h) => el("th", { scope: "col" }, h)))),
			el("tbody", {}, rows),
		),
	);
}

function fieldsTable(schema) {
	const rows = Object.entries(schema.properties ?? {}).map(([name, field]) =>
		el(
			"tr",
			{},
			el("td", { className: "mono" }, name, schema.required?.includes(name) ? el("b", {}, " *") : ""),
			el("td", {}, typeOf(field)),
			el(
				"td",
				{},
				field.description ?? "",
				...[
					rangeOf(field),
					field.default !== undefined && field.default !== null
						? `default ${write(field.default)}`
						: "",
				].filter(Boolean).map((t) => el("small", {}, t)),
			),
		)
	);
	return rows.length ? table(["Name", "Type", "Meaning"], rows) : el("p", {}, typeOf(schema));
}

/* ---- trying -------------------------------------------------------------------------------------------------- */

/* What a body may look like: what is required, and little of it. */
function example(schema) {
	const body = {};
	const whole = resolve(spec, schema);
	for (const [name, field] of Object.entries(whole.properties ?? {})) {
		if (whole.required?.includes(name)) {
			body[name] = name === "messages"
				? [{ role: "user", content: "Say hello." }]
				: field.type === "array"
				? []
				: "Once upon a time";
		}
	}
	if (!Object.keys(body).length && whole.properties?.inputs) {
		body.inputs = "Once upon a time there was a text.";
	}
	if (whole.properties?.parameters) {
		body.parameters = { max_new_tokens: 20, details: true };
	}
	if (whole.properties?.max_tokens) {
		body.max_tokens = 20;
	}
	return write(body, "json", "  ");
}

/* One form, made when it is opened. */
function tryForm(id, method, path, operation) {
	const inputs = (operation.parameters ?? []).map((p) => ({
		p,
		input: el("input", {
			id: `${id}-${p.name}`,
			required: Boolean(p.required),
			autocomplete: "off",
			spellcheck: false,
		}),
	}));
	const schema = operation.requestBody?.content?.["application/json"]?.schema;
	const body = schema
		? el("textarea", { id: `${id}-body`, rows: 8, spellcheck: false, value: example(schema) })
		: null;
	const go = el("button", { type: "submit", className: "first" }, "Send"),
		stop = el("button", { type: "button", disabled: true }, "Stop");
	const line = el("p", { role: "status" }),
		out = el("pre", { tabIndex: 0, hidden: true, "aria-label": "The answer" });
	let abort = null;
	const request = () => ({
		path: path.replace(
			/\{(\w+)\}/g,
			(_, name) => encodeURIComponent(inputs.find((i) => i.p.name === name).input.value),
		),
		headers: Object.fromEntries(
			inputs.filter((i) => i.p.in === "header" && i.input.value).map(
				(i) => [i.p.name, i.input.value],
			),
		),
	});
	const run = async (event) => {
		event.preventDefault();
		const { path: to, headers } = request(), begun = performance.now();
		abort = new AbortController();
		go.disabled = true;
		stop.disabled = false;
		out.hidden = false;
		out.textContent = "";
		line.textContent = "Asking";
		try {
			const response = await send(method.toUpperCase(), to, body?.value, {
				headers: { accept: "*/*", ...headers },
				signal: abort.signal,
			});
			line.textContent = `${response.status} ${response.statusText}`;
			await show(response, out);
			line.textContent =
				`${response.status} ${response.statusText}, ${
					((performance.now() - begun) / 1000).toFixed(2)
				} s` +
				(response.headers.get("retry-after")
					? `, Retry-After: ${response.headers.get("retry-after")} s`
					: "");
			if (response.status === 401) {
				openKey("This path wants an API key.");
			}
		} catch (error) {
			line.textContent = abort.signal.aborted
				? "Stopped."
				: error instanceof Failure
				? error.message
				: "The connection was lost.";
		}
		go.disabled = false;
		stop.disabled = true;
	};
	stop.addEventListener("click", () => abort?.abort());
	const curl = () => {
		const { path: to, headers } = request(),
			all = { ...(body ? { "Content-Type": "application/json" } : {}), ...headers };
		return `curl ${method === "get" ? "" : `-X ${method.toUpperCase()} `}${
			shell(location.origin + BASE + to.slice(1))
		}${Object.entries(all).map(([k, v]) => ` \\\n  -H ${shell(`${k}: ${v}`)}`).join("")}` +
			`${apiKey ? ' \\\n  -H "x-api-key: $SAKER_API_KEY"' : ""}${
				body ? ` \\\n  -d ${shell(body.value)}` : ""
			}\n`;
	};
	const copyButton = el("button", { type: "button", onclick: () => copy(curl(), copyButton) }, "Copy as curl");
	return el(
		"form",
		{ className: "try", onsubmit: run },
		inputs.map(({ p, input }) =>
			el(
				"div",
				{},
				el("label", { htmlFor: input.id }, p.name),
				input,
				el("small", {}, p.description ?? ""),
			)
		),
		body ? [el("label", { htmlFor: body.id }, "Body"), body] : [],
		el("div", { className: "row" }, go, stop, copyButton),
		line,
		out,
	);
}

/* The headers, then the body as it comes; JSON in lines. */
async function show(response, out) {
	const head = [...response.headers].map(([k, v]) => `${k}: ${v}`).join("\n") + "\n\n";
	const reader = response.body?.getReader(), decoder = new TextDecoder();
	let text = "";
	out.textContent = head;
	for (let part = await reader?.read(); part && !part.done; part = await reader.read()) {
		text += decoder.decode(part.value, { stream: true });
		if (text.length > SHOWN_MAX) {
			await reader.cancel();
			text = `${text.slice(0, SHOWN_MAX)}\n... and more`;
			break;
		}
		out.textContent = head + text;
	}
	try {
		text = JSON.stringify(JSON.parse(text), null, 2);
	} catch { /* not JSON */ }
	out.textContent = head + text;
}

/* All fields of a body, those of `parameters` below it; made when they are opened. */
function fieldsBox(schema) {
	const box = el("details", {}, el("summary", {}, "Fields"));
	box.addEventListener("toggle", () => {
		if (box.childElementCount > 1) {
			return;
		}
		const whole = resolve(spec, schema), inner = whole.properties?.parameters?.anyOf?.find((s) => s.$ref);
		box.append(
			fieldsTable(whole),
			...(inner ? [el("h4", {}, "parameters"), fieldsTable(resolve(spec, inner))] : []),
		);
	});
	return box;
}

/* ---- the page ------------------------------------------------------------------------------------------------ */

function responses(operation) {
	return table(
		["Status", "What", "Body"],
		Object.entries(operation.responses).map(([status, r]) =>
			el(
				"tr",
				{},
				el("td", { className: "mono" }, status),
				el(
					"td",
					{},
					r.description,
					...Object.keys(r.headers ?? {}).map((h) => el("small", {}, `header ${h}`)),
				),
				el(
					"td",
					{},
					Object.entries(r.content ?? {}).map(([type, c]) =>
						el(
							"div",
							{},
							el("small", {}, type),
							typeOf(c.schema.properties?.data?.contentSchema ?? c.schema),
						)
					),
				),
			)
		),
	);
}

function operationCard(method, path, operation) {
	const id = operation.operationId, schema = operation.requestBody?.content?.["application/json"]?.schema;
	const trying = el("details", {}, el("summary", {}, "Try it"));
	trying.addEventListener("toggle", () => {
		trying.childElementCount === 1 && trying.append(tryForm(id, method, path, operation));
	});
	return el(
		"section",
		{ className: "card operation", id, "aria-labelledby": `${id}-title` },
		el(
			"h2",
			{ id: `${id}-title` },
			el("span", { className: `method ${method}` }, method.toUpperCase()),
			path,
		),
		el("p", {}, operation.summary, operation.security ? el("small", {}, "wants an API key") : ""),
		(operation.parameters ?? []).length
			? [
				el("h3", {}, "In the path and in headers"),
				table(
					["Name", "Where", "Meaning"],
					operation.parameters.map((p) =>
						el(
							"tr",
							{},
							el(
								"td",
								{ className: "mono" },
								p.name,
								p.required ? el("b", {}, " *") : "",
							),
							el("td", {}, p.in),
							el("td", {}, p.description ?? ""),
						)
					),
				),
			]
			: [],
		schema ? [el("h3", {}, "Body: ", typeOf(schema)), fieldsBox(schema)] : [],
		el("h3", {}, "Answers"),
		responses(operation),
		trying,
	);
}

async function begin() {
	try {
		spec = await (await ask("GET", "/openapi.json")).json();
	} catch (error) {
		$("trouble").hidden = false;
		$("trouble").textContent = error instanceof Failure ? error.message : "The description cannot be read.";
		if (error.status === 401) {
			openKey(error.message);
		} else {
			setTimeout(begin, 2000);
		}
		return;
	}
	$("trouble").hidden = true;
	$("about").textContent = `version ${spec.info.version}; OpenAPI ${spec.openapi}. ${
		spec.info.description ?? ""
	}`;
	const all = Object.entries(spec.paths).flatMap(([path, item]) =>
		Object.entries(item).map(([method, operation]) => ({ path, method, operation }))
	);
	$("list").replaceChildren(
		el(
			"ul",
			{},
			all.map((o) =>
				el(
					"li",
					{},
					el(
						"a",
						{ href: `#${o.operation.operationId}` },
						el("span", { className: `method ${o.method}` }, o.method.toUpperCase()),
						o.path,
					),
				)
			),
		),
	);
	$("operations").replaceChildren(...all.map((o) => operationCard(o.method, o.path, o.operation)));
	$("schemas").replaceChildren(
		el("h2", {}, "Objects"),
		...Object.entries(spec.components.schemas).map(([name, schema]) =>
			el(
				"section",
				{ className: "card", id: `schema-${name}` },
				el("h3", {}, name),
				schema.enum
					? el("p", { className: "mono" }, schema.enum.join(", "))
					: fieldsTable(schema),
			)
		),
	);
	/* The place that the address names is there only now. */
	if (location.hash) {
		document.getElementById(decodeURIComponent(location.hash.slice(1)))?.scrollIntoView();
	}
}

$("home-link").href = BASE;
$("spec-link").href = `${BASE}openapi.json`;
themeButton();
keyDialog(begin);
begin();
