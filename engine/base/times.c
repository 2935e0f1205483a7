/* SPDX-License-Identifier: Apache-2.0 */
/* Durations in buckets. One writer, so that a relaxed load and a relaxed store are an addition. */
#include "engine/base/times.h"

/* 150 * 1.5^k microseconds, rounded down: durations are whole microseconds. */
static const int64_t limits_us[SK_TIMES] = {
	150, 225, 337, 506, 759, 1139, 1708, 2562, 3844, 5766, 8649, 12974, 19461, 29192, 43789, 65684, 98526, 147789, 221683,
	332525, 498788, 748182, 1122274, 1683411, 2525116, 3787675, 5681512, 8522269, 12783403, 19175105, 28762658, 43143988,
	64715982, 97073973, 145610960,
};

double sk_times_limit_s(int k)
{
	double s = 0.00015;

	while (k-- > 0)
		s *= 1.5;
	return s;
}

int sk_times_bucket(int64_t us)
{
	int low = 0, high = SK_TIMES;

	while (low < high) {
		int middle = (low + high) / 2;

		if (us <= limits_us[middle])
			high = middle;
		else
			low = middle + 1;
	}
	return low;
}

void sk_times_add(struct sk_times *t, int64_t us)
{
	t->counts[sk_times_bucket(us)]++;
	t->sum_us += us > 0 ? (uint64_t)us : 0;
}

static void add(_Atomic uint64_t *to, uint64_t n)
{
	atomic_store_explicit(to, atomic_load_explicit(to, memory_order_relaxed) + n, memory_order_relaxed);
}

void sk_times_tell(struct sk_times_shared *t, int64_t us)
{
	add(&t->sum_us, us > 0 ? (uint64_t)us : 0);
	add(&t->counts[sk_times_bucket(us)], 1);
}

void sk_times_read(const struct sk_times_shared *t, struct sk_times *ret_t)
{
	for (int i = 0; i <= SK_TIMES; i++)
		ret_t->counts[i] = atomic_load_explicit(&t->counts[i], memory_order_relaxed);
	ret_t->sum_us = atomic_load_explicit(&t->sum_us, memory_order_relaxed);
}
