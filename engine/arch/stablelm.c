/* SPDX-License-Identifier: Apache-2.0 */
/*
 * StableLM 3B and StableLM 2 (Bellagente et al. 2024): Llama with LayerNorms, a part of each head turns, biases of q, k and v in some, both
 * halves of a layer in parallel in others.
 */
#include "engine/arch/config.h"

static sk_status stablelm_config(struct sk_dims *d, const struct sk_weights *w, struct sk_err *err)
{
	float part = 0.25f;
	bool parallel = false;
	sk_status st;

	d->context_max = 4096;          /* of StableLmConfig, and the part of a head that turns */
	st = sk_config_float(w, "partial_rotary_factor rope_parameters.partial_rotary_factor", 1.0, &part, err);
	d->position = SK_POS_LEARNED;   /* rope comes when the heads' width is known */
	if (st >= 0)
		st = sk_config_hf(w, d, err);
	d->position = SK_POS_ROPE;
	d->rope.width = (int32_t)((double)d->head_width * (double)part);
	if (st >= 0)
		st = sk_config_bool(w, "use_qkv_bias", &d->attention_bias, err);
	if (st >= 0)
		st = sk_config_bool(w, "use_parallel_residual", &parallel, err);
	if (st >= 0)
		st = sk_config_refuse(w, "qk_layernorm", "a norm of each head of q and k", err);
	d->one_norm = parallel;
	if (parallel)
		d->residual = SK_RESIDUAL_PARALLEL;
	return st < 0 ? st : sk_config_rope(w, d, err);
}

static sk_status stablelm_gguf(struct sk_dims *d, const struct sk_weights *w, struct sk_err *err)
{
	bool parallel = false;
	sk_status st = sk_config_gguf(w, d, err);

	if (st >= 0)
		st = sk_config_bool(w, ".use_parallel_residual", &parallel, err);
	d->one_norm = parallel && !sk_weights_find(w, "blk.0.ffn_norm.weight");
	if (d->one_norm)
		d->residual = SK_RESIDUAL_PARALLEL;
	return st;
}

static const struct sk_weight_rule stablelm_weights[] = {
	/* slot             name in the checkpoint                       shape  split by ranks */
	SK_HF_ENDS,
	{ SK_W_OUT_NORM_B,  "norm.bias",                                 "D",   SK_SPLIT_NONE },
	{ SK_W_ATTN_NORM,   "layers.%d.input_layernorm.weight",          "D",   SK_SPLIT_NONE },
	{ SK_W_ATTN_NORM_B, "layers.%d.input_layernorm.bias",            "D",   SK_SPLIT_NONE },
	{ SK_W_FFN_NORM,    "layers.%d.post_attention_layernorm.weight", "D",   SK_SPLIT_NONE, SK_RULE_OPTIONAL },
	{ SK_W_FFN_NORM_B,  "layers.%d.post_attention_layernorm.bias",   "D",   SK_SPLIT_NONE, SK_RULE_OPTIONAL },
	SK_HF_ATTENTION, SK_HF_QKV_BIAS(SK_RULE_OPTIONAL), SK_HF_GLU,
	{ SK_W_END }
};

const struct sk_arch sk_arch_stablelm = {
	.name        = "stablelm",
	.aliases     = { "StableLmForCausalLM", "StableLMEpochForCausalLM", "StableLmModel", "stablelm_epoch" },
	.prefix      = "model.",
	.weights     = stablelm_weights,
	.gguf        = sk_gguf_weights,
	.norm        = SK_NORM_LAYER,
	.position    = SK_POS_ROPE,
	.act         = SK_ACT_SILU,
	.glu         = true,
	.residual    = SK_RESIDUAL_PRE,
	.kv          = SK_KV_SELF,
	.config      = stablelm_config,
	.config_gguf = stablelm_gguf,
};
