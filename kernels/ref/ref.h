/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the reference backend share. Nothing outside kernels/ref/ includes it. */
#ifndef SK_REF_H
#define SK_REF_H

#include "kernels/backend.h"

/* owner: the one thread that calls. Scratch grows when weights and pools are opened, never in an operation. */
struct sk_dev {
	double *x;              /* [wide] one row of rounded activations, or an attention accumulator */
	float *w;               /* [wide] one dequantised row */
	size_t wide;
};

struct ref_weight {
	struct sk_weight base;  /* first: a sk_weight * of ours is a ref_weight * */
	size_t row_bytes;
	unsigned char *data;    /* N rows as in the file, sources one after the other (GLU: gate, then up) */
};

/* k[layer][block][kv head][token of the block][d], then the same for v; float32 or bfloat16 bits. */
struct sk_kv {
	struct sk_kv_spec spec;
	void *k, *v;
};

void ref_embed(struct sk_dev *, const struct sk_op_embed *);
void ref_norm(struct sk_dev *, const struct sk_op_norm *);
void ref_linear(struct sk_dev *, const struct sk_op_linear *);
void ref_rope(struct sk_dev *, const struct sk_op_rope *);
void ref_kv_write(struct sk_dev *, const struct sk_op_kv_write *);
void ref_attend(struct sk_dev *, const struct sk_op_attend *);
void ref_glu(struct sk_dev *, const struct sk_op_glu *);
void ref_add(struct sk_dev *, const struct sk_op_add *);
void ref_bound(struct sk_dev *, const struct sk_op_bound *);
void ref_rows(struct sk_dev *, const struct sk_op_rows *);
void ref_row_stats(struct sk_dev *, const struct sk_op_row_stats *);

/* An activation of kernels.h. NaN stays NaN, but for RELU, which gives 0. */
double ref_act(enum sk_act act, double v);

static inline float *ref_row(const struct sk_view *v, int64_t t)
{
	return (float *)v->data + t * v->stride;
}

#endif
