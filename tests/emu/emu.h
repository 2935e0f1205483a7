/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The core of the CUDA emulator: runs one block after another on the calling host thread, one fiber per CUDA thread.
 *
 * Kernels never include this file: they see gpu_words.h, which is built from what is declared here. Tests include it
 * for the knobs at its end. All state belongs to the host thread that launches, so several host threads (ranks) may
 * launch at the same time; only the knobs are shared by the process.
 */
#ifndef SK_TESTS_EMU_H
#define SK_TESTS_EMU_H

#include <stddef.h>
#include <stdint.h>

#if defined(__SANITIZE_ADDRESS__)
#define SK_EMU_ASAN 1
#endif
#if defined(__SANITIZE_THREAD__)
#define SK_EMU_TSAN 1
#endif
#if defined(__has_feature)
#if __has_feature(address_sanitizer) && !defined(SK_EMU_ASAN)
#define SK_EMU_ASAN 1
#endif
#if __has_feature(thread_sanitizer) && !defined(SK_EMU_TSAN)
#define SK_EMU_TSAN 1
#endif
#endif

/*
 * The emulator's own tables are touched by every fiber without any order that TSan knows of. Functions that touch
 * them are left out of its sight, so that what it reports is always the kernel's fault.
 */
#ifdef SK_EMU_TSAN
#define SK_EMU_QUIET __attribute__((no_sanitize("thread")))
#else
#define SK_EMU_QUIET
#endif

/* Who calls: the default arguments are evaluated where the kernel names the word, which is what reports print. */
#define SK_EMU_SITE const char *file = __builtin_FILE(), int line = __builtin_LINE()

/* The most dynamic shared memory one block may ask for, as on sm_90. */
#define SK_EMU_SMEM_MAX ((size_t)227 * 1024)

struct uint3 {
	unsigned x, y, z;
};

struct dim3 {
	unsigned x, y, z;
	constexpr dim3(unsigned x_ = 1, unsigned y_ = 1, unsigned z_ = 1) : x(x_), y(y_), z(z_)
	{
	}
	constexpr dim3(uint3 v) : x(v.x), y(v.y), z(v.z)
	{
	}
};

/* Where the running CUDA thread stands. The scheduler rewrites it at every switch. */
struct sk_emu_place {
	uint3 thread, block, block_dim, grid_dim;
	void *smem;
};

/* __thread and not thread_local: an extern thread_local costs a call of a wrapper at each use. */
extern __thread struct sk_emu_place sk_emu_place;

/* By value, so that a kernel under TSan never reads the shared place itself. */
static inline SK_EMU_QUIET uint3 sk_emu_thread_idx(void)
{
	return sk_emu_place.thread;
}

static inline SK_EMU_QUIET uint3 sk_emu_block_idx(void)
{
	return sk_emu_place.block;
}

static inline SK_EMU_QUIET dim3 sk_emu_block_dim(void)
{
	return sk_emu_place.block_dim;
}

static inline SK_EMU_QUIET dim3 sk_emu_grid_dim(void)
{
	return sk_emu_place.grid_dim;
}

static inline SK_EMU_QUIET void *sk_emu_smem(void)
{
	return sk_emu_place.smem;
}

enum sk_emu_result {
	SK_EMU_OK = 0,
	/* Grid, block or shared memory is beyond what a GPU takes; nothing ran. */
	SK_EMU_BAD_LAUNCH,
	/* A kernel broke a rule and the error handler returned; the blocks after it did not run. */
	SK_EMU_BROKEN,
};

/* Run all blocks of one launch, now. call(arg) is the kernel with its arguments, once per CUDA thread. */
enum sk_emu_result sk_emu_run(const char *name, dim3 grid, dim3 block, size_t smem_bytes, void (*call)(const void *),
			      const void *arg);

/* Stop the launch because a word was misused. Never returns into the kernel. */
[[noreturn]] void sk_emu_fault(const char *word, const char *file, int line, const char *what);

/* Park until all threads of the block are here; gives back whether any of them brought a nonzero value. */
int sk_emu_barrier(const char *word, const char *file, int line, int value);

/* Lane of the running thread, 0..31. */
unsigned sk_emu_lane(void);

/*
 * The three below park until all live lanes of the warp are here. Only sk_emu_warp_sync orders memory, as in CUDA.
 * A value asked from a lane that does not exist or has returned is all ones: a NaN, or -1.
 */
void sk_emu_warp_sync(const char *word, const char *file, int line);
uint64_t sk_emu_warp_shfl(const char *word, const char *file, int line, uint64_t value, unsigned from_lane);
/* The lanes whose pred is nonzero; *ret_live gets the lanes that took part. */
unsigned sk_emu_warp_ballot(const char *word, const char *file, int line, int pred, unsigned *ret_live);

/*
 * ldmatrix gives each lane parts of rows that other lanes name. Fills ret_rows[0..n) with the row that this lane
 * reads of each of n matrices, or ret_rows[0..2n) with two rows each when trans is set. All 32 lanes must come.
 */
void sk_emu_warp_rows(const char *word, const char *file, int line, const void *row, int n, bool trans,
		      const void **ret_rows);

enum sk_emu_mma {
	SK_EMU_MMA_16816_BF16,
	SK_EMU_MMA_16816_F16,
	SK_EMU_MMA_1688_F16,
};

/* c += a * b over the warp's fragments. All 32 lanes must come. k=8 uses a[0..1] and b[0] only. */
void sk_emu_warp_mma(const char *word, const char *file, int line, enum sk_emu_mma kind, float *c, const unsigned *a,
		     const unsigned *b);

/* One asynchronous copy of 16 bytes that its thread has not waited for. src NULL means zeros. */
struct sk_emu_copy {
	void *dst;
	const void *src;
	unsigned group;
};

void sk_emu_copy_add(void *dst, const void *src);
void sk_emu_copy_commit(void);
/* Take the oldest copy that is due when the newest `keep` committed groups may stay pending. False: none is due. */
bool sk_emu_copy_take(unsigned keep, struct sk_emu_copy *ret_copy);

/* Knobs of tests. */

enum sk_emu_order {
	SK_EMU_ALTERNATE = 0,
	SK_EMU_FORWARD = 1,
	SK_EMU_BACKWARD = 2,
};

/* In which order the threads of a block run: the default is forward in one block and backward in the next. */
void sk_emu_order(int order);

/*
 * Call this when a kernel breaks a rule; the text is on stderr already. NULL brings the default back: abort().
 * It runs on the host thread that launched. If it returns, the launch ends and its error is cudaErrorUnknown.
 */
void sk_emu_on_error(void (*handler)(const char *text));

/* In cudart.cpp: the n-th launch, copy or wait from now fails, and all after it. 0 heals the device. */
void sk_emu_fail_after(long n);

/* In cudart.cpp: bytes of device memory in use, over all devices. */
size_t sk_emu_memory_used(void);

#endif
