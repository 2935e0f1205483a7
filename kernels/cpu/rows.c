/* SPDX-License-Identifier: Apache-2.0 */
/* Operations on rows: the part that is the same for every level of instruction set. */
#include "kernels/cpu/rows.h"

#include <math.h>
#include <string.h>

void sk_cpu_rows_run(struct sk_dev *dev, int32_t T, int32_t width, sk_pool_fn fn, void *arg)
{
	int32_t grain = width < 4096 ? 4096 / (width > 0 ? width : 1) : 1;

	if (T <= 0)
		return;
	if ((int64_t)T * width < SK_CPU_SERIAL_MAX)
		fn(arg, 0, T, 0);
	else
		sk_cpu_run(dev, T, grain, fn, arg);
}

static void copy_rows(void *arg, int32_t from, int32_t to, int worker)
{
	const struct sk_op_rows *a = arg;
	const float *x = a->x.data;
	float *y = a->y.data;

	(void)worker;
	for (int32_t i = from; i < to; i++)
		memmove(y + i * a->y.stride, x + a->rows[i] * a->x.stride, (size_t)a->y.dim[1] * sizeof *y);
}

/* In order on one thread: y may be x when rows ascend. */
void sk_cpu_rows_portable(struct sk_dev *dev, const struct sk_op_rows *a)
{
	(void)dev;
	copy_rows((void *)a, 0, a->rows_len, 0);
}

/* ---- row_stats ---- */

#define SEGMENTS_MAX 1024

struct stats {
	const struct sk_op_row_stats *a;
	const struct sk_cpu_stats_loops *loops;
	int32_t row, segment, segments;         /* first row of this group; columns of a segment; segments of a row */
	struct sk_cpu_segment part[SEGMENTS_MAX];
};

static const float *segment_at(const struct stats *st, int32_t row, int32_t s, int32_t *ret_n)
{
	int64_t first = (int64_t)s * st->segment, left = st->a->x.dim[1] - first;

	*ret_n = (int32_t)(left < st->segment ? left : st->segment);
	return (const float *)st->a->x.data + row * st->a->x.stride + first;
}

static void stats_segments(void *arg, int32_t from, int32_t to, int worker)
{
	struct stats *st = arg;

	(void)worker;
	for (int32_t i = from; i < to; i++) {
		int32_t n;
		const float *x = segment_at(st, st->row + i / st->segments, i % st->segments, &n);

		st->loops->segment(x, n, st->a->logsumexp != NULL, &st->part[i]);
	}
}

/* Segments of a row in ascending order, in double. */
static void stats_merge(void *arg, int32_t from, int32_t to, int worker)
{
	const struct stats *st = arg;
	const struct sk_op_row_stats *a = st->a;

	(void)worker;
	for (int32_t i = from; i < to; i++) {
		const struct sk_cpu_segment *part = st->part + (size_t)i * (size_t)st->segments;
		int32_t row = st->row + i, best = 0, n;
		double sum = 0.0;

		for (int32_t s = 1; s < st->segments; s++)
			if (part[s].max > part[best].max)
				best = s;
		if (a->max)
			a->max[row] = part[best].max;
		if (a->argmax) {
			const float *x = segment_at(st, row, best, &n);

			a->argmax[row] = part[best].max == -INFINITY ? 0 : best * st->segment + st->loops->find(x, n, part[best].max);
		}
		if (!a->logsumexp)
			continue;
		for (int32_t s = 0; s < st->segments; s++)
			sum += part[s].max == -INFINITY ? part[s].sum : part[s].sum * exp((double)part[s].max - (double)part[best].max);
		a->logsumexp[row] = isinf(part[best].max) ? part[best].max : (float)((double)part[best].max + log(sum));
	}
}

void sk_cpu_row_stats_run(struct sk_dev *dev, const struct sk_op_row_stats *a, const struct sk_cpu_stats_loops *loops)
{
	int32_t rows = a->x.dim[0], V = a->x.dim[1], most;
	struct stats st = { .a = a, .loops = loops, .segment = SK_CPU_SEGMENT };

	if (V <= 0)
		return;
	while ((V - 1) / st.segment >= SEGMENTS_MAX)
		st.segment *= 2;
	st.segments = (V - 1) / st.segment + 1;
	most = SEGMENTS_MAX / st.segments;
	for (; st.row < rows; st.row += most) {
		int32_t n = rows - st.row < most ? rows - st.row : most;

		if (n * st.segments < 4)
			stats_segments(&st, 0, n * st.segments, 0);
		else
			sk_cpu_run(dev, n * st.segments, n > 1 ? 4 : 0, stats_segments, &st);
		if (n < 4)
			stats_merge(&st, 0, n, 0);
		else
			sk_cpu_run(dev, n, 1, stats_merge, &st);
	}
}
