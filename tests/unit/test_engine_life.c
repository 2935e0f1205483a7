/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The engine on tiny models, from submit to close: what is refused, what is cancelled, drained, closed and queued, what fails, and
 * what a step costs.
 *
 * malloc, calloc, realloc and sk_model_forward are wrapped by the linker: the first three are counted while `counting`, the
 * last can be made to fail and is timed.
 */
#include <check.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "engine/base/clock.h"
#include "engine/base/log.h"
#include "engine/model/model.h"
#include "engine/saker.h"
#include "tests/unit/rig.h"

#define LEN(a) ((int)(sizeof(a) / sizeof((a)[0])))

/* ---- wrapped functions ---- */

static _Atomic bool counting, failing;
static _Atomic int allocations, fail_in;         /* fail_in: the so many-th forward from now on fails */
static _Atomic int64_t forward_us;

void *__real_malloc(size_t n);
void *__real_calloc(size_t n, size_t m);
void *__real_realloc(void *p, size_t n);
void *__wrap_malloc(size_t n);
void *__wrap_calloc(size_t n, size_t m);
void *__wrap_realloc(void *p, size_t n);

void *__wrap_malloc(size_t n)
{
	allocations += counting;
	return __real_malloc(n);
}

void *__wrap_calloc(size_t n, size_t m)
{
	allocations += counting;
	return __real_calloc(n, m);
}

void *__wrap_realloc(void *p, size_t n)
{
	allocations += counting;
	return __real_realloc(p, n);
}

sk_status __real_sk_model_forward(struct sk_model *m, const struct sk_step *step, const int32_t *rows, int32_t rows_len,
				  const float **ret_logits, struct sk_err *err);
sk_status __wrap_sk_model_forward(struct sk_model *m, const struct sk_step *step, const int32_t *rows, int32_t rows_len,
				  const float **ret_logits, struct sk_err *err);

sk_status __wrap_sk_model_forward(struct sk_model *m, const struct sk_step *step, const int32_t *rows, int32_t rows_len,
				  const float **ret_logits, struct sk_err *err)
{
	int64_t began = sk_now_us();
	sk_status st;

	if (failing || (fail_in > 0 && --fail_in == 0))
		return sk_fail(err, SK_EENGINE, "made to fail");
	st = __real_sk_model_forward(m, step, rows, rows_len, ret_logits, err);
	forward_us += sk_now_us() - began;
	return st;
}

/* ---- refusals ---- */

static const char long_prompt[] = "123456789 123456789 123456789 123456789 123456789 123456789 123456789 123456789 ";
static const char huge_prompt[1 << 20];           /* refused by its length alone: tokenising it would take long */
static const int32_t bad_ids[] = { 5, 1 << 20 };

static const struct { struct sk_gen_params p; sk_status status; const char *text; } refusals[] = {
	{ { .prompt = "", .n = 1, .max_new_tokens = 1 }, SK_EINVAL, "`inputs` cannot be empty" },
	{ { .prompt = long_prompt, .prompt_len = sizeof(long_prompt) - 1, .n = 1 }, SK_EINVAL,
	  "`inputs` must have less than 60 tokens. Given: 80" },
	{ { .prompt = "x", .prompt_len = 1, .n = SK_GEN_N_MAX + 1, .max_new_tokens = 1 }, SK_EINVAL,
	  "a request has 1 to 128 sequences. Given: 129" },
	{ { .prompt = "x", .prompt_len = 1, .n = 1, .max_new_tokens = 100 }, SK_EINVAL,
	  "`inputs` tokens + `max_new_tokens` must be <= 100. Given: 1 `inputs` tokens and 100 `max_new_tokens`" },
	{ { .prompt = "x", .prompt_len = 1, .n = 1, .max_new_tokens = UINT32_MAX }, SK_EINVAL,
	  "`inputs` tokens + `max_new_tokens` must be <= 100. Given: 1 `inputs` tokens and 4294967295 `max_new_tokens`" },
	{ { .prompt = long_prompt, .prompt_len = sizeof(long_prompt) - 1, .n = 1, .max_new_tokens = 1 }, SK_EINVAL,
	  "`inputs` must have less than 60 tokens. Given: 80" },
	{ { .prompt = huge_prompt, .prompt_len = sizeof(huge_prompt), .n = 1, .max_new_tokens = 1 }, SK_EINVAL,
	  "`inputs` must have less than 60 tokens. Given: at least 80659" },
	{ { .prompt = "x", .prompt_len = 1, .n = 1, .max_new_tokens = 1, .truncate = 61 }, SK_EINVAL,
	  "`truncate` must be strictly positive and less than 60. Given: 61" },
	{ { .prompt = "x", .prompt_len = 1, .n = 1, .max_new_tokens = 1, .top_n_tokens = 6 }, SK_EINVAL,
	  "`top_n_tokens` must be >= 0 and <= 5. Given: 6" },
	{ { .ids = bad_ids, .ids_len = 2, .n = 1, .max_new_tokens = 1 }, SK_EINVAL, NULL },
};

START_TEST(test_what_a_client_did_wrong_is_said_in_tgis_words)
{
	struct sk_engine *e;
	struct sk_gen *g = NULL;
	struct sk_err err;

	rig_model_write(SK_Q8_0);
	e = rig_engine_open((struct sk_engine_opts){ .total_tokens_max = 100, .input_tokens_max = 60 });
	for (int i = 0; i < LEN(refusals); i++) {
		ck_assert_int_eq(sk_engine_submit(e, &refusals[i].p, &g, &err), refusals[i].status);
		ck_assert_int_eq(err.status, refusals[i].status);
		if (refusals[i].text)
			ck_assert_str_eq(err.text, refusals[i].text);
		ck_assert_ptr_null(g);
	}
	sk_engine_close(&e);
	rig_model_remove();
}
END_TEST

/* The ids of a prompt are those of its PREFILL event. */
static size_t prompt_ids(struct sk_engine *e, const char *s, size_t len, uint32_t truncate, int32_t *ids)
{
	struct sk_gen_params p = SK_GEN_PARAMS_INIT;
	struct sk_event ev;
	struct sk_gen *g;
	struct sk_err err;
	size_t n = 0;

	p.prompt = s;
	p.prompt_len = len;
	p.truncate = truncate;
	p.max_new_tokens = 1;
	p.prompt_logprobs = true;
	ck_assert_msg(sk_engine_submit(e, &p, &g, &err) == SK_OK, "%s", err.text);
	while (sk_gen_wait(g, &ev) == SK_OK)
		for (; ev.type == SK_EVENT_PREFILL && n < ev.prefill.tokens_len; n++)
			ids[n] = ev.prefill.tokens[n].id;
	sk_gen_close(&g);
	return n;
}

START_TEST(test_a_truncated_prompt_has_the_last_tokens_of_the_whole_however_long_it_is)
{
	size_t len = (size_t)3 << 20, all;
	char *s = malloc(len + 1);
	int32_t got[64], *want;
	unsigned r = 5;
	struct sk_engine *e;
	struct sk_err err;
	struct sk_gen *g = NULL;
	struct sk_gen_params p = SK_GEN_PARAMS_INIT;

	rig_model_write(SK_Q8_0);
	e = rig_engine_open((struct sk_engine_opts){ .total_tokens_max = 100, .input_tokens_max = 60 });
	for (size_t i = 0; i < len; i++) {
		r = r * 1103515245u + 12345u;
		s[i] = "the cat. sat on, 12\n and"[(r >> 16) % 24];
	}
	for (uint32_t keep = 1; keep <= 60; keep += 59) {
		ck_assert_int_eq(sk_engine_tokenize(e, s, len, true, true, &want, &all, NULL), SK_OK);
		ck_assert_uint_eq(prompt_ids(e, s, len, keep, got), keep);
		ck_assert(memcmp(got, want + all - keep, keep * sizeof(*got)) == 0);
		free(want);
	}
	/* One word: as long as the limit it is tokenised whole, and refused above. */
	memset(s, 'q', len);
	ck_assert_uint_eq(prompt_ids(e, s, SK_TRUNCATE_BYTES_MAX, 10, got), 10);
	p.prompt = s;
	p.prompt_len = SK_TRUNCATE_BYTES_MAX + 1;
	p.truncate = 10;
	ck_assert_int_eq(sk_engine_submit(e, &p, &g, &err), SK_EINVAL);
	ck_assert_str_eq(err.text, "`truncate` keeps tokens of the last 1048576 bytes of `inputs`, and the last 10 tokens are not "
			 "known to lie there. Given: 1048577 bytes");
	sk_engine_close(&e);
	rig_model_remove();
	free(s);
}
END_TEST

/* ---- coming and going ---- */

static struct sk_gen *submit_long(struct sk_engine *e, uint32_t tokens, sk_status want)
{
	struct sk_gen_params p = SK_GEN_PARAMS_INIT;
	struct sk_gen *g = NULL;

	p.prompt = "long";
	p.prompt_len = 4;
	p.max_new_tokens = tokens;
	p.ignore_eos = true;
	ck_assert_int_eq(sk_engine_submit(e, &p, &g, NULL), want);
	return g;
}

static void read_token(struct sk_gen *g)
{
	struct sk_event ev;

	do
		ck_assert_int_eq(sk_gen_wait(g, &ev), SK_OK);
	while (ev.type != SK_EVENT_TOKEN);
}

static sk_status read_to_end(struct sk_gen *g)
{
	struct sk_event ev = { .type = SK_EVENT_PREFILL };

	while (sk_gen_wait(g, &ev) == SK_OK)
		;
	ck_assert(ev.type == SK_EVENT_FINISH || ev.type == SK_EVENT_FAIL);
	return ev.type == SK_EVENT_FINISH ? SK_OK : ev.fail.status;
}

START_TEST(test_a_cancelled_request_gives_its_blocks_back)
{
	for (int depth = 0; depth < 2; depth++) {
		struct sk_gen *gens[6];
		struct sk_engine *e;
		struct sk_stats st;

		rig_model_write(SK_Q8_0);
		e = rig_engine_open((struct sk_engine_opts){ .look_ahead = depth, .sequences_max = 4 });
		for (int i = 0; i < 6; i++)
			gens[i] = submit_long(e, 240, SK_OK);
		read_token(gens[0]);
		for (int i = 0; i < 6; i++)
			if (i % 2)
				sk_gen_cancel(gens[i]);
		sk_gen_cancel(gens[1]);
		/* Closed without a look: as good as cancelled. */
		sk_gen_close(&gens[0]);
		for (int i = 1; i < 6; i++) {
			ck_assert_int_eq(read_to_end(gens[i]), i % 2 ? SK_ECANCELED : SK_OK);
			sk_gen_close(&gens[i]);
		}
		sk_engine_drain(e, -1);
		sk_engine_stats(e, &st);
		ck_assert_int_eq(st.state, SK_STATE_DRAINING);
		ck_assert_uint_eq(st.waiting + st.running, 0);
		ck_assert_uint_eq(st.cancelled, 4);
		sk_engine_close(&e);
		rig_model_remove();
	}
}
END_TEST

START_TEST(test_blocks_are_free_when_the_reader_hears_of_the_end)
{
	struct sk_engine *e;
	struct sk_stats st;
	struct sk_gen *g;

	rig_model_write(SK_Q8_0);
	e = rig_engine_open((struct sk_engine_opts){ 0 });
	g = submit_long(e, 240, SK_OK);
	read_token(g);
	sk_gen_cancel(g);
	ck_assert_int_eq(read_to_end(g), SK_ECANCELED);
	sk_gen_close(&g);
	/* The snapshot follows the step: another request's end comes after it. */
	g = submit_long(e, 2, SK_OK);
	ck_assert_int_eq(read_to_end(g), SK_OK);
	sk_gen_close(&g);
	sk_engine_drain(e, -1);
	sk_engine_stats(e, &st);
	ck_assert_uint_le(st.blocks_total - st.blocks_free, 1);
	sk_engine_close(&e);
	rig_model_remove();
}
END_TEST

START_TEST(test_draining_lets_running_answers_end_and_refuses_new_ones)
{
	struct sk_gen *g, *h;
	struct sk_engine *e;

	rig_model_write(SK_Q8_0);
	e = rig_engine_open((struct sk_engine_opts){ 0 });
	g = submit_long(e, 100, SK_OK);
	h = submit_long(e, 200, SK_OK);
	sk_engine_refuse(e);
	submit_long(e, 1, SK_EDRAINING);
	sk_engine_drain(e, -1);
	ck_assert_int_eq(read_to_end(g), SK_OK);
	ck_assert_int_eq(read_to_end(h), SK_OK);
	sk_gen_close(&g);
	sk_gen_close(&h);
	sk_engine_close(&e);

	e = rig_engine_open((struct sk_engine_opts){ .look_ahead = 1 });
	g = submit_long(e, 250, SK_OK);
	h = submit_long(e, 250, SK_OK);
	read_token(g);
	sk_engine_drain(e, 0);
	ck_assert_int_eq(read_to_end(g), SK_ECANCELED);
	ck_assert_int_eq(read_to_end(h), SK_ECANCELED);
	sk_engine_close(&e);
	/* A generation outlives its engine. */
	sk_gen_close(&g);
	sk_gen_close(&h);
	rig_model_remove();
}
END_TEST

START_TEST(test_closing_the_engine_fails_what_still_runs)
{
	struct sk_gen *gens[5];
	struct sk_engine *e;

	rig_model_write(SK_Q8_0);
	e = rig_engine_open((struct sk_engine_opts){ .sequences_max = 2 });
	sk_engine_doorbell(e);
	for (int i = 0; i < 5; i++)
		gens[i] = submit_long(e, 250, SK_OK);
	read_token(gens[0]);
	sk_gen_close(&gens[4]);
	sk_engine_close(&e);
	for (int i = 0; i < 4; i++) {
		ck_assert_int_eq(read_to_end(gens[i]), SK_ECANCELED);
		sk_gen_close(&gens[i]);
	}
	rig_model_remove();
}
END_TEST

START_TEST(test_a_full_queue_says_so)
{
	struct sk_gen *running, *waiting[2];
	struct sk_engine *e;

	rig_model_write(SK_Q8_0);
	e = rig_engine_open((struct sk_engine_opts){ .queue_max = 2, .sequences_max = 1 });
	running = submit_long(e, 250, SK_OK);
	read_token(running);
	waiting[0] = submit_long(e, 1, SK_OK);
	waiting[1] = submit_long(e, 1, SK_OK);
	submit_long(e, 1, SK_EOVERLOADED);
	sk_gen_cancel(running);
	ck_assert_int_eq(read_to_end(running), SK_ECANCELED);
	ck_assert_int_eq(read_to_end(waiting[0]), SK_OK);
	ck_assert_int_eq(read_to_end(waiting[1]), SK_OK);
	sk_gen_close(&running);
	sk_gen_close(&waiting[0]);
	sk_gen_close(&waiting[1]);
	sk_engine_close(&e);
	rig_model_remove();
}
END_TEST

static int64_t read_queue_us(struct sk_gen *g)
{
	struct sk_event ev = { .type = SK_EVENT_PREFILL };

	while (sk_gen_wait(g, &ev) == SK_OK)
		;
	ck_assert_int_eq(ev.type, SK_EVENT_FINISH);
	return ev.finish.queue_us;
}

START_TEST(test_a_client_does_not_wait_for_all_that_another_has_queued)
{
	struct sk_gen_params p = SK_GEN_PARAMS_INIT;
	struct sk_gen *running, *greedy[10], *guest;
	int64_t waited;
	struct sk_engine *e;
	int after = 0;

	rig_model_write(SK_Q8_0);
	e = rig_engine_open((struct sk_engine_opts){ .sequences_max = 1 });
	running = submit_long(e, 100, SK_OK);
	read_token(running);
	p.prompt = "some";
	p.prompt_len = 4;
	p.max_new_tokens = 5;
	p.ignore_eos = true;
	p.client = 1;
	for (int i = 0; i < LEN(greedy); i++)
		ck_assert_int_eq(sk_engine_submit(e, &p, &greedy[i], NULL), SK_OK);
	p.client = 2;
	ck_assert_int_eq(sk_engine_submit(e, &p, &guest, NULL), SK_OK);
	p.weight = 1001;
	ck_assert_int_eq(sk_engine_submit(e, &p, &running, NULL), SK_EINVAL);
	ck_assert_int_eq(read_to_end(running), SK_OK);
	waited = read_queue_us(guest);
	/* It came last: who has waited longer than it has begun after it. */
	for (int i = 0; i < LEN(greedy); i++) {
		after += read_queue_us(greedy[i]) > waited;
		sk_gen_close(&greedy[i]);
	}
	ck_assert_msg(after >= LEN(greedy) - 2, "%d of %d began after the guest", after, LEN(greedy));
	sk_gen_close(&guest);
	sk_gen_close(&running);
	sk_engine_close(&e);
	rig_model_remove();
}
END_TEST

START_TEST(test_a_closed_generation_is_never_ready)
{
	struct sk_gen *a, *b, *g;
	struct sk_event ev;
	struct sk_engine *e;
	bool ended = false;

	rig_model_write(SK_Q8_0);
	e = rig_engine_open((struct sk_engine_opts){ 0 });
	sk_engine_doorbell(e);
	a = submit_long(e, 200, SK_OK);
	b = submit_long(e, 100, SK_OK);
	rig_bell_wait(e);
	sk_gen_close(&a);
	while (!ended) {
		while ((g = sk_engine_next_ready(e)) != NULL) {
			ck_assert_ptr_eq(g, b);
			while (sk_gen_next(g, &ev) == SK_OK)
				ended = ended || ev.type == SK_EVENT_FINISH;
		}
		if (!ended)
			rig_bell_wait(e);
	}
	sk_gen_close(&b);
	ck_assert_ptr_null(sk_engine_next_ready(e));
	sk_engine_close(&e);
	rig_model_remove();
}
END_TEST

START_TEST(test_submitting_while_loading_is_refused_and_closing_while_loading_is_safe)
{
	struct sk_engine_opts o = { .model = rig_path, .backend = "ref", .threads = 1 };
	struct sk_gen_params p = SK_GEN_PARAMS_INIT;
	struct sk_engine *e;
	struct sk_gen *g;
	sk_status st;

	rig_model_write(SK_Q8_0);
	p.prompt = "x";
	p.prompt_len = 1;
	for (int i = 0; i < 4; i++) {
		struct sk_stats stats;

		ck_assert_int_eq(sk_engine_open(&o, &e, NULL), SK_OK);
		sk_engine_stats(e, &stats);
		ck_assert_uint_gt(stats.load_total_bytes, 0);
		ck_assert_uint_le(stats.load_done_bytes, stats.load_total_bytes);
		st = sk_engine_submit(e, &p, &g, NULL);
		/* A tiny model may be there already. */
		ck_assert(st == SK_ELOADING || st == SK_OK);
		if (st == SK_OK)
			sk_gen_close(&g);
		if (i % 2) {
			ck_assert_int_eq(sk_engine_wait_ready(e, NULL), SK_OK);
			ck_assert_int_eq(sk_engine_submit(e, &p, &g, NULL), SK_OK);
			ck_assert_int_eq(read_to_end(g), SK_OK);
			sk_gen_close(&g);
		}
		sk_engine_close(&e);
	}
	rig_model_remove();
}
END_TEST

/* ---- failures ---- */

START_TEST(test_a_failed_step_fails_its_requests_and_no_others)
{
	for (int depth = 0; depth < 2; depth++) {
		struct sk_engine *e;
		struct sk_stats st;
		struct sk_gen *g, *h;

		rig_model_write(SK_Q8_0);
		e = rig_engine_open((struct sk_engine_opts){ .look_ahead = depth });
		fail_in = 5;
		g = submit_long(e, 200, SK_OK);
		ck_assert_int_eq(read_to_end(g), SK_EENGINE);
		h = submit_long(e, 3, SK_OK);
		ck_assert_int_eq(read_to_end(h), SK_OK);
		sk_gen_close(&g);
		sk_gen_close(&h);
		sk_engine_stats(e, &st);
		ck_assert_uint_eq(st.failed, 1);

		/* One after the other, until it gives up. */
		failing = true;
		do {
			struct sk_gen_params p = SK_GEN_PARAMS_INIT;

			p.prompt = "x";
			p.prompt_len = 1;
			if (sk_engine_submit(e, &p, &g, NULL) < 0)
				break;
			ck_assert_int_eq(read_to_end(g), SK_EENGINE);
			sk_gen_close(&g);
		} while (true);
		failing = false;
		submit_long(e, 1, SK_EENGINE);
		sk_engine_stats(e, &st);
		ck_assert_int_eq(st.state, SK_STATE_FAILED);
		sk_engine_drain(e, -1);
		sk_engine_close(&e);
		rig_model_remove();
	}
}
END_TEST

static uint64_t times_count(const struct sk_times *t)
{
	uint64_t n = 0;

	for (int i = 0; i <= SK_TIMES; i++)
		n += t->counts[i];
	return n;
}

/* The step whose events were read may still be telling its times. */
static void meters_wait(struct sk_engine *e, struct sk_meters *ret_m)
{
	struct sk_stats st;

	for (int tries = 0; tries < 5000; tries++) {
		bool whole = true;
		uint64_t steps = 0;

		sk_engine_stats(e, &st);
		sk_engine_meters(e, ret_m);
		for (int i = 0; i < SK_STEP_KINDS; i++) {
			const struct sk_meters_step *k = &ret_m->step[i];

			steps += k->count;
			whole = whole && times_count(&k->whole) == k->count && times_count(&k->forward) == k->count &&
				times_count(&k->sample) == k->count && times_count(&k->plan) == k->count;
		}
		if (whole && steps == st.steps)
			return;
		poll(NULL, 0, 1);
	}
	ck_abort_msg("%d steps, of which not all were told", (int)st.steps);
}

START_TEST(test_the_meters_agree_with_what_was_done)
{
	for (int depth = 0; depth < 2; depth++) {
		const uint32_t tokens[] = { 20, 7, 1 };
		uint64_t joined = 0;
		struct sk_gen *gens[4];
		struct sk_meters m;
		struct sk_engine *e;

		rig_model_write(SK_Q8_0);
		e = rig_engine_open((struct sk_engine_opts){ .look_ahead = depth });
		meters_wait(e, &m);
		ck_assert(!m.step[0].count && !m.step[1].count && !m.joined && !times_count(&m.queue_wait));
		gens[0] = submit_long(e, tokens[0], SK_OK);
		read_token(gens[0]);
		for (int i = 1; i < 3; i++)
			gens[i] = submit_long(e, tokens[i], SK_OK);
		for (int i = 0; i < 3; i++) {
			ck_assert_int_eq(read_to_end(gens[i]), SK_OK);
			sk_gen_close(&gens[i]);
		}
		fail_in = 2;
		gens[3] = submit_long(e, 200, SK_OK);
		ck_assert_int_eq(read_to_end(gens[3]), SK_EENGINE);
		sk_gen_close(&gens[3]);
		meters_wait(e, &m);
		ck_assert_uint_eq(times_count(&m.token_gap), 19 + 6);
		ck_assert_uint_eq(times_count(&m.queue_wait), 4);
		for (int k = 1; k <= SK_JOINS_MAX; k++)
			joined += m.joins[k] * (uint64_t)k;
		ck_assert(joined == 4 && m.joined == 4 && !m.joins[0] && !m.joins[SK_JOINS_MAX + 1]);
		ck_assert_uint_le(m.joined_others, 2);
		ck_assert_uint_eq(m.step[SK_STEP_PREFILL].failed, 0);
		ck_assert_uint_eq(m.step[SK_STEP_DECODE].failed, 1);
		ck_assert_uint_ge(m.step[SK_STEP_PREFILL].count, 3);
		ck_assert_uint_ge(m.step[SK_STEP_DECODE].count, 18);
		ck_assert_uint_gt(m.step[SK_STEP_DECODE].whole.sum_us, m.step[SK_STEP_DECODE].sample.sum_us);
		ck_assert_uint_ge(m.step[SK_STEP_DECODE].whole.sum_us, m.step[SK_STEP_DECODE].forward.sum_us);
		sk_engine_close(&e);
		rig_model_remove();
	}
}
END_TEST

/* ---- cost ---- */

START_TEST(test_nothing_is_allocated_between_two_tokens)
{
	enum { N = 6 };
	struct sk_gen *gens[N];
	struct sk_engine *e;
	struct sk_event ev;
	int seen, tokens = 0;           /* asserted later: Check's own words are allocated */

	rig_model_write(SK_Q8_0);
	e = rig_engine_open((struct sk_engine_opts){ .threads = 2, .look_ahead = 1 });
	for (int i = 0; i < N; i++)
		gens[i] = rig_submit(e, (int[]){ 1, 8, 14, 9, 10, 8 }[i]);
	for (int i = 0; i < N; i++)
		read_token(gens[i]);
	allocations = 0;
	counting = true;
	for (int round = 0; round < 12; round++)
		for (int i = 0; i < N; i++) {
			/* All of these give thirty tokens at least: nobody comes to its end, where the whole text is made. */
			tokens += sk_gen_wait(gens[i], &ev) == SK_OK && ev.type == SK_EVENT_TOKEN;
		}
	counting = false;
	seen = allocations;
	for (int i = 0; i < N; i++) {
		read_to_end(gens[i]);
		sk_gen_close(&gens[i]);
	}
	sk_engine_close(&e);
	rig_model_remove();
	ck_assert_int_eq(tokens, 12 * N);
	ck_assert_int_eq(seen, 0);
}
END_TEST

START_TEST(test_a_step_costs_little_beside_the_forward)
{
	struct sk_engine *e;
	struct sk_stats before, after;
	struct sk_gen *g;
	int64_t began;

	rig_model_write(SK_Q8_0);
	e = rig_engine_open((struct sk_engine_opts){ 0 });
	g = submit_long(e, 240, SK_OK);
	read_token(g);
	sk_engine_stats(e, &before);
	began = forward_us;
	ck_assert_int_eq(read_to_end(g), SK_OK);
	sk_engine_stats(e, &after);
	sk_gen_close(&g);
	/* Printed, not judged: a loaded machine says nothing about the engine. */
	printf("test_engine: %.2f us a step beside the forward's %.2f us\n",
	       (double)(after.step_us - before.step_us - (uint64_t)(forward_us - began)) / (double)(after.steps - before.steps),
	       (double)(forward_us - began) / (double)(after.steps - before.steps));
	sk_engine_close(&e);
	rig_model_remove();
}
END_TEST

int main(void)
{
	Suite *s = suite_create("engine_life");
	TCase *c = tcase_create("engine_life");
	SRunner *r;
	int failed;

	sk_log_init(SK_LOG_ERROR, false);
	setvbuf(stdout, NULL, _IOLBF, 0);
	tcase_set_timeout(c, 300);
	tcase_add_test(c, test_what_a_client_did_wrong_is_said_in_tgis_words);
	tcase_add_test(c, test_a_truncated_prompt_has_the_last_tokens_of_the_whole_however_long_it_is);
	tcase_add_test(c, test_a_cancelled_request_gives_its_blocks_back);
	tcase_add_test(c, test_blocks_are_free_when_the_reader_hears_of_the_end);
	tcase_add_test(c, test_draining_lets_running_answers_end_and_refuses_new_ones);
	tcase_add_test(c, test_closing_the_engine_fails_what_still_runs);
	tcase_add_test(c, test_a_full_queue_says_so);
	tcase_add_test(c, test_a_client_does_not_wait_for_all_that_another_has_queued);
	tcase_add_test(c, test_a_closed_generation_is_never_ready);
	tcase_add_test(c, test_submitting_while_loading_is_refused_and_closing_while_loading_is_safe);
	tcase_add_test(c, test_a_failed_step_fails_its_requests_and_no_others);
	tcase_add_test(c, test_the_meters_agree_with_what_was_done);
	tcase_add_test(c, test_nothing_is_allocated_between_two_tokens);
	tcase_add_test(c, test_a_step_costs_little_beside_the_forward);
	suite_add_tcase(s, c);
	r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}
