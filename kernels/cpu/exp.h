/* SPDX-License-Identifier: Apache-2.0 */
/*
 * e^x in float32, the same bits on every level: the three variants do the same IEEE operations in the same order.
 *
 * x = n ln 2 + r, |r| <= ln 2 / 2; e^x = 2^n (1 + r + r^2 P(r)), P of degree 4 interpolated at Chebyshev nodes, relative
 * error (1.1e-8 before rounding). x is kept within [-87, 88.3]: no infinities, no subnormals.
 * Rounding to n: adding 1.5 * 2^23 leaves n in the low bits of the sum.
 */
#ifndef SK_CPU_EXP_H
#define SK_CPU_EXP_H

#include <math.h>
#include <stdint.h>
#include <string.h>

#if defined(__AVX2__)
#include <immintrin.h>
#endif

#define SK_EXP_MIN (-87.0f)
#define SK_EXP_MAX 88.3f
#define SK_EXP_LOG2E 1.44269504f
#define SK_EXP_MAGIC 12582912.0f        /* 1.5 * 2^23 */
#define SK_EXP_LN2_HI 0.693359375f      /* exact in 9 bits: n * hi is exact */
#define SK_EXP_LN2_LO (-2.12194440e-4f)
#define SK_EXP_P0 5.000000000e-01f
#define SK_EXP_P1 1.666657627e-01f
#define SK_EXP_P2 4.166655615e-02f
#define SK_EXP_P3 8.363203146e-03f
#define SK_EXP_P4 1.392621314e-03f

static inline float sk_cpu_exp1(float x)
{
	float t, n, r, p;
	uint32_t bits;

	x = x < SK_EXP_MIN ? SK_EXP_MIN : x > SK_EXP_MAX ? SK_EXP_MAX : x;
	t = fmaf(x, SK_EXP_LOG2E, SK_EXP_MAGIC);
	n = t - SK_EXP_MAGIC;
	r = fmaf(n, -SK_EXP_LN2_HI, x);
	r = fmaf(n, -SK_EXP_LN2_LO, r);
	p = fmaf(SK_EXP_P4, r, SK_EXP_P3);
	p = fmaf(p, r, SK_EXP_P2);
	p = fmaf(p, r, SK_EXP_P1);
	p = fmaf(p, r, SK_EXP_P0);
	p = fmaf(p, r * r, r) + 1.0f;
	memcpy(&bits, &t, sizeof bits);
	bits = (bits << 23) + 0x3f800000u;
	memcpy(&t, &bits, sizeof t);
	return p * t;
}

#if defined(__AVX2__) && defined(__FMA__)
static inline __m256 sk_cpu_exp8(__m256 x)
{
	__m256 t, n, r, p;

	x = _mm256_min_ps(_mm256_set1_ps(SK_EXP_MAX), _mm256_max_ps(_mm256_set1_ps(SK_EXP_MIN), x));
	t = _mm256_fmadd_ps(x, _mm256_set1_ps(SK_EXP_LOG2E), _mm256_set1_ps(SK_EXP_MAGIC));
	n = _mm256_sub_ps(t, _mm256_set1_ps(SK_EXP_MAGIC));
	r = _mm256_fmadd_ps(n, _mm256_set1_ps(-SK_EXP_LN2_HI), x);
	r = _mm256_fmadd_ps(n, _mm256_set1_ps(-SK_EXP_LN2_LO), r);
	p = _mm256_fmadd_ps(_mm256_set1_ps(SK_EXP_P4), r, _mm256_set1_ps(SK_EXP_P3));
	p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(SK_EXP_P2));
	p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(SK_EXP_P1));
	p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(SK_EXP_P0));
	p = _mm256_add_ps(_mm256_fmadd_ps(p, _mm256_mul_ps(r, r), r), _mm256_set1_ps(1.0f));
	t = _mm256_castsi256_ps(_mm256_add_epi32(_mm256_slli_epi32(_mm256_castps_si256(t), 23),
						 _mm256_set1_epi32(0x3f800000)));
	return _mm256_mul_ps(p, t);
}
#endif

#if defined(__AVX512F__)
static inline __m512 sk_cpu_exp16(__m512 x)
{
	__m512 t, n, r, p;

	x = _mm512_min_ps(_mm512_set1_ps(SK_EXP_MAX), _mm512_max_ps(_mm512_set1_ps(SK_EXP_MIN), x));
	t = _mm512_fmadd_ps(x, _mm512_set1_ps(SK_EXP_LOG2E), _mm512_set1_ps(SK_EXP_MAGIC));
	n = _mm512_sub_ps(t, _mm512_set1_ps(SK_EXP_MAGIC));
	r = _mm512_fmadd_ps(n, _mm512_set1_ps(-SK_EXP_LN2_HI), x);
	r = _mm512_fmadd_ps(n, _mm512_set1_ps(-SK_EXP_LN2_LO), r);
	p = _mm512_fmadd_ps(_mm512_set1_ps(SK_EXP_P4), r, _mm512_set1_ps(SK_EXP_P3));
	p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(SK_EXP_P2));
	p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(SK_EXP_P1));
	p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(SK_EXP_P0));
	p = _mm512_add_ps(_mm512_fmadd_ps(p, _mm512_mul_ps(r, r), r), _mm512_set1_ps(1.0f));
	t = _mm512_castsi512_ps(_mm512_add_epi32(_mm512_slli_epi32(_mm512_castps_si512(t), 23),
						 _mm512_set1_epi32(0x3f800000)));
	return _mm512_mul_ps(p, t);
}
#endif

#endif
