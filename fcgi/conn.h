/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One FastCGI connection and the request on it; internal to the loop (loop.c, conn.c).
 *
 *	READING -> (quick answer) ---------------------------> ANSWERING -> READING (kept) or closed
 *	        -> WORKING (a worker owns the request) --------^
 *
 * A peer that leaves while a worker has the request is only marked; the worker's return buries it.
 */
#ifndef SK_FCGI_CONN_H
#define SK_FCGI_CONN_H

#include <stdbool.h>
#include <stdint.h>

#include "fcgi/loop.h"
#include "fcgi/progress.h"
#include "fcgi/record.h"
#include "fcgi/reply.h"
#include "fcgi/timers.h"

enum sk_source_kind {
	SK_SOURCE_LISTEN, SK_SOURCE_DOORBELL, SK_SOURCE_WORKERS, SK_SOURCE_SIGNAL, SK_SOURCE_CHILD, SK_SOURCE_CONN
};
struct sk_source { enum sk_source_kind kind; };

enum sk_conn_state { SK_CONN_READING, SK_CONN_WORKING, SK_CONN_ANSWERING };

struct sk_conn {
	struct sk_source source;
	struct sk_timer timer;          /* read deadline, write deadline, or next comment, by state */
	struct sk_timer deadline;       /* the client's, while there is a generation */
	struct sk_loop *loop;
	int fd;
	enum sk_conn_state state;
	bool want_out;                  /* waiting for POLLOUT */
	bool gone;                      /* the peer left while a worker has the request */
	bool buried;                    /* closed; freed at the end of the round */
	bool counted;                   /* in loop->active */
	bool judged;                    /* the request being read was looked at before its body came */
	bool fresh;                     /* accepted, and has not said a byte; in loop->fresh */
	int64_t idle_us;                /* since when it has no request: accepted, or the last one ended */
	struct sk_record rec;
	struct sk_request req;
	struct sk_reply_out writer;
	struct sk_buf head;             /* of the reply, before req.out */
	int64_t comment_us;             /* when the next comment is due */
	struct sk_conn *next, *prev;    /* loop->conns */
	struct sk_conn *grave;
};

/* Settings that were read again, and those that they replaced: they go when no worker has a request. */
struct sk_settings {
	struct sk_options o;
	struct sk_arena strings;
	struct sk_settings *older;
};

struct sk_loop {
	struct sk_front *front;
	struct sk_workers *workers;
	struct sk_serve *serve;
	int epoll, signal_fd, child_fd;
	struct sk_source listen, doorbell, worked, signals, child;
	struct sk_timers timers;
	struct sk_timer tick, drain_timer, accept_timer, fresh_timer, quit_timer;
	struct sk_settings *settings;   /* NULL: those of the start */
	struct sk_conn *conns, *graves;
	int conns_len;
	int files_max;                  /* connections that there are descriptors for */
	int active;                     /* connections with a request begun and not ended */
	int fresh;                      /* connections that have not said a byte: their request may be on its way */
	int working;                    /* requests that the workers have */
	uint64_t bodies_left;           /* bytes that the bodies being read may still take */
	bool fresh_over;                /* draining, and they were waited for */
	bool paused;                    /* accept() found no descriptor: wait for accept_timer */
	bool child_asked;               /* draining, and the child was told to end */
	bool left;                      /* drained, and the own socket has lost its name: who waits in it is still answered */
	bool accepting, ready, draining, cancelled, stop, at_once;
	int64_t told_us;
	struct sk_progress progress;
	sk_status result;
	unsigned char read_bytes[65536];
};

struct sk_conn *sk_conn_of_source(struct sk_source *s);

sk_status sk_conn_open(struct sk_loop *l, int fd);              /* takes fd on success */
void sk_conn_event(struct sk_conn *c, uint32_t events);         /* epoll's */
void sk_conn_timeout(struct sk_timer *t, int64_t now_us);       /* one of its timers is due, and cleared */
void sk_conn_worked(struct sk_conn *c);                         /* its request came back from the workers */
void sk_conn_advance(struct sk_conn *c);                        /* its generation has news, or its socket room */
void sk_conns_cancel(struct sk_loop *l);                        /* all running generations */
void sk_conns_tell(struct sk_loop *l);                          /* the log, of requests that will not be finished */
/* Close the one that has had no request for longest, if since before `before_us`. */
bool sk_conns_evict(struct sk_loop *l, int64_t before_us);
void sk_conns_close(struct sk_loop *l);
void sk_conns_bury(struct sk_loop *l);                          /* free what was closed in this round */

#endif
