/* SPDX-License-Identifier: Apache-2.0 */
/* UTF-8 by the Unicode standard, table 3-7: no surrogates, no overlong forms, at most U+10FFFF. */
#ifndef SK_BASE_UTF8_H
#define SK_BASE_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/base/buf.h"

/*
 * Length in bytes (1 to 4) of the character at s and its code point, or
 *   0    the bytes end inside a character that could still become valid
 *  -n    the first n bytes (1 to 3) are a maximal ill-formed part (to be replaced by one U+FFFD)
 */
int sk_utf8_next(const char *s, size_t len, uint32_t *ret_cp);
size_t sk_utf8_put(char out[4], uint32_t cp);                   /* bytes written */
bool sk_utf8_valid(const char *s, size_t len);
size_t sk_utf8_count(const char *s, size_t len);                /* characters (Unicode scalar values) */

/* Append s with every ill-formed part replaced by U+FFFD; an unfinished end too. */
sk_status sk_utf8_add_lossy(struct sk_buf *b, const char *s, size_t len);

#endif
