/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One message, one line, one write(2).
 *
 * The line is made on the stack: logging works when memory is out. Control bytes are escaped, so that a message that
 * quotes a client cannot begin a line of its own.
 *
 * Logging never waits: who holds the other end of stderr (a terminal after ^S, a pager, a stuck collector) must not stop
 * the daemon. stderr is shared with other processes, so it is not ours to make non-blocking; a line is written only when
 * poll() finds room for PIPE_BUF bytes, which is what POLLOUT of a pipe means on Linux, and no line is longer. The lock
 * keeps two threads from taking the same room; nothing waits under it.
 */
#include "engine/base/log.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <time.h>
#include <unistd.h>

#include "engine/base/buf.h"
#include "engine/base/utf8.h"

#define MESSAGE_MAX 2048
#define LINE_BYTES_MAX PIPE_BUF         /* a message of MESSAGE_MAX plain bytes fits, one of control bytes is cut */
#define HEAD_BYTES_MAX 128              /* time and level */
#define ESCAPE_BYTES_MAX 6              /* the longest one: \u0001 */

static const char *const levels[] = {
	[SK_LOG_ERROR] = "error", [SK_LOG_WARN] = "warn", [SK_LOG_INFO] = "info", [SK_LOG_DEBUG] = "debug",
};
#define LEVELS ((int)(sizeof(levels) / sizeof(levels[0])))

/* Written before threads start, read by all. */
static enum sk_log_level level_max = SK_LOG_INFO;
static bool as_json;

static pthread_mutex_t out_lock = PTHREAD_MUTEX_INITIALIZER;
static unsigned long lines_lost;        /* under out_lock: since the last line that was written */

void sk_log_init(enum sk_log_level max, bool json)
{
	level_max = max;
	as_json = json;
}

int sk_log_level_find(const char *name)
{
	for (int i = 0; i < LEVELS; i++)
		if (strcasecmp(name, levels[i]) == 0)
			return i;
	return -1;
}

/* Write s with control bytes (and, in JSON, quotes) escaped; what is over room bytes is cut, between characters. */
static size_t escaped_put(char *out, size_t room, const char *s, bool json)
{
	size_t len = 0, left = strlen(s);

	while (left && len + ESCAPE_BYTES_MAX <= room) {
		unsigned char c = (unsigned char)*s;
		uint32_t cp;
		int n = sk_utf8_next(s, left, &cp);

		if (n > 1 || (n == 1 && c >= 0x20 && c != 0x7f && !(json && (c == '"' || c == '\\')))) {
			memcpy(out + len, s, (size_t)n);
			len += (size_t)n;
		} else if (n == 1 && json && (c == '"' || c == '\\')) {
			out[len++] = '\\';
			out[len++] = (char)c;
		} else if (n == 1) {
			len += (size_t)snprintf(out + len, 7, json ? "\\u%04x" : "\\x%02x", c);
		} else {
			memcpy(out + len, "\xef\xbf\xbd", 3);
			len += 3;
			n = n < 0 ? -n : (int)left;
		}
		s += n;
		left -= (size_t)n;
	}
	return len;
}

/* The line of a message, its line feed included. */
static size_t line_make(char line[LINE_BYTES_MAX], enum sk_log_level level, const char *message)
{
	const char *end = as_json ? "\"}\n" : "\n";
	struct timespec ts;
	struct tm tm;
	size_t len;

	clock_gettime(CLOCK_REALTIME, &ts);
	gmtime_r(&ts.tv_sec, &tm);
	len = (size_t)snprintf(line, HEAD_BYTES_MAX, "%s%04d-%02d-%02dT%02d:%02d:%02d.%06ldZ%s%s%s",
			       as_json ? "{\"timestamp\":\"" : "", tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday, tm.tm_hour,
			       tm.tm_min, tm.tm_sec, ts.tv_nsec / 1000, as_json ? "\",\"level\":\"" : " ", levels[level],
			       as_json ? "\",\"message\":\"" : " ");
	len += escaped_put(line + len, LINE_BYTES_MAX - len - strlen(end), message, as_json);
	memcpy(line + len, end, strlen(end));
	return len + strlen(end);
}

/* False: there is no room for a line now. */
static bool line_write(enum sk_log_level level, const char *message)
{
	struct pollfd out = { .fd = STDERR_FILENO, .events = POLLOUT };
	char line[LINE_BYTES_MAX];
	size_t len = line_make(line, level, message);

	if (poll(&out, 1, 0) != 1 || !(out.revents & POLLOUT))
		return false;
	/* An error means that there is nobody left to tell: the line counts as written. */
	return write(STDERR_FILENO, line, len) >= 0 || errno != EAGAIN;
}

void sk_log(enum sk_log_level level, const char *fmt, ...)
{
	char message[MESSAGE_MAX], words[64];
	int saved = errno;
	va_list ap;

	if (level > level_max || (int)level < 0)
		return;
	va_start(ap, fmt);
	if (vsnprintf(message, sizeof(message), fmt, ap) < 0)
		message[0] = '\0';
	va_end(ap);
	pthread_mutex_lock(&out_lock);
	if (lines_lost) {
		snprintf(words, sizeof(words), "%lu lines of the log were lost", lines_lost);
		if (line_write(SK_LOG_WARN, words))
			lines_lost = 0;
	}
	if (lines_lost || !line_write(level, message))
		lines_lost++;
	pthread_mutex_unlock(&out_lock);
	errno = saved;
}
