/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which handler answers which method and path: the list is routes.def, sk_route() (request.h) walks it.
 */
#ifndef SK_FCGI_ROUTE_H
#define SK_FCGI_ROUTE_H

#include <stdbool.h>
#include <stddef.h>

struct json_object;
struct sk_request;

enum sk_route_flags {
	SK_ROUTE_JSON = 1,      /* a body in JSON: 415, 413 and 400 are answered before the handler runs */
	SK_ROUTE_QUICK = 2,     /* answered on the loop: no I/O, no lock, a few milliseconds at most */
	SK_ROUTE_GENERATE = 4,  /* may generate: counted as such, listed by /requests */
	SK_ROUTE_OPEN = 8,      /* needs no API key */
	SK_ROUTE_RUNTIME = 16,  /* one of SageMaker's runtime API: headers and errors are its own (runtime.h) */
	SK_ROUTE_PARTS = 32,    /* of those: the body travels in an AWS event stream */
	SK_ROUTE_OPENAI = 128,  /* errors have OpenAI's form, but in TGI's dialects */
	SK_ROUTE_SINCE_3 = 64,  /* there is no such path in the dialect tgi-0.9.3 */
};

/* Answers r. body: the parsed JSON of a SK_ROUTE_JSON route, lent until the handler returns; else NULL. */
typedef void (*sk_route_fn)(struct sk_request *r, struct json_object *body);

struct sk_route {
	const char *method;     /* a GET row serves HEAD too */
	const char *path;       /* a {name} stands for one segment that is not empty */
	sk_route_fn run;
	unsigned flags;
	/* for openapi.c */
	const char *asks;       /* schema of the body; NULL: none */
	const char *answers;    /* rows of answers.def */
	const char *doc;
};

#define SK_ROUTE(method, path, handler, flags, asks, answers, doc) void handler(struct sk_request *r, struct json_object *body);
#include "fcgi/routes.def"
#undef SK_ROUTE

/* All rows, for the manual and the tests. */
const struct sk_route *sk_route_list(size_t *ret_len);

/* Whether a dialect has this row: one bit of its `knows`. */
bool sk_route_known(const struct sk_route *route, unsigned dialect);

/* The row that serves method and path in a dialect; NULL when none does. *ret_path_known: some row has the path. */
const struct sk_route *sk_route_find(const char *method, const char *path, unsigned dialect, bool *ret_path_known);

/* "application/json", "application/problem+json; charset=utf-8": yes. */
bool sk_content_type_is_json(const char *type);

#endif
