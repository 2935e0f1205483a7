/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Arithmetic of waiting: rates that forget, and a book of who comes when.
 */
#include "fcgi/backlog.h"

#include <string.h>

#define MEMORY_S 10.0                   /* what was measured fades with this time constant */
#define FOLD_US 100000                  /* often enough */
#define LEAST_S 0.1                     /* a step's tokens come together: less than this is no measurement */
#define COST_WEIGHT 16.0                /* the mean of about so many requests */
#define FAR_S (SK_RETRY_MAX_S / 2 + 1)  /* the half minute for those without hope begins here */

/* ---- rates -------------------------------------------------------------------------------------------------- */

static double at_once(const struct sk_meter *m)
{
	return m->busy < m->most ? m->busy : m->most;
}

static void fold(struct sk_meter *m, int64_t now_us)
{
	double seconds = (double)(now_us - m->since_us) * 1e-6, keep = MEMORY_S / (MEMORY_S + seconds);

	m->done = m->done * keep + (double)m->fresh;
	m->seconds = m->seconds * keep + seconds;
	m->crowd = m->crowd * keep + seconds * at_once(m);
	m->since_us = now_us;
	m->fresh = 0;
}

void sk_meter_begin(struct sk_meter *m, int64_t now_us)
{
	if (m->busy)
		fold(m, now_us);
	else
		m->since_us = now_us;
	m->busy++;
}

void sk_meter_did(struct sk_meter *m, int64_t n, int64_t now_us)
{
	m->fresh += n;
	if (now_us - m->since_us >= FOLD_US)
		fold(m, now_us);
}

void sk_meter_end(struct sk_meter *m, int64_t now_us)
{
	fold(m, now_us);
	m->busy--;
}

double sk_meter_rate(const struct sk_meter *m)
{
	double rate;

	if (m->seconds < LEAST_S)
		return 0;
	rate = m->done / m->seconds;
	return m->crowd > 0 && at_once(m) > m->crowd / m->seconds ? rate * at_once(m) / (m->crowd / m->seconds) : rate;
}

/* ---- the model ---------------------------------------------------------------------------------------------- */

void sk_backlog_accept(struct sk_backlog *b, int64_t tokens, int64_t now_us)
{
	b->owed += tokens;
	sk_meter_begin(&b->tokens, now_us);
}

void sk_backlog_did(struct sk_backlog *b, int64_t tokens, int64_t now_us)
{
	b->owed -= tokens;
	sk_meter_did(&b->tokens, tokens, now_us);
}

void sk_backlog_end(struct sk_backlog *b, int64_t used, int64_t unused, int64_t now_us)
{
	b->owed -= unused;
	sk_meter_end(&b->tokens, now_us);
	/* One that ended before its first token has cost nothing, and says nothing about others. */
	if (used > 0)
		b->cost += ((double)used - b->cost) / (b->cost > 0 ? COST_WEIGHT : 1);
}

double sk_backlog_places(const struct sk_backlog *b)
{
	double rate = sk_meter_rate(&b->tokens);
	double cost = b->cost > 0 ? b->cost : b->tokens.busy ? (double)b->owed / b->tokens.busy : 0;

	return rate > 0 && cost > 0 ? rate / cost : 1;
}

double sk_backlog_works(const struct sk_backlog *b)
{
	double rate = sk_meter_rate(&b->workers);

	return rate > 0 ? rate : 1;
}

/*
 * Whom the engine reports as waiting may only wait for the step under way to end. What counts is who finds no place: in the
 * batch, or in the pool. That running ones will want blocks too is left out: a refusal must be sure, an acceptance need not.
 */
static double without_place(const struct sk_backlog *b, uint32_t running, uint32_t waiting, uint64_t free_tokens)
{
	double batch = (double)running + waiting - b->tokens.most;
	double pool = b->cost > 0 ? (double)waiting - (double)free_tokens / b->cost : 0;
	double most = batch > pool ? batch : pool;

	return most > 0 ? most : 0;
}

double sk_backlog_wait(const struct sk_backlog *b, uint32_t running, uint32_t waiting, uint64_t free_tokens)
{
	double working = sk_meter_rate(&b->workers), wait = 0, before = without_place(b, running, waiting, free_tokens);

	if (before > 0 && sk_meter_rate(&b->tokens) > 0)
		wait = (before + 1) / sk_backlog_places(b);
	if (b->workers.busy > b->workers.most && working > 0)
		wait += (double)(b->workers.busy - b->workers.most) / working;
	return wait;
}

double sk_backlog_load_left(const struct sk_backlog *b, uint64_t done_bytes, uint64_t total_bytes, int64_t now_us)
{
	double passed = (double)(now_us - b->started_us) * 1e-6;

	if (!done_bytes)
		return passed;          /* as long again, then: there is nothing to tell from */
	return done_bytes < total_bytes ? passed * (double)(total_bytes - done_bytes) / (double)done_bytes : 0;
}

double sk_backlog_restart(const struct sk_backlog *b, int64_t now_us)
{
	double rate = sk_meter_rate(&b->tokens), load = (double)((b->ready_us ? b->ready_us : now_us) - b->started_us) * 1e-6;
	double drain = b->stops_us > now_us && b->owed > 0 ? (double)(b->stops_us - now_us) * 1e-6 : 0;

	return load + (rate > 0 && (double)b->owed / rate < drain ? (double)b->owed / rate : drain);
}

/* ---- the book ----------------------------------------------------------------------------------------------- */

/* What each row holds of the second; the last row is that of clients without one of their own. */
static uint32_t *booked(struct sk_backlog *b, int64_t second)
{
	return b->booked[(uint64_t)second % SK_BOOK_LEN];
}

static void forget(struct sk_backlog *b, int64_t now_s)
{
	if (now_s - b->book_s > SK_BOOK_LEN)
		b->book_s = now_s - SK_BOOK_LEN;
	while (b->book_s < now_s)
		memset(booked(b, ++b->book_s), 0, sizeof b->booked[0]);
}

/* The client's row. Where there is none, who was refused longest ago leaves his; what is booked for him is still booked. */
static int row_of(struct sk_backlog *b, uint64_t client)
{
	int row = 0;

	for (int i = 0; i < SK_BOOK_CLIENTS; i++) {
		if (b->clients[i].id == client && b->clients[i].turn) {
			row = i;
			break;
		}
		if (b->clients[i].turn < b->clients[row].turn)
			row = i;
	}
	if (b->clients[row].id != client || !b->clients[row].turn)
		for (int s = 0; s < SK_BOOK_LEN; s++) {
			b->booked[s][SK_BOOK_CLIENTS] += b->booked[s][row];
			b->booked[s][row] = 0;
		}
	b->clients[row].id = client;
	b->clients[row].turn = ++b->turns;
	return row;
}

/*
 * How many come before the next one of this client, where each other client counts with as many as he has himself: who is refused
 * a thousand times makes himself wait, not those who ask once.
 */
static int64_t before_him(const uint32_t *sums, int row)
{
	int64_t n = sums[SK_BOOK_CLIENTS];

	for (int i = 0; i < SK_BOOK_CLIENTS; i++)
		n += i == row || sums[i] <= sums[row] ? sums[i] : sums[row] + 1;
	return n;
}

static int64_t all_of(const uint32_t *rows)
{
	int64_t n = 0;

	for (int i = 0; i <= SK_BOOK_CLIENTS; i++)
		n += rows[i];
	return n;
}

int sk_backlog_clamp(double seconds)
{
	int whole;

	if (!(seconds > 1))
		return 1;
	if (seconds >= SK_RETRY_MAX_S)
		return SK_RETRY_MAX_S;
	whole = (int)seconds;
	return whole + (whole < seconds);
}

int sk_backlog_book(struct sk_backlog *b, uint64_t client, double from_s, double per_s, int64_t now_us)
{
	int64_t now_s = now_us / 1000000;
	uint32_t sums[SK_BOOK_CLIENTS + 1] = { 0 };
	int first = sk_backlog_clamp(from_s), best, row;

	forget(b, now_s);
	row = row_of(b, client);
	for (int s = 1; s <= SK_RETRY_MAX_S; s++) {
		for (int i = 0; i <= SK_BOOK_CLIENTS; i++)
			sums[i] += booked(b, now_s + s)[i];
		if (s >= first && (double)(before_him(sums, row) + 1) <= per_s * ((double)s - from_s)) {
			booked(b, now_s + s)[row]++;
			return s;
		}
	}
	best = first > FAR_S ? first : FAR_S;
	for (int s = best + 1; s <= SK_RETRY_MAX_S; s++)
		if (all_of(booked(b, now_s + s)) < all_of(booked(b, now_s + best)))
			best = s;
	booked(b, now_s + best)[row]++;
	return best;
}
