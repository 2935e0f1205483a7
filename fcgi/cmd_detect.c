/* SPDX-License-Identifier: Apache-2.0 */
/*
 * saker detect: whether a text carries the watermark that the settings describe. Headers and tokenizer are read, no weights.
 */
#include <inttypes.h>
#include <stdlib.h>

#include "engine/base/buf.h"
#include "engine/saker.h"
#include "fcgi/api_watermark.h"
#include "fcgi/commands.h"
#include "fcgi/words.h"

static sk_status print(const struct sk_detection *d, bool json, struct sk_err *err)
{
	struct sk_buf b = SK_BUF(4096);
	sk_status st;

	if (json) {
		sk_watermark_add(&b, d);
		sk_buf_addc(&b, '\n');
	} else {
		sk_buf_addf(&b, "tokens     %" PRIu32 "\ngreen      %" PRIu32 " (%.1f by chance)\nscheme     %s, gamma %g\nz-score    %.2f\n"
			    "p-value    %.3g\n", d->tokens, d->green, d->gamma * d->tokens, sk_watermark_scheme(d), d->gamma, d->z_score,
			    d->p_value);
	}
	st = sk_words_print(&b, err);
	sk_buf_fini(&b);
	return st;
}

static sk_status encode(const struct sk_engine_opts *eo, struct sk_buf *text, int32_t **ret_ids, size_t *ret_len,
			struct sk_err *err)
{
	struct sk_text *tokenizer = NULL;
	sk_status st = sk_tokenizer_open(eo->model, &tokenizer, err);

	if (st == SK_OK)
		st = sk_tokenizer_encode(tokenizer, sk_buf_str(text), text->len, false, false, ret_ids, ret_len, err);
	sk_tokenizer_close(&tokenizer);
	return st;
}

static sk_status detect(const struct sk_options *o, const struct sk_flags *f, struct sk_buf *text, struct sk_err *err)
{
	struct sk_engine_opts eo = { 0 };
	struct sk_detection d;
	struct sk_info info;
	int32_t *ids = NULL;
	size_t len = 0;
	sk_status st;

	sk_options_engine(o, &eo);
	st = sk_engine_plan(&eo, &info, err);
	if (st == SK_OK)
		st = f->detect_ids ? sk_words_ids(sk_buf_str(text), &ids, &len, err) : encode(&eo, text, &ids, &len, err);
	if (st == SK_OK)
		st = sk_watermark_detect(&eo.watermark, info.vocab, ids, len, &d, err);
	if (st == SK_OK)
		st = print(&d, f->detect_json, err);
	free(ids);
	return st;
}

int sk_cmd_detect(int argc, char **argv)
{
	struct sk_buf text = SK_BUF(SK_DETECT_BYTES_MAX);
	struct sk_options o;
	struct sk_flags f;
	struct sk_err err = { 0 };
	sk_status st = sk_command_read("detect", &o, &f, &argc, argv, &err);

	if (st == SK_OK)
		sk_words_quiet(&o);
	if (st == SK_OK)
		st = sk_words_read(&text, argc, argv, "text", &err);
	if (st == SK_OK)
		st = detect(&o, &f, &text, &err);
	sk_buf_fini(&text);
	return sk_exit("detect", st, &err);
}
