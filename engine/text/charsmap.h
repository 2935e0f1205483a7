/* SPDX-License-Identifier: Apache-2.0 */
/*
 * SentencePiece's precompiled character map: a double array of Darts (read only) from byte strings to their replacements.
 * Layout: u32 bytes of the trie, the trie's units (u32, little endian), then the replacements, each ended by a NUL.
 */
#ifndef SK_TEXT_CHARSMAP_H
#define SK_TEXT_CHARSMAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/base/err.h"

#define SK_CHARSMAP_BYTES_MAX (16u << 20)

struct sk_charsmap { uint32_t *units; size_t units_len; const char *text; size_t text_len; char *copy; };

/* Copies. An empty map (len 0) is valid. SK_EFORMAT SK_ETOOBIG SK_ENOMEM */
sk_status sk_charsmap_init(struct sk_charsmap *m, const void *data, size_t len, struct sk_err *err);
void sk_charsmap_fini(struct sk_charsmap *m);

/* A copy in one piece of memory that free() ends, beginning with a struct sk_charsmap. SK_ENOMEM */
sk_status sk_charsmap_pack(const struct sk_charsmap *m, void **ret_data);

/* The shortest (or longest) beginning of s that is in the map: its length, 0 when none, and what stands for it. */
size_t sk_charsmap_find(const struct sk_charsmap *m, const char *s, size_t len, bool longest, const char **ret_to, size_t *ret_to_len);

#endif
