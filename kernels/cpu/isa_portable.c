/* SPDX-License-Identifier: Apache-2.0 */
/* The level every machine has; it has every operation. */
#include "kernels/cpu/cpu.h"
#include "kernels/cpu/linear.h"

static bool usable(void)
{
	return true;
}

const struct sk_cpu_isa sk_cpu_isa_portable = {
	.name = "portable",
	.usable = usable,
	.ops = {
		.embed = sk_cpu_embed_portable, .norm = sk_cpu_norm_portable, .rope = sk_cpu_rope_portable,
		.kv_write = sk_cpu_kv_write_portable, .attend = sk_cpu_attend_portable, .glu = sk_cpu_glu_portable,
		.add = sk_cpu_add_portable, .bound = sk_cpu_bound_portable,
		.rows = sk_cpu_rows_portable, .row_stats = sk_cpu_row_stats_portable,
		.linear = sk_cpu_linear_portable,       /* of all levels: the inner loops are below */
	},
	.linear = &sk_cpu_linear_table_portable,
};
