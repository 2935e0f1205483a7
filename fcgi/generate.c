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
	if (r->permits >= n)
		return true;
	switch (sk_permits_take(&r->front->permits, n - r->permits, r->share, r->weight, sk_now_us())) {
	case SK_PERMITS_GIVEN:
		r->permits = n;
		return true;
	case SK_PERMITS_SHARE:
		r->refusal = "fair_share";
		sk_reply_error(r, 429, "overloaded", "Model is overloaded: this client has its share of the places, and others wait");
		return false;
	default:
		sk_reply_status(r, SK_EOVERLOADED, NULL);
		return false;
	}
}

bool sk_request_large(struct sk_request *r)
{
	size_t bytes = r->out.cap, max = r->out.max, others = atomic_fetch_add(&r->front->large_bytes, bytes);

	if (!others || others + bytes <= SK_LARGE_BYTES_MAX) {
		r->large_bytes = bytes;
		return true;
	}
	sk_buf_fini(&r->out);
	sk_buf_init(&r->out, max);
	atomic_fetch_sub(&r->front->large_bytes, bytes);
	sk_reply_status(r, SK_EOVERLOADED, NULL);
	return false;
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
	struct sk_gen_params own = *p;
	struct sk_err err = { 0 };
	struct sk_gen *gen = NULL;
	sk_status st;

	if (!sk_request_permits(r, (int)p->n))
		return;
	own.client = r->share;
	own.weight = r->weight;
	r->render = render;
	r->render_state = render_state;
	if (r->front->options->log_prompts && p->prompt)
		r->prompt = sk_arena_strndup(&r->arena, p->prompt, p->prompt_len < PROMPT_MAX ? p->prompt_len : PROMPT_MAX);
	st = sk_engine_submit(r->front->engine, &own, &gen, &err);
	if (st < 0) {
		r->render = NULL;
		sk_reply_status(r, st, &err);
		return;
	}
	r->gen = gen;
	r->sequences = own.n;
	r->max_new_tokens = sk_gen_max_new_tokens(gen);
	r->submitted_us = sk_now_us();
	if (!stream)
		return;
	sk_reply_stream_headers(r);
	r->stream = true;
	r->status = 200;
	r->reply_type = "text/event-stream";
}
