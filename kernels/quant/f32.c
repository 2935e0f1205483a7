/* SPDX-License-Identifier: Apache-2.0 */
/* F32: a row is K binary32 values. */
#include "kernels/kernels.h"

#include <string.h>

static void f32_dequantise(const void *row, float *out, size_t K)
{
	if (K)
		memcpy(out, row, K * sizeof *out);
}

const struct sk_quant sk_quant_f32 = {
	.dtype = SK_F32, .name = "F32", .block_len = 1, .block_bytes = 4,
	.activation = SK_F32, .dequantise = f32_dequantise,
};
