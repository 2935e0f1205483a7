/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A SentencePiece model (tokenizer.model, spiece.model): a message of Protocol Buffers.
 *
 * Only few fields of three messages are needed, and the wire format is a number and a value, over and over: reading it takes
 * less than declaring it for protobuf-c, and has its limits where they can be seen. Fields that are not known are skipped.
 */
#include "engine/text/draft.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/utf8.h"
#include "engine/text/charsmap.h"

/* ---- the wire format -------------------------------------------------------------------------------------------------- */

struct wire { const unsigned char *p, *end; };
struct field { uint32_t number; int type; uint64_t n; const unsigned char *data; size_t len; };

enum { WIRE_NUMBER = 0, WIRE_8 = 1, WIRE_BYTES = 2, WIRE_4 = 5 };

static bool number_read(struct wire *w, uint64_t *ret_n)
{
	unsigned shift;

	*ret_n = 0;
	for (shift = 0; shift < 64 && w->p < w->end; shift += 7) {
		*ret_n |= (uint64_t)(*w->p & 0x7f) << shift;
		if (!(*w->p++ & 0x80))
			return true;
	}
	return false;
}

/* 1: a field; 0: the end; -1: no such message. */
static int field_read(struct wire *w, struct field *f)
{
	uint64_t key;

	if (w->p == w->end)
		return 0;
	if (!number_read(w, &key) || key >> 3 == 0 || key >> 3 > UINT32_MAX)
		return -1;
	f->number = (uint32_t)(key >> 3);
	f->type = (int)(key & 7);
	f->data = w->p;
	f->len = f->type == WIRE_8 ? 8 : f->type == WIRE_4 ? 4 : 0;
	f->n = 0;
	if (f->type == WIRE_NUMBER)
		return number_read(w, &f->n) ? 1 : -1;
	if (f->type == WIRE_BYTES) {
		if (!number_read(w, &f->n))
			return -1;
		f->data = w->p;
		if (f->n > (uint64_t)(w->end - w->p))
			return -1;
		f->len = (size_t)f->n;
	} else if (f->type != WIRE_8 && f->type != WIRE_4) {
		return -1;
	}
	if (f->len > (size_t)(w->end - w->p))
		return -1;
	w->p = f->data + f->len;
	return 1;
}

static float float_of(const struct field *f)
{
	uint32_t bits = f->data[0] | (uint32_t)f->data[1] << 8 | (uint32_t)f->data[2] << 16 | (uint32_t)f->data[3] << 24;
	float x;

	memcpy(&x, &bits, sizeof(x));
	return x;
}

/* ---- the messages ------------------------------------------------------------------------------------------------------- */

enum piece_type { P_NORMAL = 1, P_UNKNOWN = 2, P_CONTROL = 3, P_USER = 4, P_UNUSED = 5, P_BYTE = 6 };
enum model_type { MODEL_UNIGRAM = 1, MODEL_BPE = 2 };

static sk_status broken(const struct sk_spm *m)
{
	return sk_fail(m->err, SK_EFORMAT, "%s is no SentencePiece model: its messages do not fit into each other", m->d->path);
}

static sk_status piece_read(const struct sk_spm *m, struct wire w, size_t id)
{
	struct sk_str s = { "", 0 };
	uint64_t type = P_NORMAL;
	struct field f;
	float score = 0;
	sk_status st;
	int rc;

	while ((rc = field_read(&w, &f)) > 0) {
		if (f.number == 1 && f.type == WIRE_BYTES)
			s = (struct sk_str){ (const char *)f.data, f.len };
		else if (f.number == 2 && f.type == WIRE_4)
			score = float_of(&f);
		else if (f.number == 3 && f.type == WIRE_NUMBER)
			type = f.n;
	}
	if (rc < 0)
		return broken(m);
	if (type < P_NORMAL || type > P_BYTE || !s.len || !sk_utf8_valid(s.s, s.len) || !isfinite(score))
		return sk_fail(m->err, SK_EFORMAT, "%s: piece %zu is empty or no UTF-8, or its type %llu or score is none", m->d->path, id,
			       (unsigned long long)type);
	if (type == P_UNUSED && m->model == MODEL_BPE)
		return sk_fail(m->err, SK_ENOTSUP, "%s: piece %zu is unused, which is not supported with BPE", m->d->path, id);
	st = sk_draft_token(m->d, (int64_t)id, s, false, m->err);
	if (st < 0)
		return st;
	m->d->scores[id] = score;
	m->d->types[id] = (uint8_t)type;
	return SK_OK;
}

static sk_status pieces_read(struct sk_spm *m, struct wire w)
{
	struct field f;
	sk_status st = sk_draft_init(m->d, m->d->path, m->pieces, true, m->err);
	size_t id = 0;

	m->d->types = calloc(m->pieces + 1, 1);
	if (st == SK_OK && !m->d->types)
		return sk_fail(m->err, SK_ENOMEM, "no memory for %zu pieces", m->pieces);
	while (st == SK_OK && field_read(&w, &f) > 0)
		if (f.number == 1 && f.type == WIRE_BYTES)
			st = piece_read(m, (struct wire){ f.data, f.data + f.len }, id++);
	m->d->scores_len = m->pieces;
	return st;
}

static sk_status trainer_read(struct sk_spm *m, struct wire w)
{
	struct field f;
	int rc;

	while ((rc = field_read(&w, &f)) > 0) {
		if (f.type != WIRE_NUMBER)
			continue;
		switch (f.number) {
		case 3: m->model = (int64_t)f.n; break;
		case 24: m->suffix_space = f.n; break;
		case 35: m->byte_fallback = f.n; break;
		case 40: m->unk = (int32_t)f.n; break;
		case 41: m->bos = (int32_t)f.n; break;
		case 42: m->eos = (int32_t)f.n; break;
		case 43: m->pad = (int32_t)f.n; break;
		default: break;
		}
	}
	return rc < 0 ? broken(m) : SK_OK;
}

static sk_status rules_read(struct sk_spm *m, struct wire w)
{
	struct field f;
	int rc;

	while ((rc = field_read(&w, &f)) > 0) {
		if (f.number == 2 && f.type == WIRE_BYTES) {
			m->charsmap = f.data;
			m->charsmap_len = f.len;
		}
		if (f.type == WIRE_NUMBER && f.number == 3)
			m->dummy_prefix = f.n;
		if (f.type == WIRE_NUMBER && f.number == 4)
			m->remove_extra = f.n;
		if (f.type == WIRE_NUMBER && f.number == 5)
			m->escape = f.n;
	}
	return rc < 0 ? broken(m) : SK_OK;
}

/* ---- its normalizer ------------------------------------------------------------------------------------------------------ */

#define META "\xe2\x96\x81"

/*
 * What SentencePiece does before it cuts: the map (the longest beginning counts), one blank for many and none at the ends, a
 * blank before the text, and blanks written as U+2581. User-defined symbols are left as they are.
 */
struct rules { struct sk_charsmap map; struct sk_trie users; bool suffix_space, dummy_prefix, remove_extra, escape; };

static void rules_fini(void *data)
{
	struct rules *r = data;

	sk_charsmap_fini(&r->map);
	sk_trie_fini(&r->users);
}

/* What stands for the text at `at`, and how much of it is taken. */
static size_t unit_find(const struct rules *r, const struct sk_piece *in, size_t at, const char **ret_s, size_t *ret_len)
{
	uint32_t node = 0, cp;
	size_t i, found = 0;

	for (i = at; r->users.len && i < in->len && (node = sk_trie_step(&r->users, node, (uint8_t)in->s[i])); i++)
		if (r->users.nodes[node].value >= 0)
			found = i + 1 - at;
	if (!found) {
		found = sk_charsmap_find(&r->map, in->s + at, in->len - at, true, ret_s, ret_len);
		if (found)
			return found;
		found = sk_piece_char(in, at, &cp);
	}
	*ret_s = in->s + at;
	*ret_len = found;
	return found;
}

static void unit_put(const struct rules *r, struct sk_normal *out, const char *s, size_t len, struct sk_span span)
{
	size_t i;

	for (i = 0; i < len; i++)
		if (s[i] == ' ' && r->escape)
			sk_normal_put(out, META, 3, span);
		else
			sk_normal_put(out, s + i, 1, span);
}

static void tail_strip(const struct rules *r, struct sk_normal *out)
{
	const char *blank = r->escape ? META : " ";
	size_t n = strlen(blank);

	while (out->text.len >= n && !memcmp(out->text.data + out->text.len - n, blank, n))
		out->text.len -= n;
}

static sk_status rules_run(const struct sk_stage *step, const struct sk_piece *in, struct sk_normal *out, bool *ret_same)
{
	const struct rules *r = step->data;
	bool blank_before = r->remove_extra;
	size_t at = 0, used, len;
	struct sk_span span;
	const char *s;

	while (r->remove_extra && at < in->len) {
		used = unit_find(r, in, at, &s, &len);
		if (len != 1 || *s != ' ')
			break;
		at += used;
	}
	if (at == in->len)
		return SK_OK;
	if (r->dummy_prefix && !r->suffix_space)
		unit_put(r, out, " ", 1, sk_piece_span(in, at, at));
	for (; at < in->len; at += used) {
		used = unit_find(r, in, at, &s, &len);
		span = sk_piece_span(in, at, at + used);
		while (blank_before && len && *s == ' ') {
			s++;
			len--;
		}
		if (len) {
			unit_put(r, out, s, len, span);
			blank_before = s[len - 1] == ' ';
		}
		blank_before = blank_before && r->remove_extra;
	}
	if (r->remove_extra)
		tail_strip(r, out);
	if (r->dummy_prefix && r->suffix_space)
		unit_put(r, out, " ", 1, sk_piece_span(in, in->len, in->len));
	return SK_OK;
}

static const struct sk_normalizer_op spm_normalizer = { .type = "SentencePiece", .run = rules_run };

static sk_status rules_add(struct sk_spm *m)
{
	struct sk_stage *step;
	struct sk_err why = { .text = "" };
	struct rules *r;
	sk_status st = sk_stages_add(&m->d->pipe.normal, &spm_normalizer, &step, m->err);
	size_t i;

	if (st < 0)
		return st;
	step->data = r = calloc(1, sizeof(*r));
	step->data_fini = rules_fini;
	if (!r)
		return sk_fail(m->err, SK_ENOMEM, "no memory for the tokenizer");
	r->suffix_space = m->suffix_space;
	r->dummy_prefix = m->dummy_prefix;
	r->remove_extra = m->remove_extra;
	r->escape = m->escape;
	st = sk_charsmap_init(&r->map, m->charsmap, m->charsmap_len, &why);
	if (st < 0)
		return sk_fail(m->err, st, "%s: %s", m->d->path, why.text);
	for (i = 0; i < m->pieces && st == SK_OK; i++)
		if (m->d->types[i] == P_USER)
			st = m->d->tokens[i].len > SK_TEXT_ADDED_MAX ? SK_ETOOBIG :
			     sk_trie_add(&r->users, m->d->tokens[i].s, m->d->tokens[i].len, (int32_t)i);
	return st < 0 ? sk_fail(m->err, st, "%s: user-defined symbols are too long, or there is no memory", m->d->path) : SK_OK;
}

/* ---- the tokenizer -------------------------------------------------------------------------------------------------------- */

/* Control and unknown tokens are found in the text; with BPE user-defined ones, too, in the normalised one. */
static sk_status added_add(struct sk_spm *m)
{
	sk_status st = SK_OK;
	size_t i;

	for (i = 0; i < m->pieces && st == SK_OK; i++) {
		struct sk_added a = { .text = m->d->tokens[i], .id = (int32_t)i };

		a.special = m->d->types[i] == P_CONTROL || m->d->types[i] == P_UNKNOWN;
		a.as_is = m->d->types[i] == P_USER && m->model == MODEL_BPE;
		if (a.special || a.as_is)
			st = sk_draft_added(m->d, a, m->err);
	}
	return st;
}

/*
 * A user-defined symbol of a Unigram model has a score by its length, whatever the file says, so that it is better than what it
 * could be made of. As SentencePiece 0.2.3 has it (measured; 0.1.9x: length times the best score, less 0.1), and to the bit: where
 * the scores of runs of blanks are multiples of each other, the sum so far decides between them.
 */
static void users_score(struct sk_spm *m)
{
	size_t i;

	for (i = 0; i < m->pieces; i++)
		if (m->d->types[i] == P_USER)
			m->d->scores[i] = (float)(0.1 * ((double)m->d->tokens[i].len - 1));
}

static sk_status decoders_add(struct sk_spm *m)
{
	static const char bpe[] = "{\"type\":\"Sequence\",\"decoders\":[{\"type\":\"Replace\",\"pattern\":{\"String\":\"" META
		"\"},\"content\":\" \"},{\"type\":\"ByteFallback\"},{\"type\":\"Fuse\"},{\"type\":\"Strip\",\"content\":\" \",\"start\":1,\"stop\":0}]}";
	static const char plain[] = "{\"type\":\"Sequence\",\"decoders\":[{\"type\":\"Replace\",\"pattern\":{\"String\":\"" META
		"\"},\"content\":\" \"},{\"type\":\"ByteFallback\"},{\"type\":\"Fuse\"}]}";
	static const char unigram[] = "{\"type\":\"Metaspace\",\"replacement\":\"" META "\",\"prepend_scheme\":\"always\"}";
	const char *text = !m->dummy_prefix ? plain : m->model == MODEL_UNIGRAM && !m->byte_fallback ? unigram : bpe;
	struct sk_jread j = { text, strlen(text), &m->d->strings };

	return sk_decoders_read(&j, text, &m->d->pipe.decoder, m->err);
}

static sk_status merges_add(struct sk_spm *m)
{
	uint8_t *skip = malloc(m->pieces + 1);
	sk_status st;
	size_t i;

	if (!skip)
		return sk_fail(m->err, SK_ENOMEM, "no memory for the tokenizer");
	for (i = 0; i < m->pieces; i++)
		skip[i] = m->d->types[i] != P_NORMAL;
	st = sk_draft_merges(m->d, skip, m->err);
	free(skip);
	return st;
}

static int64_t id_or_none(const struct sk_spm *m, int64_t id)
{
	return id >= 0 && (uint64_t)id < m->pieces ? id : -1;
}

sk_status sk_spm_build(struct sk_spm *m)
{
	struct sk_text_src *src = &m->d->src;
	sk_status st = rules_add(m);

	if (st == SK_OK)
		st = added_add(m);
	if (st == SK_OK)
		st = decoders_add(m);
	if (st == SK_OK && m->model == MODEL_BPE)
		st = merges_add(m);
	if (st < 0)
		return st;
	if (m->model == MODEL_UNIGRAM)
		users_score(m);
	src->kind = m->model == MODEL_BPE ? (struct sk_str){ "BPE", 3 } : (struct sk_str){ "Unigram", 7 };
	src->byte_fallback = m->byte_fallback;
	src->fuse_unk = true;
	src->single = true;
	src->unk = id_or_none(m, m->unk);
	src->bos = id_or_none(m, m->bos);
	src->eos = id_or_none(m, m->eos);
	src->pad = id_or_none(m, m->pad);
	return SK_OK;
}

sk_status sk_load_spm(struct sk_draft *d, const void *data, size_t len, struct sk_err *err)
{
	struct sk_spm m = { .d = d, .err = err, .model = MODEL_UNIGRAM, .unk = 0, .bos = 1, .eos = 2, .pad = -1, .dummy_prefix = true,
			 .remove_extra = true, .escape = true };
	struct wire w = { data, (const unsigned char *)data + len };
	struct field f;
	sk_status st = SK_OK;
	int rc;

	while (st == SK_OK && (rc = field_read(&w, &f)) > 0) {
		struct wire inner = { f.data, f.data + f.len };

		if (f.type != WIRE_BYTES)
			continue;
		m.pieces += f.number == 1;
		if (f.number == 2)
			st = trainer_read(&m, inner);
		else if (f.number == 3)
			st = rules_read(&m, inner);
	}
	if (st < 0)
		return st;
	if (rc < 0 || !m.pieces)
		return broken(&m);
	if (m.model != MODEL_UNIGRAM && m.model != MODEL_BPE)
		return sk_fail(err, SK_ENOTSUP, "%s: SentencePiece models of type %lld (word, char) are not supported", d->path, (long long)m.model);
	st = pieces_read(&m, (struct wire){ data, (const unsigned char *)data + len });
	return st < 0 ? st : sk_spm_build(&m);
}
