/* SPDX-License-Identifier: Apache-2.0 */
/*
 * linear and embed of the cpu backend: right within the rounding of float32 sums, and the same bits for a row whatever
 * runs beside it (tokens, threads), at every level of instruction set; block formats also from level to level.
 */
#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/backend.h"
#include "kernels/quant/half.h"

extern const struct sk_backend sk_backend_cpu;

#define T_MAX 64
#define N_MAX 200
#define K_MAX 1536
#define Y_STRIDE (N_MAX + 7)            /* rows of a view need not be neighbours */

static const char *const levels[] = { "portable", "avx2", "avx512" };
static const int tokens[] = { 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 17, 64 };

static const struct shape {
	const char *name;
	int32_t N, K;
	unsigned flags;
	int32_t slices, slice_end[SK_SLICES_MAX];
	bool any_k;                     /* no block format has such a K */
	bool bias;
	enum sk_act act;                /* GLU: NONE stands for SILU */
} shapes[] = {
	{ "whole panels", 96, 576, 0, 0, { 0 }, false, false, SK_ACT_NONE },
	{ "the last panel is partly empty", 45, 64, 0, 0, { 0 }, false, false, SK_ACT_NONE },
	{ "fewer rows than a vector", 5, 32, 0, 0, { 0 }, false, false, SK_ACT_NONE },
	{ "added to what is there", 70, 96, SK_LINEAR_ADD, 0, { 0 }, false, false, SK_ACT_NONE },
	{ "eight slices, added", 64, 1536, SK_LINEAR_ADD, 8, { 192, 384, 576, 768, 960, 1152, 1344, 1536 }, false, false, SK_ACT_NONE },
	{ "five slices of unequal width", 33, 576, 0, 5, { 64, 128, 256, 384, 576 }, false, false, SK_ACT_NONE },
	{ "three slices of one block", 40, 96, 0, 3, { 32, 64, 96 }, false, false, SK_ACT_NONE },
	{ "gate and up joined", 192, 576, SK_LINEAR_GLU, 0, { 0 }, false, false, SK_ACT_NONE },
	{ "gate and up, halves of no whole panel", 46, 64, SK_LINEAR_GLU, 0, { 0 }, false, false, SK_ACT_NONE },
	{ "gate and up in two slices, added", 64, 128, SK_LINEAR_GLU | SK_LINEAR_ADD, 2, { 64, 128 }, false, false, SK_ACT_NONE },
	{ "an odd width", 37, 37, 0, 0, { 0 }, true, false, SK_ACT_NONE },
	{ "a width of one", 3, 1, 0, 0, { 0 }, true, false, SK_ACT_NONE },
	{ "biases", 77, 64, 0, 0, { 0 }, false, true, SK_ACT_NONE },
	{ "biases of a panel's second half, silu", 24, 96, 0, 0, { 0 }, false, true, SK_ACT_SILU },
	{ "biases and gelu in three slices, added", 70, 96, SK_LINEAR_ADD, 3, { 32, 64, 96 }, false, true, SK_ACT_GELU },
	{ "gelu by tanh", 33, 64, 0, 0, { 0 }, false, false, SK_ACT_GELU_TANH },
	{ "relu with biases", 9, 64, 0, 0, { 0 }, false, true, SK_ACT_RELU },
	{ "gate and up with biases, gelu by tanh", 46, 64, SK_LINEAR_GLU, 0, { 0 }, false, true, SK_ACT_GELU_TANH },
	{ "gate and up with biases, gelu, added", 82, 96, SK_LINEAR_GLU | SK_LINEAR_ADD, 0, { 0 }, false, true, SK_ACT_GELU },
	{ "gate and up, relu", 64, 64, SK_LINEAR_GLU, 0, { 0 }, false, false, SK_ACT_RELU },
	{ "a slice ends on an odd column", 34, 101, SK_LINEAR_ADD, 2, { 33, 101 }, true, false, SK_ACT_NONE },
};
#define SHAPES ((int)(sizeof shapes / sizeof shapes[0]))

static const enum sk_dtype dtypes[] = { SK_F32, SK_F16, SK_BF16, SK_Q8_0, SK_Q4_0, SK_Q4_1 };
#define DTYPES ((int)(sizeof dtypes / sizeof dtypes[0]))

/* ---- made-up data ---- */

static uint32_t noise_state;

static uint32_t noise(void)
{
	noise_state = noise_state * 1664525u + 1013904223u;
	return noise_state >> 8;
}

static float noise_float(void)
{
	return ((float)(noise() & 0xffff) - 32768.0f) / 32768.0f;
}

static void put16(unsigned char *p, uint16_t v)
{
	p[0] = (unsigned char)v;
	p[1] = (unsigned char)(v >> 8);
}

/* Any bytes are a block's quants; its F16 numbers get sane values. */
static void weight_fill(unsigned char *p, enum sk_dtype dtype, int64_t elements)
{
	const struct sk_quant *q = sk_quant_get(dtype);

	for (int64_t i = 0; i < elements; i += q->block_len, p += q->block_bytes) {
		for (uint32_t b = 0; b < q->block_bytes; b++)
			p[b] = (unsigned char)noise();
		if (dtype == SK_F32)
			memcpy(p, &(float){ noise_float() }, 4);
		else if (dtype == SK_BF16)
			put16(p, sk_bf16_of_f32(noise_float()));
		else
			put16(p, sk_f16_of_f32(noise_float() * (dtype == SK_F16 ? 1.0f : 0.02f)));
		if (dtype == SK_Q4_1)
			put16(p + 2, sk_f16_of_f32(noise_float() * 0.2f));
	}
}

struct data {
	unsigned char *file;            /* N rows of the weight */
	size_t row_bytes;
	float *x, *y0;                  /* [T_MAX][K], [T_MAX][Y_STRIDE]: what y holds before */
	float *bias;                    /* [N] */
	struct sk_weight_src src[2];
	int src_len;
};

static void data_make(struct data *d, const struct shape *s, enum sk_dtype dtype)
{
	const struct sk_quant *q = sk_quant_get(dtype);
	int32_t half = s->N / 2;

	noise_state = (uint32_t)(s->N * 7919 + s->K * 31 + (int)dtype);
	d->row_bytes = (size_t)s->K / q->block_len * q->block_bytes;
	d->file = malloc((size_t)s->N * d->row_bytes);
	d->x = malloc(sizeof(float) * T_MAX * (size_t)s->K);
	d->y0 = malloc(sizeof(float) * T_MAX * Y_STRIDE);
	weight_fill(d->file, dtype, (int64_t)s->N * s->K);
	for (int i = 0; i < T_MAX * s->K; i++)
		d->x[i] = noise_float() * (i % 97 == 0 ? 20.0f : 1.0f);
	/* A block of zeros has no scale. */
	for (int i = 0; i < 32 && i < s->K; i++)
		d->x[(T_MAX > 3 ? 2 : 0) * s->K + i] = 0.0f;
	for (int i = 0; i < T_MAX * Y_STRIDE; i++)
		d->y0[i] = noise_float();
	d->bias = malloc(sizeof(float) * (size_t)s->N);
	for (int i = 0; i < s->N; i++)
		d->bias[i] = 2.0f * noise_float();
	d->src_len = s->flags & SK_LINEAR_GLU || s->N > 40 ? 2 : 1;
	if (d->src_len == 1)
		half = s->N;
	d->src[0] = (struct sk_weight_src){ d->file, dtype, half, s->K, d->row_bytes };
	d->src[1] = (struct sk_weight_src){ d->file + (size_t)half * d->row_bytes, dtype, s->N - half, s->K, d->row_bytes };
}

static void data_drop(struct data *d)
{
	free(d->file);
	free(d->x);
	free(d->y0);
	free(d->bias);
}

/* ---- the definition, in double ---- */

static void round_x(const float *x, double *out, int32_t K, enum sk_dtype to)
{
	for (int32_t k = 0; k < K; k++) {
		float max = 0.0f, scale;

		if (to != SK_I8) {
			out[k] = to == SK_BF16 ? (double)sk_f32_of_bf16(sk_bf16_of_f32(x[k])) : (double)x[k];
			continue;
		}
		for (int32_t i = k / 32 * 32; i < k / 32 * 32 + 32; i++)
			max = fmaxf(max, fabsf(x[i]));
		scale = max / 127.0f;
		out[k] = scale > 0.0f ? (double)nearbyintf(x[k] / scale) * (double)scale : 0.0;
	}
}

/* One element; *ret_size: the sum of absolute products, which the tolerance grows with. */
static double want_dot(const double *x, const float *w, int32_t K, double *ret_size)
{
	double sum = 0.0;

	*ret_size = 0.0;
	for (int32_t k = 0; k < K; k++) {
		sum += x[k] * (double)w[k];
		*ret_size += fabs(x[k] * (double)w[k]);
	}
	return sum;
}

static void dequantise_row(const struct data *d, const struct shape *s, int32_t n, float *out)
{
	sk_quant_get(d->src[0].dtype)->dequantise(d->file + (size_t)n * d->row_bytes, out, (size_t)s->K);
}

static double act_of(enum sk_act act, double v)
{
	switch (act) {
	case SK_ACT_NONE:      break;
	case SK_ACT_SILU:      return v / (1.0 + exp(-v));
	case SK_ACT_GELU:      return v * erfc(-v / sqrt(2.0)) / 2.0;
	case SK_ACT_GELU_TANH: return v / 2.0 * (1.0 + tanh(sqrt(2.0 / acos(-1.0)) * (v + 0.044715 * v * v * v)));
	case SK_ACT_RELU:      return v > 0.0 ? v : 0.0;
	}
	return v;
}

static enum sk_act act_used(const struct shape *s)
{
	return s->flags & SK_LINEAR_GLU && s->act == SK_ACT_NONE ? SK_ACT_SILU : s->act;
}

static void check_values(const struct data *d, const struct shape *s, bool quantise, const float *y, int T, const char *level)
{
	static double x[T_MAX][K_MAX];
	static float w[K_MAX], w_up[K_MAX];
	const struct sk_quant *q = sk_quant_get(d->src[0].dtype);
	int32_t glu = s->flags & SK_LINEAR_GLU, cols = glu ? s->N / 2 : s->N;

	for (int t = 0; t < T; t++)
		round_x(d->x + t * s->K, x[t], s->K, quantise ? q->activation : SK_F32);
	for (int32_t n = 0; n < cols; n++) {
		dequantise_row(d, s, n, w);
		if (glu)
			dequantise_row(d, s, cols + n, w_up);
		for (int t = 0; t < T; t++) {
			double size, up_size, want = want_dot(x[t], w, s->K, &size), got = (double)y[t * Y_STRIDE + n];

			if (s->bias) {
				want += (double)d->bias[n];
				size += fabs((double)d->bias[n]);
			}
			want = act_of(act_used(s), want);
			size *= act_used(s) == SK_ACT_NONE ? 1.0 : 1.13;        /* how steep the steepest is */
			if (glu) {
				double up = want_dot(x[t], w_up, s->K, &up_size) + (s->bias ? (double)d->bias[cols + n] : 0.0);

				up_size += s->bias ? fabs((double)d->bias[cols + n]) : 0.0;
				size = size * fabs(up) + fabs(want) * up_size + fabs(want * up);
				want *= up;
			}
			if (s->flags & SK_LINEAR_ADD)
				want += (double)d->y0[t * Y_STRIDE + n];
			/* 4 eps of the result and of the absolute sum; Q4_1's m * sum(a) is not in the latter. */
			ck_assert_msg(fabs(got - want) <= 5e-7 * (fabs(want) + size) + 1e-6 * (q->dtype == SK_Q4_1),
				      "%s, %s, %s, quantise %d: [%d][%d] is %.9g, should be %.9g", s->name, q->name, level,
				      quantise, t, n, got, want);
		}
	}
	for (int t = 0; t < T; t++)
		for (int32_t n = cols; n < Y_STRIDE; n++)
			ck_assert_msg(memcmp(&y[t * Y_STRIDE + n], &d->y0[t * Y_STRIDE + n], 4) == 0,
				      "%s: wrote behind row %d", s->name, t);
}

/* ---- running it ---- */

static struct sk_dev *dev_open(const char *level, int threads)
{
	struct sk_dev_opts o = { .threads = threads, .isa = level };
	struct sk_dev_plan plan = {
		.tokens_max = T_MAX, .sequences_max = 4, .K_max = K_MAX, .N_max = N_MAX,
		.heads = 2, .kv_heads = 1, .head_width = 64, .context_max = 64,
	};
	struct sk_err err = { 0 };
	struct sk_dev *dev = NULL;
	sk_status st = sk_backend_cpu.open(0, &o, &dev, &err);

	if (st == SK_ENOTSUP || st == SK_ENOENT)
		return NULL;            /* not on this machine, or not in this build */
	ck_assert_msg(st == SK_OK, "%s", err.text);
	ck_assert_int_eq(sk_backend_cpu.reserve(dev, &plan, NULL, &err), SK_OK);
	return dev;
}

static struct sk_weight *weight_make(struct sk_dev *dev, const struct data *d, const struct shape *s)
{
	struct sk_weight *w = NULL;
	struct sk_err err = { 0 };
	sk_status st = sk_backend_cpu.weight_open(dev, d->src, d->src_len,
						  s->flags & SK_LINEAR_GLU ? SK_JOIN_GLU : SK_JOIN_STACK, &w, &err);

	ck_assert_msg(st == SK_OK, "%s: %s", s->name, err.text);
	ck_assert_uint_le(w->bytes, sk_backend_cpu.weight_bytes(w->dtype, s->N, s->K));
	return w;
}

static void run(struct sk_dev *dev, const struct data *d, const struct shape *s, const struct sk_weight *w, bool quantise, int T,
		float *y)
{
	struct sk_op_linear op = {
		.x = { d->x, SK_F32, { T, s->K }, s->K },
		.y = { y, SK_F32, { T, s->flags & SK_LINEAR_GLU ? s->N / 2 : s->N }, Y_STRIDE },
		.w = w, .flags = s->flags, .quantise = quantise, .slices = s->slices,
		.act = act_used(s), .bias = s->bias ? d->bias : NULL,
	};

	memcpy(op.slice_end, s->slice_end, sizeof op.slice_end);
	memcpy(y, d->y0, sizeof(float) * T_MAX * Y_STRIDE);
	sk_backend_cpu.ops->linear(dev, &op);
}

#define THREADS_MAX 2

/* Opened once: [level][threads - 1]; NULL where this machine or build lacks the level. */
static struct sk_dev *devices[sizeof levels / sizeof levels[0]][THREADS_MAX];

static void devices_open(void)
{
	for (size_t i = 0; i < sizeof levels / sizeof levels[0]; i++)
		for (int threads = 1; threads <= THREADS_MAX; threads++)
			devices[i][threads - 1] = dev_open(levels[i], threads);
}

static void devices_close(void)
{
	for (size_t i = 0; i < sizeof levels / sizeof levels[0]; i++)
		for (int threads = 1; threads <= THREADS_MAX; threads++)
			sk_backend_cpu.close(&devices[i][threads - 1]);
}

/* All T and thread counts of one level against T = 64 on one thread; that one's result stays in *base. */
static void check_level(const struct data *d, const struct shape *s, bool quantise, int level, float *base)
{
	static float y[T_MAX * Y_STRIDE];

	for (int threads = 1; threads <= THREADS_MAX; threads++) {
		struct sk_dev *dev = devices[level][threads - 1];
		struct sk_weight *w = weight_make(dev, d, s);

		if (threads == 1)
			run(dev, d, s, w, quantise, T_MAX, base);
		for (size_t i = 0; i < sizeof tokens / sizeof tokens[0]; i++) {
			int T = tokens[i];

			run(dev, d, s, w, quantise, T, y);
			ck_assert_msg(memcmp(y, base, sizeof(float) * (size_t)T * Y_STRIDE) == 0,
				      "%s, %s, %s, quantise %d: other bits at T = %d, %d threads", s->name,
				      sk_quant_get(d->src[0].dtype)->name, levels[level], quantise, T, threads);
		}
		sk_backend_cpu.weight_close(dev, &w);
	}
	check_values(d, s, quantise, base, T_MAX, levels[level]);
}

static void check_shape(const struct shape *s, enum sk_dtype dtype, bool quantise)
{
	static float first[T_MAX * Y_STRIDE], base[T_MAX * Y_STRIDE];
	bool blocks = sk_quant_get(dtype)->activation == SK_I8;
	struct data d;

	if (blocks && s->any_k)
		return;
	data_make(&d, s, dtype);
	for (int i = 0; i < (int)(sizeof levels / sizeof levels[0]); i++) {
		if (devices[i][0] == NULL)
			continue;
		check_level(&d, s, quantise, i, i == 0 ? first : base);
		if (i > 0 && blocks && quantise)
			ck_assert_msg(memcmp(first, base, sizeof base) == 0, "%s, %s: %s and %s differ", s->name,
				      sk_quant_get(dtype)->name, levels[0], levels[i]);
	}
	data_drop(&d);
}

START_TEST(products_are_right_and_a_row_keeps_its_bits)
{
	devices_open();
	for (int s = 0; s < SHAPES; s++)
		for (int quantise = 0; quantise < 2; quantise++)
			check_shape(&shapes[s], dtypes[_i], quantise);
	devices_close();
}
END_TEST

START_TEST(an_embedded_row_is_the_row_of_the_file)
{
	static const struct shape odd = { "embedding", 45, 96, 0, 0, { 0 }, false };
	static const int32_t ids[] = { 0, 44, 31, 32, 7, 7 };
	float y[6 * 100], want[96];
	struct sk_dev *dev = dev_open("auto", 2);
	struct sk_op_embed op = { ids, 6, NULL, { y, SK_F32, { 6, 96 }, 100 } };
	struct sk_weight *w;
	struct data d;

	data_make(&d, &odd, dtypes[_i]);
	w = weight_make(dev, &d, &odd);
	op.w = w;
	sk_backend_cpu.ops->embed(dev, &op);
	for (int t = 0; t < 6; t++) {
		sk_quant_get(dtypes[_i])->dequantise(d.file + (size_t)ids[t] * d.row_bytes, want, 96);
		ck_assert_mem_eq(y + t * 100, want, sizeof want);
	}
	sk_backend_cpu.weight_close(dev, &w);
	sk_backend_cpu.close(&dev);
	data_drop(&d);
}
END_TEST

START_TEST(a_weight_that_does_not_fit_the_format_is_refused)
{
	static unsigned char bytes[4096];
	static const struct {
		const char *name;
		struct sk_weight_src src[2];
		int src_len;
		enum sk_weight_join join;
		sk_status want;
	} cases[] = {
		{ "columns no multiple of 32", { { bytes, SK_Q4_0, 2, 48, 64 } }, 1, SK_JOIN_STACK, SK_ENOTSUP },
		{ "two types", { { bytes, SK_F32, 2, 32, 128 }, { bytes, SK_F16, 2, 32, 64 } }, 2, SK_JOIN_STACK, SK_ENOTSUP },
		{ "two widths", { { bytes, SK_F32, 2, 32, 128 }, { bytes, SK_F32, 2, 31, 124 } }, 2, SK_JOIN_STACK, SK_ENOTSUP },
		{ "no weights of integers", { { bytes, SK_I32, 2, 32, 128 } }, 1, SK_JOIN_STACK, SK_ENOTSUP },
		{ "rows shorter than their columns", { { bytes, SK_F32, 2, 32, 127 } }, 1, SK_JOIN_STACK, SK_EINVAL },
		{ "no rows", { { bytes, SK_F32, 0, 32, 128 } }, 1, SK_JOIN_STACK, SK_ENOTSUP },
		{ "a gate without an up", { { bytes, SK_F32, 2, 32, 128 } }, 1, SK_JOIN_GLU, SK_EINVAL },
		{ "gate and up of different heights", { { bytes, SK_F32, 2, 32, 128 }, { bytes, SK_F32, 3, 32, 128 } }, 2,
		  SK_JOIN_GLU, SK_EINVAL },
	};
	struct sk_dev *dev = dev_open("auto", 1);

	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct sk_weight *w = NULL;
		struct sk_err err = { 0 };
		sk_status st = sk_backend_cpu.weight_open(dev, cases[i].src, cases[i].src_len, cases[i].join, &w, &err);

		ck_assert_msg(st == cases[i].want, "%s: %d", cases[i].name, st);
		ck_assert_msg(err.text[0] != '\0', "%s: no reason given", cases[i].name);
		ck_assert_ptr_null(w);
	}
	ck_assert_uint_eq(sk_backend_cpu.weight_bytes(SK_Q4_0, 10, 48), 0);
	ck_assert_uint_eq(sk_backend_cpu.weight_bytes(SK_I8, 10, 64), 0);
	ck_assert_uint_eq(sk_backend_cpu.weight_bytes(SK_F32, INT64_MAX, 64), 0);
	sk_backend_cpu.close(&dev);
}
END_TEST

START_TEST(an_unknown_level_is_refused_by_name)
{
	struct sk_dev_opts o = { .threads = 1, .isa = "avx1024" };
	struct sk_dev *dev = NULL;
	struct sk_err err = { 0 };

	ck_assert_int_eq(sk_backend_cpu.open(0, &o, &dev, &err), SK_ENOENT);
	ck_assert_ptr_nonnull(strstr(err.text, "avx1024"));
	o.isa = NULL;
	o.threads = 0;
	ck_assert_int_eq(sk_backend_cpu.open(0, &o, &dev, &err), SK_EINVAL);
	ck_assert_ptr_null(dev);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("linear");
	TCase *c = tcase_create("linear");
	SRunner *r;
	int failed, few = getenv("SAKER_TEST_FEW") ? 2 : DTYPES;

	tcase_set_timeout(c, 120);
	tcase_add_loop_test(c, products_are_right_and_a_row_keeps_its_bits, 0, few);
	tcase_add_loop_test(c, an_embedded_row_is_the_row_of_the_file, 0, few);
	tcase_add_test(c, a_weight_that_does_not_fit_the_format_is_refused);
	tcase_add_test(c, an_unknown_level_is_refused_by_name);
	suite_add_tcase(s, c);
	r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}
