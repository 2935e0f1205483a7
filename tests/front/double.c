/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An engine without a model: saker.h, answered by a clock. It is linked with libskfcgi.a in place of the engine, so that the
 * front can be tested at any rate, with any delay and every failure. `saker-double serve ...` is `saker serve`, and `up` likewise.
 *
 * Every 1/rate seconds each running generation gets a token " t0", " t1", ... From the environment:
 *	SAKER_DOUBLE_RATE       tokens a second of each generation, default 50
 *	SAKER_DOUBLE_LOAD_MS    how long LOADING lasts, default 0
 *	SAKER_DOUBLE_LOAD_FAIL  loading ends in FAILED
 *	SAKER_DOUBLE_CLOSE_MS   how long closing the engine takes
 *	SAKER_DOUBLE_SUBMIT_MS  how long submit takes (a worker is busy for so long)
 *	SAKER_DOUBLE_QUEUE      generations at once, default 100000; one more is SK_EOVERLOADED
 *	SAKER_DOUBLE_BATCH      so many of them, the oldest, get tokens; the others wait; default: all
 *	SAKER_DOUBLE_TRACE      a file for one line an occurrence: WHAT ID MONOTONIC_US; what is submit, cancel, end or close
 *	SAKER_DOUBLE_PHASES     generations take turns, this many groups in a period, default 1: all at the same moment
 *	SAKER_DOUBLE_STAMP      a token's text is the time at which the front took it, " MONOTONIC_US", for tests/bench
 * Words in a prompt: "@fail" ends with FAIL after two tokens, "@dead" so and the engine with it, "@wide" makes each token a
 * kilobyte, "@silent" gives no token (only a cancel ends it).
 *
 * One mutex guards everything: this double is for telling the truth, not for speed.
 */
#include <inttypes.h>
#include <math.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "engine/base/buf.h"
#include "engine/base/clock.h"
#include "engine/saker.h"

#define WIDE_BYTES 1024
#define BLOCKS 125000                   /* of 16 tokens, as sk_engine_info() tells */

struct sk_gen {
	struct sk_engine *e;
	uint64_t id;
	uint32_t prompt_tokens, max, blocks;
	bool fails, dead, wide, silent;
	void *user;                     /* the reader's */
	/* under e->lock */
	uint32_t made;                  /* tokens */
	bool prefilled, canceled, done; /* done: FINISH or FAIL is there */
	sk_status status;               /* of done: SK_OK is FINISH */
	bool listed;                    /* waits in the ready list */
	struct sk_gen *prev, *next, *ready_next;
	/* reader's */
	uint32_t read;
	bool read_prefill, read_done;
	struct sk_buf text;
	int64_t begun_us;
};

struct sk_engine {
	pthread_mutex_t lock;
	pthread_cond_t news;            /* a generation moved, or stop */
	pthread_t thread;
	int doorbell, trace;
	int64_t opened_us, load_us, period_us, submit_us;
	uint32_t queue_max, batch_max;
	uint64_t phases, phase;         /* phase: the thread's */
	bool load_fails, stamp, dead;          /* dead: failed for good, after it was ready */
	/* under lock */
	bool stop, refuse;
	struct sk_gen *gens, *youngest, *ready, **ready_end;   /* gens: the oldest first */
	struct sk_stats stats;
	struct sk_meters meters;
	uint64_t ids;
};

static int64_t number_env(const char *name, int64_t otherwise)
{
	const char *value = getenv(name);

	return value && *value ? strtoll(value, NULL, 10) : otherwise;
}

static void trace(const struct sk_engine *e, const char *what, uint64_t id)
{
	char line[96];
	int len;

	if (e->trace < 0)
		return;
	len = snprintf(line, sizeof line, "%s %" PRIu64 " %" PRId64 "\n", what, id, sk_now_us());
	if (write(e->trace, line, (size_t)len) < 0)
		return;                 /* the test will miss the line */
}

static enum sk_engine_state state_of(const struct sk_engine *e)
{
	if (sk_now_us() - e->opened_us < e->load_us)
		return SK_STATE_LOADING;
	return e->load_fails || e->dead ? SK_STATE_FAILED : e->refuse ? SK_STATE_DRAINING : SK_STATE_READY;
}

/* ---- the clock ---------------------------------------------------------------------------------------------- */

static void ring(struct sk_engine *e, struct sk_gen *g)
{
	if (g->listed)
		return;
	g->listed = true;
	g->ready_next = NULL;
	*e->ready_end = g;
	e->ready_end = &g->ready_next;
}

static void end(struct sk_gen *g, sk_status status)
{
	struct sk_engine *e = g->e;

	g->done = true;
	g->status = status;
	e->stats.running--;
	if (status == SK_OK)
		e->stats.finished++;
	else
		e->stats.failed++;
	trace(e, "end", g->id);
}

static void tick(struct sk_engine *e)
{
	uint64_t one = 1;
	uint32_t places = e->batch_max;
	bool any = false;

	e->phase = (e->phase + 1) % e->phases;
	for (struct sk_gen *g = e->gens; g; g = g->next) {
		if (g->done || (!places && !g->canceled))
			continue;
		places -= !g->canceled;
		if ((g->silent && !g->canceled) || g->id % e->phases != e->phase)
			continue;
		any = true;
		ring(e, g);
		if (g->canceled) {
			end(g, SK_ECANCELED);
		} else if (g->fails && g->made == 2) {
			e->dead |= g->dead;
			end(g, SK_EENGINE);
		} else {
			e->meters.joined += !g->prefilled;
			e->meters.joins[1] += !g->prefilled;
			g->prefilled = true;
			if (g->made++)
				sk_times_add(&e->meters.token_gap, e->period_us);
			e->stats.generated_tokens++;
			if (g->made == g->max)
				end(g, SK_OK);
		}
	}
	if (!any)
		return;
	e->stats.steps++;
	pthread_cond_broadcast(&e->news);
	if (write(e->doorbell, &one, sizeof one) < 0)
		return;                 /* full: it is ringing already */
}

static void *run(void *arg)
{
	struct sk_engine *e = arg;
	int64_t next = sk_now_us();

	pthread_mutex_lock(&e->lock);
	while (!e->stop) {
		int64_t now;

		tick(e);
		pthread_mutex_unlock(&e->lock);
		next += e->period_us;
		now = sk_now_us();
		if (next > now)
			usleep((useconds_t)(next - now));
		else
			next = now;
		pthread_mutex_lock(&e->lock);
	}
	pthread_mutex_unlock(&e->lock);
	return NULL;
}

/* ---- the engine --------------------------------------------------------------------------------------------- */

sk_status sk_engine_open(const struct sk_engine_opts *o, struct sk_engine **ret_engine, struct sk_err *err)
{
	struct sk_engine *e = calloc(1, sizeof *e);
	int64_t rate = number_env("SAKER_DOUBLE_RATE", 50);
	const char *path = getenv("SAKER_DOUBLE_TRACE");

	if (!e)
		return sk_fail(err, SK_ENOMEM, "no memory for the double");
	if (rate < 1 || rate > 100000) {
		free(e);
		return sk_fail(err, SK_EINVAL, "SAKER_DOUBLE_RATE is %" PRId64 ", the limits are 1 and 100000", rate);
	}
	pthread_mutex_init(&e->lock, NULL);
	pthread_cond_init(&e->news, NULL);
	e->doorbell = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	e->trace = -1;
	if (path && *path) {
		FILE *f = fopen(path, "ae");

		e->trace = f ? dup(fileno(f)) : -1;
		if (f)
			fclose(f);
	}
	e->ready_end = &e->ready;
	e->stats.blocks_total = e->stats.blocks_free = BLOCKS;
	e->opened_us = sk_now_us();
	e->load_us = number_env("SAKER_DOUBLE_LOAD_MS", 0) * 1000;
	e->load_fails = getenv("SAKER_DOUBLE_LOAD_FAIL") != NULL;
	e->stamp = getenv("SAKER_DOUBLE_STAMP") != NULL;
	e->submit_us = number_env("SAKER_DOUBLE_SUBMIT_MS", 0) * 1000;
	e->queue_max = (uint32_t)number_env("SAKER_DOUBLE_QUEUE", 100000);
	e->batch_max = (uint32_t)number_env("SAKER_DOUBLE_BATCH", UINT32_MAX);
	e->phases = (uint64_t)number_env("SAKER_DOUBLE_PHASES", 1);
	e->phases += e->phases == 0;
	e->period_us = 1000000 / rate / (int64_t)e->phases;
	if (e->doorbell < 0 || pthread_create(&e->thread, NULL, run, e)) {
		free(e);
		return sk_fail(err, SK_ENOMEM, "no thread for the double");
	}
	*ret_engine = e;
	return SK_OK;
}

void sk_engine_info(const struct sk_engine *e, struct sk_info *ret_info)
{
	uint32_t batch = e && e->batch_max < 100000 ? e->batch_max : 100000;

	*ret_info = (struct sk_info){ .model_id = "double", .arch = "double", .backend = "double", .dtype = "float32",
				      .model_dtype = "float32",
				      .input_tokens_max = 1000000, .total_tokens_max = 2000000, .block_tokens = 16,
				      .blocks = BLOCKS, .sequences_max = batch, .threads = 1, .bos_id = -1, .eos_id = -1 };
}

sk_status sk_engine_plan(const struct sk_engine_opts *o, struct sk_info *ret_info, struct sk_err *err)
{
	sk_engine_info(NULL, ret_info);
	return SK_OK;
}

void sk_engine_meters(const struct sk_engine *e, struct sk_meters *ret_meters)
{
	struct sk_engine *w = (struct sk_engine *)e;

	pthread_mutex_lock(&w->lock);
	*ret_meters = e->meters;
	pthread_mutex_unlock(&w->lock);
}

void sk_engine_stats(const struct sk_engine *e, struct sk_stats *ret_stats)
{
	struct sk_engine *w = (struct sk_engine *)e;    /* the lock is no part of what const promises */
	int64_t done;

	pthread_mutex_lock(&w->lock);
	*ret_stats = e->stats;
	if (ret_stats->running > e->batch_max) {
		ret_stats->waiting = ret_stats->running - e->batch_max;
		ret_stats->running = e->batch_max;
	}
	ret_stats->blocks_free = ret_stats->blocks_total = BLOCKS;
	ret_stats->state = state_of(e);
	pthread_mutex_unlock(&w->lock);
	done = sk_now_us() - e->opened_us;
	ret_stats->load_total_bytes = 1000;
	ret_stats->load_done_bytes = done < e->load_us ? (uint64_t)(done * 1000 / e->load_us) : 1000;
	snprintf(ret_stats->load_phase, sizeof ret_stats->load_phase, "weights");
}

sk_status sk_engine_wait_ready(struct sk_engine *e, struct sk_err *err)
{
	int64_t left = e->opened_us + e->load_us - sk_now_us();

	if (left > 0)
		usleep((useconds_t)left);
	return e->load_fails ? sk_fail(err, SK_EFORMAT, "the double was told to fail") : SK_OK;
}

void sk_engine_refuse(struct sk_engine *e)
{
	pthread_mutex_lock(&e->lock);
	e->refuse = true;
	pthread_mutex_unlock(&e->lock);
}

void sk_engine_drain(struct sk_engine *e, int timeout_ms)
{
	int64_t until = timeout_ms < 0 ? INT64_MAX : sk_now_us() + (int64_t)timeout_ms * 1000;
	uint32_t held;

	sk_engine_refuse(e);
	do {
		struct sk_stats s;

		sk_engine_stats(e, &s);
		held = s.running + s.waiting;
		usleep(1000);
	} while (held && sk_now_us() < until);
	pthread_mutex_lock(&e->lock);
	for (struct sk_gen *g = e->gens; g; g = g->next)
		g->canceled = true;
	pthread_mutex_unlock(&e->lock);
}

/* What is still open ends now; its close() must not touch the engine any more. */
void sk_engine_close(struct sk_engine **pe)
{
	struct sk_engine *e = *pe;

	if (!e)
		return;
	pthread_mutex_lock(&e->lock);
	e->stop = true;
	pthread_mutex_unlock(&e->lock);
	pthread_join(e->thread, NULL);
	poll(NULL, 0, (int)number_env("SAKER_DOUBLE_CLOSE_MS", 0));
	for (struct sk_gen *g = e->gens; g; g = g->next)
		g->e = NULL;
	close(e->doorbell);
	if (e->trace >= 0)
		close(e->trace);
	pthread_cond_destroy(&e->news);
	pthread_mutex_destroy(&e->lock);
	free(e);
	*pe = NULL;
}

/* ---- text: a token is a byte -------------------------------------------------------------------------------- */

sk_status sk_engine_tokenize(const struct sk_engine *e, const char *text, size_t len, bool add_special,
			     bool parse_special, int32_t **ret_ids, size_t *ret_len, struct sk_err *err)
{
	int32_t *ids = malloc((len + 1) * sizeof *ids);

	if (!ids)
		return sk_fail(err, SK_ENOMEM, "no memory for %zu ids", len);
	for (size_t i = 0; i < len; i++)
		ids[i] = (unsigned char)text[i];
	*ret_ids = ids;
	*ret_len = len;
	return SK_OK;
}

/* The rendering of messages is their JSON. */
sk_status sk_engine_chat(const struct sk_engine *e, const struct sk_chat_params *p, char **ret_text, size_t *ret_len, struct sk_err *err)
{
	*ret_text = strndup(p->messages, p->messages_len);
	if (!*ret_text)
		return sk_fail(err, SK_ENOMEM, "no memory for a prompt");
	*ret_len = p->messages_len;
	return SK_OK;
}

sk_status sk_engine_tokens(const struct sk_engine *e, const char *text, size_t len, bool add_special, bool parse_special,
			   size_t tokens_max, struct sk_token_at **ret_tokens, size_t *ret_len, struct sk_err *err)
{
	struct sk_token_at *tokens = malloc((len + 1) * sizeof *tokens);

	if (!tokens)
		return sk_fail(err, SK_ENOMEM, "no memory for %zu tokens", len);
	for (size_t i = 0; i < len; i++)
		tokens[i] = (struct sk_token_at){ (unsigned char)text[i], (uint32_t)i, (uint32_t)i + 1 };
	*ret_tokens = tokens;
	*ret_len = len;
	return SK_OK;
}

sk_status sk_engine_detokenize(const struct sk_engine *e, const int32_t *ids, size_t len, bool skip_special,
			       char **ret_text, size_t *ret_len, struct sk_err *err)
{
	char *text = malloc(len + 1);

	if (!text)
		return sk_fail(err, SK_ENOMEM, "no memory for %zu bytes", len);
	for (size_t i = 0; i < len; i++)
		text[i] = ids[i] >= 32 && ids[i] < 127 ? (char)ids[i] : '?';
	text[len] = '\0';
	*ret_text = text;
	*ret_len = len;
	return SK_OK;
}

/* Every even id is green. */
sk_status sk_engine_detect(const struct sk_engine *e, const char *text, size_t text_len, const int32_t *ids, size_t ids_len,
			   struct sk_detection *ret_d, struct sk_err *err)
{
	size_t len = text ? text_len : ids_len;

	*ret_d = (struct sk_detection){ .tokens = (uint32_t)len, .gamma = 0.5, .p_value = 1.0 };
	for (size_t i = 0; i < len; i++)
		ret_d->green += (text ? (unsigned char)text[i] : ids[i]) % 2 == 0;
	return SK_OK;
}

/* ---- generations -------------------------------------------------------------------------------------------- */

bool sk_gen_params_samples(const struct sk_gen_params *p)
{
	return p->do_sample;
}

static bool has_word(const struct sk_gen_params *p, const char *word)
{
	return p->prompt && memmem(p->prompt, p->prompt_len, word, strlen(word));
}

sk_status sk_engine_submit(struct sk_engine *e, const struct sk_gen_params *p, struct sk_gen **ret_gen,
			   struct sk_err *err)
{
	struct sk_gen *g;
	sk_status st = SK_OK;

	if (e->submit_us)
		usleep((useconds_t)e->submit_us);
	g = calloc(1, sizeof *g);
	if (!g)
		return sk_fail(err, SK_ENOMEM, "no memory for a generation");
	g->e = e;
	g->max = p->max_new_tokens;
	g->prompt_tokens = (uint32_t)(p->prompt ? p->prompt_len : p->ids_len);
	g->dead = has_word(p, "@dead");
	g->fails = g->dead || has_word(p, "@fail");
	g->wide = has_word(p, "@wide");
	g->silent = has_word(p, "@silent");
	g->begun_us = sk_now_us();
	sk_buf_init(&g->text, (size_t)g->max * WIDE_BYTES + WIDE_BYTES);
	pthread_mutex_lock(&e->lock);
	if (state_of(e) == SK_STATE_LOADING)
		st = SK_ELOADING;
	else if (state_of(e) == SK_STATE_FAILED)
		st = SK_EENGINE;
	else if (e->refuse)
		st = SK_EDRAINING;
	else if (e->stats.running >= e->queue_max)
		st = SK_EOVERLOADED;
	if (st == SK_OK) {
		g->id = ++e->ids;
		g->prev = e->youngest;
		if (g->prev)
			g->prev->next = g;
		else
			e->gens = g;
		e->youngest = g;
		e->stats.running++;
		g->blocks = (uint32_t)(((uint64_t)g->prompt_tokens + g->max + 15) / 16);
		e->stats.blocks_free -= g->blocks;
		e->stats.prompt_tokens += g->prompt_tokens;
		trace(e, "submit", g->id);
	}
	pthread_mutex_unlock(&e->lock);
	if (st < 0) {
		free(g);
		return sk_fail(err, st, "%s", sk_status_words(st));
	}
	*ret_gen = g;
	return SK_OK;
}

int sk_engine_doorbell(const struct sk_engine *e)
{
	return e->doorbell;
}

static void ready_drop(struct sk_engine *e, const struct sk_gen *g)
{
	for (struct sk_gen **at = &e->ready; *at; at = &(*at)->ready_next)
		if (*at == g) {
			*at = g->ready_next;
			if (e->ready_end == &g->ready_next)
				e->ready_end = at;
			return;
		}
}

struct sk_gen *sk_engine_next_ready(struct sk_engine *e)
{
	struct sk_gen *g;

	pthread_mutex_lock(&e->lock);
	g = e->ready;
	if (g) {
		ready_drop(e, g);
		g->listed = false;
	}
	pthread_mutex_unlock(&e->lock);
	return g;
}

void sk_gen_set_user(struct sk_gen *g, void *user)
{
	g->user = user;
}

void *sk_gen_user(const struct sk_gen *g)
{
	return g->user;
}

uint64_t sk_gen_id(const struct sk_gen *g)
{
	return g->id;
}

uint32_t sk_gen_prompt_tokens(const struct sk_gen *g)
{
	return g->prompt_tokens;
}

uint32_t sk_gen_max_new_tokens(const struct sk_gen *g)
{
	return g->max;
}

/* The text of token i into g->text, at its end. */
static struct sk_event_token token_make(struct sk_gen *g, uint32_t i)
{
	size_t from = g->text.len;

	if (g->e && g->e->stamp)
		sk_buf_addf(&g->text, " %" PRId64, sk_now_us());
	else
		sk_buf_addf(&g->text, " t%" PRIu32, i);
	while (g->wide && !g->text.failed && g->text.len - from < WIDE_BYTES)
		sk_buf_addc(&g->text, '.');
	return (struct sk_event_token){ .id = (int32_t)i, .text = g->text.data + from, .text_len = g->text.len - from,
					.logprob = -0.5f };
}

sk_status sk_gen_next(struct sk_gen *g, struct sk_event *ret_event)
{
	struct sk_engine *e = g->e;
	uint32_t made;
	bool prefilled, done;
	sk_status status;

	if (e)
		pthread_mutex_lock(&e->lock);
	else if (!g->done) {
		g->done = true;         /* the engine was closed under us, its thread has ended */
		g->status = SK_ECANCELED;
	}
	made = g->made;
	prefilled = g->prefilled;
	done = g->done;
	status = g->status;
	if (e)
		pthread_mutex_unlock(&e->lock);
	*ret_event = (struct sk_event){ 0 };
	if (g->read_done)
		return SK_ENDED;
	if (prefilled && !g->read_prefill) {
		g->read_prefill = true;
		ret_event->type = SK_EVENT_PREFILL;
		ret_event->prefill.prompt_tokens = g->prompt_tokens;
	} else if (g->read < made) {
		ret_event->type = SK_EVENT_TOKEN;
		ret_event->token.t = token_make(g, g->read);
		ret_event->token.index = g->read++;
		ret_event->token.last = done && status == SK_OK && g->read == made;
		if (g->text.failed) {
			g->read_done = true;
			ret_event->type = SK_EVENT_FAIL;
			ret_event->fail.status = g->text.failed;
			ret_event->fail.text = "the double has no memory for a token";
		}
	} else if (done) {
		g->read_done = true;
		if (status == SK_OK) {
			ret_event->type = SK_EVENT_FINISH;
			ret_event->finish.reason = SK_FINISH_LENGTH;
			ret_event->finish.generated_tokens = made;
			ret_event->finish.prompt_tokens = g->prompt_tokens;
			ret_event->finish.text = sk_buf_str(&g->text);
			ret_event->finish.text_len = g->text.len;
			ret_event->finish.inference_us = sk_now_us() - g->begun_us;
		} else {
			ret_event->type = SK_EVENT_FAIL;
			ret_event->fail.status = status;
			ret_event->fail.text = "the double was told to fail";
		}
	} else {
		return SK_EAGAIN;
	}
	return SK_OK;
}

sk_status sk_gen_wait(struct sk_gen *g, struct sk_event *ret_event)
{
	sk_status st;

	while ((st = sk_gen_next(g, ret_event)) == SK_EAGAIN)
		usleep(1000);
	return st;
}

void sk_gen_cancel(struct sk_gen *g)
{
	struct sk_engine *e = g->e;

	if (!e)
		return;
	pthread_mutex_lock(&e->lock);
	if (!g->canceled && !g->done) {
		g->canceled = true;
		e->stats.cancelled++;
		trace(e, "cancel", g->id);
	}
	pthread_mutex_unlock(&e->lock);
}

void sk_gen_close(struct sk_gen **pg)
{
	struct sk_gen *g = *pg;

	if (!g)
		return;
	if (g->e) {
		struct sk_engine *e = g->e;

		sk_gen_cancel(g);
		pthread_mutex_lock(&e->lock);
		if (!g->done)
			end(g, SK_ECANCELED);
		if (g->listed)
			ready_drop(e, g);
		if (g->prev)
			g->prev->next = g->next;
		else
			e->gens = g->next;
		if (g->next)
			g->next->prev = g->prev;
		else
			e->youngest = g->prev;
		e->stats.blocks_free += g->blocks;
		trace(e, "close", g->id);
		pthread_mutex_unlock(&e->lock);
	}
	sk_buf_fini(&g->text);
	free(g);
	*pg = NULL;
}
