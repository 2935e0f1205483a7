/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How long a client waits: what its headers say, within what the settings allow. The loop keeps the time (conn.c).
 */
#include "fcgi/request.h"

#define TIMEOUT_MS_MAX 86400000         /* a day, as for the other times among the settings */

/* A time as digits, perhaps with a point and so many decimals, as milliseconds. false: something else, or out of range. */
static bool timeout_read(const char *s, int decimals, int64_t *ret_ms)
{
	int64_t ms = 0;
	int after = -1;                         /* digits behind the point; -1: there is none yet */

	if (*s < '0' || *s > '9')
		return false;
	for (; *s; s++) {
		if (*s == '.' && decimals && after < 0) {
			after = 0;
			continue;
		}
		if (*s < '0' || *s > '9' || after == decimals || ms > TIMEOUT_MS_MAX)
			return false;
		ms = ms * 10 + (*s - '0');
		after += after >= 0;
	}
	for (after = after < 0 ? 0 : after; after < decimals; after++)
		ms *= 10;
	*ret_ms = ms;
	return ms >= 1 && ms <= TIMEOUT_MS_MAX;
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
		const char *text = sk_request_param(r, headers[i].param);
		int64_t ms;

		if (!text)
			continue;
		if (!timeout_read(text, headers[i].decimals, &ms))
			return sk_fail(err, SK_EINVAL, "The header %s is \"%.64s\"; it is a time in %s", headers[i].name, text,
				       headers[i].form);
		if (!timeout || ms < timeout)
			timeout = ms;
	}
	if (!timeout)
		timeout = o->request_timeout_ms;
	if (o->max_request_timeout_ms && (!timeout || timeout > o->max_request_timeout_ms))
		timeout = o->max_request_timeout_ms;
	r->timeout_ms = timeout;
	r->deadline_us = timeout ? r->arrived_us + timeout * 1000 : 0;
	return SK_OK;
}
