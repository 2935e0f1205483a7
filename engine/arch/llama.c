/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Llama (Touvron et al. 2023) as GGUF files hold it: also Mistral, SmolLM, TinyLlama and others that are converted
 * to the same form. RMSNorm before each half of a layer, grouped-query attention with rotary positions, SiLU GLU.
 *
 * The rows of q and k are permuted in a GGUF, so that the pairs that turn together lie side by side: rope_interleaved.
 */
#include "engine/model/arch.h"

#include <inttypes.h>
#include <math.h>
#include <stddef.h>
#include <string.h>

/* Limits well beyond any published model; products of any three of them stay below 2^63. */
enum {
	LAYERS_MAX = 1024,
	WIDTH_MAX = 1 << 17,
	HEADS_MAX = 1024,
	HEAD_WIDTH_MAX = 1024,
	FFN_MAX = 1 << 20,
	VOCAB_MAX = 1 << 22,
	CONTEXT_MAX = 1 << 24,
};

/* ---- reading keys --------------------------------------------------------------------------------------------- */

#define KEY_OPTIONAL 1

/* Whole numbers of the configuration: where each goes, and between which values. */
static const struct int_key { const char *key; size_t offset; int32_t max; unsigned flags; } int_keys[] = {
	{ "llama.block_count",                offsetof(struct sk_dims, layers),      LAYERS_MAX },
	{ "llama.embedding_length",           offsetof(struct sk_dims, width),       WIDTH_MAX },
	{ "llama.feed_forward_length",        offsetof(struct sk_dims, ffn_width),   FFN_MAX },
	{ "llama.context_length",             offsetof(struct sk_dims, context_max), CONTEXT_MAX },
	{ "llama.attention.head_count",       offsetof(struct sk_dims, heads),       HEADS_MAX },
	{ "llama.attention.head_count_kv",    offsetof(struct sk_dims, kv_heads),    HEADS_MAX,      KEY_OPTIONAL },
	{ "llama.attention.key_length",       offsetof(struct sk_dims, head_width),  HEAD_WIDTH_MAX, KEY_OPTIONAL },
	{ "llama.rope.dimension_count",       offsetof(struct sk_dims, rope_width),  HEAD_WIDTH_MAX, KEY_OPTIONAL },
	{ "llama.vocab_size",                 offsetof(struct sk_dims, vocab),       VOCAB_MAX,      KEY_OPTIONAL },
};

static sk_status read_int(const struct sk_weights *w, const struct int_key *k, struct sk_dims *d, struct sk_err *err)
{
	const struct sk_meta_value *v = sk_meta_find(w, k->key);

	if (!v)
		return k->flags & KEY_OPTIONAL ? SK_OK : sk_fail(err, SK_EFORMAT, "%s: key %s is missing",
								 sk_weights_path(w), k->key);
	if (v->type == SK_META_ARRAY)
		return sk_fail(err, SK_ENOTSUP, "%s: key %s has a value for each layer, only one for all is supported",
			       sk_weights_path(w), k->key);
	if (v->type != SK_META_INT)
		return sk_fail(err, SK_EFORMAT, "%s: key %s is no whole number", sk_weights_path(w), k->key);
	if (v->i < 1 || v->i > k->max)
		return sk_fail(err, SK_EFORMAT, "%s: key %s is %" PRId64 ", it must be from 1 to %" PRId32,
			       sk_weights_path(w), k->key, v->i, k->max);
	memcpy((char *)d + k->offset, &(int32_t){ (int32_t)v->i }, sizeof(int32_t));
	return SK_OK;
}

/* A number above 0 and at most max; *ret_v keeps its value when the key is not there. */
static sk_status read_float(const struct sk_weights *w, const char *key, double max, float *ret_v, struct sk_err *err)
{
	const struct sk_meta_value *v = sk_meta_find(w, key);
	double f;

	if (!v)
		return SK_OK;
	f = sk_meta_float(w, key, NAN);
	if (!(f > 0 && f <= max))
		return sk_fail(err, SK_EFORMAT, "%s: key %s is %g, it must be above 0 and at most %g", sk_weights_path(w),
			       key, f, max);
	*ret_v = (float)f;
	return SK_OK;
}

/* ---- what follows from several keys --------------------------------------------------------------------------- */

static sk_status derive_heads(const struct sk_weights *w, struct sk_dims *d, struct sk_err *err)
{
	int64_t value_length;

	if (!d->kv_heads)
		d->kv_heads = d->heads;
	if (d->heads % d->kv_heads)
		return sk_fail(err, SK_EFORMAT, "%s: %d attention heads are no multiple of %d key-value heads",
			       sk_weights_path(w), d->heads, d->kv_heads);
	if (!d->head_width) {
		if (d->width % d->heads)
			return sk_fail(err, SK_EFORMAT, "%s: width %d is no multiple of %d heads, and key_length is missing",
				       sk_weights_path(w), d->width, d->heads);
		d->head_width = d->width / d->heads;
	}
	if (d->head_width > HEAD_WIDTH_MAX)
		return sk_fail(err, SK_EFORMAT, "%s: heads of width %d, the limit is %d", sk_weights_path(w), d->head_width,
			       HEAD_WIDTH_MAX);
	value_length = sk_meta_int(w, "llama.attention.value_length", d->head_width);
	if (value_length != d->head_width)
		return sk_fail(err, SK_ENOTSUP, "%s: values of width %" PRId64 " beside keys of width %d are not supported",
			       sk_weights_path(w), value_length, d->head_width);
	return SK_OK;
}

static sk_status derive_rope(const struct sk_weights *w, struct sk_dims *d, struct sk_err *err)
{
	const struct sk_meta_value *type = sk_meta_find(w, "llama.rope.scaling.type");
	float factor = 1.0f;
	sk_status st;

	if (!d->rope_width)
		d->rope_width = d->head_width;
	if (d->rope_width > d->head_width || d->rope_width % 2)
		return sk_fail(err, SK_EFORMAT, "%s: llama.rope.dimension_count is %d, it must be even and at most the head's "
			       "width %d", sk_weights_path(w), d->rope_width, d->head_width);
	d->rope_interleaved = true;
	d->rope_base = 10000.0f;
	d->rope_factor = d->rope_scale = 1.0f;
	st = read_float(w, "llama.rope.freq_base", 1e15, &d->rope_base, err);
	if (st >= 0)
		st = read_float(w, "llama.rope.scale_linear", 1e6, &d->rope_scale, err);  /* before scaling.type came */
	if (st >= 0)
		st = read_float(w, "llama.rope.scaling.factor", 1e6, &factor, err);
	if (st < 0)
		return st;
	if (!type) {
		/* A factor alone means linear, as in llama.cpp. */
		if (sk_meta_find(w, "llama.rope.scaling.factor"))
			d->rope_scale = factor;
		return SK_OK;
	}
	if (type->type == SK_META_STRING && type->len == 6 && !memcmp(type->s, "linear", 6))
		d->rope_scale = factor;
	else if (type->type != SK_META_STRING || type->len != 4 || memcmp(type->s, "none", 4) != 0)
		return sk_fail(err, SK_ENOTSUP, "%s: llama.rope.scaling.type \"%.*s\" is not supported (none and linear are)",
			       sk_weights_path(w), type->type == SK_META_STRING && type->len < 40 ? (int)type->len : 1,
			       type->type == SK_META_STRING && type->len ? type->s : "?");
	return SK_OK;
}

/* What a file of this architecture may ask for and is not built here. */
static sk_status refuse_variants(const struct sk_weights *w, struct sk_err *err)
{
	int64_t experts = sk_meta_int(w, "llama.expert_count", 0);

	if (experts > 0)
		return sk_fail(err, SK_ENOTSUP, "%s: a mixture of %" PRId64 " experts is not supported", sk_weights_path(w),
			       experts);
	return SK_OK;
}

static sk_status llama_config(struct sk_dims *ret_dims, const struct sk_weights *w, struct sk_err *err)
{
	struct sk_dims d = { .norm_eps = 1e-5f };
	const struct sk_tensor *embed = sk_weights_find(w, "token_embd.weight");
	int64_t window;
	sk_status st = refuse_variants(w, err);

	for (size_t i = 0; i < sizeof(int_keys) / sizeof(int_keys[0]) && st >= 0; i++)
		st = read_int(w, &int_keys[i], &d, err);
	if (st >= 0)
		st = derive_heads(w, &d, err);
	if (st >= 0)
		st = derive_rope(w, &d, err);
	if (st >= 0)
		st = read_float(w, "llama.attention.layer_norm_rms_epsilon", 1.0, &d.norm_eps, err);
	if (st < 0)
		return st;
	if (!d.vocab && embed && embed->dims == 2 && embed->dim[0] <= VOCAB_MAX)
		d.vocab = (int32_t)embed->dim[0];       /* older files have no llama.vocab_size */
	if (!d.vocab)
		return sk_fail(err, SK_EFORMAT, "%s: neither llama.vocab_size nor token_embd.weight with at most %d rows",
			       sk_weights_path(w), VOCAB_MAX);
	/* Up to the window's length a sliding window hides nothing: the model is exact there, so that is its context. */
	window = sk_meta_int(w, "llama.attention.sliding_window", 0);
	if (window > 0 && window < d.context_max)
		d.context_max = (int32_t)window;
	*ret_dims = d;
	return SK_OK;
}

/* ---- weights -------------------------------------------------------------------------------------------------- */

static const struct sk_weight_rule llama_weights[] = {
	/* slot            name in the checkpoint       shape   split by ranks */
	{ SK_W_EMBED,      "token_embd.weight",         "V,D",  SK_SPLIT_NONE },
	{ SK_W_ATTN_NORM,  "blk.%d.attn_norm.weight",   "D",    SK_SPLIT_NONE },
	{ SK_W_Q,          "blk.%d.attn_q.weight",      "Q,D",  SK_SPLIT_HEADS },
	{ SK_W_K,          "blk.%d.attn_k.weight",      "G,D",  SK_SPLIT_KV_HEADS },
	{ SK_W_V,          "blk.%d.attn_v.weight",      "G,D",  SK_SPLIT_KV_HEADS },
	{ SK_W_O,          "blk.%d.attn_output.weight", "D,Q",  SK_SPLIT_K },
	{ SK_W_FFN_NORM,   "blk.%d.ffn_norm.weight",    "D",    SK_SPLIT_NONE },
	{ SK_W_GATE,       "blk.%d.ffn_gate.weight",    "F,D",  SK_SPLIT_ROWS },
	{ SK_W_UP,         "blk.%d.ffn_up.weight",      "F,D",  SK_SPLIT_ROWS },
	{ SK_W_DOWN,       "blk.%d.ffn_down.weight",    "D,F",  SK_SPLIT_K },
	{ SK_W_OUT_NORM,   "output_norm.weight",        "D",    SK_SPLIT_NONE },
	{ SK_W_HEAD,       "output.weight",             "V,D",  SK_SPLIT_ROWS, SK_RULE_OPTIONAL },
	{ SK_W_ROPE_FREQS, "rope_freqs.weight",         "R",    SK_SPLIT_NONE, SK_RULE_OPTIONAL },
	{ SK_W_END }
};

const struct sk_arch sk_arch_llama = {
	.name     = "llama",
	.weights  = llama_weights,
	.norm     = SK_NORM_RMS,
	.position = SK_POS_ROPE,
	.act      = SK_ACT_SILU,
	.kv       = SK_KV_SELF,
	.config   = llama_config,
};
