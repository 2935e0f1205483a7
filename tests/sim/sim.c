/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The scheduler's simulator: random queues on random small pools, against a model that knows every cell of the cache.
 *
 *	sim [QUEUES [SEED [FIRST]]]     10,000 queues and a fresh seed when not given; a failure prints what to type again
 *
 * Each queue draws limits, requests (arrival, prompt, longest and true answer), cancellations, the look-ahead depth, how
 * late the device is, and whether there is an encoder: then every request has a source too. A request may have several
 * sequences, which begin alike and end each by itself. The device is an array that
 * remembers which token of which request was written into each cell of each block; before a step attends, every cell that
 * it reads must hold the right token, those of the source included. Blocks are copied as a fork asks for. So a block lost, shared by mistake, freed too early
 * or recomputed wrongly shows as a wrong cell.
 *
 * Queues are of three kinds: of one or several clients at random; SHARES, where several clients of different weights have
 * much to do from the beginning, and the one admitted must always have had least for its weight; GUEST, where a client comes
 * late to others' long queues: each of them may begin one request at most before its first, and it may have no more than its
 * share from then on, whatever the others had before.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/rand.h"
#include "engine/sched/sched.h"

enum {
	REQUESTS_MAX = 48, SEQUENCES_EACH = 5, SEQS_MAX = REQUESTS_MAX * SEQUENCES_EACH, TOKENS_MAX = 64, SEQUENCES_MAX = 12, BLOCKS_MAX = 40, BLOCK_TOKENS_MAX = 16, CONTEXT_MAX = 160,
	TABLE_MAX = CONTEXT_MAX, ENCODE_MAX = 64, CLIENTS_MAX = 4, GUESTS = 12,
};

enum kind { RANDOM, SHARES, GUEST, KINDS };

/* pos: of a source's token -1 - its place; seq: 0 for what all sequences of a request have in common */
struct cell { uint64_t id; int32_t seq, pos; };

/* One sequence of a request, as the model of an engine sees it. They follow each other in reqs[]. */
struct req {
	uint64_t id;
	int32_t seq, n;
	int32_t prompt_len, max_new, eos_at;    /* eos_at: ends after this many tokens, when that is less than max_new */
	int64_t arrives, cancelled_at;          /* in steps; -1: never */
	int client;
	uint64_t turn;                          /* order of admission, from its first part in a batch; 0: not yet */
	int32_t known, computed, before;        /* tokens on the host; positions that planned steps have covered; those before this one */
	int32_t source_len;
	bool encoded, preempted;                /* preempted: since it was encoded */
	bool added, ended, dropped;
};

/* A planned step with its tables copied, as a device that runs behind the host would hold it. */
struct flight {
	struct sk_batch b;
	struct sk_batch_seq seqs[SEQUENCES_MAX];
	struct sk_batch_copy copies[SEQUENCES_MAX];
	int32_t tables[SEQUENCES_MAX][TABLE_MAX], cross[SEQUENCES_MAX][TABLE_MAX];
	bool ran;
};

struct sim {
	struct sk_sched_limits l;
	struct sk_sched *s;
	struct req reqs[SEQS_MAX];
	int32_t reqs_len;
	struct cell cells[BLOCKS_MAX][BLOCK_TOKENS_MAX];
	struct flight flights[2];
	bool late, skips_ended;                 /* the device runs a step only when its commit needs it; the host trims */
	bool encoded_last;                      /* the plan before this one was of the encoder */
	enum kind kind;
	int clients;
	uint32_t weights[CLIENTS_MAX];
	int64_t had[CLIENTS_MAX];               /* tokens of admitted requests, less what they did not use */
	int64_t base[CLIENTS_MAX];              /* had[] when the guest came */
	int passed[CLIENTS_MAX];                /* requests that began while the guest's first waited */
	uint64_t turns;
	int64_t step, work;
	uint64_t hash, steps, preemptions, surplus, encoded, again, forks;
	const char *wrong;
	char words[256];
};

/* ---- chance: splitmix64 (Steele, Lea, Flood 2014) ---- */

static uint64_t chance_state;

static uint64_t chance(void)
{
	uint64_t x = chance_state += 0x9e3779b97f4a7c15u;

	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
	x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
	return x ^ (x >> 31);
}

static int32_t between(int32_t low, int32_t high)
{
	return low + (int32_t)(chance() % (uint64_t)(high - low + 1));
}

/* ---- the model ---- */

static void say(struct sim *m, const char *what, uint64_t id)
{
	if (m->wrong)
		return;
	snprintf(m->words, sizeof(m->words), "step %" PRId64 ", request %" PRIu64 ": %s", m->step, id, what);
	m->wrong = m->words;
}

static void mix(struct sim *m, uint64_t x)
{
	m->hash = (m->hash ^ x) * 0x100000001b3u;
	m->hash ^= m->hash >> 29;
}

static struct req *req_find(struct sim *m, uint64_t id, int32_t seq)
{
	for (int32_t i = 0; i < m->reqs_len; i++)
		if (m->reqs[i].id == id && m->reqs[i].seq == seq)
			return &m->reqs[i];
	return NULL;
}

static bool req_live(const struct req *r)
{
	return r->added && !r->ended && !r->dropped;
}

/* Clients, and what is particular to a kind of queue. */
static void clients_draw(struct sim *m)
{
	m->clients = m->kind == RANDOM && chance() % 2 ? 1 : between(2, CLIENTS_MAX);
	for (int c = 0; c < m->clients; c++)
		m->weights[c] = (uint32_t)(chance() % 3 ? 1 : between(1, 9));
	for (int32_t i = 0; i < m->reqs_len; i++) {
		struct req *r = &m->reqs[i];

		r->client = between(0, m->clients - 1);
		if (m->kind == RANDOM)
			continue;
		r->arrives = 0;
		r->cancelled_at = -1;
		if (m->kind == GUEST) {
			r->client %= m->clients - 1;
			r->eos_at = CONTEXT_MAX;
		}
	}
	for (int32_t i = m->reqs_len - GUESTS, when = between(1, 60); m->kind == GUEST && i < m->reqs_len; i++) {
		m->reqs[i].client = m->clients - 1;
		m->reqs[i].arrives = when;
	}
}

/* Some requests become several sequences. */
static void sequences_draw(struct sim *m)
{
	static struct req one[REQUESTS_MAX];
	int32_t len = m->reqs_len, often = between(1, 4);

	memcpy(one, m->reqs, (size_t)len * sizeof(*one));
	m->reqs_len = 0;
	for (int32_t i = 0; i < len; i++) {
		int32_t n = m->kind != GUEST && chance() % (uint64_t)often == 0 ? between(1, SEQUENCES_EACH) : 1;

		for (int32_t k = 0; k < n; k++) {
			struct req *r = &m->reqs[m->reqs_len++];

			*r = one[i];
			r->seq = k;
			r->n = n;
			if (k > 0 && chance() % 2)
				r->eos_at = between(1, 40);
		}
	}
	if (m->kind != RANDOM)
		m->l.waiting_max = m->reqs_len;
}

/* Draws everything that is random before the first step: the same numbers give the same run. */
static void queue_draw(struct sim *m)
{
	int32_t spread = between(0, 60);

	m->l = (struct sk_sched_limits){
		.tokens_max = between(1, TOKENS_MAX), .sequences_max = between(1, SEQUENCES_MAX),
		.blocks = between(1, BLOCKS_MAX), .block_tokens = chance() % 2 ? 16 : between(1, 5),
		.context_max = between(8, CONTEXT_MAX), .waiting_max = between(1, REQUESTS_MAX),
		.look_ahead = (int)(chance() % 2),
	};
	/* Most pools are tight: room for one to three of the longest, so that preemption is the rule. */
	if (chance() % 4) {
		int32_t one = (m->l.context_max + m->l.block_tokens - 1) / m->l.block_tokens;
		int32_t blocks = between(one, 3 * one);

		m->l.blocks = blocks < BLOCKS_MAX ? blocks : BLOCKS_MAX;
	}
	m->l.encode_max = chance() % 2 ? between(1, ENCODE_MAX) : 0;
	m->late = chance() % 2;
	m->skips_ended = chance() % 2;
	m->reqs_len = between(1, chance() % 8 ? 16 : REQUESTS_MAX);
	if (m->kind != RANDOM)
		m->l.waiting_max = m->reqs_len = REQUESTS_MAX;
	for (int32_t i = 0; i < m->reqs_len; i++) {
		struct req *r = &m->reqs[i];

		r->id = (uint64_t)i + 1;
		r->prompt_len = chance() % 3 ? between(1, 20) : between(1, m->l.context_max);
		r->max_new = chance() % 2 ? between(1, 12) : between(1, m->l.context_max);
		if (m->l.encode_max > 0) {
			r->source_len = chance() % 3 ? between(0, 1 + m->l.encode_max / 2) : between(0, m->l.encode_max + 2);
			r->prompt_len = chance() % 4 ? 1 : r->prompt_len;
		}
		r->eos_at = chance() % 3 ? CONTEXT_MAX : between(1, 40);
		r->arrives = between(0, spread);
		r->cancelled_at = chance() % 6 ? -1 : r->arrives + between(0, 60);
	}
	clients_draw(m);
	sequences_draw(m);
}

/* r: the first of its request's sequences. */
static void arrive(struct sim *m, struct req *r)
{
	struct sk_sched_req q = { .id = r->id, .prompt_len = r->prompt_len, .max_new_tokens = r->max_new, .source_len = r->source_len,
				  .n = r->n == 1 && r->id % 2 ? 0 : r->n, .user = r, .client = (uint64_t)r->client * 77, .weight = m->weights[r->client] };
	int64_t cells = (int64_t)r->prompt_len + r->max_new - 1, bt = m->l.block_tokens;
	bool sources = m->l.encode_max ? r->source_len >= 1 && r->source_len <= m->l.encode_max : r->source_len == 0;
	bool fits = r->n <= m->l.waiting_max && sources && cells < m->l.context_max && (cells + bt - 1) / bt + (r->source_len + bt - 1) / bt <= m->l.blocks;
	sk_status st = sk_sched_add(m->s, &q, m->step);

	for (int32_t k = 0; k < r->n; k++) {
		r[k].added = st == SK_OK;
		r[k].dropped = !r->added;
		r[k].known = r->prompt_len;
	}
	if (fits != (st != SK_EINVAL))
		say(m, "was let in or refused against the limits", r->id);
	if (r->added)
		m->work += (r->prompt_len + r->max_new + 2) * (m->l.encode_max ? 2 : 1) * r->n;
}

/* Of a whole request: a fork computes its prompt's last token and its answer. */
static int32_t cost(const struct req *r)
{
	return r->source_len + r->prompt_len + r->max_new + (r->n - 1) * (1 + r->max_new);
}

/* It is gone: what it did not use is its client's again. */
static void gone(struct sim *m, const struct req *r)
{
	if (r->turn)
		m->had[r->client] -= r->prompt_len + r->max_new - r->known;
}

static void arrivals(struct sim *m)
{
	for (int32_t i = 0; i < m->reqs_len; i++) {
		struct req *r = &m->reqs[i];

		if (m->kind == GUEST && i == m->reqs_len - GUESTS && r->arrives == m->step)
			memcpy(m->base, m->had, sizeof(m->base));
		if (r->seq == 0 && r->arrives == m->step)
			arrive(m, r);
		if (r->seq == 0 && r->cancelled_at == m->step) {
			sk_status st = sk_sched_drop(m->s, r->id);
			bool live = false;

			for (int32_t k = 0; k < r->n; k++) {
				live = live || req_live(&r[k]);
				if (req_live(&r[k]))
					gone(m, &r[k]);
				r[k].dropped = true;
			}
			if ((st == SK_OK) != live)
				say(m, "drop did not find what is there", r->id);
		}
	}
}

static double had(const struct sim *m, int client)
{
	return (double)m->had[client] / m->weights[client];
}

static void guest_check(struct sim *m, const struct req *r)
{
	const struct req *first = &m->reqs[m->reqs_len - GUESTS];
	int guest = first->client;

	if (r->client != guest && req_live(first) && !first->turn && m->passed[r->client]++)
		say(m, "is its client's second to pass a guest", r->id);
	for (int c = 0; r->client == guest && c < guest; c++) {
		double lead = (double)(m->had[guest] - m->base[guest]) / m->weights[guest] -
			      (double)(m->had[c] - m->base[c]) / m->weights[c];
		int32_t most = 0;
		bool waits = false;

		for (int32_t i = 0; i < m->reqs_len; i++) {
			const struct req *o = &m->reqs[i];

			if (o->client != c)
				continue;
			most = cost(o) > most ? cost(o) : most;
			waits = waits || (req_live(o) && !o->turn);
		}
		if (waits && lead > (double)most / m->weights[c] + 0.01)
			say(m, "is a guest that takes more than its share", r->id);
	}
}

/* It is in a batch for the first time: against all who still wait. */
static void admitted(struct sim *m, struct req *r)
{
	if (r->seq != 0) {
		say(m, "has a sequence that comes before its first", r->id);
		return;
	}
	for (int32_t k = 0; k < r->n; k++)
		r[k].turn = ++m->turns;
	for (int32_t i = 0; i < m->reqs_len; i++) {
		const struct req *o = &m->reqs[i];

		if (!req_live(o) || o->turn)
			continue;
		if (o->client == r->client && (o->arrives < r->arrives || (o->arrives == r->arrives && o->id < r->id)))
			say(m, "comes before an older one of its client", r->id);
		/* The planner's virtual time has 16 binary digits behind the point. */
		if (m->kind == SHARES && o->client != r->client && had(m, r->client) > had(m, o->client) + 0.01)
			say(m, "is admitted although its client has had more than another that waits", r->id);
	}
	if (m->kind == GUEST)
		guest_check(m, r);
	m->had[r->client] += cost(r);
}

/* Whether another sequence of the request has the source's blocks: surely, or perhaps. */
static bool source_there(const struct req *r, bool surely)
{
	const struct req *all = r - r->seq;

	for (int32_t k = 0; k < r->n; k++)
		if (&all[k] != r && req_live(&all[k]) && all[k].encoded && !(surely && all[k].preempted))
			return true;
	return false;
}

/* A source is encoded whole, and again only where its request was preempted. */
static void batch_check_source(struct sim *m, const struct sk_batch_seq *e, struct req *r)
{
	if (e->first_pos != 0 || e->len != r->source_len || e->sample || e->pending || !e->prefill)
		say(m, "is not encoded whole", e->id);
	if (r->computed != 0 || (r->encoded && !r->preempted))
		say(m, "is encoded and has what it needs", e->id);
	if (source_there(r, true))
		say(m, "is encoded although another of its sequences is", e->id);
	m->encoded++;
	m->again += r->encoded;
	r->encoded = true;
	r->preempted = false;
}

/* Whether another sequence of the request has the prompt by the steps before this one. */
static bool fork_source(struct sim *m, const struct req *r)
{
	const struct req *all = r - r->seq;

	for (int32_t k = 0; k < r->n; k++)
		if (&all[k] != r && req_live(&all[k]) && all[k].before >= r->prompt_len - 1)
			return true;
	return false;
}

static void batch_check_seq(struct sim *m, const struct sk_batch_seq *e, bool encode)
{
	struct req *r = req_find(m, e->id, e->seq);
	int32_t end = e->first_pos + e->len;

	if (!r || r->dropped || e->user != r - r->seq) {
		say(m, "is planned and is not there", e->id);
		return;
	}
	if (r->ended)
		say(m, "is planned after its end was committed", e->id);
	if (!r->turn)
		admitted(m, r);
	if (e->cross_len != r->source_len || (e->cross != NULL) != (r->source_len > 0))
		say(m, "has another source", e->id);
	if (encode) {
		batch_check_source(m, e, r);
		return;
	}
	if (r->source_len > 0 && !r->encoded)
		r->encoded = source_there(r, false);
	if (r->source_len > 0 && !r->encoded)
		say(m, "looks at a source that was not encoded", e->id);
	if (e->first_pos > r->computed && r->computed == 0 && r->n > 1 && e->first_pos == r->prompt_len - 1 && fork_source(m, r)) {
		r->computed = e->first_pos;
		m->forks++;
	}
	if (e->len < 1 || e->first_pos != r->computed)
		say(m, "does not go on where it stopped", e->id);
	if (e->first_pos < r->prompt_len - 1 && r->computed == e->first_pos && e->first_pos == 0 && fork_source(m, r))
		say(m, "computes a prompt that another of its sequences has", e->id);
	if (e->blocks_len * m->l.block_tokens < end)
		say(m, "has too few blocks", e->id);
	if (end > r->known + m->l.look_ahead || e->pending != (end > r->known))
		say(m, "computes a token nobody knows", e->id);
	if (e->pending && e->len != 1)
		say(m, "has an unknown token in a chunk", e->id);
	if (end > r->prompt_len + r->max_new - 1)
		say(m, "goes beyond its longest answer", e->id);
	if (e->sample != (end >= r->known))
		say(m, "samples in the wrong place", e->id);
	if (e->prefill != !(e->len == 1 && e->first_pos >= r->prompt_len && end >= r->known))
		say(m, "mistakes prompt and answer", e->id);
	r->computed = end;
}

/* What a sequence writes, no other of its request has in its table. */
static void batch_check_shared(struct sim *m, const struct sk_batch *b, const struct sk_batch_seq *e)
{
	int32_t bt = m->l.block_tokens;

	for (int32_t i = 0; i < b->S && !b->encode; i++) {
		const struct sk_batch_seq *o = &b->seqs[i];

		for (int32_t k = 0; o->id == e->id && o != e && k < o->blocks_len; k++)
			for (int32_t at = e->first_pos / bt; at <= (e->first_pos + e->len - 1) / bt; at++)
				if (e->blocks[at] == o->blocks[k])
					say(m, "writes into a block that is another's too", e->id);
	}
}

static void batch_check(struct sim *m, const struct sk_batch *b)
{
	uint64_t last[2] = { 0, 0 };            /* ids of decodes and of chunks must grow: age */
	const struct req *oldest = NULL;
	int32_t T = 0;
	bool oldest_there = false, oldest_waits, any = false;

	for (int32_t i = 0; i < b->preempted_len; i++) {
		struct req *r = req_find(m, b->preempted[i].id, b->preempted[i].seq);

		if (!r || !req_live(r))
			say(m, "was preempted and is not there", b->preempted[i].id);
		else
			r->computed = 0;
		if (r)
			r->preempted = true;
	}
	m->preemptions += (uint64_t)b->preempted_len;
	for (int32_t i = 0; i < m->reqs_len; i++) {     /* age is the order of admission */
		struct req *r = &m->reqs[i];

		r->before = r->computed;
		any = any || req_live(r);
		if (req_live(r) && r->turn && (!oldest || r->turn < oldest->turn))
			oldest = r;
	}
	if (any && !oldest && b->S == 0)
		say(m, "some wait and nobody runs", 0);
	oldest_waits = oldest && oldest->computed >= oldest->prompt_len + oldest->max_new - 1;
	for (int32_t i = 0; i < b->S; i++) {
		const struct sk_batch_seq *e = &b->seqs[i];
		const struct req *r = req_find(m, e->id, e->seq);
		uint64_t age;

		batch_check_seq(m, e, b->encode);
		batch_check_shared(m, b, e);
		age = r ? r->turn : 0;
		if (age <= last[e->prefill] || (!e->prefill && last[1] != 0))
			say(m, "is out of order in the batch", e->id);
		last[e->prefill] = age;
		T += e->len;
		oldest_there = oldest_there || (r && r == oldest);
		mix(m, e->id * SEQUENCES_EACH + (uint64_t)e->seq);
		mix(m, (uint64_t)e->first_pos << 32 | (uint32_t)e->len);
		mix(m, (uint64_t)(b->encode ? e->cross[0] : e->blocks[e->blocks_len - 1]));
	}
	if (T != b->T || T > (b->encode ? m->l.encode_max : m->l.tokens_max) || b->S > m->l.sequences_max)
		say(m, "the batch breaks its budget", 0);
	/* The encoder's step of others may come between, but only one. */
	if (oldest && !oldest_there && !oldest_waits && (!b->encode || !oldest->encoded || m->encoded_last))
		say(m, "is the oldest and was left out", oldest->id);
	m->encoded_last = b->encode;
}

static void flight_take(struct sim *m, struct flight *f, const struct sk_batch *b)
{
	f->b = *b;
	f->ran = false;
	memcpy(f->copies, b->copies, (size_t)b->copies_len * sizeof(*f->copies));
	for (int32_t i = 0; i < b->S; i++) {
		f->seqs[i] = b->seqs[i];
		memcpy(f->tables[i], b->seqs[i].blocks, (size_t)b->seqs[i].blocks_len * sizeof(int32_t));
		if (b->seqs[i].cross)
			memcpy(f->cross[i], b->seqs[i].cross, (size_t)((b->seqs[i].cross_len + m->l.block_tokens - 1) /
								       m->l.block_tokens) * sizeof(int32_t));
	}
}

/* The cell of a token, by a table; NULL where the block is none of the pool. */
static struct cell *cell_at(struct sim *m, const int32_t *table, int32_t pos)
{
	int32_t block = table[pos / m->l.block_tokens];

	return block < 0 || block >= m->l.blocks ? NULL : &m->cells[block][pos % m->l.block_tokens];
}

/* What must be in the cell of a token, or of a source's. */
static struct cell cell_of(const struct req *r, int32_t pos, bool source)
{
	return (struct cell){ r->id, !source && pos >= r->prompt_len ? r->seq : 0, source ? -1 - pos : pos };
}

/* Tokens [from, end) of a sequence, or of its source. */
static void cells_write(struct sim *m, const struct req *r, const int32_t *table, int32_t from, int32_t end, bool source)
{
	for (int32_t p = from; p < end; p++) {
		struct cell *c = cell_at(m, table, p);

		if (c)
			*c = cell_of(r, p, source);
		else
			say(m, "uses a block outside the pool", r->id);
	}
}

static void cells_read(struct sim *m, const struct req *r, const int32_t *table, int32_t end, bool source)
{
	for (int32_t p = 0; p < end; p++) {
		const struct cell *c = cell_at(m, table, p);
		struct cell want = cell_of(r, p, source);

		if (!c || c->id != want.id || c->seq != want.seq || c->pos != want.pos)
			say(m, source ? "reads a cell of its source that holds something else" : "reads a cell that holds something else",
			    r->id);
	}
}

/* The device runs one step: write the step's cells, then read all cells of each sequence. */
static void flight_run(struct sim *m, struct flight *f)
{
	bool encode = f->b.encode;

	if (f->ran)
		return;
	f->ran = true;
	for (int32_t i = 0; i < f->b.copies_len; i++)
		memcpy(m->cells[f->copies[i].to], m->cells[f->copies[i].from], sizeof(m->cells[0]));
	for (int32_t i = 0; i < f->b.S; i++) {
		const struct sk_batch_seq *e = &f->seqs[i];
		const struct req *r = req_find(m, e->id, e->seq);

		if (!m->skips_ended || !r->ended)
			cells_write(m, r, encode ? f->cross[i] : f->tables[i], e->first_pos, e->first_pos + e->len, encode);
	}
	for (int32_t i = 0; i < f->b.S; i++) {
		const struct sk_batch_seq *e = &f->seqs[i];
		const struct req *r = req_find(m, e->id, e->seq);

		if (r->ended || r->dropped)
			continue;
		if (!encode)
			cells_read(m, r, f->tables[i], e->first_pos + e->len, false);
		cells_read(m, r, f->cross[i], e->cross_len, true);
	}
}

static void flight_commit(struct sim *m, struct flight *f)
{
	struct sk_fate fates[SEQUENCES_MAX] = { 0 };

	for (int32_t i = 0; i < f->b.S; i++) {
		struct req *r = req_find(m, f->seqs[i].id, f->seqs[i].seq);

		if (r->ended || r->dropped) {
			m->surplus++;
			fates[i].next = -7;     /* must be ignored */
			fates[i].end = chance_state & 1;
			continue;
		}
		if (!f->seqs[i].sample)
			continue;
		r->known++;
		fates[i].next = r->known;
		fates[i].end = r->ended = r->known - r->prompt_len == (r->eos_at < r->max_new ? r->eos_at : r->max_new);
		if (r->ended)
			gone(m, r);
		if (r->known - r->prompt_len > r->max_new)
			say(m, "got more than it asked for", r->id);
	}
	sk_sched_commit(m->s, &f->b, fates);
}

static bool all_done(const struct sim *m)
{
	for (int32_t i = 0; i < m->reqs_len; i++)
		if (m->reqs[i].arrives >= m->step || req_live(&m->reqs[i]))
			return false;
	return true;
}

/* One queue to its end. The hash names all its batches. */
static void queue_run(struct sim *m)
{
	struct flight *in_flight = NULL;
	struct sk_sched_stats st;
	struct sk_err err;
	int which = 0;

	if (sk_sched_open(&m->l, &m->s, &err) < 0) {
		say(m, err.text, 0);
		return;
	}
	for (m->step = 0; !m->wrong && (!all_done(m) || in_flight); m->step++) {
		struct flight *f = &m->flights[which];
		struct sk_batch b;

		arrivals(m);
		sk_sched_plan(m->s, m->step, &b);
		batch_check(m, &b);
		if (b.S > 0) {
			flight_take(m, f, &b);
			if (!m->late && !in_flight)
				flight_run(m, f);
			which ^= 1;
			m->steps++;
		}
		if (in_flight) {
			flight_run(m, in_flight);
			flight_commit(m, in_flight);
			in_flight = NULL;
		}
		if (b.S > 0 && m->l.look_ahead) {
			in_flight = f;
			if (!m->late)
				flight_run(m, f);
		} else if (b.S > 0) {
			flight_run(m, f);
			flight_commit(m, f);
		}
		if (sk_sched_check(m->s, &err) < 0)
			say(m, err.text, 0);
		/* Each step gives the oldest at least one token, and what it had is never taken from it. */
		if (m->step > m->work + 200)
			say(m, "somebody starves", 0);
	}
	sk_sched_stats(m->s, &st);
	if (!m->wrong && (st.blocks_free != st.blocks_total || st.running != 0 || st.waiting != 0))
		say(m, "all are gone and blocks are missing", 0);
	sk_sched_close(&m->s);
}

int main(int argc, char **argv)
{
	/* One thread alone: ThreadSanitizer, which asks for few of everything, has little to see here and takes long. */
	uint64_t queues = argc > 1 ? strtoull(argv[1], NULL, 10) : getenv("SAKER_TEST_FEW") ? 1000 : 10000;
	uint64_t seed = argc > 2 ? strtoull(argv[2], NULL, 10) : sk_rand_seed() >> 16;
	uint64_t first = argc > 3 ? strtoull(argv[3], NULL, 10) : 0;
	uint64_t steps = 0, preemptions = 0, surplus = 0, deep = 0, encoded = 0, encoded_again = 0, forks = 0;
	static struct sim m, again;

	printf("sim: %" PRIu64 " queues, seed %" PRIu64 "\n", queues, seed);
	fflush(stdout);
	for (uint64_t i = first; i < first + queues; i++) {
		memset(&m, 0, sizeof(m));
		m.kind = (enum kind)(i % KINDS);
		chance_state = seed * 0x2545f4914f6cdd1du + i * 0xd1342543de82ef95u;
		queue_draw(&m);
		/* Every eighth queue twice: the same queue must give the same batches. */
		again = m;
		queue_run(&m);
		if (!m.wrong && i % 8 == 0) {
			queue_run(&again);
			if (again.hash != m.hash)
				say(&m, "the same queue gave other batches", 0);
		}
		if (m.wrong) {
			printf("sim: %s\nsim: again: sim 1 %" PRIu64 " %" PRIu64 "\n", m.wrong, seed, i);
			return 1;
		}
		steps += m.steps;
		preemptions += m.preemptions;
		surplus += m.surplus;
		deep += (uint64_t)m.l.look_ahead;
		encoded += m.encoded;
		encoded_again += m.again;
		forks += m.forks;
	}
	printf("sim: %" PRIu64 " steps, %" PRIu64 " preemptions, %" PRIu64 " surplus tokens, %" PRIu64 " queues with look-ahead, %" PRIu64
	       " sources encoded, %" PRIu64 " again, %" PRIu64 " forks: every invariant held\n", steps, preemptions, surplus, deep, encoded,
	       encoded_again, forks);
	return 0;
}
