/* SPDX-License-Identifier: Apache-2.0 */
/* See jread.h. */
#include "engine/text/jread.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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

sk_status sk_jread_check(const struct sk_jread *j, const char *what, const char **ret_root, struct sk_err *err)
{
	struct sk_jpull r;
	sk_status st;

	if (j->len > SK_JREAD_BYTES_MAX)
		return sk_fail(err, SK_ETOOBIG, "%s has %zu bytes, the limit is %u", what, j->len, SK_JREAD_BYTES_MAX);
	sk_jpull_init(&r, j->text, j->len, what, j->strings, err);
	r.strict = true;
	sk_jpull_skip(&r);
	st = sk_jpull_end(&r);
	if (st == SK_OK)
		*ret_root = blanks(j->text);
	return st;
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
void sk_jread_find_all(const char *v, const char *const *keys, size_t len, const char **ret_values)
{
	struct sk_jiter it = sk_jread_iter(v, '{');
	const char *at, *value;
	size_t i, n;

	for (i = 0; i < len; i++)
		ret_values[i] = NULL;
	while ((at = it.at) && sk_jread_member(NULL, &it, NULL, &value))
		for (i = 0; i < len; i++) {
			n = strlen(keys[i]);
			if (!strncmp(at + 1, keys[i], n) && at[1 + n] == '"')
				ret_values[i] = *value == 'n' ? NULL : value;
		}
}

const char *sk_jread_find(const char *v, const char *key)
{
	const char *found;

	sk_jread_find_all(v, &key, 1, &found);
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

struct sk_str sk_jread_str(const struct sk_jread *j, const char *v)
{
	struct sk_str s = { NULL, 0 };
	struct sk_jpull r;
	const char *end;

	if (sk_jread_kind(v) != '"')
		return s;
	end = string_end(v);
	if (!memchr(v, '\\', (size_t)(end - v)))
		return (struct sk_str){ v + 1, (size_t)(end - v) - 2 };
	sk_jpull_init(&r, v, (size_t)(end - v), "", j->strings, NULL);
	sk_jpull_str(&r, &s);
	return s;
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

/* 10^n as the nearest double. */
static double power_of_ten(int n)
{
	static const double few[] = { 1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17,
				      1e18, 1e19, 1e20, 1e21, 1e22 };
	char name[16];

	if (n < (int)(sizeof(few) / sizeof(few[0])))
		return few[n];
	snprintf(name, sizeof(name), "1e%d", n);
	return strtod(name, NULL);
}

/* Digits into *io_sum while they fit 64 bits; those that do not are left out. Returns where they end. */
static const char *digits_take(const char *p, const char *end, uint64_t *io_sum, int *io_exponent, bool fraction, bool *io_full)
{
	for (; p < end && *p >= '0' && *p <= '9'; p++) {
		uint64_t digit = (uint64_t)(*p - '0');

		*io_full = *io_full || *io_sum > (UINT64_MAX - digit) / 10;
		if (!*io_full)
			*io_sum = *io_sum * 10 + digit;
		*io_exponent += fraction ? -!*io_full : *io_full;
	}
	return p;
}

double sk_jread_double(const char *v, double otherwise)
{
	const char *p = v, *end;
	uint64_t sum = 0;
	int exponent = 0;
	bool full = false;
	double f;

	if (sk_jread_kind(v) != '0')
		return otherwise;
	end = value_end(v);
	p = digits_take(p + (*p == '-'), end, &sum, &exponent, false, &full);
	if (p < end && *p == '.')
		p = digits_take(p + 1, end, &sum, &exponent, true, &full);
	if (p < end && (*p | 0x20) == 'e') {
		long e = strtol(p + 1, NULL, 10);       /* what follows a number in a file is no digit */

		exponent += (int)(e < -100000 ? -100000 : e > 100000 ? 100000 : e);
	}
	f = (double)sum;
	for (; f != 0 && exponent < -308; exponent += 308)
		f /= 1e308;
	if (f != 0)
		f = exponent > 308 ? INFINITY : exponent >= 0 ? f * power_of_ten(exponent) : f / power_of_ten(-exponent);
	return *v == '-' ? -f : f;
}

bool sk_str_is(struct sk_str s, const char *with)
{
	return s.s && strlen(with) == s.len && !memcmp(s.s, with, s.len);
}
