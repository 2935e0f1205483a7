/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The queue's model: what is measured, how long one waits, and who is told to come again when. No clock: time is a number.
 */
#include <check.h>
#include <math.h>
#include <string.h>

#include "fcgi/backlog.h"

#define S(x) ((int64_t)((x) * 1e6))
#define NEAR 0.05               /* of rates that fade while they are measured: prompts come in one piece, answers token by token */

/* ---- rates -------------------------------------------------------------------------------------------------- */

START_TEST(a_rate_is_what_was_done_in_busy_time)
{
	struct sk_meter m = { .most = 1 };
	int64_t now = S(100);

	ck_assert(sk_meter_rate(&m) == 0);
	sk_meter_begin(&m, now);
	for (int i = 0; i < 50; i++)
		sk_meter_did(&m, 10, now += S(0.1));
	ck_assert_double_eq_tol(sk_meter_rate(&m), 100, 1e-6);
	sk_meter_end(&m, now);
	/* Nobody asked for an hour: that says nothing about how fast it goes. */
	now += S(3600);
	sk_meter_begin(&m, now);
	ck_assert_double_eq_tol(sk_meter_rate(&m), 100, 1e-6);
	for (int i = 0; i < 300; i++)
		sk_meter_did(&m, 1, now += S(0.1));
	ck_assert_msg(sk_meter_rate(&m) < 20, "half a minute later it is still %f, and 10 since then", sk_meter_rate(&m));
}
END_TEST

START_TEST(two_who_overlap_are_busy_once)
{
	struct sk_meter m = { .most = 1 };

	sk_meter_begin(&m, S(1));
	sk_meter_begin(&m, S(2));
	sk_meter_did(&m, 5, S(3));
	sk_meter_end(&m, S(3));
	sk_meter_did(&m, 5, S(6));
	sk_meter_end(&m, S(6));
	ck_assert_int_eq(m.busy, 0);
	ck_assert_msg(sk_meter_rate(&m) > 1.5 && sk_meter_rate(&m) < 2.5, "10 in 5 seconds are %f", sk_meter_rate(&m));
}
END_TEST

START_TEST(what_one_alone_does_is_told_for_the_crowd_until_it_was_measured)
{
	struct sk_meter m = { .most = 4 };
	int64_t now = S(100);

	sk_meter_begin(&m, now);
	for (int i = 0; i < 200; i++)
		sk_meter_did(&m, 1, now += S(0.1));
	ck_assert_double_eq_tol(sk_meter_rate(&m), 10, 1e-6);
	for (int i = 0; i < 9; i++)
		sk_meter_begin(&m, now);
	ck_assert_msg(fabs(sk_meter_rate(&m) - 40) < 1e-6, "four of ten at once are %f", sk_meter_rate(&m));
	/* They do 20 a second in truth. */
	for (int i = 0; i < 400; i++)
		sk_meter_did(&m, 2, now += S(0.1));
	ck_assert_double_eq_tol(sk_meter_rate(&m), 20, 1);
	/* Alone again one is not as fast as four, but nobody waits then. */
	for (int i = 0; i < 9; i++)
		sk_meter_end(&m, now);
	ck_assert(sk_meter_rate(&m) <= 21);
	sk_meter_end(&m, now);
	ck_assert_int_eq(m.busy, 0);
}
END_TEST

START_TEST(a_moment_is_no_measurement)
{
	struct sk_meter m = { .most = 4 };

	sk_meter_begin(&m, S(1));
	sk_meter_did(&m, 500, S(1.001));
	sk_meter_end(&m, S(1.002));
	ck_assert(sk_meter_rate(&m) == 0);
}
END_TEST

/* ---- the model ---------------------------------------------------------------------------------------------- */

/* Four at a time, 5 prompt tokens and 20 new ones each, every one of them ten a second: 40 tokens a second, 25 a request. */
static void serve(struct sk_backlog *b, int64_t *now, int rounds)
{
	for (int round = 0; round < rounds; round++) {
		for (int i = 0; i < 4; i++) {
			sk_backlog_accept(b, 25, *now);
			sk_backlog_did(b, 5, *now);
		}
		for (int token = 0; token < 20; token++) {
			*now += S(0.1);
			sk_backlog_did(b, 4, *now);
		}
		for (int i = 0; i < 4; i++)
			sk_backlog_end(b, 25, 0, *now);
	}
}

START_TEST(places_come_as_fast_as_requests_end)
{
	struct sk_backlog b = { .tokens.most = 4 };
	int64_t now = S(5);

	ck_assert(sk_backlog_places(&b) == 1);
	serve(&b, &now, 5);
	ck_assert_int_eq(b.owed, 0);
	ck_assert_double_eq_tol(b.cost, 25, 1e-9);
	/* 4 requests in 2 seconds */
	ck_assert_double_eq_tol(sk_backlog_places(&b), 2, 2 * NEAR);
}
END_TEST

START_TEST(before_one_has_ended_its_tokens_to_come_are_its_cost)
{
	struct sk_backlog b = { .tokens.most = 4 };

	sk_backlog_accept(&b, 110, S(1));
	for (int i = 1; i <= 10; i++)
		sk_backlog_did(&b, 1, S(1 + 0.1 * i));
	ck_assert_int_eq(b.owed, 100);
	ck_assert_double_eq_tol(sk_backlog_places(&b), 10.0 / 100, 1e-6);
	/* It ends before its time: what it never used is owed no more. */
	sk_backlog_end(&b, 10, 100, S(2));
	ck_assert_int_eq(b.owed, 0);
	ck_assert_double_eq_tol(sk_backlog_places(&b), 1, 1e-6);
}
END_TEST

START_TEST(one_that_was_cancelled_in_the_queue_says_nothing_about_costs)
{
	struct sk_backlog b = { .tokens.most = 4 };
	int64_t now = S(1);

	serve(&b, &now, 1);
	for (int i = 0; i < 100; i++) {
		sk_backlog_accept(&b, 1000, now);
		sk_backlog_end(&b, 0, 1000, now);
	}
	ck_assert_double_eq_tol(b.cost, 25, 1e-9);
	ck_assert_int_eq(b.owed, 0);
}
END_TEST

/* running, waiting, tokens of the pool that are free -> seconds, where 2 requests of 25 tokens end each second */
static const struct { uint32_t running, waiting; uint64_t free; double want; } wait_cases[] = {
	{ 0, 0, 1000, 0 },
	{ 4, 0, 1000, 0 },
	{ 1, 3, 1000, 0 },              /* they wait for the step under way */
	{ 4, 1, 1000, 1 },
	{ 4, 39, 1000, 20 },
	{ 1, 3, 25, 1.5 },              /* the pool has room for one of three */
	{ 2, 2, 0, 1.5 },
};

START_TEST(a_wait_is_that_of_those_without_a_place)
{
	struct sk_backlog b = { .tokens.most = 4 };
	int64_t now = S(1);

	ck_assert_msg(sk_backlog_wait(&b, 4, 100, 0) == 0, "nothing was measured yet");
	serve(&b, &now, 5);
	ck_assert_double_eq_tol(sk_backlog_wait(&b, wait_cases[_i].running, wait_cases[_i].waiting, wait_cases[_i].free),
				wait_cases[_i].want, NEAR * wait_cases[_i].want + 1e-9);
}
END_TEST

START_TEST(a_wait_for_workers_counts)
{
	struct sk_backlog b = { .tokens.most = 4, .workers.most = 1 };

	for (int i = 0; i < 11; i++)
		sk_meter_begin(&b.workers, S(1));
	ck_assert(sk_backlog_wait(&b, 0, 0, 0) == 0);
	for (int i = 1; i <= 5; i++) {
		sk_meter_did(&b.workers, 1, S(1 + i));
		sk_meter_end(&b.workers, S(1 + i));
	}
	ck_assert_double_eq_tol(sk_backlog_works(&b), 1, 0.01);
	ck_assert_double_eq_tol(sk_backlog_wait(&b, 0, 0, 0), 5, 0.1);
}
END_TEST

START_TEST(loading_takes_as_long_for_each_byte)
{
	struct sk_backlog b = { .started_us = S(10) };

	ck_assert_double_eq_tol(sk_backlog_load_left(&b, 0, 100, S(13)), 3, 1e-9);
	ck_assert_double_eq_tol(sk_backlog_load_left(&b, 25, 100, S(14)), 12, 1e-9);
	ck_assert_double_eq_tol(sk_backlog_load_left(&b, 100, 100, S(20)), 0, 1e-9);
	ck_assert_double_eq_tol(sk_backlog_load_left(&b, 0, 0, S(10)), 0, 1e-9);
}
END_TEST

START_TEST(a_successor_comes_after_the_work_or_the_drains_end)
{
	struct sk_backlog b = { .started_us = S(10), .ready_us = S(13), .tokens.most = 4 };
	int64_t now = S(20);

	ck_assert_double_eq_tol(sk_backlog_restart(&b, now), 3, 1e-9);
	serve(&b, &now, 5);
	b.stops_us = now + S(30);
	ck_assert_msg(fabs(sk_backlog_restart(&b, now) - 3) < 1e-9, "nothing runs");
	sk_backlog_accept(&b, 500, now);
	ck_assert_double_eq_tol(sk_backlog_restart(&b, now), 3 + 500 / 50.0, 10 * NEAR);
	sk_backlog_accept(&b, 50000, now);
	ck_assert_msg(fabs(sk_backlog_restart(&b, now) - 33) < 1e-6, "the drain's time is over before");
	ck_assert_msg(fabs(sk_backlog_restart(&b, now + S(31)) - 3) < 1e-6, "its time is over");
}
END_TEST

/* ---- the book ----------------------------------------------------------------------------------------------- */

START_TEST(who_is_refused_comes_when_there_is_a_place_for_him)
{
	struct sk_backlog b = { 0 };

	for (int i = 0; i < 600; i++)
		ck_assert_int_eq(sk_backlog_book(&b, 7, 0, 10, S(1000)), i / 10 + 1);
}
END_TEST

START_TEST(slow_places_are_given_one_by_one)
{
	struct sk_backlog b = { 0 };

	for (int i = 1; i <= 12; i++)
		ck_assert_int_eq(sk_backlog_book(&b, 7, 0, 0.2, S(7)), 5 * i);
}
END_TEST

START_TEST(nobody_comes_before_the_first_place)
{
	struct sk_backlog b = { 0 };

	for (int i = 0; i < 20; i++)
		ck_assert_int_eq(sk_backlog_book(&b, 7, 20.5, 4, S(7)), 21 + (i + 2) / 4);
}
END_TEST

START_TEST(those_beyond_a_minute_are_spread_over_its_second_half)
{
	uint32_t counts[SK_RETRY_MAX_S + 1] = { 0 };
	struct sk_backlog b = { 0 };

	for (int i = 0; i < 10000; i++) {
		int s = sk_backlog_book(&b, 7, 0, 10, S(50));

		ck_assert(s >= 1 && s <= SK_RETRY_MAX_S);
		counts[s]++;
	}
	for (int s = 1; s <= 30; s++)
		ck_assert_int_eq(counts[s], 10);
	for (int s = 31; s <= 60; s++)
		ck_assert_msg(counts[s] == 9700 / 30 || counts[s] == 9700 / 30 + 1, "%u at %d", counts[s], s);
}
END_TEST

START_TEST(a_second_that_has_passed_is_forgotten)
{
	struct sk_backlog b = { 0 };

	for (int i = 0; i < 20; i++)
		sk_backlog_book(&b, 7, 0, 10, S(50));
	/* Two full seconds are booked. One later the second of them is the first; long after, all is free. */
	ck_assert_int_eq(sk_backlog_book(&b, 7, 0, 10, S(51)), 2);
	ck_assert_int_eq(sk_backlog_book(&b, 7, 0, 10, S(1e6)), 1);
	for (int i = 0; i < 9; i++)
		ck_assert_int_eq(sk_backlog_book(&b, 7, 0, 10, S(1e6)), 1);
	ck_assert_int_eq(sk_backlog_book(&b, 7, 0, 10, S(1e6)), 2);
	/* The first look into the book may be late in the machine's life. */
	memset(&b, 0, sizeof b);
	ck_assert_int_eq(sk_backlog_book(&b, 7, 0, 1, INT64_MAX / 4), 1);
}
END_TEST

static const struct { double from, per; int low, high; } odd_cases[] = {
	{ 0, 1e9, 1, 1 }, { 0, 1e-9, 31, 60 }, { 0, 0, 31, 60 }, { 0, -1, 31, 60 }, { 1e30, 1e9, 60, 60 }, { -5, 1, 1, 60 },
	{ NAN, 1, 31, 60 }, { 0, NAN, 31, 60 }, { INFINITY, 1, 60, 60 }, { 45, 1e-3, 45, 60 },
};

START_TEST(who_does_not_wait_makes_nobody_else_wait)
{
	struct sk_backlog b = { 0 };
	int last = 0;

	for (int i = 0; i < 1109; i++)
		last = sk_backlog_book(&b, 7, 0, 4, S(50));
	ck_assert_msg(last > 30, "%d: the pest itself waits", last);
	/* Another client with as many requests gets every second place, and no more. */
	for (int i = 0; i < 40; i++)
		ck_assert_int_eq(sk_backlog_book(&b, 8, 0, 4, S(50)), i / 2 + 1);
	ck_assert_int_eq(sk_backlog_book(&b, 9, 0, 4, S(50)), 1);
}
END_TEST

/* As many clients as the table holds, and ten times as many: each has one request, and a second in which there is a place. */
START_TEST(clients_are_spread_as_requests_are)
{
	struct sk_backlog b = { 0 };

	for (int i = 0; i < 10 * SK_BOOK_CLIENTS; i++)
		ck_assert_int_eq(sk_backlog_book(&b, (uint64_t)i, 0, 16, S(1000)), i / 16 + 1);
}
END_TEST

START_TEST(whatever_was_measured_the_answer_is_a_minute_at_most)
{
	struct sk_backlog b = { 0 };

	for (int i = 0; i < 100; i++) {
		int s = sk_backlog_book(&b, 7, odd_cases[_i].from, odd_cases[_i].per, S(3));

		ck_assert_msg(s >= odd_cases[_i].low && s <= odd_cases[_i].high, "%d", s);
	}
	ck_assert_int_eq(sk_backlog_clamp(NAN), 1);
	ck_assert_int_eq(sk_backlog_clamp(-1), 1);
	ck_assert_int_eq(sk_backlog_clamp(1.5), 2);
	ck_assert_int_eq(sk_backlog_clamp(60.5), 60);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("backlog");
	TCase *c = tcase_create("backlog");
	SRunner *sr;
	int failed;

	tcase_add_test(c, a_rate_is_what_was_done_in_busy_time);
	tcase_add_test(c, two_who_overlap_are_busy_once);
	tcase_add_test(c, what_one_alone_does_is_told_for_the_crowd_until_it_was_measured);
	tcase_add_test(c, a_moment_is_no_measurement);
	tcase_add_test(c, places_come_as_fast_as_requests_end);
	tcase_add_test(c, before_one_has_ended_its_tokens_to_come_are_its_cost);
	tcase_add_test(c, one_that_was_cancelled_in_the_queue_says_nothing_about_costs);
	tcase_add_loop_test(c, a_wait_is_that_of_those_without_a_place, 0, sizeof wait_cases / sizeof *wait_cases);
	tcase_add_test(c, a_wait_for_workers_counts);
	tcase_add_test(c, loading_takes_as_long_for_each_byte);
	tcase_add_test(c, a_successor_comes_after_the_work_or_the_drains_end);
	tcase_add_test(c, who_is_refused_comes_when_there_is_a_place_for_him);
	tcase_add_test(c, slow_places_are_given_one_by_one);
	tcase_add_test(c, nobody_comes_before_the_first_place);
	tcase_add_test(c, those_beyond_a_minute_are_spread_over_its_second_half);
	tcase_add_test(c, a_second_that_has_passed_is_forgotten);
	tcase_add_test(c, who_does_not_wait_makes_nobody_else_wait);
	tcase_add_test(c, clients_are_spread_as_requests_are);
	tcase_add_loop_test(c, whatever_was_measured_the_answer_is_a_minute_at_most, 0, sizeof odd_cases / sizeof *odd_cases);
	suite_add_tcase(s, c);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_ENV);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? 1 : 0;
}
