/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A conversation to a prompt, by the model's chat template: what transformers' apply_chat_template does.
 *
 * Immutable after open; any thread. A template that cannot be parsed is no reason not to serve: who wants to chat gets its error.
 */
#ifndef SK_TEXT_CHAT_H
#define SK_TEXT_CHAT_H

#include "engine/base/buf.h"
#include "engine/base/err.h"
#include "engine/saker.h"
#include "engine/text/text.h"

struct sk_chat_maker;

/*
 * file: a template (.jinja), or NULL, ""; config: a tokenizer_config.json whose chat_template counts, or NULL, "". The first of file,
 * config and the tokenizer's own wins.
 *   SK_ENOENT SK_EIO SK_EFORMAT SK_ETOOBIG  file or config cannot be read;  SK_ENOMEM
 */
sk_status sk_chat_open(const struct sk_text *t, const char *file, const char *config, struct sk_chat_maker **ret_m, struct sk_err *err);
void sk_chat_close(struct sk_chat_maker **m);
bool sk_chat_has(const struct sk_chat_maker *m);

/* As sk_engine_chat(); the text is appended to out. */
sk_status sk_chat_render(const struct sk_chat_maker *m, const struct sk_chat_params *p, struct sk_buf *out, struct sk_err *err);

#endif
