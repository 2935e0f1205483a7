/* SPDX-License-Identifier: Apache-2.0 */
/* Requests through the whole engine, for the golden tests: opened with the model, run, collected. */
#ifndef GOLDEN_RUNS_H
#define GOLDEN_RUNS_H

#include <stddef.h>
#include <stdint.h>

#include "engine/saker.h"

#define RUN_TOKENS_MAX 256

/* What came of one request. prompt: log-probability of each prompt token, the first NaN; NULL unless asked for. */
struct run {
	int32_t ids[RUN_TOKENS_MAX];
	float logprobs[RUN_TOKENS_MAX];
	size_t len;
	float *prompt;
	size_t prompt_len;
};
void run_fini(struct run *r);

/* The engine, READY, or the program ends: 77 when SmolLM2 is missing and no model is named, 1 with words when it does not open. */
struct sk_engine *runs_open(const struct sk_engine_opts *o);
/* The same of a model that is named, with the log as it is: engines that are open go on beside it. */
struct sk_engine *runs_open_named(const struct sk_engine_opts *o);

/* Nothing runs any more, and its last request's blocks are back in the pool, or the program ends with words. */
void runs_idle(struct sk_engine *e);

/* Submit all in order, then collect all. The program ends with words when one fails. */
void runs_do(struct sk_engine *e, const struct sk_gen_params *params, size_t len, struct run *ret_runs);

#endif
