/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Philox4x32-10: J. Salmon, M. Moraes, R. Dror, D. Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC 2011,
 * section 4.3 and table 2 for the constants. tests/unit/test_base.c holds known answers.
 */
#include "engine/base/rand.h"

#include <errno.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include "engine/base/hash.h"

#define ROUNDS 10
#define M0 0xd2511f53u
#define M1 0xcd9e8d57u
#define W0 0x9e3779b9u          /* golden ratio */
#define W1 0xbb67ae85u          /* square root of 3, less 1 */

void sk_philox(const uint32_t counter[4], const uint32_t key[2], uint32_t ret[4])
{
	uint32_t c0 = counter[0], c1 = counter[1], c2 = counter[2], c3 = counter[3];
	uint32_t k0 = key[0], k1 = key[1];

	for (int round = 0; round < ROUNDS; round++, k0 += W0, k1 += W1) {
		uint64_t p0 = (uint64_t)M0 * c0, p1 = (uint64_t)M1 * c2;

		c0 = (uint32_t)(p1 >> 32) ^ c1 ^ k0;
		c1 = (uint32_t)p1;
		c2 = (uint32_t)(p0 >> 32) ^ c3 ^ k1;
		c3 = (uint32_t)p0;
	}
	ret[0] = c0;
	ret[1] = c1;
	ret[2] = c2;
	ret[3] = c3;
}

double sk_rand_uniform(uint64_t seed, uint32_t seq, uint32_t index)
{
	const uint32_t counter[4] = { index, seq, 0, 0 };
	const uint32_t key[2] = { (uint32_t)seed, (uint32_t)(seed >> 32) };
	uint32_t out[4];

	sk_philox(counter, key, out);
	return ((double)(out[0] >> 8) + 0.5) / 16777216.0;      /* the half keeps 0 and 1 out */
}

uint64_t sk_rand_seed(void)
{
	uint64_t seed;
	ssize_t got;

	do
		got = getrandom(&seed, sizeof(seed), 0);
	while (got < 0 && errno == EINTR);
	if (got != (ssize_t)sizeof(seed)) {     /* no such call here: the clock and the process must do */
		struct { struct timespec ts; pid_t pid; } mix = { .pid = getpid() };

		clock_gettime(CLOCK_REALTIME, &mix.ts);
		seed = sk_hash(&mix.ts, sizeof(mix.ts), (uint64_t)mix.pid);
	}
	return seed;
}
