/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The table of cos and sin for the positions of a step: q and k of every layer turn by the same angles, so they are
 * calculated once a step, not sixty times. It lies at the start of attend's scratch and is valid while everything it was
 * made from is the same, byte for byte (rows of frequencies are known by where they lie, and never change).
 *
 * The angle is float32, as float32 models have it; its cos and sin are libm's, correct to the last bit or nearly
 * for any angle. The table holds them as the rotation uses them, y = x C + partner(x) S, with
 *
 *	C = c0 c1 .. c0 c1 ..           S = -s0 -s1 .. s0 s1 ..
 */
#include "kernels/cpu/attend.h"

#include <math.h>
#include <string.h>

struct rope_table {
	int32_t T, rotary_width;
	float factor;
	const float *rows_of;   /* inv_freq where each token has its own row of it; else NULL */
	/* then: float inv_freq[head_width / 2], int32_t pos[tokens_max], freq_rows[tokens_max], float table[tokens_max][2 * head_width] */
};

#define HEAD_BYTES 64           /* the struct's place, a cache line */

static size_t line(size_t bytes)
{
	return (bytes + 63) & ~(size_t)63;
}

size_t sk_cpu_rope_bytes(const struct sk_dev_plan *plan)
{
	size_t T = (size_t)plan->tokens_max, d = (size_t)plan->head_width;

	return HEAD_BYTES + line(d / 2 * sizeof(float)) + 2 * line(T * sizeof(int32_t)) + line(T * 2 * d * sizeof(float));
}

static void fill_row(float *row, int32_t t, const struct sk_op_rope *a)
{
	const float *inv_freq = a->inv_freq + (a->freq_rows ? (int64_t)a->freq_rows[t] * a->freq_stride : 0);
	float pos = (float)a->pos[t];
	int32_t w = a->rotary_width, half = w / 2;

	for (int32_t i = 0; i < half; i++) {
		float angle = pos * inv_freq[i];
		float c = cosf(angle) * a->factor, s = sinf(angle) * a->factor;

		row[i] = row[i + half] = c;
		row[w + i] = -s;
		row[w + i + half] = s;
	}
}

struct fill {
	const struct sk_op_rope *a;
	float *table;
};

static void fill_rows(void *arg, int32_t from, int32_t to, int worker)
{
	const struct fill *f = arg;

	(void)worker;
	for (int32_t t = from; t < to; t++)
		fill_row(f->table + (size_t)t * 2 * (size_t)f->a->rotary_width, t, f->a);
}

const float *sk_cpu_rope_table(struct sk_dev *dev, const struct sk_op_rope *a)
{
	struct rope_table *r = (struct rope_table *)dev->attend_scratch;
	size_t d = (size_t)dev->plan.head_width, T = (size_t)a->x.dim[0], freqs = (size_t)(a->rotary_width / 2);
	size_t column = line((size_t)dev->plan.tokens_max * sizeof(int32_t));
	float *inv_freq;
	int32_t *pos, *rows;
	struct fill f;

	if (SK_BUG_IF(!r || T > (size_t)dev->plan.tokens_max || (size_t)a->rotary_width > d || a->rotary_width % 2))
		return NULL;
	inv_freq = (float *)(dev->attend_scratch + HEAD_BYTES);
	pos = (int32_t *)((unsigned char *)inv_freq + line(d / 2 * sizeof(float)));
	f.a = a;
	rows = (int32_t *)((unsigned char *)pos + column);
	f.table = (float *)((unsigned char *)rows + column);
	if ((size_t)r->T >= T && r->rotary_width == a->rotary_width &&
	    r->factor == a->factor && !memcmp(inv_freq, a->inv_freq, freqs * sizeof *inv_freq) &&
	    !memcmp(pos, a->pos, T * sizeof *pos) && r->rows_of == (a->freq_rows ? a->inv_freq : NULL) &&
	    (!a->freq_rows || !memcmp(rows, a->freq_rows, T * sizeof *rows)))
		return f.table;
	r->T = (int32_t)T;
	r->rotary_width = a->rotary_width;
	r->factor = a->factor;
	memcpy(inv_freq, a->inv_freq, freqs * sizeof *inv_freq);
	memcpy(pos, a->pos, T * sizeof *pos);
	r->rows_of = a->freq_rows ? a->inv_freq : NULL;
	if (a->freq_rows)
		memcpy(rows, a->freq_rows, T * sizeof *rows);
	if (T < 16)
		fill_rows(&f, 0, (int32_t)T, 0);
	else
		sk_cpu_run(dev, (int32_t)T, 16, fill_rows, &f);
	return f.table;
}
