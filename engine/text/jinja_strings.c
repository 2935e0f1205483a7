/* SPDX-License-Identifier: Apache-2.0 */
/* The methods of Python's str that a template may call and that give a new value; those that ask are in jinja_asks.c. */
#include <string.h>

#include "engine/base/utf8.h"
#include "engine/text/jinja_in.h"

#define METHOD(name) static struct sk_jv name(struct sk_j *j, struct sk_jv self, const struct sk_jv *a, const struct sk_jargs *raw)
#define UNUSED (void)j, (void)self, (void)a, (void)raw

METHOD(m_upper) { UNUSED; return sk_j_case(j, self, SK_J_UPPER); }
METHOD(m_lower) { UNUSED; return sk_j_case(j, self, SK_J_LOWER); }
METHOD(m_casefold) { UNUSED; return sk_j_case(j, self, SK_J_FOLD); }
METHOD(m_swapcase) { UNUSED; return sk_j_case(j, self, SK_J_SWAP); }
METHOD(m_title) { UNUSED; return sk_j_case(j, self, SK_J_TITLE); }
METHOD(m_capitalize) { UNUSED; return sk_j_case(j, self, SK_J_CAPITALIZE); }

static struct sk_jv strip(struct sk_j *j, struct sk_jv self, struct sk_jv chars, int sides)
{
	if (sk_j_given(chars) && chars.kind != SK_J_NONE)
		sk_j_want_str(j, chars);
	else
		chars = (struct sk_jv){ 0 };
	sk_j_step(j, self.len / 16);
	return sk_j_strip(self, chars, sides);
}

METHOD(m_strip) { UNUSED; return strip(j, self, a[0], 3); }
METHOD(m_lstrip) { UNUSED; return strip(j, self, a[0], 1); }
METHOD(m_rstrip) { UNUSED; return strip(j, self, a[0], 2); }

METHOD(m_replace)
{
	struct sk_jv old = sk_j_want_str(j, a[0]), new = sk_j_want_str(j, a[1]);
	int64_t count = sk_j_given(a[2]) ? sk_j_want_int(j, a[2]) : -1;
	struct sk_jsb b = { 0 };
	size_t at = 0;

	(void)raw;
	sk_j_step(j, self.len / 16);
	while (at <= self.len && count) {
		const char *hit = old.len ? memmem(self.s + at, self.len - at, old.s, old.len) : self.s + at;
		size_t to, n;

		if (!hit)
			break;
		to = (size_t)(hit - self.s);
		sk_jsb_add(j, &b, self.s + at, to - at);
		sk_jsb_add(j, &b, new.s, new.len);
		at = to + old.len;
		count--;
		sk_j_step(j, 1);
		if (old.len)
			continue;
		if (at == self.len)
			return sk_jsb_str(&b);
		n = sk_j_offset(sk_j_sub(self, at, self.len), 1);
		sk_jsb_add(j, &b, self.s + at, n);
		at += n;
	}
	sk_jsb_add(j, &b, self.s + at, self.len - at);
	return sk_jsb_str(&b);
}

/* ---- split -------------------------------------------------------------------------------------------------- */

static size_t space_at(struct sk_jv s, size_t at)
{
	uint32_t cp;
	int n = sk_utf8_next(s.s + at, s.len - at, &cp);

	return n > 0 && sk_j_space(cp) ? (size_t)n : 0;
}

static void split_words(struct sk_j *j, struct sk_jlist *l, struct sk_jv s, int64_t count)
{
	size_t at = 0, n;

	for (;;) {
		size_t from;

		while (at < s.len && (n = space_at(s, at)))
			at += n;
		if (at >= s.len)
			return;
		if (!count--) {
			sk_j_push(j, l, sk_j_sub(s, at, s.len));
			return;
		}
		for (from = at; at < s.len && !space_at(s, at);)
			at += sk_j_offset(sk_j_sub(s, at, s.len), 1);
		sk_j_push(j, l, sk_j_sub(s, from, at));
	}
}

static void reverse(struct sk_jlist *l)
{
	for (size_t i = 0; i < l->len / 2; i++) {
		struct sk_jv v = l->v[i];

		l->v[i] = l->v[l->len - 1 - i];
		l->v[l->len - 1 - i] = v;
	}
}

/* The words from the right: all of them, and what is left as one. */
static struct sk_jlist *rsplit_words(struct sk_j *j, struct sk_jv s, int64_t count)
{
	struct sk_jlist *all = sk_j_list(j, 0), *l = sk_j_list(j, 0);
	size_t first;

	split_words(j, all, s, -1);
	if (count < 0 || (size_t)count >= all->len)
		return all;
	first = all->len - (size_t)count;
	if (first) {
		struct sk_jv last = all->v[first - 1];

		sk_j_push(j, l, sk_jv_str(s.s, (size_t)(last.s + last.len - s.s)));
	}
	for (size_t i = first; i < all->len; i++)
		sk_j_push(j, l, all->v[i]);
	return l;
}

static const char *last_hit(struct sk_j *j, struct sk_jv s, struct sk_jv what)
{
	sk_j_step(j, s.len / 16);
	for (size_t at = s.len - what.len + 1; what.len <= s.len && at-- > 0;)
		if (!memcmp(s.s + at, what.s, what.len))
			return s.s + at;
	return NULL;
}

METHOD(m_split)
{
	int64_t count = sk_j_given(a[1]) ? sk_j_want_int(j, a[1]) : -1;
	struct sk_jlist *l = sk_j_list(j, 0);
	struct sk_jv sep;
	size_t at = 0;

	(void)raw;
	sk_j_step(j, self.len / 16);
	if (!sk_j_given(a[0]) || a[0].kind == SK_J_NONE) {
		split_words(j, l, self, count);
		return sk_jv_list(l);
	}
	sep = sk_j_want_str(j, a[0]);
	if (!sep.len)
		sk_j_fail(j, SK_EINVAL, "empty separator");
	while (count--) {
		const char *hit = memmem(self.s + at, self.len - at, sep.s, sep.len);

		if (!hit)
			break;
		sk_j_push(j, l, sk_j_sub(self, at, (size_t)(hit - self.s)));
		at = (size_t)(hit - self.s) + sep.len;
	}
	sk_j_push(j, l, sk_j_sub(self, at, self.len));
	return sk_jv_list(l);
}

METHOD(m_rsplit)
{
	int64_t count = sk_j_given(a[1]) ? sk_j_want_int(j, a[1]) : -1;
	struct sk_jlist *l = sk_j_list(j, 0);
	struct sk_jv sep, rest = self;

	(void)raw;
	if (!sk_j_given(a[0]) || a[0].kind == SK_J_NONE)
		return sk_jv_list(rsplit_words(j, self, count));
	sep = sk_j_want_str(j, a[0]);
	if (!sep.len)
		sk_j_fail(j, SK_EINVAL, "empty separator");
	while (count--) {
		const char *hit = last_hit(j, rest, sep);

		if (!hit)
			break;
		sk_j_push(j, l, sk_j_sub(rest, (size_t)(hit - rest.s) + sep.len, rest.len));
		rest = sk_j_sub(rest, 0, (size_t)(hit - rest.s));
	}
	sk_j_push(j, l, rest);
	reverse(l);
	return sk_jv_list(l);
}

METHOD(m_splitlines) { UNUSED; return sk_jv_list(sk_j_lines(j, self, sk_j_given_true(j, a[0]))); }

static struct sk_jv partition(struct sk_j *j, struct sk_jv self, struct sk_jv sep, bool right)
{
	struct sk_jlist *l = sk_j_list(j, 3);
	struct sk_jv none = sk_jv_str("", 0);
	const char *hit;

	sk_j_want_str(j, sep);
	if (!sep.len)
		sk_j_fail(j, SK_EINVAL, "empty separator");
	sk_j_step(j, self.len / 16);
	hit = right ? last_hit(j, self, sep) : memmem(self.s, self.len, sep.s, sep.len);
	if (hit) {
		sk_j_push(j, l, sk_j_sub(self, 0, (size_t)(hit - self.s)));
		sk_j_push(j, l, sep);
		sk_j_push(j, l, sk_j_sub(self, (size_t)(hit - self.s) + sep.len, self.len));
	} else {
		sk_j_push(j, l, right ? none : self);
		sk_j_push(j, l, none);
		sk_j_push(j, l, right ? self : none);
	}
	return (struct sk_jv){ .kind = SK_J_TUPLE, .list = l };
}

METHOD(m_partition) { UNUSED; return partition(j, self, a[0], false); }
METHOD(m_rpartition) { UNUSED; return partition(j, self, a[0], true); }

METHOD(m_join)
{
	struct sk_jlist *l = sk_j_iter(j, a[0]);
	struct sk_jsb b = { 0 };

	(void)raw;
	for (size_t i = 0; i < l->len; i++) {
		if (l->v[i].kind != SK_J_STR)
			sk_j_fail(j, SK_EINVAL, "sequence item %zu: expected str instance, %s found", i, sk_j_type(l->v[i]));
		if (i)
			sk_jsb_add(j, &b, self.s, self.len);
		sk_jsb_add(j, &b, l->v[i].s, l->v[i].len);
	}
	return sk_jsb_str(&b);
}

/* ---- width -------------------------------------------------------------------------------------------------- */

static void pad(struct sk_j *j, struct sk_jsb *b, struct sk_jv fill, int64_t n)
{
	if (n > 0 && (uint64_t)n > j->output_max)
		sk_j_fail(j, SK_ETOOBIG, "a text of more than %zu bytes", j->output_max);
	for (; n > 0; n--)
		sk_jsb_add(j, b, fill.s, fill.len);
}

static struct sk_jv justify(struct sk_j *j, struct sk_jv self, const struct sk_jv *a, char how)
{
	struct sk_jv fill = sk_j_given(a[1]) ? sk_j_want_str(j, a[1]) : sk_jv_str(" ", 1);
	int64_t width = sk_j_want_int(j, a[0]), n, left;
	struct sk_jsb b = { 0 };

	if (sk_j_chars(j, fill) != 1)
		sk_j_fail(j, SK_EINVAL, "The fill character must be exactly one character long");
	n = width - (int64_t)sk_j_chars(j, self);
	if (n <= 0)
		return self;
	left = how == 'l' ? 0 : how == 'r' ? n : n / 2 + (n & width & 1);
	pad(j, &b, fill, left);
	sk_jsb_add(j, &b, self.s, self.len);
	pad(j, &b, fill, n - left);
	return sk_jsb_str(&b);
}

METHOD(m_ljust) { UNUSED; return justify(j, self, a, 'l'); }
METHOD(m_rjust) { UNUSED; return justify(j, self, a, 'r'); }
METHOD(m_center) { UNUSED; return justify(j, self, a, 'c'); }

METHOD(m_zfill)
{
	int64_t n = sk_j_want_int(j, a[0]) - (int64_t)sk_j_chars(j, self);
	size_t sign = self.len && (self.s[0] == '-' || self.s[0] == '+');
	struct sk_jsb b = { 0 };

	(void)raw;
	sk_jsb_add(j, &b, self.s, sign);
	pad(j, &b, sk_jv_str("0", 1), n);
	sk_jsb_add(j, &b, self.s + sign, self.len - sign);
	return sk_jsb_str(&b);
}

METHOD(m_expandtabs)
{
	int64_t width = sk_j_given(a[0]) ? sk_j_want_int(j, a[0]) : 8, column = 0;
	struct sk_jsb b = { 0 };

	(void)raw;
	for (size_t i = 0; i < self.len; i++) {
		if (self.s[i] == '\t') {
			int64_t n = width > 0 ? width - column % width : 0;

			pad(j, &b, sk_jv_str(" ", 1), n);
			column += n;
			continue;
		}
		sk_jsb_addc(j, &b, self.s[i]);
		column += ((unsigned char)self.s[i] & 0xc0) != 0x80;
		if (self.s[i] == '\n' || self.s[i] == '\r')
			column = 0;
	}
	return sk_jsb_str(&b);
}

METHOD(m_removeprefix)
{
	struct sk_jv p = sk_j_want_str(j, a[0]);

	(void)raw;
	return p.len <= self.len && !memcmp(self.s, p.s, p.len) ? sk_j_sub(self, p.len, self.len) : self;
}

METHOD(m_removesuffix)
{
	struct sk_jv p = sk_j_want_str(j, a[0]);

	(void)raw;
	return p.len <= self.len && !memcmp(self.s + self.len - p.len, p.s, p.len) ? sk_j_sub(self, 0, self.len - p.len) : self;
}

METHOD(m_format)
{
	(void)a;
	return sk_j_format(j, self, raw);
}

METHOD(m_format_map)
{
	struct sk_jargs *args = sk_j_take(j, sizeof *args);

	(void)raw;
	if (a[0].kind != SK_J_DICT)
		sk_j_fail(j, SK_EINVAL, "format_map() wants a dict, not %s", sk_j_type(a[0]));
	for (size_t i = 0; i < a[0].dict->len; i++) {
		struct sk_jv k = sk_j_want_str(j, a[0].dict->e[i].k);

		if (i == SK_J_ARGS_MAX)
			sk_j_fail(j, SK_ETOOBIG, "more than %d arguments", SK_J_ARGS_MAX);
		args->kw[args->kw_len++] = (struct sk_jkwarg){ k.s, k.len, a[0].dict->e[i].v };
	}
	return sk_j_format(j, self, args);
}

const struct sk_jdef sk_j_str_methods[] = {
	{ "strip", m_strip, "?chars" }, { "lstrip", m_lstrip, "?chars" }, { "rstrip", m_rstrip, "?chars" },
	{ "upper", m_upper, "" }, { "lower", m_lower, "" }, { "casefold", m_casefold, "" }, { "swapcase", m_swapcase, "" },
	{ "title", m_title, "" }, { "capitalize", m_capitalize, "" }, { "replace", m_replace, "old new ?count" },
	{ "split", m_split, "?sep ?maxsplit" }, { "rsplit", m_rsplit, "?sep ?maxsplit" }, { "splitlines", m_splitlines, "?keepends" },
	{ "partition", m_partition, "sep" }, { "rpartition", m_rpartition, "sep" }, { "join", m_join, "iterable" },
	{ "ljust", m_ljust, "width ?fillchar" }, { "rjust", m_rjust, "width ?fillchar" }, { "center", m_center, "width ?fillchar" },
	{ "zfill", m_zfill, "width" }, { "expandtabs", m_expandtabs, "?tabsize" }, { "removeprefix", m_removeprefix, "prefix" },
	{ "removesuffix", m_removesuffix, "suffix" }, { "format", m_format, NULL }, { "format_map", m_format_map, "mapping" },
	{ NULL, NULL, NULL },
};
