/* SPDX-License-Identifier: Apache-2.0 */
/* Words of vector arithmetic, AVX-512: 16 floats. Their promises are in vec.h, which ends this file. */
#ifndef SK_VEC_AVX512_H
#define SK_VEC_AVX512_H

#include <immintrin.h>
#include <stdint.h>

#define SK_LEVEL(name) name##_avx512
#define VW 16
/* Accumulators a register tile of attention may hold: 32 registers. */
#define V_TILE_ROWS 6
#define V_TILE_VECS 4

typedef __m512 vf;

static inline vf v_load(const float *p) { return _mm512_loadu_ps(p); }
static inline void v_store(float *p, vf a) { _mm512_storeu_ps(p, a); }
static inline __mmask16 v_mask(int n) { return (__mmask16)((1u << n) - 1); }
static inline vf v_load_n(const float *p, int n, float rest)
{
	return _mm512_mask_loadu_ps(_mm512_set1_ps(rest), v_mask(n), p);
}
static inline void v_store_n(float *p, vf a, int n) { _mm512_mask_storeu_ps(p, v_mask(n), a); }
static inline vf v_keep_n(vf a, int n, float rest) { return _mm512_mask_mov_ps(_mm512_set1_ps(rest), v_mask(n), a); }
static inline vf v_set1(float x) { return _mm512_set1_ps(x); }
static inline vf v_add(vf a, vf b) { return _mm512_add_ps(a, b); }
static inline vf v_sub(vf a, vf b) { return _mm512_sub_ps(a, b); }
static inline vf v_mul(vf a, vf b) { return _mm512_mul_ps(a, b); }
static inline vf v_div(vf a, vf b) { return _mm512_div_ps(a, b); }
static inline vf v_fma(vf a, vf b, vf c) { return _mm512_fmadd_ps(a, b, c); }
static inline vf v_max(vf a, vf b) { return _mm512_max_ps(a, b); }
static inline vf v_min(vf a, vf b) { return _mm512_min_ps(a, b); }
static inline vf v_round(vf a) { return _mm512_roundscale_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
static inline vf v_scale2(vf a, vf n) { return _mm512_scalef_ps(a, n); }
static inline unsigned v_equal_bits(vf a, vf b) { return _mm512_cmp_ps_mask(a, b, _CMP_EQ_OQ); }
static inline vf v_bf16_lo(const void *p)
{
	return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_loadu_si512(p), 16));
}
static inline vf v_bf16_hi(const void *p)
{
	return _mm512_castsi512_ps(_mm512_and_si512(_mm512_loadu_si512(p), _mm512_set1_epi32(-65536)));
}

/* Nearest even, NaN quiet: as sk_bf16_of_f32(), the bits in the low half of each dword. */
static inline __m512i v_bf16_bits(vf a)
{
	__m512i u = _mm512_castps_si512(a), odd = _mm512_and_si512(_mm512_srli_epi32(u, 16), _mm512_set1_epi32(1));
	__m512i r = _mm512_add_epi32(_mm512_add_epi32(u, _mm512_set1_epi32(0x7fff)), odd);
	__mmask16 nan = _mm512_cmp_ps_mask(a, a, _CMP_UNORD_Q);

	r = _mm512_mask_or_epi32(r, nan, u, _mm512_set1_epi32(0x400000));
	return _mm512_srli_epi32(r, 16);
}

static inline void v_store_bf16_pairs(void *p, vf lo, vf hi)
{
	_mm512_storeu_si512(p, _mm512_or_si512(v_bf16_bits(lo), _mm512_slli_epi32(v_bf16_bits(hi), 16)));
}

#include "kernels/cpu/vec.h"

#endif
