# SPDX-License-Identifier: Apache-2.0
"""saker behind real web servers: many streams, stalled readers, clients that leave, drain, refusals, and all that HTTP brings.

    SAKER_FRONT_WEB=nginx|apache|lighttpd web.py BINARY [FLAGS...]
"""
import base64, collections, hashlib, http.client as http_client, os, socket, subprocess, sys, threading

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from front import *
from webs import *

KIND = os.environ.get("SAKER_FRONT_WEB", "nginx")
# How long until a client that left is noticed: while tokens come, and in a silence, when only the comment of each second
# tells. nginx watches its client. Apache notices at its second write; lighttpd takes the client's FIN for a half-closed
# connection, and notices at its next one.
GONE_S = {"nginx": (0.1, 0.1), "lighttpd": (0.1, 1.5), "apache": (0.1, 3)}[KIND]


def front(*servers, **k):
    return Web(KIND, *(s.path for s in servers), **k)


def is_double(argv):
    return "double" in os.path.basename(argv[0])


def gen(tokens, inputs="hello"):
    return {"inputs": inputs, "parameters": {"max_new_tokens": tokens}}


def streams_of(port, n, tokens, inputs="hello", **k):
    return [Stream(port, "/generate_stream", gen(tokens, inputs), **k) for _ in range(n)]


def percentile(xs, p):
    return sorted(xs)[min(len(xs) - 1, int(len(xs) * p))]


def a_thousand_streams_lose_nothing(argv):
    double_only(argv)
    if raise_limits() < 4200:
        raise Skip("needs 4,200 descriptors (ulimit -n)")
    with Server(argv, flags=["--max-concurrent-requests", "2000"], env={"SAKER_DOUBLE_RATE": 50}) as srv, \
            front(srv) as web:
        fds = srv.fds()
        ss = streams_of(web.port, 1000, 30)
        drive(ss)
        for s in ss:
            check_stream(s, 30)
            s.close()
        # nginx keeps up to 32 connections for later
        wait_for("descriptors come back", lambda: srv.fds() <= fds + 32)


def gaps(s):
    at = [t for _, t in s.times]
    return [b - a for a, b in zip(at, at[1:])]


def stalled_readers_delay_nobody(argv):
    double_only(argv)
    with Server(argv, flags=["--max-concurrent-requests", "2000"], env={"SAKER_DOUBLE_RATE": 50}) as srv, \
            front(srv) as web:
        def worst():
            ss = streams_of(web.port, 50, 60)
            drive(ss)
            for s in ss:
                check_stream(s, 60)
                s.close()
            return percentile([g for s in ss for g in gaps(s)], .99)
        quiet = worst()
        stalled = streams_of(web.port, 20, 20000, "@wide", rcvbuf=4096)
        # Their sockets are full when what is generated no longer gets out: a megabyte each is more than all buffers hold.
        begun = time.monotonic()
        wait_for("the stalled readers' buffers are full", lambda: time.monotonic() - begun > 1.5 and srv.alive())
        # The machine is shared: a busy moment is measured again. Somebody who is held up stays so.
        beside = worst()
        for _ in range(4):
            if beside >= quiet * 3 + 0.1:
                beside = worst()
        print("      p99 gap between reads: %.1f ms alone, %.1f ms beside 20 stalled readers" %
              (quiet * 1e3, beside * 1e3))
        assert beside < quiet * 3 + 0.1, "a stalled reader held up the others"
        for s in stalled:
            s.close()
        wait_for("their generations end", lambda: len(srv.trace("end")) == len(srv.trace("submit")))


def a_reader_that_never_reads_is_dropped(argv):
    double_only(argv)
    with Server(argv, flags=["--write-timeout-ms", "300"], env={"SAKER_DOUBLE_RATE": 2000}) as srv:
        with Peer(srv.path) as p:
            p.send(request("POST", "/generate_stream", gen(100000, "@wide")))
            wait_for("its generation is cancelled", lambda: srv.trace("cancel"))
        assert "took nothing" in srv.log()


def a_slow_reader_gets_everything(argv):
    double_only(argv)
    with Server(argv, env={"SAKER_DOUBLE_RATE": 2000}) as srv, Peer(srv.path) as p:
        p.send(request("POST", "/generate_stream", gen(2000, "@wide")))
        wait_for("all is generated before anything is read", lambda: srv.trace("end"))
        _, _, body, _ = p.answer()
        ev = [json.loads(l[6:]) for l in body.decode().split("\n") if l.startswith("data: ")]
        assert [e["index"] for e in ev] == list(range(1, 2001))


def a_client_that_leaves_frees_its_sequence(argv):
    double_only(argv)
    with Server(argv) as srv, front(srv) as web:
        for words, limit in zip(("hello", "@silent"), GONE_S):
            took = []
            for i in range(10 if limit < 1 else 4):
                s = Stream(web.port, "/generate_stream", gen(100000, words))
                drive([s], until=lambda: b": ok" in s.raw)
                ends, t0 = len(srv.trace("end")), time.monotonic()
                s.close()
                wait_for("the sequence is free", lambda: len(srv.trace("end")) > ends)
                took.append(srv.trace("end")[-1][2] / 1e6 - t0)
            print("      %s: freed after %.1f ms at the median, %.1f ms at most" %
                  (words, percentile(took, .5) * 1e3, max(took) * 1e3))
            assert percentile(took, .5) < limit, took


def sixty_four_streams_with_eight_closed_halfway(argv):
    tokens = 60 if is_double(argv) else 24
    with Server(argv, flags=["--max-concurrent-requests", "200"]) as srv, front(srv) as web:
        prompts = ["The number %d is" % i for i in range(8)]
        alone = {}
        if not is_double(argv):
            for p in prompts:
                s = Stream(web.port, "/generate_stream", gen(tokens, p))
                drive([s], seconds=300)
                alone[p] = [e["token"]["id"] for e in s.events()]
                s.close()
        fds = srv.fds()
        ss = [Stream(web.port, "/generate_stream", gen(tokens, prompts[i % 8])) for i in range(64)]
        half = lambda s: s.raw.count(b"data: ") >= tokens // 2 or s.ended
        drive(ss, until=lambda: all(half(s) for s in ss[:8]), seconds=300)
        for s in ss[:8]:
            s.close()
        drive(ss[8:], seconds=300)
        for i, s in enumerate(ss[8:], 8):
            if is_double(argv):
                check_stream(s, tokens)
            else:
                assert s.status == 200 and s.events() and s.whole
                assert [e["token"]["id"] for e in s.events()] == alone[prompts[i % 8]], "differs from its solo answer"
            s.close()
        wait_for("descriptors come back", lambda: srv.fds() <= fds + 32)
        if is_double(argv):
            wait_for("all generations are closed", lambda: len(srv.trace("close")) == len(srv.trace("submit")))
        drive_after = http(web.port, "POST", "/generate", gen(3))
        assert drive_after[0] == 200


def sigterm_in_midstream_cuts_no_answer(argv):
    tokens = 60 if is_double(argv) else 24
    with Server(argv) as srv, front(srv) as web:
        ss = streams_of(web.port, 16, tokens)
        drive(ss, until=lambda: all(b"data: " in s.raw for s in ss))
        srv.term()
        drive(ss, seconds=300)
        for s in ss:
            if is_double(argv):
                check_stream(s, tokens)
            else:
                assert s.status == 200 and s.whole and s.events()[-1]["generated_text"] is not None
            s.close()
        assert srv.code() == 0


def a_second_sigterm_stops_at_once(argv):
    double_only(argv)
    srv = Server(argv)
    try:
        with front(srv) as web:
            s = Stream(web.port, "/generate_stream", gen(100000))
            drive([s], until=lambda: b"data: " in s.raw)
            srv.term()
            wait_for("it drains", lambda: "draining" in srv.log())
            t0 = time.monotonic()
            srv.term()
            srv.code(5)
            assert time.monotonic() - t0 < 2 and srv.p.returncode >= 0
            drive([s])
            s.close()
    finally:
        srv.stop()


def refusals_arrive_as_json(argv):
    flags = ["--payload-limit", "100K", "--max-concurrent-requests", "2"]
    with Server(argv, flags=flags) as srv, front(srv) as web:
        status, headers, body = http(web.port, "POST", "/generate", b" " * 3000000)
        assert status == 413 and json.loads(body)["error_type"] == "payload_too_large", (status, body)
        for method, path, want in (("GET", "/nothing", 404), ("GET", "/generate", 405), ("POST", "/generate", 400)):
            status, headers, body = http(web.port, method, path, b"{" if method == "POST" else b"")
            assert status == want and headers["content-type"].startswith("application/json"), (path, status, body)
            assert json.loads(body)["error"]
        held = streams_of(web.port, 2, 100000 if is_double(argv) else 200, "@silent")
        drive(held, until=lambda: all(b": ok" in s.raw for s in held))
        status, headers, body = http(web.port, "POST", "/generate", gen(3))
        assert status == 429 and headers["retry-after"] and json.loads(body)["error_type"] == "overloaded"
        assert http(web.port, "GET", "/health")[0] == 200
        for s in held:
            s.close()
        wait_for("the permits come back", lambda: http(web.port, "POST", "/generate", gen(3))[0] == 200)


def a_deadline_reaches_saker_and_its_answer_the_client(argv):
    double_only(argv)
    with Server(argv) as srv, front(srv) as web:
        # One that comes twice is a list behind some web servers and two parameters behind others: the shorter time counts.
        for lines in ["X-Request-Timeout: 0.3"], ["X-Saker-Deadline-Ms: 300"], ["X-Request-Timeout: 50", "X-Request-Timeout: 0.3"]:
            status, headers, body = http(web.port, "POST", "/generate", gen(3, "@silent"), headers=lines)
            assert status == 504 and "retry-after" not in headers, (status, headers, body)
            assert json.loads(body) == {"error": "Deadline exceeded: the answer was not complete within 300 ms",
                                        "error_type": "deadline"}, body
        s = Stream(web.port, "/generate_stream", gen(100000), headers=["X-Request-Timeout: 0.5"])
        drive([s])
        assert s.status == 200 and s.whole and s.events()[-1]["error_type"] == "deadline", s.events()[-1]
        s.close()
        status, _, body = http(web.port, "POST", "/generate", gen(3), headers=["X-Request-Timeout: soon"])
        assert status == 400 and json.loads(body)["error_type"] == "invalid_header", (status, body)
        wait_for("all generations are closed", lambda: len(srv.trace("submit")) == len(srv.trace("close")))


def while_loading_the_web_server_gets_503_with_progress(argv):
    double_only(argv)
    with Server(argv, env={"SAKER_DOUBLE_LOAD_MS": 2500}, ready=False) as srv, front(srv) as web:
        assert http(web.port, "GET", "/livez")[0] == 200
        status, headers, body = http(web.port, "GET", "/readyz")
        assert status == 503 and json.loads(body)["status"] == "loading" and headers["retry-after"], (status, body)
        status, headers, body = http(web.port, "POST", "/generate", gen(3))
        assert status == 503 and headers["retry-after"] and json.loads(body)["error_type"] == "loading"
        wait_for("it is ready", lambda: http(web.port, "GET", "/readyz")[0] == 200)


def a_head_request_has_no_body(argv):
    with Server(argv) as srv, front(srv) as web:
        for _ in range(5):
            status, headers, body = http(web.port, "HEAD", "/livez")
            assert status == 200 and body == b""
            assert http(web.port, "GET", "/livez")[2], "the kept connection is still in step"


def a_large_answer_is_whole(argv):
    double_only(argv)
    with Server(argv, env={"SAKER_DOUBLE_RATE": 5000}) as srv, front(srv) as web:
        status, _, body = http(web.port, "POST", "/generate", gen(5000, "@wide"))
        text = json.loads(body)["generated_text"]
        assert status == 200 and text.startswith(" t0.") and " t4999." in text and len(text) == 5000 * 1024


def encoded_slashes_arrive(argv):
    with Server(argv) as srv, front(srv) as web:
        for path in ("/endpoints/a%2Fb/invocations", "/endpoints/a%2fb%20c/invocations", "/endpoints/plain/invocations"):
            status, _, body = http(web.port, "POST", path, gen(3))
            assert status == 200, (path, status, body)
        assert http(web.port, "POST", "/endpoints/a/b/invocations", gen(3))[0] == 404


def tokens_come_one_by_one(argv):
    # nginx also where it is told to keep back what it gets: saker's x-accel-buffering says no.
    changes = [()] + ([[("fastcgi_buffering off", "fastcgi_buffering on")]] if KIND == "nginx" else [])
    with Server(argv) as srv:
        for change in changes:
            with front(srv, change=change) as web:
                s = Stream(web.port, "/generate_stream", gen(20))
                drive([s], seconds=300)
                assert s.status == 200 and s.headers["content-type"].startswith("text/event-stream"), s.headers
                assert len(s.times) >= 10, "20 tokens came in %d reads" % len(s.times)
                s.close()
        assert fcgi(srv.path, "POST", "/generate_stream", gen(1))[1]["x-accel-buffering"] == "no"


def large_and_chunked_bodies_arrive(argv):
    with Server(argv) as srv, front(srv) as web:
        big = dict(gen(3), filler="y" * 10_000_000)
        status, _, body = http(web.port, "POST", "/generate", big)
        assert status == 200, (status, body[:200])
        for filler in (10, 3_000_000):
            data = json.dumps(dict(gen(3), filler="y" * filler)).encode()
            with socket.create_connection(("127.0.0.1", web.port), DEADLINE) as c:
                c.sendall(b"POST /generate HTTP/1.1\r\nHost: t\r\nConnection: close\r\nContent-Type: application/json\r\n"
                          b"Transfer-Encoding: chunked\r\n\r\n")
                for i in range(0, len(data), 50000):
                    part = data[i:i + 50000]
                    c.sendall(b"%x\r\n%s\r\n" % (len(part), part))
                c.sendall(b"0\r\n\r\n")
                got = read_all(c)
            assert got.startswith(b"HTTP/1.1 200"), (filler, got[:300])


def read_all(c):
    got = b""
    while part := c.recv(65536):
        got += part
    return got


def expect_is_answered(argv):
    with Server(argv) as srv, front(srv) as web:
        body = json.dumps(gen(3)).encode()
        with socket.create_connection(("127.0.0.1", web.port), DEADLINE) as c:
            c.sendall(b"POST /generate HTTP/1.1\r\nHost: t\r\nConnection: close\r\nContent-Type: application/json\r\n"
                      b"Expect: 100-continue\r\nContent-Length: %d\r\n\r\n" % len(body))
            first = c.recv(4096)
            assert first.startswith(b"HTTP/1.1 100"), first
            c.sendall(body)
            got = first + read_all(c)
        assert b"HTTP/1.1 200" in got, got


def options_and_origins_are_answered(argv):
    with Server(argv, flags=["--cors-allow-origin", "https://a.example"]) as srv, front(srv) as web:
        ask = lambda origin: http(web.port, "OPTIONS", "/generate", headers=[
            "Origin: " + origin, "Access-Control-Request-Method: POST", "Access-Control-Request-Headers: content-type"])
        status, headers, _ = ask("https://a.example")
        assert status == 200 and headers["access-control-allow-origin"] == "https://a.example", (status, headers)
        assert "POST" in headers["access-control-allow-methods"] and "POST" in headers["allow"], headers
        assert "access-control-allow-origin" not in ask("https://b.example")[1]
        status, headers, _ = http(web.port, "POST", "/generate", gen(3), headers=["Origin: https://a.example"])
        assert status == 200 and headers["access-control-allow-origin"] == "https://a.example"


def comments_carry_a_silent_stream_past_every_time_out(argv):
    """With the example's time-outs of an hour made 2 s, a stream without a token is open after 5."""
    double_only(argv)
    old = {"nginx": "3600s", "apache": "3600", "lighttpd": "max-write-idle = 3600"}[KIND]
    with Server(argv, flags=["--comment-interval-ms", "500"]) as srv, \
            front(srv, change=[(old, old.replace("3600", "2"))]) as web:
        s = Stream(web.port, "/generate_stream", gen(100, "@silent"))
        begun = time.monotonic()
        drive([s], until=lambda: time.monotonic() - begun > 5)
        assert not s.ended and s.status == 200, bytes(s.raw)[-300:]
        assert s.body().count(b"\n\n") >= 8 if s.whole else s.raw.count(b"\n:") >= 8, bytes(s.raw)
        s.close()


def answers_may_take_longer_than_any_default_time_out(argv):
    """An object of which no byte is known before its end, and a stream of a token a second: 65 s, servers' defaults are 60 and less."""
    double_only(argv)
    if not os.environ.get("SAKER_TEST_LONG"):
        raise Skip("takes 65 s: SAKER_TEST_LONG=1")
    with Server(argv, env={"SAKER_DOUBLE_RATE": 1}) as srv, front(srv) as web:
        ss = [Stream(web.port, path, gen(65)) for path in ("/generate", "/generate_stream")]
        drive(ss, seconds=120)
        assert ss[0].status == 200 and json.loads(ss[0].body())["generated_text"].endswith(" t64"), bytes(ss[0].raw)[-300:]
        check_stream(ss[1], 65)
        for s in ss:
            s.close()


class SakerUp:
    """saker up before the web server, with the environment of the double in env."""

    def __init__(self, argv, **env):
        self.log, self.trace = tempfile.TemporaryFile(), tempfile.NamedTemporaryFile()
        self.p = subprocess.Popen([argv[0], "up", "--model", "double", "--port", "0", "--web", KIND, "--web-bin", web_binary(KIND)],
                                  stdin=subprocess.DEVNULL, stderr=self.log, preexec_fn=dies_with_us,
                                  env=dict(os.environ, SAKER_DOUBLE_TRACE=self.trace.name, **env))
        try:
            self.port = int(wait_for("it is ready", lambda: self.p.poll() is not None or
                                     re.search("ready: http://127.0.0.1:([0-9]+)", self.words()))[1])
        except BaseException:
            self.__exit__(True)
            raise

    def words(self):
        return os.pread(self.log.fileno(), 1 << 20, 0).decode(errors="replace")

    def ended(self):
        """How many generations have come to their end."""
        return os.pread(self.trace.fileno(), 1 << 20, 0).count(b"end ")

    def __enter__(self):
        return self

    def __exit__(self, kind=None, *a):
        if kind:
            sys.stderr.write(self.words()[-3000:])
        self.p.kill()
        self.p.wait()
        self.log.close()
        self.trace.close()


# End after the running answers. nginx runs without its master here, and ends at once.
QUIT = {"apache": signal.SIGWINCH, "lighttpd": signal.SIGINT}


def answers_of_an_ending_web_server_may_take_longer_than_any_limit_of_its_own(argv):
    """Told to end after the running answers, lighttpd alone would cut them 8 s later. Behind the example, and before a slow reader by saker up."""
    double_only(argv)
    if not os.environ.get("SAKER_TEST_LONG"):
        raise Skip("takes 15 s: SAKER_TEST_LONG=1")
    with Server(argv, env={"SAKER_DOUBLE_RATE": 4}) as srv, front(srv) as web, SakerUp(argv, SAKER_DOUBLE_RATE="4000") as up:
        even = Stream(web.port, "/generate_stream", gen(60))
        slow = Stream(up.port, "/generate_stream", gen(12000, "@wide"), rcvbuf=4096)
        drive([even], until=lambda: b"data: " in even.raw and up.ended())
        if KIND in QUIT:
            web.p.send_signal(QUIT[KIND])
        up.p.terminate()
        drive([even], seconds=60)
        drive([slow])
        check_stream(even, 60)
        check_stream(slow, 12000, text=None)
        even.close()
        slow.close()
        assert up.p.wait(DEADLINE) == 0


# What comes of `GET http://HOST/path`, with Host: t. lighttpd wants the two to agree, and a path. Elsewhere the URI's host counts.
ABSOLUTE = [("http://t/livez", 200, 200), ("http://t/endpoints/a%2Fb/invocations?x=1", 405, 405), ("HTTP://t/livez?x", 200, 200),
            ("https://t/livez", 200, 200), ("http://t/nothing", 404, 404), ("http://t", 200, 400), ("http://other/livez", 200, 400)]


def a_uri_with_a_host_is_its_path(argv):
    with Server(argv) as srv, front(srv) as web:
        for uri, others, lighttpd in ABSOLUTE:
            status, _, body = http(web.port, "GET", uri)
            assert status == (lighttpd if KIND == "lighttpd" else others), (uri, status, body)


def a_part_of_a_site_is_enough(argv):
    with Server(argv, flags=["--path-prefix", "/llm"]) as srv, front(srv, prefix=True) as web:
        assert http(web.port, "GET", "/llm/livez")[0] == 200
        assert http(web.port, "POST", "/llm/generate", gen(3))[0] == 200
        assert http(web.port, "POST", "/llm/", gen(3))[0] == 200
        assert http(web.port, "POST", "/llm/endpoints/a%2Fb/invocations?x=1", gen(3))[0] == 200
        for path in ("/livez", "/llmx/livez", "/llm/llm/livez"):
            assert http(web.port, "GET", path)[0] == 404, path
        assert fcgi(srv.path, "GET", "/llmx/livez")[0] == 404 and fcgi(srv.path, "GET", "/llm")[0] == 200


def users_addresses_and_keys_reach_saker(argv):
    basic = "Authorization: Basic " + base64.b64encode(b"alice:secret").decode()
    for blocks in ((), ("users",)):
        with Echo() as echo, Web(KIND, echo.path, blocks=blocks) as web:
            ask = lambda *h: http(web.port, "GET", "/x%2Fy?q=%20", headers=["X-Forwarded-For: 192.0.2.7", *h])
            status, _, body = ask(basic)
            assert status == 200, (status, body)
            got = json.loads(body)
            assert got.get("REMOTE_USER", "") == ("alice" if blocks else ""), got
            assert got["REMOTE_ADDR"] == "127.0.0.1" and got["HTTP_X_FORWARDED_FOR"] == "192.0.2.7", got
            assert got["REQUEST_URI"] == "/x%2Fy?q=%20" and got["REQUEST_METHOD"] == "GET", got
            assert got["HTTP_AUTHORIZATION"] == basic.partition(": ")[2], got
            if blocks:
                assert ask()[0] == 401 and ask(basic[:-4] + "AAA=")[0] == 401
            else:
                got = json.loads(ask("Authorization: Bearer k-1")[2])
                assert got["HTTP_AUTHORIZATION"] == "Bearer k-1" and not got.get("REMOTE_USER"), got


def the_log_names_users_and_addresses(argv):
    with Server(argv) as srv, front(srv, blocks=("users",)) as web:
        basic = "Authorization: Basic " + base64.b64encode(b"alice:secret").decode()
        assert http(web.port, "POST", "/generate", gen(3), headers=[basic, "X-Forwarded-For: 192.0.2.7"])[0] == 200
        line = wait_for("its line", lambda: re.search("path=/generate status=200 .*", srv.log()))[0]
        assert " user=alice " in line and " client=127.0.0.1 " in line, line


def keys_are_asked_for(argv):
    """Several, from a file, in either header; some routes are open."""
    keys = "alice alpha\nbob sha256:%s\n" % hashlib.sha256(b"beta").hexdigest()
    with KeyFile(keys) as k, Server(argv, flags=["--api-key-file", k.path]) as srv, front(srv) as web:
        for path in "/livez", "/readyz", "/ping", "/health", "/":
            assert http(web.port, "GET", path)[0] == 200, path
        for path in "/", "/docs":
            status, headers, body = http(web.port, "GET", path, headers=["Accept: text/html,*/*;q=0.8"])
            assert status == 200 and headers["content-security-policy"].startswith("default-src 'none'"), (path, status, headers)
            assert body.startswith(b"<!doctype html>") and body.endswith(b"</html>\n"), (path, len(body))
        for method, path in (("POST", "/generate"), ("POST", "/generate_stream"), ("GET", "/info"), ("GET", "/metrics"),
                             ("GET", "/requests"), ("DELETE", "/requests/x"), ("GET", "/nothing")):
            for sent in ([], ["Authorization: Bearer nobody"], ["x-api-key: nobody"]):
                status, headers, body = http(web.port, method, path, gen(3) if method == "POST" else b"", headers=sent)
                assert status == 401 and headers["www-authenticate"].startswith("Bearer "), (method, path, status)
                assert json.loads(body)["error_type"] == "unauthorized"
        for sent in "Authorization: Bearer alpha", "x-api-key: alpha", "Authorization: Bearer beta":
            assert http(web.port, "POST", "/generate", gen(3), headers=[sent])[0] == 200
        names = wait_for("three lines", lambda: (lambda l: len(l) == 3 and l)(re.findall("path=/generate status=200 .* key=([a-z]+)", srv.log())))
        assert names == ["alice", "alice", "bob"], names


def requests_are_listed_and_cancelled(argv):
    double_only(argv)
    with Server(argv) as srv, front(srv) as web:
        streamed = Stream(web.port, "/generate_stream", gen(100000), headers=["X-Request-Id: one"])
        drive([streamed], until=lambda: b"data: " in streamed.raw)
        assert streamed.headers["x-request-id"] == "one"
        waiting = Stream(web.port, "/generate", gen(100000), headers=["X-Request-Id: two"])
        look = lambda: {r["path"]: r["state"] for r in json.loads(http(web.port, "GET", "/requests")[2])["requests"]}
        wait_for("both run", lambda: look() == {"/generate_stream": "running", "/generate": "running"})
        for rid in "one", "two":
            assert http(web.port, "GET", "/requests/" + rid)[0] == 200
            assert http(web.port, "DELETE", "/requests/" + rid)[0] == 200
        drive([streamed, waiting])
        assert streamed.whole and streamed.events()[-1]["error"] == "Incomplete generation: the request was cancelled", streamed.events()[-1]
        assert waiting.raw.startswith(b"HTTP/1.1 410 Gone"), bytes(waiting.raw)[:100]
        assert json.loads(waiting.body())["error_type"] == "incomplete_generation"
        for s in (streamed, waiting):
            s.close()
        assert look() == {} and http(web.port, "GET", "/livez")[0] == 200


# ---- kill -9 --------------------------------------------------------------------------------------------------------

def a_killed_web_server_frees_its_sequences_and_starts_again(argv):
    double_only(argv)
    with Server(argv) as srv, front(srv) as web:
        fds = srv.fds()
        for _ in range(2):
            ss = streams_of(web.port, 8, 100000)
            drive(ss, until=lambda: all(b"data: " in s.raw for s in ss))
            web.kill()
            wait_for("the sequences are free", lambda: len(srv.trace("end")) == len(srv.trace("submit")))
            for s in ss:
                s.close()
            assert web.start(), "what the killed one left stops the next: " + web.error_log()[-1000:]
            drive(ss := streams_of(web.port, 4, 20))
            for s in ss:
                check_stream(s, 20)
                s.close()
        wait_for("descriptors come back", lambda: srv.fds() <= fds + 32)


def a_killed_saker_is_followed_by_the_next(argv):
    double_only(argv)
    with Server(argv) as srv, front(srv) as web:
        for _ in range(2):
            ss = streams_of(web.port, 8, 100000)
            drive(ss, until=lambda: all(b"data: " in s.raw for s in ss))
            srv.p.kill()
            srv.p.wait()
            drive(ss)                           # the client is told at once, by the end
            for s in ss:
                s.close()
            assert http(web.port, "GET", "/livez")[0] in (502, 503)
            with open(srv.log_path, "ab") as log:
                srv.p = subprocess.Popen([argv[0], "serve", "--model", "double", "--listen", "unix:" + srv.path, "--socket-mode", "0666"],
                                         stdin=subprocess.DEVNULL, stderr=log)
            wait_for("the next one answers", lambda: http(web.port, "GET", "/livez")[0] == 200)
            drive(ss := streams_of(web.port, 4, 20))
            for s in ss:
                check_stream(s, 20)
                s.close()


def a_client_of_http2_that_leaves_frees_its_sequence(argv):
    double_only(argv)
    for tool in ("curl", "openssl"):
        if not shutil.which(tool):
            raise Skip(tool + " is not installed")
    with Server(argv) as srv, front(srv, blocks=("tls",)) as web:
        wait_for("the port of TLS answers", lambda: tcp_answers(web.tls_port))
        p = subprocess.Popen(["curl", "-sSNk", "--http2", "https://127.0.0.1:%d/generate_stream" % web.tls_port, "-H",
                              "Content-Type: application/json", "-d", json.dumps(gen(100000))], stdout=subprocess.PIPE)
        while b"data: " not in p.stdout.readline():
            pass
        t0 = time.monotonic()
        p.kill()
        p.wait()
        p.stdout.close()
        wait_for("the sequence is free", lambda: srv.trace("end"))
        took = srv.trace("end")[-1][2] / 1e6 - t0
        print("      freed after %.1f ms" % (took * 1e3))
        assert took < 3, took


def tls_and_http2_stream(argv):
    for tool in ("curl", "openssl"):
        if not shutil.which(tool):
            raise Skip(tool + " is not installed")
    with Server(argv) as srv, front(srv, blocks=("tls",)) as web:
        wait_for("the port of TLS answers", lambda: tcp_answers(web.tls_port))
        said = subprocess.run(["curl", "-sSNk", "--http2", "-m", "60", "-w", "\n%{http_version} %{http_code}",
                               "https://127.0.0.1:%d/generate_stream" % web.tls_port, "-H", "Content-Type: application/json",
                               "-d", json.dumps(gen(20))], stdout=subprocess.PIPE, stderr=subprocess.STDOUT).stdout.decode()
        body, _, words = said.rpartition("\n")
        assert words == "2 200", said[-300:]
        events = [json.loads(l[6:]) for l in body.split("\n") if l.startswith("data: ")]
        assert [e["index"] for e in events] == list(range(1, 21)) and events[-1]["generated_text"] is not None


def tcp_answers(port):
    with socket.socket() as s:
        return s.connect_ex(("127.0.0.1", port)) == 0


def several_processes_stand_in_for_each_other(argv):
    double_only(argv)
    with Server(argv) as a, Server(argv) as b, front(a, b, blocks=("several",)) as web:
        ask = lambda: http(web.port, "POST", "/generate", gen(3))[0]
        drive(ss := streams_of(web.port, 20, 20))
        for s in ss:
            check_stream(s, 20)
            s.close()
        served = [len(s.trace("submit")) for s in (a, b)]
        assert min(served) > 0, "of 20 requests one process got %s" % served
        b.p.kill()
        b.p.wait()
        try:
            assert [ask() for _ in range(20)] == [200] * 20, "one process is gone, the other is there"
        finally:
            b.p.returncode = 0
    with Server(argv) as a, Server(argv, env={"SAKER_DOUBLE_LOAD_MS": 600000}, ready=False) as b, \
            front(a, b, blocks=("several",)) as web:
        # nginx asks the other one itself; Apache leaves the one that said 503 alone for a second; lighttpd asks in turn.
        got = [http(web.port, "POST", "/generate", gen(3)) for _ in range(20)]
        refused = [g for g in got if g[0] == 503]
        print("      beside one that loads: %d of 20 answers are 503" % len(refused))
        assert all(g[0] in (200, 503) for g in got) and all(g[1]["retry-after"] for g in refused), [g[0] for g in got]
        assert len(refused) <= {"nginx": 0, "apache": 5, "lighttpd": 10}[KIND], [g[0] for g in got]
        for _ in range(10):
            assert ask() == 200 or ask() == 200, "who tries again is served"


class Askers:
    """Clients of saker up that ask without pause until nobody takes their connection: every status, and what is no answer of saker's."""

    def __init__(self, port, clients):
        self.port, self.seen, self.bad, self.lock = port, collections.Counter(), [], threading.Lock()
        self.threads = [threading.Thread(target=self.run, args=(i,)) for i in range(clients)]
        for t in self.threads:
            t.start()

    def run(self, number):
        c = None
        while True:
            try:
                # Every second one keeps its connection for as long as it is kept for him.
                c = c or http_client.HTTPConnection("127.0.0.1", self.port, timeout=DEADLINE)
                c.request("POST", "/generate", json.dumps(gen(2)), {"Content-Type": "application/json"})
                r = c.getresponse()
                status, body = r.status, r.read()
            except ConnectionRefusedError:
                return
            except (OSError, http_client.HTTPException) as e:
                # Closed before a byte of an answer: as good as refused. In the middle of one: cut.
                status, body = "cut" if isinstance(e, http_client.IncompleteRead) else "closed", b""
            with self.lock:
                self.seen[status] += 1
                if status not in (200, 503, "closed") or (status == 503 and b'"error_type":"draining"' not in body):
                    self.bad.append((status, body[:200]))
            if number % 2 == 0 or status == "closed":
                c.close()
                c = None

    def end(self):
        for t in self.threads:
            t.join()


def saker_up_ends_with_503_and_then_refuses(argv):
    """No client sees the web server alone, which would say 502; and no answer is cut."""
    double_only(argv)
    with SakerUp(argv, SAKER_DOUBLE_RATE="100", SAKER_DOUBLE_CLOSE_MS="400") as up:
        askers = Askers(up.port, 8)
        try:
            drive(ss := streams_of(up.port, 8, 60), until=lambda: all(b"data: " in s.raw for s in ss))
            # Connections that say nothing, or not all: they are no reason to wait for ever, nor to say 502. (5 s: one server.)
            idle = [socket.create_connection(("127.0.0.1", up.port)) for _ in range(2 if KIND == "nginx" else 0)]
            if idle:
                idle[1].sendall(b"POST /generate HTTP/1.1\r\nHost: t\r\n")
            up.p.terminate()
            drive(ss)
            for s in ss:
                check_stream(s, 60)
                s.close()
            assert up.p.wait(DEADLINE) == 0, up.p.returncode
            askers.end()
            print("      %s" % dict(askers.seen))
            assert not askers.bad, askers.bad[:3]
            assert askers.seen[503] and askers.seen[200], "it was not asked while it drained"
            for c in idle:
                c.settimeout(DEADLINE)
                try:
                    c.sendall(b"x")             # one that the kernel has not handed over yet hears nothing of the end
                    got = read_all(c)
                except ConnectionError:
                    got = b""
                assert not got or got.startswith((b"HTTP/1.1 503", b"HTTP/1.1 408")), got
                c.close()
        finally:
            up.p.kill()
            askers.end()


def without_saker_the_answer_is_json(argv):
    with Server(argv) as srv:
        web = front(srv)
    with web:
        status, headers, body = http(web.port, "GET", "/livez")
        assert status in (502, 503), status
        if KIND != "lighttpd":          # its example has no pages of errors; saker up has
            assert headers["content-type"] == "application/json" and json.loads(body)["error"], (headers, body)


def two_hundred_streams_of_the_model(argv):
    if is_double(argv):
        raise Skip("needs a model")
    with Server(argv, flags=["--max-concurrent-requests", "300"]) as srv, front(srv) as web:
        ss = [Stream(web.port, "/generate_stream", gen(16, "The number %d is" % (i % 8))) for i in range(200)]
        drive(ss, seconds=900)
        texts = [{} for _ in range(8)]
        for i, s in enumerate(ss):
            assert s.status == 200 and s.whole, bytes(s.raw)[:300]
            texts[i % 8][s.events()[-1]["generated_text"]] = 1
            s.close()
        assert all(len(t) == 1 for t in texts), "the same prompt gave several texts"


TESTS = [a_thousand_streams_lose_nothing, stalled_readers_delay_nobody, a_reader_that_never_reads_is_dropped,
         a_slow_reader_gets_everything, a_client_that_leaves_frees_its_sequence,
         sixty_four_streams_with_eight_closed_halfway, sigterm_in_midstream_cuts_no_answer,
         a_second_sigterm_stops_at_once, refusals_arrive_as_json, a_deadline_reaches_saker_and_its_answer_the_client,
         while_loading_the_web_server_gets_503_with_progress,
         a_head_request_has_no_body, a_large_answer_is_whole, encoded_slashes_arrive, tokens_come_one_by_one,
         large_and_chunked_bodies_arrive, expect_is_answered, options_and_origins_are_answered,
         comments_carry_a_silent_stream_past_every_time_out, a_uri_with_a_host_is_its_path, a_part_of_a_site_is_enough,
         users_addresses_and_keys_reach_saker, the_log_names_users_and_addresses, keys_are_asked_for, requests_are_listed_and_cancelled,
         a_killed_web_server_frees_its_sequences_and_starts_again, a_killed_saker_is_followed_by_the_next,
         a_client_of_http2_that_leaves_frees_its_sequence, answers_may_take_longer_than_any_default_time_out,
         answers_of_an_ending_web_server_may_take_longer_than_any_limit_of_its_own, tls_and_http2_stream, several_processes_stand_in_for_each_other,
         without_saker_the_answer_is_json, saker_up_ends_with_503_and_then_refuses, two_hundred_streams_of_the_model]

if __name__ == "__main__":
    try:
        web_binary(KIND)
    except Skip as e:
        print("skip: %s" % e)
        sys.exit(77)
    sys.exit(main(TESTS))
