/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A tokenizer as a filter, for diff_tokenizers.py and for measuring: tokdump DIR [FILE [TIMES]]
 *
 * Lines in: "E HEX" or "e HEX" (a text with specials, or without): its ids; "D ID ID ..." or "d ..." (without specials): the text
 * in hex, and " STREAM " with what a stream gave when that differs. With a FILE: it is tokenised, line by line as one text of up to
 * 64 KiB each, and the speed is printed.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/clock.h"
#include "engine/text/text.h"

static int hex(char c)
{
	return c <= '9' ? c - '0' : (c | 32) - 'a' + 10;
}

static void encode(const struct sk_text *t, char *line, bool special)
{
	struct sk_ids v = { .offsets = false };
	struct sk_err err = { .text = "" };
	size_t len = 0, i;

	for (i = 0; line[2 * i] && line[2 * i + 1]; i++)
		line[len++] = (char)(hex(line[2 * i]) * 16 + hex(line[2 * i + 1]));
	if (sk_text_encode(t, line, len, special, true, 0, &v, &err) < 0)
		printf("ERR %s", err.text);
	for (i = 0; i < v.len; i++)
		printf("%s%d", i ? " " : "", v.ids[i]);
	putchar('\n');
	sk_ids_fini(&v);
}

static void hex_print(const struct sk_buf *b)
{
	for (size_t i = 0; i < b->len; i++)
		printf("%02x", (unsigned char)b->data[i]);
}

static void decode(const struct sk_text *t, const char *line, bool skip)
{
	struct sk_buf b = SK_BUF(1 << 26), parts = SK_BUF(1 << 26);
	struct sk_detok d = { .tail_len = 0 };
	size_t cap = strlen(line) / 2 + 1, len = 0, i;
	int32_t *ids = calloc(cap, sizeof(*ids));
	char *end;

	for (; ids && len < cap; line = end) {
		ids[len] = (int32_t)strtol(line, &end, 10);
		if (end == line)
			break;
		len++;
	}
	sk_text_decode(t, ids, len, skip, &b);
	for (i = 0; i < len; i++)
		if (!skip || !sk_text_is_special(t, ids[i]))
			sk_detok_push(t, &d, ids[i], &parts);
	sk_detok_end(&d, &parts);
	hex_print(&b);
	if (b.len != parts.len || (b.len && memcmp(b.data, parts.data, b.len) != 0)) {
		printf(" STREAM ");
		hex_print(&parts);
	}
	putchar('\n');
	sk_buf_fini(&b);
	sk_buf_fini(&parts);
	free(ids);
}

static int measure(const struct sk_text *t, const char *path, int times)
{
	struct sk_ids v = { .offsets = false };
	FILE *f = fopen(path, "rb");
	size_t len = 0, at, n, ids = 0;
	char *s = malloc(64u << 20);
	int64_t began;

	if (!f || !s) {
		perror(path);
		return 1;
	}
	len = fread(s, 1, 64u << 20, f);
	fclose(f);
	began = sk_now_us();
	for (int i = 0; i < times; i++)
		for (at = 0; at < len; at += n) {
			const char *stop = len - at > 65536 ? memchr(s + at + 65000, '\n', len - at - 65000) : NULL;

			n = stop ? (size_t)(stop + 1 - s - at) : len - at;
			v.len = 0;
			if (sk_text_encode(t, s + at, n, false, true, 0, &v, NULL) < 0)
				return 1;
			ids += v.len;
		}
	began = sk_now_us() - began;
	printf("%zu bytes, %zu ids, %.2f MB/s\n", len * (size_t)times, ids, (double)len * times / (double)began);
	sk_ids_fini(&v);
	free(s);
	return 0;
}

int main(int argc, char **argv)
{
	struct sk_text *t = NULL;
	struct sk_text_info info;
	struct sk_err err = { .text = "" };
	int64_t began = sk_now_us();
	char *line = NULL;
	size_t cap = 0;
	ssize_t n;
	int rc = 0;

	if (argc < 2 || sk_text_open_dir(argv[1], NULL, 0, &t, &err) < 0) {
		printf("ERR %s\n", argc < 2 ? "tokdump DIR [FILE [TIMES]]" : err.text);
		return 1;
	}
	sk_text_info(t, &info);
	printf("OK %s, %d tokens, %.1f MiB, opened in %.1f ms\n", info.kind, info.vocab, (double)info.bytes / (1 << 20),
	       (double)(sk_now_us() - began) * 1e-3);
	fflush(stdout);
	if (argc > 2)
		rc = measure(t, argv[2], argc > 3 ? atoi(argv[3]) : 1);
	while (argc == 2 && (n = getline(&line, &cap, stdin)) > 0) {
		if (line[n - 1] == '\n')
			line[--n] = '\0';
		if (n > 1 && (line[0] | 32) == 'e')
			encode(t, line + 2, line[0] == 'E');
		else if (n > 0)
			decode(t, line + 1, line[0] == 'd');
		fflush(stdout);
	}
	free(line);
	sk_text_close(&t);
	return rc;
}
