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

#include "kernels/cpu/act.h"
