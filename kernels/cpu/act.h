/* SPDX-License-Identifier: Apache-2.0 */
/*
 * e^x and the activations of kernels.h in the words of vec.h, which includes this. The same IEEE operations in the same order on
 * every level whose v_fma is fused: equal bits there. A NaN gives a NaN (RELU: 0), infinities what the formulas give.
 *
 * Errors, of all levels, eps = 2^-23 (tests/kernels/test_parity.c):
 *	SILU            4 eps |y|
 *	GELU            4 eps |y| (1 + v^2 / 2)         for v > 0: 4 eps |y|; below -1 the rounding of v^2 shows in e^(-v^2 / 2)
 *	GELU_TANH       4 eps |y| (1 + |2 u|)           u = sqrt(2 / pi) (v + 0.044715 v^3), likewise
 *	RELU            0
 * A softcap: 4 eps cap.
 */
#ifndef SK_CPU_ACT_H
#define SK_CPU_ACT_H

#include "kernels/kernels.h"

/*
 * e^x, error at most 1.02 ulp (4.4 million floats across the range, each level); e^0 is exactly 1, below -104 it is 0, above 89
 * infinite, a NaN stays one. x = n ln 2 + r, |r| <= ln 2 / 2; e^r = 1 + r + r^2 q(r), q fitted by Remez exchange to
 * (e^r - 1 - r) / r^2 with weight r^2 e^-r: relative error 4.4e-9 with these rounded coefficients.
 */
static inline vf v_exp(vf x)
{
	vf n, r, q;

	x = v_min(v_set1(89.0f), v_max(v_set1(-104.0f), x));
	n = v_round(v_mul(x, v_set1(0x1.715476p+0f)));
	r = v_fma(n, v_set1(-0x1.62e4p-1f), x);
	r = v_fma(n, v_set1(-0x1.7f7d1cp-20f), r);
	q = v_fma(v_set1(0x1.6a2352p-10f), r, v_set1(0x1.123a6cp-7f));
	q = v_fma(q, r, v_set1(0x1.5558f4p-5f));
	q = v_fma(q, r, v_set1(0x1.55549p-3f));
	q = v_fma(q, r, v_set1(0x1.fffffcp-2f));
	r = v_fma(v_mul(r, r), q, r);
	return v_scale2(v_add(r, v_set1(1.0f)), n);
}

/* v / (1 + e^-v) */
static inline vf v_silu(vf v)
{
	return v_div(v, v_add(v_set1(1.0f), v_exp(v_sub(v_set1(0.0f), v))));
}

/*
 * v/2 (1 + erf(v / sqrt 2)) = max(v, 0) - |v| q(|v|), q(a) = erfc(a / sqrt 2) / 2: nothing cancels on the left side.
 * q(a) = e^(-a^2 / 2) t P(t), t = 1 / (1 + 0.35 a), P of degree 8 fitted on a in [0, 15] by reweighted least squares: relative
 * error 3.2e-8. Behind 15 there is nothing left of q.
 */
static inline vf v_gelu(vf v)
{
	const vf zero = v_set1(0.0f), one = v_set1(1.0f), end = v_set1(15.0f);
	vf a = v_min(v_max(v, v_sub(zero, v)), end), t = v_div(one, v_fma(a, v_set1(0.35f), one)), q, u;

	q = v_fma(v_set1(-0.029163800f), t, v_set1(0.14406021f));
	q = v_fma(q, t, v_set1(-0.25590067f));
	q = v_fma(q, t, v_set1(0.15939159f));
	q = v_fma(q, t, v_set1(-0.023262975f));
	q = v_fma(q, t, v_set1(0.10557446f));
	q = v_fma(q, t, v_set1(0.11981556f));
	q = v_fma(q, t, v_set1(0.13986433f));
	q = v_fma(q, t, v_set1(0.13962126f));
	q = v_mul(v_mul(q, t), v_exp(v_mul(v_mul(a, a), v_set1(-0.5f))));
	u = v_sub(v_min(v, zero), v_min(v_max(v, zero), end));         /* v below 0, -v above */
	return v_fma(u, q, v_max(zero, v));
}

/* v/2 (1 + tanh u) = v / (1 + e^(-2u)) */
static inline vf v_gelu_tanh(vf v)
{
	vf twice = v_mul(v, v_fma(v_mul(v, v), v_set1(0.071354816f), v_set1(1.5957691f)));

	return v_div(v, v_add(v_set1(1.0f), v_exp(v_sub(v_set1(0.0f), twice))));
}

/* cap tanh(v / cap) = cap (1 - 2 / (1 + e^(2 v / cap))) */
static inline vf v_softcap(vf v, float cap)
{
	vf twice = v_mul(v, v_set1(2.0f / cap)), one = v_set1(1.0f);

	return v_mul(v_set1(cap), v_sub(one, v_div(v_set1(2.0f), v_add(one, v_exp(twice)))));
}

/* g / (1 + e^(-1.702 g)) (u + 1), g and u bounded; 6 eps |g (u + 1)| */
static inline vf v_limited_glu(vf g, vf u, float limit)
{
	const vf most = v_set1(limit), one = v_set1(1.0f);

	g = v_min(most, g);
	u = v_min(most, v_max(v_set1(-limit), u));
	return v_mul(v_div(g, v_add(one, v_exp(v_mul(g, v_set1(-1.702f))))), v_add(u, one));
}

static inline vf v_act(enum sk_act act, vf v)
{
	switch (act) {
	case SK_ACT_NONE:      break;
	case SK_ACT_SILU:      return v_silu(v);
	case SK_ACT_GELU:      return v_gelu(v);
	case SK_ACT_GELU_TANH: return v_gelu_tanh(v);
	case SK_ACT_RELU:      return v_max(v, v_set1(0.0f));
	}
	return v;
}

#endif
