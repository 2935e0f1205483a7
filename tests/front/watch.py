# SPDX-License-Identifier: Apache-2.0
"""What the server says about requests: metrics, the log, /requests, API keys. Spoken to in FastCGI by hand."""
import hashlib, json, os, re, sys, tempfile

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from front import *

try:
    from prometheus_client.parser import text_string_to_metric_families
except ImportError:
    text_string_to_metric_families = None

DEF = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "fcgi", "metrics.def")


def gen(tokens=3, inputs="hello", **more):
    return {"inputs": inputs, "parameters": dict({"max_new_tokens": tokens}, **more)}


def header(name, value):
    return ("HTTP_" + name.upper().replace("-", "_")).encode(), value if isinstance(value, bytes) else value.encode()


def ask(srv, method, uri, body=b"", **headers):
    """(status, headers, body) of one request; headers as keywords, http_x_y as parameters with any name."""
    more = [header(k, v) if not k.isupper() else (k.encode(), v.encode()) for k, v in headers.items()]
    a = fcgi(srv.path, method, uri, body, more=more)
    assert a, "%s %s: no answer" % (method, uri)
    return a[:3]


def families(srv, **headers):
    """{name: family} as a real parser reads them."""
    if not text_string_to_metric_families:
        raise Skip("python3 has no prometheus_client (Debian: python3-prometheus-client)")
    status, h, body = ask(srv, "GET", "/metrics", **headers)
    assert status == 200 and h["content-type"] == "text/plain; version=0.0.4; charset=utf-8", (status, h)
    out = {}
    for f in text_string_to_metric_families(body.decode()):
        assert f.name not in out, "%s comes twice" % f.name
        out[f.name] = f
    return out


def samples(srv, **headers):
    """{'name{label="value"}': number}"""
    out = {}
    for f in families(srv, **headers).values():
        for s in f.samples:
            # The parser names counters as OpenMetrics does, with _total at the end.
            own = s.name.removesuffix("_total") if f.type == "counter" and s.name.startswith("tgi_") else s.name
            name = own + ("{%s}" % ",".join('%s="%s"' % i for i in s.labels.items()) if s.labels else "")
            assert name not in out, "%s comes twice" % name
            out[name] = s.value
    return out


def expect(got, **want):
    bad = {k: (got.get(k), v) for k, v in want.items() if got.get(k) != v}
    assert not bad, "got and wanted: %s" % bad


def deltas(after, before):
    return {k: v - before.get(k, 0) for k, v in after.items()}


def start_stream(srv, body, **headers):
    """A peer whose stream has begun: its first token came. (peer, id)"""
    p = Peer(srv.path)
    p.send(request("POST", "/generate_stream", body, more=[header(k, v) for k, v in headers.items()]))
    out = b""
    while b"data: " not in out if "@silent" not in body["inputs"] else b"\r\n\r\n" not in out:
        out += p.record()[2]
    return p, re.search(rb"x-request-id: (\S+)\r\n", out)[1].decode(), out


def rest(p, out):
    """(whole output, protocol status)"""
    while True:
        kind, _, content = p.record()
        if kind == END:
            return out, content[4]
        out += content


# ---- metrics ----------------------------------------------------------------------------------------------------

def every_metric_has_its_name_type_and_buckets(argv):
    types = {"COUNTER": "counter", "GAUGE": "gauge", "HISTOGRAM": "histogram", "SUMMARY": "summary", "INFO": "gauge"}
    rows = re.findall(r'^SK_METRIC\(\w+,\s*"(\w+)",\s*(\w+),\s*"(\w*)",\s*"([^"]*)",\s*(\w+), "(.+)"\)$', open(DEF).read(), re.M)
    assert len(rows) == len(re.findall(r"^SK_METRIC\(", open(DEF).read(), re.M)) > 40
    with Server(argv) as srv:
        got = families(srv)
        info = json.loads(ask(srv, "GET", "/info")[2])
        for name, kind, label, values, buckets, words in rows:
            if label == "key":
                assert not any(name.startswith(g) for g in got), "%s without keys" % name
                continue
            # The parser takes the end off counters whose name ends in _total.
            f = got.pop(name.removesuffix("_total") if kind == "COUNTER" else name, None)
            assert f, "%s is missing" % name
            assert (f.type, f.documentation) == (types[kind], words), (name, f.type, f.documentation)
            if label:
                seen = {s.labels[label] for s in f.samples}
                assert seen == set(values.split(" ")), (name, seen)
            if kind == "HISTOGRAM":
                one = [float(s.labels["le"]) for s in f.samples if s.name.endswith("_bucket")
                       and (not label or s.labels[label] == values.split(" ")[0])]
                linear = lambda top: [top / 100 * (i + 1) for i in range(100)]
                want = {"TIMES": [0.00015 * 1.5 ** k for k in range(35)], "INPUT": linear(info["max_input_tokens"]),
                        "TOTAL": linear(info["max_total_tokens"]), "BATCH": list(range(1, 1025))}[buckets]
                assert len(one) == len(want) + 1 and one[-1] == float("inf"), (name, len(one))
                assert all(abs(a - b) <= 1e-9 * b for a, b in zip(one, want)), (name, one[:3], want[:3])
        assert not got, "not in metrics.def: %s" % list(got)


def promtool_finds_nothing_but_names_of_text_generation_inference(argv):
    """Prometheus' own judge. The names of TGI break its customs and stay: dashboards know them."""
    promtool = shutil.which(os.environ.get("PROMTOOL", "promtool"))
    if not promtool:
        raise Skip("promtool is not installed (Debian: prometheus)")
    with Server(argv) as srv:
        sent = ask(srv, "POST", "/generate", gen())
        assert sent[0] == 200, sent
        judge = lambda text: subprocess.run([promtool, "check", "metrics"], input=text, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        text = ask(srv, "GET", "/metrics")[2]
        said = judge(text)
        hints = said.stdout.decode().splitlines()
        assert said.returncode in (0, 3), said              # 3: customs are broken; 1: it cannot be read
        assert all(re.match(r"tgi_\w+ (counter metrics should have \"_total\"|non-histogram and non-summary metrics should not have) ", h)
                   for h in hints), hints
        assert judge(text + b"saker_x{a=b} 1\n").returncode not in (0, 3), "it reads what it is given"


def the_counters_agree_with_what_was_sent(argv):
    double_only(argv)
    with Server(argv, env={"SAKER_DOUBLE_RATE": 200}, flags=["--max-concurrent-requests", "3"]) as srv:
        before = samples(srv)
        for body in gen(5, "abc"), gen(7, "hello there"):
            assert ask(srv, "POST", "/generate", body)[0] == 200
        assert b"generated_text" in ask(srv, "POST", "/generate_stream", gen(4))[2]
        assert ask(srv, "POST", "/generate", gen(0))[0] == 422                      # counted as validation
        assert ask(srv, "POST", "/generate", {"inputs": 5})[0] == 422               # never became a generation
        assert ask(srv, "POST", "/generate", b"{")[0] == 400
        assert ask(srv, "GET", "/generate")[0] == 405
        assert ask(srv, "GET", "/nothing")[0] == 404
        assert ask(srv, "POST", "/generate", gen(9, "@fail"))[0] == 424
        assert b'"error_type":"generation"' in ask(srv, "POST", "/generate_stream", gen(9, "@fail"))[2]
        p, _, _ = start_stream(srv, gen(100000))                                    # left
        q, qid, qout = start_stream(srv, gen(100000))                               # cancelled
        s, _, _ = start_stream(srv, gen(100000, "@silent"))
        now = deltas(samples(srv), before)
        expect(now, **{"saker_open_streams": 3, "saker_permits_used": 3, "tgi_batch_current_size": 3})
        assert ask(srv, "POST", "/generate", gen())[0] == 429
        p.s.close()
        s.s.close()
        assert ask(srv, "DELETE", "/requests/" + qid)[0] == 200
        assert rest(q, qout)[1] == 0
        q.s.close()
        wait_for("those who left are forgotten", lambda: samples(srv)["saker_open_streams"] == 0)
        d = deltas(samples(srv), before)
        good = 3
        expect(d, **{
            "tgi_request_count": good + 7, "tgi_request_success": good,
            'tgi_request_failure{err="validation"}': 1, 'tgi_request_failure{err="generation"}': 2,
            'tgi_request_failure{err="overloaded"}': 1, 'tgi_request_failure{err="dropped"}': 2,
            'tgi_request_failure{err="incomplete"}': 1, 'tgi_request_failure{err="unavailable"}': 0,
            "tgi_request_duration_count": good, "tgi_request_queue_duration_count": good,
            "tgi_request_validation_duration_count": good, "tgi_request_inference_duration_count": good,
            "tgi_request_mean_time_per_token_duration_count": good,
            "tgi_request_generated_tokens_count": good, "tgi_request_input_length_count": good + 5,
            "tgi_request_max_new_tokens_count": good + 5, "tgi_request_skipped_tokens_count": good,
            "saker_time_to_first_token_seconds_count": good + 4,
            'saker_refusals_total{reason="validation"}': 2, 'saker_refusals_total{reason="invalid_json"}': 1,
            'saker_refusals_total{reason="method_not_allowed"}': 1, 'saker_refusals_total{reason="not_found"}': 1,
            'saker_refusals_total{reason="overloaded"}': 1, 'saker_refusals_total{reason="unauthorized"}': 0,
            'saker_cancellations_total{by="client"}': 2, 'saker_cancellations_total{by="api"}': 1,
            'saker_cancellations_total{by="drain"}': 0,
            "saker_open_streams": 0, "saker_permits_used": 0, "tgi_batch_current_size": 0, "saker_connections": 0,
            "tgi_request_generated_tokens_sum": 5 + 7 + 4, 'tgi_request_generated_tokens_bucket{le="20000"}': 3,
            "tgi_request_input_length_sum": 3 + 11 + 5 + 2 * 5 + 2 * 5 + 7,
            "tgi_request_max_new_tokens_sum": 5 + 7 + 4 + 2 * 9 + 3 * 100000})
        # 4 tokens take 3 periods at least; nothing takes longer than the test.
        assert 3 * 4 / 200 < d["tgi_request_inference_duration_sum"] <= d["tgi_request_duration_sum"] < DEADLINE


def the_counters_agree_with_the_answers(argv):
    """Of any engine: what the answers tell of themselves, summed, is what the metrics say."""
    with Server(argv) as srv:
        before = samples(srv)
        told = []
        for tokens, text in (1, "a"), (5, "some words"), (12, "and more of them"), (3, "x"):
            status, h, _ = ask(srv, "POST", "/generate", gen(tokens, text))
            assert status == 200
            told.append((int(h["x-prompt-tokens"]), int(h["x-generated-tokens"])))
        prompt, new = (sum(t[i] for t in told) for i in (0, 1))
        # The engine tells its step after the step's events: the last one may come a moment later.
        d = wait_for("the last step is counted", lambda: (lambda d: d["saker_prompt_tokens_total"] == prompt and d)(
            deltas(samples(srv), before)))
        expect(d, **{
            "tgi_request_count": 4, "tgi_request_success": 4, "tgi_request_input_length_sum": prompt,
            "tgi_request_generated_tokens_sum": new, "tgi_request_max_new_tokens_sum": 21, "saker_generated_tokens_total": new,
            "saker_inter_token_seconds_count": new - 4, "saker_time_to_first_token_seconds_count": 4,
            "tgi_batch_next_size_sum": 4, 'tgi_batch_next_size_bucket{le="1"}': 4, 'tgi_batch_concat{reason="chunking"}': 0,
            "saker_preemptions_total": 0, "saker_refusals_total{reason=\"validation\"}": 0})
        if "double" not in argv[0]:
            steps = sum(d['tgi_batch_inference_count{method="%s"}' % m] for m in ("prefill", "decode"))
            assert d['tgi_batch_inference_count{method="prefill"}'] >= 4 and new - 1 <= steps <= new + 4, d
            assert d["saker_queue_wait_seconds_count"] == 4 and samples(srv)["saker_kv_blocks"] > 0
            assert 0 < d["tgi_request_inference_duration_sum"] <= d["tgi_request_duration_sum"] < DEADLINE


def answers_and_bytes_are_counted(argv):
    with Server(argv) as srv:
        before = samples(srv)
        out = ask(srv, "GET", "/readyz")
        with Peer(srv.path) as p:
            d = deltas(samples(srv), before)
        expect(d, **{'saker_http_responses_total{code="2xx"}': 2, 'saker_http_responses_total{code="4xx"}': 0,
                     "saker_accepted_connections_total": 3, "saker_connections": 1})
        sent = len(request("GET", "/readyz")) + len(request("GET", "/metrics"))
        expect(d, saker_received_bytes_total=sent)
        assert d["saker_sent_bytes_total"] > len(out[2]) + 100000


def metrics_answer_while_loading(argv):
    double_only(argv)
    with Server(argv, env={"SAKER_DOUBLE_LOAD_MS": 3000}, ready=False) as srv:
        got = samples(srv)
        expect(got, **{'saker_state{state="loading"}': 1, 'saker_state{state="ready"}': 0, "saker_load_total_bytes": 1000})
        assert got["saker_load_done_bytes"] < 1000
        assert ask(srv, "POST", "/generate", gen())[0] == 503
        expect(samples(srv), **{'saker_refusals_total{reason="loading"}': 1, 'tgi_request_failure{err="unavailable"}': 1})
        wait_for("it is ready", lambda: samples(srv)['saker_state{state="ready"}'] == 1)


def a_full_worker_queue_counts_as_overload(argv):
    double_only(argv)
    with Server(argv, env={"SAKER_DOUBLE_SUBMIT_MS": 1000}, flags=["--workers", "1"]) as srv:
        peers = [Peer(srv.path) for _ in range(1030)]
        for p in peers:
            p.send(request("POST", "/generate", gen()))
        late = peers[-1].answer()
        assert late[0] == 429
        got = samples(srv)
        assert got['tgi_request_failure{err="overloaded"}'] >= 1
        assert got['saker_refusals_total{reason="overloaded"}'] == got['tgi_request_failure{err="overloaded"}']
        listed = json.loads(ask(srv, "GET", "/requests")[2])
        assert listed["arrived"] > 1000 and len(listed["requests"]) == 1000 and listed["not_listed"] > 0, listed["arrived"]
        for p in peers:
            p.s.close()
        srv.p.kill()            # nobody waits for a thousand seconds of a busy worker
        srv.p.wait()
        raise_on_sanitizer(srv)
        srv.p.returncode = 0


def raise_on_sanitizer(srv):
    assert not re.search("Sanitizer|runtime error", srv.log()), srv.log()[-3000:]


# ---- the id -----------------------------------------------------------------------------------------------------

def a_request_has_an_id(argv):
    double_only(argv)
    with Server(argv) as srv:
        ids = {ask(srv, "GET", "/livez")[1]["x-request-id"] for _ in range(50)}
        assert len(ids) == 50 and all(re.fullmatch("[0-9a-f]{32}", i) for i in ids)
        for own in "a", "trace-1.2:3=4+5@6_7", "x" * 64:
            assert ask(srv, "GET", "/livez", x_request_id=own)[1]["x-request-id"] == own
        for bad in "", "x" * 65, "a b", "a\r\nset-cookie: x", "a/b", "\u00e9", "a\"b":
            status, h, _ = ask(srv, "GET", "/livez", x_request_id=bad)
            assert status == 200 and re.fullmatch("[0-9a-f]{32}", h["x-request-id"]) and "set-cookie" not in h, bad
        p, one, _ = start_stream(srv, gen(100000), x_request_id="mine")
        assert one == "mine"
        assert re.fullmatch("[0-9a-f]{32}", ask(srv, "GET", "/livez", x_request_id="mine")[1]["x-request-id"]), "taken"
        p.s.close()
        wait_for("it is free again", lambda: ask(srv, "GET", "/livez", x_request_id="mine")[1]["x-request-id"] == "mine")


# ---- /requests --------------------------------------------------------------------------------------------------

def requests_are_listed_looked_at_and_cancelled(argv):
    double_only(argv)
    with Server(argv) as srv:
        empty = {"requests": [], "not_listed": 0, "arrived": 0, "queued": 0, "running": 0}
        assert json.loads(ask(srv, "GET", "/requests")[2]) == empty
        p, pid, pout = start_stream(srv, gen(100000))
        q = Peer(srv.path)
        q.send(request("POST", "/", gen(50, "@silent"), more=[header("x-request-id", "second"), (b"REMOTE_ADDR", b"192.0.2.7"),
                                                              (b"REMOTE_USER", b"J\xc3\xb6rg")]))
        two = wait_for("both are there", lambda: (lambda l: l["queued"] == l["running"] == 1 and l)(
            json.loads(ask(srv, "GET", "/requests")[2])))
        # Nobody can be told from anybody: no id, no client.
        assert set().union(*two["requests"]) == {"state", "path", "age_ms", "prompt_tokens", "generated_tokens",
                                                 "max_new_tokens", "stream", "cancelled"}, two
        one = json.loads(ask(srv, "GET", "/requests/second")[2])
        age = one.pop("age_ms")
        assert 0 <= age < DEADLINE * 1000
        assert one == {"state": "queued", "id": "second", "path": "/", "client": "192.0.2.7", "user": "J\u00f6rg",
                       "prompt_tokens": 7, "generated_tokens": 0, "max_new_tokens": 50, "stream": False, "cancelled": False}
        one = json.loads(ask(srv, "GET", "/requests/" + pid)[2])
        assert one["state"] == "running" and one["generated_tokens"] > 0 and one["stream"] is True
        for method in "GET", "DELETE":
            status, _, body = ask(srv, method, "/requests/nobody")
            assert status == 404 and json.loads(body)["error_type"] == "not_found"
        assert ask(srv, "POST", "/requests/second", {})[0] == 405
        assert "DELETE" in ask(srv, "OPTIONS", "/requests/second")[1]["allow"]
        assert ask(srv, "HEAD", "/requests/second")[2] == b""

        status, _, body = ask(srv, "DELETE", "/requests/second")
        assert status == 200 and json.loads(body)["cancelled"] is True
        status, _, body, _ = q.answer()
        assert status == 410 and json.loads(body) == {"error": "Incomplete generation: the request was cancelled",
                                                      "error_type": "incomplete_generation"}, body
        assert ask(srv, "DELETE", "/requests/" + pid)[0] == 200
        out, end = rest(p, pout)
        last = out.decode().split("\n\n")[-2]
        assert end == 0 and json.loads(last[6:]) == {"error": "Incomplete generation: the request was cancelled",
                                                     "error_type": "incomplete_generation"}, last
        assert len(srv.trace("cancel")) == 2
        assert json.loads(ask(srv, "GET", "/requests")[2]) == empty
        assert ask(srv, "DELETE", "/requests/second")[0] == 404


def a_request_is_cancelled_while_a_worker_has_it(argv):
    double_only(argv)
    with Server(argv, env={"SAKER_DOUBLE_SUBMIT_MS": 700}) as srv, Peer(srv.path) as p:
        p.send(request("POST", "/generate", gen(100000), more=[header("x-request-id", "early")]))
        one = wait_for("it is there", lambda: (lambda a: a[0] == 200 and json.loads(a[2]))(ask(srv, "GET", "/requests/early")))
        assert one["state"] == "arrived" and "prompt_tokens" not in one, one
        assert ask(srv, "DELETE", "/requests/early")[0] == 200
        assert p.answer()[0] == 410


def cancelling_and_leaving_at_once_harms_nobody(argv):
    double_only(argv)
    with Server(argv, env={"SAKER_DOUBLE_RATE": 500}) as srv:
        fds = srv.fds()
        for i in range(60):
            p, rid, out = start_stream(srv, gen(2 + i % 7))
            if i % 3:
                assert ask(srv, "DELETE", "/requests/" + rid)[0] in (200, 404)
            if i % 2:
                p.s.close()
            else:
                assert rest(p, out)[1] == 0
                p.s.close()
        wait_for("all is given back", lambda: srv.fds() <= fds and not json.loads(ask(srv, "GET", "/requests")[2])["requests"])
        assert srv.alive()


# ---- API keys ---------------------------------------------------------------------------------------------------

KEYS = "alice alpha-key\nbob sha256:%s\nroot rho admin\n" % hashlib.sha256(b"beta-key").hexdigest()
ROUTES = [("POST", "/generate", gen()), ("POST", "/generate_stream", gen()), ("POST", "/", gen()),
          ("POST", "/invocations", gen()), ("GET", "/info", b""), ("GET", "/metrics", b""), ("GET", "/requests", b""),
          ("GET", "/requests/x", b""), ("DELETE", "/requests/x", b""), ("GET", "/nothing", b""), ("PUT", "/generate", b""),
          ("HEAD", "/info", b"")]


def routes_ask_for_a_key(argv):
    with KeyFile(KEYS) as k, Server(argv, flags=["--api-key-file", k.path]) as srv:
        for path in "/livez", "/readyz", "/ping", "/health", "/":
            assert ask(srv, "GET", path)[0] == 200, path
        for method, path, body in ROUTES:
            status, h, out = ask(srv, method, path, body)
            assert status == 401 and h["www-authenticate"] == 'Bearer realm="saker"', (method, path, status, h)
            assert h["access-control-allow-origin"] == "*" and h["x-request-id"]
            assert method == "HEAD" or json.loads(out) == {"error": "An API key is needed: Authorization: Bearer KEY",
                                                           "error_type": "unauthorized"}
            assert ask(srv, method, path, body, authorization="Bearer alpha-key")[0] in (200, 404, 405), (method, path)
        # A browser asks before it sends a key.
        status, h, _ = ask(srv, "OPTIONS", "/generate", access_control_request_method="POST")
        assert status == 200 and "authorization" in h["access-control-allow-headers"]


def a_key_comes_in_one_of_two_headers(argv):
    good = [dict(authorization="Bearer alpha-key"), dict(authorization="bearer  alpha-key "), dict(authorization="BEARER beta-key"),
            dict(x_api_key="alpha-key"), dict(authorization="Basic YTpi", x_api_key="beta-key"), dict(x_api_key="rho")]
    bad = [dict(authorization="Bearer alpha-ke"), dict(authorization="Bearer alpha-keyy"), dict(authorization="Bearer Alpha-key"),
           dict(authorization="Bearer"), dict(authorization="Bearer "), dict(authorization="alpha-key"),
           dict(authorization="Bearer wrong", x_api_key="alpha-key"), dict(x_api_key=""), dict(x_api_key="x" * 5000),
           dict(authorization="Bearer " + hashlib.sha256(b"alpha-key").hexdigest()), dict(authorization="Basic alpha-key"),
           dict(authorization="Bearer sha256:" + hashlib.sha256(b"beta-key").hexdigest())]
    with KeyFile(KEYS) as k, Server(argv, flags=["--api-key-file", k.path]) as srv:
        for h in good:
            assert ask(srv, "GET", "/info", **h)[0] == 200, h
        for h in bad:
            assert ask(srv, "GET", "/info", **h)[0] == 401, h
        status, h, body = ask(srv, "GET", "/info", authorization="Bearer wrong")
        assert h["www-authenticate"] == 'Bearer realm="saker", error="invalid_token"'
        assert json.loads(body)["error"] == "This API key is not known"
        assert not re.search("alpha|beta|wrong", srv.log()), "a key is in the log"


def a_key_names_its_owner_in_log_and_metrics(argv):
    double_only(argv)
    with KeyFile(KEYS) as k, Server(argv, flags=["--api-key-file", k.path, "--api-key", "mu"]) as srv:
        for key in "alpha-key", "beta-key", "beta-key", "mu":
            assert ask(srv, "POST", "/generate", gen(4), authorization="Bearer " + key)[0] == 200
        assert ask(srv, "POST", "/generate", gen(9, "@fail"), authorization="Bearer alpha-key")[0] == 424
        assert ask(srv, "POST", "/generate", gen())[0] == 401
        got = samples(srv, authorization="Bearer mu")
        for name, (requests, failures, prompt, generated) in {"alice": (2, 1, 10, 6), "bob": (2, 0, 10, 8), "root": (0, 0, 0, 0),
                                                              "api-key": (1, 0, 5, 4)}.items():
            expect(got, **{'saker_key_requests_total{key="%s"}' % name: requests,
                           'saker_key_failures_total{key="%s"}' % name: failures,
                           'saker_key_prompt_tokens_total{key="%s"}' % name: prompt,
                           'saker_key_generated_tokens_total{key="%s"}' % name: generated})
        expect(got, **{'saker_refusals_total{reason="unauthorized"}': 1, "tgi_request_count": 5})
        lines = wait_for("all are logged", lambda: (lambda l: len(l) >= 6 and l)(re.findall(r".*path=/generate.*", srv.log())))
        assert [re.findall(r" key=(\S+)", l) for l in lines] == [["alice"], ["bob"], ["bob"], ["api-key"], ["alice"], []]


def requests_of_others_are_not_there(argv):
    double_only(argv)
    alice, bob, root = ({"authorization": "Bearer " + k} for k in ("alpha-key", "beta-key", "rho"))
    with KeyFile(KEYS) as k, Server(argv, flags=["--api-key-file", k.path]) as srv:
        p, pid, pout = start_stream(srv, gen(100000), **alice)
        q, qid, qout = start_stream(srv, gen(100000), **bob)
        ids = lambda who: {r["id"] for r in json.loads(ask(srv, "GET", "/requests", **who)[2])["requests"]}
        assert ids(alice) == {pid} and ids(bob) == {qid} and ids(root) == {pid, qid}
        assert json.loads(ask(srv, "GET", "/requests/" + pid, **alice)[2])["key"] == "alice"
        assert ask(srv, "GET", "/requests/" + pid, **bob)[0] == 404
        assert ask(srv, "DELETE", "/requests/" + pid, **bob)[0] == 404
        assert ask(srv, "DELETE", "/requests/" + pid)[0] == 401
        assert not srv.trace("cancel")
        assert ask(srv, "DELETE", "/requests/" + pid, **alice)[0] == 200
        assert ask(srv, "DELETE", "/requests/" + qid, **root)[0] == 200
        assert b"was cancelled" in rest(p, pout)[0] and b"was cancelled" in rest(q, qout)[0]


def a_body_without_a_key_takes_nobodys_memory(argv):
    limit = 1 << 20
    body = json.dumps(gen(0, "x" * (limit - 100)))[:limit].encode()
    def half(key):
        p = Peer(srv.path)
        more = [header("authorization", "Bearer " + key)] if key else []
        p.send(begin() + stream(PARAMS, 1, params("POST", "/generate", more)))
        for at in range(0, len(body) - 1000, 50000):
            p.send(record(STDIN, 1, body[at:at + 50000] if at + 50000 < len(body) - 1000 else body[at:-1000]))
        return p

    def answer(p):
        p.send(record(STDIN, 1, body[-1000:]) + record(STDIN, 1))
        return p.answer()[0]

    with Server(argv, flags=["--api-key", "k", "--payload-limit", str(limit)]) as srv:
        strangers = [half("") for _ in range(10)] + [half("wrong") for _ in range(10)]
        # Another request is served behind all that was sent.
        assert answer(half("k")) == 422
        assert [answer(p) for p in strangers] == [401] * 20
        friends = [half("k") for _ in range(12)]
        assert 429 in [answer(p) for p in friends], "the limit of all bodies holds for those who have a key"
        assert answer(half("k")) == 422


def a_wrong_file_of_keys_is_an_error_at_the_start(argv):
    model = [] if len(argv) > 1 else ["--model", "double"]
    for text, mode, words in ((KEYS, 0o622, "others than its owner may write it"), ("a\n", 0o600, ":1: a line is NAME KEY"),
                              ("# none\n", 0o600, "no API key in it")):
        with KeyFile(text, mode) as k:
            r = subprocess.run([argv[0], "serve"] + argv[1:] + model + ["--api-key-file", k.path, "--listen", "unix:" + k.path + "s"],
                               capture_output=True, text=True, timeout=DEADLINE)
            assert r.returncode == 2 and words in r.stderr, (r.returncode, r.stderr)
            assert not os.path.exists(k.path + "s")


# ---- the log ----------------------------------------------------------------------------------------------------

def logged(srv, rid):
    """The line of a request; it is written after the answer."""
    return wait_for("request %s is logged" % rid, lambda: re.findall(r"^.*%s.*$" % re.escape(rid), srv.log(), re.M))[0]


def the_counters_agree_with_several_answers_of_a_request(argv):
    if "double" in argv[0]:
        return
    with Server(argv, flags=["--json-output"]) as srv:
        before = samples(srv)
        status, h, _ = ask(srv, "POST", "/generate", gen(6, "some words", best_of=2, do_sample=True, ignore_eos=True))
        assert status == 200 and h["x-generated-tokens"] == "6", (status, h)
        # The prompt is calculated once, but for its last token.
        prompt = int(h["x-prompt-tokens"]) + 1
        d = wait_for("the last step is counted", lambda: (lambda d: d["saker_generated_tokens_total"] == 12 and d)(deltas(samples(srv), before)))
        expect(d, **{"tgi_request_count": 1, "tgi_request_success": 1, "tgi_request_generated_tokens_sum": 12, "saker_permits_used": 0,
                     "tgi_request_max_new_tokens_sum": 6, "saker_prompt_tokens_total": prompt, "tgi_batch_next_size_sum": 2})
        line = json.loads(logged(srv, h["x-request-id"]))
        assert line["sequences"] == 2 and line["generated_tokens"] == 12 and line["max_new_tokens"] == 6 and "seed" not in line, line


def a_line_tells_a_request(argv):
    double_only(argv)
    with Server(argv, flags=["--json-output"]) as srv:
        _, h, body = ask(srv, "POST", "/generate?token=secret", gen(4, do_sample=True, seed=18446744073709551615),
                         REMOTE_ADDR="192.0.2.1", REMOTE_USER="joe", X_Forwarded_For="198.51.100.1")
        line = json.loads(logged(srv, h["x-request-id"]))
        assert line["message"] == "request" and line["level"] == "info", line
        for name, want in dict(id=h["x-request-id"], method="POST", path="/generate", status=200, client="192.0.2.1", user="joe",
                               prompt_tokens=5, generated_tokens=4, max_new_tokens=4, finish_reason="length").items():
            assert line[name] == want, (name, line)
        for name in "total_ms", "validation_ms", "queue_ms", "first_token_ms", "inference_ms", "time_per_token_ms":
            assert 0 <= line[name] < DEADLINE * 1000, (name, line)
        assert line["first_token_ms"] <= line["total_ms"] and line["bytes_out"] > len(body) and line["bytes_in"] > 50
        assert not {"key", "error", "end", "prompt"} & set(line) and "secret" not in srv.log()
        for uri, status, error in ("/nothing", 404, "not_found"), ("/info", 200, None):
            _, h, _ = ask(srv, "GET", uri)
            line = json.loads(logged(srv, h["x-request-id"]))
            assert line["status"] == status and line.get("error") == error
            assert line["level"] == ("info" if error else "debug"), line
        p, rid, _ = start_stream(srv, gen(100000))
        p.s.close()
        line = json.loads(logged(srv, rid))
        assert line["end"] == "client left" and line["generated_tokens"] > 0 and "finish_reason" not in line


def a_request_cut_by_the_end_has_its_line(argv):
    double_only(argv)
    with Server(argv) as srv:
        p, rid, _ = start_stream(srv, gen(100000))
        srv.term()
        wait_for("it drains", lambda: "draining" in srv.log())
        srv.term()
        srv.code()
        line = logged(srv, rid)
        assert 'end="server stopped"' in line and "generated_tokens=" in line and "status=200" in line, line
        p.s.close()


HOSTILE = ["a\nb", "\r\n2026-01-01T00:00:00Z info request id=fake", "\x1b[2J\x1b]0;x\x07", "\x7f\x01\x1f", "a b=c", '"quoted\\"',
           "\u202eevil", "\u009b31m", "\u2028x", "x" * 100000, "}{\"status\":200}", "%0a%00%1b"]


def nothing_that_is_sent_breaks_a_line(argv):
    double_only(argv)
    for as_json in False, True:
        with Server(argv, flags=["--log-prompts", "--forwarded-hops", "1"] + ["--json-output"] * as_json) as srv:
            raw = [h.encode() for h in HOSTILE] + [b"\xff\xfe\xc3", bytes(range(1, 256)), b"\xf0\x9f\x92\xa9" * 3000]
            ids = []
            for bad in raw:
                more = [(b"REMOTE_USER", bad[:40000]), (b"REMOTE_ADDR", bad[:40000]), header("x-forwarded-for", bad[:40000]),
                        header("x-request-id", bad[:40000]), header("authorization", b"Bearer " + bad[:40000])]
                body = {"inputs": bad.decode(errors="replace"), "parameters": {"max_new_tokens": 1}}
                for method, body in ("POST", body), (bad.replace(b"\0", b"")[:30].decode(errors="replace"), b""):
                    with Peer(srv.path) as p:
                        head = pair(b"REQUEST_METHOD", method.encode()) + pair(b"REQUEST_URI", b"/generate" + bad[:20000]
                                    if method != "POST" else b"/generate") + pair(b"CONTENT_TYPE", b"application/json")
                        head += b"".join(pair(n, v) for n, v in more)
                        body = body if isinstance(body, bytes) else json.dumps(body).encode()
                        p.send(begin() + stream(PARAMS, 1, head) + stream(STDIN, 1, body))
                        a = p.answer()
                        assert a, "no answer to %r" % bad[:50]
                        ids.append(a[1]["x-request-id"])
            for rid in ids:
                logged(srv, rid)
            log = open(srv.log_path, "rb").read()
            for line in log.split(b"\n")[:-1]:
                text = line.decode()                    # UTF-8, whatever came
                assert len(line) < 4096 and not re.search("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e]", text), line
                if as_json:
                    assert json.loads(text)["level"] in ("info", "debug", "warn"), text
                else:
                    assert re.match(r"2[0-9-]+T[0-9:.]+Z (info|debug|warn) ", text) and "id=fake" not in text.split('"')[::2], text
            assert len(re.findall(rb"prompt", log)) > len(raw)


def a_prompt_is_logged_when_asked_only(argv):
    double_only(argv)
    for flags, want in ([], False), (["--log-prompts"], True):
        with Server(argv, flags=flags) as srv:
            _, h, _ = ask(srv, "POST", "/generate", gen(2, "tell nobody " + "x" * 5000))
            line = logged(srv, h["x-request-id"])
            assert ("tell nobody" in srv.log()) == want and len(line) < 1200, line


def the_clients_address_is_the_web_servers_word(argv):
    cases = [(0, "203.0.113.9", "192.0.2.1"), (1, "203.0.113.9", "203.0.113.9"), (1, "198.51.100.7, 203.0.113.9", "203.0.113.9"),
             (2, "198.51.100.7, 203.0.113.9", "198.51.100.7"), (2, "203.0.113.9", "192.0.2.1"), (1, "", "192.0.2.1"),
             (1, "198.51.100.7, unknown", "192.0.2.1"), (1, "a, 2001:db8::1", "2001:db8::1"), (1, "x,\t[2001:db8::1]:443 ", "[2001:db8::1]:443"),
             (1, None, "192.0.2.1"), (3, ",,", "192.0.2.1"), (1, "1" * 65, "192.0.2.1")]
    for hops in range(4):
        with Server(argv, flags=["--forwarded-hops", str(hops), "--json-output"]) as srv:
            for n, sent, want in (c for c in cases if c[0] == hops):
                more = {} if sent is None else {"x_forwarded_for": sent}
                _, h, _ = ask(srv, "GET", "/nothing", REMOTE_ADDR="192.0.2.1", **more)
                got = json.loads(logged(srv, h["x-request-id"]))["client"]
                assert got == want, (hops, sent, got)


TESTS = [every_metric_has_its_name_type_and_buckets, promtool_finds_nothing_but_names_of_text_generation_inference,
         the_counters_agree_with_what_was_sent,
         the_counters_agree_with_the_answers, the_counters_agree_with_several_answers_of_a_request, answers_and_bytes_are_counted,
         metrics_answer_while_loading, a_full_worker_queue_counts_as_overload, a_request_has_an_id,
         requests_are_listed_looked_at_and_cancelled, a_request_is_cancelled_while_a_worker_has_it,
         cancelling_and_leaving_at_once_harms_nobody, routes_ask_for_a_key, a_key_comes_in_one_of_two_headers,
         a_key_names_its_owner_in_log_and_metrics, requests_of_others_are_not_there,
         a_body_without_a_key_takes_nobodys_memory, a_wrong_file_of_keys_is_an_error_at_the_start, a_line_tells_a_request, a_request_cut_by_the_end_has_its_line,
         nothing_that_is_sent_breaks_a_line,
         a_prompt_is_logged_when_asked_only, the_clients_address_is_the_web_servers_word]

if __name__ == "__main__":
    sys.exit(main(TESTS))
