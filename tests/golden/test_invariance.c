/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DESIGN.md, rule 4, with the real model: the bits of an answer do not depend on what runs beside it.
 *
 * Two subjects, one greedy and one drawn with a seed, are answered alone; then again in every way of the table, and
 * their ids and the bits of their log-probabilities must be the same.
 */
#include "tests/golden/golden.h"
#include "tests/golden/runs.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BESIDE_MAX 31
#define NEW_TOKENS 48

/* About 90 tokens each: more than one KV block, no multiple of a chunk. */
static const char *const subjects[2] = {
	"<|im_start|>user\nExplain to a child why the moon seems to follow us when we drive in a car at night, and why it "
	"does not fall down, although nobody holds it. Use short sentences, and name one thing that the child can try at home."
	"<|im_end|>\n<|im_start|>assistant\n",
	"The harbour was quiet that morning. Nets hung over the wall to dry, an old dog slept in the sun, and the only boat "
	"that had come in since 5:30 was being unloaded by two men who did not talk. Then, from the far end of the pier,",
};
static const char *const fillers[] = {
	"The", "Once upon a time", "int main(void)\n{\n", "1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16", "Le chat est",
	"A list of animals:\n- dog\n- cat\n-", "In the beginning there was nothing but a very long sentence which went on and on, ",
};

struct way {
	const char *name;
	struct sk_engine_opts o;
	int beside;                     /* other requests, half of them submitted before the subjects */
	int pool_tokens;                /* KV for so many tokens: small enough to preempt; 0: plenty */
};

static const struct way alone[2] = {
	{ "alone, 1 thread", { .threads = 1 } },
	{ "alone, 1 thread, float32", { .threads = 1, .dtype = "float32" } },
};
static const struct way ways[] = {
	{ "alone, 2 threads", { .threads = 2 } },
	{ "among 31 others, 1 thread", { .threads = 1 }, BESIDE_MAX },
	{ "among 31 others, 2 threads", { .threads = 2 }, BESIDE_MAX },
	{ "in chunks of 16", { .threads = 1, .batch_prefill_tokens = 16 }, 2 },
	{ "in chunks of 37, among 31 others", { .threads = 2, .batch_prefill_tokens = 37 }, BESIDE_MAX },
	{ "whole, in steps of 2048", { .threads = 2, .batch_prefill_tokens = 2048 }, 15 },
	{ "after preemption", { .threads = 2 }, 5, 480 },
	{ "after preemption, in chunks of 24", { .threads = 2, .batch_prefill_tokens = 24 }, 5, 480 },
	{ "looking ahead", { .threads = 2, .look_ahead = 1 }, 7 },
	{ "looking ahead, after preemption", { .threads = 2, .look_ahead = 1 }, 5, 480 },
	{ "not looking ahead", { .threads = 1, .look_ahead = 0 }, 1 },
	{ "float32, among 31 others, 2 threads", { .threads = 2, .dtype = "float32" }, BESIDE_MAX },
	{ "float32, in chunks of 37, after preemption", { .threads = 2, .dtype = "float32", .batch_prefill_tokens = 37 }, 5, 480 },
};

static struct run want[2][2];           /* [float32][subject] */

static struct sk_gen_params subject(int i)
{
	struct sk_gen_params p = SK_GEN_PARAMS_INIT;

	p.prompt = subjects[i];
	p.prompt_len = strlen(subjects[i]);
	p.max_new_tokens = NEW_TOKENS;
	p.ignore_eos = true;
	if (i) {
		p.do_sample = true;
		p.temperature = 0.9f;
		p.top_p = 0.95f;
		p.repetition_penalty = 1.1f;
		p.seed = 42;
		p.has_seed = true;
	}
	return p;
}

/* long_one: outgrows a small pool together with a few others, whatever was admitted when. */
static struct sk_gen_params filler(int i, bool long_one)
{
	struct sk_gen_params p = SK_GEN_PARAMS_INIT;

	p.prompt = fillers[(size_t)i % (sizeof(fillers) / sizeof(fillers[0]))];
	p.prompt_len = strlen(p.prompt);
	p.max_new_tokens = long_one ? 150 : (uint32_t)(20 + i * 7 % 60);
	p.ignore_eos = true;
	p.do_sample = i % 3 == 0;
	p.seed = (uint64_t)i;
	p.has_seed = true;
	return p;
}

static void way_do(const struct way *w, struct run *ret_runs, uint64_t *ret_preemptions)
{
	struct sk_engine_opts o = w->o;
	struct sk_gen_params p[BESIDE_MAX + 2];
	struct run r[BESIDE_MAX + 2];
	bool exact = o.dtype != NULL;
	int before = w->pool_tokens ? w->beside : w->beside / 2, n = 0; /* the youngest is preempted first */
	struct sk_stats stats;
	struct sk_info plan;
	struct sk_engine *e;
	struct sk_err err = { .text = "" };

	o.model = golden_model();
	o.total_tokens_max = 256;
	o.no_step_down = true;
	o.kv_bytes = (uint64_t)(exact ? 256 : 128) << 20;
	if (w->pool_tokens) {           /* bytes of a token depend on the type: ask */
		ck_assert_msg(sk_engine_plan(&o, &plan, &err) == SK_OK, "%s", err.text);
		o.kv_bytes = plan.kv_bytes_per_token * (uint64_t)w->pool_tokens;
	}
	e = runs_open(&o);
	while (n < before)
		p[n] = filler(n, w->pool_tokens > 0), n++;
	p[n++] = subject(0);
	p[n++] = subject(1);
	while (n < w->beside + 2)
		p[n] = filler(n, w->pool_tokens > 0), n++;
	runs_do(e, p, (size_t)n, r);
	sk_engine_stats(e, &stats);
	*ret_preemptions = stats.preemptions;
	for (int i = 0; i < n; i++)
		if (i == before || i == before + 1)
			ret_runs[i - before] = r[i];
		else
			run_fini(&r[i]);
	sk_engine_close(&e);
}

START_TEST(an_answer_has_the_same_bits_whatever_runs_beside_it)
{
	const struct way *w = &ways[_i];
	const struct run *ref = want[w->o.dtype != NULL];
	uint64_t preemptions;
	struct run got[2];

	way_do(w, got, &preemptions);
	for (int s = 0; s < 2; s++) {
		ck_assert_uint_eq(got[s].len, NEW_TOKENS);
		for (size_t i = 0; i < got[s].len; i++) {
			ck_assert_msg(got[s].ids[i] == ref[s].ids[i], "%s: subject %d, token %zu is %d, alone %d", w->name, s, i,
				      got[s].ids[i], ref[s].ids[i]);
			ck_assert_msg(!memcmp(&got[s].logprobs[i], &ref[s].logprobs[i], sizeof(float)),
				      "%s: subject %d, token %zu: log-probability %.9g, alone %.9g", w->name, s, i,
				      got[s].logprobs[i], ref[s].logprobs[i]);
		}
		run_fini(&got[s]);
	}
	ck_assert_msg(!w->pool_tokens || preemptions, "%s: nothing was preempted", w->name);
	printf("%s: same bits%s\n", w->name, preemptions ? " (preempted)" : "");
}
END_TEST

int main(void)
{
	Suite *s = suite_create("invariance");
	TCase *t = tcase_create("invariance");
	uint64_t preemptions;
	SRunner *r;
	int failed;

	golden_model();
	for (int i = 0; i < 2; i++)
		way_do(&alone[i], want[i], &preemptions);
	tcase_set_timeout(t, 400);
	tcase_add_loop_test(t, an_answer_has_the_same_bits_whatever_runs_beside_it, 0, sizeof(ways) / sizeof(ways[0]));
	suite_add_tcase(s, t);
	r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	for (int i = 0; i < 4; i++)
		run_fini(&want[i / 2][i % 2]);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
