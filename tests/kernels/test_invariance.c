/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A row's bits do not depend on its neighbours: not on the number of tokens, sequences or threads, not on how a prompt
 * was cut, not on where its blocks lie or what lay there before. memcmp, for every backend and level.
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
static const int some_threads[] = { 1, 2, 3 };

static float *room(size_t n)
{
	float *x = calloc(n + 1, sizeof *x);

	ck_assert_ptr_nonnull(x);
	return x;
}

static void equal(const char *way, const char *what, const float *a, const float *b, size_t n)
{
	for (size_t i = 0; i < n; i++)          /* Check writes a file for each assertion: ask only about differences */
		if (memcmp(&a[i], &b[i], sizeof *a))
			ck_abort_msg("%s: %s: [%zu] is %.9g alone, %.9g here", way, what, i, (double)a[i], (double)b[i]);
}

/* ---- operations on rows: y = f(x), T rows from x on, on a device ---- */

struct row_op {
	const char *name;
	int32_t wide, out;
	void (*run)(struct lab *lab, const float *x, int32_t first, int32_t T, float *ret_y);
};

static void norm(struct lab *lab, const float *x, int32_t T, float *ret_y, enum sk_norm_kind kind)
{
	struct lab_rand r = { 9 };
	float *wt = lab_floats(&r, 577, 2.0f);
	struct sk_view v = lab_put(lab, x, T, 577, 580), w = lab_put(lab, wt, 1, 577, 577);

	lab->ops->norm(lab->dev, &(struct sk_op_norm){ .x = v, .y = v, .w = w.data, .b = kind == SK_NORM_LAYER ? w.data : NULL,
		       .eps = 1e-6f, .kind = kind });
	lab_get(lab, &v, ret_y);
	lab_drop(lab, &v);
	lab_drop(lab, &w);
	free(wt);
}

static void run_norm(struct lab *lab, const float *x, int32_t first, int32_t T, float *ret_y)
{
	norm(lab, x, T, ret_y, SK_NORM_RMS);
}

static void run_layer_norm(struct lab *lab, const float *x, int32_t first, int32_t T, float *ret_y)
{
	norm(lab, x, T, ret_y, SK_NORM_LAYER);
}

static void run_rope(struct lab *lab, const float *x, int32_t first, int32_t T, float *ret_y)
{
	static float inv_freq[32];
	int32_t pos[64];
	struct sk_view v = lab_put(lab, x, T, 3 * 66, 3 * 66), freq;

	for (int i = 0; i < 32; i++)
		inv_freq[i] = powf(1e5f, -(float)i / 32.0f);
	freq = lab_put(lab, inv_freq, 1, 32, 32);
	for (int32_t t = 0; t < T; t++)
		pos[t] = (first + t) * 1000;
	for (int twice = 0; twice < 2; twice++) {       /* whatever is remembered from the first call must not show */
		lab_drop(lab, &v);
		v = lab_put(lab, x, T, 3 * 66, 3 * 66);
		lab->ops->rope(lab->dev, &(struct sk_op_rope){ .x = v, .pos = pos, .heads = 3, .head_width = 66, .rotary_width = 64,
			       .inv_freq = freq.data, .factor = 1.0f });
	}
	lab_get(lab, &v, ret_y);
	lab_drop(lab, &v);
	lab_drop(lab, &freq);
}

static void run_glu(struct lab *lab, const float *x, int32_t first, int32_t T, float *ret_y)
{
	struct sk_view v = lab_put(lab, x, T, 400, 400), y = lab_put(lab, NULL, T, 200, 203), up = v;

	v.dim[1] = up.dim[1] = 200;
	up.data = (float *)up.data + 200;
	lab->ops->glu(lab->dev, &(struct sk_op_glu){ .gate = v, .up = up, .y = y, .act = SK_ACT_SILU });
	lab_get(lab, &y, ret_y);
	lab_drop(lab, &v);
	lab_drop(lab, &y);
}

static void run_row_stats(struct lab *lab, const float *x, int32_t first, int32_t T, float *ret_y)
{
	struct sk_view v = lab_put(lab, x, T, 9000, 9001);
	int32_t best[64];
	float max[64], lse[64];

	lab->ops->row_stats(lab->dev, &(struct sk_op_row_stats){ .x = v, .argmax = best, .max = max, .logsumexp = lse });
	ck_assert_int_eq(lab->b->sync(lab->dev, NULL), SK_OK);
	for (int32_t t = 0; t < T; t++) {
		ret_y[3 * t] = (float)best[t];
		ret_y[3 * t + 1] = max[t];
		ret_y[3 * t + 2] = lse[t];
	}
	lab_drop(lab, &v);
}

/* The weights of a linear that is tested as an operation on rows. */
static const struct {
	enum sk_dtype dtype;
	bool quantise, glu;
	int32_t slices;
	enum sk_act act;                /* with biases; GLU: NONE stands for SILU without */
} linears[] = {
	{ SK_F32, false, false, 0, 0 }, { SK_F16, false, false, 3, 0 }, { SK_BF16, true, false, 3, 0 },
	{ SK_BF16, false, true, 0, 0 }, { SK_Q8_0, true, false, 3, 0 }, { SK_Q4_0, true, true, 0, 0 },
	{ SK_Q4_0, false, false, 0, 0 }, { SK_Q4_1, true, false, 0, 0 }, { SK_Q4_1, true, false, 3, 0 },
	{ SK_F32, false, false, 0, SK_ACT_GELU }, { SK_BF16, true, true, 0, SK_ACT_GELU_TANH },
	{ SK_BF16, true, false, 0, SK_ACT_SILU }, { SK_Q4_0, true, false, 3, SK_ACT_RELU },
};
static int linear_case;

static void run_linear(struct lab *lab, const float *x, int32_t first, int32_t T, float *ret_y)
{
	enum { N = 72, K = 288 };
	struct lab_rand r = { 77 };
	unsigned char *bytes = lab_weight(&r, linears[linear_case].dtype, N, K);
	bool glu = linears[linear_case].glu;
	int32_t n_out = glu ? N / 2 : N;
	struct sk_weight_src src[2] = { lab_src(bytes, linears[linear_case].dtype, n_out, K) };
	struct sk_weight *w = NULL;
	float *b = lab_floats(&r, N, 2.0f);
	struct sk_view v = lab_put(lab, x, T, K, K), y = lab_put(lab, NULL, T, n_out, N), bias = lab_put(lab, b, 1, N, N);
	struct sk_op_linear a = { .x = v, .y = y, .flags = glu ? SK_LINEAR_GLU : 0, .quantise = linears[linear_case].quantise,
				  .slices = linears[linear_case].slices, .slice_end = { 96, 192, 288 },
				  .act = linears[linear_case].act, .bias = linears[linear_case].act ? bias.data : NULL };

	free(b);
	if (glu && !a.act)
		a.act = SK_ACT_SILU;
	if (lab_is_module(lab->way) && !lab->b->weight_bytes(linears[linear_case].dtype, N, K)) {
		memset(ret_y, 0, (size_t)T * (size_t)N * sizeof *ret_y);
		lab_drop(lab, &v);
		lab_drop(lab, &y);
		lab_drop(lab, &bias);
		free(bytes);
		return;
	}
	src[1] = src[0];
	src[1].data = bytes + (size_t)n_out * src[0].row_bytes;
	ck_assert_int_eq(lab->b->weight_open(lab->dev, src, glu ? 2 : 1, glu ? SK_JOIN_GLU : SK_JOIN_STACK, &w, NULL), SK_OK);
	a.w = w;
	lab->ops->linear(lab->dev, &a);
	lab_get(lab, &y, ret_y);
	if (glu)
		memset(ret_y + (size_t)T * (size_t)n_out, 0, (size_t)T * (size_t)(N - n_out) * sizeof *ret_y);
	lab->b->weight_close(lab->dev, &w);
	lab_drop(lab, &v);
	lab_drop(lab, &y);
	lab_drop(lab, &bias);
	free(bytes);
}

static const struct row_op row_ops[] = {
	{ "norm", 577, 577, run_norm },
	{ "layer norm", 577, 577, run_layer_norm },
	{ "rope", 3 * 66, 3 * 66, run_rope },
	{ "glu", 400, 200, run_glu },
	{ "row_stats", 9000, 3, run_row_stats },
};

/* 64 rows at once against one by one, and in parts, on 1, 2 and 3 threads. */
static void rows_alone_and_together(const struct row_op *op, int32_t out)
{
	static const int32_t parts[] = { 2, 3, 17, 32 };
	struct lab_rand r = { 5 };
	float *x = lab_floats(&r, 64 * (size_t)op->wide, 4.0f), *want = room(64 * (size_t)out), *got = room(64 * (size_t)op->out);

	for (int w = 0; w < ways_len; w++) {
		struct lab lab = lab_open(&ways[w], 1);
		int32_t rows = lab_is_module(&ways[w]) ? 12 : 64, first = rows / 6;

		for (int32_t t = 0; t < rows; t++) {
			op->run(&lab, x + t * op->wide, t, 1, got);
			memcpy(want + t * out, got, (size_t)out * sizeof *got);
		}
		lab_close(&lab);
		for (int i = 0; i < LEN(some_threads); i++) {
			if (lab_is_module(&ways[w]) && i > 0)
				break;          /* host threads are nothing to a device */
			lab = lab_open(&ways[w], some_threads[i]);
			op->run(&lab, x, 0, rows, got);
			equal(ways[w].name, op->name, want, got, (size_t)(rows * out));
			for (int p = 0; p < LEN(parts) && first + parts[p] <= rows; p++) {
				op->run(&lab, x + first * op->wide, first, parts[p], got);
				equal(ways[w].name, op->name, want + first * out, got, (size_t)(parts[p] * out));
			}
			lab_close(&lab);
		}
	}
	free(x);
	free(want);
	free(got);
}

START_TEST(a_row_is_the_same_alone_and_among_others)
{
	rows_alone_and_together(&row_ops[_i], row_ops[_i].out);
}
END_TEST

START_TEST(a_row_of_a_product_is_the_same_alone_and_among_others)
{
	struct row_op op = { "linear", 288, 72, run_linear };

	linear_case = _i;
	rows_alone_and_together(&op, linears[_i].glu ? 36 : 72);
}
END_TEST

/* ---- attention ---- */

static const struct lab_heads heads[] = {
	{ 9, 3, 64, SK_BF16 }, { 9, 3, 64, SK_F32 }, { 3, 3, 6, SK_BF16 }, { 4, 1, 80, SK_BF16 }, { 20, 1, 24, SK_F32 },
	{ 2, 2, 34, SK_BF16 }, { 3, 3, 7, SK_BF16 }, { 4, 2, 33, SK_F32 },
};

#define PROMPT 540              /* crosses two merges */
#define CLASS 300               /* of it are a prompt: a device may have two classes, by position */

static struct sk_kv *pool_open(struct lab *lab, const struct lab_heads *h)
{
	struct sk_kv_spec spec = { .layers = LAB_LAYERS, .kv_heads = h->kv_heads, .head_width = h->head_width, .blocks = 128,
				   .dtype = h->dtype };
	struct sk_kv *kv = NULL;
	struct sk_err err = { 0 };

	ck_assert_msg(lab->b->kv_open(lab->dev, &spec, &kv, &err) == SK_OK, "%s", err.text);
	return kv;
}

/* Whole and in chunks; 0: what is left in one. Ends with 0. */
static const int32_t cuts[][8] = {
	{ 0 },
	{ 1, 1, 1, 0 },
	{ 7, 249, 1, 255, 1, 0 },
	{ 16, 100, 3, 200, 0 },
	{ 255, 2, 0 },
	{ 530, 1, 1, 1, 1, 1, 1, 0 },
};

/* The sequence in the chunks of a cut, beside `others` other sequences that take turns; y [PROMPT][wide]. */
static void prefill(struct lab *lab, struct sk_kv *kv, const struct lab_heads *h, struct lab_seq *s, const int32_t *cut,
		    struct lab_seq *other, float *y, const struct lab_way_to_attend *how)
{
	int32_t wide = h->heads * h->head_width, beside = 0;

	for (int32_t at = 0, n; at < PROMPT; at += n) {
		int32_t room_left = other ? other->len - beside : 0, with = room_left < 5 ? room_left : 5;
		struct lab_part parts[2] = { { .seq = other, .from = beside, .n = with, .prompt = 20 } };
		struct lab_part mine = { .seq = s, .from = at, .prompt = CLASS };

		n = *cut ? *cut++ : PROMPT - at;
		mine.n = n;
		mine.y = y + (size_t)at * (size_t)wide;
		parts[with > 0] = mine;
		lab_step_as(lab, kv, h, parts, with > 0 ? 2 : 1, how);
		beside += with;
	}
}

static void cut_case(const struct lab_heads *h, const struct lab_way_to_attend *how, int index)
{
	size_t n = (size_t)PROMPT * (size_t)h->heads * (size_t)h->head_width;
	int32_t *here = lab_blocks(0, 34), *there = lab_blocks(60, 34), *beside = lab_blocks(100, 3);
	struct lab_rand r = { (uint64_t)index };
	struct lab_seq s = lab_seq_make(&r, h, PROMPT, here), other = lab_seq_make(&r, h, 33, beside);
	float *want = room(n), *got = room(n);

	for (int w = 1; w < ways_len; w++)              /* ref is the same by its looks, and slow */
		for (int i = 0; i < LEN(some_threads); i++)
			for (int c = 0; c < LEN(cuts); c++) {
				struct lab lab;
				struct sk_kv *kv;
				char what[64];

				/* Host threads are nothing to a device; an emulated one takes a second for a prompt. */
				if ((lab_is_module(&ways[w]) && i > 0) || (lab_is_emulated(&ways[w]) && (index % 4 != 0 || c % 2 != 0)))
					continue;
				lab = lab_open(&ways[w], some_threads[i]);
				kv = pool_open(&lab, h);
				memcpy(s.blocks, c % 2 ? there : here, 34 * sizeof *here);
				snprintf(what, sizeof what, "heads %d, bias %d, %d threads, cut %d", index, (int)how->bias,
					 some_threads[i], c);
				prefill(&lab, kv, h, &s, cuts[c], c % 3 ? &other : NULL, i || c ? got : want, how);
				if (i || c)
					equal(ways[w].name, what, want, got, n);
				lab.b->kv_close(lab.dev, &kv);
				lab_close(&lab);
			}
	lab_seq_free(&s);
	lab_seq_free(&other);
	free(here);
	free(there);
	free(beside);
	free(want);
	free(got);
}

START_TEST(a_query_is_the_same_however_its_prompt_is_cut)
{
	cut_case(&heads[_i], &(struct lab_way_to_attend){ .write = true }, _i);
}
END_TEST

static const struct {
	struct lab_heads h;
	enum sk_bias_kind bias;
	int32_t reach;
} biased[] = {
	{ { 5, 5, 20, SK_BF16 }, SK_BIAS_ALIBI, 0 }, { { 20, 1, 24, SK_F32 }, SK_BIAS_ALIBI_BF16, 0 },
	{ { 3, 3, 64, SK_BF16 }, SK_BIAS_TABLE, 40 },
};

START_TEST(a_biased_query_is_the_same_however_its_prompt_is_cut)
{
	cut_case(&biased[_i].h, &(struct lab_way_to_attend){ .bias = biased[_i].bias, .reach = biased[_i].reach, .write = true },
		 4 * _i + (_i > 0));    /* emulated: the first */
}
END_TEST

/* Tiles of which some queries see a chunk and others do not: a window ends between them. */
static const struct { struct lab_heads h; struct lab_way_to_attend how; } bent[] = {
	{ { 4, 2, 20, SK_F32 }, { .write = true, .window = 13, .sinks = true } },
	{ { 3, 3, 24, SK_BF16 }, { .write = true, .window = 259, .softcap = 2.0f } },
	{ { 2, 1, 7, SK_F32 }, { .write = true, .window = 1 } },
};

START_TEST(a_query_with_a_window_is_the_same_however_its_prompt_is_cut)
{
	cut_case(&bent[_i].h, &bent[_i].how, 4 * _i + (_i > 0));
}
END_TEST

/* What an encoder left is looked at from one query at a time, from some, from all, beside another sequence's, from other blocks. */
START_TEST(a_query_sees_the_same_of_what_an_encoder_left)
{
	enum { KEYS = 530, QUERIES = 24 };
	const struct lab_heads *h = &biased[_i].h;
	struct lab_way_to_attend how = { .bias = biased[_i].bias, .reach = biased[_i].reach, .cross = true };
	int32_t wide = h->heads * h->head_width, *here = lab_blocks(0, 34), *there = lab_blocks(60, 34), *beside = lab_blocks(100, 3);
	static const int32_t sizes[] = { 1, 5, 24, 7 };
	size_t n = (size_t)QUERIES * (size_t)wide;
	struct lab_rand r = { (uint64_t)_i };
	struct lab_seq enc = lab_seq_make(&r, h, KEYS, here), other = lab_seq_make(&r, h, 33, beside);
	struct lab_seq dec = lab_seq_make(&r, h, QUERIES, here);
	float *want = room(n), *got = room(n);

	for (int w = 1; w < ways_len; w++)
		for (int i = 0; i < LEN(some_threads) * LEN(sizes); i++) {
			int32_t size = sizes[i % LEN(sizes)];
			struct lab_part parts[2] = { { .seq = &other, .n = 33 }, { .seq = &enc, .n = KEYS } };
			struct sk_kv *kv;
			struct lab lab;

			if (lab_is_module(&ways[w]) && i >= LEN(sizes))
				break;
			lab = lab_open(&ways[w], some_threads[i / LEN(sizes)]);
			kv = pool_open(&lab, h);
			memcpy(enc.blocks, i % 2 ? there : here, 34 * sizeof *here);
			lab_step(&lab, kv, h, parts, 2);
			for (int32_t at = 0; at < QUERIES; at += size) {
				int32_t len = QUERIES - at < size ? QUERIES - at : size;

				parts[0] = (struct lab_part){ .seq = &other, .from = 3, .n = 9, .cross = &other, .prompt = 7 };
				parts[1] = (struct lab_part){ .seq = &dec, .from = at, .n = len, .cross = &enc, .prompt = 11,
							      .y = (i ? got : want) + (size_t)at * (size_t)wide };
				if (i % 2)
					lab_step_as(&lab, kv, h, parts, 2, &how);
				else
					lab_step_as(&lab, kv, h, parts + 1, 1, &how);
			}
			if (i)
				equal(ways[w].name, "cross", want, got, n);
			lab.b->kv_close(lab.dev, &kv);
			lab_close(&lab);
		}
	lab_seq_free(&enc);
	lab_seq_free(&other);
	lab_seq_free(&dec);
	free(here);
	free(there);
	free(beside);
	free(want);
	free(got);
}
END_TEST

/* Decoded one by one among other sequences, then preempted and recomputed as one prompt elsewhere. */
START_TEST(a_recomputed_sequence_goes_on_with_the_same_bits)
{
	const struct lab_heads *h = &heads[_i];
	enum { SEQS = 5, LENGTH = 280, FROM = 250 };
	int32_t wide = h->heads * h->head_width;
	size_t n = (size_t)(LENGTH - FROM) * (size_t)wide;
	struct lab_rand r = { (uint64_t)_i + 100 };
	struct lab_seq seqs[SEQS];
	float *want = room(n), *got = room((size_t)LENGTH * (size_t)wide);

	for (int i = 0; i < SEQS; i++) {
		int32_t *blocks = lab_blocks(i * 18, 18);

		seqs[i] = lab_seq_make(&r, h, LENGTH, blocks);
		free(blocks);
	}
	for (int w = 1; w < ways_len; w++) {
		struct lab_part parts[SEQS];
		struct sk_kv *kv;
		struct lab lab;

		if (lab_is_emulated(&ways[w]) && _i % 4 != 0)
			continue;
		lab = lab_open(&ways[w], 2);
		kv = pool_open(&lab, h);
		for (int i = 0; i < SEQS; i++) {
			parts[i] = (struct lab_part){ .seq = &seqs[i], .n = FROM - i * 3, .prompt = FROM - i * 3 };
			lab_step(&lab, kv, h, &parts[i], 1);
			parts[i].from = parts[i].n;
			parts[i].n = 1;
		}
		for (int k = 0; k < LENGTH - FROM; k++) {
			parts[0].y = want + (size_t)k * (size_t)wide;
			lab_step(&lab, kv, h, parts, SEQS);
			for (int i = 0; i < SEQS; i++)
				parts[i].from++;
		}
		for (int32_t b = 0; b < 18; b++)        /* to blocks that others left full */
			seqs[0].blocks[b] = 18 * 3 + b;
		parts[0] = (struct lab_part){ .seq = &seqs[0], .n = LENGTH, .y = got, .prompt = FROM };
		lab_step(&lab, kv, h, parts, 1);
		equal(ways[w].name, "recomputed", want, got + (size_t)FROM * (size_t)wide, n);
		for (int32_t b = 0; b < 18; b++)
			seqs[0].blocks[b] = b;
		lab.b->kv_close(lab.dev, &kv);
		lab_close(&lab);
	}
	for (int i = 0; i < SEQS; i++)
		lab_seq_free(&seqs[i]);
	free(want);
	free(got);
}
END_TEST

START_TEST(what_another_sequence_left_in_a_block_has_no_effect)
{
	const struct lab_heads *h = &heads[_i];
	int32_t *blocks = lab_blocks(3, 2), wide = h->heads * h->head_width;
	size_t kv_wide = (size_t)h->kv_heads * (size_t)h->head_width;
	struct lab_rand r = { 4 };
	struct lab_seq clean = lab_seq_make(&r, h, 21, blocks), bad = lab_seq_make(&r, h, 32, blocks);
	float *want = room(21 * (size_t)wide), *got = room(21 * (size_t)wide);

	for (size_t i = 0; i < 32 * kv_wide; i++) {
		bad.k[i] = i % 3 ? INFINITY : NAN;
		bad.v[i] = i % 2 ? -INFINITY : NAN;
	}
	for (int w = 0; w < 2 * ways_len; w++) {
		struct lab lab = lab_open(&ways[w / 2], 2);
		struct sk_kv *kv = pool_open(&lab, h);
		int32_t prompt = w % 2 ? 21 : 0;
		struct lab_part part = { .seq = &clean, .n = 21, .y = want, .prompt = prompt };

		lab_step(&lab, kv, h, &part, 1);
		part = (struct lab_part){ .seq = &bad, .n = 32, .prompt = prompt };
		lab_step(&lab, kv, h, &part, 1);
		part = (struct lab_part){ .seq = &clean, .n = 20, .y = got, .prompt = prompt };
		lab_step(&lab, kv, h, &part, 1);
		part = (struct lab_part){ .seq = &clean, .from = 20, .n = 1, .y = got + 20 * wide, .prompt = prompt };
		lab_step(&lab, kv, h, &part, 1);
		equal(ways[w / 2].name, "in a block with infinities", want, got, 21 * (size_t)wide);
		lab.b->kv_close(lab.dev, &kv);
		lab_close(&lab);
	}
	free(blocks);
	lab_seq_free(&clean);
	lab_seq_free(&bad);
	free(want);
	free(got);
}
END_TEST

START_TEST(a_copied_block_is_the_block)
{
	const struct lab_heads *h = &heads[_i];
	int32_t *blocks = lab_blocks(0, 2), wide = h->heads * h->head_width;
	struct lab_rand r = { 6 };
	struct lab_seq s = lab_seq_make(&r, h, 27, blocks);
	float *want = room((size_t)wide), *got = room((size_t)wide);

	for (int w = 0; w < ways_len; w++) {
		struct lab lab = lab_open(&ways[w], 1);
		struct sk_kv *kv = pool_open(&lab, h);
		struct lab_part part = { .seq = &s, .n = 26 };

		memcpy(s.blocks, blocks, 2 * sizeof *blocks);
		lab_step(&lab, kv, h, &part, 1);
		lab.b->kv_copy(lab.dev, kv, s.blocks[1], 77);   /* the fork: the last partial block is copied */
		part = (struct lab_part){ .seq = &s, .from = 26, .n = 1, .y = want };
		lab_step(&lab, kv, h, &part, 1);
		s.blocks[1] = 77;
		part.y = got;
		lab_step(&lab, kv, h, &part, 1);
		equal(ways[w].name, "after a fork", want, got, (size_t)wide);
		lab.b->kv_close(lab.dev, &kv);
		lab_close(&lab);
	}
	free(blocks);
	lab_seq_free(&s);
	free(want);
	free(got);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("invariance");
	TCase *c = tcase_create("rows");
	SRunner *r;
	int failed;

	ways_len = lab_ways(ways);
	tcase_set_timeout(c, 120);
	tcase_add_loop_test(c, a_row_is_the_same_alone_and_among_others, 0, lab_few(LEN(row_ops)));
	tcase_add_loop_test(c, a_row_of_a_product_is_the_same_alone_and_among_others, 0, lab_few(LEN(linears)));
	tcase_add_loop_test(c, a_query_is_the_same_however_its_prompt_is_cut, 0, lab_few(LEN(heads)));
	tcase_add_loop_test(c, a_biased_query_is_the_same_however_its_prompt_is_cut, 0, lab_few(LEN(biased)));
	tcase_add_loop_test(c, a_query_with_a_window_is_the_same_however_its_prompt_is_cut, 0, lab_few(LEN(bent)));
	tcase_add_loop_test(c, a_query_sees_the_same_of_what_an_encoder_left, 0, lab_few(LEN(biased)));
	tcase_add_loop_test(c, a_recomputed_sequence_goes_on_with_the_same_bits, 0, lab_few(LEN(heads)));
	tcase_add_loop_test(c, what_another_sequence_left_in_a_block_has_no_effect, 0, lab_few(LEN(heads)));
	tcase_add_loop_test(c, a_copied_block_is_the_block, 0, lab_few(LEN(heads)));
	suite_add_tcase(s, c);
	r = srunner_create(s);
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? 1 : 0;
}
