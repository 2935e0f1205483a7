/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From a validated request to a running generation: permits, the stream's head, submit.
 */
#include <stdatomic.h>

#include "engine/base/clock.h"
#include "fcgi/request.h"

#define PROMPT_MAX ((size_t)256)        /* bytes for the log */

bool sk_request_permits(struct sk_request *r, int n)
{
	_Atomic int *permits = &r->front->permits;
	int left = atomic_load_explicit(permits, memory_order_relaxed);

	if (r->permits >= n)
		return true;
	n -= r->permits;
	do {
		if (left < n) {
			sk_reply_status(r, SK_EOVERLOADED, NULL);
			return false;
		}
	} while (!atomic_compare_exchange_weak_explicit(permits, &left, left - n, memory_order_acq_rel,
							memory_order_relaxed));
	r->permits += n;
	return true;
}

void sk_reply_stream_headers(struct sk_request *r)
{
	/* nginx reads the second one and stops buffering, whatever its configuration says. */
	sk_reply_header(r, "cache-control", "no-cache");
	sk_reply_header(r, "x-accel-buffering", "no");
}

void sk_request_generate(struct sk_request *r, const struct sk_gen_params *p, bool stream,
			 const struct sk_render *render, void *render_state)
{
	struct sk_err err = { 0 };
	struct sk_gen *gen = NULL;
	sk_status st;

	if (!sk_request_permits(r, (int)p->n))
		return;
	r->render = render;
	r->render_state = render_state;
	if (r->front->options->log_prompts && p->prompt)
		r->prompt = sk_arena_strndup(&r->arena, p->prompt, p->prompt_len < PROMPT_MAX ? p->prompt_len : PROMPT_MAX);
	st = sk_engine_submit(r->front->engine, p, &gen, &err);
	if (st < 0) {
		r->render = NULL;
		sk_reply_status(r, st, &err);
		return;
	}
	r->gen = gen;
	r->max_new_tokens = sk_gen_max_new_tokens(gen);
	r->submitted_us = sk_now_us();
	if (!stream)
		return;
	sk_reply_stream_headers(r);
	r->stream = true;
	r->status = 200;
	r->reply_type = "text/event-stream";
}
