/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the loop notes about each request from its arrival to its end: its id, the list of all that run, the numbers of
 * metrics.def, and its line in the log.
 *
 * owner: the loop. The order is begin, worked, event ..., end, fini; fini may come early.
 */
#ifndef SK_FCGI_WATCH_H
#define SK_FCGI_WATCH_H

#include "fcgi/request.h"

/* How it ended, as far as the peer goes. */
enum sk_watch_how {
	SK_WATCH_WHOLE,         /* the last byte of the answer was written */
	SK_WATCH_LEFT,          /* the peer went before */
	SK_WATCH_SLOW,          /* the peer took nothing until write-timeout-ms */
	SK_WATCH_CUT,           /* the process ends before it */
	SK_WATCH_MEMORY,        /* there was no memory for its head, or for the rest of a stream */
};

/*
 * The request was read and sk_request_begin() has filled it: give it an id (the peer's X-Request-Id if that is sane and nobody
 * else's who runs now), tell it in the header x-request-id, and list it.
 */
void sk_watch_begin(struct sk_request *r);

/* The loop refuses it although it never came to a worker: the queue is full. Before sk_watch_worked(). */
void sk_watch_refused(struct sk_request *r);

/* It has an answer or a generation. */
void sk_watch_worked(struct sk_request *r);

/* An event was read, and not rendered yet. */
void sk_watch_event(struct sk_request *r, const struct sk_event *ev);

/* Its deadline has passed: r->gen ends now, with an error that is rendered. */
void sk_watch_late(struct sk_request *r);

/* The head of a 429 or 503 is about to be made: Retry-After, from the queue's model. */
void sk_watch_retry(struct sk_request *r);

/* So many bytes of head and body were written. */
void sk_watch_sent(struct sk_request *r, size_t bytes);

/* Count it and write its line. r->gen is closed, or about to be. */
void sk_watch_end(struct sk_request *r, enum sk_watch_how how);

/* Off the list. Also for a request that never began. */
void sk_watch_fini(struct sk_request *r);

/* An id that a peer may choose: 1 to SK_REQUEST_ID_MAX of letters, digits and . _ : = + @ - */
bool sk_watch_id_ok(const char *id);

#endif
