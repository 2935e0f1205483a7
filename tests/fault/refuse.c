/* SPDX-License-Identifier: Apache-2.0 */
/* See refuse.h. */
#include "tests/fault/refuse.h"

#include <stddef.h>

void *__real_malloc(size_t n);
void *__real_calloc(size_t n, size_t m);
void *__real_realloc(void *p, size_t n);
void *__wrap_malloc(size_t n);
void *__wrap_calloc(size_t n, size_t m);
void *__wrap_realloc(void *p, size_t n);

long refuse_left = -1;
bool refuse_failed;

bool refuse(void)
{
	if (refuse_left < 0)
		return false;
	refuse_failed |= refuse_left == 0;
	return refuse_left == 0 || (refuse_left--, false);
}

void *__wrap_malloc(size_t n)
{
	return refuse() ? NULL : __real_malloc(n);
}

void *__wrap_calloc(size_t n, size_t m)
{
	return refuse() ? NULL : __real_calloc(n, m);
}

void *__wrap_realloc(void *p, size_t n)
{
	return refuse() ? NULL : __real_realloc(p, n);
}
