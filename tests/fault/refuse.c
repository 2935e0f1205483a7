/* SPDX-License-Identifier: Apache-2.0 */
/* See refuse.h. */
#include "tests/fault/refuse.h"

#include <errno.h>
#include <stddef.h>

void *__real_malloc(size_t n);
void *__real_calloc(size_t n, size_t m);
void *__real_realloc(void *p, size_t n);
void *__wrap_malloc(size_t n);
void *__wrap_calloc(size_t n, size_t m);
void *__wrap_realloc(void *p, size_t n);

static void *none(void)
{
	errno = ENOMEM;
	return NULL;
}

void *__wrap_malloc(size_t n)
{
	return refuse() ? none() : __real_malloc(n);
}

void *__wrap_calloc(size_t n, size_t m)
{
	return refuse() ? none() : __real_calloc(n, m);
}

void *__wrap_realloc(void *p, size_t n)
{
	return refuse() ? none() : __real_realloc(p, n);
}
