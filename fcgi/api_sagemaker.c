/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Amazon SageMaker's container contract: POST /invocations answers, GET /ping (api_info.c) says whether it can.
 *
 * The body is the native one, the reply a list, as text-generation-inference does it. A client of SageMaker's runtime API
 * that talks to saker directly (boto3 with endpoint_url) is served as well: there is one model, so the endpoint's name is not
 * looked at, and runtime.c gives the answer the form that the service gives it.
 */
#include <json-c/json.h>
#include <stdio.h>

#include "fcgi/api_tgi.h"
#include "fcgi/dialect.h"
#include "fcgi/request.h"
#include "fcgi/route.h"
#include "fcgi/runtime.h"

/* TGI 3 tells bodies apart by their first member of these; what it takes for chat and completions is not there yet. */
static const char *other_shape(const struct json_object *body)
{
	if (json_object_object_get_ex(body, "inputs", NULL))
		return NULL;
	return json_object_object_get_ex(body, "messages", NULL) ? "messages" :
	       json_object_object_get_ex(body, "prompt", NULL) ? "prompt" : NULL;
}

void sk_api_invocations(struct sk_request *r, struct json_object *body)
{
	const char *shape = other_shape(body);
	char text[96];

	if (shape && sk_request_dialect(r)->knows != SK_KNOWS_TGI_0_9) {
		snprintf(text, sizeof text, "Input validation error: `%s` is not supported yet: `inputs` is", shape);
		sk_reply_error(r, 422, "validation", text);
		return;
	}
	sk_tgi_generate(r, body, SK_TGI_COMPAT);
}

void sk_api_runtime(struct sk_request *r, struct json_object *body)
{
	const char *bad = sk_runtime_headers(r);

	if (bad)
		sk_reply_error(r, 400, "invalid_header", bad);
	else
		sk_api_invocations(r, body);
}
