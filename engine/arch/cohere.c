/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Command R and R+ (Cohere 2024): both halves of a layer in parallel behind one LayerNorm without a bias, heads that turn in neighbouring
 * pairs, logits scaled, and in R+ a norm of each head with weights of its own.
 */
#include "engine/arch/config.h"

static sk_status cohere_config(struct sk_dims *d, const struct sk_weights *w, struct sk_err *err)
{
	sk_status st;

	d->context_max = 8192;          /* of CohereConfig, and its scale of the logits */
	d->out_scale = 0.0625f;
	d->tied_head = true;
	d->one_norm = true;
	d->rope.interleaved = true;
	st = sk_config_hf(w, d, err);
	if (st >= 0)
		st = sk_config_float(w, "logit_scale", 1e6, &d->out_scale, err);
	if (st >= 0)
		st = sk_config_bool(w, "attention_bias", &d->attention_bias, err);
	return st < 0 ? st : sk_config_bool(w, "use_qk_norm", &d->qk_norm, err);
}

static sk_status cohere_gguf(struct sk_dims *d, const struct sk_weights *w, struct sk_err *err)
{
	sk_status st;

	d->one_norm = true;
	d->rope.interleaved = true;
	d->qk_norm = sk_weights_find(w, "blk.0.attn_q_norm.weight");
	st = sk_config_gguf(w, d, err);
	return st < 0 ? st : sk_config_float(w, ".logit_scale", 1e6, &d->out_scale, err);
}

static const struct sk_weight_rule cohere_weights[] = {
	/* slot           name in the checkpoint                 shape  split by ranks */
	SK_HF_ENDS, SK_HF_ATTENTION, SK_HF_QKV_BIAS(SK_RULE_OPTIONAL), SK_HF_O_BIAS(SK_RULE_OPTIONAL), SK_HF_GLU,
	{ SK_W_ATTN_NORM, "layers.%d.input_layernorm.weight",    "D",   SK_SPLIT_NONE },
	{ SK_W_Q_NORM,    "layers.%d.self_attn.q_norm.weight",   "H,W", SK_SPLIT_HEADS,    SK_RULE_OPTIONAL },
	{ SK_W_K_NORM,    "layers.%d.self_attn.k_norm.weight",   "K,W", SK_SPLIT_KV_HEADS, SK_RULE_OPTIONAL },
	{ SK_W_END }
};

static const struct sk_weight_rule cohere_gguf_weights[] = {
	/* slot           name                         shape  split by ranks */
	SK_GGUF_LLAMA,
	{ SK_W_OUT_NORM,  "output_norm.weight",        "D",   SK_SPLIT_NONE },
	{ SK_W_ATTN_NORM, "blk.%d.attn_norm.weight",   "D",   SK_SPLIT_NONE },
	{ SK_W_Q_NORM,    "blk.%d.attn_q_norm.weight", "H,W", SK_SPLIT_HEADS,    SK_RULE_OPTIONAL },
	{ SK_W_K_NORM,    "blk.%d.attn_k_norm.weight", "K,W", SK_SPLIT_KV_HEADS, SK_RULE_OPTIONAL },
	{ SK_W_END }
};

const struct sk_arch sk_arch_cohere = {
	.name        = "cohere",
	.aliases     = { "CohereForCausalLM", "CohereModel", "command-r" },
	.prefix      = "model.",
	.weights     = cohere_weights,
	.gguf        = cohere_gguf_weights,
	.norm        = SK_NORM_LAYER,
	.position    = SK_POS_ROPE,
	.act         = SK_ACT_SILU,
	.glu         = true,
	.residual    = SK_RESIDUAL_PARALLEL,
	.kv          = SK_KV_SELF,
	.config      = cohere_config,
	.config_gguf = cohere_gguf,
};
