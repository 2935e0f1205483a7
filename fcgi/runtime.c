/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See runtime.h. The names and shapes are those of the service model that boto3 carries (sagemaker-runtime, 2017-05-13).
 *
 * Not checked: signatures (an API key, where there are keys, comes in `x-api-key`). Not looked at: which model, container or component
 * of an endpoint is meant, as there is one.
 */
#include "fcgi/runtime.h"

#include <json-c/json.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "fcgi/eventstream.h"
#include "fcgi/json.h"
#include "fcgi/request.h"
#include "fcgi/route.h"

#define ATTRIBUTES_MAX 1024             /* bytes of X-Amzn-SageMaker-Custom-Attributes */
#define NAME_BYTES_MAX 256              /* of a session's id and a variant's name */
#define SESSION_S (24 * 3600)
#define ERROR_BYTES_MAX ((size_t)1 << 20)

bool sk_runtime_serves(const struct sk_request *r)
{
	return r->route && (r->route->flags & SK_ROUTE_RUNTIME);
}

bool sk_runtime_parts(const struct sk_request *r)
{
	return r->route && (r->route->flags & SK_ROUTE_PARTS);
}

static bool alnum(char c)
{
	return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
}

/* [a-zA-Z0-9](-*[a-zA-Z0-9])*: sessions and variants. */
static bool is_name(const char *s)
{
	size_t len = strnlen(s, NAME_BYTES_MAX + 1);

	if (!len || len > NAME_BYTES_MAX || s[0] == '-' || s[len - 1] == '-')
		return false;
	for (size_t i = 0; i < len; i++)
		if (!alnum(s[i]) && s[i] != '-')
			return false;
	return true;
}

static bool is_visible(const char *s)
{
	for (; *s; s++)
		if (*s < ' ' || *s > '~')
			return false;
	return true;
}

/* ---- the request's headers ---------------------------------------------------------------------------------- */

/*
 * A session keeps a client on one server. Nothing is kept here for it: the id is for whoever balances several servers, and for
 * clients that want one.
 */
static const char *begin_session(struct sk_request *r)
{
	unsigned char bytes[16];
	char id[2 * sizeof bytes + 1], value[96], until[32];
	time_t end = time(NULL) + SESSION_S;
	struct tm tm;

	if (getrandom(bytes, sizeof bytes, 0) != sizeof bytes || !gmtime_r(&end, &tm) ||
	    !strftime(until, sizeof until, "%Y-%m-%dT%H:%M:%SZ", &tm))
		return "A session cannot be begun: the system gives no random bytes";
	for (size_t i = 0; i < sizeof bytes; i++)
		snprintf(id + 2 * i, 3, "%02x", bytes[i]);
	snprintf(value, sizeof value, "%s; Expires=%s", id, until);
	sk_reply_header(r, "x-amzn-sagemaker-new-session-id", value);
	return NULL;
}

const char *sk_runtime_headers(struct sk_request *r)
{
	const char *attributes = sk_request_param(r, "HTTP_X_AMZN_SAGEMAKER_CUSTOM_ATTRIBUTES");
	const char *session = sk_request_param(r, "HTTP_X_AMZN_SAGEMAKER_SESSION_ID");
	const char *variant = sk_request_param(r, "HTTP_X_AMZN_SAGEMAKER_TARGET_VARIANT");

	if (attributes && (strlen(attributes) > ATTRIBUTES_MAX || !is_visible(attributes)))
		return "X-Amzn-SageMaker-Custom-Attributes must be visible ASCII of at most 1024 bytes";
	if (variant && !is_name(variant))
		return "X-Amzn-SageMaker-Target-Variant must be letters, digits and hyphens between them";
	if (session && !strcmp(session, "NEW_SESSION")) {
		const char *bad = sk_runtime_parts(r) ? "X-Amzn-SageMaker-Session-Id: a stream cannot begin a session, only use one"
						      : begin_session(r);
		if (bad)
			return bad;
	} else if (session && !is_name(session)) {
		return "X-Amzn-SageMaker-Session-Id must be NEW_SESSION, or letters, digits and hyphens between them";
	}
	if (attributes)
		sk_reply_header(r, "x-amzn-sagemaker-custom-attributes", attributes);
	return NULL;
}

/* ---- errors ------------------------------------------------------------------------------------------------- */

/*
 * Errors that are not the model's but the service's, by error_type or by status; clients know these names. What fits no row is
 * a ModelError, with status 424.
 */
static const struct { const char *error_type; int from, to; const char *exception; } service_errors[] = {
	{ "unauthorized",   401, 401, "AccessDeniedException" },
	{ "invalid_header", 400, 400, "ValidationError" },
	{ "loading",        503, 429, "ModelNotReadyException" },
	{ NULL,             503, 503, "ServiceUnavailable" },      /* no memory, no time left, shutting down: try again */
};

/* "Message": the `error` of the error object in b. */
static void add_message(struct sk_buf *b, const struct sk_buf *original)
{
	struct json_object *error = NULL, *text = NULL;

	sk_buf_adds(b, "{\"Message\":");
	if (sk_json_parse(original->data, original->len, &error, NULL) == SK_OK && json_object_object_get_ex(error, "error", &text) &&
	    json_object_is_type(text, json_type_string))
		sk_json_add_str(b, json_object_get_string(text), (size_t)json_object_get_string_len(text));
	else
		sk_json_add_str(b, original->len ? original->data : "", original->len);
	sk_buf_addc(b, '}');
	json_object_put(error);
}

/* A ModelError says what the container said: its status and its body, whatever that is. */
static void add_model_error(struct sk_buf *b, const struct sk_request *r)
{
	bool server = r->status >= 500;
	const char *original = r->out.len ? r->out.data : "";

	sk_buf_addf(b, "{\"ErrorCode\":\"%s\",\"Message\":\"Received %s error (%d) from primary with message \\\"",
		    server ? "INTERNAL_FAILURE_FROM_MODEL" : "CLIENT_ERROR_FROM_MODEL", server ? "server" : "client", r->status);
	sk_buf_add_json(b, original, r->out.len);
	sk_buf_adds(b, "\\\".\",\"OriginalMessage\":");
	sk_json_add_str(b, original, r->out.len);
	sk_buf_addf(b, ",\"OriginalStatusCode\":%d}", r->status);
}

static void error_head(struct sk_request *r)
{
	const size_t rows = sizeof service_errors / sizeof *service_errors;
	struct sk_buf b = SK_BUF(ERROR_BYTES_MAX);
	size_t i;

	for (i = 0; i < rows; i++)
		if (service_errors[i].from == r->status && (!service_errors[i].error_type ||
							    (r->error_type && !strcmp(service_errors[i].error_type, r->error_type))))
			break;
	sk_reply_header(r, "x-amzn-errortype", i < rows ? service_errors[i].exception : "ModelError");
	if (i < rows)
		add_message(&b, &r->out);
	else
		add_model_error(&b, r);
	sk_reply(r, i < rows ? service_errors[i].to : 424, b.failed ? NULL : "application/json", b.failed ? "" : b.data, b.failed ? 0 : b.len);
	sk_buf_fini(&b);
}

/* ---- parts -------------------------------------------------------------------------------------------------- */

static void add_part(struct sk_buf *b, const char *s, size_t len)
{
	static const struct sk_eventstream_header headers[] = {
		{ ":event-type", "PayloadPart" }, { ":content-type", "application/octet-stream" }, { ":message-type", "event" },
	};

	do {
		size_t n = len < SK_EVENTSTREAM_PAYLOAD_MAX ? len : SK_EVENTSTREAM_PAYLOAD_MAX;

		sk_eventstream_add(b, headers, 3, s, n);
		s += n;
		len -= n;
	} while (len);
}

/* The error event as an exception: the model's when a generation failed, the service's else. Its text is the event's JSON. */
static void add_exception(const struct sk_request *r, struct sk_buf *b, const char *s, size_t len)
{
	static const char *const models[] = { "generation", "incomplete_generation", "deadline" };
	struct sk_eventstream_header headers[] = {
		{ ":exception-type", "InternalStreamFailure" }, { ":content-type", "application/json" }, { ":message-type", "exception" },
	};
	const char *json = memchr(s, '{', len);
	struct sk_buf body = SK_BUF(ERROR_BYTES_MAX);

	for (size_t i = 0; i < sizeof models / sizeof *models; i++)
		if (!strcmp(models[i], r->error_type))
			headers[0].value = "ModelStreamError";
	sk_buf_adds(&body, "{\"Message\":");
	sk_json_add_str(&body, json ? json : s, (size_t)(s + len - (json ? json : s)) - 2);
	sk_buf_adds(&body, headers[0].value[0] == 'M' ? ",\"ErrorCode\":\"ModelInvocationFailed\"}" : "}");
	if (body.failed)
		b->failed = body.failed;
	else
		sk_eventstream_add(b, headers, 3, body.data, body.len);
	sk_buf_fini(&body);
}

/* Bytes of the first event of s, its blank line included. (JSON has no line break as it is.) */
static size_t frame_len(const char *s, size_t len)
{
	const char *end = memmem(s, len, "\n\n", 2);

	return end ? (size_t)(end - s) + 2 : len;
}

void sk_runtime_frames(const struct sk_request *r, struct sk_buf *b, size_t from)
{
	struct sk_buf events = SK_BUF(b->max);
	bool failed = r->error_type && !r->late_errors;

	if (b->failed || b->len == from)
		return;
	if (sk_buf_add(&events, b->data + from, b->len - from) < 0) {
		b->failed = events.failed;
		return;
	}
	b->len = from;
	for (size_t at = 0, n; at < events.len; at += n) {
		const char *s = events.data + at;

		n = frame_len(s, events.len - at);
		if (s[0] == ':')
			add_part(b, s, 0);
		else if (failed && at + n == events.len)
			add_exception(r, b, s, n);
		else
			add_part(b, s, n);
	}
	sk_buf_fini(&events);
}

/* A body that is complete: the events of an error, or whatever else, in as many parts as it needs. */
static void whole_in_parts(struct sk_request *r, bool events)
{
	struct sk_buf b = SK_BUF(r->out.max);

	if (events) {
		sk_runtime_frames(r, &r->out, 0);
		return;
	}
	add_part(&b, r->out.data, r->out.len);
	if (b.failed) {
		r->out.failed = b.failed;
		sk_buf_fini(&b);
		return;
	}
	sk_buf_fini(&r->out);
	r->out = b;
}

void sk_runtime_head(struct sk_request *r)
{
	const char *variant = sk_request_param(r, "HTTP_X_AMZN_SAGEMAKER_TARGET_VARIANT"), *type = r->reply_type;

	if (r->id[0])
		sk_reply_header(r, "x-amzn-requestid", r->id);
	if (r->status >= 400) {
		error_head(r);
		return;
	}
	sk_reply_header(r, "x-amzn-invoked-production-variant", variant && is_name(variant) ? variant : "AllTraffic");
	if (!sk_runtime_parts(r))
		return;
	if (type)
		sk_reply_header(r, "x-amzn-sagemaker-content-type", type);
	r->reply_type = "application/vnd.amazon.eventstream";
	if (!r->stream)
		whole_in_parts(r, type && !strcmp(type, "text/event-stream"));
}
