/* SPDX-License-Identifier: Apache-2.0 */
/* AVX-512 F, BW, DQ, VL, CD with VNNI and BF16: Intel since Cooper Lake and Sapphire Rapids, AMD since Zen 4. */
#include "kernels/cpu/cpu.h"
#include "kernels/cpu/linear.h"

static bool usable(void)
{
	__builtin_cpu_init();
	return __builtin_cpu_supports("x86-64-v4") && __builtin_cpu_supports("avx512vnni") &&
	       __builtin_cpu_supports("avx512bf16");
}

const struct sk_cpu_isa sk_cpu_isa_avx512 = {
	.name = "avx512",
	.usable = usable,
	.ops = {
		.norm = sk_cpu_norm_avx512, .rope = sk_cpu_rope_avx512, .kv_write = sk_cpu_kv_write_avx512,
		.attend = sk_cpu_attend_avx512, .glu = sk_cpu_glu_avx512,
		.add = sk_cpu_add_avx512, .bound = sk_cpu_bound_avx512, .row_stats = sk_cpu_row_stats_avx512,
	},
	.linear = &sk_cpu_linear_table_avx512,
};
