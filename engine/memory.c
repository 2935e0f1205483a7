/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How much memory this process may still take: the machine's, or what the limits of its control groups leave.
 *
 * A group's limit holds for all below it, so the path is walked from the process's own group up to the root. In a
 * container the path may be the host's and not be there; then the root of what is mounted is the container's own group.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "engine/inside.h"

#define PATH_BYTES 4096

/* The number behind `key` at the start of a line of a small file, or -1. */
static int64_t file_number(const char *path, const char *key)
{
	FILE *f = fopen(path, "re");
	int64_t value = -1;
	char line[256];

	while (f && fgets(line, sizeof(line), f)) {
		if (strncmp(line, key, strlen(key)) != 0)
			continue;
		if (sscanf(line + strlen(key), "%" SCNd64, &value) != 1)
			value = -1;
		break;
	}
	if (f)
		fclose(f);
	return value;
}

static int64_t group_number(const char *mount, const char *group, const char *name)
{
	char path[2 * PATH_BYTES];
	int len = snprintf(path, sizeof(path), "%s%s/%s", mount, group, name);

	return len > 0 && (size_t)len < sizeof(path) ? file_number(path, "") : -1;
}

/* The least that a group or one above it leaves, and `bytes` at most. A limit "max" is no number and so none. */
static int64_t groups_leave(const char *mount, char *group, const char *limit, const char *usage, int64_t bytes)
{
	for (;;) {
		int64_t max = group_number(mount, group, limit), used = group_number(mount, group, usage);
		char *slash = strrchr(group, '/');

		if (max >= 0 && used >= 0 && max - used < bytes)
			bytes = max > used ? max - used : 0;
		if (!slash)
			return bytes;
		*slash = '\0';
	}
}

/* Whether a list "cpu,memory" has the word "memory". */
static bool names_memory(const char *list, size_t len)
{
	const char *end = list + len, *comma;

	for (; list < end; list = comma + 1) {
		comma = memchr(list, ',', (size_t)(end - list));
		if (!comma)
			comma = end;
		if (comma - list == 6 && !memcmp(list, "memory", 6))
			return true;
	}
	return false;
}

/* Lines of /proc/self/cgroup: "0::/path" of version 2, "5:cpu,memory:/path" of version 1. */
static int64_t limits_leave(const char *root, int64_t bytes)
{
	char line[PATH_BYTES], mount[PATH_BYTES];
	FILE *f;

	snprintf(mount, sizeof(mount), "%s/proc/self/cgroup", root);
	f = fopen(mount, "re");
	while (f && fgets(line, sizeof(line), f)) {
		char *list = strchr(line, ':'), *group = list ? strchr(list + 1, ':') : NULL;

		if (!group)
			continue;
		*group++ = '\0';
		group[strcspn(group, "\n")] = '\0';
		/* The root, or outside of what is mounted here. */
		if (!strcmp(group, "/") || !strncmp(group, "/..", 3))
			*group = '\0';
		if (!list[1]) {
			snprintf(mount, sizeof(mount), "%s/sys/fs/cgroup", root);
			bytes = groups_leave(mount, group, "memory.max", "memory.current", bytes);
		} else if (names_memory(list + 1, strlen(list + 1))) {
			snprintf(mount, sizeof(mount), "%s/sys/fs/cgroup/memory", root);
			bytes = groups_leave(mount, group, "memory.limit_in_bytes", "memory.usage_in_bytes", bytes);
		}
	}
	if (f)
		fclose(f);
	return bytes;
}

uint64_t sk_memory_available(const char *root)
{
	char path[PATH_BYTES];
	int64_t kib, bytes;

	snprintf(path, sizeof(path), "%s/proc/meminfo", root);
	kib = file_number(path, "MemAvailable:");
	bytes = kib >= 0 ? kib * 1024 : (int64_t)sysconf(_SC_PHYS_PAGES) * sysconf(_SC_PAGESIZE);
	return (uint64_t)limits_leave(root, bytes);
}
