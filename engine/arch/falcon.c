/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Falcon (Almazrouei et al. 2023): 7B (one key-value head, one norm for both halves), 40B (groups, two norms), 11B (groups, one norm),
 * RW (ALiBi, one half after the other); also by the configurations of its first days, RefinedWeb and RefinedWebModel.
 */
#include "engine/arch/config.h"

static const struct sk_config_key falcon_keys[] = {
	{ "num_hidden_layers n_layer",   offsetof(struct sk_dims, layers),      SK_LAYERS_MAX },
	{ "hidden_size",                 offsetof(struct sk_dims, width),       SK_WIDTH_MAX },
	{ "num_attention_heads n_head",  offsetof(struct sk_dims, heads),       SK_HEADS_MAX },
	{ "ffn_hidden_size",             offsetof(struct sk_dims, ffn_width),   SK_FFN_MAX,     SK_KEY_OPTIONAL },
	{ "vocab_size",                  offsetof(struct sk_dims, vocab),       SK_VOCAB_MAX },
	{ "max_position_embeddings",     offsetof(struct sk_dims, context_max), SK_CONTEXT_MAX, SK_KEY_OPTIONAL },
};

static sk_status falcon_config(struct sk_dims *d, const struct sk_weights *w, struct sk_err *err)
{
	bool grouped = sk_config_is(w, "model_type", "RefinedWeb"), one = true, parallel = true, alibi = false;
	int32_t norms = 2;
	sk_status st;

	d->context_max = 2048;          /* of FalconConfig */
	d->tied_head = true;
	st = SK_CONFIG_INTS(w, falcon_keys, d, err);
	if (st >= 0)
		st = sk_config_bool(w, "new_decoder_architecture", &grouped, err);
	if (st >= 0)
		st = sk_config_bool(w, "multi_query", &one, err);
	if (st >= 0)
		st = sk_config_bool(w, "parallel_attn", &parallel, err);
	if (st >= 0)
		st = sk_config_bool(w, "alibi", &alibi, err);
	if (st >= 0)
		st = sk_config_bool(w, "tie_word_embeddings", &d->tied_head, err);
	if (st >= 0)
		st = sk_config_float(w, "layer_norm_epsilon", 1.0, &d->norm_eps, err);
	if (st >= 0)
		st = sk_config_act(w, "activation", &d->act, err);
	if (st >= 0)
		st = sk_config_bool(w, "bias", &d->attention_bias, err);
	if (st >= 0)
		st = sk_config_int(w, "num_ln_in_parallel_attn", 1, 2, &norms, err);
	if (st >= 0 && grouped)
		st = sk_config_int(w, "num_kv_heads n_head_kv", 1, SK_HEADS_MAX, &d->kv_heads, err);
	if (st < 0)
		return st;
	if (!grouped)
		d->kv_heads = one ? 1 : d->heads;
	d->qkv = grouped || !one ? SK_QKV_GROUPS : SK_QKV_PARTS;
	d->mlp_bias = d->attention_bias;
	d->one_norm = !grouped || norms == 1;
	d->residual = grouped || parallel ? SK_RESIDUAL_PARALLEL : SK_RESIDUAL_PRE;
	if (!d->ffn_width)
		d->ffn_width = 4 * d->width;
	st = sk_config_derive(w, d, err);
	if (alibi)
		d->position = SK_POS_ALIBI_BF16;
	return st < 0 || alibi ? st : sk_config_rope(w, d, err);
}

static sk_status falcon_gguf(struct sk_dims *d, const struct sk_weights *w, struct sk_err *err)
{
	d->qkv = SK_QKV_PARTS;
	return sk_config_gguf(w, d, err);
}

static const struct sk_weight_rule falcon_weights[] = {
	/* slot             name in the checkpoint                          shape  split by ranks */
	{ SK_W_EMBED,       "word_embeddings.weight",                       "V,D", SK_SPLIT_ROWS },
	{ SK_W_ATTN_NORM,   "h.%d.input_layernorm.weight",                  "D",   SK_SPLIT_NONE },
	{ SK_W_ATTN_NORM_B, "h.%d.input_layernorm.bias",                    "D",   SK_SPLIT_NONE },
	{ SK_W_ATTN_NORM,   "h.%d.ln_attn.weight",                          "D",   SK_SPLIT_NONE },
	{ SK_W_ATTN_NORM_B, "h.%d.ln_attn.bias",                            "D",   SK_SPLIT_NONE },
	{ SK_W_QKV,         "h.%d.self_attention.query_key_value.weight",   "C,D", SK_SPLIT_HEADS },
	{ SK_W_QKV_B,       "h.%d.self_attention.query_key_value.bias",     "C",   SK_SPLIT_HEADS, SK_RULE_OPTIONAL },
	{ SK_W_O,           "h.%d.self_attention.dense.weight",             "D,Q", SK_SPLIT_K },
	{ SK_W_O_B,         "h.%d.self_attention.dense.bias",               "D",   SK_SPLIT_NONE,  SK_RULE_OPTIONAL },
	{ SK_W_FFN_NORM,    "h.%d.ln_mlp.weight",                           "D",   SK_SPLIT_NONE,  SK_RULE_OPTIONAL },
	{ SK_W_FFN_NORM_B,  "h.%d.ln_mlp.bias",                             "D",   SK_SPLIT_NONE,  SK_RULE_OPTIONAL },
	{ SK_W_FFN_NORM,    "h.%d.post_attention_layernorm.weight",         "D",   SK_SPLIT_NONE,  SK_RULE_OPTIONAL },
	{ SK_W_FFN_NORM_B,  "h.%d.post_attention_layernorm.bias",           "D",   SK_SPLIT_NONE,  SK_RULE_OPTIONAL },
	{ SK_W_UP,          "h.%d.mlp.dense_h_to_4h.weight",                "F,D", SK_SPLIT_ROWS },
	{ SK_W_UP_B,        "h.%d.mlp.dense_h_to_4h.bias",                  "F",   SK_SPLIT_ROWS,  SK_RULE_OPTIONAL },
	{ SK_W_DOWN,        "h.%d.mlp.dense_4h_to_h.weight",                "D,F", SK_SPLIT_K },
	{ SK_W_DOWN_B,      "h.%d.mlp.dense_4h_to_h.bias",                  "D",   SK_SPLIT_NONE,  SK_RULE_OPTIONAL },
	{ SK_W_OUT_NORM,    "ln_f.weight",                                  "D",   SK_SPLIT_NONE },
	{ SK_W_OUT_NORM_B,  "ln_f.bias",                                    "D",   SK_SPLIT_NONE },
	{ SK_W_HEAD,        "lm_head.weight",                               "V,D", SK_SPLIT_ROWS,  SK_RULE_OPTIONAL },
	{ SK_W_IGNORE,      "h.%d.self_attention.rotary_emb.inv_freq",      NULL,  SK_SPLIT_NONE },
	{ SK_W_IGNORE,      "h.%d.self_attention.maybe_rotary.inv_freq",    NULL,  SK_SPLIT_NONE },
	{ SK_W_END }
};

/* The converter calls 40B's norm of the attention attn_norm_2: the MLP's is attn_norm there. */
static const struct sk_weight_rule falcon_gguf_weights[] = {
	{ SK_W_EMBED,       "token_embd.weight",         "V,D", SK_SPLIT_ROWS },
	{ SK_W_ATTN_NORM,   "blk.%d.attn_norm_2.weight", "D",   SK_SPLIT_NONE },
	{ SK_W_ATTN_NORM_B, "blk.%d.attn_norm_2.bias",   "D",   SK_SPLIT_NONE },
	{ SK_W_ATTN_NORM,   "blk.%d.attn_norm.weight",   "D",   SK_SPLIT_NONE },
	{ SK_W_ATTN_NORM_B, "blk.%d.attn_norm.bias",     "D",   SK_SPLIT_NONE },
	{ SK_W_QKV,         "blk.%d.attn_qkv.weight",    "C,D", SK_SPLIT_HEADS },
	{ SK_W_O,           "blk.%d.attn_output.weight", "D,Q", SK_SPLIT_K },
	{ SK_W_FFN_NORM,    "blk.%d.attn_norm.weight",   "D",   SK_SPLIT_NONE },
	{ SK_W_FFN_NORM_B,  "blk.%d.attn_norm.bias",     "D",   SK_SPLIT_NONE },
	{ SK_W_UP,          "blk.%d.ffn_up.weight",      "F,D", SK_SPLIT_ROWS },
	{ SK_W_DOWN,        "blk.%d.ffn_down.weight",    "D,F", SK_SPLIT_K },
	{ SK_W_OUT_NORM,    "output_norm.weight",        "D",   SK_SPLIT_NONE },
	{ SK_W_OUT_NORM_B,  "output_norm.bias",          "D",   SK_SPLIT_NONE },
	{ SK_W_HEAD,        "output.weight",             "V,D", SK_SPLIT_ROWS, SK_RULE_OPTIONAL },
	{ SK_W_END }
};

const struct sk_arch sk_arch_falcon = {
	.name        = "falcon",
	.aliases     = { "FalconForCausalLM", "RWForCausalLM", "FalconModel", "RefinedWeb", "RefinedWebModel" },
	.prefix      = "transformer.",
	.weights     = falcon_weights,
	.gguf        = falcon_gguf_weights,
	.norm        = SK_NORM_LAYER,
	.position    = SK_POS_ROPE,
	.act         = SK_ACT_GELU,
	.residual    = SK_RESIDUAL_PARALLEL,
	.kv          = SK_KV_SELF,
	.config      = falcon_config,
	.config_gguf = falcon_gguf,
};
