/* SPDX-License-Identifier: Apache-2.0 */
/* What the levels share of the operations on rows: how work is cut, and how the parts of a row are merged (rows.c). */
#ifndef SK_CPU_ROWS_H
#define SK_CPU_ROWS_H

#include "kernels/cpu/cpu.h"

/* Elements below which a barrier costs more than the work: 0.1-0.3 us against about 10 elements a nanosecond. */
#define SK_CPU_SERIAL_MAX 8192

/* Run fn over T rows of `width` elements: alone where it is little work, else in ranges of about 4096 elements. */
void sk_cpu_rows_run(struct sk_dev *dev, int32_t T, int32_t width, sk_pool_fn fn, void *arg);

/* One segment of one row of logits. */
struct sk_cpu_segment {
	float max;
	double sum;                     /* of e^(x - max) */
};

/*
 * Rows are cut in segments of SK_CPU_SEGMENT columns (more where V is above two million): the cut depends on V alone.
 * segment(): what x[0, n) adds, sum only when `sum` is asked for; find(): the first i with x[i] == value.
 */
#define SK_CPU_SEGMENT 2048
struct sk_cpu_stats_loops {
	void (*segment)(const float *x, int32_t n, bool sum, struct sk_cpu_segment *ret);
	int32_t (*find)(const float *x, int32_t n, float value);
};

void sk_cpu_row_stats_run(struct sk_dev *dev, const struct sk_op_row_stats *a, const struct sk_cpu_stats_loops *loops);

#endif
