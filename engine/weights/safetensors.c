/* SPDX-License-Identifier: Apache-2.0 */
/*
 * safetensors (its README's "Format"):
 *
 *	u64 N, then N bytes of JSON: {"__metadata__": {...}, "name": {"dtype": "F16", "shape": [2, 3], "data_offsets": [0, 12]}, ...}
 *	then the data, which the offsets count from; every byte of it belongs to exactly one tensor
 *
 * Nothing is believed: the header may not be larger than the file, each tensor's offsets must span just what its shape and
 * type take, and all of them together the file, without a hole, without sharing a byte.
 */
#include "engine/weights/format.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/jpull.h"

enum {
	FORMAT_HEADER_MAX = 100000000,  /* the format's own */
	HEADER_MAX = 64 << 20,          /* ours: SK_TENSORS_MAX with long names fit */
	DIMS_MAX = 8,
};

/* bits of an element; dtype SK_DTYPES: nothing can be calculated with it. */
static const struct { const char *word; uint8_t bits; enum sk_dtype dtype; } types[] = {
	{ "F32", 32, SK_F32 }, { "F16", 16, SK_F16 }, { "BF16", 16, SK_BF16 },
	{ "BOOL", 8, SK_DTYPES }, { "U8", 8, SK_DTYPES }, { "I8", 8, SK_DTYPES }, { "U16", 16, SK_DTYPES },
	{ "I16", 16, SK_DTYPES }, { "U32", 32, SK_DTYPES }, { "I32", 32, SK_DTYPES }, { "U64", 64, SK_DTYPES },
	{ "I64", 64, SK_DTYPES }, { "F64", 64, SK_DTYPES }, { "C64", 64, SK_DTYPES }, { "F8_E5M2", 8, SK_DTYPES },
	{ "F8_E4M3", 8, SK_DTYPES }, { "F8_E8M0", 8, SK_DTYPES }, { "F8_E4M3FNUZ", 8, SK_DTYPES },
	{ "F8_E5M2FNUZ", 8, SK_DTYPES }, { "F6_E2M3", 6, SK_DTYPES }, { "F6_E3M2", 6, SK_DTYPES }, { "F4", 4, SK_DTYPES },
};
enum { TYPES = sizeof(types) / sizeof(types[0]) };

/* One tensor as the header says it. */
struct entry {
	struct sk_tensor t;
	uint8_t bits;
	int64_t dim[DIMS_MAX];
	size_t dims;
	uint64_t begin, end;
	bool has_type, has_shape, has_offsets;
};

/* Where a tensor lies, for the check that all is covered. */
struct span { uint64_t begin, end; const char *name; size_t name_len; };

struct reader {
	struct sk_weights *w;
	const struct sk_weights_file *f;
	struct sk_jpull r;
	const unsigned char *data;
	uint64_t data_bytes;
	struct span *spans;
	size_t spans_len, spans_cap;
	struct sk_err *err;
};

static bool is_word(const struct sk_str *s, const char *word)
{
	return s->len == strlen(word) && !memcmp(s->s, word, s->len);
}

/* ---- one tensor ----------------------------------------------------------------------------------------------- */

static void take_type(struct sk_jpull *r, const char *shown, struct entry *e)
{
	struct sk_str s;
	char word[SK_SHOWN];

	if (!sk_jpull_str(r, &s))
		return;
	for (int i = 0; i < TYPES; i++)
		if (is_word(&s, types[i].word)) {
			e->t.type = types[i].word;
			e->t.dtype = types[i].dtype;
			e->bits = types[i].bits;
			return;
		}
	sk_jpull_fail(r, SK_ENOTSUP, "tensor %s has the unknown type \"%s\"", shown, sk_weights_show(word, s.s, s.len));
}

/* A number that counts something. */
static bool take_count(struct sk_jpull *r, const char *shown, const char *what, uint64_t *ret_n)
{
	struct sk_jnum n;

	if (!sk_jpull_num(r, &n))
		return false;
	if (!n.is_int || n.i < 0) {
		sk_jpull_fail(r, SK_EFORMAT, "tensor %s: %s %g, it must be a whole number from 0 to 2^63 - 1", shown, what, n.f);
		return false;
	}
	*ret_n = (uint64_t)n.i;
	return true;
}

static void take_shape(struct sk_jpull *r, const char *shown, struct entry *e)
{
	uint64_t d;

	if (!sk_jpull_enter(r, SK_JPULL_ARRAY))
		return;
	while (sk_jpull_item(r)) {
		if (e->dims >= DIMS_MAX) {
			sk_jpull_fail(r, SK_ETOOBIG, "tensor %s has more than %d dimensions", shown, DIMS_MAX);
			return;
		}
		if (!take_count(r, shown, "dimension", &d))
			return;
		e->dim[e->dims++] = (int64_t)d;
	}
}

static void take_offsets(struct sk_jpull *r, const char *shown, struct entry *e)
{
	uint64_t at[2];
	int n = 0;

	if (!sk_jpull_enter(r, SK_JPULL_ARRAY))
		return;
	for (; sk_jpull_item(r); n++)
		if (n == 2 || !take_count(r, shown, "offset", &at[n])) {
			sk_jpull_fail(r, SK_EFORMAT, "tensor %s: data_offsets of more than two numbers", shown);
			return;
		}
	if (n < 2)
		sk_jpull_fail(r, SK_EFORMAT, "tensor %s: data_offsets of %d numbers, there must be two", shown, n);
	if (r->status < 0)
		return;
	e->begin = at[0];
	e->end = at[1];
}

static void take_entry(struct sk_jpull *r, const char *shown, struct entry *e)
{
	struct sk_str key;

	if (!sk_jpull_enter(r, SK_JPULL_OBJECT))
		return;
	while (sk_jpull_key(r, &key)) {
		bool twice = false;
		char word[SK_SHOWN];

		if (is_word(&key, "dtype")) {
			twice = e->has_type;
			e->has_type = true;
			take_type(r, shown, e);
		} else if (is_word(&key, "shape")) {
			twice = e->has_shape;
			e->has_shape = true;
			if (!twice)
				take_shape(r, shown, e);
		} else if (is_word(&key, "data_offsets")) {
			twice = e->has_offsets;
			e->has_offsets = true;
			take_offsets(r, shown, e);
		} else {
			sk_jpull_fail(r, SK_EFORMAT, "tensor %s: unknown key \"%s\"", shown, sk_weights_show(word, key.s, key.len));
		}
		if (twice)
			sk_jpull_fail(r, SK_EFORMAT, "tensor %s: key %s is there twice", shown,
				      sk_weights_show(word, key.s, key.len));
	}
	if (!e->has_type || !e->has_shape || !e->has_offsets)
		sk_jpull_fail(r, SK_EFORMAT, "tensor %s: %s is missing", shown,
			      !e->has_type ? "dtype" : !e->has_shape ? "shape" : "data_offsets");
}

/* What the shape takes is what the offsets span, and that lies in the file. */
static sk_status place(struct reader *x, const char *shown, struct entry *e)
{
	int64_t elements = 1;
	uint64_t bits;
	bool fits = sk_tensor_shape(&e->t, e->dim, e->dims);

	for (size_t i = 0; i < e->dims && fits; i++)
		fits = !__builtin_mul_overflow(elements, e->dim[i], &elements);
	if (!fits || __builtin_mul_overflow((uint64_t)elements, (uint64_t)e->bits, &bits) || bits % 8)
		return sk_jpull_fail(&x->r, SK_EFORMAT, "tensor %s: its shape's elements take 2^61 bytes or more, or no whole number",
				     shown);
	if (e->begin > e->end)
		return sk_jpull_fail(&x->r, SK_EFORMAT, "tensor %s: begins at offset %" PRIu64 " and ends at %" PRIu64, shown,
				     e->begin, e->end);
	if (e->end - e->begin != bits / 8)
		return sk_jpull_fail(&x->r, SK_EFORMAT, "tensor %s: offsets %" PRIu64 " to %" PRIu64 " span %" PRIu64
				     " bytes, its shape and type %s take %" PRIu64, shown, e->begin, e->end, e->end - e->begin,
				     e->t.type, bits / 8);
	if (e->end > x->data_bytes)
		return sk_jpull_fail(&x->r, SK_EFORMAT, "tensor %s: ends at byte %" PRIu64 " of the data, which has %" PRIu64
				     ": truncated, %" PRIu64 " bytes are missing", shown, e->end, x->data_bytes,
				     e->end - x->data_bytes);
	e->t.bytes = (size_t)(bits / 8);
	e->t.data = e->t.bytes ? x->data + e->begin : NULL;
	return SK_OK;
}

static void take_tensor(struct reader *x, const struct sk_str *name)
{
	struct entry e = { .t.dtype = SK_DTYPES };
	char shown[SK_SHOWN];
	sk_status st;

	sk_weights_show(shown, name->s, name->len);
	take_entry(&x->r, shown, &e);
	if (x->r.status < 0 || place(x, shown, &e) < 0)
		return;
	if (x->spans_len >= SK_TENSORS_MAX) {
		sk_jpull_fail(&x->r, SK_ETOOBIG, "more than %d tensors", SK_TENSORS_MAX);
		return;
	}
	if (sk_weights_grow((void **)&x->spans, sizeof(*x->spans), x->spans_len, &x->spans_cap) < 0) {
		sk_jpull_fail(&x->r, SK_ENOMEM, "out of memory");
		return;
	}
	x->spans[x->spans_len++] = (struct span){ e.begin, e.end, name->s, name->len };
	st = sk_weights_add(x->w, x->f, name->s, name->len, &e.t, x->err);
	if (st < 0)
		x->r.status = st;       /* its words are there */
}

/* ---- the file ------------------------------------------------------------------------------------------------- */

static int by_begin(const void *a, const void *b)
{
	const struct span *x = a, *y = b;

	if (x->begin != y->begin)
		return x->begin < y->begin ? -1 : 1;
	return x->end < y->end ? -1 : x->end > y->end;
}

/* Each byte of the data belongs to one tensor. */
static sk_status check_spans(struct reader *x)
{
	uint64_t at = 0;
	char shown[SK_SHOWN], before[SK_SHOWN];

	if (x->spans_len)
		qsort(x->spans, x->spans_len, sizeof(*x->spans), by_begin);
	for (size_t i = 0; i < x->spans_len; i++) {
		const struct span *s = &x->spans[i];

		sk_weights_show(shown, s->name, s->name_len);
		if (s->begin < at)
			return sk_fail(x->err, SK_EFORMAT, "%s: tensor %s begins at byte %" PRIu64 " of the data, where tensor %s has "
				       "not ended", x->f->path, shown, s->begin,
				       sk_weights_show(before, x->spans[i - 1].name, x->spans[i - 1].name_len));
		if (s->begin > at)
			return sk_fail(x->err, SK_EFORMAT, "%s: bytes %" PRIu64 " to %" PRIu64 " of the data, before tensor %s, belong "
				       "to no tensor", x->f->path, at, s->begin, shown);
		at = s->end;
	}
	if (at != x->data_bytes)
		return sk_fail(x->err, SK_EFORMAT, "%s: the file is %" PRIu64 " bytes longer than its header says", x->f->path,
			       x->data_bytes - at);
	return SK_OK;
}

static uint64_t header_bytes(const unsigned char *p)
{
	uint64_t v = 0;

	for (int i = 7; i >= 0; i--)
		v = v << 8 | p[i];
	return v;
}

static bool safetensors_probe(const unsigned char *data, size_t len)
{
	return len > 8 && header_bytes(data) <= FORMAT_HEADER_MAX && data[8] == '{';
}

static sk_status read_header(struct reader *x)
{
	struct sk_str name;
	bool metadata = false;
	sk_status st;

	sk_jpull_enter(&x->r, SK_JPULL_OBJECT);
	while (sk_jpull_key(&x->r, &name)) {
		if (!is_word(&name, "__metadata__")) {
			take_tensor(x, &name);
		} else if (metadata) {
			sk_jpull_fail(&x->r, SK_EFORMAT, "__metadata__ is there twice");
		} else {
			metadata = true;
			sk_jpull_skip(&x->r);
		}
	}
	st = sk_jpull_end(&x->r);
	return st < 0 ? st : check_spans(x);
}

static sk_status safetensors_read(struct sk_weights *w, const struct sk_weights_file *f, struct sk_err *err)
{
	uint64_t n = header_bytes(f->map.data), left = f->map.len - 8;
	struct reader x = { .w = w, .f = f, .err = err };
	struct sk_arena escaped = { 0 };
	sk_status st;

	if (n > FORMAT_HEADER_MAX)
		return sk_fail(err, SK_EFORMAT, "%s: not a safetensors file: it claims a header of %" PRIu64 " bytes, the format's "
			       "limit is %d", f->path, n, FORMAT_HEADER_MAX);
	if (n > HEADER_MAX)
		return sk_fail(err, SK_ETOOBIG, "%s: a header of %" PRIu64 " bytes, the limit is %d", f->path, n, HEADER_MAX);
	if (n > left)
		return sk_fail(err, SK_EFORMAT, "%s: truncated: the header claims %" PRIu64 " bytes, %" PRIu64 " are left: %" PRIu64
			       " bytes are missing", f->path, n, left, n - left);
	x.data = f->map.data + 8 + n;
	x.data_bytes = left - n;
	sk_arena_init(&escaped, 0);
	sk_jpull_init(&x.r, (const char *)f->map.data + 8, (size_t)n, f->path, &escaped, err);
	st = read_header(&x);
	free(x.spans);
	sk_arena_fini(&escaped);
	return st;
}

const struct sk_weights_format sk_format_safetensors = {
	.name = "safetensors",
	.probe = safetensors_probe,
	.read = safetensors_read,
};
