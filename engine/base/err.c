/* SPDX-License-Identifier: Apache-2.0 */
/* Status codes by name, and the reason of a failure put into words. */
#include "engine/base/err.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include "config.h"
#include "engine/base/log.h"
#include "engine/base/utf8.h"

static const struct status_row {
	sk_status value;
	const char *name, *words;
} statuses[] = {
#define SK_STATUS(name, value, words) { (value), #name, (words) },
#include "engine/base/status.def"
#undef SK_STATUS
};

static const struct status_row *status_find(sk_status status)
{
	for (size_t i = 0; i < sizeof(statuses) / sizeof(statuses[0]); i++)
		if (statuses[i].value == status)
			return &statuses[i];
	return NULL;
}

const char *sk_status_name(sk_status status)
{
	const struct status_row *row = status_find(status);

	return row ? row->name : "?";
}

const char *sk_status_words(sk_status status)
{
	const struct status_row *row = status_find(status);

	return row ? row->words : "unknown status";
}

/* vsnprintf cuts between any two bytes: take the started character away again. */
static void cut_on_character(char *text, size_t len)
{
	uint32_t cp;
	size_t back = 1;

	while (back < 4 && back < len && ((unsigned char)text[len - back] & 0xc0) == 0x80)
		back++;
	if (len >= back && sk_utf8_next(text + len - back, back, &cp) == 0)
		text[len - back] = '\0';
}

sk_status sk_fail(struct sk_err *err, sk_status status, const char *fmt, ...)
{
	va_list ap;
	int len;

	if (!err)
		return status;
	err->status = status;
	va_start(ap, fmt);
	len = vsnprintf(err->text, sizeof(err->text), fmt, ap);
	va_end(ap);
	if (len < 0)
		snprintf(err->text, sizeof(err->text), "%s", sk_status_words(status));
	else if ((size_t)len >= sizeof(err->text))
		cut_on_character(err->text, sizeof(err->text) - 1);
	return status;
}

void sk_bug(const char *file, int line, const char *what)
{
	sk_log(SK_LOG_ERROR, "%s:%d: this cannot happen: %s", file, line, what);
#ifdef SK_DEBUG
	abort();
#endif
}
