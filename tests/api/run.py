#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Run the cases of tests/api/cases against a real server: saker behind nginx, over HTTP.

  run.py [--saker PROGRAM] [--mktiny PROGRAM] [--model FILE] [--web NAME] [--only TEXT] [CASES.jsonl ...]
  run.py --url http://127.0.0.1:8080 [CASES.jsonl ...]     a server that already runs (cases that set flags are skipped)

A file of cases is JSON lines; README.md in this folder says what a line may hold. Exit status: 0 all passed, 1 some failed,
77 skipped because a program is missing. Standard library only.
"""
import argparse, glob, http.client, json, os, re, shutil, signal, socket, subprocess, sys, tempfile, time, urllib.parse

HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.dirname(os.path.dirname(HERE))
START_S, ANSWER_S = 60, 30


# ---- what is wanted of a value ------------------------------------------------------------------------------------

def match(want, got, at="body"):
    """None, or where and how `got` differs. Objects compare by the members that `want` names."""
    if isinstance(want, dict) and len(want) == 1 and next(iter(want)).startswith("$"):
        return matcher(*next(iter(want.items())), got, at)
    if isinstance(want, dict):
        if not isinstance(got, dict):
            return f"{at}: no object but {got!r:.200}"
        for k, w in want.items():
            if k not in got:
                return f"{at}: no member {k!r}"
            bad = match(w, got[k], f"{at}.{k}")
            if bad:
                return bad
        return None
    if isinstance(want, list):
        if not isinstance(got, list) or len(want) != len(got):
            return f"{at}: want a list of {len(want)}, got {got!r:.200}"
        for i, w in enumerate(want):
            bad = match(w, got[i], f"{at}[{i}]")
            if bad:
                return bad
        return None
    if type(want) is not type(got) or want != got:
        return f"{at}: want {want!r}, got {got!r:.300}"
    return None


def matcher(name, arg, got, at):
    if name == "$exact":            # nothing more and nothing less, keys in this order
        ok = json.dumps(arg) == json.dumps(got)
    elif name == "$keys":           # exactly these members, in this order
        ok = isinstance(got, dict) and list(got) == arg
    elif name == "$re":
        ok = isinstance(got, str) and re.search(arg, got, re.S) is not None
    elif name == "$number":         # [low, high], both included
        ok = isinstance(got, (int, float)) and not isinstance(got, bool) and arg[0] <= got <= arg[1]
    elif name == "$int":
        ok = isinstance(got, int) and not isinstance(got, bool) and arg[0] <= got <= arg[1]
    elif name == "$len":
        ok = isinstance(got, (list, str)) and (len(got) == arg if isinstance(arg, int) else arg[0] <= len(got) <= arg[1])
    elif name == "$each":
        if not isinstance(got, list):
            return f"{at}: no list but {got!r:.200}"
        return next((b for b in (match(arg, g, f"{at}[{i}]") for i, g in enumerate(got)) if b), None)
    elif name == "$all":
        return next((b for b in (match(w, got, at) for w in arg) if b), None)
    elif name == "$without":        # none of these members
        ok = isinstance(got, dict) and not set(arg) & set(got)
    else:
        return f"{at}: the case has an unknown matcher {name}"
    return None if ok else f"{at}: want {name} {arg!r}, got {got!r:.300}"


def expand(v):
    """{"$repeat": ["x", 3]} -> "xxx", so that large bodies stay small in the file."""
    if isinstance(v, dict):
        if list(v) == ["$repeat"]:
            return v["$repeat"][0] * v["$repeat"][1]
        return {k: expand(x) for k, x in v.items()}
    return [expand(x) for x in v] if isinstance(v, list) else v


# ---- one case in each dialect --------------------------------------------------------------------------------------

# Fields that a dialect has not: there they are unknown members, which are ignored.
OURS = {"presence_penalty", "logit_bias", "min_p", "ignore_eos"}
DIALECTS = {"saker": set(), "tgi-3": OURS, "tgi-0.9.3": OURS | {"frequency_penalty", "top_n_tokens", "grammar", "adapter_id"}}


def is_stream(request):
    body = request[2] if len(request) > 2 else None
    return request[1] == "/generate_stream" or (isinstance(body, dict) and body.get("stream") is True and request[1] != "/generate")


def without(want, members):
    """What is wanted of a value, less some members of its objects."""
    if isinstance(want, dict):
        return {k: [x for x in v if x not in members] if k == "$keys" else without(v, members) for k, v in want.items() if k not in members}
    return [without(x, members) for x in want] if isinstance(want, list) else want


def of_dialect(case, dialect):
    """The case as it is in a dialect: what its "in" says, else the rules of README.md for errors. None: not there."""
    if dialect == "tgi-0.9.3":
        case = {"frame": "data:", **case}
        for key in {"events", "body"} & set(case):
            case[key] = without(case[key], {"index", "top_tokens", "input_length"})
    if dialect in case.get("in", {}):
        own = case["in"][dialect]
        return own if own is None else {k: v for k, v in {**case, **own}.items() if v is not None}
    if dialect == "saker" or "error" not in case:
        return case
    kind, text = case["error"]
    case = {k: v for k, v in case.items() if k != "error"}
    plain = {"content-type": "text/plain; charset=utf-8"}
    if any(f"`{field}`" in text or f"parameters.{field}" in text for field in DIALECTS[dialect]):
        method, path, body = case["request"]
        body = {**body, "parameters": {"max_new_tokens": 1, **body["parameters"]}}
        return {**case, "request": [method, path, body], "status": 200}
    if text.startswith("Failed to ") or kind in ("unsupported_media_type", "payload_too_large"):
        return {**case, "raw": text, "reply_headers": {**case.get("reply_headers", {}), **plain}}
    if text == "There is nothing at this path" or kind == "method_not_allowed":
        return {**case, "raw": ""}
    if kind == "unauthorized" and dialect == "tgi-3":
        return {**case, "raw": "", "reply_headers": {}}
    if is_stream(case["request"]):
        return {**case, "status": 200, "reply_headers": {}, "events": {"count": 1, "last": {"$exact": {"error": text, "error_type": kind}}}}
    return {**case, "error": [kind, text]}


# ---- one exchange -------------------------------------------------------------------------------------------------

class Reply:
    def __init__(self, r):
        self.status, self.headers = r.status, {k.lower(): v for k, v in r.getheaders()}
        self.stream = self.headers.get("content-type", "").startswith("text/event-stream")
        self.raw = r.read()

    def json(self):
        return json.loads(self.raw.decode("utf-8"), parse_constant=lambda c: 1 / 0)

    def events(self, start):
        """The stream's JSON events; any other byte than comments and frames that begin with `start`, and OpenAI's end, is an error."""
        out = []
        self.done = False
        text = self.raw.decode("utf-8")
        if not text.endswith("\n\n"):
            raise ValueError(f"the stream does not end with a blank line: ...{text[-80:]!r}")
        for frame in text[:-2].split("\n\n"):
            if self.done:
                raise ValueError(f"behind [DONE] comes {frame[:200]!r}")
            if frame == start + "[DONE]":
                self.done = True
                continue
            if frame.startswith(":") and "\n" not in frame:
                continue
            if not frame.startswith(start + "{") or "\n" in frame:
                raise ValueError(f"no `{start}` frame: {frame[:200]!r}")
            out.append(json.loads(frame[len(start):]))
        return out


def connect(url):
    return http.client.HTTPConnection(url.hostname, url.port or 80, timeout=ANSWER_S)


def encode(request):
    method, path, body = (request + [None, None])[:3]
    if isinstance(body, (dict, list)):
        body = json.dumps(expand(body))
    return method, path, body.encode() if body is not None else None


def exchange(url, case):
    method, path, body = encode(case["request"])
    headers = {} if body is None else {"Content-Type": "application/json"}
    headers.update(case.get("headers", {}))
    headers = {k: v for k, v in headers.items() if v is not None}
    c = connect(url)
    try:
        c.request(method, path, body=body, headers=headers)
        return Reply(c.getresponse())
    finally:
        c.close()


def hold(url, request):
    """Open a stream and read until its first event: from then on it holds a permit."""
    method, path, body = encode(request)
    c = connect(url)
    c.request(method, path, body=body, headers={"Content-Type": "application/json"})
    r = c.getresponse()
    while True:
        line = r.readline()
        if line.startswith(b"data:"):
            return c, r
        if not line:
            raise ValueError("the held stream ended before its first event")


def settle(url):
    """Wait until those who left gave their permits back; None, or that they did not."""
    end = time.monotonic() + 5
    case = {"request": ["POST", "/generate", {"inputs": "a", "parameters": {"max_new_tokens": 1}}]}
    while time.monotonic() < end:
        if exchange(url, case).status == 200:
            return None
        time.sleep(0.01)
    return "5 s after a client left, its permit is still held"


def check_events(want, events):
    if "count" in want:
        bad = match({"$int": want["count"]} if isinstance(want["count"], list) else want["count"], len(events), "events")
        if bad:
            return bad
    for i, e in enumerate(events):
        if "error" in e and "last" not in want:
            return f"event {i}: {e!r:.300}"
    for i, e in enumerate(events[:-1]):
        bad = match(want.get("each", {}), e, f"event {i}")
        if bad:
            return bad
        if "index" in e and e["index"] != i + 1:
            return f"event {i}: index {e['index']}"
    return match(want["last"], events[-1], "last event") if "last" in want and events else None


def check(case, r):
    """None, or what is wrong with this reply."""
    if r.status != case["status"]:
        return f"status {r.status}, want {case['status']}: {r.raw[:300]!r}"
    for name, want in case.get("reply_headers", {}).items():
        got = r.headers.get(name)
        if want is None and got is not None:
            return f"header {name} is there: {got!r}"
        if want is not None and (got is None or not re.fullmatch(want, got)):
            return f"header {name}: {got!r} is not {want!r}"
    if "raw" in case and r.raw.decode() != case["raw"]:
        return f"want exactly {case['raw']!r}\n     got {r.raw.decode()!r:.500}"
    if "re" in case and not re.search(case["re"], r.raw.decode(), re.S):
        return f"{case['re']!r} is not in {r.raw.decode()!r:.500}"
    if "latin" in case and not re.search(case["latin"], r.raw.decode("latin-1"), re.S):
        return f"{case['latin']!r} is not in {r.raw!r:.900}"
    if "error" in case:                     # [error_type, text] of an error object
        bad = match({"$exact": {"error": case["error"][1], "error_type": case["error"][0]}}, r.json())
        if bad:
            return bad
    if "body" in case:
        bad = match(case["body"], r.json())
        if bad:
            return bad
    if "events" in case:
        if not r.stream:
            return f"content-type {r.headers.get('content-type')!r}"
        events = r.events(case.get("frame", "data: "))
        if r.done != case["events"].get("done", False):
            return f"the stream {'ends' if r.done else 'does not end'} with [DONE]"
        return check_events(case["events"], events)
    return None


def run_case(url, case):
    bad = attempt(url, case)
    if case.get("while") and not bad:
        bad = settle(url)
    return bad


def attempt(url, case):
    held = []
    try:
        for request in case.get("while", []):
            held.append(hold(url, request))
        first = exchange(url, case)
        bad = check(case, first)
        if not bad and case.get("twice"):   # the same bytes again
            second = exchange(url, case)
            if second.raw != first.raw:
                bad = f"the second answer differs:\n{first.raw[:400]!r}\n{second.raw[:400]!r}"
        return bad
    except (ValueError, OSError, http.client.HTTPException) as e:
        return f"{type(e).__name__}: {e}"
    finally:
        for c, r in held:
            r.close()
            c.close()


# ---- servers ------------------------------------------------------------------------------------------------------

def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Server:
    """`saker up` with its web server, on a port that was free a moment ago."""

    def __init__(self, a, model, flags, environment=None):
        """model None: the environment names it."""
        self.port = free_port()
        self.log = tempfile.TemporaryFile()
        self.p = subprocess.Popen([a.saker, "up", *(["--model", model] if model else []), "--port", str(self.port), "--web", a.web, *flags],
                                  stdout=self.log, stderr=self.log, stdin=subprocess.DEVNULL, start_new_session=True,
                                  env={**os.environ, **(environment or {})})
        self.url = urllib.parse.urlsplit(f"http://127.0.0.1:{self.port}")

    def wait_ready(self):
        end = time.monotonic() + START_S
        while time.monotonic() < end and self.p.poll() is None:
            try:
                if exchange(self.url, {"request": ["GET", "/readyz"]}).status == 200:
                    return True
            except (OSError, http.client.HTTPException):
                pass
            time.sleep(0.02)
        return False

    def words(self):
        self.log.seek(0)
        return self.log.read().decode(errors="replace")

    def stop(self):
        """None, or what went wrong."""
        self.p.send_signal(signal.SIGTERM)
        try:
            code = self.p.wait(15)
        except subprocess.TimeoutExpired:
            os.killpg(self.p.pid, signal.SIGKILL)
            self.p.wait()
            return "did not stop within 15 s of SIGTERM"
        return f"ended with {code}" if code else None


def read_cases(path, only):
    head, cases = {}, []
    with open(path) as f:
        for n, line in enumerate(f, 1):
            if not line.strip() or line.startswith("#"):
                continue
            try:
                c = json.loads(line)
            except ValueError as e:
                sys.exit(f"{path}:{n}: {e}")
            if "server" in c:
                head = c
            elif not only or only in c["name"]:
                cases.append({**head.get("each", {}), **c})
    return head, cases


class Score:
    def __init__(self):
        self.passed = self.failed = 0

    def add(self, name, bad):
        if bad:
            self.failed += 1
            print(f"FAIL {name}\n     {bad}")
        else:
            self.passed += 1


def run_file(a, path, score, model_dir):
    head, cases = read_cases(path, a.only)
    name = os.path.splitext(os.path.basename(path))[0]
    if not cases:
        return
    if a.url:
        if not head.get("server"):
            for c in cases:
                score.add(f"{name}: {c['name']}", run_case(urllib.parse.urlsplit(a.url), c))
        return
    for dialect in head.get("dialects", [None]):
        there = [of_dialect(c, dialect) for c in cases] if dialect else cases
        run_server(a, head, f"{name} in {dialect}" if dialect else name, [c for c in there if c],
                   ["--compat", dialect] if dialect else [], score, model_dir)


def run_server(a, head, name, cases, flags, score, model_dir):
    model = os.path.join(TOP, head["directory"]) if "directory" in head else a.model
    if not model:
        model = os.path.join(model_dir, name, "tiny.gguf")
        os.makedirs(os.path.dirname(model))
        subprocess.run([a.mktiny, *head.get("model", ["--context", "512"]), model], check=True)
    server = Server(a, model, head.get("server", []) + flags)
    try:
        if not server.wait_ready():
            score.add(name, f"the server is not ready:\n{server.words()[-3000:]}")
            return
        failed = score.failed
        for c in cases:
            score.add(f"{name}: {c['name']}", run_case(server.url, c))
        if score.failed > failed:
            print(f"--- the server's words\n{server.words()[-2000:]}")
    finally:
        score.add(f"{name}: the server stops", server.stop())


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--url")
    p.add_argument("--saker", default=os.environ.get("SAKER", "./saker"))
    p.add_argument("--mktiny", default=os.environ.get("MKTINY", "tests/lib/mktiny"))
    p.add_argument("--model", help="a model in place of the tiny one")
    p.add_argument("--web", default="nginx")
    p.add_argument("--only", help="cases whose name holds this text")
    p.add_argument("files", nargs="*")
    a = p.parse_args()
    files = a.files or sorted(glob.glob(os.path.join(HERE, "cases", "*.jsonl")))
    score = Score()
    path = os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin"
    if not a.url and not shutil.which(a.web, path=path):
        print(f"SKIP api: {a.web} is not installed")
        return 77
    if not a.url and not os.access(a.saker, os.X_OK):
        print(f"SKIP api: {a.saker} is not built")
        return 77
    with tempfile.TemporaryDirectory(prefix="saker-api-") as d:
        for f in files:
            run_file(a, f, score, d)
    print(f"api: {score.passed} passed, {score.failed} failed")
    return 1 if score.failed else 0


if __name__ == "__main__":
    sys.exit(main())
