/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A model's life: open takes the device, scratch and KV pool; load repacks the weights, one layer's linear after the
 * other, giving back the file's pages behind it; close gives all back.
 */
#include "engine/model/inside.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- open ----------------------------------------------------------------------------------------------------- */

static sk_status take_scratch(struct sk_model *m, bool any_separate_glu, struct sk_err *err)
{
	struct sk_scratch list[SK_SCRATCH_LEN];

	sk_model_scratch(m, any_separate_glu, list);
	for (int i = 0; i < SK_SCRATCH_LEN; i++) {
		if (!list[i].bytes)
			continue;
		if (list[i].bytes <= SIZE_MAX)
			*list[i].at = m->backend->alloc(m->dev, (size_t)list[i].bytes);
		if (!*list[i].at)
			return sk_fail(err, SK_ENOMEM, "no memory for %" PRIu64 " bytes of scratch (%d tokens a step, %d rows of "
				       "logits)", list[i].bytes, m->opts.tokens_max, m->opts.logits_max);
	}
	if (m->backend->host_memory)
		return SK_OK;
	m->logits_host = malloc(sizeof(float) * (size_t)m->logits_rows * (size_t)m->dims.vocab);
	return m->logits_host ? SK_OK : sk_fail(err, SK_ENOMEM, "no memory for %d rows of logits", m->logits_rows);
}

static sk_status take_pool(struct sk_model *m, struct sk_err *err)
{
	struct sk_dev_plan plan;
	struct sk_kv_spec kv;
	size_t bytes = 0;
	sk_status st;

	sk_model_dev_plan(m, &plan);
	st = m->backend->reserve(m->dev, &plan, &bytes, err);
	if (st < 0)
		return st;
	sk_model_kv_spec(m, m->opts.kv_blocks, &kv);
	return m->backend->kv_open(m->dev, &kv, &m->kv, err);
}

static uint64_t count_load_bytes(const struct sk_weights *w)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < sk_weights_len(w); i++)
		sum += sk_weights_at(w, i)->bytes;
	return sum;
}

sk_status sk_model_open(const struct sk_weights *w, const struct sk_model_opts *o, struct sk_model **ret_m,
			struct sk_err *err)
{
	struct sk_model *m = calloc(1, sizeof(*m));
	sk_status st;

	if (!m)
		return sk_fail(err, SK_ENOMEM, "out of memory");
	st = sk_model_begin(m, w, o, err);
	if (st >= 0 && o->kv_blocks < 1)
		st = sk_fail(err, SK_EINVAL, "KV blocks: at least 1 is needed");
	if (st >= 0)
		st = m->backend->open(0, &o->dev, &m->dev, err);
	if (st >= 0)
		st = take_scratch(m, sk_model_any_separate_glu(w, m->arch, &m->dims), err);
	if (st >= 0)
		st = take_pool(m, err);
	if (st >= 0) {
		m->layers = calloc((size_t)m->dims.layers, sizeof(*m->layers));
		if (!m->layers)
			st = sk_fail(err, SK_ENOMEM, "no memory for %d layers", m->dims.layers);
	}
	if (st < 0) {
		sk_model_close(&m);
		return st;
	}
	m->load_bytes = count_load_bytes(w);
	*ret_m = m;
	return SK_OK;
}

/* ---- load: vectors -------------------------------------------------------------------------------------------- */

/* What every step of loading needs. */
struct loader {
	struct sk_model *m;
	const struct sk_weights *w;
	_Atomic uint64_t *done;
	_Atomic bool *stop;
	struct sk_err *err;
	float *row;                             /* host: one vector */
};

/* After a tensor was read: progress, pages back. SK_ECANCELED when asked to stop. */
static sk_status tensor_done(struct loader *ld, const struct sk_tensor *t)
{
	sk_weights_drop(ld->w, t);
	if (ld->done)
		atomic_fetch_add_explicit(ld->done, t->bytes, memory_order_relaxed);
	if (ld->stop && atomic_load_explicit(ld->stop, memory_order_relaxed))
		return sk_fail(ld->err, SK_ECANCELED, "loading was stopped");
	return SK_OK;
}

/* A vector as float32 at `place` of m->vectors. */
static sk_status load_vector(struct loader *ld, enum sk_slot slot, int32_t layer, int64_t place, const float **ret_v)
{
	struct sk_model *m = ld->m;
	const struct sk_tensor *t = sk_slot_find(ld->w, m->arch, slot, layer);
	float *to = m->vectors + place * m->vector_stride;

	sk_quant_get(t->dtype)->dequantise(t->data, ld->row, (size_t)t->dim[0]);
	m->backend->put(m->dev, to, ld->row, (size_t)t->dim[0] * sizeof(float));
	*ret_v = to;
	return tensor_done(ld, t);
}

static sk_status load_vectors(struct loader *ld)
{
	struct sk_model *m = ld->m;
	int32_t layers = m->dims.layers;
	sk_status st = SK_OK;

	m->vector_stride = (m->dims.width + 15) / 16 * 16;      /* 64 bytes, the alignment of alloc */
	m->vectors = m->backend->alloc(m->dev, sizeof(float) * (size_t)m->vector_stride * (2 * (size_t)layers + 1));
	if (!m->vectors)
		return sk_fail(ld->err, SK_ENOMEM, "no memory for the norms of %d layers", layers);
	for (int32_t l = 0; l < layers && st >= 0; l++) {
		st = load_vector(ld, SK_W_ATTN_NORM, l, 2 * (int64_t)l, &m->layers[l].attn_norm);
		if (st >= 0)
			st = load_vector(ld, SK_W_FFN_NORM, l, 2 * (int64_t)l + 1, &m->layers[l].ffn_norm);
	}
	if (st >= 0)
		st = load_vector(ld, SK_W_OUT_NORM, 0, 2 * (int64_t)layers, &m->out_norm);
	return st;
}

/*
 * inv_freq[i] = base^(-2i / width) / scale, and divided by the file's own factor of that frequency, where it has some
 * (Llama 3 keeps its scaled frequencies so). Calculated in float32 like the reference's.
 */
static sk_status load_rope(struct loader *ld)
{
	struct sk_model *m = ld->m;
	const struct sk_dims *d = &m->dims;
	const struct sk_tensor *t = sk_slot_find(ld->w, m->arch, SK_W_ROPE_FREQS, 0);
	int32_t half = d->rope_width / 2;
	float factors[1024 / 2];

	if (SK_BUG_IF((size_t)half > sizeof(factors) / sizeof(factors[0])))
		return SK_EBUG;
	m->inv_freq = m->backend->alloc(m->dev, sizeof(float) * (size_t)half);
	if (!m->inv_freq)
		return sk_fail(ld->err, SK_ENOMEM, "no memory for %d frequencies", half);
	if (t)
		sk_quant_get(t->dtype)->dequantise(t->data, factors, (size_t)half);
	for (int32_t i = 0; i < half; i++) {
		float f = 1.0f / powf(d->rope_base, (float)(2 * i) / (float)d->rope_width);

		if (t && !(factors[i] > 0.0f && factors[i] < 1e9f))
			return sk_fail(ld->err, SK_EFORMAT, "%s: tensor %s: factor %d is %g, it must be above 0 and below 1e9",
				       sk_weights_path(ld->w), t->name, i, (double)factors[i]);
		ld->row[i] = f / d->rope_scale / (t ? factors[i] : 1.0f);
	}
	m->backend->put(m->dev, m->inv_freq, ld->row, sizeof(float) * (size_t)half);
	return t ? tensor_done(ld, t) : SK_OK;
}

/* ---- load: linears -------------------------------------------------------------------------------------------- */

static struct sk_weight_src source(const struct sk_tensor *t)
{
	return (struct sk_weight_src){ .data = t->data, .dtype = t->dtype, .N = (int32_t)t->dim[0], .K = (int32_t)t->dim[1],
				       .row_bytes = t->bytes / (size_t)t->dim[0] };
}

/* Join the tensors of `slots` to one weight. */
static sk_status load_joined(struct loader *ld, const enum sk_slot *slots, int len, int32_t layer,
			     enum sk_weight_join join, struct sk_weight **ret_w)
{
	struct sk_model *m = ld->m;
	struct sk_weight_src src[SK_PARTS_MAX] = { 0 };
	sk_status st;

	for (int i = 0; i < len; i++)
		src[i] = source(sk_slot_find(ld->w, m->arch, slots[i], layer));
	st = m->backend->weight_open(m->dev, src, len, join, ret_w, ld->err);
	for (int i = 0; i < len && st >= 0; i++)
		st = tensor_done(ld, sk_slot_find(ld->w, m->arch, slots[i], layer));
	return st;
}

static int32_t gcd(int32_t a, int32_t b)
{
	while (b) {
		int32_t r = a % b;

		a = b;
		b = r;
	}
	return a;
}

/*
 * Where the sum over K of a row-parallel weight is cut, so that any number of ranks gives the same bits: a unit is the
 * fewest `piece`s (heads, columns) that end on a block of the weight's type; at most 8 slices of whole units.
 */
static void cut_slices(struct sk_linear *lin, int32_t piece)
{
	int32_t block = (int32_t)sk_quant_get(lin->w->dtype)->block_len;
	int32_t unit = piece / gcd(piece, block) * block;       /* the least common multiple */
	int64_t units = lin->w->K / unit;

	lin->slices = (int32_t)(units < SK_SLICES_MAX ? units : SK_SLICES_MAX);
	for (int32_t s = 0; s < lin->slices; s++)
		lin->slice_end[s] = (int32_t)((s + 1) * units / lin->slices) * unit;
}

static sk_status load_linear(struct loader *ld, enum sk_slot slot, int32_t layer, struct sk_linear *lin)
{
	sk_status st = load_joined(ld, &slot, 1, layer, SK_JOIN_STACK, &lin->w);

	if (st >= 0)
		lin->columns = lin->w->N;
	return st;
}

/* q, k and v: one weight for each run of equal types, side by side in the same output. */
static sk_status load_qkv(struct loader *ld, int32_t l, struct sk_layer *y)
{
	static const enum sk_slot slots[SK_PARTS_MAX] = { SK_W_Q, SK_W_K, SK_W_V };
	int32_t column = 0;
	sk_status st = SK_OK;

	for (int i = 0; i < SK_PARTS_MAX && st >= 0; ) {
		int run = sk_slots_run(ld->w, ld->m->arch, slots + i, SK_PARTS_MAX - i, l);
		struct sk_linear *lin = &y->qkv[y->qkv_len++];

		st = load_joined(ld, slots + i, run, l, SK_JOIN_STACK, &lin->w);
		if (st < 0)
			break;
		lin->column = column;
		lin->columns = lin->w->N;
		column += lin->columns;
		i += run;
	}
	return st;
}

static sk_status load_glu(struct loader *ld, int32_t l, struct sk_layer *y)
{
	static const enum sk_slot slots[2] = { SK_W_GATE, SK_W_UP };
	sk_status st;

	if (sk_glu_joins(ld->w, ld->m->arch, l))
		return load_joined(ld, slots, 2, l, SK_JOIN_GLU, &y->gate.w);
	st = load_linear(ld, SK_W_GATE, l, &y->gate);
	return st < 0 ? st : load_linear(ld, SK_W_UP, l, &y->up);
}

static sk_status load_layer(struct loader *ld, int32_t l)
{
	struct sk_layer *y = &ld->m->layers[l];
	sk_status st = load_qkv(ld, l, y);

	if (st >= 0)
		st = load_linear(ld, SK_W_O, l, &y->o);
	if (st >= 0)
		st = load_glu(ld, l, y);
	if (st >= 0)
		st = load_linear(ld, SK_W_DOWN, l, &y->down);
	if (st < 0)
		return st;
	cut_slices(&y->o, ld->m->dims.head_width);
	cut_slices(&y->down, 1);
	return SK_OK;
}

/* The embedding is a weight like the others; where the head is tied to it there is one copy. */
static sk_status load_ends(struct loader *ld)
{
	struct sk_model *m = ld->m;
	enum sk_slot slot = SK_W_EMBED;
	sk_status st = load_joined(ld, &slot, 1, 0, SK_JOIN_STACK, &m->embed);

	if (st < 0)
		return st;
	if (!m->dims.tied_head)
		return load_linear(ld, SK_W_HEAD, 0, &m->head);
	m->head = (struct sk_linear){ .w = m->embed, .columns = m->embed->N };
	return SK_OK;
}

sk_status sk_model_load(struct sk_model *m, const struct sk_weights *w, _Atomic uint64_t *done, _Atomic bool *stop,
			struct sk_err *err)
{
	int32_t row_len = m->dims.width > m->dims.rope_width ? m->dims.width : m->dims.rope_width;
	struct loader ld = { .m = m, .w = w, .done = done, .stop = stop, .err = err };
	sk_status st;

	if (SK_BUG_IF(m->embed))
		return sk_fail(err, SK_EBUG, "a model is loaded once");
	ld.row = malloc(sizeof(float) * (size_t)row_len);
	if (!ld.row)
		return sk_fail(err, SK_ENOMEM, "out of memory");
	st = load_vectors(&ld);
	if (st >= 0)
		st = load_rope(&ld);
	if (st >= 0)
		st = load_ends(&ld);
	for (int32_t l = 0; l < m->dims.layers && st >= 0; l++)
		st = load_layer(&ld, l);
	free(ld.row);
	return st < 0 ? st : m->backend->sync(m->dev, err);
}

uint64_t sk_model_load_bytes(const struct sk_model *m)
{
	return m->load_bytes;
}

/* ---- close ---------------------------------------------------------------------------------------------------- */

static void close_weight(struct sk_model *m, struct sk_weight **w)
{
	if (*w)
		m->backend->weight_close(m->dev, w);
}

static void close_layer(struct sk_model *m, struct sk_layer *y)
{
	for (int i = 0; i < SK_PARTS_MAX; i++)
		close_weight(m, &y->qkv[i].w);
	close_weight(m, &y->o.w);
	close_weight(m, &y->gate.w);
	close_weight(m, &y->up.w);
	close_weight(m, &y->down.w);
}

static void close_device(struct sk_model *m)
{
	struct sk_scratch list[SK_SCRATCH_LEN];

	for (int32_t l = 0; m->layers && l < m->dims.layers; l++)
		close_layer(m, &m->layers[l]);
	if (m->head.w != m->embed)
		close_weight(m, &m->head.w);
	close_weight(m, &m->embed);
	if (m->kv)
		m->backend->kv_close(m->dev, &m->kv);
	sk_model_scratch(m, true, list);
	for (int i = 0; i < SK_SCRATCH_LEN; i++)
		if (*list[i].at)
			m->backend->free(m->dev, *list[i].at);
	if (m->vectors)
		m->backend->free(m->dev, m->vectors);
	if (m->inv_freq)
		m->backend->free(m->dev, m->inv_freq);
	m->backend->close(&m->dev);
}

void sk_model_close(struct sk_model **m)
{
	struct sk_model *x = *m;

	if (!x)
		return;
	*m = NULL;
	if (x->dev)
		close_device(x);
	free(x->layers);
	free(x->logits_host);
	free(x);
}

/* ---- looking -------------------------------------------------------------------------------------------------- */

struct sk_dev *sk_model_dev(struct sk_model *m) { return m->dev; }
const struct sk_dims *sk_model_dims(const struct sk_model *m) { return &m->dims; }

void sk_model_kv_copy(struct sk_model *m, int32_t from_block, int32_t to_block)
{
	m->backend->kv_copy(m->dev, m->kv, from_block, to_block);
}
