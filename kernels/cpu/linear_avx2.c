/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tiles for AVX2 and FMA: 16 rows (two ymm of 8 rows x 4 bytes) by up to 4 tokens at a time.
 *
 * VPMADDUBSW adds two products in 16 bits with saturation: 2 * 15 * 127 fits for nibbles; for Q8_0 the weights go in as
 * |w| and their sign goes to the activation (2 * 128 * 127 fits), so the start value is 0 there. The sums are exact, and
 * so the bits are those of the other levels.
 */
#include <string.h>

#include "kernels/cpu/vec_avx2.h"

#include "kernels/cpu/linear.h"

#define ROWS SK_CPU_ROWS
#define TILE 4
#define INLINE static inline __attribute__((always_inline))

INLINE __m256i load_i(const unsigned char *p)
{
	return _mm256_load_si256((const __m256i *)(const void *)p);
}

INLINE __m256i dword_all(const unsigned char *p)
{
	int32_t v;

	memcpy(&v, p, 4);
	return _mm256_set1_epi32(v);
}

INLINE __m256 float_all(const unsigned char *p)
{
	float v;

	memcpy(&v, p, 4);
	return _mm256_set1_ps(v);
}

INLINE __m256 halves(const unsigned char *p)
{
	return _mm256_cvtph_ps(_mm_load_si128((const __m128i *)(const void *)p));
}

/* ---- activations ---- */

INLINE float max_all(__m256 v)
{
	__m128 m = _mm_max_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));

	m = _mm_max_ps(m, _mm_movehl_ps(m, m));
	return _mm_cvtss_f32(_mm_max_ss(m, _mm_movehdup_ps(m)));
}

INLINE int32_t sum_all(__m256i v)
{
	__m128i m = _mm_add_epi32(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));

	m = _mm_add_epi32(m, _mm_shuffle_epi32(m, 0x4e));
	return _mm_cvtsi128_si32(_mm_add_epi32(m, _mm_shuffle_epi32(m, 0xb1)));
}

static void pack_i8_block(unsigned char *to, const float *x, int32_t n, int32_t t, int32_t start)
{
	const __m256 sign = _mm256_set1_ps(-0.0f), top = _mm256_set1_ps(127.0f), low = _mm256_set1_ps(-127.0f);
	__m256 v[4], m = _mm256_setzero_ps(), by;
	__m256i sum = _mm256_setzero_si256();
	float s, s_sum;

	for (int i = 0; i < 4; i++) {
		v[i] = _mm256_loadu_ps(x + 8 * i);
		m = _mm256_max_ps(m, _mm256_andnot_ps(sign, v[i]));
	}
	s = max_all(m) / 127.0f;
	by = _mm256_set1_ps(s);
	for (int i = 0; i < 4; i++) {
		__m256 f = s > 0.0f ? _mm256_div_ps(v[i], by) : _mm256_setzero_ps();
		int32_t q[8];

		f = _mm256_max_ps(_mm256_min_ps(f, top), low);
		_mm256_storeu_si256((__m256i *)(void *)q, _mm256_cvtps_epi32(f));
		sum = _mm256_add_epi32(sum, _mm256_cvtps_epi32(f));
		for (int j = 0; j < 2; j++) {
			int8_t b[4] = { (int8_t)q[4 * j], (int8_t)q[4 * j + 1], (int8_t)q[4 * j + 2], (int8_t)q[4 * j + 3] };

			memcpy(to + 4 * ((2 * i + j) * n + t), b, 4);
		}
	}
	s_sum = s * (float)sum_all(sum);
	start *= sum_all(sum);
	memcpy(to + 32 * n + 4 * t, &s, 4);
	memcpy(to + 36 * n + 4 * t, &start, 4);
	memcpy(to + 40 * n + 4 * t, &s_sum, 4);
}

static void pack_i8(unsigned char *to, const float *x, int64_t x_stride, int32_t n, int32_t K, int32_t start)
{
	for (int32_t k = 0; k < K; k += 32, to += SK_CPU_X8_BYTES * n)
		for (int32_t t = 0; t < n; t++)
			pack_i8_block(to, x + t * x_stride + k, n, t, start);
}

/* Rounded to bfloat16, nearest even, and widened again; a NaN keeps a set bit. */
INLINE uint32_t bf16_round(uint32_t u)
{
	if ((u & 0x7fffffffu) > 0x7f800000u)
		return (u | 0x400000u) & 0xffff0000u;
	return (u + 0x7fffu + (u >> 16 & 1u)) & 0xffff0000u;
}

static void pack_f32(unsigned char *to, const float *x, int64_t x_stride, int32_t n, int32_t K, bool bf16)
{
	for (int32_t k = 0; k < K; k++)
		for (int32_t t = 0; t < n; t++, to += 4) {
			uint32_t u;

			memcpy(&u, &x[t * x_stride + k], 4);
			if (bf16)
				u = bf16_round(u);
			memcpy(to, &u, 4);
		}
}

/* ---- int8 tiles ---- */

/* acc += dot of 4 unsigned bytes of w with 4 signed bytes of v; dot_s: of signed ones with signed ones. */
INLINE __m256i dot_u(__m256i acc, __m256i w, __m256i v)
{
	return _mm256_add_epi32(acc, _mm256_madd_epi16(_mm256_maddubs_epi16(w, v), _mm256_set1_epi16(1)));
}

INLINE __m256i dot_s(__m256i acc, __m256i w, __m256i v)
{
	return dot_u(acc, _mm256_abs_epi8(w), _mm256_sign_epi8(v, w));
}

/* 16 rows of one block, n tokens; acc[n][ROWS] of these rows. */
INLINE void block_i8(float *acc, const unsigned char *w, const unsigned char *scales, const unsigned char *x, const int n,
		     const bool nibbles, const bool mins)
{
	const __m256i nib = _mm256_set1_epi8(15), top = _mm256_set1_epi8(-128);
	const int steps = nibbles ? 4 : 8;
	__m256i i0[TILE], i1[TILE];

#pragma GCC unroll 4
	for (int t = 0; t < n; t++)
		i0[t] = i1[t] = dword_all(x + 36 * n + 4 * t);
#pragma GCC unroll 8
	for (int j = 0; j < steps; j++) {
		__m256i w0 = load_i(w + 128 * j), w1 = load_i(w + 128 * j + 32);

		if (!nibbles) {
			w0 = _mm256_xor_si256(w0, top);
			w1 = _mm256_xor_si256(w1, top);
		}
#pragma GCC unroll 4
		for (int t = 0; t < n; t++) {
			__m256i v = dword_all(x + 4 * (j * n + t));

			if (nibbles) {
				i0[t] = dot_u(i0[t], _mm256_and_si256(w0, nib), v);
				i1[t] = dot_u(i1[t], _mm256_and_si256(w1, nib), v);
				v = dword_all(x + 4 * ((4 + j) * n + t));
				i0[t] = dot_u(i0[t], _mm256_and_si256(_mm256_srli_epi16(w0, 4), nib), v);
				i1[t] = dot_u(i1[t], _mm256_and_si256(_mm256_srli_epi16(w1, 4), nib), v);
			} else {
				i0[t] = dot_s(i0[t], w0, v);
				i1[t] = dot_s(i1[t], w1, v);
			}
		}
	}
#pragma GCC unroll 4
	for (int t = 0; t < n; t++) {
		const __m256 s = float_all(x + 32 * n + 4 * t), s_sum = float_all(x + 40 * n + 4 * t);
		__m256 f0 = _mm256_load_ps(acc + t * ROWS), f1 = _mm256_load_ps(acc + t * ROWS + 8);

		f0 = _mm256_fmadd_ps(_mm256_cvtepi32_ps(i0[t]), _mm256_mul_ps(halves(scales), s), f0);
		f1 = _mm256_fmadd_ps(_mm256_cvtepi32_ps(i1[t]), _mm256_mul_ps(halves(scales + 16), s), f1);
		if (mins) {
			f0 = _mm256_fmadd_ps(halves(scales + 64), s_sum, f0);
			f1 = _mm256_fmadd_ps(halves(scales + 80), s_sum, f1);
		}
		_mm256_store_ps(acc + t * ROWS, f0);
		_mm256_store_ps(acc + t * ROWS + 8, f1);
	}
}

INLINE void tile_i8(const struct sk_cpu_tile *a, const int n, const size_t block_bytes, const bool nibbles, const bool mins)
{
	const unsigned char *w = a->panel, *x = a->x;
	const int scales = nibbles ? 512 : 1024;
	float *out = a->out;

	for (int32_t s = 0, b = 0; s < a->slices; s++, out += n * ROWS) {
		memset(out, 0, sizeof(float) * (size_t)(n * ROWS));
		for (; b < a->slice_end[s]; b++, w += block_bytes, x += SK_CPU_X8_BYTES * n) {
			if (a->ahead)
				for (size_t i = 0; i < block_bytes; i += 64)
					_mm_prefetch((const char *)w + a->ahead + i, _MM_HINT_T0);
			block_i8(out, w, w + scales, x, n, nibbles, mins);
			block_i8(out + 16, w + 64, w + scales + 32, x, n, nibbles, mins);
		}
	}
}

#define TILES(n) \
	static void q8_0_##n(const struct sk_cpu_tile *a) { tile_i8(a, n, 1088, false, false); } \
	static void q4_0_##n(const struct sk_cpu_tile *a) { tile_i8(a, n, 576, true, false); } \
	static void q4_1_##n(const struct sk_cpu_tile *a) { tile_i8(a, n, 640, true, true); }
TILES(1)
TILES(2)
TILES(3)
TILES(4)

static sk_cpu_tile_fn const q8_0[TILE] = { q8_0_1, q8_0_2, q8_0_3, q8_0_4 };
static sk_cpu_tile_fn const q4_0[TILE] = { q4_0_1, q4_0_2, q4_0_3, q4_0_4 };
static sk_cpu_tile_fn const q4_1[TILE] = { q4_1_1, q4_1_2, q4_1_3, q4_1_4 };

/* ---- float ---- */

INLINE void f32_half(float *acc, const float *w, const float *x, int32_t len, const int n)
{
	__m256 a[TILE], b[TILE];

#pragma GCC unroll 4
	for (int t = 0; t < n; t++) {
		a[t] = _mm256_load_ps(acc + t * ROWS);
		b[t] = _mm256_load_ps(acc + t * ROWS + 8);
	}
	for (; len > 0; len--, w += ROWS, x += n) {
		const __m256 w0 = _mm256_load_ps(w), w1 = _mm256_load_ps(w + 8);

#pragma GCC unroll 4
		for (int t = 0; t < n; t++) {
			const __m256 v = _mm256_broadcast_ss(x + t);

			a[t] = _mm256_fmadd_ps(w0, v, a[t]);
			b[t] = _mm256_fmadd_ps(w1, v, b[t]);
		}
	}
#pragma GCC unroll 4
	for (int t = 0; t < n; t++) {
		_mm256_store_ps(acc + t * ROWS, a[t]);
		_mm256_store_ps(acc + t * ROWS + 8, b[t]);
	}
}

#define F32_TILE(n) \
	static void f32_##n(float *acc, const float *w, const float *x, int32_t len) \
	{ \
		f32_half(acc, w, x, len, n); \
		f32_half(acc + 16, w + 16, x, len, n); \
	}
F32_TILE(1)
F32_TILE(2)
F32_TILE(3)
F32_TILE(4)

static void (*const f32[TILE])(float *, const float *, const float *, int32_t) = { f32_1, f32_2, f32_3, f32_4 };

INLINE void unpack_q4(float *out, const unsigned char *w, int32_t blocks, size_t block_bytes, int offset, bool mins)
{
	const __m256i nib = _mm256_set1_epi32(15), off = _mm256_set1_epi32(offset);

	for (; blocks > 0; blocks--, w += block_bytes, out += 32 * ROWS)
		for (int part = 0; part < 4; part++) {
			const __m256 d = halves(w + 512 + 16 * part);
			const __m256 m = mins ? halves(w + 576 + 16 * part) : _mm256_setzero_ps();

			for (int j = 0; j < 4; j++) {
				const __m256i q = load_i(w + 128 * j + 32 * part);

#pragma GCC unroll 8
				for (int i = 0; i < 8; i++) {
					/* i = 2 * byte + nibble */
					__m256i v = _mm256_and_si256(_mm256_srli_epi32(q, 4 * i), nib);
					__m256 f = _mm256_mul_ps(d, _mm256_cvtepi32_ps(_mm256_sub_epi32(v, off)));

					if (mins)
						f = _mm256_add_ps(f, m);
					_mm256_store_ps(out + (4 * j + i / 2 + 16 * (i % 2)) * ROWS + 8 * part, f);
				}
			}
		}
}

static void unpack_q4_0(float *out, const unsigned char *w, int32_t blocks, size_t ahead)
{
	unpack_q4(out, w, blocks, 576, 8, false);
}

static void unpack_q4_1(float *out, const unsigned char *w, int32_t blocks, size_t ahead)
{
	unpack_q4(out, w, blocks, 640, 0, true);
}

static void unpack_q8_0(float *out, const unsigned char *w, int32_t blocks, size_t ahead)
{
	const __m256i byte = _mm256_set1_epi32(255), off = _mm256_set1_epi32(128);

	for (; blocks > 0; blocks--, w += 1088, out += 32 * ROWS)
		for (int part = 0; part < 4; part++) {
			const __m256 d = halves(w + 1024 + 16 * part);

			for (int j = 0; j < 8; j++) {
				const __m256i q = load_i(w + 128 * j + 32 * part);

#pragma GCC unroll 4
				for (int i = 0; i < 4; i++) {
					__m256i v = _mm256_and_si256(_mm256_srli_epi32(q, 8 * i), byte);

					_mm256_store_ps(out + (4 * j + i) * ROWS + 8 * part,
							_mm256_mul_ps(d, _mm256_cvtepi32_ps(_mm256_sub_epi32(v, off))));
				}
			}
		}
}

static void unpack_bf16(float *out, const unsigned char *w, int32_t blocks, size_t ahead)
{
	for (; blocks > 0; blocks--, w += 128, out += 2 * ROWS)
		for (int part = 0; part < 4; part++) {
			const __m256i v = load_i(w + 32 * part);

			_mm256_store_ps(out + 8 * part, _mm256_castsi256_ps(_mm256_slli_epi32(v, 16)));
			_mm256_store_ps(out + ROWS + 8 * part,
					_mm256_castsi256_ps(_mm256_and_si256(v, _mm256_set1_epi32(-65536))));
		}
}

static void unpack_f16(float *out, const unsigned char *w, int32_t blocks, size_t ahead)
{
	for (; blocks > 0; blocks--, w += 64, out += ROWS)
		for (int part = 0; part < 4; part++)
			_mm256_store_ps(out + 8 * part, halves(w + 16 * part));
}

/* ---- finish ---- */

/* ((0+1)+(2+3))+((4+5)+(6+7)), missing ones left out; 8 sums from p on. */
static inline __m256 slices_sum(const struct sk_cpu_finish *f, const float *p)
{
	__m256 a[SK_SLICES_MAX];
	const int64_t d = f->part_stride;
	int32_t len = f->slices;

	/* Eight is what wide models have: no loop. */
	if (len == 8) {
		const __m256 b0 = _mm256_add_ps(_mm256_load_ps(p), _mm256_load_ps(p + d));
		const __m256 b1 = _mm256_add_ps(_mm256_load_ps(p + 2 * d), _mm256_load_ps(p + 3 * d));
		const __m256 b2 = _mm256_add_ps(_mm256_load_ps(p + 4 * d), _mm256_load_ps(p + 5 * d));
		const __m256 b3 = _mm256_add_ps(_mm256_load_ps(p + 6 * d), _mm256_load_ps(p + 7 * d));

		return _mm256_add_ps(_mm256_add_ps(b0, b1), _mm256_add_ps(b2, b3));
	}
	a[0] = _mm256_load_ps(p);
	for (int32_t s = 1; s < len; s++)
		a[s] = _mm256_load_ps(p + s * f->part_stride);
	for (; len > 1; len = (len + 1) / 2)
		for (int32_t i = 0; i < (len + 1) / 2; i++)
			a[i] = 2 * i + 1 < len ? _mm256_add_ps(a[2 * i], a[2 * i + 1]) : a[2 * i];
	return a[0];
}

/* `more`: biases, an activation, a GLU. Without them there is nothing between the sums and y. */
INLINE void finish_tile(const struct sk_cpu_finish *f, const bool more, const enum sk_act act)
{
	const bool glu = f->flags & SK_LINEAR_GLU, add = f->flags & SK_LINEAR_ADD;

	for (int32_t t = 0; t < f->n; t++)
		for (int32_t c = 0; c < f->cols; c += 8) {
			const float *p = f->part + t * ROWS + c;
			float *y = f->y + t * f->y_stride + c;
			int32_t len = f->cols - c < 8 ? f->cols - c : 8;
			__m256 v = slices_sum(f, p);

			if (more && f->bias)
				v = _mm256_add_ps(v, v_load_n(f->bias + c, len, 0.0f));
			if (more)
				v = v_act(act, v);
			if (more && glu) {
				__m256 up = slices_sum(f, p + 16);

				if (f->bias)
					up = _mm256_add_ps(up, v_load_n(f->bias_up + c, len, 0.0f));
				v = _mm256_mul_ps(v, up);
			}
			if (len == 8)
				_mm256_storeu_ps(y, add ? _mm256_add_ps(_mm256_loadu_ps(y), v) : v);
			else
				v_store_n(y, add ? _mm256_add_ps(v_load_n(y, len, 0.0f), v) : v, len);
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

const struct sk_cpu_linear sk_cpu_linear_table_avx2 = {
	.tile_i8 = TILE, .tile_f32 = TILE,
	.start = { [SK_Q4_0] = -8 },
	.i8 = { [SK_Q8_0] = q8_0, [SK_Q4_0] = q4_0, [SK_Q4_1] = q4_1 },
	.pack_i8 = pack_i8, .pack_f32 = pack_f32,
	.unpack = {
		[SK_F16] = unpack_f16, [SK_BF16] = unpack_bf16,
		[SK_Q8_0] = unpack_q8_0, [SK_Q4_0] = unpack_q4_0, [SK_Q4_1] = unpack_q4_1,
	},
	.f32 = f32,
	.finish = finish,
};
