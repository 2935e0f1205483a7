/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The engine on tiny models: what a reader sees must not depend on neighbours, threads, chunks, preemption or look-ahead.
 */
#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/buf.h"
#include "engine/base/log.h"
#include "engine/saker.h"
#include "kernels/backend.h"
#include "tests/lib/tiny_gguf.h"
#include "tests/unit/rig.h"

#define LEN(a) ((int)(sizeof(a) / sizeof((a)[0])))

#define STREAMS 32

/* ---- what a reader sees, as text: floats by their bits ---- */

struct record { struct sk_buf b; bool ended; };

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
	struct sk_buf *b = &r->b;

	ck_assert(!r->ended);
	switch (ev->type) {
	case SK_EVENT_PREFILL:
		sk_buf_addf(b, "prefill %u\n", ev->prefill.prompt_tokens);
		for (size_t i = 0; i < ev->prefill.tokens_len; i++)
			record_token(b, "  prompt", &ev->prefill.tokens[i]);
		break;
	case SK_EVENT_TOKEN:
		sk_buf_addf(b, "%u%s ", ev->token.index, ev->token.last ? " last" : "");
		record_token(b, "token", &ev->token.t);
		for (size_t i = 0; i < ev->token.top_len; i++)
			record_token(b, "  or", &ev->token.top[i]);
		break;
	case SK_EVENT_FINISH:
		sk_buf_addf(b, "finish %d of %u tokens, stop %zu, seed %d \"", (int)ev->finish.reason, ev->finish.generated_tokens,
			    ev->finish.stop_bytes, ev->finish.has_seed ? (int)ev->finish.seed : -1);
		sk_buf_add_json(b, ev->finish.text, ev->finish.text_len);
		sk_buf_adds(b, "\"\n");
		r->ended = true;
		break;
	case SK_EVENT_FAIL:
		sk_buf_addf(b, "fail %s\n", sk_status_name(ev->fail.status));
		r->ended = true;
		break;
	}
}

static void run_alone(struct sk_engine *e, int which, struct record *r)
{
	struct sk_gen *g = rig_submit(e, which);
	struct sk_event ev;

	while (sk_gen_wait(g, &ev) == SK_OK)
		record_event(r, &ev);
	ck_assert(r->ended);
	sk_gen_close(&g);
	ck_assert_ptr_null(g);
}

static void run_together(struct sk_engine *e, struct record *records)
{
	struct sk_gen *gens[STREAMS], *g;
	struct sk_event ev;
	int left = STREAMS;

	sk_engine_doorbell(e);
	for (int i = 0; i < STREAMS; i++) {
		gens[i] = rig_submit(e, i);
		sk_gen_set_user(gens[i], &records[i]);
	}
	while (left > 0) {
		rig_bell_wait(e);
		while ((g = sk_engine_next_ready(e)) != NULL) {
			struct record *r = sk_gen_user(g);

			while (sk_gen_next(g, &ev) == SK_OK)
				record_event(r, &ev);
			if (r->ended) {
				ck_assert_int_eq(sk_gen_next(g, &ev), SK_ENDED);
				sk_gen_close(&gens[r - records]);
				left--;
			}
		}
	}
}

static void records_init(struct record *r, int n)
{
	for (int i = 0; i < n; i++) {
		memset(&r[i], 0, sizeof(r[i]));
		sk_buf_init(&r[i].b, 1 << 20);
	}
}

static void records_fini(struct record *r, int n)
{
	for (int i = 0; i < n; i++)
		sk_buf_fini(&r[i].b);
}

/* ---- the same events whatever happens around ---- */

static const struct { const char *name; int threads, look_ahead; uint32_t chunk, sequences, blocks; bool alone; } around[] = {
	{ "among 31 others",                                    1, 0, 0,   0,  0,  false },
	{ "with two threads",                                   2, 0, 0,   0,  0,  false },
	{ "alone, in chunks of 16",                             1, 0, 16,  0,  0,  true },
	{ "among others, in chunks of 16",                      2, 0, 16,  16, 0,  false },
	{ "with look-ahead",                                    1, 1, 0,   0,  0,  false },
	{ "alone with look-ahead, in chunks of 5",              1, 1, 5,   5,  0,  true },
	{ "preempted from a small pool",                        1, 0, 64,  32, 10, false },
	{ "preempted from a small pool, with look-ahead",       2, 1, 40,  32, 10, false },
};

/* The reference is slow under sanitizers: every other setting has to do there. */
static void same_bits(const char *backend, enum sk_dtype linear, int every)
{
	static struct record want[STREAMS], got[STREAMS];
	uint64_t preemptions = 0;
	const struct sk_backend *b;
	struct sk_stats st;
	struct sk_engine *e;

	if (sk_backend_find(backend, &b, NULL) < 0) {
		printf("SKIP: no backend %s here\n", backend);
		return;
	}
	rig_model_write(linear);
	records_init(want, STREAMS);
	e = rig_engine_open((struct sk_engine_opts){ .backend = backend });
	for (int i = 0; i < STREAMS; i++)
		run_alone(e, i, &want[i]);
	sk_engine_close(&e);
	for (int k = every - 1; k < LEN(around); k += every) {
		struct sk_engine_opts o = { .backend = backend, .threads = around[k].threads, .look_ahead = around[k].look_ahead,
					    .batch_prefill_tokens = around[k].chunk, .sequences_max = around[k].sequences };
		struct sk_info info;

		if (around[k].blocks) {
			ck_assert_int_eq(sk_engine_plan(&(struct sk_engine_opts){ .model = rig_path, .backend = backend }, &info,
							NULL), SK_OK);
			o.kv_bytes = info.kv_bytes_per_token * 16 * around[k].blocks;
		}
		records_init(got, STREAMS);
		e = rig_engine_open(o);
		if (around[k].alone)
			for (int i = 0; i < STREAMS; i++)
				run_alone(e, i, &got[i]);
		else
			run_together(e, got);
		sk_engine_stats(e, &st);
		ck_assert_msg(around[k].blocks == 0 || st.preemptions > 0, "%s, %s: nobody was preempted", backend,
			      around[k].name);
		ck_assert_uint_eq(st.blocks_free, st.blocks_total);
		ck_assert_uint_eq(st.finished, STREAMS);
		preemptions += st.preemptions;
		sk_engine_close(&e);
		for (int i = 0; i < STREAMS; i++)
			ck_assert_msg(!strcmp(sk_buf_str(&got[i].b), sk_buf_str(&want[i].b)), "%s, %s, request %d:\n%s\nalone:\n%s",
				      backend, around[k].name, i, sk_buf_str(&got[i].b), sk_buf_str(&want[i].b));
		records_fini(got, STREAMS);
	}
	records_fini(want, STREAMS);
	rig_model_remove();
	printf("test_engine: %s: %d settings of %d streams, %d preemptions\n", backend, LEN(around) / every, STREAMS, (int)preemptions);
}

START_TEST(test_a_request_has_the_same_events_whatever_happens_around_it_ref)
{
	same_bits("ref", SK_Q8_0, 2);
}
END_TEST

START_TEST(test_a_request_has_the_same_events_whatever_happens_around_it_cpu)
{
	same_bits("cpu", SK_Q8_0, 1);
}
END_TEST

/* The GPU's kernels, emulated: one setting, with a pool so small that requests are preempted. And the GPU, where there is one. */
START_TEST(test_a_request_has_the_same_events_whatever_happens_around_it_cuda_emu)
{
	same_bits("cuda-emu", SK_BF16, LEN(around));
	same_bits("cuda", SK_BF16, 1);
}
END_TEST

/* ---- log-probabilities of prompts ---- */

START_TEST(test_a_prompt_weighs_what_its_tokens_weighed_when_they_were_generated)
{
	struct sk_gen_params p = SK_GEN_PARAMS_INIT;
	float logprob[40];
	int32_t ids[48] = { 72, 81, 90 };
	struct sk_engine *e;
	struct sk_gen *g;
	struct sk_event ev;

	rig_model_write(SK_Q8_0);
	e = rig_engine_open((struct sk_engine_opts){ 0 });
	p.ids = ids;
	p.ids_len = 3;
	p.max_new_tokens = 40;
	p.ignore_eos = true;
	ck_assert_int_eq(sk_engine_submit(e, &p, &g, NULL), SK_OK);
	ck_assert_uint_eq(sk_gen_prompt_tokens(g), 3);
	while (sk_gen_wait(g, &ev) == SK_OK)
		if (ev.type == SK_EVENT_TOKEN) {
			ids[3 + ev.token.index] = ev.token.t.id;
			logprob[ev.token.index] = ev.token.t.logprob;
		}
	sk_gen_close(&g);
	p.ids_len = 43;
	p.max_new_tokens = 1;
	p.prompt_logprobs = true;
	ck_assert_int_eq(sk_engine_submit(e, &p, &g, NULL), SK_OK);
	ck_assert_int_eq(sk_gen_wait(g, &ev), SK_OK);
	ck_assert_int_eq(ev.type, SK_EVENT_PREFILL);
	ck_assert_uint_eq(ev.prefill.tokens_len, 43);
	ck_assert(isnan(ev.prefill.tokens[0].logprob));
	for (int i = 0; i < 40; i++)
		ck_assert_msg(ev.prefill.tokens[3 + i].logprob == logprob[i], "token %d: %.9g as prompt, %.9g as answer", i,
			      (double)ev.prefill.tokens[3 + i].logprob, (double)logprob[i]);
	sk_gen_close(&g);
	sk_engine_close(&e);
	rig_model_remove();
}
END_TEST

/* How an answer ends whose first token is `id`, with 5 tokens at most. */
static enum sk_finish_reason ending(struct sk_engine *e, int32_t id, bool one_eos, uint32_t *ret_tokens)
{
	struct sk_logit_bias bias = { id, 100.0f };
	struct sk_gen_params p = SK_GEN_PARAMS_INIT;
	enum sk_finish_reason reason = SK_FINISH_STOP;
	struct sk_gen *g;
	struct sk_event ev;

	p.prompt = "a";
	p.prompt_len = 1;
	p.max_new_tokens = 5;
	p.bias = &bias;
	p.bias_len = 1;
	p.one_eos = one_eos;
	ck_assert_int_eq(sk_engine_submit(e, &p, &g, NULL), SK_OK);
	while (sk_gen_wait(g, &ev) == SK_OK)
		if (ev.type == SK_EVENT_FINISH) {
			reason = ev.finish.reason;
			*ret_tokens = ev.finish.generated_tokens;
		}
	sk_gen_close(&g);
	return reason;
}

START_TEST(test_an_end_token_that_only_the_model_names_may_count_or_not)
{
	struct tiny_gguf o = TINY_GGUF_INIT;
	struct sk_engine *e;
	uint32_t n;

	rig_model_write(SK_Q8_0);
	o.eot = TINY_IM_START;
	tiny_gguf_write(&o, rig_path);
	e = rig_engine_open((struct sk_engine_opts){ 0 });
	ck_assert(ending(e, TINY_IM_END, false, &n) == SK_FINISH_EOS && n == 1);
	ck_assert(ending(e, TINY_IM_END, true, &n) == SK_FINISH_EOS && n == 1);
	ck_assert(ending(e, TINY_IM_START, false, &n) == SK_FINISH_EOS && n == 1);
	ck_assert(ending(e, TINY_IM_START, true, &n) == SK_FINISH_LENGTH && n == 5);
	sk_engine_close(&e);
	rig_model_remove();
}
END_TEST

/* ---- stop strings; saker's own rule: test_exact.c ---- */

/* A drawn answer by TGI's rule: the texts of its tokens in *text, where each ends in `ends`. Returns how many there are. */
static uint32_t answer_tgi(struct sk_engine *e, const char *stop, size_t stop_bytes, struct sk_buf *text, size_t ends[60])
{
	struct sk_gen_params p = { .prompt = "once", .prompt_len = 4, .n = 1, .temperature = 1, .repetition_penalty = 1, .top_p = 1,
				   .typical_p = 1, .do_sample = true, .has_seed = true, .seed = 5, .ignore_eos = true, .tgi_text = true,
				   .stop = &stop, .stop_bytes = &stop_bytes, .stop_len = stop != NULL };
	uint32_t n = 0;
	struct sk_gen *g;
	struct sk_event ev;

	sk_buf_clear(text);
	ck_assert_int_eq(sk_engine_submit(e, &p, &g, NULL), SK_OK);
	ck_assert_uint_eq(sk_gen_max_new_tokens(g), 60);        /* all the room that a prompt of 2 tokens leaves of 62 */
	while (sk_gen_wait(g, &ev) == SK_OK)
		if (ev.type == SK_EVENT_TOKEN) {
			sk_buf_add(text, ev.token.t.text, ev.token.t.text_len);
			ends[n++] = text->len;
		}
	sk_gen_close(&g);
	return n;
}

START_TEST(test_by_tgis_rule_a_stop_string_counts_only_where_a_token_ends)
{
	struct sk_buf whole = SK_BUF(1 << 20), cut = SK_BUF(1 << 20);
	size_t ends[60], other[60];
	int passed_over = 0;
	struct sk_engine *e;

	rig_model_write(SK_Q8_0);
	e = rig_engine_open((struct sk_engine_opts){ .total_tokens_max = 62 });
	ck_assert_uint_eq(answer_tgi(e, NULL, 0, &whole, ends), 60);
	for (size_t from = 0; from + 8 < whole.len; from += 5)
		for (size_t len = 1; len <= 5; len += 2) {
			const char *stop = whole.data + from;
			uint32_t want = 0;

			while (want < 59 && !(ends[want] >= len && memcmp(whole.data + ends[want] - len, stop, len) == 0))
				want++;
			passed_over += memmem(whole.data, want ? ends[want - 1] : 0, stop, len) != NULL;
			ck_assert_uint_eq(answer_tgi(e, stop, len, &cut, other), want + 1);
			ck_assert(cut.len == ends[want] && memcmp(cut.data, whole.data, cut.len) == 0);
		}
	ck_assert_int_gt(passed_over, 0);
	sk_buf_fini(&cut);
	sk_buf_fini(&whole);
	sk_engine_close(&e);
	rig_model_remove();
}
END_TEST

/* A special token may break a character, and its text is not part of the answer: answers with one are left out. */
START_TEST(test_the_texts_of_tokens_put_together_are_the_answer_even_where_it_ends_inside_a_character)
{
	struct sk_buf shown = SK_BUF(1 << 20);
	struct sk_gen_params p = SK_GEN_PARAMS_INIT;
	int compared = 0, unfinished = 0;
	struct sk_engine *e;
	struct sk_gen *g;
	struct sk_event ev;

	rig_model_write(SK_Q8_0);
	e = rig_engine_open((struct sk_engine_opts){ 0 });
	p.prompt = "once";
	p.prompt_len = 4;
	p.max_new_tokens = 4;
	p.do_sample = true;
	p.has_seed = true;
	p.ignore_eos = true;
	for (p.seed = 0; p.seed < 400; p.seed++) {
		bool special = false;

		sk_buf_clear(&shown);
		ck_assert_int_eq(sk_engine_submit(e, &p, &g, NULL), SK_OK);
		while (sk_gen_wait(g, &ev) == SK_OK) {
			if (ev.type == SK_EVENT_TOKEN) {
				special = special || ev.token.t.special;
				sk_buf_add(&shown, ev.token.t.text, ev.token.t.text_len);
			}
			if (ev.type != SK_EVENT_FINISH || special)
				continue;
			ck_assert_msg(shown.len == ev.finish.text_len && !memcmp(shown.data, ev.finish.text, shown.len),
				      "seed %d: tokens \"%.*s\", answer \"%.*s\"", (int)p.seed, (int)shown.len, shown.data,
				      (int)ev.finish.text_len, ev.finish.text);
			compared++;
			unfinished += shown.len >= 3 && !memcmp(shown.data + shown.len - 3, "\xef\xbf\xbd", 3);
		}
		sk_gen_close(&g);
	}
	ck_assert_int_gt(compared, 100);
	ck_assert_int_gt(unfinished, 5);
	sk_buf_fini(&shown);
	sk_engine_close(&e);
	rig_model_remove();
}
END_TEST

START_TEST(test_the_seed_that_was_drawn_gives_the_same_answer_again)
{
	struct sk_gen_params p = SK_GEN_PARAMS_INIT;
	int32_t ids[2][30];
	struct sk_engine *e;
	struct sk_gen *g;
	struct sk_event ev;

	rig_model_write(SK_Q8_0);
	e = rig_engine_open((struct sk_engine_opts){ 0 });
	p.prompt = "seed";
	p.prompt_len = 4;
	p.do_sample = true;
	p.max_new_tokens = 30;
	p.ignore_eos = true;
	for (int run = 0; run < 2; run++) {
		ck_assert_int_eq(sk_engine_submit(e, &p, &g, NULL), SK_OK);
		while (sk_gen_wait(g, &ev) == SK_OK) {
			if (ev.type == SK_EVENT_TOKEN)
				ids[run][ev.token.index] = ev.token.t.id;
			if (ev.type == SK_EVENT_FINISH) {
				ck_assert(ev.finish.has_seed);
				p.seed = ev.finish.seed;
				p.has_seed = true;
			}
		}
		sk_gen_close(&g);
	}
	ck_assert(memcmp(ids[0], ids[1], sizeof(ids[0])) == 0);
	sk_engine_close(&e);
	rig_model_remove();
}
END_TEST

int main(void)
{
	Suite *s = suite_create("engine");
	TCase *c = tcase_create("engine");
	SRunner *r;
	int failed;

	sk_log_init(SK_LOG_ERROR, false);
	setvbuf(stdout, NULL, _IOLBF, 0);
	tcase_set_timeout(c, 300);
	tcase_add_test(c, test_a_request_has_the_same_events_whatever_happens_around_it_ref);
	tcase_add_test(c, test_a_request_has_the_same_events_whatever_happens_around_it_cpu);
	tcase_add_test(c, test_a_request_has_the_same_events_whatever_happens_around_it_cuda_emu);
	tcase_add_test(c, test_a_prompt_weighs_what_its_tokens_weighed_when_they_were_generated);
	tcase_add_test(c, test_an_end_token_that_only_the_model_names_may_count_or_not);
	tcase_add_test(c, test_by_tgis_rule_a_stop_string_counts_only_where_a_token_ends);
	tcase_add_test(c, test_the_texts_of_tokens_put_together_are_the_answer_even_where_it_ends_inside_a_character);
	tcase_add_test(c, test_the_seed_that_was_drawn_gives_the_same_answer_again);
	suite_add_tcase(s, c);
	r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}
