/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rows of weights on their way from the file to the device: threads read them into pieces of pinned memory, side by side, while
 * the pieces that are full go over.
 *
 *	piece:	free -> to be filled -> full -> on its way -> free
 *	        (main)  (a reader)      (main)  (the stream: an event tells)
 *
 * The main thread, the loader's, alone talks to the device. A weight's sources may go when its rows were read; its last pieces
 * may still be on their way then, beside the reading of the next weight. All of it goes with the first step.
 */
#include "kernels/cuda/cuda.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define PIECES 8
#define READERS_MAX 8
#define POPULATE_READ 22                /* MADV_POPULATE_READ, Linux 5.14; older ones refuse it, and read page by page */

enum state { FREE, TO_FILL, FILLING, FULL };

struct piece {
	unsigned char *data;            /* pinned */
	cudaEvent_t gone;               /* its last copy */
	enum state state;               /* under lock */
	int64_t first, len;             /* rows of the weight */
};

struct sk_cuda_loader {
	struct piece pieces[PIECES];
	uint64_t turn;                  /* pieces handed out so far */
	pthread_t readers[READERS_MAX];
	int readers_len;
	pthread_mutex_t lock;
	pthread_cond_t work, filled;
	const struct sk_cuda_rows *rows;        /* under lock: what the pieces to be filled are of */
	bool over;                      /* under lock */
};

/* ---- reading ---- */

/* Where row `row` of the weight in memory comes from; NULL: nowhere, it is zeros. *at and *first: how far a stack was looked through. */
static const unsigned char *row_source(const struct sk_cuda_rows *r, int64_t row, int *at, int64_t *first)
{
	if (r->join == SK_JOIN_GLU) {
		int64_t n = row / (2 * SK_GPU_GLU) * SK_GPU_GLU + row % SK_GPU_GLU;
		const struct sk_weight_src *s = &r->src[row / SK_GPU_GLU % 2];

		return n < s->N ? (const unsigned char *)s->data + (size_t)n * s->row_bytes : NULL;
	}
	while (*at < r->src_len && row - *first >= r->src[*at].N)
		*first += r->src[(*at)++].N;
	if (*at == r->src_len)
		return NULL;
	return (const unsigned char *)r->src[*at].data + (size_t)(row - *first) * r->src[*at].row_bytes;
}

/* So many bytes of a mapped file are asked for at once, instead of page by page as they are touched. */
static void want(const unsigned char *from, size_t bytes)
{
	uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE), first = (uintptr_t)from & ~(page - 1);

	/* Where the file was cut short this is an error, and touching it tells. */
	madvise((void *)first, (uintptr_t)from + bytes - first, POPULATE_READ);
}

/* Of both halves of a GLU, whose rows take turns. */
static void want_glu(const struct sk_cuda_rows *r, const struct piece *p)
{
	int64_t n = p->first / (2 * SK_GPU_GLU) * SK_GPU_GLU, end = (p->first + p->len) / 2 + SK_GPU_GLU;

	for (int i = 0; i < 2; i++) {
		int64_t last = end < r->src[i].N ? end : r->src[i].N;

		if (n < last)
			want((const unsigned char *)r->src[i].data + (size_t)n * r->src[i].row_bytes,
			     (size_t)(last - n - 1) * r->src[i].row_bytes + r->used_bytes);
	}
}

static void fill(const struct sk_cuda_rows *r, const struct piece *p)
{
	unsigned char *to = p->data;
	int64_t first = 0, wanted = -1;
	int at = 0;

	if (r->join == SK_JOIN_GLU)
		want_glu(r, p);
	for (int64_t i = 0; i < p->len; i++, to += r->row_bytes) {
		const unsigned char *row = row_source(r, p->first + i, &at, &first);

		if (row && r->join == SK_JOIN_STACK && wanted != at) {
			int64_t left = first + r->src[at].N - (p->first + i), rows = p->len - i < left ? p->len - i : left;

			want(row, (size_t)(rows - 1) * r->src[at].row_bytes + r->used_bytes);
			wanted = at;
		}
		if (row)
			memcpy(to, row, r->used_bytes);
		memset(to + (row ? r->used_bytes : 0), 0, r->row_bytes - (row ? r->used_bytes : 0));
	}
}

static struct piece *piece_in(struct sk_cuda_loader *l, enum state state)
{
	for (uint64_t i = 0; i < PIECES; i++) {
		struct piece *p = &l->pieces[(l->turn + i) % PIECES];   /* the oldest first: it is the next to go */

		if (p->state == state)
			return p;
	}
	return NULL;
}

static void *reader_main(void *arg)
{
	struct sk_cuda_loader *l = arg;

	pthread_mutex_lock(&l->lock);
	while (!l->over) {
		struct piece *p = piece_in(l, TO_FILL);
		const struct sk_cuda_rows *rows = l->rows;

		if (!p) {
			pthread_cond_wait(&l->work, &l->lock);
			continue;
		}
		p->state = FILLING;
		pthread_mutex_unlock(&l->lock);
		fill(rows, p);
		pthread_mutex_lock(&l->lock);
		p->state = FULL;
		pthread_cond_signal(&l->filled);
	}
	pthread_mutex_unlock(&l->lock);
	return NULL;
}

/* ---- sending ---- */

static bool hand_out(struct sk_dev *dev, const struct sk_cuda_rows *r, struct piece *p, int64_t first, int64_t len)
{
	struct sk_cuda_loader *l = dev->loader;

	if (!sk_cuda_ok(dev, cudaEventSynchronize(p->gone), "copying weights"))
		return false;
	p->first = first;
	p->len = len;
	if (l->readers_len == 0) {
		l->turn++;
		fill(r, p);
		p->state = FULL;
		return true;
	}
	pthread_mutex_lock(&l->lock);
	l->turn++;
	l->rows = r;
	p->state = TO_FILL;
	pthread_cond_signal(&l->work);
	pthread_mutex_unlock(&l->lock);
	return true;
}

static bool send(struct sk_dev *dev, const struct sk_cuda_rows *r, struct piece *p)
{
	struct sk_cuda_loader *l = dev->loader;

	pthread_mutex_lock(&l->lock);
	while (p->state != FULL)
		pthread_cond_wait(&l->filled, &l->lock);
	p->state = FREE;
	pthread_mutex_unlock(&l->lock);
	return sk_cuda_ok(dev, cudaMemcpyAsync((unsigned char *)r->to + (size_t)p->first * r->row_bytes, p->data,
					       (size_t)p->len * r->row_bytes, cudaMemcpyHostToDevice, dev->stream), "copying weights") &&
	       sk_cuda_ok(dev, cudaEventRecord(p->gone, dev->stream), "copying weights");
}

/* What readers have begun is ended before the sources may go. */
static void await_readers(struct sk_cuda_loader *l)
{
	pthread_mutex_lock(&l->lock);
	for (struct piece *p; (p = piece_in(l, TO_FILL));)
		p->state = FREE;
	while (piece_in(l, FILLING))
		pthread_cond_wait(&l->filled, &l->lock);
	for (int i = 0; i < PIECES; i++)
		l->pieces[i].state = FREE;
	pthread_mutex_unlock(&l->lock);
}

void sk_cuda_load_rows(struct sk_dev *dev, const struct sk_cuda_rows *r)
{
	struct sk_cuda_loader *l = dev->loader;
	int64_t at_once = (int64_t)(SK_CUDA_PIECE_BYTES / r->row_bytes), pieces = (r->rows + at_once - 1) / at_once;
	int64_t out = 0, gone = 0;
	uint64_t first = l->turn;
	bool good = true;

	while (good && gone < pieces) {
		for (; good && out < pieces && out - gone < PIECES; out++) {
			int64_t row = out * at_once;

			good = hand_out(dev, r, &l->pieces[(first + (uint64_t)out) % PIECES], row,
					r->rows - row < at_once ? r->rows - row : at_once);
		}
		good = good && send(dev, r, &l->pieces[(first + (uint64_t)gone++) % PIECES]);
	}
	if (!good)
		await_readers(l);
}

/* ---- begin and end ---- */

static bool take_pieces(struct sk_dev *dev)
{
	for (int i = 0; i < PIECES; i++) {
		struct piece *p = &dev->loader->pieces[i];

		if (!sk_cuda_take_pinned(dev, (void **)&p->data, SK_CUDA_PIECE_BYTES) ||
		    !sk_cuda_ok(dev, cudaEventCreateWithFlags(&p->gone, cudaEventDisableTiming), "making an event"))
			return false;
	}
	return true;
}

bool sk_cuda_load_begin(struct sk_dev *dev)
{
	struct sk_cuda_loader *l;

	if (dev->loader)
		return true;
	l = dev->loader = calloc(1, sizeof *l);
	if (!l)
		return false;
	pthread_mutex_init(&l->lock, NULL);
	pthread_cond_init(&l->work, NULL);
	pthread_cond_init(&l->filled, NULL);
	if (!take_pieces(dev)) {
		sk_cuda_load_end(dev);
		return false;
	}
	/* Those that there are: with none the main thread reads. */
	while (l->readers_len < READERS_MAX && l->readers_len < dev->threads &&
	       pthread_create(&l->readers[l->readers_len], NULL, reader_main, l) == 0)
		l->readers_len++;
	return true;
}

void sk_cuda_load_end(struct sk_dev *dev)
{
	struct sk_cuda_loader *l = dev->loader;

	if (!l)
		return;
	dev->loader = NULL;
	pthread_mutex_lock(&l->lock);
	l->over = true;
	pthread_cond_broadcast(&l->work);
	pthread_mutex_unlock(&l->lock);
	for (int i = 0; i < l->readers_len; i++)
		pthread_join(l->readers[i], NULL);
	sk_cuda_ok(dev, cudaStreamSynchronize(dev->stream), "copying weights");
	for (int i = 0; i < PIECES; i++) {
		cudaFreeHost(l->pieces[i].data);
		if (l->pieces[i].gone)
			cudaEventDestroy(l->pieces[i].gone);
	}
	pthread_cond_destroy(&l->filled);
	pthread_cond_destroy(&l->work);
	pthread_mutex_destroy(&l->lock);
	free(l);
}
