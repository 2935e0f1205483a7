/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Finds the handler, and answers what no handler should see: unknown paths and methods, preflight requests, bodies that
 * are too large, of the wrong type, or no JSON.
 */
#include "fcgi/route.h"

#include <json-c/json.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "engine/base/clock.h"
#include "fcgi/json.h"
#include "fcgi/keys.h"
#include "fcgi/request.h"

static const struct sk_route routes[] = {
#define SK_ROUTE(method, path, handler, flags, asks, answers, doc) { method, path, handler, flags, asks, answers, doc },
#include "fcgi/routes.def"
#undef SK_ROUTE
};

#define ROUTES_LEN (sizeof routes / sizeof *routes)

const struct sk_route *sk_route_list(size_t *ret_len)
{
	*ret_len = ROUTES_LEN;
	return routes;
}

static bool path_matches(const char *pattern, const char *path)
{
	while (*pattern) {
		if (*pattern == '{') {
			size_t segment = strcspn(path, "/");

			if (!segment)
				return false;
			path += segment;
			pattern += strcspn(pattern, "}") + 1;
		} else if (*pattern++ != *path++) {
			return false;
		}
	}
	return !*path;
}

static bool method_matches(const char *row, const char *method)
{
	return !strcmp(row, method) || (!strcmp(method, "HEAD") && !strcmp(row, "GET"));
}

bool sk_route_known(const struct sk_route *route, unsigned dialect)
{
	return !(route->flags & SK_ROUTE_SINCE_3) || (dialect & (SK_KNOWS_SAKER | SK_KNOWS_TGI_3));
}

const struct sk_route *sk_route_find(const char *method, const char *path, unsigned dialect, bool *ret_path_known)
{
	bool known = false;

	for (size_t i = 0; i < ROUTES_LEN; i++) {
		if (!sk_route_known(&routes[i], dialect) || !path_matches(routes[i].path, path))
			continue;
		known = true;
		if (method_matches(routes[i].method, method)) {
			*ret_path_known = true;
			return &routes[i];
		}
	}
	*ret_path_known = known;
	return NULL;
}

bool sk_content_type_is_json(const char *type)
{
	size_t len = strcspn(type, "; \t");

	if (len < 16 || strncasecmp(type, "application/", 12))
		return false;
	return (len == 16 && !strncasecmp(type + 12, "json", 4)) ||
	       (len > 17 && !strncasecmp(type + len - 5, "+json", 5));
}

/*
 * Cross-origin headers: what a browser needs before it lets a page of another site read the answer. The setting is "*",
 * or origins separated by commas, one of which must be the request's.
 */
static void add_cors(struct sk_request *r)
{
	const char *allowed = r->front->options->cors_allow_origin;
	const char *origin = sk_request_param(r, "HTTP_ORIGIN");
	size_t origin_len;

	if (!allowed || !*allowed)
		return;
	sk_reply_header(r, "access-control-expose-headers", "x-request-id,retry-after");
	if (!strcmp(allowed, "*")) {
		sk_reply_header(r, "access-control-allow-origin", "*");
		return;
	}
	sk_reply_header(r, "vary", "origin");
	origin_len = origin ? strlen(origin) : 0;
	while (origin_len) {
		size_t len = strcspn(allowed, ", ");

		if (len == origin_len && !strncmp(allowed, origin, len)) {
			sk_reply_header(r, "access-control-allow-origin", origin);
			return;
		}
		allowed += len;
		if (!*allowed)
			return;
		allowed++;
	}
}

/* allow: "GET, HEAD, POST, OPTIONS": what the path answers to. */
static void add_allow(struct sk_request *r)
{
	sk_buf_adds(&r->headers, "allow: ");
	for (size_t i = 0; i < ROUTES_LEN; i++) {
		if (path_matches(routes[i].path, r->path))
			sk_buf_addf(&r->headers, "%s%s, ", routes[i].method, strcmp(routes[i].method, "GET") ? "" : ", HEAD");
	}
	sk_buf_adds(&r->headers, "OPTIONS\r\n");
}

static void answer_options(struct sk_request *r)
{
	if (sk_request_param(r, "HTTP_ACCESS_CONTROL_REQUEST_METHOD")) {
		sk_reply_header(r, "access-control-allow-methods", "GET,POST,DELETE");
		sk_reply_header(r, "access-control-allow-headers", "content-type,authorization,x-api-key,x-request-id,"
				"x-request-timeout,x-saker-deadline-ms");
	}
	add_allow(r);
	sk_reply(r, 200, NULL, "", 0);
}

/* Body checks of a SK_ROUTE_JSON row, then its handler. */
static void run_json(struct sk_request *r, const struct sk_route *route)
{
	struct json_object *body = NULL;
	struct sk_err err = { 0 };
	char text[640];

	if (r->body_too_large) {
		snprintf(text, sizeof text, "The request body is larger than the limit of %llu bytes",
			 (unsigned long long)r->front->options->payload_limit);
		sk_reply_unreadable(r, 413, "payload_too_large", text);
		return;
	}
	if (!sk_content_type_is_json(r->content_type)) {
		sk_reply_unreadable(r, 415, "unsupported_media_type",
				    "Expected request with `Content-Type: application/json`");
		return;
	}
	switch (sk_json_parse(r->body, r->body_len, &body, &err)) {
	case SK_OK:
		route->run(r, body);
		json_object_put(body);
		return;
	case SK_ENOMEM:
		sk_reply_status(r, SK_ENOMEM, &err);
		return;
	default:
		snprintf(text, sizeof text, "Failed to parse the request body as JSON: %s", err.text);
		sk_reply_unreadable(r, 400, "invalid_json", text);
		return;
	}
}

/* The key that was sent: `Authorization: Bearer KEY`, else `x-api-key: KEY`, as the web server may use Authorization itself. */
static const char *key_sent(const struct sk_request *r)
{
	const char *key = sk_request_param(r, "HTTP_AUTHORIZATION");

	if (key && !strncasecmp(key, "Bearer", 6) && (key[6] == ' ' || key[6] == '\t'))
		return key + 6 + strspn(key + 6, " \t");
	return sk_request_param(r, "HTTP_X_API_KEY");
}

bool sk_route_admits(struct sk_request *r)
{
	const char *key = key_sent(r);
	bool path_known;

	r->route = sk_route_find(r->method, r->path, sk_request_dialect(r)->knows, &path_known);
	r->key = SK_KEY_NONE;
	/* A browser's preflight request never has a key. */
	if (!r->front->keys || (r->route && (r->route->flags & SK_ROUTE_OPEN)) || !strcmp(r->method, "OPTIONS"))
		return true;
	if (key)
		r->key = sk_keys_find(r->front->keys, key, strcspn(key, " \t"));
	return r->key != SK_KEY_NONE;
}

static void answer_unauthorized(struct sk_request *r)
{
	bool sent = key_sent(r) != NULL;

	/* SageMaker's runtime API is no dialect's: its errors have words. */
	if (sk_request_dialect(r)->bare_unauthorized && !(r->route && r->route->flags & SK_ROUTE_RUNTIME)) {
		r->error_type = "unauthorized";
		sk_reply(r, 401, NULL, "", 0);
		return;
	}
	sk_reply_header(r, "www-authenticate", sent ? "Bearer realm=\"saker\", error=\"invalid_token\"" :
			"Bearer realm=\"saker\"");
	sk_reply_error(r, 401, "unauthorized", sent ? "This API key is not known" :
		       "An API key is needed: Authorization: Bearer KEY");
}

/* Nobody answers here: 404, or 405 with the methods that would do. */
static void answer_nowhere(struct sk_request *r, bool path_known)
{
	int status = path_known ? 405 : 404;
	const char *type = path_known ? "method_not_allowed" : "not_found";

	if (path_known)
		add_allow(r);
	if (!sk_request_dialect(r)->bare_errors) {
		sk_reply_error(r, status, type, path_known ? "This path does not answer to this method" :
			       "There is nothing at this path");
		return;
	}
	r->error_type = type;
	sk_reply(r, status, NULL, "", 0);
}

/*
 * Whether there is time left to generate anything. What waited for a worker until its deadline is not worth parsing, and where
 * even half of the expected wait is too long, the client learns at once that it should ask later or elsewhere.
 */
static bool in_time(struct sk_request *r)
{
	struct sk_err err = { 0 };

	if (sk_request_deadline(r, &err) < 0) {
		sk_reply_error(r, 400, "invalid_header", err.text);
		return false;
	}
	if (!r->deadline_us || (sk_now_us() < r->deadline_us && r->arrived_us + r->wait_us / 2 <= r->deadline_us))
		return true;
	r->generates = true;
	if (sk_now_us() < r->deadline_us)
		sk_reply_hopeless(r);
	else
		sk_reply_deadline(r);
	return false;
}

void sk_route(struct sk_request *r)
{
	const struct sk_route *route = r->route;
	bool path_known = route != NULL;

	if (!route)
		sk_route_find(r->method, r->path, sk_request_dialect(r)->knows, &path_known);
	r->head_only = !strcmp(r->method, "HEAD");
	add_cors(r);
	if (route && (route->flags & SK_ROUTE_GENERATE) && !in_time(r))
		return;
	if (route && (route->flags & SK_ROUTE_JSON)) {
		run_json(r, route);
	} else if (route) {
		route->run(r, NULL);
	} else if (path_known && !strcmp(r->method, "OPTIONS")) {
		answer_options(r);
	} else {
		answer_nowhere(r, path_known);
	}
}

bool sk_route_quick(struct sk_request *r)
{
	bool admitted = sk_route_admits(r);

	if (admitted && !(r->route && (r->route->flags & SK_ROUTE_QUICK)))
		return false;
	r->head_only = !strcmp(r->method, "HEAD");
	add_cors(r);
	if (admitted)
		r->route->run(r, NULL);
	else
		answer_unauthorized(r);
	return true;
}
