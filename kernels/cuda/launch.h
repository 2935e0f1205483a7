/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The launchers: what the host half (plain C) may ask of the device half (.cu). One struct of plain values a kernel; all
 * pointers are the device's. `stream` is a cudaStream_t. A launch does not fail here: cudaGetLastError() tells in sync.
 */
#ifndef SK_CUDA_LAUNCH_H
#define SK_CUDA_LAUNCH_H

#include <stdbool.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Element types of weights and KV as the kernels' templates know them. */
enum sk_gpu_type { SK_GPU_F32, SK_GPU_F16, SK_GPU_BF16 };

/* Activations: the numbers of kernels.h, which ops.c checks. */
enum sk_gpu_act { SK_GPU_NONE, SK_GPU_SILU, SK_GPU_GELU, SK_GPU_GELU_TANH, SK_GPU_RELU };

/* A weight lies row by row, `ld` elements apart (K rounded up to SK_GPU_K, zeros behind K), rows rounded up to SK_GPU_N. */
#define SK_GPU_K 32                     /* elements */
#define SK_GPU_N 64                     /* rows */
#define SK_GPU_BLOCK 16                 /* tokens of a block of the pool */
#define SK_GPU_GLU 8                    /* a GLU's rows take turns: so many of gate, so many of up */

/* ---- rows.cu ---- */

/* positions NULL: none; else row pos[t] of them, of their own type, is added. */
struct sk_gpu_embed {
	const int32_t *ids; int32_t T, K; const void *w; int64_t ld; enum sk_gpu_type type; float *y; int64_t y_stride; float scale;
	const void *positions; int64_t positions_ld; enum sk_gpu_type positions_type; const int32_t *pos;
};
void sk_gpu_embed(void *stream, const struct sk_gpu_embed *a);

/* w, b NULL: ones, zeros. centred: LayerNorm, else RMSNorm. A row is `parts` vectors of D; own: each with weights of its own. */
struct sk_gpu_norm {
	const float *x; int64_t x_stride; float *y; int64_t y_stride; const float *w, *b; int32_t T, D; float eps; bool centred;
	int32_t parts; bool own;
};
void sk_gpu_norm(void *stream, const struct sk_gpu_norm *a);

struct sk_gpu_rope {
	float *x; int64_t stride; const int32_t *pos; int32_t T, heads, head_width, half; const float *inv_freq; float factor;
	const int32_t *freq_rows; int32_t freq_stride;
};
void sk_gpu_rope(void *stream, const struct sk_gpu_rope *a);

struct sk_gpu_glu { const float *gate, *up; float *y; int64_t gate_stride, up_stride, y_stride; int32_t T, F, act; float limit; };
void sk_gpu_glu(void *stream, const struct sk_gpu_glu *a);

/* rows, scales NULL: scale of all. */
struct sk_gpu_add {
	const float *x; float *y; int64_t x_stride, y_stride; int32_t T, D; float scale; const int32_t *rows; const float *scales;
};
void sk_gpu_add(void *stream, const struct sk_gpu_add *a);

struct sk_gpu_bound { float *x; int64_t stride; int32_t T, D; float limit; bool soft; };
void sk_gpu_bound(void *stream, const struct sk_gpu_bound *a);

struct sk_gpu_rows { const float *x; float *y; int64_t x_stride, y_stride; const int32_t *rows; int32_t rows_len, D; };
void sk_gpu_rows(void *stream, const struct sk_gpu_rows *a);

struct sk_gpu_row_stats { const float *x; int64_t stride; int32_t T, V; int32_t *argmax; float *max, *logsumexp; };
void sk_gpu_row_stats(void *stream, const struct sk_gpu_row_stats *a);

/* ---- linear.cu ---- */

enum { SK_GPU_ADD = 1, SK_GPU_IS_GLU = 2 };
/*
 * x float32; room: [T][ld] elements of float32 or bf16, for the rounded activations. N counts rows of the answer (of a GLU:
 * half the weight's). `round`: activations to bf16 on the matrix units, for bf16 weights only.
 * bias: [N], of a GLU [2 N], gate's then up's; NULL: none.
 */
struct sk_gpu_linear {
	const float *x; int64_t x_stride; float *y; int64_t y_stride; const void *w; int64_t ld; enum sk_gpu_type type;
	void *room; int32_t T, N, K; unsigned flags; bool round; const float *bias; int32_t act;
};
void sk_gpu_linear(void *stream, const struct sk_gpu_linear *a);

/* ---- attend.cu ---- */

/* The step's arrays on the device. blocks of sequence s: tables[table_start[s] ...]; keys[s] of them, NULL: up to the token. */
struct sk_gpu_step { const int32_t *pos, *seq, *tables, *table_start, *keys; };
/* The pool: k and v [layers][blocks][kv_heads][16][ld], ld = head width rounded up to 8. */
struct sk_gpu_pool { void *k, *v; int32_t blocks, kv_heads, head_width, ld; enum sk_gpu_type type; };

struct sk_gpu_kv_write { struct sk_gpu_pool pool; struct sk_gpu_step step; const float *k, *v; int64_t k_stride, v_stride; int32_t T, layer; };
void sk_gpu_kv_write(void *stream, const struct sk_gpu_kv_write *a);

/* Biases of attention: the numbers of kernels.h, which ops.c checks. */
enum sk_gpu_bias_kind { SK_GPU_BIAS_NONE, SK_GPU_BIAS_ALIBI, SK_GPU_BIAS_ALIBI_BF16, SK_GPU_BIAS_TABLE };

/* As in kernels.h; scale is what q . k is times, softcap (0: none) bends it before the bias. */
struct sk_gpu_bias { int32_t kind, reach; const float *data; float scale, softcap; };

/*
 * splits: the most splits of SK_ATTEND_CHUNK keys that a token of this step has. part: room for [T][heads][splits] states of
 * ld + 2 floats; NULL: one block takes a token's splits one after the other, with the same bits.
 * tokens: the T tokens of the step that are meant; NULL: the first T.
 */
struct sk_gpu_attend {
	struct sk_gpu_pool pool; struct sk_gpu_step step; const float *q; float *y; int64_t q_stride, y_stride;
	int32_t T, layer, heads, splits; float *part; struct sk_gpu_bias bias; const int32_t *tokens;
	int32_t window; const float *sinks;
};
void sk_gpu_attend(void *stream, const struct sk_gpu_attend *a);

/* ---- prefill.cu ---- */

/* runs: tokens [runs[2 s], runs[2 s + 1]) of the step are sequence s's, their positions ascending; run_max: the most of one. A bf16 pool. */
struct sk_gpu_prefill {
	struct sk_gpu_pool pool; struct sk_gpu_step step; const float *q; float *y; int64_t q_stride, y_stride;
	int32_t layer, heads, runs_len, run_max; const int32_t *runs; struct sk_gpu_bias bias;
};
void sk_gpu_prefill(void *stream, const struct sk_gpu_prefill *a);

#ifdef __cplusplus
}
#endif
#endif
