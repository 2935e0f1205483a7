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
#include <stddef.h>
#include <stdint.h>

enum sk_log_level { SK_LOG_ERROR, SK_LOG_WARN, SK_LOG_INFO, SK_LOG_DEBUG };

/* Levels above `max` are dropped; json: one JSON object a line instead of text. Call before threads start. */
void sk_log_init(enum sk_log_level max, bool json);

/* Another level, at any time. */
void sk_log_level_set(enum sk_log_level max);

/* "error", "warn", "info", "debug" (any case) -> level; -1 for anything else. */
int sk_log_level_find(const char *name);

/* One fact of a line: name=value, or a member of the JSON object. */
struct sk_log_field {
	const char *name;               /* a constant of [a-z_] */
	enum { SK_LOG_STR, SK_LOG_INT, SK_LOG_U64, SK_LOG_MS } type;
	const char *s;                  /* STR: somebody else's bytes; NULL leaves the field out */
	size_t max;                     /* STR: bytes of s that are written at most */
	int64_t i;                      /* INT; U64: the same bits; MS: microseconds, written as milliseconds with three digits */
};

/*
 * `message` (a constant) and what belongs to it. Whatever the bytes of a string are, the line stays one line and, with json,
 * one object; in text a value that is not plain ([A-Za-z0-9._:/@%+-]) stands in quotes. What does not fit is cut or left out.
 */
void sk_log_fields(enum sk_log_level level, const char *message, const struct sk_log_field *fields, size_t len);

bool sk_log_wanted(enum sk_log_level level);

void sk_log(enum sk_log_level level, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#endif
