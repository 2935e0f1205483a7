/* SPDX-License-Identifier: Apache-2.0 */
/* The bodies of POST /tokenize and POST /detokenize, and what they share with /chat_tokenize. */
#ifndef SK_FCGI_API_TOKENIZE_H
#define SK_FCGI_API_TOKENIZE_H

#include "fcgi/schema.h"

const struct sk_field *sk_tokenize_fields(size_t *ret_len);
const struct sk_field *sk_detokenize_fields(size_t *ret_len);

struct sk_request;

/* Append to r->out the tokens of a text as text-generation-inference 3 lists them: an array. Worker. False: answered, why not. */
bool sk_tokens_add(struct sk_request *r, const char *text, size_t text_len, bool add_special);
/* Answer 200 with what is in r->out, or that it is too much. */
void sk_tokens_reply(struct sk_request *r);

#endif
