/* SPDX-License-Identifier: Apache-2.0 */
/* Letters: upper and lower case as Python's str has them, white space, words, strip and splitlines. */
#include <string.h>

#include <utf8proc.h>

#include "engine/base/utf8.h"
#include "engine/text/jinja_in.h"

bool sk_j_space(uint32_t cp)
{
	return (cp >= 9 && cp <= 13) || (cp >= 0x1c && cp <= 0x20) || cp == 0x85 || cp == 0xa0 || cp == 0x1680 ||
	       (cp >= 0x2000 && cp <= 0x200a) || cp == 0x2028 || cp == 0x2029 || cp == 0x202f || cp == 0x205f || cp == 0x3000;
}

bool sk_j_word(uint32_t cp)
{
	utf8proc_category_t c;

	if (cp < 0x80)
		return (cp >= '0' && cp <= '9') || (cp >= 'a' && cp <= 'z') || (cp >= 'A' && cp <= 'Z') || cp == '_';
	c = utf8proc_category((utf8proc_int32_t)cp);
	return (c >= UTF8PROC_CATEGORY_LU && c <= UTF8PROC_CATEGORY_LO) || (c >= UTF8PROC_CATEGORY_ND && c <= UTF8PROC_CATEGORY_NO);
}

/* Letters whose other case is more than one. */
static const struct { uint32_t cp; const char *upper, *title, *fold; } special[] = {
	{ 0xdf, "SS", "Ss", "ss" }, { 0x149, "\u02bcN", "\u02bcN", "\u02bcn" }, { 0x1f0, "J\u030c", "J\u030c", "j\u030c" },
	{ 0x390, "\u0399\u0308\u0301", "\u0399\u0308\u0301", "\u03b9\u0308\u0301" },
	{ 0x3b0, "\u03a5\u0308\u0301", "\u03a5\u0308\u0301", "\u03c5\u0308\u0301" },
	{ 0x587, "\u0535\u0552", "\u0535\u0582", "\u0565\u0582" }, { 0x1e96, "H\u0331", "H\u0331", "h\u0331" },
	{ 0x1e97, "T\u0308", "T\u0308", "t\u0308" }, { 0x1e98, "W\u030a", "W\u030a", "w\u030a" },
	{ 0x1e99, "Y\u030a", "Y\u030a", "y\u030a" }, { 0x1e9a, "A\u02be", "A\u02be", "a\u02be" }, { 0x1e9e, NULL, NULL, "ss" },
	{ 0xfb00, "FF", "Ff", "ff" }, { 0xfb01, "FI", "Fi", "fi" }, { 0xfb02, "FL", "Fl", "fl" }, { 0xfb03, "FFI", "Ffi", "ffi" },
	{ 0xfb04, "FFL", "Ffl", "ffl" }, { 0xfb05, "ST", "St", "st" }, { 0xfb06, "ST", "St", "st" },
};

static void add_cp(struct sk_j *j, struct sk_jsb *b, uint32_t cp)
{
	char bytes[4];

	sk_jsb_add(j, b, bytes, sk_utf8_put(bytes, cp));
}

static void add_upper(struct sk_j *j, struct sk_jsb *b, uint32_t cp, bool title)
{
	for (size_t i = 0; i < sizeof special / sizeof *special; i++) {
		if (special[i].cp == cp && special[i].upper) {
			sk_jsb_adds(j, b, title ? special[i].title : special[i].upper);
			return;
		}
	}
	add_cp(j, b, (uint32_t)(title ? utf8proc_totitle((utf8proc_int32_t)cp) : utf8proc_toupper((utf8proc_int32_t)cp)));
}

static bool cased(uint32_t cp)
{
	utf8proc_category_t c = utf8proc_category((utf8proc_int32_t)cp);

	return c == UTF8PROC_CATEGORY_LU || c == UTF8PROC_CATEGORY_LL || c == UTF8PROC_CATEGORY_LT;
}

/* A sigma at the end of a word: a cased letter before it, none behind. */
static bool final_sigma(struct sk_jv s, size_t at, size_t len)
{
	uint32_t cp = 0;
	size_t before = at;

	if (!at || (at + len < s.len && sk_utf8_next(s.s + at + len, s.len - at - len, &cp) > 0 && cased(cp)))
		return false;
	while (before && ((unsigned char)s.s[--before] & 0xc0) == 0x80)
		;
	return sk_utf8_next(s.s + before, at - before, &cp) > 0 && cased(cp);
}

static void add_lower(struct sk_j *j, struct sk_jsb *b, uint32_t cp, bool final)
{
	if (cp == 0x130) {
		sk_jsb_adds(j, b, "i\u0307");
		return;
	}
	add_cp(j, b, cp == 0x3a3 ? (final ? 0x3c2 : 0x3c3) : (uint32_t)utf8proc_tolower((utf8proc_int32_t)cp));
}

static void add_fold(struct sk_j *j, struct sk_jsb *b, uint32_t cp)
{
	utf8proc_int32_t into[8];
	int boundary = 0;
	utf8proc_ssize_t n = utf8proc_decompose_char((utf8proc_int32_t)cp, into, 8, UTF8PROC_CASEFOLD, &boundary);

	if (n < 1 || n > 8)
		add_cp(j, b, cp);
	for (utf8proc_ssize_t i = 0; i < n && n <= 8; i++)
		add_cp(j, b, (uint32_t)into[i]);
}

struct sk_jv sk_j_case(struct sk_j *j, struct sk_jv s, enum sk_jcase how)
{
	struct sk_jsb b = { 0 };
	struct sk_jv r;
	bool in_word = false;

	for (size_t at = 0; at < s.len;) {
		uint32_t cp = 0xfffd;
		int n = sk_utf8_next(s.s + at, s.len - at, &cp);
		size_t len = n > 0 ? (size_t)n : 1;
		bool lower = how == SK_J_LOWER || (how == SK_J_TITLE && in_word) || (how == SK_J_CAPITALIZE && at) ||
			     (how == SK_J_SWAP && utf8proc_category((utf8proc_int32_t)cp) == UTF8PROC_CATEGORY_LU);

		if (how == SK_J_FOLD)
			add_fold(j, &b, cp);
		else if (lower)
			add_lower(j, &b, cp, final_sigma(s, at, len));
		else if (how == SK_J_SWAP && utf8proc_category((utf8proc_int32_t)cp) != UTF8PROC_CATEGORY_LL)
			add_cp(j, &b, cp);
		else
			add_upper(j, &b, cp, how == SK_J_TITLE || how == SK_J_CAPITALIZE);
		in_word = cased(cp);
		at += len;
	}
	sk_j_step(j, s.len / 8);
	r = sk_jsb_str(&b);
	r.markup = s.markup;
	return r;
}

/* ---- strip -------------------------------------------------------------------------------------------------- */

static bool stripped(struct sk_jv chars, const char *s, size_t len)
{
	uint32_t cp;

	if (chars.kind == SK_J_STR)
		return len <= chars.len && memmem(chars.s, chars.len, s, len);
	return sk_utf8_next(s, len, &cp) > 0 && sk_j_space(cp);
}

struct sk_jv sk_j_strip(struct sk_jv s, struct sk_jv chars, int sides)
{
	size_t from = 0, to = s.len;

	while (sides & 1 && from < to) {
		size_t n = sk_j_offset(sk_j_sub(s, from, to), 1);

		if (!stripped(chars, s.s + from, n))
			break;
		from += n;
	}
	while (sides & 2 && to > from) {
		size_t at = to;

		while (--at > from && ((unsigned char)s.s[at] & 0xc0) == 0x80)
			;
		if (!stripped(chars, s.s + at, to - at))
			break;
		to = at;
	}
	return sk_j_sub(s, from, to);
}

/* The length of a line break at s; 0: none. */
static size_t line_break(const char *s, size_t len)
{
	uint32_t cp = 0;
	int n = sk_utf8_next(s, len, &cp);

	if (n <= 0)
		return 0;
	if (cp == '\r' && len > 1 && s[1] == '\n')
		return 2;
	return (cp >= 10 && cp <= 13) || (cp >= 0x1c && cp <= 0x1e) || cp == 0x85 || cp == 0x2028 || cp == 0x2029 ? (size_t)n : 0;
}

struct sk_jlist *sk_j_lines(struct sk_j *j, struct sk_jv s, bool keep)
{
	struct sk_jlist *l = sk_j_list(j, 0);
	size_t from = 0;

	for (size_t at = 0; at < s.len;) {
		size_t n = line_break(s.s + at, s.len - at);

		if (!n) {
			at++;
			continue;
		}
		sk_j_push(j, l, sk_j_sub(s, from, keep ? at + n : at));
		at += n;
		from = at;
	}
	if (from < s.len)
		sk_j_push(j, l, sk_j_sub(s, from, s.len));
	sk_j_step(j, s.len / 16);
	return l;
}
