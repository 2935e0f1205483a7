/* SPDX-License-Identifier: Apache-2.0 */
/*
 * POST /tokenize: the tokens of a text, as text-generation-inference 3 lists them: a prompt's, special ones included, each with the
 * bytes of the text it is from. POST /detokenize: ids back to text. A worker does it; nothing is generated.
 */
#include "fcgi/api_tokenize.h"

#include <inttypes.h>
#include <stdlib.h>

#include "fcgi/api_tgi.h"
#include "fcgi/json.h"
#include "fcgi/request.h"
#include "fcgi/route.h"

/* TGI reads bodies of 2,000,000 bytes, so no text that it takes is refused here. */
#define TEXT_MAX ((size_t)2 << 20)
#define TOKENS_MAX ((size_t)2 << 20)    /* a normalizer may make several tokens of one byte */

/* Of both bodies. */
struct values { struct sk_field_value inputs, parameters, add_special_tokens, tokens, skip_special_tokens; };

#define AT(name) offsetof(struct values, name)

static const struct sk_field tokenize_fields[] = {
	{ NULL, "inputs", SK_FIELD_STR, true, AT(inputs), 0, 0, TEXT_MAX, SK_LIMIT_NONE,
	  "`inputs` has at most {max} bytes. Given: {n}", NULL, "the text" },
	{ NULL, "parameters", SK_FIELD_ANY, false, AT(parameters), SK_RANGE_ANY, 0, 0, SK_LIMIT_NONE,
	  NULL, "{}", "as for /generate: their types are checked, and nothing depends on them" },
	{ NULL, "add_special_tokens", SK_FIELD_BOOL, false, AT(add_special_tokens), SK_RANGE_ANY, 0, 0, SK_LIMIT_NONE,
	  NULL, "true", "saker's own: with what the model wants around a prompt", SK_KNOWS_SAKER },
};

static const struct sk_field detokenize_fields[] = {
	{ NULL, "tokens", SK_FIELD_IDS, true, AT(tokens), 0, 0, TOKENS_MAX, SK_LIMIT_NONE,
	  "`tokens` has at most {max} token ids. Given: {n}", NULL, "token ids" },
	{ NULL, "skip_special_tokens", SK_FIELD_BOOL, false, AT(skip_special_tokens), SK_RANGE_ANY, 0, 0, SK_LIMIT_NONE,
	  NULL, "false", "leave special tokens out" },
};

#define LEN(fields) (sizeof(fields) / sizeof *(fields))

const struct sk_field *sk_tokenize_fields(size_t *ret_len)
{
	*ret_len = LEN(tokenize_fields);
	return tokenize_fields;
}

const struct sk_field *sk_detokenize_fields(size_t *ret_len)
{
	*ret_len = LEN(detokenize_fields);
	return detokenize_fields;
}

/* False when answered: a wrong type, or out of range. */
static bool take(struct sk_request *r, const struct sk_field *fields, size_t len, struct json_object *body, struct values *ret_v)
{
	const uint64_t limits[SK_LIMITS] = { 0 };
	struct sk_err err = { 0 };
	sk_status st = sk_schema_read(fields, len, body, sk_request_dialect(r)->knows, ret_v, &r->arena, &err);

	if (st < 0) {
		sk_reply_types(r, st, &err);
		return false;
	}
	st = sk_schema_check(fields, len, ret_v, limits, false, &err);
	if (st < 0)
		sk_reply_status(r, st, &err);
	return st >= 0;
}

/* TGI's body is that of /generate: a parameter of a wrong type is refused here too. */
static bool is_generate_request(struct sk_request *r, struct json_object *body)
{
	struct sk_tgi_values all;
	struct sk_err err = { 0 };
	size_t len;
	const struct sk_field *fields = sk_tgi_fields(&len);
	sk_status st = sk_schema_read(fields, len, body, sk_request_dialect(r)->knows, &all, &r->arena, &err);

	if (st < 0)
		sk_reply_types(r, st, &err);
	return st >= 0;
}

bool sk_tokens_add(struct sk_request *r, const char *text, size_t text_len, bool add_special)
{
	struct sk_token_at *tokens = NULL;
	struct sk_err err = { 0 };
	size_t len = 0;
	sk_status st = sk_engine_tokens(r->front->engine, text, text_len, add_special, true, TOKENS_MAX, &tokens, &len, &err);

	if (st < 0) {
		sk_reply_status(r, st, &err);
		return false;
	}
	sk_buf_addc(&r->out, '[');
	for (size_t i = 0; i < len && !r->out.failed; i++) {
		const struct sk_token_at *t = &tokens[i];

		sk_buf_addf(&r->out, "%s{\"id\":%" PRId32 ",\"text\":", i ? "," : "", t->id);
		sk_json_add_str(&r->out, text + t->start, t->stop - t->start);
		sk_buf_addf(&r->out, ",\"start\":%" PRIu32 ",\"stop\":%" PRIu32 "}", t->start, t->stop);
	}
	sk_buf_addc(&r->out, ']');
	free(tokens);
	return true;
}

void sk_tokens_reply(struct sk_request *r)
{
	sk_status st = r->out.failed;
	struct sk_err err = { 0 };

	if (st == SK_ETOOBIG)
		sk_fail(&err, st, "The answer has more than %zu bytes", r->out.max);
	if (st < 0)
		sk_reply_status(r, st, &err);
	else if (sk_request_large(r))
		sk_reply_out(r, 200, "application/json");
}

void sk_api_tokenize(struct sk_request *r, struct json_object *body)
{
	struct values v;

	if (!is_generate_request(r, body) || !take(r, tokenize_fields, LEN(tokenize_fields), body, &v))
		return;
	if (sk_tokens_add(r, v.inputs.str.s, v.inputs.str.len, !v.add_special_tokens.set || v.add_special_tokens.yes))
		sk_tokens_reply(r);
}

void sk_api_detokenize(struct sk_request *r, struct json_object *body)
{
	struct sk_err err = { 0 };
	struct values v;
	char *text = NULL;
	size_t len = 0;
	sk_status st;

	if (!take(r, detokenize_fields, LEN(detokenize_fields), body, &v))
		return;
	st = sk_engine_detokenize(r->front->engine, v.tokens.ids.items, v.tokens.ids.len, v.skip_special_tokens.yes, &text, &len, &err);
	if (st < 0) {
		sk_reply_status(r, st, &err);
		return;
	}
	sk_buf_adds(&r->out, "{\"prompt\":");
	sk_json_add_str(&r->out, text, len);
	sk_buf_addc(&r->out, '}');
	free(text);
	sk_tokens_reply(r);
}
