/* SPDX-License-Identifier: Apache-2.0 */
/* The hub's local cache: which directory a model's name stands for, and what is said when there is none. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "fcgi/card.h"
#include "fcgi/hub.h"

#define LEN(a) ((int)(sizeof(a) / sizeof((a)[0])))

static char cache[64];

static void make(const char *path, const char *text)
{
	char full[512];
	FILE *f;

	snprintf(full, sizeof full, "%s/%s", cache, path);
	if (!text) {
		ck_assert_int_eq(mkdir(full, 0700), 0);
		return;
	}
	f = fopen(full, "w");
	ck_assert_ptr_nonnull(f);
	fputs(text, f);
	ck_assert_int_eq(fclose(f), 0);
}

static void setup(void)
{
	static const char *const dirs[] = { "models--o--m", "models--o--m/refs", "models--o--m/refs/refs", "models--o--m/refs/refs/pr",
		"models--o--m/snapshots", "models--o--m/snapshots/abc123", "models--o--m/snapshots/def456", "models--gpt2",
		"models--gpt2/refs", "models--gpt2/snapshots", "models--gpt2/snapshots/777" };

	snprintf(cache, sizeof cache, "/tmp/sk-hub-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(cache));
	for (int i = 0; i < LEN(dirs); i++)
		make(dirs[i], NULL);
	make("models--o--m/refs/main", "abc123");
	make("models--o--m/refs/refs/pr/1", "def456\n");
	make("models--o--m/refs/gone", "999999");
	make("models--o--m/refs/evil", "../../../etc");
	make("models--o--m/refs/empty", "");
	make("models--gpt2/refs/main", "777");
}

static void teardown(void)
{
	char command[128];

	snprintf(command, sizeof command, "rm -rf '%s'", cache);
	ck_assert_int_eq(system(command), 0);
}

static const struct { const char *name, *revision; sk_status status; const char *want; } cases[] = {
	{ "o/m", "", SK_OK, "/models--o--m/snapshots/abc123" },
	{ "o/m", "main", SK_OK, "/models--o--m/snapshots/abc123" },
	{ "o/m", "refs/pr/1", SK_OK, "/models--o--m/snapshots/def456" },
	{ "o/m", "def456", SK_OK, "/models--o--m/snapshots/def456" },
	{ "gpt2", "", SK_OK, "/models--gpt2/snapshots/777" },
	{ "o/other", "", SK_ENOENT, "/models--o--other: No such file" },
	{ "o/m", "v2", SK_ENOENT, "model o/m: its revision v2 is not in the hub's cache: " },
	{ "o/m", "gone", SK_ENOENT, "/snapshots/999999: No such file" },
	{ "o/m", "evil", SK_ENOENT, "/snapshots/evil: No such file" },
	{ "o/m", "empty", SK_ENOENT, "/snapshots/empty: No such file" },
	{ "o/m", "../x", SK_EINVAL, "revision \"../x\" is no branch" },
	{ "o/m", "/etc", SK_EINVAL, "is no branch" },
};

START_TEST(a_name_stands_for_a_directory_of_the_cache)
{
	char path[512] = "", small[8];
	struct sk_err err = { 0 };
	sk_status st = sk_hub_find(cache, cases[_i].name, cases[_i].revision, path, sizeof path, &err);

	ck_assert_msg(st == cases[_i].status, "%s %s: %d %s", cases[_i].name, cases[_i].revision, st, err.text);
	ck_assert_msg(strstr(st == SK_OK ? path + strlen(cache) : err.text, cases[_i].want) != NULL, "%s %s: got \"%s\" \"%s\"",
		      cases[_i].name, cases[_i].revision, path, err.text);
	if (st == SK_OK)
		ck_assert_int_eq(sk_hub_find(cache, cases[_i].name, cases[_i].revision, small, sizeof small, &err), SK_ETOOBIG);
}
END_TEST

START_TEST(the_cache_is_where_the_environment_says)
{
	static const char *const names[] = { "HUGGINGFACE_HUB_CACHE", "HF_HUB_CACHE", "HF_HOME", "XDG_CACHE_HOME", "HOME" };
	static const char *const want[] = { "/w/models--", "/w/models--", "/w/hub/models--", "/w/huggingface/hub/models--",
					    "/w/.cache/huggingface/hub/models--" };
	struct sk_err err = { 0 };
	char path[512];

	for (int i = 0; i < LEN(names); i++)
		unsetenv(names[i]);
	ck_assert_int_eq(sk_hub_find("", "o/m", "", path, sizeof path, &err), SK_ENOENT);
	ck_assert_ptr_nonnull(strstr(err.text, "set huggingface-hub-cache"));
	for (int i = LEN(names) - 1; i >= 0; i--) {
		setenv(names[i], "/w", 1);
		ck_assert_int_eq(sk_hub_find("", "o/m", "", path, sizeof path, &err), SK_ENOENT);
		ck_assert_msg(strstr(err.text, want[i]) != NULL, "%s: %s", names[i], err.text);
	}
}
END_TEST

START_TEST(names_and_paths_are_told_apart)
{
	static const char *const names[] = { "gpt2", "o/m", "EleutherAI/gpt-neox-20b", "a.b/c_d" };
	static const char *const others[] = { "", "/o/m", "./m", "../m", "o/m/x", "o/", "/m", "-m", "o m", "o/../m", "o/.m", "o//m" };

	for (int i = 0; i < LEN(names); i++)
		ck_assert_msg(sk_hub_is_name(names[i]), "%s", names[i]);
	for (int i = 0; i < LEN(others); i++)
		ck_assert_msg(!sk_hub_is_name(others[i]), "%s", others[i]);
}
END_TEST

static const struct { const char *name, *card, *want; } cards[] = {
	{ "a tag among others", "---\nlicense: mit\nlanguage:\n- en\npipeline_tag: text-generation\n---\n# Title\n", "text-generation" },
	{ "the first line", "---\npipeline_tag: text2text-generation\n---\n", "text2text-generation" },
	{ "in quotes, and a comment", "---\npipeline_tag: \"fill-mask\"  # as on the hub\n---\n", "fill-mask" },
	{ "in single quotes", "---\npipeline_tag:\t'fill-mask'\n---\n", "fill-mask" },
	{ "lines of another system, and its mark", "\xef\xbb\xbf---\r\npipeline_tag: text-generation\r\n---\r\n", "text-generation" },
	{ "no end", "---\npipeline_tag: text-generation", "text-generation" },
	{ "no card", "# Title\npipeline_tag: text-generation\n", "" },
	{ "behind the card", "---\nlicense: mit\n---\npipeline_tag: text-generation\n", "" },
	{ "inside something else", "---\nmodel:\n  pipeline_tag: text-generation\n---\n", "" },
	{ "no value", "---\npipeline_tag:\n---\n", "" },
	{ "a list", "---\npipeline_tag: [text-generation]\n---\n", "" },
	{ "two words", "---\npipeline_tag: text generation\n---\n", "" },
	{ "a quote that stays open", "---\npipeline_tag: \"text-generation\n---\n", "" },
	{ "what is no tag", "---\npipeline_tag: <b>\n---\n", "" },
	{ "too long", "---\npipeline_tag: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\n---\n", "" },
	{ "nothing", "", "" },
};

START_TEST(a_card_says_what_a_model_is_for)
{
	char tag[SK_CARD_TAG_MAX];

	ck_assert_msg(sk_card_tag(cards[_i].card, strlen(cards[_i].card), tag) == (*cards[_i].want != '\0'), "%s", cards[_i].name);
	ck_assert_msg(!strcmp(tag, cards[_i].want), "%s: got \"%s\"", cards[_i].name, tag);
	make("README.md", cards[_i].card);
	sk_card_read(cache, tag);
	ck_assert_msg(!strcmp(tag, cards[_i].want), "%s: got \"%s\" from a file", cards[_i].name, tag);
}
END_TEST

START_TEST(what_is_no_file_says_nothing)
{
	char tag[SK_CARD_TAG_MAX], path[128];

	ck_assert(!sk_card_read(cache, tag) && !*tag);
	snprintf(path, sizeof path, "%s/README.md", cache);
	ck_assert_int_eq(mkfifo(path, 0600), 0);
	ck_assert(!sk_card_read(cache, tag) && !*tag);
	ck_assert(!sk_card_read("/nowhere", tag) && !*tag);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("hub");
	TCase *t = tcase_create("hub");
	SRunner *r = srunner_create(s);
	int failed;

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_loop_test(t, a_name_stands_for_a_directory_of_the_cache, 0, LEN(cases));
	tcase_add_test(t, the_cache_is_where_the_environment_says);
	tcase_add_test(t, names_and_paths_are_told_apart);
	tcase_add_loop_test(t, a_card_says_what_a_model_is_for, 0, LEN(cards));
	tcase_add_test(t, what_is_no_file_says_nothing);
	suite_add_tcase(s, t);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}
