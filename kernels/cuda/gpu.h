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

/* cap tanh(v / cap), off by 4 eps cap */
__device__ __forceinline__ float sk_softcap(float v, float cap)
{
	return cap * (1.0f - 2.0f / (1.0f + sk_exp(v * (2.0f / cap))));
}

#endif
