/* SPDX-License-Identifier: Apache-2.0 */
/* The normalizers of a tokenizer.json, one after the other; Precompiled is in normal_precompiled.c. */
#include "engine/text/pipe.h"

#include <stdlib.h>
#include <string.h>

#include <utf8proc.h>

#include "engine/text/sets.h"

/* ---- normal forms ----------------------------------------------------------------------------------------------------- */

static sk_status form_run(const struct sk_piece *in, struct sk_normal *out, enum sk_form form, bool *ret_same)
{
	*ret_same = sk_normal_is_ascii(in->s, in->len);
	return *ret_same ? SK_OK : sk_normal_form(out, in, form);
}

static sk_status nfc_run(const struct sk_stage *step, const struct sk_piece *in, struct sk_normal *out, bool *ret_same)
{
	return form_run(in, out, SK_FORM_NFC, ret_same);
}

static sk_status nfd_run(const struct sk_stage *step, const struct sk_piece *in, struct sk_normal *out, bool *ret_same)
{
	return form_run(in, out, SK_FORM_NFD, ret_same);
}

static sk_status nfkc_run(const struct sk_stage *step, const struct sk_piece *in, struct sk_normal *out, bool *ret_same)
{
	return form_run(in, out, SK_FORM_NFKC, ret_same);
}

static sk_status nfkd_run(const struct sk_stage *step, const struct sk_piece *in, struct sk_normal *out, bool *ret_same)
{
	return form_run(in, out, SK_FORM_NFKD, ret_same);
}

const struct sk_normalizer_op sk_normalizer_nfc = { .type = "NFC", .run = nfc_run };
const struct sk_normalizer_op sk_normalizer_nfd = { .type = "NFD", .run = nfd_run };
const struct sk_normalizer_op sk_normalizer_nfkc = { .type = "NFKC", .run = nfkc_run };
const struct sk_normalizer_op sk_normalizer_nfkd = { .type = "NFKD", .run = nfkd_run };

/* ---- character by character ------------------------------------------------------------------------------------------- */

/* What becomes of one character: its new ones (0: it goes). */
typedef size_t change_fn(uint32_t cp, uint32_t out[3]);

static void each(const struct sk_piece *in, struct sk_normal *out, change_fn *change)
{
	size_t i, size, kept = 0, n, k;
	uint32_t cp, to[3];

	for (i = 0; i < in->len; i += size) {
		size = sk_piece_char(in, i, &cp);
		n = change(cp, to);
		if (n == 1 && to[0] == cp)
			continue;
		sk_normal_keep(out, in, kept, i);
		for (k = 0; k < n; k++)
			sk_normal_put_cp(out, to[k], sk_piece_span(in, i, i + size));
		kept = i + size;
	}
	sk_normal_keep(out, in, kept, in->len);
}

static size_t lower_change(uint32_t cp, uint32_t out[3])
{
	int n;

	out[0] = cp;
	if (cp < 0x80) {
		out[0] = cp - 'A' < 26 ? cp | 0x20 : cp;
		return 1;
	}
	n = sk_lower_of(cp, out);
	if (n)
		return (size_t)n;
	out[0] = (uint32_t)utf8proc_tolower((utf8proc_int32_t)cp);
	return 1;
}

static sk_status lowercase_run(const struct sk_stage *step, const struct sk_piece *in, struct sk_normal *out, bool *ret_same)
{
	each(in, out, lower_change);
	return SK_OK;
}

static size_t accent_change(uint32_t cp, uint32_t out[3])
{
	out[0] = cp;
	return cp < 0x300 || !sk_set_has(SK_SET_MARK, cp);
}

static sk_status strip_accents_run(const struct sk_stage *step, const struct sk_piece *in, struct sk_normal *out, bool *ret_same)
{
	*ret_same = sk_normal_is_ascii(in->s, in->len);
	if (!*ret_same)
		each(in, out, accent_change);
	return SK_OK;
}

static size_t nmt_change(uint32_t cp, uint32_t out[3])
{
	out[0] = cp;
	if ((cp >= 1 && cp <= 8) || cp == 0x0b || (cp >= 0x0e && cp <= 0x1f) || cp == 0x7f || cp == 0x8f || cp == 0x9f)
		return 0;
	if (cp == '\t' || cp == '\n' || cp == '\f' || cp == '\r' || cp == 0x1680 || (cp >= 0x200b && cp <= 0x200f) ||
	    cp == 0x2028 || cp == 0x2029 || cp == 0x2581 || cp == 0xfeff || cp == 0xfffd)
		out[0] = ' ';
	return 1;
}

static sk_status nmt_run(const struct sk_stage *step, const struct sk_piece *in, struct sk_normal *out, bool *ret_same)
{
	each(in, out, nmt_change);
	return SK_OK;
}

const struct sk_normalizer_op sk_normalizer_lowercase = { .type = "Lowercase", .run = lowercase_run };
const struct sk_normalizer_op sk_normalizer_strip_accents = { .type = "StripAccents", .run = strip_accents_run };
const struct sk_normalizer_op sk_normalizer_nmt = { .type = "Nmt", .run = nmt_run };

/* ---- BertNormalizer --------------------------------------------------------------------------------------------------- */

enum { BERT_CLEAN, BERT_HAN, BERT_ACCENTS, BERT_LOWER };

static size_t clean_change(uint32_t cp, uint32_t out[3])
{
	out[0] = cp;
	if (cp >= 0x20 && cp < 0x7f)
		return 1;
	if (sk_set_has(SK_SET_CONTROL, cp))
		return 0;
	if (sk_set_has(SK_SET_BERT_SPACE, cp))
		out[0] = ' ';
	return 1;
}

static size_t han_change(uint32_t cp, uint32_t out[3])
{
	if (cp < 0x3400 || !sk_set_has(SK_SET_HAN, cp)) {
		out[0] = cp;
		return 1;
	}
	out[0] = out[2] = ' ';
	out[1] = cp;
	return 3;
}

static size_t bert_accent_change(uint32_t cp, uint32_t out[3])
{
	out[0] = cp;
	return cp < 0x300 || !sk_set_has(SK_SET_BERT_MARK, cp);
}

static sk_status bert_read(struct sk_stage *step, const struct sk_config *c)
{
	step->on[BERT_CLEAN] = sk_text_config_bool(c, "clean_text", true);
	step->on[BERT_HAN] = sk_text_config_bool(c, "handle_chinese_chars", true);
	step->on[BERT_LOWER] = sk_text_config_bool(c, "lowercase", true);
	step->on[BERT_ACCENTS] = sk_text_config_bool(c, "strip_accents", step->on[BERT_LOWER]);
	return SK_OK;
}

/* Up to five changes, each over what the one before made. */
static sk_status bert_run(const struct sk_stage *step, const struct sk_piece *in, struct sk_normal *out, bool *ret_same)
{
	change_fn *const changes[5] = { step->on[BERT_CLEAN] ? clean_change : NULL, step->on[BERT_HAN] ? han_change : NULL, NULL,
					step->on[BERT_ACCENTS] ? bert_accent_change : NULL, step->on[BERT_LOWER] ? lower_change : NULL };
	struct sk_normal other = SK_NORMAL, *to = out, *from = &other, *swap;
	struct sk_piece now = *in;
	sk_status st = SK_OK;
	bool any = false;
	int i;

	for (i = 0; i < 5 && st == SK_OK; i++) {
		if (!changes[i] && !(i == 2 && step->on[BERT_ACCENTS] && !sk_normal_is_ascii(now.s, now.len)))
			continue;
		sk_normal_clear(to);
		if (changes[i])
			each(&now, to, changes[i]);
		else
			sk_normal_form(to, &now, SK_FORM_NFD);
		st = to->failed;
		now = sk_normal_piece(to);
		any = true;
		swap = to;
		to = from;
		from = swap;
	}
	/* `from` was written last. */
	if (from == &other && any) {
		struct sk_normal was = *out;

		*out = other;
		other = was;
	}
	sk_normal_fini(&other);
	*ret_same = !any;
	return st;
}

const struct sk_normalizer_op sk_normalizer_bert = { .type = "BertNormalizer", .read = bert_read, .run = bert_run };

/* ---- strings ---------------------------------------------------------------------------------------------------------- */

enum { STRIP_LEFT, STRIP_RIGHT };

static sk_status strip_read(struct sk_stage *step, const struct sk_config *c)
{
	step->on[STRIP_LEFT] = sk_text_config_bool(c, "strip_left", true);
	step->on[STRIP_RIGHT] = sk_text_config_bool(c, "strip_right", true);
	return SK_OK;
}

static sk_status strip_run(const struct sk_stage *step, const struct sk_piece *in, struct sk_normal *out, bool *ret_same)
{
	size_t from = 0, to = in->len, size, i;
	uint32_t cp;

	while (step->on[STRIP_LEFT] && from < to) {
		size = sk_piece_char(in, from, &cp);
		if (!sk_set_has(SK_SET_SPACE, cp))
			break;
		from += size;
	}
	while (step->on[STRIP_RIGHT] && to > from) {
		for (i = to - 1; i > from && ((unsigned char)in->s[i] & 0xc0) == 0x80; i--)
			;
		sk_piece_char(in, i, &cp);
		if (!sk_set_has(SK_SET_SPACE, cp))
			break;
		to = i;
	}
	*ret_same = from == 0 && to == in->len;
	if (!*ret_same)
		sk_normal_keep(out, in, from, to);
	return SK_OK;
}

static sk_status prepend_read(struct sk_stage *step, const struct sk_config *c)
{
	return sk_text_config_str(c, "prepend", NULL, &step->a, &step->a_len);
}

static sk_status prepend_run(const struct sk_stage *step, const struct sk_piece *in, struct sk_normal *out, bool *ret_same)
{
	uint32_t cp;
	size_t size = sk_piece_char(in, 0, &cp);
	struct sk_span first = sk_piece_span(in, 0, size);

	sk_normal_put(out, step->a, step->a_len, first);
	sk_normal_keep(out, in, 0, in->len);
	return SK_OK;
}

static sk_status replace_read(struct sk_stage *step, const struct sk_config *c)
{
	sk_status st = sk_text_config_pattern(c, "pattern", step);

	return st < 0 ? st : sk_text_config_str(c, "content", NULL, &step->b, &step->b_len);
}

/* What is put in has the place of the last character taken out; at the very beginning, none. */
static sk_status replace_run(const struct sk_stage *step, const struct sk_piece *in, struct sk_normal *out, bool *ret_same)
{
	void *match = NULL;
	struct sk_find f = { .step = step, .s = in->s, .len = in->len, .match = &match };
	size_t kept = 0, from = 0, to = 0, last;
	struct sk_span span;
	bool any = false;
	int rc;

	while ((rc = sk_find_next(&f, &from, &to)) > 0) {
		any = true;
		sk_normal_keep(out, in, kept, from);
		for (last = to ? to - 1 : 0; last && ((unsigned char)in->s[last] & 0xc0) == 0x80; last--)
			;
		span = to ? sk_piece_span(in, last, to) : sk_piece_span(in, 0, 0);
		sk_normal_put(out, step->b, step->b_len, span);
		kept = to;
	}
	sk_regex_match_free(match);
	if (rc < 0)
		return rc;
	*ret_same = !any;
	if (any)
		sk_normal_keep(out, in, kept, in->len);
	return SK_OK;
}

static sk_status bytes_run(const struct sk_stage *step, const struct sk_piece *in, struct sk_normal *out, bool *ret_same)
{
	size_t i, k, size;
	struct sk_span span;
	uint32_t cp;
	uint8_t b;

	for (i = 0; i < in->len; i += size) {
		size = sk_piece_char(in, i, &cp);
		span = sk_piece_span(in, i, i + size);
		for (k = 0; k < size; k++) {
			b = (uint8_t)in->s[i + k];
			sk_normal_put(out, sk_letter_of[b], sk_letter_len[b], span);
		}
	}
	return SK_OK;
}

const struct sk_normalizer_op sk_normalizer_strip = { .type = "Strip", .read = strip_read, .run = strip_run };
const struct sk_normalizer_op sk_normalizer_prepend = { .type = "Prepend", .read = prepend_read, .run = prepend_run };
const struct sk_normalizer_op sk_normalizer_replace = { .type = "Replace", .read = replace_read, .run = replace_run };
const struct sk_normalizer_op sk_normalizer_bytes = { .type = "ByteLevel", .run = bytes_run };
