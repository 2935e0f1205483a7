/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The daemon: engine, workers and loop on one listening socket, until told to stop.
 *
 *	starting -> LOADING (the socket already answers, 503 with progress) -> READY -> draining -> end
 *
 * SIGTERM, SIGINT   drain: running answers are finished (drain-timeout-ms at most). An inherited socket is not accepted
 *                   from any more and its backlog waits for the successor; an own one answers 503. With the last answer
 *                   it loses its name, and whoever had connected by then gets 503 too before it is closed.
 * SIGHUP            settings are read again where there is a reload(), as daemons do; else (the terminal was closed) drain.
 *                   Only where it was not ignored when the process started: nohup still works.
 * a second one      stop at once: s->end(), then _exit() without waiting for any thread. The same when the drain's time
 *                   and its grace are over and a request is still with a worker.
 */
#ifndef SK_FCGI_SERVE_H
#define SK_FCGI_SERVE_H

#include <signal.h>
#include <stdbool.h>
#include <sys/types.h>

#include "fcgi/options.h"

struct sk_serve {
	int listen_fd;                  /* listening stream socket; closed at the end */
	bool own_socket;                /* made by us: during the drain it answers 503 rather than nothing */
	pid_t child;                    /* a process whose end ends the daemon (the web server of `saker up`); 0: none */
	const char *child_name;         /* for the message */
	/*
	 * Read the settings again (sk_options_reread). NULL: SIGHUP drains. Called on the loop; it reads a small file.
	 */
	sk_status (*reload)(void *arg, const struct sk_options *old, struct sk_arena *strings, struct sk_options *ret_o,
			    struct sk_err *err);
	/*
	 * The child is a web server that shall end before us: its clients then hear our 503 or nobody, never its 502. Called once,
	 * on the loop, when no generation runs any more: it tells the child to end after its last answers, and does not wait. The
	 * loop goes on until the child has ended, and after its own last answer quit_ms at most. NULL: the child does not matter.
	 */
	void (*quit)(void *arg);
	int quit_ms;
	void (*ready)(void *arg);       /* called once, on the loop, when the model is ready; may be NULL */
	/* Called before an own socket or any connection is closed, once or more: remove its file, end the child. May be NULL. */
	void (*leave)(void *arg);
	/*
	 * Called when the daemon ends at once, just before the process does: remove what outlives it (a socket's file, a
	 * child). Threads still run and use what was lent; only the thread that called sk_serve() is in it.
	 */
	void (*end)(void *arg);
	void *arg;
};

/* The signals that end the daemon: blocked in every thread, read by the loop's signalfd. */
void sk_serve_signals(sigset_t *ret_ends);

/*
 * Blocks until the end. Call with a single thread; signals are blocked in it from then on.
 *   SK_OK      stopped by a signal, all answers given or the drain's time over
 *   (SK_EDEVICE does not return: the process ends with its exit code, as after a second signal)
 *   SK_EENGINE the child died (its exit is in err; it was waited for and s->child is 0), or the engine failed
 *   others     why the engine or the sockets could not be set up
 */
sk_status sk_serve(const struct sk_options *o, struct sk_serve *s, struct sk_err *err);

#endif
