# SPDX-License-Identifier: Apache-2.0
"""The front under fire: restarts under load, settings read again, no descriptors left, idle and endless peers, overload."""
import collections, os, random, socket, struct, subprocess, sys, threading

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from front import *


def gen(tokens, inputs="hello"):
    return {"inputs": inputs, "parameters": {"max_new_tokens": tokens}}


# ---- a new process takes over --------------------------------------------------------------------------------------

FD3 = ("import os,sys\nos.dup2(int(sys.argv[1]),3);os.set_inheritable(3,True)\n"
       "os.environ.update(LISTEN_PID=str(os.getpid()),LISTEN_FDS='1')\nos.execv(sys.argv[2],sys.argv[2:])")


def successor(argv, listener, style, log):
    cmd = [os.path.abspath(argv[0]), "serve"] + argv[1:] + (["--model", "double"] if is_double(argv) else [])
    if style == "fd 0":
        return subprocess.Popen(cmd, stdin=listener, stdout=log, stderr=log)
    return subprocess.Popen([sys.executable, "-S", "-c", FD3, str(listener.fileno())] + cmd, stdin=subprocess.DEVNULL, stdout=log,
                            stderr=log, pass_fds=[listener.fileno()])


def is_double(argv):
    return "double" in os.path.basename(argv[0])


class Load:
    """Clients that ask without pause, each answer on a connection of its own; every one must be whole."""

    def __init__(self, path, clients):
        self.path, self.stop, self.good, self.bad = path, False, 0, []
        self.lock = threading.Lock()
        self.threads = [threading.Thread(target=self.run, args=(i,)) for i in range(clients)]
        for t in self.threads:
            t.start()

    def run(self, number):
        while not self.stop:
            try:
                a = fcgi(self.path, "POST", "/generate_stream" if number % 2 else "/generate", gen(3))
                why = None if a and a[0] == 200 and b" t0 t1 t2" in a[2] and a[3] == 0 else "answered %r" % (a,)
            except OSError as e:
                why = repr(e)
            with self.lock:
                self.good += not why
                if why:
                    self.bad.append(why)

    def end(self):
        self.stop = True
        for t in self.threads:
            t.join()


def fifty_restarts(argv, style):
    double_only(argv)
    d = tempfile.mkdtemp(prefix="saker-front-")
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(d + "/s")
    listener.listen(4096)
    os.environ["SAKER_DOUBLE_RATE"] = "200"
    load = p = None
    try:
        with open(d + "/log", "wb") as log:
            p = successor(argv, listener, style, log)
            load = Load(d + "/s", 8)
            wait_for("answers", lambda: load.good > 8 or load.bad)
            for i in range(50):
                old = p
                # Both ways: the new one is there first; or nobody is, and the backlog holds what comes.
                if i % 2:
                    p = successor(argv, listener, style, log)
                    before = load.good
                    wait_for("answers go on", lambda: load.good > before + 4 or load.bad)
                old.terminate()
                assert old.wait(DEADLINE) == 0, "restart %d: the old one ended with %s" % (i, old.returncode)
                if not i % 2:
                    p = successor(argv, listener, style, log)
                before = load.good
                wait_for("answers come again", lambda: load.good > before + 4 or load.bad)
                assert not load.bad, "restart %d: %s" % (i, load.bad[:3])
            load.end()
            print("      %d answers, none lost" % load.good)
            assert not load.bad, load.bad[:3]
            p.terminate()
            assert p.wait(DEADLINE) == 0
    finally:
        os.environ.pop("SAKER_DOUBLE_RATE")
        if load:
            load.end()
        if p and p.poll() is None:
            p.kill()
            p.wait()
        listener.close()
        shutil.rmtree(d)


def fifty_restarts_on_fd_0_lose_nothing(argv):
    fifty_restarts(argv, "fd 0")


def fifty_restarts_on_listen_fds_lose_nothing(argv):
    fifty_restarts(argv, "LISTEN_FDS")


def a_successor_that_loads_lets_wait_who_comes(argv):
    """On an inherited socket: health says 503, a request is answered when the model is there, also when the end was asked for meanwhile."""
    double_only(argv)
    for ends in (False, True):
        with Server(argv, env={"SAKER_DOUBLE_LOAD_MS": 1200}, inherited=True, ready=False) as srv, Peer(srv.path) as p:
            assert fcgi(srv.path, "GET", "/livez")[0] == 200
            p.send(request())
            assert fcgi(srv.path, "GET", "/readyz")[0] == 503, "it is ready too early for this test"
            if ends:
                srv.term()
            a = p.answer()
            assert a and a[0] == 200, a
            if ends:
                assert srv.code() == 0


def a_connection_that_has_not_spoken_is_waited_for(argv):
    """The web server has connected, its request is on the way: whoever accepted it answers it."""
    for inherited in (False, True):
        with Server(argv, inherited=inherited) as srv, Peer(srv.path) as p:
            wait_for("it is accepted", lambda: srv.alive() and srv.alive())
            srv.term()
            wait_for("it drains", lambda: "draining" in srv.log())
            p.send(request())
            a = p.answer()
            assert a and a[0] == 200, a
            assert srv.code() == 0
        with Server(argv, inherited=inherited) as srv, Peer(srv.path):
            assert srv.alive()
            srv.term()
            assert srv.code(10) == 0, "it is not waited for longer than a second"


def a_killed_server_leaves_nothing_that_stops_the_next(argv):
    with Server(argv) as srv:
        for _ in range(3):
            srv.p.kill()
            srv.p.wait()
            assert os.path.exists(srv.path)
            srv.p = subprocess.Popen([argv[0], "serve"] + argv[1:] + ["--listen", "unix:" + srv.path] +
                                     (["--model", "double"] if srv.double else []), stdin=subprocess.DEVNULL)
            wait_for("the next one answers", srv.alive)


# ---- settings read again -------------------------------------------------------------------------------------------

def settings_are_read_again_at_sighup(argv):
    double_only(argv)
    conf = tempfile.mkdtemp(prefix="saker-front-") + "/conf"

    def write(text):
        with open(conf, "w") as f:
            f.write(text)

    def told(words):
        wait_for(words, lambda: words in srv.log())

    write("max_concurrent_requests = 1\nmax_stop_sequences = 1\nthreads = 1\n")
    with Server(argv, flags=["--conf", conf, "--cors-allow-origin", "https://flag.example"]) as srv, Peer(srv.path) as held:
        kept = Peer(srv.path)
        kept.send(request(keep=True))
        assert kept.answer()[0] == 200
        held.send(request("POST", "/generate_stream", {"inputs": "@silent"}))
        assert held.record()[0] == STDOUT
        assert fcgi(srv.path, "POST", "/generate", gen(2))[0] == 429
        write("max_concurrent_requests = 2\nmax_stop_sequences = 3\nthreads = 2\nread_timeout_ms = 300\n"
              "cors_allow_origin = https://conf.example\nlog_level = warn\n")
        srv.p.send_signal(signal.SIGHUP)
        told("threads was changed: it needs a restart")
        assert "cors-allow-origin was changed" not in srv.log(), "the command line wins, as at the start"
        wait_for("the new limit", lambda: fcgi(srv.path, "POST", "/generate", gen(2))[0] == 200)
        more = dict(gen(2))
        more["parameters"]["stop"] = ["a", "b", "c"]
        assert fcgi(srv.path, "POST", "/generate", more)[0] == 200
        with Peer(srv.path) as slow:
            slow.send(request()[:20])
            assert slow.closed(10), "the new deadline"
        kept.send(request())
        assert kept.answer()[0] == 200, "connections are kept over it"
        write("max_concurrent_requests = 1\nlog_level = debug\n")
        srv.p.send_signal(signal.SIGHUP)
        wait_for("the old limit", lambda: fcgi(srv.path, "POST", "/generate", gen(2))[0] == 429)
        for wrong, words in (("max_concurrent_requests = none\n", "is no number"), ("nonsense = 1\n", "unknown setting")):
            write(wrong)
            srv.p.send_signal(signal.SIGHUP)
            told(words)
            assert fcgi(srv.path, "POST", "/generate", gen(2))[0] == 429, "all stays as it was"
        held.s.close()
        wait_for("the place comes back", lambda: fcgi(srv.path, "POST", "/generate", gen(2))[0] == 200)
        fds, rss = srv.fds(), srv.rss()
        write("max_concurrent_requests = 3\n")
        for _ in range(300):
            srv.p.send_signal(signal.SIGHUP)
            assert srv.alive()
        wait_for("no descriptor is left open", lambda: srv.fds() <= fds)        # the last file may be open still
        assert sanitized(argv) or srv.rss() < rss + 4096, "%d KiB before, %d KiB after" % (rss, srv.rss())
        srv.term()
        assert srv.code() == 0
    shutil.rmtree(os.path.dirname(conf))


def a_reload_is_told_by_a_running_server_only(argv):
    """READY=1 while the model loads would let the service manager start who needs the model; while it drains, take it for alive."""
    double_only(argv)
    home = tempfile.mkdtemp(prefix="saker-front-")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as note, open(home + "/conf", "w") as conf:
        note.bind(home + "/n")
        note.settimeout(DEADLINE)
        conf.write("log_level = info\n")
        conf.flush()

        def notes(last):
            got = []
            while not got or last not in got[-1]:
                got.append(note.recv(4096))
            return got

        def reload(times):
            srv.p.send_signal(signal.SIGHUP)
            wait_for("the settings are read", lambda: srv.log().count("settings were read again") == times)

        with Server(argv, flags=["--conf", home + "/conf"], ready=False,
                    env=dict(NOTIFY_SOCKET=home + "/n", SAKER_DOUBLE_LOAD_MS=1000)) as srv, Peer(srv.path) as held:
            reload(1)
            got = notes(b"READY=1")
            assert fcgi(srv.path, "GET", "/readyz")[0] == 200, "ready is told before it is so"
            assert not any(b"RELOADING" in n for n in got)
            reload(2)
            assert b"RELOADING=1" in notes(b"READY=1")[0]
            held.send(request("POST", "/generate_stream", {"inputs": "@silent"}))
            assert held.record()[0] == STDOUT
            srv.term()
            notes(b"STOPPING=1")
            reload(3)
            held.s.close()
            assert srv.code() == 0
            note.setblocking(False)
            try:
                assert b"RE" not in note.recv(4096), "a server that ends is ready"
            except BlockingIOError:
                pass
    shutil.rmtree(home)


def a_limit_of_connections_without_descriptors_is_told(argv):
    """In one line and the same words at the start and at SIGHUP: what was asked, what there is, and what holds."""
    d = tempfile.mkdtemp(prefix="saker-front-")

    def write(n):
        with open(d + "/conf", "w") as f:
            f.write("max_connections = %d\n" % n)
    line = r"max-connections is %d, the limit of open files 100 \(ulimit -n\): ([0-9]+) connections at most\n"
    write(7000)
    with Server(argv, flags=["--conf", d + "/conf"], files=100) as srv:
        at_start = re.findall(line % 7000, srv.log())
        assert len(at_start) == 1 and 20 < int(at_start[0]) < 100, srv.log()
        for i, (n, told) in enumerate(((10, False), (6000, True), (6000, False), (50, False), (5000, True))):
            before = srv.log().count("connections at most")
            write(n)
            held = [Peer(srv.path) for _ in range(5)]
            srv.p.send_signal(signal.SIGHUP)
            wait_for("it has read them", lambda: srv.log().count("settings were read again") == i + 1)
            assert srv.log().count("connections at most") == before + told, srv.log()
            now = re.findall(line % n, srv.log())
            # At the start a real model's file is open too.
            assert not told or now == at_start or (not is_double(argv) and int(now[0]) > int(at_start[0])), \
                "open connections are no descriptors lost: " + srv.log()
            for p in held:
                p.s.close()
    shutil.rmtree(d)


def settings_change_under_load(argv):
    double_only(argv)
    with Server(argv, env={"SAKER_DOUBLE_RATE": 500}) as srv:
        load = Load(srv.path, 4)
        try:
            for i in range(40):
                before = load.good
                srv.p.send_signal(signal.SIGHUP)
                wait_for("it has read them", lambda: srv.log().count("settings were read again") == i + 1)
                wait_for("answers go on", lambda: load.good > before or load.bad)
        finally:
            load.end()
        assert not load.bad, load.bad[:3]


# ---- descriptors and idle connections ------------------------------------------------------------------------------

def idle_connections_make_way_when_all_are_taken(argv):
    with Server(argv, flags=["--max-connections", "20"]) as srv:
        idle = [Peer(srv.path) for _ in range(20)]
        for i, p in enumerate(idle):
            p.send([b"", request()[:5], request(keep=True)][i % 3])
        for p in idle[2::3]:
            assert p.answer()[0] == 200
        begun = time.monotonic()
        for i in range(10):
            a = fcgi(srv.path, timeout=20)
            assert a and a[0] == 200
        assert time.monotonic() - begun < 10
        for p in idle:
            p.s.close()


def busy_connections_do_not_make_way(argv):
    double_only(argv)
    with Server(argv, flags=["--max-connections", "4"], env={"SAKER_DOUBLE_RATE": 20}) as srv:
        busy = [Peer(srv.path) for _ in range(4)]
        for p in busy:
            p.send(request("POST", "/generate_stream", gen(40)))
        waits = Peer(srv.path)
        waits.send(request())
        for p in busy:
            a = p.answer()
            assert a and a[2].count(b"data: ") == 40
        assert waits.answer()[0] == 200, "it waits in the backlog"


def with_few_descriptors_everybody_is_answered(argv):
    """ulimit -n 200 and 1,000 clients at once: what finds no descriptor waits in the backlog; no reset, no busy loop."""
    double_only(argv)
    raise_limits()
    with Server(argv, files=200, flags=["--max-concurrent-requests", "50"], env={"SAKER_DOUBLE_RATE": 50}) as srv:
        counts = collections.Counter()
        peers = []
        for _ in range(1000):
            p = Peer(srv.path)
            p.send(request("POST", "/generate", gen(10)))
            peers.append(p)
        t0, cpu0 = time.monotonic(), cpu(srv)
        for p in peers:
            a = p.answer()
            counts[a[0] if a else "cut"] += 1
            p.s.close()
        spent = cpu(srv) - cpu0
        print("      %s, %.2f s of processor in %.2f s" % (dict(counts), spent, time.monotonic() - t0))
        assert set(counts) <= {200, 429} and counts[200] >= 50, counts
        assert "cannot accept" not in srv.log(), "it knows its limit"
        held = []
        for _ in range(300):
            held.append(Peer(srv.path))
            held[-1].send(begin() + stream(PARAMS, 1, params("POST", "/generate")) + record(STDIN, 1, b"{"))
        fds, t0, cpu0 = srv.fds(), time.monotonic(), cpu(srv)
        wait_for("some time goes by", lambda: time.monotonic() - t0 > 1)
        assert cpu(srv) - cpu0 < 0.5, "a busy loop: %.2f s of processor in a second" % (cpu(srv) - cpu0)
        assert fds < 200
        for p in held:
            p.s.close()
        assert srv.alive()


def cpu(srv):
    with open("/proc/%d/stat" % srv.p.pid) as f:
        row = f.read().rsplit(")", 1)[1].split()
    return (int(row[11]) + int(row[12])) / os.sysconf("SC_CLK_TCK")


def the_socket_has_mode_and_group(argv):
    import grp
    if os.getuid() != 0:
        raise Skip("needs root, to give a file to a group")
    wanted = [(["--socket-group", "daemon"], grp.getgrnam("daemon").gr_gid), (["--socket-group", "none"], os.getgid())]
    for name in ("www-data",):
        try:
            wanted.append(([], grp.getgrnam(name).gr_gid))
        except KeyError:
            pass
    for flags, gid in wanted:
        with Server(argv, flags=flags) as srv:
            sb = os.stat(srv.path)
            assert sb.st_gid == gid and sb.st_mode & 0o777 == 0o660, (flags, sb)
    d = tempfile.mkdtemp(prefix="saker-front-")
    r = subprocess.run([argv[0], "serve"] + argv[1:] + (["--model", "double"] if is_double(argv) else []) +
                       ["--listen", "unix:" + d + "/s", "--socket-group", "nobody-has-it"], stdin=subprocess.DEVNULL,
                       capture_output=True, timeout=30)
    assert r.returncode == 2 and b"nobody-has-it" in r.stderr and not os.path.exists(d + "/s"), r
    shutil.rmtree(d)


# ---- hostile peers together ----------------------------------------------------------------------------------------

def an_abort_at_every_point_harms_nobody(argv):
    double_only(argv)
    with Server(argv, env={"SAKER_DOUBLE_RATE": 1000}) as srv:
        fds = srv.fds()
        want = fcgi(srv.path, "POST", "/generate", gen(3))
        whole = request("POST", "/generate_stream", gen(20), keep=True)
        for at in range(len(whole) + 1):
            with Peer(srv.path) as p:
                p.send(whole[:at] + record(ABORT, 1) + request())
                p.s.shutdown(socket.SHUT_WR)
                assert p.closed(), "cut after %d bytes" % at
        got = fcgi(srv.path, "POST", "/generate", gen(3))
        assert got[0] == want[0] == 200 and got[2] == want[2]
        wait_for("no descriptor is left", lambda: srv.fds() <= fds)
        wait_for("no generation is left", lambda: len(srv.trace("submit")) == len(srv.trace("close")))


ENDLESS = {
    "bodies": lambda: begin() + stream(PARAMS, 1, params("POST", "/generate")) + record(STDIN, 1, b"x" * 60000) * 40,
    "parameters": lambda: begin() + record(PARAMS, 1, pair(b"A", b"x" * 60000)) * 4,
    "questions": lambda: record(GET_VALUES, 0, pair(b"FCGI_MAX_CONNS", b"")) * 3000,
    "padding": lambda: record(99, 7, b"", 255) * 5000,
    "begins": lambda: b"".join(begin(i) for i in range(1, 4000)),
    "one id again and again": lambda: (begin(3, keep=True) + record(PARAMS, 3, pair(b"A", b"b"))) * 1000,
}


def endless_peers_take_no_memory_and_delay_nobody(argv):
    """Two hundred peers that never stop: the server's memory stays below its caps, others are answered as before."""
    double_only(argv)
    raise_limits()
    with Server(argv, flags=["--payload-limit", "1M", "--read-timeout-ms", "2500"], env={"SAKER_DOUBLE_RATE": 200}) as srv:
        fds, rss = srv.fds(), srv.rss()
        want = fcgi(srv.path, "POST", "/generate", gen(3))
        stop, most, slowest = [], 0, 0.0

        def press(what, number):
            data = ENDLESS[what]()
            while not stop:
                try:
                    with Peer(srv.path, 1) as p:
                        while not stop:
                            p.s.sendall(data)
                except OSError:
                    pass
        threads = [threading.Thread(target=press, args=(w, i)) for i in range(4) for w in ENDLESS]
        silent = [Peer(srv.path) for _ in range(150)]
        for i, p in enumerate(silent):
            p.send(request("POST", "/generate", b" " * 900000)[:[0, 3, 400, 300000][i % 4]])
        try:
            for t in threads:
                t.start()
            end = time.monotonic() + 4
            while time.monotonic() < end:
                t0 = time.monotonic()
                got = fcgi(srv.path, "POST", "/generate", gen(3))
                assert got and got[0] in (200, 429) and (got[0] == 429 or got[2] == want[2]), got
                slowest = max(slowest, time.monotonic() - t0)
                most = max(most, srv.rss())
        finally:
            stop.append(True)
            for t in threads:
                t.join()
        print("      %d KiB before, %d KiB at most, slowest answer %.0f ms" % (rss, most, slowest * 1e3))
        # Eight bodies of 1 MiB, 16 KiB of each connection's, its parameters (256 KiB) and answers, with what malloc keeps.
        if not sanitized(argv):
            assert most < rss + 64 * 1024, "%d KiB before, %d KiB at most" % (rss, most)
        for p in silent:
            assert p.closed(), "a silent peer was not dropped"
            p.s.close()
        wait_for("no descriptor is left", lambda: srv.fds() <= fds)


def sanitized(argv):
    """A sanitizer keeps freed memory for a while: what the process has says nothing then."""
    with open(argv[0], "rb") as f:
        program = f.read()
    return b"__asan_init" in program or b"__tsan_init" in program


TESTS = [fifty_restarts_on_fd_0_lose_nothing, fifty_restarts_on_listen_fds_lose_nothing, a_successor_that_loads_lets_wait_who_comes,
         a_connection_that_has_not_spoken_is_waited_for, a_killed_server_leaves_nothing_that_stops_the_next,
         settings_are_read_again_at_sighup, a_reload_is_told_by_a_running_server_only,
         a_limit_of_connections_without_descriptors_is_told, settings_change_under_load,
         idle_connections_make_way_when_all_are_taken, busy_connections_do_not_make_way,
         with_few_descriptors_everybody_is_answered, the_socket_has_mode_and_group,
         an_abort_at_every_point_harms_nobody, endless_peers_take_no_memory_and_delay_nobody]

if __name__ == "__main__":
    sys.exit(main(TESTS))
