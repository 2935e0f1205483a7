/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Checkpoints when memory runs out: every allocation of opening one fails once, in turn, for each kind of file. Each time
 * the answer is SK_ENOMEM with words, and nothing is left behind (a leak shows under ASan).
 */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "engine/weights/weights.h"
#include "tests/fault/refuse.h"

/* ---- the allocator: linked with --wrap, so that only saker's own calls are counted ---- */

void *__real_mmap(void *at, size_t n, int prot, int flags, int fd, off_t offset);
void *__wrap_mmap(void *at, size_t n, int prot, int flags, int fd, off_t offset);

/* Memory for a copy; a file that cannot be mapped is another failure. */
void *__wrap_mmap(void *at, size_t n, int prot, int flags, int fd, off_t offset)
{
	return flags & MAP_ANONYMOUS && refuse() ? MAP_FAILED : __real_mmap(at, n, prot, flags, fd, offset);
}

int main(void)
{
	static const struct { const char *dir; long least; bool config; } dirs[] = {
		{ "safetensors", 8, false }, { "shards-safetensors", 12, false }, { "zip", 15, false }, { "old", 20, false },
		{ "nested", 8, false }, { "shards-bin", 18, false }, { "config", 3, true },
	};

	for (size_t i = 0; i < sizeof(dirs) / sizeof(dirs[0]); i++) {
		char path[512];
		sk_status st;
		long n;

		snprintf(path, sizeof(path), "%s/tests/golden/files/%s", GOLDEN_SRCDIR, dirs[i].dir);
		for (n = 0;; n++) {
			struct sk_weights *w = NULL;
			struct sk_err err = { .text = "" };

			refuse_failed = false;
			refuse_left = n;
			st = dirs[i].config ? sk_weights_open_config(path, &w, &err) : sk_weights_open(path, &w, &err);
			refuse_left = -1;
			sk_weights_close(&w);
			if (!refuse_failed)
				break;
			if (st != SK_ENOMEM || !err.text[0]) {
				printf("%s: allocation %ld: %s \"%s\"\n", dirs[i].dir, n, sk_status_name(st), err.text);
				return 1;
			}
		}
		printf("%s: %ld allocations failed in turn\n", dirs[i].dir, n);
		if (st != SK_OK || n < dirs[i].least)
			return 1;
	}
	return 0;
}
