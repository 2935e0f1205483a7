/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading a model's configuration: keys by table, each value checked against its limits. For the files of this folder.
 *
 * `keys` is one key or several separated by blanks, the first that is there counts (configurations of several years name the
 * same thing differently). A key that begins with '.' is a GGUF's: the architecture's name comes before it. A refusal names
 * file, key, value and limit.
 */
#ifndef SK_ARCH_CONFIG_H
#define SK_ARCH_CONFIG_H

#include <stddef.h>

#include "engine/model/arch.h"

/* Limits well beyond any published model; products of any three of them stay below 2^63. */
enum {
	SK_WIDTH_MAX = 1 << 17,
	SK_HEADS_MAX = 1024,
	SK_HEAD_WIDTH_MAX = 1024,
	SK_FFN_MAX = 1 << 20,
	SK_EXPERTS_MAX = 1024,
	SK_EXPERTS_USED_MAX = 64,
	SK_VOCAB_MAX = 1 << 22,
	SK_CONTEXT_MAX = 1 << 24,
};

#define SK_KEY_OPTIONAL 1                       /* missing: the field keeps its value */

/* A whole number from 1 to max, and where it goes. */
struct sk_config_key { const char *keys; size_t offset; int32_t max; unsigned flags; };
sk_status sk_config_ints(const struct sk_weights *w, const struct sk_config_key *list, size_t len, struct sk_dims *d,
			 struct sk_err *err);
#define SK_CONFIG_INTS(w, list, d, err) sk_config_ints(w, list, sizeof(list) / sizeof((list)[0]), d, err)

/* Those below leave *ret_v as it is where no key is there. A number above 0 and at most max. */
sk_status sk_config_float(const struct sk_weights *w, const char *keys, double max, float *ret_v, struct sk_err *err);
sk_status sk_config_bool(const struct sk_weights *w, const char *keys, bool *ret_v, struct sk_err *err);
/* A whole number from min to max. */
sk_status sk_config_int(const struct sk_weights *w, const char *keys, int64_t min, int64_t max, int32_t *ret_v, struct sk_err *err);
/* A text, lent, not NUL-terminated. */
sk_status sk_config_str(const struct sk_weights *w, const char *keys, const char **ret_s, size_t *ret_len, struct sk_err *err);
/* Which of `words` (a list that NULL ends) a text is; another one is refused as a `what` ("activation") that is not supported. */
sk_status sk_config_word(const struct sk_weights *w, const char *keys, const char *what, const char *const words[], int *ret_i,
			 struct sk_err *err);
/* A name of an activation as the Hugging Face library has them. */
sk_status sk_config_act(const struct sk_weights *w, const char *keys, enum sk_act *ret_act, struct sk_err *err);
/* Nothing is read: a token's id, or a list of at most max of them; ids that the vocabulary has not are left to the reader. */
sk_status sk_config_ids(const struct sk_weights *w, const char *key, size_t max, struct sk_err *err);
/* Whether the key is there and is this text: only where a value of another type was refused before (model_type). */
bool sk_config_is(const struct sk_weights *w, const char *keys, const char *text);
/* The refusal of a value, which is there, whose type is not the one that is `due` ("a text"). */
sk_status sk_config_wrong(const struct sk_weights *w, const char *key, const char *due, struct sk_err *err);
/* Whether the configuration asks for something that is not built: then a refusal that names it. */
sk_status sk_config_refuse(const struct sk_weights *w, const char *keys, const char *what, struct sk_err *err);

/* rope_theta, rope_scaling, rope_parameters of a config.json, after context_max and head_width are known. */
sk_status sk_config_rope(const struct sk_weights *w, struct sk_dims *d, struct sk_err *err);

/*
 * What a config.json says of a family since Llama: its sizes, eps, activation, whether the head is tied, and, of one whose position is
 * ROPE, its rope. What may be missing keeps its value (ffn_width: 4 * width).
 */
sk_status sk_config_hf(const struct sk_weights *w, struct sk_dims *d, struct sk_err *err);

/* And of one whose MLPs are mixtures, after that: how many experts, how many a token goes to, how wide they are. */
sk_status sk_config_hf_experts(const struct sk_weights *w, struct sk_dims *d, struct sk_err *err);
sk_status sk_config_experts_fit(const struct sk_weights *w, const struct sk_dims *d, struct sk_err *err);

/* Which layers see a window: all; all but each `pattern`-th; those that a list of words for each layer says (not there: none). */
void sk_config_all_local(struct sk_dims *d);
void sk_config_mostly_local(struct sk_dims *d, int32_t pattern);
sk_status sk_config_layer_types(const struct sk_weights *w, const char *key, const char *local, const char *whole, struct sk_dims *d,
				bool *ret_there, struct sk_err *err);

/* The rules of a family since Llama, in parts, by the names that its checkpoints have. */
#define SK_HF_ENDS \
	{ SK_W_EMBED,       "embed_tokens.weight",                       "V,D",  SK_SPLIT_ROWS }, \
	{ SK_W_HEAD,        "lm_head.weight",                            "V,D",  SK_SPLIT_ROWS,     SK_RULE_OPTIONAL }, \
	{ SK_W_IGNORE,      "layers.%d.self_attn.rotary_emb.inv_freq",   NULL,   SK_SPLIT_NONE }, \
	{ SK_W_OUT_NORM,    "norm.weight",                               "D",    SK_SPLIT_NONE }
#define SK_HF_NORMS \
	{ SK_W_ATTN_NORM,   "layers.%d.input_layernorm.weight",          "D",    SK_SPLIT_NONE }, \
	{ SK_W_FFN_NORM,    "layers.%d.post_attention_layernorm.weight", "D",    SK_SPLIT_NONE }
#define SK_HF_ATTENTION \
	{ SK_W_Q,           "layers.%d.self_attn.q_proj.weight",         "Q,D",  SK_SPLIT_HEADS }, \
	{ SK_W_K,           "layers.%d.self_attn.k_proj.weight",         "G,D",  SK_SPLIT_KV_HEADS }, \
	{ SK_W_V,           "layers.%d.self_attn.v_proj.weight",         "G,D",  SK_SPLIT_KV_HEADS }, \
	{ SK_W_O,           "layers.%d.self_attn.o_proj.weight",         "D,Q",  SK_SPLIT_K }
#define SK_HF_QKV_BIAS(flags) \
	{ SK_W_Q_B,         "layers.%d.self_attn.q_proj.bias",           "Q",    SK_SPLIT_HEADS,    flags }, \
	{ SK_W_K_B,         "layers.%d.self_attn.k_proj.bias",           "G",    SK_SPLIT_KV_HEADS, flags }, \
	{ SK_W_V_B,         "layers.%d.self_attn.v_proj.bias",           "G",    SK_SPLIT_KV_HEADS, flags }
#define SK_HF_O_BIAS(flags) \
	{ SK_W_O_B,         "layers.%d.self_attn.o_proj.bias",           "D",    SK_SPLIT_NONE,     flags }
#define SK_HF_HEAD_NORMS \
	{ SK_W_Q_NORM,      "layers.%d.self_attn.q_norm.weight",         "W",    SK_SPLIT_NONE }, \
	{ SK_W_K_NORM,      "layers.%d.self_attn.k_norm.weight",         "W",    SK_SPLIT_NONE }
#define SK_HF_GLU \
	{ SK_W_GATE,        "layers.%d.mlp.gate_proj.weight",            "F,D",  SK_SPLIT_ROWS }, \
	{ SK_W_UP,          "layers.%d.mlp.up_proj.weight",              "F,D",  SK_SPLIT_ROWS }, \
	{ SK_W_DOWN,        "layers.%d.mlp.down_proj.weight",            "D,F",  SK_SPLIT_K }

#define SK_HF_GLU_BIAS(flags) \
	{ SK_W_GATE_B,      "layers.%d.mlp.gate_proj.bias",              "F",    SK_SPLIT_ROWS,     flags }, \
	{ SK_W_UP_B,        "layers.%d.mlp.up_proj.bias",                "F",    SK_SPLIT_ROWS,     flags }, \
	{ SK_W_DOWN_B,      "layers.%d.mlp.down_proj.bias",              "D",    SK_SPLIT_NONE,     flags }
#define SK_HF_GLU_FUSED \
	{ SK_W_GATE_UP,     "layers.%d.mlp.gate_up_proj.weight",         "J,D",  SK_SPLIT_ROWS }, \
	{ SK_W_DOWN,        "layers.%d.mlp.down_proj.weight",            "D,F",  SK_SPLIT_K }
#define SK_HF_EXPERTS \
	{ SK_W_ROUTER,      "layers.%d.mlp.gate.weight",                 "X,D",  SK_SPLIT_NONE }, \
	{ SK_W_EXPERT_GATE, "layers.%d.mlp.experts.%e.gate_proj.weight", "M,D",  SK_SPLIT_NONE }, \
	{ SK_W_EXPERT_UP,   "layers.%d.mlp.experts.%e.up_proj.weight",   "M,D",  SK_SPLIT_NONE }, \
	{ SK_W_EXPERT_DOWN, "layers.%d.mlp.experts.%e.down_proj.weight", "D,M",  SK_SPLIT_NONE }
#define SK_HF_FOUR_NORMS \
	{ SK_W_ATTN_NORM,      "layers.%d.input_layernorm.weight",            "D", SK_SPLIT_NONE }, \
	{ SK_W_ATTN_POST_NORM, "layers.%d.post_attention_layernorm.weight",   "D", SK_SPLIT_NONE }, \
	{ SK_W_FFN_NORM,       "layers.%d.pre_feedforward_layernorm.weight",  "D", SK_SPLIT_NONE }, \
	{ SK_W_FFN_POST_NORM,  "layers.%d.post_feedforward_layernorm.weight", "D", SK_SPLIT_NONE }

/* And by those that its GGUFs have, where sk_gguf_weights does not do: all but its norms. */
#define SK_GGUF_LLAMA \
	SK_GGUF_ATTENTION, \
	{ SK_W_GATE,        "blk.%d.ffn_gate.weight",    "F,D", SK_SPLIT_ROWS }, \
	{ SK_W_UP,          "blk.%d.ffn_up.weight",      "F,D", SK_SPLIT_ROWS }, \
	{ SK_W_DOWN,        "blk.%d.ffn_down.weight",    "D,F", SK_SPLIT_K }
#define SK_GGUF_ATTENTION \
	{ SK_W_EMBED,       "token_embd.weight",         "V,D", SK_SPLIT_ROWS }, \
	{ SK_W_Q,           "blk.%d.attn_q.weight",      "Q,D", SK_SPLIT_HEADS }, \
	{ SK_W_Q_B,         "blk.%d.attn_q.bias",        "Q",   SK_SPLIT_HEADS,    SK_RULE_OPTIONAL }, \
	{ SK_W_K,           "blk.%d.attn_k.weight",      "G,D", SK_SPLIT_KV_HEADS }, \
	{ SK_W_K_B,         "blk.%d.attn_k.bias",        "G",   SK_SPLIT_KV_HEADS, SK_RULE_OPTIONAL }, \
	{ SK_W_V,           "blk.%d.attn_v.weight",      "G,D", SK_SPLIT_KV_HEADS }, \
	{ SK_W_V_B,         "blk.%d.attn_v.bias",        "G",   SK_SPLIT_KV_HEADS, SK_RULE_OPTIONAL }, \
	{ SK_W_O,           "blk.%d.attn_output.weight", "D,Q", SK_SPLIT_K }, \
	{ SK_W_O_B,         "blk.%d.attn_output.bias",   "D",   SK_SPLIT_NONE,     SK_RULE_OPTIONAL }, \
	{ SK_W_HEAD,        "output.weight",             "V,D", SK_SPLIT_ROWS,     SK_RULE_OPTIONAL }, \
	{ SK_W_ROPE_FREQS,  "rope_freqs.weight",         "R",   SK_SPLIT_NONE,     SK_RULE_OPTIONAL }
#define SK_GGUF_NORMS \
	{ SK_W_OUT_NORM,    "output_norm.weight",        "D",   SK_SPLIT_NONE }, \
	{ SK_W_ATTN_NORM,   "blk.%d.attn_norm.weight",   "D",   SK_SPLIT_NONE }, \
	{ SK_W_FFN_NORM,    "blk.%d.ffn_norm.weight",    "D",   SK_SPLIT_NONE }
#define SK_GGUF_FOUR_NORMS \
	SK_GGUF_NORMS, \
	{ SK_W_ATTN_POST_NORM, "blk.%d.post_attention_norm.weight", "D", SK_SPLIT_NONE }, \
	{ SK_W_FFN_POST_NORM,  "blk.%d.post_ffw_norm.weight",       "D", SK_SPLIT_NONE }
#define SK_GGUF_HEAD_NORMS \
	{ SK_W_Q_NORM,      "blk.%d.attn_q_norm.weight", "W",   SK_SPLIT_NONE }, \
	{ SK_W_K_NORM,      "blk.%d.attn_k_norm.weight", "W",   SK_SPLIT_NONE }

/* What a GGUF says of any architecture: its sizes, heads, norms and rope. context_max ends where a sliding window would begin. */
sk_status sk_config_gguf(const struct sk_weights *w, struct sk_dims *d, struct sk_err *err);
/* The same of a family that knows which of its layers see a window: it goes to d->window, and ends nothing. */
sk_status sk_config_gguf_windowed(const struct sk_weights *w, struct sk_dims *d, struct sk_err *err);
/* Experts in a GGUF; before sk_config_gguf(), which refuses them where nobody asked. */
sk_status sk_config_gguf_experts(const struct sk_weights *w, struct sk_dims *d, struct sk_err *err);
#define SK_GGUF_EXPERTS \
	{ SK_W_ROUTER,      "blk.%d.ffn_gate_inp.weight",  "X,D",   SK_SPLIT_NONE }, \
	{ SK_W_EXPERT_GATE, "blk.%d.ffn_gate_exps.weight", "X,M,D", SK_SPLIT_NONE }, \
	{ SK_W_EXPERT_UP,   "blk.%d.ffn_up_exps.weight",   "X,M,D", SK_SPLIT_NONE }, \
	{ SK_W_EXPERT_DOWN, "blk.%d.ffn_down_exps.weight", "X,D,M", SK_SPLIT_NONE }
/* The names that nearly all architectures have in a GGUF. */
extern const struct sk_weight_rule sk_gguf_weights[];

/* What follows: kv_heads, head_width, embed_width where they are 0; refuses heads that do not fit. */
sk_status sk_config_derive(const struct sk_weights *w, struct sk_dims *d, struct sk_err *err);

#endif
