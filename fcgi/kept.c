/* SPDX-License-Identifier: Apache-2.0 */
/* See kept.h. Room doubles, so what the arena keeps of outgrown bytes is no more than what is there. */
#include "fcgi/kept.h"

#include <string.h>

bool sk_kept_add(struct sk_kept *k, struct sk_arena *arena, const char *s, size_t len)
{
	if (k->cap - k->len < len) {
		size_t cap = (k->len + len) * 2 + 1024;
		char *grown = sk_arena_take(arena, cap);

		if (!grown)
			return false;
		if (k->len)
			memcpy(grown, k->s, k->len);
		k->s = grown;
		k->cap = cap;
	}
	if (len)
		memcpy(k->s + k->len, s, len);
	k->len += len;
	return true;
}
