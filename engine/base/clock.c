/* SPDX-License-Identifier: Apache-2.0 */
/* The time that never jumps. */
#include "engine/base/clock.h"

#include <time.h>

int64_t sk_now_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}
