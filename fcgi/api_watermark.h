/* SPDX-License-Identifier: Apache-2.0 */
/* A detection as JSON: the same for POST /watermark/detect and saker detect --json. */
#ifndef SK_FCGI_API_WATERMARK_H
#define SK_FCGI_API_WATERMARK_H

#include "engine/base/buf.h"
#include "engine/saker.h"

/* "public" or "keyed" */
const char *sk_watermark_scheme(const struct sk_detection *d);
void sk_watermark_add(struct sk_buf *b, const struct sk_detection *d);

#endif
