/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gpt-oss (OpenAI 2025) with weights in bfloat16: a sink of each head, every other layer with a window, biases everywhere, and mixtures whose
 * gate and up are bounded; of each expert both lie in one tensor, column by column, transposed.
 */
#include "engine/arch/config.h"

static sk_status gpt_oss_config(struct sk_dims *d, const struct sk_weights *w, struct sk_err *err)
{
	bool there = false;
	sk_status st = sk_config_refuse(w, "quantization_config.quant_method", "a quantised checkpoint", err);

	d->context_max = 131072;        /* of GptOssConfig, as what follows */
	d->head_width = 64;
	d->window = 128;
	d->glu_limit = 7.0f;
	d->route = (struct sk_route){ .kind = SK_ROUTE_SOFTMAX, .experts = 128, .used = 4, .renormalise = true };
	if (st >= 0)
		st = sk_config_hf(w, d, err);
	if (st >= 0)
		st = sk_config_hf_experts(w, d, err);
	if (st >= 0)
		st = sk_config_int(w, "experts_per_token", 1, d->route.experts, &d->route.used, err);
	if (st >= 0)
		st = sk_config_float(w, "swiglu_limit", 1e6, &d->glu_limit, err);
	if (st >= 0)
		st = sk_config_int(w, "sliding_window", 1, SK_CONTEXT_MAX, &d->window, err);
	if (st >= 0)
		st = sk_config_layer_types(w, "layer_types", "sliding_attention", "full_attention", d, &there, err);
	if (!there)
		sk_config_mostly_local(d, 2);
	return st;
}

static const struct sk_weight_rule gpt_oss_weights[] = {
	/* slot                  name in the checkpoint                        shape    split by ranks */
	SK_HF_ENDS, SK_HF_NORMS, SK_HF_ATTENTION, SK_HF_QKV_BIAS(0), SK_HF_O_BIAS(0),
	{ SK_W_SINKS,            "layers.%d.self_attn.sinks",                  "H",     SK_SPLIT_HEADS },
	{ SK_W_ROUTER,           "layers.%d.mlp.router.weight",                "X,D",   SK_SPLIT_NONE },
	{ SK_W_ROUTER_B,         "layers.%d.mlp.router.bias",                  "X",     SK_SPLIT_NONE },
	{ SK_W_EXPERT_GATE_UP,   "layers.%d.mlp.experts.gate_up_proj",         "X,D,N", SK_SPLIT_NONE, SK_RULE_TRANSPOSED },
	{ SK_W_EXPERT_GATE_UP_B, "layers.%d.mlp.experts.gate_up_proj_bias",    "X,N",   SK_SPLIT_NONE },
	{ SK_W_EXPERT_DOWN,      "layers.%d.mlp.experts.down_proj",            "X,M,D", SK_SPLIT_NONE, SK_RULE_TRANSPOSED },
	{ SK_W_EXPERT_DOWN_B,    "layers.%d.mlp.experts.down_proj_bias",       "X,D",   SK_SPLIT_NONE },
	{ SK_W_END }
};

const struct sk_arch sk_arch_gpt_oss = {
	.name     = "gpt_oss",
	.aliases  = { "GptOssForCausalLM", "GptOssModel" },
	.prefix   = "model.",
	.weights  = gpt_oss_weights,
	.norm     = SK_NORM_RMS,
	.position = SK_POS_ROPE,
	.act      = SK_ACT_SILU,
	.glu      = true,
	.residual = SK_RESIDUAL_PRE,
	.kv       = SK_KV_SELF,
	.config   = gpt_oss_config,
};
