/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The books about requests. Everything runs on the loop, some of it once a token: no I/O but the one line in the log at the
 * end, which never waits.
 */
#include "fcgi/watch.h"

#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "engine/base/clock.h"
#include "engine/base/log.h"
#include "engine/base/rand.h"
#include "fcgi/keys.h"
#include "fcgi/metrics.h"
#include "fcgi/route.h"
#include "fcgi/share.h"

/* Bytes of what others say that a line may hold; escaped, all of them together stay below a line's limit. */
#define PATH_MAX_LOGGED 160
#define NAME_MAX_LOGGED 64
#define PROMPT_MAX_LOGGED 256

/* ---- the id, the list --------------------------------------------------------------------------------------- */

bool sk_watch_id_ok(const char *id)
{
	size_t len = strspn(id, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._:=+@-");

	return len >= 1 && len <= SK_REQUEST_ID_MAX && !id[len];
}

static bool is_taken(const struct sk_front *f, const char *id)
{
	for (const struct sk_request *r = f->requests; r; r = r->older)
		if (strcmp(r->id, id) == 0)
			return true;
	return false;
}

void sk_watch_begin(struct sk_request *r)
{
	struct sk_front *f = r->front;
	const char *wish = sk_request_param(r, "HTTP_X_REQUEST_ID");
	struct sk_stats stats;

	/* 128 bits that nobody can guess: where there are no API keys, knowing an id is the right to cancel its request. */
	if (wish && sk_watch_id_ok(wish) && !is_taken(f, wish))
		memcpy(r->id, wish, strlen(wish) + 1);
	else
		snprintf(r->id, sizeof r->id, "%016" PRIx64 "%016" PRIx64, sk_rand_seed(), sk_rand_seed());
	sk_reply_header(r, "x-request-id", r->id);
	r->client = sk_request_client(r);
	r->key = SK_KEY_NONE;
	r->state = SK_REQUEST_ARRIVED;
	r->bytes_in = r->body_len;
	sk_engine_stats(f->engine, &stats);
	r->wait_us = (int64_t)(1e6 * sk_backlog_wait(&f->backlog, stats.running, stats.waiting,
						    (uint64_t)stats.blocks_free * f->backlog.block_tokens));
	r->older = f->requests;
	if (r->older)
		r->older->younger = r;
	f->requests = r;
}

/* Its generation is at its end: what is left of it will not be calculated. */
static void settle(struct sk_request *r)
{
	const struct sk_outcome *o = &r->outcome;

	if (!r->under_way)
		return;
	r->under_way = false;
	sk_backlog_end(&r->front->backlog, o->generated_tokens ? (int64_t)o->prompt_tokens + o->generated_tokens : 0, r->owed,
		       sk_now_us());
}

static void did(struct sk_request *r, int64_t tokens)
{
	r->owed -= tokens;
	sk_backlog_did(&r->front->backlog, tokens, sk_now_us());
}

void sk_watch_fini(struct sk_request *r)
{
	if (!r->id[0])
		return;
	settle(r);
	if (r->streaming)
		sk_metrics_add(r->front->metrics, SK_M_STREAMS, 0, -1);
	if (r->younger)
		r->younger->older = r->older;
	else
		r->front->requests = r->older;
	if (r->older)
		r->older->younger = r->younger;
	r->id[0] = '\0';
}

/* ---- on the way --------------------------------------------------------------------------------------------- */

void sk_watch_refused(struct sk_request *r)
{
	r->unworked = true;
	r->generates = r->route && (r->route->flags & SK_ROUTE_GENERATE);
}

static void count_key(struct sk_request *r, enum sk_metric id, int64_t n)
{
	if (r->key != SK_KEY_NONE)
		sk_metrics_add(r->front->metrics, id, r->key, n);
}

void sk_watch_worked(struct sk_request *r)
{
	struct sk_metrics *m = r->front->metrics;

	r->state = r->gen ? SK_REQUEST_QUEUED : SK_REQUEST_ENDING;
	if (r->generates) {
		sk_metrics_add(m, SK_M_REQUESTS, 0, 1);
		count_key(r, SK_M_KEY_REQUESTS, 1);
	}
	if (!r->gen)
		return;
	r->outcome.prompt_tokens = r->prompt_tokens;
	r->under_way = true;
	r->owed = (int64_t)r->outcome.prompt_tokens + (int64_t)r->sequences * r->max_new_tokens;
	sk_backlog_accept(&r->front->backlog, r->owed, sk_now_us());
	sk_metrics_observe(m, SK_M_INPUT_LENGTH, 0, r->outcome.prompt_tokens);
	sk_metrics_observe(m, SK_M_MAX_NEW_TOKENS, 0, r->max_new_tokens);
	count_key(r, SK_M_KEY_PROMPT, r->outcome.prompt_tokens);
	if (r->stream) {
		r->streaming = true;
		sk_metrics_add(m, SK_M_STREAMS, 0, 1);
	}
}

void sk_watch_event(struct sk_request *r, const struct sk_event *ev)
{
	struct sk_outcome *o = &r->outcome;

	switch (ev->type) {
	case SK_EVENT_PREFILL:
		/* Of several prompts the first stands for all: they are worked on together. */
		if (!ev->seq)
			did(r, o->prompt_tokens);
		break;
	case SK_EVENT_TOKEN:
		did(r, 1);
		r->state = SK_REQUEST_RUNNING;
		if (!o->generated_tokens++) {
			o->first_us = sk_now_us();
			sk_metrics_observe(r->front->metrics, SK_M_FIRST_TOKEN_TIME, 0, (uint64_t)(o->first_us - r->arrived_us));
		}
		break;
	case SK_EVENT_FINISH:
		if (ev->left > 0)
			break;
		o->finished = true;
		o->reason = ev->finish.reason;
		o->seed = ev->finish.seed;
		o->has_seed = ev->finish.has_seed;
		o->queue_us = ev->finish.queue_us;
		o->inference_us = ev->finish.inference_us;
		o->ended_us = sk_now_us();
		r->state = SK_REQUEST_ENDING;
		settle(r);
		break;
	case SK_EVENT_FAIL:
		r->state = SK_REQUEST_ENDING;
		settle(r);
		break;
	}
}

void sk_watch_late(struct sk_request *r)
{
	r->late = true;
	r->state = SK_REQUEST_ENDING;
	settle(r);
}

/* Whose booking a refusal is. Where shares are off there are clients all the same. */
static uint64_t client_of(const struct sk_request *r)
{
	uint64_t client = r->share;
	uint32_t weight;

	if (!client)
		sk_share_of("key", NULL, sk_keys_name(r->front->keys, r->key), sk_request_param(r, "REMOTE_USER"), r->client, &client,
			    &weight);
	return client;
}

void sk_watch_retry(struct sk_request *r)
{
	struct sk_front *f = r->front;
	struct sk_backlog *b = &f->backlog;
	bool asks_only = r->route && (r->route->flags & SK_ROUTE_OPEN);
	double from_s = 0, per_s = (double)f->options->max_concurrent_requests;
	int64_t now = sk_now_us();
	struct sk_stats stats;
	char text[16];

	sk_engine_stats(f->engine, &stats);
	if (stats.state == SK_STATE_LOADING) {
		from_s = sk_backlog_load_left(b, stats.load_done_bytes, stats.load_total_bytes, now);
	} else if (stats.state != SK_STATE_READY || (asks_only && atomic_load(&f->draining))) {
		from_s = sk_backlog_restart(b, now);
	} else if (r->unworked) {
		per_s = sk_backlog_works(b);
	} else {
		per_s = sk_backlog_places(b);
		/* Refused for its deadline: the queue must have become shorter than that. */
		if (r->wait_us > r->timeout_ms * 1000 && r->timeout_ms)
			from_s = (double)(r->wait_us - r->timeout_ms * 1000) * 1e-6;
	}
	snprintf(text, sizeof text, "%d", asks_only ? sk_backlog_clamp(from_s) :
		 sk_backlog_book(b, client_of(r), from_s, per_s, now));
	sk_reply_header(r, "retry-after", text);
}

void sk_watch_sent(struct sk_request *r, size_t bytes)
{
	r->bytes_out += bytes;
	sk_metrics_add(r->front->metrics, SK_M_SENT, 0, (int64_t)bytes);
}

/* ---- the numbers at the end --------------------------------------------------------------------------------- */

/* Which value of tgi_request_failure's label an error is. */
static const char *failure_of(const char *error_type)
{
	static const struct { const char *type, *err; } rows[] = {
		{ "overloaded", "overloaded" }, { "validation", "validation" }, { "generation", "generation" },
		{ "incomplete_generation", "incomplete" }, { "internal", "generation" }, { "deadline", "incomplete" },
	};

	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
		if (strcmp(rows[i].type, error_type) == 0)
			return rows[i].err;
	return "unavailable";
}

/* Of one answer: those of a request come side by side. */
static int64_t time_per_token(const struct sk_request *r)
{
	const struct sk_outcome *o = &r->outcome;

	return o->generated_tokens ? o->inference_us * r->sequences / o->generated_tokens : 0;
}

static void count_success(struct sk_request *r)
{
	const struct sk_outcome *o = &r->outcome;
	struct sk_metrics *m = r->front->metrics;

	sk_metrics_add(m, SK_M_SUCCESS, 0, 1);
	sk_metrics_observe(m, SK_M_DURATION, 0, (uint64_t)(o->ended_us - r->arrived_us));
	sk_metrics_observe(m, SK_M_VALIDATION_TIME, 0, (uint64_t)(r->submitted_us - r->arrived_us));
	sk_metrics_observe(m, SK_M_QUEUE_TIME, 0, (uint64_t)o->queue_us);
	sk_metrics_observe(m, SK_M_INFERENCE_TIME, 0, (uint64_t)o->inference_us);
	sk_metrics_observe(m, SK_M_TOKEN_TIME, 0, (uint64_t)time_per_token(r));
	sk_metrics_observe(m, SK_M_GENERATED, 0, o->generated_tokens);
	sk_metrics_observe(m, SK_M_SKIPPED, 0, 0);
}

static void count_generation(struct sk_request *r, bool whole)
{
	struct sk_metrics *m = r->front->metrics;
	const char *err = !whole ? "dropped" : r->error_type ? failure_of(r->error_type) : NULL;
	const char *by = r->late ? "deadline" : !whole ? "client" : r->cancelled ? "api" : "drain";

	count_key(r, SK_M_KEY_GENERATED, r->outcome.generated_tokens);
	if (!err) {
		count_success(r);
		return;
	}
	sk_metrics_add(m, SK_M_FAILURE, sk_metrics_label(SK_M_FAILURE, err), 1);
	count_key(r, SK_M_KEY_FAILURES, 1);
	if (r->submitted_us && (!whole || strcmp(err, "incomplete") == 0))
		sk_metrics_add(m, SK_M_CANCELLATIONS, sk_metrics_label(SK_M_CANCELLATIONS, by), 1);
}

static void count(struct sk_request *r, bool whole)
{
	struct sk_metrics *m = r->front->metrics;

	if (whole && r->status >= 200 && r->status < 600)
		sk_metrics_add(m, SK_M_ANSWERS, r->status / 100 - 2, 1);
	if (r->generates)
		count_generation(r, whole);
	if (whole && r->error_type && !r->submitted_us && strcmp(r->error_type, "healthcheck") != 0)
		sk_metrics_add(m, SK_M_REFUSALS, sk_metrics_label(SK_M_REFUSALS, r->refusal ? r->refusal : r->error_type), 1);
}

/* ---- the line ----------------------------------------------------------------------------------------------- */

static enum sk_log_level level_of(const struct sk_request *r)
{
	bool health = r->route && (r->route->flags & SK_ROUTE_OPEN);

	if (health || (!r->generates && r->status < 400))
		return SK_LOG_DEBUG;
	return r->status >= 500 ? SK_LOG_WARN : SK_LOG_INFO;
}

struct line { struct sk_log_field f[30]; size_t len; };

static void put_str(struct line *l, const char *name, const char *s, size_t max)
{
	if (s && *s && !SK_BUG_IF(l->len == sizeof l->f / sizeof *l->f))
		l->f[l->len++] = (struct sk_log_field){ .name = name, .type = SK_LOG_STR, .s = s, .max = max };
}

static void put_int(struct line *l, const char *name, int64_t i)
{
	if (!SK_BUG_IF(l->len == sizeof l->f / sizeof *l->f))
		l->f[l->len++] = (struct sk_log_field){ .name = name, .type = SK_LOG_INT, .i = i };
}

static void put_ms(struct line *l, const char *name, int64_t us)
{
	put_int(l, name, us);
	l->f[l->len - 1].type = SK_LOG_MS;
}

static void put_generation(struct line *l, const struct sk_request *r, int64_t now)
{
	static const char *const reasons[] = { [SK_FINISH_LENGTH] = "length", [SK_FINISH_EOS] = "eos_token",
					       [SK_FINISH_STOP] = "stop_sequence" };
	const struct sk_outcome *o = &r->outcome;

	put_int(l, "prompt_tokens", o->prompt_tokens);
	put_int(l, "generated_tokens", o->generated_tokens);
	put_int(l, "max_new_tokens", r->max_new_tokens);
	if (r->sequences > 1)
		put_int(l, "sequences", r->sequences);
	put_ms(l, "validation_ms", r->submitted_us - r->arrived_us);
	if (o->first_us)
		put_ms(l, "first_token_ms", o->first_us - r->arrived_us);
	if (!o->finished) {
		put_ms(l, "since_queued_ms", now - r->submitted_us);
		return;
	}
	put_ms(l, "queue_ms", o->queue_us);
	put_ms(l, "inference_ms", o->inference_us);
	put_ms(l, "time_per_token_ms", time_per_token(r));
	put_str(l, "finish_reason", reasons[o->reason], NAME_MAX_LOGGED);
	if (o->has_seed && r->sequences == 1) {
		put_int(l, "seed", (int64_t)o->seed);
		l->f[l->len - 1].type = SK_LOG_U64;
	}
}

/* The path as it came, still encoded and without the query: a query may hold what is nobody's business. */
static const char *path_of(const struct sk_request *r, size_t *ret_len)
{
	const char *uri = sk_request_uri(r);

	if (!uri || (*uri != '/' && r->path))
		uri = r->path;
	*ret_len = strcspn(uri, "?");
	if (*ret_len > PATH_MAX_LOGGED)
		*ret_len = PATH_MAX_LOGGED;
	return uri;
}

static void write_line(const struct sk_request *r, enum sk_watch_how how)
{
	static const char *const hows[] = { NULL, "client left", "reader too slow", "server stopped", "no memory" };
	int64_t now = sk_now_us();
	struct line l = { .len = 0 };
	size_t path_len;
	const char *path = path_of(r, &path_len);

	put_str(&l, "id", r->id, NAME_MAX_LOGGED);
	put_str(&l, "method", r->method, 16);
	put_str(&l, "path", path, path_len);
	if (r->status)
		put_int(&l, "status", r->status);
	put_str(&l, "error", r->error_type, NAME_MAX_LOGGED);
	put_str(&l, "end", hows[how], NAME_MAX_LOGGED);
	put_str(&l, "client", r->client, NAME_MAX_LOGGED);
	put_str(&l, "user", sk_request_param(r, "REMOTE_USER"), NAME_MAX_LOGGED);
	put_str(&l, "key", sk_keys_name(r->front->keys, r->key), NAME_MAX_LOGGED);
	if (r->timeout_ms)
		put_int(&l, "timeout_ms", r->timeout_ms);
	put_int(&l, "bytes_in", (int64_t)r->bytes_in);
	put_int(&l, "bytes_out", (int64_t)r->bytes_out);
	put_ms(&l, "total_ms", now - r->arrived_us);
	if (r->submitted_us)
		put_generation(&l, r, now);
	put_str(&l, "prompt", r->prompt, PROMPT_MAX_LOGGED);
	sk_log_fields(level_of(r), "request", l.f, l.len);
}

void sk_watch_end(struct sk_request *r, enum sk_watch_how how)
{
	count(r, how == SK_WATCH_WHOLE);
	if (sk_log_wanted(level_of(r)))
		write_line(r, how);
}
