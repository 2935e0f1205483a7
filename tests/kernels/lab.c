/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/kernels/lab.h"

#include <check.h>
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/quant/half.h"

const struct sk_dev_plan lab_plan = {
	.tokens_max = 1024, .sequences_max = 64, .K_max = 4096, .N_max = 50000,
	.heads = 64, .kv_heads = 16, .head_width = 256, .context_max = 4096,
};

/* Levels are asked of the backend that has them; the others have one way. */
static const char *const cpu_levels[] = { "portable", "avx2", "avx512", NULL };

static int way_add(struct lab_way *ways, int len, const struct sk_backend *b, const char *isa)
{
	struct sk_dev_opts o = { .threads = 1, .isa = isa, .no_step_down = true };
	struct sk_dev *dev = NULL;
	struct sk_err err = { 0 };

	if (b->open(0, &o, &dev, &err) < 0) {
		printf("not on this machine: %s %s: %s\n", b->name, isa ? isa : "", err.text);
		return len;
	}
	b->close(&dev);
	if (len == LAB_WAYS_MAX)
		abort();
	ways[len] = (struct lab_way){ .backend = b, .isa = isa };
	snprintf(ways[len].name, sizeof ways[len].name, "%s%s%s", b->name, isa ? " " : "", isa ? isa : "");
	return len + 1;
}

bool lab_is_module(const struct lab_way *way)
{
	return strcmp(way->backend->name, "ref") != 0 && strcmp(way->backend->name, "cpu") != 0;
}

bool lab_is_emulated(const struct lab_way *way)
{
	return strcmp(way->backend->name, "cuda-emu") == 0;
}

int lab_ways(struct lab_way ways[LAB_WAYS_MAX])
{
	const struct sk_backend *ref;
	int len = 0;

	/* Before Check runs: its assertions cannot speak yet. */
	if (sk_backend_find("ref", &ref, NULL) < 0)
		abort();
	len = way_add(ways, len, ref, NULL);
	for (const struct sk_backend *const *b = sk_backends(); *b; b++) {
		if (*b == ref)
			continue;
		if (strcmp((*b)->name, "cpu"))
			len = way_add(ways, len, *b, NULL);
		else
			for (int i = 0; cpu_levels[i]; i++)
				len = way_add(ways, len, *b, cpu_levels[i]);
	}
	return len;
}

struct lab lab_open(const struct lab_way *way, int threads)
{
	struct sk_dev_opts o = { .threads = threads, .isa = way->isa, .no_step_down = true };
	struct lab lab = { .way = way, .b = way->backend, .ops = way->backend->ops };
	struct sk_err err = { 0 };
	size_t bytes = 0;

	ck_assert_msg(lab.b->open(0, &o, &lab.dev, &err) == SK_OK, "%s: %s", way->name, err.text);
	ck_assert_msg(lab.b->reserve(lab.dev, &lab_plan, &bytes, &err) == SK_OK, "%s: %s", way->name, err.text);
	return lab;
}

void lab_close(struct lab *lab)
{
	lab->b->close(&lab->dev);
	ck_assert_ptr_null(lab->dev);
}

/* splitmix64 */
uint32_t lab_u32(struct lab_rand *r)
{
	uint64_t z = r->state += 0x9e3779b97f4a7c15u;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z = (z ^ z >> 27) * 0x94d049bb133111ebu;
	return (uint32_t)(z >> 32);
}

float lab_float(struct lab_rand *r, float limit)
{
	return ((float)(lab_u32(r) >> 8) * 0x1p-23f - 1.0f) * limit;
}

float *lab_floats(struct lab_rand *r, size_t n, float limit)
{
	float *x = malloc((n + 1) * sizeof *x);

	ck_assert_ptr_nonnull(x);
	for (size_t i = 0; i < n; i++)
		x[i] = lab_float(r, limit);
	return x;
}

struct sk_view lab_put(struct lab *lab, const float *x, int32_t rows, int32_t cols, int32_t stride)
{
	size_t bytes = ((size_t)rows * (size_t)stride + 16) * sizeof *x;
	struct sk_view v = { .data = lab->b->alloc(lab->dev, bytes), .dtype = SK_F32, .dim = { rows, cols }, .stride = stride };

	ck_assert_ptr_nonnull(v.data);
	for (int32_t t = 0; x && t < rows; t++)
		lab->b->put(lab->dev, (float *)v.data + (int64_t)t * stride, x + (int64_t)t * cols, (size_t)cols * sizeof *x);
	return v;
}

void lab_get(struct lab *lab, const struct sk_view *v, float *ret_x)
{
	struct sk_err err = { 0 };

	ck_assert_msg(lab->b->sync(lab->dev, &err) == SK_OK, "%s", err.text);
	for (int32_t t = 0; t < v->dim[0]; t++)
		lab->b->get(lab->dev, ret_x + (int64_t)t * v->dim[1], (float *)v->data + t * v->stride,
			    (size_t)v->dim[1] * sizeof *ret_x);
}

void lab_drop(struct lab *lab, struct sk_view *v)
{
	lab->b->free(lab->dev, v->data);
	v->data = NULL;
}

static void put_u16(unsigned char *p, uint16_t u)
{
	p[0] = (unsigned char)(u & 255);
	p[1] = (unsigned char)(u >> 8);
}

/* Scales and offsets of blocks are small and of both signs, as quantisers make them; the quants are any bytes. */
unsigned char *lab_weight(struct lab_rand *r, enum sk_dtype dtype, int32_t N, int32_t K)
{
	const struct sk_quant *q = sk_quant_get(dtype);
	size_t blocks = (size_t)N * (size_t)K / q->block_len, bytes = blocks * q->block_bytes;
	unsigned char *w = malloc(bytes), *p = w;

	ck_assert_ptr_nonnull(w);
	for (size_t b = 0; b < blocks; b++, p += q->block_bytes) {
		if (dtype == SK_F32) {
			float f = lab_float(r, 0.1f);

			memcpy(p, &f, sizeof f);
		} else if (q->block_len == 1) {
			float f = lab_float(r, 0.1f);

			put_u16(p, dtype == SK_F16 ? sk_f16_of_f32(f) : sk_bf16_of_f32(f));
		} else {
			for (size_t i = 0; i < q->block_bytes; i++)
				p[i] = (unsigned char)lab_u32(r);
			put_u16(p, sk_f16_of_f32(lab_float(r, 0.02f)));
			if (dtype == SK_Q4_1)
				put_u16(p + 2, sk_f16_of_f32(lab_float(r, 0.1f)));
		}
	}
	return w;
}

struct sk_weight_src lab_src(const unsigned char *bytes, enum sk_dtype dtype, int32_t N, int32_t K)
{
	const struct sk_quant *q = sk_quant_get(dtype);

	return (struct sk_weight_src){ .data = bytes, .dtype = dtype, .N = N, .K = K,
				       .row_bytes = (size_t)K / q->block_len * q->block_bytes };
}

int32_t *lab_blocks(int32_t first, int32_t n)
{
	int32_t *b = malloc((size_t)(n + 1) * sizeof *b);

	ck_assert_ptr_nonnull(b);
	for (int32_t i = 0; i < n; i++)
		b[i] = first + (i % 2 ? n - 1 - i / 2 : i / 2);
	return b;
}

struct lab_seq lab_seq_make(struct lab_rand *r, const struct lab_heads *h, int32_t len, const int32_t *blocks)
{
	size_t wide = (size_t)h->heads * (size_t)h->head_width, kv_wide = (size_t)h->kv_heads * (size_t)h->head_width;
	int32_t blocks_len = (len + SK_KV_BLOCK - 1) / SK_KV_BLOCK;
	struct lab_seq s = { .len = len, .q = lab_floats(r, (size_t)len * wide, 2.0f),
			     .k = lab_floats(r, (size_t)len * kv_wide, 1.0f), .v = lab_floats(r, (size_t)len * kv_wide, 1.0f),
			     .blocks = malloc((size_t)(blocks_len + 1) * sizeof *s.blocks) };

	ck_assert_ptr_nonnull(s.blocks);
	memcpy(s.blocks, blocks, (size_t)blocks_len * sizeof *blocks);
	return s;
}

void lab_seq_free(struct lab_seq *s)
{
	free(s->q);
	free(s->k);
	free(s->v);
	free(s->blocks);
	*s = (struct lab_seq){ 0 };
}

/* Rows [from, from + n) of a part's tensor, after those of the parts before it. */
static struct sk_view gather(struct lab *lab, const struct lab_part *parts, int32_t parts_len, int32_t T, int32_t wide,
			     size_t member)
{
	struct sk_view v = lab_put(lab, NULL, T, wide, wide + 3);
	int32_t t = 0;

	for (int32_t i = 0; i < parts_len; i++)
		for (int32_t j = 0; j < parts[i].n; j++, t++) {
			const float *x;

			memcpy(&x, (const char *)parts[i].seq + member, sizeof x);
			lab->b->put(lab->dev, (float *)v.data + t * v.stride, x + (int64_t)(parts[i].from + j) * wide,
				    (size_t)wide * sizeof *x);
		}
	return v;
}

/* Slopes 2^(-8 (h + 1) / H), or a table of numbers up to 3. */
float *lab_bias(const struct lab_heads *h, const struct lab_way_to_attend *how, size_t *ret_len)
{
	size_t n = (size_t)h->heads * (how->bias == SK_BIAS_TABLE ? 2 * (size_t)how->reach + 1 : 1);
	struct lab_rand r = { 31 };
	float *b = lab_floats(&r, n, 3.0f);

	for (int32_t i = 0; how->bias != SK_BIAS_TABLE && i < h->heads; i++)
		b[i] = exp2f(-8.0f * (float)(i + 1) / (float)h->heads);
	*ret_len = n;
	return b;
}

void lab_step(struct lab *lab, struct sk_kv *kv, const struct lab_heads *h, const struct lab_part *parts, int32_t parts_len)
{
	lab_step_as(lab, kv, h, parts, parts_len, &(struct lab_way_to_attend){ .write = true });
}

void lab_step_as(struct lab *lab, struct sk_kv *kv, const struct lab_heads *h, const struct lab_part *parts, int32_t parts_len,
		 const struct lab_way_to_attend *how)
{
	int32_t pos[1024], seq_start[65] = { 0 }, T = 0, wide = h->heads * h->head_width, kv_wide = h->kv_heads * h->head_width;
	const int32_t *blocks[64], *cross_blocks[64];
	int32_t cross_len[64], prompt_len[64], back[1024];
	struct sk_step st = { .S = parts_len, .pos = pos, .seq_start = seq_start, .blocks = blocks,
			      .prompt_len = prompt_len };
	size_t bias_len;
	float *bias_data = lab_bias(h, how, &bias_len);
	struct sk_view q, k, v, y, bias = lab_put(lab, bias_data, 1, (int32_t)bias_len, (int32_t)bias_len), sinks;
	float sink[128];
	bool wanted = parts_len == 0;           /* an empty step asks everything */
	float *all;

	ck_assert_int_le(parts_len, 64);
	for (int32_t i = 0; i < parts_len; i++) {
		wanted |= parts[i].y != NULL;
		ck_assert_int_le(T + parts[i].n, 1024);
		for (int32_t j = 0; j < parts[i].n; j++)
			pos[T++] = parts[i].from + j;
		seq_start[i + 1] = T;
		blocks[i] = parts[i].seq->blocks;
		prompt_len[i] = parts[i].prompt;
		if (how->cross) {
			cross_blocks[i] = parts[i].cross->blocks;
			cross_len[i] = parts[i].cross->len;
		}
	}
	ck_assert_int_le(h->heads, 128);
	for (int32_t i = 0; i < h->heads; i++)
		sink[i] = 8.0f * (float)(i + 1) / (float)h->heads - 4.0f;
	sinks = lab_put(lab, sink, 1, h->heads, h->heads);
	for (int32_t t = 0; t < T; t++)
		back[t] = T - 1 - t;
	st.T = T;
	if (how->cross) {
		st.cross_blocks = cross_blocks;
		st.cross_len = cross_len;
	}
	q = gather(lab, parts, parts_len, T, wide, offsetof(struct lab_seq, q));
	k = gather(lab, parts, parts_len, T, kv_wide, offsetof(struct lab_seq, k));
	v = gather(lab, parts, parts_len, T, kv_wide, offsetof(struct lab_seq, v));
	y = lab_put(lab, NULL, T, wide, wide + 5);
	lab->ops->begin(lab->dev, &st);
	if (how->write)
		lab->ops->kv_write(lab->dev, &(struct sk_op_kv_write){ .kv = kv, .layer = 1, .step = &st, .k = k, .v = v });
	for (int32_t i = 0; i < how->beside; i++)       /* what the host says of them must not lie where the step's arrays do */
		lab->ops->rows(lab->dev, &(struct sk_op_rows){ .x = q, .y = y, .rows = back, .rows_len = T });
	if (wanted)
		lab->ops->attend(lab->dev, &(struct sk_op_attend){ .kv = kv, .layer = 1, .step = &st, .q = q, .y = y,
				 .heads = h->heads, .kv_heads = h->kv_heads, .head_width = h->head_width,
				 .scale = 1.0f / sqrtf((float)h->head_width),
				 .bias = { how->bias, bias.data, how->reach }, .cross = how->cross, .window = how->window,
				 .softcap = how->softcap, .sinks = how->sinks ? sinks.data : NULL });
	all = malloc(((size_t)T * (size_t)wide + 1) * sizeof *all);
	ck_assert_ptr_nonnull(all);
	lab_get(lab, &y, all);
	for (int32_t i = 0; i < parts_len; i++)
		if (parts[i].y)
			memcpy(parts[i].y, all + (size_t)seq_start[i] * (size_t)wide,
			       (size_t)parts[i].n * (size_t)wide * sizeof *all);
	free(all);
	free(bias_data);
	lab_drop(lab, &bias);
	lab_drop(lab, &sinks);
	lab_drop(lab, &q);
	lab_drop(lab, &k);
	lab_drop(lab, &v);
	lab_drop(lab, &y);
}

/* ---- comparing ---- */

void lab_same(const char *way, const char *what, const float *y, const float *ref, const double *bound, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		double most = 4 * (double)FLT_EPSILON * fabs((double)ref[i]) + (bound ? 4 * (double)FLT_EPSILON * bound[i] : 0.0) + 1e-36;

		if (y[i] == ref[i] || (isnan(y[i]) && isnan(ref[i])) || fabs((double)y[i] - (double)ref[i]) <= most)
			continue;
		ck_abort_msg("%s: %s [%zu] is %.9g, the reference %.9g, off by %.3g of %.3g", way, what, i, (double)y[i],
			     (double)ref[i], fabs((double)y[i] - (double)ref[i]), most);
	}
}

float *lab_room(size_t n)
{
	float *x = calloc(n + 1, sizeof *x);

	ck_assert_ptr_nonnull(x);
	return x;
}

int lab_few(int shapes)
{
	return getenv("SAKER_TEST_FEW") ? (shapes + 2) / 3 : shapes;
}
