/* SPDX-License-Identifier: Apache-2.0 */
/* A tokenizer alone, and what the engine's callers ask of the one it has. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "engine/arch/config.h"
#include "engine/base/buf.h"
#include "engine/inside.h"

#define TEXT_MAX ((size_t)1 << 31)

/* ---- of a checkpoint ------------------------------------------------------------------------------------------ */

static const char *const hf_ids[] = { "generation_config.%s", "%s" }, *const gguf_ids[] = { "tokenizer.ggml.%s" };

size_t sk_token_ids(const struct sk_weights *w, const char *name, int32_t *ret_ids, size_t max)
{
	bool is_hf = sk_weights_form(w) == SK_FORM_HF;
	size_t n = 0;
	char key[64];

	for (int i = 0; i < (is_hf ? 2 : 1) && n == 0; i++) {
		const struct sk_meta_value *v;
		struct sk_meta_value item;
		const void *cursor = NULL;
		size_t at;

		snprintf(key, sizeof(key), is_hf ? hf_ids[i] : gguf_ids[i], name);
		v = sk_meta_find(w, key);
		if (v && v->type == SK_META_INT && v->i >= 0 && v->i <= INT32_MAX)
			ret_ids[n++] = (int32_t)v->i;
		while (v && v->type == SK_META_ARRAY && n < max && sk_meta_next(v, &cursor, &at, &item))
			if (item.type == SK_META_INT && item.i >= 0 && item.i <= INT32_MAX)
				ret_ids[n++] = (int32_t)item.i;
	}
	return n;
}

sk_status sk_token_ids_check(const struct sk_weights *w, const char *name, struct sk_err *err)
{
	bool is_hf = sk_weights_form(w) == SK_FORM_HF;
	sk_status st = SK_OK;
	char key[64];

	for (int i = 0; i < (is_hf ? 2 : 1) && st == SK_OK; i++) {
		snprintf(key, sizeof(key), is_hf ? hf_ids[i] : gguf_ids[i], name);
		st = sk_config_ids(w, key, SK_TOKEN_IDS_MAX, err);
	}
	return st;
}

sk_status sk_text_of_weights(const struct sk_weights *w, struct sk_text **ret_t, struct sk_err *err)
{
	int32_t eos[SK_TOKEN_IDS_MAX];
	sk_status st = sk_token_ids_check(w, "eos_token_id", err);

	if (st < 0)
		return st;
	if (sk_weights_form(w) == SK_FORM_HF)
		return sk_text_open_dir(sk_weights_dir(w), eos, sk_token_ids(w, "eos_token_id", eos, SK_TOKEN_IDS_MAX), ret_t, err);
	return sk_text_open_gguf(w, ret_t, err);
}

/* ---- alone ---------------------------------------------------------------------------------------------------- */

sk_status sk_tokenizer_open(const char *model, struct sk_text **ret_t, struct sk_err *err)
{
	struct sk_weights *w = NULL;
	struct stat sb;
	sk_status st = sk_weights_open(model, &w, err);

	if (st >= 0)
		st = sk_text_of_weights(w, ret_t, err);
	else if (stat(model, &sb) == 0 && S_ISDIR(sb.st_mode))  /* its weights are not there, or not fit to be read */
		st = sk_text_open_dir(model, NULL, 0, ret_t, err);
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

sk_status sk_tokenizer_tokens(const struct sk_text *t, const char *text, size_t len, bool add_special, bool parse_special,
			      size_t tokens_max, struct sk_token_at **ret_tokens, size_t *ret_len, struct sk_err *err)
{
	struct sk_ids v = { .offsets = true };
	struct sk_token_at *tokens = NULL;
	sk_status st = sk_text_encode(t, text, len, add_special, parse_special, tokens_max, &v, err);

	if (st >= 0) {
		tokens = malloc((v.len + 1) * sizeof(*tokens));
		st = tokens ? SK_OK : sk_fail(err, SK_ENOMEM, "out of memory for %zu tokens", v.len);
	}
	if (st >= 0) {
		sk_ids_widen(&v, text, len);
		for (size_t i = 0; i < v.len; i++)
			tokens[i] = (struct sk_token_at){ v.ids[i], v.start[i], v.stop[i] };
		*ret_tokens = tokens;
		*ret_len = v.len;
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
