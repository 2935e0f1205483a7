/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The parts that decoders and encoders are made of, each a list of operations on the model's scratch: what enters a layer, its
 * attention, its MLP. Where the norms stand: enum sk_residual_kind.
 */
#include "engine/model/inside.h"

#include <math.h>
#include <string.h>

/* y = norm(x), or x's copy where there is no such norm (then y must be x). */
void sk_layer_norm(const struct sk_model *m, const struct sk_model_norm *n, float *x, float *y, int32_t rows)
{
	if (n->there)
		m->backend->ops->norm(m->dev, &(struct sk_op_norm){
			.x = sk_rows_whole(x, rows, m->dims.width), .y = sk_rows_whole(y, rows, m->dims.width), .w = n->w, .b = n->b,
			.eps = m->dims.norm_eps, .kind = m->dims.norm });
}

void sk_layer_linear(const struct sk_model *m, const struct sk_linear *l, struct sk_view x, struct sk_view y, unsigned flags,
		     enum sk_act act)
{
	struct sk_op_linear op = { .x = x, .y = y, .w = l->w, .flags = flags, .quantise = m->opts.quantise,
				   .slices = l->slices, .bias = l->bias, .act = act };

	memcpy(op.slice_end, l->slice_end, sizeof(op.slice_end));
	m->backend->ops->linear(m->dev, &op);
}

/* x = embed(ids) + positions, where they are; widened and normed where the model does so. */
void sk_layer_embed(struct sk_model *m, const struct sk_step *step)
{
	const struct sk_dims *d = &m->dims;
	struct sk_view x = sk_rows_whole(m->x, step->T, d->width);

	if (!m->proj_in.w) {
		m->backend->ops->embed(m->dev, &(struct sk_op_embed){ .ids = step->ids, .T = step->T, .w = m->embed, .y = x,
								      .positions = m->positions, .pos = step->pos, .scale = d->embed_scale });
	} else {
		struct sk_view e = sk_rows_whole(m->e, step->T, d->embed_width);

		m->backend->ops->embed(m->dev, &(struct sk_op_embed){ .ids = step->pos, .T = step->T, .w = m->positions, .y = x });
		m->backend->ops->embed(m->dev, &(struct sk_op_embed){ .ids = step->ids, .T = step->T, .w = m->embed, .y = e });
		sk_layer_linear(m, &m->proj_in, e, x, SK_LINEAR_ADD, SK_ACT_NONE);
	}
	sk_layer_norm(m, &m->embed_norm, m->x, m->x, step->T);
}

/* q | k | v = Wqkv h, as much of it as there is. */
static void project(struct sk_model *m, const struct sk_attention *a, float *h, int32_t rows, int32_t row)
{
	for (int32_t i = 0; i < a->qkv_len; i++)
		sk_layer_linear(m, &a->qkv[i], sk_rows_whole(h, rows, m->dims.width), sk_rows_view(m->qkv, rows, row, a->qkv[i].column, a->qkv[i].columns), 0,
		       SK_ACT_NONE);
}

static void write_kv(struct sk_model *m, int32_t layer, const struct sk_step *step, int32_t row, int32_t column)
{
	int32_t kv = m->dims.kv_heads * m->dims.head_width;

	m->backend->ops->kv_write(m->dev, &(struct sk_op_kv_write){
		.kv = m->kv, .layer = layer, .step = step, .k = sk_rows_view(m->qkv, step->T, row, column, kv),
		.v = sk_rows_view(m->qkv, step->T, row, column + kv, kv) });
}

/* The heads of q or of k, which begin at `column`. */
static void norm_heads(struct sk_model *m, const struct sk_head_norm *n, int32_t rows, int32_t row, int32_t column, int32_t columns)
{
	struct sk_view x = sk_rows_view(m->qkv, rows, row, column, columns);

	if (n->n.there)
		m->backend->ops->norm(m->dev, &(struct sk_op_norm){ .x = x, .y = x, .w = n->n.w, .b = n->n.b, .eps = m->dims.norm_eps,
								    .kind = m->dims.norm, .parts = n->parts, .each = n->each });
}

/* q and k are neighbours: their heads turn in one call. */
static void turn_heads(struct sk_model *m, int32_t layer, const struct sk_step *step, int32_t row)
{
	const struct sk_dims *d = &m->dims;
	bool local = d->two_ropes && sk_layers_have(&d->local, layer);
	const struct sk_model_rope *r = local ? &m->rope_local : &m->rope;
	int32_t heads = d->heads + d->kv_heads;

	if (d->position != SK_POS_ROPE || sk_layers_have(&d->unturned, layer))
		return;
	m->backend->ops->rope(m->dev, &(struct sk_op_rope){
		.x = sk_rows_view(m->qkv, step->T, row, 0, heads * d->head_width), .pos = step->pos, .heads = heads,
		.head_width = d->head_width, .rotary_width = local ? d->rope_local.width : d->rope.width, .inv_freq = r->inv_freq,
		.factor = r->factor, .freq_rows = local ? NULL : step->freq_rows, .freq_stride = r->stride });
}

static float score_scale(const struct sk_dims *d, int32_t layer)
{
	float scale = d->score_scale > 0.0f ? d->score_scale : 1.0f / sqrtf((float)d->head_width);

	return d->score_by_layer ? scale / (float)(layer + 1) : scale;
}

static void look(struct sk_model *m, const struct sk_attention *a, int32_t layer, const struct sk_step *step, int32_t row,
		 struct sk_attend_bias bias, bool cross)
{
	const struct sk_dims *d = &m->dims;
	int32_t q = d->heads * d->head_width;

	m->backend->ops->attend(m->dev, &(struct sk_op_attend){
		.kv = m->kv, .layer = layer, .step = step, .q = sk_rows_view(m->qkv, step->T, row, 0, q), .y = sk_rows_whole(m->att, step->T, q),
		.heads = d->heads, .kv_heads = d->kv_heads, .head_width = d->head_width, .bias = bias, .cross = cross,
		.scale = score_scale(d, layer), .softcap = d->score_cap, .sinks = a->sinks,
		.window = !cross && sk_layers_have(&d->local, layer) ? d->window : 0 });
}

/* x += y of a half of a layer: at once, or scaled and normed on the way, through m->h. */
static void add_half(struct sk_model *m, const struct sk_linear *l, const struct sk_model_norm *post, struct sk_view y, float *x, int32_t rows)
{
	struct sk_view to = sk_rows_whole(x, rows, m->dims.width), h = sk_rows_whole(m->h, rows, m->dims.width);
	float scale = m->dims.half_scale;

	if (!post->there && scale == 0.0f) {
		sk_layer_linear(m, l, y, to, SK_LINEAR_ADD, SK_ACT_NONE);
		return;
	}
	sk_layer_linear(m, l, y, h, 0, SK_ACT_NONE);
	sk_layer_norm(m, post, m->h, m->h, rows);
	m->backend->ops->add(m->dev, &(struct sk_op_add){ .x = h, .y = to, .scale = scale == 0.0f ? 1.0f : scale });
}

static void add_attention(struct sk_model *m, const struct sk_attention *a, int32_t rows)
{
	add_half(m, &a->o, &a->post, sk_rows_whole(m->att, rows, m->dims.heads * m->dims.head_width), m->x, rows);
}

/* att = attend(rope(Wqkv h)), and the cache grows. */
static void attend(struct sk_model *m, const struct sk_attention *a, const struct sk_place *at, float *h, const struct sk_step *step)
{
	const struct sk_dims *d = &m->dims;
	int32_t T = step->T, q = d->heads * d->head_width, kv = d->kv_heads * d->head_width, row = q + 2 * kv;

	project(m, a, h, T, row);
	if (d->qkv_limit > 0.0f)
		m->backend->ops->bound(m->dev, &(struct sk_op_bound){ .x = sk_rows_whole(m->qkv, T, row), .limit = d->qkv_limit });
	norm_heads(m, &a->q_norm, T, row, 0, q);
	norm_heads(m, &a->k_norm, T, row, q, kv);
	turn_heads(m, at->layer, step, row);
	write_kv(m, at->layer, step, row, q);
	look(m, a, at->layer, step, row, at->bias, at->encoder);
}

/* ffn = act(Wgate h) * Wup h, or act(Wup h) */
static void widen(struct sk_model *m, const struct sk_mlp *p, float *x, int32_t rows)
{
	const struct sk_dims *d = &m->dims;
	struct sk_view h = sk_rows_whole(x, rows, d->width), ffn = sk_rows_whole(m->ffn, rows, d->ffn_width);

	if (!p->gate.w) {
		sk_layer_linear(m, &p->up, h, ffn, 0, d->act);
	} else if (!p->up.w) {
		sk_layer_linear(m, &p->gate, h, ffn, SK_LINEAR_GLU, d->act);
	} else {
		struct sk_view up = sk_rows_whole(m->ffn_up, rows, d->ffn_width);

		sk_layer_linear(m, &p->gate, h, ffn, 0, SK_ACT_NONE);
		sk_layer_linear(m, &p->up, h, up, 0, SK_ACT_NONE);
		m->backend->ops->glu(m->dev, &(struct sk_op_glu){ .gate = ffn, .up = up, .y = ffn, .act = d->act });
	}
}

static void add_mlp(struct sk_model *m, const struct sk_mlp *p, float *x, int32_t rows)
{
	add_half(m, &p->down, &p->post, sk_rows_whole(m->ffn, rows, m->dims.ffn_width), x, rows);
}

void sk_layer_self(struct sk_model *m, const struct sk_layer *y, const struct sk_place *at, const struct sk_step *step)
{
	enum sk_residual_kind kind = m->dims.residual;
	int32_t T = step->T;
	float *h = kind == SK_RESIDUAL_POST || kind == SK_RESIDUAL_NORMED || !y->self.norm.there ? m->x : m->h;

	if (kind == SK_RESIDUAL_PARALLEL && y->mlp.norm.there) {
		sk_layer_norm(m, &y->mlp.norm, m->x, m->h, T);
		widen(m, &y->mlp, m->h, T);
	}
	if (kind != SK_RESIDUAL_POST)
		sk_layer_norm(m, &y->self.norm, m->x, h, T);
	if (kind == SK_RESIDUAL_PARALLEL && !y->mlp.norm.there)
		widen(m, &y->mlp, m->h, T);
	attend(m, &y->self, at, h, step);
	add_attention(m, &y->self, T);
	if (kind == SK_RESIDUAL_PARALLEL)
		add_mlp(m, &y->mlp, m->x, T);
	if (kind == SK_RESIDUAL_POST)
		sk_layer_norm(m, &y->self.norm, m->x, m->x, T);
}

void sk_layer_cross(struct sk_model *m, const struct sk_layer *y, int32_t layer, const struct sk_step *step)
{
	const struct sk_dims *d = &m->dims;
	int32_t row = (d->heads + 2 * d->kv_heads) * d->head_width;

	sk_layer_norm(m, &y->cross.norm, m->x, m->h, step->T);
	project(m, &y->cross, m->h, step->T, row);
	look(m, &y->cross, layer, step, row, (struct sk_attend_bias){ .kind = SK_BIAS_NONE }, true);
	add_attention(m, &y->cross, step->T);
}

void sk_layer_cross_write(struct sk_model *m, const struct sk_layer *y, int32_t layer, float *x, const struct sk_step *step)
{
	int32_t row = 2 * m->dims.kv_heads * m->dims.head_width;

	project(m, &y->cross_kv, x, step->T, row);
	write_kv(m, layer, step, row, 0);
}

void sk_layer_mlp(struct sk_model *m, const struct sk_layer *y, float *x, int32_t rows)
{
	enum sk_residual_kind kind = m->dims.residual;
	float *h = kind == SK_RESIDUAL_PRE && y->mlp.norm.there ? m->h : x;

	if (kind == SK_RESIDUAL_PARALLEL)
		return;
	if (kind != SK_RESIDUAL_POST)
		sk_layer_norm(m, &y->mlp.norm, x, h, rows);
	if (y->mlp.experts) {
		sk_layer_experts(m, &y->mlp, h, x, rows);
		return;
	}
	widen(m, &y->mlp, h, rows);
	add_mlp(m, &y->mlp, x, rows);
	if (kind == SK_RESIDUAL_POST)
		sk_layer_norm(m, &y->mlp.norm, x, x, rows);
}
