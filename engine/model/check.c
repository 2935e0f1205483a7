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

/* ---- rules ---------------------------------------------------------------------------------------------------- */

const struct sk_weight_rule *sk_rule_find(const struct sk_arch *a, enum sk_slot slot)
{
	for (const struct sk_weight_rule *r = a->weights; r->slot != SK_W_END; r++)
		if (r->slot == slot)
			return r;
	return NULL;
}

bool sk_rule_per_layer(const struct sk_weight_rule *r)
{
	return strstr(r->name, "%d") != NULL;
}

/* The rule's name with the layer's number in place of "%d". */
static void rule_name(const struct sk_weight_rule *r, int32_t layer, char out[128])
{
	const char *mark = strstr(r->name, "%d");

	if (mark)
		snprintf(out, 128, "%.*s%" PRId32 "%s", (int)(mark - r->name), r->name, layer, mark + 2);
	else
		snprintf(out, 128, "%s", r->name);
}

const struct sk_tensor *sk_slot_find(const struct sk_weights *w, const struct sk_arch *a, enum sk_slot slot, int32_t layer)
{
	const struct sk_weight_rule *r = sk_rule_find(a, slot);
	char name[128];

	if (!r)
		return NULL;
	rule_name(r, layer, name);
	return sk_weights_find(w, name);
}

int sk_slots_run(const struct sk_weights *w, const struct sk_arch *a, const enum sk_slot *slots, int len, int32_t layer)
{
	enum sk_dtype dtype = sk_slot_find(w, a, slots[0], layer)->dtype;
	int n = 1;

	while (n < len && sk_slot_find(w, a, slots[n], layer)->dtype == dtype)
		n++;
	return n;
}

bool sk_glu_joins(const struct sk_weights *w, const struct sk_arch *a, int32_t layer)
{
	return sk_slots_run(w, a, (const enum sk_slot[]){ SK_W_GATE, SK_W_UP }, 2, layer) == 2;
}

bool sk_model_any_separate_glu(const struct sk_weights *w, const struct sk_arch *a, const struct sk_dims *d)
{
	for (int32_t l = 0; l < d->layers; l++)
		if (!sk_glu_joins(w, a, l))
			return true;
	return false;
}

/* One letter of a shape; the letters are STYLE.md's, and Q = H*d, G = K*d, R = half of the rotated width. */
static int64_t letter(const struct sk_dims *d, char c)
{
	const struct { char letter; int64_t value; } letters[] = {
		{ 'D', d->width }, { 'V', d->vocab }, { 'F', d->ffn_width },
		{ 'Q', (int64_t)d->heads * d->head_width }, { 'G', (int64_t)d->kv_heads * d->head_width },
		{ 'R', d->rope_width / 2 },
	};

	for (size_t i = 0; i < sizeof(letters) / sizeof(letters[0]); i++)
		if (letters[i].letter == c)
			return letters[i].value;
	(void)SK_BUG_IF(true);          /* a letter no rule may use */
	return 0;
}

static void print_shape(const struct sk_tensor *t, char out[96])
{
	size_t len = 0;

	for (int i = 0; i < t->dims; i++)
		len += (size_t)snprintf(out + len, 96 - len, "%s%" PRId64, i ? ", " : "", t->dim[i]);
}

/* "V,D" against a tensor: as many dimensions as letters, each of the letter's size. */
static sk_status check_shape(const struct sk_weights *w, const struct sk_weight_rule *r, const struct sk_dims *d,
			     const struct sk_tensor *t, struct sk_err *err)
{
	struct sk_tensor want = { .dims = 0 };
	char have_text[96], want_text[96];
	bool same;

	for (const char *s = r->shape; *s; s++)
		if (*s != ',')
			want.dim[want.dims++] = letter(d, *s);
	same = want.dims == t->dims;
	for (int i = 0; same && i < t->dims; i++)
		same = want.dim[i] == t->dim[i];
	if (same)
		return SK_OK;
	print_shape(t, have_text);
	print_shape(&want, want_text);
	return sk_fail(err, SK_EFORMAT, "%s: tensor %s has shape [%s], the configuration wants [%s] (%s)",
		       sk_weights_path(w), t->name, have_text, want_text, r->shape);
}

static sk_status check_rule(const struct sk_weights *w, const struct sk_arch *a, const struct sk_weight_rule *r,
			    const struct sk_dims *d, unsigned char *seen, struct sk_err *err)
{
	int32_t times = sk_rule_per_layer(r) ? d->layers : 1;
	char name[128];

	for (int32_t l = 0; l < times; l++) {
		const struct sk_tensor *t;
		sk_status st;

		rule_name(r, l, name);
		t = sk_weights_find(w, name);
		if (!t && r->flags & SK_RULE_OPTIONAL)
			continue;
		if (!t)
			return sk_fail(err, SK_EFORMAT, "%s: tensor %s is missing (architecture %s)", sk_weights_path(w), name,
				       a->name);
		seen[t - sk_weights_at(w, 0)] = 1;
		st = check_shape(w, r, d, t, err);
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

static sk_status find_arch(const struct sk_weights *w, const struct sk_arch **ret_arch, struct sk_err *err)
{
	size_t len = 0;
	const char *s = sk_meta_str(w, "general.architecture", &len);
	struct sk_err unknown = { 0 };
	char name[64];
	sk_status st;

	if (!s || len == 0 || len >= sizeof(name) || memchr(s, 0, len))
		return sk_fail(err, SK_EFORMAT, "%s: key general.architecture is missing or no name of 1 to 63 bytes",
			       sk_weights_path(w));
	memcpy(name, s, len);
	name[len] = 0;
	for (size_t i = 0; i < len; i++)
		if (name[i] < 32 || name[i] > 126)
			name[i] = '?';
	st = sk_arch_find(name, ret_arch, &unknown);
	return st < 0 ? sk_fail(err, st, "%s: %s", sk_weights_path(w), unknown.text) : SK_OK;
}

sk_status sk_model_check(const struct sk_weights *w, const struct sk_arch **ret_arch, struct sk_dims *ret_dims,
			 struct sk_err *err)
{
	const struct sk_arch *a = NULL;
	struct sk_dims d;
	unsigned char *seen;
	sk_status st = find_arch(w, &a, err);

	if (st >= 0)
		st = a->config(&d, w, err);
	if (st < 0)
		return st;
	seen = calloc(sk_weights_len(w) + 1, 1);
	if (!seen)
		return sk_fail(err, SK_ENOMEM, "%s: out of memory", sk_weights_path(w));
	for (const struct sk_weight_rule *r = a->weights; r->slot != SK_W_END && st >= 0; r++)
		st = check_rule(w, a, r, &d, seen, err);
	if (st >= 0)
		st = check_all_known(w, a, seen, err);
	free(seen);
	if (st < 0)
		return st;
	d.tied_head = !sk_slot_find(w, a, SK_W_HEAD, 0);
	*ret_arch = a;
	*ret_dims = d;
	return SK_OK;
}

/* ---- scratch -------------------------------------------------------------------------------------------------- */

void sk_model_scratch(struct sk_model *m, bool any_separate_glu, struct sk_scratch list[SK_SCRATCH_LEN])
{
	const struct sk_dims *d = &m->dims;
	uint64_t rows = (uint64_t)m->rows_max, width = (uint64_t)d->width, ffn = (uint64_t)d->ffn_width;
	uint64_t q = (uint64_t)d->heads * (uint64_t)d->head_width, kv = (uint64_t)d->kv_heads * (uint64_t)d->head_width;
	const struct sk_scratch buffers[SK_SCRATCH_LEN] = {
		{ &m->x,      4 * rows * width },
		{ &m->h,      4 * rows * width },
		{ &m->qkv,    4 * rows * (q + 2 * kv) },
		{ &m->att,    4 * rows * q },
		{ &m->ffn,    4 * rows * ffn },
		{ &m->ffn_up, any_separate_glu ? 4 * rows * ffn : 0 },
		{ &m->last,   4 * rows * width },
		{ &m->logits, 4 * (uint64_t)m->logits_rows * (uint64_t)d->vocab },
	};

	memcpy(list, buffers, sizeof(buffers));
}

static int32_t largest(int32_t a, int32_t b)
{
	return a > b ? a : b;
}

void sk_model_dev_plan(const struct sk_model *m, struct sk_dev_plan *ret_plan)
{
	const struct sk_dims *d = &m->dims;
	int32_t q = d->heads * d->head_width, kv = d->kv_heads * d->head_width;

	*ret_plan = (struct sk_dev_plan){
		.tokens_max = m->rows_max,
		.sequences_max = m->opts.sequences_max,
		.K_max = largest(largest(d->width, q), d->ffn_width),
		.N_max = largest(largest(d->vocab, q + 2 * kv), largest(d->width, 2 * d->ffn_width)),
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

sk_status sk_model_begin(struct sk_model *m, const struct sk_weights *w, const struct sk_model_opts *o, struct sk_err *err)
{
	sk_status st = sk_model_check(w, &m->arch, &m->dims, err);

	if (st >= 0)
		st = check_option("tokens per step", o->tokens_max, 1, 1 << 20, err);
	if (st >= 0)
		st = check_option("sequences per step", o->sequences_max, 1, 1 << 20, err);
	if (st >= 0)
		st = check_option("rows of logits", o->logits_max, 1, 1 << 20, err);
	if (st >= 0)
		st = check_option("tokens of a sequence", o->context_max, 1, m->dims.context_max, err);
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
	return SK_OK;
}

/* ---- the plan ------------------------------------------------------------------------------------------------- */

/* What the sums run over: each tensor that is there, once. */
struct sums {
	uint64_t params, weights_bytes;
	uint64_t by_type[SK_DTYPES];
};

static sk_status add_tensor(const struct sk_model *m, const struct sk_weights *w, const struct sk_tensor *t,
			    struct sums *s, struct sk_err *err)
{
	uint64_t columns = (uint64_t)t->dim[t->dims - 1], rows = t->dims == 2 ? (uint64_t)t->dim[0] : 1, bytes;

	s->params += rows * columns;
	if (t->dims == 1) {             /* vectors become float32 */
		s->weights_bytes += 4 * columns;
		return SK_OK;
	}
	bytes = m->backend->weight_bytes(t->dtype, t->dim[0], t->dim[1]);
	if (bytes == 0)
		return sk_fail(err, SK_ENOTSUP, "%s: tensor %s: backend %s cannot hold a weight of type %s with %" PRIu64
			       " columns", sk_weights_path(w), t->name, m->backend->name, sk_quant_get(t->dtype)->name, columns);
	s->weights_bytes += bytes;
	s->by_type[t->dtype] += t->bytes;
	return SK_OK;
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

sk_status sk_model_plan(const struct sk_weights *w, const struct sk_model_opts *o, struct sk_model_plan *ret_plan,
			struct sk_err *err)
{
	struct sk_model m = { 0 };
	struct sums s = { 0 };
	struct sk_scratch list[SK_SCRATCH_LEN];
	struct sk_dev_plan dev_plan;
	struct sk_kv_spec kv;
	struct sk_model_plan p = { 0 };
	size_t dev_bytes = 0;
	sk_status st = sk_model_begin(&m, w, o, err);

	for (size_t i = 0; i < sk_weights_len(w) && st >= 0; i++)
		st = add_tensor(&m, w, sk_weights_at(w, i), &s, err);
	if (st < 0)
		return st;
	sk_model_dev_plan(&m, &dev_plan);
	st = o->backend->reserve(NULL, &dev_plan, &dev_bytes, err);
	if (st < 0)
		return st;
	sk_model_scratch(&m, sk_model_any_separate_glu(w, m.arch, &m.dims), list);
	p.scratch_bytes = dev_bytes;
	for (int i = 0; i < SK_SCRATCH_LEN; i++)
		p.scratch_bytes += list[i].bytes;
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
