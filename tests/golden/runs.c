/* SPDX-License-Identifier: Apache-2.0 */
/* See runs.h. */
#include "tests/golden/runs.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/log.h"
#include "tests/golden/golden.h"

void run_fini(struct run *r)
{
	free(r->prompt);
	memset(r, 0, sizeof(*r));
}

struct sk_engine *runs_open_named(const struct sk_engine_opts *o)
{
	struct sk_engine *e = NULL;
	struct sk_err err = { .text = "" };

	if (sk_engine_open(o, &e, &err) < 0 || sk_engine_wait_ready(e, &err) < 0) {
		printf("%s: %s\n", o->model, err.text);
		exit(1);
	}
	return e;
}

struct sk_engine *runs_open(const struct sk_engine_opts *o)
{
	struct sk_engine_opts opts = *o;

	if (!opts.model)
		opts.model = golden_model();
	sk_log_init(SK_LOG_WARN, false);
	return runs_open_named(&opts);
}

void runs_idle(struct sk_engine *e)
{
	struct sk_stats st;

	sk_engine_drain(e, -1);
	/* The snapshot of the last step follows its events. */
	do
		sk_engine_stats(e, &st);
	while (st.running > 0);
	if (st.blocks_free == st.blocks_total)
		return;
	printf("%u of %u blocks are free, and nothing runs\n", st.blocks_free, st.blocks_total);
	exit(1);
}

static void prompt_take(struct run *r, const struct sk_event *ev)
{
	size_t i;

	if (!ev->prefill.tokens_len)
		return;
	r->prompt_len = ev->prefill.tokens_len;
	r->prompt = malloc(r->prompt_len * sizeof(*r->prompt));
	if (!r->prompt)
		abort();
	for (i = 0; i < r->prompt_len; i++)
		r->prompt[i] = ev->prefill.tokens[i].logprob;
}

static void collect(struct sk_gen *g, struct run *r)
{
	struct sk_event ev;

	while (sk_gen_wait(g, &ev) == SK_OK) {
		if (ev.type == SK_EVENT_PREFILL) {
			prompt_take(r, &ev);
		} else if (ev.type == SK_EVENT_TOKEN && r->len < RUN_TOKENS_MAX) {
			r->ids[r->len] = ev.token.t.id;
			r->logprobs[r->len++] = ev.token.t.logprob;
		} else if (ev.type == SK_EVENT_FAIL) {
			printf("request %llu failed: %s\n", (unsigned long long)sk_gen_id(g), ev.fail.text);
			exit(1);
		}
	}
}

void runs_do(struct sk_engine *e, const struct sk_gen_params *params, size_t len, struct run *ret_runs)
{
	struct sk_gen **gens = calloc(len, sizeof(*gens));
	struct sk_err err = { .text = "" };
	size_t i;

	if (!gens)
		abort();
	for (i = 0; i < len; i++)
		if (sk_engine_submit(e, &params[i], &gens[i], &err) < 0) {
			printf("request %zu was refused: %s\n", i, err.text);
			exit(1);
		}
	for (i = 0; i < len; i++) {
		ret_runs[i] = (struct run){ .len = 0 };
		collect(gens[i], &ret_runs[i]);
		sk_gen_close(&gens[i]);
	}
	free(gens);
}
