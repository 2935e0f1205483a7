/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside the cuda backend's host half: what its files share. Plain C; the device half is behind launch.h.
 *
 * One stream a device: operations are queued in order and nothing waits but sync, get and row_stats. What the host says of a
 * step (ids, positions, block tables) goes over in begin, through a ring of pinned memory.
 */
#ifndef SK_CUDA_H
#define SK_CUDA_H

#include <cuda_runtime_api.h>

#include "kernels/backend.h"
#include "kernels/cpu/pool.h"
#include "kernels/cuda/launch.h"

#define SK_CUDA_PIECE_BYTES ((size_t)4 << 20)   /* of pinned memory, in which rows of weights go over */
#define SK_CUDA_PAIRS_MAX 2048                  /* (token, split) pairs of attention that have a block of their own */
#define SK_CUDA_STATS_ROWS 256                  /* rows of row_stats at a time */

#define SK_CUDA_GRAPHS_MAX 32
struct sk_cuda_graph {
	int32_t T;
	bool any_length;                        /* of context; else one split of attention */
	cudaGraphExec_t exec;
};

/* owner: engine thread (or the loader before it starts) */
struct sk_dev {
	int ordinal;
	char name[128];
	int major, minor, threads;
	struct sk_pool *pool;                   /* the host's, for rows that it samples; NULL: there is one thread */
	uint64_t memory_bytes;
	cudaStream_t stream;
	cudaError_t failed;                     /* the first error of this device; it stays */
	const char *failed_doing;

	/* scratch, from reserve */
	struct sk_dev_plan plan;
	void *room;                             /* rounded activations: [tokens_max + 3][K_max] float32 */
	float *part;                            /* attention's states, */
	int32_t pairs_max;                      /* of so many (token, split) pairs */

	/* the ring: host writes, the device has a copy at the same place */
	int32_t *ring_host, *ring;
	size_t ring_len, ring_at, step_len;     /* int32; the most that one step needs */
	size_t step_first, step_end;            /* where the step's own arrays lie: what comes after them goes round them */

	/* the step of the last begin */
	const struct sk_step *step;
	const int32_t *step_ids, *step_pos, *step_freq_rows;    /* the host's arrays, to know them again */
	const int32_t *ids, *freq_rows;         /* device */
	struct sk_gpu_step gpu, gpu_cross;      /* with the tables of the tokens' own keys; with those an encoder left */
	int32_t splits, splits_cross;
	/* the tokens of prompts, [S][2] first and end, and the others: generated ones, which attention takes apart by position */
	const int32_t *runs, *generated;        /* device */
	int32_t runs_len, run_max, generated_len;

	/* recorded steps */
	struct sk_cuda_graph graphs[SK_CUDA_GRAPHS_MAX], recorded;      /* the one that is being recorded */
	int graphs_len;
	bool recording;
	const struct sk_cuda_graph *graph;      /* that the last begin's step fits; NULL: none */

	/* row_stats */
	int32_t *stats_at;
	float *stats_max, *stats_sum;
	void *stats_host;                       /* pinned, the three one after the other */

	struct sk_cuda_loader *loader;          /* NULL: no weight was opened since the last step */
};

struct sk_cuda_weight {
	struct sk_weight base;
	void *data;
	int64_t ld;                             /* elements */
	enum sk_gpu_type type;
};

struct sk_kv {
	struct sk_kv_spec spec;
	struct sk_gpu_pool pool;
};

/* Remembers the first failure; false when there is one. */
bool sk_cuda_ok(struct sk_dev *dev, cudaError_t e, const char *doing);

/* SK_EDEVICE: what failed first, and doing what. */
sk_status sk_cuda_failure(const struct sk_dev *dev, struct sk_err *err);

/* Device or pinned memory. false: there is none, or the device has failed, which sk_cuda_no_memory() tells apart. */
bool sk_cuda_take(struct sk_dev *dev, void **ret_p, size_t bytes);
bool sk_cuda_take_pinned(struct sk_dev *dev, void **ret_p, size_t bytes);
/* After one of them: SK_EDEVICE as above, or SK_ENOMEM with these words behind the device's name. */
sk_status sk_cuda_no_memory(const struct sk_dev *dev, struct sk_err *err, const char *form, ...) __attribute__((format(printf, 3, 4)));

/*
 * n numbers to the device; they stay until the ring comes round, which waits for all that was queued. The step's own arrays stay. n <= plan's
 * largest array.
 */
const int32_t *sk_cuda_upload(struct sk_dev *dev, const int32_t *from, size_t n);

/* ---- load.c ---- */

/* Rows of a weight as they lie in memory, and the sources that they come from. */
struct sk_cuda_rows {
	void *to;
	size_t row_bytes, used_bytes;           /* used: of a source; the rest is zeros */
	int64_t rows;
	const struct sk_weight_src *src;
	int src_len;
	enum sk_weight_join join;
};
/* false: no memory, or the device failed (sk_cuda_no_memory). */
bool sk_cuda_load_begin(struct sk_dev *dev);
/* Returns when the sources were read; a failure is the device's. A row fits a piece. */
void sk_cuda_load_rows(struct sk_dev *dev, const struct sk_cuda_rows *rows);
void sk_cuda_load_end(struct sk_dev *dev);

/* ---- weight.c ---- */
size_t sk_cuda_weight_bytes(enum sk_dtype dtype, int64_t N, int64_t K);
sk_status sk_cuda_weight_open(struct sk_dev *dev, const struct sk_weight_src *src, int src_len, enum sk_weight_join join,
			      struct sk_weight **ret_w, struct sk_err *err);
void sk_cuda_weight_close(struct sk_dev *dev, struct sk_weight **w);
size_t sk_cuda_kv_bytes(const struct sk_kv_spec *s);
sk_status sk_cuda_kv_open(struct sk_dev *dev, const struct sk_kv_spec *s, struct sk_kv **ret_kv, struct sk_err *err);
void sk_cuda_kv_close(struct sk_dev *dev, struct sk_kv **kv);
void sk_cuda_kv_copy(struct sk_dev *dev, struct sk_kv *kv, int32_t from_block, int32_t to_block);

/* ---- graph.c ---- */
const struct sk_cuda_graph *sk_cuda_graph_find(const struct sk_dev *dev, const struct sk_step *s);
bool sk_cuda_record(struct sk_dev *dev, const struct sk_step *s);
bool sk_cuda_recorded(struct sk_dev *dev);
bool sk_cuda_replay(struct sk_dev *dev, const struct sk_step *s);
void sk_cuda_graphs_drop(struct sk_dev *dev);

/* ---- ops.c ---- */
extern const struct sk_ops sk_cuda_ops;

#endif
