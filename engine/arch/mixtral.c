/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Mixtral (Jiang et al. 2024): Mistral whose MLPs are mixtures, each token goes to two experts of eight. A GGUF of one is called "llama": see
 * llama.c.
 */
#include "engine/arch/config.h"

static sk_status mixtral_config(struct sk_dims *d, const struct sk_weights *w, struct sk_err *err)
{
	sk_status st;

	d->context_max = 131072;        /* of MixtralConfig, as what follows */
	d->route = (struct sk_route){ .kind = SK_ROUTE_SOFTMAX, .experts = 8, .used = 2, .renormalise = true };
	st = sk_config_hf(w, d, err);
	if (st >= 0)
		st = sk_config_hf_experts(w, d, err);
	if (st >= 0)
		st = sk_config_int(w, "sliding_window", 1, SK_CONTEXT_MAX, &d->window, err);
	sk_config_all_local(d);
	return st;
}

static const struct sk_weight_rule mixtral_weights[] = {
	/* slot             name in the checkpoint                                 shape  split by ranks */
	SK_HF_ENDS, SK_HF_NORMS, SK_HF_ATTENTION,
	{ SK_W_ROUTER,      "layers.%d.block_sparse_moe.gate.weight",              "X,D", SK_SPLIT_NONE },
	{ SK_W_EXPERT_GATE, "layers.%d.block_sparse_moe.experts.%e.w1.weight",     "M,D", SK_SPLIT_NONE },
	{ SK_W_EXPERT_UP,   "layers.%d.block_sparse_moe.experts.%e.w3.weight",     "M,D", SK_SPLIT_NONE },
	{ SK_W_EXPERT_DOWN, "layers.%d.block_sparse_moe.experts.%e.w2.weight",     "D,M", SK_SPLIT_NONE },
	{ SK_W_END }
};

const struct sk_arch sk_arch_mixtral = {
	.name     = "mixtral",
	.aliases  = { "MixtralForCausalLM", "MixtralModel" },
	.prefix   = "model.",
	.weights  = mixtral_weights,
	.norm     = SK_NORM_RMS,
	.position = SK_POS_ROPE,
	.act      = SK_ACT_SILU,
	.glu      = true,
	.residual = SK_RESIDUAL_PRE,
	.kv       = SK_KV_SELF,
	.config   = mixtral_config,
};
