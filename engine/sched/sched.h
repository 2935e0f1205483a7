/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The planner: which tokens of which sequences are in the next step.
 *
 * A plain function of its input: no clock, no thread, no allocation after init, no text, no tensor. Time comes in as data.
 * The same queue gives the same batch; tests/sim/ runs ten thousand random ones.
 *
 * owner: engine thread.
 *
 * Life of a sequence here:   add -> WAITING -> RUNNING (prefill in chunks, then decode) -> finished by commit or dropped
 *                                      ^           |
 *                                      +- preempt -+   (its blocks are given back, its tokens are computed again)
 *
 * Behind an encoder (limits.encode_max > 0) a request also has a source: its way from WAITING to RUNNING is an encoder's step of
 * whole sources, which fills its cross blocks once. They are of the same pool and stay with it until it is gone: a preempted
 * one loses its decoder's blocks only, and comes back without the encoder. Only where an older one finds no other block does the
 * youngest of the waiting ones lose its cross blocks too, and is encoded again.
 *
 * A request may have several sequences, which begin with the same prompt and source. It is admitted as a whole: the first computes the
 * prompt, and the others come in behind it, before anybody newer, by a fork: full blocks of the prompt are shared by count, the last
 * partial one is copied (struct sk_batch.copies), the source's blocks are shared, and what is left to compute is the prompt's last
 * token, whose logits are each sequence's own. A preempted one comes back the same way while another of them runs, and by itself
 * otherwise. Each sequence is preempted, and ends, alone.
 *
 * Who is admitted next, among several clients: start-time fair queueing (Goyal, Vin, Cheng 1996). A request costs its tokens, source,
 * prompt and longest answer, divided by its client's weight; what it never generates is given back when it ends. Of those that wait,
 * the one comes next whose client has had least, so that shares of clients with work are as their weights, whatever each of
 * them sends. A client that comes back has no claim from the time it was away. With one client it is first come, first served.
 * Fairness decides about admission alone: who has begun is older than all who have not, and ends.
 *
 * plan(n+1) may be called before commit(n) (look-ahead, depth 1): a sequence whose next token is still unknown then
 * takes part with id SK_TOKEN_PENDING, and commit drops at most one surplus token of a sequence that has ended.
 *
 * Steps run in the order of their plans. A block given back by a commit or a drop may go to another sequence in the next
 * plan although a step under way still uses it: the new owner writes it in a later step.
 */
#ifndef SK_SCHED_H
#define SK_SCHED_H

#include <stdbool.h>
#include <stdint.h>

#include "engine/base/err.h"

#define SK_TOKEN_PENDING (-1)

struct sk_sched;

struct sk_sched_limits {
	int32_t tokens_max;             /* T of a step */
	int32_t sequences_max;          /* S of a step */
	int32_t blocks;                 /* KV blocks in the pool */
	int32_t block_tokens;           /* 16 */
	int32_t context_max;            /* tokens of one sequence, prompt and generated */
	int32_t encode_max;             /* source tokens of an encoder's step; 0: there is no encoder */
	int32_t waiting_max;            /* sequences held at all (waiting and running) */
	int look_ahead;                 /* 0 or 1 */
};

sk_status sk_sched_open(const struct sk_sched_limits *l, struct sk_sched **ret_s, struct sk_err *err);
void sk_sched_close(struct sk_sched **s);

/* What a request brings. `ids` is lent until the sequence is gone (finished, dropped); of several sequences, the first one's. */
struct sk_sched_req {
	uint64_t id;                    /* not 0, never used before */
	const int32_t *ids;             /* room for prompt_len + max_new_tokens; the caller appends generated ids */
	int32_t prompt_len, max_new_tokens;
	int32_t source_len;             /* of an encoder's input: 1 to encode_max; 0 where there is no encoder */
	int32_t n;                      /* sequences; 0 is 1 */
	bool prompt_rows;               /* the head runs over every prompt row (prompt log-probabilities): no prefix reuse for the first */
	void *user;
	uint64_t client;                /* whose it is; any number */
	uint32_t weight;                /* of the client, at most SK_SCHED_WEIGHT_MAX; 0 is 1 */
};

#define SK_SCHED_WEIGHT_MAX 1000

/* All sequences, or none. SK_EOVERLOADED: waiting_max. SK_EINVAL: can never fit the pool or the context. */
sk_status sk_sched_add(struct sk_sched *s, const struct sk_sched_req *r, int64_t now_us);

/* Forget a request, all its sequences, at the next safe moment; its blocks are free before the next plan. SK_ENOENT: not here. */
sk_status sk_sched_drop(struct sk_sched *s, uint64_t id);

/* One sequence's part of a step. */
struct sk_batch_seq {
	uint64_t id;                    /* the request's */
	int32_t seq;                    /* which of its sequences, from 0 */
	void *user;
	int32_t first_pos, len;         /* tokens [first_pos, first_pos + len) of the sequence are computed */
	bool sample;                    /* the last of them gives a next token */
	bool prefill;                   /* positions of the prompt (or recomputed ones), not a decode step */
	bool pending;                   /* the token at first_pos is not known on the host yet (look-ahead) */
	const int32_t *blocks;          /* block table, valid until the next plan */
	int32_t blocks_len;
	const int32_t *cross;           /* the same of its source; NULL: it has none */
	int32_t cross_len;              /* tokens there: source_len */
};

struct sk_batch_name { uint64_t id; int32_t seq; };
struct sk_batch_copy { int32_t from, to; };     /* KV blocks, whole */

struct sk_batch {
	const struct sk_batch_seq *seqs;
	int32_t S, T;                   /* 0: nothing to do */
	bool encode;                    /* a step of the encoder: sources from 0 on, whole, into `cross`; `blocks` are empty */
	const struct sk_batch_name *preempted;  /* given back to the queue by this plan */
	int32_t preempted_len;
	const struct sk_batch_copy *copies;     /* forks: to be done before anything of this step is written, in this order */
	int32_t copies_len;
	uint64_t number;                /* counts plans; commits come in the same order. An empty plan is not committed */
};

/*
 * Decode tokens of all running sequences first, then prompt chunks in order of age, within tokens_max and sequences_max.
 * Or the sources of new ones, oldest first, within encode_max: at once, but with a step for the others after each.
 * What *ret_batch points to is valid until the plan after the next one, block tables until the next one.
 */
void sk_sched_plan(struct sk_sched *s, int64_t now_us, struct sk_batch *ret_batch);

/* What the engine decided about each sequence of a batch after sampling. */
struct sk_fate {
	int32_t next;                   /* the token, where `sample` was set; ignored for the surplus of an ended sequence */
	bool end;                       /* finished: EOS, stop string or length; blocks are freed */
};
void sk_sched_commit(struct sk_sched *s, const struct sk_batch *b, const struct sk_fate *fates);

struct sk_sched_stats { int32_t waiting, running, blocks_free, blocks_total; uint64_t preemptions; };
void sk_sched_stats(const struct sk_sched *s, struct sk_sched_stats *ret_stats);

/* Every invariant, for tests and debug builds: SK_OK or SK_EBUG with words. */
sk_status sk_sched_check(const struct sk_sched *s, struct sk_err *err);

#endif
