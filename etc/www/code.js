/* SPDX-License-Identifier: Apache-2.0 */
/* A request as a program would make it: curl, Python without libraries, JavaScript. The key is never written into it. */

const programs = {
	curl: ({ url, body, stream, key }) => [
		`curl ${stream ? "-N " : ""}${shell(url)} \\`,
		`  -H 'Content-Type: application/json' ${key ? '-H "x-api-key: $SAKER_API_KEY" ' : ""}\\`,
		`  -d ${shell(write(body, "json", "  "))}`,
	],

	python: ({ url, body, stream, chat, key }) => [
		"import json",
		...(key ? ["import os"] : []),
		"import urllib.request",
		"",
		`body = ${write(body, "python", "    ")}`,
		`headers = {"Content-Type": "application/json"${
			key ? ', "x-api-key": os.environ["SAKER_API_KEY"]' : ""
		}}`,
		`request = urllib.request.Request(${JSON.stringify(url)}, json.dumps(body).encode(), headers)`,
		"with urllib.request.urlopen(request) as answer:",
		...(!stream ? ['    print(json.load(answer)["generated_text"])'] : [
			"    for line in answer:",
			'        if line.startswith(b"data:") and b"[DONE]" not in line:',
			"            event = json.loads(line[5:])",
			...(chat
				? [
					'            for choice in event["choices"]:',
					'                print(choice["delta"].get("content") or "", end="", flush=True)',
				]
				: [
					'            if not event["token"]["special"]:',
					'                print(event["token"]["text"], end="", flush=True)',
				]),
		]),
	],

	/* Its numbers end at 2^53, so the body is a text. */
	javascript: ({ url, body, stream, chat, key }) => [
		`const answer = await fetch(${JSON.stringify(url)}, {`,
		'  method: "POST",',
		`  headers: { "content-type": "application/json"${
			key ? ', "x-api-key": process.env.SAKER_API_KEY' : ""
		} },`,
		`  body: ${JSON.stringify(write(body))},`,
		"});",
		...(!stream ? ["console.log((await answer.json()).generated_text);"] : [
			'let rest = "", text = "";',
			"for await (const part of answer.body.pipeThrough(new TextDecoderStream())) {",
			'  const lines = (rest + part).split("\\n");',
			"  rest = lines.pop();",
			'  for (const line of lines.filter(l => l.startsWith("data:") && !l.includes("[DONE]"))) {',
			"    const event = JSON.parse(line.slice(5));",
			chat
				? '    text += event.choices[0]?.delta.content ?? "";'
				: '    text += event.token.special ? "" : event.token.text;',
			"  }",
			"}",
			"console.log(text);",
		]),
	],
};

/* request: { path, body, read }, as answers.js asks it. */
function codeOf(language, request) {
	return programs[language]({
		url: location.origin + BASE + request.path.slice(1),
		body: request.body,
		stream: request.read !== null,
		chat: request.read === readChat,
		key: apiKey !== "",
	}).join("\n") + "\n";
}
