/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The planner: two lists of sequences in order of age, a pool of blocks, and three passes over them.
 *
 *	plan:	1. a decode token of every running sequence whose prompt is done
 *		2. prompt chunks of the running ones that are not done, oldest first
 *		3. new ones from the head of the waiting list, while tokens, places and blocks are there
 *
 * Behind an encoder those who wait without their source's cross blocks come by a step of their own (plan_encode), and the
 * third pass lets in those only who were preempted and still have them. In order of age, who has cross blocks comes
 * before who has none: whoever runs has them, the youngest lose them first.
 *
 * Age is the order of first admission, which of one client is the order of sk_sched_add(). Only the youngest running sequence is
 * ever preempted, and goes to the head of the waiting list, before all who were never admitted: so every running sequence is
 * older than every waiting one. Hence nobody starves: the oldest can take blocks from all others, gets at least one token of
 * every step, and ends; and the virtual time of those who were never admitted grows beyond anybody's tag.
 *
 * Sequences of one request have its id and differ by `which`. Until they are admitted they stand in a row on the waiting list; with
 * the first all get their turn, and the others move to the list's head, as if preempted. Whoever comes in while another of them
 * runs waits until that one's prompt is computed, which no newcomer could overtake, and forks from it (plan_admit, fork).
 *
 * Steps run in order on the device. So a block may be freed while a step that uses it is still under way: whoever gets
 * it writes it in a later step.
 */
#include "engine/sched/sched.h"

#include <stdlib.h>
#include <string.h>

#include "engine/sched/kv.h"

#define NONE (-1)

enum place { FREE, WAITING, RUNNING };
#define PLACES 3

struct seq {
	uint64_t id;                    /* the request's; 0: this slot is free */
	int32_t which;                  /* of its sequences, from 0 */
	bool rows;                      /* it must compute its prompt itself */
	void *user;
	int32_t prompt_len, max_new, len;       /* len: prompt and committed tokens */
	int32_t pending;                /* samples of planned steps whose commit has not come */
	int32_t planned;                /* positions [0, planned) are in the cache, or will be after the planned steps */
	int32_t table, blocks_len;      /* RUNNING only; table NONE otherwise */
	int32_t source_len, cross_len;  /* cross_len: blocks of its source, all or none; filled by a planned step */
	uint64_t planned_by;            /* the last plan that it has a part in */
	int32_t prev, next;
	enum place place;
	uint64_t age;                   /* order of sk_sched_add() */
	uint64_t turn;                  /* order of first admission; 0: not yet */
	int32_t client;                 /* in clients[] */
	uint32_t weight;
	int64_t virtual;                /* the virtual time at which it came */
};

/* A client with requests here; without, its tag is kept until the place is needed. */
struct client { uint64_t id; int64_t tag; int32_t held; };      /* tag: virtual time at which its next request may start */

struct list { int32_t head, tail, len; };

/* What plan hands out; two of them, for look-ahead. */
struct plan {
	uint64_t number;
	struct sk_batch_seq *seqs;
	int32_t *slot;                  /* [S] */
	struct sk_batch_name *preempted;
	struct sk_batch_copy *copies;   /* [running_max]: each fork has one at most */
	int32_t preempted_len, copies_len, S, T;
	bool encode;
};

struct sk_sched {
	struct sk_sched_limits l;
	int32_t running_max;            /* every running sequence can have its decode token in one step */
	int32_t table_len;              /* blocks of one sequence at most */
	int32_t cross_max;              /* the same of one source */
	struct seq *seqs;               /* [l.waiting_max] slots */
	struct list list[PLACES];
	int32_t *tables;                /* [running_max][table_len] */
	int32_t *table_free, table_free_len;
	int32_t *cross;                 /* [l.waiting_max][cross_max] */
	struct sk_blocks pool;
	struct plan plans[2];
	uint64_t planned, committed, ages, turns, preemptions;
	struct client *clients;         /* [l.waiting_max] */
	int32_t clients_held;           /* those with requests here */
	int64_t virtual;                /* virtual time: the greatest tag that was admitted */
};

/* ---- lists ---- */

static void list_unlink(struct sk_sched *s, int32_t i)
{
	struct seq *q = &s->seqs[i];
	struct list *l = &s->list[q->place];

	if (q->prev != NONE)
		s->seqs[q->prev].next = q->next;
	else
		l->head = q->next;
	if (q->next != NONE)
		s->seqs[q->next].prev = q->prev;
	else
		l->tail = q->prev;
	l->len--;
}

static void list_push(struct sk_sched *s, enum place place, int32_t i, bool front)
{
	struct seq *q = &s->seqs[i];
	struct list *l = &s->list[place];

	q->place = place;
	q->prev = front ? NONE : l->tail;
	q->next = front ? l->head : NONE;
	if (q->prev != NONE)
		s->seqs[q->prev].next = i;
	else
		l->head = i;
	if (q->next != NONE)
		s->seqs[q->next].prev = i;
	else
		l->tail = i;
	l->len++;
}

static void list_move(struct sk_sched *s, enum place to, int32_t i, bool front)
{
	list_unlink(s, i);
	list_push(s, to, i, front);
}

/* ---- blocks of a sequence ---- */

static int32_t blocks_for(const struct sk_sched *s, int64_t tokens)
{
	return (int32_t)((tokens + s->l.block_tokens - 1) / s->l.block_tokens);
}

static int32_t *seq_table(const struct sk_sched *s, const struct seq *q)
{
	return s->tables + (size_t)q->table * s->table_len;
}

/* Tokens there are, those still unknown included. */
static int32_t seq_total(const struct seq *q)
{
	return q->len + q->pending;
}

/* Positions the cache will ever hold: the last token's key and value are never read. */
static int32_t seq_cached_max(const struct seq *q)
{
	return q->prompt_len + q->max_new - 1;
}

static int32_t seq_left(const struct seq *q)
{
	int32_t total = seq_total(q);

	if (total > seq_cached_max(q))
		total = seq_cached_max(q);
	return total - q->planned;
}

static bool seq_decodes(const struct seq *q)
{
	return q->planned >= q->prompt_len && seq_left(q) == 1;
}

static void seq_give_back(struct sk_sched *s, struct seq *q)
{
	int32_t *table = seq_table(s, q);

	/* The last first, so that the stack hands them out in the same order again. */
	while (q->blocks_len > 0)
		sk_blocks_unref(&s->pool, table[--q->blocks_len]);
	s->table_free[s->table_free_len++] = q->table;
	q->table = NONE;
	q->planned = 0;
}

static int32_t *seq_cross(const struct sk_sched *s, int32_t i)
{
	return s->cross + (size_t)i * s->cross_max;
}

static void cross_give_back(struct sk_sched *s, int32_t i)
{
	struct seq *q = &s->seqs[i];

	while (q->cross_len > 0)
		sk_blocks_unref(&s->pool, seq_cross(s, i)[--q->cross_len]);
}

/* The youngest of the waiting ones that have cross blocks, which are the first of the list, loses them. false: nobody has any. */
static bool cross_rob(struct sk_sched *s)
{
	int32_t last = NONE;

	for (int32_t i = s->list[WAITING].head; i != NONE && s->seqs[i].cross_len > 0; i = s->seqs[i].next)
		last = i;
	if (last != NONE)
		cross_give_back(s, last);
	return last != NONE;
}

/* ---- clients ---- */

#define VIRTUAL_TOKEN 65536             /* virtual time of a token at weight 1: a weight of 1,000 still counts each */

static int64_t virtual_of(const struct seq *q, int64_t tokens)
{
	return tokens * VIRTUAL_TOKEN / q->weight;
}

/* Its place, taken from the one who is nearest to having no claim; there is one, as each request here has one client. */
static int32_t client_take(struct sk_sched *s, uint64_t id)
{
	int32_t at = NONE;

	for (int32_t i = 0; i < s->l.waiting_max; i++) {
		struct client *c = &s->clients[i];

		if (c->id == id && (c->held > 0 || c->tag > 0)) {
			at = i;
			break;
		}
		if (c->held == 0 && (at == NONE || c->tag < s->clients[at].tag))
			at = i;
	}
	if (s->clients[at].id != id)
		s->clients[at] = (struct client){ .id = id };
	s->clients_held += s->clients[at].held++ == 0;
	return at;
}

/* The start tag: when its client's last request ends in virtual time, but not before it came itself. */
static int64_t tag_of(const struct sk_sched *s, const struct seq *q)
{
	int64_t tag = s->clients[q->client].tag;

	return tag > q->virtual ? tag : q->virtual;
}

/* A fork computes the last token of a prompt and its answer. */
static int64_t seq_cost(const struct seq *q)
{
	return q->max_new + (q->which > 0 ? 1 : (int64_t)q->source_len + q->prompt_len);
}

/* Its turn, and that of its request's other sequences, which stand behind it; they go to the head of the list. */
static void charge(struct sk_sched *s, int32_t i)
{
	struct seq *q = &s->seqs[i];
	int64_t tag = tag_of(s, q);
	int32_t last = i;

	s->virtual = tag > s->virtual ? tag : s->virtual;
	for (int32_t k = i; k != NONE && s->seqs[k].id == q->id; k = s->seqs[k].next) {
		s->seqs[k].turn = ++s->turns;
		tag += virtual_of(q, seq_cost(&s->seqs[k]));
		last = k;
	}
	s->clients[q->client].tag = tag;
	while (last != i) {
		int32_t before = s->seqs[last].prev;

		list_move(s, WAITING, last, true);
		last = before;
	}
}

/* What was not calculated is paid back. A source has been: it is charged by the plan that encodes it. */
static void client_give_back(struct sk_sched *s, const struct seq *q)
{
	struct client *c = &s->clients[q->client];

	if (q->turn)
		c->tag -= virtual_of(q, (int64_t)q->prompt_len + q->max_new - q->len);
	s->clients_held -= --c->held == 0;
}

static void seq_forget(struct sk_sched *s, int32_t i)
{
	struct seq *q = &s->seqs[i];

	if (q->place == RUNNING)
		seq_give_back(s, q);
	cross_give_back(s, i);
	client_give_back(s, q);
	q->id = 0;
	list_move(s, FREE, i, true);
}

/*
 * The youngest goes back to the head of the queue. It has no place in this plan yet: places are given in order of age, but
 * for decodes before chunks, and nobody younger than an unfinished prompt is running (it takes all tokens there are,
 * or it is the youngest itself).
 */
static void seq_preempt(struct sk_sched *s, struct plan *p, int32_t i)
{
	struct seq *q = &s->seqs[i];

	SK_BUG_IF(q->planned_by == s->planned + 1);
	seq_give_back(s, q);
	list_move(s, WAITING, i, true);
	p->preempted[p->preempted_len++] = (struct sk_batch_name){ q->id, q->which };
	s->preemptions++;
}

/* Blocks for `tokens` positions, taken from younger ones where needed. Returns the positions there is room for. */
static int64_t seq_grow(struct sk_sched *s, struct plan *p, int32_t i, int64_t tokens)
{
	struct seq *q = &s->seqs[i];
	int32_t need = blocks_for(s, tokens);

	while (q->blocks_len < need) {
		int32_t block = sk_blocks_take(&s->pool);

		if (block >= 0) {
			seq_table(s, q)[q->blocks_len++] = block;
			continue;
		}
		if (s->list[RUNNING].tail != i)
			seq_preempt(s, p, s->list[RUNNING].tail);
		else if (!cross_rob(s))
			break;
	}
	return (int64_t)q->blocks_len * s->l.block_tokens;
}

/* ---- open, add, drop ---- */

sk_status sk_sched_open(const struct sk_sched_limits *l, struct sk_sched **ret_s, struct sk_err *err)
{
	struct sk_sched *s;
	bool ok;

	if (l->tokens_max < 1 || l->sequences_max < 1 || l->blocks < 1 || l->block_tokens < 1 || l->context_max < 1 ||
	    l->waiting_max < 1 || l->encode_max < 0 || l->look_ahead < 0 || l->look_ahead > 1)
		return sk_fail(err, SK_EINVAL, "a limit of the scheduler is out of range");
	s = calloc(1, sizeof(*s));
	if (!s)
		return sk_fail(err, SK_ENOMEM, "no memory for the scheduler");
	s->l = *l;
	s->running_max = l->sequences_max < l->tokens_max ? l->sequences_max : l->tokens_max;
	if (s->running_max > l->waiting_max)
		s->running_max = l->waiting_max;
	s->table_len = blocks_for(s, l->context_max);
	if (s->table_len > l->blocks)
		s->table_len = l->blocks;
	s->cross_max = blocks_for(s, l->encode_max);
	if (s->cross_max > l->blocks)
		s->cross_max = l->blocks;

	s->seqs = calloc((size_t)l->waiting_max, sizeof(*s->seqs));
	s->clients = calloc((size_t)l->waiting_max, sizeof(*s->clients));
	s->tables = calloc((size_t)s->running_max * (size_t)s->table_len, sizeof(*s->tables));
	s->table_free = calloc((size_t)s->running_max, sizeof(*s->table_free));
	s->cross = calloc((size_t)l->waiting_max * (size_t)s->cross_max + 1, sizeof(*s->cross));
	ok = s->seqs && s->clients && s->tables && s->table_free && s->cross;
	for (int i = 0; i < 2; i++) {
		struct plan *p = &s->plans[i];

		p->seqs = calloc((size_t)s->running_max, sizeof(*p->seqs));
		p->slot = calloc((size_t)s->running_max, sizeof(*p->slot));
		p->preempted = calloc((size_t)s->running_max, sizeof(*p->preempted));
		p->copies = calloc((size_t)s->running_max, sizeof(*p->copies));
		ok = ok && p->seqs && p->slot && p->preempted && p->copies;
	}
	if (!ok) {
		sk_sched_close(&s);
		return sk_fail(err, SK_ENOMEM, "no memory for the tables of %d sequences", (int)l->waiting_max);
	}
	if (sk_blocks_init(&s->pool, l->blocks, err) < 0) {
		sk_sched_close(&s);
		return SK_ENOMEM;
	}
	for (int i = 0; i < PLACES; i++)
		s->list[i] = (struct list){ NONE, NONE, 0 };
	for (int32_t i = 0; i < l->waiting_max; i++)
		list_push(s, FREE, i, false);
	for (int32_t i = s->running_max; i-- > 0;)
		s->table_free[s->table_free_len++] = i;
	*ret_s = s;
	return SK_OK;
}

void sk_sched_close(struct sk_sched **ps)
{
	struct sk_sched *s = *ps;

	if (!s)
		return;
	for (int i = 0; i < 2; i++) {
		free(s->plans[i].seqs);
		free(s->plans[i].slot);
		free(s->plans[i].preempted);
		free(s->plans[i].copies);
	}
	sk_blocks_fini(&s->pool);
	free(s->cross);
	free(s->table_free);
	free(s->tables);
	free(s->clients);
	free(s->seqs);
	free(s);
	*ps = NULL;
}

sk_status sk_sched_add(struct sk_sched *s, const struct sk_sched_req *r, int64_t now_us)
{
	int64_t tokens = (int64_t)r->prompt_len + r->max_new_tokens;
	int32_t n = r->n ? r->n : 1;

	if (r->id == 0 || n < 0 || r->prompt_len < 1 || r->max_new_tokens < 1 || r->source_len < (s->l.encode_max > 0) ||
	    r->source_len > s->l.encode_max)
		return SK_EINVAL;
	if (tokens > s->l.context_max || (int64_t)blocks_for(s, tokens - 1) + blocks_for(s, r->source_len) > s->l.blocks)
		return SK_EINVAL;
	if (r->weight > SK_SCHED_WEIGHT_MAX || n > s->l.waiting_max)
		return SK_EINVAL;
	if (n > s->list[FREE].len)
		return SK_EOVERLOADED;
	for (int32_t k = 0; k < n; k++) {
		int32_t i = s->list[FREE].head;

		s->seqs[i] = (struct seq){
			.client = client_take(s, r->client), .weight = r->weight ? r->weight : 1, .virtual = s->virtual,
			.id = r->id, .which = k, .rows = r->prompt_rows && k == 0, .user = r->user, .prompt_len = r->prompt_len,
			.max_new = r->max_new_tokens, .len = r->prompt_len, .source_len = r->source_len, .table = NONE,
			.age = ++s->ages, .place = FREE, .prev = s->seqs[i].prev, .next = s->seqs[i].next,
		};
		list_move(s, WAITING, i, false);
	}
	return SK_OK;
}

sk_status sk_sched_drop(struct sk_sched *s, uint64_t id)
{
	/* A walk over all slots; a cancellation is rare beside a step, and a walk over a thousand is a microsecond. */
	sk_status st = SK_ENOENT;

	for (int32_t i = 0; id != 0 && i < s->l.waiting_max; i++)
		if (s->seqs[i].id == id) {
			seq_forget(s, i);
			st = SK_OK;
		}
	return st;
}

/* ---- plan ---- */

/*
 * A token that is not known yet can only be a sequence's last one, and alone: a sequence whose prompt is computed again
 * was preempted by an earlier plan, and the commit before this plan has told its tokens.
 */
static void plan_put(struct sk_sched *s, struct plan *p, int32_t i, int32_t len)
{
	struct seq *q = &s->seqs[i];

	q->planned_by = s->planned + 1;
	p->slot[p->S] = i;
	p->seqs[p->S++] = (struct sk_batch_seq){
		.id = q->id, .seq = q->which, .user = q->user, .first_pos = q->planned, .len = len,
		.sample = q->planned + len == seq_total(q),
		.prefill = !seq_decodes(q),
		.pending = q->pending > 0,
		.cross_len = q->source_len,
	};
	p->T += len;
}

static void plan_decodes(struct sk_sched *s, struct plan *p)
{
	for (int32_t i = s->list[RUNNING].head; i != NONE; i = s->seqs[i].next) {
		struct seq *q = &s->seqs[i];

		if (seq_decodes(q) && seq_grow(s, p, i, (int64_t)q->planned + 1) > q->planned)
			plan_put(s, p, i, 1);
	}
}

/* As much of the sequence as tokens and blocks allow. false: blocks ran out. */
static bool plan_chunk(struct sk_sched *s, struct plan *p, int32_t i)
{
	struct seq *q = &s->seqs[i];
	int64_t len = seq_left(q), room;

	if (len > s->l.tokens_max - p->T)
		len = s->l.tokens_max - p->T;
	if (len < 1)
		return true;
	room = seq_grow(s, p, i, q->planned + len) - q->planned;
	if (room > 0)
		plan_put(s, p, i, (int32_t)(len < room ? len : room));
	return room >= len;
}

/* Blocks that the running sequences will take soon: what they know now, and the next token. */
static int64_t blocks_promised(const struct sk_sched *s)
{
	int64_t sum = 0;

	for (int32_t i = s->list[RUNNING].head; i != NONE; i = s->seqs[i].next) {
		const struct seq *q = &s->seqs[i];
		int32_t need = blocks_for(s, seq_total(q));

		sum += need > q->blocks_len ? need - q->blocks_len : 0;
	}
	return sum;
}

/*
 * Who comes next: those that were preempted, then the least start tag; the oldest where they are equal. It is a walk over all that
 * wait, as a drop is. Where all are of one client their order is the list's.
 */
static int32_t waiting_next(const struct sk_sched *s)
{
	int32_t best = s->list[WAITING].head;

	if (best == NONE || s->seqs[best].turn || s->clients_held < 2)
		return best;
	for (int32_t i = s->seqs[best].next; i != NONE; i = s->seqs[i].next)
		if (tag_of(s, &s->seqs[i]) < tag_of(s, &s->seqs[best]))
			best = i;
	return best;
}

/*
 * A newcomer must fit whole, with one spare block for each running sequence: without the spare the next sixteen steps would
 * preempt it again and its prompt would have been computed for nothing. Alone, it fits (sk_sched_add has seen to that).
 */
static bool admit(struct sk_sched *s, int32_t i, int64_t need)
{
	if (s->list[RUNNING].len > 0 && need + s->list[RUNNING].len > s->pool.free_len)
		return false;
	if (!s->seqs[i].turn)
		charge(s, i);
	list_move(s, RUNNING, i, false);
	s->seqs[i].table = s->table_free[--s->table_free_len];
	return true;
}

/* ---- forks ---- */

/* Another running sequence of the same request: the one that has most of its prompt. NONE: there is none. */
static int32_t fork_of(const struct sk_sched *s, const struct seq *q)
{
	int32_t best = NONE;

	for (int32_t i = q->rows ? NONE : s->list[RUNNING].head; i != NONE; i = s->seqs[i].next)
		if (s->seqs[i].id == q->id && (best == NONE || s->seqs[i].planned > s->seqs[best].planned))
			best = i;
	return best;
}

/* One of the same request that has the source's blocks. */
static int32_t cross_of(const struct sk_sched *s, const struct seq *q)
{
	static const enum place held[] = { RUNNING, WAITING };

	for (int k = 0; k < 2; k++)
		for (int32_t i = s->list[held[k]].head; i != NONE; i = s->seqs[i].next)
			if (s->seqs[i].id == q->id && s->seqs[i].cross_len > 0)
				return i;
	return NONE;
}

static void cross_share(struct sk_sched *s, int32_t from, int32_t to)
{
	struct seq *q = &s->seqs[to];

	while (q->cross_len < s->seqs[from].cross_len) {
		int32_t block = seq_cross(s, from)[q->cross_len];

		sk_blocks_ref(&s->pool, block);
		seq_cross(s, to)[q->cross_len++] = block;
	}
}

/* Blocks of the prompt that a fork shares: full ones without its last token, which everybody computes. */
static int32_t fork_shares(const struct sk_sched *s, const struct seq *q)
{
	return (q->prompt_len - 1) / s->l.block_tokens;
}

/* `to` has just been let in, and so there is a free block for its copy of the partial one. */
static void fork_take(struct sk_sched *s, struct plan *p, int32_t from, int32_t to)
{
	const int32_t *theirs = seq_table(s, &s->seqs[from]);
	struct seq *q = &s->seqs[to];
	int32_t *own = seq_table(s, q), full = fork_shares(s, q), block;

	for (; q->blocks_len < full; q->blocks_len++) {
		sk_blocks_ref(&s->pool, theirs[q->blocks_len]);
		own[q->blocks_len] = theirs[q->blocks_len];
	}
	q->planned = full * s->l.block_tokens;
	if (q->planned == q->prompt_len - 1)
		return;
	block = sk_blocks_take(&s->pool);
	if (SK_BUG_IF(block < 0))
		return;
	p->copies[p->copies_len++] = (struct sk_batch_copy){ theirs[full], block };
	own[q->blocks_len++] = block;
	q->planned = q->prompt_len - 1;
}

static void plan_admit(struct sk_sched *s, struct plan *p)
{
	int64_t promised = blocks_promised(s);

	while (s->list[WAITING].head != NONE && s->list[RUNNING].len < s->running_max && p->T < s->l.tokens_max) {
		int32_t i = waiting_next(s);
		struct seq *q = &s->seqs[i];
		int32_t fork = fork_of(s, q), cross = q->source_len > 0 && q->cross_len == 0 ? cross_of(s, q) : i;
		int32_t shared = fork == NONE ? 0 : fork_shares(s, q), need = blocks_for(s, q->len) - shared;

		if (fork != NONE && s->seqs[fork].planned < q->prompt_len - 1)
			return;
		if (cross == NONE || !admit(s, i, promised + need))
			return;
		cross_share(s, cross, i);
		if (fork != NONE)
			fork_take(s, p, fork, i);
		plan_chunk(s, p, i);
		need += shared - q->blocks_len;
		promised += need > 0 ? need : 0;
	}
}

/* Whole sources of newcomers. None older than them waits with its source encoded, so the first of them may be let in alone. */
static void plan_encode(struct sk_sched *s, struct plan *p)
{
	int64_t promised = blocks_promised(s);

	p->encode = true;
	while (s->list[WAITING].head != NONE && s->list[RUNNING].len < s->running_max) {
		int32_t i = waiting_next(s);
		struct seq *q = &s->seqs[i];
		int32_t cross = blocks_for(s, q->source_len), need = blocks_for(s, q->len);

		if (q->cross_len > 0 || cross_of(s, q) != NONE || q->source_len > s->l.encode_max - p->T || !admit(s, i, promised + need + cross))
			return;
		while (q->cross_len < cross)
			seq_cross(s, i)[q->cross_len++] = sk_blocks_take(&s->pool);
		q->planned_by = s->planned + 1;
		p->slot[p->S] = i;
		p->seqs[p->S++] = (struct sk_batch_seq){ .id = q->id, .seq = q->which, .user = q->user, .len = q->source_len,
							 .prefill = true, .cross_len = q->source_len };
		p->T += q->source_len;
		promised += need;
	}
}

static void plan_decode(struct sk_sched *s, struct plan *p)
{
	bool room = true;

	p->encode = false;
	plan_decodes(s, p);
	for (int32_t i = s->list[RUNNING].head; i != NONE; i = s->seqs[i].next)
		if (!seq_decodes(&s->seqs[i]))
			room = plan_chunk(s, p, i) && room;
	if (room && p->preempted_len == 0)
		plan_admit(s, p);
}

/* Move everybody on by what was planned for him. */
static void plan_finish(struct sk_sched *s, struct plan *p)
{
	for (int32_t k = 0; k < p->S; k++) {
		struct sk_batch_seq *e = &p->seqs[k];
		struct seq *q = &s->seqs[p->slot[k]];

		q->planned += p->encode ? 0 : e->len;
		q->pending += e->sample;
		e->blocks = seq_table(s, q);
		e->blocks_len = q->blocks_len;
		e->cross = e->cross_len > 0 ? seq_cross(s, p->slot[k]) : NULL;
	}
}

void sk_sched_plan(struct sk_sched *s, int64_t now_us, struct sk_batch *ret_batch)
{
	struct plan *p = &s->plans[(s->planned + 1) & 1];
	bool encoded = s->planned > 0 && s->plans[s->planned & 1].encode;       /* the step before this one */

	*ret_batch = (struct sk_batch){ 0 };
	if (SK_BUG_IF(s->planned - s->committed > (uint64_t)s->l.look_ahead))
		return;
	p->S = p->T = p->preempted_len = p->copies_len = 0;
	if (s->l.encode_max > 0 && !encoded)
		plan_encode(s, p);
	if (p->S == 0)
		plan_decode(s, p);
	if (p->S == 0 && p->preempted_len == 0 && encoded)
		plan_encode(s, p);
	plan_finish(s, p);
	*ret_batch = (struct sk_batch){ .seqs = p->seqs, .S = p->S, .T = p->T, .encode = p->encode,
					.preempted = p->preempted, .preempted_len = p->preempted_len, .copies = p->copies,
					.copies_len = p->copies_len, .number = s->planned };
	if (p->S > 0)
		ret_batch->number = p->number = ++s->planned;
}

/* ---- commit ---- */

void sk_sched_commit(struct sk_sched *s, const struct sk_batch *b, const struct sk_fate *fates)
{
	struct plan *p = &s->plans[b->number & 1];

	if (SK_BUG_IF(b->number != s->committed + 1 || p->number != b->number))
		return;
	s->committed++;
	for (int32_t k = 0; k < p->S; k++) {
		const struct sk_batch_seq *e = &p->seqs[k];
		struct seq *q = &s->seqs[p->slot[k]];

		/* Ended by the commit before this one, or dropped; the slot may have another tenant by now. */
		if (q->id != e->id || q->which != e->seq)
			continue;
		if (fates[k].end) {
			q->len += e->sample;
			seq_forget(s, p->slot[k]);
		} else if (e->sample) {
			q->len++;
			q->pending--;
			if (SK_BUG_IF(q->len >= q->prompt_len + q->max_new))
				seq_forget(s, p->slot[k]);
		}
	}
}

/* ---- what a reader and a test want to know ---- */

void sk_sched_stats(const struct sk_sched *s, struct sk_sched_stats *ret_stats)
{
	*ret_stats = (struct sk_sched_stats){
		.waiting = s->list[WAITING].len, .running = s->list[RUNNING].len,
		.blocks_free = s->pool.free_len, .blocks_total = s->pool.len, .preemptions = s->preemptions,
	};
}

static sk_status check_seq(const struct sk_sched *s, const struct seq *q, enum place place, struct sk_err *err)
{
	bool running = place == RUNNING;

	if (q->place != place || (q->id == 0) != (place == FREE))
		return sk_fail(err, SK_EBUG, "request %llu is on the wrong list", (unsigned long long)q->id);
	if (place == FREE)
		return SK_OK;
	if ((q->table != NONE) != running || (!running && (q->blocks_len != 0 || q->planned != 0)))
		return sk_fail(err, SK_EBUG, "request %llu waits and holds blocks", (unsigned long long)q->id);
	if (q->planned > (int64_t)q->blocks_len * s->l.block_tokens || q->planned > seq_total(q))
		return sk_fail(err, SK_EBUG, "request %llu computes %d tokens, has %d and %d blocks",
			       (unsigned long long)q->id, (int)q->planned, (int)seq_total(q), (int)q->blocks_len);
	if (q->pending < 0 || q->pending > 1 + s->l.look_ahead || q->len >= q->prompt_len + q->max_new)
		return sk_fail(err, SK_EBUG, "request %llu counts its tokens wrongly", (unsigned long long)q->id);
	if (q->cross_len != blocks_for(s, q->source_len) && (running || q->cross_len != 0))
		return sk_fail(err, SK_EBUG, "request %llu has %d cross blocks for a source of %d tokens", (unsigned long long)q->id,
			       (int)q->cross_len, (int)q->source_len);
	return SK_OK;
}

static sk_status check_blocks(const struct sk_sched *s, const struct seq *q, const int32_t *blocks, int32_t len, struct sk_err *err)
{
	for (int32_t b = 0; b < len; b++)
		if (s->pool.refs[blocks[b]] == 0)
			return sk_fail(err, SK_EBUG, "request %llu holds a free block", (unsigned long long)q->id);
	return SK_OK;
}

sk_status sk_sched_check(const struct sk_sched *s, struct sk_err *err)
{
	/* Running, then waiting, are one row of growing age; the order of the free ones means nothing. */
	static const enum place by_age[] = { RUNNING, WAITING, FREE };
	uint64_t age = 0, turn = 0;
	int64_t refs = 0, held = 0;
	bool bare = false;              /* somebody older has no cross blocks */
	int32_t seen = 0, clients = 0;
	sk_status st;

	for (size_t k = 0; k < PLACES; k++) {
		int32_t n = 0;

		for (int32_t i = s->list[by_age[k]].head; i != NONE && n <= s->l.waiting_max; i = s->seqs[i].next, n++) {
			const struct seq *q = &s->seqs[i];

			st = check_seq(s, q, by_age[k], err);
			if (st < 0)
				return st;
			if (by_age[k] == FREE)
				continue;
			if (q->turn ? q->turn <= turn || age > 0 : q->age <= age)
				return sk_fail(err, SK_EBUG, "request %llu is older than the one before it",
					       (unsigned long long)q->id);
			turn = q->turn ? q->turn : turn;
			age = q->turn ? 0 : q->age;
			if (bare && q->cross_len > 0)
				return sk_fail(err, SK_EBUG, "request %llu has cross blocks, an older one has not",
					       (unsigned long long)q->id);
			bare = bare || (q->source_len > 0 && q->cross_len == 0);
			held += q->blocks_len + q->cross_len;
			st = check_blocks(s, q, q->blocks_len > 0 ? seq_table(s, q) : NULL, q->blocks_len, err);
			if (st >= 0)
				st = check_blocks(s, q, seq_cross(s, i), q->cross_len, err);
			if (st < 0)
				return st;
		}
		if (n != s->list[by_age[k]].len)
			return sk_fail(err, SK_EBUG, "a list of %d requests has %d", (int)s->list[by_age[k]].len, (int)n);
		seen += n;
	}
	if (seen != s->l.waiting_max)
		return sk_fail(err, SK_EBUG, "%d of %d places for sequences are on a list", (int)seen, (int)s->l.waiting_max);
	if (s->list[RUNNING].len + s->table_free_len != s->running_max)
		return sk_fail(err, SK_EBUG, "a block table was lost");
	for (int32_t i = 0; i < s->l.waiting_max; i++)
		clients += s->clients[i].held;
	if (clients != s->list[RUNNING].len + s->list[WAITING].len)
		return sk_fail(err, SK_EBUG, "clients count %d requests of %d", (int)clients,
			       (int)(s->list[RUNNING].len + s->list[WAITING].len));
	for (int32_t b = 0; b < s->pool.len; b++)
		refs += s->pool.refs[b];
	if (refs != held)
		return sk_fail(err, SK_EBUG, "sequences hold %lld blocks, the pool counts %lld", (long long)held,
			       (long long)refs);
	return sk_blocks_check(&s->pool, err);
}
