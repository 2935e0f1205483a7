/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Puts the pages into the program: prints C with the bytes of each page and the Content-Security-Policy that goes with it.
 *
 *	assemble DIRECTORY NAME...      DIRECTORY/NAME.html becomes sk_page_NAME (fcgi/pages.h)
 *
 * A line `@FILE` in the HTML is replaced by the file of that name. What then is between <script> and </script>, or <style> and
 * </style>, may run, and nothing else: the policy names its SHA-256. A page needs no other file, and asks nobody but its own server.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/buf.h"
#include "engine/base/sha256.h"

#define PAGE_MAX 150000                 /* bytes of a page, as README.md promises */

static void fail(const char *name, const char *words)
{
	fprintf(stderr, "assemble: %s: %s\n", name, words);
	exit(1);
}

/* Append a file. Its name in `dir`, and no way out of it. */
static void add_file(struct sk_buf *b, const char *dir, const char *name)
{
	char path[4096], part[4096];
	size_t len;
	FILE *f;

	if (strchr(name, '/'))
		fail(name, "a page includes only its neighbours");
	if (snprintf(path, sizeof path, "%s/%s", dir, name) >= (int)sizeof path)
		fail(name, "the path is too long");
	f = fopen(path, "rb");
	if (!f)
		fail(path, "cannot be read");
	while ((len = fread(part, 1, sizeof part, f)) > 0)
		sk_buf_add(b, part, len);
	if (ferror(f) || b->failed)
		fail(path, "cannot be read, or is too large");
	fclose(f);
}

/* The page with its lines `@FILE` replaced. */
static void put_together(struct sk_buf *page, const char *dir, const char *name)
{
	struct sk_buf source = SK_BUF(PAGE_MAX);
	char file[256];
	const char *line, *end;

	snprintf(file, sizeof file, "%s.html", name);
	add_file(&source, dir, file);
	for (line = sk_buf_str(&source); *line; line = end) {
		end = line + strcspn(line, "\n");
		end += *end == '\n';
		if (*line != '@') {
			sk_buf_add(page, line, (size_t)(end - line));
			continue;
		}
		snprintf(file, sizeof file, "%.*s", (int)strcspn(line + 1, "\n"), line + 1);
		add_file(page, dir, file);
	}
	if (page->failed)
		fail(name, "the page is over its limit of 150,000 bytes");
	sk_buf_fini(&source);
}

static void add_base64(struct sk_buf *b, const uint8_t *p, size_t len)
{
	static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

	for (size_t i = 0; i < len; i += 3) {
		unsigned bits = (unsigned)p[i] << 16 | (i + 1 < len ? (unsigned)p[i + 1] << 8 : 0) | (i + 2 < len ? p[i + 2] : 0);

		for (size_t k = 0; k < 4; k++)
			sk_buf_addc(b, i + k > len ? '=' : letters[bits >> (18 - 6 * k) & 63]);
	}
}

/* " 'sha256-...'" for each <TAG> of the page; at least one. */
static void add_hashes(struct sk_buf *policy, const struct sk_buf *page, const char *tag)
{
	char open[32], close[32];
	uint8_t hash[SK_SHA256_BYTES];
	const char *at = page->data, *end;
	int found = 0;

	snprintf(open, sizeof open, "<%s>", tag);
	snprintf(close, sizeof close, "</%s>", tag);
	while ((at = strstr(at, open)) != NULL) {
		at += strlen(open);
		end = strstr(at, close);
		if (!end)
			fail(open, "is not closed");
		sk_sha256(at, (size_t)(end - at), hash);
		sk_buf_adds(policy, " 'sha256-");
		add_base64(policy, hash, sizeof hash);
		sk_buf_addc(policy, '\'');
		at = end;
		found++;
	}
	if (!found)
		fail(open, "is missing");
}

static void print_page(const char *name, const struct sk_buf *page, const char *policy)
{
	printf("static const unsigned char %s[] = {", name);
	for (size_t i = 0; i < page->len; i++)
		printf("%s%u,", i % 32 ? "" : "\n\t", (unsigned char)page->data[i]);
	printf("\n};\n\nconst struct sk_page sk_page_%s = { %s, sizeof %s,\n\t\"%s\" };\n\n", name, name, name, policy);
}

int main(int argc, char **argv)
{
	if (argc < 3)
		fail("usage", "assemble DIRECTORY NAME...");
	printf("/* Made by etc/www/assemble.c from the pages beside it. */\n#include \"fcgi/pages.h\"\n\n");
	for (int i = 2; i < argc; i++) {
		struct sk_buf page = SK_BUF(PAGE_MAX), policy = SK_BUF(4096);

		put_together(&page, argv[1], argv[i]);
		(void)sk_buf_str(&page);
		sk_buf_adds(&policy, "default-src 'none'; connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; "
			    "frame-ancestors 'none'; require-trusted-types-for 'script'; script-src");
		add_hashes(&policy, &page, "script");
		sk_buf_adds(&policy, "; style-src");
		add_hashes(&policy, &page, "style");
		print_page(argv[i], &page, sk_buf_str(&policy));
		sk_buf_fini(&page);
		sk_buf_fini(&policy);
	}
	return fflush(stdout) == 0 && !ferror(stdout) ? 0 : 1;
}
