/* SPDX-License-Identifier: Apache-2.0 */
/*
 * BLOOM and BLOOMZ (Workshop BigScience 2022): LayerNorm, also of the embedding; ALiBi; tanh GELU; q, k and v fused head by
 * head (in a GGUF one after the other). Files of the hub have no "transformer." before their names.
 */
#include "engine/arch/config.h"

static const struct sk_config_key bloom_keys[] = {
	{ "n_layer num_hidden_layers",   offsetof(struct sk_dims, layers),      SK_LAYERS_MAX },
	{ "hidden_size n_embed",         offsetof(struct sk_dims, width),       SK_WIDTH_MAX },
	{ "n_head num_attention_heads",  offsetof(struct sk_dims, heads),       SK_HEADS_MAX },
	{ "vocab_size",                  offsetof(struct sk_dims, vocab),       SK_VOCAB_MAX },
	{ "seq_length",                  offsetof(struct sk_dims, context_max), SK_CONTEXT_MAX, SK_KEY_OPTIONAL },
};

static sk_status bloom_config(struct sk_dims *d, const struct sk_weights *w, struct sk_err *err)
{
	bool normed = false;
	sk_status st;

	d->context_max = 2048;          /* what BLOOM was trained with; ALiBi itself has no end */
	d->qkv = SK_QKV_GROUPS;
	d->tied_head = true;
	st = SK_CONFIG_INTS(w, bloom_keys, d, err);
	d->ffn_width = 4 * d->width;
	if (st >= 0)
		st = sk_config_derive(w, d, err);
	if (st >= 0)
		st = sk_config_float(w, "layer_norm_epsilon", 1.0, &d->norm_eps, err);
	if (st >= 0)
		st = sk_config_bool(w, "apply_residual_connection_post_layernorm", &normed, err);
	if (normed)
		d->residual = SK_RESIDUAL_NORMED;
	return st < 0 ? st : sk_config_bool(w, "tie_word_embeddings", &d->tied_head, err);
}

static sk_status bloom_gguf(struct sk_dims *d, const struct sk_weights *w, struct sk_err *err)
{
	d->qkv = SK_QKV_PARTS;
	return sk_config_gguf(w, d, err);
}

static const struct sk_weight_rule bloom_weights[] = {
	/* slot              name in the checkpoint                          shape  split by ranks */
	{ SK_W_EMBED,        "word_embeddings.weight",                       "V,D", SK_SPLIT_ROWS },
	{ SK_W_EMBED_NORM,   "word_embeddings_layernorm.weight",             "D",   SK_SPLIT_NONE },
	{ SK_W_EMBED_NORM_B, "word_embeddings_layernorm.bias",               "D",   SK_SPLIT_NONE },
	{ SK_W_ATTN_NORM,    "h.%d.input_layernorm.weight",                  "D",   SK_SPLIT_NONE },
	{ SK_W_ATTN_NORM_B,  "h.%d.input_layernorm.bias",                    "D",   SK_SPLIT_NONE },
	{ SK_W_QKV,          "h.%d.self_attention.query_key_value.weight",   "C,D", SK_SPLIT_HEADS },
	{ SK_W_QKV_B,        "h.%d.self_attention.query_key_value.bias",     "C",   SK_SPLIT_HEADS },
	{ SK_W_O,            "h.%d.self_attention.dense.weight",             "D,Q", SK_SPLIT_K },
	{ SK_W_O_B,          "h.%d.self_attention.dense.bias",               "D",   SK_SPLIT_NONE },
	{ SK_W_FFN_NORM,     "h.%d.post_attention_layernorm.weight",         "D",   SK_SPLIT_NONE },
	{ SK_W_FFN_NORM_B,   "h.%d.post_attention_layernorm.bias",           "D",   SK_SPLIT_NONE },
	{ SK_W_UP,           "h.%d.mlp.dense_h_to_4h.weight",                "F,D", SK_SPLIT_ROWS },
	{ SK_W_UP_B,         "h.%d.mlp.dense_h_to_4h.bias",                  "F",   SK_SPLIT_ROWS },
	{ SK_W_DOWN,         "h.%d.mlp.dense_4h_to_h.weight",                "D,F", SK_SPLIT_K },
	{ SK_W_DOWN_B,       "h.%d.mlp.dense_4h_to_h.bias",                  "D",   SK_SPLIT_NONE },
	{ SK_W_OUT_NORM,     "ln_f.weight",                                  "D",   SK_SPLIT_NONE },
	{ SK_W_OUT_NORM_B,   "ln_f.bias",                                    "D",   SK_SPLIT_NONE },
	{ SK_W_HEAD,         "lm_head.weight",                               "V,D", SK_SPLIT_ROWS, SK_RULE_OPTIONAL },
	{ SK_W_END }
};

const struct sk_arch sk_arch_bloom = {
	.name        = "bloom",
	.aliases     = { "BloomForCausalLM", "BloomModel" },
	.prefix      = "transformer.",
	.weights     = bloom_weights,
	.gguf        = sk_gguf_weights,
	.norm        = SK_NORM_LAYER,
	.position    = SK_POS_ALIBI,
	.act         = SK_ACT_GELU_TANH,
	.residual    = SK_RESIDUAL_PRE,
	.kv          = SK_KV_SELF,
	.config      = bloom_config,
	.config_gguf = bloom_gguf,
};
