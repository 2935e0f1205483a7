/* SPDX-License-Identifier: Apache-2.0 */
/* API keys: the form of their file, who may read and write it, finding and reloading. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine/base/log.h"
#include "fcgi/keys.h"

#define LEN(array) (sizeof(array) / sizeof((array)[0]))
/* SHA-256 of "secret" */
#define SECRET "2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b"
#define X64 "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
#define X512 X64 X64 X64 X64 X64 X64 X64 X64

/* ---- the form ----------------------------------------------------------------------------------------------- */

static sk_status add(void *user, const struct sk_key *key, int line, struct sk_err *err)
{
	char *seen = user;

	snprintf(seen + strlen(seen), 512 - strlen(seen), "%d:%s%s:%02x%02x ", line, key->name, key->admin ? "!" : "", key->digest[0],
		 key->digest[31]);
	return SK_OK;
}

static const struct { const char *name, *text, *want; } good[] = {
	{ "nothing", "", "" },
	{ "comments and empty lines", "# a\n\n  # b\n \t\n", "" },
	{ "a key", "alice secret\n", "1:alice:2b5b " },
	{ "its digest", "alice sha256:" SECRET "\n", "1:alice:2b5b " },
	{ "a digest in capitals", "a sha256:2BB80D537B1DA3E38BD30361AA855686BDE0EACD7162FEF6A25FE97BF527A25B", "1:a:2b5b " },
	{ "an admin", "root secret admin\n", "1:root!:2b5b " },
	{ "blanks, and line ends of another system", "  a\t \tsecret \t\r\nb x\r\n", "1:a:2b5b 2:b:2d81 " },
	{ "no line feed at the end", "#\na secret", "2:a:2b5b " },
	{ "any visible character", "a@b.c-d_E9 !\"#$%&'()*+,-./:;<=>?@[]^_`{|}~\n", "1:a@b.c-d_E9:42b0 " },
	{ "the longest", X64 " " X512 "\n", "1:" X64 ":6459 " },
};

START_TEST(lines_are_keys)
{
	char seen[1024] = "";
	struct sk_err err = { 0 };

	ck_assert_msg(sk_keys_parse(good[_i].text, strlen(good[_i].text), "f", add, seen, &err) == SK_OK, "%s: %s", good[_i].name,
		      err.text);
	ck_assert_msg(strcmp(seen, good[_i].want) == 0, "%s: %s", good[_i].name, seen);
}
END_TEST

static const struct { const char *name, *text, *want; } bad[] = {
	{ "a name alone", "alice\n", "f:1: a line is NAME KEY, or NAME sha256:HEX, and perhaps admin" },
	{ "a name with a quote", "#\n\na\"b secret\n", "f:3: a name is made of letters, digits and . _ @ -" },
	{ "a name that is too long", X64 "x secret", "f:1: a name of 65 characters, the limit is 64" },
	{ "a key that is too long", "a " X512 "x", "f:1: a key is 1 to 512 visible ASCII characters" },
	{ "a key that no header carries", "a s\xc3\xa9" "cret", "f:1: a key is 1 to 512 visible ASCII characters" },
	{ "a short digest", "a sha256:2bb8", "f:1: sha256: wants 64 hexadecimal digits behind it" },
	{ "a digest with a letter too many", "a sha256:" SECRET "0", "f:1: sha256: wants 64 hexadecimal digits behind it" },
	{ "a digest of no digits", "a sha256:" X64, "f:1: sha256: wants 64 hexadecimal digits behind it" },
	{ "another role", "a secret root", "f:1: behind a key there may be the word admin, and nothing else" },
	{ "more words", "a secret admin admin", "f:1: behind a key there may be the word admin, and nothing else" },
};

START_TEST(other_lines_are_named_without_telling_a_key)
{
	char seen[1024] = "";
	struct sk_err err = { 0 };

	ck_assert_int_eq(sk_keys_parse(bad[_i].text, strlen(bad[_i].text), "f", add, seen, &err), SK_EINVAL);
	ck_assert_msg(strcmp(err.text, bad[_i].want) == 0, "%s: %s", bad[_i].name, err.text);
	ck_assert_ptr_null(strstr(err.text, "secret"));
	ck_assert_int_eq(sk_keys_parse("a b\0c", 5, "f", add, seen, &err), SK_EINVAL);
}
END_TEST

/* ---- the file ----------------------------------------------------------------------------------------------- */

static char path[] = "/tmp/saker-keys-XXXXXX";

static void file_write(const char *text, mode_t mode)
{
	FILE *f = fopen(path, "w");

	ck_assert_ptr_nonnull(f);
	fputs(text, f);
	fclose(f);
	ck_assert_int_eq(chmod(path, mode), 0);
}

static int find(const struct sk_keys *k, const char *key)
{
	return sk_keys_find(k, key, strlen(key));
}

static const struct { const char *name, *key, *text; mode_t mode; sk_status want; const char *words; } files[] = {
	{ "fine", "", "a x\nb y\n", 0600, SK_OK, "" },
	{ "readable for a group", "", "a x\n", 0640, SK_OK, "" },
	{ "readable for all: a warning", "", "a x\n", 0444, SK_OK, "" },
	{ "writable for a group", "", "a x\n", 0620, SK_EINVAL, "others than its owner may write it (mode 0620): chmod go-w" },
	{ "writable for all", "", "a x\n", 0602, SK_EINVAL, "others than its owner may write it (mode 0602): chmod go-w" },
	{ "no key", "", "# none\n", 0600, SK_EINVAL, "there is no API key in it" },
	{ "no key beside the setting's", "z", "# none\n", 0600, SK_EINVAL, "there is no API key in it" },
	{ "a name twice", "", "a x\nb y\na z\n", 0600, SK_EINVAL, ":3: there is a key of the name a already" },
	{ "a key twice", "", "a x\nb x\n", 0600, SK_EINVAL, ":2: a and b have the same key" },
	{ "the setting's key again", "x", "a y\nb x\n", 0600, SK_EINVAL, ":2: api-key and b have the same key" },
	{ "the setting's name again", "x", "api-key y\n", 0600, SK_EINVAL, ":1: there is a key of the name api-key already" },
	{ "the setting's name alone", "", "api-key y\n", 0600, SK_OK, "" },
	{ "a setting that no header carries", "a b", "a y\n", 0600, SK_EINVAL, "api-key: a key is 1 to 512 visible ASCII characters" },
};

START_TEST(a_file_is_believed_or_its_fault_named)
{
	struct sk_keys *k = NULL;
	struct sk_err err = { 0 };
	sk_status st;

	sk_log_init(SK_LOG_ERROR, false);
	file_write(files[_i].text, files[_i].mode);
	st = sk_keys_open(files[_i].key, path, &k, &err);
	ck_assert_msg(st == files[_i].want, "%s: %d, %s", files[_i].name, st, err.text);
	if (st < 0)
		ck_assert_msg(strstr(err.text, files[_i].words) != NULL, "%s: %s", files[_i].name, err.text);
	else
		ck_assert_int_ge(sk_keys_len(k), 1);
	sk_keys_close(&k);
	ck_assert_ptr_null(k);
}
END_TEST

START_TEST(without_a_setting_nobody_is_asked)
{
	struct sk_keys *k = (struct sk_keys *)path;

	ck_assert_int_eq(sk_keys_open("", "", &k, NULL), SK_OK);
	ck_assert_ptr_null(k);
	ck_assert_int_eq(sk_keys_len(k), 0);
	ck_assert_int_eq(sk_keys_reload(k, NULL), SK_OK);
	ck_assert_int_eq(sk_keys_open("", "/nowhere/keys", &k, &(struct sk_err){ 0 }), SK_ENOENT);
	ck_assert_int_eq(sk_keys_open("", "/tmp", &k, &(struct sk_err){ 0 }), SK_EINVAL);
}
END_TEST

START_TEST(a_key_finds_its_owner_and_nothing_else_does)
{
	struct sk_keys *k = NULL;
	struct sk_err err;

	file_write("alice alpha\nbob sha256:" SECRET " admin\n", 0600);
	ck_assert_int_eq(sk_keys_open("first", path, &k, &err), SK_OK);
	ck_assert_str_eq(sk_keys_name(k, find(k, "first")), "api-key");
	ck_assert_str_eq(sk_keys_name(k, find(k, "alpha")), "alice");
	ck_assert_str_eq(sk_keys_name(k, find(k, "secret")), "bob");
	ck_assert(sk_keys_admin(k, 0) && !sk_keys_admin(k, 1) && sk_keys_admin(k, 2) && !sk_keys_admin(k, SK_KEY_NONE));
	ck_assert_ptr_null(sk_keys_name(k, SK_KEY_NONE));
	for (size_t i = 0; i < 5; i++) {
		const char *wrong[] = { "", "alph", "alphaa", "Alpha", SECRET };

		ck_assert_msg(find(k, wrong[i]) == SK_KEY_NONE, "%s", wrong[i]);
	}
	ck_assert_int_eq(find(k, X512 "x"), SK_KEY_NONE);
	ck_assert_int_eq(sk_keys_find(k, "alpha\0", 6), SK_KEY_NONE);
	sk_keys_close(&k);
}
END_TEST

START_TEST(a_reload_changes_keys_and_keeps_slots)
{
	struct sk_keys *k = NULL;
	struct sk_err err;
	int alice, bob;

	file_write("alice one\nbob two\n", 0600);
	ck_assert_int_eq(sk_keys_open("first", path, &k, &err), SK_OK);
	alice = find(k, "one");
	bob = find(k, "two");
	file_write("carol three\nalice four admin\n", 0600);
	ck_assert_int_eq(sk_keys_reload(k, &err), SK_OK);
	ck_assert(find(k, "one") == SK_KEY_NONE && find(k, "two") == SK_KEY_NONE);
	ck_assert(find(k, "four") == alice && sk_keys_admin(k, alice) && find(k, "first") == 0);
	ck_assert(find(k, "three") != bob && sk_keys_len(k) == 4);
	ck_assert_str_eq(sk_keys_name(k, bob), "bob");
	/* What is wrong changes nothing. */
	file_write("dave five\ndave six\n", 0600);
	ck_assert_int_eq(sk_keys_reload(k, &err), SK_EINVAL);
	ck_assert(find(k, "five") == SK_KEY_NONE && find(k, "four") == alice && sk_keys_len(k) == 4);
	unlink(path);
	ck_assert_int_eq(sk_keys_reload(k, &err), SK_ENOENT);
	ck_assert_int_eq(find(k, "four"), alice);
	file_write("bob two\n", 0600);
	ck_assert_int_eq(sk_keys_reload(k, &err), SK_OK);
	ck_assert(find(k, "two") == bob && find(k, "four") == SK_KEY_NONE && find(k, "first") == 0);
	sk_keys_close(&k);
}
END_TEST

START_TEST(there_is_an_end_to_names)
{
	static char text[SK_KEYS_MAX * 32];
	struct sk_keys *k = NULL;
	struct sk_err err;
	int len = 0;

	for (int i = 0; i <= SK_KEYS_MAX; i++)
		len += snprintf(text + len, sizeof text - (size_t)len, "n%d k%d\n", i, i);
	file_write(text, 0600);
	ck_assert_int_eq(sk_keys_open("", path, &k, &err), SK_ETOOBIG);
	*strstr(text, "n1024 ") = '\0';
	file_write(text, 0600);
	ck_assert_int_eq(sk_keys_open("", path, &k, &err), SK_OK);
	ck_assert_int_eq(find(k, "k1023"), 1023);
	file_write("new key\n", 0600);
	ck_assert_int_eq(sk_keys_reload(k, &err), SK_ETOOBIG);
	ck_assert_int_eq(find(k, "k7"), 7);
	sk_keys_close(&k);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("keys");
	TCase *c = tcase_create("keys");
	SRunner *r;
	int failed, fd = mkstemp(path);

	if (fd < 0)
		return EXIT_FAILURE;
	close(fd);
	tcase_add_loop_test(c, lines_are_keys, 0, LEN(good));
	tcase_add_loop_test(c, other_lines_are_named_without_telling_a_key, 0, LEN(bad));
	tcase_add_loop_test(c, a_file_is_believed_or_its_fault_named, 0, LEN(files));
	tcase_add_test(c, without_a_setting_nobody_is_asked);
	tcase_add_test(c, a_key_finds_its_owner_and_nothing_else_does);
	tcase_add_test(c, a_reload_changes_keys_and_keeps_slots);
	tcase_add_test(c, there_is_an_end_to_names);
	suite_add_tcase(s, c);
	r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	unlink(path);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
