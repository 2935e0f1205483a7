/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside engine/text/: what a loader hands over, what a tokenizer kind is, and the tokenizer they make together.
 *
 *	load_gguf.c -> struct sk_text_src -> sk_text_open() -> kind->open() -> struct sk_text
 *
 * Nothing outside this folder includes this page, but for its tests, which build small tokenizers from a sk_text_src.
 */
#ifndef SK_TEXT_KIND_H
#define SK_TEXT_KIND_H

#include "engine/text/pretok.h"
#include "engine/text/text.h"
#include "engine/text/trie.h"

#define SK_TEXT_VOCAB_MAX	(1u << 24)      /* tokens; the largest vocabularies known have about 2^18 */
#define SK_TEXT_MERGES_MAX	(1u << 24)
#define SK_TEXT_PIECE_MAX	65535u          /* bytes of one token */
#define SK_TEXT_ADDED_MAX	1024u           /* bytes of an added token: a bound for the work at each byte of text */
#define SK_TEXT_INPUT_MAX	(1u << 30)      /* bytes of text: offsets are 32 bits, replacing can triple it */

struct sk_str { const char *s; size_t len; };

/* Token types by the numbers of tokenizer.ggml.token_type. */
enum sk_token_type {
	SK_TOKEN_NORMAL = 1, SK_TOKEN_UNKNOWN = 2, SK_TOKEN_CONTROL = 3, SK_TOKEN_USER = 4, SK_TOKEN_UNUSED = 5, SK_TOKEN_BYTE = 6
};

/* A tokenizer as a file gives it, unchecked. All lent until sk_text_open() returns. Ids: -1 for none. */
struct sk_text_src {
	struct sk_str kind;                     /* tokenizer.ggml.model: finds the kind */
	struct sk_str pre;                      /* name of the pre-tokeniser; empty: the kind's default */
	const struct sk_str *tokens;
	size_t vocab;
	const uint8_t *types;                   /* [vocab], or NULL: all normal */
	const struct sk_str *merges;            /* "left right", best first */
	size_t merges_len;
	int64_t bos, eos, eot, eom, unk, pad;
	int add_bos, add_eos;                   /* -1: as the pre-tokeniser's row says */
	struct sk_str chat_template;            /* s NULL: none */
};

sk_status sk_text_open(const struct sk_text_src *src, struct sk_text **ret_t, struct sk_err *err);

enum sk_token_flag {
	SK_TF_SPECIAL = 1,                      /* control: left out of generated text, parsed on demand only */
	SK_TF_ADDED   = 2,                      /* found in the text before anything is split */
	SK_TF_EOS     = 4,
};

/* What is built by sk_text_open(): the pieces first, then the kind's own part. Immutable afterwards. */
struct sk_text {
	const struct sk_text_kind *kind;
	void *state;                            /* the kind's own */
	const struct sk_pretok_rule *pre;
	char pre_name[32];                      /* the first of its names */
	char *bytes;                            /* all pieces, one after the other */
	uint32_t *at;                           /* piece i is bytes[at[i]] .. bytes[at[i + 1]] */
	uint8_t *flags;                         /* [vocab], enum sk_token_flag */
	uint32_t piece_max;                     /* bytes of the longest */
	uint32_t text_max;                      /* bytes of text that one token can stand for, at most */
	bool has_byte[256];                     /* the kind's: bytes that always go into a token; others may be dropped */
	struct sk_trie added;                   /* value: id */
	bool added_first[256];                  /* whether an added token begins with this byte */
	bool added_cut;                         /* an added token has a cut inside: sk_text_cut() finds none */
	int32_t vocab, bos, eos, unk, pad;
	bool add_bos, add_eos;
	char *chat_template;
	size_t mem_bytes;                       /* counted as it is taken */
};

/* One sk_text_encode() under way. */
struct sk_text_job {
	const struct sk_text *t;
	struct sk_ids *io;
	size_t ids_max;
	const char *text;                       /* what offsets count from */
	const uint32_t *map;                    /* offset in `text` -> offset in the caller's bytes; NULL: the same */
	struct sk_err *err;
};

/* Append one id that stands for text[start, stop). */
sk_status sk_text_emit(struct sk_text_job *job, int32_t id, size_t start, size_t stop);

/*
 * One kind of tokenizer: bpe.c, and later unigram.c, wordpiece.c. Listed in kinds.def.
 * open() checks and copies what it needs of src; on failure close() is called with whatever is in t->state (or NULL).
 */
struct sk_text_kind {
	const char *name;                       /* "bpe" */
	const char *ggml;                       /* tokenizer.ggml.model's word for it */
	/*
	 * The bytes that token i adds to the text, written to out (room for src->tokens[i].len); returns their
	 * number.
	 */
	size_t (*piece)(struct sk_str token, char *out);
	sk_status (*open)(struct sk_text *t, const struct sk_text_src *src, struct sk_err *err);
	void (*close)(struct sk_text *t);
	/* Well-formed UTF-8 without added tokens -> sk_text_emit() ... */
	sk_status (*encode)(struct sk_text_job *job, const char *s, size_t len);
};

#endif
