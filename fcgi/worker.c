/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The pool: one mutex, a queue in and a queue out, both rings of request pointers that can hold all there may be.
 */
#include "fcgi/worker.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

struct queue { struct sk_request **items; int cap, head, len; };

struct sk_workers {
	pthread_mutex_t lock;
	pthread_cond_t some;
	/* under lock */
	struct queue in, out;
	bool stop, held;
	/* fixed */
	int fd, threads_len;
	pthread_t threads[];
};

static void put(struct queue *q, struct sk_request *r)
{
	q->items[(q->head + q->len++) % q->cap] = r;
}

static struct sk_request *take(struct queue *q)
{
	struct sk_request *r;

	if (!q->len)
		return NULL;
	r = q->items[q->head];
	q->head = (q->head + 1) % q->cap;
	q->len--;
	return r;
}

static void *run(void *arg)
{
	struct sk_workers *w = arg;

	pthread_mutex_lock(&w->lock);
	for (;;) {
		struct sk_request *r;
		uint64_t one = 1;
		ssize_t told;

		while (!w->stop && (w->held || !w->in.len))
			pthread_cond_wait(&w->some, &w->lock);
		if (w->stop)
			break;
		r = take(&w->in);
		pthread_mutex_unlock(&w->lock);
		sk_route(r);
		pthread_mutex_lock(&w->lock);
		put(&w->out, r);
		/* It can only fail with EAGAIN: the counter is full, so the loop will wake anyway. */
		told = write(w->fd, &one, sizeof one);
		SK_BUG_IF(told < 0 && errno != EAGAIN);
	}
	pthread_mutex_unlock(&w->lock);
	return NULL;
}

sk_status sk_workers_open(int threads, int queue_max, struct sk_workers **ret_w, struct sk_err *err)
{
	struct sk_workers *w = calloc(1, sizeof *w + (size_t)threads * sizeof *w->threads);
	sigset_t all, old;

	if (!w)
		return sk_fail(err, SK_ENOMEM, "no memory for %d workers", threads);
	pthread_mutex_init(&w->lock, NULL);
	pthread_cond_init(&w->some, NULL);
	w->fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	w->in.cap = queue_max;
	w->out.cap = queue_max + threads;       /* what was queued and what is being worked on */
	w->in.items = calloc((size_t)w->in.cap, sizeof *w->in.items);
	w->out.items = calloc((size_t)w->out.cap, sizeof *w->out.items);
	if (w->fd < 0 || !w->in.items || !w->out.items) {
		sk_workers_close(&w);
		return sk_fail(err, SK_ENOMEM, "cannot set up %d workers", threads);
	}
	/* Signals are the loop's business. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	for (; w->threads_len < threads; w->threads_len++)
		if (pthread_create(&w->threads[w->threads_len], NULL, run, w))
			break;
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (w->threads_len < threads) {
		int got = w->threads_len;

		sk_workers_close(&w);
		return sk_fail(err, SK_ENOMEM, "only %d of %d worker threads could be started", got, threads);
	}
	*ret_w = w;
	return SK_OK;
}

void sk_workers_close(struct sk_workers **pw)
{
	struct sk_workers *w = *pw;

	if (!w)
		return;
	pthread_mutex_lock(&w->lock);
	w->stop = true;
	pthread_cond_broadcast(&w->some);
	pthread_mutex_unlock(&w->lock);
	for (int i = 0; i < w->threads_len; i++)
		pthread_join(w->threads[i], NULL);
	if (w->fd >= 0)
		close(w->fd);
	free(w->in.items);
	free(w->out.items);
	pthread_mutex_destroy(&w->lock);
	pthread_cond_destroy(&w->some);
	free(w);
	*pw = NULL;
}

void sk_workers_hold(struct sk_workers *w, bool held)
{
	pthread_mutex_lock(&w->lock);
	w->held = held;
	pthread_cond_broadcast(&w->some);
	pthread_mutex_unlock(&w->lock);
}

sk_status sk_workers_put(struct sk_workers *w, struct sk_request *r)
{
	sk_status st = SK_EOVERLOADED;

	pthread_mutex_lock(&w->lock);
	/* in + being worked on + out never exceed out's room: what is in `out` still counts. */
	if (w->in.len < w->in.cap && w->in.len + w->out.len < w->in.cap) {
		put(&w->in, r);
		pthread_cond_signal(&w->some);
		st = SK_OK;
	}
	pthread_mutex_unlock(&w->lock);
	return st;
}

struct sk_request *sk_workers_take(struct sk_workers *w)
{
	struct sk_request *r;

	pthread_mutex_lock(&w->lock);
	r = take(&w->out);
	pthread_mutex_unlock(&w->lock);
	return r;
}

int sk_workers_fd(const struct sk_workers *w)
{
	return w->fd;
}
