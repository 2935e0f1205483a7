/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An allocator that fails when it is told to: for programs linked with --wrap=malloc,--wrap=calloc,--wrap=realloc, so that only
 * saker's own calls are counted.
 */
#ifndef REFUSE_H
#define REFUSE_H

#include <stdbool.h>

extern long refuse_left;        /* allocations that still succeed; -1: all */
extern bool refuse_failed;      /* one was refused */

/* One allocation more: whether it is to fail. For wraps of a test's own. */
bool refuse(void);

#endif
