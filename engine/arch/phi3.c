/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Phi-3, Phi-3.5 and Phi-4 (Abdin et al. 2024): Llama with q, k and v in one tensor, gate and up in another, a window in some, and
 * longrope: frequencies that are stretched one by one, by one list up to the length it was trained for and by another beyond it.
 */
#include "engine/arch/config.h"

static sk_status phi3_config(struct sk_dims *d, const struct sk_weights *w, struct sk_err *err)
{
	sk_status st;

	d->context_max = 4096;          /* of Phi3Config */
	st = sk_config_hf(w, d, err);
	if (st >= 0)
		st = sk_config_int(w, "sliding_window", 1, SK_CONTEXT_MAX, &d->window, err);
	sk_config_all_local(d);
	return st;
}

/* llama.cpp takes no notice of a window here; the configuration it was made of says whether there is one. */
static sk_status phi3_gguf(struct sk_dims *d, const struct sk_weights *w, struct sk_err *err)
{
	struct sk_rope *r = &d->rope;
	sk_status st = sk_config_gguf_windowed(w, d, err);

	sk_config_all_local(d);
	if (st < 0 || !sk_weights_find(w, "rope_factors_long.weight"))
		return st;
	r->scaling = SK_ROPE_LONG;
	r->original = d->context_max;
	st = sk_config_int(w, ".rope.scaling.original_context_length", 2, SK_CONTEXT_MAX, &r->original, err);
	r->factor = (float)d->context_max / (float)r->original;
	return st < 0 ? st : sk_config_float(w, ".rope.scaling.attn_factor", 1e6, &r->attention, err);
}

static const struct sk_weight_rule phi3_weights[] = {
	SK_HF_ENDS, SK_HF_NORMS, SK_HF_GLU_FUSED,
	{ SK_W_QKV, "layers.%d.self_attn.qkv_proj.weight", "C,D", SK_SPLIT_HEADS },
	{ SK_W_O,   "layers.%d.self_attn.o_proj.weight",   "D,Q", SK_SPLIT_K },
	{ SK_W_END }
};

static const struct sk_weight_rule phi3_gguf_weights[] = {
	/* slot             name                          shape  split by ranks */
	{ SK_W_EMBED,       "token_embd.weight",          "V,D", SK_SPLIT_ROWS },
	{ SK_W_ATTN_NORM,   "blk.%d.attn_norm.weight",    "D",   SK_SPLIT_NONE },
	{ SK_W_QKV,         "blk.%d.attn_qkv.weight",     "C,D", SK_SPLIT_HEADS },
	{ SK_W_O,           "blk.%d.attn_output.weight",  "D,Q", SK_SPLIT_K },
	{ SK_W_FFN_NORM,    "blk.%d.ffn_norm.weight",     "D",   SK_SPLIT_NONE },
	{ SK_W_GATE_UP,     "blk.%d.ffn_up.weight",       "J,D", SK_SPLIT_ROWS },
	{ SK_W_DOWN,        "blk.%d.ffn_down.weight",     "D,F", SK_SPLIT_K },
	{ SK_W_OUT_NORM,    "output_norm.weight",         "D",   SK_SPLIT_NONE },
	{ SK_W_HEAD,        "output.weight",              "V,D", SK_SPLIT_ROWS, SK_RULE_OPTIONAL },
	{ SK_W_ROPE_SHORT,  "rope_factors_short.weight",  "R",   SK_SPLIT_NONE, SK_RULE_OPTIONAL },
	{ SK_W_ROPE_LONG,   "rope_factors_long.weight",   "R",   SK_SPLIT_NONE, SK_RULE_OPTIONAL },
	{ SK_W_END }
};

const struct sk_arch sk_arch_phi3 = {
	.name        = "phi3",
	.aliases     = { "Phi3ForCausalLM", "Phi3Model" },
	.prefix      = "model.",
	.weights     = phi3_weights,
	.gguf        = phi3_gguf_weights,
	.norm        = SK_NORM_RMS,
	.position    = SK_POS_ROPE,
	.act         = SK_ACT_SILU,
	.glu         = true,
	.residual    = SK_RESIDUAL_PRE,
	.kv          = SK_KV_SELF,
	.config      = phi3_config,
	.config_gguf = phi3_gguf,
};
