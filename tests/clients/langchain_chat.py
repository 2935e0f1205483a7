# SPDX-License-Identifier: Apache-2.0
# packages: langchain-openai==1.7.4
"""LangChain's ChatOpenAI and OpenAI: answers, streams, usage, batches, errors."""
import os

os.environ["LANGSMITH_TRACING"] = "false"
import openai  # noqa: E402
from langchain_core.messages import HumanMessage, SystemMessage  # noqa: E402
from langchain_core.prompts import ChatPromptTemplate  # noqa: E402
from langchain_openai import ChatOpenAI, OpenAI  # noqa: E402

from serve import all_of, case, done, server  # noqa: E402

MESSAGES = [SystemMessage("Be brief."), HumanMessage("What is a cache?")]


def chat(url, **more):
    return ChatOpenAI(base_url=url + "/v1", api_key="s3cret-key", model="m", max_retries=0, **{"temperature": 0, "max_tokens": 12, **more})


def text(url, **more):
    return OpenAI(base_url=url + "/v1", api_key="s3cret-key", model="m", max_retries=0, **{"temperature": 0, "max_tokens": 12, **more})


@case
def chat_answers_and_streams_the_same(url):
    r = chat(url).invoke(MESSAGES)
    assert r.content and r.usage_metadata["output_tokens"] and r.response_metadata["finish_reason"] in ("stop", "length"), r
    chunks = list(chat(url, stream_usage=True).stream(MESSAGES))
    assert "".join(c.content for c in chunks) == r.content, chunks
    assert sum(c.usage_metadata["total_tokens"] for c in chunks if c.usage_metadata) == r.usage_metadata["total_tokens"], chunks


@case
def texts_are_answered_together_as_alone(url):
    prompts = ["My name is Olivier and I", "What is a cache?", "One two three"]
    alone = [text(url).invoke(p) for p in prompts]
    assert text(url).batch(prompts) == alone
    assert [g[0].text for g in text(url).generate(prompts).generations] == alone
    assert "".join(text(url).stream(prompts[0])) == alone[0]


@case
def chains_run(url):
    chain = ChatPromptTemplate.from_messages([("system", "Be brief."), ("user", "{question}")]) | chat(url, logprobs=True)
    r = chain.invoke({"question": "Why?"})
    assert r.response_metadata["logprobs"]["content"], r


@case
def refusals_are_openais(url):
    try:
        chat(url, temperature=3).invoke(MESSAGES)
    except openai.UnprocessableEntityError as e:
        assert e.param == "temperature", e
        return
    raise AssertionError("it did not raise")


def main():
    with server("--api-key", "s3cret-key", model=("--context", "8192", "--seed", "4")) as url:
        failed = all_of(url)
    done("langchain_chat", failed)


main()
