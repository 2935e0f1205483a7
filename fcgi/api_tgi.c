/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The native API of text-generation-inference in each dialect: reply objects and server-sent events. (The request's
 * fields are in tgi_fields.c.)
 *
 * Order of refusals: body and types (route.c, schema.c), early ranges, what a stream cannot do, permits, ranges, and what
 * only the engine knows (lengths). Rendering runs on the loop, once a token: it appends to a buffer and nothing else.
 */
#include "fcgi/api_tgi.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "engine/base/clock.h"
#include "engine/base/utf8.h"
#include "fcgi/json.h"
#include "fcgi/kept.h"
#include "fcgi/request.h"
#include "fcgi/route.h"

/* ---- the reply ---------------------------------------------------------------------------------------------- */

/* One of the answers that are drawn; a stream has none. */
struct answer {
	struct sk_kept text, tokens, top_tokens;   /* text: the JSON string */
	double logprob;                         /* sum over its tokens */
	struct sk_event end;                    /* FINISH, whose text is gone */
};

/* owner: with its request; on the loop once submitted. */
struct reply {
	enum sk_tgi_shape shape;        /* SK_TGI_EVENTS for every stream */
	bool details, prefill, top;     /* what was asked for */
	bool broken;                    /* the arena is out of memory */
	const char *full;               /* inputs, when they go before generated_text */
	size_t full_len;
	struct sk_kept prefill_tokens, frame;      /* frame: a stream's, held back for what comes behind it */
	struct answer *answers;
	uint32_t answers_len;
	uint32_t index;                 /* of the last event, from 1 */
};

static void text_add(struct sk_request *r, struct sk_kept *t, const char *s, size_t len)
{
	struct reply *reply = r->render_state;

	if (!sk_kept_add(t, &r->arena, s, len))
		reply->broken = true;
}

/* {"id":1,"text":"a","logprob":-0.5,"special":false}; prompt tokens have no `special`. */
static void add_token(struct sk_buf *b, const struct sk_event_token *t, bool of_prompt)
{
	sk_buf_addf(b, "{\"id\":%" PRId32 ",\"text\":", t->id);
	sk_json_add_str(b, t->text, t->text_len);
	sk_buf_adds(b, ",\"logprob\":");
	sk_json_add_f32(b, t->logprob);
	sk_buf_adds(b, of_prompt ? "}" : t->special ? ",\"special\":true}" : ",\"special\":false}");
}

static void add_list(struct sk_buf *b, const struct sk_event_token *t, size_t len, bool of_prompt)
{
	sk_buf_addc(b, '[');
	for (size_t i = 0; i < len; i++) {
		if (i)
			sk_buf_addc(b, ',');
		add_token(b, &t[i], of_prompt);
	}
	sk_buf_addc(b, ']');
}

static const char *const finish_names[] = {
	[SK_FINISH_LENGTH] = "length",
	[SK_FINISH_EOS] = "eos_token",
	[SK_FINISH_STOP] = "stop_sequence",
};

static void add_generated_text(struct sk_buf *b, const struct reply *reply, const struct sk_event *ev)
{
	sk_buf_addc(b, '"');
	if (reply->full)
		sk_buf_add_json(b, reply->full, reply->full_len);
	sk_buf_add_json(b, ev->finish.text, ev->finish.text_len);
	sk_buf_addc(b, '"');
}

/* "finish_reason":"length","generated_tokens":5,"seed":null */
static void add_outcome(struct sk_buf *b, const struct sk_event *ev)
{
	sk_buf_addf(b, "\"finish_reason\":\"%s\",\"generated_tokens\":%" PRIu32 ",\"seed\":",
		    finish_names[ev->finish.reason], ev->finish.generated_tokens);
	if (ev->finish.has_seed)
		sk_buf_addf(b, "%" PRIu64, ev->finish.seed);
	else
		sk_buf_adds(b, "null");
}

static void fail(struct sk_request *r, const struct sk_event *ev)
{
	struct sk_err err = { .status = ev->fail.status };

	snprintf(err.text, sizeof err.text, "%s", ev->fail.text ? ev->fail.text : "");
	sk_reply_status(r, ev->fail.status, &err);
}

/* ---- a stream ----------------------------------------------------------------------------------------------- */

/* The frame up to "generated_text": its value follows. */
static void add_frame_head(struct sk_request *r, uint32_t index, const struct reply *reply, const struct sk_event *ev)
{
	const struct sk_dialect *d = sk_request_dialect(r);
	struct sk_buf *b = &r->out;

	sk_buf_addf(b, "%s{", d->frame);
	if (d->event_index)
		sk_buf_addf(b, "\"index\":%" PRIu32 ",", index);
	sk_buf_adds(b, "\"token\":");
	add_token(b, &ev->token.t, false);
	if (reply->top && ev->token.top_len) {
		sk_buf_adds(b, ",\"top_tokens\":");
		add_list(b, ev->token.top, ev->token.top_len, false);
	}
	sk_buf_adds(b, ",\"generated_text\":");
}

static void stream_token(struct sk_request *r, struct reply *reply, const struct sk_event *ev)
{
	size_t from = r->out.len;

	reply->index = ev->token.index + 1;
	add_frame_head(r, reply->index, reply, ev);
	if (!ev->token.last) {
		sk_buf_adds(&r->out, "null,\"details\":null}\n\n");
		return;
	}
	/* The last token travels with the result: FINISH is behind it. Keep the beginning of its frame for then. */
	if (r->out.failed)
		return;
	text_add(r, &reply->frame, r->out.data + from, r->out.len - from);
	r->out.len = from;
}

static void stream_finish(struct sk_request *r, struct reply *reply, const struct sk_event *ev)
{
	struct sk_buf *b = &r->out;

	if (reply->broken || !reply->frame.len) {
		sk_reply_status(r, reply->broken ? SK_ENOMEM : SK_ECANCELED, NULL);
		return;
	}
	sk_buf_add(b, reply->frame.s, reply->frame.len);
	add_generated_text(b, reply, ev);
	sk_buf_adds(b, ",\"details\":");
	if (reply->details) {
		sk_buf_addc(b, '{');
		add_outcome(b, ev);
		if (sk_request_dialect(r)->event_input_length)
			sk_buf_addf(b, ",\"input_length\":%" PRIu32, ev->finish.prompt_tokens);
		sk_buf_addc(b, '}');
	} else {
		sk_buf_adds(b, "null");
	}
	sk_buf_adds(b, "}\n\n");
}

static void stream_event(struct sk_request *r, const struct sk_event *ev)
{
	struct reply *reply = r->render_state;

	switch (ev->type) {
	case SK_EVENT_PREFILL:
		break;
	case SK_EVENT_TOKEN:
		stream_token(r, reply, ev);
		break;
	case SK_EVENT_FINISH:
		stream_finish(r, reply, ev);
		break;
	case SK_EVENT_FAIL:
		fail(r, ev);
		break;
	}
}

static const struct sk_render stream_render = { .event = stream_event };

/* ---- one object --------------------------------------------------------------------------------------------- */

/* Keep a rendered piece: r->out is only a place to write it. */
static void keep(struct sk_request *r, struct sk_kept *t)
{
	struct reply *reply = r->render_state;

	if (r->out.failed)
		reply->broken = true;
	else
		text_add(r, t, r->out.data, r->out.len);
	sk_buf_clear(&r->out);
}

static void object_token(struct sk_request *r, struct reply *reply, const struct sk_event *ev)
{
	struct answer *a = &reply->answers[ev->seq];

	a->logprob += (double)ev->token.t.logprob;
	if (!reply->details)
		return;
	if (a->tokens.len)
		sk_buf_addc(&r->out, ',');
	add_token(&r->out, &ev->token.t, false);
	keep(r, &a->tokens);
	if (!reply->top)
		return;
	if (a->top_tokens.len)
		sk_buf_addc(&r->out, ',');
	add_list(&r->out, ev->token.top, ev->token.top_len, false);
	keep(r, &a->top_tokens);
}

static void header_int(struct sk_request *r, const char *name, int64_t value)
{
	char text[32];

	snprintf(text, sizeof text, "%" PRId64, value);
	sk_reply_header(r, name, text);
}

/*
 * Times as TGI writes them: milliseconds, but x-compute-time in seconds since its version 3. Validation is what was neither queue nor
 * inference: reading the body, tokenising, and the way to and from the engine.
 */
static void add_times(struct sk_request *r, const struct sk_event *ev)
{
	int64_t total = sk_now_us() - r->arrived_us;
	int64_t queue = ev->finish.queue_us, inference = ev->finish.inference_us;
	int64_t validation = total - queue - inference;
	uint32_t n = ev->finish.generated_tokens;
	const struct sk_dialect *d = sk_request_dialect(r);
	char seconds[32];

	snprintf(seconds, sizeof seconds, "%.6f", (double)total * 1e-6);
	if (d->time_in_ms)
		header_int(r, "x-compute-time", total / 1000);
	else
		sk_reply_header(r, "x-compute-time", seconds);
	header_int(r, "x-total-time", total / 1000);
	header_int(r, "x-validation-time", validation > 0 ? validation / 1000 : 0);
	header_int(r, "x-queue-time", queue / 1000);
	header_int(r, "x-inference-time", inference / 1000);
	header_int(r, "x-time-per-token", n ? inference / n / 1000 : 0);
	if (!d->token_headers)
		return;
	header_int(r, "x-prompt-tokens", ev->finish.prompt_tokens);
	header_int(r, "x-generated-tokens", n);
}

/* TGI's rule: the highest mean log-probability; the first of equals. */
static const struct answer *best_answer(const struct reply *reply)
{
	const struct answer *best = &reply->answers[0];

	for (uint32_t i = 1; i < reply->answers_len; i++) {
		const struct answer *a = &reply->answers[i];

		if (a->logprob / a->end.finish.generated_tokens > best->logprob / best->end.finish.generated_tokens)
			best = a;
	}
	return best;
}

static void add_kept(struct sk_buf *b, const char *before, const struct sk_kept *t, const char *after)
{
	sk_buf_adds(b, before);
	if (t->len)
		sk_buf_add(b, t->s, t->len);
	sk_buf_adds(b, after);
}

/* Members of an answer's details; with `others`, those that were not chosen before the last of them. */
static void add_answer(struct sk_buf *b, const struct reply *reply, const struct answer *a, bool others)
{
	const char *comma = "";

	add_outcome(b, &a->end);
	sk_buf_adds(b, ",\"prefill\":");
	add_kept(b, reply->prefill_tokens.len ? "" : "[]", &reply->prefill_tokens, ",\"tokens\":[");
	add_kept(b, "", &a->tokens, "]");
	if (others) {
		sk_buf_adds(b, ",\"best_of_sequences\":[");
		for (uint32_t i = 0; i < reply->answers_len; i++) {
			if (&reply->answers[i] == a)
				continue;
			sk_buf_adds(b, comma);
			add_kept(b, "{\"generated_text\":", &reply->answers[i].text, ",");
			add_answer(b, reply, &reply->answers[i], false);
			sk_buf_addc(b, '}');
			comma = ",";
		}
		sk_buf_addc(b, ']');
	}
	if (a->top_tokens.len)
		add_kept(b, ",\"top_tokens\":[", &a->top_tokens, "]");
}

static void object_finish(struct sk_request *r, struct reply *reply, const struct sk_event *ev)
{
	struct sk_buf *b = &r->out;
	bool list = reply->shape == SK_TGI_COMPAT;
	struct answer *own = &reply->answers[ev->seq];
	const struct answer *a;

	own->end = *ev;
	own->end.finish.text = NULL;
	add_generated_text(b, reply, ev);
	keep(r, &own->text);
	if (ev->left > 0)
		return;
	if (reply->broken) {
		sk_reply_status(r, SK_ENOMEM, NULL);
		return;
	}
	a = best_answer(reply);
	add_kept(b, list ? "[{\"generated_text\":" : "{\"generated_text\":", &a->text, "");
	if (reply->details) {
		sk_buf_adds(b, ",\"details\":{");
		add_answer(b, reply, a, reply->answers_len > 1);
		sk_buf_addc(b, '}');
	}
	sk_buf_adds(b, list ? "}]" : "}");
	if (b->failed) {
		sk_reply_status(r, SK_ENOMEM, NULL);
		return;
	}
	add_times(r, &a->end);
	sk_reply_out(r, 200, "application/json");
}

static void object_event(struct sk_request *r, const struct sk_event *ev)
{
	struct reply *reply = r->render_state;

	switch (ev->type) {
	case SK_EVENT_PREFILL:
		if (reply->prefill) {
			add_list(&r->out, ev->prefill.tokens, ev->prefill.tokens_len, true);
			keep(r, &reply->prefill_tokens);
		}
		break;
	case SK_EVENT_TOKEN:
		object_token(r, reply, ev);
		break;
	case SK_EVENT_FINISH:
		object_finish(r, reply, ev);
		break;
	case SK_EVENT_FAIL:
		fail(r, ev);
		break;
	}
}

static const struct sk_render object_render = { .event = object_event };

/* ---- from one to the other ---------------------------------------------------------------------------------- */

/* Strings as the engine takes them, in the arena. */
static bool take_stop(struct sk_request *r, const struct sk_field_value *v, struct sk_gen_params *p)
{
	const char **stop = sk_arena_take(&r->arena, v->strs.len * sizeof *stop + 1);
	size_t *bytes = sk_arena_take(&r->arena, v->strs.len * sizeof *bytes + 1);

	if (!stop || !bytes) {
		sk_reply_status(r, SK_ENOMEM, NULL);
		return false;
	}
	for (size_t i = 0; i < v->strs.len; i++) {
		if (!v->strs.items[i].len) {
			sk_reply_error(r, 422, "validation", "Input validation error: `stop` sequences cannot be empty");
			return false;
		}
		stop[i] = v->strs.items[i].s;
		bytes[i] = v->strs.items[i].len;
	}
	p->stop = stop;
	p->stop_bytes = bytes;
	p->stop_len = v->strs.len;
	return true;
}

/* 0 is taken as 1, as TGI does. */
static uint32_t answers_of(const struct sk_tgi_values *v)
{
	return v->best_of.u > 1 ? (uint32_t)v->best_of.u : 1;
}

/* Everything but strings. */
static struct sk_gen_params params_of(const struct sk_tgi_values *v, const struct sk_dialect *d, bool prefill)
{
	struct sk_gen_params p = SK_GEN_PARAMS_INIT;

	p.prompt = v->inputs.str.s;
	p.prompt_len = v->inputs.str.len;
	p.n = answers_of(v);
	p.max_new_tokens = v->max_new_tokens.set ? (uint32_t)v->max_new_tokens.u : (uint32_t)d->new_tokens;
	p.do_sample = v->do_sample.set ? v->do_sample.yes : d->sample_bare && !v->parameters.set;
	p.tgi_text = d->tgi_text;
	p.rng = d->rng;
	if (v->temperature.set)
		p.temperature = v->temperature.f;
	if (v->repetition_penalty.set)
		p.repetition_penalty = v->repetition_penalty.f;
	*(d->frequency_share ? &p.frequency_share : &p.frequency_penalty) = v->frequency_penalty.f;
	p.presence_penalty = v->presence_penalty.f;
	p.bias = v->logit_bias.bias.items;
	p.bias_len = v->logit_bias.bias.len;
	p.min_p = v->min_p.f;
	p.watermark = v->watermark.yes;
	p.top_k = (int32_t)v->top_k.i;
	if (v->top_p.set)
		p.top_p = v->top_p.f;
	if (v->typical_p.set)
		p.typical_p = v->typical_p.f;
	p.seed = v->seed.u;
	p.has_seed = v->seed.set;
	p.truncate = (uint32_t)v->truncate.u;
	p.top_n_tokens = (uint32_t)v->top_n_tokens.u;
	p.prompt_logprobs = v->decoder_input_details.yes && prefill;
	p.ignore_eos = v->ignore_eos.yes;
	p.one_eos = d->one_eos;
	return p;
}

static void add_compute_headers(struct sk_request *r, const struct sk_tgi_values *v, const struct sk_info *info)
{
	const char *type = r->front->options->compute_type;
	char text[64];

	if (!type || !*type)
		type = sk_request_dialect(r)->compute;
	snprintf(text, sizeof text, "%s+optimized", info->backend);
	sk_reply_header(r, "x-compute-type", type ? type : text);
	header_int(r, "x-compute-characters", (int64_t)sk_utf8_count(v->inputs.str.s, v->inputs.str.len));
}

/* What a stream cannot do; refused before permits are taken. */
static const char *stream_fault(const struct sk_tgi_values *v)
{
	if (v->best_of.set && v->best_of.u != 1)
		return "Input validation error: `best_of` != 1 is not supported when streaming tokens";
	if (v->decoder_input_details.yes)
		return "Input validation error: `decoder_input_details` == true is not supported when streaming tokens";
	return NULL;
}

/* Where no more than one answer is allowed; before permits are taken. Otherwise the table says what is. */
static const char *best_of_fault(const struct sk_tgi_values *v, const struct sk_options *o)
{
	return v->best_of.u > 1 && o->max_best_of == 1 ? "Input validation error: `best_of` != 1 is not allowed for this endpoint" : NULL;
}

/* Of several answers, each must be a draw. It is the members that count, whatever they say. The first check behind permits. */
static const char *sampling_fault(const struct sk_tgi_values *v)
{
	bool samples = v->do_sample.yes || v->temperature.set || v->top_k.set || v->top_p.set || v->typical_p.set || v->min_p.set;

	return answers_of(v) > 1 && !samples ? "Input validation error: you must use sampling when `best_of` is > 1" : NULL;
}

/* The renderer's state, with a copy of what outlives the body. */
static struct reply *take_reply(struct sk_request *r, const struct sk_tgi_values *v, enum sk_tgi_shape shape)
{
	const char *tag = r->front->options->pipeline_tag;
	bool full = v->return_full_text.set ? v->return_full_text.yes
					    : shape == SK_TGI_COMPAT && tag && !strcmp(tag, "text-generation");
	struct reply *reply = sk_arena_take(&r->arena, sizeof *reply);

	if (!reply)
		return NULL;
	reply->shape = shape;
	reply->prefill = v->decoder_input_details.yes;
	reply->details = v->details.yes || reply->prefill;
	reply->top = v->top_n_tokens.u > 0;
	reply->answers_len = answers_of(v);
	reply->answers = sk_arena_take(&r->arena, reply->answers_len * sizeof *reply->answers);
	if (!reply->answers)
		return NULL;
	if (full) {
		reply->full = sk_arena_strndup(&r->arena, v->inputs.str.s, v->inputs.str.len);
		reply->full_len = v->inputs.str.len;
		if (!reply->full)
			return NULL;
	}
	return reply;
}

void sk_tgi_generate(struct sk_request *r, struct json_object *body, enum sk_tgi_shape shape)
{
	uint64_t limits[SK_LIMITS] = { 0 };
	size_t fields_len;
	const struct sk_field *fields = sk_tgi_fields(&fields_len);
	struct sk_err err = { 0 };
	struct sk_info info;
	struct sk_tgi_values v;
	struct sk_gen_params p;
	struct reply *reply;
	const struct sk_dialect *d = sk_request_dialect(r);
	const char *fault;
	bool stream;
	sk_status st;

	st = sk_schema_read(fields, fields_len, body, d->knows, &v, &r->arena, &err);
	if (st < 0) {
		sk_reply_types(r, st, &err);
		return;
	}
	r->generates = true;
	stream = shape == SK_TGI_EVENTS || (shape == SK_TGI_COMPAT && v.stream.yes);
	r->late_errors = stream && d->late_errors;
	fault = stream ? stream_fault(&v) : best_of_fault(&v, r->front->options);
	if (fault) {
		sk_reply_error(r, 422, "validation", fault);
		return;
	}
	sk_engine_info(r->front->engine, &info);
	limits[SK_LIMIT_BEST_OF] = (uint64_t)r->front->options->max_best_of;
	limits[SK_LIMIT_STOP] = (uint64_t)r->front->options->max_stop_sequences;
	limits[SK_LIMIT_TOP_N] = (uint64_t)r->front->options->max_top_n_tokens;
	limits[SK_LIMIT_INPUT] = info.input_tokens_max;
	st = sk_schema_check(fields, fields_len, &v, limits, true, &err);
	if (st < 0) {
		sk_reply_status(r, st, &err);
		return;
	}
	limits[SK_LIMIT_SEED] = answers_of(&v) == 1;
	if (!sk_request_permits(r, (int)answers_of(&v)))
		return;
	fault = sampling_fault(&v);
	if (fault) {
		sk_reply_error(r, 422, "validation", fault);
		return;
	}
	st = sk_schema_check(fields, fields_len, &v, limits, false, &err);
	if (st < 0) {
		sk_reply_status(r, st, &err);
		return;
	}
	p = params_of(&v, d, !d->prefill_asked || r->front->options->enable_prefill_logprobs);
	if (!take_stop(r, &v.stop, &p))
		return;
	reply = take_reply(r, &v, shape);
	if (!reply) {
		sk_reply_status(r, SK_ENOMEM, NULL);
		return;
	}
	add_compute_headers(r, &v, &info);
	sk_request_generate(r, &p, stream, stream ? &stream_render : &object_render, reply);
}

/* ---- routes ------------------------------------------------------------------------------------------------- */

void sk_api_generate(struct sk_request *r, struct json_object *body)
{
	sk_tgi_generate(r, body, SK_TGI_OBJECT);
}

void sk_api_generate_stream(struct sk_request *r, struct json_object *body)
{
	sk_tgi_generate(r, body, SK_TGI_EVENTS);
}

void sk_api_compat(struct sk_request *r, struct json_object *body)
{
	sk_tgi_generate(r, body, SK_TGI_COMPAT);
}
