/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Gemma 2 (Gemma Team 2024): Gemma with norms before and behind each half of a layer, every other layer with a window, softcaps of scores and
 * of logits, and scores scaled by a number of the configuration.
 */
#include "engine/arch/config.h"

#include <math.h>

static sk_status gemma2_config(struct sk_dims *d, const struct sk_weights *w, struct sk_err *err)
{
	float scalar = 256.0f;
	bool there = false;
	sk_status st;

	d->context_max = 8192;          /* of Gemma2Config, as what follows */
	d->norm_eps = 1e-6f;
	d->head_width = 256;
	d->window = 4096;
	d->tied_head = true;
	d->norm_less_one = true;
	st = sk_config_hf(w, d, err);
	d->embed_scale = sqrtf((float)d->width);
	if (st >= 0)
		st = sk_config_float(w, "query_pre_attn_scalar", 1e6, &scalar, err);
	d->score_scale = 1.0f / sqrtf(scalar);
	if (st >= 0)
		st = sk_config_float(w, "attn_logit_softcapping", 1e6, &d->score_cap, err);
	if (st >= 0)
		st = sk_config_float(w, "final_logit_softcapping", 1e6, &d->logit_cap, err);
	if (st >= 0)
		st = sk_config_int(w, "sliding_window", 1, SK_CONTEXT_MAX, &d->window, err);
	if (st >= 0)
		st = sk_config_layer_types(w, "layer_types", "sliding_attention", "full_attention", d, &there, err);
	if (!there)
		sk_config_mostly_local(d, 2);
	return st < 0 ? st : sk_config_bool(w, "attention_bias", &d->attention_bias, err);
}

/* A GGUF does not say what scores are scaled by: of the 27B it is the width over the heads, else a head's width, as llama.cpp has it. */
static sk_status gemma2_gguf(struct sk_dims *d, const struct sk_weights *w, struct sk_err *err)
{
	sk_status st = sk_config_gguf_windowed(w, d, err);

	d->embed_scale = sqrtf((float)d->width);
	sk_config_mostly_local(d, 2);
	if (d->layers == 46)
		d->score_scale = 1.0f / sqrtf((float)d->width / (float)d->heads);
	d->score_cap = 50.0f;
	d->logit_cap = 30.0f;
	if (st >= 0)
		st = sk_config_float(w, ".attn_logit_softcapping", 1e6, &d->score_cap, err);
	return st < 0 ? st : sk_config_float(w, ".final_logit_softcapping", 1e6, &d->logit_cap, err);
}

static const struct sk_weight_rule gemma2_weights[] = {
	/* slot                name in the checkpoint                          shape  split by ranks */
	SK_HF_ENDS, SK_HF_ATTENTION, SK_HF_QKV_BIAS(SK_RULE_OPTIONAL), SK_HF_O_BIAS(SK_RULE_OPTIONAL), SK_HF_GLU, SK_HF_FOUR_NORMS,
	{ SK_W_END }
};

static const struct sk_weight_rule gemma2_gguf_weights[] = {
	SK_GGUF_LLAMA, SK_GGUF_FOUR_NORMS,
	{ SK_W_END }
};

const struct sk_arch sk_arch_gemma2 = {
	.name        = "gemma2",
	.aliases     = { "Gemma2ForCausalLM", "Gemma2Model" },
	.prefix      = "model.",
	.weights     = gemma2_weights,
	.gguf        = gemma2_gguf_weights,
	.norm        = SK_NORM_RMS,
	.position    = SK_POS_ROPE,
	.act         = SK_ACT_GELU_TANH,
	.glu         = true,
	.residual    = SK_RESIDUAL_PRE,
	.kv          = SK_KV_SELF,
	.config      = gemma2_config,
	.config_gguf = gemma2_gguf,
};
