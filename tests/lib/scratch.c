/* SPDX-License-Identifier: Apache-2.0 */
/* See scratch.h. */
#include "tests/lib/scratch.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

void scratch_make(char dir[64], const char *name)
{
	snprintf(dir, 64, "/tmp/sk-%s-XXXXXX", name);
	if (!mkdtemp(dir)) {
		perror(dir);
		exit(1);
	}
}

void scratch_remove(const char *dir)
{
	DIR *d = opendir(dir);
	const struct dirent *e;
	char name[384];

	while (d && (e = readdir(d)) != NULL) {
		snprintf(name, sizeof(name), "%s/%s", dir, e->d_name);
		if (e->d_name[0] != '.')
			unlink(name);
	}
	if (d)
		closedir(d);
	rmdir(dir);
}
