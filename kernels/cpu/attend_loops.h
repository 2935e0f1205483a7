/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The loops of attention and of writing the KV pool; included once by each attend_LEVEL.c after its vec_LEVEL.h.
 * What they calculate, and in which order, is said in attend.h; where K and V lie, in kv.h.
 *
 * q and p stay float32 and bfloat16 is widened by a shift or a mask: the error is that of float32 sums (3e-7 to 6e-7 of
 * the largest output, contexts 64 to 8192). VDPBF16PS would round q and p to 8 bits, 1e-3, for half the multiplications.
 * What it could save, SmolLM2-135M Q4_1 on Zen 4 (2026-11-24, profile of one thread): at decode nearly nothing, these
 * loops are 3 % of a step at context 128 and wait for memory at long ones; in a prompt of 512 they are 20 %, at 75 % of
 * what FMA can do, so about 8 %. Not worth three digits.
 *
 * Register tiles: V_TILE_ROWS rows by V_TILE_VECS vectors of accumulators. The functions with a constant number of rows
 * are one inline function each, unrolled; the tables at their ends choose.
 */
#ifndef SK_CPU_ATTEND_LOOPS_H
#define SK_CPU_ATTEND_LOOPS_H

#include <string.h>

#include "kernels/cpu/attend.h"
#include "kernels/quant/half.h"

#define VECS_A_BLOCK (SK_KV_BLOCK / VW)
#define UNROLL _Pragma("GCC unroll 8")
#define INLINE static inline __attribute__((always_inline))

/* ---- scores ---- */

/*
 * Scores of `rows` rows against `vecs` vectors of tokens, which start at vector `first` of the chunk.
 * q[r]: the row's query; out: its line of scores. V of the same blocks is asked for, as it comes next.
 */
INLINE void scores_tile(const struct sk_cpu_tile *t, const int32_t *blocks, int first, const float *const *q, float *out,
			const int rows, const int vecs, const bool f32)
{
	const unsigned char *k[V_TILE_VECS], *v[V_TILE_VECS];
	vf acc[V_TILE_ROWS][V_TILE_VECS];
	int32_t d = t->kv->spec.head_width, pairs = d / 2;

	UNROLL for (int j = 0; j < vecs; j++) {
		const unsigned char *at = sk_cpu_kv_at(t->kv, t->layer, blocks[(first + j) / VECS_A_BLOCK], t->kv_head);

		v[j] = at + t->kv->k_bytes;
		k[j] = at + (size_t)((first + j) % VECS_A_BLOCK) * VW * sizeof(float);
		UNROLL for (int r = 0; r < rows; r++)
			acc[r][j] = v_set1(0.0f);
	}
	for (int32_t i = 0; i < pairs; i++) {
		vf even[V_TILE_VECS], odd[V_TILE_VECS];

		UNROLL for (int j = 0; j < vecs; j++) {
			const unsigned char *at = k[j] + (size_t)i * (f32 ? 128 : 64);

			even[j] = f32 ? v_load((const float *)at) : v_bf16_lo(at);
			odd[j] = f32 ? v_load((const float *)(at + 64)) : v_bf16_hi(at);
			if (j % VECS_A_BLOCK == 0)
				__builtin_prefetch(v[j] + (size_t)i * 64);
		}
		UNROLL for (int r = 0; r < rows; r++) {
			vf b = v_set1(q[r][2 * i]);

			UNROLL for (int j = 0; j < vecs; j++)
				acc[r][j] = v_fma(even[j], b, acc[r][j]);
		}
		UNROLL for (int r = 0; r < rows; r++) {
			vf b = v_set1(q[r][2 * i + 1]);

			UNROLL for (int j = 0; j < vecs; j++)
				acc[r][j] = v_fma(odd[j], b, acc[r][j]);
		}
	}
	if (d % 2)                      /* the last dim, without its neighbour */
		UNROLL for (int j = 0; j < vecs; j++) {
			const unsigned char *at = k[j] + (size_t)pairs * (f32 ? 128 : 64);
			vf last = f32 ? v_load((const float *)at) : v_bf16_lo(at);

			UNROLL for (int r = 0; r < rows; r++)
				acc[r][j] = v_fma(last, v_set1(q[r][d - 1]), acc[r][j]);
		}
	UNROLL for (int r = 0; r < rows; r++)
		UNROLL for (int j = 0; j < vecs; j++)
			v_store(out + r * SK_ATTEND_CHUNK + (first + j) * VW, v_mul(acc[r][j], v_set1(t->scale)));
}

/* All blocks of a chunk for `rows` rows: wide tiles, then what is left block by block. */
INLINE void scores_rows(const struct sk_cpu_tile *t, const int32_t *blocks, int blocks_len, const float *const *q,
			float *out, const int rows, const bool f32)
{
	int vecs = blocks_len * VECS_A_BLOCK, first = 0;

	for (; first + V_TILE_VECS <= vecs; first += V_TILE_VECS)
		scores_tile(t, blocks, first, q, out, rows, V_TILE_VECS, f32);
	for (; first < vecs; first++)
		scores_tile(t, blocks, first, q, out, rows, 1, f32);
}

typedef void (*scores_fn)(const struct sk_cpu_tile *, const int32_t *, int, const float *const *, float *);

/* ---- values ---- */

/*
 * o[r][dims of `vecs` vectors from dim `at`] += p[r][j] v[j] for tokens j in [from, to) of the chunk; `load`: the
 * sums go on from what o holds. `from` is even. next: the block after each block of the chunk, to be asked for.
 */
INLINE void values_tile(const struct sk_cpu_tile *t, const int32_t *blocks, int from, int to, int next_len, const float *p,
			float *o, int32_t at, const int rows, const int vecs, const bool f32, const bool load)
{
	int32_t wide = t->kv->wide;
	vf acc[V_TILE_ROWS][V_TILE_VECS];

	UNROLL for (int r = 0; r < rows; r++)
		UNROLL for (int j = 0; j < vecs; j++)
			acc[r][j] = load ? v_load(o + r * wide + at + j * VW) : v_set1(0.0f);
	for (int b = from / SK_KV_BLOCK; b * SK_KV_BLOCK < to; b++) {
		const unsigned char *block = sk_cpu_kv_at(t->kv, t->layer, blocks[b], t->kv_head) + t->kv->k_bytes;
		const unsigned char *soon = b + SK_ATTEND_CHUNK / SK_KV_BLOCK < next_len ?
			sk_cpu_kv_at(t->kv, t->layer, blocks[b + SK_ATTEND_CHUNK / SK_KV_BLOCK], t->kv_head) : block;
		int begin = b * SK_KV_BLOCK > from ? 0 : from % SK_KV_BLOCK;
		int end = to - b * SK_KV_BLOCK < SK_KV_BLOCK ? to - b * SK_KV_BLOCK : SK_KV_BLOCK;
		int i = begin;

		for (; i + 2 <= end; i += 2) {
			size_t row = f32 ? (size_t)i * (size_t)wide : (size_t)i / 2 * (size_t)wide;
			const float *v = (const float *)block + row + at, *pi = p + b * SK_KV_BLOCK + i;

			UNROLL for (int j = 0; j < vecs; j++)
				__builtin_prefetch((const float *)soon + row + at + j * VW);
			UNROLL for (int half = 0; half < 2; half++) {
				vf x[V_TILE_VECS];

				UNROLL for (int j = 0; j < vecs; j++)
					x[j] = f32 ? v_load(v + half * wide + j * VW)
						   : half ? v_bf16_hi(v + j * VW) : v_bf16_lo(v + j * VW);
				UNROLL for (int r = 0; r < rows; r++) {
					vf w = v_set1(pi[r * SK_ATTEND_CHUNK + half]);

					UNROLL for (int j = 0; j < vecs; j++)
						acc[r][j] = v_fma(x[j], w, acc[r][j]);
				}
			}
		}
		if (i < end) {                  /* the last token, without its neighbour */
			size_t row = f32 ? (size_t)i * (size_t)wide : (size_t)i / 2 * (size_t)wide;
			const float *v = (const float *)block + row + at, *pi = p + b * SK_KV_BLOCK + i;

			UNROLL for (int j = 0; j < vecs; j++) {
				vf x = f32 ? v_load(v + j * VW) : v_bf16_lo(v + j * VW);

				UNROLL for (int r = 0; r < rows; r++)
					acc[r][j] = v_fma(x, v_set1(pi[r * SK_ATTEND_CHUNK]), acc[r][j]);
			}
		}
	}
	UNROLL for (int r = 0; r < rows; r++)
		UNROLL for (int j = 0; j < vecs; j++)
			v_store(o + r * wide + at + j * VW, acc[r][j]);
}

INLINE void values_rows(const struct sk_cpu_tile *t, const int32_t *blocks, int from, int to, int next_len, const float *p,
			float *o, const int rows, const bool f32, const bool load)
{
	int32_t at = 0, wide = t->kv->wide;

	for (; at + V_TILE_VECS * VW <= wide; at += V_TILE_VECS * VW)
		values_tile(t, blocks, from, to, next_len, p, o, at, rows, V_TILE_VECS, f32, load);
	for (; at < wide; at += VW)
		values_tile(t, blocks, from, to, next_len, p, o, at, rows, 1, f32, load);
}

typedef void (*values_fn)(const struct sk_cpu_tile *, const int32_t *, int from, int to, int next_len, const float *p, float *o);

/* One function for each number of rows and type; values also for sums that go on. */
#define ROWS_FN(R, type, f32) \
	static void scores_##type##_##R(const struct sk_cpu_tile *t, const int32_t *blocks, int blocks_len, \
					const float *const *q, float *out) \
	{ \
		scores_rows(t, blocks, blocks_len, q, out, R, f32); \
	} \
	static void values_##type##_##R(const struct sk_cpu_tile *t, const int32_t *blocks, int from, int to, int next_len, \
					const float *p, float *o) \
	{ \
		if (from) \
			values_rows(t, blocks, from, to, next_len, p, o, R, f32, true); \
		else \
			values_rows(t, blocks, from, to, next_len, p, o, R, f32, false); \
	}

ROWS_FN(1, bf16, false) ROWS_FN(2, bf16, false) ROWS_FN(3, bf16, false)
ROWS_FN(1, f32, true) ROWS_FN(2, f32, true) ROWS_FN(3, f32, true)
#if V_TILE_ROWS > 3
ROWS_FN(4, bf16, false) ROWS_FN(5, bf16, false) ROWS_FN(6, bf16, false)
ROWS_FN(4, f32, true) ROWS_FN(5, f32, true) ROWS_FN(6, f32, true)
#endif

static const struct {
	scores_fn scores;
	values_fn values;
} rows_fns[2][V_TILE_ROWS + 1] = {
#if V_TILE_ROWS > 3
	{ { 0 }, { scores_bf16_1, values_bf16_1 }, { scores_bf16_2, values_bf16_2 }, { scores_bf16_3, values_bf16_3 },
	  { scores_bf16_4, values_bf16_4 }, { scores_bf16_5, values_bf16_5 }, { scores_bf16_6, values_bf16_6 } },
	{ { 0 }, { scores_f32_1, values_f32_1 }, { scores_f32_2, values_f32_2 }, { scores_f32_3, values_f32_3 },
	  { scores_f32_4, values_f32_4 }, { scores_f32_5, values_f32_5 }, { scores_f32_6, values_f32_6 } },
#else
	{ { 0 }, { scores_bf16_1, values_bf16_1 }, { scores_bf16_2, values_bf16_2 }, { scores_bf16_3, values_bf16_3 } },
	{ { 0 }, { scores_f32_1, values_f32_1 }, { scores_f32_2, values_f32_2 }, { scores_f32_3, values_f32_3 } },
#endif
};

/* ---- biases ---- */

/* bf16(x) as float: the high half of a dword. */
static inline vf round_bf16(vf x)
{
	float y[VW];

	v_store_bf16_pairs(y, v_set1(0.0f), x);
	return v_load(y);
}

/* scores of keys [from, from + n) for a query at `pos`; whole vectors: what lies behind n is not used. */
static void add_alibi(float *scores, int n, int32_t from, int32_t pos, float slope)
{
	float first[VW];
	vf apart, slopes = v_set1(slope);

	for (int i = 0; i < VW; i++)
		first[i] = (float)(from - pos + i);
	apart = v_load(first);
	for (int j = 0; j < n; j += VW, apart = v_add(apart, v_set1(VW)))
		v_store(scores + j, v_fma(slopes, apart, v_load(scores + j)));
}

static void add_alibi_bf16(float *scores, int n, int32_t from, int32_t pos, float slope, float scale)
{
	vf slopes = round_bf16(v_set1(slope)), here = round_bf16(v_mul(slopes, v_set1((float)pos))), key;
	float first[VW];

	for (int i = 0; i < VW; i++)
		first[i] = (float)(from + i);
	key = v_load(first);
	for (int j = 0; j < n; j += VW, key = v_add(key, v_set1(VW)))
		v_store(scores + j, v_fma(v_set1(scale), v_sub(round_bf16(v_mul(slopes, key)), here), v_load(scores + j)));
}

/* A piece where the table's first entry holds, one that follows it, one of its last. */
static void add_table(float *scores, int n, int32_t from, int32_t pos, const float *table, int32_t reach)
{
	int64_t at = (int64_t)from - pos + reach, whole = 2 * (int64_t)reach;
	int begin = at < 0 ? (-at < n ? (int)-at : n) : 0, end = at + n - 1 > whole ? (whole - at + 1 > 0 ? (int)(whole - at + 1) : 0) : n;
	int j = 0;

	for (; j < begin; j++)
		scores[j] += table[0];
	for (; j < end; j++)
		scores[j] += table[at + j];
	for (; j < n; j++)
		scores[j] += table[whole];
}

static void add_bias(const struct sk_cpu_tile *t, float *scores, int n, int32_t from, int32_t query, int32_t head)
{
	const struct sk_attend_bias *b = t->bias;

	switch (b->kind) {
	case SK_BIAS_NONE:
		break;
	case SK_BIAS_ALIBI:
		add_alibi(scores, n, from, t->pos + query, b->data[head]);
		break;
	case SK_BIAS_ALIBI_BF16:
		add_alibi_bf16(scores, n, from, t->pos + query, b->data[head], t->scale);
		break;
	case SK_BIAS_TABLE:
		add_table(scores, n, from, t->pos + query, b->data + (int64_t)head * (2 * (int64_t)b->reach + 1), b->reach);
		break;
	}
}

/* What a softcap and a window do to scores: cap tanh(s / cap); those before `first` are hidden. */
static void soften(float *scores, int n, float cap)
{
	for (int j = 0; j < n; j += VW)
		v_store(scores + j, v_softcap(v_load(scores + j), cap));
}

static void hide(float *scores, int n, int first)
{
	for (int j = 0; j < first && j < n; j++)
		scores[j] = -__builtin_inff();
}

/* ---- one chunk ---- */

/* Nothing of the chunk is seen: a state that a merge leaves out. */
static void see_nothing(float *scores, int n, float *ret_m, float *ret_l)
{
	memset(scores, 0, (size_t)n * sizeof *scores);
	*ret_m = -__builtin_inff();
	*ret_l = 0.0f;
}

/* scores[0, n) become p = e^(score - m). */
static void softmax(float *scores, int n, float *ret_m, float *ret_l)
{
	vf max = v_set1(-__builtin_inff()), sum = v_set1(0.0f), m;
	int i, rest = n % VW, whole = n - rest;

	for (i = 0; i < whole; i += VW)
		max = v_max(v_load(scores + i), max);
	if (rest)
		max = v_max(v_load_n(scores + i, rest, -__builtin_inff()), max);
	*ret_m = v_largest(max);
	m = v_set1(*ret_m);
	for (i = 0; i < whole; i += VW) {
		vf p = v_exp(v_sub(v_load(scores + i), m));

		v_store(scores + i, p);
		sum = v_add(sum, p);
	}
	if (rest) {
		vf p = v_keep_n(v_exp(v_sub(v_load_n(scores + i, rest, 0.0f), m)), rest, 0.0f);

		v_store_n(scores + i, p, rest);
		sum = v_add(sum, p);
	}
	*ret_l = v_sum(sum);
}

/* Keys of the chunk that query `i` of the tile sees. */
static int keys_of(const struct sk_cpu_tile *t, int32_t chunk, int32_t i)
{
	int32_t n = (t->keys ? t->keys : t->pos + i + 1) - chunk * SK_ATTEND_CHUNK;

	return n < SK_ATTEND_CHUNK ? n : SK_ATTEND_CHUNK;
}

/* The first of them; 0 where there is no window. */
static int first_of(const struct sk_cpu_tile *t, int32_t chunk, int32_t i)
{
	int32_t first = t->window ? t->pos + i + 1 - t->window - chunk * SK_ATTEND_CHUNK : 0;

	return first > 0 ? first : 0;
}

/* Scores of a row become weights. */
static void weigh(const struct sk_cpu_tile *t, int32_t chunk, int row, float *scores, float *ret_m, float *ret_l)
{
	int query = row / t->heads, keys = keys_of(t, chunk, query), first = first_of(t, chunk, query);

	if (first >= keys) {
		see_nothing(scores, keys, ret_m, ret_l);
		return;
	}
	if (t->softcap > 0.0f)
		soften(scores, keys, t->softcap);
	add_bias(t, scores, keys, chunk * SK_ATTEND_CHUNK, query, t->head + row % t->heads);
	hide(scores, keys, first);
	softmax(scores, keys, ret_m, ret_l);
}

/* rows in equal parts of at most V_TILE_ROWS */
static int part_rows(int rows)
{
	int parts = (rows + V_TILE_ROWS - 1) / V_TILE_ROWS;

	return (rows + parts - 1) / parts;
}

static void attend_chunk(const struct sk_cpu_tile *t, int32_t chunk, struct sk_cpu_attend_state to, float *scores)
{
	int rows = t->queries * t->heads, part = part_rows(rows), d = t->kv->spec.head_width, f32 = t->kv->spec.dtype == SK_F32;
	int most = keys_of(t, chunk, t->queries - 1), common = keys_of(t, chunk, 0);
	const int32_t *blocks = t->blocks + (size_t)chunk * (SK_ATTEND_CHUNK / SK_KV_BLOCK);
	int next_len = ((t->keys ? t->keys : t->pos + t->queries) - 1) / SK_KV_BLOCK + 1 - chunk * (SK_ATTEND_CHUNK / SK_KV_BLOCK);
	const float *q[SK_TILE_ROWS_MAX];

	for (int r = 0; r < rows; r++)
		q[r] = t->q + r / t->heads * t->q_stride + (int64_t)(r % t->heads) * d;
	for (int r = 0, n; r < rows; r += n) {
		n = rows - r < part ? rows - r : part;
		rows_fns[f32][n].scores(t, blocks, (most + SK_KV_BLOCK - 1) / SK_KV_BLOCK, q + r, scores + r * SK_ATTEND_CHUNK);
	}
	for (int r = 0; r < rows; r++)
		weigh(t, chunk, r, scores + r * SK_ATTEND_CHUNK, &to.m[r], &to.l[r]);
	if (t->queries > 1 && !t->keys)
		common &= ~1;                   /* what is left over starts with a whole pair */
	if (common)
		for (int r = 0, n; r < rows; r += n) {
			n = rows - r < part ? rows - r : part;
			rows_fns[f32][n].values(t, blocks, 0, common, next_len, scores + r * SK_ATTEND_CHUNK,
						to.o + r * t->kv->wide);
		}
	for (int i = 0; i < t->queries; i++) {  /* each query's last keys: the diagonal */
		int end = keys_of(t, chunk, i), heads = part_rows(t->heads);

		for (int h = 0, n; end > common && h < t->heads; h += n) {
			int r = i * t->heads + h;

			n = t->heads - h < heads ? t->heads - h : heads;
			rows_fns[f32][n].values(t, blocks, common, end, 0, scores + r * SK_ATTEND_CHUNK, to.o + r * t->kv->wide);
		}
	}
}

/* ---- merging ---- */

static float exp_one(float x)
{
	float y[VW];

	v_store(y, v_exp(v_set1(x)));
	return y[0];
}

static void attend_merge(struct sk_cpu_attend_state into, struct sk_cpu_attend_state from, int32_t rows, int32_t wide)
{
	for (int32_t r = 0; r < rows; r++) {
		float m = into.m[r] > from.m[r] ? into.m[r] : from.m[r];
		float a = exp_one(into.m[r] - m), b = exp_one(from.m[r] - m);
		float *o = into.o + r * wide;
		const float *p = from.o + r * wide;

		if (into.l[r] == 0.0f) {        /* nothing was seen yet: this is the first */
			into.m[r] = from.m[r];
			into.l[r] = from.l[r];
			memcpy(o, p, (size_t)wide * sizeof *o);
			continue;
		}
		into.m[r] = m;
		into.l[r] = into.l[r] * a + from.l[r] * b;
		for (int32_t i = 0; i < wide; i += VW)
			v_store(o + i, v_add(v_mul(v_load(o + i), v_set1(a)), v_mul(v_load(p + i), v_set1(b))));
	}
}

/* l with e^(sink - m) added; *ret_keep: what o is multiplied by. */
static float with_sink(float sink, float m, float l, float *ret_keep)
{
	float most = m > sink ? m : sink;

	*ret_keep = exp_one(m - most);
	return l * *ret_keep + exp_one(sink - most);
}

static void attend_finish(const struct sk_cpu_tile *t, struct sk_cpu_attend_state from, float *y, int64_t y_stride)
{
	int32_t rows = t->queries * t->heads, d = t->kv->spec.head_width;

	for (int32_t r = 0; r < rows; r++) {
		const float *o = from.o + r * t->kv->wide;
		float *to = y + r / t->heads * y_stride + (int64_t)(r % t->heads) * d;
		float keep = 1.0f, sum = from.l[r];
		int32_t i = 0;
		vf l, k;

		if (t->sinks)
			sum = with_sink(t->sinks[r % t->heads], from.m[r], sum, &keep);
		l = v_set1(sum);
		k = v_set1(keep);
		for (; i + VW <= d; i += VW)
			v_store(to + i, v_div(v_mul(v_load(o + i), k), l));
		if (i < d)
			v_store_n(to + i, v_div(v_mul(v_load(o + i), k), l), d - i);
	}
}

static const struct sk_cpu_attend_loops attend_loops = {
	.chunk = attend_chunk,
	.merge = attend_merge,
	.finish = attend_finish,
};

void SK_LEVEL(sk_cpu_attend)(struct sk_dev *dev, const struct sk_op_attend *a)
{
	sk_cpu_attend_run(dev, a, &attend_loops);
}

/* ---- writing ---- */

/* x[0, d) as bfloat16 bits, one a dword. */
static void bf16_dwords(const float *x, int32_t d, uint32_t *to)
{
	int32_t i = 0;

	for (; i + VW <= d; i += VW)
		v_store_bf16_pairs(to + i, v_load(x + i), v_set1(0.0f));
	if (i < d)
		v_store_bf16_pairs(to + i, v_load_n(x + i, d - i, 0.0f), v_set1(0.0f));
}

static void write_k(const struct sk_kv *kv, unsigned char *at, int32_t slot, const float *x)
{
	int32_t d = kv->spec.head_width;
	uint32_t bits[SK_CPU_HEAD_WIDTH_MAX + VW];

	if (kv->spec.dtype == SK_F32) {
		float *to = (float *)at + slot;

		for (int32_t i = 0; i < d; i++)
			to[i * SK_KV_BLOCK] = x[i];
		return;
	}
	bf16_dwords(x, d, bits);
	for (int32_t i = 0; i < d / 2; i++)
		((uint32_t *)at)[i * SK_KV_BLOCK + slot] = bits[2 * i] | bits[2 * i + 1] << 16;
	if (d % 2)
		((uint32_t *)at)[d / 2 * SK_KV_BLOCK + slot] = bits[d - 1];
}

/* Two tokens, or one: next NULL. Where one of a pair is missing the other half of the dwords stays. */
static void write_v(const struct sk_kv *kv, unsigned char *at, int32_t slot, const float *x, const float *next)
{
	int32_t d = kv->spec.head_width, wide = kv->wide;
	float *to = (float *)at + (size_t)(slot / 2) * (size_t)wide;

	if (kv->spec.dtype == SK_F32) {
		memcpy((float *)at + (size_t)slot * (size_t)wide, x, (size_t)d * sizeof *x);
		if (next)
			memcpy((float *)at + ((size_t)slot + 1) * (size_t)wide, next, (size_t)d * sizeof *x);
		return;
	}
	for (int32_t i = 0; i < d; i += VW) {
		int n = d - i < VW ? d - i : VW;
		vf a = v_load_n(x + i, n, 0.0f);

		if (next)
			v_store_bf16_pairs(to + i, a, v_load_n(next + i, n, 0.0f));
		else if (slot % 2)
			v_store_bf16_pairs(to + i, v_bf16_lo(to + i), a);
		else
			v_store_bf16_pairs(to + i, a, v_bf16_hi(to + i));
	}
}

static void kv_write_tokens(const struct sk_op_kv_write *a, int32_t s, int32_t from, int32_t to)
{
	const struct sk_kv *kv = a->kv;
	int32_t d = kv->spec.head_width;

	for (int32_t t = from, n; t < to; t += n) {
		int32_t pos = a->step->pos[t], block = a->step->blocks[s][pos / SK_KV_BLOCK], slot = pos % SK_KV_BLOCK;
		const float *k = (const float *)a->k.data + t * a->k.stride, *v = (const float *)a->v.data + t * a->v.stride;

		n = slot % 2 == 0 && t + 1 < to && a->step->pos[t + 1] == pos + 1 ? 2 : 1;
		for (int32_t h = 0; h < kv->spec.kv_heads; h++) {
			unsigned char *at = sk_cpu_kv_at(kv, a->layer, block, h);

			write_k(kv, at, slot, k + h * d);
			if (n == 2)
				write_k(kv, at, slot + 1, k + a->k.stride + h * d);
			write_v(kv, at + kv->k_bytes, slot, v + h * d, n == 2 ? v + a->v.stride + h * d : NULL);
		}
	}
}

void SK_LEVEL(sk_cpu_kv_write)(struct sk_dev *dev, const struct sk_op_kv_write *a)
{
	struct sk_cpu_kv_job job = { .a = a, .write = kv_write_tokens };

	sk_cpu_kv_write_run(dev, &job);
}

#endif
