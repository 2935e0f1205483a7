/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The block pool: a stack of free numbers and a count of users for each block.
 */
#include "engine/sched/kv.h"

#include <stdlib.h>

sk_status sk_blocks_init(struct sk_blocks *b, int32_t len, struct sk_err *err)
{
	*b = (struct sk_blocks){ 0 };
	if (len < 1)
		return sk_fail(err, SK_EINVAL, "a KV pool of %d blocks holds nothing", (int)len);
	b->free = calloc((size_t)len, sizeof(*b->free));
	b->refs = calloc((size_t)len, sizeof(*b->refs));
	b->hash = calloc((size_t)len, sizeof(*b->hash));
	if (!b->free || !b->refs || !b->hash) {
		sk_blocks_fini(b);
		return sk_fail(err, SK_ENOMEM, "no memory for a table of %d KV blocks", (int)len);
	}
	b->len = b->free_len = len;
	/* The lowest number on top: a lightly loaded pool touches the same few pages again and again. */
	for (int32_t i = 0; i < len; i++)
		b->free[i] = len - 1 - i;
	return SK_OK;
}

void sk_blocks_fini(struct sk_blocks *b)
{
	free(b->free);
	free(b->refs);
	free(b->hash);
	*b = (struct sk_blocks){ 0 };
}

int32_t sk_blocks_take(struct sk_blocks *b)
{
	int32_t block;

	if (b->free_len == 0)
		return -1;
	block = b->free[--b->free_len];
	b->refs[block] = 1;
	b->hash[block] = 0;
	return block;
}

void sk_blocks_ref(struct sk_blocks *b, int32_t block)
{
	if (SK_BUG_IF(block < 0 || block >= b->len || b->refs[block] == 0 || b->refs[block] == UINT16_MAX))
		return;
	b->refs[block]++;
}

void sk_blocks_unref(struct sk_blocks *b, int32_t block)
{
	if (SK_BUG_IF(block < 0 || block >= b->len || b->refs[block] == 0))
		return;
	if (--b->refs[block] == 0)
		b->free[b->free_len++] = block;
}

/* A different large number for each block (the finisher of splitmix64): sums of them tell multisets apart. */
static uint64_t block_mark(int32_t block)
{
	uint64_t x = (uint64_t)(uint32_t)block + 0x9e3779b97f4a7c15u;

	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
	x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
	return x ^ (x >> 31);
}

sk_status sk_blocks_check(const struct sk_blocks *b, struct sk_err *err)
{
	uint64_t unused = 0, stacked = 0;
	int32_t used = 0;

	for (int32_t i = 0; i < b->len; i++) {
		used += b->refs[i] > 0;
		unused += b->refs[i] == 0 ? block_mark(i) : 0;
	}
	if (used + b->free_len != b->len)
		return sk_fail(err, SK_EBUG, "%d blocks used and %d free are not the %d of the pool", (int)used,
			       (int)b->free_len, (int)b->len);
	for (int32_t i = 0; i < b->free_len; i++) {
		int32_t block = b->free[i];

		if (block < 0 || block >= b->len)
			return sk_fail(err, SK_EBUG, "block %d on the free stack does not exist", (int)block);
		if (b->refs[block] != 0)
			return sk_fail(err, SK_EBUG, "block %d is free and used", (int)block);
		stacked += block_mark(block);
	}
	if (stacked != unused)
		return sk_fail(err, SK_EBUG, "a block is on the free stack twice");
	return SK_OK;
}
