/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From logits to a token: rules (warp.def) in TGI's order, then the likeliest or a draw.
 *
 *	watermark, logit bias, repetition, frequency (OpenAI's, TGI's) and presence penalty, temperature, top-k, top-p, typical-p, min-p, choose
 *
 * A pure function of (logits row, params, history, seed, sequence, index): a row's answer depends on nothing else. (A
 * torch generator only remembers where the last draw has left it; from any other place it is made anew.)
 * Any thread, one row a call; scratch is the caller's.
 */
#ifndef SK_SAMPLE_H
#define SK_SAMPLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/base/mt.h"
#include "engine/sample/watermark.h"
#include "engine/saker.h"

/* Draws as torch on the CPU makes them: its generator, going on from token to token. Zero before the first. */
struct sk_sample_torch {
	struct sk_mt mt;
	uint32_t next;                          /* the index it stands before; 0: not seeded yet */
};

struct sk_sample_params {
	bool draw;                              /* sk_gen_params_samples() */
	float temperature, repetition_penalty, frequency_penalty, frequency_share, presence_penalty, top_p, typical_p, min_p;
	int32_t top_k;
	const struct sk_watermark *mark;        /* NULL: none */
	const struct sk_logit_bias *bias;       /* ids that are none are left out */
	size_t bias_len;
	uint32_t top_n;
	uint64_t seed;
};

struct sk_sample_alt { int32_t id; float logprob; };

struct sk_sample_in {
	const float *logits;                    /* [V], not written */
	int32_t V;
	const struct sk_sample_params *p;
	const int32_t *ids;                     /* prompt and generated so far: the penalties' set */
	int32_t ids_len, prompt_len;
	uint32_t seq, index;                    /* the draw's counter */
	struct sk_sample_torch *torch;          /* NULL: saker's own draws. Else it is moved to the place behind this draw */
	/* From row_stats over the raw logits, so that plain greedy costs nothing more. */
	int32_t argmax; float max, logsumexp;
};

struct sk_sample_out {
	int32_t id;
	float logprob;                          /* log-softmax of the processed scores at id */
	struct sk_sample_alt *top;              /* room for top_max; filled: likeliest first, ties of the last one included */
	uint32_t top_len, top_max;
};

/* Whether the statistics of a row are already its answer: the likeliest of the raw scores, and nothing else is asked for. */
bool sk_sample_is_plain(const struct sk_sample_params *p);

size_t sk_sample_scratch_bytes(int32_t V);
void sk_sample(const struct sk_sample_in *in, struct sk_sample_out *out, void *scratch);

#endif
