/* SPDX-License-Identifier: Apache-2.0 */
/* Conversations: the members of a body that a chat template sees, and POST /chat_tokenize. */
#ifndef SK_FCGI_API_CHAT_H
#define SK_FCGI_API_CHAT_H

#include "fcgi/schema.h"

struct json_object;
struct sk_request;

struct sk_chat_values {
	struct sk_field_value messages, tools, documents, chat_template_kwargs, add_generation_prompt, continue_final_message;
};

const struct sk_field *sk_chat_fields(size_t *ret_len);

/*
 * The prompt of a body, malloc'ed. False when answered: a wrong type (422), or what the template said (422 template_error).
 */
bool sk_chat_prompt(struct sk_request *r, struct json_object *body, char **ret_text, size_t *ret_len);

#endif
