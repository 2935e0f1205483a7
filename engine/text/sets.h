/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sets of code points as the Hugging Face library's parts know them: each of its crates has a Unicode version of its own, so
 * neither utf8proc nor PCRE2 can say. sets.inc is made by tests/golden/make_sets.py, which asks the library about every code
 * point.
 */
#ifndef SK_TEXT_SETS_H
#define SK_TEXT_SETS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum sk_set {
	SK_SET_SPACE,                   /* char::is_whitespace */
	SK_SET_NUMBER,                  /* char::is_numeric */
	SK_SET_WORD,                    /* \w of the regex crate */
	SK_SET_PUNCTUATION,             /* Punctuation, BertPreTokenizer */
	SK_SET_CONTROL,                 /* what BertNormalizer removes */
	SK_SET_BERT_SPACE,              /* what BertNormalizer makes a space */
	SK_SET_HAN,                     /* what BertNormalizer puts spaces around */
	SK_SET_MARK,                    /* StripAccents */
	SK_SET_BERT_MARK,               /* BertNormalizer's accents */
	SK_SET_INERT,                   /* has no decomposition and no combining class yet */
	SK_SET_ALPHA_MORE,              /* [[:alpha:]] of Oniguruma, but for letters and letter numbers */
	SK_SET_LOWER_MORE,              /* [[:lower:]], but for lower-case letters */
	SK_SETS
};
bool sk_set_has(enum sk_set set, uint32_t cp);
/* false: after the last. */
bool sk_set_range(enum sk_set set, size_t i, uint32_t *ret_first, uint32_t *ret_last);

/* Unicode's script by number, as UnicodeScripts groups them; 0: goes with any. */
int sk_script_of(uint32_t cp);

/* Rust's char::to_lowercase where it is another than utf8proc's: up to two code points. */
int sk_lower_of(uint32_t cp, uint32_t out[2]);

/* What Oniguruma puts into a category, but Unicode 14 does not; and into a script, its name in lower case without signs. false: after the last. */
bool sk_category_added(size_t i, uint32_t *ret_first, uint32_t *ret_last, const char **ret_category);
bool sk_script_added(size_t i, uint32_t *ret_first, uint32_t *ret_last, const char **ret_script);

#endif
