/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Q4_1: 32 values in 20 bytes.
 *
 *	[0, 2)    d, F16
 *	[2, 4)    m, F16
 *	[4, 20)   byte i: low nibble = q[i], high nibble = q[16 + i]
 *	w[k] = d * q[k] + m
 */
#include "kernels/kernels.h"
#include "kernels/quant/half.h"

enum { LEN = 32, BYTES = 20 };

static void q4_1_dequantise(const void *row, float *out, size_t K)
{
	const unsigned char *p = row;

	for (size_t k = 0; k < K; k += LEN, p += BYTES) {
		float d = sk_f32_of_f16(sk_u16_get(p)), m = sk_f32_of_f16(sk_u16_get(p + 2));

		for (size_t i = 0; i < LEN / 2; i++) {
			out[k + i] = d * (float)(p[4 + i] & 15) + m;
			out[k + 16 + i] = d * (float)(p[4 + i] >> 4) + m;
		}
	}
}

const struct sk_quant sk_quant_q4_1 = {
	.dtype = SK_Q4_1, .name = "Q4_1", .block_len = LEN, .block_bytes = BYTES,
	.activation = SK_I8, .dequantise = q4_1_dequantise,
};
