/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SK_FCGI_WORDS_H
#define SK_FCGI_WORDS_H

#include <stddef.h>
#include <stdint.h>

#include "engine/base/buf.h"
#include "fcgi/options.h"

/*
 * A command's text: argv[1] .. argv[argc - 1] with a space between them, or standard input to its end when there are none.
 * `what` names it in messages. SK_EIO, SK_ETOOBIG (over b's ceiling), SK_ENOMEM.
 */
sk_status sk_words_read(struct sk_buf *b, int argc, char **argv, const char *what, struct sk_err *err);

/*
 * A text of token ids, separated by spaces, commas or lines, maybe in brackets. *ret_ids is malloc'ed. SK_EINVAL names what is
 * no id; SK_ENOMEM.
 */
sk_status sk_words_ids(const char *s, int32_t **ret_ids, size_t *ret_len, struct sk_err *err);

/* All of standard output is out, or SK_EIO. */
sk_status sk_words_flush(struct sk_err *err);

/* b to standard output, all of it: SK_EIO, or why b is not whole (SK_ENOMEM, SK_ETOOBIG). */
sk_status sk_words_print(const struct sk_buf *b, struct sk_err *err);

/* For commands whose output is for people: the log keeps to warnings unless log-level asks for more than its default. */
void sk_words_quiet(const struct sk_options *o);

#endif
