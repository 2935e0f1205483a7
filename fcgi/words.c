/* SPDX-License-Identifier: Apache-2.0 */
/* What the commands for people share: their text, from the command line or from standard input, and a quiet log. */
#include "fcgi/words.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/log.h"

sk_status sk_words_read(struct sk_buf *b, int argc, char **argv, const char *what, struct sk_err *err)
{
	char piece[8192];
	size_t got;

	for (int i = 1; i < argc; i++) {
		sk_buf_adds(b, i > 1 ? " " : "");
		sk_buf_adds(b, argv[i]);
	}
	if (argc <= 1) {
		while ((got = fread(piece, 1, sizeof piece, stdin)) > 0 && !b->failed)
			sk_buf_add(b, piece, got);
		if (ferror(stdin))
			return sk_fail(err, SK_EIO, "standard input cannot be read");
	}
	if (b->failed == SK_ENOMEM)
		return sk_fail(err, SK_ENOMEM, "out of memory for the %s", what);
	if (b->failed)
		return sk_fail(err, b->failed, "the %s is longer than %zu bytes", what, b->max);
	return SK_OK;
}

sk_status sk_words_flush(struct sk_err *err)
{
	return fflush(stdout) || ferror(stdout) ? sk_fail(err, SK_EIO, "standard output cannot be written") : SK_OK;
}

sk_status sk_words_print(const struct sk_buf *b, struct sk_err *err)
{
	if (b->failed)
		return sk_fail(err, b->failed, "what is to be printed: %s", sk_status_words(b->failed));
	fwrite(b->data, 1, b->len, stdout);
	return sk_words_flush(err);
}

void sk_words_quiet(const struct sk_options *o)
{
	int level = sk_log_level_find(o->log_level);

	sk_log_init(level == SK_LOG_INFO ? SK_LOG_WARN : (enum sk_log_level)level, o->json_output);
}

sk_status sk_words_ids(const char *s, int32_t **ret_ids, size_t *ret_len, struct sk_err *err)
{
	size_t len = 0, cap = strlen(s) / 2 + 1;
	int32_t *ids = calloc(cap, sizeof *ids);

	if (!ids)
		return sk_fail(err, SK_ENOMEM, "out of memory for %zu ids", cap);
	while (*(s += strspn(s, " \t\r\n,[]"))) {
		char *end;
		long id;

		errno = 0;
		id = strtol(s, &end, 10);
		if (end == s || errno || id < 0 || id > INT32_MAX) {
			free(ids);
			return sk_fail(err, SK_EINVAL, "\"%.20s\" is no token id", s);
		}
		ids[len++] = (int32_t)id;
		s = end;
	}
	*ret_ids = ids;
	*ret_len = len;
	return SK_OK;
}
