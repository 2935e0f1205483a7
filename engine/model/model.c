/* SPDX-License-Identifier: Apache-2.0 */
/* A model's life: open takes the device, scratch and KV pool, close gives all back. What lies between is load.c. */
#include "engine/model/inside.h"

#include <inttypes.h>
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
		if (!*list[i].at && sk_model_sync(m, err) < 0)
			return SK_EDEVICE;
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

/* What load will read. */
static uint64_t count_load_bytes(const struct sk_model *m, const struct sk_weights *w)
{
	uint64_t sum = 0;

	for (const struct sk_weight_rule *r = sk_rules(w, m->arch); r->slot != SK_W_END; r++)
		for (int32_t l = 0; l < sk_rule_layers(r, &m->dims); l++) {
			int32_t at = sk_rule_at(r, &m->dims, l);
			const struct sk_tensor *t = r->slot == SK_W_IGNORE ? NULL : sk_rule_find(w, m->arch, r, at);

			if (t && !(r->slot == SK_W_HEAD && m->dims.tied_head) && t == sk_slot_find(w, m->arch, r->slot, at))
				sum += t->bytes;
		}
	return sum;
}

uint64_t sk_model_load_bytes(const struct sk_model *m)
{
	return m->load_bytes;
}

/* The host's part of a mixture's step. */
static bool take_choices(struct sk_model *m)
{
	const struct sk_route *r = &m->dims.route;
	size_t rows = (size_t)m->rows_max, each = rows * (size_t)r->used;

	m->moe.host = calloc(rows * (size_t)r->experts, sizeof(*m->moe.host));
	m->moe.weights = calloc(each, sizeof(*m->moe.weights));
	m->moe.scales = calloc(each, sizeof(*m->moe.scales));
	m->moe.chosen = calloc(each, sizeof(*m->moe.chosen));
	m->moe.rows = calloc(each, sizeof(*m->moe.rows));
	m->moe.start = calloc((size_t)r->experts + 1, sizeof(*m->moe.start));
	return m->moe.host && m->moe.weights && m->moe.scales && m->moe.chosen && m->moe.rows && m->moe.start;
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
		st = m->backend->open(o->ordinal, &o->dev, &m->dev, err);
	if (st >= 0)
		st = take_scratch(m, sk_model_any_separate_glu(w, m->arch, &m->dims), err);
	if (st >= 0)
		st = take_pool(m, err);
	if (st >= 0) {
		m->layers = calloc((size_t)m->dims.layers, sizeof(*m->layers));
		if (m->dims.encoder_layers)
			m->encoder = calloc((size_t)m->dims.encoder_layers, sizeof(*m->encoder));
		if (!m->layers || (m->dims.encoder_layers && !m->encoder))
			st = sk_fail(err, SK_ENOMEM, "no memory for %d layers", m->dims.layers);
	}
	if (st < 0) {
		sk_model_close(&m);
		return st;
	}
	if (m->dims.rope.lengths > 0) {
		m->freq_rows = calloc((size_t)m->opts.tokens_max, sizeof(*m->freq_rows));
		if (!m->freq_rows) {
			sk_model_close(&m);
			return sk_fail(err, SK_ENOMEM, "no memory for a step of %d tokens", o->tokens_max);
		}
	}
	if (m->dims.route.experts && !take_choices(m)) {
		sk_model_close(&m);
		return sk_fail(err, SK_ENOMEM, "no memory for the choices of a step of %d tokens", o->tokens_max);
	}
	m->load_bytes = count_load_bytes(m, w);
	*ret_m = m;
	return SK_OK;
}

/* ---- close ---------------------------------------------------------------------------------------------------- */

static void close_weight(struct sk_model *m, struct sk_weight **w)
{
	if (*w)
		m->backend->weight_close(m->dev, w);
}

static void close_attention(struct sk_model *m, struct sk_attention *a)
{
	for (int i = 0; i < SK_PARTS_MAX; i++)
		close_weight(m, &a->qkv[i].w);
	close_weight(m, &a->o.w);
}

static void close_expert(struct sk_model *m, struct sk_expert *e)
{
	close_weight(m, &e->gate_up.w);
	close_weight(m, &e->up.w);
	close_weight(m, &e->down.w);
}

static void close_layer(struct sk_model *m, struct sk_layer *y)
{
	close_attention(m, &y->self);
	close_attention(m, &y->cross);
	close_attention(m, &y->cross_kv);
	for (int32_t e = 0; y->mlp.experts && e < m->dims.route.experts; e++)
		close_expert(m, &y->mlp.experts[e]);
	free(y->mlp.experts);
	close_expert(m, &y->mlp.shared);
	close_weight(m, &y->mlp.router.w);
	close_weight(m, &y->mlp.shared_scale.w);
	close_weight(m, &y->mlp.gate.w);
	close_weight(m, &y->mlp.up.w);
	close_weight(m, &y->mlp.down.w);
}

static void close_device(struct sk_model *m)
{
	struct sk_scratch list[SK_SCRATCH_LEN];

	for (int32_t l = 0; m->layers && l < m->dims.layers; l++)
		close_layer(m, &m->layers[l]);
	for (int32_t l = 0; m->encoder && l < m->dims.encoder_layers; l++)
		close_layer(m, &m->encoder[l]);
	if (m->head.w != m->embed)
		close_weight(m, &m->head.w);
	close_weight(m, &m->embed);
	close_weight(m, &m->positions);
	close_weight(m, &m->proj_in.w);
	close_weight(m, &m->proj_out.w);
	if (m->kv)
		m->backend->kv_close(m->dev, &m->kv);
	sk_model_scratch(m, true, list);
	for (int i = 0; i < SK_SCRATCH_LEN; i++)
		if (*list[i].at)
			m->backend->free(m->dev, *list[i].at);
	if (m->vectors)
		m->backend->free(m->dev, m->vectors);
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
	free(x->encoder);
	free(x->logits_host);
	free(x->freq_rows);
	free(x->moe.host);
	free(x->moe.weights);
	free(x->moe.scales);
	free(x->moe.chosen);
	free(x->moe.rows);
	free(x->moe.start);
	free(x);
}

/* ---- looking -------------------------------------------------------------------------------------------------- */

struct sk_dev *sk_model_dev(struct sk_model *m) { return m->dev; }
const struct sk_dims *sk_model_dims(const struct sk_model *m) { return &m->dims; }

void sk_model_kv_copy(struct sk_model *m, int32_t from_block, int32_t to_block)
{
	m->backend->kv_copy(m->dev, m->kv, from_block, to_block);
}
