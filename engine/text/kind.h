/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside engine/text/: what a loader hands over, what a tokenizer kind is, and the tokenizer they make together.
 *
 *	load_gguf.c, load_json.c, load_spm.c -> struct sk_text_src -> sk_text_open() -> kind->open() -> struct sk_text
 *
 * Nothing outside this folder includes this page, but for its tests, which build small tokenizers from a sk_text_src.
 */
#ifndef SK_TEXT_KIND_H
#define SK_TEXT_KIND_H

#include "engine/text/pipe.h"
#include "engine/text/pretok.h"
#include "engine/text/text.h"
#include "engine/text/trie.h"

#define SK_TEXT_VOCAB_MAX	(1u << 24)      /* tokens; the largest vocabularies known have about 2^18 */
#define SK_TEXT_MERGES_MAX	(1u << 24)
#define SK_TEXT_PIECE_MAX	65535u          /* bytes of one token */
#define SK_TEXT_ADDED_MAX	1024u           /* bytes of an added token: a bound for the work at each byte of text */
#define SK_TEXT_INPUT_MAX	(1u << 30)      /* bytes of text: offsets are 32 bits, replacing can triple it */

/* Token types by the numbers of tokenizer.ggml.token_type. */
enum sk_token_type {
	SK_TOKEN_NORMAL = 1, SK_TOKEN_UNKNOWN = 2, SK_TOKEN_CONTROL = 3, SK_TOKEN_USER = 4, SK_TOKEN_UNUSED = 5, SK_TOKEN_BYTE = 6
};

/* A token that is found in the text before anything is split. */
struct sk_added {
	struct sk_str text;
	int32_t id;
	bool special, normalized, lstrip, rstrip, single_word;
	bool as_is;                             /* looked for in normalised text, but not normalised itself */
};

/* What a tokenizer.json says around its model; lists are taken over by sk_text_open(), also when it fails. */
struct sk_text_pipe {
	struct sk_stages normal, pre, decoder;
	const struct sk_added *added;
	size_t added_len;
	const int32_t *before, *after;          /* ids around the text when specials are asked for */
	size_t before_len, after_len;
	bool trim, trim_prefix;                 /* offsets without blanks at the ends (ByteLevel's post-processor) */
};

/* A tokenizer as a file gives it, unchecked. All lent until sk_text_open() returns. Ids: -1 for none. */
struct sk_text_src {
	struct sk_str kind;                     /* tokenizer.ggml.model, or model.type: finds the kind */
	struct sk_str pre;                      /* name of the pre-tokeniser; empty: the kind's default. Not with a pipe */
	struct sk_text_pipe *pipe;              /* NULL: GGUF's byte-level BPE, all in the pre-tokeniser's row */
	const char *tokens_name, *merges_name;  /* what messages call them; NULL: GGUF's keys */
	const struct sk_str *tokens;
	size_t vocab;
	const uint8_t *types;                   /* [vocab], or NULL: all normal */
	const struct sk_str *merges;            /* "left right", best first; with `rights`: left */
	const struct sk_str *rights;            /* or NULL */
	const uint32_t *ranks;                  /* of the merges; NULL: their order */
	size_t merges_len;
	const double *scores;                   /* Unigram: of the model's own tokens, which come first */
	size_t scores_len;
	struct sk_str prefix, suffix;           /* continuing_subword_prefix, end_of_word_suffix */
	bool byte_fallback, ignore_merges, fuse_unk;
	bool single;                            /* Unigram: sums are single precision, and types say which pieces take part */
	int64_t chars_max;                      /* WordPiece: of a word */
	int64_t bos, eos, eot, eom, unk, pad;
	int add_bos, add_eos;                   /* -1: as the pre-tokeniser's row says */
	const int32_t *ends;                    /* with a pipe: ids that end a generation; none: eos */
	size_t ends_len;
	struct sk_str chat_template;            /* s NULL: none */
	struct sk_str tool_template;
};

sk_status sk_text_open(const struct sk_text_src *src, struct sk_text **ret_t, struct sk_err *err);

enum sk_token_flag {
	SK_TF_SPECIAL = 1,                      /* control: left out of generated text, parsed on demand only */
	SK_TF_ADDED   = 2,                      /* found in the text before anything is split */
	SK_TF_EOS     = 4,
	SK_TF_LSTRIP  = 8,                      /* takes the blanks before it, too */
	SK_TF_RSTRIP  = 16,
	SK_TF_WORD    = 32,                     /* only where no word goes on at its ends */
	SK_TF_HOLE    = 64,                     /* no token has this id */
};

/* What is built by sk_text_open(): the pieces first, then the kind's own part. Immutable afterwards. */
struct sk_text {
	const struct sk_text_kind *kind;
	void *state;                            /* the kind's own */
	char pre_name[32];                      /* of the pre-tokeniser's row, or the first step's type */
	struct sk_stages normal, steps, decoder;
	char *bytes;                            /* all pieces, one after the other */
	uint32_t *at;                           /* piece i is bytes[at[i]] .. bytes[at[i + 1]] */
	uint8_t *flags;                         /* [vocab], enum sk_token_flag */
	uint32_t piece_max;                     /* bytes of the longest */
	uint32_t text_max;                      /* bytes of text that one token can stand for, at most; 0: no bound */
	bool raw;                               /* words are bytes, pieces are bytes: byte-level BPE */
	bool raw_pieces;                        /* pieces are bytes, and decoding is putting them together */
	bool composes;                          /* text is brought to NFC first */
	bool has_byte[256];                     /* the kind's: bytes that always go into a token; others may be dropped */
	struct sk_trie added;                   /* value: id */
	struct sk_trie added_normal;            /* those that are found in normalised text */
	bool added_first[2][256];               /* whether an added token begins with this byte */
	bool added_cut;                         /* an added token has a cut inside, or patterns are unknown: sk_text_cut() finds none */
	int32_t vocab, bos, eos, unk, pad;
	int32_t *around;                        /* ids before the text, then those after */
	size_t before_len, after_len;
	bool add_bos, add_eos, trim, trim_prefix;
	char *chat_template, *tool_template;
	size_t mem_bytes;                       /* counted as it is taken */
};

/* One sk_text_encode() under way. */
struct sk_text_job {
	const struct sk_text *t;
	struct sk_ids *io;
	size_t ids_max;
	bool parse_special;
	const char *text;                       /* the caller's */
	size_t began;                           /* ids before the text's own */
	struct sk_walk *walk;
	struct sk_err *err;
};

/* Append one id that stands for bytes [from, to) of p. */
sk_status sk_text_emit(struct sk_text_job *job, int32_t id, const struct sk_piece *p, size_t from, size_t to);
/* SK_ETOOBIG when these bytes of a word cannot fit under the limit, before memory is taken for them. */
sk_status sk_text_fits(const struct sk_text_job *job, size_t bytes);

/* Whether a text can be cut before s[i] > 0, whatever is around (encode.c). */
bool sk_text_is_cut(const char *s, size_t i);

/* A string in a message: hostile bytes as U+FFFD, at most 40 of them. */
const char *sk_text_shown(struct sk_str s, char out[128]);

/*
 * One kind of tokenizer, listed in kinds.def.
 * open() checks and copies what it needs of src; on failure close() is called with whatever is in t->state (or NULL).
 */
struct sk_text_kind {
	const char *name;                       /* "bpe" */
	const char *ggml;                       /* tokenizer.ggml.model's word for it, or NULL */
	const char *json;                       /* model.type's word for it */
	sk_status (*open)(struct sk_text *t, const struct sk_text_src *src, struct sk_err *err);
	void (*close)(struct sk_text *t);
	/* One word -> sk_text_emit() ... */
	sk_status (*encode)(struct sk_text_job *job, const struct sk_piece *word);
};

/* ---- strings of the vocabulary by id, and ids by string; owned by the kinds that look words up ---- */

struct sk_vocab_slot { uint32_t tag; int32_t id; };     /* id -1: empty; tag: the hash's low half */
struct sk_vocab {
	char *bytes;
	uint32_t *at;
	struct sk_vocab_slot *slots;
	uint32_t mask;
	uint64_t seed;
};
/* Copies. Holes (s NULL) are left out. last_wins: equal strings are allowed; else SK_EFORMAT. */
sk_status sk_vocab_open(struct sk_text *t, struct sk_vocab *v, const struct sk_text_src *src, bool last_wins, struct sk_err *err);
void sk_vocab_fini(struct sk_vocab *v);
/* -1: none. */
int32_t sk_vocab_find(const struct sk_vocab *v, const char *s, size_t len);

/* The 256 ids of "<0x00>" to "<0xFF>"; -1 where there is none. */
void sk_vocab_bytes(const struct sk_vocab *v, int32_t of_byte[256]);

/* pre_steps.c, for load_*.c and text.c */
void sk_pre_bytes_raw(struct sk_stage *step, bool raw);
bool sk_pre_is_bytes(const struct sk_stage *step, bool *ret_prefix);
bool sk_pre_is_known(const struct sk_stage *step);
bool sk_metaspace_prepends(const struct sk_stage *step);
extern sk_stage_read *sk_metaspace_read;
extern const struct sk_pretokenizer_op sk_pretokenizer_rule, sk_pretokenizer_bytes, sk_pretokenizer_metaspace;
extern const struct sk_normalizer_op sk_normalizer_nfc, sk_normalizer_prepend, sk_normalizer_replace;

/* ---- decoders.c, for detok.c and text.c ---- */

/* Ids on their way to text. */
struct sk_decode {
	const struct sk_text *t;
	struct sk_detok *d;
	struct sk_buf *out;
	struct sk_buf *hold;                    /* where a run of bytes is kept whole; NULL: in d, which has little room */
};
extern const struct sk_decoder_op sk_decoder_bytes;
/* SK_ENOTSUP: a decoder that must see all tokens before it can give the first. Splits off what sk_decoder_piece() does. */
sk_status sk_decoder_check(struct sk_stages *l, struct sk_err *err);
/* What the first steps make of one token, whatever is around it. */
void sk_decoder_piece(const struct sk_stages *l, const char *s, size_t len, struct sk_buf *b);
sk_status sk_decoder_token(struct sk_decode *c, const char *s, size_t len);
sk_status sk_decoder_end(struct sk_decode *c);
void sk_decoder_continue(const struct sk_stages *l, struct sk_detok *d);
/* Bytes that may end inside a character: whole characters go to `take`, the rest waits in d. */
typedef sk_status sk_bytes_take(void *arg, const char *s, size_t len);
sk_status sk_detok_bytes(struct sk_detok *d, const char *s, size_t len, sk_bytes_take *take, void *arg);

#endif
