/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The pre-tokenizers of a tokenizer.json: each hands the parts of a text to the next in the list, and the last one's parts are
 * the words. So nothing is listed: the deepest call tokenises one word.
 */
#include "engine/text/kind.h"
#include "engine/text/pipe.h"

#include <stdlib.h>
#include <string.h>

#include "engine/text/pretok.h"
#include "engine/text/sets.h"

sk_status sk_walk_next(struct sk_walk *w, size_t i, const struct sk_piece *p)
{
	if (!p->len)
		return SK_OK;
	if (i == w->steps->len)
		return w->job->t->kind->encode(w->job, p);
	return ((const struct sk_pretokenizer_op *)w->steps->v[i].op)->run(w, i, p);
}

/* ---- what becomes of matches ------------------------------------------------------------------------------------------ */

/* Parts come in order, matches and what is between them; here they are joined, or left out, as the behavior says. */
struct splitter {
	struct sk_walk *w;
	const struct sk_piece *p;
	size_t next;                    /* the step that gets the parts */
	enum sk_behavior behavior;
	bool invert, held, held_match, was_match;
	size_t from, to;                /* of the part that is held */
};

static sk_status part_give(struct splitter *s, size_t from, size_t to)
{
	struct sk_piece part = sk_piece_part(s->p, from, to);

	return sk_walk_next(s->w, s->next, &part);
}

static sk_status held_give(struct splitter *s)
{
	bool held = s->held;

	s->held = false;
	return held ? part_give(s, s->from, s->to) : SK_OK;
}

static sk_status held_replace(struct splitter *s, size_t from, size_t to, bool match)
{
	sk_status st = held_give(s);

	s->held = true;
	s->held_match = match;
	s->from = from;
	s->to = to;
	return st;
}

static sk_status part_take(struct splitter *s, size_t from, size_t to, bool match)
{
	bool was = s->was_match;

	match ^= s->invert;
	s->was_match = match;
	switch (s->behavior) {
	case SK_SPLIT_ISOLATED:
		return part_give(s, from, to);
	case SK_SPLIT_REMOVED:
		return match ? SK_OK : part_give(s, from, to);
	case SK_SPLIT_CONTIGUOUS:
		if (s->held && s->held_match == match) {
			s->to = to;
			return SK_OK;
		}
		break;
	case SK_SPLIT_WITH_PREVIOUS:
		if (match && !was && s->held) {
			s->to = to;
			return SK_OK;
		}
		break;
	case SK_SPLIT_WITH_NEXT:
		if (!match && s->held && s->held_match) {
			s->to = to;
			s->held_match = false;
			return SK_OK;
		}
		break;
	}
	return held_replace(s, from, to, match);
}

/* By the pattern of the step. */
static sk_status pattern_split(struct splitter *s, const struct sk_stage *step)
{
	struct sk_find f = { .step = step, .s = s->p->s, .len = s->p->len, .match = &s->w->match, .err = s->w->err };
	size_t kept = 0, from, to;
	sk_status st = SK_OK;
	int rc = 0;

	while (st == SK_OK && (rc = sk_find_next(&f, &from, &to)) > 0) {
		if (kept < from)
			st = part_take(s, kept, from, false);
		if (st == SK_OK)
			st = part_take(s, from, to, true);
		kept = to;
	}
	if (st == SK_OK && rc < 0)
		st = rc;
	if (st == SK_OK && kept < s->p->len)
		st = part_take(s, kept, s->p->len, false);
	return st < 0 ? st : held_give(s);
}

/* Every character that is one of the set is a match. */
typedef bool is_match_fn(const struct sk_stage *step, uint32_t cp);

static sk_status chars_split(struct splitter *s, const struct sk_stage *step, is_match_fn *is)
{
	size_t kept = 0, i, size;
	sk_status st = SK_OK;
	uint32_t cp;

	for (i = 0; i < s->p->len && st == SK_OK; i += size) {
		size = sk_piece_char(s->p, i, &cp);
		if (!is(step, cp))
			continue;
		if (kept < i)
			st = part_take(s, kept, i, false);
		if (st == SK_OK)
			st = part_take(s, i, i + size, true);
		kept = i + size;
	}
	if (st == SK_OK && kept < s->p->len)
		st = part_take(s, kept, s->p->len, false);
	return st < 0 ? st : held_give(s);
}

static struct splitter splitter(struct sk_walk *w, size_t i, const struct sk_piece *p, enum sk_behavior behavior, bool invert)
{
	return (struct splitter){ .w = w, .p = p, .next = i + 1, .behavior = behavior, .invert = invert };
}

/* ---- ByteLevel -------------------------------------------------------------------------------------------------------- */

enum { BYTES_PREFIX, BYTES_REGEX, BYTES_TRIM, BYTES_RAW };

static sk_status bytes_read(struct sk_stage *step, const struct sk_config *c)
{
	step->on[BYTES_PREFIX] = sk_text_config_bool(c, "add_prefix_space", true);
	step->on[BYTES_TRIM] = sk_text_config_bool(c, "trim_offsets", true);
	step->on[BYTES_REGEX] = sk_text_config_bool(c, "use_regex", true);
	return step->on[BYTES_REGEX] ? sk_pretok_open(sk_pretok_find("", 0), &step->pretok, c->err) : SK_OK;
}

void sk_pre_bytes_raw(struct sk_stage *step, bool raw)
{
	step->on[BYTES_RAW] = raw;
}

bool sk_pre_is_bytes(const struct sk_stage *step, bool *ret_prefix)
{
	*ret_prefix = step->on[BYTES_PREFIX];
	return step->op == &sk_pretokenizer_bytes;
}

struct words { struct sk_walk *w; const struct sk_piece *p; const struct sk_stage *step; size_t next; };

/* A word in letters of the alphabet, each with the place of its character. */
static sk_status letters_give(struct sk_walk *w, size_t next, const struct sk_piece *p)
{
	struct sk_normal n = SK_NORMAL;
	struct sk_piece letters;
	size_t i, k, size;
	uint32_t cp;
	sk_status st;

	for (i = 0; i < p->len; i += size) {
		size = sk_piece_char(p, i, &cp);
		for (k = 0; k < size; k++)
			sk_normal_put(&n, sk_letter_of[(uint8_t)p->s[i + k]], sk_letter_len[(uint8_t)p->s[i + k]],
				      sk_piece_span(p, i, i + size));
	}
	letters = sk_normal_piece(&n);
	st = n.failed < 0 ? sk_fail(w->err, n.failed, "no memory for a word of %zu bytes", p->len) : sk_walk_next(w, next, &letters);
	sk_normal_fini(&n);
	return st;
}

static sk_status word_take(void *arg, const char *word, size_t len, size_t offset)
{
	const struct words *s = arg;
	struct sk_piece part = sk_piece_part(s->p, offset, offset + len);

	return s->step->on[BYTES_RAW] ? sk_walk_next(s->w, s->next, &part) : letters_give(s->w, s->next, &part);
}

static sk_status bytes_walk(struct sk_walk *w, size_t i, const struct sk_piece *p)
{
	const struct sk_stage *step = &w->steps->v[i];
	struct words s = { w, p, step, i + 1 };

	return step->pretok ? sk_pretok_walk(step->pretok, p->s, p->len, word_take, &s, w->err) : word_take(&s, p->s, p->len, 0);
}

/* Text with something before it, which has the place of the first character. */
static sk_status prefixed(struct sk_walk *w, size_t i, const struct sk_piece *p, const char *with, size_t with_len,
			  sk_status (*walk)(struct sk_walk *w, size_t i, const struct sk_piece *p))
{
	struct sk_normal n = SK_NORMAL;
	struct sk_piece now;
	uint32_t cp;
	sk_status st;

	sk_normal_put(&n, with, with_len, sk_piece_span(p, 0, sk_piece_char(p, 0, &cp)));
	sk_normal_keep(&n, p, 0, p->len);
	now = sk_normal_piece(&n);
	st = n.failed < 0 ? sk_fail(w->err, n.failed, "no memory for %zu bytes of text", p->len) : walk(w, i, &now);
	sk_normal_fini(&n);
	return st;
}

static sk_status bytes_run(struct sk_walk *w, size_t i, const struct sk_piece *p)
{
	if (w->steps->v[i].on[BYTES_PREFIX] && p->s[0] != ' ')
		return prefixed(w, i, p, " ", 1, bytes_walk);
	return bytes_walk(w, i, p);
}

const struct sk_pretokenizer_op sk_pretokenizer_bytes = { .type = "ByteLevel", .read = bytes_read, .run = bytes_run };

/* ---- Split ------------------------------------------------------------------------------------------------------------ */

enum { SPLIT_INVERT };

static sk_status split_read(struct sk_stage *step, const struct sk_config *c)
{
	const struct sk_pretok_rule *known;
	sk_status st = sk_text_config_pattern(c, "pattern", step);

	if (st == SK_OK)
		st = sk_text_config_behavior(c, SK_SPLIT_ISOLATED, step);
	if (st < 0)
		return st;
	step->on[SPLIT_INVERT] = sk_text_config_bool(c, "invert", false);
	/* A pattern of pretok.c, which is faster, and compared over all of Unicode. */
	known = step->re && step->behavior == SK_SPLIT_ISOLATED ? sk_pretok_by_pattern(step->a, step->a_len) : NULL;
	return known ? sk_pretok_open(known, &step->pretok, c->err) : SK_OK;
}

static sk_status plain_take(void *arg, const char *word, size_t len, size_t offset)
{
	const struct words *s = arg;
	struct sk_piece part = sk_piece_part(s->p, offset, offset + len);

	return sk_walk_next(s->w, s->next, &part);
}

static sk_status split_run(struct sk_walk *w, size_t i, const struct sk_piece *p)
{
	const struct sk_stage *step = &w->steps->v[i];
	struct splitter s = splitter(w, i, p, step->behavior, step->on[SPLIT_INVERT]);
	struct words words = { w, p, step, i + 1 };

	if (step->pretok)
		return sk_pretok_walk(step->pretok, p->s, p->len, plain_take, &words, w->err);
	return pattern_split(&s, step);
}

const struct sk_pretokenizer_op sk_pretokenizer_split = { .type = "Split", .read = split_read, .run = split_run };

/* All of a row of pretok.c: GGUF's pre-tokenisers. */
static sk_status rule_run(struct sk_walk *w, size_t i, const struct sk_piece *p)
{
	struct words words = { w, p, &w->steps->v[i], i + 1 };

	return sk_pretok_walk(w->steps->v[i].pretok, p->s, p->len, plain_take, &words, w->err);
}

const struct sk_pretokenizer_op sk_pretokenizer_rule = { .type = "rule", .run = rule_run };

/* ---- by characters ---------------------------------------------------------------------------------------------------- */

static bool is_space(const struct sk_stage *step, uint32_t cp)
{
	return cp < 0x80 ? cp == ' ' || (cp >= 9 && cp <= 13) : sk_set_has(SK_SET_SPACE, cp);
}

static bool is_number(const struct sk_stage *step, uint32_t cp)
{
	return cp < 0x80 ? cp - '0' < 10 : sk_set_has(SK_SET_NUMBER, cp);
}

static bool is_punctuation(const struct sk_stage *step, uint32_t cp)
{
	if (cp < 0x80)
		return cp > ' ' && cp < 0x7f && cp - '0' >= 10 && (cp | 0x20) - 'a' >= 26;
	return sk_set_has(SK_SET_PUNCTUATION, cp);
}

static bool is_delimiter(const struct sk_stage *step, uint32_t cp)
{
	return cp == (uint32_t)step->n;
}

static sk_status digits_read(struct sk_stage *step, const struct sk_config *c)
{
	step->behavior = sk_text_config_bool(c, "individual_digits", false) ? SK_SPLIT_ISOLATED : SK_SPLIT_CONTIGUOUS;
	return SK_OK;
}

static sk_status digits_run(struct sk_walk *w, size_t i, const struct sk_piece *p)
{
	struct splitter s = splitter(w, i, p, w->steps->v[i].behavior, false);

	return chars_split(&s, NULL, is_number);
}

static sk_status punctuation_read(struct sk_stage *step, const struct sk_config *c)
{
	return sk_text_config_behavior(c, SK_SPLIT_ISOLATED, step);
}

static sk_status punctuation_run(struct sk_walk *w, size_t i, const struct sk_piece *p)
{
	struct splitter s = splitter(w, i, p, w->steps->v[i].behavior, false);

	return chars_split(&s, NULL, is_punctuation);
}

static sk_status whitespace_split_run(struct sk_walk *w, size_t i, const struct sk_piece *p)
{
	struct splitter s = splitter(w, i, p, SK_SPLIT_REMOVED, false);

	return chars_split(&s, NULL, is_space);
}

/* \w+|[^\w\s]+ */
static sk_status whitespace_run(struct sk_walk *w, size_t i, const struct sk_piece *p)
{
	size_t from = 0, at, size;
	int was = 0, now;               /* 0: space, 1: word, 2: other */
	sk_status st = SK_OK;
	uint32_t cp;

	for (at = 0; at <= p->len && st == SK_OK; at += size) {
		size = at < p->len ? sk_piece_char(p, at, &cp) : 1;
		if (at == p->len)
			now = 0;
		else if (cp < 0x80)
			now = is_space(NULL, cp) ? 0 : (cp | 0x20) - 'a' < 26 || cp - '0' < 10 || cp == '_' ? 1 : 2;
		else
			now = is_space(NULL, cp) ? 0 : sk_set_has(SK_SET_WORD, cp) ? 1 : 2;
		if (now != was) {
			if (was) {
				struct sk_piece part = sk_piece_part(p, from, at);

				st = sk_walk_next(w, i + 1, &part);
			}
			from = at;
			was = now;
		}
	}
	return st;
}

/* Spaces go, then every sign is a word of its own: one list of two. */
static sk_status bert_run(struct sk_walk *w, size_t i, const struct sk_piece *p)
{
	size_t from = 0, at, size;
	sk_status st = SK_OK;
	struct sk_piece part;
	uint32_t cp;

	for (at = 0; at < p->len && st == SK_OK; at += size) {
		size = sk_piece_char(p, at, &cp);
		if (!is_space(NULL, cp) && !is_punctuation(NULL, cp))
			continue;
		part = sk_piece_part(p, from, at);
		st = sk_walk_next(w, i + 1, &part);
		part = sk_piece_part(p, at, at + size);
		if (st == SK_OK && !is_space(NULL, cp))
			st = sk_walk_next(w, i + 1, &part);
		from = at + size;
	}
	part = sk_piece_part(p, from, p->len);
	return st == SK_OK ? sk_walk_next(w, i + 1, &part) : st;
}

static sk_status char_delimiter_read(struct sk_stage *step, const struct sk_config *c)
{
	sk_status st = sk_text_config_str(c, "delimiter", NULL, &step->a, &step->a_len);
	struct sk_piece p = { step->a, step->a_len, NULL, 0 };
	uint32_t cp;

	if (st < 0)
		return st;
	if (!p.len || sk_piece_char(&p, 0, &cp) != p.len)
		return sk_fail(c->err, SK_EFORMAT, "the pre_tokenizer CharDelimiterSplit: \"delimiter\" is not one character");
	step->n = cp;
	return SK_OK;
}

static sk_status char_delimiter_run(struct sk_walk *w, size_t i, const struct sk_piece *p)
{
	struct splitter s = splitter(w, i, p, SK_SPLIT_REMOVED, false);

	return chars_split(&s, &w->steps->v[i], is_delimiter);
}

static sk_status scripts_run(struct sk_walk *w, size_t i, const struct sk_piece *p)
{
	size_t from = 0, at, size;
	int last = 0, script;
	sk_status st = SK_OK;
	struct sk_piece part;
	uint32_t cp;

	for (at = 0; at < p->len && st == SK_OK; at += size) {
		size = sk_piece_char(p, at, &cp);
		script = sk_script_of(cp);
		if (!script)
			continue;
		/* What comes before the first script of all is lost, for the reference cuts there and keeps what is between cuts. */
		if (script != last) {
			part = sk_piece_part(p, from, last ? at : from);
			st = sk_walk_next(w, i + 1, &part);
			from = at;
		}
		last = script;
	}
	part = sk_piece_part(p, from, last ? p->len : from);
	return st == SK_OK ? sk_walk_next(w, i + 1, &part) : st;
}

static sk_status fixed_read(struct sk_stage *step, const struct sk_config *c)
{
	return sk_text_config_int(c, "length", 5, 1, INT32_MAX, &step->n);
}

static sk_status fixed_run(struct sk_walk *w, size_t i, const struct sk_piece *p)
{
	size_t from = 0, at;
	int64_t n = 0;
	sk_status st = SK_OK;
	struct sk_piece part;
	uint32_t cp;

	for (at = 0; at < p->len && st == SK_OK;) {
		at += sk_piece_char(p, at, &cp);
		if (++n < w->steps->v[i].n && at < p->len)
			continue;
		part = sk_piece_part(p, from, at);
		st = sk_walk_next(w, i + 1, &part);
		from = at;
		n = 0;
	}
	return st;
}

const struct sk_pretokenizer_op sk_pretokenizer_digits = { .type = "Digits", .read = digits_read, .run = digits_run };
const struct sk_pretokenizer_op sk_pretokenizer_punctuation = { .type = "Punctuation", .read = punctuation_read, .run = punctuation_run };
const struct sk_pretokenizer_op sk_pretokenizer_whitespace = { .type = "Whitespace", .run = whitespace_run };
const struct sk_pretokenizer_op sk_pretokenizer_whitespace_split = { .type = "WhitespaceSplit", .run = whitespace_split_run };
const struct sk_pretokenizer_op sk_pretokenizer_bert = { .type = "BertPreTokenizer", .run = bert_run };
const struct sk_pretokenizer_op sk_pretokenizer_char_delimiter = { .type = "CharDelimiterSplit", .read = char_delimiter_read, .run = char_delimiter_run };
const struct sk_pretokenizer_op sk_pretokenizer_scripts = { .type = "UnicodeScripts", .run = scripts_run };
const struct sk_pretokenizer_op sk_pretokenizer_fixed = { .type = "FixedLength", .read = fixed_read, .run = fixed_run };

/* ---- Metaspace -------------------------------------------------------------------------------------------------------- */

enum { META_ALWAYS, META_FIRST, META_SPLIT };

static sk_status metaspace_read(struct sk_stage *step, const struct sk_config *c)
{
	const char *v = sk_jread_find(c->v, "prepend_scheme");
	struct sk_str scheme = sk_jread_str(c->j, v);
	struct sk_piece p;
	uint32_t cp;
	sk_status st = sk_text_config_str(c, "replacement", "\xe2\x96\x81", &step->a, &step->a_len);

	if (st < 0)
		return st;
	p = (struct sk_piece){ step->a, step->a_len, NULL, 0 };
	if (!p.len || sk_piece_char(&p, 0, &cp) != p.len)
		return sk_fail(c->err, SK_EFORMAT, "the %s Metaspace: \"replacement\" is not one character", c->what);
	step->on[META_ALWAYS] = !v || sk_str_is(scheme, "always");
	step->on[META_FIRST] = v && sk_str_is(scheme, "first");
	if (v && !step->on[META_ALWAYS] && !step->on[META_FIRST] && !sk_str_is(scheme, "never"))
		return sk_fail(c->err, SK_EFORMAT, "the %s Metaspace: \"prepend_scheme\" is none of always, first, never", c->what);
	/* Files of the library's earlier versions. */
	if (sk_jread_find(c->v, "add_prefix_space") && !sk_text_config_bool(c, "add_prefix_space", true)) {
		if (v && !sk_str_is(scheme, "never"))
			return sk_fail(c->err, SK_EFORMAT, "the %s Metaspace: \"add_prefix_space\" and \"prepend_scheme\" disagree", c->what);
		step->on[META_ALWAYS] = step->on[META_FIRST] = false;
	}
	step->on[META_SPLIT] = sk_text_config_bool(c, "split", true);
	return SK_OK;
}

sk_stage_read *sk_metaspace_read = metaspace_read;

bool sk_metaspace_prepends(const struct sk_stage *step)
{
	return step->on[META_ALWAYS] || step->on[META_FIRST];
}

static sk_status metaspace_give(struct sk_walk *w, size_t i, const struct sk_piece *p)
{
	struct splitter s = splitter(w, i, p, SK_SPLIT_WITH_NEXT, false);

	return w->steps->v[i].on[META_SPLIT] ? pattern_split(&s, &w->steps->v[i]) : sk_walk_next(w, i + 1, p);
}

static sk_status metaspace_run(struct sk_walk *w, size_t i, const struct sk_piece *p)
{
	const struct sk_stage *step = &w->steps->v[i];
	struct sk_normal n = SK_NORMAL;
	size_t at, kept = 0;
	struct sk_piece now = *p;
	sk_status st;
	bool prepend;

	for (at = 0; at < p->len; at++)
		if (p->s[at] == ' ') {
			sk_normal_keep(&n, p, kept, at);
			sk_normal_put(&n, step->a, step->a_len, sk_piece_span(p, at, at + 1));
			kept = at + 1;
		}
	if (kept) {
		sk_normal_keep(&n, p, kept, p->len);
		now = sk_normal_piece(&n);
	}
	prepend = step->on[META_ALWAYS] || (step->on[META_FIRST] && sk_piece_span(&now, 0, 1).from == 0);
	if (n.failed < 0)
		st = sk_fail(w->err, n.failed, "no memory for %zu bytes of text", p->len);
	else if (prepend && (now.len < step->a_len || memcmp(now.s, step->a, step->a_len) != 0))
		st = prefixed(w, i, &now, step->a, step->a_len, metaspace_give);
	else
		st = metaspace_give(w, i, &now);
	sk_normal_fini(&n);
	return st;
}

const struct sk_pretokenizer_op sk_pretokenizer_metaspace = { .type = "Metaspace", .read = metaspace_read, .run = metaspace_run };

/* Whether it cuts where sk_text_is_cut() says, and looks neither back nor over it. */
bool sk_pre_is_known(const struct sk_stage *step)
{
	return step->op == &sk_pretokenizer_bytes || step->op == &sk_pretokenizer_digits || step->op == &sk_pretokenizer_punctuation ||
	       (step->op == &sk_pretokenizer_split && step->pretok);
}
