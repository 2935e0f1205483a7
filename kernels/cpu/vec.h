/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Vector arithmetic in a few words, so that a loop is written once and built for each level of instruction set.
 * Include vec_portable.h, vec_avx2.h or vec_avx512.h, never this: each defines the words for its width and then
 * includes what follows from them.
 *
 *	vf, VW                  a vector of VW floats; VW divides 16
 *	v_load v_store          unaligned;  _n: the first n (1 <= n <= VW) elements, nothing else is touched or read
 *	v_keep_n(a, n, rest)    elements from n on become `rest`
 *	v_add v_sub v_mul v_div v_fma(a, b, c) = a * b + c      (portable: two roundings)
 *	v_max v_min(a, b)       b where either is a NaN
 *	v_round                 to integer, nearest even
 *	v_scale2(a, n)          a * 2^n for an integer-valued n in [-150, 128], rounded once
 *	v_equal_bits(a, b)      bit i: a[i] == b[i]
 *	v_bf16_lo v_bf16_hi(p)  the low and the high bfloat16 of each of VW dwords, as floats
 *	v_store_bf16_pairs      the inverse, nearest even
 *	SK_LEVEL(name)          the name with the level's ending
 */

/* One fixed tree: halves onto halves. */
static inline float v_sum(vf a)
{
	float x[VW];

	v_store(x, a);
	for (int n = VW / 2; n; n /= 2)
		for (int i = 0; i < n; i++)
			x[i] += x[i + n];
	return x[0];
}

/* The largest; a NaN is never it. */
static inline float v_largest(vf a)
{
	float x[VW], max = -__builtin_inff();

	v_store(x, a);
	for (int i = 0; i < VW; i++)
		max = x[i] > max ? x[i] : max;
	return max;
}

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

/* x / (1 + e^-x) */
static inline vf v_silu(vf x)
{
	return v_div(x, v_add(v_set1(1.0f), v_exp(v_sub(v_set1(0.0f), x))));
}
