/* SPDX-License-Identifier: Apache-2.0 */
/* A tokenizer alone, and what the engine's callers ask of the one it has. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine/base/buf.h"
#include "engine/saker.h"
#include "engine/text/text.h"

#define TEXT_MAX ((size_t)1 << 31)

/* Whether a directory has a tokenizer in files of its own. */
static bool has_tokenizer(const char *dir)
{
	static const char *const names[] = { "tokenizer.json", "tokenizer.model", "spiece.model", "vocab.json" };
	char path[4096];
	struct stat s;
	size_t i;

	if (stat(dir, &s) < 0 || !S_ISDIR(s.st_mode))
		return false;
	for (i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if ((size_t)snprintf(path, sizeof(path), "%s/%s", dir, names[i]) < sizeof(path) && access(path, F_OK) == 0)
			return true;
	return false;
}

sk_status sk_tokenizer_open(const char *model, struct sk_text **ret_t, struct sk_err *err)
{
	struct sk_weights *w = NULL;
	sk_status st;

	if (has_tokenizer(model))
		return sk_text_open_dir(model, NULL, 0, ret_t, err);
	st = sk_weights_open(model, &w, err);
	if (st == SK_OK)
		st = sk_text_open_gguf(w, ret_t, err);
	if (w)
		sk_weights_close(&w);
	return st;
}

void sk_tokenizer_close(struct sk_text **t)
{
	sk_text_close(t);
}

sk_status sk_tokenizer_encode(const struct sk_text *t, const char *text, size_t len, bool add_special, bool parse_special,
			      int32_t **ret_ids, size_t *ret_len, struct sk_err *err)
{
	struct sk_ids v = { 0 };
	sk_status st = sk_text_encode(t, text, len, add_special, parse_special, 0, &v, err);

	if (st >= 0 && !v.ids) {
		v.ids = malloc(sizeof(*v.ids));
		st = v.ids ? SK_OK : sk_fail(err, SK_ENOMEM, "out of memory");
	}
	if (st >= 0) {
		*ret_ids = v.ids;
		*ret_len = v.len;
		v.ids = NULL;
	}
	sk_ids_fini(&v);
	return st;
}

static sk_status decode(const struct sk_text *t, const int32_t *ids, size_t len, bool skip_special, bool rest, char **ret_text,
			size_t *ret_len, struct sk_err *err)
{
	struct sk_buf b = SK_BUF(TEXT_MAX);
	struct sk_text_info ti;
	sk_status st;

	sk_text_info(t, &ti);
	for (size_t i = 0; i < len; i++)
		if (ids[i] < 0 || ids[i] >= ti.vocab)
			return sk_fail(err, SK_EINVAL, "token id %d is not one of the vocabulary of %d", (int)ids[i],
				       (int)ti.vocab);
	st = rest ? sk_text_decode_rest(t, ids, len, skip_special, &b) : sk_text_decode(t, ids, len, skip_special, &b);
	if (st >= 0)
		st = sk_buf_addc(&b, '\0');
	if (st < 0) {
		sk_buf_fini(&b);
		return sk_fail(err, st, "the text of %zu tokens is too long", len);
	}
	*ret_text = b.data;
	*ret_len = b.len - 1;
	return SK_OK;
}

sk_status sk_tokenizer_decode(const struct sk_text *t, const int32_t *ids, size_t len, bool skip_special, char **ret_text,
			      size_t *ret_len, struct sk_err *err)
{
	return decode(t, ids, len, skip_special, false, ret_text, ret_len, err);
}

sk_status sk_tokenizer_token(const struct sk_text *t, int32_t id, char **ret_text, size_t *ret_len, struct sk_err *err)
{
	return decode(t, &id, 1, false, true, ret_text, ret_len, err);
}
