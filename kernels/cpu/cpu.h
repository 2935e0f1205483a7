/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside the cpu backend: what its files share. Nobody outside kernels/cpu/ and its tests includes this.
 *
 * An operation is one function a level of instruction set, named sk_cpu_OPERATION_LEVEL and entered in the level's table
 * (isa_portable.c, isa_avx2.c, isa_avx512.c). An entry left NULL is filled from the level below; portable has all.
 * Functions of avx2 and avx512 live in files of their own, built with the level's flags (see kernels/Makefile.inc), and
 * call nothing inline of other rooms, so that no AVX-512 instruction strays into what every machine runs.
 */
#ifndef SK_CPU_H
#define SK_CPU_H

#include "kernels/backend.h"
#include "kernels/cpu/pool.h"

struct sk_cpu_linear;                           /* linear.h */

/* One level of instruction set. */
struct sk_cpu_isa {
	const char *name;                       /* "portable", "avx2", "avx512" */
	bool (*usable)(void);                   /* cpuid and the operating system allow it */
	struct sk_ops ops;                      /* NULL entries: the level below */
	const struct sk_cpu_linear *linear;     /* inner loops of linear.c; never NULL */
};

extern const struct sk_cpu_isa sk_cpu_isa_portable, sk_cpu_isa_avx2, sk_cpu_isa_avx512;

/* Lowest first, ends with NULL: isas_x86.c or isas_other.c, chosen by configure. */
extern const struct sk_cpu_isa *const sk_cpu_isas[];

/* How many bytes ahead weights are best prefetched on this machine; 0: its own prefetcher does better. Same files. */
size_t sk_cpu_ahead_bytes(void);

/* owner: engine thread (or the loader before it starts) */
struct sk_dev {
	struct sk_pool *pool;
	int threads;                            /* of the pool: bound of `worker` */
	const struct sk_cpu_isa *isa;
	struct sk_ops ops;                      /* isa's, holes filled */
	size_t ahead_bytes;                     /* sk_cpu_ahead_bytes() */
	struct sk_dev_plan plan;                /* zero before reserve */
	unsigned char *scratch;                 /* the step's: one piece of memory, cut as follows, each part aligned to 64 */
	size_t scratch_bytes;
	struct sk_cpu_slab *slabs;              /* where weights lie: pack.c */
	unsigned char *linear_scratch, *attend_scratch;
	size_t linear_scratch_bytes, attend_scratch_bytes;
};

/* Cover [0, n) on the device's threads: see sk_pool_run(). */
static inline void sk_cpu_run(struct sk_dev *dev, int32_t n, int32_t grain, sk_pool_fn fn, void *arg)
{
	sk_pool_run(dev->pool, n, grain, fn, arg);
}

/* Bytes of scratch an operation wants for the largest step, all threads together. */
size_t sk_cpu_linear_scratch_bytes(const struct sk_dev_plan *plan, int threads);
size_t sk_cpu_attend_scratch_bytes(const struct sk_dev_plan *plan, int threads);

/* Weights: pack.c. As in struct sk_backend. */
size_t sk_cpu_weight_bytes(enum sk_dtype dtype, int64_t N, int64_t K);
sk_status sk_cpu_weight_open(struct sk_dev *dev, const struct sk_weight_src *src, int src_len, enum sk_weight_join join,
			     struct sk_weight **ret_w, struct sk_err *err);
void sk_cpu_weight_close(struct sk_dev *dev, struct sk_weight **w);

/* KV pool: kv.c. As in struct sk_backend. */
size_t sk_cpu_kv_bytes(const struct sk_kv_spec *spec);
sk_status sk_cpu_kv_open(struct sk_dev *dev, const struct sk_kv_spec *spec, struct sk_kv **ret_kv, struct sk_err *err);
void sk_cpu_kv_close(struct sk_dev *dev, struct sk_kv **kv);
void sk_cpu_kv_copy(struct sk_dev *dev, struct sk_kv *kv, int32_t from_block, int32_t to_block);

/* Zeroed memory for weights and KV: huge pages, aligned to 2 MiB, where that pays; else to a page. NULL when out. */
void *sk_cpu_pages_take(size_t bytes);
void sk_cpu_pages_put(void *p, size_t bytes);

/* ---- the operations ---- */

#define SK_CPU_OPS(level) \
	void sk_cpu_embed_##level(struct sk_dev *, const struct sk_op_embed *); \
	void sk_cpu_norm_##level(struct sk_dev *, const struct sk_op_norm *); \
	void sk_cpu_linear_##level(struct sk_dev *, const struct sk_op_linear *); \
	void sk_cpu_rope_##level(struct sk_dev *, const struct sk_op_rope *); \
	void sk_cpu_kv_write_##level(struct sk_dev *, const struct sk_op_kv_write *); \
	void sk_cpu_attend_##level(struct sk_dev *, const struct sk_op_attend *); \
	void sk_cpu_glu_##level(struct sk_dev *, const struct sk_op_glu *); \
	void sk_cpu_add_##level(struct sk_dev *, const struct sk_op_add *); \
	void sk_cpu_bound_##level(struct sk_dev *, const struct sk_op_bound *); \
	void sk_cpu_rows_##level(struct sk_dev *, const struct sk_op_rows *); \
	void sk_cpu_row_stats_##level(struct sk_dev *, const struct sk_op_row_stats *);
SK_CPU_OPS(portable)
SK_CPU_OPS(avx2)
SK_CPU_OPS(avx512)
#undef SK_CPU_OPS

#endif
