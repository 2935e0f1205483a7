/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the tests of kernels share: every way to calculate (backend and instruction set), tensors on a device, random
 * weights of every format, sequences in a KV pool.
 */
#ifndef TESTS_KERNELS_LAB_H
#define TESTS_KERNELS_LAB_H

#include "kernels/backend.h"

/* One way to calculate: a backend, and for cpu a level of instruction set. */
struct lab_way {
	const struct sk_backend *backend;
	const char *isa;
	char name[32];
};

/* A module (cuda, cuda-emu) may hold fewer formats than what is built in. */
bool lab_is_module(const struct lab_way *way);
bool lab_is_emulated(const struct lab_way *way);         /* cuda-emu: exact, and slow */

/* All ways this machine has, `ref` first. Names what it lacks on stdout. */
#define LAB_WAYS_MAX 16
int lab_ways(struct lab_way ways[LAB_WAYS_MAX]);

/* A device; reserved for lab_plan. Fails the test where that is not possible. */
extern const struct sk_dev_plan lab_plan;
struct lab {
	const struct lab_way *way;
	const struct sk_backend *b;
	const struct sk_ops *ops;
	struct sk_dev *dev;
};
struct lab lab_open(const struct lab_way *way, int threads);
void lab_close(struct lab *lab);

/* Deterministic numbers. */
struct lab_rand { uint64_t state; };
uint32_t lab_u32(struct lab_rand *r);
float lab_float(struct lab_rand *r, float limit);               /* uniform in [-limit, limit] */
float *lab_floats(struct lab_rand *r, size_t n, float limit);   /* caller frees */

/* A float32 tensor on the device: copies of x (zero where NULL), rows `stride` apart; never empty in memory. */
struct sk_view lab_put(struct lab *lab, const float *x, int32_t rows, int32_t cols, int32_t stride);
void lab_get(struct lab *lab, const struct sk_view *v, float *ret_x);   /* rows packed */
void lab_drop(struct lab *lab, struct sk_view *v);

/* Bytes of a random weight [N][K] in its file format; caller frees. */
unsigned char *lab_weight(struct lab_rand *r, enum sk_dtype dtype, int32_t N, int32_t K);
struct sk_weight_src lab_src(const unsigned char *bytes, enum sk_dtype dtype, int32_t N, int32_t K);

/* |y - ref| <= 4 eps |ref| + 4 eps bound, or the test fails. bound[i]: the sum of absolute products behind y[i], or NULL. What is below
 * 1e-36 is nothing. */
void lab_same(const char *way, const char *what, const float *y, const float *ref, const double *bound, size_t n);
float *lab_room(size_t n);                                      /* zeros; caller frees */
/* SAKER_TEST_FEW=1: a third of the shapes, for what makes each of them slow. */
int lab_few(int shapes);

/* ---- sequences ---- */

/* One model's attention. */
struct lab_heads { int32_t heads, kv_heads, head_width; enum sk_dtype dtype; };

/* One sequence: random q, k, v for every position, and where its blocks lie in the pool. */
#define LAB_LAYERS 2
struct lab_seq {
	int32_t len;
	float *q, *k, *v;               /* [len][heads * d], [len][kv_heads * d] */
	int32_t *blocks;
};
struct lab_seq lab_seq_make(struct lab_rand *r, const struct lab_heads *h, int32_t len, const int32_t *blocks);
void lab_seq_free(struct lab_seq *s);

/* A table of n blocks that do not follow each other, from `first` on; caller frees. */
int32_t *lab_blocks(int32_t first, int32_t n);

/* One part of a step: tokens [from, from + n) of a sequence; y [n][heads * d] or NULL. */
struct lab_part {
	struct lab_seq *seq;
	int32_t from, n;
	float *y;
	int32_t prompt;                 /* tokens of the sequence's prompt: a device may have two classes, by position */
	struct lab_seq *cross;          /* what its queries look at in a step with `cross` */
};

/* kv_write and, where a part wants y, attend, on layer 1 of the pool. */
void lab_step(struct lab *lab, struct sk_kv *kv, const struct lab_heads *h, const struct lab_part *parts, int32_t parts_len);

/* The same with a bias, whose numbers lab_bias makes, and with cross attention: k and v are then written only where `write`. */
struct lab_way_to_attend {
	enum sk_bias_kind bias; int32_t reach; bool cross, write;
	int32_t window; float softcap;
	bool sinks;                     /* from -4 to 4 */
	int32_t beside;                 /* so many operations with arrays of their own between kv_write and attend */
};
float *lab_bias(const struct lab_heads *h, const struct lab_way_to_attend *how, size_t *ret_len);      /* caller frees */
void lab_step_as(struct lab *lab, struct sk_kv *kv, const struct lab_heads *h, const struct lab_part *parts, int32_t parts_len,
		 const struct lab_way_to_attend *how);

#endif
