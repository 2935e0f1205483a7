/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Phi-3.5-MoE (Abdin et al. 2024): LayerNorms, biases of attention and head in some, mixtures of which the sparse mixer chooses two experts,
 * longrope whose magnitude the configuration says.
 */
#include "engine/arch/config.h"

/* Of cos and sin: one number up to the length that it was trained for, one beyond it; published ones have the same twice. */
static sk_status read_magnitude(struct sk_dims *d, const struct sk_weights *w, struct sk_err *err)
{
	float beyond = 0.0f;
	sk_status st = sk_config_float(w, "rope_scaling.short_mscale rope_parameters.short_mscale", 1e6, &d->rope.attention, err);

	if (st >= 0)
		st = sk_config_float(w, "rope_scaling.long_mscale rope_parameters.long_mscale", 1e6, &beyond, err);
	if (st >= 0 && beyond != d->rope.attention)
		st = sk_fail(err, SK_ENOTSUP, "%s: short_mscale %g and long_mscale %g of the rotary scaling: only the same twice is supported",
			     sk_weights_path(w), (double)d->rope.attention, (double)beyond);
	return st;
}

static sk_status phimoe_config(struct sk_dims *d, const struct sk_weights *w, struct sk_err *err)
{
	sk_status st;

	d->context_max = 131072;        /* of PhimoeConfig, as what follows */
	d->route = (struct sk_route){ .kind = SK_ROUTE_SPARSEMIXER, .experts = 16, .used = 2, .jitter = 0.01f };
	st = sk_config_hf(w, d, err);
	if (st >= 0)
		st = sk_config_hf_experts(w, d, err);
	if (st >= 0)
		st = sk_config_float(w, "router_jitter_noise", 1.0, &d->route.jitter, err);
	if (st >= 0)
		st = sk_config_bool(w, "attention_bias", &d->attention_bias, err);
	if (st >= 0)
		st = sk_config_bool(w, "lm_head_bias", &d->head_bias, err);
	if (st >= 0)
		st = sk_config_int(w, "sliding_window", 1, SK_CONTEXT_MAX, &d->window, err);
	sk_config_all_local(d);
	return st < 0 || d->rope.scaling != SK_ROPE_LONG ? st : read_magnitude(d, w, err);
}

static const struct sk_weight_rule phimoe_weights[] = {
	/* slot             name in the checkpoint                                 shape  split by ranks */
	SK_HF_ENDS, SK_HF_NORMS, SK_HF_ATTENTION, SK_HF_QKV_BIAS(SK_RULE_OPTIONAL), SK_HF_O_BIAS(SK_RULE_OPTIONAL),
	{ SK_W_HEAD_B,      "lm_head.bias",                                        "V",   SK_SPLIT_ROWS, SK_RULE_OPTIONAL },
	{ SK_W_OUT_NORM_B,  "norm.bias",                                           "D",   SK_SPLIT_NONE },
	{ SK_W_ATTN_NORM_B, "layers.%d.input_layernorm.bias",                      "D",   SK_SPLIT_NONE },
	{ SK_W_FFN_NORM_B,  "layers.%d.post_attention_layernorm.bias",             "D",   SK_SPLIT_NONE },
	{ SK_W_ROUTER,      "layers.%d.block_sparse_moe.gate.weight",              "X,D", SK_SPLIT_NONE },
	{ SK_W_EXPERT_GATE, "layers.%d.block_sparse_moe.experts.%e.w1.weight",     "M,D", SK_SPLIT_NONE },
	{ SK_W_EXPERT_UP,   "layers.%d.block_sparse_moe.experts.%e.w3.weight",     "M,D", SK_SPLIT_NONE },
	{ SK_W_EXPERT_DOWN, "layers.%d.block_sparse_moe.experts.%e.w2.weight",     "D,M", SK_SPLIT_NONE },
	{ SK_W_END }
};

const struct sk_arch sk_arch_phimoe = {
	.name     = "phimoe",
	.aliases  = { "PhimoeForCausalLM", "PhiMoEForCausalLM", "PhimoeModel" },
	.prefix   = "model.",
	.weights  = phimoe_weights,
	.norm     = SK_NORM_LAYER,
	.position = SK_POS_ROPE,
	.act      = SK_ACT_SILU,
	.glu      = true,
	.residual = SK_RESIDUAL_PRE,
	.kv       = SK_KV_SELF,
	.config   = phimoe_config,
};
