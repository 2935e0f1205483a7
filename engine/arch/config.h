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
/* Whether the key is there and is this text: only where a value of another type was refused before (model_type). */
bool sk_config_is(const struct sk_weights *w, const char *keys, const char *text);
/* The refusal of a value, which is there, whose type is not the one that is `due` ("a text"). */
sk_status sk_config_wrong(const struct sk_weights *w, const char *key, const char *due, struct sk_err *err);
/* Whether the configuration asks for something that is not built: then a refusal that names it. */
sk_status sk_config_refuse(const struct sk_weights *w, const char *keys, const char *what, struct sk_err *err);

/* rope_theta, rope_scaling, rope_parameters of a config.json, after context_max and head_width are known. */
sk_status sk_config_rope(const struct sk_weights *w, struct sk_dims *d, struct sk_err *err);

/* What a GGUF says of any architecture: its sizes, heads, norms and rope. context_max ends where a sliding window would begin. */
sk_status sk_config_gguf(const struct sk_weights *w, struct sk_dims *d, struct sk_err *err);
/* The names that nearly all architectures have in a GGUF. */
extern const struct sk_weight_rule sk_gguf_weights[];

/* What follows: kv_heads, head_width, embed_width where they are 0; refuses heads that do not fit. */
sk_status sk_config_derive(const struct sk_weights *w, struct sk_dims *d, struct sk_err *err);

#endif
