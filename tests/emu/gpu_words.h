/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The host twin of kernels/cuda/gpu_words.h: the same words, for g++ and no GPU. The include path decides which of
 * the two files a kernel gets. Every word that waits for other threads goes to emu.h; the rest is plain C++.
 */
#ifndef SK_GPU_WORDS_H
#define SK_GPU_WORDS_H

#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <functional>
#include <tuple>
#include <type_traits>
#include "emu.h"

/*
 * Internal linkage, as nvcc gives device code without -rdc. __device__ is not spelled "static inline", because
 * "__device__ __forceinline__" would then say inline twice, which g++ refuses.
 */
#define __global__ static
#define __device__ static __attribute__((unused))
#define __host__
#define __forceinline__ inline
#define __launch_bounds__(...)

#define threadIdx sk_emu_thread_idx()
#define blockIdx sk_emu_block_idx()
#define blockDim sk_emu_block_dim()
#define gridDim sk_emu_grid_dim()

#define SK_SHARED static thread_local
#define SK_SMEM(type, name) type *name = static_cast<type *>(sk_emu_smem())

typedef struct CUstream_st *cudaStream_t;

/* Kernels look at arrays of other types through these, which C++ allows only to types that may alias. */
struct __attribute__((may_alias, aligned(16))) uint4 {
	unsigned x, y, z, w;
};
struct __attribute__((may_alias, aligned(16))) int4 {
	int x, y, z, w;
};
struct __attribute__((may_alias, aligned(16))) float4 {
	float x, y, z, w;
};
struct __attribute__((may_alias, aligned(8))) uint2 {
	unsigned x, y;
};
struct __attribute__((may_alias, aligned(8))) float2 {
	float x, y;
};

static inline uint4 make_uint4(unsigned x, unsigned y, unsigned z, unsigned w)
{
	return uint4{ x, y, z, w };
}

static inline int4 make_int4(int x, int y, int z, int w)
{
	return int4{ x, y, z, w };
}

static inline float4 make_float4(float x, float y, float z, float w)
{
	return float4{ x, y, z, w };
}

static inline uint2 make_uint2(unsigned x, unsigned y)
{
	return uint2{ x, y };
}

static inline float2 make_float2(float x, float y)
{
	return float2{ x, y };
}

/* Block words. */

static inline void __syncthreads(SK_EMU_SITE)
{
	sk_emu_barrier("__syncthreads", file, line, 0);
}

static inline int __syncthreads_or(int pred, SK_EMU_SITE)
{
	return sk_emu_barrier("__syncthreads_or", file, line, pred);
}

static inline void __threadfence(void)
{
#ifdef SK_EMU_TSAN
	/* TSan knows no fences, and g++ says so in a warning. The atomics below carry the order it needs. */
	__asm__ volatile("" ::: "memory");
#else
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
#endif
}

/* Warp words. */

template <typename T> inline uint64_t sk_emu_to_word(T v)
{
	static_assert(sizeof(T) <= 8 && std::is_arithmetic<T>::value, "warp words carry numbers of 8 bytes at most");
	uint64_t w = 0;

	memcpy(&w, &v, sizeof v);
	return w;
}

template <typename T> inline T sk_emu_from_word(uint64_t w)
{
	T v;

	memcpy(&v, &w, sizeof v);
	return v;
}

template <typename T> inline T sk_shfl(T v, int lane, SK_EMU_SITE)
{
	return sk_emu_from_word<T>(sk_emu_warp_shfl("sk_shfl", file, line, sk_emu_to_word(v), (unsigned)lane & 31));
}

template <typename T> inline T sk_shfl_xor(T v, int mask, SK_EMU_SITE)
{
	unsigned from = sk_emu_lane() ^ (unsigned)mask;

	from = from > 31 ? sk_emu_lane() : from;
	return sk_emu_from_word<T>(sk_emu_warp_shfl("sk_shfl_xor", file, line, sk_emu_to_word(v), from));
}

template <typename T> inline T sk_shfl_down(T v, unsigned n, SK_EMU_SITE)
{
	unsigned lane = sk_emu_lane();
	unsigned from = n > 31 - lane ? lane : lane + n;

	return sk_emu_from_word<T>(sk_emu_warp_shfl("sk_shfl_down", file, line, sk_emu_to_word(v), from));
}

template <typename T> inline T sk_shfl_up(T v, unsigned n, SK_EMU_SITE)
{
	unsigned lane = sk_emu_lane();
	unsigned from = n > lane ? lane : lane - n;

	return sk_emu_from_word<T>(sk_emu_warp_shfl("sk_shfl_up", file, line, sk_emu_to_word(v), from));
}

static inline unsigned sk_ballot(int pred, SK_EMU_SITE)
{
	unsigned live;

	return sk_emu_warp_ballot("sk_ballot", file, line, pred, &live);
}

static inline bool sk_any(int pred, SK_EMU_SITE)
{
	unsigned live;

	return sk_emu_warp_ballot("sk_any", file, line, pred, &live) != 0;
}

static inline bool sk_all(int pred, SK_EMU_SITE)
{
	unsigned live;
	unsigned yes = sk_emu_warp_ballot("sk_all", file, line, pred, &live);

	return yes == live;
}

static inline void sk_syncwarp(SK_EMU_SITE)
{
	sk_emu_warp_sync("sk_syncwarp", file, line);
}

/* Atomics: real ones, because other host threads may share the memory. All but the last give back the old value. */

static inline int sk_atomic_add(int *p, int v)
{
	return __atomic_fetch_add(p, v, __ATOMIC_ACQ_REL);
}

static inline unsigned sk_atomic_add(unsigned *p, unsigned v)
{
	return __atomic_fetch_add(p, v, __ATOMIC_ACQ_REL);
}

static inline unsigned long long sk_atomic_add(unsigned long long *p, unsigned long long v)
{
	return __atomic_fetch_add(p, v, __ATOMIC_ACQ_REL);
}

static inline float sk_atomic_add(float *p, float v)
{
	float was, now;

	__atomic_load(p, &was, __ATOMIC_RELAXED);
	do {
		now = was + v;
	} while (!__atomic_compare_exchange(p, &was, &now, false, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED));
	return was;
}

template <typename T> inline T sk_emu_atomic_max(T *p, T v)
{
	T was = __atomic_load_n(p, __ATOMIC_RELAXED);

	while (was < v && !__atomic_compare_exchange_n(p, &was, v, false, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED))
		;
	return was;
}

static inline int sk_atomic_max(int *p, int v)
{
	return sk_emu_atomic_max(p, v);
}

static inline unsigned sk_atomic_max(unsigned *p, unsigned v)
{
	return sk_emu_atomic_max(p, v);
}

static inline unsigned sk_atomic_cas(unsigned *p, unsigned expected, unsigned v)
{
	__atomic_compare_exchange_n(p, &expected, v, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE);
	return expected;
}

/* Counts callers; true for the one that makes it n, and the count is 0 again for the next launch. */
static inline bool sk_atomic_inc_last(unsigned *p, unsigned n)
{
	unsigned was = __atomic_load_n(p, __ATOMIC_RELAXED);
	unsigned now;

	do {
		now = was + 1 >= n ? 0 : was + 1;
	} while (!__atomic_compare_exchange_n(p, &was, now, false, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED));
	return now == 0;
}

/*
 * Async copies. A GPU may write the destination at any time from here to the wait. So it is poisoned now, in the
 * open: who still reads the old contents gets NaNs (and a race report), and who reads before the wait does not get
 * the new ones.
 */
static inline void sk_cp_async16(void *smem, const void *gmem, bool valid, SK_EMU_SITE)
{
	if (((uintptr_t)smem | (valid ? (uintptr_t)gmem : 0)) & 15)
		sk_emu_fault("sk_cp_async16", file, line, "an address is not a multiple of 16");
	memset(smem, 0xFF, 16);
	sk_emu_copy_add(smem, valid ? gmem : NULL);
}

static inline void sk_cp_async_commit(void)
{
	sk_emu_copy_commit();
}

template <int N> inline void sk_cp_async_wait(void)
{
	struct sk_emu_copy copy;

	while (sk_emu_copy_take(N, &copy)) {
		if (copy.src)
			memcpy(copy.dst, copy.src, 16);
		else
			memset(copy.dst, 0, 16);
	}
}

/* Matrix words; r, c, a and b are the lane's registers, laid out as the PTX ISA says. */

template <int N> inline void sk_emu_ldmatrix(const char *word, const char *file, int line, unsigned *r, const void *row)
{
	const void *rows[N];

	sk_emu_warp_rows(word, file, line, row, N, false, rows);
	for (int i = 0; i < N; i++)
		memcpy(&r[i], (const char *)rows[i] + sk_emu_lane() % 4 * 4, 4);
}

template <int N>
inline void sk_emu_ldmatrix_trans(const char *word, const char *file, int line, unsigned *r, const void *row)
{
	const void *rows[2 * N];
	uint16_t lo, hi;

	sk_emu_warp_rows(word, file, line, row, N, true, rows);
	for (int i = 0; i < N; i++) {
		memcpy(&lo, (const char *)rows[2 * i] + sk_emu_lane() / 4 * 2, 2);
		memcpy(&hi, (const char *)rows[2 * i + 1] + sk_emu_lane() / 4 * 2, 2);
		r[i] = lo | (unsigned)hi << 16;
	}
}

static inline void sk_ldmatrix_x4(unsigned r[4], const void *row, SK_EMU_SITE)
{
	sk_emu_ldmatrix<4>("sk_ldmatrix_x4", file, line, r, row);
}

static inline void sk_ldmatrix_x2(unsigned r[2], const void *row, SK_EMU_SITE)
{
	sk_emu_ldmatrix<2>("sk_ldmatrix_x2", file, line, r, row);
}

static inline void sk_ldmatrix_x4_trans(unsigned r[4], const void *row, SK_EMU_SITE)
{
	sk_emu_ldmatrix_trans<4>("sk_ldmatrix_x4_trans", file, line, r, row);
}

static inline void sk_ldmatrix_x2_trans(unsigned r[2], const void *row, SK_EMU_SITE)
{
	sk_emu_ldmatrix_trans<2>("sk_ldmatrix_x2_trans", file, line, r, row);
}

static inline void sk_mma_16816_bf16(float c[4], const unsigned a[4], const unsigned b[2], SK_EMU_SITE)
{
	sk_emu_warp_mma("sk_mma_16816_bf16", file, line, SK_EMU_MMA_16816_BF16, c, a, b);
}

static inline void sk_mma_16816_f16(float c[4], const unsigned a[4], const unsigned b[2], SK_EMU_SITE)
{
	sk_emu_warp_mma("sk_mma_16816_f16", file, line, SK_EMU_MMA_16816_F16, c, a, b);
}

static inline void sk_mma_1688_f16(float c[4], const unsigned a[2], const unsigned b[1], SK_EMU_SITE)
{
	sk_emu_warp_mma("sk_mma_1688_f16", file, line, SK_EMU_MMA_1688_F16, c, a, b);
}

/* Types. */

struct sk_bf16 {
	uint16_t bits;
};

struct sk_f16 {
	uint16_t bits;
};

static inline unsigned sk_pair(const sk_bf16 *p)
{
	unsigned v;

	memcpy(&v, p, sizeof v);
	return v;
}

static inline float sk_float_of(unsigned bits)
{
	float f;

	memcpy(&f, &bits, sizeof f);
	return f;
}

static inline uint32_t sk_emu_bits(float f)
{
	uint32_t bits;

	memcpy(&bits, &f, sizeof bits);
	return bits;
}

static inline float sk_to_float(float v)
{
	return v;
}

static inline float sk_to_float(sk_bf16 v)
{
	return sk_float_of((uint32_t)v.bits << 16);
}

static inline float sk_to_float(sk_f16 v)
{
	uint32_t sign = (uint32_t)(v.bits & 0x8000) << 16;
	uint32_t rest = v.bits & 0x7FFF;

	if (rest >= 0x7C00)
		return sk_float_of(sign | 0x7F800000 | (rest & 0x3FF) << 13);
	if (rest >= 0x400)
		return sk_float_of(sign | ((rest << 13) + (112u << 23)));
	/* Subnormal: a whole number of 2^-24, exact in a float. */
	return sk_float_of(sign | sk_emu_bits((float)rest * 0x1p-24f));
}

template <typename T> inline T sk_from_float(float v);

template <> inline float sk_from_float<float>(float v)
{
	return v;
}

template <> inline sk_bf16 sk_from_float<sk_bf16>(float v)
{
	uint32_t x = sk_emu_bits(v);

	if ((x & 0x7FFFFFFF) > 0x7F800000)
		return sk_bf16{ (uint16_t)(x >> 16 | 0x40) };
	return sk_bf16{ (uint16_t)((x + 0x7FFF + (x >> 16 & 1)) >> 16) };
}

template <> inline sk_f16 sk_from_float<sk_f16>(float v)
{
	uint32_t x = sk_emu_bits(v);
	uint32_t sign = x >> 16 & 0x8000;

	x &= 0x7FFFFFFF;
	if (x > 0x7F800000)
		return sk_f16{ (uint16_t)(sign | 0x7E00 | (x >> 13 & 0x3FF)) };
	if (x >= 0x47800000)
		return sk_f16{ (uint16_t)(sign | 0x7C00) };
	/* Below 2^-14 one step is 2^-24, which is also the step of floats at 0.5: the addition does the rounding. */
	if (x < 0x38800000)
		return sk_f16{ (uint16_t)(sign | (sk_emu_bits(sk_float_of(x) + 0.5f) - 0x3F000000)) };
	x += 0xFFF + (x >> 13 & 1);
	return sk_f16{ (uint16_t)(sign | ((x >> 13) - (112u << 10))) };
}

static inline unsigned sk_pack_bf16(float lo, float hi)
{
	return sk_from_float<sk_bf16>(lo).bits | (unsigned)sk_from_float<sk_bf16>(hi).bits << 16;
}

static inline unsigned sk_pack_f16(float lo, float hi)
{
	return sk_from_float<sk_f16>(lo).bits | (unsigned)sk_from_float<sk_f16>(hi).bits << 16;
}

/* Loads and mathematics. */

static inline uint4 sk_load(const uint4 *p)
{
	return *p;
}

static inline uint4 sk_load_stream(const uint4 *p)
{
	return *p;
}

static inline float sk_exp(float x)
{
	return expf(x);
}

static inline float sk_log(float x)
{
	return logf(x);
}

static inline float sk_erfc(float x)
{
	return erfcf(x);
}

static inline float sk_rsqrt(float x)
{
	return 1.0f / sqrtf(x);
}

static inline void sk_sincos(float a, float *s, float *c)
{
	*s = (float)sin((double)a);
	*c = (float)cos((double)a);
}

/* Launching. */

static inline void sk_pdl_wait(void)
{
}

static inline void sk_pdl_launch(void)
{
}

/* In cudart.cpp: runs the launch now, or records it when the stream captures. */
void sk_emu_launch(cudaStream_t stream, const std::function<enum sk_emu_result()> &run);
/* In cudart.cpp: what cudaFuncSetAttribute would answer. */
void sk_emu_smem_limit(size_t bytes);

template <typename... P> struct sk_emu_call {
	void (*kernel)(P...);
	std::tuple<P...> args;
};

template <typename... P> inline void sk_emu_apply(const void *arg)
{
	const sk_emu_call<P...> *call = static_cast<const sk_emu_call<P...> *>(arg);

	std::apply(call->kernel, call->args);
}

/* Keeps the parameter types those of the kernel: arguments convert to them as they would in a call. */
template <typename T> struct sk_emu_same {
	typedef T type;
};

/* The arguments are copied now: a graph replays them long after the caller's variables are gone. */
template <typename... P>
inline void sk_emu_launch_kernel(const char *name, void (*kernel)(P...), dim3 grid, dim3 block, size_t smem_bytes,
				 cudaStream_t stream, typename sk_emu_same<P>::type... args)
{
	sk_emu_call<P...> call{ kernel, std::tuple<P...>(args...) };

	sk_emu_launch(stream, [=] { return sk_emu_run(name, grid, block, smem_bytes, sk_emu_apply<P...>, &call); });
}

#define SK_LAUNCH(kernel, grid, block, smem_bytes, stream, ...)                                                        \
	sk_emu_launch_kernel(#kernel, kernel, grid, block, smem_bytes, static_cast<cudaStream_t>(stream), ##__VA_ARGS__)

#define SK_SMEM_LIMIT(kernel, bytes) ((void)(kernel), sk_emu_smem_limit(bytes))

#endif
