/* SPDX-License-Identifier: Apache-2.0 */
/* A detection as JSON: the same for POST /watermark/detect and saker detect --json. */
#ifndef SK_FCGI_API_WATERMARK_H
#define SK_FCGI_API_WATERMARK_H

#include "engine/base/buf.h"
#include "engine/saker.h"

struct sk_field;

/* The body of POST /watermark/detect. */
const struct sk_field *sk_watermark_fields(size_t *ret_len);

/* "public" or "keyed" */
const char *sk_watermark_scheme(const struct sk_detection *d);
void sk_watermark_add(struct sk_buf *b, const struct sk_detection *d);

#endif
