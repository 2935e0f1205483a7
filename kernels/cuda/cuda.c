/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The cuda backend's device: memory, one stream, the ring of what the host says, failures.
 *
 * Built twice: against CUDA's run-time library it is the module saker-cuda.so, against tests/emu the module
 * saker-cuda-emu.so, the same kernels without a GPU. SK_CUDA_NAME and SK_CUDA_SCORE are the makefile's.
 */
#include "kernels/cuda/cuda.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- failures ---- */

bool sk_cuda_ok(struct sk_dev *dev, cudaError_t e, const char *doing)
{
	if (e != cudaSuccess && dev->failed == cudaSuccess) {
		dev->failed = e;
		dev->failed_doing = doing;
	}
	return dev->failed == cudaSuccess;
}

sk_status sk_cuda_failure(const struct sk_dev *dev, struct sk_err *err)
{
	return sk_fail(err, SK_EDEVICE, "device " SK_CUDA_NAME ":%d (%s): %s: %s (%s)", dev->ordinal, dev->name, dev->failed_doing,
		       cudaGetErrorString(dev->failed), cudaGetErrorName(dev->failed));
}

/* Too little memory is not the device's failure: the caller tells what did not fit. */
static bool taken(struct sk_dev *dev, cudaError_t e)
{
	if (e == cudaSuccess)
		return true;
	cudaGetLastError();
	if (e != cudaErrorMemoryAllocation)
		sk_cuda_ok(dev, e, "taking memory");
	return false;
}

bool sk_cuda_take(struct sk_dev *dev, void **ret_p, size_t bytes)
{
	return taken(dev, cudaMalloc(ret_p, bytes ? bytes : 1));
}

bool sk_cuda_take_pinned(struct sk_dev *dev, void **ret_p, size_t bytes)
{
	return taken(dev, cudaMallocHost(ret_p, bytes));
}

sk_status sk_cuda_no_memory(const struct sk_dev *dev, struct sk_err *err, const char *form, ...)
{
	char words[256];
	va_list args;

	if (dev->failed != cudaSuccess)
		return sk_cuda_failure(dev, err);
	va_start(args, form);
	vsnprintf(words, sizeof words, form, args);
	va_end(args);
	return sk_fail(err, SK_ENOMEM, "device " SK_CUDA_NAME ":%d (%s): %s", dev->ordinal, dev->name, words);
}

static sk_status cuda_sync(struct sk_dev *dev, struct sk_err *err)
{
	sk_cuda_ok(dev, cudaGetLastError(), "a kernel's launch");
	sk_cuda_ok(dev, cudaStreamSynchronize(dev->stream), "the step");
	return dev->failed == cudaSuccess ? SK_OK : sk_cuda_failure(dev, err);
}

/* ---- open and close ---- */

static int cuda_score(char *why, size_t why_bytes)
{
	int n = 0;
	cudaError_t e = cudaGetDeviceCount(&n);

	if (e == cudaSuccess && n > 0)
		return SK_CUDA_SCORE;
	snprintf(why, why_bytes, "%s", e == cudaSuccess ? "there is no device" : cudaGetErrorString(e));
	cudaGetLastError();
	return 0;
}

static bool cuda_look(int ordinal, char *what, size_t what_bytes)
{
	struct cudaDeviceProp prop;
	int n = 0;

	if (cudaGetDeviceCount(&n) != cudaSuccess || ordinal < 0 || ordinal >= n ||
	    cudaGetDeviceProperties(&prop, ordinal) != cudaSuccess) {
		cudaGetLastError();
		return false;
	}
	snprintf(what, what_bytes, "%s (sm_%d%d, %zu MiB)", prop.name, prop.major, prop.minor, prop.totalGlobalMem >> 20);
	return true;
}

static bool cuda_memory(int ordinal, uint64_t *ret_free, uint64_t *ret_total)
{
	size_t left = 0, all = 0;

	if (cudaSetDevice(ordinal) != cudaSuccess || cudaMemGetInfo(&left, &all) != cudaSuccess) {
		cudaGetLastError();
		return false;
	}
	*ret_free = left;
	*ret_total = all;
	return true;
}

static void cuda_close(struct sk_dev **ret_dev)
{
	struct sk_dev *dev = *ret_dev;

	if (!dev)
		return;
	*ret_dev = NULL;
	cudaSetDevice(dev->ordinal);
	sk_cuda_load_end(dev);
	sk_cuda_graphs_drop(dev);
	sk_pool_close(&dev->pool);
	if (dev->stream)
		cudaStreamSynchronize(dev->stream);
	cudaFree(dev->room);
	cudaFree(dev->part);
	cudaFree(dev->ring);
	cudaFree(dev->stats_at);
	cudaFree(dev->stats_max);
	cudaFree(dev->stats_sum);
	cudaFreeHost(dev->ring_host);
	cudaFreeHost(dev->stats_host);
	if (dev->stream)
		cudaStreamDestroy(dev->stream);
	cudaGetLastError();
	free(dev);
}

static sk_status open_device(struct sk_dev *dev, struct sk_err *err)
{
	struct cudaDeviceProp prop;
	const size_t rows = SK_CUDA_STATS_ROWS;

	snprintf(dev->name, sizeof dev->name, "GPU");
	if (!sk_cuda_ok(dev, cudaSetDevice(dev->ordinal), "choosing the device") ||
	    !sk_cuda_ok(dev, cudaGetDeviceProperties(&prop, dev->ordinal), "asking for its properties"))
		return sk_cuda_failure(dev, err);
	snprintf(dev->name, sizeof dev->name, "%s", prop.name);
	dev->major = prop.major;
	dev->minor = prop.minor;
	dev->memory_bytes = prop.totalGlobalMem;
	if (!sk_cuda_ok(dev, cudaStreamCreateWithFlags(&dev->stream, cudaStreamNonBlocking), "making a stream") ||
	    !sk_cuda_ok(dev, cudaMalloc((void **)&dev->stats_at, rows * sizeof(int32_t)), "taking memory") ||
	    !sk_cuda_ok(dev, cudaMalloc((void **)&dev->stats_max, rows * sizeof(float)), "taking memory") ||
	    !sk_cuda_ok(dev, cudaMalloc((void **)&dev->stats_sum, rows * sizeof(float)), "taking memory") ||
	    !sk_cuda_ok(dev, cudaMallocHost(&dev->stats_host, rows * 12), "pinning memory"))
		return sk_cuda_failure(dev, err);
	return SK_OK;
}

static sk_status cuda_open(int ordinal, const struct sk_dev_opts *o, struct sk_dev **ret_dev, struct sk_err *err)
{
	struct sk_dev *dev;
	int n = 0;
	sk_status st;

	if (cudaGetDeviceCount(&n) != cudaSuccess || ordinal < 0 || ordinal >= n)
		return sk_fail(err, SK_ENOENT, "there is no %s device %d: the machine has %d", SK_CUDA_NAME, ordinal, n);
	dev = calloc(1, sizeof *dev);
	if (!dev)
		return sk_fail(err, SK_ENOMEM, "no memory for a device");
	dev->ordinal = ordinal;
	dev->threads = o->threads;
	/* Where there are no threads to be had the caller's does it all. */
	if (o->threads > 1)
		sk_pool_open(o->threads < SK_POOL_THREADS_MAX ? o->threads : SK_POOL_THREADS_MAX, o->no_step_down, &dev->pool, NULL);
	st = open_device(dev, err);
	if (st < 0) {
		cuda_close(&dev);
		return st;
	}
	*ret_dev = dev;
	return SK_OK;
}

static void cuda_describe(const struct sk_dev *dev, char *isa, size_t isa_bytes, char *device, size_t device_bytes)
{
	snprintf(isa, isa_bytes, "sm_%d%d", dev->major, dev->minor);
	snprintf(device, device_bytes, "%s, %" PRIu64 " MiB", dev->name, dev->memory_bytes >> 20);
}

/* ---- memory ---- */

static void *cuda_alloc(struct sk_dev *dev, size_t bytes)
{
	void *p = NULL;

	if (!sk_cuda_take(dev, &p, bytes))
		return NULL;
	sk_cuda_ok(dev, cudaMemsetAsync(p, 0, bytes ? bytes : 1, dev->stream), "clearing memory");
	return p;
}

static void cuda_free(struct sk_dev *dev, void *p)
{
	cudaFree(p);
}

/* From memory that may change at once: it waits. */
static void cuda_put(struct sk_dev *dev, void *to, const void *from, size_t bytes)
{
	if (bytes && sk_cuda_ok(dev, cudaMemcpyAsync(to, from, bytes, cudaMemcpyHostToDevice, dev->stream), "copying to the device"))
		sk_cuda_ok(dev, cudaStreamSynchronize(dev->stream), "copying to the device");
}

static void cuda_get(struct sk_dev *dev, void *to, const void *from, size_t bytes)
{
	if (bytes && sk_cuda_ok(dev, cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToHost, dev->stream), "copying from the device"))
		sk_cuda_ok(dev, cudaStreamSynchronize(dev->stream), "copying from the device");
}

/* What a step says at most: six numbers a token, seven a sequence, its two block tables, the rows of logits. */
static size_t step_len(const struct sk_dev_plan *p)
{
	size_t blocks = ((size_t)p->context_max + SK_KV_BLOCK - 1) / SK_KV_BLOCK;

	return 6 * (size_t)p->tokens_max + (size_t)p->sequences_max * (7 + 2 * blocks) + 64;
}

static size_t head_ld(int32_t head_width)
{
	return ((size_t)head_width + 7) & ~(size_t)7;
}

/* So many splits of tokens have a block of their own at once: all of a batch of generated tokens, within reason. */
static size_t pairs_max(const struct sk_dev_plan *p)
{
	size_t pairs = (size_t)p->sequences_max * (((size_t)p->context_max + SK_ATTEND_CHUNK - 1) / SK_ATTEND_CHUNK);

	return pairs < SK_CUDA_PAIRS_MAX ? pairs : SK_CUDA_PAIRS_MAX;
}

static sk_status cuda_reserve(struct sk_dev *dev, const struct sk_dev_plan *p, size_t *ret_bytes, struct sk_err *err)
{
	size_t ld = ((size_t)p->K_max + SK_GPU_K - 1) / SK_GPU_K * SK_GPU_K;
	size_t room = ((size_t)p->tokens_max + 3) * ld * sizeof(float), ring = 2 * step_len(p) * sizeof(int32_t);
	size_t part = pairs_max(p) * (size_t)p->heads * (head_ld(p->head_width) + 2) * sizeof(float);

	if (p->tokens_max < 1 || p->K_max < 1)
		return sk_fail(err, SK_EINVAL, "a plan for %d tokens of width %d", p->tokens_max, p->K_max);
	if (ret_bytes)
		*ret_bytes = room + ring + part;
	if (!dev)
		return SK_OK;
	sk_cuda_graphs_drop(dev);
	cudaFree(dev->room);
	cudaFree(dev->part);
	cudaFree(dev->ring);
	cudaFreeHost(dev->ring_host);
	dev->room = dev->part = NULL;
	dev->ring = dev->ring_host = NULL;
	if (!sk_cuda_take(dev, &dev->room, room) || !sk_cuda_take(dev, (void **)&dev->part, part) ||
	    !sk_cuda_take(dev, (void **)&dev->ring, ring) || !sk_cuda_take_pinned(dev, (void **)&dev->ring_host, ring))
		return sk_cuda_no_memory(dev, err, "no memory for %zu bytes of scratch: fewer max-batch-prefill-tokens or a smaller "
					 "max-total-tokens need less", room + ring + part);
	dev->plan = *p;
	dev->pairs_max = (int32_t)pairs_max(p);
	dev->step_len = step_len(p);
	dev->ring_len = 2 * dev->step_len;
	dev->ring_at = dev->step_first = dev->step_end = 0;
	return SK_OK;
}

/* ---- the ring ---- */

const int32_t *sk_cuda_upload(struct sk_dev *dev, const int32_t *from, size_t n)
{
	const int32_t *to;

	if (SK_BUG_IF(n > dev->ring_len))
		n = dev->ring_len;
	if (n > (dev->ring_at < dev->step_first ? dev->step_first : dev->ring_len) - dev->ring_at) {
		sk_cuda_ok(dev, cudaStreamSynchronize(dev->stream), "waiting for the ring");
		dev->ring_at = dev->ring_at >= dev->step_end && n <= dev->step_first ? 0 : dev->step_end;
		if (SK_BUG_IF(n > dev->ring_len - dev->ring_at))
			n = 0;
	}
	to = dev->ring + dev->ring_at;
	if (n) {
		memcpy(dev->ring_host + dev->ring_at, from, n * sizeof *from);
		sk_cuda_ok(dev, cudaMemcpyAsync((void *)(uintptr_t)to, dev->ring_host + dev->ring_at, n * sizeof *from,
						cudaMemcpyHostToDevice, dev->stream), "copying to the device");
	}
	dev->ring_at += n;
	return to;
}

static void cuda_host_run(struct sk_dev *dev, int32_t n, void (*fn)(void *arg, int32_t i, int worker), void *arg)
{
	sk_pool_each(dev->pool, n, fn, arg);
}

/* The module's one symbol. */
extern const struct sk_backend sk_backend_module;
const struct sk_backend sk_backend_module = {
	.abi = SK_BACKEND_ABI, .size = sizeof(struct sk_backend), .name = SK_CUDA_NAME,
	.host_memory = false,
	.score = cuda_score, .look = cuda_look, .memory = cuda_memory, .open = cuda_open, .close = cuda_close, .describe = cuda_describe,
	.alloc = cuda_alloc, .free = cuda_free, .put = cuda_put, .get = cuda_get, .sync = cuda_sync,
	.reserve = cuda_reserve,
	.weight_bytes = sk_cuda_weight_bytes, .weight_open = sk_cuda_weight_open, .weight_close = sk_cuda_weight_close,
	.kv_bytes = sk_cuda_kv_bytes, .kv_open = sk_cuda_kv_open, .kv_close = sk_cuda_kv_close, .kv_copy = sk_cuda_kv_copy,
	.host_run = cuda_host_run,
	.ops = &sk_cuda_ops,
};
