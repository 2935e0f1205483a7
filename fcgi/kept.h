/* SPDX-License-Identifier: Apache-2.0 */
/* Bytes that grow in a request's arena: what a renderer holds back until a later event. All zero is empty; dies with the arena. */
#ifndef SK_FCGI_KEPT_H
#define SK_FCGI_KEPT_H

#include <stdbool.h>
#include <stddef.h>

#include "engine/base/arena.h"

struct sk_kept {
	char *s;
	size_t len, cap;
};

/* False: the arena is out of memory, and nothing was added. */
bool sk_kept_add(struct sk_kept *k, struct sk_arena *arena, const char *s, size_t len);

#endif
