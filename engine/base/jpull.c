/* SPDX-License-Identifier: Apache-2.0 */
/*
 * JSON value by value. Time is linear in the text; memory is the arena's for strings with escapes that are asked for.
 * Recursion happens in sk_jpull_skip() only, and depth has a cap.
 */
#include "engine/base/jpull.h"

#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/utf8.h"

static const char *const type_words[] = {
	[SK_JPULL_FAULT] = "no value", [SK_JPULL_NULL] = "null", [SK_JPULL_BOOL] = "a bool", [SK_JPULL_NUMBER] = "a number",
	[SK_JPULL_STRING] = "a string", [SK_JPULL_ARRAY] = "a list", [SK_JPULL_OBJECT] = "an object",
};

void sk_jpull_init(struct sk_jpull *r, const char *s, size_t len, const char *name, struct sk_arena *arena, struct sk_err *err)
{
	*r = (struct sk_jpull){ .s = s, .len = len, .name = name, .arena = arena, .err = err };
}

sk_status sk_jpull_fail(struct sk_jpull *r, sk_status status, const char *fmt, ...)
{
	size_t line = 1, column = 1;
	char words[384];
	va_list ap;

	if (r->status < 0)
		return r->status;
	for (size_t i = 0; i < r->at && i < r->len; i++) {
		column++;
		if (r->s[i] == '\n') {
			line++;
			column = 1;
		}
	}
	va_start(ap, fmt);
	vsnprintf(words, sizeof(words), fmt, ap);
	va_end(ap);
	r->status = sk_fail(r->err, status, "%s: %s, at line %zu column %zu", r->name, words, line, column);
	return r->status;
}

static bool bad(struct sk_jpull *r, const char *why)
{
	sk_jpull_fail(r, SK_EFORMAT, "%s", why);
	return false;
}

/* The next byte, or -1 at the end. */
static int next_byte(const struct sk_jpull *r)
{
	return r->at < r->len ? (unsigned char)r->s[r->at] : -1;
}

static void skip_space(struct sk_jpull *r)
{
	while (r->at < r->len && (r->s[r->at] == ' ' || r->s[r->at] == '\t' || r->s[r->at] == '\n' || r->s[r->at] == '\r'))
		r->at++;
}

enum sk_jpull_type sk_jpull_peek(struct sk_jpull *r)
{
	if (r->status < 0)
		return SK_JPULL_FAULT;
	skip_space(r);
	switch (next_byte(r)) {
	case '{': return SK_JPULL_OBJECT;
	case '[': return SK_JPULL_ARRAY;
	case '"': return SK_JPULL_STRING;
	case 't': case 'f': return SK_JPULL_BOOL;
	case 'n': return SK_JPULL_NULL;
	case '-': case '0': case '1': case '2': case '3': case '4': case '5': case '6': case '7': case '8': case '9':
	case 'N': case 'I':
		return SK_JPULL_NUMBER;
	case -1:
		bad(r, "the text ends where a value is due");
		return SK_JPULL_FAULT;
	default:
		bad(r, "a value is due here");
		return SK_JPULL_FAULT;
	}
}

static bool expect(struct sk_jpull *r, enum sk_jpull_type type)
{
	enum sk_jpull_type have = sk_jpull_peek(r);

	if (have == type)
		return true;
	if (have != SK_JPULL_FAULT)
		sk_jpull_fail(r, SK_EFORMAT, "%s is due, here is %s", type_words[type], type_words[have]);
	return false;
}

bool sk_jpull_enter(struct sk_jpull *r, enum sk_jpull_type type)
{
	if (!expect(r, type))
		return false;
	if (r->depth >= SK_JPULL_DEPTH_MAX) {
		sk_jpull_fail(r, SK_ETOOBIG, "lists and objects are nested deeper than %d", SK_JPULL_DEPTH_MAX);
		return false;
	}
	r->depth++;
	r->at++;
	r->fresh = true;
	return true;
}

/* Behind a value in a container, or at its begin: whether another one follows. */
static bool more(struct sk_jpull *r, char close, const char *due)
{
	if (r->status < 0)
		return false;
	skip_space(r);
	if (next_byte(r) == close) {
		r->at++;
		r->depth--;
		r->fresh = false;
		return false;
	}
	if (r->values++ >= SK_JPULL_VALUES_MAX) {
		sk_jpull_fail(r, SK_ETOOBIG, "more than %u values", SK_JPULL_VALUES_MAX);
		return false;
	}
	if (r->fresh) {
		r->fresh = false;
		return true;
	}
	if (next_byte(r) != ',')
		return bad(r, next_byte(r) < 0 ? "the text ends inside a list or object" : due);
	r->at++;
	skip_space(r);
	return next_byte(r) == close ? bad(r, "a comma before the end of a list or object") : true;
}

bool sk_jpull_item(struct sk_jpull *r)
{
	return more(r, ']', "a comma or ] is due");
}

static bool skip_str(struct sk_jpull *r);

/* ret_key NULL: it is checked, and not kept. */
static bool next_key(struct sk_jpull *r, struct sk_str *ret_key)
{
	if (!more(r, '}', "a comma or } is due"))
		return false;
	if (next_byte(r) != '"')
		return bad(r, next_byte(r) < 0 ? "the text ends inside a list or object" : "a key in quotes is due");
	if (ret_key ? !sk_jpull_str(r, ret_key) : !skip_str(r))
		return false;
	skip_space(r);
	if (next_byte(r) != ':')
		return bad(r, "a colon is due");
	r->at++;
	return true;
}

bool sk_jpull_key(struct sk_jpull *r, struct sk_str *ret_key)
{
	return next_key(r, ret_key);
}

/* ---- strings -------------------------------------------------------------------------------------------------- */

static bool hex4(struct sk_jpull *r, uint32_t *ret_unit)
{
	uint32_t unit = 0;

	for (int i = 0; i < 4; i++, r->at++) {
		int ch = next_byte(r);

		if (ch >= '0' && ch <= '9')
			ch -= '0';
		else if ((ch | 0x20) >= 'a' && (ch | 0x20) <= 'f')
			ch = (ch | 0x20) - 'a' + 10;
		else
			return bad(r, "four hexadecimal digits are due behind \\u");
		unit = unit << 4 | (uint32_t)ch;
	}
	*ret_unit = unit;
	return true;
}

/* Behind a backslash; writes what it stands for to out. */
static bool escape(struct sk_jpull *r, char *out, size_t *len)
{
	static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
	int ch = next_byte(r);
	const char *simple = ch > 0 ? strchr(from, ch) : NULL;
	uint32_t cp, low;

	r->at++;
	if (simple) {
		out[(*len)++] = to[simple - from];
		return true;
	}
	if (ch != 'u')
		return bad(r, "an unknown escape");
	if (!hex4(r, &cp))
		return false;
	if (cp >= 0xdc00 && cp <= 0xdfff)
		return bad(r, "a lone surrogate");
	if (cp >= 0xd800 && cp <= 0xdbff) {
		if (r->len - r->at < 2 || r->s[r->at] != '\\' || r->s[r->at + 1] != 'u')
			return bad(r, "a lone surrogate");
		r->at += 2;
		if (!hex4(r, &low))
			return false;
		if (low < 0xdc00 || low > 0xdfff)
			return bad(r, "a lone surrogate");
		cp = 0x10000 + ((cp - 0xd800) << 10 | (low - 0xdc00));
	}
	*len += sk_utf8_put(out + *len, cp);
	return true;
}

/* From the opening quote to behind the closing one: checks, and says whether there are escapes. */
static bool scan_str(struct sk_jpull *r, size_t *ret_end, bool *ret_escapes)
{
	size_t at = r->at + 1;
	uint32_t cp;

	*ret_escapes = false;
	while (at < r->len && r->s[at] != '"') {
		unsigned char ch = (unsigned char)r->s[at];
		int n = 1;

		if (ch == '\\') {
			*ret_escapes = true;
			n = 2;
		} else if (ch < 0x20) {
			n = 0;
		} else if (ch >= 0x80) {
			n = sk_utf8_next(r->s + at, r->len - at, &cp);
		}
		if (n <= 0) {
			r->at = at;
			return bad(r, ch < 0x20 ? "a control character in a string" : "bytes that are not UTF-8");
		}
		at += (size_t)n;
	}
	if (at >= r->len) {
		r->at = r->len;
		return bad(r, "the text ends inside a string");
	}
	*ret_end = at;
	return true;
}

bool sk_jpull_str(struct sk_jpull *r, struct sk_str *ret_s)
{
	size_t end, len = 0;
	bool escapes;
	char *out;

	if (!expect(r, SK_JPULL_STRING) || !scan_str(r, &end, &escapes))
		return false;
	r->at++;
	if (!escapes) {
		*ret_s = (struct sk_str){ r->s + r->at, end - r->at };
		r->at = end + 1;
		return true;
	}
	out = sk_arena_take(r->arena, end - r->at);     /* no escape stands for more bytes than it has */
	if (!out) {
		sk_jpull_fail(r, SK_ENOMEM, "out of memory for a string of %zu bytes", end - r->at);
		return false;
	}
	while (r->at < end) {
		if (r->s[r->at] != '\\') {
			out[len++] = r->s[r->at++];
			continue;
		}
		r->at++;
		if (!escape(r, out, &len))
			return false;
	}
	r->at = end + 1;
	*ret_s = (struct sk_str){ out, len };
	return true;
}

/* A string that nobody wants. */
static bool skip_str(struct sk_jpull *r)
{
	size_t end, len;
	bool escapes;
	char out[4];

	if (!expect(r, SK_JPULL_STRING) || !scan_str(r, &end, &escapes))
		return false;
	for (r->at++; escapes && r->at < end; ) {
		len = 0;
		if (r->s[r->at++] == '\\' && !escape(r, out, &len))
			return false;
	}
	r->at = end + 1;
	return true;
}

/* ---- numbers and words ---------------------------------------------------------------------------------------- */

static bool word(struct sk_jpull *r, const char *w)
{
	size_t n = strlen(w);

	if (r->len - r->at < n || memcmp(r->s + r->at, w, n) != 0)
		return bad(r, "a value is due here");
	r->at += n;
	return true;
}

static size_t digits(const struct sk_jpull *r, size_t at)
{
	size_t n = 0;

	while (at + n < r->len && r->s[at + n] >= '0' && r->s[at + n] <= '9')
		n++;
	return n;
}

/* The end of the number at r->at by JSON's grammar; 0: it is none. */
static size_t number_end(const struct sk_jpull *r, bool *ret_is_int)
{
	size_t at = r->at + (r->s[r->at] == '-'), n = digits(r, at);

	*ret_is_int = true;
	if (n == 0 || (n > 1 && r->s[at] == '0'))
		return 0;
	at += n;
	if (at < r->len && r->s[at] == '.') {
		*ret_is_int = false;
		n = digits(r, ++at);
		if (n == 0)
			return 0;
		at += n;
	}
	if (at < r->len && (r->s[at] | 0x20) == 'e') {
		*ret_is_int = false;
		at++;
		if (at < r->len && (r->s[at] == '+' || r->s[at] == '-'))
			at++;
		n = digits(r, at);
		if (n == 0)
			return 0;
		at += n;
	}
	return at;
}

/* NaN, Infinity, -Infinity: what Python's json writes and reads. */
static bool odd_number(struct sk_jpull *r, struct sk_jnum *ret_n)
{
	static const struct { const char *word; double value; } odd[] = {
		{ "NaN", NAN }, { "Infinity", INFINITY }, { "-Infinity", -INFINITY },
	};

	for (size_t i = 0; i < sizeof(odd) / sizeof(odd[0]); i++) {
		size_t n = strlen(odd[i].word);

		if (r->len - r->at >= n && !memcmp(r->s + r->at, odd[i].word, n)) {
			r->at += n;
			*ret_n = (struct sk_jnum){ .f = odd[i].value };
			return true;
		}
	}
	return bad(r, "a number is due");
}

bool sk_jpull_num(struct sk_jpull *r, struct sk_jnum *ret_n)
{
	char text[SK_JPULL_NUMBER_MAX + 1];
	struct sk_jnum n = { 0 };
	size_t end;
	long long i;

	if (!expect(r, SK_JPULL_NUMBER))
		return false;
	end = number_end(r, &n.is_int);
	if (!end)
		return r->strict ? bad(r, "a number is due") : odd_number(r, ret_n);
	if (end - r->at > SK_JPULL_NUMBER_MAX) {
		sk_jpull_fail(r, SK_ETOOBIG, "a number of %zu bytes, the limit is %d", end - r->at, SK_JPULL_NUMBER_MAX);
		return false;
	}
	memcpy(text, r->s + r->at, end - r->at);
	text[end - r->at] = 0;
	n.f = strtod(text, NULL);       /* beyond double it is an infinity, as in Python */
	if (n.is_int) {
		errno = 0;
		i = strtoll(text, NULL, 10);
		n.is_int = errno == 0;
		n.i = n.is_int ? i : 0;
	}
	r->at = end;
	*ret_n = n;
	return true;
}

bool sk_jpull_bool(struct sk_jpull *r, bool *ret_b)
{
	if (!expect(r, SK_JPULL_BOOL))
		return false;
	*ret_b = r->s[r->at] == 't';
	return word(r, *ret_b ? "true" : "false");
}

bool sk_jpull_null(struct sk_jpull *r)
{
	return expect(r, SK_JPULL_NULL) && word(r, "null");
}

bool sk_jpull_skip(struct sk_jpull *r)
{
	struct sk_jnum n;
	bool b;

	switch (sk_jpull_peek(r)) {
	case SK_JPULL_NULL:
		return sk_jpull_null(r);
	case SK_JPULL_BOOL:
		return sk_jpull_bool(r, &b);
	case SK_JPULL_NUMBER:
		return sk_jpull_num(r, &n);
	case SK_JPULL_STRING:
		return skip_str(r);
	case SK_JPULL_ARRAY:
		sk_jpull_enter(r, SK_JPULL_ARRAY);
		while (sk_jpull_item(r))
			sk_jpull_skip(r);
		break;
	case SK_JPULL_OBJECT:
		sk_jpull_enter(r, SK_JPULL_OBJECT);
		while (next_key(r, NULL))
			sk_jpull_skip(r);
		break;
	case SK_JPULL_FAULT:
		break;
	}
	return r->status == SK_OK;
}

sk_status sk_jpull_end(struct sk_jpull *r)
{
	if (r->status < 0)
		return r->status;
	skip_space(r);
	if (r->at < r->len)
		bad(r, "something follows the end of the text");
	return r->status;
}
