/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The engine on tiny encoder-decoders, those of tests/golden/families: the library's tokens, and the same bits whatever happens
 * around a request. What all models share is tests/unit/test_engine.c.
 *
 * sk_model_encode is wrapped by the linker: it can be made to fail, and to wait.
 */
#include <check.h>
#include <math.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "engine/base/buf.h"
#include "engine/model/model.h"
#include "engine/saker.h"
#include "tests/golden/family.h"
#include "tests/golden/golden.h"
#include "tests/golden/runs.h"
#include "tests/lib/scratch.h"

#define LEN(a) ((int)(sizeof(a) / sizeof((a)[0])))
#define MODEL(name) GOLDEN_SRCDIR "/tests/golden/families/" name

static _Atomic bool fail_encode, hold_encode;
static _Atomic int encodes;
static _Atomic int64_t encoded_tokens;

sk_status __real_sk_model_encode(struct sk_model *m, const struct sk_step *step, struct sk_err *err);
sk_status __wrap_sk_model_encode(struct sk_model *m, const struct sk_step *step, struct sk_err *err);

sk_status __wrap_sk_model_encode(struct sk_model *m, const struct sk_step *step, struct sk_err *err)
{
	encodes++;
	encoded_tokens += step->T;
	if (fail_encode)
		return sk_fail(err, SK_EENGINE, "made to fail");
	while (hold_encode)
		sched_yield();
	return __real_sk_model_encode(m, step, err);
}

/* ---- engines and requests ---- */

static struct sk_engine *engine_open(struct sk_engine_opts o)
{
	if (!o.model)
		o.model = MODEL("t5");
	if (!o.backend)
		o.backend = "ref";
	if (!o.threads)
		o.threads = 1;
	if (!o.kv_bytes)
		o.kv_bytes = 1 << 22;
	o.dtype = "float32";
	return runs_open(&o);
}

static struct sk_gen_params params_ids(const int32_t *ids, size_t len, uint32_t max_new)
{
	struct sk_gen_params p = SK_GEN_PARAMS_INIT;

	p.ids = ids;
	p.ids_len = len;
	p.max_new_tokens = max_new;
	p.ignore_eos = true;
	return p;
}

static struct sk_gen_params params_text(const char *text, uint32_t max_new)
{
	struct sk_gen_params p = params_ids(NULL, 0, max_new);

	p.prompt = text;
	p.prompt_len = strlen(text);
	return p;
}

static struct sk_gen *submit(struct sk_engine *e, const struct sk_gen_params *p)
{
	struct sk_gen *g = NULL;
	struct sk_err err = { .text = "" };

	ck_assert_msg(sk_engine_submit(e, p, &g, &err) == SK_OK, "%s", err.text);
	return g;
}

/* Closes it too. */
static sk_status read_to_end(struct sk_gen *g)
{
	struct sk_event ev = { .type = SK_EVENT_PREFILL };
	sk_status st;

	while (sk_gen_wait(g, &ev) == SK_OK)
		;
	ck_assert(ev.type == SK_EVENT_FINISH || ev.type == SK_EVENT_FAIL);
	st = ev.type == SK_EVENT_FINISH ? SK_OK : ev.fail.status;
	sk_gen_close(&g);
	return st;
}

/* Submits while the encoder is held in a step; it is let go by hold_encode = false. */
static struct sk_gen *submit_and_hold(struct sk_engine *e, const struct sk_gen_params *p)
{
	int before = encodes;
	struct sk_gen *g;

	hold_encode = true;
	g = submit(e, p);
	while (encodes == before)
		sched_yield();
	return g;
}

/* ---- the library's tokens ---- */

static const struct { const char *name, *backend; int tokens; } goldens[] = {
	{ "t5",              "ref", FAMILY_TOKENS },       { "t5",              "cpu", FAMILY_TOKENS },
	{ "t5-gated-untied", "ref", FAMILY_TOKENS },       { "t5-gated-untied", "cpu", FAMILY_TOKENS },
	{ "t5-layers",       "ref", FAMILY_TOKENS },       { "t5-layers",       "cpu", FAMILY_TOKENS },
	{ "mt5",             "ref", FAMILY_TOKENS },       { "mt5",             "cpu", FAMILY_TOKENS },
	{ "mt5",             "cuda-emu", 3 },              /* slow */
	{ "t5",              "cuda", FAMILY_TOKENS },      { "mt5",             "cuda", FAMILY_TOKENS },
};

START_TEST(test_the_answer_has_the_librarys_tokens_alone_and_among_others)
{
	char path[512];
	struct run runs[8];
	struct sk_gen_params p[8];
	const struct sk_backend *backend;
	struct sk_engine *e;
	struct family f;

	if (sk_backend_find(goldens[_i].backend, &backend, NULL) < 0) {
		printf("SKIP: no backend %s here\n", goldens[_i].backend);
		return;
	}
	family_read(goldens[_i].name, &f);
	snprintf(path, sizeof(path), "%s/%s", MODEL(""), goldens[_i].name);
	e = engine_open((struct sk_engine_opts){ .model = path, .backend = goldens[_i].backend });
	for (int i = 0; i < 8; i++) {
		/* The others: ends of the prompt, so that every length is another. */
		p[i] = params_ids(f.prompt + (i > 1 ? i * 4 : 0), (size_t)f.prompt_len - (size_t)(i > 1 ? i * 4 : 0), (uint32_t)goldens[_i].tokens);
		p[i].repetition_penalty = i % 2 ? FAMILY_PENALTY : 1.0f;
	}
	for (int together = 0; together < 2; together++) {
		runs_do(e, p, together ? 8 : 2, runs);
		for (int i = 0; i < goldens[_i].tokens; i++) {
			ck_assert_msg(runs[0].ids[i] == f.greedy[i], "%s: token %d is %d, the library's %d", goldens[_i].name, i,
				      (int)runs[0].ids[i], (int)f.greedy[i]);
			ck_assert_msg(fabs((double)runs[0].logprobs[i] - f.greedy_logprob[i]) < 1e-3, "%s: log-probability of token %d",
				      goldens[_i].name, i);
			ck_assert_msg(runs[1].ids[i] == f.penalised[i], "%s, penalised: token %d is %d, the library's %d", goldens[_i].name, i,
				      (int)runs[1].ids[i], (int)f.penalised[i]);
		}
	}
	runs_idle(e);
	sk_engine_close(&e);
}
END_TEST

/* ---- the same bits whatever happens around ---- */

static const struct { const char *text; struct sk_gen_params p; } requests[] = {
	{ "the hot word",                               { .max_new_tokens = 40 } },
	{ "to be or not to be, that is: one longer input, which takes several blocks",
							{ .max_new_tokens = 30, .repetition_penalty = 1.3f } },
	{ "a",                                          { .max_new_tokens = 60, .do_sample = true, .seed = 5, .has_seed = true } },
	{ "it was for you",                             { .max_new_tokens = 33, .temperature = 0.7f, .top_k = 20, .seed = 6, .has_seed = true } },
	{ "they had this from his hot word but",        { .max_new_tokens = 50, .frequency_penalty = 0.4f, .prompt_logprobs = true } },
	{ "is as with on are 0123456789 0123456789 0123456789 0123456789",
							{ .max_new_tokens = 45, .typical_p = 0.8f, .seed = 7, .has_seed = true } },
	{ "cut from the left, so that only the end is left", { .max_new_tokens = 25, .truncate = 7 } },
	{ "in",                                         { .max_new_tokens = 1 } },
};

static void requests_fill(struct sk_gen_params *p, uint32_t tokens_max)
{
	for (int i = 0; i < LEN(requests); i++) {
		struct sk_gen_params init = SK_GEN_PARAMS_INIT;

		p[i] = requests[i].p;
		p[i].n = 1;
		p[i].max_new_tokens = p[i].max_new_tokens < tokens_max ? p[i].max_new_tokens : tokens_max;
		p[i].ignore_eos = true;
		p[i].prompt = requests[i].text;
		p[i].prompt_len = strlen(requests[i].text);
		p[i].temperature = p[i].temperature != 0 ? p[i].temperature : init.temperature;
		p[i].repetition_penalty = p[i].repetition_penalty != 0 ? p[i].repetition_penalty : init.repetition_penalty;
		p[i].top_p = init.top_p;
		p[i].typical_p = p[i].typical_p != 0 ? p[i].typical_p : init.typical_p;
	}
}

static const struct { const char *name; struct sk_engine_opts o; uint32_t blocks; bool alone; } around[] = {
	{ "8 at once",                                          { .threads = 1 }, 0, false },
	{ "alone, with two threads",                            { .threads = 2 }, 0, true },
	{ "8 at once, with two threads and look-ahead",         { .threads = 2, .look_ahead = 1 }, 0, false },
	{ "alone with look-ahead",                              { .look_ahead = 1 }, 0, true },
	{ "8 at once, three of them a step, of short inputs",   { .input_tokens_max = 80, .batch_prefill_tokens = 3 }, 0, false },
	{ "preempted from a small pool",                        { .input_tokens_max = 80 }, 9, false },
	{ "preempted from a small pool, with look-ahead",       { .threads = 2, .input_tokens_max = 80, .look_ahead = 1 }, 9, false },
};

static void same_bits(const char *backend, int settings, uint32_t tokens_max)
{
	static struct run want[LEN(requests)], got[LEN(requests)];
	struct sk_gen_params p[LEN(requests)];
	const struct sk_backend *b;
	struct sk_engine *e;

	if (sk_backend_find(backend, &b, NULL) < 0) {
		printf("SKIP: no backend %s here\n", backend);
		return;
	}
	requests_fill(p, tokens_max);
	e = engine_open((struct sk_engine_opts){ .backend = backend });
	for (int i = 0; i < LEN(requests); i++)
		runs_do(e, &p[i], 1, &want[i]);
	sk_engine_close(&e);
	for (int k = 0; k < settings; k++) {
		struct sk_engine_opts o = around[k].o;
		struct sk_stats st;
		struct sk_info info;

		o.backend = backend;
		if (around[k].blocks) {
			ck_assert_int_eq(sk_engine_plan(&(struct sk_engine_opts){ .model = MODEL("t5"), .dtype = "float32", .backend = backend },
							&info, NULL), SK_OK);
			o.kv_bytes = info.kv_bytes_per_token * info.block_tokens * around[k].blocks;
		}
		e = engine_open(o);
		if (around[k].alone)
			for (int i = 0; i < LEN(requests); i++)
				runs_do(e, &p[i], 1, &got[i]);
		else
			runs_do(e, p, LEN(requests), got);
		sk_engine_stats(e, &st);
		ck_assert_msg(around[k].blocks == 0 || st.preemptions > 0, "%s, %s: nobody was preempted", backend, around[k].name);
		runs_idle(e);
		sk_engine_close(&e);
		for (int i = 0; i < LEN(requests); i++) {
			ck_assert_uint_eq(got[i].len, p[i].max_new_tokens);
			ck_assert_msg(!memcmp(got[i].ids, want[i].ids, want[i].len * sizeof(*want[i].ids)) &&
				      !memcmp(got[i].logprobs, want[i].logprobs, want[i].len * sizeof(*want[i].logprobs)),
				      "%s, %s: request %d differs", backend, around[k].name, i);
			run_fini(&got[i]);
		}
	}
	for (int i = 0; i < LEN(requests); i++)
		run_fini(&want[i]);
}

START_TEST(test_a_request_has_the_same_bits_whatever_happens_around_it)
{
	same_bits("ref", LEN(around), UINT32_MAX);
	same_bits("cpu", LEN(around), UINT32_MAX);
	same_bits("cuda-emu", 1, 4);    /* slow */
	same_bits("cuda", LEN(around), UINT32_MAX);
}
END_TEST

/* ---- what a reader sees ---- */

START_TEST(test_the_prefill_is_the_start_token_and_the_prompts_length_is_the_inputs)
{
	struct sk_gen_params p = params_text("the hot word", 5);
	struct sk_buf shown = SK_BUF(1 << 16);
	struct sk_stats st;
	struct sk_engine *e = engine_open((struct sk_engine_opts){ 0 });
	struct sk_event ev;
	struct sk_gen *g;

	p.prompt_logprobs = true;
	p.top_n_tokens = 2;
	g = submit(e, &p);
	ck_assert_uint_eq(sk_gen_prompt_tokens(g), 4);          /* the last one is </s> */
	ck_assert_int_eq(sk_gen_wait(g, &ev), SK_OK);
	ck_assert_int_eq(ev.type, SK_EVENT_PREFILL);
	ck_assert_uint_eq(ev.prefill.prompt_tokens, 4);
	ck_assert_uint_eq(ev.prefill.tokens_len, 1);
	ck_assert_int_eq(ev.prefill.tokens[0].id, 0);
	ck_assert(isnan(ev.prefill.tokens[0].logprob) && ev.prefill.tokens[0].special);
	ck_assert_uint_eq(ev.prefill.tokens[0].text_len, 5);
	ck_assert(!memcmp(ev.prefill.tokens[0].text, "<pad>", 5));
	while (sk_gen_wait(g, &ev) == SK_OK && ev.type == SK_EVENT_TOKEN) {
		ck_assert_uint_ge(ev.token.top_len, 2);
		if (!ev.token.t.special)
			sk_buf_add(&shown, ev.token.t.text, ev.token.t.text_len);
	}
	ck_assert_int_eq(ev.type, SK_EVENT_FINISH);
	ck_assert_uint_eq(ev.finish.prompt_tokens, 4);
	ck_assert_uint_eq(ev.finish.generated_tokens, 5);
	/* Tokens keep the blank that the whole text begins without. */
	ck_assert_uint_ge(shown.len, ev.finish.text_len);
	ck_assert(!memcmp(shown.data + (shown.len - ev.finish.text_len), ev.finish.text, ev.finish.text_len));
	ck_assert(shown.len == ev.finish.text_len || (shown.len == ev.finish.text_len + 1 && shown.data[0] == ' '));
	sk_gen_close(&g);
	sk_engine_drain(e, -1);
	sk_engine_stats(e, &st);
	ck_assert_uint_eq(st.prompt_tokens, 4);
	sk_buf_fini(&shown);
	sk_engine_close(&e);
}
END_TEST

START_TEST(test_the_first_token_keeps_its_blank)
{
	struct sk_engine *e = engine_open((struct sk_engine_opts){ 0 });
	int seen = 0;

	for (uint64_t seed = 0; seed < 200; seed++) {
		struct sk_gen_params p = params_text("the", 1);
		struct sk_event ev;
		struct sk_gen *g;

		p.do_sample = p.has_seed = true;
		p.temperature = 3.0f;
		p.seed = seed;
		g = submit(e, &p);
		do
			ck_assert_int_eq(sk_gen_wait(g, &ev), SK_OK);
		while (ev.type != SK_EVENT_TOKEN);
		/* 98 to 127 are words behind a blank. */
		if (ev.token.t.id >= 98 && ev.token.t.id < 128) {
			ck_assert(ev.token.t.text_len > 1 && ev.token.t.text[0] == ' ');
			seen++;
		}
		sk_gen_close(&g);
	}
	ck_assert_int_gt(seen, 0);
	sk_engine_close(&e);
}
END_TEST

/* The answer's text, with a stop string or without. */
static enum sk_finish_reason answer(struct sk_engine *e, const char *stop, struct sk_buf *text)
{
	struct sk_gen_params p = params_text("you that", 30);
	size_t bytes = stop ? strlen(stop) : 0;
	enum sk_finish_reason reason = SK_FINISH_EOS;
	struct sk_event ev;
	struct sk_gen *g;

	p.do_sample = p.has_seed = true;
	p.seed = 3;
	p.stop = &stop;
	p.stop_bytes = &bytes;
	p.stop_len = stop != NULL;
	sk_buf_clear(text);
	g = submit(e, &p);
	while (sk_gen_wait(g, &ev) == SK_OK)
		if (ev.type == SK_EVENT_FINISH) {
			reason = ev.finish.reason;
			sk_buf_add(text, ev.finish.text, ev.finish.text_len);
		}
	sk_gen_close(&g);
	return reason;
}

START_TEST(test_a_stop_string_ends_the_answer_right_behind_itself)
{
	struct sk_engine *e = engine_open((struct sk_engine_opts){ 0 });
	struct sk_buf whole = SK_BUF(1 << 16), text = SK_BUF(1 << 16);

	ck_assert_int_eq(answer(e, NULL, &whole), SK_FINISH_LENGTH);
	ck_assert_uint_gt(whole.len, 12);
	for (size_t at = 0; at < 8; at++) {
		char stop[4] = { whole.data[at], whole.data[at + 1], whole.data[at + 2], 0 };
		const char *first = strstr(sk_buf_str(&whole), stop);

		ck_assert_int_eq(answer(e, stop, &text), SK_FINISH_STOP);
		ck_assert_uint_eq(text.len, (size_t)(first - whole.data) + 3);
		ck_assert(!memcmp(text.data, whole.data, text.len));
	}
	sk_buf_fini(&whole);
	sk_buf_fini(&text);
	sk_engine_close(&e);
}
END_TEST

/* ---- limits ---- */

static int32_t many[128];

static const struct { const char *name; size_t len; uint32_t max_new, n, truncate; const char *words; } refused[] = {
	{ "an input that is too long",          41, 1, 1, 0,    "`inputs` must have less than 40 tokens. Given: 41" },
	{ "input and answer too long",          40, 26, 1, 0,   "`inputs` tokens + `max_new_tokens` must be <= 65. Given: 40 `inputs` tokens "
								"and 26 `max_new_tokens`" },
	{ "an answer too long",                 1, 65, 1, 0,    "`inputs` tokens + `max_new_tokens` must be <= 65. Given: 1 `inputs` tokens "
								"and 65 `max_new_tokens`" },
	{ "to be cut to more than is taken",    50, 1, 1, 41,   "`truncate` must be strictly positive and less than 40. Given: 41" },
	{ "nothing",                            0, 1, 1, 0,     "`inputs` cannot be empty" },
};

/* Five blocks hold every request of 65 tokens, wherever its input ends. */
static const struct { size_t len; uint32_t max_new; } fitting[] = { { 1, 64 }, { 15, 50 }, { 16, 49 }, { 17, 48 }, { 32, 33 }, { 33, 32 }, { 40, 25 } };

START_TEST(test_what_does_not_fit_is_refused_by_name_and_all_else_ends)
{
	struct sk_engine_opts o = { .model = MODEL("t5"), .backend = "ref", .dtype = "float32", .input_tokens_max = 40 };
	struct sk_info info;
	struct sk_engine *e;
	struct sk_gen *gens[LEN(fitting)], *g;
	struct sk_err err;

	ck_assert_int_eq(sk_engine_plan(&o, &info, NULL), SK_OK);
	o.kv_bytes = info.kv_bytes_per_token * info.block_tokens * 5;
	ck_assert_int_eq(sk_engine_plan(&o, &info, NULL), SK_OK);
	ck_assert_uint_eq(info.blocks, 5);
	ck_assert_uint_eq(info.total_tokens_max, 65);
	e = engine_open(o);
	for (int i = 0; i < LEN(many); i++)
		many[i] = 3 + i;
	for (int i = 0; i < LEN(refused); i++) {
		struct sk_gen_params p = params_ids(many, refused[i].len, refused[i].max_new);

		p.n = refused[i].n;
		p.truncate = refused[i].truncate;
		ck_assert_msg(sk_engine_submit(e, &p, &g, &err) == SK_EINVAL, "%s", refused[i].name);
		ck_assert_str_eq(err.text, refused[i].words);
	}
	for (int i = 0; i < LEN(fitting); i++) {
		struct sk_gen_params p = params_ids(many, fitting[i].len, fitting[i].max_new);

		gens[i] = submit(e, &p);
	}
	for (int i = 0; i < LEN(fitting); i++)
		ck_assert_int_eq(read_to_end(gens[i]), SK_OK);
	runs_idle(e);
	sk_engine_close(&e);
	o.total_tokens_max = 66;
	ck_assert_int_eq(sk_engine_plan(&o, &info, &err), SK_ENOMEM);
	ck_assert_ptr_nonnull(strstr(err.text, "holds 65 tokens, 66 are asked for"));
}
END_TEST

START_TEST(test_the_plan_has_the_encoder_in_it)
{
	struct sk_engine_opts o = { .model = MODEL("t5-layers"), .backend = "ref", .threads = 1, .kv_bytes = 1 << 22 };
	struct sk_info plan, longer, info;
	struct sk_engine *e;

	o.input_tokens_max = 600;
	ck_assert_int_eq(sk_engine_plan(&o, &plan, NULL), SK_OK);
	ck_assert_uint_eq(plan.encoder_layers, 3);
	ck_assert_uint_eq(plan.layers, 1);
	ck_assert_int_eq(plan.start_id, 0);
	ck_assert_uint_eq(plan.encode_tokens_max, 600);
	ck_assert_uint_eq(plan.cross_bytes_per_token, plan.kv_bytes_per_token);
	o.input_tokens_max = 1600;
	ck_assert_int_eq(sk_engine_plan(&o, &longer, NULL), SK_OK);
	/* An input's rows are as wide as the layers: x, h, q|k|v, att, ffn and the last rows. */
	ck_assert_uint_ge(longer.scratch_bytes - plan.scratch_bytes, 1000 * 4 * (40 + 40 + 180 + 60 + 64));
	e = runs_open(&o);
	sk_engine_info(e, &info);
	sk_engine_close(&e);
	ck_assert_uint_eq(info.scratch_bytes, longer.scratch_bytes);
	ck_assert_uint_eq(info.kv_bytes, longer.kv_bytes);
	o.input_tokens_max = 30;
	o.batch_prefill_tokens = 64;
	ck_assert_int_eq(sk_engine_plan(&o, &plan, NULL), SK_OK);
	ck_assert_uint_eq(plan.encode_tokens_max, 64);
}
END_TEST

/* Nobody asked for inputs of four million tokens: the configuration merely allows them. */
START_TEST(test_an_input_is_as_long_as_a_step_of_the_encoder_where_none_is_asked_for)
{
	struct sk_engine_opts o = { .backend = "ref", .threads = 1, .kv_bytes = (uint64_t)4 << 30 };
	static const char *const links[] = { "model.safetensors", "tokenizer.json" };
	struct sk_info plan;
	struct sk_err err = { .text = "" };
	char dir[64], path[128], *text, *at;
	size_t len;
	FILE *f;

	scratch_make(dir, "seq2seq");
	for (int i = 0; i < LEN(links); i++) {
		char target[4096];

		snprintf(target, sizeof(target), MODEL("t5/%s"), links[i]);
		snprintf(path, sizeof(path), "%s/%s", dir, links[i]);
		ck_assert_int_eq(symlink(target, path), 0);
	}
	text = golden_file("families/t5/config.json", &len);
	at = strchr(text, '{');
	snprintf(path, sizeof(path), "%s/config.json", dir);
	f = fopen(path, "w");
	ck_assert_ptr_nonnull(f);
	fprintf(f, "{\"n_positions\": 1000000,%s", at + 1);
	ck_assert_int_eq(fclose(f), 0);
	free(text);
	o.model = dir;
	ck_assert_msg(sk_engine_plan(&o, &plan, &err) == SK_OK, "%s", err.text);
	ck_assert_uint_gt(plan.total_tokens_max, SK_ENCODE_MAX);
	ck_assert_uint_eq(plan.input_tokens_max, SK_ENCODE_MAX);
	ck_assert_uint_eq(plan.encode_tokens_max, SK_ENCODE_MAX);
	o.input_tokens_max = SK_ENCODE_MAX + 1;
	ck_assert_int_eq(sk_engine_plan(&o, &plan, &err), SK_EINVAL);
	ck_assert_ptr_nonnull(strstr(err.text, "encoder's input"));
	scratch_remove(dir);
}
END_TEST

/* ---- coming and going ---- */

START_TEST(test_short_inputs_share_a_step_of_the_encoder)
{
	struct sk_engine *e = engine_open((struct sk_engine_opts){ .input_tokens_max = 40, .batch_prefill_tokens = 64 });
	struct sk_gen_params p = params_ids(many, 16, 20);
	struct sk_gen *gens[9];
	int before = encodes;
	int64_t tokens = encoded_tokens;

	/* The first alone, as nobody else has come yet; then four to a step of 64 tokens. */
	gens[0] = submit_and_hold(e, &p);
	for (int i = 1; i < 9; i++)
		gens[i] = submit(e, &p);
	hold_encode = false;
	for (int i = 0; i < 9; i++)
		ck_assert_int_eq(read_to_end(gens[i]), SK_OK);
	ck_assert_int_eq(encoded_tokens - tokens, 9 * 16);
	ck_assert_int_eq(encodes - before, 3);
	sk_engine_close(&e);
}
END_TEST

START_TEST(test_a_request_that_is_cancelled_while_it_is_encoded_gives_its_blocks_back)
{
	for (int depth = 0; depth < 2; depth++) {
		struct sk_engine *e = engine_open((struct sk_engine_opts){ .look_ahead = depth });
		struct sk_gen_params p = params_text("it was for you", 200);
		struct sk_gen *g = submit_and_hold(e, &p);
		struct sk_event ev;

		sk_gen_cancel(g);
		hold_encode = false;
		ck_assert_int_eq(sk_gen_wait(g, &ev), SK_OK);
		ck_assert_int_eq(ev.type, SK_EVENT_FAIL);
		ck_assert_int_eq(ev.fail.status, SK_ECANCELED);
		sk_gen_close(&g);
		p.max_new_tokens = 3;
		ck_assert_int_eq(read_to_end(submit(e, &p)), SK_OK);
		runs_idle(e);
		sk_engine_close(&e);
	}
}
END_TEST

START_TEST(test_a_failed_step_of_the_encoder_fails_its_requests_and_no_others)
{
	for (int depth = 0; depth < 2; depth++) {
		struct sk_engine *e = engine_open((struct sk_engine_opts){ .look_ahead = depth });
		struct sk_gen_params p = params_text("it was for you", 400);
		struct sk_gen *running = submit(e, &p), *failing;
		struct sk_event ev;
		struct sk_stats st;

		do
			ck_assert_int_eq(sk_gen_wait(running, &ev), SK_OK);
		while (ev.type != SK_EVENT_TOKEN);
		fail_encode = true;
		failing = submit(e, &p);
		ck_assert_int_eq(read_to_end(failing), SK_EENGINE);
		fail_encode = false;
		ck_assert_int_eq(read_to_end(running), SK_OK);
		p.max_new_tokens = 3;
		ck_assert_int_eq(read_to_end(submit(e, &p)), SK_OK);
		runs_idle(e);
		sk_engine_stats(e, &st);
		ck_assert_uint_eq(st.failed, 1);
		sk_engine_close(&e);
	}
}
END_TEST

/* ---- several answers to one input ---- */

START_TEST(test_an_input_is_encoded_once_for_all_its_answers_which_are_those_it_has_alone)
{
	for (int depth = 0; depth < 2; depth++) {
		struct sk_engine *e = engine_open((struct sk_engine_opts){ .backend = "cpu", .look_ahead = depth });
		struct sk_gen_params p = params_text(requests[1].text, 20);
		int32_t ids[4][20];
		uint64_t seeds[4];
		int64_t before = encoded_tokens;
		struct sk_event ev;
		struct sk_gen *g;
		uint32_t finished = 0;

		p.n = 4;
		p.do_sample = true;
		g = submit(e, &p);
		while (sk_gen_wait(g, &ev) == SK_OK) {
			ck_assert_int_ne(ev.type, SK_EVENT_FAIL);
			if (ev.type == SK_EVENT_TOKEN)
				ids[ev.seq][ev.token.index] = ev.token.t.id;
			if (ev.type == SK_EVENT_FINISH)
				seeds[ev.seq] = ev.finish.seed;
			finished += ev.type == SK_EVENT_FINISH;
		}
		ck_assert_uint_eq(finished, 4);
		ck_assert_int_eq(encoded_tokens - before, sk_gen_prompt_tokens(g));
		sk_gen_close(&g);
		p.n = 1;
		p.has_seed = true;
		for (int i = 0; i < 4; i++) {
			p.seed = seeds[i];
			g = submit(e, &p);
			while (sk_gen_wait(g, &ev) == SK_OK)
				if (ev.type == SK_EVENT_TOKEN)
					ck_assert_int_eq(ev.token.t.id, ids[i][ev.token.index]);
			sk_gen_close(&g);
		}
		runs_idle(e);
		sk_engine_close(&e);
	}
}
END_TEST

int main(void)
{
	Suite *s = suite_create("engine seq2seq");
	TCase *c = tcase_create("engine seq2seq");
	SRunner *r;
	int failed;

	setvbuf(stdout, NULL, _IOLBF, 0);
	tcase_set_timeout(c, 300);
	tcase_add_loop_test(c, test_the_answer_has_the_librarys_tokens_alone_and_among_others, 0, LEN(goldens));
	tcase_add_test(c, test_a_request_has_the_same_bits_whatever_happens_around_it);
	tcase_add_test(c, test_the_prefill_is_the_start_token_and_the_prompts_length_is_the_inputs);
	tcase_add_test(c, test_the_first_token_keeps_its_blank);
	tcase_add_test(c, test_a_stop_string_ends_the_answer_right_behind_itself);
	tcase_add_test(c, test_what_does_not_fit_is_refused_by_name_and_all_else_ends);
	tcase_add_test(c, test_the_plan_has_the_encoder_in_it);
	tcase_add_test(c, test_an_input_is_as_long_as_a_step_of_the_encoder_where_none_is_asked_for);
	tcase_add_test(c, test_short_inputs_share_a_step_of_the_encoder);
	tcase_add_test(c, test_a_request_that_is_cancelled_while_it_is_encoded_gives_its_blocks_back);
	tcase_add_test(c, test_a_failed_step_of_the_encoder_fails_its_requests_and_no_others);
	tcase_add_test(c, test_an_input_is_encoded_once_for_all_its_answers_which_are_those_it_has_alone);
	suite_add_tcase(s, c);
	r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}
