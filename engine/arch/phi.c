/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Phi-1, Phi-1.5 and Phi-2 (Gunasekar et al. 2023): both halves of a layer in parallel behind one LayerNorm, biases everywhere, a part of
 * each head turns; in some a norm of each head of q and k.
 */
#include "engine/arch/config.h"

static sk_status phi_config(struct sk_dims *d, const struct sk_weights *w, struct sk_err *err)
{
	float part = 0.5f;
	sk_status st;

	d->context_max = 2048;          /* of PhiConfig, and the part of a head that turns */
	d->one_norm = true;
	st = sk_config_float(w, "partial_rotary_factor rope_parameters.partial_rotary_factor", 1.0, &part, err);
	d->position = SK_POS_LEARNED;   /* rope comes when the heads' width is known */
	if (st >= 0)
		st = sk_config_hf(w, d, err);
	d->position = SK_POS_ROPE;
	d->rope.width = (int32_t)((double)d->head_width * (double)part);
	if (st >= 0)
		st = sk_config_bool(w, "qk_layernorm", &d->qk_norm, err);
	return st < 0 ? st : sk_config_rope(w, d, err);
}

static sk_status phi_gguf(struct sk_dims *d, const struct sk_weights *w, struct sk_err *err)
{
	d->one_norm = true;
	return sk_config_gguf(w, d, err);
}

#define OPTIONAL SK_RULE_OPTIONAL
static const struct sk_weight_rule phi_weights[] = {
	/* slot             name in the checkpoint                       shape  split by ranks */
	{ SK_W_EMBED,       "embed_tokens.weight",                       "V,D", SK_SPLIT_ROWS },
	{ SK_W_ATTN_NORM,   "layers.%d.input_layernorm.weight",          "D",   SK_SPLIT_NONE },
	{ SK_W_ATTN_NORM_B, "layers.%d.input_layernorm.bias",            "D",   SK_SPLIT_NONE },
	{ SK_W_Q,           "layers.%d.self_attn.q_proj.weight",         "Q,D", SK_SPLIT_HEADS },
	{ SK_W_K,           "layers.%d.self_attn.k_proj.weight",         "G,D", SK_SPLIT_KV_HEADS },
	{ SK_W_V,           "layers.%d.self_attn.v_proj.weight",         "G,D", SK_SPLIT_KV_HEADS },
	SK_HF_QKV_BIAS(0),
	{ SK_W_Q_NORM,      "layers.%d.self_attn.q_layernorm.weight",    "W",   SK_SPLIT_NONE,  OPTIONAL },
	{ SK_W_Q_NORM_B,    "layers.%d.self_attn.q_layernorm.bias",      "W",   SK_SPLIT_NONE,  OPTIONAL },
	{ SK_W_K_NORM,      "layers.%d.self_attn.k_layernorm.weight",    "W",   SK_SPLIT_NONE,  OPTIONAL },
	{ SK_W_K_NORM_B,    "layers.%d.self_attn.k_layernorm.bias",      "W",   SK_SPLIT_NONE,  OPTIONAL },
	{ SK_W_O,           "layers.%d.self_attn.dense.weight",          "D,Q", SK_SPLIT_K },
	{ SK_W_O_B,         "layers.%d.self_attn.dense.bias",            "D",   SK_SPLIT_NONE },
	{ SK_W_UP,          "layers.%d.mlp.fc1.weight",                  "F,D", SK_SPLIT_ROWS },
	{ SK_W_UP_B,        "layers.%d.mlp.fc1.bias",                    "F",   SK_SPLIT_ROWS },
	{ SK_W_DOWN,        "layers.%d.mlp.fc2.weight",                  "D,F", SK_SPLIT_K },
	{ SK_W_DOWN_B,      "layers.%d.mlp.fc2.bias",                    "D",   SK_SPLIT_NONE },
	{ SK_W_OUT_NORM,    "final_layernorm.weight",                    "D",   SK_SPLIT_NONE },
	{ SK_W_OUT_NORM_B,  "final_layernorm.bias",                      "D",   SK_SPLIT_NONE },
	{ SK_W_HEAD,        "lm_head.weight",                            "V,D", SK_SPLIT_ROWS },
	{ SK_W_HEAD_B,      "lm_head.bias",                              "V",   SK_SPLIT_ROWS },
	{ SK_W_IGNORE,      "layers.%d.self_attn.rotary_emb.inv_freq",   NULL,  SK_SPLIT_NONE },
	{ SK_W_END }
};

const struct sk_arch sk_arch_phi = {
	.name        = "phi",
	.aliases     = { "PhiForCausalLM", "PhiModel", "phi2" },
	.prefix      = "model.",
	.weights     = phi_weights,
	.gguf        = sk_gguf_weights,
	.norm        = SK_NORM_LAYER,
	.position    = SK_POS_ROPE,
	.act         = SK_ACT_GELU_TANH,
	.residual    = SK_RESIDUAL_PARALLEL,
	.kv          = SK_KV_SELF,
	.config      = phi_config,
	.config_gguf = phi_gguf,
};
