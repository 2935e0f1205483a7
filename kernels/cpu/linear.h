/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A product with a weight, cut into tiles: 32 rows of weights (a panel) by a few tokens.
 *
 * linear.c walks over panels and tiles; linear_LEVEL.c fills the inner loops in (struct sk_cpu_linear). pack.c makes
 * the panels. All panels of a weight lie one after the other, all k of a panel one after the other, in blocks:
 *
 *	block of 32 rows    k of a block   what lies in it, in the order of use
 *	Q4_0    576 bytes        32        [4][32 rows] dwords, dword j: low nibbles k = 4j.., high 16+4j..; d[32] F16
 *	Q4_1    640              32        the same; d[32], m[32] F16
 *	Q8_0   1088              32        [8][32 rows] dwords, dword j: k = 4j.., each byte + 128; d[32] F16
 *	BF16    128               2        [32 rows] pairs (k, k+1); a missing last k is zero
 *	F16      64               1        [32 rows]
 *	F32     128               1        [32 rows]
 *
 * Lane r of a panel p is weight row 32p + r; of a GLU: gate row 16p + r for r < 16, up row 16p + r - 16 for the rest.
 * Rows behind the last are zeros.
 *
 * What makes a row's bits the same at every T, thread count and tile height: an element of the result belongs to one
 * accumulator, which takes the blocks in ascending order, by the same operations for every tile height:
 *	int8:   acc = fma((float)isum, d * s, acc), Q4_1 then acc = fma(m, s * sum, acc)  per block; equal on all levels
 *	bf16:   VDPBF16PS in ascending pairs (avx512), else as float
 *	float:  acc = fma(w, x, acc) in ascending k (portable: a multiplication and an addition)
 */
#ifndef SK_CPU_LINEAR_H
#define SK_CPU_LINEAR_H

#include "kernels/cpu/cpu.h"

#define SK_CPU_ROWS 32                          /* rows in a panel */
#define SK_CPU_TILE_MAX 12                      /* most tokens in a tile, any level */

/* ---- packed weights: pack.c ---- */

struct sk_cpu_slab;

struct sk_cpu_weight {
	struct sk_weight base;                  /* first: a sk_weight * of ours is a sk_cpu_weight * */
	int32_t panels;
	size_t panel_bytes;
	unsigned char *data;
	struct sk_cpu_slab *slab;               /* the memory data lies in */
};

struct sk_cpu_format {
	int32_t block_len;                      /* k of a block of 32 rows */
	size_t block_bytes;
	bool whole;                             /* K must be a multiple of block_len */
	/* One panel from 32 rows of a file; rows[r] NULL: zeros. */
	void (*pack)(unsigned char *panel, const unsigned char *const rows[SK_CPU_ROWS], int32_t K);
	/* One row of a panel as float32: exactly what sk_quant.dequantise gives for the source row. */
	void (*row)(float *out, const unsigned char *panel, int lane, int32_t K);
};
const struct sk_cpu_format *sk_cpu_format_find(enum sk_dtype dtype);            /* NULL: no such weights here */

/* ---- packed activations, of a tile of n tokens ----
 *
 *	int8    per block of 32 k: [8][n] dwords, s[n], start[n] (int32), s * sum[n]            44 bytes a token and block
 *	bf16    per pair of k: [n] dwords
 *	float   per k: [n]
 */
#define SK_CPU_X8_BYTES 44

/* One tile: weights of one panel, activations of n tokens. */
struct sk_cpu_tile {
	const unsigned char *panel;             /* its first block */
	const unsigned char *x;
	const int32_t *slice_end;               /* in blocks */
	int32_t slices;                         /* at least 1 */
	size_t ahead;                           /* prefetch so many bytes ahead; 0: do not */
	float *out;                             /* [slices][n][32]; aligned to 64 */
};
typedef void (*sk_cpu_tile_fn)(const struct sk_cpu_tile *);

/* What becomes of the sums of a tile: y (+)= act(tree of slices + bias), GLU: act(gate + bias) * (up + bias_up). */
struct sk_cpu_finish {
	const float *part;                      /* [slices][part_stride]: n rows of 32 each */
	int64_t part_stride;
	int32_t slices, n;
	float *y;                               /* of the first token, first column of this panel */
	int64_t y_stride;
	int32_t cols;                           /* columns that exist: 1 to 32, GLU 1 to 16 */
	unsigned flags;                         /* of sk_op_linear */
	enum sk_act act;
	const float *bias, *bias_up;            /* [cols] each, of this panel's columns; NULL: none */
};

/* The inner loops of one level. Tables by tile height: entry n - 1. */
struct sk_cpu_linear {
	int tile_i8, tile_bf16, tile_f32;       /* tokens of the tallest tile; tile_bf16 0: bf16 goes the float way */
	int32_t start[SK_DTYPES];               /* start = start[dtype] * sum: undoes the weights' offset */
	sk_cpu_tile_fn const *i8[SK_DTYPES];    /* for Q8_0, Q4_0, Q4_1 */
	sk_cpu_tile_fn const *bf16;

	/* Pack n tokens. x: rows x_stride floats apart. pack_f32: round to bf16 first if asked. */
	void (*pack_i8)(unsigned char *to, const float *x, int64_t x_stride, int32_t n, int32_t K, int32_t start);
	void (*pack_bf16)(unsigned char *to, const float *x, int64_t x_stride, int32_t n, int32_t K);
	void (*pack_f32)(unsigned char *to, const float *x, int64_t x_stride, int32_t n, int32_t K, bool bf16);

	/* blocks * block_len k of a panel as [k][32] float32. */
	void (*unpack[SK_DTYPES])(float *out, const unsigned char *block, int32_t blocks, size_t ahead);
	/* acc[n][32] += sum over k of w[k][32] x[k][n]. */
	void (*const *f32)(float *acc, const float *w, const float *x, int32_t len);

	void (*finish)(const struct sk_cpu_finish *);
};
extern const struct sk_cpu_linear sk_cpu_linear_table_portable, sk_cpu_linear_table_avx2, sk_cpu_linear_table_avx512;

#endif
