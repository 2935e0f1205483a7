/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SK_BASE_CLOCK_H
#define SK_BASE_CLOCK_H

#include <stdint.h>

int64_t sk_now_us(void);        /* CLOCK_MONOTONIC, microseconds */

#endif
