/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What each of several ranks holds, from a configuration alone: which tensors a checkpoint of it has, and which part of each a rank
 * owns. Ranks own whole slices of the sums over heads and over the MLP's columns, so that any number of them gives the same bits.
 */
#include "engine/model/inside.h"

#include <inttypes.h>

/* ---- slices --------------------------------------------------------------------------------------------------- */

static int32_t gcd(int32_t a, int32_t b)
{
	while (b) {
		int32_t r = a % b;

		a = b;
		b = r;
	}
	return a;
}

int32_t sk_slices_cut(int32_t K, int32_t piece, enum sk_dtype dtype, int32_t ret_end[SK_SLICES_MAX])
{
	int32_t block = (int32_t)sk_quant_get(dtype)->block_len;
	int32_t unit = piece / gcd(piece, block) * block;       /* the least common multiple */
	int64_t units = K / unit;
	int32_t slices = (int32_t)(units < SK_SLICES_MAX ? units : SK_SLICES_MAX);

	for (int32_t s = 0; s < slices; s++)
		ret_end[s] = (int32_t)((s + 1) * units / slices) * unit;
	return slices;
}

/* The columns of K, in `piece`s, that the slices of a rank cover. Of 8 slices three ranks own 3, 3 and 2. */
struct part { int32_t slices, first, end; };

static struct part part_of(int32_t K, int32_t piece, enum sk_dtype dtype, int32_t ranks, int32_t rank)
{
	int32_t end[SK_SLICES_MAX], slices = sk_slices_cut(K, piece, dtype, end), each = slices / ranks, more = slices % ranks;
	int32_t first = rank * each + (rank < more ? rank : more), len = each + (rank < more ? 1 : 0);

	if (!len)
		return (struct part){ 0, 0, 0 };
	return (struct part){ .slices = len, .first = first ? end[first - 1] / piece : 0, .end = end[first + len - 1] / piece };
}

static struct part part_of_heads(const struct sk_dims *d, enum sk_dtype dtype, int32_t ranks, int32_t rank)
{
	return part_of(d->heads * d->head_width, d->head_width, dtype, ranks, rank);
}

int32_t sk_model_ranks_max(const struct sk_dims *d, enum sk_dtype weights)
{
	int32_t heads = part_of_heads(d, weights, 1, 0).slices, mlp = part_of(d->ffn_width, 1, weights, 1, 0).slices;

	return heads < mlp ? heads : mlp;
}

/* ---- which tensors there are ---------------------------------------------------------------------------------- */

/* Where they are counted, and on which flag of a configuration they hang. */
enum kind { EMBED, ATTENTION, MLP, HEAD, VECTORS, KINDS };
enum flag { ALWAYS, NEVER, WITH_HEAD, WITH_PROJECTION, WITH_GATE, WITH_ATTENTION_BIAS, WITH_MLP_BIAS, WITH_NORM, WITH_SECOND_NORM,
	    WITH_OUT_NORM, WITH_QK_NORM, WITH_HEAD_BIAS };

#define BOTH(slot, kind, weight, bias) { SK_W_##slot, kind, weight }, { SK_W_##slot##_B, VECTORS, bias }
static const struct { enum sk_slot slot; enum kind kind; enum flag flag; } slots[] = {
	BOTH(EMBED,         EMBED,     ALWAYS,           ALWAYS),
	BOTH(POSITIONS,     EMBED,     ALWAYS,           ALWAYS),
	BOTH(EMBED_NORM,    VECTORS,   WITH_NORM,        WITH_NORM),
	BOTH(PROJ_IN,       EMBED,     WITH_PROJECTION,  WITH_PROJECTION),
	BOTH(PROJ_OUT,      HEAD,      WITH_PROJECTION,  WITH_PROJECTION),
	BOTH(OUT_NORM,      VECTORS,   WITH_OUT_NORM,    WITH_OUT_NORM),
	BOTH(HEAD,          HEAD,      WITH_HEAD,        WITH_HEAD_BIAS),
	BOTH(ROPE_FREQS,    VECTORS,   NEVER,            NEVER),
	BOTH(ATTN_NORM,     VECTORS,   WITH_NORM,        WITH_NORM),
	BOTH(Q_NORM,        VECTORS,   WITH_QK_NORM,     WITH_QK_NORM),
	BOTH(K_NORM,        VECTORS,   WITH_QK_NORM,     WITH_QK_NORM),
	BOTH(ROPE_SHORT,    VECTORS,   NEVER,            NEVER),
	BOTH(ROPE_LONG,     VECTORS,   NEVER,            NEVER),
	BOTH(QKV,           ATTENTION, ALWAYS,           WITH_ATTENTION_BIAS),
	BOTH(Q,             ATTENTION, ALWAYS,           WITH_ATTENTION_BIAS),
	BOTH(K,             ATTENTION, ALWAYS,           WITH_ATTENTION_BIAS),
	BOTH(V,             ATTENTION, ALWAYS,           WITH_ATTENTION_BIAS),
	BOTH(KV,            ATTENTION, ALWAYS,           WITH_ATTENTION_BIAS),
	BOTH(O,             ATTENTION, ALWAYS,           WITH_ATTENTION_BIAS),
	BOTH(FFN_NORM,      VECTORS,   WITH_SECOND_NORM, WITH_SECOND_NORM),
	BOTH(GATE,          MLP,       WITH_GATE,        WITH_MLP_BIAS),
	BOTH(UP,            MLP,       ALWAYS,           WITH_MLP_BIAS),
	BOTH(GATE_UP,       MLP,       WITH_GATE,        WITH_MLP_BIAS),
	BOTH(ROUTER,        MLP,       ALWAYS,           WITH_MLP_BIAS),
	BOTH(EXPERT_GATE,   MLP,       ALWAYS,           WITH_MLP_BIAS),
	BOTH(EXPERT_UP,     MLP,       ALWAYS,           WITH_MLP_BIAS),
	BOTH(EXPERT_GATE_UP, MLP,      ALWAYS,           ALWAYS),
	BOTH(EXPERT_DOWN,   MLP,       ALWAYS,           WITH_MLP_BIAS),
	BOTH(SINKS,         VECTORS,   ALWAYS,           NEVER),
	BOTH(SHARED_GATE,   MLP,       ALWAYS,           ALWAYS),
	BOTH(SHARED_UP,     MLP,       ALWAYS,           ALWAYS),
	BOTH(SHARED_DOWN,   MLP,       ALWAYS,           ALWAYS),
	BOTH(SHARED_SCALE,  MLP,       ALWAYS,           ALWAYS),
	BOTH(DOWN,          MLP,       ALWAYS,           WITH_MLP_BIAS),
	BOTH(CROSS_Q,       ATTENTION, ALWAYS,           ALWAYS),
	BOTH(CROSS_K,       ATTENTION, ALWAYS,           ALWAYS),
	BOTH(CROSS_V,       ATTENTION, ALWAYS,           ALWAYS),
	BOTH(CROSS_O,       ATTENTION, ALWAYS,           ALWAYS),
	BOTH(ENC_Q,         ATTENTION, ALWAYS,           ALWAYS),
	BOTH(ENC_K,         ATTENTION, ALWAYS,           ALWAYS),
	BOTH(ENC_V,         ATTENTION, ALWAYS,           ALWAYS),
	BOTH(ENC_O,         ATTENTION, ALWAYS,           ALWAYS),
	BOTH(ENC_GATE,      MLP,       WITH_GATE,        WITH_GATE),
	BOTH(ENC_UP,        MLP,       ALWAYS,           ALWAYS),
	BOTH(ENC_DOWN,      MLP,       ALWAYS,           ALWAYS),
};

/* Those not listed are vectors, and there where a rule names them. */
static void find_slot(enum sk_slot slot, enum kind *ret_kind, enum flag *ret_flag)
{
	*ret_kind = VECTORS;
	*ret_flag = ALWAYS;
	for (size_t i = 0; i < sizeof(slots) / sizeof(slots[0]); i++)
		if (slots[i].slot == slot) {
			*ret_kind = slots[i].kind;
			*ret_flag = slots[i].flag;
		}
}

static bool flag_is_set(const struct sk_dims *d, enum flag flag)
{
	const bool set[] = {
		[ALWAYS] = true,
		[WITH_HEAD] = !d->tied_head && !d->head_tied,
		[WITH_PROJECTION] = d->embed_width != d->width,
		[WITH_GATE] = d->glu,
		[WITH_ATTENTION_BIAS] = d->attention_bias,
		[WITH_MLP_BIAS] = d->mlp_bias,
		[WITH_NORM] = !d->plain_norms,
		[WITH_SECOND_NORM] = !d->plain_norms && !(d->residual == SK_RESIDUAL_PARALLEL && d->one_norm),
		[WITH_QK_NORM] = d->qk_norm,
		[WITH_HEAD_BIAS] = d->head_bias,
		[WITH_OUT_NORM] = !d->plain_norms && !d->no_out_norm,
	};

	return set[flag];
}

/* Whether a rule before r has one of these slots. */
static bool comes_before(const struct sk_arch *a, const struct sk_weight_rule *r, enum sk_slot slot, enum sk_slot or_slot)
{
	for (const struct sk_weight_rule *q = a->weights; q != r; q++)
		if (q->slot == slot || q->slot == or_slot)
			return true;
	return false;
}

static bool is_there(const struct sk_arch *a, const struct sk_dims *d, const struct sk_weight_rule *r, enum kind *ret_kind)
{
	bool apart = r->slot >= SK_W_Q && r->slot <= SK_W_KV_B;         /* of what may be fused: one form counts */
	enum flag flag;

	find_slot(r->slot, ret_kind, &flag);
	if (r->slot == SK_W_IGNORE || comes_before(a, r, r->slot, apart ? SK_W_QKV : r->slot))
		return false;
	return !(r->flags & SK_RULE_OPTIONAL) || flag_is_set(d, flag);
}

uint64_t sk_model_params(const struct sk_arch *a, const struct sk_dims *d)
{
	uint64_t sum = 0;
	enum kind kind;

	for (const struct sk_weight_rule *r = a->weights; r->slot != SK_W_END; r++) {
		int64_t dim[4];
		uint64_t each = 1;

		if (!is_there(a, d, r, &kind))
			continue;
		for (int32_t i = sk_rule_shape(r, d, dim); i > 0; i--)
			each *= (uint64_t)dim[i - 1];
		sum += (uint64_t)sk_rule_layers(r, d) * each;
	}
	return sum;
}

/* ---- what a rank holds ---------------------------------------------------------------------------------------- */

static sk_status add_rule(const struct sk_model *m, const struct sk_dims *whole, const struct sk_weight_rule *r, enum sk_dtype weights,
			  enum kind kind, uint64_t bytes[KINDS], struct sk_err *err)
{
	const struct sk_dims *d = r->split == SK_SPLIT_NONE ? whole : &m->dims;
	bool turned = r->flags & SK_RULE_TRANSPOSED;
	uint64_t layers = (uint64_t)sk_rule_layers(r, d), one;
	int64_t dim[4];
	int32_t dims = sk_rule_shape(r, d, dim);

	if (sk_slot_is_vector(r->slot, dims)) {
		bytes[VECTORS] += layers * sizeof(float) * sk_model_vector(r->slot, d, dims == 2 ? dim[0] * dim[1] : dim[0]);
		return SK_OK;
	}
	if (r->slot == SK_W_REL_BIAS || r->slot == SK_W_ENC_REL_BIAS)
		return SK_OK;           /* among the tables */
	one = dims == 3 ? (uint64_t)dim[0] * m->backend->weight_bytes(weights, dim[1 + turned], dim[2 - turned]) :
			  m->backend->weight_bytes(weights, dim[turned], dim[!turned]);
	if (!one)
		return sk_fail(err, SK_ENOTSUP, "backend %s cannot hold %s of type %s with %" PRId64 " columns", m->backend->name, r->name,
			       sk_quant_get(weights)->name, dim[!turned]);
	bytes[kind] += layers * one;
	return SK_OK;
}

/* The dimensions of what a rank owns. */
static void cut_dims(struct sk_dims *d, enum sk_dtype weights, int32_t ranks, int32_t rank, struct sk_model_share *s)
{
	struct part heads = part_of_heads(d, weights, ranks, rank), mlp = part_of(d->ffn_width, 1, weights, ranks, rank);
	int32_t group = d->heads / d->kv_heads;
	int32_t first_kv = heads.first / group, end_kv = (heads.end + group - 1) / group;
	int64_t first_id = (int64_t)d->vocab * rank / ranks, end_id = (int64_t)d->vocab * (rank + 1) / ranks;

	d->heads = heads.end - heads.first;
	d->kv_heads = end_kv - first_kv;        /* one that two ranks' heads share is on both */
	d->ffn_width = mlp.end - mlp.first;
	d->vocab = (int32_t)(end_id - first_id);
	*s = (struct sk_model_share){ .slices = heads.slices, .mlp_slices = mlp.slices, .heads = d->heads, .kv_heads = d->kv_heads,
				      .ffn_width = d->ffn_width, .vocab = d->vocab };
}

sk_status sk_model_share(const struct sk_arch *a, const struct sk_dims *d, const struct sk_model_opts *o, enum sk_dtype weights,
			 int32_t ranks, int32_t rank, struct sk_model_share *ret_share, struct sk_err *err)
{
	struct sk_model m = { .arch = a, .dims = *d };
	int32_t most = sk_model_ranks_max(d, weights);
	struct sk_model_share s;
	struct sk_kv_spec kv;
	uint64_t bytes[KINDS] = { 0 };
	sk_status st;

	if (most < 1)
		return sk_fail(err, SK_ENOTSUP, "weights of type %s want at least %d columns in a head's and an MLP's products",
			       sk_quant_get(weights)->name, (int)sk_quant_get(weights)->block_len);
	if (ranks < 1 || rank < 0 || rank >= ranks || ranks > most)
		return sk_fail(err, SK_EINVAL, "%d ranks: the sums of this model are cut into %d slices, and a rank owns whole ones: from 1 to "
			       "%d ranks", ranks, most, most);
	cut_dims(&m.dims, weights, ranks, rank, &s);
	st = sk_model_begin_opts(&m, o, err);
	for (const struct sk_weight_rule *r = a->weights; r->slot != SK_W_END && st >= 0; r++) {
		enum kind kind;

		if (is_there(a, d, r, &kind))
			st = add_rule(&m, d, r, weights, kind, bytes, err);
	}
	if (st < 0)
		return st;
	s.embed_bytes = bytes[EMBED];
	s.attention_bytes = bytes[ATTENTION];
	s.mlp_bytes = bytes[MLP];
	s.head_bytes = bytes[HEAD];
	s.vector_bytes = bytes[VECTORS] + sizeof(float) * sk_model_tables(&m.dims);
	s.weights_bytes = s.embed_bytes + s.attention_bytes + s.mlp_bytes + s.head_bytes + s.vector_bytes;
	sk_model_kv_spec(&m, 1, &kv);
	s.kv_block_bytes = o->backend->kv_bytes(&kv);
	m.dims.vocab = d->vocab;        /* logits are gathered */
	st = sk_model_scratch_bytes(&m, false, &s.scratch_bytes, err);
	if (st >= 0)
		*ret_share = s;
	return st;
}
