/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Text changed before it is tokenised, with the place every byte came from.
 * owner: one thread. SK_NORMAL is empty; end with sk_normal_fini().
 */
#ifndef SK_TEXT_NORMAL_H
#define SK_TEXT_NORMAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/base/buf.h"

struct sk_normal {
	struct sk_buf text;
	uint32_t *at;                   /* [text.len + 1]: offset in the input of each byte; the last: its length */
	size_t cap;
};
#define SK_NORMAL { .text = SK_BUF((size_t)UINT32_MAX - 1) }
void sk_normal_fini(struct sk_normal *n);

bool sk_normal_is_ascii(const char *s, size_t len);

/* Ill-formed parts become U+FFFD. SK_ENOMEM. */
sk_status sk_normal_lossy(struct sk_normal *n, const char *s, size_t len);

/*
 * Unicode's composed form (NFC) of well-formed text. A run of more than 256 combining marks is composed in
 * parts: sorting it whole would take quadratic time, and no language has one. SK_ENOMEM.
 */
sk_status sk_normal_nfc(struct sk_normal *n, const char *s, size_t len);

#endif
