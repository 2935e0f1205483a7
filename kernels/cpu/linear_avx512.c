/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tiles for AVX-512 with VNNI and BF16. One zmm = 16 rows x 4 bytes of k (lane r = row r); weights are the unsigned
 * operand of VPDPBUSD, and their offset is undone by the accumulator's start value.
 */
#include <string.h>

#include "kernels/cpu/vec_avx512.h"

#include "kernels/cpu/linear.h"

#define ROWS SK_CPU_ROWS
#define TILE_F32 8

#define EACH_1(M) M(0)
#define EACH_2(M) EACH_1(M) M(1)
#define EACH_3(M) EACH_2(M) M(2)
#define EACH_4(M) EACH_3(M) M(3)
#define EACH_5(M) EACH_4(M) M(4)
#define EACH_6(M) EACH_5(M) M(5)
#define EACH_7(M) EACH_6(M) M(6)
#define EACH_8(M) EACH_7(M) M(7)
#define EACH_9(M) EACH_8(M) M(8)
#define EACH_10(M) EACH_9(M) M(9)
#define EACH_11(M) EACH_10(M) M(10)
#define EACH_12(M) EACH_11(M) M(11)

/* ---- loads ---- */

static inline __m512i dword_all(const unsigned char *p)
{
	int32_t v;

	memcpy(&v, p, 4);
	return _mm512_set1_epi32(v);
}

static inline __m512 float_all(const unsigned char *p)
{
	float v;

	memcpy(&v, p, 4);
	return _mm512_set1_ps(v);
}

static inline __m512 halves(const unsigned char *p)
{
	return _mm512_cvtph_ps(_mm256_load_si256((const __m256i *)(const void *)p));
}

static inline __m512bh load_bh(const unsigned char *p)
{
	return (__m512bh)_mm512_load_si512(p);
}

static inline __attribute__((always_inline)) void prefetch(const unsigned char *p, size_t bytes)
{
#pragma GCC unroll 17
	for (size_t i = 0; i < bytes; i += 64)
		_mm_prefetch((const char *)p + i, _MM_HINT_T0);
}

/* ---- activations ---- */

/* One block of 32 of one token. */
static inline void pack_i8_block(unsigned char *to, const float *x, int32_t n, int32_t t, int32_t start)
{
	const __m512 x0 = _mm512_loadu_ps(x), x1 = _mm512_loadu_ps(x + 16);
	const float max = _mm512_reduce_max_ps(_mm512_max_ps(_mm512_abs_ps(x0), _mm512_abs_ps(x1)));
	const float s = max / 127.0f;
	const __m512 by = _mm512_set1_ps(s), top = _mm512_set1_ps(127.0f), low = _mm512_set1_ps(-127.0f);
	const __mmask16 live = s > 0.0f ? 0xffff : 0;
	__m512 v0 = _mm512_maskz_div_ps(live, x0, by), v1 = _mm512_maskz_div_ps(live, x1, by);
	__m128i q0, q1;
	int32_t sum;

	v0 = _mm512_max_ps(_mm512_min_ps(v0, top), low);
	v1 = _mm512_max_ps(_mm512_min_ps(v1, top), low);
	q0 = _mm512_cvtsepi32_epi8(_mm512_cvtps_epi32(v0));
	q1 = _mm512_cvtsepi32_epi8(_mm512_cvtps_epi32(v1));
	sum = _mm512_reduce_add_epi32(_mm512_add_epi32(_mm512_cvtps_epi32(v0), _mm512_cvtps_epi32(v1)));
	if (n == 1) {
		_mm_storeu_si128((__m128i *)(void *)to, q0);
		_mm_storeu_si128((__m128i *)(void *)(to + 16), q1);
	} else {
		int32_t q[8];

		_mm_storeu_si128((__m128i *)(void *)q, q0);
		_mm_storeu_si128((__m128i *)(void *)(q + 4), q1);
		for (int j = 0; j < 8; j++)
			memcpy(to + 4 * (j * n + t), &q[j], 4);
	}
	start *= sum;
	memcpy(to + 32 * n + 4 * t, &s, 4);
	memcpy(to + 36 * n + 4 * t, &start, 4);
	memcpy(to + 40 * n + 4 * t, &(float){ s * (float)sum }, 4);
}

static void pack_i8(unsigned char *to, const float *x, int64_t x_stride, int32_t n, int32_t K, int32_t start)
{
	for (int32_t t = 0; t < n; t++) {
		unsigned char *at = to;

		for (int32_t k = 0; k < K; k += 32, at += SK_CPU_X8_BYTES * n)
			pack_i8_block(at, x + t * x_stride + k, n, t, start);
	}
}

/* bfloat16 bits, nearest even, in the low half of each lane; a NaN keeps a set bit. */
static inline __m512i bf16_bits(__m512 x)
{
	const __m512i u = _mm512_castps_si512(x), one = _mm512_set1_epi32(1);
	const __m512i odd = _mm512_and_si512(_mm512_srli_epi32(u, 16), one);
	const __m512i up = _mm512_add_epi32(_mm512_add_epi32(u, _mm512_set1_epi32(0x7fff)), odd);
	const __mmask16 nan = _mm512_cmp_ps_mask(x, x, _CMP_UNORD_Q);

	return _mm512_srli_epi32(_mm512_mask_or_epi32(up, nan, u, _mm512_set1_epi32(0x400000)), 16);
}

static void pack_bf16(unsigned char *to, const float *x, int64_t x_stride, int32_t n, int32_t K)
{
	for (int32_t t = 0; t < n; t++) {
		const float *row = x + t * x_stride;

		for (int32_t k = 0; k < K; k += 16) {
			const __mmask16 m = K - k < 16 ? (__mmask16)((1u << (K - k)) - 1) : 0xffff;
			const __m256i b = _mm512_cvtepi32_epi16(bf16_bits(_mm512_maskz_loadu_ps(m, row + k)));
			uint32_t pair[8];
			int pairs = K - k < 16 ? (K - k + 1) / 2 : 8;

			_mm256_storeu_si256((__m256i *)(void *)pair, b);
			for (int j = 0; j < pairs; j++)
				memcpy(to + 4 * ((size_t)(k / 2 + j) * (size_t)n + (size_t)t), &pair[j], 4);
		}
	}
}

static void pack_f32(unsigned char *to, const float *x, int64_t x_stride, int32_t n, int32_t K, bool bf16)
{
	for (int32_t t = 0; t < n; t++) {
		const float *row = x + t * x_stride;

		for (int32_t k = 0; k < K; k += 16) {
			const int32_t len = K - k < 16 ? K - k : 16;
			const __mmask16 m = (__mmask16)((1u << len) - 1);
			__m512 v = _mm512_maskz_loadu_ps(m, row + k);
			float f[16];

			if (bf16)
				v = _mm512_castsi512_ps(_mm512_slli_epi32(bf16_bits(v), 16));
			_mm512_storeu_ps(f, v);
			for (int32_t i = 0; i < len; i++)
				memcpy(to + 4 * ((size_t)(k + i) * (size_t)n + (size_t)t), &f[i], 4);
		}
	}
}

/* ---- integer and bf16 tiles ---- */

#define TILE_Q4_0 0
#define TILE_Q4_1 1
#define TILE_Q8_0 2
#define TILE_BF16 3
#define BLOCK_BYTES(kind) ((kind) == TILE_Q4_0 ? 576 : (kind) == TILE_Q4_1 ? 640 : 1088)

#define KIND TILE_Q4_0
#define FN q4_0_1
#define N 1
#include "kernels/cpu/tile_avx512.h"
#define FN q4_0_2
#define N 2
#include "kernels/cpu/tile_avx512.h"
#define FN q4_0_3
#define N 3
#include "kernels/cpu/tile_avx512.h"
#define FN q4_0_4
#define N 4
#include "kernels/cpu/tile_avx512.h"
#define FN q4_0_5
#define N 5
#include "kernels/cpu/tile_avx512.h"
#define FN q4_0_6
#define N 6
#include "kernels/cpu/tile_avx512.h"
#undef KIND
#define KIND TILE_Q4_1
#define FN q4_1_1
#define N 1
#include "kernels/cpu/tile_avx512.h"
#define FN q4_1_2
#define N 2
#include "kernels/cpu/tile_avx512.h"
#define FN q4_1_3
#define N 3
#include "kernels/cpu/tile_avx512.h"
#define FN q4_1_4
#define N 4
#include "kernels/cpu/tile_avx512.h"
#define FN q4_1_5
#define N 5
#include "kernels/cpu/tile_avx512.h"
#define FN q4_1_6
#define N 6
#include "kernels/cpu/tile_avx512.h"
#undef KIND
#define KIND TILE_Q8_0
#define FN q8_0_1
#define N 1
#include "kernels/cpu/tile_avx512.h"
#define FN q8_0_2
#define N 2
#include "kernels/cpu/tile_avx512.h"
#define FN q8_0_3
#define N 3
#include "kernels/cpu/tile_avx512.h"
#define FN q8_0_4
#define N 4
#include "kernels/cpu/tile_avx512.h"
#define FN q8_0_5
#define N 5
#include "kernels/cpu/tile_avx512.h"
#define FN q8_0_6
#define N 6
#include "kernels/cpu/tile_avx512.h"
#undef KIND
#define KIND TILE_BF16
#define FN bf16_1
#define N 1
#include "kernels/cpu/tile_avx512.h"
#define FN bf16_2
#define N 2
#include "kernels/cpu/tile_avx512.h"
#define FN bf16_3
#define N 3
#include "kernels/cpu/tile_avx512.h"
#define FN bf16_4
#define N 4
#include "kernels/cpu/tile_avx512.h"
#define FN bf16_5
#define N 5
#include "kernels/cpu/tile_avx512.h"
#define FN bf16_6
#define N 6
#include "kernels/cpu/tile_avx512.h"
#define FN bf16_7
#define N 7
#include "kernels/cpu/tile_avx512.h"
#define FN bf16_8
#define N 8
#include "kernels/cpu/tile_avx512.h"
#define FN bf16_9
#define N 9
#include "kernels/cpu/tile_avx512.h"
#define FN bf16_10
#define N 10
#include "kernels/cpu/tile_avx512.h"
#define FN bf16_11
#define N 11
#include "kernels/cpu/tile_avx512.h"
#define FN bf16_12
#define N 12
#include "kernels/cpu/tile_avx512.h"
#undef KIND

static sk_cpu_tile_fn const q4_0[] = { q4_0_1, q4_0_2, q4_0_3, q4_0_4, q4_0_5, q4_0_6 };
static sk_cpu_tile_fn const q4_1[] = { q4_1_1, q4_1_2, q4_1_3, q4_1_4, q4_1_5, q4_1_6 };
static sk_cpu_tile_fn const q8_0[] = { q8_0_1, q8_0_2, q8_0_3, q8_0_4, q8_0_5, q8_0_6 };
static sk_cpu_tile_fn const bf16[] = {
	bf16_1, bf16_2, bf16_3, bf16_4, bf16_5, bf16_6,
	bf16_7, bf16_8, bf16_9, bf16_10, bf16_11, bf16_12,
};

/* ---- float tiles ---- */

#define F32_LOAD(t) __m512 a##t = _mm512_load_ps(acc + ROWS * t), b##t = _mm512_load_ps(acc + ROWS * t + 16);
#define F32_STEP(t) { \
		const __m512 v = _mm512_set1_ps(x[t]); \
		a##t = _mm512_fmadd_ps(wa, v, a##t); \
		b##t = _mm512_fmadd_ps(wb, v, b##t); }
#define F32_STORE(t) _mm512_store_ps(acc + ROWS * t, a##t); _mm512_store_ps(acc + ROWS * t + 16, b##t);
#define F32_TILE(n) \
static void f32_##n(float *acc, const float *w, const float *x, int32_t len) \
{ \
	EACH_##n(F32_LOAD) \
	for (; len > 0; len--, w += ROWS, x += n) { \
		const __m512 wa = _mm512_load_ps(w), wb = _mm512_load_ps(w + 16); \
		EACH_##n(F32_STEP) \
	} \
	EACH_##n(F32_STORE) \
}
F32_TILE(1)
F32_TILE(2)
F32_TILE(3)
F32_TILE(4)
F32_TILE(5)
F32_TILE(6)
F32_TILE(7)
F32_TILE(8)

static void (*const f32[TILE_F32])(float *, const float *, const float *, int32_t) = {
	f32_1, f32_2, f32_3, f32_4, f32_5, f32_6, f32_7, f32_8,
};

/* ---- weights as float: the values of sk_quant.dequantise, by the same operations ---- */

static inline __attribute__((always_inline)) void unpack_q4(float *out, const unsigned char *w, int32_t blocks, size_t ahead,
							     size_t block_bytes, int offset, bool mins)
{
	const __m512i nib = _mm512_set1_epi32(15);
	const __m512i off = _mm512_set1_epi32(offset);

	for (; blocks > 0; blocks--, w += block_bytes, out += 32 * ROWS) {
		if (ahead)
			prefetch(w + ahead, block_bytes);
		for (int half = 0; half < 2; half++) {
			const __m512 d = halves(w + 512 + 32 * half);
			const __m512 m = mins ? halves(w + 576 + 32 * half) : _mm512_setzero_ps();

			for (int j = 0; j < 4; j++) {
				const __m512i q = _mm512_load_si512(w + 128 * j + 64 * half);

#pragma GCC unroll 8
				for (int i = 0; i < 8; i++) {
					/* i = 2 * byte + nibble */
					__m512i v = _mm512_and_si512(_mm512_srli_epi32(q, (unsigned)(4 * i)), nib);
					__m512 f = _mm512_mul_ps(d, _mm512_cvtepi32_ps(_mm512_sub_epi32(v, off)));

					if (mins)
						f = _mm512_add_ps(f, m);
					_mm512_store_ps(out + (4 * j + i / 2 + 16 * (i % 2)) * ROWS + 16 * half, f);
				}
			}
		}
	}
}

static void unpack_q4_0(float *out, const unsigned char *w, int32_t blocks, size_t ahead)
{
	unpack_q4(out, w, blocks, ahead, 576, 8, false);
}

static void unpack_q4_1(float *out, const unsigned char *w, int32_t blocks, size_t ahead)
{
	unpack_q4(out, w, blocks, ahead, 640, 0, true);
}

static void unpack_q8_0(float *out, const unsigned char *w, int32_t blocks, size_t ahead)
{
	const __m512i byte = _mm512_set1_epi32(255), off = _mm512_set1_epi32(128);

	for (; blocks > 0; blocks--, w += 1088, out += 32 * ROWS) {
		if (ahead)
			prefetch(w + ahead, 1088);
		for (int half = 0; half < 2; half++) {
			const __m512 d = halves(w + 1024 + 32 * half);

			for (int j = 0; j < 8; j++) {
				const __m512i q = _mm512_load_si512(w + 128 * j + 64 * half);

#pragma GCC unroll 4
				for (int i = 0; i < 4; i++) {
					__m512i v = _mm512_and_si512(_mm512_srli_epi32(q, (unsigned)(8 * i)), byte);

					_mm512_store_ps(out + (4 * j + i) * ROWS + 16 * half,
							_mm512_mul_ps(d, _mm512_cvtepi32_ps(_mm512_sub_epi32(v, off))));
				}
			}
		}
	}
}

static void unpack_bf16(float *out, const unsigned char *w, int32_t blocks, size_t ahead)
{
	for (; blocks > 0; blocks--, w += 128, out += 2 * ROWS) {
		if (ahead)
			prefetch(w + ahead, 128);
		for (int half = 0; half < 2; half++) {
			const __m512i v = _mm512_load_si512(w + 64 * half);

			_mm512_store_si512(out + 16 * half, _mm512_slli_epi32(v, 16));
			_mm512_store_si512(out + ROWS + 16 * half, _mm512_and_si512(v, _mm512_set1_epi32(-65536)));
		}
	}
}

static void unpack_f16(float *out, const unsigned char *w, int32_t blocks, size_t ahead)
{
	for (; blocks > 0; blocks--, w += 64, out += ROWS) {
		if (ahead)
			prefetch(w + ahead, 64);
		_mm512_store_ps(out, halves(w));
		_mm512_store_ps(out + 16, halves(w + 32));
	}
}

/* ---- finish ---- */

/* ((0+1)+(2+3))+((4+5)+(6+7)), missing ones left out; 16 sums from p on. */
static inline __m512 slices_sum(const struct sk_cpu_finish *f, const float *p)
{
	__m512 a[SK_SLICES_MAX];
	const int64_t d = f->part_stride;
	int32_t len = f->slices;

	/* Eight is what wide models have: no loop. */
	if (len == 8) {
		const __m512 b0 = _mm512_add_ps(_mm512_load_ps(p), _mm512_load_ps(p + d));
		const __m512 b1 = _mm512_add_ps(_mm512_load_ps(p + 2 * d), _mm512_load_ps(p + 3 * d));
		const __m512 b2 = _mm512_add_ps(_mm512_load_ps(p + 4 * d), _mm512_load_ps(p + 5 * d));
		const __m512 b3 = _mm512_add_ps(_mm512_load_ps(p + 6 * d), _mm512_load_ps(p + 7 * d));

		return _mm512_add_ps(_mm512_add_ps(b0, b1), _mm512_add_ps(b2, b3));
	}
	a[0] = _mm512_load_ps(p);
	if (len == 1)
		return a[0];
	for (int32_t s = 1; s < len; s++)
		a[s] = _mm512_load_ps(p + s * f->part_stride);
	for (; len > 1; len = (len + 1) / 2)
		for (int32_t i = 0; i < (len + 1) / 2; i++)
			a[i] = 2 * i + 1 < len ? _mm512_add_ps(a[2 * i], a[2 * i + 1]) : a[2 * i];
	return a[0];
}

static inline void put(float *y, __m512 v, int32_t cols, bool add)
{
	const __mmask16 m = cols >= 16 ? 0xffff : cols > 0 ? (__mmask16)((1u << cols) - 1) : 0;

	if (add)
		v = _mm512_add_ps(_mm512_maskz_loadu_ps(m, y), v);
	_mm512_mask_storeu_ps(y, m, v);
}

/* 16 biases, zeros where there are none. */
static inline __m512 biases(const float *bias, int32_t cols)
{
	return bias && cols > 0 ? v_load_n(bias, cols < 16 ? cols : 16, 0.0f) : _mm512_setzero_ps();
}

/* `more`: biases, an activation, a GLU. Without them there is nothing between the sums and y. */
static inline __attribute__((always_inline)) void finish_tile(const struct sk_cpu_finish *f, const bool more, const enum sk_act act)
{
	const bool add = f->flags & SK_LINEAR_ADD, glu = more && f->flags & SK_LINEAR_GLU;

	for (int32_t t = 0; t < f->n; t++) {
		const float *p = f->part + t * ROWS;
		float *y = f->y + t * f->y_stride;
		__m512 a = slices_sum(f, p), b = slices_sum(f, p + 16);

		if (more && f->bias) {
			a = _mm512_add_ps(a, biases(f->bias, f->cols));
			b = _mm512_add_ps(b, glu ? biases(f->bias_up, f->cols) : biases(f->bias + 16, f->cols - 16));
		}
		if (more)
			a = v_act(act, a);
		if (glu) {
			put(y, _mm512_mul_ps(a, b), f->cols, add);
			continue;
		}
		put(y, a, f->cols, add);
		if (f->cols > 16)
			put(y + 16, more ? v_act(act, b) : b, f->cols - 16, add);
	}
}

static void finish(const struct sk_cpu_finish *f)
{
	if (f->act == SK_ACT_SILU)
		finish_tile(f, true, SK_ACT_SILU);
	else if (f->bias || f->act || f->flags & SK_LINEAR_GLU)
		finish_tile(f, true, f->act);
	else
		finish_tile(f, false, SK_ACT_NONE);
}

const struct sk_cpu_linear sk_cpu_linear_table_avx512 = {
	.tile_i8 = 6, .tile_bf16 = 12, .tile_f32 = TILE_F32,
	.start = { [SK_Q8_0] = -128, [SK_Q4_0] = -8 },
	.i8 = { [SK_Q8_0] = q8_0, [SK_Q4_0] = q4_0, [SK_Q4_1] = q4_1 },
	.bf16 = bf16,
	.pack_i8 = pack_i8, .pack_bf16 = pack_bf16, .pack_f32 = pack_f32,
	.unpack = {
		[SK_F16] = unpack_f16, [SK_BF16] = unpack_bf16,
		[SK_Q8_0] = unpack_q8_0, [SK_Q4_0] = unpack_q4_0, [SK_Q4_1] = unpack_q4_1,
	},
	.f32 = f32,
	.finish = finish,
};
