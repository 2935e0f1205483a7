/* SPDX-License-Identifier: Apache-2.0 */
/* What memory is available, by files of /proc and /sys that the test writes itself. */
#include <check.h>
#include <ftw.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "engine/inside.h"

#define LEN(a) ((int)(sizeof(a) / sizeof((a)[0])))
#define MACHINE "MemTotal: 100000000 kB\nMemAvailable: 1000000 kB\n"            /* 1,024,000,000 bytes */
#define V2 "sys/fs/cgroup/"
#define V1 "sys/fs/cgroup/memory/"

static const struct { const char *name; struct { const char *path, *text; } file[8]; uint64_t want; } cases[] = {
	{ "no groups", { { "proc/meminfo", MACHINE } }, 1024000000 },
	{ "a container's own root",
	  { { "proc/meminfo", MACHINE }, { "proc/self/cgroup", "0::/\n" }, { V2 "memory.max", "500000000\n" },
	    { V2 "memory.current", "100000000\n" } }, 400000000 },
	{ "a limit of its own group",
	  { { "proc/meminfo", MACHINE }, { "proc/self/cgroup", "0::/system.slice/saker.service\n" },
	    { V2 "system.slice/saker.service/memory.max", "300000000\n" },
	    { V2 "system.slice/saker.service/memory.current", "100\n" } }, 299999900 },
	{ "the least of all on the way up",
	  { { "proc/meminfo", MACHINE }, { "proc/self/cgroup", "0::/a/b\n" },
	    { V2 "a/b/memory.max", "700000000\n" }, { V2 "a/b/memory.current", "100\n" },
	    { V2 "a/memory.max", "600000000\n" }, { V2 "a/memory.current", "500000000\n" } }, 100000000 },
	{ "max is no limit, and neither is one above the machine's",
	  { { "proc/meminfo", MACHINE }, { "proc/self/cgroup", "0::/a/b\n" },
	    { V2 "a/b/memory.max", "max\n" }, { V2 "a/b/memory.current", "100\n" },
	    { V2 "a/memory.max", "9000000000\n" }, { V2 "a/memory.current", "5\n" } }, 1024000000 },
	{ "more used than allowed leaves nothing",
	  { { "proc/meminfo", MACHINE }, { "proc/self/cgroup", "0::/a\n" }, { V2 "a/memory.max", "100\n" },
	    { V2 "a/memory.current", "200\n" } }, 0 },
	{ "a path of the host, with the container's root mounted",
	  { { "proc/meminfo", MACHINE }, { "proc/self/cgroup", "0::/docker/0123\n" }, { V2 "memory.max", "5000\n" },
	    { V2 "memory.current", "1000\n" } }, 4000 },
	{ "a path outside of what is mounted",
	  { { "proc/meminfo", MACHINE }, { "proc/self/cgroup", "0::/../other\n" }, { V2 "memory.max", "5000\n" },
	    { V2 "memory.current", "1000\n" } }, 4000 },
	{ "version 1, among other controllers",
	  { { "proc/meminfo", MACHINE }, { "proc/self/cgroup", "11:cpu,cpuacct:/x\n4:hugetlb,memory:/box/one\n0::/y\n" },
	    { V1 "box/one/memory.limit_in_bytes", "800000000\n" }, { V1 "box/one/memory.usage_in_bytes", "300000000\n" },
	    { V1 "memory.limit_in_bytes", "9223372036854771712\n" }, { V1 "memory.usage_in_bytes", "7000\n" } }, 500000000 },
	{ "version 1 names a controller that only begins so",
	  { { "proc/meminfo", MACHINE }, { "proc/self/cgroup", "4:memory2:/\n" }, { V1 "memory.limit_in_bytes", "800\n" },
	    { V1 "memory.usage_in_bytes", "3\n" } }, 1024000000 },
	{ "lines that are none",
	  { { "proc/meminfo", MACHINE }, { "proc/self/cgroup", "\nfoo\n0:\n:::\n0::\n" } }, 1024000000 },
};

static void file_write(const char *root, const char *path, const char *text)
{
	char full[256];
	FILE *f;

	snprintf(full, sizeof(full), "%s/%s", root, path);
	for (char *p = full + strlen(root) + 1; (p = strchr(p, '/')); p++) {
		*p = '\0';
		mkdir(full, 0700);
		*p = '/';
	}
	f = fopen(full, "w");
	ck_assert_msg(f && fputs(text, f) >= 0 && fclose(f) == 0, "%s cannot be written", full);
}

static int path_remove(const char *path, const struct stat *s, int type, struct FTW *f)
{
	return remove(path);
}

START_TEST(what_is_available_is_the_least_of_the_machine_and_its_groups)
{
	char root[] = "/tmp/sk-memory-XXXXXX";

	ck_assert_ptr_nonnull(mkdtemp(root));
	for (int i = 0; i < LEN(cases[_i].file) && cases[_i].file[i].path; i++)
		file_write(root, cases[_i].file[i].path, cases[_i].file[i].text);
	ck_assert_msg(sk_memory_available(root) == cases[_i].want, "%s: %" PRIu64 " bytes", cases[_i].name,
		      sk_memory_available(root));
	nftw(root, path_remove, 8, FTW_DEPTH | FTW_PHYS);
}
END_TEST

START_TEST(this_machine_has_some_memory)
{
	ck_assert_uint_gt(sk_memory_available(""), 0);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("memory");
	TCase *t = tcase_create("memory");
	SRunner *r;
	int failed;

	tcase_add_loop_test(t, what_is_available_is_the_least_of_the_machine_and_its_groups, 0, LEN(cases));
	tcase_add_test(t, this_machine_has_some_memory);
	suite_add_tcase(s, t);
	r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}
