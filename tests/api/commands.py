#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""saker generate, tokenize, detect, info and bench on a tiny model: what they print and how they end.

  commands.py [--saker PROGRAM] [--mktiny PROGRAM]
"""
import argparse, http.client, json, os, re, resource, shutil, signal, socket, subprocess, sys, tempfile, time

# Under nohup this is ignored, and what a test starts would inherit that.
signal.signal(signal.SIGHUP, signal.SIG_DFL)

CONFIGS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "unit", "configs")

# name, words (MODEL and BROKEN are files, T5 a directory), standard input, exit code, standard output (regular expression), standard error
CASES = [
    ("generate writes text and a line feed", ["generate", "--model", "MODEL", "--max-new-tokens", "5", "Hello"], "", 0,
     r"(?s)^.*\n$", r""),
    ("generate reads standard input", ["generate", "--model", "MODEL", "--max-new-tokens", "3"], "Hello", 0, r"\n$", r""),
    ("generate tells details on standard error",
     ["generate", "--model", "MODEL", "--max-new-tokens", "4", "--ignore-eos", "--details", "--top-n-tokens", "2", "Hello"], "",
     0, r"\n$", r"(?s)^ *[0-9]+ +-[0-9.]+ \".*of: .*4 generated in [0-9.]+ s, length\n"),
    ("generate takes all its flags",
     ["generate", "--model", "MODEL", "--max-new-tokens", "3", "--temperature", "0.7", "--top-k", "5", "--top-p", "0.9",
      "--typical-p", "0.9", "--repetition-penalty", "1.1", "--frequency-penalty", "0.1", "--seed", "7", "--stop", "zz",
      "--truncate", "2", "--do-sample", "Hello", "world"], "", 0, r"\n$", r""),
    ("generate refuses an empty prompt", ["generate", "--model", "MODEL"], "", 2, r"^$", r"the prompt is empty"),
    ("generate refuses a range", ["generate", "--model", "MODEL", "--top-p", "2", "x"], "", 2, r"^$", r"top-p"),
    ("generate refuses an unknown flag", ["generate", "--model", "MODEL", "--colour", "red", "x"], "", 2, r"^$", r"--colour"),
    ("generate names a missing model", ["generate", "--model", "/nowhere/x.gguf", "x"], "", 66, r"^$", r"/nowhere/x.gguf"),
    ("generate names a broken model", ["generate", "--model", "BROKEN", "x"], "", 65, r"^$", r"BROKEN|broken"),
    ("generate refuses what cannot fit", ["generate", "--model", "MODEL", "--max-new-tokens", "100000", "x"], "", 2, r"^\n?$",
     r"must be <= 256"),
    # At this temperature all tokens are equally likely; with this seed the first one drawn is the end of the text.
    ("generate says that the model had nothing to say",
     ["generate", "--model", "MODEL", "--max-new-tokens", "2", "--temperature", "1000", "--seed", "444", "Hello"], "", 0, r"^\n$",
     r"^the model ended at once, without a word\n$"),
    ("generate's help says that no chat template is applied", ["generate", "--help"], "", 0, r"no chat template", r"^$"),
    ("detect tells what a text looks like", ["detect", "--model", "MODEL", "a text by somebody"], "", 0,
     r"^tokens     [0-9]+\ngreen      [0-9]+ \([0-9.]+ by chance\)\nscheme     public, gamma 0.5\nz-score    -?[0-9.]+\np-value    [0-9.e-]+\n$", r""),
    ("detect takes ids, and writes JSON", ["detect", "--model", "MODEL", "--ids", "--json", "[65, 66, 67]"], "", 0,
     r'^{"scheme":"public","gamma":0.5,"tokens":2,"green_tokens":[0-2],"z_score":[-0-9.]+,"p_value":[0-9.]+}\n$', r""),
    ("detect takes the settings", ["detect", "--model", "MODEL", "--ids", "--json", "--watermark-gamma", "0.25", "65 66"], "", 0,
     r'"gamma":0.25', r""),
    ("detect refuses an id out of range", ["detect", "--model", "MODEL", "--ids", "999999"], "", 2, r"^$", r"token id 999999"),
    ("detect names a key that is not there", ["detect", "--model", "MODEL", "--watermark-key-file", "/nowhere/key", "a"], "", 66,
     r"^$", r"/nowhere/key"),
    ("tokenize shows ids and pieces", ["tokenize", "--model", "MODEL", "ab\n"], "", 0,
     r'^( *[0-9]+ ".*"\n)+$', r""),
    ("tokenize shows where tokens are from", ["tokenize", "--model", "T5", "--offsets", "the hot w\u00f6rd"], "", 0,
     r'^     98       0       3 " the"\n    126       3       7 " hot"\n(.*\n){2}    130       9      11 "\u00f6"\n(.*\n){2}      1       0       0 "</s>"\n$',
     r""),
    ("tokenize reads standard input", ["tokenize", "--model", "MODEL", "--ids"], "abc", 0, r"^[0-9]+( [0-9]+)*\n$", r""),
    ("tokenize of nothing is nothing", ["tokenize", "--model", "MODEL", "--ids", "--no-special"], "", 0, r"^\n$", r""),
    ("tokenize decodes", ["tokenize", "--model", "MODEL", "--decode", "[67, 68]"], "", 0, r"^..*\n$", r""),
    ("tokenize refuses what is no id", ["tokenize", "--model", "MODEL", "--decode", "7", "x"], "", 2, r"^$", r'"x" is no token id'),
    ("tokenize refuses an id out of range", ["tokenize", "--model", "MODEL", "--decode", "999999"], "", 2, r"^$", r"999999"),
    ("info tells the model, the plan and the backends", ["info", "--model", "MODEL"], "", 0,
     r"(?s)^model\n.*architecture +llama\n.*\nshapes\n.*layers +2\n.*\nmemory\n.*weights_bytes.*\nbackends\n.* ref ", r""),
    ("info in JSON", ["info", "--model", "MODEL", "--json"], "", 0,
     r'^\{"model_id":"tiny.gguf".*"backends":\[\{"name":"[a-z]+","score":[0-9]+,"chosen":(true|false),"why":".+"\}', r""),
    ("info takes no words", ["info", "--model", "MODEL", "more"], "", 2, r"^$", r'unexpected word "more"'),
    ("info without a model says what to name", ["info"], "", 2, r"^$", r"name a GGUF file"),
    ("info names a broken model", ["info", "--model", "BROKEN"], "", 65, r"^$", r"BROKEN|broken"),
    ("generate answers behind an encoder",
     ["generate", "--model", "T5", "--max-new-tokens", "6", "--ignore-eos", "--details", "the", "hot", "word"], "", 0, r"\n$",
     r"(?s)^ *[0-9]+ .*6 generated in [0-9.]+ s, length\n"),
    ("tokenize ends an encoder's input", ["tokenize", "--model", "T5", "--ids", "the hot word"], "", 0, r"^98 126 127 1\n$", r""),
    ("info tells the encoder and what an input leaves in the pool", ["info", "--model", "T5", "--max-input-tokens", "700"], "", 0,
     r"(?s)encoder_layers +2\n.*decoder_start_id +0\n.*encode_tokens_max +700\n.*cross_bytes_per_token +560 bytes\n", r""),
    ("bench measures behind an encoder", ["bench", "--model", "T5", "--tests", "pp16,tg8,b2", "--runs", "1"], "", 0,
     r"(?s)\npp16 +[0-9.]+ tok/s.*\ntg8 .*\nb2 ", r""),
    ("info plans for ranks from a configuration alone",
     ["info", "--plan", "--config", "FALCON", "--ranks", "4", "--memory", "24G"], "", 0,
     r"(?s)architecture +falcon\n.*parameters +41\.30 billion\n.*\n4 of at most 8 ranks.*rank 3\n.*\n"
     r"  weights, together +(19\.2[0-9] GiB *){4}\n.*\nwith 24\.00 GiB for each rank it fits\n  longest request +2048 tokens\n", r"^$"),
    ("info says what does not fit", ["info", "--plan", "--config", "FALCON", "--ranks", "4", "--memory", "16G"], "", 0,
     r"it does not fit\n  rank 0 needs 19\.[0-9]+ GiB for weights", r"^$"),
    ("info plans without a memory", ["info", "--plan", "--config", "FALCON", "--dtype", "q8_0"], "", 0,
     r"dtype +Q8_0\n(?s:.*)what fits: say --memory", r"^$"),
    ("info says small amounts in units that show them",
     ["info", "--plan", "--config", "T5", "--memory", "24"], "", 0,
     r"with 24 B for each rank it does not fit\n  rank 0 needs [0-9.]+ (B|MiB) for weights and [0-9.]+ (B|MiB) for scratch, 24 B are there", r"^$"),
    ("info takes a memory in T", ["info", "--plan", "--config", "FALCON", "--memory", "1T"], "", 0, r"with 1024\.00 GiB for each rank it fits", r"^$"),
    ("info plans in JSON", ["info", "--plan", "--model", "T5-11B", "--ranks", "3", "--memory", "48G", "--json"], "", 0,
     r'^\{"architecture":"t5",.*"encoder_layers":24.*"ranks":\[(\{[^}]*"slices":3[^}]*\},){2}\{[^}]*"slices":2[^}]*\}\].*"fits":true', r"^$"),
    ("info refuses more ranks than there are", ["info", "--plan", "--config", "FALCON", "--ranks", "9"], "", 2, r"^$", r"limit is 8"),
    ("info plans for no unknown type", ["info", "--plan", "--config", "FALCON", "--dtype", "int3"], "", 69, r"^$", r'"int3" are not known'),
    ("info plans nothing from nothing", ["info", "--plan"], "", 2, r"^$", r"name a config.json"),
    ("bench prints a line a test", ["bench", "--model", "MODEL", "--tests", "pp16,tg8,b2", "--runs", "2"], "", 0,
     r"(?s)^tiny.gguf.*\npp16 +[0-9.]+ tok/s.*\ntg8 .*\nb2 ", r""),
    ("bench in JSON", ["bench", "--model", "MODEL", "--tests", "pp16", "--runs", "1", "--json"], "", 0,
     r'^\{"model":"tiny.gguf".*"pp16":\{"tok_s":[0-9.]+,"all":\[[0-9.]+\]\}\}\n$', r""),
    ("bench refuses an unknown test", ["bench", "--model", "MODEL", "--tests", "xx5"], "", 2, r"^$", r'"xx5" is none of'),
]


def interrupted(saker, model):
    """Ctrl-C in mid-answer ends it with 130; None or what is wrong."""
    p = subprocess.Popen([saker, "generate", "--model", model, "--max-new-tokens", "200", "--ignore-eos", "--details", "Hello"],
                         stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    p.stderr.readline()
    p.send_signal(signal.SIGINT)
    p.communicate(timeout=30)
    code = p.returncode
    return None if code in (130, 0) else f"ended with {code}"


def same(saker, model):
    """tokenize --decode undoes tokenize; the same seed gives the same text."""
    run = lambda *w: subprocess.run([saker, *w], stdout=subprocess.PIPE, timeout=60).stdout
    text = "The quick brown fox, 12 times é😀"
    ids = run("tokenize", "--model", model, "--ids", "--no-special", text).decode()
    if run("tokenize", "--model", model, "--decode", ids).decode() != text + "\n":
        return "decode(encode(text)) is not text"
    flags = ["generate", "--model", model, "--max-new-tokens", "20", "--do-sample", "--seed", "5", "--ignore-eos", "Hello"]
    return None if run(*flags) == run(*flags) else "the same seed gave two texts"


WEBS = {"nginx": ["nginx"], "apache": ["apache2", "httpd"], "lighttpd": ["lighttpd"]}
web = "nginx"                           # which one saker up runs; main() tries them all


def web_missing():
    path = os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin"
    if any(shutil.which(name, path=path) for name in WEBS[web]):
        return False
    print(f"SKIP {web} is not installed")
    return True


def up(saker, model):
    """A running saker up and the match of its line of start: web server's process, port, private directory."""
    p = subprocess.Popen([saker, "up", "--model", model, "--port", "0", "--web", web], stdout=subprocess.DEVNULL,
                         stderr=subprocess.PIPE)
    words = ""
    for line in p.stderr:
        words += line.decode()
        started = re.search(r"process ([0-9]+)\) listens on http://127.0.0.1:([0-9]+), directory (\S+)", words)
        if started:
            return p, started
    p.kill()
    raise ValueError(f"no address in {words!r}")


def hung_up(saker, model):
    """A closed terminal ends saker up as SIGTERM does: rc 0 and no directory left."""
    p, started = up(saker, model)
    p.send_signal(signal.SIGHUP)
    p.communicate(timeout=30)
    if p.returncode:
        return f"ended with {p.returncode}"
    return "the directory is still there" if os.path.exists(started[3]) else None


def ended_twice(saker, model):
    """A second signal ends saker up at once, its web server and its directory too, although an answer is running."""
    p, started = up(saker, model)
    for line in p.stderr:
        if b"ready: " in line:
            break
    body = b'{"inputs":"Hello","parameters":{"max_new_tokens":240,"ignore_eos":true}}'
    with socket.create_connection(("127.0.0.1", int(started[2])), 10) as s:
        s.sendall(b"POST /generate_stream HTTP/1.0\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s"
                  % (len(body), body))
        s.recv(1)
        p.terminate()
        p.send_signal(signal.SIGINT)
        p.communicate(timeout=10)
    if p.returncode:
        return f"ended with {p.returncode}"
    try:
        os.kill(int(started[1]), 0)
        return "the web server is still there"
    except ProcessLookupError:
        return "the directory is still there" if os.path.exists(started[3]) else None


def killed(saker, model):
    """What a killed saker up left in /run goes with the next one; a living one's directory, and others, stay."""
    p, started = up(saker, model)
    p.kill()
    p.communicate(timeout=30)
    left, place = started[3], os.path.dirname(started[3])
    if not os.path.isdir(left):
        return f"{left} is not there: nothing to test"
    names = {n: os.path.join(place, "saker-up-" + n) for n in ("young1", "old_01", "foreign", "link01")}
    for n in ("young1", "old_01", "foreign"):
        os.mkdir(names[n])
    os.symlink(names["old_01"], names["link01"])
    for n in ("old_01", "foreign"):
        os.utime(names[n], (1, 1))
    first, a = up(saker, model)
    second, b = up(saker, model)
    try:
        there = {n for n, d in names.items() if os.path.lexists(d)}
        if os.path.exists(left):
            return "the directory of the killed one is still there"
        if there != {"young1", "foreign", "link01"}:
            return f"of the others these are there: {there}"
        return None if os.path.isdir(a[3]) and os.path.isdir(b[3]) else "a living one's directory is gone"
    finally:
        for q in (first, second):
            q.terminate()
            q.communicate(timeout=30)
        for n in names.values():
            os.remove(n) if os.path.islink(n) else os.path.isdir(n) and os.rmdir(n)


def up_killed(saker, model):
    """kill -9 of saker up: the web server ends too and the port is free, whoever it runs as."""
    p, started = up(saker, model)
    p.kill()
    p.communicate(timeout=30)
    until = time.monotonic() + 15
    while time.monotonic() < until:
        with socket.socket() as s:
            if s.connect_ex(("127.0.0.1", int(started[2]))):
                return None
        time.sleep(0.02)
    os.killpg(int(started[1]), signal.SIGKILL)
    return "the port is still taken"


def port_taken(saker, model):
    """The message names the port and the flag; nothing is left."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        s.listen(1)
        port = s.getsockname()[1]
        r = subprocess.run([saker, "up", "--model", model, "--port", str(port), "--web", web], stderr=subprocess.PIPE, timeout=30)
    want = f"port {port} of 127.0.0.1 is taken by another program"
    return None if r.returncode == 74 and want in r.stderr.decode() else f"ended with {r.returncode}: {r.stderr!r}"


def web_errors(saker, model):
    """What a web server answers by itself is JSON too; what saker answers comes as saker wrote it."""
    p, started = up(saker, model)
    cases = [
        ("a URI of 20,000 bytes", b"GET /" + b"a" * 20000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", (414, 431), None),
        ("TRACE", b"TRACE /info HTTP/1.1\r\nHost: x\r\n\r\n", (405,), "method_not_allowed"),
        ("a header of 40 KB", b"GET /info HTTP/1.1\r\nHost: x\r\nX-A: " + b"a" * 40000 + b"\r\n\r\n", (400, 431), None),
        ("no HTTP", b"hello\r\n\r\n", (400,), "bad_request"),
        ("an unknown transfer coding", b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: odd\r\n\r\n", (400, 501), None),
        ("the page of an error", b"GET /saker-error/414 HTTP/1.1\r\nHost: x\r\n\r\n", (404,), "not_found"),
        ("the file of an error", b"GET /error-414.html HTTP/1.1\r\nHost: x\r\n\r\n", (404,), "not_found"),
        ("its own configuration", b"GET /web.conf HTTP/1.1\r\nHost: x\r\n\r\n", (404,), "not_found"),
        ("saker's own 404", b"GET /nowhere HTTP/1.1\r\nHost: x\r\n\r\n", (404,), "not_found"),
        ("saker's own 405", b"PUT /generate HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n", (405,), "method_not_allowed"),
        ("saker's own 422", b"POST /generate HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
         b"Content-Length: 2\r\n\r\n{}", (422,), "validation"),
    ]
    wrong = []
    try:
        for line in p.stderr:
            if b"ready: " in line:
                break
        for name, request, status, kind in cases:
            with socket.create_connection(("127.0.0.1", int(started[2])), 10) as s:
                s.sendall(request)
                r = http.client.HTTPResponse(s)
                r.begin()
                body = r.read()
            try:
                got = json.loads(body)
            except ValueError:
                got = {}
            if r.status not in status or "error" not in got or "error_type" not in got or \
                    not r.headers["content-type"].startswith("application/json") or (kind and got["error_type"] != kind) or \
                    ("own" in name.split()[0:2] and "web server" in body.decode()):
                wrong.append(f"{name}: {r.status} {body[:120]!r}")
    finally:
        p.terminate()
        p.communicate(timeout=30)
    return "\n     ".join(wrong) or None


def log_unread(saker, model):
    """`saker up 2>&1 | head -1`: who reads the log leaves after the first line; saker serves on and ends as ever."""
    p, started = up(saker, model)
    p.stderr.close()
    until = time.monotonic() + 30
    while p.poll() is None and time.monotonic() < until:
        with socket.create_connection(("127.0.0.1", int(started[2])), 10) as s:
            s.sendall(b"GET /readyz HTTP/1.0\r\n\r\n")
            if b" 200 " in s.recv(4096).split(b"\r\n")[0]:
                break
    p.terminate()
    p.wait(timeout=30)
    if p.returncode:
        return f"ended with {p.returncode}"
    return "the directory is still there" if os.path.exists(started[3]) else None


def web_killed(saker, model):
    """A killed web server ends saker up with 1; its workers, which hold the port, end too."""
    p, started = up(saker, model)
    os.kill(int(started[1]), signal.SIGKILL)
    p.wait(timeout=30)
    until = time.monotonic() + 10
    while time.monotonic() < until:
        with socket.socket() as s:
            if s.connect_ex(("127.0.0.1", int(started[2]))):
                return None if p.returncode == 1 else f"ended with {p.returncode}"
    os.killpg(int(started[1]), signal.SIGKILL)
    return "the port is still taken"


def files_too_large(saker, model):
    """Where no file may be written, saker up says so and leaves no directory."""
    r = subprocess.run([saker, "up", "--model", model, "--port", "0", "--web", web], stderr=subprocess.PIPE, timeout=30,
                       preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0)))
    words = r.stderr.decode()
    named = re.search(r"(/\S*)/[a-z0-9.-]+: File too large", words)
    if r.returncode != 74 or not named:
        return f"ended with {r.returncode}: {words!r}"
    return "the directory is still there" if os.path.exists(named[1]) else None


def cold(saker, model):
    """--temperature 0 takes the likeliest token, whatever else is set."""
    run = lambda *w: subprocess.run([saker, "generate", "--model", model, "--max-new-tokens", "20", "--ignore-eos", *w, "Hello"],
                                    stdout=subprocess.PIPE, timeout=60).stdout
    want = run()
    for flag in (["--top-k", "40"], ["--top-p", "0.9"], ["--typical-p", "0.9"], ["--do-sample"]):
        for seed in ("1", "2", "3"):
            if run("--temperature", "0", "--seed", seed, *flag) != want:
                return f"with {flag} and seed {seed} the text is another"
    return None


def full_disk(saker, model):
    """What cannot be written is an error, also where only help is asked for."""
    bench = ["bench", "--model", model, "--tests", "pp8", "--runs", "1"]
    for words in (["--help"], ["help"], ["--version"], ["generate", "--help"], ["info", "--model", model], ["info", "--json", "--model", model],
                  ["generate", "--model", model, "--max-new-tokens", "2", "a"], ["tokenize", "--model", model, "a"], bench, bench + ["--json"]):
        with open("/dev/full", "w") as full:
            code = subprocess.run([saker, *words], stdout=full, stderr=subprocess.DEVNULL, timeout=60).returncode
        if code != 74:
            return f"{words} ended with {code}"
    return None


def check(saker, case, files):
    _, words, given, code, out, err = case
    r = subprocess.run([saker] + [files.get(w, w) for w in words], input=given.encode(), stdout=subprocess.PIPE,
                       stderr=subprocess.PIPE, timeout=60)
    got_out, got_err = r.stdout.decode(errors="replace"), r.stderr.decode(errors="replace")
    if r.returncode != code:
        return f"exit code {r.returncode}, want {code}: {got_err[:300]}"
    if not re.search(out, got_out):
        return f"standard output {got_out[:400]!r} is not {out!r}"
    if not re.search(err, got_err):
        return f"standard error {got_err[:400]!r} is not {err!r}"
    return None


def tried(fn, *args):
    """What fn says is wrong, also when it says so by an exception."""
    try:
        return fn(*args)
    except Exception as e:
        return f"{type(e).__name__}: {e}"


def launcher(saker, model):
    """Under the launcher's name: its flags, environment and defaults; a model of the hub's cache; one line for each that has no meaning."""
    with tempfile.TemporaryDirectory(prefix="saker-hub-") as d:
        at = os.path.join(d, "hub", "models--org--tiny")
        os.makedirs(os.path.join(at, "refs"))
        os.makedirs(os.path.join(at, "snapshots", "c0ffee"))
        with open(os.path.join(at, "refs", "main"), "w") as f:
            f.write("c0ffee")
        shutil.copy(model, os.path.join(at, "snapshots", "c0ffee"))
        name = os.path.join(d, "text-generation-launcher")
        os.symlink(os.path.abspath(saker), name)
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            port = s.getsockname()[1]
        env = dict(os.environ, HF_HOME=d, HOSTNAME="127.0.0.1", MAX_WAITING_TOKENS="20", NUM_SHARD="1")
        p = subprocess.Popen([name, "--model-id", "org/tiny", "--port", str(port), "--master-port", "29500", "--shard-uds-path",
                              "/tmp/x", "--trust-remote-code", "--max-concurrent-requests", "5", "--max-input-length", "100",
                              "--web", web], env=env, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        words = ""
        for line in p.stderr:
            words += line.decode()
            if "ready: " in words:
                break
        else:
            return f"ended with {p.wait()}: {words[-400:]}"
        try:
            c = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
            c.request("GET", "/info")
            info = json.loads(c.getresponse().read())
            c.request("GET", "/nothing")
            nothing = c.getresponse().read()
        finally:
            p.terminate()
            p.communicate(timeout=30)
        if info["model_id"] != "org/tiny" or info["max_concurrent_requests"] != 5 or info["max_input_tokens"] != 100:
            return f"/info: {info}"
        if nothing or "model_dtype" in info:
            return f"another dialect than tgi-3: {nothing!r} {info}"
        for flag in ("trust-remote-code", "master-port", "shard-uds-path", "max-waiting-tokens"):
            if words.count(f"{flag} is accepted and has no meaning here: ") != 1:
                return f"no line about {flag}: {words}"
        return f"ended with {p.returncode}" if p.returncode else None


# With each web server.
UP_CASES = [
    ("a killed web server leaves nothing behind", web_killed),
    ("a closed terminal leaves nothing behind", hung_up),
    ("nobody needs to read the log", log_unread),
    ("two signals leave nothing behind", ended_twice),
    ("a killed saker up is cleaned up by the next", killed),
    ("a killed saker up takes its web server along", up_killed),
    ("its own errors are JSON", web_errors),
    ("where no file may be written nothing is left", files_too_large),
    ("a port that is taken is named", port_taken),
    ("under the name of text-generation-launcher it is one", launcher),
]


def main():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--saker", default="./saker")
    p.add_argument("--mktiny", default="tests/lib/mktiny")
    a = p.parse_args()
    if not os.access(a.saker, os.X_OK):
        print(f"SKIP commands: {a.saker} is not built")
        return 77
    failed = 0
    with tempfile.TemporaryDirectory(prefix="saker-commands-") as d:
        files = {"MODEL": os.path.join(d, "tiny.gguf"), "BROKEN": os.path.join(d, "broken.gguf"),
                 "T5": os.path.join(os.path.dirname(os.path.abspath(__file__)), "../golden/families/t5"),
                 "FALCON": os.path.join(CONFIGS, "falcon-40b.json"), "T5-11B": os.path.join(CONFIGS, "t5-11b.json")}
        subprocess.run([a.mktiny, files["MODEL"]], check=True)
        with open(files["MODEL"], "rb") as f, open(files["BROKEN"], "wb") as g:
            g.write(f.read(100))
        results = [(c[0], check(a.saker, c, files)) for c in CASES]
        results.append(("Ctrl-C ends an answer", tried(interrupted, a.saker, files["MODEL"])))
        results.append(("temperature 0 never samples", tried(cold, a.saker, files["MODEL"])))
        results.append(("a full disk is an error", tried(full_disk, a.saker, files["MODEL"])))
        results.append(("what is random is not, with a seed", tried(same, a.saker, files["MODEL"])))
        global web
        for web in WEBS:
            if not web_missing():
                results += [(f"{web}: {name}", tried(fn, a.saker, files["MODEL"])) for name, fn in UP_CASES]
    for name, bad in results:
        if bad:
            failed += 1
            print(f"FAIL {name}\n     {bad}")
    print(f"commands: {len(results) - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
