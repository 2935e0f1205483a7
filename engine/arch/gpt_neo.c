/* SPDX-License-Identifier: Apache-2.0 */
/*
 * GPT-Neo (Black et al. 2021): GPT-2 with q, k and v apart and without biases, scores that are not scaled, and every other layer
 * with a window.
 */
#include "engine/arch/config.h"

#include <stdio.h>

/* attention_types, where no attention_layers say it: [[["global", "local"], 12]], each list of words so many times. */
static sk_status read_types(struct sk_dims *d, const struct sk_weights *w, struct sk_err *err)
{
	int32_t l = 0;

	for (int i = 0; i < SK_LAYERS_MAX; i++) {
		char words[48], times[48];
		const struct sk_meta_value *v;
		int32_t n = 1;
		sk_status st;

		snprintf(words, sizeof(words), "attention_types.%d.0", i);
		snprintf(times, sizeof(times), "attention_types.%d.1", i);
		v = sk_meta_find(w, words);
		if (!v)
			break;
		if (v->type != SK_META_ARRAY || v->item != SK_META_STRING)
			return sk_config_wrong(w, words, "a list of words", err);
		st = sk_config_int(w, times, 1, SK_LAYERS_MAX, &n, err);
		if (st < 0)
			return st;
		for (; n > 0 && l < d->layers; n--) {
			struct sk_meta_value item;
			const void *cursor = NULL;
			size_t at = 0;

			for (; l < d->layers && sk_meta_next(v, &cursor, &at, &item); l++)
				if (item.len == 5 && item.s[0] == 'l')
					sk_layers_add(&d->local, l);
		}
	}
	return l == 0 || l == d->layers ? SK_OK : sk_fail(err, SK_EFORMAT, "%s: key attention_types names %d layers of %d",
							  sk_weights_path(w), l, d->layers);
}

static sk_status neo_config(struct sk_dims *d, const struct sk_weights *w, struct sk_err *err)
{
	bool there = false;
	sk_status st;

	d->context_max = 2048;          /* of GPTNeoConfig, and its window */
	d->window = 256;
	d->tied_head = true;
	d->score_scale = 1.0f;
	st = sk_config_hf(w, d, err);
	d->positions = d->context_max;
	if (st >= 0)
		st = sk_config_int(w, "window_size", 1, SK_CONTEXT_MAX, &d->window, err);
	if (st >= 0)
		st = sk_config_layer_types(w, "attention_layers", "local", "global", d, &there, err);
	return st < 0 || there ? st : read_types(d, w, err);
}

static const struct sk_weight_rule neo_weights[] = {
	/* slot             name in the checkpoint                    shape  split by ranks */
	{ SK_W_EMBED,       "wte.weight",                             "V,D", SK_SPLIT_ROWS },
	{ SK_W_POSITIONS,   "wpe.weight",                             "P,D", SK_SPLIT_NONE },
	{ SK_W_ATTN_NORM,   "h.%d.ln_1.weight",                       "D",   SK_SPLIT_NONE },
	{ SK_W_ATTN_NORM_B, "h.%d.ln_1.bias",                         "D",   SK_SPLIT_NONE },
	{ SK_W_Q,           "h.%d.attn.attention.q_proj.weight",      "Q,D", SK_SPLIT_HEADS },
	{ SK_W_K,           "h.%d.attn.attention.k_proj.weight",      "G,D", SK_SPLIT_KV_HEADS },
	{ SK_W_V,           "h.%d.attn.attention.v_proj.weight",      "G,D", SK_SPLIT_KV_HEADS },
	{ SK_W_O,           "h.%d.attn.attention.out_proj.weight",    "D,Q", SK_SPLIT_K },
	{ SK_W_O_B,         "h.%d.attn.attention.out_proj.bias",      "D",   SK_SPLIT_NONE },
	{ SK_W_FFN_NORM,    "h.%d.ln_2.weight",                       "D",   SK_SPLIT_NONE },
	{ SK_W_FFN_NORM_B,  "h.%d.ln_2.bias",                         "D",   SK_SPLIT_NONE },
	{ SK_W_UP,          "h.%d.mlp.c_fc.weight",                   "F,D", SK_SPLIT_ROWS },
	{ SK_W_UP_B,        "h.%d.mlp.c_fc.bias",                     "F",   SK_SPLIT_ROWS },
	{ SK_W_DOWN,        "h.%d.mlp.c_proj.weight",                 "D,F", SK_SPLIT_K },
	{ SK_W_DOWN_B,      "h.%d.mlp.c_proj.bias",                   "D",   SK_SPLIT_NONE },
	{ SK_W_OUT_NORM,    "ln_f.weight",                            "D",   SK_SPLIT_NONE },
	{ SK_W_OUT_NORM_B,  "ln_f.bias",                              "D",   SK_SPLIT_NONE },
	{ SK_W_HEAD,        "lm_head.weight",                         "V,D", SK_SPLIT_ROWS, SK_RULE_OPTIONAL },
	{ SK_W_IGNORE,      "h.%d.attn.attention.bias",               NULL,  SK_SPLIT_NONE },
	{ SK_W_IGNORE,      "h.%d.attn.attention.masked_bias",        NULL,  SK_SPLIT_NONE },
	{ SK_W_END }
};

const struct sk_arch sk_arch_gpt_neo = {
	.name     = "gpt_neo",
	.aliases  = { "GPTNeoForCausalLM", "GPTNeoModel" },
	.prefix   = "transformer.",
	.weights  = neo_weights,
	.norm     = SK_NORM_LAYER,
	.position = SK_POS_LEARNED,
	.act      = SK_ACT_GELU_TANH,
	.residual = SK_RESIDUAL_PRE,
	.kv       = SK_KV_SELF,
	.config   = neo_config,
};
