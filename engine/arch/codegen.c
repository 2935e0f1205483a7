/* SPDX-License-Identifier: Apache-2.0 */
/*
 * CodeGen (Nijkamp et al. 2022): GPT-J whose q, v and k lie in one tensor by fourths, as they were trained on four devices.
 */
#include "engine/arch/config.h"

static sk_status codegen_config(struct sk_dims *d, const struct sk_weights *w, struct sk_err *err)
{
	sk_status st;

	d->context_max = 2048;          /* of CodeGenConfig, and its rotary_dim */
	d->rope.width = 64;
	d->rope.interleaved = true;
	d->one_norm = true;
	d->qkv = SK_QKV_FOUR;
	st = sk_config_int(w, "rotary_dim", 2, SK_HEAD_WIDTH_MAX, &d->rope.width, err);
	if (st >= 0)
		st = sk_config_hf(w, d, err);
	if (st >= 0 && d->heads % 4)
		st = sk_fail(err, SK_EFORMAT, "%s: key n_head is %d, it must be a multiple of 4", sk_weights_path(w), d->heads);
	return st;
}

static const struct sk_weight_rule codegen_weights[] = {
	/* slot             name in the checkpoint        shape  split by ranks */
	{ SK_W_EMBED,       "wte.weight",                 "V,D", SK_SPLIT_ROWS },
	{ SK_W_ATTN_NORM,   "h.%d.ln_1.weight",           "D",   SK_SPLIT_NONE },
	{ SK_W_ATTN_NORM_B, "h.%d.ln_1.bias",             "D",   SK_SPLIT_NONE },
	{ SK_W_QKV,         "h.%d.attn.qkv_proj.weight",  "C,D", SK_SPLIT_HEADS },
	{ SK_W_O,           "h.%d.attn.out_proj.weight",  "D,Q", SK_SPLIT_K },
	{ SK_W_UP,          "h.%d.mlp.fc_in.weight",      "F,D", SK_SPLIT_ROWS },
	{ SK_W_UP_B,        "h.%d.mlp.fc_in.bias",        "F",   SK_SPLIT_ROWS },
	{ SK_W_DOWN,        "h.%d.mlp.fc_out.weight",     "D,F", SK_SPLIT_K },
	{ SK_W_DOWN_B,      "h.%d.mlp.fc_out.bias",       "D",   SK_SPLIT_NONE },
	{ SK_W_OUT_NORM,    "ln_f.weight",                "D",   SK_SPLIT_NONE },
	{ SK_W_OUT_NORM_B,  "ln_f.bias",                  "D",   SK_SPLIT_NONE },
	{ SK_W_HEAD,        "lm_head.weight",             "V,D", SK_SPLIT_ROWS },
	{ SK_W_HEAD_B,      "lm_head.bias",               "V",   SK_SPLIT_ROWS },
	{ SK_W_IGNORE,      "h.%d.attn.causal_mask",      NULL,  SK_SPLIT_NONE },
	{ SK_W_IGNORE,      "h.%d.attn.bias",             NULL,  SK_SPLIT_NONE },
	{ SK_W_END }
};

const struct sk_arch sk_arch_codegen = {
	.name     = "codegen",
	.aliases  = { "CodeGenForCausalLM", "CodeGenModel" },
	.prefix   = "transformer.",
	.weights  = codegen_weights,
	.norm     = SK_NORM_LAYER,
	.position = SK_POS_ROPE,
	.act      = SK_ACT_GELU_TANH,
	.residual = SK_RESIDUAL_PARALLEL,
	.kv       = SK_KV_SELF,
	.config   = codegen_config,
};
