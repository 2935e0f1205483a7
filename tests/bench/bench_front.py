#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""How long a token takes from saker's write to the client's read, behind each web server with the example of etc/.

    make saker tests/front/saker-double tests/bench/loadgen && ../tests/bench/bench_front.py      (in the build directory)

The engine double stamps each token with the clock at the moment when the front takes it, which then renders and writes it; loadgen
compares with its own clock when the line has come: from write to read, with everything between. Two cores and a thousand streams
of 50 tokens/s: half of a processor is the web server's, a quarter loadgen's. An engine gives all sequences of a step their token at
once ("groups" 1); with 20 groups they come one group after the other, 1 ms apart. "others": the share of the cores that other
processes had meanwhile; above a few percent the numbers say little. Exit 1 when a token was lost.
"""
import argparse, json, os, subprocess, sys, tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, "..", "front")]
from quiet import Quiet, children_of
from webs import *

# p50 of one stream and p99 of many, in milliseconds: what is promised. Apache starts threads while streams come: no promise.
WANTED = {"nginx": (1, 20), "lighttpd": (1, 20), "apache": (1, None)}


def measure(a, kind, streams, phases):
    flags = ["--max-concurrent-requests", str(streams * 2)]
    with Server([a.double], flags=flags + ["--log-level", "warn"], env={
            "SAKER_DOUBLE_RATE": a.rate, "SAKER_DOUBLE_STAMP": 1, "SAKER_DOUBLE_PHASES": phases}) as srv, \
            Web(kind, srv.path) as web, tempfile.NamedTemporaryFile("w") as bodies:
        bodies.write(json.dumps({"inputs": "hello", "parameters": {"max_new_tokens": a.tokens}}) + "\n")
        bodies.flush()
        with Quiet(lambda: [srv.p.pid] + children_of(web.p.pid)) as q:
            r = subprocess.run([a.loadgen, "--port", str(web.port), "--path", "/generate_stream", "--bodies", bodies.name, "-c", str(streams),
                                "-n", str(streams), "--tokens", str(a.tokens), "--expect", '"generated_text"'], stdout=subprocess.PIPE)
        return dict(json.loads(r.stdout), others=q.other, lost=streams * a.tokens - json.loads(r.stdout).get("tokens", 0))


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--double", default="tests/front/saker-double")
    p.add_argument("--loadgen", default="tests/bench/loadgen")
    p.add_argument("--web", default="nginx,lighttpd,apache")
    p.add_argument("--streams", type=int, default=1000)
    p.add_argument("--rate", type=int, default=50, help="tokens a second of each stream")
    p.add_argument("--tokens", type=int, default=200)
    p.add_argument("--groups", default="20,1", help="groups of streams that get their tokens one after the other; 1: all at once")
    a = p.parse_args()
    rows = [(1, 1)] + [(a.streams, int(g)) for g in a.groups.split(",")]
    lost = 0
    print("%-9s %7s %6s %8s %6s %6s %9s %8s %8s %8s %7s" % ("", "streams", "groups", "tokens", "lost", "errors", "tokens/s", "p50 ms", "p99 ms",
                                                            "max ms", "others"))
    for kind in a.web.split(","):
        for streams, groups in rows:
            try:
                r = measure(a, kind, streams, groups)
            except Skip as e:
                print("%-9s %s" % (kind, e))
                break
            p50, p99 = WANTED[kind]
            over = r["delay_p50_ms"] >= p50 if streams == 1 else p99 and r["delay_p99_ms"] >= p99
            lost += r["lost"] + r["errors"]
            print("%-9s %7d %6d %8d %6d %6d %9.0f %8.3f %8.3f %8.3f %6.0f%%%s" %
                  (kind, streams, groups, r["tokens"], r["lost"], r["errors"], r["tok_s"], r["delay_p50_ms"], r["delay_p99_ms"],
                   r["delay_max_ms"], 100 * r["others"], "   over what is wanted" if over else ""), flush=True)
    return 1 if lost else 0


if __name__ == "__main__":
    sys.exit(main())
