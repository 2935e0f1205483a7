# SPDX-License-Identifier: Apache-2.0
# packages: openapi-spec-validator==0.9.0
"""/openapi.json: accepted by a validator in each dialect, complete, and true: real answers fit its schemas and nothing is in them that it
does not name; fields end where it says that they end."""
import copy
import http.client
import json
import os
import re
import urllib.parse

import jsonschema
from openapi_spec_validator import OpenAPIV31SpecValidator

from serve import all_of, case, done, server

TOP = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
# The end of a field's row that says who else does not have it.
UNKNOWN = {"saker": None, "tgi-3": "SK_KNOWS_SAKER ", "tgi-0.9.3": "(SK_KNOWS_SAKER|SINCE_3) "}


class Api:
    def __init__(self, url, dialect, key=None):
        self.url, self.dialect, self.key = urllib.parse.urlsplit(url), dialect, key
        self.document = json.loads(self.ask("GET", "/openapi.json")[2])
        self.schemas = self.document["components"]["schemas"]

    def ask(self, method, path, body=None, **headers):
        c = http.client.HTTPConnection(self.url.hostname, self.url.port, timeout=60)
        if body is not None and not isinstance(body, (bytes, str)):
            body = json.dumps(body)
        headers = {k.replace("_", "-"): v for k, v in headers.items()}
        if body is not None:
            headers.setdefault("Content-Type", "application/json")
        if self.key:
            headers.setdefault("x-api-key", self.key)
        c.request(method, path, body, headers)
        r = c.getresponse()
        out = r.status, r.headers.get("Content-Type"), r.read().decode("latin-1" if "amazon" in (r.headers.get("Content-Type") or "") else "utf-8")
        c.close()
        return out

    def fits(self, value, schema):
        """The value is of the schema, and has no member that the schema does not name."""
        closed = copy.deepcopy(self.schemas)
        for s in closed.values():
            if "properties" in s:
                s["additionalProperties"] = False
        jsonschema.Draft202012Validator({**schema, "components": {"schemas": closed}}).validate(value)

    def documented(self, method, path, body=None, at=None, status=200, **headers):
        """Ask; status, type and body must be ones that the document has for this path."""
        got, kind, text = self.ask(method, path, body, **headers)
        assert got == status, (got, text[:300])
        answer = self.document["paths"][at or path][method.lower()]["responses"][str(got)]
        if not text:
            assert "content" not in answer or got == 401, answer
            return text
        schema = answer["content"][kind]["schema"]
        if kind == "application/json":
            self.fits(json.loads(text), schema)
        elif kind == "text/event-stream":
            for frame in text.split("\n\n"):
                if frame and not frame.startswith(":") and frame != "data: [DONE]":
                    self.fits(json.loads(frame[5:]), schema["properties"]["data"]["contentSchema"])
        return text


def rows(name, macro):
    with open(os.path.join(TOP, "fcgi", name)) as f:
        return re.findall(r'^%s\("(\w+)",\s*"([^"]+)",(.*)' % macro, f.read(), re.M)


def gen(n=3, **parameters):
    return {"inputs": "My name is", "parameters": {"max_new_tokens": n, **parameters}}


@case
def a_validator_accepts_it(api):
    OpenAPIV31SpecValidator(api.document).validate()
    assert api.ask("GET", "/api-doc/openapi.json")[2] == json.dumps(api.document, separators=(",", ":"), ensure_ascii=False), "another one"


@case
def every_route_is_in_it(api):
    want = sorted((m.lower(), p) for m, p, row in rows("routes.def", "SK_ROUTE") if api.dialect != "tgi-0.9.3" or "SK_ROUTE_SINCE_3" not in row)
    got = sorted((m, p) for p, item in api.document["paths"].items() for m in item)
    assert len(want) > 15 and want == got, set(want) ^ set(got)
    names = [o["operationId"] for item in api.document["paths"].values() for o in item.values()]
    assert len(names) == len(set(names)), names


@case
def every_field_is_in_it_and_described(api):
    with open(os.path.join(TOP, "fcgi", "tgi_fields.c")) as f:
        table = re.findall(r"\{ PARAMETER\((\w+)\)(.*?)\},\n", f.read(), re.S)
    unknown = UNKNOWN[api.dialect]
    want = {name for name, row in table if not unknown or not re.search(unknown + "$", row)}
    got = api.schemas["GenerateParameters"]["properties"]
    assert len(want) > 12 and set(got) == want, set(got) ^ want
    for name, field in got.items():
        assert field["description"] and "type" in field, (name, field)
        assert "default" in field or "(default: " in field["description"], (name, field)
    assert api.schemas["GenerateRequest"]["required"] == ["inputs"], api.schemas["GenerateRequest"]
    assert api.schemas["DetectRequest"]["properties"]["ids"]["items"], api.schemas["DetectRequest"]


@case
def a_field_ends_where_it_says(api):
    for name, f in api.schemas["GenerateParameters"]["properties"].items():
        whole = f["type"][0] == "integer"
        step = 1 if whole else 1e-3
        good, bad = [None], []
        if f["type"][0] in ("integer", "number"):
            if "minimum" in f:
                good.append(f["minimum"])
                bad.append(f["minimum"] - step)
            if "exclusiveMinimum" in f:
                good.append(f["exclusiveMinimum"] + step)
                bad.append(f["exclusiveMinimum"])
            if "maximum" in f:
                bad.append(f["maximum"] + step)
                if name not in ("max_new_tokens", "truncate"):  # also limited by what there is room for
                    good.append(f["maximum"])
            if "exclusiveMaximum" in f:
                good.append(f["exclusiveMaximum"] - step)
                bad.append(f["exclusiveMaximum"])
        elif f["type"][0] == "array" and "maxItems" in f:
            good.append(["zz"] * f["maxItems"])
            bad.append(["zz"] * (f["maxItems"] + 1))
        elif f["type"][0] == "object" and "additionalProperties" in f:
            most = f["additionalProperties"]["maximum"]
            good += [{"1": most}, {"1": -most}]
            bad += [{"1": most + 1}, {"1": -most - 1}]
        elif f["type"] == "null":
            bad.append({"a": 1})
        for v in good:
            draws = {"do_sample": True} if name == "best_of" else {}        # which has no meaning without
            s, _, text = api.ask("POST", "/generate", gen(**{"max_new_tokens": 2, **draws, name: v}))
            assert s == 200 or (name == "max_new_tokens" and v is None), (name, v, s, text)
        for v in bad:
            s, _, text = api.ask("POST", "/generate", gen(**{"max_new_tokens": 2, name: v}))
            assert s == 422, (name, v, s, text)


@case
def answers_are_what_it_says(api):
    body = gen(details=True, decoder_input_details=True, top_n_tokens=2, do_sample=True, seed=1, return_full_text=True)
    text = api.documented("POST", "/generate", body)
    assert ("top_tokens" in text) == (api.dialect != "tgi-0.9.3"), text
    del body["parameters"]["seed"]
    body["parameters"]["best_of"] = 2
    assert "best_of_sequences" in api.documented("POST", "/generate", body)
    api.documented("POST", "/generate", gen())
    assert "finish_reason" in api.documented("POST", "/generate_stream", gen(details=True, top_n_tokens=2))
    for path in ("/", "/invocations", "/endpoints/{name}/invocations"):
        api.documented("POST", path.replace("{name}", "x"), gen(), at=path)
        api.documented("POST", path.replace("{name}", "x"), {**gen(), "stream": True}, at=path)
    api.documented("POST", "/endpoints/x/invocations-response-stream", {**gen(), "stream": True}, at="/endpoints/{name}/invocations-response-stream")
    api.documented("POST", "/watermark/detect", {"inputs": "one two three four five"})
    if api.dialect != "tgi-0.9.3":
        assert len(json.loads(api.documented("POST", "/tokenize", {"inputs": "one two"}))) > 1
        api.documented("POST", "/detokenize", {"tokens": [1, 2, 3]})
        api.documented("GET", "/v1/models")
        text = {"prompt": "My name is", "max_tokens": 3, "logprobs": 2, "echo": True, "n": 2}
        chat = {"messages": [{"role": "user", "content": "Hi"}], "max_tokens": 3, "logprobs": True, "top_logprobs": 2}
        for path, body in (("/v1/completions", text), ("/v1/chat/completions", chat)):
            api.documented("POST", path, body)
            api.documented("POST", path, {**body, "stream": True, "stream_options": {"include_usage": True}})
    for path in ("/", "/health", "/ping", "/livez", "/readyz", "/info", "/requests", "/openapi.json"):
        api.documented("GET", path)
    info = json.loads(api.documented("GET", "/info"))
    assert set(info) == set(api.schemas["Info"]["properties"]), info
    assert api.document["paths"]["/metrics"]["get"]["responses"]["200"]["content"][api.ask("GET", "/metrics")[1]]


@case
def errors_are_what_it_says(api):
    api.documented("POST", "/generate", "{", status=400)
    api.documented("POST", "/generate", gen(), status=400, x_request_timeout="soon")
    api.documented("POST", "/generate", gen(), status=415, Content_Type="text/plain")
    api.documented("POST", "/generate", {"inputs": 5}, status=422)
    api.documented("POST", "/generate", gen(temperature=-1.0), status=422)
    api.documented("POST", "/generate", '"' + "a" * (1 << 20) + '"', status=413)
    api.documented("POST", "/generate_stream", gen(temperature=-1.0), status=422 if api.dialect == "saker" else 200)
    api.documented("DELETE", "/requests/none", at="/requests/{id}", status=404)
    api.documented("POST", "/watermark/detect", {}, status=422)
    if api.dialect != "tgi-0.9.3":
        api.documented("POST", "/v1/completions", {"prompt": ""}, status=422)
        api.documented("POST", "/v1/chat/completions", "{", status=400)
    api.documented("POST", "/endpoints/x/invocations", gen(temperature=-1.0), at="/endpoints/{name}/invocations", status=424)
    api.documented("POST", "/endpoints/x/invocations", gen(), at="/endpoints/{name}/invocations", status=400, x_request_timeout="soon")
    if api.key:
        api.documented("POST", "/generate", gen(), status=401, x_api_key="another")
        api.documented("POST", "/endpoints/x/invocations", gen(), at="/endpoints/{name}/invocations", status=401, x_api_key="another")


@case
def keys_are_told_of_where_they_are_asked_for(api):
    for path, item in api.document["paths"].items():
        for method, o in item.items():
            open_to_all = path in ("/docs", "/health", "/ping", "/livez", "/readyz") or (path, method) == ("/", "get")
            assert ("security" in o) == (api.key is not None and not open_to_all), (path, method)
            assert ("401" in o["responses"]) == ("security" in o), (path, method)


def main():
    failed = 0
    for dialect in UNKNOWN:
        key = "s3cret-key" if dialect != "tgi-3" else None
        flags = ["--compat", dialect, "--payload-limit", "1000000"] + (["--api-key", key] if key else [])
        with server(*flags) as url:
            bad = all_of(Api(url, dialect, key))
            if bad:
                print(f"--- in {dialect}")
            failed += bad
    done("openapi", failed, len(UNKNOWN))


main()
