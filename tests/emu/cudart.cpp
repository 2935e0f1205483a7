/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The fake CUDA runtime: memory, streams, events, graphs and errors around the emulator's core. It runs what it is
 * given at once, or records it while the stream captures. One mutex guards what devices share; the last error and the
 * current device belong to the host thread, as in CUDA; a stream belongs to the host thread that uses it.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <map>
#include <memory>
#include <mutex>
#include <new>
#include <set>
#include <vector>
#include "cuda_runtime_api.h"
#include "gpu_words.h"

#define DEVICES_MAX 64

typedef std::function<cudaError_t()> operation;

/* What a capture has recorded so far. Streams that joined it and its graphs hold it too. */
struct capture {
	std::vector<operation> operations;
	bool over = false;
};

struct CUstream_st {
	std::vector<operation> late; /* under the lock: copies from page-locked memory, which is read when somebody waits */
	std::shared_ptr<struct capture> capture;
	bool origin = false; /* it began the capture, rather than joined it */
};

struct CUevent_st {
	double ms = 0;
	bool timing = true;
	std::shared_ptr<struct capture> capture; /* the one it was last recorded in */
	cudaStream_t stream = nullptr;
};

struct CUgraph_st {
	std::shared_ptr<struct capture> capture;
};

struct CUgraphExec_st {
	std::shared_ptr<struct capture> capture;
};

struct allocation {
	size_t bytes;
	int device; /* -1: page-locked host memory */
};

static std::mutex lock;
/* Under the lock. Keys are addresses. */
static std::map<uintptr_t, struct allocation> allocations;
static size_t used_bytes[DEVICES_MAX];
static std::set<cudaStream_t> streams;
static bool fail_known;
static long fail_left; /* 0: healthy for ever */
static bool fail_now;
static const char *fail_path; /* NULL: none */
static cudaError_t fail_how = cudaErrorIllegalAddress;
static bool fail_hangs;

/* So much of a piece is poisoned: a pool of KV blocks is large, and mostly never touched. */
static const size_t poison_bytes_max = 1 << 20;

static thread_local cudaError_t last_error = cudaSuccess;
static thread_local int current_device;

static const struct {
	cudaError_t error;
	const char *name, *text;
} errors[] = {
	{ cudaSuccess, "cudaSuccess", "no error" },
	{ cudaErrorInvalidValue, "cudaErrorInvalidValue", "invalid argument" },
	{ cudaErrorMemoryAllocation, "cudaErrorMemoryAllocation", "out of memory" },
	{ cudaErrorInitializationError, "cudaErrorInitializationError", "initialization error" },
	{ cudaErrorInvalidConfiguration, "cudaErrorInvalidConfiguration", "invalid configuration argument" },
	{ cudaErrorInsufficientDriver, "cudaErrorInsufficientDriver", "the driver is too old for this runtime" },
	{ cudaErrorNoDevice, "cudaErrorNoDevice", "no CUDA-capable device is detected" },
	{ cudaErrorInvalidDevice, "cudaErrorInvalidDevice", "invalid device ordinal" },
	{ cudaErrorInvalidResourceHandle, "cudaErrorInvalidResourceHandle", "invalid resource handle" },
	{ cudaErrorNotReady, "cudaErrorNotReady", "device not ready" },
	{ cudaErrorIllegalAddress, "cudaErrorIllegalAddress", "an illegal memory access was encountered" },
	{ cudaErrorLaunchFailure, "cudaErrorLaunchFailure", "unspecified launch failure" },
	{ cudaErrorStreamCaptureUnsupported, "cudaErrorStreamCaptureUnsupported",
	  "operation not permitted when stream is capturing" },
	{ cudaErrorUnknown, "cudaErrorUnknown", "unknown error" },
};

static cudaError_t fail(cudaError_t error)
{
	if (error != cudaSuccess)
		last_error = error;
	return error;
}

static void fail_read_environment(void)
{
	const char *text = getenv("SK_EMU_FAIL_AFTER");

	if (!fail_known && text)
		fail_left = atol(text);
	if (!fail_known) {
		const char *how = getenv("SK_EMU_FAIL");

		fail_path = getenv("SK_EMU_FAIL_WHEN");
		fail_hangs = how && !strcmp(how, "hang");
		if (how && !strcmp(how, "memory"))
			fail_how = cudaErrorMemoryAllocation;
		if (how && !strcmp(how, "lost"))
			fail_how = cudaErrorLaunchFailure;
	}
	fail_known = true;
}

/* The state of the device: a fault stays, whatever is asked. */
static cudaError_t device_state(void)
{
	std::lock_guard<std::mutex> guard(lock);

	return fail(fail_now ? fail_how : cudaSuccess);
}

/* As above, for what counts as work: launches, copies and waits. */
static cudaError_t device_work(void)
{
	std::lock_guard<std::mutex> guard(lock);

	fail_read_environment();
	if (fail_left > 0 && --fail_left == 0)
		fail_now = true;
	if (fail_path && access(fail_path, F_OK) == 0)
		fail_now = true;
	while (fail_now && fail_hangs)
		pause(); /* with the lock: nobody else comes through either */
	return fail(fail_now ? fail_how : cudaSuccess);
}

void sk_emu_fail_after(long n)
{
	std::lock_guard<std::mutex> guard(lock);

	fail_known = true;
	fail_left = n;
	fail_now = false;
	fail_how = cudaErrorIllegalAddress;
	fail_path = NULL;
	last_error = cudaSuccess;
}

size_t sk_emu_memory_used(void)
{
	std::lock_guard<std::mutex> guard(lock);
	size_t sum = 0;

	for (size_t bytes : used_bytes)
		sum += bytes;
	return sum;
}

const char *cudaGetErrorName(cudaError_t error)
{
	for (const auto &e : errors)
		if (e.error == error)
			return e.name;
	return "unrecognized error code";
}

const char *cudaGetErrorString(cudaError_t error)
{
	for (const auto &e : errors)
		if (e.error == error)
			return e.text;
	return "unrecognized error code";
}

cudaError_t cudaPeekAtLastError(void)
{
	device_state();
	return last_error;
}

cudaError_t cudaGetLastError(void)
{
	cudaError_t error = cudaPeekAtLastError();

	last_error = cudaSuccess;
	return error;
}

/* Devices. */

static int device_count(void)
{
	const char *text = getenv("SK_EMU_DEVICES");
	int n = text ? atoi(text) : 1;

	return n < 0 ? 0 : n > DEVICES_MAX ? DEVICES_MAX : n;
}

static size_t memory_max(void)
{
	const char *text = getenv("SK_EMU_MEMORY_BYTES");

	return text ? (size_t)strtoull(text, NULL, 10) : (size_t)1 << 30;
}

cudaError_t cudaRuntimeGetVersion(int *ret_version)
{
	*ret_version = CUDART_VERSION;
	return cudaSuccess;
}

cudaError_t cudaDriverGetVersion(int *ret_version)
{
	*ret_version = CUDART_VERSION;
	return cudaSuccess;
}

cudaError_t cudaGetDeviceCount(int *ret_count)
{
	*ret_count = device_count();
	return fail(*ret_count ? cudaSuccess : cudaErrorNoDevice);
}

static cudaError_t device_check(int device)
{
	if (device_count() == 0)
		return fail(cudaErrorNoDevice);
	return fail(device >= 0 && device < device_count() ? cudaSuccess : cudaErrorInvalidDevice);
}

cudaError_t cudaSetDevice(int device)
{
	cudaError_t error = device_check(device);

	if (error == cudaSuccess)
		current_device = device;
	return error;
}

cudaError_t cudaGetDevice(int *ret_device)
{
	*ret_device = current_device;
	return device_check(current_device);
}

cudaError_t cudaDeviceGetAttribute(int *ret_value, enum cudaDeviceAttr attr, int device)
{
	static const struct {
		enum cudaDeviceAttr attr;
		int value;
	} values[] = {
		{ cudaDevAttrMaxThreadsPerBlock, 1024 },
		{ cudaDevAttrMaxSharedMemoryPerBlock, 49152 },
		{ cudaDevAttrWarpSize, 32 },
		{ cudaDevAttrMultiProcessorCount, 4 },
		{ cudaDevAttrL2CacheSize, 4 << 20 },
		{ cudaDevAttrComputeCapabilityMajor, 8 },
		{ cudaDevAttrComputeCapabilityMinor, 0 },
		{ cudaDevAttrMaxSharedMemoryPerMultiprocessor, 233472 },
		{ cudaDevAttrMaxSharedMemoryPerBlockOptin, (int)SK_EMU_SMEM_MAX },
	};
	cudaError_t error = device_check(device);

	if (error != cudaSuccess)
		return error;
	for (const auto &v : values)
		if (v.attr == attr) {
			*ret_value = v.value;
			return cudaSuccess;
		}
	return fail(cudaErrorInvalidValue);
}

cudaError_t cudaGetDeviceProperties(struct cudaDeviceProp *ret_prop, int device)
{
	cudaError_t error = device_check(device);

	if (error != cudaSuccess)
		return error;
	*ret_prop = cudaDeviceProp();
	snprintf(ret_prop->name, sizeof ret_prop->name, "saker CUDA emulator");
	ret_prop->totalGlobalMem = memory_max();
	ret_prop->sharedMemPerBlock = 49152;
	ret_prop->sharedMemPerBlockOptin = SK_EMU_SMEM_MAX;
	ret_prop->major = 8;
	ret_prop->minor = 0;
	ret_prop->multiProcessorCount = 4;
	ret_prop->l2CacheSize = 4 << 20;
	ret_prop->warpSize = 32;
	ret_prop->maxThreadsPerBlock = 1024;
	return cudaSuccess;
}

static cudaError_t all_catch_up(void);

cudaError_t cudaDeviceSynchronize(void)
{
	cudaError_t error = all_catch_up();

	return error != cudaSuccess ? error : device_work();
}

/* Memory. */

/* Under ASan the byte after the last one is out of bounds: the size is not rounded up. */
static cudaError_t memory_take(void **ret_ptr, size_t bytes, int device)
{
	void *ptr;

	if (posix_memalign(&ptr, 256, bytes) != 0)
		return fail(cudaErrorMemoryAllocation);
	memset(ptr, 0xFF, bytes < poison_bytes_max ? bytes : poison_bytes_max);
	allocations[(uintptr_t)ptr] = allocation{ bytes, device };
	*ret_ptr = ptr;
	return cudaSuccess;
}

static cudaError_t memory_put(void *ptr, bool on_device)
{
	std::lock_guard<std::mutex> guard(lock);
	auto it = allocations.find((uintptr_t)ptr);

	if (it == allocations.end() || (it->second.device >= 0) != on_device)
		return fail(cudaErrorInvalidValue);
	if (on_device)
		used_bytes[it->second.device] -= it->second.bytes;
	allocations.erase(it);
	free(ptr);
	return cudaSuccess;
}

cudaError_t cudaMalloc(void **ret_ptr, size_t bytes)
{
	cudaError_t error = device_state();

	if (error == cudaSuccess)
		error = device_check(current_device);
	if (error != cudaSuccess)
		return error;
	*ret_ptr = NULL;
	if (bytes == 0)
		return cudaSuccess;
	std::lock_guard<std::mutex> guard(lock);
	if (used_bytes[current_device] > memory_max() || bytes > memory_max() - used_bytes[current_device])
		return fail(cudaErrorMemoryAllocation);
	error = memory_take(ret_ptr, bytes, current_device);
	if (error == cudaSuccess)
		used_bytes[current_device] += bytes;
	return error;
}

/* What the stream has put off, in order; the first error of it. */
static cudaError_t stream_catch_up(cudaStream_t stream)
{
	std::vector<operation> late;
	cudaError_t first = cudaSuccess;

	{
		std::lock_guard<std::mutex> guard(lock);

		if (streams.count(stream))
			late.swap(stream->late);
	}
	for (const operation &op : late) {
		cudaError_t error = op();

		if (first == cudaSuccess)
			first = error;
	}
	return first;
}

static cudaError_t all_catch_up(void)
{
	std::set<cudaStream_t> all;
	cudaError_t first = cudaSuccess;

	{
		std::lock_guard<std::mutex> guard(lock);

		all = streams;
	}
	for (cudaStream_t s : all) {
		cudaError_t error = stream_catch_up(s);

		if (first == cudaSuccess)
			first = error;
	}
	return first;
}

cudaError_t cudaFree(void *ptr)
{
	all_catch_up();
	cudaError_t error = ptr ? memory_put(ptr, true) : cudaSuccess;

	return error != cudaSuccess ? error : device_state();
}

cudaError_t cudaHostAlloc(void **ret_ptr, size_t bytes, unsigned)
{
	cudaError_t error = device_state();

	if (error != cudaSuccess)
		return error;
	*ret_ptr = NULL;
	if (bytes == 0)
		return cudaSuccess;
	std::lock_guard<std::mutex> guard(lock);
	return memory_take(ret_ptr, bytes, -1);
}

cudaError_t cudaMallocHost(void **ret_ptr, size_t bytes)
{
	return cudaHostAlloc(ret_ptr, bytes, cudaHostAllocDefault);
}

cudaError_t cudaFreeHost(void *ptr)
{
	all_catch_up();
	cudaError_t error = ptr ? memory_put(ptr, false) : cudaSuccess;

	return error != cudaSuccess ? error : device_state();
}

cudaError_t cudaMemGetInfo(size_t *ret_free, size_t *ret_total)
{
	std::lock_guard<std::mutex> guard(lock);
	size_t total = memory_max();

	*ret_total = total;
	*ret_free = total > used_bytes[current_device] ? total - used_bytes[current_device] : 0;
	return cudaSuccess;
}

enum side {
	ANY_SIDE,
	HOST_SIDE,
	DEVICE_SIDE,
};

/* Does [ptr, ptr + bytes) lie where it should: inside one device allocation, or outside of all? */
static bool range_good(const void *ptr, size_t bytes, enum side side)
{
	std::lock_guard<std::mutex> guard(lock);
	uintptr_t at = (uintptr_t)ptr;
	auto it = allocations.upper_bound(at);

	if (it == allocations.begin() || at >= std::prev(it)->first + std::prev(it)->second.bytes)
		return side != DEVICE_SIDE;
	--it;
	if (side != ANY_SIDE && (it->second.device >= 0) != (side == DEVICE_SIDE))
		return false;
	return bytes <= it->second.bytes - (at - it->first);
}

static bool page_locked(const void *ptr)
{
	std::lock_guard<std::mutex> guard(lock);
	auto it = allocations.upper_bound((uintptr_t)ptr);

	return it != allocations.begin() && (--it)->second.device < 0 && (uintptr_t)ptr < it->first + it->second.bytes;
}

static bool stream_captures(cudaStream_t stream)
{
	return stream && stream->capture && !stream->capture->over;
}

/* Do the work now, or let the stream's capture have it. */
static cudaError_t stream_do(cudaStream_t stream, const operation &op)
{
	cudaError_t error = stream_catch_up(stream);

	if (error != cudaSuccess)
		return error;
	if (!stream || !stream->capture || stream->capture->over)
		return op();
	stream->capture->operations.push_back(op);
	return cudaSuccess;
}

cudaError_t cudaMemcpyAsync(void *dst, const void *src, size_t bytes, enum cudaMemcpyKind kind, cudaStream_t stream)
{
	static const enum side to[] = { HOST_SIDE, DEVICE_SIDE, HOST_SIDE, DEVICE_SIDE, ANY_SIDE };
	static const enum side from[] = { HOST_SIDE, HOST_SIDE, DEVICE_SIDE, DEVICE_SIDE, ANY_SIDE };

	if ((unsigned)kind > cudaMemcpyDefault)
		return fail(cudaErrorInvalidValue);
	if (bytes && (!range_good(dst, bytes, to[kind]) || !range_good(src, bytes, from[kind])))
		return fail(cudaErrorInvalidValue);
	operation copy = [=] {
		cudaError_t error = device_work();

		if (error == cudaSuccess && bytes)
			memmove(dst, src, bytes);
		return error;
	};

	if (!bytes || kind != cudaMemcpyHostToDevice || !stream || stream_captures(stream) || !page_locked(src))
		return stream_do(stream, copy);
	std::lock_guard<std::mutex> guard(lock);
	stream->late.push_back(copy);
	return cudaSuccess;
}

cudaError_t cudaMemcpy(void *dst, const void *src, size_t bytes, enum cudaMemcpyKind kind)
{
	return cudaMemcpyAsync(dst, src, bytes, kind, NULL);
}

cudaError_t cudaMemsetAsync(void *dst, int value, size_t bytes, cudaStream_t stream)
{
	if (bytes && !range_good(dst, bytes, DEVICE_SIDE))
		return fail(cudaErrorInvalidValue);
	return stream_do(stream, [=] {
		cudaError_t error = device_work();

		if (error == cudaSuccess && bytes)
			memset(dst, value, bytes);
		return error;
	});
}

cudaError_t cudaMemset(void *dst, int value, size_t bytes)
{
	return cudaMemsetAsync(dst, value, bytes, NULL);
}

/* Streams and events. */

cudaError_t cudaStreamCreateWithFlags(cudaStream_t *ret_stream, unsigned)
{
	cudaError_t error = device_state();

	if (error == cudaSuccess)
		error = device_check(current_device);
	if (error != cudaSuccess)
		return error;
	*ret_stream = new CUstream_st;
	std::lock_guard<std::mutex> guard(lock);
	streams.insert(*ret_stream);
	return cudaSuccess;
}

cudaError_t cudaStreamCreate(cudaStream_t *ret_stream)
{
	return cudaStreamCreateWithFlags(ret_stream, cudaStreamDefault);
}

cudaError_t cudaStreamDestroy(cudaStream_t stream)
{
	if (!stream)
		return fail(cudaErrorInvalidResourceHandle);
	stream_catch_up(stream);
	{
		std::lock_guard<std::mutex> guard(lock);

		streams.erase(stream);
	}
	delete stream;
	return cudaSuccess;
}

/* What was put off, and then the device's own answer. */
static cudaError_t stream_wait(cudaStream_t stream)
{
	cudaError_t error = stream_catch_up(stream);

	return error != cudaSuccess ? error : device_work();
}

cudaError_t cudaStreamSynchronize(cudaStream_t stream)
{
	return stream_captures(stream) ? fail(cudaErrorStreamCaptureUnsupported) : stream_wait(stream);
}

cudaError_t cudaStreamQuery(cudaStream_t stream)
{
	return stream_captures(stream) ? fail(cudaErrorStreamCaptureUnsupported) : device_state();
}

cudaError_t cudaEventCreateWithFlags(cudaEvent_t *ret_event, unsigned flags)
{
	cudaError_t error = device_state();

	if (error != cudaSuccess)
		return error;
	*ret_event = new CUevent_st;
	(*ret_event)->timing = !(flags & cudaEventDisableTiming);
	return cudaSuccess;
}

cudaError_t cudaEventCreate(cudaEvent_t *ret_event)
{
	return cudaEventCreateWithFlags(ret_event, cudaEventDefault);
}

cudaError_t cudaEventDestroy(cudaEvent_t event)
{
	if (!event)
		return fail(cudaErrorInvalidResourceHandle);
	delete event;
	return cudaSuccess;
}

cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream)
{
	struct timespec ts;

	event->stream = stream;
	event->capture = stream_captures(stream) ? stream->capture : nullptr;
	if (event->capture)
		return cudaSuccess;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	event->ms = (double)ts.tv_sec * 1e3 + (double)ts.tv_nsec * 1e-6;
	return device_state();
}

cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned)
{
	cudaError_t error = stream_catch_up(event->stream);

	if (error != cudaSuccess)
		return error;
	if (event->capture && !event->capture->over && !stream_captures(stream)) {
		if (!stream)
			return fail(cudaErrorStreamCaptureUnsupported);
		stream->capture = event->capture;
		stream->origin = false;
	}
	return device_state();
}

cudaError_t cudaEventQuery(cudaEvent_t event)
{
	return event->capture ? fail(cudaErrorStreamCaptureUnsupported) : device_state();
}

cudaError_t cudaEventSynchronize(cudaEvent_t event)
{
	return event->capture ? fail(cudaErrorStreamCaptureUnsupported) : stream_wait(event->stream);
}

cudaError_t cudaEventElapsedTime(float *ret_ms, cudaEvent_t start, cudaEvent_t end)
{
	if (!start->timing || !end->timing || start->ms == 0 || end->ms == 0)
		return fail(cudaErrorInvalidResourceHandle);
	*ret_ms = (float)(end->ms - start->ms);
	return device_state();
}

/* Graphs. */

cudaError_t cudaStreamBeginCapture(cudaStream_t stream, enum cudaStreamCaptureMode)
{
	if (!stream || stream_captures(stream))
		return fail(cudaErrorStreamCaptureUnsupported);
	stream->capture = std::make_shared<struct capture>();
	stream->origin = true;
	return device_state();
}

cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t *ret_graph)
{
	if (!stream_captures(stream) || !stream->origin)
		return fail(cudaErrorInvalidValue);
	stream->capture->over = true;
	*ret_graph = new CUgraph_st{ stream->capture };
	stream->capture = nullptr;
	return device_state();
}

cudaError_t cudaGraphInstantiate(cudaGraphExec_t *ret_exec, cudaGraph_t graph, unsigned long long)
{
	if (!graph)
		return fail(cudaErrorInvalidValue);
	*ret_exec = new CUgraphExec_st{ graph->capture };
	return device_state();
}

cudaError_t cudaGraphLaunch(cudaGraphExec_t exec, cudaStream_t stream)
{
	std::shared_ptr<struct capture> recorded;

	if (!exec)
		return fail(cudaErrorInvalidValue);
	recorded = exec->capture;
	return stream_do(stream, [=] {
		for (const operation &op : recorded->operations) {
			cudaError_t error = op();

			if (error != cudaSuccess)
				return error;
		}
		return cudaSuccess;
	});
}

cudaError_t cudaGraphExecDestroy(cudaGraphExec_t exec)
{
	if (!exec)
		return fail(cudaErrorInvalidValue);
	delete exec;
	return cudaSuccess;
}

cudaError_t cudaGraphDestroy(cudaGraph_t graph)
{
	if (!graph)
		return fail(cudaErrorInvalidValue);
	delete graph;
	return cudaSuccess;
}

/* Launches: errors wait in the last error, as <<<>>> leaves them. */

void sk_emu_launch(cudaStream_t stream, const std::function<enum sk_emu_result()> &run)
{
	stream_do(stream, [=] {
		cudaError_t error = device_work();

		if (error != cudaSuccess)
			return error;
		switch (run()) {
		case SK_EMU_OK:
			return cudaSuccess;
		case SK_EMU_BAD_LAUNCH:
			return fail(cudaErrorInvalidValue);
		default:
			return fail(cudaErrorUnknown);
		}
	});
}

void sk_emu_smem_limit(size_t bytes)
{
	if (bytes > SK_EMU_SMEM_MAX)
		fail(cudaErrorInvalidValue);
}
