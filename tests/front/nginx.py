# SPDX-License-Identifier: Apache-2.0
"""saker behind a real nginx: many streams, stalled readers, clients that leave, drain, refusals."""
import os, socket, sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from front import *


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
    with Server(argv, flags=["--max-concurrent-requests", "2000"], env={"SAKER_DOUBLE_RATE": 10}) as srv, \
            Nginx(srv) as web:
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
            Nginx(srv) as web:
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
    with Server(argv) as srv, Nginx(srv) as web:
        took = []
        for i in range(20):
            s = Stream(web.port, "/generate_stream", gen(100000, "@silent" if i % 2 else "hello"))
            drive([s], until=lambda: b": ok" in s.raw)
            ends, t0 = len(srv.trace("end")), time.monotonic()
            s.close()
            wait_for("the sequence is free", lambda: len(srv.trace("end")) > ends)
            took.append(srv.trace("end")[-1][2] / 1e6 - t0)
        print("      freed after %.1f ms at the median, %.1f ms at most" % (percentile(took, .5) * 1e3, max(took) * 1e3))
        assert percentile(took, .5) < 0.1, took


def sixty_four_streams_with_eight_closed_halfway(argv):
    tokens = 60 if is_double(argv) else 24
    with Server(argv, flags=["--max-concurrent-requests", "200"]) as srv, Nginx(srv) as web:
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
    with Server(argv) as srv, Nginx(srv) as web:
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
        with Nginx(srv) as web:
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
    with Server(argv, flags=flags) as srv, Nginx(srv) as web:
        status, headers, body = http(web.port, "POST", "/generate", b" " * 3000000)
        assert status == 413 and json.loads(body)["error_type"] == "payload_too_large", (status, body)
        for method, path, want in (("GET", "/nothing", 404), ("GET", "/generate", 405), ("POST", "/generate", 400)):
            status, headers, body = http(web.port, method, path, b"{")
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


def while_loading_nginx_gets_503_with_progress(argv):
    double_only(argv)
    with Server(argv, env={"SAKER_DOUBLE_LOAD_MS": 2500}, ready=False) as srv, Nginx(srv) as web:
        assert http(web.port, "GET", "/livez")[0] == 200
        status, headers, body = http(web.port, "GET", "/readyz")
        assert status == 503 and json.loads(body)["status"] == "loading" and headers["retry-after"], (status, body)
        status, headers, body = http(web.port, "POST", "/generate", gen(3))
        assert status == 503 and headers["retry-after"] and json.loads(body)["error_type"] == "loading"
        wait_for("it is ready", lambda: http(web.port, "GET", "/readyz")[0] == 200)


def a_head_request_has_no_body(argv):
    with Server(argv) as srv, Nginx(srv) as web:
        for _ in range(5):
            status, headers, body = http(web.port, "HEAD", "/livez")
            assert status == 200 and body == b""
            assert http(web.port, "GET", "/livez")[2], "the kept connection is still in step"


def a_large_answer_is_whole(argv):
    double_only(argv)
    with Server(argv, env={"SAKER_DOUBLE_RATE": 5000}) as srv, Nginx(srv) as web:
        status, _, body = http(web.port, "POST", "/generate", gen(5000, "@wide"))
        text = json.loads(body)["generated_text"]
        assert status == 200 and text.startswith(" t0.") and " t4999." in text and len(text) == 5000 * 1024


TESTS = [a_thousand_streams_lose_nothing, stalled_readers_delay_nobody, a_reader_that_never_reads_is_dropped,
         a_slow_reader_gets_everything, a_client_that_leaves_frees_its_sequence,
         sixty_four_streams_with_eight_closed_halfway, sigterm_in_midstream_cuts_no_answer,
         a_second_sigterm_stops_at_once, refusals_arrive_as_json, while_loading_nginx_gets_503_with_progress,
         a_head_request_has_no_body, a_large_answer_is_whole]

if __name__ == "__main__":
    try:
        nginx_binary()
    except Skip as e:
        print("skip: %s" % e)
        sys.exit(77)
    sys.exit(main(TESTS))
