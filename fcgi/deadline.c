/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How long a client waits: what its headers say, within what the settings allow. The loop keeps the time (conn.c).
 */
#include "fcgi/request.h"

#include <string.h>

#define TIMEOUT_MS_MAX 86400000         /* a day, as for the other times among the settings */

#define BLANKS " \t"

/* A time as digits, perhaps with a point and so many decimals, as milliseconds. false: something else, or out of range. */
static bool timeout_read(const char *s, size_t len, int decimals, int64_t *ret_ms)
{
	int64_t ms = 0;
	int after = -1;                         /* digits behind the point; -1: there is none yet */

	if (!len || *s < '0' || *s > '9')
		return false;
	for (size_t i = 0; i < len; i++) {
		if (s[i] == '.' && decimals && after < 0) {
			after = 0;
			continue;
		}
		if (s[i] < '0' || s[i] > '9' || after == decimals || ms > TIMEOUT_MS_MAX)
			return false;
		ms = ms * 10 + (s[i] - '0');
		after += after >= 0;
	}
	if (after == 0)
		return false;
	for (after = after < 0 ? 0 : after; after < decimals; after++)
		ms *= 10;
	*ret_ms = ms;
	return ms >= 1 && ms <= TIMEOUT_MS_MAX;
}

/*
 * The shortest of several times with commas between, and of what *ret_ms has already (0: nothing). A header that comes twice is such a
 * list behind Apache and lighttpd; nginx passes it on twice.
 */
static bool shortest_read(const char *s, int decimals, int64_t *ret_ms)
{
	for (;; s++) {
		size_t whole = strcspn(s, ","), skip = strspn(s, BLANKS), len;
		int64_t ms;

		len = skip < whole ? whole - skip : 0;
		while (len && strchr(BLANKS, s[skip + len - 1]))
			len--;
		if (!timeout_read(s + skip, len, decimals, &ms))
			return false;
		if (!*ret_ms || ms < *ret_ms)
			*ret_ms = ms;
		s += whole;
		if (!*s)
			return true;
	}
}

/* What all headers of that name say. */
static sk_status header_read(const struct sk_request *r, const char *param, const char *name, int decimals, const char *form,
			     int64_t *ret_ms, struct sk_err *err)
{
	for (const char **p = r->params; p && p[0]; p += 2)
		if (!strcmp(p[0], param) && !shortest_read(p[1], decimals, ret_ms))
			return sk_fail(err, SK_EINVAL, "The header %s is \"%.64s\"; it is a time in %s", name, p[1], form);
	return SK_OK;
}

sk_status sk_request_deadline(struct sk_request *r, struct sk_err *err)
{
	static const struct { const char *param, *name; int decimals; const char *form; } headers[] = {
		{ "HTTP_X_REQUEST_TIMEOUT", "x-request-timeout", 3, "seconds, 0.001 to 86400, with three decimals at most" },
		{ "HTTP_X_SAKER_DEADLINE_MS", "x-saker-deadline-ms", 0, "milliseconds, 1 to 86400000, a whole number" },
	};
	const struct sk_options *o = r->front->options;
	int64_t timeout = 0;

	for (size_t i = 0; i < sizeof headers / sizeof *headers; i++) {
		sk_status st = header_read(r, headers[i].param, headers[i].name, headers[i].decimals, headers[i].form, &timeout, err);

		if (st < 0)
			return st;
	}
	if (!timeout)
		timeout = o->request_timeout_ms;
	if (o->max_request_timeout_ms && (!timeout || timeout > o->max_request_timeout_ms))
		timeout = o->max_request_timeout_ms;
	r->timeout_ms = timeout;
	r->deadline_us = timeout ? r->arrived_us + timeout * 1000 : 0;
	return SK_OK;
}
