/* SPDX-License-Identifier: Apache-2.0 */
/*
 * BPE: a word starts as its symbols, each a token, and the neighbours whose merge has the lowest rank, the leftmost of equals,
 * are joined until no neighbours can be.
 *
 * Symbols are bytes (t->raw: byte-level BPE, whose files write a visible character for each byte), or characters, maybe with a
 * prefix behind the first and a suffix at the last. One that is no token falls back to its bytes' tokens, or to the unknown
 * token, or is left out, and its neighbours become neighbours, as the Hugging Face library does it.
 *
 * Short words scan an array; long ones use a list and a heap, O(n log n), so a hostile word of a megabyte costs a fraction of
 * a second.
 */
#include "engine/text/kind.h"

#include <stdlib.h>
#include <string.h>

#include "engine/base/hash.h"
#include "engine/base/rand.h"

#define SHORT_MAX	48              /* symbols; the scan is quadratic, but all in two cache lines of each array */
#define NO_MERGE	UINT64_MAX
#define PAGES		(0x110000 >> 8)

/* val: rank << 32 | id of the joined token; so the least value is the lowest rank. key: left << 32 | right. */
struct merge_slot { uint64_t key, val; };

struct bpe {
	struct merge_slot *merges;              /* open addressing; val NO_MERGE is empty */
	uint32_t mask;                          /* slots - 1 */
	uint64_t seed;
	int32_t of_byte[256];                   /* raw: the byte's token; else of "<0xNN>". -1: none */
	struct sk_table words;                  /* raw: pieces of normal tokens; only where merges are ignored */
	/* characters */
	struct sk_vocab vocab;
	int32_t *pages[PAGES];                  /* ids by code point, -1 for none; no page: none. Without prefix and suffix */
	char *prefix, *suffix;
	size_t prefix_len, suffix_len;
	int32_t unk;
	bool byte_fallback, fuse_unk, ignore_merges;
};

/* ---- opening ------------------------------------------------------------------------------------------------------ */

/*
 * Ids by the text of the file; needed while opening only. Eight bytes a slot, so that the whole of a common
 * vocabulary stays in the second-level cache. (sk_table, 24 bytes, and one merge after the other: 12 ms instead of
 * 8 for SmolLM2.)
 */
struct index_slot { uint32_t tag; int32_t id; };        /* id -1: empty; tag: the hash's low half */
struct index {
	const struct sk_text_src *src;
	struct index_slot *slots;
	uint32_t mask;
	uint64_t seed;
};

static inline uint32_t index_home(const struct index *x, uint64_t hash)
{
	return (uint32_t)(hash >> 32) & x->mask;
}

/* The slot of this text, or the empty one where it would go. */
static struct index_slot *index_slot(const struct index *x, const char *s, size_t len, uint64_t hash)
{
	uint32_t i = index_home(x, hash);
	const struct sk_str *t;

	for (; x->slots[i].id >= 0; i = (i + 1) & x->mask) {
		t = &x->src->tokens[x->slots[i].id];
		if (x->slots[i].tag == (uint32_t)hash && t->len == len && !memcmp(t->s, s, len))
			break;
	}
	return &x->slots[i];
}

static int32_t index_find(const struct index *x, const char *s, size_t len)
{
	return index_slot(x, s, len, sk_hash(s, len, x->seed))->id;
}

static sk_status index_open(struct index *x, const struct sk_text_src *src, uint64_t seed, struct sk_err *err)
{
	struct index_slot *slot;
	uint32_t slots = 16;
	char name[128];
	uint64_t hash;
	size_t i;

	while (slots < src->vocab + src->vocab / 3)
		slots *= 2;
	*x = (struct index){ .src = src, .mask = slots - 1, .seed = seed, .slots = malloc(slots * sizeof(*x->slots)) };
	if (!x->slots)
		return sk_fail(err, SK_ENOMEM, "no memory for %zu tokens", src->vocab);
	memset(x->slots, 0xff, slots * sizeof(*x->slots));              /* id -1 everywhere */
	for (i = 0; i < src->vocab; i++) {
		if (!src->tokens[i].s)
			continue;
		hash = sk_hash(src->tokens[i].s, src->tokens[i].len, seed);
		slot = index_slot(x, src->tokens[i].s, src->tokens[i].len, hash);
		if (slot->id >= 0)
			return sk_fail(err, SK_EFORMAT, "%s: tokens %d and %zu are both \"%s\"", src->tokens_name,
				       slot->id, i, sk_text_shown(src->tokens[i], name));
		*slot = (struct index_slot){ (uint32_t)hash, (int32_t)i };
	}
	return SK_OK;
}

static inline uint32_t merge_home(const struct bpe *b, uint64_t key)
{
	uint64_t h = (key ^ b->seed) * 0x9e3779b97f4a7c15u;

	h = (h ^ h >> 32) * 0xd6e8feb86659fd93u;
	return (uint32_t)(h >> 32) & b->mask;
}

static inline uint64_t merge_find(const struct bpe *b, int32_t left, int32_t right)
{
	uint64_t key = (uint64_t)(uint32_t)left << 32 | (uint32_t)right;
	uint32_t i = merge_home(b, key);

	while (b->merges[i].val != NO_MERGE) {
		if (b->merges[i].key == key)
			return b->merges[i].val;
		i = (i + 1) & b->mask;
	}
	return NO_MERGE;
}

/* The same pair again: the later rank counts, as in the Hugging Face library. */
static void merge_put(struct bpe *b, struct merge_slot m)
{
	uint32_t i = merge_home(b, m.key);

	while (b->merges[i].val != NO_MERGE && b->merges[i].key != m.key)
		i = (i + 1) & b->mask;
	b->merges[i] = m;
}

static sk_status merges_alloc(struct sk_text *t, struct bpe *b, size_t len)
{
	uint32_t slots = 16;

	while (slots < len * 2)
		slots *= 2;
	b->merges = malloc(slots * sizeof(*b->merges));
	if (!b->merges)
		return SK_ENOMEM;
	memset(b->merges, 0xff, slots * sizeof(*b->merges));            /* NO_MERGE everywhere */
	b->mask = slots - 1;
	t->mem_bytes += slots * sizeof(*b->merges);
	return SK_OK;
}

static sk_status merge_failed(const struct sk_text_src *src, size_t i, const char *why, struct sk_err *err)
{
	char left[128], right[128];

	if (src->rights)
		return sk_fail(err, SK_EFORMAT, "%s: merge %zu \"%s\" \"%s\" %s", src->merges_name, i,
			       sk_text_shown(src->merges[i], left), sk_text_shown(src->rights[i], right), why);
	return sk_fail(err, SK_EFORMAT, "%s: merge %zu \"%s\" %s", src->merges_name, i, sk_text_shown(src->merges[i], left), why);
}

/* A merge on its way from text to ids. */
struct merge_text { struct sk_str left, right; uint64_t left_hash, right_hash; };

static sk_status merge_parse(const struct index *x, size_t i, struct merge_text *ret_m, struct sk_err *err)
{
	struct sk_str m = x->src->merges[i];
	const char *space = m.len && !x->src->rights ? memchr(m.s, ' ', m.len) : NULL;
	size_t at = space ? (size_t)(space - m.s) : 0;

	if (x->src->rights) {
		ret_m->left = m;
		ret_m->right = x->src->rights[i];
	} else {
		if (!at || at + 1 == m.len || memchr(space + 1, ' ', m.len - at - 1))
			return merge_failed(x->src, i, "is not two tokens and a space between", err);
		ret_m->left = (struct sk_str){ m.s, at };
		ret_m->right = (struct sk_str){ space + 1, m.len - at - 1 };
	}
	if (ret_m->left.len + ret_m->right.len > SK_TEXT_PIECE_MAX)
		return merge_failed(x->src, i, "is too long", err);
	if (ret_m->right.len < x->src->prefix.len)
		return merge_failed(x->src, i, "has a second part that is shorter than continuing_subword_prefix", err);
	ret_m->left_hash = sk_hash(ret_m->left.s, ret_m->left.len, x->seed);
	ret_m->right_hash = sk_hash(ret_m->right.s, ret_m->right.len, x->seed);
	__builtin_prefetch(&x->slots[index_home(x, ret_m->left_hash)]);
	__builtin_prefetch(&x->slots[index_home(x, ret_m->right_hash)]);
	return SK_OK;
}

/* The right part without the prefix, which only says that it is no beginning. */
static bool is_joined(struct sk_str t, const struct merge_text *m, size_t prefix_len)
{
	return t.len == m->left.len + m->right.len - prefix_len && !memcmp(t.s, m->left.s, m->left.len) &&
	       !memcmp(t.s + m->left.len, m->right.s + prefix_len, m->right.len - prefix_len);
}

/* *guess: the result of merge i + 1 is mostly the token after that of merge i, which saves a search. */
static sk_status merge_resolve(const struct index *x, size_t i, const struct merge_text *m, int32_t *guess,
			       struct merge_slot *ret_m, struct sk_err *err)
{
	const struct sk_text_src *src = x->src;
	int32_t left = index_slot(x, m->left.s, m->left.len, m->left_hash)->id, id = *guess;
	int32_t right = index_slot(x, m->right.s, m->right.len, m->right_hash)->id;
	size_t cut = src->prefix.len, rest = m->right.len - cut;
	uint32_t rank = src->ranks ? src->ranks[i] : (uint32_t)i;
	char joined[SK_TEXT_PIECE_MAX];

	if (left < 0 || right < 0)
		return merge_failed(src, i, "joins what is no token", err);
	if (id < 0 || (size_t)id >= src->vocab || !src->tokens[id].s || !is_joined(src->tokens[id], m, cut)) {
		memcpy(joined, m->left.s, m->left.len);
		memcpy(joined + m->left.len, m->right.s + cut, rest);
		id = index_find(x, joined, m->left.len + rest);
	}
	if (id < 0)
		return merge_failed(src, i, "makes what is no token", err);
	*guess = id + 1;
	*ret_m = (struct merge_slot){ (uint64_t)(uint32_t)left << 32 | (uint32_t)right, (uint64_t)rank << 32 | (uint32_t)id };
	return SK_OK;
}

/*
 * In blocks, each step fetching what the next one looks at: one merge after the other would wait for memory
 * four times.
 */
static sk_status merges_read(struct bpe *b, const struct index *x, struct sk_err *err)
{
	enum { BLOCK = 32 };
	struct merge_text text[BLOCK];
	struct merge_slot slot[BLOCK];
	int32_t guess = -1;
	sk_status st;
	size_t i, j, n;

	for (i = 0; i < x->src->merges_len; i += n) {
		n = x->src->merges_len - i < BLOCK ? x->src->merges_len - i : BLOCK;
		for (j = 0; j < n; j++) {
			st = merge_parse(x, i + j, &text[j], err);
			if (st < 0)
				return st;
		}
		for (j = 0; j < n; j++) {
			st = merge_resolve(x, i + j, &text[j], &guess, &slot[j], err);
			if (st < 0)
				return st;
			__builtin_prefetch(&b->merges[merge_home(b, slot[j].key)], 1);
		}
		for (j = 0; j < n; j++)
			merge_put(b, slot[j]);
	}
	return SK_OK;
}

static sk_status words_index(struct sk_text *t, struct bpe *b, struct sk_err *err)
{
	sk_status st = sk_table_init(&b->words, (uint32_t)t->vocab);
	const char *p;
	int32_t id;
	size_t len;

	for (id = 0; id < t->vocab && st == SK_OK; id++) {
		p = sk_text_piece(t, id, &len);
		if (len && !(t->flags[id] & SK_TF_ADDED))
			st = sk_table_put(&b->words, p, len, id);
	}
	if (st < 0)
		return sk_fail(err, st, "no memory for %d words", t->vocab);
	t->mem_bytes += (size_t)b->words.cap * sizeof(*b->words.slots);
	return SK_OK;
}

/* Ids of single characters by code point. */
static sk_status pages_make(struct sk_text *t, struct bpe *b, const struct sk_text_src *src, struct sk_err *err)
{
	struct sk_piece p = { 0 };
	uint32_t cp;
	size_t i;

	for (i = 0; i < src->vocab; i++) {
		p.s = src->tokens[i].s;
		p.len = src->tokens[i].len;
		if (!p.s || !p.len || p.len > 4 || sk_piece_char(&p, 0, &cp) != p.len)
			continue;
		if (!b->pages[cp >> 8]) {
			b->pages[cp >> 8] = malloc(256 * sizeof(int32_t));
			if (!b->pages[cp >> 8])
				return sk_fail(err, SK_ENOMEM, "no memory for %zu tokens", src->vocab);
			memset(b->pages[cp >> 8], 0xff, 256 * sizeof(int32_t));
			t->mem_bytes += 256 * sizeof(int32_t);
		}
		b->pages[cp >> 8][cp & 255] = (int32_t)i;
	}
	return SK_OK;
}

static char *affix_take(struct sk_str s)
{
	char *copy = malloc(s.len + 1);

	if (copy && s.len)
		memcpy(copy, s.s, s.len);
	return copy;
}

static sk_status chars_open(struct sk_text *t, struct bpe *b, const struct sk_text_src *src, struct sk_err *err)
{
	sk_status st = sk_vocab_open(t, &b->vocab, src, false, err);
	bool all = true;
	int i;

	if (st < 0)
		return st;
	if (src->prefix.len > SK_TEXT_ADDED_MAX || src->suffix.len > SK_TEXT_ADDED_MAX)
		return sk_fail(err, SK_ETOOBIG, "continuing_subword_prefix or end_of_word_suffix is over %u bytes", SK_TEXT_ADDED_MAX);
	b->prefix = affix_take(src->prefix);
	b->suffix = affix_take(src->suffix);
	if (!b->prefix || !b->suffix)
		return sk_fail(err, SK_ENOMEM, "no memory for the tokenizer");
	b->prefix_len = src->prefix.len;
	b->suffix_len = src->suffix.len;
	if (!b->prefix_len && !b->suffix_len)
		st = pages_make(t, b, src, err);
	sk_vocab_bytes(&b->vocab, b->of_byte);
	for (i = 0; i < 256; i++)
		all = all && b->of_byte[i] >= 0;
	for (i = 0; i < 256; i++)
		t->has_byte[i] = all && b->byte_fallback;
	return st;
}

static sk_status raw_open(struct sk_text *t, struct bpe *b, const struct index *ids, struct sk_err *err)
{
	int i;

	for (i = 0; i < 256; i++) {
		b->of_byte[i] = index_find(ids, sk_letter_of[i], sk_letter_len[i]);
		t->has_byte[i] = b->of_byte[i] >= 0;
	}
	return b->ignore_merges ? words_index(t, b, err) : SK_OK;
}

static sk_status bpe_open(struct sk_text *t, const struct sk_text_src *src, struct sk_err *err)
{
	struct bpe *b = calloc(1, sizeof(*b));
	struct index ids = { 0 };
	sk_status st;

	if (!b)
		return sk_fail(err, SK_ENOMEM, "no memory for the tokenizer");
	t->state = b;
	t->mem_bytes += sizeof(*b);
	b->seed = sk_rand_seed();       /* a file cannot know which pairs will collide */
	b->unk = t->unk;
	b->byte_fallback = src->byte_fallback;
	b->fuse_unk = src->fuse_unk;
	b->ignore_merges = src->ignore_merges;
	if (merges_alloc(t, b, src->merges_len) < 0)
		return sk_fail(err, SK_ENOMEM, "no memory for %zu merges", src->merges_len);
	st = index_open(&ids, src, b->seed, err);
	if (st == SK_OK)
		st = merges_read(b, &ids, err);
	if (st == SK_OK)
		st = t->raw ? raw_open(t, b, &ids, err) : chars_open(t, b, src, err);
	free(ids.slots);
	return st;
}

static void bpe_close(struct sk_text *t)
{
	struct bpe *b = t->state;
	size_t i;

	if (!b)
		return;
	sk_table_fini(&b->words);
	sk_vocab_fini(&b->vocab);
	for (i = 0; i < PAGES; i++)
		free(b->pages[i]);
	free(b->prefix);
	free(b->suffix);
	free(b->merges);
	free(b);
	t->state = NULL;
}

/* ---- a word's first symbols --------------------------------------------------------------------------------------- */

struct sym_first { int32_t id; uint32_t start; };

static size_t bytes_seed(const struct bpe *b, const struct sk_piece *w, struct sym_first *out)
{
	size_t i, n = 0;

	for (i = 0; i < w->len; i++) {
		out[n].id = b->of_byte[(uint8_t)w->s[i]];
		out[n].start = (uint32_t)i;
		n += out[n].id >= 0;
	}
	return n;
}

/* The character at `at` with the prefix and suffix of its place; returns the length. */
static size_t char_name(const struct bpe *b, const struct sk_piece *w, size_t at, size_t size, char name[2 * SK_TEXT_ADDED_MAX + 4])
{
	size_t prefix = at ? b->prefix_len : 0, suffix = at + size == w->len ? b->suffix_len : 0;

	memcpy(name, b->prefix, prefix);
	memcpy(name + prefix, w->s + at, size);
	memcpy(name + prefix + size, b->suffix, suffix);
	return prefix + size + suffix;
}

static int32_t char_find(const struct bpe *b, const struct sk_piece *w, size_t at, size_t size, uint32_t cp)
{
	char name[2 * SK_TEXT_ADDED_MAX + 4];

	if (!b->prefix_len && !b->suffix_len)
		return b->pages[cp >> 8] ? b->pages[cp >> 8][cp & 255] : -1;
	return sk_vocab_find(&b->vocab, name, char_name(b, w, at, size, name));
}

/* The tokens of its bytes, all of them or none. */
static size_t fallback_put(const struct bpe *b, const struct sk_piece *w, size_t at, size_t size, struct sym_first *out)
{
	char name[2 * SK_TEXT_ADDED_MAX + 4];
	size_t len = char_name(b, w, at, size, name), i;

	for (i = 0; i < len; i++)
		if (b->of_byte[(uint8_t)name[i]] < 0)
			return 0;
	for (i = 0; i < len; i++)
		out[i] = (struct sym_first){ b->of_byte[(uint8_t)name[i]], (uint32_t)(at + (i < size ? i : size)) };
	return len;
}

/*
 * An unknown token waits, so that the next one may be one with it; bytes that stand for a character do not end the waiting,
 * which is the reference's way. They come before it then, and take its place in the text. With a prefix or suffix a character that falls back brings their bytes as well.
 */
static size_t chars_seed(const struct bpe *b, const struct sk_piece *w, struct sym_first *out)
{
	struct sym_first unk = { -1, 0 };
	size_t i, k, size, n = 0, got;
	uint32_t cp;
	int32_t id;

	for (i = 0; i < w->len; i += size) {
		size = sk_piece_char(w, i, &cp);
		id = char_find(b, w, i, size, cp);
		if (id >= 0) {
			if (unk.id >= 0)
				out[n++] = unk;
			unk.id = -1;
			out[n++] = (struct sym_first){ id, (uint32_t)i };
			continue;
		}
		if (b->byte_fallback) {
			got = fallback_put(b, w, i, size, out + n);
			for (k = 0; k < got && unk.id >= 0; k++)
				out[n + k].start = unk.start + (uint32_t)(k < size ? k : size);
			if (got) {
				unk.start += (uint32_t)size;
				n += got;
				continue;
			}
		}
		if (b->unk < 0 || (unk.id >= 0 && b->fuse_unk))
			continue;
		if (unk.id >= 0)
			out[n++] = unk;
		unk = (struct sym_first){ b->unk, (uint32_t)i };
	}
	if (unk.id >= 0)
		out[n++] = unk;
	return n;
}

/* How many symbols a word can begin as, at most. */
static size_t seed_max(const struct bpe *b, size_t len)
{
	return b->byte_fallback ? len * (1 + b->prefix_len) + b->suffix_len : len;
}

/* ---- short words -------------------------------------------------------------------------------------------------- */

static sk_status short_encode(struct sk_text_job *job, const struct bpe *b, const struct sk_piece *w, const struct sym_first *first,
			      int n)
{
	uint64_t val[SHORT_MAX], best;          /* of the pair (i, i + 1) */
	int32_t id[SHORT_MAX];
	uint32_t start[SHORT_MAX + 1];
	sk_status st;
	int i, at;

	for (i = 0; i < n; i++) {
		id[i] = first[i].id;
		start[i] = first[i].start;
	}
	start[n] = (uint32_t)w->len;
	for (i = 0; i + 1 < n; i++)
		val[i] = merge_find(b, id[i], id[i + 1]);
	while (n > 1) {
		best = val[0];
		at = 0;
		for (i = 1; i + 1 < n; i++)
			if (val[i] >> 32 < best >> 32) {
				best = val[i];
				at = i;
			}
		if (best == NO_MERGE)
			break;
		id[at] = (int32_t)(uint32_t)best;
		n--;
		for (i = at + 1; i < n; i++) {
			id[i] = id[i + 1];
			start[i] = start[i + 1];
			val[i - 1] = val[i];    /* val[at] is set below */
		}
		start[n] = (uint32_t)w->len;
		if (at > 0)
			val[at - 1] = merge_find(b, id[at - 1], id[at]);
		if (at + 1 < n)
			val[at] = merge_find(b, id[at], id[at + 1]);
	}
	for (i = 0; i < n; i++) {
		st = sk_text_emit(job, id[i], w, start[i], start[i + 1]);
		if (st < 0)
			return st;
	}
	return SK_OK;
}

/* ---- long words --------------------------------------------------------------------------------------------------- */

#define GONE UINT32_MAX

struct sym {
	uint64_t val;                   /* of the pair with the next symbol; NO_MERGE: none, or the symbol is gone */
	int32_t id;
	uint32_t prev, next;            /* GONE at the ends */
	uint32_t start;
};

/*
 * A binary heap of rank << 32 | symbol: the lowest rank first, then the leftmost. An entry whose pair has
 * changed is stale.
 */
struct heap { uint64_t *at; size_t len; };

static void heap_put(struct heap *h, uint64_t x)
{
	size_t i = h->len++, up;

	for (; i && h->at[up = (i - 1) / 2] > x; i = up)
		h->at[i] = h->at[up];
	h->at[i] = x;
}

static uint64_t heap_take(struct heap *h)
{
	uint64_t least = h->at[0], x = h->at[--h->len];
	size_t i = 0, down;

	while ((down = 2 * i + 1) < h->len) {
		if (down + 1 < h->len && h->at[down + 1] < h->at[down])
			down++;
		if (h->at[down] >= x)
			break;
		h->at[i] = h->at[down];
		i = down;
	}
	h->at[i] = x;
	return least;
}

static void pair_look(const struct bpe *b, struct sym *y, struct heap *h, uint32_t i)
{
	y[i].val = y[i].next == GONE ? NO_MERGE : merge_find(b, y[i].id, y[y[i].next].id);
	if (y[i].val != NO_MERGE)
		heap_put(h, y[i].val >> 32 << 32 | i);
}

static void long_merge(const struct bpe *b, struct sym *y, uint32_t n, struct heap *h)
{
	uint32_t i, gone;
	uint64_t top;

	for (i = 0; i < n; i++) {
		y[i].prev = i ? i - 1 : GONE;
		y[i].next = i + 1 < n ? i + 1 : GONE;
	}
	for (i = 0; i < n; i++)
		pair_look(b, y, h, i);
	while (h->len) {
		top = heap_take(h);
		i = (uint32_t)top;
		if (y[i].val == NO_MERGE || y[i].val >> 32 != top >> 32)
			continue;
		gone = y[i].next;
		y[i].id = (int32_t)(uint32_t)y[i].val;
		y[i].next = y[gone].next;
		if (y[i].next != GONE)
			y[y[i].next].prev = i;
		y[gone].val = NO_MERGE;
		pair_look(b, y, h, i);
		if (y[i].prev != GONE)
			pair_look(b, y, h, y[i].prev);
	}
}

static sk_status long_encode(struct sk_text_job *job, const struct bpe *b, const struct sk_piece *w, const struct sym_first *first,
			     size_t n)
{
	struct heap h = { NULL, 0 };
	struct sym *y;
	sk_status st = SK_OK;
	uint32_t i;

	/* Each merge removes a symbol and its entry, and adds two entries: never more than 2 * n. */
	y = malloc(n * sizeof(*y));
	h.at = malloc(2 * n * sizeof(*h.at));
	if (!y || !h.at) {
		st = sk_fail(job->err, SK_ENOMEM, "no memory for a word of %zu bytes", w->len);
		goto out;
	}
	for (i = 0; i < n; i++) {
		y[i].id = first[i].id;
		y[i].start = first[i].start;
	}
	long_merge(b, y, (uint32_t)n, &h);
	for (i = 0; i != GONE && st == SK_OK; i = y[i].next)
		st = sk_text_emit(job, y[i].id, w, y[i].start, y[i].next == GONE ? w->len : y[y[i].next].start);
out:
	free(y);
	free(h.at);
	return st;
}

/* ---- encoding ----------------------------------------------------------------------------------------------------- */

/* A whole word that is a token already; -1. */
static int32_t whole_find(const struct sk_text *t, const struct bpe *b, const struct sk_piece *w)
{
	if (t->raw && w->len == 1)
		return b->of_byte[(uint8_t)*w->s];
	if (!b->ignore_merges)
		return -1;
	return t->raw ? sk_table_find(&b->words, w->s, w->len, -1) : sk_vocab_find(&b->vocab, w->s, w->len);
}

static sk_status bpe_encode(struct sk_text_job *job, const struct sk_piece *w)
{
	const struct sk_text *t = job->t;
	const struct bpe *b = t->state;
	struct sym_first few[SHORT_MAX], *first = few;
	size_t n, max = seed_max(b, w->len);
	int32_t id = whole_find(t, b, w);
	sk_status st;

	if (id >= 0)
		return sk_text_emit(job, id, w, 0, w->len);
	if (max > SHORT_MAX) {
		if (t->raw) {
			for (size_t i = n = 0; i < w->len; i++)
				n += b->of_byte[(uint8_t)w->s[i]] >= 0;
			st = sk_text_fits(job, n);
		} else {
			st = t->has_byte[0] ? sk_text_fits(job, w->len) : SK_OK;
		}
		if (st < 0)
			return st;
		first = malloc(max * sizeof(*first));
		if (!first)
			return sk_fail(job->err, SK_ENOMEM, "no memory for a word of %zu bytes", w->len);
	}
	n = t->raw ? bytes_seed(b, w, first) : chars_seed(b, w, first);
	if (!n)
		st = SK_OK;
	else
		st = n <= SHORT_MAX ? short_encode(job, b, w, first, (int)n) : long_encode(job, b, w, first, n);
	if (first != few)
		free(first);
	return st;
}

const struct sk_text_kind sk_text_kind_bpe = {
	.name   = "bpe",
	.ggml   = "gpt2",
	.json   = "BPE",
	.open   = bpe_open,
	.close  = bpe_close,
	.encode = bpe_encode,
};
