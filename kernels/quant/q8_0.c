/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Q8_0: 32 values in 34 bytes.
 *
 *	[0, 2)    d, F16
 *	[2, 34)   q[32], int8
 *	w[k] = d * q[k]
 */
#include "kernels/kernels.h"
#include "kernels/quant/half.h"

enum { LEN = 32, BYTES = 34 };

static void q8_0_dequantise(const void *row, float *out, size_t K)
{
	const unsigned char *p = row;

	for (size_t k = 0; k < K; k += LEN, p += BYTES) {
		float d = sk_f32_of_f16(sk_u16_get(p));

		for (size_t i = 0; i < LEN; i++)
			out[k + i] = d * (float)(int8_t)p[2 + i];
	}
}

const struct sk_quant sk_quant_q8_0 = {
	.dtype = SK_Q8_0, .name = "Q8_0", .block_len = LEN, .block_bytes = BYTES,
	.activation = SK_I8, .dequantise = q8_0_dequantise,
};
