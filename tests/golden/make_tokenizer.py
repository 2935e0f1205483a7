#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Goldens of the tokenizer: make_tokenizer.py MODEL.gguf OUT_DIR

writes tokenizer-smollm2.txt (ids of hard strings by the Hugging Face tokenizers library) and pretok.txt (words of all
pre-tokenisers we have, every code point included). Needs tokenizers, gguf, numpy. test_tokenizer.c reads both.

The tokenizer is built by hand as SmolLM2's tokenizer.json says (Digits one by one, then ByteLevel; no normalizer, no unknown token): the
GGUF conversion of transformers 5.23 leaves the Digits step out and gives other ids for numbers.

tokenizer-smollm2.txt, columns divided by tabs:
    parse|plain  REPEAT  TEXT  IDS  =|DECODED     text TEXT * REPEAT has these ids (plain: special tokens stay text)
    decode|skip  1       TEXT  IDS                these ids decode to TEXT (skip: without special tokens)
TEXT is UTF-8 with \\\\ \\t \\n \\r \\0 and \\xNN; IDS are ID or ID*COUNT.
pretok.txt:
    RULE  words   TEXT   LENGTHS                  in bytes, LENGTH or LENGTH*COUNT
    RULE  points  FIRST  HASH  COUNT              FNV-1a over the lengths (32 bits, little endian) of probe(FIRST .. FIRST + 0x3fff)
"""
import random
import sys

import gguf

from hard_strings import HARD, LONG, WORDS
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers as P

MODEL, OUT = sys.argv[1:3]
R = random.Random(2026)


def esc(s):
    out = []
    for c in s:
        n = ord(c)
        if c == "\\":
            out.append("\\\\")
        elif c in "\t\n\r\0":
            out.append({"\t": "\\t", "\n": "\\n", "\r": "\\r", "\0": "\\0"}[c])
        elif n < 32 or n == 127:
            out.append("\\x%02x" % n)
        elif n in (0x85, 0x2028, 0x2029, 0xFEFF, 0x200E, 0x200F) or 0x202A <= n <= 0x202E or 0x2066 <= n <= 0x2069:
            out.append("".join("\\x%02x" % b for b in c.encode()))     # what editors and diffs stumble over
        else:
            out.append(c)
    return "".join(out)


def runs(v):
    out, i = [], 0
    while i < len(v):
        j = i
        while j < len(v) and v[j] == v[i]:
            j += 1
        out.append(str(v[i]) if j == i + 1 else "%d*%d" % (v[i], j - i))
        i = j
    return " ".join(out)


def smollm2():
    f = gguf.GGUFReader(MODEL).fields
    tokens = f["tokenizer.ggml.tokens"].contents()
    types = f["tokenizer.ggml.token_type"].contents()
    merges = [tuple(m.split(" ")) for m in f["tokenizer.ggml.merges"].contents()]
    t = Tokenizer(models.BPE({x: i for i, x in enumerate(tokens)}, merges, fuse_unk=False, byte_fallback=False))
    t.pre_tokenizer = P.Sequence([P.Digits(individual_digits=True), P.ByteLevel(add_prefix_space=False, use_regex=True)])
    t.decoder = decoders.ByteLevel()
    t.add_special_tokens([AddedToken(x, normalized=False, special=True) for x, k in zip(tokens, types) if k == 3])
    return t, [x for x, k in zip(tokens, types) if k == 3], len(tokens)


def randoms(specials):
    pools = [list("abcdefghijklmnopqrstuvwxyz     "), list("etaoin shrdlu'.,\n"), list(" \t\n\r\u00a0\u3000ab"), list("0123456789 .,-a"), list("'sdtremvl S"),
             [chr(c) for c in range(32, 127)], [chr(c) for c in range(0, 256)], [chr(c) for c in range(0x300, 0x370)] + list("aeiou "),
             [chr(c) for c in range(0x4E00, 0x4F00)] + list("，。 a1"), [chr(c) for c in range(0x600, 0x700)] + [" "],
             [chr(c) for c in range(0x1F300, 0x1F700)] + ["\u200d", "\ufe0f", " ", "x"], [chr(c) for c in range(0x20, 0x3000)],
             [chr(c) for c in range(0x1C00, 0x2100)], [chr(c) for c in range(0x10000, 0x20000)], WORDS, [w + " " for w in WORDS], [" " + w for w in WORDS] + specials]
    for i in range(340):
        pool = pools[i % len(pools)]
        yield "".join(R.choice(pool) for _ in range(R.randint(1, 60)))
    for _ in range(60):     # any code point
        yield "".join(chr(R.choice([R.randint(0, 0xD7FF), R.randint(0xE000, 0x10FFFF), R.randint(32, 126)])) for _ in range(R.randint(1, 20)))


def tokenizer_file():
    t, specials, vocab = smollm2()
    seen = set()
    with open(OUT + "/tokenizer-smollm2.txt", "w", encoding="utf-8", newline="\n") as f:
        for s, n in [(s, 1) for s in HARD] + LONG + [(s, 1) for s in randoms(specials)]:
            if (s, n) in seen:
                continue
            seen.add((s, n))
            for kind in ("parse", "plain"):
                t.encode_special_tokens = kind == "plain"
                ids = t.encode(s * n, add_special_tokens=False).ids
                if kind == "plain":
                    if ids == last:
                        continue
                last = ids
                back = t.decode(ids, skip_special_tokens=False)
                f.write("%s\t%d\t%s\t%s\t%s\n" % (kind, n, esc(s), runs(ids), "=" if back == s * n else esc(back)))
        for i in range(120):
            ids = [R.randrange(vocab) if R.random() < 0.9 else R.randrange(17) for _ in range(R.randint(1, 12))]
            f.write("decode\t1\t%s\t%s\n" % (esc(t.decode(ids, skip_special_tokens=False)), runs(ids)))
            f.write("skip\t1\t%s\t%s\n" % (esc(t.decode(ids, skip_special_tokens=True)), runs(ids)))


BYTES = P.ByteLevel(add_prefix_space=False, use_regex=False)
GPT2 = P.ByteLevel(add_prefix_space=False, use_regex=True)
SHORT = "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|"
TAIL = "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"
RULES = {
    "gpt-2": GPT2,
    "mpt": GPT2,                        # and NFC before it, as in command-r
    "smollm": P.Sequence([P.Digits(individual_digits=True), GPT2]),
    "command-r": P.Sequence([P.Digits(individual_digits=True), GPT2]),
    "llama-bpe": P.Sequence([P.Split(Regex(SHORT + "\\p{N}{1,3}" + TAIL), "isolated"), BYTES]),
    "qwen2": P.Sequence([P.Split(Regex(SHORT + "\\p{N}" + TAIL), "isolated"), BYTES]),
    "bloom": P.Sequence([P.Split(Regex(" ?[^(\\s|[.,!?…。，、।۔،])]+"), "isolated"), BYTES]),
    "falcon": P.Sequence([P.Punctuation("contiguous"), GPT2, P.Digits(individual_digits=False), P.Split(Regex("[0-9][0-9][0-9]"), "isolated")]),
}


def probe(first):
    return "".join("a%sb %s%s \n%s1%s." % (c, c, c, c, c) for c in map(chr, (n for n in range(first, first + 0x4000) if not 0xD800 <= n < 0xE000)))


def fnv(lengths):
    h = 0xCBF29CE484222325
    for n in lengths:
        for b in n.to_bytes(4, "little"):
            h = (h ^ b) * 0x100000001B3 & 0xFFFFFFFFFFFFFFFF
    return h


def pretok_file():
    strings = [s for s in HARD if s and "<|" not in s] + [s for i, s in enumerate(randoms([])) if i % 4 == 0]
    with open(OUT + "/pretok.txt", "w", encoding="utf-8", newline="\n") as f:
        for name, rule in RULES.items():
            lengths = lambda s: [len(w) for w, _ in rule.pre_tokenize_str(s)]   # after ByteLevel a character is a byte
            if name not in ("command-r", "mpt"):
                for s in strings:
                    f.write("%s\twords\t%s\t%s\n" % (name, esc(s), runs(lengths(s))))
            for first in range(0, 0x110000, 0x4000):
                v = lengths(probe(first)) if probe(first) else []
                f.write("%s\tpoints\t%x\t%016x\t%d\n" % (name, first, fnv(v), len(v)))


tokenizer_file()
pretok_file()
