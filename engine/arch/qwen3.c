/* SPDX-License-Identifier: Apache-2.0 */
/* Qwen3 (2025): Llama with a norm of each head of q and k before they turn. */
#include "engine/arch/config.h"

static sk_status qwen3_config(struct sk_dims *d, const struct sk_weights *w, struct sk_err *err)
{
	sk_status st;

	d->context_max = 32768;         /* of Qwen3Config, its eps and its heads */
	d->norm_eps = 1e-6f;
	d->head_width = 128;
	d->qk_norm = true;
	st = sk_config_hf(w, d, err);
	if (st >= 0)
		st = sk_config_bool(w, "attention_bias", &d->attention_bias, err);
	return st < 0 ? st : sk_config_refuse(w, "use_sliding_window", "a window", err);
}

static sk_status qwen3_gguf(struct sk_dims *d, const struct sk_weights *w, struct sk_err *err)
{
	d->qk_norm = true;
	return sk_config_gguf(w, d, err);
}

static const struct sk_weight_rule qwen3_weights[] = {
	SK_HF_ENDS, SK_HF_NORMS, SK_HF_ATTENTION, SK_HF_QKV_BIAS(SK_RULE_OPTIONAL), SK_HF_O_BIAS(SK_RULE_OPTIONAL), SK_HF_HEAD_NORMS,
	SK_HF_GLU,
	{ SK_W_END }
};

static const struct sk_weight_rule qwen3_gguf_weights[] = {
	SK_GGUF_LLAMA, SK_GGUF_NORMS, SK_GGUF_HEAD_NORMS,
	{ SK_W_END }
};

const struct sk_arch sk_arch_qwen3 = {
	.name        = "qwen3",
	.aliases     = { "Qwen3ForCausalLM", "Qwen3Model" },
	.prefix      = "model.",
	.weights     = qwen3_weights,
	.gguf        = qwen3_gguf_weights,
	.norm        = SK_NORM_RMS,
	.position    = SK_POS_ROPE,
	.act         = SK_ACT_SILU,
	.glu         = true,
	.residual    = SK_RESIDUAL_PRE,
	.kv          = SK_KV_SELF,
	.config      = qwen3_config,
	.config_gguf = qwen3_gguf,
};
