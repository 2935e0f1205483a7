/* SPDX-License-Identifier: Apache-2.0 */
/*
 * OpenAI's API: its request fields as tables (openai_fields.c), from a body to a generation (api_openai.c), and its objects and chunks
 * (openai_render.c).
 */
#ifndef SK_FCGI_OPENAI_H
#define SK_FCGI_OPENAI_H

#include "fcgi/request.h"
#include "fcgi/schema.h"

struct json_object;

/* A request as read; chat has no member of its own that completions have too with another meaning, but logprobs. */
struct sk_openai_values {
	struct sk_field_value model, messages, prompt, stream, stream_options, include_usage;
	struct sk_field_value n, best_of, max_tokens, max_completion_tokens, temperature, top_p, frequency_penalty, presence_penalty, logit_bias;
	struct sk_field_value stop, seed, logprobs, top_logprobs, echo, suffix;
	struct sk_field_value tools, tool_choice, functions, response_format;
	struct sk_field_value documents, chat_template_kwargs, add_generation_prompt, continue_final_message;
};

/* The tables, in the order of checks. */
const struct sk_field *sk_openai_chat_fields(size_t *ret_len);
const struct sk_field *sk_openai_fields(size_t *ret_len);

/* What an answer looks like; filled before sk_openai_reply(). Strings are in the request's arena. */
struct sk_openai_shape {
	bool chat, stream, usage;       /* usage: a stream ends with a chunk of it */
	bool logprobs;                  /* log-probabilities of tokens, and of top_n others */
	uint32_t top_n;
	uint32_t n, prompts;            /* answers to each prompt */
	const char *model;
	const struct sk_str *echo;      /* texts that go before the answers, one a prompt; NULL: none */
	const char *const *stop;        /* those that are not to be in the text */
	const size_t *stop_bytes;
	size_t stop_len;
};

extern const struct sk_render sk_openai_render;

/* The renderer's state, from the request's arena. NULL: out of memory. */
void *sk_openai_reply(struct sk_request *r, const struct sk_openai_shape *shape);

/* As the routes, for /invocations. */
void sk_openai_chat(struct sk_request *r, struct json_object *body);
void sk_openai_complete(struct sk_request *r, struct json_object *body);

#endif
