/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Deadlines in order: a binary min-heap whose entries know their place, so one can be moved or taken out.
 *
 * owner: the loop.
 */
#ifndef SK_FCGI_TIMERS_H
#define SK_FCGI_TIMERS_H

#include <stdint.h>

#include "engine/base/err.h"

struct sk_timer {
	int64_t at_us;
	uint32_t place;                 /* index + 1 in the heap; 0: not set */
	int kind;                       /* for its owner, who may have several */
};
struct sk_timers { struct sk_timer **heap; uint32_t len, cap; };

/* Room for `len` timers in all: set cannot fail afterwards. SK_ENOMEM */
sk_status sk_timers_reserve(struct sk_timers *t, uint32_t len);
void sk_timers_fini(struct sk_timers *t);

void sk_timer_set(struct sk_timers *t, struct sk_timer *e, int64_t at_us);     /* or move */
void sk_timer_clear(struct sk_timers *t, struct sk_timer *e);
struct sk_timer *sk_timers_find(const struct sk_timers *t);                    /* the earliest; NULL: none */

#endif
