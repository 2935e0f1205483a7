/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The tokenizer against the Hugging Face library: make_tokenizer.py's files say what it does with hard strings,
 * and how its pre-tokenisers cut every code point. The words need no model; the ids need SmolLM2's.
 */
#include "tests/golden/golden.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/utf8.h"
#include "engine/text/pretok.h"
#include "engine/text/text.h"
#include "engine/weights/weights.h"

static struct sk_text *text;

/* ---- ids ---------------------------------------------------------------------------------------------------------- */

static void ids_fail(int line, const char *s, const struct sk_ids *got, const int32_t *want, size_t want_len)
{
	size_t i;

	for (i = 0; i < got->len && i < want_len && got->ids[i] == want[i]; i++)
		;
	ck_abort_msg("line %d: \"%.60s\": %zu ids, want %zu; the first that differs is number %zu: %d, want %d", line, s,
		     got->len, want_len, i, i < got->len ? got->ids[i] : -1, i < want_len ? want[i] : -1);
}

/* Offsets ascend, and each token's bytes are the text between its offsets (unless bytes were left out). */
static void offsets_check(int line, const struct sk_ids *v, const char *s, size_t len, bool whole)
{
	size_t i, n;
	const char *p;

	for (i = 0; i < v->len; i++) {
		ck_assert_msg(v->start[i] <= v->stop[i] && v->stop[i] <= len && (!i || v->start[i] >= v->stop[i - 1]),
			      "line %d: offsets of token %zu", line, i);
		p = sk_text_piece(text, v->ids[i], &n);
		ck_assert_msg(!whole || (n == v->stop[i] - v->start[i] && !memcmp(p, s + v->start[i], n)),
			      "line %d: token %zu is not its text", line, i);
	}
}

static void encode_check(int line, char **c, int columns)
{
	size_t repeat = (size_t)atol(c[1]), unit = golden_unescape(c[2]), len = unit * repeat, i, want_len, back_len;
	char *s = malloc(len + 1);
	struct sk_ids got = { .offsets = true };
	struct sk_buf b = SK_BUF(1 << 24);
	bool whole = !strcmp(c[4], "=");
	struct sk_err err;
	int32_t *want;

	ck_assert_int_eq(columns, 5);
	for (i = 0; i < repeat; i++)
		memcpy(s + i * unit, c[2], unit);
	want_len = golden_runs(c[3], &want);
	ck_assert_int_eq(sk_text_encode(text, s, len, true, !strcmp(c[0], "parse"), 0, &got, &err), SK_OK);
	if (got.len != want_len || (want_len && memcmp(got.ids, want, want_len * sizeof(*want))))
		ids_fail(line, c[2], &got, want, want_len);
	offsets_check(line, &got, s, len, whole);
	ck_assert_int_eq(sk_text_decode(text, got.ids, got.len, false, &b), SK_OK);
	back_len = whole ? len : golden_unescape(c[4]);
	if (b.len != back_len || (b.len && memcmp(b.data, whole ? s : c[4], b.len)))
		ck_abort_msg("line %d: \"%.60s\" decodes to %zu bytes \"%.*s\", want %zu", line, c[2], b.len,
			     (int)(b.len < 60 ? b.len : 60), b.data, back_len);
	sk_buf_fini(&b);
	sk_ids_fini(&got);
	free(want);
	free(s);
}

static void decode_check(int line, char **c)
{
	size_t len = golden_unescape(c[2]), n, i;
	struct sk_buf b = SK_BUF(1 << 20), parts = SK_BUF(1 << 20);
	struct sk_detok d = { .tail_len = 0 };
	bool skip = !strcmp(c[0], "skip");
	int32_t *ids;

	n = golden_runs(c[3], &ids);
	ck_assert_int_eq(sk_text_decode(text, ids, n, skip, &b), SK_OK);
	if (b.len != len || (len && memcmp(b.data, c[2], len)))
		ck_abort_msg("line %d: decodes to \"%.*s\", want \"%s\"", line, (int)b.len, b.data, c[2]);
	for (i = 0; i < n; i++) {
		if (skip && sk_text_is_special(text, ids[i]))
			continue;
		ck_assert_int_eq(sk_detok_push(text, &d, ids[i], &parts), SK_OK);
		ck_assert_msg(sk_utf8_valid(parts.len ? parts.data : "", parts.len), "line %d: half a character", line);
	}
	ck_assert_int_eq(sk_detok_end(&d, &parts), SK_OK);
	ck_assert(parts.len == b.len && (!b.len || !memcmp(parts.data, b.data, b.len)));
	sk_buf_fini(&b);
	sk_buf_fini(&parts);
	free(ids);
}

START_TEST(ids_offsets_and_decoded_text_equal_the_reference)
{
	size_t len;
	char *file = golden_file("tokenizer-smollm2.txt", &len), *line, *next, *c[5];
	int n = 0, columns, encodes = 0, decodes = 0;

	for (line = file; *line; line = next) {
		n++;
		next = line + strcspn(line, "\n");
		if (*next)
			*next++ = '\0';
		columns = golden_columns(line, c, 5);
		ck_assert_msg(columns >= 4, "line %d has %d columns", n, columns);
		if (columns == 5) {
			encode_check(n, c, columns);
			encodes++;
		} else {
			decode_check(n, c);
			decodes++;
		}
	}
	printf("%d strings, %d lists of ids\n", encodes, decodes);
	ck_assert_int_gt(encodes, 500);
	ck_assert_int_gt(decodes, 200);
	free(file);
}
END_TEST

/* ---- words -------------------------------------------------------------------------------------------------------- */

struct lengths { int32_t *v; size_t len, cap; uint64_t hash; };

static sk_status length_take(void *arg, const char *word, size_t len, size_t offset)
{
	struct lengths *l = arg;
	int i;

	(void)word, (void)offset;
	if (l->len == l->cap) {
		l->cap = l->cap * 2 + 1024;
		l->v = realloc(l->v, l->cap * sizeof(*l->v));
	}
	l->v[l->len++] = (int32_t)len;
	for (i = 0; i < 4; i++)
		l->hash = (l->hash ^ (len >> (8 * i) & 255)) * 0x100000001b3u;
	return SK_OK;
}

static struct lengths words_of(const struct sk_pretok *p, const char *s, size_t len)
{
	struct lengths l = { .hash = 0xcbf29ce484222325u };

	ck_assert_int_eq(sk_pretok_walk(p, s, len, length_take, &l, NULL), SK_OK);
	return l;
}

/* make_tokenizer.py's probe(). */
static void probe_make(uint32_t first, struct sk_buf *b)
{
	static const struct { const char *before; } at[] = { { "a" }, { "b " }, { "" }, { " \n" }, { "1" }, { "." } };
	uint32_t cp;
	size_t i, n;
	char c[4];

	for (cp = first; cp < first + 0x4000; cp++) {
		if (cp >= 0xd800 && cp < 0xe000)
			continue;
		n = sk_utf8_put(c, cp);
		for (i = 0; i < sizeof(at) / sizeof(at[0]); i++) {
			sk_buf_adds(b, at[i].before);
			if (i < 5)
				sk_buf_add(b, c, n);
		}
	}
}

START_TEST(every_pretokeniser_cuts_words_and_every_code_point_as_the_reference_does)
{
	size_t len, n, want_len;
	char *file = golden_file("pretok.txt", &len), *line, *next, *c[5];
	const struct sk_pretok_rule *rule = NULL, *r;
	struct sk_pretok *p = NULL;
	struct sk_buf b = SK_BUF(1 << 24);
	struct lengths got;
	int32_t *want;
	int at = 0, rules = 0;

	for (line = file; *line; line = next) {
		at++;
		next = line + strcspn(line, "\n");
		if (*next)
			*next++ = '\0';
		ck_assert_int_ge(golden_columns(line, c, 5), 4);
		r = sk_pretok_find(c[0], strlen(c[0]));
		ck_assert_msg(r, "no rule %s", c[0]);
		if (r != rule) {
			sk_pretok_close(&p);
			ck_assert_int_eq(sk_pretok_open(r, &p, NULL), SK_OK);
			rule = r;
			rules++;
		}
		if (!strcmp(c[1], "words")) {
			n = golden_unescape(c[2]);
			want_len = golden_runs(c[3], &want);
			got = words_of(p, c[2], n);
			ck_assert_msg(got.len == want_len && !memcmp(got.v, want, want_len * sizeof(*want)),
				      "line %d, %s: \"%s\" is cut into %zu words, want %zu", at, c[0], c[2], got.len,
				      want_len);
			free(want);
		} else {
			sk_buf_clear(&b);
			probe_make((uint32_t)strtoul(c[2], NULL, 16), &b);
			got = words_of(p, b.data, b.len);
			ck_assert_msg(got.hash == strtoull(c[3], NULL, 16),
				      "line %d, %s: code points from %s are cut into %zu words, want %s", at, c[0], c[2],
				      got.len, c[4]);
		}
		free(got.v);
	}
	ck_assert_int_ge(rules, 7);
	for (n = 0; (r = sk_pretok_at(n)); n++)
		;
	ck_assert_msg((int)n == rules, "%zu rules in the table, %d in pretok.txt", n, rules);
	sk_pretok_close(&p);
	sk_buf_fini(&b);
	free(file);
}
END_TEST

/* The words are tested without the model, so a missing one skips only after that. */
int main(void)
{
	Suite *s = suite_create("tokenizer");
	TCase *words = tcase_create("words"), *ids = tcase_create("ids");
	struct sk_weights *w = NULL;
	struct sk_err err;
	const char *path;
	SRunner *r;
	int failed;

	tcase_set_timeout(words, 120);
	tcase_set_timeout(ids, 120);
	tcase_add_test(words, every_pretokeniser_cuts_words_and_every_code_point_as_the_reference_does);
	tcase_add_test(ids, ids_offsets_and_decoded_text_equal_the_reference);
	suite_add_tcase(s, words);
	r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	if (failed)
		return 1;
	path = golden_model();
	if (sk_weights_open(path, &w, &err) < 0 || sk_text_open_gguf(w, &text, &err) < 0) {
		printf("%s: %s\n", path, err.text);
		return 1;
	}
	s = suite_create("ids");
	suite_add_tcase(s, ids);
	r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	sk_text_close(&text);
	sk_weights_close(&w);
	return failed ? 1 : 0;
}
