/* SPDX-License-Identifier: Apache-2.0 */
/* Stop strings: where they end, what is held back, and that pieces make no difference. */
#include "engine/text/text.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

#define MAX 8

/*
 * text is fed in pieces divided by '|'; at: bytes up to and with the stop string, 0: none; held: at the end
 * without a match.
 */
static const struct { const char *name, *stop[MAX], *text; size_t at, match, held; } cases[] = {
	{ "one string in one piece", { "END" }, "abcENDdef", 6, 3, 0 },
	{ "a string over three tokens", { "END" }, "abE|N|Dd", 5, 3, 0 },
	{ "a false start is let go", { "aab" }, "aaab", 4, 3, 0 },
	{ "a false start in another string", { "abcd", "bce" }, "abce", 4, 3, 0 },
	{ "the earliest end wins", { "abcdef", "cd" }, "abcdef", 4, 2, 0 },
	{ "of those that end together the longest", { "d", "cd", "bcd" }, "abcd", 4, 3, 0 },
	{ "an inner string of an unfinished one", { "abcde", "bc" }, "abcx", 3, 2, 0 },
	{ "the string is the whole text", { "x" }, "x", 1, 1, 0 },
	{ "no match, nothing held", { "END" }, "hello", 0, 0, 0 },
	{ "a beginning is held", { "END" }, "helloEN", 0, 0, 2 },
	{ "the longest beginning is held", { "ababac", "bab" }, "aabab", 5, 3, 0 },
	{ "a beginning shared by two", { "\n\nUser", "\n\nBot" }, "hi\n|\n", 0, 0, 2 },
	{ "half a character is matched as bytes", { "\xc3\xa9!" }, "caf\xc3|\xa9|!", 6, 3, 0 },
	{ "bytes that are no character", { "\xff\xfe" }, "a\xff|\xfe", 3, 2, 0 },
	{ "the same string twice", { "ab", "ab" }, "xab", 3, 2, 0 },
	{ "no strings", { NULL }, "anything", 0, 0, 0 },
};

static const struct end_case { const char *name, *stop[MAX], *text; size_t pieces; } end_cases[] = {
	{ "at the end of a piece", { "END" }, "the END|more", 1 },
	{ "not in the middle of one", { "END" }, "the END.|more", 0 },
	{ "over several pieces", { "END" }, "the E|N|D|more", 3 },
	{ "in the middle of one, and later at an end", { "END" }, "END, |not END|.", 2 },
	{ "a single line break may follow", { "END" }, "the END\n|more", 1 },
	{ "which may come alone, but the string was found before", { "END" }, "the END|\n", 1 },
	{ "two line breaks may not", { "END" }, "the END\n\n|more", 0 },
	{ "overlapping with one that was passed over", { "aa" }, "aaa|b", 1 },
	{ "the line break of the string itself", { "END\n" }, "the END\n|more", 1 },
	{ "a piece that adds nothing is no end", { "END" }, "|the EN||D", 4 },
	{ "no strings", { NULL }, "anything", 0 },
};

static struct sk_stop *stop_of(const char *const *list)
{
	size_t len[MAX], n = 0;
	struct sk_stop *s = NULL;

	for (; n < MAX && list[n]; n++)
		len[n] = strlen(list[n]);
	ck_assert_int_eq(sk_stop_open(list, len, n, &s, NULL), SK_OK);
	return s;
}

START_TEST(stop_strings_are_found_where_they_end)
{
	size_t used, match, held, fed = 0, n;
	struct sk_stop *s = stop_of(cases[_i].stop);
	const char *p = cases[_i].text;
	bool hit = false;

	while (*p && !hit) {
		n = strcspn(p, "|");
		hit = sk_stop_feed(s, p, n, &used, &match, &held);
		fed += hit ? used : n;
		p += n + (p[n] == '|');
	}
	if (hit) {
		ck_assert_msg(fed == cases[_i].at && match == cases[_i].match, "%s: at %zu, %zu bytes", cases[_i].name, fed,
			      match);
	} else {
		ck_assert_msg(!cases[_i].at, "%s: not found", cases[_i].name);
		ck_assert_msg(held == cases[_i].held, "%s: %zu held", cases[_i].name, held);
	}
	sk_stop_close(&s);
	ck_assert_ptr_null(s);
}
END_TEST

START_TEST(the_other_rule_finds_them_where_a_piece_ends)
{
	struct sk_stop *s = stop_of(end_cases[_i].stop);
	const char *p = end_cases[_i].text;
	size_t pieces = 0, n;
	bool hit = false;

	do {
		n = strcspn(p, "|");
		hit = sk_stop_feed_end(s, p, n);
		pieces++;
		p += n + (p[n] == '|');
	} while (*p && !hit);
	ck_assert_msg(hit ? pieces == end_cases[_i].pieces : !end_cases[_i].pieces, "%s: %s after %zu pieces", end_cases[_i].name,
		      hit ? "found" : "not found", pieces);
	sk_stop_close(&s);
}
END_TEST

/* The definition, byte by byte over all text so far. */
static size_t slow_find(const char *const *list, const char *text, size_t len, size_t *ret_match, size_t *ret_held)
{
	size_t end, i, n;

	*ret_match = *ret_held = 0;
	for (end = 1; end <= len; end++) {
		for (i = 0; list[i]; i++) {
			n = strlen(list[i]);
			if (n <= end && n > *ret_match && !memcmp(text + end - n, list[i], n))
				*ret_match = n;
		}
		if (*ret_match)
			return end;
	}
	for (i = 0; list[i]; i++)
		for (n = strlen(list[i]) - 1; n > *ret_held; n--)
			if (n <= len && !memcmp(text + len - n, list[i], n))
				*ret_held = n;
	return 0;
}

START_TEST(random_texts_of_two_letters_agree_with_plain_search)
{
	char words[4][8], text[32];
	const char *list[MAX] = { NULL };
	size_t i, j, n, len, at, want, want_match, want_held, used, match = 0, held = 0;
	struct sk_stop *s;
	unsigned r = 1;

	for (int round = 0; round < 20000; round++) {
#define RAND(m) ((r = r * 1103515245u + 12345u) >> 16) % (m)
		n = 1 + RAND(4);
		for (i = 0; i < n; i++) {
			len = 1 + RAND(6);
			for (j = 0; j < len; j++)
				words[i][j] = (char)('a' + RAND(2));
			words[i][len] = '\0';
			list[i] = words[i];
		}
		list[n] = NULL;
		len = RAND(20);
		for (j = 0; j < len; j++)
			text[j] = (char)('a' + RAND(2));
		want = slow_find(list, text, len, &want_match, &want_held);
		s = stop_of(list);
		for (at = 0, i = 0, held = 0; i < len && !at; i += n) {
			n = 1 + RAND(3);
			n = n < len - i ? n : len - i;
			if (sk_stop_feed(s, text + i, n, &used, &match, &held))
				at = i + used;
		}
		ck_assert_uint_eq(at, want);
		if (want)
			ck_assert_uint_eq(match, want_match);
		else
			ck_assert_uint_eq(held, want_held);
		sk_stop_close(&s);
	}
}
END_TEST

START_TEST(long_strings_with_false_starts_take_linear_time)
{
	static char word[16][4096], text[1 << 20];
	const char *list[16];
	size_t len[16], used, match, held;
	struct sk_stop *s = NULL;

	memset(text, 'a', sizeof(text));
	for (int i = 0; i < 16; i++) {
		memset(word[i], 'a', sizeof(word[i]));
		word[i][4095] = (char)('b' + i);
		list[i] = word[i];
		len[i] = sizeof(word[i]);
	}
	ck_assert_int_eq(sk_stop_open(list, len, 16, &s, NULL), SK_OK);
	ck_assert(!sk_stop_feed(s, text, sizeof(text), &used, &match, &held));
	ck_assert_uint_eq(held, 4095);
	ck_assert(sk_stop_feed(s, "q", 1, &used, &match, &held));
	ck_assert_uint_eq(match, 4096);
	sk_stop_close(&s);
}
END_TEST

START_TEST(too_many_too_long_and_empty_strings_are_refused)
{
	static char big[5000];
	const char *list[17];
	size_t len[17];
	struct sk_stop *s = NULL;
	struct sk_err err;

	for (int i = 0; i < 17; i++) {
		list[i] = "x";
		len[i] = 1;
	}
	ck_assert_int_eq(sk_stop_open(list, len, 17, &s, &err), SK_EINVAL);
	ck_assert_str_eq(err.text, "17 stop strings, the limit is 16");
	list[1] = big;
	len[1] = 4097;
	ck_assert_int_eq(sk_stop_open(list, len, 2, &s, &err), SK_EINVAL);
	ck_assert_str_eq(err.text, "stop string 2 has 4097 bytes, the limit is 4096");
	len[1] = 0;
	ck_assert_int_eq(sk_stop_open(list, len, 2, &s, &err), SK_EINVAL);
	ck_assert_str_eq(err.text, "stop string 2 is empty");
	ck_assert_ptr_null(s);
	sk_stop_close(&s);
	sk_stop_close(NULL);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("stop");
	TCase *t = tcase_create("stop");
	SRunner *r = srunner_create(s);
	int failed;

	tcase_add_loop_test(t, stop_strings_are_found_where_they_end, 0, sizeof(cases) / sizeof(cases[0]));
	tcase_add_loop_test(t, the_other_rule_finds_them_where_a_piece_ends, 0, sizeof(end_cases) / sizeof(end_cases[0]));
	tcase_add_test(t, random_texts_of_two_letters_agree_with_plain_search);
	tcase_add_test(t, long_strings_with_false_starts_take_linear_time);
	tcase_add_test(t, too_many_too_long_and_empty_strings_are_refused);
	tcase_set_timeout(t, 60);
	suite_add_tcase(s, t);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
