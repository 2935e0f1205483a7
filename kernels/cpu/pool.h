/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The threads of a device, and the one way to use them: split a range, run, wait.
 *
 * owner: the thread that opened the device; only it may call sk_pool_run(), and not from inside a job.
 * A wait is a spin of about 0.1 us; a worker without work for SK_POOL_SPIN_US sleeps on a futex.
 *
 * Stepping down: when the caller waited long for a worker, another process has its core. The pool then runs on
 * fewer threads for 50 ms (100, 200, 400 when it happens again) and tries all of them after that. Which thread
 * computes what therefore changes from run to run: the result of a job must not depend on it.
 */
#ifndef SK_CPU_POOL_H
#define SK_CPU_POOL_H

#include <stdbool.h>
#include <stdint.h>

#include "engine/base/err.h"

#define SK_POOL_THREADS_MAX 256
#define SK_POOL_SPIN_US 200             /* how long an idle worker spins before it sleeps */
#define SK_POOL_LATE_US 300             /* waits that tell of a busy neighbour, in sum */

struct sk_pool;

/* Items [from, to) by thread `worker`, 0 <= worker < sk_pool_threads(). Worker 0 is the caller. */
typedef void (*sk_pool_fn)(void *arg, int32_t from, int32_t to, int worker);

/* Starts threads - 1 workers. Errors: SK_EINVAL (1 to SK_POOL_THREADS_MAX), SK_ENOMEM (no thread to be had). */
sk_status sk_pool_open(int threads, bool no_step_down, struct sk_pool **ret_pool, struct sk_err *err);
void sk_pool_close(struct sk_pool **pool);

int sk_pool_threads(const struct sk_pool *pool);                /* as opened: the bound of `worker` */
int sk_pool_active(const struct sk_pool *pool);                 /* used by the last run */

/*
 * Cover [0, n) with calls of fn, on all active threads, and return when all are done.
 * grain 0: one range a thread, nearly equal, the same thread the same part each time (for work bound by memory).
 * grain > 0: ranges of `grain` items taken from a common counter (for wide work).
 */
void sk_pool_run(struct sk_pool *pool, int32_t n, int32_t grain, sk_pool_fn fn, void *arg);

/* The same an item at a time, as a backend's host_run wants it. pool NULL: by the caller alone. */
void sk_pool_each(struct sk_pool *pool, int32_t n, void (*fn)(void *arg, int32_t i, int worker), void *arg);

#endif
