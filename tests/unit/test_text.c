/* SPDX-License-Identifier: Apache-2.0 */
/* Tokenizers on a small vocabulary written here: what is found, what is refused, what is kept back. */
#include "engine/text/kind.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "engine/base/utf8.h"
#include "engine/text/normal.h"
#include "engine/weights/weights.h"
#include "tests/lib/tiny_gguf.h"

/* ---- a vocabulary: 256 letters of GPT-2's alphabet, then what a test adds ------------------------------------------ */

#define FIRST_OWN 256
#define OWN_MAX 40

struct vocab {
	struct sk_str token[FIRST_OWN + OWN_MAX], merge[OWN_MAX];
	uint8_t type[FIRST_OWN + OWN_MAX];
	char letter[FIRST_OWN][3];
	struct sk_text_src src;
};

static struct sk_str str(const char *s)
{
	return (struct sk_str){ s, strlen(s) };
}

static void letters_make(struct vocab *v)
{
	uint32_t next = 256, cp;

	for (uint32_t b = 0; b < 256; b++) {
		cp = (b > 32 && b < 127) || (b > 160 && b != 173) ? b : next++;
		v->token[b] = (struct sk_str){ v->letter[b], sk_utf8_put(v->letter[b], cp) };
		v->type[b] = SK_TOKEN_NORMAL;
	}
}

/* "Ġ" is the space of the alphabet. Merges in order; their results are tokens from 256 on, then the added ones. */
static const char *const base_merges[] = {
	"l l", "H e", "ll o", "He llo", "\xc4\xa0 w", "o r", "\xc4\xa0w or", "l d", "\xc4\xa0wor ld", "a b", "b c", "ab c", "a a", "aa aa",
};
static const char *const base_added[] = { "<|end|>", "<|start|>", "<|start|>x", "<tool>", "<too", "a tool b" };
enum { END = FIRST_OWN + 14, START, START_X, TOOL, TOO, SPACED };

static void vocab_make(struct vocab *v, const char *pre)
{
	size_t n = FIRST_OWN, i;

	memset(v, 0, sizeof(*v));
	letters_make(v);
	for (i = 0; i < sizeof(base_merges) / sizeof(*base_merges); i++, n++) {
		const char *space = strchr(base_merges[i], ' ');
		size_t left = (size_t)(space - base_merges[i]);
		char *joined = calloc(1, 32);

		memcpy(joined, base_merges[i], left);
		memcpy(joined + left, space + 1, strlen(space + 1));
		v->merge[i] = str(base_merges[i]);
		v->token[n] = str(joined);
		v->type[n] = SK_TOKEN_NORMAL;
	}
	for (size_t j = 0; j < sizeof(base_added) / sizeof(*base_added); j++, n++) {
		v->token[n] = str(base_added[j]);
		v->type[n] = j < 3 ? SK_TOKEN_CONTROL : SK_TOKEN_USER;
	}
	v->src = (struct sk_text_src){
		.kind = str("gpt2"), .pre = str(pre), .tokens = v->token, .vocab = n, .types = v->type,
		.merges = v->merge, .merges_len = i, .bos = START, .eos = END, .eot = -1, .eom = -1, .unk = -1, .pad = -1,
		.add_bos = 1, .add_eos = 0,
	};
}

static void vocab_free(struct vocab *v)
{
	for (size_t i = 0; i < sizeof(base_merges) / sizeof(*base_merges); i++)
		free((void *)(uintptr_t)v->token[FIRST_OWN + i].s);
}

static struct sk_text *text_open(const char *pre)
{
	struct sk_text *t = NULL;
	struct sk_err err = { .text = "" };
	struct vocab v;

	vocab_make(&v, pre);
	ck_assert_msg(sk_text_open(&v.src, &t, &err) == SK_OK, "%s", err.text);
	vocab_free(&v);         /* nothing of the source is needed any more */
	return t;
}

/* ---- encoding ------------------------------------------------------------------------------------------------------- */

#define B(c) ((uint8_t)(c))
#define HELLO (FIRST_OWN + 3)
#define WORLD (FIRST_OWN + 8)
#define ABC (FIRST_OWN + 11)
#define NONE (-1)

static const struct { const char *name, *text; bool special, parse; int32_t ids[16]; } encode_cases[] = {
	{ "merges by rank", "Hello world", false, true, { HELLO, WORLD, NONE } },
	{ "a better merge goes before one further left", "abc", false, true, { ABC, NONE } },
	{ "a merge is not done across words", "Hell o", false, true, { FIRST_OWN + 1, FIRST_OWN, B(' '), B('o'), NONE } },
	{ "the leftmost of equal ranks goes first", "aaa", false, true, { FIRST_OWN + 12, B('a'), NONE } },
	{ "beginning of sequence where the tokenizer wants it", "a", true, true, { START, B('a'), NONE } },
	{ "nothing gives nothing", "", false, true, { NONE } },
	{ "nothing with the beginning", "", true, true, { START, NONE } },
	{ "a control token is found in the text", "a<|end|>b", false, true, { B('a'), END, B('b'), NONE } },
	{ "the longest added token wins", "<|start|>xy", false, true, { START_X, B('y'), NONE } },
	{ "the shorter one where the longer does not fit", "<|start|>y", false, true, { START, B('y'), NONE } },
	{ "an unfinished one is text", "<|en", false, true, { B('<'), B('|'), B('e'), B('n'), NONE } },
	{ "user tokens are found even when control tokens are not", "<|end|><tool>", false, false,
	  { B('<'), B('|'), B('e'), B('n'), B('d'), B('|'), B('>'), TOOL, NONE } },
	{ "an added token with blanks", "xa tool by", false, true, { B('x'), SPACED, B('y'), NONE } },
	{ "ill-formed bytes are U+FFFD", "a\xff", false, true, { B('a'), 0xef, 0xbf, 0xbd, NONE } },
	{ "an unfinished character is one U+FFFD", "\xe4\xb8", false, true, { 0xef, 0xbf, 0xbd, NONE } },
};

START_TEST(text_becomes_ids)
{
	struct sk_text *t = text_open("gpt-2");
	struct sk_ids v = { 0 };
	size_t n = 0;

	ck_assert_int_eq(sk_text_encode(t, encode_cases[_i].text, strlen(encode_cases[_i].text), encode_cases[_i].special,
					encode_cases[_i].parse, 0, &v, NULL), SK_OK);
	while (encode_cases[_i].ids[n] != NONE)
		n++;
	ck_assert_msg(v.len == n, "%s: %zu ids, want %zu", encode_cases[_i].name, v.len, n);
	for (size_t i = 0; i < n; i++)
		ck_assert_msg(v.ids[i] == encode_cases[_i].ids[i], "%s: id %zu is %d, want %d", encode_cases[_i].name, i,
			      v.ids[i], encode_cases[_i].ids[i]);
	sk_ids_fini(&v);
	sk_text_close(&t);
}
END_TEST

static const struct { const char *name, *pre, *text; uint32_t at[16]; } offset_cases[] = {
	{ "words and added tokens", "gpt-2", "Hello world<|end|>", { 0, 5, 5, 11, 11, 18 } },
	{ "replaced bytes keep their place", "gpt-2", "ab\xff" "ab", { 0, 2, 2, 3, 2, 3, 2, 3, 3, 5 } },
	{ "what is composed has the place of its first part", "qwen2", "ae\xcc\x81" "b<|end|>", { 0, 1, 1, 2, 1, 2, 4, 5, 5, 12 } },
};

START_TEST(offsets_point_into_the_callers_bytes)
{
	struct sk_text *t = text_open(offset_cases[_i].pre);
	struct sk_ids v = { .offsets = true };

	ck_assert_int_eq(sk_text_encode(t, offset_cases[_i].text, strlen(offset_cases[_i].text), false, true, 0, &v, NULL),
			 SK_OK);
	for (size_t i = 0; i < v.len; i++)
		ck_assert_msg(v.start[i] == offset_cases[_i].at[2 * i] && v.stop[i] == offset_cases[_i].at[2 * i + 1],
			      "%s: token %zu is %u to %u", offset_cases[_i].name, i, v.start[i], v.stop[i]);
	sk_ids_fini(&v);
	sk_text_close(&t);
}
END_TEST

START_TEST(too_many_tokens_are_refused_and_leave_nothing)
{
	struct sk_text *t = text_open("gpt-2");
	struct sk_ids v = { 0 };
	struct sk_err err;
	char *x = malloc(1 << 20);

	ck_assert_int_eq(sk_text_encode(t, "abc", 3, false, true, 0, &v, &err), SK_OK);
	ck_assert_int_eq(sk_text_encode(t, "x y z", 5, false, true, 3, &v, &err), SK_ETOOBIG);
	ck_assert_str_eq(err.text, "the text has more than 3 tokens");
	ck_assert_uint_eq(v.len, 1);
	memset(x, 'x', 1 << 20);        /* one word: refused before it takes memory */
	ck_assert_int_eq(sk_text_encode(t, x, 1 << 20, false, true, 100, &v, &err), SK_ETOOBIG);
	ck_assert_uint_eq(v.len, 1);
	free(x);
	sk_ids_fini(&v);
	sk_text_close(&t);
}
END_TEST

/* For random texts: words, added tokens, marks that compose, Hangul in parts, halves of characters, dropped bytes. */
static const char *const snippets[] = {
	"a", "aa", "abc", "Hello", " world", " ", "\n", "\r\n", "  ", "1", "23", ".", "?!", "'s", "x", "Q",
	"<|start|>", "<|end|>", "<tool>", "a tool b", "<|st", "e\xcc\x81", "a\xcc\xa3\xcc\x81", "\xe1\x84\x80\xe1\x85\xa1\xe1\x86\xa8",
	"\xe5\xa5\xbd", "\xe5\xa5", "\xff", " he said\n", "\nThen ", "\n\xe5\xa5\xbd", "\xf0\x9f\x98\x80", "\xf0\x9f",
	"\xe2\x80\xa8", "\xe3\x80\x82", "\xcd\xbe", "\xe2\x84\xaa", "\t", "K\xcc\x81", "\n\n", "I'll",
};

/* Random text of about len bytes; every text uses its own few snippets, so that long runs come. */
static size_t text_random(unsigned *r, char *s, size_t len)
{
	size_t few = sizeof(snippets) / sizeof(*snippets), n = 0, from;

	*r = *r * 1103515245u + 12345u;
	from = (*r >> 16) % few;
	few = (*r >> 8) % 3 ? 4 : few;
	while (n < len) {
		const char *p;

		*r = *r * 1103515245u + 12345u;
		p = snippets[(from + (*r >> 16) % few) % (sizeof(snippets) / sizeof(*snippets))];
		memcpy(s + n, p, strlen(p));
		n += strlen(p);
	}
	return n;
}

/* The bytes of 'x', 'Q', U+FFFD and the second of U+00E9 are no tokens of this one. */
static struct sk_text *text_open_lacking(const char *pre)
{
	static const uint8_t lacking[] = { 'x', 'Q', 0xef, 0xa9, 0x01 };
	struct sk_text *t = NULL;
	struct sk_err err = { .text = "" };
	char name[sizeof(lacking)][16];
	struct vocab v;

	vocab_make(&v, pre);
	for (size_t i = 0; i < sizeof(lacking); i++) {
		snprintf(name[i], sizeof(name[i]), "unused%zu", i);
		v.token[lacking[i]] = str(name[i]);
	}
	ck_assert_msg(sk_text_open(&v.src, &t, &err) == SK_OK, "%s", err.text);
	vocab_free(&v);
	return t;
}

START_TEST(no_text_has_fewer_tokens_than_its_bytes_say)
{
	const struct sk_pretok_rule *rule;
	unsigned r = 11;
	char s[512], name[32];

	for (size_t i = 0; (rule = sk_pretok_at(i)); i++) {
		struct sk_text *t[2];

		snprintf(name, sizeof(name), "%.*s", (int)strcspn(rule->names, " "), rule->names);
		t[0] = text_open(name);
		t[1] = text_open_lacking(name);
		for (int round = 0; round < 2000; round++) {
			struct sk_ids v = { 0 };
			size_t n = text_random(&r, s, 400);

			ck_assert_int_eq(sk_text_encode(t[round % 2], s, n, false, true, 0, &v, NULL), SK_OK);
			ck_assert_uint_le(sk_text_least(t[round % 2], s, n), v.len);
			sk_ids_fini(&v);
		}
		sk_text_close(&t[0]);
		sk_text_close(&t[1]);
	}
}
END_TEST

/* Hardly a vocabulary has a token for every byte: those that it has must do. */
START_TEST(a_long_text_is_known_to_be_long_where_bytes_are_lacking)
{
	struct sk_text *t = text_open_lacking("gpt-2");
	char s[9000];

	memset(s, 'a', sizeof(s));              /* the longest token has 10 bytes: "<|start|>x" */
	ck_assert_uint_eq(sk_text_least(t, s, sizeof(s)), 900);
	memset(s, 'x', sizeof(s) / 2);          /* these are dropped */
	ck_assert_uint_eq(sk_text_least(t, s, sizeof(s)), 450);
	sk_text_close(&t);
}
END_TEST

/* Without the added token "a tool b", inside which a text could be cut. */
static struct sk_text *text_open_cuttable(const char *pre)
{
	struct sk_text *t = NULL;
	struct sk_err err = { .text = "" };
	struct vocab v;

	vocab_make(&v, pre);
	v.token[SPACED] = str("a-tool-b");
	ck_assert_msg(sk_text_open(&v.src, &t, &err) == SK_OK, "%s", err.text);
	vocab_free(&v);
	return t;
}

START_TEST(a_text_cut_in_two_has_the_ids_of_the_whole)
{
	const struct sk_pretok_rule *rule;
	unsigned r = 3;
	char s[512], name[32];

	for (size_t i = 0; (rule = sk_pretok_at(i)); i++) {
		struct sk_text *t;
		size_t cuts = 0;

		snprintf(name, sizeof(name), "%.*s", (int)strcspn(rule->names, " "), rule->names);
		t = text_open_cuttable(name);
		for (int round = 0; round < 1500; round++) {
			struct sk_ids whole = { 0 };
			size_t n = text_random(&r, s, 150), cut;

			ck_assert_int_eq(sk_text_encode(t, s, n, false, true, 0, &whole, NULL), SK_OK);
			for (cut = sk_text_cut(t, s, n, 0); cut < n; cut = sk_text_cut(t, s, n, cut + 1), cuts++) {
				struct sk_ids parts = { 0 };

				ck_assert_int_eq(sk_text_encode(t, s, cut, false, true, 0, &parts, NULL), SK_OK);
				ck_assert_int_eq(sk_text_encode(t, s + cut, n - cut, false, true, 0, &parts, NULL), SK_OK);
				ck_assert_msg(parts.len == whole.len && !memcmp(parts.ids, whole.ids, parts.len * sizeof(*parts.ids)),
					      "%s, cut at %zu of \"%.*s\"", name, cut, (int)n, s);
				sk_ids_fini(&parts);
			}
			sk_ids_fini(&whole);
		}
		ck_assert_uint_gt(cuts, 5000);
		sk_text_close(&t);
	}
}
END_TEST

START_TEST(a_text_is_not_cut_where_an_added_token_could_be)
{
	struct sk_text *t = text_open("gpt-2");

	ck_assert_uint_eq(sk_text_cut(t, "xa tool by", 10, 0), 10);
	sk_text_close(&t);
	t = text_open_cuttable("gpt-2");
	ck_assert_uint_eq(sk_text_cut(t, "xa tool by", 10, 0), 2);
	ck_assert_uint_eq(sk_text_cut(t, "xa tool by", 10, 3), 7);
	ck_assert_uint_eq(sk_text_cut(t, "1 2  ", 5, 0), 5);
	sk_text_close(&t);
}
END_TEST

START_TEST(long_words_merge_as_short_ones_do)
{
	struct sk_text *t = text_open("gpt-2");
	char s[400];
	unsigned r = 7;

	/* In "gpt-2" a run of letters is one word; cut by an added token it is many. The rule is greedy by rank, so for
	 * letters without merges between, both give the same. */
	for (int round = 0; round < 50; round++) {
		struct sk_ids whole = { 0 }, part = { 0 };
		size_t n = 0, from = 0;

		while (n < 300) {
			r = r * 1103515245u + 12345u;
			s[n++] = "abcab"[(r >> 16) % 5];
			if ((r >> 20) % 4 == 0)
				s[n++] = 'z';                   /* no merge has a z */
		}
		ck_assert_int_eq(sk_text_encode(t, s, n, false, true, 0, &whole, NULL), SK_OK);
		for (size_t i = 0; i <= n; i++) {
			if (i < n && s[i] != 'z')
				continue;
			ck_assert_int_eq(sk_text_encode(t, s + from, i - from, false, true, 0, &part, NULL), SK_OK);
			if (i < n)
				ck_assert_int_eq(sk_text_encode(t, "z", 1, false, true, 0, &part, NULL), SK_OK);
			from = i + 1;
		}
		ck_assert_uint_eq(whole.len, part.len);
		ck_assert_int_eq(memcmp(whole.ids, part.ids, part.len * sizeof(*part.ids)), 0);
		sk_ids_fini(&whole);
		sk_ids_fini(&part);
	}
	sk_text_close(&t);
}
END_TEST

/* Runs that make a naive merge loop or a backtracking pattern quadratic: with those this test would take hours. */
START_TEST(hostile_runs_take_about_linear_time)
{
	static const char *const units[] = { "a", " ", "\n", " \n", "'", "\xcc\x81", "1", "<", "<|start", "\r", "\xe4\xb8\x96", "a " };
	const struct sk_pretok_rule *rule;
	size_t len = 1 << 19, n, i, j;
	char *s = malloc(len), name[32];

	for (i = 0; (rule = sk_pretok_at(i)); i++) {
		struct sk_text *t;

		snprintf(name, sizeof(name), "%.*s", (int)strcspn(rule->names, " "), rule->names);
		t = text_open(name);
		for (j = 0; j < sizeof(units) / sizeof(*units); j++) {
			struct sk_ids v = { 0 };

			for (n = 0; n + strlen(units[j]) <= len; n += strlen(units[j]))
				memcpy(s + n, units[j], strlen(units[j]));
			ck_assert_msg(sk_text_encode(t, s, n, false, true, 0, &v, NULL) == SK_OK, "%s: run %zu", name, j);
			sk_ids_fini(&v);
		}
		sk_text_close(&t);
	}
	free(s);
}
END_TEST

static sk_status word_ignore(void *arg, const char *word, size_t len, size_t offset)
{
	return SK_OK;
}

/* No known text does this to a pattern of the table, so the pattern is the test's. */
START_TEST(a_text_that_a_pattern_cannot_finish_is_a_wrong_request)
{
	static const struct sk_pretok_rule rule = { .names = "hopeless", .stages = { { "(?:a|a|aa)+[bc]" } } };
	struct sk_pretok *p = NULL;
	struct sk_err err;
	char s[200];

	memset(s, 'a', sizeof(s));
	ck_assert_int_eq(sk_pretok_open(&rule, &p, &err), SK_OK);
	ck_assert_int_eq(sk_pretok_walk(p, s, sizeof(s), word_ignore, NULL, &err), SK_EINVAL);
	ck_assert(!strncmp(err.text, "the text cannot be split into words: ", 37));
	sk_pretok_close(&p);
}
END_TEST

/* ---- facts ---------------------------------------------------------------------------------------------------------- */

START_TEST(special_and_ending_tokens_are_known)
{
	struct sk_text *t = text_open("gpt-2");
	struct sk_text_info info;
	size_t len;

	sk_text_info(t, &info);
	ck_assert_int_eq(info.vocab, FIRST_OWN + 20);
	ck_assert_int_eq(info.bos, START);
	ck_assert_int_eq(info.eos, END);
	ck_assert(info.add_bos && !info.add_eos);
	ck_assert_str_eq(info.kind, "bpe");
	ck_assert_str_eq(info.pre, "gpt-2");
	ck_assert(sk_text_is_eos(t, END) && !sk_text_is_eos(t, START) && !sk_text_is_eos(t, -1) && !sk_text_is_eos(t, 1 << 30));
	ck_assert(sk_text_is_special(t, START) && !sk_text_is_special(t, TOOL) && !sk_text_is_special(t, 5));
	ck_assert_ptr_null(sk_text_chat_template(t));
	ck_assert_mem_eq(sk_text_piece(t, WORLD, &len), " world", 6);
	ck_assert_uint_eq(len, 6);
	ck_assert_str_eq(sk_text_piece(t, -1, &len), "");
	ck_assert_uint_eq(len, 0);
	sk_text_close(&t);
	sk_text_close(&t);
}
END_TEST

START_TEST(every_name_of_a_pretokeniser_is_found_and_no_other)
{
	const char *const names[] = { "gpt-2", "phi-2", "smollm", "starcoder", "llama-bpe", "qwen2", "falcon", "bloom", "mpt", "gpt3-finnish", "" };

	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
		ck_assert_msg(sk_pretok_find(names[i], strlen(names[i])), "%s", names[i]);
	ck_assert_ptr_null(sk_pretok_find("smol", 4));
	ck_assert_ptr_null(sk_pretok_find("smollm starcoder", 16));
	ck_assert_ptr_null(sk_pretok_find(" ", 1));
}
END_TEST

/* ---- what is refused -------------------------------------------------------------------------------------------------- */

enum twist { T_EMPTY, T_KIND, T_BERT, T_PRE, T_BOS, T_EOS, T_NEGATIVE, T_TWICE, T_LEFT, T_RESULT, T_NO_SPACE, T_TWO_SPACES, T_LONG, T_ADDED };

static const struct { const char *name; enum twist twist; sk_status status; const char *words; } refused[] = {
	{ "no tokens", T_EMPTY, SK_EFORMAT, "tokenizer.ggml.tokens: the vocabulary is empty" },
	{ "another kind", T_KIND, SK_ENOTSUP, "tokenizer.ggml.model \"wordy\" is not supported, only llama, t5, gpt2" },
	{ "a kind of models that generate nothing", T_BERT, SK_ENOTSUP, "tokenizer.ggml.model \"bert\" is not supported, only llama, t5, gpt2" },
	{ "an unknown pre-tokeniser", T_PRE, SK_ENOTSUP, "tokenizer.ggml.pre \"later\" is not known; known are gpt-2 default phi-2 jais mpt olmo gpt-neox smollm starcoder refact codeshell "
	  "command-r llama-bpe llama3 llama-v3 qwen2 deepseek-r1-qwen bloom poro-chat gpt3-finnish falcon" },
	{ "a bos id beyond the vocabulary", T_BOS, SK_EFORMAT,
	  "tokenizer.ggml.bos_token_id is 70000, but the vocabulary has 276 tokens" },
	{ "an eos id just beyond", T_EOS, SK_EFORMAT, "tokenizer.ggml.eos_token_id is 276, but the vocabulary has 276 tokens" },
	{ "a negative id", T_NEGATIVE, SK_EFORMAT, "tokenizer.ggml.padding_token_id is -5, but the vocabulary has 276 tokens" },
	{ "the same token twice", T_TWICE, SK_EFORMAT, "tokenizer.ggml.tokens: tokens 97 and 260 are both \"a\"" },
	{ "a merge of what is no token", T_LEFT, SK_EFORMAT, "tokenizer.ggml.merges: merge 0 \"zq l\" joins what is no token" },
	{ "a merge that makes no token", T_RESULT, SK_EFORMAT, "tokenizer.ggml.merges: merge 1 \"q q\" makes what is no token" },
	{ "a merge of one part", T_NO_SPACE, SK_EFORMAT,
	  "tokenizer.ggml.merges: merge 0 \"ll\" is not two tokens and a space between" },
	{ "a merge of three parts", T_TWO_SPACES, SK_EFORMAT,
	  "tokenizer.ggml.merges: merge 0 \"l l l\" is not two tokens and a space between" },
	{ "an endless token", T_LONG, SK_ETOOBIG, "tokenizer.ggml.tokens: token 3 has 70000 bytes, the limit is 65535" },
	{ "an endless added token", T_ADDED, SK_ETOOBIG,
	  "tokenizer.ggml.tokens: added token 3 has 2000 bytes, the limit is 1024" },
};

static void twist(struct vocab *v, enum twist how)
{
	static char big[70000];

	memset(big, 'x', sizeof(big));
	switch (how) {
	case T_EMPTY: v->src.vocab = 0; break;
	case T_KIND: v->src.kind = str("wordy"); break;
	case T_BERT: v->src.kind = str("bert"); break;
	case T_PRE: v->src.pre = str("later"); break;
	case T_BOS: v->src.bos = 70000; break;
	case T_EOS: v->src.eos = (int64_t)v->src.vocab; break;
	case T_NEGATIVE: v->src.pad = -5; break;
	case T_TWICE: v->token[260].len = 1; v->token[260].s = "a"; break;
	case T_LEFT: v->merge[0] = str("zq l"); break;
	case T_RESULT: v->merge[1] = str("q q"); break;
	case T_NO_SPACE: v->merge[0] = str("ll"); break;
	case T_TWO_SPACES: v->merge[0] = str("l l l"); break;
	case T_LONG: v->token[3] = (struct sk_str){ big, 70000 }; break;
	case T_ADDED: v->token[3] = (struct sk_str){ big, 2000 }; v->type[3] = SK_TOKEN_CONTROL; break;
	}
}

START_TEST(a_wrong_vocabulary_is_refused_in_words)
{
	struct sk_text *t = NULL;
	const char *was;
	struct vocab v;
	struct sk_err err;

	vocab_make(&v, "gpt-2");
	was = v.token[260].s;
	twist(&v, refused[_i].twist);
	ck_assert_int_eq(sk_text_open(&v.src, &t, &err), refused[_i].status);
	ck_assert_str_eq(err.text, refused[_i].words);
	ck_assert_ptr_null(t);
	v.token[260].s = was;
	vocab_free(&v);
}
END_TEST

START_TEST(a_gguf_brings_its_tokenizer_and_template)
{
	struct tiny_gguf o = TINY_GGUF_INIT;
	char path[] = "/tmp/saker-text-XXXXXX";
	struct sk_weights *w = NULL;
	struct sk_text *t = NULL;
	struct sk_text_info info;
	struct sk_ids v = { 0 };
	struct sk_err err = { .text = "" };
	int fd = mkstemp(path);

	ck_assert_int_ge(fd, 0);
	tiny_gguf_write(&o, path);
	ck_assert_msg(sk_weights_open(path, &w, &err) == SK_OK, "%s", err.text);
	ck_assert_msg(sk_text_open_gguf(w, &t, &err) == SK_OK, "%s", err.text);
	sk_weights_close(&w);
	sk_text_info(t, &info);
	ck_assert_int_eq(info.vocab, tiny_gguf_vocab(&o));
	ck_assert_int_eq(info.eos, TINY_IM_END);
	ck_assert_str_eq(info.pre, "smollm");
	ck_assert_str_eq(sk_text_chat_template(t), tiny_chatml);
	ck_assert_int_eq(sk_text_encode(t, "<|im_start|>Hello", 17, true, true, 0, &v, &err), SK_OK);
	ck_assert_uint_eq(v.len, 2);
	ck_assert_int_eq(v.ids[0], TINY_IM_START);
	sk_ids_fini(&v);
	sk_text_close(&t);
	remove(path);
}
END_TEST

static const struct { const char *name, *pre, *arch, *want; } by_arch[] = {
	{ "a file that names its pre-tokeniser has that one", "smollm", "bloom", "smollm" },
	{ "an old BLOOM", "default", "bloom", "bloom" },
	{ "an old StarCoder", "default", "starcoder", "smollm" },
	{ "an old GPT-NeoX", "default", "gptneox", "mpt" },
	{ "an old Falcon, which says nothing at all", "", "falcon", "falcon" },
	{ "any other is GPT-2's", "default", "gpt2", "gpt-2" },
};

START_TEST(a_gguf_that_names_no_pretokeniser_has_that_of_its_architecture)
{
	struct tiny_gguf o = TINY_GGUF_INIT;
	char path[] = "/tmp/saker-text-XXXXXX";
	struct sk_weights *w = NULL;
	struct sk_text *t = NULL;
	struct sk_text_info info;
	struct sk_err err = { .text = "" };
	int fd = mkstemp(path);

	ck_assert_int_ge(fd, 0);
	o.pre = by_arch[_i].pre;
	o.arch = by_arch[_i].arch;
	tiny_gguf_write(&o, path);
	ck_assert_msg(sk_weights_open(path, &w, &err) == SK_OK, "%s", err.text);
	ck_assert_msg(sk_text_open_gguf(w, &t, &err) == SK_OK, "%s", err.text);
	sk_weights_close(&w);
	sk_text_info(t, &info);
	ck_assert_msg(!strcmp(info.pre, by_arch[_i].want), "%s: %s", by_arch[_i].name, info.pre);
	sk_text_close(&t);
	close(fd);
	remove(path);
}
END_TEST

/* ---- back to text ----------------------------------------------------------------------------------------------------- */

/* Pieces divided by '|' are single-byte tokens each pushed alone; want: what each push adds. */
static const struct { const char *name, *bytes, *want; } stream_cases[] = {
	{ "a character split over two tokens arrives whole", "caf\xc3|\xa9", "caf|\xc3\xa9|" },
	{ "four bytes one by one", "\xf0|\x9f|\x98|\x80!", "|||\xf0\x9f\x98\x80!|" },
	{ "an unfinished character at the end is replaced", "caf\xc3", "caf|\xef\xbf\xbd" },
	{ "three bytes of four at the end are one replacement", "\xf0\x9f\x98", "|\xef\xbf\xbd" },
	{ "a broken character is replaced as soon as it is broken", "\xe4|\xb8|x", "||\xef\xbf\xbdx|" },
	{ "a new beginning breaks the old one", "\xe4\xb8|\xe4|\xb8\x96", "|\xef\xbf\xbd|\xe4\xb8\x96|" },
	{ "a byte that is never right", "a\xff|b", "a\xef\xbf\xbd|b|" },
	{ "an overlong beginning is two mistakes", "\xc0|\x80", "\xef\xbf\xbd|\xef\xbf\xbd|" },
	{ "a surrogate is three mistakes", "\xed|\xa0|\x80", "|\xef\xbf\xbd\xef\xbf\xbd|\xef\xbf\xbd|" },
};

START_TEST(a_stream_never_shows_half_a_character)
{
	struct sk_text *t = text_open("gpt-2");
	struct sk_buf got = SK_BUF(4096), whole = SK_BUF(4096), plain = SK_BUF(4096);
	struct sk_detok d = { .tail_len = 0 };
	const char *p = stream_cases[_i].bytes;
	int32_t ids[64];
	size_t n = 0;

	while (*p) {
		for (; *p && *p != '|'; p++) {
			ids[n++] = (uint8_t)*p;
			ck_assert_int_eq(sk_detok_push(t, &d, (uint8_t)*p, &got), SK_OK);
			ck_assert(sk_utf8_valid(got.data ? got.data : "", got.len));
		}
		sk_buf_addc(&got, '|');
		p += *p == '|';
	}
	ck_assert_int_eq(sk_detok_end(&d, &got), SK_OK);
	ck_assert_msg(!strcmp(sk_buf_str(&got), stream_cases[_i].want), "%s: %s", stream_cases[_i].name, sk_buf_str(&got));
	ck_assert_int_eq(sk_text_decode(t, ids, n, false, &whole), SK_OK);
	for (size_t i = 0; i < got.len; i++)
		if (got.data[i] != '|')
			sk_buf_addc(&plain, got.data[i]);
	ck_assert_str_eq(sk_buf_str(&whole), sk_buf_str(&plain));
	sk_buf_fini(&got);
	sk_buf_fini(&whole);
	sk_buf_fini(&plain);
	sk_text_close(&t);
}
END_TEST

START_TEST(special_tokens_are_left_out_only_when_asked)
{
	struct sk_text *t = text_open("gpt-2");
	const int32_t ids[] = { START, HELLO, TOOL, END, 0xc3, END, 0xa9, 99999, -1 };
	struct sk_buf b = SK_BUF(100);

	ck_assert_int_eq(sk_text_decode(t, ids, 9, false, &b), SK_OK);
	ck_assert_str_eq(sk_buf_str(&b), "<|start|>Hello<tool><|end|>\xef\xbf\xbd<|end|>\xef\xbf\xbd");
	sk_buf_clear(&b);
	ck_assert_int_eq(sk_text_decode(t, ids, 9, true, &b), SK_OK);
	ck_assert_str_eq(sk_buf_str(&b), "Hello<tool>\xc3\xa9");
	sk_buf_fini(&b);
	b = (struct sk_buf)SK_BUF(3);
	ck_assert_int_eq(sk_text_decode(t, ids, 9, true, &b), SK_ETOOBIG);
	sk_buf_fini(&b);
	sk_text_close(&t);
}
END_TEST

static const struct { const char *name, *text, *want; } nfc_cases[] = {
	{ "ascii stays", "plain", "plain" },
	{ "a letter and its accent", "e\xcc\x81", "\xc3\xa9" },
	{ "after other text", "xxe\xcc\x81yy", "xx\xc3\xa9yy" },
	{ "marks in the wrong order", "a\xcc\x81\xcc\xa3", "\xe1\xba\xa1\xcc\x81" },
	{ "hangul", "\xe1\x84\x80\xe1\x85\xa1\xe1\x86\xa8", "\xea\xb0\x81" },
	{ "what is just before the last consonants is none of them", "\xea\xba\x84\xe1\x86\xa7", "\xea\xba\x84\xe1\x86\xa7" },
	{ "nothing", "", "" },
	{ "compatibility forms stay", "\xef\xac\x81", "\xef\xac\x81" },
};

START_TEST(text_is_composed)
{
	struct sk_piece p = { nfc_cases[_i].text, strlen(nfc_cases[_i].text), NULL, 0 };
	struct sk_normal n = SK_NORMAL;

	ck_assert_int_eq(sk_normal_form(&n, &p, SK_FORM_NFC), SK_OK);
	ck_assert_str_eq(sk_buf_str(&n.text), nfc_cases[_i].want);
	for (size_t i = 0; i < n.text.len; i++)
		ck_assert(n.at[i].from < n.at[i].to && n.at[i].to <= p.len && (!i || n.at[i].from >= n.at[i - 1].from));
	sk_normal_fini(&n);
}
END_TEST

#define COUNT(a) ((int)(sizeof(a) / sizeof((a)[0])))

int main(void)
{
	Suite *s = suite_create("text");
	TCase *t = tcase_create("text");
	SRunner *r = srunner_create(s);
	int failed;

	tcase_set_timeout(t, 240);
	tcase_add_loop_test(t, text_becomes_ids, 0, COUNT(encode_cases));
	tcase_add_loop_test(t, offsets_point_into_the_callers_bytes, 0, COUNT(offset_cases));
	tcase_add_test(t, too_many_tokens_are_refused_and_leave_nothing);
	tcase_add_test(t, no_text_has_fewer_tokens_than_its_bytes_say);
	tcase_add_test(t, a_long_text_is_known_to_be_long_where_bytes_are_lacking);
	tcase_add_test(t, a_text_cut_in_two_has_the_ids_of_the_whole);
	tcase_add_test(t, a_text_is_not_cut_where_an_added_token_could_be);
	tcase_add_test(t, long_words_merge_as_short_ones_do);
	tcase_add_test(t, hostile_runs_take_about_linear_time);
	tcase_add_test(t, a_text_that_a_pattern_cannot_finish_is_a_wrong_request);
	tcase_add_test(t, special_and_ending_tokens_are_known);
	tcase_add_test(t, every_name_of_a_pretokeniser_is_found_and_no_other);
	tcase_add_loop_test(t, a_wrong_vocabulary_is_refused_in_words, 0, COUNT(refused));
	tcase_add_test(t, a_gguf_brings_its_tokenizer_and_template);
	tcase_add_loop_test(t, a_gguf_that_names_no_pretokeniser_has_that_of_its_architecture, 0, sizeof(by_arch) / sizeof(by_arch[0]));
	tcase_add_loop_test(t, a_stream_never_shows_half_a_character, 0, COUNT(stream_cases));
	tcase_add_test(t, special_tokens_are_left_out_only_when_asked);
	tcase_add_loop_test(t, text_is_composed, 0, COUNT(nfc_cases));
	suite_add_tcase(s, t);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
