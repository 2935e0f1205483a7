/* SPDX-License-Identifier: Apache-2.0 */
/* Words of vector arithmetic, AVX2 with FMA: 8 floats. Their promises are in vec.h, which ends this file. */
#ifndef SK_VEC_AVX2_H
#define SK_VEC_AVX2_H

#include <immintrin.h>
#include <stdint.h>

#define SK_LEVEL(name) name##_avx2
#define VW 8
/* 16 registers: 12 accumulators and what feeds them. */
#define V_TILE_ROWS 6
#define V_TILE_VECS 2

typedef __m256 vf;

static inline vf v_load(const float *p) { return _mm256_loadu_ps(p); }
static inline void v_store(float *p, vf a) { _mm256_storeu_ps(p, a); }
static inline __m256i v_mask(int n)
{
	return _mm256_cmpgt_epi32(_mm256_set1_epi32(n), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}
static inline vf v_keep_n(vf a, int n, float rest)
{
	return _mm256_blendv_ps(_mm256_set1_ps(rest), a, _mm256_castsi256_ps(v_mask(n)));
}
static inline vf v_load_n(const float *p, int n, float rest) { return v_keep_n(_mm256_maskload_ps(p, v_mask(n)), n, rest); }
static inline void v_store_n(float *p, vf a, int n) { _mm256_maskstore_ps(p, v_mask(n), a); }
static inline vf v_set1(float x) { return _mm256_set1_ps(x); }
static inline vf v_add(vf a, vf b) { return _mm256_add_ps(a, b); }
static inline vf v_sub(vf a, vf b) { return _mm256_sub_ps(a, b); }
static inline vf v_mul(vf a, vf b) { return _mm256_mul_ps(a, b); }
static inline vf v_div(vf a, vf b) { return _mm256_div_ps(a, b); }
static inline vf v_fma(vf a, vf b, vf c) { return _mm256_fmadd_ps(a, b, c); }
static inline vf v_max(vf a, vf b) { return _mm256_max_ps(a, b); }
static inline vf v_min(vf a, vf b) { return _mm256_min_ps(a, b); }
static inline vf v_round(vf a) { return _mm256_round_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
/* In two halves, so that a result below 2^-126 is rounded once and one above 2^127 becomes infinite. */
static inline vf v_scale2(vf a, vf n)
{
	__m256i i = _mm256_cvtps_epi32(n), half = _mm256_srai_epi32(i, 1), bias = _mm256_set1_epi32(127);
	__m256i e0 = _mm256_slli_epi32(_mm256_add_epi32(half, bias), 23);
	__m256i e1 = _mm256_slli_epi32(_mm256_add_epi32(_mm256_sub_epi32(i, half), bias), 23);

	return _mm256_mul_ps(_mm256_mul_ps(a, _mm256_castsi256_ps(e0)), _mm256_castsi256_ps(e1));
}
static inline unsigned v_equal_bits(vf a, vf b) { return (unsigned)_mm256_movemask_ps(_mm256_cmp_ps(a, b, _CMP_EQ_OQ)); }
static inline vf v_bf16_lo(const void *p)
{
	return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_loadu_si256(p), 16));
}
static inline vf v_bf16_hi(const void *p)
{
	return _mm256_castsi256_ps(_mm256_and_si256(_mm256_loadu_si256(p), _mm256_set1_epi32(-65536)));
}

/* Nearest even, NaN quiet: as sk_bf16_of_f32(), the bits in the low half of each dword. */
static inline __m256i v_bf16_bits(vf a)
{
	__m256i u = _mm256_castps_si256(a), odd = _mm256_and_si256(_mm256_srli_epi32(u, 16), _mm256_set1_epi32(1));
	__m256i r = _mm256_add_epi32(_mm256_add_epi32(u, _mm256_set1_epi32(0x7fff)), odd);
	__m256i quiet = _mm256_or_si256(u, _mm256_set1_epi32(0x400000));
	__m256i nan = _mm256_castps_si256(_mm256_cmp_ps(a, a, _CMP_UNORD_Q));

	return _mm256_srli_epi32(_mm256_blendv_epi8(r, quiet, nan), 16);
}

static inline void v_store_bf16_pairs(void *p, vf lo, vf hi)
{
	_mm256_storeu_si256(p, _mm256_or_si256(v_bf16_bits(lo), _mm256_slli_epi32(v_bf16_bits(hi), 16)));
}

#include "kernels/cpu/vec.h"

#endif
