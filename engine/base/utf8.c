/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The well-formed byte sequences of the Unicode standard, table 3-7, as a table: what may follow each first byte.
 * Ill-formed input is cut into maximal parts (section 3.9), as browsers and Python's "replace" do.
 */
#include "engine/base/utf8.h"

#include <string.h>

/* First bytes from..to, the range of the second byte, and the length. Later bytes are 80..BF. */
static const struct { unsigned char from, to, second_min, second_max, len; } rows[] = {
	{ 0x00, 0x7f, 0x00, 0x00, 1 },
	{ 0xc2, 0xdf, 0x80, 0xbf, 2 },
	{ 0xe0, 0xe0, 0xa0, 0xbf, 3 },          /* below A0: overlong */
	{ 0xe1, 0xec, 0x80, 0xbf, 3 },
	{ 0xed, 0xed, 0x80, 0x9f, 3 },          /* above 9F: surrogates */
	{ 0xee, 0xef, 0x80, 0xbf, 3 },
	{ 0xf0, 0xf0, 0x90, 0xbf, 4 },          /* below 90: overlong */
	{ 0xf1, 0xf3, 0x80, 0xbf, 4 },
	{ 0xf4, 0xf4, 0x80, 0x8f, 4 },          /* above 8F: over U+10FFFF */
};

int sk_utf8_next(const char *s, size_t len, uint32_t *ret_cp)
{
	const unsigned char *u = (const unsigned char *)s;
	size_t row = 0;
	uint32_t cp;

	if (len == 0)
		return 0;
	if (u[0] < 0x80) {
		*ret_cp = u[0];
		return 1;
	}
	while (row < sizeof(rows) / sizeof(rows[0]) && (u[0] < rows[row].from || u[0] > rows[row].to))
		row++;
	if (row == sizeof(rows) / sizeof(rows[0]))
		return -1;
	cp = u[0] & (0x7fu >> rows[row].len);
	for (int i = 1; i < rows[row].len; i++) {
		unsigned char min = i == 1 ? rows[row].second_min : 0x80;
		unsigned char max = i == 1 ? rows[row].second_max : 0xbf;

		if ((size_t)i == len)
			return 0;
		if (u[i] < min || u[i] > max)
			return -i;
		cp = cp << 6 | (u[i] & 0x3f);
	}
	*ret_cp = cp;
	return rows[row].len;
}

size_t sk_utf8_put(char out[4], uint32_t cp)
{
	static const unsigned char leads[5] = { 0, 0x00, 0xc0, 0xe0, 0xf0 };
	size_t len;

	if (cp > 0x10ffff || (cp >= 0xd800 && cp <= 0xdfff))
		cp = 0xfffd;
	len = cp < 0x80 ? 1 : cp < 0x800 ? 2 : cp < 0x10000 ? 3 : 4;
	for (size_t i = len - 1; i > 0; i--, cp >>= 6)
		out[i] = (char)(0x80 | (cp & 0x3f));
	out[0] = (char)(leads[len] | cp);
	return len;
}

bool sk_utf8_valid(const char *s, size_t len)
{
	uint32_t cp;

	for (size_t i = 0; i < len;) {
		int n = sk_utf8_next(s + i, len - i, &cp);

		if (n <= 0)
			return false;
		i += (size_t)n;
	}
	return true;
}

size_t sk_utf8_count(const char *s, size_t len)
{
	size_t count = 0;
	uint32_t cp;

	for (size_t i = 0; i < len; count++) {
		int n = sk_utf8_next(s + i, len - i, &cp);

		i += n > 0 ? (size_t)n : n < 0 ? (size_t)-n : len - i;
	}
	return count;
}

sk_status sk_utf8_add_lossy(struct sk_buf *b, const char *s, size_t len)
{
	size_t done = 0, i = 0;                 /* [done, i) is well-formed and not copied yet */
	uint32_t cp;

	while (i < len) {
		int n = sk_utf8_next(s + i, len - i, &cp);

		if (n > 0) {
			i += (size_t)n;
			continue;
		}
		sk_buf_add(b, s + done, i - done);
		sk_buf_add(b, "\xef\xbf\xbd", 3);
		i += n < 0 ? (size_t)-n : len - i;
		done = i;
	}
	return sk_buf_add(b, s + done, i - done);
}
