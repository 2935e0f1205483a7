/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The decoders of a tokenizer.json, as a machine that is fed token by token.
 *
 * In the reference a decoder turns a list of strings into a list of strings, and the last list is put together. Here each step
 * gets the strings one by one and hands on what it makes of them. Some make one string of all (Fuse, ByteLevel): what stands
 * behind those gets its parts as they come (`flow`), and not every step can do that. Steps at the beginning that need to know
 * nothing but the token are done once, when the vocabulary is read (`still`).
 */
#include "engine/text/kind.h"

#include <stdlib.h>
#include <string.h>

#include "engine/base/hash.h"
#include "engine/base/utf8.h"

#define REPLACEMENT	"\xef\xbf\xbd"
#define MADE_MAX	(1u << 20)      /* bytes that a step may make of one token */

struct sk_decoder_op {
	const char *type;
	sk_stage_read *read;
	bool still;                     /* needs to know nothing but the token */
	bool glues;                     /* makes one string of all */
	/* One whole string of the list, or a part of the one string. Both hand on with give(). flow NULL: it cannot. */
	sk_status (*token)(struct sk_decode *c, size_t i, const char *s, size_t len);
	sk_status (*flow)(struct sk_decode *c, size_t i, const char *s, size_t len);
	sk_status (*end)(struct sk_decode *c, size_t i);
	void (*go_on)(struct sk_detok *d, size_t i);            /* text comes before */
};

enum { ON_DONE = 2, ON_FLOW = 3 };      /* in step->on: done by sk_decoder_piece(); gets parts */

static sk_status give(struct sk_decode *c, size_t i, const char *s, size_t len)
{
	const struct sk_stages *l = &c->t->decoder;
	const struct sk_decoder_op *op;

	if (i == l->len)
		return sk_buf_add(c->out, s, len);
	op = l->v[i].op;
	return l->v[i].on[ON_FLOW] ? op->flow(c, i, s, len) : op->token(c, i, s, len);
}

static sk_status pass(struct sk_decode *c, size_t i, const char *s, size_t len)
{
	return give(c, i + 1, s, len);
}

static const struct sk_stage *step_of(const struct sk_decode *c, size_t i)
{
	return &c->t->decoder.v[i];
}

/* A string on its way to the next step. Small ones take no memory. */
struct made { char few[512]; struct sk_buf more; size_t len; };
#define MADE { .more = SK_BUF(MADE_MAX) }

static void made_add(struct made *m, const char *s, size_t len)
{
	if (!m->more.len && m->len + len <= sizeof(m->few)) {
		memcpy(m->few + m->len, s, len);
	} else {
		if (!m->more.len)
			sk_buf_add(&m->more, m->few, m->len);
		sk_buf_add(&m->more, s, len);
	}
	m->len += len;
}

static sk_status made_give(struct made *m, struct sk_decode *c, size_t i)
{
	sk_status st = m->more.failed;

	if (st == SK_OK)
		st = give(c, i + 1, m->more.len ? m->more.data : m->few, m->len);
	sk_buf_fini(&m->more);
	return st;
}

/* ---- ByteLevel -------------------------------------------------------------------------------------------------------- */

struct flow { struct sk_decode *c; size_t i; };

static sk_status flow_take(void *arg, const char *s, size_t len)
{
	const struct flow *f = arg;

	return give(f->c, f->i + 1, s, len);
}

/* A token with a letter that is not of the alphabet stands for its own bytes. */
static sk_status bytes_token(struct sk_decode *c, size_t i, const char *s, size_t len)
{
	struct sk_piece p = { s, len, NULL, 0 };
	struct made m = MADE;
	struct flow f = { c, i };
	size_t at, size;
	uint32_t cp;
	sk_status st;
	char byte;
	int b;

	for (at = 0; at < len; at += size) {
		size = sk_piece_char(&p, at, &cp);
		b = sk_letter_byte(cp);
		if (b < 0)
			break;
		byte = (char)b;
		made_add(&m, &byte, 1);
	}
	if (at < len)
		st = sk_detok_bytes(c->d, s, len, flow_take, &f);
	else if ((st = m.more.failed) == SK_OK)
		st = sk_detok_bytes(c->d, m.more.len ? m.more.data : m.few, m.len, flow_take, &f);
	sk_buf_fini(&m.more);
	return st;
}

static sk_status bytes_end(struct sk_decode *c, size_t i)
{
	bool held = c->d->tail_len;

	c->d->tail_len = 0;
	return held ? give(c, i + 1, REPLACEMENT, 3) : SK_OK;
}

const struct sk_decoder_op sk_decoder_bytes = { .type = "ByteLevel", .glues = true, .token = bytes_token, .end = bytes_end };

/* ---- ByteFallback ----------------------------------------------------------------------------------------------------- */

static int hex_of(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* "<0xNN>" -> its byte; -1. "+N" is a number for the reference, too. */
static int byte_of(const char *s, size_t len)
{
	int high, low;

	if (len != 6 || memcmp(s, "<0x", 3) != 0 || s[5] != '>')
		return -1;
	high = s[3] == '+' ? 0 : hex_of(s[3]);
	low = hex_of(s[4]);
	return high < 0 || low < 0 ? -1 : high << 4 | low;
}

/*
 * step.a: bytes held; step.b: bytes of a run that is known to be no text, of which each becomes U+FFFD. For the reference a run is
 * text or is not as a whole. A stream cannot wait so long: it gives each character when it is whole, as the reference's streams do,
 * and only what comes after the first ill-formed byte becomes U+FFFD. Where the next step minds how text is cut, it waits after all.
 */
enum { ON_CHARS = 0 };          /* in step->on of a ByteFallback: characters of a run may be given one by one */

static sk_status run_end(struct sk_decode *c, size_t i)
{
	uint32_t held = c->d->step[i].a, bad = c->d->step[i].b, k;
	const char *run = c->hold ? c->hold->data : c->d->hold;
	sk_status st = SK_OK;

	c->d->step[i].a = c->d->step[i].b = 0;
	if (held && !bad && sk_utf8_valid(run, held))
		st = give(c, i + 1, run, held);
	else
		for (k = 0; k < held + bad && st == SK_OK; k++)
			st = give(c, i + 1, REPLACEMENT, 3);
	if (c->hold)
		sk_buf_clear(c->hold);
	return st;
}

/* The room is full: whole characters go, unless the run is no text already. */
static sk_status run_full(struct sk_decode *c, size_t i)
{
	uint32_t held = c->d->step[i].a, cp;
	size_t at = 0;
	int n = 1;

	while (at < held && (n = sk_utf8_next(c->d->hold + at, held - at, &cp)) > 0)
		at += (size_t)n;
	if (n < 0) {
		c->d->step[i].b += held;
		c->d->step[i].a = 0;
		return SK_OK;
	}
	sk_status st = give(c, i + 1, c->d->hold, at);

	memmove(c->d->hold, c->d->hold + at, held - at);
	c->d->step[i].a = (uint32_t)(held - at);
	return st;
}

/* One more byte of a character. */
static sk_status char_byte(struct sk_decode *c, size_t i, char byte)
{
	uint32_t *held = &c->d->step[i].a, cp;
	sk_status st = SK_OK;
	int n;

	c->d->hold[(*held)++] = byte;
	n = sk_utf8_next(c->d->hold, *held, &cp);
	if (n == 0)
		return SK_OK;
	if (n > 0)
		st = give(c, i + 1, c->d->hold, *held);
	else
		c->d->step[i].b = *held;
	*held = 0;
	return st;
}

static sk_status fallback_token(struct sk_decode *c, size_t i, const char *s, size_t len)
{
	int b = byte_of(s, len);
	sk_status st = SK_OK;

	if (b < 0) {
		if (c->d->step[i].a || c->d->step[i].b)
			st = run_end(c, i);
		return st < 0 ? st : give(c, i + 1, s, len);
	}
	if (c->d->step[i].b) {
		c->d->step[i].b++;
		return SK_OK;
	}
	if (c->hold) {
		st = sk_buf_addc(c->hold, (char)b);
	} else if (step_of(c, i)->on[ON_CHARS]) {
		return char_byte(c, i, (char)b);
	} else {
		if (c->d->step[i].a == SK_DETOK_HOLD)
			st = run_full(c, i);
		c->d->hold[c->d->step[i].a] = (char)b;
	}
	c->d->step[i].a += st == SK_OK;
	return st;
}

static sk_status fallback_end(struct sk_decode *c, size_t i)
{
	return c->d->step[i].a || c->d->step[i].b ? run_end(c, i) : SK_OK;
}

const struct sk_decoder_op sk_decoder_byte_fallback = { .type = "ByteFallback", .token = fallback_token, .end = fallback_end };

/* ---- Metaspace, WordPiece, and no decoder at all: the first token is another than the rest ---------------------------- */

static void go_on(struct sk_detok *d, size_t i)
{
	d->step[i].a = 1;
}

static sk_status metaspace_read(struct sk_stage *step, const struct sk_config *c)
{
	return sk_metaspace_read(step, c);
}

static sk_status metaspace_token(struct sk_decode *c, size_t i, const char *s, size_t len)
{
	const struct sk_stage *step = step_of(c, i);
	bool drop = !c->d->step[i].a && sk_metaspace_prepends(step);
	const char *end = s + len, *at;
	struct made m = MADE;

	/* A part of one string: the rest of it is at the beginning as well. */
	c->d->step[i].a = !step->on[ON_FLOW] || c->d->step[i].a;
	while (s < end && (at = memmem(s, (size_t)(end - s), step->a, step->a_len))) {
		made_add(&m, s, (size_t)(at - s));
		made_add(&m, " ", !drop);
		s = at + step->a_len;
	}
	made_add(&m, s, (size_t)(end - s));
	return made_give(&m, c, i);
}

const struct sk_decoder_op sk_decoder_metaspace = { .type = "Metaspace", .read = metaspace_read, .token = metaspace_token,
						    .flow = metaspace_token, .go_on = go_on };

/* Blanks that English does not write; each replaced everywhere, one after the other. */
static void clean(struct made *m)
{
	static const char *const pairs[][2] = {
		{ " .", "." }, { " ?", "?" }, { " !", "!" }, { " ,", "," }, { " ' ", "'" }, { " n't", "n't" }, { " 'm", "'m" },
		{ " do not", " don't" }, { " 's", "'s" }, { " 've", "'ve" }, { " 're", "'re" },
	};
	char *s = m->more.len ? m->more.data : m->few, *at;
	size_t i, from, to, k;

	/* Each is at most as long as what it replaces. */
	for (i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
		from = strlen(pairs[i][0]);
		to = strlen(pairs[i][1]);
		for (k = 0; k < m->len && (at = memmem(s + k, m->len - k, pairs[i][0], from)); k = (size_t)(at - s) + to) {
			memcpy(at, pairs[i][1], to);
			memmove(at + to, at + from, m->len - (size_t)(at - s) - from);
			m->len -= from - to;
		}
	}
}

enum { CLEANUP };

static sk_status wordpiece_read(struct sk_stage *step, const struct sk_config *c)
{
	step->on[CLEANUP] = sk_text_config_bool(c, "cleanup", true);
	return sk_text_config_str(c, "prefix", "##", &step->a, &step->a_len);
}

static sk_status wordpiece_token(struct sk_decode *c, size_t i, const char *s, size_t len)
{
	const struct sk_stage *step = step_of(c, i);
	struct made m = MADE;

	if (c->d->step[i].a) {
		if (len >= step->a_len && !memcmp(s, step->a, step->a_len)) {
			s += step->a_len;
			len -= step->a_len;
		} else {
			made_add(&m, " ", 1);
		}
	}
	c->d->step[i].a = 1;
	made_add(&m, s, len);
	if (step->on[CLEANUP])
		clean(&m);
	return made_give(&m, c, i);
}

const struct sk_decoder_op sk_decoder_wordpiece = { .type = "WordPiece", .read = wordpiece_read, .token = wordpiece_token,
						    .go_on = go_on };

static sk_status join_token(struct sk_decode *c, size_t i, const char *s, size_t len)
{
	sk_status st = c->d->step[i].a ? give(c, i + 1, " ", 1) : SK_OK;

	c->d->step[i].a = 1;
	return st < 0 ? st : give(c, i + 1, s, len);
}

static const struct sk_decoder_op join = { .type = "none", .token = join_token, .go_on = go_on };

/* ---- BPEDecoder: the last token is another than the rest, so one is held ----------------------------------------------- */

static sk_status bpe_read(struct sk_stage *step, const struct sk_config *c)
{
	return sk_text_config_str(c, "suffix", "</w>", &step->a, &step->a_len);
}

static sk_status suffix_give(struct sk_decode *c, size_t i, const char *s, size_t len, const char *with)
{
	const struct sk_stage *step = step_of(c, i);
	const char *end = s + len, *at;
	struct made m = MADE;

	while (step->a_len && s < end && (at = memmem(s, (size_t)(end - s), step->a, step->a_len))) {
		made_add(&m, s, (size_t)(at - s));
		made_add(&m, with, strlen(with));
		s = at + step->a_len;
	}
	made_add(&m, s, (size_t)(end - s));
	return made_give(&m, c, i);
}

static sk_status bpe_token(struct sk_decode *c, size_t i, const char *s, size_t len)
{
	sk_status st = c->d->step[i].b ? suffix_give(c, i, c->d->hold, c->d->step[i].a, " ") : SK_OK;

	c->d->step[i].a = c->d->step[i].b = 0;
	if (st < 0)
		return st;
	if (len > SK_DETOK_HOLD)        /* longer than any known: given at once */
		return suffix_give(c, i, s, len, " ");
	memcpy(c->d->hold, s, len);
	c->d->step[i].a = (uint32_t)len;
	c->d->step[i].b = 1;
	return SK_OK;
}

static sk_status bpe_end(struct sk_decode *c, size_t i)
{
	bool held = c->d->step[i].b;

	c->d->step[i].b = 0;
	return held ? suffix_give(c, i, c->d->hold, c->d->step[i].a, "") : SK_OK;
}

const struct sk_decoder_op sk_decoder_bpe = { .type = "BPEDecoder", .read = bpe_read, .token = bpe_token, .end = bpe_end };

/* ---- CTC: a token that comes again is left out -------------------------------------------------------------------------- */

static sk_status ctc_read(struct sk_stage *step, const struct sk_config *c)
{
	sk_status st = sk_text_config_str(c, "pad_token", "<pad>", &step->a, &step->a_len);

	step->on[CLEANUP] = sk_text_config_bool(c, "cleanup", true);
	return st < 0 ? st : sk_text_config_str(c, "word_delimiter_token", "|", &step->b, &step->b_len);
}

static void replaced(struct made *m, const char *s, size_t len, const char *what, size_t what_len, const char *with)
{
	const char *end = s + len, *at;

	while (what_len && s < end && (at = memmem(s, (size_t)(end - s), what, what_len))) {
		made_add(m, s, (size_t)(at - s));
		made_add(m, with, strlen(with));
		s = at + what_len;
	}
	made_add(m, s, (size_t)(end - s));
}

static sk_status ctc_token(struct sk_decode *c, size_t i, const char *s, size_t len)
{
	const struct sk_stage *step = step_of(c, i);
	uint64_t hash = sk_hash(s, len, 0);
	struct made m = MADE, spaced = MADE;
	bool again = c->d->step[i].a && c->d->step[i].b == (uint32_t)len && c->d->step[i].hash == hash;
	sk_status st;

	c->d->step[i].a = 1;
	c->d->step[i].b = (uint32_t)len;
	c->d->step[i].hash = hash;
	if (again)
		return SK_OK;
	replaced(&m, s, len, step->a, step->a_len, "");
	if (step->on[CLEANUP]) {
		clean(&m);
		replaced(&spaced, m.more.len ? m.more.data : m.few, m.len, step->b, step->b_len, " ");
		st = spaced.len ? made_give(&spaced, c, i) : SK_OK;
		sk_buf_fini(&m.more);
		return st;
	}
	return m.len ? made_give(&m, c, i) : SK_OK;
}

const struct sk_decoder_op sk_decoder_ctc = { .type = "CTC", .read = ctc_read, .token = ctc_token };

/* ---- Fuse --------------------------------------------------------------------------------------------------------------- */

const struct sk_decoder_op sk_decoder_fuse = { .type = "Fuse", .glues = true, .token = pass, .flow = pass };

/* ---- Strip -------------------------------------------------------------------------------------------------------------- */

static sk_status strip_read(struct sk_stage *step, const struct sk_config *c)
{
	struct sk_piece p;
	uint32_t cp;
	sk_status st = sk_text_config_str(c, "content", " ", &step->a, &step->a_len);

	if (st < 0)
		return st;
	p = (struct sk_piece){ step->a, step->a_len, NULL, 0 };
	if (!p.len || sk_piece_char(&p, 0, &cp) != p.len)
		return sk_fail(c->err, SK_EFORMAT, "the decoder Strip: \"content\" is not one character");
	st = sk_text_config_int(c, "start", 0, 0, 65535, &step->n);
	return st < 0 ? st : sk_text_config_int(c, "stop", 0, 0, 65535, &step->m);
}

static bool begins(const struct sk_stage *step, const char *s, size_t len)
{
	return len >= step->a_len && !memcmp(s, step->a, step->a_len);
}

static void stripped(const struct sk_stage *step, const char **io_s, size_t *io_len)
{
	int64_t k;

	for (k = 0; k < step->n && begins(step, *io_s, *io_len); k++) {
		*io_s += step->a_len;
		*io_len -= step->a_len;
	}
	for (k = 0; k < step->m && *io_len >= step->a_len && begins(step, *io_s + *io_len - step->a_len, step->a_len); k++)
		*io_len -= step->a_len;
}

static sk_status strip_token(struct sk_decode *c, size_t i, const char *s, size_t len)
{
	stripped(step_of(c, i), &s, &len);
	return give(c, i + 1, s, len);
}

/* step.a: how many were left out at the beginning, or ON for "that is over"; step.b: how many at the end wait. */
#define BEGUN UINT32_MAX

static sk_status strip_flow(struct sk_decode *c, size_t i, const char *s, size_t len)
{
	const struct sk_stage *step = step_of(c, i);
	uint32_t *gone = &c->d->step[i].a, *held = &c->d->step[i].b;
	size_t ends = 0;
	sk_status st = SK_OK;

	while (len && *gone != BEGUN) {
		if (*gone >= (uint64_t)step->n || !begins(step, s, len)) {
			*gone = BEGUN;
			break;
		}
		s += step->a_len;
		len -= step->a_len;
		++*gone;
	}
	if (!step->m || !len)
		return len ? give(c, i + 1, s, len) : SK_OK;
	while ((ends + 1) * step->a_len <= len && begins(step, s + len - (ends + 1) * step->a_len, step->a_len))
		ends++;
	/* What waited is followed by something, unless all of this is the same. */
	if (ends * step->a_len < len) {
		for (; *held && st == SK_OK; --*held)
			st = give(c, i + 1, step->a, step->a_len);
		if (st == SK_OK)
			st = give(c, i + 1, s, len - ends * step->a_len);
	}
	*held += (uint32_t)ends;
	for (; *held > (uint64_t)step->m && st == SK_OK; --*held)
		st = give(c, i + 1, step->a, step->a_len);
	return st;
}

static sk_status strip_end(struct sk_decode *c, size_t i)
{
	c->d->step[i].a = c->d->step[i].b = 0;
	return SK_OK;
}

static void strip_go_on(struct sk_detok *d, size_t i)
{
	d->step[i].a = BEGUN;
}

const struct sk_decoder_op sk_decoder_strip = { .type = "Strip", .read = strip_read, .still = true, .token = strip_token,
						.flow = strip_flow, .end = strip_end, .go_on = strip_go_on };

/* ---- Replace ------------------------------------------------------------------------------------------------------------ */

static sk_status replace_read(struct sk_stage *step, const struct sk_config *c)
{
	sk_status st = sk_text_config_pattern(c, "pattern", step);

	return st < 0 ? st : sk_text_config_str(c, "content", NULL, &step->b, &step->b_len);
}

typedef void put_fn(void *arg, const char *s, size_t len);

static sk_status replace(const struct sk_stage *step, const char *s, size_t len, put_fn *put, void *arg)
{
	void *match = NULL;
	struct sk_find f = { .step = step, .s = s, .len = len, .match = &match };
	size_t from, to, kept = 0;
	int rc;

	while ((rc = sk_find_next(&f, &from, &to)) > 0) {
		put(arg, s + kept, from - kept);
		put(arg, step->b, step->b_len);
		kept = to;
	}
	put(arg, s + kept, len - kept);
	sk_regex_match_free(match);
	return rc;
}

static void put_made(void *arg, const char *s, size_t len)
{
	made_add(arg, s, len);
}

static sk_status replace_token(struct sk_decode *c, size_t i, const char *s, size_t len)
{
	struct made m = MADE;
	sk_status st = replace(step_of(c, i), s, len, put_made, &m);

	if (st < 0) {
		sk_buf_fini(&m.more);
		return st;
	}
	return made_give(&m, c, i);
}

/* step.a: bytes of the pattern that the text so far ends with. Where it goes on otherwise, the longest shorter one is tried. */
static sk_status replace_flow(struct sk_decode *c, size_t i, const char *s, size_t len)
{
	const struct sk_stage *step = step_of(c, i);
	uint32_t *have = &c->d->step[i].a, was, next;
	sk_status st = SK_OK;
	size_t k;

	for (k = 0; k < len && st == SK_OK; k++) {
		for (was = *have; *have && s[k] != step->a[*have]; *have = next)
			for (next = *have - 1; next && memcmp(step->a, step->a + *have - next, next) != 0; next--)
				;
		if (was > *have)
			st = give(c, i + 1, step->a, was - *have);
		if (st < 0)
			break;
		if (s[k] != step->a[*have])
			st = give(c, i + 1, s + k, 1);
		else if (++*have == step->a_len) {
			*have = 0;
			st = give(c, i + 1, step->b, step->b_len);
		}
	}
	return st;
}

static sk_status replace_end(struct sk_decode *c, size_t i)
{
	uint32_t have = c->d->step[i].a;

	c->d->step[i].a = 0;
	return have && step_of(c, i)->on[ON_FLOW] ? give(c, i + 1, step_of(c, i)->a, have) : SK_OK;
}

const struct sk_decoder_op sk_decoder_replace = { .type = "Replace", .read = replace_read, .still = true, .token = replace_token,
						  .flow = replace_flow, .end = replace_end };

/* ---- the list ----------------------------------------------------------------------------------------------------------- */

static const struct { const char *type; const struct sk_decoder_op *op; } decoders[] = {
#define DECODER(name, type) { type, &sk_decoder_##name },
#include "engine/text/decoders.def"
#undef DECODER
};

const void *sk_decoder_find(struct sk_str type)
{
	size_t i;

	for (i = 0; i < sizeof(decoders) / sizeof(decoders[0]); i++)
		if (sk_str_is(type, decoders[i].type))
			return decoders[i].op;
	return NULL;
}

sk_stage_read *sk_decoder_read(const void *op)
{
	return ((const struct sk_decoder_op *)op)->read;
}

sk_status sk_decoder_check(struct sk_stages *l, struct sk_err *err)
{
	const struct sk_decoder_op *op, *glue = NULL;
	struct sk_stage *step;
	size_t i, holds = 0;
	bool still = true;
	sk_status st;

	if (!l->len) {
		st = sk_stages_add(l, &join, &step, err);
		return st;
	}
	for (i = 0; i < l->len; i++) {
		op = l->v[i].op;
		still = still && op->still;
		l->v[i].on[ON_DONE] = still;
		l->v[i].on[ON_FLOW] = glue != NULL;
		if (glue && (!op->flow || (op == &sk_decoder_replace && (l->v[i].re || !l->v[i].a_len))))
			return sk_fail(err, SK_ENOTSUP, "the decoder %s behind %s needs all of a text at once, which is not supported",
				       op->type, glue->type);
		if (op == &sk_decoder_byte_fallback)
			l->v[i].on[ON_CHARS] = i + 1 == l->len || ((const struct sk_decoder_op *)l->v[i + 1].op)->glues;
		holds += op == &sk_decoder_byte_fallback || op == &sk_decoder_bpe;
		glue = op->glues ? op : glue;
	}
	if (l->len > SK_DETOK_STEPS || holds > 1)
		return sk_fail(err, SK_ENOTSUP, "a list of %zu decoders, of which %zu hold text, is not supported", l->len, holds);
	return SK_OK;
}

/* One token through the steps that are done beforehand. */
void sk_decoder_piece(const struct sk_stages *l, const char *s, size_t len, struct sk_buf *b)
{
	struct made *m = NULL, *was;
	sk_status st = SK_OK;
	size_t i;

	for (i = 0; i < l->len && l->v[i].on[ON_DONE] && st == SK_OK; i++) {
		if (l->v[i].op == &sk_decoder_strip) {
			stripped(&l->v[i], &s, &len);
			continue;
		}
		was = m;
		m = malloc(sizeof(*m));
		if (!m) {
			b->failed = SK_ENOMEM;
			m = was;
			break;
		}
		*m = (struct made)MADE;
		st = replace(&l->v[i], s, len, put_made, m);
		if (was)
			sk_buf_fini(&was->more);
		free(was);
		st = st < 0 ? st : m->more.failed;
		s = m->more.len ? m->more.data : m->few;
		len = m->len;
	}
	if (st < 0)
		b->failed = st;
	else
		sk_buf_add(b, s, len);
	if (m)
		sk_buf_fini(&m->more);
	free(m);
}

static size_t first_of(const struct sk_stages *l)
{
	size_t i = 0;

	while (i < l->len && l->v[i].on[ON_DONE])
		i++;
	return i;
}

sk_status sk_decoder_token(struct sk_decode *c, const char *s, size_t len)
{
	return give(c, first_of(&c->t->decoder), s, len);
}

sk_status sk_decoder_end(struct sk_decode *c)
{
	const struct sk_stages *l = &c->t->decoder;
	const struct sk_decoder_op *op;
	sk_status st = SK_OK;
	size_t i;

	for (i = first_of(l); i < l->len && st == SK_OK; i++) {
		op = l->v[i].op;
		if (op->end)
			st = op->end(c, i);
	}
	return st;
}

void sk_decoder_continue(const struct sk_stages *l, struct sk_detok *d)
{
	size_t i;

	for (i = first_of(l); i < l->len; i++)
		if (((const struct sk_decoder_op *)l->v[i].op)->go_on && (l->v[i].op != &sk_decoder_strip || l->v[i].on[ON_FLOW]))
			((const struct sk_decoder_op *)l->v[i].op)->go_on(d, i);
}
