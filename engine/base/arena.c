/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Chunks in a list, the newest first; a piece comes from the newest chunk or begins another one.
 *
 * Chunks double from CHUNK_FIRST to CHUNK_LAST, so a small request costs one malloc and a large one a few.
 */
#include "engine/base/arena.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define ALIGN 16
#define CHUNK_FIRST ((size_t)4096)
#define CHUNK_LAST ((size_t)1 << 20)

struct sk_arena_chunk {
	struct sk_arena_chunk *next;            /* older; the last in the list is the first made */
	size_t len, cap;
	_Alignas(ALIGN) unsigned char data[];
};

void sk_arena_init(struct sk_arena *a, size_t limit_bytes)
{
	*a = (struct sk_arena){ .limit_bytes = limit_bytes };
}

static void chunks_free(struct sk_arena_chunk *c)
{
	while (c) {
		struct sk_arena_chunk *next = c->next;

		free(c);
		c = next;
	}
}

void sk_arena_fini(struct sk_arena *a)
{
	chunks_free(a->head);
	a->head = NULL;
	a->used_bytes = 0;
}

void sk_arena_reset(struct sk_arena *a)
{
	struct sk_arena_chunk *first = a->head;

	while (first && first->next) {
		struct sk_arena_chunk *next = first->next;

		free(first);
		first = next;
	}
	if (first)
		first->len = 0;
	a->head = first;
	a->used_bytes = 0;
}

static struct sk_arena_chunk *chunk_add(struct sk_arena *a, size_t bytes)
{
	size_t cap = CHUNK_FIRST - sizeof(struct sk_arena_chunk);
	struct sk_arena_chunk *c;

	if (a->head)
		cap = a->head->cap < CHUNK_LAST / 2 ? a->head->cap * 2 : CHUNK_LAST;
	if (cap < bytes)
		cap = bytes;
	if (cap > SIZE_MAX - sizeof(*c))
		return NULL;
	c = malloc(sizeof(*c) + cap);
	if (!c)
		return NULL;
	c->next = a->head;
	c->len = 0;
	c->cap = cap;
	a->head = c;
	return c;
}

void *sk_arena_take(struct sk_arena *a, size_t bytes)
{
	struct sk_arena_chunk *c = a->head;
	size_t rounded;
	void *p;

	if (bytes > SIZE_MAX - ALIGN)
		return NULL;
	rounded = (bytes + ALIGN - 1) & ~(size_t)(ALIGN - 1);
	if (rounded == 0)
		rounded = ALIGN;                /* two pieces never share an address */
	if (rounded > SIZE_MAX - a->used_bytes)
		return NULL;
	if (a->limit_bytes && a->used_bytes + rounded > a->limit_bytes)
		return NULL;
	if (!c || c->cap - c->len < rounded)
		c = chunk_add(a, rounded);
	if (!c)
		return NULL;
	p = c->data + c->len;
	c->len += rounded;
	a->used_bytes += rounded;
	memset(p, 0, rounded);
	return p;
}

char *sk_arena_strndup(struct sk_arena *a, const char *s, size_t len)
{
	char *copy;

	if (len == SIZE_MAX)
		return NULL;
	copy = sk_arena_take(a, len + 1);
	if (copy && len)
		memcpy(copy, s, len);
	return copy;
}
