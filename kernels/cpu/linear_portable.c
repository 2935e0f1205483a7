/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tiles in plain C, for every machine: one token at a time, 32 rows side by side in loops a compiler can turn into SIMD.
 * For block formats the bits are those of the AVX levels: exact integers, then the same fused operations in order.
 */
#include <math.h>
#include <string.h>

#include "kernels/cpu/vec_scalar.h"

#include "kernels/cpu/linear.h"
#include "kernels/quant/half.h"

#define ROWS SK_CPU_ROWS
#define TILE 4

/* ---- activations ---- */

static void pack_i8_token(unsigned char *to, const float *x, int32_t n, int32_t t, int32_t start)
{
	float max = 0.0f, s, s_sum;
	int32_t sum = 0;

	for (int i = 0; i < 32; i++)
		max = fabsf(x[i]) > max ? fabsf(x[i]) : max;
	s = max / 127.0f;
	for (int j = 0; j < 8; j++) {
		int8_t q[4];

		for (int i = 0; i < 4; i++) {
			float v = s > 0.0f ? x[4 * j + i] / s : 0.0f;

			v = v < 127.0f ? v : 127.0f;
			v = v > -127.0f ? v : -127.0f;
			q[i] = (int8_t)v_round(v);
			sum += q[i];
		}
		memcpy(to + 4 * (j * n + t), q, 4);
	}
	start *= sum;
	s_sum = s * (float)sum;
	memcpy(to + 32 * n + 4 * t, &s, 4);
	memcpy(to + 36 * n + 4 * t, &start, 4);
	memcpy(to + 40 * n + 4 * t, &s_sum, 4);
}

static void pack_i8(unsigned char *to, const float *x, int64_t x_stride, int32_t n, int32_t K, int32_t start)
{
	for (int32_t k = 0; k < K; k += 32, to += SK_CPU_X8_BYTES * n)
		for (int32_t t = 0; t < n; t++)
			pack_i8_token(to, x + t * x_stride + k, n, t, start);
}

static void pack_f32(unsigned char *to, const float *x, int64_t x_stride, int32_t n, int32_t K, bool bf16)
{
	for (int32_t k = 0; k < K; k++)
		for (int32_t t = 0; t < n; t++, to += 4) {
			float v = x[t * x_stride + k];

			if (bf16)
				v = sk_f32_of_bf16(sk_bf16_of_f32(v));
			memcpy(to, &v, 4);
		}
}

/* ---- int8 tiles ---- */

/* isum[r] += dot of the 4 bytes of dword r and the 4 bytes at x; weights unsigned, shifted and masked. */
static inline void dot4(int32_t isum[ROWS], const unsigned char *w, const unsigned char *x, int shift, unsigned char mask)
{
	int8_t a[4];

	memcpy(a, x, 4);
	for (int r = 0; r < ROWS; r++)
		isum[r] += (w[4 * r] >> shift & mask) * a[0] + (w[4 * r + 1] >> shift & mask) * a[1] +
			   (w[4 * r + 2] >> shift & mask) * a[2] + (w[4 * r + 3] >> shift & mask) * a[3];
}

static inline float get_f32(const unsigned char *p)
{
	float f;

	memcpy(&f, p, 4);
	return f;
}

/* One block for token t of n. */
static inline void block_i8(float acc[ROWS], const unsigned char *w, const unsigned char *x, int n, int t, bool nibbles, bool mins)
{
	const unsigned char *scales = w + (nibbles ? 512 : 1024);
	float s = get_f32(x + 32 * n + 4 * t), s_sum = get_f32(x + 40 * n + 4 * t);
	int32_t isum[ROWS], start;

	memcpy(&start, x + 36 * n + 4 * t, 4);
	for (int r = 0; r < ROWS; r++)
		isum[r] = start;
	for (int j = 0; j < (nibbles ? 4 : 8); j++) {
		dot4(isum, w + 128 * j, x + 4 * (j * n + t), 0, nibbles ? 15 : 255);
		if (nibbles)
			dot4(isum, w + 128 * j, x + 4 * ((4 + j) * n + t), 4, 15);
	}
	for (int r = 0; r < ROWS; r++) {
		acc[r] = fmaf((float)isum[r], sk_f32_of_f16(sk_u16_get(scales + 2 * r)) * s, acc[r]);
		if (mins)
			acc[r] = fmaf(sk_f32_of_f16(sk_u16_get(scales + 64 + 2 * r)), s_sum, acc[r]);
	}
}

static inline void tile_i8(const struct sk_cpu_tile *a, int n, size_t block_bytes, bool nibbles, bool mins)
{
	const unsigned char *w = a->panel, *x = a->x;
	float *out = a->out;

	for (int32_t s = 0, b = 0; s < a->slices; s++, out += n * ROWS) {
		memset(out, 0, sizeof(float) * (size_t)(n * ROWS));
		for (; b < a->slice_end[s]; b++, w += block_bytes, x += SK_CPU_X8_BYTES * n)
			for (int t = 0; t < n; t++)
				block_i8(out + t * ROWS, w, x, n, t, nibbles, mins);
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

static inline void f32_tile(float *acc, const float *w, const float *x, int32_t len, int n)
{
	for (int32_t k = 0; k < len; k++, w += ROWS, x += n)
		for (int t = 0; t < n; t++)
			for (int r = 0; r < ROWS; r++)
				acc[t * ROWS + r] += w[r] * x[t];
}

static void f32_1(float *acc, const float *w, const float *x, int32_t len) { f32_tile(acc, w, x, len, 1); }
static void f32_2(float *acc, const float *w, const float *x, int32_t len) { f32_tile(acc, w, x, len, 2); }
static void f32_3(float *acc, const float *w, const float *x, int32_t len) { f32_tile(acc, w, x, len, 3); }
static void f32_4(float *acc, const float *w, const float *x, int32_t len) { f32_tile(acc, w, x, len, 4); }

static void (*const f32[TILE])(float *, const float *, const float *, int32_t) = { f32_1, f32_2, f32_3, f32_4 };

static inline void unpack_q4(float *out, const unsigned char *w, int32_t blocks, size_t block_bytes, float offset, bool mins)
{
	for (; blocks > 0; blocks--, w += block_bytes, out += 32 * ROWS)
		for (int r = 0; r < ROWS; r++) {
			float d = sk_f32_of_f16(sk_u16_get(w + 512 + 2 * r));
			float m = mins ? sk_f32_of_f16(sk_u16_get(w + 576 + 2 * r)) : 0.0f;

			for (int i = 0; i < 16; i++) {
				unsigned char q = w[128 * (i / 4) + 4 * r + i % 4];
				float lo = d * ((float)(q & 15) - offset), hi = d * ((float)(q >> 4) - offset);

				out[i * ROWS + r] = mins ? lo + m : lo;
				out[(16 + i) * ROWS + r] = mins ? hi + m : hi;
			}
		}
}

static void unpack_q4_0(float *out, const unsigned char *w, int32_t blocks, size_t ahead)
{
	unpack_q4(out, w, blocks, 576, 8.0f, false);
}

static void unpack_q4_1(float *out, const unsigned char *w, int32_t blocks, size_t ahead)
{
	unpack_q4(out, w, blocks, 640, 0.0f, true);
}

static void unpack_q8_0(float *out, const unsigned char *w, int32_t blocks, size_t ahead)
{
	for (; blocks > 0; blocks--, w += 1088, out += 32 * ROWS)
		for (int r = 0; r < ROWS; r++) {
			float d = sk_f32_of_f16(sk_u16_get(w + 1024 + 2 * r));

			for (int i = 0; i < 32; i++)
				out[i * ROWS + r] = d * (float)((int)w[128 * (i / 4) + 4 * r + i % 4] - 128);
		}
}

static void unpack_bf16(float *out, const unsigned char *w, int32_t blocks, size_t ahead)
{
	for (; blocks > 0; blocks--, w += 128, out += 2 * ROWS)
		for (int r = 0; r < ROWS; r++) {
			out[r] = sk_f32_of_bf16(sk_u16_get(w + 4 * r));
			out[ROWS + r] = sk_f32_of_bf16(sk_u16_get(w + 4 * r + 2));
		}
}

static void unpack_f16(float *out, const unsigned char *w, int32_t blocks, size_t ahead)
{
	for (; blocks > 0; blocks--, w += 64, out += ROWS)
		for (int r = 0; r < ROWS; r++)
			out[r] = sk_f32_of_f16(sk_u16_get(w + 2 * r));
}

/* ---- finish ---- */

/* ((0+1)+(2+3))+((4+5)+(6+7)), missing ones left out; sums of lane r of token t. */
static inline float slices_sum(const struct sk_cpu_finish *f, int32_t t, int32_t r)
{
	float a[SK_SLICES_MAX];
	int32_t len = f->slices;

	for (int32_t s = 0; s < len; s++)
		a[s] = f->part[s * f->part_stride + t * ROWS + r];
	for (; len > 1; len = (len + 1) / 2)
		for (int32_t i = 0; i < (len + 1) / 2; i++)
			a[i] = 2 * i + 1 < len ? a[2 * i] + a[2 * i + 1] : a[2 * i];
	return a[0];
}

static void finish(const struct sk_cpu_finish *f)
{
	for (int32_t t = 0; t < f->n; t++)
		for (int32_t r = 0; r < f->cols; r++) {
			float *y = &f->y[t * f->y_stride + r], v = slices_sum(f, t, r), up;

			v = v_act(f->act, f->bias ? v + f->bias[r] : v);
			if (f->flags & SK_LINEAR_GLU) {
				up = slices_sum(f, t, 16 + r);
				v *= f->bias ? up + f->bias_up[r] : up;
			}
			*y = f->flags & SK_LINEAR_ADD ? *y + v : v;
		}
}

const struct sk_cpu_linear sk_cpu_linear_table_portable = {
	.tile_i8 = TILE, .tile_f32 = TILE,
	.start = { [SK_Q8_0] = -128, [SK_Q4_0] = -8 },
	.i8 = { [SK_Q8_0] = q8_0, [SK_Q4_0] = q4_0, [SK_Q4_1] = q4_1 },
	.pack_i8 = pack_i8, .pack_f32 = pack_f32,
	.unpack = {
		[SK_F16] = unpack_f16, [SK_BF16] = unpack_bf16,
		[SK_Q8_0] = unpack_q8_0, [SK_Q4_0] = unpack_q4_0, [SK_Q4_1] = unpack_q4_1,
	},
	.f32 = f32,
	.finish = finish,
};
