/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The words kernels are written in, as CUDA understands them. tests/emu/gpu_words.h is the host twin: the include path
 * decides. All assembly is here. PTX facts: the PTX ISA manual 9.0, sections on mma, ldmatrix and cp.async.
 */
#ifndef SK_GPU_WORDS_H
#define SK_GPU_WORDS_H

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime.h>
#include <stdint.h>

#define SK_SHARED __shared__
#define SK_SMEM(type, name) \
	extern __shared__ __align__(128) unsigned char sk_smem_bytes[]; \
	type *name = (type *)sk_smem_bytes
#define SK_LAUNCH(kernel, grid, block, smem_bytes, stream, ...) \
	kernel<<<(grid), (block), (smem_bytes), (cudaStream_t)(stream)>>>(__VA_ARGS__)
#define SK_SMEM_LIMIT(kernel, bytes) \
	cudaFuncSetAttribute((const void *)(kernel), cudaFuncAttributeMaxDynamicSharedMemorySize, (int)(bytes))

#define SK_WARP_ALL 0xffffffffu

/* ---- element types ---- */

struct sk_bf16 { uint16_t bits; };
struct sk_f16 { uint16_t bits; };

__device__ __forceinline__ float sk_to_float(float x) { return x; }
__device__ __forceinline__ float sk_to_float(sk_bf16 x) { return __uint_as_float((unsigned)x.bits << 16); }
__device__ __forceinline__ float sk_to_float(sk_f16 x) { return __half2float(__ushort_as_half(x.bits)); }

template <class X> __device__ __forceinline__ X sk_from_float(float x);
template <> __device__ __forceinline__ float sk_from_float<float>(float x) { return x; }
template <> __device__ __forceinline__ sk_bf16 sk_from_float<sk_bf16>(float x)
{
	return sk_bf16{ __bfloat16_as_ushort(__float2bfloat16_rn(x)) };
}
template <> __device__ __forceinline__ sk_f16 sk_from_float<sk_f16>(float x)
{
	return sk_f16{ __half_as_ushort(__float2half_rn(x)) };
}

__device__ __forceinline__ float sk_float_of(unsigned bits) { return __uint_as_float(bits); }

/* lo in the low half, as a fragment's register wants it. */
__device__ __forceinline__ unsigned sk_pack_bf16(float lo, float hi)
{
	return (unsigned)sk_from_float<sk_bf16>(lo).bits | (unsigned)sk_from_float<sk_bf16>(hi).bits << 16;
}

/* ---- warps ---- */

template <class X> __device__ __forceinline__ X sk_shfl_xor(X v, int mask) { return __shfl_xor_sync(SK_WARP_ALL, v, mask); }
template <class X> __device__ __forceinline__ X sk_shfl(X v, int lane) { return __shfl_sync(SK_WARP_ALL, v, lane); }

/* ---- memory ---- */

/* Read once: weights, which must not push activations out of the caches. */
__device__ __forceinline__ uint4 sk_load_stream(const uint4 *p)
{
	uint4 v;

	asm volatile("ld.global.nc.L1::no_allocate.L2::128B.v4.u32 {%0, %1, %2, %3}, [%4];"
		     : "=r"(v.x), "=r"(v.y), "=r"(v.z), "=r"(v.w) : "l"(p));
	return v;
}

__device__ __forceinline__ uint4 sk_load(const uint4 *p) { return *p; }

/* 16 bytes from memory to shared memory, zeros where not `valid`; there after commit and wait. Before sm_80 at once. */
__device__ __forceinline__ void sk_cp_async16(void *smem, const void *gmem, bool valid)
{
#if __CUDA_ARCH__ >= 800
	asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;"
		     :: "r"((unsigned)__cvta_generic_to_shared(smem)), "l"(gmem), "r"(valid ? 16 : 0) : "memory");
#else
	*(uint4 *)smem = valid ? *(const uint4 *)gmem : make_uint4(0, 0, 0, 0);
#endif
}

__device__ __forceinline__ void sk_cp_async_commit(void)
{
#if __CUDA_ARCH__ >= 800
	asm volatile("cp.async.commit_group;" ::: "memory");
#endif
}

/* Until at most N of this thread's groups are on their way. */
template <int N> __device__ __forceinline__ void sk_cp_async_wait(void)
{
#if __CUDA_ARCH__ >= 800
	asm volatile("cp.async.wait_group %0;" :: "n"(N) : "memory");
#endif
}

/* Two neighbours as one register of a fragment. */
__device__ __forceinline__ unsigned sk_pair(const sk_bf16 *p) { return *(const unsigned *)p; }

/* ---- matrix units ---- */

/* Four 8 x 8 matrices of 16-bit numbers, turned; lane i gives the address of row i % 8 of matrix i / 8. */
__device__ __forceinline__ void sk_ldmatrix_x4_trans(unsigned r[4], const void *row)
{
	asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
		     : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3]) : "r"((unsigned)__cvta_generic_to_shared(row)) : "memory");
}

/* c [16][8] += a [16][16] b [16][8], bf16 in, float32 out; fragments as the PTX ISA lays them out for m16n8k16. */
__device__ __forceinline__ void sk_mma_16816_bf16(float c[4], const unsigned a[4], const unsigned b[2])
{
#if __CUDA_ARCH__ >= 800
	asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
		     "{%0, %1, %2, %3};"
		     : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
		     : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
#else
	__trap();       /* no bf16 before sm_80: the host half does not come here */
#endif
}

/* ---- functions; nvcc's own are within 2 ulp without --use_fast_math ---- */

__device__ __forceinline__ float sk_exp(float x) { return expf(x); }
__device__ __forceinline__ float sk_log(float x) { return logf(x); }
__device__ __forceinline__ float sk_erfc(float x) { return erfcf(x); }          /* within 4 ulp */
__device__ __forceinline__ void sk_sincos(float a, float *s, float *c) { sincosf(a, s, c); }

#endif
