# SPDX-License-Identifier: Apache-2.0
"""Real web servers before saker, each with the example of etc/ that an administrator is told to include.

Web("nginx", socket path) starts one on a port of its own. The example is taken as it is shipped; only paths and ports are
replaced, and the lines of a block (`#tls`, `#users`, `#several`) are uncommented when it is asked for.
"""
import os, re, shutil, socket, subprocess, tempfile, threading

from front import *

EXAMPLES = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "etc")
PATH = os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin"
PROGRAMS = {"nginx": ["nginx"], "apache": ["apache2", "httpd"], "lighttpd": ["lighttpd"]}

NGINX = """
daemon off; master_process off; pid %(dir)s/pid; error_log %(dir)s/error.log warn; worker_rlimit_nofile %(files)d;
%(user)s
events { worker_connections %(connections)d; }
http {
    access_log off;
    client_body_temp_path %(dir)s/t1; proxy_temp_path %(dir)s/t2; fastcgi_temp_path %(dir)s/t3;
    uwsgi_temp_path %(dir)s/t4; scgi_temp_path %(dir)s/t5;
    include %(dir)s/saker.conf;
}
"""
APACHE = """
ServerRoot "%(dir)s"
DefaultRuntimeDir "%(dir)s"
PidFile "%(dir)s/pid"
ErrorLog "%(dir)s/error.log"
ServerName localhost
%(modules)s
%(user)s
ListenBackLog 4096
ThreadLimit 128
ThreadsPerChild 128
ServerLimit 16
MaxRequestWorkers 2048
StartServers 1
MinSpareThreads 64
MaxSpareThreads 2048
Include "%(dir)s/saker.conf"
"""
LIGHTTPD = """
server.modules = ( "mod_access" )
server.compat-module-load = "disable"
server.document-root = "%(dir)s/none"
server.pid-file = "%(dir)s/pid"
server.errorlog = "%(dir)s/error.log"
server.upload-dirs = ( "%(dir)s" )
server.bind = "127.0.0.1"
server.port = %(other)d
include "%(dir)s/saker.conf"
"""
APACHE_MODULES = ("mpm_event authz_core setenvif headers proxy proxy_fcgi slotmem_shm proxy_balancer lbmethod_bybusyness "
                  "socache_shmcb ssl http2 auth_basic authn_core authn_file authz_user").split()
# How a part of a site is given to saker: what the examples tell to change.
PREFIXED = {"nginx": [("location / {", "location /llm/ {")],
            "apache": [('ProxyPass "/" "', 'ProxyPass "/llm/" "'), ("|fcgi://saker/", "|fcgi://saker/llm/")],
            "lighttpd": [('var.saker = ( "/" =>', 'var.saker = ( "/llm/" =>')]}


def web_binary(kind):
    asked = os.environ.get("SAKER_TEST_" + kind.upper())
    found = asked or next(filter(None, (shutil.which(n, path=PATH) for n in PROGRAMS[kind])), None)
    if not found:
        raise Skip("%s is not installed" % kind)
    return found


def apache_modules(binary):
    said = subprocess.run([binary, "-V"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL).stdout.decode()
    root = re.search('HTTPD_ROOT="(.*)"', said)
    places = [root[1] + "/modules"] if root else []
    for place in places + ["/usr/lib/apache2/modules", "/usr/lib64/httpd/modules"]:
        if os.path.exists(place + "/mod_proxy_fcgi.so"):
            return "\n".join('LoadModule %s_module "%s/mod_%s.so"' % (m, place, m) for m in APACHE_MODULES + ["unixd"]
                             if os.path.exists("%s/mod_%s.so" % (place, m)))
    raise Skip("mod_proxy_fcgi.so was not found")


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def uncomment(text, blocks):
    for block in blocks:
        text, n = re.subn("(?m)^([ \t]*)#%s(?=[ \t])" % block, r"\1", text)
        assert n, "the example has no lines #%s" % block
    return text


class Web:
    """kind: nginx, apache or lighttpd. sockets: those of the saker processes. prefix: serve /llm/ only.
    change: further replacements [(old, new)], each of which must fit."""

    def __init__(self, kind, *sockets, blocks=(), prefix=False, change=()):
        binary = web_binary(kind)
        files = raise_limits()
        self.kind = kind
        for path in sockets:            # Apache's workers are never root
            os.chmod(os.path.dirname(path), 0o711)
            os.chmod(path, 0o666)
        with open(os.path.join(EXAMPLES, kind, "saker.conf")) as f:
            example = uncomment(f.read(), blocks)
        for old, new in (PREFIXED[kind] if prefix else []) + list(change):
            assert old in example, "the example of %s has no %r" % (kind, old)
            example = example.replace(old, new)
        for _ in range(10):
            self.dir = tempfile.mkdtemp(prefix="saker-%s-" % kind)
            os.chmod(self.dir, 0o711)
            self.port, self.tls_port = free_port(), free_port()
            self._certificate("tls" in blocks)
            self._write(kind, binary, example, sockets, files, blocks)
            self.argv = {"nginx": [binary, "-p", self.dir, "-c", self.dir + "/conf", "-e", self.dir + "/error.log"],
                         "apache": [binary, "-D", "FOREGROUND", "-d", self.dir, "-f", self.dir + "/conf"],
                         "lighttpd": [binary, "-D", "-f", self.dir + "/conf"]}[kind]
            if self.start():
                return
            why = self.p.stderr.read().decode(errors="replace")     # the port was taken meanwhile, most likely
            self.__exit__()
        raise AssertionError("%s does not start: %s" % (kind, why))

    def start(self):
        """Also once more after kill(). A session of its own: its workers are killed with it."""
        self.p = subprocess.Popen(self.argv, stderr=subprocess.PIPE, start_new_session=True, preexec_fn=dies_with_us)
        return wait_for("%s answers or ends" % self.kind, lambda: self.answers() or self.p.poll() is not None) is True \
            and self.p.poll() is None

    def kill(self):
        """As the power does: nobody cleans up."""
        os.killpg(self.p.pid, signal.SIGKILL)
        self.p.wait()
        self.p.stderr.close()

    def _certificate(self, wanted):
        if wanted:
            subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost",
                            "-keyout", self.dir + "/key", "-out", self.dir + "/cert"], check=True, stderr=subprocess.DEVNULL)

    def _write(self, kind, binary, example, sockets, files, blocks):
        root = os.getuid() == 0
        user = {"nginx": "user root;", "apache": 'User "#65534"\nGroup "#65534"'}.get(kind, "") if root else ""
        if len(sockets) > 1:
            example = example.replace("/run/saker/saker-2.sock", sockets[1])
            if kind == "nginx":
                example = example.replace("\t\tfastcgi_next_upstream off; ", "\t\t#")
            if kind == "apache":
                example = re.sub('(?m)^\tProxyPass "/" "unix:.*$', "", example)
        if "users" in blocks and kind == "apache":
            example = example.replace("Require all granted", "")        # "instead of the line above"
        if "tls" in blocks and kind == "apache":
            # "a VirtualHost on another port with the same lines"
            example = example.replace("127.0.0.1:8080", "127.0.0.1:%d" % self.tls_port)
            example = "Listen 127.0.0.1:%d\n%s" % (self.port, example)
        for old, new in (("/run/saker/saker.sock", sockets[0]), ("127.0.0.1:8080", "127.0.0.1:%d" % self.port),
                         ("127.0.0.1:8443", "127.0.0.1:%d" % self.tls_port), ("/etc/ssl/certs/saker.pem", self.dir + "/cert"),
                         ("/etc/ssl/private/saker.key", self.dir + "/key"),
                         ("/etc/%s/saker.users" % {"apache": "apache2"}.get(kind, kind), self.dir + "/users")):
            example = example.replace(old, new)
        with open(self.dir + "/users", "w") as f:       # alice, secret
            f.write("alice:$apr1$saker000$" + apr1("secret", "saker000") + "\n")
        os.chmod(self.dir + "/users", 0o644)
        with open(self.dir + "/saker.conf", "w") as f:
            f.write(example)
        with open(self.dir + "/conf", "w") as f:
            f.write({"nginx": NGINX, "apache": APACHE, "lighttpd": LIGHTTPD}[kind] %
                    dict(dir=self.dir, files=files, connections=min(files - 100, 10000), user=user, other=free_port(),
                         modules=apache_modules(binary) if kind == "apache" else ""))

    def answers(self):
        try:
            socket.create_connection(("127.0.0.1", self.port), 5).close()
            return True
        except OSError:
            return False

    def error_log(self):
        try:
            with open(self.dir + "/error.log", errors="replace") as f:
                return f.read()
        except OSError:
            return ""

    def __enter__(self):
        return self

    def __exit__(self, kind=None, *a):
        if kind and kind is not Skip:
            sys.stderr.write("--- error log of %s, its end:\n%s\n" % (self.kind, self.error_log()[-2000:]))
        if self.p.poll() is None:
            self.p.terminate()
            try:
                self.p.wait(10)
            except subprocess.TimeoutExpired:
                self.p.kill()
                self.p.wait()
        self.p.stderr.close()
        shutil.rmtree(self.dir, ignore_errors=True)


def apr1(password, salt):
    said = subprocess.run(["openssl", "passwd", "-apr1", "-salt", salt, password], stdout=subprocess.PIPE, check=True)
    return said.stdout.decode().strip().rsplit("$", 1)[1]


class Echo:
    """A FastCGI responder in saker's place that answers with the parameters it was given, in JSON. One connection at a time."""

    def __init__(self):
        self.dir = tempfile.mkdtemp(prefix="saker-echo-")
        self.path = os.path.join(self.dir, "s")
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(self.path)
        self.listener.listen(64)
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self):
        while True:
            try:
                c, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(c,), daemon=True).start()

    def _serve(self, c):
        p = Peer.__new__(Peer)
        p.s, p.buf = c, b""
        got = b""
        while (r := p.record()) is not None:
            kind, rid, content = r
            if kind == BEGIN:
                got = b""
            elif kind == PARAMS:
                got += content
            elif kind == STDIN and not content:
                body = json.dumps(pairs(got)).encode()
                head = b"Status: 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body)
                c.sendall(record(STDOUT, rid, head + body) + record(STDOUT, rid) + record(END, rid, bytes(8)))
                break
        c.close()

    def __enter__(self):
        return self

    def __exit__(self, *a):
        self.listener.close()
        shutil.rmtree(self.dir, ignore_errors=True)


def pairs(data):
    out, at = {}, 0
    while at < len(data):
        lens = []
        for _ in "nv":
            n = data[at]
            if n > 127:
                n = int.from_bytes(data[at:at + 4], "big") & 0x7fffffff
            at += 4 if data[at] > 127 else 1
            lens.append(n)
        name, value = data[at:at + lens[0]], data[at + lens[0]:at + sum(lens)]
        out.setdefault(name.decode(), value.decode(errors="replace"))
        at += sum(lens)
    return out
