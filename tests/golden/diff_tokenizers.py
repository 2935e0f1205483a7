#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Random Unicode through the Hugging Face library and through `tokdump`: diff_tokenizers.py TOKDUMP SECONDS SEED [DIR...]

DIR: directories with a tokenizer.json or a SentencePiece model, default those of tests/golden/tokenizers. TOKDUMP is
tests/golden/tokdump of a build. Compared: ids with and without specials, their offsets, their text with and without specials, and what a stream
gives (beside.py); of a SentencePiece model the ids. Prints what differs, to be kept as strings of make_tokenizers.py; the last line
counts. Needs tokenizers, sentencepiece.
"""
import os
import random
import sys
import time

from beside import Library, Model, Ours, compare

HERE = os.path.dirname(os.path.abspath(__file__))
EXE, SECONDS, SEED = sys.argv[1], float(sys.argv[2]), int(sys.argv[3])
DIRS = sys.argv[4:] or [HERE + "/tokenizers/" + n for n in open(HERE + "/tokenizers/names.txt").read().split()]
R = random.Random(SEED)
POOLS = [(32, 126), (0, 0x2FF), (0x300, 0x36F), (0x370, 0x5FF), (0x600, 0x6FF), (0x900, 0xDFF), (0x1100, 0x11FF), (0x1E00, 0x1FFF), (0x2000, 0x2BFF), (0x3000, 0x30FF), (0x4E00, 0x9FFF), (0xAC00, 0xD7A3), (0xF900, 0xFFFF), (0x10000, 0x1FFFF),
         (0x1F300, 0x1FAFF), (0, 0x10FFFF)]
BITS = [" ", "  ", "\n", "a", "e", "the", "1", "12", "'s", "▁", "<s>", "</s>", "<mask>", "<unk>", "\u0301", "\u200d", ".", ",", "été", "<norm>", "a b", "word", "\u3099", "\ufe0f", "é", "=", "\t"]


def text():
    out = []
    few = R.sample(POOLS, 2)
    for _ in range(R.randint(1, 24)):
        k = R.random()
        if k < 0.4:
            out.append(R.choice(BITS))
        else:
            a, b = R.choice(few if k < 0.8 else POOLS)
            c = R.randint(a, b)
            out.append(chr(c) if not 0xD800 <= c < 0xE000 else "\ufffd")
    return "".join(out)


def main():
    pairs = []
    differ = done = 0
    for d in DIRS:
        o = Ours(EXE, d)
        if not o.opened:
            print(d, o.head)
            differ += 1
            continue
        pairs.append((o, (Library if os.path.exists(d + "/tokenizer.json") else Model)(d)))
    end = time.time() + SECONDS
    while time.time() < end:
        s = text()
        for o, t in pairs:
            n, finds = compare(o, t, s)
            done += n
            differ += len(finds)
            for f in finds:
                print("%s: %s" % (os.path.basename(o.path), f), flush=True)
    print("seed %d, %d tokenizers: %d comparisons, %d differ" % (SEED, len(pairs), done, differ))


main()
