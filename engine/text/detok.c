/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ids to text: whole (decode) and token by token (detok).
 *
 * A token may end inside a character. The tail keeps its bytes, at most three of them, until the character is
 * whole or can no longer become one.
 */
#include "engine/text/kind.h"

#include <string.h>

#include "engine/base/utf8.h"

#define REPLACEMENT "\xef\xbf\xbd"

sk_status sk_text_decode(const struct sk_text *t, const int32_t *ids, size_t len, bool skip_special, struct sk_buf *b)
{
	struct sk_detok d = { .tail_len = 0 };
	sk_status st;
	size_t i;

	for (i = 0; i < len; i++) {
		if (skip_special && sk_text_is_special(t, ids[i]))
			continue;
		st = sk_detok_push(t, &d, ids[i], b);
		if (st < 0)
			return st;
	}
	return sk_detok_end(&d, b);
}

/*
 * The tail and the first bytes of the piece, byte by byte, until the tail is empty: the character is given, or its
 * ill-formed beginning is replaced and the byte that broke it stays in the tail (or begins anew).
 * Returns how many bytes of p were taken.
 */
static size_t tail_feed(struct sk_detok *d, const char *p, size_t len, struct sk_buf *b)
{
	size_t used = 0;
	uint32_t cp;
	int n;

	while (d->tail_len && used < len) {
		d->tail[d->tail_len++] = p[used++];
		while (d->tail_len) {
			n = sk_utf8_next(d->tail, d->tail_len, &cp);
			if (n == 0)
				break;
			if (n > 0)
				sk_buf_add(b, d->tail, (size_t)n);
			else
				sk_buf_add(b, REPLACEMENT, 3);
			n = n > 0 ? n : -n;
			d->tail_len -= (uint8_t)n;
			memmove(d->tail, d->tail + n, d->tail_len);
		}
	}
	return used;
}

sk_status sk_detok_push(const struct sk_text *t, struct sk_detok *d, int32_t id, struct sk_buf *b)
{
	size_t len, used, from;
	const char *p = sk_text_piece(t, id, &len);
	uint32_t cp;
	int n;

	used = tail_feed(d, p, len, b);
	from = used;
	while (used < len) {
		n = sk_utf8_next(p + used, len - used, &cp);
		if (n > 0) {
			used += (size_t)n;
			continue;
		}
		sk_buf_add(b, p + from, used - from);
		if (n == 0) {
			d->tail_len = (uint8_t)(len - used);
			memcpy(d->tail, p + used, d->tail_len);
			return b->failed;
		}
		sk_buf_add(b, REPLACEMENT, 3);
		used += (size_t)-n;
		from = used;
	}
	sk_buf_add(b, p + from, used - from);
	return b->failed;
}

sk_status sk_detok_end(struct sk_detok *d, struct sk_buf *b)
{
	if (d->tail_len)
		sk_buf_add(b, REPLACEMENT, 3);
	d->tail_len = 0;
	return b->failed;
}
