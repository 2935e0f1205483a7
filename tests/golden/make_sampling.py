#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""
Maker of sampling.txt: every sampling rule on fixed logits, in numpy with float64, as its formula stands.

The logits come from a formula that the test has too (steps of 1/1024, so that float32 holds them exactly); a case is

    case NAME
    row SEED V SCALE PROMPT_LEN IDS...      scale: logits are n * SCALE / 1024; ids: the history
    set PARAMETER VALUE                     any number; bias ID VALUE
    kept ID:PROBABILITY ...                 by rising id

A cut that hangs on less than 1e-5 ends the maker, since there float32 may differ. Run: make_sampling.py > sampling.txt
"""
import numpy as np

MARGIN = 1e-5


def logits(seed, V, scale):
    x, out = seed, []
    for _ in range(V):
        x = (x * 6364136223846793005 + 1442695040888963407) % 2**64
        out.append(((x >> 33) % 8193 - 4096) * scale / 1024)
    return np.array(out, dtype=np.float64)


def softmax(x):
    e = np.exp(x - x.max())
    return e / e.sum()


def near(a, b):
    if abs(a - b) < MARGIN:
        raise SystemExit(f"too close to call: {a} and {b}")


def logit_bias(x, p, prompt, answer):
    for i, b in p.get("bias", {}).items():
        x[i] += np.float64(np.float32(b))
    return x


def repetition_penalty(x, p, prompt, answer):
    seen = np.unique(np.array(prompt + answer, dtype=np.int64))
    x[seen] = np.where(x[seen] < 0, x[seen] * p["repetition_penalty"], x[seen] / p["repetition_penalty"])
    return x


def counts(V, answer):
    return np.bincount(np.array(answer, dtype=np.int64), minlength=V)


def frequency_penalty(x, p, prompt, answer):
    return x - p["frequency_penalty"] * counts(len(x), answer)


def frequency_share(x, p, prompt, answer):
    return x - p["frequency_share"] * counts(len(x), prompt + answer) / len(prompt + answer)


def presence_penalty(x, p, prompt, answer):
    return x - p["presence_penalty"] * (counts(len(x), answer) > 0)


def temperature(x, p, prompt, answer):
    return x / p["temperature"]


def top_k(x, p, prompt, answer):
    kth = np.sort(x)[-min(p["top_k"], len(x))]
    for v in x[(x != kth) & np.isfinite(x)]:
        near(v, kth)
    return np.where(x < kth, -np.inf, x)


def top_p(x, p, prompt, answer):
    order = np.lexsort((-np.arange(len(x)), x))             # rising; of equals the higher id goes first
    cum = np.cumsum(softmax(x)[order])
    for c in cum[:-1]:
        if c > 0:
            near(c, 1 - p["top_p"])
    drop = order[:-1][cum[:-1] <= 1 - p["top_p"]]
    x = x.copy()
    x[drop] = -np.inf
    return x


def typical_p(x, p, prompt, answer):
    pr = softmax(x)
    live = pr > 0
    H = -(pr[live] * np.log(pr[live])).sum()
    dev = np.where(live, np.abs(-np.log(np.where(live, pr, 1)) - H), np.inf)
    order = np.argsort(dev, kind="stable")
    cum = np.cumsum(pr[order])
    for c in cum:
        near(c, p["typical_p"])
    last = min(int((cum < p["typical_p"]).sum()), len(x) - 1)
    limit = dev[order[last]]
    for d in dev[(np.abs(dev - limit) > 1e-12) & np.isfinite(dev)]:
        near(d, limit)
    return np.where(dev > limit + 1e-12, -np.inf, x)


def min_p(x, p, prompt, answer):
    pr = softmax(x)
    floor = p["min_p"] * pr.max()
    for v in pr[pr > 0]:
        if p["min_p"] < 1:
            near(v / pr.max(), p["min_p"])
    return np.where(pr < floor - (1e-12 if p["min_p"] == 1 else 0), -np.inf, x)


ORDER = [("bias", logit_bias), ("repetition_penalty", repetition_penalty), ("frequency_penalty", frequency_penalty), ("frequency_share", frequency_share),
         ("presence_penalty", presence_penalty), ("temperature", temperature), ("top_k", top_k), ("top_p", top_p),
         ("typical_p", typical_p), ("min_p", min_p)]

ALONE = [("bias", [{0: 100.0, 3: -100.0}, {1: 0.5, 2: -1.25, 11: 3.0}, {4: 99.5}]),
         ("repetition_penalty", [1.3, 0.7, 2.0]), ("frequency_penalty", [0.5, -0.5, 2.0, -2.0]), ("frequency_share", [0.7, -0.3, 2.0, -2.0]),
         ("presence_penalty", [0.5, -0.75, 2.0, -2.0]), ("temperature", [0.3, 0.7, 1.5, 5.0]), ("top_k", [1, 3, 10, 500]),
         ("top_p", [0.05, 0.3, 0.9, 0.99]), ("typical_p", [0.05, 0.3, 0.9, 0.99]), ("min_p", [0.02, 0.3, 0.9, 1.0])]
TOGETHER = [
    {"frequency_penalty": 0.7, "presence_penalty": 0.4},
    {"frequency_penalty": -1.0, "presence_penalty": 1.5, "repetition_penalty": 1.2},
    {"frequency_share": 1.6, "repetition_penalty": 1.2, "temperature": 0.6, "top_k": 8},
    {"bias": {0: 2.5, 5: -3.0, 7: 1.0}, "repetition_penalty": 1.5},
    {"bias": {1: 1.5, 2: -1.5}, "frequency_penalty": 0.3, "temperature": 0.8},
    {"temperature": 0.7, "top_k": 7, "top_p": 0.8},
    {"temperature": 1.3, "top_k": 9, "typical_p": 0.7},
    {"temperature": 0.9, "top_p": 0.95, "typical_p": 0.8},
    {"typical_p": 0.3, "min_p": 0.5},
    {"top_p": 0.9, "min_p": 0.2},
    {"temperature": 2.0, "min_p": 0.15},
    {"bias": {2: 4.0, 6: -4.0}, "repetition_penalty": 1.1, "frequency_penalty": 0.2, "presence_penalty": 0.6,
     "temperature": 0.8, "top_k": 12, "top_p": 0.97, "typical_p": 0.9, "min_p": 0.03},
]
ROWS = [(1, 5, 1.0), (2, 40, 1.0), (3, 80, 2.0), (4, 60, 512.0)]    # the last has ties: steps of one half
HISTORY = [1, 2, 2, 4, 3, 1, 2, 0, 3, 3, 3]


def run(name, row, params):
    seed, V, scale = row
    tied = scale == 512.0
    x = logits(seed, V, 1.0 if tied else scale)
    if tied:
        x = np.floor(x * 2) / 2
    x = x.astype(np.float32).astype(np.float64)
    params = {k: v if k in ("bias", "top_k") else float(np.float32(v)) for k, v in params.items()}
    for key, rule in ORDER:
        if key in params:
            x = rule(x, params, HISTORY[:4], HISTORY[4:])
    pr = softmax(x)
    print(f"case {name}")
    print(f"row {seed} {V} {scale:g} 4", *HISTORY)
    for key, value in params.items():
        for i, b in (value.items() if key == "bias" else ()):
            print(f"bias {i} {b:.9g}")
        if key != "bias":
            print(f"set {key} {value:.9g}")
    print("kept", *(f"{i}:{pr[i]:.7g}" for i in range(V) if x[i] > -np.inf))


def main():
    print(f"# made by make_sampling.py with numpy {np.__version__}")
    for row in ROWS:
        sets = [{k: v} for k, values in ALONE for v in values] + TOGETHER
        for params in sets:
            if "bias" in params and max(params["bias"]) >= row[1]:
                continue
            name = ", ".join(f"{k} {v}" for k, v in params.items())
            run(f"{row[1]} scores: {name}", row, params)


if __name__ == "__main__":
    main()
