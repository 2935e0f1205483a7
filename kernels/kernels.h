/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The words of arithmetic: element types, views, weight formats, and the arguments of every operation.
 *
 * kernels/ref/ says what each operation means, kernels/cpu/ (and later cuda/) makes it fast. All operations work on
 * T tokens of S sequences, ragged: the tokens of one sequence are neighbours.
 *
 * Dimensions: T tokens in this step, D model width, H heads, K kv heads, d head width, F ffn width, V vocabulary.
 */
#ifndef SK_KERNELS_H
#define SK_KERNELS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/base/err.h"

/* Element types of plain tensors and of blocks; the numbers are ours (a file reader translates). */
enum sk_dtype {
	SK_F32, SK_F16, SK_BF16, SK_I32, SK_I8,
	SK_Q8_0, SK_Q4_0, SK_Q4_1,              /* ggml's blocks of 32 along K */
	SK_DTYPES
};

/* One weight format: kernels/quant/NAME.c. Row = `K / block_len` blocks, no padding. */
struct sk_quant {
	enum sk_dtype dtype;
	const char *name;                       /* "Q4_1" */
	uint32_t block_len, block_bytes;        /* elements and bytes of one block; 1 and 4 for F32 */
	/* Whether a product with it rounds the activations first when `quantise` is asked for: SK_I8 (int8 per 32
	 * block), SK_BF16, or SK_F32 (not at all). */
	enum sk_dtype activation;
	void (*dequantise)(const void *row, float *out, size_t K);
};
const struct sk_quant *sk_quant_get(enum sk_dtype dtype);               /* never NULL for a dtype < SK_DTYPES that is a float or block type */

/* A tensor in a device's memory. Lent: the view owns nothing. Strides in elements. */
struct sk_view {
	void *data;
	enum sk_dtype dtype;
	int32_t dim[2];                         /* rows, columns */
	int64_t stride;                         /* elements from row to row */
};

/* A weight as it lies in the file: [N rows][K], each row `row_bytes` apart. */
struct sk_weight_src {
	const void *data;
	enum sk_dtype dtype;
	int32_t N, K;
	size_t row_bytes;
};

/* How several sources become one weight. */
enum sk_weight_join {
	SK_JOIN_STACK,          /* rows of the first, then of the second, ... (q, k, v) */
	SK_JOIN_GLU,            /* two sources of equal shape: gate and up, for SK_LINEAR_GLU */
};

/* A weight as the backend wants it (repacked). Made by backend->weight_open; shape stays visible. */
struct sk_weight {
	enum sk_dtype dtype;
	int32_t N, K;                           /* N counts all rows, both halves of a GLU */
	enum sk_weight_join join;
	size_t bytes;                           /* device memory it takes */
};

/* ---- the step's tokens ---- */

#define SK_KV_BLOCK 16                          /* tokens in a KV block */
#define SK_ATTEND_CHUNK 256                     /* attention merges splits of this many keys, in ascending order */

/* What a step computes: host arrays, lent for the step. */
struct sk_step {
	int32_t T, S;
	const int32_t *ids;                     /* [T] token ids */
	const int32_t *pos;                     /* [T] position in its sequence, from 0 */
	const int32_t *seq_start;               /* [S + 1] first token of each sequence in this step; seq_start[S] = T */
	const int32_t *const *blocks;           /* [S] block table of each sequence: position p is in block blocks[s][p / 16] */
};

/* One pool of KV blocks on one device, all layers. Made by backend->kv_open. Layout is the backend's own. */
struct sk_kv_spec { int32_t layers, kv_heads, head_width, blocks; enum sk_dtype dtype; };
struct sk_kv;

/* ---- operations: one args struct each ---- */

/* y[t] = dequantise(w row ids[t]) as float32 */
struct sk_op_embed { const int32_t *ids; int32_t T; const struct sk_weight *w; struct sk_view y; };

/*
 * RMSNorm (Zhang, Sennrich 2019): y[t][i] = x[t][i] * (1 / sqrt(mean_i x[t][i]^2 + eps)) * w[i]
 * x, y float32 [T, D]; w float32 [D]. y may be x.
 */
struct sk_op_norm { struct sk_view x, y; const float *w; float eps; };   /* w: the device's memory too */

/*
 * y[t][n] (+)= sum_k round(x[t][k]) * w[n][k]
 *
 * x float32 [T, K], y float32 [T, N]. round(): with `quantise`, by sk_quant.activation: per 32-block of k
 * s = max|x| / 127, q = round-half-even(x / s), value q * s (SK_I8; s = 0 gives zeros), or to bfloat16, nearest even.
 * SK_LINEAR_ADD: added to what y holds. SK_LINEAR_GLU (w joined by SK_JOIN_GLU): y [T, N/2] = silu(gate) * up.
 *
 * slices > 1 (row-parallel weights): the sum over k is cut at slice_end[i] (in k, multiples of 32 for block formats), each
 * slice summed ascending, and the partial sums added in the fixed tree ((0+1)+(2+3))+((4+5)+(6+7)), missing ones left
 * out. The order of summation is a function of (K, slices) alone: the bits of a row do not depend on T or threads.
 */
enum { SK_LINEAR_ADD = 1, SK_LINEAR_GLU = 2 };
#define SK_SLICES_MAX 8
struct sk_op_linear {
	struct sk_view x, y;
	const struct sk_weight *w;
	unsigned flags;
	bool quantise;
	int32_t slices;                         /* 0 or 1: one sum */
	int32_t slice_end[SK_SLICES_MAX];
};

/*
 * Rotary position embedding (Su et al. 2021) in place on float32 heads [T][heads * d], row stride x.stride.
 * The first rotary_width dims of each head turn by pos * inv_freq[i]; cos and sin in float32, times `factor`.
 * Pairs: (i, i + rotary_width/2), or (2i, 2i+1) with `interleaved` (GGUF's llama).
 */
struct sk_op_rope {
	struct sk_view x;                       /* [T, heads * d] */
	const int32_t *pos;                     /* [T] */
	int32_t heads, head_width, rotary_width;
	const float *inv_freq;                  /* [rotary_width / 2], the device's memory */
	float factor;
	bool interleaved;
};

/* Write k and v (float32 [T, K*d]) of the step's tokens into the pool, in the pool's type. */
struct sk_op_kv_write { struct sk_kv *kv; int32_t layer; const struct sk_step *step; struct sk_view k, v; };

/*
 * Causal attention over the paged cache (k and v of this step are already written):
 * y[t] = softmax_j(scale * q[t] . k[j]) v[j] for j <= pos[t], per head; query head h reads kv head h / (H / K).
 * q, y float32 [T, H*d]. Keys in chunks of SK_ATTEND_CHUNK positions counted from 0, merged ascending by running maximum.
 */
struct sk_op_attend {
	struct sk_kv *kv; int32_t layer; const struct sk_step *step;
	struct sk_view q, y;
	int32_t heads, kv_heads, head_width;
	float scale;
};

/* y = silu(gate) * up, float32 [T, F]: for GLUs whose two halves could not be joined. */
struct sk_op_glu { struct sk_view gate, up, y; };

/* y[i] = x[rows[i]], float32 */
struct sk_op_rows { struct sk_view x, y; const int32_t *rows; int32_t rows_len; };

/* For each row of float32 logits [n, V]: the index of the maximum (the first of equals), the maximum, and
 * log(sum(exp(x))) accumulated in a fixed order. Any output may be NULL. */
struct sk_op_row_stats { struct sk_view x; int32_t *argmax; float *max; float *logsumexp; };

#endif
