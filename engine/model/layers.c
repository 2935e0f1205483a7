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
								      .positions = m->positions, .pos = step->pos });
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

static void look(struct sk_model *m, int32_t layer, const struct sk_step *step, int32_t row, struct sk_attend_bias bias, bool cross)
{
	const struct sk_dims *d = &m->dims;
	int32_t q = d->heads * d->head_width;

	m->backend->ops->attend(m->dev, &(struct sk_op_attend){
		.kv = m->kv, .layer = layer, .step = step, .q = sk_rows_view(m->qkv, step->T, row, 0, q), .y = sk_rows_whole(m->att, step->T, q),
		.heads = d->heads, .kv_heads = d->kv_heads, .head_width = d->head_width, .bias = bias, .cross = cross,
		.scale = d->score_scale > 0.0f ? d->score_scale : 1.0f / sqrtf((float)d->head_width) });
}

static void add_attention(struct sk_model *m, const struct sk_attention *a, int32_t rows)
{
	sk_layer_linear(m, &a->o, sk_rows_whole(m->att, rows, m->dims.heads * m->dims.head_width), sk_rows_whole(m->x, rows, m->dims.width), SK_LINEAR_ADD,
	       SK_ACT_NONE);
}

/* att = attend(rope(Wqkv h)), and the cache grows. */
static void attend(struct sk_model *m, const struct sk_attention *a, const struct sk_place *at, float *h, const struct sk_step *step)
{
	const struct sk_dims *d = &m->dims;
	int32_t T = step->T, q = d->heads * d->head_width, kv = d->kv_heads * d->head_width, row = q + 2 * kv;

	project(m, a, h, T, row);
	if (d->position == SK_POS_ROPE)
		m->backend->ops->rope(m->dev, &(struct sk_op_rope){     /* q and k are neighbours: their heads turn in one call */
			.x = sk_rows_view(m->qkv, T, row, 0, q + kv), .pos = step->pos, .heads = d->heads + d->kv_heads,
			.head_width = d->head_width, .rotary_width = d->rope.width, .inv_freq = m->inv_freq,
			.factor = m->rope_factor, .freq_rows = step->freq_rows, .freq_stride = m->rope_stride });
	write_kv(m, at->layer, step, row, q);
	look(m, at->layer, step, row, at->bias, at->encoder);
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
	sk_layer_linear(m, &p->down, sk_rows_whole(m->ffn, rows, m->dims.ffn_width), sk_rows_whole(x, rows, m->dims.width), SK_LINEAR_ADD, SK_ACT_NONE);
}

void sk_layer_self(struct sk_model *m, const struct sk_layer *y, const struct sk_place *at, const struct sk_step *step)
{
	enum sk_residual_kind kind = m->dims.residual;
	int32_t T = step->T;
	float *h = kind == SK_RESIDUAL_POST || kind == SK_RESIDUAL_NORMED ? m->x : m->h;

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
	look(m, layer, step, row, (struct sk_attend_bias){ .kind = SK_BIAS_NONE }, true);
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
	float *h = kind == SK_RESIDUAL_PRE ? m->h : x;

	if (kind == SK_RESIDUAL_PARALLEL)
		return;
	if (kind != SK_RESIDUAL_POST)
		sk_layer_norm(m, &y->mlp.norm, x, h, rows);
	widen(m, &y->mlp, h, rows);
	add_mlp(m, &y->mlp, x, rows);
	if (kind == SK_RESIDUAL_POST)
		sk_layer_norm(m, &y->mlp.norm, x, x, rows);
}
