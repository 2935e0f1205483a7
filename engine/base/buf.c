/* SPDX-License-Identifier: Apache-2.0 */
/* A growing byte buffer with a ceiling, the escaping of JSON strings into one, and numbers of bytes in words. */
#include "engine/base/buf.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/utf8.h"

#define CAP_FIRST 256

void sk_buf_init(struct sk_buf *b, size_t max_bytes)
{
	*b = (struct sk_buf)SK_BUF(max_bytes);
}

void sk_buf_fini(struct sk_buf *b)
{
	free(b->data);
	*b = (struct sk_buf)SK_BUF(b->max);
}

void sk_buf_clear(struct sk_buf *b)
{
	b->len = 0;
	b->failed = SK_OK;
}

/* Room for `need` bytes in all. The ceiling is the caller's business: sk_buf_str() wants one byte over it. */
static sk_status grow(struct sk_buf *b, size_t need)
{
	size_t cap = b->cap ? b->cap : CAP_FIRST;
	char *data;

	if (need <= b->cap)
		return SK_OK;
	while (cap < need)
		cap = cap > SIZE_MAX / 2 ? need : cap * 2;
	if (cap > b->max && need <= b->max)
		cap = b->max;
	data = realloc(b->data, cap);
	if (!data)
		return b->failed = SK_ENOMEM;
	b->data = data;
	b->cap = cap;
	return SK_OK;
}

sk_status sk_buf_reserve(struct sk_buf *b, size_t more_bytes)
{
	if (b->failed)
		return b->failed;
	if (b->len > b->max || more_bytes > b->max - b->len)
		return b->failed = SK_ETOOBIG;
	return grow(b, b->len + more_bytes);
}

sk_status sk_buf_add(struct sk_buf *b, const void *p, size_t len)
{
	sk_status st = sk_buf_reserve(b, len);

	if (st < 0)
		return st;
	if (len)
		memcpy(b->data + b->len, p, len);
	b->len += len;
	return SK_OK;
}

sk_status sk_buf_addc(struct sk_buf *b, char c)
{
	return sk_buf_add(b, &c, 1);
}

sk_status sk_buf_adds(struct sk_buf *b, const char *s)
{
	return sk_buf_add(b, s, strlen(s));
}

sk_status sk_buf_vaddf(struct sk_buf *b, const char *fmt, va_list ap)
{
	char few[256];
	va_list again;
	int len;
	sk_status st;

	va_copy(again, ap);
	len = vsnprintf(few, sizeof(few), fmt, ap);
	if (len < 0)
		st = b->failed ? b->failed : (b->failed = SK_EINVAL);
	else if ((size_t)len < sizeof(few))
		st = sk_buf_add(b, few, (size_t)len);
	else if ((st = sk_buf_reserve(b, (size_t)len)) == SK_OK && (st = grow(b, b->len + (size_t)len + 1)) == SK_OK) {
		vsnprintf(b->data + b->len, (size_t)len + 1, fmt, again);
		b->len += (size_t)len;
	}
	va_end(again);
	return st;
}

sk_status sk_buf_addf(struct sk_buf *b, const char *fmt, ...)
{
	va_list ap;
	sk_status st;

	va_start(ap, fmt);
	st = sk_buf_vaddf(b, fmt, ap);
	va_end(ap);
	return st;
}

void sk_buf_drop_front(struct sk_buf *b, size_t len)
{
	if (len > b->len)
		len = b->len;
	if (len == 0)
		return;
	b->len -= len;
	memmove(b->data, b->data + len, b->len);
}

const char *sk_buf_str(struct sk_buf *b)
{
	if (b->failed || b->len == SIZE_MAX || grow(b, b->len + 1) < 0)
		return "";
	b->data[b->len] = '\0';
	return b->data;
}

/* What follows the backslash for each ASCII byte: 0 none needed, 'u' the long form. RFC 8259, section 7. */
static const char json_escapes[128] = {
	'u', 'u', 'u', 'u', 'u', 'u', 'u', 'u', 'b', 't', 'n', 'u', 'f', 'r', 'u', 'u',
	'u', 'u', 'u', 'u', 'u', 'u', 'u', 'u', 'u', 'u', 'u', 'u', 'u', 'u', 'u', 'u',
	['"'] = '"', ['\\'] = '\\',
};

sk_status sk_buf_add_json(struct sk_buf *b, const char *s, size_t len)
{
	size_t done = 0, i = 0;                 /* [done, i) needs no change and is not copied yet */

	while (i < len && b->failed == SK_OK) {
		unsigned char c = (unsigned char)s[i];
		uint32_t cp;
		int n = 0;

		if (c < 128 && !json_escapes[c]) {
			i++;
			continue;
		}
		if (c >= 128 && (n = sk_utf8_next(s + i, len - i, &cp)) > 0) {
			i += (size_t)n;
			continue;
		}
		sk_buf_add(b, s + done, i - done);
		if (c >= 128) {
			i += n < 0 ? (size_t)-n : len - i;
			sk_buf_adds(b, "\xef\xbf\xbd");
		} else {
			if (json_escapes[c] == 'u')
				sk_buf_addf(b, "\\u%04x", c);
			else
				sk_buf_add(b, (char[2]){ '\\', json_escapes[c] }, 2);
			i++;
		}
		done = i;
	}
	return sk_buf_add(b, s + done, i - done);
}

const char *sk_bytes_show(char s[SK_BYTES_SHOWN], uint64_t bytes)
{
	if (bytes < 1 << 20)
		snprintf(s, SK_BYTES_SHOWN, "%d B", (int)bytes);
	else if (bytes < 1 << 30)
		snprintf(s, SK_BYTES_SHOWN, "%.1f MiB", (double)bytes / (1 << 20));
	else
		snprintf(s, SK_BYTES_SHOWN, "%.2f GiB", (double)bytes / (1 << 30));
	return s;
}
