/* SPDX-License-Identifier: Apache-2.0 */
/* Reading safetensors: what is in a file comes back, and a lie in a header is called by its name. */
#include "engine/weights/weights.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/lib/scratch.h"
#include "tests/lib/tiny_hf.h"

static char dir[64], path[128];

static void setup(void)
{
	char config[128];

	scratch_make(dir, "st");
	snprintf(path, sizeof(path), "%s/model.safetensors", dir);
	snprintf(config, sizeof(config), "%s/config.json", dir);
	tiny_save("{}", 2, config);
}

static void teardown(void)
{
	scratch_remove(dir);
}

static void save(struct tiny_buf *b)
{
	tiny_save(b->data, b->len, path);
	free(b->data);
}

static struct sk_weights *open_good(void)
{
	struct sk_weights *w = NULL;
	struct sk_err err = { 0 };
	sk_status st = sk_weights_open(dir, &w, &err);

	ck_assert_msg(st == SK_OK, "%s: %s", sk_status_name(st), err.text);
	return w;
}

/* ---- good files ----------------------------------------------------------------------------------------------- */

static const float f32[6] = { 0, 1, 2, 3, 4, 5 };
static const uint16_t half[6] = { 0x3c00, 0x3c01, 0x3c02, 0x3c03, 0x3c04, 0x3c05 };
static const int64_t i64[2] = { -1, 7 };

static const struct tiny_tensor good[] = {
	{ "a.weight",     "F32",  2, { 2, 3 }, f32, 24 },
	{ "a.bias",       "F16",  1, { 6 }, half, 12 },
	{ "b",            "BF16", 3, { 1, 2, 3 }, half, 12 },
	{ "four",         "F32",  4, { 1, 1, 3, 1 }, f32, 12 },
	{ "scalar",       "F32",  0, { 0 }, f32 + 1, 4 },
	{ "position_ids", "I64",  2, { 1, 2 }, i64, 16 },
	{ "mask",         "BOOL", 2, { 1, 3 }, "\0\1\0", 3 },
	{ "five",         "F32",  5, { 1, 1, 1, 2, 3 }, f32, 24 },
	{ "empty",        "F16",  2, { 0, 4 }, half, 0 },
};
enum { GOOD = sizeof(good) / sizeof(good[0]) };

static const struct { enum sk_dtype dtype; int dims; int64_t dim[4]; } want[GOOD] = {
	{ SK_F32, 2, { 2, 3 } }, { SK_F16, 1, { 6 } }, { SK_BF16, 3, { 1, 2, 3 } }, { SK_F32, 4, { 1, 1, 3, 1 } },
	{ SK_F32, 1, { 1 } }, { SK_DTYPES, 2, { 1, 2 } }, { SK_DTYPES, 2, { 1, 3 } }, { SK_DTYPES, 1, { 6 } },
	{ SK_DTYPES, 2, { 0, 4 } },
};

START_TEST(every_type_and_shape_is_read)
{
	struct tiny_buf b = { 0 };
	struct sk_weights *w;

	tiny_safetensors(&b, good, GOOD);
	save(&b);
	w = open_good();
	ck_assert_int_eq(sk_weights_form(w), SK_FORM_HF);
	ck_assert_str_eq(sk_weights_format(w), "safetensors");
	ck_assert_str_eq(sk_weights_path(w), dir);
	ck_assert_str_eq(sk_weights_dir(w), dir);
	ck_assert_uint_eq(sk_weights_len(w), GOOD);
	for (int i = 0; i < GOOD; i++) {
		const struct sk_tensor *t = sk_weights_find(w, good[i].name);

		ck_assert_msg(t != NULL, "%s", good[i].name);
		ck_assert_str_eq(t->name, good[i].name);
		ck_assert_str_eq(t->type, good[i].type);
		ck_assert_msg(t->dtype == want[i].dtype && t->dims == want[i].dims, "%s: %d, %d", t->name, t->dtype, t->dims);
		for (int d = 0; d < t->dims; d++)
			ck_assert_int_eq(t->dim[d], want[i].dim[d]);
		ck_assert_uint_eq(t->bytes, good[i].bytes);
		ck_assert_msg(!t->bytes || !memcmp(t->data, good[i].data, t->bytes), "%s", t->name);
		sk_weights_drop(w, t);
		ck_assert_msg(!t->bytes || !memcmp(t->data, good[i].data, t->bytes), "%s after drop", t->name);
	}
	ck_assert_ptr_null(sk_weights_find(w, "__metadata__"));
	sk_weights_close(&w);
	ck_assert_ptr_null(w);
}
END_TEST

START_TEST(names_may_have_escapes)
{
	struct tiny_buf b = { 0 };
	struct sk_weights *w;

	tiny_safetensors_raw(&b, "{\"a\\u00e9\\ud83d\\ude00\\n\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[0,2]}}", 2);
	save(&b);
	w = open_good();
	ck_assert_ptr_nonnull(sk_weights_find(w, "a\xc3\xa9\xf0\x9f\x98\x80\n"));
	sk_weights_close(&w);
}
END_TEST

/* ---- lies ----------------------------------------------------------------------------------------------------- */

#define T(name, type, shape, offsets) "\"" name "\":{\"dtype\":\"" type "\",\"shape\":[" shape "],\"data_offsets\":[" offsets "]}"

static const struct { const char *header; size_t data; sk_status want; const char *words; } lies[] = {
	{ "[]", 0, SK_EFORMAT, "an object is due, here is a list" },
	{ "{} x", 0, SK_EFORMAT, "something follows the end" },
	{ "{", 0, SK_EFORMAT, "the text ends inside" },
	{ "{}", 0, SK_EFORMAT, "hold no tensors" },
	{ "{" T("t", "F32", "2", "0,8") ",}", 8, SK_EFORMAT, "a comma before the end" },
	{ "{" T("t", "F32", "2", "0,8") " " T("u", "F32", "2", "0,8") "}", 8, SK_EFORMAT, "a comma or } is due" },
	{ "{\"t\":{\"dtype\":\"F32\",\"shape\":[1]}}", 4, SK_EFORMAT, "tensor t: data_offsets is missing" },
	{ "{\"t\":{\"shape\":[1],\"data_offsets\":[0,4]}}", 4, SK_EFORMAT, "tensor t: dtype is missing" },
	{ "{\"t\":{\"dtype\":\"F32\",\"data_offsets\":[0,4]}}", 4, SK_EFORMAT, "tensor t: shape is missing" },
	{ "{\"t\":{\"dtype\":\"F32\",\"dtype\":\"F16\",\"shape\":[1],\"data_offsets\":[0,4]}}", 4, SK_EFORMAT, "key dtype is there twice" },
	{ "{\"t\":{\"dtype\":\"F32\",\"shape\":[1],\"shape\":[1],\"data_offsets\":[0,4]}}", 4, SK_EFORMAT, "key shape is there twice" },
	{ "{\"t\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4],\"more\":1}}", 4, SK_EFORMAT, "unknown key \"more\"" },
	{ "{\"t\":[]}", 0, SK_EFORMAT, "an object is due" },
	{ "{\"t\":{\"dtype\":5,\"shape\":[1],\"data_offsets\":[0,4]}}", 4, SK_EFORMAT, "a string is due, here is a number" },
	{ "{" T("t", "F99", "1", "0,4") "}", 4, SK_ENOTSUP, "tensor t has the unknown type \"F99\"" },
	{ "{" T("t", "F32", "-1", "0,4") "}", 4, SK_EFORMAT, "dimension -1" },
	{ "{" T("t", "F32", "1.5", "0,4") "}", 4, SK_EFORMAT, "dimension 1.5" },
	{ "{" T("t", "F32", "NaN", "0,4") "}", 4, SK_EFORMAT, "dimension nan" },
	{ "{" T("t", "F32", "\"1\"", "0,4") "}", 4, SK_EFORMAT, "a number is due" },
	{ "{" T("t", "F32", "9223372036854775808", "0,4") "}", 4, SK_EFORMAT, "dimension 9.22337e+18" },
	{ "{" T("t", "F32", "1,1,1,1,1,1,1,1,1", "0,4") "}", 4, SK_ETOOBIG, "tensor t has more than 8 dimensions" },
	{ "{" T("t", "F32", "4294967296,4294967296", "0,4") "}", 4, SK_EFORMAT, "2^61 bytes or more" },
	{ "{" T("t", "F32", "0,4294967296,4294967296", "0,0") "}", 0, SK_EFORMAT, "2^61 bytes or more" },
	{ "{" T("t", "F64", "1152921504606846976", "0,4") "}", 4, SK_EFORMAT, "2^61 bytes or more" },
	{ "{" T("t", "F4", "3", "0,2") "}", 2, SK_EFORMAT, "no whole number" },
	{ "{" T("t", "F32", "2", "0,4") "}", 4, SK_EFORMAT, "offsets 0 to 4 span 4 bytes, its shape and type F32 take 8" },
	{ "{" T("t", "F32", "1", "8,4") "}", 8, SK_EFORMAT, "begins at offset 8 and ends at 4" },
	{ "{" T("t", "F32", "1", "0") "}", 4, SK_EFORMAT, "data_offsets of 1 numbers" },
	{ "{" T("t", "F32", "1", "0,4,8") "}", 4, SK_EFORMAT, "more than two numbers" },
	{ "{" T("t", "F32", "1", "-4,0") "}", 4, SK_EFORMAT, "offset -4" },
	{ "{" T("t", "F32", "1", "9223372036854775804,9223372036854775808") "}", 4, SK_EFORMAT, "offset 9.22337e+18" },
	{ "{" T("t", "F32", "3", "0,12") "}", 8, SK_EFORMAT, "ends at byte 12 of the data, which has 8: truncated, 4 bytes are missing" },
	{ "{" T("t", "F32", "1", "4,8") "}", 8, SK_EFORMAT, "bytes 0 to 4 of the data, before tensor t, belong to no tensor" },
	{ "{" T("t", "F32", "1", "0,4") "," T("u", "F32", "1", "8,12") "}", 12, SK_EFORMAT, "bytes 4 to 8 of the data, before tensor u" },
	{ "{" T("t", "F32", "2", "0,8") "," T("u", "F32", "1", "4,8") "}", 8, SK_EFORMAT, "tensor u begins at byte 4 of the data, where tensor t has not ended" },
	{ "{" T("t", "F32", "1", "0,4") "," T("u", "F32", "1", "0,4") "}", 4, SK_EFORMAT, "has not ended" },
	{ "{" T("t", "F32", "1", "0,4") "}", 9, SK_EFORMAT, "5 bytes longer than its header says" },
	{ "{" T("t", "F32", "1", "0,4") "," T("t", "F32", "1", "4,8") "}", 8, SK_EFORMAT, "tensor t is there twice" },
	{ "{\"__metadata__\":{},\"__metadata__\":{}}", 0, SK_EFORMAT, "__metadata__ is there twice" },
	{ "{" T("", "F32", "1", "0,4") "}", 4, SK_EFORMAT, "empty or holds a NUL" },
	{ "{" T("a\\u0000b", "F32", "1", "0,4") "}", 4, SK_EFORMAT, "empty or holds a NUL" },
	{ "{" T("a\x01", "F32", "1", "0,4") "}", 4, SK_EFORMAT, "a control character" },
	{ "{" T("a\xff", "F32", "1", "0,4") "}", 4, SK_EFORMAT, "not UTF-8" },
	{ "{" T("\\ud800", "F32", "1", "0,4") "}", 4, SK_EFORMAT, "a lone surrogate" },
	{ "{" T("\\x", "F32", "1", "0,4") "}", 4, SK_EFORMAT, "an unknown escape" },
};
enum { LIES = sizeof(lies) / sizeof(lies[0]) };

static void refused(sk_status status, const char *words)
{
	struct sk_weights *w = NULL;
	struct sk_err err = { 0 };
	sk_status st = sk_weights_open(dir, &w, &err);

	ck_assert_msg(st == status, "case %s: got %s: %s", words, sk_status_name(st), err.text);
	ck_assert_msg(strstr(err.text, words) != NULL, "\"%s\" is not in: %s", words, err.text);
	ck_assert_msg(strstr(err.text, dir) != NULL, "the file is not named: %s", err.text);
	ck_assert_int_eq(err.status, st);
	ck_assert_ptr_null(w);
	ck_assert_int_eq(sk_weights_open(dir, &w, NULL), st);
}

START_TEST(a_lying_header_is_refused_by_name)
{
	struct tiny_buf b = { 0 };

	tiny_safetensors_raw(&b, lies[_i].header, lies[_i].data);
	save(&b);
	refused(lies[_i].want, lies[_i].words);
}
END_TEST

static void first_bytes(uint64_t n, const char *more, size_t len)
{
	struct tiny_buf b = { 0 };

	tiny_u64(&b, n);
	tiny_add(&b, more, len);
	save(&b);
}

START_TEST(a_header_of_a_wrong_size_is_refused)
{
	first_bytes(UINT64_MAX, "{}", 2);
	refused(SK_EFORMAT, "not a safetensors file: it claims a header of 18446744073709551615 bytes, the format's limit is 100000000");
	first_bytes(100000001, "{}", 2);
	refused(SK_EFORMAT, "the format's limit is 100000000");
	first_bytes(100000000, "{}", 2);
	refused(SK_ETOOBIG, "a header of 100000000 bytes, the limit is 67108864");
	first_bytes(3, "{}", 2);
	refused(SK_EFORMAT, "the header claims 3 bytes, 2 are left: 1 bytes are missing");
	first_bytes(0, "", 0);
	refused(SK_EFORMAT, "the text ends where a value is due");
	tiny_save("\2\0\0\0{}", 6, path);
	refused(SK_EFORMAT, "6 bytes are too few");
}
END_TEST

START_TEST(a_deep_header_is_refused)
{
	struct tiny_buf b = { 0 };
	char header[4096] = "{\"__metadata__\":";

	memset(header + strlen(header), '[', 3000);
	tiny_safetensors_raw(&b, header, 0);
	save(&b);
	refused(SK_ETOOBIG, "nested deeper than 32");
}
END_TEST

START_TEST(too_many_tensors_and_too_long_names_are_refused)
{
	struct tiny_buf b = { 0 };
	char name[400], *header = malloc(8 << 20);
	size_t len = 1;

	memset(name, 'n', 256);
	name[256] = 0;
	snprintf(header, 1024, "{\"%s\":{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[0,0]}}", name);
	tiny_safetensors_raw(&b, header, 0);
	save(&b);
	refused(SK_ETOOBIG, "a name of 256 bytes, the limit is 255");
	b = (struct tiny_buf){ 0 };
	header[0] = '{';
	for (int i = 0; i <= 65536; i++)
		len += (size_t)snprintf(header + len, 100, "%s\"%d\":{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[0,0]}", i ? "," : "", i);
	snprintf(header + len, 8, "}");
	tiny_safetensors_raw(&b, header, 0);
	save(&b);
	refused(SK_ETOOBIG, "more than 65536 tensors");
	free(header);
}
END_TEST

START_TEST(a_file_cut_at_any_byte_is_refused)
{
	struct tiny_buf b = { 0 };
	size_t len;

	tiny_safetensors(&b, good, GOOD);
	len = b.len;
	save(&b);
	for (size_t cut = len - 1; cut > 0; cut--) {
		struct sk_weights *w = NULL;
		struct sk_err err = { 0 };

		ck_assert_int_eq(truncate(path, (off_t)cut), 0);
		ck_assert_int_eq(sk_weights_open(dir, &w, &err), SK_EFORMAT);
		ck_assert_msg(cut < 8 || strstr(err.text, "missing"), "%zu: %s", cut, err.text);
	}
}
END_TEST

int main(void)
{
	Suite *s = suite_create("safetensors");
	TCase *t = tcase_create("safetensors");
	SRunner *r = srunner_create(s);
	int failed;

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_set_timeout(t, 60);
	tcase_add_test(t, every_type_and_shape_is_read);
	tcase_add_test(t, names_may_have_escapes);
	tcase_add_loop_test(t, a_lying_header_is_refused_by_name, 0, LIES);
	tcase_add_test(t, a_header_of_a_wrong_size_is_refused);
	tcase_add_test(t, a_deep_header_is_refused);
	tcase_add_test(t, too_many_tensors_and_too_long_names_are_refused);
	tcase_add_test(t, a_file_cut_at_any_byte_is_refused);
	suite_add_tcase(s, t);
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
