/* SPDX-License-Identifier: Apache-2.0 */
/* Tables of request fields: types, null, ranges, order, and the words of refusals. */
#include <check.h>
#include <json-c/json.h>
#include <string.h>

#include "fcgi/json.h"
#include "fcgi/schema.h"

struct values {
	struct sk_field_value text, yes, small, whole, large, real, list, map, thing;
};

#define AT(name) offsetof(struct values, name)

static const struct sk_field fields[] = {
	{ "p", "small", SK_FIELD_U32, false, AT(small), SK_RANGE_EARLY, 0, 1, SK_LIMIT_NONE, "small <= {max}, not {n}" },
	{ "p", "real", SK_FIELD_F32, false, AT(real), SK_RANGE_OPEN_MIN | SK_RANGE_OPEN_MAX, 0, 1, SK_LIMIT_NONE,
	  "real is open" },
	{ "p", "whole", SK_FIELD_I32, false, AT(whole), SK_RANGE_OPEN_MIN, 0, 100, SK_LIMIT_NONE, "whole > 0" },
	{ "p", "list", SK_FIELD_STRS, false, AT(list), 0, 0, 0, SK_LIMIT_STOP, "at most {max}, not {n}" },
	{ "p", "map", SK_FIELD_BIAS, false, AT(map), 0, 0, 100, SK_LIMIT_NONE, "map within 100" },
	{ "p", "large", SK_FIELD_U64, false, AT(large), SK_RANGE_ANY },
	{ NULL, "text", SK_FIELD_STR, true, AT(text), 0, 1, 1e9, SK_LIMIT_NONE, "text is empty" },
	{ NULL, "yes", SK_FIELD_BOOL, false, AT(yes), SK_RANGE_ANY },
	{ "p", "thing", SK_FIELD_ANY, false, AT(thing), 0, 0, 0, SK_LIMIT_NONE, "no thing" },
};

#define LEN (sizeof fields / sizeof *fields)

static const uint64_t limits[SK_LIMITS] = { [SK_LIMIT_STOP] = 2 };

static const struct { const char *name, *body, *why; } type_cases[] = {
	{ "all fields", "{\"text\":\"a\",\"yes\":true,\"p\":{\"small\":1,\"whole\":-1,\"large\":18446744073709551615,"
	  "\"real\":1,\"list\":[\"a\",\"b\"],\"thing\":{}}}", NULL },
	{ "null is unset", "{\"text\":\"a\",\"yes\":null,\"p\":{\"small\":null,\"list\":null,\"thing\":null}}", NULL },
	{ "a null group", "{\"text\":\"a\",\"p\":null}", NULL },
	{ "an unknown member", "{\"text\":\"a\",\"other\":1,\"p\":{\"more\":[]}}", NULL },
	{ "a list as body", "[]", "invalid type: sequence, expected a map" },
	{ "null as body", "null", "invalid type: null, expected a map" },
	{ "a missing field", "{}", "missing field `text`" },
	{ "a required null", "{\"text\":null}", "text: invalid type: null, expected string" },
	{ "a number for a string", "{\"text\":5}", "text: invalid type: integer `5`, expected a string" },
	{ "a string for a bool", "{\"text\":\"a\",\"yes\":\"no\"}", "yes: invalid type: string \"no\", expected a boolean" },
	{ "a list for a group", "{\"text\":\"a\",\"p\":[]}", "p: invalid type: sequence, expected a map" },
	{ "minus one for a u32", "{\"text\":\"a\",\"p\":{\"small\":-1}}", "p.small: invalid value: integer `-1`, expected u32" },
	{ "2^32 for a u32", "{\"text\":\"a\",\"p\":{\"small\":4294967296}}",
	  "p.small: invalid value: integer `4294967296`, expected u32" },
	{ "a fraction for a u32", "{\"text\":\"a\",\"p\":{\"small\":1.0}}",
	  "p.small: invalid type: floating point `1.0`, expected u32" },
	{ "2^31 for an i32", "{\"text\":\"a\",\"p\":{\"whole\":2147483648}}",
	  "p.whole: invalid value: integer `2147483648`, expected i32" },
	{ "minus one for a u64", "{\"text\":\"a\",\"p\":{\"large\":-1}}", "p.large: invalid value: integer `-1`, expected u64" },
	{ "a string for a float", "{\"text\":\"a\",\"p\":{\"real\":\"hot\"}}",
	  "p.real: invalid type: string \"hot\", expected f32" },
	{ "a float over float32", "{\"text\":\"a\",\"p\":{\"real\":1e39}}",
	  "p.real: invalid value: floating point `1e39`, expected f32" },
	{ "a string for a list", "{\"text\":\"a\",\"p\":{\"list\":\"x\"}}",
	  "p.list: invalid type: string \"x\", expected a sequence" },
	{ "a number in a list", "{\"text\":\"a\",\"p\":{\"list\":[\"x\",3]}}",
	  "p.list[1]: invalid type: integer `3`, expected a string" },
	{ "a map of ids to numbers", "{\"text\":\"a\",\"p\":{\"map\":{\"0\":1,\"2147483647\":-2.5}}}", NULL },
	{ "a list for a map", "{\"text\":\"a\",\"p\":{\"map\":[1]}}", "p.map: invalid type: sequence, expected a map" },
	{ "a word for an id", "{\"text\":\"a\",\"p\":{\"map\":{\"x\":1}}}", "p.map: invalid key \"x\", expected a token id" },
	{ "a sign before an id", "{\"text\":\"a\",\"p\":{\"map\":{\"-1\":1}}}", "p.map: invalid key \"-1\", expected a token id" },
	{ "an id spelled another way", "{\"text\":\"a\",\"p\":{\"map\":{\"07\":1}}}", "p.map: invalid key \"07\", expected a token id" },
	{ "an id over 31 bits", "{\"text\":\"a\",\"p\":{\"map\":{\"2147483648\":1}}}",
	  "p.map: invalid key \"2147483648\", expected a token id" },
	{ "no id at all", "{\"text\":\"a\",\"p\":{\"map\":{\"\":1}}}", "p.map: invalid key \"\", expected a token id" },
	{ "a string in a map", "{\"text\":\"a\",\"p\":{\"map\":{\"5\":\"high\"}}}",
	  "p.map.5: invalid type: string \"high\", expected f32" },
	{ "an integer over 64 bits for a u64", "{\"text\":\"a\",\"p\":{\"large\":18446744073709551616}}",
	  "p.large: invalid type: floating point `18446744073709551616.0`, expected u64" },
	{ "an integer over 64 bits for a float", "{\"text\":\"a\",\"p\":{\"real\":18446744073709551616}}", NULL },
	{ "an integer over 64 bits nobody asks for", "{\"text\":\"a\",\"other\":99999999999999999999}", NULL },
	{ "a field twice", "{\"text\":\"a\",\"text\":\"b\"}", "duplicate field `text`" },
	{ "a field of a group twice", "{\"text\":\"a\",\"p\":{\"real\":1,\"real\":2}}", "p: duplicate field `real`" },
	{ "a group twice", "{\"text\":\"a\",\"p\":{},\"p\":{}}", "duplicate field `p`" },
	{ "an unknown member twice", "{\"text\":\"a\",\"o\":1,\"o\":2,\"p\":{\"o\":1,\"o\":{\"a\":1,\"a\":2}}}", NULL },
	{ "a map for a bool", "{\"text\":\"a\",\"yes\":{}}", "yes: invalid type: map, expected a boolean" },
};

static const struct { const char *name, *body; bool early; const char *why; } range_cases[] = {
	{ "values inside", "{\"text\":\"a\",\"p\":{\"small\":1,\"real\":0.5,\"whole\":1,\"list\":[\"\",\"\"]}}", false, NULL },
	{ "early rows are not checked late", "{\"text\":\"a\",\"p\":{\"small\":2}}", false, NULL },
	{ "early rows are checked early", "{\"text\":\"a\",\"p\":{\"small\":2}}", true, "small <= 1, not 2" },
	{ "late rows are not checked early", "{\"text\":\"\",\"p\":{\"real\":7}}", true, NULL },
	{ "the largest u32 in a message", "{\"text\":\"a\",\"p\":{\"small\":4294967295}}", true, "small <= 1, not 4294967295" },
	{ "an open lower end", "{\"text\":\"a\",\"p\":{\"real\":0}}", false, "real is open" },
	{ "an open upper end", "{\"text\":\"a\",\"p\":{\"real\":1.0}}", false, "real is open" },
	{ "a number that float32 rounds to the end", "{\"text\":\"a\",\"p\":{\"real\":0.99999999999}}", false, "real is open" },
	{ "a negative number", "{\"text\":\"a\",\"p\":{\"whole\":-3}}", false, "whole > 0" },
	{ "a limit of the settings", "{\"text\":\"a\",\"p\":{\"list\":[\"\",\"\",\"\"]}}", false, "at most 2, not 3" },
	{ "numbers of a map at both ends", "{\"text\":\"a\",\"p\":{\"map\":{\"1\":100,\"2\":-100}}}", false, NULL },
	{ "a number of a map above", "{\"text\":\"a\",\"p\":{\"map\":{\"1\":0,\"2\":100.5}}}", false, "map within 100" },
	{ "a number of a map below", "{\"text\":\"a\",\"p\":{\"map\":{\"1\":-101,\"2\":0}}}", false, "map within 100" },
	{ "a number of a map beyond float32", "{\"text\":\"a\",\"p\":{\"map\":{\"1\":1e39}}}", false, "map within 100" },
	{ "an empty string", "{\"text\":\"\"}", false, "text is empty" },
	{ "something refused whatever it is", "{\"text\":\"a\",\"p\":{\"thing\":0}}", false, "no thing" },
	{ "the order of rows decides", "{\"text\":\"\",\"p\":{\"whole\":0,\"real\":2}}", false, "real is open" },
};

static sk_status read_text(const char *body, struct values *v, struct sk_arena *arena, struct json_object **ret_root,
			   struct sk_err *err)
{
	ck_assert_int_eq(sk_json_parse(body, strlen(body), ret_root, err), SK_OK);
	return sk_schema_read(fields, LEN, *ret_root, 1, v, arena, err);
}

START_TEST(types_are_checked_with_the_path)
{
	struct sk_arena arena = { 0 };
	struct json_object *root = NULL;
	struct sk_err err = { 0 };
	struct values v;
	sk_status st = read_text(type_cases[_i].body, &v, &arena, &root, &err);

	if (type_cases[_i].why) {
		ck_assert_msg(st == SK_EINVAL, "%s: passed", type_cases[_i].name);
		ck_assert_str_eq(err.text, type_cases[_i].why);
	} else {
		ck_assert_msg(st == SK_OK, "%s: %s", type_cases[_i].name, err.text);
	}
	json_object_put(root);
	sk_arena_fini(&arena);
}
END_TEST

START_TEST(ranges_are_checked_in_the_order_of_rows)
{
	struct sk_arena arena = { 0 };
	struct json_object *root = NULL;
	struct sk_err err = { 0 };
	struct values v;
	sk_status st;

	ck_assert_int_eq(read_text(range_cases[_i].body, &v, &arena, &root, &err), SK_OK);
	st = sk_schema_check(fields, LEN, &v, limits, range_cases[_i].early, &err);
	if (range_cases[_i].why) {
		ck_assert_msg(st == SK_EINVAL, "%s: passed", range_cases[_i].name);
		ck_assert_str_eq(err.text, range_cases[_i].why);
	} else {
		ck_assert_msg(st == SK_OK, "%s: %s", range_cases[_i].name, err.text);
	}
	json_object_put(root);
	sk_arena_fini(&arena);
}
END_TEST

START_TEST(values_arrive_where_the_table_says)
{
	struct sk_arena arena = { 0 };
	struct json_object *root = NULL;
	struct sk_err err = { 0 };
	struct values v;

	ck_assert_int_eq(read_text(type_cases[0].body, &v, &arena, &root, &err), SK_OK);
	ck_assert(v.text.set && v.text.str.len == 1 && v.text.str.s[0] == 'a');
	ck_assert(v.yes.set && v.yes.yes);
	ck_assert(v.small.set && v.small.u == 1);
	ck_assert(v.whole.set && v.whole.i == -1);
	ck_assert(v.large.set && v.large.u == UINT64_MAX);
	ck_assert(v.real.set && v.real.f == 1.0f);
	ck_assert(v.list.set && v.list.strs.len == 2 && v.list.strs.items[1].s[0] == 'b');
	ck_assert(v.thing.set);
	json_object_put(root);
	ck_assert_int_eq(read_text(type_cases[1].body, &v, &arena, &root, &err), SK_OK);
	ck_assert(!v.yes.set && !v.yes.yes && !v.small.set && !v.list.set && !v.thing.set && !v.real.set);
	json_object_put(root);
	sk_arena_fini(&arena);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("schema");
	TCase *c = tcase_create("schema");
	SRunner *sr;
	int failed;

	tcase_add_loop_test(c, types_are_checked_with_the_path, 0, sizeof type_cases / sizeof *type_cases);
	tcase_add_loop_test(c, ranges_are_checked_in_the_order_of_rows, 0, sizeof range_cases / sizeof *range_cases);
	tcase_add_test(c, values_arrive_where_the_table_says);
	suite_add_tcase(s, c);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_ENV);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? 1 : 0;
}
