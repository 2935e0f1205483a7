/* SPDX-License-Identifier: Apache-2.0 */
/* What the config.json of a family since Llama says, by the keys that nearly all of them share; and which layers see a window. */
#include "engine/arch/config.h"

#include <stdio.h>
#include <string.h>

static const struct sk_config_key keys[] = {
	{ "num_hidden_layers num_layers n_layer n_layers", offsetof(struct sk_dims, layers),      SK_LAYERS_MAX },
	{ "hidden_size n_embd d_model",                    offsetof(struct sk_dims, width),       SK_WIDTH_MAX },
	{ "intermediate_size n_inner",                     offsetof(struct sk_dims, ffn_width),   SK_FFN_MAX,        SK_KEY_OPTIONAL },
	{ "num_attention_heads num_heads n_head n_heads",  offsetof(struct sk_dims, heads),       SK_HEADS_MAX },
	{ "num_key_value_heads",                           offsetof(struct sk_dims, kv_heads),    SK_HEADS_MAX,      SK_KEY_OPTIONAL },
	{ "head_dim",                                      offsetof(struct sk_dims, head_width),  SK_HEAD_WIDTH_MAX, SK_KEY_OPTIONAL },
	{ "vocab_size",                                    offsetof(struct sk_dims, vocab),       SK_VOCAB_MAX },
	{ "max_position_embeddings n_positions max_seq_len", offsetof(struct sk_dims, context_max), SK_CONTEXT_MAX,  SK_KEY_OPTIONAL },
};

sk_status sk_config_hf(const struct sk_weights *w, struct sk_dims *d, struct sk_err *err)
{
	sk_status st = SK_CONFIG_INTS(w, keys, d, err);

	if (!d->ffn_width)
		d->ffn_width = 4 * d->width;
	if (st >= 0)
		st = sk_config_derive(w, d, err);
	if (st >= 0)
		st = sk_config_float(w, "rms_norm_eps layer_norm_eps norm_epsilon layer_norm_epsilon", 1.0, &d->norm_eps, err);
	if (st >= 0)
		st = sk_config_act(w, "hidden_activation hidden_act activation_function", &d->act, err);
	if (st >= 0)
		st = sk_config_bool(w, "tie_word_embeddings", &d->tied_head, err);
	return st < 0 || d->position != SK_POS_ROPE ? st : sk_config_rope(w, d, err);
}

sk_status sk_config_experts_fit(const struct sk_weights *w, const struct sk_dims *d, struct sk_err *err)
{
	if (d->route.experts && (d->route.used < 1 || d->route.used > d->route.experts))
		return sk_fail(err, SK_EFORMAT, "%s: a token goes to %d of %d experts", sk_weights_path(w), d->route.used, d->route.experts);
	return SK_OK;
}

sk_status sk_config_hf_experts(const struct sk_weights *w, struct sk_dims *d, struct sk_err *err)
{
	sk_status st = sk_config_int(w, "num_local_experts num_experts", 1, SK_EXPERTS_MAX, &d->route.experts, err);

	if (st >= 0)
		st = sk_config_int(w, "num_experts_per_tok", 1, SK_EXPERTS_USED_MAX, &d->route.used, err);
	d->expert_width = d->ffn_width;
	if (st >= 0)
		st = sk_config_int(w, "moe_intermediate_size", 1, SK_FFN_MAX, &d->expert_width, err);
	if (st >= 0)
		st = sk_config_int(w, "shared_expert_intermediate_size", 1, SK_FFN_MAX, &d->shared_width, err);
	d->ffn_width = d->shared_width ? d->shared_width : d->expert_width;
	return st < 0 ? st : sk_config_experts_fit(w, d, err);
}

void sk_config_all_local(struct sk_dims *d)
{
	for (int32_t l = 0; l < d->layers; l++)
		sk_layers_add(&d->local, l);
}

void sk_config_mostly_local(struct sk_dims *d, int32_t pattern)
{
	for (int32_t l = 0; l < d->layers; l++)
		if ((l + 1) % pattern)
			sk_layers_add(&d->local, l);
}

sk_status sk_config_layer_types(const struct sk_weights *w, const char *key, const char *local, const char *whole, struct sk_dims *d,
				bool *ret_there, struct sk_err *err)
{
	const struct sk_meta_value *v = sk_meta_find(w, key);
	struct sk_meta_value item;
	const void *cursor = NULL;
	size_t at = 0;
	int32_t l = 0;

	*ret_there = v != NULL;
	if (!v)
		return SK_OK;
	if (v->type != SK_META_ARRAY || v->item != SK_META_STRING || v->len != (size_t)d->layers)
		return sk_config_wrong(w, key, "a list of as many words as there are layers", err);
	for (; sk_meta_next(v, &cursor, &at, &item); l++) {
		bool is_local = item.len == strlen(local) && !memcmp(item.s, local, item.len);

		if (!is_local && (item.len != strlen(whole) || memcmp(item.s, whole, item.len)))
			return sk_fail(err, SK_ENOTSUP, "%s: key %s: layer %d is neither \"%s\" nor \"%s\"", sk_weights_path(w), key, l, local,
				       whole);
		if (is_local)
			sk_layers_add(&d->local, l);
	}
	return SK_OK;
}
