/* SPDX-License-Identifier: Apache-2.0 */
/* The chain of inits of the daemon, and their undoing. */
#include "fcgi/serve.h"

#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "config.h"
#include "engine/base/clock.h"
#include "engine/base/log.h"
#include "fcgi/commands.h"
#include "fcgi/keys.h"
#include "fcgi/loop.h"
#include "fcgi/metrics.h"

#define WORKER_QUEUE_MAX 1024

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

static sk_status numbers_open(struct sk_front *f, struct sk_err *err)
{
	struct sk_info info;
	sk_status st;

	sk_engine_info(f->engine, &info);
	f->backlog.tokens.most = (int)info.sequences_max;
	f->backlog.workers.most = (int)f->options->workers;
	f->backlog.block_tokens = info.block_tokens;
	st = sk_metrics_open(info.input_tokens_max, info.total_tokens_max, &f->metrics, err);
	if (st == SK_OK && sk_metrics_info(f->metrics, SK_M_BUILD, (const char *const[]){
			"version", PACKAGE_VERSION, "model", info.model_id, "architecture", info.arch, "quantization", info.quant,
			"backend", info.backend, "isa", info.isa, "calculation", info.dtype, "kv_dtype", info.kv_dtype, NULL }) < 0)
		st = sk_fail(err, SK_ENOMEM, "no memory for metrics");
	if (st == SK_OK)
		sk_metrics_set(f->metrics, SK_M_START_TIME, 0, time(NULL));
	return st;
}

sk_status sk_serve(const struct sk_options *o, struct sk_serve *s, struct sk_err *err)
{
	struct sk_front front = { .options = o, .dialect = sk_dialect_find(o->compat) };
	struct sk_engine_opts eo;
	struct sk_workers *workers = NULL;
	struct sk_loop *loop = NULL;
	sigset_t ends;
	sk_status st;

	st = sk_keys_open(o->api_key, o->api_key_file, &front.keys, err);
	if (st < 0)
		goto out;
	sk_permits_init(&front.permits, o->max_concurrent_requests);
	atomic_init(&front.draining, false);
	/* Before the engine's threads exist: they inherit the mask, and the loop's signalfd gets what ends the daemon. */
	sk_serve_signals(&ends);
	pthread_sigmask(SIG_BLOCK, &ends, NULL);
	sk_options_engine(o, &eo);
	front.backlog.started_us = sk_now_us();
	st = sk_engine_open(&eo, &front.engine, err);
	if (st == SK_OK)
		st = numbers_open(&front, err);
	if (st == SK_OK)
		st = sk_workers_open((int)o->workers, WORKER_QUEUE_MAX, &workers, err);
	if (st == SK_OK)
		st = sk_loop_open(&front, workers, s, &loop, err);
	if (st == SK_OK)
		st = sk_loop_run(loop, err);
	/*
	 * A worker may have a huge prompt to tokenise, and nothing can interrupt it: whoever says twice that we shall end does
	 * not wait for it. The kernel takes threads, memory and connections. Nor is a device waited for that has failed.
	 */
	if (loop && (sk_loop_at_once(loop) || st == SK_EDEVICE)) {
		sk_loop_tell(loop);
		if (s->end)
			s->end(s->arg);
		if (st < 0)
			sk_log(SK_LOG_ERROR, "%s", err->text);
		_exit(sk_exit_code(st));
	}
	if (s->leave)
		s->leave(s->arg);
	/* Workers first: they may still submit; then the requests; then the engine they wait on. */
	sk_workers_close(&workers);
	sk_loop_close(&loop);
	sk_engine_close(&front.engine);
	sk_metrics_close(&front.metrics);
	sk_keys_close(&front.keys);
	sk_permits_fini(&front.permits);
out:
	if (s->leave)
		s->leave(s->arg);
	if (s->listen_fd >= 0)
		close(s->listen_fd);
	s->listen_fd = -1;
	return st;
}
