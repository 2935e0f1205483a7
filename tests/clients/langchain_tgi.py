# SPDX-License-Identifier: Apache-2.0
# packages: langchain-huggingface==1.2.3 langchain-community==0.4.2 langchain-core==1.8.3 text-generation==0.7.0 huggingface_hub==0.36.2 aiohttp==3.14.5
"""LangChain's classes for text-generation-inference: HuggingFaceEndpoint, and the older HuggingFaceTextGenInference, in each dialect."""
import asyncio
import os
import warnings

os.environ.update(HF_HUB_DISABLE_TELEMETRY="1", LANGSMITH_TRACING="false")
warnings.simplefilter("ignore")
from huggingface_hub.errors import ValidationError as HubValidationError  # noqa: E402
from langchain_community.llms import HuggingFaceTextGenInference  # noqa: E402
from langchain_core.callbacks import BaseCallbackHandler  # noqa: E402
from langchain_core.output_parsers import StrOutputParser  # noqa: E402
from langchain_core.prompts import PromptTemplate  # noqa: E402
from langchain_huggingface import HuggingFaceEndpoint  # noqa: E402
from text_generation.errors import ValidationError  # noqa: E402

from serve import all_of, case, done, server  # noqa: E402

PROMPT = "What is a cache?"


class Heard(BaseCallbackHandler):
    def __init__(self):
        self.tokens = []

    def on_llm_new_token(self, token, **more):
        self.tokens.append(token)


def old(url, **more):
    return HuggingFaceTextGenInference(inference_server_url=url, **{"max_new_tokens": 12, "temperature": 0.7, "seed": 7, **more})


def new(url, **more):
    return HuggingFaceEndpoint(endpoint_url=url, **{"max_new_tokens": 12, "temperature": 0.7, "seed": 7, **more})


# The defaults of both: top_p 0.95, typical_p 0.95, do_sample false with a temperature.
BOTH = (old, new)


def is_text(pieces, text):
    """A character that stays unfinished is in no piece of TGI's dialects, and random weights like those."""
    assert "".join(pieces) == text or "\ufffd" in text, (pieces, text)


@case
def both_answer_the_same(url):
    a, b = (llm(url).invoke(PROMPT) for llm in BOTH)
    assert a == b and isinstance(a, str) and a, (a, b)


@case
def every_parameter_is_taken(url):
    for llm in BOTH:
        ask = dict(top_k=10, top_p=0.9, typical_p=0.9, repetition_penalty=1.03, truncate=100, return_full_text=True, do_sample=True, watermark=True,
                   stop_sequences=["zzzz"])
        text = llm(url, **ask).invoke(PROMPT, stop=["yyyy"])
        assert text.startswith(PROMPT) and text == llm(url, **ask).invoke(PROMPT), text


@case
def streams_give_the_same_text(url):
    for llm in BOTH:
        is_text(list(llm(url).stream(PROMPT)), llm(url).invoke(PROMPT))
        heard = Heard()
        text = llm(url, streaming=True, callbacks=[heard]).invoke(PROMPT)
        assert heard.tokens and "".join(heard.tokens) == text, (heard.tokens, text)


@case
def chains_and_batches_run(url):
    for llm in BOTH:
        chain = PromptTemplate.from_template("Question: {question}\nAnswer:") | llm(url) | StrOutputParser()
        one = chain.invoke({"question": "Why?"})
        assert chain.batch([{"question": "Why?"}, {"question": "How?"}])[0] == one, one


@case
def both_are_there_asynchronously(url):
    async def main(llm):
        text, other = await asyncio.gather(llm(url).ainvoke(PROMPT), llm(url).ainvoke("Once"))
        is_text([t async for t in llm(url).astream(PROMPT)], text)
        return text, other
    for llm in BOTH:
        text, other = asyncio.run(main(llm))
        assert text == llm(url).invoke(PROMPT) and isinstance(other, str), (text, other)


@case
def a_refusal_is_an_exception_with_tgis_words(url):
    for llm, kind in ((old, ValidationError), (new, HubValidationError)):
        try:
            llm(url, max_new_tokens=100000).invoke(PROMPT)
        except kind as e:
            assert "max_new_tokens" in str(e), e
        else:
            raise AssertionError(f"{llm.__name__}: it was not refused")


def main():
    failed = 0
    dialects = ("saker", "tgi-3", "tgi-0.9.3")
    for dialect in dialects:
        with server("--compat", dialect) as url:
            bad = all_of(url)
            if bad:
                print(f"--- in {dialect}")
            failed += bad
    done("langchain_tgi", failed, len(dialects))


main()
