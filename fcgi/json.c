/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The gate before json-c, and number formatting.
 *
 * The checker is a plain recursive descent (depth has a cap, so does the stack) that builds nothing. That there are equal
 * keys is found by counting: the checker counts members, json-c keeps one of two equal ones, so the sums differ. Only then
 * the text is read once more, to note which.
 */
#include "fcgi/json.h"

#include <errno.h>
#include <float.h>
#include <json-c/json.h>
#include <limits.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/utf8.h"

#define WIDE_MORE ".0"                  /* makes an integer a float */
#define BYTES_MAX ((size_t)INT_MAX / 2) /* json-c counts in int, and wide integers grow */

struct scan {
	const char *s;
	size_t len, at;
	size_t values, containers, members, wide;       /* wide: integers over 64 bits */
	char *copy;                     /* may be NULL: where the text goes, with ".0" behind wide integers */
	size_t copied, copy_len;        /* bytes of s that are in copy; bytes of copy */
	const char *why;                /* set at the first fault */
	sk_status status;
};

static bool fault(struct scan *c, sk_status status, const char *why)
{
	c->why = why;
	c->status = status;
	return false;
}

static bool bad(struct scan *c, const char *why)
{
	return fault(c, SK_EFORMAT, why);
}

/* The next byte, or -1 at the end. */
static int peek(const struct scan *c)
{
	return c->at < c->len ? (unsigned char)c->s[c->at] : -1;
}

static void skip_space(struct scan *c)
{
	while (c->at < c->len && (c->s[c->at] == ' ' || c->s[c->at] == '\t' || c->s[c->at] == '\n' ||
				  c->s[c->at] == '\r'))
		c->at++;
}

/* Four hexadecimal digits at c->at. */
static bool scan_hex4(struct scan *c, uint32_t *ret_unit)
{
	uint32_t unit = 0;

	for (int i = 0; i < 4; i++, c->at++) {
		int ch = peek(c);

		if (ch < 0)
			return bad(c, "EOF while parsing a string");
		if (ch >= '0' && ch <= '9')
			ch -= '0';
		else if ((ch | 0x20) >= 'a' && (ch | 0x20) <= 'f')
			ch = (ch | 0x20) - 'a' + 10;
		else
			return bad(c, "invalid escape");
		unit = unit << 4 | (uint32_t)ch;
	}
	*ret_unit = unit;
	return true;
}

/* Behind a backslash. */
static bool scan_escape(struct scan *c, bool key)
{
	uint32_t unit;
	int ch = peek(c);

	if (ch < 0)
		return bad(c, "EOF while parsing a string");
	c->at++;
	if (ch != 'u')
		return strchr("\"\\/bfnrt", ch) && ch ? true : bad(c, "invalid escape");
	if (!scan_hex4(c, &unit))
		return false;
	if (unit == 0 && key)
		return bad(c, "a key must not hold a NUL character");
	if (unit < 0xd800 || unit > 0xdfff)
		return true;
	if (unit > 0xdbff)
		return bad(c, "lone trailing surrogate in hex escape");
	if (c->len - c->at < 2 || c->s[c->at] != '\\' || c->s[c->at + 1] != 'u')
		return bad(c, "lone leading surrogate in hex escape");
	c->at += 2;
	if (!scan_hex4(c, &unit))
		return false;
	return unit >= 0xdc00 && unit <= 0xdfff ? true : bad(c, "lone leading surrogate in hex escape");
}

/* At the opening quote. */
static bool scan_string(struct scan *c, bool key)
{
	c->at++;
	for (;;) {
		int ch = peek(c), n;
		uint32_t cp;

		if (ch < 0)
			return bad(c, "EOF while parsing a string");
		if (ch == '"') {
			c->at++;
			return true;
		}
		if (ch == '\\') {
			c->at++;
			if (!scan_escape(c, key))
				return false;
			continue;
		}
		if (ch < 0x20)
			return bad(c, "control character (\\u0000-\\u001F) found while parsing a string");
		if (ch < 0x80) {
			c->at++;
			continue;
		}
		n = sk_utf8_next(c->s + c->at, c->len - c->at, &cp);
		if (n <= 0)
			return bad(c, "invalid unicode code point");
		c->at += (size_t)n;
	}
}

/* Whether the integer digits[0..len) goes over what int64 (negative) or uint64 holds. */
static bool integer_overflows(const char *digits, size_t len, bool negative)
{
	const char *max = negative ? "9223372036854775808" : "18446744073709551615";
	size_t max_len = strlen(max);

	return len > max_len || (len == max_len && memcmp(digits, max, len) > 0);
}

static size_t skip_digits(struct scan *c)
{
	size_t from = c->at;

	while (c->at < c->len && c->s[c->at] >= '0' && c->s[c->at] <= '9')
		c->at++;
	return c->at - from;
}

/* Copy what lies between the last copy and c->at. */
static void copy_on(struct scan *c, const char *more)
{
	memcpy(c->copy + c->copy_len, c->s + c->copied, c->at - c->copied);
	c->copy_len += c->at - c->copied;
	c->copied = c->at;
	memcpy(c->copy + c->copy_len, more, strlen(more));
	c->copy_len += strlen(more);
}

static bool scan_number(struct scan *c)
{
	bool negative = peek(c) == '-', integer = true;
	size_t from, digits;

	if (negative)
		c->at++;
	from = c->at;
	digits = skip_digits(c);
	if (!digits || (digits > 1 && c->s[from] == '0'))
		return bad(c, peek(c) < 0 && !digits ? "EOF while parsing a value" : "invalid number");
	if (peek(c) == '.') {
		integer = false;
		c->at++;
		if (!skip_digits(c))
			return bad(c, peek(c) < 0 ? "EOF while parsing a value" : "invalid number");
	}
	if (peek(c) == 'e' || peek(c) == 'E') {
		integer = false;
		c->at++;
		if (peek(c) == '+' || peek(c) == '-')
			c->at++;
		if (!skip_digits(c))
			return bad(c, peek(c) < 0 ? "EOF while parsing a value" : "invalid number");
	}
	/* Valid JSON, and a float to serde_json; json-c's strict mode refuses it without a point. */
	if (integer && integer_overflows(c->s + from, digits, negative)) {
		c->wide++;
		if (c->copy)
			copy_on(c, WIDE_MORE);
	}
	return true;
}

static bool scan_word(struct scan *c, const char *word)
{
	for (; *word; word++, c->at++) {
		if (peek(c) < 0)
			return bad(c, "EOF while parsing a value");
		if (c->s[c->at] != *word)
			return bad(c, "expected ident");
	}
	return true;
}

static bool scan_value(struct scan *c, int depth);

/* At '[' or '{'. */
static bool scan_container(struct scan *c, int depth)
{
	bool object = peek(c) == '{';
	char close = object ? '}' : ']';

	if (depth >= SK_JSON_DEPTH_MAX)
		return fault(c, SK_ETOOBIG, "recursion limit exceeded");
	if (++c->containers > SK_JSON_CONTAINERS_MAX)
		return fault(c, SK_ETOOBIG, "too many arrays and objects");
	c->at++;
	skip_space(c);
	if (peek(c) == close) {
		c->at++;
		return true;
	}
	for (;;) {
		if (object) {
			if (peek(c) < 0)
				return bad(c, "EOF while parsing an object");
			if (peek(c) != '"')
				return bad(c, peek(c) == '}' ? "trailing comma" : "key must be a string");
			if (!scan_string(c, true))
				return false;
			skip_space(c);
			if (peek(c) != ':')
				return bad(c, peek(c) < 0 ? "EOF while parsing an object" : "expected `:`");
			c->at++;
			c->members++;
		} else if (peek(c) == ']') {
			return bad(c, "trailing comma");
		}
		if (!scan_value(c, depth + 1))
			return false;
		skip_space(c);
		if (peek(c) == close) {
			c->at++;
			return true;
		}
		if (peek(c) < 0)
			return bad(c, object ? "EOF while parsing an object" : "EOF while parsing a list");
		if (peek(c) != ',')
			return bad(c, object ? "expected `,` or `}`" : "expected `,` or `]`");
		c->at++;
		skip_space(c);
	}
}

static bool scan_value(struct scan *c, int depth)
{
	skip_space(c);
	if (++c->values > SK_JSON_VALUES_MAX)
		return fault(c, SK_ETOOBIG, "too many values");
	switch (peek(c)) {
	case -1:
		return bad(c, "EOF while parsing a value");
	case '{':
	case '[':
		return scan_container(c, depth);
	case '"':
		return scan_string(c, false);
	case 't':
		return scan_word(c, "true");
	case 'f':
		return scan_word(c, "false");
	case 'n':
		return scan_word(c, "null");
	case '-': case '0': case '1': case '2': case '3': case '4':
	case '5': case '6': case '7': case '8': case '9':
		return scan_number(c);
	default:
		return bad(c, "expected value");
	}
}

static sk_status scan_text(struct scan *c, struct sk_err *err)
{
	bool good = scan_value(c, 0);
	size_t line = 1, column = 1;

	if (good) {
		skip_space(c);
		good = c->at == c->len || bad(c, "trailing characters");
	}
	if (good)
		return SK_OK;
	for (size_t i = 0; i < c->at && i < c->len; i++) {
		column++;
		if (c->s[i] == '\n') {
			line++;
			column = 1;
		}
	}
	return sk_fail(err, c->status, "%s at line %zu column %zu", c->why, line, column);
}

sk_status sk_json_check(const char *s, size_t len, size_t *ret_members, struct sk_err *err)
{
	struct scan c = { .s = s, .len = len };
	sk_status st = scan_text(&c, err);

	if (st == SK_OK && ret_members)
		*ret_members = c.members;
	return st;
}

/* Members of the tree; *finite is cleared by a number that is none. */
static size_t tree_members(struct json_object *v, bool *finite)
{
	size_t n = 0;

	switch (json_object_get_type(v)) {
	case json_type_object: {
		struct lh_entry *e;

		n = (size_t)json_object_object_length(v);
		for (e = lh_table_head(json_object_get_object(v)); e; e = lh_entry_next(e))
			n += tree_members((struct json_object *)lh_entry_v(e), finite);
		return n;
	}
	case json_type_array:
		for (size_t i = 0; i < json_object_array_length(v); i++)
			n += tree_members(json_object_array_get_idx(v, i), finite);
		return n;
	case json_type_double:
		if (!isfinite(json_object_get_double(v)))
			*finite = false;
		return 0;
	default:
		return 0;
	}
}

static void marks_drop(struct json_object *object, void *marks)
{
	json_object_put(marks);
}

/* The key whose quotes are at s[from] and before s[to]. */
static struct json_object *key_read(const char *s, size_t from, size_t to)
{
	struct json_tokener *tok = json_tokener_new();
	struct json_object *key = tok ? json_tokener_parse_ex(tok, s + from, (int)(to - from)) : NULL;

	if (tok)
		json_tokener_free(tok);
	return key;
}

/* At '{' of a checked text: note in `object` the keys that stand there twice, and in the objects it holds, to `depth`. */
static bool object_mark(struct scan *c, struct json_object *object, int depth)
{
	struct json_object *seen = json_object_new_object(), *twice = json_object_new_object();
	bool good = seen && twice;

	c->at++;
	skip_space(c);
	while (good && peek(c) != '}') {
		size_t from = c->at;
		struct json_object *key, *child = NULL;
		const char *name;

		scan_string(c, true);
		key = key_read(c->s, from, c->at);
		if (!key) {
			good = false;
			break;
		}
		name = json_object_get_string(key);
		good = !json_object_object_add(json_object_object_get_ex(seen, name, NULL) ? twice : seen, name, NULL);
		skip_space(c);
		c->at++;                        /* the colon */
		skip_space(c);
		json_object_object_get_ex(object, name, &child);
		if (depth > 0 && peek(c) == '{' && json_object_is_type(child, json_type_object))
			good = object_mark(c, child, depth - 1) && good;
		else
			scan_value(c, 0);
		json_object_put(key);
		skip_space(c);
		if (peek(c) == ',') {
			c->at++;
			skip_space(c);
		}
	}
	c->at++;
	json_object_put(seen);
	if (good)
		json_object_set_userdata(object, twice, marks_drop);
	else
		json_object_put(twice);
	return good;
}

/* json-c has kept the last of equal keys. Whether that matters is the schema's business: leave it a note. */
static sk_status duplicates_mark(struct json_object *value, const char *s, size_t len)
{
	struct scan c = { .s = s, .len = len };

	skip_space(&c);
	if (peek(&c) != '{')
		return SK_OK;
	return object_mark(&c, value, 1) ? SK_OK : SK_ENOMEM;
}

bool sk_json_is_duplicate(struct json_object *object, const char *key)
{
	struct json_object *marks = json_object_is_type(object, json_type_object) ? json_object_get_userdata(object) : NULL;

	return marks && json_object_object_get_ex(marks, key, NULL);
}

/* Whether json-c takes the checked text. */
static sk_status tree_make(const char *s, size_t len, struct json_object **ret_value, struct sk_err *err)
{
	struct json_tokener *tok;
	struct json_object *value;
	enum json_tokener_error fail;

	tok = json_tokener_new_ex(SK_JSON_DEPTH_MAX + 2);
	if (!tok)
		return sk_fail(err, SK_ENOMEM, "out of memory while parsing JSON");
	json_tokener_set_flags(tok, JSON_TOKENER_STRICT | JSON_TOKENER_ALLOW_TRAILING_CHARS);
	value = json_tokener_parse_ex(tok, s, (int)len);
	fail = json_tokener_get_error(tok);
	/* A number may go on after the last byte: a NUL says that it does not. */
	if (fail == json_tokener_continue) {
		value = json_tokener_parse_ex(tok, "", 1);
		fail = json_tokener_get_error(tok);
	}
	json_tokener_free(tok);
	if (fail != json_tokener_success) {
		json_object_put(value);
		return sk_fail(err, SK_EFORMAT, "%s", json_tokener_error_desc(fail));
	}
	*ret_value = value;
	return SK_OK;
}

sk_status sk_json_parse(const char *s, size_t len, struct json_object **ret_value, struct sk_err *err)
{
	struct scan c = { .s = s, .len = len };
	struct json_object *value = NULL;
	bool finite = true;
	sk_status st;

	if (len > BYTES_MAX)
		return sk_fail(err, SK_ETOOBIG, "the body has %zu bytes, JSON of at most %zu is read", len, BYTES_MAX);
	st = scan_text(&c, err);
	if (st < 0)
		return st;
	if (c.wide) {
		struct scan again = { .s = s, .len = len, .copy = malloc(len + c.wide * (sizeof(WIDE_MORE) - 1)) };

		if (!again.copy)
			return sk_fail(err, SK_ENOMEM, "out of memory while parsing JSON");
		scan_text(&again, err);
		copy_on(&again, "");
		st = tree_make(again.copy, again.copy_len, &value, err);
		free(again.copy);
	} else {
		st = tree_make(s, len, &value, err);
	}
	if (st < 0)
		return st;
	if (tree_members(value, &finite) != c.members) {
		st = duplicates_mark(value, s, len);
		if (st < 0) {
			json_object_put(value);
			return sk_fail(err, st, "out of memory while parsing JSON");
		}
	}
	if (!finite) {
		json_object_put(value);
		return sk_fail(err, SK_EFORMAT, "number out of range");
	}
	*ret_value = value;
	return SK_OK;
}

void sk_json_add_str(struct sk_buf *b, const char *s, size_t len)
{
	sk_buf_addc(b, '"');
	sk_buf_add_json(b, s, len);
	sk_buf_addc(b, '"');
}

void sk_json_add_f32(struct sk_buf *b, float v)
{
	char text[32];

	if (!isfinite(v)) {
		sk_buf_adds(b, "null");
		return;
	}
	/* Nine digits always do (FLT_DECIMAL_DIG); most values need seven or eight. */
	for (int digits = FLT_DIG; digits <= FLT_DECIMAL_DIG; digits++) {
		snprintf(text, sizeof text, "%.*g", digits, (double)v);
		if (strtof(text, NULL) == v)
			break;
	}
	sk_buf_adds(b, text);
	/* Typed clients want to see a float. */
	if (!strpbrk(text, ".e"))
		sk_buf_adds(b, ".0");
}
