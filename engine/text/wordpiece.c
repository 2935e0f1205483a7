/* SPDX-License-Identifier: Apache-2.0 */
/*
 * WordPiece: the longest piece that begins a word, then the longest that goes on, until the word ends; pieces that go on are
 * written with a prefix ("##"). A word that cannot be written so, or that is too long, is unknown as a whole. And WordLevel: a
 * word is a token, or unknown.
 */
#include "engine/text/kind.h"

#include <stdlib.h>
#include <string.h>

struct wordpiece {
	struct sk_vocab vocab;
	char *prefix;
	size_t prefix_len;
	size_t piece_max;                       /* bytes of the longest token */
	int64_t chars_max;
};

static sk_status level_open(struct sk_text *t, const struct sk_text_src *src, struct sk_err *err)
{
	struct wordpiece *w = calloc(1, sizeof(*w));
	size_t i;

	if (!w)
		return sk_fail(err, SK_ENOMEM, "no memory for the tokenizer");
	t->state = w;
	t->mem_bytes += sizeof(*w);
	if (t->unk < 0)
		return sk_fail(err, SK_EFORMAT, "%s: there is no unknown token", src->tokens_name);
	for (i = 0; i < src->vocab; i++)
		if (src->tokens[i].len > w->piece_max)
			w->piece_max = src->tokens[i].len;
	return sk_vocab_open(t, &w->vocab, src, false, err);
}

static sk_status wordpiece_open(struct sk_text *t, const struct sk_text_src *src, struct sk_err *err)
{
	sk_status st = level_open(t, src, err);
	struct wordpiece *w = t->state;

	if (st < 0)
		return st;
	if (src->prefix.len > SK_TEXT_ADDED_MAX)
		return sk_fail(err, SK_ETOOBIG, "continuing_subword_prefix is over %u bytes", SK_TEXT_ADDED_MAX);
	w->chars_max = src->chars_max;
	w->prefix_len = src->prefix.len;
	w->prefix = malloc(src->prefix.len + w->piece_max + 1);         /* and room for what comes behind it */
	if (!w->prefix)
		return sk_fail(err, SK_ENOMEM, "no memory for the tokenizer");
	if (src->prefix.len)
		memcpy(w->prefix, src->prefix.s, src->prefix.len);
	return SK_OK;
}

static void wordpiece_close(struct sk_text *t)
{
	struct wordpiece *w = t->state;

	if (!w)
		return;
	sk_vocab_fini(&w->vocab);
	free(w->prefix);
	free(w);
	t->state = NULL;
}

/* The longest piece at `from`: its id and end; -1. name: room for prefix and piece. */
static int32_t longest_find(const struct wordpiece *p, const struct sk_piece *w, size_t from, char *name, size_t *ret_to)
{
	size_t prefix = from ? p->prefix_len : 0, to = w->len;
	int32_t id;

	if (p->piece_max < prefix)
		return -1;
	if (to - from > p->piece_max - prefix)
		to = from + p->piece_max - prefix;
	while (to > from && to < w->len && ((unsigned char)w->s[to] & 0xc0) == 0x80)
		to--;
	memcpy(name, p->prefix, prefix);
	memcpy(name + prefix, w->s + from, to - from);
	while (to > from) {
		id = sk_vocab_find(&p->vocab, name, prefix + to - from);
		if (id >= 0) {
			*ret_to = to;
			return id;
		}
		for (to--; to > from && ((unsigned char)w->s[to] & 0xc0) == 0x80; to--)
			;
	}
	return -1;
}

/* How many pieces; 0: it cannot be written. ids and ends of them. */
static size_t pieces_find(const struct wordpiece *p, const struct sk_piece *w, char *name, int32_t *ids, uint32_t *ends)
{
	size_t from, to, n = 0;

	for (from = 0; from < w->len; from = to) {
		ids[n] = longest_find(p, w, from, name, &to);
		if (ids[n] < 0)
			return 0;
		ends[n++] = (uint32_t)to;
	}
	return n;
}

static sk_status wordpiece_encode(struct sk_text_job *job, const struct sk_piece *w)
{
	const struct wordpiece *p = job->t->state;
	size_t chars = 0, i, n = 0, from = 0;
	int32_t few_ids[128], *ids = few_ids;
	uint32_t few_ends[128], *ends = few_ends;
	char few[1024], *name = few;
	sk_status st = SK_OK;

	for (i = 0; i < w->len; i++)
		chars += ((unsigned char)w->s[i] & 0xc0) != 0x80;
	if ((int64_t)chars > p->chars_max)
		return sk_text_emit(job, job->t->unk, w, 0, w->len);
	if (chars > 128) {
		ids = malloc(chars * sizeof(*ids));
		ends = malloc(chars * sizeof(*ends));
	}
	if (p->prefix_len + p->piece_max > sizeof(few))
		name = malloc(p->prefix_len + p->piece_max + 1);
	if (!ids || !ends || !name)
		st = sk_fail(job->err, SK_ENOMEM, "no memory for a word of %zu bytes", w->len);
	else if (!(n = pieces_find(p, w, name, ids, ends)))
		st = sk_text_emit(job, job->t->unk, w, 0, w->len);
	for (i = 0; i < n && st == SK_OK; from = ends[i++])
		st = sk_text_emit(job, ids[i], w, from, ends[i]);
	if (ids != few_ids)
		free(ids);
	if (ends != few_ends)
		free(ends);
	if (name != few)
		free(name);
	return st;
}

static sk_status level_encode(struct sk_text_job *job, const struct sk_piece *w)
{
	const struct wordpiece *p = job->t->state;
	int32_t id = sk_vocab_find(&p->vocab, w->s, w->len);

	return sk_text_emit(job, id >= 0 ? id : job->t->unk, w, 0, w->len);
}

const struct sk_text_kind sk_text_kind_wordpiece = {
	.name = "wordpiece", .json = "WordPiece", .open = wordpiece_open, .close = wordpiece_close, .encode = wordpiece_encode,
};

const struct sk_text_kind sk_text_kind_wordlevel = {
	.name = "wordlevel", .json = "WordLevel", .open = level_open, .close = wordpiece_close, .encode = level_encode,
};
