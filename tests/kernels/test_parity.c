/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every backend, at every level of instruction set, against the reference:
 *
 *	|y - ref| <= 4 eps |ref| + 4 eps sum |a b|
 *
 * where the sum runs over the products the definition adds up; copies are equal. Each operation has a table of shapes,
 * with T = 0, 1, 2, 17 and sizes that are no multiple of any tile. Attention is test_attend.c's.
 */
#include "tests/kernels/lab.h"

#include <check.h>
#include <float.h>
#include <math.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/clock.h"
#include "kernels/quant/half.h"

#define LEN(a) ((int)(sizeof(a) / sizeof *(a)))
#define EPS (double)FLT_EPSILON

static struct lab_way ways[LAB_WAYS_MAX];
static int ways_len;
static const int32_t some_T[] = { 0, 1, 2, 17 };

/* ---- linear, embed ---- */

enum { QUANTISE = 1, ADD = 2, GLU = 4, SLICED = 8, BIAS = 16 };
static const struct {
	int32_t N, K;
	unsigned how;
	enum sk_act act;                /* GLU: NONE stands for SILU */
} linears[] = {
	{ 1, 32, 0, 0 }, { 1, 32, QUANTISE, 0 }, { 33, 64, QUANTISE | ADD, 0 }, { 48, 96, 0, 0 }, { 70, 576, QUANTISE, 0 },
	{ 64, 320, QUANTISE | GLU, 0 }, { 34, 160, GLU, 0 }, { 100, 1536, QUANTISE | SLICED | ADD, 0 }, { 37, 288, SLICED, 0 },
	{ 49, 96, BIAS, 0 }, { 17, 64, 0, SK_ACT_SILU }, { 70, 96, QUANTISE | ADD | BIAS, SK_ACT_GELU },
	{ 33, 288, QUANTISE | SLICED | BIAS, SK_ACT_GELU_TANH }, { 9, 64, BIAS, SK_ACT_RELU },
	{ 34, 64, GLU | BIAS | ADD, SK_ACT_GELU }, { 84, 96, QUANTISE | GLU | BIAS, SK_ACT_GELU_TANH }, { 6, 64, GLU, SK_ACT_RELU },
	/* plain elements only */
	{ 7, 1, 0, 0 }, { 33, 37, QUANTISE, 0 }, { 18, 100, ADD, 0 }, { 22, 51, GLU | QUANTISE, 0 },
	{ 35, 51, QUANTISE | BIAS, SK_ACT_SILU },
};

/* The activations as the definition rounds them: what `sum |a b|` is made of. */
static double rounded(const float *x, int32_t k, int32_t K, enum sk_dtype to)
{
	float max = 0.0f, s, q;

	if (to == SK_F32)
		return (double)x[k];
	if (to == SK_BF16)
		return (double)sk_f32_of_bf16(sk_bf16_of_f32(x[k]));
	for (int32_t i = k / 32 * 32; i < K && i < k / 32 * 32 + 32; i++)
		max = fmaxf(max, fabsf(x[i]));
	s = max / 127.0f;
	q = s > 0.0f ? nearbyintf(x[k] / s) : 0.0f;
	return (double)q * (double)s;
}

/* |w[k]|, or |d q| + |m| for a format with an offset: its two products cancel. */
static double weight_size(const unsigned char *row, enum sk_dtype dtype, int32_t k)
{
	float w[32];

	if (dtype == SK_Q4_1) {
		double m = fabs((double)sk_f32_of_f16(sk_u16_get(row + k / 32 * 20 + 2)));

		sk_quant_get(dtype)->dequantise(row + k / 32 * 20, w, 32);
		return fabs((double)w[k % 32]) + 2 * m;
	}
	sk_quant_get(dtype)->dequantise(row + (size_t)k / sk_quant_get(dtype)->block_len * sk_quant_get(dtype)->block_bytes, w,
					sk_quant_get(dtype)->block_len);
	return fabs((double)w[k % (int)sk_quant_get(dtype)->block_len]);
}

struct linear_case {
	enum sk_dtype dtype;
	int32_t N, K, T;
	unsigned how;
	enum sk_act act;
	unsigned char *w;
	float *x, *y0, *bias;
};

static struct sk_op_linear linear_args(const struct linear_case *c, struct sk_view x, struct sk_view y, const struct sk_weight *w)
{
	struct sk_op_linear a = { .x = x, .y = y, .w = w, .quantise = c->how & QUANTISE, .act = c->act };

	a.flags = (c->how & ADD ? SK_LINEAR_ADD : 0u) | (c->how & GLU ? SK_LINEAR_GLU : 0u);
	if (c->how & SLICED)            /* units of 96, so that slices are unequal */
		for (int32_t units = c->K / 96, s = 0; s < (units < 8 ? units : 8); s++) {
			a.slices = units < 8 ? units : 8;
			a.slice_end[s] = (s + 1) * units / a.slices * 96;
		}
	return a;
}

/* False where the backend does not hold such a weight. */
static bool linear_run(const struct lab_way *way, int threads, const struct linear_case *c, float *ret_y)
{
	struct lab lab = lab_open(way, threads);
	int32_t n_out = c->how & GLU ? c->N / 2 : c->N;
	struct sk_weight_src src[2] = { lab_src(c->w, c->dtype, n_out, c->K) };
	struct sk_weight *w = NULL;
	struct sk_view x, y, bias;
	struct sk_op_linear a;
	struct sk_err err = { 0 };

	if (!lab.b->weight_bytes(c->dtype, c->N, c->K)) {
		lab_close(&lab);
		return false;
	}
	src[1] = src[0];
	src[1].data = c->w + (size_t)n_out * src[0].row_bytes;
	ck_assert_msg(lab.b->weight_open(lab.dev, src, c->how & GLU ? 2 : 1, c->how & GLU ? SK_JOIN_GLU : SK_JOIN_STACK, &w,
					 &err) == SK_OK, "%s: %s", way->name, err.text);
	x = lab_put(&lab, c->x, c->T, c->K, c->K + 5);
	y = lab_put(&lab, c->y0, c->T, n_out, n_out + 3);
	bias = lab_put(&lab, c->bias, 1, c->N, c->N);
	a = linear_args(c, x, y, w);
	a.bias = c->how & BIAS ? bias.data : NULL;
	lab.ops->linear(lab.dev, &a);
	lab_get(&lab, &y, ret_y);
	lab_drop(&lab, &x);
	lab_drop(&lab, &bias);
	lab_drop(&lab, &y);
	lab.b->weight_close(lab.dev, &w);
	ck_assert_ptr_null(w);
	lab_close(&lab);
	return true;
}

/* The definition, in double. */
static double act_of(enum sk_act act, double v)
{
	switch (act) {
	case SK_ACT_NONE:      break;
	case SK_ACT_SILU:      return v / (1.0 + exp(-v));
	case SK_ACT_GELU:      return v * erfc(-v / sqrt(2.0)) / 2.0;
	case SK_ACT_GELU_TANH: return v / (1.0 + exp(-2.0 * sqrt(2.0 / acos(-1.0)) * (v + 0.044715 * v * v * v)));
	case SK_ACT_RELU:      return v > 0.0 ? v : 0.0;
	}
	return v;
}

/* How much of eps |y| an activation may be off beside what v was (kernels/cpu/act.h says why). */
static double act_error(enum sk_act act, double v)
{
	switch (act) {
	case SK_ACT_GELU:      return v < 0.0 ? 1.0 + v * v / 2.0 : 1.0;
	case SK_ACT_GELU_TANH: return 1.0 + fabs(2.0 * sqrt(2.0 / acos(-1.0)) * (v + 0.044715 * v * v * v));
	default:               return 1.0;
	}
}

/* sum |a b| behind each output; through an activation, times its steepest slope (1.13), and in a GLU by both halves. */
static double *linear_bound(const struct linear_case *c)
{
	int32_t n_out = c->how & GLU ? c->N / 2 : c->N;
	size_t row_bytes = lab_src(c->w, c->dtype, c->N, c->K).row_bytes;
	enum sk_dtype to = c->how & QUANTISE ? sk_quant_get(c->dtype)->activation : SK_F32;
	double *bound = calloc((size_t)c->T * (size_t)n_out + 1, sizeof *bound), *x = calloc((size_t)c->K, sizeof *x);
	float *w = lab_room((size_t)c->K);

	ck_assert(bound && x);
	for (int32_t t = 0; t < c->T; t++) {
		for (int32_t k = 0; k < c->K; k++)
			x[k] = rounded(c->x + (size_t)t * (size_t)c->K, k, c->K, to);
		for (int32_t n = 0; n < n_out; n++) {
			double size[2] = { 0 }, sum[2] = { 0 };

			for (int half = 0; half < (c->how & GLU ? 2 : 1); half++) {
				const unsigned char *row = c->w + (size_t)(n + half * n_out) * row_bytes;

				sk_quant_get(c->dtype)->dequantise(row, w, (size_t)c->K);
				for (int32_t k = 0; k < c->K; k++) {
					sum[half] += x[k] * (double)w[k];
					size[half] += fabs(x[k]) * weight_size(row, c->dtype, k);
				}
				sum[half] += c->how & BIAS ? (double)c->bias[n + half * n_out] : 0.0;
				size[half] += c->how & BIAS ? fabs((double)c->bias[n + half * n_out]) : 0.0;
			}
			size[0] *= c->act == SK_ACT_NONE ? 1.0 : 1.13;
			bound[(size_t)t * (size_t)n_out + (size_t)n] =
				(c->how & GLU ? size[0] * fabs(sum[1]) + fabs(act_of(c->act, sum[0])) * size[1] : size[0]) +
				(c->how & ADD ? fabs((double)c->y0[(size_t)t * (size_t)n_out + (size_t)n]) : 0.0);
		}
	}
	free(x);
	free(w);
	return bound;
}

START_TEST(linear_is_the_sum_of_products)
{
	for (int d = 0; d < SK_DTYPES; d++)
		for (int i = 0; i < LEN(some_T); i++) {
			struct linear_case c = { .dtype = (enum sk_dtype)d, .N = linears[_i].N, .K = linears[_i].K, .T = some_T[i],
						 .how = linears[_i].how, .act = linears[_i].act };
			struct lab_rand r = { (uint64_t)_i * 1000 + (uint64_t)d * 10 + (uint64_t)i };
			const struct sk_quant *q = sk_quant_get(c.dtype);
			size_t outs = (size_t)c.T * (size_t)(c.how & GLU ? c.N / 2 : c.N);
			float *ref, *y;
			double *bound;

			if (!q || (uint32_t)c.K % q->block_len)
				continue;
			c.w = lab_weight(&r, c.dtype, c.N, c.K);
			c.x = lab_floats(&r, (size_t)c.T * (size_t)c.K, 3.0f);
			if (c.T > 1 && c.K >= 64)
				memset(c.x + c.K, 0, 32 * sizeof *c.x);         /* a block of zeros: scale 0 */
			c.y0 = lab_floats(&r, outs, 1.0f);
			c.bias = lab_floats(&r, (size_t)c.N, 2.0f);
			if (c.how & GLU && c.act == SK_ACT_NONE)
				c.act = SK_ACT_SILU;
			ref = lab_room(outs);
			y = lab_room(outs);
			bound = linear_bound(&c);
			ck_assert(linear_run(&ways[0], 1, &c, ref));
			for (int w = 1; w < ways_len; w++) {
				char what[96];

				snprintf(what, sizeof what, "linear %s N %d K %d T %d how %u act %d", q->name, c.N, c.K, c.T,
					 c.how, (int)c.act);
				if (!ways[w].backend->weight_bytes(c.dtype, c.N, c.K)) {
					ck_assert_msg(!linear_run(&ways[w], 2, &c, y), "%s holds %s after all", ways[w].name, what);
					ck_assert_msg(q->block_len == 1 || lab_is_module(&ways[w]), "%s does not hold %s", ways[w].name, what);
					continue;
				}
				ck_assert_msg(linear_run(&ways[w], 2, &c, y), "%s does not hold %s", ways[w].name, what);
				lab_same(ways[w].name, what, y, ref, bound, outs);
			}
			free(c.w);
			free(c.x);
			free(c.y0);
			free(c.bias);
			free(ref);
			free(y);
			free(bound);
		}
}
END_TEST

START_TEST(embed_copies_rows_of_the_weight)
{
	static const int32_t ids[] = { 0, 36, 5, 5, 35, 1, 2, 3, 4, 10, 11, 12, 13, 31, 32, 33, 34 };
	enum { N = 37, K = 96 };

	for (int d = 0; d < SK_DTYPES; d++) {
		const struct sk_quant *q = sk_quant_get((enum sk_dtype)d);
		struct lab_rand r = { (uint64_t)d };
		struct sk_weight_src src;
		unsigned char *bytes;

		if (!q)
			continue;
		bytes = lab_weight(&r, q->dtype, N, K);
		src = lab_src(bytes, q->dtype, N, K);
		for (int w = 0; w < ways_len; w++) {
			struct lab lab = lab_open(&ways[w], 2);
			struct sk_weight *weight;
			struct sk_view y = lab_put(&lab, NULL, LEN(ids), K, K + 1);
			float got[LEN(ids) * K], want[K];

			if (lab_is_module(&ways[w]) && !lab.b->weight_bytes(q->dtype, N, K)) {
				lab_drop(&lab, &y);
				lab_close(&lab);
				continue;
			}
			ck_assert_int_eq(lab.b->weight_open(lab.dev, &src, 1, SK_JOIN_STACK, &weight, NULL), SK_OK);
			ck_assert_int_eq(weight->N, N);
			ck_assert_int_eq(weight->K, K);
			for (int i = 0; i < LEN(some_T); i++)
				lab.ops->embed(lab.dev, &(struct sk_op_embed){ .ids = ids, .T = some_T[i], .w = weight, .y = y });
			lab_get(&lab, &y, got);
			for (int t = 0; t < LEN(ids); t++) {
				q->dequantise(bytes + (size_t)ids[t] * src.row_bytes, want, K);
				ck_assert_msg(!memcmp(want, got + t * K, sizeof want), "%s %s row %d", ways[w].name, q->name, ids[t]);
			}
			lab.b->weight_close(lab.dev, &weight);
			lab_drop(&lab, &y);
			lab_close(&lab);
		}
		free(bytes);
	}
}
END_TEST

/* Learned positions, of the same type and of another; nothing that is rounded but their sum. */
START_TEST(embed_adds_the_row_of_the_position)
{
	static const int32_t ids[] = { 0, 36, 5, 5, 35, 1, 2, 3, 4, 10, 11, 12, 13, 31, 32, 33, 34 };
	static const int32_t pos[] = { 0, 1, 40, 3, 39, 0, 0, 7, 8, 9, 30, 31, 29, 13, 14, 15, 16 };
	static const enum sk_dtype types[][2] = { { SK_F32, SK_F32 }, { SK_F16, SK_F16 }, { SK_BF16, SK_BF16 }, { SK_F16, SK_F32 },
						  { SK_Q8_0, SK_F16 } };
	enum { N = 37, P = 43, K = 96 };
	const struct sk_quant *q = sk_quant_get(types[_i][0]), *qp = sk_quant_get(types[_i][1]);
	struct lab_rand r = { (uint64_t)_i };
	unsigned char *bytes = lab_weight(&r, q->dtype, N, K), *more = lab_weight(&r, qp->dtype, P, K);
	struct sk_weight_src src = lab_src(bytes, q->dtype, N, K), src_p = lab_src(more, qp->dtype, P, K);

	for (int w = 0; w < ways_len; w++) {
		struct lab lab = lab_open(&ways[w], 2);
		struct sk_weight *weight = NULL, *positions = NULL;
		struct sk_view y = lab_put(&lab, NULL, LEN(ids), K, K + 1);
		float got[LEN(ids) * K], want[K], add[K];

		if (lab.b->weight_bytes(q->dtype, N, K)) {
			ck_assert_int_eq(lab.b->weight_open(lab.dev, &src, 1, SK_JOIN_STACK, &weight, NULL), SK_OK);
			ck_assert_int_eq(lab.b->weight_open(lab.dev, &src_p, 1, SK_JOIN_STACK, &positions, NULL), SK_OK);
			for (int i = 0; i < LEN(some_T); i++)
				lab.ops->embed(lab.dev, &(struct sk_op_embed){ .ids = ids, .T = some_T[i], .w = weight, .y = y,
					       .positions = positions, .pos = pos, .scale = 4.0f });
			lab_get(&lab, &y, got);
		}
		for (int t = 0; weight && t < LEN(ids); t++) {
			q->dequantise(bytes + (size_t)ids[t] * src.row_bytes, want, K);
			qp->dequantise(more + (size_t)pos[t] * src_p.row_bytes, add, K);
			for (int k = 0; k < K; k++)     /* a power of two: the same with and without a fused sum */
				want[k] = 4.0f * want[k] + add[k];
			ck_assert_msg(!memcmp(want, got + t * K, sizeof want), "%s %s row %d", ways[w].name, q->name, ids[t]);
		}
		lab.b->weight_close(lab.dev, &weight);
		lab.b->weight_close(lab.dev, &positions);
		lab_drop(&lab, &y);
		lab_close(&lab);
	}
	free(bytes);
	free(more);
}
END_TEST

/* Rows of 1 to 3 each, from all over the file, as a model whose heads lie apart in it joins them. */
START_TEST(a_weight_of_thousands_of_sources_has_their_rows_in_order)
{
	enum { SOURCES = 4096, ROWS = 600, K = 32 };
	struct lab_rand r = { 8 };
	unsigned char *bytes = lab_weight(&r, SK_F16, ROWS, K);
	struct sk_weight_src *src = malloc(SOURCES * sizeof *src);
	int32_t *want = malloc(3 * SOURCES * sizeof *want), N = 0;
	float row[K], got[K];

	ck_assert(src && want);
	for (int i = 0; i < SOURCES; i++) {
		int32_t n = 1 + (int32_t)(lab_u32(&r) % 3), from = (int32_t)(lab_u32(&r) % (ROWS - 3));

		src[i] = lab_src(bytes, SK_F16, n, K);
		src[i].data = bytes + (size_t)from * src[i].row_bytes;
		for (int32_t j = 0; j < n; j++)
			want[N++] = from + j;
	}
	for (int w = 0; w < ways_len; w++) {
		struct lab lab = lab_open(&ways[w], 2);
		struct sk_weight *weight = NULL;
		struct sk_view y = lab_put(&lab, NULL, 1, K, K);

		ck_assert_int_eq(lab.b->weight_open(lab.dev, src, SOURCES, SK_JOIN_STACK, &weight, NULL), SK_OK);
		ck_assert_int_eq(weight->N, N);
		for (int32_t n = 0; n < N; n += n < 100 || n > N - 100 ? 1 : 37) {
			lab.ops->embed(lab.dev, &(struct sk_op_embed){ .ids = &n, .T = 1, .w = weight, .y = y });
			lab_get(&lab, &y, got);
			sk_quant_get(SK_F16)->dequantise(bytes + (size_t)want[n] * src[0].row_bytes, row, K);
			if (memcmp(row, got, sizeof row))
				ck_abort_msg("%s: row %d is not row %d of the file", ways[w].name, n, want[n]);
		}
		lab.b->weight_close(lab.dev, &weight);
		lab_drop(&lab, &y);
		lab_close(&lab);
	}
	free(bytes);
	free(src);
	free(want);
}
END_TEST

/* ---- rows ---- */

static const int32_t widths[] = { 1, 3, 5, 16, 64, 100, 576, 1000, 4099 };

static const struct {
	const char *name;
	enum sk_norm_kind kind;
	bool w, b;
	float shift;                    /* of all x: a mean far larger than the deviations from it */
} norms[] = {
	{ "rms", SK_NORM_RMS, true, false, 0.0f },
	{ "rms without weights", SK_NORM_RMS, false, false, 1.0f },
	{ "layer", SK_NORM_LAYER, true, true, 0.0f },
	{ "layer, far from zero", SK_NORM_LAYER, true, true, 3000.0f },
	{ "layer without weights and biases", SK_NORM_LAYER, false, false, -7.0f },
	{ "layer without biases", SK_NORM_LAYER, true, false, 0.0f },
	{ "layer without weights", SK_NORM_LAYER, false, true, 0.0f },
};

/* What is added up for each y: x and all that makes the mean, times the scale and the weight, and the bias. */
static double *norm_bound(const float *x, const float *wt, const float *b, int32_t T, int32_t D, enum sk_norm_kind kind)
{
	double *bound = malloc(((size_t)T * (size_t)D + 1) * sizeof *bound);

	ck_assert_ptr_nonnull(bound);
	for (int32_t t = 0; t < T; t++, x += D) {
		double m = 0.0, sizes = 0.0, sum = 0.0;

		for (int32_t i = 0; i < D && kind == SK_NORM_LAYER; i++) {
			m += (double)x[i] / D;
			sizes += fabs((double)x[i]) / D;
		}
		for (int32_t i = 0; i < D; i++)
			sum += ((double)x[i] - m) * ((double)x[i] - m);
		for (int32_t i = 0; i < D; i++)
			bound[(size_t)t * (size_t)D + (size_t)i] = (wt ? fabs((double)wt[i]) : 1.0) *
				(kind == SK_NORM_LAYER ? fabs((double)x[i]) + sizes : 0.0) / sqrt(sum / D + 1e-5) +
				(b ? fabs((double)b[i]) : 0.0);
	}
	return bound;
}

static void norm_case(int norm, int32_t T, int32_t D, bool in_place)
{
	struct lab_rand r = { (uint64_t)D * 100 + (uint64_t)T };
	size_t n = (size_t)T * (size_t)D;
	float *x = lab_floats(&r, n, 5.0f), *wt = lab_floats(&r, (size_t)D, 2.0f), *b = lab_floats(&r, (size_t)D, 2.0f);
	float *ref = lab_room(n), *y = lab_room(n);
	double *bound;

	for (size_t i = 0; i < n; i++)
		x[i] += norms[norm].shift;
	bound = norm_bound(x, norms[norm].w ? wt : NULL, norms[norm].b ? b : NULL, T, D, norms[norm].kind);
	for (int w = 0; w < ways_len; w++) {
		struct lab lab = lab_open(&ways[w], 2);
		struct sk_view vx = lab_put(&lab, x, T, D, D + 1), vw = lab_put(&lab, wt, 1, D, D), vb = lab_put(&lab, b, 1, D, D);
		struct sk_view vy = in_place ? vx : lab_put(&lab, NULL, T, D, D);

		lab.ops->norm(lab.dev, &(struct sk_op_norm){ .x = vx, .y = vy, .w = norms[norm].w ? vw.data : NULL,
			      .b = norms[norm].b ? vb.data : NULL, .eps = 1e-5f, .kind = norms[norm].kind });
		lab_get(&lab, &vy, w ? y : ref);
		if (w)
			lab_same(ways[w].name, norms[norm].name, y, ref, bound, n);
		if (!in_place)
			lab_drop(&lab, &vy);
		lab_drop(&lab, &vx);
		lab_drop(&lab, &vw);
		lab_drop(&lab, &vb);
		lab_close(&lab);
	}
	free(x);
	free(wt);
	free(b);
	free(ref);
	free(y);
	free(bound);
}

START_TEST(norm_divides_by_the_root_mean_square)
{
	for (int norm = 0; norm < LEN(norms); norm++)
		for (int i = 0; i < LEN(some_T); i++)
			norm_case(norm, some_T[i], widths[_i], (norm + i) % 2 == 0);
}
END_TEST

/* Each part of a row as a row of its own, bit for bit; with weights of its own and with those that all have. */
START_TEST(a_norm_of_parts_is_that_of_each)
{
	enum { T = 3, PARTS = 5 };
	bool each = _i % 2, layer = _i / 2 % 2;
	int32_t D = _i < 4 ? 12 : 33;
	struct lab_rand r = { (uint64_t)_i };
	size_t n = (size_t)(T * PARTS * D);
	float *x = lab_floats(&r, n, 5.0f), *wt = lab_floats(&r, (size_t)(PARTS * D), 2.0f), *y = lab_room(n), *one = lab_room(n);

	for (int w = 0; w < ways_len; w++) {
		struct lab lab = lab_open(&ways[w], 2);
		struct sk_view vx = lab_put(&lab, x, T, PARTS * D, PARTS * D + 3), vw = lab_put(&lab, wt, 1, PARTS * D, PARTS * D);
		struct sk_op_norm a = { .x = vx, .y = vx, .w = vw.data, .eps = 1e-5f, .kind = layer ? SK_NORM_LAYER : SK_NORM_RMS,
					.parts = PARTS, .each = each };
		struct sk_view again = lab_put(&lab, x, T, PARTS * D, PARTS * D + 3);

		if (layer)
			a.b = vw.data;
		lab.ops->norm(lab.dev, &a);
		lab_get(&lab, &vx, y);
		for (int p = 0; p < PARTS; p++) {
			struct sk_op_norm b = a;

			b.parts = 0;
			b.x = again;
			b.x.data = (float *)again.data + p * D;
			b.x.dim[1] = D;
			b.y = b.x;
			b.w += each ? p * D : 0;
			b.b = b.b ? b.w : NULL;
			lab.ops->norm(lab.dev, &b);
		}
		lab_get(&lab, &again, one);
		ck_assert_msg(!memcmp(y, one, n * sizeof *y), "%s: parts of %d", ways[w].name, D);
		lab_drop(&lab, &vx);
		lab_drop(&lab, &again);
		lab_drop(&lab, &vw);
		lab_close(&lab);
	}
	free(x);
	free(wt);
	free(y);
	free(one);
}
END_TEST

/* y += scale x, and both bounds, of numbers far inside and far outside. */
START_TEST(add_and_bound_are_what_they_say)
{
	enum { T = 17 };
	int32_t D = widths[_i], rows[T];
	float scales[T];
	struct lab_rand r = { (uint64_t)_i };
	size_t n = (size_t)T * (size_t)D;
	float *x = lab_floats(&r, n, 9.0f), *z = lab_floats(&r, n, 9.0f), *ref[3], *y = lab_room(n);
	double *bound = malloc((n + 1) * sizeof *bound);

	for (int i = 0; i < 3; i++)
		ref[i] = lab_room(n);
	for (int32_t t = 0; t < T; t++) {
		rows[t] = (t * 5 + 3) % T;
		scales[t] = 0.1f * (float)(t - 8);
	}
	for (int w = 0; w < ways_len; w++)
		for (int i = 0; i < 3; i++) {
			struct lab lab = lab_open(&ways[w], 2);
			struct sk_view vx, vz = lab_put(&lab, z, T, D, D);

			x[0] = i ? 1e30f : 1.0f;
			x[n - 1] = i ? -1e30f : 1.0f;
			vx = lab_put(&lab, x, T, D, D + 1);
			for (size_t k = 0; k < n; k++)
				bound[k] = i == 0 ? 9.0 * 3.0 : i == 1 ? 0.0 : 2.5;
			if (i == 0) {           /* row by row, each elsewhere and by a scale of its own; the same in all */
				lab.ops->add(lab.dev, &(struct sk_op_add){ .x = vx, .y = vz, .scale = 0.3f });
				lab.ops->add(lab.dev, &(struct sk_op_add){ .x = vx, .y = vz, .rows = rows, .scales = scales });
			}
			if (i > 0)
				lab.ops->bound(lab.dev, &(struct sk_op_bound){ .x = vx, .limit = 2.5f, .soft = i == 2 });
			lab_get(&lab, i == 0 ? &vz : &vx, w ? y : ref[i]);
			if (w)
				lab_same(ways[w].name, i == 0 ? "add" : i == 1 ? "bound" : "softcap", y, ref[i], bound, n);
			else
				ck_assert_msg(i == 0 || fabsf(fabsf(ref[i][0]) - 2.5f) < 1e-6f, "bound");
			lab_drop(&lab, &vx);
			lab_drop(&lab, &vz);
			lab_close(&lab);
		}
	for (int i = 0; i < 3; i++)
		free(ref[i]);
	free(x);
	free(z);
	free(y);
	free(bound);
}
END_TEST

static const struct {
	int32_t heads, head_width, rotary_width;
	float factor;
} ropes[] = {
	{ 3, 64, 64, 1.0f }, { 2, 80, 32, 1.0f }, { 1, 96, 20, 1.2f }, { 5, 2, 2, 1.0f }, { 1, 6, 6, 0.5f }, { 4, 6, 4, 1.0f },
	{ 1, 128, 128, 1.0f },
};

START_TEST(rope_turns_pairs_by_the_position)
{
	int32_t wide = ropes[_i].heads * ropes[_i].head_width, half = ropes[_i].rotary_width / 2;
	int32_t pos[17], rows[17];
	float inv_freq[3 * 64];

	for (int i = 0; i < 17; i++)
		pos[i] = i < 9 ? i * 37 : 100000 + i * 7919;
	for (int i = 0; i < 17; i++)
		rows[i] = i * 7 % 3;
	for (int i = 0; i < 3 * half; i++)      /* three rows of them, for tokens with frequencies of their own */
		inv_freq[i] = powf(10000.0f * (float)(1 + i / half), -(float)(i % half) / (float)half);
	for (int i = 0; i < 2 * LEN(some_T); i++) {
		int32_t T = some_T[i / 2];
		size_t n = (size_t)T * (size_t)wide;
		struct lab_rand r = { (uint64_t)_i };
		float *x = lab_floats(&r, n, 3.0f), *ref = lab_room(n), *y = lab_room(n);
		double *bound = malloc((n + 1) * sizeof *bound);

		for (size_t k = 0; k < n; k++)
			bound[k] = 2 * 3.0 * (double)ropes[_i].factor;          /* |x0 c| + |x1 s| at most */
		for (int w = 0; w < ways_len; w++) {
			struct lab lab = lab_open(&ways[w], 2);
			struct sk_view v = lab_put(&lab, x, T, wide, wide + 2), freq = lab_put(&lab, inv_freq, 3, half, half);
			struct sk_op_rope a = { .x = v, .pos = pos, .heads = ropes[_i].heads, .head_width = ropes[_i].head_width,
						.rotary_width = ropes[_i].rotary_width, .inv_freq = freq.data,
						.factor = ropes[_i].factor, .freq_rows = i % 2 ? rows : NULL, .freq_stride = half };

			if (i % 2 && T > 1) {   /* what is remembered of other rows of frequencies must not show */
				struct sk_view other = lab_put(&lab, x, T, wide, wide + 2);
				struct sk_op_rope b = a;

				b.x = other;
				b.freq_rows = rows + 17 - T;
				lab.ops->rope(lab.dev, &b);
				lab_drop(&lab, &other);
			}
			lab.ops->rope(lab.dev, &a);
			lab_get(&lab, &v, w ? y : ref);
			if (w)
				lab_same(ways[w].name, "rope", y, ref, bound, n);
			lab_drop(&lab, &v);
			lab_drop(&lab, &freq);
			lab_close(&lab);
		}
		free(x);
		free(ref);
		free(y);
		free(bound);
	}
}
END_TEST

START_TEST(glu_is_an_activation_of_gate_times_up)
{
	int32_t F = widths[_i];

	for (int i = 0; i < 2 * LEN(some_T); i++) {
		enum sk_act act = (enum sk_act)(SK_ACT_SILU + i % 4);
		int32_t T = some_T[i / 2];
		size_t n = (size_t)T * (size_t)F;
		struct lab_rand r = { (uint64_t)_i };
		float *g = lab_floats(&r, n, 12.0f), *u = lab_floats(&r, n, 4.0f), *ref = lab_room(n), *y = lab_room(n);
		double *bound = malloc((n + 1) * sizeof *bound);

		for (size_t k = 0; k + 3 < n; k += 50) {        /* where e^-g is infinite, huge, and nothing */
			g[k] = -1000.0f;
			g[k + 1] = -86.0f;
			g[k + 2] = 1000.0f;
		}
		for (size_t k = 0; k < n; k++)
			bound[k] = fabs(act_of(act, (double)g[k]) * (double)u[k]) * act_error(act, (double)g[k]);
		for (int w = 0; w < ways_len; w++) {
			struct lab lab = lab_open(&ways[w], 2);
			struct sk_view vg = lab_put(&lab, g, T, F, F + 1), vu = lab_put(&lab, u, T, F, F);
			struct sk_view vy = lab_put(&lab, NULL, T, F, F + 4);

			lab.ops->glu(lab.dev, &(struct sk_op_glu){ .gate = vg, .up = vu, .y = vy, .act = act });
			lab_get(&lab, &vy, w ? y : ref);
			if (w)
				lab_same(ways[w].name, "glu", y, ref, bound, n);
			lab_drop(&lab, &vg);
			lab_drop(&lab, &vu);
			lab_drop(&lab, &vy);
			lab_close(&lab);
		}
		free(g);
		free(u);
		free(ref);
		free(y);
		free(bound);
	}
}
END_TEST

/* n floats: what is special, then a fine net where activations bend, then every size there is; 0 behind the ends of it. */
static float *act_inputs(int32_t n)
{
	static const float special[] = { 0.0f, -0.0f, INFINITY, -INFINITY, NAN, FLT_MAX, -FLT_MAX, FLT_MIN, -FLT_MIN, 0x1p-149f,
					 -0x1p-149f, 13.0f, -13.0f, 14.9f, -14.9f, 15.1f, -15.1f, 88.0f, -88.0f, 104.0f, -104.0f };
	float *v = lab_room((size_t)n);
	int32_t at = LEN(special), half = (n - at) / 2;

	memcpy(v, special, sizeof special);
	for (int32_t i = 0; i < half; i++)
		v[at++] = ((float)i / (float)half - 0.5f) * 30.0f;
	for (int32_t i = 0; at < n; i++, at++)
		v[at] = (i % 2 ? 1.0f : -1.0f) * ldexpf(1.0f + (float)(i % 97) / 97.0f, -40 + i * 50 / (half + 1));
	return v;
}

/* Both ways to an activation: of a gate, and behind a product, here of v with one. */
static void act_run(const struct lab_way *way, enum sk_act act, float *v, int32_t n, float *ret_glu, float *ret_linear)
{
	struct lab lab = lab_open(way, 1);
	struct sk_weight_src src = lab_src((unsigned char *)v, SK_F32, n, 1);
	float *ones = lab_room((size_t)n);
	struct sk_view g = lab_put(&lab, v, 1, n, n), one, y = lab_put(&lab, NULL, 1, n, n);
	struct sk_weight *w = NULL;

	for (int32_t i = 0; i < n; i++)
		ones[i] = 1.0f;
	one = lab_put(&lab, ones, 1, n, n);
	lab.ops->glu(lab.dev, &(struct sk_op_glu){ .gate = g, .up = one, .y = y, .act = act });
	lab_get(&lab, &y, ret_glu);
	one.dim[1] = 1;
	ck_assert_int_eq(lab.b->weight_open(lab.dev, &src, 1, SK_JOIN_STACK, &w, NULL), SK_OK);
	lab.ops->linear(lab.dev, &(struct sk_op_linear){ .x = one, .y = y, .w = w, .act = act });
	lab_get(&lab, &y, ret_linear);
	lab.b->weight_close(lab.dev, &w);
	lab_drop(&lab, &g);
	lab_drop(&lab, &one);
	lab_drop(&lab, &y);
	lab_close(&lab);
	free(ones);
}

START_TEST(an_activation_is_off_by_no_more_than_it_says)
{
	enum sk_act act = (enum sk_act)(SK_ACT_SILU + _i);

	for (int w = 0; w < ways_len; w++) {
		int32_t n = lab_is_emulated(&ways[w]) || getenv("SAKER_TEST_FEW") ? 2000 : 200000;
		float *v = act_inputs(n), *y = lab_room(2 * (size_t)n);
		double worst = 0.0;

		act_run(&ways[w], act, v, n, y, y + n);
		for (int32_t i = 0; i < 2 * n; i++) {
			double x = (double)v[i % n], want = act_of(act, x), most = EPS * fabs(want) * act_error(act, x);
			double off = fabs((double)y[i] - want);

			if (isnan(want) && act == SK_ACT_RELU)
				want = off = 0.0;
			/* From 88.7 on e^-v is infinite, and y is 0: at most 3e-37 are lost. */
			if ((isnan(want) && isnan(y[i])) || (double)y[i] == want || off <= 3e-37)
				continue;
			ck_assert_msg(off <= 4 * most, "%s: activation %d of %.9g is %.9g, should be %.9g: off by %.3g of %.3g", ways[w].name,
				      (int)act, x, (double)y[i], want, off, 4 * most);
			worst = fmax(worst, off / most);
		}
		printf("%s: activation %d is off by %.2f at most, 4 are allowed\n", ways[w].name, (int)act, worst);
		free(v);
		free(y);
	}
}
END_TEST

/* Of gates and ups far inside and far outside. */
START_TEST(a_limited_glu_is_what_it_says)
{
	enum { T = 3, F = 100 };
	struct lab_rand r = { 8 };
	float *g = lab_floats(&r, T * F, 12.0f), *u = lab_floats(&r, T * F, 12.0f), ref[T * F], y[T * F];
	double bound[T * F];

	for (int i = 0; i < T * F; i++)
		bound[i] = 2.0 * fmin(fabs((double)g[i]), 20.0) * 8.0;
	for (int w = 0; w < ways_len; w++) {
		struct lab lab = lab_open(&ways[w], 2);
		struct sk_view vg = lab_put(&lab, g, T, F, F + 1), vu = lab_put(&lab, u, T, F, F), vy = lab_put(&lab, NULL, T, F, F);

		lab.ops->glu(lab.dev, &(struct sk_op_glu){ .gate = vg, .up = vu, .y = vy, .act = SK_ACT_SILU, .limit = 7.0f });
		lab_get(&lab, &vy, w ? y : ref);
		if (w)
			lab_same(ways[w].name, "limited glu", y, ref, bound, T * F);
		lab_drop(&lab, &vg);
		lab_drop(&lab, &vu);
		lab_drop(&lab, &vy);
		lab_close(&lab);
	}
	free(g);
	free(u);
}
END_TEST

START_TEST(rows_are_copied_whole)
{
	static const int32_t picks[] = { 16, 0, 3, 3, 9 };
	enum { D = 37 };
	struct lab_rand r = { 1 };
	float *x = lab_floats(&r, 17 * D, 1.0f), y[LEN(picks) * D];

	for (int w = 0; w < ways_len; w++) {
		struct lab lab = lab_open(&ways[w], 2);
		struct sk_view vx = lab_put(&lab, x, 17, D, D + 2), vy = lab_put(&lab, NULL, LEN(picks), D, D);

		lab.ops->rows(lab.dev, &(struct sk_op_rows){ .x = vx, .y = vy, .rows = picks, .rows_len = 0 });
		lab.ops->rows(lab.dev, &(struct sk_op_rows){ .x = vx, .y = vy, .rows = picks, .rows_len = LEN(picks) });
		lab_get(&lab, &vy, y);
		for (int i = 0; i < LEN(picks); i++)
			ck_assert_msg(!memcmp(y + i * D, x + picks[i] * D, D * sizeof *x), "%s row %d", ways[w].name, i);
		lab_drop(&lab, &vx);
		lab_drop(&lab, &vy);
		lab_close(&lab);
	}
	free(x);
}
END_TEST

/* ---- row_stats ---- */

enum { PLAIN, TIES, TIES_FAR, SPIKE, MASKED, ALL_MASKED, INFINITE, WITH_NAN, LOGITS };
static const struct {
	int32_t V;
	int what;
} stats[] = {
	{ 1, PLAIN }, { 15, PLAIN }, { 17, TIES }, { 2047, TIES }, { 2048, PLAIN }, { 2049, TIES_FAR }, { 5000, TIES_FAR },
	{ 5000, SPIKE }, { 5000, MASKED }, { 300, ALL_MASKED }, { 3000, INFINITE }, { 3000, WITH_NAN }, { 49152, PLAIN },
	{ 49152, TIES_FAR }, { 49155, MASKED },
};

static void spoil(float *x, int32_t V, int what)
{
	switch (what) {
	case TIES:
		x[V / 2] = x[V / 2 + 1] = x[V - 1] = 50.0f;
		break;
	case TIES_FAR:
		x[1] = x[V - 1] = 50.0f;
		break;
	case SPIKE:
		x[V - 2] = 3000.0f;
		break;
	case MASKED:
		for (int32_t i = 0; i < V; i++)
			x[i] = i % 1000 == 999 ? x[i] : -INFINITY;
		break;
	case ALL_MASKED:
		for (int32_t i = 0; i < V; i++)
			x[i] = -INFINITY;
		break;
	case INFINITE:
		x[V / 3] = INFINITY;
		break;
	case WITH_NAN:
		x[0] = x[V / 3] = NAN;
		break;
	}
}

START_TEST(row_stats_are_the_first_maximum_and_logsumexp)
{
	int32_t V = stats[_i].V;

	for (int i = 0; i < LEN(some_T); i++) {
		int32_t T = V > 10000 && some_T[i] > 2 ? 2 : some_T[i], best[2][17];
		struct lab_rand r = { (uint64_t)_i };
		float *x = lab_floats(&r, (size_t)T * (size_t)V, 20.0f), max[2][17], lse[2][17];

		for (int32_t t = 0; t < T; t++)
			spoil(x + (size_t)t * (size_t)V, V, stats[_i].what);
		for (int w = 0; w < ways_len; w++) {
			struct lab lab = lab_open(&ways[w], 2);
			struct sk_view v = lab_put(&lab, x, T, V, V + 1);
			int at = w > 0;

			lab.ops->row_stats(lab.dev, &(struct sk_op_row_stats){ .x = v });
			lab.ops->row_stats(lab.dev, &(struct sk_op_row_stats){ .x = v, .logsumexp = lse[at] });
			lab.ops->row_stats(lab.dev, &(struct sk_op_row_stats){ .x = v, .argmax = best[at], .max = max[at] });
			ck_assert_int_eq(lab.b->sync(lab.dev, NULL), SK_OK);
			for (int32_t t = 0; w && t < T; t++) {
				ck_assert_msg(best[1][t] == best[0][t], "%s V %d: argmax %d, not %d", ways[w].name, V, best[1][t], best[0][t]);
				ck_assert_float_eq(max[1][t], max[0][t]);
			}
			if (w)
				lab_same(ways[w].name, "logsumexp", lse[1], lse[0], NULL, (size_t)T);
			lab_drop(&lab, &v);
			lab_close(&lab);
		}
		free(x);
	}
}
END_TEST

/* ---- the host's threads ---- */

struct host_job { _Atomic int times[40]; _Atomic uint64_t workers; int threads; };

/* The first item waits for another thread, where there are several: who does all by himself waits in vain. */
static void host_item(void *arg, int32_t i, int worker)
{
	struct host_job *j = arg;
	int64_t until = sk_now_us() + 10000000;

	ck_assert_int_lt(worker, j->threads);
	j->times[i]++;
	j->workers |= UINT64_C(1) << worker;
	while (j->threads > 1 && !(j->workers & (j->workers - 1)) && sk_now_us() < until)
		sched_yield();
}

START_TEST(the_hosts_threads_share_its_work)
{
	static const int32_t counts[] = { 0, 2, 40 };

	for (int w = 0; w < ways_len; w++)
		for (int threads = 1; threads <= 3; threads++)
			for (int c = 0; c < LEN(counts); c++) {
				struct lab lab = lab_open(&ways[w], threads);
				struct host_job j = { .threads = w == 0 ? 1 : threads };         /* ref has one, always */

				lab.b->host_run(lab.dev, counts[c], host_item, &j);
				for (int32_t i = 0; i < 40; i++)
					ck_assert_int_eq(j.times[i], i < counts[c]);
				ck_assert_msg(counts[c] < 2 || j.threads < 2 || (j.workers & (j.workers - 1)), "%s: one of %d threads did it",
					      ways[w].name, threads);
				lab_close(&lab);
			}
}
END_TEST

START_TEST(every_other_way_is_there_where_the_machine_has_it)
{
	ck_assert_int_ge(ways_len, 1);
	for (int w = 0; w < ways_len; w++)
		printf("way: %s\n", ways[w].name);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("parity");
	TCase *c = tcase_create("operations");
	SRunner *r;
	int failed;

	ways_len = lab_ways(ways);
	tcase_set_timeout(c, 120);
	tcase_add_test(c, every_other_way_is_there_where_the_machine_has_it);
	tcase_add_loop_test(c, linear_is_the_sum_of_products, 0, lab_few(LEN(linears)));
	tcase_add_test(c, embed_copies_rows_of_the_weight);
	tcase_add_loop_test(c, embed_adds_the_row_of_the_position, 0, 5);
	tcase_add_test(c, a_weight_of_thousands_of_sources_has_their_rows_in_order);
	tcase_add_loop_test(c, norm_divides_by_the_root_mean_square, 0, lab_few(LEN(widths)));
	tcase_add_loop_test(c, a_norm_of_parts_is_that_of_each, 0, 8);
	tcase_add_loop_test(c, add_and_bound_are_what_they_say, 0, lab_few(LEN(widths)));
	tcase_add_loop_test(c, rope_turns_pairs_by_the_position, 0, lab_few(LEN(ropes)));
	tcase_add_loop_test(c, glu_is_an_activation_of_gate_times_up, 0, lab_few(LEN(widths)));
	tcase_add_loop_test(c, an_activation_is_off_by_no_more_than_it_says, 0, 4);
	tcase_add_test(c, a_limited_glu_is_what_it_says);
	tcase_add_test(c, rows_are_copied_whole);
	tcase_add_test(c, the_hosts_threads_share_its_work);
	tcase_add_loop_test(c, row_stats_are_the_first_maximum_and_logsumexp, 0, lab_few(LEN(stats)));
	suite_add_tcase(s, c);
	r = srunner_create(s);
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? 1 : 0;
}
