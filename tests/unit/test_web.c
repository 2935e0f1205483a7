/* SPDX-License-Identifier: Apache-2.0 */
/* Web servers as children: finding one, its configuration (nginx itself checks it), starting and ending. */
#include <check.h>
#include <errno.h>
#include <ftw.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fcgi/web.h"

#define LEN(array) (sizeof(array) / sizeof((array)[0]))

static char dir[64];

static void setup(void)
{
	memcpy(dir, "/tmp/saker-test-web-XXXXXX", sizeof("/tmp/saker-test-web-XXXXXX"));
	ck_assert_ptr_nonnull(mkdtemp(dir));
}

static int remove_one(const char *path, const struct stat *sb, int type, struct FTW *at)
{
	return remove(path);
}

static void teardown(void)
{
	nftw(dir, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

static const struct { const char *name; sk_status want; const char *words; } find_cases[] = {
	{ "iis", SK_EINVAL, "\"iis\" is no web server known here; supported: nginx, apache, lighttpd" },
	{ "", SK_EINVAL, "\"\" is no web server" },
};

START_TEST(a_web_server_that_cannot_be_run_is_refused_by_name)
{
	const struct sk_web *w = NULL;
	struct sk_err err;

	ck_assert_int_eq(sk_web_find(find_cases[_i].name, &w, &err), find_cases[_i].want);
	ck_assert_msg(strstr(err.text, find_cases[_i].words) != NULL, "got \"%s\"", err.text);
	ck_assert_ptr_null(w);
}
END_TEST

/* A program of the test's own, found like a web server. */
static void script_write(const char *name, const char *text, char path[128])
{
	FILE *f;

	snprintf(path, 128, "%s/%s", dir, name);
	f = fopen(path, "w");
	ck_assert_ptr_nonnull(f);
	fputs(text, f);
	fclose(f);
	ck_assert_int_eq(chmod(path, 0755), 0);
}

START_TEST(the_program_is_looked_for_on_the_path)
{
	static const struct sk_web fake = { .name = "fake", .bins = { "saker-fake-web" }, .packages = "the fake package" };
	char script[128], found[128], path[128];
	struct sk_err err;

	ck_assert_int_eq(sk_web_locate(&fake, "", found, sizeof(found), &err), SK_ENOENT);
	ck_assert_ptr_nonnull(strstr(err.text, "the fake package"));
	ck_assert_int_eq(sk_web_locate(&fake, "/nonexistent/x", found, sizeof(found), &err), SK_ENOENT);
	ck_assert_int_eq(sk_web_locate(&fake, dir, found, sizeof(found), &err), SK_ENOENT);
	script_write("saker-fake-web", "#!/bin/sh\nexit 0\n", script);
	snprintf(path, sizeof(path), "/nonexistent::%s", dir);
	setenv("PATH", path, 1);
	ck_assert_int_eq(sk_web_locate(&fake, "", found, sizeof(found), &err), SK_OK);
	ck_assert_str_eq(found, script);
	unsetenv("PATH");
	ck_assert_int_eq(sk_web_locate(&fake, "", found, sizeof(found), &err), SK_ENOENT);
	ck_assert_int_eq(sk_web_locate(&fake, script, found, 5, &err), SK_ETOOBIG);
}
END_TEST

/* check: whether a server accepts a configuration, in a shell's words; it listens nowhere. */
static const struct { const char *name, *check; } servers[] = {
	{ "nginx", "'%1$s' -t -q -e stderr -p '%2$s' -c '%3$s'" },
	{ "apache", "'%1$s' -t -d '%2$s' -f '%3$s' 2>/dev/null" },
	{ "lighttpd", "'%1$s' -tt -f '%3$s'" },
};

static const struct {
	const char *name, *address, *sub;
	uint64_t payload;
	int files;
	sk_status want, others;         /* others: what Apache and lighttpd say */
} conf_cases[] = {
	{ "as saker up writes it", "127.0.0.1", "plain", 16 << 20, 20000, SK_OK, SK_OK },
	{ "an IPv6 address", "::1", "plain", 16 << 20, 20000, SK_OK, SK_OK },
	{ "blanks and semicolons in the path", "127.0.0.1", "a b;c", 1, 1024, SK_OK, SK_OK },
	{ "quotes in the path", "127.0.0.1", "a \"b\\ ;c", 1, 1024, SK_OK, SK_EINVAL },
	{ "no limit that counts", "127.0.0.1", "plain", UINT64_MAX, 1 << 20, SK_OK, SK_OK },
	{ "too few files", "127.0.0.1", "plain", 1, 100, SK_EINVAL, SK_EINVAL },
};

START_TEST(a_web_server_accepts_its_configuration)
{
	int server = _i / (int)LEN(conf_cases), at = _i % (int)LEN(conf_cases);
	const struct sk_web *w = NULL;
	char bin[256], sub[128], conf_path[160], socket_path[160], command[768];
	struct sk_web_setup s = { .conf_path = conf_path, .dir = sub, .socket_path = socket_path, .modules = "", .port = 18080,
				  .backlog = 128 };
	struct sk_buf conf = SK_BUF(65536), build = SK_BUF(1);
	sk_status want = server == 0 ? conf_cases[at].want : conf_cases[at].others;
	struct sk_err err = { 0 };
	FILE *f;

	ck_assert_int_eq(sk_web_find(servers[server].name, &w, &err), SK_OK);
	if (sk_web_locate(w, "", bin, sizeof(bin), &err) < 0) {
		fprintf(stderr, "SKIP the configuration of %s: %s\n", w->name, err.text);
		return;
	}
	ck_assert_msg(sk_web_build_read(w, bin, &build, &err) == SK_OK, "%s", err.text);
	ck_assert_ptr_nonnull(strstr(sk_buf_str(&build), w->version_words));
	snprintf(sub, sizeof(sub), "%s/%s", dir, conf_cases[at].sub);
	snprintf(conf_path, sizeof(conf_path), "%s/web.conf", dir);
	snprintf(socket_path, sizeof(socket_path), "%s/saker.sock", sub);
	ck_assert_int_eq(mkdir(sub, 0700), 0);
	s.bin = bin;
	s.build = sk_buf_str(&build);
	s.address = conf_cases[at].address;
	s.payload_limit = conf_cases[at].payload;
	s.files_max = conf_cases[at].files;
	ck_assert_msg(w->conf_write(&s, &conf, &err) == want, "%s, %s: %s", w->name, conf_cases[at].name, err.text);
	if (want == SK_OK) {
		f = fopen(conf_path, "w");
		ck_assert_ptr_nonnull(f);
		ck_assert_uint_eq(fwrite(conf.data, 1, conf.len, f), conf.len);
		fclose(f);
		snprintf(command, sizeof(command), servers[server].check, bin, dir, conf_path);
		ck_assert_msg(system(command) == 0, "%s: %s refuses\n%s", conf_cases[at].name, w->name, sk_buf_str(&conf));
	}
	sk_buf_fini(&conf);
	sk_buf_fini(&build);
}
END_TEST

START_TEST(modules_that_are_not_there_are_named)
{
	const struct sk_web *w = NULL;
	struct sk_web_setup s = { .dir = dir, .socket_path = dir, .build = "", .modules = dir, .address = "::1", .files_max = 9999 };
	struct sk_buf conf = SK_BUF(65536);
	struct sk_err err = { 0 };

	ck_assert_int_eq(sk_web_find("apache", &w, &err), SK_OK);
	ck_assert_int_eq(w->conf_write(&s, &conf, &err), SK_ENOENT);
	ck_assert_msg(strstr(err.text, dir) && strstr(err.text, "mod_proxy_fcgi.so"), "got \"%s\"", err.text);
	sk_buf_fini(&conf);
}
END_TEST

static void fake_args(const struct sk_web_setup *s, const char *ret_args[SK_WEB_ARGS_MAX + 1])
{
	ret_args[0] = s->bin;
	ret_args[1] = s->dir;
	ret_args[2] = NULL;
}

static const struct { const char *name, *script; } stop_cases[] = {
	{ "one that quits when asked", "#!/bin/sh\ntrap 'exit 0' QUIT\necho up >$1/up\nwhile :; do sleep 0.05; done\n" },
	{ "one that has to be told twice", "#!/bin/sh\ntrap '' QUIT\ntrap 'exit 0' TERM\necho up >$1/up\nwhile :; do sleep 0.05; done\n" },
	{ "one that is gone already", "#!/bin/sh\necho up >$1/up\n" },
};

START_TEST(a_child_is_ended_and_reaped)
{
	static const struct sk_web fake = { .name = "fake", .quit_signal = SIGQUIT, .args_write = fake_args };
	struct sk_web_setup s = { .dir = dir };
	char script[128], up[128];
	struct sk_err err;
	pid_t pid = 0;

	script_write("server", stop_cases[_i].script, script);
	snprintf(up, sizeof(up), "%s/up", dir);
	s.bin = script;
	ck_assert_int_eq(sk_web_start(&fake, &s, &pid, &err), SK_OK);
	while (access(up, F_OK) < 0)
		usleep(5000);
	ck_assert_int_ne(getpgid(pid), getpgrp());
	sk_web_stop(&fake, pid, 300);
	ck_assert_int_eq(kill(pid, 0), -1);
	ck_assert_int_eq(errno, ESRCH);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("web");
	TCase *t = tcase_create("web");
	SRunner *runner;
	int failed;

	tcase_set_timeout(t, 60);
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_loop_test(t, a_web_server_that_cannot_be_run_is_refused_by_name, 0, LEN(find_cases));
	tcase_add_test(t, the_program_is_looked_for_on_the_path);
	tcase_add_loop_test(t, a_web_server_accepts_its_configuration, 0, LEN(servers) * LEN(conf_cases));
	tcase_add_test(t, modules_that_are_not_there_are_named);
	tcase_add_loop_test(t, a_child_is_ended_and_reaped, 0, LEN(stop_cases));
	suite_add_tcase(s, t);
	runner = srunner_create(s);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
