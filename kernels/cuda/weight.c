/* SPDX-License-Identifier: Apache-2.0 */
/* Weights (their rows come through load.c) and the KV pool in device memory. Layouts: launch.h. */
#include "kernels/cuda/cuda.h"

#include <stdlib.h>

/* ---- weights ---- */

static bool gpu_type(enum sk_dtype dtype, enum sk_gpu_type *ret_type, size_t *ret_bytes)
{
	switch (dtype) {
	case SK_F32:  *ret_type = SK_GPU_F32; *ret_bytes = 4; return true;
	case SK_F16:  *ret_type = SK_GPU_F16; *ret_bytes = 2; return true;
	case SK_BF16: *ret_type = SK_GPU_BF16; *ret_bytes = 2; return true;
	default:      return false;
	}
}

static int64_t round_up(int64_t n, int64_t to)
{
	return (n + to - 1) / to * to;
}

/* Rows in memory. A GLU's halves are rounded up to the turn they take. */
static int64_t rows_of(int64_t N, enum sk_weight_join join)
{
	return round_up(join == SK_JOIN_GLU ? 2 * round_up(N / 2, SK_GPU_GLU) : N, SK_GPU_N);
}

size_t sk_cuda_weight_bytes(enum sk_dtype dtype, int64_t N, int64_t K)
{
	enum sk_gpu_type type;
	size_t bytes;

	if (!gpu_type(dtype, &type, &bytes) || N <= 0 || K <= 0 || N > INT32_MAX - 2 * SK_GPU_N || K > INT32_MAX - SK_GPU_K)
		return 0;
	return (size_t)rows_of(N, SK_JOIN_STACK) * (size_t)round_up(K, SK_GPU_K) * bytes;
}

void sk_cuda_weight_close(struct sk_dev *dev, struct sk_weight **w)
{
	struct sk_cuda_weight *cw = (struct sk_cuda_weight *)*w;

	if (!cw)
		return;
	cudaFree(cw->data);
	free(cw);
	*w = NULL;
}

static sk_status weight_check(const struct sk_weight_src *src, int src_len, enum sk_weight_join join, int64_t *ret_N,
			      struct sk_err *err)
{
	int64_t N = 0;

	if (src_len < 1 || (join == SK_JOIN_GLU && (src_len != 2 || src[0].N != src[1].N)))
		return sk_fail(err, SK_EINVAL, "weight of %d sources: a GLU has two of equal shape, a stack at least one", src_len);
	for (int i = 0; i < src_len; i++) {
		enum sk_gpu_type type;
		size_t bytes;

		if (src[i].dtype != src[0].dtype || src[i].K != src[0].K)
			return sk_fail(err, SK_ENOTSUP, "weights of different types or widths cannot be joined");
		if (!gpu_type(src[i].dtype, &type, &bytes) || src[i].N <= 0 || src[i].K <= 0 ||
		    src[i].row_bytes < (size_t)src[i].K * bytes ||
		    (size_t)round_up(src[i].K, SK_GPU_K) * bytes > SK_CUDA_PIECE_BYTES)
			return sk_fail(err, SK_ENOTSUP, "weight [%d, %d] of type %d, rows of %zu bytes: the %s backend holds F32, F16 and "
				       "BF16", src[i].N, src[i].K, (int)src[i].dtype, src[i].row_bytes, SK_CUDA_NAME);
		N += src[i].N;
	}
	if (N > INT32_MAX - 2 * SK_GPU_N)
		return sk_fail(err, SK_ETOOBIG, "weight of %lld rows, the limit is %d", (long long)N, INT32_MAX - 2 * SK_GPU_N);
	*ret_N = N;
	return SK_OK;
}

sk_status sk_cuda_weight_open(struct sk_dev *dev, const struct sk_weight_src *src, int src_len, enum sk_weight_join join,
			      struct sk_weight **ret_w, struct sk_err *err)
{
	struct sk_cuda_weight *cw;
	int64_t N = 0;
	size_t element = 0, bytes;
	sk_status st = weight_check(src, src_len, join, &N, err);

	if (st < 0)
		return st;
	cw = calloc(1, sizeof *cw);
	if (!cw)
		return sk_fail(err, SK_ENOMEM, "out of memory");
	gpu_type(src[0].dtype, &cw->type, &element);
	cw->ld = round_up(src[0].K, SK_GPU_K);
	bytes = (size_t)rows_of(N, join) * (size_t)cw->ld * element;
	cw->base = (struct sk_weight){ .dtype = src[0].dtype, .N = (int32_t)N, .K = src[0].K, .join = join, .bytes = bytes };
	if (!sk_cuda_load_begin(dev) || !sk_cuda_take(dev, &cw->data, bytes)) {
		size_t left = 0, all = 0;

		cudaMemGetInfo(&left, &all);
		st = sk_cuda_no_memory(dev, err, "a weight of %zu bytes does not fit, %zu of %zu are free: a smaller kv-memory leaves "
				       "more for weights", bytes, left, all);
		free(cw);
		return st;
	}
	sk_cuda_load_rows(dev, &(struct sk_cuda_rows){ .to = cw->data, .row_bytes = (size_t)cw->ld * element,
		.used_bytes = (size_t)src[0].K * element, .rows = rows_of(N, join), .src = src, .src_len = src_len, .join = join });
	if (dev->failed != cudaSuccess) {
		struct sk_weight *w = &cw->base;

		sk_cuda_weight_close(dev, &w);
		return sk_cuda_failure(dev, err);
	}
	*ret_w = &cw->base;
	return SK_OK;
}

/* ---- the KV pool ---- */

static size_t block_bytes(const struct sk_kv_spec *s)
{
	return (size_t)s->kv_heads * SK_KV_BLOCK * (((size_t)s->head_width + 7) & ~(size_t)7) * (s->dtype == SK_BF16 ? 2 : 4);
}

size_t sk_cuda_kv_bytes(const struct sk_kv_spec *s)
{
	return 2 * (size_t)s->layers * (size_t)s->blocks * block_bytes(s);
}

void sk_cuda_kv_close(struct sk_dev *dev, struct sk_kv **kv)
{
	if (!*kv)
		return;
	cudaFree((*kv)->pool.k);
	free(*kv);
	*kv = NULL;
}

sk_status sk_cuda_kv_open(struct sk_dev *dev, const struct sk_kv_spec *s, struct sk_kv **ret_kv, struct sk_err *err)
{
	size_t bytes = sk_cuda_kv_bytes(s);
	struct sk_kv *kv;

	if (s->dtype != SK_F32 && s->dtype != SK_BF16)
		return sk_fail(err, SK_ENOTSUP, "KV of type %d: only float32 and bfloat16 are supported", (int)s->dtype);
	if (s->layers < 1 || s->kv_heads < 1 || s->head_width < 1 || s->head_width > 256 || s->blocks < 1)
		return sk_fail(err, SK_EINVAL, "KV pool of %d layers, %d heads of %d, %d blocks: each must be positive, heads at most 256 "
			       "wide", s->layers, s->kv_heads, s->head_width, s->blocks);
	kv = calloc(1, sizeof *kv);
	if (!kv || !sk_cuda_take(dev, &kv->pool.k, bytes)) {
		free(kv);
		return sk_cuda_no_memory(dev, err, "no memory for a KV pool of %zu bytes: give a smaller kv-memory", bytes);
	}
	/* Zeros behind head_width are read, and must be numbers. */
	sk_cuda_ok(dev, cudaMemsetAsync(kv->pool.k, 0, bytes, dev->stream), "clearing the KV pool");
	kv->spec = *s;
	kv->pool = (struct sk_gpu_pool){ .k = kv->pool.k, .v = (unsigned char *)kv->pool.k + bytes / 2, .blocks = s->blocks,
					 .kv_heads = s->kv_heads, .head_width = s->head_width, .ld = (s->head_width + 7) & ~7,
					 .type = s->dtype == SK_BF16 ? SK_GPU_BF16 : SK_GPU_F32 };
	*ret_kv = kv;
	return SK_OK;
}

void sk_cuda_kv_copy(struct sk_dev *dev, struct sk_kv *kv, int32_t from_block, int32_t to_block)
{
	size_t bytes = block_bytes(&kv->spec);

	if (from_block == to_block)
		return;
	for (int32_t l = 0; l < kv->spec.layers; l++) {
		size_t from = ((size_t)l * (size_t)kv->spec.blocks + (size_t)from_block) * bytes;
		size_t to = ((size_t)l * (size_t)kv->spec.blocks + (size_t)to_block) * bytes;

		sk_cuda_ok(dev, cudaMemcpyAsync((unsigned char *)kv->pool.k + to, (unsigned char *)kv->pool.k + from, bytes,
						cudaMemcpyDeviceToDevice, dev->stream), "copying a block");
		sk_cuda_ok(dev, cudaMemcpyAsync((unsigned char *)kv->pool.v + to, (unsigned char *)kv->pool.v + from, bytes,
						cudaMemcpyDeviceToDevice, dev->stream), "copying a block");
	}
}
