/* SPDX-License-Identifier: Apache-2.0 */
/* A binary heap with back references (Williams 1964). */
#include "fcgi/timers.h"

#include <stdlib.h>

sk_status sk_timers_reserve(struct sk_timers *t, uint32_t len)
{
	struct sk_timer **grown;

	if (len <= t->cap)
		return SK_OK;
	grown = realloc(t->heap, (size_t)len * 2 * sizeof *grown);
	if (!grown)
		return SK_ENOMEM;
	t->heap = grown;
	t->cap = len * 2;
	return SK_OK;
}

void sk_timers_fini(struct sk_timers *t)
{
	free(t->heap);
	t->heap = NULL;
	t->len = t->cap = 0;
}

static void place(struct sk_timers *t, uint32_t i, struct sk_timer *e)
{
	t->heap[i] = e;
	e->place = i + 1;
}

static void sift(struct sk_timers *t, uint32_t i, struct sk_timer *e)
{
	while (i && t->heap[(i - 1) / 2]->at_us > e->at_us) {
		place(t, i, t->heap[(i - 1) / 2]);
		i = (i - 1) / 2;
	}
	for (;;) {
		uint32_t c = 2 * i + 1;

		if (c + 1 < t->len && t->heap[c + 1]->at_us < t->heap[c]->at_us)
			c++;
		if (c >= t->len || t->heap[c]->at_us >= e->at_us)
			break;
		place(t, i, t->heap[c]);
		i = c;
	}
	place(t, i, e);
}

void sk_timer_set(struct sk_timers *t, struct sk_timer *e, int64_t at_us)
{
	if (e->place && e->at_us == at_us)
		return;
	if (!e->place) {
		if (SK_BUG_IF(t->len == t->cap))
			return;
		place(t, t->len++, e);
	}
	e->at_us = at_us;
	sift(t, e->place - 1, e);
}

void sk_timer_clear(struct sk_timers *t, struct sk_timer *e)
{
	uint32_t i = e->place - 1;

	if (!e->place)
		return;
	e->place = 0;
	t->len--;
	if (i == t->len)
		return;
	sift(t, i, t->heap[t->len]);
}

struct sk_timer *sk_timers_find(const struct sk_timers *t)
{
	return t->len ? t->heap[0] : NULL;
}
