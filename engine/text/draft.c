/* SPDX-License-Identifier: Apache-2.0 */
/* See draft.h. */
#include "engine/text/draft.h"

#include <stdlib.h>
#include <string.h>

#define PARTS_MAX (1u << 30)

static sk_status tokens_grow(struct sk_draft *d, size_t cap, bool scores, struct sk_err *err)
{
	struct sk_str *tokens;
	double *with;

	tokens = realloc(d->tokens, cap * sizeof(*tokens));
	if (!tokens)
		return sk_fail(err, SK_ENOMEM, "no memory for %zu tokens", cap);
	memset(tokens + d->cap, 0, (cap - d->cap) * sizeof(*tokens));
	d->tokens = tokens;
	if (scores) {
		with = realloc(d->scores, cap * sizeof(*with));
		if (!with)
			return sk_fail(err, SK_ENOMEM, "no memory for %zu tokens", cap);
		memset(with + d->cap, 0, (cap - d->cap) * sizeof(*with));
		d->scores = with;
	}
	d->cap = cap;
	return SK_OK;
}

sk_status sk_draft_init(struct sk_draft *d, const char *path, size_t vocab, bool scores, struct sk_err *err)
{
	d->path = path;
	if (vocab > SK_TEXT_VOCAB_MAX)
		return sk_fail(err, SK_ETOOBIG, "%s: %zu tokens, the limit is %u", path, vocab, SK_TEXT_VOCAB_MAX);
	if (sk_table_init(&d->ids, (uint32_t)vocab + 64) < 0)
		return sk_fail(err, SK_ENOMEM, "no memory for %zu tokens", vocab);
	return tokens_grow(d, vocab + 64, scores, err);
}

void sk_draft_fini(struct sk_draft *d)
{
	sk_arena_fini(&d->strings);
	sk_table_fini(&d->ids);
	sk_stages_fini(&d->pipe.normal);
	sk_stages_fini(&d->pipe.pre);
	sk_stages_fini(&d->pipe.decoder);
	free(d->tokens);
	free(d->scores);
	free(d->types);
	free(d->merges);
	free(d->rights);
	free(d->ranks);
	free(d->added);
	free(d->around);
	free(d->template);
	free(d->tool_template);
	*d = (struct sk_draft){ 0 };
}

sk_status sk_draft_token(struct sk_draft *d, int64_t id, struct sk_str s, bool again, struct sk_err *err)
{
	char name[128], other[128];
	size_t cap;
	sk_status st;
	int32_t was;

	if (!s.s)
		return sk_fail(err, SK_ENOMEM, "no memory for the tokens");
	if (s.len > SK_TEXT_PIECE_MAX)
		return sk_fail(err, SK_ETOOBIG, "%s: token %lld has %zu bytes, the limit is %u", d->path, (long long)id, s.len,
			       SK_TEXT_PIECE_MAX);
	if (id < 0 || (uint64_t)id > 2 * (uint64_t)d->ids.len + 100000 + d->cap || id >= SK_TEXT_VOCAB_MAX)
		return sk_fail(err, SK_EFORMAT, "%s: the token \"%s\" has id %lld, which cannot be of a vocabulary of this size", d->path,
			       sk_text_shown(s, name), (long long)id);
	if ((size_t)id >= d->cap) {
		cap = (size_t)id + d->cap / 2 + 64;
		st = tokens_grow(d, cap, d->scores, err);
		if (st < 0)
			return st;
	}
	if (d->tokens[id].s)
		return sk_fail(err, SK_EFORMAT, "%s: the tokens \"%s\" and \"%s\" both have id %lld", d->path,
			       sk_text_shown(d->tokens[id], name), sk_text_shown(s, other), (long long)id);
	was = again ? -1 : sk_table_find(&d->ids, s.s, s.len, -1);
	if (was >= 0)
		return sk_fail(err, SK_EFORMAT, "%s: tokens %d and %lld are both \"%s\"", d->path, was, (long long)id,
			       sk_text_shown(s, name));
	d->tokens[id] = s;
	if ((size_t)id >= d->vocab)
		d->vocab = (size_t)id + 1;
	return sk_table_put(&d->ids, s.s, s.len, (int32_t)id) < 0 ? sk_fail(err, SK_ENOMEM, "no memory for the tokens") : SK_OK;
}

int32_t sk_draft_find(const struct sk_draft *d, struct sk_str s)
{
	return s.s ? sk_table_find(&d->ids, s.s, s.len, -1) : -1;
}

sk_status sk_draft_added(struct sk_draft *d, struct sk_added a, struct sk_err *err)
{
	struct sk_added *more;
	int32_t id = sk_draft_find(d, a.text);
	sk_status st;
	size_t i, cap;

	if (!a.text.len)
		return SK_OK;
	if (id < 0) {
		id = a.id >= 0 ? a.id : (int32_t)d->vocab;
		st = sk_draft_token(d, id, a.text, false, err);
		if (st < 0)
			return st;
	}
	a.id = id;
	for (i = 0; i < d->added_len && d->added_len < 4096; i++)
		if (d->added[i].id == id) {
			d->added[i] = a;
			return SK_OK;
		}
	if (d->added_len == SK_DRAFT_ADDED_MAX)
		return sk_fail(err, SK_ETOOBIG, "%s: more than %d added tokens", d->path, SK_DRAFT_ADDED_MAX);
	if (d->added_len == d->added_cap) {
		cap = d->added_cap ? d->added_cap * 2 : 64;
		more = realloc(d->added, cap * sizeof(*more));
		if (!more)
			return sk_fail(err, SK_ENOMEM, "no memory for added tokens");
		d->added = more;
		d->added_cap = cap;
	}
	d->added[d->added_len++] = a;
	return SK_OK;
}

sk_status sk_draft_around(struct sk_draft *d, const int32_t *before, size_t before_len, const int32_t *after, size_t after_len,
			  struct sk_err *err)
{
	int32_t *around = malloc((before_len + after_len + 1) * sizeof(*around));

	if (!around)
		return sk_fail(err, SK_ENOMEM, "no memory for the tokenizer");
	if (before_len)
		memcpy(around, before, before_len * sizeof(*around));
	if (after_len)
		memcpy(around + before_len, after, after_len * sizeof(*around));
	free(d->around);
	d->around = around;
	d->pipe.before = around;
	d->pipe.before_len = before_len;
	d->pipe.after = around + before_len;
	d->pipe.after_len = after_len;
	return SK_OK;
}

void sk_draft_src(struct sk_draft *d)
{
	struct sk_text_src *src = &d->src;

	src->tokens = d->tokens;
	src->vocab = d->vocab;
	src->scores = d->scores;
	src->types = d->types;
	src->scores_len = d->scores_len;
	src->merges = d->merges;
	src->rights = d->rights;
	src->ranks = d->ranks;
	src->merges_len = d->merges_len;
	src->tokens_name = src->merges_name = d->path;
	src->pipe = &d->pipe;
	d->pipe.added = d->added;
	d->pipe.added_len = d->added_len;
}

/* ---- merges from scores ----------------------------------------------------------------------------------------------- */

struct scored { double score; int32_t id; };

static int scored_compare(const void *a, const void *b)
{
	const struct scored *x = a, *y = b;

	if (x->score != y->score)
		return x->score > y->score ? -1 : 1;
	return x->id < y->id ? -1 : x->id > y->id;
}

/* Ranks of the tokens by score, equal ones alike. */
static struct scored *ranks_make(const struct sk_draft *d, uint32_t *rank)
{
	struct scored *order = malloc((d->vocab + 1) * sizeof(*order));
	uint32_t now = 0;
	size_t i;

	if (!order)
		return NULL;
	for (i = 0; i < d->vocab; i++)
		order[i] = (struct scored){ d->scores[i], (int32_t)i };
	qsort(order, d->vocab, sizeof(*order), scored_compare);
	for (i = 0; i < d->vocab; i++) {
		now += i && order[i].score != order[i - 1].score;
		rank[order[i].id] = now;
	}
	return order;
}

static sk_status merge_add(struct sk_draft *d, struct sk_str left, struct sk_str right, uint32_t rank, size_t *io_cap, struct sk_err *err)
{
	struct sk_str *l, *r;
	uint32_t *k;

	if (d->merges_len == *io_cap) {
		*io_cap = *io_cap ? *io_cap * 2 : 4096;
		if (*io_cap > SK_TEXT_MERGES_MAX)
			return sk_fail(err, SK_ETOOBIG, "%s: the tokens have more parts than can be merged (limit %u)", d->path,
				       SK_TEXT_MERGES_MAX);
		l = realloc(d->merges, *io_cap * sizeof(*l));
		d->merges = l ? l : d->merges;
		r = realloc(d->rights, *io_cap * sizeof(*r));
		d->rights = r ? r : d->rights;
		k = realloc(d->ranks, *io_cap * sizeof(*k));
		d->ranks = k ? k : d->ranks;
		if (!l || !r || !k)
			return SK_ENOMEM;
	}
	d->merges[d->merges_len] = left;
	d->rights[d->merges_len] = right;
	d->ranks[d->merges_len++] = rank;
	return SK_OK;
}

/* A file of absurd tokens must not take absurd time: each is looked at in all its parts. 256,000 tokens of 30 bytes: 2^28. */
static sk_status parts_check(const struct sk_draft *d, struct sk_err *err)
{
	size_t i, work = 0;

	for (i = 0; i < d->vocab && work <= PARTS_MAX; i++)
		work += d->tokens[i].len * d->tokens[i].len;
	return work <= PARTS_MAX ? SK_OK :
	       sk_fail(err, SK_ETOOBIG, "%s: the squares of the tokens' lengths are more than %u together", d->path, PARTS_MAX);
}

sk_status sk_draft_merges(struct sk_draft *d, const uint8_t *skip, struct sk_err *err)
{
	uint32_t *rank = malloc((d->vocab + 1) * sizeof(*rank));
	struct scored *order = rank ? ranks_make(d, rank) : NULL;
	struct sk_str s, left, right;
	sk_status st = !order ? SK_ENOMEM : parts_check(d, err);
	size_t i, at, cap = 0;
	int32_t l, r;

	for (i = 0; i < d->vocab && st == SK_OK; i++) {
		s = d->tokens[i];
		for (at = 1; at < s.len && st == SK_OK && !(skip && skip[i]); at++) {
			if (((unsigned char)s.s[at] & 0xc0) == 0x80)
				continue;
			left = (struct sk_str){ s.s, at };
			right = (struct sk_str){ s.s + at, s.len - at };
			l = sk_draft_find(d, left);
			r = l >= 0 ? sk_draft_find(d, right) : -1;
			if (r >= 0 && !(skip && (skip[l] || skip[r])))
				st = merge_add(d, left, right, rank[i], &cap, err);
		}
	}
	free(rank);
	free(order);
	return st == SK_ENOMEM ? sk_fail(err, st, "no memory for merges") : st;
}
