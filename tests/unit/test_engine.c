/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The engine on tiny models: what a reader sees must not depend on neighbours, threads, chunks, preemption or look-ahead.
 *
 * malloc, calloc, realloc and sk_model_forward are wrapped by the linker: the first three are counted while `counting`, the
 * last can be made to fail and is timed.
 */
#include <check.h>
#include <math.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "engine/base/buf.h"
#include "engine/base/clock.h"
#include "engine/base/log.h"
#include "engine/model/model.h"
#include "engine/saker.h"
#include "tests/lib/tiny_gguf.h"

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

/* ---- engines and requests ---- */

static char dir[64], path[96];

static void model_write_of(enum sk_dtype linear)
{
	struct tiny_gguf o = TINY_GGUF_INIT;

	snprintf(dir, sizeof(dir), "/tmp/sk-engine-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/tiny.gguf", dir);
	o.linear = linear;
	tiny_gguf_write(&o, path);
}

static void model_write(void)
{
	model_write_of(SK_Q8_0);
}

static void model_remove(void)
{
	unlink(path);
	rmdir(dir);
}

static struct sk_engine *engine_open(struct sk_engine_opts o)
{
	struct sk_engine *e;
	struct sk_err err;

	o.model = path;
	if (!o.backend)
		o.backend = "ref";
	if (!o.threads)
		o.threads = 1;
	if (!o.kv_bytes)
		o.kv_bytes = 1 << 22;
	ck_assert_msg(sk_engine_open(&o, &e, &err) == SK_OK, "%s", err.text);
	ck_assert_msg(sk_engine_wait_ready(e, &err) == SK_OK, "%s", err.text);
	return e;
}

/* The requests of all comparisons; whatever is left out is at rest. */
static const struct { const char *prompt; struct sk_gen_params p; const char *stop; } requests[] = {
	{ "Hello",                                    { .max_new_tokens = 12 }, NULL },
	{ "The quick brown fox jumps over the lazy dog, and then again over another one, until evening comes.",
						      { .max_new_tokens = 30, .ignore_eos = true }, NULL },
	{ "a",                                        { .max_new_tokens = 1 }, NULL },
	{ "penalties",                                { .max_new_tokens = 20, .repetition_penalty = 1.3f }, NULL },
	{ "more penalties",                           { .max_new_tokens = 20, .frequency_penalty = 0.5f }, NULL },
	{ "penalties by share",                       { .max_new_tokens = 20, .frequency_share = 2.0f, .repetition_penalty = 1.1f }, NULL },
	{ "penalties for having been said",           { .max_new_tokens = 20, .presence_penalty = 1.5f, .min_p = 0.2f, .seed = 4,
							.has_seed = true }, NULL },
	{ "drawn",                                    { .max_new_tokens = 25, .do_sample = true, .seed = 1, .has_seed = true }, NULL },
	{ "marked",                                   { .max_new_tokens = 30, .ignore_eos = true, .do_sample = true, .watermark = true,
							.seed = 12, .has_seed = true }, NULL },
	{ "marked, the likeliest",                    { .max_new_tokens = 20, .watermark = true, .top_n_tokens = 2 }, NULL },
	{ "drawn as torch draws",                     { .max_new_tokens = 60, .ignore_eos = true, .temperature = 1.2f, .top_p = 0.95f,
							.rng = SK_RNG_TORCH, .seed = 11, .has_seed = true }, NULL },
	{ "drawn again, another way",                 { .max_new_tokens = 25, .temperature = 0.7f, .top_k = 20, .top_p = 0.9f,
							.seed = 7, .has_seed = true, .top_n_tokens = 3 }, NULL },
	{ "typical",                                  { .max_new_tokens = 25, .typical_p = 0.8f, .seed = 9, .has_seed = true,
							.ignore_eos = true }, NULL },
	{ "long",                                     { .max_new_tokens = 90, .ignore_eos = true }, NULL },
	{ "longer, drawn",                            { .max_new_tokens = 80, .ignore_eos = true, .do_sample = true, .seed = 8,
							.has_seed = true }, NULL },
	{ "another long one",                         { .max_new_tokens = 100, .ignore_eos = true, .repetition_penalty = 1.1f },
						      NULL },
	{ "what does the prompt itself weigh? It is longer than a chunk, and comes in several pieces when chunks are small.",
						      { .max_new_tokens = 8, .prompt_logprobs = true, .top_n_tokens = 5 }, NULL },
	{ "cut from the left, so that only the end is left",  { .max_new_tokens = 10, .truncate = 7 }, NULL },
	{ "stop at a letter",                         { .max_new_tokens = 60, .ignore_eos = true }, "e" },
	{ "stop at what never comes",                 { .max_new_tokens = 30, .ignore_eos = true, .do_sample = true, .seed = 3,
							.has_seed = true }, "never comes" },
};
#define STREAMS 32

static struct sk_gen *submit(struct sk_engine *e, int which)
{
	struct sk_gen_params p = requests[which % LEN(requests)].p;
	const char *stop = requests[which % LEN(requests)].stop;
	size_t stop_bytes = stop ? strlen(stop) : 0;
	struct sk_gen *g = NULL;
	struct sk_err err;

	p.n = 1;
	p.prompt = requests[which % LEN(requests)].prompt;
	p.prompt_len = strlen(p.prompt);
	p.temperature = p.temperature != 0 ? p.temperature : 1;
	p.repetition_penalty = p.repetition_penalty != 0 ? p.repetition_penalty : 1;
	p.top_p = p.top_p != 0 ? p.top_p : 1;
	p.typical_p = p.typical_p != 0 ? p.typical_p : 1;
	p.seed += (uint64_t)(which / LEN(requests));
	p.max_new_tokens += (uint32_t)(which / LEN(requests));
	p.stop = &stop;
	p.stop_bytes = &stop_bytes;
	p.stop_len = stop != NULL;
	ck_assert_msg(sk_engine_submit(e, &p, &g, &err) == SK_OK, "%s", err.text);
	return g;
}

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
	struct sk_gen *g = submit(e, which);
	struct sk_event ev;

	while (sk_gen_wait(g, &ev) == SK_OK)
		record_event(r, &ev);
	ck_assert(r->ended);
	sk_gen_close(&g);
	ck_assert_ptr_null(g);
}

static void bell_wait(struct sk_engine *e)
{
	struct pollfd p = { .fd = sk_engine_doorbell(e), .events = POLLIN };
	uint64_t n;

	ck_assert_int_eq(poll(&p, 1, 20000), 1);
	ck_assert_int_eq(read(p.fd, &n, 8), 8);
}

static void run_together(struct sk_engine *e, struct record *records)
{
	struct sk_gen *gens[STREAMS], *g;
	struct sk_event ev;
	int left = STREAMS;

	sk_engine_doorbell(e);
	for (int i = 0; i < STREAMS; i++) {
		gens[i] = submit(e, i);
		sk_gen_set_user(gens[i], &records[i]);
	}
	while (left > 0) {
		bell_wait(e);
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
	model_write_of(linear);
	records_init(want, STREAMS);
	e = engine_open((struct sk_engine_opts){ .backend = backend });
	for (int i = 0; i < STREAMS; i++)
		run_alone(e, i, &want[i]);
	sk_engine_close(&e);
	for (int k = every - 1; k < LEN(around); k += every) {
		struct sk_engine_opts o = { .backend = backend, .threads = around[k].threads, .look_ahead = around[k].look_ahead,
					    .batch_prefill_tokens = around[k].chunk, .sequences_max = around[k].sequences };
		struct sk_info info;

		if (around[k].blocks) {
			ck_assert_int_eq(sk_engine_plan(&(struct sk_engine_opts){ .model = path, .backend = backend }, &info,
							NULL), SK_OK);
			o.kv_bytes = info.kv_bytes_per_token * 16 * around[k].blocks;
		}
		records_init(got, STREAMS);
		e = engine_open(o);
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
	model_remove();
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

	model_write();
	e = engine_open((struct sk_engine_opts){ 0 });
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
	model_remove();
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

	model_write();
	o.eot = TINY_IM_START;
	tiny_gguf_write(&o, path);
	e = engine_open((struct sk_engine_opts){ 0 });
	ck_assert(ending(e, TINY_IM_END, false, &n) == SK_FINISH_EOS && n == 1);
	ck_assert(ending(e, TINY_IM_END, true, &n) == SK_FINISH_EOS && n == 1);
	ck_assert(ending(e, TINY_IM_START, false, &n) == SK_FINISH_EOS && n == 1);
	ck_assert(ending(e, TINY_IM_START, true, &n) == SK_FINISH_LENGTH && n == 5);
	sk_engine_close(&e);
	model_remove();
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

	model_write();
	e = engine_open((struct sk_engine_opts){ .total_tokens_max = 62 });
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
	model_remove();
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

	model_write();
	e = engine_open((struct sk_engine_opts){ 0 });
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
	model_remove();
}
END_TEST

START_TEST(test_the_seed_that_was_drawn_gives_the_same_answer_again)
{
	struct sk_gen_params p = SK_GEN_PARAMS_INIT;
	int32_t ids[2][30];
	struct sk_engine *e;
	struct sk_gen *g;
	struct sk_event ev;

	model_write();
	e = engine_open((struct sk_engine_opts){ 0 });
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
	model_remove();
}
END_TEST

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

	model_write();
	e = engine_open((struct sk_engine_opts){ .total_tokens_max = 100, .input_tokens_max = 60 });
	for (int i = 0; i < LEN(refusals); i++) {
		ck_assert_int_eq(sk_engine_submit(e, &refusals[i].p, &g, &err), refusals[i].status);
		ck_assert_int_eq(err.status, refusals[i].status);
		if (refusals[i].text)
			ck_assert_str_eq(err.text, refusals[i].text);
		ck_assert_ptr_null(g);
	}
	sk_engine_close(&e);
	model_remove();
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

	model_write();
	e = engine_open((struct sk_engine_opts){ .total_tokens_max = 100, .input_tokens_max = 60 });
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
	model_remove();
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

		model_write();
		e = engine_open((struct sk_engine_opts){ .look_ahead = depth, .sequences_max = 4 });
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
		model_remove();
	}
}
END_TEST

START_TEST(test_blocks_are_free_when_the_reader_hears_of_the_end)
{
	struct sk_engine *e;
	struct sk_stats st;
	struct sk_gen *g;

	model_write();
	e = engine_open((struct sk_engine_opts){ 0 });
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
	model_remove();
}
END_TEST

START_TEST(test_draining_lets_running_answers_end_and_refuses_new_ones)
{
	struct sk_gen *g, *h;
	struct sk_engine *e;

	model_write();
	e = engine_open((struct sk_engine_opts){ 0 });
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

	e = engine_open((struct sk_engine_opts){ .look_ahead = 1 });
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
	model_remove();
}
END_TEST

START_TEST(test_closing_the_engine_fails_what_still_runs)
{
	struct sk_gen *gens[5];
	struct sk_engine *e;

	model_write();
	e = engine_open((struct sk_engine_opts){ .sequences_max = 2 });
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
	model_remove();
}
END_TEST

START_TEST(test_a_full_queue_says_so)
{
	struct sk_gen *running, *waiting[2];
	struct sk_engine *e;

	model_write();
	e = engine_open((struct sk_engine_opts){ .queue_max = 2, .sequences_max = 1 });
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
	model_remove();
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

	model_write();
	e = engine_open((struct sk_engine_opts){ .sequences_max = 1 });
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
	model_remove();
}
END_TEST

START_TEST(test_a_closed_generation_is_never_ready)
{
	struct sk_gen *a, *b, *g;
	struct sk_event ev;
	struct sk_engine *e;
	bool ended = false;

	model_write();
	e = engine_open((struct sk_engine_opts){ 0 });
	sk_engine_doorbell(e);
	a = submit_long(e, 200, SK_OK);
	b = submit_long(e, 100, SK_OK);
	bell_wait(e);
	sk_gen_close(&a);
	while (!ended) {
		while ((g = sk_engine_next_ready(e)) != NULL) {
			ck_assert_ptr_eq(g, b);
			while (sk_gen_next(g, &ev) == SK_OK)
				ended = ended || ev.type == SK_EVENT_FINISH;
		}
		if (!ended)
			bell_wait(e);
	}
	sk_gen_close(&b);
	ck_assert_ptr_null(sk_engine_next_ready(e));
	sk_engine_close(&e);
	model_remove();
}
END_TEST

START_TEST(test_submitting_while_loading_is_refused_and_closing_while_loading_is_safe)
{
	struct sk_engine_opts o = { .model = path, .backend = "ref", .threads = 1 };
	struct sk_gen_params p = SK_GEN_PARAMS_INIT;
	struct sk_engine *e;
	struct sk_gen *g;
	sk_status st;

	model_write();
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
	model_remove();
}
END_TEST

/* ---- failures ---- */

START_TEST(test_a_failed_step_fails_its_requests_and_no_others)
{
	for (int depth = 0; depth < 2; depth++) {
		struct sk_engine *e;
		struct sk_stats st;
		struct sk_gen *g, *h;

		model_write();
		e = engine_open((struct sk_engine_opts){ .look_ahead = depth });
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
		model_remove();
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

		model_write();
		e = engine_open((struct sk_engine_opts){ .look_ahead = depth });
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
		model_remove();
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

	model_write();
	e = engine_open((struct sk_engine_opts){ .threads = 2, .look_ahead = 1 });
	for (int i = 0; i < N; i++)
		gens[i] = submit(e, (int[]){ 1, 8, 14, 9, 10, 8 }[i]);
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
	model_remove();
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

	model_write();
	e = engine_open((struct sk_engine_opts){ 0 });
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
	model_remove();
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
