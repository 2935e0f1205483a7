/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The pool of KV blocks: who uses which block. It knows numbers, not memory; the backend owns the bytes.
 *
 * Blocks are shared by count: take gives one user, ref adds one, unref gives back, and the last unref makes the block
 * free. A block that is full can carry the hash of the tokens it holds, so that prefix reuse can find it later; nothing
 * looks at hashes yet. Free blocks are handed out last in, first out: the same calls give the same numbers.
 *
 * owner: the scheduler. No allocation after init.
 */
#ifndef SK_SCHED_KV_H
#define SK_SCHED_KV_H

#include <stdint.h>

#include "engine/base/err.h"

struct sk_blocks {
	int32_t len, free_len;
	int32_t *free;                  /* a stack of free block numbers, [free_len] */
	uint16_t *refs;                 /* users of each block; 0: free */
	uint64_t *hash;                 /* of the tokens in a full block and all before it; 0: none */
};

/* SK_ENOMEM; SK_EINVAL: len < 1. */
sk_status sk_blocks_init(struct sk_blocks *b, int32_t len, struct sk_err *err);
void sk_blocks_fini(struct sk_blocks *b);

int32_t sk_blocks_take(struct sk_blocks *b);                    /* -1: none is free */
void sk_blocks_ref(struct sk_blocks *b, int32_t block);
void sk_blocks_unref(struct sk_blocks *b, int32_t block);

/* Free and used blocks add up, no block is on the stack twice or on it while used: SK_OK or SK_EBUG. Slow. */
sk_status sk_blocks_check(const struct sk_blocks *b, struct sk_err *err);

#endif
