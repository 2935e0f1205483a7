/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tokenizers when memory runs out: every allocation of open, encode, decode and the stop strings fails once, in
 * turn. Each time the answer is SK_ENOMEM, with words where there are any, and nothing is left behind (a leak
 * shows under ASan).
 */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/utf8.h"
#include "engine/text/kind.h"
#include "tests/fault/refuse.h"

/* ---- what is done ---- */

static struct sk_str tokens[260], merges[] = { { "a b", 3 }, { "ab c", 4 } };
static uint8_t types[260];
static char letters[256][4];

static struct sk_text_src source(const char *pre)
{
	static const char *const more[] = { "ab", "abc", "<|end|>", "<tool>" };
	uint32_t next = 256, b;

	for (b = 0; b < 256; b++) {
		tokens[b].s = letters[b];
		tokens[b].len = sk_utf8_put(letters[b], (b > 32 && b < 127) || (b > 160 && b != 173) ? b : next++);
		types[b] = SK_TOKEN_NORMAL;
	}
	for (b = 0; b < 4; b++) {
		tokens[256 + b] = (struct sk_str){ more[b], strlen(more[b]) };
		types[256 + b] = b < 2 ? SK_TOKEN_NORMAL : b == 2 ? SK_TOKEN_CONTROL : SK_TOKEN_USER;
	}
	return (struct sk_text_src){ .kind = { "gpt2", 4 }, .pre = { pre, strlen(pre) }, .tokens = tokens, .vocab = 260,
				     .types = types, .merges = merges, .merges_len = 2, .bos = 258, .eos = 258, .eot = -1,
				     .eom = -1, .unk = -1, .pad = -1, .add_bos = 1, .add_eos = 1,
				     .chat_template = { "{{ x }}", 7 } };
}

/* Encode, decode and the stop strings. */
static sk_status work(struct sk_text *t, struct sk_err *err)
{
	static const char text[] = "abc <tool> e\xcc\x81 \xff abcabcabcabcabcabcabcabcabcabcabcabcabcabcabcabcabcabcabc \xf0\xb1\x8d\x90";
	static const char *const stop[] = { "xyz", "abcd" };
	static const size_t stop_bytes[] = { 3, 4 };
	struct sk_ids v = { .offsets = true };
	struct sk_buf b = SK_BUF(1 << 20);
	struct sk_stop *s = NULL;
	sk_status st;

	st = sk_text_encode(t, text, sizeof(text) - 1, true, true, 0, &v, err);
	if (st == SK_OK)
		st = sk_stop_open(stop, stop_bytes, 2, &s, err);
	if (st == SK_OK) {
		st = sk_text_decode(t, v.ids, v.len, false, &b);
		if (st < 0)
			sk_fail(err, st, "decode");
	}
	sk_stop_close(&s);
	sk_buf_fini(&b);
	sk_ids_fini(&v);
	return st;
}

/* A rule of GGUF's pre-tokenisers, or (with a slash) a directory. */
static sk_status use(const char *what, struct sk_err *err)
{
	struct sk_text *t = NULL;
	struct sk_text_src src;
	sk_status st;

	if (strchr(what, '/')) {
		st = sk_text_open_dir(what, NULL, 0, &t, err);
	} else {
		src = source(what);
		st = sk_text_open(&src, &t, err);
	}
	if (st == SK_OK)
		st = work(t, err);
	sk_text_close(&t);
	return st;
}

/* Every allocation fails once; of many, each of the first hundred and then fewer. */
static bool try_all(const char *what)
{
	struct sk_err err;
	sk_status st;
	long n, tries = 0;

	for (n = 0;; n += 1 + n / 100, tries++) {
		err = (struct sk_err){ .text = "" };
		refuse_failed = false;
		refuse_left = n;
		st = use(what, &err);
		refuse_left = -1;
		if (!refuse_failed)
			break;
		/* A buffer that cannot be made smaller stays as it is: that failure may go unseen. */
		if (st != SK_OK && (st != SK_ENOMEM || !err.text[0])) {
			printf("%s: allocation %ld: %s \"%s\"\n", what, n, sk_status_name(st), err.text);
			return false;
		}
	}
	printf("%s: %ld allocations, %ld failed in turn%s%s\n", what, n, tries, st < 0 ? ": " : "", err.text);
	return st == SK_OK && n >= 15;
}

int main(void)
{
	static const char *const rules[] = { "smollm", "qwen2", "llama-bpe" };
	static const char *const dirs[] = { "llama3", "llama-legacy", "t5", "bert-uncased", "added-raw", "bpe-suffix", "spm-bpe-users",
					    "spm-nfkc", "decode-12" };
	const char *srcdir = getenv("srcdir");
	char path[512];
	size_t i;

	for (i = 0; i < sizeof(rules) / sizeof(rules[0]); i++)
		if (!try_all(rules[i]))
			return 1;
	for (i = 0; i < sizeof(dirs) / sizeof(dirs[0]); i++) {
		snprintf(path, sizeof(path), "%s/tests/golden/tokenizers/%s", srcdir ? srcdir : ".", dirs[i]);
		if (!try_all(path))
			return 1;
	}
	return 0;
}
