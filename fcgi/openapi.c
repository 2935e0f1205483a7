/* SPDX-License-Identifier: Apache-2.0 */
/*
 * GET /openapi.json: the HTTP interface as an OpenAPI 3.1 document, written from the tables that serve it: routes.def, the fields of
 * bodies, errors.c, answers.def. It tells of this server: its dialect, its limits, whether it asks for keys.
 *
 * An OpenAPI 3.1 schema is JSON Schema 2020-12, in which null is a type and exclusiveMinimum a number.
 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "config.h"
#include "fcgi/api_info.h"
#include "fcgi/api_tgi.h"
#include "fcgi/api_chat.h"
#include "fcgi/api_tokenize.h"
#include "fcgi/api_watermark.h"
#include "fcgi/json.h"
#include "fcgi/openai.h"
#include "fcgi/request.h"
#include "fcgi/route.h"

static const struct { const char *schema; const struct sk_field *(*fields)(size_t *ret_len); } bodies[] = {
	{ "GenerateRequest", sk_tgi_fields },
	{ "DetectRequest", sk_watermark_fields },
	{ "TokenizeRequest", sk_tokenize_fields },
	{ "DetokenizeRequest", sk_detokenize_fields },
	{ "ChatTokenizeRequest", sk_chat_fields },
	{ "ChatCompletionRequest", sk_openai_chat_fields },
	{ "CompletionRequest", sk_openai_fields },
};

static const struct answer { const char *name; int status; const char *type, *schema, *doc; } answers[] = {
#define SK_ANSWER(answer, status, type, schema, doc) { answer, status, type, schema, doc },
#define SK_MEMBER(schema, member, type, knows, doc)
#include "fcgi/answers.def"
#undef SK_ANSWER
#undef SK_MEMBER
};

static const struct member { const char *schema, *name, *type; unsigned knows; const char *doc; } members[] = {
#define SK_ANSWER(answer, status, type, schema, doc)
#define SK_MEMBER(schema, member, type, knows, doc) { schema, member, type, knows, doc },
#include "fcgi/answers.def"
#undef SK_ANSWER
#undef SK_MEMBER
};

/* Headers that requests may have, by the flag of their routes. */
static const struct { unsigned flag; const char *name, *schema, *doc; } headers[] = {
	{ SK_ROUTE_GENERATE, "x-request-timeout", "{\"type\":\"number\",\"exclusiveMinimum\":0}", "seconds until the client gives up waiting" },
	{ SK_ROUTE_GENERATE, "x-saker-deadline-ms", "{\"type\":\"integer\",\"minimum\":1}", "the same in milliseconds; the shorter of both counts" },
	{ SK_ROUTE_RUNTIME, "X-Amzn-SageMaker-Custom-Attributes", "{\"type\":\"string\",\"maxLength\":1024,\"pattern\":\"^[ -~]*$\"}", "comes back" },
	{ SK_ROUTE_RUNTIME, "X-Amzn-SageMaker-Session-Id",
	  "{\"type\":\"string\",\"maxLength\":256,\"pattern\":\"^(NEW_SESSION|[a-zA-Z0-9](-*[a-zA-Z0-9])*)$\"}",
	  "NEW_SESSION: the answer names a new one; not on a stream" },
	{ SK_ROUTE_RUNTIME, "X-Amzn-SageMaker-Target-Variant",
	  "{\"type\":\"string\",\"maxLength\":256,\"pattern\":\"^[a-zA-Z0-9](-*[a-zA-Z0-9])*$\"}", "comes back as the variant that has answered" },
};

#define LEN(table) (sizeof(table) / sizeof *(table))

static void add_str(struct sk_buf *b, const char *s)
{
	sk_json_add_str(b, s, strlen(s));
}

/* "key":"value", with a comma before it. */
static void add_pair(struct sk_buf *b, const char *key, const char *value)
{
	sk_buf_addf(b, ",\"%s\":", key);
	add_str(b, value);
}

/* ---- fields of bodies --------------------------------------------------------------------------------------- */

/* JSON type, format, and what the range of the number that schema.c measures limits. */
static const struct { const char *type, *format, *least, *most; double min, max; } kinds[SK_FIELD_TYPES] = {
	[SK_FIELD_STR]  = { "string", NULL, "minLength", "maxLength", 0, HUGE_VAL },
	[SK_FIELD_BOOL] = { "boolean", NULL, NULL, NULL, 0, 1 },
	[SK_FIELD_U32]  = { "integer", "uint32", "minimum", "maximum", 0, 4294967295.0 },
	[SK_FIELD_I32]  = { "integer", "int32", "minimum", "maximum", -2147483648.0, 2147483647.0 },
	[SK_FIELD_U64]  = { "integer", "uint64", "minimum", "maximum", 0, 18446744073709551615.0 },
	[SK_FIELD_F32]  = { "number", "float", "minimum", "maximum", -HUGE_VAL, HUGE_VAL },
	[SK_FIELD_STRS] = { "array", NULL, "minItems", "maxItems", 0, HUGE_VAL },
	[SK_FIELD_IDS]  = { "array", NULL, "minItems", "maxItems", 0, HUGE_VAL },
	[SK_FIELD_BIAS] = { "object", NULL, NULL, NULL, 0, HUGE_VAL },
	[SK_FIELD_ANY]  = { NULL, NULL, NULL, NULL, 0, 0 },
	[SK_FIELD_JSON] = { NULL, NULL, NULL, NULL, 0, 0 },
};

static void add_bound(struct sk_buf *b, const char *word, bool open, double value)
{
	if (!word || isinf(value))
		return;
	if (open)
		sk_buf_addf(b, ",\"exclusive%c%s\":", word[0] - 'a' + 'A', word + 1);
	else
		sk_buf_addf(b, ",\"%s\":", word);
	/* 2^64 - 1 is not a double. */
	if (value >= 18446744073709551615.0)
		sk_buf_adds(b, "18446744073709551615");
	else
		sk_buf_addf(b, "%.15g", value);
}

static void add_range(struct sk_buf *b, const struct sk_field *f, double max)
{
	bool any = f->range & SK_RANGE_ANY;
	double least = any || f->min < kinds[f->type].min ? kinds[f->type].min : f->min;
	double most = any || max > kinds[f->type].max ? kinds[f->type].max : max;

	add_bound(b, kinds[f->type].least, !any && (f->range & SK_RANGE_OPEN_MIN), least);
	add_bound(b, kinds[f->type].most, !any && (f->range & SK_RANGE_OPEN_MAX), most);
	if (f->type == SK_FIELD_STRS)
		sk_buf_adds(b, ",\"items\":{\"type\":\"string\",\"minLength\":1}");
	if (f->type == SK_FIELD_IDS)
		sk_buf_adds(b, ",\"items\":{\"type\":\"integer\",\"format\":\"int32\"}");
	if (f->type == SK_FIELD_BIAS)
		sk_buf_addf(b, ",\"propertyNames\":{\"pattern\":\"^[0-9]+$\"},\"additionalProperties\":{\"type\":\"number\",\"minimum\":%g,"
			    "\"maximum\":%g}", -max, max);
}

/* What a default says is JSON, or a word for people. */
static void add_default(struct sk_buf *b, const struct sk_field *f, const struct sk_dialect *d)
{
	const char *fallback = f->fallback;
	char tokens[24];

	if (fallback && !strcmp(fallback, SK_FALLBACK_NEW_TOKENS)) {
		snprintf(tokens, sizeof tokens, "%llu", (unsigned long long)d->new_tokens);
		fallback = d->new_tokens ? tokens : "all the room that is left";
	}
	sk_buf_adds(b, ",\"description\":\"");
	sk_buf_add_json(b, f->doc, strlen(f->doc));
	if (!fallback) {
		sk_buf_addc(b, '"');
	} else if (sk_json_check(fallback, strlen(fallback), NULL, NULL) == SK_OK) {
		sk_buf_addf(b, "\",\"default\":%s", fallback);
	} else {
		sk_buf_addf(b, " (default: %s)\"", fallback);
	}
}

static void add_field(struct sk_buf *b, const struct sk_field *f, const struct sk_dialect *d, const uint64_t limits[SK_LIMITS])
{
	double max = f->limit ? (double)limits[f->limit] : f->max;

	if (f->type == SK_FIELD_JSON)
		sk_buf_adds(b, "{\"type\":[\"string\",\"array\",\"object\",\"number\",\"boolean\",\"null\"]");
	else if (!kinds[f->type].type)
		sk_buf_adds(b, f->range & SK_RANGE_ANY ? "{\"type\":[\"object\",\"null\"]" : "{\"type\":\"null\"");
	else if (f->required)
		sk_buf_addf(b, "{\"type\":\"%s\"", kinds[f->type].type);
	else
		sk_buf_addf(b, "{\"type\":[\"%s\",\"null\"]", kinds[f->type].type);
	if (kinds[f->type].format)
		add_pair(b, "format", kinds[f->type].format);
	add_range(b, f, max);
	add_default(b, f, d);
	sk_buf_addc(b, '}');
}

/* The fields that the body, or its member `group`, holds; each with its comma but the first. */
static void add_fields(struct sk_buf *b, const struct sk_field *fields, size_t len, const char *group, const struct sk_dialect *d,
		       const uint64_t limits[SK_LIMITS])
{
	const char *comma = "";

	sk_buf_adds(b, "{\"type\":\"object\",\"properties\":{");
	for (size_t i = 0; i < len; i++) {
		const struct sk_field *f = &fields[i];

		if ((f->knows && !(f->knows & d->knows)) || (f->group ? !group || strcmp(group, f->group) : group != NULL))
			continue;
		sk_buf_addf(b, "%s\"%s\":", comma, f->name);
		comma = ",";
		if (!group && f->type == SK_FIELD_ANY && !strcmp(f->name, "parameters"))
			sk_buf_adds(b, "{\"anyOf\":[{\"$ref\":\"#/components/schemas/GenerateParameters\"},{\"type\":\"null\"}]}");
		else
			add_field(b, f, d, limits);
	}
	sk_buf_adds(b, "}");
	comma = ",\"required\":[";
	for (size_t i = 0; i < len; i++)
		if (fields[i].required && !fields[i].group == !group) {
			sk_buf_addf(b, "%s\"%s\"", comma, fields[i].name);
			comma = ",";
		}
	sk_buf_adds(b, comma[1] ? "}" : "]}");
}

/* ---- schemas of answers ------------------------------------------------------------------------------------- */

/* A type of answers.def: `?Token[][]`, `integer?`, `number?[]?`. */
static void add_type(struct sk_buf *b, const char *type)
{
	const char *end;
	size_t len;
	int lists = 0;
	bool null;

	type += *type == '?';
	len = strcspn(type, "[?");
	null = type[len] == '?';
	for (end = type + len + null; end[0] == '['; end += 2)
		lists++;
	if (end[0] == '?')
		sk_buf_adds(b, "{\"anyOf\":[");
	for (int i = 0; i < lists; i++)
		sk_buf_adds(b, "{\"type\":\"array\",\"items\":");
	if (!strncmp(type, "binary", len))
		sk_buf_adds(b, "{\"type\":\"string\",\"format\":\"binary\"}");
	else if (!strncmp(type, "text", len))
		sk_buf_adds(b, "{\"type\":\"string\"}");
	else if (type[0] >= 'a')
		sk_buf_addf(b, null ? "{\"type\":[\"%.*s\",\"null\"]}" : "{\"type\":\"%.*s\"}", (int)len, type);
	else
		sk_buf_addf(b, null ? "{\"anyOf\":[{\"$ref\":\"#/components/schemas/%.*s\"},{\"type\":\"null\"}]}"
				    : "{\"$ref\":\"#/components/schemas/%.*s\"}", (int)len, type);
	for (int i = 0; i < lists; i++)
		sk_buf_addc(b, '}');
	if (end[0] == '?')
		sk_buf_adds(b, ",{\"type\":\"null\"}]}");
}

/* A member's schema with its description: beside a $ref, which 3.1 allows. */
static void add_member(struct sk_buf *b, const struct member *m)
{
	add_str(b, m->name);
	sk_buf_addc(b, ':');
	add_type(b, m->type);
	if (!b->failed)
		b->len--;
	add_pair(b, "description", m->doc);
	sk_buf_addc(b, '}');
}

static bool is_known(const struct member *m, const struct sk_dialect *d)
{
	return !m->knows || (m->knows & d->knows);
}

/* The schema whose first row is `first`. */
static void add_answer_schema(struct sk_buf *b, const struct member *first, const struct sk_dialect *d)
{
	const struct member *end = members + LEN(members);
	const char *comma = "";

	sk_buf_addf(b, ",\"%s\":{\"type\":\"object\",\"properties\":{", first->schema);
	for (const struct member *m = first; m < end && !strcmp(m->schema, first->schema); m++) {
		if (!is_known(m, d))
			continue;
		sk_buf_adds(b, comma);
		add_member(b, m);
		comma = ",";
	}
	sk_buf_adds(b, "},\"required\":[");
	comma = "";
	for (const struct member *m = first; m < end && !strcmp(m->schema, first->schema); m++) {
		if (!is_known(m, d) || m->type[0] == '?')
			continue;
		sk_buf_addf(b, "%s\"%s\"", comma, m->name);
		comma = ",";
	}
	sk_buf_adds(b, "]}");
}

static void add_schemas(struct sk_request *r, const uint64_t limits[SK_LIMITS])
{
	const struct sk_dialect *d = sk_request_dialect(r);
	struct sk_buf *b = &r->out;
	const struct sk_field *fields;
	size_t len;

	sk_buf_adds(b, "\"schemas\":{\"FinishReason\":{\"type\":\"string\",\"enum\":[\"length\",\"eos_token\",\"stop_sequence\"]}");
	for (size_t i = 0; i < LEN(bodies); i++) {
		fields = bodies[i].fields(&len);
		sk_buf_addf(b, ",\"%s\":", bodies[i].schema);
		add_fields(b, fields, len, NULL, d, limits);
	}
	fields = sk_tgi_fields(&len);
	sk_buf_adds(b, ",\"GenerateParameters\":");
	add_fields(b, fields, len, "parameters", d, limits);
	for (size_t i = 0; i < LEN(members); i++)
		if (!i || strcmp(members[i].schema, members[i - 1].schema))
			add_answer_schema(b, &members[i], d);
	sk_buf_adds(b, ",\"Info\":{\"type\":\"object\",\"properties\":{");
	sk_info_schema(r);
	sk_buf_adds(b, "}}}");
}

/* ---- answers of a route ------------------------------------------------------------------------------------- */

/* Errors beside those of errors.c, and of all of them the routes that may answer so. */
static const struct { int status; const char *error_type; } more_errors[] = {
	{ 400, "invalid_header" }, { 401, "unauthorized" }, { 404, "not_found" }, { 410, "incomplete_generation" },
	{ 415, "unsupported_media_type" }, { 500, "internal" }, { 503, "deadline" }, { 504, "deadline" },
};

static const struct { int status; unsigned all, none; bool named; } errors_of[] = {
	{ 400, SK_ROUTE_JSON, 0, false },
	{ 401, 0, SK_ROUTE_OPEN, false },
	{ 404, 0, SK_ROUTE_JSON, true },        /* a path with a name in it */
	{ 410, SK_ROUTE_GENERATE, 0, false },
	{ 413, SK_ROUTE_JSON, 0, false },
	{ 415, SK_ROUTE_JSON, 0, false },
	{ 422, SK_ROUTE_JSON, 0, false },
	{ 424, SK_ROUTE_GENERATE, 0, false },
	{ 429, 0, SK_ROUTE_QUICK, false },
	{ 500, 0, SK_ROUTE_QUICK, false },
	{ 503, 0, SK_ROUTE_QUICK, false },
	{ 504, SK_ROUTE_GENERATE, 0, false },
};

/* "validation, payload_too_large": all types of a status. */
static void add_error_types(struct sk_buf *b, int status)
{
	const char *comma = "", *type;
	int http;

	for (size_t i = 0; sk_error_row(i, &http, &type); i++) {
		int other;
		const char *before = NULL;

		for (size_t k = 0; k < i && sk_error_row(k, &other, &before); k++)
			if (other == http && !strcmp(before, type))
				break;
			else
				before = NULL;
		if (http != status || before)
			continue;
		sk_buf_addf(b, "%s%s", comma, type);
		comma = ", ";
	}
	for (size_t i = 0; i < LEN(more_errors); i++) {
		if (more_errors[i].status != status)
			continue;
		sk_buf_addf(b, "%s%s", comma, more_errors[i].error_type);
		comma = ", ";
	}
}

static const char retry_header[] =
	",\"headers\":{\"Retry-After\":{\"schema\":{\"type\":\"integer\"},\"description\":\"seconds\"}}";

static void add_error(struct sk_buf *b, int status, const char *schema, const struct sk_dialect *d)
{
	bool unreadable = status == 400 || status == 413 || status == 415 || status == 422;

	sk_buf_addf(b, ",\"%d\":{\"description\":\"error_type: ", status);
	add_error_types(b, status);
	sk_buf_addf(b, "\"%s", status == 429 || status == 503 ? retry_header : "");
	if (status == 401 && d->bare_unauthorized) {
		sk_buf_addc(b, '}');
		return;
	}
	sk_buf_addf(b, ",\"content\":{\"application/json\":{\"schema\":{\"$ref\":\"#/components/schemas/%s\"}}", schema);
	if (unreadable && d->plain_errors)
		sk_buf_adds(b, ",\"text/plain; charset=utf-8\":{\"schema\":{\"type\":\"string\"}}");
	sk_buf_adds(b, "}}");
}

/* What SageMaker's runtime makes of them (runtime.c). */
static void add_runtime_errors(struct sk_buf *b, bool keys)
{
	static const struct { int status; const char *exception; } rows[] = {
		{ 400, "ValidationError" }, { 401, "AccessDeniedException" }, { 424, "ModelError" }, { 429, "ModelNotReadyException" },
		{ 503, "ServiceUnavailable" },
	};

	for (size_t i = 0; i < LEN(rows); i++)
		if (rows[i].status != 401 || keys)
			sk_buf_addf(b, ",\"%d\":{\"description\":\"x-amzn-errortype: %s\"%s,\"content\":{\"application/json\":{\"schema\":"
				    "{\"$ref\":\"#/components/schemas/RuntimeError\"}}}}", rows[i].status, rows[i].exception,
				    rows[i].status == 429 || rows[i].status == 503 ? retry_header : "");
}

/* Of a stream the schema is that of one event, whose data is JSON: an error may be the last one. */
static void add_content(struct sk_buf *b, const struct answer *a)
{
	bool events = !strcmp(a->type, "text/event-stream");

	add_str(b, a->type);
	sk_buf_adds(b, ":{\"schema\":");
	if (events)
		sk_buf_adds(b, "{\"type\":\"object\",\"required\":[\"data\"],\"properties\":{\"data\":{\"type\":\"string\","
			    "\"contentMediaType\":\"application/json\",\"contentSchema\":{\"anyOf\":[");
	add_type(b, a->schema);
	sk_buf_adds(b, events ? ",{\"$ref\":\"#/components/schemas/Error\"}]}}}}}" : "}");
}

static bool may_answer(const struct sk_route *route, size_t error, bool keys)
{
	return (errors_of[error].status != 401 || keys) && (route->flags & errors_of[error].all) == errors_of[error].all &&
	       !(route->flags & errors_of[error].none) && (!errors_of[error].named || strchr(route->path, '{'));
}

static void add_responses(struct sk_buf *b, const struct sk_route *route, const struct sk_dialect *d, bool keys)
{
	const char *comma = "";

	sk_buf_adds(b, ",\"responses\":{");
	for (size_t i = 0; i < LEN(answers); i++) {
		const struct answer *a = &answers[i];
		bool more = i + 1 < LEN(answers) && !strcmp(a->name, a[1].name) && a->status == a[1].status;

		if (strcmp(a->name, route->answers))
			continue;
		sk_buf_addf(b, "%s\"%d\":{\"description\":", comma, a->status);
		comma = ",";
		add_str(b, a->doc);
		if (a->type) {
			sk_buf_adds(b, ",\"content\":{");
			add_content(b, a);
			if (more) {
				sk_buf_addc(b, ',');
				add_content(b, &answers[++i]);
			}
			sk_buf_addc(b, '}');
		}
		sk_buf_addc(b, '}');
	}
	if (route->flags & SK_ROUTE_RUNTIME) {
		add_runtime_errors(b, keys);
	} else {
		for (size_t i = 0; i < LEN(errors_of); i++)
			if (may_answer(route, i, keys))
				add_error(b, errors_of[i].status, route->flags & SK_ROUTE_OPENAI && d->knows == SK_KNOWS_SAKER ?
					  "OpenAIError" : "Error", d);
	}
	sk_buf_addc(b, '}');
}

/* ---- the document ------------------------------------------------------------------------------------------- */

static void add_parameters(struct sk_buf *b, const struct sk_route *route)
{
	const char *comma = ",\"parameters\":[";

	for (const char *s = strchr(route->path, '{'); s; s = strchr(s + 1, '{')) {
		sk_buf_addf(b, "%s{\"name\":\"%.*s\",\"in\":\"path\",\"required\":true,\"schema\":{\"type\":\"string\",\"minLength\":1}}", comma,
			    (int)strcspn(s + 1, "}"), s + 1);
		comma = ",";
	}
	for (size_t i = 0; i < LEN(headers); i++) {
		if (!(route->flags & headers[i].flag))
			continue;
		sk_buf_addf(b, "%s{\"name\":\"%s\",\"in\":\"header\",\"schema\":%s", comma, headers[i].name, headers[i].schema);
		add_pair(b, "description", headers[i].doc);
		sk_buf_addc(b, '}');
		comma = ",";
	}
	if (!comma[1])
		sk_buf_addc(b, ']');
}

/* "get_requests_id": letters of the path, for those who make functions of it. */
static void add_operation_id(struct sk_buf *b, const struct sk_route *route)
{
	bool gap = true;

	sk_buf_adds(b, "\"operationId\":\"");
	for (const char *s = route->method; *s; s++)
		sk_buf_addc(b, (char)(*s | 0x20));
	for (const char *s = route->path; *s; s++) {
		bool word = (*s >= 'a' && *s <= 'z') || (*s >= 'A' && *s <= 'Z');

		if (word && gap)
			sk_buf_addc(b, '_');
		if (word)
			sk_buf_addc(b, *s);
		gap = !word;
	}
	sk_buf_addc(b, '"');
}

static void add_operation(struct sk_buf *b, const struct sk_route *route, const struct sk_dialect *d, bool keys)
{
	sk_buf_adds(b, !strcmp(route->method, "GET") ? "\"get\":{" : !strcmp(route->method, "POST") ? "\"post\":{" : "\"delete\":{");
	add_operation_id(b, route);
	add_pair(b, "summary", route->doc);
	add_parameters(b, route);
	if (keys && !(route->flags & SK_ROUTE_OPEN))
		sk_buf_adds(b, ",\"security\":[{\"bearer\":[]},{\"key\":[]}]");
	if (route->asks)
		sk_buf_addf(b, ",\"requestBody\":{\"required\":true,\"content\":{\"application/json\":{\"schema\":{\"$ref\":"
			    "\"#/components/schemas/%s\"}}}}", route->asks);
	add_responses(b, route, d, keys);
	sk_buf_addc(b, '}');
}

static bool seen_before(const struct sk_route *routes, size_t i)
{
	for (size_t k = 0; k < i; k++)
		if (!strcmp(routes[k].path, routes[i].path))
			return true;
	return false;
}

static void add_paths(struct sk_buf *b, const struct sk_dialect *d, bool keys)
{
	size_t len;
	const struct sk_route *routes = sk_route_list(&len);

	for (size_t i = 0; i < len; i++) {
		const char *comma = "";

		if (!sk_route_known(&routes[i], d->knows) || seen_before(routes, i))
			continue;
		sk_buf_addf(b, "%s\"%s\":{", i ? "," : "", routes[i].path);
		for (size_t k = i; k < len; k++) {
			if (strcmp(routes[k].path, routes[i].path))
				continue;
			sk_buf_adds(b, comma);
			add_operation(b, &routes[k], d, keys);
			comma = ",";
		}
		sk_buf_addc(b, '}');
	}
}

void sk_api_openapi(struct sk_request *r, struct json_object *body)
{
	const struct sk_options *o = r->front->options;
	const char *prefix = o->path_prefix;
	bool keys = r->front->keys != NULL;
	uint64_t limits[SK_LIMITS] = { 0 };
	struct sk_buf *b = &r->out;
	struct sk_info info;

	sk_engine_info(r->front->engine, &info);
	limits[SK_LIMIT_BEST_OF] = (uint64_t)o->max_best_of;
	limits[SK_LIMIT_STOP] = (uint64_t)o->max_stop_sequences;
	limits[SK_LIMIT_TOP_N] = (uint64_t)o->max_top_n_tokens;
	limits[SK_LIMIT_INPUT] = info.input_tokens_max;
	sk_buf_adds(b, "{\"openapi\":\"3.1.0\",\"info\":{\"title\":\"saker\",\"version\":\"" PACKAGE_VERSION "\",\"description\":");
	add_str(b, "Text generation. A member that is null counts as absent, and unknown members are ignored.");
	sk_buf_adds(b, ",\"license\":{\"name\":\"Apache-2.0\",\"identifier\":\"Apache-2.0\"}},\"servers\":[{\"url\":");
	add_str(b, prefix && *prefix ? prefix : "/");
	sk_buf_adds(b, "}],\"paths\":{");
	add_paths(b, sk_request_dialect(r), keys);
	sk_buf_adds(b, "},\"components\":{");
	if (keys)
		sk_buf_adds(b, "\"securitySchemes\":{\"bearer\":{\"type\":\"http\",\"scheme\":\"bearer\"},"
			    "\"key\":{\"type\":\"apiKey\",\"in\":\"header\",\"name\":\"x-api-key\"}},");
	add_schemas(r, limits);
	sk_buf_adds(b, "}}");
	sk_reply_out(r, 200, "application/json");
}
