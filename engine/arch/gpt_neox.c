/* SPDX-License-Identifier: Apache-2.0 */
/*
 * GPT-NeoX (Black et al. 2022), Pythia, RedPajama-INCITE, Dolly and others: LayerNorm, both halves of a layer in parallel or one
 * after the other, a part of each head turns, q, k and v fused head by head (in a GGUF one after the other).
 */
#include "engine/arch/config.h"

static const struct sk_config_key neox_keys[] = {
	{ "num_hidden_layers",       offsetof(struct sk_dims, layers),      SK_LAYERS_MAX },
	{ "hidden_size",             offsetof(struct sk_dims, width),       SK_WIDTH_MAX },
	{ "intermediate_size",       offsetof(struct sk_dims, ffn_width),   SK_FFN_MAX },
	{ "num_attention_heads",     offsetof(struct sk_dims, heads),       SK_HEADS_MAX },
	{ "vocab_size",              offsetof(struct sk_dims, vocab),       SK_VOCAB_MAX },
	{ "max_position_embeddings", offsetof(struct sk_dims, context_max), SK_CONTEXT_MAX, SK_KEY_OPTIONAL },
};

static sk_status neox_config(struct sk_dims *d, const struct sk_weights *w, struct sk_err *err)
{
	bool parallel = true;
	float part = 0.25f;
	sk_status st;

	d->context_max = 2048;          /* of GPTNeoXConfig, as the other defaults here */
	d->qkv = SK_QKV_GROUPS;
	d->attention_bias = true;
	st = SK_CONFIG_INTS(w, neox_keys, d, err);
	if (st >= 0)
		st = sk_config_derive(w, d, err);
	if (st >= 0)
		st = sk_config_float(w, "layer_norm_eps", 1.0, &d->norm_eps, err);
	if (st >= 0)
		st = sk_config_act(w, "hidden_act", &d->act, err);
	if (st >= 0)
		st = sk_config_bool(w, "use_parallel_residual", &parallel, err);
	if (st >= 0)
		st = sk_config_bool(w, "tie_word_embeddings", &d->tied_head, err);
	if (st >= 0)
		st = sk_config_bool(w, "attention_bias", &d->attention_bias, err);
	if (st >= 0)
		st = sk_config_float(w, "rotary_pct partial_rotary_factor rope_parameters.partial_rotary_factor", 1.0, &part, err);
	if (!parallel)
		d->residual = SK_RESIDUAL_PRE;
	d->rope.width = (int32_t)((double)d->head_width * (double)part);
	return st < 0 ? st : sk_config_rope(w, d, err);
}

static sk_status neox_gguf(struct sk_dims *d, const struct sk_weights *w, struct sk_err *err)
{
	bool parallel = true;
	sk_status st = sk_config_gguf(w, d, err);

	if (st >= 0)
		st = sk_config_bool(w, ".use_parallel_residual", &parallel, err);
	if (!parallel)
		d->residual = SK_RESIDUAL_PRE;
	return st;
}

static const struct sk_weight_rule neox_weights[] = {
	/* slot             name in the checkpoint                          shape  split by ranks */
	{ SK_W_EMBED,       "embed_in.weight",                              "V,D", SK_SPLIT_ROWS },
	{ SK_W_ATTN_NORM,   "layers.%d.input_layernorm.weight",             "D",   SK_SPLIT_NONE },
	{ SK_W_ATTN_NORM_B, "layers.%d.input_layernorm.bias",               "D",   SK_SPLIT_NONE },
	{ SK_W_QKV,         "layers.%d.attention.query_key_value.weight",   "C,D", SK_SPLIT_HEADS },
	{ SK_W_QKV_B,       "layers.%d.attention.query_key_value.bias",     "C",   SK_SPLIT_HEADS, SK_RULE_OPTIONAL },
	{ SK_W_O,           "layers.%d.attention.dense.weight",             "D,Q", SK_SPLIT_K },
	{ SK_W_O_B,         "layers.%d.attention.dense.bias",               "D",   SK_SPLIT_NONE,  SK_RULE_OPTIONAL },
	{ SK_W_FFN_NORM,    "layers.%d.post_attention_layernorm.weight",    "D",   SK_SPLIT_NONE },
	{ SK_W_FFN_NORM_B,  "layers.%d.post_attention_layernorm.bias",      "D",   SK_SPLIT_NONE },
	{ SK_W_UP,          "layers.%d.mlp.dense_h_to_4h.weight",           "F,D", SK_SPLIT_ROWS },
	{ SK_W_UP_B,        "layers.%d.mlp.dense_h_to_4h.bias",             "F",   SK_SPLIT_ROWS },
	{ SK_W_DOWN,        "layers.%d.mlp.dense_4h_to_h.weight",           "D,F", SK_SPLIT_K },
	{ SK_W_DOWN_B,      "layers.%d.mlp.dense_4h_to_h.bias",             "D",   SK_SPLIT_NONE },
	{ SK_W_OUT_NORM,    "final_layer_norm.weight",                      "D",   SK_SPLIT_NONE },
	{ SK_W_OUT_NORM_B,  "final_layer_norm.bias",                        "D",   SK_SPLIT_NONE },
	{ SK_W_HEAD,        "embed_out.weight",                             "V,D", SK_SPLIT_ROWS, SK_RULE_OPTIONAL },
	{ SK_W_HEAD,        "lm_head.weight",                               "V,D", SK_SPLIT_ROWS, SK_RULE_OPTIONAL },
	{ SK_W_IGNORE,      "layers.%d.attention.bias",                     NULL,  SK_SPLIT_NONE },
	{ SK_W_IGNORE,      "layers.%d.attention.masked_bias",              NULL,  SK_SPLIT_NONE },
	{ SK_W_IGNORE,      "layers.%d.attention.rotary_emb.inv_freq",      NULL,  SK_SPLIT_NONE },
	{ SK_W_END }
};

const struct sk_arch sk_arch_gpt_neox = {
	.name        = "gpt_neox",
	.aliases     = { "GPTNeoXForCausalLM", "GPTNeoXModel", "gptneox" },
	.prefix      = "gpt_neox.",
	.weights     = neox_weights,
	.gguf        = sk_gguf_weights,
	.norm        = SK_NORM_LAYER,
	.position    = SK_POS_ROPE,
	.act         = SK_ACT_GELU,
	.residual    = SK_RESIDUAL_PARALLEL,
	.kv          = SK_KV_SELF,
	.config      = neox_config,
	.config_gguf = neox_gguf,
};
