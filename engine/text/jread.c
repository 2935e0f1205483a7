/* SPDX-License-Identifier: Apache-2.0 */
/* See jread.h. */
#include "engine/text/jread.h"

#include <stdlib.h>
#include <string.h>

#include "engine/base/utf8.h"

/* ---- the check ---------------------------------------------------------------------------------------------------- */

struct check {
	const char *p, *end, *text, *what;
	uint64_t objects;               /* bit d: the container at depth d is an object */
	unsigned depth;
	uint32_t values;
	struct sk_err *err;
};

static sk_status wrong(const struct check *c, const char *expected)
{
	if (c->p == c->end)
		return sk_fail(c->err, SK_EFORMAT, "%s: the text ends early, expected %s", c->what, expected);
	return sk_fail(c->err, SK_EFORMAT, "%s: expected %s at byte %zu", c->what, expected, (size_t)(c->p - c->text));
}

static const char *blanks_skip(const char *p, const char *end)
{
	while (p < end && (*p == ' ' || *p == '\n' || *p == '\t' || *p == '\r'))
		p++;
	return p;
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Four hex digits; -1. */
static int32_t hex4(const char *p, const char *end)
{
	int32_t v = 0;
	int i;

	for (i = 0; i < 4; i++) {
		if (p + i >= end || hex_digit(p[i]) < 0)
			return -1;
		v = v << 4 | hex_digit(p[i]);
	}
	return v;
}

static bool escape_check(struct check *c)
{
	int32_t a, b;

	if (c->p + 1 >= c->end)
		return false;
	if (c->p[1] != 'u') {
		if (!c->p[1] || !strchr("\"\\/bfnrt", c->p[1]))
			return false;
		c->p += 2;
		return true;
	}
	a = hex4(c->p + 2, c->end);
	if (a < 0 || (a >= 0xdc00 && a < 0xe000))
		return false;
	c->p += 6;
	if (a < 0xd800 || a >= 0xdc00)
		return true;
	if (c->end - c->p < 6 || c->p[0] != '\\' || c->p[1] != 'u')
		return false;
	b = hex4(c->p + 2, c->end);
	c->p += 6;
	return b >= 0xdc00 && b < 0xe000;
}

static sk_status string_check(struct check *c)
{
	c->p++;
	while (c->p < c->end && *c->p != '"') {
		if ((unsigned char)*c->p < 0x20)
			return wrong(c, "no control character in a string");
		if (*c->p != '\\')
			c->p++;
		else if (!escape_check(c))
			return wrong(c, "an escape of JSON");
	}
	if (c->p == c->end)
		return wrong(c, "the end of a string");
	c->p++;
	return SK_OK;
}

static bool digits_skip(struct check *c)
{
	const char *was = c->p;

	while (c->p < c->end && *c->p >= '0' && *c->p <= '9')
		c->p++;
	return c->p > was;
}

static sk_status number_check(struct check *c)
{
	if (*c->p == '-')
		c->p++;
	if (c->p < c->end && *c->p == '0')
		c->p++;
	else if (!digits_skip(c))
		return wrong(c, "a digit");
	if (c->p < c->end && *c->p == '.') {
		c->p++;
		if (!digits_skip(c))
			return wrong(c, "a digit");
	}
	if (c->p < c->end && (*c->p | 0x20) == 'e') {
		c->p++;
		if (c->p < c->end && (*c->p == '+' || *c->p == '-'))
			c->p++;
		if (!digits_skip(c))
			return wrong(c, "a digit");
	}
	return SK_OK;
}

static sk_status word_check(struct check *c, const char *word)
{
	size_t n = strlen(word);

	if ((size_t)(c->end - c->p) < n || memcmp(c->p, word, n) != 0)
		return wrong(c, "a value");
	c->p += n;
	return SK_OK;
}

static sk_status key_check(struct check *c)
{
	sk_status st;

	c->p = blanks_skip(c->p, c->end);
	if (c->p == c->end || *c->p != '"')
		return wrong(c, "a key");
	st = string_check(c);
	if (st < 0)
		return st;
	c->p = blanks_skip(c->p, c->end);
	if (c->p == c->end || *c->p != ':')
		return wrong(c, "\":\"");
	c->p++;
	return SK_OK;
}

/* One value's beginning: whole for a scalar, one bracket for a container. */
static sk_status value_check(struct check *c)
{
	if (++c->values > SK_JREAD_VALUES_MAX)
		return sk_fail(c->err, SK_ETOOBIG, "%s: more than %u values", c->what, SK_JREAD_VALUES_MAX);
	c->p = blanks_skip(c->p, c->end);
	if (c->p == c->end)
		return wrong(c, "a value");
	switch (*c->p) {
	case '"': return string_check(c);
	case 't': return word_check(c, "true");
	case 'f': return word_check(c, "false");
	case 'n': return word_check(c, "null");
	case '{':
	case '[':
		if (c->depth == SK_JREAD_DEPTH_MAX)
			return sk_fail(c->err, SK_ETOOBIG, "%s: more than %d arrays and objects inside each other at byte %zu",
				       c->what, SK_JREAD_DEPTH_MAX, (size_t)(c->p - c->text));
		c->objects = (c->objects & ~(1ull << c->depth)) | (uint64_t)(*c->p == '{') << c->depth;
		c->depth++;
		c->p++;
		return SK_OK;
	default:
		return *c->p == '-' || (*c->p >= '0' && *c->p <= '9') ? number_check(c) : wrong(c, "a value");
	}
}

/* After a value: close what ends here. *ret_more: another member follows. */
static sk_status close_check(struct check *c, bool *ret_more)
{
	bool object;

	*ret_more = false;
	while (c->depth) {
		object = c->objects >> (c->depth - 1) & 1;
		c->p = blanks_skip(c->p, c->end);
		if (c->p < c->end && *c->p == ',') {
			c->p++;
			*ret_more = true;
			return object ? key_check(c) : SK_OK;
		}
		if (c->p == c->end || *c->p != (object ? '}' : ']'))
			return wrong(c, object ? "\",\" or \"}\"" : "\",\" or \"]\"");
		c->p++;
		c->depth--;
	}
	return SK_OK;
}

sk_status sk_jread_check(const struct sk_jread *j, const char *what, const char **ret_root, struct sk_err *err)
{
	struct check c = { .p = j->text, .end = j->text + j->len, .text = j->text, .what = what, .err = err };
	bool more = true, opened;
	sk_status st;

	if (j->len > SK_JREAD_BYTES_MAX)
		return sk_fail(err, SK_ETOOBIG, "%s has %zu bytes, the limit is %u", what, j->len, SK_JREAD_BYTES_MAX);
	if (!sk_utf8_valid(j->text, j->len))
		return sk_fail(err, SK_EFORMAT, "%s is not UTF-8", what);
	while (more) {
		unsigned was = c.depth;

		st = value_check(&c);
		if (st < 0)
			return st;
		opened = c.depth > was;
		if (opened) {
			bool object = c.objects >> was & 1;

			c.p = blanks_skip(c.p, c.end);
			if (c.p < c.end && *c.p == (object ? '}' : ']')) {
				c.p++;
				c.depth--;
			} else {
				st = object ? key_check(&c) : SK_OK;
				if (st < 0)
					return st;
				continue;
			}
		}
		st = close_check(&c, &more);
		if (st < 0)
			return st;
	}
	c.p = blanks_skip(c.p, c.end);
	if (c.p != c.end)
		return sk_fail(err, SK_EFORMAT, "%s: more text after the value at byte %zu", what, (size_t)(c.p - c.text));
	*ret_root = blanks_skip(j->text, c.end);
	return SK_OK;
}

/* ---- walking what was checked ----------------------------------------------------------------------------------- */

char sk_jread_kind(const char *v)
{
	if (!v)
		return 0;
	return *v == '-' || (*v >= '0' && *v <= '9') ? '0' : *v;
}

/* Never reaches the text's end: a checked value has its end. */
static const char *blanks(const char *p)
{
	while (*p == ' ' || *p == '\n' || *p == '\t' || *p == '\r')
		p++;
	return p;
}

/* A quote ends the string unless an odd number of backslashes stands before it. */
static const char *string_end(const char *p)
{
	const char *q, *b;

	for (p++;; p = q + 1) {
		q = rawmemchr(p, '"');
		for (b = q; b > p && b[-1] == '\\'; b--)
			;
		if ((q - b) % 2 == 0)
			return q + 1;
	}
}

static const char *value_end(const char *p)
{
	unsigned depth = 0;

	do {
		switch (*p) {
		case '"':
			p = string_end(p);
			continue;
		case '{':
		case '[': depth++; break;
		case '}':
		case ']': depth--; break;
		default: break;
		}
		p++;
	} while (depth);
	/* A scalar: `p` is behind its first letter, or behind a string. */
	if (p[-1] == '"' || p[-1] == '}' || p[-1] == ']')
		return p;
	while ((*p >= '0' && *p <= '9') || (*p >= 'a' && *p <= 'z') || *p == '.' || *p == '-' || *p == '+' || *p == 'E')
		p++;
	return p;
}

struct sk_jiter sk_jread_iter(const char *v, char kind)
{
	struct sk_jiter it = { NULL };

	if (!v || sk_jread_kind(v) != kind)
		return it;
	v = blanks(v + 1);
	it.at = *v == ']' || *v == '}' ? NULL : v;
	return it;
}

static const char *next_find(const char *end)
{
	end = blanks(end);
	return *end == ',' ? blanks(end + 1) : NULL;
}

bool sk_jread_item(struct sk_jiter *it, const char **ret_v)
{
	if (!it->at)
		return false;
	*ret_v = it->at;
	it->at = next_find(value_end(it->at));
	return true;
}

bool sk_jread_member(const struct sk_jread *j, struct sk_jiter *it, struct sk_str *ret_key, const char **ret_v)
{
	const char *v;

	if (!it->at)
		return false;
	if (ret_key)
		*ret_key = sk_jread_str(j, it->at);
	v = blanks(blanks(string_end(it->at)) + 1);
	*ret_v = v;
	it->at = next_find(value_end(v));
	return true;
}

/* Keys asked for have no escapes; one written with escapes is not found, as nobody writes them. */
const char *sk_jread_find(const char *v, const char *key)
{
	struct sk_jiter it = sk_jread_iter(v, '{');
	size_t n = strlen(key);
	const char *at, *value, *found = NULL;

	while ((at = it.at) && sk_jread_member(NULL, &it, NULL, &value))
		if (!strncmp(at + 1, key, n) && at[1 + n] == '"')
			found = *value == 'n' ? NULL : value;
	return found;
}

size_t sk_jread_count(const char *v)
{
	struct sk_jiter members = sk_jread_iter(v, '{'), items = sk_jread_iter(v, '[');
	const char *value;
	size_t n = 0;

	for (; sk_jread_member(NULL, &members, NULL, &value); n++)
		;
	for (; sk_jread_item(&items, &value); n++)
		;
	return n;
}

static size_t escape_put(const char **ref, char *out)
{
	const char *p = *ref + 1;
	uint32_t cp;

	if (*p != 'u') {
		static const char from[] = "bfnrt", to[] = "\b\f\n\r\t";
		const char *at = strchr(from, *p);

		*out = at ? to[at - from] : *p;
		*ref = p + 1;
		return 1;
	}
	cp = (uint32_t)hex4(p + 1, p + 5);
	p += 5;
	if (cp >= 0xd800 && cp < 0xdc00) {
		cp = 0x10000 + ((cp - 0xd800) << 10) + ((uint32_t)hex4(p + 2, p + 6) - 0xdc00);
		p += 6;
	}
	*ref = p;
	return sk_utf8_put(out, cp);
}

struct sk_str sk_jread_str(const struct sk_jread *j, const char *v)
{
	const char *p, *end;
	size_t n = 0;
	char *out;

	if (sk_jread_kind(v) != '"')
		return (struct sk_str){ NULL, 0 };
	end = string_end(v) - 1;
	v++;
	if (!memchr(v, '\\', (size_t)(end - v)))
		return (struct sk_str){ v, (size_t)(end - v) };
	out = sk_arena_take(j->strings, (size_t)(end - v) + 1);
	if (!out)
		return (struct sk_str){ NULL, 0 };
	for (p = v; p < end;)
		if (*p == '\\')
			n += escape_put(&p, out + n);
		else
			out[n++] = *p++;
	return (struct sk_str){ out, n };
}

bool sk_jread_bool(const char *v, bool otherwise)
{
	char kind = sk_jread_kind(v);

	return kind == 't' || kind == 'f' ? kind == 't' : otherwise;
}

bool sk_jread_int(const char *v, int64_t *ret_i)
{
	const char *p = v, *end;
	uint64_t n = 0;

	if (sk_jread_kind(v) != '0')
		return false;
	end = value_end(v);
	p += *p == '-';
	if (end - p > 18)
		return false;
	for (; p < end; p++) {
		if (*p < '0' || *p > '9')
			return false;
		n = n * 10 + (uint64_t)(*p - '0');
	}
	*ret_i = *v == '-' ? -(int64_t)n : (int64_t)n;
	return true;
}

double sk_jread_double(const char *v, double otherwise)
{
	char copy[64];
	size_t n;

	if (sk_jread_kind(v) != '0')
		return otherwise;
	n = (size_t)(value_end(v) - v);
	if (n >= sizeof(copy))
		n = sizeof(copy) - 1;
	memcpy(copy, v, n);
	copy[n] = '\0';
	return strtod(copy, NULL);
}

bool sk_str_is(struct sk_str s, const char *with)
{
	return s.s && strlen(with) == s.len && !memcmp(s.s, with, s.len);
}
