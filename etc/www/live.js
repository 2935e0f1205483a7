/* SPDX-License-Identifier: Apache-2.0 */
/* The server from outside: loading, gone, back; what it is; its numbers as they change. */

/* ---- the server: loading, gone, back ------------------------------------------------------------------------- */

function banner(text, share) {
	$("banner").hidden = !text;
	if ($("banner-text").textContent !== text) {
		$("banner-text").textContent = text;
	}
	$("banner-bar").hidden = share === undefined;
	if (share !== undefined) {
		$("banner-bar").value = share;
	}
}

let watching = null;
/* Ask until the server is there and ready; then everything is read anew. */
function watchServer() {
	if (watching) {
		return;
	}
	reached = false;
	let pause = 500;
	const look = async () => {
		watching = null;
		try {
			const said = await (await send("GET", "/readyz")).json();
			if (said.status === "ready") {
				banner("");
				say("The server is back");
				reached = true;
				begin();
				return;
			}
			const share = said.total ? said.done / said.total : undefined;
			banner(
				said.status === "loading"
					? `The model is being loaded: ${said.phase ?? ""}${
						said.total ? `, ${bytes(said.done)} of ${bytes(said.total)}` : ""
					}`
					: `The server is ${said.status}.`,
				share,
			);
			pause = 500;
		} catch {
			banner("The server cannot be reached. This page tries again.");
			pause = Math.min(pause * 1.5, 5000);
		}
		watching = setTimeout(look, pause);
	};
	watching = setTimeout(look, 0);
}

async function begin() {
	try {
		const [document_, card] = await Promise.all([ask("GET", "/openapi.json"), ask("GET", "/info")]);
		spec = await document_.json();
		info = await card.json();
	} catch (error) {
		tell(error);
		return;
	}
	countSoon();
	$("model").textContent = `${info.model_name || info.model_id} on ${
		[info.model_device_type, info.device].filter(Boolean).join(", ") || "this server"
	}`;
	parameters.raw ??= new Parameters(resolve(spec, { $ref: "#/components/schemas/GenerateParameters" }), "raw");
	const chat = has("/v1/chat/completions");
	if (chat) {
		parameters.chat ??= new Parameters(
			resolve(
				spec,
				spec.paths["/v1/chat/completions"].post.requestBody.content["application/json"].schema,
			),
			"chat",
		);
	}
	$("tab-chat").hidden = !chat;
	$("tab-mark").hidden = !has("/watermark/detect");
	$("no-chat").hidden = chat;
	$("no-chat").textContent =
		"This server has no chat interface: the prompt goes to the model as it is, without a template.";
	showCard();
	const wanted = recall("tab", chat ? "chat" : "raw"), box = $("parameters");
	if (!box.childElementCount || $(`tab-${mode}`).hidden) {
		choose($(`tab-${wanted}`)?.hidden === false ? wanted : chat ? "chat" : "raw");
	}
	buttons();
	live();
}

function showCard() {
	const words = (name) => name.replaceAll("_", " ").replace(/^max /, "most ");
	const value = (name, v) =>
		v === null
			? "–"
			: /_bytes$|^payload_limit$/.test(name)
			? bytes(v)
			: typeof v === "number"
			? v.toLocaleString("en")
			: String(v);
	$("card").replaceChildren(
		el(
			"table",
			{},
			el(
				"tbody",
				{},
				Object.entries(info).filter(([, v]) => v !== null && v !== "").map(([name, v]) =>
					el(
						"tr",
						{},
						el("th", { scope: "row" }, words(name)),
						el("td", {}, value(name, v)),
					)
				),
			),
		),
	);
}

/* ---- live numbers -------------------------------------------------------------------------------------------- */

/* All of them are a hundred kilobytes. */
const watched = [
	"saker_generated_tokens_total",
	"saker_kv_blocks",
	"saker_kv_blocks_used",
	"tgi_batch_current_size",
	"tgi_queue_size",
];
const rates = [];
let counted = null, liveTimer = null;

function number(text, name) {
	const found = text.match(new RegExp(`^${name} ([0-9.eE+-]+)$`, "m"));
	return found ? Number(found[1]) : 0;
}

async function live() {
	clearTimeout(liveTimer);
	if (document.hidden || !reached) {
		return;
	}
	try {
		const text = await (await ask(
			"GET",
			`/metrics?${watched.map((name) => `name=${name}`).join("&")}`,
			undefined,
			{ headers: { accept: "text/plain" } },
		)).text();
		const now = performance.now(),
			tokens = number(text, "saker_generated_tokens_total"),
			blocks = number(text, "saker_kv_blocks");
		if (counted && tokens >= counted.tokens && now > counted.now) {
			rates.push((tokens - counted.tokens) / (now - counted.now) * 1000);
			rates.splice(0, rates.length - 120);
		}
		counted = { tokens, now };
		const rate = rates.at(-1) ?? 0, most = Math.max(1, ...rates);
		$("live-rate").textContent = rate >= 100 ? rate.toFixed(0) : rate.toFixed(1);
		$("live-batch").textContent = number(text, "tgi_batch_current_size");
		$("live-queue").textContent = number(text, "tgi_queue_size");
		$("live-kv").textContent = blocks
			? `${(number(text, "saker_kv_blocks_used") / blocks * 100).toFixed(0)} %`
			: "–";
		$("live-line").firstElementChild.setAttribute(
			"points",
			rates.map((r, i) => `${i + 120 - rates.length},${(23 - r / most * 22).toFixed(1)}`).join(" "),
		);
	} catch (error) {
		if (!(error instanceof Failure) || error.status === 0) {
			watchServer();
			return;
		}
		for (const id of ["live-rate", "live-batch", "live-queue", "live-kv"]) {
			$(id).textContent = "–";
		}
	}
	liveTimer = setTimeout(live, answers.some((a) => a.running) ? 1000 : 2500);
}
