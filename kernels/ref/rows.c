/* SPDX-License-Identifier: Apache-2.0 */
/* The reference: what works on one row at a time. */
#include "kernels/ref/ref.h"

#include <math.h>
#include <string.h>

/* RMS: m = 0, no b. LAYER: m = mean_i x[i]. y[i] = (x[i] - m) / sqrt(mean_i (x[i] - m)^2 + eps) * w[i] + b[i] */
static void norm_one(const struct sk_op_norm *a, const float *x, float *y, const float *w, const float *b, int32_t D)
{
	double mean = 0.0, sum = 0.0, scale;

	for (int32_t i = 0; i < D && a->kind == SK_NORM_LAYER; i++)
		mean += (double)x[i] / D;
	for (int32_t i = 0; i < D; i++)
		sum += ((double)x[i] - mean) * ((double)x[i] - mean);
	scale = 1.0 / sqrt(sum / D + (double)a->eps);
	for (int32_t i = 0; i < D; i++)
		y[i] = (float)(((double)x[i] - mean) * scale * (w ? (double)w[i] : 1.0) + (b ? (double)b[i] : 0.0));
}

void ref_norm(struct sk_dev *dev, const struct sk_op_norm *a)
{
	int32_t parts = a->parts > 1 ? a->parts : 1, D = a->x.dim[1] / parts;

	(void)dev;
	for (int32_t t = 0; t < a->x.dim[0]; t++)
		for (int32_t p = 0; p < parts; p++) {
			int64_t at = (int64_t)p * D, own = a->each ? at : 0;

			norm_one(a, ref_row(&a->x, t) + at, ref_row(&a->y, t) + at, a->w ? a->w + own : NULL, a->b ? a->b + own : NULL, D);
		}
}

/*
 * The angle is rounded to float32 (part of the definition: float32 models do so), its cos and sin times `factor` too:
 * a = pos * inv_freq[i]; (x[i], x[i + half]) = (x0, x1) -> (x0 cos a - x1 sin a, x1 cos a + x0 sin a)
 */
void ref_rope(struct sk_dev *dev, const struct sk_op_rope *a)
{
	int32_t half = a->rotary_width / 2;

	(void)dev;
	for (int32_t t = 0; t < a->x.dim[0]; t++)
		for (int32_t h = 0; h < a->heads; h++) {
			const float *inv_freq = a->inv_freq + (a->freq_rows ? (int64_t)a->freq_rows[t] * a->freq_stride : 0);
			float *x = ref_row(&a->x, t) + (int64_t)h * a->head_width;

			for (int32_t i = 0; i < half; i++) {
				float angle = (float)a->pos[t] * inv_freq[i];
				double c = (float)cos((double)angle) * a->factor, s = (float)sin((double)angle) * a->factor;
				double x0 = x[i], x1 = x[i + half];

				x[i] = (float)(x0 * c - x1 * s);
				x[i + half] = (float)(x1 * c + x0 * s);
			}
		}
}

/* erf(x) + 1 as erfc(-x), (1 + tanh u) / 2 as 1 / (1 + e^(-2u)): nothing cancels on the left side. */
double ref_act(enum sk_act act, double v)
{
	double u = sqrt(2.0 / acos(-1.0)) * (v + 0.044715 * v * v * v);

	switch (act) {
	case SK_ACT_NONE:      return v;
	case SK_ACT_SILU:      return v / (1.0 + exp(-v));
	case SK_ACT_GELU:      return v / 2.0 * erfc(-v / sqrt(2.0));
	case SK_ACT_GELU_TANH: return v / (1.0 + exp(-2.0 * u));
	case SK_ACT_RELU:      return v > 0.0 ? v : 0.0;
	}
	return v;
}

static double limited_glu(double g, double u, double limit)
{
	g = g > limit ? limit : g;
	u = u > limit ? limit : u < -limit ? -limit : u;
	return g / (1.0 + exp(-1.702 * g)) * (u + 1.0);
}

/* y = act(gate) * up */
void ref_glu(struct sk_dev *dev, const struct sk_op_glu *a)
{
	(void)dev;
	for (int32_t t = 0; t < a->y.dim[0]; t++) {
		const float *g = ref_row(&a->gate, t), *u = ref_row(&a->up, t);
		float *y = ref_row(&a->y, t);

		for (int32_t i = 0; i < a->y.dim[1]; i++)
			y[i] = (float)(a->limit > 0.0f ? limited_glu((double)g[i], (double)u[i], (double)a->limit)
						       : ref_act(a->act, (double)g[i]) * (double)u[i]);
	}
}

/* y[t] += scale * x[t], or y[rows[t]] += scales[t] * x[t] */
void ref_add(struct sk_dev *dev, const struct sk_op_add *a)
{
	(void)dev;
	for (int32_t t = 0; t < a->x.dim[0]; t++) {
		float *y = ref_row(&a->y, a->rows ? a->rows[t] : t);
		double scale = a->rows ? (double)a->scales[t] : (double)a->scale;

		for (int32_t i = 0; i < a->x.dim[1]; i++)
			y[i] = (float)((double)y[i] + scale * (double)ref_row(&a->x, t)[i]);
	}
}

/* x = min(max(x, -limit), limit), or limit * tanh(x / limit); a NaN stays one. */
void ref_bound(struct sk_dev *dev, const struct sk_op_bound *a)
{
	double limit = (double)a->limit;

	(void)dev;
	for (int32_t t = 0; t < a->x.dim[0]; t++) {
		float *x = ref_row(&a->x, t);

		for (int32_t i = 0; i < a->x.dim[1]; i++)
			x[i] = a->soft ? (float)(limit * tanh((double)x[i] / limit)) : x[i] > a->limit ? a->limit : x[i] < -a->limit ? -a->limit : x[i];
	}
}

/* y[i] = x[rows[i]] */
void ref_rows(struct sk_dev *dev, const struct sk_op_rows *a)
{
	(void)dev;
	for (int32_t i = 0; i < a->rows_len; i++)
		memmove(ref_row(&a->y, i), ref_row(&a->x, a->rows[i]), (size_t)a->y.dim[1] * sizeof(float));
}

/*
 * max = the largest, argmax = the first that equals it, logsumexp = max + log(sum exp(x - max)).
 * A NaN is never the maximum, but makes logsumexp NaN. An infinite maximum is the logsumexp too; where nothing is above
 * -inf, argmax is 0.
 */
void ref_row_stats(struct sk_dev *dev, const struct sk_op_row_stats *a)
{
	(void)dev;
	for (int32_t t = 0; t < a->x.dim[0]; t++) {
		const float *x = ref_row(&a->x, t);
		float max = -INFINITY;
		int32_t best = 0;
		double sum = 0.0;

		for (int32_t i = 0; i < a->x.dim[1]; i++)
			if (x[i] > max) {
				max = x[i];
				best = i;
			}
		for (int32_t i = 0; i < a->x.dim[1]; i++)
			sum += exp((double)x[i] - (double)max);
		if (a->argmax)
			a->argmax[t] = best;
		if (a->max)
			a->max[t] = max;
		if (a->logsumexp)
			a->logsumexp[t] = isinf(max) ? max : (float)((double)max + log(sum));
	}
}
