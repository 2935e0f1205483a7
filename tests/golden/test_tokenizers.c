/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Small tokenizers of every scheme and option against the Hugging Face library: make_tokenizers.py says what the files mean.
 *
 *	test_tokenizers                 all of names.txt
 *	test_tokenizers NAME [NUMBER]   one of them, or what becomes of one string, in full
 */
#include "tests/golden/golden.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "engine/base/utf8.h"
#include "engine/text/text.h"

#define STRINGS_MAX 1000
#define REPLACEMENT "\xef\xbf\xbd"

static char *strings[STRINGS_MAX];
static size_t string_len[STRINGS_MAX], strings_len;
static unsigned long compared, differ, ggufs;

static uint32_t fnv(uint32_t h, const void *data, size_t len)
{
	const unsigned char *p = data;

	while (len--)
		h = (h ^ *p++) * 0x01000193u;
	return h;
}

static uint32_t fnv_numbers(const uint32_t *v, size_t len)
{
	uint32_t h = 0x811c9dc5u;
	size_t i;

	for (i = 0; i < len; i++) {
		unsigned char b[4] = { (unsigned char)v[i], (unsigned char)(v[i] >> 8), (unsigned char)(v[i] >> 16),
				       (unsigned char)(v[i] >> 24) };

		h = fnv(h, b, 4);
	}
	return h;
}

/* "-": the library gave nothing to compare with. */
static void compare(const char *name, const char *what, size_t number, uint32_t got, const char *want)
{
	compared++;
	if (!strcmp(want, "-") || got == (uint32_t)strtoul(want, NULL, 16))
		return;
	differ++;
	if (differ <= 40)
		printf("%s: %s of number %zu differ: make_tokenizers.py %s %zu shows what is wanted, test_tokenizers %s %zu what is\n",
		       name, what, number, name, number, name, number);
}

/* The library counts characters. */
static uint32_t offsets_hash(struct sk_ids *v, const char *s, size_t len)
{
	uint32_t *at = malloc((2 * v->len + 1) * sizeof(*at)), h;
	size_t i;

	sk_ids_widen(v, s, len);
	for (i = 0; i < v->len; i++) {
		at[2 * i] = v->start[i];
		at[2 * i + 1] = v->stop[i];
	}
	h = fnv_numbers(at, 2 * v->len);
	free(at);
	return h;
}

/* A run of byte tokens that is ill-formed is one thing as a whole, and another in a stream (text.h). */
static bool runs_differ(const struct sk_text *t, const int32_t *ids, size_t len, const struct sk_buf *whole)
{
	const char *p;
	bool bytes = false;
	size_t i, n;

	for (i = 0; i < len; i++) {
		p = sk_text_piece(t, ids[i], &n);
		bytes = bytes || (n == 6 && !memcmp(p, "<0x", 3));
	}
	return bytes && whole->len && memmem(whole->data, whole->len, REPLACEMENT, 3);
}

/*
 * What each id adds to a stream, as the library gives it: it waits where the text so far ends in U+FFFD, or is not whole, also with
 * what comes before that.
 */
static uint32_t stream_hash(const struct sk_text *t, const int32_t *ids, size_t len)
{
	struct sk_buf b = SK_BUF(1 << 24);
	struct sk_detok d = { .tail_len = 0 };
	uint32_t h = 0x811c9dc5u;
	size_t i;

	for (i = 0; i < len; i++) {
		sk_detok_push(t, &d, ids[i], &b);
		if (b.len && !d.tail_len && (b.len < 3 || memcmp(b.data + b.len - 3, REPLACEMENT, 3) != 0)) {
			h = fnv(h, b.data, b.len);
			sk_buf_clear(&b);
		}
		h = fnv(h, "\xff", 1);
	}
	sk_buf_fini(&b);
	return h;
}

/* Decoded whole, and the pieces of a stream, which must be the same. */
static uint32_t decoded_hash(const char *name, const struct sk_text *t, const int32_t *ids, size_t len, bool skip)
{
	struct sk_buf b = SK_BUF(1 << 24), parts = SK_BUF(1 << 24);
	struct sk_detok d = { .tail_len = 0 };
	uint32_t h;
	size_t i;

	if (sk_text_decode(t, ids, len, skip, &b) < 0)
		differ++;
	for (i = 0; i < len; i++) {
		if (skip && sk_text_is_special(t, ids[i]))
			continue;
		sk_detok_push(t, &d, ids[i], &parts);
		if (!sk_utf8_valid(parts.len ? parts.data : "", parts.len)) {
			printf("%s: half a character in a stream\n", name);
			differ++;
		}
	}
	sk_detok_end(&d, &parts);
	if (!runs_differ(t, ids, len, &b) && (parts.len != b.len || (b.len && memcmp(parts.data, b.data, b.len) != 0))) {
		differ++;
		printf("%s: a stream of %zu tokens gives \"%s\", decoding \"%s\"\n", name, len, sk_buf_str(&parts), sk_buf_str(&b));
	}
	h = fnv(0x811c9dc5u, b.data, b.len);
	sk_buf_fini(&b);
	sk_buf_fini(&parts);
	return h;
}

static void string_check(const char *name, const struct sk_text *t, size_t n, char **c, int columns)
{
	struct sk_ids with = { .offsets = true }, plain = { .offsets = false };
	const char *s = strings[n];
	size_t len = string_len[n];
	struct sk_err err = { .text = "" };

	if (columns < 6)
		return;
	if (sk_text_encode(t, s, len, true, true, 0, &with, &err) < 0 || sk_text_encode(t, s, len, false, true, 0, &plain, &err) < 0) {
		differ++;
		printf("%s: string %zu: %s\n", name, n, err.text);
	}
	compare(name, "ids", n, fnv_numbers((const uint32_t *)with.ids, with.len), c[0]);
	compare(name, "ids without specials", n, fnv_numbers((const uint32_t *)plain.ids, plain.len), c[1]);
	compare(name, "offsets", n, offsets_hash(&with, s, len), c[2]);
	compare(name, "decoded text", n, decoded_hash(name, t, with.ids, with.len, false), c[3]);
	compare(name, "text without specials", n, decoded_hash(name, t, with.ids, with.len, true), c[4]);
	compare(name, "streamed pieces", n, stream_hash(t, with.ids, with.len), c[5]);
	sk_ids_fini(&with);
	sk_ids_fini(&plain);
}

static uint32_t lcg(uint32_t *x)
{
	*x = (*x * 1103515245u + 12345u) & 0x7fffffff;
	return *x >> 8;
}

static void random_check(const char *name, const struct sk_text *t, size_t n, uint32_t *x, char **c)
{
	size_t len = 1 + lcg(x) % 20, i;
	struct sk_text_info info;
	int32_t ids[20];

	sk_text_info(t, &info);
	for (i = 0; i < len; i++)
		ids[i] = (int32_t)(lcg(x) % (uint32_t)info.vocab);
	compare(name, "random ids' text", n, decoded_hash(name, t, ids, len, false), c[0]);
	compare(name, "random ids' text without specials", n, decoded_hash(name, t, ids, len, true), c[1]);
}

/* The columns of a line; "=" is what the column before says, "^" what the line above says there, which `above` keeps. */
static int columns_of(char *line, char above[6][16], char **c)
{
	int n = 0;

	for (; n < 6 && *line; n++) {
		char *word = line;

		line += strcspn(line, " ");
		if (*line)
			*line++ = '\0';
		if (n && !strcmp(word, "="))
			word = above[n - 1];
		if (strcmp(word, "^") != 0)
			snprintf(above[n], sizeof(above[n]), "%s", word);
		c[n] = above[n];
	}
	return n;
}

/* NAME/tokenizer.gguf, where there is one: the same answers. */
static bool gguf_open(const char *name, struct sk_text **ret_t)
{
	struct sk_weights *w = NULL;
	struct sk_err err = { .text = "" };
	char path[512];
	sk_status st;

	snprintf(path, sizeof(path), "%s/tests/golden/tokenizers/%s/tokenizer.gguf", GOLDEN_SRCDIR, name);
	if (access(path, F_OK) != 0)
		return false;
	st = sk_weights_open(path, &w, &err);
	if (st == SK_OK)
		st = sk_text_open_gguf(w, ret_t, &err);
	if (st < 0) {
		differ++;
		printf("%s: %s\n", path, err.text);
	}
	if (w)
		sk_weights_close(&w);
	return st == SK_OK;
}

static void tokenizer_check(const char *name, bool gguf)
{
	char path[512], above[6][16] = { "" }, *file, *line, *next, *c[6] = { NULL };
	struct sk_text *t = NULL;
	struct sk_err err = { .text = "" };
	size_t len, n = 0;
	uint32_t x = 2026;
	bool random = false;
	int columns;

	snprintf(path, sizeof(path), "%s/tests/golden/tokenizers/%s", GOLDEN_SRCDIR, name);
	if (gguf) {
		if (!gguf_open(name, &t))
			return;
		ggufs++;
	} else if (sk_text_open_dir(path, NULL, 0, &t, &err) < 0) {
		differ++;
		printf("%s: %s\n", name, err.text);
		return;
	}
	snprintf(path, sizeof(path), "tokenizers/%s/golden.txt", name);
	file = golden_file(path, &len);
	for (line = file; *line; line = next, n++) {
		next = line + strcspn(line, "\n");
		if (*next)
			*next++ = '\0';
		if (!strcmp(line, "random")) {
			random = true;
			n = (size_t)-1;
			continue;
		}
		columns = columns_of(line, above, c);
		if (random)
			random_check(name, t, n, &x, c);
		else if (n < strings_len)
			string_check(name, t, n, c, columns);
	}
	free(file);
	sk_text_close(&t);
}

static void string_show(const char *name, size_t n)
{
	struct sk_ids v = { .offsets = true };
	struct sk_text *t = NULL;
	struct sk_buf b = SK_BUF(1 << 24);
	char path[512];
	struct sk_err err = { .text = "" };

	snprintf(path, sizeof(path), "%s/tests/golden/tokenizers/%s", GOLDEN_SRCDIR, name);
	if (n >= strings_len || sk_text_open_dir(path, NULL, 0, &t, &err) < 0 ||
	    sk_text_encode(t, strings[n], string_len[n], true, true, 0, &v, &err) < 0) {
		printf("%s\n", err.text);
		return;
	}
	printf("%s\n", strings[n]);
	for (size_t i = 0; i < v.len; i++)
		printf("%d (%u, %u)%s", v.ids[i], v.start[i], v.stop[i], i + 1 < v.len ? ", " : "\n");
	sk_text_decode(t, v.ids, v.len, false, &b);
	printf("%s\n", sk_buf_str(&b));
	sk_buf_fini(&b);
	sk_ids_fini(&v);
	sk_text_close(&t);
}

static char *strings_read(void)
{
	size_t len;
	char *file = golden_file("tokenizers/strings.txt", &len), *line, *next;

	for (line = file; line < file + len && strings_len < STRINGS_MAX; line = next) {
		next = memchr(line, '\n', (size_t)(file + len - line));
		*next++ = '\0';
		strings[strings_len] = line;
		string_len[strings_len++] = golden_unescape(line);
	}
	return file;
}

int main(int argc, char **argv)
{
	char *text = strings_read(), *names, *line, *next;
	unsigned tokenizers = 0;
	size_t len;

	if (argc > 2) {
		string_show(argv[1], (size_t)atol(argv[2]));
		return 0;
	}
	names = golden_file("tokenizers/names.txt", &len);
	for (line = names; *line; line = next) {
		next = line + strcspn(line, "\n");
		if (*next)
			*next++ = '\0';
		if (argc > 1 && strcmp(argv[1], line) != 0)
			continue;
		tokenizer_check(line, false);
		tokenizer_check(line, true);
		tokenizers++;
	}
	printf("%u tokenizers, %lu of them also as GGUF, %zu strings: %lu comparisons, %lu differ\n", tokenizers, ggufs, strings_len,
	       compared, differ);
	free(names);
	free(text);
	return differ || (argc == 1 && (tokenizers < 160 || ggufs < 4 || compared < 300000)) ? EXIT_FAILURE : EXIT_SUCCESS;
}
