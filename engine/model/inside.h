/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The inside of struct sk_model, for the files of this folder.
 *
 * owner: the loader until sk_model_load() returns, the engine thread after. All device memory is taken by open and
 * load; a step takes none.
 */
#ifndef SK_MODEL_INSIDE_H
#define SK_MODEL_INSIDE_H

#include "engine/model/model.h"

/*
 * Rows of logits at a time for prompt log-probabilities. They lie behind the rows of the step, whose logits are still to be
 * sampled: in what the step left free of logits_max rows, and there are SK_PROMPT_TILE_MIN more.
 */
#define SK_PROMPT_TILE 64
#define SK_PROMPT_TILE_MIN 16
#define SK_PARTS_MAX 3                  /* q, k, v */

/* A linear layer: a repacked weight, which columns of the output it writes, and how its sum over K is cut. */
struct sk_linear {
	struct sk_weight *w;
	int32_t column, columns;
	int32_t slices;
	int32_t slice_end[SK_SLICES_MAX];
};

struct sk_layer {
	const float *attn_norm, *ffn_norm;
	struct sk_linear qkv[SK_PARTS_MAX];     /* one, or one for each run of equal types */
	struct sk_linear o, gate, up, down;     /* up.w NULL: gate holds both, joined as a GLU */
	int32_t qkv_len;
};

struct sk_model {
	const struct sk_backend *backend;
	const struct sk_arch *arch;
	struct sk_model_opts opts;
	struct sk_dims dims;
	struct sk_dev *dev;
	struct sk_kv *kv;
	uint64_t load_bytes;

	/* weights */
	struct sk_layer *layers;
	struct sk_weight *embed;
	struct sk_linear head;                  /* head.w is embed when they are tied */
	float *vectors;                         /* all norms, one after the other, vector_stride apart */
	int32_t vector_stride;
	const float *out_norm;
	float *inv_freq;

	/* scratch: float32, rows_max rows (but for logits) */
	int32_t rows_max, logits_rows;
	float *x;                               /* residual stream */
	float *h;                               /* normed */
	float *qkv, *att;
	float *ffn, *ffn_up;                    /* ffn_up: only where some gate and up could not be joined */
	float *last;                            /* rows of x that go to the head */
	float *logits;                          /* [logits_rows][V]: logits_max and the least tile */
	float *logits_host;                     /* their copy where the device's memory is not the host's; else NULL */

	/* the last step */
	int32_t step_T, step_rows;
	bool x_final;                           /* x has been through the last layer's MLP */
};

/* The rule of a slot, NULL when the architecture has none. */
const struct sk_weight_rule *sk_rule_find(const struct sk_arch *a, enum sk_slot slot);
/* The tensor of a slot and layer, checked before by sk_model_check(); NULL for an optional one that is not there. */
const struct sk_tensor *sk_slot_find(const struct sk_weights *w, const struct sk_arch *a, enum sk_slot slot, int32_t layer);
bool sk_rule_per_layer(const struct sk_weight_rule *r);

/* How many tensors from slots[i] on have the type of the first: what can be joined. */
int sk_slots_run(const struct sk_weights *w, const struct sk_arch *a, const enum sk_slot *slots, int len, int32_t layer);

/* Whether a layer's gate and up are of one type. */
bool sk_glu_joins(const struct sk_weights *w, const struct sk_arch *a, int32_t layer);

/* Scratch buffers and their bytes; *x points into m, its bytes come with it. The plan adds them up, open takes them. */
struct sk_scratch { float **at; uint64_t bytes; };
#define SK_SCRATCH_LEN 8
void sk_model_scratch(struct sk_model *m, bool any_separate_glu, struct sk_scratch ret_list[SK_SCRATCH_LEN]);
void sk_model_dev_plan(const struct sk_model *m, struct sk_dev_plan *ret_plan);
bool sk_model_any_separate_glu(const struct sk_weights *w, const struct sk_arch *a, const struct sk_dims *d);
void sk_model_kv_spec(const struct sk_model *m, int32_t blocks, struct sk_kv_spec *ret_spec);
/* Check the options and fill backend, opts, dims, arch and row counts. */
sk_status sk_model_begin(struct sk_model *m, const struct sk_weights *w, const struct sk_model_opts *o, struct sk_err *err);

#endif
