#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Which characters the Hugging Face tokenizers library takes for spaces, numbers, marks ...: make_sets.py > engine/text/sets.inc

Every code point is asked. Needs tokenizers, unicodedata2 (the newest normal forms) and libutf8proc.so.2 (15.0), whose
difference from the library SK_SET_INERT and the lower-case table are. Half a minute.
"""
import ctypes
import sys
import unicodedata      # of Python 3.11: Unicode 14, as PCRE2 10.42

import unicodedata2

import tokenizers
from tokenizers import Regex, normalizers as N, pre_tokenizers as P

POINTS = [c for c in range(0x110000) if not 0xD800 <= c < 0xE000]
U = ctypes.CDLL("libutf8proc.so.2")
U.utf8proc_tolower.restype = ctypes.c_int32


def ranges(test):
    out = []
    for c in POINTS:
        if test(c):
            if out and (out[-1][1] == c - 1 or (c == 0xE000 and out[-1][1] == 0xD7FF)):
                out[-1][1] = c
            else:
                out.append([c, c])
    return out


def words(pre):
    return lambda s: [w for w, _ in pre.pre_tokenize_str(s)]


space = words(P.WhitespaceSplit())
digit = words(P.Digits(individual_digits=True))
word = words(P.Whitespace())
punct = words(P.Punctuation())
script = words(P.UnicodeScripts())
clean = N.BertNormalizer(clean_text=True, handle_chinese_chars=False, strip_accents=False, lowercase=False).normalize_str
han = N.BertNormalizer(clean_text=False, handle_chinese_chars=True, strip_accents=False, lowercase=False).normalize_str
accents = N.BertNormalizer(clean_text=False, handle_chinese_chars=False, strip_accents=True, lowercase=False).normalize_str
marks = N.StripAccents().normalize_str
nfd, nfkd, lower = N.NFD().normalize_str, N.NFKD().normalize_str, N.Lowercase().normalize_str


def inert(c):
    s = chr(c)
    if nfkd(s) == s and unicodedata2.normalize("NFKD", s) != s:
        return True
    if nfd(s) != s or nfkd(s) != s:
        if nfd(s) != unicodedata2.normalize("NFD", s) or nfkd(s) != unicodedata2.normalize("NFKD", s):
            print("U+%04X is decomposed into something else" % c, file=sys.stderr)
        return False
    k = unicodedata2.combining(s)
    return k not in (0, 240) and nfd("\u0345" + s) == "\u0345" + s


SETS = [("SPACE", lambda c: len(space("a" + chr(c) + "a")) == 2), ("NUMBER", lambda c: len(digit("a" + chr(c))) == 2),
        ("WORD", lambda c: word("a" + chr(c)) == ["a" + chr(c)]), ("PUNCTUATION", lambda c: len(punct("a" + chr(c))) == 2),
        ("CONTROL", lambda c: clean("a" + chr(c) + "a") == "aa"), ("BERT_SPACE", lambda c: clean("a" + chr(c) + "a") == "a a"),
        ("HAN", lambda c: han(chr(c)) != chr(c)), ("MARK", lambda c: marks("a" + chr(c)) == "a"),
        ("BERT_MARK", lambda c: accents("a" + chr(c)) == "a"), ("INERT", inert)]


def scripts():
    known, out, last = ["a", "\u0430"], [], None        # one character of each script; two to begin with tell what goes with any
    same = lambda a, b: len(script(a + b)) == 1
    for c in POINTS:
        s = chr(c)
        if last is not None and last > 0 and same(known[last - 1], s) and not same(known[last % len(known)], s):
            k = last
        elif same(known[0], s) and same(known[1], s):
            k = 0
        else:
            k = next((i + 1 for i, r in enumerate(known) if same(r, s)), None)
            if k is None:
                known.append(s)
                k = len(known)
        if out and out[-1][2] == k and (out[-1][1] == c - 1 or c == 0xE000):
            out[-1][1] = c
        else:
            out.append([c, c, k])
        last = k
    return [r for r in out if r[2]]


def table(name, kind, rows):
    print("static const %s %s[] = {" % (kind, name))
    for i in range(0, len(rows), 6):
        print("\t" + " ".join(rows[i:i + 6]))
    print("};")


print("/* SPDX-License-Identifier: Apache-2.0 */")
print("/* Made by tests/golden/make_sets.py: tokenizers %s, Unicode %s. */" % (tokenizers.__version__, unicodedata2.unidata_version))
for name, test in SETS:
    table("set_" + name.lower(), "struct range", ["{ 0x%x, 0x%x }," % tuple(r) for r in ranges(test)])
table("scripts", "struct script", ["{ 0x%x, 0x%x, %d }," % tuple(r) for r in scripts()])
rows = []
for c in POINTS:
    to = lower(chr(c))
    if to != chr(U.utf8proc_tolower(c)):
        rows.append("{ 0x%x, 0x%x, 0x%x }," % (c, ord(to[0]), ord(to[1]) if len(to) > 1 else 0))
table("lowers", "struct lower", rows)

CATEGORIES = "Lu Ll Lt Lm Lo Mn Mc Me Nd Nl No Pc Pd Ps Pe Pi Pf Po Sm Sc Sk So Zs Zl Zp Cc Cf Co".split()


def members(pattern):
    """Code points that the library's regex engine takes for one of the class."""
    out = set()
    split = P.Split(Regex(pattern), "isolated", invert=False)
    for first in range(0, 0x110000, 0x1000):
        points = [c for c in range(first, first + 0x1000) if not 0xD800 <= c < 0xE000]
        text = "".join(map(chr, points))
        if text:
            out |= {points[a] for w, (a, b) in P.Split(Regex("(?:" + pattern + ")+"), "removed", invert=True).pre_tokenize_str(text) for a in range(a, b)}
    return out


added = {}
for name in CATEGORIES:
    for c in members("\\p{%s}" % name):
        if unicodedata.category(chr(c)) != name:
            added[c] = name
out = []
for c in sorted(added):
    if out and out[-1][1] == c - 1 and out[-1][2] == added[c]:
        out[-1][1] = c
    else:
        out.append([c, c, added[c]])
table("added", "struct added", ['{ 0x%x, 0x%x, "%s" },' % tuple(r) for r in out])
# Scripts that had characters in Unicode 14 and got more; those that are newer are not known to PCRE2 10.42 by name.
SCRIPTS = ("Arabic Armenian Balinese Bengali Bopomofo Braille Cherokee Common Coptic Cyrillic Devanagari Egyptian_Hieroglyphs Ethiopic Georgian Greek Gujarati Gurmukhi Han Hangul "
           "Hebrew Hiragana Inherited Javanese Kannada Katakana Khmer Khojki Lao Latin Lisu Malayalam Mongolian Myanmar Nko Ogham Oriya Runic Sinhala Sundanese Syriac Tamil Telugu "
           "Thaana Thai Tibetan Tifinagh Vai Yi").split()
rows = []
for name in SCRIPTS:
    of = members("\\p{%s}" % name)
    rows += ['{ 0x%x, 0x%x, "%s" },' % (a, b, name.lower().replace("_", "")) for a, b in ranges(lambda c: c in of and unicodedata.category(chr(c)) == "Cn")]
table("added_scripts", "struct added_script", rows)
letters = members("\\p{L}") | members("\\p{Nl}")
alpha = members("[[:alpha:]]") - letters
table("set_alpha_more", "struct range", ["{ 0x%x, 0x%x }," % tuple(r) for r in ranges(lambda c: c in alpha)])
lowercase = members("[[:lower:]]") - members("\\p{Ll}")
table("set_lower_more", "struct range", ["{ 0x%x, 0x%x }," % tuple(r) for r in ranges(lambda c: c in lowercase)])
