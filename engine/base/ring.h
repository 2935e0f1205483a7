/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A bounded ring of fixed-size items between one writer thread and one reader thread, without locks.
 * (Single producer, single consumer; L. Lamport 1983, with acquire/release indices.)
 */
#ifndef SK_BASE_RING_H
#define SK_BASE_RING_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/base/err.h"

struct sk_ring {
	unsigned char *items;
	uint32_t item_bytes, cap;               /* cap: a power of two */
	_Atomic uint32_t head, tail;            /* head: writer's, tail: reader's; both count up and wrap */
};

sk_status sk_ring_init(struct sk_ring *r, uint32_t item_bytes, uint32_t cap_min);
void sk_ring_fini(struct sk_ring *r);
bool sk_ring_put(struct sk_ring *r, const void *item);          /* writer; false when full */
bool sk_ring_take(struct sk_ring *r, void *ret_item);           /* reader; false when empty */
uint32_t sk_ring_len(const struct sk_ring *r);

#endif
