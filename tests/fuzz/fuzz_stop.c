/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Stop strings from any bytes, fed in any pieces, beside a search of the whole text: where the first one ends, how long it is,
 * and how much must be held back before.
 *
 * Input: a byte n, n & 3 strings more than one; each a byte of length (& 15, and one more) and its bytes; then text, in which a byte
 * 0xff ends a piece.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "engine/text/text.h"

enum { STRINGS = 4, TEXT_MAX = 4096 };

struct strings { const char *s[STRINGS]; size_t len[STRINGS], n; };

/* Of text[0 .. len): the end of the first stop string and its length, or 0 and what may begin one. */
static size_t search(const struct strings *t, const char *text, size_t len, size_t *ret_match, size_t *ret_held)
{
	*ret_match = *ret_held = 0;
	for (size_t end = 1; end <= len; end++) {
		for (size_t i = 0; i < t->n; i++)
			if (t->len[i] <= end && t->len[i] > *ret_match && !memcmp(text + end - t->len[i], t->s[i], t->len[i]))
				*ret_match = t->len[i];
		if (*ret_match)
			return end;
	}
	for (size_t i = 0; i < t->n; i++)
		for (size_t n = t->len[i] - 1; n > *ret_held; n--)
			if (n <= len && !memcmp(text + len - n, t->s[i], n))
				*ret_held = n;
	return 0;
}

static void feed(struct sk_stop *s, const struct strings *t, const char *p, size_t left)
{
	static char text[TEXT_MAX];
	size_t len = 0;

	while (left > 0) {
		const char *border = memchr(p, 0xff, left);
		size_t n = border ? (size_t)(border - p) : left, used = 0, match = 0, held = 0, want, want_match, want_held;
		bool hit;

		if (len + n > sizeof(text))
			return;
		memcpy(text + len, p, n);
		hit = sk_stop_feed(s, p, n, &used, &match, &held);
		want = search(t, text, len + n, &want_match, &want_held);
		if (hit != (want > 0) || (hit && (len + used != want || match != want_match)) || (!hit && held != want_held))
			abort();
		if (hit)
			return;
		len += n;
		n += border != NULL;
		p += n;
		left -= n;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	const char *p = (const char *)data, *end = p + len;
	struct strings t = { .n = 0 };
	struct sk_stop *s = NULL;
	size_t strings;

	if (len == 0 || len > 512)
		return 0;
	strings = 1 + ((uint8_t)*p++ & 3);
	while (t.n < strings && p < end) {
		size_t n = 1 + ((uint8_t)*p++ & 15);

		if (n > (size_t)(end - p))
			return 0;
		t.s[t.n] = p;
		t.len[t.n++] = n;
		p += n;
	}
	if (sk_stop_open(t.s, t.len, t.n, &s, NULL) < 0)
		abort();
	feed(s, &t, p, (size_t)(end - p));
	sk_stop_close(&s);
	return 0;
}
