/* SPDX-License-Identifier: Apache-2.0 */
/* BF16: a row is K bfloat16 values. `quantise` rounds the activations to bfloat16 too, so that one instruction
 * (VDPBF16PS, mma) multiplies pairs. */
#include "kernels/kernels.h"
#include "kernels/quant/half.h"

static void bf16_dequantise(const void *row, float *out, size_t K)
{
	const unsigned char *p = row;

	for (size_t k = 0; k < K; k++)
		out[k] = sk_f32_of_bf16(sk_u16_get(p + 2 * k));
}

const struct sk_quant sk_quant_bf16 = {
	.dtype = SK_BF16, .name = "BF16", .block_len = 1, .block_bytes = 2,
	.activation = SK_BF16, .dequantise = bf16_dequantise,
};
