/* SPDX-License-Identifier: Apache-2.0 */
/*
 * GPT-2 (Radford et al. 2019), DistilGPT-2 and others: learned positions, LayerNorm before each half of a layer, products stored
 * transposed, with q, k and v one after the other.
 */
#include "engine/arch/config.h"

static sk_status gpt2_config(struct sk_dims *d, const struct sk_weights *w, struct sk_err *err)
{
	bool scale = true;
	sk_status st;

	d->context_max = 1024;          /* of GPT2Config */
	d->tied_head = true;
	st = sk_config_hf(w, d, err);
	d->positions = d->context_max;
	if (st >= 0)
		st = sk_config_bool(w, "scale_attn_weights", &scale, err);
	if (st >= 0)
		st = sk_config_bool(w, "scale_attn_by_inverse_layer_idx", &d->score_by_layer, err);
	if (!scale)
		d->score_scale = 1.0f;
	return st < 0 ? st : sk_config_refuse(w, "add_cross_attention", "attention over an encoder", err);
}

static sk_status gpt2_gguf(struct sk_dims *d, const struct sk_weights *w, struct sk_err *err)
{
	sk_status st = sk_config_gguf(w, d, err);

	d->positions = d->context_max;
	return st;
}

static const struct sk_weight_rule gpt2_weights[] = {
	/* slot             name in the checkpoint        shape  split by ranks */
	{ SK_W_EMBED,       "wte.weight",                 "V,D", SK_SPLIT_ROWS },
	{ SK_W_POSITIONS,   "wpe.weight",                 "P,D", SK_SPLIT_NONE },
	{ SK_W_ATTN_NORM,   "h.%d.ln_1.weight",           "D",   SK_SPLIT_NONE },
	{ SK_W_ATTN_NORM_B, "h.%d.ln_1.bias",             "D",   SK_SPLIT_NONE },
	{ SK_W_QKV,         "h.%d.attn.c_attn.weight",    "D,C", SK_SPLIT_HEADS, SK_RULE_TRANSPOSED },
	{ SK_W_QKV_B,       "h.%d.attn.c_attn.bias",      "C",   SK_SPLIT_HEADS },
	{ SK_W_O,           "h.%d.attn.c_proj.weight",    "Q,D", SK_SPLIT_K,     SK_RULE_TRANSPOSED },
	{ SK_W_O_B,         "h.%d.attn.c_proj.bias",      "D",   SK_SPLIT_NONE },
	{ SK_W_FFN_NORM,    "h.%d.ln_2.weight",           "D",   SK_SPLIT_NONE },
	{ SK_W_FFN_NORM_B,  "h.%d.ln_2.bias",             "D",   SK_SPLIT_NONE },
	{ SK_W_UP,          "h.%d.mlp.c_fc.weight",       "D,F", SK_SPLIT_ROWS,  SK_RULE_TRANSPOSED },
	{ SK_W_UP_B,        "h.%d.mlp.c_fc.bias",         "F",   SK_SPLIT_ROWS },
	{ SK_W_DOWN,        "h.%d.mlp.c_proj.weight",     "F,D", SK_SPLIT_K,     SK_RULE_TRANSPOSED },
	{ SK_W_DOWN_B,      "h.%d.mlp.c_proj.bias",       "D",   SK_SPLIT_NONE },
	{ SK_W_OUT_NORM,    "ln_f.weight",                "D",   SK_SPLIT_NONE },
	{ SK_W_OUT_NORM_B,  "ln_f.bias",                  "D",   SK_SPLIT_NONE },
	{ SK_W_HEAD,        "lm_head.weight",             "V,D", SK_SPLIT_ROWS,  SK_RULE_OPTIONAL },
	{ SK_W_IGNORE,      "h.%d.attn.bias",             NULL,  SK_SPLIT_NONE },
	{ SK_W_IGNORE,      "h.%d.attn.masked_bias",      NULL,  SK_SPLIT_NONE },
	{ SK_W_END }
};

const struct sk_arch sk_arch_gpt2 = {
	.name        = "gpt2",
	.aliases     = { "GPT2LMHeadModel", "GPT2Model" },
	.prefix      = "transformer.",
	.weights     = gpt2_weights,
	.gguf        = sk_gguf_weights,
	.norm        = SK_NORM_LAYER,
	.position    = SK_POS_LEARNED,
	.act         = SK_ACT_GELU_TANH,
	.residual    = SK_RESIDUAL_PRE,
	.kv          = SK_KV_SELF,
	.config      = gpt2_config,
	.config_gguf = gpt2_gguf,
};
