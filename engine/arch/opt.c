/* SPDX-License-Identifier: Apache-2.0 */
/*
 * OPT (Zhang et al. 2022) and Galactica (Taylor et al. 2022): learned positions that begin at row 2, LayerNorm before each half of a
 * layer, or after it and with projections around (OPT-350m), biases and norms' weights by configuration.
 */
#include "engine/arch/config.h"

#include <string.h>
#include <strings.h>

#define OPT_OFFSET 2

static const struct sk_config_key opt_keys[] = {
	{ "num_hidden_layers",       offsetof(struct sk_dims, layers),      SK_LAYERS_MAX },
	{ "hidden_size",             offsetof(struct sk_dims, width),       SK_WIDTH_MAX },
	{ "ffn_dim",                 offsetof(struct sk_dims, ffn_width),   SK_FFN_MAX },
	{ "num_attention_heads",     offsetof(struct sk_dims, heads),       SK_HEADS_MAX },
	{ "vocab_size",              offsetof(struct sk_dims, vocab),       SK_VOCAB_MAX },
	{ "max_position_embeddings", offsetof(struct sk_dims, context_max), SK_CONTEXT_MAX },
	{ "word_embed_proj_dim",     offsetof(struct sk_dims, embed_width), SK_WIDTH_MAX, SK_KEY_OPTIONAL },
};

/*
 * Galactica's configuration says "opt" like any other. What tells it: its name, or a key that only Meta's converter of it wrote
 * beside its vocabulary of 50000.
 */
static bool is_galactica(const struct sk_weights *w, const struct sk_dims *d, const char *name, size_t len)
{
	if (strcasestr(sk_weights_path(w), "galactica"))
		return true;
	for (size_t i = 0; name && i + 9 <= len; i++)
		if (!strncasecmp(name + i, "galactica", 9))
			return true;
	return d->vocab == 50000 && sk_meta_find(w, "learned_embeddings");
}

static sk_status opt_config(struct sk_dims *d, const struct sk_weights *w, struct sk_err *err)
{
	bool before = true, affine = true, no_final = false;
	const char *name = NULL;
	size_t len = 0;
	sk_status st = SK_CONFIG_INTS(w, opt_keys, d, err);

	d->tied_head = d->attention_bias = true;
	if (st >= 0)
		st = sk_config_derive(w, d, err);
	if (st >= 0)
		st = sk_config_act(w, "activation_function", &d->act, err);
	if (st >= 0)
		st = sk_config_bool(w, "do_layer_norm_before", &before, err);
	if (st >= 0)
		st = sk_config_bool(w, "layer_norm_elementwise_affine", &affine, err);
	if (st >= 0)
		st = sk_config_bool(w, "enable_bias", &d->attention_bias, err);
	if (st >= 0)
		st = sk_config_bool(w, "_remove_final_layer_norm", &no_final, err);
	if (st >= 0)
		st = sk_config_bool(w, "tie_word_embeddings", &d->tied_head, err);
	if (st >= 0)
		st = sk_config_str(w, "_name_or_path", &name, &len, err);
	if (st < 0)
		return st;
	d->positions = d->context_max + OPT_OFFSET;
	d->position_offset = OPT_OFFSET;
	d->mlp_bias = d->attention_bias;
	d->plain_norms = !affine;
	if (!before)
		d->residual = SK_RESIDUAL_POST;
	d->no_out_norm = !before || no_final;
	d->keep_special = d->sequences = is_galactica(w, d, name, len);
	return SK_OK;
}

static const struct sk_weight_rule opt_weights[] = {
	/* slot             name in the checkpoint                      shape  split by ranks */
	{ SK_W_EMBED,       "embed_tokens.weight",                      "V,E", SK_SPLIT_ROWS },
	{ SK_W_POSITIONS,   "embed_positions.weight",                   "P,D", SK_SPLIT_NONE },
	{ SK_W_PROJ_IN,     "project_in.weight",                        "D,E", SK_SPLIT_NONE,  SK_RULE_OPTIONAL },
	{ SK_W_PROJ_OUT,    "project_out.weight",                       "E,D", SK_SPLIT_NONE,  SK_RULE_OPTIONAL },
	{ SK_W_ATTN_NORM,   "layers.%d.self_attn_layer_norm.weight",    "D",   SK_SPLIT_NONE,  SK_RULE_OPTIONAL },
	{ SK_W_ATTN_NORM_B, "layers.%d.self_attn_layer_norm.bias",      "D",   SK_SPLIT_NONE,  SK_RULE_OPTIONAL },
	{ SK_W_Q,           "layers.%d.self_attn.q_proj.weight",        "Q,D", SK_SPLIT_HEADS },
	{ SK_W_Q_B,         "layers.%d.self_attn.q_proj.bias",          "Q",   SK_SPLIT_HEADS, SK_RULE_OPTIONAL },
	{ SK_W_K,           "layers.%d.self_attn.k_proj.weight",        "G,D", SK_SPLIT_HEADS },
	{ SK_W_K_B,         "layers.%d.self_attn.k_proj.bias",          "G",   SK_SPLIT_HEADS, SK_RULE_OPTIONAL },
	{ SK_W_V,           "layers.%d.self_attn.v_proj.weight",        "G,D", SK_SPLIT_HEADS },
	{ SK_W_V_B,         "layers.%d.self_attn.v_proj.bias",          "G",   SK_SPLIT_HEADS, SK_RULE_OPTIONAL },
	{ SK_W_O,           "layers.%d.self_attn.out_proj.weight",      "D,Q", SK_SPLIT_K },
	{ SK_W_O_B,         "layers.%d.self_attn.out_proj.bias",        "D",   SK_SPLIT_NONE,  SK_RULE_OPTIONAL },
	{ SK_W_FFN_NORM,    "layers.%d.final_layer_norm.weight",        "D",   SK_SPLIT_NONE,  SK_RULE_OPTIONAL },
	{ SK_W_FFN_NORM_B,  "layers.%d.final_layer_norm.bias",          "D",   SK_SPLIT_NONE,  SK_RULE_OPTIONAL },
	{ SK_W_UP,          "layers.%d.fc1.weight",                     "F,D", SK_SPLIT_ROWS },
	{ SK_W_UP_B,        "layers.%d.fc1.bias",                       "F",   SK_SPLIT_ROWS,  SK_RULE_OPTIONAL },
	{ SK_W_DOWN,        "layers.%d.fc2.weight",                     "D,F", SK_SPLIT_K },
	{ SK_W_DOWN_B,      "layers.%d.fc2.bias",                       "D",   SK_SPLIT_NONE,  SK_RULE_OPTIONAL },
	{ SK_W_OUT_NORM,    "final_layer_norm.weight",                  "D",   SK_SPLIT_NONE,  SK_RULE_OPTIONAL },
	{ SK_W_OUT_NORM_B,  "final_layer_norm.bias",                    "D",   SK_SPLIT_NONE,  SK_RULE_OPTIONAL },
	{ SK_W_HEAD,        "lm_head.weight",                           "V,E", SK_SPLIT_ROWS,  SK_RULE_OPTIONAL },
	{ SK_W_END }
};

const struct sk_arch sk_arch_opt = {
	.name     = "opt",
	.aliases  = { "OPTForCausalLM", "OPTModel" },
	.prefix   = "model.decoder. decoder.",
	.weights  = opt_weights,
	.norm     = SK_NORM_LAYER,
	.position = SK_POS_LEARNED,
	.act      = SK_ACT_RELU,
	.residual = SK_RESIDUAL_PRE,
	.kv       = SK_KV_SELF,
	.config   = opt_config,
};
