/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The text of each token by TGI's two offsets, beside the Hugging Face library with the small tokenizers (token-texts.txt).
 *
 *	test_token_texts                all of them
 *	test_token_texts NAME SEED      the texts of one, to be read beside make_token_texts.py NAME SEED
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/utf8.h"
#include "engine/text/text.h"
#include "tests/golden/golden.h"

enum { IDS_MAX = 256 };

static uint64_t fnv(uint64_t h, const void *p, size_t len)
{
	const uint8_t *bytes = p;

	for (size_t i = 0; i < len; i++)
		h = (h ^ bytes[i]) * UINT64_C(0x100000001b3);
	return h;
}

/* The hash of all tokens' texts; 0 where one of them is no UTF-8. */
static uint64_t texts_hash(const struct sk_text *t, const int32_t *ids, size_t prompt, size_t len, bool show)
{
	uint64_t h = UINT64_C(0xcbf29ce484222325);
	struct sk_buf b = SK_BUF(1 << 24);
	struct sk_text_window w;
	bool broken = false;

	sk_text_window_begin(&w, prompt);
	for (size_t i = prompt; i < len; i++) {
		sk_buf_clear(&b);
		if (sk_text_window_push(t, &w, ids, i + 1, i + 1 == len, &b) < 0 || !sk_utf8_valid(sk_buf_str(&b), b.len))
			broken = true;
		if (show)
			printf("%d '%s'\n", (int)ids[i], sk_buf_str(&b));
		h = fnv(h, sk_buf_str(&b), b.len + 1);
	}
	sk_buf_fini(&b);
	return broken ? 0 : h;
}

/* NAME SEED VOCAB PROMPT LEN HASH; -1: it differs. */
static int line_check(char *line, const char *only, const char *only_seed)
{
	char *name = line, *at = strchr(line, ' '), path[4096];
	uint64_t seed, vocab, prompt, len, want, x;
	struct sk_text *t = NULL;
	struct sk_err err = { .text = "" };
	int32_t ids[IDS_MAX];
	int differs;

	*at++ = '\0';
	x = seed = strtoull(at, &at, 10);
	vocab = strtoull(at, &at, 10);
	prompt = strtoull(at, &at, 10);
	len = strtoull(at, &at, 10);
	want = strtoull(at, NULL, 16);
	if (only && (strcmp(name, only) != 0 || seed != strtoull(only_seed, NULL, 10)))
		return 0;
	for (size_t i = 0; i < len && i < IDS_MAX; i++) {
		x = x * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
		ids[i] = (int32_t)((x >> 33) % vocab);
	}
	snprintf(path, sizeof(path), "%s/tests/golden/tokenizers/%s", GOLDEN_SRCDIR, name);
	if (sk_text_open_dir(path, NULL, 0, &t, &err) < 0) {
		printf("%s: %s\n", name, err.text);
		return -1;
	}
	differs = texts_hash(t, ids, prompt, len, only != NULL) != want ? -1 : 0;
	if (differs)
		printf("%s, seed %" PRIu64 ": the tokens' texts are not the library's\n", name, seed);
	sk_text_close(&t);
	return differs;
}

int main(int argc, char **argv)
{
	size_t len;
	char *file = golden_file("token-texts.txt", &len), *line, *rest = file;
	int lines = 0, differ = 0;

	while ((line = strtok_r(rest, "\n", &rest)) != NULL) {
		if (*line == '#')
			continue;
		lines++;
		differ += line_check(line, argc > 2 ? argv[1] : NULL, argc > 2 ? argv[2] : NULL) < 0;
	}
	free(file);
	printf("test_token_texts: %d texts, %d differ\n", lines, differ);
	return differ > 0 || lines < 400;
}
