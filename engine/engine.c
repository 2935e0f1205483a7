/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The engine's life: open, load, serve, drain, close; and what any thread may ask it meanwhile.
 *
 * open plans (engine/setup.c), takes the memory and starts one thread. That thread loads the weights, while a second one loads
 * the tokenizer, tries one token, and then steps (engine/step.c) until close.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "engine/base/buf.h"
#include "engine/base/clock.h"
#include "engine/base/log.h"
#include "engine/inside.h"
#include "engine/text/chat.h"

static const char *const phases[] = { "weights", "tokenizer", "warm-up", "" };
enum { PHASE_WEIGHTS, PHASE_TOKENIZER, PHASE_WARM_UP, PHASE_DONE };

#define CHAT_MAX ((size_t)64 << 20)      /* bytes of a rendering */

/* ---- loading ---- */

static void *text_main(void *arg)
{
	struct sk_engine *e = arg;
	struct sk_text *text;

	e->text_status = sk_text_of_weights(e->setup.weights, &text, &e->text_err);
	if (e->text_status < 0)
		return NULL;
	e->text_status = sk_chat_open(text, e->chat_template, e->tokenizer_config, &e->chat, &e->text_err);
	if (e->text_status >= 0)
		atomic_store(&e->text, text);
	else
		sk_text_close(&text);
	return NULL;
}

static sk_status load_text(struct sk_engine *e, struct sk_err *err)
{
	struct sk_info *info = &e->setup.info;
	struct sk_text_info ti;

	if (e->text_status < 0) {
		if (err)
			*err = e->text_err;
		return e->text_status;
	}
	sk_text_info(atomic_load(&e->text), &ti);
	if ((uint32_t)ti.vocab > info->vocab)
		return sk_fail(err, SK_EFORMAT, "the tokenizer has %d tokens, the model %u", (int)ti.vocab, info->vocab);
	return SK_OK;
}

static sk_status load(struct sk_engine *e, struct sk_err *err)
{
	bool beside = pthread_create(&e->text_thread, NULL, text_main, e) == 0;
	sk_status st;

	/* No second thread to be had: one after the other, then. */
	if (!beside)
		text_main(e);
	st = sk_model_load(e->model, e->setup.weights, &e->load_done, &e->load_stop, err);
	atomic_store(&e->phase, PHASE_TOKENIZER);
	if (beside)
		pthread_join(e->text_thread, NULL);
	if (st >= 0)
		st = load_text(e, err);
	sk_weights_close(&e->setup.weights);
	atomic_store(&e->phase, PHASE_WARM_UP);
	return st >= 0 ? sk_step_warm_up(e, err) : st;
}

static void *engine_main(void *arg)
{
	struct sk_engine *e = arg;
	int64_t began = sk_now_us();
	struct sk_err err = { 0 };
	sk_status st = load(e, &err);

	pthread_mutex_lock(&e->lock);
	e->load_err = err;
	e->load_err.status = st;
	e->gone = st < 0;
	pthread_mutex_unlock(&e->lock);
	if (st >= 0)
		sk_log(SK_LOG_INFO, "ready after %.1f ms", (double)(sk_now_us() - began) * 1e-3);
	else if (st != SK_ECANCELED)
		sk_log(SK_LOG_ERROR, "loading failed: %s", err.text);
	pthread_mutex_lock(&e->lock);
	atomic_store(&e->phase, PHASE_DONE);
	atomic_store(&e->state, st >= 0 ? SK_STATE_READY : SK_STATE_FAILED);
	pthread_cond_broadcast(&e->told);
	pthread_mutex_unlock(&e->lock);
	if (st >= 0)
		sk_step_loop(e);
	return NULL;
}

/* ---- open and close ---- */

void sk_engine_unref(struct sk_engine *e)
{
	struct sk_text *text;

	if (atomic_fetch_sub(&e->refs, 1) != 1)
		return;
	text = atomic_load(&e->text);
	sk_chat_close(&e->chat);
	sk_text_close(&text);
	free(e->chat_template);
	free(e->tokenizer_config);
	if (e->bell >= 0)
		close(e->bell);
	pthread_cond_destroy(&e->told);
	pthread_cond_destroy(&e->wake);
	pthread_mutex_destroy(&e->lock);
	free(e);
}

/* What only the engine thread used; after it has ended, or when it never began. */
static void engine_fini(struct sk_engine *e)
{
	sk_step_room_fini(&e->room);
	sk_sched_close(&e->sched);
	sk_model_close(&e->model);
	sk_setup_fini(&e->setup);
	sk_engine_unref(e);
}

/* What the text thread opens: the options' strings are lent no longer than open. */
static sk_status paths_copy(struct sk_engine *e, const struct sk_engine_opts *o, struct sk_err *err)
{
	const char *template = o->chat_template && *o->chat_template ? o->chat_template : NULL;
	const char *config = o->tokenizer_config && *o->tokenizer_config ? o->tokenizer_config : NULL;

	e->chat_template = template ? strdup(template) : NULL;
	e->tokenizer_config = config ? strdup(config) : NULL;
	if ((template && !e->chat_template) || (config && !e->tokenizer_config))
		return sk_fail(err, SK_ENOMEM, "no memory for an engine");
	return SK_OK;
}

static sk_status engine_init(struct sk_engine *e, const struct sk_engine_opts *o, struct sk_err *err)
{
	struct sk_info *i = &e->setup.info;
	pthread_condattr_t monotonic;
	sk_status st;

	pthread_mutex_init(&e->lock, NULL);
	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_cond_init(&e->wake, NULL);
	pthread_cond_init(&e->told, &monotonic);
	pthread_condattr_destroy(&monotonic);
	atomic_init(&e->refs, 1);
	atomic_init(&e->state, SK_STATE_LOADING);
	e->submitted_end = &e->submitted;
	e->news_end = &e->news;
	e->bell = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (e->bell < 0)
		return sk_fail(err, SK_EIO, "eventfd: %s", strerror(errno));
	st = paths_copy(e, o, err);
	if (st >= 0)
		st = sk_watermark_init(&e->mark, &o->watermark, err);
	if (st >= 0)
		st = sk_setup_init(&e->setup, o, err);
	if (st < 0)
		return st;
	e->backend = e->setup.model.backend;
	e->queue_max = (uint32_t)(e->setup.sched.waiting_max - e->setup.sched.sequences_max - SK_GEN_N_MAX);
	e->look_ahead = e->setup.sched.look_ahead;
	e->device_timeout_us = e->backend->look ? (int64_t)o->device_timeout_ms * 1000 : 0;
	atomic_init(&e->blocks_free, i->blocks);
	st = sk_sched_open(&e->setup.sched, &e->sched, err);
	if (st >= 0)
		st = sk_step_room_init(&e->room, &e->setup, err);
	if (st >= 0)
		st = sk_model_open(e->setup.weights, &e->setup.model, &e->model, err);
	if (st < 0)
		return st;
	e->load_total = sk_model_load_bytes(e->model);
	sk_setup_describe(&e->setup, sk_model_dev(e->model));
	return SK_OK;
}

sk_status sk_engine_open(const struct sk_engine_opts *o, struct sk_engine **ret_engine, struct sk_err *err)
{
	struct sk_engine *e = calloc(1, sizeof(*e));
	sk_status st;

	if (!e)
		return sk_fail(err, SK_ENOMEM, "no memory for an engine");
	st = engine_init(e, o, err);
	if (st >= 0) {
		sk_setup_log(&e->setup);
		if (pthread_create(&e->thread, NULL, engine_main, e) != 0)
			st = sk_fail(err, SK_ENOMEM, "no thread for the engine");
	}
	if (st < 0) {
		engine_fini(e);
		return st;
	}
	*ret_engine = e;
	return SK_OK;
}

/* Drop what is still in the ready list: nobody will ask for it any more. */
static void ready_drop(struct sk_gen *g)
{
	while (g) {
		struct sk_gen *next = g->ready_next;

		sk_gen_unref(g);
		g = next;
	}
}

void sk_engine_close(struct sk_engine **pe)
{
	struct sk_engine *e = *pe;

	if (!e)
		return;
	*pe = NULL;
	atomic_store(&e->refusing, true);
	atomic_store(&e->load_stop, true);
	pthread_mutex_lock(&e->lock);
	atomic_store(&e->closing, true);
	pthread_cond_broadcast(&e->wake);
	pthread_mutex_unlock(&e->lock);
	pthread_join(e->thread, NULL);
	ready_drop(e->taken);
	e->taken = NULL;
	ready_drop(atomic_exchange(&e->ready, NULL));
	engine_fini(e);
}

/* ---- states ---- */

/* Whether a step does not come back from the device. */
static bool stuck(const struct sk_engine *e)
{
	int64_t began = atomic_load(&e->step_began_us);

	return e->device_timeout_us && began && sk_now_us() - began > e->device_timeout_us;
}

sk_status sk_engine_wait_ready(struct sk_engine *e, struct sk_err *err)
{
	sk_status st;

	if (stuck(e))
		return sk_fail(err, SK_EDEVICE, "device %s:%d (%s): a step has not come back within %" PRId64 " ms (device-timeout-ms)",
			       e->backend->name, e->setup.model.ordinal, e->setup.info.device, e->device_timeout_us / 1000);
	pthread_mutex_lock(&e->lock);
	while (atomic_load(&e->state) == SK_STATE_LOADING)
		pthread_cond_wait(&e->told, &e->lock);
	st = e->load_err.status;
	if (st < 0 && err)
		*err = e->load_err;
	pthread_mutex_unlock(&e->lock);
	return st;
}

void sk_engine_refuse(struct sk_engine *e)
{
	/* Under the lock: who pushes after this sees it. */
	pthread_mutex_lock(&e->lock);
	atomic_store(&e->refusing, true);
	pthread_mutex_unlock(&e->lock);
}

static void cancel_all(struct sk_engine *e)
{
	/* The active list is the engine thread's: it fails them all in passing when it sees this. */
	atomic_store(&e->cancel_all, true);
	atomic_store(&e->cancels, true);
}

void sk_engine_drain(struct sk_engine *e, int timeout_ms)
{
	struct timespec until;

	sk_engine_refuse(e);
	clock_gettime(CLOCK_MONOTONIC, &until);
	if (timeout_ms > 0) {
		until.tv_sec += timeout_ms / 1000;
		until.tv_nsec += timeout_ms % 1000 * 1000000L;
		if (until.tv_nsec >= 1000000000L) {
			until.tv_sec++;
			until.tv_nsec -= 1000000000L;
		}
	}
	pthread_mutex_lock(&e->lock);
	while (timeout_ms >= 0 && atomic_load(&e->held) > 0)
		if (pthread_cond_timedwait(&e->told, &e->lock, &until) == ETIMEDOUT) {
			cancel_all(e);
			break;
		}
	while (atomic_load(&e->held) > 0)
		pthread_cond_wait(&e->told, &e->lock);
	pthread_mutex_unlock(&e->lock);
}

/* ---- what anybody may ask ---- */

void sk_engine_info(const struct sk_engine *e, struct sk_info *ret_info)
{
	const struct sk_text *text = atomic_load(&e->text);
	struct sk_text_info ti;

	*ret_info = e->setup.info;
	if (!text)
		return;
	sk_text_info(text, &ti);
	ret_info->bos_id = ti.bos;
	ret_info->eos_id = ti.eos;
	ret_info->tokenizer_bytes = ti.bytes;
	ret_info->has_chat_template = sk_chat_has(e->chat);
}

void sk_engine_stats(const struct sk_engine *e, struct sk_stats *ret_stats)
{
	uint32_t held = atomic_load(&e->held), running = atomic_load(&e->running);
	int state = atomic_load(&e->state), phase = atomic_load(&e->phase);

	if (state == SK_STATE_READY && stuck(e))
		state = SK_STATE_FAILED;
	if (state == SK_STATE_READY && atomic_load(&e->refusing))
		state = SK_STATE_DRAINING;
	*ret_stats = (struct sk_stats){
		.state = (enum sk_engine_state)state,
		.load_done_bytes = atomic_load(&e->load_done), .load_total_bytes = e->load_total,
		.running = running, .waiting = held > running ? held - running : 0,
		.blocks_free = atomic_load(&e->blocks_free), .blocks_total = e->setup.info.blocks,
		.steps = atomic_load(&e->steps), .prompt_tokens = atomic_load(&e->prompt_tokens),
		.generated_tokens = atomic_load(&e->generated_tokens), .preemptions = atomic_load(&e->preemptions),
		.cancelled = atomic_load(&e->cancelled), .failed = atomic_load(&e->failed),
		.finished = atomic_load(&e->finished), .step_us = atomic_load(&e->step_us),
	};
	memcpy(ret_stats->load_phase, phases[phase], strlen(phases[phase]) + 1);
}

void sk_engine_meters(const struct sk_engine *e, struct sk_meters *ret_meters)
{
	const struct sk_meters_shared *m = &e->meters;

	for (int i = 0; i < SK_STEP_KINDS; i++) {
		struct sk_meters_step *to = &ret_meters->step[i];

		to->count = atomic_load(&m->step[i].count);
		to->failed = atomic_load(&m->step[i].failed);
		sk_times_read(&m->step[i].whole, &to->whole);
		sk_times_read(&m->step[i].forward, &to->forward);
		sk_times_read(&m->step[i].sample, &to->sample);
		sk_times_read(&m->step[i].plan, &to->plan);
	}
	for (int i = 0; i < SK_JOINS_MAX + 2; i++)
		ret_meters->joins[i] = atomic_load_explicit(&m->joins[i], memory_order_relaxed);
	ret_meters->joined = atomic_load(&m->joined);
	ret_meters->joined_others = atomic_load(&m->joined_others);
	sk_times_read(&m->token_gap, &ret_meters->token_gap);
	sk_times_read(&m->queue_wait, &ret_meters->queue_wait);
}

/* ---- text ---- */

static sk_status text_get(const struct sk_engine *e, const struct sk_text **ret_text, struct sk_err *err)
{
	*ret_text = atomic_load(&e->text);
	if (*ret_text)
		return SK_OK;
	if (atomic_load(&e->state) == SK_STATE_FAILED)
		return sk_fail(err, SK_EENGINE, "the engine has failed");
	return sk_fail(err, SK_ELOADING, "the tokenizer is still loading");
}

sk_status sk_engine_tokenize(const struct sk_engine *e, const char *text, size_t len, bool add_special, bool parse_special,
			     int32_t **ret_ids, size_t *ret_len, struct sk_err *err)
{
	const struct sk_text *t;
	sk_status st = text_get(e, &t, err);

	return st < 0 ? st : sk_tokenizer_encode(t, text, len, add_special, parse_special, ret_ids, ret_len, err);
}

sk_status sk_engine_tokens(const struct sk_engine *e, const char *text, size_t len, bool add_special, bool parse_special,
			   size_t tokens_max, struct sk_token_at **ret_tokens, size_t *ret_len, struct sk_err *err)
{
	const struct sk_text *t;
	sk_status st = text_get(e, &t, err);

	return st < 0 ? st : sk_tokenizer_tokens(t, text, len, add_special, parse_special, tokens_max, ret_tokens, ret_len, err);
}

sk_status sk_engine_detokenize(const struct sk_engine *e, const int32_t *ids, size_t len, bool skip_special, char **ret_text,
			       size_t *ret_len, struct sk_err *err)
{
	const struct sk_text *t;
	sk_status st = text_get(e, &t, err);

	return st < 0 ? st : sk_tokenizer_decode(t, ids, len, skip_special, ret_text, ret_len, err);
}

sk_status sk_engine_detect(const struct sk_engine *e, const char *text, size_t text_len, const int32_t *ids, size_t ids_len,
			   struct sk_detection *ret_d, struct sk_err *err)
{
	int32_t *own = NULL;
	sk_status st = SK_OK;

	if (text && text_len > SK_DETECT_BYTES_MAX)
		return sk_fail(err, SK_EINVAL, "a text of %zu bytes, the limit is %zu", text_len, SK_DETECT_BYTES_MAX);
	if (text) {
		st = sk_engine_tokenize(e, text, text_len, false, false, &own, &ids_len, err);
		ids = own;
	}
	if (st >= 0)
		st = sk_watermark_find(&e->mark, (int32_t)e->setup.info.vocab, ids, ids_len, ret_d, err);
	free(own);
	return st;
}

sk_status sk_engine_chat(const struct sk_engine *e, const struct sk_chat_params *p, char **ret_text, size_t *ret_len, struct sk_err *err)
{
	struct sk_buf b = SK_BUF(CHAT_MAX);
	const struct sk_text *t;
	sk_status st = text_get(e, &t, err);

	if (st >= 0)
		st = sk_chat_render(e->chat, p, &b, err);
	if (st >= 0 && sk_buf_addc(&b, '\0') < 0)
		st = sk_fail(err, b.failed, "the rendering has more than %zu bytes", CHAT_MAX);
	if (st < 0) {
		sk_buf_fini(&b);
		return st;
	}
	*ret_text = b.data;
	*ret_len = b.len - 1;
	return SK_OK;
}
