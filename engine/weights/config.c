/* SPDX-License-Identifier: Apache-2.0 */
/*
 * config.json and generation_config.json as metadata: keys joined with dots, lists as arrays of values, everything copied
 * (the file may change while we live). See weights.h for the rules.
 *
 * An object may not have a key twice, nor may two ways lead to one joined key: there would be two answers.
 */
#include "engine/weights/format.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/jpull.h"

/* A key on the way down: its text so far. */
struct key { char s[SK_CONFIG_KEY_MAX + 1]; size_t len; };

static sk_status add_key(struct sk_jpull *r, struct key *k, const char *s, size_t len)
{
	char shown[SK_SHOWN];

	if (len == 0 || memchr(s, 0, len))
		return sk_jpull_fail(r, SK_EFORMAT, "a key that is empty or holds a NUL");
	if (k->len + (k->len > 0) + len > SK_CONFIG_KEY_MAX)
		return sk_jpull_fail(r, SK_ETOOBIG, "key %s and those around it have more than %d bytes",
				     sk_weights_show(shown, s, len), SK_CONFIG_KEY_MAX);
	if (k->len)
		k->s[k->len++] = '.';
	memcpy(k->s + k->len, s, len);
	k->len += len;
	return SK_OK;
}

static sk_status put(struct sk_weights *w, struct sk_jpull *r, const struct key *k, const struct sk_meta_value *v)
{
	char shown[SK_SHOWN], *name;
	sk_status st;

	if (v->type == SK_META_NONE)
		return SK_OK;
	if (sk_table_find(&w->meta_index, k->s, k->len, -1) >= 0)
		return sk_jpull_fail(r, SK_EFORMAT, "key %s is there twice", sk_weights_show(shown, k->s, k->len));
	if (w->metas_len >= SK_METAS_MAX)
		return sk_jpull_fail(r, SK_ETOOBIG, "more than %d keys", SK_METAS_MAX);
	name = sk_arena_strndup(&w->names, k->s, k->len);
	st = sk_weights_grow((void **)&w->metas, sizeof(*w->metas), w->metas_len, &w->metas_cap);
	if (!name || st < 0 || sk_table_put(&w->meta_index, name, k->len, (int32_t)w->metas_len) < 0)
		return sk_jpull_fail(r, SK_ENOMEM, "out of memory for the keys");
	w->metas[w->metas_len++] = *v;
	return SK_OK;
}

static void take_scalar(struct sk_weights *w, struct sk_jpull *r, enum sk_jpull_type type, struct sk_meta_value *ret_v)
{
	struct sk_meta_value v = { .type = SK_META_NONE };
	struct sk_jnum n = { 0 };
	struct sk_str s = { "", 0 };
	bool b = false;

	if (type == SK_JPULL_NULL) {
		sk_jpull_null(r);
	} else if (type == SK_JPULL_BOOL) {
		sk_jpull_bool(r, &b);
		v = (struct sk_meta_value){ .type = SK_META_BOOL, .i = b };
	} else if (type == SK_JPULL_NUMBER) {
		sk_jpull_num(r, &n);
		v = (struct sk_meta_value){ .type = n.is_int ? SK_META_INT : SK_META_FLOAT, .i = n.i, .f = n.f };
	} else if (sk_jpull_str(r, &s)) {
		v = (struct sk_meta_value){ .type = SK_META_STRING, .len = s.len };
		v.s = sk_arena_strndup(&w->names, s.s, s.len);
		if (!v.s)
			sk_jpull_fail(r, SK_ENOMEM, "out of memory for a string of %zu bytes", s.len);
	}
	*ret_v = v;
}

static void take_value(struct sk_weights *w, struct sk_jpull *r, const struct key *k, struct sk_meta_value *ret_v);

static bool is_number(enum sk_meta_type type)
{
	return type == SK_META_INT || type == SK_META_FLOAT;
}

/* The type of all; whole numbers among others count as such; NONE where there is no type of all. */
static enum sk_meta_type common_type(struct sk_meta_value *items, size_t len)
{
	enum sk_meta_type type = len ? items[0].type : SK_META_NONE;

	for (size_t i = 1; i < len; i++) {
		if (is_number(type) && is_number(items[i].type))
			type = type == items[i].type ? type : SK_META_FLOAT;
		else if (type != items[i].type)
			return SK_META_NONE;
	}
	for (size_t i = 0; i < len && type == SK_META_FLOAT; i++)
		items[i].type = SK_META_FLOAT;  /* their f is set, see take_scalar() */
	return type;
}

/* "key.N" for the scalars of a list that is no plain one; its lists and objects did so when they were read. */
static void put_items(struct sk_weights *w, struct sk_jpull *r, const struct key *k, const struct sk_meta_value *items,
		      size_t len)
{
	for (size_t i = 0; i < len && r->status == SK_OK; i++) {
		struct key sub = *k;
		char number[24];
		int n = snprintf(number, sizeof(number), "%zu", i);

		if (items[i].type != SK_META_ARRAY && add_key(r, &sub, number, (size_t)n) == SK_OK)
			put(w, r, &sub, &items[i]);
	}
}

static void take_list(struct sk_weights *w, struct sk_jpull *r, const struct key *k, struct sk_meta_value *ret_v)
{
	struct sk_meta_value *items = NULL, *kept = NULL;
	size_t len = 0, cap = 0;
	enum sk_meta_type type;
	bool nested = false;

	*ret_v = (struct sk_meta_value){ .type = SK_META_NONE };
	if (!sk_jpull_enter(r, SK_JPULL_ARRAY))
		return;
	while (sk_jpull_item(r)) {
		enum sk_jpull_type t = sk_jpull_peek(r);
		struct key sub = *k;
		char number[24];
		int n = snprintf(number, sizeof(number), "%zu", len);

		if (w->list_values++ >= SK_CONFIG_VALUES_MAX) {
			sk_jpull_fail(r, SK_ETOOBIG, "lists of more than %d values together", SK_CONFIG_VALUES_MAX);
			break;
		}
		if (sk_weights_grow((void **)&items, sizeof(*items), len, &cap) < 0) {
			sk_jpull_fail(r, SK_ENOMEM, "out of memory for a list");
			break;
		}
		if (t == SK_JPULL_ARRAY || t == SK_JPULL_OBJECT) {
			nested = true;
			if (add_key(r, &sub, number, (size_t)n) < 0)
				break;
			take_value(w, r, &sub, &items[len]);
			put(w, r, &sub, &items[len]);
		} else {
			take_scalar(w, r, t, &items[len]);
		}
		len++;
	}
	type = common_type(items, len);
	kept = r->status == SK_OK ? sk_arena_take(&w->names, len * sizeof(*items) + 1) : NULL;
	if (kept && len)
		memcpy(kept, items, len * sizeof(*items));
	else if (!kept)
		sk_jpull_fail(r, SK_ENOMEM, "out of memory for a list of %zu values", len);
	if (nested || (type == SK_META_NONE && len))
		put_items(w, r, k, items, len);
	free(items);
	*ret_v = (struct sk_meta_value){ .type = SK_META_ARRAY, .len = len, .item = type, .raw = kept,
					 .raw_type = SK_META_RAW_VALUES };
}

/* An object's members become keys of their own; of it itself is known that it is there, and in a list not even that. */
static void take_object(struct sk_weights *w, struct sk_jpull *r, const struct key *k)
{
	struct sk_str name;

	if (!sk_jpull_enter(r, SK_JPULL_OBJECT))
		return;
	while (sk_jpull_key(r, &name)) {
		struct sk_meta_value v = { .type = SK_META_NONE };
		struct key sub = *k;
		bool object = sk_jpull_peek(r) == SK_JPULL_OBJECT;

		if (add_key(r, &sub, name.s, name.len) < 0)
			return;
		take_value(w, r, &sub, &v);
		if (object)
			v.type = SK_META_OBJECT;
		if (r->status == SK_OK)
			put(w, r, &sub, &v);
	}
}

static void take_value(struct sk_weights *w, struct sk_jpull *r, const struct key *k, struct sk_meta_value *ret_v)
{
	enum sk_jpull_type t = sk_jpull_peek(r);

	*ret_v = (struct sk_meta_value){ .type = SK_META_NONE };
	if (t == SK_JPULL_OBJECT)
		take_object(w, r, k);
	else if (t == SK_JPULL_ARRAY)
		take_list(w, r, k, ret_v);
	else
		take_scalar(w, r, t, ret_v);
}

sk_status sk_weights_read_config(struct sk_weights *w, const char *path, const char *prefix, struct sk_err *err)
{
	struct sk_map map = { .fd = -1 };
	struct sk_jpull r;
	struct key k = { .len = 0 };
	sk_status st = sk_map_open(&map, path, err);

	if (st < 0)
		return st;
	st = sk_weights_refuse_pointer(path, &map, err);
	if (st >= 0 && map.len > SK_CONFIG_BYTES_MAX)
		st = sk_fail(err, SK_ETOOBIG, "%s: %zu bytes, the limit is %d", path, map.len, SK_CONFIG_BYTES_MAX);
	if (st >= 0) {
		sk_jpull_init(&r, (const char *)map.data, map.len, path, &w->names, err);
		if (prefix)
			add_key(&r, &k, prefix, strlen(prefix));
		take_object(w, &r, &k);
		st = sk_jpull_end(&r);
	}
	sk_map_fini(&map);
	return st;
}
