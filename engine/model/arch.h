/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What an architecture is: how a configuration becomes dimensions and flags, and a table of weight rules for each form of
 * checkpoint it comes in. One file each in engine/arch/, one line in archs.def. forward.c reads the flags; an architecture
 * has no code of its own in a step.
 */
#ifndef SK_ARCH_H
#define SK_ARCH_H

#include <stdbool.h>
#include <stdint.h>

#include "engine/base/err.h"
#include "engine/weights/weights.h"

/* ---- what a model is ------------------------------------------------------------------------------------------ */

enum { SK_LAYERS_MAX = 1024 };

/* Some of a model's layers. */
struct sk_layer_set { uint64_t bits[SK_LAYERS_MAX / 64]; };
static inline bool sk_layers_have(const struct sk_layer_set *s, int32_t layer) { return s->bits[layer / 64] >> layer % 64 & 1; }
static inline void sk_layers_add(struct sk_layer_set *s, int32_t layer) { s->bits[layer / 64] |= (uint64_t)1 << layer % 64; }

/* How a token knows where it stands. */
enum sk_position_kind {
	SK_POS_ROPE,                            /* q and k turn (rope_*) */
	SK_POS_LEARNED,                         /* a table is added to the embedding (SK_W_POSITIONS) */
	SK_POS_ALIBI,                           /* slopes are added to the scores, as BLOOM does */
	SK_POS_ALIBI_BF16,                      /* the same by Falcon's rounding */
	SK_POS_RELATIVE,                        /* T5: a learned bias by distance (SK_W_REL_BIAS, rel_*) */
};

/* Where the norms of a layer's two halves f (attention, MLP) stand. */
enum sk_residual_kind {
	SK_RESIDUAL_PRE,                        /* x += f(norm x), where there is such a norm; x += post(f(norm x)) where there is one behind */
	SK_RESIDUAL_PARALLEL,                   /* x += attention(norm1 x) + mlp(norm2 x); no second norm: the first one's answer */
	SK_RESIDUAL_POST,                       /* x = norm(x + f(x)): OPT-350m */
	SK_RESIDUAL_NORMED,                     /* x = norm x; x += f(x): BLOOM's apply_residual_connection_post_layernorm */
};

/* How a fused q, k and v lies (SK_W_QKV), in rows. */
enum sk_qkv_kind {
	SK_QKV_PARTS,                           /* all of q, all of k, all of v */
	SK_QKV_GROUPS,                          /* for each kv head: its query heads, its k, its v */
	SK_QKV_FOUR,                            /* a fourth of q, of v, of k; the next fourth of each: CodeGen */
};

/* How rotary frequencies are stretched beyond the length a model was trained for. rope.c has the formulas. */
enum sk_rope_scaling { SK_ROPE_PLAIN, SK_ROPE_LINEAR, SK_ROPE_DYNAMIC, SK_ROPE_LLAMA3, SK_ROPE_YARN, SK_ROPE_LONG };
#define SK_ROPE_STRETCH_MAX 256         /* frequencies of a head that is stretched one by one */
struct sk_rope {
	int32_t width;                          /* rotated dims of a head, even */
	bool odd;                               /* a configuration names one less: width - 1 is what the exponents are divided by */
	bool interleaved;                       /* pairs in the file: (2i, 2i+1), else (i, i + width/2); loaded they are the latter */
	enum sk_rope_scaling scaling;
	float base;
	float factor;                           /* of the scaling: > 0 */
	float attention;                        /* of cos and sin; 0: as the scaling says */
	float low, high;                        /* LLAMA3: low_freq_factor, high_freq_factor. YARN: beta_slow, beta_fast */
	bool round;                             /* YARN: the correction's ends are whole numbers */
	float mscale, mscale_all;               /* YARN: 0: not given */
	int32_t original;                       /* DYNAMIC, LLAMA3, YARN, LONG: the length it was trained for */
	int32_t lengths;                        /* DYNAMIC: so many lengths beyond it can occur, each with frequencies of its own; LONG: 1 for all */
	float stretch[2][SK_ROPE_STRETCH_MAX];  /* LONG: of each frequency, up to that length and beyond it */
};

/* What a layer keeps of the past. One entry a kind (self, window, cross, latent, state), with bytes per token. */
enum sk_kv_kind { SK_KV_SELF };

struct sk_dims {
	int32_t layers, width, heads, kv_heads, head_width, ffn_width, vocab, context_max;
	int32_t embed_width;                    /* of the embedding and the head; width unless there are projections */
	enum sk_norm_kind norm;
	float norm_eps;
	enum sk_act act;
	bool glu;                               /* the MLP has a gate */
	enum sk_residual_kind residual;
	enum sk_position_kind position;
	enum sk_qkv_kind qkv;                   /* of a fused weight; separate ones need no word */
	struct sk_rope rope;
	struct sk_rope rope_local;              /* of the local layers, where two_ropes */
	bool two_ropes;
	struct sk_layer_set unturned;           /* ROPE: layers without */
	struct sk_layer_set local;              /* see no more than the last `window` tokens, themselves among them */
	int32_t window;
	int32_t positions, position_offset;     /* LEARNED: rows of the table, and what is added to a position */
	int32_t rel_buckets, rel_distance;      /* RELATIVE */
	float score_scale;                      /* of q . k; 0: 1 / sqrt(head_width) */
	bool score_by_layer;                    /* and over the number of the layer, from 1 */
	float score_cap, logit_cap;             /* cap * tanh(x / cap); 0: none */
	float alibi_max;                        /* ALIBI: the exponent of the last slope; 0: 8 */
	float qkv_limit;                        /* q, k and v are clamped to it; 0: not */
	float embed_scale;                      /* of the embedding; 0: 1 */
	float half_scale;                       /* of what each half of a layer adds; 0: 1 */
	float out_scale;                        /* of what goes to the head; 0: 1 */
	struct sk_route route;                  /* experts > 0: every MLP is a mixture of so many */
	float glu_limit;                        /* of the experts' gate and up, as gpt-oss has it: see sk_op_glu; 0: none */
	int32_t expert_width, shared_width;     /* of an expert's MLP; of one that all tokens share, 0: none */
	bool norm_less_one;                     /* norms' weights are stored less 1 (Gemma) */
	bool plain_norms;                       /* no norm has weights or biases */
	bool no_out_norm;                       /* nothing is normed before the head (OPT-350m) */
	bool tied_head;                         /* no weight of its own: the embedding. config(): the file's is not to be used */
	/* Which of the tensors that may be missing are there: for a plan without weights. With weights, what is there counts. */
	bool attention_bias, mlp_bias;
	bool qk_norm;                           /* norms of q and k */
	bool one_norm;                          /* PARALLEL: both halves take the first norm's answer */
	bool head_bias;                         /* of a head that may have one */
	bool head_tied;                         /* no head of its own, as a rule (T5); tied_head: certainly */
	bool sequences;                         /* prompts hold sequences of letters as Galactica has them (text/sequences.c) */
	bool keep_special;                      /* generated text keeps special tokens, whatever is asked (Galactica, SantaCoder) */

	/* An encoder: as wide as the decoder, with the same heads. 0 layers: none. */
	int32_t encoder_layers;
	int32_t start_id;                       /* the decoder's first token */
};

/* ---- weights -------------------------------------------------------------------------------------------------- */

/* What a tensor is for. Each has a bias beside it: of SK_W_NAME it is SK_W_NAME_B. */
#define SK_SLOT(name) SK_W_##name, SK_W_##name##_B
enum sk_slot {
	SK_W_END,
	SK_W_IGNORE,                            /* known and not needed: masks, frequencies, copies of a tied weight */
	SK_SLOT(EMBED), SK_SLOT(POSITIONS), SK_SLOT(EMBED_NORM), SK_SLOT(PROJ_IN), SK_SLOT(PROJ_OUT),
	SK_SLOT(OUT_NORM), SK_SLOT(HEAD), SK_SLOT(ROPE_FREQS), SK_SLOT(ROPE_SHORT), SK_SLOT(ROPE_LONG), SK_SLOT(REL_BIAS),
	/* a layer of the decoder; q, k and v are one, two or three tensors */
	SK_SLOT(ATTN_NORM), SK_SLOT(Q_NORM), SK_SLOT(K_NORM), SK_SLOT(SINKS), SK_SLOT(ATTN_POST_NORM), SK_SLOT(QKV), SK_SLOT(Q), SK_SLOT(K), SK_SLOT(V), SK_SLOT(KV), SK_SLOT(O),
	SK_SLOT(FFN_NORM), SK_SLOT(GATE), SK_SLOT(UP), SK_SLOT(GATE_UP), SK_SLOT(DOWN), SK_SLOT(FFN_POST_NORM),
	/* an MLP that is a mixture; of the experts one tensor each ("%e" in its name), or all in one of three dimensions */
	SK_SLOT(ROUTER), SK_SLOT(EXPERT_GATE), SK_SLOT(EXPERT_UP), SK_SLOT(EXPERT_GATE_UP), SK_SLOT(EXPERT_DOWN),
	SK_SLOT(SHARED_GATE), SK_SLOT(SHARED_UP), SK_SLOT(SHARED_DOWN), SK_SLOT(SHARED_SCALE),
	/* its attention over what the encoder left */
	SK_SLOT(CROSS_NORM), SK_SLOT(CROSS_Q), SK_SLOT(CROSS_K), SK_SLOT(CROSS_V), SK_SLOT(CROSS_O),
	/* the encoder */
	SK_SLOT(ENC_REL_BIAS), SK_SLOT(ENC_OUT_NORM),
	SK_SLOT(ENC_ATTN_NORM), SK_SLOT(ENC_Q), SK_SLOT(ENC_K), SK_SLOT(ENC_V), SK_SLOT(ENC_O),
	SK_SLOT(ENC_FFN_NORM), SK_SLOT(ENC_GATE), SK_SLOT(ENC_UP), SK_SLOT(ENC_DOWN),
	SK_SLOTS
};

/*
 * How ranks share a weight: whole, rows (column-parallel; of the vocabulary evenly, of the MLP as its slices), or K slices
 * (row-parallel, summed in the fixed tree).
 */
enum sk_split { SK_SPLIT_NONE, SK_SPLIT_ROWS, SK_SPLIT_HEADS, SK_SPLIT_KV_HEADS, SK_SPLIT_K };

enum {
	SK_RULE_OPTIONAL = 1,                   /* may be missing: then it is not part of the model */
	SK_RULE_TRANSPOSED = 2,                 /* stored [K][N] (GPT-2's Conv1D) */
	SK_RULE_ENCODER = 4,                    /* "%d" counts layers of the encoder */
};

/*
 * name: as in the checkpoint, "%d" is the layer, "%e" the expert; looked for with and without the architecture's prefix. Several rules may have
 * one slot (names that changed over the years): the first that is there counts, and one is enough.
 *
 * shape: as stored, a letter a dimension, rows first: D width, E embed_width, F ffn_width, V vocab, H heads, Q = heads * head_width,
 * G = kv_heads * head_width, C = Q + 2G, I = 2G, J = 2F, K kv_heads, W head_width, X experts, M expert_width, N = 2M,
 * S shared_width, 1 one, R = half of the rotated width, P positions, B rel_buckets; NULL: any (IGNORE).
 */
struct sk_weight_rule { enum sk_slot slot; const char *name, *shape; enum sk_split split; unsigned flags; };

struct sk_arch {
	const char *name;                       /* "llama": GGUF's word, and model_type of a config.json */
	const char *aliases[8];                 /* further model_types and class names */
	const char *prefix;                     /* "model.": of the names in `weights`, may be missing in a file; NULL: none */
	const struct sk_weight_rule *weights;   /* of a Hugging Face directory; NULL: not known in that form */
	const struct sk_weight_rule *gguf;      /* of a GGUF; NULL: the same */
	/* What most models of the family have; config() may say otherwise. */
	enum sk_norm_kind norm;
	enum sk_position_kind position;
	enum sk_act act;
	enum sk_residual_kind residual;
	enum sk_kv_kind kv;
	bool glu;
	/*
	 * Fill dims from the metadata, every value checked against limits. It starts from the flags above; what stays 0 of
	 * kv_heads, head_width, embed_width is derived (sk_config_derive), tied_head is set when the file has no head.
	 */
	sk_status (*config)(struct sk_dims *d, const struct sk_weights *w, struct sk_err *err);
	sk_status (*config_gguf)(struct sk_dims *d, const struct sk_weights *w, struct sk_err *err);
};

/* By the file's own name for it ("llama", "LlamaForCausalLM"); SK_ENOTSUP names those that are known. */
sk_status sk_arch_find(const char *name, const struct sk_arch **ret_arch, struct sk_err *err);

#endif
