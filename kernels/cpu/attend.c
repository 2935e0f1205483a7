/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The plan of attention: which tiles there are, who calculates them, and how many chunks at a time.
 *
 * Enough tiles for the threads: a unit of work is (tile, kv head), its chunks one after the other, merged as they come.
 * Few (one long sequence decoding): a unit is (tile, kv head, chunk), and the states are merged, in the same order with
 * the same operations, when all are there. The bits are the same.
 */
#include "kernels/cpu/attend.h"

#define STATES_A_THREAD 64      /* states of full tiles kept for the second way */

struct tile_ref {
	int32_t s, t, queries;
	int32_t first, chunks;                  /* chunk; how many from it on */
};

struct plan {
	struct sk_dev *dev;
	const struct sk_op_attend *a;
	const struct sk_cpu_attend_loops *loops;
	struct tile_ref *tiles;
	int32_t tiles_len, chunks_len;
	int32_t parts, part_heads;              /* the heads of a group, in parts of at most SK_TILE_ROWS_MAX */
	int32_t wide;
	float *states;                          /* one for each chunk of each unit; NULL in the first way */
	size_t state_floats;
};

static size_t line(size_t bytes)
{
	return (bytes + 63) & ~(size_t)63;
}

static size_t wide_of(const struct sk_dev_plan *p)
{
	return ((size_t)p->head_width + 15) & ~(size_t)15;
}

static size_t state_bytes(const struct sk_dev_plan *p)
{
	return line(SK_TILE_ROWS_MAX * (wide_of(p) + 2) * sizeof(float));
}

/* What a thread needs: scores, the running state, the state of a chunk. */
static size_t worker_bytes(const struct sk_dev_plan *p)
{
	return SK_TILE_ROWS_MAX * SK_ATTEND_CHUNK * sizeof(float) + 2 * state_bytes(p);
}

/* rope's table | tiles[tokens_max] | a thread's piece, each | states */
size_t sk_cpu_attend_scratch_bytes(const struct sk_dev_plan *p, int threads)
{
	return line(sk_cpu_rope_bytes(p)) + line((size_t)p->tokens_max * sizeof(struct tile_ref)) +
	       (size_t)threads * (worker_bytes(p) + STATES_A_THREAD * state_bytes(p));
}

static unsigned char *tiles_at(const struct sk_dev *dev)
{
	return dev->attend_scratch + line(sk_cpu_rope_bytes(&dev->plan));
}

static unsigned char *worker_at(const struct sk_dev *dev, int worker)
{
	return tiles_at(dev) + line((size_t)dev->plan.tokens_max * sizeof(struct tile_ref)) +
	       (size_t)worker * worker_bytes(&dev->plan);
}

static struct sk_cpu_attend_state state_in(float *at, int32_t rows, int32_t wide)
{
	float *m = at + (size_t)rows * (size_t)wide;

	return (struct sk_cpu_attend_state){ .o = at, .m = m, .l = m + rows };
}

/* The first chunk that a query at `pos` sees, and how many. */
static int32_t first_of(const struct sk_op_attend *a, int32_t pos)
{
	return a->window && !a->cross && pos >= a->window ? (pos + 1 - a->window) / SK_ATTEND_CHUNK : 0;
}

static int32_t chunks_of(const struct sk_op_attend *a, int32_t s, int32_t pos)
{
	int32_t keys = a->cross ? a->step->cross_len[s] : pos + 1;

	return (keys - 1) / SK_ATTEND_CHUNK + 1 - first_of(a, pos);
}

/*
 * Cut the step into tiles of up to `most` (a power of two that divides the chunk) queries; a tile starts and ends on
 * multiples of it, so that none crosses from one chunk into the next.
 */
static void cut(struct plan *p, int32_t most)
{
	const struct sk_step *st = p->a->step;

	for (int32_t s = 0; s < st->S; s++)
		for (int32_t t = st->seq_start[s], end = st->seq_start[s + 1], n; t < end; t += n) {
			int32_t pos = st->pos[t], room = most - pos % most;

			for (n = 1; n < room && t + n < end && st->pos[t + n] == pos + n; n++)
				;
			p->tiles[p->tiles_len] = (struct tile_ref){ .s = s, .t = t, .queries = n, .first = first_of(p->a, pos),
								      .chunks = chunks_of(p->a, s, pos) };
			p->chunks_len += p->tiles[p->tiles_len++].chunks;
		}
}

/* Tile `i` for the unit's kv head and part of its heads; *ret_y: where its first row goes. */
static struct sk_cpu_tile tile_get(const struct plan *p, int32_t i, int32_t head_part, float **ret_y)
{
	const struct sk_op_attend *a = p->a;
	const struct tile_ref *ref = &p->tiles[i];
	int32_t kv_head = head_part / p->parts, part = head_part % p->parts, group = a->heads / a->kv_heads;
	int32_t first = part * p->part_heads, left = group - first;
	int64_t at = ((int64_t)kv_head * group + first) * a->head_width;

	*ret_y = (float *)a->y.data + ref->t * a->y.stride + at;
	return (struct sk_cpu_tile){
		.kv = a->kv, .blocks = a->cross ? a->step->cross_blocks[ref->s] : a->step->blocks[ref->s], .layer = a->layer,
		.kv_head = kv_head, .keys = a->cross ? a->step->cross_len[ref->s] : 0, .head = kv_head * group + first,
		.bias = &a->bias,
		.pos = a->step->pos[ref->t], .queries = ref->queries, .heads = left < p->part_heads ? left : p->part_heads,
		.q = (const float *)a->q.data + ref->t * a->q.stride + at, .q_stride = a->q.stride, .scale = a->scale,
		.softcap = a->softcap, .window = a->cross ? 0 : a->window, .sinks = a->sinks ? a->sinks + kv_head * group + first : NULL,
	};
}

/* First way: the unit's chunks one after the other. The last tiles, which see most keys, go first. */
static void run_whole(void *arg, int32_t from, int32_t to, int worker)
{
	const struct plan *p = arg;
	int32_t head_parts = p->a->kv_heads * p->parts;
	float *scores = (float *)worker_at(p->dev, worker);

	for (int32_t u = from; u < to; u++) {
		int32_t i = p->tiles_len - 1 - u / head_parts;
		float *y, *at = scores + SK_TILE_ROWS_MAX * SK_ATTEND_CHUNK;
		struct sk_cpu_tile tile = tile_get(p, i, u % head_parts, &y);
		int32_t rows = tile.queries * tile.heads;
		struct sk_cpu_attend_state sum = state_in(at, rows, p->wide), next = state_in(at + p->state_floats, rows, p->wide);

		p->loops->chunk(&tile, p->tiles[i].first, sum, scores);
		for (int32_t c = 1; c < p->tiles[i].chunks; c++) {
			p->loops->chunk(&tile, p->tiles[i].first + c, next, scores);
			p->loops->merge(sum, next, rows, p->wide);
		}
		p->loops->finish(&tile, sum, y, p->a->y.stride);
	}
}

/* Second way: one chunk of one tile. Unit = head part * chunks_len + chunk among those of all tiles. */
static void run_split(void *arg, int32_t from, int32_t to, int worker)
{
	const struct plan *p = arg;
	float *scores = (float *)worker_at(p->dev, worker);

	for (int32_t u = from; u < to; u++) {
		int32_t i = 0, c = u % p->chunks_len;
		float *y;
		struct sk_cpu_tile tile;

		while (c >= p->tiles[i].chunks)
			c -= p->tiles[i++].chunks;
		tile = tile_get(p, i, u / p->chunks_len, &y);
		p->loops->chunk(&tile, p->tiles[i].first + c,
				state_in(p->states + (size_t)u * p->state_floats, tile.queries * tile.heads, p->wide), scores);
	}
}

static void run_merge(void *arg, int32_t from, int32_t to, int worker)
{
	const struct plan *p = arg;

	(void)worker;
	for (int32_t u = from; u < to; u++) {
		int32_t i = u % p->tiles_len, head_part = u / p->tiles_len;
		size_t first = (size_t)head_part * (size_t)p->chunks_len;
		float *y;
		struct sk_cpu_tile tile = tile_get(p, i, head_part, &y);
		int32_t rows = tile.queries * tile.heads;
		struct sk_cpu_attend_state sum;

		for (int32_t k = 0; k < i; k++)
			first += (size_t)p->tiles[k].chunks;
		sum = state_in(p->states + first * p->state_floats, rows, p->wide);
		for (int32_t c = 1; c < p->tiles[i].chunks; c++)
			{
			size_t at = (first + (size_t)c) * p->state_floats;

			p->loops->merge(sum, state_in(p->states + at, rows, p->wide), rows, p->wide);
		}
		p->loops->finish(&tile, sum, y, p->a->y.stride);
	}
}

void sk_cpu_attend_run(struct sk_dev *dev, const struct sk_op_attend *a, const struct sk_cpu_attend_loops *loops)
{
	int32_t group = a->heads / a->kv_heads, most = 1, head_parts, rows;
	size_t states_bytes = STATES_A_THREAD * state_bytes(&dev->plan) * (size_t)dev->threads;
	struct plan p = { .dev = dev, .a = a, .loops = loops, .wide = a->kv->wide };

	if (a->step->T == 0)
		return;
	if (SK_BUG_IF(!dev->attend_scratch || a->step->T > dev->plan.tokens_max || a->head_width > dev->plan.head_width ||
		      a->head_width != a->kv->spec.head_width || a->heads % a->kv_heads))
		return;
	p.parts = (group + SK_TILE_ROWS_MAX - 1) / SK_TILE_ROWS_MAX;
	p.part_heads = (group + p.parts - 1) / p.parts;
	while (2 * most * p.part_heads <= SK_TILE_ROWS_MAX)
		most *= 2;
	p.tiles = (struct tile_ref *)tiles_at(dev);
	cut(&p, most);
	head_parts = a->kv_heads * p.parts;
	p.state_floats = state_bytes(&dev->plan) / sizeof(float);
	if (dev->threads > 1 && p.chunks_len > p.tiles_len && p.tiles_len * head_parts < 4 * dev->threads) {
		/* A decoding tile has one query: its states take less room than a full tile's. */
		rows = 0;
		for (int32_t i = 0; i < p.tiles_len; i++)
			rows = p.tiles[i].queries * p.part_heads > rows ? p.tiles[i].queries * p.part_heads : rows;
		p.state_floats = (size_t)rows * ((size_t)p.wide + 2);
		if ((size_t)head_parts * (size_t)p.chunks_len <= states_bytes / (p.state_floats * sizeof(float))) {
			p.states = (float *)worker_at(dev, dev->threads);
			sk_cpu_run(dev, head_parts * p.chunks_len, 1, run_split, &p);
			sk_cpu_run(dev, head_parts * p.tiles_len, 0, run_merge, &p);
			return;
		}
		p.state_floats = state_bytes(&dev->plan) / sizeof(float);
	}
	sk_cpu_run(dev, p.tiles_len * head_parts, 1, run_whole, &p);
}

static void kv_range(void *arg, int32_t from, int32_t to, int worker)
{
	const struct sk_cpu_kv_job *job = arg;
	const struct sk_step *st = job->a->step;

	(void)worker;
	for (int32_t s = 0; s < st->S; s++) {
		int32_t start = st->seq_start[s], end = st->seq_start[s + 1];
		int32_t a = from > start ? from : start, b = to < end ? to : end;

		if (a >= b)
			continue;
		/* Two neighbouring tokens share the dwords of V: whoever has the even one writes both. */
		if (a > start && st->pos[a] % 2 && st->pos[a - 1] == st->pos[a] - 1)
			a++;
		if (b > a && b < end && st->pos[b] % 2 && st->pos[b - 1] == st->pos[b] - 1)
			b++;
		if (a < b)
			job->write(job->a, s, a, b);
	}
}

void sk_cpu_kv_write_run(struct sk_dev *dev, const struct sk_cpu_kv_job *job)
{
	int32_t T = job->a->step->T;

	if (T < 8)
		kv_range((void *)job, 0, T, 0);
	else
		sk_cpu_run(dev, T, T < 64 ? 4 : 16, kv_range, (void *)job);
}
