/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Words of vector arithmetic for every machine: 4 floats as a vector of the compiler's (GCC, Clang), or what it makes
 * of them. No fused multiply-add: without an instruction it would be a call for each element.
 */
#ifndef SK_VEC_PORTABLE_H
#define SK_VEC_PORTABLE_H

#include <math.h>
#include <stdint.h>
#include <string.h>

#include "kernels/quant/half.h"

#define SK_LEVEL(name) name##_portable
#define VW 4
#define V_TILE_ROWS 3
#define V_TILE_VECS 4

typedef float vf __attribute__((vector_size(16)));
typedef int32_t vi __attribute__((vector_size(16)));
typedef uint32_t vu __attribute__((vector_size(16)));

static inline vf v_load(const float *p)
{
	vf a;

	memcpy(&a, p, sizeof a);
	return a;
}
static inline void v_store(float *p, vf a) { memcpy(p, &a, sizeof a); }
static inline vf v_set1(float x) { return (vf){ x, x, x, x }; }
static inline vf v_load_n(const float *p, int n, float rest)
{
	vf a = v_set1(rest);

	for (int i = 0; i < n; i++)
		a[i] = p[i];
	return a;
}
static inline void v_store_n(float *p, vf a, int n)
{
	for (int i = 0; i < n; i++)
		p[i] = a[i];
}
static inline vf v_keep_n(vf a, int n, float rest)
{
	for (int i = n; i < VW; i++)
		a[i] = rest;
	return a;
}
static inline vf v_add(vf a, vf b) { return a + b; }
static inline vf v_sub(vf a, vf b) { return a - b; }
static inline vf v_mul(vf a, vf b) { return a * b; }
static inline vf v_div(vf a, vf b) { return a / b; }
static inline vf v_fma(vf a, vf b, vf c) { return a * b + c; }
static inline vf v_pick(vi mask, vf a, vf b) { return (vf)(((vi)a & mask) | ((vi)b & ~mask)); }
static inline vf v_max(vf a, vf b) { return v_pick(a > b, a, b); }
static inline vf v_min(vf a, vf b) { return v_pick(a < b, a, b); }
/* |a| < 2^22: adding 1.5 * 2^23 leaves no bit for a fraction. */
static inline vf v_round(vf a) { return (a + 0x1.8p23f) - 0x1.8p23f; }
/* In two halves, so that a result below 2^-126 is rounded once and one above 2^127 becomes infinite. */
static inline vf v_scale2(vf a, vf n)
{
	vi i = (vi)(n + 0x1.8p23f) - 0x4b400000, half = i >> 1;

	return a * (vf)((vu)(half + 127) << 23) * (vf)((vu)(i - half + 127) << 23);
}
static inline unsigned v_equal_bits(vf a, vf b)
{
	vi e = a == b;

	return (e[0] & 1u) | (e[1] & 2u) | (e[2] & 4u) | (e[3] & 8u);
}
static inline vf v_bf16_lo(const void *p)
{
	vu u;

	memcpy(&u, p, sizeof u);
	return (vf)(u << 16);
}
static inline vf v_bf16_hi(const void *p)
{
	vu u;

	memcpy(&u, p, sizeof u);
	return (vf)(u & 0xffff0000u);
}

static inline void v_store_bf16_pairs(void *p, vf lo, vf hi)
{
	vu u = { 0 };

	for (int i = 0; i < VW; i++)
		u[i] = sk_bf16_of_f32(lo[i]) | (uint32_t)sk_bf16_of_f32(hi[i]) << 16;
	memcpy(p, &u, sizeof u);
}

#include "kernels/cpu/vec.h"

#endif
