/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The KV pool of the cpu backend, and where a key and a value lie in it.
 *
 *	[block][layer][kv head] { K, V }        one piece of `head_bytes` for 16 tokens of one head
 *
 * A block's layers are neighbours, so that a short conversation touches few (huge) pages and a copied block is one piece.
 *
 *	bfloat16        K: [d / 2 pairs of dims][16 tokens] dwords, the even dim in the low half; an odd d's last pair has zeros in the high
 *	                V: [8 pairs of tokens][wide] dwords, the even token in the low half
 *	float32         K: [d][16 tokens]
 *	                V: [16 tokens][wide]
 *
 * wide is d rounded up to 16, so that a vector of any level never crosses a row; the rest is zero. A vector of K gives
 * scores of neighbouring tokens, a vector of V neighbouring dims of the output: no horizontal sums in either pass.
 */
#ifndef SK_CPU_KV_H
#define SK_CPU_KV_H

#include "kernels/kernels.h"

#define SK_CPU_HEAD_WIDTH_MAX 1024

struct sk_kv {
	struct sk_kv_spec spec;
	unsigned char *data;
	size_t bytes, block_bytes, layer_bytes, head_bytes, k_bytes;    /* a block: all layers; a layer: of one block */
	int32_t wide;
};

/* K of (layer, block, kv head); V is k_bytes further. */
static inline unsigned char *sk_cpu_kv_at(const struct sk_kv *kv, int32_t layer, int32_t block, int32_t head)
{
	return kv->data + (size_t)block * kv->block_bytes + (size_t)layer * kv->layer_bytes + (size_t)head * kv->head_bytes;
}

#endif
