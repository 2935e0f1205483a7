# SPDX-License-Identifier: Apache-2.0
"""One string through a tokenizer of saker and of the library, side by side: what diff_tokenizers.py and vocabularies.py share.

Streams: the library's is what a text-generation server makes of it. Two places in the ids are remembered; the text from the first to
the second has been given, and what the text from the first to the end has more is given next, unless it ends in U+FFFD. Ours may
give a character earlier or hold one longer (engine/text/text.h), so each must always be the beginning of the other. A decoder that
replaces over the borders of tokens makes the library take back what it gave; nothing is compared then.
"""
import json
import os
import re
import subprocess


def tried(f, *a, **k):
    """None: the library panics."""
    try:
        return f(*a, **k)
    except BaseException:
        return None


def streamed(decode, ids):
    """What each id adds, in bytes; None: the library panics, or takes back what it gave."""
    prefix = read = 0
    out = []
    for n in range(1, len(ids) + 1):
        old, new = decode(ids[prefix:read]), decode(ids[prefix:n])
        if old is None or new is None or not new.startswith(old.rstrip("\ufffd")):
            return None
        give = len(new) > len(old) and not new.endswith("\ufffd")
        out.append(new[len(old):].encode() if give else b"")
        if give:
            prefix, read = read, n
    return out


DROPPED = re.compile("(^|>)[\0-\x08\x0b\x0e-\x1f\x7f\x8f\x9f]")


class Lost:
    """
    Where the library loses count, as it leaves characters out: a BPE's unknown ones, and those that a Precompiled drops at the very
    beginning or right after a token.
    """
    def __init__(self, j):
        from tokenizers import pre_tokenizers
        m = j["model"]
        letters = pre_tokenizers.ByteLevel.alphabet()
        self.always = "merges" in m and m.get("unk_token") is None and not m.get("byte_fallback") and not all(c in m["vocab"] for c in letters)
        self.precompiled = "'Precompiled'" in repr(j.get("normalizer"))

    def __call__(self, s):
        return self.always or (self.precompiled and (s[:1] < " " or DROPPED.search(s) is not None))


def offsets(s, enc):
    """First byte and first after it of each token, for the library counts characters."""
    at = [0]
    for c in s:
        at.append(at[-1] + len(c.encode()))
    return [at[x] for o in enc.offsets for x in o]


class Ours:
    def __init__(self, exe, path):
        self.path = path
        self.p = subprocess.Popen([exe, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1)
        self.head = self.p.stdout.readline().strip()
        self.opened = self.head.startswith("OK")

    def ask(self, letter, rest):
        self.p.stdin.write(letter + " " + rest + "\n")
        return self.p.stdout.readline().strip()

    def encode(self, s, special):
        return self.ask("E" if special else "e", s.encode().hex())

    def offsets(self, s):
        return self.ask("O", s.encode().hex())

    def decode(self, ids, special):
        return self.ask("D" if special else "d", " ".join(map(str, ids)))

    def pieces(self, ids):
        return [b"" if x == "-" else bytes.fromhex(x) for x in self.ask("P", " ".join(map(str, ids))).split()]


class Library:
    def __init__(self, path):
        from tokenizers import Tokenizer
        self.t = Tokenizer.from_file(path + "/tokenizer.json")
        with open(path + "/tokenizer.json", encoding="utf-8") as f:
            self.lost = Lost(json.load(f))

    def encode(self, s, special):
        e = tried(self.t.encode, s, add_special_tokens=special)
        return None if e is None else e.ids

    def offsets(self, s):
        e = None if self.lost(s) else tried(self.t.encode, s)
        return None if e is None else offsets(s, e)

    def decode(self, ids, special):
        return tried(self.t.decode, ids, skip_special_tokens=not special)

    def pieces(self, ids):
        return streamed(lambda ids: self.decode(ids, True), ids)


class Model:
    """A SentencePiece model in its own library, which finds no special token in a text."""
    def __init__(self, path):
        import sentencepiece
        name = next(n for n in ("tokenizer.model", "spiece.model") if os.path.exists(path + "/" + n))
        self.p = sentencepiece.SentencePieceProcessor(model_file=path + "/" + name)
        self.control = [self.p.id_to_piece(i) for i in range(self.p.vocab_size()) if self.p.is_control(i) or self.p.is_unknown(i)]

    def encode(self, s, special):
        return None if special or "\0" in s or any(c in s for c in self.control) else self.p.encode(s)

    def offsets(self, s):
        return None

    def decode(self, ids, special):
        return None

    def pieces(self, ids):
        return None


def contradict(ours, library):
    """The first place where neither text so far is the beginning of the other; None."""
    a = b = b""
    for i, (x, y) in enumerate(zip(ours, library)):
        a, b = a + x, b + y
        if not a.startswith(b) and not b.startswith(a):
            return i
    return None


def compare(ours, library, s):
    """Comparisons made, and sentences about those that differ."""
    done, finds = 0, []
    ids = None
    for special in (False, True):
        want = library.encode(s, special)
        if want is None:
            continue
        done += 1
        ids = want
        got = ours.encode(s, special)
        if got != " ".join(map(str, want)):
            finds.append("ids of %a are %s, want %s (specials: %s)" % (s, got, want, special))
    want = library.offsets(s)
    if want is not None:
        done += 1
        got = ours.offsets(s)
        if got != " ".join(map(str, want)):
            finds.append("offsets of %a are %s, want %s" % (s, got, want))
    for special in (False, True):
        want = library.decode(ids, special) if ids is not None else None
        if want is None:
            continue
        done += 1
        got = ours.decode(ids, special)
        if got != want.encode().hex():
            finds.append("text of %s (%a) is %s, want %s (specials: %s)" % (ids, s, got, want.encode().hex(), special))
    want = library.pieces(ids) if ids is not None else None
    if want is not None:
        done += 1
        got = ours.pieces(ids)
        at = contradict(got, want)
        if at is not None:
            finds.append("pieces of %s (%a) at %d are %s, want %s" % (ids, s, at, got, want))
    return done, finds
