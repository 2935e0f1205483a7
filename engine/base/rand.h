/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Counter-based random numbers: Philox4x32-10 (Salmon et al., SC 2011), keyed by (seed, sequence, token index),
 * so a draw depends on nothing that happened before it.
 */
#ifndef SK_BASE_RAND_H
#define SK_BASE_RAND_H

#include <stdint.h>

void sk_philox(const uint32_t counter[4], const uint32_t key[2], uint32_t ret[4]);

/* Uniform in (0, 1), 24 bits, for token `index` of sequence `seq` of a request seeded with `seed`. */
double sk_rand_uniform(uint64_t seed, uint32_t seq, uint32_t index);

/* A seed nobody can guess, from the operating system. */
uint64_t sk_rand_seed(void);

#endif
