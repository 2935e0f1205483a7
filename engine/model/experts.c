/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An MLP that is a mixture of experts: each token goes to a few of many small MLPs, and in some models to one that all share.
 *
 *	x[t] += share s(t) * shared(h[t]);  x[t] += weight * expert_e(h[t]) for the experts e of t, in ascending order
 *
 * The tokens of a step are put together by expert, so that an expert's weights are read once for all of them, and those of an expert
 * that no token goes to are not touched. A token's bits do not depend on who goes there with it: products do not, and its sum is
 * taken in the order of the experts.
 */
#include "engine/model/inside.h"

#include <math.h>
#include <string.h>

/* Small products that choose: with activations as they are, whatever the weights are calculated with. */
static void choose(struct sk_model *m, const struct sk_linear *l, float *h, int32_t rows)
{
	m->backend->ops->linear(m->dev, &(struct sk_op_linear){
		.x = sk_rows_whole(h, rows, m->dims.width), .y = sk_rows_whole(m->moe.logits, rows, l->columns), .w = l->w, .bias = l->bias });
	m->backend->get(m->dev, m->moe.host, m->moe.logits, sizeof(float) * (size_t)rows * (size_t)l->columns);
}

/* inner = act(gate h) * up h;  out = down inner;  x[rows[i]] += scales[i] * out[i] */
static void add_expert(struct sk_model *m, const struct sk_expert *e, int32_t width, float *h, float *x, const int32_t *rows,
		       const float *scales, int32_t n)
{
	int32_t D = m->dims.width;
	struct sk_view inner = sk_rows_whole(m->ffn, n, width), out = sk_rows_whole(m->moe.out, n, D);

	if (e->up.w) {
		struct sk_view up = sk_rows_whole(m->ffn_up, n, width);

		sk_layer_linear(m, &e->gate_up, sk_rows_whole(h, n, D), inner, 0, SK_ACT_NONE);
		sk_layer_linear(m, &e->up, sk_rows_whole(h, n, D), up, 0, SK_ACT_NONE);
		m->backend->ops->glu(m->dev, &(struct sk_op_glu){ .gate = inner, .up = up, .y = inner, .act = m->dims.act,
								  .limit = m->dims.glu_limit });
	} else {
		sk_layer_linear(m, &e->gate_up, sk_rows_whole(h, n, D), inner, SK_LINEAR_GLU, m->dims.act);
	}
	sk_layer_linear(m, &e->down, inner, out, 0, SK_ACT_NONE);
	m->backend->ops->add(m->dev, &(struct sk_op_add){ .x = out, .y = sk_rows_whole(x, m->rows_max, D), .rows = rows, .scales = scales });
}

/* The one that all tokens go to: whole, or by a gate of its own. */
static void add_shared(struct sk_model *m, const struct sk_mlp *p, float *h, float *x, int32_t rows)
{
	if (!p->shared.gate_up.w)
		return;
	if (p->shared_scale.w)
		choose(m, &p->shared_scale, h, rows);
	for (int32_t t = 0; t < rows; t++) {
		m->moe.rows[t] = t;
		m->moe.scales[t] = p->shared_scale.w ? 1.0f / (1.0f + expf(-m->moe.host[t])) : 1.0f;
	}
	add_expert(m, &p->shared, m->dims.shared_width, h, x, m->moe.rows, m->moe.scales, rows);
}

/* moe.start[e]: where the tokens of expert e begin among moe.rows and moe.scales; tokens ascend. */
static void sort(struct sk_model *m, int32_t rows)
{
	const struct sk_dims *d = &m->dims;
	int32_t len = rows * d->route.used, *start = m->moe.start;

	memset(start, 0, sizeof(*start) * ((size_t)d->route.experts + 1));
	for (int32_t i = 0; i < len; i++)
		start[m->moe.chosen[i] + 1]++;
	for (int32_t e = 0; e < d->route.experts; e++)
		start[e + 1] += start[e];
	for (int32_t i = 0; i < len; i++) {
		int32_t at = start[m->moe.chosen[i]]++;

		m->moe.rows[at] = i / d->route.used;
		m->moe.scales[at] = m->moe.weights[i];
	}
	memmove(start + 1, start, sizeof(*start) * (size_t)d->route.experts);
	start[0] = 0;
}

void sk_layer_experts(struct sk_model *m, const struct sk_mlp *p, float *h, float *x, int32_t rows)
{
	const struct sk_route *r = &m->dims.route;
	int32_t D = m->dims.width;

	add_shared(m, p, h, x, rows);
	choose(m, &p->router, h, rows);
	for (int32_t t = 0; t < rows; t++)
		sk_route_row(r, m->moe.host + (size_t)t * (size_t)r->experts, m->moe.chosen + t * r->used, m->moe.weights + t * r->used);
	sort(m, rows);
	for (int32_t e = 0; e < r->experts; e++) {
		int32_t first = m->moe.start[e], n = m->moe.start[e + 1] - first;

		if (n == 0)
			continue;
		m->backend->ops->rows(m->dev, &(struct sk_op_rows){
			.x = sk_rows_whole(h, rows, D), .y = sk_rows_whole(m->moe.gathered, n, D), .rows = m->moe.rows + first, .rows_len = n });
		add_expert(m, &p->experts[e], m->dims.expert_width, m->moe.gathered, x, m->moe.rows + first, m->moe.scales + first, n);
	}
}
