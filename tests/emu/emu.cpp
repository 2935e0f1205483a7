/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fibers, barriers and warp meetings of the CUDA emulator.
 *
 * A worker is a stack with a context. A CUDA thread takes a worker when it first runs and keeps it while it is
 * parked; a thread that ends without parking hands its worker straight to the next thread, so kernels without
 * barriers cost no switches. Under TSan each thread has a worker for itself: TSan takes two threads on one fiber for
 * one thread, and would see no race between them. Nothing here knows of streams or errors of the runtime: that is
 * cudart.cpp.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>
#include <atomic>
#include "gpu_words.h"

#if !defined(__x86_64__) && !defined(SK_EMU_UCONTEXT)
#define SK_EMU_UCONTEXT 1
#endif
#ifdef SK_EMU_UCONTEXT
#include <ucontext.h>
#endif
#ifdef SK_EMU_ASAN
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif
#ifdef SK_EMU_TSAN
#include <sanitizer/tsan_interface.h>
#endif

#define THREADS_MAX 1024
#define WARP 32

#if defined(SK_EMU_ASAN) || defined(SK_EMU_TSAN)
#define STACK_BYTES ((size_t)256 * 1024)
#else
#define STACK_BYTES ((size_t)64 * 1024)
#endif

__thread struct sk_emu_place sk_emu_place;

static std::atomic<int> order_wanted{ SK_EMU_ALTERNATE };
static std::atomic<void (*)(const char *)> error_handler{ nullptr };

struct context {
#ifdef SK_EMU_UCONTEXT
	ucontext_t uc;
#else
	void *sp;
#endif
	const void *stack; /* lowest byte, for ASan */
	size_t stack_bytes;
	void *fake; /* ASan's fake stack while switched away */
	void *fiber; /* TSan's handle */
};

struct thread;

struct worker {
	struct context context; /* first, so that a context is its worker */
	struct thread *thread;
	struct worker *next_idle;
	struct worker *next; /* of all workers */
	void *map;
	size_t map_bytes;
};

enum thread_state {
	READY,
	AT_BARRIER,
	AT_WARP_WORD,
	RETURNED,
};

struct thread {
	uint3 idx;
	unsigned number;
	enum thread_state state;
	const char *word, *file; /* what it waits for */
	int line;
	struct worker *worker;
	struct thread *next; /* of the ready ones */
	struct sk_emu_copy *copies;
	unsigned copies_head, copies_len, copies_max;
	unsigned group; /* copy groups committed */
};

/*
 * What the lanes bring to one warp word. A fast lane may arrive at the next word before a slow one has read this one,
 * but never at the one after: so two tables, used in turn, are enough. The same holds for TSan's sync addresses.
 */
struct table {
	uint64_t slot[WARP][3];
	unsigned live;
	float a[16][16], b[8][16]; /* decoded once by the last lane to arrive */
	char sync;
};

struct warp {
	unsigned waiting, live, turn;
	bool needs_all;
	struct table table[2];
};

struct emu {
	struct context main;
	struct context *now, *before;
	struct worker *workers, *idle;
	unsigned workers_len;

	const char *name;
	void (*call)(const void *);
	const void *arg;
	bool backward;
	uint64_t blocks_run;

	struct thread *thread; /* the running one */
	struct thread *ready, *ready_last;
	unsigned threads_len, live, at_barrier, turn;
	int value[2]; /* OR over __syncthreads_or, by turn */
	char barrier_sync[2], start_sync, end_sync;

	/* A misused word; main puts it into words, so that TSan sees the text in one thread's hands only. */
	bool broken;
	struct thread *fault_thread;
	const char *fault_word, *fault_file, *fault_what;
	int fault_line;

	char text[4096];
	size_t text_len;
	struct thread threads[THREADS_MAX];
	struct warp warps[THREADS_MAX / WARP];
};

static __thread struct emu *mine;

static SK_EMU_QUIET void sync_release(char *at)
{
#ifdef SK_EMU_TSAN
	__tsan_release(at);
#else
	(void)at;
#endif
}

static SK_EMU_QUIET void sync_acquire(char *at)
{
#ifdef SK_EMU_TSAN
	__tsan_acquire(at);
#else
	(void)at;
#endif
}

/* Contexts. */

#ifndef SK_EMU_UCONTEXT
/*
 * Push what the System V ABI says a callee keeps, store the stack pointer in *save, take the other one, pop, return
 * there. The floating-point control words are the same for all fibers of a host thread, so they stay.
 */
extern "C" void sk_emu_switch(void **save, void *load) __attribute__((visibility("hidden")));
__asm__(".text\n"
	".p2align 4\n"
	".globl sk_emu_switch\n"
	".hidden sk_emu_switch\n"
	".type sk_emu_switch,@function\n"
	"sk_emu_switch:\n"
	"	pushq %rbp\n"
	"	pushq %rbx\n"
	"	pushq %r12\n"
	"	pushq %r13\n"
	"	pushq %r14\n"
	"	pushq %r15\n"
	"	movq %rsp, (%rdi)\n"
	"	movq %rsi, %rsp\n"
	"	popq %r15\n"
	"	popq %r14\n"
	"	popq %r13\n"
	"	popq %r12\n"
	"	popq %rbx\n"
	"	popq %rbp\n"
	"	ret\n"
	".size sk_emu_switch, .-sk_emu_switch\n");
#endif

/* First thing in a context that has just been switched to. */
static SK_EMU_QUIET void context_arrive(struct emu *e, struct context *self)
{
#ifdef SK_EMU_ASAN
	/* This is also how the bounds of the host thread's own stack become known. */
	__sanitizer_finish_switch_fiber(self->fake, &e->before->stack, &e->before->stack_bytes);
#endif
	(void)e;
	(void)self;
}

static SK_EMU_QUIET void context_switch(struct emu *e, struct context *from, struct context *to)
{
	e->before = from;
	e->now = to;
#ifdef SK_EMU_ASAN
	__sanitizer_start_switch_fiber(&from->fake, to->stack, to->stack_bytes);
#endif
#ifdef SK_EMU_TSAN
	__tsan_switch_to_fiber(to->fiber, __tsan_switch_to_fiber_no_sync);
#endif
#ifdef SK_EMU_UCONTEXT
	swapcontext(&from->uc, &to->uc);
#else
	sk_emu_switch(&from->sp, to->sp);
#endif
	context_arrive(e, from);
}

static void worker_main(void);

static SK_EMU_QUIET struct worker *worker_open(struct emu *e)
{
	struct worker *w = (struct worker *)calloc(1, sizeof *w);
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	char *map;

	map = (char *)mmap(NULL, page + STACK_BYTES, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK, -1, 0);
	if (!w || map == MAP_FAILED || mprotect(map, page, PROT_NONE) != 0) {
		fputs("emulator: no memory for a fiber\n", stderr);
		abort();
	}
	w->map = map;
	w->map_bytes = page + STACK_BYTES;
	w->context.stack = map + page;
	w->context.stack_bytes = STACK_BYTES;
#ifdef SK_EMU_UCONTEXT
	getcontext(&w->context.uc);
	w->context.uc.uc_stack.ss_sp = map + page;
	w->context.uc.uc_stack.ss_size = STACK_BYTES;
	w->context.uc.uc_link = NULL;
	makecontext(&w->context.uc, worker_main, 0);
#else
	/*
	 * Stacks lie whole pages apart, so their hot ends would all fall into the same cache sets: shift each by some
	 * lines. Then: six registers, where to go, and a zero return address that ends backtraces.
	 */
	void **sp = (void **)(map + page + STACK_BYTES - 64 - e->workers_len * 5 % 32 * 64);

	*--sp = NULL;
	*--sp = (void *)worker_main;
	for (int i = 0; i < 6; i++)
		*--sp = NULL;
	w->context.sp = sp;
#endif
#ifdef SK_EMU_TSAN
	w->context.fiber = __tsan_create_fiber(0);
#endif
	w->next = e->workers;
	e->workers = w;
	w->next_idle = e->idle;
	e->idle = w;
	e->workers_len++;
	return w;
}

/* Forget all stacks with whatever is still on them: after an error, and when the host thread ends. */
static SK_EMU_QUIET void workers_close(struct emu *e)
{
	while (e->workers) {
		struct worker *w = e->workers;

		e->workers = w->next;
#ifdef SK_EMU_TSAN
		/* A thread that is parked for ever has not told main that all it did is over: speak for it. */
		__tsan_switch_to_fiber(w->context.fiber, __tsan_switch_to_fiber_no_sync);
		__tsan_release(&e->end_sync);
		__tsan_switch_to_fiber(e->main.fiber, __tsan_switch_to_fiber_no_sync);
		__tsan_destroy_fiber(w->context.fiber);
#endif
#ifdef SK_EMU_ASAN
		__asan_unpoison_memory_region(w->context.stack, w->context.stack_bytes);
#endif
		munmap(w->map, w->map_bytes);
		free(w);
	}
	sync_acquire(&e->end_sync);
	e->idle = NULL;
	e->workers_len = 0;
}

/* The scheduler. */

static SK_EMU_QUIET void ready_append(struct emu *e, struct thread *t)
{
	t->state = READY;
	t->next = NULL;
	if (e->ready)
		e->ready_last->next = t;
	else
		e->ready = t;
	e->ready_last = t;
}

static SK_EMU_QUIET void ready_prepend(struct emu *e, struct thread *t)
{
	t->state = READY;
	t->next = e->ready;
	if (!e->ready)
		e->ready_last = t;
	e->ready = t;
}

static SK_EMU_QUIET struct thread *ready_take(struct emu *e)
{
	struct thread *t = e->ready;

	if (t)
		e->ready = t->next;
	return t;
}

static SK_EMU_QUIET void thread_enter(struct emu *e, struct thread *t)
{
	e->thread = t;
	sk_emu_place.thread = t->idx;
}

/*
 * Leave the context `from` for the next ready thread, or for main when there is none. Returns when somebody comes
 * back.
 */
static SK_EMU_QUIET void leave(struct emu *e, struct context *from)
{
	struct thread *t = ready_take(e);
	struct context *to = &e->main;

	if (t) {
		if (!t->worker) {
			struct worker *w = e->idle ? e->idle : worker_open(e);

			e->idle = w->next_idle;
			w->thread = t;
			t->worker = w;
		}
		thread_enter(e, t);
		to = &t->worker->context;
	}
	if (to != from)
		context_switch(e, from, to);
}

static SK_EMU_QUIET void park(struct emu *e)
{
	leave(e, &e->thread->worker->context);
}

static SK_EMU_QUIET void warp_meet(struct emu *e, struct warp *w);

static SK_EMU_QUIET void thread_end(struct emu *e, struct thread *t)
{
	struct warp *w = &e->warps[t->number / WARP];

	sync_release(&e->end_sync);
	t->state = RETURNED;
	e->live--;
	w->live--;
	warp_meet(e, w);
	t->worker = NULL;
}

static SK_EMU_QUIET void worker_main(void)
{
	struct emu *e = mine;
	struct worker *w = (struct worker *)e->now;

	context_arrive(e, &w->context);
	for (;;) {
		sync_acquire(&e->start_sync);
		e->call(e->arg);
		thread_end(e, w->thread);
#ifndef SK_EMU_TSAN
		if (e->ready && !e->ready->worker) {
			w->thread = ready_take(e);
			w->thread->worker = w;
			thread_enter(e, w->thread);
			continue;
		}
		w->next_idle = e->idle;
		e->idle = w;
#endif
		w->thread = NULL;
		leave(e, &w->context);
	}
}

/* Words. */

static SK_EMU_QUIET void wait_at(struct thread *t, enum thread_state state, const char *word, const char *file,
				 int line)
{
	t->state = state;
	t->word = word;
	t->file = file;
	t->line = line;
}

static SK_EMU_QUIET bool same_text(const char *a, const char *b)
{
	if (a == b)
		return true;
	while (*a && *a == *b) {
		a++;
		b++;
	}
	return *a == *b;
}

static SK_EMU_QUIET bool same_wait(const struct thread *a, const struct thread *b)
{
	return a->state == b->state && (a->state == RETURNED || (a->line == b->line && same_text(a->word, b->word) &&
								 same_text(a->file, b->file)));
}

SK_EMU_QUIET int sk_emu_barrier(const char *word, const char *file, int line, int value)
{
	struct emu *e = mine;
	struct thread *t = e->thread;
	unsigned turn = e->turn;

	wait_at(t, AT_BARRIER, word, file, line);
	if (e->at_barrier++ == 0)
		e->value[turn] = 0;
	e->value[turn] |= value != 0;
	sync_release(&e->barrier_sync[turn]);
	if (e->at_barrier == e->threads_len) {
		bool same = true;

		for (unsigned i = 1; i < e->threads_len && same; i++)
			same = same_wait(&e->threads[0], &e->threads[i]);
		/* Otherwise all stay parked, and the scheduler finds nobody to run. */
		if (same) {
			e->at_barrier = 0;
			e->turn = turn ^ 1;
			for (unsigned i = 0; i < e->threads_len; i++)
				ready_append(e, &e->threads[e->backward ? e->threads_len - 1 - i : i]);
		}
	}
	park(e);
	sync_acquire(&e->barrier_sync[turn]);
	return e->value[turn];
}

SK_EMU_QUIET unsigned sk_emu_lane(void)
{
	return mine->thread->number % WARP;
}

/*
 * Let a warp go on if all its live lanes wait at one place. They go to the front of the queue: a warp that runs as
 * far ahead of the others as it can is what a missing barrier fears most.
 */
static SK_EMU_QUIET void warp_meet(struct emu *e, struct warp *w)
{
	unsigned first = (unsigned)(w - e->warps) * WARP;
	unsigned end = first + WARP < e->threads_len ? first + WARP : e->threads_len;
	struct thread *one = NULL;

	if (!w->waiting || w->waiting != w->live)
		return;
	for (unsigned i = first; i < end; i++) {
		struct thread *t = &e->threads[i];

		if (t->state != AT_WARP_WORD)
			continue;
		if (!one)
			one = t;
		if (!same_wait(one, t))
			return;
	}
	if (w->needs_all && w->live != WARP)
		sk_emu_fault(one->word, one->file, one->line,
			     "needs all 32 lanes, but some do not exist or have returned");
	w->waiting = 0;
	w->turn ^= 1;
	for (unsigned i = end; i > first; i--) {
		struct thread *t = &e->threads[e->backward ? first + end - i : i - 1];

		if (t->state == AT_WARP_WORD)
			ready_prepend(e, t);
	}
}

/* Put three words on the table and wait for the others. The table stays as it is until this lane's next warp word. */
static SK_EMU_QUIET struct table *warp_bring(const char *word, const char *file, int line, bool needs_all, uint64_t v0,
					     uint64_t v1, uint64_t v2, void (*decode)(struct table *), bool orders)
{
	struct emu *e = mine;
	struct thread *t = e->thread;
	struct warp *w = &e->warps[t->number / WARP];
	struct table *table = &w->table[w->turn];
	unsigned lane = t->number % WARP;

	if (w->waiting++ == 0) {
		table->live = 0;
		w->needs_all = false;
	}
	table->live |= 1u << lane;
	table->slot[lane][0] = v0;
	table->slot[lane][1] = v1;
	table->slot[lane][2] = v2;
	w->needs_all |= needs_all;
	wait_at(t, AT_WARP_WORD, word, file, line);
	if (orders)
		sync_release(&table->sync);
	if (decode && w->waiting == WARP)
		decode(table);
	warp_meet(e, w);
	park(e);
	if (orders)
		sync_acquire(&table->sync);
	return table;
}

SK_EMU_QUIET void sk_emu_warp_sync(const char *word, const char *file, int line)
{
	warp_bring(word, file, line, false, 0, 0, 0, NULL, true);
}

SK_EMU_QUIET uint64_t sk_emu_warp_shfl(const char *word, const char *file, int line, uint64_t value, unsigned from_lane)
{
	struct table *table = warp_bring(word, file, line, false, value, 0, 0, NULL, false);

	return table->live >> from_lane & 1 ? table->slot[from_lane][0] : UINT64_MAX;
}

SK_EMU_QUIET unsigned sk_emu_warp_ballot(const char *word, const char *file, int line, int pred, unsigned *ret_live)
{
	struct table *table = warp_bring(word, file, line, false, pred != 0, 0, 0, NULL, false);
	unsigned yes = 0;

	for (unsigned i = 0; i < WARP; i++)
		if (table->live >> i & 1)
			yes |= (unsigned)table->slot[i][0] << i;
	*ret_live = table->live;
	return yes;
}

SK_EMU_QUIET void sk_emu_warp_rows(const char *word, const char *file, int line, const void *row, int n, bool trans,
				   const void **ret_rows)
{
	unsigned lane = sk_emu_lane();
	struct table *table;

	if (lane < (unsigned)n * 8 && (uintptr_t)row % 16 != 0)
		sk_emu_fault(word, file, line, "the address of a row is not a multiple of 16");
	table = warp_bring(word, file, line, true, (uintptr_t)row, 0, 0, NULL, false);
	for (unsigned i = 0; i < (unsigned)n; i++) {
		if (trans) {
			ret_rows[2 * i] = (const void *)(uintptr_t)table->slot[8 * i + lane % 4 * 2][0];
			ret_rows[2 * i + 1] = (const void *)(uintptr_t)table->slot[8 * i + lane % 4 * 2 + 1][0];
		} else {
			ret_rows[i] = (const void *)(uintptr_t)table->slot[8 * i + lane / 4][0];
		}
	}
}

template <typename T> static SK_EMU_QUIET void put_pair(float *to, uint32_t pair)
{
	to[0] = sk_to_float(T{ (uint16_t)pair });
	to[1] = sk_to_float(T{ (uint16_t)(pair >> 16) });
}

/*
 * Fragments to matrices, b by columns. Lane 4g+t holds of a the pairs at rows g and g+8, columns 2t and then (k=16)
 * 2t+8; of b the pairs of column g at the same k.
 */
template <typename T, int K> static SK_EMU_QUIET void decode_mma(struct table *table)
{
	for (unsigned lane = 0; lane < WARP; lane++) {
		const uint64_t *v = table->slot[lane];
		unsigned g = lane / 4, k = lane % 4 * 2;

		put_pair<T>(&table->a[g][k], (uint32_t)v[0]);
		put_pair<T>(&table->a[g + 8][k], (uint32_t)(v[0] >> 32));
		put_pair<T>(&table->b[g][k], (uint32_t)v[2]);
		if (K == 16) {
			put_pair<T>(&table->a[g][k + 8], (uint32_t)v[1]);
			put_pair<T>(&table->a[g + 8][k + 8], (uint32_t)(v[1] >> 32));
			put_pair<T>(&table->b[g][k + 8], (uint32_t)(v[2] >> 32));
		}
	}
}

static SK_EMU_QUIET uint64_t two_words(unsigned lo, unsigned hi)
{
	return lo | (uint64_t)hi << 32;
}

SK_EMU_QUIET void sk_emu_warp_mma(const char *word, const char *file, int line, enum sk_emu_mma kind, float *c,
				  const unsigned *a, const unsigned *b)
{
	unsigned lane = sk_emu_lane();
	struct table *table;
	int K = 16;

	switch (kind) {
	case SK_EMU_MMA_16816_BF16:
		table = warp_bring(word, file, line, true, two_words(a[0], a[1]), two_words(a[2], a[3]),
				   two_words(b[0], b[1]), decode_mma<sk_bf16, 16>, false);
		break;
	case SK_EMU_MMA_16816_F16:
		table = warp_bring(word, file, line, true, two_words(a[0], a[1]), two_words(a[2], a[3]),
				   two_words(b[0], b[1]), decode_mma<sk_f16, 16>, false);
		break;
	default:
		K = 8;
		table = warp_bring(word, file, line, true, two_words(a[0], a[1]), 0, b[0], decode_mma<sk_f16, 8>,
				   false);
		break;
	}
	for (unsigned i = 0; i < 4; i++) {
		const float *row = table->a[lane / 4 + i / 2 * 8];
		const float *column = table->b[lane % 4 * 2 + i % 2];
		float sum = c[i];

		/*
		 * Products of two halves are exact in a float, so it makes no difference whether this becomes an fma.
		 */
		for (int k = 0; k < K; k++)
			sum += row[k] * column[k];
		c[i] = sum;
	}
}

SK_EMU_QUIET void sk_emu_copy_add(void *dst, const void *src)
{
	struct thread *t = mine->thread;

	if (t->copies_len == t->copies_max) {
		t->copies_max = t->copies_max ? t->copies_max * 2 : 16;
		t->copies = (struct sk_emu_copy *)realloc((void *)t->copies, t->copies_max * sizeof *t->copies);
		if (!t->copies)
			abort();
	}
	t->copies[t->copies_len].dst = dst;
	t->copies[t->copies_len].src = src;
	t->copies[t->copies_len++].group = t->group;
}

SK_EMU_QUIET void sk_emu_copy_commit(void)
{
	mine->thread->group++;
}

SK_EMU_QUIET bool sk_emu_copy_take(unsigned keep, struct sk_emu_copy *ret_copy)
{
	struct thread *t = mine->thread;
	struct sk_emu_copy *copy;

	if (t->copies_head == t->copies_len) {
		t->copies_head = t->copies_len = 0;
		return false;
	}
	copy = &t->copies[t->copies_head];
	if (copy->group + keep >= t->group)
		return false;
	t->copies_head++;
	ret_copy->dst = copy->dst;
	ret_copy->src = copy->src;
	ret_copy->group = copy->group;
	return true;
}

/* Errors. */

__attribute__((format(printf, 2, 3))) static void say(struct emu *e, const char *format, ...)
{
	va_list args;
	int n;

	va_start(args, format);
	n = vsnprintf(e->text + e->text_len, sizeof e->text - e->text_len, format, args);
	va_end(args);
	if (n > 0)
		e->text_len += (size_t)n;
	if (e->text_len >= sizeof e->text)
		e->text_len = sizeof e->text - 1;
}

static void say_where(struct emu *e)
{
	const struct sk_emu_place *p = &sk_emu_place;

	e->text_len = 0;
	say(e, "kernel %s, block (%u,%u,%u) of (%u,%u,%u), %u threads run %s: ", e->name, p->block.x, p->block.y,
	    p->block.z, p->grid_dim.x, p->grid_dim.y, p->grid_dim.z, e->threads_len,
	    e->backward ? "backward" : "forward");
}

SK_EMU_QUIET void sk_emu_fault(const char *word, const char *file, int line, const char *what)
{
	struct emu *e = mine;

	e->broken = true;
	e->fault_thread = e->thread;
	e->fault_word = word;
	e->fault_file = file;
	e->fault_line = line;
	e->fault_what = what;
	/* Main throws this stack away. */
	context_switch(e, &e->thread->worker->context, &e->main);
	abort();
}

static void say_fault(struct emu *e)
{
	say_where(e);
	say(e, "%s at %s:%d in thread %u: %s\n", e->fault_word, e->fault_file, e->fault_line, e->fault_thread->number,
	    e->fault_what);
}

/* Nobody can run, but not all have returned: list who waits for what. */
static void say_stuck(struct emu *e)
{
	bool told[THREADS_MAX] = {};

	say_where(e);
	say(e, "stuck: barriers need all threads, warp words all live lanes, at one place\n");
	for (unsigned i = 0; i < e->threads_len; i++) {
		const struct thread *t = &e->threads[i];
		unsigned count = 0;

		if (told[i])
			continue;
		for (unsigned j = i; j < e->threads_len; j++)
			count += same_wait(t, &e->threads[j]);
		if (t->state == RETURNED)
			say(e, "  %u threads have returned:", count);
		else
			say(e, "  %u threads wait at %s %s:%d:", count, t->word, t->file, t->line);
		for (unsigned j = i, k; j < e->threads_len; j = k) {
			for (k = j; k < e->threads_len && same_wait(t, &e->threads[k]); k++)
				told[k] = true;
			if (k == j)
				k++;
			else if (k == j + 1)
				say(e, " %u", j);
			else
				say(e, " %u-%u", j, k - 1);
		}
		say(e, "\n");
	}
}

/* Launching. */

/* Its only use is the destructor: stacks end with the host thread that used them. */
struct emu_keeper {
	struct emu *e = NULL;
	~emu_keeper()
	{
		if (!e)
			return;
		workers_close(e);
		for (unsigned i = 0; i < THREADS_MAX; i++)
			free((void *)e->threads[i].copies);
		free(e);
		mine = NULL;
	}
};

static thread_local struct emu_keeper keeper;

static SK_EMU_QUIET struct emu *emu_get(void)
{
	if (!mine) {
		mine = (struct emu *)calloc(1, sizeof *mine);
		if (!mine)
			abort();
		keeper.e = mine;
	}
#ifdef SK_EMU_TSAN
	mine->main.fiber = __tsan_get_current_fiber();
#endif
	return mine;
}

static SK_EMU_QUIET void block_prepare(struct emu *e, dim3 block)
{
	unsigned i = 0;
	int order = order_wanted.load(std::memory_order_relaxed);

	e->backward = order == SK_EMU_BACKWARD || (order == SK_EMU_ALTERNATE && e->blocks_run % 2 == 1);
	e->blocks_run++;
	e->live = e->threads_len;
	e->at_barrier = 0;
	e->turn = 0;
	e->ready = e->ready_last = NULL;
#ifdef SK_EMU_TSAN
	/* Only now are those of the block before idle again, so that no two threads of one block share one. */
	e->idle = NULL;
	for (struct worker *w = e->workers; w; w = w->next) {
		w->next_idle = e->idle;
		e->idle = w;
	}
#endif
	for (unsigned z = 0; z < block.z; z++)
		for (unsigned y = 0; y < block.y; y++)
			for (unsigned x = 0; x < block.x; x++, i++) {
				struct thread *t = &e->threads[i];

				t->idx = uint3{ x, y, z };
				t->number = i;
				t->worker = NULL;
				t->copies_head = t->copies_len = t->group = 0;
			}
	for (i = 0; i < e->threads_len; i++)
		ready_append(e, &e->threads[e->backward ? e->threads_len - 1 - i : i]);
	for (i = 0; i < e->threads_len; i += WARP) {
		struct warp *w = &e->warps[i / WARP];

		w->waiting = 0;
		w->turn = 0;
		w->live = e->threads_len - i < WARP ? e->threads_len - i : WARP;
	}
}

/* False when the kernel broke a rule; e->text says how. */
static SK_EMU_QUIET bool block_run(struct emu *e, dim3 block)
{
	block_prepare(e, block);
	sync_release(&e->start_sync);
	leave(e, &e->main);
	sync_acquire(&e->end_sync);
	if (!e->broken && e->live == 0)
		return true;
	if (e->broken)
		say_fault(e);
	else
		say_stuck(e);
	return false;
}

static SK_EMU_QUIET bool blocks_run(struct emu *e, dim3 grid, dim3 block, size_t smem_bytes)
{
	for (unsigned z = 0; z < grid.z; z++)
		for (unsigned y = 0; y < grid.y; y++)
			for (unsigned x = 0; x < grid.x; x++) {
				sk_emu_place.block = uint3{ x, y, z };
				memset(sk_emu_place.smem, 0xFF, smem_bytes);
				if (!block_run(e, block))
					return false;
			}
	return true;
}

SK_EMU_QUIET enum sk_emu_result sk_emu_run(const char *name, dim3 grid, dim3 block, size_t smem_bytes,
					   void (*call)(const void *), const void *arg)
{
	uint64_t threads = (uint64_t)block.x * block.y * block.z;
	void (*handler)(const char *);
	struct emu *e = emu_get();
	void *smem;
	bool fine;

	if (block.x > THREADS_MAX || block.y > THREADS_MAX || block.z > 64 || threads == 0 || threads > THREADS_MAX)
		return SK_EMU_BAD_LAUNCH;
	if (grid.x == 0 || grid.x > INT32_MAX || grid.y == 0 || grid.y > 65535 || grid.z == 0 || grid.z > 65535)
		return SK_EMU_BAD_LAUNCH;
	/* Exactly sized, so that ASan sees the first byte beyond it. */
	if (smem_bytes > SK_EMU_SMEM_MAX || posix_memalign(&smem, 128, smem_bytes) != 0)
		return SK_EMU_BAD_LAUNCH;
	e->name = name;
	e->call = call;
	e->arg = arg;
	e->broken = false;
	e->threads_len = (unsigned)threads;
	sk_emu_place.block_dim = uint3{ block.x, block.y, block.z };
	sk_emu_place.grid_dim = uint3{ grid.x, grid.y, grid.z };
	sk_emu_place.smem = smem;
#ifdef SK_EMU_TSAN
	/* Made by main, before the block: TSan orders a new fiber after its maker, which would hide races. */
	while (e->workers_len < e->threads_len)
		worker_open(e);
#endif
	fine = blocks_run(e, grid, block, smem_bytes);
	if (!fine)
		workers_close(e);
	free(smem);
	sk_emu_place.smem = NULL;
	if (fine)
		return SK_EMU_OK;
	fputs(e->text, stderr);
	handler = error_handler.load();
	if (!handler)
		abort();
	handler(e->text);
	return SK_EMU_BROKEN;
}

void sk_emu_order(int order)
{
	order_wanted.store(order);
}

void sk_emu_on_error(void (*handler)(const char *text))
{
	error_handler.store(handler);
}
