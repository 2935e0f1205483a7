/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading a big JSON file in place: checked whole once (base/jpull.h), then walked in any order, without a tree.
 *
 * A vocabulary is a million short strings: a tree of objects takes ten times the file's size, and must be taken down again.
 * Here a value is the place where it begins. sk_jread_check() proves the text well-formed and within the limits of jpull.h (RFC 8259,
 * UTF-8, no lone surrogates); all else relies on it and cannot fail, but for memory.
 * owner: one thread. The text is lent and must stay.
 */
#ifndef SK_TEXT_JREAD_H
#define SK_TEXT_JREAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/base/arena.h"
#include "engine/base/err.h"
#include "engine/base/jpull.h"

#define SK_JREAD_BYTES_MAX	(256u << 20)
/* strings: where those with escapes are written; the others point into the text. */
struct sk_jread { const char *text; size_t len; struct sk_arena *strings; };

/* *ret_root: the one value of the text. what: the file's name, for the message. SK_EFORMAT SK_ETOOBIG */
sk_status sk_jread_check(const struct sk_jread *j, const char *what, const char **ret_root, struct sk_err *err);

/* The kind of the value at v by its first letter: '{' '[' '"' 't' 'f' 'n', or '0' for a number; 0 for NULL. */
char sk_jread_kind(const char *v);

/* Walk an array or an object: it = { v } at first; NULL or another kind is empty. key may be NULL. */
struct sk_jiter { const char *at; };
struct sk_jiter sk_jread_iter(const char *v, char kind);
bool sk_jread_item(struct sk_jiter *it, const char **ret_v);
bool sk_jread_member(const struct sk_jread *j, struct sk_jiter *it, struct sk_str *ret_key, const char **ret_v);

/* The member's value; NULL: v is no object or has none. A literal null counts as none. The last of equal keys. */
const char *sk_jread_find(const char *v, const char *key);
/* The same for several keys in one walk, for an object that is big. */
void sk_jread_find_all(const char *v, const char *const *keys, size_t len, const char **ret_values);
size_t sk_jread_count(const char *v);                   /* of an array or object */

/* The string at v; { NULL, 0 } when it is none, or when there is no memory (then strings is at its end). */
struct sk_str sk_jread_str(const struct sk_jread *j, const char *v);
bool sk_jread_bool(const char *v, bool otherwise);
/* An integer of 63 bits. false: none. */
bool sk_jread_int(const char *v, int64_t *ret_i);
/*
 * As the reference reads a number: at most 64 bits of digits, rounded, then one multiplication or division by a power of ten, so
 * that one of 17 digits may be a last bit off. Sums of scores that tie depend on it.
 */
double sk_jread_double(const char *v, double otherwise);

bool sk_str_is(struct sk_str s, const char *with);

#endif
