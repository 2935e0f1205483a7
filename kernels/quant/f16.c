/* SPDX-License-Identifier: Apache-2.0 */
/* F16: a row is K binary16 values. Products take float32 activations: every F16 value is one of binary32. */
#include "kernels/kernels.h"
#include "kernels/quant/half.h"

static void f16_dequantise(const void *row, float *out, size_t K)
{
	const unsigned char *p = row;

	for (size_t k = 0; k < K; k++)
		out[k] = sk_f32_of_f16(sk_u16_get(p + 2 * k));
}

const struct sk_quant sk_quant_f16 = {
	.dtype = SK_F16, .name = "F16", .block_len = 1, .block_bytes = 2,
	.activation = SK_F32, .dequantise = f16_dequantise,
};
