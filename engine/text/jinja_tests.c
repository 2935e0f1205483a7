/* SPDX-License-Identifier: Apache-2.0 */
/* Tests: what stands behind `is`. */
#include "engine/text/jinja_in.h"

#define TEST(name) static struct sk_jv name(struct sk_j *j, struct sk_jv self, const struct sk_jv *a, const struct sk_jargs *raw)
#define KIND(name, condition) \
	TEST(name) \
	{ \
		(void)j, (void)a, (void)raw; \
		return sk_jv_bool(condition); \
	}

KIND(t_defined, self.kind != SK_J_UNDEF)
KIND(t_undefined, self.kind == SK_J_UNDEF)
KIND(t_none, self.kind == SK_J_NONE)
KIND(t_boolean, self.kind == SK_J_BOOL)
KIND(t_true, self.kind == SK_J_BOOL && self.b)
KIND(t_false, self.kind == SK_J_BOOL && !self.b)
KIND(t_integer, self.kind == SK_J_INT || self.kind == SK_J_BIG)
KIND(t_float, self.kind == SK_J_FLOAT)
KIND(t_number, sk_j_is_num(self) || self.kind == SK_J_BIG)
KIND(t_string, self.kind == SK_J_STR)
KIND(t_mapping, self.kind == SK_J_DICT)
KIND(t_iterable, sk_j_iterable(self))
KIND(t_sequence, self.kind == SK_J_STR || self.kind == SK_J_LIST || self.kind == SK_J_TUPLE || self.kind == SK_J_RANGE ||
     self.kind == SK_J_DICT || self.kind == SK_J_UNDEF)
KIND(t_callable, self.kind == SK_J_MACRO || self.kind == SK_J_FUNC || self.kind == SK_J_METHOD || self.kind == SK_J_LOOP ||
     self.kind == SK_J_JOINER || self.kind == SK_J_UNDEF)
KIND(t_escaped, self.kind == SK_J_STR && self.markup)
KIND(t_eq, sk_j_equal(j, self, a[0]))
KIND(t_ne, !sk_j_equal(j, self, a[0]))
KIND(t_in, sk_j_in(j, self, a[0]))
KIND(t_filter, sk_j_filter(sk_j_want_str(j, self).s, self.len) != NULL)
KIND(t_test, sk_j_test(sk_j_want_str(j, self).s, self.len) != NULL)

static bool ordered(int c, bool less, bool equal)
{
	return c != 2 && (c == 0 ? equal : (c < 0) == less);
}

KIND(t_lt, ordered(sk_j_compare(j, self, a[0], "<"), true, false))
KIND(t_le, ordered(sk_j_compare(j, self, a[0], "<="), true, true))
KIND(t_gt, ordered(sk_j_compare(j, self, a[0], ">"), false, false))
KIND(t_ge, ordered(sk_j_compare(j, self, a[0], ">="), false, true))

static bool divides(struct sk_j *j, struct sk_jv v, struct sk_jv by, int64_t rest)
{
	return sk_j_equal(j, sk_j_binary(j, SK_JO_MOD, v, by), sk_jv_int(rest));
}

KIND(t_odd, divides(j, self, sk_jv_int(2), 1))
KIND(t_even, divides(j, self, sk_jv_int(2), 0))
KIND(t_divisibleby, divides(j, self, a[0], 0))

TEST(t_lower)
{
	struct sk_jv s = sk_j_str(j, self);

	return sk_j_def_find(sk_j_str_asks, "islower", 7)->run(j, s, a, raw);
}

TEST(t_upper)
{
	struct sk_jv s = sk_j_str(j, self);

	return sk_j_def_find(sk_j_str_asks, "isupper", 7)->run(j, s, a, raw);
}

/* The same object: of numbers and strings Python does not promise it; equal ones of one type are taken for it. */
TEST(t_sameas)
{
	bool same = self.kind == a[0].kind;

	(void)raw;
	if (same && self.kind != SK_J_NONE && self.kind != SK_J_UNDEF)
		same = self.kind <= SK_J_STR ? sk_j_equal(j, self, a[0]) : self.s == a[0].s;
	return sk_jv_bool(same);
}

const struct sk_jdef sk_j_tests[] = {
	{ "defined", t_defined, "" }, { "undefined", t_undefined, "" }, { "none", t_none, "" }, { "boolean", t_boolean, "" },
	{ "true", t_true, "" }, { "false", t_false, "" }, { "integer", t_integer, "" }, { "float", t_float, "" },
	{ "number", t_number, "" }, { "string", t_string, "" }, { "mapping", t_mapping, "" }, { "iterable", t_iterable, "" },
	{ "sequence", t_sequence, "" }, { "callable", t_callable, "" }, { "escaped", t_escaped, "" }, { "eq", t_eq, "b" },
	{ "==", t_eq, "b" }, { "equalto", t_eq, "b" }, { "ne", t_ne, "b" }, { "!=", t_ne, "b" }, { "in", t_in, "seq" },
	{ "filter", t_filter, "" }, { "test", t_test, "" }, { "lt", t_lt, "b" }, { "<", t_lt, "b" }, { "lessthan", t_lt, "b" },
	{ "le", t_le, "b" }, { "<=", t_le, "b" }, { "gt", t_gt, "b" }, { ">", t_gt, "b" }, { "greaterthan", t_gt, "b" },
	{ "ge", t_ge, "b" }, { ">=", t_ge, "b" }, { "odd", t_odd, "" }, { "even", t_even, "" }, { "divisibleby", t_divisibleby, "num" },
	{ "lower", t_lower, "" }, { "upper", t_upper, "" }, { "sameas", t_sameas, "other" },
	{ NULL, NULL, NULL },
};

const struct sk_jdef *sk_j_test(const char *s, size_t len)
{
	return sk_j_def_find(sk_j_tests, s, len);
}
