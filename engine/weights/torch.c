/* SPDX-License-Identifier: Apache-2.0 */
/*
 * PyTorch's .bin files, as torch.save writes them:
 *
 *	since 1.6       a zip: NAME/data.pkl, a pickle of {"tensor": view of a storage, ...}; NAME/data/KEY, a storage each
 *	before          pickles of a magic number, a protocol, the machine, the dictionary, the storages' keys; then for each
 *	                key u64 elements and the elements
 *
 * Several tensors may be views of one storage (tied ones). A view that lies in one piece is read in place. Any other, a
 * transposed one say, is copied at open and keeps its memory until close.
 */
#include "engine/weights/pickle.h"
#include "engine/weights/zip.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* pickle's LONG1 of ten bytes, 0x1950a86a20f9469cfc6c: the first value of a file before 1.6. */
static const char old_magic[] = "\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19";
enum { OLD_MAGIC_BYTES = sizeof(old_magic) - 1, OLD_PROTOCOL = 1001, NESTED_MAX = 4 };

struct reader {
	struct sk_weights *w;
	const struct sk_weights_file *f;
	struct sk_pickle pickle;
	struct sk_zip zip;
	const char *prefix;             /* of the zip's names, with its slash */
	size_t prefix_len;
	struct sk_table old;            /* before 1.6: key -> place in spans */
	struct span { const unsigned char *data; size_t bytes; } *spans;
	size_t spans_len, spans_cap;
	struct sk_table views;          /* struct view, byte by byte -> place in w->copies */
	struct sk_err *err;
};

/* What was copied: the same view again has the same copy. */
struct view { const void *data; int64_t bytes, dims, size[SK_PICKLE_DIMS_MAX], stride[SK_PICKLE_DIMS_MAX]; };

static uint64_t little(const unsigned char *p, int bytes)
{
	uint64_t v = 0;

	for (int i = bytes - 1; i >= 0; i--)
		v = v << 8 | p[i];
	return v;
}

/* ---- storages ------------------------------------------------------------------------------------------------- */

/* The entry PREFIX + name; NULL: none. */
static const struct sk_zip_entry *find_entry(const struct reader *x, const char *name, size_t len)
{
	char full[512];

	if (x->prefix_len > 256 || len > 256)
		return NULL;
	memcpy(full, x->prefix, x->prefix_len);
	memcpy(full + x->prefix_len, name, len);
	return sk_zip_find(&x->zip, full, x->prefix_len + len);
}

static bool find_storage(const struct reader *x, const struct sk_torch_storage *s, struct span *ret_span)
{
	const struct sk_zip_entry *e;
	char name[128] = "data/";
	int32_t at;

	if (x->old.slots) {
		at = sk_table_find(&x->old, s->key, s->key_len, -1);
		if (at >= 0)
			*ret_span = x->spans[at];
		return at >= 0;
	}
	if (s->key_len > sizeof(name) - 5)
		return false;
	memcpy(name + 5, s->key, s->key_len);
	e = find_entry(x, name, 5 + s->key_len);
	if (e)
		*ret_span = (struct span){ e->data, e->bytes };
	return e != NULL;
}

static sk_status take_storage(const struct reader *x, const char *shown, const struct sk_torch_storage *s, struct span *ret_span)
{
	uint64_t bytes = s->type ? s->type->bytes : 1;
	char key[SK_SHOWN];

	sk_weights_show(key, s->key, s->key_len);
	if (!find_storage(x, s, ret_span))
		return sk_fail(x->err, SK_EFORMAT, "%s: tensor %s: its storage %s is not in the file", x->f->path, shown, key);
	if (__builtin_mul_overflow(s->numel, bytes, &bytes) || bytes != ret_span->bytes)
		return sk_fail(x->err, SK_EFORMAT, "%s: tensor %s: its storage %s has %zu bytes, the pickle says %" PRIu64
			       " elements of %s", x->f->path, shown, key, ret_span->bytes, s->numel,
			       s->type ? s->type->name : "a byte");
	return SK_OK;
}

/* ---- tensors -------------------------------------------------------------------------------------------------- */

/* The place behind the last element of the view, in elements; false: over 2^63. An empty view ends nowhere: at 0. */
static bool end_of(const struct sk_torch_tensor *t, int64_t *ret_end)
{
	int64_t end = t->offset, part;

	for (int i = 0; i < t->dims; i++)
		if (t->size[i] == 0) {
			*ret_end = 0;
			return true;
		}
	for (int i = 0; i < t->dims; i++)
		if (__builtin_mul_overflow(t->size[i] - 1, t->stride[i], &part) || __builtin_add_overflow(end, part, &end))
			return false;
	if (end == INT64_MAX)
		return false;
	*ret_end = end + 1;
	return true;
}

/* Whether the elements lie one after the other, the last dimension fastest. */
static bool in_one_piece(const struct sk_torch_tensor *t)
{
	int64_t want = 1;

	for (int i = t->dims - 1; i >= 0; i--) {
		if (t->size[i] != 1 && t->stride[i] != want)
			return false;
		want *= t->size[i];     /* at most the number of elements */
	}
	return true;
}

static void copy_element(unsigned char *out, const unsigned char *in, size_t bytes)
{
	if (bytes == 2)
		memcpy(out, in, 2);
	else
		memcpy(out, in, 4);
}

/* Rows and columns of any stride to rows of columns, in squares of 64: lines of the cache are used whole on both sides. */
static void copy_square(unsigned char *out, const unsigned char *in, size_t e, int64_t rows, int64_t columns, int64_t row_stride,
			int64_t column_stride)
{
	enum { SQUARE = 64 };

	for (int64_t r0 = 0; r0 < rows; r0 += SQUARE)
		for (int64_t c0 = 0; c0 < columns; c0 += SQUARE)
			for (int64_t r = r0; r < rows && r < r0 + SQUARE; r++)
				for (int64_t c = c0; c < columns && c < c0 + SQUARE; c++)
					copy_element(out + (size_t)(r * columns + c) * e,
						     in + (size_t)(r * row_stride + c * column_stride) * e, e);
}

/* A view in one piece: the last two dimensions as squares, those before them like the wheels of a counter. */
static void copy_view(unsigned char *out, const unsigned char *in, const struct sk_torch_tensor *t)
{
	int outer = t->dims > 2 ? t->dims - 2 : 0;
	int64_t at[SK_PICKLE_DIMS_MAX] = { 0 }, rows = t->dims > 1 ? t->size[t->dims - 2] : 1, columns = t->size[t->dims - 1];
	size_t e = t->type->bytes;
	int i;

	do {
		int64_t from = 0;

		for (i = 0; i < outer; i++)
			from += at[i] * t->stride[i];
		copy_square(out, in + (size_t)from * e, e, rows, columns, t->dims > 1 ? t->stride[t->dims - 2] : 0,
			    t->stride[t->dims - 1]);
		out += (size_t)(rows * columns) * e;
		for (i = outer - 1; i >= 0 && ++at[i] == t->size[i]; i--)
			at[i] = 0;
	} while (i >= 0);
}

/* Let out->data, of a view that is not in one piece, become a copy that is. */
static sk_status take_copy(struct reader *x, const char *shown, const struct sk_torch_tensor *t, struct sk_tensor *out)
{
	struct view v = { .data = out->data, .bytes = t->type->bytes, .dims = t->dims };
	char *key;
	void *copy;
	int32_t at;
	sk_status st;

	memcpy(v.size, t->size, sizeof(v.size));
	memcpy(v.stride, t->stride, sizeof(v.stride));
	at = sk_table_find(&x->views, (const char *)&v, sizeof(v), -1);
	if (at >= 0) {
		out->data = x->w->copies[at].data;
		return SK_OK;
	}
	st = sk_weights_take_copy(x->w, x->f, shown, out->bytes, &copy, x->err);
	if (st < 0)
		return st;
	key = sk_arena_strndup(&x->pickle.arena, (const char *)&v, sizeof(v));
	if (!key || sk_table_put(&x->views, key, sizeof(v), (int32_t)x->w->copies_len - 1) < 0)
		return sk_fail(x->err, SK_ENOMEM, "%s: out of memory", x->f->path);
	copy_view(copy, out->data, t);
	out->data = copy;
	return SK_OK;
}

/* Fill out->data and bytes. */
static sk_status place(struct reader *x, const char *shown, const struct sk_torch_tensor *t, struct sk_tensor *out)
{
	struct span s = { 0 };
	int64_t end = 0;
	uint64_t elements = 1, storage_elements;
	sk_status st = take_storage(x, shown, &t->storage, &s);

	if (st < 0)
		return st;
	storage_elements = s.bytes / t->type->bytes;
	if (!end_of(t, &end))
		return sk_fail(x->err, SK_EFORMAT, "%s: tensor %s ends beyond element 2^63 of its storage, which has %" PRIu64,
			       x->f->path, shown, storage_elements);
	if ((uint64_t)end > storage_elements)
		return sk_fail(x->err, SK_EFORMAT, "%s: tensor %s ends at element %" PRId64 " of its storage, which has %" PRIu64,
			       x->f->path, shown, end, storage_elements);
	for (int i = 0; i < t->dims; i++)
		elements *= (uint64_t)t->size[i];       /* no overflow: sk_tensor_shape() has seen it */
	if (elements == 0 || (out->dtype == SK_DTYPES && !in_one_piece(t)))
		return SK_OK;
	out->bytes = (size_t)elements * t->type->bytes;
	out->data = s.data + (size_t)t->offset * t->type->bytes;
	if (in_one_piece(t))
		return SK_OK;
	if (elements > SIZE_MAX / t->type->bytes)
		return sk_fail(x->err, SK_EFORMAT, "%s: tensor %s has 2^64 bytes or more", x->f->path, shown);
	st = take_copy(x, shown, t, out);
	sk_map_drop(&x->f->map, (size_t)(s.data - x->f->map.data), s.bytes);
	return st;
}

static sk_status add_tensor(struct reader *x, const struct sk_value *name, const struct sk_torch_tensor *t)
{
	struct sk_tensor out = { .dtype = t->type->dtype, .type = t->type->name };
	char shown[SK_SHOWN];
	sk_status st;

	sk_weights_show(shown, name->s, name->len);
	if (!sk_tensor_shape(&out, t->size, (size_t)t->dims))
		return sk_fail(x->err, SK_EFORMAT, "%s: tensor %s: the product of its dimensions is 2^63 or more", x->f->path, shown);
	st = place(x, shown, t, &out);
	return st < 0 ? st : sk_weights_add(x->w, x->f, name->s, name->len, &out, x->err);
}

/* ---- the dictionary ------------------------------------------------------------------------------------------- */

static const struct sk_value *value(const struct reader *x, uint32_t place)
{
	return &x->pickle.values[place];
}

static bool holds_tensors(const struct reader *x, const struct sk_value *dict)
{
	for (uint32_t i = 1; i < dict->items_len; i += 2)
		if (value(x, dict->items[i])->kind == SK_VALUE_TENSOR)
			return true;
	return false;
}

/* The dictionary of tensors: the root, or what it has under a usual name; such ones may be nested. NULL: none. */
static const struct sk_value *find_dict(const struct reader *x)
{
	static const char *const usual[] = { "state_dict", "model_state_dict", "model", "module" };
	const struct sk_value *dict = value(x, x->pickle.root);

	for (int depth = 0; depth < NESTED_MAX && dict && dict->kind == SK_VALUE_DICT; depth++) {
		const struct sk_value *next = NULL;

		if (holds_tensors(x, dict))
			return dict;
		for (size_t u = 0; u < sizeof(usual) / sizeof(usual[0]) && !next; u++)
			for (uint32_t i = 0; i + 1 < dict->items_len && !next; i += 2) {
				const struct sk_value *key = value(x, dict->items[i]), *v = value(x, dict->items[i + 1]);

				if (key->kind == SK_VALUE_STR && key->len == strlen(usual[u]) &&
				    !memcmp(key->s, usual[u], key->len) && v->kind == SK_VALUE_DICT)
					next = v;
			}
		dict = next;
	}
	return NULL;
}

static sk_status add_dict(struct reader *x)
{
	const struct sk_value *dict = find_dict(x);
	sk_status st = SK_OK;

	if (!dict)
		return sk_fail(x->err, SK_EFORMAT, "%s: no dictionary of tensors is in its pickle", x->f->path);
	for (uint32_t i = 0; i + 1 < dict->items_len && st >= 0; i += 2) {
		const struct sk_value *key = value(x, dict->items[i]), *v = value(x, dict->items[i + 1]);

		if (v->kind != SK_VALUE_TENSOR)
			continue;
		st = key->kind == SK_VALUE_STR ? add_tensor(x, key, v->tensor) :
			sk_fail(x->err, SK_EFORMAT, "%s: a tensor whose name is no string", x->f->path);
	}
	return st;
}

/* ---- since 1.6 ------------------------------------------------------------------------------------------------ */

/* All names begin with that of the archive: the first one's, up to its slash. */
static sk_status take_prefix(struct reader *x)
{
	const struct sk_zip_entry *first = x->zip.len ? &x->zip.entries[0] : NULL;
	const char *slash = first ? memchr(first->name, '/', first->name_len) : NULL;

	if (!slash || slash - first->name > 255)
		return sk_fail(x->err, SK_EFORMAT, "%s: a zip file, but not as torch.save writes it", x->f->path);
	x->prefix = first->name;
	x->prefix_len = (size_t)(slash - first->name) + 1;
	return SK_OK;
}

static sk_status read_zip(struct reader *x)
{
	const struct sk_zip_entry *pickle, *order;
	sk_status st = sk_zip_init(&x->zip, x->f, x->err);

	if (st >= 0)
		st = take_prefix(x);
	if (st < 0)
		return st;
	pickle = find_entry(x, "data.pkl", 8);
	order = find_entry(x, "byteorder", 9);
	if (!pickle)
		return sk_fail(x->err, SK_EFORMAT, "%s: a zip file without data.pkl: not as torch.save writes it", x->f->path);
	if (find_entry(x, "constants.pkl", 13))
		return sk_fail(x->err, SK_ENOTSUP, "%s: a TorchScript archive: only dictionaries of tensors are read", x->f->path);
	if (order && (order->bytes != 6 || memcmp(order->data, "little", 6) != 0))
		return sk_fail(x->err, SK_ENOTSUP, "%s: its byte order is not little endian", x->f->path);
	return sk_pickle_init(&x->pickle, pickle->data, pickle->bytes, x->f->path, x->err);
}

/* ---- before 1.6 ----------------------------------------------------------------------------------------------- */

/* A pickle at *at, which moves behind it. */
static sk_status take_pickle(struct reader *x, size_t *at, struct sk_pickle *ret_pickle)
{
	sk_status st = sk_pickle_init(ret_pickle, x->f->map.data + *at, x->f->map.len - *at, x->f->path, x->err);

	if (st < 0)
		sk_pickle_fini(ret_pickle);
	else
		*at += ret_pickle->bytes;
	return st;
}

/* The magic number, the protocol, and the machine. */
static sk_status take_old_head(struct reader *x, size_t *at)
{
	for (int i = 0; i < 3; i++) {
		struct sk_pickle p;
		const struct sk_value *v;
		sk_status st = take_pickle(x, at, &p);

		if (st < 0)
			return st;
		v = &p.values[p.root];
		if (i == 1 && (v->kind != SK_VALUE_INT || v->i != OLD_PROTOCOL))
			st = sk_fail(x->err, SK_ENOTSUP, "%s: a torch file before 1.6 of a protocol that is not %d", x->f->path,
				     OLD_PROTOCOL);
		for (uint32_t k = 0; i == 2 && v->kind == SK_VALUE_DICT && k + 1 < v->items_len; k += 2) {
			const struct sk_value *key = &p.values[v->items[k]], *is = &p.values[v->items[k + 1]];

			if (key->kind == SK_VALUE_STR && key->len == 13 && !memcmp(key->s, "little_endian", 13) &&
			    (is->kind != SK_VALUE_BOOL || !is->i))
				st = sk_fail(x->err, SK_ENOTSUP, "%s: its byte order is not little endian", x->f->path);
		}
		sk_pickle_fini(&p);
		if (st < 0)
			return st;
	}
	return SK_OK;
}

/* Bytes of one element of the storage with this key; 0: no tensor uses it. */
static uint64_t element_bytes(const struct sk_table *types, const struct sk_pickle *p, const struct sk_value *key)
{
	int32_t at = sk_table_find(types, key->s, key->len, -1);

	if (at < 0)
		return 0;
	return p->values[at].storage->type ? p->values[at].storage->type->bytes : 1;
}

/* The storages in the order of their keys: u64 elements, then the elements. */
static sk_status take_old_storages(struct reader *x, const struct sk_pickle *keys, const struct sk_table *types, size_t at)
{
	const struct sk_value *list = &keys->values[keys->root];
	char shown[SK_SHOWN];

	if (list->kind != SK_VALUE_LIST)
		return sk_fail(x->err, SK_EFORMAT, "%s: the list of its storages is none", x->f->path);
	for (uint32_t i = 0; i < list->items_len; i++) {
		const struct sk_value *key = &keys->values[list->items[i]];
		size_t left = x->f->map.len - at;
		uint64_t e, n, bytes;

		if (key->kind != SK_VALUE_STR)
			return sk_fail(x->err, SK_EFORMAT, "%s: a storage whose key is no string", x->f->path);
		sk_weights_show(shown, key->s, key->len);
		e = element_bytes(types, &x->pickle, key);
		if (!e)
			return sk_fail(x->err, SK_EFORMAT, "%s: storage %s is in the file, but the pickle does not know it", x->f->path,
				       shown);
		n = left < 8 ? 0 : little(x->f->map.data + at, 8);
		if (left < 8 || __builtin_mul_overflow(n, e, &bytes) || bytes > left - 8)
			return sk_fail(x->err, SK_EFORMAT, "%s: truncated: storage %s claims %" PRIu64 " elements of %" PRIu64
				       " bytes, %zu bytes are left", x->f->path, shown, n, e, left);
		if (sk_weights_grow((void **)&x->spans, sizeof(*x->spans), x->spans_len, &x->spans_cap) < 0 ||
		    sk_table_put(&x->old, key->s, key->len, (int32_t)x->spans_len) < 0)
			return sk_fail(x->err, SK_ENOMEM, "%s: out of memory", x->f->path);
		x->spans[x->spans_len++] = (struct span){ x->f->map.data + at + 8, (size_t)bytes };
		at += 8 + (size_t)bytes;
	}
	if (at != x->f->map.len)
		return sk_fail(x->err, SK_EFORMAT, "%s: %zu bytes follow the last storage", x->f->path, x->f->map.len - at);
	return SK_OK;
}

static sk_status read_old(struct reader *x)
{
	struct sk_pickle keys = { 0 };
	struct sk_table types = { 0 };
	size_t at = 0;
	sk_status st = take_old_head(x, &at);

	if (st >= 0)
		st = take_pickle(x, &at, &x->pickle);
	if (st >= 0)
		st = take_pickle(x, &at, &keys);
	if (st >= 0 && (sk_table_init(&types, 16) < 0 || sk_table_init(&x->old, 16) < 0))
		st = sk_fail(x->err, SK_ENOMEM, "%s: out of memory", x->f->path);
	for (size_t i = 0; st >= 0 && i < x->pickle.values_len; i++) {
		const struct sk_value *v = &x->pickle.values[i];

		if (v->kind == SK_VALUE_STORAGE && sk_table_put(&types, v->storage->key, v->storage->key_len, (int32_t)i) < 0)
			st = sk_fail(x->err, SK_ENOMEM, "%s: out of memory", x->f->path);
	}
	if (st >= 0)
		st = take_old_storages(x, &keys, &types, at);
	sk_table_fini(&types);
	sk_pickle_fini(&keys);
	return st;
}

/* ---- the file ------------------------------------------------------------------------------------------------- */

static bool is_old(const unsigned char *data, size_t len)
{
	return len >= OLD_MAGIC_BYTES && !memcmp(data, old_magic, OLD_MAGIC_BYTES);
}

static bool torch_probe(const unsigned char *data, size_t len)
{
	return !memcmp(data, "PK\3\4", 4) || is_old(data, len);
}

static sk_status torch_read(struct sk_weights *w, const struct sk_weights_file *f, struct sk_err *err)
{
	struct reader x = { .w = w, .f = f, .err = err };
	const unsigned char *p = f->map.data;
	sk_status st;

	if (is_old(p, f->map.len))
		st = read_old(&x);
	else if (!memcmp(p, "PK\3\4", 4))
		st = read_zip(&x);
	else
		st = sk_fail(err, SK_EFORMAT, "%s: not a file of torch.save: it begins with 0x%02x%02x%02x%02x, neither a zip nor "
			     "torch's older form", f->path, p[0], p[1], p[2], p[3]);
	if (st >= 0)
		st = add_dict(&x);
	sk_pickle_fini(&x.pickle);
	sk_zip_fini(&x.zip);
	sk_table_fini(&x.old);
	sk_table_fini(&x.views);
	free(x.spans);
	return st;
}

const struct sk_weights_format sk_format_torch = {
	.name = "torch",
	.probe = torch_probe,
	.read = torch_read,
};
