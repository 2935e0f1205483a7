/* SPDX-License-Identifier: Apache-2.0 */
/* See refuse.h: the counter of programs with one thread. */
#include "tests/fault/refuse.h"

long refuse_left = -1;
bool refuse_failed;

bool refuse(void)
{
	if (refuse_left < 0)
		return false;
	refuse_failed |= refuse_left == 0;
	return refuse_left == 0 || (refuse_left--, false);
}
