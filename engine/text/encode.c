/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Text to ids: added tokens found in the text, the steps before the kind, offsets, ids.
 *
 *	caller's bytes -> (U+FFFD for ill-formed parts) -> cut at added tokens -> normalizers -> cut at added tokens of
 *	normalised text -> pre-tokenizers -> kind->encode -> sk_text_emit
 */
#include "engine/text/kind.h"

#include <stdlib.h>
#include <string.h>

#include "engine/base/utf8.h"
#include "engine/text/sets.h"

/* ---- what is known without encoding ------------------------------------------------------------------------------- */

/*
 * Whether every rule of pretok.c ends a word before s[i], whatever is around: between an ASCII letter and a blank or
 * newline, as no match that has a letter goes on with white space; and between a newline and a letter (an ASCII one, or
 * a lead byte of U+5000 to U+8FFF), as no match that has a newline goes on with anything but white space. No pattern
 * looks back, so the words after the cut do not depend on what is before it; and nothing composes across it.
 */
bool sk_text_is_cut(const char *s, size_t i)
{
	uint8_t a = (uint8_t)s[i - 1], b = (uint8_t)s[i];
	bool letter_before = (uint8_t)((a | 0x20) - 'a') < 26, letter_after = (uint8_t)((b | 0x20) - 'a') < 26;

	return (letter_before && (b == ' ' || b == '\n')) || (a == '\n' && (letter_after || (b >= 0xe5 && b <= 0xe8)));
}

/*
 * What a byte counts that may be changed before it is tokenised, in quarters. An ill-formed part of one to three bytes
 * becomes the three of U+FFFD. Composing (NFC) makes text shorter, by a factor of three at most (Hangul); four to be
 * sure, and nothing where any byte may be dropped, for a letter with its mark may become the two that are.
 */
static size_t changed_quarters(const struct sk_text *t)
{
	bool every = true;

	for (int i = 0; i < 256; i++)
		every = every && t->has_byte[i];
	if (t->composes)
		return every ? 1 : 0;
	return t->has_byte[0xef] && t->has_byte[0xbf] && t->has_byte[0xbd] ? 4 : 0;
}

size_t sk_text_least(const struct sk_text *t, const char *s, size_t len)
{
	size_t same = 0, changed = 0;

	if (!t->text_max)
		return 0;
	for (size_t i = 0; i < len; i++) {
		bool has = t->has_byte[(uint8_t)s[i]], ascii = (uint8_t)s[i] < 0x80;

		/* ASCII is never changed, but composed with what follows it when that is not ASCII. */
		if (ascii && (!t->composes || i + 1 == len || (uint8_t)s[i + 1] < 0x80))
			same += has;
		else
			changed += has;
	}
	return (same + changed / 4 * changed_quarters(t)) / t->text_max;
}

size_t sk_text_cut(const struct sk_text *t, const char *s, size_t len, size_t from)
{
	for (size_t i = from ? from : 1; i < len && !t->added_cut; i++)
		if (sk_text_is_cut(s, i))
			return i;
	return len;
}

/* ---- ids ---------------------------------------------------------------------------------------------------------- */

void sk_ids_fini(struct sk_ids *v)
{
	free(v->ids);
	free(v->start);
	free(v->stop);
	*v = (struct sk_ids){ .offsets = v->offsets };
}

void sk_ids_widen(struct sk_ids *v, const char *s, size_t len)
{
	for (size_t i = 0; i < v->len; i++) {
		while (v->start[i] && v->start[i] < len && (s[v->start[i]] & 0xc0) == 0x80)
			v->start[i]--;
		while (v->stop[i] < len && (s[v->stop[i]] & 0xc0) == 0x80)
			v->stop[i]++;
	}
}

static bool vector_grow(void *ref, size_t cap)
{
	uint32_t *p, **v = ref;

	p = realloc(*v, cap * sizeof(*p));
	if (p)
		*v = p;
	return p;
}

/* How many blanks a token has at one end, as the alphabet writes them. Pieces that are bytes have them as they are. */
static size_t blanks_count(const struct sk_text *t, const struct sk_piece *p, bool back)
{
	size_t n = 0, i = back ? p->len : 0, size;
	uint32_t cp;

	while (back ? i > 0 : i < p->len) {
		if (t->raw_pieces) {
			if (p->s[back ? --i : i++] != ' ')
				break;
		} else {
			if (back)
				for (i--; i && ((unsigned char)p->s[i] & 0xc0) == 0x80; i--)
					;
			size = sk_piece_char(p, i, &cp);
			if (cp != 0x120 && !sk_set_has(SK_SET_SPACE, cp))
				break;
			i += back ? 0 : size;
		}
		n++;
	}
	return n;
}

/*
 * Blanks at the ends of a token do not count for its offsets, as the reference's ByteLevel post-processor has it. A single one
 * at the beginning of the text may have been put there, and stays.
 */
static void offsets_trim(const struct sk_text_job *job, int32_t id, uint32_t *io_start, uint32_t *io_stop)
{
	struct sk_piece p = { 0 };
	size_t lead, trail;
	uint32_t at;

	p.s = sk_text_piece(job->t, id, &p.len);
	lead = blanks_count(job->t, &p, false);
	trail = blanks_count(job->t, &p, true);
	if (lead == 1 && job->t->trim_prefix && (job->io->len == job->began || !*io_start))
		lead = 0;
	for (; lead && *io_start < *io_stop; lead--)
		do
			++*io_start;
		while (*io_start < *io_stop && (job->text[*io_start] & 0xc0) == 0x80);
	for (at = *io_stop; trail && at; trail--)
		do
			at--;
		while (at && (job->text[at] & 0xc0) == 0x80);
	if (!trail)
		*io_stop = at > *io_start ? at : *io_start;
}

sk_status sk_text_emit(struct sk_text_job *job, int32_t id, const struct sk_piece *p, size_t from, size_t to)
{
	struct sk_ids *v = job->io;
	struct sk_span span;
	size_t cap;

	if (job->ids_max && v->len >= job->ids_max)
		return sk_fail(job->err, SK_ETOOBIG, "the text has more than %zu tokens", job->ids_max);
	if (v->len == v->cap) {
		cap = v->cap ? v->cap * 2 : 64;
		if (!vector_grow(&v->ids, cap) ||
		    (v->offsets && (!vector_grow(&v->start, cap) || !vector_grow(&v->stop, cap))))
			return sk_fail(job->err, SK_ENOMEM, "no memory for %zu tokens", cap);
		v->cap = cap;
	}
	v->ids[v->len] = id;
	if (v->offsets) {
		span = sk_piece_span(p, from, to);
		v->start[v->len] = span.from;
		v->stop[v->len] = span.to;
		if (job->t->trim)
			offsets_trim(job, id, &v->start[v->len], &v->stop[v->len]);
	}
	v->len++;
	return SK_OK;
}

/* No token is longer than piece_max, so a word that cannot fit is refused before it takes memory. */
sk_status sk_text_fits(const struct sk_text_job *job, size_t bytes)
{
	if (job->ids_max && bytes / job->t->piece_max > job->ids_max)
		return sk_fail(job->err, SK_ETOOBIG, "the text has more than %zu tokens", job->ids_max);
	return SK_OK;
}

/* ---- added tokens --------------------------------------------------------------------------------------------------- */

/* The longest added token at s; -1: none. */
static int32_t added_at(const struct sk_trie *trie, const char *s, size_t len, size_t *ret_len)
{
	uint32_t node = 0;
	int32_t id = -1;
	size_t i;

	for (i = 0; i < len && (node = sk_trie_step(trie, node, (uint8_t)s[i])); i++)
		if (trie->nodes[node].value >= 0) {
			id = trie->nodes[node].value;
			*ret_len = i + 1;
		}
	return id;
}

static size_t char_before(const struct sk_piece *p, size_t at, uint32_t *ret_cp)
{
	size_t i = at - 1;

	while (i && ((unsigned char)p->s[i] & 0xc0) == 0x80)
		i--;
	sk_piece_char(p, i, ret_cp);
	return i;
}

static bool is_wordy(uint32_t cp)
{
	return cp < 0x80 ? (cp | 0x20) - 'a' < 26 || cp - '0' < 10 || cp == '_' : sk_set_has(SK_SET_WORD, cp);
}

static bool stands_alone(const struct sk_piece *p, size_t from, size_t to)
{
	uint32_t cp;

	if (from && (char_before(p, from, &cp), is_wordy(cp)))
		return false;
	return to == p->len || (sk_piece_char(p, to, &cp), !is_wordy(cp));
}

/* An added token's place with the blanks it takes; not before `least`, where the one before it ends. */
static void blanks_take(const struct sk_piece *p, unsigned flags, size_t least, size_t *io_from, size_t *io_to)
{
	size_t at;
	uint32_t cp;

	while (flags & SK_TF_LSTRIP && *io_from > least) {
		at = char_before(p, *io_from, &cp);
		if (!sk_set_has(SK_SET_SPACE, cp))
			break;
		*io_from = at;
	}
	while (flags & SK_TF_RSTRIP && *io_to < p->len) {
		at = sk_piece_char(p, *io_to, &cp);
		if (!sk_set_has(SK_SET_SPACE, cp))
			break;
		*io_to += at;
	}
}

/*
 * The leftmost, of those the longest. A control token that is not asked for stays text, and what is inside it is not looked
 * at again (the Hugging Face library's split_special_tokens).
 */
typedef sk_status part_fn(struct sk_text_job *job, const struct sk_piece *p);

static sk_status added_split(struct sk_text_job *job, const struct sk_piece *p, bool normal, part_fn *take)
{
	const struct sk_text *t = job->t;
	const struct sk_trie *trie = normal ? &t->added_normal : &t->added;
	size_t i = 0, done = 0, n = 0, from, to;
	struct sk_piece part;
	sk_status st = SK_OK;
	int32_t id;

	while (trie->len && i < p->len) {
		if (!t->added_first[normal][(uint8_t)p->s[i]] || (id = added_at(trie, p->s + i, p->len - i, &n)) < 0) {
			i++;
			continue;
		}
		from = i;
		to = i += n;
		if ((t->flags[id] & SK_TF_SPECIAL && !job->parse_special) ||
		    (t->flags[id] & SK_TF_WORD && !stands_alone(p, from, to)))
			continue;
		if (t->flags[id] & (SK_TF_LSTRIP | SK_TF_RSTRIP))
			blanks_take(p, t->flags[id], done, &from, &to);
		part = sk_piece_part(p, done < from ? done : from, from);
		st = part.len ? take(job, &part) : SK_OK;
		if (st == SK_OK)
			st = sk_text_emit(job, id, p, from, to);
		if (st < 0)
			return st;
		done = to;
	}
	part = sk_piece_part(p, done < p->len ? done : p->len, p->len);
	return part.len ? take(job, &part) : SK_OK;
}

/* ---- encoding ----------------------------------------------------------------------------------------------------- */

static sk_status words_encode(struct sk_text_job *job, const struct sk_piece *p)
{
	return sk_walk_next(job->walk, 0, p);
}

static sk_status section_encode(struct sk_text_job *job, const struct sk_piece *p)
{
	struct sk_normal room[2] = { SK_NORMAL, SK_NORMAL };
	struct sk_piece now = *p;
	sk_status st = SK_OK;

	if (job->t->normal.len)
		st = sk_normalize(&job->t->normal, p, room, &now, job->err);
	if (st == SK_OK)
		st = added_split(job, &now, true, words_encode);
	sk_normal_fini(&room[0]);
	sk_normal_fini(&room[1]);
	return st;
}

/* Ids that stand for no text have no place in it: 0 to 0, as in the reference. */
static sk_status bare_emit(struct sk_text_job *job, const int32_t *ids, size_t len)
{
	struct sk_piece p = { "", 0, NULL, 0 };
	sk_status st = SK_OK;
	size_t i;

	for (i = 0; i < len && st == SK_OK; i++)
		st = sk_text_emit(job, ids[i], &p, 0, 0);
	return st;
}

sk_status sk_text_encode(const struct sk_text *t, const char *s, size_t len, bool add_special, bool parse_special,
			 size_t ids_max, struct sk_ids *io, struct sk_err *err)
{
	struct sk_walk walk = { .steps = &t->steps, .err = err };
	struct sk_text_job job = { .t = t, .io = io, .ids_max = ids_max, .parse_special = parse_special, .walk = &walk,
				   .text = s, .err = err };
	struct sk_normal lossy = SK_NORMAL;
	struct sk_piece p = { s, len, NULL, 0 };
	size_t was = io->len;
	sk_status st = SK_OK;

	walk.job = &job;
	if (len > SK_TEXT_INPUT_MAX)
		return sk_fail(err, SK_ETOOBIG, "the text has %zu bytes, the limit is %u", len, SK_TEXT_INPUT_MAX);
	if (add_special)
		st = bare_emit(&job, t->around, t->before_len);
	if (st == SK_OK && len && !sk_utf8_valid(s, len)) {
		st = sk_normal_lossy(&lossy, s, len);
		if (st < 0)
			sk_fail(err, st, "no memory for %zu bytes of text", len);
		p = sk_normal_piece(&lossy);
	}
	job.began = io->len;
	if (st == SK_OK && p.len)
		st = added_split(&job, &p, false, section_encode);
	if (st == SK_OK && add_special)
		st = bare_emit(&job, t->around + t->before_len, t->after_len);
	sk_regex_match_free(walk.match);
	sk_normal_fini(&lossy);
	if (st < 0)
		io->len = was;
	return st;
}
