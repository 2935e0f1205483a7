/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A growing byte buffer with a ceiling. The byte too many is refused with SK_ETOOBIG and sets `failed`,
 * which stays set: a row of appends can be checked once, at the end.
 *
 * owner: one thread. All zero is an empty buffer with ceiling 0, so use SK_BUF(max) or sk_buf_init().
 */
#ifndef SK_BASE_BUF_H
#define SK_BASE_BUF_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/base/err.h"

struct sk_buf {
	char *data;                     /* not NUL-terminated, see sk_buf_str() */
	size_t len, cap, max;
	sk_status failed;               /* SK_OK, SK_ETOOBIG or SK_ENOMEM */
};

#define SK_BUF(max_bytes) { .max = (max_bytes) }

void sk_buf_init(struct sk_buf *b, size_t max_bytes);
void sk_buf_fini(struct sk_buf *b);
void sk_buf_clear(struct sk_buf *b);                            /* len = 0, keeps memory, clears failed */
sk_status sk_buf_reserve(struct sk_buf *b, size_t more_bytes);
sk_status sk_buf_add(struct sk_buf *b, const void *p, size_t len);
sk_status sk_buf_addc(struct sk_buf *b, char c);
sk_status sk_buf_adds(struct sk_buf *b, const char *s);
sk_status sk_buf_addf(struct sk_buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
sk_status sk_buf_vaddf(struct sk_buf *b, const char *fmt, va_list ap);
void sk_buf_drop_front(struct sk_buf *b, size_t len);
const char *sk_buf_str(struct sk_buf *b);                       /* adds a NUL after the data; "" on failure */

/* A number of bytes as people read it, "24 B", "1.5 MiB", "19.20 GiB"; returns s. */
#define SK_BYTES_SHOWN 24
const char *sk_bytes_show(char s[SK_BYTES_SHOWN], uint64_t bytes);

/* JSON string escaping of s (invalid UTF-8 becomes U+FFFD), without the quotes. */
sk_status sk_buf_add_json(struct sk_buf *b, const char *s, size_t len);

#endif
