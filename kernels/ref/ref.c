/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The reference backend: what every operation means, in plain loops with double accumulation. Slow, one thread,
 * memory like the file's. Every other backend is measured against it (tests/kernels/test_parity.c).
 */
#include "kernels/ref/ref.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int ref_score(char *why, size_t why_bytes)
{
	(void)why;
	(void)why_bytes;
	return 1;
}

static void ref_describe(const struct sk_dev *dev, char *isa, size_t isa_bytes, char *device, size_t device_bytes)
{
	(void)dev;
	snprintf(isa, isa_bytes, "plain");
	snprintf(device, device_bytes, "reference loops, 1 thread");
}

static void ref_close(struct sk_dev **dev)
{
	if (!*dev)
		return;
	free((*dev)->x);
	free((*dev)->w);
	free(*dev);
	*dev = NULL;
}

static sk_status ref_open(int ordinal, const struct sk_dev_opts *o, struct sk_dev **ret_dev, struct sk_err *err)
{
	struct sk_dev *dev = calloc(1, sizeof *dev);

	(void)ordinal;
	(void)o;
	if (!dev)
		return sk_fail(err, SK_ENOMEM, "reference backend: out of memory");
	*ret_dev = dev;
	return SK_OK;
}

static sk_status widen(struct sk_dev *dev, size_t wide, struct sk_err *err)
{
	double *x;
	float *w;

	if (wide <= dev->wide)
		return SK_OK;
	x = realloc(dev->x, wide * sizeof *x);
	if (x)
		dev->x = x;
	w = realloc(dev->w, wide * sizeof *w);
	if (w)
		dev->w = w;
	if (!x || !w)
		return sk_fail(err, SK_ENOMEM, "reference backend: no memory for rows of %zu", wide);
	dev->wide = wide;
	return SK_OK;
}

static void *ref_alloc(struct sk_dev *dev, size_t bytes)
{
	void *p;

	(void)dev;
	if (bytes > SIZE_MAX - 127 || posix_memalign(&p, 64, bytes ? bytes : 64))
		return NULL;
	return memset(p, 0, bytes);
}

static void ref_free(struct sk_dev *dev, void *p)
{
	(void)dev;
	free(p);
}

static void ref_copy(struct sk_dev *dev, void *to, const void *from, size_t bytes)
{
	(void)dev;
	if (bytes)
		memcpy(to, from, bytes);
}

static sk_status ref_sync(struct sk_dev *dev, struct sk_err *err)
{
	(void)dev;
	(void)err;
	return SK_OK;
}

static sk_status ref_reserve(struct sk_dev *dev, const struct sk_dev_plan *p, size_t *ret_bytes, struct sk_err *err)
{
	size_t wide = (size_t)(p->K_max > p->head_width ? p->K_max : p->head_width);
	sk_status st = dev ? widen(dev, wide, err) : SK_OK;

	if (st == SK_OK && ret_bytes)
		*ret_bytes = wide * (sizeof(double) + sizeof(float));
	return st;
}

/* Bytes of one row, 0 where the format does not allow this K. */
static size_t row_bytes(enum sk_dtype dtype, int64_t K)
{
	const struct sk_quant *q = sk_quant_get(dtype);

	if (!q || K <= 0 || K > INT32_MAX || K % q->block_len)
		return 0;
	return (size_t)(K / q->block_len) * q->block_bytes;
}

static size_t ref_weight_bytes(enum sk_dtype dtype, int64_t N, int64_t K)
{
	return N <= 0 || N > INT32_MAX ? 0 : (size_t)N * row_bytes(dtype, K);
}

static void ref_weight_close(struct sk_dev *dev, struct sk_weight **w)
{
	struct ref_weight *rw = (struct ref_weight *)*w;

	(void)dev;
	if (!rw)
		return;
	free(rw->data);
	free(rw);
	*w = NULL;
}

static sk_status weight_check(const struct sk_weight_src *src, int src_len, enum sk_weight_join join, int64_t *ret_N,
			      struct sk_err *err)
{
	int64_t N = 0;

	if (src_len < 1 || (join == SK_JOIN_GLU && (src_len != 2 || src[0].N != src[1].N)))
		return sk_fail(err, SK_EINVAL, "weight of %d sources: a GLU has two of equal shape, a stack at least one", src_len);
	for (int i = 0; i < src_len; i++) {
		size_t bytes = row_bytes(src[i].dtype, src[i].K);

		if (src[i].dtype != src[0].dtype || src[i].K != src[0].K)
			return sk_fail(err, SK_ENOTSUP, "weights of different types or widths cannot be joined");
		if (!bytes || src[i].N <= 0 || src[i].row_bytes < bytes)
			return sk_fail(err, SK_ENOTSUP, "weight [%d, %d] of type %d, rows of %zu bytes: not supported",
				       src[i].N, src[i].K, (int)src[i].dtype, src[i].row_bytes);
		N += src[i].N;
	}
	if (N > INT32_MAX)
		return sk_fail(err, SK_ETOOBIG, "weight of %lld rows, the limit is %d", (long long)N, INT32_MAX);
	*ret_N = N;
	return SK_OK;
}

static sk_status ref_weight_open(struct sk_dev *dev, const struct sk_weight_src *src, int src_len, enum sk_weight_join join,
				 struct sk_weight **ret_w, struct sk_err *err)
{
	struct ref_weight *rw;
	unsigned char *to;
	int64_t N = 0;
	sk_status st = weight_check(src, src_len, join, &N, err);

	if (st == SK_OK)
		st = widen(dev, (size_t)src[0].K, err);
	if (st < 0)
		return st;
	rw = calloc(1, sizeof *rw);
	if (!rw)
		return sk_fail(err, SK_ENOMEM, "reference backend: out of memory");
	rw->row_bytes = row_bytes(src[0].dtype, src[0].K);
	rw->base = (struct sk_weight){ .dtype = src[0].dtype, .N = (int32_t)N, .K = src[0].K, .join = join,
				       .bytes = (size_t)N * rw->row_bytes };
	rw->data = malloc(rw->base.bytes);
	if (!rw->data) {
		free(rw);
		return sk_fail(err, SK_ENOMEM, "reference backend: no memory for a weight of %zu bytes",
			       (size_t)N * row_bytes(src[0].dtype, src[0].K));
	}
	to = rw->data;
	for (int i = 0; i < src_len; i++)
		for (int32_t n = 0; n < src[i].N; n++, to += rw->row_bytes)
			memcpy(to, (const unsigned char *)src[i].data + (size_t)n * src[i].row_bytes, rw->row_bytes);
	*ret_w = &rw->base;
	return SK_OK;
}

/* Bytes of one block of one layer, of k or of v. */
static size_t block_bytes(const struct sk_kv_spec *s)
{
	return (size_t)s->kv_heads * SK_KV_BLOCK * (size_t)s->head_width * (s->dtype == SK_BF16 ? 2 : 4);
}

static size_t ref_kv_bytes(const struct sk_kv_spec *s)
{
	return 2 * (size_t)s->layers * (size_t)s->blocks * block_bytes(s);
}

static void ref_kv_close(struct sk_dev *dev, struct sk_kv **kv)
{
	(void)dev;
	if (!*kv)
		return;
	free((*kv)->k);
	free(*kv);
	*kv = NULL;
}

static sk_status ref_kv_open(struct sk_dev *dev, const struct sk_kv_spec *s, struct sk_kv **ret_kv, struct sk_err *err)
{
	struct sk_kv *kv;
	sk_status st;

	if (s->dtype != SK_F32 && s->dtype != SK_BF16)
		return sk_fail(err, SK_ENOTSUP, "KV of type %d: only float32 and bfloat16 are supported", (int)s->dtype);
	if (s->layers < 1 || s->kv_heads < 1 || s->head_width < 1 || s->blocks < 1)
		return sk_fail(err, SK_EINVAL, "KV pool of %d layers, %d heads of %d, %d blocks: each must be positive", s->layers,
			       s->kv_heads, s->head_width, s->blocks);
	st = widen(dev, (size_t)s->head_width, err);
	if (st < 0)
		return st;
	kv = calloc(1, sizeof *kv);
	if (kv)
		kv->k = calloc(1, ref_kv_bytes(s));
	if (!kv || !kv->k) {
		free(kv);
		return sk_fail(err, SK_ENOMEM, "reference backend: no memory for a KV pool of %zu bytes", ref_kv_bytes(s));
	}
	kv->spec = *s;
	kv->v = (unsigned char *)kv->k + ref_kv_bytes(s) / 2;
	*ret_kv = kv;
	return SK_OK;
}

static void ref_kv_copy(struct sk_dev *dev, struct sk_kv *kv, int32_t from_block, int32_t to_block)
{
	size_t bytes = block_bytes(&kv->spec);

	(void)dev;
	if (from_block == to_block)
		return;
	for (int32_t l = 0; l < kv->spec.layers; l++) {
		size_t from = ((size_t)l * (size_t)kv->spec.blocks + (size_t)from_block) * bytes;
		size_t to = ((size_t)l * (size_t)kv->spec.blocks + (size_t)to_block) * bytes;

		memcpy((unsigned char *)kv->k + to, (unsigned char *)kv->k + from, bytes);
		memcpy((unsigned char *)kv->v + to, (unsigned char *)kv->v + from, bytes);
	}
}

static void ref_host_run(struct sk_dev *dev, int32_t n, void (*fn)(void *arg, int32_t i, int worker), void *arg)
{
	(void)dev;
	for (int32_t i = 0; i < n; i++)
		fn(arg, i, 0);
}

/* The host's arrays are read where they lie. */
static void ref_begin(struct sk_dev *dev, const struct sk_step *step)
{
	(void)dev;
	(void)step;
}

static const struct sk_ops ref_ops = {
	.begin = ref_begin,
	.embed = ref_embed,
	.norm = ref_norm,
	.linear = ref_linear,
	.rope = ref_rope,
	.kv_write = ref_kv_write,
	.attend = ref_attend,
	.glu = ref_glu,
	.add = ref_add,
	.bound = ref_bound,
	.rows = ref_rows,
	.row_stats = ref_row_stats,
};

const struct sk_backend sk_backend_ref = {
	.abi = SK_BACKEND_ABI,
	.size = sizeof(struct sk_backend),
	.name = "ref",
	.host_memory = true,
	.score = ref_score,
	.open = ref_open,
	.close = ref_close,
	.describe = ref_describe,
	.alloc = ref_alloc,
	.free = ref_free,
	.put = ref_copy,
	.get = ref_copy,
	.sync = ref_sync,
	.reserve = ref_reserve,
	.weight_bytes = ref_weight_bytes,
	.weight_open = ref_weight_open,
	.weight_close = ref_weight_close,
	.kv_bytes = ref_kv_bytes,
	.kv_open = ref_kv_open,
	.kv_close = ref_kv_close,
	.kv_copy = ref_kv_copy,
	.host_run = ref_host_run,
	.ops = &ref_ops,
};
