/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The front's loop: one thread, one epoll set, every socket. It accepts, reads records, hands requests to the workers,
 * owns every request that waits on the engine, writes, drops and drains. It never blocks.
 *
 * owner: the thread that calls sk_loop_run.
 */
#ifndef SK_FCGI_LOOP_H
#define SK_FCGI_LOOP_H

#include "fcgi/request.h"
#include "fcgi/serve.h"
#include "fcgi/worker.h"

struct sk_loop;

/* Blocks the signals of sk_serve_signals() (read by a signalfd); SIGPIPE is ignored already. front and workers are lent. */
sk_status sk_loop_open(struct sk_front *front, struct sk_workers *workers, struct sk_serve *serve, struct sk_loop **ret_l,
		       struct sk_err *err);

/* Until drained, told to stop, or failed; same results as sk_serve(). */
sk_status sk_loop_run(struct sk_loop *l, struct sk_err *err);

/* Whether it ended with requests unfinished, by a second signal or because the drain's time was over. */
bool sk_loop_at_once(const struct sk_loop *l);

/* Then: one line in the log for each of them. */
void sk_loop_tell(struct sk_loop *l);

void sk_loop_close(struct sk_loop **l);

#endif
