# SPDX-License-Identifier: Apache-2.0
# packages: text-generation==0.7.0 huggingface_hub==0.36.2 aiohttp==3.14.5
"""text_generation's clients and huggingface_hub.InferenceClient, as they are pointed at a server of text-generation-inference."""
import asyncio
import json
import os
import threading
import time
import urllib.request
import warnings

os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
import huggingface_hub  # noqa: E402
import text_generation  # noqa: E402
from huggingface_hub import errors as hub  # noqa: E402
from text_generation import errors as tgi  # noqa: E402

from serve import all_of, case, done, server  # noqa: E402

KEY = {"Authorization": "Bearer s3cret-key"}
PROMPT = "My name is Olivier and I"
ENDLESS = ("--context", "8192", "--seed", "4")       # a model of random weights that does not end PROMPT by itself


class Clients:
    def __init__(self, url, dialect):
        self.url, self.dialect = url, dialect
        self.sync = text_generation.Client(url, timeout=60)
        self.asynchronous = text_generation.AsyncClient(url, timeout=60)
        self.sync.headers = self.asynchronous.headers = KEY
        self.hub = huggingface_hub.InferenceClient(model=url, token=KEY["Authorization"][7:], timeout=60)


def refused(kind, f, *args, **more):
    """The words of the exception that f, or reading what it gives, must raise."""
    try:
        for _ in f(*args, **more):
            pass
    except kind as e:
        return str(e)
    raise AssertionError(f"it did not raise {kind.__name__}")


def is_text(c, pieces, text):
    """Pieces give the text; but in TGI's dialects a character that stays unfinished is in no piece, and random weights like those."""
    assert pieces and ("".join(pieces) == text or (c.dialect != "saker" and "\ufffd" in text)), (pieces, text)


def forever(c):
    """A stream of 8,000 tokens, begun."""
    events = c.sync.generate_stream(PROMPT, max_new_tokens=8000)
    next(events)
    return events


@case
def generate_gives_text_and_details(c):
    r = c.sync.generate(PROMPT, max_new_tokens=5, decoder_input_details=True, top_n_tokens=2 if c.dialect != "tgi-0.9.3" else None)
    assert isinstance(r.generated_text, str) and r.details.generated_tokens == len(r.details.tokens) <= 5, r
    assert r.details.finish_reason in ("length", "eos_token") and r.details.seed is None, r
    is_text(c, [t.text for t in r.details.tokens if not t.special], r.generated_text)
    if c.dialect != "tgi-3":            # only with --enable-prefill-logprobs, as in TGI 3
        assert r.details.prefill and r.details.prefill[0].logprob is None, r.details.prefill
    if c.dialect != "tgi-0.9.3":
        assert all(len(t) >= 2 for t in r.details.top_tokens), r.details.top_tokens


@case
def every_parameter_is_taken(c):
    more = {} if c.dialect == "tgi-0.9.3" else {"frequency_penalty": 0.1}
    ask = dict(max_new_tokens=8, do_sample=True, repetition_penalty=1.1, return_full_text=True, seed=7, stop_sequences=["zzzz"], temperature=0.9,
               top_k=20, top_p=0.9, truncate=50, typical_p=0.9, watermark=True, **more)
    r = c.sync.generate(PROMPT, **ask)
    assert r.details.seed == 7 and r.generated_text.startswith(PROMPT), r
    assert c.sync.generate(PROMPT, **ask).generated_text == r.generated_text


@case
def best_of_gives_the_likeliest_and_the_others_with_their_seeds(c):
    ask = dict(max_new_tokens=8, do_sample=True, temperature=1.2)
    r = c.sync.generate(PROMPT, best_of=2, **ask)
    other, = r.details.best_of_sequences
    mean = lambda d: sum(t.logprob for t in d.tokens) / len(d.tokens)
    assert mean(r.details) >= mean(other) and r.details.seed != other.seed, r
    # Alone, its seed gives the same answer.
    for text, seed in ((r.generated_text, r.details.seed), (other.generated_text, other.seed)):
        assert c.sync.generate(PROMPT, seed=seed, **ask).generated_text == text, (seed, r)
    r = c.hub.text_generation(PROMPT, max_new_tokens=3, details=True, do_sample=True, best_of=2)
    assert len(r.details.best_of_sequences) == 1, r


@case
def a_stream_gives_tokens_and_at_last_the_text(c):
    whole = c.sync.generate(PROMPT, max_new_tokens=12).generated_text
    events = list(c.sync.generate_stream(PROMPT, max_new_tokens=12))
    assert all(e.generated_text is None and e.details is None for e in events[:-1]), events
    assert events[-1].generated_text == whole and events[-1].details.generated_tokens == len(events), events[-1]
    is_text(c, [e.token.text for e in events if not e.token.special], whole)


@case
def both_are_there_asynchronously(c):
    async def main():
        r, other = await asyncio.gather(c.asynchronous.generate(PROMPT, max_new_tokens=6), c.asynchronous.generate("Once", max_new_tokens=6))
        events = [e async for e in c.asynchronous.generate_stream(PROMPT, max_new_tokens=6)]
        assert events[-1].generated_text == r.generated_text == c.sync.generate(PROMPT, max_new_tokens=6).generated_text, (r, events)
        assert other.details.generated_tokens >= 1, other
        refusals = 0
        try:
            await c.asynchronous.generate(PROMPT, max_new_tokens=100000)
        except tgi.ValidationError:
            refusals += 1
        try:
            async for _ in c.asynchronous.generate_stream(PROMPT, max_new_tokens=100000):
                pass
        except tgi.ValidationError:
            refusals += 1
        assert refusals == 2, refusals
    asyncio.run(main())


@case
def a_wrong_value_is_a_validation_error(c):
    for f in (c.sync.generate, c.sync.generate_stream):
        words = refused(tgi.ValidationError, f, PROMPT, max_new_tokens=100000)
        assert words.startswith("Input validation error: `inputs` tokens + `max_new_tokens` must be <= "), words
    words = refused(hub.ValidationError, c.hub.text_generation, PROMPT, max_new_tokens=100000)
    assert "max_new_tokens" in words, words


@case
def a_full_server_is_overloaded(c):
    held = [forever(c) for _ in range(4)]
    try:
        for f in (c.sync.generate, c.sync.generate_stream):
            assert refused(tgi.OverloadedError, f, PROMPT, max_new_tokens=1) == "Model is overloaded"
        assert refused(hub.OverloadedError, c.hub.text_generation, PROMPT, max_new_tokens=1) == "Model is overloaded"
    finally:
        for events in held:
            events.close()
    end = time.monotonic() + 10
    while True:                         # until those who left have given their places back
        try:
            return c.sync.generate(PROMPT, max_new_tokens=1)
        except tgi.OverloadedError:
            assert time.monotonic() < end, "10 s after four clients left, their places are still taken"


@case
def a_generation_that_is_cut_off_is_incomplete(c):
    for _ in range(50):                 # a tiny model may be at its end before it is cut off
        cut = threading.Thread(target=delete_all, args=(c.url,))
        events = forever(c)
        cut.start()
        try:
            for _ in events:
                pass
        except tgi.IncompleteGenerationError:
            return
        finally:
            cut.join()
    raise AssertionError("no generation was cut off")


def delete_all(url):
    with urllib.request.urlopen(urllib.request.Request(url + "/requests", headers=KEY)) as r:
        ids = [q["id"] for q in json.load(r)["requests"]]
    for i in ids:
        try:
            urllib.request.urlopen(urllib.request.Request(url + "/requests/" + i, headers=KEY, method="DELETE")).close()
        except urllib.error.HTTPError as e:
            assert e.code == 404, e     # it has just ended


@case
def an_unknown_path_is_not_found(c):
    if c.dialect != "saker":            # TGI's 404 has no body, which its client cannot read
        return
    lost = text_generation.Client(c.url + "/nothing", headers=c.sync.headers, timeout=60)
    refused(tgi.NotFoundError, lost.generate, PROMPT)


@case
def the_hub_client_generates(c):
    text = c.hub.text_generation(PROMPT, max_new_tokens=6)
    assert text == c.sync.generate(PROMPT, max_new_tokens=6).generated_text, text
    r = c.hub.text_generation(PROMPT, max_new_tokens=6, details=True, do_sample=True, seed=3, temperature=0.7, stop=["zzzz"])
    assert r.details.seed == 3 and r.details.generated_tokens == len(r.details.tokens), r


@case
def the_hub_client_streams(c):
    text = c.hub.text_generation(PROMPT, max_new_tokens=9)
    is_text(c, list(c.hub.text_generation(PROMPT, max_new_tokens=9, stream=True)), text)
    events = list(c.hub.text_generation(PROMPT, max_new_tokens=9, stream=True, details=True))
    assert events[-1].generated_text == text and events[-1].details.finish_reason, events[-1]


@case
def the_hub_client_is_there_asynchronously(c):
    async def main():
        a = huggingface_hub.AsyncInferenceClient(model=c.url, token=KEY["Authorization"][7:], timeout=60)
        text = await a.text_generation(PROMPT, max_new_tokens=6)
        is_text(c, [t async for t in await a.text_generation(PROMPT, max_new_tokens=6, stream=True)], text)
        await a.close()
        return text
    assert asyncio.run(main()) == c.hub.text_generation(PROMPT, max_new_tokens=6)


def main():
    warnings.simplefilter("ignore")
    failed = 0
    dialects = ("saker", "tgi-3", "tgi-0.9.3")
    for dialect in dialects:
        with server("--compat", dialect, "--max-concurrent-requests", "4", "--api-key", KEY["Authorization"][7:], model=ENDLESS) as url:
            c = Clients(url, dialect)
            bad = all_of(c)
            if bad:
                print(f"--- in {dialect}")
            failed += bad
    done("tgi", failed, len(dialects))


main()
