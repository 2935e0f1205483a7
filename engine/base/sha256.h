/* SPDX-License-Identifier: Apache-2.0 */
/* SHA-256 (FIPS 180-4), for secrets that are kept as digests. Not fast: a few hundred bytes at a time are meant. */
#ifndef SK_BASE_SHA256_H
#define SK_BASE_SHA256_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SK_SHA256_BYTES 32

void sk_sha256(const void *p, size_t len, uint8_t ret[SK_SHA256_BYTES]);

/* Whether two digests are equal, in a time that does not depend on where they differ. */
bool sk_sha256_equal(const uint8_t a[SK_SHA256_BYTES], const uint8_t b[SK_SHA256_BYTES]);

#endif
