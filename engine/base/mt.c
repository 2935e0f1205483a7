/* SPDX-License-Identifier: Apache-2.0 */
/* mt19937. What torch does with its words was found by running torch 2.15 (tests/golden/make_torch.py). */
#include "engine/base/mt.h"

#include <math.h>

#define SHIFT 397
#define RANDPERM_WIDE (UINT32_MAX / 20) /* torch takes two words a swap from so many numbers on */

void sk_mt_seed(struct sk_mt *mt, uint64_t seed)
{
	mt->word[0] = (uint32_t)seed;
	for (uint32_t i = 1; i < SK_MT_WORDS; i++)
		mt->word[i] = 1812433253u * (mt->word[i - 1] ^ (mt->word[i - 1] >> 30)) + i;
	mt->at = SK_MT_WORDS;
}

/* A new set of words. The recurrence reads SHIFT words ahead, so it is written in two runs and a last step. */
static void twist(struct sk_mt *mt)
{
	uint32_t *w = mt->word;

#define TWIST(i, next, far) do { \
	uint32_t y = (w[i] & 0x80000000u) | (w[next] & 0x7fffffffu); \
	w[i] = w[far] ^ (y >> 1) ^ (-(y & 1u) & 0x9908b0dfu); \
} while (0)
	for (uint32_t i = 0; i < SK_MT_WORDS - SHIFT; i++)
		TWIST(i, i + 1, i + SHIFT);
	for (uint32_t i = SK_MT_WORDS - SHIFT; i < SK_MT_WORDS - 1; i++)
		TWIST(i, i + 1, i + SHIFT - SK_MT_WORDS);
	TWIST(SK_MT_WORDS - 1, 0, SHIFT - 1);
#undef TWIST
	mt->at = 0;
}

uint32_t sk_mt_next(struct sk_mt *mt)
{
	uint32_t y;

	if (mt->at == SK_MT_WORDS)
		twist(mt);
	y = mt->word[mt->at++];
	y ^= y >> 11;
	y ^= (y << 7) & 0x9d2c5680u;
	y ^= (y << 15) & 0xefc60000u;
	return y ^ (y >> 18);
}

void sk_mt_skip(struct sk_mt *mt, uint64_t words)
{
	while (words > SK_MT_WORDS - mt->at) {
		words -= SK_MT_WORDS - mt->at;
		twist(mt);
	}
	mt->at += (uint32_t)words;
}

static uint64_t next64(struct sk_mt *mt)
{
	uint64_t high = sk_mt_next(mt);

	return high << 32 | sk_mt_next(mt);
}

float sk_mt_exponential(struct sk_mt *mt)
{
	double u = (double)(next64(mt) & ((UINT64_C(1) << 53) - 1)) * 0x1p-53;

	return (float)-log1p(-u);
}

void sk_mt_permute(struct sk_mt *mt, int32_t *p, int32_t n, int32_t len)
{
	for (int32_t i = 0; i < n; i++)
		p[i] = i;
	for (int32_t i = 0; i < len && i < n - 1; i++) {
		uint32_t left = (uint32_t)(n - i);
		int32_t *with = p + i + ((uint32_t)n < RANDPERM_WIDE ? sk_mt_next(mt) % left : next64(mt) % left);
		int32_t swap = p[i];

		p[i] = *with;
		*with = swap;
	}
}
