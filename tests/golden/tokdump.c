/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A tokenizer as a filter, for beside.py, and for measuring (tests/bench/bench_tokenizers.py): tokdump DIR [FILE [lines]]
 *
 * Lines in: "E HEX" or "e HEX" (a text with specials, or without): its ids; "O HEX": the first byte of each token and the first after it,
 * with specials; "D ID ID ..." or "d ..." (without specials): the text
 * in hex, and " STREAM " with what a stream gave when that differs; "P ID ID ..." or "p ...": what each token adds to a stream, and
 * what is held at the end, in hex, "-" for nothing. With a FILE: it is tokenised, as one text or
 * each line as one, and the processor time is printed: it is the same with neighbours or without.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "engine/text/text.h"

#define FILE_MAX ((size_t)256 << 20)

static double spent_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
	return (double)now.tv_sec * 1e3 + (double)now.tv_nsec * 1e-6;
}

static int hex(char c)
{
	return c <= '9' ? c - '0' : (c | 32) - 'a' + 10;
}

static void encode(const struct sk_text *t, char *line, bool special, bool offsets)
{
	struct sk_ids v = { .offsets = offsets };
	struct sk_err err = { .text = "" };
	size_t len = 0, i;

	for (i = 0; line[2 * i] && line[2 * i + 1]; i++)
		line[len++] = (char)(hex(line[2 * i]) * 16 + hex(line[2 * i + 1]));
	if (sk_text_encode(t, line, len, special, true, 0, &v, &err) < 0)
		printf("ERR %s", err.text);
	if (offsets)
		sk_ids_widen(&v, line, len);
	for (i = 0; i < v.len; i++)
		if (offsets)
			printf("%s%u %u", i ? " " : "", v.start[i], v.stop[i]);
		else
			printf("%s%d", i ? " " : "", v.ids[i]);
	putchar('\n');
	sk_ids_fini(&v);
}

static void hex_print(const struct sk_buf *b)
{
	for (size_t i = 0; i < b->len; i++)
		printf("%02x", (unsigned char)b->data[i]);
}

static int32_t *ids_read(const char *line, size_t *ret_len)
{
	size_t cap = strlen(line) / 2 + 1, len = 0;
	int32_t *ids = calloc(cap, sizeof(*ids));
	char *end;

	for (; ids && len < cap; line = end) {
		ids[len] = (int32_t)strtol(line, &end, 10);
		if (end == line)
			break;
		len++;
	}
	*ret_len = len;
	return ids;
}

static void pieces(const struct sk_text *t, const char *line, bool skip)
{
	struct sk_detok d = { .tail_len = 0 };
	size_t len, i;
	int32_t *ids = ids_read(line, &len);

	for (i = 0; i <= len; i++) {
		struct sk_buf part = SK_BUF(1 << 26);

		if (i < len && (!skip || !sk_text_is_special(t, ids[i])))
			sk_detok_push(t, &d, ids[i], &part);
		if (i == len)
			sk_detok_end(&d, &part);
		if (part.len)
			hex_print(&part);
		else
			putchar('-');
		putchar(i < len ? ' ' : '\n');
		sk_buf_fini(&part);
	}
	free(ids);
}

static void decode(const struct sk_text *t, const char *line, bool skip)
{
	struct sk_buf b = SK_BUF(1 << 26), parts = SK_BUF(1 << 26);
	struct sk_detok d = { .tail_len = 0 };
	size_t len, i;
	int32_t *ids = ids_read(line, &len);

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

/* The end of the text that begins at `at`: all of the rest, or its line. */
static size_t text_end(const char *s, size_t len, size_t at, bool lines)
{
	const char *stop = lines ? memchr(s + at, '\n', len - at) : NULL;

	return stop ? (size_t)(stop + 1 - s) : len;
}

static int measure(const struct sk_text *t, const char *path, bool lines)
{
	struct sk_ids v = { .offsets = false };
	FILE *f = fopen(path, "rb");
	size_t len = 0, at, end, ids = 0;
	char *s = malloc(FILE_MAX);
	double began;
	sk_status st = SK_OK;

	if (!f || !s) {
		perror(path);
		return 1;
	}
	len = fread(s, 1, FILE_MAX, f);
	fclose(f);
	began = spent_ms();
	for (at = 0; at < len && st == SK_OK; at = end) {
		end = text_end(s, len, at, lines);
		v.len = 0;
		st = sk_text_encode(t, s + at, end - at - (lines && s[end - 1] == '\n'), false, true, 0, &v, NULL);
		ids += v.len;
	}
	printf("%zu bytes, %zu ids, %.3f ms\n", len, ids, spent_ms() - began);
	sk_ids_fini(&v);
	free(s);
	return st < 0;
}

int main(int argc, char **argv)
{
	struct sk_text *t = NULL;
	struct sk_text_info info;
	struct sk_err err = { .text = "" };
	double began = spent_ms();
	char *line = NULL;
	size_t cap = 0;
	ssize_t n;
	int rc = 0;

	if (argc < 2 || sk_text_open_dir(argv[1], NULL, 0, &t, &err) < 0) {
		printf("ERR %s\n", argc < 2 ? "tokdump DIR [FILE [lines]]" : err.text);
		return 1;
	}
	sk_text_info(t, &info);
	printf("OK %s, %d tokens, %.1f MiB, opened in %.1f ms\n", info.kind, info.vocab, (double)info.bytes / (1 << 20),
	       spent_ms() - began);
	fflush(stdout);
	if (argc > 2)
		rc = measure(t, argv[2], argc > 3);
	while (argc == 2 && (n = getline(&line, &cap, stdin)) > 0) {
		if (line[n - 1] == '\n')
			line[--n] = '\0';
		if (n > 1 && strchr("EeO", line[0]))
			encode(t, line + 2, line[0] != 'e', line[0] == 'O');
		else if (n > 1 && (line[0] | 32) == 'p')
			pieces(t, line + 1, line[0] == 'p');
		else if (n > 0)
			decode(t, line + 1, line[0] == 'd');
		fflush(stdout);
	}
	free(line);
	sk_text_close(&t);
	return rc;
}
