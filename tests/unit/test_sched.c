/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The planner by hand: small queues whose batches a reader can follow. What holds for any queue is tests/sim/.
 *
 * A batch is written as "id:first+len" for each sequence, with "*" where a token is sampled and "?" where one is unknown;
 * a step of the encoder begins with "E". "id.seq" is a request's other sequence, "from>to" a block to be copied.
 */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/sched/kv.h"
#include "engine/sched/sched.h"

static struct sk_sched *sched_open_encoder(int32_t tokens, int32_t sequences, int32_t blocks, int32_t encode_max, int look_ahead)
{
	struct sk_sched_limits l = { .tokens_max = tokens, .sequences_max = sequences, .blocks = blocks, .block_tokens = 4,
				     .context_max = 64, .encode_max = encode_max, .waiting_max = 8, .look_ahead = look_ahead };
	struct sk_sched *s;

	ck_assert_int_eq(sk_sched_open(&l, &s, NULL), SK_OK);
	return s;
}

static struct sk_sched *sched_open(int32_t tokens, int32_t sequences, int32_t blocks, int look_ahead)
{
	return sched_open_encoder(tokens, sequences, blocks, 0, look_ahead);
}

static sk_status add(struct sk_sched *s, uint64_t id, int32_t prompt_len, int32_t max_new)
{
	return sk_sched_add(s, &(struct sk_sched_req){ .id = id, .prompt_len = prompt_len, .max_new_tokens = max_new }, 0);
}

static sk_status add_many(struct sk_sched *s, uint64_t id, int32_t n, int32_t prompt_len, int32_t max_new)
{
	return sk_sched_add(s, &(struct sk_sched_req){ .id = id, .n = n, .prompt_len = prompt_len, .max_new_tokens = max_new }, 0);
}

/* Behind an encoder: a prompt of one token. */
static sk_status add_source(struct sk_sched *s, uint64_t id, int32_t source_len, int32_t max_new)
{
	return sk_sched_add(s, &(struct sk_sched_req){ .id = id, .prompt_len = 1, .source_len = source_len,
						       .max_new_tokens = max_new }, 0);
}

static const char *plan(struct sk_sched *s, struct sk_batch *b)
{
	static char text[256];
	size_t at = 0;

	text[0] = '\0';
	sk_sched_plan(s, 0, b);
	if (b->S > 0 && b->encode)
		at += (size_t)snprintf(text, sizeof(text), "E");
	for (int32_t i = 0; i < b->S; i++)
		at += (size_t)snprintf(text + at, sizeof(text) - at, "%s%d%.*s:%d+%d%s%s", at ? " " : "", (int)b->seqs[i].id,
				       b->seqs[i].seq ? 2 : 0, &".0.1.2.3.4.5.6.7"[2 * b->seqs[i].seq], (int)b->seqs[i].first_pos, (int)b->seqs[i].len, b->seqs[i].pending ? "?" : "",
				       b->seqs[i].sample ? "*" : "");
	for (int32_t i = 0; i < b->preempted_len; i++)
		at += (size_t)snprintf(text + at, sizeof(text) - at, " -%d", (int)b->preempted[i].id);
	for (int32_t i = 0; i < b->copies_len; i++)
		at += (size_t)snprintf(text + at, sizeof(text) - at, " %d>%d", (int)b->copies[i].from, (int)b->copies[i].to);
	return text;
}

/* Every sampled token is told; the (first) sequence of `ends` (0: none) ends. */
static void commit(struct sk_sched *s, const struct sk_batch *b, uint64_t ends)
{
	struct sk_fate fates[8] = { 0 };
	struct sk_err err;

	for (int32_t i = 0; i < b->S; i++)
		fates[i].end = b->seqs[i].id == ends && b->seqs[i].seq == 0;
	sk_sched_commit(s, b, fates);
	ck_assert_msg(sk_sched_check(s, &err) == SK_OK, "%s", err.text);
}

START_TEST(test_decodes_come_first_then_chunks_by_age_within_the_budget)
{
	struct sk_sched *s = sched_open(6, 4, 100, 0);
	struct sk_batch b;

	ck_assert_int_eq(add(s, 1, 3, 9), SK_OK);
	ck_assert_int_eq(add(s, 2, 10, 9), SK_OK);
	ck_assert_int_eq(add(s, 3, 2, 9), SK_OK);
	ck_assert_str_eq(plan(s, &b), "1:0+3* 2:0+3");
	commit(s, &b, 0);
	ck_assert_str_eq(plan(s, &b), "1:3+1* 2:3+5");
	commit(s, &b, 0);
	ck_assert_str_eq(plan(s, &b), "1:4+1* 2:8+2* 3:0+2*");
	commit(s, &b, 1);
	ck_assert_str_eq(plan(s, &b), "2:10+1* 3:2+1*");
	commit(s, &b, 0);
	sk_sched_close(&s);
	ck_assert_ptr_null(s);
}
END_TEST

START_TEST(test_no_more_sequences_run_than_a_step_holds)
{
	struct sk_sched *s = sched_open(16, 2, 100, 0);
	struct sk_batch b;

	for (uint64_t id = 1; id <= 3; id++)
		ck_assert_int_eq(add(s, id, 1, 5), SK_OK);
	ck_assert_str_eq(plan(s, &b), "1:0+1* 2:0+1*");
	commit(s, &b, 2);
	ck_assert_str_eq(plan(s, &b), "1:1+1* 3:0+1*");
	commit(s, &b, 0);
	sk_sched_close(&s);
}
END_TEST

START_TEST(test_out_of_blocks_the_youngest_is_preempted_and_computed_again)
{
	struct sk_sched *s = sched_open(32, 4, 6, 0);
	struct sk_sched_stats st;
	struct sk_batch b;
	char got[256] = "";

	/* Two of 5 tokens take 2 blocks each; at 9 tokens both want a third, at 13 the older wants a fourth. */
	ck_assert_int_eq(add(s, 1, 5, 12), SK_OK);
	ck_assert_int_eq(add(s, 2, 5, 12), SK_OK);
	ck_assert_str_eq(plan(s, &b), "1:0+5* 2:0+5*");
	commit(s, &b, 0);
	for (int i = 0; i < 20 && !strchr(got, '-'); i++) {
		snprintf(got, sizeof(got), "%s", plan(s, &b));
		commit(s, &b, 0);
	}
	ck_assert_str_eq(got, "1:12+1* -2");
	sk_sched_stats(s, &st);
	ck_assert_uint_eq(st.preemptions, 1);
	ck_assert_int_eq(st.waiting, 1);
	ck_assert_str_eq(plan(s, &b), "1:13+1*");
	commit(s, &b, 1);
	/* What it had generated is known: it is computed with the prompt, and the next token is sampled at the end. */
	ck_assert_str_eq(plan(s, &b), "2:0+13*");
	commit(s, &b, 2);
	sk_sched_stats(s, &st);
	ck_assert_int_eq(st.blocks_free, 6);
	sk_sched_close(&s);
}
END_TEST

START_TEST(test_with_look_ahead_the_next_step_takes_the_unknown_token_and_never_one_too_many)
{
	struct sk_sched *s = sched_open(16, 4, 100, 1);
	struct sk_batch a, b, c;

	ck_assert_int_eq(add(s, 1, 3, 2), SK_OK);
	ck_assert_int_eq(add(s, 2, 3, 9), SK_OK);
	ck_assert_str_eq(plan(s, &a), "1:0+3* 2:0+3*");
	ck_assert_str_eq(plan(s, &b), "1:3+1?* 2:3+1?*");
	commit(s, &a, 2);
	/* 1 has its last token on the way; 2 has ended, and what b computes for it is surplus. */
	ck_assert_str_eq(plan(s, &c), "");
	ck_assert_int_eq(c.S, 0);
	commit(s, &b, 1);
	ck_assert_str_eq(plan(s, &c), "");
	sk_sched_close(&s);
}
END_TEST

START_TEST(test_a_dropped_request_is_gone_before_the_next_plan)
{
	struct sk_sched *s = sched_open(16, 4, 10, 1);
	struct sk_sched_stats st;
	struct sk_batch a, b;

	ck_assert_int_eq(add(s, 1, 8, 9), SK_OK);
	ck_assert_int_eq(add(s, 2, 8, 9), SK_OK);
	ck_assert_str_eq(plan(s, &a), "1:0+8* 2:0+8*");
	ck_assert_int_eq(sk_sched_drop(s, 1), SK_OK);
	ck_assert_int_eq(sk_sched_drop(s, 1), SK_ENOENT);
	ck_assert_int_eq(sk_sched_drop(s, 0), SK_ENOENT);
	sk_sched_stats(s, &st);
	ck_assert_int_eq(st.blocks_free, 8);
	/* Another request may get its place; the commit of the old one must not touch it. */
	ck_assert_int_eq(add(s, 3, 2, 9), SK_OK);
	ck_assert_str_eq(plan(s, &b), "2:8+1?* 3:0+2*");
	commit(s, &a, 1);
	commit(s, &b, 0);
	ck_assert_str_eq(plan(s, &a), "2:9+1* 3:2+1*");
	sk_sched_close(&s);
}
END_TEST

static const struct { const char *name; uint64_t id; int32_t prompt_len, max_new; sk_status want; } adds[] = {
	{ "a request without a name",           0, 1, 1, SK_EINVAL },
	{ "an empty prompt",                    1, 0, 1, SK_EINVAL },
	{ "an empty answer",                    1, 1, 0, SK_EINVAL },
	{ "more than the context",              1, 40, 25, SK_EINVAL },
	{ "sums that would overflow",           1, INT32_MAX, INT32_MAX, SK_EINVAL },
	{ "more than the pool",                 1, 30, 12, SK_EINVAL },
	{ "exactly the pool and one token",     1, 30, 11, SK_OK },
};

/* A queue of single-token steps, one sequence at a time: the order of ids in which `len` of them begin. */
static void order(struct sk_sched *s, uint64_t *ids, int len)
{
	struct sk_batch b;

	for (int n = 0; n < len;) {
		struct sk_fate fates[8] = { 0 };
		struct sk_err err;

		sk_sched_plan(s, 0, &b);
		ck_assert_int_eq(b.S, 1);
		if (n == 0 || ids[n - 1] != b.seqs[0].id)
			ids[n++] = b.seqs[0].id;
		fates[0].end = b.seqs[0].sample && b.seqs[0].first_pos >= (int32_t)(b.seqs[0].id % 5);
		sk_sched_commit(s, &b, fates);
		ck_assert_msg(sk_sched_check(s, &err) == SK_OK, "%s", err.text);
	}
}

static struct sk_sched *queue_open(int32_t waiting_max)
{
	struct sk_sched_limits l = { .tokens_max = 64, .sequences_max = 1, .blocks = 100, .block_tokens = 4, .context_max = 64,
				     .waiting_max = waiting_max };
	struct sk_sched *s;

	ck_assert_int_eq(sk_sched_open(&l, &s, NULL), SK_OK);
	return s;
}

static void add_of(struct sk_sched *s, uint64_t id, uint64_t client, uint32_t weight)
{
	/* Some end long before their longest answer: what they do not use is given back. */
	ck_assert_int_eq(sk_sched_add(s, &(struct sk_sched_req){ .id = id, .prompt_len = 1, .max_new_tokens = 10, .client = client,
								 .weight = weight }, 0), SK_OK);
}

START_TEST(test_a_single_request_passes_the_thousand_of_another_client)
{
	struct sk_sched *s = queue_open(1100);
	uint64_t ids[8];

	for (uint64_t id = 1; id <= 1000; id++)
		add_of(s, id, 7, 1);
	order(s, ids, 3);
	add_of(s, 2000, 8, 1);
	order(s, ids, 3);
	ck_assert_msg(ids[1] == 2000 || ids[0] == 2000, "%d %d %d", (int)ids[0], (int)ids[1], (int)ids[2]);
	sk_sched_close(&s);
}
END_TEST

START_TEST(test_clients_with_weights_1_and_3_get_25_and_75_percent)
{
	struct sk_sched *s = queue_open(2000);
	uint64_t ids[800];
	int first = 0;

	for (uint64_t id = 1; id <= 900; id++) {
		add_of(s, 5 * id, 7, 1);
		add_of(s, 5 * id + 10000, 8, 3);
	}
	order(s, ids, 800);
	for (int i = 0; i < 800; i++)
		first += ids[i] < 10000;
	ck_assert_msg(first >= 800 * 23 / 100 && first <= 800 * 27 / 100, "%d of 800", first);
	sk_sched_close(&s);
}
END_TEST

START_TEST(test_one_client_is_served_in_the_order_of_coming)
{
	struct sk_sched *s = queue_open(300);
	uint64_t ids[300];

	for (uint64_t id = 1; id <= 300; id++)
		add_of(s, id, 7, (uint32_t)(id % 10));          /* weights of one client, changed by a reload */
	order(s, ids, 300);
	for (uint64_t i = 0; i < 300; i++)
		ck_assert_int_eq(ids[i], i + 1);
	sk_sched_close(&s);
}
END_TEST

START_TEST(test_a_weight_has_a_limit)
{
	struct sk_sched *s = queue_open(4);
	struct sk_sched_req r = { .id = 1, .prompt_len = 1, .max_new_tokens = 1, .weight = SK_SCHED_WEIGHT_MAX + 1 };

	ck_assert_int_eq(sk_sched_add(s, &r, 0), SK_EINVAL);
	r.weight--;
	ck_assert_int_eq(sk_sched_add(s, &r, 0), SK_OK);
	sk_sched_close(&s);
}
END_TEST

START_TEST(test_what_can_never_fit_is_refused)
{
	struct sk_sched *s = sched_open(16, 4, 10, 0);

	for (size_t i = 0; i < sizeof(adds) / sizeof(adds[0]); i++)
		ck_assert_msg(add(s, adds[i].id, adds[i].prompt_len, adds[i].max_new) == adds[i].want, "%s", adds[i].name);
	for (uint64_t id = 2; id <= 8; id++)
		ck_assert_int_eq(add(s, id, 1, 1), SK_OK);
	ck_assert_int_eq(add(s, 9, 1, 1), SK_EOVERLOADED);
	sk_sched_close(&s);
}
END_TEST

START_TEST(test_sources_are_encoded_whole_oldest_first_and_never_twice_without_a_step_for_the_others)
{
	struct sk_sched *s = sched_open_encoder(16, 4, 100, 10, 0);
	struct sk_batch b;

	ck_assert_int_eq(add_source(s, 1, 6, 9), SK_OK);
	ck_assert_int_eq(add_source(s, 2, 4, 9), SK_OK);
	ck_assert_int_eq(add_source(s, 3, 8, 9), SK_OK);
	ck_assert_int_eq(add_source(s, 4, 2, 9), SK_OK);
	ck_assert_str_eq(plan(s, &b), "E 1:0+6 2:0+4");
	ck_assert_int_eq(b.seqs[0].cross_len, 6);
	commit(s, &b, 0);
	ck_assert_str_eq(plan(s, &b), "1:0+1* 2:0+1*");
	ck_assert_ptr_nonnull(b.seqs[1].cross);
	commit(s, &b, 1);
	ck_assert_str_eq(plan(s, &b), "E 3:0+8 4:0+2");
	commit(s, &b, 0);
	ck_assert_str_eq(plan(s, &b), "2:1+1* 3:0+1* 4:0+1*");
	commit(s, &b, 0);
	sk_sched_close(&s);
}
END_TEST

START_TEST(test_with_look_ahead_a_source_is_encoded_while_the_others_wait_for_their_last_token)
{
	struct sk_sched *s = sched_open_encoder(16, 4, 100, 10, 1);
	struct sk_batch a, b;

	ck_assert_int_eq(add_source(s, 1, 6, 1), SK_OK);
	ck_assert_int_eq(add_source(s, 2, 6, 2), SK_OK);
	ck_assert_str_eq(plan(s, &a), "E 1:0+6");
	ck_assert_str_eq(plan(s, &b), "1:0+1*");
	commit(s, &a, 0);
	ck_assert_str_eq(plan(s, &a), "E 2:0+6");
	commit(s, &b, 1);
	ck_assert_str_eq(plan(s, &b), "2:0+1*");
	commit(s, &a, 0);
	ck_assert_str_eq(plan(s, &a), "2:1+1?*");
	sk_sched_close(&s);
}
END_TEST

static const struct { const char *name; int32_t blocks; const char *preempted, *after; } keeps[] = {
	{ "a preempted request keeps what its source left",             8, "1:12+1* -2", "2:0+9*" },
	{ "but not where an older one finds no other block",            6, "1:8+1* -2",  "E 2:0+8" },
};

START_TEST(test_a_preempted_request_loses_its_sources_blocks_only_where_nothing_else_is_left)
{
	for (size_t i = 0; i < sizeof(keeps) / sizeof(keeps[0]); i++) {
		struct sk_sched *s = sched_open_encoder(16, 4, keeps[i].blocks, 16, 0);
		struct sk_sched_stats st;
		struct sk_batch b;
		char got[256] = "", preempted[256] = "";

		/* 1 needs 1 block for its source, and 4 at its end; 2 has 2 for its own. */
		ck_assert_int_eq(add_source(s, 1, 4, 16), SK_OK);
		ck_assert_int_eq(add_source(s, 2, 8, 16), SK_OK);
		ck_assert_str_eq(plan(s, &b), "E 1:0+4 2:0+8");
		commit(s, &b, 0);
		for (int k = 0; k < 16; k++) {
			snprintf(got, sizeof(got), "%s", plan(s, &b));
			if (strchr(got, '-'))
				snprintf(preempted, sizeof(preempted), "%s", got);
			ck_assert_msg(!strncmp(got, "1:", 2), "%s: %s", keeps[i].name, got);
			commit(s, &b, k == 15 ? 1 : 0);
		}
		ck_assert_str_eq(preempted, keeps[i].preempted);
		ck_assert_msg(!strcmp(plan(s, &b), keeps[i].after), "%s", keeps[i].name);
		commit(s, &b, 2);
		sk_sched_stats(s, &st);
		ck_assert_int_eq(st.blocks_free, keeps[i].blocks);
		sk_sched_close(&s);
	}
}
END_TEST

static const struct { const char *name; int32_t source_len, max_new; sk_status want; } sources[] = {
	{ "no source",                                  0, 1, SK_EINVAL },
	{ "longer than a step of the encoder",          21, 1, SK_EINVAL },
	{ "with its answer more than the pool",         17, 21, SK_EINVAL },
	{ "exactly the pool",                           17, 20, SK_OK },
};

START_TEST(test_a_source_that_can_never_fit_is_refused)
{
	struct sk_sched *s = sched_open_encoder(16, 4, 10, 20, 0), *none = sched_open(16, 4, 10, 0);

	for (size_t i = 0; i < sizeof(sources) / sizeof(sources[0]); i++)
		ck_assert_msg(add_source(s, 1, sources[i].source_len, sources[i].max_new) == sources[i].want, "%s", sources[i].name);
	ck_assert_int_eq(add_source(none, 1, 1, 1), SK_EINVAL);
	sk_sched_close(&s);
	sk_sched_close(&none);
}
END_TEST

START_TEST(test_a_shared_block_is_free_when_its_last_user_lets_go)
{
	struct sk_blocks b;
	int32_t one, two;

	ck_assert_int_eq(sk_blocks_init(&b, 0, NULL), SK_EINVAL);
	ck_assert_int_eq(sk_blocks_init(&b, 2, NULL), SK_OK);
	one = sk_blocks_take(&b);
	two = sk_blocks_take(&b);
	ck_assert_int_ne(one, two);
	ck_assert_int_eq(sk_blocks_take(&b), -1);
	sk_blocks_ref(&b, one);
	sk_blocks_unref(&b, one);
	ck_assert_int_eq(b.free_len, 0);
	sk_blocks_unref(&b, one);
	ck_assert_int_eq(b.free_len, 1);
	ck_assert_int_eq(sk_blocks_check(&b, NULL), SK_OK);
	ck_assert_int_eq(sk_blocks_take(&b), one);
	sk_blocks_unref(&b, one);
	sk_blocks_unref(&b, two);
	/* A block twice on the stack, another one lost: the counts are right, the check must see it all the same. */
	b.free[0] = b.free[1];
	ck_assert_int_eq(sk_blocks_check(&b, NULL), SK_EBUG);
	sk_blocks_fini(&b);
}
END_TEST

/* ---- several sequences of a request ---- */

START_TEST(test_the_others_fork_behind_the_first_and_before_anybody_newer)
{
	struct sk_sched *s = sched_open(16, 8, 100, 0);
	struct sk_sched_stats st;
	struct sk_batch b;

	ck_assert_int_eq(add_many(s, 1, 3, 6, 9), SK_OK);
	ck_assert_int_eq(add(s, 2, 2, 9), SK_OK);
	ck_assert_str_eq(plan(s, &b), "1:0+6*");
	commit(s, &b, 0);
	/* Blocks of 4: the first is shared, the second holds one token of the five before the last. */
	ck_assert_str_eq(plan(s, &b), "1:6+1* 1.1:5+1* 1.2:5+1* 2:0+2* 1>2 1>3");
	ck_assert_int_eq(b.seqs[1].blocks[0], b.seqs[0].blocks[0]);
	ck_assert_int_eq(b.seqs[1].blocks[1], 2);
	commit(s, &b, 1);
	/* The first has ended; what the others share with it stays. */
	ck_assert_str_eq(plan(s, &b), "1.1:6+1* 1.2:6+1* 2:2+1*");
	sk_sched_stats(s, &st);
	ck_assert_int_eq(st.blocks_total - st.blocks_free, 4);
	commit(s, &b, 0);
	ck_assert_int_eq(sk_sched_drop(s, 1), SK_OK);
	ck_assert_int_eq(sk_sched_drop(s, 1), SK_ENOENT);
	sk_sched_stats(s, &st);
	ck_assert_int_eq(st.blocks_total - st.blocks_free, 1);
	sk_sched_close(&s);
}
END_TEST

static const struct { int32_t prompt_len; const char *fork; } prompt_ends[] = {
	{ 1, "1:1+1* 1.1:1+1*" },               /* nothing to share: it came with the first */
	{ 4, "1:4+1* 1.1:3+1* 0>2" },           /* the only block is full, but the last token is everybody's own */
	{ 5, "1:5+1* 1.1:4+1*" },               /* a full block is shared, the next begins */
	{ 8, "1:8+1* 1.1:7+1* 1>3" },
};

START_TEST(test_a_fork_computes_its_prompts_last_token)
{
	struct sk_sched *s = sched_open(16, 8, 100, 0);
	struct sk_batch b;

	ck_assert_int_eq(add_many(s, 1, 2, prompt_ends[_i].prompt_len, 9), SK_OK);
	plan(s, &b);
	commit(s, &b, 0);
	ck_assert_str_eq(plan(s, &b), prompt_ends[_i].fork);
	commit(s, &b, 0);
	sk_sched_close(&s);
}
END_TEST

START_TEST(test_with_look_ahead_a_fork_follows_the_prompts_step_at_once)
{
	struct sk_sched *s = sched_open(4, 4, 100, 1);
	struct sk_batch one, two, three;

	ck_assert_int_eq(add_many(s, 1, 2, 6, 9), SK_OK);
	ck_assert_str_eq(plan(s, &one), "1:0+4");
	/* The other waits: the prompt's fifth token is in no step yet. */
	ck_assert_str_eq(plan(s, &two), "1:4+2*");
	commit(s, &one, 0);
	ck_assert_str_eq(plan(s, &three), "1:6+1?* 1.1:5+1* 1>2");
	commit(s, &two, 1);
	ck_assert_str_eq(plan(s, &one), "1.1:6+1?*");
	commit(s, &three, 0);
	commit(s, &one, 0);
	sk_sched_close(&s);
}
END_TEST

START_TEST(test_the_places_of_all_sequences_are_taken_or_none)
{
	struct sk_sched *s = sched_open(16, 4, 100, 0);

	ck_assert_int_eq(add_many(s, 1, 9, 1, 1), SK_EINVAL);
	ck_assert_int_eq(add_many(s, 1, -1, 1, 1), SK_EINVAL);
	ck_assert_int_eq(add_many(s, 1, 5, 1, 1), SK_OK);
	ck_assert_int_eq(add_many(s, 2, 4, 1, 1), SK_EOVERLOADED);
	ck_assert_int_eq(add_many(s, 2, 3, 1, 1), SK_OK);
	ck_assert_int_eq(sk_sched_drop(s, 1), SK_OK);
	ck_assert_int_eq(add_many(s, 3, 5, 1, 1), SK_OK);
	ck_assert_int_eq(sk_sched_check(s, NULL), SK_OK);
	sk_sched_close(&s);
}
END_TEST

START_TEST(test_the_others_have_the_firsts_source)
{
	struct sk_sched *s = sched_open_encoder(16, 4, 100, 16, 0);
	struct sk_batch b;

	ck_assert_int_eq(sk_sched_add(s, &(struct sk_sched_req){ .id = 1, .n = 2, .prompt_len = 1, .source_len = 6, .max_new_tokens = 9 }, 0), SK_OK);
	ck_assert_str_eq(plan(s, &b), "E 1:0+6");
	commit(s, &b, 0);
	ck_assert_str_eq(plan(s, &b), "1:0+1* 1.1:0+1*");
	ck_assert_int_eq(b.seqs[1].cross_len, 6);
	ck_assert_mem_eq(b.seqs[0].cross, b.seqs[1].cross, 2 * sizeof(int32_t));
	commit(s, &b, 1);
	ck_assert_str_eq(plan(s, &b), "1.1:1+1*");
	commit(s, &b, 0);
	sk_sched_close(&s);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("sched");
	TCase *c = tcase_create("sched");
	SRunner *r;
	int failed;

	tcase_add_test(c, test_decodes_come_first_then_chunks_by_age_within_the_budget);
	tcase_add_test(c, test_no_more_sequences_run_than_a_step_holds);
	tcase_add_test(c, test_out_of_blocks_the_youngest_is_preempted_and_computed_again);
	tcase_add_test(c, test_with_look_ahead_the_next_step_takes_the_unknown_token_and_never_one_too_many);
	tcase_add_test(c, test_a_dropped_request_is_gone_before_the_next_plan);
	tcase_add_test(c, test_what_can_never_fit_is_refused);
	tcase_add_test(c, test_sources_are_encoded_whole_oldest_first_and_never_twice_without_a_step_for_the_others);
	tcase_add_test(c, test_with_look_ahead_a_source_is_encoded_while_the_others_wait_for_their_last_token);
	tcase_add_test(c, test_a_preempted_request_loses_its_sources_blocks_only_where_nothing_else_is_left);
	tcase_add_test(c, test_a_source_that_can_never_fit_is_refused);
	tcase_add_test(c, test_a_single_request_passes_the_thousand_of_another_client);
	tcase_add_test(c, test_clients_with_weights_1_and_3_get_25_and_75_percent);
	tcase_add_test(c, test_one_client_is_served_in_the_order_of_coming);
	tcase_add_test(c, test_a_weight_has_a_limit);
	tcase_add_test(c, test_a_shared_block_is_free_when_its_last_user_lets_go);
	tcase_add_test(c, test_the_others_fork_behind_the_first_and_before_anybody_newer);
	tcase_add_loop_test(c, test_a_fork_computes_its_prompts_last_token, 0, sizeof(prompt_ends) / sizeof(prompt_ends[0]));
	tcase_add_test(c, test_with_look_ahead_a_fork_follows_the_prompts_step_at_once);
	tcase_add_test(c, test_the_places_of_all_sequences_are_taken_or_none);
	tcase_add_test(c, test_the_others_have_the_firsts_source);
	suite_add_tcase(s, c);
	r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}
