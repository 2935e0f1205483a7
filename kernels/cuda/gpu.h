/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What every .cu file includes, and all it includes: the words (CUDA's, or their host twins), and what several kernels share.
 *
 * Rules for kernels: every thread of a block reaches every __syncthreads(); a guard wraps work, it never returns before
 * a barrier; no thread relies on its warp marching in step; whole warps only.
 */
#ifndef SK_GPU_H
#define SK_GPU_H

#include <gpu_words.h>

#include "kernels/cuda/launch.h"

#define SK_WARP 32
#define SK_WARPS_MAX 32

/* The sum over a warp, in every lane; a fixed tree. */
__device__ __forceinline__ float sk_warp_sum(float v)
{
	for (int m = SK_WARP / 2; m > 0; m /= 2)
		v += sk_shfl_xor(v, m);
	return v;
}

/* The sum over a block, in every thread; part: shared, SK_WARPS_MAX floats. Every thread of the block comes here. */
__device__ __forceinline__ float sk_block_sum(float v, float *part)
{
	int warps = (int)blockDim.x / SK_WARP;
	float sum = 0.0f;

	v = sk_warp_sum(v);
	if (threadIdx.x % SK_WARP == 0)
		part[threadIdx.x / SK_WARP] = v;
	__syncthreads();
	for (int w = 0; w < warps; w++)
		sum += part[w];
	__syncthreads();
	return sum;
}

/* ---- the KV pool, and biases of attention ---- */

/* cap tanh(v / cap), off by 4 eps cap */
__device__ __forceinline__ float sk_softcap(float v, float cap)
{
	return cap * (1.0f - 2.0f / (1.0f + sk_exp(v * (2.0f / cap))));
}

/* Element (layer, block, kv head, place, 0) of the pool. */
__device__ __forceinline__ int64_t sk_kv_at(const struct sk_gpu_pool *p, int32_t layer, int32_t block, int32_t head, int32_t place)
{
	return ((((int64_t)layer * p->blocks + block) * p->kv_heads + head) * SK_GPU_BLOCK + place) * p->ld;
}

__device__ __forceinline__ int32_t sk_kv_block(const struct sk_gpu_step *s, int32_t seq, int32_t pos)
{
	return s->tables[s->table_start[seq] + pos / SK_GPU_BLOCK];
}

__device__ __forceinline__ float sk_round_bf16(float x) { return sk_to_float(sk_from_float<sk_bf16>(x)); }

/*
 * The score s of key j with its bias, for a query at i. ALiBi counts from the query: slope (j - i) instead of slope j shifts all
 * scores of a row by the same, and rounds small numbers.
 */
__device__ __forceinline__ float sk_attend_bias(const struct sk_gpu_bias *a, int32_t head, int32_t i, int32_t j, float s)
{
	int32_t apart = j - i;
	float slope;

	if (a->softcap > 0.0f)
		s = sk_softcap(s, a->softcap);
	if (a->kind == SK_GPU_BIAS_NONE)
		return s;
	if (a->kind == SK_GPU_BIAS_TABLE) {
		apart = apart < -a->reach ? -a->reach : apart > a->reach ? a->reach : apart;
		return s + a->data[head * (2 * (int64_t)a->reach + 1) + a->reach + apart];
	}
	slope = a->data[head];
	if (a->kind == SK_GPU_BIAS_ALIBI)
		return fmaf(slope, (float)apart, s);
	slope = sk_round_bf16(slope);
	return fmaf(a->scale, sk_round_bf16(slope * (float)j) - sk_round_bf16(slope * (float)i), s);
}

/* ---- activations ---- */

/*
 * The activations of kernels.h. erf(x) + 1 is erfc(-x), (1 + tanh u) / 2 is 1 / (1 + e^(-2u)): nothing cancels on the left.
 * Off by 4 eps |y|; GELU times 1 + v^2 / 2, GELU_TANH times 1 + |2u|, where the rounding of what they take the exponential of shows.
 */
__device__ __forceinline__ float sk_act(int act, float v)
{
	if (act == SK_GPU_SILU)
		return v / (1.0f + sk_exp(-v));
	if (act == SK_GPU_GELU)
		return v * (0.5f * sk_erfc(v * -0.707106781f));
	if (act == SK_GPU_GELU_TANH)
		return v / (1.0f + sk_exp(-v * fmaf(v * v, 0.071354816f, 1.5957691f)));
	if (act == SK_GPU_RELU)
		return v > 0.0f ? v : 0.0f;
	return v;
}

#endif
