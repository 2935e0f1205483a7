/* SPDX-License-Identifier: Apache-2.0 */
/* ChaCha20 (RFC 8439): a secret of 32 bytes becomes a table of 2^32 blocks of 16 numbers, any of which can be had alone. */
#ifndef SK_BASE_CHACHA_H
#define SK_BASE_CHACHA_H

#include <stdint.h>

#define SK_CHACHA_KEY_BYTES 32
#define SK_CHACHA_WORDS 16

/* The key stream's block number `counter`; all zero is the nonce meant for keys that are used once. */
void sk_chacha_block(const uint8_t key[SK_CHACHA_KEY_BYTES], uint32_t counter, const uint32_t nonce[3],
		     uint32_t ret[SK_CHACHA_WORDS]);

#endif
