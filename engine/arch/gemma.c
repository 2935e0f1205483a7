/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Gemma (Gemma Team 2024): Llama with a tanh GELU, the embedding times the root of its width, and norms whose weights are stored less 1 (in a
 * GGUF whole).
 */
#include "engine/arch/config.h"

#include <math.h>

static sk_status gemma_config(struct sk_dims *d, const struct sk_weights *w, struct sk_err *err)
{
	sk_status st;

	d->context_max = 8192;          /* of GemmaConfig, its eps and its heads */
	d->norm_eps = 1e-6f;
	d->head_width = 256;
	d->tied_head = true;
	d->norm_less_one = true;
	st = sk_config_hf(w, d, err);
	d->act = SK_ACT_GELU_TANH;      /* also where an early configuration says "gelu" */
	d->embed_scale = sqrtf((float)d->width);
	return st < 0 ? st : sk_config_bool(w, "attention_bias", &d->attention_bias, err);
}

static sk_status gemma_gguf(struct sk_dims *d, const struct sk_weights *w, struct sk_err *err)
{
	sk_status st = sk_config_gguf(w, d, err);

	d->embed_scale = sqrtf((float)d->width);
	return st;
}

static const struct sk_weight_rule gemma_weights[] = {
	SK_HF_ENDS, SK_HF_NORMS, SK_HF_ATTENTION, SK_HF_QKV_BIAS(SK_RULE_OPTIONAL), SK_HF_O_BIAS(SK_RULE_OPTIONAL), SK_HF_GLU,
	{ SK_W_END }
};

const struct sk_arch sk_arch_gemma = {
	.name        = "gemma",
	.aliases     = { "GemmaForCausalLM", "GemmaModel" },
	.prefix      = "model.",
	.weights     = gemma_weights,
	.gguf        = sk_gguf_weights,
	.norm        = SK_NORM_RMS,
	.position    = SK_POS_ROPE,
	.act         = SK_ACT_GELU_TANH,
	.glu         = true,
	.residual    = SK_RESIDUAL_PRE,
	.kv          = SK_KV_SELF,
	.config      = gemma_config,
	.config_gguf = gemma_gguf,
};
