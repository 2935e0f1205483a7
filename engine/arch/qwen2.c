/* SPDX-License-Identifier: Apache-2.0 */
/* Qwen2 and Qwen2.5 (Yang et al. 2024): Llama with biases of q, k and v, and in some a window in the upper layers. */
#include "engine/arch/config.h"

/* Where windows are used, the layers from max_window_layers on see one. */
static sk_status read_window(struct sk_dims *d, const struct sk_weights *w, struct sk_err *err)
{
	bool used = false, there = false;
	int32_t first = 28;
	sk_status st = sk_config_bool(w, "use_sliding_window", &used, err);

	if (st < 0 || !used)
		return st;
	d->window = 4096;
	st = sk_config_int(w, "sliding_window", 1, SK_CONTEXT_MAX, &d->window, err);
	if (st >= 0)
		st = sk_config_int(w, "max_window_layers", 0, SK_LAYERS_MAX, &first, err);
	if (st >= 0)
		st = sk_config_layer_types(w, "layer_types", "sliding_attention", "full_attention", d, &there, err);
	for (int32_t l = first; l < d->layers && !there && st >= 0; l++)
		sk_layers_add(&d->local, l);
	return st;
}

static sk_status qwen2_config(struct sk_dims *d, const struct sk_weights *w, struct sk_err *err)
{
	sk_status st;

	d->context_max = 32768;         /* of Qwen2Config, and its eps */
	d->norm_eps = 1e-6f;
	st = sk_config_hf(w, d, err);
	return st < 0 ? st : read_window(d, w, err);
}

static sk_status qwen2_gguf(struct sk_dims *d, const struct sk_weights *w, struct sk_err *err)
{
	return sk_config_gguf(w, d, err);
}

static const struct sk_weight_rule qwen2_weights[] = {
	SK_HF_ENDS, SK_HF_NORMS, SK_HF_ATTENTION, SK_HF_QKV_BIAS(0), SK_HF_GLU,
	{ SK_W_END }
};

const struct sk_arch sk_arch_qwen2 = {
	.name        = "qwen2",
	.aliases     = { "Qwen2ForCausalLM", "Qwen2Model" },
	.prefix      = "model.",
	.weights     = qwen2_weights,
	.gguf        = sk_gguf_weights,
	.norm        = SK_NORM_RMS,
	.position    = SK_POS_ROPE,
	.act         = SK_ACT_SILU,
	.glu         = true,
	.residual    = SK_RESIDUAL_PRE,
	.kv          = SK_KV_SELF,
	.config      = qwen2_config,
	.config_gguf = qwen2_gguf,
};
