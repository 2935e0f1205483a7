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

/* The table of request fields, in the order in which they are checked: for the manual and the tests. */
const struct sk_field *sk_tgi_fields(size_t *ret_len);

#endif
