/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The engine thread's loop: one step's life.
 *
 *	intake -> plan -> build the step's arrays -> forward -> statistics and sampling -> commit -> tell the readers
 *
 * A step of the encoder is such a step without rows of logits.
 *
 * With look-ahead the next plan is made between forward and sampling, before anybody knows the next tokens. They are
 * known before the next forward, since the host samples; so build() puts the token in, and leaves out whoever has
 * ended meanwhile.
 *
 * Between two tokens nothing is allocated: the arrays are those of sk_step_room, a generation's were taken at submit.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "config.h"
#include "engine/base/clock.h"
#include "engine/base/log.h"
#include "engine/inside.h"

#define PIECE_MAX ((size_t)1 << 24)     /* text of one token */
#define PIECE_FIRST ((size_t)1 << 16)

/* One step, from its plan to its commit. */
struct step {
	struct sk_batch b;
	struct sk_step arrays;
	int32_t rows;
};

/* ---- room ---- */

static void *room_take(struct sk_step_room *r, size_t count, size_t bytes)
{
	r->bytes += count * bytes;
	return calloc(count, bytes);
}

sk_status sk_step_room_init(struct sk_step_room *r, const struct sk_setup *s, struct sk_err *err)
{
	size_t S = (size_t)s->model.sequences_max;
	size_t T = (size_t)(s->model.encode_max > s->model.tokens_max ? s->model.encode_max : s->model.tokens_max);
	size_t workers = (size_t)s->model.dev.threads;

	*r = (struct sk_step_room){ .top_max = s->info.top_n_max + SK_TOP_TIES };
	r->scratch_bytes = (sk_sample_scratch_bytes((int32_t)s->info.vocab) + 63) & ~(size_t)63;
	r->ids = room_take(r, T, sizeof(*r->ids));
	r->pos = room_take(r, T, sizeof(*r->pos));
	r->seq_start = room_take(r, S + 1, sizeof(*r->seq_start));
	r->blocks = room_take(r, S, sizeof(*r->blocks));
	r->cross_blocks = room_take(r, S, sizeof(*r->cross_blocks));
	r->cross_len = room_take(r, S, sizeof(*r->cross_len));
	r->prompt_len = room_take(r, S, sizeof(*r->prompt_len));
	r->rows = room_take(r, S, sizeof(*r->rows));
	r->row_seq = room_take(r, S, sizeof(*r->row_seq));
	r->argmax = room_take(r, S, sizeof(*r->argmax));
	r->max = room_take(r, S, sizeof(*r->max));
	r->logsumexp = room_take(r, S, sizeof(*r->logsumexp));
	r->in = room_take(r, S, sizeof(*r->in));
	r->out = room_take(r, S, sizeof(*r->out));
	r->work = room_take(r, S, sizeof(*r->work));
	r->fates = room_take(r, S, sizeof(*r->fates));
	r->top = room_take(r, S * r->top_max, sizeof(*r->top));
	r->scratch = room_take(r, workers, r->scratch_bytes);
	sk_buf_init(&r->piece, PIECE_MAX);
	if (!r->ids || !r->pos || !r->seq_start || !r->blocks || !r->cross_blocks || !r->cross_len || !r->prompt_len || !r->rows ||
	    !r->row_seq || !r->argmax || !r->max || !r->logsumexp || !r->in || !r->out || !r->work || !r->fates || !r->top || !r->scratch ||
	    sk_buf_reserve(&r->piece, PIECE_FIRST) < 0) {
		sk_step_room_fini(r);
		return sk_fail(err, SK_ENOMEM, "no memory for a step of %zu tokens and %zu sequences", T, S);
	}
	return SK_OK;
}

void sk_step_room_fini(struct sk_step_room *r)
{
	free(r->ids);
	free(r->pos);
	free(r->seq_start);
	free(r->prompt_len);
	free(r->blocks);
	free(r->cross_blocks);
	free(r->cross_len);
	free(r->rows);
	free(r->row_seq);
	free(r->argmax);
	free(r->max);
	free(r->logsumexp);
	free(r->in);
	free(r->out);
	free(r->work);
	free(r->fates);
	free(r->top);
	free(r->scratch);
	sk_buf_fini(&r->piece);
	*r = (struct sk_step_room){ 0 };
}

/* ---- generations come and go ---- */

static void gen_join(struct sk_engine *e, struct sk_gen *g)
{
	g->prev = NULL;
	g->next = e->active;
	if (e->active)
		e->active->prev = g;
	e->active = g;
}

/* The engine's reference goes when the last planned step with a part of it is committed. */
static void gen_leave(struct sk_engine *e, struct sk_gen *g)
{
	if (g->prev)
		g->prev->next = g->next;
	else
		e->active = g->next;
	if (g->next)
		g->next->prev = g->prev;
	g->ended = true;
	if (!g->first_us)
		atomic_fetch_sub(&e->waiting, 1);
	if (atomic_fetch_sub(&e->held, 1) == 1 && atomic_load(&e->refusing)) {
		pthread_mutex_lock(&e->lock);
		pthread_cond_broadcast(&e->told);
		pthread_mutex_unlock(&e->lock);
	}
	if (g->in_flight == 0)
		sk_gen_unref(g);
}

static void gen_finish(struct sk_engine *e, struct sk_gen *g, enum sk_finish_reason reason, int64_t now)
{
	g->reason = reason;
	g->released = g->generated;
	g->queue_us = g->first_us - g->submitted_us;
	g->inference_us = now - g->first_us;
	atomic_fetch_add(&e->finished, 1);
	sk_gen_publish(g, SK_GEN_FINISHED);
	gen_leave(e, g);
}

static void gen_fail(struct sk_engine *e, struct sk_gen *g, sk_status st, const char *text)
{
	if (g->root->fail_status == SK_OK) {
		g->root->fail_status = st;
		g->root->fail_text = text;
	}
	g->released = g->generated;
	atomic_fetch_add(st == SK_ECANCELED ? &e->cancelled : &e->failed, 1);
	/* One sequence fails the request: the next plan drops the others. */
	if (g->n > 1)
		sk_gen_cancel(g->root);
	sk_gen_publish(g, SK_GEN_FAILED);
	gen_leave(e, g);
}

static void intake(struct sk_engine *e, int64_t now)
{
	struct sk_gen *g;

	/* The count is read without the lock: most steps find nothing, and what it misses comes a step later. */
	if (atomic_load(&e->waiting) == 0)
		return;
	pthread_mutex_lock(&e->lock);
	g = e->submitted;
	e->submitted = NULL;
	e->submitted_end = &e->submitted;
	pthread_mutex_unlock(&e->lock);
	while (g) {
		struct sk_gen *next = g->next;
		sk_status st = sk_sched_add(e->sched, &(struct sk_sched_req){
			.id = g->id, .ids = g->ids, .prompt_len = (int32_t)g->prompt_len,
			.max_new_tokens = (int32_t)g->max_new, .source_len = (int32_t)g->source_len, .n = (int32_t)g->n,
			.prompt_rows = g->prompt_logprob != NULL, .user = g, .client = g->client, .weight = g->weight,
		}, now);

		/* Submit has checked what the scheduler checks. */
		SK_BUG_IF(st < 0 && st != SK_EOVERLOADED);
		for (uint32_t i = 0, n = g->n; i < n; i++) {
			struct sk_gen *s = sk_gen_seq(g, i);

			gen_join(e, s);
			if (st < 0)
				gen_fail(e, s, SK_EENGINE, "the request does not fit the engine");
		}
		g = next;
	}
}

static void cancels(struct sk_engine *e)
{
	bool all;

	if (!atomic_exchange(&e->cancels, false))
		return;
	all = atomic_load(&e->cancel_all);
	for (struct sk_gen *g = e->active, *next; g; g = next) {
		next = g->next;
		if (!all && !atomic_load(&g->root->cancel))
			continue;
		sk_sched_drop(e->sched, g->id);
		gen_fail(e, g, SK_ECANCELED, "the request was cancelled");
	}
}

static void fail_all(struct sk_engine *e, sk_status st, const char *text)
{
	while (e->active) {
		struct sk_gen *g = e->active;

		sk_sched_drop(e->sched, g->id);
		gen_fail(e, g, st, text);
	}
}

/* ---- plan and build ---- */

static struct sk_gen *gen_of(const struct sk_batch_seq *q)
{
	return sk_gen_seq(q->user, (uint32_t)q->seq);
}

/* *s is empty (b.S == 0) when there is nothing to do. */
static void plan(struct sk_engine *e, struct step *s)
{
	int64_t now = sk_now_us();
	int32_t joined = 0;

	intake(e, now);
	cancels(e);
	sk_sched_plan(e->sched, now, &s->b);
	for (int32_t i = 0; i < s->b.S; i++) {
		struct sk_gen *g = gen_of(&s->b.seqs[i]);

		g->in_flight++;
		if (!g->first_us) {
			g->first_us = now;
			atomic_fetch_sub(&e->waiting, 1);
			sk_times_tell(&e->meters.queue_wait, now - g->submitted_us);
			joined++;
		}
	}
	if (joined) {
		atomic_fetch_add(&e->meters.joins[joined <= SK_JOINS_MAX ? joined : SK_JOINS_MAX + 1], 1);
		atomic_fetch_add(&e->meters.joined, (uint64_t)joined);
		atomic_fetch_add(&e->meters.joined_others, s->b.S > joined);
	}
}

static void build(struct sk_engine *e, struct step *s)
{
	struct sk_step_room *r = &e->room;
	int32_t T = 0, S = 0;

	s->rows = 0;
	for (int32_t i = 0; i < s->b.S; i++) {
		const struct sk_batch_seq *q = &s->b.seqs[i];
		const struct sk_gen *g = gen_of(q);

		r->fates[i] = (struct sk_fate){ 0 };
		if (g->ended)
			continue;
		r->seq_start[S] = T;
		r->prompt_len[S] = (int32_t)(s->b.encode ? g->source_len : g->prompt_len);
		r->blocks[S] = s->b.encode ? q->cross : q->blocks;
		r->cross_blocks[S] = q->cross;
		r->cross_len[S++] = q->cross_len;
		memcpy(r->ids + T, (s->b.encode ? g->source : g->ids) + q->first_pos, (size_t)q->len * sizeof(*r->ids));
		for (int32_t k = 0; k < q->len; k++)
			r->pos[T++] = q->first_pos + k;
		if (q->sample) {
			r->row_seq[s->rows] = i;
			r->rows[s->rows++] = T - 1;
		}
	}
	r->seq_start[S] = T;
	s->arrays = (struct sk_step){ .T = T, .S = S, .ids = r->ids, .pos = r->pos, .seq_start = r->seq_start,
				      .blocks = r->blocks, .prompt_len = r->prompt_len };
	if (e->setup.start_id >= 0) {
		s->arrays.cross_blocks = r->cross_blocks;
		s->arrays.cross_len = r->cross_len;
	}
}

static sk_status forward(struct sk_engine *e, const struct step *s, struct sk_err *err)
{
	/* Before anything of this step is written, and also where who asked for it has ended: others may copy from there. */
	for (int32_t i = 0; i < s->b.copies_len; i++)
		sk_model_kv_copy(e->model, s->b.copies[i].from, s->b.copies[i].to);
	if (s->arrays.S == 0)
		return SK_OK;
	if (s->b.encode)
		return sk_model_encode(e->model, &s->arrays, err);
	return sk_model_forward(e->model, &s->arrays, e->room.rows, s->rows, NULL, err);
}

/* ---- after the forward ---- */

struct prompt_take { struct sk_gen *g; int32_t first_row, first_pos; };

/* The logits at position p speak about the token at p + 1. */
static void prompt_take(void *arg, int32_t row, const float *logits, float logsumexp)
{
	struct prompt_take *t = arg;
	int32_t next = t->first_pos + (row - t->first_row) + 1;

	t->g->prompt_logprob[next] = logits[t->g->ids[next]] - logsumexp;
}

static void prompt_rows(struct sk_engine *e, const struct step *s)
{
	int32_t row = 0;

	for (int32_t i = 0; i < s->b.S; i++) {
		const struct sk_batch_seq *q = &s->b.seqs[i];
		struct sk_gen *g = gen_of(q);
		int32_t len = (int32_t)g->prompt_len - 1 - q->first_pos;

		if (g->ended)
			continue;
		len = len < q->len ? len : q->len;
		if (g->prompt_logprob && g->generated == 0 && len > 0)
			sk_model_prompt_rows(e->model, row, len, prompt_take,
					     &(struct prompt_take){ g, row, q->first_pos });
		row += q->len;
	}
}

static void sample_one(void *arg, int32_t i, int worker)
{
	struct sk_step_room *r = arg;

	sk_sample(&r->in[r->work[i]], &r->out[r->work[i]], r->scratch + (size_t)worker * r->scratch_bytes);
}

/* Statistics of all rows; then the rows that need more, in parallel when they are several. */
static void sample(struct sk_engine *e, const struct step *s)
{
	struct sk_step_room *r = &e->room;
	int32_t V = (int32_t)e->setup.info.vocab, n = 0;

	if (s->rows == 0)
		return;
	sk_model_row_stats(e->model, r->argmax, r->max, r->logsumexp);
	for (int32_t i = 0; i < s->rows; i++) {
		struct sk_gen *g = gen_of(&s->b.seqs[r->row_seq[i]]);

		r->out[i] = (struct sk_sample_out){ .id = r->argmax[i], .logprob = r->max[i] - r->logsumexp[i] };
		if (sk_sample_is_plain(&g->sample))
			continue;
		r->in[i] = (struct sk_sample_in){
			.logits = sk_model_logits(e->model, i), .V = V, .p = &g->sample, .ids = g->ids,
			.ids_len = (int32_t)(g->prompt_len + g->generated), .prompt_len = (int32_t)g->prompt_len,
			.seq = g->draw_seq, .index = g->generated, .torch = g->torch, .argmax = r->argmax[i], .max = r->max[i], .logsumexp = r->logsumexp[i],
		};
		r->out[i].top = r->top + (size_t)i * r->top_max;
		r->out[i].top_max = g->top_max;
		r->work[n++] = i;
	}
	if (n > 1)
		e->backend->host_run(sk_model_dev(e->model), n, sample_one, r);
	else if (n == 1)
		sample_one(r, 0, 0);
}

/* ---- commit ---- */

/* Feed the token's text to the stop strings. true: one of them has ended. Sets what may be shown. */
static bool stop_feed(struct sk_engine *e, struct sk_gen *g, int32_t id, bool special)
{
	struct sk_buf *b = &e->room.piece;
	size_t used, match, held = 0;
	bool hit = false;

	sk_buf_clear(b);
	if (!special)
		sk_detok_push(atomic_load(&e->text), &g->detok, id, b);
	if (sk_stop_feed(g->stop, b->data, b->len, &used, &match, &held)) {
		g->text_cut = g->text_len + used;
		g->stop_bytes = match;
		hit = true;
		held = 0;
	}
	g->text_len += b->len;
	g->text_end[g->generated - 1] = (uint32_t)g->text_len;
	while (g->released < g->generated && g->text_end[g->released] + held <= g->text_len)
		g->released++;
	return hit;
}

/* The same by text-generation-inference's rule: special tokens are text, nothing is held back, nothing is cut. */
static bool stop_feed_end(struct sk_engine *e, struct sk_gen *g)
{
	struct sk_buf *b = &e->room.piece;

	sk_buf_clear(b);
	sk_text_window_push(atomic_load(&e->text), &g->stop_window, g->ids, (size_t)g->prompt_len + g->generated, false, b);
	g->released = g->generated;
	return sk_stop_feed_end(g->stop, b->data, b->len);
}

/* One new token. true: it was the last. */
static bool commit_token(struct sk_engine *e, struct sk_gen *g, const struct sk_sample_out *out, int64_t now)
{
	const struct sk_text *text = atomic_load(&e->text);
	uint32_t at = g->generated++;
	bool stop = false;

	if (at > 0)
		sk_times_tell(&e->meters.token_gap, now - g->token_us);
	g->token_us = now;
	g->ids[g->prompt_len + at] = out->id;
	g->logprob[at] = out->logprob;
	if (g->top) {
		g->top_len[at] = (uint16_t)out->top_len;
		memcpy(&g->top[(size_t)at * g->top_max], out->top, out->top_len * sizeof(*out->top));
	}
	if (g->stop && g->tgi_text)
		stop = stop_feed_end(e, g);
	else if (g->stop)
		stop = stop_feed(e, g, out->id, !e->setup.keep_special && sk_text_is_special(text, out->id));
	else
		g->released = g->generated;
	/* TGI's precedence. */
	if (g->generated == g->max_new)
		gen_finish(e, g, SK_FINISH_LENGTH, now);
	else if (!g->ignore_eos && (g->eos >= 0 ? out->id == g->eos : sk_text_is_eos(text, out->id)))
		gen_finish(e, g, SK_FINISH_EOS, now);
	else if (stop)
		gen_finish(e, g, SK_FINISH_STOP, now);
	else
		sk_gen_publish(g, SK_GEN_GOES_ON);
	return g->ended;
}

static void commit(struct sk_engine *e, const struct step *s, sk_status st)
{
	struct sk_step_room *r = &e->room;
	int64_t now = sk_now_us();
	uint64_t tokens = 0;

	for (int32_t i = 0; i < s->rows && st >= 0; i++) {
		struct sk_gen *g = gen_of(&s->b.seqs[r->row_seq[i]]);
		struct sk_fate *fate = &r->fates[r->row_seq[i]];

		/* Cancelled by the plan that looked ahead. */
		if (g->ended)
			continue;
		if (!isfinite(r->out[i].logprob)) {
			fate->end = true;
			gen_fail(e, g, SK_EENGINE, "the model has produced values that are not numbers");
			continue;
		}
		fate->next = r->out[i].id;
		fate->end = commit_token(e, g, &r->out[i], now);
		tokens++;
	}
	for (int32_t i = 0; i < s->b.S; i++) {
		struct sk_gen *g = gen_of(&s->b.seqs[i]);

		if (st < 0) {
			r->fates[i].end = true;
			if (!g->ended)
				gen_fail(e, g, st == SK_EDEVICE ? st : SK_EENGINE,
					 st == SK_EDEVICE ? "the device failed" : "the engine failed in this step");
		}
		if (--g->in_flight == 0 && g->ended)
			sk_gen_unref(g);
	}
	sk_sched_commit(e->sched, &s->b, r->fates);
	atomic_fetch_add(&e->generated_tokens, tokens);
}

/* ---- the loop ---- */

static void tell_stats(struct sk_engine *e)
{
	struct sk_sched_stats st;

	sk_sched_stats(e->sched, &st);
	/* In this order: who then reads that nothing runs reads all blocks free too. sk_engine_stats() loads `running` first. */
	atomic_store(&e->blocks_free, (uint32_t)st.blocks_free);
	atomic_store(&e->running, (uint32_t)st.running);
	atomic_store(&e->preemptions, st.preemptions);
}

static void tell_step(struct sk_engine *e, enum sk_step_kind kind, sk_status st, const int64_t at[5])
{
	atomic_fetch_add(&e->meters.step[kind].count, 1);
	atomic_fetch_add(&e->meters.step[kind].failed, st < 0);
	sk_times_tell(&e->meters.step[kind].whole, at[4] - at[0]);
	sk_times_tell(&e->meters.step[kind].forward, at[1] - at[0]);
	sk_times_tell(&e->meters.step[kind].sample, at[3] - at[2]);
	sk_times_tell(&e->meters.step[kind].plan, at[4] - at[3] + at[2] - at[1]);
}

static enum sk_step_kind step_kind(const struct step *s)
{
	for (int32_t i = 0; i < s->b.S; i++)
		if (s->b.seqs[i].prefill)
			return SK_STEP_PREFILL;
	return SK_STEP_DECODE;
}

/* A device that has failed stays so. Other failures may be over with the next step, but not for ever. */
static void tell_failure(struct sk_engine *e, const struct step *s, sk_status st, const struct sk_err *err)
{
	if (st >= 0) {
		e->failures = s->arrays.S > 0 ? 0 : e->failures;
		return;
	}
	sk_log(SK_LOG_ERROR, "step of %d tokens failed: %s", (int)s->arrays.T, err->text);
	e->failures = st == SK_EDEVICE ? SK_FAILURES_MAX : e->failures + 1;
	if (e->failures < SK_FAILURES_MAX)
		return;
	pthread_mutex_lock(&e->lock);
	e->load_err = *err;
	e->load_err.status = st;
	pthread_mutex_unlock(&e->lock);
	atomic_store(&e->state, SK_STATE_FAILED);       /* before anybody hears of it */
}

/* at[]: when it began, the forward ended, a plan that looks ahead was made, the commit was done, the next plan was made. */
static void run_step(struct sk_engine *e, struct step *s, struct step *next)
{
	int64_t at[5] = { sk_now_us() };
	enum sk_step_kind kind = step_kind(s);
	uint64_t prompt_tokens = 0;
	sk_status st;
	struct sk_err err;

	atomic_store(&e->step_began_us, at[0]);
	build(e, s);
	st = forward(e, s, &err);
	if (st >= 0 && s->arrays.S > 0) {
		if (!s->b.encode)
			prompt_rows(e, s);
		/* Behind an encoder the prompt is its input; the start token is nobody's. */
		for (int32_t i = 0; i < s->b.S && s->b.encode == (e->setup.start_id >= 0); i++)
			prompt_tokens += s->b.seqs[i].prefill ? (uint64_t)s->b.seqs[i].len : 0;
	}
	at[1] = sk_now_us();
	/* Not after a failure: its sequences are about to go, and there is nothing to gain time for. */
	if (e->look_ahead && st >= 0)
		plan(e, next);
	at[2] = sk_now_us();
	if (st >= 0) {
		sample(e, s);
		st = s->arrays.S > 0 ? sk_model_sync(e->model, &err) : SK_OK;
	}
	atomic_store(&e->step_began_us, 0);
	tell_failure(e, s, st, &err);
	commit(e, s, st);
	atomic_fetch_add(&e->steps, 1);
	atomic_fetch_add(&e->prompt_tokens, st >= 0 ? prompt_tokens : 0);
#ifdef SK_DEBUG
	if (sk_sched_check(e->sched, &err) < 0)
		sk_bug(__FILE__, __LINE__, err.text);
#endif
	at[3] = sk_now_us();
	if (!e->look_ahead || st < 0)
		plan(e, next);
	tell_stats(e);
	at[4] = sk_now_us();
	atomic_fetch_add(&e->step_us, (uint64_t)(at[4] - at[0]));
	tell_step(e, kind, st, at);
	sk_news_tell(e);
}

/* false: closing. */
static bool wait_for_work(struct sk_engine *e)
{
	pthread_mutex_lock(&e->lock);
	while (!e->submitted && !atomic_load(&e->closing))
		pthread_cond_wait(&e->wake, &e->lock);
	pthread_mutex_unlock(&e->lock);
	return !atomic_load(&e->closing);
}

/* The last words to everybody, those still in the submit list included; nobody comes in any more. */
static void leave(struct sk_engine *e)
{
	bool failed = e->failures >= SK_FAILURES_MAX;

	pthread_mutex_lock(&e->lock);
	e->gone = true;
	pthread_mutex_unlock(&e->lock);
	intake(e, sk_now_us());
	fail_all(e, failed ? SK_EENGINE : SK_ECANCELED, failed ? "the engine has failed" : "the server is shutting down");
	tell_stats(e);
	sk_news_tell(e);
}

void sk_step_loop(struct sk_engine *e)
{
	struct step steps[2];
	int now = 0;

	plan(e, &steps[now]);
	while (!atomic_load(&e->closing) && e->failures < SK_FAILURES_MAX) {
		struct step *s = &steps[now];

		if (s->b.S > 0) {
			now ^= 1;
			run_step(e, s, &steps[now]);
			continue;
		}
		/* Nothing to compute: cancelled ones still want to hear it, and with look-ahead a new plan may find work. */
		tell_stats(e);
		sk_news_tell(e);
		if (!e->active && !wait_for_work(e))
			break;
		plan(e, s);
	}
	/* What a plan has promised to a step that will not run. */
	for (int32_t i = 0; i < steps[now].b.S; i++) {
		struct sk_gen *g = gen_of(&steps[now].b.seqs[i]);

		if (--g->in_flight == 0 && g->ended)
			sk_gen_unref(g);
	}
	leave(e);
}

sk_status sk_step_warm_up(struct sk_engine *e, struct sk_err *err)
{
	int32_t id = e->setup.info.bos_id >= 0 && (uint32_t)e->setup.info.bos_id < e->setup.info.vocab ? e->setup.info.bos_id : 0;
	int32_t zero = 0, one = 1, start[2] = { 0, 1 };
	const int32_t *blocks = &zero, *cross = &one;
	struct sk_step s = { .T = 1, .S = 1, .ids = &id, .pos = &zero, .seq_start = start, .blocks = &blocks };
	const float *logits;
	sk_status st = SK_OK;
	int recorded = sk_model_record(e->model);

	if (recorded)
		sk_log(SK_LOG_INFO, "%d steps recorded, of up to %u sequences", recorded, e->setup.info.sequences_max);
	if (e->setup.start_id >= 0) {
		id = e->setup.start_id;
		s.blocks = s.cross_blocks = &cross;
		s.cross_len = &one;
		st = sk_model_encode(e->model, &s, err);
		s.blocks = &blocks;
	}
	if (st >= 0)
		st = sk_model_forward(e->model, &s, &zero, 1, &logits, err);
	if (st < 0)
		return st;
	for (uint32_t i = 0; i < e->setup.info.vocab; i++)
		if (!isfinite(logits[i]))
			return sk_fail(err, SK_EENGINE, "the model's first answer is not a number: its weights are broken");
	return SK_OK;
}
