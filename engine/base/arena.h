/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory of one request: taken in pieces, given back whole.
 *
 * owner: whoever holds the request; one thread at a time. All zero is an empty arena without a limit
 * of its own; sk_arena_init() sets one.
 */
#ifndef SK_BASE_ARENA_H
#define SK_BASE_ARENA_H

#include <stddef.h>

struct sk_arena_chunk;
struct sk_arena {
	struct sk_arena_chunk *head;
	size_t used_bytes, limit_bytes;         /* limit 0: none */
};

void sk_arena_init(struct sk_arena *a, size_t limit_bytes);
void sk_arena_fini(struct sk_arena *a);         /* frees everything; the arena is empty again */

/* Zeroed, aligned to 16. NULL when memory or the limit is out. */
void *sk_arena_take(struct sk_arena *a, size_t bytes);
char *sk_arena_strndup(struct sk_arena *a, const char *s, size_t len);

/* Keep the first chunk, forget the contents: for a connection that serves many requests. */
void sk_arena_reset(struct sk_arena *a);

#endif
