#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Ten thousand spoilt requests through a real web server (tests/run.sh --long).

  mutate.py [--saker PROGRAM] [--mktiny PROGRAM] [--requests 10000] [--seed N]

Bodies of the API cases with bytes changed, cut, doubled and moved, sent over kept connections. Each must be answered with a
status below 500 (or by a stream), an error with a JSON object that names it; afterwards the same process answers a good
request with the same bytes as before. The seed is printed. Standard library only; 77 without nginx.
"""
import argparse, glob, http.client, json, os, random, shutil, subprocess, sys, tempfile, time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import run

PIECES = [b"null", b"true", b"-1", b"0", b"1e999", b"18446744073709551616", b'""', b"[]", b"{}", b"[[[[[[[[", b'\\u0000', b"\xff", b'"', b",",
          b"\xf0\x9f\x98\x80", b'{"a":', b"9" * 400, b"\\ud800"]
GOOD = {"request": ["POST", "/generate", {"inputs": "My name is", "parameters": {"max_new_tokens": 4, "details": True}}]}


def mutate(rng, body):
    b = bytearray(body)
    for _ in range(rng.randint(1, 4)):
        at = rng.randrange(len(b) + 1)
        end = min(len(b), at + rng.randint(1, 12))
        kind = rng.randrange(5)
        if kind == 0 and at < len(b):
            b[at] = rng.randrange(256)
        elif kind == 1:
            del b[at:end]
        elif kind == 2:
            b[at:at] = rng.choice(PIECES)
        elif kind == 3:
            b[at:end] = rng.choice(PIECES)
        else:
            b[at:at] = b[at:end]
    return bytes(b)


VALUES = [None, True, False, -1, 0, 1, 0.5, 1e30, 2**64 - 1, 2**53, "", "a", "\u00e9\U0001f600", [], {}, ["a", "b"], [1], {"a": 1}]


def respell(rng, body):
    """Still JSON: one value is another's, or one member goes."""
    try:
        v = json.loads(body)
    except ValueError:
        return mutate(rng, body)
    places, todo = [], [v]
    while todo:
        x = todo.pop()
        for k in list(x) if isinstance(x, dict) else range(len(x)) if isinstance(x, list) else []:
            places.append((x, k))
            todo.append(x[k])
    if not places:
        return mutate(rng, body)
    for x, k in rng.sample(places, min(len(places), rng.randint(1, 3))):
        if isinstance(x, dict) and rng.random() < 0.2:
            x.pop(k, None)
        elif isinstance(x, dict) or k < len(x):
            x[k] = rng.choice(VALUES)
    return json.dumps(v).encode()


def wrong(r):
    """None, or why this is no proper answer."""
    if r.status >= 500:
        return f"status {r.status}: {r.raw[:200]!r}"
    try:
        if r.stream:
            r.events("data: ")
        elif r.status != 200:
            e = r.json()
            openai = isinstance(e, dict) and isinstance(e.get("error"), dict) and e["error"].get("message") and e["error"].get("type")
            if not isinstance(e, dict) or not (e.get("Message") or openai or (e.get("error") and e.get("error_type"))):
                return f"status {r.status} without words: {r.raw[:200]!r}"
    except ValueError as e:
        return f"status {r.status}: {e}: {r.raw[:200]!r}"
    return None


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--saker", default="./saker")
    p.add_argument("--mktiny", default="tests/lib/mktiny")
    p.add_argument("--web", default="nginx")
    p.add_argument("--requests", type=int, default=10000)
    p.add_argument("--seed", type=int, default=int(time.time()))
    a = p.parse_args()
    if not shutil.which(a.web, path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin"):
        print(f"SKIP mutate: {a.web} is not installed")
        return 77
    requests = []
    for path in sorted(glob.glob(os.path.join(run.HERE, "cases", "*.jsonl"))):
        requests += [run.encode(c["request"]) for c in run.read_cases(path, None)[1]]
    requests = [q for q in requests if q[0] == "POST" and q[2] and len(q[2]) < 20000]
    rng = random.Random(a.seed)
    counts, bad = {}, 0
    print(f"mutate: seed {a.seed}, {len(requests)} bodies to spoil")
    with tempfile.TemporaryDirectory(prefix="saker-mutate-") as d:
        model = os.path.join(d, "tiny.gguf")
        subprocess.run([a.mktiny, "--context", "256", model], check=True)
        server = run.Server(a, model, ["--log-level", "error"])
        if not server.wait_ready():
            print(server.words())
            return 1
        before = json.loads(run.exchange(server.url, GOOD).raw)
        c = run.connect(server.url)
        for n in range(a.requests):
            method, path, body = rng.choice(requests)
            body = rng.choice((mutate, respell))(rng, body)
            try:
                c.request(method, path, body=body, headers={"Content-Type": "application/json"})
                r = run.Reply(c.getresponse())
                why = wrong(r)
                counts[r.status] = counts.get(r.status, 0) + 1
            except (OSError, http.client.HTTPException) as e:
                why = f"{type(e).__name__}: {e}"
                c.close()
            if why:
                bad += 1
                print(f"FAIL request {n}: {method} {path} {body[:300]!r}\n     {why}")
                if bad >= 20:
                    break
        c.close()
        if json.loads(run.exchange(server.url, GOOD).raw) != before:
            bad += 1
            print("FAIL the good request has another answer than before")
        ended = server.stop()
        if ended:
            bad += 1
            print(f"FAIL the server {ended}\n{server.words()[-2000:]}")
    print(f"mutate: {sum(counts.values())} answers: " + ", ".join(f"{v} x {k}" for k, v in sorted(counts.items())))
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
