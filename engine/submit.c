/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The way in: a request is tokenised and checked in its caller's thread, gets all its memory, and joins the submit list.
 *
 * The texts of errors and their order are TGI's.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/clock.h"
#include "engine/base/rand.h"
#include "engine/inside.h"

#define TEXT_MAX ((size_t)1 << 30)      /* of what one event may point to */
#define TEXT_FIRST 1024                 /* room made at submit: most tokens are a few bytes */
#define NEW_TOKENS_MAX (SK_PUBLISHED_COUNT / 2)
#define TAIL_FIRST ((size_t)1 << 16)    /* bytes of a truncated prompt that are tried first */

bool sk_gen_params_samples(const struct sk_gen_params *p)
{
	return p->do_sample || p->temperature != 1.0f || p->top_k != 0 || p->top_p < 1.0f || p->typical_p < 1.0f ||
	       p->min_p > 0.0f;
}

/* ---- checks ---- */

static sk_status submit_state(struct sk_engine *e, struct sk_err *err)
{
	enum sk_engine_state state = (enum sk_engine_state)atomic_load(&e->state);

	if (state == SK_STATE_FAILED)
		return sk_fail(err, SK_EENGINE, "the engine has failed");
	if (atomic_load(&e->refusing))
		return sk_fail(err, SK_EDRAINING, "the server is shutting down");
	if (state == SK_STATE_LOADING)
		return sk_fail(err, SK_ELOADING, "the model is still loading: %" PRIu64 " of %" PRIu64 " MiB",
			       atomic_load(&e->load_done) >> 20, e->load_total >> 20);
	return SK_OK;
}

static sk_status submit_params(const struct sk_engine *e, const struct sk_gen_params *p, struct sk_err *err)
{
	const struct sk_info *i = &e->setup.info;

	if (p->n == 0 || p->n > SK_GEN_N_MAX)
		return sk_fail(err, SK_EINVAL, "a request has 1 to %d sequences. Given: %u", SK_GEN_N_MAX, p->n);
	if (p->top_n_tokens > i->top_n_max)
		return sk_fail(err, SK_EINVAL, "`top_n_tokens` must be >= 0 and <= %u. Given: %u", i->top_n_max,
			       p->top_n_tokens);
	if (p->ids ? p->ids_len == 0 : p->prompt_len == 0)
		return sk_fail(err, SK_EINVAL, "`inputs` cannot be empty");
	if (p->weight > SK_SCHED_WEIGHT_MAX)
		return sk_fail(err, SK_EINVAL, "a client's weight is %d at most. Given: %u", SK_SCHED_WEIGHT_MAX, p->weight);
	if (p->truncate > i->input_tokens_max)
		return sk_fail(err, SK_EINVAL, "`truncate` must be strictly positive and less than %u. Given: %u",
			       i->input_tokens_max, p->truncate);
	if (p->bias_len > SK_LOGIT_BIAS_MAX)
		return sk_fail(err, SK_EINVAL, "`logit_bias` supports up to %d tokens. Given: %zu", SK_LOGIT_BIAS_MAX, p->bias_len);
	for (size_t k = 0; k < p->bias_len; k++)
		if (p->bias[k].id < 0 || (uint32_t)p->bias[k].id >= i->vocab)
			return sk_fail(err, SK_EINVAL, "`logit_bias` names token %d, the vocabulary has %u", (int)p->bias[k].id,
				       i->vocab);
	return SK_OK;
}

/* A prompt far too long is refused by its bytes: 16 MiB of one letter are one word, tokenised in 3 s and 530 MiB. */
static sk_status submit_least(const struct sk_engine *e, const struct sk_gen_params *p, struct sk_err *err)
{
	size_t least = sk_text_least(atomic_load(&e->text), p->prompt, p->prompt_len);

	if (least <= e->setup.info.input_tokens_max)
		return SK_OK;
	return sk_fail(err, SK_EINVAL, "`inputs` must have less than %u tokens. Given: at least %zu",
		       e->setup.info.input_tokens_max, least);
}

/* 16 MiB of a sequence's letters would become 300: what is longer than this is refused. */
#define MARKED_BYTES_MAX ((size_t)64 << 20)

/* The prompt with its sequences marked, where it has any and the model knows them; p->prompt then points into *marked. */
static sk_status submit_mark(const struct sk_engine *e, struct sk_gen_params *p, struct sk_buf *marked, struct sk_err *err)
{
	sk_status st;

	if (p->ids || !e->setup.sequences || !memmem(p->prompt, p->prompt_len, "[START_", 7) || !sk_sequences_known(atomic_load(&e->text)))
		return SK_OK;
	st = sk_sequences_mark(p->prompt, p->prompt_len, marked);
	if (st == SK_ETOOBIG)
		return sk_fail(err, SK_EINVAL, "`inputs` have sequences of more letters than %zu bytes hold with their markers", MARKED_BYTES_MAX);
	if (st < 0)
		return sk_fail(err, st, "no memory for the prompt");
	p->prompt = marked->data;
	p->prompt_len = marked->len;
	return SK_OK;
}

static sk_status submit_encode(const struct sk_engine *e, const struct sk_gen_params *p, size_t from, struct sk_ids *io,
			       struct sk_err *err)
{
	return sk_text_encode(atomic_load(&e->text), p->prompt + from, p->prompt_len - from, !p->no_special, true, 0, io,
			      err);
}

/*
 * Of a prompt that is truncated only the last tokens matter: a tail of the text is tokenised that gives enough of them
 * and begins where the whole text has a cut, longer ones until one does. What has no such tail would hold its worker for
 * seconds, as above, and is refused.
 */
static sk_status submit_tail(const struct sk_engine *e, const struct sk_gen_params *p, struct sk_ids *io,
			     struct sk_err *err)
{
	const struct sk_text *text = atomic_load(&e->text);
	size_t len = p->prompt_len, tail, from;
	sk_status st;

	for (tail = TAIL_FIRST; tail <= SK_TRUNCATE_BYTES_MAX; tail *= 2) {
		from = len <= tail ? 0 : sk_text_cut(text, p->prompt, len, len - tail);
		if (from == len)
			continue;
		io->len = 0;
		st = submit_encode(e, p, from, io, err);
		/* One more than asked for: the first may be the beginning of sequence, which belongs to the whole. */
		if (st < 0 || from == 0 || io->len > p->truncate)
			return st;
	}
	return sk_fail(err, SK_EINVAL, "`truncate` keeps tokens of the last %zu bytes of `inputs`, and the last %u tokens "
		       "are not known to lie there. Given: %zu bytes", SK_TRUNCATE_BYTES_MAX, p->truncate, len);
}

/* The prompt as ids; *io holds memory that the caller frees. */
static sk_status submit_ids(const struct sk_engine *e, const struct sk_gen_params *p, struct sk_ids *io,
			    const int32_t **ret_ids, size_t *ret_len, struct sk_err *err)
{
	struct sk_buf marked = SK_BUF(MARKED_BYTES_MAX);
	struct sk_gen_params q = *p;
	sk_status st;

	*ret_ids = p->ids;
	*ret_len = p->ids_len;
	if (!p->ids) {
		st = p->truncate ? SK_OK : submit_least(e, p, err);
		if (st >= 0)
			st = submit_mark(e, &q, &marked, err);
		if (st >= 0)
			st = p->truncate ? submit_tail(e, &q, io, err) : submit_encode(e, &q, 0, io, err);
		sk_buf_fini(&marked);
		if (st < 0)
			return st;
		*ret_ids = io->ids;
		*ret_len = io->len;
	}
	for (size_t i = 0; p->ids && i < p->ids_len; i++)
		if (p->ids[i] < 0 || (uint32_t)p->ids[i] >= e->setup.info.vocab)
			return sk_fail(err, SK_EINVAL, "token id %d is not one of the vocabulary of %u", (int)p->ids[i],
				       e->setup.info.vocab);
	if (*ret_len == 0)
		return sk_fail(err, SK_EINVAL, "`inputs` cannot be empty");
	if (p->truncate && *ret_len > p->truncate) {
		*ret_ids += *ret_len - p->truncate;
		*ret_len = p->truncate;
	}
	return SK_OK;
}

/* *ret_new: how many tokens it may generate. */
static sk_status submit_lengths(const struct sk_engine *e, const struct sk_gen_params *p, size_t len, uint32_t *ret_new,
				struct sk_err *err)
{
	const struct sk_info *i = &e->setup.info;
	uint32_t room = len < i->total_tokens_max ? i->total_tokens_max - (uint32_t)len : 0;

	*ret_new = p->max_new_tokens ? p->max_new_tokens : room < NEW_TOKENS_MAX ? room : NEW_TOKENS_MAX;
	if (p->max_new_tokens == 0 && room == 0)
		return sk_fail(err, SK_EINVAL, "`inputs` must have less than %u tokens. Given: %zu", i->input_tokens_max, len);
	if (p->max_new_tokens > NEW_TOKENS_MAX || (uint64_t)len + p->max_new_tokens > i->total_tokens_max)
		return sk_fail(err, SK_EINVAL, "`inputs` tokens + `max_new_tokens` must be <= %u. Given: %zu `inputs` tokens and %u "
			       "`max_new_tokens`", i->total_tokens_max, len, p->max_new_tokens);
	if (len > i->input_tokens_max)
		return sk_fail(err, SK_EINVAL, "`inputs` must have less than %u tokens. Given: %zu", i->input_tokens_max, len);
	return SK_OK;
}

/* ---- memory ---- */

/* Pieces of one block, each aligned; with base NULL only the sum is made. */
static void *piece(char *base, size_t *at, size_t count, size_t bytes)
{
	size_t from = *at;

	*at = (from + count * bytes + 15) & ~(size_t)15;
	return base && count ? base + from : NULL;
}

/* The n sequences' own, one behind the other. Returns their stride. */
static size_t gen_lay_out(struct sk_gen *g, const struct sk_gen_params *p, char *base)
{
	size_t at = 0, total = (size_t)g->prompt_len + g->max_new;

	piece(base, &at, 1, sizeof(*g));
	g->ids = piece(base, &at, total, sizeof(*g->ids));
	g->logprob = piece(base, &at, g->max_new, sizeof(*g->logprob));
	g->text_end = piece(base, &at, p->stop_len ? g->max_new : 0, sizeof(*g->text_end));
	g->top_len = piece(base, &at, g->top_max ? g->max_new : 0, sizeof(*g->top_len));
	g->top = piece(base, &at, (size_t)g->top_max * g->max_new, sizeof(*g->top));
	g->torch = piece(base, &at, p->rng == SK_RNG_TORCH && sk_gen_params_samples(p), sizeof(*g->torch));
	return at;
}

/* What is behind them, for all. Returns the bytes of all together. */
static size_t gen_lay_out_shared(struct sk_gen *g, const struct sk_gen_params *p, char *base)
{
	size_t at = g->n * g->stride, tokens = p->prompt_logprobs ? g->prompt_len : 0;

	if (tokens < g->top_max)
		tokens = g->top_max;
	g->source = piece(base, &at, g->source_len, sizeof(*g->source));
	g->prompt_logprob = piece(base, &at, p->prompt_logprobs ? g->prompt_len : 0, sizeof(*g->prompt_logprob));
	g->tokens = piece(base, &at, tokens, sizeof(*g->tokens));
	g->bias = piece(base, &at, p->bias_len, sizeof(*g->bias));
	return at;
}

/* The tokenizer's own end token; -1: it has none, so that what the model names counts all the same. */
static int32_t own_eos(const struct sk_engine *e)
{
	struct sk_text_info ti;

	sk_text_info(atomic_load(&e->text), &ti);
	return ti.eos;
}

/* A sequence of `root`, which has everything but what is a sequence's own. */
static sk_status gen_seq_begin(struct sk_gen *root, uint32_t i, const struct sk_gen_params *p, struct sk_err *err)
{
	struct sk_gen *g = sk_gen_seq(root, i);

	if (i > 0)
		*g = *root;
	g->seq = i;
	gen_lay_out(g, p, (char *)g);
	if (i > 0) {
		memcpy(g->ids, root->ids, g->prompt_len * sizeof(*g->ids));
		g->prompt_logprob = NULL;       /* the first one's business */
		g->stop = NULL;
		g->read = 1;
	}
	if (g->sample.draw && !p->has_seed)
		g->sample.seed = sk_rand_seed();
	else if (p->rng == SK_RNG_TORCH)
		g->sample.seed += i;
	else
		g->draw_seq = i;
	return p->stop_len ? sk_stop_open(p->stop, p->stop_bytes, p->stop_len, &g->stop, err) : SK_OK;
}

/*
 * One block for the generation and all it may emit. Its large part is never touched until tokens come (calloc takes big
 * blocks from the kernel, which gives pages when they are written), so a long max_new_tokens costs little by itself.
 */
static sk_status gen_open(struct sk_engine *e, const struct sk_gen_params *p, const int32_t *ids, size_t len,
			  uint32_t max_new, int64_t now, struct sk_gen **ret_gen, struct sk_err *err)
{
	bool encoder = e->setup.start_id >= 0;
	struct sk_gen shape = { .e = e, .n = p->n, .left = p->n, .prompt_len = encoder ? 1 : (uint32_t)len,
				.source_len = encoder ? (uint32_t)len : 0, .max_new = max_new,
				.top_max = p->top_n_tokens ? p->top_n_tokens + SK_TOP_TIES : 0, .ignore_eos = p->ignore_eos,
				.tgi_text = p->tgi_text, .client = p->client, .weight = p->weight };
	struct sk_gen *g;
	sk_status st = SK_OK;

	shape.stride = gen_lay_out(&shape, p, NULL);
	g = calloc(1, gen_lay_out_shared(&shape, p, NULL));
	if (!g)
		return sk_fail(err, SK_ENOMEM, "no memory for %u sequences of %zu tokens", p->n, len + max_new);
	*g = shape;
	g->root = g;
	gen_lay_out(g, p, (char *)g);
	gen_lay_out_shared(g, p, (char *)g);
	memcpy(encoder ? g->source : g->ids, ids, len * sizeof(*ids));
	if (encoder)
		g->ids[0] = e->setup.start_id;
	if (p->bias_len)
		memcpy(g->bias, p->bias, p->bias_len * sizeof(*p->bias));
	g->id = atomic_fetch_add(&e->ids, 1) + 1;
	g->eos = p->one_eos ? own_eos(e) : -1;
	sk_text_window_begin(&g->window, g->prompt_len);
	g->stop_window = g->window;
	g->sample = (struct sk_sample_params){
		.draw = sk_gen_params_samples(p), .temperature = p->temperature,
		.repetition_penalty = p->repetition_penalty, .frequency_penalty = p->frequency_penalty, .frequency_share = p->frequency_share,
		.mark = p->watermark ? &e->mark : NULL,
		.presence_penalty = p->presence_penalty, .bias = g->bias, .bias_len = p->bias_len,
		.top_p = p->top_p, .typical_p = p->typical_p, .min_p = p->min_p, .top_k = p->top_k, .top_n = p->top_n_tokens, .seed = p->seed,
	};
	/* The others are copies of the first, which must not have its own stop strings and seed yet: it comes last. */
	for (uint32_t i = p->n; i-- > 0 && st >= 0;)
		st = gen_seq_begin(g, i, p, err);
	sk_buf_init(&g->text, TEXT_MAX);
	if (st >= 0 && sk_buf_reserve(&g->text, TEXT_FIRST) < 0)
		st = sk_fail(err, SK_ENOMEM, "no memory for the text of a request");
	if (st < 0) {
		sk_gen_free(g);
		return st;
	}
	for (uint32_t i = 0; i < p->n; i++)
		sk_gen_seq(g, i)->submitted_us = now;
	atomic_init(&g->refs, 1 + (int)p->n);   /* the caller's and the engine thread's */
	atomic_fetch_add(&e->refs, 1);
	*ret_gen = g;
	return SK_OK;
}

/* ---- the door ---- */

/* Join the list, unless the door closed meanwhile. */
static sk_status submit_push(struct sk_engine *e, struct sk_gen *g, struct sk_err *err)
{
	uint32_t waiting;
	sk_status st = SK_OK;

	pthread_mutex_lock(&e->lock);
	waiting = atomic_load(&e->waiting);
	if (e->gone) {
		st = submit_state(e, err);
		if (st >= 0)
			st = sk_fail(err, SK_EDRAINING, "the server is shutting down");
	} else if (atomic_load(&e->refusing)) {
		st = sk_fail(err, SK_EDRAINING, "the server is shutting down");
	} else if (waiting > 0 && waiting + g->n > e->queue_max) {
		st = sk_fail(err, SK_EOVERLOADED, "Model is overloaded");
	} else {
		atomic_fetch_add(&e->waiting, g->n);
		atomic_fetch_add(&e->held, g->n);
		g->next = NULL;
		*e->submitted_end = g;
		e->submitted_end = &g->next;
		pthread_cond_signal(&e->wake);
	}
	pthread_mutex_unlock(&e->lock);
	return st;
}

sk_status sk_engine_submit(struct sk_engine *e, const struct sk_gen_params *p, struct sk_gen **ret_gen, struct sk_err *err)
{
	int64_t now = sk_now_us();
	struct sk_ids v = { 0 };
	struct sk_gen *g = NULL;
	const int32_t *ids;
	uint32_t max_new = 0;
	size_t len;
	sk_status st;

	st = submit_state(e, err);
	if (st >= 0)
		st = submit_params(e, p, err);
	if (st >= 0)
		st = submit_ids(e, p, &v, &ids, &len, err);
	if (st >= 0)
		st = submit_lengths(e, p, len, &max_new, err);
	if (st >= 0)
		st = gen_open(e, p, ids, len, max_new, now, &g, err);
	sk_ids_fini(&v);
	if (st < 0)
		return st;
	st = submit_push(e, g, err);
	if (st < 0) {
		for (uint32_t i = 0; i <= p->n; i++)
			sk_gen_unref(g);
		return st;
	}
	*ret_gen = g;
	return SK_OK;
}
