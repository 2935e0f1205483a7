# SPDX-License-Identifier: Apache-2.0
"""What the front's tests share: a server to start, FastCGI spoken by hand, HTTP streams. Web servers: webs.py.

    peer.py BINARY [FLAGS...]     web.py BINARY [FLAGS...]

BINARY is tests/front/saker-double, or saker itself with its flags (--model FILE): tests that need the double's
clock or its trace are then left out, by name. Nothing sleeps to wait: wait_for() polls with a deadline.
"""
import ctypes, json, os, re, resource, selectors, shutil, signal, socket, struct, subprocess, sys, tempfile, time, traceback

# Under nohup this is ignored, and what a test starts would inherit that.
signal.signal(signal.SIGHUP, signal.SIG_DFL)

BEGIN, ABORT, END, PARAMS, STDIN, STDOUT, STDERR, DATA, GET_VALUES, VALUES_RESULT, UNKNOWN = range(1, 12)
DEADLINE = float(os.environ.get("SAKER_TEST_DEADLINE", "60"))
LIBC = ctypes.CDLL(None)
PR_SET_PDEATHSIG = 1


def dies_with_us():
    """For preexec_fn: who is started ends as if told to when this process is gone, however that came."""
    LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)


class Skip(Exception):
    pass


def wait_for(what, fn, seconds=DEADLINE):
    end = time.monotonic() + seconds
    while True:
        got = fn()
        if got:
            return got
        if time.monotonic() > end:
            raise AssertionError("not within %.0f s: %s" % (seconds, what() if callable(what) else what))
        select_pause(0.005)


def select_pause(seconds):
    selectors.select.select([], [], [], seconds)


def raise_limits():
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


# ---- FastCGI ----------------------------------------------------------------------------------------------------

def record(kind, rid, content=b"", padding=0, version=1, length=None):
    n = len(content) if length is None else length
    return struct.pack(">BBHHBB", version, kind, rid, n, padding, 0) + content + bytes(padding)


def pair(name, value):
    enc = lambda n: bytes([n]) if n < 128 else struct.pack(">I", n | 1 << 31)
    return enc(len(name)) + enc(len(value)) + name + value


def begin(rid=1, role=1, keep=False):
    return record(BEGIN, rid, struct.pack(">HB5x", role, int(keep)))


def params(method, uri, more=()):
    items = [(b"REQUEST_METHOD", method.encode()), (b"REQUEST_URI", uri.encode()),
             (b"CONTENT_TYPE", b"application/json")]
    return b"".join(pair(n, v) for n, v in items + list(more))


def stream(kind, rid, data):
    cut = [data[i:i + 60000] for i in range(0, len(data), 60000)]
    return b"".join(record(kind, rid, c) for c in cut) + record(kind, rid)


def request(method="GET", uri="/livez", body=b"", rid=1, keep=False, more=()):
    if not isinstance(body, bytes):
        body = json.dumps(body).encode()
    return begin(rid, keep=keep) + stream(PARAMS, rid, params(method, uri, more)) + stream(STDIN, rid, body)


class Peer:
    """One FastCGI connection."""

    def __init__(self, path, timeout=DEADLINE):
        self.s = socket.socket(socket.AF_UNIX)
        self.s.settimeout(timeout)
        self.s.connect(path)
        self.buf = b""

    def __enter__(self):
        return self

    def __exit__(self, *a):
        self.s.close()

    def send(self, data):
        """False: the server closed in the middle of it."""
        try:
            self.s.sendall(data)
            return True
        except (BrokenPipeError, ConnectionResetError):
            return False

    def _exactly(self, n):
        while len(self.buf) < n:
            try:
                got = self.s.recv(65536)
            except ConnectionResetError:
                got = b""
            if not got:
                return None
            self.buf += got
        out, self.buf = self.buf[:n], self.buf[n:]
        return out

    def record(self):
        """(type, id, content), or None at the end of the connection."""
        h = self._exactly(8)
        if h is None:
            return None
        version, kind, rid, length, padding, _ = struct.unpack(">BBHHBB", h)
        assert version == 1, "the server sent version %d" % version
        content = self._exactly(length + padding)
        return None if content is None else (kind, rid, content[:length])

    def answer(self, rid=1):
        """(status, headers, body, protocol status); None when the connection ended first."""
        out = b""
        while True:
            r = self.record()
            if r is None:
                return None
            kind, got, content = r
            if kind == STDOUT and got == rid:
                out += content
            elif kind == END and got == rid:
                break
        status, headers, body = parse_cgi(out)
        return status, headers, body, content[4]

    def closed(self, seconds=DEADLINE):
        """Whether the server hangs up within the time."""
        self.s.settimeout(seconds)
        try:
            while self.s.recv(65536):
                pass
            return True
        except ConnectionResetError:
            return True
        except socket.timeout:
            return False


def parse_cgi(out):
    if not out:
        return 0, {}, b""
    head, _, body = out.partition(b"\r\n\r\n")
    headers = {}
    for line in head.decode().split("\r\n"):
        name, _, value = line.partition(": ")
        headers[name.lower()] = value
    return int(headers.get("status", "0").split()[0]), headers, body


def fcgi(path, *a, timeout=DEADLINE, **k):
    with Peer(path, timeout) as p:
        p.send(request(*a, **k))
        return p.answer()


# ---- the server -------------------------------------------------------------------------------------------------

class Server:
    """BINARY serve --listen unix:...; environment of the double in `env`."""

    def __init__(self, argv, flags=(), env=None, ready=True, inherited=False, stdin=subprocess.DEVNULL, files=0):
        self.dir = tempfile.mkdtemp(prefix="saker-front-")
        self.path = os.path.join(self.dir, "s")
        self.trace_path = os.path.join(self.dir, "trace")
        self.double = "double" in os.path.basename(argv[0])
        self.log_path = os.path.join(self.dir, "log")
        full = dict(os.environ, SAKER_DOUBLE_TRACE=self.trace_path)
        full.update({k: str(v) for k, v in (env or {}).items()})
        limit = ["sh", "-c", 'ulimit -n %d; exec "$@"' % files, "sh"] if files else []
        cmd = limit + [argv[0], "serve", "--log-level", "debug"] + list(argv[1:]) + list(flags)
        if self.double and "--model" not in cmd:
            cmd += ["--model", "double"]
        if inherited:
            self.listener = socket.socket(socket.AF_UNIX)
            self.listener.bind(self.path)
            self.listener.listen(4096)
            stdin = self.listener
        else:
            self.listener = None
            cmd += ["--listen", "unix:" + self.path]
        with open(self.log_path, "wb") as log:
            self.p = subprocess.Popen(cmd, stdin=stdin, stdout=log, stderr=log, env=full, preexec_fn=dies_with_us)
        try:
            wait_for("the socket is there", lambda: self.exited() or self.alive())
            assert self.p.poll() is None, "the server ended with %s" % self.p.returncode
            if ready:
                wait_for("the model is ready", lambda: fcgi(self.path, "GET", "/readyz")[0] == 200)
        except BaseException:
            self.stop()
            raise

    def __enter__(self):
        return self

    def __exit__(self, kind, *a):
        if kind and kind is not Skip:
            sys.stderr.write("--- log of the server, its end:\n" + self.log()[-3000:] + "\n")
        code = self.p.poll()
        self.stop()
        if not kind:
            assert code in (None, 0), "the server had ended with %s:\n%s" % (code, self.log_end)
            at = re.search("Sanitizer|runtime error", self.log_all)
            assert not at, self.log_all[max(at.start() - 200, 0):at.start() + 5000]

    def exited(self):
        return self.p.poll() is not None

    def alive(self):
        try:
            a = fcgi(self.path, "GET", "/livez", timeout=5)
            return a is not None and a[0] == 200
        except OSError:
            return False

    def log(self):
        with open(self.log_path, errors="replace") as f:
            return f.read()

    def trace(self, what=None):
        """[(what, id, microseconds)]; the clock is time.monotonic()'s."""
        if not os.path.exists(self.trace_path):
            return []
        with open(self.trace_path) as f:
            rows = [l.split() for l in f.read().split("\n") if l.count(" ") == 2]
        return [(w, int(i), int(t)) for w, i, t in rows if what in (None, w)]

    def fds(self):
        return len(os.listdir("/proc/%d/fd" % self.p.pid))

    def rss(self):
        """KiB of memory that the process has now."""
        with open("/proc/%d/status" % self.p.pid) as f:
            return int(re.search(r"VmRSS:\s+([0-9]+)", f.read())[1])

    def term(self):
        self.p.send_signal(signal.SIGTERM)

    def code(self, seconds=DEADLINE):
        return self.p.wait(seconds)

    def stop(self):
        if self.p.poll() is None:
            self.term()
            try:
                self.p.wait(20)
            except subprocess.TimeoutExpired:
                self.p.kill()
                self.p.wait()
        self.log_all = self.log()
        self.log_end = self.log_all[-6000:]
        if self.listener:
            self.listener.close()
        shutil.rmtree(self.dir, ignore_errors=True)


class KeyFile:
    def __init__(self, text, mode=0o600):
        fd, self.path = tempfile.mkstemp(prefix="saker-keys-")
        os.write(fd, text.encode())
        os.fchmod(fd, mode)
        os.close(fd)

    def __enter__(self):
        return self

    def __exit__(self, *a):
        os.unlink(self.path)


# ---- HTTP -----------------------------------------------------------------------------------------------------

def http(port, method, path, body=b"", headers=()):
    """(status, headers, body) of one request."""
    s = Stream(port, path, body, method=method, headers=headers)
    try:
        drive([s])
        return s.status, s.headers, s.body()
    finally:
        s.close()


class Stream:
    """One HTTP request, read without blocking by drive()."""

    def __init__(self, port, path, body=b"", method="POST", rcvbuf=0, headers=()):
        if not isinstance(body, bytes):
            body = json.dumps(body).encode()
        self.s = socket.socket()
        if rcvbuf:
            self.s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, rcvbuf)
        self.s.settimeout(DEADLINE)
        self.s.connect(("127.0.0.1", port))
        self.sent = time.monotonic()
        self.s.sendall(("%s %s HTTP/1.1\r\nHost: t\r\nConnection: close\r\nContent-Type: application/json\r\n"
                        "Content-Length: %d\r\n%s\r\n" % (method, path, len(body), "".join(h + "\r\n" for h in headers)))
                       .encode() + body)
        self.s.setblocking(False)
        self.raw = bytearray()
        self.times = []                 # (bytes so far, when)
        self.ended = False

    def take(self):
        try:
            got = self.s.recv(262144)
        except BlockingIOError:
            return
        except ConnectionResetError:
            got = b""
        if not got:
            self.ended = True
            return
        self.raw += got
        self.times.append((len(self.raw), time.monotonic()))

    def close(self):
        self.s.close()
        self.ended = True

    @property
    def status(self):
        return int(self.raw.split(b" ", 2)[1]) if b"\r\n" in self.raw else 0

    @property
    def headers(self):
        head = bytes(self.raw).partition(b"\r\n\r\n")[0].decode()
        return {l.partition(":")[0].lower(): l.partition(":")[2].strip() for l in head.split("\r\n")[1:]}

    def body(self):
        return self._parse()[0]

    @property
    def whole(self):
        """Whether the end of the body was seen."""
        return self._parse()[1]

    def _parse(self):
        """(the body, its chunks put together; whether its end was seen)"""
        head, _, rest = bytes(self.raw).partition(b"\r\n\r\n")
        if b"chunked" not in head.lower():
            length = self.headers.get("content-length")
            return rest, length is None or len(rest) == int(length)
        parts, at = [], 0
        while True:
            line_end = rest.find(b"\r\n", at)
            if line_end < 0:
                return b"".join(parts), False
            n, at = int(rest[at:line_end], 16), line_end + 2
            if n == 0:
                return b"".join(parts), True
            parts.append(rest[at:at + n])
            at += n + 2
            if at > len(rest):
                return b"".join(parts), False

    def events(self):
        return [json.loads(l[6:]) for l in self.body().decode().split("\n") if l.startswith("data: ")]


def drive(streams, until=None, seconds=DEADLINE):
    """Read all streams until each has ended, or until() is true."""
    sel = selectors.DefaultSelector()
    live = 0
    for s in streams:
        if not s.ended:
            sel.register(s.s, selectors.EVENT_READ, s)
            live += 1
    end = time.monotonic() + seconds
    while live and not (until and until()):
        if time.monotonic() > end:
            raise AssertionError("%d of %d streams did not end within %.0f s" % (live, len(streams), seconds))
        for key, _ in sel.select(0.05):
            key.data.take()
            if key.data.ended:
                sel.unregister(key.fileobj)
                live -= 1
    sel.close()


def check_stream(s, tokens, text=" t%d"):
    """A stream of the double is whole, nothing lost, in order."""
    assert s.status == 200, "status %s: %r" % (s.status, bytes(s.raw)[:300])
    ev = s.events()
    assert s.whole, "cut after %d events" % len(ev)
    assert [e["index"] for e in ev] == list(range(1, tokens + 1)), "indices %s" % [e.get("index") for e in ev][:5]
    if text:
        assert [e["token"]["text"] for e in ev] == [text % i for i in range(tokens)]
        assert ev[-1]["generated_text"] == "".join(text % i for i in range(tokens))


# ---- running ----------------------------------------------------------------------------------------------------

def main(tests):
    argv = sys.argv[1:]
    only = os.environ.get("SAKER_TEST_ONLY", "")
    if not argv:
        print("usage: %s BINARY [FLAGS...]" % sys.argv[0])
        return 2
    raise_limits()
    # Whoever ends the tests early (a time limit) ends what they started too: the servers' __exit__ runs.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    failed = skipped = passed = 0
    for fn in tests:
        if only not in fn.__name__:
            continue
        name, t0 = fn.__name__.replace("_", " "), time.monotonic()
        try:
            fn(argv)
            passed += 1
            print("ok    %s (%.1f s)" % (name, time.monotonic() - t0), flush=True)
        except Skip as e:
            skipped += 1
            print("skip  %s: %s" % (name, e), flush=True)
        except Exception:
            failed += 1
            print("FAIL  %s\n%s" % (name, traceback.format_exc()), flush=True)
    print("%d passed, %d failed, %d skipped" % (passed, failed, skipped))
    return 1 if failed else 77 if not passed else 0


def double_only(argv):
    if "double" not in os.path.basename(argv[0]):
        raise Skip("needs the engine double")
