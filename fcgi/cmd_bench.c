/* SPDX-License-Identifier: Apache-2.0 */
/*
 * saker bench: prompt and decode rates of the engine alone, through its public door, without HTTP.
 *
 *	pp512   one prompt of 512 tokens: submit to the first token
 *	tg128   128 tokens after a prompt of one: first token to last
 *	b8      8 sequences of 64 + 64 tokens at once: generated tokens over submit to the last end
 *
 * Rates are medians of --runs; prompts are random ids, new ones for each run, so that no cache can help.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/buf.h"
#include "engine/base/clock.h"
#include "engine/saker.h"
#include "fcgi/commands.h"
#include "fcgi/json.h"
#include "fcgi/progress.h"
#include "fcgi/words.h"

#define RUNS_MAX 101
#define STREAMS_MAX 4096
#define STREAM_TOKENS 64                /* of prompt, and as many of answer */

/* One measurement: what is run, and how often. */
struct bench {
	struct sk_engine *engine;
	uint32_t vocab;
	uint64_t random;                /* state of the generator of prompts */
	int runs;
};

struct test {
	char name[16];
	char kind;                      /* 'p' prompt, 't' text generation, 'b' batch */
	uint32_t n;
	double rate[RUNS_MAX];
};

/* Ids away from the beginning of the vocabulary, where control tokens live. (Numerical Recipes' generator.) */
static void fill_ids(struct bench *b, int32_t *ids, size_t len)
{
	uint32_t from = b->vocab > 1000 ? 300 : b->vocab / 2, span = b->vocab - from;

	for (size_t i = 0; i < len; i++) {
		b->random = b->random * 6364136223846793005u + 1442695040888963407u;
		ids[i] = (int32_t)(from + (uint32_t)(b->random >> 33) % span);
	}
}

/* Read events to the end; times are those of the first and the last token. */
static sk_status finish(struct sk_gen *gen, int64_t *ret_first_us, int64_t *ret_last_us, struct sk_err *err)
{
	struct sk_event ev;
	bool first = true;

	while (sk_gen_wait(gen, &ev) == SK_OK) {
		if (ev.type == SK_EVENT_FAIL)
			return sk_fail(err, ev.fail.status, "%s", ev.fail.text ? ev.fail.text : "");
		if (ev.type != SK_EVENT_TOKEN)
			continue;
		*ret_last_us = sk_now_us();
		if (first)
			*ret_first_us = *ret_last_us;
		first = false;
	}
	return first ? sk_fail(err, SK_EENGINE, "no token came") : SK_OK;
}

static sk_status submit(struct bench *b, uint32_t prompt, uint32_t answer, struct sk_gen **ret_gen,
			struct sk_err *err)
{
	struct sk_gen_params p = SK_GEN_PARAMS_INIT;
	int32_t *ids = calloc(prompt, sizeof *ids);
	sk_status st;

	if (!ids)
		return sk_fail(err, SK_ENOMEM, "out of memory for %" PRIu32 " ids", prompt);
	fill_ids(b, ids, prompt);
	p.ids = ids;
	p.ids_len = prompt;
	p.no_special = true;
	p.max_new_tokens = answer;
	p.ignore_eos = true;
	st = sk_engine_submit(b->engine, &p, ret_gen, err);
	free(ids);
	return st;
}

/* One sequence. tg128 asks for 129 tokens: the first ends the prompt, 128 steps follow. */
static sk_status run_single(struct bench *b, const struct test *t, double *ret_rate, struct sk_err *err)
{
	bool prompt = t->kind == 'p';
	struct sk_gen *gen = NULL;
	int64_t start = sk_now_us(), first = 0, last = 0, us;
	sk_status st = submit(b, prompt ? t->n : 1, prompt ? 1 : t->n + 1, &gen, err);

	if (st < 0)
		return st;
	st = finish(gen, &first, &last, err);
	sk_gen_close(&gen);
	us = prompt ? first - start : last - first;
	*ret_rate = (double)t->n * 1e6 / (double)(us > 0 ? us : 1);
	return st;
}

static sk_status run_batch(struct bench *b, const struct test *t, double *ret_rate, struct sk_err *err)
{
	struct sk_gen **gens = calloc(t->n, sizeof *gens);
	int64_t start = sk_now_us(), first = 0, last = 0, end = start;
	sk_status st = gens ? SK_OK : sk_fail(err, SK_ENOMEM, "out of memory for %" PRIu32 " sequences", t->n);

	for (uint32_t i = 0; i < t->n && st == SK_OK; i++)
		st = submit(b, STREAM_TOKENS, STREAM_TOKENS, &gens[i], err);
	for (uint32_t i = 0; i < t->n && st == SK_OK; i++) {
		st = finish(gens[i], &first, &last, err);
		if (st == SK_OK && last > end)
			end = last;
	}
	for (uint32_t i = 0; gens && i < t->n; i++)
		if (gens[i])
			sk_gen_close(&gens[i]);
	free(gens);
	*ret_rate = (double)t->n * STREAM_TOKENS * 1e6 / (double)(end > start ? end - start : 1);
	return st;
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static sk_status run_test(struct bench *b, struct test *t, struct sk_err *err)
{
	double warm;
	sk_status (*run)(struct bench *, const struct test *, double *, struct sk_err *) =
		t->kind == 'b' ? run_batch : run_single;
	sk_status st = run(b, t, &warm, err);

	for (int i = 0; i < b->runs && st == SK_OK; i++)
		st = run(b, t, &t->rate[i], err);
	qsort(t->rate, (size_t)b->runs, sizeof *t->rate, compare);
	return st;
}

/* "pp512,tg128,b8" to tests; returns their number, or what is wrong with the list. */
static sk_status parse_tests(const char *list, struct test *tests, int tests_max, int *ret_len, struct sk_err *err)
{
	static const struct { const char *word; char kind; long max; } kinds[] = {
		{ "pp", 'p', 1 << 20 }, { "tg", 't', 1 << 20 }, { "b", 'b', STREAMS_MAX },
	};
	int len = 0;

	while (*list) {
		size_t word_len = strcspn(list, ",");
		struct test *t = &tests[len];
		bool good = false;

		if (len == tests_max)
			return sk_fail(err, SK_EINVAL, "more than %d tests", tests_max);
		snprintf(t->name, sizeof t->name, "%.*s", (int)(word_len < 15 ? word_len : 15), list);
		for (size_t k = 0; k < sizeof kinds / sizeof *kinds && !good; k++) {
			size_t skip = strlen(kinds[k].word);
			char *end;
			long n;

			if (strncmp(t->name, kinds[k].word, skip))
				continue;
			n = strtol(t->name + skip, &end, 10);
			good = end != t->name + skip && !*end && n > 0 && n <= kinds[k].max;
			t->kind = kinds[k].kind;
			t->n = (uint32_t)n;
		}
		if (!good)
			return sk_fail(err, SK_EINVAL, "test \"%s\" is none of ppN, tgN, bN", t->name);
		len++;
		list += word_len;
		list += *list == ',';
	}
	*ret_len = len;
	return SK_OK;
}

static sk_status print_json(const struct sk_info *info, const struct test *tests, int len, int runs, struct sk_err *err)
{
	struct sk_buf b = SK_BUF(1 << 20);
	sk_status st;

	sk_buf_adds(&b, "{\"model\":");
	sk_json_add_str(&b, info->model_id, strlen(info->model_id));
	sk_buf_addf(&b, ",\"backend\":\"%s\",\"isa\":\"%s\",\"dtype\":\"%s\",\"threads\":%d,\"runs\":%d", info->backend,
		    info->isa, info->dtype, info->threads, runs);
	for (int i = 0; i < len; i++) {
		sk_buf_addf(&b, ",\"%s\":{\"tok_s\":%.2f,\"all\":[", tests[i].name, tests[i].rate[runs / 2]);
		for (int k = 0; k < runs; k++)
			sk_buf_addf(&b, "%s%.2f", k ? "," : "", tests[i].rate[k]);
		sk_buf_adds(&b, "]}");
	}
	sk_buf_adds(&b, "}\n");
	st = sk_words_print(&b, err);
	sk_buf_fini(&b);
	return st;
}

static sk_status bench(const struct sk_options *o, const struct sk_flags *f, struct test *tests, int len,
		       struct sk_err *err)
{
	struct bench b = { .runs = (int)f->bench_runs, .random = 1 };
	struct sk_engine_opts eo = { 0 };
	struct sk_info info;
	sk_status st;

	sk_options_engine(o, &eo);
	st = sk_engine_open(&eo, &b.engine, err);
	if (st < 0)
		return st;
	st = sk_progress_wait(b.engine, err);
	sk_engine_info(b.engine, &info);
	b.vocab = info.vocab;
	if (st == SK_OK && !f->bench_json)
		printf("%s, %s %s, %s, %d thread%s, medians of %d\n", info.model_id, info.backend, info.isa, info.dtype,
		       info.threads, info.threads == 1 ? "" : "s", b.runs);
	for (int i = 0; i < len && st == SK_OK; i++) {
		st = run_test(&b, &tests[i], err);
		if (st == SK_OK && !f->bench_json) {
			printf("%-8s %10.1f tok/s   (%.1f to %.1f)\n", tests[i].name, tests[i].rate[b.runs / 2],
			       tests[i].rate[0], tests[i].rate[b.runs - 1]);
			st = sk_words_flush(err);
		}
	}
	if (st == SK_OK && f->bench_json)
		st = print_json(&info, tests, len, b.runs, err);
	sk_engine_close(&b.engine);
	return st;
}

int sk_cmd_bench(int argc, char **argv)
{
	struct test tests[16];
	struct sk_options o;
	struct sk_flags f;
	struct sk_err err = { 0 };
	int len = 0;
	sk_status st = sk_command_read("bench", &o, &f, &argc, argv, &err);

	if (st == SK_OK)
		sk_words_quiet(&o);
	if (st == SK_OK && argc > 1)
		st = sk_fail(&err, SK_EINVAL, "unexpected word \"%s\"", argv[1]);
	if (st == SK_OK)
		st = parse_tests(f.bench_tests, tests, 16, &len, &err);
	if (st == SK_OK)
		st = bench(&o, &f, tests, len, &err);
	return sk_exit("bench", st, &err);
}
