/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How much of a device's own memory the engine may take, and what to say where that is too little: what was needed, what there
 * is, and which one setting would make it fit.
 *
 * cuda-memory-fraction is text-generation-inference's: so much of the whole device is for this server, what others have taken
 * of it included. A tenth of that stays free unless somebody says how large the KV pool shall be.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "engine/base/buf.h"
#include "engine/inside.h"

struct room {
	uint64_t left, total;           /* of the device */
	uint64_t bytes;                 /* of it for us */
};

static struct room room_with(const struct sk_setup *s, double fraction, bool spare)
{
	struct room r = { 0 };
	uint64_t kept;

	if (!s->model.backend->memory(s->model.ordinal, &r.left, &r.total))
		return r;
	kept = (uint64_t)((1 - fraction * (spare ? 0.9 : 1)) * (double)r.total);
	r.bytes = r.left > kept ? r.left - kept : 0;
	return r;
}

uint64_t sk_room_bytes(const struct sk_setup *s)
{
	return room_with(s, s->memory_fraction, true).bytes;
}

/* ---- which setting would make it fit ------------------------------------------------------------------------------ */

/* What is asked of the device: the pool's bytes are those of so many tokens, or what kv-memory says. */
struct ask {
	const struct sk_setup *s;
	const struct sk_engine_opts *o;
	struct sk_model_plan plan;
	uint64_t least_kv_bytes;        /* of the shortest request that may be asked for */
	uint64_t room;
};

static bool fits(const struct ask *a, uint64_t scratch, uint64_t kv)
{
	return a->plan.weights_bytes + scratch + kv <= a->room;
}

/* The most tokens a step with which the rest fits; 0: none. */
static uint32_t fewer_step_tokens(const struct ask *a)
{
	uint32_t low = 0, high = (uint32_t)a->s->model.tokens_max;

	while (high - low > 1) {
		struct sk_model_opts o = a->s->model;
		struct sk_model_plan plan;

		o.tokens_max = (int32_t)(low + (high - low) / 2);
		if (o.sequences_max > o.tokens_max)
			o.sequences_max = o.logits_max = o.tokens_max;
		if (sk_model_plan(a->s->weights, &o, &plan, NULL) >= 0 && fits(a, plan.scratch_bytes, a->least_kv_bytes))
			low = (uint32_t)o.tokens_max;
		else
			high = (uint32_t)o.tokens_max;
	}
	return low;
}

/* The least hundredths with which all fits; over 100: none. */
static int more_fraction(const struct ask *a, uint64_t need, bool spare)
{
	int h = (int)(a->s->memory_fraction * 100) + 1;

	while (h <= 100 && room_with(a->s, h / 100.0, spare).bytes < need)
		h++;
	return h;
}

static void advise(const struct ask *a, uint64_t kv_bytes, char *text, size_t bytes)
{
	uint64_t used = a->plan.weights_bytes + a->plan.scratch_bytes, block = a->plan.kv_bytes_per_token * SK_KV_BLOCK;
	bool sized = a->o->kv_bytes || a->o->kv_tokens;
	uint64_t left = a->room > used ? a->room - used : 0, blocks = left / block;
	int fraction = more_fraction(a, used + kv_bytes, !sized);
	uint32_t tokens;

	if (a->o->kv_bytes && fits(a, a->plan.scratch_bytes, a->least_kv_bytes))
		snprintf(text, bytes, "kv-memory %" PRIu64 "%s would fit", left >> 20 << 20 >= a->least_kv_bytes ? left >> 20 : left,
			 left >> 20 << 20 >= a->least_kv_bytes ? "M" : "");
	else if (a->o->kv_tokens && fits(a, a->plan.scratch_bytes, a->least_kv_bytes))
		snprintf(text, bytes, "max-batch-total-tokens %" PRIu64 " would fit", blocks * SK_KV_BLOCK);
	else if (fraction <= 100)
		snprintf(text, bytes, "cuda-memory-fraction %d.%02d would fit", fraction / 100, fraction % 100);
	else if (a->o->total_tokens_max && blocks > 1)
		snprintf(text, bytes, "max-total-tokens %" PRIu64 " would fit", (blocks - 1) * SK_KV_BLOCK);
	else if ((tokens = fewer_step_tokens(a)) > 0)
		snprintf(text, bytes, "max-batch-prefill-tokens %u would fit", tokens);
	else
		snprintf(text, bytes, "no setting makes it fit: a model with smaller weights, or a device with more memory, does");
}

sk_status sk_room_check(const struct sk_setup *s, const struct sk_engine_opts *o, const struct sk_model_plan *plan, uint64_t kv_bytes,
			uint64_t least_kv_bytes, struct sk_err *err)
{
	bool sized = o->kv_bytes || o->kv_tokens;
	struct room r = room_with(s, s->memory_fraction, !sized);
	struct ask a = { .s = s, .o = o, .plan = *plan, .least_kv_bytes = least_kv_bytes, .room = r.bytes };
	char need[SK_BYTES_SHOWN], weights[SK_BYTES_SHOWN], scratch[SK_BYTES_SHOWN], kv[SK_BYTES_SHOWN], room[SK_BYTES_SHOWN];
	char left[SK_BYTES_SHOWN], total[SK_BYTES_SHOWN], advice[128];

	if (!r.total)
		return sk_fail(err, SK_EDEVICE, "%s:%d does not say how much memory it has", s->model.backend->name, s->model.ordinal);
	if (fits(&a, plan->scratch_bytes, kv_bytes))
		return SK_OK;
	advise(&a, kv_bytes, advice, sizeof(advice));
	return sk_fail(err, SK_ENOMEM, "not enough memory on %s:%d: %s are needed (weights %s, scratch %s, KV pool %s), %s are there (%s of %s "
		       "free, cuda-memory-fraction %.2f%s): %s", s->model.backend->name, s->model.ordinal,
		       sk_bytes_show(need, plan->weights_bytes + plan->scratch_bytes + kv_bytes), sk_bytes_show(weights, plan->weights_bytes),
		       sk_bytes_show(scratch, plan->scratch_bytes), sk_bytes_show(kv, kv_bytes), sk_bytes_show(room, r.bytes),
		       sk_bytes_show(left, r.left), sk_bytes_show(total, r.total), s->memory_fraction, sized ? "" : ", a tenth of it spare",
		       advice);
}
