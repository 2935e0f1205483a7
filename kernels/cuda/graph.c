/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Steps of one generated token a sequence, recorded once and launched as a whole: a model's hundreds of launches are one.
 *
 * There is a graph for each number of tokens that was recorded, and for short contexts (one split of attention) and any. A step
 * takes the least that it fits: begin puts its arrays where the graph looks for them, padded with tokens of no sequence, which
 * write nothing to the pool. Bits are those of the same launches one by one.
 */
#include "kernels/cuda/cuda.h"

#include "engine/base/log.h"

/* One token of each sequence, behind its prompt, nothing beside. */
static bool fits(const struct sk_step *s)
{
	if (s->T != s->S || s->cross_blocks || s->freq_rows || s->T < 1)
		return false;
	for (int32_t i = 0; i < s->S; i++)
		if (s->seq_start[i + 1] != s->seq_start[i] + 1 || (s->prompt_len && s->pos[i] < s->prompt_len[i]))
			return false;
	return true;
}

static bool is_long(const struct sk_step *s)
{
	for (int32_t t = 0; t < s->T; t++)
		if (s->pos[t] >= SK_ATTEND_CHUNK)
			return true;
	return false;
}

const struct sk_cuda_graph *sk_cuda_graph_find(const struct sk_dev *dev, const struct sk_step *s)
{
	const struct sk_cuda_graph *best = NULL;
	bool any_length;

	if (!dev->graphs_len || !fits(s))
		return NULL;
	any_length = is_long(s);
	for (int i = 0; i < dev->graphs_len; i++) {
		const struct sk_cuda_graph *g = &dev->graphs[i];

		if (g->any_length == any_length && g->T >= s->T && (!best || g->T < best->T))
			best = g;
	}
	return best;
}

bool sk_cuda_record(struct sk_dev *dev, const struct sk_step *s)
{
	if (!fits(s) || dev->graphs_len == SK_CUDA_GRAPHS_MAX)
		return false;
	dev->recording = true;
	dev->recorded = (struct sk_cuda_graph){ .T = s->T, .any_length = is_long(s) };
	sk_cuda_ops.begin(dev, s);
	if (sk_cuda_ok(dev, cudaStreamSynchronize(dev->stream), "before recording a step") &&
	    cudaStreamBeginCapture(dev->stream, cudaStreamCaptureModeThreadLocal) == cudaSuccess)
		return true;
	cudaGetLastError();
	dev->recording = false;
	return false;
}

bool sk_cuda_recorded(struct sk_dev *dev)
{
	struct sk_cuda_graph *g = &dev->recorded;
	cudaGraph_t graph = NULL;
	cudaError_t e = cudaStreamEndCapture(dev->stream, &graph);

	dev->recording = false;
	if (e == cudaSuccess)
		e = cudaGraphInstantiate(&g->exec, graph, 0);
	if (graph)
		cudaGraphDestroy(graph);
	cudaGetLastError();
	if (e != cudaSuccess) {
		sk_log(SK_LOG_WARN, "device " SK_CUDA_NAME ":%d: a step of %d tokens cannot be recorded (%s): its kernels are launched one by one",
		       dev->ordinal, g->T, cudaGetErrorString(e));
		return false;
	}
	dev->graphs[dev->graphs_len++] = *g;
	return true;
}

bool sk_cuda_replay(struct sk_dev *dev, const struct sk_step *s)
{
	if (!dev->graph || s != dev->step)
		return false;
	sk_cuda_ok(dev, cudaGraphLaunch(dev->graph->exec, dev->stream), "a recorded step");
	return true;
}

void sk_cuda_graphs_drop(struct sk_dev *dev)
{
	for (int i = 0; i < dev->graphs_len; i++)
		cudaGraphExecDestroy(dev->graphs[i].exec);
	dev->graphs_len = 0;
	dev->graph = NULL;
}
