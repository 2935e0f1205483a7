/* SPDX-License-Identifier: Apache-2.0 */
/* The chain of inits of the daemon, and their undoing. */
#include "fcgi/serve.h"

#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "engine/base/log.h"
#include "fcgi/loop.h"

#define WORKER_QUEUE_MAX 1024
#define FILES_OWN 64                    /* descriptors that are no connections */

/* A shell's soft limit of 1,024 files is less than the connections we promise; the hard one is ours to use. */
static void files_raise(int64_t connections)
{
	rlim_t want = (rlim_t)connections + FILES_OWN;
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur >= want)
		return;
	limit.rlim_cur = limit.rlim_max < want ? limit.rlim_max : want;
	if (setrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur < want)
		sk_log(SK_LOG_WARN, "the limit of open files is %llu, max-connections %lld wants %llu",
		       (unsigned long long)limit.rlim_cur, (long long)connections, (unsigned long long)want);
}

void sk_serve_signals(sigset_t *ret_ends)
{
	struct sigaction hup;

	sigemptyset(ret_ends);
	sigaddset(ret_ends, SIGTERM);
	sigaddset(ret_ends, SIGINT);
	/* Linux queues a blocked signal even where it is ignored, so nohup's SIGHUP must stay out of the signalfd. */
	if (sigaction(SIGHUP, NULL, &hup) == 0 && hup.sa_handler != SIG_IGN)
		sigaddset(ret_ends, SIGHUP);
}

sk_status sk_serve(const struct sk_options *o, struct sk_serve *s, struct sk_err *err)
{
	struct sk_front front = { .options = o };
	struct sk_engine_opts eo;
	struct sk_workers *workers = NULL;
	struct sk_loop *loop = NULL;
	sigset_t ends;
	sk_status st;

	files_raise((int64_t)o->max_connections);
	atomic_init(&front.permits, (int)o->max_concurrent_requests);
	atomic_init(&front.draining, false);
	/* Before the engine's threads exist: they inherit the mask, and the loop's signalfd gets what ends the daemon. */
	sk_serve_signals(&ends);
	pthread_sigmask(SIG_BLOCK, &ends, NULL);
	sk_options_engine(o, &eo);
	st = sk_engine_open(&eo, &front.engine, err);
	if (st == SK_OK)
		st = sk_workers_open((int)o->workers, WORKER_QUEUE_MAX, &workers, err);
	if (st == SK_OK)
		st = sk_loop_open(&front, workers, s, &loop, err);
	if (st == SK_OK)
		st = sk_loop_run(loop, err);
	/*
	 * A worker may have a huge prompt to tokenise, and nothing can interrupt it: whoever says twice that we shall end does
	 * not wait for it. The kernel takes threads, memory and connections.
	 */
	if (loop && sk_loop_at_once(loop)) {
		if (s->end)
			s->end(s->arg);
		if (st < 0)
			sk_log(SK_LOG_ERROR, "%s", err->text);
		_exit(st < 0 ? 1 : 0);
	}
	/* Workers first: they may still submit; then the requests; then the engine they wait on. */
	sk_workers_close(&workers);
	sk_loop_close(&loop);
	sk_engine_close(&front.engine);
	if (s->listen_fd >= 0)
		close(s->listen_fd);
	s->listen_fd = -1;
	return st;
}
