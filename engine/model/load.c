/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Loading: norms, biases and tables become float32 vectors; linears are repacked, one after the other, and the file's pages
 * given back behind them. However a checkpoint stores q, k and v (three tensors, one after the other in one, group by group,
 * transposed, the two dims that rope turns together side by side), the device gets one weight with rows q | k | v, and of
 * each head of q and k first the one dims of the pairs, then the other ones: the same model has the same bits from every form of file.
 */
#include "engine/model/inside.h"

#include "engine/arch/config.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* What every step of loading needs. */
struct loader {
	struct sk_model *m;
	const struct sk_weights *w;
	_Atomic uint64_t *done;
	_Atomic bool *stop;
	struct sk_err *err;
	float *row;                             /* host: one vector, row_len floats */
	uint64_t row_len;
	bool more_to_come;                      /* the tensors' other rows are still needed */
	struct turned { void *data; const struct sk_tensor *from; } turned[SK_PARTS_MAX];       /* transposed tensors the right way round */
};

static const struct sk_tensor *find(const struct loader *ld, enum sk_slot slot, int32_t layer)
{
	return sk_slot_find(ld->w, ld->m->arch, slot, layer);
}

/* After a tensor was read: progress, pages back. SK_ECANCELED when asked to stop. */
static sk_status tensor_done(struct loader *ld, const struct sk_tensor *t)
{
	for (int i = 0; i < SK_PARTS_MAX; i++)
		if (ld->turned[i].from == t) {
			free(ld->turned[i].data);
			ld->turned[i] = (struct turned){ NULL, NULL };
		}
	sk_weights_drop(ld->w, t);
	if (ld->done)
		atomic_fetch_add_explicit(ld->done, t->bytes, memory_order_relaxed);
	if (ld->stop && atomic_load_explicit(ld->stop, memory_order_relaxed))
		return sk_fail(ld->err, SK_ECANCELED, "loading was stopped");
	return SK_OK;
}

/* ---- vectors -------------------------------------------------------------------------------------------------- */

/* ld->row[0, len) goes to the device; sk_model_vectors() counted its place. */
static const float *put_vector(struct loader *ld, uint64_t len)
{
	struct sk_model *m = ld->m;
	float *to = m->vectors + m->vectors_used;

	if (SK_BUG_IF(m->vectors_used + (len + 15) / 16 * 16 > m->vectors_len || len > ld->row_len))
		return NULL;
	m->backend->put(m->dev, to, ld->row, sizeof(float) * (size_t)len);
	m->vectors_used += (len + 15) / 16 * 16;
	return to;
}

/* The weight of a norm, not its bias. */
static bool is_norm(enum sk_slot slot)
{
	static const enum sk_slot norms[] = { SK_W_EMBED_NORM, SK_W_OUT_NORM, SK_W_ATTN_NORM, SK_W_Q_NORM, SK_W_K_NORM, SK_W_ATTN_POST_NORM,
					      SK_W_FFN_NORM, SK_W_FFN_POST_NORM };

	for (size_t i = 0; i < sizeof(norms) / sizeof(norms[0]); i++)
		if (slot == norms[i])
			return true;
	return false;
}

/* A vector of the file; *ret_v stays NULL where it has none. */
static sk_status load_vector(struct loader *ld, enum sk_slot slot, int32_t layer, float scale, const float **ret_v)
{
	const struct sk_tensor *t = find(ld, slot, layer);

	if (!t)
		return SK_OK;
	sk_quant_get(t->dtype)->dequantise(t->data, ld->row, (size_t)t->dim[0]);
	for (int64_t i = 0; i < t->dim[0] && is_norm(slot) && ld->m->dims.norm_less_one; i++)
		ld->row[i] += 1.0f;
	for (int64_t i = 0; i < t->dim[0] && scale != 1.0f; i++)
		ld->row[i] *= scale;
	*ret_v = put_vector(ld, (uint64_t)t->dim[0]);
	return tensor_done(ld, t);
}

/* slot is the norm's weight, the next one its bias. `always`: a norm without tensors is one with ones and zeros. */
static sk_status load_norm(struct loader *ld, enum sk_slot slot, int32_t layer, bool always, struct sk_model_norm *n)
{
	float scale = slot == SK_W_OUT_NORM && ld->m->dims.out_scale > 0.0f ? ld->m->dims.out_scale : 1.0f;
	sk_status st = load_vector(ld, slot, layer, scale, &n->w);

	if (st >= 0)
		st = load_vector(ld, slot + 1, layer, scale, &n->b);
	n->there = always || n->w;
	return st;
}

/* The numbers of a head, of which rope turns neighbours: the even ones of what turns come first, as the rows of q and k are put. */
static void part_pairs(const struct sk_dims *d, float *x)
{
	float odd[SK_HEAD_WIDTH_MAX / 2];
	int32_t half = d->rope.width / 2;

	for (int32_t i = 0; i < half; i++)
		odd[i] = x[2 * i + 1];
	for (int32_t i = 0; i < half; i++)
		x[i] = x[2 * i];
	memcpy(x + half, odd, sizeof(*odd) * (size_t)half);
}

/* Weight or bias of a norm of heads; how many numbers it has, 0 where it is not there. */
static sk_status load_head_vector(struct loader *ld, enum sk_slot slot, int32_t layer, const float **ret_v, int64_t *ret_len)
{
	const struct sk_dims *d = &ld->m->dims;
	const struct sk_tensor *t = find(ld, slot, layer);

	*ret_len = t ? sk_tensor_len(t) : 0;
	if (!t)
		return SK_OK;
	sk_quant_get(t->dtype)->dequantise(t->data, ld->row, (size_t)*ret_len);
	for (int64_t i = 0; i < *ret_len && is_norm(slot) && d->norm_less_one; i++)
		ld->row[i] += 1.0f;
	for (int64_t at = 0; at < *ret_len && d->rope.interleaved; at += d->head_width)
		part_pairs(d, ld->row + at);
	*ret_v = put_vector(ld, (uint64_t)*ret_len);
	return tensor_done(ld, t);
}

/* As many numbers as a head has are for each of them; a row for each head is each its own; else all heads are normed as one. */
static sk_status load_head_norm(struct loader *ld, enum sk_slot slot, int32_t layer, int32_t heads, struct sk_head_norm *n)
{
	const struct sk_tensor *t = find(ld, slot, layer);
	int64_t len = 0, bias_len = 0;
	sk_status st = load_head_vector(ld, slot, layer, &n->n.w, &len);

	if (st >= 0)
		st = load_head_vector(ld, slot + 1, layer, &n->n.b, &bias_len);
	n->n.there = len > 0;
	n->each = t && t->dims == 2;
	n->parts = n->each || len == ld->m->dims.head_width ? heads : 1;
	return st;
}

/* One row of frequencies for all, or one for each length that a sequence can have beyond the model's own. */
static sk_status load_frequencies(struct loader *ld, const struct sk_rope *r, struct sk_model_rope *to)
{
	const struct sk_tensor *t = find(ld, SK_W_ROPE_FREQS, 0);
	int32_t half = r->width / 2;
	float factors[1024 / 2];

	if (SK_BUG_IF((size_t)half > sizeof(factors) / sizeof(factors[0])))
		return SK_EBUG;
	to->factor = sk_rope_frequencies(r, 0, ld->row);
	if (t)                                  /* Llama 3 in a GGUF: the file's own factor of each frequency */
		sk_quant_get(t->dtype)->dequantise(t->data, factors, (size_t)half);
	for (int32_t i = 0; i < half && t; i++) {
		if (!(factors[i] > 0.0f && factors[i] < 1e9f))
			return sk_fail(ld->err, SK_EFORMAT, "%s: tensor %s: factor %d is %g, it must be above 0 and below 1e9",
				       sk_weights_path(ld->w), t->name, i, (double)factors[i]);
		ld->row[i] /= factors[i];
	}
	to->inv_freq = put_vector(ld, (uint64_t)half);
	to->stride = (half + 15) / 16 * 16;             /* put_vector's */
	for (int32_t k = 1; k <= r->lengths; k++) {
		sk_rope_frequencies(r, r->original + k, ld->row);
		put_vector(ld, (uint64_t)half);
	}
	return t ? tensor_done(ld, t) : SK_OK;
}

/* LONG of a GGUF: the factors are tensors. */
static sk_status load_stretch(struct loader *ld, enum sk_slot slot, float to[SK_ROPE_STRETCH_MAX])
{
	const struct sk_tensor *t = find(ld, slot, 0);

	if (!t)
		return SK_OK;
	if (t->dim[0] > SK_ROPE_STRETCH_MAX)
		return sk_fail(ld->err, SK_ETOOBIG, "%s: tensor %s has %" PRId64 " factors, the limit is %d", sk_weights_path(ld->w), t->name,
			       t->dim[0], SK_ROPE_STRETCH_MAX);
	sk_quant_get(t->dtype)->dequantise(t->data, to, (size_t)t->dim[0]);
	for (int64_t i = 0; i < t->dim[0]; i++)
		if (!(to[i] > 0.0f && to[i] < 1e9f))
			return sk_fail(ld->err, SK_EFORMAT, "%s: tensor %s: factor %d is %g, it must be above 0 and below 1e9",
				       sk_weights_path(ld->w), t->name, (int)i, (double)to[i]);
	return tensor_done(ld, t);
}

static sk_status load_rope(struct loader *ld)
{
	struct sk_dims *d = &ld->m->dims;
	sk_status st;

	if (d->position != SK_POS_ROPE)
		return SK_OK;
	st = load_stretch(ld, SK_W_ROPE_SHORT, d->rope.stretch[0]);
	if (st >= 0)
		st = load_stretch(ld, SK_W_ROPE_LONG, d->rope.stretch[1]);
	if (st >= 0)
		st = load_frequencies(ld, &d->rope, &ld->m->rope);
	return st < 0 || !d->two_ropes ? st : load_frequencies(ld, &d->rope_local, &ld->m->rope_local);
}

/*
 * Slopes of ALiBi: 2^(-8 i / n), i from 1, for n heads, a power of two; further heads take every other slope of 2n. As the
 * Hugging Face library calculates them, in float32. Another number than 8: alibi_max.
 */
static void load_slopes(struct loader *ld)
{
	struct sk_model *m = ld->m;
	int32_t heads = m->dims.heads, n = 1;
	double last = m->dims.alibi_max > 0.0f ? (double)m->dims.alibi_max : 8.0;
	float base, between;

	if (m->dims.position != SK_POS_ALIBI && m->dims.position != SK_POS_ALIBI_BF16)
		return;
	while (2 * n <= heads)
		n *= 2;
	base = (float)pow(2.0, -last / n);
	between = (float)pow(2.0, -last / 2.0 / n);
	for (int32_t h = 0; h < heads; h++)
		ld->row[h] = h < n ? powf(base, (float)(h + 1)) : powf(between, (float)(2 * (h - n) + 1));
	m->bias = (struct sk_attend_bias){ .kind = m->dims.position == SK_POS_ALIBI ? SK_BIAS_ALIBI : SK_BIAS_ALIBI_BF16,
					   .data = put_vector(ld, (uint64_t)heads) };
}

/*
 * The bucket of key j for the query at i, apart = j - i. The encoder gives half of the buckets to each side; a decoder looks
 * back only. Half of a side's buckets are distances as they are, the rest grows with the logarithm up to `distance`.
 */
static int32_t bucket(int32_t apart, int32_t buckets, int32_t distance, bool both)
{
	int32_t first = 0, n = both ? (apart < 0 ? -apart : apart) : (apart < 0 ? -apart : 0), exact, large;

	if (both) {
		buckets /= 2;
		first = apart > 0 ? buckets : 0;
	}
	exact = buckets / 2;
	if (n < exact)
		return first + n;
	large = exact + (int32_t)(logf((float)n / (float)exact) / (float)log((double)distance / exact) * (float)(buckets - exact));
	return first + (large < buckets - 1 ? large : buckets - 1);
}

/* The table of a relative bias, [heads][2 * reach + 1], from the file's [buckets][heads]. */
static sk_status load_relative(struct loader *ld, enum sk_slot slot, bool both, struct sk_attend_bias *ret_bias)
{
	const struct sk_dims *d = &ld->m->dims;
	const struct sk_tensor *t = find(ld, slot, 0);
	int32_t reach = d->rel_distance, wide = 2 * reach + 1;
	float *values = malloc(sizeof(*values) * (size_t)d->rel_buckets * (size_t)d->heads);

	if (!values)
		return sk_fail(ld->err, SK_ENOMEM, "out of memory");
	sk_quant_get(t->dtype)->dequantise(t->data, values, (size_t)d->rel_buckets * (size_t)d->heads);
	for (int32_t h = 0; h < d->heads; h++)
		for (int32_t apart = -reach; apart <= reach; apart++)
			ld->row[(size_t)h * (size_t)wide + (size_t)(apart + reach)] =
				values[(size_t)bucket(apart, d->rel_buckets, d->rel_distance, both) * (size_t)d->heads + (size_t)h];
	free(values);
	*ret_bias = (struct sk_attend_bias){ .kind = SK_BIAS_TABLE, .reach = reach,
					     .data = put_vector(ld, (uint64_t)d->heads * (uint64_t)wide) };
	return tensor_done(ld, t);
}

static sk_status load_biases_of_position(struct loader *ld)
{
	struct sk_model *m = ld->m;
	sk_status st;

	load_slopes(ld);
	if (m->dims.position != SK_POS_RELATIVE)
		return SK_OK;
	st = load_relative(ld, SK_W_REL_BIAS, false, &m->bias);
	return st < 0 || !m->dims.encoder_layers ? st : load_relative(ld, SK_W_ENC_REL_BIAS, true, &m->encoder_bias);
}

static sk_status load_layer_norms(struct loader *ld, int32_t l)
{
	struct sk_model *m = ld->m;
	struct sk_layer *y = &m->layers[l];
	bool plain = m->dims.plain_norms;
	sk_status st = load_norm(ld, SK_W_ATTN_NORM, l, plain, &y->self.norm);

	if (st >= 0)
		st = load_norm(ld, SK_W_FFN_NORM, l, plain && m->dims.residual != SK_RESIDUAL_PARALLEL, &y->mlp.norm);
	if (st >= 0)
		st = load_norm(ld, SK_W_ATTN_POST_NORM, l, false, &y->self.post);
	if (st >= 0)
		st = load_norm(ld, SK_W_FFN_POST_NORM, l, false, &y->mlp.post);
	if (st >= 0)
		st = load_head_norm(ld, SK_W_Q_NORM, l, m->dims.heads, &y->self.q_norm);
	if (st >= 0)
		st = load_head_norm(ld, SK_W_K_NORM, l, m->dims.kv_heads, &y->self.k_norm);
	if (st >= 0)
		st = load_vector(ld, SK_W_SINKS, l, 1.0f, &y->self.sinks);
	return st < 0 || !m->dims.encoder_layers ? st : load_norm(ld, SK_W_CROSS_NORM, l, true, &y->cross.norm);
}

static sk_status load_vectors(struct loader *ld)
{
	struct sk_model *m = ld->m;
	sk_status st;

	m->vectors_len = sk_model_vectors(ld->w, m->arch, &m->dims);
	m->vectors = m->backend->alloc(m->dev, sizeof(float) * (size_t)m->vectors_len);
	if (!m->vectors && sk_model_sync(m, ld->err) < 0)
		return SK_EDEVICE;
	if (!m->vectors)
		return sk_fail(ld->err, SK_ENOMEM, "no memory for %" PRIu64 " floats of norms and biases", m->vectors_len);
	st = load_rope(ld);
	if (st >= 0)
		st = load_biases_of_position(ld);
	if (st >= 0)
		st = load_norm(ld, SK_W_EMBED_NORM, 0, false, &m->embed_norm);
	if (st >= 0)
		st = load_norm(ld, SK_W_OUT_NORM, 0, !m->dims.no_out_norm, &m->out_norm);
	for (int32_t l = 0; l < m->dims.layers && st >= 0; l++)
		st = load_layer_norms(ld, l);
	if (st >= 0 && m->dims.encoder_layers)
		st = load_norm(ld, SK_W_ENC_OUT_NORM, 0, true, &m->encoder_norm);
	for (int32_t l = 0; l < m->dims.encoder_layers && st >= 0; l++) {
		st = load_norm(ld, SK_W_ENC_ATTN_NORM, l, true, &m->encoder[l].self.norm);
		if (st >= 0)
			st = load_norm(ld, SK_W_ENC_FFN_NORM, l, true, &m->encoder[l].mlp.norm);
	}
	return st;
}

/* ---- linears: rows of tensors --------------------------------------------------------------------------------- */

/* Of the weight and bias of a slot: `rows` rows from `first` on, each `step` behind the one before. */
struct rows { enum sk_slot slot; int32_t first, rows, step; };

/* The rows of a transposed tensor as they are needed: copied once, kept until the tensor is done. */
static sk_status turn(struct loader *ld, const struct sk_tensor *t, const void **ret_rows)
{
	size_t K = (size_t)t->dim[0], N = (size_t)t->dim[1], size = t->bytes / (K * N);
	const unsigned char *from = t->data;
	unsigned char *to;
	int i = 0;

	while (i < SK_PARTS_MAX && ld->turned[i].from && ld->turned[i].from != t)
		i++;
	if (SK_BUG_IF(i == SK_PARTS_MAX))
		return SK_EBUG;
	*ret_rows = ld->turned[i].data;
	if (ld->turned[i].from)
		return SK_OK;
	if (sk_quant_get(t->dtype)->block_len != 1)
		return sk_fail(ld->err, SK_ENOTSUP, "%s: tensor %s is stored transposed in blocks, which is not supported",
			       sk_weights_path(ld->w), t->name);
	*ret_rows = ld->turned[i].data = to = malloc(t->bytes);
	if (!to)
		return sk_fail(ld->err, SK_ENOMEM, "no memory to turn tensor %s of %zu bytes", t->name, t->bytes);
	ld->turned[i].from = t;
	for (size_t n0 = 0; n0 < N; n0 += 16)           /* so few rows that their lines stay in the cache */
		for (size_t k = 0; k < K; k++)
			for (size_t n = n0; n < N && n < n0 + 16; n++)
				memcpy(to + (n * K + k) * size, from + (k * N + n) * size, size);
	return SK_OK;
}

static sk_status source(struct loader *ld, const struct rows *r, int32_t layer, struct sk_weight_src *ret_src)
{
	const struct sk_tensor *t = find(ld, r->slot, layer);
	bool turned = sk_slot_transposed(ld->w, ld->m->arch, r->slot, layer);
	int32_t K = (int32_t)t->dim[turned ? 0 : t->dims - 1];
	size_t row_bytes = t->bytes / (size_t)(turned ? t->dim[1] : sk_tensor_len(t) / K);
	const void *data = t->data;
	sk_status st = turned ? turn(ld, t, &data) : SK_OK;

	if (st < 0)
		return st;
	*ret_src = (struct sk_weight_src){
		.data = (const unsigned char *)data + (size_t)r->first * row_bytes,
		.dtype = t->dtype, .N = r->rows, .K = K, .row_bytes = row_bytes * (size_t)r->step };
	return SK_OK;
}

/* Whether a slot of the list has a bias. Embeddings and positions have none, and may have more rows than any vector. */
static bool any_bias(const struct loader *ld, const struct rows *list, int32_t len, int32_t layer)
{
	for (int32_t i = 0; i < len; i++)
		if (find(ld, list[i].slot + 1, layer))
			return true;
	return false;
}

/* Vectors are plain numbers: sk_rule_check() saw to it. */
static void read_bias(const struct sk_tensor *t, const struct rows *r, float *to)
{
	const struct sk_quant *q = sk_quant_get(t->dtype);
	const unsigned char *from = (const unsigned char *)t->data + (size_t)r->first * q->block_bytes;

	if (r->step == 1)
		q->dequantise(from, to, (size_t)r->rows);
	for (int32_t i = 0; i < r->rows && r->step != 1; i++, from += (size_t)r->step * q->block_bytes)
		q->dequantise(from, to + i, 1);
}

/* The biases of the rows, one after the other, zeros where a slot has none; nothing where none has one. */
static sk_status load_biases(struct loader *ld, const struct rows *list, int32_t len, int32_t layer, const float **ret_bias)
{
	uint64_t at = 0;

	if (!any_bias(ld, list, len, layer))
		return SK_OK;
	for (int32_t i = 0; i < len; at += (uint64_t)list[i++].rows) {
		const struct sk_tensor *t = find(ld, list[i].slot + 1, layer);

		if (SK_BUG_IF(at + (uint64_t)list[i].rows > ld->row_len))
			return sk_fail(ld->err, SK_EBUG, "%s: a bias of %" PRIu64 " numbers in layer %d, room was made for %" PRIu64,
				       sk_weights_path(ld->w), at + (uint64_t)list[i].rows, layer, ld->row_len);
		if (t)
			read_bias(t, &list[i], ld->row + at);
		else
			memset(ld->row + at, 0, sizeof(float) * (size_t)list[i].rows);
	}
	*ret_bias = put_vector(ld, at);
	return SK_OK;
}

/* Whether a slot of the list comes again further on: its tensor is still needed. */
static bool comes_again(const struct rows *list, int32_t len, int32_t i)
{
	for (int32_t k = i + 1; k < len; k++)
		if (list[k].slot == list[i].slot)
			return true;
	return false;
}

/* One weight of the rows in `list`, and its bias. */
static sk_status load_rows(struct loader *ld, const struct rows *list, int32_t len, int32_t layer, enum sk_weight_join join,
			   struct sk_linear *lin)
{
	struct sk_model *m = ld->m;
	struct sk_weight_src *src = calloc((size_t)len, sizeof(*src));
	sk_status st = src ? SK_OK : sk_fail(ld->err, SK_ENOMEM, "out of memory");

	for (int32_t i = 0; i < len && st >= 0; i++)
		st = source(ld, &list[i], layer, &src[i]);
	if (st >= 0)
		st = m->backend->weight_open(m->dev, src, len, join, &lin->w, ld->err);
	if (st >= 0)
		st = load_biases(ld, list, len, layer, &lin->bias);
	free(src);
	for (int32_t i = 0; i < len && st >= 0; i++) {
		const struct sk_tensor *b = find(ld, list[i].slot + 1, layer);

		if (comes_again(list, len, i) || ld->more_to_come)
			continue;
		st = tensor_done(ld, find(ld, list[i].slot, layer));
		if (st >= 0 && b)
			st = tensor_done(ld, b);
	}
	if (st >= 0)
		lin->columns = lin->w->N;
	return st;
}

/* How many rows the tensor of a slot has; it is there. */
static int32_t slot_rows(const struct loader *ld, enum sk_slot slot, int32_t layer)
{
	const struct sk_tensor *t = find(ld, slot, layer);

	return t->dims == 1 ? 1 : (int32_t)t->dim[sk_slot_transposed(ld->w, ld->m->arch, slot, layer)];
}

/* All rows of one slot; nothing where the file has none. */
static sk_status load_linear(struct loader *ld, enum sk_slot slot, int32_t layer, struct sk_linear *lin)
{
	if (!find(ld, slot, layer))
		return SK_OK;
	return load_rows(ld, &(struct rows){ slot, 0, slot_rows(ld, slot, layer), 1 }, 1, layer, SK_JOIN_STACK, lin);
}

/* ---- a layer -------------------------------------------------------------------------------------------------- */

static void cut_slices(struct sk_linear *lin, int32_t piece)
{
	lin->slices = sk_slices_cut(lin->w->K, piece, lin->w->dtype, lin->slice_end);
}

/* Room for the rows of one layer's q, k and v: each head of them in three pieces at most. */
static struct rows *rows_list(struct loader *ld)
{
	const struct sk_dims *d = &ld->m->dims;
	struct rows *list = calloc(3 * ((size_t)d->heads + 2 * (size_t)d->kv_heads), sizeof(*list));

	if (!list)
		sk_fail(ld->err, SK_ENOMEM, "out of memory");
	return list;
}

/*
 * Adds rows of q or k, whole heads, to the list. A head whose pairs lie side by side gives its even rows, its odd rows and
 * those that do not turn: what was (2i, 2i + 1) is (i, i + width / 2) then, as rope wants it.
 */
static int32_t add_heads(const struct sk_dims *d, enum sk_slot slot, int32_t first, int32_t rows, struct rows *list)
{
	int32_t width = d->rope.width, n = 0;

	if (!d->rope.interleaved) {
		list[0] = (struct rows){ slot, first, rows, 1 };
		return 1;
	}
	for (int32_t end = first + rows; first < end; first += d->head_width) {
		list[n++] = (struct rows){ slot, first, width / 2, 2 };
		list[n++] = (struct rows){ slot, first + 1, width / 2, 2 };
		if (d->head_width > width)
			list[n++] = (struct rows){ slot, first + width, d->head_width - width, 1 };
	}
	return n;
}

/* All rows of a slot; q comes before k, k before v. */
static int32_t add_slot(const struct loader *ld, enum sk_slot slot, int32_t l, struct rows *list)
{
	const struct sk_dims *d = &ld->m->dims;
	int32_t rows = slot_rows(ld, slot, l), turn = 0, n = 0;

	if (slot == SK_W_Q || slot == SK_W_K)
		turn = rows;
	else if (slot == SK_W_QKV)
		turn = (d->heads + d->kv_heads) * d->head_width;
	else if (slot == SK_W_KV)
		turn = d->kv_heads * d->head_width;
	if (turn > 0)
		n = add_heads(d, slot, 0, turn, list);
	if (turn < rows)
		list[n++] = (struct rows){ slot, turn, rows - turn, 1 };
	return n;
}

/* Rows q | k | v of a fused weight that lies group by group: see SK_QKV_GROUPS. */
static int32_t add_groups(const struct sk_dims *d, struct rows *list)
{
	int32_t q = d->heads / d->kv_heads * d->head_width, group = q + 2 * d->head_width, n = 0;

	for (int32_t g = 0; g < d->kv_heads; g++)
		n += add_heads(d, SK_W_QKV, g * group, q, list + n);
	for (int32_t g = 0; g < d->kv_heads; g++)
		n += add_heads(d, SK_W_QKV, g * group + q, d->head_width, list + n);
	for (int32_t g = 0; g < d->kv_heads; g++)
		list[n++] = (struct rows){ SK_W_QKV, g * group + q + d->head_width, d->head_width, 1 };
	return n;
}

/* Rows q | k | v of one that lies in fourths of q, v and k: see SK_QKV_FOUR. */
static int32_t add_fourths(const struct sk_dims *d, struct rows *list)
{
	int32_t part = d->heads / 4 * d->head_width, n = 0;

	for (int32_t i = 0; i < 4; i++)
		n += add_heads(d, SK_W_QKV, 3 * i * part, part, list + n);
	for (int32_t i = 0; i < 4; i++)
		n += add_heads(d, SK_W_QKV, (3 * i + 2) * part, part, list + n);
	for (int32_t i = 0; i < 4; i++)
		list[n++] = (struct rows){ SK_W_QKV, (3 * i + 1) * part, part, 1 };
	return n;
}

static sk_status load_fused(struct loader *ld, int32_t l, struct sk_attention *a)
{
	struct rows *list = rows_list(ld);
	int32_t len;
	sk_status st;

	if (!list)
		return SK_ENOMEM;
	if (ld->m->dims.qkv == SK_QKV_PARTS)
		len = add_slot(ld, SK_W_QKV, l, list);
	else
		len = ld->m->dims.qkv == SK_QKV_FOUR ? add_fourths(&ld->m->dims, list) : add_groups(&ld->m->dims, list);
	a->qkv_len = 1;
	st = load_rows(ld, list, len, l, SK_JOIN_STACK, &a->qkv[0]);
	free(list);
	return st;
}

/* All rows of several slots: one weight for each run of equal types, side by side in the same output. */
static sk_status load_runs(struct loader *ld, const enum sk_slot *slots, int len, int32_t l, struct sk_attention *a)
{
	struct rows *list = rows_list(ld);
	int32_t column = 0;
	sk_status st = list ? SK_OK : SK_ENOMEM;

	for (int i = 0; i < len && st >= 0; ) {
		int run = sk_slots_run(ld->w, ld->m->arch, slots + i, len - i, l);
		struct sk_linear *lin = &a->qkv[a->qkv_len++];
		int32_t n = 0;

		for (int k = 0; k < run; k++)
			n += add_slot(ld, slots[i + k], l, list + n);
		st = load_rows(ld, list, n, l, SK_JOIN_STACK, lin);
		if (st < 0)
			break;
		lin->column = column;
		column += lin->columns;
		i += run;
	}
	free(list);
	return st;
}

static sk_status load_o(struct loader *ld, enum sk_slot slot, int32_t l, struct sk_attention *a)
{
	sk_status st = load_linear(ld, slot, l, &a->o);

	if (st >= 0)
		cut_slices(&a->o, ld->m->dims.head_width);
	return st;
}

static sk_status load_attention(struct loader *ld, int32_t l, struct sk_attention *a)
{
	sk_status st;

	if (find(ld, SK_W_QKV, l))
		st = load_fused(ld, l, a);
	else if (find(ld, SK_W_KV, l))
		st = load_runs(ld, (const enum sk_slot[]){ SK_W_Q, SK_W_KV }, 2, l, a);
	else
		st = load_runs(ld, (const enum sk_slot[]){ SK_W_Q, SK_W_K, SK_W_V }, 3, l, a);
	return st < 0 ? st : load_o(ld, SK_W_O, l, a);
}

/* slots: gate, up, down */
static sk_status load_mlp(struct loader *ld, const enum sk_slot slots[3], int32_t l, struct sk_mlp *p)
{
	const struct rows both[2] = { { slots[0], 0, ld->m->dims.ffn_width, 1 }, { slots[1], 0, ld->m->dims.ffn_width, 1 } };
	int32_t F = ld->m->dims.ffn_width;
	const struct rows fused[2] = { { SK_W_GATE_UP, 0, F, 1 }, { SK_W_GATE_UP, F, F, 1 } };
	sk_status st;

	if (slots[0] == SK_W_GATE && find(ld, SK_W_GATE_UP, l)) {
		st = load_rows(ld, fused, 2, l, SK_JOIN_GLU, &p->gate);
	} else if (ld->m->dims.glu && sk_slots_run(ld->w, ld->m->arch, slots, 2, l) == 2) {
		st = load_rows(ld, both, 2, l, SK_JOIN_GLU, &p->gate);
	} else {
		st = load_linear(ld, slots[0], l, &p->gate);
		if (st >= 0)
			st = load_linear(ld, slots[1], l, &p->up);
	}
	if (st >= 0)
		st = load_linear(ld, slots[2], l, &p->down);
	if (st >= 0)
		cut_slices(&p->down, 1);
	return st;
}

/* Gate, up and down of one expert: tensors of its own, or its rows of those that all have (`of` them before). */
static sk_status load_expert(struct loader *ld, const enum sk_slot slots[3], int32_t at, int32_t of, int32_t width, struct sk_expert *e)
{
	int32_t D = ld->m->dims.width;
	const struct rows both[2] = { { slots[0], of * width, width, 1 }, { slots[1], of * width, width, 1 } };
	sk_status st = load_rows(ld, both, 2, at, SK_JOIN_GLU, &e->gate_up);

	if (st >= 0)
		st = load_rows(ld, &(struct rows){ slots[2], of * D, D, 1 }, 1, at, SK_JOIN_STACK, &e->down);
	if (st >= 0)
		cut_slices(&e->down, 1);
	return st;
}

/* Rows of one expert's part of a tensor [experts][K][N], as turn() turns a whole one. */
static void turn_part(const struct sk_tensor *t, int32_t e, unsigned char *to)
{
	size_t K = (size_t)t->dim[1], N = (size_t)t->dim[2], size = t->bytes / ((size_t)t->dim[0] * K * N);
	const unsigned char *from = (const unsigned char *)t->data + (size_t)e * K * N * size;

	for (size_t k = 0; k < K; k++)
		for (size_t n = 0; n < N; n++)
			memcpy(to + (n * K + k) * size, from + (k * N + n) * size, size);
}

/* Every step-th row of such a part, turned, from `first` on, and of the biases [experts][N] of the slot behind it. */
static sk_status load_part(struct loader *ld, enum sk_slot slot, int32_t l, int32_t e, int32_t first, int32_t step, const void *turned,
			   struct sk_linear *lin)
{
	const struct sk_tensor *t = find(ld, slot, l), *b = find(ld, slot + 1, l);
	size_t row_bytes = t->bytes / (size_t)(t->dim[0] * t->dim[2]);
	int32_t N = (int32_t)t->dim[2], rows = N / step;
	const struct sk_weight_src src = { .data = (const unsigned char *)turned + (size_t)first * row_bytes, .dtype = t->dtype, .N = rows,
					   .K = (int32_t)t->dim[1], .row_bytes = row_bytes * (size_t)step };
	sk_status st = ld->m->backend->weight_open(ld->m->dev, &src, 1, SK_JOIN_STACK, &lin->w, ld->err);

	if (st < 0)
		return st;
	lin->columns = rows;
	if (b) {
		read_bias(b, &(struct rows){ slot, e * N + first, rows, step }, ld->row);
		lin->bias = put_vector(ld, (uint64_t)rows);
	}
	return SK_OK;
}

/* Gate and up as neighbours in one tensor, and down, both transposed: gpt-oss. */
static sk_status load_turned_experts(struct loader *ld, int32_t l, struct sk_mlp *p)
{
	static const enum sk_slot slots[] = { SK_W_EXPERT_GATE_UP, SK_W_EXPERT_DOWN };
	const struct sk_tensor *gate_up = find(ld, slots[0], l), *down = find(ld, slots[1], l);
	size_t each = (gate_up->bytes > down->bytes ? gate_up->bytes : down->bytes) / (size_t)gate_up->dim[0];
	unsigned char *turned = sk_quant_get(gate_up->dtype)->block_len == 1 && sk_quant_get(down->dtype)->block_len == 1 ? malloc(each) : NULL;
	sk_status st = turned ? SK_OK : sk_fail(ld->err, SK_ENOMEM, "no memory to turn a part of tensor %s", gate_up->name);

	for (int32_t e = 0; e < ld->m->dims.route.experts && st >= 0; e++) {
		struct sk_expert *x = &p->experts[e];

		turn_part(gate_up, e, turned);
		st = load_part(ld, slots[0], l, e, 0, 2, turned, &x->gate_up);
		if (st >= 0)
			st = load_part(ld, slots[0], l, e, 1, 2, turned, &x->up);
		turn_part(down, e, turned);
		if (st >= 0)
			st = load_part(ld, slots[1], l, e, 0, 1, turned, &x->down);
		if (st >= 0)
			cut_slices(&x->down, 1);
	}
	free(turned);
	for (int i = 0; i < 2 && st >= 0; i++) {
		st = tensor_done(ld, find(ld, slots[i], l));
		if (st >= 0 && find(ld, slots[i] + 1, l))
			st = tensor_done(ld, find(ld, slots[i] + 1, l));
	}
	return st;
}

static sk_status load_experts(struct loader *ld, int32_t l, struct sk_mlp *p)
{
	static const enum sk_slot of_expert[] = { SK_W_EXPERT_GATE, SK_W_EXPERT_UP, SK_W_EXPERT_DOWN };
	static const enum sk_slot of_shared[] = { SK_W_SHARED_GATE, SK_W_SHARED_UP, SK_W_SHARED_DOWN };
	const struct sk_dims *d = &ld->m->dims;
	const struct sk_tensor *first = find(ld, SK_W_EXPERT_GATE, l);
	bool together = first && first->dims == 3;
	sk_status st = load_linear(ld, SK_W_ROUTER, l, &p->router);

	p->experts = calloc((size_t)d->route.experts, sizeof(*p->experts));
	if (!p->experts)
		return sk_fail(ld->err, SK_ENOMEM, "no memory for %d experts", d->route.experts);
	if (st >= 0 && find(ld, SK_W_EXPERT_GATE_UP, l))
		return load_turned_experts(ld, l, p);
	for (int32_t e = 0; e < d->route.experts && st >= 0; e++) {
		ld->more_to_come = together && e + 1 < d->route.experts;
		st = load_expert(ld, of_expert, together ? l : l + e * SK_LAYERS_MAX, together ? e : 0, d->expert_width, &p->experts[e]);
	}
	ld->more_to_come = false;
	if (st < 0 || !d->shared_width)
		return st;
	st = load_expert(ld, of_shared, l, 0, d->shared_width, &p->shared);
	return st < 0 ? st : load_linear(ld, SK_W_SHARED_SCALE, l, &p->shared_scale);
}

static sk_status load_layer(struct loader *ld, int32_t l)
{
	struct sk_layer *y = &ld->m->layers[l];
	sk_status st = load_attention(ld, l, &y->self);

	if (st >= 0 && ld->m->dims.encoder_layers) {
		st = load_runs(ld, (const enum sk_slot[]){ SK_W_CROSS_Q }, 1, l, &y->cross);
		if (st >= 0)
			st = load_o(ld, SK_W_CROSS_O, l, &y->cross);
		if (st >= 0)
			st = load_runs(ld, (const enum sk_slot[]){ SK_W_CROSS_K, SK_W_CROSS_V }, 2, l, &y->cross_kv);
	}
	if (st < 0)
		return st;
	if (ld->m->dims.route.experts)
		return load_experts(ld, l, &y->mlp);
	return load_mlp(ld, (const enum sk_slot[]){ SK_W_GATE, SK_W_UP, SK_W_DOWN }, l, &y->mlp);
}

static sk_status load_encoder_layer(struct loader *ld, int32_t l)
{
	struct sk_layer *y = &ld->m->encoder[l];
	sk_status st = load_runs(ld, (const enum sk_slot[]){ SK_W_ENC_Q, SK_W_ENC_K, SK_W_ENC_V }, 3, l, &y->self);

	if (st >= 0)
		st = load_o(ld, SK_W_ENC_O, l, &y->self);
	return st < 0 ? st : load_mlp(ld, (const enum sk_slot[]){ SK_W_ENC_GATE, SK_W_ENC_UP, SK_W_ENC_DOWN }, l, &y->mlp);
}

/* While a layer is repacked by all threads the disk reads the next one. */
static void read_ahead(const struct loader *ld, int32_t l, unsigned encoder)
{
	const struct sk_arch *arch = ld->m->arch;

	for (const struct sk_weight_rule *r = sk_rules(ld->w, arch); r->slot != SK_W_END; r++) {
		if (r->slot == SK_W_IGNORE || !sk_rule_per_layer(r) || (r->flags & SK_RULE_ENCODER) != encoder)
			continue;
		for (int32_t i = 0; i < sk_rule_layers(r, &ld->m->dims); i++) {
			int32_t at = sk_rule_at(r, &ld->m->dims, i);    /* of an expert, too */
			const struct sk_tensor *t = at % SK_LAYERS_MAX == l ? sk_rule_find(ld->w, arch, r, at) : NULL;

			if (t)
				sk_weights_ahead(ld->w, t);
		}
	}
}

/* ---- the ends ------------------------------------------------------------------------------------------------- */

/* The embedding is a weight like the others; where the head is tied to it there is one copy. */
static sk_status load_ends(struct loader *ld)
{
	struct sk_model *m = ld->m;
	struct sk_linear embed = { 0 }, positions = { 0 };
	sk_status st = load_linear(ld, SK_W_EMBED, 0, &embed);

	m->embed = embed.w;
	if (st >= 0 && find(ld, SK_W_POSITIONS, 0))     /* from the row of position 0 on */
		st = load_rows(ld, &(struct rows){ SK_W_POSITIONS, m->dims.position_offset,
						   m->dims.positions - m->dims.position_offset, 1 }, 1, 0, SK_JOIN_STACK, &positions);
	m->positions = positions.w;
	if (st >= 0)
		st = load_linear(ld, SK_W_PROJ_IN, 0, &m->proj_in);
	if (st >= 0)
		st = load_linear(ld, SK_W_PROJ_OUT, 0, &m->proj_out);
	if (st < 0)
		return st;
	if (!m->dims.tied_head)
		return load_linear(ld, SK_W_HEAD, 0, &m->head);
	m->head = (struct sk_linear){ .w = m->embed, .columns = m->embed->N };
	return SK_OK;
}

/* The longest vector. */
static uint64_t row_len(const struct sk_dims *d)
{
	uint64_t len = (uint64_t)d->width, qkv = ((uint64_t)d->heads + 2 * (uint64_t)d->kv_heads) * (uint64_t)d->head_width;

	len = len > qkv ? len : qkv;
	len = len > 2 * (uint64_t)d->ffn_width ? len : 2 * (uint64_t)d->ffn_width;
	if (d->position == SK_POS_RELATIVE)
		qkv = (uint64_t)d->heads * (2 * (uint64_t)d->rel_distance + 1);
	len = len > qkv ? len : qkv;
	return len > (uint64_t)d->vocab ? len : (uint64_t)d->vocab;
}

sk_status sk_model_load(struct sk_model *m, const struct sk_weights *w, _Atomic uint64_t *done, _Atomic bool *stop,
			struct sk_err *err)
{
	struct loader ld = { .m = m, .w = w, .done = done, .stop = stop, .err = err, .row_len = row_len(&m->dims) };
	sk_status st;

	if (SK_BUG_IF(m->embed))
		return sk_fail(err, SK_EBUG, "a model is loaded once");
	ld.row = malloc(sizeof(float) * (size_t)ld.row_len);
	if (!ld.row)
		return sk_fail(err, SK_ENOMEM, "out of memory");
	st = load_vectors(&ld);
	if (st >= 0)
		st = load_ends(&ld);
	for (int32_t l = 0; l < m->dims.encoder_layers && st >= 0; l++) {
		read_ahead(&ld, l + 1, SK_RULE_ENCODER);
		st = load_encoder_layer(&ld, l);
	}
	for (int32_t l = 0; l < m->dims.layers && st >= 0; l++) {
		read_ahead(&ld, l + 1, 0);
		st = load_layer(&ld, l);
	}
	for (int i = 0; i < SK_PARTS_MAX; i++)
		free(ld.turned[i].data);
	free(ld.row);
	return st < 0 ? st : m->backend->sync(m->dev, err);
}
