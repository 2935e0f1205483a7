/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Mistral 7B and its successors (Jiang et al. 2023): Llama whose layers all see a window, where there is one. A GGUF of one is called
 * "llama" and has none.
 */
#include "engine/arch/config.h"

static sk_status mistral_config(struct sk_dims *d, const struct sk_weights *w, struct sk_err *err)
{
	sk_status st;

	d->context_max = 131072;        /* of MistralConfig, and its eps */
	d->norm_eps = 1e-6f;
	st = sk_config_hf(w, d, err);
	if (st >= 0)
		st = sk_config_int(w, "sliding_window", 1, SK_CONTEXT_MAX, &d->window, err);
	sk_config_all_local(d);
	return st;
}

static const struct sk_weight_rule mistral_weights[] = {
	SK_HF_ENDS, SK_HF_NORMS, SK_HF_ATTENTION, SK_HF_GLU,
	{ SK_W_END }
};

const struct sk_arch sk_arch_mistral = {
	.name     = "mistral",
	.aliases  = { "MistralForCausalLM", "MistralModel" },
	.prefix   = "model.",
	.weights  = mistral_weights,
	.norm     = SK_NORM_RMS,
	.position = SK_POS_ROPE,
	.act      = SK_ACT_SILU,
	.glu      = true,
	.residual = SK_RESIDUAL_PRE,
	.kv       = SK_KV_SELF,
	.config   = mistral_config,
};
