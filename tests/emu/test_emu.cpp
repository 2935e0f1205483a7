/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tests of the CUDA emulator itself: that its words compute what the manuals say, and that it finds the mistakes it
 * is there to find. `test_emu bench` measures the cost of a barrier instead.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <cmath>
#include <string>
#include <thread>
#include <vector>
#include "cuda_runtime_api.h"
#include "gpu_words.h"

static int checks_len, failures_len;

#define CHECK(name, cond) check(name, cond, #cond, __LINE__)

static void check(const char *name, bool good, const char *cond, int line)
{
	checks_len++;
	if (good)
		return;
	failures_len++;
	printf("test_emu.cpp:%d: %s: %s is false\n", line, name, cond);
}

static std::string error_text;

static void keep_error(const char *text)
{
	error_text = text;
}

static bool error_has(const char *part)
{
	return error_text.find(part) != std::string::npos;
}

/* Device memory for a test: freed with the scope. */
template <typename T> struct dev {
	T *p = nullptr;
	size_t len;
	explicit dev(size_t n) : len(n)
	{
		if (cudaMalloc(&p, n * sizeof(T)) != cudaSuccess)
			abort();
	}
	explicit dev(const std::vector<T> &v) : dev(v.size())
	{
		cudaMemcpy(p, v.data(), len * sizeof(T), cudaMemcpyHostToDevice);
	}
	~dev()
	{
		cudaFree(p);
	}
	dev(const dev &) = delete;
	std::vector<T> get() const
	{
		std::vector<T> v(len);

		cudaMemcpy(v.data(), p, len * sizeof(T), cudaMemcpyDeviceToHost);
		return v;
	}
};

static uint32_t random_state = 12345;

static uint32_t random_next(void)
{
	random_state = random_state * 1664525u + 1013904223u;
	return random_state >> 8;
}

/* In [-1, 1). */
static float random_float(void)
{
	return (float)(random_next() & 0xFFFF) / 32768.0f - 1.0f;
}

/* Block words and warp words. */

/* The sum of x[0..n) by one block of any size: lanes that do not exist give NaN, so nobody may add them. */
__global__ void block_sum(const float *x, float *y)
{
	SK_SHARED float part[32];
	unsigned t = threadIdx.x, lane = t % 32, warps = (blockDim.x + 31) / 32;
	unsigned lanes = blockDim.x - t / 32 * 32 < 32 ? blockDim.x - t / 32 * 32 : 32;
	float v = x[t];

	for (unsigned n = 16; n; n /= 2) {
		float other = sk_shfl_down(v, n);

		if (lane + n < lanes)
			v += other;
	}
	if (lane == 0)
		part[t / 32] = v;
	__syncthreads();
	v = 0;
	for (unsigned w = 0; w < warps; w++)
		v += part[w];
	y[t] = v;
}

static void test_block_sum(void)
{
	for (unsigned n : { 1u, 33u, 256u, 1024u }) {
		std::vector<float> x(n);
		bool good = true;

		for (unsigned i = 0; i < n; i++)
			x[i] = (float)(i + 1);
		dev<float> dx(x), dy(n);
		for (int order = 0; order < 3; order++) {
			sk_emu_order(order);
			SK_LAUNCH(block_sum, 1, n, 0, nullptr, dx.p, dy.p);
			for (float v : dy.get())
				good = good && v == (float)(n * (n + 1) / 2);
		}
		sk_emu_order(SK_EMU_ALTERNATE);
		CHECK("a block sum by shuffles and a barrier is right in every order", good);
	}
}

template <typename T> __global__ void shuffles(T *y)
{
	unsigned t = threadIdx.x;
	T v = (T)(t * 3);

	y[t] = sk_shfl_xor(v, 5);
	y[64 + t] = sk_shfl(v, 7);
	y[128 + t] = sk_shfl_down(v, 3);
	y[192 + t] = sk_shfl_up(v, 3);
}

template <typename T> static bool shuffles_good(void)
{
	dev<T> y(256);
	std::vector<T> v;
	bool good = true;

	SK_LAUNCH((shuffles<T>), 1, 64, 0, nullptr, y.p);
	v = y.get();
	for (unsigned t = 0; t < 64; t++) {
		unsigned base = t / 32 * 32, lane = t % 32;

		good = good && v[t] == (T)((base + (lane ^ 5)) * 3);
		good = good && v[64 + t] == (T)((base + 7) * 3);
		good = good && v[128 + t] == (T)((lane + 3 > 31 ? t : t + 3) * 3);
		good = good && v[192 + t] == (T)((lane < 3 ? t : t - 3) * 3);
	}
	return good;
}

__global__ void votes(unsigned *y)
{
	unsigned t = threadIdx.x;

	y[t * 6] = sk_ballot(t % 3 == 0);
	y[t * 6 + 1] = sk_any(t == 40);
	y[t * 6 + 2] = sk_all(t != 40);
	y[t * 6 + 3] = (unsigned)__syncthreads_or(t == 47 ? 4 : 0);
	y[t * 6 + 4] = (unsigned)__syncthreads_or(0);
	y[t * 6 + 5] = sk_shfl(t, 31);
}

static void test_votes(void)
{
	dev<unsigned> y(48 * 6);
	bool ballot = true, any = true, all = true, block_or = true, absent = true;
	std::vector<unsigned> v;

	SK_LAUNCH(votes, 1, 48, 0, nullptr, y.p);
	v = y.get();
	for (unsigned t = 0; t < 48; t++) {
		unsigned want = 0;

		for (unsigned i = 0; i < 32; i++)
			if (t / 32 * 32 + i < 48 && (t / 32 * 32 + i) % 3 == 0)
				want |= 1u << i;
		ballot = ballot && v[t * 6] == want;
		any = any && v[t * 6 + 1] == (t >= 32);
		all = all && v[t * 6 + 2] == (t < 32);
		block_or = block_or && v[t * 6 + 3] != 0 && v[t * 6 + 4] == 0;
		absent = absent && v[t * 6 + 5] == (t < 32 ? 31 : 0xFFFFFFFF);
	}
	CHECK("a ballot has the bits of the lanes that said yes", ballot);
	CHECK("any is true in the warp where one lane says yes", any);
	CHECK("all is false in the warp where one lane says no", all);
	CHECK("__syncthreads_or tells all threads what one brought, and forgets it", block_or);
	CHECK("a lane that does not exist gives all ones", absent);
}

__global__ void places(unsigned *y)
{
	unsigned t = threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z);
	unsigned b = blockIdx.x + gridDim.x * (blockIdx.y + gridDim.y * blockIdx.z);

	y[b * blockDim.x * blockDim.y * blockDim.z + t] = b * 100 + t;
}

static void test_places(void)
{
	dev<unsigned> y(24 * 30);
	bool good = true;
	std::vector<unsigned> v;

	SK_LAUNCH(places, dim3(2, 3, 4), dim3(5, 3, 2), 0, nullptr, y.p);
	v = y.get();
	for (unsigned i = 0; i < v.size(); i++)
		good = good && v[i] == i / 30 * 100 + i % 30;
	CHECK("every thread of a 3D grid of 3D blocks runs once at its own place", good);
}

/* Matrix words. */

template <typename T> static uint16_t to_half(float v)
{
	return sk_from_float<T>(v).bits;
}

template <typename T> static float of_half(uint16_t bits)
{
	return sk_to_float(T{ bits });
}

/*
 * a by rows [16][K], b by columns [8][K], c by rows [16][8], moved by the formulas of the PTX ISA, element by
 * element.
 */
template <int KIND> __global__ void mma(const uint16_t *a, const uint16_t *b, float *c)
{
	const int K = KIND == SK_EMU_MMA_1688_F16 ? 8 : 16;
	unsigned lane = threadIdx.x, group = lane >> 2, t = lane % 4;
	unsigned ra[4] = { 0, 0, 0, 0 }, rb[2] = { 0, 0 };
	float rc[4];

	for (unsigned i = 0; i < (unsigned)K / 2; i++) {
		unsigned row = i % 4 < 2 ? group : group + 8;
		unsigned column = t * 2 + (i & 1) + (i < 4 ? 0 : 8);

		ra[i / 2] |= (unsigned)a[row * K + column] << i % 2 * 16;
	}
	for (unsigned i = 0; i < (unsigned)K / 4; i++)
		rb[i / 2] |= (unsigned)b[group * K + t * 2 + (i & 1) + (i < 2 ? 0 : 8)] << i % 2 * 16;
	for (unsigned i = 0; i < 4; i++)
		rc[i] = c[(i < 2 ? group : group + 8) * 8 + t * 2 + (i & 1)];
	if (KIND == SK_EMU_MMA_16816_BF16)
		sk_mma_16816_bf16(rc, ra, rb);
	else if (KIND == SK_EMU_MMA_16816_F16)
		sk_mma_16816_f16(rc, ra, rb);
	else
		sk_mma_1688_f16(rc, ra, rb);
	for (unsigned i = 0; i < 4; i++)
		c[(i < 2 ? group : group + 8) * 8 + t * 2 + (i & 1)] = rc[i];
}

template <int KIND> static bool mma_good(void)
{
	const int K = KIND == SK_EMU_MMA_1688_F16 ? 8 : 16;
	const bool bf16 = KIND == SK_EMU_MMA_16816_BF16;
	uint16_t (*pack)(float) = bf16 ? to_half<sk_bf16> : to_half<sk_f16>;
	float (*unpack)(uint16_t) = bf16 ? of_half<sk_bf16> : of_half<sk_f16>;
	bool good = true;

	for (int turn = 0; turn < 4; turn++) {
		std::vector<uint16_t> a(16 * K), b(8 * K);
		std::vector<float> c(16 * 8), got;

		for (auto &v : a)
			v = pack(random_float());
		for (auto &v : b)
			v = pack(random_float());
		for (auto &v : c)
			v = random_float();
		dev<uint16_t> da(a), db(b);
		dev<float> dc(c);
		SK_LAUNCH((mma<KIND>), 1, 32, 0, nullptr, da.p, db.p, dc.p);
		got = dc.get();
		for (int row = 0; row < 16; row++)
			for (int column = 0; column < 8; column++) {
				float sum = c[row * 8 + column];

				for (int k = 0; k < K; k++)
					sum += unpack(a[row * K + k]) * unpack(b[column * K + k]);
				good = good && sum == got[row * 8 + column];
			}
	}
	return good;
}

/* Element (row, column) of matrix i is 100 i + 10 row + column, 8 elements a row, rows in any order of memory. */
__global__ void ldmatrix(unsigned *y, bool trans)
{
	alignas(16) SK_SHARED uint16_t m[32 * 8];
	unsigned lane = threadIdx.x;
	unsigned r[6];

	for (unsigned c = 0; c < 8; c++)
		m[(31 - lane) * 8 + c] = (uint16_t)(lane / 8 * 100 + lane % 8 * 10 + c);
	__syncthreads();
	if (trans) {
		sk_ldmatrix_x4_trans(r, &m[(31 - lane) * 8]);
		sk_ldmatrix_x2_trans(r + 4, lane < 16 ? &m[(31 - lane) * 8] : NULL);
	} else {
		sk_ldmatrix_x4(r, &m[(31 - lane) * 8]);
		sk_ldmatrix_x2(r + 4, lane < 16 ? &m[(31 - lane) * 8] : NULL);
	}
	for (unsigned i = 0; i < 6; i++)
		y[lane * 6 + i] = r[i];
}

static bool ldmatrix_good(bool trans)
{
	dev<unsigned> y(32 * 6);
	std::vector<unsigned> v;
	bool good = true;

	SK_LAUNCH(ldmatrix, 1, 32, 0, nullptr, y.p, trans);
	v = y.get();
	for (unsigned lane = 0; lane < 32; lane++)
		for (unsigned i = 0; i < 6; i++) {
			unsigned major = lane / 4, minor = lane % 4 * 2;
			unsigned base = i % 4 * 100;
			unsigned lo = base + (trans ? minor * 10 + major : major * 10 + minor);
			unsigned hi = base + (trans ? (minor + 1) * 10 + major : major * 10 + minor + 1);

			good = good && v[lane * 6 + i] == (lo | hi << 16);
		}
	return good;
}

/* c[16][8] = a[16][16] b[16][8], both by rows in shared memory, as a real kernel would load them. */
__global__ void tile_product(const uint16_t *a, const uint16_t *b, float *c)
{
	SK_SMEM(uint16_t, smem);
	uint16_t *sa = smem, *sb = smem + 256;
	unsigned lane = threadIdx.x, ra[4], rb[2];
	float rc[4] = { 0, 0, 0, 0 };

	sk_cp_async16(&sa[lane * 8], &a[lane * 8], true);
	if (lane < 16)
		sk_cp_async16(&sb[lane * 8], &b[lane * 8], true);
	sk_cp_async_commit();
	sk_cp_async_wait<0>();
	__syncthreads();
	/* Matrices 0..3 of a: rows 0-7 and 8-15 of columns 0-7, then of columns 8-15. */
	sk_ldmatrix_x4(ra, &sa[lane % 16 * 16 + lane / 16 * 8]);
	sk_ldmatrix_x2_trans(rb, &sb[lane % 16 * 8]);
	sk_mma_16816_f16(rc, ra, rb);
	for (unsigned i = 0; i < 4; i++)
		c[(lane / 4 + i / 2 * 8) * 8 + lane % 4 * 2 + i % 2] = rc[i];
}

static bool tile_product_good(void)
{
	std::vector<uint16_t> a(256), b(128);
	std::vector<float> got;
	bool good = true;

	for (auto &v : a)
		v = to_half<sk_f16>(random_float());
	for (auto &v : b)
		v = to_half<sk_f16>(random_float());
	dev<uint16_t> da(a), db(b);
	dev<float> dc(128);
	SK_LAUNCH(tile_product, 1, 32, 768, nullptr, da.p, db.p, dc.p);
	got = dc.get();
	for (int row = 0; row < 16; row++)
		for (int column = 0; column < 8; column++) {
			float sum = 0;

			for (int k = 0; k < 16; k++)
				sum += of_half<sk_f16>(a[row * 16 + k]) * of_half<sk_f16>(b[k * 8 + column]);
			good = good && sum == got[row * 8 + column];
		}
	return good;
}

static void test_matrices(void)
{
	CHECK("mma m16n8k16 of bf16 is a plain product", mma_good<SK_EMU_MMA_16816_BF16>());
	CHECK("mma m16n8k16 of f16 is a plain product", mma_good<SK_EMU_MMA_16816_F16>());
	CHECK("mma m16n8k8 of f16 is a plain product", mma_good<SK_EMU_MMA_1688_F16>());
	CHECK("ldmatrix gives each lane its pair of a row", ldmatrix_good(false));
	CHECK("ldmatrix.trans gives each lane its pair of a column", ldmatrix_good(true));
	CHECK("an mma fed by cp.async and ldmatrix is a plain product", tile_product_good());
}

/* Memory. */

__global__ void async_copies(const uint4 *x, unsigned *y)
{
	SK_SMEM(uint4, s);

	s[0] = make_uint4(7, 7, 7, 7);
	sk_cp_async16(&s[0], &x[0], true);
	sk_cp_async_commit();
	sk_cp_async16(&s[1], &x[1], true);
	sk_cp_async16(&s[2], NULL, false);
	sk_cp_async_commit();
	sk_cp_async16(&s[3], &x[1], true);
	y[0] = s[0].x;
	sk_cp_async_wait<1>();
	y[1] = s[0].x;
	y[2] = s[1].x;
	sk_cp_async_wait<0>();
	y[3] = s[1].w;
	y[4] = s[2].x;
	y[5] = s[3].x;
	sk_cp_async_commit();
	sk_cp_async_wait<0>();
	y[6] = s[3].x;
}

static void test_async_copies(void)
{
	dev<unsigned> x(std::vector<unsigned>{ 1, 2, 3, 4, 5, 6, 7, 8 }), y(7);
	std::vector<unsigned> v;

	SK_LAUNCH(async_copies, 1, 1, 64, nullptr, reinterpret_cast<const uint4 *>(x.p), y.p);
	v = y.get();
	CHECK("an asynchronous copy is not there before the wait", v[0] != 1 && v[0] != 7);
	CHECK("an asynchronous copy is there after the wait", v[1] == 1);
	CHECK("a wait for all but one group leaves the newest group pending", v[2] != 5 && v[3] == 8);
	CHECK("an asynchronous copy that is not valid writes zeros", v[4] == 0);
	CHECK("a copy that was not committed is not waited for", v[5] != 5 && v[6] == 5);
}

__global__ void first_words(unsigned *y)
{
	SK_SMEM(unsigned, s);

	y[blockIdx.x * 2] = s[0];
	y[blockIdx.x * 2 + 1] = (uintptr_t)s % 128 == 0;
	s[0] = 5;
}

__global__ void nothing(void)
{
}

static void test_dynamic_shared(void)
{
	dev<unsigned> y(4);

	SK_LAUNCH(first_words, 2, 1, 4, nullptr, y.p);
	CHECK("dynamic shared memory is poisoned before each block, and aligned",
	      y.get() == std::vector<unsigned>({ 0xFFFFFFFF, 1, 0xFFFFFFFF, 1 }));
	CHECK("a launch that is right leaves no error", cudaGetLastError() == cudaSuccess);
	SK_SMEM_LIMIT(nothing, 227 * 1024);
	SK_LAUNCH(nothing, 1, 1, 227 * 1024, nullptr);
	CHECK("227 KiB of shared memory are allowed", cudaGetLastError() == cudaSuccess);
	SK_LAUNCH(nothing, 1, 1, 227 * 1024 + 1, nullptr);
	CHECK("more than 227 KiB of shared memory are an error", cudaGetLastError() == cudaErrorInvalidValue);
	SK_LAUNCH(nothing, 1, 1025, 0, nullptr);
	CHECK("a block of 1025 threads is an error", cudaGetLastError() == cudaErrorInvalidValue);
	SK_LAUNCH(nothing, 0, 1, 0, nullptr);
	CHECK("an empty grid is an error", cudaGetLastError() == cudaErrorInvalidValue);
}

__global__ void atomics(int *i, unsigned *u, unsigned long long *ull, float *f, unsigned *winners)
{
	unsigned t = blockIdx.x * blockDim.x + threadIdx.x;

	sk_atomic_add(&i[0], -1);
	sk_atomic_max(&i[1], (int)t - 5);
	sk_atomic_add(&u[0], 2u);
	sk_atomic_max(&u[1], t * 7);
	sk_atomic_add(ull, 1ull << 33);
	sk_atomic_add(f, 0.5f);
	if (sk_atomic_cas(&u[2], 0, t + 1) == 0)
		sk_atomic_add(winners, 1u);
}

static void test_atomics(void)
{
	dev<int> i(std::vector<int>{ 0, -100 });
	dev<unsigned> u(std::vector<unsigned>{ 0, 0, 0 }), winners(std::vector<unsigned>{ 0 });
	dev<unsigned long long> ull(std::vector<unsigned long long>{ 0 });
	dev<float> f(std::vector<float>{ 0 });

	SK_LAUNCH(atomics, 3, 40, 0, nullptr, i.p, u.p, ull.p, f.p, winners.p);
	CHECK("atomic additions count every thread",
	      i.get()[0] == -120 && u.get()[0] == 240 && ull.get()[0] == 120ull << 33 && f.get()[0] == 60);
	CHECK("atomic maxima find the largest", i.get()[1] == 114 && u.get()[1] == 119 * 7);
	CHECK("one thread wins a compare-and-swap", winners.get()[0] == 1);
}

/* Each block leaves its part; the last one done adds them up. */
__global__ void last_block(unsigned *parts, unsigned *done, unsigned *y)
{
	SK_SHARED bool last;

	if (threadIdx.x == 0) {
		parts[blockIdx.x] = blockIdx.x + 1;
		__threadfence();
		last = sk_atomic_inc_last(done, gridDim.x);
	}
	__syncthreads();
	if (last && threadIdx.x == 0) {
		unsigned sum = 0;

		for (unsigned i = 0; i < gridDim.x; i++)
			sum += parts[i];
		sk_atomic_add(&y[0], sum);
		sk_atomic_add(&y[1], 1u);
	}
}

static void test_last_block(void)
{
	dev<unsigned> parts(10), done(std::vector<unsigned>{ 0 }), y(std::vector<unsigned>{ 0, 0 });

	for (int i = 0; i < 2; i++)
		SK_LAUNCH(last_block, 10, 64, 0, nullptr, parts.p, done.p, y.p);
	CHECK("exactly one block of a launch is the last, and sees all parts",
	      y.get() == std::vector<unsigned>({ 110, 2 }));
	CHECK("the count of blocks is zero again", done.get()[0] == 0);
}

/* Mistakes that must be found. */

__global__ void half_barrier(int *y)
{
	if (threadIdx.x < 32)
		__syncthreads();
	y[threadIdx.x] = 1;
}

__global__ void two_barriers(int *y)
{
	if (threadIdx.x % 2)
		__syncthreads();
	else
		__syncthreads();
	y[threadIdx.x] = 1;
}

__global__ void two_warp_words(int *y)
{
	int v = (int)threadIdx.x;

	if (v % 2)
		v = sk_shfl(v, 3);
	else
		v = sk_any(v);
	y[threadIdx.x] = v;
}

__global__ void barrier_and_warp_word(int *y)
{
	if (threadIdx.x == 0)
		sk_syncwarp();
	else
		__syncthreads();
	y[threadIdx.x] = 1;
}

__global__ void small_mma(float *y)
{
	unsigned a[4] = {}, b[2] = {};
	float c[4] = {};

	sk_mma_16816_f16(c, a, b);
	y[threadIdx.x] = c[0];
}

__global__ void odd_ldmatrix(unsigned *y)
{
	alignas(16) SK_SHARED uint16_t m[8 * 32 + 8];
	unsigned r[4];

	sk_ldmatrix_x4(r, &m[threadIdx.x * 8 + 2]);
	y[threadIdx.x] = r[0];
}

__global__ void early_return(int *y)
{
	if (threadIdx.x >= 40)
		return;
	y[threadIdx.x] = (int)sk_ballot(1);
}

static void test_mistakes(void)
{
	dev<int> y(64);
	dev<float> f(64);
	dev<unsigned> u(64);

	sk_emu_on_error(keep_error);
	SK_LAUNCH(half_barrier, 2, 64, 0, nullptr, y.p);
	CHECK("a barrier that half of a block reaches is detected",
	      error_has("half_barrier") && error_has("32 threads wait at __syncthreads") && error_has("test_emu.cpp") &&
		      error_has("32 threads have returned: 32-63"));
	CHECK("a broken kernel is an error of the launch", cudaGetLastError() == cudaErrorUnknown);
	error_text.clear();
	SK_LAUNCH(two_barriers, 1, 64, 0, nullptr, y.p);
	CHECK("threads that wait at two barriers are detected", error_has("stuck") && error_has("32 threads wait"));
	error_text.clear();
	SK_LAUNCH(two_warp_words, 1, 64, 0, nullptr, y.p);
	CHECK("lanes that wait at different warp words are detected", error_has("sk_shfl") && error_has("sk_any"));
	error_text.clear();
	SK_LAUNCH(barrier_and_warp_word, 1, 64, 0, nullptr, y.p);
	CHECK("a barrier against a warp word is detected",
	      error_has("1 threads wait at sk_syncwarp") && error_has("63 threads wait at __syncthreads"));
	error_text.clear();
	SK_LAUNCH(small_mma, 1, 40, 0, nullptr, f.p);
	CHECK("an mma of part of a warp is detected", error_has("needs all 32 lanes") && error_has("sk_mma_16816_f16"));
	error_text.clear();
	SK_LAUNCH(odd_ldmatrix, 1, 32, 0, nullptr, u.p);
	CHECK("a row of ldmatrix that is not aligned is detected", error_has("sk_ldmatrix_x4") && error_has("16"));
	cudaGetLastError();
	error_text.clear();
	SK_LAUNCH(early_return, 1, 64, 0, nullptr, y.p);
	CHECK("a ballot after some lanes returned has the live lanes only",
	      y.get()[0] == -1 && y.get()[32] == 0xFF && error_text.empty());
	SK_LAUNCH(half_barrier, 2, 32, 0, nullptr, y.p);
	CHECK("the emulator goes on after errors", cudaGetLastError() == cudaSuccess && error_text.empty());
	sk_emu_on_error(nullptr);
}

__global__ void mirror(const int *x, int *y, bool barrier)
{
	SK_SHARED int row[64];

	row[threadIdx.x] = -1;
	__syncthreads();
	row[threadIdx.x] = x[threadIdx.x];
	if (barrier)
		__syncthreads();
	y[threadIdx.x] = row[threadIdx.x / 2];
}

static bool mirror_good(int order, bool barrier)
{
	std::vector<int> x(64), v;
	bool good = true;

	for (int i = 0; i < 64; i++)
		x[i] = i;
	dev<int> dx(x), dy(64);
	sk_emu_order(order);
	SK_LAUNCH(mirror, 1, 64, 0, nullptr, dx.p, dy.p, barrier);
	sk_emu_order(SK_EMU_ALTERNATE);
	v = dy.get();
	for (int i = 0; i < 64; i++)
		good = good && v[i] == i / 2;
	return good;
}

static void test_missing_barrier(void)
{
	CHECK("with its barrier a kernel is right forward and backward",
	      mirror_good(SK_EMU_FORWARD, true) && mirror_good(SK_EMU_BACKWARD, true));
#ifndef SK_EMU_TSAN
	CHECK("a missing barrier gives right numbers in one order and wrong ones in the other",
	      mirror_good(SK_EMU_FORWARD, false) && !mirror_good(SK_EMU_BACKWARD, false));
#endif
}

/* The fake runtime. */

__global__ void add_one(int *x)
{
	x[threadIdx.x]++;
}

static void test_memory(void)
{
	size_t used = sk_emu_memory_used(), free_bytes, total;
	void *p = nullptr, *q = nullptr;
	int host[2] = { 1, 2 };
	unsigned char bytes[3];

	setenv("SK_EMU_MEMORY_BYTES", "1000", 1);
	CHECK("memory within the limit is given", cudaMalloc(&p, 600) == cudaSuccess);
	CHECK("memory beyond the limit is refused", cudaMalloc(&q, 401) == cudaErrorMemoryAllocation && !q);
	CHECK("the refusal is the last error, once",
	      cudaGetLastError() == cudaErrorMemoryAllocation && cudaGetLastError() == cudaSuccess);
	CHECK("free memory is told",
	      cudaMemGetInfo(&free_bytes, &total) == cudaSuccess && free_bytes == 400 && total == 1000);
	cudaMemcpy(bytes, (char *)p + 597, 3, cudaMemcpyDeviceToHost);
	CHECK("fresh memory is poisoned to its last byte", bytes[0] == 0xFF && bytes[2] == 0xFF);
	CHECK("a copy beyond the end is refused",
	      cudaMemcpy((char *)p + 597, host, 4, cudaMemcpyHostToDevice) == cudaErrorInvalidValue);
	CHECK("a copy with its sides exchanged is refused",
	      cudaMemcpy(host, p, 4, cudaMemcpyHostToDevice) == cudaErrorInvalidValue);
	CHECK("memory is freed once", cudaFree(p) == cudaSuccess && sk_emu_memory_used() == used);
	CHECK("a pointer that was not allocated is not freed", cudaFree(host) == cudaErrorInvalidValue);
	CHECK("page-locked memory is the host's", cudaMallocHost(&q, 100) == cudaSuccess &&
							  cudaFree(q) == cudaErrorInvalidValue &&
							  cudaFreeHost(q) == cudaSuccess);
	cudaGetLastError();
	unsetenv("SK_EMU_MEMORY_BYTES");
}

static void test_devices(void)
{
	struct cudaDeviceProp prop;
	int n = 0, value = 0;

	CHECK("there is one device", cudaGetDeviceCount(&n) == cudaSuccess && n == 1);
	CHECK("there is no second device", cudaSetDevice(1) == cudaErrorInvalidDevice);
	setenv("SK_EMU_DEVICES", "2", 1);
	CHECK("there are as many devices as the environment says",
	      cudaGetDeviceCount(&n) == cudaSuccess && n == 2 && cudaSetDevice(1) == cudaSuccess &&
		      cudaGetDevice(&value) == cudaSuccess && value == 1);
	cudaSetDevice(0);
	setenv("SK_EMU_DEVICES", "0", 1);
	CHECK("there may be no device", cudaGetDeviceCount(&n) == cudaErrorNoDevice && n == 0);
	unsetenv("SK_EMU_DEVICES");
	cudaGetLastError();
	CHECK("the device is an sm_80",
	      cudaDeviceGetAttribute(&value, cudaDevAttrComputeCapabilityMajor, 0) == cudaSuccess && value == 8 &&
		      cudaGetDeviceProperties(&prop, 0) == cudaSuccess && prop.major == 8 && prop.minor == 0 &&
		      prop.multiProcessorCount == 4);
}

static void test_graphs(void)
{
	dev<int> x(4);
	cudaStream_t stream, other;
	cudaEvent_t event;
	cudaGraph_t graph;
	cudaGraphExec_t exec;
	int host[4] = { 9, 9, 9, 9 };

	cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking);
	cudaStreamCreateWithFlags(&other, cudaStreamNonBlocking);
	cudaEventCreateWithFlags(&event, cudaEventDisableTiming);
	cudaMemset(x.p, 0, sizeof host);
	CHECK("a capture begins", cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal) == cudaSuccess);
	SK_LAUNCH(add_one, 1, 4, 0, stream, x.p);
	cudaEventRecord(event, stream);
	cudaStreamWaitEvent(other, event, 0);
	SK_LAUNCH(add_one, 1, 4, 0, other, x.p);
	cudaMemcpyAsync(host, x.p, sizeof host, cudaMemcpyDeviceToHost, stream);
	CHECK("a stream that captures cannot be waited for",
	      cudaStreamSynchronize(stream) == cudaErrorStreamCaptureUnsupported);
	CHECK("a capture ends", cudaStreamEndCapture(stream, &graph) == cudaSuccess);
	CHECK("what a capture records does not run", x.get()[0] == 0 && host[0] == 9);
	CHECK("a graph becomes executable", cudaGraphInstantiate(&exec, graph, 0) == cudaSuccess);
	CHECK("a graph may go before its executable", cudaGraphDestroy(graph) == cudaSuccess);
	for (int i = 0; i < 3; i++)
		cudaGraphLaunch(exec, stream);
	CHECK("a graph replays its launches and copies, of both streams", x.get()[3] == 6 && host[3] == 6);
	SK_LAUNCH(add_one, 1, 4, 0, other, x.p);
	CHECK("a stream runs at once again after the capture", x.get()[0] == 7);
	cudaGraphExecDestroy(exec);
	cudaEventDestroy(event);
	cudaStreamDestroy(stream);
	cudaStreamDestroy(other);
	cudaGetLastError();
}

static void test_faults(void)
{
	dev<int> x(std::vector<int>{ 0 });
	int host = 5;
	void *p;

	sk_emu_fail_after(3);
	SK_LAUNCH(add_one, 1, 1, 0, nullptr, x.p);
	CHECK("before the fault all is well", cudaGetLastError() == cudaSuccess);
	CHECK("a copy before the fault works",
	      cudaMemcpy(&host, x.p, 4, cudaMemcpyDeviceToHost) == cudaSuccess && host == 1);
	SK_LAUNCH(add_one, 1, 1, 0, nullptr, x.p);
	CHECK("the n-th piece of work fails, and does not run",
	      cudaGetLastError() == cudaErrorIllegalAddress && *x.p == 1);
	CHECK("a fault stays", cudaGetLastError() == cudaErrorIllegalAddress &&
				       cudaMemcpy(&host, x.p, 4, cudaMemcpyDeviceToHost) == cudaErrorIllegalAddress &&
				       cudaDeviceSynchronize() == cudaErrorIllegalAddress &&
				       cudaStreamSynchronize(nullptr) == cudaErrorIllegalAddress &&
				       cudaMalloc(&p, 4) == cudaErrorIllegalAddress);
	CHECK("the error has a name",
	      strcmp(cudaGetErrorName(cudaErrorIllegalAddress), "cudaErrorIllegalAddress") == 0);
	sk_emu_fail_after(0);
	CHECK("the tests can heal the device", cudaDeviceSynchronize() == cudaSuccess);
}

static void test_host_threads(void)
{
	bool good[3] = {};
	std::vector<std::thread> threads;

	for (int i = 0; i < 3; i++)
		threads.emplace_back([&good, i] {
			std::vector<float> x(256, (float)(i + 1)), v;
			dev<float> dx(x), dy(256);

			good[i] = true;
			for (int turn = 0; turn < 10; turn++) {
				SK_LAUNCH(block_sum, 1, 256, 0, nullptr, dx.p, dy.p);
				good[i] = good[i] && dy.get()[255] == 256.0f * (float)(i + 1);
			}
		});
	for (auto &t : threads)
		t.join();
	CHECK("three host threads launch at the same time", good[0] && good[1] && good[2]);
}

/* Conversions. */

/*
 * The nearest half to v by search over doubles: `mantissa` bits, least exponent `low`, largest finite exponent
 * `high`.
 */
static double nearest(double v, int mantissa, int low, int high)
{
	int exponent;
	double step, q;

	if (v == 0 || std::isinf(v))
		return v;
	frexp(v, &exponent);
	step = ldexp(1, (exponent - 1 < low ? low : exponent - 1) - mantissa);
	q = nearbyint(v / step) * step;
	return fabs(q) >= ldexp(2, high) ? copysign((double)INFINITY, v) : q;
}

template <typename T> static bool conversions_good(int mantissa, int low, int high)
{
	for (uint32_t bits = 0; bits < 65536; bits++) {
		float f = sk_to_float(T{ (uint16_t)bits });
		uint32_t exponent = bits >> mantissa & ((1u << (15 - mantissa)) - 1);
		uint32_t fraction = bits & ((1u << mantissa) - 1);
		uint32_t exponent_max = (1u << (15 - mantissa)) - 1;
		double want = exponent ? ldexp(1 + ldexp(fraction, -mantissa), (int)exponent - high)
				       : ldexp(fraction, low - mantissa);

		if (exponent == exponent_max && fraction) {
			if (!std::isnan(f) || !std::isnan(sk_to_float(sk_from_float<T>(f))))
				return false;
			continue;
		}
		if (exponent == exponent_max)
			want = INFINITY;
		if (bits >> 15)
			want = -want;
		if ((double)f != want || std::signbit(f) != (bits >> 15 != 0) || sk_from_float<T>(f).bits != bits)
			return false;
	}
	/* Values between: ties, both neighbours of ties, and random ones over the whole range. */
	for (uint32_t i = 0; i < 3000000; i++) {
		uint32_t half = random_next() & 0xFFFF;
		uint32_t x = sk_emu_bits(sk_to_float(T{ (uint16_t)half }));
		uint32_t tie = 1u << (22 - mantissa);
		float v = sk_float_of(i % 4 == 0   ? x ^ tie
				      : i % 4 == 1 ? (x ^ tie) + 1
				      : i % 4 == 2 ? (x ^ tie) - 1
						   : random_next() << 16 ^ random_next());
		float got = sk_to_float(sk_from_float<T>(v));

		if (std::isnan(v) ? !std::isnan(got) : (double)got != nearest(v, mantissa, low, high))
			return false;
	}
	return true;
}

static void test_conversions(void)
{
	float s, c;

	CHECK("all f16 values go to float and back, and floats round to nearest even",
	      conversions_good<sk_f16>(10, -14, 15));
	CHECK("all bf16 values go to float and back, and floats round to nearest even",
	      conversions_good<sk_bf16>(7, -126, 127));
	CHECK("a pair has its first value in the low half",
	      sk_pack_f16(1.0f, 2.0f) == 0x40003C00 && sk_pack_bf16(1.0f, 2.0f) == 0x40003F80);
	CHECK("a float stays a float", sk_to_float(1.5f) == 1.5f && sk_from_float<float>(1.5f) == 1.5f);
	sk_sincos(100000.0f, &s, &c);
	CHECK("sine and cosine are exact for large angles", s == (float)sin(100000.0) && c == (float)cos(100000.0));
	CHECK("the other functions are C's",
	      sk_exp(1.0f) == expf(1.0f) && sk_log(2.0f) == logf(2.0f) && sk_rsqrt(4.0f) == 0.5f);
}

/* Speed. */

__global__ void many_barriers(int n)
{
	for (int i = 0; i < n; i++)
		__syncthreads();
}

__global__ void many_shuffles(int n, float *y)
{
	float v = (float)threadIdx.x;

	for (int i = 0; i < n; i++)
		v = sk_shfl_xor(v, 1);
	y[threadIdx.x] = v;
}

__global__ void many_mmas(int n, float *y)
{
	unsigned a[4] = { 0x3C003C00, 0x3C003C00, 0x3C003C00, 0x3C003C00 }, b[2] = { 0x3C003C00, 0x3C003C00 };
	float c[4] = {};

	for (int i = 0; i < n; i++)
		sk_mma_16816_f16(c, a, b);
	y[threadIdx.x] = c[0];
}

static double now_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec * 1e6 + (double)ts.tv_nsec * 1e-3;
}

static void bench(void)
{
	dev<float> y(256);
	double us;

	SK_LAUNCH(many_barriers, 1, 256, 0, nullptr, 10);
	us = now_us();
	SK_LAUNCH(many_barriers, 1, 256, 0, nullptr, 2000);
	printf("barrier of 256 threads: %.2f us\n", (now_us() - us) / 2000);
	us = now_us();
	SK_LAUNCH(many_shuffles, 1, 256, 0, nullptr, 2000, y.p);
	printf("shuffle of 8 warps: %.2f us\n", (now_us() - us) / 2000);
	us = now_us();
	SK_LAUNCH(many_mmas, 1, 256, 0, nullptr, 500, y.p);
	printf("mma m16n8k16 of 8 warps: %.2f us\n", (now_us() - us) / 500);
	us = now_us();
	for (int i = 0; i < 100; i++)
		SK_LAUNCH(many_barriers, 10, 256, 0, nullptr, 0);
	printf("block of 256 threads without barriers: %.2f us\n", (now_us() - us) / 1000);
}

int main(int argc, char **argv)
{
	if (argc > 1 && strcmp(argv[1], "bench") == 0) {
		bench();
		return 0;
	}
	test_block_sum();
	CHECK("shuffles of float are right", shuffles_good<float>());
	CHECK("shuffles of int are right", shuffles_good<int>());
	CHECK("shuffles of unsigned are right", shuffles_good<unsigned>());
	CHECK("shuffles of double are right", shuffles_good<double>());
	CHECK("shuffles of int64_t are right", shuffles_good<int64_t>());
	CHECK("shuffles of uint64_t are right", shuffles_good<uint64_t>());
	test_votes();
	test_places();
	test_matrices();
	test_async_copies();
	test_dynamic_shared();
	test_atomics();
	test_last_block();
	test_mistakes();
	test_missing_barrier();
	test_memory();
	test_devices();
	test_graphs();
	test_faults();
	test_host_threads();
	test_conversions();
	CHECK("all device memory is given back", sk_emu_memory_used() == 0);
	printf("%d%%: Checks: %d, Failures: %d, Errors: 0\n", (checks_len - failures_len) * 100 / checks_len,
	       checks_len, failures_len);
	return failures_len != 0;
}
