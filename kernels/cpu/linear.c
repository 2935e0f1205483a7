/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The walk of a product over panels and tiles; the arithmetic is the level's (struct sk_cpu_linear).
 *
 *	1. Pack the activations, tile after tile: by the common pool of threads, or, for few tokens, by each thread for
 *	   itself, which saves the wait between packing and multiplying.
 *	2. For each panel (they are shared out among the threads) for each tile: sums of all slices, then finish().
 *
 * A panel of 4-bit weights stays in L1 while the tiles pass by. Wide steps are also cut into groups of tokens, so that a
 * group's activations stay in L2 and that there is enough to share out.
 */
#include "kernels/cpu/linear.h"

#include <string.h>

#define OWN_TOKENS 4            /* so few are packed by each thread for itself */
#define WIDE_TOKENS 17          /* from here on parts are taken from a common counter */
#define GROUP_BYTES (384 << 10) /* of packed activations: fits a 1 MiB L2 with a panel beside it */
#define ACC_ROWS 512            /* rows of 32 sums of the float way: 64 KiB a thread */
#define CHUNK 64                /* k unpacked at a time by the float way: 8 KiB */

struct linear;

/* How activations meet weights. */
struct way {
	int32_t k_len;                  /* packed activations: k of a unit and its bytes a token */
	int32_t unit_bytes;
	int (*tile)(const struct sk_cpu_linear *);
	void (*pack)(const struct linear *, unsigned char *to, const float *x, int32_t n, int32_t K);
	void (*panel)(const struct linear *, const unsigned char *x, int32_t panel, int32_t tile_from, int32_t tile_to, int worker);
};

/* One call of the operation; lives on the caller's stack. */
struct linear {
	struct sk_dev *dev;
	const struct sk_op_linear *op;
	const struct sk_cpu_weight *w;
	const struct sk_cpu_linear *isa;
	const struct sk_cpu_format *format;
	const struct way *way;
	int32_t T, K, tiles, groups, pack_parts;
	int32_t slices, slice_end[SK_SLICES_MAX];       /* in k */
	int32_t block_end[SK_SLICES_MAX];               /* in blocks of the weight's format */
	size_t x_bytes;                                 /* packed, a token */
	unsigned char *x;                               /* all tokens; NULL: each thread packs for itself */
	bool round_bf16;
};

/* Where a thread's own scratch lies: packed activations of OWN_TOKENS, then ACC_ROWS rows of sums. */
static size_t x_bytes_max(int32_t K)
{
	return ((size_t)K + 32) * 4;
}

static size_t own_bytes(int32_t K)
{
	return ((OWN_TOKENS * x_bytes_max(K) + 63) & ~(size_t)63) + ACC_ROWS * SK_CPU_ROWS * sizeof(float);
}

size_t sk_cpu_linear_scratch_bytes(const struct sk_dev_plan *plan, int threads)
{
	return (size_t)threads * own_bytes(plan->K_max) + (size_t)plan->tokens_max * x_bytes_max(plan->K_max) + 64;
}

static unsigned char *own_scratch(const struct linear *l, int worker)
{
	return l->dev->linear_scratch + (size_t)worker * own_bytes(l->dev->plan.K_max);
}

static int32_t tile_start(const struct linear *l, int32_t tile)
{
	return (int32_t)((int64_t)l->T * tile / l->tiles);
}

static const float *x_row(const struct linear *l, int32_t t)
{
	return (const float *)l->op->x.data + (int64_t)t * l->op->x.stride;
}

/* ---- after the sums ---- */

static void finish(const struct linear *l, const float *part, int64_t part_stride, int32_t t, int32_t n, int32_t panel)
{
	bool glu = l->op->flags & SK_LINEAR_GLU;
	int32_t wide = glu ? SK_CPU_ROWS / 2 : SK_CPU_ROWS, cols = (glu ? l->w->base.N / 2 : l->w->base.N) - panel * wide;
	struct sk_cpu_finish f = {
		.part = part, .part_stride = part_stride, .slices = l->slices, .n = n,
		.y = (float *)l->op->y.data + (int64_t)t * l->op->y.stride + (int64_t)panel * wide,
		.y_stride = l->op->y.stride, .cols = cols < wide ? cols : wide, .flags = l->op->flags,
		.act = l->op->act,
	};

	if (l->op->bias) {
		f.bias = l->op->bias + (int64_t)panel * wide;
		f.bias_up = glu ? f.bias + l->w->base.N / 2 : NULL;
	}
	l->isa->finish(&f);
}

/* ---- tiles that keep their sums in registers from the first k to the last: int8 and bf16 ---- */

static inline void panel_tiles(const struct linear *l, sk_cpu_tile_fn const *tile_fn, const unsigned char *x, int32_t panel,
			       int32_t tile_from, int32_t tile_to)
{
	_Alignas(64) float part[SK_SLICES_MAX * SK_CPU_TILE_MAX * SK_CPU_ROWS];
	struct sk_cpu_tile a = {
		.panel = l->w->data + (size_t)panel * l->w->panel_bytes, .slice_end = l->block_end, .slices = l->slices,
		.ahead = l->dev->ahead_bytes, .out = part,
	};

	for (int32_t i = tile_from; i < tile_to; i++) {
		int32_t t = tile_start(l, i), n = tile_start(l, i + 1) - t;

		a.x = x + (size_t)t * l->x_bytes;
		tile_fn[n - 1](&a);
		finish(l, part, n * SK_CPU_ROWS, t, n, panel);
		a.ahead = 0;            /* the panel is in the cache now */
	}
}

static void panel_i8(const struct linear *l, const unsigned char *x, int32_t panel, int32_t from, int32_t to, int worker)
{
	panel_tiles(l, l->isa->i8[l->w->base.dtype], x, panel, from, to);
}

static void panel_bf16(const struct linear *l, const unsigned char *x, int32_t panel, int32_t from, int32_t to, int worker)
{
	panel_tiles(l, l->isa->bf16, x, panel, from, to);
}

/* ---- float: every weight format, unpacked CHUNK by CHUNK, sums in memory in between ---- */

/* One slice of a panel for some tiles; acc[token][32] starts as zeros. */
static void slice_f32(const struct linear *l, const unsigned char *x, const unsigned char *panel, int32_t k, int32_t k_end,
		      float *acc, int32_t from, int32_t to)
{
	_Alignas(64) float buf[(CHUNK + 2) * SK_CPU_ROWS];
	int32_t block_len = l->format->block_len, t0 = tile_start(l, from);

	while (k < k_end) {
		int32_t len = k_end - k < CHUNK ? k_end - k : CHUNK, block = k / block_len;
		const unsigned char *src = panel + (size_t)block * l->format->block_bytes;
		const float *w = (const float *)(const void *)src;

		if (l->isa->unpack[l->w->base.dtype] != NULL) {
			int32_t blocks = (k + len + block_len - 1) / block_len - block;

			l->isa->unpack[l->w->base.dtype](buf, src, blocks, l->dev->ahead_bytes);
			w = buf + (size_t)(k - block * block_len) * SK_CPU_ROWS;
		}
		for (int32_t i = from; i < to; i++) {
			int32_t t = tile_start(l, i), n = tile_start(l, i + 1) - t;
			const float *xt = (const float *)(const void *)(x + (size_t)t * l->x_bytes) + (size_t)k * n;

			l->isa->f32[n - 1](acc + (size_t)(t - t0) * SK_CPU_ROWS, w, xt, len);
		}
		k += len;
	}
}

static void panel_f32(const struct linear *l, const unsigned char *x, int32_t panel, int32_t from, int32_t to, int worker)
{
	size_t own_x = (OWN_TOKENS * x_bytes_max(l->dev->plan.K_max) + 63) & ~(size_t)63;
	float *acc = (float *)(void *)(own_scratch(l, worker) + own_x);
	const unsigned char *p = l->w->data + (size_t)panel * l->w->panel_bytes;
	int32_t step = ACC_ROWS / l->slices / l->isa->tile_f32;         /* tiles whose sums fit */

	for (; from < to; from += step) {
		int32_t end = to - from < step ? to : from + step, t0 = tile_start(l, from);
		int32_t rows = tile_start(l, end) - t0;

		memset(acc, 0, (size_t)l->slices * (size_t)rows * SK_CPU_ROWS * sizeof(float));
		for (int32_t s = 0, k = 0; s < l->slices; k = l->slice_end[s++])
			slice_f32(l, x, p, k, l->slice_end[s], acc + (size_t)s * (size_t)rows * SK_CPU_ROWS, from, end);
		for (int32_t i = from; i < end; i++) {
			int32_t t = tile_start(l, i);

			finish(l, acc + (size_t)(t - t0) * SK_CPU_ROWS, (int64_t)rows * SK_CPU_ROWS, t,
			       tile_start(l, i + 1) - t, panel);
		}
	}
}

/* ---- the three ways ---- */

static int tile_i8(const struct sk_cpu_linear *isa) { return isa->tile_i8; }
static int tile_bf16(const struct sk_cpu_linear *isa) { return isa->tile_bf16; }
static int tile_f32(const struct sk_cpu_linear *isa) { return isa->tile_f32; }

static void pack_i8(const struct linear *l, unsigned char *to, const float *x, int32_t n, int32_t K)
{
	l->isa->pack_i8(to, x, l->op->x.stride, n, K, l->isa->start[l->w->base.dtype]);
}

static void pack_bf16(const struct linear *l, unsigned char *to, const float *x, int32_t n, int32_t K)
{
	l->isa->pack_bf16(to, x, l->op->x.stride, n, K);
}

static void pack_f32(const struct linear *l, unsigned char *to, const float *x, int32_t n, int32_t K)
{
	l->isa->pack_f32(to, x, l->op->x.stride, n, K, l->round_bf16);
}

static const struct way way_i8 = { 32, SK_CPU_X8_BYTES, tile_i8, pack_i8, panel_i8 };
static const struct way way_bf16 = { 2, 4, tile_bf16, pack_bf16, panel_bf16 };
static const struct way way_f32 = { 1, 4, tile_f32, pack_f32, panel_f32 };

static bool slices_even(const struct linear *l)
{
	for (int32_t s = 0; s + 1 < l->slices; s++)
		if (l->slice_end[s] % 2 != 0)
			return false;
	return true;
}

static const struct way *way_find(struct linear *l)
{
	enum sk_dtype to = l->op->quantise ? sk_quant_get(l->w->base.dtype)->activation : SK_F32;

	l->round_bf16 = to == SK_BF16;
	if (to == SK_I8)
		return &way_i8;
	/* A pair of k is one operand of the instruction: a slice may not end within it. */
	if (to == SK_BF16 && l->isa->tile_bf16 > 0 && slices_even(l))
		return &way_bf16;
	return &way_f32;
}

/* ---- jobs ---- */

/* Item = (tile, part of K): K is cut into pack_parts when there are few tiles. */
static void pack_job(void *arg, int32_t from, int32_t to, int worker)
{
	const struct linear *l = arg;
	int32_t units = (l->K + l->way->k_len - 1) / l->way->k_len;

	for (int32_t i = from; i < to; i++) {
		int32_t tile = i / l->pack_parts, part = i % l->pack_parts;
		int32_t t = tile_start(l, tile), n = tile_start(l, tile + 1) - t;
		int32_t u = (int32_t)((int64_t)units * part / l->pack_parts);
		int32_t u_end = (int32_t)((int64_t)units * (part + 1) / l->pack_parts);
		int32_t k = u * l->way->k_len, k_end = u_end * l->way->k_len;

		if (k_end > l->K)
			k_end = l->K;
		if (k < k_end)
			l->way->pack(l, l->x + (size_t)t * l->x_bytes + (size_t)u * l->way->unit_bytes * n,
				     x_row(l, t) + k, n, k_end - k);
	}
}

/* Item = (group of tiles, panel). */
static void panel_job(void *arg, int32_t from, int32_t to, int worker)
{
	const struct linear *l = arg;
	const unsigned char *x = l->x;

	if (x == NULL) {
		unsigned char *own = own_scratch(l, worker);

		for (int32_t i = 0; i < l->tiles; i++) {
			int32_t t = tile_start(l, i);

			l->way->pack(l, own + (size_t)t * l->x_bytes, x_row(l, t), tile_start(l, i + 1) - t, l->K);
		}
		x = own;
	}
	for (int32_t i = from; i < to; i++) {
		int32_t group = i / l->w->panels;

		l->way->panel(l, x, i % l->w->panels, (int32_t)((int64_t)l->tiles * group / l->groups),
			      (int32_t)((int64_t)l->tiles * (group + 1) / l->groups), worker);
	}
}

/* Groups of tokens: so few bytes that they stay in L2, and so many items that no thread waits long for the last. */
static int32_t groups_count(const struct linear *l)
{
	int64_t groups = ((int64_t)l->T * (int64_t)l->x_bytes + GROUP_BYTES - 1) / GROUP_BYTES;
	int64_t wanted = 8 * (int64_t)sk_pool_active(l->dev->pool);

	if (l->T < WIDE_TOKENS || groups < 1)
		groups = 1;
	while (l->T >= WIDE_TOKENS && groups * l->w->panels < wanted && groups * 4 <= l->tiles)
		groups *= 2;
	return (int32_t)(groups < l->tiles ? groups : l->tiles);
}

static void slices_read(struct linear *l)
{
	const struct sk_op_linear *op = l->op;
	int32_t len = l->format->block_len;

	l->slices = op->slices > 1 ? op->slices : 1;
	for (int32_t s = 0; s < l->slices; s++) {
		l->slice_end[s] = op->slices > 1 ? op->slice_end[s] : l->K;
		l->block_end[s] = (l->slice_end[s] + len - 1) / len;
	}
}

void sk_cpu_linear_portable(struct sk_dev *dev, const struct sk_op_linear *op)
{
	struct linear l = {
		.dev = dev, .op = op, .w = (const struct sk_cpu_weight *)op->w, .isa = dev->isa->linear,
		.T = op->x.dim[0], .K = op->w->K,
	};
	int32_t items;

	if (l.T <= 0)
		return;
	if (SK_BUG_IF(l.T > dev->plan.tokens_max || l.K > dev->plan.K_max || op->slices > SK_SLICES_MAX))
		return;
	l.format = sk_cpu_format_find(op->w->dtype);
	slices_read(&l);
	l.way = way_find(&l);
	l.tiles = (l.T + l.way->tile(l.isa) - 1) / l.way->tile(l.isa);
	l.x_bytes = (size_t)((l.K + l.way->k_len - 1) / l.way->k_len) * (size_t)l.way->unit_bytes;
	if (l.T > OWN_TOKENS) {
		l.x = dev->linear_scratch + (size_t)dev->threads * own_bytes(dev->plan.K_max);
		l.pack_parts = l.tiles >= 4 * dev->threads ? 1 : dev->threads;
		sk_cpu_run(dev, l.tiles * l.pack_parts, 0, pack_job, &l);
	}
	l.groups = groups_count(&l);
	items = l.groups * l.w->panels;
	sk_cpu_run(dev, items, l.T < WIDE_TOKENS ? 0 : items / (12 * dev->threads) + 1, panel_job, &l);
}

static bool embed_row(const struct sk_weight *weight, int32_t row, float *to)
{
	const struct sk_cpu_weight *w = (const struct sk_cpu_weight *)weight;

	if (SK_BUG_IF(row < 0 || row >= weight->N))
		return false;
	sk_cpu_format_find(weight->dtype)->row(to, w->data + (size_t)(row / SK_CPU_ROWS) * w->panel_bytes, row % SK_CPU_ROWS,
					       weight->K);
	return true;
}

/* y[t] = scale * row ids[t] of a weight, and row pos[t] of the positions' */
void sk_cpu_embed_portable(struct sk_dev *dev, const struct sk_op_embed *op)
{
	float *other = (float *)(void *)dev->linear_scratch;    /* one row: less than a thread has for its activations */

	if (SK_BUG_IF(op->positions && (op->positions->K != op->w->K || op->w->K > dev->plan.K_max)))
		return;
	for (int32_t t = 0; t < op->T; t++) {
		float *y = (float *)op->y.data + (int64_t)t * op->y.stride;

		if (!embed_row(op->w, op->ids[t], y))
			continue;
		for (int32_t k = 0; k < op->w->K && op->scale != 0.0f; k++)
			y[k] *= op->scale;
		if (!op->positions || !embed_row(op->positions, op->pos[t], other))
			continue;
		for (int32_t k = 0; k < op->w->K; k++)
			y[k] += other[k];
	}
}
