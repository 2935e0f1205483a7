/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Attention on every backend, at every level of instruction set, against the reference (test_parity.c has the other operations
 * and says what is close enough): causal over the paged cache, with biases, and over what an encoder left.
 */
#include "tests/kernels/lab.h"

#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LEN(a) ((int)(sizeof(a) / sizeof *(a)))

static struct lab_way ways[LAB_WAYS_MAX];
static int ways_len;

/* ---- causal ---- */

static const struct lab_heads heads[] = {
	{ 9, 3, 64, SK_BF16 }, { 9, 3, 64, SK_F32 }, { 4, 4, 32, SK_BF16 }, { 8, 1, 80, SK_BF16 }, { 5, 1, 16, SK_F32 },
	{ 3, 3, 6, SK_BF16 }, { 3, 3, 6, SK_F32 }, { 21, 1, 24, SK_BF16 }, { 2, 2, 256, SK_BF16 }, { 7, 7, 2, SK_BF16 },
	{ 14, 2, 18, SK_F32 },
	/* Falcon-7B, StarCoder, and widths that are no power of two */
	{ 71, 1, 64, SK_BF16 }, { 48, 1, 128, SK_BF16 }, { 4, 2, 20, SK_F32 }, { 3, 1, 112, SK_BF16 },
	/* odd widths: a model whose heads do not turn may have them */
	{ 3, 3, 7, SK_BF16 }, { 6, 2, 7, SK_F32 }, { 5, 1, 1, SK_BF16 }, { 4, 4, 33, SK_BF16 }, { 2, 1, 17, SK_F32 },
};

/* Past and new tokens of each sequence of a step; ends with { 0, 0 }. */
static const struct { int32_t past, n; } steps[][5] = {
	{ { 0, 1 } },
	{ { 0, 17 }, { 31, 1 } },
	{ { 255, 1 }, { 256, 1 }, { 14, 2 } },
	{ { 250, 17 }, { 0, 3 }, { 520, 1 }, { 7, 1 } },
};

static const struct lab_way_to_attend plainly = { .write = true };

/* Of n tokens that come behind `past` ones: how many belong to the prompt. Devices may take those by other kernels. */
enum prompts { NONE, SOME, ALL, PROMPTS };

static int32_t prompt_of(enum prompts p, int32_t past, int32_t n)
{
	return p == NONE ? 0 : p == ALL ? past + n : past + n / 2;
}

static struct sk_kv *pool_open(struct lab *lab, const struct lab_heads *h)
{
	struct sk_kv_spec spec = { .layers = LAB_LAYERS, .kv_heads = h->kv_heads, .head_width = h->head_width, .blocks = 200,
				   .dtype = h->dtype };
	struct sk_kv *kv = NULL;
	struct sk_err err = { 0 };

	ck_assert_msg(lab->b->kv_open(lab->dev, &spec, &kv, &err) == SK_OK, "%s: %s", lab->way->name, err.text);
	return kv;
}

static void attend_run(const struct lab_way *way, const struct lab_heads *h, const struct lab_way_to_attend *how, int step,
		       enum prompts prompts, struct lab_seq *seqs, int32_t n, float **y)
{
	struct lab lab = lab_open(way, 2);
	struct sk_kv *kv = pool_open(&lab, h);
	struct lab_part parts[5];

	lab_step(&lab, kv, h, parts, 0);                /* empty */
	for (int32_t i = 0; i < n; i++) {
		parts[i] = (struct lab_part){ .seq = &seqs[i], .from = 0, .n = steps[step][i].past };
		lab_step(&lab, kv, h, &parts[i], 1);
		parts[i] = (struct lab_part){ .seq = &seqs[i], .from = steps[step][i].past, .n = steps[step][i].n, .y = y[i],
					      .prompt = prompt_of(prompts, steps[step][i].past, steps[step][i].n) };
	}
	lab_step_as(&lab, kv, h, parts, n, how);
	lab.b->kv_close(lab.dev, &kv);
	ck_assert_ptr_null(kv);
	lab_close(&lab);
}

/*
 * Values are at most 1. A score is off by 4 eps (sum |q k| scale + |bias|) (|k| <= 1), a weight by twice that, the mean of values
 * again: 1 + 2 * (that sum). `tokens` queries from q on; farthest: how far a key is from a query at most, for ALiBi.
 */
static void attend_same(const char *way, const char *what, const struct lab_heads *h, const struct lab_way_to_attend *how,
			const float *q, int32_t tokens, int32_t farthest, const float *y, const float *ref)
{
	size_t outs = (size_t)tokens * (size_t)h->heads * (size_t)h->head_width;
	double *bound = malloc((outs + 1) * sizeof *bound), bias = 0.0;

	ck_assert_ptr_nonnull(bound);
	if (how->bias != SK_BIAS_NONE)
		bias = how->bias == SK_BIAS_TABLE ? 3.0 : (double)farthest;
	for (size_t k = 0; k < outs; k++) {
		const float *head = q + k / (size_t)h->head_width * (size_t)h->head_width;
		double sum = 0.0;

		for (int32_t j = 0; j < h->head_width; j++)
			sum += fabs((double)head[j]);
		bound[k] = 1.0 + 2.0 * (sum / sqrt((double)h->head_width) + bias + (how->softcap > 0.0f ? (double)how->softcap : 0.0) + (how->sinks ? 4.0 : 0.0));
	}
	lab_same(way, what, y, ref, bound, outs);
	free(bound);
}

static void attend_case(const struct lab_heads *h, const struct lab_way_to_attend *how, int st)
{
	struct lab_seq seqs[5];
	float *ref[5], *y[5];
	int32_t n = 0, wide = h->heads * h->head_width;
	struct lab_rand r = { (uint64_t)wide * 10 + (uint64_t)st };

	for (; n < 5 && steps[st][n].n; n++) {
		int32_t len = steps[st][n].past + steps[st][n].n, *blocks = lab_blocks(n * 40, 40);

		seqs[n] = lab_seq_make(&r, h, len, blocks);
		ref[n] = lab_room((size_t)steps[st][n].n * (size_t)wide);
		y[n] = lab_room((size_t)steps[st][n].n * (size_t)wide);
		free(blocks);
	}
	attend_run(&ways[0], h, how, st, NONE, seqs, n, ref);
	for (int w = PROMPTS; w < ways_len * PROMPTS; w++) {
		enum prompts prompts = w % PROMPTS;
		const struct lab_way *way = &ways[w / PROMPTS];

		/* An emulated device is slow: every other case has the one sort of prompts or the other. */
		if (prompts != NONE && (!lab_is_module(way) || (lab_is_emulated(way) && (wide + st) % 2 != (prompts == ALL))))
			continue;
		attend_run(way, h, how, st, prompts, seqs, n, y);
		for (int32_t i = 0; i < n; i++) {
			char what[96];

			snprintf(what, sizeof what, "attend heads %d/%d x %d %s, bias %d, step %d, prompts %d, sequence %d", h->heads,
				 h->kv_heads, h->head_width, h->dtype == SK_F32 ? "F32" : "BF16", (int)how->bias, st, (int)prompts, i);
			attend_same(way->name, what, h, how, seqs[i].q + (size_t)steps[st][i].past * (size_t)wide, steps[st][i].n,
				    seqs[i].len, y[i], ref[i]);
		}
	}
	for (int32_t i = 0; i < n; i++) {
		lab_seq_free(&seqs[i]);
		free(ref[i]);
		free(y[i]);
	}
}

START_TEST(attention_is_the_weighted_mean_of_the_values)
{
	for (int st = 0; st < LEN(steps); st++)
		attend_case(&heads[_i], &plainly, st);
}
END_TEST

/* ---- biases, and what an encoder left ---- */

static const struct {
	struct lab_heads h;
	enum sk_bias_kind bias;
	int32_t reach;
} biased[] = {
	{ { 5, 5, 64, SK_BF16 }, SK_BIAS_ALIBI, 0 }, { { 12, 1, 24, SK_F32 }, SK_BIAS_ALIBI, 0 },
	{ { 71, 1, 64, SK_BF16 }, SK_BIAS_ALIBI_BF16, 0 }, { { 3, 3, 112, SK_F32 }, SK_BIAS_ALIBI_BF16, 0 },
	{ { 6, 2, 20, SK_F32 }, SK_BIAS_TABLE, 7 }, { { 4, 4, 80, SK_BF16 }, SK_BIAS_TABLE, 300 },
	{ { 7, 1, 16, SK_F32 }, SK_BIAS_TABLE, 0 }, { { 2, 2, 64, SK_F32 }, SK_BIAS_TABLE, 5000 },
	{ { 9, 3, 64, SK_BF16 }, SK_BIAS_NONE, 0 }, { { 3, 3, 7, SK_BF16 }, SK_BIAS_TABLE, 7 }, { { 6, 2, 9, SK_F32 }, SK_BIAS_ALIBI, 0 },
};

START_TEST(attention_adds_a_bias_to_its_scores)
{
	struct lab_way_to_attend how = { .bias = biased[_i].bias, .reach = biased[_i].reach, .write = true };

	for (int st = 0; st < LEN(steps); st++)
		attend_case(&biased[_i].h, &how, st);
}
END_TEST

/* Windows shorter than a chunk, as long, longer, of one key; caps that bend much; sinks. */
static const struct { struct lab_heads h; struct lab_way_to_attend how; } bent[] = {
	{ { 4, 2, 16, SK_F32 },  { .write = true, .window = 7 } },
	{ { 5, 1, 24, SK_BF16 }, { .write = true, .window = 1 } },
	{ { 9, 3, 64, SK_BF16 }, { .write = true, .window = 256 } },
	{ { 3, 3, 7, SK_F32 },   { .write = true, .window = 263, .sinks = true } },
	{ { 4, 4, 32, SK_F32 },  { .write = true, .softcap = 1.5f } },
	{ { 8, 1, 80, SK_BF16 }, { .write = true, .softcap = 50.0f, .window = 20 } },
	{ { 6, 2, 20, SK_F32 },  { .write = true, .sinks = true } },
	{ { 12, 1, 24, SK_F32 }, { .write = true, .window = 5, .bias = SK_BIAS_ALIBI } },
	{ { 2, 2, 64, SK_F32 },  { .write = true, .softcap = 3.0f, .bias = SK_BIAS_TABLE, .reach = 9 } },
};

/* A device planned for little more than this step: arrays that operations bring go round it many times. */
START_TEST(a_steps_arrays_stay_whatever_operations_bring)
{
	static const struct sk_dev_plan small = { .tokens_max = 20, .sequences_max = 2, .K_max = 64, .N_max = 64, .heads = 4, .kv_heads = 2,
						  .head_width = 16, .context_max = 32 };
	const struct lab_heads h = { 4, 2, 16, SK_F32 };
	struct lab_rand r = { 3 };
	int32_t *blocks = lab_blocks(0, 40), *others = lab_blocks(60, 40);
	struct lab_seq seqs[2] = { lab_seq_make(&r, &h, 17, blocks), lab_seq_make(&r, &h, 32, others) };
	float *want = lab_room(17 * 64), *y = lab_room(17 * 64);

	for (int w = 0; w < ways_len; w++)
		for (int beside = 0; beside < 30; beside += 29) {
			struct lab lab = lab_open(&ways[w], 2);
			struct lab_part parts[2] = { { .seq = &seqs[0], .n = 17, .y = beside ? y : want }, { .seq = &seqs[1], .n = 2 } };
			struct sk_kv *kv;

			ck_assert_int_eq(lab.b->reserve(lab.dev, &small, NULL, NULL), SK_OK);
			kv = pool_open(&lab, &h);
			lab_step_as(&lab, kv, &h, parts, 2, &(struct lab_way_to_attend){ .write = true, .beside = beside });
			if (beside)
				ck_assert_msg(!memcmp(y, want, 17 * 64 * sizeof *y), "%s: another answer", ways[w].name);
			lab.b->kv_close(lab.dev, &kv);
			lab_close(&lab);
		}
	lab_seq_free(&seqs[0]);
	lab_seq_free(&seqs[1]);
	free(blocks);
	free(others);
	free(want);
	free(y);
}
END_TEST

START_TEST(attention_minds_windows_softcaps_and_sinks)
{
	for (int st = 0; st < LEN(steps); st++)
		attend_case(&bent[_i].h, &bent[_i].how, st);
}
END_TEST

/* Keys of each encoder and the queries that look at them: a decoder's, at positions from `from` on; own: the encoder's own. */
static const struct {
	bool own, large;                /* large: not emulated */
	struct { int32_t keys, from, n; } seq[4];
} crosses[] = {
	{ true, false, { { 1, 0, 1 }, { 17, 0, 17 }, { 33, 0, 33 } } },
	{ true, true, { { 300, 0, 300 }, { 540, 0, 540 } } },
	{ false, false, { { 1, 0, 1 }, { 300, 2, 1 }, { 16, 40, 3 }, { 5, 7, 17 } } },
	{ false, false, { { 520, 0, 1 } } },
	{ false, true, { { 513, 100, 300 }, { 256, 0, 17 } } },
};

static void cross_run(const struct lab_way *way, const struct lab_heads *h, const struct lab_way_to_attend *how, int c, enum prompts prompts,
		      struct lab_seq *enc, struct lab_seq *dec, int32_t n, float **y)
{
	struct lab lab = lab_open(way, 2);
	struct sk_kv *kv = pool_open(&lab, h);
	struct lab_part parts[4];

	for (int32_t i = 0; i < n && !crosses[c].own; i++) {
		parts[i] = (struct lab_part){ .seq = &enc[i], .n = enc[i].len };
		lab_step(&lab, kv, h, &parts[i], 1);
	}
	for (int32_t i = 0; i < n; i++)
		parts[i] = (struct lab_part){ .seq = crosses[c].own ? &enc[i] : &dec[i], .from = crosses[c].seq[i].from,
					      .n = crosses[c].seq[i].n, .y = y[i], .cross = &enc[i],
					      .prompt = prompt_of(prompts, crosses[c].seq[i].from, crosses[c].seq[i].n) };
	lab_step_as(&lab, kv, h, parts, n, how);
	lab.b->kv_close(lab.dev, &kv);
	lab_close(&lab);
}

static void cross_case(const struct lab_heads *h, const struct lab_way_to_attend *how, int c)
{
	struct lab_seq enc[4], dec[4];
	float *ref[4], *y[4];
	int32_t n = 0, wide = h->heads * h->head_width;
	struct lab_rand r = { (uint64_t)wide * 10 + (uint64_t)c };

	for (; n < 4 && crosses[c].seq[n].keys; n++) {
		int32_t *blocks = lab_blocks(n * 40, 40);

		enc[n] = lab_seq_make(&r, h, crosses[c].seq[n].keys, blocks);
		dec[n] = lab_seq_make(&r, h, crosses[c].seq[n].from + crosses[c].seq[n].n, blocks);
		ref[n] = lab_room((size_t)crosses[c].seq[n].n * (size_t)wide);
		y[n] = lab_room((size_t)crosses[c].seq[n].n * (size_t)wide);
		free(blocks);
	}
	cross_run(&ways[0], h, how, c, NONE, enc, dec, n, ref);
	for (int w = PROMPTS; w < ways_len * PROMPTS; w++) {
		enum prompts prompts = w % PROMPTS;
		const struct lab_way *way = &ways[w / PROMPTS];

		if ((crosses[c].large && lab_is_emulated(way)) || (prompts != NONE && !lab_is_module(way)) ||
		    (prompts != NONE && lab_is_emulated(way) && (wide + c) % 2 != (prompts == ALL)))
			continue;
		cross_run(way, h, how, c, prompts, enc, dec, n, y);
		for (int32_t i = 0; i < n; i++) {
			const float *q = (crosses[c].own ? enc[i].q : dec[i].q) + (size_t)crosses[c].seq[i].from * (size_t)wide;
			char what[96];

			snprintf(what, sizeof what, "cross heads %d/%d x %d %s, bias %d, case %d, prompts %d, sequence %d", h->heads,
				 h->kv_heads, h->head_width, h->dtype == SK_F32 ? "F32" : "BF16", (int)how->bias, c, (int)prompts, i);
			attend_same(way->name, what, h, how, q, crosses[c].seq[i].n, enc[i].len + dec[i].len, y[i], ref[i]);
		}
	}
	for (int32_t i = 0; i < n; i++) {
		lab_seq_free(&enc[i]);
		lab_seq_free(&dec[i]);
		free(ref[i]);
		free(y[i]);
	}
}

START_TEST(cross_attention_sees_all_that_the_encoder_left)
{
	struct lab_way_to_attend how = { .bias = biased[_i].bias, .reach = biased[_i].reach, .cross = true };

	for (int c = 0; c < LEN(crosses); c++) {
		if (crosses[c].large && biased[_i].h.heads * biased[_i].h.head_width > 400)
			continue;               /* the reference takes its time */
		how.write = crosses[c].own;
		cross_case(&biased[_i].h, &how, c);
	}
}
END_TEST

int main(void)
{
	Suite *s = suite_create("attend");
	TCase *c = tcase_create("attention");
	SRunner *r;
	int failed;

	ways_len = lab_ways(ways);
	tcase_set_timeout(c, 120);
	tcase_add_loop_test(c, attention_is_the_weighted_mean_of_the_values, 0, lab_few(LEN(heads)));
	tcase_add_loop_test(c, attention_adds_a_bias_to_its_scores, 0, lab_few(LEN(biased)));
	tcase_add_test(c, a_steps_arrays_stay_whatever_operations_bring);
	tcase_add_loop_test(c, attention_minds_windows_softcaps_and_sinks, 0, lab_few(LEN(bent)));
	tcase_add_loop_test(c, cross_attention_sees_all_that_the_encoder_left, 0, lab_few(LEN(biased)));
	suite_add_tcase(s, c);
	r = srunner_create(s);
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? 1 : 0;
}
