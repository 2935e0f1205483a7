/* SPDX-License-Identifier: Apache-2.0 */
/*
 * GPT-BigCode (Li et al. 2023: StarCoder, StarCoderBase, SantaCoder): GPT-2 with one key-value head for all query heads, or as many
 * as these. SantaCoder's first form (GPT2LMHeadCustomModel) stores its products transposed and q apart from k and v.
 */
#include "engine/arch/config.h"

static const struct sk_config_key bigcode_keys[] = {
	{ "n_layer num_hidden_layers",           offsetof(struct sk_dims, layers),      SK_LAYERS_MAX },
	{ "n_embd hidden_size",                  offsetof(struct sk_dims, width),       SK_WIDTH_MAX },
	{ "n_head num_attention_heads",          offsetof(struct sk_dims, heads),       SK_HEADS_MAX },
	{ "n_inner",                             offsetof(struct sk_dims, ffn_width),   SK_FFN_MAX, SK_KEY_OPTIONAL },
	{ "n_positions max_position_embeddings", offsetof(struct sk_dims, context_max), SK_CONTEXT_MAX },
	{ "vocab_size",                          offsetof(struct sk_dims, vocab),       SK_VOCAB_MAX },
};

/* What both forms say. */
static sk_status read_config(struct sk_dims *d, const struct sk_weights *w, bool one, struct sk_err *err)
{
	bool scale = true;
	sk_status st = SK_CONFIG_INTS(w, bigcode_keys, d, err);

	d->tied_head = d->attention_bias = true;
	if (!d->ffn_width)
		d->ffn_width = 4 * d->width;
	d->kv_heads = one ? 1 : d->heads;
	d->qkv = one ? SK_QKV_PARTS : SK_QKV_GROUPS;
	d->positions = d->context_max;
	if (st >= 0)
		st = sk_config_derive(w, d, err);
	if (st >= 0)
		st = sk_config_float(w, "layer_norm_epsilon", 1.0, &d->norm_eps, err);
	if (st >= 0)
		st = sk_config_act(w, "activation_function", &d->act, err);
	if (st >= 0)
		st = sk_config_bool(w, "scale_attn_weights", &scale, err);
	if (!scale)
		d->score_scale = 1.0f;
	return st < 0 ? st : sk_config_bool(w, "tie_word_embeddings", &d->tied_head, err);
}

static sk_status bigcode_config(struct sk_dims *d, const struct sk_weights *w, struct sk_err *err)
{
	bool one = true;
	sk_status st = sk_config_bool(w, "multi_query", &one, err);

	return st < 0 ? st : read_config(d, w, one, err);
}

static sk_status bigcode_gguf(struct sk_dims *d, const struct sk_weights *w, struct sk_err *err)
{
	sk_status st = sk_config_gguf(w, d, err);

	d->qkv = SK_QKV_PARTS;
	d->positions = d->context_max;
	return st;
}

static sk_status santacoder_config(struct sk_dims *d, const struct sk_weights *w, struct sk_err *err)
{
	static const char *const names[] = { "multiquery", "multihead", NULL };
	int heads = 0;
	sk_status st = sk_config_word(w, "attention_head_type", "attention", names, &heads, err);

	if (st >= 0)
		st = read_config(d, w, heads == 0, err);
	d->qkv = SK_QKV_PARTS;          /* also of as many heads: as GPT-2 has them */
	d->keep_special = true;
	return st;
}

static const struct sk_weight_rule bigcode_weights[] = {
	/* slot             name in the checkpoint        shape  split by ranks */
	{ SK_W_EMBED,       "wte.weight",                 "V,D", SK_SPLIT_ROWS },
	{ SK_W_POSITIONS,   "wpe.weight",                 "P,D", SK_SPLIT_NONE },
	{ SK_W_ATTN_NORM,   "h.%d.ln_1.weight",           "D",   SK_SPLIT_NONE },
	{ SK_W_ATTN_NORM_B, "h.%d.ln_1.bias",             "D",   SK_SPLIT_NONE },
	{ SK_W_QKV,         "h.%d.attn.c_attn.weight",    "C,D", SK_SPLIT_HEADS },
	{ SK_W_QKV_B,       "h.%d.attn.c_attn.bias",      "C",   SK_SPLIT_HEADS },
	{ SK_W_O,           "h.%d.attn.c_proj.weight",    "D,Q", SK_SPLIT_K },
	{ SK_W_O_B,         "h.%d.attn.c_proj.bias",      "D",   SK_SPLIT_NONE },
	{ SK_W_FFN_NORM,    "h.%d.ln_2.weight",           "D",   SK_SPLIT_NONE },
	{ SK_W_FFN_NORM_B,  "h.%d.ln_2.bias",             "D",   SK_SPLIT_NONE },
	{ SK_W_UP,          "h.%d.mlp.c_fc.weight",       "F,D", SK_SPLIT_ROWS },
	{ SK_W_UP_B,        "h.%d.mlp.c_fc.bias",         "F",   SK_SPLIT_ROWS },
	{ SK_W_DOWN,        "h.%d.mlp.c_proj.weight",     "D,F", SK_SPLIT_K },
	{ SK_W_DOWN_B,      "h.%d.mlp.c_proj.bias",       "D",   SK_SPLIT_NONE },
	{ SK_W_OUT_NORM,    "ln_f.weight",                "D",   SK_SPLIT_NONE },
	{ SK_W_OUT_NORM_B,  "ln_f.bias",                  "D",   SK_SPLIT_NONE },
	{ SK_W_HEAD,        "lm_head.weight",             "V,D", SK_SPLIT_ROWS, SK_RULE_OPTIONAL },
	{ SK_W_IGNORE,      "h.%d.attn.bias",             NULL,  SK_SPLIT_NONE },
	{ SK_W_IGNORE,      "h.%d.attn.masked_bias",      NULL,  SK_SPLIT_NONE },
	{ SK_W_END }
};

static const struct sk_weight_rule santacoder_weights[] = {
	{ SK_W_EMBED,       "wte.weight",                 "V,D", SK_SPLIT_ROWS },
	{ SK_W_POSITIONS,   "wpe.weight",                 "P,D", SK_SPLIT_NONE },
	{ SK_W_ATTN_NORM,   "h.%d.ln_1.weight",           "D",   SK_SPLIT_NONE },
	{ SK_W_ATTN_NORM_B, "h.%d.ln_1.bias",             "D",   SK_SPLIT_NONE },
	{ SK_W_QKV,         "h.%d.attn.c_attn.weight",    "D,C", SK_SPLIT_HEADS,    SK_RULE_TRANSPOSED | SK_RULE_OPTIONAL },
	{ SK_W_QKV_B,       "h.%d.attn.c_attn.bias",      "C",   SK_SPLIT_HEADS,    SK_RULE_OPTIONAL },
	{ SK_W_Q,           "h.%d.attn.q_attn.weight",    "D,Q", SK_SPLIT_HEADS,    SK_RULE_TRANSPOSED | SK_RULE_OPTIONAL },
	{ SK_W_Q_B,         "h.%d.attn.q_attn.bias",      "Q",   SK_SPLIT_HEADS,    SK_RULE_OPTIONAL },
	{ SK_W_KV,          "h.%d.attn.kv_attn.weight",   "D,I", SK_SPLIT_KV_HEADS, SK_RULE_TRANSPOSED | SK_RULE_OPTIONAL },
	{ SK_W_KV_B,        "h.%d.attn.kv_attn.bias",     "I",   SK_SPLIT_KV_HEADS, SK_RULE_OPTIONAL },
	{ SK_W_O,           "h.%d.attn.c_proj.weight",    "Q,D", SK_SPLIT_K,        SK_RULE_TRANSPOSED },
	{ SK_W_O_B,         "h.%d.attn.c_proj.bias",      "D",   SK_SPLIT_NONE },
	{ SK_W_FFN_NORM,    "h.%d.ln_2.weight",           "D",   SK_SPLIT_NONE },
	{ SK_W_FFN_NORM_B,  "h.%d.ln_2.bias",             "D",   SK_SPLIT_NONE },
	{ SK_W_UP,          "h.%d.mlp.c_fc.weight",       "D,F", SK_SPLIT_ROWS,     SK_RULE_TRANSPOSED },
	{ SK_W_UP_B,        "h.%d.mlp.c_fc.bias",         "F",   SK_SPLIT_ROWS },
	{ SK_W_DOWN,        "h.%d.mlp.c_proj.weight",     "F,D", SK_SPLIT_K,        SK_RULE_TRANSPOSED },
	{ SK_W_DOWN_B,      "h.%d.mlp.c_proj.bias",       "D",   SK_SPLIT_NONE },
	{ SK_W_OUT_NORM,    "ln_f.weight",                "D",   SK_SPLIT_NONE },
	{ SK_W_OUT_NORM_B,  "ln_f.bias",                  "D",   SK_SPLIT_NONE },
	{ SK_W_HEAD,        "lm_head.weight",             "V,D", SK_SPLIT_ROWS,     SK_RULE_OPTIONAL },
	{ SK_W_IGNORE,      "h.%d.attn.bias",             NULL,  SK_SPLIT_NONE },
	{ SK_W_IGNORE,      "h.%d.attn.masked_bias",      NULL,  SK_SPLIT_NONE },
	{ SK_W_END }
};

#define BIGCODE \
	.prefix   = "transformer.", \
	.norm     = SK_NORM_LAYER, \
	.position = SK_POS_LEARNED, \
	.act      = SK_ACT_GELU_TANH, \
	.residual = SK_RESIDUAL_PRE, \
	.kv       = SK_KV_SELF

const struct sk_arch sk_arch_gpt_bigcode = {
	.name        = "gpt_bigcode",
	.aliases     = { "GPTBigCodeForCausalLM", "GPTBigCodeModel", "starcoder" },
	.weights     = bigcode_weights,
	.gguf        = sk_gguf_weights,
	.config      = bigcode_config,
	.config_gguf = bigcode_gguf,
	BIGCODE
};

const struct sk_arch sk_arch_santacoder = {
	.name    = "santacoder",
	.aliases = { "GPT2LMHeadCustomModel" },
	.weights = santacoder_weights,
	.config  = santacoder_config,
	BIGCODE
};
