/* SPDX-License-Identifier: Apache-2.0 */
/*
 * JSON read value by value, with caps, without building a tree: for files whose JSON may be as large as they like
 * to say (a checkpoint's header has up to 100 MB; a tree of it would take gigabytes).
 *
 *	sk_jpull_init(&r, text, len, "x.json", &arena, err);
 *	sk_jpull_enter(&r, SK_JPULL_OBJECT);
 *	while (sk_jpull_key(&r, &key))
 *		sk_jpull_skip(&r);                   exactly one value is read behind each key
 *	st = sk_jpull_end(&r);
 *
 * The first fault sticks: every later call fails, key and item say that there is nothing more, and the words are in err.
 * So a row of calls can be checked once, at the end. RFC 8259, strict, but for NaN, Infinity and -Infinity, which Python
 * writes. Whether a key may come twice is the reader's business.
 *
 * owner: one thread. The text must outlive the strings, which are lent from it.
 */
#ifndef SK_BASE_JPULL_H
#define SK_BASE_JPULL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/base/arena.h"
#include "engine/base/err.h"

#define SK_JPULL_DEPTH_MAX 32           /* arrays and objects inside each other */
#define SK_JPULL_NUMBER_MAX 255         /* bytes of one number */
#define SK_JPULL_VALUES_MAX (1u << 25)  /* in lists and objects, all together */

enum sk_jpull_type {
	SK_JPULL_FAULT, SK_JPULL_NULL, SK_JPULL_BOOL, SK_JPULL_NUMBER, SK_JPULL_STRING, SK_JPULL_ARRAY, SK_JPULL_OBJECT,
};

struct sk_str { const char *s; size_t len; };   /* UTF-8, well-formed, may hold NUL; not NUL-terminated */
struct sk_jnum { bool is_int; int64_t i; double f; };   /* f is always set; is_int: written as an integer that int64 holds */

struct sk_jpull {
	const char *s, *name;
	size_t len, at;
	struct sk_arena *arena;         /* takes strings that have escapes */
	int depth;
	bool fresh;                     /* behind '[' or '{': no comma is due */
	bool strict;                    /* set after init: no NaN, no Infinity */
	uint32_t values;
	sk_status status;
	struct sk_err *err;
};

/* name: what the text is, for messages; it must outlive r. */
void sk_jpull_init(struct sk_jpull *r, const char *s, size_t len, const char *name, struct sk_arena *arena, struct sk_err *err);

/* What comes next, without reading it. FAULT at a byte that begins no value, and after a fault. */
enum sk_jpull_type sk_jpull_peek(struct sk_jpull *r);

/* Into an ARRAY or OBJECT; anything else is a fault that says what was expected. */
bool sk_jpull_enter(struct sk_jpull *r, enum sk_jpull_type type);
/* In an object: the next key; its value must be read before the next call. false: the object has ended, or a fault. */
bool sk_jpull_key(struct sk_jpull *r, struct sk_str *ret_key);
/* In an array: whether another value follows, which must be read before the next call. */
bool sk_jpull_item(struct sk_jpull *r);

bool sk_jpull_str(struct sk_jpull *r, struct sk_str *ret_s);
bool sk_jpull_num(struct sk_jpull *r, struct sk_jnum *ret_n);
bool sk_jpull_bool(struct sk_jpull *r, bool *ret_b);
bool sk_jpull_null(struct sk_jpull *r);
bool sk_jpull_skip(struct sk_jpull *r);         /* any one value, checked; takes no memory */

/* Nothing but white space may follow. The status of the first fault (SK_EFORMAT SK_ETOOBIG SK_ENOMEM), or SK_OK. */
sk_status sk_jpull_end(struct sk_jpull *r);

/* A fault of the reader's own: its words, and where. Returns status. Without effect after another fault. */
sk_status sk_jpull_fail(struct sk_jpull *r, sk_status status, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

#endif
