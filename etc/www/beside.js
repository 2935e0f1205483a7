/* SPDX-License-Identifier: Apache-2.0 */
/* Beside the answers: the tokens of a prompt, the watermark, the history. */

/* ---- tokens of the prompt ------------------------------------------------------------------------------------ */

async function promptTokens() {
	const box = $("prompt-tokens"), turn = turnNow();
	box.hidden = false;
	box.replaceChildren(el("p", { role: "status" }, "Looking"));
	try {
		const { tokens, why } = await tokensOf(turn);
		const text = new TokenText("Tokens of the prompt");
		text.node.classList.add("tokens");
		text.add(tokens);
		const surprise = tokens.reduce((sum, t) => sum - (t.logprob ?? 0), 0);
		box.replaceChildren(
			el("h2", {}, `${tokens.length} tokens`),
			el(
				"p",
				{ className: "small" },
				why,
				tokens.some((t) => typeof t.logprob === "number")
					? ` Perplexity ${
						Math.exp(surprise / Math.max(1, tokens.length - 1)).toFixed(1)
					}.`
					: "",
			),
			text.node,
			text.table(),
			el("button", {
				type: "button",
				onclick: () => {
					box.hidden = true;
					$("show-tokens").focus();
				},
			}, "Close"),
		);
		say(`${tokens.length} tokens`);
	} catch (error) {
		box.replaceChildren(
			el(
				"p",
				{ className: "note bad", role: "alert" },
				error instanceof Failure ? error.message : "The server's answer cannot be read.",
			),
		);
	}
}
/* How many tokens the prompt has, where the server tells without generating, a moment after the last key. */
let countTimer = null;
function countSoon() {
	clearTimeout(countTimer);
	$("prompt-count").textContent = "";
	if (mode !== "raw" || !has("/tokenize") || !$("prompt").value) {
		return;
	}
	countTimer = setTimeout(async () => {
		const prompt = $("prompt").value;
		try {
			const tokens = await (await ask("POST", "/tokenize", write({ inputs: prompt }))).json();
			if ($("prompt").value === prompt && mode === "raw") {
				$("prompt-count").textContent = `${tokens.length} tokens.`;
			}
		} catch { /* what is wrong is told by what is asked for */ }
	}, 400);
}

async function tokensOf(turn) {
	let prompt = turn.prompt, why = "How likely each was behind those before it.";
	if (turn.mode === "chat" && has("/chat_tokenize")) {
		prompt = (await (await ask("POST", "/chat_tokenize", write({ messages: turn.messages }))).json())
			.templated_text;
		why = "The conversation as the template writes it. " + why;
	}
	const said = await (await ask(
		"POST",
		"/generate",
		write({ inputs: prompt, parameters: { max_new_tokens: 1, decoder_input_details: true } }),
	)).json();
	const tokens = said.details?.prefill ?? [];
	if (tokens.length || !has("/tokenize")) {
		return { tokens, why };
	}
	const cut = await (await ask("POST", "/tokenize", write({ inputs: prompt }))).json();
	return { tokens: cut, why: "This server does not tell how likely they were." };
}

/* ---- watermark ----------------------------------------------------------------------------------------------- */

async function detect(body) {
	const box = $("mark-result");
	box.replaceChildren(el("p", {}, "Counting"));
	try {
		const d = await (await ask("POST", "/watermark/detect", write(body))).json();
		const share = d.tokens ? d.green_tokens / d.tokens : 0;
		const verdict = d.p_value < 1e-5
			? "Marked: chance alone would do this in fewer than 1 of 100,000 texts."
			: d.p_value < 0.01
			? "Perhaps marked: a longer text would tell."
			: "No mark was found.";
		const bar = el("div");
		bar.style.width = `${(share * 100).toFixed(1)}%`;
		box.replaceChildren(
			el("h3", {}, verdict),
			el("div", {
				className: "meter",
				role: "img",
				"aria-label": `${d.green_tokens} of ${d.tokens} tokens are green, ${
					(d.gamma * 100).toFixed(0)
				} % are expected by chance`,
			}, bar),
			el(
				"table",
				{},
				el(
					"tbody",
					{},
					[
						[
							"green tokens",
							`${d.green_tokens} of ${d.tokens} (${
								percent(share)
							}); by chance ${percent(d.gamma)}`,
						],
						["z-score", d.z_score.toFixed(2)],
						["p-value", d.p_value.toPrecision(3)],
						["scheme", d.scheme],
					].map(([k, v]) => el("tr", {}, el("th", { scope: "row" }, k), el("td", {}, v))),
				),
			),
		);
	} catch (error) {
		box.replaceChildren(
			el(
				"p",
				{ className: "note bad" },
				error instanceof Failure ? error.message : "The server's answer cannot be read.",
			),
		);
	}
}

/* ---- history ------------------------------------------------------------------------------------------------- */

function remember() {
	if (!answers.some((a) => a.words)) {
		return;
	}
	const { shown, ...turn } = last;
	const list = recall("history", []).filter((e) => e.id !== last.id);
	last.id ??= Date.now();
	/* A 64-bit seed is kept as text: the form reads it again. */
	const entry = JSON.parse(
		write({
			...turn,
			values: null,
			messages: undefined,
			talk: turn.mode === "chat" ? messages : undefined,
			id: last.id,
			fields: form().kept,
			model: info?.model_id ?? "",
			answers: answers.map((a) => ({ words: a.words, reason: a.reason ?? a.state })),
		}),
	);
	list.unshift(entry);
	while (list.length > HISTORY_MAX || (list.length > 1 && JSON.stringify(list).length > HISTORY_BYTES)) {
		list.pop();
	}
	while (!keep("history", list) && list.length > 1) {
		list.length = list.length >> 1;
	}
}

function openHistory() {
	const list = recall("history", []);
	$("history-list").replaceChildren(
		...list.map((e) =>
			el(
				"li",
				{},
				el(
					"p",
					{},
					el("b", {}, e.mode === "chat" ? "Chat" : "Completion"),
					` ${new Date(e.id).toLocaleString()} `,
					el("span", { className: "small" }, e.model),
				),
				el(
					"p",
					{},
					e.prompt.slice(0, 120),
					el(
						"span",
						{ className: "small" },
						` → ${(e.answers[0]?.words ?? "").slice(0, 120)}`,
					),
				),
				el(
					"div",
					{ className: "row" },
					el("button", {
						type: "button",
						onclick: () => restore(e),
						"aria-label": `Open: ${e.prompt.slice(0, 40)}`,
					}, "Open"),
					el("button", {
						type: "button",
						"aria-label": `Forget: ${e.prompt.slice(0, 40)}`,
						onclick: () => {
							keep(
								"history",
								recall("history", []).filter((o) => o.id !== e.id),
							);
							openHistory();
						},
					}, "Forget"),
				),
			)
		),
	);
	if (!list.length) {
		$("history-list").append(el("li", {}, "Nothing yet."));
	}
	if (!$("history-dialog").open) {
		$("history-dialog").showModal();
	}
}

function restore(entry) {
	$("history-dialog").close();
	fresh();
	choose(entry.mode === "chat" && !$("tab-chat").hidden ? "chat" : "raw");
	if (entry.fields) {
		form().take(entry.fields, $("parameters"));
	}
	$("many").value = String(entry.many);
	last = { ...entry, values: form().values() };
	if (mode === "chat") {
		$("system").value = entry.system ?? "";
		messages = entry.talk ?? [];
		messages.forEach((m) => addMessage(m.role, m.content));
		last.messages = [...(entry.system ? [{ role: "system", content: entry.system }] : []), ...messages, {
			role: "user",
			content: entry.prompt,
		}];
		last.shown = addMessage("user", entry.prompt);
	} else {
		$("prompt").value = entry.prompt;
	}
	$("answers-box").hidden = false;
	answers = entry.answers.map((kept_, i) => {
		const answer = new Answer(entry.answers.length > 1 ? `Answer ${i + 1}` : "Answer", requestOf(last, i), {
			ended,
			again: () => start(last),
			more: mode === "raw" || has("/chat_tokenize") ? more : null,
		});
		answer.text.add([{ text: kept_.words }]);
		answer.text.flush();
		Object.assign(answer, { state: "done", reason: kept_.reason });
		answer.close();
		if (mode === "chat" && entry.answers.length > 1) {
			answer.head.after(chooser(i));
		}
		$("answers").append(answer.node);
		return answer;
	});
	buttons();
}
