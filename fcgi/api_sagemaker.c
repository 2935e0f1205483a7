/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Amazon SageMaker's container contract: POST /invocations answers, GET /ping (api_info.c) says whether it can.
 *
 * The body is the native one, the reply a list, as text-generation-inference does it. A client that signs for
 * /endpoints/NAME/invocations and talks to saker directly is served as well: there is one model, so NAME is not looked at.
 */
#include "fcgi/api_tgi.h"
#include "fcgi/route.h"

void sk_api_invocations(struct sk_request *r, struct json_object *body)
{
	sk_tgi_generate(r, body, SK_TGI_COMPAT);
}
