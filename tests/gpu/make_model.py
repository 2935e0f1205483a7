# SPDX-License-Identifier: Apache-2.0
"""A GGUF file with random bf16 weights at the shape of a real model, for measuring speed; its answers are noise.

    make_model.py SHAPE OUT.gguf        SHAPE: a row of SHAPES

One block of random numbers is written again and again: what is measured depends on bytes, not on what they say. The numbers
are small, so that 32 layers of them stay finite. GGUF version 3: https://github.com/ggml-org/ggml, docs/gguf.md.
"""
import random, struct, sys

# layers, width, heads, kv heads, head width, ffn, vocabulary, context
SHAPES = {
    "llama-3-8b": (32, 4096, 32, 8, 128, 14336, 128256, 8192),
    "llama-3.2-1b": (16, 2048, 32, 8, 64, 8192, 128256, 8192),
    "smollm2-135m": (30, 576, 9, 3, 64, 1536, 49152, 8192),
    "tiny": (2, 256, 4, 2, 64, 512, 1024, 1024),
}
U32, F32, STRING, ARRAY = 4, 6, 8, 9
TYPE_F32, TYPE_BF16 = 0, 30
ALIGN = 32


def string(s):
    b = s.encode()
    return struct.pack("<Q", len(b)) + b


def value(v):
    if isinstance(v, str):
        return struct.pack("<I", STRING) + string(v)
    if isinstance(v, float):
        return struct.pack("<If", F32, v)
    if isinstance(v, list) and v and isinstance(v[0], str):
        return struct.pack("<IIQ", ARRAY, STRING, len(v)) + b"".join(map(string, v))
    if isinstance(v, list):
        return struct.pack("<IIQ", ARRAY, 5, len(v)) + struct.pack("<%di" % len(v), *v)
    return struct.pack("<II", U32, v)


def byte_alphabet():
    """GPT-2's characters for bytes."""
    plain = list(range(33, 127)) + list(range(161, 173)) + list(range(174, 256))
    extra = [b for b in range(256) if b not in plain]
    return [chr(b) if b in plain else chr(256 + extra.index(b)) for b in range(256)]


def main():
    layers, width, heads, kv_heads, head, ffn, vocab, context = SHAPES[sys.argv[1]]
    tokens = ["<|end|>"] + byte_alphabet()
    tokens += ["word%d" % i for i in range(vocab - len(tokens))]
    meta = {"general.architecture": "llama", "general.name": sys.argv[1] + " (random)", "llama.block_count": layers,
            "llama.context_length": context, "llama.embedding_length": width, "llama.feed_forward_length": ffn,
            "llama.attention.head_count": heads, "llama.attention.head_count_kv": kv_heads,
            "llama.attention.key_length": head, "llama.attention.value_length": head,
            "llama.rope.dimension_count": head, "llama.rope.freq_base": 500000.0,
            "llama.attention.layer_norm_rms_epsilon": 1e-5, "llama.vocab_size": vocab, "tokenizer.ggml.model": "gpt2",
            "tokenizer.ggml.pre": "llama-bpe", "tokenizer.ggml.tokens": tokens,
            "tokenizer.ggml.token_type": [3] + [1] * (vocab - 1), "tokenizer.ggml.merges": ["a b"],
            "tokenizer.ggml.bos_token_id": 0, "tokenizer.ggml.eos_token_id": 0}
    tokens[257] = "ab"          # the one merge's
    tensors = [("token_embd.weight", (vocab, width)), ("output.weight", (vocab, width)), ("output_norm.weight", (width,))]
    for i in range(layers):
        b = "blk.%d." % i
        tensors += [(b + "attn_norm.weight", (width,)), (b + "ffn_norm.weight", (width,)),
                    (b + "attn_q.weight", (heads * head, width)), (b + "attn_k.weight", (kv_heads * head, width)),
                    (b + "attn_v.weight", (kv_heads * head, width)), (b + "attn_output.weight", (width, heads * head)),
                    (b + "ffn_gate.weight", (ffn, width)), (b + "ffn_up.weight", (ffn, width)),
                    (b + "ffn_down.weight", (width, ffn))]
    rng = random.Random(1)
    block = b"".join(struct.pack("<f", rng.uniform(-0.02, 0.02))[2:] for _ in range(1 << 20))
    head_bytes = b"GGUF" + struct.pack("<IQQ", 3, len(tensors), len(meta))
    head_bytes += b"".join(string(k) + value(v) for k, v in meta.items())
    at = 0
    for name, dims in tensors:
        size = 4 * dims[0] if len(dims) == 1 else 2 * dims[0] * dims[1]
        head_bytes += string(name) + struct.pack("<I", len(dims)) + struct.pack("<%dQ" % len(dims), *reversed(dims))
        head_bytes += struct.pack("<IQ", TYPE_F32 if len(dims) == 1 else TYPE_BF16, at)
        at += -(-size // ALIGN) * ALIGN
    with open(sys.argv[2], "wb") as f:
        f.write(head_bytes + bytes(-len(head_bytes) % ALIGN))
        for name, dims in tensors:
            if len(dims) == 1:
                data = struct.pack("<f", 1.0) * dims[0]
                f.write(data + bytes(-len(data) % ALIGN))
                continue
            left = 2 * dims[0] * dims[1]
            pad = -left % ALIGN
            while left:
                n = min(left, len(block))
                f.write(block[:n] if n < len(block) else block)
                left -= n
            f.write(bytes(pad))


main()
