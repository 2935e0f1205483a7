/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Regular expressions of tokenizer files: Oniguruma's language, run by PCRE2.
 *
 * A pattern is rewritten so that PCRE2 of any version finds what Oniguruma 6.9 with Unicode 16 finds: classes, \s \d \w \b \h,
 * ^ and $ of lines, scripts, classes inside classes. What cannot be said is refused by name. Immutable; any thread.
 */
#ifndef SK_TEXT_REGEX_H
#define SK_TEXT_REGEX_H

#include <stddef.h>

#include "engine/base/err.h"

#define SK_REGEX_BYTES_MAX 65536

struct sk_regex;
struct sk_buf;

/* SK_EFORMAT: no such pattern; SK_ENOTSUP: a construct that is not rewritten; SK_ETOOBIG SK_ENOMEM */
sk_status sk_regex_open(const char *pattern, size_t len, struct sk_regex **ret_re, struct sk_err *err);
void sk_regex_close(struct sk_regex **re);

/*
 * The next match at or after pos, maybe empty. 1, 0 for none, SK_EINVAL when it needs more steps than the limit, SK_ENOMEM.
 * *io_match is scratch of the calling thread, made by the first call and freed by sk_regex_match_free().
 */
int sk_regex_next(const struct sk_regex *re, void **io_match, const char *s, size_t len, size_t pos, size_t *ret_from,
		  size_t *ret_to, struct sk_err *err);
void sk_regex_match_free(void *match);

/* The rewritten pattern, for tests. */
sk_status sk_regex_rewrite(const char *pattern, size_t len, struct sk_buf *b, struct sk_err *err);

#endif
