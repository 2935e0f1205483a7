/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Command R7B, Command A, Aya (Cohere 2024): Command R without norms of heads, whose layers see a window and turn, but for every fourth,
 * which sees all and does not.
 */
#include "engine/arch/config.h"

/* Layers without a window do not turn. */
static void still(struct sk_dims *d)
{
	for (int32_t l = 0; l < d->layers; l++)
		if (!sk_layers_have(&d->local, l))
			sk_layers_add(&d->unturned, l);
}

static sk_status cohere2_config(struct sk_dims *d, const struct sk_weights *w, struct sk_err *err)
{
	int32_t pattern = 4;
	bool there = false;
	sk_status st;

	d->context_max = 8192;          /* of Cohere2Config, its scale of the logits and its window */
	d->out_scale = 0.0625f;
	d->window = 4096;
	d->tied_head = true;
	d->one_norm = true;
	d->rope.interleaved = true;
	st = sk_config_hf(w, d, err);
	if (st >= 0)
		st = sk_config_float(w, "logit_scale", 1e6, &d->out_scale, err);
	if (st >= 0)
		st = sk_config_bool(w, "attention_bias", &d->attention_bias, err);
	if (st >= 0)
		st = sk_config_int(w, "sliding_window", 1, SK_CONTEXT_MAX, &d->window, err);
	if (st >= 0)
		st = sk_config_int(w, "sliding_window_pattern", 1, SK_LAYERS_MAX, &pattern, err);
	if (st >= 0)
		st = sk_config_layer_types(w, "layer_types", "sliding_attention", "full_attention", d, &there, err);
	if (!there)
		sk_config_mostly_local(d, pattern);
	still(d);
	return st;
}

static sk_status cohere2_gguf(struct sk_dims *d, const struct sk_weights *w, struct sk_err *err)
{
	sk_status st;

	d->one_norm = true;
	d->rope.interleaved = true;
	st = sk_config_gguf_windowed(w, d, err);
	sk_config_mostly_local(d, 4);
	still(d);
	return st < 0 ? st : sk_config_float(w, ".logit_scale", 1e6, &d->out_scale, err);
}

static const struct sk_weight_rule cohere2_weights[] = {
	SK_HF_ENDS, SK_HF_ATTENTION, SK_HF_QKV_BIAS(SK_RULE_OPTIONAL), SK_HF_O_BIAS(SK_RULE_OPTIONAL), SK_HF_GLU,
	{ SK_W_ATTN_NORM, "layers.%d.input_layernorm.weight", "D", SK_SPLIT_NONE },
	{ SK_W_END }
};

const struct sk_arch sk_arch_cohere2 = {
	.name        = "cohere2",
	.aliases     = { "Cohere2ForCausalLM", "Cohere2Model" },
	.prefix      = "model.",
	.weights     = cohere2_weights,
	.gguf        = sk_gguf_weights,
	.norm        = SK_NORM_LAYER,
	.position    = SK_POS_ROPE,
	.act         = SK_ACT_SILU,
	.glu         = true,
	.residual    = SK_RESIDUAL_PARALLEL,
	.kv          = SK_KV_SELF,
	.config      = cohere2_config,
	.config_gguf = cohere2_gguf,
};
