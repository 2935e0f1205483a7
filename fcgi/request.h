/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One HTTP request in the front, from its first record to END_REQUEST.
 *
 * owner: loop -> worker -> loop; never two at once. The worker parses, answers or submits (route.c finds the handler);
 * the loop reads the engine's events, lets the renderer turn them into bytes, and writes.
 *
 * A handler (any fcgi/api_*.c) ends in one of two ways:
 *   sk_reply(...) or sk_reply_error(...)   the answer is complete
 *   sk_request_generate(...)               a generation was submitted; r->render makes bytes of its events, on the loop
 */
#ifndef SK_FCGI_REQUEST_H
#define SK_FCGI_REQUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/base/arena.h"
#include "engine/base/buf.h"
#include "engine/saker.h"
#include "fcgi/options.h"

struct sk_request;

/*
 * What a process serves with; made by main, read by all. `permits` counts MAX_CONCURRENT_REQUESTS down.
 */
struct sk_front {
	const struct sk_options *options;
	struct sk_engine *engine;
	_Atomic int permits;
	_Atomic bool draining;
};

/* Turns events into bytes. On the loop: quick, no I/O, no waiting. State lives in r->arena. */
struct sk_render {
	/*
	 * Append what this event adds to r->out. For a reply that is not a stream nothing is written until the last
	 * event (FINISH or FAIL), which must call sk_reply() or sk_reply_error(). A stream appends whole SSE frames;
	 * after FINISH or FAIL the loop closes it.
	 */
	void (*event)(struct sk_request *r, const struct sk_event *ev);
};

struct sk_request {
	struct sk_front *front;
	struct sk_arena arena;                  /* everything of this request */
	int64_t arrived_us;

	/* the request, set by the loop before a worker sees it; strings are NUL-terminated, in the arena */
	const char *method;                     /* "POST" */
	const char *path;                       /* decoded path of REQUEST_URI, without query; never "" */
	const char *query;                      /* after '?', raw; "" when none */
	const char *content_type;               /* "" when none */
	const char *body;
	size_t body_len;
	bool body_too_large;                    /* over PAYLOAD_LIMIT: body is empty, answer 413 */
	const char **params;                    /* FastCGI parameters: name, value, name, value, ..., NULL */

	/* the answer, set by sk_reply*() and sk_request_generate() */
	int status;                             /* 0: not answered yet */
	bool stream;                            /* SSE: head at once, then r->out as it grows */
	bool head_only;                         /* HEAD */
	struct sk_buf headers;                  /* further header lines, "Name: value\r\n" each */
	const char *reply_type;                 /* Content-Type, or NULL */
	struct sk_buf out;                      /* body bytes not yet written */
	int permits;                            /* held until the end */
	struct sk_gen *gen;
	const struct sk_render *render;
	void *render_state;
	bool gen_ended;                         /* FINISH or FAIL was rendered */

	void *conn;                             /* the loop's */
};

/* Value of a FastCGI parameter ("HTTP_ACCEPT"); NULL when absent. */
const char *sk_request_param(const struct sk_request *r, const char *name);

/*
 * Fill method, path, query and content type from the parameters. Loop, before anything else.
 *   SK_EFORMAT  no method or no path;  SK_ENOMEM
 */
sk_status sk_request_begin(struct sk_request *r, struct sk_err *err);

/* Answer now. type may be NULL (no body then). */
void sk_reply(struct sk_request *r, int status, const char *type, const void *body, size_t len);
/* As above, with what is already in r->out. */
void sk_reply_out(struct sk_request *r, int status, const char *type);
void sk_reply_header(struct sk_request *r, const char *name, const char *value);

/* An error in JSON: {"error": text, "error_type": type}. In a stream that has begun: one SSE event instead. (errors.c) */
void sk_reply_error(struct sk_request *r, int status, const char *error_type, const char *text);
/* From an engine's status, by the one table in errors.c. */
void sk_reply_status(struct sk_request *r, sk_status st, const struct sk_err *err);

/*
 * Take n permits of MAX_CONCURRENT_REQUESTS, all or none (then 429 is answered and false returned). They stay with the
 * request until the loop ends it. A handler calls this between the checks of types and of ranges. (generate.c)
 */
bool sk_request_permits(struct sk_request *r, int n);

/*
 * Take permits (unless that was done), submit, and hand the request to the loop. stream: the SSE head goes out at once. On failure the error reply
 * is already set (429 with Retry-After, 422, 503 ...). (generate.c)
 */
void sk_request_generate(struct sk_request *r, const struct sk_gen_params *p, bool stream,
			 const struct sk_render *render, void *render_state);

/* Find the handler of r and run it (worker thread). Always leaves a status or a generation. (route.c) */
void sk_route(struct sk_request *r);

/* Paths that the loop answers itself, without the pool (/livez /readyz /ping /health): true when answered. (api_info.c) */
bool sk_route_quick(struct sk_request *r);

#endif
