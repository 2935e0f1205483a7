/* SPDX-License-Identifier: Apache-2.0 */
/* Reading a model's configuration: see config.h. */
#include "engine/arch/config.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#define KEY_MAX 96

/* The first of `keys` that is there; its name goes to key, the first one's when there is none. */
static const struct sk_meta_value *find(const struct sk_weights *w, const char *keys, char key[KEY_MAX])
{
	const char *at = keys, *arch;
	size_t arch_len = 0;
	char name[KEY_MAX];

	arch = *keys == '.' ? sk_meta_str(w, "general.architecture", &arch_len) : NULL;

	for (;;) {
		size_t len = strcspn(at, " ");
		const struct sk_meta_value *v;

		if (SK_BUG_IF(arch_len + len >= KEY_MAX))
			return NULL;
		snprintf(name, sizeof(name), "%.*s%.*s", *at == '.' ? (int)arch_len : 0, arch ? arch : "", (int)len, at);
		v = sk_meta_find(w, name);
		if (v || at == keys)
			memcpy(key, name, sizeof(name));
		if (v || !at[len])
			return v;
		at += len + 1;
	}
}

/* A value, fit for a message. */
enum { SHOWN = 48 };
static const char *show(char s[SHOWN], const struct sk_meta_value *v)
{
	int n = 0;

	switch (v->type) {
	case SK_META_INT:
		snprintf(s, SHOWN, "%" PRId64, v->i);
		break;
	case SK_META_FLOAT:
		snprintf(s, SHOWN, "%g", v->f);
		break;
	case SK_META_STRING:
		while ((size_t)n < v->len && n < 40 && v->s[n] >= 32 && v->s[n] < 127)
			n++;
		snprintf(s, SHOWN, "\"%.*s\"", n, v->s);
		break;
	case SK_META_BOOL:
	case SK_META_ARRAY:
	case SK_META_OBJECT:
	case SK_META_NONE:
		snprintf(s, SHOWN, "%s", v->type == SK_META_BOOL ? v->i ? "true" : "false" : v->type == SK_META_ARRAY ? "a list" : "an object");
		break;
	}
	return s;
}

sk_status sk_config_wrong(const struct sk_weights *w, const char *key, const char *due, struct sk_err *err)
{
	const struct sk_meta_value *v = sk_meta_find(w, key);
	char s[SHOWN];

	if (SK_BUG_IF(!v))
		return SK_EBUG;
	return sk_fail(err, SK_EFORMAT, "%s: key %s is %s, it must be %s", sk_weights_path(w), key, show(s, v), due);
}

sk_status sk_config_ids(const struct sk_weights *w, const char *key, size_t max, struct sk_err *err)
{
	const struct sk_meta_value *v = sk_meta_find(w, key);
	struct sk_meta_value item;
	const void *cursor = NULL;
	size_t at;
	char s[SHOWN];

	if (!v || v->type == SK_META_INT)
		return SK_OK;
	if (v->type != SK_META_ARRAY)
		return sk_config_wrong(w, key, "a token's id or a list of them", err);
	if (v->len > max)
		return sk_fail(err, SK_ETOOBIG, "%s: key %s has %zu ids, the limit is %zu", sk_weights_path(w), key, v->len, max);
	while (sk_meta_next(v, &cursor, &at, &item))
		if (item.type != SK_META_INT)
			return sk_fail(err, SK_EFORMAT, "%s: key %s: number %zu of the list is %s, it must be a token's id",
				       sk_weights_path(w), key, at, show(s, &item));
	return SK_OK;
}

static sk_status missing(const struct sk_weights *w, const char *key, struct sk_err *err)
{
	return sk_fail(err, SK_EFORMAT, "%s: key %s is missing", sk_weights_path(w), key);
}

static sk_status read_int(const struct sk_weights *w, const char *keys, int64_t min, int64_t max, bool optional, int32_t *ret_v,
			  struct sk_err *err)
{
	char key[KEY_MAX];
	const struct sk_meta_value *v = find(w, keys, key);

	if (!v)
		return optional ? SK_OK : missing(w, key, err);
	if (v->type == SK_META_ARRAY)
		return sk_fail(err, SK_ENOTSUP, "%s: key %s has a value for each layer, only one for all is supported",
			       sk_weights_path(w), key);
	if (v->type != SK_META_INT)
		return sk_config_wrong(w, key, "a whole number", err);
	if (v->i < min || v->i > max)
		return sk_fail(err, SK_EFORMAT, "%s: key %s is %" PRId64 ", it must be from %" PRId64 " to %" PRId64,
			       sk_weights_path(w), key, v->i, min, max);
	*ret_v = (int32_t)v->i;
	return SK_OK;
}

sk_status sk_config_int(const struct sk_weights *w, const char *keys, int64_t min, int64_t max, int32_t *ret_v, struct sk_err *err)
{
	return read_int(w, keys, min, max, true, ret_v, err);
}

sk_status sk_config_ints(const struct sk_weights *w, const struct sk_config_key *list, size_t len, struct sk_dims *d,
			 struct sk_err *err)
{
	for (size_t i = 0; i < len; i++) {
		int32_t v = 0;
		sk_status st;

		memcpy(&v, (const char *)d + list[i].offset, sizeof(v));
		st = read_int(w, list[i].keys, 1, list[i].max, list[i].flags & SK_KEY_OPTIONAL, &v, err);
		if (st < 0)
			return st;
		memcpy((char *)d + list[i].offset, &v, sizeof(v));
	}
	return SK_OK;
}

sk_status sk_config_float(const struct sk_weights *w, const char *keys, double max, float *ret_v, struct sk_err *err)
{
	char key[KEY_MAX];
	const struct sk_meta_value *v = find(w, keys, key);
	double f;

	if (!v)
		return SK_OK;
	if (v->type != SK_META_INT && v->type != SK_META_FLOAT)
		return sk_config_wrong(w, key, "a number", err);
	f = sk_meta_float(w, key, NAN);
	if (!(f > 0 && f <= max))
		return sk_fail(err, SK_EFORMAT, "%s: key %s is %g, it must be above 0 and at most %g", sk_weights_path(w), key, f,
			       max);
	*ret_v = (float)f;
	return SK_OK;
}

sk_status sk_config_bool(const struct sk_weights *w, const char *keys, bool *ret_v, struct sk_err *err)
{
	char key[KEY_MAX];
	const struct sk_meta_value *v = find(w, keys, key);

	if (!v)
		return SK_OK;
	if (v->type != SK_META_BOOL)
		return sk_config_wrong(w, key, "true or false", err);
	*ret_v = v->i != 0;
	return SK_OK;
}

static bool is_text(const struct sk_meta_value *v, const char *text)
{
	return v->type == SK_META_STRING && v->len == strlen(text) && !memcmp(v->s, text, v->len);
}

bool sk_config_is(const struct sk_weights *w, const char *keys, const char *text)
{
	char key[KEY_MAX];
	const struct sk_meta_value *v = find(w, keys, key);

	return v && is_text(v, text);
}

sk_status sk_config_str(const struct sk_weights *w, const char *keys, const char **ret_s, size_t *ret_len, struct sk_err *err)
{
	char key[KEY_MAX];
	const struct sk_meta_value *v = find(w, keys, key);

	if (!v)
		return SK_OK;
	if (v->type != SK_META_STRING)
		return sk_config_wrong(w, key, "a text", err);
	*ret_s = v->s;
	*ret_len = v->len;
	return SK_OK;
}

sk_status sk_config_word(const struct sk_weights *w, const char *keys, const char *what, const char *const words[], int *ret_i,
			 struct sk_err *err)
{
	char key[KEY_MAX], shown[SHOWN], known[128] = "";
	const struct sk_meta_value *v = find(w, keys, key);
	size_t at = 0;

	if (!v)
		return SK_OK;
	if (v->type != SK_META_STRING)
		return sk_config_wrong(w, key, "a text", err);
	for (int i = 0; words[i]; i++) {
		if (is_text(v, words[i])) {
			*ret_i = i;
			return SK_OK;
		}
		if (at < sizeof(known))
			at += (size_t)snprintf(known + at, sizeof(known) - at, "%s%s", i ? ", " : "", words[i]);
	}
	return sk_fail(err, SK_ENOTSUP, "%s: key %s: %s %s is not supported (known: %s)", sk_weights_path(w), key, what, show(shown, v),
		       known);
}

sk_status sk_config_act(const struct sk_weights *w, const char *keys, enum sk_act *ret_act, struct sk_err *err)
{
	static const char *const names[] = { "gelu", "gelu_python", "gelu_new", "gelu_fast", "gelu_pytorch_tanh", "relu", "silu", "swish",
					     NULL };
	static const enum sk_act acts[] = { SK_ACT_GELU, SK_ACT_GELU, SK_ACT_GELU_TANH, SK_ACT_GELU_TANH, SK_ACT_GELU_TANH, SK_ACT_RELU,
					    SK_ACT_SILU, SK_ACT_SILU };
	int i = -1;
	sk_status st = sk_config_word(w, keys, "activation", names, &i, err);

	if (i >= 0)
		*ret_act = acts[i];
	return st;
}

sk_status sk_config_refuse(const struct sk_weights *w, const char *keys, const char *what, struct sk_err *err)
{
	char key[KEY_MAX];
	const struct sk_meta_value *v = find(w, keys, key);

	if (!v || ((v->type == SK_META_BOOL || v->type == SK_META_INT) && v->i == 0) || (v->type == SK_META_FLOAT && v->f == 0.0))
		return SK_OK;
	return sk_fail(err, SK_ENOTSUP, "%s: key %s: %s is not supported", sk_weights_path(w), key, what);
}

/* ---- rope ----------------------------------------------------------------------------------------------------- */

/* The part of a head that turns. */
#define ROPE_PART "partial_rotary_factor rotary_pct rope_parameters.partial_rotary_factor"

/* Where scaling's keys are: "rope_scaling." of old configurations, "rope_parameters." of new ones, one more below of those with two ropes. */
#define SCALING(key) "rope_scaling." key " rope_parameters." key " rope_parameters.full_attention." key

/* Scaling that is no object, or has a factor and no name, would be none: a library of that day may have done something else. */
static sk_status check_scaling(const struct sk_weights *w, bool named, struct sk_err *err)
{
	static const char *const keys[] = { "rope_scaling", "rope_parameters" };
	char key[KEY_MAX], shown[SHOWN];
	const struct sk_meta_value *v;

	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
		v = sk_meta_find(w, keys[i]);
		if (v && v->type != SK_META_OBJECT)
			return sk_config_wrong(w, keys[i], "an object", err);
	}
	v = named ? NULL : find(w, SCALING("factor"), key);
	return v ? sk_fail(err, SK_EFORMAT, "%s: key %s is %s, but no rope_type beside it says which scaling it is of", sk_weights_path(w),
			   key, show(shown, v)) : SK_OK;
}

static sk_status rope_kind(const struct sk_weights *w, struct sk_rope *r, struct sk_err *err)
{
	static const char *const names[] = { "default", "linear", "dynamic", "llama3", "yarn", "longrope", "su", NULL };
	static const enum sk_rope_scaling kinds[] = { SK_ROPE_PLAIN, SK_ROPE_LINEAR, SK_ROPE_DYNAMIC, SK_ROPE_LLAMA3, SK_ROPE_YARN, SK_ROPE_LONG,
						       SK_ROPE_LONG };
	int i = -1;
	sk_status st = sk_config_word(w, "rope_scaling.rope_type rope_scaling.type rope_parameters.rope_type rope_parameters.type "
				      "rope_parameters.full_attention.rope_type",
				      "rotary scaling", names, &i, err);

	if (i >= 0)
		r->scaling = kinds[i];
	return st < 0 ? st : check_scaling(w, i >= 0, err);
}

/*
 * How many dims of a head turn. Of an odd number the library makes a frequency for each begun pair, so one dim more turns; where
 * there is none, or yarn or longrope have something for each whole pair, it stops with an error.
 */
static sk_status rope_width(const struct sk_weights *w, struct sk_dims *d, float part, struct sk_err *err)
{
	struct sk_rope *r = &d->rope;
	int32_t named = r->width ? r->width : (int32_t)((double)d->head_width * (double)part);

	r->odd = named % 2;
	r->width = named + r->odd;
	if (named < 1 || r->width > d->head_width || (r->odd && (r->scaling == SK_ROPE_YARN || r->scaling == SK_ROPE_LONG))) {
		char key[KEY_MAX];

		find(w, ROPE_PART, key);
		return sk_fail(err, SK_EFORMAT, "%s: key %s: %d of a head's %d dimensions turn, it must be from 1 to %d, and an even "
			       "number where all do or with yarn or longrope", sk_weights_path(w), key, named, d->head_width, d->head_width);
	}
	return SK_OK;
}

/* A factor for each frequency. */
static sk_status read_stretch(const struct sk_weights *w, const char *keys, int32_t len, float *ret_factors, struct sk_err *err)
{
	char key[KEY_MAX];
	const struct sk_meta_value *v = find(w, keys, key);
	struct sk_meta_value item;
	const void *cursor = NULL;
	size_t at = 0;

	if (!v)
		return missing(w, key, err);
	if (len > SK_ROPE_STRETCH_MAX)
		return sk_fail(err, SK_ETOOBIG, "%s: key %s: %d factors of rotary frequencies, the limit is %d", sk_weights_path(w), key, len,
			       SK_ROPE_STRETCH_MAX);
	if (v->type != SK_META_ARRAY || (v->item != SK_META_INT && v->item != SK_META_FLOAT) || v->len != (size_t)len)
		return sk_fail(err, SK_EFORMAT, "%s: key %s must be a list of %d numbers", sk_weights_path(w), key, len);
	for (int32_t i = 0; sk_meta_next(v, &cursor, &at, &item); i++) {
		double f = item.type == SK_META_INT ? (double)item.i : item.f;

		if (!(f > 0.0 && f <= 1e6))
			return sk_fail(err, SK_EFORMAT, "%s: key %s: factor %d is %g, it must be above 0 and at most 1e6", sk_weights_path(w),
				       key, i, f);
		ret_factors[i] = (float)f;
	}
	return SK_OK;
}

/* longrope: a factor for each frequency, up to the length it was trained for and beyond it. */
static sk_status long_rope(const struct sk_weights *w, struct sk_dims *d, struct sk_err *err)
{
	struct sk_rope *r = &d->rope;
	sk_status st = read_stretch(w, SCALING("short_factor"), r->width / 2, r->stretch[0], err);

	if (st >= 0)
		st = read_stretch(w, SCALING("long_factor"), r->width / 2, r->stretch[1], err);
	if (st >= 0)
		st = sk_config_int(w, "original_max_position_embeddings " SCALING("original_max_position_embeddings"), 2, SK_CONTEXT_MAX,
				   &r->original, err);
	r->factor = (float)d->context_max / (float)r->original;
	if (st >= 0)
		st = sk_config_float(w, SCALING("factor"), 1e6, &r->factor, err);
	return st < 0 ? st : sk_config_float(w, SCALING("attention_factor"), 1e6, &r->attention, err);
}

sk_status sk_config_rope(const struct sk_weights *w, struct sk_dims *d, struct sk_err *err)
{
	struct sk_rope *r = &d->rope;
	float part = 1.0f;
	sk_status st;

	r->base = 10000.0f;
	r->factor = 1.0f;
	r->original = d->context_max;
	r->round = true;
	st = sk_config_float(w, "rope_theta rotary_emb_base rope_parameters.rope_theta rope_parameters.full_attention.rope_theta", 1e15, &r->base, err);
	if (st >= 0)
		st = sk_config_float(w, ROPE_PART, 1.0, &part, err);
	if (st >= 0)
		st = rope_kind(w, r, err);
	if (st >= 0)
		st = rope_width(w, d, part, err);
	if (st < 0)
		return st;
	if (r->scaling == SK_ROPE_PLAIN)
		return SK_OK;
	if (r->scaling == SK_ROPE_LONG)
		return long_rope(w, d, err);
	if (!find(w, SCALING("factor"), (char[KEY_MAX]){ 0 }))
		return missing(w, "rope_scaling.factor", err);
	st = sk_config_float(w, SCALING("factor"), 1e6, &r->factor, err);
	if (st >= 0)
		st = sk_config_int(w, SCALING("original_max_position_embeddings"), 1, SK_CONTEXT_MAX, &r->original, err);
	/* Where the stretched length is not what max_position_embeddings says already. */
	if (st >= 0 && r->scaling != SK_ROPE_LLAMA3) {
		double length = (double)(r->scaling == SK_ROPE_LINEAR ? d->context_max : r->original) * (double)r->factor;

		if (length > d->context_max)
			d->context_max = length < SK_CONTEXT_MAX ? (int32_t)length : SK_CONTEXT_MAX;
	}
	if (r->scaling == SK_ROPE_LLAMA3) {
		r->low = 1.0f;
		r->high = 4.0f;
		if (st >= 0)
			st = sk_config_float(w, SCALING("low_freq_factor"), 1e6, &r->low, err);
		if (st >= 0)
			st = sk_config_float(w, SCALING("high_freq_factor"), 1e6, &r->high, err);
		if (st >= 0 && r->high <= r->low)
			st = sk_fail(err, SK_EFORMAT, "%s: high_freq_factor %g of the rotary scaling is not above low_freq_factor %g",
				     sk_weights_path(w), (double)r->high, (double)r->low);
	}
	if (r->scaling == SK_ROPE_YARN) {
		r->low = 1.0f;
		r->high = 32.0f;
		if (st >= 0)
			st = sk_config_float(w, SCALING("beta_slow"), 1e6, &r->low, err);
		if (st >= 0)
			st = sk_config_float(w, SCALING("beta_fast"), 1e6, &r->high, err);
		if (st >= 0)
			st = sk_config_float(w, SCALING("attention_factor"), 1e6, &r->attention, err);
		if (st >= 0)
			st = sk_config_float(w, SCALING("mscale"), 1e6, &r->mscale, err);
		if (st >= 0)
			st = sk_config_float(w, SCALING("mscale_all_dim"), 1e6, &r->mscale_all, err);
		if (st >= 0)
			st = sk_config_bool(w, SCALING("truncate"), &r->round, err);
	}
	return st;
}

/* ---- what follows --------------------------------------------------------------------------------------------- */

sk_status sk_config_derive(const struct sk_weights *w, struct sk_dims *d, struct sk_err *err)
{
	if (!d->kv_heads)
		d->kv_heads = d->heads;
	if (!d->embed_width)
		d->embed_width = d->width;
	if (d->heads % d->kv_heads)
		return sk_fail(err, SK_EFORMAT, "%s: %d attention heads are no multiple of %d key-value heads", sk_weights_path(w),
			       d->heads, d->kv_heads);
	if (!d->head_width) {
		if (d->width % d->heads)
			return sk_fail(err, SK_EFORMAT, "%s: width %d is no multiple of %d heads", sk_weights_path(w), d->width,
				       d->heads);
		d->head_width = d->width / d->heads;
	}
	if (d->head_width > SK_HEAD_WIDTH_MAX)
		return sk_fail(err, SK_EFORMAT, "%s: heads of width %d, the limit is %d", sk_weights_path(w), d->head_width,
			       SK_HEAD_WIDTH_MAX);
	return SK_OK;
}
