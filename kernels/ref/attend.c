/* SPDX-License-Identifier: Apache-2.0 */
/* The reference: the KV pool and attention over it. */
#include "kernels/ref/ref.h"

#include <math.h>

#include "kernels/quant/half.h"

/* Index of (layer, position p of a sequence, kv head h, dim 0) in k and v. */
static size_t kv_at(const struct sk_kv *kv, int32_t layer, const int32_t *blocks, int32_t p, int32_t h)
{
	size_t block = (size_t)layer * (size_t)kv->spec.blocks + (size_t)blocks[p / SK_KV_BLOCK];

	return ((block * (size_t)kv->spec.kv_heads + (size_t)h) * SK_KV_BLOCK + (size_t)(p % SK_KV_BLOCK)) *
	       (size_t)kv->spec.head_width;
}

static void kv_set(const struct sk_kv *kv, void *to, size_t at, float value)
{
	if (kv->spec.dtype == SK_BF16)
		((uint16_t *)to)[at] = sk_bf16_of_f32(value);
	else
		((float *)to)[at] = value;
}

static double kv_value(const struct sk_kv *kv, const void *from, size_t at)
{
	return kv->spec.dtype == SK_BF16 ? (double)sk_f32_of_bf16(((const uint16_t *)from)[at])
					 : (double)((const float *)from)[at];
}

/* cache[layer][pos[t]] = round to the pool's type (k[t]), v likewise */
void ref_kv_write(struct sk_dev *dev, const struct sk_op_kv_write *a)
{
	const struct sk_step *st = a->step;
	int32_t d = a->kv->spec.head_width;

	(void)dev;
	for (int32_t s = 0; s < st->S; s++)
		for (int32_t t = st->seq_start[s]; t < st->seq_start[s + 1]; t++)
			for (int32_t h = 0; h < a->kv->spec.kv_heads; h++) {
				size_t at = kv_at(a->kv, a->layer, st->blocks[s], st->pos[t], h);

				for (int32_t i = 0; i < d; i++) {
					kv_set(a->kv, a->kv->k, at + (size_t)i, ref_row(&a->k, t)[h * d + i]);
					kv_set(a->kv, a->kv->v, at + (size_t)i, ref_row(&a->v, t)[h * d + i]);
				}
			}
}

/* What is added to a scaled score, of the kinds that add something to it. */
static double bias_of(const struct sk_attend_bias *b, int32_t head, int32_t i, int32_t j)
{
	int32_t apart = j - i;

	switch (b->kind) {
	case SK_BIAS_NONE:
	case SK_BIAS_ALIBI_BF16:
		break;
	case SK_BIAS_ALIBI:
		return (double)b->data[head] * j;
	case SK_BIAS_TABLE:
		apart = apart < -b->reach ? -b->reach : apart > b->reach ? b->reach : apart;
		return (double)b->data[(int64_t)head * (2 * b->reach + 1) + apart + b->reach];
	}
	return 0.0;
}

/* The score of key j for the query at position i, from their product. */
static double score_of(const struct sk_op_attend *a, int32_t head, int32_t i, int32_t j, double dot)
{
	double score = dot * (double)a->scale;

	if (a->bias.kind == SK_BIAS_ALIBI_BF16) {
		float slope = sk_f32_of_bf16(sk_bf16_of_f32(a->bias.data[head]));

		return (dot + (double)sk_f32_of_bf16(sk_bf16_of_f32(slope * (float)j))) * (double)a->scale;
	}
	if (a->softcap > 0.0f)
		score = (double)a->softcap * tanh(score / (double)a->softcap);
	return score + bias_of(&a->bias, head, i, j);
}

/* One query head over keys [first, keys): y = sum_j e^(s_j - max) v_j / sum_j e^(s_j - max), a sink among the latter's */
static void attend_head(struct sk_dev *dev, const struct sk_op_attend *a, const int32_t *blocks, int32_t keys, int32_t pos,
			int32_t head, const float *q, float *y)
{
	int32_t d = a->head_width, kv_head = head / (a->heads / a->kv_heads);
	int32_t first = a->window && keys > a->window ? keys - a->window : 0;
	double max = -INFINITY, sum = 0.0, *acc = dev->x;

	for (int32_t i = 0; i < d; i++)
		acc[i] = 0.0;
	for (int32_t from = first / SK_ATTEND_CHUNK * SK_ATTEND_CHUNK; from < keys; from += SK_ATTEND_CHUNK) {
		int32_t end = from + SK_ATTEND_CHUNK < keys ? from + SK_ATTEND_CHUNK : keys, begin = from < first ? first : from;
		double score[SK_ATTEND_CHUNK], chunk_max = -INFINITY, keep;

		for (int32_t j = begin; j < end; j++) {
			size_t at = kv_at(a->kv, a->layer, blocks, j, kv_head);
			double dot = 0.0;

			for (int32_t i = 0; i < d; i++)
				dot += (double)q[i] * kv_value(a->kv, a->kv->k, at + (size_t)i);
			score[j - from] = score_of(a, head, pos, j, dot);
			chunk_max = fmax(chunk_max, score[j - from]);
		}
		if (chunk_max > max) {
			keep = exp(max - chunk_max);
			max = chunk_max;
			sum *= keep;
			for (int32_t i = 0; i < d; i++)
				acc[i] *= keep;
		}
		for (int32_t j = begin; j < end; j++) {
			size_t at = kv_at(a->kv, a->layer, blocks, j, kv_head);
			double p = exp(score[j - from] - max);

			sum += p;
			for (int32_t i = 0; i < d; i++)
				acc[i] += p * kv_value(a->kv, a->kv->v, at + (size_t)i);
		}
	}
	if (a->sinks) {
		double most = fmax(max, (double)a->sinks[head]), keep = exp(max - most);

		sum = sum * keep + exp((double)a->sinks[head] - most);
		for (int32_t i = 0; i < d; i++)
			acc[i] *= keep;
	}
	for (int32_t i = 0; i < d; i++)
		y[i] = (float)(acc[i] / sum);
}

void ref_attend(struct sk_dev *dev, const struct sk_op_attend *a)
{
	const struct sk_step *st = a->step;

	for (int32_t s = 0; s < st->S; s++)
		for (int32_t t = st->seq_start[s]; t < st->seq_start[s + 1]; t++)
			for (int32_t h = 0; h < a->heads; h++) {
				int64_t at = (int64_t)h * a->head_width;

				attend_head(dev, a, a->cross ? st->cross_blocks[s] : st->blocks[s],
					    a->cross ? st->cross_len[s] : st->pos[t] + 1, st->pos[t], h,
					    ref_row(&a->q, t) + at, ref_row(&a->y, t) + at);
			}
}
