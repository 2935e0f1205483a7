/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Amazon SageMaker's container contract: POST /invocations answers, GET /ping (api_info.c) says whether it can.
 *
 * The body is the native one, the reply a list, as text-generation-inference does it; or one of OpenAI's, answered as theirs. A client of SageMaker's runtime API
 * that talks to saker directly (boto3 with endpoint_url) is served as well: there is one model, so the endpoint's name is not
 * looked at, and runtime.c gives the answer the form that the service gives it.
 */
#include <json-c/json.h>

#include "fcgi/api_tgi.h"
#include "fcgi/dialect.h"
#include "fcgi/openai.h"
#include "fcgi/request.h"
#include "fcgi/route.h"
#include "fcgi/runtime.h"

/* TGI 3 tells bodies apart by their first member of these. */
void sk_api_invocations(struct sk_request *r, struct json_object *body)
{
	bool other = sk_request_dialect(r)->knows != SK_KNOWS_TGI_0_9 && !json_object_object_get_ex(body, "inputs", NULL);

	if (other && json_object_object_get_ex(body, "messages", NULL))
		sk_openai_chat(r, body);
	else if (other && json_object_object_get_ex(body, "prompt", NULL))
		sk_openai_complete(r, body);
	else
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
