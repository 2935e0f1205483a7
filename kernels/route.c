/* SPDX-License-Identifier: Apache-2.0 */
/* Which experts a token goes to, and how much of each: a few numbers a token, calculated on the host whatever the backend. */
#include "kernels/kernels.h"

#include <math.h>

/* The largest that is not chosen yet, the first of equals; a NaN only where there is nothing else. */
static int32_t best_of(const float *v, int32_t len, const int32_t *chosen, int32_t chosen_len)
{
	int32_t best = -1;

	for (int32_t i = 0; i < len; i++) {
		bool taken = false;

		for (int32_t k = 0; k < chosen_len; k++)
			taken |= chosen[k] == i;
		if (!taken && (best < 0 || v[i] > v[best] || isnan(v[best])))
			best = i;
	}
	return best;
}

/* Shares by the softmax of all, as many as are used; then of their sum where asked for. */
static void softmax(const struct sk_route *r, const float *logits, int32_t *ret_experts, float *ret_weights)
{
	double sum = 0.0, kept = 0.0, max;

	for (int32_t k = 0; k < r->used; k++)
		ret_experts[k] = best_of(logits, r->experts, ret_experts, k);
	max = (double)logits[ret_experts[0]];
	for (int32_t i = 0; i < r->experts; i++)
		sum += exp((double)logits[i] - max);
	for (int32_t k = 0; k < r->used; k++)
		kept += exp((double)logits[ret_experts[k]] - max);
	for (int32_t k = 0; k < r->used; k++)
		ret_weights[k] = (float)(exp((double)logits[ret_experts[k]] - max) / (r->renormalise ? kept : sum));
}

/*
 * One after the other the best of what is left, with its share among those of them that come close to it: of the others
 * (best - logit) / max(|logit|, best) is above 2 * jitter.
 */
static void sparsemixer(const struct sk_route *r, const float *logits, int32_t *ret_experts, float *ret_weights)
{
	for (int32_t k = 0; k < r->used; k++) {
		int32_t at = best_of(logits, r->experts, ret_experts, k);
		float best = logits[at];
		double sum = 0.0;

		for (int32_t i = 0; i < r->experts; i++) {
			float size = fabsf(logits[i]) > best ? fabsf(logits[i]) : best;
			bool taken = false;

			for (int32_t j = 0; j < k; j++)
				taken |= ret_experts[j] == i;
			if (!taken && !((best - logits[i]) / size > 2.0f * r->jitter))
				sum += exp((double)logits[i] - (double)best);
		}
		ret_experts[k] = at;
		ret_weights[k] = (float)(1.0 / sum);
	}
}

void sk_route_row(const struct sk_route *r, const float *logits, int32_t *ret_experts, float *ret_weights)
{
	switch (r->kind) {
	case SK_ROUTE_SOFTMAX:
		softmax(r, logits, ret_experts, ret_weights);
		break;
	case SK_ROUTE_SPARSEMIXER:
		sparsemixer(r, logits, ret_experts, ret_weights);
		break;
	}
}
