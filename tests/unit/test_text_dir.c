/* SPDX-License-Identifier: Apache-2.0 */
/* Tokenizers from a directory: what its files say together, and what is refused in which words. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine/base/buf.h"
#include "engine/text/text.h"

static const char *const names[] = { "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json",
				     "vocab.json", "merges.txt", "tokenizer.model", "chat_template.jinja" };
static char dir[64];

static void dir_make(void)
{
	snprintf(dir, sizeof(dir), "/tmp/saker-dir-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(dir));
}

static void dir_remove(void)
{
	char path[128];

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		snprintf(path, sizeof(path), "%s/%s", dir, names[i]);
		unlink(path);
	}
	rmdir(dir);
}

static void file_put(const char *name, const char *text, size_t len)
{
	char path[128];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	f = fopen(path, "wb");
	ck_assert_ptr_nonnull(f);
	ck_assert_uint_eq(fwrite(text, 1, len, f), len);
	fclose(f);
}

#define LEVEL "{\"model\":{\"type\":\"WordLevel\",\"unk_token\":\"u\",\"vocab\":{\"u\":0,\"a\":1,\"b\":2,\"<s>\":3,\"</s>\":4}},"
#define PRE "\"pre_tokenizer\":{\"type\":\"WhitespaceSplit\"}"

/* Files divided by "\n--NAME\n"; the first is tokenizer.json. -1 ends the ids. */
static const struct { const char *name, *json, *config, *text; int32_t ids[8]; bool special; } read_cases[] = {
	{ "the file alone", LEVEL PRE "}", NULL, "a b c", { 1, 2, 0, -1 }, true },
	{ "add_bos_token makes a template", LEVEL PRE "}", "{\"bos_token\":\"<s>\",\"eos_token\":\"</s>\",\"add_bos_token\":true}", "a",
	  { 3, 1, -1 }, true },
	{ "both ends", LEVEL PRE "}", "{\"bos_token\":{\"content\":\"<s>\"},\"eos_token\":\"</s>\",\"add_bos_token\":true,\"add_eos_token\":true}",
	  "a", { 3, 1, 4, -1 }, true },
	{ "a template that the file has gives way",
	  LEVEL PRE ",\"post_processor\":{\"type\":\"BertProcessing\",\"cls\":[\"a\",1],\"sep\":[\"b\",2]}}", "{\"add_bos_token\":false}", "a",
	  { 1, -1 }, true },
	{ "and stays without those keys",
	  LEVEL PRE ",\"post_processor\":{\"type\":\"BertProcessing\",\"cls\":[\"a\",1],\"sep\":[\"b\",2]}}", "{}", "a", { 1, 1, 2, -1 }, true },
	{ "special tokens of the configuration are found in the text", LEVEL PRE "}", "{\"eos_token\":\"</s>\"}", "a</s>b", { 1, 4, 2, -1 }, true },
	{ "new ones get the next id", LEVEL PRE "}", "{\"pad_token\":\"<pad>\"}", "a<pad>", { 1, 5, -1 }, true },
	{ "added_tokens_decoder has ids and flags", LEVEL PRE "}",
	  "{\"added_tokens_decoder\":{\"7\":{\"content\":\"<x>\",\"rstrip\":true,\"special\":false}}}", "a<x>  b", { 1, 7, 2, -1 }, true },
	{ "specials are text when they are not asked for", LEVEL PRE "}", "{\"eos_token\":\"</s>\"}", "a </s>", { 1, 4, -1 }, false },
};

START_TEST(files_of_a_directory_are_put_together)
{
	struct sk_text *t = NULL;
	struct sk_ids v = { 0 };
	struct sk_err err = { .text = "" };
	size_t n = 0;

	dir_make();
	file_put("tokenizer.json", read_cases[_i].json, strlen(read_cases[_i].json));
	if (read_cases[_i].config)
		file_put("tokenizer_config.json", read_cases[_i].config, strlen(read_cases[_i].config));
	ck_assert_msg(sk_text_open_dir(dir, NULL, 0, &t, &err) == SK_OK, "%s: %s", read_cases[_i].name, err.text);
	ck_assert_int_eq(sk_text_encode(t, read_cases[_i].text, strlen(read_cases[_i].text), true, read_cases[_i].special, 0, &v, NULL), SK_OK);
	while (read_cases[_i].ids[n] >= 0)
		n++;
	ck_assert_msg(v.len == n, "%s: %zu ids, want %zu", read_cases[_i].name, v.len, n);
	for (size_t i = 0; i < n; i++)
		ck_assert_msg(v.ids[i] == read_cases[_i].ids[i], "%s: id %zu is %d", read_cases[_i].name, i, v.ids[i]);
	sk_ids_fini(&v);
	sk_text_close(&t);
	dir_remove();
}
END_TEST

static const struct { const char *name, *file, *text; sk_status status; const char *words; } refused[] = {
	{ "an empty directory", NULL, NULL, SK_ENOENT, "has no tokenizer.json, tokenizer.model, spiece.model, or vocab.json with merges.txt" },
	{ "no JSON", "tokenizer.json", "{\"model\":", SK_EFORMAT, "tokenizer.json: the text ends where a value is due, at line 1 column 10" },
	{ "two texts", "tokenizer.json", "{} {}", SK_EFORMAT, "something follows the end of the text, at line 1 column 4" },
	{ "a bad escape", "tokenizer.json", "{\"a\":\"\\ud800\"}", SK_EFORMAT, "a lone surrogate, at line 1 column 13" },
	{ "no UTF-8", "tokenizer.json", "{\"a\":\"\xff\"}", SK_EFORMAT, "bytes that are not UTF-8, at line 1 column 7" },
	{ "a number that JSON has not", "tokenizer.json", "{\"a\":[NaN]}", SK_EFORMAT, "a number is due, at line 1 column 7" },
	{ "no model", "tokenizer.json", "{}", SK_EFORMAT, "has no \"model\"" },
	{ "an unknown model", "tokenizer.json", "{\"model\":{\"type\":\"Wordy\"}}", SK_ENOTSUP, "the model \"Wordy\" is not known" },
	{ "an unknown step", "tokenizer.json", LEVEL "\"normalizer\":{\"type\":\"Later\"}}", SK_ENOTSUP, "the normalizer \"Later\" is not known" },
	{ "a list that is not there", "tokenizer.json", LEVEL "\"normalizer\":{\"type\":\"Sequence\",\"normalisers\":[]}}", SK_EFORMAT,
	  "the normalizer Sequence has no list \"normalizers\"" },
	{ "an unknown decoder", "tokenizer.json", LEVEL "\"decoder\":{\"type\":\"Later\"}}", SK_ENOTSUP, "the decoder \"Later\" is not known" },
	{ "an unknown post-processor", "tokenizer.json", LEVEL "\"post_processor\":{\"type\":\"Later\"}}", SK_ENOTSUP,
	  "the post_processor \"Later\" is not known" },
	{ "one id for two", "tokenizer.json", "{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0,\"b\":0},\"merges\":[]}}", SK_EFORMAT,
	  "the tokens \"a\" and \"b\" both have id 0" },
	{ "an id out of all proportion", "tokenizer.json", "{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0,\"b\":9999999},\"merges\":[]}}", SK_EFORMAT,
	  "the token \"b\" has id 9999999, which cannot be of a vocabulary of this size" },
	{ "a negative id", "tokenizer.json", "{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":-1},\"merges\":[]}}", SK_EFORMAT, "has id -1" },
	{ "a merge of one", "tokenizer.json", "{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0},\"merges\":[\"aa\"]}}", SK_EFORMAT,
	  "model.merges[0] is not two tokens" },
	{ "a merge that makes no token", "tokenizer.json", "{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0},\"merges\":[[\"a\",\"a\"]]}}", SK_EFORMAT,
	  "merge 0 \"a\" \"a\" makes what is no token" },
	{ "an unknown token that is none", "tokenizer.json", "{\"model\":{\"type\":\"WordLevel\",\"unk_token\":\"x\",\"vocab\":{\"a\":0}}}", SK_EFORMAT,
	  "model.unk_token \"x\" is not in the vocabulary" },
	{ "a pattern that is none", "tokenizer.json", LEVEL "\"pre_tokenizer\":{\"type\":\"Split\",\"pattern\":{\"Regex\":\"(\"}}}", SK_EFORMAT,
	  "the pre_tokenizer Split: the pattern has a group without an end at byte 1" },
	{ "a property that is none", "tokenizer.json", LEVEL "\"pre_tokenizer\":{\"type\":\"Split\",\"pattern\":{\"Regex\":\"\\\\p{Klingon}\"}}}", SK_ENOTSUP,
	  "the pattern has a property \\p{Klingon}, which is not known" },
	{ "a template with an id beyond", "tokenizer.json", LEVEL "\"post_processor\":{\"type\":\"BertProcessing\",\"cls\":[\"a\",77],\"sep\":[\"b\",2]}}", SK_EFORMAT,
	  "the post_processor has id 77, but the vocabulary has 5 tokens" },
	{ "a map that lies", "tokenizer.json", LEVEL "\"normalizer\":{\"type\":\"Precompiled\",\"precompiled_charsmap\":\"/////w==\"}}", SK_EFORMAT,
	  "the character map says 4294967295 bytes of trie, but has 0" },
	{ "a decoder that cannot stream", "tokenizer.json",
	  LEVEL "\"decoder\":{\"type\":\"Sequence\",\"decoders\":[{\"type\":\"Fuse\"},{\"type\":\"WordPiece\"}]}}", SK_ENOTSUP,
	  "the decoder WordPiece behind Fuse needs all of a text at once, which is not supported" },
	{ "no SentencePiece model", "tokenizer.model", "\x0a\xff\xff", SK_EFORMAT, "is no SentencePiece model" },
	{ "a score that is none", "tokenizer.model", "\x0a\x08\x0a\x01x\x15\xff\xff\xff\xff", SK_EFORMAT, "piece 0 is empty or no UTF-8, or its type 1 or score is none" },
};

START_TEST(what_is_wrong_is_refused_in_words)
{
	struct sk_text *t = NULL;
	struct sk_err err = { .text = "" };

	dir_make();
	if (refused[_i].file)
		file_put(refused[_i].file, refused[_i].text, strlen(refused[_i].text));
	ck_assert_msg(sk_text_open_dir(dir, NULL, 0, &t, &err) == refused[_i].status, "%s: %d \"%s\"", refused[_i].name, err.status, err.text);
	ck_assert_msg(strstr(err.text, refused[_i].words), "%s: \"%s\"", refused[_i].name, err.text);
	ck_assert_ptr_null(t);
	dir_remove();
}
END_TEST

START_TEST(too_deep_and_too_many_are_refused)
{
	struct sk_text *t = NULL;
	struct sk_err err = { .text = "" };
	char deep[512];

	dir_make();
	memset(deep, '[', sizeof(deep));
	file_put("tokenizer.json", deep, sizeof(deep));
	ck_assert_int_eq(sk_text_open_dir(dir, NULL, 0, &t, &err), SK_ETOOBIG);
	ck_assert_ptr_nonnull(strstr(err.text, "lists and objects are nested deeper than 32"));
	dir_remove();
}
END_TEST

/* Four pieces (unknown, "\u2581", "a", "b"), then a trainer_spec that says Unigram. */
static const char model[] = "\x0a\x0e\x0a\x05<unk>\x15\0\0\0\0\x18\x02" "\x0a\x0a\x0a\x03\xe2\x96\x81\x15\0\0\x80\xbf"
	"\x0a\x08\x0a\x01" "a\x15\0\0\0\xc0" "\x0a\x08\x0a\x01" "b\x15\0\0\x40\xc0" "\x12\x02\x18\x01";

/* Where a cut falls between two parts, what is left is a smaller model. */
START_TEST(a_sentencepiece_model_cut_anywhere_is_refused_in_words_or_a_smaller_one)
{
	static const size_t whole[] = { 16, 28, 38, 48, 52 };
	size_t len, opened = 0, i;

	dir_make();
	for (len = 1; len < sizeof(model); len++) {
		struct sk_text *t = NULL;
		struct sk_err err = { .text = "" };
		bool end = false;

		for (i = 0; i < sizeof(whole) / sizeof(whole[0]); i++)
			end = end || len == whole[i];
		file_put("tokenizer.model", model, len);
		opened += sk_text_open_dir(dir, NULL, 0, &t, &err) == SK_OK;
		ck_assert_msg(t ? end : strstr(err.text, "tokenizer.model") != NULL, "%zu bytes: \"%s\"", len, err.text);
		sk_text_close(&t);
	}
	ck_assert_uint_eq(opened, 5);
	dir_remove();
}
END_TEST

START_TEST(a_pattern_that_explodes_is_a_wrong_request_in_bounded_time)
{
	static const char json[] = LEVEL "\"pre_tokenizer\":{\"type\":\"Split\",\"behavior\":\"Isolated\",\"pattern\":{\"Regex\":\"(?:a|a|aa)+[bc]\"}}}";
	struct sk_text *t = NULL;
	struct sk_ids v = { 0 };
	struct sk_err err = { .text = "" };
	char s[300];

	dir_make();
	file_put("tokenizer.json", json, sizeof(json) - 1);
	ck_assert_msg(sk_text_open_dir(dir, NULL, 0, &t, &err) == SK_OK, "%s", err.text);
	memset(s, 'a', sizeof(s));
	ck_assert_int_eq(sk_text_encode(t, s, sizeof(s), true, true, 0, &v, &err), SK_EINVAL);
	ck_assert_ptr_nonnull(strstr(err.text, "the text cannot be split into words"));
	sk_ids_fini(&v);
	sk_text_close(&t);
	dir_remove();
}
END_TEST

/* Each of five steps makes a hundred letters of one. */
START_TEST(a_normalizer_that_multiplies_is_refused_in_bounded_memory)
{
	static const char step[] = "{\"type\":\"Replace\",\"pattern\":{\"String\":\"a\"},\"content\":\"%s\"}";
	struct sk_buf json = SK_BUF(1 << 16);
	struct sk_text *t = NULL;
	struct sk_ids v = { 0 };
	struct sk_err err = { .text = "" };
	char many[101] = "", s[1000];

	memset(many, 'a', 100);
	sk_buf_adds(&json, LEVEL "\"normalizer\":{\"type\":\"Sequence\",\"normalizers\":[");
	for (int i = 0; i < 5; i++) {
		sk_buf_adds(&json, i ? "," : "");
		sk_buf_addf(&json, step, many);
	}
	sk_buf_adds(&json, "]}}");
	dir_make();
	file_put("tokenizer.json", json.data, json.len);
	ck_assert_msg(sk_text_open_dir(dir, NULL, 0, &t, &err) == SK_OK, "%s", err.text);
	memset(s, 'a', sizeof(s));
	ck_assert_int_eq(sk_text_encode(t, s, sizeof(s), true, true, 0, &v, &err), SK_ETOOBIG);
	ck_assert_str_eq(err.text, "the normalizers make more than 1080576 bytes of a text of 1000");
	ck_assert_int_eq(sk_text_encode(t, "b", 1, true, true, 0, &v, &err), SK_OK);
	sk_ids_fini(&v);
	sk_text_close(&t);
	sk_buf_fini(&json);
	dir_remove();
}
END_TEST

START_TEST(decoders_that_multiply_are_refused_in_bounded_memory)
{
	static const char step[] = "{\"type\":\"Replace\",\"pattern\":{\"String\":\"a\"},\"content\":\"%s\"}";
	struct sk_buf json = SK_BUF(1 << 20);
	struct sk_text *t = NULL;
	struct sk_err err = { .text = "" };
	char many[1001] = "";

	memset(many, 'a', 1000);
	sk_buf_adds(&json, "{\"model\":{\"type\":\"WordLevel\",\"unk_token\":\"a\",\"vocab\":{\"a\":0");
	for (int i = 1; i < 200; i++)
		sk_buf_addf(&json, ",\"a%d\":%d", i, i);
	sk_buf_adds(&json, "}},\"decoder\":{\"type\":\"Sequence\",\"decoders\":[");
	sk_buf_addf(&json, step, many);
	sk_buf_adds(&json, ",");
	sk_buf_addf(&json, step, many);
	sk_buf_adds(&json, "]}}");
	dir_make();
	file_put("tokenizer.json", json.data, json.len);
	ck_assert_int_eq(sk_text_open_dir(dir, NULL, 0, &t, &err), SK_ETOOBIG);
	ck_assert_msg(strstr(err.text, "the tokens' text takes more than 67"), "%s", err.text);
	sk_buf_fini(&json);
	dir_remove();
}
END_TEST

/* A token is looked at in all its parts, which takes the square of its length. */
START_TEST(a_token_that_is_too_long_to_be_taken_apart_is_refused)
{
	struct sk_buf b = SK_BUF(1 << 17);
	struct sk_text *t = NULL;
	struct sk_err err = { .text = "" };
	int i;

	sk_buf_add(&b, model, 16);                                      /* <unk>, then 40000 times a, and that it is BPE */
	sk_buf_add(&b, "\x0a\xc4\xb8\x02\x0a\xc0\xb8\x02", 8);
	for (i = 0; i < 40000; i++)
		sk_buf_addc(&b, 'a');
	sk_buf_add(&b, "\x12\x02\x18\x02", 4);
	dir_make();
	file_put("tokenizer.model", b.data, b.len);
	ck_assert_int_eq(sk_text_open_dir(dir, NULL, 0, &t, &err), SK_ETOOBIG);
	ck_assert_msg(strstr(err.text, "tokenizer.model: the squares of the tokens' lengths are more than 1073741824 together"), "%s", err.text);
	sk_buf_fini(&b);
	dir_remove();
}
END_TEST

static const struct { const char *name, *regex; size_t runs, run; bool splits; } costly[] = {
	{ "dear at every letter", "(?:a?){0,15}[bc]|a", 1, 4000, false },
	{ "dear at every place of one search", "(?:a?){0,15}[bc]", 1, 4000, false },
	{ "long blanks, once", "\\\\s+(?!\\\\S)|\\\\s+|[^\\\\s]+", 1, 400000, true },
	{ "long blanks, often", "\\\\s+(?!\\\\S)|\\\\s+|[^\\\\s]+", 100, 4000, true },
	{ "long words that end otherwise", "(?:[ax])*[bc]|(?:[ax])+| ", 100, 4000, true },
};

/* A pattern may cost much now and then, in proportion to the text, but not at every place. */
START_TEST(all_matches_of_a_text_together_take_bounded_steps)
{
	struct sk_buf json = SK_BUF(1 << 12), text = SK_BUF(1 << 20);
	struct sk_text *t = NULL;
	struct sk_ids v = { 0 };
	struct sk_err err = { .text = "" };
	sk_status st;

	sk_buf_addf(&json, LEVEL "\"pre_tokenizer\":{\"type\":\"Split\",\"behavior\":\"Isolated\",\"pattern\":{\"Regex\":\"%s\"}}}", costly[_i].regex);
	for (size_t i = 0; i < costly[_i].runs; i++) {
		for (size_t k = 0; k < costly[_i].run; k++)
			sk_buf_addc(&text, strstr(costly[_i].name, "blanks") ? ' ' : 'a');
		sk_buf_addc(&text, strstr(costly[_i].name, "blanks") ? 'a' : ' ');
	}
	dir_make();
	file_put("tokenizer.json", json.data, json.len);
	ck_assert_msg(sk_text_open_dir(dir, NULL, 0, &t, &err) == SK_OK, "%s: %s", costly[_i].name, err.text);
	st = sk_text_encode(t, text.data, text.len, true, true, 0, &v, &err);
	ck_assert_msg(st == (costly[_i].splits ? SK_OK : SK_EINVAL), "%s: %d %s", costly[_i].name, st, err.text);
	ck_assert_msg(st == SK_OK || strstr(err.text, "the text cannot be split into words"), "%s", err.text);
	sk_ids_fini(&v);
	sk_text_close(&t);
	sk_buf_fini(&json);
	sk_buf_fini(&text);
	dir_remove();
}
END_TEST

START_TEST(vocab_and_merges_are_a_byte_level_tokenizer)
{
	static const char vocab[] = "{\"a\":0,\"b\":1,\"ab\":2,\"\\u0120\":3,\"\\u0120ab\":4,\"<s>\":5}";
	static const char merges[] = "#version: 0.2\na b\n\xc4\xa0 ab\n", added[] = "{\"<x>\":6}", special[] = "{\"bos_token\":\"<s>\"}";
	static const char template[] = "{{ messages }}";
	struct sk_text *t = NULL;
	struct sk_ids v = { 0 };
	struct sk_text_info info;
	struct sk_err err = { .text = "" };
	const int32_t want[] = { 2, 4, 6, 5 }, ends[] = { 2, 6 };

	dir_make();
	file_put("vocab.json", vocab, strlen(vocab));
	file_put("merges.txt", merges, strlen(merges));
	file_put("added_tokens.json", added, strlen(added));
	file_put("special_tokens_map.json", special, strlen(special));
	file_put("chat_template.jinja", template, strlen(template));
	ck_assert_msg(sk_text_open_dir(dir, ends, 2, &t, &err) == SK_OK, "%s", err.text);
	ck_assert_int_eq(sk_text_encode(t, "ab ab<x><s>", 11, true, true, 0, &v, NULL), SK_OK);
	ck_assert_uint_eq(v.len, 4);
	ck_assert_mem_eq(v.ids, want, sizeof(want));
	sk_text_info(t, &info);
	ck_assert_int_eq(info.bos, 5);
	ck_assert(sk_text_is_eos(t, 2) && sk_text_is_eos(t, 6) && !sk_text_is_eos(t, 5));
	ck_assert(sk_text_is_special(t, 5) && !sk_text_is_special(t, 6));
	ck_assert_str_eq(sk_text_chat_template(t), template);
	sk_ids_fini(&v);
	sk_text_close(&t);
	dir_remove();
}
END_TEST

/* A generation goes on a text: the blank that a text would lose at its beginning stays. */
START_TEST(text_that_goes_on_keeps_its_first_blank)
{
	static const char json[] = "{\"model\":{\"type\":\"BPE\",\"vocab\":{\"\xe2\x96\x81\":0,\"a\":1},\"merges\":[]},\"decoder\":{\"type\":\"Sequence\",\"decoders\":["
		"{\"type\":\"Replace\",\"pattern\":{\"String\":\"\xe2\x96\x81\"},\"content\":\" \"},{\"type\":\"ByteFallback\"},{\"type\":\"Fuse\"},"
		"{\"type\":\"Strip\",\"content\":\" \",\"start\":1,\"stop\":0}]}}";
	const int32_t ids[] = { 0, 1 };
	struct sk_buf b = SK_BUF(100), rest = SK_BUF(100), parts = SK_BUF(100);
	struct sk_detok d = { .tail_len = 0 };
	struct sk_text *t = NULL;
	struct sk_err err = { .text = "" };

	dir_make();
	file_put("tokenizer.json", json, sizeof(json) - 1);
	ck_assert_msg(sk_text_open_dir(dir, NULL, 0, &t, &err) == SK_OK, "%s", err.text);
	sk_text_decode(t, ids, 2, false, &b);
	ck_assert_str_eq(sk_buf_str(&b), "a");
	sk_text_decode_rest(t, ids, 2, false, &rest);
	ck_assert_str_eq(sk_buf_str(&rest), " a");
	sk_detok_continue(t, &d);
	sk_detok_push(t, &d, 0, &parts);
	ck_assert_str_eq(sk_buf_str(&parts), " ");
	sk_detok_push(t, &d, 1, &parts);
	sk_detok_end(&d, &parts);
	ck_assert_str_eq(sk_buf_str(&parts), " a");
	sk_buf_fini(&b);
	sk_buf_fini(&rest);
	sk_buf_fini(&parts);
	sk_text_close(&t);
	dir_remove();
}
END_TEST

#define COUNT(a) ((int)(sizeof(a) / sizeof((a)[0])))

int main(void)
{
	Suite *s = suite_create("text_dir");
	TCase *t = tcase_create("text_dir");
	SRunner *r = srunner_create(s);
	int failed;

	tcase_set_timeout(t, 60);
	tcase_add_loop_test(t, files_of_a_directory_are_put_together, 0, COUNT(read_cases));
	tcase_add_loop_test(t, what_is_wrong_is_refused_in_words, 0, COUNT(refused));
	tcase_add_test(t, too_deep_and_too_many_are_refused);
	tcase_add_test(t, a_sentencepiece_model_cut_anywhere_is_refused_in_words_or_a_smaller_one);
	tcase_add_test(t, a_pattern_that_explodes_is_a_wrong_request_in_bounded_time);
	tcase_add_test(t, a_normalizer_that_multiplies_is_refused_in_bounded_memory);
	tcase_add_test(t, decoders_that_multiply_are_refused_in_bounded_memory);
	tcase_add_test(t, a_token_that_is_too_long_to_be_taken_apart_is_refused);
	tcase_add_loop_test(t, all_matches_of_a_text_together_take_bounded_steps, 0, sizeof(costly) / sizeof(costly[0]));
	tcase_add_test(t, vocab_and_merges_are_a_byte_level_tokenizer);
	tcase_add_test(t, text_that_goes_on_keeps_its_first_blank);
	suite_add_tcase(s, t);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
