/* SPDX-License-Identifier: Apache-2.0 */
/* The levels of a build for any other machine. */
#include "kernels/cpu/cpu.h"

const struct sk_cpu_isa *const sk_cpu_isas[] = { &sk_cpu_isa_portable, NULL };

size_t sk_cpu_ahead_bytes(void)
{
	return 0;
}
