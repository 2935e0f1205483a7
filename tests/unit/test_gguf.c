/* SPDX-License-Identifier: Apache-2.0 */
/* Reading GGUF files: what is in them comes back, and a lie in a header is called by its name. */
#include "engine/weights/weights.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/lib/scratch.h"
#include "tests/lib/tiny_gguf.h"

static char dir[64], path[128];

static void setup(void)
{
	scratch_make(dir, "gguf");
	snprintf(path, sizeof(path), "%s/model.gguf", dir);
}

static void teardown(void)
{
	scratch_remove(dir);
}

/* ---- good files ----------------------------------------------------------------------------------------------- */

static struct sk_weights *open_good(const char *p)
{
	struct sk_weights *w = NULL;
	struct sk_err err = { 0 };
	sk_status st = sk_weights_open(p, &w, &err);

	ck_assert_msg(st == SK_OK, "%s: %s", sk_status_name(st), err.text);
	return w;
}

static const struct { const char *name; struct tiny_gguf o; enum sk_dtype dtype; size_t bytes; } good_cases[] = {
	/* 96 x 64 weights */
	{ "F32",          { .linear = SK_F32 },  SK_F32,  96 * 64 * 4 },
	{ "F16",          { .linear = SK_F16 },  SK_F16,  96 * 64 * 2 },
	{ "BF16",         { .linear = SK_BF16 }, SK_BF16, 96 * 64 * 2 },
	{ "Q8_0",         { .linear = SK_Q8_0 }, SK_Q8_0, 96 * 2 * 34 },
	{ "Q4_0",         { .linear = SK_Q4_0 }, SK_Q4_0, 96 * 2 * 18 },
	{ "Q4_1",         { .linear = SK_Q4_1 }, SK_Q4_1, 96 * 2 * 20 },
	{ "version 2",    { .version = 2 },      SK_F32,  96 * 64 * 4 },
	{ "alignment 8",  { .alignment = 8 },    SK_F32,  96 * 64 * 4 },
	{ "alignment 4096", { .alignment = 4096 }, SK_F32, 96 * 64 * 4 },
};

START_TEST(every_type_version_and_alignment_is_read)
{
	struct tiny_gguf o = TINY_GGUF_INIT;
	struct sk_weights *w;
	const struct sk_tensor *t;

	o.linear = good_cases[_i].o.linear;
	if (good_cases[_i].o.version)
		o.version = good_cases[_i].o.version;
	if (good_cases[_i].o.alignment)
		o.alignment = good_cases[_i].o.alignment;
	tiny_gguf_write(&o, path);
	w = open_good(path);
	ck_assert_str_eq(sk_weights_format(w), "gguf");
	ck_assert_str_eq(sk_weights_path(w), path);
	ck_assert_uint_eq(sk_weights_len(w), 2 + 9 * 2);
	t = sk_weights_find(w, "blk.1.ffn_up.weight");
	ck_assert_ptr_nonnull(t);
	ck_assert_int_eq(t->dtype, good_cases[_i].dtype);
	ck_assert_int_eq(t->dims, 2);
	ck_assert_int_eq(t->dim[0], 96);        /* rows first */
	ck_assert_int_eq(t->dim[1], 64);
	ck_assert_uint_eq(t->bytes, good_cases[_i].bytes);
	ck_assert_uint_eq((uintptr_t)t->data % (o.alignment < 4096 ? o.alignment : 4096), 0);
	ck_assert_ptr_null(sk_weights_find(w, "blk.2.ffn_up.weight"));
	sk_weights_drop(w, t);
	ck_assert_uint_eq(((const unsigned char *)t->data)[0], ((const unsigned char *)t->data)[0]);    /* still readable */
	sk_weights_close(&w);
	ck_assert_ptr_null(w);
}
END_TEST

START_TEST(values_keep_their_types)
{
	struct tiny_gguf o = TINY_GGUF_INIT;
	struct sk_weights *w;
	const char *s;
	size_t len = 0;

	tiny_gguf_write(&o, path);
	w = open_good(path);
	ck_assert_int_eq(sk_meta_int(w, "llama.block_count", -1), 2);
	ck_assert_int_eq(sk_meta_int(w, "llama.nothing", -7), -7);
	ck_assert_int_eq(sk_meta_int(w, "tokenizer.ggml.add_bos_token", -1), 0);
	ck_assert_int_eq(sk_meta_int(w, "general.name", -7), -7);
	ck_assert_double_eq(sk_meta_float(w, "llama.rope.freq_base", 0), 10000.0);
	ck_assert_double_eq(sk_meta_float(w, "llama.block_count", 0), 2.0);
	s = sk_meta_str(w, "general.architecture", &len);
	ck_assert_uint_eq(len, 5);
	ck_assert_mem_eq(s, "llama", 5);
	ck_assert_ptr_null(sk_meta_str(w, "llama.block_count", &len));
	sk_weights_close(&w);
}
END_TEST

START_TEST(an_array_of_strings_is_walked_in_order)
{
	struct tiny_gguf o = TINY_GGUF_INIT;
	struct sk_meta_value item;
	const struct sk_meta_value *v;
	const void *cursor = NULL;
	size_t i = 0, count = 0;
	struct sk_weights *w;

	tiny_gguf_write(&o, path);
	w = open_good(path);
	v = sk_meta_find(w, "tokenizer.ggml.tokens");
	ck_assert_ptr_nonnull(v);
	ck_assert_int_eq(v->type, SK_META_ARRAY);
	ck_assert_int_eq(v->item, SK_META_STRING);
	ck_assert_uint_eq(v->len, (size_t)tiny_gguf_vocab(&o));
	while (sk_meta_next(v, &cursor, &i, &item)) {
		ck_assert_uint_eq(i, count);
		ck_assert_int_eq(item.type, SK_META_STRING);
		if (count == TINY_IM_START) {
			ck_assert_uint_eq(item.len, 12);
			ck_assert_mem_eq(item.s, "<|im_start|>", 12);
		}
		count++;
	}
	ck_assert_uint_eq(count, v->len);
	sk_weights_close(&w);
}
END_TEST

/* A file of keys alone: `keys` of them are in b. */
static void save_keys(const struct tiny_buf *b, uint64_t tensors, uint64_t keys)
{
	struct tiny_buf file = { 0 };

	tiny_add(&file, "GGUF", 4);
	tiny_u32(&file, 3);
	tiny_u64(&file, tensors);
	tiny_u64(&file, keys);
	tiny_add(&file, b->data, b->len);
	tiny_save(file.data, file.len, path);
	free(file.data);
}

static void key(struct tiny_buf *b, const char *name, uint32_t type)
{
	tiny_str(b, name);
	tiny_u32(b, type);
}

START_TEST(numbers_of_every_width_and_sign_are_read)
{
	struct tiny_buf b = { 0 };
	struct sk_weights *w;
	double f64 = -0.1;

	key(&b, "u8", TINY_KV_U8);
	tiny_add(&b, "\xff", 1);
	key(&b, "i8", TINY_KV_I8);
	tiny_add(&b, "\xff", 1);
	key(&b, "u16", TINY_KV_U16);
	tiny_add(&b, "\xfe\xff", 2);
	key(&b, "i16", TINY_KV_I16);
	tiny_add(&b, "\xfe\xff", 2);
	key(&b, "i32", TINY_KV_I32);
	tiny_u32(&b, 0x80000000);
	key(&b, "i64", TINY_KV_I64);
	tiny_u64(&b, UINT64_MAX);
	key(&b, "u64", TINY_KV_U64);
	tiny_u64(&b, INT64_MAX);
	key(&b, "u64 beyond int64", TINY_KV_U64);
	tiny_u64(&b, UINT64_MAX);
	key(&b, "f64", TINY_KV_F64);
	tiny_add(&b, &f64, 8);
	save_keys(&b, 0, 9);
	free(b.data);
	w = open_good(path);
	ck_assert_int_eq(sk_meta_int(w, "u8", 0), 255);
	ck_assert_int_eq(sk_meta_int(w, "i8", 0), -1);
	ck_assert_int_eq(sk_meta_int(w, "u16", 0), 65534);
	ck_assert_int_eq(sk_meta_int(w, "i16", 0), -2);
	ck_assert_int_eq(sk_meta_int(w, "i32", 0), INT32_MIN);
	ck_assert_int_eq(sk_meta_int(w, "i64", 0), -1);
	ck_assert_int_eq(sk_meta_int(w, "u64", 0), INT64_MAX);
	ck_assert_int_eq(sk_meta_int(w, "u64 beyond int64", -3), -3);
	ck_assert_double_eq(sk_meta_float(w, "f64", 0), -0.1);
	ck_assert_uint_eq(sk_weights_len(w), 0);
	sk_weights_close(&w);
}
END_TEST

START_TEST(arrays_in_arrays_are_walked)
{
	struct tiny_buf b = { 0 };
	struct sk_weights *w;
	struct sk_meta_value inner, item;
	const void *outer_at = NULL, *inner_at = NULL;
	size_t i, j;
	int64_t sum = 0;

	key(&b, "a", TINY_KV_ARRAY);
	tiny_u32(&b, TINY_KV_ARRAY);
	tiny_u64(&b, 2);
	for (uint32_t n = 1; n <= 2; n++) {     /* [[1], [1, 2]] */
		tiny_u32(&b, TINY_KV_U32);
		tiny_u64(&b, n);
		for (uint32_t k = 1; k <= n; k++)
			tiny_u32(&b, k);
	}
	save_keys(&b, 0, 1);
	free(b.data);
	w = open_good(path);
	while (sk_meta_next(sk_meta_find(w, "a"), &outer_at, &i, &inner)) {
		ck_assert_int_eq(inner.item, SK_META_INT);
		ck_assert_uint_eq(inner.len, i + 1);
		inner_at = NULL;
		while (sk_meta_next(&inner, &inner_at, &j, &item))
			sum += item.i;
	}
	ck_assert_int_eq(sum, 4);
	sk_weights_close(&w);
}
END_TEST

/* ---- lies ----------------------------------------------------------------------------------------------------- */

static void a_key(struct tiny_buf *b, const char *name, uint32_t type, uint64_t value)
{
	key(b, name, type);
	tiny_u64(b, value);
}

static void one_tensor(struct tiny_buf *b, const char *name, uint32_t dims, const uint64_t *dim, uint32_t type, uint64_t offset)
{
	tiny_str(b, name);
	tiny_u32(b, dims);
	for (uint32_t i = 0; i < dims; i++)
		tiny_u64(b, dim[i]);
	tiny_u32(b, type);
	tiny_u64(b, offset);
}

static void header(struct tiny_buf *b, uint32_t version, uint64_t tensors, uint64_t keys)
{
	tiny_add(b, "GGUF", 4);
	tiny_u32(b, version);
	tiny_u64(b, tensors);
	tiny_u64(b, keys);
}

/* A file of one F32 tensor [4] at an offset, with `data` bytes behind the header. */
static void small(struct tiny_buf *b, uint64_t offset, size_t data)
{
	static const char zeros[256];

	header(b, 3, 1, 0);
	one_tensor(b, "t", 1, (const uint64_t[]){ 4 }, 0, offset);
	tiny_add(b, zeros, (32 - b->len % 32) % 32);
	tiny_add(b, zeros, data);
}

static void tensor_of(struct tiny_buf *b, const char *name, uint32_t dims, const uint64_t *dim, uint32_t type)
{
	static const char zeros[256];

	header(b, 3, 1, 0);
	one_tensor(b, name, dims, dim, type, 0);
	tiny_add(b, zeros, sizeof(zeros));
}

static void only_key(struct tiny_buf *b, const char *name, uint32_t type)
{
	header(b, 3, 0, 1);
	key(b, name, type);
}

static void only_array(struct tiny_buf *b, uint32_t type, uint64_t len)
{
	only_key(b, "a", TINY_KV_ARRAY);
	tiny_u32(b, type);
	tiny_u64(b, len);
}

static void room(struct tiny_buf *b) { static const char zeros[64]; tiny_add(b, zeros, sizeof(zeros)); }

static void no_magic(struct tiny_buf *b) { tiny_add(b, "GGML0123456789", 14); }
static void short_magic(struct tiny_buf *b) { tiny_add(b, "GGUF", 4); }
static void version_1(struct tiny_buf *b) { header(b, 1, 0, 0); }
static void version_4(struct tiny_buf *b) { header(b, 4, 0, 0); }
static void big_endian(struct tiny_buf *b) { header(b, 0x03000000, 0, 0); }
static void header_cut(struct tiny_buf *b) { header(b, 3, 0, 0); b->len -= 3; }
static void many_tensors(struct tiny_buf *b) { header(b, 3, 65537, 0); }
static void most_tensors(struct tiny_buf *b) { header(b, 3, UINT64_MAX, 0); }
static void many_keys(struct tiny_buf *b) { header(b, 3, 0, 65537); }
static void more_tensors_than_bytes(struct tiny_buf *b) { header(b, 3, 60000, 0); room(b); }
static void more_keys_than_bytes(struct tiny_buf *b) { header(b, 3, 0, 60000); room(b); }
static void key_too_long(struct tiny_buf *b) { header(b, 3, 0, 1); tiny_u64(b, 65536); room(b); }
static void key_endless(struct tiny_buf *b) { header(b, 3, 0, 1); tiny_u64(b, UINT64_MAX); room(b); }
static void key_cut(struct tiny_buf *b) { header(b, 3, 0, 1); tiny_u64(b, 100); room(b); }
static void key_empty(struct tiny_buf *b) { only_key(b, "", TINY_KV_U32); room(b); }

static void key_twice(struct tiny_buf *b)
{
	header(b, 3, 0, 2);
	tiny_kv_u32(b, "same", 1);
	tiny_kv_u32(b, "same", 1);
}

static void value_type(struct tiny_buf *b) { only_key(b, "k", 13); room(b); }
static void value_cut(struct tiny_buf *b) { only_key(b, "k", TINY_KV_U64); tiny_u32(b, 0); }
static void string_endless(struct tiny_buf *b) { header(b, 3, 0, 1); a_key(b, "k", TINY_KV_STRING, UINT64_MAX); room(b); }
static void string_cut(struct tiny_buf *b) { header(b, 3, 0, 1); a_key(b, "k", TINY_KV_STRING, 65); room(b); }
static void bool_seven(struct tiny_buf *b) { only_key(b, "k", TINY_KV_BOOL); tiny_add(b, "\7", 1); }
static void array_type(struct tiny_buf *b) { only_array(b, 99, 1); room(b); }
static void array_endless(struct tiny_buf *b) { only_array(b, TINY_KV_U64, UINT64_MAX); room(b); }
static void array_too_long(struct tiny_buf *b) { only_array(b, TINY_KV_U8, (1 << 24) + 1); room(b); }
static void array_cut(struct tiny_buf *b) { only_array(b, TINY_KV_U64, 9); room(b); }
static void array_of_bad_strings(struct tiny_buf *b) { only_array(b, TINY_KV_STRING, 2); tiny_str(b, "x"); tiny_u64(b, 1 << 20); room(b); }

static void array_deep(struct tiny_buf *b)
{
	only_key(b, "a", TINY_KV_ARRAY);
	for (int i = 0; i < 100; i++) {
		tiny_u32(b, TINY_KV_ARRAY);
		tiny_u64(b, 1);
	}
}

static void alignment_0(struct tiny_buf *b) { header(b, 3, 0, 1); tiny_kv_u32(b, "general.alignment", 0); room(b); }
static void alignment_48(struct tiny_buf *b) { header(b, 3, 0, 1); tiny_kv_u32(b, "general.alignment", 48); room(b); }
static void alignment_huge(struct tiny_buf *b) { header(b, 3, 0, 1); tiny_kv_u32(b, "general.alignment", 1u << 31); room(b); }
static void alignment_text(struct tiny_buf *b) { header(b, 3, 0, 1); tiny_kv_str(b, "general.alignment", "32"); room(b); }
static void split(struct tiny_buf *b) { header(b, 3, 0, 1); tiny_kv_u32(b, "split.count", 4); room(b); }

static const uint64_t d4[] = { 4 }, d0[] = { 4, 0 }, wide[] = { 1ull << 32, 1ull << 31 }, top[] = { 1ull << 63 },
	max_f32[] = { 1ull << 31, 1ull << 31 }, d33[] = { 33 }, five[] = { 1, 1, 1, 1, 1 };

static void name_empty(struct tiny_buf *b) { tensor_of(b, "", 1, d4, 0); }
static void name_nul(struct tiny_buf *b) { tensor_of(b, "ab", 1, d4, 0); b->data[24 + 8] = 0; }
static void name_long(struct tiny_buf *b) { char n[300]; memset(n, 'n', 299); n[299] = 0; tensor_of(b, n, 1, d4, 0); }
static void dims_0(struct tiny_buf *b) { tensor_of(b, "t", 0, d4, 0); }
static void dims_5(struct tiny_buf *b) { tensor_of(b, "t", 5, five, 0); }
static void dim_zero(struct tiny_buf *b) { tensor_of(b, "t", 2, d0, 0); }
static void dim_product(struct tiny_buf *b) { tensor_of(b, "t", 2, wide, 0); }
static void dim_top(struct tiny_buf *b) { tensor_of(b, "t", 1, top, 0); }
static void bytes_overflow(struct tiny_buf *b) { tensor_of(b, "t", 2, max_f32, 0); }
static void type_unknown(struct tiny_buf *b) { tensor_of(b, "t", 1, d4, 4); }
static void type_wild(struct tiny_buf *b) { tensor_of(b, "t", 1, d4, UINT32_MAX); }
static void type_q4_k(struct tiny_buf *b) { tensor_of(b, "t", 1, d4, 12); }
static void columns_33(struct tiny_buf *b) { tensor_of(b, "t", 1, d33, 3); }
static void offset_odd(struct tiny_buf *b) { small(b, 4, 32); }
static void offset_wraps(struct tiny_buf *b) { small(b, UINT64_MAX - 31, 32); }
static void offset_out(struct tiny_buf *b) { small(b, 64, 32); }
static void data_cut(struct tiny_buf *b) { small(b, 0, 11); }
static void data_none(struct tiny_buf *b) { header(b, 3, 1, 0); one_tensor(b, "t", 1, d4, 0, 0); }

static void tensor_twice(struct tiny_buf *b)
{
	header(b, 3, 2, 0);
	one_tensor(b, "t", 1, d4, 0, 0);
	one_tensor(b, "t", 1, d4, 0, 0);
	room(b);
}

static const struct {
	void (*make)(struct tiny_buf *b);
	sk_status want;
	const char *words;              /* in the error's text */
} lies[] = {
	{ no_magic,                SK_EFORMAT, "not a GGUF file" },
	{ short_magic,             SK_EFORMAT, "4 bytes are too few" },
	{ version_1,               SK_ENOTSUP, "version 1 is not supported" },
	{ version_4,               SK_ENOTSUP, "version 4 is not supported" },
	{ big_endian,              SK_ENOTSUP, "big-endian" },
	{ header_cut,              SK_EFORMAT, "the number of keys needs 8 bytes, 5 are left: 3 bytes are missing" },
	{ many_tensors,            SK_ETOOBIG, "65537 tensors, the limit is 65536" },
	{ most_tensors,            SK_ETOOBIG, "18446744073709551615 tensors" },
	{ many_keys,               SK_ETOOBIG, "65537 keys, the limit is 65536" },
	{ more_tensors_than_bytes, SK_EFORMAT, "60000 tensors, which take" },
	{ more_keys_than_bytes,    SK_EFORMAT, "60000 keys, which take" },
	{ key_too_long,            SK_ETOOBIG, "metadata key at byte 24 claims 65536 bytes, the limit is 65535" },
	{ key_endless,             SK_ETOOBIG, "claims 18446744073709551615 bytes" },
	{ key_cut,                 SK_EFORMAT, "needs 100 bytes, 64 are left: 36 bytes are missing" },
	{ key_empty,               SK_EFORMAT, "key 0 has no name" },
	{ key_twice,               SK_EFORMAT, "key same is there twice" },
	{ value_type,              SK_EFORMAT, "key k: value type 13, the last known is 12" },
	{ value_cut,               SK_EFORMAT, "k needs 8 bytes, 4 are left" },
	{ string_endless,          SK_ETOOBIG, "k at byte 37 claims 18446744073709551615 bytes" },
	{ string_cut,              SK_EFORMAT, "1 bytes are missing" },
	{ bool_seven,              SK_EFORMAT, "key k: a bool of value 7" },
	{ array_type,              SK_EFORMAT, "array of value type 99" },
	{ array_endless,           SK_ETOOBIG, "18446744073709551615 elements, the limit is 16777216" },
	{ array_too_long,          SK_ETOOBIG, "16777217 elements" },
	{ array_cut,               SK_EFORMAT, "needs 72 bytes, 64 are left" },
	{ array_of_bad_strings,    SK_EFORMAT, "a needs 1048576 bytes" },
	{ array_deep,              SK_ETOOBIG, "nested deeper than 4" },
	{ alignment_0,             SK_EFORMAT, "general.alignment is 0" },
	{ alignment_48,            SK_EFORMAT, "general.alignment is 48" },
	{ alignment_huge,          SK_EFORMAT, "general.alignment is 2147483648" },
	{ alignment_text,          SK_EFORMAT, "general.alignment" },
	{ split,                   SK_ENOTSUP, "split over 4 files" },
	{ name_empty,              SK_EFORMAT, "the name of tensor 0 is empty" },
	{ name_nul,                SK_EFORMAT, "holds a NUL byte" },
	{ name_long,               SK_ETOOBIG, "claims 299 bytes, the limit is 255" },
	{ dims_0,                  SK_EFORMAT, "tensor t has 0 dimensions" },
	{ dims_5,                  SK_EFORMAT, "tensor t has 5 dimensions" },
	{ dim_zero,                SK_EFORMAT, "dimension 0 is 0" },
	{ dim_product,             SK_EFORMAT, "the product below 2^63" },
	{ dim_top,                 SK_EFORMAT, "dimension 0 is 9223372036854775808" },
	{ bytes_overflow,          SK_EFORMAT, "2^63 bytes or more" },
	{ type_unknown,            SK_ENOTSUP, "tensor t has the unknown type 4" },
	{ type_wild,               SK_ENOTSUP, "unknown type 4294967295" },
	{ type_q4_k,               SK_ENOTSUP, "tensor t has type Q4_K, which is not supported" },
	{ columns_33,              SK_EFORMAT, "33 columns, type Q4_1 wants a multiple of 32" },
	{ offset_odd,              SK_EFORMAT, "offset 4, no multiple of the alignment 32" },
	{ offset_wraps,            SK_EFORMAT, "ends beyond 2^64" },
	{ offset_out,              SK_EFORMAT, "48 bytes are missing" },
	{ data_cut,                SK_EFORMAT, "5 bytes are missing" },
	{ data_none,               SK_EFORMAT, "bytes are missing" },
	{ tensor_twice,            SK_EFORMAT, "tensor t is there twice" },
};
enum { LIES = sizeof(lies) / sizeof(lies[0]) };

START_TEST(a_lying_header_is_refused_by_name)
{
	struct tiny_buf b = { 0 };
	struct sk_weights *w = NULL;
	struct sk_err err = { 0 };
	sk_status st;

	lies[_i].make(&b);
	tiny_save(b.data, b.len, path);
	free(b.data);
	st = sk_weights_open(path, &w, &err);
	ck_assert_msg(st == lies[_i].want, "case %d (%s): got %s: %s", _i, lies[_i].words, sk_status_name(st), err.text);
	ck_assert_msg(strstr(err.text, lies[_i].words) != NULL, "case %d: \"%s\" is not in: %s", _i, lies[_i].words, err.text);
	ck_assert_msg(strstr(err.text, path) != NULL, "the file is not named: %s", err.text);
	ck_assert_int_eq(err.status, st);
	ck_assert_ptr_null(w);
	ck_assert_int_eq(sk_weights_open(path, &w, NULL), st);
}
END_TEST

START_TEST(a_file_cut_at_any_byte_is_refused)
{
	struct tiny_gguf o = TINY_GGUF_INIT;
	size_t len, data_begin;
	unsigned char *file;

	o.layers = 1;
	o.no_tokenizer = true;
	file = tiny_gguf_make(&o, &len);
	tiny_save(file, len, path);
	free(file);
	{
		struct sk_weights *w = open_good(path);

		data_begin = len;
		for (size_t i = 0; i < sk_weights_len(w); i++)
			data_begin -= sk_weights_at(w, i)->bytes;
		sk_weights_close(&w);
	}
	/* Every byte of the header and a little of the data, then one byte short of all. */
	for (size_t cut = len - 1; cut > 0; cut = cut > data_begin + 8 ? data_begin + 8 : cut - 1) {
		struct sk_weights *w = NULL;
		struct sk_err err = { 0 };

		ck_assert_int_eq(truncate(path, (off_t)cut), 0);
		ck_assert_int_eq(sk_weights_open(path, &w, &err), SK_EFORMAT);
		ck_assert_msg(cut < 8 || strstr(err.text, "missing") || strstr(err.text, "are left"), "%zu: %s", cut, err.text);
	}
}
END_TEST

/* ---- where the file is ---------------------------------------------------------------------------------------- */

START_TEST(a_directory_with_one_model_is_that_model)
{
	struct tiny_gguf o = TINY_GGUF_INIT;
	struct sk_weights *w;

	tiny_gguf_write(&o, path);
	w = open_good(dir);
	ck_assert_str_eq(sk_weights_path(w), path);
	sk_weights_close(&w);
}
END_TEST

START_TEST(a_directory_without_or_with_two_models_is_refused)
{
	struct tiny_gguf o = TINY_GGUF_INIT;
	struct sk_weights *w = NULL;
	struct sk_err err = { 0 };
	char other[128];

	ck_assert_int_eq(sk_weights_open(dir, &w, &err), SK_ENOENT);
	ck_assert_ptr_nonnull(strstr(err.text, "no .gguf file"));
	tiny_gguf_write(&o, path);
	snprintf(other, sizeof(other), "%s/other.GGUF", dir);
	tiny_gguf_write(&o, other);
	ck_assert_int_eq(sk_weights_open(dir, &w, &err), SK_EINVAL);
	ck_assert_ptr_nonnull(strstr(err.text, "2 .gguf files"));
	ck_assert_ptr_nonnull(strstr(err.text, "other.GGUF"));
}
END_TEST

START_TEST(what_is_no_file_is_refused)
{
	struct sk_weights *w = NULL;
	struct sk_err err = { 0 };

	ck_assert_int_eq(sk_weights_open("/nonexistent/model.gguf", &w, &err), SK_ENOENT);
	ck_assert_ptr_nonnull(strstr(err.text, "/nonexistent/model.gguf"));
	ck_assert_int_eq(sk_weights_open("/dev/null", &w, &err), SK_EFORMAT);
	tiny_save("", 0, path);
	ck_assert_int_eq(sk_weights_open(path, &w, &err), SK_EFORMAT);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("gguf");
	TCase *t = tcase_create("gguf");
	SRunner *r = srunner_create(s);
	int failed;

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_set_timeout(t, 60);
	tcase_add_loop_test(t, every_type_version_and_alignment_is_read, 0, sizeof(good_cases) / sizeof(good_cases[0]));
	tcase_add_test(t, values_keep_their_types);
	tcase_add_test(t, an_array_of_strings_is_walked_in_order);
	tcase_add_test(t, numbers_of_every_width_and_sign_are_read);
	tcase_add_test(t, arrays_in_arrays_are_walked);
	tcase_add_loop_test(t, a_lying_header_is_refused_by_name, 0, LIES);
	tcase_add_test(t, a_file_cut_at_any_byte_is_refused);
	tcase_add_test(t, a_directory_with_one_model_is_that_model);
	tcase_add_test(t, a_directory_without_or_with_two_models_is_refused);
	tcase_add_test(t, what_is_no_file_is_refused);
	suite_add_tcase(s, t);
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
