/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One line a message, to stderr (the journal, the container's log). Any thread.
 *
 * A line is written with one write(2), so lines of several threads never mix. Logging never waits: what finds no room in
 * stderr is dropped and counted, and the next line that finds room is preceded by "N lines of the log were lost".
 */
#ifndef SK_BASE_LOG_H
#define SK_BASE_LOG_H

#include <stdbool.h>

enum sk_log_level { SK_LOG_ERROR, SK_LOG_WARN, SK_LOG_INFO, SK_LOG_DEBUG };

/* Levels above `max` are dropped; json: one JSON object a line instead of text. Call before threads start. */
void sk_log_init(enum sk_log_level max, bool json);

/* "error", "warn", "info", "debug" (any case) -> level; -1 for anything else. */
int sk_log_level_find(const char *name);

void sk_log(enum sk_log_level level, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#endif
