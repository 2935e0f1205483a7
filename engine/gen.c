/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A generation seen from its reader: events, the ready list, waiting, cancelling, closing.
 *
 * The engine thread writes ids and log-probabilities; their text is made here, by the thread that reads them, so that
 * a token costs the engine thread a few stores. `published` only grows, everything below it is constant.
 */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <unistd.h>

#include "engine/inside.h"

#define TEXT_MAX ((size_t)1 << 30)

/* ---- engine thread: telling ---- */

void sk_gen_publish(struct sk_gen *g, int end)
{
	struct sk_engine *e = g->e;
	struct sk_gen *root = g->root;
	uint32_t count = g->first_us && g->generated ? 1 + g->released : 0;

	atomic_store(&g->published, count | (uint32_t)end << 30);
	if (root->news || !atomic_load(&g->e->belled))
		return;
	root->news = true;
	root->news_next = NULL;
	atomic_fetch_add(&root->refs, 1);       /* the list's, or at once given to the ready list */
	*e->news_end = root;
	e->news_end = &root->news_next;
}

/*
 * Everything published since the last call goes to the ready list, and the bell rings once. A generation that is still in
 * the list is not put there again: `queued` is taken back by the reader before it looks at `published`.
 */
void sk_news_tell(struct sk_engine *e)
{
	struct sk_gen *g = e->news;
	bool ring = false;

	e->news = NULL;
	e->news_end = &e->news;
	while (g) {
		struct sk_gen *next = g->news_next;

		g->news = false;
		if (atomic_exchange(&g->queued, true)) {
			sk_gen_unref(g);
		} else {
			struct sk_gen *head = atomic_load(&e->ready);

			do
				g->ready_next = head;
			while (!atomic_compare_exchange_weak(&e->ready, &head, g));
			/* Where the reader has not taken the stack since the last ring, that ring is still to be heard. */
			ring = ring || !head;
		}
		g = next;
	}
	if (ring) {
		uint64_t one = 1;

		/* It can only fail when the counter is full, and then it rings already. */
		while (write(e->bell, &one, sizeof(one)) < 0 && errno == EINTR)
			;
	}
	if (atomic_load(&e->waiters) > 0) {
		pthread_mutex_lock(&e->lock);
		pthread_cond_broadcast(&e->told);
		pthread_mutex_unlock(&e->lock);
	}
}

void sk_gen_free(struct sk_gen *root)
{
	for (uint32_t i = 0; i < root->n; i++)
		sk_stop_close(&sk_gen_seq(root, i)->stop);
	sk_buf_fini(&root->text);
	free(root);
}

void sk_gen_unref(struct sk_gen *g)
{
	struct sk_engine *e = g->e;

	g = g->root;
	if (atomic_fetch_sub(&g->refs, 1) != 1)
		return;
	sk_gen_free(g);
	sk_engine_unref(e);
}

/* ---- reader: which generations have news ---- */

int sk_engine_doorbell(const struct sk_engine *e)
{
	/* Who never asks is a program that waits: its generations need no ready list, which would hold closed ones. */
	atomic_store(&((struct sk_engine *)e)->belled, true);
	return e->bell;
}

struct sk_gen *sk_engine_next_ready(struct sk_engine *e)
{
	for (;;) {
		struct sk_gen *g = e->taken;
		bool last;

		if (!g) {
			struct sk_gen *stack = atomic_exchange(&e->ready, NULL);

			while (stack) {
				struct sk_gen *next = stack->ready_next;

				stack->ready_next = g;
				g = stack;
				stack = next;
			}
			if (!g)
				return NULL;
		}
		e->taken = g->ready_next;
		/* From here the engine may put it on the stack again, with what it publishes from now on. */
		atomic_exchange(&g->queued, false);
		last = g->closed;
		sk_gen_unref(g);
		if (!last)
			return g;       /* the caller's own reference holds it */
	}
}

/* ---- reader: events ---- */

static void event_token(struct sk_gen *g, struct sk_event_token *t, int32_t id, float logprob)
{
	*t = (struct sk_event_token){ .id = id, .logprob = logprob,
				      .special = !g->e->setup.keep_special && sk_text_is_special(atomic_load(&g->e->text), id) };
}

/* Texts of tokens that stand alone: each decoded by itself. Pointers are set last, as the buffer may move while it grows. */
static void tokens_decode(struct sk_gen *g, struct sk_event_token *t, size_t len)
{
	const struct sk_text *text = atomic_load(&g->e->text);
	size_t at = g->root->text.len;

	for (size_t i = 0; i < len; i++) {
		size_t from = g->root->text.len;

		sk_text_decode(text, &t[i].id, 1, false, &g->root->text);
		t[i].text_len = g->root->text.len - from;
	}
	for (size_t i = 0; i < len; i++) {
		t[i].text = g->root->text.data ? g->root->text.data + at : "";
		at += t[i].text_len;
	}
}

static void event_prefill(struct sk_gen *g, struct sk_event *ev)
{
	ev->type = SK_EVENT_PREFILL;
	ev->prefill.prompt_tokens = sk_gen_prompt_tokens(g);
	if (!g->prompt_logprob)
		return;
	for (uint32_t i = 0; i < g->prompt_len; i++)
		event_token(g, &g->tokens[i], g->ids[i], i > 0 ? g->prompt_logprob[i] : NAN);
	tokens_decode(g, g->tokens, g->prompt_len);
	ev->prefill.tokens = g->tokens;
	ev->prefill.tokens_len = g->prompt_len;
}

static void event_generated(struct sk_gen *g, struct sk_event *ev, uint32_t index, bool last)
{
	const struct sk_text *text = atomic_load(&g->e->text);
	size_t own;

	ev->type = SK_EVENT_TOKEN;
	ev->token.index = index;
	ev->token.last = last;
	event_token(g, &ev->token.t, g->ids[g->prompt_len + index], g->logprob[index]);
	/* Behind the last nothing comes that could finish a character: its replacement is this token's, but with TGI. */
	sk_text_window_push(text, &g->window, g->ids, (size_t)g->prompt_len + index + 1, last && !g->tgi_text, &g->root->text);
	own = g->root->text.len;
	if (g->top) {
		ev->token.top_len = g->top_len[index];
		for (size_t i = 0; i < ev->token.top_len; i++) {
			const struct sk_sample_alt *alt = &g->top[(size_t)index * g->top_max + i];

			event_token(g, &g->tokens[i], alt->id, alt->logprob);
		}
		tokens_decode(g, g->tokens, ev->token.top_len);
		ev->token.top = g->tokens;
	}
	ev->token.t.text = own ? g->root->text.data : "";
	ev->token.t.text_len = own;
}

/* As the stop strings saw it: where it was cut is a place in what a stream gives. */
static void text_cut(struct sk_gen *g, uint32_t generated)
{
	const struct sk_text *text = atomic_load(&g->e->text);
	struct sk_detok d = { .tail_len = 0 };

	for (uint32_t i = 0; i < generated; i++)
		if (g->e->setup.keep_special || !sk_text_is_special(text, g->ids[g->prompt_len + i]))
			sk_detok_push(text, &d, g->ids[g->prompt_len + i], &g->root->text);
	if (g->text_cut < g->root->text.len)
		g->root->text.len = g->text_cut;
}

static void event_finish(struct sk_gen *g, struct sk_event *ev, uint32_t generated)
{
	ev->type = SK_EVENT_FINISH;
	if (g->stop_bytes > 0)
		text_cut(g, generated);
	else
		sk_text_decode(atomic_load(&g->e->text), g->ids + g->prompt_len, generated, !g->e->setup.keep_special, &g->root->text);
	ev->finish.reason = g->reason;
	ev->finish.generated_tokens = generated;
	ev->finish.prompt_tokens = sk_gen_prompt_tokens(g);
	ev->finish.text = g->root->text.len ? g->root->text.data : "";
	ev->finish.text_len = g->root->text.len;
	ev->finish.stop_bytes = g->stop_bytes;
	ev->finish.seed = g->sample.seed;
	ev->finish.has_seed = g->sample.draw;
	ev->finish.queue_us = g->queue_us;
	ev->finish.inference_us = g->inference_us;
}

static bool gen_has_more(const struct sk_gen *g, uint32_t published)
{
	return !g->end_read && (g->read < (published & SK_PUBLISHED_COUNT) || published >> 30 != SK_GEN_GOES_ON);
}

/*
 * The sequence whose event is next: by turns, so that none waits for another's answer to end. NULL: there is no news.
 * PREFILL comes before all; only the first sequence has it, and it gets its first token no later than the others.
 */
static struct sk_gen *gen_next_seq(struct sk_gen *g)
{
	for (uint32_t i = 0; i < g->n; i++) {
		struct sk_gen *s = sk_gen_seq(g, (g->turn + i) % g->n);
		uint32_t published = atomic_load(&s->published);

		if (gen_has_more(s, published) && (s == g || g->read > 0 || published >> 30 == SK_GEN_FAILED))
			return s;
	}
	return NULL;
}

sk_status sk_gen_next(struct sk_gen *root, struct sk_event *ret_event)
{
	struct sk_gen *g = root->left > 0 ? gen_next_seq(root) : NULL;
	uint32_t published, count;
	int end;

	if (!g)
		return root->left > 0 ? SK_EAGAIN : SK_ENDED;
	published = atomic_load(&g->published);
	count = published & SK_PUBLISHED_COUNT;
	end = (int)(published >> 30);
	*ret_event = (struct sk_event){ .seq = g->seq, .left = root->left };
	sk_buf_clear(&root->text);
	root->turn = g->seq;
	if (g->read < count) {
		uint32_t at = g->read++;

		if (at == 0)
			event_prefill(g, ret_event);
		else
			event_generated(g, ret_event, at - 1, end == SK_GEN_FINISHED && g->read == count);
		if (at > 0 && !ret_event->token.last)
			root->turn = (g->seq + 1) % root->n;
		return SK_OK;
	}
	g->end_read = true;
	ret_event->left = --root->left;
	if (end == SK_GEN_FINISHED) {
		event_finish(g, ret_event, count - 1);
		return SK_OK;
	}
	ret_event->type = SK_EVENT_FAIL;
	ret_event->left = root->left = 0;
	ret_event->fail.status = root->fail_status;
	ret_event->fail.text = root->fail_text;
	return SK_OK;
}

sk_status sk_gen_wait(struct sk_gen *g, struct sk_event *ret_event)
{
	struct sk_engine *e = g->e;
	sk_status st = sk_gen_next(g, ret_event);

	while (st == SK_EAGAIN) {
		/* The engine thread publishes, then looks for waiters; here it is the other way round: one sees the other. */
		pthread_mutex_lock(&e->lock);
		atomic_fetch_add(&e->waiters, 1);
		while (!gen_next_seq(g))
			pthread_cond_wait(&e->told, &e->lock);
		atomic_fetch_sub(&e->waiters, 1);
		pthread_mutex_unlock(&e->lock);
		st = sk_gen_next(g, ret_event);
	}
	return st;
}

/* ---- small things ---- */

void sk_gen_cancel(struct sk_gen *g)
{
	/* The engine thread does not sleep while a generation goes on: no need to wake it. */
	atomic_store(&g->cancel, true);
	atomic_store(&g->e->cancels, true);
}

void sk_gen_close(struct sk_gen **pg)
{
	struct sk_gen *g = *pg;

	if (!g)
		return;
	*pg = NULL;
	for (uint32_t i = 0; i < g->n; i++)
		if (atomic_load(&sk_gen_seq(g, i)->published) >> 30 == SK_GEN_GOES_ON)
			sk_gen_cancel(g);
	g->closed = true;
	sk_gen_unref(g);
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
	return g->source_len ? g->source_len : g->prompt_len;
}

uint32_t sk_gen_max_new_tokens(const struct sk_gen *g)
{
	return g->max_new;
}
