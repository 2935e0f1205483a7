/* SPDX-License-Identifier: Apache-2.0 */
/*
 * JSON read value by value, with caps, without building a tree: for files whose JSON may be as large as they like
 * to say (a checkpoint's header has up to 100 MB; a tree of it would take gigabytes).
 *
 *	sk_jread_init(&r, text, len, "x.json", &arena, err);
 *	sk_jread_enter(&r, SK_JREAD_OBJECT);
 *	while (sk_jread_key(&r, &key))
 *		sk_jread_skip(&r);                   exactly one value is read behind each key
 *	st = sk_jread_end(&r);
 *
 * The first fault sticks: every later call fails, key and item say that there is nothing more, and the words are in err.
 * So a row of calls can be checked once, at the end. RFC 8259, strict, but for NaN, Infinity and -Infinity, which Python
 * writes. Whether a key may come twice is the reader's business.
 *
 * owner: one thread. The text must outlive the strings, which are lent from it.
 */
#ifndef SK_BASE_JREAD_H
#define SK_BASE_JREAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/base/arena.h"
#include "engine/base/err.h"

#define SK_JREAD_DEPTH_MAX 32           /* arrays and objects inside each other */
#define SK_JREAD_NUMBER_MAX 255         /* bytes of one number */

enum sk_jread_type {
	SK_JREAD_FAULT, SK_JREAD_NULL, SK_JREAD_BOOL, SK_JREAD_NUMBER, SK_JREAD_STRING, SK_JREAD_ARRAY, SK_JREAD_OBJECT,
};

struct sk_jstr { const char *s; size_t len; };  /* UTF-8, well-formed, may hold NUL; not NUL-terminated */
struct sk_jnum { bool is_int; int64_t i; double f; };   /* f is always set; is_int: written as an integer that int64 holds */

struct sk_jread {
	const char *s, *name;
	size_t len, at;
	struct sk_arena *arena;         /* takes strings that have escapes */
	int depth;
	bool fresh;                     /* behind '[' or '{': no comma is due */
	sk_status status;
	struct sk_err *err;
};

/* name: what the text is, for messages; it must outlive r. */
void sk_jread_init(struct sk_jread *r, const char *s, size_t len, const char *name, struct sk_arena *arena, struct sk_err *err);

/* What comes next, without reading it. FAULT at a byte that begins no value, and after a fault. */
enum sk_jread_type sk_jread_peek(struct sk_jread *r);

/* Into an ARRAY or OBJECT; anything else is a fault that says what was expected. */
bool sk_jread_enter(struct sk_jread *r, enum sk_jread_type type);
/* In an object: the next key; its value must be read before the next call. false: the object has ended, or a fault. */
bool sk_jread_key(struct sk_jread *r, struct sk_jstr *ret_key);
/* In an array: whether another value follows, which must be read before the next call. */
bool sk_jread_item(struct sk_jread *r);

bool sk_jread_str(struct sk_jread *r, struct sk_jstr *ret_s);
bool sk_jread_num(struct sk_jread *r, struct sk_jnum *ret_n);
bool sk_jread_bool(struct sk_jread *r, bool *ret_b);
bool sk_jread_null(struct sk_jread *r);
bool sk_jread_skip(struct sk_jread *r);         /* any one value, checked */

/* Nothing but white space may follow. The status of the first fault (SK_EFORMAT SK_ETOOBIG SK_ENOMEM), or SK_OK. */
sk_status sk_jread_end(struct sk_jread *r);

/* A fault of the reader's own: its words, and where. Returns status. Without effect after another fault. */
sk_status sk_jread_fail(struct sk_jread *r, sk_status status, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

#endif
