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

/* A norm's weight and bias in the device's memory; there without both when it is one without tensors. */
struct sk_model_norm { bool there; const float *w, *b; };

/* A norm of q's or k's heads: one of all, a norm of each with weights of all or with its own. */
struct sk_head_norm { struct sk_model_norm n; int32_t parts; bool each; };

/* Rotary frequencies on the device: row 0; with freq_rows also others, `stride` floats apart. */
struct sk_model_rope { const float *inv_freq; int32_t stride; float factor; };

/* A linear layer: a repacked weight, which columns of the output it writes, and how its sum over K is cut. */
struct sk_linear {
	struct sk_weight *w;
	const float *bias;                      /* [w->N], the device's; NULL: none */
	int32_t column, columns;
	int32_t slices;
	int32_t slice_end[SK_SLICES_MAX];
};

/* One half of a layer that looks at tokens, and one that does not. */
struct sk_attention {
	struct sk_model_norm norm, post;
	struct sk_head_norm q_norm, k_norm;
	const float *sinks;                     /* NULL: none */
	struct sk_linear qkv[SK_PARTS_MAX];     /* one, or one for each run of equal types */
	int32_t qkv_len;
	struct sk_linear o;
};
struct sk_expert { struct sk_linear gate_up, up, down; };          /* up.w: apart, gate_up is the gate alone */
struct sk_mlp {
	struct sk_model_norm norm, post;
	struct sk_expert *experts, shared;      /* NULL: none, what is below is the MLP */
	struct sk_linear router, shared_scale;
	struct sk_linear gate, up, down;        /* gate.w NULL: none; up.w NULL: gate holds both, joined as a GLU */
};
struct sk_layer {
	struct sk_attention self;
	struct sk_attention cross, cross_kv;    /* over what an encoder left: q and o; k and v in qkv of the other */
	struct sk_mlp mlp;
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
	struct sk_layer *layers, *encoder;      /* encoder NULL: none */
	struct sk_weight *embed, *positions;    /* positions NULL: none */
	struct sk_linear head;                  /* head.w is embed when they are tied */
	struct sk_linear proj_in, proj_out;     /* w NULL: none */
	struct sk_model_norm embed_norm, out_norm, encoder_norm;
	float *vectors;                         /* norms, biases and tables, one after the other, each aligned to 64 bytes */
	uint64_t vectors_len, vectors_used;     /* floats */
	struct sk_model_rope rope, rope_local;  /* DYNAMIC: row k for sequences of original + k tokens; LONG: row 1 for all of them */
	struct sk_attend_bias bias, encoder_bias;

	/* scratch: float32, rows_max rows (but for logits) */
	int32_t rows_max, logits_rows;
	float *x;                               /* residual stream */
	float *h;                               /* normed */
	float *qkv, *att;
	float *ffn, *ffn_up;                    /* ffn_up: only where some gate and up could not be joined */
	float *e;                               /* as wide as the embedding, where that is not x's width */
	float *last;                            /* rows of x that go to the head */
	struct {
		float *logits, *gathered, *out; /* the device's: [rows_max][experts], [rows_max][D] */
		float *host, *weights, *scales; /* the host's: the logits; of each token and choice, and of each in the order of experts */
		int32_t *chosen, *rows, *start;
	} moe;                                  /* NULL where nothing is a mixture */
	float *logits;                          /* [logits_rows][V]: logits_max and the least tile */
	float *logits_host;                     /* their copy where the device's memory is not the host's; else NULL */

	/* the last step */
	int32_t *freq_rows;                     /* [tokens_max], the host's: each token's row of inv_freq; NULL: one for all */
	struct sk_step step;                    /* as it was given, with these */
	int32_t step_T, step_rows;
	bool x_final;                           /* x has been through the last layer's MLP */
};

/* ---- rules.c ---- */

#define SK_RULE_NAME_MAX 128
/* The rules for this checkpoint's form; end with SK_W_END. */
const struct sk_weight_rule *sk_rules(const struct sk_weights *w, const struct sk_arch *a);
bool sk_rule_per_layer(const struct sk_weight_rule *r);
int32_t sk_rule_layers(const struct sk_weight_rule *r, const struct sk_dims *d);        /* 1 for a rule that is not per layer; times the experts */
/* The i-th of them, as all below have `layer`: with an expert e it is layer + e * SK_LAYERS_MAX. */
int32_t sk_rule_at(const struct sk_weight_rule *r, const struct sk_dims *d, int32_t i);
void sk_rule_name(const struct sk_weight_rule *r, int32_t layer, char out[SK_RULE_NAME_MAX]);
/* The tensor of a rule and layer, with or without the architecture's prefix; NULL: not there. */
const struct sk_tensor *sk_rule_find(const struct sk_weights *w, const struct sk_arch *a, const struct sk_weight_rule *r,
				     int32_t layer);
/* Its dimensions by the letters of its shape; returns how many. */
int32_t sk_rule_shape(const struct sk_weight_rule *r, const struct sk_dims *d, int64_t ret_dim[4]);
/* Shape and type. */
sk_status sk_rule_check(const struct sk_weights *w, const struct sk_weight_rule *r, const struct sk_dims *d,
			const struct sk_tensor *t, struct sk_err *err);
/* The tensor of a slot and layer, checked before by sk_model_check(); NULL for one that is not there. */
const struct sk_tensor *sk_slot_find(const struct sk_weights *w, const struct sk_arch *a, enum sk_slot slot, int32_t layer);
bool sk_slot_transposed(const struct sk_weights *w, const struct sk_arch *a, enum sk_slot slot, int32_t layer);

/* Whether a tensor of `dims` dimensions is a vector of its slot's: norms of heads and biases of experts have two. */
bool sk_slot_is_vector(enum sk_slot slot, int32_t dims);
/* How many elements a tensor has. */
int64_t sk_tensor_len(const struct sk_tensor *t);

/* ---- check.c ---- */

/* How many tensors from slots[i] on have the type of the first: what can be joined. */
int sk_slots_run(const struct sk_weights *w, const struct sk_arch *a, const enum sk_slot *slots, int len, int32_t layer);
/* Floats that norms, biases and tables take (sk_model.vectors_len). */
uint64_t sk_model_vectors(const struct sk_weights *w, const struct sk_arch *a, const struct sk_dims *d);
/* Of them the tables that are calculated, and one vector of the file. */
uint64_t sk_model_tables(const struct sk_dims *d);
uint64_t sk_model_vector(enum sk_slot slot, const struct sk_dims *d, int64_t len);

/* Scratch buffers and their bytes; *x points into m, its bytes come with it. The plan adds them up, open takes them. */
struct sk_scratch { float **at; uint64_t bytes; };
#define SK_SCRATCH_LEN 12
void sk_model_scratch(struct sk_model *m, bool any_separate_glu, struct sk_scratch ret_list[SK_SCRATCH_LEN]);
/* The backend's own too. */
sk_status sk_model_scratch_bytes(struct sk_model *m, bool any_separate_glu, uint64_t *ret_bytes, struct sk_err *err);
void sk_model_dev_plan(const struct sk_model *m, struct sk_dev_plan *ret_plan);
bool sk_model_any_separate_glu(const struct sk_weights *w, const struct sk_arch *a, const struct sk_dims *d);
void sk_model_kv_spec(const struct sk_model *m, int32_t blocks, struct sk_kv_spec *ret_spec);
/* Check the options and fill backend, opts and row counts; dims are there. */
sk_status sk_model_begin_opts(struct sk_model *m, const struct sk_model_opts *o, struct sk_err *err);
/* And dims and arch, from a checkpoint. */
sk_status sk_model_begin(struct sk_model *m, const struct sk_weights *w, const struct sk_model_opts *o, struct sk_err *err);

/* ---- share.c ---- */

/*
 * Where the sum over K of a row-parallel weight is cut, so that any number of ranks gives the same bits: a unit is the
 * fewest `piece`s (heads, columns) that end on a block of the weight's type; at most 8 slices of whole units. Returns how many.
 */
int32_t sk_slices_cut(int32_t K, int32_t piece, enum sk_dtype dtype, int32_t ret_end[SK_SLICES_MAX]);

/* ---- layers.c: operations on the scratch, for forward.c and encdec.c ---- */

/* Rows [0, rows) of a float32 buffer, from `column` on. */
static inline struct sk_view sk_rows_view(float *data, int32_t rows, int32_t stride, int32_t column, int32_t columns)
{
	return (struct sk_view){ .data = data + column, .dtype = SK_F32, .dim = { rows, columns }, .stride = stride };
}

static inline struct sk_view sk_rows_whole(float *data, int32_t rows, int32_t columns)
{
	return sk_rows_view(data, rows, columns, 0, columns);
}

/* Where an attention's keys and values go, and what is added to its scores. encoder: all tokens of an input see each other. */
struct sk_place { int32_t layer; struct sk_attend_bias bias; bool encoder; };

void sk_layer_norm(const struct sk_model *m, const struct sk_model_norm *n, float *x, float *y, int32_t rows);
void sk_layer_linear(const struct sk_model *m, const struct sk_linear *l, struct sk_view x, struct sk_view y, unsigned flags,
		     enum sk_act act);
void sk_layer_embed(struct sk_model *m, const struct sk_step *step);                            /* m->x */
/* The first half of a layer, on m->x; where the halves are parallel, all of it. */
void sk_layer_self(struct sk_model *m, const struct sk_layer *y, const struct sk_place *at, const struct sk_step *step);
/* Between the halves, in a decoder behind an encoder. */
void sk_layer_cross(struct sk_model *m, const struct sk_layer *y, int32_t layer, const struct sk_step *step);
/* The cross keys and values of a decoder's layer, from the encoder's answer x. */
void sk_layer_cross_write(struct sk_model *m, const struct sk_layer *y, int32_t layer, float *x, const struct sk_step *step);
/* An MLP that is a mixture of experts, of h, added to x: experts.c. */
void sk_layer_experts(struct sk_model *m, const struct sk_mlp *p, float *h, float *x, int32_t rows);
/* The second half, for some rows of a stream. */
void sk_layer_mlp(struct sk_model *m, const struct sk_layer *y, float *x, int32_t rows);

/* ---- rope.c ---- */

/* inv_freq [width / 2] for a sequence of `length` tokens (DYNAMIC and LONG look at it); returns the factor of cos and sin. */
float sk_rope_frequencies(const struct sk_rope *r, int32_t length, float *ret_f);

#endif
