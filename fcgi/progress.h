/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How far the model is loaded: a bar where standard error is a terminal, a line of the log every ten seconds elsewhere.
 * Nothing is shown of a load that is over at once.
 *
 * owner: one thread. All zero is a beginning.
 */
#ifndef SK_FCGI_PROGRESS_H
#define SK_FCGI_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

#include "engine/saker.h"

struct sk_progress { int64_t next_us; bool begun, drawn; };

/* Call often while loading. */
void sk_progress_show(struct sk_progress *p, const struct sk_stats *stats, int64_t now_us);
/* Loading is over: what was drawn is cleared away. */
void sk_progress_end(struct sk_progress *p);

/* sk_engine_wait_ready(), with the bar. */
sk_status sk_progress_wait(struct sk_engine *e, struct sk_err *err);

#endif
