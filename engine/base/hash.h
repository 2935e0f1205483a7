/* SPDX-License-Identifier: Apache-2.0 */
/* A 64-bit hash of bytes (with a seed against chosen collisions), and a table from byte strings to int32. */
#ifndef SK_BASE_HASH_H
#define SK_BASE_HASH_H

#include <stddef.h>
#include <stdint.h>

#include "engine/base/err.h"

uint64_t sk_hash(const void *p, size_t len, uint64_t seed);

/*
 * Open addressing; keys are lent, not copied: they must outlive the table. Read by any number of threads
 * once nobody writes.
 */
struct sk_table_slot { const char *key; uint32_t len; int32_t value; uint64_t hash; };
struct sk_table { struct sk_table_slot *slots; uint32_t cap, len; uint64_t seed; };

sk_status sk_table_init(struct sk_table *t, uint32_t len_expected);
void sk_table_fini(struct sk_table *t);
sk_status sk_table_put(struct sk_table *t, const char *key, size_t len, int32_t value);         /* replaces */
int32_t sk_table_find(const struct sk_table *t, const char *key, size_t len, int32_t otherwise);

#endif
