/* SPDX-License-Identifier: Apache-2.0 */
/* The levels of an x86-64 build, lowest first. */
#include "kernels/cpu/cpu.h"

#include <cpuid.h>

const struct sk_cpu_isa *const sk_cpu_isas[] = { &sk_cpu_isa_portable, &sk_cpu_isa_avx2, &sk_cpu_isa_avx512, NULL };

/*
 * Share of the plain read bandwidth that a decode product reached, one thread, Q4_1 / Q8_0 (November 2026):
 *	AMD family 26 (Zen 5)   without 66 % / 90 %     4-8 KiB ahead 90 % / 95 %
 *	AMD family 25 (Zen 4)   without 96 % / 90 %     2-16 KiB ahead 75-85 % / 65-80 %
 * Zen 5's prefetcher loses the 640-byte blocks; on Zen 4 the instructions only take load slots. Others: not measured.
 */
size_t sk_cpu_ahead_bytes(void)
{
	unsigned a = 0, b = 0, c = 0, d = 0, family;

	if (!__get_cpuid(0, &a, &b, &c, &d) || b != signature_AMD_ebx)
		return 0;
	if (!__get_cpuid(1, &a, &b, &c, &d))
		return 0;
	family = (a >> 8 & 15u) + (a >> 20 & 255u);
	return family >= 26 ? 6144 : 0;
}
