/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The steps around a model, as a tokenizer.json lists them: normalizers, pre-tokenizers, decoders.
 *
 *	text -> normalizers -> pre-tokenizers -> words -> the kind -> ids -> decoders -> text
 *
 * A step is a row of its table (normalizers.def, pretokenizers.def, decoders.def) and what the file says about it. A
 * "Sequence" is its parts one after the other, so lists are flat. Immutable once read.
 */
#ifndef SK_TEXT_PIPE_H
#define SK_TEXT_PIPE_H

#include "engine/text/jread.h"
#include "engine/text/normal.h"
#include "engine/text/regex.h"

#define SK_STEPS_MAX	64

struct sk_text_job;

/* Of Split: what becomes of a match. */
enum sk_behavior { SK_SPLIT_ISOLATED, SK_SPLIT_REMOVED, SK_SPLIT_CONTIGUOUS, SK_SPLIT_WITH_PREVIOUS, SK_SPLIT_WITH_NEXT };

struct sk_stage {
	const void *op;                 /* its row */
	char *a, *b;                    /* strings, owned */
	size_t a_len, b_len;
	struct sk_regex *re;            /* NULL: the pattern is the string a */
	struct sk_pretok *pretok;       /* a pattern that pretok.c knows; instead of re */
	void *data;                     /* the row's own, freed whole */
	void (*data_fini)(void *data);  /* before that; or NULL */
	int64_t n, m;
	enum sk_behavior behavior;
	bool on[4];
};
struct sk_stages { struct sk_stage *v; size_t len; };

/* A component's JSON object, on its way into a step. */
struct sk_config {
	const struct sk_jread *j;
	const char *v;
	const char *what;               /* "decoder", for messages */
	const char *type;               /* "Replace" */
	struct sk_err *err;
};

typedef sk_status sk_stage_read(struct sk_stage *step, const struct sk_config *c);

/* ---- normalizers ---- */

struct sk_normalizer_op {
	const char *type;
	sk_stage_read *read;             /* NULL: nothing to read */
	/* Writes all of the changed text to out (empty before), or sets *ret_same and writes nothing. */
	sk_status (*run)(const struct sk_stage *step, const struct sk_piece *in, struct sk_normal *out, bool *ret_same);
};

/* ---- pre-tokenizers ---- */

/* One text under way through the list. */
struct sk_walk {
	const struct sk_stages *steps;
	struct sk_text_job *job;
	void *match;                    /* regex scratch, made when first needed */
	struct sk_err *err;
};
struct sk_pretokenizer_op {
	const char *type;
	sk_stage_read *read;
	/* Hands every part of p to sk_walk_next(w, i + 1, part). */
	sk_status (*run)(struct sk_walk *w, size_t i, const struct sk_piece *p);
};
sk_status sk_walk_next(struct sk_walk *w, size_t i, const struct sk_piece *p);

/* ---- all ---- */

/* From the value of "normalizer", "pre_tokenizer" or "decoder"; null is an empty list. */
sk_status sk_normalizers_read(const struct sk_jread *j, const char *v, struct sk_stages *ret, struct sk_err *err);
sk_status sk_pretokenizers_read(const struct sk_jread *j, const char *v, struct sk_stages *ret, struct sk_err *err);
sk_status sk_decoders_read(const struct sk_jread *j, const char *v, struct sk_stages *ret, struct sk_err *err);
/* One step without options, for other formats: type is in the table. */
sk_status sk_stages_add(struct sk_stages *l, const void *op, struct sk_stage **ret_step, struct sk_err *err);
const void *sk_normalizer_find(struct sk_str type);
const void *sk_pretokenizer_find(struct sk_str type);
const void *sk_decoder_find(struct sk_str type);
sk_stage_read *sk_decoder_read(const void *op);
void sk_stages_fini(struct sk_stages *l);

/* What rows use to read themselves. Messages name the component and the key. */
sk_status sk_text_config_str(const struct sk_config *c, const char *key, const char *otherwise, char **ret_s, size_t *ret_len);
bool sk_text_config_bool(const struct sk_config *c, const char *key, bool otherwise);
sk_status sk_text_config_int(const struct sk_config *c, const char *key, int64_t otherwise, int64_t min, int64_t max, int64_t *ret_i);
/* {"String": s} into step->a, or {"Regex": r} into step->re. */
sk_status sk_text_config_pattern(const struct sk_config *c, const char *key, struct sk_stage *step);
sk_status sk_text_config_behavior(const struct sk_config *c, enum sk_behavior otherwise, struct sk_stage *step);

/*
 * The matches of a step's pattern in s, one after the other, as the Hugging Face library finds them: { step, s, len, match, err }
 * at first. 1 with the match (maybe empty), 0 without; or SK_EINVAL (limits), SK_ENOMEM.
 */
struct sk_find { const struct sk_stage *step; const char *s; size_t len; void **match; struct sk_err *err; size_t pos, last; bool any; };
int sk_find_next(struct sk_find *f, size_t *ret_from, size_t *ret_to);

/*
 * Run the list over p. *ret_out is p itself when nothing changed, else text in `room` (two buffers that take turns).
 */
sk_status sk_normalize(const struct sk_stages *l, const struct sk_piece *p, struct sk_normal room[2], struct sk_piece *ret_out,
		       struct sk_err *err);

/* The byte alphabet of GPT-2: a visible character for each byte. */
extern char sk_letter_of[256][2];
extern uint8_t sk_letter_len[256];
/* Byte of a code point of the alphabet; -1: none. */
int sk_letter_byte(uint32_t cp);

#endif
