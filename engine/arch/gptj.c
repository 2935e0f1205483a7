/* SPDX-License-Identifier: Apache-2.0 */
/*
 * GPT-J (Wang, Komatsuzaki 2021): both halves of a layer in parallel behind one LayerNorm, the first dims of each head turn in
 * neighbouring pairs, a bias in the MLP and the head.
 */
#include "engine/arch/config.h"

static sk_status gptj_config(struct sk_dims *d, const struct sk_weights *w, struct sk_err *err)
{
	sk_status st;

	d->context_max = 2048;          /* of GPTJConfig, and its rotary_dim */
	d->rope.width = 64;
	d->rope.interleaved = true;
	d->one_norm = true;
	st = sk_config_int(w, "rotary_dim", 2, SK_HEAD_WIDTH_MAX, &d->rope.width, err);

	return st < 0 ? st : sk_config_hf(w, d, err);
}

static const struct sk_weight_rule gptj_weights[] = {
	/* slot             name in the checkpoint        shape  split by ranks */
	{ SK_W_EMBED,       "wte.weight",                 "V,D", SK_SPLIT_ROWS },
	{ SK_W_ATTN_NORM,   "h.%d.ln_1.weight",           "D",   SK_SPLIT_NONE },
	{ SK_W_ATTN_NORM_B, "h.%d.ln_1.bias",             "D",   SK_SPLIT_NONE },
	{ SK_W_Q,           "h.%d.attn.q_proj.weight",    "Q,D", SK_SPLIT_HEADS },
	{ SK_W_K,           "h.%d.attn.k_proj.weight",    "G,D", SK_SPLIT_KV_HEADS },
	{ SK_W_V,           "h.%d.attn.v_proj.weight",    "G,D", SK_SPLIT_KV_HEADS },
	{ SK_W_O,           "h.%d.attn.out_proj.weight",  "D,Q", SK_SPLIT_K },
	{ SK_W_UP,          "h.%d.mlp.fc_in.weight",      "F,D", SK_SPLIT_ROWS },
	{ SK_W_UP_B,        "h.%d.mlp.fc_in.bias",        "F",   SK_SPLIT_ROWS },
	{ SK_W_DOWN,        "h.%d.mlp.fc_out.weight",     "D,F", SK_SPLIT_K },
	{ SK_W_DOWN_B,      "h.%d.mlp.fc_out.bias",       "D",   SK_SPLIT_NONE },
	{ SK_W_OUT_NORM,    "ln_f.weight",                "D",   SK_SPLIT_NONE },
	{ SK_W_OUT_NORM_B,  "ln_f.bias",                  "D",   SK_SPLIT_NONE },
	{ SK_W_HEAD,        "lm_head.weight",             "V,D", SK_SPLIT_ROWS },
	{ SK_W_HEAD_B,      "lm_head.bias",               "V",   SK_SPLIT_ROWS },
	{ SK_W_IGNORE,      "h.%d.attn.bias",             NULL,  SK_SPLIT_NONE },
	{ SK_W_IGNORE,      "h.%d.attn.masked_bias",      NULL,  SK_SPLIT_NONE },
	{ SK_W_END }
};

const struct sk_arch sk_arch_gptj = {
	.name     = "gptj",
	.aliases  = { "GPTJForCausalLM", "GPTJModel" },
	.prefix   = "transformer.",
	.weights  = gptj_weights,
	.norm     = SK_NORM_LAYER,
	.position = SK_POS_ROPE,
	.act      = SK_ACT_GELU_TANH,
	.residual = SK_RESIDUAL_PARALLEL,
	.kv       = SK_KV_SELF,
	.config   = gptj_config,
};
