#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""How long a token takes from saker's write to the client's read, behind each web server with the example of etc/.

    make saker tests/front/saker-double tests/bench/loadgen && tests/bench/bench_front.py      (in the build directory)

The engine double stamps each token with the clock at the moment when the front takes it; loadgen compares with its own
clock when the line has come. Everything shares the cores, so the numbers are this machine's, and never a test's.
"""
import argparse, json, os, subprocess, sys, tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "front"))
from webs import *


def measure(a, kind, streams, rate, tokens):
    flags = ["--max-concurrent-requests", str(streams * 2)]
    with Server([a.double], flags=flags + ["--log-level", "warn"], env={
            "SAKER_DOUBLE_RATE": rate, "SAKER_DOUBLE_STAMP": 1, "SAKER_DOUBLE_PHASES": a.phases}) as srv, \
            Web(kind, srv.path) as web, tempfile.NamedTemporaryFile("w") as bodies:
        bodies.write(json.dumps({"inputs": "hello", "parameters": {"max_new_tokens": tokens}}) + "\n")
        bodies.flush()
        r = subprocess.run([a.loadgen, "--port", str(web.port), "--path", "/generate_stream", "--bodies", bodies.name,
                            "-c", str(streams), "-n", str(streams), "--tokens", str(tokens), "--expect", '"generated_text"'],
                           stdout=subprocess.PIPE)
        return json.loads(r.stdout)


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--double", default="tests/front/saker-double")
    p.add_argument("--loadgen", default="tests/bench/loadgen")
    p.add_argument("--streams", type=int, default=1000)
    p.add_argument("--rate", type=int, default=50, help="tokens a second of each stream")
    p.add_argument("--tokens", type=int, default=200)
    p.add_argument("--phases", type=int, default=20, help="groups of streams that get their tokens one after the other; 1: all at once")
    a = p.parse_args()
    print("%-10s %8s %8s %8s %10s %10s %10s %10s" % ("", "streams", "tokens", "errors", "tokens/s", "p50 ms", "p99 ms", "max ms"))
    for kind in PROGRAMS:
        for streams in (1, a.streams):
            try:
                r = measure(a, kind, streams, a.rate, a.tokens)
            except Skip as e:
                print("%-10s %s" % (kind, e))
                break
            print("%-10s %8d %8d %8d %10.0f %10.3f %10.3f %10.3f" %
                  (kind, streams, r.get("tokens", 0), r["errors"], r["tok_s"], r["delay_p50_ms"], r["delay_p99_ms"], r["delay_max_ms"]),
                  flush=True)


if __name__ == "__main__":
    main()
