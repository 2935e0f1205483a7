# SPDX-License-Identifier: Apache-2.0
"""A FastCGI peer that does not behave. Whatever it sends, the next peer is served and no descriptor is lost."""
import fcntl, os, random, select, socket, struct, subprocess, sys, termios, threading

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from front import *

GEN = {"inputs": "hello", "parameters": {"max_new_tokens": 3}}
REQ = request("POST", "/generate", GEN)
RNG = random.Random(7)
V = lambda n, k=1: record(GET_VALUES, 0, pair(n, b"") * k)
OPEN, CLOSED, ANY = "open", "closed", "any"

# name, bytes, does the server hang up by itself (ANY: both are right; the peer then shuts its side)
INPUTS = [
    ("nothing", b"", ANY),
    ("one byte", b"\x01", ANY),
    ("half a header", REQ[:5], ANY),
    ("a header alone", REQ[:8], ANY),
    ("garbage", bytes(RNG.randrange(2, 256) for _ in range(5000)), CLOSED),
    ("zeros", bytes(5000), CLOSED),
    ("ones", b"\xff" * 5000, CLOSED),
    ("HTTP", b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", CLOSED),
    ("another version", record(BEGIN, 1, bytes(8), version=2), CLOSED),
    ("an unknown type", record(99, 0, b"what"), OPEN),
    ("every type of management record", b"".join(record(t, 0, b"abc") for t in range(2, 256) if t not in (1, 9)), ANY),
    ("a type for the server only", record(STDOUT, 1, b"x") + record(END, 1, bytes(8)), OPEN),
    ("a begin of three bytes", record(BEGIN, 1, b"abc"), CLOSED),
    ("a begin of 65535 bytes", record(BEGIN, 1, bytes(65535)), CLOSED),
    ("a begin without id", record(BEGIN, 0, bytes(8)), CLOSED),
    ("an unknown role", begin(1, role=77), ANY),
    ("two begins of one id", begin(1) + begin(1), ANY),
    ("a thousand begins", b"".join(begin(i) for i in range(1, 1001)), ANY),
    ("GET_VALUES of one name 40 times", V(b"FCGI_MAX_CONNS", 40), OPEN),
    ("GET_VALUES of one name 4000 times", V(b"FCGI_MAX_CONNS", 4000), OPEN),
    ("GET_VALUES with lengths INT_MAX", record(GET_VALUES, 0, b"\xff" * 8 + b"a"), OPEN),
    ("GET_VALUES with lengths 0x7ffffffe", record(GET_VALUES, 0, b"\xff\xff\xff\xfe" * 2 + b"a"), OPEN),
    ("GET_VALUES asked 5000 times, answers not read", V(b"FCGI_MPXS_CONNS") * 5000, ANY),
    ("a parameter of INT_MAX bytes", begin() + stream(PARAMS, 1, b"\x01\xff\xff\xff\xffA1") + record(STDIN, 1), CLOSED),
    ("parameters of 0x7ffffffe bytes", begin() + stream(PARAMS, 1, b"\xff\xff\xff\xfe" * 2 + b"A") + record(STDIN, 1),
     CLOSED),
    ("a parameter one byte too long", begin() + stream(PARAMS, 1, b"\x01\x02A1") + record(STDIN, 1), CLOSED),
    ("4 MB of parameters", begin() + stream(PARAMS, 1, pair(b"A", b"x" * 4000000)) + record(STDIN, 1), CLOSED),
    ("200,000 parameters", begin() + stream(PARAMS, 1, pair(b"A", b"1") * 200000) + record(STDIN, 1), CLOSED),
    ("no parameters", begin() + record(PARAMS, 1) + record(STDIN, 1), ANY),
    ("a parameter with a NUL", begin() + stream(PARAMS, 1, pair(b"REQUEST_URI", b"/a\0b")) + record(STDIN, 1), CLOSED),
    ("a body before the parameters", begin() + record(STDIN, 1, b"x") + record(STDIN, 1), ANY),
    ("a cut body", REQ[:-12], ANY),
    ("a record that lies about its length", begin() + record(PARAMS, 1, b"A", length=65535), ANY),
    ("the wrong id", begin(1) + stream(PARAMS, 2, params("GET", "/livez")) + record(STDIN, 2), ANY),
    ("an abort of nothing", record(ABORT, 1) * 100, OPEN),
    ("a request, then garbage", REQ + b"\xff" * 100, ANY),
    ("a path with broken escapes", request("GET", "/%%%zz%0%00%"), ANY),
    ("a path of 60,000 bytes", request("GET", "/" + "a" * 60000), ANY),
    ("a body that is no UTF-8", request("POST", "/generate", b'{"inputs":"\xff\xfe"}'), ANY),
    ("a deep body", request("POST", "/generate", b"[" * 100000), ANY),
]


def settled(srv, want):
    wait_for("no descriptor is left (%d, want %d)" % (srv.fds(), want), lambda: srv.fds() <= want)


def no_input_stops_the_server(argv):
    with Server(argv, flags=["--read-timeout-ms", "60000"]) as srv:
        fds = srv.fds()
        for name, data, want in INPUTS:
            for pieces in (False, True):
                with Peer(srv.path) as p:
                    if pieces and len(data) > 3000:
                        continue
                    for part in ([data[i:i + 1] for i in range(len(data))] if pieces else [data]):
                        if not p.send(part):
                            break
                    if want == CLOSED:
                        assert p.closed(), "%s: the connection stays open" % name
                    elif want == OPEN:
                        assert p.send(request()), "%s: the connection was closed" % name
                        a = p.answer()
                        assert a and a[0] == 200, "%s: then /livez answers %s" % (name, a)
                    else:
                        try:
                            p.s.shutdown(socket.SHUT_WR)
                        except OSError:
                            pass
                        assert p.closed(), "%s: the connection stays open after its end" % name
                assert srv.alive(), "%s: the server is gone (%s)" % (name, srv.p.poll())
        settled(srv, fds)


def random_records_do_not_stop_the_server(argv):
    with Server(argv) as srv:
        fds = srv.fds()
        for seed in range(150):
            rng = random.Random(seed)
            data = b""
            for _ in range(rng.randrange(1, 12)):
                body = rng.choice([b"", bytes(8), params("GET", "/livez"), rng.randbytes(rng.randrange(300))])
                data += record(rng.randrange(0, 13), rng.choice([0, 1, 1, 1, 2, 65535]), body, rng.randrange(256),
                               1 if rng.random() < .98 else rng.randrange(256))
            with Peer(srv.path) as p:
                p.send(data)
                try:
                    p.s.shutdown(socket.SHUT_WR)
                except OSError:
                    pass
                assert p.closed(), "seed %d" % seed
        assert srv.alive()
        settled(srv, fds)


def values_are_told_once_each(argv):
    with Server(argv) as srv, Peer(srv.path) as p:
        p.send(record(GET_VALUES, 0, pair(b"FCGI_MPXS_CONNS", b"") * 2 + pair(b"FCGI_MAX_CONNS", b"") + pair(b"X", b"")))
        kind, rid, content = p.record()
        assert (kind, rid) == (VALUES_RESULT, 0)
        assert content.count(b"FCGI_MPXS_CONNS0") == 1 and content.count(b"FCGI_MAX_CONNS") == 1, content


def refusals_name_their_reason(argv):
    with Server(argv) as srv, Peer(srv.path) as p:
        p.send(record(99, 0, b"?"))
        assert p.record() == (UNKNOWN, 0, bytes([99]) + bytes(7))
        p.send(begin(5, role=3, keep=True))
        assert p.record() == (END, 5, bytes([0, 0, 0, 0, 3, 0, 0, 0]))
        p.send(begin(1, keep=True) + begin(2, keep=True))
        assert p.record() == (END, 2, bytes([0, 0, 0, 0, 1, 0, 0, 0]))
        p.send(stream(PARAMS, 1, params("GET", "/livez")) + record(STDIN, 1))
        assert p.answer(1)[0] == 200


def a_refused_role_without_keep_conn_ends_the_connection(argv):
    with Server(argv) as srv, Peer(srv.path) as p:
        p.send(begin(5, role=2))
        assert p.record() == (END, 5, bytes([0, 0, 0, 0, 3, 0, 0, 0]))
        assert p.closed(10), "FCGI_KEEP_CONN was not set, so the server closes"


def a_kept_connection_serves_many_requests(argv):
    with Server(argv) as srv, Peer(srv.path) as p:
        fds = srv.fds()
        for i in range(200):
            p.send(request("POST" if i % 2 else "GET", "/generate" if i % 20 == 1 else "/livez", GEN, keep=True))
            status, _, body, end = p.answer()
            assert end == 0 and status in (200, 405), (i, status, body)
        assert srv.fds() <= fds + 1
        p.send(request())
        assert p.answer()[0] == 200 and p.closed(), "the last one did not ask to keep the connection"


def ids_other_than_one_are_answered(argv):
    with Server(argv) as srv, Peer(srv.path) as p:
        for rid in (1, 2, 65535, 7):
            p.send(request(rid=rid, keep=True))
            a = p.answer(rid)
            assert a and a[0] == 200, rid


def an_upload_cut_off_is_no_request(argv):
    with Server(argv) as srv:
        before = len(srv.trace("submit"))
        with Peer(srv.path) as p:
            p.send(REQ[:-8])
            p.s.shutdown(socket.SHUT_WR)
            assert p.closed()
        assert srv.alive() and len(srv.trace("submit")) == before


def silent_peers_are_dropped_at_the_deadline(argv):
    with Server(argv, flags=["--read-timeout-ms", "300"]) as srv:
        fds = srv.fds()
        peers = [Peer(srv.path) for _ in range(50)]
        for i, p in enumerate(peers):
            p.send([b"", REQ[:3], REQ[:40], REQ[:-8]][i % 4])
        assert srv.alive(), "silent connections hold nobody up"
        for p in peers:
            assert p.closed(), "a silent peer was not dropped"
            p.s.close()
        settled(srv, fds)


def a_slow_upload_delays_nobody(argv):
    with Server(argv) as srv, Peer(srv.path) as slow:
        for b in (REQ[i:i + 1] for i in range(len(REQ))):
            slow.send(b)
            if RNG.random() < .05:
                assert srv.alive()
        assert slow.answer()[0] == 200


def a_large_body_is_read_to_its_end_and_refused(argv):
    with Server(argv, flags=["--payload-limit", "100K"]) as srv:
        for size in (102401, 5000000):
            status, headers, body, _ = fcgi(srv.path, "POST", "/generate", b" " * size)
            assert status == 413 and json.loads(body)["error_type"] == "payload_too_large", (status, body)
            assert headers["content-type"].startswith("application/json")
        assert fcgi(srv.path, "POST", "/generate", json.dumps(GEN).encode() + b" " * 102000)[0] == 200


def a_peer_that_leaves_ends_its_generation(argv):
    double_only(argv)
    with Server(argv) as srv:
        fds = srv.fds()
        for leave in (lambda p: p.s.close(), lambda p: p.send(record(ABORT, 1)), lambda p: p.s.shutdown(socket.SHUT_WR)):
            ends = len(srv.trace("end"))
            with Peer(srv.path) as p:
                p.send(request("POST", "/generate_stream", {"inputs": "@silent"}))
                assert p.record()[0] == STDOUT
                t0 = time.monotonic()
                leave(p)
                wait_for("the generation ends", lambda: len(srv.trace("end")) > ends)
                took = srv.trace("end")[-1][2] / 1e6 - t0
                assert took < 0.1, "it took %.3f s" % took
        settled(srv, fds)


def a_peer_that_leaves_while_a_worker_is_busy_is_forgotten(argv):
    double_only(argv)
    with Server(argv, env={"SAKER_DOUBLE_SUBMIT_MS": 200}) as srv:
        fds = srv.fds()
        for _ in range(4):
            with Peer(srv.path) as p:
                p.send(request("POST", "/generate", {"inputs": "@silent"}))
        wait_for("all were submitted and closed", lambda: len(srv.trace("close")) >= 4)
        settled(srv, fds)


def a_silent_stream_sends_comments(argv):
    double_only(argv)
    with Server(argv, flags=["--comment-interval-ms", "50"]) as srv, Peer(srv.path) as p:
        p.send(request("POST", "/generate_stream", {"inputs": "@silent"}))
        out = b""
        while out.count(b"\n\n") < 6:
            out += p.record()[2]
        head, _, body = out.partition(b"\r\n\r\n")
        head = head.lower()
        assert body.startswith(b": ok\n\n"), body
        assert b"x-accel-buffering: no" in head and b"cache-control: no-cache" in head and b"event-stream" in head
        assert all(l.startswith(b":") for l in body.strip().split(b"\n\n")), body


def a_failed_generation_says_so(argv):
    double_only(argv)
    with Server(argv) as srv:
        status, _, body, _ = fcgi(srv.path, "POST", "/generate", {"inputs": "@fail"})
        assert status == 424 and json.loads(body)["error_type"] == "generation", (status, body)
        status, _, body, _ = fcgi(srv.path, "POST", "/generate_stream", {"inputs": "@fail"})
        last = [l for l in body.decode().split("\n") if l.startswith("data: ")][-1]
        assert status == 200 and json.loads(last[6:])["error_type"] == "generation", last


def a_full_server_answers_429(argv):
    double_only(argv)
    with Server(argv, flags=["--max-concurrent-requests", "2"]) as srv:
        held = [Peer(srv.path) for _ in range(2)]
        for p in held:
            p.send(request("POST", "/generate_stream", {"inputs": "@silent"}))
            assert p.record()[0] == STDOUT
        status, headers, body, _ = fcgi(srv.path, "POST", "/generate", GEN)
        assert status == 429 and headers["retry-after"] and json.loads(body)["error_type"] == "overloaded"
        for p in held:
            p.s.close()
        wait_for("the permits come back", lambda: fcgi(srv.path, "POST", "/generate", GEN)[0] == 200)


def a_full_worker_queue_answers_429(argv):
    double_only(argv)
    with Server(argv, flags=["--workers", "1", "--max-concurrent-requests", "5000"],
                env={"SAKER_DOUBLE_SUBMIT_MS": 2000}) as srv:
        peers = [Peer(srv.path) for _ in range(1300)]
        for p in peers:
            p.send(request("POST", "/generate", GEN))
        assert srv.alive(), "health does not wait for a worker"
        status, headers, _, _ = peers[-1].answer()
        assert status == 429 and headers["retry-after"], status
        for p in peers:
            p.s.close()
        srv.p.kill()            # the one worker would go on for the 1,000 that wait
        srv.p.wait()
        srv.p.returncode = 0


def while_loading_health_is_503_and_life_is_200(argv):
    double_only(argv)
    with Server(argv, env={"SAKER_DOUBLE_LOAD_MS": 1500}, ready=False) as srv:
        assert fcgi(srv.path, "GET", "/livez")[0] == 200
        for path in ("/readyz", "/ping", "/health"):
            assert fcgi(srv.path, "GET", path)[0] == 503, path
        status, headers, body, _ = fcgi(srv.path, "GET", "/readyz")
        got = json.loads(body)
        assert got["status"] == "loading" and 0 <= got["done"] <= got["total"] and headers["retry-after"], body
        status, headers, body, _ = fcgi(srv.path, "POST", "/generate", GEN)
        assert status == 503 and headers["retry-after"] and json.loads(body)["error_type"] == "loading", (status, body)
        wait_for("it becomes ready", lambda: fcgi(srv.path, "GET", "/readyz")[0] == 200)
        assert fcgi(srv.path, "POST", "/generate", GEN)[0] == 200


def a_model_that_does_not_load_ends_the_process(argv):
    double_only(argv)
    srv = Server(argv, env={"SAKER_DOUBLE_LOAD_MS": 500, "SAKER_DOUBLE_LOAD_FAIL": 1}, ready=False)
    try:
        assert srv.code() == 65, srv.code()
    finally:
        srv.stop()


def an_engine_that_fails_for_good_ends_the_process(argv):
    double_only(argv)
    srv = Server(argv)
    try:
        status, _, body, _ = fcgi(srv.path, "POST", "/generate", {"inputs": "@dead"})
        assert status == 424 and json.loads(body)["error_type"] == "generation", (status, body)
        assert srv.code() == 1, srv.code()
    finally:
        srv.stop()


def connections_over_the_limit_wait(argv):
    with Server(argv, flags=["--max-connections", "10"]) as srv:
        peers = [Peer(srv.path) for _ in range(40)]
        for p in peers:
            p.send(request())
        for p in peers:
            assert p.answer()[0] == 200
            p.s.close()
        assert srv.alive()


def more_connections_than_descriptors_wait(argv):
    limited = ["sh", "-c", 'ulimit -n 40; exec "$@"', "sh"]
    with Server(argv) as probe:
        pass
    raise_limits()
    path = os.path.join(tempfile.mkdtemp(prefix="saker-front-"), "s")
    double = "double" in os.path.basename(argv[0])
    cmd = limited + [argv[0], "serve"] + argv[1:] + ["--listen", "unix:" + path] + (["--model", "double"] if double else [])
    log = open(path + ".log", "wb")
    p = subprocess.Popen(cmd, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    try:
        def answers():
            try:
                return fcgi(path)[0] == 200
            except OSError:
                return False
        wait_for("it serves", answers)
        peers = [Peer(path) for _ in range(100)]
        for x in peers[60:]:
            x.send(request())
        for x in peers[:60]:
            x.s.close()
        for x in peers[60:]:
            a = x.answer()
            assert a and a[0] == 200
            x.s.close()
    finally:
        p.terminate()
        assert p.wait(20) == 0
        log.close()
        shutil.rmtree(os.path.dirname(path))


def stat_letter(pid):
    with open("/proc/%d/stat" % pid) as f:
        return f.read().rsplit(")", 1)[1].split()[0]


def a_first_signal_drains_and_no_answer_is_cut(argv, inherited=False, sig=signal.SIGTERM, **k):
    double_only(argv)
    with Server(argv, inherited=inherited, env={"SAKER_DOUBLE_RATE": 40}, **k) as srv:
        peers = [Peer(srv.path) for _ in range(20)]
        for p in peers:
            p.send(request("POST", "/generate_stream", {"inputs": "x", "parameters": {"max_new_tokens": 40}}))
            assert p.record()[0] == STDOUT
        srv.p.send_signal(sig)
        wait_for("it drains", lambda: "draining" in srv.log() or srv.exited())
        if not inherited:
            status, headers, body, _ = fcgi(srv.path, "POST", "/generate", GEN)
            assert status == 503 and headers["retry-after"] and json.loads(body)["error_type"] == "draining"
            assert fcgi(srv.path, "GET", "/readyz")[0] == 503
        else:
            waiting = Peer(srv.path)
            waiting.send(request())
        for p in peers:
            out = b""
            while True:
                r = p.record()
                assert r is not None, "an answer was cut"
                if r[0] == END:
                    break
                out += r[2]
            assert out.count(b"data: ") == 40, out.count(b"data: ")
            p.s.close()
        assert srv.code() == 0
        if inherited:
            other, _ = srv.listener.accept()     # nobody took it: it waits for the successor
            assert other.recv(8)[1] == BEGIN
            other.close()
            waiting.s.close()


def an_inherited_socket_is_served_and_left_for_the_successor(argv):
    a_first_signal_drains_and_no_answer_is_cut(argv, inherited=True)


def a_closed_terminal_drains_too(argv):
    """saker serve in the foreground; where standard input is no terminal SIGHUP reads the settings again (fire.py)."""
    ours, theirs = os.openpty()
    try:
        a_first_signal_drains_and_no_answer_is_cut(argv, sig=signal.SIGHUP, stdin=theirs)
    finally:
        os.close(ours)
        os.close(theirs)


def a_hangup_ignored_at_the_start_stays_ignored(argv):
    """nohup saker ... &"""
    old = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        srv = Server(argv)
    finally:
        signal.signal(signal.SIGHUP, old)
    with srv:
        srv.p.send_signal(signal.SIGHUP)
        assert srv.alive() and "draining" not in srv.log()


def a_request_that_comes_with_the_signal_is_answered(argv):
    """Both are there when the server looks: whatever their order, it takes the connection before the signal."""
    double_only(argv)
    for inherited in (False, True):
        with Server(argv, inherited=inherited) as srv:
            srv.p.send_signal(signal.SIGSTOP)
            wait_for("it has stopped", lambda: stat_letter(srv.p.pid) == "T")
            # Any signal puts the server's signalfd into its epoll's list; this one does so ahead of the connection.
            srv.p.send_signal(signal.SIGSTOP)
            p = Peer(srv.path)
            p.send(request())
            srv.term()
            srv.p.send_signal(signal.SIGCONT)
            a = p.answer()
            assert a and a[0] == 200, a
            p.s.close()
            assert srv.code() == 0


def a_low_soft_limit_of_files_is_raised(argv):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (64, hard))
    try:
        srv = Server(argv)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    with srv:
        held = [Peer(srv.path) for _ in range(150)]
        for p in held:
            p.send(begin())
        assert fcgi(srv.path, "GET", "/livez")[0] == 200
        wait_for("all are taken", lambda: srv.fds() > 150)
        for p in held:
            p.s.close()


def bodies_of_many_connections_have_a_common_limit(argv):
    body = json.dumps({"inputs": "x", "parameters": {"max_new_tokens": 1, "seed": 1}, "more": "y" * 60000}).encode()
    with Server(argv, flags=["--payload-limit", "64K"]) as srv:
        held = [Peer(srv.path) for _ in range(16)]
        for p in held:
            p.send(begin() + stream(PARAMS, 1, params("POST", "/generate")) + record(STDIN, 1, body[:60000]))
        status, headers, text, _ = wait_for("the room is taken", lambda: [a for a in [
            fcgi(srv.path, "POST", "/generate", body)] if a[0] != 200])[0]
        assert status == 429 and headers["retry-after"] and json.loads(text)["error_type"] == "overloaded", status
        assert fcgi(srv.path, "POST", "/generate", GEN)[0] == 200, "a small one finds room"
        for p in held:
            p.s.close()
        wait_for("the room is given back", lambda: fcgi(srv.path, "POST", "/generate", body)[0] == 200)


def a_second_signal_stops_at_once(argv):
    double_only(argv)
    srv = Server(argv)
    try:
        with Peer(srv.path) as p:
            p.send(request("POST", "/generate_stream", {"inputs": "@silent"}))
            assert p.record()[0] == STDOUT
            srv.term()
            wait_for("it drains", lambda: "draining" in srv.log())
            assert srv.p.poll() is None
            srv.term()
            srv.code(5)
            assert p.closed()
        assert srv.p.returncode >= 0, "killed by signal %d" % -srv.p.returncode
    finally:
        srv.stop()


def a_busy_worker_does_not_delay_the_end(argv):
    """As one that tokenises a huge prompt: after a second signal, and after the drain's time and its grace."""
    double_only(argv)
    for signals, flags in ((2, []), (1, ["--drain-timeout-ms", "100"])):
        srv = Server(argv, flags=flags, env={"SAKER_DOUBLE_SUBMIT_MS": 40000})
        try:
            with Peer(srv.path) as p:
                p.send(request("POST", "/generate", GEN))
                assert srv.alive()
                srv.term()
                wait_for("it drains", lambda: "draining" in srv.log())
                if signals == 2:
                    srv.term()
                assert srv.code(10) == 0
                assert not os.path.exists(srv.path), "the own socket goes with its server"
                assert p.closed()
        finally:
            if not srv.exited():
                srv.p.kill()
            srv.stop()


def the_drain_ends_at_its_timeout(argv):
    double_only(argv)
    with Server(argv, flags=["--drain-timeout-ms", "200"]) as srv:
        with Peer(srv.path) as p:
            p.send(request("POST", "/generate_stream", {"inputs": "@silent"}))
            assert p.record()[0] == STDOUT
            srv.term()
            srv.code(15)
            assert srv.p.returncode >= 0, "killed by signal %d" % -srv.p.returncode
            out = b""
            while True:
                r = p.record()
                if r is None or r[0] == END:
                    break
                out += r[2]
            assert b'"error"' in out, "the reader is told: %r" % out


def notify_and_systemd_socket(argv):
    d = tempfile.mkdtemp(prefix="saker-front-")
    note = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    note.bind(d + "/n")
    note.settimeout(DEADLINE)
    lst = socket.socket(socket.AF_UNIX)
    lst.bind(d + "/s")
    lst.listen(64)
    double = "double" in os.path.basename(argv[0])
    # LISTEN_PID is the process that reads it, so it is set where exec keeps the number; python3 moves the socket to fd 3
    code = ("import os,sys\nos.dup2(int(sys.argv[1]),3);os.set_inheritable(3,True)\n"
            "os.environ.update(LISTEN_PID=str(os.getpid()),LISTEN_FDS='1',WATCHDOG_USEC='200000',"
            "WATCHDOG_PID=str(os.getpid()))\nos.execv(sys.argv[2],sys.argv[2:])")
    cmd = [sys.executable, "-c", code, str(lst.fileno()), os.path.abspath(argv[0]), "serve"] + argv[1:]
    if double:
        cmd += ["--model", "double"]
    p = subprocess.Popen(cmd, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL, pass_fds=[lst.fileno()],
                         env=dict(os.environ, NOTIFY_SOCKET=d + "/n", SAKER_DOUBLE_LOAD_MS="300"))
    try:
        got = b""
        while b"READY=1" not in got:
            got += note.recv(4096) + b"\n"
        while got.count(b"WATCHDOG=1") < 3:
            got += note.recv(4096) + b"\n"
        # several at once: a listening socket that blocks would hold the loop in accept()
        peers = [Peer(d + "/s", 10) for _ in range(5)]
        for x in peers:
            x.send(request())
        for x in peers:
            assert x.answer()[0] == 200
            x.s.close()
        assert fcgi(d + "/s", timeout=10)[0] == 200
        p.terminate()
        while b"STOPPING=1" not in got:
            got += note.recv(4096) + b"\n"
        assert p.wait(20) == 0
    finally:
        if p.poll() is None:
            p.kill()
            p.wait()
        lst.close()
        note.close()
        shutil.rmtree(d)


def serve_once(argv, flags):
    double = "double" in os.path.basename(argv[0])
    return subprocess.run([argv[0], "serve"] + argv[1:] + (["--model", "double"] if double else []) + flags,
                          stdin=subprocess.DEVNULL, capture_output=True, timeout=30)


def sockets_are_not_stolen(argv):
    with Server(argv) as srv:
        r = serve_once(argv, ["--listen", "unix:" + srv.path])
        assert r.returncode not in (0, -6, -11) and srv.alive(), "a second server took a living socket"
        note = srv.dir + "/file"
        open(note, "w").close()
        r = serve_once(argv, ["--listen", "unix:" + note])
        assert r.returncode == 2 and os.path.exists(note), "a file that is no socket was removed"
        assert os.stat(srv.path).st_mode & 0o777 == 0o660
        srv.p.kill()
        srv.p.wait()
        assert os.path.exists(srv.path), "a killed server leaves its socket"
        srv.p = subprocess.Popen([argv[0], "serve"] + argv[1:] + ["--listen", "unix:" + srv.path] +
                                 (["--model", "double"] if srv.double else []), stdin=subprocess.DEVNULL)
        wait_for("a stale socket is replaced", srv.alive)
        srv.term()
        assert srv.code() == 0 and not os.path.exists(srv.path), "the own socket goes with its server"
        srv.p.returncode = 0


def a_socket_that_is_somebodys_is_not_removed(argv):
    """One with a full backlog, where connect() would wait; one of datagrams, where it fails."""
    d = tempfile.mkdtemp(prefix="saker-front-")
    held = []
    try:
        full = socket.socket(socket.AF_UNIX)
        full.bind(d + "/full")
        full.listen(0)
        held.append(full)
        try:
            while True:
                s = socket.socket(socket.AF_UNIX)
                s.setblocking(False)
                held.append(s)
                s.connect(d + "/full")
        except BlockingIOError:
            pass
        datagrams = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        datagrams.bind(d + "/datagrams")
        held.append(datagrams)
        for name in ("full", "datagrams"):
            r = serve_once(argv, ["--listen", "unix:" + d + "/" + name])
            assert r.returncode == 2 and os.path.exists(d + "/" + name), "%s: %d %s" % (name, r.returncode, r.stderr)
    finally:
        for s in held:
            s.close()
        shutil.rmtree(d)


def serve_here(argv, path):
    double = ["--model", "double"] if "double" in os.path.basename(argv[0]) else []
    return subprocess.Popen([argv[0], "serve"] + argv[1:] + double + ["--listen", "unix:" + path],
                            stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


def an_end_leaves_the_socket_of_another(argv):
    with Server(argv) as srv:
        os.unlink(srv.path)
        other = serve_here(argv, srv.path)
        try:
            wait_for("the other one answers", lambda: other.poll() is not None or srv.alive())
            srv.term()
            assert srv.code() == 0
            a = fcgi(srv.path)
            assert a and a[0] == 200, "the end of the first took the socket of the second"
            other.terminate()
            assert other.wait(DEADLINE) == 0 and not os.path.exists(srv.path)
            assert not os.path.exists(srv.path + ".lock"), "the lock is only there during a start or an end"
        finally:
            other.kill()
            other.wait()
            other.stderr.close()


def of_many_starts_on_a_stale_socket_one_wins(argv):
    d = tempfile.mkdtemp(prefix="saker-front-")
    path = d + "/s"
    many = 8
    try:
        open(path + ".lock", "w").close()       # a start that was killed left it
        for turn in range(20):
            stale = socket.socket(socket.AF_UNIX)
            stale.bind(path)
            stale.close()
            all_of_them = [serve_here(argv, path) for _ in range(many)]
            try:
                wait_for("all but one end", lambda: sum(p.poll() is None for p in all_of_them) <= 1)
                winner, = [p for p in all_of_them if p.poll() is None]
                for p in all_of_them:
                    if p is not winner:
                        words = p.stderr.read()
                        assert p.returncode == 2 and "answers on this socket: %d," % winner.pid in words, words
                assert fcgi(path)[0] == 200
                winner.terminate()
                assert winner.wait(DEADLINE) == 0 and os.listdir(d) == [], (turn, os.listdir(d))
            finally:
                for p in all_of_them:
                    p.kill()
                    p.wait()
                    p.stderr.close()
    finally:
        shutil.rmtree(d)


def whoever_gets_in_before_the_end_is_answered(argv):
    """An own socket: connections all through the drain's end, some of which speak late. None is reset, none gets nothing."""
    told = {200: 0, 503: 0}
    for turn in range(15):
        lost, gone, lock = [], threading.Event(), threading.Lock()

        def knock(path, late):
            while not gone.is_set():
                try:
                    p = Peer(path)
                except (ConnectionRefusedError, FileNotFoundError):
                    gone.set()
                    return
                with p:
                    if late:
                        select_pause(late)
                    sent = p.send(request("POST", "/generate", {"inputs": "a", "parameters": {"max_new_tokens": 1}}))
                    a = p.answer()
                    with lock:
                        if a and a[0] in told:
                            told[a[0]] += 1
                        else:
                            lost.append((sent, a))

        with Server(argv) as srv:
            knockers = [threading.Thread(target=knock, args=(srv.path, late)) for late in (0, 0, 0, 0.05)]
            for t in knockers:
                t.start()
            select_pause(0.02)
            srv.term()
            for t in knockers:
                t.join()
            assert srv.code() == 0 and not os.path.exists(srv.path)
            assert not lost, "turn %d: %d connections were lost: %s" % (turn, len(lost), lost[:3])
    assert told[503], told


def wrong_flags_have_exit_codes(argv):
    for flags, code in (([], 66), (["--listen", "nonsense"], 2), (["--listen", "unix:/nowhere/at/all"], 74),
                        (["--listen", "unix:" + "x" * 200], 2)):
        r = serve_once(argv, flags)
        assert r.returncode == code, "%s: %d, want %d: %s" % (flags, r.returncode, code, r.stderr)
        assert r.stderr, "it says why"


def as_user(path, uid):
    """How many bytes another user gets for a request: a child of ours, as its python could not be started anew."""
    pid = os.fork()
    if pid == 0:
        got = 99
        try:
            os.setgroups([])
            os.setgid(uid)
            os.setuid(uid)
            with Peer(path, 20) as p:
                got = len(p._exactly(8) or b"") if p.send(request()) else 0
        finally:
            os._exit(got)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def strangers_are_refused(argv):
    if os.getuid() != 0:
        raise Skip("needs root, to be two users")
    with Server(argv, flags=["--allow-uid", "33", "--socket-mode", "0666"]) as srv:
        os.chmod(srv.dir, 0o755)
        assert as_user(srv.path, 33) == 8, "an allowed user is served"
        assert as_user(srv.path, 65534) == 0, "another one is not"
        assert srv.alive(), "root is"


def strangers_are_refused_across_pid_namespaces(argv):
    """To a server in a namespace of its own all peers have the process id 0."""
    if os.getuid() != 0:
        raise Skip("needs root, to be two users")
    unshare = ["unshare", "-pf", "--kill-child"]
    if not shutil.which("unshare") or subprocess.run(unshare + ["true"], capture_output=True).returncode:
        raise Skip("unshare -p does not work here")
    d = tempfile.mkdtemp(prefix="saker-front-")
    os.chmod(d, 0o755)
    double = "double" in os.path.basename(argv[0])
    with open(d + "/log", "wb") as log:
        p = subprocess.Popen(unshare + [argv[0], "serve"] + argv[1:] + (["--model", "double"] if double else []) +
                             ["--listen", "unix:" + d + "/s", "--allow-uid", "33", "--socket-mode", "0666"],
                             stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    try:
        wait_for("the socket is there", lambda: p.poll() is not None or os.path.exists(d + "/s"))
        assert wait_for("an answer", lambda: as_user(d + "/s", 33)) == 8, "an allowed user is served"
        assert as_user(d + "/s", 65534) == 0, "another one is not"
    finally:
        p.kill()
        p.wait()
        shutil.rmtree(d)


def a_peer_that_leaves_with_the_whole_answer_is_no_hang_up(argv):
    """nginx closes once it has the bytes of Content-Length, sometimes before the end record."""
    double_only(argv)
    with Server(argv, env={"SAKER_DOUBLE_RATE": 5000}) as srv, Peer(srv.path) as p:
        p.send(request("POST", "/generate", {"inputs": "@wide", "parameters": {"max_new_tokens": 46}}))

        def waiting():
            return struct.unpack("i", fcntl.ioctl(p.s, termios.FIONREAD, bytes(4)))[0]
        # Nothing is read, so that the end finds no room in the socket.
        wait_for("the answer is there", lambda: waiting() > 46 * 1024)
        p.s.close()
        wait_for("it is logged", lambda: "path=/generate status=200" in srv.log())
        assert "client left" not in srv.log(), "the peer had it all"


def a_uri_with_a_host_is_its_path(argv):
    """As Apache hands it over: `GET http://host/path`."""
    with Server(argv, flags=["--path-prefix", "/llm"]) as srv:
        for uri, want in (("http://h/livez", 200), ("HTTPS://h:8080/livez?x=1", 200), ("http://u@h/llm/livez", 200), ("http:///livez", 200),
                          ("http://h", 200), ("http://h?x", 200), ("http://h/nothing", 404), ("http:/livez", 404), ("http://", 200),
                          ("ftp://h/livez", 404), ("/http://h/livez", 404), ("http://h//livez", 404)):
            a = fcgi(srv.path, "GET", uri)
            assert a and a[0] == want, (uri, a)
        wait_for("their lines", lambda: "path=//livez " in srv.log())
        assert "//h" not in srv.log().replace("path=/http://h/livez", "").replace("path=ftp://h/livez", ""), srv.log()


def a_log_that_nobody_reads_stops_nobody(argv):
    r, w = os.pipe()
    os.set_blocking(w, False)
    try:
        while True:
            os.write(w, bytes(4096))
    except BlockingIOError:
        os.set_blocking(w, True)
    d = tempfile.mkdtemp(prefix="saker-front-")
    double = "double" in os.path.basename(argv[0])
    p = subprocess.Popen([argv[0], "serve"] + argv[1:] + (["--model", "double"] if double else []) +
                         ["--log-level", "debug", "--listen", "unix:" + d + "/s"], stdin=subprocess.DEVNULL, stderr=w)
    try:
        wait_for("the socket is there", lambda: p.poll() is not None or os.path.exists(d + "/s"))
        for i in range(2000):
            a = fcgi(d + "/s", timeout=10)
            assert a and a[0] == 200, "request %d: %s" % (i, a)
        # A line comes after its answer, and what was lost is told by a write of its own: read on until all are accounted for.
        told = b""

        def heard():
            nonlocal told
            while select.select([r], [], [], 0)[0]:
                told += os.read(r, 65536).replace(b"\0", b"")
            lost = re.findall(rb"warn ([0-9]+) lines of the log were lost\n", told)
            lines = len(re.findall(rb"path=/livez status=200.*\n", told))
            return lost and lines and sum(map(int, lost)) + lines >= 2001
        heard()
        assert fcgi(d + "/s", timeout=10)[0] == 200
        try:
            wait_for("each line is there or was told as lost", heard)
        except AssertionError as e:
            raise AssertionError("%s: %s" % (e, told.decode()))
        p.terminate()
        assert p.wait(20) == 0
    finally:
        p.kill()
        p.wait()
        os.close(r)
        os.close(w)
        shutil.rmtree(d)


TESTS = [a_peer_that_leaves_with_the_whole_answer_is_no_hang_up,
         no_input_stops_the_server, random_records_do_not_stop_the_server, values_are_told_once_each,
         refusals_name_their_reason, a_refused_role_without_keep_conn_ends_the_connection,
         a_kept_connection_serves_many_requests, ids_other_than_one_are_answered, an_upload_cut_off_is_no_request,
         silent_peers_are_dropped_at_the_deadline, a_slow_upload_delays_nobody,
         a_large_body_is_read_to_its_end_and_refused, a_peer_that_leaves_ends_its_generation,
         a_peer_that_leaves_while_a_worker_is_busy_is_forgotten, a_silent_stream_sends_comments,
         a_failed_generation_says_so, a_full_server_answers_429, a_full_worker_queue_answers_429,
         while_loading_health_is_503_and_life_is_200, a_model_that_does_not_load_ends_the_process,
         an_engine_that_fails_for_good_ends_the_process,
         connections_over_the_limit_wait, more_connections_than_descriptors_wait,
         a_first_signal_drains_and_no_answer_is_cut, an_inherited_socket_is_served_and_left_for_the_successor,
         a_closed_terminal_drains_too, a_hangup_ignored_at_the_start_stays_ignored,
         a_request_that_comes_with_the_signal_is_answered, a_low_soft_limit_of_files_is_raised,
         bodies_of_many_connections_have_a_common_limit,
         a_second_signal_stops_at_once, a_busy_worker_does_not_delay_the_end, the_drain_ends_at_its_timeout, notify_and_systemd_socket,
         sockets_are_not_stolen, a_socket_that_is_somebodys_is_not_removed,
         an_end_leaves_the_socket_of_another, of_many_starts_on_a_stale_socket_one_wins,
         whoever_gets_in_before_the_end_is_answered, wrong_flags_have_exit_codes, strangers_are_refused,
         strangers_are_refused_across_pid_namespaces,
         a_uri_with_a_host_is_its_path, a_log_that_nobody_reads_stops_nobody]

if __name__ == "__main__":
    sys.exit(main(TESTS))
