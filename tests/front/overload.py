# SPDX-License-Identifier: Apache-2.0
"""More requests than there are places: deadlines, refusals and when to come again, shares of clients."""
import collections, heapq, json, os, re, select, selectors, subprocess, sys, time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from front import *
from fire import sanitized
from watch import ask, deltas, expect, gen, header, samples
from webs import Web


# ---- deadlines ------------------------------------------------------------------------------------------------------

def late(ms):
    return {"error": "Deadline exceeded: the answer was not complete within %d ms" % ms, "error_type": "deadline"}


def a_request_ends_at_its_deadline(argv):
    double_only(argv)
    with Server(argv, env={"SAKER_DOUBLE_RATE": 50}) as srv:
        before, fds = samples(srv), srv.fds()
        for inputs, name, value in (("@silent", "x-saker-deadline-ms", "200"), ("hello", "x-request-timeout", "0.2")):
            begun = time.monotonic()
            status, _, body = ask(srv, "POST", "/generate", gen(100000, inputs), **{name: value})
            took = time.monotonic() - begun
            assert status == 504 and json.loads(body) == late(200), (status, body)
            assert took >= .2, "it ended %.3f s after its begin" % took
        # What a stream has said stays; the error is its last event.
        status, _, body = ask(srv, "POST", "/generate_stream", gen(100000), x_saker_deadline_ms="300")
        events = [json.loads(l[6:]) for l in body.decode().split("\n") if l.startswith("data: ")]
        assert status == 200 and events[-1] == late(300) and events[0]["token"]["text"] == " t0", events[-1]
        # Who ends in time hears nothing of it.
        assert ask(srv, "POST", "/generate", gen(3), x_saker_deadline_ms="60000")[0] == 200
        d = deltas(samples(srv), before)
        expect(d, **{'saker_cancellations_total{by="deadline"}': 3, 'saker_refusals_total{reason="deadline"}': 0,
                     'tgi_request_failure{err="incomplete"}': 3, "tgi_request_success": 1, "saker_permits_used": 0})
        assert 'error=deadline' in srv.log() and "timeout_ms=200" in srv.log()
        wait_for("all generations are closed", lambda: len(srv.trace("close")) == 4)
        assert srv.fds() <= fds


def a_deadline_counts_while_a_worker_is_awaited(argv):
    double_only(argv)
    with Server(argv, flags=["--workers", "1"], env={"SAKER_DOUBLE_SUBMIT_MS": 300, "SAKER_DOUBLE_RATE": 1000}) as srv:
        before, peers = samples(srv), [Peer(srv.path) for _ in range(4)]
        for i, p in enumerate(peers):
            p.send(request("POST", "/generate", gen(2), more=[header("x-saker-deadline-ms", "60000" if i == 0 else "150")]))
        got = [p.answer() for p in peers]
        assert [a[0] for a in got] == [200, 504, 504, 504], [a[0] for a in got]
        assert len(srv.trace("submit")) == 1, "those whose time was over were not submitted"
        expect(deltas(samples(srv), before), **{
            'saker_refusals_total{reason="deadline"}': 3, 'saker_cancellations_total{by="deadline"}': 0,
            'tgi_request_failure{err="incomplete"}': 3, "tgi_request_count": 4})


def settings_bound_every_deadline(argv):
    double_only(argv)
    with Server(argv, flags=["--request-timeout-ms", "300", "--max-request-timeout-ms", "600"]) as srv:
        for headers, ms in (({}, 300), ({"x_request_timeout": "0.1"}, 100), ({"x_request_timeout": "5"}, 600)):
            status, _, body = ask(srv, "POST", "/generate", gen(10, "@silent"), **headers)
            assert status == 504 and json.loads(body) == late(ms), (status, body)
        # Only generations have one.
        assert ask(srv, "GET", "/info")[0] == 200


def a_wrong_deadline_is_told(argv):
    with Server(argv) as srv:
        before = samples(srv)
        for name, value, words in (("x-request-timeout", "soon", "seconds, 0.001 to 86400"),
                                   ("x-saker-deadline-ms", "0", "milliseconds, 1 to 86400000")):
            status, h, body = ask(srv, "POST", "/generate", gen(3), **{name: value})
            told = json.loads(body)
            assert status == 400 and told["error_type"] == "invalid_header" and "retry-after" not in h, body
            assert name in told["error"] and '"%s"' % value in told["error"] and words in told["error"], told
        expect(deltas(samples(srv), before), **{'saker_refusals_total{reason="invalid_header"}': 2})


def deadlines_race_with_everything(argv):
    """Ends, cancellations and clients that leave at the moment of the deadline: every answer is one of those that may be."""
    double_only(argv)
    with Server(argv, env={"SAKER_DOUBLE_RATE": 200}) as srv:
        fds = srv.fds()
        for round_ in range(30):
            peers = [Peer(srv.path) for _ in range(12)]
            for i, p in enumerate(peers):
                p.send(request("POST", "/generate" if i % 2 else "/generate_stream", gen(4, "@silent" if i % 5 == 4 else "x"),
                               more=[header("x-saker-deadline-ms", str(14 + (i + round_) % 10)),
                                     header("x-request-id", "r%d-%d" % (round_, i))]))
            ask(srv, "DELETE", "/requests/r%d-4" % round_)
            peers[2].s.close()
            for i, p in enumerate(peers):
                if i == 2:
                    continue
                a = p.answer()
                assert a and a[0] in (200, 503, 504, 410), a
                if a[0] == 200 and not i % 2:
                    assert b'"generated_text":" t0' in a[2] or b'"error_type":"' in a[2], a[2]
                p.s.close()
        wait_for("all generations are closed", lambda: len(srv.trace("submit")) == len(srv.trace("close")))
        wait_for("descriptors come back", lambda: srv.fds() <= fds)
        expect(samples(srv), **{"saker_permits_used": 0, "saker_open_streams": 0})


# ---- when to come again ----------------------------------------------------------------------------------------------

def retry(answer, *statuses):
    assert answer[0] in statuses and re.fullmatch("[1-9][0-9]?", answer[1]["retry-after"]), answer[:2]
    assert 1 <= int(answer[1]["retry-after"]) <= 60
    return int(answer[1]["retry-after"])


def who_is_refused_comes_when_there_is_a_place(argv):
    """Two places, 20 tokens of 50 a second each, so five places a second: 100 who are refused at once come over 20 seconds."""
    double_only(argv)
    with Server(argv, flags=["--max-concurrent-requests", "2"], env={"SAKER_DOUBLE_RATE": 50}) as srv:
        for _ in range(3):
            for p in [start(srv, gen(20)) for _ in range(2)]:
                assert p.answer()[0] == 200
        held = [start(srv, gen(20, "@silent")) for _ in range(2)]
        wait_for("all places are taken", lambda: samples(srv)["saker_permits_used"] == 2)
        told = [retry(ask(srv, "POST", "/generate", gen(20)), 429) for _ in range(100)]
        assert told[0] == 1 and max(told) >= 10, told
        assert max(told.count(s) for s in told) <= 20, told
        # They are one client's: another one, who asks once, comes with the next place.
        assert retry(ask(srv, "POST", "/generate", gen(20), REMOTE_USER="alice"), 429) == 1
        # A health check is told the state alone, and takes nobody's second.
        assert ask(srv, "GET", "/health")[0] == 200
        for p in held:
            p.s.close()


def start(srv, body, **headers):
    p = Peer(srv.path)
    p.send(request("POST", "/generate", body, more=[header(k, v) for k, v in headers.items()]))
    return p


def while_loading_the_progress_says_when(argv):
    double_only(argv)
    with Server(argv, env={"SAKER_DOUBLE_LOAD_MS": 30000}, ready=False) as srv:
        told = []
        for _ in range(3):
            seen = len(told)
            wait_for("some time goes by", lambda: json.loads(ask(srv, "GET", "/readyz")[2])["done"] >= 20 * (seen + 1))
            told.append(retry(ask(srv, "POST", "/generate", gen(3)), 503))
            health = retry(ask(srv, "GET", "/health"), 503)
            assert abs(health - told[-1]) <= 1, (health, told)
        assert all(25 <= t <= 31 for t in told) and told[0] >= told[-1], told


def while_draining_the_work_left_says_when(argv):
    double_only(argv)
    with Server(argv, env={"SAKER_DOUBLE_RATE": 50, "SAKER_DOUBLE_LOAD_MS": 1000}) as srv:
        p = start(srv, gen(400))
        wait_for("tokens come", lambda: samples(srv)["saker_generated_tokens_total"] >= 30)
        srv.term()
        wait_for("it drains", lambda: "draining" in srv.log())
        # 370 tokens at 50 a second, or fewer on a busy machine, and a second of loading. The drain's time alone would be 31.
        told = retry(fcgi(srv.path, "POST", "/generate", gen(3)), 503)
        assert 3 <= told <= 25, told
        p.s.close()
        assert srv.code() == 0


def readable(peers):
    poll, by_fd = select.poll(), {p.s.fileno(): p for p in peers}
    for fd in by_fd:
        poll.register(fd, select.POLLIN)
    return [by_fd[fd] for fd, _ in poll.poll(0)]


def a_full_worker_queue_says_when(argv):
    double_only(argv)
    with Server(argv, flags=["--workers", "1", "--max-concurrent-requests", "5000"], env={"SAKER_DOUBLE_SUBMIT_MS": 50}) as srv:
        for _ in range(4):
            assert ask(srv, "POST", "/generate", gen(1))[0] == 200
        peers = [start(srv, gen(1)) for _ in range(1300)]
        wait_for("some are refused", lambda: samples(srv)['saker_refusals_total{reason="overloaded"}'] >= 100)
        told = [retry(a, 429) for a in (p.answer() for p in readable(peers)) if a[0] != 200]
        # 20 of them a second find room, or fewer on a machine that is busy.
        assert len(told) >= 100 and max(told) >= 4 and max(told.count(s) for s in told) <= 40, told
        for p in peers:
            p.s.close()
        srv.p.kill()            # a minute of submits is left
        srv.p.wait()
        srv.p.returncode = 0


def who_cannot_begin_in_time_is_refused_at_once(argv):
    """One place in the batch, one second a request, ten before: with two seconds to wait there is no hope, with sixty there is."""
    double_only(argv)
    with Server(argv, flags=["--max-concurrent-requests", "100"],
                env={"SAKER_DOUBLE_RATE": 50, "SAKER_DOUBLE_BATCH": 1}) as srv:
        assert ask(srv, "POST", "/generate", gen(50), x_saker_deadline_ms="60000")[0] == 200
        peers = [start(srv, gen(50)) for _ in range(11)]
        wait_for("ten wait", lambda: samples(srv)["tgi_queue_size"] == 10)
        before, begun = samples(srv), time.monotonic()
        a = ask(srv, "POST", "/generate", gen(50), x_saker_deadline_ms="2000")
        assert time.monotonic() - begun < 1.9, "it was told at once"
        told = json.loads(a[2])
        assert told["error_type"] == "deadline" and "the deadline is 2000 ms" in told["error"], told
        assert 4 <= retry(a, 503) <= 45, a[1]      # eleven seconds less two, or more on a busy machine
        expect(deltas(samples(srv), before), **{'saker_refusals_total{reason="deadline"}': 1})
        p = start(srv, gen(50), x_saker_deadline_ms="60000")
        wait_for("it is let in", lambda: samples(srv)["saker_permits_used"] >= 11 and len(srv.trace("submit")) == 13)
        for q in peers + [p]:
            q.s.close()


# ---- shares -----------------------------------------------------------------------------------------------------------

def nobody_holds_all_places_against_others(argv):
    """A greedy client has all four places. From when another asks, what becomes free is the other's, up to its half."""
    double_only(argv)
    with Server(argv, flags=["--max-concurrent-requests", "4", "--fair-share", "user"]) as srv:
        def stream_of(user):
            p = Peer(srv.path)
            p.send(request("POST", "/generate_stream", gen(10, "@silent"), more=[(b"REMOTE_USER", user)]))
            head = p.record()[2]
            return p, int(re.match(rb"Status: ([0-9]+)", head)[1]), p.record()[2] if b"429" in head else b""

        before = samples(srv)
        greedy = [stream_of(b"greedy") for _ in range(4)]
        assert [g[1] for g in greedy] == [200] * 4
        assert stream_of(b"other")[1] == 429
        others = []
        for i in range(2):
            greedy.pop()[0].s.close()
            wait_for("a place is free", lambda: samples(srv)["saker_permits_used"] == 3)
            _, status, body = stream_of(b"greedy")
            assert status == 429 and (i or b"others wait" in body), body
            others.append(stream_of(b"other"))
            assert others[-1][1] == 200, others[-1]
            assert stream_of(b"other")[1] == 429
        d = deltas(samples(srv), before)
        assert d['saker_refusals_total{reason="fair_share"}'] == 2, d['saker_refusals_total{reason="fair_share"}']
        # Its share is two, it has two: no more claims, and a free place is anybody's.
        others.pop()[0].s.close()
        wait_for("a place is free", lambda: samples(srv)["saker_permits_used"] == 3)
        greedy.append(stream_of(b"greedy"))
        assert greedy[-1][1] == 200
        for g in greedy + others:
            g[0].s.close()


def settings_of_shares_are_checked(argv):
    for flags, words in ((["--fair-share", "all"], b'"all" is none of off, address, user and key'),
                         (["--fair-share-weights", "a=1,b=0"], b'"b=0" is not NAME=WEIGHT with a weight from 1 to 1000')):
        r = subprocess.run([argv[0], "serve", "--model", "double", "--listen", "unix:/nowhere/s"] + flags, stdin=subprocess.DEVNULL,
                           capture_output=True, timeout=30)
        assert r.returncode == 2 and words in r.stderr, r


# ---- ten times as many requests as there are places -----------------------------------------------------------------

# SAKER_OVERLOAD_REQUESTS: how many; the long run takes 10,000.
REQUESTS = int(os.environ.get("SAKER_OVERLOAD_REQUESTS", "1000"))
TOKENS, RATE, BATCH = 20, 100, 20                       # a request takes 0.2 s, so 100 of them a second are answered
CAPACITY = BATCH * RATE / TOKENS


class Wave:
    """Clients that ask at ten times the capacity and come again when Retry-After says so. A tenth of them has a deadline."""

    def __init__(self, port, count):
        self.port, self.live, self.sel = port, 0, selectors.DefaultSelector()
        self.counts, self.tries, self.ended = collections.Counter(), [0] * count, 0
        begun = time.monotonic()
        self.due = [(begun + i / (10 * CAPACITY), i) for i in range(count)]
        self.limit = begun + DEADLINE + 6 * count / CAPACITY
        while self.due or self.live:
            self.start_due()
            for key, _ in self.sel.select(0.02):
                key.data.take()
                if key.data.ended:
                    self.sel.unregister(key.fileobj)
                    self.live -= 1
                    self.answered(key.data)
            assert time.monotonic() < self.limit, "%d of %d have not ended: %s" % (count - self.ended, count, self.counts)
        self.seconds = time.monotonic() - begun

    def start_due(self):
        now = time.monotonic()
        while self.due and self.due[0][0] <= now and self.live < 900:
            i = heapq.heappop(self.due)[1]
            s = Stream(self.port, "/generate_stream" if i % 5 == 0 else "/generate", gen(TOKENS),
                       headers=["X-Saker-Deadline-Ms: 350"] if i % 10 == 9 else [])
            s.number = i
            self.tries[i] += 1
            self.counts["tries"] += 1
            self.live += 1
            self.sel.register(s.s, selectors.EVENT_READ, s)

    def answered(self, s):
        status, i = s.status, s.number
        assert status in (200, 429, 503, 504) and s.whole, "status %s: %r" % (status, bytes(s.raw)[:300])
        self.counts[status] += 1
        if status in (429, 503):
            again = int(s.headers["retry-after"])
            assert 1 <= again <= 60, again
            if status == 503:
                assert json.loads(s.body())["error_type"] == "deadline" and i % 10 == 9, s.body()
            heapq.heappush(self.due, (time.monotonic() + again, i))
        else:
            assert "retry-after" not in s.headers and (status == 200 or i % 10 == 9)
            if i % 5 == 0:
                check_stream(s, TOKENS)
            elif status == 200:
                assert json.loads(s.body())["generated_text"].count(" t") == TOKENS
            self.ended += 1
        s.close()


def ten_times_too_many_are_all_answered_in_the_end(argv):
    double_only(argv)
    flags = ["--max-concurrent-requests", "40", "--log-level", "warn"]
    with Server(argv, flags=flags, env={"SAKER_DOUBLE_RATE": RATE, "SAKER_DOUBLE_BATCH": BATCH, "SAKER_DOUBLE_TRACE": ""}) as srv, \
            Web("nginx", srv.path) as web:
        ask(srv, "POST", "/generate", gen(TOKENS))
        before, rss = samples(srv), []
        counts, fds = collections.Counter(), srv.fds()
        for _ in range(2):
            w = Wave(web.port, REQUESTS // 2)
            counts.update(w.counts)
            wait_for("all places are free", lambda: samples(srv)["saker_permits_used"] == 0)
            rss.append(srv.rss())
            print("      %d requests in %.1f s, ideal %.1f: %s; most tries %d, mean %.1f" % (
                len(w.tries), w.seconds, len(w.tries) / CAPACITY, dict(w.counts), max(w.tries), sum(w.tries) / len(w.tries)))
            assert counts[429] > 0 and max(w.tries) <= 12, "somebody had to try %d times" % max(w.tries)
        d = deltas(samples(srv), before)
        got = {k: int(d[k]) for k in ("tgi_request_count", "tgi_request_success", 'saker_refusals_total{reason="overloaded"}',
                                      'saker_refusals_total{reason="deadline"}', 'saker_cancellations_total{by="deadline"}',
                                      'saker_cancellations_total{by="client"}')}
        late = got.pop('saker_refusals_total{reason="deadline"}') + got.pop('saker_cancellations_total{by="deadline"}')
        assert list(got.values()) == [counts["tries"], counts[200], counts[429], 0], (got, counts)
        assert late == counts[503] + counts[504], (late, counts)
        expect(d, **{"saker_open_streams": 0, "tgi_queue_size": 0, "tgi_batch_current_size": 0})
        # nginx keeps up to 32 connections for later.
        wait_for("descriptors come back", lambda: srv.fds() <= fds + 32)
        assert sanitized(argv) or rss[1] < rss[0] + 2048, "%d KiB after the first half, %d KiB after the second" % tuple(rss)


TESTS = [ten_times_too_many_are_all_answered_in_the_end, nobody_holds_all_places_against_others, settings_of_shares_are_checked, who_is_refused_comes_when_there_is_a_place, while_loading_the_progress_says_when, while_draining_the_work_left_says_when,
         a_full_worker_queue_says_when, who_cannot_begin_in_time_is_refused_at_once, a_request_ends_at_its_deadline, a_deadline_counts_while_a_worker_is_awaited, settings_bound_every_deadline,
         a_wrong_deadline_is_told, deadlines_race_with_everything]

if __name__ == "__main__":
    sys.exit(main(TESTS))
