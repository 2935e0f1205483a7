/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Attention, between its plan (attend.c, the same for every level) and its loops (attend_loops.h, built for each).
 *
 * A tile is a few queries of one sequence at neighbouring positions and the heads of them that read one kv head: its
 * rows share each load of K and V. What is calculated for a row is a function of its q and of keys 0..pos alone,
 * operation by operation: tiles, threads and chunked prompts only change what is calculated beside it.
 *
 *	score[j] = scale * sum_i q[i] k[j][i]           float32, i ascending, one fused multiply-add each; then the bias, whose
 *	                                                ALiBi counts from the query: slope (j - pos) instead of slope j shifts
 *	                                                all scores of a row by the same, and rounds small numbers
 *	per chunk of SK_ATTEND_CHUNK keys:  m = max, p[j] = e^(score[j] - m), l = sum p (by lanes, then a tree),
 *	                                    o[i] = sum_j p[j] v[j][i], j ascending
 *	chunks are merged in ascending order: M = max(m, m'), l = l e^(m-M) + l' e^(m'-M), o likewise;  y = o / l
 *
 * A softcap bends the score before its bias. A window hides keys before the last `window`: chunks of which a tile sees nothing are left out, what
 * is hidden in others weighs 0, so that a row's sums are the same in every tile. A sink is added to l at the end.
 *
 * With `cross` a row sees all keys of another table instead of 0..pos; the rest is the same.
 *
 * Keys after the last one are never touched: what an earlier sequence left in a block (an infinity, say) stays without effect.
 */
#ifndef SK_CPU_ATTEND_H
#define SK_CPU_ATTEND_H

#include "kernels/cpu/cpu.h"
#include "kernels/cpu/kv.h"

#define SK_TILE_ROWS_MAX 16

struct sk_cpu_tile {
	const struct sk_kv *kv;
	const int32_t *blocks;          /* the sequence's table */
	int32_t layer, kv_head;
	int32_t pos, queries, heads;    /* position of the first query; row = query * heads + head */
	int32_t keys;                   /* every query sees so many; 0: causal */
	int32_t head;                   /* of the first row, among all */
	const struct sk_attend_bias *bias;
	const float *q;                 /* of the first row; heads lie d apart */
	int64_t q_stride;               /* from query to query */
	float scale, softcap;
	int32_t window;                 /* a query sees so many keys at most; 0: all */
	const float *sinks;             /* of the first row's head; NULL: none */
};

/* The running state of a tile's rows: o[rows][wide], m[rows], l[rows]. */
struct sk_cpu_attend_state {
	float *m, *l, *o;
};

struct sk_cpu_attend_loops {
	/* The state of keys [chunk * SK_ATTEND_CHUNK, ...). scores: [SK_TILE_ROWS_MAX][SK_ATTEND_CHUNK] of scratch. */
	void (*chunk)(const struct sk_cpu_tile *tile, int32_t chunk, struct sk_cpu_attend_state to, float *scores);
	/* into = into and then from */
	void (*merge)(struct sk_cpu_attend_state into, struct sk_cpu_attend_state from, int32_t rows, int32_t wide);
	/* y of each row = o / l; y laid out like q */
	void (*finish)(const struct sk_cpu_tile *tile, struct sk_cpu_attend_state from, float *y, int64_t y_stride);
};

void sk_cpu_attend_run(struct sk_dev *dev, const struct sk_op_attend *a, const struct sk_cpu_attend_loops *loops);

/* For kv_write: the tokens of the step in ranges that share no dword of V. write(): tokens [from, to) of sequence s. */
struct sk_cpu_kv_job {
	const struct sk_op_kv_write *a;
	void (*write)(const struct sk_op_kv_write *a, int32_t s, int32_t from, int32_t to);
};
void sk_cpu_kv_write_run(struct sk_dev *dev, const struct sk_cpu_kv_job *job);

/* cos and sin of a step's positions: see rope.c. Row t: C[rotary_width], then S[rotary_width]. */
const float *sk_cpu_rope_table(struct sk_dev *dev, const struct sk_op_rope *a);
size_t sk_cpu_rope_bytes(const struct sk_dev_plan *plan);

#endif
