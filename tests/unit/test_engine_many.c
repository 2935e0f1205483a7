/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Several sequences from one prompt: each has the events that it has alone by its seed, whatever happens around, and the
 * prompt is computed once. What all requests share is tests/unit/test_engine.c.
 *
 * sk_model_forward is wrapped by the linker: it can be made to fail, and to wait. Allocations are counted, and refused in turn (tests/fault).
 */
#include <check.h>
#include <math.h>
#include <poll.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "engine/base/buf.h"
#include "engine/model/model.h"
#include "engine/saker.h"
#include "tests/fault/refuse.h"
#include "tests/golden/runs.h"
#include "tests/unit/rig.h"

#define LEN(a) ((int)(sizeof(a) / sizeof((a)[0])))
#define N_MAX 8                 /* sequences of a request here */

/* ---- wrapped functions ---- */

static _Atomic bool counting;
static _Atomic int allocations, fail_in;         /* fail_in: the so many-th forward from now on fails */
static _Atomic int hold_in;                      /* forwards until one waits until it is let go */
static _Atomic bool held;
static _Thread_local long left_here = -1;        /* allocations of this thread that still succeed */
static _Thread_local bool refused_here;

bool refuse(void)
{
	allocations += counting;
	if (left_here < 0 || left_here-- > 0)
		return false;
	left_here = 0;
	refused_here = true;
	return true;
}

sk_status __real_sk_model_forward(struct sk_model *m, const struct sk_step *step, const int32_t *rows, int32_t rows_len,
				  const float **ret_logits, struct sk_err *err);
sk_status __wrap_sk_model_forward(struct sk_model *m, const struct sk_step *step, const int32_t *rows, int32_t rows_len,
				  const float **ret_logits, struct sk_err *err);

sk_status __wrap_sk_model_forward(struct sk_model *m, const struct sk_step *step, const int32_t *rows, int32_t rows_len,
				  const float **ret_logits, struct sk_err *err)
{
	if (hold_in > 0 && --hold_in == 0)
		held = true;
	while (held)
		sched_yield();
	if (fail_in > 0 && --fail_in == 0)
		return sk_fail(err, SK_EENGINE, "made to fail");
	return __real_sk_model_forward(m, step, rows, rows_len, ret_logits, err);
}

/* ---- engines and requests ---- */

static void let_go(void)
{
	hold_in = 0;
	held = false;
}

static struct sk_engine *engine_open(struct sk_engine_opts o)
{
	o.backend = o.backend ? o.backend : "cpu";
	return rig_engine_open(o);
}

/* No seeds: each sequence draws its own. Prompts end at, before and behind a block's end (16 tokens; BOS is one). */
static const struct { const char *prompt, *stop; struct sk_gen_params p; } requests[] = {
	{ "drawn", NULL, { .n = 4, .max_new_tokens = 25, .do_sample = true } },
	{ "The quick brown fox jumps over the lazy dog, and then again over another one, until evening comes.", NULL,
	  { .n = 5, .max_new_tokens = 40, .ignore_eos = true, .temperature = 1.3f, .prompt_logprobs = true, .top_n_tokens = 2 } },
	{ "the likeliest, twice", NULL, { .n = 2, .max_new_tokens = 20, .repetition_penalty = 1.3f } },
	{ "a", NULL, { .n = 3, .max_new_tokens = 1, .do_sample = true } },
	{ "as torch draws", NULL, { .n = 3, .max_new_tokens = 50, .ignore_eos = true, .do_sample = true, .top_p = 0.95f,
				    .rng = SK_RNG_TORCH, .tgi_text = true } },
	{ "ends where a letter comes, each somewhere else", "e", { .n = 6, .max_new_tokens = 60, .ignore_eos = true, .do_sample = true } },
	{ "marked ones of a longer prompt, which takes several blocks of the pool and then some", NULL,
	  { .n = 3, .max_new_tokens = 70, .ignore_eos = true, .top_k = 20, .watermark = true, .presence_penalty = 0.5f } },
	{ "123456789012345", NULL, { .n = 4, .max_new_tokens = 30, .ignore_eos = true, .typical_p = 0.8f } },
	{ "1234567890123456", NULL, { .n = 4, .max_new_tokens = 30, .ignore_eos = true, .do_sample = true } },
	{ "12345678901234567", NULL, { .n = 4, .max_new_tokens = 30, .ignore_eos = true, .min_p = 0.02f } },
	{ "one alone among the many", NULL, { .n = 1, .max_new_tokens = 45, .ignore_eos = true, .do_sample = true } },
};

static struct sk_gen_params params(int which)
{
	struct sk_gen_params p = requests[which].p;

	p.prompt = requests[which].prompt;
	p.prompt_len = strlen(p.prompt);
	p.temperature = p.temperature != 0 ? p.temperature : 1;
	p.repetition_penalty = p.repetition_penalty != 0 ? p.repetition_penalty : 1;
	p.top_p = p.top_p != 0 ? p.top_p : 1;
	p.typical_p = p.typical_p != 0 ? p.typical_p : 1;
	return p;
}

static struct sk_gen *submit(struct sk_engine *e, int which, struct sk_gen_params p)
{
	const char *stop = requests[which].stop;
	size_t stop_bytes = stop ? strlen(stop) : 0;
	struct sk_gen *g = NULL;
	struct sk_err err;

	p.stop = &stop;
	p.stop_bytes = &stop_bytes;
	p.stop_len = stop != NULL;
	ck_assert_msg(sk_engine_submit(e, &p, &g, &err) == SK_OK, "%s", err.text);
	return g;
}

/* ---- what a reader sees, a text for each sequence: floats by their bits ---- */

struct record {
	uint32_t n, left, prefills;
	struct sk_buf b[N_MAX];
	uint32_t tokens[N_MAX];
	uint64_t seed[N_MAX];
	bool ended[N_MAX], last[N_MAX];
	sk_status failed;
};

static void record_init(struct record *r, uint32_t n)
{
	*r = (struct record){ .n = n, .left = n };
	for (uint32_t i = 0; i < n; i++)
		sk_buf_init(&r->b[i], 1 << 20);
}

static void record_fini(struct record *r)
{
	for (uint32_t i = 0; i < r->n; i++)
		sk_buf_fini(&r->b[i]);
}

static void record_token(struct sk_buf *b, const char *what, const struct sk_event_token *t)
{
	uint32_t bits;

	memcpy(&bits, &t->logprob, sizeof(bits));
	sk_buf_addf(b, "%s %d %08x%s \"", what, (int)t->id, isnan(t->logprob) ? 0 : bits, t->special ? " special" : "");
	sk_buf_add_json(b, t->text, t->text_len);
	sk_buf_adds(b, "\"\n");
}

static void record_event(struct record *r, const struct sk_event *ev)
{
	struct sk_buf *b = &r->b[ev->seq];

	ck_assert_uint_lt(ev->seq, r->n);
	ck_assert_int_eq(r->failed, SK_OK);
	for (uint32_t i = 0; i < r->n; i++)
		ck_assert_msg(!r->last[i] || i == ev->seq, "an event of another comes between a last token and its FINISH");
	switch (ev->type) {
	case SK_EVENT_PREFILL:
		ck_assert(ev->seq == 0 && r->prefills++ == 0);
		for (size_t i = 0; i < ev->prefill.tokens_len; i++)
			record_token(b, "  prompt", &ev->prefill.tokens[i]);
		break;
	case SK_EVENT_TOKEN:
		ck_assert_uint_eq(r->prefills, 1);
		ck_assert(!r->ended[ev->seq]);
		ck_assert_uint_eq(ev->token.index, r->tokens[ev->seq]++);
		record_token(b, "token", &ev->token.t);
		for (size_t i = 0; i < ev->token.top_len; i++)
			record_token(b, "  or", &ev->token.top[i]);
		r->last[ev->seq] = ev->token.last;
		break;
	case SK_EVENT_FINISH:
		ck_assert_uint_eq(ev->left, --r->left);
		ck_assert(!r->ended[ev->seq]);
		sk_buf_addf(b, "finish %d of %u tokens behind %u, stop %zu \"", (int)ev->finish.reason, ev->finish.generated_tokens,
			    ev->finish.prompt_tokens, ev->finish.stop_bytes);
		sk_buf_add_json(b, ev->finish.text, ev->finish.text_len);
		sk_buf_adds(b, "\"\n");
		r->seed[ev->seq] = ev->finish.seed;
		r->ended[ev->seq] = true;
		r->last[ev->seq] = false;
		break;
	case SK_EVENT_FAIL:
		r->failed = ev->fail.status;
		break;
	}
}

/* Closes it too. */
static void read_all(struct sk_gen *g, struct record *r)
{
	struct sk_event ev;

	while (sk_gen_wait(g, &ev) == SK_OK)
		record_event(r, &ev);
	ck_assert(r->left == 0 || r->failed < 0);
	sk_gen_close(&g);
}

/* By the doorbell, as the front reads. */
static void read_together(struct sk_engine *e, struct sk_gen **gens, struct record *records, int len)
{
	struct sk_event ev;
	struct sk_gen *g;
	int left = len;
	uint64_t n;

	for (int i = 0; i < len; i++)
		sk_gen_set_user(gens[i], &records[i]);
	while (left > 0) {
		struct pollfd p = { .fd = sk_engine_doorbell(e), .events = POLLIN };

		ck_assert_int_eq(poll(&p, 1, 20000), 1);
		ck_assert_int_eq(read(p.fd, &n, 8), 8);
		while ((g = sk_engine_next_ready(e)) != NULL) {
			struct record *r = sk_gen_user(g);
			sk_status st;

			while ((st = sk_gen_next(g, &ev)) == SK_OK)
				record_event(r, &ev);
			if (st == SK_ENDED) {
				sk_gen_close(&gens[r - records]);
				left--;
			}
		}
	}
}

/* ---- each has the events that it has alone ---- */

static const struct { const char *name; int threads, look_ahead; uint32_t chunk, sequences, blocks; } around[] = {
	{ "together",                                   1, 0, 0,   0,  0 },
	{ "with look-ahead and two threads",            2, 1, 0,   0,  0 },
	{ "in chunks of 7, with fewer places than sequences", 1, 0, 7, 3, 0 },
	{ "in chunks of 16, with look-ahead",           1, 1, 16,  16, 0 },
	{ "preempted from a small pool",                1, 0, 64,  32, 14 },
	{ "preempted from a small pool, with look-ahead", 2, 1, 40, 32, 12 },
};

static void compare_alone(struct sk_engine *alone, int which, const struct record *got, const char *backend, const char *name)
{
	for (uint32_t i = 0; i < got->n; i++) {
		struct sk_gen_params p = params(which);
		const char *text = sk_buf_str((struct sk_buf *)&got->b[i]);
		struct record want;

		p.n = 1;
		p.seed = got->seed[i];
		p.has_seed = true;
		p.prompt_logprobs = p.prompt_logprobs && i == 0;
		record_init(&want, 1);
		read_all(submit(alone, which, p), &want);
		ck_assert_msg(!strcmp(text, sk_buf_str(&want.b[0])), "%s, %s, request %d, sequence %u:\n%s\nalone:\n%s", backend, name, which, i,
			      text, sk_buf_str(&want.b[0]));
		record_fini(&want);
	}
}

static void same_bits(const char *backend, enum sk_dtype linear, int every)
{
	struct sk_gen *gens[LEN(requests)];
	static struct record got[LEN(requests)];
	struct sk_engine *alone, *e;
	const struct sk_backend *b;
	struct sk_info info;
	struct sk_stats st;

	if (sk_backend_find(backend, &b, NULL) < 0) {
		printf("SKIP: no backend %s here\n", backend);
		return;
	}
	rig_model_write(linear);
	alone = engine_open((struct sk_engine_opts){ .backend = backend });
	sk_engine_info(alone, &info);
	for (int k = every - 1; k < LEN(around); k += every) {
		struct sk_engine_opts o = { .backend = backend, .threads = around[k].threads, .look_ahead = around[k].look_ahead,
					    .batch_prefill_tokens = around[k].chunk, .sequences_max = around[k].sequences,
					    .kv_bytes = info.kv_bytes_per_token * 16 * around[k].blocks };

		e = engine_open(o);
		sk_engine_doorbell(e);
		for (int i = 0; i < LEN(requests); i++) {
			record_init(&got[i], requests[i].p.n);
			gens[i] = submit(e, i, params(i));
		}
		read_together(e, gens, got, LEN(requests));
		sk_engine_stats(e, &st);
		ck_assert_msg(around[k].blocks == 0 || st.preemptions > 0, "%s, %s: nobody was preempted", backend, around[k].name);
		runs_idle(e);
		sk_engine_close(&e);
		for (int i = 0; i < LEN(requests); i++) {
			compare_alone(alone, i, &got[i], backend, around[k].name);
			record_fini(&got[i]);
		}
	}
	sk_engine_close(&alone);
	rig_model_remove();
}

START_TEST(test_each_sequence_has_the_events_that_it_has_alone_ref)
{
	same_bits("ref", SK_Q8_0, 3);
}
END_TEST

START_TEST(test_each_sequence_has_the_events_that_it_has_alone_cpu)
{
	same_bits("cpu", SK_Q8_0, 1);
}
END_TEST

/* The GPU's kernels, emulated: one setting, with preemption. And the GPU, where there is one. */
START_TEST(test_each_sequence_has_the_events_that_it_has_alone_cuda_emu)
{
	same_bits("cuda-emu", SK_BF16, LEN(around));
	same_bits("cuda", SK_BF16, 1);
}
END_TEST

/* ---- streams of random numbers ---- */

static void run(struct sk_engine *e, int which, uint32_t n, uint64_t seed, struct record *r)
{
	struct sk_gen_params p = params(which);

	p.n = n;
	p.seed = seed;
	p.has_seed = true;
	record_init(r, n);
	read_all(submit(e, which, p), r);
}

/* A given seed: saker's sequences draw with their number, torch's with a seed of their own. */
START_TEST(test_with_a_given_seed_the_sequences_differ_and_their_number_changes_none)
{
	static const int which[] = { 8, 4 };    /* saker's, torch's */

	rig_model_write(SK_Q8_0);
	for (int k = 0; k < LEN(which); k++) {
		struct sk_engine *e = engine_open((struct sk_engine_opts){ 0 });
		struct record five, three, one, next;

		run(e, which[k], 5, 7, &five);
		run(e, which[k], 3, 7, &three);
		run(e, which[k], 1, 7, &one);
		run(e, which[k], 1, 8, &next);
		for (int i = 0; i < 5; i++) {
			ck_assert_uint_eq(five.seed[i], k ? 7 + (uint64_t)i : 7);
			for (int j = 0; j < i; j++)
				ck_assert_str_ne(sk_buf_str(&five.b[i]), sk_buf_str(&five.b[j]));
		}
		for (int i = 0; i < 3; i++)
			ck_assert_str_eq(sk_buf_str(&five.b[i]), sk_buf_str(&three.b[i]));
		ck_assert_str_eq(sk_buf_str(&five.b[0]), sk_buf_str(&one.b[0]));
		ck_assert_int_eq(!strcmp(sk_buf_str(&five.b[1]), sk_buf_str(&next.b[0])), k);
		record_fini(&five);
		record_fini(&three);
		record_fini(&one);
		record_fini(&next);
		sk_engine_close(&e);
	}
	rig_model_remove();
}
END_TEST

/* ---- the prompt ---- */

START_TEST(test_a_prompt_is_computed_once_and_its_blocks_are_shared)
{
	for (int depth = 0; depth < 2; depth++) {
		struct sk_gen_params p = params(1);
		struct sk_engine *e;
		struct record r;
		struct sk_info info;
		struct sk_stats st;
		uint32_t tokens;
		struct sk_gen *g;

		rig_model_write(SK_Q8_0);
		ck_assert_int_eq(sk_engine_plan(&(struct sk_engine_opts){ .model = rig_path, .backend = "cpu" }, &info, NULL), SK_OK);
		/* Eight prompts of five blocks do not fit; one does, with eight tails beside it and a spare block for each. */
		e = engine_open((struct sk_engine_opts){ .look_ahead = depth, .kv_bytes = info.kv_bytes_per_token * 16 * 26 });
		p.n = N_MAX;
		p.max_new_tokens = 8;
		record_init(&r, p.n);
		g = submit(e, 1, p);
		tokens = sk_gen_prompt_tokens(g);
		read_all(g, &r);
		record_fini(&r);
		ck_assert_uint_gt(tokens, 4 * 16);
		runs_idle(e);
		sk_engine_stats(e, &st);
		ck_assert_uint_eq(st.preemptions, 0);
		/* Each of the others computes its last token. */
		ck_assert_uint_eq(st.prompt_tokens, tokens + N_MAX - 1);
		ck_assert_uint_eq(st.generated_tokens, N_MAX * 8);
		ck_assert_uint_eq(st.finished, N_MAX);
		sk_engine_close(&e);
		rig_model_remove();
	}
}
END_TEST

/* ---- ends ---- */

START_TEST(test_cancelling_and_closing_end_all_sequences)
{
	rig_model_write(SK_Q8_0);
	for (int way = 0; way < 8; way++) {
		struct sk_engine *e = engine_open((struct sk_engine_opts){ .look_ahead = way & 1, .sequences_max = way & 4 ? 2 : 0 });
		struct sk_gen_params p = params(6);
		struct sk_event ev;
		struct record r;
		struct sk_stats st;
		struct sk_gen *g;

		p.max_new_tokens = 150;
		record_init(&r, p.n);
		hold_in = 40;                   /* enough for three tokens of the second, too few for anybody's end */
		g = submit(e, 6, p);
		do {
			ck_assert_int_eq(sk_gen_wait(g, &ev), SK_OK);
			record_event(&r, &ev);
		} while (r.tokens[1] < 3);
		if (way & 2) {
			sk_gen_close(&g);
			let_go();
		} else {
			sk_gen_cancel(g);
			let_go();
			read_all(g, &r);
			ck_assert_int_eq(r.failed, SK_ECANCELED);
		}
		record_fini(&r);
		runs_idle(e);
		sk_engine_stats(e, &st);
		ck_assert_uint_eq(st.cancelled, 3);
		ck_assert_uint_eq(st.finished, 0);
		ck_assert_uint_eq(st.waiting, 0);
		sk_engine_close(&e);
	}
	rig_model_remove();
}
END_TEST

START_TEST(test_a_failed_step_fails_the_request_once)
{
	rig_model_write(SK_Q8_0);
	for (int at = 1; at < 24; at += at < 6 ? 1 : 6) {
		struct sk_engine *e = engine_open((struct sk_engine_opts){ .look_ahead = at & 1, .batch_prefill_tokens = 32, .sequences_max = 4 });
		struct sk_gen *g, *other;
		struct record r, o;

		fail_in = at;
		record_init(&r, 5);
		record_init(&o, requests[0].p.n);
		g = submit(e, 1, params(1));
		other = submit(e, 0, params(0));
		read_all(g, &r);
		ck_assert_int_eq(r.failed, SK_EENGINE);
		read_all(other, &o);            /* ends, one way or the other */
		record_fini(&r);
		record_fini(&o);
		runs_idle(e);
		sk_engine_close(&e);
	}
	fail_in = 0;
	rig_model_remove();
}
END_TEST

START_TEST(test_a_queue_counts_sequences_and_an_empty_one_takes_any_request)
{
	struct sk_engine *e;
	struct sk_gen *first, *g;
	struct sk_gen_params p;
	struct record r;
	struct sk_err err;

	rig_model_write(SK_Q8_0);
	e = engine_open((struct sk_engine_opts){ .queue_max = 3, .sequences_max = 1 });
	p = params(6);
	p.n = 6;
	p.max_new_tokens = 100;
	hold_in = 1;
	first = submit(e, 6, p);
	p = params(0);
	p.n = 2;
	ck_assert_int_eq(sk_engine_submit(e, &p, &g, &err), SK_EOVERLOADED);
	ck_assert_str_eq(err.text, "Model is overloaded");
	let_go();
	record_init(&r, 6);
	read_all(first, &r);
	record_fini(&r);
	record_init(&r, 2);
	read_all(submit(e, 0, p), &r);
	record_fini(&r);
	runs_idle(e);
	sk_engine_close(&e);
	rig_model_remove();
}
END_TEST

/* ---- memory ---- */

START_TEST(test_every_allocation_of_a_submit_fails_in_turn_and_nothing_is_left)
{
	struct sk_gen_params p = params(5);
	const char *stop = "e";
	size_t stop_bytes = 1;
	struct sk_engine *e;
	struct sk_gen *g = NULL;
	struct record r;
	long n;

	rig_model_write(SK_Q8_0);
	e = engine_open((struct sk_engine_opts){ 0 });
	p.stop = &stop;
	p.stop_bytes = &stop_bytes;
	p.stop_len = 1;
	for (n = 0;; n++) {
		struct sk_err err = { .text = "" };
		sk_status st;

		refused_here = false;
		left_here = n;
		st = sk_engine_submit(e, &p, &g, &err);
		left_here = -1;
		if (!refused_here)
			break;
		ck_assert_msg(st == SK_ENOMEM && err.text[0], "allocation %ld: %s \"%s\"", n, sk_status_name(st), err.text);
	}
	ck_assert_int_ge(n, 8);                 /* one of them for each sequence's stop strings */
	record_init(&r, p.n);
	read_all(g, &r);
	record_fini(&r);
	runs_idle(e);
	sk_engine_close(&e);
	rig_model_remove();
}
END_TEST

START_TEST(test_nothing_is_allocated_while_sequences_fork_and_go_on)
{
	struct sk_engine *e;
	struct sk_gen_params p = params(1);
	struct sk_stats st;
	struct sk_gen *g;
	struct record r;

	rig_model_write(SK_Q8_0);
	e = engine_open((struct sk_engine_opts){ .look_ahead = 1 });
	record_init(&r, p.n);
	g = submit(e, 1, p);
	counting = true;
	do
		sk_engine_stats(e, &st);
	while (st.finished < p.n);
	counting = false;
	ck_assert_int_eq(allocations, 0);
	read_all(g, &r);
	record_fini(&r);
	sk_engine_close(&e);
	rig_model_remove();
}
END_TEST

int main(void)
{
	Suite *s = suite_create("engine: several sequences");
	TCase *t = tcase_create("many");
	SRunner *r;
	int failed;

	tcase_set_timeout(t, 300);
	tcase_add_test(t, test_each_sequence_has_the_events_that_it_has_alone_ref);
	tcase_add_test(t, test_each_sequence_has_the_events_that_it_has_alone_cpu);
	tcase_add_test(t, test_each_sequence_has_the_events_that_it_has_alone_cuda_emu);
	tcase_add_test(t, test_with_a_given_seed_the_sequences_differ_and_their_number_changes_none);
	tcase_add_test(t, test_a_prompt_is_computed_once_and_its_blocks_are_shared);
	tcase_add_test(t, test_cancelling_and_closing_end_all_sequences);
	tcase_add_test(t, test_a_failed_step_fails_the_request_once);
	tcase_add_test(t, test_a_queue_counts_sequences_and_an_empty_one_takes_any_request);
	tcase_add_test(t, test_every_allocation_of_a_submit_fails_in_turn_and_nothing_is_left);
	tcase_add_test(t, test_nothing_is_allocated_while_sequences_fork_and_go_on);
	suite_add_tcase(s, t);
	r = srunner_create(s);
	srunner_set_fork_status(r, CK_NOFORK);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}
