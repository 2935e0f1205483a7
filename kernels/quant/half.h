/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The 16-bit floats, in plain C: IEEE 754 binary16 (F16) and bfloat16 (BF16, the upper half of a binary32).
 * Every path of every backend rounds to nearest, ties to even, so that these functions and the instructions agree.
 */
#ifndef SK_QUANT_HALF_H
#define SK_QUANT_HALF_H

#include <stdint.h>
#include <string.h>

static inline float sk_f32_of_bits(uint32_t u)
{
	float f;

	memcpy(&f, &u, sizeof f);
	return f;
}

static inline uint32_t sk_bits_of_f32(float f)
{
	uint32_t u;

	memcpy(&u, &f, sizeof u);
	return u;
}

static inline float sk_f32_of_bf16(uint16_t h)
{
	return sk_f32_of_bits((uint32_t)h << 16);
}

/* A NaN stays a NaN: its quiet bit is set, so that cutting the payload cannot make an infinity. */
static inline uint16_t sk_bf16_of_f32(float f)
{
	uint32_t u = sk_bits_of_f32(f);

	if ((u & 0x7fffffffu) > 0x7f800000u)
		return (uint16_t)(u >> 16 | 0x40u);
	return (uint16_t)((u + 0x7fffu + (u >> 16 & 1u)) >> 16);
}

static inline float sk_f32_of_f16(uint16_t h)
{
	uint32_t sign = (uint32_t)(h & 0x8000u) << 16, exp = h >> 10 & 31u, frac = h & 0x3ffu;

	if (exp == 31)
		return sk_f32_of_bits(sign | 0x7f800000u | frac << 13);
	if (exp == 0) {                 /* zero or subnormal: frac * 2^-24, exact in binary32 */
		float f = (float)frac * 0x1p-24f;

		return sign ? -f : f;
	}
	return sk_f32_of_bits(sign | (exp + 112) << 23 | frac << 13);
}

static inline uint16_t sk_f16_of_f32(float f)
{
	uint32_t u = sk_bits_of_f32(f), abs = u & 0x7fffffffu;
	uint16_t sign = (uint16_t)(u >> 16 & 0x8000u);

	if (abs > 0x7f800000u)
		return (uint16_t)(sign | 0x7e00u | (abs >> 13 & 0x3ffu));
	if (abs >= 0x477ff000u)         /* 65520 and above round to infinity */
		return (uint16_t)(sign | 0x7c00u);
	if (abs < 0x38800000u) {        /* below 2^-14: adding 0.5 leaves the rounded multiple of 2^-24 in the low bits */
		uint32_t r = sk_bits_of_f32(sk_f32_of_bits(abs) + 0.5f);

		return (uint16_t)(sign | (r - 0x3f000000u));
	}
	return (uint16_t)(sign | ((abs - 0x38000000u + 0xfffu + (abs >> 13 & 1u)) >> 13));
}

/* Little-endian on disk and in every layout of ours; block formats are not aligned to 2 bytes everywhere. */
static inline uint16_t sk_u16_get(const void *p)
{
	const unsigned char *b = p;

	return (uint16_t)(b[0] | b[1] << 8);
}

#endif
