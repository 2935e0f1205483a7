/* SPDX-License-Identifier: Apache-2.0 */
/* OLMo 2 (2025): Llama with its norms behind each half of a layer instead of before it, and one norm of all of q, one of all of k. */
#include "engine/arch/config.h"

static sk_status olmo2_config(struct sk_dims *d, const struct sk_weights *w, struct sk_err *err)
{
	sk_status st;

	d->context_max = 2048;          /* of Olmo2Config */
	d->qk_norm = true;
	st = sk_config_hf(w, d, err);
	return st < 0 ? st : sk_config_bool(w, "attention_bias", &d->attention_bias, err);
}

static sk_status olmo2_gguf(struct sk_dims *d, const struct sk_weights *w, struct sk_err *err)
{
	d->qk_norm = true;
	return sk_config_gguf(w, d, err);
}

static const struct sk_weight_rule olmo2_weights[] = {
	/* slot                name in the checkpoint                          shape  split by ranks */
	SK_HF_ENDS, SK_HF_ATTENTION, SK_HF_QKV_BIAS(SK_RULE_OPTIONAL), SK_HF_O_BIAS(SK_RULE_OPTIONAL), SK_HF_GLU,
	{ SK_W_Q_NORM,         "layers.%d.self_attn.q_norm.weight",            "Q",   SK_SPLIT_HEADS },
	{ SK_W_K_NORM,         "layers.%d.self_attn.k_norm.weight",            "G",   SK_SPLIT_KV_HEADS },
	{ SK_W_ATTN_POST_NORM, "layers.%d.post_attention_layernorm.weight",    "D",   SK_SPLIT_NONE },
	{ SK_W_FFN_POST_NORM,  "layers.%d.post_feedforward_layernorm.weight",  "D",   SK_SPLIT_NONE },
	{ SK_W_END }
};

static const struct sk_weight_rule olmo2_gguf_weights[] = {
	/* slot                name                                shape  split by ranks */
	SK_GGUF_LLAMA,
	{ SK_W_OUT_NORM,       "output_norm.weight",               "D",   SK_SPLIT_NONE },
	{ SK_W_Q_NORM,         "blk.%d.attn_q_norm.weight",        "Q",   SK_SPLIT_HEADS },
	{ SK_W_K_NORM,         "blk.%d.attn_k_norm.weight",        "G",   SK_SPLIT_KV_HEADS },
	{ SK_W_ATTN_POST_NORM, "blk.%d.post_attention_norm.weight", "D",  SK_SPLIT_NONE },
	{ SK_W_FFN_POST_NORM,  "blk.%d.post_ffw_norm.weight",      "D",   SK_SPLIT_NONE },
	{ SK_W_END }
};

const struct sk_arch sk_arch_olmo2 = {
	.name        = "olmo2",
	.aliases     = { "Olmo2ForCausalLM", "Olmo2Model" },
	.prefix      = "model.",
	.weights     = olmo2_weights,
	.gguf        = olmo2_gguf_weights,
	.norm        = SK_NORM_RMS,
	.position    = SK_POS_ROPE,
	.act         = SK_ACT_SILU,
	.glu         = true,
	.residual    = SK_RESIDUAL_PRE,
	.kv          = SK_KV_SELF,
	.config      = olmo2_config,
	.config_gguf = olmo2_gguf,
};
