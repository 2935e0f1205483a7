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

/* A weight as it lies in the file: [N rows][K], each row `row_bytes` apart: more than a row takes where some are left out. */
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
	/* What an encoder left for each sequence, or leaves now; NULL where the model has none. For attend's `cross`. */
	const int32_t *const *cross_blocks;     /* [S] block tables in the pool of cross keys and values */
	const int32_t *cross_len;               /* [S] keys there, at least 1 */
	/* For models whose rotary frequencies hang on a sequence's length. */
	const int32_t *prompt_len;              /* [S] tokens of each prompt, whose rows a device may sum in an order of their own; NULL: 1 each */
	const int32_t *freq_rows;               /* [T] the model's own, for rope; NULL: none */
};

/* One pool of KV blocks on one device, all layers. Made by backend->kv_open. Layout is the backend's own. */
struct sk_kv_spec { int32_t layers, kv_heads, head_width, blocks; enum sk_dtype dtype; };
struct sk_kv;

/* ---- operations: one args struct each ---- */

/*
 * y[t] = dequantise(w row ids[t]) as float32, times `scale`; with `positions` (learned position embeddings, as wide as w)
 * + dequantise(positions row pos[t]), added in float32.
 */
struct sk_op_embed {
	const int32_t *ids; int32_t T; const struct sk_weight *w; struct sk_view y;
	float scale;                            /* 0: 1 */
	const struct sk_weight *positions;      /* NULL: none */
	const int32_t *pos;                     /* [T], with positions */
};

/*
 * RMSNorm (Zhang, Sennrich 2019):        y[t][i] = x[t][i] * (1 / sqrt(mean_i x[t][i]^2 + eps)) * w[i]
 * LayerNorm (Ba, Kiros, Hinton 2016):    y[t][i] = (x[t][i] - m) * (1 / sqrt(mean_i (x[t][i] - m)^2 + eps)) * w[i] + b[i],
 *                                        m = mean_i x[t][i]
 * x, y float32 [T, D]; w, b float32 [D] in the device's memory, NULL: ones, zeros. y may be x.
 * parts > 1 (the heads of q or of k): a row is so many vectors, each normed alone, D = its columns / parts; w and b are [D] for all
 * of them, or [parts][D] where `each` has its own.
 */
enum sk_norm_kind { SK_NORM_RMS, SK_NORM_LAYER };
struct sk_op_norm {
	struct sk_view x, y; const float *w, *b; float eps; enum sk_norm_kind kind;
	int32_t parts;                          /* 0: 1 */
	bool each;
};

/*
 * Activations, float32.
 *	SILU            v / (1 + e^-v)
 *	GELU            v/2 (1 + erf(v / sqrt 2))                                       (Hendrycks, Gimpel 2016)
 *	GELU_TANH       v/2 (1 + tanh(sqrt(2 / pi) (v + 0.044715 v^3)))
 *	RELU            max(v, 0)
 */
enum sk_act { SK_ACT_NONE, SK_ACT_SILU, SK_ACT_GELU, SK_ACT_GELU_TANH, SK_ACT_RELU };

/*
 * y[t][n] (+)= act(sum_k round(x[t][k]) * w[n][k] + bias[n])
 *
 * x float32 [T, K], y float32 [T, N]. round(): with `quantise`, by sk_quant.activation: per 32-block of k
 * s = max|x| / 127, q = round-half-even(x / s), value q * s (SK_I8; s = 0 gives zeros), or to bfloat16, nearest even.
 * SK_LINEAR_ADD: added to what y holds. SK_LINEAR_GLU (w joined by SK_JOIN_GLU): y [T, N/2] = act(gate) * up, where gate is
 * the sum of row n and bias[n], up that of row N/2 + n and bias[N/2 + n]; act is not NONE there.
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
	const float *bias;                      /* [N], the device's memory, added after the tree; NULL: none */
	enum sk_act act;
};

/*
 * Rotary position embedding (Su et al. 2021) in place on float32 heads [T][heads * d], row stride x.stride.
 * The first rotary_width dims of each head turn by pos * inv_freq[i]; cos and sin in float32, times `factor`. With freq_rows
 * each token has frequencies of its own: row freq_rows[t] of a table that stays as it is as long as the device.
 * Pairs: (i, i + rotary_width/2). Where a file has them as (2i, 2i+1) the rows of its weights are put so when they are loaded.
 */
struct sk_op_rope {
	struct sk_view x;                       /* [T, heads * d] */
	const int32_t *pos;                     /* [T] */
	int32_t heads, head_width, rotary_width;
	const float *inv_freq;                  /* [rotary_width / 2], or rows of them: the device's memory */
	const int32_t *freq_rows;               /* [T]; NULL: one row for all */
	int32_t freq_stride;                    /* floats from row to row */
	float factor;
};

/* Write k and v (float32 [T, K*d]) of the step's tokens into the pool, in the pool's type. */
struct sk_op_kv_write { struct sk_kv *kv; int32_t layer; const struct sk_step *step; struct sk_view k, v; };

/*
 * What is added to the score of key j for the query at position i, head h, before the softmax; s = scale * q . k.
 *	ALIBI           s + slope[h] * j                                                (Press, Smith, Lewis 2021; as BLOOM has it)
 *	ALIBI_BF16      scale * (q . k + bf16(bf16(slope[h]) * j)), bf16() rounds to nearest even       (as Falcon-RW has it)
 *	TABLE           s + table[h][min(max(j - i, -reach), reach) + reach]            (T5's relative positions, its buckets laid out)
 */
enum sk_bias_kind { SK_BIAS_NONE, SK_BIAS_ALIBI, SK_BIAS_ALIBI_BF16, SK_BIAS_TABLE };
struct sk_attend_bias {
	enum sk_bias_kind kind;
	const float *data;                      /* slope [H], or table [H][2 * reach + 1]: the device's memory */
	int32_t reach;                          /* TABLE */
};

/*
 * Attention over the paged cache (k and v of this step are already written), softmax(scores) v per head; query head h reads
 * kv head h / (H / K):
 *	causal          keys j <= pos[t] of blocks[s]
 *	window          of those the last `window`, pos[t] itself among them
 *	cross           keys j < cross_len[s] of cross_blocks[s], all of them: an encoder's own tokens (kv is then where
 *	                kv_write of this step put them, blocks and cross_blocks the same tables), or what a decoder looks at
 * A softcap bends each score s = scale * q . k to cap * tanh(s / cap), before the bias. A sink is one more score of each head, of a key whose
 * value is zero.
 * q, y float32 [T, H*d]. Keys in chunks of SK_ATTEND_CHUNK positions counted from 0, merged ascending by running maximum.
 */
struct sk_op_attend {
	struct sk_kv *kv; int32_t layer; const struct sk_step *step;
	struct sk_view q, y;
	int32_t heads, kv_heads, head_width;
	float scale;
	struct sk_attend_bias bias;
	bool cross;
	int32_t window;                         /* not with `cross`; 0: none */
	float softcap;                          /* 0: none; not with ALIBI_BF16, whose bias comes before the scale */
	const float *sinks;                     /* [H], the device's memory; NULL: none. Not with ALiBi, which is free to shift a row's scores */
};

/*
 * y = act(gate) * up, float32 [T, F]: for GLUs whose two halves could not be joined. act is not NONE.
 * limit > 0 (gpt-oss): y = g / (1 + e^(-1.702 g)) * (u + 1) instead, g = min(gate, limit), u = min(max(up, -limit), limit).
 */
struct sk_op_glu { struct sk_view gate, up, y; enum sk_act act; float limit; };

/*
 * y += scale * x, float32 [T, D]; with `rows` (the host's, as many as x has, no two the same) y[rows[i]] += scales[i] * x[i] instead.
 */
struct sk_op_add { struct sk_view x, y; float scale; const int32_t *rows; const float *scales; };

/* In place, float32 [T, D]: x = min(max(x, -limit), limit); soft: x = limit * tanh(x / limit). limit > 0. */
struct sk_op_bound { struct sk_view x; float limit; bool soft; };

/*
 * Which of `experts` a token goes to, and how much of each, from a logit for each of them. The first of equals.
 *	SOFTMAX         the `used` largest; their softmax over all, with `renormalise` over themselves
 *	SPARSEMIXER     Phi-3.5-MoE's; route.c has the formula
 */
enum sk_route_kind { SK_ROUTE_SOFTMAX, SK_ROUTE_SPARSEMIXER };
struct sk_route { enum sk_route_kind kind; int32_t experts, used; bool renormalise; float jitter; };
void sk_route_row(const struct sk_route *r, const float *logits, int32_t *ret_experts, float *ret_weights);

/* y[i] = x[rows[i]], float32 */
struct sk_op_rows { struct sk_view x, y; const int32_t *rows; int32_t rows_len; };

/* For each row of float32 logits [n, V]: the index of the maximum (the first of equals), the maximum, and
 * log(sum(exp(x))) accumulated in a fixed order. Any output may be NULL. */
struct sk_op_row_stats { struct sk_view x; int32_t *argmax; float *max; float *logsumexp; };

#endif
