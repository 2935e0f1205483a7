/* SPDX-License-Identifier: Apache-2.0 */
/*
 * OLMo (Groeneveld et al. 2024): Llama with LayerNorms that have no weights, and q, k and v clamped in some. The rows of q and k are permuted
 * in a GGUF as a Llama's are.
 */
#include "engine/arch/config.h"

static sk_status olmo_config(struct sk_dims *d, const struct sk_weights *w, struct sk_err *err)
{
	sk_status st;

	d->context_max = 2048;          /* of OlmoConfig; its eps is 1e-5 always */
	d->plain_norms = true;
	st = sk_config_hf(w, d, err);
	if (st >= 0)
		st = sk_config_bool(w, "attention_bias", &d->attention_bias, err);
	return st < 0 ? st : sk_config_float(w, "clip_qkv", 1e6, &d->qkv_limit, err);
}

static sk_status olmo_gguf(struct sk_dims *d, const struct sk_weights *w, struct sk_err *err)
{
	sk_status st;

	d->plain_norms = true;
	d->rope.interleaved = true;
	st = sk_config_gguf(w, d, err);
	return st < 0 ? st : sk_config_float(w, ".attention.clamp_kqv", 1e6, &d->qkv_limit, err);
}

static const struct sk_weight_rule olmo_weights[] = {
	/* slot         name in the checkpoint                       shape  split by ranks */
	{ SK_W_EMBED,   "embed_tokens.weight",                       "V,D", SK_SPLIT_ROWS },
	{ SK_W_HEAD,    "lm_head.weight",                            "V,D", SK_SPLIT_ROWS, SK_RULE_OPTIONAL },
	{ SK_W_IGNORE,  "layers.%d.self_attn.rotary_emb.inv_freq",   NULL,  SK_SPLIT_NONE },
	SK_HF_ATTENTION, SK_HF_QKV_BIAS(SK_RULE_OPTIONAL), SK_HF_O_BIAS(SK_RULE_OPTIONAL), SK_HF_GLU,
	{ SK_W_END }
};

static const struct sk_weight_rule olmo_gguf_weights[] = {
	SK_GGUF_LLAMA,
	{ SK_W_END }
};

const struct sk_arch sk_arch_olmo = {
	.name        = "olmo",
	.aliases     = { "OlmoForCausalLM", "OlmoModel" },
	.prefix      = "model.",
	.weights     = olmo_weights,
	.gguf        = olmo_gguf_weights,
	.norm        = SK_NORM_LAYER,
	.position    = SK_POS_ROPE,
	.act         = SK_ACT_SILU,
	.glu         = true,
	.residual    = SK_RESIDUAL_PRE,
	.kv          = SK_KV_SELF,
	.config      = olmo_config,
	.config_gguf = olmo_gguf,
};
