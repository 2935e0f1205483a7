/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What works on one row at a time. A block a row (or a part of one): a row's bits depend on nothing but the row.
 */
#include "kernels/cuda/gpu.h"

#define ROW_THREADS 256
#define STATS_THREADS 1024

static unsigned parts(int32_t n, int threads)
{
	return n > threads ? (unsigned)((n + threads - 1) / threads) : 1u;
}

/* ---- embed ---- */

/* Element `at` of a weight of any type. */
__device__ __forceinline__ float sk_element(const void *w, enum sk_gpu_type type, int64_t at)
{
	if (type == SK_GPU_BF16)
		return sk_to_float(((const sk_bf16 *)w)[at]);
	if (type == SK_GPU_F16)
		return sk_to_float(((const sk_f16 *)w)[at]);
	return ((const float *)w)[at];
}

/*
 * y[t][k] = scale * w[ids[t]][k] + positions[pos[t]][k]
 * grid T x parts of K, a thread an element. Reads and writes everything once.
 */
__global__ void sk_k_embed(struct sk_gpu_embed a)
{
	int32_t k = (int32_t)(blockIdx.y * blockDim.x + threadIdx.x), t = (int32_t)blockIdx.x;
	float v;

	if (k >= a.K)
		return;
	v = sk_element(a.w, a.type, a.ids[t] * a.ld + k) * a.scale;
	if (a.positions)
		v += sk_element(a.positions, a.positions_type, a.pos[t] * a.positions_ld + k);
	a.y[t * a.y_stride + k] = v;
}

void sk_gpu_embed(void *stream, const struct sk_gpu_embed *a)
{
	SK_LAUNCH(sk_k_embed, dim3((unsigned)a->T, parts(a->K, ROW_THREADS)), dim3(ROW_THREADS), 0, stream, *a);
}

/* ---- norm ---- */

/*
 * RMS: y[t][i] = x[t][i] * (1 / sqrt(mean_i x[t][i]^2 + eps)) * w[i] + b[i]; centred: the same of x[t][i] - m, m = mean_i x[t][i].
 * y may be x. A float32 mean far larger than the deviations is off by much of them: `off`, their own mean, takes that away.
 * grid T x parts of a row. Reads x twice, centred three times, from L1 or L2 after the first.
 */
__global__ void sk_k_norm(struct sk_gpu_norm a)
{
	SK_SHARED float part[SK_WARPS_MAX];
	const int64_t at = (int64_t)blockIdx.y * a.D, own = a.own ? at : 0;
	const float *row = a.x + blockIdx.x * a.x_stride + at;
	float *out = a.y + blockIdx.x * a.y_stride + at;
	float m = 0.0f, off = 0.0f, sum = 0.0f, squares = 0.0f, scale;

	if (a.centred) {
		for (int32_t i = (int32_t)threadIdx.x; i < a.D; i += (int32_t)blockDim.x)
			sum += row[i];
		m = sk_block_sum(sum, part) / (float)a.D;
		sum = 0.0f;
	}
	for (int32_t i = (int32_t)threadIdx.x; i < a.D; i += (int32_t)blockDim.x) {
		float d = row[i] - m;

		sum += d;
		squares += d * d;
	}
	squares = sk_block_sum(squares, part) / (float)a.D;
	if (a.centred) {
		off = sk_block_sum(sum, part) / (float)a.D;
		squares = fmaxf(squares - off * off, 0.0f);
	}
	scale = 1.0f / sqrtf(squares + a.eps);
	for (int32_t i = (int32_t)threadIdx.x; i < a.D; i += (int32_t)blockDim.x)
		out[i] = fmaf((row[i] - m - off) * scale, a.w ? a.w[own + i] : 1.0f, a.b ? a.b[own + i] : 0.0f);
}

void sk_gpu_norm(void *stream, const struct sk_gpu_norm *a)
{
	SK_LAUNCH(sk_k_norm, dim3((unsigned)a->T, (unsigned)a->parts), dim3(ROW_THREADS), 0, stream, *a);
}

/* ---- rope ---- */

/*
 * (x[i], x[i + half]) = (x0, x1) -> (x0 cos a - x1 sin a, x1 cos a + x0 sin a), a = pos * inv_freq[i], rounded to float32 as
 * the definition says. freq_rows: row of inv_freq of each token. grid T x parts of heads * half, a thread a pair.
 */
__global__ void sk_k_rope(struct sk_gpu_rope a)
{
	int32_t at = (int32_t)(blockIdx.y * blockDim.x + threadIdx.x), h = at / a.half, i = at % a.half;
	float *x = a.x + blockIdx.x * a.stride + (int64_t)h * a.head_width + i, c, s, x0, x1;

	if (h >= a.heads)
		return;
	if (a.freq_rows)
		i += a.freq_rows[blockIdx.x] * a.freq_stride;
	sk_sincos((float)a.pos[blockIdx.x] * a.inv_freq[i], &s, &c);
	c *= a.factor;
	s *= a.factor;
	x0 = x[0];
	x1 = x[a.half];
	x[0] = x0 * c - x1 * s;
	x[a.half] = x1 * c + x0 * s;
}

void sk_gpu_rope(void *stream, const struct sk_gpu_rope *a)
{
	SK_LAUNCH(sk_k_rope, dim3((unsigned)a->T, parts(a->heads * a->half, ROW_THREADS)), dim3(ROW_THREADS), 0, stream, *a);
}

/* ---- glu ---- */

/* g / (1 + e^(-1.702 g)) (u + 1), g and u bounded */
__device__ __forceinline__ float sk_limited_glu(float g, float u, float limit)
{
	g = g > limit ? limit : g;
	u = u > limit ? limit : u < -limit ? -limit : u;
	return g / (1.0f + sk_exp(-1.702f * g)) * (u + 1.0f);
}

/* y = act(gate) * up, or with a limit; grid T x parts of F, a thread an element. */
__global__ void sk_k_glu(struct sk_gpu_glu a)
{
	int32_t i = (int32_t)(blockIdx.y * blockDim.x + threadIdx.x);

	if (i < a.F) {
		float g = a.gate[blockIdx.x * a.gate_stride + i], u = a.up[blockIdx.x * a.up_stride + i];

		a.y[blockIdx.x * a.y_stride + i] = a.limit > 0.0f ? sk_limited_glu(g, u, a.limit) : sk_act(a.act, g) * u;
	}
}

void sk_gpu_glu(void *stream, const struct sk_gpu_glu *a)
{
	SK_LAUNCH(sk_k_glu, dim3((unsigned)a->T, parts(a->F, ROW_THREADS)), dim3(ROW_THREADS), 0, stream, *a);
}

/* ---- add, bound ---- */

/* y[t] += scale * x[t], or y[rows[t]] += scales[t] * x[t]; grid T x parts of D, a thread an element. */
__global__ void sk_k_add(struct sk_gpu_add a)
{
	int32_t i = (int32_t)(blockIdx.y * blockDim.x + threadIdx.x);
	float *y = a.y + (a.rows ? (int64_t)a.rows[blockIdx.x] : (int64_t)blockIdx.x) * a.y_stride;

	if (i < a.D)
		y[i] = fmaf(a.rows ? a.scales[blockIdx.x] : a.scale, a.x[blockIdx.x * a.x_stride + i], y[i]);
}

void sk_gpu_add(void *stream, const struct sk_gpu_add *a)
{
	SK_LAUNCH(sk_k_add, dim3((unsigned)a->T, parts(a->D, ROW_THREADS)), dim3(ROW_THREADS), 0, stream, *a);
}

/* x = min(max(x, -limit), limit), a NaN stays; soft: x = limit * tanh(x / limit). grid T x parts of D, a thread an element. */
__global__ void sk_k_bound(struct sk_gpu_bound a)
{
	int32_t i = (int32_t)(blockIdx.y * blockDim.x + threadIdx.x);
	float *x = a.x + blockIdx.x * a.stride;

	if (i >= a.D)
		return;
	if (a.soft)
		x[i] = sk_softcap(x[i], a.limit);
	else
		x[i] = x[i] > a.limit ? a.limit : x[i] < -a.limit ? -a.limit : x[i];
}

void sk_gpu_bound(void *stream, const struct sk_gpu_bound *a)
{
	SK_LAUNCH(sk_k_bound, dim3((unsigned)a->T, parts(a->D, ROW_THREADS)), dim3(ROW_THREADS), 0, stream, *a);
}

/* ---- rows ---- */

/* y[i] = x[rows[i]]; grid rows x parts of D, a thread an element. */
__global__ void sk_k_rows(struct sk_gpu_rows a)
{
	int32_t i = (int32_t)(blockIdx.y * blockDim.x + threadIdx.x);

	if (i < a.D)
		a.y[blockIdx.x * a.y_stride + i] = a.x[a.rows[blockIdx.x] * a.x_stride + i];
}

void sk_gpu_rows(void *stream, const struct sk_gpu_rows *a)
{
	SK_LAUNCH(sk_k_rows, dim3((unsigned)a->rows_len, parts(a->D, ROW_THREADS)), dim3(ROW_THREADS), 0, stream, *a);
}

/* ---- row statistics ---- */

/* The larger value, of equals the lower index; a NaN is never the larger one. */
__device__ __forceinline__ void sk_stats_take(float *max, int32_t *at, float other, int32_t other_at)
{
	if (other > *max || (other == *max && other_at < *at)) {
		*max = other;
		*at = other_at;
	}
}

/*
 * The first maximum of a row, its value, and max + log(sum exp(x - max)).
 * grid T, STATS_THREADS threads. Reads x twice, the second time from L2. The order of the sum is the thread's own elements,
 * the warp's tree, the warps in order.
 */
__global__ void sk_k_row_stats(struct sk_gpu_row_stats a)
{
	SK_SHARED float part[SK_WARPS_MAX];
	SK_SHARED int32_t part_at[SK_WARPS_MAX];
	const float *row = a.x + blockIdx.x * a.stride;
	float max = -INFINITY, sum = 0.0f;
	int32_t at = INT32_MAX;

	for (int32_t i = (int32_t)threadIdx.x; i < a.V; i += (int32_t)blockDim.x)
		if (row[i] > max) {
			max = row[i];
			at = i;
		}
	for (int m = SK_WARP / 2; m > 0; m /= 2) {
		float other = sk_shfl_xor(max, m);
		int32_t other_at = sk_shfl_xor(at, m);

		sk_stats_take(&max, &at, other, other_at);
	}
	if (threadIdx.x % SK_WARP == 0) {
		part[threadIdx.x / SK_WARP] = max;
		part_at[threadIdx.x / SK_WARP] = at;
	}
	__syncthreads();
	for (int w = 0; w < (int)blockDim.x / SK_WARP; w++)
		sk_stats_take(&max, &at, part[w], part_at[w]);
	__syncthreads();
	for (int32_t i = (int32_t)threadIdx.x; i < a.V; i += (int32_t)blockDim.x)
		sum += sk_exp(row[i] - max);
	sum = sk_block_sum(sum, part);
	if (threadIdx.x == 0) {
		a.argmax[blockIdx.x] = at < a.V ? at : 0;       /* nothing above -inf */
		a.max[blockIdx.x] = max;
		a.logsumexp[blockIdx.x] = isinf(max) ? max : max + sk_log(sum);
	}
}

void sk_gpu_row_stats(void *stream, const struct sk_gpu_row_stats *a)
{
	SK_LAUNCH(sk_k_row_stats, dim3((unsigned)a->T), dim3(STATS_THREADS), 0, stream, *a);
}
