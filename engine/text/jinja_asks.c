/* SPDX-License-Identifier: Apache-2.0 */
/* Methods that ask a string something (startswith, find, isdigit ...), and the methods of list, dict and numbers. */
#include <math.h>
#include <string.h>

#include <utf8proc.h>

#include "engine/base/utf8.h"
#include "engine/text/jinja_in.h"

#define METHOD(name) static struct sk_jv name(struct sk_j *j, struct sk_jv self, const struct sk_jv *a, const struct sk_jargs *raw)
#define UNUSED (void)j, (void)self, (void)a, (void)raw

/* ---- looking for -------------------------------------------------------------------------------------------- */

/* self[start:stop] and where it begins, in characters; len < 0: start lies behind the end */
static struct sk_jv window(struct sk_j *j, struct sk_jv self, struct sk_jv start, struct sk_jv stop, int64_t *ret_from, bool *ret_beyond)
{
	int64_t len = (int64_t)sk_j_chars(j, self), from = 0, to = len;
	size_t at;

	if (sk_j_given(start) && start.kind != SK_J_NONE)
		from = sk_j_want_int(j, start);
	if (sk_j_given(stop) && stop.kind != SK_J_NONE)
		to = sk_j_want_int(j, stop);
	from = from < 0 ? (from + len < 0 ? 0 : from + len) : from;
	to = to < 0 ? (to + len < 0 ? 0 : to + len) : to > len ? len : to;
	*ret_from = from;
	*ret_beyond = from > to || from > len;
	if (*ret_beyond)
		return sk_jv_str("", 0);
	at = sk_j_offset(self, (size_t)from);
	return sk_j_sub(self, at, at + sk_j_offset(sk_j_sub(self, at, self.len), (size_t)(to - from)));
}

static int64_t find(struct sk_j *j, struct sk_jv self, const struct sk_jv *a, bool last)
{
	struct sk_jv what = sk_j_want_str(j, a[0]), in;
	const char *hit = NULL;
	int64_t from;
	bool beyond;

	in = window(j, self, a[1], a[2], &from, &beyond);
	if (beyond || what.len > in.len)
		return -1;
	sk_j_step(j, in.len / 16);
	if (!last)
		hit = what.len ? memmem(in.s, in.len, what.s, what.len) : in.s;
	for (size_t at = in.len - what.len + 1; last && !hit && at-- > 0;)
		if (!memcmp(in.s + at, what.s, what.len))
			hit = in.s + at;
	return hit ? from + (int64_t)sk_utf8_count(in.s, (size_t)(hit - in.s)) : -1;
}

static struct sk_jv index_of(struct sk_j *j, struct sk_jv self, const struct sk_jv *a, bool last)
{
	int64_t at = find(j, self, a, last);

	if (at < 0)
		sk_j_fail(j, SK_EINVAL, "substring not found");
	return sk_jv_int(at);
}

METHOD(m_find) { UNUSED; return sk_jv_int(find(j, self, a, false)); }
METHOD(m_rfind) { UNUSED; return sk_jv_int(find(j, self, a, true)); }
METHOD(m_index) { UNUSED; return index_of(j, self, a, false); }
METHOD(m_rindex) { UNUSED; return index_of(j, self, a, true); }

METHOD(m_count)
{
	struct sk_jv what = sk_j_want_str(j, a[0]), in;
	int64_t from, n = 0;
	bool beyond;

	(void)raw;
	in = window(j, self, a[1], a[2], &from, &beyond);
	if (!what.len)
		return sk_jv_int(beyond ? 0 : (int64_t)sk_j_chars(j, in) + 1);
	for (const char *s = in.s, *end = in.s + in.len; (s = memmem(s, (size_t)(end - s), what.s, what.len)); s += what.len)
		n++;
	sk_j_step(j, in.len / 16);
	return sk_jv_int(n);
}

static bool fits(struct sk_jv in, struct sk_jv what, bool end)
{
	return what.len <= in.len && !memcmp(in.s + (end ? in.len - what.len : 0), what.s, what.len);
}

static struct sk_jv at_side(struct sk_j *j, struct sk_jv self, const struct sk_jv *a, bool end)
{
	int64_t from;
	bool beyond;
	struct sk_jv in = window(j, self, a[1], a[2], &from, &beyond);

	if (a[0].kind == SK_J_TUPLE) {
		for (size_t i = 0; i < a[0].list->len; i++)
			if (!beyond && fits(in, sk_j_want_str(j, a[0].list->v[i]), end))
				return sk_jv_bool(true);
		return sk_jv_bool(false);
	}
	return sk_jv_bool(fits(in, sk_j_want_str(j, a[0]), end) && !beyond);
}

METHOD(m_startswith) { UNUSED; return at_side(j, self, a, false); }
METHOD(m_endswith) { UNUSED; return at_side(j, self, a, true); }

/* ---- what all characters are -------------------------------------------------------------------------------- */

static bool is_alpha(uint32_t cp)
{
	utf8proc_category_t c = utf8proc_category((utf8proc_int32_t)cp);

	return c >= UTF8PROC_CATEGORY_LU && c <= UTF8PROC_CATEGORY_LO;
}

static bool is_decimal(uint32_t cp)
{
	return utf8proc_category((utf8proc_int32_t)cp) == UTF8PROC_CATEGORY_ND;
}

static bool is_digit(uint32_t cp)
{
	return is_decimal(cp) || cp == 0xb2 || cp == 0xb3 || cp == 0xb9 || cp == 0x2070 || (cp >= 0x2074 && cp <= 0x2079) ||
	       (cp >= 0x2080 && cp <= 0x2089) || (cp >= 0x2460 && cp <= 0x2468);
}

static bool is_numeric(uint32_t cp)
{
	utf8proc_category_t c = utf8proc_category((utf8proc_int32_t)cp);

	return c == UTF8PROC_CATEGORY_ND || c == UTF8PROC_CATEGORY_NL || c == UTF8PROC_CATEGORY_NO;
}

static bool is_alnum(uint32_t cp)
{
	return is_alpha(cp) || is_numeric(cp);
}

static bool is_printable(uint32_t cp)
{
	utf8proc_category_t c = utf8proc_category((utf8proc_int32_t)cp);

	return cp == ' ' || (c != UTF8PROC_CATEGORY_CN && c < UTF8PROC_CATEGORY_ZS);
}

static struct sk_jv every(struct sk_j *j, struct sk_jv s, bool (*is)(uint32_t cp), bool when_empty)
{
	uint32_t cp;
	int n;

	sk_j_step(j, s.len / 16);
	for (size_t at = 0; at < s.len; at += (size_t)n) {
		n = sk_utf8_next(s.s + at, s.len - at, &cp);
		if (n <= 0 || !is(cp))
			return sk_jv_bool(false);
	}
	return sk_jv_bool(s.len ? true : when_empty);
}

static bool is_ascii(uint32_t cp)
{
	return cp < 0x80;
}

METHOD(m_isalpha) { UNUSED; return every(j, self, is_alpha, false); }
METHOD(m_isalnum) { UNUSED; return every(j, self, is_alnum, false); }
METHOD(m_isdecimal) { UNUSED; return every(j, self, is_decimal, false); }
METHOD(m_isdigit) { UNUSED; return every(j, self, is_digit, false); }
METHOD(m_isnumeric) { UNUSED; return every(j, self, is_numeric, false); }
METHOD(m_isspace) { UNUSED; return every(j, self, sk_j_space, false); }
METHOD(m_isascii) { UNUSED; return every(j, self, is_ascii, true); }
METHOD(m_isprintable) { UNUSED; return every(j, self, is_printable, true); }

METHOD(m_isidentifier)
{
	UNUSED;
	return sk_jv_bool(every(j, self, sk_j_word, false).b && !(self.s[0] >= '0' && self.s[0] <= '9'));
}

/* Cased letters, each fit by its place: 'l' lower, 'u' upper, 't' titles. */
static struct sk_jv is_case(struct sk_j *j, struct sk_jv s, char how)
{
	bool any = false, in_word = false;
	uint32_t cp;
	int n;

	sk_j_step(j, s.len / 16);
	for (size_t at = 0; at < s.len; at += (size_t)n) {
		utf8proc_category_t c;
		bool upper, lower;

		n = sk_utf8_next(s.s + at, s.len - at, &cp);
		if (n <= 0)
			return sk_jv_bool(false);
		c = utf8proc_category((utf8proc_int32_t)cp);
		upper = c == UTF8PROC_CATEGORY_LU || c == UTF8PROC_CATEGORY_LT;
		lower = c == UTF8PROC_CATEGORY_LL;
		if ((how == 'l' && upper) || (how == 'u' && lower) || (how == 't' && ((upper && in_word) || (lower && !in_word))))
			return sk_jv_bool(false);
		in_word = upper || lower;
		any |= in_word;
	}
	return sk_jv_bool(any);
}

METHOD(m_islower) { UNUSED; return is_case(j, self, 'l'); }
METHOD(m_isupper) { UNUSED; return is_case(j, self, 'u'); }
METHOD(m_istitle) { UNUSED; return is_case(j, self, 't'); }

const struct sk_jdef sk_j_str_asks[] = {
	{ "startswith", m_startswith, "prefix ?start ?end" }, { "endswith", m_endswith, "suffix ?start ?end" },
	{ "find", m_find, "sub ?start ?end" }, { "rfind", m_rfind, "sub ?start ?end" }, { "index", m_index, "sub ?start ?end" },
	{ "rindex", m_rindex, "sub ?start ?end" }, { "count", m_count, "sub ?start ?end" }, { "isalpha", m_isalpha, "" },
	{ "isalnum", m_isalnum, "" }, { "isdecimal", m_isdecimal, "" }, { "isdigit", m_isdigit, "" }, { "isnumeric", m_isnumeric, "" },
	{ "isspace", m_isspace, "" }, { "isascii", m_isascii, "" }, { "isprintable", m_isprintable, "" },
	{ "isidentifier", m_isidentifier, "" }, { "islower", m_islower, "" }, { "isupper", m_isupper, "" }, { "istitle", m_istitle, "" },
	{ NULL, NULL, NULL },
};

/* ---- dicts, lists, numbers ---------------------------------------------------------------------------------- */

static struct sk_jv view(struct sk_j *j, const struct sk_jdict *d, const char *what)
{
	struct sk_jlist *l = sk_j_list(j, d->len);
	bool keys = !strcmp(what, "dict_keys"), values = !strcmp(what, "dict_values");

	for (size_t i = 0; i < d->len; i++) {
		struct sk_jlist *pair;

		if (keys || values) {
			sk_j_push(j, l, keys ? d->e[i].k : d->e[i].v);
			continue;
		}
		pair = sk_j_list(j, 2);
		sk_j_push(j, pair, d->e[i].k);
		sk_j_push(j, pair, d->e[i].v);
		sk_j_push(j, l, (struct sk_jv){ .kind = SK_J_TUPLE, .list = pair });
	}
	l->what = what;
	return (struct sk_jv){ .kind = SK_J_VIEW, .list = l };
}

METHOD(m_keys) { UNUSED; return view(j, self.dict, "dict_keys"); }
METHOD(m_values) { UNUSED; return view(j, self.dict, "dict_values"); }
METHOD(m_items) { UNUSED; return view(j, self.dict, "dict_items"); }

METHOD(m_get)
{
	struct sk_jv *found = sk_j_find(j, self.dict, a[0]);

	(void)raw;
	return found ? *found : sk_j_given(a[1]) ? a[1] : sk_jv_none();
}

METHOD(m_dict_copy)
{
	struct sk_jdict *d = sk_j_dict(j);

	(void)a, (void)raw;
	for (size_t i = 0; i < self.dict->len; i++)
		sk_j_put(j, d, self.dict->e[i].k, self.dict->e[i].v);
	return (struct sk_jv){ .kind = SK_J_DICT, .dict = d };
}

METHOD(m_fromkeys)
{
	struct sk_jdict *d = sk_j_dict(j);
	struct sk_jlist *l = sk_j_iter(j, a[0]);

	(void)self, (void)raw;
	for (size_t i = 0; i < l->len; i++)
		sk_j_put(j, d, l->v[i], sk_j_given(a[1]) ? a[1] : sk_jv_none());
	return (struct sk_jv){ .kind = SK_J_DICT, .dict = d };
}

const struct sk_jdef sk_j_dict_methods[] = {
	{ "keys", m_keys, "" }, { "values", m_values, "" }, { "items", m_items, "" }, { "get", m_get, "key ?default" },
	{ "copy", m_dict_copy, "" }, { "fromkeys", m_fromkeys, "iterable ?value" }, { NULL, NULL, NULL },
};

const struct sk_jdef sk_j_dict_type_methods[] = { { "fromkeys", m_fromkeys, "iterable ?value" }, { NULL, NULL, NULL } };

METHOD(m_list_index)
{
	int64_t from = sk_j_given(a[1]) ? sk_j_want_int(j, a[1]) : 0;

	(void)raw;
	from = from < 0 ? from + (int64_t)self.list->len : from;
	for (size_t i = from > 0 ? (size_t)from : 0; i < self.list->len; i++)
		if (sk_j_equal(j, self.list->v[i], a[0]))
			return sk_jv_int((int64_t)i);
	sk_j_fail(j, SK_EINVAL, "%s is not in %s", sk_j_repr(j, a[0]), sk_j_type(self));
}

METHOD(m_list_count)
{
	int64_t n = 0;

	(void)raw;
	for (size_t i = 0; i < self.list->len; i++)
		n += sk_j_equal(j, self.list->v[i], a[0]);
	return sk_jv_int(n);
}

METHOD(m_list_copy)
{
	struct sk_jlist *l = sk_j_list(j, self.list->len);

	(void)a, (void)raw;
	for (size_t i = 0; i < self.list->len; i++)
		sk_j_push(j, l, self.list->v[i]);
	return sk_jv_list(l);
}

const struct sk_jdef sk_j_list_methods[] = {
	{ "index", m_list_index, "value ?start" }, { "count", m_list_count, "value" }, { "copy", m_list_copy, "" }, { NULL, NULL, NULL },
};

METHOD(m_is_integer)
{
	UNUSED;
	return sk_jv_bool(self.kind != SK_J_FLOAT || self.f == floor(self.f));
}

METHOD(m_bit_length)
{
	int64_t i = sk_j_want_int(j, self);
	uint64_t u = i < 0 ? -(uint64_t)i : (uint64_t)i;
	int64_t n = 0;

	(void)a, (void)raw;
	for (; u; u >>= 1)
		n++;
	return sk_jv_int(n);
}

const struct sk_jdef sk_j_num_methods[] = { { "is_integer", m_is_integer, "" }, { "bit_length", m_bit_length, "" }, { NULL, NULL, NULL } };
