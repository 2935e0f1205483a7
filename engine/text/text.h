/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tokenizers: text to ids and back.
 *
 * Immutable after open; any thread. A kind (BPE, Unigram, WordPiece, WordLevel) is one file and one line in kinds.def. The output equals the Hugging Face library's on every input that is UTF-8; ill-formed
 * bytes are tokenised as U+FFFD.
 */
#ifndef SK_TEXT_H
#define SK_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/base/buf.h"
#include "engine/base/err.h"
#include "engine/weights/weights.h"

struct sk_text;

/* From the metadata of a GGUF (tokenizer.ggml.*). The strings are copied: the weights may be closed afterwards. */
sk_status sk_text_open_gguf(const struct sk_weights *w, struct sk_text **ret_t, struct sk_err *err);
/*
 * From a directory: tokenizer.json, else a SentencePiece model (tokenizer.model, spiece.model), else vocab.json and merges.txt;
 * and what tokenizer_config.json, special_tokens_map.json and added_tokens.json say beside it. eos: ids that end a generation,
 * from the model's own files; none: the tokenizer's eos token.
 */
sk_status sk_text_open_dir(const char *dir, const int32_t *eos, size_t eos_len, struct sk_text **ret_t, struct sk_err *err);
void sk_text_close(struct sk_text **t);

struct sk_text_info { int32_t vocab, bos, eos, unk, pad; bool add_bos, add_eos; const char *kind, *pre; size_t bytes; };
void sk_text_info(const struct sk_text *t, struct sk_text_info *ret_info);
const char *sk_text_chat_template(const struct sk_text *t);             /* NULL: none */
const char *sk_text_tool_template(const struct sk_text *t);             /* the one for conversations with tools; NULL: none of its own */

/* All ids that end a generation (eos, eot ... of the metadata). */
bool sk_text_is_eos(const struct sk_text *t, int32_t id);
bool sk_text_is_special(const struct sk_text *t, int32_t id);           /* a control token: skipped in generated_text */

/*
 * ids are appended to a malloc'ed vector; offsets (byte starts and stops into the input), when wanted, beside them.
 * SK_ETOOBIG: more than ids_max tokens (0: no limit). SK_EINVAL: it cannot be split into words. SK_ENOMEM.
 */
struct sk_ids { int32_t *ids; uint32_t *start, *stop; size_t len, cap; bool offsets; };
void sk_ids_fini(struct sk_ids *v);
/* Offsets into s that are inside a character go to its ends, as the Hugging Face library has them. */
void sk_ids_widen(struct sk_ids *v, const char *s, size_t len);
sk_status sk_text_encode(const struct sk_text *t, const char *s, size_t len, bool add_special, bool parse_special,
			 size_t ids_max, struct sk_ids *io, struct sk_err *err);

/*
 * A lower bound of the tokens of a text, from one look at its bytes: what is over a limit need not be encoded. Bytes
 * that the vocabulary may drop do not count.
 */
size_t sk_text_least(const struct sk_text *t, const char *s, size_t len);

/*
 * The first place at or after `from` where a text may be cut in two whose ids, one after the other, are those of the
 * whole (special tokens being parsed). len: none was found.
 */
size_t sk_text_cut(const struct sk_text *t, const char *s, size_t len, size_t from);

/* The raw bytes of one token (a piece may be part of a character). Lent. id in range, else "". */
const char *sk_text_piece(const struct sk_text *t, int32_t id, size_t *ret_len);

/* Append the decoded text; ill-formed parts as U+FFFD, as the Hugging Face library does. */
sk_status sk_text_decode(const struct sk_text *t, const int32_t *ids, size_t len, bool skip_special, struct sk_buf *b);

/*
 * Incremental detokenising: what each token adds, never half a character. What a decoder cannot know yet is held ("" until
 * then): an unfinished character until its last byte comes, a token whose text depends on the next. What can no longer become a
 * character is given as U+FFFD. Specials are given as text. The pieces put together equal sk_text_decode of all ids, but for what
 * is held at the end, which sk_detok_end() gives, and but for a run of byte tokens ("<0xNN>") that is ill-formed: decoded whole all
 * of its bytes become U+FFFD, in a stream those that do after whole characters were given. All zero is the start of a text. No allocation in push (b has its
 * room), but where a decoder replaces by a pattern behind one that holds.
 *
 * The pieces are those of the reference's streams, but that a character before an unfinished one, and a U+FFFD, need not wait.
 * Where a ByteFallback's next step minds how text is cut, a run is held whole; of more than SK_DETOK_HOLD bytes in parts.
 */
#define SK_DETOK_HOLD	1000
#define SK_DETOK_STEPS	8
struct sk_detok {
	const struct sk_text *text;             /* set by push */
	char tail[4];
	uint8_t tail_len;
	struct { uint32_t a, b; uint64_t hash; } step[SK_DETOK_STEPS];
	char hold[SK_DETOK_HOLD];
};
sk_status sk_detok_push(const struct sk_text *t, struct sk_detok *d, int32_t id, struct sk_buf *b);
/* What is still held, U+FFFD for an unfinished character; d is at the start of a text again. */
sk_status sk_detok_end(struct sk_detok *d, struct sk_buf *b);
/* d is at the start: tell it that text comes before, so that a blank at the beginning of a text is not left out here. */
void sk_detok_continue(const struct sk_text *t, struct sk_detok *d);

/* As sk_text_decode, for ids that go on a text: what sk_detok gives after sk_detok_continue(). */
sk_status sk_text_decode_rest(const struct sk_text *t, const int32_t *ids, size_t len, bool skip_special, struct sk_buf *b);

/*
 * What a token adds to a text that others have begun, by text-generation-inference's two offsets: of ids[prefix .. read) and
 * ids[prefix .. len) decoded, the characters by which the latter is longer; nothing (they come with a later token) while it ends
 * in U+FFFD, as an unfinished character does, unless `last`, or after SK_WINDOW_MAX tokens. Then prefix = read, read = len.
 * A blank at the first token's beginning stays so, and what a decoder makes of neighbours is seen. Begin with
 * sk_text_window_begin(); len grows by one or more each time. The text is appended to b.
 */
#define SK_WINDOW_BEFORE	5       /* tokens of the prompt that the first window holds */
#define SK_WINDOW_MAX		256     /* beyond, decoding all of it anew for each token would cost too much */
struct sk_text_window { size_t prefix, read; };
void sk_text_window_begin(struct sk_text_window *w, size_t prompt_len);
sk_status sk_text_window_push(const struct sk_text *t, struct sk_text_window *w, const int32_t *ids, size_t len, bool last,
			      struct sk_buf *b);

/*
 * sequences.c: the text with a marker before each character of Galactica's sequences ([START_DNA]...[END_DNA] and the like), for a
 * tokenizer that takes it away again, which is what known() says. Appends to out; SK_ETOOBIG, SK_ENOMEM.
 */
sk_status sk_sequences_mark(const char *s, size_t len, struct sk_buf *out);
bool sk_sequences_known(const struct sk_text *t);

/*
 * Stop strings, matched exactly at byte level in the generated text, across token borders.
 * At most 16 strings of 1 to 4096 bytes, else SK_EINVAL: they are a client's.
 */
struct sk_stop;
sk_status sk_stop_open(const char *const *stop, const size_t *stop_bytes, size_t stop_len, struct sk_stop **ret_s, struct sk_err *err);
void sk_stop_close(struct sk_stop **s);
/*
 * Feed the next bytes of text. Returns true when a stop string has ended: *ret_used = bytes of `s` up to and
 * including its end, *ret_match_len = its length. Else *ret_held = bytes at the end of all text so far that may
 * begin a stop string. The earliest end wins, and of those the longest string. Linear time (Aho-Corasick).
 */
bool sk_stop_feed(struct sk_stop *s, const char *bytes, size_t len, size_t *ret_used, size_t *ret_match_len, size_t *ret_held);
/*
 * text-generation-inference's rule, whose pattern is anchored at the text's end: feed the next bytes; true when the text so
 * far ends in a stop string, or in one and a single line break. Not on a `s` that sk_stop_feed() has seen.
 */
bool sk_stop_feed_end(struct sk_stop *s, const char *bytes, size_t len);

#endif
