#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""
Maker of token-texts.txt: the text of each token by text-generation-inference's two offsets, for the small tokenizers of
tokenizers/ and random ids. Needs `tokenizers`.

    NAME SEED VOCAB PROMPT LEN HASH PROMPT ids of a prompt, then LEN - PROMPT generated ones: the n-th id is the n-th number of
                                    the linear generator of make_sampling.py, >> 33, modulo the vocabulary. The hash (FNV-1a,
                                    64 bits) is over every token's text and a zero byte behind each

The last token gives what is still held, which TGI keeps to itself.
Run: make_token_texts.py > token-texts.txt
"""
import pathlib
import sys

from tokenizers import Tokenizer
import tokenizers

HERE = pathlib.Path(__file__).parent


def ids_of(seed, n, vocab):
    out = []
    for _ in range(n):
        seed = (seed * 6364136223846793005 + 1442695040888963407) % 2**64
        out.append((seed >> 33) % vocab)
    return out


def texts(tok, ids, prompt):
    prefix, read = max(prompt - 5, 0), prompt
    for end in range(prompt + 1, len(ids) + 1):
        old = tok.decode(ids[prefix:read], skip_special_tokens=False)
        new = tok.decode(ids[prefix:end], skip_special_tokens=False)
        if end == len(ids) or (len(new) > len(old) and not new.endswith("\ufffd")):
            yield new[len(old):]
            prefix, read = read, end
        else:
            yield ""


def fnv(data):
    h = 0xcbf29ce484222325
    for b in data:
        h = (h ^ b) * 0x100000001b3 % 2**64
    return f"{h:016x}"


def main():
    only = sys.argv[1:]
    print(f"# made by make_token_texts.py with tokenizers {tokenizers.__version__}")
    for path in sorted((HERE / "tokenizers").glob("*/tokenizer.json")):
        name = path.parent.name
        try:
            tok = Tokenizer.from_file(str(path))
        except Exception:
            continue
        vocab = tok.get_vocab_size()
        for seed, prompt, n in ((1, 1, 60), (2, 9, 60), (3, 3, 150)):
            ids = ids_of(seed, n, vocab)
            try:
                made = list(texts(tok, ids, prompt))
            except BaseException:
                continue
            if only == [name, str(seed)]:
                for i, t in zip(ids[prompt:], made):
                    print(i, repr(t), repr(tok.id_to_token(i)))
            print(name, seed, vocab, prompt, n, fnv(b"".join(t.encode() + b"\0" for t in made)))


if __name__ == "__main__":
    main()
