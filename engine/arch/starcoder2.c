/* SPDX-License-Identifier: Apache-2.0 */
/* StarCoder2 (Lozhkov et al. 2024): grouped heads that turn, LayerNorms, biases everywhere, an MLP without a gate, a window in all layers. */
#include "engine/arch/config.h"

static sk_status starcoder2_config(struct sk_dims *d, const struct sk_weights *w, struct sk_err *err)
{
	sk_status st;

	d->context_max = 4096;          /* of Starcoder2Config */
	d->tied_head = true;
	d->attention_bias = true;
	st = sk_config_hf(w, d, err);
	if (st >= 0)
		st = sk_config_bool(w, "use_bias", &d->attention_bias, err);
	if (st >= 0)
		st = sk_config_int(w, "sliding_window", 1, SK_CONTEXT_MAX, &d->window, err);
	d->mlp_bias = d->attention_bias;
	sk_config_all_local(d);
	return st;
}

static sk_status starcoder2_gguf(struct sk_dims *d, const struct sk_weights *w, struct sk_err *err)
{
	return sk_config_gguf(w, d, err);
}

static const struct sk_weight_rule starcoder2_weights[] = {
	/* slot             name in the checkpoint                       shape  split by ranks */
	SK_HF_ENDS, SK_HF_NORMS, SK_HF_ATTENTION, SK_HF_QKV_BIAS(SK_RULE_OPTIONAL), SK_HF_O_BIAS(SK_RULE_OPTIONAL),
	{ SK_W_OUT_NORM_B,  "norm.bias",                                 "D",   SK_SPLIT_NONE },
	{ SK_W_ATTN_NORM_B, "layers.%d.input_layernorm.bias",            "D",   SK_SPLIT_NONE },
	{ SK_W_FFN_NORM_B,  "layers.%d.post_attention_layernorm.bias",   "D",   SK_SPLIT_NONE },
	{ SK_W_UP,          "layers.%d.mlp.c_fc.weight",                 "F,D", SK_SPLIT_ROWS },
	{ SK_W_UP_B,        "layers.%d.mlp.c_fc.bias",                   "F",   SK_SPLIT_ROWS, SK_RULE_OPTIONAL },
	{ SK_W_DOWN,        "layers.%d.mlp.c_proj.weight",               "D,F", SK_SPLIT_K },
	{ SK_W_DOWN_B,      "layers.%d.mlp.c_proj.bias",                 "D",   SK_SPLIT_NONE, SK_RULE_OPTIONAL },
	{ SK_W_END }
};

const struct sk_arch sk_arch_starcoder2 = {
	.name        = "starcoder2",
	.aliases     = { "Starcoder2ForCausalLM", "Starcoder2Model" },
	.prefix      = "model.",
	.weights     = starcoder2_weights,
	.gguf        = sk_gguf_weights,
	.norm        = SK_NORM_LAYER,
	.position    = SK_POS_ROPE,
	.act         = SK_ACT_GELU_TANH,
	.residual    = SK_RESIDUAL_PRE,
	.kv          = SK_KV_SELF,
	.config      = starcoder2_config,
	.config_gguf = starcoder2_gguf,
};
