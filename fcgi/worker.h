/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A small pool of threads for what takes time: JSON, tokenising, submit. It never touches a socket.
 *
 * A request belongs to the pool from sk_workers_put() until sk_workers_take() returns it.
 */
#ifndef SK_FCGI_WORKER_H
#define SK_FCGI_WORKER_H

#include "fcgi/request.h"

struct sk_workers;

/* threads > 0; queue_max requests wait at most. */
sk_status sk_workers_open(int threads, int queue_max, struct sk_workers **ret_w, struct sk_err *err);
/* Joins the threads; requests still queued are not run. */
void sk_workers_close(struct sk_workers **w);

/* Loop only. Held: what is put waits until it is no longer; sk_workers_close() ends that too. */
void sk_workers_hold(struct sk_workers *w, bool held);

/* Loop only. SK_EOVERLOADED: the queue is full; the request stays the caller's. */
sk_status sk_workers_put(struct sk_workers *w, struct sk_request *r);
/* Loop only: a request whose handler has returned; NULL: none. */
struct sk_request *sk_workers_take(struct sk_workers *w);
/* eventfd: readable when sk_workers_take() has something. */
int sk_workers_fd(const struct sk_workers *w);

#endif
