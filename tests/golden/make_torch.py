#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""
Maker of torch.txt: what torch's CPU generator draws, as text-generation-inference draws it. Needs torch.

    noise SEED N COUNT HASH         COUNT times torch.empty(N).exponential_(1) from one generator; the hash of all their bits
    draw SEED V TEMPERATURE TOP_K ROW0 IDS...
                                    argmax(softmax(logits / TEMPERATURE) / noise), a row of logits for each id; top_k 0: all.
                                    Row k has the logits of make_sampling.py's formula with the seed ROW0 + k, in steps of 1/1024
    green KEY PREVIOUS V GAMMA LEN HASH FIRST...
                                    the watermark's list: the first int(V * GAMMA) of torch.randperm(V) of a generator seeded
                                    with KEY * PREVIOUS; its length, the hash of the ids as int32, the first ids

Hashes are FNV-1a of 64 bits over little-endian bytes. Run: make_torch.py > torch.txt
"""
import numpy as np
import torch

KEY = 15485863


def fnv(data):
    h = 0xcbf29ce484222325
    for b in data:
        h = (h ^ b) * 0x100000001b3 % 2**64
    return f"{h:016x}"


def logits(seed, V):
    x, out = seed, []
    for _ in range(V):
        x = (x * 6364136223846793005 + 1442695040888963407) % 2**64
        out.append(((x >> 33) % 8193 - 4096) / 1024)
    return torch.tensor(out, dtype=torch.float32)


def noise(seed, n, count):
    g = torch.Generator("cpu")
    g.manual_seed(seed)
    q = b"".join(torch.empty(n).exponential_(1, generator=g).numpy().astype("<f4").tobytes() for _ in range(count))
    print("noise", seed, n, count, fnv(q))


def draw(seed, V, temperature, top_k, row0, count):
    g = torch.Generator("cpu")
    g.manual_seed(seed)
    ids = []
    for k in range(count):
        x = logits(row0 + k, V) / temperature
        if top_k:
            x = x.masked_fill(x < torch.topk(x, top_k)[0][-1], -float("inf"))
        p = torch.softmax(x, -1)
        q = torch.empty_like(p).exponential_(1, generator=g)
        score = p / q
        best = torch.topk(score, 2)[0]
        # Where two come within rounding of each other, which of them wins is an accident of somebody's exp().
        if (best[0] - best[1]) / best[0] < 1e-5:
            raise SystemExit(f"too close to call: seed {seed}, V {V}, draw {k}")
        ids.append(int(score.argmax()))
    print("draw", seed, V, temperature, top_k, row0, *ids)


def green(previous, V, gamma):
    g = torch.Generator("cpu")
    g.manual_seed(KEY * previous)
    ids = torch.randperm(V, generator=g)[: int(V * gamma)].numpy().astype("<i4")
    print("green", KEY, previous, V, gamma, len(ids), fnv(ids.tobytes()), *ids[:8])


def main():
    print(f"# made by make_torch.py with torch {torch.__version__}, numpy {np.__version__}")
    for seed in (0, 1, 42, 2**32 - 1, 2**32 + 5, 2**63, 2**64 - 1):
        for n, count in ((1, 700), (7, 5), (8, 5), (15, 3), (16, 40), (17, 3), (1023, 2), (1024, 2), (4097, 2)):
            noise(seed, n, count)
    for n in (32000, 50257, 151936):
        noise(9, n, 1)
    row = 1000
    for seed in (0, 1, 42, 2**32 + 1, 2**64 - 1):
        for V, temperature, top_k, count in ((5, 1.0, 0, 40), (16, 0.7, 0, 40), (300, 1.0, 0, 40), (300, 1.3, 10, 40),
                                             (1024, 0.5, 0, 20), (8192, 1.0, 50, 6)):
            draw(seed, V, temperature, top_k, row, count)
            row += 100
    draw(7, 50257, 0.9, 0, row, 4)
    for V in (1, 2, 3, 10, 50, 300, 304, 1000, 4096, 32000, 32128, 49152, 50257, 65024, 151936, 250880):
        for previous in (0, 1, 2, 277, 49151, 250000, 2**31 - 1):
            green(previous, V, 0.5)
        green(11, V, 0.25)
    for gamma in (0.1, 0.3, 0.7, 0.9, 1.0, 0.001):
        green(5, 1000, gamma)


if __name__ == "__main__":
    main()
