/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The outer form of an answer on the paths of Amazon SageMaker's runtime API (SK_ROUTE_RUNTIME): what SageMaker makes of the answer
 * of a container that speaks TGI. Headers and errors are the runtime's; on a SK_ROUTE_PARTS route the body travels in messages
 * of an AWS event stream, each server-sent event one PayloadPart.
 *
 * Handlers and renderers know nothing of it: the loop calls these before it writes.
 */
#ifndef SK_FCGI_RUNTIME_H
#define SK_FCGI_RUNTIME_H

#include <stdbool.h>
#include <stddef.h>

struct sk_buf;
struct sk_request;

/* Whether r is for such a path, and for one that answers in parts. */
bool sk_runtime_serves(const struct sk_request *r);
bool sk_runtime_parts(const struct sk_request *r);

/*
 * Once, before the head is written: headers are added; an error becomes the runtime's, with another status; the body of
 * an answer that is no stream is put into parts.
 */
void sk_runtime_head(struct sk_request *r);

/*
 * Put the server-sent events that b has from `from` on, whole ones, into messages. A comment becomes a part without bytes: it keeps the
 * connection alive, and no reader that puts parts together and looks for JSON is troubled. An error, which is the last event, becomes
 * an exception, unless errors are events of their own in this dialect. b->failed when there is no room.
 */
void sk_runtime_frames(const struct sk_request *r, struct sk_buf *b, size_t from);

/*
 * What is wrong with the headers of a request, in words that live as long as r; else NULL, and the answer's headers that follow from
 * them are set: custom attributes come back, a new session gets its id. (Worker.)
 */
const char *sk_runtime_headers(struct sk_request *r);

#endif
