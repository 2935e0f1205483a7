#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Tiny random models of the families since the seed, as make_families.py makes them (its format, its functions).

    python3 tests/golden/make_newer_families.py [NAME ...]  # needs torch, transformers 5, gguf; writes families/NAME/

A GGUF twin is named by the tables of the package gguf, and laid out as llama.cpp's converter of that family does: what GGUF below says of it.
Shapes are awkward on purpose: windows shorter than the prompt, groups, heads that are no power of two wide, odd widths.
"""
import gguf
import numpy
import torch

from make_families import Case, make_all, old_rope, turned_pairs, with_extra

BF16, F16 = torch.bfloat16, torch.float16


def common(w, c):
    """What every writer says."""
    heads = c.num_attention_heads
    w.add_block_count(c.num_hidden_layers)
    w.add_embedding_length(c.hidden_size)
    w.add_context_length(getattr(c, "max_position_embeddings", None) or c.max_seq_len)
    w.add_feed_forward_length(getattr(c, "intermediate_size", None) or getattr(c, "n_inner", None) or 4 * c.hidden_size)
    w.add_head_count(heads)
    w.add_head_count_kv(getattr(c, "num_key_value_heads", None) or heads)
    w.add_vocab_size(c.vocab_size)
    head = getattr(c, "head_dim", None)
    if head:
        w.add_key_length(head)
        w.add_value_length(head)
    if getattr(c, "rms_norm_eps", None):
        w.add_layer_norm_rms_eps(c.rms_norm_eps)
    else:
        w.add_layer_norm_eps(getattr(c, "layer_norm_eps", None) or getattr(c, "layer_norm_epsilon", None) or getattr(c, "norm_epsilon", None) or 1e-5)
    rope = getattr(c, "rope_parameters", None) or {}
    rope = rope.get("full_attention", rope)
    if rope:
        w.add_rope_dimension_count(int((head or c.hidden_size // heads) * rope.get("partial_rotary_factor", 1.0)))
        w.add_rope_freq_base(rope["rope_theta"])
        if rope["rope_type"] == "linear":
            w.add_rope_scaling_type(gguf.RopeScalingType.LINEAR)
            w.add_rope_scaling_factor(rope["factor"])


def gemma2(w, c):
    w.add_sliding_window(c.sliding_window)
    w.add_attn_logit_softcapping(c.attn_logit_softcapping)
    w.add_final_logit_softcapping(c.final_logit_softcapping)


def granite(w, c):
    w.add_embedding_scale(c.embedding_multiplier)
    w.add_attention_scale(c.attention_multiplier)
    w.add_residual_scale(c.residual_multiplier)
    w.add_logit_scale(c.logits_scaling)


def mpt(w, c):
    w.add_clamp_kqv(c.attn_config.clip_qkv)
    w.add_max_alibi_bias(c.attn_config.alibi_bias_max)


def cohere2(w, c):
    w.add_logit_scale(c.logit_scale)
    w.add_sliding_window(c.sliding_window)


def phi3(w, c):
    rope = c.rope_parameters
    if rope["rope_type"] == "longrope":
        w.add_rope_scaling_orig_ctx_len(rope["original_max_position_embeddings"])
        for key in ("short", "long"):
            w.add_tensor(f"rope_factors_{key}.weight", numpy.array(rope[key + "_factor"], numpy.float32))
    if c.sliding_window:
        w.add_sliding_window(c.sliding_window)


def moe(w, c):
    w.add_expert_count(getattr(c, "num_local_experts", None) or c.num_experts)
    w.add_expert_used_count(c.num_experts_per_tok)
    if hasattr(c, "moe_intermediate_size"):
        w.add_expert_feed_forward_length(c.moe_intermediate_size)
    if hasattr(c, "shared_expert_intermediate_size"):
        w.add_expert_shared_feed_forward_length(c.shared_expert_intermediate_size)


class Form:
    """arch: llama.cpp's word; turned: rows of q and k are permuted; more: norms' weights have 1 added; put: further keys."""

    def __init__(self, arch, turned=False, more=False, transposed=False, put=None):
        self.arch, self.turned, self.more, self.transposed, self.put = arch, turned, more, transposed, put


GGUF = {
    "GPT2": Form("gpt2", transposed=True), "Mpt": Form("mpt", put=mpt), "Qwen2": Form("qwen2"), "Qwen3": Form("qwen3"), "Phi": Form("phi2"),
    "Phi3": Form("phi3", put=phi3), "StableLm": Form("stablelm", put=lambda w, c: w.add_parallel_residual(c.use_parallel_residual)),
    "Starcoder2": Form("starcoder2"), "Olmo": Form("olmo", turned=True, put=lambda w, c: w.add_clamp_kqv(c.clip_qkv)), "Olmo2": Form("olmo2"),
    "Cohere": Form("command-r", put=lambda w, c: w.add_logit_scale(c.logit_scale)), "Cohere2": Form("cohere2", put=cohere2),
    "Granite": Form("granite", turned=True, put=granite), "SmolLM3": Form("smollm3", turned=True), "Gemma": Form("gemma", more=True),
    "Gemma2": Form("gemma2", more=True, put=gemma2),
    "Mixtral": Form("llama", turned=True, put=moe), "Qwen2Moe": Form("qwen2moe", put=moe), "Qwen3Moe": Form("qwen3moe", put=moe),
    "Gemma3Text": Form("gemma3", more=True, put=lambda w, c: w.add_sliding_window(c.sliding_window)),
}


def tensors(case, model):
    form, c = GGUF[case.kind], model.config
    heads = c.num_attention_heads
    kv_heads = getattr(c, "num_key_value_heads", None) or heads
    names = gguf.get_tensor_name_map({v: k for k, v in gguf.MODEL_ARCH_NAMES.items()}[form.arch], c.num_hidden_layers)
    seen = set()
    for name, t in model.state_dict().items():
        if t.data_ptr() in seen:
            continue
        seen.add(t.data_ptr())
        if "experts." in name:
            block = "blk." + name.split("layers.")[1].split(".")[0]
            if name.endswith("down_proj"):
                yield block + ".ffn_down_exps.weight", t
            else:
                yield block + ".ffn_gate_exps.weight", t[:, :t.shape[1] // 2]
                yield block + ".ffn_up_exps.weight", t[:, t.shape[1] // 2:]
            continue
        if name.endswith("shared_expert_gate.weight"):
            t = t[0]
        new = names.get_name(name, try_suffixes=(".weight", ".bias"))
        if form.transposed and name.endswith(("c_attn.weight", "c_proj.weight", "c_fc.weight")):
            t = t.T
        if form.turned and ".attn_q." in new:
            t = turned_pairs(t, heads)
        if form.turned and ".attn_k." in new:
            t = turned_pairs(t, kv_heads)
        if form.more and name.endswith("norm.weight"):
            t = t + 1
        yield new, t


def save_gguf(case, model, path):
    form = GGUF[case.kind]
    w = gguf.GGUFWriter(path, form.arch)
    common(w, model.config)
    if form.put:
        form.put(w, model.config)
    for name, t in tensors(case, model):
        if case.dtype == BF16 and t.dim() > 1 and "norm" not in name:
            w.add_tensor(name, t.to(BF16).contiguous().view(torch.int16).numpy().view(numpy.uint8),
                         raw_dtype=gguf.GGMLQuantizationType.BF16)
        else:
            half = case.dtype == F16 and t.dim() > 1 and "norm" not in name
            w.add_tensor(name, t.to(F16 if half else torch.float32).contiguous().numpy())
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()


def experts_apart(names, gate):
    """What the library keeps of all experts in one tensor, as files have it: gate, up and down of each."""
    def change(tensors, config):
        out = {}
        for name, t in tensors.items():
            stem = name.rsplit(".", 1)[0]
            if name.endswith("experts.gate_up_proj"):
                half = t.shape[1] // 2
                for e in range(t.shape[0]):
                    out[f"{stem}.{e}.{names[0]}.weight"], out[f"{stem}.{e}.{names[1]}.weight"] = t[e, :half], t[e, half:]
            elif name.endswith("experts.down_proj"):
                for e in range(t.shape[0]):
                    out[f"{stem}.{e}.{names[2]}.weight"] = t[e]
            else:
                out[name.replace(".mlp.router.", ".mlp.gate.")] = t
        return {n.replace(".mlp.", gate): t for n, t in out.items()}
    return change


def plain_experts(model):
    """Loops over the experts: the library's other way wants widths that are multiples of 16 bytes."""
    model.set_experts_implementation("eager")


MIXTRAL = experts_apart(("w1", "w3", "w2"), ".block_sparse_moe.")
QWEN = experts_apart(("gate_proj", "up_proj", "down_proj"), ".mlp.")


def case(name, kind, twin=False, dtype=BF16, **config):
    cls = {"GPT2": "GPT2LMHeadModel", "Gemma3Text": "Gemma3ForCausalLM"}.get(kind)
    return Case(name, kind, dtype=dtype, twin=twin, writer=save_gguf, cls=cls, **config)


GPT = dict(vocab_size=47, n_embd=24, n_layer=2, n_head=3, n_positions=64)
LLAMA = dict(vocab_size=47, hidden_size=24, intermediate_size=28, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
             max_position_embeddings=64)
HEAD = dict(LLAMA, head_dim=10)
DEFAULT = {"rope_type": "default", "rope_theta": 10000.0}


def hub_gemma3(c):
    """Of the days before each kind of layer had rope parameters of its own."""
    rope = c.pop("rope_parameters")
    c.pop("layer_types")
    c["rope_theta"], c["rope_local_base_freq"] = rope["full_attention"]["rope_theta"], rope["sliding_attention"]["rope_theta"]
    c["rope_scaling"] = {"rope_type": "linear", "factor": rope["full_attention"]["factor"]}
    c["sliding_window_pattern"], c["torch_dtype"] = 3, c.pop("dtype")


def hub_phi3(c):
    rope = c.pop("rope_parameters")
    c["rope_theta"], c["original_max_position_embeddings"] = rope["rope_theta"], rope["original_max_position_embeddings"]
    c["rope_scaling"] = {"type": "longrope", "short_factor": rope["short_factor"], "long_factor": rope["long_factor"]}
    c["torch_dtype"] = c.pop("dtype")


def mind_alibi_bias_max(model):
    """The library reads it and takes 8 always; MPT's own code (and MPT-7B-StoryWriter, whose is 16) means it."""
    build = model.transformer.build_mpt_alibi_tensor
    model.transformer.build_mpt_alibi_tensor = lambda heads, length, device=None: build(heads, length, model.config.attn_config.alibi_bias_max, device)


def neo_types(c):
    c.pop("attention_layers", None)


def longrope(**more):
    return {"rope_type": "longrope", "rope_theta": 10000.0, "original_max_position_embeddings": 40,
            "short_factor": [1.0 + 0.05 * i for i in range(5)], "long_factor": [1.5 + 0.7 * i for i in range(5)], **more}


GEMMA3_ROPE = {"full_attention": {"rope_type": "linear", "factor": 4.0, "rope_theta": 50000.0},
               "sliding_attention": {"rope_type": "default", "rope_theta": 10000.0}}
PATTERN6 = ["sliding_attention"] * 5 + ["full_attention"]
GEMMA3 = dict(HEAD, num_hidden_layers=6, intermediate_size=16, hidden_size=24, rope_parameters=GEMMA3_ROPE, sliding_window=7,
              query_pre_attn_scalar=10, layer_types=PATTERN6)

# At the end of a list: a case's number is its seed.
CASES = [
    case("gpt2", "GPT2", twin=True, spread=0.4, n_inner=33, **GPT),
    case("gpt2-by-layer", "GPT2", dtype=F16, spread=0.4, form="safetensors-sharded", scale_attn_by_inverse_layer_idx=True, tensors=with_extra(
        transformer__h__0__attn__bias=torch.ones(1, 1, 8, 8, dtype=torch.uint8)), **GPT),
    case("gptj", "GPTJ", rotary_dim=6, n_inner=33, **GPT),
    case("gpt-neo", "GPTNeo", window_size=7, attention_types=[[["global", "local"], 1]], vocab_size=47, hidden_size=25, num_layers=2,
         num_heads=5, max_position_embeddings=64, intermediate_size=31),
    case("gpt-neo-types", "GPTNeo", dtype=F16, window_size=1, edit=neo_types, attention_types=[[["local"], 2], [["global"], 1]], vocab_size=43,
         hidden_size=24, num_layers=3, num_heads=3, max_position_embeddings=64, intermediate_size=20),
    case("codegen", "CodeGen", rotary_dim=8, n_inner=33, **dict(GPT, n_embd=32, n_head=4, n_ctx=64)),
    case("mpt", "Mpt", twin=True, prepare=mind_alibi_bias_max, attn_config={"clip_qkv": 1.5, "alibi_bias_max": 6}, vocab_size=47, d_model=18, n_heads=6, n_layers=2,
         max_seq_len=64),
    case("mistral", "Mistral", sliding_window=9, form="safetensors-sharded", edit=old_rope(), **HEAD),
    case("qwen2", "Qwen2", twin=True, **LLAMA),
    case("qwen2-window", "Qwen2", use_sliding_window=True, sliding_window=11, max_window_layers=1, edit=lambda c: c.pop("layer_types"), **LLAMA),
    case("qwen3", "Qwen3", twin=True, **HEAD),
    case("phi", "Phi", twin=True, **dict(LLAMA, num_key_value_heads=4, hidden_size=32, rope_parameters=dict(DEFAULT, partial_rotary_factor=0.5))),
    case("phi-normed", "Phi", qk_layernorm=True, dtype=F16, **dict(LLAMA, hidden_size=32)),
    case("phi3", "Phi3", twin=True, sliding_window=9, pad_token_id=0, **LLAMA),
    case("phi3-long", "Phi3", twin=True, prompt=50, pad_token_id=0, edit=hub_phi3, original_max_position_embeddings=40,
         rope_parameters=longrope(), **dict(LLAMA, hidden_size=40, max_position_embeddings=128)),
    case("phi3-long-crossing", "Phi3", cached=True, prompt=30, pad_token_id=0, original_max_position_embeddings=40,
         rope_parameters=longrope(partial_rotary_factor=0.75), **dict(LLAMA, hidden_size=28, num_attention_heads=2, max_position_embeddings=128)),
    case("stablelm", "StableLm", twin=True, use_qkv_bias=True, rope_parameters=dict(DEFAULT, partial_rotary_factor=0.5),
         **dict(LLAMA, hidden_size=32)),
    case("stablelm-parallel", "StableLm", twin=True, dtype=F16, use_parallel_residual=True,
         rope_parameters=dict(DEFAULT, partial_rotary_factor=0.25), **dict(LLAMA, hidden_size=32)),
    case("starcoder2", "Starcoder2", twin=True, **dict(LLAMA)),
    case("starcoder2-window", "Starcoder2", dtype=F16, sliding_window=8, use_bias=False, tie_word_embeddings=False, **LLAMA),
    case("olmo", "Olmo", twin=True, clip_qkv=1.25, **LLAMA),
    case("olmo2", "Olmo2", twin=True, **LLAMA),
    case("cohere", "Cohere", twin=True, use_qk_norm=True, logit_scale=0.75, **LLAMA),
    case("cohere-plain", "Cohere", dtype=F16, logit_scale=0.5, **LLAMA),
    case("cohere2", "Cohere2", twin=True, sliding_window=6, logit_scale=1.5, **dict(HEAD, num_hidden_layers=4, intermediate_size=19)),
    case("granite", "Granite", twin=True, embedding_multiplier=3.0, attention_multiplier=0.3, residual_multiplier=0.4, logits_scaling=0.5,
         **LLAMA),
    case("smollm3", "SmolLM3", twin=True, pad_token_id=0, **dict(LLAMA, num_hidden_layers=4, intermediate_size=19)),
    case("smollm3-window", "SmolLM3", dtype=F16, pad_token_id=0, use_sliding_window=True, sliding_window=6, no_rope_layers=[1, 0, 1], tie_word_embeddings=False,
         **dict(LLAMA, num_hidden_layers=3, intermediate_size=19)),
    case("gemma", "Gemma", twin=True, **HEAD),
    case("gemma2", "Gemma2", twin=True, sliding_window=9, query_pre_attn_scalar=10, attn_logit_softcapping=3.0, final_logit_softcapping=4.0,
         **HEAD),
    case("gemma3", "Gemma3Text", twin=True, **GEMMA3),
    case("gemma3-hub", "Gemma3Text", dtype=F16, edit=hub_gemma3, **dict(GEMMA3, rope_parameters=dict(
        GEMMA3_ROPE, sliding_attention=dict(DEFAULT, rope_theta=3000.0)), num_hidden_layers=3, layer_types=["sliding_attention"] * 2 + ["full_attention"])),
    case("mixtral", "Mixtral", twin=True, tensors=MIXTRAL, prepare=plain_experts, num_local_experts=5, num_experts_per_tok=2, **dict(LLAMA, intermediate_size=14)),
    case("mixtral-window", "Mixtral", dtype=F16, tensors=MIXTRAL, prepare=plain_experts,
         form="safetensors-sharded", num_local_experts=4, num_experts_per_tok=3,
         sliding_window=8, **dict(LLAMA, intermediate_size=11)),
    case("qwen2-moe", "Qwen2Moe", twin=True, tensors=QWEN, prepare=plain_experts, num_experts=6, num_experts_per_tok=3, moe_intermediate_size=10,
         shared_expert_intermediate_size=18, **LLAMA),
    case("qwen3-moe", "Qwen3Moe", twin=True, tensors=QWEN, prepare=plain_experts, num_experts=7, num_experts_per_tok=2, moe_intermediate_size=9, norm_topk_prob=True,
         **HEAD),
    case("qwen3-moe-shares", "Qwen3Moe", dtype=F16, tensors=QWEN, prepare=plain_experts, num_experts=4,
         num_experts_per_tok=1, moe_intermediate_size=12, norm_topk_prob=False, attention_bias=True, **HEAD),
    case("phimoe", "Phimoe", tensors=MIXTRAL, prepare=plain_experts, num_local_experts=5, attention_bias=True, lm_head_bias=True, sliding_window=9,
         router_jitter_noise=0.15, **dict(LLAMA, intermediate_size=12)),
    case("gpt-oss", "GptOss", prepare=plain_experts, num_local_experts=5, num_experts_per_tok=2, swiglu_limit=1.5, sliding_window=7, pad_token_id=0,
         rope_parameters={"rope_type": "yarn", "factor": 4.0, "rope_theta": 15000.0, "beta_fast": 32.0, "beta_slow": 1.0, "truncate": False,
                          "original_max_position_embeddings": 16}, **dict(HEAD, intermediate_size=12)),
]

if __name__ == "__main__":
    make_all(CASES, 101)
