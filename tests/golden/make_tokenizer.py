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


WORDS = """Hello world the and of to in is that for it was on are with as I his they be at one have this from or had by
running unbelievable antidisestablishmentarianism don't we've I'm they'll she'd it's 'tis rock'n'roll O'Neill
naïve café résumé Zürich Straße Ångström œuvre Ελληνικά Привет мир здравствуйте שלום עולם مرحبا بالعالم नमस्ते दुनिया
สวัสดีชาวโลก こんにちは 世界 中文字符 한국어 테스트 ᏣᎳᎩ አማርኛ தமிழ் မြန်မာ ქართული Հայերեն 𝒽𝑒𝓁𝓁𝑜 ﬁancé ǅ İstanbul ıI""".split()

HARD = [
    "", " ", "  ", "   ", "\t", "\n", "\n\n", "\r\n", "\r", " \n ", "\n \n", "\t\t x", "a  b", "a   b", "a \n\n  b", "  leading",
    "trailing  ", "trailing \n", "\x0b\x0c", "\u00a0x", "x\u00a0 y", "\u2003em", "\u3000全角", "\u1680o", "\u180em", "\u200bz", "\u2028l\u2029p",
    "\u0085n", "\ufeffbom", "x\ufeff", "\u202ertl\u202c", "\x00", "a\x00b", "\x01\x02\x03\x04\x05\x06\x07\x08", "\x0e\x0f\x10\x11\x12\x13\x14\x15",
    "\x16\x17\x18\x19\x1a\x1b\x1c\x1d\x1e\x1f\x7f", "\x1b[31mred\x1b[0m", "\x80\x9f\xa0\xad", "soft\xadhyphen",
    "1", "12", "123", "1234567890", " 1", "  12", "1 2", "a1b2c3", "3.14159", "1,000,000", "-42", "0x1F", "1e-9", "2026-11-24", "10:30", "v1.2.3-rc4",
    "½ ⅓ ¼", "x²+y³", "Ⅷ ⅷ", "٣٤٥", "१२३", "１２３", "〇一二三", "①②③", "𝟘𝟙𝟚", "𐄇", "1st 2nd", "1'2", "9's", " 9 ", "7\n8", "5\t6",
    "'s", "'S", "'ll've", "don't", "DON'T", "’s ‘tis", "'", "''", "'''", "I'm'm", " 's", "a'", "'re re", "y'all'd've",
    "Hello, world!", "Hello,world!!!", "...", "…", "?!?!", "(a)[b]{c}<d>", "a--b", "---", "===", "***bold***", "# Title\n\n- item\n- item", "@user #tag",
    "http://example.org/a?b=c&d=%20#e", "user@example.com", "C:\\path\\to\\file", "/usr/bin/env", "$HOME ${x} $(y)", "`code`", "```c\nint x;\n```",
    "int main(void)\n{\n\treturn 0;\n}\n", "def f(x):\n    if x:\n        return x ** 2\n    else:\n        return None\n",
    "for (i = 0; i < n; i++)\n\t\ta[i] += b[i] << 2;", "<html>\n  <body class=\"x\">&nbsp;</body>\n</html>", "SELECT * FROM t WHERE a = 'b''c';",
    "{\"key\": [1, 2.5, null, true], \"s\": \"\\u00e9\\n\"}", "x = lambda *a, **k: (a, k)", "#!/bin/sh\nset -eu\r\nexit 0\r\n", "a\r\nb\r\n\r\nc", "\r\r\n\n\r",
    "    four\n        eight\n\ttab\n \tmixed", "if(a&&b||!c){}", "a->b::c.d", "0b1010_1010", "camelCaseAndPascalCase snake_case SCREAMING_CASE kebab-case",
    "é", "e\u0301", "e\u0301\u0302\u0303", "\u0301", " \u0301", "a\u0300b\u0301c", "Z\u0351\u036b\u0343\u036aa\u0302l\u030dg\u030ao\u0352", "\u1100\u1161\u11a8", "각", "각\u11a8", "ﷺ", "ﬀ",
    "😀", "😀😁", "a😀b", " 😀", "👍🏽", "👨‍👩‍👧‍👦", "🏳️‍🌈", "🇩🇪🇫🇷", "1️⃣2️⃣", "❤️ ❤", "☃", "\U0001f9d1\u200d\U0001f680", "🫠🫡", "\U0001fae8", "\ufe0f", "\u200d",
    "中文没有空格的长句子，标点符号也在里面。", "日本語のテキスト、カタカナとひらがな。", "한국어 문장입니다. 띄어쓰기 있음!", "漢字kanji混在mixed123", "「引用」『二重』", "ｆｕｌｌｗｉｄｔｈ", "𠀀𠀁𪜶", "\U00031350\U0002ebf0", "々〆〇",
    "مرحبا بالعالم، كيف حالك؟", "السَّلامُ عَلَيْكُم", "שָׁלוֹם עֲלֵיכֶם", "עברית with English", "हिन्दी में क्‍या", "ไทยไม่มีช่องว่าง", "ગુજરાતી", "বাংলা", "தமிழ் நாடு", "བོད་ཡིག", "ខ្មែរ", "ລາວ",
    "\U0001d400\U0001d401", "\U00010400\U00010428", "\U0010ffff", "\U000e0001\U000e0041", "\ue000\uf8ff", "\ufffd", "\ufffe\uffff", "\U0001fffe", "\u0378\u0379", "\U000f0000", "\U000c0000x\U00080000", "\U00040000",
    "\u1c89\u1c8a", "\ua7cb\ua7da", "\U000105c0\U000105f3", "\U00010d40\U00010d4a", "\U00011de0\U00016ff4", "x\u180ey", "\u180e\u180e x",
    "<|im_start|>", "<|im_end|>", "<|endoftext|>", "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n", " <|im_end|> ", "<|im_end|><|im_end|>", "a<|im_end|>b",
    "<|im_end|", "|im_end|>", "<|im_end|>>", "<<|im_end|>", "<|IM_END|>", "<|im_<|im_end|>end|>", "<repo_name>x<reponame>y", "<file_sep><filename>a.py", "<gh_stars>100-1000",
    "<issue_start><issue_comment><issue_closed>", "<jupyter_start><jupyter_text><jupyter_code><jupyter_output><jupyter_script><empty_output>", "<jupyter_", "<s></s><unk><pad>",
    "\n<|im_start|>\n", "1<|im_end|>2", "'<|endoftext|>s", "<|endoftext|>\u0338", "é<|im_start|>é", "The capital of France is", " The capital of France is Paris.\n",
    "Once upon a time, there was a little girl who lived in a village near the forest.", "supercalifragilisticexpialidocious", "Donaudampfschifffahrtsgesellschaftskapitän",
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "abababababababababababababababababababababababababababababab", "hahahahahahahahahahahahahahahahahahahahahahahahahahaha",
    "_" * 47, "-" * 48, "=" * 49, "#" * 50, " " * 100, "\n" * 70, "\t" * 33, " " * 7 + "x", "\u00e9" * 25, "ACGT" * 20, "0" * 60, "/" * 99, "." * 200,
]

LONG = [("a", 5000), (" ", 5000), ("\n", 5000), ("ab", 4000), ("the", 3000), ("x" * 47 + " ", 50), ("=", 3001), ("é", 3000), ("世", 3000), ("😀", 1500), ("\u0301", 2000),
        ("1", 2000), (" \n", 2000), ("a b", 2000), ("'s", 2000), ("<|im_end|>", 500), ("<|im_end", 500), ("\x04\x06", 700), ("x\x04", 700), ("qwertyuiopasdfghjklzxcvbnm", 300), ("ing", 2500),
        ("\U000c0000", 300), ("<", 3000), ("—", 2000), ("antidisestablishmentarianism", 200)]


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
            if name != "command-r":
                for s in strings:
                    f.write("%s\twords\t%s\t%s\n" % (name, esc(s), runs(lengths(s))))
            for first in range(0, 0x110000, 0x4000):
                v = lengths(probe(first)) if probe(first) else []
                f.write("%s\tpoints\t%x\t%016x\t%d\n" % (name, first, fnv(v), len(v)))


tokenizer_file()
pretok_file()
