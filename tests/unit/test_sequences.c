/* SPDX-License-Identifier: Apache-2.0 */
/* Galactica's sequences of letters: what is marked, what the engine makes of a prompt with them, special tokens that stay in the text, SantaCoder's too. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "engine/saker.h"
#include "engine/text/text.h"

#define LEN(a) ((int)(sizeof(a) / sizeof((a)[0])))

/* '|' stands for the marker. The answers are those of the expression that TGI has. */
static const struct { const char *name, *text, *want; } marks[] = {
	{ "a text without a sequence", "MKV [DNA] x[", "MKV [DNA] x[" },
	{ "each character, and the end", "a [START_DNA]ACG[END_DNA] b", "a [START_DNA]|A|C|G|[END_DNA] b" },
	{ "all four kinds", "[START_SMILES]C=O[END_SMILES][START_I_SMILES]N[END_I_SMILES][START_AMINO]MK[END_AMINO]",
	  "[START_SMILES]|C|=|O|[END_SMILES][START_I_SMILES]|N|[END_I_SMILES][START_AMINO]|M|K|[END_AMINO]" },
	{ "an empty one", "[START_DNA][END_DNA]", "[START_DNA]|[END_DNA]" },
	{ "characters of several bytes", "[START_AMINO]\xc3\xa9\xe6\x97\xa5[END_AMINO]", "[START_AMINO]|\xc3\xa9|\xe6\x97\xa5|[END_AMINO]" },
	{ "one that never ends", "[START_DNA]ACG", "[START_DNA]ACG" },
	{ "one that ends on another line", "[START_DNA]AC\nG[END_DNA]", "[START_DNA]AC\nG[END_DNA]" },
	{ "one that another kind's end does not end", "[START_DNA]A[END_AMINO]C[END_DNA]", "[START_DNA]|A|[|E|N|D|_|A|M|I|N|O|]|C|[END_DNA]" },
	{ "the first end counts", "[START_DNA]A[END_DNA]C[END_DNA]", "[START_DNA]|A|[END_DNA]C[END_DNA]" },
	{ "a beginning in a sequence is its letters", "[START_DNA][START_DNA]A[END_DNA]",
	  "[START_DNA]|[|S|T|A|R|T|_|D|N|A|]|A|[END_DNA]" },
	{ "one without an end before one that has it", "[START_AMINO]x [START_DNA]A[END_DNA]", "[START_AMINO]x [START_DNA]|A|[END_DNA]" },
	{ "the same kind on a later line", "[START_DNA]A\n[START_DNA]C[END_DNA]", "[START_DNA]A\n[START_DNA]|C|[END_DNA]" },
	{ "no such kind", "[START_REF]A[END_REF]", "[START_REF]A[END_REF]" },
	{ "half a word at the end", "x[START_", "x[START_" },
};

START_TEST(a_sequences_characters_are_marked)
{
	struct sk_buf have = SK_BUF(1 << 20), want = SK_BUF(1 << 20);

	for (const char *s = marks[_i].want; *s; s++) {
		if (*s == '|')
			sk_buf_adds(&want, "SPL1T-TH1S-Pl3A5E");
		else
			sk_buf_addc(&want, *s);
	}
	ck_assert_int_eq(sk_sequences_mark(marks[_i].text, strlen(marks[_i].text), &have), SK_OK);
	ck_assert_msg(!strcmp(sk_buf_str(&have), sk_buf_str(&want)), "%s: %s", marks[_i].name, sk_buf_str(&have));
	sk_buf_fini(&have);
	sk_buf_fini(&want);
}
END_TEST

START_TEST(a_million_beginnings_are_looked_through_once)
{
	struct sk_buf text = SK_BUF(1 << 24), have = SK_BUF(1 << 24), small = SK_BUF(100);

	for (int i = 0; i < 1000000; i++)
		sk_buf_adds(&text, "[START_DNA]");
	ck_assert_int_eq(sk_sequences_mark(text.data, text.len, &have), SK_OK);
	ck_assert_uint_eq(have.len, text.len);
	ck_assert_int_eq(sk_sequences_mark(text.data, text.len, &small), SK_ETOOBIG);
	sk_buf_fini(&text);
	sk_buf_fini(&have);
	sk_buf_fini(&small);
}
END_TEST

/* ---- the engine ----------------------------------------------------------------------------------------------- */

static char dir[64];
static const char *const files[] = { "config.json", "model.safetensors", "tokenizer.json", "special_tokens_map.json" };

static void link_file(const char *from, int i)
{
	char to[128];

	snprintf(to, sizeof(to), "%s/%s", dir, files[i]);
	ck_assert_int_eq(symlink(from, to), 0);
}

static struct sk_engine *engine_open(const char *family, const char *tokenizer)
{
	struct sk_engine_opts o = { .model = dir, .backend = "ref", .dtype = "float32", .kv_bytes = 1 << 20 };
	struct sk_engine *e;
	struct sk_err err = { 0 };
	char from[512];

	snprintf(dir, sizeof(dir), "/tmp/sk-seq-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(dir));
	for (int i = 0; i < LEN(files); i++) {
		snprintf(from, sizeof(from), GOLDEN_SRCDIR "/tests/golden/%s/%s", i < 2 ? family : tokenizer, files[i]);
		link_file(from, i);
	}
	ck_assert_msg(sk_engine_open(&o, &e, &err) == SK_OK, "%s", err.text);
	ck_assert_msg(sk_engine_wait_ready(e, &err) == SK_OK, "%s", err.text);
	return e;
}

static void engine_close(struct sk_engine *e)
{
	char path[128];

	sk_engine_close(&e);
	for (int i = 0; i < LEN(files); i++) {
		snprintf(path, sizeof(path), "%s/%s", dir, files[i]);
		unlink(path);
	}
	rmdir(dir);
}

START_TEST(galacticas_prompts_are_tokenised_letter_by_letter)
{
	static const char prompt[] = "of the [START_AMINO]thethe[END_AMINO] the";
	static const char letters[] = { 't', 'h', 'e', 't', 'h', 'e' };
	struct sk_engine *e = engine_open("families/galactica", "tokenizers/galactica");
	struct sk_gen_params p = SK_GEN_PARAMS_INIT;
	struct sk_gen *g;
	struct sk_event v;
	struct sk_err err = { 0 };
	int32_t *ids;
	size_t len, at = 0;
	char *start;
	size_t start_len;

	ck_assert_int_eq(sk_engine_tokenize(e, prompt, sizeof(prompt) - 1, true, true, &ids, &len, NULL), SK_OK);
	p.prompt = prompt;
	p.prompt_len = sizeof(prompt) - 1;
	p.max_new_tokens = 1;
	p.prompt_logprobs = true;
	ck_assert_msg(sk_engine_submit(e, &p, &g, &err) == SK_OK, "%s", err.text);
	ck_assert_int_eq(sk_gen_wait(g, &v), SK_OK);
	ck_assert_int_eq(v.type, SK_EVENT_PREFILL);
	/* The tokens are the plain ones but for the sequence: there each letter is one. */
	ck_assert_uint_gt(v.prefill.tokens_len, len);
	for (size_t i = 0; i + LEN(letters) < v.prefill.tokens_len; i++) {
		bool all = true;

		for (int k = 0; k < LEN(letters); k++)
			all &= v.prefill.tokens[i + (size_t)k].text_len == 1 && v.prefill.tokens[i + (size_t)k].text[0] == letters[k];
		if (all)
			at = i;
	}
	ck_assert_uint_gt(at, 0);
	ck_assert_int_eq(v.prefill.tokens[0].id, ids[0]);
	ck_assert_int_eq(v.prefill.tokens[v.prefill.tokens_len - 1].id, ids[len - 1]);
	start_len = 0;
	start = malloc(v.prefill.tokens_len * 64);
	for (size_t i = 0; i < v.prefill.tokens_len; i++) {
		memcpy(start + start_len, v.prefill.tokens[i].text, v.prefill.tokens[i].text_len);
		start_len += v.prefill.tokens[i].text_len;
	}
	ck_assert_msg(memmem(start, start_len, "[START_AMINO]thethe[END_AMINO]", 30) != NULL, "%.*s", (int)start_len, start);
	free(start);
	free(ids);
	sk_gen_close(&g);
	engine_close(e);
}
END_TEST

/* 50 tokens of which all are as likely: some are special. Ids and text of the answer, both malloc'ed. */
static int32_t *generate(struct sk_engine *e, const char *prompt, size_t *ret_len, char **ret_text)
{
	struct sk_gen_params p = SK_GEN_PARAMS_INIT;
	int32_t *ids = calloc(50, sizeof(*ids));
	struct sk_gen *g;
	struct sk_event v;
	struct sk_err err = { 0 };

	*ret_len = 0;
	p.prompt = prompt;
	p.prompt_len = strlen(prompt);
	p.max_new_tokens = 50;
	p.ignore_eos = p.do_sample = p.has_seed = true;
	p.temperature = 1000.0f;
	p.seed = 7;
	ck_assert_msg(sk_engine_submit(e, &p, &g, &err) == SK_OK, "%s", err.text);
	while (sk_gen_wait(g, &v) == SK_OK && v.type != SK_EVENT_FINISH)
		if (v.type == SK_EVENT_TOKEN)
			ids[(*ret_len)++] = v.token.t.id;
	ck_assert_int_eq(v.type, SK_EVENT_FINISH);
	/* It is bytes and a length. */
	*ret_text = calloc(1, v.finish.text_len + 1);
	ck_assert_ptr_nonnull(*ret_text);
	memcpy(*ret_text, v.finish.text, v.finish.text_len);
	sk_gen_close(&g);
	return ids;
}

START_TEST(special_tokens_stay_in_galacticas_text)
{
	struct sk_engine *e = engine_open("families/galactica", "tokenizers/galactica");
	char *text, *whole, *bare;
	size_t len, whole_len, bare_len;
	int32_t *ids = generate(e, "of the", &len, &text);

	ck_assert_int_eq(sk_engine_detokenize(e, ids, len, false, &whole, &whole_len, NULL), SK_OK);
	ck_assert_int_eq(sk_engine_detokenize(e, ids, len, true, &bare, &bare_len, NULL), SK_OK);
	ck_assert_uint_gt(whole_len, bare_len);
	ck_assert_str_eq(text, whole);
	free(text);
	free(whole);
	free(bare);
	free(ids);
	engine_close(e);
}
END_TEST

/* SantaCoder fills in the middle: its tokens for that stay in the text, and are one token each in a prompt. */
START_TEST(santacoders_middle_is_filled_in_with_its_tokens)
{
	struct sk_engine *e = engine_open("families/santacoder-fim", "families/santacoder-fim");
	static const char prompt[] = "<fim-prefix>ab<fim-suffix>c<fim-middle>";
	int32_t *ids;
	size_t len;
	char *text;

	ck_assert_int_eq(sk_engine_tokenize(e, prompt, sizeof(prompt) - 1, true, true, &ids, &len, NULL), SK_OK);
	ck_assert_uint_eq(len, 6);
	free(ids);
	ids = generate(e, prompt, &len, &text);
	ck_assert_msg(strstr(text, "<fim-") || strstr(text, "<|endoftext|>"), "%s", text);
	free(ids);
	free(text);
	engine_close(e);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("sequences");
	TCase *t = tcase_create("sequences");
	SRunner *r;
	int failed;

	tcase_add_loop_test(t, a_sequences_characters_are_marked, 0, LEN(marks));
	tcase_add_test(t, a_million_beginnings_are_looked_through_once);
	tcase_add_test(t, galacticas_prompts_are_tokenised_letter_by_letter);
	tcase_add_test(t, santacoders_middle_is_filled_in_with_its_tokens);
	tcase_add_test(t, special_tokens_stay_in_galacticas_text);
	suite_add_tcase(s, t);
	r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? 1 : 0;
}
