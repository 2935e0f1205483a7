/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Gemma 3, text (Gemma Team 2025): Gemma 2 without softcaps, with a norm of each head of q and k, five of six layers with a window, and those turn
 * by a base of their own that is not stretched.
 */
#include "engine/arch/config.h"

#include <math.h>

/* The local layers' frequencies: plain ones of another base. */
static void local_rope(struct sk_dims *d, float base)
{
	d->rope_local = d->rope;
	d->rope_local.base = base;
	d->rope_local.scaling = SK_ROPE_PLAIN;
	d->rope_local.attention = 0.0f;
	d->two_ropes = true;
}

static sk_status gemma3_config(struct sk_dims *d, const struct sk_weights *w, struct sk_err *err)
{
	float scalar = 256.0f, base = 10000.0f;
	int32_t pattern = 6;
	bool there = false;
	sk_status st;

	d->context_max = 131072;        /* of Gemma3TextConfig, as what follows */
	d->norm_eps = 1e-6f;
	d->head_width = 256;
	d->window = 4096;
	d->tied_head = true;
	d->norm_less_one = true;
	d->qk_norm = true;
	st = sk_config_hf(w, d, err);
	d->embed_scale = sqrtf((float)d->width);
	if (st >= 0 && !sk_meta_find(w, "rope_theta") && !sk_meta_find(w, "rope_parameters.full_attention.rope_theta"))
		d->rope.base = 1e6f;
	if (st >= 0)
		st = sk_config_float(w, "rope_local_base_freq rope_parameters.sliding_attention.rope_theta", 1e15, &base, err);
	local_rope(d, base);
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
		st = sk_config_int(w, "sliding_window_pattern", 1, SK_LAYERS_MAX, &pattern, err);
	if (st >= 0)
		st = sk_config_layer_types(w, "layer_types", "sliding_attention", "full_attention", d, &there, err);
	if (!there)
		sk_config_mostly_local(d, pattern);
	if (st >= 0)
		st = sk_config_refuse(w, "use_bidirectional_attention", "attention to what comes later", err);
	return st < 0 ? st : sk_config_bool(w, "attention_bias", &d->attention_bias, err);
}

/* The base of the local layers is 10000 where nothing says otherwise; of the 27B scores are scaled as in Gemma 2's. */
static sk_status gemma3_gguf(struct sk_dims *d, const struct sk_weights *w, struct sk_err *err)
{
	float base = 10000.0f;
	sk_status st;

	d->qk_norm = true;
	st = sk_config_gguf_windowed(w, d, err);
	d->embed_scale = sqrtf((float)d->width);
	sk_config_mostly_local(d, 6);
	if (d->layers == 62)
		d->score_scale = 1.0f / sqrtf((float)d->width / (float)d->heads);
	if (st >= 0 && !sk_meta_find(w, "gemma3.rope.freq_base"))
		d->rope.base = 1e6f;
	if (st >= 0)
		st = sk_config_float(w, ".rope.freq_base_swa", 1e15, &base, err);
	local_rope(d, base);
	return st;
}

static const struct sk_weight_rule gemma3_weights[] = {
	SK_HF_ENDS, SK_HF_ATTENTION, SK_HF_QKV_BIAS(SK_RULE_OPTIONAL), SK_HF_O_BIAS(SK_RULE_OPTIONAL), SK_HF_HEAD_NORMS, SK_HF_GLU,
	SK_HF_FOUR_NORMS,
	{ SK_W_END }
};

static const struct sk_weight_rule gemma3_gguf_weights[] = {
	SK_GGUF_LLAMA, SK_GGUF_FOUR_NORMS, SK_GGUF_HEAD_NORMS,
	{ SK_W_END }
};

const struct sk_arch sk_arch_gemma3 = {
	.name        = "gemma3",
	.aliases     = { "Gemma3ForCausalLM", "gemma3_text", "Gemma3TextModel" },
	.prefix      = "model.",
	.weights     = gemma3_weights,
	.gguf        = gemma3_gguf_weights,
	.norm        = SK_NORM_RMS,
	.position    = SK_POS_ROPE,
	.act         = SK_ACT_GELU_TANH,
	.glu         = true,
	.residual    = SK_RESIDUAL_PRE,
	.kv          = SK_KV_SELF,
	.config      = gemma3_config,
	.config_gguf = gemma3_gguf,
};
