/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What can be known from a file's headers: which architecture it is, whether every tensor is there with the right
 * shape, and how much memory the model will take. Reads no weights.
 */
#include "engine/model/inside.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/arch/config.h"

/* ---- tensors against rules ------------------------------------------------------------------------------------ */

int sk_slots_run(const struct sk_weights *w, const struct sk_arch *a, const enum sk_slot *slots, int len, int32_t layer)
{
	enum sk_dtype dtype = sk_slot_find(w, a, slots[0], layer)->dtype;
	int n = 1;

	while (n < len && sk_slot_find(w, a, slots[n], layer)->dtype == dtype)
		n++;
	return n;
}

static bool any_separate(const struct sk_weights *w, const struct sk_arch *a, enum sk_slot gate, enum sk_slot up, int32_t layers)
{
	for (int32_t l = 0; l < layers; l++)
		if (sk_slot_find(w, a, gate, l) && sk_slots_run(w, a, (const enum sk_slot[]){ gate, up }, 2, l) != 2)
			return true;
	return false;
}

bool sk_model_any_separate_glu(const struct sk_weights *w, const struct sk_arch *a, const struct sk_dims *d)
{
	return d->glu && (any_separate(w, a, SK_W_GATE, SK_W_UP, d->layers) ||
			  any_separate(w, a, SK_W_ENC_GATE, SK_W_ENC_UP, d->encoder_layers));
}

/* Whether another rule's tensor does for this slot. */
static bool slot_there(const struct sk_weights *w, const struct sk_arch *a, enum sk_slot slot, int32_t layer)
{
	return sk_slot_find(w, a, slot, layer) != NULL;
}

static sk_status check_rule(const struct sk_weights *w, const struct sk_arch *a, const struct sk_weight_rule *r,
			    const struct sk_dims *d, unsigned char *seen, struct sk_err *err)
{
	char name[SK_RULE_NAME_MAX];

	for (int32_t i = 0; i < sk_rule_layers(r, d); i++) {
		int32_t l = sk_rule_at(r, d, i);
		const struct sk_tensor *t = sk_rule_find(w, a, r, l);
		sk_status st = SK_OK;

		if (!t && !(r->flags & SK_RULE_OPTIONAL) && r->slot != SK_W_IGNORE && !slot_there(w, a, r->slot, l)) {
			sk_rule_name(r, l, name);
			return sk_fail(err, SK_EFORMAT, "%s: tensor %s is missing (architecture %s)", sk_weights_path(w), name,
				       a->name);
		}
		if (!t)
			continue;
		seen[t - sk_weights_at(w, 0)] = 1;
		if (r->slot != SK_W_IGNORE && !(r->slot == SK_W_HEAD && d->tied_head))
			st = sk_rule_check(w, r, d, t, err);
		if (st < 0)
			return st;
	}
	return SK_OK;
}

/* A tensor that no rule names would be left out of the arithmetic: better no answer than a wrong one. */
static sk_status check_all_known(const struct sk_weights *w, const struct sk_arch *a, const unsigned char *seen,
				 struct sk_err *err)
{
	for (size_t i = 0; i < sk_weights_len(w); i++)
		if (!seen[i])
			return sk_fail(err, SK_ENOTSUP, "%s: tensor %s is not known to architecture %s with these settings",
				       sk_weights_path(w), sk_weights_at(w, i)->name, a->name);
	return SK_OK;
}

/* ---- the architecture ----------------------------------------------------------------------------------------- */

/* The architecture that a string of the metadata names. */
static sk_status find_named(const struct sk_weights *w, const char *key, const char *s, size_t len, const struct sk_arch **ret_arch,
			    struct sk_err *err)
{
	struct sk_err unknown = { 0 };
	char name[64];
	sk_status st;

	if (!s || len == 0 || len >= sizeof(name) || memchr(s, 0, len))
		return sk_fail(err, SK_EFORMAT, "%s: key %s is missing or no name of 1 to 63 bytes", sk_weights_path(w), key);
	memcpy(name, s, len);
	name[len] = 0;
	for (size_t i = 0; i < len; i++)
		if (name[i] < 32 || name[i] > 126)
			name[i] = '?';
	st = sk_arch_find(name, ret_arch, &unknown);
	return st < 0 ? sk_fail(err, st, "%s: %s", sk_weights_path(w), unknown.text) : SK_OK;
}

/* A config.json names a class, and the family it belongs to: the class knows better (a T5 may be mT5's), where it is known. */
static sk_status find_hf(const struct sk_weights *w, const struct sk_arch **ret_arch, struct sk_err *err)
{
	const struct sk_meta_value *list = sk_meta_find(w, "architectures");
	struct sk_meta_value item = { .type = SK_META_NONE };
	const void *cursor = NULL;
	size_t at = 0, len = 0;
	const char *s = NULL;
	sk_status st = sk_config_str(w, "model_type", &s, &len, err);

	if (st < 0)
		return st;
	if (list && (list->type != SK_META_ARRAY || (list->len && list->item != SK_META_STRING)))
		return sk_config_wrong(w, "architectures", "a list of names", err);
	if (!list || !sk_meta_next(list, &cursor, &at, &item))
		return find_named(w, "model_type", s, len, ret_arch, err);
	if (find_named(w, "architectures", item.s, item.len, ret_arch, NULL) >= 0)
		return SK_OK;
	return s ? find_named(w, "model_type", s, len, ret_arch, err) :
		   find_named(w, "architectures", item.s, item.len, ret_arch, err);
}

static sk_status find_arch(const struct sk_weights *w, const struct sk_arch **ret_arch, struct sk_err *err)
{
	bool gguf = sk_weights_form(w) == SK_FORM_GGUF;
	const struct sk_arch *a = NULL;
	size_t len = 0;
	const char *s = NULL;
	sk_status st = sk_config_str(w, "general.architecture", &s, &len, err);

	if (st < 0)
		return st;
	st = gguf ? find_named(w, "general.architecture", s, len, &a, err) : find_hf(w, &a, err);

	if (st < 0)
		return st;
	if (gguf ? !a->config_gguf : !a->config)
		return sk_fail(err, SK_ENOTSUP, "%s: architecture %s is not supported from %s", sk_weights_path(w), a->name,
			       gguf ? "a GGUF file (a Hugging Face directory is)" : "a Hugging Face directory (a GGUF file is)");
	*ret_arch = a;
	return SK_OK;
}

static sk_status read_dims(const struct sk_weights *w, const struct sk_arch *a, struct sk_dims *ret_d, struct sk_err *err)
{
	struct sk_dims d = { .norm = a->norm, .position = a->position, .act = a->act, .residual = a->residual, .glu = a->glu,
			     .norm_eps = 1e-5f };
	sk_status st = sk_weights_form(w) == SK_FORM_GGUF ? a->config_gguf(&d, w, err) : a->config(&d, w, err);

	if (st >= 0)
		*ret_d = d;
	return st;
}

sk_status sk_model_config(const struct sk_weights *w, const struct sk_arch **ret_arch, struct sk_dims *ret_dims, struct sk_err *err)
{
	sk_status st = find_arch(w, ret_arch, err);

	return st < 0 ? st : read_dims(w, *ret_arch, ret_dims, err);
}

/* What must be there in one form or another, and what may not: rules alone cannot say so. */
struct need { const char *what; bool met; };

static sk_status check_layer(const struct sk_weights *w, const struct sk_arch *a, const struct sk_dims *d, int32_t l,
			     struct sk_err *err)
{
	const char *gate = d->glu ? "gate in its MLP" : "MLP without a gate";
	bool none = l >= d->layers;             /* the encoder has more */
	bool pair = slot_there(w, a, SK_W_KV, l) || (slot_there(w, a, SK_W_K, l) && slot_there(w, a, SK_W_V, l));
	bool gated = slot_there(w, a, SK_W_GATE, l) || slot_there(w, a, SK_W_GATE_UP, l);
	const struct need needs[] = {
		{ "norm at its attention", none || d->plain_norms || slot_there(w, a, SK_W_ATTN_NORM, l) ||
					   slot_there(w, a, SK_W_ATTN_POST_NORM, l) },
		{ "norm at its MLP", none || d->plain_norms || d->residual == SK_RESIDUAL_PARALLEL ||
				     slot_there(w, a, SK_W_FFN_NORM, l) || slot_there(w, a, SK_W_FFN_POST_NORM, l) },
		{ "norms of q and k", none || !d->qk_norm || (slot_there(w, a, SK_W_Q_NORM, l) && slot_there(w, a, SK_W_K_NORM, l)) },
		{ "weights of q, k and v", none || slot_there(w, a, SK_W_QKV, l) || (slot_there(w, a, SK_W_Q, l) && pair) },
		{ gate, none || d->route.experts || gated == d->glu },
	};

	for (size_t i = 0; i < sizeof(needs) / sizeof(needs[0]); i++)
		if (!needs[i].met)
			return sk_fail(err, SK_EFORMAT, "%s: layer %d has no %s (architecture %s)", sk_weights_path(w), l, needs[i].what,
				       a->name);
	return SK_OK;
}

static sk_status check_present(const struct sk_weights *w, const struct sk_arch *a, const struct sk_dims *d, struct sk_err *err)
{
	bool projected = d->embed_width != d->width;
	const struct need needs[] = {
		{ "there are no position embeddings", d->position != SK_POS_LEARNED || slot_there(w, a, SK_W_POSITIONS, 0) },
		{ "there is no norm before the head", d->plain_norms || d->no_out_norm || slot_there(w, a, SK_W_OUT_NORM, 0) },
		{ projected ? "there are no projections of the embedding" : "there are projections of an embedding as wide as the model",
		  slot_there(w, a, SK_W_PROJ_IN, 0) == projected && slot_there(w, a, SK_W_PROJ_OUT, 0) == projected },
	};
	int32_t layers = d->layers > d->encoder_layers ? d->layers : d->encoder_layers;

	for (size_t i = 0; i < sizeof(needs) / sizeof(needs[0]); i++)
		if (!needs[i].met)
			return sk_fail(err, SK_EFORMAT, "%s: %s (architecture %s)", sk_weights_path(w), needs[i].what, a->name);
	for (int32_t l = 0; l < layers; l++) {
		sk_status st = check_layer(w, a, d, l, err);

		if (st < 0)
			return st;
	}
	return SK_OK;
}

sk_status sk_model_check(const struct sk_weights *w, const struct sk_arch **ret_arch, struct sk_dims *ret_dims,
			 struct sk_err *err)
{
	const struct sk_arch *a = NULL;
	struct sk_dims d;
	unsigned char *seen;
	sk_status st = sk_model_config(w, &a, &d, err);

	if (st < 0)
		return st;
	seen = calloc(sk_weights_len(w) + 1, 1);
	if (!seen)
		return sk_fail(err, SK_ENOMEM, "%s: out of memory", sk_weights_path(w));
	for (const struct sk_weight_rule *r = sk_rules(w, a); r->slot != SK_W_END && st >= 0; r++)
		st = check_rule(w, a, r, &d, seen, err);
	if (st >= 0)
		st = check_all_known(w, a, seen, err);
	if (st >= 0)
		st = check_present(w, a, &d, err);
	free(seen);
	if (st < 0)
		return st;
	if (!sk_slot_find(w, a, SK_W_HEAD, 0))
		d.tied_head = true;
	*ret_arch = a;
	*ret_dims = d;
	return SK_OK;
}

/* ---- vectors -------------------------------------------------------------------------------------------------- */

/* Each starts on 64 bytes. */
static uint64_t padded(int64_t floats)
{
	return ((uint64_t)floats + 15) / 16 * 16;
}

static bool is_qkv_bias(enum sk_slot slot)
{
	return slot == SK_W_QKV_B || slot == SK_W_Q_B || slot == SK_W_K_B || slot == SK_W_V_B || slot == SK_W_KV_B;
}

uint64_t sk_model_tables(const struct sk_dims *d)
{
	uint64_t sum = (uint64_t)(1 + d->rope.lengths) * padded(d->rope.width / 2) + padded(d->heads);  /* frequencies, slopes */

	if (d->two_ropes)
		sum += padded(d->rope_local.width / 2);
	if (d->position == SK_POS_RELATIVE)
		sum += 2 * padded((int64_t)d->heads * (2 * (int64_t)d->rel_distance + 1));
	return sum;
}

/* Biases of q, k and v lie together, in as many parts as their weights. */
uint64_t sk_model_vector(enum sk_slot slot, const struct sk_dims *d, int64_t len)
{
	if (slot == SK_W_EXPERT_GATE_UP_B)      /* each by itself */
		return 2 * (uint64_t)d->route.experts * padded(d->expert_width);
	if (slot == SK_W_EXPERT_DOWN_B)
		return (uint64_t)d->route.experts * padded(d->width);
	return is_qkv_bias(slot) ? padded(((int64_t)d->heads + 2 * d->kv_heads) * d->head_width) + 32 : padded(len);
}

uint64_t sk_model_vectors(const struct sk_weights *w, const struct sk_arch *a, const struct sk_dims *d)
{
	uint64_t sum = sk_model_tables(d);

	for (const struct sk_weight_rule *r = sk_rules(w, a); r->slot != SK_W_END; r++)
		for (int32_t l = 0; l < sk_rule_layers(r, d); l++) {
			const struct sk_tensor *t = r->slot == SK_W_IGNORE ? NULL : sk_rule_find(w, a, r, sk_rule_at(r, d, l));

			if (t && sk_slot_is_vector(r->slot, t->dims))
				sum += sk_model_vector(r->slot, d, sk_tensor_len(t));
		}
	return sum;
}

/* ---- scratch -------------------------------------------------------------------------------------------------- */

static int32_t largest(int32_t a, int32_t b)
{
	return a > b ? a : b;
}

/* The widest of what lies inside an MLP. */
static int32_t inner_width(const struct sk_dims *d)
{
	return largest(d->ffn_width, largest(d->expert_width, d->shared_width));
}

void sk_model_scratch(struct sk_model *m, bool any_separate_glu, struct sk_scratch list[SK_SCRATCH_LEN])
{
	const struct sk_dims *d = &m->dims;
	uint64_t rows = (uint64_t)m->rows_max, width = (uint64_t)d->width, ffn = (uint64_t)inner_width(d);
	uint64_t q = (uint64_t)d->heads * (uint64_t)d->head_width, kv = (uint64_t)d->kv_heads * (uint64_t)d->head_width;
	uint64_t experts = (uint64_t)d->route.experts;
	const struct sk_scratch buffers[SK_SCRATCH_LEN] = {
		{ &m->x,      4 * rows * width },
		{ &m->h,      4 * rows * width },
		{ &m->qkv,    4 * rows * (q + 2 * kv) },
		{ &m->att,    4 * rows * q },
		{ &m->ffn,    4 * rows * ffn },
		{ &m->ffn_up, any_separate_glu || d->glu_limit > 0.0f ? 4 * rows * ffn : 0 },
		{ &m->e,      d->embed_width != d->width ? 4 * rows * (uint64_t)d->embed_width : 0 },
		{ &m->last,   4 * rows * width },
		{ &m->moe.logits,   4 * rows * experts },
		{ &m->moe.gathered, experts ? 4 * rows * width : 0 },
		{ &m->moe.out,      experts ? 4 * rows * width : 0 },
		{ &m->logits, 4 * (uint64_t)m->logits_rows * (uint64_t)d->vocab },
	};

	memcpy(list, buffers, sizeof(buffers));
}

void sk_model_dev_plan(const struct sk_model *m, struct sk_dev_plan *ret_plan)
{
	const struct sk_dims *d = &m->dims;
	int32_t q = d->heads * d->head_width, kv = d->kv_heads * d->head_width;

	*ret_plan = (struct sk_dev_plan){
		.tokens_max = m->rows_max,
		.sequences_max = m->opts.sequences_max,
		.K_max = largest(largest(d->width, d->embed_width), largest(q, inner_width(d))),
		.N_max = largest(largest(d->vocab, q + 2 * kv), largest(d->embed_width, largest(d->width, largest(2 * inner_width(d), d->route.experts)))),
		.heads = d->heads,
		.kv_heads = d->kv_heads,
		.head_width = d->head_width,
		.context_max = m->opts.context_max,
		.threads = m->opts.dev.threads,
	};
}

void sk_model_kv_spec(const struct sk_model *m, int32_t blocks, struct sk_kv_spec *ret_spec)
{
	*ret_spec = (struct sk_kv_spec){
		.layers = m->dims.layers,
		.kv_heads = m->dims.kv_heads,
		.head_width = m->dims.head_width,
		.blocks = blocks,
		.dtype = m->opts.kv_dtype,
	};
}

/* ---- options -------------------------------------------------------------------------------------------------- */

static sk_status check_option(const char *name, int64_t value, int64_t min, int64_t max, struct sk_err *err)
{
	if (value < min || value > max)
		return sk_fail(err, SK_EINVAL, "%s is %" PRId64 ", it must be from %" PRId64 " to %" PRId64, name, value, min,
			       max);
	return SK_OK;
}

sk_status sk_model_begin_opts(struct sk_model *m, const struct sk_model_opts *o, struct sk_err *err)
{
	sk_status st = check_option("tokens per step", o->tokens_max, 1, 1 << 20, err);

	if (st >= 0)
		st = check_option("sequences per step", o->sequences_max, 1, 1 << 20, err);
	if (st >= 0)
		st = check_option("rows of logits", o->logits_max, 1, 1 << 20, err);
	if (st >= 0)
		st = check_option("tokens of a sequence", o->context_max, 1, m->dims.context_max, err);
	if (st >= 0)
		st = check_option("tokens of an encoder's input", o->encode_max, 0, SK_ENCODE_MAX, err);
	if (st >= 0)
		st = check_option("KV blocks", o->kv_blocks, 0, INT32_MAX, err);
	if (st < 0)
		return st;
	if (o->kv_dtype != SK_F32 && o->kv_dtype != SK_BF16)
		return sk_fail(err, SK_ENOTSUP, "KV cache: only float32 and bfloat16 are supported");
	m->backend = o->backend;
	m->opts = *o;
	m->logits_rows = o->logits_max + SK_PROMPT_TILE_MIN;
	m->rows_max = largest(largest(o->tokens_max, o->logits_max), SK_PROMPT_TILE);
	if (m->dims.encoder_layers)
		m->rows_max = largest(m->rows_max, o->encode_max);
	if (m->dims.rope.scaling == SK_ROPE_DYNAMIC)
		m->dims.rope.lengths = largest(o->context_max - m->dims.rope.original, 0);
	if (m->dims.rope.scaling == SK_ROPE_LONG)
		m->dims.rope.lengths = o->context_max > m->dims.rope.original;
	return SK_OK;
}

sk_status sk_model_begin(struct sk_model *m, const struct sk_weights *w, const struct sk_model_opts *o, struct sk_err *err)
{
	sk_status st = sk_model_check(w, &m->arch, &m->dims, err);

	return st < 0 ? st : sk_model_begin_opts(m, o, err);
}

/* ---- the plan ------------------------------------------------------------------------------------------------- */

/* What the sums run over: each tensor that is there, once. */
struct sums {
	uint64_t params, weights_bytes;
	uint64_t by_type[SK_DTYPES];
};

static sk_status add_tensor(const struct sk_model *m, const struct sk_weights *w, const struct sk_weight_rule *r,
			    const struct sk_tensor *t, struct sums *s, struct sk_err *err)
{
	bool turned = r->flags & SK_RULE_TRANSPOSED;
	uint64_t columns = (uint64_t)t->dim[t->dims - (turned ? 2 : 1)], each = t->dims == 3 ? (uint64_t)t->dim[0] : 1, bytes;
	uint64_t rows = (uint64_t)sk_tensor_len(t) / columns;

	s->params += rows * columns;
	if (sk_slot_is_vector(r->slot, t->dims) || r->slot == SK_W_REL_BIAS || r->slot == SK_W_ENC_REL_BIAS)
		return SK_OK;           /* among the vectors */
	bytes = each * m->backend->weight_bytes(t->dtype, (int64_t)(rows / each), (int64_t)columns);
	if (bytes == 0)
		return sk_fail(err, SK_ENOTSUP, "%s: tensor %s: backend %s cannot hold a weight of type %s with %" PRIu64
			       " columns", sk_weights_path(w), t->name, m->backend->name, sk_quant_get(t->dtype)->name, columns);
	s->weights_bytes += bytes;
	s->by_type[t->dtype] += t->bytes;
	return SK_OK;
}

/* Each tensor that is loaded, once. */
static sk_status add_tensors(const struct sk_model *m, const struct sk_weights *w, struct sums *s, struct sk_err *err)
{
	sk_status st = SK_OK;

	for (const struct sk_weight_rule *r = sk_rules(w, m->arch); r->slot != SK_W_END; r++) {
		if (r->slot == SK_W_IGNORE || (r->slot == SK_W_HEAD && m->dims.tied_head))
			continue;
		for (int32_t i = 0; i < sk_rule_layers(r, &m->dims) && st >= 0; i++) {
			int32_t l = sk_rule_at(r, &m->dims, i);
			const struct sk_tensor *t = sk_rule_find(w, m->arch, r, l);

			if (t && t == sk_slot_find(w, m->arch, r->slot, l))
				st = add_tensor(m, w, r, t, s, err);
		}
	}
	s->weights_bytes += sizeof(float) * sk_model_vectors(w, m->arch, &m->dims);
	return st;
}

/* The type that most of the weights' bytes are in. */
static enum sk_dtype main_type(const struct sums *s)
{
	int best = 0;

	for (int i = 1; i < SK_DTYPES; i++)
		if (s->by_type[i] > s->by_type[best])
			best = i;
	return (enum sk_dtype)best;
}

sk_status sk_model_scratch_bytes(struct sk_model *m, bool any_separate_glu, uint64_t *ret_bytes, struct sk_err *err)
{
	struct sk_scratch list[SK_SCRATCH_LEN];
	struct sk_dev_plan plan;
	size_t dev_bytes = 0;
	sk_status st;

	sk_model_dev_plan(m, &plan);
	st = m->backend->reserve(NULL, &plan, &dev_bytes, err);
	if (st < 0)
		return st;
	sk_model_scratch(m, any_separate_glu, list);
	*ret_bytes = dev_bytes;
	for (int i = 0; i < SK_SCRATCH_LEN; i++)
		*ret_bytes += list[i].bytes;
	return SK_OK;
}

sk_status sk_model_plan(const struct sk_weights *w, const struct sk_model_opts *o, struct sk_model_plan *ret_plan,
			struct sk_err *err)
{
	struct sk_model m = { 0 };
	struct sums s = { 0 };
	struct sk_kv_spec kv;
	struct sk_model_plan p = { 0 };
	sk_status st = sk_model_begin(&m, w, o, err);

	if (st >= 0)
		st = add_tensors(&m, w, &s, err);
	if (st >= 0)
		st = sk_model_scratch_bytes(&m, sk_model_any_separate_glu(w, m.arch, &m.dims), &p.scratch_bytes, err);
	if (st < 0)
		return st;
	p.weights_bytes = s.weights_bytes;
	p.params = s.params;
	if (o->kv_blocks > 0) {
		sk_model_kv_spec(&m, o->kv_blocks, &kv);
		p.kv_bytes = o->backend->kv_bytes(&kv);
	}
	sk_model_kv_spec(&m, 1, &kv);
	p.kv_bytes_per_token = o->backend->kv_bytes(&kv) / SK_KV_BLOCK;
	p.weights = main_type(&s);
	snprintf(p.quant, sizeof(p.quant), "%s", sk_quant_get(p.weights)->name);
	*ret_plan = p;
	return SK_OK;
}
