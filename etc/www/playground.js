/* SPDX-License-Identifier: Apache-2.0 */
/* The playground: two ways to write, the watermark, the model, live numbers, history. */

const HISTORY_MAX = 50, HISTORY_BYTES = 1000000;

let spec = null, info = null, mode = "raw", answers = [], last = null, reached = true;
const parameters = {}; /* "raw", "chat": Parameters */
let messages = []; /* of the conversation, without the turn whose answers are on the screen */

const has = (path) => Boolean(spec?.paths?.[path]);
const form = () => parameters[mode];
const bytes = (n) => n >= 2 ** 30 ? `${(n / 2 ** 30).toFixed(1)} GiB` : `${(n / 2 ** 20).toFixed(1)} MiB`;

/* ---- tabs ---------------------------------------------------------------------------------------------------- */

const tabs = ["chat", "raw", "mark", "card"];

function choose(name) {
	for (const tab of tabs) {
		$(`tab-${tab}`).setAttribute("aria-selected", String(tab === name));
		$(`tab-${tab}`).tabIndex = tab === name ? 0 : -1;
	}
	const write = name === "chat" || name === "raw";
	$("panel-write").hidden = !write;
	$("panel-mark").hidden = name !== "mark";
	$("panel-card").hidden = name !== "card";
	if (!write) {
		return;
	}
	if (mode !== name && answers.length) {
		clearAnswers();
	}
	mode = name;
	$("panel-write").setAttribute("aria-labelledby", `tab-${name}`);
	$("talk").hidden = name !== "chat";
	/* A conversation grows upwards from where one writes; a prompt stands before what follows it. */
	$("answers-box")[name === "chat" ? "after" : "before"]($("write"));
	$("undo").hidden = name !== "chat";
	$("prompt-label").textContent = name === "chat" ? "Message" : "Prompt";
	$("go").textContent = name === "chat" ? "Send" : "Generate";
	$("prompt").rows = name === "chat" ? 3 : 6;
	form()?.show($("parameters"), hints);
	hints();
}

/* By hand: the next visit begins there. */
function pick(name) {
	keep("tab", name);
	choose(name);
}

function tabKeys(event) {
	const open = tabs.filter((t) => !$(`tab-${t}`).hidden),
		at = open.findIndex((t) => $(`tab-${t}`) === document.activeElement);
	const next = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: open.length - 1 }[event.key];
	if (next === undefined || at < 0) {
		return;
	}
	event.preventDefault();
	const name = open[(next + open.length) % open.length];
	pick(name);
	$(`tab-${name}`).focus();
}

/* ---- what is asked ------------------------------------------------------------------------------------------- */

function many() {
	return Number($("many").value);
}

/* Whether tokens are drawn, by the rules of the interface. */
function draws(values) {
	return mode === "chat" ? values.temperature !== 0 : Boolean(
		values.do_sample || values.top_k || values.top_p || values.typical_p ||
			(values.temperature ?? 1) !== 1,
	);
}

function hints() {
	const values = form()?.values() ?? {};
	$("many-hint").hidden = many() === 1 || draws(values);
	$("undo").disabled = !messages.length && !answers.length;
}

/* What this page wants to know of a conversation's answer, as far as this server has it. */
function chatExtras() {
	const known = parameters.chat.schema.properties ?? {};
	return {
		...(known.logprobs ? { logprobs: true } : {}),
		...(known.stream_options ? { stream_options: { include_usage: true } } : {}),
	};
}

/* The body for the i-th of the answers: each has its own seed. */
function bodyOf(turn, i) {
	const values = { ...turn.values };
	if (i && values.seed !== undefined) {
		const next = BigInt(values.seed) + BigInt(i);
		values.seed = next > BigInt(Number.MAX_SAFE_INTEGER) ? next : Number(next);
	}
	if (turn.mode === "chat") {
		return {
			model: info?.model_id ?? "saker",
			messages: turn.messages,
			...values,
			...chatExtras(),
			stream: true,
		};
	}
	return { inputs: turn.prompt, parameters: { ...values, details: true } };
}

function requestOf(turn, i) {
	if (turn.mode === "chat") {
		return { path: "/v1/chat/completions", body: bodyOf(turn, i), read: readChat };
	}
	const whole = (turn.values.best_of ?? 1) > 1;
	return {
		path: whole ? "/generate" : "/generate_stream",
		body: bodyOf(turn, i),
		read: whole ? null : readNative,
	};
}

/* The turn that the form describes now. */
function turnNow() {
	const prompt = $("prompt").value, values = form().values();
	if (mode === "raw") {
		return { mode, prompt, values };
	}
	const system = $("system").value.trim();
	return {
		mode,
		prompt,
		values,
		system,
		messages: [...(system ? [{ role: "system", content: system }] : []), ...messages, {
			role: "user",
			content: prompt,
		}],
	};
}

/* ---- generating ---------------------------------------------------------------------------------------------- */

function clearAnswers() {
	answers.forEach((a) => a.stop());
	answers = [];
	last = null;
	$("answers").replaceChildren();
	$("answers-box").hidden = true;
	buttons();
}

function buttons() {
	const running = answers.some((a) => a.running);
	$("stop").disabled = !running;
	$("go").disabled = running || !spec;
	$("again").disabled = running || !last;
	$("show-tokens").disabled = $("as-code").disabled = !spec;
	$("mark-last").disabled = running || !answers.some((a) => a.text.tokens.some((t) => t.id !== undefined));
	hints();
}

function start(turn) {
	answers.forEach((a) => a.stop());
	last = turn;
	$("answers-box").hidden = false;
	$("answers").replaceChildren();
	answers = [];
	for (let i = 0; i < turn.many; i++) {
		const answer = new Answer(turn.many > 1 ? `Answer ${i + 1}` : "Answer", requestOf(turn, i), {
			ended,
			again: (a) => {
				a.text.tokens.length ? start(last) : a.run(), buttons();
			},
			more: turn.mode === "raw" || has("/chat_tokenize") ? more : null,
		});
		answers.push(answer);
		if (turn.mode === "chat" && turn.many > 1) {
			answer.head.after(chooser(i));
		}
		$("answers").append(answer.node);
	}
	say("Generating");
	answers.forEach((a) => a.run());
	buttons();
}

/* Of several answers in a conversation one goes on. */
function chooser(i) {
	const input = el("input", {
		type: "radio",
		name: "chosen",
		id: `chosen-${i}`,
		checked: i === 0,
		value: String(i),
	});
	return el("div", { className: "check" }, input, el("label", { htmlFor: input.id }, "goes on"));
}
function chosen() {
	const i = Number(document.querySelector("input[name=chosen]:checked")?.value ?? 0);
	return answers[i];
}

function go() {
	if (answers.some((a) => a.running) || !spec) {
		return;
	}
	if (mode === "chat" && !$("prompt").value.trim()) {
		return;
	}
	if (mode === "chat") {
		settle();
	}
	const turn = { ...turnNow(), many: many() };
	if (mode === "chat") {
		turn.shown = addMessage("user", turn.prompt);
		$("prompt").value = "";
	}
	start(turn);
}

/* The answered turn becomes part of the conversation. */
function settle() {
	if (!last || last.mode !== "chat") {
		return;
	}
	const words = chosen()?.words;
	if (words) {
		messages.push({ role: "user", content: last.prompt }, { role: "assistant", content: words });
		addMessage("assistant", words);
	} else {
		last.shown.remove();
	}
	clearAnswers();
}

function addMessage(role, content) {
	const item = el("li", { className: role }, el("b", {}, role === "user" ? "You" : role), content);
	$("messages").append(item);
	return item;
}

function undo() {
	if (answers.length) {
		const { prompt, shown } = last;
		clearAnswers();
		shown.remove();
		$("prompt").value = prompt;
	} else if (messages.length) {
		const [user] = messages.splice(-2);
		$("messages").lastElementChild.remove();
		$("messages").lastElementChild.remove();
		$("prompt").value = user.content;
	}
	buttons();
	$("prompt").focus();
}

function fresh() {
	clearAnswers();
	messages = [];
	$("messages").replaceChildren();
	$("prompt-tokens").hidden = true;
	$("prompt").value = "";
	buttons();
	$("prompt").focus();
}

/* The same text goes on: the prompt, what came, and more behind it. In a conversation the template's own text is the prompt. */
async function more(answer) {
	let prompt = last.prompt;
	if (last.mode === "chat") {
		try {
			prompt = (await (await ask("POST", "/chat_tokenize", write({ messages: last.messages })))
				.json()).templated_text;
		} catch (error) {
			tell(error);
			return;
		}
	}
	/* What the form says now; of a conversation's fields those that completions know too. */
	const now = form().values();
	const values = Object.fromEntries(
		Object.entries(now).filter(([name]) => name !== "best_of" && name in parameters.raw.schema.properties),
	);
	values.max_new_tokens ??= now.max_tokens ?? now.max_completion_tokens;
	answer.run({
		path: "/generate_stream",
		body: { inputs: prompt + answer.words, parameters: { ...values, details: true } },
		read: readNative,
	});
	buttons();
}

function ended(answer) {
	buttons();
	for (const [i, other] of (answer.others ?? []).entries()) {
		const one = new Answer(`Answer ${answers.length + 1}`, answer.request, {
			ended: () => {},
			again: () => {},
			more,
		});
		one.text.add((other.tokens ?? []).map((t, k) => ({ ...t, top: other.top_tokens?.[k] ?? [] })));
		one.text.flush();
		Object.assign(one, {
			state: "done",
			reason: other.finish_reason,
			seed: other.seed === null ? null : String(other.seed),
			counted: i,
		});
		one.measure();
		one.close();
		answers.push(one);
		$("answers").append(one.node);
	}
	answer.others = [];
	if (answer.state === "lost") {
		watchServer();
	}
	if (answers.some((a) => a.running)) {
		return;
	}
	say(
		{
			done: `Done: ${answer.text.tokens.length} tokens`,
			stopped: "Stopped",
			failed: "Failed",
			lost: "The connection was lost",
		}[answer.state],
	);
	remember();
}

/* Something beside the answers went wrong. */
function tell(error) {
	if (error instanceof Failure && error.status === 401) {
		openKey(error.message);
	} else if (error instanceof Failure && error.status) {
		banner(`${error.status}: ${error.message}${
			error.wait ? ` The server asks to wait ${error.wait} s.` : ""
		}`);
	} else {
		watchServer();
	}
}

/* ---- the same from a program (code.js) ----------------------------------------------------------------------- */

function showCode() {
	const turn = last && !$("prompt").value ? last : turnNow();
	$("code").textContent = codeOf(
		document.querySelector("input[name=language]:checked").value,
		requestOf(turn, 0),
	);
	if (!$("code-dialog").open) {
		$("code-dialog").showModal();
	}
}

/* ---- all together -------------------------------------------------------------------------------------------- */

function onKey(event) {
	if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
		event.preventDefault();
		go();
	} else if (event.key === "Escape" && !document.querySelector("dialog[open]")) {
		tip.hidden = true;
		answers.forEach((a) => a.stop());
	}
}

function wire() {
	const click = {
		stop: () => answers.forEach((a) => a.stop()),
		again: () => start({ ...last, many: many(), values: form().values(), id: undefined }),
		fresh,
		undo,
		"show-tokens": promptTokens,
		"as-code": showCode,
		history: openHistory,
		"history-close": () => $("history-dialog").close(),
		"code-close": () => $("code-dialog").close(),
		"history-clear": () => {
			keep("history", null);
			openHistory();
		},
		"code-copy": () => copy($("code").textContent, $("code-copy")),
		defaults: () => form()?.defaults($("parameters")),
		"mark-go": () => detect({ inputs: $("mark-text").value }),
		"mark-last": () =>
			detect({
				ids: answers.find((a) => a.text.tokens.length).text.tokens.map((t) => t.id).filter(
					(id) => id !== undefined,
				),
			}),
	};
	for (const [id, run] of Object.entries(click)) {
		$(id).addEventListener("click", run);
	}
	for (const tab of tabs) {
		$(`tab-${tab}`).addEventListener("click", () => pick(tab));
	}
	document.querySelector("[role=tablist]").addEventListener("keydown", tabKeys);
	$("write").addEventListener("submit", (event) => {
		event.preventDefault();
		go();
	});
	document.addEventListener("keydown", onKey);
	document.addEventListener("visibilitychange", live);
	for (const radio of document.querySelectorAll("input[name=language]")) {
		radio.addEventListener("change", showCode);
	}
	$("many").addEventListener("change", hints);
	$("prompt").addEventListener("input", countSoon);
	$("colours").checked = recall("colours", false);
	const paint = () => document.body.classList.toggle("colours", $("colours").checked);
	$("colours").addEventListener("change", () => {
		keep("colours", $("colours").checked);
		paint();
	});
	paint();
	$("docs-link").href = `${BASE}docs`;
	themeButton();
	keyDialog(() => {
		banner("");
		begin();
	});
	if (matchMedia("(max-width: 60rem)").matches) {
		$("parameters-box").open = false;
	}
}

wire();
choose("raw");
watchServer();
