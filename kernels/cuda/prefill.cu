/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Attention of a prompt's tokens over the paged pool, on the matrix units (sm_80 and newer, pools in bf16): what attend.cu
 * says, for many tokens of a sequence at once, so that k and v are read once for all of them.
 *
 * k and v are bf16 as they lie; q and the weights of the softmax are float32, and go in as the sum of three bf16 numbers, which
 * is exact: products have no rounding but float32's. A row's keys come in tiles, counted from position 0, with a running
 * maximum; what a tile holds behind the row's position has the weight 0 and changes nothing. So a row's bits depend on the row
 * and its keys alone, not on the tile of rows that it is in, nor on how the prompt was cut.
 */
#include "kernels/cuda/gpu.h"

/* Keys of a tile, for heads padded to `wide`: two of the pool's blocks, or one where the sums take the registers. */
#define KEYS(wide) ((wide) > 128 ? 16 : 32)
#define TILES(wide) (KEYS(wide) / 8)    /* of 8 keys, as the matrix units take them */
#define PARTS 3                         /* bf16 numbers that make a float32 */

/* x = p[0] + p[1] + p[2], the largest last. */
__device__ __forceinline__ void sk_parts(float x, float p[PARTS])
{
	p[2] = sk_to_float(sk_from_float<sk_bf16>(x));
	p[1] = sk_to_float(sk_from_float<sk_bf16>(x - p[2]));
	p[0] = (x - p[2]) - p[1];
}

/* What a warp knows of its 16 rows; a lane has rows g and g + 8, as the fragments do. */
struct sk_prefill_rows {
	int32_t pos[2], limit[2], head[2];      /* limit: keys that it sees */
	float m[2], l[2];                       /* the running maximum; the lane's part of the sum */
	int32_t last;                           /* the most that one of the warp's rows sees */
};

/* Rows of q, [PARTS][rows][wide] in shared memory, zeros behind head_width; rows that are not there repeat the last. */
template <int WIDE>
__device__ __forceinline__ void sk_prefill_take(const struct sk_gpu_prefill *a, sk_bf16 *q, int32_t t0, int32_t row0, int32_t rows,
						int32_t kv_head, int32_t tile_rows)
{
	const int32_t d = a->pool.head_width, group = a->heads / a->pool.kv_heads;

	for (int32_t at = (int32_t)threadIdx.x; at < tile_rows * WIDE; at += (int32_t)blockDim.x) {
		int32_t r = at / WIDE, i = at % WIDE, row = row0 + r < rows ? row0 + r : rows - 1;
		int64_t from = (t0 + row / group) * a->q_stride + (int64_t)(kv_head * group + row % group) * d + i;
		float p[PARTS];

		sk_parts(i < d ? a->q[from] : 0.0f, p);
		for (int part = 0; part < PARTS; part++)
			q[(part * tile_rows + r) * (WIDE + 8) + i] = sk_from_float<sk_bf16>(p[part]);
	}
}

/* Keys [from, from + KEYS(WIDE)) of k and v, zeros from `keys` on and behind the pool's rows: another sequence's may be anything. */
template <int WIDE>
__device__ __forceinline__ void sk_prefill_keys(const struct sk_gpu_prefill *a, sk_bf16 *k, sk_bf16 *v, int32_t seq, int32_t kv_head,
						int32_t from, int32_t keys)
{
	const int vecs = WIDE / 8;

	for (int at = (int)threadIdx.x; at < KEYS(WIDE) * vecs; at += (int)blockDim.x) {
		int32_t j = at / vecs, i = at % vecs * 8;
		bool there = from + j < keys && i < a->pool.ld;
		int64_t row = there ? sk_kv_at(&a->pool, a->layer, sk_kv_block(&a->step, seq, from + j), kv_head, (from + j) % 16) + i : 0;

		sk_cp_async16(k + j * (WIDE + 8) + i, (const sk_bf16 *)a->pool.k + row, there);
		sk_cp_async16(v + j * (WIDE + 8) + i, (const sk_bf16 *)a->pool.v + row, there);
	}
	sk_cp_async_commit();
	sk_cp_async_wait<0>();
}

/* s[n] = q . k for the warp's rows and the tile's keys. */
template <int WIDE>
__device__ __forceinline__ void sk_prefill_scores(const sk_bf16 *q, const sk_bf16 *k, int32_t tile_rows, float s[TILES(WIDE)][4])
{
	const int lane = (int)threadIdx.x % SK_WARP, g = lane / 4, c = lane % 4;

#pragma unroll
	for (int n = 0; n < TILES(WIDE); n++)
		s[n][0] = s[n][1] = s[n][2] = s[n][3] = 0.0f;
#pragma unroll 2
	for (int at = 0; at < WIDE; at += 16) {
		unsigned a[PARTS][4];

#pragma unroll
		for (int p = 0; p < PARTS; p++) {
			const sk_bf16 *row = q + (p * tile_rows + g) * (WIDE + 8) + at + 2 * c;

			a[p][0] = sk_pair(row);
			a[p][1] = sk_pair(row + 8 * (WIDE + 8));
			a[p][2] = sk_pair(row + 8);
			a[p][3] = sk_pair(row + 8 * (WIDE + 8) + 8);
		}
#pragma unroll
		for (int n = 0; n < TILES(WIDE); n++) {
			const sk_bf16 *row = k + (8 * n + g) * (WIDE + 8) + at + 2 * c;
			const unsigned b[2] = { sk_pair(row), sk_pair(row + 8) };

#pragma unroll
			for (int p = 0; p < PARTS; p++)
				sk_mma_16816_bf16(s[n], a[p], b);
		}
	}
}

/* Products to weights: scale, bias, what a row does not see; the running maximum and sum. keep: what earlier values are times. */
template <int WIDE>
__device__ __forceinline__ void sk_prefill_weights(const struct sk_gpu_prefill *a, struct sk_prefill_rows *r, int32_t from,
						   float s[TILES(WIDE)][4], float keep[2])
{
	const int c = (int)threadIdx.x % 4;

#pragma unroll
	for (int half = 0; half < 2; half++) {
		float max = r->m[half], sum = 0.0f;

#pragma unroll
		for (int n = 0; n < TILES(WIDE); n++)
#pragma unroll
			for (int e = 2 * half; e < 2 * half + 2; e++) {
				int32_t j = from + 8 * n + 2 * c + e % 2;

				s[n][e] = j < r->limit[half] ? sk_attend_bias(&a->bias, r->head[half], r->pos[half], j,
									      s[n][e] * a->bias.scale) : -INFINITY;
				max = fmaxf(max, s[n][e]);
			}
		max = fmaxf(max, sk_shfl_xor(max, 1));
		max = fmaxf(max, sk_shfl_xor(max, 2));
#pragma unroll
		for (int n = 0; n < TILES(WIDE); n++)
#pragma unroll
			for (int e = 2 * half; e < 2 * half + 2; e++) {
				s[n][e] = sk_exp(s[n][e] - max);
				sum += s[n][e];
			}
		keep[half] = sk_exp(r->m[half] - max);
		r->l[half] = fmaf(r->l[half], keep[half], sum);
		r->m[half] = max;
	}
}

/* acc[i] = acc[i] * keep + weights . v for the warp's rows, 8 dimensions each. */
template <int WIDE>
__device__ __forceinline__ void sk_prefill_values(const sk_bf16 *v, const float s[TILES(WIDE)][4], const float keep[2],
						  float acc[WIDE / 8][4])
{
	const int lane = (int)threadIdx.x % SK_WARP;

#pragma unroll
	for (int i = 0; i < WIDE / 8; i++) {
		acc[i][0] *= keep[0];
		acc[i][1] *= keep[0];
		acc[i][2] *= keep[1];
		acc[i][3] *= keep[1];
	}
#pragma unroll
	for (int at = 0; at < KEYS(WIDE); at += 16) {
		unsigned a[PARTS][4];

#pragma unroll
		for (int x = 0; x < 4; x++) {
			/* Registers of A: rows g and g + 8 of keys 2c and on, the same of keys 2c + 8. */
			const float *w = &s[at / 8 + x / 2][x % 2 * 2];
			float lo[PARTS], hi[PARTS];

			sk_parts(w[0], lo);
			sk_parts(w[1], hi);
#pragma unroll
			for (int p = 0; p < PARTS; p++)
				a[p][x] = sk_pack_bf16(lo[p], hi[p]);
		}
#pragma unroll
		for (int i = 0; i < WIDE / 8; i += 2) {
			unsigned b[4];

			sk_ldmatrix_x4_trans(b, v + (at + lane % 16) * (WIDE + 8) + 8 * (i + lane / 16));
#pragma unroll
			for (int p = 0; p < PARTS; p++)
				sk_mma_16816_bf16(acc[i], a[p], b);
#pragma unroll
			for (int p = 0; p < PARTS; p++)
				sk_mma_16816_bf16(acc[i + 1], a[p], b + 2);
		}
	}
}

/*
 * Rows are a run's tokens times the query heads of one kv head, heads first. grid (tiles of 16 WARPS rows of the longest run) x
 * kv heads x runs; a warp has 16 rows. Shared: q in parts, a tile of k, one of v. Reads k and v of the context once for each tile of
 * rows. Registers: at most 255; WIDE / 2 + 16 of them hold sums.
 */
template <int WIDE, int WARPS>
__global__ void __launch_bounds__(WARPS * SK_WARP) sk_k_prefill(struct sk_gpu_prefill a)
{
	SK_SMEM(sk_bf16, q);
	sk_bf16 *k = q + PARTS * 16 * WARPS * (WIDE + 8), *v = k + KEYS(WIDE) * (WIDE + 8);
	const int32_t seq = (int32_t)blockIdx.z, kv_head = (int32_t)blockIdx.y;
	const int32_t group = a.heads / a.pool.kv_heads, t0 = a.runs[2 * seq], rows = (a.runs[2 * seq + 1] - t0) * group;
	const int32_t row0 = (int32_t)blockIdx.x * (16 * WARPS), d = a.pool.head_width;
	const int warp = (int)threadIdx.x / SK_WARP, g = (int)threadIdx.x % SK_WARP / 4, c = (int)threadIdx.x % 4;
	struct sk_prefill_rows r;
	float acc[WIDE / 8][4];
	int32_t keys, last;

	if (row0 >= rows)
		return;         /* the whole block: another run is longer */
	last = row0 + 16 * WARPS < rows ? row0 + 16 * WARPS - 1 : rows - 1;
	keys = a.step.keys ? a.step.keys[seq] : a.step.pos[t0 + last / group] + 1;
	sk_prefill_take<WIDE>(&a, q, t0, row0, rows, kv_head, 16 * WARPS);
	for (int half = 0; half < 2; half++) {
		int32_t row = row0 + 16 * warp + 8 * half + g, there = row < rows ? row : rows - 1;

		r.pos[half] = a.step.pos[t0 + there / group];
		r.limit[half] = a.step.keys ? keys : r.pos[half] + 1;
		r.head[half] = kv_head * group + there % group;
		r.m[half] = -INFINITY;
		r.l[half] = 0.0f;
	}
	last = row0 + 16 * warp + 15 < rows ? row0 + 16 * warp + 15 : rows - 1;
	r.last = a.step.keys ? keys : a.step.pos[t0 + last / group] + 1;
#pragma unroll
	for (int i = 0; i < WIDE / 8; i++)
		acc[i][0] = acc[i][1] = acc[i][2] = acc[i][3] = 0.0f;
	for (int32_t from = 0; from < keys; from += KEYS(WIDE)) {
		float s[TILES(WIDE)][4], keep[2];

		__syncthreads();
		sk_prefill_keys<WIDE>(&a, k, v, seq, kv_head, from, keys);
		__syncthreads();
		if (from >= r.last)
			continue;       /* a whole warp */
		sk_prefill_scores<WIDE>(q + 16 * warp * (WIDE + 8), k, 16 * WARPS, s);
		sk_prefill_weights<WIDE>(&a, &r, from, s, keep);
		sk_prefill_values<WIDE>(v, s, keep, acc);
	}
#pragma unroll
	for (int half = 0; half < 2; half++) {
		int32_t row = row0 + 16 * warp + 8 * half + g;
		float l = r.l[half];

		l += sk_shfl_xor(l, 1);
		l += sk_shfl_xor(l, 2);
		if (row >= rows)
			continue;
#pragma unroll
		for (int i = 0; i < WIDE / 8; i++)
			for (int e = 0; e < 2; e++)
				if (8 * i + 2 * c + e < d)
					a.y[(t0 + row / group) * a.y_stride + (int64_t)r.head[half] * d + 8 * i + 2 * c + e] =
						acc[i][2 * half + e] / l;
	}
}

template <int WIDE, int WARPS>
static void launch(void *stream, const struct sk_gpu_prefill *a)
{
	int32_t group = a->heads / a->pool.kv_heads;
	dim3 grid((unsigned)(((int64_t)a->run_max * group + 16 * WARPS - 1) / (16 * WARPS)), (unsigned)a->pool.kv_heads,
		  (unsigned)a->runs_len);
	size_t bytes = (PARTS * 16 * WARPS + 2 * KEYS(WIDE)) * (WIDE + 8) * sizeof(sk_bf16);

	SK_SMEM_LIMIT((sk_k_prefill<WIDE, WARPS>), bytes);
	SK_LAUNCH((sk_k_prefill<WIDE, WARPS>), grid, dim3(WARPS * SK_WARP), bytes, stream, *a);
}

/* Shared memory: 37, 53, 70 and 68 KB, within the 99 that every GPU from sm_80 on lends to a block. */
void sk_gpu_prefill(void *stream, const struct sk_gpu_prefill *a)
{
	if (a->pool.ld <= 64)
		launch<64, 4>(stream, a);
	else if (a->pool.ld <= 96)
		launch<96, 4>(stream, a);
	else if (a->pool.ld <= 128)
		launch<128, 4>(stream, a);
	else
		launch<256, 2>(stream, a);
}
