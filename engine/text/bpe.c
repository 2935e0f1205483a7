/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Byte-level BPE (tokenizer.ggml.model "gpt2").
 *
 * Text is cut into words (pretok.c); a word starts as its bytes, each a token, and the neighbours whose merge
 * has the lowest rank, the leftmost of equals, are joined until no neighbours can be. A byte that is no token
 * is left out, and its neighbours become neighbours, as the Hugging Face library does it.
 *
 * Short words scan an array; long ones use a list and a heap, O(n log n), so a hostile word of a megabyte costs
 * a fraction of a second. In files, tokens and merges are written in GPT-2's alphabet: a visible character for
 * each byte.
 */
#include "engine/text/kind.h"

#include <stdlib.h>
#include <string.h>

#include "engine/base/hash.h"
#include "engine/base/rand.h"
#include "engine/base/utf8.h"
#include "engine/text/normal.h"

#define SHORT_MAX	48              /* symbols; the scan is quadratic, but all in two cache lines of each array */
#define NO_MERGE	UINT64_MAX

/* val: rank << 32 | id of the joined token; so the least value is the lowest rank. key: left << 32 | right. */
struct merge_slot { uint64_t key, val; };

struct bpe {
	struct sk_pretok *pretok;
	struct merge_slot *merges;              /* open addressing; val NO_MERGE is empty */
	uint32_t mask;                          /* slots - 1 */
	uint64_t seed;
	int32_t of_byte[256];                   /* -1: this byte is no token */
	struct sk_table words;                  /* pieces of normal tokens; only where the rule ignores merges */
};

/* ---- GPT-2's alphabet ------------------------------------------------------------------------------------------- */

/*
 * Code points 0 to 323 -> byte; -1: not in the alphabet. Visible Latin-1 stands for itself, the rest is moved
 * to 256...
 */
static int16_t byte_of[324];
static char letter_of[256][2];
static uint8_t letter_len[256];

__attribute__((constructor)) static void alphabet_init(void)
{
	uint32_t cp, next = 256;
	char utf8[4];
	int b;

	memset(byte_of, 0xff, sizeof(byte_of));
	for (b = 0; b < 256; b++) {
		cp = (b >= 33 && b <= 126) || (b >= 161 && b != 173) ? (uint32_t)b : next++;
		byte_of[cp] = (int16_t)b;
		letter_len[b] = (uint8_t)sk_utf8_put(utf8, cp);
		memcpy(letter_of[b], utf8, letter_len[b]);
	}
}

/* A token outside the alphabet (an added one with a space, say) stands for its own bytes. */
static size_t bpe_piece(struct sk_str token, char *out)
{
	const unsigned char *p = (const unsigned char *)token.s;
	uint32_t cp;
	size_t i = 0, n = 0;

	while (i < token.len) {
		if (p[i] < 0x80) {
			cp = p[i++];
		} else {                /* the alphabet ends at U+0143: two bytes at most */
			if (token.len - i < 2 || p[i] < 0xc2 || p[i] > 0xc5 || (p[i + 1] & 0xc0) != 0x80)
				goto literal;
			cp = (uint32_t)(p[i] & 0x1f) << 6 | (p[i + 1] & 0x3f);
			i += 2;
		}
		if (cp >= 324 || byte_of[cp] < 0)
			goto literal;
		out[n++] = (char)byte_of[cp];
	}
	return n;
literal:
	if (token.len)
		memcpy(out, token.s, token.len);
	return token.len;
}

/* ---- opening ------------------------------------------------------------------------------------------------------ */

/* A name for a message: hostile bytes are shown as U+FFFD, at most 40 of them. */
static const char *shown(struct sk_str s, char out[128])
{
	struct sk_buf b = SK_BUF(127);

	sk_utf8_add_lossy(&b, s.s, s.len < 40 ? s.len : 40);
	memcpy(out, b.len ? b.data : "", b.len);
	out[b.len] = '\0';
	sk_buf_fini(&b);
	return out;
}

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
		hash = sk_hash(src->tokens[i].s, src->tokens[i].len, seed);
		slot = index_slot(x, src->tokens[i].s, src->tokens[i].len, hash);
		if (slot->id >= 0)
			return sk_fail(err, SK_EFORMAT, "tokenizer.ggml.tokens: tokens %d and %zu are both \"%s\"",
				       slot->id, i, shown(src->tokens[i], name));
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

static sk_status merge_failed(size_t i, struct sk_str m, const char *why, struct sk_err *err)
{
	char name[128];

	return sk_fail(err, SK_EFORMAT, "tokenizer.ggml.merges: merge %zu \"%s\" %s", i, shown(m, name), why);
}

/* A merge on its way from text to ids. */
struct merge_text { struct sk_str left, right; uint64_t left_hash, right_hash; };

static sk_status merge_parse(const struct index *x, size_t i, struct merge_text *ret_m, struct sk_err *err)
{
	struct sk_str m = x->src->merges[i];
	const char *space = m.len ? memchr(m.s, ' ', m.len) : NULL;
	size_t at = space ? (size_t)(space - m.s) : 0;

	if (!at || at + 1 == m.len || memchr(space + 1, ' ', m.len - at - 1))
		return merge_failed(i, m, "is not two tokens and a space between", err);
	if (m.len - 1 > SK_TEXT_PIECE_MAX)
		return merge_failed(i, m, "is too long", err);
	ret_m->left = (struct sk_str){ m.s, at };
	ret_m->right = (struct sk_str){ space + 1, m.len - at - 1 };
	ret_m->left_hash = sk_hash(m.s, at, x->seed);
	ret_m->right_hash = sk_hash(space + 1, ret_m->right.len, x->seed);
	__builtin_prefetch(&x->slots[index_home(x, ret_m->left_hash)]);
	__builtin_prefetch(&x->slots[index_home(x, ret_m->right_hash)]);
	return SK_OK;
}

static bool is_joined(struct sk_str t, const struct merge_text *m)
{
	return t.len == m->left.len + m->right.len && !memcmp(t.s, m->left.s, m->left.len) &&
	       !memcmp(t.s + m->left.len, m->right.s, m->right.len);
}

/* *guess: the result of merge i + 1 is mostly the token after that of merge i, which saves a search. */
static sk_status merge_resolve(const struct index *x, size_t i, const struct merge_text *m, int32_t *guess,
			       struct merge_slot *ret_m, struct sk_err *err)
{
	const struct sk_text_src *src = x->src;
	int32_t left = index_slot(x, m->left.s, m->left.len, m->left_hash)->id, id = *guess;
	int32_t right = index_slot(x, m->right.s, m->right.len, m->right_hash)->id;
	char joined[SK_TEXT_PIECE_MAX];

	if (left < 0 || right < 0)
		return merge_failed(i, src->merges[i], "joins what is no token", err);
	if (id < 0 || (size_t)id >= src->vocab || !is_joined(src->tokens[id], m)) {
		memcpy(joined, m->left.s, m->left.len);
		memcpy(joined + m->left.len, m->right.s, m->right.len);
		id = index_find(x, joined, m->left.len + m->right.len);
	}
	if (id < 0)
		return merge_failed(i, src->merges[i], "makes what is no token", err);
	*guess = id + 1;
	*ret_m = (struct merge_slot){ (uint64_t)(uint32_t)left << 32 | (uint32_t)right, (uint64_t)i << 32 | (uint32_t)id };
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

static sk_status bpe_open(struct sk_text *t, const struct sk_text_src *src, struct sk_err *err)
{
	struct bpe *b = calloc(1, sizeof(*b));
	struct index ids = { 0 };
	sk_status st;
	int i;

	if (!b)
		return sk_fail(err, SK_ENOMEM, "no memory for the tokenizer");
	t->state = b;
	t->mem_bytes += sizeof(*b);
	b->seed = sk_rand_seed();       /* a file cannot know which pairs will collide */
	st = sk_pretok_open(t->pre, &b->pretok, err);
	if (st < 0)
		return st;
	if (merges_alloc(t, b, src->merges_len) < 0)
		return sk_fail(err, SK_ENOMEM, "no memory for %zu merges", src->merges_len);
	st = index_open(&ids, src, b->seed, err);
	if (st == SK_OK)
		st = merges_read(b, &ids, err);
	for (i = 0; i < 256 && st == SK_OK; i++) {
		b->of_byte[i] = index_find(&ids, letter_of[i], letter_len[i]);
		t->has_byte[i] = b->of_byte[i] >= 0;
	}
	if (st == SK_OK && t->pre->ignore_merges)
		st = words_index(t, b, err);
	free(ids.slots);
	return st;
}

static void bpe_close(struct sk_text *t)
{
	struct bpe *b = t->state;

	if (!b)
		return;
	sk_pretok_close(&b->pretok);
	sk_table_fini(&b->words);
	free(b->merges);
	free(b);
	t->state = NULL;
}

/* ---- short words -------------------------------------------------------------------------------------------------- */

static sk_status short_encode(struct sk_text_job *job, const struct bpe *b, const char *s, size_t len, size_t offset)
{
	uint64_t val[SHORT_MAX], best;          /* of the pair (i, i + 1) */
	int32_t id[SHORT_MAX];
	uint8_t start[SHORT_MAX + 1];
	sk_status st;
	int n = 0, i, at;

	for (i = 0; i < (int)len; i++) {
		id[n] = b->of_byte[(uint8_t)s[i]];
		start[n] = (uint8_t)i;
		n += id[n] >= 0;
	}
	start[n] = (uint8_t)len;
	for (i = 0; i + 1 < n; i++)
		val[i] = merge_find(b, id[i], id[i + 1]);
	while (n > 1) {
		best = val[0];
		at = 0;
		for (i = 1; i + 1 < n; i++)
			if (val[i] < best) {
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
		start[n] = (uint8_t)len;
		if (at > 0)
			val[at - 1] = merge_find(b, id[at - 1], id[at]);
		if (at + 1 < n)
			val[at] = merge_find(b, id[at], id[at + 1]);
	}
	for (i = 0; i < n; i++) {
		st = sk_text_emit(job, id[i], offset + start[i], offset + start[i + 1]);
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

static sk_status long_encode(struct sk_text_job *job, const struct bpe *b, const char *s, size_t len, size_t offset)
{
	struct heap h = { NULL, 0 };
	size_t known = 0, i;
	struct sym *y;
	sk_status st = SK_OK;
	uint32_t n = 0;

	for (i = 0; i < len; i++)
		known += b->of_byte[(uint8_t)s[i]] >= 0;
	if (!known)
		return SK_OK;
	/* No token is longer than piece_max, so a word that cannot fit is refused before it takes memory. */
	if (job->ids_max && known / job->t->piece_max > job->ids_max)
		return sk_fail(job->err, SK_ETOOBIG, "the text has more than %zu tokens", job->ids_max);
	/* Each merge removes a symbol and its entry, and adds two entries: never more than 2 * known. */
	y = malloc(known * sizeof(*y));
	h.at = malloc(2 * known * sizeof(*h.at));
	if (!y || !h.at) {
		st = sk_fail(job->err, SK_ENOMEM, "no memory for a word of %zu bytes", len);
		goto out;
	}
	for (i = 0; i < len; i++)
		if (b->of_byte[(uint8_t)s[i]] >= 0) {
			y[n].id = b->of_byte[(uint8_t)s[i]];
			y[n++].start = (uint32_t)i;
		}
	long_merge(b, y, n, &h);
	for (n = 0; n != GONE && st == SK_OK; n = y[n].next)
		st = sk_text_emit(job, y[n].id, offset + y[n].start,
				  offset + (y[n].next == GONE ? len : y[y[n].next].start));
out:
	free(y);
	free(h.at);
	return st;
}

/* ---- encoding ----------------------------------------------------------------------------------------------------- */

struct words { struct sk_text_job *job; const struct bpe *b; size_t offset; };

static sk_status word_take(void *arg, const char *word, size_t len, size_t offset)
{
	struct words *w = arg;
	const struct bpe *b = w->b;
	int32_t id = -1;

	offset += w->offset;
	if (len == 1)
		id = b->of_byte[(uint8_t)*word];
	else if (b->words.len)
		id = sk_table_find(&b->words, word, len, -1);
	if (id >= 0)
		return sk_text_emit(w->job, id, offset, offset + len);
	return len <= SHORT_MAX ? short_encode(w->job, b, word, len, offset) :
				  long_encode(w->job, b, word, len, offset);
}

static sk_status plain_encode(struct sk_text_job *job, const char *s, size_t len)
{
	const struct bpe *b = job->t->state;
	struct words w = { job, b, (size_t)(s - job->text) };

	return sk_pretok_walk(b->pretok, s, len, word_take, &w, job->err);
}

/* Unicode's composed form first; offsets go through both maps. */
static sk_status composed_encode(struct sk_text_job *job, const char *s, size_t len)
{
	struct sk_normal n = SK_NORMAL;
	struct sk_text_job sub = *job;
	size_t base = (size_t)(s - job->text), i;
	sk_status st;

	st = sk_normal_nfc(&n, s, len);
	if (st < 0) {
		sk_normal_fini(&n);
		return sk_fail(job->err, st, "no memory to compose %zu bytes of text", len);
	}
	for (i = 0; i <= n.text.len; i++)
		n.at[i] = job->map ? job->map[base + n.at[i]] : (uint32_t)base + n.at[i];
	sub.text = n.text.data;
	sub.map = n.at;
	st = plain_encode(&sub, n.text.data, n.text.len);
	sk_normal_fini(&n);
	return st;
}

static sk_status bpe_encode(struct sk_text_job *job, const char *s, size_t len)
{
	return job->t->pre->nfc && !sk_normal_is_ascii(s, len) ? composed_encode(job, s, len) :
								  plain_encode(job, s, len);
}

const struct sk_text_kind sk_text_kind_bpe = {
	.name   = "bpe",
	.ggml   = "gpt2",
	.piece  = bpe_piece,
	.open   = bpe_open,
	.close  = bpe_close,
	.encode = bpe_encode,
};
