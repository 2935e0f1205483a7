/* SPDX-License-Identifier: Apache-2.0 */
/* ChaCha20's block function, RFC 8439 section 2.3. */
#include "engine/base/chacha.h"

#include <string.h>

static uint32_t read32(const uint8_t *p)
{
	return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static inline uint32_t turned(uint32_t x, int bits)
{
	return x << bits | x >> (32 - bits);
}

static inline void quarter(uint32_t *a, uint32_t *b, uint32_t *c, uint32_t *d)
{
	*a += *b, *d = turned(*d ^ *a, 16);
	*c += *d, *b = turned(*b ^ *c, 12);
	*a += *b, *d = turned(*d ^ *a, 8);
	*c += *d, *b = turned(*b ^ *c, 7);
}

void sk_chacha_block(const uint8_t key[SK_CHACHA_KEY_BYTES], uint32_t counter, const uint32_t nonce[3],
		     uint32_t ret[SK_CHACHA_WORDS])
{
	uint32_t start[SK_CHACHA_WORDS] = { 0x61707865, 0x3320646e, 0x79622d32, 0x6b206574 }, x[SK_CHACHA_WORDS];

	for (int i = 0; i < 8; i++)
		start[4 + i] = read32(key + 4 * i);
	start[12] = counter;
	memcpy(start + 13, nonce, 3 * sizeof(*nonce));
	memcpy(x, start, sizeof(x));
	for (int round = 0; round < 20; round += 2) {
		for (int i = 0; i < 4; i++)
			quarter(&x[i], &x[4 + i], &x[8 + i], &x[12 + i]);
		for (int i = 0; i < 4; i++)
			quarter(&x[i], &x[4 + (i + 1) % 4], &x[8 + (i + 2) % 4], &x[12 + (i + 3) % 4]);
	}
	for (int i = 0; i < SK_CHACHA_WORDS; i++)
		ret[i] = x[i] + start[i];
}
