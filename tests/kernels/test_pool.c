/* SPDX-License-Identifier: Apache-2.0 */
/* The thread pool of the cpu backend: every item once, sleeping and waking, stepping down from a busy neighbour. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/clock.h"
#include "kernels/cpu/pool.h"

#define N_MAX 1000

/* Plain ints on purpose: ThreadSanitizer sees whether the pool orders them. */
struct tally {
	int count[N_MAX];
	int worker[N_MAX];
};

static void count_items(void *arg, int32_t from, int32_t to, int worker)
{
	struct tally *t = arg;

	for (int32_t i = from; i < to; i++) {
		t->count[i]++;
		t->worker[i] = worker;
	}
}

static struct sk_pool *pool_open(int threads, bool no_step_down)
{
	struct sk_pool *p = NULL;
	struct sk_err err = { 0 };

	ck_assert_msg(sk_pool_open(threads, no_step_down, &p, &err) == SK_OK, "%s", err.text);
	return p;
}

static const struct { int threads; int32_t n, grain; } covers[] = {
	{ 1, 10, 0 }, { 1, 10, 3 }, { 2, 0, 0 }, { 2, 1, 0 }, { 2, 1, 1 }, { 2, 7, 0 }, { 2, 7, 2 }, { 2, 1000, 0 },
	{ 2, 1000, 1 }, { 2, 1000, 999 }, { 2, 1000, 5000 }, { 3, 2, 0 }, { 3, 100, 7 }, { 5, 1000, 0 }, { 5, 1000, 13 },
};

START_TEST(every_item_is_done_once)
{
	struct sk_pool *p = pool_open(covers[_i].threads, true);

	for (int round = 0; round < 50; round++) {
		static struct tally t;

		memset(&t, 0, sizeof t);
		sk_pool_run(p, covers[_i].n, covers[_i].grain, count_items, &t);
		for (int32_t i = 0; i < N_MAX; i++) {
			ck_assert_int_eq(t.count[i], i < covers[_i].n);
			ck_assert_int_lt(t.worker[i], sk_pool_threads(p));
		}
	}
	sk_pool_close(&p);
	ck_assert_ptr_null(p);
}
END_TEST

START_TEST(without_a_grain_a_thread_always_gets_the_same_part)
{
	struct sk_pool *p = pool_open(2, true);

	for (int round = 0; round < 20; round++) {
		static struct tally t;

		memset(&t, 0, sizeof t);
		sk_pool_run(p, 100, 0, count_items, &t);
		for (int i = 0; i < 100; i++)
			ck_assert_int_eq(t.worker[i], i >= 50);
	}
	sk_pool_close(&p);
}
END_TEST

static void pass_time(int64_t us)
{
	for (int64_t start = sk_now_us(); sk_now_us() - start < us;)
		;
}

START_TEST(a_worker_that_fell_asleep_wakes_for_the_next_job)
{
	struct sk_pool *p = pool_open(3, true);

	/* Around the moment of falling asleep is where a wake-up could get lost. */
	for (int round = 0; round < 200; round++) {
		static struct tally t;

		memset(&t, 0, sizeof t);
		pass_time(SK_POOL_SPIN_US - 20 + round % 40);
		sk_pool_run(p, 3, 0, count_items, &t);
		for (int i = 0; i < 3; i++)
			ck_assert_int_eq(t.count[i], 1);
	}
	sk_pool_close(&p);
}
END_TEST

/* A worker whose core was taken away: it needs `late_us` for nothing. */
struct neighbour {
	int64_t late_us;
	int helped;                     /* parts done by others than the caller */
};

static void late_worker(void *arg, int32_t from, int32_t to, int worker)
{
	struct neighbour *n = arg;

	if (worker == 0)
		return;
	n->helped++;
	pass_time(n->late_us);
}

START_TEST(a_late_worker_is_left_out_for_a_while_and_then_tried_again)
{
	struct sk_pool *p = pool_open(2, false);
	struct neighbour late = { .late_us = 10 * SK_POOL_LATE_US }, quick = { 0 };
	int64_t start;
	int helped;

	/* Once is enough, unless the caller loses its own core meanwhile and so does not wait. */
	for (int i = 0; i < 100 && sk_pool_active(p) == 2; i++)
		sk_pool_run(p, 2, 0, late_worker, &late);
	ck_assert_int_eq(sk_pool_active(p), 1);
	start = sk_now_us();
	helped = late.helped;
	sk_pool_run(p, 2, 0, late_worker, &late);
	if (sk_now_us() - start < 40000)
		ck_assert_int_eq(late.helped, helped);
	/* 50 ms later all threads are tried. */
	while (quick.helped == 0 && sk_now_us() - start < 10000000)
		sk_pool_run(p, 2, 0, late_worker, &quick);
	ck_assert_int_eq(quick.helped, 1);
	ck_assert_int_ge(sk_now_us() - start, 40000);
	sk_pool_close(&p);
}
END_TEST

START_TEST(stepping_down_can_be_forbidden)
{
	struct sk_pool *p = pool_open(2, true);
	struct neighbour late = { .late_us = 10 * SK_POOL_LATE_US };

	for (int i = 0; i < 3; i++)
		sk_pool_run(p, 2, 0, late_worker, &late);
	ck_assert_int_eq(late.helped, 3);
	ck_assert_int_eq(sk_pool_active(p), 2);
	sk_pool_close(&p);
}
END_TEST

START_TEST(a_senseless_number_of_threads_is_refused)
{
	static const int wrong[] = { 0, -1, SK_POOL_THREADS_MAX + 1 };

	for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
		struct sk_pool *p = NULL;
		struct sk_err err = { 0 };

		ck_assert_int_eq(sk_pool_open(wrong[i], false, &p, &err), SK_EINVAL);
		ck_assert_ptr_null(p);
	}
}
END_TEST

int main(void)
{
	Suite *s = suite_create("pool");
	TCase *c = tcase_create("pool");
	SRunner *r;
	int failed;

	tcase_set_timeout(c, 60);
	tcase_add_loop_test(c, every_item_is_done_once, 0, (int)(sizeof covers / sizeof covers[0]));
	tcase_add_test(c, without_a_grain_a_thread_always_gets_the_same_part);
	tcase_add_test(c, a_worker_that_fell_asleep_wakes_for_the_next_job);
	tcase_add_test(c, a_late_worker_is_left_out_for_a_while_and_then_tried_again);
	tcase_add_test(c, stepping_down_can_be_forbidden);
	tcase_add_test(c, a_senseless_number_of_threads_is_refused);
	suite_add_tcase(s, c);
	r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}
