/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Status codes, and the words that go with a failure.
 *
 * A function that can fail returns sk_status: SK_OK (0) or a negative code from status.def.
 * Where a human may read the reason it takes `struct sk_err *err` last; NULL is allowed.
 */
#ifndef SK_BASE_ERR_H
#define SK_BASE_ERR_H

typedef int sk_status;

enum sk_status_code {
#define SK_STATUS(name, value, words) SK_##name = (value),
#include "engine/base/status.def"
#undef SK_STATUS
};

/* The reason of one failure; placed by the caller, written once, by the spot that knows the facts. */
struct sk_err {
	sk_status status;
	char text[512];         /* NUL-terminated UTF-8, cut on a character boundary */
};

/*
 * Write the reason and return `status`, so that a failing line reads `return sk_fail(err, ...)`.
 * The words name the thing, the value and the limit. err may be NULL.
 */
sk_status sk_fail(struct sk_err *err, sk_status status, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* "EINVAL" for SK_EINVAL; "?" for a number that is no status. Never NULL. */
const char *sk_status_name(sk_status status);

/* The words of status.def. Never NULL. */
const char *sk_status_words(sk_status status);

/* What cannot happen: logs file and line; aborts in debug builds (SK_DEBUG). Evaluates to the condition. */
#define SK_BUG_IF(cond) (__builtin_expect(!!(cond), 0) ? (sk_bug(__FILE__, __LINE__, #cond), 1) : 0)
void sk_bug(const char *file, int line, const char *what);

#endif
