/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The Mersenne twister mt19937 (Matsumoto and Nishimura, ACM TOMACS 8, 1998), and what torch's CPU generator makes of it. For
 * what must equal torch bit for bit, and nothing else: its numbers come one after the other and can be foretold.
 */
#ifndef SK_BASE_MT_H
#define SK_BASE_MT_H

#include <stddef.h>
#include <stdint.h>

#define SK_MT_WORDS 624

/* Placed by the caller; sk_mt_seed() makes it ready. */
struct sk_mt {
	uint32_t word[SK_MT_WORDS];
	uint32_t at;                    /* the next word; SK_MT_WORDS: a new set is made first */
};

/* As torch.Generator("cpu").manual_seed(seed): the lower half of the seed counts. */
void sk_mt_seed(struct sk_mt *mt, uint64_t seed);

uint32_t sk_mt_next(struct sk_mt *mt);
void sk_mt_skip(struct sk_mt *mt, uint64_t words);

/* One number of torch.empty(n).exponential_(1), float32: it takes two words. */
float sk_mt_exponential(struct sk_mt *mt);

/*
 * The first `len` numbers of torch.randperm(n), into p, which has room for n. The lists of watermarks are such beginnings: no
 * later swap touches a number that has its place, so `len` words are all it takes.
 */
void sk_mt_permute(struct sk_mt *mt, int32_t *p, int32_t n, int32_t len);

#endif
