/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ids to text: whole (decode) and token by token (detok).
 *
 * A token may end inside a character. The tail keeps its bytes, at most three of them, until the character is whole or can no
 * longer become one. Where the decoder is ByteLevel, that is all there is to do; others are in decoders.c.
 */
#include "engine/text/kind.h"

#include <string.h>

#include "engine/base/utf8.h"

#define REPLACEMENT "\xef\xbf\xbd"

/*
 * The tail and the first bytes of the piece, byte by byte, until the tail is empty: the character is given, or its
 * ill-formed beginning is replaced and the byte that broke it stays in the tail (or begins anew).
 */
static sk_status tail_feed(struct sk_detok *d, const char *p, size_t len, sk_bytes_take *take, void *arg, size_t *ret_used)
{
	sk_status st = SK_OK;
	size_t used = 0;
	uint32_t cp;
	int n;

	while (d->tail_len && used < len && st == SK_OK) {
		d->tail[d->tail_len++] = p[used++];
		while (d->tail_len && st == SK_OK) {
			n = sk_utf8_next(d->tail, d->tail_len, &cp);
			if (n == 0)
				break;
			st = n > 0 ? take(arg, d->tail, (size_t)n) : take(arg, REPLACEMENT, 3);
			n = n > 0 ? n : -n;
			d->tail_len -= (uint8_t)n;
			memmove(d->tail, d->tail + n, d->tail_len);
		}
	}
	*ret_used = used;
	return st;
}

sk_status sk_detok_bytes(struct sk_detok *d, const char *p, size_t len, sk_bytes_take *take, void *arg)
{
	size_t used, from;
	sk_status st = tail_feed(d, p, len, take, arg, &used);
	uint32_t cp;
	int n;

	from = used;
	while (used < len && st == SK_OK) {
		n = sk_utf8_next(p + used, len - used, &cp);
		if (n > 0) {
			used += (size_t)n;
			continue;
		}
		if (used > from)
			st = take(arg, p + from, used - from);
		if (n == 0) {
			d->tail_len = (uint8_t)(len - used);
			memcpy(d->tail, p + used, d->tail_len);
			return st;
		}
		if (st == SK_OK)
			st = take(arg, REPLACEMENT, 3);
		used += (size_t)-n;
		from = used;
	}
	return st == SK_OK && used > from ? take(arg, p + from, used - from) : st;
}

static sk_status buf_take(void *arg, const char *s, size_t len)
{
	return sk_buf_add(arg, s, len);
}

static sk_status push(const struct sk_text *t, struct sk_detok *d, int32_t id, struct sk_buf *b, struct sk_buf *hold)
{
	struct sk_decode c = { t, d, b, hold };
	size_t len;
	const char *p;
	sk_status st;

	/* What is no token is left out, as the Hugging Face library does. */
	if (id < 0 || id >= t->vocab || t->flags[id] & SK_TF_HOLE)
		return b->failed;
	p = sk_text_piece(t, id, &len);
	d->text = t;
	st = t->raw_pieces ? sk_detok_bytes(d, p, len, buf_take, b) : sk_decoder_token(&c, p, len);
	return st < 0 ? st : b->failed;
}

sk_status sk_detok_push(const struct sk_text *t, struct sk_detok *d, int32_t id, struct sk_buf *b)
{
	return push(t, d, id, b, NULL);
}

static sk_status end(struct sk_detok *d, struct sk_buf *b, struct sk_buf *hold)
{
	struct sk_decode c = { d->text, d, b, hold };

	sk_status st = SK_OK;

	if (d->text && !d->text->raw_pieces)
		st = sk_decoder_end(&c);
	else if (d->tail_len)
		sk_buf_add(b, REPLACEMENT, 3);
	d->text = NULL;
	d->tail_len = 0;
	memset(d->step, 0, sizeof(d->step));
	return st < 0 ? st : b->failed;
}

sk_status sk_detok_end(struct sk_detok *d, struct sk_buf *b)
{
	return end(d, b, NULL);
}

void sk_detok_continue(const struct sk_text *t, struct sk_detok *d)
{
	if (!t->raw_pieces)
		sk_decoder_continue(&t->decoder, d);
}

static sk_status decode(const struct sk_text *t, const int32_t *ids, size_t len, bool skip_special, bool rest, struct sk_buf *b)
{
	struct sk_detok d = { .tail_len = 0 };
	struct sk_buf hold = SK_BUF(SIZE_MAX);
	sk_status st = SK_OK;
	size_t i;

	if (rest)
		sk_detok_continue(t, &d);
	for (i = 0; i < len && st == SK_OK; i++)
		if (!skip_special || !sk_text_is_special(t, ids[i]))
			st = push(t, &d, ids[i], b, &hold);
	if (st == SK_OK)
		st = end(&d, b, &hold);
	if (hold.failed < 0)
		st = hold.failed;
	sk_buf_fini(&hold);
	return st;
}

sk_status sk_text_decode(const struct sk_text *t, const int32_t *ids, size_t len, bool skip_special, struct sk_buf *b)
{
	return decode(t, ids, len, skip_special, false, b);
}

sk_status sk_text_decode_rest(const struct sk_text *t, const int32_t *ids, size_t len, bool skip_special, struct sk_buf *b)
{
	return decode(t, ids, len, skip_special, true, b);
}

/* ---- two offsets ---- */

void sk_text_window_begin(struct sk_text_window *w, size_t prompt_len)
{
	w->prefix = prompt_len > SK_WINDOW_BEFORE ? prompt_len - SK_WINDOW_BEFORE : 0;
	w->read = prompt_len;
}

sk_status sk_text_window_push(const struct sk_text *t, struct sk_text_window *w, const int32_t *ids, size_t len, bool last,
			      struct sk_buf *b)
{
	const int32_t *from = ids + w->prefix;
	size_t at = b->len, chars, skip = 0;
	sk_status st = sk_text_decode(t, from, w->read - w->prefix, false, b);
	uint32_t cp;

	if (st < 0)
		return st;
	/* Characters, not bytes, are counted: a decoder may make another text of the same tokens once more of them are there. */
	chars = sk_utf8_count(b->data + at, b->len - at);
	b->len = at;
	st = sk_text_decode(t, from, len - w->prefix, false, b);
	if (st < 0)
		return st;
	while (chars > 0 && at + skip < b->len) {
		skip += (size_t)sk_utf8_next(b->data + at + skip, b->len - at - skip, &cp);
		chars--;
	}
	if (!last && len - w->prefix <= SK_WINDOW_MAX &&
	    (at + skip == b->len || (b->len - at >= 3 && memcmp(b->data + b->len - 3, REPLACEMENT, 3) == 0))) {
		b->len = at;
		return SK_OK;
	}
	memmove(b->data + at, b->data + at + skip, b->len - at - skip);
	b->len -= skip;
	w->prefix = w->read;
	w->read = len;
	return SK_OK;
}
