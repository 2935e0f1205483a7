/* SPDX-License-Identifier: Apache-2.0 */
/* Filters that give a text or a number. The lists of jinja2's own are complete but for pprint, urlize, xmlattr and random. */
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/utf8.h"
#include "engine/text/jinja_in.h"

#define FILTER(name) static struct sk_jv name(struct sk_j *j, struct sk_jv self, const struct sk_jv *a, const struct sk_jargs *raw)
#define UNUSED (void)j, (void)self, (void)a, (void)raw

FILTER(f_upper) { UNUSED; return sk_j_case(j, sk_j_str(j, self), SK_J_UPPER); }
FILTER(f_lower) { UNUSED; return sk_j_case(j, sk_j_str(j, self), SK_J_LOWER); }
FILTER(f_capitalize) { UNUSED; return sk_j_case(j, sk_j_str(j, self), SK_J_CAPITALIZE); }
FILTER(f_string) { UNUSED; return sk_j_str(j, self); }

FILTER(f_title)
{
	struct sk_jv s = sk_j_str(j, self);
	struct sk_jsb b = { 0 };
	bool first = true;

	UNUSED;
	for (size_t at = 0; at < s.len;) {
		size_t n = sk_j_offset(sk_j_sub(s, at, s.len), 1);
		struct sk_jv c = sk_j_sub(s, at, at + n);
		uint32_t cp = 0;

		sk_utf8_next(c.s, c.len, &cp);
		c = sk_j_case(j, c, first ? SK_J_UPPER : SK_J_LOWER);
		sk_jsb_add(j, &b, c.s, c.len);
		first = sk_j_space(cp) || (cp < 0x80 && cp && strchr("-({[<", (int)cp));
		at += n;
	}
	return sk_jsb_str(&b);
}

FILTER(f_trim)
{
	struct sk_jv s = sk_j_str(j, self);

	(void)raw;
	if (sk_j_given(a[0]) && a[0].kind != SK_J_NONE)
		sk_j_want_str(j, a[0]);
	sk_j_step(j, s.len / 16);
	return sk_j_strip(s, a[0].kind == SK_J_STR ? a[0] : (struct sk_jv){ 0 }, 3);
}

FILTER(f_replace)
{
	const struct sk_jdef *d = sk_j_def_find(sk_j_str_methods, "replace", 7);
	struct sk_jv args[3] = { sk_j_str(j, a[0]), sk_j_str(j, a[1]), a[2] }, plain = sk_j_str(j, self);

	plain.markup = false;

	if (args[2].kind == SK_J_NONE)
		args[2] = (struct sk_jv){ 0 };
	return d->run(j, plain, args, raw);
}

FILTER(f_escape) { UNUSED; return sk_j_escape(j, sk_j_str(j, self)); }

FILTER(f_forceescape)
{
	struct sk_jv s = sk_j_str(j, self);

	UNUSED;
	s.markup = false;
	return sk_j_escape(j, s);
}

FILTER(f_safe)
{
	struct sk_jv s = sk_j_str(j, self);

	UNUSED;
	s.markup = true;
	return s;
}

FILTER(f_striptags)
{
	struct sk_jv s = sk_j_str(j, self);
	struct sk_jsb b = { 0 }, words = { 0 };
	struct sk_jlist *l;
	bool tag = false;
	const struct sk_jdef *split = sk_j_def_find(sk_j_str_methods, "split", 5);

	(void)raw;
	for (size_t i = 0; i < s.len; i++) {
		if (!tag && s.s[i] == '<' && memchr(s.s + i, '>', s.len - i))
			tag = true;
		else if (tag && s.s[i] == '>')
			tag = false;
		else if (!tag)
			sk_jsb_addc(j, &b, s.s[i]);
	}
	l = split->run(j, sk_jsb_str(&b), a, raw).list;
	for (size_t i = 0; i < l->len; i++) {
		if (i)
			sk_jsb_addc(j, &words, ' ');
		sk_jsb_add(j, &words, l->v[i].s, l->v[i].len);
	}
	return sk_jsb_str(&words);
}

FILTER(f_format)
{
	struct sk_jlist *l;
	struct sk_jdict *d;

	(void)a;
	if (raw->pos_len && raw->kw_len)
		sk_j_fail(j, SK_EINVAL, "can't handle positional and keyword arguments at the same time");
	if (raw->kw_len) {
		d = sk_j_dict(j);
		for (size_t i = 0; i < raw->kw_len; i++)
			sk_j_put(j, d, sk_jv_str(raw->kw[i].name, raw->kw[i].len), raw->kw[i].v);
		return sk_j_percent(j, sk_j_str(j, self), (struct sk_jv){ .kind = SK_J_DICT, .dict = d });
	}
	l = sk_j_list(j, raw->pos_len);
	for (size_t i = 0; i < raw->pos_len; i++)
		sk_j_push(j, l, raw->pos[i]);
	return sk_j_percent(j, sk_j_str(j, self), (struct sk_jv){ .kind = SK_J_TUPLE, .list = l });
}

FILTER(f_center)
{
	const struct sk_jdef *d = sk_j_def_find(sk_j_str_methods, "center", 6);
	struct sk_jv args[2] = { sk_j_given(a[0]) ? a[0] : sk_jv_int(80), { 0 } };

	return d->run(j, sk_j_str(j, self), args, raw);
}

/* a: width, first, blank */
FILTER(f_indent)
{
	struct sk_jsb by = { 0 }, b = { 0 };
	struct sk_jlist *l;
	bool blank = sk_j_given_true(j, a[2]), lines;

	(void)raw;
	sk_j_want_str(j, self);
	if (a[0].kind == SK_J_STR) {
		sk_jsb_add(j, &by, a[0].s, a[0].len);
	} else {
		int64_t n = sk_j_given(a[0]) ? sk_j_want_int(j, a[0]) : 4;

		if (n > 10000)
			sk_j_fail(j, SK_ETOOBIG, "an indent of more than 10000");
		for (; n > 0; n--)
			sk_jsb_addc(j, &by, ' ');
	}
	l = sk_j_lines(j, sk_j_join(j, self, sk_jv_str("\n", 1)), false);
	if (sk_j_given_true(j, a[1]))
		sk_jsb_add(j, &b, by.s, by.len);
	for (size_t i = 0; i < l->len; i++) {
		lines = i > 0;
		if (lines)
			sk_jsb_addc(j, &b, '\n');
		if (lines && (blank || l->v[i].len))
			sk_jsb_add(j, &b, by.s, by.len);
		sk_jsb_add(j, &b, l->v[i].s, l->v[i].len);
	}
	return sk_jsb_str(&b);
}

/* a: length, killwords, end, leeway */
FILTER(f_truncate)
{
	struct sk_jv s = self, end = sk_j_given(a[2]) ? sk_j_want_str(j, a[2]) : sk_jv_str("...", 3), head;
	int64_t length = sk_j_given(a[0]) ? sk_j_want_int(j, a[0]) : 255;
	size_t chars;
	int64_t leeway = sk_j_given(a[3]) && a[3].kind != SK_J_NONE ? sk_j_want_int(j, a[3]) : 5;
	int64_t tail = (int64_t)sk_j_chars(j, end);

	(void)raw;
	if (length < tail)
		sk_j_fail(j, SK_EINVAL, "expected length >= %" PRId64 ", got %" PRId64, tail, length);
	if (leeway < 0)
		sk_j_fail(j, SK_EINVAL, "expected leeway >= 0, got %" PRId64, leeway);
	if (!sk_j_len(j, s, &chars))
		sk_j_fail(j, SK_EINVAL, "object of type '%s' has no len()", sk_j_type(s));
	if ((int64_t)chars - leeway <= length)
		return s;
	sk_j_want_str(j, s);
	head = sk_j_sub(s, 0, sk_j_offset(s, (size_t)(length - tail)));
	if (!sk_j_given_true(j, a[1])) {
		size_t at = head.len;

		while (at && head.s[at - 1] != ' ')
			at--;
		if (at)
			head.len = (uint32_t)at - 1;
	}
	return sk_j_join(j, head, end);
}

FILTER(f_wordcount)
{
	struct sk_jv s = sk_j_str(j, self);
	int64_t n = 0;
	bool in = false;

	UNUSED;
	for (size_t at = 0; at < s.len;) {
		uint32_t cp = 0;
		int len = sk_utf8_next(s.s + at, s.len - at, &cp);
		bool word = len > 0 && sk_j_word(cp);

		n += word && !in;
		in = word;
		at += len > 0 ? (size_t)len : 1;
	}
	sk_j_step(j, s.len / 16);
	return sk_jv_int(n);
}

FILTER(f_urlencode)
{
	struct sk_jv s;
	struct sk_jsb b = { 0 };

	UNUSED;
	if (self.kind == SK_J_DICT || self.kind == SK_J_LIST || self.kind == SK_J_TUPLE || self.kind == SK_J_VIEW) {
		struct sk_jlist *l = sk_j_iter(j, self.kind == SK_J_DICT ? sk_j_def_find(sk_j_dict_methods, "items", 5)->run(j, self, a, raw)
									  : self);

		for (size_t i = 0; i < l->len; i++) {
			struct sk_jlist *pair = sk_j_iter(j, l->v[i]);

			if (pair->len != 2)
				sk_j_fail(j, SK_EINVAL, "urlencode wants pairs");
			for (int k = 0; k < 2; k++) {
				s = f_urlencode(j, sk_j_str(j, pair->v[k]), a, NULL);
				if (k || i)
					sk_jsb_addc(j, &b, k ? '=' : '&');
				sk_jsb_add(j, &b, s.s, s.len);
			}
		}
		return sk_jsb_str(&b);
	}
	s = sk_j_str(j, self);
	for (size_t i = 0; i < s.len; i++) {
		unsigned char c = (unsigned char)s.s[i];

		if (c < 0x80 && (sk_j_word(c) || strchr("-.~", c ? c : '?') || (c == '/' && raw)))
			sk_jsb_addc(j, &b, (char)c);
		else if (c == ' ' && !raw)
			sk_jsb_addc(j, &b, '+');
		else
			sk_jsb_addf(j, &b, "%%%02X", c);
	}
	return sk_jsb_str(&b);
}

static const char *const units[2][9] = {
	{ "", "kB", "MB", "GB", "TB", "PB", "EB", "ZB", "YB" },
	{ "", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB", "ZiB", "YiB" },
};

static bool to_float(struct sk_j *j, struct sk_jv v, double *ret_f);

FILTER(f_filesizeformat)
{
	bool binary = sk_j_given_true(j, a[0]);
	double bytes, base = binary ? 1024 : 1000, unit = base;
	struct sk_jsb b = { 0 };
	int i = 1;

	(void)raw;
	if (!to_float(j, self, &bytes))
		sk_j_fail(j, SK_EINVAL, "could not convert to float: %s", sk_j_repr(j, self));
	if (bytes == 1)
		return sk_jv_str("1 Byte", 6);
	if (bytes < base) {
		sk_jsb_addf(j, &b, "%.0f Bytes", trunc(bytes));
		return sk_jsb_str(&b);
	}
	for (; i < 8 && bytes >= unit * base; i++)
		unit *= base;
	sk_jsb_addf(j, &b, "%.1f %s", bytes / unit, units[binary][i]);
	return sk_jsb_str(&b);
}

/* ---- wordwrap ----------------------------------------------------------------------------------------------- */

struct wrap { struct sk_j *j; struct sk_jsb b; int64_t width, column; struct sk_jv with; bool cut; size_t trail; };

static void wrap_line(struct wrap *w)
{
	w->b.len = w->trail;
	sk_jsb_add(w->j, &w->b, w->with.s, w->with.len);
	w->column = 0;
	w->trail = w->b.len;
}

/* One word, or the blanks between two. */
static void wrap_chunk(struct wrap *w, struct sk_jv chunk, bool blank, bool first)
{
	int64_t n = (int64_t)sk_j_chars(w->j, chunk);

	if (blank && !w->column && !first)
		return;
	if (w->column + n > w->width && w->column && !blank && (n <= w->width || !w->cut))
		wrap_line(w);
	while (!blank && w->cut && w->column + n > w->width) {
		size_t room = sk_j_offset(chunk, (size_t)(w->width - w->column));

		sk_jsb_add(w->j, &w->b, chunk.s, room);
		w->trail = w->b.len;
		chunk = sk_j_sub(chunk, room, chunk.len);
		n = (int64_t)sk_j_chars(w->j, chunk);
		wrap_line(w);
	}
	sk_jsb_add(w->j, &w->b, chunk.s, chunk.len);
	w->column += n;
	if (!blank)
		w->trail = w->b.len;
}

/* a: width, break_long_words, wrapstring, break_on_hyphens */
FILTER(f_wordwrap)
{
	struct wrap w = { .j = j, .width = sk_j_given(a[0]) ? sk_j_want_int(j, a[0]) : 79, .cut = !sk_j_given(a[1]) || sk_j_true(j, a[1]) };
	struct sk_jlist *l = sk_j_lines(j, sk_j_want_str(j, self), false);
	bool hyphens = !sk_j_given(a[3]) || sk_j_true(j, a[3]);

	(void)raw;
	if (w.width <= 0)
		sk_j_fail(j, SK_EINVAL, "invalid width %" PRId64 " (must be > 0)", w.width);
	w.with = a[2].kind == SK_J_STR ? a[2] : sk_jv_str("\n", 1);
	for (size_t i = 0; i < l->len; i++) {
		struct sk_jv s = l->v[i];
		size_t at = 0;

		if (i) {
			w.trail = w.b.len;
			wrap_line(&w);
		}
		while (at < s.len) {
			bool blank = strchr(" \t", s.s[at]) && s.s[at];
			size_t from = at;

			while (at < s.len && (strchr(" \t", s.s[at]) && s.s[at]) == blank) {
				at++;
				if (!blank && hyphens && s.s[at - 1] == '-' && at - from > 1 && at < s.len && sk_j_word((unsigned char)s.s[at]))
					break;
			}
			wrap_chunk(&w, sk_j_sub(s, from, at), blank, from == 0);
		}
		w.b.len = w.trail > w.b.len ? w.b.len : w.trail;
	}
	return sk_jsb_str(&w.b);
}

/* ---- numbers ------------------------------------------------------------------------------------------------ */

/* Python's float(str): false: it is none. */
static bool text_float(struct sk_jv s, double *ret_f)
{
	char text[128];
	size_t n = 0;
	char *end;

	s = sk_j_strip(s, (struct sk_jv){ 0 }, 3);
	if (!s.len || s.len >= sizeof text)
		return false;
	for (size_t i = 0; i < s.len; i++) {
		char c = s.s[i];

		if (c == '_' && i && i + 1 < s.len && s.s[i - 1] >= '0' && s.s[i - 1] <= '9' && s.s[i + 1] >= '0' && s.s[i + 1] <= '9')
			continue;
		if (!c || c == '_' || c == 'x' || c == 'X' || c == '(' || c == ' ')
			return false;
		text[n++] = c;
	}
	text[n] = 0;
	*ret_f = strtod(text, &end);
	return end == text + n;
}

static bool to_float(struct sk_j *j, struct sk_jv v, double *ret_f)
{
	if (v.kind == SK_J_UNDEF)
		sk_j_undef_fail(j, v);
	if (v.kind == SK_J_STR || v.kind == SK_J_BIG)
		return text_float(v, ret_f);
	if (!sk_j_is_num(v))
		return false;
	*ret_f = sk_j_num(v);
	return true;
}

static bool text_int(struct sk_j *j, struct sk_jv s, int base, int64_t *ret_i)
{
	char text[128];
	size_t n = 0;
	char *end;
	bool digit = false;

	s = sk_j_strip(s, (struct sk_jv){ 0 }, 3);
	if (!s.len || s.len >= sizeof text)
		return false;
	for (size_t i = 0; i < s.len; i++) {
		if (s.s[i] == '_' && digit && i + 1 < s.len && s.s[i + 1] != '_') {
			digit = false;
			continue;
		}
		if (!s.s[i] || s.s[i] == '_' || s.s[i] == ' ')
			return false;
		digit = (s.s[i] >= '0' && s.s[i] <= '9') || (s.s[i] | 32) >= 'a';
		text[n++] = s.s[i];
	}
	text[n] = 0;
	end = text + (text[0] == '-' || text[0] == '+');
	if (base != 16 && base != 0 && (end[1] == 'x' || end[1] == 'X'))
		return false;
	if ((base == 8 || base == 2) && end[0] == '0' && end[1] && (end[1] | 32) == (base == 8 ? 'o' : 'b'))
		memmove(end, end + 2, strlen(end + 2) + 1);
	errno = 0;
	*ret_i = strtoll(text, &end, base);
	if (*end || end == text)
		return false;
	if (errno)
		sk_j_fail(j, SK_EINVAL, "an integer does not fit in 64 bits");
	return true;
}

/* a: default, base */
FILTER(f_int)
{
	int64_t base = sk_j_given(a[1]) ? sk_j_want_int(j, a[1]) : 10, i;
	double f;

	(void)raw;
	if (sk_j_is_int(self))
		return sk_jv_int(sk_j_want_int(j, self));
	if (self.kind == SK_J_BIG)
		return self;
	if (self.kind == SK_J_STR && base >= 0 && base <= 36 && base != 1 && text_int(j, self, (int)base, &i))
		return sk_jv_int(i);
	if (to_float(j, self, &f) && isfinite(f)) {
		if (fabs(f) >= 9.2e18)
			sk_j_fail(j, SK_EINVAL, "an integer does not fit in 64 bits");
		return sk_jv_int((int64_t)f);
	}
	if (self.kind == SK_J_FLOAT && isinf(self.f))
		sk_j_fail(j, SK_EINVAL, "cannot convert float infinity to integer");
	return sk_j_given(a[0]) ? a[0] : sk_jv_int(0);
}

FILTER(f_float)
{
	double f;

	(void)raw;
	if (to_float(j, self, &f))
		return sk_jv_float(f);
	return sk_j_given(a[0]) ? a[0] : sk_jv_float(0);
}

FILTER(f_abs)
{
	UNUSED;
	if (self.kind == SK_J_UNDEF)
		sk_j_undef_fail(j, self);
	if (!sk_j_is_num(self))
		sk_j_fail(j, SK_EINVAL, "bad operand type for abs(): '%s'", sk_j_type(self));
	if (self.kind == SK_J_FLOAT)
		return sk_jv_float(fabs(self.f));
	return sk_j_want_int(j, self) < 0 ? sk_j_binary(j, SK_JO_SUB, sk_jv_int(0), self) : sk_jv_int(sk_j_want_int(j, self));
}

/* a: precision, method */
FILTER(f_round)
{
	int64_t precision = sk_j_given(a[0]) ? sk_j_want_int(j, a[0]) : 0;
	const char *how = "common";
	char text[400];
	double scale;

	(void)raw;
	if (sk_j_given(a[1]))
		how = sk_jv_is(a[1], "ceil") ? "ceil" : sk_jv_is(a[1], "floor") ? "floor" : sk_jv_is(a[1], "common") ? "common" : NULL;
	if (!how)
		sk_j_fail(j, SK_EINVAL, "method must be common, ceil or floor");
	if (self.kind == SK_J_UNDEF)
		sk_j_undef_fail(j, self);
	if (!sk_j_is_num(self))
		sk_j_fail(j, SK_EINVAL, "type %s doesn't define __round__ method", sk_j_type(self));
	if (precision > 300 || precision < -300)
		sk_j_fail(j, SK_ETOOBIG, "a precision of more than 300");
	scale = pow(10, (double)precision);
	if (*how == 'c' && how[1] == 'e')
		return sk_jv_float(ceil(sk_j_num(self) * scale) / scale);
	if (*how == 'f')
		return sk_jv_float(floor(sk_j_num(self) * scale) / scale);
	if (sk_j_is_int(self) && precision >= 0)
		return sk_jv_int(sk_j_want_int(j, self));
	if (precision >= 0) {
		if (!isfinite(self.f) || fabs(self.f) > 1e60 || precision > 30)
			return self;
		snprintf(text, sizeof text, "%.*f", (int)precision, self.f);
		return sk_jv_float(strtod(text, NULL));
	}
	if (sk_j_is_int(self)) {
		double tens = pow(10, (double)-precision);

		return sk_jv_int((int64_t)(nearbyint((double)sk_j_want_int(j, self) / tens) * tens));
	}
	return sk_jv_float(nearbyint(self.f * scale) / scale);
}

const struct sk_jdef sk_j_text_filters[] = {
	{ "upper", f_upper, "" }, { "lower", f_lower, "" }, { "capitalize", f_capitalize, "" }, { "title", f_title, "" },
	{ "string", f_string, "" }, { "safe", f_safe, "" }, { "trim", f_trim, "?chars" }, { "replace", f_replace, "old new ?count" },
	{ "escape", f_escape, "" }, { "e", f_escape, "" }, { "forceescape", f_forceescape, "" }, { "striptags", f_striptags, "" },
	{ "format", f_format, NULL }, { "center", f_center, "?width" }, { "indent", f_indent, "?width ?first ?blank" },
	{ "truncate", f_truncate, "?length ?killwords ?end ?leeway" }, { "wordcount", f_wordcount, "" }, { "urlencode", f_urlencode, "" },
	{ "filesizeformat", f_filesizeformat, "?binary" },
	{ "wordwrap", f_wordwrap, "?width ?break_long_words ?wrapstring ?break_on_hyphens" }, { "int", f_int, "?default ?base" },
	{ "float", f_float, "?default" }, { "abs", f_abs, "" }, { "round", f_round, "?precision ?method" },
	{ "tojson", sk_j_tojson, "?ensure_ascii ?indent ?separators ?sort_keys" },
	{ NULL, NULL, NULL },
};
