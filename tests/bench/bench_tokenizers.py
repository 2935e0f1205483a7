#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Tokenizing beside the Hugging Face library, one thread each, in alternating runs: bench_tokenizers.py TOKDUMP [--mb N] [--runs N] [NAME...]

The text is made here, the same for the same tree: prose of invented words in many scripts, as often as words are (Zipf), the sources of
this tree, numbers, runs of blanks, emoji. Vocabularies are real ones, of tests/golden/vocabularies.py, one of each kind. Three things
are measured: the whole text as one string, each line as a string of its own, and opening the file. Of the library the fastest way
counts: encode_batch_fast (no offsets), in one call. Ratios are above 1 where saker is faster. TOKDUMP is tests/golden/tokdump of
a build with the flags that users get. Times are the process's own processor time, so that a neighbour costs neither side much.
"""
import argparse
import glob
import os
import random
import re
import statistics
import subprocess
import sys

os.environ["TOKENIZERS_PARALLELISM"] = "false"
os.environ["RAYON_NUM_THREADS"] = "1"
TREE = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, TREE + "/tests/golden")
import vocabularies  # noqa: E402

KINDS = [("byte-level BPE, GPT-2's pattern", "gpt2"), ("byte-level BPE, Llama 3's pattern", "llama3"), ("byte-level BPE, steps", "deepseek-v4"),
         ("SentencePiece BPE, byte fallback", "llama2"), ("Unigram", "jurassic2-json"), ("WordPiece", "romanian")]
# Letters words are made of, and what a sentence ends with.
SCRIPTS = [("aeiouaeiourstlnmdkpbgvf", ". "), ("aeiouéèàçrstlnmdpvf", ". "), ("aeiouäöüßrstlnmdkgbhw", ". "), ("аеиоуырстлнмдкпбгв", ". "), ("αειουρστλνμδκπβγ", ". "),
           ("ابتثجحدرسشعفقكلمنهوي", "؟ "), ("אבגדהוזחטילמנספצקרשת", ". "), ("कखगचजटडतदनपबमयरलवसह", "। "), ("กขคงจชดตนบปพมยรลวสหอ", " "),
           ("가나다라마바사아자차하고노도로모보소오조", ". "), ("かきくけこさしすせそたちつてとなにのはひまみもやよらりるれろわをん", "。"), ("的一是不了人我在有他这中大来上个国和说们为子时道出而要于就下得可你年生", "。")]
EMOJI = "😀😂🎉👍🏽❤️🚀👩‍💻🇫🇷🤖✨"


class Prose:
    """Invented words of one script; the first ones come often."""
    def __init__(self, r, letters, end, spaced):
        self.words = ["".join(r.choice(letters) for _ in range(r.randint(1, 9 if spaced else 4))) for _ in range(8000)]
        self.weights = [1 / (i + 2) for i in range(len(self.words))]
        self.end, self.space = end, " " if spaced else ""

    def paragraph(self, r):
        w = r.choices(self.words, self.weights, k=r.randint(20, 120))
        for i in range(0, len(w), r.randint(7, 15)):
            w[i] = self.end + w[i].capitalize() if i else w[i].capitalize()
        return self.space.join(w).replace(" " + self.end, self.end) + self.end


def english(r):
    """The words of this tree's documents, as often as they are there."""
    text = " ".join(open(f, encoding="utf-8").read() for f in sorted(glob.glob(TREE + "/**/*.md", recursive=True)) + [TREE + "/tests/golden/text.txt"])
    words = [w for w in re.findall(r"[A-Za-z'-]+[.,;:]?", text)]
    return lambda: " ".join(words[(a := r.randrange(len(words) - 200)):a + r.randint(20, 120)]) + "."


def made(size):
    r = random.Random(2026)
    code = [x for f in sorted(glob.glob(TREE + "/engine/**/*.c", recursive=True) + glob.glob(TREE + "/tests/**/*.py", recursive=True)) for x in [open(f, encoding="utf-8").read()]]
    prose = [Prose(r, s, end, i not in (8, 10, 11)) for i, (s, end) in enumerate(SCRIPTS)]
    plain = english(r)
    out, have = [], 0
    while have < size:
        k = r.random()
        if k < 0.35:
            s = plain()
        elif k < 0.65:
            s = r.choice(prose).paragraph(r)
        elif k < 0.90:
            f = r.choice(code)
            a = r.randrange(max(1, len(f) - 1500))
            s = f[a:a + r.randint(300, 1500)]
        elif k < 0.94:
            s = " ".join(str(r.choice([r.randrange(10), r.randrange(10 ** 6), r.random(), r.randrange(1900, 2030)])) for _ in range(60))
        elif k < 0.97:
            s = "".join(r.choice([" ", "  ", "\t", "\n", " " * 17, "\n\n\n", "\t\t\t", "x"]) for _ in range(80))
        else:
            s = "".join(r.choice(EMOJI) + r.choice(["", " ", "ok "]) for _ in range(50))
        out.append(s)
        have += len(s.encode()) + 2
    return "\n\n".join(out).encode()[:size].decode(errors="ignore")


def ours(exe, at, path, lines):
    """(ms to open, ms to encode, ids)"""
    out = subprocess.run([exe, at, path] + (["lines"] if lines else []), stdout=subprocess.PIPE, text=True, check=True).stdout
    opened = re.search(r"opened in ([0-9.]+) ms", out)
    done = re.search(r"([0-9]+) ids, ([0-9.]+) ms", out)
    return float(opened[1]), float(done[2]), int(done[1])


def theirs(at, texts):
    """The same, in a process of its own, so that no cache is warm."""
    code = ("import sys, time\nfrom tokenizers import Tokenizer\na = time.process_time()\nt = Tokenizer.from_file(sys.argv[1])\nb = time.process_time()\n"
            "s = open(sys.argv[2], encoding='utf-8', newline='').read()\ns = s.split('\\n') if sys.argv[3] == 'lines' else [s]\nif s[-1] == '' and len(s) > 1:\n    s.pop()\n"
            "c = time.process_time()\ne = t.encode_batch_fast(s, add_special_tokens=False)\nd = time.process_time()\nprint((b - a) * 1e3, (d - c) * 1e3, sum(len(x) for x in e))")
    env = {**os.environ, "PYTHONPATH": vocabularies.CACHE + "/lib"}
    out = subprocess.run([sys.executable, "-c", code, at + "/tokenizer.json", texts[0], "lines" if texts[1] else "whole"], stdout=subprocess.PIPE, text=True, env=env, check=True).stdout.split()
    return float(out[0]), float(out[1]), int(out[2])


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("tokdump")
    p.add_argument("names", nargs="*")
    p.add_argument("--mb", type=float, default=10)
    p.add_argument("--runs", type=int, default=5)
    a = p.parse_intermixed_args()
    if not vocabularies.libraries():
        print("SKIP bench: the library cannot be installed")
        return 77
    path = vocabularies.CACHE + "/mixed-%g.txt" % a.mb
    text = made(int(a.mb * 1e6))
    with open(path, "w", encoding="utf-8", newline="") as f:
        f.write(text)
    print("| kind | vocabulary | tokens of the text | one string: saker MB/s | library MB/s | ratio | lines: saker | library | ratio | opening: saker ms | library ms | ratio |\n| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |")
    for kind, name in KINDS:
        if a.names and name not in a.names:
            continue
        at = vocabularies.directory(name)
        if not at:
            print("| %s | %s: cannot be fetched |" % (kind, name))
            continue
        vocabularies.library(at)
        beside = at + "/library" if os.path.exists(at + "/library") else at
        cells, opened, ids = [], ([], []), set()
        for lines in (False, True):
            mine, other = [], []
            for _ in range(a.runs):
                x, y = ours(a.tokdump, at, path, lines), theirs(beside, (path, lines))
                mine.append(x[1])
                other.append(y[1])
                opened[0].append(x[0])
                opened[1].append(y[0])
                ids |= {(lines, x[2]), (lines, y[2])}
            cells += ["%.1f" % (len(text.encode()) / 1e3 / statistics.median(v)) for v in (mine, other)]
            cells.append("%.2f" % statistics.median(y / x for x, y in zip(mine, other)))
        cells += ["%.0f" % statistics.median(v) for v in opened] + ["%.2f" % statistics.median(y / x for x, y in zip(*opened))]
        n = sorted(x[1] for x in ids if not x[0])
        print("| %s | %s | %s%s | %s |" % (kind, name, n[0], "" if len(ids) == 2 else " DIFFER", " | ".join(cells)), flush=True)
    print("\nMedians of %d alternating runs; load average %.1f on %d cores." % (a.runs, os.getloadavg()[0], os.cpu_count()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
