/* SPDX-License-Identifier: Apache-2.0 */
/* Operations: from the args of kernels.h to launches. An empty operation launches nothing: CUDA knows no empty grid. */
#include "kernels/cuda/cuda.h"

#include <string.h>

_Static_assert((int)SK_GPU_NONE == SK_ACT_NONE && (int)SK_GPU_SILU == SK_ACT_SILU && (int)SK_GPU_GELU == SK_ACT_GELU &&
	       (int)SK_GPU_GELU_TANH == SK_ACT_GELU_TANH && (int)SK_GPU_RELU == SK_ACT_RELU, "activations have the same numbers");

static void launched(struct sk_dev *dev, const char *what)
{
	sk_cuda_ok(dev, cudaGetLastError(), what);
}

/* ---- the step ---- */

/* A table of a sequence's blocks to `to`, from *at on; false where it is longer than any the plan knows. */
static bool put_table(struct sk_dev *dev, int32_t *to, size_t *at, const int32_t *blocks, int32_t keys)
{
	size_t n = ((size_t)keys + SK_KV_BLOCK - 1) / SK_KV_BLOCK;

	if (SK_BUG_IF(*at + n > dev->step_len))
		return false;
	if (n)
		memcpy(to + *at, blocks, n * sizeof *to);
	*at += n;
	return true;
}

/* What an encoder left: lengths, where each table starts, the tables, behind the rest of the step. The number of int32. */
static size_t put_cross(struct sk_dev *dev, const struct sk_step *s, int32_t *to, size_t at, const int32_t *base)
{
	size_t S = (size_t)s->S, first = at + 2 * S, end = first;
	int32_t longest = 0;

	dev->gpu_cross = dev->gpu;
	dev->splits_cross = 0;
	if (!s->cross_blocks || SK_BUG_IF(first > dev->step_len))
		return at;
	for (size_t i = 0; i < S; i++) {
		to[at + i] = s->cross_len[i];
		to[at + S + i] = (int32_t)(end - first);
		if (!put_table(dev, to, &end, s->cross_blocks[i], s->cross_len[i]))
			break;
		longest = s->cross_len[i] > longest ? s->cross_len[i] : longest;
	}
	dev->gpu_cross.keys = base + at;
	dev->gpu_cross.table_start = base + at + S;
	dev->gpu_cross.tables = base + first;
	dev->splits_cross = (longest + SK_ATTEND_CHUNK - 1) / SK_ATTEND_CHUNK;
	return end;
}

/* Which tokens are of prompts: runs, and a list of the others. A token's class is its position's, however often it is computed. */
static size_t put_runs(struct sk_dev *dev, const struct sk_step *s, int32_t *to, size_t at, const int32_t *base)
{
	size_t S = (size_t)s->S;
	int32_t n = 0, longest = 0;

	if (SK_BUG_IF(at + 2 * S + (size_t)s->T > dev->step_len))
		return at;
	for (size_t i = 0; i < S; i++) {
		int32_t t = s->seq_start[i], end = s->seq_start[i + 1], prompt = s->prompt_len ? s->prompt_len[i] : 0;

		to[at + 2 * i] = t;
		while (t < end && s->pos[t] < prompt)
			t++;
		to[at + 2 * i + 1] = t;
		longest = t - s->seq_start[i] > longest ? t - s->seq_start[i] : longest;
		for (; t < end; t++)
			to[at + 2 * S + (size_t)n++] = t;
	}
	dev->runs = base + at;
	dev->runs_len = s->S;
	dev->run_max = longest;
	dev->generated = base + at + 2 * S;
	dev->generated_len = n;
	return at + 2 * S + (size_t)n;
}

/* Ids, positions and sequences of the step's tokens, each array padded to T: with tokens of no sequence. */
static void put_tokens(const struct sk_step *s, int32_t *to, size_t T)
{
	size_t n = (size_t)s->T;

	memset(to, 0, 2 * T * sizeof *to);
	if (s->ids)
		memcpy(to, s->ids, n * sizeof *to);
	memcpy(to + T, s->pos, n * sizeof *to);
	for (int32_t i = 0; i < s->S; i++)
		for (int32_t t = s->seq_start[i]; t < s->seq_start[i + 1]; t++)
			to[2 * T + (size_t)t] = i;
	for (size_t t = n; t < T; t++)
		to[2 * T + t] = -1;
}

static void cuda_begin(struct sk_dev *dev, const struct sk_step *s)
{
	int32_t *to, longest = 0;
	size_t at = 0, T = (size_t)s->T, S = (size_t)s->S;
	const int32_t *base;

	sk_cuda_load_end(dev);
	dev->graph = dev->recording ? NULL : sk_cuda_graph_find(dev, s);
	if (dev->graph)
		T = S = (size_t)dev->graph->T;
	/* A graph looks for its arrays at the ring's beginning. */
	if (dev->graph || dev->recording || dev->ring_len - dev->ring_at < dev->step_len) {
		sk_cuda_ok(dev, cudaStreamSynchronize(dev->stream), "waiting for the ring");
		dev->ring_at = 0;
	}
	/* Written in place: ids, positions, tokens' sequences, where tables start, the tables; the cross ones; runs of prompts; rows of frequencies. */
	to = dev->ring_host + dev->ring_at;
	base = dev->ring + dev->ring_at;
	put_tokens(s, to, T);
	at = 3 * T + S;
	for (size_t i = 0; i < (size_t)s->S; i++) {
		int32_t keys = s->seq_start[i + 1] > s->seq_start[i] ? s->pos[s->seq_start[i + 1] - 1] + 1 : 0;

		to[3 * T + i] = (int32_t)(at - 3 * T - S);
		if (!put_table(dev, to, &at, s->blocks[i], keys))
			break;
		longest = keys > longest ? keys : longest;
	}
	dev->step = s;
	dev->step_ids = s->ids;
	dev->step_pos = s->pos;
	dev->ids = base;
	dev->gpu = (struct sk_gpu_step){ .pos = base + T, .seq = base + 2 * T, .table_start = base + 3 * T,
					 .tables = base + 3 * T + S };
	dev->splits = (longest + SK_ATTEND_CHUNK - 1) / SK_ATTEND_CHUNK;
	at = put_cross(dev, s, to, at, base);
	at = put_runs(dev, s, to, at, base);
	dev->step_freq_rows = s->freq_rows;
	dev->freq_rows = base + at;
	if (s->freq_rows && !SK_BUG_IF(at + T > dev->step_len)) {
		memcpy(to + at, s->freq_rows, T * sizeof *to);
		at += T;
	}
	if (at)
		sk_cuda_ok(dev, cudaMemcpyAsync((void *)(uintptr_t)base, to, at * sizeof *to, cudaMemcpyHostToDevice, dev->stream),
			   "copying the step");
	dev->step_first = dev->ring_at;
	dev->ring_at += at;
	dev->step_end = dev->ring_at;
}

/* ---- rows ---- */

static const struct sk_cuda_weight *weight(const struct sk_weight *w)
{
	return (const struct sk_cuda_weight *)w;
}

static const int32_t *positions_of(struct sk_dev *dev, const int32_t *pos, int32_t T)
{
	return pos == dev->step_pos ? dev->gpu.pos : sk_cuda_upload(dev, pos, (size_t)T);
}

static const int32_t *freq_rows_of(struct sk_dev *dev, const int32_t *rows, int32_t T)
{
	return rows == dev->step_freq_rows ? dev->freq_rows : sk_cuda_upload(dev, rows, (size_t)T);
}

static void cuda_embed(struct sk_dev *dev, const struct sk_op_embed *a)
{
	const struct sk_cuda_weight *w = weight(a->w), *p = weight(a->positions);
	struct sk_gpu_embed args;

	if (a->T < 1)
		return;
	for (int32_t t = 0; p && t < a->T; t++)
		if (SK_BUG_IF(p->base.K != w->base.K || a->pos[t] < 0 || a->pos[t] >= p->base.N))
			return;
	args = (struct sk_gpu_embed){
		.ids = a->ids == dev->step_ids ? dev->ids : positions_of(dev, a->ids, a->T), .T = a->T, .K = w->base.K,
		.w = w->data, .ld = w->ld, .type = w->type, .y = a->y.data, .y_stride = a->y.stride,
		.scale = a->scale != 0.0f ? a->scale : 1.0f };
	if (p) {
		args.positions = p->data;
		args.positions_ld = p->ld;
		args.positions_type = p->type;
		args.pos = positions_of(dev, a->pos, a->T);
	}
	sk_gpu_embed(dev->stream, &args);
	launched(dev, "embed");
}

static void cuda_norm(struct sk_dev *dev, const struct sk_op_norm *a)
{
	int32_t parts = a->parts > 1 ? a->parts : 1;

	if (a->x.dim[0] < 1)
		return;
	sk_gpu_norm(dev->stream, &(struct sk_gpu_norm){ .x = a->x.data, .x_stride = a->x.stride, .y = a->y.data,
		.y_stride = a->y.stride, .w = a->w, .b = a->b, .T = a->x.dim[0], .D = a->x.dim[1] / parts, .eps = a->eps,
		.centred = a->kind == SK_NORM_LAYER, .parts = parts, .own = a->each });
	launched(dev, "norm");
}

static void cuda_rope(struct sk_dev *dev, const struct sk_op_rope *a)
{
	if (a->x.dim[0] < 1 || a->rotary_width < 2)
		return;
	sk_gpu_rope(dev->stream, &(struct sk_gpu_rope){
		.x = a->x.data, .stride = a->x.stride,
		.pos = positions_of(dev, a->pos, a->x.dim[0]), .T = a->x.dim[0],
		.heads = a->heads, .head_width = a->head_width, .half = a->rotary_width / 2, .inv_freq = a->inv_freq,
		.factor = a->factor, .freq_stride = a->freq_stride,
		.freq_rows = a->freq_rows ? freq_rows_of(dev, a->freq_rows, a->x.dim[0]) : NULL });
	launched(dev, "rope");
}

static void cuda_glu(struct sk_dev *dev, const struct sk_op_glu *a)
{
	if (a->y.dim[0] < 1)
		return;
	sk_gpu_glu(dev->stream, &(struct sk_gpu_glu){ .gate = a->gate.data, .up = a->up.data, .y = a->y.data,
		.gate_stride = a->gate.stride, .up_stride = a->up.stride, .y_stride = a->y.stride, .T = a->y.dim[0],
		.F = a->y.dim[1], .act = (int32_t)a->act, .limit = a->limit });
	launched(dev, "glu");
}

static void cuda_add(struct sk_dev *dev, const struct sk_op_add *a)
{
	int32_t T = a->x.dim[0];
	const float *scales = NULL;
	const int32_t *rows = NULL;

	if (T < 1)
		return;
	if (a->rows) {
		rows = sk_cuda_upload(dev, a->rows, (size_t)T);
		scales = (const float *)(const void *)sk_cuda_upload(dev, (const int32_t *)(const void *)a->scales, (size_t)T);
	}
	sk_gpu_add(dev->stream, &(struct sk_gpu_add){ .x = a->x.data, .y = a->y.data, .x_stride = a->x.stride,
		.y_stride = a->y.stride, .T = T, .D = a->x.dim[1], .scale = a->scale, .rows = rows,
		.scales = scales });
	launched(dev, "add");
}

static void cuda_bound(struct sk_dev *dev, const struct sk_op_bound *a)
{
	if (a->x.dim[0] < 1)
		return;
	sk_gpu_bound(dev->stream, &(struct sk_gpu_bound){ .x = a->x.data, .stride = a->x.stride, .T = a->x.dim[0],
		.D = a->x.dim[1], .limit = a->limit, .soft = a->soft });
	launched(dev, "bound");
}

static void cuda_rows(struct sk_dev *dev, const struct sk_op_rows *a)
{
	if (a->rows_len < 1)
		return;
	sk_gpu_rows(dev->stream, &(struct sk_gpu_rows){ .x = a->x.data, .y = a->y.data, .x_stride = a->x.stride,
		.y_stride = a->y.stride, .rows = sk_cuda_upload(dev, a->rows, (size_t)a->rows_len), .rows_len = a->rows_len,
		.D = a->y.dim[1] });
	launched(dev, "rows");
}

/* Waits: its answers are the host's. */
static void stats_some(struct sk_dev *dev, const struct sk_op_row_stats *a, int32_t from, int32_t n)
{
	size_t bytes = (size_t)n * 4;
	unsigned char *host = dev->stats_host;

	sk_gpu_row_stats(dev->stream, &(struct sk_gpu_row_stats){ .x = (const float *)a->x.data + from * a->x.stride,
		.stride = a->x.stride, .T = n, .V = a->x.dim[1], .argmax = dev->stats_at, .max = dev->stats_max,
		.logsumexp = dev->stats_sum });
	launched(dev, "row_stats");
	sk_cuda_ok(dev, cudaMemcpyAsync(host, dev->stats_at, bytes, cudaMemcpyDeviceToHost, dev->stream), "row_stats");
	sk_cuda_ok(dev, cudaMemcpyAsync(host + bytes, dev->stats_max, bytes, cudaMemcpyDeviceToHost, dev->stream), "row_stats");
	sk_cuda_ok(dev, cudaMemcpyAsync(host + 2 * bytes, dev->stats_sum, bytes, cudaMemcpyDeviceToHost, dev->stream), "row_stats");
	if (!sk_cuda_ok(dev, cudaStreamSynchronize(dev->stream), "row_stats"))
		memset(host, 0, 3 * bytes);     /* numbers of a kind: the next sync tells of the failure */
	if (a->argmax)
		memcpy(a->argmax + from, host, bytes);
	if (a->max)
		memcpy(a->max + from, host + bytes, bytes);
	if (a->logsumexp)
		memcpy(a->logsumexp + from, host + 2 * bytes, bytes);
}

static void cuda_row_stats(struct sk_dev *dev, const struct sk_op_row_stats *a)
{
	if (!a->argmax && !a->max && !a->logsumexp)
		return;
	for (int32_t from = 0; from < a->x.dim[0]; from += SK_CUDA_STATS_ROWS)
		stats_some(dev, a, from, a->x.dim[0] - from < SK_CUDA_STATS_ROWS ? a->x.dim[0] - from : SK_CUDA_STATS_ROWS);
}

/* ---- linear ---- */

/*
 * The matrix units take bf16 weights with activations rounded to bf16. The order of a row's sum is the kernels' own; the
 * slices of rank-invariant sums are for several ranks, which this backend does not have yet.
 */
static void cuda_linear(struct sk_dev *dev, const struct sk_op_linear *a)
{
	const struct sk_cuda_weight *w = weight(a->w);
	bool glu = a->flags & SK_LINEAR_GLU;

	if (a->x.dim[0] < 1)
		return;
	sk_gpu_linear(dev->stream, &(struct sk_gpu_linear){
		.x = a->x.data, .x_stride = a->x.stride, .y = a->y.data, .y_stride = a->y.stride, .w = w->data, .ld = w->ld,
		.type = w->type, .room = dev->room, .T = a->x.dim[0], .N = glu ? w->base.N / 2 : w->base.N, .K = w->base.K,
		.flags = (a->flags & SK_LINEAR_ADD ? SK_GPU_ADD : 0u) | (glu ? SK_GPU_IS_GLU : 0u),
		.round = a->quantise && w->type == SK_GPU_BF16 && dev->major >= 8, .bias = a->bias, .act = (int32_t)a->act });
	launched(dev, "linear");
}

/* ---- attention ---- */

static void cuda_kv_write(struct sk_dev *dev, const struct sk_op_kv_write *a)
{
	if (a->step->T < 1)
		return;
	SK_BUG_IF(a->step != dev->step);
	sk_gpu_kv_write(dev->stream, &(struct sk_gpu_kv_write){ .pool = a->kv->pool, .step = dev->gpu, .k = a->k.data,
		.v = a->v.data, .k_stride = a->k.stride, .v_stride = a->v.stride, .T = a->step->T, .layer = a->layer });
	launched(dev, "kv_write");
}

_Static_assert((int)SK_GPU_BIAS_NONE == SK_BIAS_NONE && (int)SK_GPU_BIAS_ALIBI == SK_BIAS_ALIBI &&
	       (int)SK_GPU_BIAS_ALIBI_BF16 == SK_BIAS_ALIBI_BF16 && (int)SK_GPU_BIAS_TABLE == SK_BIAS_TABLE,
	       "biases have the same numbers");

/*
 * Two classes by position where the matrix units do the prompts: prompts' tokens there, generated ones (and all of them on other
 * devices, in a float32 pool, in layers with a window or sinks) by attend.cu.
 */
static void cuda_attend(struct sk_dev *dev, const struct sk_op_attend *a)
{
	int32_t window = a->cross ? 0 : a->window;
	bool tiles = a->kv->pool.type == SK_GPU_BF16 && dev->major >= 8 && dev->run_max > 0 && !window && !a->sinks;
	int32_t splits = a->cross ? dev->splits_cross : dev->splits, T = tiles ? dev->generated_len : a->step->T;
	bool apart = (int64_t)T * splits <= dev->pairs_max && splits > 1;
	const struct sk_gpu_bias bias = { .kind = (int32_t)a->bias.kind, .reach = a->bias.reach, .data = a->bias.data, .scale = a->scale,
					  .softcap = a->softcap };

	if (a->step->T < 1)
		return;
	if (SK_BUG_IF(a->step != dev->step || (a->cross && !dev->gpu_cross.keys)))
		return;
	if (tiles)
		sk_gpu_prefill(dev->stream, &(struct sk_gpu_prefill){ .pool = a->kv->pool,
			.step = a->cross ? dev->gpu_cross : dev->gpu, .q = a->q.data, .y = a->y.data, .q_stride = a->q.stride,
			.y_stride = a->y.stride, .layer = a->layer, .heads = a->heads, .runs_len = dev->runs_len, .run_max = dev->run_max,
			.runs = dev->runs, .bias = bias });
	if (T > 0)
		sk_gpu_attend(dev->stream, &(struct sk_gpu_attend){ .pool = a->kv->pool,
			.step = a->cross ? dev->gpu_cross : dev->gpu, .q = a->q.data, .y = a->y.data, .q_stride = a->q.stride,
			.y_stride = a->y.stride, .T = T, .layer = a->layer, .heads = a->heads, .splits = splits,
			.part = apart ? dev->part : NULL, .bias = bias, .tokens = tiles ? dev->generated : NULL,
			.window = window, .sinks = a->sinks });
	launched(dev, "attend");
}

const struct sk_ops sk_cuda_ops = {
	.begin = cuda_begin,
	.embed = cuda_embed,
	.norm = cuda_norm,
	.linear = cuda_linear,
	.rope = cuda_rope,
	.kv_write = cuda_kv_write,
	.attend = cuda_attend,
	.glu = cuda_glu,
	.add = cuda_add,
	.bound = cuda_bound,
	.rows = cuda_rows,
	.row_stats = cuda_row_stats,
	.record = sk_cuda_record,
	.recorded = sk_cuda_recorded,
	.replay = sk_cuda_replay,
};
