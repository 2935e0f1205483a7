# SPDX-License-Identifier: Apache-2.0
# packages: openai==3.57.0
"""OpenAI's own client: chat, completions, streams with usage, log-probabilities, stop strings, errors by type; and one prompt by three paths."""
import asyncio
import json
import urllib.request

import openai

from serve import all_of, case, done, server

KEY = "s3cret-key"
PROMPT = "My name is Olivier and I"
MESSAGES = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "What is a cache?"}]
GREEDY = {"temperature": 0, "max_tokens": 24}


class Clients:
    def __init__(self, url):
        self.url = url
        self.sync = openai.OpenAI(base_url=url + "/v1", api_key=KEY, max_retries=0, timeout=60)
        self.asynchronous = openai.AsyncOpenAI(base_url=url + "/v1", api_key=KEY, max_retries=0, timeout=60)

    def chat(self, **more):
        return self.sync.chat.completions.create(**{"model": "m", "messages": MESSAGES, **GREEDY, **more})

    def text(self, **more):
        return self.sync.completions.create(**{"model": "m", "prompt": PROMPT, **GREEDY, **more})

    def post(self, path, body):
        headers = {"Content-Type": "application/json", "Authorization": "Bearer " + KEY}
        with urllib.request.urlopen(urllib.request.Request(self.url + path, json.dumps(body).encode(), headers), timeout=60) as r:
            return json.load(r)


def refused(kind, f, **more):
    try:
        f(**more)
    except kind as e:
        return e
    raise AssertionError(f"it did not raise {kind.__name__}")


def text_of(chunks):
    """The text of a stream, whose last choice has a reason."""
    chunks = [c for c in chunks if c.choices]
    assert [bool(c.choices[0].finish_reason) for c in chunks] == [False] * (len(chunks) - 1) + [True], chunks
    return "".join((c.choices[0].text if hasattr(c.choices[0], "text") else c.choices[0].delta.content) or "" for c in chunks)


@case
def models_are_one(c):
    models = c.sync.models.list().data
    assert [m.id for m in models] == ["tiny.gguf"] and models[0].created > 1700000000, models


@case
def chat_answers_and_streams_the_same(c):
    r = c.chat()
    assert r.id.startswith("chatcmpl-") and r.object == "chat.completion" and r.system_fingerprint, r
    assert r.choices[0].message.role == "assistant" and r.choices[0].finish_reason in ("stop", "length"), r
    assert r.usage.total_tokens == r.usage.prompt_tokens + r.usage.completion_tokens, r.usage
    chunks = list(c.chat(stream=True, stream_options={"include_usage": True}))
    assert chunks[0].choices[0].delta.role == "assistant" and len({x.id for x in chunks}) == 1, chunks[0]
    assert text_of(chunks) == r.choices[0].message.content, chunks
    assert chunks[-1].usage == r.usage and not chunks[-1].choices, chunks[-1]


@case
def completions_answer_and_stream_the_same(c):
    r = c.text()
    assert r.id.startswith("cmpl-") and r.object == "text_completion" and r.choices[0].text, r
    assert text_of(list(c.text(stream=True))) == r.choices[0].text
    echo = c.text(echo=True)
    assert echo.choices[0].text == PROMPT + r.choices[0].text, echo
    assert text_of(list(c.text(stream=True, echo=True))) == echo.choices[0].text


@case
def a_stop_string_ends_the_text_before_it(c):
    whole = c.text().choices[0].text
    checked = 0
    for at in range(1, len(whole) - 3, 3):
        stop = whole[at:at + 3]
        if "\ufffd" in stop:
            continue
        r = c.text(stop=[stop, "never in it"])
        assert r.choices[0].text == whole[:whole.index(stop)], (stop, r)
        assert r.choices[0].finish_reason in ("stop", "length"), r
        assert text_of(list(c.text(stream=True, stop=stop))) == r.choices[0].text, stop
        checked += 1
    assert checked, whole


@case
def several_answers_are_drawn(c):
    ask = {"n": 3, "temperature": 1.0, "seed": 5}
    r = c.text(**ask)
    assert [x.index for x in r.choices] == [0, 1, 2] and len({x.text for x in r.choices}) > 1, r
    assert r == r.model_copy(update={"choices": c.text(**ask).choices}), "the same seed"
    for chat in (False, True):
        pieces, ends = ["", "", ""], {}
        whole = (c.chat if chat else c.text)(**ask).choices
        for chunk in (c.chat if chat else c.text)(stream=True, **ask):
            x = chunk.choices[0]
            pieces[x.index] += (x.delta.content if chat else x.text) or ""
            if x.finish_reason:
                ends[x.index] = x.finish_reason
        # Random weights draw control tokens inside a character, whose halves a stream cannot put together any more.
        sure = [[p.replace("\ufffd", "") for p in side] for side in (pieces, [x.message.content if chat else x.text for x in whole])]
        assert sure[0] == sure[1], (pieces, whole)
        assert [ends[i] for i in range(3)] == [x.finish_reason for x in whole], ends


@case
def several_prompts_are_answered_as_alone(c):
    prompts = [PROMPT, "What is a cache?", "One two three"]
    alone = [c.text(prompt=p) for p in prompts]
    r = c.text(prompt=prompts)
    assert [x.text for x in r.choices] == [x.choices[0].text for x in alone], (r, alone)
    assert r.usage.prompt_tokens == sum(x.usage.prompt_tokens for x in alone) and r.usage.completion_tokens == sum(x.usage.completion_tokens for x in alone), r.usage
    chunks = list(c.text(prompt=prompts, stream=True))
    assert [text_of([x for x in chunks if x.choices[0].index == i]) for i in range(3)] == [x.text for x in r.choices], chunks


@case
def log_probabilities_are_told(c):
    r = c.chat(logprobs=True, top_logprobs=3)
    content = r.choices[0].logprobs.content
    assert content and all(len(t.top_logprobs) == 3 and t.logprob <= 0 and bytes(t.bytes).decode() == t.token for t in content), content
    assert all(t.logprob == t.top_logprobs[0].logprob for t in content), content
    streamed = [t for x in c.chat(logprobs=True, top_logprobs=3, stream=True) if x.choices[0].logprobs for t in x.choices[0].logprobs.content]
    assert streamed == content, streamed
    one = c.text(logprobs=2, echo=True).choices[0]
    lp = one.logprobs
    assert len(lp.tokens) == len(lp.token_logprobs) == len(lp.top_logprobs) == len(lp.text_offset), lp
    assert lp.token_logprobs[0] is None and all(x <= 0 for x in lp.token_logprobs[1:]), lp


@case
def sampling_and_penalties_are_taken(c):
    ask = {"temperature": 0.7, "top_p": 0.9, "seed": 3, "frequency_penalty": 0.5, "presence_penalty": -0.5, "user": "me"}
    assert c.chat(**ask).choices == c.chat(**ask).choices
    first = c.text(max_tokens=1, logprobs=1).choices[0].logprobs.tokens[0]
    ids = c.post("/tokenize", {"inputs": first, "add_special_tokens": False})
    other = c.text(max_tokens=1, logprobs=1, logit_bias={str(ids[-1]["id"]): -100} if len(ids) == 1 else {"0": 1}).choices[0].logprobs.tokens
    assert len(ids) != 1 or not other or other[0] != first, (first, other)


@case
def one_prompt_by_three_paths_gives_the_same_tokens(c):
    prompt = c.post("/chat_tokenize", {"messages": MESSAGES})["templated_text"]
    body = {"inputs": prompt, "parameters": {"max_new_tokens": 24, "details": True}}
    one = c.post("/generate", body)
    listed = c.post("/invocations", body)[0]
    assert one["details"]["tokens"] == listed["details"]["tokens"]
    text = c.text(prompt=prompt, logprobs=0).choices[0]
    assert text.text == one["generated_text"] == listed["generated_text"], (text, one)
    assert text.logprobs.tokens == [t["text"] for t in one["details"]["tokens"] if not t["special"]], text
    assert text.logprobs.token_logprobs == [t["logprob"] for t in one["details"]["tokens"] if not t["special"]], text
    ids = [t["id"] for t in c.post("/tokenize", {"inputs": prompt})]
    assert c.text(prompt=ids).choices[0].text == text.text


@case
def errors_have_their_types(c):
    e = refused(openai.UnprocessableEntityError, c.chat, temperature=3)
    assert e.param == "temperature" and e.type == "invalid_request_error" and "temperature" in e.message, e
    e = refused(openai.UnprocessableEntityError, c.chat, tools=[{"type": "function", "function": {"name": "f"}}])
    assert e.param == "tools", e
    refused(openai.UnprocessableEntityError, c.text, prompt="", stream=True)
    wrong = openai.OpenAI(base_url=c.url + "/v1", api_key="another", max_retries=0)
    e = refused(openai.AuthenticationError, wrong.models.list)
    assert e.code == "invalid_api_key", e
    e = refused(openai.AuthenticationError, wrong.chat.completions.create, model="m", messages=MESSAGES)
    assert e.type == "authentication_error", e
    refused(openai.NotFoundError, c.sync.embeddings.create, model="m", input="a")


@case
def the_asynchronous_client_works(c):
    async def all_at_once():
        async def stream():
            return [x async for x in await c.asynchronous.chat.completions.create(model="m", messages=MESSAGES, stream=True, **GREEDY)]

        return await asyncio.gather(*[stream() for _ in range(4)])

    texts = {text_of(x) for x in asyncio.run(all_at_once())}
    assert texts == {c.chat().choices[0].message.content}, texts


def main():
    with server("--api-key", KEY, model=("--context", "8192", "--seed", "4")) as url:
        failed = all_of(Clients(url))
    done("openai_sdk", failed)


main()
