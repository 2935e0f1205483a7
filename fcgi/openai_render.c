/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Answers of OpenAI's API: one object, or chunks. Runs on the loop, once a token.
 *
 * A stop string is not in the text. The engine gives a token once no stop string can begin in it, or at the end; so a stream holds back what
 * one may begin with, and FINISH says what of it stays.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "config.h"
#include "engine/base/utf8.h"
#include "fcgi/json.h"
#include "fcgi/kept.h"
#include "fcgi/openai.h"

/* One of the answers. owner: with its request. */
struct choice {
	struct sk_kept text;            /* a stream: held back; else the JSON string */
	size_t sent;                    /* bytes of a stream's text that are out */
	/* items of lists, not yet given: chat has the first alone */
	struct sk_kept tokens, token_logprobs, top_logprobs, offsets;
	size_t chars;                   /* of the text so far */
	const char *reason;
};

struct reply {
	struct sk_openai_shape shape;
	bool tgi;
	bool broken;                    /* the arena is out of memory */
	char id[SK_REQUEST_ID_MAX + 16];
	char system[80];
	int64_t created;
	uint32_t prompt_tokens, generated_tokens;
	struct choice *choices;         /* n of the first prompt, n of the second ... */
	uint32_t choices_len;
};

void *sk_openai_reply(struct sk_request *r, const struct sk_openai_shape *shape)
{
	struct reply *reply = sk_arena_take(&r->arena, sizeof *reply);
	struct sk_info info;

	if (!reply)
		return NULL;
	reply->shape = *shape;
	reply->tgi = sk_request_dialect(r)->knows != SK_KNOWS_SAKER;
	reply->created = (int64_t)time(NULL);
	reply->choices_len = shape->n * shape->prompts;
	reply->choices = sk_arena_take(&r->arena, reply->choices_len * sizeof *reply->choices);
	if (!reply->choices)
		return NULL;
	sk_engine_info(r->front->engine, &info);
	if (!reply->tgi)
		snprintf(reply->id, sizeof reply->id, "%s-%s", shape->chat ? "chatcmpl" : "cmpl", r->id);
	snprintf(reply->system, sizeof reply->system, PACKAGE_VERSION "-%s", reply->tgi ? "native" : info.backend);
	return reply;
}

/* ---- pieces ------------------------------------------------------------------------------------------------- */

static void add_str(struct sk_buf *b, const char *s)
{
	sk_json_add_str(b, s, strlen(s));
}

/* Move what was appended to r->out behind `from` into k. */
static void keep(struct sk_request *r, size_t from, struct sk_kept *k)
{
	struct reply *reply = r->render_state;

	if (r->out.failed || !sk_kept_add(k, &r->arena, r->out.data + from, r->out.len - from))
		reply->broken = true;
	else
		r->out.len = from;
}

static void add_kept(struct sk_buf *b, const char *before, const struct sk_kept *k, const char *after)
{
	sk_buf_adds(b, before);
	if (k->len)
		sk_buf_add(b, k->s, k->len);
	sk_buf_adds(b, after);
}

/* Everything before the first choice. */
static void add_head(struct sk_request *r, const struct reply *reply)
{
	const struct sk_openai_shape *s = &reply->shape;
	struct sk_buf *b = &r->out;

	sk_buf_addf(b, "%s{\"id\":", s->stream ? "data: " : "");
	add_str(b, reply->id);
	sk_buf_addf(b, ",\"object\":\"%s\",\"created\":%" PRId64 ",\"model\":", !s->chat ? "text_completion" : s->stream ?
		    "chat.completion.chunk" : "chat.completion", reply->tgi ? (int64_t)time(NULL) : reply->created);
	add_str(b, s->model);
	sk_buf_adds(b, ",\"system_fingerprint\":");
	add_str(b, reply->system);
	sk_buf_adds(b, ",\"choices\":[");
}

static void add_usage(struct sk_buf *b, const struct reply *reply)
{
	sk_buf_addf(b, ",\"usage\":{\"prompt_tokens\":%" PRIu32 ",\"completion_tokens\":%" PRIu32 ",\"total_tokens\":%" PRIu64 "}",
		    reply->prompt_tokens, reply->generated_tokens, (uint64_t)reply->prompt_tokens + reply->generated_tokens);
}

static void fail(struct sk_request *r, sk_status st, const char *text)
{
	struct sk_err err = { .status = st };

	snprintf(err.text, sizeof err.text, "%s", text ? text : "");
	sk_reply_status(r, st, &err);
}

/* ---- log-probabilities -------------------------------------------------------------------------------------- */

/* {"token":"a","logprob":-0.5,"bytes":[97]: the closing brace is the caller's. */
static void add_token(struct sk_buf *b, const struct sk_event_token *t, bool bytes)
{
	sk_buf_adds(b, "{\"token\":");
	sk_json_add_str(b, t->text, t->text_len);
	sk_buf_adds(b, ",\"logprob\":");
	sk_json_add_f32(b, t->logprob);
	if (!bytes)
		return;
	sk_buf_adds(b, ",\"bytes\":[");
	for (size_t i = 0; i < t->text_len; i++)
		sk_buf_addf(b, "%s%u", i ? "," : "", (unsigned)(unsigned char)t->text[i]);
	sk_buf_addc(b, ']');
}

/* Ties are among the engine's; no more are given than were asked for. */
static size_t top_len(const struct reply *reply, size_t len)
{
	return len < reply->shape.top_n ? len : reply->shape.top_n;
}

static void chat_logprob(struct sk_request *r, struct choice *c, const struct sk_event_token *t, const struct sk_event_token *top, size_t len)
{
	struct reply *reply = r->render_state;
	struct sk_buf *b = &r->out;
	size_t from = b->len;

	if (c->tokens.len)
		sk_buf_addc(b, ',');
	add_token(b, t, !reply->tgi);
	sk_buf_adds(b, ",\"top_logprobs\":[");
	for (size_t i = 0; i < top_len(reply, len); i++) {
		sk_buf_adds(b, i ? "," : "");
		add_token(b, &top[i], !reply->tgi);
		sk_buf_addc(b, '}');
	}
	sk_buf_adds(b, "]}");
	keep(r, from, &c->tokens);
}

static bool same_text(const struct sk_event_token *a, const struct sk_event_token *b)
{
	return a->text_len == b->text_len && !memcmp(a->text, b->text, a->text_len);
}

/* {"a":-0.5,"b":-1.5}: of those that read the same the likeliest. */
static void add_top_map(struct sk_buf *b, const struct sk_event_token *top, size_t len)
{
	sk_buf_addc(b, '{');
	for (size_t i = 0; i < len; i++) {
		size_t k = 0;

		while (k < i && !same_text(&top[k], &top[i]))
			k++;
		if (k < i)
			continue;
		sk_buf_adds(b, i ? "," : "");
		sk_json_add_str(b, top[i].text, top[i].text_len);
		sk_buf_addc(b, ':');
		sk_json_add_f32(b, top[i].logprob);
	}
	sk_buf_addc(b, '}');
}

/* What was appended behind `from` is an item of a list. */
static void keep_item(struct sk_request *r, size_t from, struct sk_kept *k)
{
	struct reply *reply = r->render_state;

	if (k->len && !sk_kept_add(k, &r->arena, ",", 1))
		reply->broken = true;
	keep(r, from, k);
}

static void text_logprob(struct sk_request *r, struct choice *c, const struct sk_event_token *t, const struct sk_event_token *top, size_t len)
{
	struct reply *reply = r->render_state;
	struct sk_buf *b = &r->out;
	size_t from = b->len;

	sk_json_add_str(b, t->text, t->text_len);
	keep_item(r, from, &c->tokens);
	sk_json_add_f32(b, t->logprob);
	keep_item(r, from, &c->token_logprobs);
	if (reply->shape.top_n) {
		if (top)
			add_top_map(b, top, top_len(reply, len));
		else
			sk_buf_adds(b, "null");
		keep_item(r, from, &c->top_logprobs);
	}
	sk_buf_addf(b, "%zu", c->chars);
	keep_item(r, from, &c->offsets);
	if (!t->special)
		c->chars += sk_utf8_count(t->text, t->text_len);
}

/* The list that was kept, or null where none is asked for; what is written is kept no longer. */
static void add_logprobs(struct sk_buf *b, const struct reply *reply, struct choice *c)
{
	const struct sk_openai_shape *s = &reply->shape;

	sk_buf_adds(b, ",\"logprobs\":");
	if (!s->logprobs || (s->stream && !c->tokens.len)) {
		sk_buf_adds(b, "null");
		return;
	}
	add_kept(b, s->chat ? "{\"content\":[" : "{\"tokens\":[", &c->tokens, "]");
	if (s->chat) {
		sk_buf_adds(b, reply->tgi ? "}" : ",\"refusal\":null}");
	} else {
		add_kept(b, ",\"token_logprobs\":[", &c->token_logprobs, "]");
		add_kept(b, s->top_n ? ",\"top_logprobs\":[" : ",\"top_logprobs\":null", &c->top_logprobs, s->top_n ? "]" : "");
		add_kept(b, ",\"text_offset\":[", &c->offsets, "]}");
	}
	c->tokens.len = c->token_logprobs.len = c->top_logprobs.len = c->offsets.len = 0;
}

static void take_logprob(struct sk_request *r, struct choice *c, const struct sk_event_token *t, const struct sk_event_token *top, size_t len)
{
	struct reply *reply = r->render_state;

	if (!reply->shape.logprobs)
		return;
	if (reply->shape.chat)
		chat_logprob(r, c, t, top, len);
	else
		text_logprob(r, c, t, top, len);
}

/* ---- reasons ------------------------------------------------------------------------------------------------ */

/* TGI's chat calls the end token `stop` and leaves its own word for a stop string; its streams of completions keep both. */
static const char *reason_of(const struct reply *reply, enum sk_finish_reason reason)
{
	if (reason == SK_FINISH_LENGTH)
		return "length";
	if (reason == SK_FINISH_STOP)
		return reply->tgi ? "stop_sequence" : "stop";
	return reply->tgi && !reply->shape.chat && reply->shape.stream ? "eos_token" : "stop";
}

/* ---- a stream ----------------------------------------------------------------------------------------------- */

/* One chunk of choice `seq`. role, text: NULL where the delta has none of it; reason: NULL before the end. */
static void add_chunk(struct sk_request *r, struct reply *reply, uint32_t seq, const char *role, const char *text, size_t len, const char *reason)
{
	struct sk_buf *b = &r->out;
	bool chat = reply->shape.chat;

	add_head(r, reply);
	sk_buf_addf(b, "{\"index\":%" PRIu32 ",%s", seq, chat ? "\"delta\":{" : "\"text\":");
	if (chat && (role || reply->tgi))
		sk_buf_adds(b, "\"role\":\"assistant\"");
	if (chat && text)
		sk_buf_addf(b, "%s\"content\":", role || reply->tgi ? "," : "");
	if (text || !chat)
		sk_json_add_str(b, text ? text : "", len);
	if (chat)
		sk_buf_addc(b, '}');
	add_logprobs(b, reply, &reply->choices[seq]);
	if (reason)
		sk_buf_addf(b, ",\"finish_reason\":\"%s\"}]", reason);
	else
		sk_buf_adds(b, reply->tgi && !chat ? ",\"finish_reason\":\"\"}]" : ",\"finish_reason\":null}]");
	sk_buf_adds(b, reply->shape.usage ? ",\"usage\":null}\n\n" : "}\n\n");
}

/* Where in s the first stop string begins, whole or as far as s goes; len: in no place. */
static size_t stop_at(const struct sk_openai_shape *shape, const char *s, size_t len)
{
	for (size_t i = 0; i < len; i++)
		for (size_t k = 0; k < shape->stop_len; k++) {
			size_t n = len - i < shape->stop_bytes[k] ? len - i : shape->stop_bytes[k];

			if (!memcmp(s + i, shape->stop[k], n))
				return i;
		}
	return len;
}

/* Give the first `len` bytes of what is held back. */
static void send_text(struct sk_request *r, struct reply *reply, uint32_t seq, size_t len)
{
	struct choice *c = &reply->choices[seq];

	if (!len && !c->tokens.len)
		return;
	add_chunk(r, reply, seq, NULL, c->text.s ? c->text.s : "", len, NULL);
	c->sent += len;
	c->text.len -= len;
	if (c->text.len)
		memmove(c->text.s, c->text.s + len, c->text.len);
}

/* The first chunks of a prompt's answers: whose turn it is, or what is said before. */
static void stream_prefill(struct sk_request *r, struct reply *reply, uint32_t first)
{
	const struct sk_openai_shape *s = &reply->shape;

	for (uint32_t i = first; i < first + s->n; i++) {
		if (s->chat && !reply->tgi)
			add_chunk(r, reply, i, "assistant", "", 0, NULL);
		else if (s->echo)
			add_chunk(r, reply, i, NULL, s->echo[i / s->n].s, s->echo[i / s->n].len, NULL);
	}
}

/* A control token's text is not given, but what stands before it is: the end of a character that came to nothing. */
static size_t text_len_of(const struct sk_request *r, const struct sk_event_token *t)
{
	char *own = NULL;
	size_t len = 0, before = 0;

	if (!t->special)
		return t->text_len;
	if (sk_engine_detokenize(r->front->engine, &t->id, 1, false, &own, &len, NULL) == SK_OK && len <= t->text_len &&
	    !memcmp(t->text + t->text_len - len, own, len))
		before = t->text_len - len;
	free(own);
	return before;
}

static void stream_token(struct sk_request *r, struct reply *reply, const struct sk_event *ev)
{
	struct choice *c = &reply->choices[ev->seq];
	const struct sk_event_token *t = &ev->token.t;

	if (!sk_kept_add(&c->text, &r->arena, t->text, text_len_of(r, t)))
		reply->broken = true;
	/* TGI's last token comes with the reason, which is behind it. */
	if (!ev->token.last)
		send_text(r, reply, ev->seq, stop_at(&reply->shape, c->text.s, c->text.len));
}

static void stream_finish(struct sk_request *r, struct reply *reply, const struct sk_event *ev)
{
	struct choice *c = &reply->choices[ev->seq];
	const char *reason = reason_of(reply, ev->finish.reason);
	size_t whole = ev->finish.text_len - ev->finish.stop_bytes, len = c->text.len;

	if (reply->broken) {
		sk_reply_status(r, SK_ENOMEM, NULL);
		return;
	}
	if (ev->finish.stop_bytes && reply->shape.stop_len)
		len = whole <= c->sent ? 0 : whole - c->sent < len ? whole - c->sent : len;
	if (reply->tgi) {
		add_chunk(r, reply, ev->seq, NULL, len ? c->text.s : "", len, reason);
	} else {
		send_text(r, reply, ev->seq, len);
		add_chunk(r, reply, ev->seq, NULL, NULL, 0, reason);
	}
	if (ev->left)
		return;
	if (reply->shape.usage) {
		add_head(r, reply);
		sk_buf_addc(&r->out, ']');
		add_usage(&r->out, reply);
		sk_buf_adds(&r->out, "}\n\n");
	}
	sk_buf_adds(&r->out, "data: [DONE]\n\n");
}

/* ---- one object --------------------------------------------------------------------------------------------- */

static void add_choice(struct sk_buf *b, const struct reply *reply, uint32_t seq)
{
	struct choice *c = &reply->choices[seq];

	sk_buf_addf(b, "%s{\"index\":%" PRIu32 ",", seq ? "," : "", seq);
	if (reply->shape.chat)
		add_kept(b, "\"message\":{\"role\":\"assistant\",\"content\":", &c->text, reply->tgi ? "}" : ",\"refusal\":null}");
	else
		add_kept(b, "\"text\":", &c->text, "");
	add_logprobs(b, reply, c);
	sk_buf_addf(b, ",\"finish_reason\":\"%s\"}", c->reason);
}

static void object_finish(struct sk_request *r, struct reply *reply, const struct sk_event *ev)
{
	struct choice *c = &reply->choices[ev->seq];
	size_t len = ev->finish.text_len - (reply->shape.stop_len ? ev->finish.stop_bytes : 0);
	struct sk_buf *b = &r->out;

	c->reason = reason_of(reply, ev->finish.reason);
	sk_buf_addc(b, '"');
	if (reply->shape.echo)
		sk_buf_add_json(b, reply->shape.echo[ev->seq / reply->shape.n].s, reply->shape.echo[ev->seq / reply->shape.n].len);
	sk_buf_add_json(b, ev->finish.text, len);
	sk_buf_addc(b, '"');
	keep(r, 0, &c->text);
	if (ev->left)
		return;
	if (!reply->broken) {
		add_head(r, reply);
		for (uint32_t i = 0; i < reply->choices_len; i++)
			add_choice(b, reply, i);
		sk_buf_addc(b, ']');
		add_usage(b, reply);
		sk_buf_addc(b, '}');
	}
	if (reply->broken || b->failed)
		sk_reply_status(r, SK_ENOMEM, NULL);
	else
		sk_reply_out(r, 200, "application/json");
}

/* ---- events ------------------------------------------------------------------------------------------------- */

/* With echo the prompt's tokens have log-probabilities, in every answer. */
static void prefill(struct sk_request *r, struct reply *reply, const struct sk_event *ev)
{
	reply->prompt_tokens += ev->prefill.prompt_tokens;
	for (uint32_t k = ev->seq; k < ev->seq + reply->shape.n && reply->shape.echo; k++)
		for (size_t i = 0; i < ev->prefill.tokens_len; i++)
			take_logprob(r, &reply->choices[k], &ev->prefill.tokens[i], NULL, 0);
	if (reply->shape.stream)
		stream_prefill(r, reply, ev->seq);
}

static void event(struct sk_request *r, const struct sk_event *ev)
{
	struct reply *reply = r->render_state;

	switch (ev->type) {
	case SK_EVENT_PREFILL:
		prefill(r, reply, ev);
		break;
	case SK_EVENT_TOKEN:
		/* A control token is no part of the text. */
		if (!ev->token.t.special)
			take_logprob(r, &reply->choices[ev->seq], &ev->token.t, ev->token.top, ev->token.top_len);
		if (reply->shape.stream)
			stream_token(r, reply, ev);
		break;
	case SK_EVENT_FINISH:
		reply->generated_tokens += ev->finish.generated_tokens;
		if (reply->shape.stream)
			stream_finish(r, reply, ev);
		else
			object_finish(r, reply, ev);
		break;
	case SK_EVENT_FAIL:
		fail(r, ev->fail.status, ev->fail.text);
		break;
	}
}

const struct sk_render sk_openai_render = { .event = event };
