#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Goldens of generation: make_generate.py MODEL.gguf OUT.json

64 greedy tokens of each prompt, prompt log-probabilities of two, and the perplexity of text.txt, by the Hugging Face
library in float32 on the dequantised weights of the GGUF. Needs torch, transformers, gguf, numpy; tokenizers by way of
make_tokenizer.py's rules. test_golden.c reads the file.

A prompt whose greedy path comes closer than MARGIN to a tie (log-probability of the best minus that of the second)
proves nothing about anybody's arithmetic: the script refuses it, choose another one. The end-of-text token is not
special here: all 64 tokens are generated (ignore_eos).
"""
import json
import os
import sys

import gguf
import numpy as np
import torch
from tokenizers import AddedToken, Tokenizer, models, pre_tokenizers as P
from transformers import LlamaConfig, LlamaForCausalLM

MODEL, OUT = sys.argv[1:3]
MARGIN, TOKENS = 2e-3, 64
torch.set_num_threads(int(os.environ.get("THREADS", "2")))
torch.set_grad_enabled(False)

PROMPTS = [
    "The capital of France is",
    "<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>\n<|im_start|>user\nWhy is the sky blue?<|im_end|>\n<|im_start|>assistant\n",
    "Once upon a time, in a small village by the sea, there lived",
    "def fibonacci(n):\n    \"\"\"Return the n-th Fibonacci number.\"\"\"\n",
    "<|im_start|>user\nWrite a short poem about the rain.<|im_end|>\n<|im_start|>assistant\n",
    "1, 2, 3, 4, 5, 6, 7, 8,",
    "The three most important inventions of the twentieth century were",
    "Question: What is the boiling point of water in degrees Celsius?\nAnswer:",
    "La ville de Paris est la capitale de la",
    "#include <stdio.h>\n\nint main(void)\n{\n\tprintf(\"Hello",
    "In the year 1969, astronauts",
    "To make a good cup of tea, first",
    "<|im_start|>user\nList five fruits.<|im_end|>\n<|im_start|>assistant\n",
    "Photosynthesis is the process by which",
    "The quick brown fox jumps over the lazy dog. The quick brown fox",
    "SELECT name, age FROM users WHERE",
]
WANTED = 10


def load():
    r = gguf.GGUFReader(MODEL)
    k = lambda n: r.fields[n].contents()
    a = "llama."
    heads, kv = k(a + "attention.head_count"), k(a + "attention.head_count_kv")
    t = {x.name: x for x in r.tensors}
    get = lambda n: torch.from_numpy(np.array(gguf.dequantize(t[n].data, t[n].tensor_type))).float()
    # GGUF rotates neighbours, the library halves: undo the permutation of the rows of q and k.
    half = lambda w, h: w.reshape(h, w.shape[0] // h // 2, 2, w.shape[1]).swapaxes(1, 2).reshape(w.shape)
    c = LlamaConfig(vocab_size=len(k("tokenizer.ggml.tokens")), hidden_size=k(a + "embedding_length"), intermediate_size=k(a + "feed_forward_length"),
                    num_hidden_layers=k(a + "block_count"), num_attention_heads=heads, num_key_value_heads=kv, max_position_embeddings=k(a + "context_length"),
                    rms_norm_eps=k(a + "attention.layer_norm_rms_epsilon"), rope_theta=k(a + "rope.freq_base"),
                    rope_parameters={"rope_type": "default", "rope_theta": k(a + "rope.freq_base")}, tie_word_embeddings="output.weight" not in t)
    m = LlamaForCausalLM(c).float().eval()
    sd = {"model.embed_tokens.weight": get("token_embd.weight"), "model.norm.weight": get("output_norm.weight")}
    for i in range(c.num_hidden_layers):
        b, l = f"blk.{i}.", f"model.layers.{i}."
        sd[l + "self_attn.q_proj.weight"] = half(get(b + "attn_q.weight"), heads)
        sd[l + "self_attn.k_proj.weight"] = half(get(b + "attn_k.weight"), kv)
        for x, y in (("self_attn.v_proj", "attn_v"), ("self_attn.o_proj", "attn_output"), ("mlp.gate_proj", "ffn_gate"), ("mlp.up_proj", "ffn_up"),
                     ("mlp.down_proj", "ffn_down"), ("input_layernorm", "attn_norm"), ("post_attention_layernorm", "ffn_norm")):
            sd[l + x + ".weight"] = get(b + y + ".weight")
    missing = m.load_state_dict(sd, strict=False)
    assert not missing.unexpected_keys and set(missing.missing_keys) <= {"lm_head.weight"}, missing
    m.tie_weights()
    assert torch.equal(m.lm_head.weight, sd["model.embed_tokens.weight"])
    tokens, types = k("tokenizer.ggml.tokens"), k("tokenizer.ggml.token_type")
    z = Tokenizer(models.BPE({x: i for i, x in enumerate(tokens)}, [tuple(x.split(" ")) for x in k("tokenizer.ggml.merges")]))
    z.pre_tokenizer = P.Sequence([P.Digits(individual_digits=True), P.ByteLevel(add_prefix_space=False, use_regex=True)])
    z.add_special_tokens([AddedToken(x, normalized=False, special=True) for x, y in zip(tokens, types) if y == 3])
    return m, lambda s: z.encode(s, add_special_tokens=False).ids


def greedy(m, ids):
    out, logps, least, past, x = [], [], 9.0, None, torch.tensor([ids])
    for _ in range(TOKENS):
        y = m(x, past_key_values=past, use_cache=True)
        past = y.past_key_values
        lp = torch.log_softmax(y.logits[0, -1].float(), -1)
        top = torch.topk(lp, 2)
        least = min(least, float(top.values[0] - top.values[1]))
        out.append(int(top.indices[0]))
        logps.append(round(float(top.values[0]), 6))
        x = torch.tensor([[out[-1]]])
    return out, logps, least


def prompt_logprobs(m, ids):
    lp = torch.log_softmax(m(torch.tensor([ids])).logits[0].float(), -1)
    return [float(lp[i, ids[i + 1]]) for i in range(len(ids) - 1)]


def main():
    m, encode = load()
    cases = []
    for s in PROMPTS:
        if len(cases) == WANTED:
            break
        ids = encode(s)
        out, logps, least = greedy(m, ids)
        print("%-10s margin %.5f  %r" % ("kept" if least >= MARGIN else "refused", least, s[-50:]), flush=True)
        if least >= MARGIN:
            cases.append({"prompt": s, "prompt_ids": ids, "ids": out, "logprobs": logps, "margin": round(least, 6)})
    assert len(cases) == WANTED, "more prompts are needed"
    for c in cases[:2]:
        c["prompt_logprobs"] = [round(x, 6) for x in prompt_logprobs(m, c["prompt_ids"])]
    text = open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "text.txt"), encoding="utf-8").read()
    ids = encode(text)
    lp = prompt_logprobs(m, ids)
    whole = {"tokens": len(ids), "mean_logprob": round(sum(lp) / len(lp), 8), "perplexity": round(float(np.exp(-sum(lp) / len(lp))), 6)}
    print("text.txt:", whole)
    import tokenizers, transformers
    made = {"torch": torch.__version__, "transformers": transformers.__version__, "tokenizers": tokenizers.__version__, "dtype": "float32"}
    with open(OUT, "w", encoding="utf-8") as f:     # one case a line: a diff shows which one moved
        f.write("{\n\"made\": %s,\n\"text\": %s,\n\"cases\": [\n" % (json.dumps(made), json.dumps(whole)))
        f.write(",\n".join(json.dumps(c, ensure_ascii=False) for c in cases) + "\n]\n}\n")


main()
