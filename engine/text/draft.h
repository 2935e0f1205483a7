/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A tokenizer while its files are read: what load_json.c, load_spm.c and load_dir.c put together before sk_text_open().
 * owner: one thread. sk_draft_fini() gives all of it back; strings point into `strings` or into files that are still mapped.
 */
#ifndef SK_TEXT_DRAFT_H
#define SK_TEXT_DRAFT_H

#include "engine/base/arena.h"
#include "engine/base/hash.h"
#include "engine/text/kind.h"

#define SK_DRAFT_ADDED_MAX 200000

struct sk_draft {
	const char *path;                       /* the file that is read, for messages */
	struct sk_arena strings;
	struct sk_str *tokens;                  /* [cap], s NULL: a hole */
	double *scores;                         /* [cap], or NULL */
	uint8_t *types;                         /* enum sk_token_type, or NULL */
	size_t scores_len;                      /* the model's own tokens */
	size_t vocab, cap;                      /* vocab: one more than the largest id */
	struct sk_table ids;                    /* id by string */
	struct sk_str *merges, *rights;
	uint32_t *ranks;
	size_t merges_len;
	struct sk_added *added;
	size_t added_len, added_cap;
	int32_t *around;                        /* before, then after */
	struct sk_text_pipe pipe;
	struct sk_text_src src;
	char *template, *tool_template;         /* owned */
};

/* Room for about so many tokens. scores: with one each. */
sk_status sk_draft_init(struct sk_draft *d, const char *path, size_t vocab, bool scores, struct sk_err *err);
void sk_draft_fini(struct sk_draft *d);

/*
 * A token of the model. SK_EFORMAT: the id is taken, or absurd for so many tokens; the string is there already (unless `again`:
 * then the later id is found by it).
 */
sk_status sk_draft_token(struct sk_draft *d, int64_t id, struct sk_str s, bool again, struct sk_err *err);
int32_t sk_draft_find(const struct sk_draft *d, struct sk_str s);         /* -1: none */
/* An added token: with the id of the model's token of this text, or the one given (-1: the next). The same text again: new flags. */
sk_status sk_draft_added(struct sk_draft *d, struct sk_added a, struct sk_err *err);
/* Ids around the text. */
sk_status sk_draft_around(struct sk_draft *d, const int32_t *before, size_t before_len, const int32_t *after, size_t after_len,
			  struct sk_err *err);
/* All merges that a vocabulary with scores stands for: of two tokens that are a third one put together. */
sk_status sk_draft_merges(struct sk_draft *d, const uint8_t *skip, struct sk_err *err);

/* The tokenizer.json at j, checked. */
sk_status sk_load_json(struct sk_draft *d, const struct sk_jread *j, const char *root, struct sk_err *err);
/* What the draft has, put where sk_text_open() looks for it. */
void sk_draft_src(struct sk_draft *d);

/* One added token: its object, and its id. */
sk_status sk_load_added(struct sk_draft *d, const struct sk_jread *j, const char *v, int64_t id, struct sk_err *err);
/*
 * What SentencePiece does with a vocabulary: d has its tokens, scores and types (of SentencePiece, which GGUF's are as well);
 * the steps around it, added tokens and merges are made here.
 */
struct sk_spm {
	struct sk_draft *d;
	struct sk_err *err;
	int64_t model, unk, bos, eos, pad;      /* model: 1 Unigram, 2 BPE */
	bool byte_fallback, suffix_space, dummy_prefix, remove_extra, escape;
	const void *charsmap;                   /* or NULL */
	size_t charsmap_len, pieces;
};
sk_status sk_spm_build(struct sk_spm *m);

/* A SentencePiece model. */
sk_status sk_load_spm(struct sk_draft *d, const void *data, size_t len, struct sk_err *err);

#endif
