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
		.embed = sk_cpu_embed_portable,
		.linear = sk_cpu_linear_portable,       /* of all levels: the inner loops are below */
	},
	.linear = &sk_cpu_linear_table_portable,
};
