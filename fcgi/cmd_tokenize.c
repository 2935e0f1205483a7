/* SPDX-License-Identifier: Apache-2.0 */
/*
 * saker tokenize: what the model's tokenizer makes of a text: one line a token, id and piece, with --offsets where it is from. --decode goes back. The model's
 * weights are not loaded.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/buf.h"
#include "engine/saker.h"
#include "fcgi/commands.h"
#include "fcgi/words.h"

#define TEXT_MAX (64u << 20)

static sk_status print_pieces(const struct sk_text *t, const struct sk_token_at *tokens, size_t len, const struct sk_flags *f,
			      struct sk_err *err)
{
	struct sk_buf b = SK_BUF(SIZE_MAX);

	for (size_t i = 0; i < len; i++) {
		char *text = NULL;
		size_t text_len = 0;
		sk_status st;

		if (f->tokenize_ids) {
			printf("%s%" PRId32, i ? " " : "", tokens[i].id);
			continue;
		}
		st = sk_tokenizer_token(t, tokens[i].id, &text, &text_len, err);
		if (st < 0) {
			sk_buf_fini(&b);
			return st;
		}
		sk_buf_clear(&b);
		sk_buf_add_json(&b, text, text_len);
		free(text);
		if (b.failed) {
			sk_buf_fini(&b);
			return sk_fail(err, SK_ENOMEM, "out of memory for token %" PRId32, tokens[i].id);
		}
		printf("%7" PRId32, tokens[i].id);
		if (f->tokenize_offsets)
			printf(" %7" PRIu32 " %7" PRIu32, tokens[i].start, tokens[i].stop);
		printf(" \"%.*s\"\n", (int)b.len, b.len ? b.data : "");
	}
	if (f->tokenize_ids)
		putchar('\n');
	sk_buf_fini(&b);
	return SK_OK;
}

static sk_status decode(const struct sk_text *t, const char *s, const struct sk_flags *f, struct sk_err *err)
{
	size_t len = 0, text_len = 0;
	int32_t *ids = NULL;
	char *text = NULL;
	sk_status st = sk_words_ids(s, &ids, &len, err);

	if (st == SK_OK)
		st = sk_tokenizer_decode(t, ids, len, f->tokenize_skip_special, &text, &text_len, err);
	if (st == SK_OK) {
		fwrite(text, 1, text_len, stdout);
		putchar('\n');
	}
	free(text);
	free(ids);
	return st;
}

static sk_status tokenize(const struct sk_text *t, struct sk_buf *text, const struct sk_flags *f, struct sk_err *err)
{
	struct sk_token_at *tokens = NULL;
	size_t len = 0;
	sk_status st;

	if (f->tokenize_decode)
		return decode(t, sk_buf_str(text), f, err);
	st = sk_tokenizer_tokens(t, text->len ? text->data : "", text->len, !f->tokenize_no_special, f->tokenize_parse_special, 0,
				 &tokens, &len, err);
	if (st == SK_OK)
		st = print_pieces(t, tokens, len, f, err);
	free(tokens);
	return st;
}

int sk_cmd_tokenize(int argc, char **argv)
{
	struct sk_buf text = SK_BUF(TEXT_MAX);
	struct sk_engine_opts eo = { 0 };
	struct sk_text *tokenizer = NULL;
	struct sk_options o;
	struct sk_flags f;
	struct sk_err err = { 0 };
	sk_status st = sk_command_read("tokenize", &o, &f, &argc, argv, &err);

	if (st == SK_OK)
		sk_words_quiet(&o);
	if (st == SK_OK)
		st = sk_words_read(&text, argc, argv, "text", &err);
	if (st == SK_OK) {
		sk_options_engine(&o, &eo);
		st = eo.model ? sk_tokenizer_open(eo.model, &tokenizer, &err) :
				sk_fail(&err, SK_EINVAL, "no model is named: use --model");
	}
	if (st == SK_OK)
		st = tokenize(tokenizer, &text, &f, &err);
	if (st == SK_OK)
		st = sk_words_flush(&err);
	sk_tokenizer_close(&tokenizer);
	sk_buf_fini(&text);
	return sk_exit("tokenize", st, &err);
}
