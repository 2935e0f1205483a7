/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Unigram: of all ways to write a word as pieces, the one whose scores add up to the most (Viterbi's algorithm).
 *
 * Every place in the word remembers the best way to get there and the piece that ends there; pieces that begin at a place are
 * found in a trie. Where no piece stands for a single character, the unknown token does, at ten below the least score; unknown
 * neighbours are one. Ties and the order of adding doubles are those of the Hugging Face library.
 */
#include "engine/text/kind.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/text/pieces.h"

#define UNKNOWN_PENALTY 10.0
#define FEW 256

struct unigram {
	struct sk_pieces trie;
	struct sk_vocab vocab;
	double *score;                          /* [vocab] */
	double unk_score;
	int32_t of_byte[256];
	bool byte_fallback, single;
};

/* Of a SentencePiece model only normal and user-defined pieces are found in text. */
static sk_status pieces_open(struct sk_text *t, struct unigram *u, const struct sk_text_src *src, struct sk_err *err)
{
	struct sk_str *some = NULL;
	sk_status st;
	size_t i;

	if (src->single && src->types) {
		some = calloc(src->scores_len + 1, sizeof(*some));
		if (!some)
			return sk_fail(err, SK_ENOMEM, "no memory for %zu pieces", src->scores_len);
		for (i = 0; i < src->scores_len; i++)
			if (src->types[i] == SK_TOKEN_NORMAL || src->types[i] == SK_TOKEN_USER)
				some[i] = src->tokens[i];
	}
	st = sk_pieces_open(t, &u->trie, some ? some : src->tokens, src->scores_len, err);
	free(some);
	return st;
}

static sk_status unigram_open(struct sk_text *t, const struct sk_text_src *src, struct sk_err *err)
{
	struct unigram *u = calloc(1, sizeof(*u));
	double least = INFINITY;
	sk_status st;
	size_t i;

	if (!u)
		return sk_fail(err, SK_ENOMEM, "no memory for the tokenizer");
	t->state = u;
	u->byte_fallback = src->byte_fallback;
	u->single = src->single;
	u->score = malloc(src->vocab * sizeof(*u->score));
	if (!u->score)
		return sk_fail(err, SK_ENOMEM, "no memory for %zu scores", src->vocab);
	for (i = 0; i < src->vocab; i++) {
		u->score[i] = i < src->scores_len ? src->scores[i] : 0;
		if (i < src->scores_len && !isfinite(src->scores[i]))
			return sk_fail(err, SK_EFORMAT, "%s: the score of token %zu is not finite", src->tokens_name, i);
		if (i < src->scores_len && src->tokens[i].s && src->scores[i] < least &&
		    (!src->single || !src->types || src->types[i] == SK_TOKEN_NORMAL))
			least = src->scores[i];
	}
	u->unk_score = least - UNKNOWN_PENALTY;
	st = sk_vocab_open(t, &u->vocab, src, true, err);
	if (st < 0)
		return st;
	sk_vocab_bytes(&u->vocab, u->of_byte);
	t->mem_bytes += sizeof(*u) + src->vocab * sizeof(*u->score);
	return pieces_open(t, u, src, err);
}

static void unigram_close(struct sk_text *t)
{
	struct unigram *u = t->state;

	if (!u)
		return;
	sk_pieces_fini(&u->trie);
	sk_vocab_fini(&u->vocab);
	free(u->score);
	free(u);
	t->state = NULL;
}

/* How the best way to a place ends: the piece, where it begins, and the sum so far. from NOWHERE: no way yet. */
struct end { double sum; uint32_t from; int32_t id; };
#define NOWHERE UINT32_MAX

static inline void offer(struct end *e, double sum, size_t from, int32_t id)
{
	if (e->from != NOWHERE && !(sum > e->sum))
		return;
	e->sum = sum;
	e->from = (uint32_t)from;
	e->id = id;
}

/* SK_EINVAL: a character that no piece has, and there is no unknown token. */
static sk_status best_ways(const struct unigram *u, const struct sk_text *t, const struct sk_piece *w, struct end *ends)
{
	const struct sk_pieces *trie = &u->trie;
	size_t at, i, size;
	uint32_t cp, node;
	double sum;
	int32_t id;
	bool whole;

	for (i = 0; i <= w->len; i++)
		ends[i].from = NOWHERE;
	ends[0].sum = 0;
	for (at = 0; at < w->len; at += size) {
		size = sk_piece_char(w, at, &cp);
		whole = false;
		for (i = at, node = 0; i < w->len && (node = sk_pieces_step(trie, node, (uint8_t)w->s[i])); i++) {
			id = trie->cells[node].id;
			if (id < 0)
				continue;
			sum = u->score[id] + ends[at].sum;
			offer(&ends[i + 1], u->single ? (float)sum : sum, at, id);
			whole = whole || i + 1 == at + size;
		}
		if (whole)
			continue;
		if (t->unk < 0)
			return SK_EINVAL;
		sum = u->unk_score + ends[at].sum;
		offer(&ends[at + size], u->single ? (float)sum : sum, at, t->unk);
	}
	return SK_OK;
}

/* A part that is one piece, or unknown: then maybe its bytes. */
static sk_status part_emit(struct sk_text_job *job, const struct unigram *u, const struct sk_piece *w, size_t from, size_t to)
{
	int32_t id = u->single ? -1 : sk_vocab_find(&u->vocab, w->s + from, to - from);
	sk_status st = SK_OK;
	bool bytes = u->byte_fallback && id < 0;
	size_t i;

	for (i = from; i < to && bytes; i++)
		bytes = u->of_byte[(uint8_t)w->s[i]] >= 0;
	if (!bytes)
		return sk_text_emit(job, id >= 0 ? id : job->t->unk, w, from, to);
	for (i = from; i < to && st == SK_OK; i++)
		st = sk_text_emit(job, u->of_byte[(uint8_t)w->s[i]], w, from, to);
	return st;
}

/* From the end back, turned round in place: ends[k].from becomes where the part that begins at k ends. */
static sk_status parts_emit(struct sk_text_job *job, const struct unigram *u, const struct sk_piece *w, struct end *ends)
{
	size_t at = w->len, from, to, next = NOWHERE;
	sk_status st = SK_OK;
	int32_t unk = job->t->unk, id = -1, was;

	/* ends[at] says how the best way to `at` ends; walking back, each place learns where its part ends. */
	while (at > 0) {
		from = ends[at].from;
		was = ends[at].id;
		ends[at].from = (uint32_t)next;
		ends[at].id = id;
		next = at;
		id = was;
		at = from;
	}
	ends[0].from = (uint32_t)next;
	ends[0].id = id;
	for (at = 0; at < w->len && st == SK_OK; at = to) {
		to = ends[at].from;
		if (ends[at].id == unk) {
			while (to < w->len && ends[to].id == unk)
				to = ends[to].from;
			st = part_emit(job, u, w, at, to);
		} else {
			st = sk_text_emit(job, ends[at].id, w, at, to);
		}
	}
	return st;
}

static sk_status unigram_encode(struct sk_text_job *job, const struct sk_piece *w)
{
	const struct unigram *u = job->t->state;
	struct end few[FEW + 1], *ends = few;
	sk_status st;

	if (w->len > FEW) {
		ends = malloc((w->len + 1) * sizeof(*ends));
		if (!ends)
			return sk_fail(job->err, SK_ENOMEM, "no memory for a word of %zu bytes", w->len);
	}
	st = best_ways(u, job->t, w, ends);
	if (st == SK_EINVAL)
		sk_fail(job->err, st, "the text has a character that the tokenizer does not know, and no unknown token to stand for it");
	else
		st = parts_emit(job, u, w, ends);
	if (ends != few)
		free(ends);
	return st;
}

const struct sk_text_kind sk_text_kind_unigram = {
	.name   = "unigram",
	.json   = "Unigram",
	.open   = unigram_open,
	.close  = unigram_close,
	.encode = unigram_encode,
};
