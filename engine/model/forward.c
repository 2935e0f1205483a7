/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One ragged step, as a list of operations. Allocates nothing, branches on nothing but the model's shape and the rows
 * that are wanted; a row's bits do not depend on which other rows are there.
 *
 *	x = embed(ids)
 *	each layer:     q|k|v = Wqkv norm(x);  rope(q|k);  cache += k, v;  x += Wo attend(q);  x += Wdown silu_glu(Wgu norm(x))
 *	wanted rows:    logits = Whead norm(x)
 *
 * In the last layer the MLP runs for the wanted rows only: the others' hidden states are needed by nobody, as their
 * keys and values are already written. x then holds all rows before that MLP, and sk_model_prompt_rows() can still
 * finish any of them.
 */
#include "engine/model/inside.h"

#include <stdlib.h>

static void head(struct sk_model *m, float *x, int32_t rows, float *logits)
{
	const struct sk_dims *d = &m->dims;
	float *h = m->out_norm.there ? m->h : x;

	sk_layer_norm(m, &m->out_norm, x, h, rows);
	if (m->proj_out.w) {
		sk_layer_linear(m, &m->proj_out, sk_rows_whole(h, rows, d->width), sk_rows_whole(m->e, rows, d->embed_width), 0, SK_ACT_NONE);
		h = m->e;
	}
	sk_layer_linear(m, &m->head, sk_rows_whole(h, rows, d->embed_width), sk_rows_whole(logits, rows, d->vocab), 0, SK_ACT_NONE);
	if (d->logit_cap > 0.0f)
		m->backend->ops->bound(m->dev, &(struct sk_op_bound){ .x = sk_rows_whole(logits, rows, d->vocab), .limit = d->logit_cap,
								      .soft = true });
}

/* Whether `rows` are all the step's tokens, in order. */
static bool is_everything(const int32_t *rows, int32_t rows_len, int32_t T)
{
	if (rows_len != T)
		return false;
	for (int32_t i = 0; i < T; i++)
		if (rows[i] != i)
			return false;
	return true;
}

/* The last layer's MLP and the head, for the wanted rows. */
static void finish(struct sk_model *m, const int32_t *rows, int32_t rows_len, int32_t T)
{
	float *x = m->x;

	m->x_final = is_everything(rows, rows_len, T);
	if (rows_len == 0)
		return;
	if (!m->x_final) {
		x = m->last;
		m->backend->ops->rows(m->dev, &(struct sk_op_rows){
			.x = sk_rows_whole(m->x, T, m->dims.width), .y = sk_rows_whole(x, rows_len, m->dims.width), .rows = rows,
			.rows_len = rows_len });
	}
	sk_layer_mlp(m, &m->layers[m->dims.layers - 1], x, rows_len);
	head(m, x, rows_len, m->logits);
}

/* What the engine promised; a broken promise must not become a wild read. */
static sk_status check_step(const struct sk_model *m, const struct sk_step *step, const int32_t *rows, int32_t rows_len,
			    struct sk_err *err)
{
	if (step->T < 1 || step->T > m->opts.tokens_max || step->S < 1 || step->S > m->opts.sequences_max)
		return sk_fail(err, SK_EINVAL, "a step of %d tokens and %d sequences, planned for %d and %d", step->T, step->S,
			       m->opts.tokens_max, m->opts.sequences_max);
	if (rows_len < 0 || rows_len > m->opts.logits_max)
		return sk_fail(err, SK_EINVAL, "%d rows of logits, planned for %d", rows_len, m->opts.logits_max);
	for (int32_t t = 0; t < step->T; t++)
		if (step->ids[t] < 0 || step->ids[t] >= m->dims.vocab || step->pos[t] < 0 ||
		    step->pos[t] >= m->opts.context_max)
			return sk_fail(err, SK_EINVAL, "token %d of the step: id %d of %d at position %d of %d", t, step->ids[t],
				       m->dims.vocab, step->pos[t], m->opts.context_max);
	for (int32_t s = 0; s < step->S && step->prompt_len; s++)
		if (step->prompt_len[s] > m->opts.context_max)
			return sk_fail(err, SK_EINVAL, "sequence %d of the step: a prompt of %d tokens of %d", s, step->prompt_len[s],
				       m->opts.context_max);
	for (int32_t i = 0; i < rows_len; i++)
		if (rows[i] < 0 || rows[i] >= step->T)
			return sk_fail(err, SK_EINVAL, "row %d of a step of %d tokens", rows[i], step->T);
	return SK_OK;
}

/*
 * Dynamic and long frequencies (rope.c): the prompt's tokens turn by its length, each generated one by the length that its sequence has
 * with it. So they hang on position and prompt alone, and a recomputed token turns as before.
 */
static const struct sk_step *with_freq_rows(struct sk_model *m, const struct sk_step *step)
{
	int32_t original = m->dims.rope.original;

	if (!m->freq_rows)
		return step;
	for (int32_t s = 0; s < step->S; s++)
		for (int32_t t = step->seq_start[s]; t < step->seq_start[s + 1]; t++) {
			int32_t len = step->prompt_len && step->prompt_len[s] > step->pos[t] ? step->prompt_len[s] : step->pos[t] + 1;

			m->freq_rows[t] = len <= original ? 0 : m->dims.rope.scaling == SK_ROPE_LONG ? 1 : len - original;
		}
	m->step = *step;
	m->step.freq_rows = m->freq_rows;
	return &m->step;
}

static void operations(struct sk_model *m, const struct sk_step *step, const int32_t *rows, int32_t rows_len)
{
	int32_t last = m->dims.layers - 1;

	sk_layer_embed(m, step);
	for (int32_t l = 0; l <= last; l++) {
		sk_layer_self(m, &m->layers[l], &(struct sk_place){ .layer = l, .bias = m->bias }, step);
		if (m->encoder)
			sk_layer_cross(m, &m->layers[l], l, step);
		if (l < last)
			sk_layer_mlp(m, &m->layers[l], m->x, step->T);
	}
	finish(m, rows, rows_len, step->T);
}

static bool replay(struct sk_model *m, const struct sk_step *step, const int32_t *rows, int32_t rows_len)
{
	if (!m->backend->ops->replay || !is_everything(rows, rows_len, step->T) || !m->backend->ops->replay(m->dev, step))
		return false;
	m->x_final = true;
	return true;
}

/* A step of T tokens, each of another sequence and at the same position; nothing is calculated. */
static bool record(struct sk_model *m, const struct sk_step *step, const int32_t *rows)
{
	const struct sk_ops *ops = m->backend->ops;

	if (!ops->record(m->dev, step))
		return false;
	operations(m, step, rows, step->T);
	return ops->recorded(m->dev);
}

int sk_model_record(struct sk_model *m)
{
	int32_t n = m->opts.logits_max < m->opts.sequences_max ? m->opts.logits_max : m->opts.sequences_max;
	int32_t far = m->opts.context_max - 1, recorded = 0;
	size_t blocks = (size_t)far / SK_KV_BLOCK + 1;
	int32_t *zeros = calloc((size_t)n + blocks, sizeof(*zeros)), *fars = calloc((size_t)n, sizeof(*fars));
	int32_t *count = calloc((size_t)n + 1, sizeof(*count));
	const int32_t **tables = calloc((size_t)n, sizeof(*tables));
	/* Which expert a token goes to is known on the host, in the middle of the step: such a step is not recorded. */
	bool go_on = m->backend->ops->record && !m->encoder && !m->freq_rows && !m->dims.route.experts && zeros && fars && count && tables;

	for (int32_t i = 0; go_on && i < n; i++) {
		count[i + 1] = i + 1;
		tables[i] = zeros;
		fars[i] = far;
	}
	for (int32_t T = 1; go_on; T = 2 * T < n ? 2 * T : n) {
		struct sk_step step = { .T = T, .S = T, .ids = zeros, .pos = zeros, .seq_start = count, .blocks = tables };

		recorded += go_on = record(m, &step, count);
		step.pos = fars;
		if (go_on && far >= SK_ATTEND_CHUNK)
			recorded += go_on = record(m, &step, count);
		if (T == n)
			break;
	}
	free(zeros);
	free(fars);
	free(count);
	free(tables);
	return recorded;
}

sk_status sk_model_forward(struct sk_model *m, const struct sk_step *step, const int32_t *rows, int32_t rows_len,
			   const float **ret_logits, struct sk_err *err)
{
	const struct sk_backend *b = m->backend;
	sk_status st = check_step(m, step, rows, rows_len, err);

	if (st < 0)
		return st;
	step = with_freq_rows(m, step);
	m->step_T = step->T;
	m->step_rows = rows_len;
	b->ops->begin(m->dev, step);
	if (!replay(m, step, rows, rows_len))
		operations(m, step, rows, rows_len);
	st = b->sync(m->dev, err);
	if (st < 0 || !ret_logits)
		return st;
	if (m->logits_host && rows_len)
		b->get(m->dev, m->logits_host, m->logits, sizeof(float) * (size_t)rows_len * (size_t)m->dims.vocab);
	*ret_logits = m->logits_host ? m->logits_host : m->logits;
	return SK_OK;
}

sk_status sk_model_sync(struct sk_model *m, struct sk_err *err)
{
	return m->backend->host_memory ? SK_OK : m->backend->sync(m->dev, err);
}

void sk_model_row_stats(struct sk_model *m, int32_t *argmax, float *max, float *logsumexp)
{
	m->backend->ops->row_stats(m->dev, &(struct sk_op_row_stats){
		.x = sk_rows_whole(m->logits, m->step_rows, m->dims.vocab), .argmax = argmax, .max = max, .logsumexp = logsumexp });
}

const float *sk_model_logits(struct sk_model *m, int32_t row)
{
	size_t at = (size_t)row * (size_t)m->dims.vocab;

	if (!m->logits_host)
		return m->logits + at;
	m->backend->get(m->dev, m->logits_host + at, m->logits + at, sizeof(float) * (size_t)m->dims.vocab);
	return m->logits_host + at;
}

/* The tile's place among the logits: behind those of the step. */
static float *tile_at(const struct sk_model *m, float *logits)
{
	return logits + (size_t)m->step_rows * (size_t)m->dims.vocab;
}

/* Logits of rows [row, row + len) of the last step, at most a tile, and their statistics. */
static const float *prompt_tile(struct sk_model *m, int32_t row, int32_t len, float *logsumexp)
{
	int32_t rows[SK_PROMPT_TILE];

	for (int32_t i = 0; i < len; i++)
		rows[i] = row + i;
	m->backend->ops->rows(m->dev, &(struct sk_op_rows){
		.x = sk_rows_whole(m->x, m->step_T, m->dims.width), .y = sk_rows_whole(m->last, len, m->dims.width), .rows = rows,
		.rows_len = len });
	if (!m->x_final)
		sk_layer_mlp(m, &m->layers[m->dims.layers - 1], m->last, len);
	head(m, m->last, len, tile_at(m, m->logits));
	m->backend->ops->row_stats(m->dev, &(struct sk_op_row_stats){
		.x = sk_rows_whole(tile_at(m, m->logits), len, m->dims.vocab), .logsumexp = logsumexp });
	if (!m->logits_host) {
		m->backend->sync(m->dev, NULL);         /* a failed device fails the next forward too */
		return tile_at(m, m->logits);
	}
	m->backend->get(m->dev, tile_at(m, m->logits_host), tile_at(m, m->logits),
			sizeof(float) * (size_t)len * (size_t)m->dims.vocab);
	return tile_at(m, m->logits_host);
}

void sk_model_prompt_rows(struct sk_model *m, int32_t row, int32_t len,
			  void (*take)(void *arg, int32_t r, const float *logits, float logsumexp), void *arg)
{
	int32_t end = row + len, room = m->logits_rows - m->step_rows;
	float logsumexp[SK_PROMPT_TILE];

	if (SK_BUG_IF(row < 0 || len < 0 || len > m->step_T || row > m->step_T - len))
		return;
	room = room < SK_PROMPT_TILE ? room : SK_PROMPT_TILE;
	for (; row < end; row += room) {
		int32_t n = end - row < room ? end - row : room;
		const float *logits = prompt_tile(m, row, n, logsumexp);

		for (int32_t i = 0; i < n; i++)
			take(arg, row + i, logits + (size_t)i * (size_t)m->dims.vocab, logsumexp[i]);
	}
}
