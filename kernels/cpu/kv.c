/* SPDX-License-Identifier: Apache-2.0 */
/* The KV pool: sizes, memory, copies of blocks. Writing and reading it is in attend_loops.h. */
#include "kernels/cpu/cpu.h"
#include "kernels/cpu/kv.h"

#include <stdlib.h>
#include <string.h>

/* Fill the sizes; false where they do not fit a size_t. */
static bool kv_measure(struct sk_kv *kv)
{
	const struct sk_kv_spec *s = &kv->spec;
	size_t d = (size_t)s->head_width, wide = (d + 15) & ~(size_t)15, element = s->dtype == SK_F32 ? 4 : 2;

	kv->wide = (int32_t)wide;
	kv->k_bytes = (s->dtype == SK_F32 ? d : (d + 1) & ~(size_t)1) * SK_KV_BLOCK * element;
	kv->head_bytes = kv->k_bytes + wide * SK_KV_BLOCK * element;
	kv->layer_bytes = kv->head_bytes * (size_t)s->kv_heads;
	return !__builtin_mul_overflow(kv->layer_bytes, (size_t)s->layers, &kv->block_bytes) &&
	       !__builtin_mul_overflow(kv->block_bytes, (size_t)s->blocks, &kv->bytes);
}

static bool kv_allowed(const struct sk_kv_spec *s)
{
	return (s->dtype == SK_F32 || s->dtype == SK_BF16) && s->layers > 0 && s->blocks > 0 && s->kv_heads > 0 &&
	       s->kv_heads <= 4096 && s->head_width > 0 && s->head_width <= SK_CPU_HEAD_WIDTH_MAX;
}

size_t sk_cpu_kv_bytes(const struct sk_kv_spec *spec)
{
	struct sk_kv kv = { .spec = *spec };

	if (spec->dtype != SK_F32 && spec->dtype != SK_BF16)
		return 0;
	return kv_measure(&kv) ? kv.bytes : SIZE_MAX;
}

sk_status sk_cpu_kv_open(struct sk_dev *dev, const struct sk_kv_spec *spec, struct sk_kv **ret_kv, struct sk_err *err)
{
	struct sk_kv *kv;

	(void)dev;
	if (!kv_allowed(spec))
		return sk_fail(err, SK_ENOTSUP,
			       "KV pool of type %d, %d layers, %d heads of %d, %d blocks: float32 or bfloat16, each count "
			       "positive, a head width up to %d",
			       (int)spec->dtype, spec->layers, spec->kv_heads, spec->head_width, spec->blocks,
			       SK_CPU_HEAD_WIDTH_MAX);
	kv = calloc(1, sizeof *kv);
	if (!kv)
		return sk_fail(err, SK_ENOMEM, "KV pool: out of memory");
	kv->spec = *spec;
	if (kv_measure(kv))
		kv->data = sk_cpu_pages_take(kv->bytes);
	if (!kv->data) {
		free(kv);
		return sk_fail(err, SK_ENOMEM, "no memory for a KV pool of %zu bytes", sk_cpu_kv_bytes(spec));
	}
	*ret_kv = kv;
	return SK_OK;
}

void sk_cpu_kv_close(struct sk_dev *dev, struct sk_kv **kv)
{
	(void)dev;
	if (!*kv)
		return;
	sk_cpu_pages_put((*kv)->data, (*kv)->bytes);
	free(*kv);
	*kv = NULL;
}

void sk_cpu_kv_copy(struct sk_dev *dev, struct sk_kv *kv, int32_t from_block, int32_t to_block)
{
	(void)dev;
	if (from_block == to_block)
		return;
	memcpy(sk_cpu_kv_at(kv, 0, to_block, 0), sk_cpu_kv_at(kv, 0, from_block, 0), kv->block_bytes);
}
