/* SPDX-License-Identifier: Apache-2.0 */
/* The reference: products with weights, and rows of weights. */
#include "kernels/ref/ref.h"

#include <math.h>

#include "kernels/quant/half.h"

static const unsigned char *weight_row(const struct sk_weight *w, int64_t n)
{
	const struct ref_weight *rw = (const struct ref_weight *)w;

	return rw->data + (size_t)n * rw->row_bytes;
}

/* y[t] = scale * dequantise(w row ids[t]) + dequantise(positions row pos[t]) */
void ref_embed(struct sk_dev *dev, const struct sk_op_embed *a)
{
	for (int32_t t = 0; t < a->T; t++) {
		float *y = ref_row(&a->y, t);

		sk_quant_get(a->w->dtype)->dequantise(weight_row(a->w, a->ids[t]), y, (size_t)a->w->K);
		for (int32_t k = 0; k < a->w->K && a->scale != 0.0f; k++)
			y[k] *= a->scale;
		if (!a->positions)
			continue;
		sk_quant_get(a->positions->dtype)->dequantise(weight_row(a->positions, a->pos[t]), dev->w,
							      (size_t)a->positions->K);
		for (int32_t k = 0; k < a->w->K; k++)
			y[k] += dev->w[k];
	}
}

/*
 * int8 per block of 32: s = max|x| / 127 in float32, q = round-half-even(x / s) in float32, kept within +-127 (a
 * subnormal s is coarse), value q * s. A last block may be shorter.
 */
static void round_i8(const float *x, double *out, int32_t K)
{
	for (int32_t k = 0; k < K; k += 32) {
		int32_t end = k + 32 < K ? k + 32 : K;
		float max = 0.0f, s;

		for (int32_t i = k; i < end; i++)
			max = fmaxf(max, fabsf(x[i]));
		s = max / 127.0f;
		for (int32_t i = k; i < end; i++) {
			float q = s > 0.0f ? nearbyintf(x[i] / s) : 0.0f;

			q = q > 127.0f ? 127.0f : q < -127.0f ? -127.0f : q;
			out[i] = (double)q * (double)s;
		}
	}
}

static void round_row(const float *x, double *out, int32_t K, enum sk_dtype to)
{
	if (to == SK_I8) {
		round_i8(x, out, K);
		return;
	}
	for (int32_t k = 0; k < K; k++)
		out[k] = to == SK_BF16 ? (double)sk_f32_of_bf16(sk_bf16_of_f32(x[k])) : (double)x[k];
}

/* ((0+1)+(2+3))+((4+5)+(6+7)), missing ones left out. */
static double tree(const double *part, int32_t len)
{
	double a[SK_SLICES_MAX];

	for (int32_t i = 0; i < len; i++)
		a[i] = part[i];
	for (; len > 1; len = (len + 1) / 2)
		for (int32_t i = 0; i < (len + 1) / 2; i++)
			a[i] = 2 * i + 1 < len ? a[2 * i] + a[2 * i + 1] : a[2 * i];
	return len ? a[0] : 0.0;
}

static double dot(struct sk_dev *dev, const struct sk_op_linear *a, int32_t n)
{
	const struct sk_quant *q = sk_quant_get(a->w->dtype);
	double part[SK_SLICES_MAX] = { 0 };
	int32_t k = 0, slices = a->slices > 1 ? a->slices : 1;

	q->dequantise(weight_row(a->w, n), dev->w, (size_t)a->w->K);
	for (int32_t s = 0; s < slices; s++) {
		int32_t end = a->slices > 1 ? a->slice_end[s] : a->w->K;

		for (; k < end; k++)
			part[s] += dev->x[k] * (double)dev->w[k];
	}
	return tree(part, slices);
}

/* y[t][n] (+)= act(dot + bias[n]); GLU: y[t][n] = act(row n's) * row (N/2 + n)'s */
void ref_linear(struct sk_dev *dev, const struct sk_op_linear *a)
{
	enum sk_dtype to = a->quantise ? sk_quant_get(a->w->dtype)->activation : SK_F32;
	int32_t glu = a->flags & SK_LINEAR_GLU, n_out = glu ? a->w->N / 2 : a->w->N;

	for (int32_t t = 0; t < a->x.dim[0]; t++) {
		float *y = ref_row(&a->y, t);

		round_row(ref_row(&a->x, t), dev->x, a->w->K, to);
		for (int32_t n = 0; n < n_out; n++) {
			double r = ref_act(a->act, dot(dev, a, n) + (a->bias ? (double)a->bias[n] : 0.0));

			if (glu)
				r *= dot(dev, a, n_out + n) + (a->bias ? (double)a->bias[n_out + n] : 0.0);
			y[n] = (float)(a->flags & SK_LINEAR_ADD ? (double)y[n] + r : r);
		}
	}
}
