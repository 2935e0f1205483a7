/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Text to the byte, through the whole engine: stop strings beside a search of the answer that had none, and special tokens
 * where a family's answers keep them.
 */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "engine/base/buf.h"
#include "engine/base/rand.h"
#include "engine/base/utf8.h"
#include "engine/saker.h"
#include "tests/golden/runs.h"
#include "tests/lib/tiny_gguf.h"

enum { NEW = 60, STOPS = 4 };

static struct sk_engine *engine_open(const char *path)
{
	struct sk_engine_opts o = { .model = path, .backend = "ref", .threads = 1, .kv_bytes = 1 << 22 };

	return runs_open_named(&o);
}

/* One answer, with each token's text. */
struct answer {
	struct sk_buf text, shown;
	size_t shown_at[NEW + 1];               /* bytes of `shown` before each token */
	int32_t ids[NEW];
	uint32_t tokens;
	enum sk_finish_reason reason;
	size_t stop_bytes;
};

static void answer_get(struct sk_engine *e, const struct sk_gen_params *p, struct answer *a)
{
	struct sk_gen *g = NULL;
	struct sk_event ev;
	struct sk_err err;

	*a = (struct answer){ .text = SK_BUF(1 << 20), .shown = SK_BUF(1 << 20) };
	ck_assert_msg(sk_engine_submit(e, p, &g, &err) == SK_OK, "%s", err.text);
	while (sk_gen_wait(g, &ev) == SK_OK) {
		if (ev.type == SK_EVENT_TOKEN) {
			ck_assert(sk_utf8_valid(ev.token.t.text, ev.token.t.text_len));
			a->ids[a->tokens++] = ev.token.t.id;
			sk_buf_add(&a->shown, ev.token.t.text, ev.token.t.text_len);
			a->shown_at[a->tokens] = a->shown.len;
		} else if (ev.type == SK_EVENT_FINISH) {
			a->reason = ev.finish.reason;
			a->stop_bytes = ev.finish.stop_bytes;
			sk_buf_add(&a->text, ev.finish.text, ev.finish.text_len);
			ck_assert_uint_eq(a->tokens, ev.finish.generated_tokens);
		}
	}
	sk_gen_close(&g);
}

static void answer_fini(struct answer *a)
{
	sk_buf_fini(&a->text);
	sk_buf_fini(&a->shown);
}

static uint32_t chance(uint32_t below)
{
	static uint32_t at;

	return (uint32_t)(sk_rand_uniform(6, 5, at++) * below);
}

/*
 * Bytes of characters are made likely ("\xc3\xa9", "\xe2\x82\xac"), so that characters are cut by token borders, and some never
 * come whole. Byte b is token TINY_FIRST_BYTE + its place.
 */
static const struct sk_logit_bias likely[] = {
	{ TINY_FIRST_BYTE + 0xc3, 3 }, { TINY_FIRST_BYTE + 0xa9, 4 }, { TINY_FIRST_BYTE + 0xe2, 3 }, { TINY_FIRST_BYTE + 0x82, 4 },
	{ TINY_FIRST_BYTE + 0xac, 4 }, { TINY_FIRST_BYTE + 'a', 3 }, { TINY_FIRST_BYTE + 'e', 3 },
};

static size_t text_border(const struct sk_buf *b, size_t at)
{
	while (at < b->len && ((unsigned char)b->data[at] & 0xc0) == 0x80)
		at++;
	return at < b->len ? at : b->len;
}

/* The definition: the first end of any stop string in the whole text, and there the longest. 0: none. */
static size_t search(const struct sk_buf *whole, const char *const *stop, const size_t *bytes, size_t n, size_t *ret_len)
{
	*ret_len = 0;
	for (size_t end = 1; end <= whole->len; end++) {
		for (size_t i = 0; i < n; i++)
			if (bytes[i] <= end && bytes[i] > *ret_len && memcmp(whole->data + end - bytes[i], stop[i], bytes[i]) == 0)
				*ret_len = bytes[i];
		if (*ret_len)
			return end;
	}
	return 0;
}

static void compare(struct sk_engine *e, struct sk_gen_params p, const struct answer *whole)
{
	const char *stop[STOPS];
	size_t bytes[STOPS], n = 1 + chance(STOPS), end, match;
	struct answer cut;

	for (size_t i = 0; i < n; i++) {
		size_t from = text_border(&whole->text, chance((uint32_t)whole->text.len - 1)), to;

		/* Pieces of the text, most too long to come twice, and some that never come. */
		to = text_border(&whole->text, from + 1 + chance(i == 0 ? 3 : 9));
		stop[i] = to > from && chance(6) ? whole->text.data + from : "this is not there";
		bytes[i] = stop[i] == whole->text.data + from ? to - from : strlen(stop[i]);
	}
	p.stop = stop;
	p.stop_bytes = bytes;
	p.stop_len = n;
	answer_get(e, &p, &cut);
	end = search(&whole->text, stop, bytes, n, &match);
	if (end == 0)
		end = whole->text.len;
	ck_assert_msg(cut.text.len == end && memcmp(cut.text.data, whole->text.data, end) == 0, "%zu bytes, searching gives %zu",
		      cut.text.len, end);
	ck_assert_uint_eq(cut.stop_bytes, match);
	ck_assert_msg(sk_utf8_valid(cut.text.data, cut.text.len), "\"%s\" of %zu bytes", sk_buf_str(&cut.text), cut.text.len);
	ck_assert(match > 0 ? cut.reason == SK_FINISH_STOP || cut.tokens == NEW : cut.reason == SK_FINISH_LENGTH);
	/* Held tokens come later, and as they are: all but the last are those of the answer without stop strings. */
	ck_assert(memcmp(cut.ids, whole->ids, cut.tokens * sizeof(*cut.ids)) == 0);
	ck_assert(memcmp(cut.shown_at, whole->shown_at, cut.tokens * sizeof(*cut.shown_at)) == 0);
	ck_assert(memcmp(cut.shown.data, whole->shown.data, cut.shown_at[cut.tokens - 1]) == 0);
	answer_fini(&cut);
}

START_TEST(random_stop_strings_end_where_a_search_of_the_full_text_says)
{
	struct tiny_gguf o = TINY_GGUF_INIT;
	char dir[] = "/tmp/sk-exact-XXXXXX", path[64];
	struct sk_engine *e;
	int tried = 0;

	ck_assert_ptr_nonnull(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/tiny.gguf", dir);
	tiny_gguf_write(&o, path);
	e = engine_open(path);
	for (uint64_t seed = 1; seed <= 20; seed++) {
		struct sk_gen_params p = SK_GEN_PARAMS_INIT;
		struct answer whole;

		p.prompt = "once";
		p.prompt_len = 4;
		p.max_new_tokens = NEW;
		p.ignore_eos = p.do_sample = p.has_seed = true;
		p.seed = seed;
		p.bias = likely;
		p.bias_len = sizeof(likely) / sizeof(likely[0]);
		answer_get(e, &p, &whole);
		ck_assert(sk_utf8_valid(whole.text.data, whole.text.len));
		for (int i = 0; i < 12; i++, tried++)
			compare(e, p, &whole);
		answer_fini(&whole);
	}
	ck_assert_int_eq(tried, 240);
	sk_engine_close(&e);
	unlink(path);
	rmdir(dir);
}
END_TEST

/* ---- special tokens that are text ---- */

static const char tokenizer[] =
	"{\"version\":\"1.0\",\"added_tokens\":[{\"id\":2,\"content\":\"<work>\",\"single_word\":false,\"lstrip\":false,"
	"\"rstrip\":false,\"normalized\":false,\"special\":true}],\"normalizer\":null,\"pre_tokenizer\":null,"
	"\"post_processor\":null,\"decoder\":{\"type\":\"ByteLevel\"},\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0,\"b\":1},"
	"\"merges\":[]}}";

static void link_in(const char *dir, const char *family, const char *name)
{
	char from[4096], to[128];

	snprintf(from, sizeof(from), "%s/tests/golden/families/%s/%s", GOLDEN_SRCDIR, family, name);
	snprintf(to, sizeof(to), "%s/%s", dir, name);
	ck_assert_int_eq(symlink(from, to), 0);
}

/* Galactica is an OPT that is known by its name only. */
static const struct { const char *family, *dir, *text; } keepers[] = {
	{ "santacoder",    "/tmp/sk-exact-XXXXXX",     "<work><work><work><work>" },
	{ "opt-galactica", "/tmp/sk-galactica-XXXXXX", "<work><work><work><work>" },
	{ "opt",           "/tmp/sk-exact-XXXXXX",     "" },
	{ "bigcode",       "/tmp/sk-exact-XXXXXX",     "" },
	{ "llama",         "/tmp/sk-exact-XXXXXX",     "" },
};

START_TEST(an_answer_keeps_special_tokens_where_the_family_does)
{
	char dir[64], path[128];
	static const char *const names[] = { "config.json", "model.safetensors", "tokenizer.json" };
	struct sk_gen_params p = SK_GEN_PARAMS_INIT;
	const int32_t ids[] = { 0, 1 };
	struct sk_engine *e;
	struct answer a;
	FILE *f;

	snprintf(dir, sizeof(dir), "%s", keepers[_i].dir);
	ck_assert_ptr_nonnull(mkdtemp(dir));
	link_in(dir, keepers[_i].family, names[0]);
	link_in(dir, keepers[_i].family, names[1]);
	snprintf(path, sizeof(path), "%s/%s", dir, names[2]);
	f = fopen(path, "w");
	ck_assert_ptr_nonnull(f);
	ck_assert_uint_eq(fwrite(tokenizer, 1, sizeof(tokenizer) - 1, f), sizeof(tokenizer) - 1);
	fclose(f);
	e = engine_open(dir);
	p.ids = ids;
	p.ids_len = 2;
	p.max_new_tokens = 4;
	p.ignore_eos = true;
	p.bias = &(struct sk_logit_bias){ 2, 100 };
	p.bias_len = 1;
	answer_get(e, &p, &a);
	ck_assert_str_eq(sk_buf_str(&a.text), keepers[_i].text);
	ck_assert_str_eq(sk_buf_str(&a.shown), "<work><work><work><work>");
	answer_fini(&a);
	/* A stop string in the text of a special token counts only where that text is part of the answer. */
	p.stop = &(const char *){ "rk><w" };
	p.stop_bytes = &(size_t){ 5 };
	p.stop_len = 1;
	answer_get(e, &p, &a);
	ck_assert_str_eq(sk_buf_str(&a.text), *keepers[_i].text ? "<work><w" : "");
	answer_fini(&a);
	sk_engine_close(&e);
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		snprintf(path, sizeof(path), "%s/%s", dir, names[i]);
		unlink(path);
	}
	rmdir(dir);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("exact");
	TCase *t = tcase_create("exact");
	SRunner *r = srunner_create(s);
	int failed;

	tcase_add_test(t, random_stop_strings_end_where_a_search_of_the_full_text_says);
	tcase_add_loop_test(t, an_answer_keeps_special_tokens_where_the_family_does, 0, sizeof(keepers) / sizeof(keepers[0]));
	tcase_set_timeout(t, 300);
	suite_add_tcase(s, t);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
