/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Q4_0: 32 values in 18 bytes.
 *
 *	[0, 2)    d, F16
 *	[2, 18)   byte i: low nibble = q[i], high nibble = q[16 + i]
 *	w[k] = d * (q[k] - 8)
 */
#include "kernels/kernels.h"
#include "kernels/quant/half.h"

enum { LEN = 32, BYTES = 18 };

static void q4_0_dequantise(const void *row, float *out, size_t K)
{
	const unsigned char *p = row;

	for (size_t k = 0; k < K; k += LEN, p += BYTES) {
		float d = sk_f32_of_f16(sk_u16_get(p));

		for (size_t i = 0; i < LEN / 2; i++) {
			out[k + i] = d * (float)((p[2 + i] & 15) - 8);
			out[k + 16 + i] = d * (float)((p[2 + i] >> 4) - 8);
		}
	}
}

const struct sk_quant sk_quant_q4_0 = {
	.dtype = SK_Q4_0, .name = "Q4_0", .block_len = LEN, .block_bytes = BYTES,
	.activation = SK_I8, .dequantise = q4_0_dequantise,
};
