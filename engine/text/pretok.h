/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pre-tokenising: text is cut into words, and no token reaches over a cut.
 *
 * A rule is a row of pretok.c's table: patterns (PCRE2, compiled once, JIT) applied one after the other, each
 * to the pieces the one before left. Matches become pieces, and so do the gaps between them; nothing is lost.
 * Immutable after open; any thread.
 */
#ifndef SK_TEXT_PRETOK_H
#define SK_TEXT_PRETOK_H

#include <stdbool.h>
#include <stddef.h>

#include "engine/base/err.h"

struct sk_pretok;

struct sk_pretok_stage {
	const char *pattern;            /* NULL ends the list */
	bool bytes;                     /* sees bytes, not characters: the reference applies it after its byte alphabet */
};

struct sk_pretok_rule {
	const char *names;              /* values of tokenizer.ggml.pre, separated by blanks; the first is shown */
	const char *archs;              /* values of general.architecture whose older files do not say which; NULL: none */
	struct sk_pretok_stage stages[5];
	bool nfc;                       /* text is brought to Unicode's composed form first */
	bool ignore_merges;             /* a word that is a token is that token, whatever the merges say */
	bool add_bos;                   /* when the file does not say */
	bool digits;                    /* numbers are told by Rust's char::is_numeric, not by the regex library */
};

/* NULL: not known. An empty name is "gpt-2". */
const struct sk_pretok_rule *sk_pretok_find(const char *name, size_t len);
/* Of a file that names none, by its general.architecture: the row of "gpt-2" where no other has it. */
const struct sk_pretok_rule *sk_pretok_of_arch(const char *arch, size_t len);
/* The i-th row of the table; NULL after the last. */
const struct sk_pretok_rule *sk_pretok_at(size_t i);

/* The row of one stage whose pattern is this one, as a tokenizer.json writes it; NULL: none. */
const struct sk_pretok_rule *sk_pretok_by_pattern(const char *pattern, size_t len);

/* SK_ENOMEM; SK_EBUG when a pattern of the table does not compile. */
sk_status sk_pretok_open(const struct sk_pretok_rule *rule, struct sk_pretok **ret_p, struct sk_err *err);
void sk_pretok_close(struct sk_pretok **p);

/*
 * Call take(arg, word, len, offset) for every word of s in order; its failure ends the walk and is returned. s is
 * well-formed UTF-8; with `bytes` stages a word may be part of a character.
 *   SK_ENOMEM;  SK_EINVAL  a pattern needs more steps than the limit (no known text does that)
 */
typedef sk_status sk_pretok_take(void *arg, const char *word, size_t len, size_t offset);
sk_status sk_pretok_walk(const struct sk_pretok *p, const char *s, size_t len, sk_pretok_take *take, void *arg,
			 struct sk_err *err);

#endif
