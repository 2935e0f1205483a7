/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Text on its way to the model, changed step by step, with the place every byte came from.
 *
 * A step reads a struct sk_piece and writes a struct sk_normal, whose spans already point into the caller's bytes. What was
 * not changed keeps its place byte by byte; a changed character has the whole place of what it stands for, as the Hugging
 * Face library counts (normalized_string: a character that was put in shares the place of the one before).
 * owner: one thread.
 */
#ifndef SK_TEXT_NORMAL_H
#define SK_TEXT_NORMAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/base/buf.h"

struct sk_span { uint32_t from, to; };

/* Lent text: byte i stands for map[i] of the caller's; map NULL: for the byte base + i. */
struct sk_piece { const char *s; size_t len; const struct sk_span *map; uint32_t base; };

struct sk_normal {
	struct sk_buf text;
	struct sk_span *at;             /* [text.len] */
	size_t cap;
	sk_status failed;               /* stays set, so that a row of calls is checked once */
};
/* What the normalizers may make of a text of so many bytes: one character becomes 18 at most by Unicode's forms, and a step may triple those. */
#define SK_NORMALIZED_MAX(len)	(((size_t)1 << 20) + 32 * (size_t)(len))
#define SK_NORMAL { .text = SK_BUF((size_t)UINT32_MAX - 1) }
void sk_normal_fini(struct sk_normal *n);
void sk_normal_clear(struct sk_normal *n);                              /* keeps the memory */

/* Append len bytes that all stand for `from`. */
void sk_normal_put(struct sk_normal *n, const void *p, size_t len, struct sk_span from);
void sk_normal_put_cp(struct sk_normal *n, uint32_t cp, struct sk_span from);
/* Append bytes [from, to) of p as they are. */
void sk_normal_keep(struct sk_normal *n, const struct sk_piece *p, size_t from, size_t to);

static inline struct sk_piece sk_normal_piece(const struct sk_normal *n)
{
	return (struct sk_piece){ n->text.data, n->text.len, n->at, 0 };
}

/* What bytes [from, to) stand for; an empty part has the place where it is. */
static inline struct sk_span sk_piece_span(const struct sk_piece *p, size_t from, size_t to)
{
	if (!p->map)
		return (struct sk_span){ p->base + (uint32_t)from, p->base + (uint32_t)to };
	if (from < to)
		return (struct sk_span){ p->map[from].from, p->map[to - 1].to };
	if (from < p->len)
		return (struct sk_span){ p->map[from].from, p->map[from].from };
	return p->len ? (struct sk_span){ p->map[p->len - 1].to, p->map[p->len - 1].to } : (struct sk_span){ p->base, p->base };
}

static inline struct sk_piece sk_piece_part(const struct sk_piece *p, size_t from, size_t to)
{
	return (struct sk_piece){ p->s + from, to - from, p->map ? p->map + from : NULL, p->base + (uint32_t)from };
}

/* The character at byte i of well-formed text: its length in bytes. */
static inline size_t sk_piece_char(const struct sk_piece *p, size_t i, uint32_t *ret_cp)
{
	const unsigned char *s = (const unsigned char *)p->s + i;

	if (s[0] < 0x80) {
		*ret_cp = s[0];
		return 1;
	}
	if (s[0] < 0xe0) {
		*ret_cp = (uint32_t)(s[0] & 0x1f) << 6 | (s[1] & 0x3f);
		return 2;
	}
	if (s[0] < 0xf0) {
		*ret_cp = (uint32_t)(s[0] & 0x0f) << 12 | (uint32_t)(s[1] & 0x3f) << 6 | (s[2] & 0x3f);
		return 3;
	}
	*ret_cp = (uint32_t)(s[0] & 7) << 18 | (uint32_t)(s[1] & 0x3f) << 12 | (uint32_t)(s[2] & 0x3f) << 6 | (s[3] & 0x3f);
	return 4;
}

bool sk_normal_is_ascii(const char *s, size_t len);

/* Ill-formed parts become U+FFFD. */
sk_status sk_normal_lossy(struct sk_normal *n, const char *s, size_t len);

/*
 * Unicode's normal forms of well-formed text. A run of more than 256 combining marks is put in order in parts: sorting it
 * whole would take quadratic time, and no language has one.
 */
enum sk_form { SK_FORM_NFC, SK_FORM_NFD, SK_FORM_NFKC, SK_FORM_NFKD };
sk_status sk_normal_form(struct sk_normal *n, const struct sk_piece *p, enum sk_form form);

#endif
