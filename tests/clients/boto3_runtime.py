# SPDX-License-Identifier: Apache-2.0
# packages: boto3==1.44.5 botocore==1.44.8
"""boto3's sagemaker-runtime with endpoint_url: the calls, the streams and the errors that scripts for SageMaker know."""
import http.client
import io
import json
import re
import urllib.parse

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError, EventStreamError

from serve import all_of, case, done, server

KEY = "s3cret-key"


def client(url):
    return boto3.client("sagemaker-runtime", endpoint_url=url, region_name="eu-west-1", aws_access_key_id="AKIAEXAMPLE",
                        aws_secret_access_key="none", config=Config(retries={"total_max_attempts": 1}, read_timeout=60))


def ask(c, body, **more):
    return c.invoke_endpoint(EndpointName="llm", ContentType="application/json", Body=json.dumps(body), **more)


def ask_stream(c, body, **more):
    return c.invoke_endpoint_with_response_stream(EndpointName="llm", ContentType="application/json", Body=json.dumps(body), **more)


def refused(f, *args, **more):
    try:
        f(*args, **more)
    except ClientError as e:
        return e
    raise AssertionError("it was not refused")


class Lines:
    """Lines of an event stream, as the examples of SageMaker read them: parts may be cut anywhere."""

    def __init__(self, stream):
        self.parts, self.buffer, self.at = iter(stream), io.BytesIO(), 0

    def __iter__(self):
        return self

    def __next__(self):
        while True:
            self.buffer.seek(self.at)
            line = self.buffer.readline()
            if line.endswith(b"\n"):
                self.at += len(line)
                return line[:-1]
            self.buffer.seek(0, io.SEEK_END)
            self.buffer.write(next(self.parts)["PayloadPart"]["Bytes"])


def body(n, stream=False, **parameters):
    return {"inputs": "My name is", "stream": stream, "parameters": {"max_new_tokens": n, "ignore_eos": True, **parameters}}


@case
def saker_an_answer_is_a_list(c, url):
    r = ask(c, body(5))
    out = json.loads(r["Body"].read())
    assert list(out[0]) == ["generated_text"] and len(out) == 1, out
    assert r["ContentType"] == "application/json" and r["InvokedProductionVariant"] == "AllTraffic", r
    assert re.fullmatch("[0-9a-f]{32}", r["ResponseMetadata"]["RequestId"]), r
    assert "CustomAttributes" not in r and "NewSessionId" not in r, r


@case
def saker_attributes_and_sessions_come_back(c, url):
    r = ask(c, body(1), CustomAttributes="trace=7", SessionId="NEW_SESSION", TargetVariant="blue", InferenceId="i-1", Accept="application/json")
    assert r["CustomAttributes"] == "trace=7" and r["InvokedProductionVariant"] == "blue", r
    session = re.fullmatch(r"([a-zA-Z0-9](?:-*[a-zA-Z0-9])*);\sExpires=\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", r["NewSessionId"]).group(1)
    r = ask_stream(c, body(1, True), CustomAttributes="trace=8", SessionId=session, Accept="application/json")
    assert r["CustomAttributes"] == "trace=8" and r["InvokedProductionVariant"] == "AllTraffic", r
    assert b"generated_text" in b"".join(e["PayloadPart"]["Bytes"] for e in r["Body"])


@case
def saker_a_stream_has_the_events_of_generate_stream(c, url):
    r = ask_stream(c, body(40, True, details=True))
    assert r["ContentType"] == "text/event-stream", r
    parts = [e["PayloadPart"]["Bytes"] for e in r["Body"]]
    events = [p for p in parts if p]
    assert len(events) == 40 and all(p.startswith(b"data: {") and p.endswith(b"}\n\n") for p in events), events
    u = urllib.parse.urlsplit(url)
    h = http.client.HTTPConnection(u.hostname, u.port, timeout=60)
    h.request("POST", "/generate_stream", json.dumps(body(40, details=True)), {"Content-Type": "application/json"})
    plain = [p + b"\n\n" for p in h.getresponse().read().split(b"\n\n") if p and not p.startswith(b":")]
    h.close()
    assert events == plain, (events[:2], plain[:2])


@case
def saker_the_examples_of_sagemaker_read_it(c, url):
    text = []
    for line in Lines(ask_stream(c, body(30, True))["Body"]):
        if b"{" in line:
            last = json.loads(line[line.find(b"{"):])
            text.append(last["token"]["text"])
    whole = json.loads(ask(c, body(30))["Body"].read())[0]["generated_text"]
    assert last["generated_text"] == whole and "".join(text) == whole, (text, whole)


@case
def saker_a_stream_that_was_not_asked_for_is_one_part(c, url):
    r = ask_stream(c, body(3))
    assert r["ContentType"] == "application/json", r
    parts = [e["PayloadPart"]["Bytes"] for e in r["Body"]]
    assert len(parts) == 1 and list(json.loads(parts[0])[0]) == ["generated_text"], parts


@case
def saker_a_refusal_is_a_model_error(c, url):
    for f in (ask, ask_stream):
        e = refused(f, c, body(5, temperature=-1.0))
        assert isinstance(e, c.exceptions.ModelError), e
        assert e.response["OriginalStatusCode"] == 422 and e.response["ResponseMetadata"]["HTTPStatusCode"] == 424, e.response
        assert json.loads(e.response["OriginalMessage"]) == {"error": "Input validation error: `temperature` must be strictly positive",
                                                            "error_type": "validation"}, e.response
        assert "Received client error (422) from primary with message" in e.response["Error"]["Message"], e.response


@case
def saker_a_bad_session_is_a_validation_error(c, url):
    e = refused(ask_stream, c, body(5), SessionId="NEW_SESSION")
    assert e.response["Error"]["Code"] == "ValidationError" and "cannot begin a session" in e.response["Error"]["Message"], e.response


@case
def saker_bytes_of_no_type_are_what_the_container_says(c, url):
    e = refused(c.invoke_endpoint, EndpointName="llm", Body=b"\x00")
    assert e.response["OriginalStatusCode"] == 415, e.response


@case
def saker_a_stream_that_breaks_ends_in_an_exception(c, url):
    r = ask_stream(c, body(8000, True))
    events, broke = iter(r["Body"]), None
    while not next(events)["PayloadPart"]["Bytes"]:
        pass
    u = urllib.parse.urlsplit(url)
    h = http.client.HTTPConnection(u.hostname, u.port, timeout=60)
    h.request("DELETE", "/requests/" + r["ResponseMetadata"]["RequestId"])
    assert h.getresponse().status == 200
    h.close()
    try:
        for _ in events:
            pass
    except EventStreamError as e:
        broke = e
    assert broke and broke.response["Error"]["Code"] == "ModelStreamError", broke
    assert json.loads(broke.response["Error"]["Message"])["error_type"] == "incomplete_generation", broke.response


@case
def tgi_an_error_of_a_stream_is_its_event(c, url):
    r = ask_stream(c, {"inputs": "", "stream": True})
    parts = [e["PayloadPart"]["Bytes"] for e in r["Body"]]
    assert parts == [b'data:{"error":"Input validation error: `inputs` cannot be empty","error_type":"validation"}\n\n'], parts


@case
def tgi_events_are_those_of_its_version(c, url):
    parts = [e["PayloadPart"]["Bytes"] for e in ask_stream(c, body(3, True))["Body"]]
    assert [p[:6] for p in parts if p] == [b"data:{"] * 3, parts


@case
def key_is_asked_for(c, url):
    e = refused(ask, c, body(1))
    assert e.response["Error"]["Code"] == "AccessDeniedException", e.response


@case
def key_travels_beside_the_signature(c, url):
    c = client(url)
    c.meta.events.register("before-sign.sagemaker-runtime", lambda request, **_: request.headers.add_header("x-api-key", KEY))
    assert ask(c, body(1))["ContentType"] == "application/json"
    assert len([1 for e in ask_stream(c, body(2, True))["Body"] if e["PayloadPart"]["Bytes"]]) == 2


def main():
    failed = 0
    for only, flags in (("saker", []), ("tgi", ["--compat", "tgi-0.9.3"]), ("key", ["--api-key", KEY])):
        with server(*flags) as url:
            failed += all_of(client(url), url, only=only)
    done("boto3_runtime", failed)


main()
