/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An allocator that fails when it is told to: for programs linked with --wrap=malloc,--wrap=calloc,--wrap=realloc, so that only
 * saker's own calls are counted. refuse.c has the wraps, which ask refuse(). That is refuse_count.c's, for what runs in one
 * thread, or a program's own (faults.c).
 */
#ifndef REFUSE_H
#define REFUSE_H

#include <stdbool.h>

extern long refuse_left;        /* refuse_count.c: allocations that still succeed; -1: all */
extern bool refuse_failed;      /* refuse_count.c: one was refused */

/* One allocation more: whether it is to fail. For wraps of a test's own, too. */
bool refuse(void);

#endif
