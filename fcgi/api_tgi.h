/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The native API of text-generation-inference: its request fields as a table, its replies and events.
 */
#ifndef SK_FCGI_API_TGI_H
#define SK_FCGI_API_TGI_H

#include "fcgi/schema.h"

struct json_object;
struct sk_request;

/* How one route answers. */
enum sk_tgi_shape {
	SK_TGI_OBJECT,          /* /generate */
	SK_TGI_EVENTS,          /* /generate_stream */
	SK_TGI_COMPAT,          /* / and /invocations: a list of one, or events when `stream` is true */
};

/* Read, check, submit; the answer follows on the loop. Always leaves a status or a generation in r. */
void sk_tgi_generate(struct sk_request *r, struct json_object *body, enum sk_tgi_shape shape);

/* A request as read; the table below says what each member is. */
struct sk_tgi_values {
	struct sk_field_value inputs, stream, parameters;
	struct sk_field_value best_of, temperature, repetition_penalty, frequency_penalty, presence_penalty, logit_bias;
	struct sk_field_value top_p, typical_p, min_p, top_k;
	struct sk_field_value max_new_tokens, stop, top_n_tokens, truncate, seed;
	struct sk_field_value do_sample, return_full_text, details, decoder_input_details, ignore_eos;
	struct sk_field_value watermark, grammar, adapter_id;
};

/* The table, in the order of checks; offsets are those of struct sk_tgi_values. (tgi_fields.c) */
const struct sk_field *sk_tgi_fields(size_t *ret_len);

#endif
