/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Loops over rows: norm, rope, glu, add, bound, row_stats; included once by each rows_LEVEL.c after its vec_LEVEL.h.
 * Every row is calculated by one thread (row_stats: every segment) in an order that depends on its width alone.
 */
#ifndef SK_CPU_ROWS_LOOPS_H
#define SK_CPU_ROWS_LOOPS_H

#include <math.h>

#include "kernels/cpu/attend.h"
#include "kernels/cpu/rows.h"

/* ---- norm ---- */

/* sum x^2 in four vectors, then a tree. */
static float square_sum(const float *x, int32_t n)
{
	vf a = v_set1(0.0f), b = a, c = a, d = a;
	int32_t i = 0;

	for (; i + 4 * VW <= n; i += 4 * VW) {
		vf x0 = v_load(x + i), x1 = v_load(x + i + VW), x2 = v_load(x + i + 2 * VW), x3 = v_load(x + i + 3 * VW);

		a = v_fma(x0, x0, a);
		b = v_fma(x1, x1, b);
		c = v_fma(x2, x2, c);
		d = v_fma(x3, x3, d);
	}
	for (; i < n; i += VW) {
		vf x0 = v_load_n(x + i, n - i < VW ? n - i : VW, 0.0f);

		a = v_fma(x0, x0, a);
	}
	return v_sum(v_add(v_add(a, b), v_add(c, d)));
}

/* sum x, in the same order. */
static float plain_sum(const float *x, int32_t n)
{
	vf a = v_set1(0.0f), b = a, c = a, d = a;
	int32_t i = 0;

	for (; i + 4 * VW <= n; i += 4 * VW) {
		a = v_add(a, v_load(x + i));
		b = v_add(b, v_load(x + i + VW));
		c = v_add(c, v_load(x + i + 2 * VW));
		d = v_add(d, v_load(x + i + 3 * VW));
	}
	for (; i < n; i += VW)
		a = v_add(a, v_load_n(x + i, n - i < VW ? n - i : VW, 0.0f));
	return v_sum(v_add(v_add(a, b), v_add(c, d)));
}

/* sum (x - m) and sum (x - m)^2, in two vectors each, then a tree. */
static float deviations(const float *x, int32_t n, float mean, float *ret_squares)
{
	vf a = v_set1(0.0f), b = a, aa = a, bb = a, m = v_set1(mean);
	int32_t i = 0;

	for (; i + 2 * VW <= n; i += 2 * VW) {
		vf x0 = v_sub(v_load(x + i), m), x1 = v_sub(v_load(x + i + VW), m);

		a = v_add(a, x0);
		b = v_add(b, x1);
		aa = v_fma(x0, x0, aa);
		bb = v_fma(x1, x1, bb);
	}
	for (; i < n; i += VW) {
		vf x0 = v_sub(v_load_n(x + i, n - i < VW ? n - i : VW, mean), m);

		a = v_add(a, x0);
		aa = v_fma(x0, x0, aa);
	}
	*ret_squares = v_sum(v_add(aa, bb));
	return v_sum(v_add(a, b));
}

/* What a row is normalised by: y = ((x - m) - off) scale w + b. */
struct norm_row { float m, off, scale; };

/*
 * A float32 mean is off by a few eps of itself, which is much where it is far larger than the deviations: what is left over
 * of it is seen in their sum (`off`), and taken away from x and from the variance.
 */
static struct norm_row norm_measure(const struct sk_op_norm *a, const float *x, int32_t D)
{
	struct norm_row r = { 0 };
	double variance;

	if (a->kind == SK_NORM_LAYER) {
		float squares;

		r.m = plain_sum(x, D) / (float)D;
		r.off = deviations(x, D, r.m, &squares) / (float)D;
		variance = (double)squares / D - (double)r.off * (double)r.off;
		variance = variance < 0.0 ? 0.0 : variance;
	} else {
		variance = (double)square_sum(x, D) / D;
	}
	r.scale = (float)(1.0 / sqrt(variance + (double)a->eps));
	return r;
}

static inline vf norm_some(vf x, const struct norm_row *r, vf w, vf b, const bool centred)
{
	if (centred)
		x = v_sub(v_sub(x, v_set1(r->m)), v_set1(r->off));
	return v_fma(v_mul(x, v_set1(r->scale)), w, b);
}

static inline void norm_apply(const struct norm_row *r, const float *x, float *y, const float *w, const float *b, int32_t D,
			      const bool centred)
{
	vf one = v_set1(1.0f), zero = v_set1(0.0f);
	int32_t i = 0;

	for (; i + VW <= D; i += VW)
		v_store(y + i, norm_some(v_load(x + i), r, w ? v_load(w + i) : one, b ? v_load(b + i) : zero, centred));
	if (i < D) {
		int n = D - i;
		vf wn = w ? v_load_n(w + i, n, 0.0f) : one, bn = b ? v_load_n(b + i, n, 0.0f) : zero;

		v_store_n(y + i, norm_some(v_load_n(x + i, n, 0.0f), r, wn, bn, centred), n);
	}
}

static void norm_rows(void *arg, int32_t from, int32_t to, int worker)
{
	const struct sk_op_norm *a = arg;
	int32_t parts = a->parts > 1 ? a->parts : 1, D = a->x.dim[1] / parts;

	(void)worker;
	for (int32_t i = from * parts; i < to * parts; i++) {
		int32_t t = i / parts;
		int64_t at = (int64_t)(i % parts) * D, own = a->each ? at : 0;
		const float *x = (const float *)a->x.data + t * a->x.stride + at;
		float *y = (float *)a->y.data + t * a->y.stride + at;
		const float *w = a->w ? a->w + own : NULL, *b = a->b ? a->b + own : NULL;
		struct norm_row r = norm_measure(a, x, D);

		if (a->kind == SK_NORM_LAYER)
			norm_apply(&r, x, y, w, b, D, true);
		else
			norm_apply(&r, x, y, w, b, D, false);
	}
}

void SK_LEVEL(sk_cpu_norm)(struct sk_dev *dev, const struct sk_op_norm *a)
{
	sk_cpu_rows_run(dev, a->x.dim[0], a->x.dim[1], norm_rows, (void *)a);
}

/* ---- rope ---- */

struct rope {
	const struct sk_op_rope *a;
	const float *table;
};

/* Plain loops: the compiler makes vectors of them, and there is no sum whose order could differ. */
static void rope_halves(float *restrict x, const float *restrict C, const float *restrict S, int32_t half)
{
	for (int32_t i = 0; i < half; i++) {
		float x0 = x[i], x1 = x[i + half];

		x[i] = x0 * C[i] + x1 * S[i];
		x[i + half] = x1 * C[i + half] + x0 * S[i + half];
	}
}

static void rope_rows(void *arg, int32_t from, int32_t to, int worker)
{
	const struct rope *r = arg;
	const struct sk_op_rope *a = r->a;
	int32_t w = a->rotary_width;

	(void)worker;
	for (int32_t t = from; t < to; t++) {
		const float *C = r->table + (size_t)t * 2 * (size_t)w;

		for (int32_t h = 0; h < a->heads; h++)
			rope_halves((float *)a->x.data + t * a->x.stride + (int64_t)h * a->head_width, C, C + w, w / 2);
	}
}

void SK_LEVEL(sk_cpu_rope)(struct sk_dev *dev, const struct sk_op_rope *a)
{
	struct rope r = { .a = a };

	if (a->x.dim[0] == 0)
		return;
	r.table = sk_cpu_rope_table(dev, a);
	if (r.table)
		sk_cpu_rows_run(dev, a->x.dim[0], a->heads * a->head_width, rope_rows, &r);
}

/* ---- glu ---- */

static inline vf glu_some(const struct sk_op_glu *a, vf g, vf u)
{
	return a->limit > 0.0f ? v_limited_glu(g, u, a->limit) : v_mul(v_act(a->act, g), u);
}

static void glu_rows(void *arg, int32_t from, int32_t to, int worker)
{
	const struct sk_op_glu *a = arg;
	int32_t F = a->y.dim[1];

	(void)worker;
	for (int32_t t = from; t < to; t++) {
		const float *g = (const float *)a->gate.data + t * a->gate.stride;
		const float *u = (const float *)a->up.data + t * a->up.stride;
		float *y = (float *)a->y.data + t * a->y.stride;
		int32_t i = 0;

		for (; i + VW <= F; i += VW)
			v_store(y + i, glu_some(a, v_load(g + i), v_load(u + i)));
		if (i < F)
			v_store_n(y + i, glu_some(a, v_load_n(g + i, F - i, 0.0f), v_load_n(u + i, F - i, 0.0f)), F - i);
	}
}

void SK_LEVEL(sk_cpu_glu)(struct sk_dev *dev, const struct sk_op_glu *a)
{
	sk_cpu_rows_run(dev, a->y.dim[0], a->y.dim[1], glu_rows, (void *)a);
}

/* ---- add, bound ---- */

static void add_rows(void *arg, int32_t from, int32_t to, int worker)
{
	const struct sk_op_add *a = arg;
	int32_t D = a->x.dim[1];

	(void)worker;
	for (int32_t t = from; t < to; t++) {
		const float *x = (const float *)a->x.data + t * a->x.stride;
		float *y = (float *)a->y.data + (a->rows ? a->rows[t] : t) * a->y.stride;
		vf scale = v_set1(a->rows ? a->scales[t] : a->scale);
		int32_t i = 0;

		for (; i + VW <= D; i += VW)
			v_store(y + i, v_fma(scale, v_load(x + i), v_load(y + i)));
		if (i < D)
			v_store_n(y + i, v_fma(scale, v_load_n(x + i, D - i, 0.0f), v_load_n(y + i, D - i, 0.0f)), D - i);
	}
}

void SK_LEVEL(sk_cpu_add)(struct sk_dev *dev, const struct sk_op_add *a)
{
	sk_cpu_rows_run(dev, a->x.dim[0], a->x.dim[1], add_rows, (void *)a);
}

static inline vf bound_some(vf x, const struct sk_op_bound *a)
{
	return a->soft ? v_softcap(x, a->limit) : v_min(v_set1(a->limit), v_max(v_set1(-a->limit), x));
}

static void bound_rows(void *arg, int32_t from, int32_t to, int worker)
{
	const struct sk_op_bound *a = arg;
	int32_t D = a->x.dim[1];

	(void)worker;
	for (int32_t t = from; t < to; t++) {
		float *x = (float *)a->x.data + t * a->x.stride;
		int32_t i = 0;

		for (; i + VW <= D; i += VW)
			v_store(x + i, bound_some(v_load(x + i), a));
		if (i < D)
			v_store_n(x + i, bound_some(v_load_n(x + i, D - i, 0.0f), a), D - i);
	}
}

void SK_LEVEL(sk_cpu_bound)(struct sk_dev *dev, const struct sk_op_bound *a)
{
	sk_cpu_rows_run(dev, a->x.dim[0], a->x.dim[1], bound_rows, (void *)a);
}

/* ---- row_stats ---- */

static float largest(const float *x, int32_t n)
{
	const float none = -__builtin_inff();
	vf a = v_set1(none), b = a, c = a, d = a;
	int32_t i = 0;

	for (; i + 4 * VW <= n; i += 4 * VW) {
		a = v_max(v_load(x + i), a);
		b = v_max(v_load(x + i + VW), b);
		c = v_max(v_load(x + i + 2 * VW), c);
		d = v_max(v_load(x + i + 3 * VW), d);
	}
	for (; i < n; i += VW)
		a = v_max(v_load_n(x + i, n - i < VW ? n - i : VW, none), a);
	return v_largest(v_max(v_max(a, b), v_max(c, d)));
}

/* Float32 in four vectors: at most 32 terms (AVX-512) to 128 (portable) each, then a tree. */
static float exp_sum(const float *x, int32_t n, float max)
{
	vf a = v_set1(0.0f), b = a, c = a, d = a, m = v_set1(max);
	int32_t i = 0;

	for (; i + 4 * VW <= n; i += 4 * VW) {
		a = v_add(a, v_exp(v_sub(v_load(x + i), m)));
		b = v_add(b, v_exp(v_sub(v_load(x + i + VW), m)));
		c = v_add(c, v_exp(v_sub(v_load(x + i + 2 * VW), m)));
		d = v_add(d, v_exp(v_sub(v_load(x + i + 3 * VW), m)));
	}
	for (; i < n; i += VW)
		a = v_add(a, v_exp(v_sub(v_load_n(x + i, n - i < VW ? n - i : VW, -__builtin_inff()), m)));
	return v_sum(v_add(v_add(a, b), v_add(c, d)));
}

static void stats_segment(const float *x, int32_t n, bool sum, struct sk_cpu_segment *ret)
{
	ret->max = largest(x, n);
	ret->sum = 0.0;
	/* Nothing above -inf: the sum is zero, or a NaN where one is among them. */
	if (sum)
		ret->sum = (double)exp_sum(x, n, ret->max == -__builtin_inff() ? 0.0f : ret->max);
}

static int32_t stats_find(const float *x, int32_t n, float value)
{
	vf v = v_set1(value);
	int32_t i = 0;

	for (; i + VW <= n; i += VW) {
		unsigned hit = v_equal_bits(v_load(x + i), v);

		if (hit)
			return i + __builtin_ctz(hit);
	}
	while (i < n - 1 && x[i] != value)
		i++;
	return i;
}

static const struct sk_cpu_stats_loops stats_loops = { .segment = stats_segment, .find = stats_find };

void SK_LEVEL(sk_cpu_row_stats)(struct sk_dev *dev, const struct sk_op_row_stats *a)
{
	sk_cpu_row_stats_run(dev, a, &stats_loops);
}

#endif
