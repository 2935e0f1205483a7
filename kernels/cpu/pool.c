/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fork and join by mailboxes: every worker has one line the caller writes (`go`) and one it answers on (`done`).
 *
 * Per-worker lines instead of a common barrier, so that a thread that was stepped down is not touched at all: it sleeps
 * until it is asked again. Lost wake-ups: `go` is a counter, and it is the futex's own word; the kernel compares it again
 * before it puts the worker to sleep. `asleep` is written before the last look at `go` and read after `go` was written
 * (both sequentially consistent), so either the worker sees the new `go` or the caller sees the sleeper.
 */
#include "kernels/cpu/pool.h"

#include <errno.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "engine/base/clock.h"

#define LINE 128                        /* two cache lines: the prefetcher fetches pairs */
#define STEP_DOWN_MIN_US 50000
#define STEP_DOWN_MAX_US 400000
#define CREDIT_MAX_US 4000             /* about one slice of the scheduler */
#define SPINS_BEFORE_CLOCK 64           /* pauses between two looks at the clock */
#define YIELD_AFTER_US 50               /* then whoever spins offers its core: the other may need it */

struct job {
	sk_pool_fn fn;
	void *arg;
	int32_t n, grain;
	int parts;
};

struct worker {
	_Alignas(LINE) _Atomic uint32_t go;     /* counts jobs; the caller writes */
	_Atomic uint32_t asleep;                /* the worker is in, or about to enter, the futex */
	_Alignas(LINE) _Atomic uint32_t done;   /* the last job finished; the worker writes */
	struct sk_pool *pool;
	pthread_t thread;
	int index;
};

struct sk_pool {
	struct job job;                         /* written by the caller before `go`, read by workers after it */
	_Atomic bool stop;
	_Alignas(LINE) _Atomic int64_t next;    /* first item nobody took yet (grain > 0) */
	_Alignas(LINE) int threads;
	bool no_step_down;
	int active;                             /* threads used now */
	int64_t again_us;                       /* when to try all threads again; 0: not stepped down */
	int64_t probe_us;                       /* when the last try began */
	int64_t back_off_us;                    /* how long the next step down lasts */
	int64_t debt_us;                        /* waits beyond half of the caller's own work, summed up; below 0: credit */
	struct worker worker[];                 /* [0] is the caller's and unused */
};

static inline void pause_cpu(void)
{
#if defined(__x86_64__)
	__builtin_ia32_pause();
#elif defined(__aarch64__)
	__asm__ volatile("yield");
#endif
}

static void futex_wait(_Atomic uint32_t *word, uint32_t seen)
{
	syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, seen, NULL, NULL, 0);
}

static void futex_wake(_Atomic uint32_t *word)
{
	syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

static void part_run(struct sk_pool *p, int index)
{
	const struct job *j = &p->job;

	if (j->grain == 0) {
		int32_t from = (int32_t)((int64_t)j->n * index / j->parts);
		int32_t to = (int32_t)((int64_t)j->n * (index + 1) / j->parts);

		if (from < to)
			j->fn(j->arg, from, to, index);
		return;
	}
	for (;;) {
		int64_t from = atomic_fetch_add_explicit(&p->next, j->grain, memory_order_relaxed);

		if (from >= j->n)
			return;
		j->fn(j->arg, (int32_t)from, j->n - from < j->grain ? j->n : (int32_t)from + j->grain, index);
	}
}

/* Wait until go differs from seen: spin, then sleep. */
static uint32_t worker_wait(struct worker *w, uint32_t seen)
{
	int64_t start_us = 0, waited_us;

	for (uint32_t spins = 1;; spins++) {
		uint32_t go = atomic_load_explicit(&w->go, memory_order_acquire);

		if (go != seen)
			return go;
		pause_cpu();
		if (spins % SPINS_BEFORE_CLOCK != 0)
			continue;
		if (start_us == 0) {
			start_us = sk_now_us();
			continue;
		}
		waited_us = sk_now_us() - start_us;
		if (waited_us < SK_POOL_SPIN_US) {
			/* The scheduler may have put this thread on the caller's core. */
			if (waited_us > YIELD_AFTER_US)
				sched_yield();
			continue;
		}
		atomic_store(&w->asleep, 1);
		while (atomic_load(&w->go) == seen)
			futex_wait(&w->go, seen);
		atomic_store(&w->asleep, 0);
	}
}

static void *worker_main(void *arg)
{
	struct worker *w = arg;
	uint32_t seen = 0;

	for (;;) {
		seen = worker_wait(w, seen);
		if (atomic_load_explicit(&w->pool->stop, memory_order_relaxed))
			return NULL;
		part_run(w->pool, w->index);
		atomic_store_explicit(&w->done, seen, memory_order_release);
	}
}

/* True: it slept, and its answer will take the time of waking up. */
static bool worker_go(struct worker *w)
{
	atomic_fetch_add(&w->go, 1);
	if (!atomic_load(&w->asleep))
		return false;
	futex_wake(&w->go);
	return true;
}

/* Wait for one worker; the microseconds are counted only when the wait is not short. */
static int64_t worker_join(struct worker *w)
{
	uint32_t want = atomic_load_explicit(&w->go, memory_order_relaxed);
	int64_t start_us = 0;

	for (uint32_t spins = 1; atomic_load_explicit(&w->done, memory_order_acquire) != want; spins++) {
		pause_cpu();
		if (spins % SPINS_BEFORE_CLOCK != 0)
			continue;
		if (start_us == 0)
			start_us = sk_now_us();
		if (sk_now_us() - start_us > YIELD_AFTER_US)
			sched_yield();
	}
	return start_us == 0 ? 0 : sk_now_us() - start_us;
}

/* After a probe that lasted, the next busy neighbour is a new one. */
static void step_up(struct sk_pool *p)
{
	int64_t now_us = sk_now_us();

	if (now_us < p->again_us)
		return;
	p->active = p->threads;
	p->again_us = 0;
	p->probe_us = now_us;
	p->debt_us = 0;
}

static void step_down(struct sk_pool *p)
{
	int64_t now_us = sk_now_us();

	if (p->back_off_us == 0 || now_us - p->probe_us > 2 * STEP_DOWN_MAX_US)
		p->back_off_us = STEP_DOWN_MIN_US;
	else if (p->again_us == 0 && p->back_off_us < STEP_DOWN_MAX_US)
		p->back_off_us *= 2;
	/* One thread of two; with many threads a quarter of them: one neighbour takes one core only. */
	p->active -= p->active / 4 > 1 ? p->active / 4 : 1;
	p->again_us = now_us + p->back_off_us;
	p->debt_us = 0;
}

void sk_pool_run(struct sk_pool *p, int32_t n, int32_t grain, sk_pool_fn fn, void *arg)
{
	int64_t start_us, own_us, late_us = 0;
	bool woken = false;
	int parts;

	if (n <= 0)
		return;
	if (p->again_us != 0)
		step_up(p);
	parts = p->active;
	if (parts > n)
		parts = n;
	if (grain > 0 && (int64_t)grain * (parts - 1) >= n)
		parts = (n - 1) / grain + 1;
	if (parts == 1) {
		fn(arg, 0, n, 0);
		return;
	}
	p->job = (struct job){ .fn = fn, .arg = arg, .n = n, .grain = grain, .parts = parts };
	atomic_store_explicit(&p->next, 0, memory_order_relaxed);
	start_us = sk_now_us();
	for (int i = 1; i < parts; i++)
		woken |= worker_go(&p->worker[i]);
	part_run(p, 0);
	own_us = sk_now_us() - start_us;
	for (int i = 1; i < parts; i++)
		late_us += worker_join(&p->worker[i]);
	/*
	 * Waiting half as long as one worked oneself may be an uneven split; more is a thread without a core. Work done in
	 * time earns credit, so that a web server that takes a core for a moment between tokens costs no thread; a neighbour
	 * that stays uses the credit up within one of the scheduler's slices. Waking up takes time even in quiet.
	 */
	p->debt_us += (woken ? late_us / 2 : late_us) - own_us / 2;
	if (p->debt_us < -CREDIT_MAX_US)
		p->debt_us = -CREDIT_MAX_US;
	if (p->debt_us > SK_POOL_LATE_US && !p->no_step_down)
		step_down(p);
}

int sk_pool_threads(const struct sk_pool *p)
{
	return p->threads;
}

int sk_pool_active(const struct sk_pool *p)
{
	return p->active;
}

/* Workers take no signals: those are for the process's main thread. */
static int worker_start(struct worker *w)
{
	sigset_t all, old;
	int rc;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	rc = pthread_create(&w->thread, NULL, worker_main, w);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (rc == 0)
		pthread_setname_np(w->thread, "sk-cpu");
	return rc;
}

static void pool_stop(struct sk_pool *p, int started)
{
	atomic_store_explicit(&p->stop, true, memory_order_relaxed);
	for (int i = 1; i < started; i++) {
		worker_go(&p->worker[i]);
		pthread_join(p->worker[i].thread, NULL);
	}
	free(p);
}

sk_status sk_pool_open(int threads, bool no_step_down, struct sk_pool **ret_pool, struct sk_err *err)
{
	struct sk_pool *p;
	size_t bytes;

	if (threads < 1 || threads > SK_POOL_THREADS_MAX)
		return sk_fail(err, SK_EINVAL, "%d threads: from 1 to %d are possible", threads, SK_POOL_THREADS_MAX);
	bytes = sizeof(*p) + (size_t)threads * sizeof(p->worker[0]);
	bytes = (bytes + LINE - 1) / LINE * LINE;
	p = aligned_alloc(LINE, bytes);
	if (p == NULL)
		return sk_fail(err, SK_ENOMEM, "no memory for %d threads", threads);
	memset(p, 0, bytes);
	p->threads = p->active = threads;
	p->no_step_down = no_step_down;
	for (int i = 1; i < threads; i++) {
		struct worker *w = &p->worker[i];
		int rc;

		w->pool = p;
		w->index = i;
		rc = worker_start(w);
		if (rc != 0) {
			pool_stop(p, i);
			return sk_fail(err, SK_ENOMEM, "thread %d of %d did not start: %s", i + 1, threads, strerror(rc));
		}
	}
	*ret_pool = p;
	return SK_OK;
}

void sk_pool_close(struct sk_pool **pool)
{
	if (*pool == NULL)
		return;
	pool_stop(*pool, (*pool)->threads);
	*pool = NULL;
}

/* ---- an item at a time ---- */

struct each {
	void (*fn)(void *arg, int32_t i, int worker);
	void *arg;
};

static void each_items(void *arg, int32_t from, int32_t to, int worker)
{
	const struct each *e = arg;

	for (int32_t i = from; i < to; i++)
		e->fn(e->arg, i, worker);
}

void sk_pool_each(struct sk_pool *pool, int32_t n, void (*fn)(void *arg, int32_t i, int worker), void *arg)
{
	struct each e = { fn, arg };

	if (pool)
		sk_pool_run(pool, n, 1, each_items, &e);
	else
		each_items(&e, 0, n, 0);
}
