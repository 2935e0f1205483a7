/* SPDX-License-Identifier: Apache-2.0 */
/*
 * GGUF, versions 2 and 3, little endian (ggml's docs/gguf.md):
 *
 *	"GGUF" u32 version, u64 tensors, u64 keys
 *	keys    times  string key, u32 type, value           string: u64 bytes, then the bytes
 *	tensors times  string name, u32 dims, u64 dim[dims] (columns first), u32 type, u64 offset
 *	padding to general.alignment (32), then the tensors' data, each at its offset from here
 *
 * Nothing is believed: a cursor knows how many bytes are left and every read asks it first; sums and products are
 * checked for overflow. The work is linear in the size of the file, as every element of an array takes a byte at least.
 * Values stay in the mapping and are lent from there; sk_meta_next() walks an array's raw bytes a second time.
 */
#include "engine/weights/format.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum {
	ALIGNMENT_DEFAULT = 32,
	ALIGNMENT_MIN = 8,              /* the format's own rule: a multiple of 8 */
	ALIGNMENT_MAX = 1 << 20,
	/* The least a key (8 + 4 + 1 bytes and one of the name) and a tensor (8 + 4 + 8 + 4 + 8 and one) can take. */
	KEY_BYTES_MIN = 14,
	TENSOR_BYTES_MIN = 33,
};

/* ---- types ---------------------------------------------------------------------------------------------------- */

enum gguf_type {
	GGUF_U8, GGUF_I8, GGUF_U16, GGUF_I16, GGUF_U32, GGUF_I32, GGUF_F32, GGUF_BOOL, GGUF_STRING, GGUF_ARRAY,
	GGUF_U64, GGUF_I64, GGUF_F64, GGUF_TYPES
};

static const struct { uint8_t bytes; enum sk_meta_type meta; } gguf_types[GGUF_TYPES] = {
	[GGUF_U8] = { 1, SK_META_INT }, [GGUF_I8] = { 1, SK_META_INT },
	[GGUF_U16] = { 2, SK_META_INT }, [GGUF_I16] = { 2, SK_META_INT },
	[GGUF_U32] = { 4, SK_META_INT }, [GGUF_I32] = { 4, SK_META_INT },
	[GGUF_U64] = { 8, SK_META_INT }, [GGUF_I64] = { 8, SK_META_INT },
	[GGUF_F32] = { 4, SK_META_FLOAT }, [GGUF_F64] = { 8, SK_META_FLOAT },
	[GGUF_BOOL] = { 1, SK_META_BOOL },
	[GGUF_STRING] = { 0, SK_META_STRING }, [GGUF_ARRAY] = { 0, SK_META_ARRAY },
};

/* ggml's tensor types by number (ggml.h, enum ggml_type). dtype SK_DTYPES: known by name only. */
static const struct { const char *name; enum sk_dtype dtype; } tensor_types[] = {
	[0] = { "F32", SK_F32 }, [1] = { "F16", SK_F16 }, [2] = { "Q4_0", SK_Q4_0 }, [3] = { "Q4_1", SK_Q4_1 },
	[6] = { "Q5_0", SK_DTYPES }, [7] = { "Q5_1", SK_DTYPES }, [8] = { "Q8_0", SK_Q8_0 },
	[9] = { "Q8_1", SK_DTYPES }, [10] = { "Q2_K", SK_DTYPES }, [11] = { "Q3_K", SK_DTYPES },
	[12] = { "Q4_K", SK_DTYPES }, [13] = { "Q5_K", SK_DTYPES }, [14] = { "Q6_K", SK_DTYPES },
	[15] = { "Q8_K", SK_DTYPES }, [16] = { "IQ2_XXS", SK_DTYPES }, [17] = { "IQ2_XS", SK_DTYPES },
	[18] = { "IQ3_XXS", SK_DTYPES }, [19] = { "IQ1_S", SK_DTYPES }, [20] = { "IQ4_NL", SK_DTYPES },
	[21] = { "IQ3_S", SK_DTYPES }, [22] = { "IQ2_S", SK_DTYPES }, [23] = { "IQ4_XS", SK_DTYPES },
	[24] = { "I8", SK_DTYPES }, [25] = { "I16", SK_DTYPES }, [26] = { "I32", SK_DTYPES },
	[27] = { "I64", SK_DTYPES }, [28] = { "F64", SK_DTYPES }, [29] = { "IQ1_M", SK_DTYPES },
	[30] = { "BF16", SK_BF16 }, [34] = { "TQ1_0", SK_DTYPES }, [35] = { "TQ2_0", SK_DTYPES },
	[39] = { "MXFP4", SK_DTYPES },
};
enum { TENSOR_TYPES = sizeof(tensor_types) / sizeof(tensor_types[0]) };

/* ---- the cursor ----------------------------------------------------------------------------------------------- */

struct cursor {
	const unsigned char *at, *end;
	const char *path;
	const unsigned char *begin;
	struct sk_err *err;
};

static uint64_t little(const unsigned char *p, int bytes)
{
	uint64_t v = 0;

	for (int i = bytes - 1; i >= 0; i--)
		v = v << 8 | p[i];
	return v;
}

static size_t left(const struct cursor *c)
{
	return (size_t)(c->end - c->at);
}

/* The file ends inside something. */
static sk_status cut(const struct cursor *c, const char *what, uint64_t want)
{
	return sk_fail(c->err, SK_EFORMAT, "%s: truncated at byte %zu: %s needs %" PRIu64 " bytes, %zu are left: "
		       "%" PRIu64 " bytes are missing", c->path, (size_t)(c->at - c->begin), what, want, left(c),
		       want - left(c));
}

static sk_status take(struct cursor *c, int bytes, const char *what, uint64_t *ret_v)
{
	if (left(c) < (size_t)bytes)
		return cut(c, what, (uint64_t)bytes);
	*ret_v = little(c->at, bytes);
	c->at += bytes;
	return SK_OK;
}

static sk_status take_string(struct cursor *c, const char *what, uint64_t max, const char **ret_s, size_t *ret_len)
{
	uint64_t len = 0;
	sk_status st = take(c, 8, what, &len);

	if (st < 0)
		return st;
	if (len > max)
		return sk_fail(c->err, SK_ETOOBIG, "%s: %s at byte %zu claims %" PRIu64 " bytes, the limit is %" PRIu64,
			       c->path, what, (size_t)(c->at - c->begin) - 8, len, max);
	if (len > left(c))
		return cut(c, what, len);
	*ret_s = (const char *)c->at;
	*ret_len = (size_t)len;
	c->at += len;
	return SK_OK;
}

/* ---- metadata values ------------------------------------------------------------------------------------------ */

/* One number of `type` at p. */
static struct sk_meta_value number(enum gguf_type type, const unsigned char *p)
{
	int bits = 8 * gguf_types[type].bytes;
	uint64_t u = little(p, gguf_types[type].bytes);
	struct sk_meta_value v = { .type = gguf_types[type].meta };

	if (type == GGUF_F32) {
		uint32_t u32 = (uint32_t)u;
		float f;

		memcpy(&f, &u32, 4);
		v.f = (double)f;
	} else if (type == GGUF_F64) {
		memcpy(&v.f, &u, 8);
	} else if (type == GGUF_I8 || type == GGUF_I16 || type == GGUF_I32) {
		v.i = (int64_t)(u ^ 1ull << (bits - 1)) - (int64_t)(1ull << (bits - 1));
	} else if (type == GGUF_U64 && u > INT64_MAX) {
		v.type = SK_META_FLOAT;         /* no int64: whoever wants an INT sees that it is none */
		v.f = (double)u;
	} else {
		v.i = (int64_t)u;
	}
	return v;
}

static sk_status take_value(struct cursor *c, uint64_t type, const char *key, int depth, struct sk_meta_value *ret_v);

/* Walk over `len` elements, so that later walks need no check. Numbers are skipped in one go. */
static sk_status skip_array(struct cursor *c, enum gguf_type type, uint64_t len, const char *key, int depth)
{
	struct sk_meta_value v;
	uint64_t bytes = len * gguf_types[type].bytes;  /* len <= SK_META_ARRAY_MAX: cannot overflow */
	sk_status st;

	if (gguf_types[type].bytes && type != GGUF_BOOL) {
		if (bytes > left(c))
			return cut(c, key, bytes);
		c->at += bytes;
		return SK_OK;
	}
	for (uint64_t i = 0; i < len; i++) {
		st = take_value(c, type, key, depth, &v);
		if (st < 0)
			return st;
	}
	return SK_OK;
}

static sk_status take_array(struct cursor *c, const char *key, int depth, struct sk_meta_value *ret_v)
{
	uint64_t type = 0, len = 0;
	sk_status st;

	if (depth >= SK_META_DEPTH_MAX)
		return sk_fail(c->err, SK_ETOOBIG, "%s: key %s: arrays are nested deeper than %d", c->path, key,
			       SK_META_DEPTH_MAX);
	st = take(c, 4, key, &type);
	if (st >= 0)
		st = take(c, 8, key, &len);
	if (st < 0)
		return st;
	if (type >= GGUF_TYPES)
		return sk_fail(c->err, SK_EFORMAT, "%s: key %s: array of value type %" PRIu64 ", the last known is %d",
			       c->path, key, type, GGUF_TYPES - 1);
	if (len > SK_META_ARRAY_MAX)
		return sk_fail(c->err, SK_ETOOBIG, "%s: key %s: array claims %" PRIu64 " elements, the limit is %d",
			       c->path, key, len, SK_META_ARRAY_MAX);
	*ret_v = (struct sk_meta_value){ .type = SK_META_ARRAY, .len = (size_t)len, .item = gguf_types[type].meta,
					 .raw = c->at, .raw_type = (uint32_t)type };
	st = skip_array(c, (enum gguf_type)type, len, key, depth + 1);
	ret_v->i = c->at - (const unsigned char *)ret_v->raw;
	return st;
}

static sk_status take_value(struct cursor *c, uint64_t type, const char *key, int depth, struct sk_meta_value *ret_v)
{
	if (type >= GGUF_TYPES)
		return sk_fail(c->err, SK_EFORMAT, "%s: key %s: value type %" PRIu64 ", the last known is %d", c->path,
			       key, type, GGUF_TYPES - 1);
	if (type == GGUF_ARRAY)
		return take_array(c, key, depth, ret_v);
	if (type == GGUF_STRING) {
		*ret_v = (struct sk_meta_value){ .type = SK_META_STRING };
		return take_string(c, key, SK_META_STRING_MAX, &ret_v->s, &ret_v->len);
	}
	if (left(c) < gguf_types[type].bytes)
		return cut(c, key, gguf_types[type].bytes);
	*ret_v = number((enum gguf_type)type, c->at);
	c->at += gguf_types[type].bytes;
	if (type == GGUF_BOOL && ret_v->i > 1)
		return sk_fail(c->err, SK_EFORMAT, "%s: key %s: a bool of value %d", c->path, key, (int)ret_v->i);
	return SK_OK;
}

/* An array's raw bytes are GGUF's, or values (config.c). */
bool sk_meta_next(const struct sk_meta_value *array, const void **cursor, size_t *index, struct sk_meta_value *ret_item)
{
	size_t i = *cursor ? *index + 1 : 0;
	struct cursor c = { .begin = array->raw, .path = "" };

	if (array->type != SK_META_ARRAY || i >= array->len)
		return false;
	if (array->raw_type == SK_META_RAW_VALUES) {
		*cursor = array->raw;
		*index = i;
		*ret_item = ((const struct sk_meta_value *)array->raw)[i];
		return true;
	}
	c.at = *cursor ? *cursor : array->raw;
	c.end = c.begin + array->i;
	if (take_value(&c, array->raw_type, "", 0, ret_item) < 0)
		return false;
	*cursor = c.at;
	*index = i;
	return true;
}

static sk_status take_meta(struct sk_weights *w, struct cursor *c, size_t i)
{
	const char *key;
	size_t key_len;
	uint64_t type = 0;
	char shown[SK_SHOWN];
	sk_status st = take_string(c, "a metadata key", SK_META_KEY_MAX, &key, &key_len);

	if (st < 0)
		return st;
	sk_weights_show(shown, key, key_len);
	if (key_len == 0)
		return sk_fail(c->err, SK_EFORMAT, "%s: metadata key %zu has no name", w->path, i);
	if (sk_table_find(&w->meta_index, key, key_len, -1) >= 0)
		return sk_fail(c->err, SK_EFORMAT, "%s: key %s is there twice", w->path, shown);
	st = take(c, 4, shown, &type);
	if (st >= 0)
		st = take_value(c, type, shown, 0, &w->metas[i]);
	if (st < 0)
		return st;
	if (sk_table_put(&w->meta_index, key, key_len, (int32_t)i) < 0)
		return sk_fail(c->err, SK_ENOMEM, "%s: out of memory for the keys", w->path);
	return SK_OK;
}

/* ---- tensors -------------------------------------------------------------------------------------------------- */

/* Dimensions, columns first in the file, rows first in ours. */
static sk_status take_dims(struct cursor *c, const char *name, struct sk_tensor *t)
{
	uint64_t dims = 0, d = 0;
	int64_t product = 1;
	sk_status st = take(c, 4, name, &dims);

	if (st < 0)
		return st;
	if (dims < 1 || dims > 4)
		return sk_fail(c->err, SK_EFORMAT, "%s: tensor %s has %" PRIu64 " dimensions, 1 to 4 are possible", c->path,
			       name, dims);
	t->dims = (int32_t)dims;
	for (int i = t->dims - 1; i >= 0; i--) {
		st = take(c, 8, name, &d);
		if (st < 0)
			return st;
		if (d == 0 || d > INT64_MAX || __builtin_mul_overflow(product, (int64_t)d, &product))
			return sk_fail(c->err, SK_EFORMAT, "%s: tensor %s: dimension %d is %" PRIu64
				       ", it must be positive and the product below 2^63", c->path, name, i, d);
		t->dim[i] = (int64_t)d;
	}
	return SK_OK;
}

static sk_status take_type(struct cursor *c, const char *name, struct sk_tensor *t)
{
	uint64_t type = 0;
	const struct sk_quant *q;
	int64_t blocks, bytes, columns = t->dim[t->dims - 1];
	sk_status st = take(c, 4, name, &type);

	if (st < 0)
		return st;
	if (type >= TENSOR_TYPES || !tensor_types[type].name)
		return sk_fail(c->err, SK_ENOTSUP, "%s: tensor %s has the unknown type %" PRIu64, c->path, name, type);
	if (tensor_types[type].dtype == SK_DTYPES)
		return sk_fail(c->err, SK_ENOTSUP, "%s: tensor %s has type %s, which is not supported (F32, F16, BF16, "
			       "Q8_0, Q4_0 and Q4_1 are)", c->path, name, tensor_types[type].name);
	t->dtype = tensor_types[type].dtype;
	t->type = tensor_types[type].name;
	q = sk_quant_get(t->dtype);
	if (columns % q->block_len)
		return sk_fail(c->err, SK_EFORMAT, "%s: tensor %s has %" PRId64 " columns, type %s wants a multiple of %u",
			       c->path, name, columns, q->name, q->block_len);
	blocks = columns / q->block_len;
	for (int i = 0; i < t->dims - 1; i++)
		blocks *= t->dim[i];            /* at most the product of take_dims() */
	if (__builtin_mul_overflow(blocks, (int64_t)q->block_bytes, &bytes))
		return sk_fail(c->err, SK_EFORMAT, "%s: tensor %s has 2^63 bytes or more", c->path, name);
	t->bytes = (size_t)bytes;
	return SK_OK;
}

/* *ret_offset: from the begin of the data, checked against the file once that is known. */
static sk_status take_tensor(struct sk_weights *w, struct cursor *c, size_t i, uint64_t *ret_offset)
{
	struct sk_tensor *t = &w->tensors[i];
	const char *name;
	size_t name_len;
	char shown[SK_SHOWN];
	sk_status st = take_string(c, "a tensor's name", SK_TENSOR_NAME_MAX, &name, &name_len);

	if (st < 0)
		return st;
	sk_weights_show(shown, name, name_len);
	if (name_len == 0 || memchr(name, 0, name_len))
		return sk_fail(c->err, SK_EFORMAT, "%s: the name of tensor %zu is empty or holds a NUL byte", w->path, i);
	if (sk_table_find(&w->tensor_index, name, name_len, -1) >= 0)
		return sk_fail(c->err, SK_EFORMAT, "%s: tensor %s is there twice", w->path, shown);
	t->name = sk_arena_strndup(&w->names, name, name_len);
	if (!t->name || sk_table_put(&w->tensor_index, t->name, name_len, (int32_t)i) < 0)
		return sk_fail(c->err, SK_ENOMEM, "%s: out of memory for the tensors' names", w->path);
	st = take_dims(c, shown, t);
	if (st >= 0)
		st = take_type(c, shown, t);
	if (st >= 0)
		st = take(c, 8, shown, ret_offset);
	return st;
}

/* Where each tensor lies. A file cut short is reported once, by the tensor that ends last. */
static sk_status place_tensors(struct sk_weights *w, const struct cursor *c, const uint64_t *offsets, uint64_t alignment)
{
	uint64_t file_bytes = (uint64_t)(c->end - c->begin);
	uint64_t begin = ((uint64_t)(c->at - c->begin) + alignment - 1) / alignment * alignment;
	uint64_t worst_end = 0;
	size_t worst = 0;

	for (size_t i = 0; i < w->tensors_len; i++) {
		struct sk_tensor *t = &w->tensors[i];
		char shown[SK_SHOWN];
		uint64_t end;

		sk_weights_show(shown, t->name, strlen(t->name));
		if (offsets[i] % alignment)
			return sk_fail(c->err, SK_EFORMAT, "%s: tensor %s begins at offset %" PRIu64 ", no multiple of the "
				       "alignment %" PRIu64, w->path, shown, offsets[i], alignment);
		if (__builtin_add_overflow(begin, offsets[i], &end) || __builtin_add_overflow(end, t->bytes, &end))
			return sk_fail(c->err, SK_EFORMAT, "%s: tensor %s ends beyond 2^64: offset %" PRIu64 ", %zu bytes",
				       w->path, shown, offsets[i], t->bytes);
		if (end > worst_end) {
			worst_end = end;
			worst = i;
		}
		t->data = c->begin + (end <= file_bytes ? begin + offsets[i] : 0);
	}
	if (worst_end > file_bytes)
		return sk_fail(c->err, SK_EFORMAT, "%s: truncated: tensor %s ends at byte %" PRIu64 ", the file has %" PRIu64 ": "
			       "%" PRIu64 " bytes are missing", w->path, w->tensors[worst].name, worst_end, file_bytes,
			       worst_end - file_bytes);
	return SK_OK;
}

/* ---- the file ------------------------------------------------------------------------------------------------- */

static bool gguf_probe(const unsigned char *data, size_t len)
{
	return memcmp(data, "GGUF", 4) == 0;
}

static sk_status check_count(const struct cursor *c, const char *what, uint64_t len, uint64_t max, uint64_t bytes_min)
{
	if (len > max)
		return sk_fail(c->err, SK_ETOOBIG, "%s: header claims %" PRIu64 " %s, the limit is %" PRIu64, c->path, len,
			       what, max);
	if (len * bytes_min > left(c))
		return sk_fail(c->err, SK_EFORMAT, "%s: truncated: header claims %" PRIu64 " %s, which take %" PRIu64
			       " bytes at least, %zu are left", c->path, len, what, len * bytes_min, left(c));
	return SK_OK;
}

static sk_status take_header(struct cursor *c, uint64_t *ret_tensors, uint64_t *ret_keys)
{
	uint64_t version = 0;
	sk_status st;

	c->at += 4;
	st = take(c, 4, "the version", &version);
	if (st < 0)
		return st;
	if (version == 0x02000000 || version == 0x03000000)
		return sk_fail(c->err, SK_ENOTSUP, "%s: a big-endian GGUF file is not supported", c->path);
	if (version != 2 && version != 3)
		return sk_fail(c->err, SK_ENOTSUP, "%s: GGUF version %" PRIu64 " is not supported (2 and 3 are)", c->path,
			       version);
	st = take(c, 8, "the number of tensors", ret_tensors);
	if (st >= 0)
		st = take(c, 8, "the number of keys", ret_keys);
	if (st >= 0)
		st = check_count(c, "tensors", *ret_tensors, SK_TENSORS_MAX, TENSOR_BYTES_MIN);
	if (st >= 0)
		st = check_count(c, "keys", *ret_keys, SK_METAS_MAX, KEY_BYTES_MIN);
	return st;
}

static sk_status take_alignment(struct sk_weights *w, const struct cursor *c, uint64_t *ret_alignment)
{
	const struct sk_meta_value *v = sk_meta_find(w, "general.alignment");

	*ret_alignment = ALIGNMENT_DEFAULT;
	if (!v)
		return SK_OK;
	if (v->type != SK_META_INT || v->i < ALIGNMENT_MIN || v->i > ALIGNMENT_MAX || (v->i & (v->i - 1)))
		return sk_fail(c->err, SK_EFORMAT, "%s: general.alignment is %" PRId64 ", it must be a power of two from %d "
			       "to %d", w->path, v->i, ALIGNMENT_MIN, ALIGNMENT_MAX);
	*ret_alignment = (uint64_t)v->i;
	return SK_OK;
}

static sk_status refuse_split(struct sk_weights *w, const struct cursor *c)
{
	int64_t files = sk_meta_int(w, "split.count", 1);

	if (files > 1)
		return sk_fail(c->err, SK_ENOTSUP, "%s: a model split over %" PRId64 " files is not supported, merge them "
			       "first", w->path, files);
	return SK_OK;
}

static sk_status gguf_read(struct sk_weights *w, const struct sk_weights_file *f, struct sk_err *err)
{
	struct cursor c = { .at = f->map.data, .begin = f->map.data, .end = f->map.data + f->map.len, .path = w->path,
			    .err = err };
	uint64_t tensors = 0, keys = 0, alignment = 0, *offsets = NULL;
	sk_status st = take_header(&c, &tensors, &keys);

	if (st < 0)
		return st;
	w->metas_len = (size_t)keys;
	w->metas = calloc(w->metas_len + 1, sizeof(*w->metas));
	w->tensors_len = (size_t)tensors;
	w->tensors = calloc(w->tensors_len + 1, sizeof(*w->tensors));
	offsets = calloc(w->tensors_len + 1, sizeof(*offsets));
	if (!w->metas || !w->tensors || !offsets || sk_table_init(&w->meta_index, (uint32_t)keys) < 0 ||
	    sk_table_init(&w->tensor_index, (uint32_t)tensors) < 0) {
		st = sk_fail(err, SK_ENOMEM, "%s: out of memory for %zu keys and %zu tensors", w->path, w->metas_len,
			     w->tensors_len);
		goto out;
	}
	for (size_t i = 0; i < w->metas_len && st >= 0; i++)
		st = take_meta(w, &c, i);
	if (st >= 0)
		st = take_alignment(w, &c, &alignment);
	if (st >= 0)
		st = refuse_split(w, &c);
	for (size_t i = 0; i < w->tensors_len && st >= 0; i++)
		st = take_tensor(w, &c, i, &offsets[i]);
	if (st >= 0)
		st = place_tensors(w, &c, offsets, alignment);
out:
	free(offsets);
	return st;
}

const struct sk_weights_format sk_format_gguf = {
	.name = "gguf",
	.probe = gguf_probe,
	.read = gguf_read,
};
