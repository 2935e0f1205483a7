/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Clients that share: who is one client, what weight it has, and how places are divided while others wait.
 */
#include <check.h>
#include <string.h>

#include "fcgi/permits.h"
#include "fcgi/share.h"

/* ---- whose a request is ------------------------------------------------------------------------------------- */

struct asker { const char *kind, *key, *user, *address; };

static const struct { const char *name; struct asker a, b; bool same; } pairs[] = {
	{ "off", { "off", "k", "u", "192.0.2.1" }, { "off", NULL, NULL, "192.0.2.2" }, true },
	{ "addresses differ", { "address", "k", "u", "192.0.2.1" }, { "address", "k", "u", "192.0.2.2" }, false },
	{ "one address, two users", { "address", "k", "u", "192.0.2.1" }, { "address", "j", "v", "192.0.2.1" }, true },
	{ "one user, two addresses", { "user", NULL, "u", "192.0.2.1" }, { "user", NULL, "u", "192.0.2.2" }, true },
	{ "no user: the address", { "user", "k", "", "192.0.2.1" }, { "user", "k", NULL, "192.0.2.2" }, false },
	{ "one key, two users", { "key", "k", "u", "192.0.2.1" }, { "key", "k", "v", "192.0.2.2" }, true },
	{ "no key: the user", { "key", NULL, "u", "192.0.2.1" }, { "key", NULL, "u", "192.0.2.2" }, true },
	{ "a user is no key", { "key", "n", NULL, "" }, { "key", NULL, "n", "" }, false },
	{ "a user is no address", { "user", NULL, "192.0.2.1", "x" }, { "user", NULL, "", "192.0.2.1" }, false },
	{ "one IPv6 machine", { "address", NULL, NULL, "2001:db8:1:2:aaaa::1" }, { "address", NULL, NULL, "2001:db8:1:2:bbbb::2" }, true },
	{ "two IPv6 networks", { "address", NULL, NULL, "2001:db8:1:2::1" }, { "address", NULL, NULL, "2001:db8:1:3::1" }, false },
	{ "IPv4 in IPv6", { "address", NULL, NULL, "::ffff:192.0.2.1" }, { "address", NULL, NULL, "::ffff:192.0.2.2" }, false },
	{ "nobody known", { "key", NULL, NULL, NULL }, { "key", "", "", "" }, true },
};

static uint64_t number(const struct asker *a, const char *weights, uint32_t *ret_weight)
{
	uint64_t client;

	sk_share_of(a->kind, weights, a->key, a->user, a->address, &client, ret_weight);
	return client;
}

START_TEST(clients_are_told_apart)
{
	uint32_t weight;
	uint64_t a = number(&pairs[_i].a, "", &weight), b = number(&pairs[_i].b, NULL, &weight);

	ck_assert_msg((a == b) == pairs[_i].same, "%s", pairs[_i].name);
	ck_assert_msg((a == 0) == (strcmp(pairs[_i].a.kind, "off") == 0), "%s", pairs[_i].name);
	ck_assert_int_eq(weight, 1);
}
END_TEST

static const struct { const char *list; bool good; const char *user; uint32_t weight; } lists[] = {
	{ "", true, "alice", 1 },
	{ "alice=3", true, "alice", 3 },
	{ "alice=3", true, "alic", 1 },
	{ "alice=3", true, "alice2", 1 },
	{ " bob=1000,\talice=2 ,", true, "bob", 1000 },
	{ "bob=1000,alice=2", true, "alice", 2 },
	{ "a=b=7", true, "a=b", 7 },
	{ "alice=3,alice=5", false, "alice", 3 },
	{ "alice=3,bob=1 alice=3", false, "bob", 1 },
	{ "alice=3,alic=1,alice2=5", true, "alice2", 5 },
	{ "alice=0", false, "alice", 1 },
	{ "alice=1001", false, "alice", 1 },
	{ "alice=99999999999999", false, "alice", 1 },
	{ "alice=", false, "alice", 1 },
	{ "=3", false, "", 1 },
	{ "alice", false, "alice", 1 },
	{ "alice=3x", false, "alice", 1 },
	{ "alice=-3", false, "alice", 1 },
	{ "alice = 3", false, "alice", 1 },
};

START_TEST(weights_are_a_list_of_names)
{
	struct asker a = { "user", NULL, lists[_i].user, "192.0.2.1" };
	uint32_t weight;

	ck_assert_msg((sk_share_weights_check(lists[_i].list, NULL) == SK_OK) == lists[_i].good, "%s", lists[_i].list);
	number(&a, lists[_i].list, &weight);
	ck_assert_msg(weight == lists[_i].weight, "%s: %u", lists[_i].list, weight);
}
END_TEST

START_TEST(kinds_are_four_words)
{
	ck_assert(sk_share_kind_ok("off") && sk_share_kind_ok("address") && sk_share_kind_ok("user") && sk_share_kind_ok("key"));
	ck_assert(!sk_share_kind_ok("") && !sk_share_kind_ok("on") && !sk_share_kind_ok(NULL));
}
END_TEST

/* ---- places ------------------------------------------------------------------------------------------------- */

#define S(x) ((int64_t)((x) * 1e6))
#define GIVEN SK_PERMITS_GIVEN
#define NONE SK_PERMITS_NONE
#define SHARE SK_PERMITS_SHARE

static struct sk_permits p;

static void places(int64_t limit)
{
	memset(&p, 0, sizeof p);
	sk_permits_init(&p, limit);
}

/* So many single places, one after the other; how many were given before the first refusal. */
static int take_all(uint64_t client, uint32_t weight, int most)
{
	int got = 0;

	while (got < most && sk_permits_take(&p, 1, client, weight, S(1)) == GIVEN)
		got++;
	return got;
}

START_TEST(without_clients_places_are_counted)
{
	places(3);
	ck_assert_int_eq(sk_permits_take(&p, 2, 0, 0, S(1)), GIVEN);
	ck_assert_int_eq(sk_permits_take(&p, 2, 0, 0, S(1)), NONE);
	ck_assert_int_eq(sk_permits_take(&p, 1, 0, 0, S(1)), GIVEN);
	sk_permits_limit(&p, 1);
	sk_permits_give(&p, 2, 0);
	ck_assert_int_eq(sk_permits_take(&p, 1, 0, 0, S(1)), NONE);
	sk_permits_give(&p, 1, 0);
	ck_assert_int_eq(sk_permits_take(&p, 1, 0, 0, S(1)), GIVEN);
	ck_assert_int_eq(sk_permits_used(&p), 1);
	sk_permits_fini(&p);
}
END_TEST

START_TEST(alone_a_client_may_hold_all)
{
	places(10);
	ck_assert_int_eq(take_all(7, 1, 100), 10);
	sk_permits_give(&p, 1, 7);
	ck_assert_int_eq(take_all(7, 1, 100), 1);
	sk_permits_fini(&p);
}
END_TEST

START_TEST(what_becomes_free_is_for_who_waits)
{
	places(10);
	ck_assert_int_eq(take_all(7, 1, 100), 10);
	ck_assert_int_eq(sk_permits_take(&p, 1, 8, 1, S(1)), NONE);
	sk_permits_give(&p, 1, 7);
	ck_assert_int_eq(sk_permits_take(&p, 1, 7, 1, S(2)), SHARE);
	ck_assert_int_eq(sk_permits_take(&p, 1, 8, 1, S(3)), GIVEN);
	/* It has got one and waits for no more; the next place is anybody's. */
	sk_permits_give(&p, 1, 7);
	ck_assert_int_eq(sk_permits_take(&p, 1, 7, 1, S(3)), GIVEN);
	/* It asks again: until it has its half. */
	for (int held = 1; held < 5; held++) {
		ck_assert_int_eq(sk_permits_take(&p, 1, 8, 1, S(4)), NONE);
		sk_permits_give(&p, 1, 7);
		ck_assert_int_eq(sk_permits_take(&p, 1, 7, 1, S(4)), SHARE);
		ck_assert_int_eq(sk_permits_take(&p, 1, 8, 1, S(4)), GIVEN);
	}
	ck_assert_int_eq(sk_permits_take(&p, 1, 8, 1, S(4)), NONE);
	sk_permits_give(&p, 1, 8);
	ck_assert_int_eq(sk_permits_take(&p, 1, 7, 1, S(4)), GIVEN);
	sk_permits_fini(&p);
}
END_TEST

/* One request may take several places: more than a share, which no client could gather one by one. */
START_TEST(who_holds_nothing_gets_one_request_beyond_his_share)
{
	places(4);
	ck_assert_int_eq(take_all(7, 3, 100), 4);
	ck_assert_int_eq(sk_permits_take(&p, 2, 8, 1, S(1)), NONE);
	ck_assert_int_eq(sk_permits_take(&p, 1, 9, 1, S(1)), NONE);
	sk_permits_give(&p, 3, 7);
	ck_assert_int_eq(sk_permits_take(&p, 2, 8, 1, S(2)), GIVEN);
	/* A second one is beyond it while another waits. */
	ck_assert_int_eq(sk_permits_take(&p, 1, 8, 1, S(2)), SHARE);
	ck_assert_int_eq(sk_permits_take(&p, 1, 9, 1, S(2)), GIVEN);
	ck_assert_int_eq(sk_permits_used(&p), 4);
	sk_permits_fini(&p);
}
END_TEST

START_TEST(a_claim_is_over_when_its_owner_does_not_come)
{
	places(10);
	take_all(7, 1, 100);
	ck_assert_int_eq(sk_permits_take(&p, 1, 8, 1, S(1)), NONE);
	sk_permits_give(&p, 1, 7);
	ck_assert_int_eq(sk_permits_take(&p, 1, 7, 1, S(SK_PERMITS_WAIT_S)), SHARE);
	ck_assert_int_eq(sk_permits_take(&p, 1, 7, 1, S(SK_PERMITS_WAIT_S + 1)), GIVEN);
	ck_assert_msg(p.len == 1, "%d clients are known, one is there", p.len);
	sk_permits_fini(&p);
}
END_TEST

/* Two greedy clients with weights 1 and 3: places become free one after the other, both ask at once for each. */
START_TEST(shares_of_places_are_as_the_weights)
{
	int64_t held[2] = { 0, 0 };
	const uint32_t weights[2] = { 1, 3 };

	places(40);
	held[0] = take_all(1, 1, 100);
	ck_assert_int_eq(held[0], 40);
	for (int round = 0; round < 400; round++) {
		int loser = round % 40 < held[0] ? 0 : 1;

		sk_permits_give(&p, 1, (uint64_t)loser + 1);
		held[loser]--;
		for (int k = 0; k < 2; k++)
			held[k] += take_all((uint64_t)k + 1, weights[k], 100);
	}
	/* Who has his share has no claim: a place that he gives back may be anybody's once. */
	ck_assert_msg(held[0] >= 10 && held[0] <= 11 && held[0] + held[1] == 40, "%d and %d", (int)held[0], (int)held[1]);
	sk_permits_fini(&p);
}
END_TEST

/* A request of several sequences that would go beyond the share: its client has less than that, and so it waits. */
START_TEST(who_wants_more_than_is_left_of_his_share_waits)
{
	places(10);
	ck_assert_int_eq(take_all(7, 1, 9), 9);
	ck_assert_int_eq(sk_permits_take(&p, 1, 8, 1, S(1)), GIVEN);
	sk_permits_give(&p, 1, 7);
	ck_assert_int_eq(sk_permits_take(&p, 5, 8, 1, S(1)), NONE);
	ck_assert_int_eq(sk_permits_take(&p, 1, 7, 1, S(2)), SHARE);
	sk_permits_give(&p, 4, 7);
	ck_assert_int_eq(sk_permits_take(&p, 5, 8, 1, S(3)), GIVEN);
	ck_assert_int_eq(sk_permits_take(&p, 1, 8, 1, S(3)), NONE);
	sk_permits_fini(&p);
}
END_TEST

START_TEST(everybody_has_a_share_of_one_at_least)
{
	places(2);
	ck_assert_int_eq(take_all(1, 1000, 100), 2);
	ck_assert_int_eq(sk_permits_take(&p, 1, 2, 1, S(1)), NONE);
	ck_assert_int_eq(sk_permits_take(&p, 1, 3, 1, S(1)), NONE);
	sk_permits_give(&p, 1, 1);
	ck_assert_int_eq(sk_permits_take(&p, 1, 1, 1000, S(2)), SHARE);
	ck_assert_int_eq(sk_permits_take(&p, 1, 3, 1, S(2)), GIVEN);
	sk_permits_give(&p, 1, 1);
	ck_assert_int_eq(sk_permits_take(&p, 1, 2, 1, S(2)), GIVEN);
	sk_permits_fini(&p);
}
END_TEST

START_TEST(more_clients_than_the_table_holds_are_served)
{
	places(SK_PERMITS_CLIENTS + 100);
	for (int i = 1; i <= SK_PERMITS_CLIENTS + 100; i++)
		ck_assert_int_eq(sk_permits_take(&p, 1, (uint64_t)i, 1, S(1)), GIVEN);
	ck_assert_int_eq(sk_permits_take(&p, 1, 5000, 1, S(1)), NONE);
	for (int i = SK_PERMITS_CLIENTS + 100; i >= 1; i--)
		sk_permits_give(&p, 1, (uint64_t)i);
	ck_assert_int_eq(sk_permits_used(&p), 0);
	ck_assert_int_eq(sk_permits_take(&p, 1, 5000, 1, S(1)), GIVEN);
	ck_assert_int_eq(p.len, 1);
	sk_permits_fini(&p);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("share");
	TCase *c = tcase_create("share");
	SRunner *sr;
	int failed;

	tcase_add_loop_test(c, clients_are_told_apart, 0, sizeof pairs / sizeof *pairs);
	tcase_add_loop_test(c, weights_are_a_list_of_names, 0, sizeof lists / sizeof *lists);
	tcase_add_test(c, kinds_are_four_words);
	tcase_add_test(c, without_clients_places_are_counted);
	tcase_add_test(c, alone_a_client_may_hold_all);
	tcase_add_test(c, what_becomes_free_is_for_who_waits);
	tcase_add_test(c, who_holds_nothing_gets_one_request_beyond_his_share);
	tcase_add_test(c, a_claim_is_over_when_its_owner_does_not_come);
	tcase_add_test(c, shares_of_places_are_as_the_weights);
	tcase_add_test(c, who_wants_more_than_is_left_of_his_share_waits);
	tcase_add_test(c, everybody_has_a_share_of_one_at_least);
	tcase_add_test(c, more_clients_than_the_table_holds_are_served);
	suite_add_tcase(s, c);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_ENV);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? 1 : 0;
}
