# SPDX-License-Identifier: Apache-2.0
"""More requests than there are places: deadlines, refusals and when to come again, shares of clients."""
import json, os, sys, time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from front import *
from watch import ask, deltas, expect, gen, header, samples


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
                assert a and a[0] in (200, 504, 410), a
                if a[0] == 200 and not i % 2:
                    assert b'"generated_text":" t0' in a[2] or b'"error_type":"' in a[2], a[2]
                p.s.close()
        wait_for("all generations are closed", lambda: len(srv.trace("submit")) == len(srv.trace("close")))
        wait_for("descriptors come back", lambda: srv.fds() <= fds)
        expect(samples(srv), **{"saker_permits_used": 0, "saker_open_streams": 0})


TESTS = [a_request_ends_at_its_deadline, a_deadline_counts_while_a_worker_is_awaited, settings_bound_every_deadline,
         a_wrong_deadline_is_told, deadlines_race_with_everything]

if __name__ == "__main__":
    sys.exit(main(TESTS))
