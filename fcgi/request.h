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
#include "fcgi/backlog.h"
#include "fcgi/dialect.h"
#include "fcgi/options.h"
#include "fcgi/permits.h"

struct sk_keys;
struct sk_metrics;
struct sk_request;
struct sk_route;

/*
 * What a process serves with; made by main, read by all. `permits` are those of MAX_CONCURRENT_REQUESTS. `options` may be replaced by the loop at SIGHUP; what it pointed to lives on while a worker may look at it: take
 * it anew in each function, keep no string of it.
 */
struct sk_front {
	const struct sk_options *_Atomic options;
	const struct sk_dialect *dialect;       /* NULL: saker's */
	struct sk_engine *engine;
	struct sk_permits permits;
	_Atomic size_t large_bytes;             /* of sk_request_large()'s answers that are not written yet */
	_Atomic bool draining;
	/* owner: loop */
	struct sk_keys *keys;                   /* NULL: nobody is asked for a key */
	struct sk_metrics *metrics;             /* may be NULL */
	struct sk_backlog backlog;
	struct sk_request *requests;            /* all that have begun and not ended, the youngest first */
};

#define SK_REQUEST_ID_MAX 64

enum sk_request_state {
	SK_REQUEST_ARRIVED,                     /* read; answered at once or given to a worker */
	SK_REQUEST_QUEUED,                      /* submitted; its first step has not ended */
	SK_REQUEST_RUNNING,                     /* tokens come */
	SK_REQUEST_ENDING,                      /* the last bytes go out */
};

/* What became of a generation, for the log and the numbers; filled by the loop as events are read. */
struct sk_outcome {
	bool finished;                          /* all FINISH were read: the members below `generated_tokens` hold */
	uint32_t prompt_tokens, generated_tokens;       /* of all answers together; the rest is of the last to end */
	int64_t first_us;                       /* when the first token was read; 0: none */
	int64_t ended_us;
	enum sk_finish_reason reason;
	uint64_t seed;
	bool has_seed;
	int64_t queue_us, inference_us;
};

/* Turns events into bytes. On the loop: quick, no I/O, no waiting. State lives in r->arena. */
struct sk_render {
	/*
	 * Append what this event adds to r->out. For a reply that is not a stream nothing is written until the last
	 * event (FAIL, or FINISH with nothing left), which must call sk_reply() or sk_reply_error(). A stream appends whole SSE
	 * frames; after the last event the loop closes it.
	 */
	void (*event)(struct sk_request *r, const struct sk_event *ev);
};

struct sk_request {
	struct sk_front *front;
	struct sk_arena arena;                  /* everything of this request */
	int64_t arrived_us;

	/* the request, set by the loop before a worker sees it; strings are NUL-terminated, in the arena */
	const char *method;                     /* "POST" */
	const char *path;                       /* of REQUEST_URI: no prefix, no query, decoded but for %2F; never "" */
	const char *query;                      /* after '?', raw; "" when none */
	const char *content_type;               /* "" when none */
	const char *body;
	size_t body_len;
	bool body_too_large;                    /* over PAYLOAD_LIMIT: body is empty, answer 413 */
	uint64_t share;                         /* whose share of places and tokens it takes, by fair-share; 0: nobody's */
	uint32_t weight;                        /* of that client */
	int64_t timeout_ms, deadline_us;        /* set by sk_request_deadline(); 0: none */
	const char **params;                    /* FastCGI parameters: name, value, name, value, ..., NULL */

	/* the answer, set by sk_reply*() and sk_request_generate() */
	int status;                             /* 0: not answered yet */
	bool stream;                            /* SSE: head at once, then r->out as it grows */
	bool late_errors;                       /* a stream to be: an error is 200 and an event (sk_dialect.late_errors) */
	bool head_only;                         /* HEAD */
	struct sk_buf headers;                  /* further header lines, "Name: value\r\n" each */
	const char *reply_type;                 /* Content-Type, or NULL */
	struct sk_buf out;                      /* body bytes not yet written */
	size_t framed;                          /* of them, those that are in SageMaker's messages already; the loop's */
	int permits;                            /* held until the end */
	size_t large_bytes;                     /* likewise: its part of front->large_bytes */
	struct sk_gen *gen;                     /* the one whose events are read */
	struct sk_gen **more;                   /* those behind it, of a request with several prompts: they run meanwhile */
	uint32_t more_len;
	bool gen_over;                          /* gen's events are all read, and one of `more` is next */
	uint32_t seq_base;                      /* sequences of the generations before it: events count on */
	const struct sk_render *render;
	void *render_state;
	bool gen_ended;                         /* the last FINISH or FAIL was rendered, or the deadline's error */

	/* what handlers tell of it */
	bool openai;                            /* errors have OpenAI's form, whatever the route */
	bool generates;                         /* a generation was asked for, in a body that could be read */
	int64_t submitted_us;
	uint32_t sequences, max_new_tokens;     /* how many answers, of all prompts; of each at most */
	uint32_t prompt_tokens;                 /* of all prompts */
	const char *prompt;                     /* its beginning, where log-prompts asks for it */
	const char *error_type;                 /* of the last sk_reply_error(); a constant */
	const char *refusal;                    /* its reason in the metrics, where error_type says less; a constant */

	/* owner: loop, also while a worker has the request */
	void *conn;
	char id[SK_REQUEST_ID_MAX + 1];         /* nobody else's who runs now; "" before sk_watch_begin() */
	const char *client;                     /* its address; "" when the web server does not tell */
	const struct sk_route *route;           /* NULL: none fits */
	int key;                                /* slot of its API key, or SK_KEY_NONE */
	enum sk_request_state state;
	bool cancelled;                         /* by DELETE /requests/ID; read by a renderer too */
	bool late;                              /* the deadline ended its generation */
	bool unworked;                          /* refused before it came to a worker */
	bool under_way;                         /* its generation counts in front->backlog, with `owed` tokens to come */
	int64_t owed;
	int64_t wait_us;                        /* when it came: how long until it would begin; a guess */
	bool streaming;                         /* counted among the open streams */
	size_t bytes_in;                        /* of the body */
	uint64_t bytes_out;                     /* head and body, as far as they were written */
	struct sk_outcome outcome;
	struct sk_request *older, *younger;     /* front->requests */
};

/* Value of a FastCGI parameter ("HTTP_ACCEPT"); NULL when absent. */
const char *sk_request_param(const struct sk_request *r, const char *name);

/*
 * REQUEST_URI as it came, path and query, still encoded: the same behind nginx, Apache and lighttpd, where the other path variables
 * differ. Of a URI with a host (`GET http://host/path`, which Apache hands over whole) what follows the host. NULL: there is none.
 */
const char *sk_request_uri(const struct sk_request *r);

/*
 * Fill method, path, query and content type from the parameters. Loop, before anything else.
 *   SK_EFORMAT  no method or no path;  SK_ENOMEM
 */
sk_status sk_request_begin(struct sk_request *r, struct sk_err *err);

/* Never NULL. */
static inline const struct sk_dialect *sk_request_dialect(const struct sk_request *r)
{
	return r->front->dialect ? r->front->dialect : &sk_dialect_saker;
}

/*
 * How long the client waits, from headers (x-request-timeout in seconds, x-saker-deadline-ms; the shorter of both), else from the
 * setting request-timeout-ms, never more than max-request-timeout-ms. It counts from arrived_us. (deadline.c)
 *   SK_EINVAL  a header that is no time: its name, value and limits are in err
 */
sk_status sk_request_deadline(struct sk_request *r, struct sk_err *err);

/* Answer now. type may be NULL (no body then). */
void sk_reply(struct sk_request *r, int status, const char *type, const void *body, size_t len);
/* As above, with what is already in r->out. */
void sk_reply_out(struct sk_request *r, int status, const char *type);
/* What keeps a stream from being buffered on its way. (generate.c) */
void sk_reply_stream_headers(struct sk_request *r);
void sk_reply_header(struct sk_request *r, const char *name, const char *value);

/* An error in JSON: {"error": text, "error_type": type}. In a stream that has begun: one SSE event instead. (errors.c) */
void sk_reply_error(struct sk_request *r, int status, const char *error_type, const char *text);
/* A body that cannot be read: as above, or in text/plain where the dialect has it so. */
void sk_reply_unreadable(struct sk_request *r, int status, const char *error_type, const char *text);
/* 503: wait_us is longer than timeout_ms, so it is not begun. (errors.c) */
void sk_reply_hopeless(struct sk_request *r);
/* 504: timeout_ms are over. (errors.c) */
void sk_reply_deadline(struct sk_request *r);
/* From an engine's status, by the one table in errors.c. */
void sk_reply_status(struct sk_request *r, sk_status st, const struct sk_err *err);
/* The rows of that table, for the OpenAPI document; false behind the last one. */
bool sk_error_row(size_t i, int *ret_http, const char **ret_type);
/* From sk_schema_read()'s: a body of JSON with a member of a wrong type. */
void sk_reply_types(struct sk_request *r, sk_status st, const struct sk_err *err);

/*
 * Take n permits of MAX_CONCURRENT_REQUESTS, all or none (then 429 is answered and false returned). They stay with the
 * request until the loop ends it. A handler calls this between the checks of types and of ranges. (generate.c)
 */
bool sk_request_permits(struct sk_request *r, int n);

/*
 * Before an answer that is long without a generation: whether r->out may be kept until it is written. All such answers together are
 * SK_LARGE_BYTES_MAX at most, so that clients who do not read cannot fill the memory; else 429 is answered. (generate.c)
 */
#define SK_LARGE_BYTES_MAX ((size_t)256 << 20)
bool sk_request_large(struct sk_request *r);

/*
 * Take permits (unless that was done), submit, and hand the request to the loop. stream: the SSE head goes out at once. On failure the error reply
 * is already set (429 with Retry-After, 422, 503 ...). (generate.c)
 */
void sk_request_generate(struct sk_request *r, const struct sk_gen_params *p, bool stream,
			 const struct sk_render *render, void *render_state);

/*
 * The same for several prompts with one n: each is a generation of its own, and all run at once. Their events come one generation
 * after the other, as if there were one of len * n sequences; but each has a PREFILL, whose `seq` is its first sequence.
 */
void sk_request_generate_all(struct sk_request *r, const struct sk_gen_params *p, size_t len, bool stream,
			     const struct sk_render *render, void *render_state);

/* All of them; loop. (generate.c) */
void sk_request_cancel(struct sk_request *r);
void sk_request_gens_close(struct sk_request *r);
/* The next event of the request; those before it are closed. As sk_gen_next(). */
sk_status sk_request_next(struct sk_request *r, struct sk_event *ret_ev);

/*
 * The client's address: REMOTE_ADDR, or with the setting forwarded-hops an entry of X-Forwarded-For. "" when there is none.
 * In the arena or a parameter of r. (request.c)
 */
const char *sk_request_client(struct sk_request *r);

/* Find the handler of r and run it (worker thread). Always leaves a status or a generation. (route.c) */
void sk_route(struct sk_request *r);

/* On the loop: set route and key. Whether the request may go on: false without an API key where one is needed. (route.c) */
bool sk_route_admits(struct sk_request *r);

/*
 * On the loop: find the route, ask for an API key where one is needed (401), and answer what needs no pool (/livez /readyz
 * /ping /health /metrics /requests). True when answered. (route.c)
 */
bool sk_route_quick(struct sk_request *r);

#endif
