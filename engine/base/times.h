/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Counted durations: a histogram with fixed limits, 150 us times 1.5 to the power of k for k from 0 to 34 (the last is
 * 145.6 s). They are those of text-generation-inference, whose dashboards want them.
 *
 * `struct sk_times_shared` is written by one thread and read by any, without a lock: a reader may see a duration in `counts`
 * that is not yet in `sum_us`.
 */
#ifndef SK_BASE_TIMES_H
#define SK_BASE_TIMES_H

#include <stdatomic.h>
#include <stdint.h>

#define SK_TIMES 35

struct sk_times {
	uint64_t counts[SK_TIMES + 1];          /* the last: beyond the last limit */
	uint64_t sum_us;
};

struct sk_times_shared {
	_Atomic uint64_t counts[SK_TIMES + 1];
	_Atomic uint64_t sum_us;
};

double sk_times_limit_s(int k);                 /* of bucket k, in seconds; included in it */
int sk_times_bucket(int64_t us);                /* which of the SK_TIMES + 1 counts */

void sk_times_add(struct sk_times *t, int64_t us);
void sk_times_tell(struct sk_times_shared *t, int64_t us);      /* the one writer */
void sk_times_read(const struct sk_times_shared *t, struct sk_times *ret_t);

#endif
