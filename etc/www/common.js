/* SPDX-License-Identifier: Apache-2.0 */
/* Both pages: elements, what the browser keeps, requests with the API key, errors, server-sent events, JSON with whole 64-bit numbers. */
"use strict";

const $ = (id) => document.getElementById(id);

/* el("p", { className: "x", "aria-label": "y", onclick: f }, "text", child): text is never read as HTML. */
function el(tag, props, ...kids) {
	const node = document.createElement(tag);
	for (const [name, value] of Object.entries(props || {})) {
		if (value === undefined || value === null || value === false) {
			continue;
		}
		if (name.startsWith("on")) {
			node.addEventListener(name.slice(2), value);
		} else if (name in node && !name.includes("-") && name !== "list" && name !== "role") {
			node[name] = value;
		} else {
			node.setAttribute(name, value === true ? "" : value);
		}
	}
	node.append(...kids.flat().filter((kid) => kid !== null && kid !== undefined));
	return node;
}

/* Where this saker is: its pages may be a part of a site, with or without the slash at the end. */
const BASE = location.pathname.replace(document.body.dataset.page === "docs" ? /\/docs$/ : /\/+$/, "") + "/";

/* ---- what the browser keeps ---------------------------------------------------------------------------------- */

/* A browser may refuse to keep anything: then it is kept as long as the page is open. */
const kept = new Map();
function keep(name, value, session) {
	const key = `saker ${BASE} ${name}`, text = value === null ? null : JSON.stringify(value);
	kept.set(key, text);
	try {
		const store = session ? sessionStorage : localStorage;
		if (text === null) {
			localStorage.removeItem(key);
			sessionStorage.removeItem(key);
		} else {
			store.setItem(key, text);
		}
		return true;
	} catch {
		return false;
	}
}
function recall(name, otherwise) {
	const key = `saker ${BASE} ${name}`;
	let text = null;
	try {
		text = sessionStorage.getItem(key) ?? localStorage.getItem(key);
	} catch {
		text = kept.get(key) ?? null;
	}
	try {
		return text === null ? otherwise : JSON.parse(text);
	} catch {
		return otherwise;
	}
}

/* ---- JSON whose integers may have 64 bits: they are BigInt here ---------------------------------------------- */

const literals = {
	json: { true: "true", false: "false", null: "null" },
	python: { true: "True", false: "False", null: "None" },
};
/* indent: "" writes one line. Strings in ASCII where the reader is not certain. */
function write(value, language, indent, at) {
	const words = literals[language || "json"], pad = at || "";
	if (value === null || typeof value === "boolean") {
		return words[value];
	}
	if (typeof value === "bigint") {
		return String(value);
	}
	if (typeof value !== "object") {
		return JSON.stringify(value);
	}
	const list = Array.isArray(value);
	const parts = list
		? value.map((v) => write(v, language, indent, pad + (indent || "")))
		: Object.entries(value).filter(([, v]) => v !== undefined)
			.map(([k, v]) =>
				JSON.stringify(k) + (indent ? ": " : ":") +
				write(v, language, indent, pad + (indent || ""))
			);
	const [open, close] = list ? "[]" : "{}";
	if (!parts.length || !indent) {
		return open + parts.join(",") + close;
	}
	return `${open}\n${pad}${indent}${parts.join(`,\n${pad}${indent}`)}\n${pad}${close}`;
}

/* ---- requests ------------------------------------------------------------------------------------------------ */

let apiKey = recall("key", "");

/* What went wrong, for people: status (0: no answer came), type, text, seconds to wait. */
class Failure extends Error {
	constructor(status, type, text, wait, id) {
		super(text);
		Object.assign(this, { status, type, wait, id });
	}
}

async function failureOf(response) {
	let text = await response.text().catch(() => ""), type = "";
	try {
		const said = JSON.parse(text);
		const inner = typeof said.error === "object" && said.error ? said.error : null;
		text = inner ? inner.message : said.error ?? said.Message ?? said.status ?? text;
		type = inner ? inner.type : said.error_type ?? "";
	} catch { /* text/plain, or nothing at all */ }
	const wait = Number(response.headers.get("retry-after"));
	return new Failure(
		response.status,
		String(type || ""),
		String(text || response.statusText || "no reason was given").slice(0, 2000),
		wait > 0 ? wait : 0,
		response.headers.get("x-request-id") || "",
	);
}

/* The response, whatever its status. Failure 0: nobody answers. An abort is thrown as it is. */
async function send(method, path, body, options) {
	const headers = { accept: "application/json", ...options?.headers };
	if (apiKey) {
		headers["x-api-key"] = apiKey;
	}
	if (body !== undefined) {
		headers["content-type"] = "application/json";
	}
	try {
		return await fetch(BASE + path.replace(/^\//, ""), {
			method,
			headers,
			body,
			signal: options?.signal,
			cache: "no-store",
			credentials: "same-origin",
		});
	} catch (error) {
		if (options?.signal?.aborted) {
			throw error;
		}
		throw new Failure(0, "lost", "The server does not answer.", 0, "");
	}
}
async function ask(method, path, body, options) {
	const response = await send(method, path, body, options);
	if (response.ok) {
		return response;
	}
	throw await failureOf(response);
}

/* The data of each server-sent event, as text. */
async function* events(response) {
	const reader = response.body.getReader(), decoder = new TextDecoder();
	let rest = "", data = [];
	for (;;) {
		const { value, done } = await reader.read();
		if (done) {
			return;
		}
		const lines = (rest + decoder.decode(value, { stream: true })).split(/\r?\n/);
		rest = lines.pop();
		for (const line of lines) {
			if (line.startsWith("data:")) {
				data.push(line.slice(line[5] === " " ? 6 : 5));
			} else if (line === "" && data.length) {
				yield data.join("\n");
				data = [];
			}
		}
	}
}

/* The schema that a $ref names, or the schema itself. */
function resolve(spec, schema) {
	const name = schema?.$ref?.match(/^#\/components\/schemas\/(.+)$/)?.[1];
	return name ? spec.components.schemas[name] ?? {} : schema ?? {};
}
const typesOf = (schema) =>
	[schema.type ?? schema.anyOf?.map((s) => s.type ?? "object") ?? []].flat().filter((t) => t !== "null");

/* "0 < x ≤ 1" */
function rangeOf(schema) {
	const low = schema.exclusiveMinimum ?? schema.minimum ?? schema.minLength ?? schema.minItems;
	const high = schema.exclusiveMaximum ?? schema.maximum ?? schema.maxLength ?? schema.maxItems;
	/* Parsing took the last digits of 2^64 - 1; and the widest range of a type is no news. */
	const wide = high === undefined || high >= 2147483647 || Math.abs(high) > 1e18;
	const left = low === undefined || low <= -2147483648
		? ""
		: `${low} ${schema.exclusiveMinimum !== undefined ? "<" : "≤"} `;
	const right = wide ? "" : ` ${schema.exclusiveMaximum !== undefined ? "<" : "≤"} ${high}`;
	const what = schema.minLength !== undefined || schema.maxLength !== undefined
		? "length"
		: schema.minItems !== undefined || schema.maxItems !== undefined
		? "entries"
		: "x";
	return left || right ? left + what + right : "";
}

/* ---- what both pages show ------------------------------------------------------------------------------------ */

/* For ears: told once, seen by nobody. */
function say(text) {
	$("say").textContent = "";
	requestAnimationFrame(() => {
		$("say").textContent = text;
	});
}

function themeButton() {
	const themes = { auto: "as the system", light: "light", dark: "dark" };
	const button = $("theme");
	const show = (theme) => {
		document.documentElement.dataset.theme = theme;
		button.textContent = `Theme: ${theme}`;
		button.setAttribute("aria-label", `Theme: ${themes[theme]}. Change`);
	};
	show(recall("theme", "auto"));
	button.addEventListener("click", () => {
		const names = Object.keys(themes), now = document.documentElement.dataset.theme;
		const next = names[(names.indexOf(now) + 1) % names.length];
		keep("theme", next);
		show(next);
	});
}

/* The dialog that asks for the API key; `after` runs when there is a new one. */
function keyDialog(after) {
	const dialog = $("key-dialog");
	const show = () => {
		$("key").textContent = apiKey ? "API key: set" : "API key";
	};
	show();
	$("key").addEventListener("click", () => openKey(""));
	$("key-form").addEventListener("submit", (event) => {
		event.preventDefault();
		apiKey = $("key-input").value.trim();
		keep("key", null);
		if (apiKey) {
			keep("key", apiKey, !$("key-stay").checked);
		}
		$("key-input").value = "";
		dialog.close();
		show();
		after();
	});
	$("key-close").addEventListener("click", () => dialog.close());
}
function openKey(why) {
	$("key-why").textContent = why;
	$("key-why").hidden = !why;
	if (!$("key-dialog").open) {
		$("key-dialog").showModal();
	}
	$("key-input").focus();
}

async function copy(text, button) {
	let done = false;
	try {
		await navigator.clipboard.writeText(text);
		done = true;
	} catch {
		/* Only pages that came encrypted, or from this machine, may write there. */
		const box = el("textarea", { value: text, "aria-hidden": "true", className: "vh" });
		button.after(box);
		box.select();
		done = document.execCommand("copy");
		box.remove();
		button.focus();
	}
	say(done ? "Copied" : "The browser does not allow copying");
	const before = button.dataset.label ??= button.textContent;
	button.textContent = done ? "Copied" : "Not allowed";
	setTimeout(() => {
		button.textContent = before;
	}, 1500);
}

/* For a shell: nothing between these quotes means anything but itself. */
const shell = (text) => `'${text.replaceAll("'", "'\\''")}'`;
