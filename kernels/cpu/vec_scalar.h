/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Words of vector arithmetic for one float, v_fma fused: what the sums of linear_portable.c end with, so that their bits are
 * those of the levels that have the instruction.
 */
#ifndef SK_VEC_SCALAR_H
#define SK_VEC_SCALAR_H

#include <math.h>
#include <stdint.h>
#include <string.h>

#define VW 1

typedef float vf;

static inline vf v_set1(float x) { return x; }
static inline vf v_add(vf a, vf b) { return a + b; }
static inline vf v_sub(vf a, vf b) { return a - b; }
static inline vf v_mul(vf a, vf b) { return a * b; }
static inline vf v_div(vf a, vf b) { return a / b; }
static inline vf v_fma(vf a, vf b, vf c) { return fmaf(a, b, c); }
static inline vf v_max(vf a, vf b) { return a > b ? a : b; }
static inline vf v_min(vf a, vf b) { return a < b ? a : b; }
/* |a| < 2^22: adding 1.5 * 2^23 leaves no bit for a fraction. */
static inline vf v_round(vf a) { return (a + 0x1.8p23f) - 0x1.8p23f; }
static inline vf v_exp2_of(int32_t n)
{
	uint32_t bits = (uint32_t)(n + 127) << 23;
	vf a;

	memcpy(&a, &bits, sizeof a);
	return a;
}
/* In two halves, so that a result below 2^-126 is rounded once and one above 2^127 becomes infinite. */
static inline vf v_scale2(vf a, vf n)
{
	int32_t i, half;

	n += 0x1.8p23f;
	memcpy(&i, &n, sizeof i);
	i -= 0x4b400000;
	half = i >> 1;
	return a * v_exp2_of(half) * v_exp2_of(i - half);
}

#include "kernels/cpu/act.h"

#endif
