/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A backend: what calculates. `ref` defines, `cpu` is the default, `cuda` comes as a module (saker-cuda.so).
 *
 * One struct sk_backend a backend, listed in backends.def. One sk_dev an open device (a rank's).
 * All calls on a device come from one thread, the engine's (or the loader's, before the engine starts).
 */
#ifndef SK_BACKEND_H
#define SK_BACKEND_H

#include "kernels/kernels.h"

#define SK_BACKEND_ABI 8

struct sk_dev;

struct sk_dev_opts {
	int threads;                    /* > 0 */
	const char *isa;                /* NULL/"auto", "portable", "avx2", "avx512" */
	bool no_step_down;
};

/* The largest step: what scratch must hold. */
struct sk_dev_plan {
	int32_t tokens_max;             /* T */
	int32_t sequences_max;          /* S */
	int32_t K_max, N_max;           /* widest input and output of a linear */
	int32_t heads, kv_heads, head_width;
	int32_t context_max;            /* keys of one sequence at most */
	int threads;                    /* of the device that the plan is for; an open one knows its own */
};

/*
 * The operations. They do not fail: what can fail was checked at open, a device's own failure is sync's answer.
 *
 * begin comes first in a step: its arrays go to the device once, and stay as they are until the next begin. Operations that
 * take a step take that one; where ids or positions are asked for, those of the step are known by their address.
 * row_stats waits: its answers are in the host's memory when it returns.
 */
struct sk_ops {
	void (*begin)(struct sk_dev *, const struct sk_step *);
	void (*embed)(struct sk_dev *, const struct sk_op_embed *);
	void (*norm)(struct sk_dev *, const struct sk_op_norm *);
	void (*linear)(struct sk_dev *, const struct sk_op_linear *);
	void (*rope)(struct sk_dev *, const struct sk_op_rope *);
	void (*kv_write)(struct sk_dev *, const struct sk_op_kv_write *);
	void (*attend)(struct sk_dev *, const struct sk_op_attend *);
	void (*glu)(struct sk_dev *, const struct sk_op_glu *);
	void (*add)(struct sk_dev *, const struct sk_op_add *);
	void (*bound)(struct sk_dev *, const struct sk_op_bound *);
	void (*rows)(struct sk_dev *, const struct sk_op_rows *);
	void (*row_stats)(struct sk_dev *, const struct sk_op_row_stats *);

	/*
	 * NULL, or steps of one generated token a sequence without an encoder can be recorded. Between record (which begins the
	 * step; false: not such a step) and recorded (false: it could not be, which is logged) operations are remembered and not
	 * done. replay, right behind begin: true, the operations of a recorded step with as many tokens or more are done on this
	 * one's; they asked for the rows of all tokens, in order. Scratch, weights and pool stay where they are.
	 */
	bool (*record)(struct sk_dev *, const struct sk_step *);
	bool (*recorded)(struct sk_dev *);
	bool (*replay)(struct sk_dev *, const struct sk_step *);
};

struct sk_backend {
	uint32_t abi, size;             /* SK_BACKEND_ABI, sizeof(struct sk_backend) */
	const char *name;
	bool host_memory;               /* what alloc gives may be read by the host after sync, without get */
	/* 0: not usable on this machine, with the reason in why; else higher is better. */
	int (*score)(char *why, size_t why_bytes);
	/* One line about device `ordinal`, without taking hold of it; false: there is none. NULL: the backend is the host itself. */
	bool (*look)(int ordinal, char *what, size_t what_bytes);
	/* Of a device's own memory, in bytes; false: it cannot be asked. NULL: the host's memory. */
	bool (*memory)(int ordinal, uint64_t *ret_free, uint64_t *ret_total);
	sk_status (*open)(int ordinal, const struct sk_dev_opts *o, struct sk_dev **ret_dev, struct sk_err *err);
	void (*close)(struct sk_dev **dev);
	void (*describe)(const struct sk_dev *, char *isa, size_t isa_bytes, char *device, size_t device_bytes);

	/* Zeroed device memory, aligned to 64; NULL when out. On host backends plain memory. */
	void *(*alloc)(struct sk_dev *, size_t bytes);
	void (*free)(struct sk_dev *, void *p);
	void (*put)(struct sk_dev *, void *to, const void *from, size_t bytes);         /* host to device */
	void (*get)(struct sk_dev *, void *to, const void *from, size_t bytes);         /* device to host, waits */
	sk_status (*sync)(struct sk_dev *, struct sk_err *err);                         /* wait; SK_EDEVICE: the device failed, and stays so */

	/* Scratch for the largest step, taken once. *ret_bytes may be asked with dev = NULL (the plan only). */
	sk_status (*reserve)(struct sk_dev *, const struct sk_dev_plan *, size_t *ret_bytes, struct sk_err *err);

	/* Bytes a weight will take: for the plan. 0: this backend cannot hold such a weight (type or K). */
	size_t (*weight_bytes)(enum sk_dtype dtype, int64_t N, int64_t K);
	/* Join and repack; the sources may be unmapped afterwards. SK_ENOTSUP: types differ or are not supported. */
	sk_status (*weight_open)(struct sk_dev *, const struct sk_weight_src *src, int src_len, enum sk_weight_join join,
				 struct sk_weight **ret_w, struct sk_err *err);
	void (*weight_close)(struct sk_dev *, struct sk_weight **w);

	size_t (*kv_bytes)(const struct sk_kv_spec *);                                  /* for the plan */
	sk_status (*kv_open)(struct sk_dev *, const struct sk_kv_spec *, struct sk_kv **ret_kv, struct sk_err *err);
	void (*kv_close)(struct sk_dev *, struct sk_kv **kv);
	void (*kv_copy)(struct sk_dev *, struct sk_kv *kv, int32_t from_block, int32_t to_block);       /* all layers */

	/* Run fn(arg, i, worker) for i in [0, n) on the device's host threads, and wait. For sampling rows. */
	void (*host_run)(struct sk_dev *, int32_t n, void (*fn)(void *arg, int32_t i, int worker), void *arg);

	const struct sk_ops *ops;
};

/* By name, or NULL/"auto": the best score. SK_ENOENT, SK_ENOTSUP (score 0; err says why). */
sk_status sk_backend_find(const char *name, const struct sk_backend **ret_backend, struct sk_err *err);

/*
 * The same with a device's number behind the name: "cuda", which is its device 0, or "cuda:1". What is there is named in err.
 *   SK_EINVAL  not a name or NAME:N;  SK_ENOENT  no such backend, or no such device of it;  SK_ENOTSUP  as above
 */
sk_status sk_device_find(const char *name, const struct sk_backend **ret_backend, int *ret_ordinal, struct sk_err *err);

/* Which devices this machine has, and why a backend that could have some has none: "cuda:0 NVIDIA H100 ...; cpu". */
void sk_devices_describe(char *text, size_t text_bytes);

/* All of backends.def, in order; ends with NULL. */
const struct sk_backend *const *sk_backends(void);

#endif
