/* SPDX-License-Identifier: Apache-2.0 */
/* See normal.h. */
#include "engine/text/normal.h"

#include <stdlib.h>
#include <string.h>

#include <utf8proc.h>

#include "engine/base/utf8.h"

#define MARKS_MAX 256

void sk_normal_fini(struct sk_normal *n)
{
	sk_buf_fini(&n->text);
	free(n->at);
	n->at = NULL;
	n->cap = 0;
}

bool sk_normal_is_ascii(const char *s, size_t len)
{
	unsigned char any = 0;
	size_t i;

	for (i = 0; i < len; i++)
		any |= (unsigned char)s[i];
	return any < 0x80;
}

/* Append len bytes that came from `from`: byte by byte the same when `same`, else all from its start. */
static sk_status part_add(struct sk_normal *n, const void *p, size_t len, size_t from, bool same)
{
	size_t cap, i, was = n->text.len;
	uint32_t *at;
	sk_status st;

	if (was + len + 1 > n->cap) {
		cap = (was + len + 1) * 2;
		at = realloc(n->at, cap * sizeof(*at));
		if (!at)
			return SK_ENOMEM;
		n->at = at;
		n->cap = cap;
	}
	st = len ? sk_buf_add(&n->text, p, len) : SK_OK;
	if (st < 0)
		return st;
	for (i = 0; i < len; i++)
		n->at[was + i] = (uint32_t)(same ? from + i : from);
	n->at[was + len] = (uint32_t)(same ? from + len : from);
	return SK_OK;
}

sk_status sk_normal_lossy(struct sk_normal *n, const char *s, size_t len)
{
	size_t i = 0, from = 0;
	sk_status st;
	uint32_t cp;
	int got;

	while (i < len) {
		got = sk_utf8_next(s + i, len - i, &cp);
		if (got > 0) {
			i += (size_t)got;
			continue;
		}
		st = part_add(n, s + from, i - from, from, true);
		if (st == SK_OK)
			st = part_add(n, "\xef\xbf\xbd", 3, i, false);
		if (st < 0)
			return st;
		i += got ? (size_t)-got : len - i;
		from = i;
	}
	return part_add(n, s + from, len - from, from, true);
}

/*
 * Where the part that begins at `from` ends: before the next ASCII character (none composes with what is before
 * it), or after MARKS_MAX combining marks in a row.
 */
static size_t part_end(const char *s, size_t len, size_t from)
{
	size_t i = from, marks = 0;
	uint32_t cp;
	int got;

	while (i < len && (i == from || (unsigned char)s[i] >= 0x80) && marks < MARKS_MAX) {
		got = sk_utf8_next(s + i, len - i, &cp);
		if (got <= 0)
			got = 1;
		else
			marks = utf8proc_get_property((utf8proc_int32_t)cp)->combining_class ? marks + 1 : 0;
		i += (size_t)got;
	}
	return i;
}

sk_status sk_normal_nfc(struct sk_normal *n, const char *s, size_t len)
{
	utf8proc_uint8_t *composed;
	utf8proc_ssize_t got;
	sk_status st = SK_OK;
	size_t i, end;
	bool same;

	for (i = 0; i < len && st == SK_OK; i = end) {
		for (end = i; end < len && (unsigned char)s[end] < 0x80; end++)
			;
		if (end > i + 1 || end == len) {        /* ASCII, all but the last: that may compose with what follows */
			end -= end < len;
			st = part_add(n, s + i, end - i, i, true);
			continue;
		}
		end = part_end(s, len, i);
		composed = NULL;
		got = utf8proc_map((const utf8proc_uint8_t *)s + i, (utf8proc_ssize_t)(end - i), &composed,
				   UTF8PROC_STABLE | UTF8PROC_COMPOSE);
		if (got < 0)
			return SK_ENOMEM;
		same = (size_t)got == end - i && !memcmp(composed, s + i, end - i);
		st = part_add(n, composed, (size_t)got, i, same);
		free(composed);
		if (st == SK_OK && !same)
			n->at[n->text.len] = (uint32_t)end;
	}
	return st == SK_OK && !n->at ? part_add(n, "", 0, len, false) : st;
}
