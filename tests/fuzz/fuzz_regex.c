/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A pattern of a tokenizer file and a text to be split by it: the pattern, a NUL, the text.
 *
 * What is accepted must be cut in bounded steps, go forward, and never end a match inside a character.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/buf.h"
#include "engine/base/utf8.h"
#include "engine/text/regex.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

#define MUST(cond) do { if (!(cond)) { fprintf(stderr, "broken: %s\n", #cond); abort(); } } while (0)

enum { PATTERN_MAX = 2048, TEXT_MAX = 128, MATCHES_MAX = 16 };

static bool begins_character(const char *s, size_t len, size_t at)
{
	return at == len || ((unsigned char)s[at] & 0xc0) != 0x80;
}

static void text_split(const struct sk_regex *re, const char *s, size_t len)
{
	size_t pos = 0, from = 0, to = 0, n;
	void *match = NULL;
	struct sk_err err = { .text = "" };
	int rc = 1;

	for (n = 0; n < MATCHES_MAX && pos <= len; n++) {
		rc = sk_regex_next(re, &match, s, len, pos, &from, &to, &err);
		if (rc <= 0)
			break;
		MUST(from >= pos && from <= to && to <= len);
		MUST(begins_character(s, len, from) && begins_character(s, len, to));
		for (pos = to > pos ? to : pos + 1; pos < len && !begins_character(s, len, pos); pos++)
			;
	}
	MUST(rc >= 0 || err.text[0]);
	sk_regex_match_free(match);
}

static void pattern_try(const char *pattern, size_t len, const struct sk_buf *text)
{
	struct sk_regex *re = NULL;
	struct sk_err err = { .text = "" };

	if (sk_regex_open(pattern, len, &re, &err) < 0) {
		MUST(!re && err.text[0]);
		return;
	}
	text_split(re, text->len ? text->data : "", text->len);
	text_split(re, "", 0);
	sk_regex_close(&re);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	const uint8_t *nul = len ? memchr(data, 0, len) : NULL;
	size_t pattern_len = nul ? (size_t)(nul - data) : len, rest = nul ? len - pattern_len - 1 : 0;
	struct sk_buf text = SK_BUF(TEXT_MAX * 3), pattern = SK_BUF(PATTERN_MAX * 3);

	if (pattern_len > PATTERN_MAX)
		pattern_len = PATTERN_MAX;
	sk_utf8_add_lossy(&text, rest ? (const char *)nul + 1 : "", rest < TEXT_MAX ? rest : TEXT_MAX);
	pattern_try((const char *)data, pattern_len, &text);
	if (!sk_utf8_valid((const char *)data, pattern_len)) {          /* refused as it is: what is left of it is tried */
		sk_utf8_add_lossy(&pattern, (const char *)data, pattern_len);
		pattern_try(pattern.data, pattern.len, &text);
	}
	sk_buf_fini(&text);
	sk_buf_fini(&pattern);
	return 0;
}
