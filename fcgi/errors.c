/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Errors on the wire: one table from sk_status to HTTP status and words, one shape of body.
 *
 * Texts and types are TGI's where TGI has the case; its Python client tells exceptions apart by error_type first and by
 * status second. To 429 and 503 the loop adds Retry-After (watch.c).
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "fcgi/json.h"
#include "fcgi/request.h"
#include "fcgi/route.h"

static const struct {
	sk_status status;
	int http;
	const char *type;
	const char *prefix;             /* before the reason's own words */
	const char *words;              /* in place of the reason: what a client should not or need not know */
} rows[] = {
	{ SK_EINVAL,      422, "validation",            "Input validation error: ", NULL },
	{ SK_ENOTSUP,     422, "validation",            "Input validation error: ", NULL },
	{ SK_ETOOBIG,     413, "payload_too_large",     "", NULL },
	{ SK_EFORMAT,     400, "invalid_json",          "", NULL },
	{ SK_ENOENT,      404, "not_found",             "", NULL },
	{ SK_EOVERLOADED, 429, "overloaded",            "", "Model is overloaded" },
	{ SK_ELOADING,    503, "loading",               "", NULL },
	{ SK_EDRAINING,   503, "draining",              "", "Server is shutting down" },
	{ SK_ENOMEM,      503, "overloaded",            "", "Out of memory for this request" },
	{ SK_ECANCELED,   500, "incomplete_generation", "", "Incomplete generation" },
	{ SK_EENGINE,     424, "generation",            "Request failed during generation: ", NULL },
	{ SK_EDEVICE,     424, "generation",            "Request failed during generation: ", "the device failed" },
};

bool sk_error_row(size_t i, int *ret_http, const char **ret_type)
{
	if (i >= sizeof rows / sizeof *rows)
		return false;
	*ret_http = rows[i].http;
	*ret_type = rows[i].type;
	return true;
}

static bool is_openai(const struct sk_request *r)
{
	return r->openai || (r->route && r->route->flags & SK_ROUTE_OPENAI);
}

/* The member that a refusal is about: the first word in backquotes, or before a colon where a type is wrong. "": none. */
static void param_of(const char *text, char ret_name[64])
{
	static const char letters[] = "abcdefghijklmnopqrstuvwxyz_";
	const char *s = strstr(text, "target type: ");
	size_t len = s ? strspn(s + 13, letters) : 0;

	if (len && s[13 + len] && strchr(":[.", s[13 + len])) {
		snprintf(ret_name, 64, "%.*s", (int)len, s + 13);
		return;
	}
	s = strchr(text, '`');
	len = s ? strspn(s + 1, letters) : 0;
	snprintf(ret_name, 64, "%.*s", len && s[1 + len] == '`' ? (int)len : 0, s ? s + 1 : "");
}

/* {"message":...,"type":...,"param":...,"code":...} */
static void add_openai(struct sk_buf *b, int status, const char *error_type, const char *text)
{
	const char *type = status == 401 ? "authentication_error" : status == 429 ? "rate_limit_error" : status >= 500 || status == 424 ?
			   "server_error" : "invalid_request_error";
	char param[64] = "";

	if (status == 422)
		param_of(text, param);
	sk_buf_adds(b, "{\"message\":");
	sk_json_add_str(b, text, strlen(text));
	sk_buf_addf(b, ",\"type\":\"%s\",\"param\":", type);
	sk_buf_addf(b, param[0] ? "\"%s\"" : "null", param);
	sk_buf_addf(b, ",\"code\":\"%s\"}", status == 401 ? "invalid_api_key" : error_type);
}

/* The error as JSON: in the form of the API, as an event of a stream or by itself. */
static void add_error(struct sk_request *r, bool event, int status, const char *error_type, const char *text)
{
	bool tgi = sk_request_dialect(r)->knows != SK_KNOWS_SAKER;
	struct sk_buf *b = &r->out;

	sk_buf_addf(b, "%s{\"error\":", event ? sk_request_dialect(r)->frame : "");
	if (is_openai(r) && !tgi) {
		add_openai(b, status, error_type, text);
	} else if (is_openai(r) && event) {
		sk_buf_adds(b, "{\"message\":");
		sk_json_add_str(b, text, strlen(text));
		sk_buf_adds(b, ",\"http_status_code\":422}");
	} else {
		sk_json_add_str(b, text, strlen(text));
		sk_buf_adds(b, ",\"error_type\":");
		sk_json_add_str(b, error_type, strlen(error_type));
	}
	sk_buf_adds(b, event ? "}\n\n" : "}");
}

void sk_reply_error(struct sk_request *r, int status, const char *error_type, const char *text)
{
	bool begun = r->stream && r->status, event = begun || r->late_errors;

	r->error_type = error_type;
	if (!begun)
		sk_buf_clear(&r->out);
	add_error(r, event, status, error_type, text);
	if (begun)
		return;
	if (event) {
		sk_reply_stream_headers(r);
		sk_reply_out(r, 200, "text/event-stream");
		return;
	}
	sk_reply_out(r, status, "application/json");
}

void sk_reply_unreadable(struct sk_request *r, int status, const char *error_type, const char *text)
{
	if (!sk_request_dialect(r)->plain_errors) {
		sk_reply_error(r, status, error_type, text);
		return;
	}
	r->error_type = error_type;
	sk_reply(r, status, "text/plain; charset=utf-8", text, strlen(text));
}

void sk_reply_deadline(struct sk_request *r)
{
	char text[96];

	snprintf(text, sizeof text, "Deadline exceeded: the answer was not complete within %" PRId64 " ms", r->timeout_ms);
	sk_reply_error(r, 504, "deadline", text);
}

void sk_reply_hopeless(struct sk_request *r)
{
	char text[128];

	snprintf(text, sizeof text, "Model is overloaded: it would begin in about %" PRId64 " ms, the deadline is %" PRId64 " ms",
		 r->wait_us / 1000, r->timeout_ms);
	sk_reply_error(r, 503, "deadline", text);
}

void sk_reply_status(struct sk_request *r, sk_status st, const struct sk_err *err)
{
	char text[sizeof err->text + 64];

	/* Not a status that clients try again by themselves, as they do with 409, 429 and all from 500 on. */
	if (st == SK_ECANCELED && r->cancelled) {
		sk_reply_error(r, 410, "incomplete_generation", "Incomplete generation: the request was cancelled");
		return;
	}
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		const char *reason = rows[i].words;

		if (rows[i].status != st)
			continue;
		if (!reason)
			reason = err && err->text[0] ? err->text : sk_status_words(st);
		snprintf(text, sizeof text, "%s%s", rows[i].prefix, reason);
		sk_reply_error(r, rows[i].http, rows[i].type, text);
		return;
	}
	sk_reply_error(r, 500, "internal", "Internal error");
}

void sk_reply_types(struct sk_request *r, sk_status st, const struct sk_err *err)
{
	char text[sizeof err->text + 64];

	if (st != SK_EINVAL) {
		sk_reply_status(r, st, err);
		return;
	}
	snprintf(text, sizeof text, "Failed to deserialize the JSON body into the target type: %s", err->text);
	sk_reply_unreadable(r, 422, "validation", text);
}
