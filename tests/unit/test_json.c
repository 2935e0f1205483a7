/* SPDX-License-Identifier: Apache-2.0 */
/* The gate before json-c: what passes, what is refused and with which words; numbers that read back. */
#include <check.h>
#include <float.h>
#include <json-c/json.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "fcgi/json.h"

static const struct { const char *name, *text, *why; } check_cases[] = {
	{ "an object passes", "{\"a\":1}", NULL },
	{ "white space around and inside passes", " \t\r\n{ \"a\" : [ 1 , 2 ] } \n", NULL },
	{ "every escape passes", "\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u00e9\\ud83d\\ude00\"", NULL },
	{ "the largest seed passes", "18446744073709551615", NULL },
	{ "the smallest integer passes", "-9223372036854775808", NULL },
	{ "numbers with point and exponent pass", "[0,-0,1.5,-2.25e-3,1E+5,1e5]", NULL },
	{ "null passes", "null", NULL },
	{ "empty containers pass", "[{},[],\"\"]", NULL },
	{ "nothing is no value", "", "EOF while parsing a value at line 1 column 1" },
	{ "white space is no value", " \n ", "EOF while parsing a value at line 2 column 2" },
	{ "bytes after the text", "{} x", "trailing characters at line 1 column 4" },
	{ "two texts", "{}{}", "trailing characters at line 1 column 3" },
	{ "NaN", "[NaN]", "expected value at line 1 column 2" },
	{ "Infinity", "Infinity", "expected value at line 1 column 1" },
	{ "minus Infinity", "-Infinity", "invalid number at line 1 column 2" },
	{ "a lower-case word cut short", "[tru]", "expected ident at line 1 column 5" },
	{ "an upper-case word", "True", "expected value at line 1 column 1" },
	{ "single quotes", "{'a':1}", "key must be a string at line 1 column 2" },
	{ "a key that is no string", "{1:2}", "key must be a string at line 1 column 2" },
	{ "a comma at the end of a list", "[1,]", "trailing comma at line 1 column 4" },
	{ "a comma at the end of an object", "{\"a\":1,}", "trailing comma at line 1 column 8" },
	{ "no comma in a list", "[1 2]", "expected `,` or `]` at line 1 column 4" },
	{ "no comma in an object", "{\"a\":1 \"b\":2}", "expected `,` or `}` at line 1 column 8" },
	{ "no colon", "{\"a\" 1}", "expected `:` at line 1 column 6" },
	{ "a comment", "/* */ 1", "expected value at line 1 column 1" },
	{ "an object cut short", "{\"a\":1", "EOF while parsing an object at line 1 column 7" },
	{ "a list cut short", "[1", "EOF while parsing a list at line 1 column 3" },
	{ "a string cut short", "\"abc", "EOF while parsing a string at line 1 column 5" },
	{ "an escape cut short", "\"\\", "EOF while parsing a string at line 1 column 3" },
	{ "a hexadecimal escape cut short", "\"\\u12", "EOF while parsing a string at line 1 column 6" },
	{ "an unknown escape", "\"\\x41\"", "invalid escape at line 1 column 4" },
	{ "a wrong hexadecimal digit", "\"\\u12g4\"", "invalid escape at line 1 column 6" },
	{ "a lone leading surrogate", "\"\\ud83d\"", "lone leading surrogate in hex escape at line 1 column 8" },
	{ "two leading surrogates", "\"\\ud83d\\ud83d\"",
	  "lone leading surrogate in hex escape at line 1 column 14" },
	{ "a lone trailing surrogate", "\"\\ude00\"", "lone trailing surrogate in hex escape at line 1 column 8" },
	{ "a NUL in a key", "{\"a\\u0000\":1}", "a key must not hold a NUL character at line 1 column 10" },
	{ "a line feed in a string", "\"a\nb\"",
	  "control character (\\u0000-\\u001F) found while parsing a string at line 1 column 3" },
	{ "bytes that are no UTF-8", "\"\xff\"", "invalid unicode code point at line 1 column 2" },
	{ "an overlong form", "\"\xc0\x80\"", "invalid unicode code point at line 1 column 2" },
	{ "half a character", "\"\xc3\"", "invalid unicode code point at line 1 column 2" },
	{ "a leading zero", "01", "invalid number at line 1 column 3" },
	{ "a plus sign", "+1", "expected value at line 1 column 1" },
	{ "a bare minus", "-", "EOF while parsing a value at line 1 column 2" },
	{ "no digit behind the point", "[1.]", "invalid number at line 1 column 4" },
	{ "no digit before the point", ".5", "expected value at line 1 column 1" },
	{ "no digit in the exponent", "1e+", "EOF while parsing a value at line 1 column 4" },
	{ "hexadecimal", "0x10", "trailing characters at line 1 column 2" },
	{ "an integer over uint64 passes", "18446744073709551616", NULL },
	{ "an integer under int64 passes", "{\"a\":[-9223372036854775809 ,1]}", NULL },
};

START_TEST(check_says_what_is_wrong_and_where)
{
	const char *text = check_cases[_i].text;
	struct sk_err err = { 0 };
	sk_status st = sk_json_check(text, strlen(text), NULL, &err);

	if (!check_cases[_i].why) {
		ck_assert_msg(st == SK_OK, "%s: %s", check_cases[_i].name, err.text);
		return;
	}
	ck_assert_msg(st == SK_EFORMAT, "%s: passed", check_cases[_i].name);
	ck_assert_msg(!strcmp(err.text, check_cases[_i].why), "%s: %s", check_cases[_i].name, err.text);
}
END_TEST

START_TEST(what_passes_the_gate_is_parsed)
{
	const char *text = check_cases[_i].text;
	struct json_object *v = NULL;
	struct sk_err err = { 0 };

	if (check_cases[_i].why) {
		ck_assert_int_lt(sk_json_parse(text, strlen(text), &v, &err), 0);
		return;
	}
	ck_assert_msg(sk_json_parse(text, strlen(text), &v, &err) == SK_OK, "%s: %s", check_cases[_i].name, err.text);
	json_object_put(v);
}
END_TEST

START_TEST(wide_integers_are_floats)
{
	static const char text[] = "{\"a\":[18446744073709551616,7,-9223372036854775809],\"b\":100000000000000000000}";
	struct json_object *v = NULL, *a = NULL, *b = NULL;
	struct sk_err err = { 0 };

	ck_assert_int_eq(sk_json_parse(text, sizeof text - 1, &v, &err), SK_OK);
	ck_assert(json_object_object_get_ex(v, "a", &a) && json_object_object_get_ex(v, "b", &b));
	ck_assert(json_object_is_type(json_object_array_get_idx(a, 0), json_type_double));
	ck_assert(json_object_get_double(json_object_array_get_idx(a, 0)) == 0x1p64);
	ck_assert_int_eq(json_object_get_int(json_object_array_get_idx(a, 1)), 7);
	ck_assert(json_object_get_double(json_object_array_get_idx(a, 2)) == -0x1p63);
	ck_assert(json_object_get_double(b) == 1e20);
	json_object_put(v);
}
END_TEST

START_TEST(equal_keys_are_noted_however_they_are_written)
{
	static const struct { const char *text, *group, *key; bool want; } cases[] = {
		{ "{\"a\":1,\"a\":2}", NULL, "a", true },
		{ "{\"a\":1,\"\\u0061\":1}", NULL, "a", true },
		{ " {\"x\":[{\"b\":{},\"b\":{}}] , \"c\" : 1 }", NULL, "x", false },
		{ "{\"p\":{\"b\":{\"c\":1,\"c\":2},\"d\":[],\"d\":3}}", "p", "d", true },
		{ "{\"p\":{\"b\":{\"c\":1,\"c\":2},\"d\":3}}", "p", "b", false },
		{ "{\"p\":{\"b\":1},\"p\":{\"b\":2}}", NULL, "p", true },
		{ "{\"p\":{\"b\":1},\"q\":{\"b\":2}}", "q", "b", false },
	};
	struct json_object *v = NULL;
	struct sk_err err = { 0 };

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct json_object *at;

		ck_assert_int_eq(sk_json_parse(cases[i].text, strlen(cases[i].text), &v, &err), SK_OK);
		at = v;
		if (cases[i].group)
			ck_assert(json_object_object_get_ex(v, cases[i].group, &at));
		ck_assert_msg(sk_json_is_duplicate(at, cases[i].key) == cases[i].want, "%s", cases[i].text);
		json_object_put(v);
	}
	ck_assert_int_eq(sk_json_parse("[{\"a\":1},{\"a\":1}]", 17, &v, &err), SK_OK);
	json_object_put(v);
}
END_TEST

START_TEST(a_number_too_large_for_a_double_is_refused)
{
	struct json_object *v = NULL;
	struct sk_err err = { 0 };

	ck_assert_int_eq(sk_json_parse("[1e999]", 7, &v, &err), SK_EFORMAT);
	ck_assert_str_eq(err.text, "number out of range");
}
END_TEST

START_TEST(a_seed_of_64_bits_keeps_every_bit)
{
	static const char text[] = "{\"seed\":18446744073709551615,\"t\":0.1}";
	struct json_object *v = NULL, *seed = NULL;
	struct sk_err err = { 0 };

	ck_assert_int_eq(sk_json_parse(text, sizeof text - 1, &v, &err), SK_OK);
	ck_assert(json_object_object_get_ex(v, "seed", &seed));
	ck_assert_uint_eq(json_object_get_uint64(seed), UINT64_MAX);
	json_object_put(v);
}
END_TEST

START_TEST(strings_keep_characters_and_nul)
{
	static const char text[] = "\"a\\u0000\\ud83d\\ude00\xc3\xa9\"";
	static const char want[] = "a\0\xf0\x9f\x98\x80\xc3\xa9";
	struct json_object *v = NULL;
	struct sk_err err = { 0 };

	ck_assert_int_eq(sk_json_parse(text, sizeof text - 1, &v, &err), SK_OK);
	ck_assert_int_eq(json_object_get_string_len(v), sizeof want - 1);
	ck_assert_mem_eq(json_object_get_string(v), want, sizeof want - 1);
	json_object_put(v);
}
END_TEST

/* n times `piece`, then `end`. */
static char *repeat(const char *piece, size_t n, const char *end)
{
	size_t len = strlen(piece);
	char *s = malloc(n * len + strlen(end) + 1);

	ck_assert_ptr_nonnull(s);
	for (size_t i = 0; i < n; i++)
		memcpy(s + i * len, piece, len);
	memcpy(s + n * len, end, strlen(end) + 1);
	return s;
}

START_TEST(depth_count_and_size_have_caps)
{
	static const struct { const char *head, *piece; size_t n; const char *end, *why; } cases[] = {
		{ "", "[", SK_JSON_DEPTH_MAX + 1, "", "recursion limit exceeded" },
		{ "", "{\"a\":", 100000, "", "recursion limit exceeded" },
		{ "[", "[],", SK_JSON_CONTAINERS_MAX + 1, "1]", "too many arrays and objects" },
		{ "[", "1,", SK_JSON_VALUES_MAX + 1, "1]", "too many values" },
	};
	struct sk_err err = { 0 };

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		char *body = repeat(cases[i].piece, cases[i].n, cases[i].end);
		size_t head = strlen(cases[i].head), len = head + strlen(body);
		char *text = malloc(len + 1);

		ck_assert_ptr_nonnull(text);
		memcpy(text, cases[i].head, head);
		memcpy(text + head, body, len - head + 1);
		ck_assert_int_eq(sk_json_check(text, len, NULL, &err), SK_ETOOBIG);
		ck_assert_msg(!strncmp(err.text, cases[i].why, strlen(cases[i].why)), "%s", err.text);
		free(text);
		free(body);
	}
}
END_TEST

START_TEST(the_deepest_allowed_text_is_parsed)
{
	char text[2 * SK_JSON_DEPTH_MAX + 1];
	struct json_object *v = NULL;
	struct sk_err err = { 0 };

	memset(text, '[', SK_JSON_DEPTH_MAX);
	memset(text + SK_JSON_DEPTH_MAX, ']', SK_JSON_DEPTH_MAX);
	ck_assert_msg(sk_json_parse(text, 2 * SK_JSON_DEPTH_MAX, &v, &err) == SK_OK, "%s", err.text);
	json_object_put(v);
}
END_TEST

static const struct { float v; const char *want; } float_cases[] = {
	{ 0.0f, "0.0" }, { 1.0f, "1.0" }, { -1.5f, "-1.5" }, { 0.1f, "0.1" }, { -0.10009766f, "-0.10009766" },
	{ 1e-7f, "1e-07" }, { 16777216.0f, "16777216.0" }, { FLT_MAX, "3.4028235e+38" }, { NAN, "null" },
	{ INFINITY, "null" }, { -INFINITY, "null" },
};

START_TEST(floats_are_as_short_as_they_can_be)
{
	struct sk_buf b = SK_BUF(64);

	sk_json_add_f32(&b, float_cases[_i].v);
	ck_assert_str_eq(sk_buf_str(&b), float_cases[_i].want);
	sk_buf_fini(&b);
}
END_TEST

START_TEST(any_float_reads_back)
{
	struct sk_buf b = SK_BUF(64);
	uint32_t bits = 12345;

	for (int i = 0; i < 20000; i++) {
		float v, back;

		bits = bits * 1664525u + 1013904223u;
		memcpy(&v, &bits, sizeof v);
		if (!isfinite(v))
			continue;
		sk_buf_clear(&b);
		sk_json_add_f32(&b, v);
		back = strtof(sk_buf_str(&b), NULL);
		ck_assert_msg(back == v, "%.9g printed as %s", (double)v, sk_buf_str(&b));
	}
	sk_buf_fini(&b);
}
END_TEST

START_TEST(strings_are_escaped)
{
	struct sk_buf b = SK_BUF(64);

	sk_json_add_str(&b, "a\"\\\n\x01\xff", 6);
	ck_assert_msg(!strcmp(sk_buf_str(&b), "\"a\\\"\\\\\\n\\u0001\xef\xbf\xbd\"") ||
		      !strcmp(sk_buf_str(&b), "\"a\\\"\\\\\\n\\u0001\\ufffd\""), "%s", sk_buf_str(&b));
	sk_buf_fini(&b);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("json");
	TCase *c = tcase_create("json");
	SRunner *sr;
	int failed, n = (int)(sizeof check_cases / sizeof *check_cases);

	tcase_set_timeout(c, 60);
	tcase_add_loop_test(c, check_says_what_is_wrong_and_where, 0, n);
	tcase_add_loop_test(c, what_passes_the_gate_is_parsed, 0, n);
	tcase_add_test(c, wide_integers_are_floats);
	tcase_add_test(c, equal_keys_are_noted_however_they_are_written);
	tcase_add_test(c, a_number_too_large_for_a_double_is_refused);
	tcase_add_test(c, a_seed_of_64_bits_keeps_every_bit);
	tcase_add_test(c, strings_keep_characters_and_nul);
	tcase_add_test(c, depth_count_and_size_have_caps);
	tcase_add_test(c, the_deepest_allowed_text_is_parsed);
	tcase_add_loop_test(c, floats_are_as_short_as_they_can_be, 0, sizeof float_cases / sizeof *float_cases);
	tcase_add_test(c, any_float_reads_back);
	tcase_add_test(c, strings_are_escaped);
	suite_add_tcase(s, c);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_ENV);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? 1 : 0;
}
