/* SPDX-License-Identifier: Apache-2.0 */
/* One answer: its stream, its tokens on the screen, how it ended, and what can be done with it then. */

const percent = (p) =>
	p >= 0.9995
		? "100 %"
		: p >= 0.1
		? `${(p * 100).toFixed(1)} %`
		: p >= 0.0001
		? `${(p * 100).toPrecision(2)} %`
		: "< 0.01 %";
const chance = (token) => typeof token.logprob === "number" ? Math.exp(token.logprob) : null;
/* A token for the eye: blanks and line ends are seen. */
const visible = (text) => text === "" ? "∅" : text.replaceAll("\n", "⏎").replaceAll("\t", "⇥").replace(/^ | $/g, "␣");

/* ---- the two interfaces, as one kind of token ---------------------------------------------------------------- */

/* What an event of /generate_stream adds: { tokens, reason, seed }. An error in it is thrown. */
function readNative(text) {
	const event = JSON.parse(text);
	if (event.error !== undefined) {
		throw new Failure(200, event.error_type ?? "", event.error, 0, "");
	}
	const seed = text.match(/"seed":(\d+)/)?.[1];
	return {
		tokens: event.token ? [{ ...event.token, top: event.top_tokens ?? [] }] : [],
		reason: event.details?.finish_reason ?? (typeof event.generated_text === "string" ? "end" : null),
		seed,
		promptTokens: event.details?.input_length,
	};
}
/* The same of a chunk of /v1/chat/completions. */
function readChat(text) {
	if (text === "[DONE]") {
		return { tokens: [], done: true };
	}
	const chunk = JSON.parse(text);
	if (chunk.error !== undefined) {
		const inner = typeof chunk.error === "object" && chunk.error
			? chunk.error
			: { message: chunk.error, type: chunk.error_type };
		throw new Failure(200, String(inner.type ?? ""), String(inner.message), 0, "");
	}
	const choice = chunk.choices?.[0], words = choice?.delta?.content ?? "";
	const said = choice?.logprobs?.content ?? [];
	/* The delta is the truth about the text; the log-probabilities only where they say the same. */
	const whole = said.map((t) => t.token).join("") === words && said.length > 0;
	const tokens = whole
		? said.map((t) => ({
			text: t.token,
			logprob: t.logprob,
			top: (t.top_logprobs ?? []).map((o) => ({ text: o.token, logprob: o.logprob })),
		}))
		: words
		? [{
			text: words,
			logprob: said[0]?.logprob,
			top: (said[0]?.top_logprobs ?? []).map((o) => ({ text: o.token, logprob: o.logprob })),
		}]
		: [];
	return { tokens, reason: choice?.finish_reason ?? null, promptTokens: chunk.usage?.prompt_tokens };
}

/* ---- a row of tokens with what is known of each -------------------------------------------------------------- */

const tip = $("tip");

function tipFor(token) {
	const p = chance(token), others = token.top ?? [];
	const head = el(
		"div",
		{},
		el("b", { className: "mono" }, visible(token.text)),
		p === null ? "" : ` ${percent(p)}`,
		token.id === undefined ? "" : el("span", { className: "small" }, ` id ${token.id}`),
	);
	const rows = others.map((o) =>
		el(
			"tr",
			{
				className: o.id !== undefined
					? (o.id === token.id ? "chosen" : "")
					: o.text === token.text
					? "chosen"
					: "",
			},
			el("td", { className: "mono" }, visible(o.text)),
			el("td", {}, percent(Math.exp(o.logprob))),
		)
	);
	return [head, rows.length ? el("table", {}, el("tbody", {}, rows)) : ""];
}

/* Shows tokens; hovering, or the arrows when it has the focus, tells of each. */
class TokenText {
	constructor(label) {
		this.tokens = [];
		this.waiting = [];
		this.here = -1;
		this.node = el("div", {
			className: "text",
			tabIndex: 0,
			role: "group",
			"aria-label": `${label}. Left and right arrows walk through its tokens`,
		});
		this.node.addEventListener("pointerover", (event) => this.point(event.target));
		this.node.addEventListener("pointerdown", (event) => this.point(event.target));
		this.node.addEventListener("pointerleave", () => this.leave());
		this.node.addEventListener("blur", () => this.leave());
		this.node.addEventListener("keydown", (event) => this.walk(event));
		this.node.addEventListener("scroll", () => {
			tip.hidden = true;
		});
	}

	/* Put them on the screen with the next frame, however many come. */
	add(tokens) {
		this.tokens.push(...tokens);
		if (!this.waiting.length) {
			requestAnimationFrame(() => this.flush());
		}
		this.waiting.push(...tokens);
	}
	flush() {
		const box = this.node, low = box.scrollHeight - box.scrollTop - box.clientHeight < 40;
		let i = this.tokens.length - this.waiting.length;
		box.append(
			...this.waiting.splice(0).map((token) => {
				const p = chance(token),
					rare = p === null || p >= 0.9
						? ""
						: p >= 0.5
						? " p1"
						: p >= 0.2
						? " p2"
						: p >= 0.05
						? " p3"
						: " p4";
				return el("span", {
					className: `t${rare}${token.special ? " special" : ""}`,
					"data-i": String(i++),
				}, token.text);
			}),
		);
		if (low) {
			box.scrollTop = box.scrollHeight;
		}
	}

	point(target) {
		const i = Number(target.dataset?.i ?? -1);
		if (i >= 0) {
			this.show(i, target);
		}
	}
	show(i, target) {
		this.node.querySelector(".here")?.classList.remove("here");
		this.here = i;
		target.classList.add("here");
		tip.replaceChildren(...tipFor(this.tokens[i]));
		tip.hidden = false;
		const at = target.getClientRects()[0] ?? target.getBoundingClientRect(),
			own = tip.getBoundingClientRect();
		tip.style.left = `${Math.max(8, Math.min(at.left, innerWidth - own.width - 8))}px`;
		tip.style.top = `${
			at.bottom + own.height + 8 < innerHeight ? at.bottom + 4 : Math.max(8, at.top - own.height - 4)
		}px`;
	}
	leave() {
		tip.hidden = true;
		this.node.querySelector(".here")?.classList.remove("here");
	}
	walk(event) {
		const step = { ArrowRight: 1, ArrowLeft: -1, Home: -Infinity, End: Infinity }[event.key];
		if (!step || event.ctrlKey || event.altKey || event.metaKey || !this.tokens.length) {
			return;
		}
		event.preventDefault();
		this.flush();
		const i = Math.max(0, Math.min(this.tokens.length - 1, this.here + step));
		const span = this.node.querySelector(`[data-i="${i}"]`), token = this.tokens[i], p = chance(token);
		span.scrollIntoView({ block: "nearest" });
		this.show(i, span);
		say([
			visible(token.text),
			p === null ? "" : percent(p),
			...(token.top ?? []).slice(0, 3).map((o) =>
				`${visible(o.text)} ${percent(Math.exp(o.logprob))}`
			),
		].join(", "));
	}

	/* The same as a table, made when somebody opens it. */
	table() {
		const body = el("tbody");
		const box = el(
			"details",
			{},
			el("summary", {}, "Tokens as a table"),
			el(
				"div",
				{ className: "wide" },
				el(
					"table",
					{},
					el(
						"thead",
						{},
						el(
							"tr",
							{},
							["Token", "Probability", "Likeliest here"].map((t) =>
								el("th", { scope: "col" }, t)
							),
						),
					),
					body,
				),
			),
		);
		box.addEventListener("toggle", () => {
			body.replaceChildren(
				...(box.open ? this.tokens : []).map((t) =>
					el(
						"tr",
						{},
						el("td", { className: "mono" }, visible(t.text)),
						el("td", {}, chance(t) === null ? "" : percent(chance(t))),
						el(
							"td",
							{ className: "mono" },
							(t.top ?? []).map((o) =>
								`${visible(o.text)} ${percent(Math.exp(o.logprob))}`
							).join(", "),
						),
					)
				),
			);
		});
		return box;
	}
}

/* ---- one answer ---------------------------------------------------------------------------------------------- */

const reasons = {
	length: "as long as asked for",
	eos_token: "the model ended",
	stop_sequence: "a stop string",
	stop: "the model ended",
	end: "ended",
	tool_calls: "a tool was called",
	content_filter: "filtered",
};

class Answer {
	/*
	 * name: "Answer 1". request: { path, body, read, before }: before is text that is shown and not counted.
	 * on: { ended(answer), again(answer), more(answer) | null }
	 */
	constructor(name, request, on) {
		Object.assign(this, {
			name,
			request,
			on,
			state: "new",
			reason: null,
			seed: null,
			error: null,
			first: 0,
			begun: 0,
			last: 0,
			counted: 0,
		});
		this.text = new TokenText(`Text of ${name}`);
		if (request.before) {
			this.text.node.append(el("span", { className: "before" }, request.before));
		}
		this.head = el("h2", {}, name);
		this.stat = el("span", { className: "small" });
		this.foot = el("div");
		this.node = el(
			"article",
			{ className: "card answer", "aria-label": name },
			el("header", {}, this.head, this.stat),
			this.text.node,
			this.foot,
		);
	}

	/* What the model said: special tokens are not part of it. */
	get words() {
		return this.text.tokens.filter((t) => !t.special).map((t) => t.text).join("");
	}
	get running() {
		return this.state === "running";
	}

	/* Ask, and read to the end. Never throws. */
	async run(request) {
		this.request = request ?? this.request;
		Object.assign(this, {
			state: "running",
			error: null,
			begun: performance.now(),
			first: 0,
			counted: 0,
			silentFrom: performance.now(),
		});
		clearInterval(this.countdown);
		this.abort = new AbortController();
		this.node.setAttribute("aria-busy", "true");
		this.foot.replaceChildren();
		this.clock = setInterval(() => this.measure(), 250);
		try {
			await this.read(this.request);
			/* A stream that ends without its last event was cut. */
			this.state = this.reason ? "done" : "lost";
		} catch (error) {
			this.state = this.abort.signal.aborted
				? "stopped"
				: error instanceof Failure && error.status
				? "failed"
				: "lost";
			this.error = error instanceof Failure ? error : null;
		}
		clearInterval(this.clock);
		this.text.flush();
		this.node.removeAttribute("aria-busy");
		this.measure();
		this.close();
		this.on.ended(this);
	}

	async read(request) {
		this.reason = null;
		const stream = request.read !== null;
		const response = await ask("POST", request.path, write(request.body), {
			signal: this.abort.signal,
			headers: stream ? { accept: "text/event-stream" } : {},
		});
		if (!stream) {
			this.whole(await response.text());
			return;
		}
		if (!(response.headers.get("content-type") ?? "").startsWith("text/event-stream")) {
			throw new Failure(response.status, "", "The answer is no stream of events.", 0, "");
		}
		for await (const data of events(response)) {
			const got = request.read(data);
			this.silentFrom = performance.now();
			if (got.tokens.length) {
				this.first ||= performance.now();
				this.last = performance.now();
				this.counted += got.tokens.length;
				this.text.add(got.tokens);
			}
			this.reason = got.reason ?? this.reason;
			this.seed = got.seed ?? this.seed;
			this.promptTokens = got.promptTokens ?? this.promptTokens;
		}
	}

	/* POST /generate: best_of cannot be streamed. */
	whole(text) {
		const said = JSON.parse(text), details = said.details ?? {};
		this.first = this.last = performance.now();
		const tokens = (details.tokens ?? [{ text: said.generated_text }]).map((t, i) => ({
			...t,
			top: details.top_tokens?.[i] ?? [],
		}));
		this.text.add(tokens);
		this.counted = tokens.length;
		this.reason = details.finish_reason ?? "end";
		this.seed = text.match(/"seed":(\d+)/)?.[1] ?? null;
		this.others = details.best_of_sequences ?? [];
	}

	stop() {
		this.abort?.abort();
	}

	measure() {
		const seconds = (this.last - this.first) / 1000,
			wait = this.first ? (this.first - this.begun) / 1000 : 0;
		const silent = (performance.now() - this.silentFrom) / 1000;
		this.stat.textContent = [
			this.counted ? `${this.text.tokens.length} tokens` : this.running ? "waiting" : "",
			this.counted > 1 && seconds > 0 ? `${((this.counted - 1) / seconds).toFixed(1)}/s` : "",
			wait ? `first after ${wait.toFixed(2)} s` : "",
			this.running && silent > 3 ? `nothing for ${Math.round(silent)} s` : "",
		].filter(Boolean).join(", ");
	}

	close() {
		const words = [], buttons = [];
		if (this.state === "done") {
			words.push(
				el(
					"p",
					{ className: "small" },
					`End: ${reasons[this.reason] ?? this.reason}`,
					this.promptTokens ? `; ${this.promptTokens} tokens of prompt` : "",
					this.seed ? `; seed ${this.seed}` : "",
				),
			);
		}
		if (this.state === "stopped") {
			words.push(el("p", { className: "small" }, "Stopped."));
		}
		if (this.state === "failed") {
			words.push(this.errorNote());
		}
		if (this.state === "lost") {
			words.push(
				el(
					"p",
					{ className: "note bad", role: "alert" },
					this.counted
						? `The connection was lost after ${this.text.tokens.length} tokens. `
						: "The server could not be reached. ",
					this.counted ? "What came is kept." : "",
				),
			);
		}
		if (this.on.more && this.words && this.state !== "failed") {
			buttons.push(
				el("button", {
					type: "button",
					className: "more",
					onclick: () => this.on.more(this),
				}, "Continue"),
			);
		}
		if (this.state === "failed" || this.state === "lost") {
			buttons.push(
				el("button", {
					type: "button",
					className: "retry",
					onclick: () => this.on.again(this),
				}, "Try again"),
			);
		}
		if (this.words) {
			buttons.push(
				el("button", {
					type: "button",
					onclick: (event) => copy(this.words, event.currentTarget),
				}, "Copy"),
			);
		}
		this.foot.replaceChildren(
			...words,
			el("div", { className: "row" }, buttons),
			this.text.tokens.length ? this.text.table() : "",
		);
	}

	/* The status, the server's words, and how long it wants us to wait: the clock is not read out each second. */
	errorNote() {
		const e = this.error, left = el("span", { "aria-hidden": "true" });
		const until = performance.now() + e.wait * 1000;
		const tick = () => {
			const s = Math.ceil((until - performance.now()) / 1000);
			left.textContent = s > 0 ? ` ${s} s left` : " It may be tried again now.";
			if (s <= 0) {
				clearInterval(this.countdown);
			}
		};
		if (e.wait) {
			tick();
			this.countdown = setInterval(tick, 250);
		}
		if (e.status === 401) {
			openKey(e.message);
		}
		const title = {
			401: "Unauthorized",
			413: "Too large",
			422: "Not valid",
			429: "Too many requests",
			503: "Not available",
			504: "Too late",
		};
		return el(
			"div",
			{ className: "note bad" },
			el(
				"span",
				{ role: "alert" },
				el("b", {}, e.status === 200 ? "Error" : `${e.status} ${title[e.status] ?? "Error"}`),
				`: ${e.message.replace(/[.]?$/, ".")}`,
				e.wait ? ` The server asks to wait ${e.wait} s.` : "",
			),
			left,
			e.id ? el("small", {}, `request ${e.id}`) : "",
		);
	}
}
