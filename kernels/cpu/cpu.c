/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The cpu backend: opens a device (threads, level of instruction set), gives it memory, and sends each operation to the
 * device's level. The arithmetic is in the files named after the operations.
 */
#include "kernels/cpu/cpu.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

/* ---- device ---- */

static int cpu_score(char *why, size_t why_bytes)
{
	return 10;
}

static sk_status isa_find(const char *name, const struct sk_cpu_isa **ret_isa, struct sk_err *err)
{
	const struct sk_cpu_isa *found = NULL;
	bool any = name == NULL || strcmp(name, "auto") == 0;

	for (int i = 0; sk_cpu_isas[i] != NULL; i++) {
		if (any && sk_cpu_isas[i]->usable())
			found = sk_cpu_isas[i];
		if (!any && strcmp(name, sk_cpu_isas[i]->name) == 0)
			found = sk_cpu_isas[i];
	}
	if (found == NULL)
		return sk_fail(err, SK_ENOENT, "this build has no instruction set level \"%.32s\"", name);
	if (!found->usable())
		return sk_fail(err, SK_ENOTSUP, "this machine cannot run the level %s", found->name);
	*ret_isa = found;
	return SK_OK;
}

/* Operations of a level: its own, else the next lower level's. Lower levels run on every machine that runs higher ones. */
static struct sk_ops isa_ops(const struct sk_cpu_isa *isa)
{
	struct sk_ops ops = { 0 };

	for (int i = 0; sk_cpu_isas[i] != NULL; i++) {
		const struct sk_ops *o = &sk_cpu_isas[i]->ops;

#define TAKE(op) if (o->op != NULL) ops.op = o->op
		TAKE(embed);
		TAKE(norm);
		TAKE(linear);
		TAKE(rope);
		TAKE(kv_write);
		TAKE(attend);
		TAKE(glu);
		TAKE(add);
		TAKE(bound);
		TAKE(rows);
		TAKE(row_stats);
#undef TAKE
		if (sk_cpu_isas[i] == isa)
			break;
	}
	return ops;
}

static void cpu_close(struct sk_dev **ret_dev)
{
	struct sk_dev *dev = *ret_dev;

	if (dev == NULL)
		return;
	SK_BUG_IF(dev->slabs != NULL);          /* a weight outlived its device */
	sk_pool_close(&dev->pool);
	sk_cpu_pages_put(dev->scratch, dev->scratch_bytes);
	free(dev);
	*ret_dev = NULL;
}

static sk_status cpu_open(int ordinal, const struct sk_dev_opts *o, struct sk_dev **ret_dev, struct sk_err *err)
{
	const struct sk_cpu_isa *isa = NULL;
	struct sk_dev *dev;
	sk_status st;

	if (ordinal != 0)
		return sk_fail(err, SK_ENOENT, "there is no cpu device %d, only 0", ordinal);
	st = isa_find(o->isa, &isa, err);
	if (st < 0)
		return st;
	dev = calloc(1, sizeof(*dev));
	if (dev == NULL)
		return sk_fail(err, SK_ENOMEM, "no memory for a cpu device");
	st = sk_pool_open(o->threads, o->no_step_down, &dev->pool, err);
	if (st < 0) {
		free(dev);
		return st;
	}
	dev->threads = o->threads;
	dev->isa = isa;
	dev->ops = isa_ops(isa);
	dev->ahead_bytes = sk_cpu_ahead_bytes();
	*ret_dev = dev;
	return SK_OK;
}

/* The machine's own name for its processor; "cpu" where /proc does not say. */
static void processor_name(char *to, size_t to_bytes)
{
	FILE *f = fopen("/proc/cpuinfo", "re");
	char line[256];

	snprintf(to, to_bytes, "cpu");
	while (f != NULL && fgets(line, sizeof line, f) != NULL) {
		char *colon = strchr(line, ':');

		if (colon == NULL || strncmp(line, "model name", 10) != 0)
			continue;
		line[strcspn(line, "\n")] = '\0';
		snprintf(to, to_bytes, "%s", colon[1] == ' ' ? colon + 2 : colon + 1);
		break;
	}
	if (f != NULL)
		fclose(f);
}

static void cpu_describe(const struct sk_dev *dev, char *isa, size_t isa_bytes, char *device, size_t device_bytes)
{
	char name[128];

	processor_name(name, sizeof name);
	snprintf(isa, isa_bytes, "%s", dev->isa->name);
	snprintf(device, device_bytes, "%s, %d thread%s", name, dev->threads, dev->threads == 1 ? "" : "s");
}

/* ---- memory ---- */

/*
 * Large pieces come straight from the system, zeroed page by page when first touched: a step that never gets as wide as the
 * plan allows costs no memory for the rest (25 MiB of logits, mostly). Small ones come from malloc, where a sanitizer sees
 * who writes past their end.
 */
struct piece { size_t mapped_bytes; };  /* 0: from malloc */
#define PIECE_HEAD 64                   /* room for struct piece that keeps what follows aligned */
#define PIECE_MAP_BYTES ((size_t)1 << 20)

static void *cpu_alloc(struct sk_dev *dev, size_t bytes)
{
	struct piece *p;

	if (bytes > SIZE_MAX - 2 * PIECE_HEAD)
		return NULL;
	bytes += PIECE_HEAD;
	if (bytes >= PIECE_MAP_BYTES) {
		p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		if (p == MAP_FAILED)
			return NULL;
		p->mapped_bytes = bytes;
	} else {
		bytes = (bytes + 63) & ~(size_t)63;
		p = aligned_alloc(64, bytes);
		if (p == NULL)
			return NULL;
		memset(p, 0, bytes);
	}
	return (char *)p + PIECE_HEAD;
}

static void cpu_free(struct sk_dev *dev, void *p)
{
	struct piece *piece = p ? (void *)((char *)p - PIECE_HEAD) : NULL;

	if (piece && piece->mapped_bytes)
		munmap(piece, piece->mapped_bytes);
	else
		free(piece);
}

static void cpu_copy(struct sk_dev *dev, void *to, const void *from, size_t bytes)
{
	if (bytes > 0)
		memmove(to, from, bytes);
}

static sk_status cpu_sync(struct sk_dev *dev, struct sk_err *err)
{
	return SK_OK;
}

static size_t round_up(size_t bytes)
{
	return (bytes + 63) & ~(size_t)63;
}

static sk_status cpu_reserve(struct sk_dev *dev, const struct sk_dev_plan *plan, size_t *ret_bytes, struct sk_err *err)
{
	int threads = dev != NULL ? dev->threads : plan->threads;
	size_t linear_bytes, attend_bytes;
	unsigned char *p;

	if (plan->tokens_max < 1 || plan->K_max < 1 || threads < 1)
		return sk_fail(err, SK_EINVAL, "a plan for %d tokens of width %d and %d threads", plan->tokens_max,
			       plan->K_max, threads);
	linear_bytes = round_up(sk_cpu_linear_scratch_bytes(plan, threads));
	attend_bytes = round_up(sk_cpu_attend_scratch_bytes(plan, threads));
	if (ret_bytes != NULL)
		*ret_bytes = linear_bytes + attend_bytes;
	if (dev == NULL)
		return SK_OK;
	p = sk_cpu_pages_take(linear_bytes + attend_bytes);
	if (p == NULL)
		return sk_fail(err, SK_ENOMEM, "no memory for %zu bytes of scratch", linear_bytes + attend_bytes);
	sk_cpu_pages_put(dev->scratch, dev->scratch_bytes);
	dev->plan = *plan;
	dev->scratch = p;
	dev->scratch_bytes = linear_bytes + attend_bytes;
	dev->linear_scratch = p;
	dev->linear_scratch_bytes = linear_bytes;
	dev->attend_scratch = p + linear_bytes;
	dev->attend_scratch_bytes = attend_bytes;
	return SK_OK;
}

static void cpu_host_run(struct sk_dev *dev, int32_t n, void (*fn)(void *arg, int32_t i, int worker), void *arg)
{
	sk_pool_each(dev->pool, n, fn, arg);
}

/* ---- operations: to the device's level ---- */

#define OP(op) \
	static void op_##op(struct sk_dev *dev, const struct sk_op_##op *a) { dev->ops.op(dev, a); }
OP(embed)
OP(norm)
OP(linear)
OP(rope)
OP(kv_write)
OP(attend)
OP(glu)
OP(add)
OP(bound)
OP(rows)
OP(row_stats)

/* The host's arrays are read where they lie. */
static void op_begin(struct sk_dev *dev, const struct sk_step *step)
{
}

static const struct sk_ops cpu_ops = {
	.begin = op_begin, .embed = op_embed, .norm = op_norm, .linear = op_linear, .rope = op_rope, .kv_write = op_kv_write,
	.attend = op_attend, .glu = op_glu, .add = op_add, .bound = op_bound, .rows = op_rows, .row_stats = op_row_stats,
};

const struct sk_backend sk_backend_cpu = {
	.abi = SK_BACKEND_ABI, .size = sizeof(struct sk_backend), .name = "cpu",
	.host_memory = true,
	.score = cpu_score, .open = cpu_open, .close = cpu_close, .describe = cpu_describe,
	.alloc = cpu_alloc, .free = cpu_free, .put = cpu_copy, .get = cpu_copy, .sync = cpu_sync,
	.reserve = cpu_reserve,
	.weight_bytes = sk_cpu_weight_bytes, .weight_open = sk_cpu_weight_open, .weight_close = sk_cpu_weight_close,
	.kv_bytes = sk_cpu_kv_bytes, .kv_open = sk_cpu_kv_open, .kv_close = sk_cpu_kv_close, .kv_copy = sk_cpu_kv_copy,
	.host_run = cpu_host_run,
	.ops = &cpu_ops,
};
