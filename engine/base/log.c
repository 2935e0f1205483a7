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
#include <inttypes.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
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
#define ESCAPE_BYTES_MAX 7              /* the longest one, \u0001, and the NUL that snprintf() writes behind it */
#define FIELD_BYTES_MIN 40              /* room for a number, or for the quotes of a string */

static const char *const levels[] = {
	[SK_LOG_ERROR] = "error", [SK_LOG_WARN] = "warn", [SK_LOG_INFO] = "info", [SK_LOG_DEBUG] = "debug",
};
#define LEVELS ((int)(sizeof(levels) / sizeof(levels[0])))

static _Atomic int level_max = SK_LOG_INFO;
static bool as_json;                    /* written before threads start, read by all */

static pthread_mutex_t out_lock = PTHREAD_MUTEX_INITIALIZER;
static unsigned long lines_lost;        /* under out_lock: since the last line that was written */

void sk_log_init(enum sk_log_level max, bool json)
{
	sk_log_level_set(max);
	as_json = json;
}

void sk_log_level_set(enum sk_log_level max)
{
	atomic_store_explicit(&level_max, (int)max, memory_order_relaxed);
}

int sk_log_level_find(const char *name)
{
	for (int i = 0; i < LEVELS; i++)
		if (strcasecmp(name, levels[i]) == 0)
			return i;
	return -1;
}

/* Characters that a terminal or an editor acts upon: C0 and C1 controls, line separators, and those that turn text round. */
static bool is_active(uint32_t cp)
{
	return cp < 0x20 || (cp >= 0x7f && cp < 0xa0) || (cp >= 0x200e && cp <= 0x200f) || (cp >= 0x2028 && cp <= 0x202e) ||
	       (cp >= 0x2066 && cp <= 0x2069) || cp == 0x61c || cp == 0xfeff;
}

/*
 * Write at most `max` bytes of s, what is active (and, in quotes, quotes and backslashes) escaped; what is over room bytes is
 * cut, between characters.
 */
static size_t escaped_put(char *out, size_t room, const char *s, size_t max, bool quoted)
{
	size_t len = 0, left = strnlen(s, max);

	while (left && len + ESCAPE_BYTES_MAX <= room) {
		uint32_t cp;
		int n = sk_utf8_next(s, left, &cp);

		if (n <= 0) {
			memcpy(out + len, "\xef\xbf\xbd", 3);
			len += 3;
			n = n < 0 ? -n : (int)left;
		} else if (is_active(cp)) {
			len += (size_t)snprintf(out + len, 7, quoted || cp > 0xff ? "\\u%04x" : "\\x%02x", cp);
		} else {
			if (quoted && (cp == '"' || cp == '\\'))
				out[len++] = '\\';
			memcpy(out + len, s, (size_t)n);
			len += (size_t)n;
		}
		s += n;
		left -= (size_t)n;
	}
	return len;
}

static bool is_plain(const char *s, size_t len)
{
	if (!len)
		return false;
	for (size_t i = 0; i < len; i++)
		if (!s[i] || !strchr("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._:/@%+-", s[i]))
			return false;
	return true;
}

/* ` name=value` or `,"name":value`; 0 when it does not fit. */
static size_t field_put(char *out, size_t room, const struct sk_log_field *f)
{
	size_t name_len = strlen(f->name), len = name_len + (as_json ? 4 : 2), raw;

	if (len + FIELD_BYTES_MIN > room)
		return 0;
	snprintf(out, room, as_json ? ",\"%s\":" : " %s=", f->name);
	if (f->type == SK_LOG_INT)
		return len + (size_t)snprintf(out + len, room - len, "%" PRId64, f->i);
	if (f->type == SK_LOG_U64)
		return len + (size_t)snprintf(out + len, room - len, "%" PRIu64, (uint64_t)f->i);
	if (f->type == SK_LOG_MS)
		return len + (size_t)snprintf(out + len, room - len, "%.3f", (double)f->i / 1000.0);
	raw = strnlen(f->s, f->max);
	if (!as_json && is_plain(f->s, raw) && raw + len <= room) {
		memcpy(out + len, f->s, raw);
		return len + raw;
	}
	out[len++] = '"';
	len += escaped_put(out + len, room - len - 1, f->s, f->max, true);
	out[len++] = '"';
	return len;
}

/* The line of a message, its line feed included. */
static size_t line_make(char line[LINE_BYTES_MAX], enum sk_log_level level, const char *message,
			const struct sk_log_field *fields, size_t fields_len)
{
	const char *end = as_json ? "}\n" : "\n";
	size_t room = LINE_BYTES_MAX - strlen(end), len;
	struct timespec ts;
	struct tm tm;

	clock_gettime(CLOCK_REALTIME, &ts);
	gmtime_r(&ts.tv_sec, &tm);
	len = (size_t)snprintf(line, HEAD_BYTES_MAX, "%s%04d-%02d-%02dT%02d:%02d:%02d.%06ldZ%s%s%s",
			       as_json ? "{\"timestamp\":\"" : "", tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday, tm.tm_hour,
			       tm.tm_min, tm.tm_sec, ts.tv_nsec / 1000, as_json ? "\",\"level\":\"" : " ", levels[level],
			       as_json ? "\",\"message\":\"" : " ");
	len += escaped_put(line + len, room - len - as_json, message, MESSAGE_MAX, as_json);
	if (as_json)
		line[len++] = '"';
	for (size_t i = 0; i < fields_len; i++)
		if (fields[i].type != SK_LOG_STR || fields[i].s)
			len += field_put(line + len, room - len, &fields[i]);
	memcpy(line + len, end, strlen(end));
	return len + strlen(end);
}

/* False: there is no room for a line now. */
static bool line_write(enum sk_log_level level, const char *message, const struct sk_log_field *fields, size_t fields_len)
{
	struct pollfd out = { .fd = STDERR_FILENO, .events = POLLOUT };
	char line[LINE_BYTES_MAX];
	size_t len = line_make(line, level, message, fields, fields_len);

	if (poll(&out, 1, 0) != 1 || !(out.revents & POLLOUT))
		return false;
	/* An error means that there is nobody left to tell: the line counts as written. */
	return write(STDERR_FILENO, line, len) >= 0 || errno != EAGAIN;
}

static void tell(enum sk_log_level level, const char *message, const struct sk_log_field *fields, size_t fields_len)
{
	int saved = errno;
	char words[64];

	pthread_mutex_lock(&out_lock);
	if (lines_lost) {
		snprintf(words, sizeof(words), "%lu lines of the log were lost", lines_lost);
		if (line_write(SK_LOG_WARN, words, NULL, 0))
			lines_lost = 0;
	}
	if (lines_lost || !line_write(level, message, fields, fields_len))
		lines_lost++;
	pthread_mutex_unlock(&out_lock);
	errno = saved;
}

bool sk_log_wanted(enum sk_log_level level)
{
	return (int)level <= atomic_load_explicit(&level_max, memory_order_relaxed) && (int)level >= 0;
}

void sk_log_fields(enum sk_log_level level, const char *message, const struct sk_log_field *fields, size_t len)
{
	if (sk_log_wanted(level))
		tell(level, message, fields, len);
}

void sk_log(enum sk_log_level level, const char *fmt, ...)
{
	char message[MESSAGE_MAX];
	int saved = errno;
	va_list ap;

	if (!sk_log_wanted(level))
		return;
	va_start(ap, fmt);
	if (vsnprintf(message, sizeof(message), fmt, ap) < 0)
		message[0] = '\0';
	va_end(ap);
	tell(level, message, NULL, 0);
	errno = saved;
}
