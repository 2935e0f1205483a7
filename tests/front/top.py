# SPDX-License-Identifier: Apache-2.0
"""saker top, and bars of progress, on a terminal (tmux's) and elsewhere. ./saker is the command, BINARY the server."""
import os, shutil, socket, subprocess, sys, tempfile

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from front import *

SAKER = os.environ.get("SAKER_TEST_SAKER", "./saker")


class Terminal:
    """A command in a tmux of its own."""

    def __init__(self, command, cols=100, rows=30, env=None):
        if not shutil.which("tmux"):
            raise Skip("tmux is not installed")
        self.dir = tempfile.mkdtemp(prefix="saker-tmux-")
        self.tmux = ["tmux", "-u", "-f", "/dev/null", "-S", os.path.join(self.dir, "s")]
        env = dict(os.environ, LC_ALL="C.UTF-8", TERM="screen", **(env or {}))
        run = "stty -a <&1 | grep -o '[-]*icanon' >%s/before; %s; echo ENDED $?; stty -a | grep -o '[-]*icanon'; exec sleep 1000" % (self.dir, command)
        subprocess.run(self.tmux + ["new-session", "-d", "-x", str(cols), "-y", str(rows), run], check=True, env=env)

    def text(self):
        return subprocess.run(self.tmux + ["capture-pane", "-p"], stdout=subprocess.PIPE).stdout.decode()

    def wait(self, *words, seconds=DEADLINE):
        return wait_for(lambda: "%s on the screen:\n%s" % (words, self.text()), lambda: all(w in self.text() for w in words), seconds)

    def key(self, *names):
        subprocess.run(self.tmux + ["send-keys"] + list(names), check=True)

    def resize(self, cols, rows):
        subprocess.run(self.tmux + ["resize-window", "-x", str(cols), "-y", str(rows)], check=True)

    def __enter__(self):
        return self

    def __exit__(self, *a):
        subprocess.run(self.tmux + ["kill-server"], stderr=subprocess.DEVNULL)
        shutil.rmtree(self.dir, ignore_errors=True)


def stream(srv, tokens, inputs="hello", key=None):
    p = Peer(srv.path)
    more = [(b"HTTP_X_API_KEY", key.encode())] if key else []
    p.send(request("POST", "/generate_stream", {"inputs": inputs, "parameters": {"max_new_tokens": tokens}}, more=more))
    return p


def a_terminal_shows_what_runs(argv):
    with KeyFile("alice alpha\nbob beta\nroot secret admin\n") as keys, \
            Server(argv, flags=["--api-key-file", keys.path], env={"SAKER_DOUBLE_RATE": 20}) as srv, \
            Terminal("%s top unix:%s --interval 0.2" % (SAKER, srv.path), env={"API_KEY": "secret"}) as t:
        peers = [stream(srv, 10000, key="alpha") for _ in range(3)] + [stream(srv, 10000, key="beta")]
        shares = r"alice +█+░+ +7[45] % .*\n *bob +█+░+ +2[56] %"
        text = wait_for(lambda: "three quarters and one on the screen:\n" + t.text(), lambda: (lambda s: re.search(shares, s) and s)(t.text()))
        assert "4 running" in text and "/generate_stream" in text, text
        assert re.search(r"tokens/s +[1-9][0-9.]* generated", text), text
        assert re.search(r"between two +p50 [0-9.]+ m?s", text) and re.search(r"KV cache .*blocks", text), text
        assert text.index("alice") < text.index("bob") < text.index("REQUEST  "), text
        # Another size, at once, and nothing over the edge.
        t.resize(60, 12)
        t.wait("tokens/s")
        wait_for("the small screen is filled", lambda: len(t.text().rstrip("\n").split("\n")) <= 12 and "saker" in t.text().split("\n")[0])
        for p in peers:
            p.s.close()
        t.wait("0 running")
        t.key("q")
        t.wait("ENDED 0\nicanon")        # the terminal is as it was


def a_server_that_is_gone_comes_back(argv):
    with Server(argv) as srv:
        path = srv.path
        with Terminal("%s top unix:%s --interval 0.2" % (SAKER, path)) as t:
            t.wait("ready", "they have names where there are API keys")
            srv.term()
            assert srv.code() == 0
            t.wait("cannot be reached")
            other = subprocess.Popen([argv[0], "serve", "--model", "double", "--listen", "unix:" + path] + list(argv[1:]),
                                     stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL, preexec_fn=dies_with_us)
            try:
                wait_for("it is there again", lambda: "cannot be reached" not in t.text() and "ready" in t.text())
                t.key("C-c")
                t.wait("ENDED 0")
            finally:
                other.terminate()
                other.wait()


def run(*words, env=None, **k):
    p = subprocess.run([SAKER, "top"] + list(words), stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=dict(os.environ, **(env or {})), timeout=DEADLINE, **k)
    return p.returncode, p.stdout.decode(), p.stderr.decode()


def elsewhere_it_writes_lines(argv):
    with Server(argv, env={"SAKER_DOUBLE_RATE": 50}) as srv:
        p = stream(srv, 10000)
        wait_for("tokens come", lambda: b"saker_generated_tokens_total 0\n" not in fcgi(srv.path, "GET", "/metrics")[2])
        code, out, err = run("--once", "--interval", "0.3", "unix:" + srv.path)
        p.s.close()
        assert code == 0 and err == "" and out.count("\n") == 1, (code, out, err)
        rate = re.match(r"state=ready tokens_s=([0-9.]+) .* running=1 ", out)
        assert rate and 10 < float(rate[1]) < 200, out
        q = subprocess.Popen([SAKER, "top", "--interval", "0.1", "unix:" + srv.path], stdout=subprocess.PIPE, preexec_fn=dies_with_us)
        lines = [q.stdout.readline() for _ in range(3)]
        q.send_signal(signal.SIGTERM)
        assert q.wait(DEADLINE) == 0 and all(l.startswith(b"state=ready ") for l in lines), lines
        q.stdout.close()


def what_is_no_server_is_named(argv):
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
        code, _, err = run("--once", "127.0.0.1:%d" % port)
        assert code == 74 and "port %d: Connection refused" % port in err, (code, err)
    code, _, err = run("--once", "unix:/nowhere/s")
    assert code == 74 and "/nowhere/s" in err, (code, err)
    code, _, err = run("--once", "https://example.test")
    assert code == 2 and "unix:PATH" in err, (code, err)
    code, _, err = run("a", "b")
    assert code == 2 and '"b"' in err, (code, err)
    with KeyFile("alice alpha\n") as keys, Server(argv, flags=["--api-key-file", keys.path]) as srv:
        code, _, err = run("--once", "unix:" + srv.path)
        assert code == 2 and "/metrics wants an API key" in err, (code, err)


def loading_is_seen_on_a_terminal_and_told_elsewhere(argv):
    double_only(argv)
    with tempfile.TemporaryDirectory() as d:
        serve = "%s serve --model double --listen unix:%s/s" % (argv[0], d)
        with Terminal(serve, env={"SAKER_DOUBLE_LOAD_MS": "2500"}) as t:
            wait_for(lambda: "a bar that grows: " + t.text(), lambda: re.search(r"weights \[#{4,}\.+\] +[2-9][0-9] % [0-9]+ B of 1000 B", t.text()))
            t.wait("info ready")
            assert "[#" not in t.text(), t.text()
            t.key("C-c")
            t.wait("ENDED 0")
        p = subprocess.run(["timeout", "-s", "TERM", "1.5"] + serve.split(), env=dict(os.environ, SAKER_DOUBLE_LOAD_MS="1000"), stdout=subprocess.PIPE,
                           stderr=subprocess.STDOUT)
        assert b"info ready" in p.stdout and b"\x1b" not in p.stdout and b"[#" not in p.stdout, p.stdout


TESTS = [loading_is_seen_on_a_terminal_and_told_elsewhere, a_terminal_shows_what_runs, a_server_that_is_gone_comes_back, elsewhere_it_writes_lines, what_is_no_server_is_named]

if __name__ == "__main__":
    sys.exit(main(TESTS))
