/* SPDX-License-Identifier: Apache-2.0 */
/*
 * POST /watermark/detect: {"inputs": "a text"} or {"ids": [1, 2]} to the evidence that this server's watermark is in it. A
 * worker does it; the engine's steps go on.
 */
#include "fcgi/api_watermark.h"

#include <inttypes.h>

#include "fcgi/json.h"
#include "fcgi/request.h"
#include "fcgi/route.h"
#include "fcgi/schema.h"

struct values { struct sk_field_value inputs, ids; };

#define AT(name) offsetof(struct values, name)

static const struct sk_field fields[] = {
	{ NULL, "inputs", SK_FIELD_STR, false, AT(inputs), 0, 1, SK_DETECT_BYTES_MAX, SK_LIMIT_NONE,
	  "`inputs` has 1 to {max} bytes. Given: {n}", NULL, "the text to look at; a prompt before it only dilutes it" },
	{ NULL, "ids", SK_FIELD_IDS, false, AT(ids), 0, 1, SK_DETECT_TOKENS_MAX, SK_LIMIT_NONE,
	  "`ids` has 1 to {max} token ids. Given: {n}", NULL,
	  "token ids in place of a text: surer, as a text may be cut into other tokens than it was made of" },
};

#define FIELDS_LEN (sizeof fields / sizeof *fields)

const struct sk_field *sk_watermark_fields(size_t *ret_len)
{
	*ret_len = FIELDS_LEN;
	return fields;
}

const char *sk_watermark_scheme(const struct sk_detection *d)
{
	return d->keyed ? "keyed" : "public";
}

void sk_watermark_add(struct sk_buf *b, const struct sk_detection *d)
{
	sk_buf_addf(b, "{\"scheme\":\"%s\",\"gamma\":%g,\"tokens\":%" PRIu32 ",\"green_tokens\":%" PRIu32 ",\"z_score\":%.6g,"
		    "\"p_value\":%.6g}", sk_watermark_scheme(d), d->gamma, d->tokens, d->green, d->z_score, d->p_value);
}

void sk_api_detect(struct sk_request *r, struct json_object *body)
{
	const uint64_t limits[SK_LIMITS] = { 0 };
	struct sk_err err = { 0 };
	struct sk_detection d;
	struct values v;
	sk_status st = sk_schema_read(fields, FIELDS_LEN, body, sk_request_dialect(r)->knows, &v, &r->arena, &err);

	if (st < 0) {
		sk_reply_types(r, st, &err);
		return;
	}
	if (v.inputs.set == v.ids.set) {
		sk_reply_error(r, 422, "validation", v.ids.set ? "Input validation error: only one of `inputs` and `ids` can be given"
							      : "Input validation error: one of `inputs` and `ids` must be given");
		return;
	}
	st = sk_schema_check(fields, FIELDS_LEN, &v, limits, false, &err);
	if (st >= 0)
		st = sk_engine_detect(r->front->engine, v.inputs.set ? v.inputs.str.s : NULL, v.inputs.str.len, v.ids.ids.items,
				      v.ids.ids.len, &d, &err);
	if (st < 0) {
		sk_reply_status(r, st, &err);
		return;
	}
	sk_watermark_add(&r->out, &d);
	sk_reply_out(r, 200, "application/json");
}
