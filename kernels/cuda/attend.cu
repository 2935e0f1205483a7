/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The paged KV pool and attention over it: y[t] = softmax_j(scale q[t] . k[j] + bias) v[j], j <= pos[t], or all j < keys of what an
 * encoder left. A window leaves the last keys of those, a softcap bends a score before its bias, a sink is one more score without a value.
 *
 * A token's keys are cut into splits of 256 positions, counted from 0. Each split gives a state (maximum m, sum l of the
 * exponentials, weighted values acc), and states are merged in ascending order. Where there are few tokens each split has a
 * block of its own and a second kernel merges; else one block takes a token's splits in turn. The arithmetic is the same.
 */
#include "kernels/cuda/gpu.h"

#define ROW_THREADS 256
#define SPLIT 256                       /* SK_ATTEND_CHUNK */
#define HEADS 4                         /* query heads of one kv head that a block takes: k and v are read once for them */
#define THREADS 128
#define LANES 8                         /* threads that share one key's dot product */
#define VEC 8                           /* elements a thread takes at a time */

/* ---- kv_write ---- */

/* pool[layer][pos[t]] = round(k[t]), v likewise; grid T x parts of kv_heads * head_width, a thread an element of both. */
template <class X>
__global__ void sk_k_kv_write(struct sk_gpu_kv_write a)
{
	int32_t at = (int32_t)(blockIdx.y * blockDim.x + threadIdx.x), t = (int32_t)blockIdx.x;
	int32_t head = at / a.pool.head_width, i = at % a.pool.head_width, pos = a.step.pos[t];
	int64_t to;

	if (head >= a.pool.kv_heads || a.step.seq[t] < 0)
		return;         /* a token of no sequence fills a recorded step */
	to = sk_kv_at(&a.pool, a.layer, sk_kv_block(&a.step, a.step.seq[t], pos), head, pos % SK_GPU_BLOCK) + i;
	((X *)a.pool.k)[to] = sk_from_float<X>(a.k[t * a.k_stride + at]);
	((X *)a.pool.v)[to] = sk_from_float<X>(a.v[t * a.v_stride + at]);
}

void sk_gpu_kv_write(void *stream, const struct sk_gpu_kv_write *a)
{
	int32_t wide = a->pool.kv_heads * a->pool.head_width;
	dim3 grid((unsigned)a->T, (unsigned)((wide + ROW_THREADS - 1) / ROW_THREADS));

	if (a->pool.type == SK_GPU_BF16)
		SK_LAUNCH(sk_k_kv_write<sk_bf16>, grid, dim3(ROW_THREADS), 0, stream, *a);
	else
		SK_LAUNCH(sk_k_kv_write<float>, grid, dim3(ROW_THREADS), 0, stream, *a);
}

/* ---- attend ---- */

__device__ __forceinline__ void sk_kv_take(const float *p, float out[VEC])
{
	for (int i = 0; i < VEC; i++)
		out[i] = p[i];
}

__device__ __forceinline__ void sk_kv_take(const sk_bf16 *p, float out[VEC])
{
	uint4 v = sk_load((const uint4 *)p);

	out[0] = sk_float_of(v.x << 16);
	out[1] = sk_float_of(v.x & 0xffff0000u);
	out[2] = sk_float_of(v.y << 16);
	out[3] = sk_float_of(v.y & 0xffff0000u);
	out[4] = sk_float_of(v.z << 16);
	out[5] = sk_float_of(v.z & 0xffff0000u);
	out[6] = sk_float_of(v.w << 16);
	out[7] = sk_float_of(v.w & 0xffff0000u);
}

/* What a block keeps in shared memory. */
struct sk_attend_room {
	float *q;               /* [HEADS][ld], zeros behind head_width and in heads that are not there */
	float *score;           /* [HEADS][SPLIT], then the weights */
	float *red;             /* [groups][HEADS][ld]: parts of the weighted values */
	float *acc;             /* [HEADS][ld]: the split's; */
	float *state;           /* [HEADS][ld]: the token's so far */
	float *m, *l;           /* [2][HEADS]: the split's, the token's */
};

/* The first key that a query sees, of `keys`. */
__device__ __forceinline__ int32_t sk_attend_first(const struct sk_gpu_attend *a, int32_t keys)
{
	return a->window && keys > a->window ? keys - a->window : 0;
}

/* A sink joins the sum l of weights whose maximum is m; what the values are multiplied by. */
__device__ __forceinline__ float sk_attend_sink(const struct sk_gpu_attend *a, int32_t head, float m, float *l)
{
	float max, keep;

	if (!a->sinks)
		return 1.0f;
	max = fmaxf(m, a->sinks[head]);
	keep = sk_exp(m - max);
	*l = fmaf(*l, keep, sk_exp(a->sinks[head] - max));
	return keep;
}

/* Scores of keys [from, from + len) for `heads` heads from head0 on, of a query at pos: LANES threads a key. */
template <class X>
__device__ __forceinline__ void sk_attend_scores(const struct sk_gpu_attend *a, const struct sk_attend_room *r, int32_t seq,
						 int32_t kv_head, int32_t head0, int heads, int32_t pos, int32_t from, int32_t len,
						 int32_t seen)
{
	const int lane = (int)threadIdx.x % LANES, ld = a->pool.ld;

	for (int32_t first = 0; first < SPLIT; first += THREADS / LANES) {
		int32_t j = first + (int32_t)threadIdx.x / LANES;
		float dot[HEADS] = { 0.0f, 0.0f, 0.0f, 0.0f };

		if (j < len) {
			const X *k = (const X *)a->pool.k + sk_kv_at(&a->pool, a->layer, sk_kv_block(&a->step, seq, from + j), kv_head,
								     (from + j) % SK_GPU_BLOCK);

			for (int i = lane * VEC; i < ld; i += LANES * VEC) {
				float x[VEC];

				sk_kv_take(k + i, x);
				for (int h = 0; h < HEADS; h++)
					for (int e = 0; e < VEC; e++)
						dot[h] = fmaf(r->q[h * ld + i + e], x[e], dot[h]);
			}
		}
		for (int h = 0; h < HEADS; h++) {
			for (int m = LANES / 2; m > 0; m /= 2)
				dot[h] += sk_shfl_xor(dot[h], m);
			if (lane == 0 && j < len)
				r->score[h * SPLIT + j] = from + j < seen ? -INFINITY :
					sk_attend_bias(&a->bias, head0 + (h < heads ? h : 0), pos, from + j, dot[h] * a->bias.scale);
		}
	}
}

/* Scores to weights, the maximum and the sum: a warp a head. */
__device__ __forceinline__ void sk_attend_weights(const struct sk_attend_room *r, int32_t len)
{
	const int h = (int)threadIdx.x / SK_WARP, lane = (int)threadIdx.x % SK_WARP;
	float *score = r->score + h * SPLIT, max = -INFINITY, sum = 0.0f;

	for (int32_t j = lane; j < len; j += SK_WARP)
		max = fmaxf(max, score[j]);
	for (int m = SK_WARP / 2; m > 0; m /= 2)
		max = fmaxf(max, sk_shfl_xor(max, m));
	for (int32_t j = lane; j < len; j += SK_WARP) {
		score[j] = sk_exp(score[j] - max);
		sum += score[j];
	}
	sum = sk_warp_sum(sum);
	if (lane == 0) {
		r->m[h] = max;
		r->l[h] = sum;
	}
}

/* acc = sum of weight[j] v[j]: groups of threads take keys in turn, each thread 8 dimensions; then the groups in order. */
template <class X>
__device__ __forceinline__ void sk_attend_values(const struct sk_gpu_attend *a, const struct sk_attend_room *r, int32_t seq,
						 int32_t kv_head, int32_t from, int32_t len)
{
	const int ld = a->pool.ld, vecs = ld / VEC, groups = THREADS / vecs;
	const int group = (int)threadIdx.x / vecs, i = (int)threadIdx.x % vecs * VEC;
	float sum[HEADS][VEC];

	for (int h = 0; h < HEADS; h++)
		for (int e = 0; e < VEC; e++)
			sum[h][e] = 0.0f;
	for (int32_t j = group; group < groups && j < len; j += groups) {
		float x[VEC];

		sk_kv_take((const X *)a->pool.v + sk_kv_at(&a->pool, a->layer, sk_kv_block(&a->step, seq, from + j), kv_head,
							   (from + j) % SK_GPU_BLOCK) + i, x);
		for (int h = 0; h < HEADS; h++)
			for (int e = 0; e < VEC; e++)
				sum[h][e] = fmaf(r->score[h * SPLIT + j], x[e], sum[h][e]);
	}
	if (group < groups)
		for (int h = 0; h < HEADS; h++)
			for (int e = 0; e < VEC; e++)
				r->red[(group * HEADS + h) * ld + i + e] = sum[h][e];
	__syncthreads();
	for (int at = (int)threadIdx.x; at < HEADS * ld; at += THREADS) {
		float all = 0.0f;

		for (int g = 0; g < groups; g++)
			all += r->red[g * HEADS * ld + at];
		r->acc[at] = all;
	}
}

/* (m, l, acc) of what came before and of the next split: factors for both, and the new m and l. */
__device__ __forceinline__ void sk_attend_merge(float *m, float *l, float m_next, float l_next, float *keep, float *take)
{
	float max = fmaxf(*m, m_next);

	*keep = sk_exp(*m - max);
	*take = sk_exp(m_next - max);
	*l = fmaf(l_next, *take, *l * *keep);
	*m = max;
}

/*
 * grid T x (kv heads x chunks of HEADS query heads) x splits (1 where a block takes them all).
 * Reads each k and v of the context once for each chunk of query heads.
 */
template <class X>
__global__ void __launch_bounds__(THREADS) sk_k_attend(struct sk_gpu_attend a)
{
	SK_SMEM(float, shared);
	const int ld = a.pool.ld, d = a.pool.head_width, group = a.heads / a.pool.kv_heads, chunks = (group + HEADS - 1) / HEADS;
	const int32_t place = (int32_t)blockIdx.x, t = a.tokens ? a.tokens[place] : place;
	const int32_t kv_head = (int32_t)blockIdx.y / chunks, chunk = (int32_t)blockIdx.y % chunks;
	const int32_t seq = a.step.seq[t], pos = a.step.pos[t], keys = a.step.keys && seq >= 0 ? a.step.keys[seq] : pos + 1;
	const int32_t head0 = kv_head * group + chunk * HEADS;
	const int heads = group - chunk * HEADS < HEADS ? group - chunk * HEADS : HEADS;
	struct sk_attend_room r;
	const int32_t seen = sk_attend_first(&a, keys);
	int32_t split = a.part ? (int32_t)blockIdx.z : seen / SPLIT, end = a.part ? split + 1 : (keys + SPLIT - 1) / SPLIT;

	if (seq < 0 || split * SPLIT >= keys || split < seen / SPLIT)
		return;         /* the whole block: a token of no sequence, another one has more splits, or this one's window begins later */
	r.q = shared;
	r.score = r.q + HEADS * ld;
	r.acc = r.score + HEADS * SPLIT;
	r.state = r.acc + HEADS * ld;
	r.m = r.state + HEADS * ld;
	r.l = r.m + 2 * HEADS;
	r.red = r.l + 2 * HEADS;
	for (int at = (int)threadIdx.x; at < HEADS * ld; at += THREADS) {
		int h = at / ld, i = at % ld;

		r.q[at] = h < heads && i < d ? a.q[t * a.q_stride + (int64_t)(head0 + h) * d + i] : 0.0f;
		r.state[at] = 0.0f;
	}
	if (threadIdx.x < HEADS) {
		r.m[HEADS + threadIdx.x] = -INFINITY;
		r.l[HEADS + threadIdx.x] = 0.0f;
	}
	for (; split < end; split++) {
		int32_t from = split * SPLIT, len = keys - from < SPLIT ? keys - from : SPLIT;

		__syncthreads();
		sk_attend_scores<X>(&a, &r, seq, kv_head, head0, heads, pos, from, len, seen);
		__syncthreads();
		sk_attend_weights(&r, len);
		__syncthreads();
		sk_attend_values<X>(&a, &r, seq, kv_head, from, len);
		__syncthreads();
		if (a.part)
			break;
		for (int at = (int)threadIdx.x; at < HEADS * ld; at += THREADS) {
			int h = at / ld;
			float m = r.m[HEADS + h], l = r.l[HEADS + h], keep, take;

			sk_attend_merge(&m, &l, r.m[h], r.l[h], &keep, &take);
			r.state[at] = fmaf(r.acc[at], take, r.state[at] * keep);
		}
		__syncthreads();
		if (threadIdx.x < HEADS) {
			int h = (int)threadIdx.x;
			float keep, take;

			sk_attend_merge(&r.m[HEADS + h], &r.l[HEADS + h], r.m[h], r.l[h], &keep, &take);
		}
	}
	__syncthreads();
	for (int at = (int)threadIdx.x; at < heads * ld; at += THREADS) {
		int h = at / ld, i = at % ld;

		if (a.part) {
			float *p = a.part + (((int64_t)place * a.heads + head0 + h) * a.splits + blockIdx.z) * (ld + 2);

			p[2 + i] = r.acc[at];
			if (i == 0) {
				p[0] = r.m[h];
				p[1] = r.l[h];
			}
		} else if (i < d) {
			float l = r.l[HEADS + h], keep = sk_attend_sink(&a, head0 + h, r.m[HEADS + h], &l);

			a.y[t * a.y_stride + (int64_t)(head0 + h) * d + i] = r.state[at] * keep / l;
		}
	}
}

/* grid T x heads, a thread a dimension: merges a token's splits in ascending order. */
__global__ void sk_k_attend_merge(struct sk_gpu_attend a)
{
	const int32_t place = (int32_t)blockIdx.x, t = a.tokens ? a.tokens[place] : place, h = (int32_t)blockIdx.y, ld = a.pool.ld;
	const int32_t seq = a.step.seq[t], keys = seq < 0 ? 0 : a.step.keys ? a.step.keys[seq] : a.step.pos[t] + 1;
	const float *p = a.part + ((int64_t)place * a.heads + h) * a.splits * (ld + 2);

	for (int32_t i = (int32_t)threadIdx.x; keys > 0 && i < a.pool.head_width; i += (int32_t)blockDim.x) {
		float m = -INFINITY, l = 0.0f, acc = 0.0f, whole;

		for (int32_t s = sk_attend_first(&a, keys) / SPLIT; s * SPLIT < keys; s++) {
			float keep, take;

			sk_attend_merge(&m, &l, p[s * (ld + 2)], p[s * (ld + 2) + 1], &keep, &take);
			acc = fmaf(p[s * (ld + 2) + 2 + i], take, acc * keep);
		}
		whole = sk_attend_sink(&a, h, m, &l);
		a.y[t * a.y_stride + (int64_t)h * a.pool.head_width + i] = acc * whole / l;
	}
}

void sk_gpu_attend(void *stream, const struct sk_gpu_attend *a)
{
	int32_t ld = a->pool.ld, group = a->heads / a->pool.kv_heads, groups = THREADS / (ld / VEC);
	dim3 grid((unsigned)a->T, (unsigned)(a->pool.kv_heads * ((group + HEADS - 1) / HEADS)), a->part ? (unsigned)a->splits : 1u);
	size_t bytes = sizeof(float) * (size_t)(3 * HEADS * ld + HEADS * SPLIT + 4 * HEADS + groups * HEADS * ld);

	if (a->pool.type == SK_GPU_BF16)
		SK_LAUNCH(sk_k_attend<sk_bf16>, grid, dim3(THREADS), bytes, stream, *a);
	else
		SK_LAUNCH(sk_k_attend<float>, grid, dim3(THREADS), bytes, stream, *a);
	if (a->part)
		SK_LAUNCH(sk_k_attend_merge, dim3((unsigned)a->T, (unsigned)a->heads), dim3(SK_WARP * 4), 0, stream, *a);
}
