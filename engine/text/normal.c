/* SPDX-License-Identifier: Apache-2.0 */
/* See normal.h. The forms' data is utf8proc's; what the Hugging Face library does not know yet is left as it is. */
#include "engine/text/normal.h"

#include <stdlib.h>
#include <string.h>

#include <utf8proc.h>

#include "engine/base/utf8.h"
#include "engine/text/sets.h"

#define MARKS_MAX	256
#define PART_MAX	4096            /* characters put in order and composed at once */
#define MADE_MAX	18              /* characters that one can decompose into: U+FDFA */

void sk_normal_fini(struct sk_normal *n)
{
	sk_buf_fini(&n->text);
	free(n->at);
	n->at = NULL;
	n->cap = 0;
}

void sk_normal_clear(struct sk_normal *n)
{
	sk_buf_clear(&n->text);
	n->failed = SK_OK;
}

bool sk_normal_is_ascii(const char *s, size_t len)
{
	unsigned char any = 0;
	size_t i;

	for (i = 0; i < len; i++)
		any |= (unsigned char)s[i];
	return any < 0x80;
}

/* Room for more; NULL when there is none. */
static struct sk_span *room(struct sk_normal *n, size_t more)
{
	size_t cap, was = n->text.len;
	struct sk_span *at;

	if (was + more > n->cap) {
		cap = (was + more) * 2;
		at = realloc(n->at, cap * sizeof(*at));
		if (!at) {
			n->failed = SK_ENOMEM;
			return NULL;
		}
		n->at = at;
		n->cap = cap;
	}
	return n->at + was;
}

void sk_normal_put(struct sk_normal *n, const void *p, size_t len, struct sk_span from)
{
	struct sk_span *at;
	sk_status st;
	size_t i;

	if (!len || n->failed < 0 || !(at = room(n, len)))
		return;
	st = sk_buf_add(&n->text, p, len);
	if (st < 0)
		n->failed = st;
	else
		for (i = 0; i < len; i++)
			at[i] = from;
}

void sk_normal_put_cp(struct sk_normal *n, uint32_t cp, struct sk_span from)
{
	char utf8[4];
	size_t len = sk_utf8_put(utf8, cp);

	sk_normal_put(n, utf8, len, from);
}

void sk_normal_keep(struct sk_normal *n, const struct sk_piece *p, size_t from, size_t to)
{
	struct sk_span *at;
	sk_status st;
	size_t i;

	if (from == to || n->failed < 0 || !(at = room(n, to - from)))
		return;
	st = sk_buf_add(&n->text, p->s + from, to - from);
	if (st < 0)
		n->failed = st;
	else if (p->map)
		memcpy(at, p->map + from, (to - from) * sizeof(*at));
	else
		for (i = from; i < to; i++)
			at[i - from] = (struct sk_span){ p->base + (uint32_t)i, p->base + (uint32_t)i + 1 };
}

sk_status sk_normal_lossy(struct sk_normal *n, const char *s, size_t len)
{
	struct sk_piece p = { s, len, NULL, 0 };
	size_t i = 0, from = 0, bad;
	uint32_t cp;
	int got;

	while (i < len) {
		got = sk_utf8_next(s + i, len - i, &cp);
		if (got > 0) {
			i += (size_t)got;
			continue;
		}
		bad = got ? (size_t)-got : len - i;
		sk_normal_keep(n, &p, from, i);
		sk_normal_put(n, "\xef\xbf\xbd", 3, (struct sk_span){ (uint32_t)i, (uint32_t)(i + bad) });
		i += bad;
		from = i;
	}
	sk_normal_keep(n, &p, from, len);
	return n->failed;
}

/* ---- the normal forms --------------------------------------------------------------------------------------------- */

/* `taken`: characters of the text that this one stands for; 0: it was put in behind what was taken before. */
struct item { uint32_t cp; uint8_t ccc; uint32_t taken; };

static uint8_t ccc_of(uint32_t cp)
{
	if (cp < 0x300 || sk_set_has(SK_SET_INERT, cp))
		return 0;
	return (uint8_t)utf8proc_get_property((utf8proc_int32_t)cp)->combining_class;
}

static size_t decompose(uint32_t cp, bool compat, struct item *out)
{
	utf8proc_int32_t into[64];
	utf8proc_ssize_t n = 1, i;
	int last = 0;

	into[0] = (utf8proc_int32_t)cp;
	if (cp >= 0x80 && !sk_set_has(SK_SET_INERT, cp))
		n = utf8proc_decompose_char((utf8proc_int32_t)cp, into, 64,
					    UTF8PROC_STABLE | UTF8PROC_DECOMPOSE | (compat ? UTF8PROC_COMPAT : 0), &last);
	if (n < 1 || n > MADE_MAX) {
		into[0] = (utf8proc_int32_t)cp;
		n = 1;
	}
	for (i = 0; i < n; i++)
		out[i] = (struct item){ (uint32_t)into[i], ccc_of((uint32_t)into[i]), i == 0 };
	return (size_t)n;
}

/* Stable, by class, every run of marks. Runs are short. */
static void marks_sort(struct item *v, size_t len)
{
	size_t i, j;

	for (i = 1; i < len; i++) {
		struct item x = v[i];

		for (j = i; j && x.ccc && v[j - 1].ccc > x.ccc; j--)
			v[j] = v[j - 1];
		v[j] = x;
	}
}

/* 0: the two do not compose. */
static uint32_t compose(uint32_t a, uint32_t b)
{
	utf8proc_int32_t pair[3] = { (utf8proc_int32_t)a, (utf8proc_int32_t)b, 0 };

	/* utf8proc takes U+11A7, which is no consonant, for the first of those that end a syllable. */
	if (b < 0x300 || b == 0x11a7 || sk_set_has(SK_SET_INERT, a) || sk_set_has(SK_SET_INERT, b))
		return 0;
	if (utf8proc_normalize_utf32(pair, 2, UTF8PROC_STABLE | UTF8PROC_COMPOSE) != 1)
		return 0;
	return sk_set_has(SK_SET_INERT, (uint32_t)pair[0]) ? 0 : (uint32_t)pair[0];
}

static size_t compose_all(struct item *v, size_t len)
{
	size_t n = 0, starter = SIZE_MAX, i;
	uint8_t last = 0;               /* class of the last one kept after the starter */
	uint32_t to;

	for (i = 0; i < len; i++) {
		bool beside = starter != SIZE_MAX && n == starter + 1;

		to = 0;
		if (starter != SIZE_MAX && (beside || (last < v[i].ccc && v[i].ccc)))
			to = compose(v[starter].cp, v[i].cp);
		if (to) {
			v[starter].cp = to;
			v[starter].taken += v[i].taken;
			continue;
		}
		if (!v[i].ccc)
			starter = n;
		last = v[i].ccc;
		v[n++] = v[i];
	}
	return n;
}

/*
 * The part's characters with their places: each takes its count of old ones, and has the place of the first; where it takes none,
 * that of the last one taken.
 */
static void items_put(struct sk_normal *n, const struct sk_piece *p, size_t from, const struct item *v, size_t len)
{
	struct sk_span first, last = sk_piece_span(p, from, from);
	size_t i, at = from, size;
	uint32_t cp, k;

	for (i = 0; i < len; i++) {
		first = last;
		for (k = 0; k < v[i].taken && at < p->len; k++) {
			size = sk_piece_char(p, at, &cp);
			last = sk_piece_span(p, at, at + size);
			if (!k)
				first = last;
			at += size;
		}
		sk_normal_put_cp(n, v[i].cp, first);
	}
}

/* A starter that is surely no second half of a composed character. */
static bool is_first(uint32_t cp)
{
	return cp < 0x300 || (cp >= 0x1e00 && cp < 0x11000 && !ccc_of(cp)) || (cp >= 0x1100 && cp < 0x1160);
}

/* Where a part ends that no form reaches over: before a character below U+0300, or after so many marks. */
static size_t part_end(const struct sk_piece *p, size_t from, size_t *ret_chars)
{
	size_t i = from, marks = 0, chars = 0;
	uint32_t cp;

	while (i < p->len && marks < MARKS_MAX && chars < PART_MAX) {
		size_t n = sk_piece_char(p, i, &cp);

		if (i > from && (cp < 0x300 || (chars > 64 && is_first(cp))))
			break;
		marks = ccc_of(cp) ? marks + 1 : 0;
		chars++;
		i += n;
	}
	*ret_chars = chars;
	return i;
}

static void part_form(struct sk_normal *n, const struct sk_piece *p, size_t from, size_t to, enum sk_form form,
		      struct item *items)
{
	bool compat = form == SK_FORM_NFKC || form == SK_FORM_NFKD, same = true;
	size_t i, len = 0, size, old = 0;
	uint32_t cp;

	for (i = from; i < to; i += size) {
		size = sk_piece_char(p, i, &cp);
		len += decompose(cp, compat, items + len);
	}
	marks_sort(items, len);
	if (form == SK_FORM_NFC || form == SK_FORM_NFKC)
		len = compose_all(items, len);
	for (i = from; i < to && same; i += size, old++) {
		size = sk_piece_char(p, i, &cp);
		same = old < len && items[old].cp == cp;
	}
	if (same && old == len)
		sk_normal_keep(n, p, from, to);
	else
		items_put(n, p, from, items, len);
}

sk_status sk_normal_form(struct sk_normal *n, const struct sk_piece *p, enum sk_form form)
{
	struct item *items = NULL, *more;
	size_t i, end, chars, room_len = 0;

	for (i = 0; i < p->len && n->failed == SK_OK; i = end) {
		for (end = i; end < p->len && (unsigned char)p->s[end] < 0x80; end++)
			;
		/* ASCII, all but the last: that may compose with what follows. */
		if (end > i + 1 || (end == p->len && end > i)) {
			end -= end < p->len;
			sk_normal_keep(n, p, i, end);
			continue;
		}
		end = part_end(p, i, &chars);
		if (chars > room_len) {
			room_len = chars < 64 ? 64 : chars;
			more = realloc(items, room_len * MADE_MAX * sizeof(*items));
			if (!more) {
				n->failed = SK_ENOMEM;
				break;
			}
			items = more;
		}
		part_form(n, p, i, end, form, items);
	}
	free(items);
	return n->failed;
}
