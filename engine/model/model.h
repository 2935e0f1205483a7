/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A model on a device: its weights in the backend's layout, its KV pool, and one ragged forward step.
 *
 *	sk_model_plan (headers only) -> sk_model_open -> sk_model_load (minutes or milliseconds, any one thread) -> sk_model_forward ...
 *
 * owner: the loader until load returns, the engine thread after.
 */
#ifndef SK_MODEL_H
#define SK_MODEL_H

#include <stdatomic.h>

#include "engine/model/arch.h"
#include "kernels/backend.h"

struct sk_model;

struct sk_model_opts {
	const struct sk_backend *backend;
	int ordinal;                            /* of the backend's devices */
	struct sk_dev_opts dev;
	enum sk_dtype kv_dtype;                 /* SK_BF16 or SK_F32 */
	bool quantise;                          /* activations rounded as the weight format says (dtype auto) */
	int32_t tokens_max, sequences_max;      /* T and S of a step */
	int32_t logits_max;                     /* rows of logits a step may ask for, at most */
	int32_t context_max;                    /* tokens of one sequence */
	int32_t encode_max;                     /* tokens of a step of the encoder; 0 where there is none */
	int32_t kv_blocks;
};
#define SK_ENCODE_MAX (1 << 20)

struct sk_model_plan {
	uint64_t weights_bytes, scratch_bytes, kv_bytes, kv_bytes_per_token, params;
	char quant[32];
	enum sk_dtype weights;                  /* what most of their bytes are in; quant is its name */
};

/* From the configuration alone: which architecture, and its dimensions. */
sk_status sk_model_config(const struct sk_weights *w, const struct sk_arch **ret_arch, struct sk_dims *ret_dims, struct sk_err *err);
/* Find the architecture, check every tensor the rules name (presence, shape, type). */
sk_status sk_model_check(const struct sk_weights *w, const struct sk_arch **ret_arch, struct sk_dims *ret_dims, struct sk_err *err);
/* Bytes for these options. kv_blocks may be 0. */
sk_status sk_model_plan(const struct sk_weights *w, const struct sk_model_opts *o, struct sk_model_plan *ret_plan, struct sk_err *err);

/*
 * What one of several ranks holds, with weights of one type, of a model of which there may be nothing but its configuration: vectors,
 * tables and whatever no rule splits whole, of the rest its slices' part. Slices are the parts of the sums over heads and over
 * the MLP's columns (DESIGN.md 3.5): a rank owns whole ones of each, so there may be as many ranks as there are of the fewer.
 */
struct sk_model_share {
	int32_t slices, mlp_slices;             /* this rank's */
	int32_t heads, kv_heads, ffn_width, vocab;
	uint64_t embed_bytes, attention_bytes, mlp_bytes, head_bytes, vector_bytes;     /* of weights; positions are with the embedding */
	uint64_t weights_bytes;                 /* their sum */
	uint64_t scratch_bytes, kv_block_bytes; /* for o->context_max, encode_max, tokens_max, sequences_max; of SK_KV_BLOCK tokens */
};
int32_t sk_model_ranks_max(const struct sk_dims *d, enum sk_dtype weights);
uint64_t sk_model_params(const struct sk_arch *a, const struct sk_dims *d);
sk_status sk_model_share(const struct sk_arch *a, const struct sk_dims *d, const struct sk_model_opts *o, enum sk_dtype weights,
			 int32_t ranks, int32_t rank, struct sk_model_share *ret_share, struct sk_err *err);

sk_status sk_model_open(const struct sk_weights *w, const struct sk_model_opts *o, struct sk_model **ret_m, struct sk_err *err);
/* Repack all weights; counts bytes into *done as it goes; stops with SK_ECANCELED once *stop is set. Drops source pages. */
sk_status sk_model_load(struct sk_model *m, const struct sk_weights *w, _Atomic uint64_t *done, _Atomic bool *stop, struct sk_err *err);
uint64_t sk_model_load_bytes(const struct sk_model *m);
void sk_model_close(struct sk_model **m);

struct sk_dev *sk_model_dev(struct sk_model *m);
/* Whether the device has failed since the last forward: what was read from it is then worth nothing. */
sk_status sk_model_sync(struct sk_model *m, struct sk_err *err);
const struct sk_dims *sk_model_dims(const struct sk_model *m);
void sk_model_kv_copy(struct sk_model *m, int32_t from_block, int32_t to_block);

/*
 * Once, after load: where the device can record steps, those of 1, 2, 4 ... generated tokens and of all there may be, for contexts of
 * one chunk and for longer ones. How many; 0 is no failure.
 */
int sk_model_record(struct sk_model *m);

/*
 * One ragged step: embeds step->ids, runs all layers, writes KV, and computes logits for the rows (indices of tokens in
 * the step) asked for. rows_len <= logits_max. *ret_logits (may be NULL): host float32 [rows_len][V], valid until the
 * next forward; a device's are copied for it, whole, so who needs few of them asks sk_model_logits(). Allocates nothing. SK_EDEVICE: the device failed.
 */
sk_status sk_model_forward(struct sk_model *m, const struct sk_step *step, const int32_t *rows, int32_t rows_len,
			   const float **ret_logits, struct sk_err *err);

/*
 * One step of the encoder: step->ids are whole inputs, step->blocks (and cross_blocks, the same) where each sequence's cross
 * keys and values go, step->cross_len their lengths. A decoder's step names them again in cross_blocks and cross_len. Blocks of
 * both kinds are of the one pool. Waits for the device. SK_EENGINE: the device failed.
 */
sk_status sk_model_encode(struct sk_model *m, const struct sk_step *step, struct sk_err *err);

/* Of each row of the last forward's logits: [rows_len], host; any may be NULL. See sk_op_row_stats. */
void sk_model_row_stats(struct sk_model *m, int32_t *argmax, float *max, float *logsumexp);

/* One row of them: host float32 [V], valid until the next forward. From a device it is copied, which waits. */
const float *sk_model_logits(struct sk_model *m, int32_t row);

/*
 * Log-probabilities of prompt rows, after a forward of the same step: for each row r in [row, row + len) of the step the
 * head runs in tiles of 16 to 64 rows; calls take(arg, r, logits, logsumexp) for each row in order. (rows' hidden states are kept until the next step;
 * the logits that forward returned stay as they are.)
 */
void sk_model_prompt_rows(struct sk_model *m, int32_t row, int32_t len, void (*take)(void *arg, int32_t r, const float *logits, float logsumexp),
			  void *arg);

#endif
