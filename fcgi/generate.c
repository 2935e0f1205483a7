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

/* Submit all or none. */
static sk_status submit(struct sk_request *r, const struct sk_gen_params *p, size_t len, struct sk_err *err)
{
	sk_status st = SK_OK;

	r->more = sk_arena_take(&r->arena, len * sizeof *r->more);
	if (!r->more)
		return sk_fail(err, SK_ENOMEM, "out of memory for %zu prompts", len);
	for (size_t i = 0; i < len; i++) {
		struct sk_gen_params own = p[i];
		struct sk_gen *gen = NULL;

		own.client = r->share;
		own.weight = r->weight;
		st = sk_engine_submit(r->front->engine, &own, &gen, err);
		if (st < 0)
			break;
		if (i)
			r->more[r->more_len++] = gen;
		else
			r->gen = gen;
		r->sequences += own.n;
		r->prompt_tokens += sk_gen_prompt_tokens(gen);
		if (sk_gen_max_new_tokens(gen) > r->max_new_tokens)
			r->max_new_tokens = sk_gen_max_new_tokens(gen);
	}
	if (st < 0) {
		sk_request_gens_close(r);
		r->sequences = r->prompt_tokens = 0;
	}
	return st;
}

void sk_request_generate_all(struct sk_request *r, const struct sk_gen_params *p, size_t len, bool stream,
			     const struct sk_render *render, void *render_state)
{
	struct sk_err err = { 0 };
	sk_status st;

	if (!sk_request_permits(r, (int)(p->n * len)))
		return;
	r->render = render;
	r->render_state = render_state;
	if (r->front->options->log_prompts && p->prompt)
		r->prompt = sk_arena_strndup(&r->arena, p->prompt, p->prompt_len < PROMPT_MAX ? p->prompt_len : PROMPT_MAX);
	st = submit(r, p, len, &err);
	if (st < 0) {
		r->render = NULL;
		sk_reply_status(r, st, &err);
		return;
	}
	r->submitted_us = sk_now_us();
	if (!stream)
		return;
	sk_reply_stream_headers(r);
	r->stream = true;
	r->status = 200;
	r->reply_type = "text/event-stream";
}

void sk_request_generate(struct sk_request *r, const struct sk_gen_params *p, bool stream,
			 const struct sk_render *render, void *render_state)
{
	sk_request_generate_all(r, p, 1, stream, render, render_state);
}

void sk_request_cancel(struct sk_request *r)
{
	if (r->gen)
		sk_gen_cancel(r->gen);
	for (uint32_t i = 0; i < r->more_len; i++)
		sk_gen_cancel(r->more[i]);
}

void sk_request_gens_close(struct sk_request *r)
{
	if (r->gen)
		sk_gen_close(&r->gen);
	while (r->more_len)
		sk_gen_close(&r->more[--r->more_len]);
}

sk_status sk_request_next(struct sk_request *r, struct sk_event *ret_ev)
{
	uint32_t n;
	sk_status st;

	/* Its last event was lent until now. */
	if (r->gen_over && r->more_len) {
		sk_gen_close(&r->gen);
		r->gen = r->more[0];
		r->more++;
		r->more_len--;
		r->gen_over = false;
	}
	st = sk_gen_next(r->gen, ret_ev);
	if (st != SK_OK)
		return st;
	/* Each has as many sequences as the others. */
	n = (r->sequences - r->seq_base) / (r->more_len + 1);
	ret_ev->seq += r->seq_base;
	if (ret_ev->type != SK_EVENT_FINISH)
		return SK_OK;
	if (!ret_ev->left) {
		r->gen_over = r->more_len > 0;
		r->seq_base += r->more_len ? n : 0;
	}
	ret_ev->left += r->more_len * n;
	return SK_OK;
}
