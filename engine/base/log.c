/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One message, one line, one write(2).
 *
 * The line is made on the stack: logging works when memory is out, and no lock is needed. Control bytes are
 * escaped, so that a message that quotes a client cannot begin a line of its own.
 */
#include "engine/base/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <time.h>
#include <unistd.h>

#include "engine/base/buf.h"
#include "engine/base/utf8.h"

#define MESSAGE_MAX 2048
#define LINE_MAX_BYTES (MESSAGE_MAX * 6 + 128)  /* the longest escape of one byte is \u0001 */

static const char *const levels[] = {
	[SK_LOG_ERROR] = "error", [SK_LOG_WARN] = "warn", [SK_LOG_INFO] = "info", [SK_LOG_DEBUG] = "debug",
};
#define LEVELS ((int)(sizeof(levels) / sizeof(levels[0])))

/* Written before threads start, read by all. */
static enum sk_log_level level_max = SK_LOG_INFO;
static bool as_json;

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

/* Append with control bytes (and, in JSON, quotes) escaped. The result always fits: see LINE_MAX_BYTES. */
static size_t escaped_put(char *out, const char *s, bool json)
{
	size_t len = 0, left = strlen(s);

	while (left) {
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

void sk_log(enum sk_log_level level, const char *fmt, ...)
{
	char message[MESSAGE_MAX], line[LINE_MAX_BYTES];
	struct timespec ts;
	struct tm tm;
	size_t len;
	va_list ap;

	if (level > level_max || (int)level < 0)
		return;
	va_start(ap, fmt);
	if (vsnprintf(message, sizeof(message), fmt, ap) < 0)
		message[0] = '\0';
	va_end(ap);
	clock_gettime(CLOCK_REALTIME, &ts);
	gmtime_r(&ts.tv_sec, &tm);
	len = (size_t)snprintf(line, 128, "%s%04d-%02d-%02dT%02d:%02d:%02d.%06ldZ%s%s%s", as_json ? "{\"timestamp\":\"" : "",
			       tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec,
			       ts.tv_nsec / 1000, as_json ? "\",\"level\":\"" : " ", levels[level],
			       as_json ? "\",\"message\":\"" : " ");
	len += escaped_put(line + len, message, as_json);
	if (as_json) {
		memcpy(line + len, "\"}", 2);
		len += 2;
	}
	line[len++] = '\n';
	if (write(STDERR_FILENO, line, len) < 0)
		return;                         /* there is nobody left to tell */
}
