/* SPDX-License-Identifier: Apache-2.0 */
/* Known answers of the weight formats: bytes written by hand, values calculated by hand. */
#include "kernels/kernels.h"

#include <check.h>
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/quant/half.h"

/* F16: 0x3800 0.5, 0x3c00 1, 0xc000 -2, 0x4200 3. */
static const struct {
	enum sk_dtype dtype;
	const char *name;
	uint32_t block_len, block_bytes;
	enum sk_dtype activation;
	unsigned char bytes[40];
	struct { int k; float want; } at[8];
} formats[] = {
	{ SK_F32, "F32", 1, 4, SK_F32, { 0, 0, 0x80, 0x3f, 0, 0, 0x20, 0xc0 }, { { 0, 1.0f }, { 1, -2.5f }, { -1 } } },
	{ SK_F16, "F16", 1, 2, SK_F32, { 0x00, 0x38, 0x00, 0xc0, 0x01, 0x00, 0xff, 0x7b },
	  { { 0, 0.5f }, { 1, -2.0f }, { 2, 0x1p-24f }, { 3, 65504.0f }, { -1 } } },
	{ SK_BF16, "BF16", 1, 2, SK_BF16, { 0x80, 0x3f, 0x49, 0xc0 }, { { 0, 1.0f }, { 1, -3.140625f }, { -1 } } },
	/* d = 0.5; q[0] = 1, q[1] = -1, q[2] = -128, q[31] = 127 */
	{ SK_Q8_0, "Q8_0", 32, 34, SK_I8, { 0x00, 0x38, 1, 0xff, 0x80, [33] = 0x7f },
	  { { 0, 0.5f }, { 1, -0.5f }, { 2, -64.0f }, { 3, 0.0f }, { 31, 63.5f }, { -1 } } },
	/* d = -2; byte 0 = 0xf0: q[0] = 0, q[16] = 15; byte 15 = 0x19: q[15] = 9, q[31] = 1; byte 1 = 0: both 0 */
	{ SK_Q4_0, "Q4_0", 32, 18, SK_I8, { 0x00, 0xc0, 0xf0, [17] = 0x19 },
	  { { 0, 16.0f }, { 16, -14.0f }, { 1, 16.0f }, { 15, -2.0f }, { 31, 14.0f }, { -1 } } },
	/* d = 0.5, m = 3 */
	{ SK_Q4_1, "Q4_1", 32, 20, SK_I8, { 0x00, 0x38, 0x00, 0x42, 0xf0, [19] = 0x19 },
	  { { 0, 3.0f }, { 16, 10.5f }, { 1, 3.0f }, { 15, 7.5f }, { 31, 3.5f }, { -1 } } },
};

START_TEST(a_row_of_each_format_means_what_its_bytes_say)
{
	const struct sk_quant *q = sk_quant_get(formats[_i].dtype);
	float out[2 * 32];
	unsigned char *row = malloc(2 * 40);
	size_t K = 2;

	ck_assert_ptr_nonnull(q);
	ck_assert_int_eq(q->dtype, formats[_i].dtype);
	ck_assert_str_eq(q->name, formats[_i].name);
	ck_assert_uint_eq(q->block_len, formats[_i].block_len);
	ck_assert_uint_eq(q->block_bytes, formats[_i].block_bytes);
	ck_assert_int_eq(q->activation, formats[_i].activation);
	if (q->block_len > 1) {         /* the same block twice */
		K = 2 * q->block_len;
		memcpy(row, formats[_i].bytes, q->block_bytes);
		memcpy(row + q->block_bytes, formats[_i].bytes, q->block_bytes);
	} else {
		K = formats[_i].dtype == SK_F16 ? 4 : 2;
		memcpy(row, formats[_i].bytes, K * q->block_bytes);
	}
	q->dequantise(row, out, K);
	for (int i = 0; formats[_i].at[i].k >= 0; i++) {
		ck_assert_float_eq(out[formats[_i].at[i].k], formats[_i].at[i].want);
		if (q->block_len > 1)
			ck_assert_float_eq(out[32 + formats[_i].at[i].k], formats[_i].at[i].want);
	}
	q->dequantise(row, out, 0);
	free(row);
}
END_TEST

START_TEST(every_float_type_and_no_integer_type_has_a_format)
{
	for (int d = 0; d < SK_DTYPES; d++)
		ck_assert_int_eq(sk_quant_get((enum sk_dtype)d) != NULL, d != SK_I32 && d != SK_I8);
	ck_assert_ptr_null(sk_quant_get(SK_DTYPES));
}
END_TEST

START_TEST(every_binary16_survives_the_way_to_binary32_and_back)
{
	for (uint32_t h = 0; h < 0x10000; h++) {
		float f = sk_f32_of_f16((uint16_t)h);
		int exp = (int)(h >> 10 & 31), sign = h & 0x8000 ? -1 : 1;

		if (exp == 31) {
			ck_assert_int_eq(isnan(f) != 0, (h & 0x3ff) != 0);
			if (!isnan(f))
				ck_assert(f == sign * INFINITY);
			else
				ck_assert(isnan(sk_f32_of_f16(sk_f16_of_f32(f))));
			continue;
		}
		ck_assert(f == sign * ldexp((h & 0x3ff) + (exp ? 0x400 : 0), (exp ? exp : 1) - 25));
		ck_assert_uint_eq(sk_f16_of_f32(f), h);
	}
}
END_TEST

static const struct {
	float x;
	uint16_t f16, bf16;
} roundings[] = {
	{ 1.0f, 0x3c00, 0x3f80 },
	{ -0.0f, 0x8000, 0x8000 },
	{ 1.00048828125f, 0x3c00, 0x3f80 },             /* half way between 1 and the next F16: to the even one */
	{ 1.00146484375f, 0x3c02, 0x3f80 },             /* half way, the even one is above */
	{ 65519.0f, 0x7bff, 0x4780 },
	{ 65520.0f, 0x7c00, 0x4780 },
	{ 0x1p-25f, 0x0000, 0x3300 },                   /* half of the smallest: to even, zero */
	{ 0x1.8p-25f, 0x0001, 0x3340 },
	{ 0x1p-14f, 0x0400, 0x3880 },
	{ 0x1.ff8p-15f, 0x03ff, 0x3880 },
	{ 0x1.ffcp-15f, 0x0400, 0x3880 },               /* half way from the largest subnormal to the first normal one */
	{ 1.00390625f, 0x3c04, 0x3f80 },                /* half way between two BF16 */
	{ 1.01171875f, 0x3c0c, 0x3f82 },
	{ 3.4028234e38f, 0x7c00, 0x7f80 },              /* the largest float32 rounds up */
	{ INFINITY, 0x7c00, 0x7f80 },
	{ -INFINITY, 0xfc00, 0xff80 },
};

START_TEST(rounding_is_to_the_nearest_and_to_the_even_of_two)
{
	ck_assert_uint_eq(sk_f16_of_f32(roundings[_i].x), roundings[_i].f16);
	ck_assert_uint_eq(sk_bf16_of_f32(roundings[_i].x), roundings[_i].bf16);
}
END_TEST

START_TEST(a_nan_stays_a_nan)
{
	ck_assert(isnan(sk_f32_of_bf16(sk_bf16_of_f32(sk_f32_of_bits(0x7f800001u)))));
	ck_assert(isnan(sk_f32_of_f16(sk_f16_of_f32(sk_f32_of_bits(0xff800001u)))));
}
END_TEST

int main(void)
{
	Suite *s = suite_create("quant");
	TCase *c = tcase_create("formats");
	SRunner *r;
	int failed;

	tcase_add_loop_test(c, a_row_of_each_format_means_what_its_bytes_say, 0, (int)(sizeof formats / sizeof *formats));
	tcase_add_test(c, every_float_type_and_no_integer_type_has_a_format);
	tcase_add_test(c, every_binary16_survives_the_way_to_binary32_and_back);
	tcase_add_loop_test(c, rounding_is_to_the_nearest_and_to_the_even_of_two, 0, (int)(sizeof roundings / sizeof *roundings));
	tcase_add_test(c, a_nan_stays_a_nan);
	suite_add_tcase(s, c);
	r = srunner_create(s);
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? 1 : 0;
}
