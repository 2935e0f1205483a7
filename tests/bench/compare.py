#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""saker beside llama.cpp, in one run, with what the machine gives in the same minutes.

  LLAMA_BIN_DIR=DIR compare.py [--model FILE] [--build DIR] [--rounds 5] [--only TEXT] [--json FILE]

DIR holds llama-bench, llama-server, llama-quantize (and llama-batched-bench, not needed). Without LLAMA_BIN_DIR saker is
measured alone. Every round runs every measurement of both, one after the other, so that a slow minute hits both; the table
shows medians over rounds, and the median of the rounds' ratios. BENCH.md says what each line means. Standard library only.
"""
import argparse, contextlib, json, os, random, re, signal, socket, statistics, subprocess, sys, tempfile, time
import http.client

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
sys.dont_write_bytecode = True
from quiet import Quiet, children_of  # noqa: E402

WORDS = ("time people year way day man thing woman life child world school state family student group country problem hand "
         "part place case week company system program question work government number night point home water room mother "
         "area money story fact month lot right study book eye job word business issue").split()
PROMPT_TOKENS = ANSWER_TOKENS = 64
CORES = len(os.sched_getaffinity(0))


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def get_status(port, path):
    c = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        c.request("GET", path)
        return c.getresponse().status
    finally:
        c.close()


def kib(pid, key):
    with open(f"/proc/{pid}/status") as f:
        for line in f:
            if line.startswith(key + ":"):
                return int(line.split()[1])
    return 0


class Samples:
    """name -> values, one a round; and how busy others were during each."""

    def __init__(self):
        self.values, self.other = {}, []

    def add(self, name, value):
        self.values.setdefault(name, []).append(value)

    def ratio(self, ours, theirs):
        """The median of the rounds' ratios: what slows the machine for a minute slows both samples of that round."""
        a, b = self.values.get(ours, []), self.values.get(theirs, [])
        if len(a) == len(b):
            both = [x / y for x, y in zip(a, b) if x is not None and y]
            return statistics.median(both) if both else None
        a, b = self.median(ours), self.median(theirs)
        return a / b if a is not None and b else None

    def median(self, name):
        v = [x for x in self.values.get(name, []) if x is not None]
        return statistics.median(v) if v else None


class Bench:
    def __init__(self, a, work):
        self.a, self.work, self.s = a, work, Samples()
        self.saker = os.path.join(a.build, "saker")
        self.llama = os.environ.get("LLAMA_BIN_DIR")
        self.model, self.peer_model = a.model, None
        self.rng = random.Random(1)
        self.stack = contextlib.ExitStack()

    def wanted(self, name):
        only = self.a.only.split(",") if self.a.only else []
        if name == "streams":
            return not only or any(o in ("streams", "c1", "c8", "c32") for o in only)
        if name in ("c1", "c8", "c32") and "streams" in only:
            return True
        return not only or name in only

    def run(self, *command, pids=(), timeout=300):
        """Standard output of a command; remembers how busy others were. None (and a word) when it fails."""
        with Quiet(pids) as q:
            r = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=timeout)
        self.s.other.append(q.other)
        if r.returncode:
            print(f"# failed ({r.returncode}): {' '.join(command)[:160]}\n# {r.stderr.decode(errors='replace')[-400:]}",
                  file=sys.stderr)
            return None
        return r.stdout.decode()

    # ---- the machine, and the engines alone ----

    def limits(self):
        for t in sorted({1, min(2, CORES)}):
            out = self.run(os.path.join(self.a.build, "tests/bench/limits"), str(t), "512", "0.05")
            if out:
                self.s.add(f"memory {t}", json.loads(out)["memory_GBps"])

    def saker_bench(self, prefix, tests, *flags):
        out = self.run(self.saker, "bench", "--model", self.model, "--tests", tests, "--runs", "1", "--json", *flags)
        if out:
            j = json.loads(out)
            for t in tests.split(","):
                self.s.add(f"{prefix} {t}", j[t]["tok_s"])

    def llama_bench(self, prefix, threads):
        out = self.run(os.path.join(self.llama, "llama-bench"), "-m", self.peer_model, "-p", "512", "-n", "128",
                       "-t", str(threads), "-r", "1", "-o", "json")
        for r in json.loads(out) if out else []:
            self.s.add(f"{prefix} " + ("pp512" if r["n_prompt"] else "tg128"), r["avg_ts"])

    def engines(self):
        for t in sorted({1, min(2, CORES)}):
            self.saker_bench(f"saker t{t}", "pp512,tg128", "--threads", str(t))
            if self.llama:
                self.llama_bench(f"llama t{t}", t)

    def neighbour(self):
        """Decode with all threads while another process keeps the last core busy."""
        p = subprocess.Popen([sys.executable, "-c", f"import os\nos.sched_setaffinity(0, {{{max(os.sched_getaffinity(0))}}})\n"
                              "while True: pass"])
        try:
            self.saker_bench("saker busy", "tg128")
            if self.llama:
                self.llama_bench("llama busy", CORES)
        finally:
            p.kill()
            p.wait()

    # ---- servers ----

    def start(self, command, port, path):
        log = open(os.path.join(self.work, f"{port}.log"), "wb")
        p = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)

        def stop():
            p.terminate()
            try:
                p.wait(20)
            except subprocess.TimeoutExpired:
                p.kill()
                p.wait()
        self.stack.callback(stop)
        end = time.monotonic() + 120
        while time.monotonic() < end and p.poll() is None:
            try:
                if get_status(port, path) == 200:
                    return p
            except OSError:
                pass
            time.sleep(.02)
        sys.exit(f"not ready: {' '.join(command)}\n" + open(log.name).read()[-2000:])

    def servers(self):
        self.port = free_port()
        self.up = self.start([self.saker, "up", "--model", self.model, "--port", str(self.port), "--web", "nginx"], self.port,
                             "/readyz")
        if self.llama:
            self.peer_port = free_port()
            self.peer = self.start([os.path.join(self.llama, "llama-server"), "-m", self.peer_model, "-t", str(CORES), "-tb",
                                    str(CORES), "-np", "32", "-c", str(32 * 512), "--host", "127.0.0.1", "--port",
                                    str(self.peer_port)], self.peer_port, "/health")

    def warm_up(self):
        """Both servers touch their memory once before anything is measured, as `saker bench` and `llama-bench` do."""
        self.load("saker", 32)
        if self.llama:
            self.load("llama", 32)
        self.s = Samples()

    def bodies(self, api, n):
        path = os.path.join(self.work, f"bodies-{api}")
        with open(path, "w") as f:
            for _ in range(n):
                prompt = " ".join(self.rng.choice(WORDS) for _ in range(PROMPT_TOKENS))
                if api == "saker":
                    b = {"inputs": prompt, "parameters": {"max_new_tokens": ANSWER_TOKENS, "ignore_eos": True, "details": True}}
                else:
                    b = {"prompt": prompt, "n_predict": ANSWER_TOKENS, "stream": True, "temperature": 0, "ignore_eos": True,
                         "cache_prompt": False}
                f.write(json.dumps(b) + "\n")
        return path

    def load(self, api, streams):
        """The rate clients see, and the server's own: the load generator shares its cores, its CPU time is taken off."""
        n = max(4, 2 * streams)
        port, path, expect, p = ((self.port, "/generate_stream", f'"generated_tokens":{ANSWER_TOKENS}', self.up)
                                 if api == "saker" else
                                 (self.peer_port, "/completion", f'"tokens_predicted":{ANSWER_TOKENS}', self.peer))
        out = self.run(os.path.join(self.a.build, "tests/bench/loadgen"), "--port", str(port), "--path", path, "--bodies",
                       self.bodies(api, n), "-c", str(streams), "-n", str(n), "--tokens", str(ANSWER_TOKENS), "--expect",
                       expect, pids=children_of(p.pid))
        if not out:
            return
        j = json.loads(out)
        self.s.add(f"{api} c{streams}", j["tok_s"])
        self.s.add(f"{api} c{streams} ttft", j["ttft_p50_ms"])
        self.s.add(f"{api} c{streams} itl", j["itl_p95_ms"])
        self.s.add(f"{api} c{streams} own", j["tok_s"] * j["wall_s"] / max(j["wall_s"] - j["cpu_s"] / CORES, 1e-9))

    def streams(self):
        for c in (1, 8, 32):
            if self.wanted(f"c{c}"):
                self.saker_bench("before", f"b{c}")
                self.load("saker", c)
                self.saker_bench("after", f"b{c}")
                if self.llama:
                    self.load("llama", c)
                ends = [self.s.values.get(f"{when} b{c}", [None])[-1] for when in ("before", "after")]
                if None not in ends:
                    self.s.add(f"saker b{c}", sum(ends) / 2)

    # ---- start and memory ----

    def first_token(self):
        """From exec to the first byte of text, files in the page cache."""
        for counted in (False, True):   # the first one warms the page cache and the machine's free huge pages
            begin = time.monotonic()
            p = subprocess.Popen([self.saker, "generate", "--model", self.model, "--max-new-tokens", "2", "--ignore-eos",
                                  "The capital of France is"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
            first = os.read(p.stdout.fileno(), 1)
            seconds = time.monotonic() - begin
            p.stdout.close()
            p.wait()
            if first and counted:
                self.s.add("saker first", seconds)

    def memory(self):
        """Resident bytes of the serving process beyond weights and the KV pool, at the peak, after the load."""
        plan = json.loads(self.run(self.saker, "info", "--model", self.model, "--json") or "{}")
        pids = [p for p in children_of(self.up.pid) if "saker" in open(f"/proc/{p}/comm").read()]
        if not plan or not pids:
            return
        pid = max(pids, key=lambda p: kib(p, "VmHWM"))
        peak = kib(pid, "VmHWM") * 1024
        kv = self.resident_pool(pid)
        self.s.add("saker weights", plan["weights_bytes"] / 2**20)
        self.s.add("saker kv", kv / 2**20)
        self.s.add("saker beyond", (peak - plan["weights_bytes"] - kv) / 2**20)
        if self.llama:
            self.s.add("llama rss", kib(self.peer.pid, "VmHWM") / 1024)
        self.s.add("saker rss", peak / 2**20)

    @staticmethod
    def resident_pool(pid):
        """Resident bytes of the KV pool: the largest mapping, for it is taken whole at start and many times the weights."""
        size = rss = most = 0
        with open(f"/proc/{pid}/smaps") as f:
            for line in f:
                m = re.match(r"(Size|Rss): +(\d+) kB", line)
                if m and m[1] == "Size":
                    size = int(m[2])
                elif m and size > most:
                    most, rss = size, int(m[2]) * 1024
        return rss

    # ---- all of it ----

    def quantize(self):
        if not self.llama:
            return
        self.peer_model = os.path.join(self.a.cache, os.path.basename(self.model) + ".Q4_0.gguf")
        if not os.path.exists(self.peer_model):
            part = self.peer_model + ".part"
            subprocess.run([os.path.join(self.llama, "llama-quantize"), "--allow-requantize", self.model, part, "Q4_0"],
                           check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            os.rename(part, self.peer_model)

    def all(self):
        self.quantize()
        steps = [("limits", self.limits), ("engines", self.engines), ("neighbour", self.neighbour),
                 ("first", self.first_token), ("streams", self.streams)]
        with self.stack:
            if self.wanted("streams") or self.wanted("memory"):
                self.servers()
                self.warm_up()
            for i in range(self.a.rounds):
                for name, step in steps:
                    if self.wanted(name):
                        print(f"# round {i + 1}: {name}", file=sys.stderr)
                        step()
                print(f"# round {i + 1} of {self.a.rounds} done", file=sys.stderr)
            if self.wanted("memory"):
                self.memory()


# name of the line, saker's sample, what it is held against, unit, the floor of the ratio (or ceiling of the value)
ROWS = [
    ("memory read, 1 thread", "memory 1", None, "GB/s", ""),
    ("memory read, 2 threads", "memory 2", None, "GB/s", ""),
    ("prompt 512, 1 thread", "saker t1 pp512", "llama t1 pp512", "tok/s", ">= 1.5"),
    ("prompt 512, 2 threads", "saker t2 pp512", "llama t2 pp512", "tok/s", ">= 1.5"),
    ("decode 128, 1 thread", "saker t1 tg128", "llama t1 tg128", "tok/s", ">= 1.5"),
    ("decode 128, 2 threads", "saker t2 tg128", "llama t2 tg128", "tok/s", ">= 1.5"),
    ("1 stream 64+64, whole server", "saker c1", "llama c1", "tok/s", ""),
    ("8 streams 64+64, whole server", "saker c8", "llama c8", "tok/s", ""),
    ("32 streams 64+64, whole server", "saker c32", "llama c32", "tok/s", ">= 2"),
    ("1 stream: server to its engine", "saker c1 own", "saker b1", "tok/s", ">= 0.9"),
    ("8 streams: server to its engine", "saker c8 own", "saker b8", "tok/s", ">= 0.9"),
    ("32 streams: server to its engine", "saker c32 own", "saker b32", "tok/s", ">= 0.9"),
    ("32 streams, first token p50", "saker c32 ttft", "llama c32 ttft", "ms", ""),
    ("32 streams, gap p95", "saker c32 itl", "llama c32 itl", "ms", ""),
    ("decode, a neighbour on one core", "saker busy tg128", "llama busy tg128", "tok/s", ""),
    ("  the same to 1 thread in quiet", "saker busy tg128", "saker t1 tg128", "tok/s", ">= 0.8"),
    ("exec to first token, warm", "saker first", None, "s", "< 0.25"),
    ("memory beyond weights and KV", "saker beyond", None, "MiB", "< 50"),
    ("peak resident memory", "saker rss", "llama rss", "MiB", ""),
]


def verdict(value, rule):
    if not rule or value is None:
        return ""
    op, limit = rule.split()
    good = value >= float(limit) if op == ">=" else value < float(limit)
    return "met" if good else "MISSED"


def table(s, rounds):
    lines = ["| what | saker | beside | ratio | wanted | |", "| --- | ---: | ---: | ---: | --- | --- |"]
    for name, ours, theirs, unit, rule in ROWS:
        a, b = s.median(ours), s.median(theirs) if theirs else None
        if a is None:
            continue
        ratio = s.ratio(ours, theirs) if theirs else None
        judged = ratio if theirs else a
        lines.append(f"| {name} | {a:.4g} {unit} | {f'{b:.4g} {unit}' if b else ''} | {f'{ratio:.2f}' if ratio else ''} | "
                     f"{rule} | {verdict(judged, rule)} |")
    other = statistics.median(s.other) if s.other else 0
    lines.append(f"\nMedians of {rounds} interleaved rounds on {CORES} cores; other processes used {other:.1%} of them in the "
                 f"median measurement, {max(s.other, default=0):.1%} in the worst.")
    return "\n".join(lines)


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    cache = os.environ.get("SAKER_MODELS", os.path.expanduser("~/.cache/saker"))
    p.add_argument("--model", default=os.path.join(cache, "SmolLM2-135M-Instruct.Q4_1.gguf"))
    p.add_argument("--build", default=".", help="where saker and tests/bench/loadgen were built")
    p.add_argument("--cache", default=cache, help="where the peer's requantised model is kept")
    p.add_argument("--rounds", type=int, default=5)
    p.add_argument("--only", help="limits, engines, neighbour, first, streams, c1, c8, c32, memory; separated by commas")
    p.add_argument("--json", help="write all samples to this file")
    a = p.parse_args()
    for f in (a.model, os.path.join(a.build, "saker"), os.path.join(a.build, "tests/bench/loadgen")):
        if not os.path.exists(f):
            print(f"SKIP bench: {f} is not there")
            return 77
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with tempfile.TemporaryDirectory(prefix="saker-bench-") as work:
        b = Bench(a, work)
        try:
            b.all()
        except KeyboardInterrupt:
            print("# stopped: the table holds what was measured until then", file=sys.stderr)
    print(table(b.s, a.rounds))
    if a.json:
        with open(a.json, "w") as f:
            json.dump({"cores": CORES, "rounds": a.rounds, "other": b.s.other, "samples": b.s.values}, f, indent=1)
    return 0


if __name__ == "__main__":
    sys.exit(main())
