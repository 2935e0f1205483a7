/* SPDX-License-Identifier: Apache-2.0 */
/* AVX2, FMA and F16C: Intel since 2013, AMD since 2015. Built with the machine's common flags: it runs before cpuid was asked. */
#include "kernels/cpu/cpu.h"
#include "kernels/cpu/linear.h"

/* gcc's cpuid words also ask the operating system (XGETBV) whether it keeps the registers. */
static bool usable(void)
{
	__builtin_cpu_init();
	return __builtin_cpu_supports("x86-64-v3");
}

const struct sk_cpu_isa sk_cpu_isa_avx2 = {
	.name = "avx2",
	.usable = usable,
	.ops = {
		.norm = sk_cpu_norm_avx2, .rope = sk_cpu_rope_avx2, .kv_write = sk_cpu_kv_write_avx2,
		.attend = sk_cpu_attend_avx2, .glu = sk_cpu_glu_avx2,
		.add = sk_cpu_add_avx2, .bound = sk_cpu_bound_avx2, .row_stats = sk_cpu_row_stats_avx2,
	},
	.linear = &sk_cpu_linear_table_avx2,
};
