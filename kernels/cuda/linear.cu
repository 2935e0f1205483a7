/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Products with weights, y[t][n] (+)= act(sum_k round(x[t][k]) * w[n][k] + bias[n]), in two families:
 *
 *	exact	float32 activations, float32 sums on the plain units; F32, F16 and BF16 weights. A warp a row.
 *	mma	activations rounded to bf16, bf16 weights on the matrix units; weights as A, tokens as B.
 *
 * In both the order of a row's sum is a function of K alone: the tiles and the number of tokens change nothing, so that a
 * token gets the same bits alone, in a batch, and in a prompt.
 */
#include "kernels/cuda/gpu.h"

#define WARPS 8
#define THREADS (WARPS * SK_WARP)

/* ---- activations, rounded and padded ---- */

/* room[t][k] = round(x[t][k]), 0 behind K; grid T x parts of ld, a thread an element. */
template <class X>
__global__ void sk_k_round(const float *x, int64_t x_stride, X *room, int64_t ld, int32_t K)
{
	int32_t k = (int32_t)(blockIdx.y * blockDim.x + threadIdx.x);

	if (k < ld)
		room[blockIdx.x * ld + k] = sk_from_float<X>(k < K ? x[blockIdx.x * x_stride + k] : 0.0f);
}

/* ---- after the sums ---- */

/* y[t][n] (+)= act(sum + bias[n]), of a GLU times up + bias[N + n]. */
__device__ __forceinline__ void sk_finish(const struct sk_gpu_linear *a, int32_t t, int64_t n, float sum, float up)
{
	float *y = a->y + t * a->y_stride + n;

	if (a->bias)
		sum += a->bias[n];
	sum = sk_act(a->act, sum);
	if (a->flags & SK_GPU_IS_GLU)
		sum *= a->bias ? up + a->bias[a->N + n] : up;
	*y = a->flags & SK_GPU_ADD ? *y + sum : sum;
}

/* ---- exact ---- */

/* Eight weights as float32. */
__device__ __forceinline__ void sk_take8(const float *w, float out[8])
{
	for (int i = 0; i < 8; i++)
		out[i] = w[i];
}

template <class W>
__device__ __forceinline__ void sk_take8(const W *w, float out[8])
{
	uint4 v = sk_load_stream((const uint4 *)w);
	unsigned u[4] = { v.x, v.y, v.z, v.w };

	for (int i = 0; i < 4; i++) {
		out[2 * i] = sk_to_float(W{ (uint16_t)(u[i] & 0xffffu) });
		out[2 * i + 1] = sk_to_float(W{ (uint16_t)(u[i] >> 16) });
	}
}

/* One weight row times TT activation rows: a lane takes 8 of each 256 elements, ascending; then the warp's tree. */
template <class W, int TT>
__device__ __forceinline__ void sk_exact_dots(const W *w, const float *x, int64_t ld, float sum[TT])
{
	for (int t = 0; t < TT; t++)
		sum[t] = 0.0f;
	for (int64_t k = threadIdx.x % SK_WARP * 8; k < ld; k += 8 * SK_WARP) {
		float v[8];

		sk_take8(w + k, v);
		for (int t = 0; t < TT; t++)
			for (int i = 0; i < 8; i++)
				sum[t] = fmaf(v[i], x[t * ld + k + i], sum[t]);
	}
	for (int t = 0; t < TT; t++)
		sum[t] = sk_warp_sum(sum[t]);
}

/*
 * grid (rows / WARPS) x (T / TT), a warp a row (of a GLU: its two). Weights are read once for TT tokens, activations come from
 * L1 and L2. Rows of x behind T are those of the room, never stored.
 */
template <class W, int TT>
__global__ void __launch_bounds__(THREADS) sk_k_linear_exact(struct sk_gpu_linear a, const float *x)
{
	int32_t n = (int32_t)(blockIdx.x * WARPS + threadIdx.x / SK_WARP), t0 = (int32_t)blockIdx.y * TT;
	bool glu = a.flags & SK_GPU_IS_GLU;
	int32_t row = glu ? n / SK_GPU_GLU * (2 * SK_GPU_GLU) + n % SK_GPU_GLU : n;
	float sum[TT], up[TT];

	if (n >= a.N)
		return;         /* whole warps, and no barrier below */
	sk_exact_dots<W, TT>((const W *)a.w + row * a.ld, x + t0 * a.ld, a.ld, sum);
	if (glu)
		sk_exact_dots<W, TT>((const W *)a.w + (row + SK_GPU_GLU) * a.ld, x + t0 * a.ld, a.ld, up);
	if (threadIdx.x % SK_WARP != 0)
		return;
	for (int t = 0; t < TT && t0 + t < a.T; t++) {
		sk_finish(&a, t0 + t, n, sum[t], glu ? up[t] : 0.0f);
	}
}

template <class W>
static void exact(void *stream, const struct sk_gpu_linear *a)
{
	unsigned rows = (unsigned)((a->N + WARPS - 1) / WARPS);
	float *x = (float *)a->room;

	SK_LAUNCH(sk_k_round<float>, dim3((unsigned)a->T, (unsigned)((a->ld + THREADS - 1) / THREADS)), dim3(THREADS), 0, stream, a->x,
		  a->x_stride, x, a->ld, a->K);
	if (a->T == 1)
		SK_LAUNCH((sk_k_linear_exact<W, 1>), dim3(rows), dim3(THREADS), 0, stream, *a, x);
	else
		SK_LAUNCH((sk_k_linear_exact<W, 4>), dim3(rows, (unsigned)((a->T + 3) / 4)), dim3(THREADS), 0, stream, *a, x);
}

/* ---- mma ---- */

/*
 * A block: 16 R weight rows times 8 NT tokens. Its eight warps share K: warp w takes tiles [w n / 8, (w + 1) n / 8) of the
 * n = ld / 32 tiles of 32, ascending, and the eight sums are added in order. Within a tile lane 4g + c holds k = 8c ... 8c + 7
 * of rows g and g + 8: any k may stand in any place of a fragment as long as A and B agree, and so a lane's part of a tile is
 * 16 bytes of one row, straight from memory to the registers: weights are read once, and pass no shared memory.
 * B comes from L1 and L2: float32 and aligned to 16 bytes, rounded on the way (F32X), or rounded before.
 * Registers: at most 240.
 */
template <int R, int NT, bool F32X>
__global__ void __launch_bounds__(THREADS) sk_k_linear_mma(struct sk_gpu_linear a, const void *x, int64_t x_ld)
{
	SK_SMEM(float, part);           /* [WARPS][16][8 NT], one R at a time */
	const int lane = (int)threadIdx.x % SK_WARP, warp = (int)threadIdx.x / SK_WARP, g = lane / 4, c = lane % 4;
	const int tiles = (int)(a.ld / SK_GPU_K), end = (warp + 1) * tiles / WARPS;
	const int64_t row0 = (int64_t)blockIdx.x * (16 * R);
	const int t0 = (int)blockIdx.y * (8 * NT);
	const sk_bf16 *w = (const sk_bf16 *)a.w + (row0 + g) * a.ld + 8 * c;
	float acc[R][NT][4];

#pragma unroll
	for (int r = 0; r < R; r++)
#pragma unroll
		for (int n = 0; n < NT; n++)
			acc[r][n][0] = acc[r][n][1] = acc[r][n][2] = acc[r][n][3] = 0.0f;
#pragma unroll(R * NT > 4 ? 1 : 4)
	for (int tile = warp * tiles / WARPS; tile < end; tile++) {
		uint4 wa[R][2];

#pragma unroll
		for (int r = 0; r < R; r++) {
			wa[r][0] = sk_load_stream((const uint4 *)(w + 16 * r * a.ld + tile * SK_GPU_K));
			wa[r][1] = sk_load_stream((const uint4 *)(w + (16 * r + 8) * a.ld + tile * SK_GPU_K));
		}
#pragma unroll
		for (int n = 0; n < NT; n++) {
			int64_t at = (t0 + 8 * n + g) * x_ld + tile * SK_GPU_K + 8 * c;
			unsigned b[4] = { 0, 0, 0, 0 };

			if (t0 + 8 * n + g < a.T) {
				if (F32X) {
					uint4 lo = sk_load((const uint4 *)((const float *)x + at));
					uint4 hi = sk_load((const uint4 *)((const float *)x + at + 4));

					b[0] = sk_pack_bf16(sk_float_of(lo.x), sk_float_of(lo.y));
					b[1] = sk_pack_bf16(sk_float_of(lo.z), sk_float_of(lo.w));
					b[2] = sk_pack_bf16(sk_float_of(hi.x), sk_float_of(hi.y));
					b[3] = sk_pack_bf16(sk_float_of(hi.z), sk_float_of(hi.w));
				} else {
					uint4 v = sk_load((const uint4 *)((const sk_bf16 *)x + at));

					b[0] = v.x;
					b[1] = v.y;
					b[2] = v.z;
					b[3] = v.w;
				}
			}
#pragma unroll
			for (int r = 0; r < R; r++) {
				unsigned first[4] = { wa[r][0].x, wa[r][1].x, wa[r][0].y, wa[r][1].y };
				unsigned second[4] = { wa[r][0].z, wa[r][1].z, wa[r][0].w, wa[r][1].w };

				sk_mma_16816_bf16(acc[r][n], first, b);
				sk_mma_16816_bf16(acc[r][n], second, b + 2);
			}
		}
	}
#pragma unroll
	for (int r = 0; r < R; r++) {
		const bool glu = a.flags & SK_GPU_IS_GLU;
		const int outs = glu ? 8 : 16;

#pragma unroll
		for (int n = 0; n < NT; n++) {
			float *p = part + (warp * 16 + g) * (8 * NT) + 8 * n + 2 * c;

			p[0] = acc[r][n][0];
			p[1] = acc[r][n][1];
			p[8 * (8 * NT)] = acc[r][n][2];
			p[8 * (8 * NT) + 1] = acc[r][n][3];
		}
		__syncthreads();
		for (int i = (int)threadIdx.x; i < outs * 8 * NT; i += THREADS) {
			/* Neighbouring threads store neighbouring rows of one token. */
			const int m = i % outs, t = i / outs;
			const int64_t row = (row0 + 16 * r) / (glu ? 2 : 1) + m;
			float sum = 0.0f, up = 0.0f;

			for (int v = 0; v < WARPS; v++)
				sum += part[(v * 16 + m) * (8 * NT) + t];
			if (glu) {
				for (int v = 0; v < WARPS; v++)
					up += part[(v * 16 + m + 8) * (8 * NT) + t];
			}
			if (row < a.N && t0 + t < a.T)
				sk_finish(&a, t0 + t, row, sum, up);
		}
		__syncthreads();
	}
}

template <int R, int NT, bool F32X>
static void mma(void *stream, const struct sk_gpu_linear *a, const void *x, int64_t x_ld)
{
	int32_t rows = a->flags & SK_GPU_IS_GLU ? (a->N + SK_GPU_GLU - 1) / SK_GPU_GLU * (2 * SK_GPU_GLU) : a->N;
	dim3 grid((unsigned)((rows + 16 * R - 1) / (16 * R)), (unsigned)((a->T + 8 * NT - 1) / (8 * NT)));

	SK_LAUNCH((sk_k_linear_mma<R, NT, F32X>), grid, dim3(THREADS), WARPS * 16 * 8 * NT * sizeof(float), stream, *a, x, x_ld);
}

/* More tokens: more rows a block, as each block reads all of its tokens' activations. The bits are the same for all. */
static void matrix(void *stream, const struct sk_gpu_linear *a)
{
	bool aligned = a->K % SK_GPU_K == 0 && a->x_stride % 4 == 0 && (uintptr_t)a->x % 16 == 0;

	if (a->T <= 8 && aligned) {
		mma<1, 1, true>(stream, a, a->x, a->x_stride);
		return;
	}
	SK_LAUNCH(sk_k_round<sk_bf16>, dim3((unsigned)a->T, (unsigned)((a->ld + THREADS - 1) / THREADS)), dim3(THREADS), 0, stream,
		  a->x, a->x_stride, (sk_bf16 *)a->room, a->ld, a->K);
	if (a->T <= 8)
		mma<1, 1, false>(stream, a, a->room, a->ld);
	else if (a->T <= 16)
		mma<1, 2, false>(stream, a, a->room, a->ld);
	else if (a->T <= 32)
		mma<2, 4, false>(stream, a, a->room, a->ld);
	else
		mma<4, 8, false>(stream, a, a->room, a->ld);
}

void sk_gpu_linear(void *stream, const struct sk_gpu_linear *a)
{
	if (a->round)
		matrix(stream, a);
	else if (a->type == SK_GPU_BF16)
		exact<sk_bf16>(stream, a);
	else if (a->type == SK_GPU_F16)
		exact<sk_f16>(stream, a);
	else
		exact<float>(stream, a);
}
