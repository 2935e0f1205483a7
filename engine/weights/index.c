/* SPDX-License-Identifier: Apache-2.0 */
/*
 * model.safetensors.index.json and pytorch_model.bin.index.json: which file each tensor is in.
 *
 *	{"metadata": {...}, "weight_map": {"tensor": "model-00001-of-00002.safetensors", ...}}
 *
 * A file's name is a plain one: no path leads out of the directory.
 */
#include "engine/weights/format.h"

#include <stdlib.h>
#include <string.h>

#include "engine/base/jpull.h"

struct index {
	struct sk_weights *w;
	struct sk_jpull r;
	struct sk_table files;          /* name -> place in names */
	const char **names;
	size_t len, cap;
	struct sk_table tensors;        /* name -> place in names */
};

/* The place of a file's name in x->names; -1: refused. */
static int32_t place_file(struct index *x, const struct sk_weights_format *kind, const struct sk_str *s)
{
	const char *end = kind == &sk_format_torch ? ".bin" : ".safetensors";
	size_t end_len = strlen(end);
	int32_t at = sk_table_find(&x->files, s->s, s->len, -1);
	char shown[SK_SHOWN], *name;

	if (at >= 0)
		return at;
	sk_weights_show(shown, s->s, s->len);
	if (s->len <= end_len || s->len > 255 || memchr(s->s, '/', s->len) || memchr(s->s, 0, s->len) || s->s[0] == '.' ||
	    memcmp(s->s + s->len - end_len, end, end_len) != 0) {
		sk_jpull_fail(&x->r, SK_EFORMAT, "\"%s\" is no name of a %s file in this directory", shown, end);
		return -1;
	}
	if (x->len >= SK_FILES_MAX) {
		sk_jpull_fail(&x->r, SK_ETOOBIG, "more than %d files", SK_FILES_MAX);
		return -1;
	}
	name = sk_arena_strndup(&x->w->names, s->s, s->len);
	if (!name || sk_weights_grow((void **)&x->names, sizeof(*x->names), x->len, &x->cap) < 0 ||
	    sk_table_put(&x->files, name, s->len, (int32_t)x->len) < 0) {
		sk_jpull_fail(&x->r, SK_ENOMEM, "out of memory");
		return -1;
	}
	x->names[x->len] = name;
	return (int32_t)x->len++;
}

static void take_map(struct index *x, const struct sk_weights_format *kind)
{
	struct sk_str key, file;
	char shown[SK_SHOWN];

	if (!sk_jpull_enter(&x->r, SK_JPULL_OBJECT))
		return;
	while (sk_jpull_key(&x->r, &key)) {
		char *name;
		int32_t at;

		sk_weights_show(shown, key.s, key.len);
		if (key.len == 0 || key.len > SK_TENSOR_NAME_MAX || memchr(key.s, 0, key.len)) {
			sk_jpull_fail(&x->r, SK_EFORMAT, "\"%s\" is no name of a tensor (1 to %d bytes, no NUL)", shown,
				      SK_TENSOR_NAME_MAX);
			return;
		}
		if (sk_table_find(&x->tensors, key.s, key.len, -1) >= 0) {
			sk_jpull_fail(&x->r, SK_EFORMAT, "tensor %s is there twice", shown);
			return;
		}
		if (x->tensors.len >= SK_TENSORS_MAX) {
			sk_jpull_fail(&x->r, SK_ETOOBIG, "more than %d tensors", SK_TENSORS_MAX);
			return;
		}
		if (!sk_jpull_str(&x->r, &file))
			return;
		at = place_file(x, kind, &file);
		name = at >= 0 ? sk_arena_strndup(&x->w->names, key.s, key.len) : NULL;
		if (at < 0 || !name || sk_table_put(&x->tensors, name, key.len, at) < 0) {
			sk_jpull_fail(&x->r, SK_ENOMEM, "out of memory");
			return;
		}
	}
}

static int by_name(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Sort the names, and let the tensors follow. */
static sk_status sort_names(struct index *x)
{
	int32_t *moved = malloc((x->len + 1) * sizeof(*moved));
	const char **old = malloc((x->len + 1) * sizeof(*old));
	sk_status st = SK_OK;

	if (!moved || !old) {
		st = SK_ENOMEM;
		goto out;
	}
	memcpy(old, x->names, x->len * sizeof(*old));
	qsort(x->names, x->len, sizeof(*x->names), by_name);
	for (size_t i = 0; i < x->len; i++)
		sk_table_put(&x->files, x->names[i], strlen(x->names[i]), (int32_t)i);  /* replaces: cannot fail */
	for (size_t i = 0; i < x->len; i++)
		moved[i] = sk_table_find(&x->files, old[i], strlen(old[i]), 0);
	for (uint32_t i = 0; i < x->tensors.cap; i++)
		if (x->tensors.slots[i].key)
			x->tensors.slots[i].value = moved[x->tensors.slots[i].value];
out:
	free(moved);
	free(old);
	return st;
}

static sk_status read_text(struct index *x, const struct sk_weights_format *kind, const char *path, struct sk_err *err)
{
	struct sk_str key;
	bool found = false;
	sk_status st;

	sk_jpull_enter(&x->r, SK_JPULL_OBJECT);
	while (sk_jpull_key(&x->r, &key)) {
		bool map = key.len == 10 && !memcmp(key.s, "weight_map", 10);

		if (map && found)
			sk_jpull_fail(&x->r, SK_EFORMAT, "weight_map is there twice");
		else if (map)
			take_map(x, kind);
		else
			sk_jpull_skip(&x->r);
		found |= map;
	}
	st = sk_jpull_end(&x->r);
	if (st < 0)
		return st;
	if (!x->len)
		return sk_fail(err, SK_EFORMAT, "%s: %s", path, found ? "weight_map is empty" : "weight_map is missing");
	return sort_names(x) < 0 ? sk_fail(err, SK_ENOMEM, "%s: out of memory", path) : SK_OK;
}

sk_status sk_weights_read_index(struct sk_weights *w, const char *path, const struct sk_weights_format *kind,
				const char ***ret_names, size_t *ret_len, struct sk_err *err)
{
	struct sk_map map = { .fd = -1 };
	struct index x = { .w = w };
	sk_status st = sk_map_open(&map, path, err);

	if (st < 0)
		return st;
	st = sk_weights_refuse_pointer(path, &map, err);
	if (st >= 0 && map.len > SK_INDEX_BYTES_MAX)
		st = sk_fail(err, SK_ETOOBIG, "%s: %zu bytes, the limit is %d", path, map.len, SK_INDEX_BYTES_MAX);
	if (st >= 0) {
		sk_jpull_init(&x.r, (const char *)map.data, map.len, path, &w->names, err);
		st = read_text(&x, kind, path, err);
	}
	sk_map_fini(&map);
	sk_table_fini(&x.files);
	if (st < 0) {
		sk_table_fini(&x.tensors);
		free(x.names);
		return st;
	}
	w->shard_index = x.tensors;
	*ret_names = x.names;
	*ret_len = x.len;
	return SK_OK;
}

sk_status sk_weights_check_index(const struct sk_weights *w, const char *path, struct sk_err *err)
{
	const struct sk_table_slot *first = NULL;
	char shown[SK_SHOWN];

	/* The table's order is a random one: name the first of the alphabet, so that the message is always the same. */
	for (uint32_t i = 0; i < w->shard_index.cap; i++) {
		const struct sk_table_slot *s = &w->shard_index.slots[i];

		if (s->key && sk_table_find(&w->tensor_index, s->key, s->len, -1) < 0 &&
		    (!first || strcmp(s->key, first->key) < 0))
			first = s;
	}
	if (!first)
		return SK_OK;
	return sk_fail(err, SK_EFORMAT, "%s: tensor %s should be in %s, which lacks it", path,
		       sk_weights_show(shown, first->key, first->len), w->files[first->value].name);
}
