#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Small tokenizers of every scheme and option, and what the Hugging Face library does with them: make_tokenizers.py [NAME [STRING-NUMBER]]

writes tests/golden/tokenizers/strings.txt and, for each NAME, NAME/tokenizer.json (and what else a directory has) and NAME/golden.txt.
With a NAME only that one; with a number too, what the library says about that string is printed instead. Needs tokenizers,
transformers, sentencepiece; trained on text.txt. test_tokenizers.c compares.

golden.txt: a line a string, of 32-bit hashes (FNV-1a over little endian 32-bit numbers, or bytes):
    ids with specials   ids without   byte offsets (start, stop ...; widened to whole characters)   decoded   decoded without specials
    what each id adds to a stream (beside.py), a byte 255 after each
then "random" and lines of two hashes: decoded and decoded without specials of the ids that lcg() makes. "-" is no answer; "=" is what
the column before says, "^" what the line above says in this column.
"""
import functools
import itertools
import json
import os
import shutil
import sys

from tokenizers import AddedToken, Regex, Tokenizer, decoders as D, models as M, normalizers as N, pre_tokenizers as P, processors as O, trainers as T

from beside import DROPPED, Lost, offsets, streamed, tried
from hard_strings import HARD

HERE = os.path.dirname(os.path.abspath(__file__))
OUT = HERE + "/tokenizers"
TEXT = open(HERE + "/text.txt", encoding="utf-8").read()
LINES = [x for x in TEXT.split("\n") if x] * 2 + HARD

STRINGS = [s for s in HARD] + [
    "<s>", "</s>", "<s></s>", "a<s>b", " <s> ", "<s>x</s>", "<unk>", "<pad>", "<mask>", "a <mask> b", "a<mask>b", "  <mask>  ", "\t<mask>\n", "[CLS] a [SEP]", "[cls]", "[MASK]",
    "<both>", "x<both>y", "x <both> y", " \t <both> \n x", "<word>", "a<word>", "<word>a", "a <word> b", "é<word>é", "word", "words", "a word.", "sword", "word word", "wordword", "Wörd word",
    "ÉTÉ", "été", "Été", "e\u0301te\u0301", "E\u0301TE\u0301", "x été y", "xétéy", "<norm>", "<NORM>", "<Norm> a", "a<norm>b", "▁<norm>", "▁", "▁▁", "a▁b", " ▁ ", "▁a ▁b", "a ▁",
    "<0x41>", "<0x0A>", "<0x>", "<0xZZ>", "<0xff>", "##a", "a##b", "a</w>", "</w>", "a </w> b", "|", "a|b", "aa|bb", "|a|", "||", "--", "a-b-c", "-a-", "SPL1T-TH1S-Pl3A5E", "aSPL1T-TH1S-Pl3A5Eb",
    "don't do not . , ! ? n't 'm 's 've 're", "a . b , c ! d ? e", "it ' s", "日本語ひらがなカタカナーABC", "ーー", "あア亜ー", "한국어中文ไทย", "a1b22c333d4444", "12345678901234567", "1,234.56", "²³¹¼½¾", "x\u200by\u200cz\u200d",
    "\u00ad", "a\u00adb", "\ufeff", "ﬁ ﬂ ﬀ ſt", "①②", "㍿", "Ⅳ", "ﷺ", "ｱｲｳ", "カ\u3099", "ｶﾞ", "Å Å", "Ω Ω", "ǆ ǅ Ǆ", "İıIi", "ß ẞ ſ", "ΑΣ ΑΣΑ Σ", "ὈΔΥΣΣΕΎΣ", "Ꭰ ꭰ", "𐐀𐐨", "\u1e9b\u0323", "q\u0323\u0307", "q\u0307\u0323",
    "क्षि", "நி", "\u0f71\u0f72\u0f74", "\u0344", "a\u0345\u0301", "\u1100\u1161\u11a8\u1161", "각\u11a8", "\U0001d15e", "\u2adc", "\ufb1d", "\U0002f800", "\u0958", "\ufffd\ufffd", "a\ufffdb", "\n\r\n \t x", "\x1c\x1d\x1e\x1f", "\u2028\u2029",
    " a", "  a", "   a", "\uae84\u11a7\u11ca", "\ucb10\u11a7\u11d1", "=\xbe\u200d", "\ufe0f\u2581\xb9\U000763f0", "a ", "a  ", " a b ", "a\u00a0b", "a\u3000b", "カ\U0001b155\U0001b132あ \u0897\ua7cb\U0001e030\u0cf3\U00013460x\U0001fae9", "(a)", "((", "a.b.c", "...a", "a...", "!?", "«a»", "“q”", "a—b", "$5 €6 £7", "a+b=c", "#tag @at", "~`^|<>",
    "\xe9\u0328", "\u01db\u0595\u0595\u0323x", "e\u0344=\u012a\u0328\u0313", "a\ufb41\x1cb", "a\uf918\x1c\x13 \ufdfa\x7f\x01\u00e9\x1c",
]
STRINGS = list(dict.fromkeys(STRINGS))


def fnv(data):
    h = 0x811C9DC5
    for b in data:
        h = (h ^ b) * 0x01000193 & 0xFFFFFFFF
    return "%08x" % h


def text(s):
    return "-" if s is None else fnv(s.encode())


def numbers(v):
    return fnv(b"".join((n & 0xFFFFFFFF).to_bytes(4, "little") for n in v))


def lcg(vocab):
    x = 2026
    for _ in range(60):
        x = (x * 1103515245 + 12345) & 0x7FFFFFFF
        n, ids = 1 + (x >> 8) % 20, []
        for _ in range(n):
            x = (x * 1103515245 + 12345) & 0x7FFFFFFF
            ids.append((x >> 8) % vocab)
        yield ids


# ---- what is trained once -------------------------------------------------------------------------------------------

ALPHABET = P.ByteLevel.alphabet()
SPECIALS = ["<unk>", "<s>", "</s>", "<pad>", "<mask>"]
BYTES = ["<0x%02X>" % b for b in range(256)]
# Trainers break ties as they like, so what was trained is kept in trained.json; remove it to train anew.
TRAINED = OUT + "/trained.json"
MADE = json.load(open(TRAINED, encoding="utf-8")) if os.path.exists(TRAINED) else {}


def once(f):
    def g(*a):
        k = "/".join([f.__name__] + [str(x) for x in a])
        if k not in MADE:
            MADE[k] = f(*a)
        return MADE[k]
    return g


@once
def bpe_bytes():
    t = Tokenizer(M.BPE())
    t.pre_tokenizer = P.ByteLevel(add_prefix_space=False)
    t.train_from_iterator(LINES, T.BpeTrainer(vocab_size=480, special_tokens=["<unk>", "<s>", "</s>", "<pad>"], initial_alphabet=sorted(ALPHABET), show_progress=False))
    m = json.loads(t.to_str())["model"]
    return m["vocab"], [tuple(x) for x in m["merges"]]


@once
def bpe_chars(prefix, suffix, fallback):
    affixes = {**({"continuing_subword_prefix": prefix} if prefix else {}), **({"end_of_word_suffix": suffix} if suffix else {})}
    t = Tokenizer(M.BPE(unk_token="<unk>", **affixes))
    meta = not prefix and not suffix
    t.pre_tokenizer = P.Metaspace() if meta else P.BertPreTokenizer()
    t.train_from_iterator([x for x in LINES if x.isascii()], T.BpeTrainer(vocab_size=560, special_tokens=["<unk>", "<s>", "</s>"] + (BYTES if fallback else []), show_progress=False, **affixes))
    m = json.loads(t.to_str())["model"]
    return m["vocab"], [tuple(x) for x in m["merges"]]


@once
def unigram(fallback):
    t = Tokenizer(M.Unigram())
    t.pre_tokenizer = P.Metaspace()
    t.train_from_iterator(LINES, T.UnigramTrainer(vocab_size=420, special_tokens=["<pad>", "</s>", "<unk>"], unk_token="<unk>", show_progress=False))
    v = [tuple(x) for x in json.loads(t.to_str())["model"]["vocab"]]
    v = v[:3] + sorted(v[3:], key=lambda x: (-x[1], x[0]))      # the trainer's order of equal ones is not the same each time
    return v + ([(b, -20.0) for b in BYTES] if fallback else [])


@once
def wordpiece(lower):
    t = Tokenizer(M.WordPiece(unk_token="[UNK]"))
    t.normalizer = N.BertNormalizer(lowercase=lower)
    t.pre_tokenizer = P.BertPreTokenizer()
    t.train_from_iterator(LINES, T.WordPieceTrainer(vocab_size=420, special_tokens=["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"], show_progress=False))
    return json.loads(t.to_str())["model"]["vocab"]


def charsmap(small=False):
    """SentencePiece's own nmt_nfkc, 240 KB; or rules for what the strings hold alone."""
    import io
    import sentencepiece as spm
    from sentencepiece import sentencepiece_model_pb2 as pb
    out = io.BytesIO()
    rules = dict(normalization_rule_tsv=rules_file(str)) if small else {}
    spm.SentencePieceTrainer.train(sentence_iterator=iter([x for x in LINES if x.strip()]), model_writer=out, vocab_size=500, hard_vocab_limit=False, minloglevel=9, **rules)
    m = pb.ModelProto()
    m.ParseFromString(out.getvalue())
    return m.normalizer_spec.precompiled_charsmap


def rules_file(fold):
    """The normal forms (NFKC, then fold) of the strings' characters and of each with the marks behind it; controls go, blanks are spaces."""
    import atexit
    import unicodedata
    rules = {}
    for s in STRINGS:
        for i, c in enumerate(s):
            end = i + 1
            while end < len(s) and unicodedata.combining(s[end]) and end < i + 4:
                end += 1
            for part in {c, s[i:end]}:
                rules[part] = fold(unicodedata.normalize("NFKC", part))
            if DROPPED.match(c):
                rules[c] = ""
            elif c.isspace() and not "\x1c" <= c <= "\x1f":
                rules[c] = " "
    hexes = lambda x: " ".join("%X" % ord(c) for c in x)
    path = os.path.relpath(OUT + "/rules.tsv")      # its name gets into the model
    with open(path, "w") as f:
        f.writelines(hexes(a) + "\t" + hexes(b) + "\n" for a, b in sorted(rules.items()) if a != b and "\0" not in a)
    atexit.register(lambda: os.path.exists(path) and os.remove(path))
    return path


charsmap = functools.lru_cache(charsmap)


# ---- the tokenizers --------------------------------------------------------------------------------------------------

def pairs(m):
    return [tuple(x) for x in m]


def raw(**o):
    v, m = bpe_bytes()
    t = Tokenizer(M.BPE(v, pairs(m), **o))
    t.decoder = D.ByteLevel()
    t.add_special_tokens([AddedToken(x, normalized=False, special=True) for x in ("<unk>", "<s>", "</s>", "<pad>")])
    return t


def words(pre, **added):
    """One token a word: the offsets show how words are cut."""
    t = Tokenizer(M.WordLevel({"<unk>": 0, "a": 1, "the": 2, "1": 3, " ": 4, "x": 5, "\u2581a": 6, "b": 7}, unk_token="<unk>"))
    t.pre_tokenizer = pre
    return t


def spm_bpe(normalizer, pre, decoder=None, fallback=True, **o):
    v, m = bpe_chars("", "", fallback)
    t = Tokenizer(M.BPE(v, pairs(m), unk_token="<unk>", byte_fallback=fallback, **{"fuse_unk": True, **o}))
    t.normalizer, t.pre_tokenizer = normalizer, pre
    t.decoder = decoder or D.Sequence([D.Replace("▁", " "), D.ByteFallback(), D.Fuse(), D.Strip(" ", 1, 0)])
    t.add_special_tokens([AddedToken(x, normalized=False, special=True) for x in ("<unk>", "<s>", "</s>")])
    return t


def uni(normalizer, pre, fallback=False):
    t = Tokenizer(M.Unigram(pairs(unigram(fallback)), unk_id=2, byte_fallback=fallback))
    t.normalizer, t.pre_tokenizer = normalizer, pre
    t.decoder = D.Sequence([D.ByteFallback(), D.Metaspace()]) if fallback else D.Metaspace()
    t.add_special_tokens(["<pad>", "</s>", "<unk>"])
    return t


def bert(lower, **o):
    t = Tokenizer(M.WordPiece(wordpiece(lower), unk_token="[UNK]", **o))
    t.normalizer = N.BertNormalizer(lowercase=lower)
    t.pre_tokenizer = P.BertPreTokenizer()
    t.decoder = D.WordPiece()
    t.add_special_tokens(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"])
    t.post_processor = O.BertProcessing(("[SEP]", t.token_to_id("[SEP]")), ("[CLS]", t.token_to_id("[CLS]")))
    return t


def template(t, single, *names):
    return O.TemplateProcessing(single=single, special_tokens=[(n, t.token_to_id(n)) for n in names])


SHORT = "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|"
TAIL = "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"
O200K = ("[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]*[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]+[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]*"
         "(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+")
BLOOM = " ?[^(\\s|[.,!?…。，、।۔،])]+"
ADDED = [AddedToken("<mask>", lstrip=True, special=True), AddedToken("<both>", lstrip=True, rstrip=True), AddedToken("<word>", single_word=True), AddedToken("word", single_word=True),
         AddedToken("été", normalized=True), AddedToken("<norm>", normalized=True, rstrip=True), AddedToken("<NORM>", normalized=False), AddedToken("  ", normalized=False), AddedToken("a b", normalized=True)]
ALL = {}


def scheme(f):
    ALL[f.__name__.replace("_", "-")] = f
    return f


def pre_raw(*pre, normalizer=None, **o):
    t = raw(**o)
    t.pre_tokenizer = pre[0] if len(pre) == 1 else P.Sequence(list(pre))
    if normalizer:
        t.normalizer = normalizer
    return t


BL, BL_PLAIN = P.ByteLevel(add_prefix_space=False), P.ByteLevel(add_prefix_space=False, use_regex=False)


@scheme
def gpt2():
    t = pre_raw(BL)
    t.post_processor = O.ByteLevel(trim_offsets=False)
    return t


@scheme
def gpt2_prefix():
    t = pre_raw(P.ByteLevel(add_prefix_space=True))
    t.post_processor = O.ByteLevel(trim_offsets=True)
    return t


@scheme
def roberta():
    t = pre_raw(P.ByteLevel(add_prefix_space=True))
    t.post_processor = O.RobertaProcessing(("</s>", 2), ("<s>", 1), trim_offsets=True, add_prefix_space=True)
    return t


@scheme
def bloom():
    t = pre_raw(P.Split(Regex(BLOOM), "isolated"), BL_PLAIN)
    t.post_processor = O.ByteLevel(trim_offsets=False)
    return t


@scheme
def neox():
    t = pre_raw(BL, normalizer=N.NFC())
    t.add_tokens([AddedToken(" " * n, normalized=True) for n in range(24, 1, -1)])
    return t


@scheme
def starcoder():
    return pre_raw(P.Digits(individual_digits=True), BL)


@scheme
def opt():
    t = pre_raw(BL)
    t.post_processor = template(t, "</s> $A", "</s>")
    return t


@scheme
def galactica():
    t = pre_raw(P.Split("SPL1T-TH1S-Pl3A5E", "removed"), P.Digits(individual_digits=True), P.Punctuation("isolated"), P.Split("\n", "isolated"), BL)
    t.add_special_tokens(["<work>", "</work>", "[START_REF]", "[END_REF]"])
    return t


@scheme
def falcon():
    return pre_raw(P.Punctuation("contiguous"), BL, P.Digits(individual_digits=False), P.Split(Regex("[0-9][0-9][0-9]"), "isolated"))


@scheme
def llama3():
    t = pre_raw(P.Split(Regex(SHORT + "\\p{N}{1,3}" + TAIL), "isolated"), BL_PLAIN, ignore_merges=True)
    t.post_processor = O.Sequence([O.ByteLevel(trim_offsets=False), template(t, "<s> $A", "<s>")])
    return t


@scheme
def qwen2():
    return pre_raw(P.Split(Regex(SHORT + "\\p{N}" + TAIL), "isolated"), BL_PLAIN, normalizer=N.NFC())


@scheme
def o200k():
    return pre_raw(P.Split(Regex(O200K), "isolated"), BL_PLAIN)


@scheme
def deepseek():
    return pre_raw(P.Split(Regex("\\p{N}{1,3}"), "isolated"), P.Split(Regex("[一-龥぀-ゟ゠-ヿ]+"), "isolated"),
                   P.Split(Regex("[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\r\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+| ?[\\p{P}\\p{S}]+[\r\n]*|\\s*[\r\n]+|\\s+(?!\\S)|\\s+"), "isolated"), BL_PLAIN)


@scheme
def bytes_unk():
    v, m = bpe_bytes()
    v = {k: i for k, i in v.items() if k not in ("Q", "z", "Ã")}
    m = [x for x in pairs(m) if all(y in v for y in x) and "".join(x) in v]
    t = Tokenizer(M.BPE(v, m, unk_token="<unk>", fuse_unk=False))
    t.pre_tokenizer, t.decoder = BL, D.ByteLevel()
    return t


@scheme
def bytes_lacking():
    v, m = bpe_bytes()
    v = {k: i for k, i in v.items() if k not in ("Q", "z", "Ã")}
    m = [x for x in pairs(m) if all(y in v for y in x) and "".join(x) in v]
    t = Tokenizer(M.BPE(v, m))
    t.pre_tokenizer, t.decoder = BL, D.ByteLevel()
    return t


LEGACY = lambda: N.Sequence([N.Prepend("▁"), N.Replace(" ", "▁")])


@scheme
def llama_legacy():
    t = spm_bpe(LEGACY(), None)
    t.post_processor = template(t, "<s> $A", "<s>")
    return t


@scheme
def llama_first():
    t = spm_bpe(None, P.Metaspace(prepend_scheme="first", split=False))
    t.post_processor = template(t, "<s> $A", "<s>")
    return t


@scheme
def llama_always():
    return spm_bpe(None, P.Metaspace(prepend_scheme="always", split=True))


@scheme
def llama_never():
    return spm_bpe(None, P.Metaspace(prepend_scheme="never", split=False), decoder=D.Sequence([D.Replace("▁", " "), D.ByteFallback(), D.Fuse()]))


@scheme
def spm_unk_fused():
    return spm_bpe(LEGACY(), None, fallback=False)


@scheme
def spm_unk_single():
    return spm_bpe(LEGACY(), None, fallback=False, fuse_unk=False)


@scheme
def spm_bytes_few():
    """Unknown characters with some between them that fall back: those of "café"."""
    v, m = bpe_chars("", "", True)
    v = {k: i for k, i in v.items() if "f" not in k and k not in ("<0x66>", "a", "<0x61>", "<0xE4>")}
    m = [x for x in pairs(m) if all(y in v for y in x) and "".join(x) in v]
    t = Tokenizer(M.BPE(v, m, unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    t.normalizer = LEGACY()
    t.decoder = D.Sequence([D.Replace("▁", " "), D.ByteFallback(), D.Fuse(), D.Strip(" ", 1, 0)])
    t.add_special_tokens([AddedToken("<unk>", normalized=False, special=True)])
    return t


@scheme
def bpe_prefix():
    v, m = bpe_chars("##", "", False)
    t = Tokenizer(M.BPE(v, pairs(m), unk_token="<unk>", continuing_subword_prefix="##"))
    t.pre_tokenizer, t.decoder = P.BertPreTokenizer(), D.WordPiece(cleanup=False)
    return t


@scheme
def bpe_suffix():
    v, m = bpe_chars("", "</w>", False)
    t = Tokenizer(M.BPE(v, pairs(m), unk_token="<unk>", end_of_word_suffix="</w>"))
    t.normalizer, t.pre_tokenizer, t.decoder = N.BertNormalizer(), P.BertPreTokenizer(), D.BPEDecoder()
    return t


@scheme
def bpe_no_unk():
    v, m = bpe_chars("", "", False)
    t = Tokenizer(M.BPE(v, pairs(m), ignore_merges=True))
    t.pre_tokenizer = P.Metaspace()
    return t


@scheme
def t5():
    t = uni(N.Precompiled(charsmap(small=True)), P.Sequence([P.WhitespaceSplit(), P.Metaspace(prepend_scheme="always")]))
    t.add_special_tokens(["<extra_id_%d>" % i for i in range(9, -1, -1)])
    t.post_processor = template(t, "$A </s>", "</s>")
    return t


@scheme
def t5_new():
    return uni(N.Sequence([N.Precompiled(charsmap(small=True)), N.Strip(left=False, right=True), N.Replace(Regex(" {2,}"), "▁")]), P.Metaspace(prepend_scheme="always"))


@scheme
def xlm():
    return uni(N.Sequence([N.Nmt(), N.NFKC(), N.Replace(Regex(" {2,}"), " ")]), P.Metaspace())


@scheme
def unigram_ties():
    """Scores of 17 digits, which the library reads a last bit wrong: ways to cut a run that add up to the same depend on it."""
    scores = [(1, -8.315566062927246), (2, -11.559264183044434), (3, -12.240331649780273), (4, -13.463018417358398), (8, -14.019243240356445)]
    t = Tokenizer(M.Unigram([("<unk>", 0.0), ("▁", -2.1716766357421875)] + [(c * n, s) for c in "abhACGT=-_#0./x ing" for n, s in scores if c * n != "▁"], unk_id=0))
    t.pre_tokenizer, t.decoder = P.Metaspace(), D.Metaspace()
    return t


@scheme
def unigram_whole():
    return uni(None, P.Metaspace(split=False))


@scheme
def unigram_bytes():
    return uni(None, P.Metaspace(prepend_scheme="first"), True)


@scheme
def bert_uncased():
    return bert(True)


@scheme
def bert_cased():
    return bert(False)


@scheme
def bert_short_words():
    return bert(True, max_input_chars_per_word=5)


@scheme
def wordlevel():
    return words(P.Whitespace())


@scheme
def ctc():
    v = {"<pad>": 0, "<s>": 1, "</s>": 2, "<unk>": 3, "|": 4, "'": 5, ".": 6, "?": 7, "n't": 8, **{chr(97 + i): 9 + i for i in range(26)}}
    t = Tokenizer(M.WordLevel(v, unk_token="<unk>"))
    t.normalizer = N.Replace(" ", "|")
    t.pre_tokenizer, t.decoder = P.Split(Regex("."), "isolated"), D.CTC()
    return t


@scheme
def ctc_plain():
    t = ctc()
    t.decoder = D.CTC(cleanup=False)
    return t


for name, n in {"nfc": N.NFC(), "nfd": N.NFD(), "nfkc": N.NFKC(), "nfkd": N.NFKD(), "lowercase": N.Lowercase(), "strip-accents": N.Sequence([N.NFD(), N.StripAccents()]), "accents-bare": N.StripAccents(),
                "strip": N.Strip(), "strip-left": N.Strip(right=False), "strip-right": N.Strip(left=False), "prepend": N.Prepend("ab é"), "replace": N.Replace("a", "<é>"), "replace-gone": N.Replace("the", ""),
                "replace-regex": N.Replace(Regex("\\s+"), " "), "bert": N.BertNormalizer(), "bert-cased": N.BertNormalizer(lowercase=False),
                "bert-accents": N.BertNormalizer(lowercase=False, strip_accents=True), "bert-lower-only": N.BertNormalizer(clean_text=False, handle_chinese_chars=False, strip_accents=False), "nmt": N.Nmt(),
                "precompiled": None, "bytes": N.ByteLevel(), "many": N.Sequence([N.NFKD(), N.Sequence([N.StripAccents(), N.Lowercase()]), N.Strip(), N.Replace(Regex("[0-9]+"), "#")])}.items():
    def normalizer(n=n, name=name):
        t = pre_raw(BL, normalizer=n or N.Precompiled(charsmap()))
        t.add_tokens([AddedToken("été", normalized=True), AddedToken("<norm>", normalized=True), AddedToken("a b")])
        return t
    ALL["normal-" + name] = normalizer

BEHAVIORS = {"removed": "removed", "isolated": "isolated", "previous": "merged_with_previous", "next": "merged_with_next", "contiguous": "contiguous"}
for (name, b), (kind, pattern), inv in itertools.product(BEHAVIORS.items(), {"string": "a", "regex": Regex("\\s|[aeiou]"), "runs": Regex("[0-9]+|\\p{P}")}.items(), (False, True)):
    ALL["split-%s-%s%s" % (kind, name, "-invert" if inv else "")] = lambda b=b, pattern=pattern, inv=inv: words(P.Split(pattern, b, invert=inv))
for name, b in BEHAVIORS.items():
    ALL["punctuation-" + name] = lambda b=b: words(P.Punctuation(b))
for name, p in {"digits": P.Digits(), "digits-each": P.Digits(individual_digits=True), "whitespace": P.Whitespace(), "whitespace-split": P.WhitespaceSplit(), "bert": P.BertPreTokenizer(), "delimiter": P.CharDelimiterSplit("-"),
                "scripts": P.UnicodeScripts(), "fixed": P.FixedLength(length=3), "bytes": P.ByteLevel(), "bytes-plain": BL_PLAIN, "metaspace": P.Metaspace(), "metaspace-first": P.Metaspace(prepend_scheme="first"),
                "metaspace-never": P.Metaspace(prepend_scheme="never"), "metaspace-whole": P.Metaspace(split=False), "metaspace-other": P.Metaspace(replacement="é"),
                "sequence": P.Sequence([P.WhitespaceSplit(), P.Punctuation(), P.Digits()]), "bytes-then": P.Sequence([P.ByteLevel(), P.Split("a", "merged_with_next"), P.Metaspace()])}.items():
    ALL["pre-" + name] = lambda p=p: words(p)
for name, r in {"word": "\\w+|[^\\w\\s]+", "not-word": "\\W+", "bound": "\\b", "lines": "^|$", "line-end": "x$", "dot": ".+", "dotall": "(?m:.+)", "case": "(?i:THE|ÉTÉ)", "possessive": "[a-z]++|\\s?+", "posix": "[[:punct:]]+|[[:space:]]|[[:digit:]]+",
                "posix-letters": "[[:upper:]]+|[[:lower:]]+", "posix-alpha": "[[:alnum:]]+", "posix-not": "[[:^alpha:]]+", "scripts-later": "\\p{Katakana}+|\\p{Hiragana}+|[\\p{Latin}\\p{Arabic}]+|\\p{Cyrillic}+|\\p{Egyptian_Hieroglyphs}|\\P{Common}", "han": "\\p{Han}+|\\p{Hiragana}+|\\p{Katakana}+|\\p{Greek}+", "not": "\\P{L}+", "not-in": "[\\P{L}a]+", "caret": "\\p{^Lu}",
                "and": "[a-z&&[^aeiou]]+", "and-not": "[^a-z&&[^x]]", "nested": "[a[bc][^\\x00-\\x7f]]+", "hex": "\\h{2,}", "not-hex": "\\H+", "again": "(?:ab){1,2}+", "up-to": "a{,2}b", "brace": "{|}", "atomic": "(?>a|ab)c?", "behind": "(?<=a)b|(?<!e)t",
                "back": "(.)\\1", "escapes": "[\\t\\n\\r\\x20\\u00e9\\-\\]\\[]", "case-start": "(?i)[a-c]+", "empty": "x*", "first-bracket": "[]a]", "marks": "\\p{M}+|\\p{S}|\\p{Sc}|\\p{Zs}", "digit": "\\d+|\\D"}.items():
    ALL["regex-" + name] = lambda r=r: words(P.Split(Regex(r), "isolated"))


@scheme
def added_raw():
    t = pre_raw(BL, normalizer=N.Lowercase())
    t.add_tokens(ADDED)
    return t


@scheme
def added_spm():
    t = spm_bpe(LEGACY(), None)
    t.add_tokens(ADDED)
    return t


@scheme
def added_meta():
    t = spm_bpe(None, P.Metaspace(prepend_scheme="first", split=False))
    t.add_tokens(ADDED)
    return t


@scheme
def added_overlap():
    t = pre_raw(BL)
    t.add_tokens([AddedToken("abc", normalized=False), AddedToken("bcd", normalized=False), AddedToken("b"), AddedToken("the", normalized=True), AddedToken("he ", normalized=False), AddedToken("\n", rstrip=True, normalized=False)])
    return t


@scheme
def post_many():
    t = pre_raw(BL)
    t.post_processor = O.Sequence([template(t, "<s> <s> $A </s>", "<s>", "</s>"), template(t, "<pad> $A <unk>", "<pad>", "<unk>")])
    return t


CHARS = lambda: [(D.Replace("▁", " "), D.ByteFallback()), (D.ByteFallback(), D.Fuse(), D.Strip(" ", 1, 1)), (D.Fuse(), D.Replace("th", "[TH]")), (D.Fuse(), D.Strip("e", 2, 2)), (D.Strip("▁", 1, 0), D.ByteFallback()), (D.Metaspace(prepend_scheme="never"),),
                 (D.Metaspace(), D.Fuse()), (D.WordPiece(prefix="a"),), (D.BPEDecoder(suffix="e"),), (D.Replace(Regex("[aeiou]"), "_"), D.ByteFallback(), D.Fuse()), (D.ByteFallback(), D.Replace("▁", "~")), (D.Fuse(),),
                 (D.ByteFallback(), D.Metaspace(), D.Fuse(), D.Replace("aab", "x")), (D.Replace("t", ""), D.WordPiece(prefix="##", cleanup=True)), (D.Fuse(), D.Metaspace())]
for i in range(15):
    def decoder(i=i):
        t = spm_bpe(None, P.Metaspace(), D.Sequence(list(CHARS()[i])))
        return t
    ALL["decode-%d" % i] = decoder


@scheme
def decode_none():
    t = spm_bpe(None, P.Metaspace())
    t.decoder = None
    j = json.loads(t.to_str())
    j["decoder"] = None
    return Tokenizer.from_str(json.dumps(j))


@scheme
def bytes_sequence():
    t = pre_raw(BL)
    t.decoder = D.Sequence([D.ByteLevel(), D.Strip(" ", 1, 0)])
    return t


# Where what a token gives depends on those after it, the library gives text that the next token makes another, and we wait.
HELD = ("bpe-suffix", "decode-2", "decode-8", "decode-10", "decode-12", "unigram-bytes")


# ---- writing ----------------------------------------------------------------------------------------------------------

def esc(s):
    return "".join("\\%s" % c if c == "\\" else c if 32 <= ord(c) < 127 else "".join("\\x%02x" % b for b in c.encode()) for c in s)


def results(t, s):
    e, plain = tried(t.encode, s), tried(t.encode, s, add_special_tokens=False)
    if e is None or plain is None:
        return None
    whole = lambda ids: tried(t.decode, ids, skip_special_tokens=False)
    return e.ids, plain.ids, offsets(s, e), whole(e.ids), tried(t.decode, e.ids, skip_special_tokens=True), streamed(whole, e.ids)


def write(name, t):
    os.makedirs(OUT + "/" + name, exist_ok=True)
    j = json.loads(t.to_str())
    with open(OUT + "/" + name + "/tokenizer.json", "w", encoding="utf-8", newline="\n") as f:
        json.dump(j, f, ensure_ascii=False, separators=(",", ":"))
        f.write("\n")
    t, lost = Tokenizer.from_file(OUT + "/" + name + "/tokenizer.json"), Lost(j)
    lines = []
    for s in STRINGS:
        r = results(t, s)
        lines.append(["-"] if r is None else [numbers(r[0]), numbers(r[1]), "-" if lost(s) else numbers(r[2]), text(r[3]), text(r[4]),
                                              "-" if name in HELD or r[5] is None else fnv(b"".join(x + b"\xff" for x in r[5]))])
    lines.append(["random"])
    for ids in lcg(max(t.get_vocab().values()) + 1):
        lines.append([text(tried(t.decode, ids, skip_special_tokens=k)) for k in (False, True)])
    golden_write(name, lines)


def golden_write(name, lines):
    above = []
    with open(OUT + "/" + name + "/golden.txt", "w", newline="\n") as f:
        for line in lines:
            short = ["^" if i < len(above) and len(line) == len(above) and above[i] == x else "=" if i and line[i - 1] == x else x for i, x in enumerate(line)]
            f.write(" ".join(short) + "\n")
            above = line


# ---- SentencePiece's own models, against its own library -----------------------------------------------------------------

def spm_models():
    import sentencepiece as spm
    lines = [x for x in LINES if x.strip() and "\0" not in x]
    plain = dict(normalization_rule_name="identity", vocab_size=420, hard_vocab_limit=False, character_coverage=0.98)
    kinds = {
        "spm-llama": dict(plain, model_type="bpe", byte_fallback=True, vocab_size=700, remove_extra_whitespaces=False),
        "spm-bpe": dict(plain, model_type="bpe", vocab_size=500),
        "spm-bpe-users": dict(plain, model_type="bpe", byte_fallback=True, vocab_size=700, user_defined_symbols=["<user>", "the", "ab c", "ét"], remove_extra_whitespaces=False, add_dummy_prefix=False),
        "spm-unigram": dict(plain, model_type="unigram"),
        "spm-unigram-bytes": dict(plain, model_type="unigram", byte_fallback=True, vocab_size=700, split_digits=True),
        "spm-unigram-users": dict(plain, model_type="unigram", user_defined_symbols=["<user>", "the", "ét"], remove_extra_whitespaces=False),
        "spm-suffix": dict(plain, model_type="unigram", treat_whitespace_as_suffix=True),
        "spm-nfkc": dict(plain, model_type="unigram", normalization_rule_tsv=rules_file(str.casefold)),
    }
    for name, o in kinds.items():
        os.makedirs(OUT + "/" + name, exist_ok=True)
        spm.SentencePieceTrainer.train(sentence_iterator=iter(lines), model_prefix=os.path.relpath(OUT + "/" + name + "/tokenizer"), minloglevel=9, num_threads=1, **o)
        os.remove(OUT + "/" + name + "/tokenizer.vocab")
        p = spm.SentencePieceProcessor(model_file=OUT + "/" + name + "/tokenizer.model")
        spm_write(name, p)
        if name in ("spm-llama", "spm-bpe", "spm-unigram", "spm-nfkc"):
            gguf(OUT + "/" + name, "tokenizer.gguf")


def spm_write(name, p):
    lines = []
    for s in STRINGS:
        if any(x in s for x in ("<s>", "</s>", "<unk>")) or "\0" in s:      # found in the text by us and by transformers, not by this library
            lines.append(["-"])
        else:
            lines.append(["-", numbers(p.encode(s)), "-", "-", "-", "-"])
    golden_write(name, lines)


def spm_user_scores():
    """Not trained: symbols whose score is not what the file says, and runs of blanks whose scores are multiples of each other."""
    import sentencepiece as spm
    from sentencepiece import sentencepiece_model_pb2 as pb
    m = pb.ModelProto()
    blank = -2.1716766357421875
    pieces = [("<unk>", 0, 2), ("<s>", 0, 3), ("</s>", 0, 3)] + [("▁" * n, blank * n, 1) for n in (1, 2, 4)] + [(c, -3.3 - i / 7, 1) for i, c in enumerate("abcdefghijklmnopqrstuvwxyz:=*{}é")]
    pieces += [("he", -1, 1), ("t", -1, 1), ("xt", 0.15, 1), ("the", 0, 4), ("ét", -9, 4), ("(", 0, 4), (")", 0, 4), (",", 0, 4)]
    for piece, score, kind in {p[0]: p for p in pieces}.values():
        q = m.pieces.add()
        q.piece, q.score, q.type = piece, score, kind
    m.trainer_spec.model_type = 1
    m.normalizer_spec.name = "identity"
    m.normalizer_spec.add_dummy_prefix = m.normalizer_spec.remove_extra_whitespaces = False
    os.makedirs(OUT + "/spm-user-scores", exist_ok=True)
    with open(OUT + "/spm-user-scores/tokenizer.model", "wb") as f:
        f.write(m.SerializeToString())
    spm_write("spm-user-scores", spm.SentencePieceProcessor(model_proto=m.SerializeToString()))


def gguf(path, name):
    """The same vocabulary as a GGUF has it: metadata only."""
    import struct
    from sentencepiece import sentencepiece_model_pb2 as pb
    m = pb.ModelProto()
    m.ParseFromString(open(path + "/tokenizer.model", "rb").read())
    text = lambda s: struct.pack("<Q", len(s.encode())) + s.encode()
    array = lambda kind, fmt, v: struct.pack("<IIQ", 9, kind, len(v)) + b"".join(text(x) if fmt == "s" else struct.pack(fmt, x) for x in v)
    number = lambda n: struct.pack("<II", 4, n & 0xFFFFFFFF)
    flag = lambda b: struct.pack("<I?", 7, b)
    pairs = [("general.architecture", struct.pack("<I", 8) + text("llama")), ("tokenizer.ggml.model", struct.pack("<I", 8) + text("llama" if m.trainer_spec.model_type == 2 else "t5")),
             ("tokenizer.ggml.tokens", array(8, "s", [p.piece for p in m.pieces])), ("tokenizer.ggml.scores", array(6, "<f", [p.score for p in m.pieces])), ("tokenizer.ggml.token_type", array(5, "<i", [p.type for p in m.pieces])),
             ("tokenizer.ggml.unknown_token_id", number(m.trainer_spec.unk_id)), ("tokenizer.ggml.bos_token_id", number(m.trainer_spec.bos_id)), ("tokenizer.ggml.eos_token_id", number(m.trainer_spec.eos_id)),
             ("tokenizer.ggml.add_space_prefix", flag(m.normalizer_spec.add_dummy_prefix)), ("tokenizer.ggml.remove_extra_whitespaces", flag(m.normalizer_spec.remove_extra_whitespaces))]
    if m.normalizer_spec.precompiled_charsmap:
        pairs.append(("tokenizer.ggml.precompiled_charsmap", array(0, "<B", m.normalizer_spec.precompiled_charsmap)))
    with open(path + "/" + name, "wb") as f:
        f.write(b"GGUF" + struct.pack("<IQQ", 3, 0, len(pairs)) + b"".join(text(k) + v for k, v in pairs) + b"\0" * 64)


def main():
    if len(sys.argv) > 2:
        s = STRINGS[int(sys.argv[2])]
        print(repr(s), *(results(Tokenizer.from_file(OUT + "/" + sys.argv[1] + "/tokenizer.json"), s) or ["a panic"]), sep="\n")
        return
    os.makedirs(OUT, exist_ok=True)
    if len(sys.argv) == 1:
        shutil.rmtree(OUT)
        os.makedirs(OUT)
    with open(OUT + "/strings.txt", "w", newline="\n") as f:
        f.writelines(esc(s) + "\n" for s in STRINGS)
    for name in sys.argv[1:] or [*ALL, "spm-user-scores"]:
        if name in ALL:
            write(name, ALL[name]())
        else:
            spm_user_scores()
    if len(sys.argv) == 1:
        spm_models()
    with open(TRAINED, "w", encoding="utf-8", newline="\n") as f:
        json.dump(MADE, f, ensure_ascii=False, separators=(",", ":"))
        f.write("\n")
    with open(OUT + "/names.txt", "w", newline="\n") as f:
        f.writelines(n + "\n" for n in sorted(os.listdir(OUT)) if os.path.isdir(OUT + "/" + n))


main()
