/* SPDX-License-Identifier: Apache-2.0 */
/*
 * head and tail count items for ever and wrap at 2^32; their difference is the length, the low bits are the place.
 * The writer publishes an item by storing head with release; the reader gives the place back the same way with tail.
 */
#include "engine/base/ring.h"

#include <stdlib.h>
#include <string.h>

sk_status sk_ring_init(struct sk_ring *r, uint32_t item_bytes, uint32_t cap_min)
{
	uint64_t cap = 1;

	while (cap < cap_min)
		cap *= 2;
	if (item_bytes == 0)
		return SK_EINVAL;
	if (cap > UINT32_C(1) << 31 || cap * item_bytes > SIZE_MAX / 2)
		return SK_ETOOBIG;
	r->items = malloc((size_t)cap * item_bytes);
	if (!r->items)
		return SK_ENOMEM;
	r->item_bytes = item_bytes;
	r->cap = (uint32_t)cap;
	atomic_init(&r->head, 0);
	atomic_init(&r->tail, 0);
	return SK_OK;
}

void sk_ring_fini(struct sk_ring *r)
{
	free(r->items);
	r->items = NULL;
	r->cap = r->item_bytes = 0;
	atomic_init(&r->head, 0);
	atomic_init(&r->tail, 0);
}

static unsigned char *place(const struct sk_ring *r, uint32_t count)
{
	return r->items + (size_t)(count & (r->cap - 1)) * r->item_bytes;
}

bool sk_ring_put(struct sk_ring *r, const void *item)
{
	uint32_t head = atomic_load_explicit(&r->head, memory_order_relaxed);
	uint32_t tail = atomic_load_explicit(&r->tail, memory_order_acquire);

	if (head - tail == r->cap)
		return false;
	memcpy(place(r, head), item, r->item_bytes);
	atomic_store_explicit(&r->head, head + 1, memory_order_release);
	return true;
}

bool sk_ring_take(struct sk_ring *r, void *ret_item)
{
	uint32_t tail = atomic_load_explicit(&r->tail, memory_order_relaxed);
	uint32_t head = atomic_load_explicit(&r->head, memory_order_acquire);

	if (head == tail)
		return false;
	memcpy(ret_item, place(r, tail), r->item_bytes);
	atomic_store_explicit(&r->tail, tail + 1, memory_order_release);
	return true;
}

uint32_t sk_ring_len(const struct sk_ring *r)
{
	uint32_t tail = atomic_load_explicit(&r->tail, memory_order_acquire);
	uint32_t head = atomic_load_explicit(&r->head, memory_order_acquire);

	return head - tail;
}
