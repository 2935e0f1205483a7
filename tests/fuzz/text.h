/* SPDX-License-Identifier: Apache-2.0 */
/* For fuzzers of tokenizers: a directory for their files, and using what was opened. */
#ifndef TESTS_FUZZ_TEXT_H
#define TESTS_FUZZ_TEXT_H

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "engine/base/utf8.h"
#include "engine/text/kind.h"

#define MUST(cond) do { if (!(cond)) { fprintf(stderr, "broken: %s\n", #cond); abort(); } } while (0)

/* ---- using a tokenizer -------------------------------------------------------------------------------------------------- */

static void stop_try(const char *s, size_t len)
{
	static const char *const stop[] = { "\n\n", "ab", "abc", "\xc3", "<|end|>" };
	static const size_t bytes[] = { 2, 2, 3, 1, 7 };
	size_t used = 0, match = 0, held = 0, at = 0, n;
	struct sk_stop *m = NULL;
	bool hit = false;

	MUST(sk_stop_open(stop, bytes, 5, &m, NULL) == SK_OK);
	while (at < len && !hit) {
		n = len - at < 3 ? len - at : 3;
		hit = sk_stop_feed(m, s + at, n, &used, &match, &held);
		MUST(!hit || (used > 0 && used <= n && match <= at + used));
		MUST(hit || held <= at + n);
		at += hit ? used : n;
	}
	MUST(!hit || !memcmp(s + at - match, match == 3 ? "abc" : match == 7 ? "<|end|>" : s + at - match, match));
	sk_stop_close(&m);
}

/* whole: every byte is a token and text is not composed, so nothing may get lost. */
static void text_try(const struct sk_text *t, const char *s, size_t len, bool whole)
{
	struct sk_buf back = SK_BUF(1 << 26), parts = SK_BUF(1 << 26), want = SK_BUF(1 << 26);
	struct sk_detok d = { .tail_len = 0 };
	struct sk_ids v = { .offsets = true };
	struct sk_text_info info;
	size_t i;

	sk_text_info(t, &info);
	if (sk_text_encode(t, s, len, len & 1, len & 2, 1 << 18, &v, NULL) == SK_OK) {
		for (i = 0; i < v.len; i++) {
			MUST(v.ids[i] >= 0 && v.ids[i] < info.vocab);
			MUST(v.start[i] <= v.stop[i] && v.stop[i] <= len);
		}
		MUST(sk_text_decode(t, v.ids, v.len, false, &back) == SK_OK);
		MUST(sk_utf8_valid(back.len ? back.data : "", back.len));
		for (i = 0; i < v.len; i++)
			MUST(sk_detok_push(t, &d, v.ids[i], &parts) == SK_OK);
		sk_detok_end(&d, &parts);
		MUST(sk_utf8_valid(parts.len ? parts.data : "", parts.len));
		/* A run of byte tokens that is ill-formed is one thing as a whole, and another in a stream. */
		if (t->raw_pieces || !back.len || !memmem(back.data, back.len, "\xef\xbf\xbd", 3))
			MUST(parts.len == back.len && (!back.len || !memcmp(parts.data, back.data, back.len)));
		if (whole && !(len & 1)) {
			sk_utf8_add_lossy(&want, s, len);
			MUST(want.len == back.len && (!back.len || !memcmp(want.data, back.data, back.len)));
		}
		if (back.len)
			stop_try(back.data, back.len);
	}
	sk_buf_fini(&back);
	sk_buf_fini(&parts);
	sk_buf_fini(&want);
	sk_ids_fini(&v);
}

static const char probe[] = "Hello world, the abc aabbcc 123 <|end|>\n\n  \xc3\xa9\xe4\xb8\x96\xf0\x9f\x98\x80 \xff the end";

static void opened_try(sk_status st, struct sk_text **t, const struct sk_err *err, const char *s, size_t len)
{
	if (st < 0) {
		MUST(!*t && err->text[0]);
		return;
	}
	text_try(*t, probe, sizeof(probe) - 1, false);
	text_try(*t, s, len < 4096 ? len : 4096, false);
	sk_text_close(t);
}

/* ---- the directory ---------------------------------------------------------------------------------------------------- */

static char dir[64];

static void dir_remove(void)
{
	static const char *const names[] = { "tokenizer.json", "tokenizer.model", "vocab.json", "merges.txt", "tokenizer_config.json" };
	char path[128];

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		snprintf(path, sizeof(path), "%s/%s", dir, names[i]);
		unlink(path);
	}
	rmdir(dir);
}

static void file_put(const char *name, const void *data, size_t len)
{
	char path[128];
	int fd;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	unlink(path);
	if (!len)
		return;
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	MUST(fd >= 0 && write(fd, data, len) == (ssize_t)len);
	close(fd);
}

static void dir_make(void)
{
	if (!dir[0]) {
		snprintf(dir, sizeof(dir), "/dev/shm/saker-fuzz-XXXXXX");
		if (!mkdtemp(dir)) {
			snprintf(dir, sizeof(dir), "/tmp/saker-fuzz-XXXXXX");
			MUST(mkdtemp(dir));
		}
		atexit(dir_remove);
	}
}

#endif
