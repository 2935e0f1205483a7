/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Two kernels for a build with -fsanitize=thread: "race missing" lacks a barrier and must be reported as a data race,
 * "race clean" has it and must pass in silence. Prints the sum of the results, so that nothing is optimised away.
 */
#include <stdio.h>
#include <string.h>
#include "cuda_runtime_api.h"
#include "gpu_words.h"

/* Each thread writes one number to shared memory and reads that of its mirror image. */
template <bool BARRIER> __global__ void mirror(const float *x, float *y)
{
	SK_SHARED float row[64];

	row[threadIdx.x] = x[threadIdx.x];
	if (BARRIER)
		__syncthreads();
	y[blockIdx.x * blockDim.x + threadIdx.x] = row[blockDim.x - 1 - threadIdx.x];
	if (BARRIER)
		__syncthreads();
}

/* As above within each warp, by asynchronous copies into dynamic shared memory. */
template <bool BARRIER> __global__ void warp_mirror(const float *x, float *y)
{
	SK_SMEM(float, row);
	unsigned warp = threadIdx.x / 32 * 32, lane = threadIdx.x % 32;

	if (lane % 4 == 0)
		sk_cp_async16(&row[threadIdx.x], &x[threadIdx.x], true);
	sk_cp_async_commit();
	sk_cp_async_wait<0>();
	if (BARRIER)
		sk_syncwarp();
	/* A shuffle parks the lanes too, but orders no memory: it must not hide the missing word. */
	float first = sk_shfl(row[threadIdx.x], 0);
	y[blockIdx.x * blockDim.x + threadIdx.x] = row[warp + 31 - lane] + first;
}

int main(int argc, char **argv)
{
	bool clean = argc > 1 && strcmp(argv[1], "clean") == 0;
	float *x, *y, sum = 0;
	float in[64], out[4 * 64];

	if (argc < 2 || (!clean && strcmp(argv[1], "missing") != 0)) {
		fprintf(stderr, "usage: race missing|clean\n");
		return 2;
	}
	for (int i = 0; i < 64; i++)
		in[i] = (float)i;
	if (cudaMalloc(&x, sizeof in) || cudaMalloc(&y, sizeof out) ||
	    cudaMemcpy(x, in, sizeof in, cudaMemcpyHostToDevice))
		return 2;
	for (int i = 0; i < 2; i++) {
		if (clean) {
			SK_LAUNCH(mirror<true>, 4, 64, 0, nullptr, x, y);
			SK_LAUNCH(warp_mirror<true>, 4, 64, 64 * sizeof(float), nullptr, x, y);
		} else {
			SK_LAUNCH(mirror<false>, 4, 64, 0, nullptr, x, y);
			SK_LAUNCH(warp_mirror<false>, 4, 64, 64 * sizeof(float), nullptr, x, y);
		}
	}
	if (cudaMemcpy(out, y, sizeof out, cudaMemcpyDeviceToHost))
		return 2;
	for (float v : out)
		sum += v;
	printf("%s: sum %g\n", argv[1], (double)sum);
	cudaFree(x);
	cudaFree(y);
	return 0;
}
