/* SPDX-License-Identifier: Apache-2.0 */
/* See pipe.h: lists of steps, and what rows use to read themselves from a tokenizer.json. */
#include "engine/text/pipe.h"

#include <stdlib.h>
#include <string.h>

#include "engine/base/utf8.h"
#include "engine/text/pretok.h"

#define STRING_MAX 65536                /* bytes of a string in a step */

/* ---- lists ---------------------------------------------------------------------------------------------------------- */

static void step_fini(struct sk_stage *s)
{
	free(s->a);
	free(s->b);
	if (s->data && s->data_fini)
		s->data_fini(s->data);
	free(s->data);
	sk_regex_close(&s->re);
	sk_pretok_close(&s->pretok);
}

void sk_stages_fini(struct sk_stages *l)
{
	size_t i;

	for (i = 0; i < l->len; i++)
		step_fini(&l->v[i]);
	free(l->v);
	*l = (struct sk_stages){ NULL, 0 };
}

sk_status sk_stages_add(struct sk_stages *l, const void *op, struct sk_stage **ret_step, struct sk_err *err)
{
	struct sk_stage *more;

	if (l->len == SK_STEPS_MAX)
		return sk_fail(err, SK_ETOOBIG, "more than %d steps in a list", SK_STEPS_MAX);
	more = realloc(l->v, (l->len + 1) * sizeof(*more));
	if (!more)
		return sk_fail(err, SK_ENOMEM, "no memory for the tokenizer");
	l->v = more;
	l->v[l->len] = (struct sk_stage){ .op = op };
	*ret_step = &l->v[l->len++];
	return SK_OK;
}

/* Which table, and how its rows are told apart and read. parts: the keys a Sequence keeps its parts under. */
struct table {
	const char *what, *parts;
	const void *(*find)(struct sk_str type);
	sk_stage_read *(*read_of)(const void *op);
};

static sk_status list_read(const struct table *t, const struct sk_jread *j, const char *v, struct sk_stages *l, int depth,
			   struct sk_err *err)
{
	struct sk_str type = sk_jread_str(j, sk_jread_find(v, "type"));
	struct sk_config c = { .j = j, .v = v, .what = t->what, .err = err };
	struct sk_jiter it;
	struct sk_stage *step = NULL;
	const char *part;
	const void *op;
	char name[64];
	sk_status st;

	if (!v || sk_jread_kind(v) == 'n')
		return SK_OK;
	if (depth > 8)
		return sk_fail(err, SK_ETOOBIG, "the %s has more than 8 lists inside each other", t->what);
	if (sk_jread_kind(v) != '{' || !type.s)
		return sk_fail(err, SK_EFORMAT, "the %s is no object with a \"type\"", t->what);
	if (sk_str_is(type, "Sequence")) {
		part = sk_jread_find(v, t->parts);
		if (sk_jread_kind(part) != '[')
			return sk_fail(err, SK_EFORMAT, "the %s Sequence has no list \"%s\"", t->what, t->parts);
		it = sk_jread_iter(part, '[');
		for (st = SK_OK; st == SK_OK && sk_jread_item(&it, &part);)
			st = list_read(t, j, part, l, depth + 1, err);
		return st;
	}
	op = t->find(type);
	if (!op)
		return sk_fail(err, SK_ENOTSUP, "the %s \"%.*s\" is not known", t->what, (int)(type.len < 40 ? type.len : 40), type.s);
	memcpy(name, type.s, type.len);         /* the table's names are short */
	name[type.len] = '\0';
	c.type = name;
	st = sk_stages_add(l, op, &step, err);
	return st == SK_OK && t->read_of(op) ? t->read_of(op)(step, &c) : st;
}

/* ---- the tables ----------------------------------------------------------------------------------------------------- */

#define NORMALIZER(name, type) extern const struct sk_normalizer_op sk_normalizer_##name;
#include "engine/text/normalizers.def"
#undef NORMALIZER
#define PRETOKENIZER(name, type) extern const struct sk_pretokenizer_op sk_pretokenizer_##name;
#include "engine/text/pretokenizers.def"
#undef PRETOKENIZER

static const struct { const char *type; const struct sk_normalizer_op *op; } normalizers[] = {
#define NORMALIZER(name, type) { type, &sk_normalizer_##name },
#include "engine/text/normalizers.def"
#undef NORMALIZER
};
static const struct { const char *type; const struct sk_pretokenizer_op *op; } pretokenizers[] = {
#define PRETOKENIZER(name, type) { type, &sk_pretokenizer_##name },
#include "engine/text/pretokenizers.def"
#undef PRETOKENIZER
};

const void *sk_normalizer_find(struct sk_str type)
{
	size_t i;

	for (i = 0; i < sizeof(normalizers) / sizeof(normalizers[0]); i++)
		if (sk_str_is(type, normalizers[i].type))
			return normalizers[i].op;
	return NULL;
}

const void *sk_pretokenizer_find(struct sk_str type)
{
	size_t i;

	for (i = 0; i < sizeof(pretokenizers) / sizeof(pretokenizers[0]); i++)
		if (sk_str_is(type, pretokenizers[i].type))
			return pretokenizers[i].op;
	return NULL;
}

static sk_stage_read *normalizer_read(const void *op)
{
	return ((const struct sk_normalizer_op *)op)->read;
}

static sk_stage_read *pretokenizer_read(const void *op)
{
	return ((const struct sk_pretokenizer_op *)op)->read;
}

static sk_status read_all(const struct table *t, const struct sk_jread *j, const char *v, struct sk_stages *ret, struct sk_err *err)
{
	struct sk_stages l = { NULL, 0 };
	sk_status st = list_read(t, j, v, &l, 0, err);

	if (st < 0)
		sk_stages_fini(&l);
	else
		*ret = l;
	return st;
}

sk_status sk_normalizers_read(const struct sk_jread *j, const char *v, struct sk_stages *ret, struct sk_err *err)
{
	static const struct table t = { "normalizer", "normalizers", sk_normalizer_find, normalizer_read };

	return read_all(&t, j, v, ret, err);
}

sk_status sk_pretokenizers_read(const struct sk_jread *j, const char *v, struct sk_stages *ret, struct sk_err *err)
{
	static const struct table t = { "pre_tokenizer", "pretokenizers", sk_pretokenizer_find, pretokenizer_read };

	return read_all(&t, j, v, ret, err);
}

sk_status sk_decoders_read(const struct sk_jread *j, const char *v, struct sk_stages *ret, struct sk_err *err)
{
	static const struct table t = { "decoder", "decoders", sk_decoder_find, sk_decoder_read };

	return read_all(&t, j, v, ret, err);
}

/* ---- reading a component -------------------------------------------------------------------------------------------- */

sk_status sk_text_config_str(const struct sk_config *c, const char *key, const char *otherwise, char **ret_s, size_t *ret_len)
{
	const char *v = sk_jread_find(c->v, key);
	struct sk_str s = sk_jread_str(c->j, v);

	if (!v && otherwise)
		s = (struct sk_str){ otherwise, strlen(otherwise) };
	if (!s.s)
		return sk_fail(c->err, SK_EFORMAT, "the %s %s has no string \"%s\"", c->what, c->type, key);
	if (s.len > STRING_MAX)
		return sk_fail(c->err, SK_ETOOBIG, "the %s %s: \"%s\" has %zu bytes, the limit is %d", c->what, c->type, key, s.len,
			       STRING_MAX);
	free(*ret_s);
	*ret_s = malloc(s.len + 1);
	if (!*ret_s)
		return sk_fail(c->err, SK_ENOMEM, "no memory for the tokenizer");
	memcpy(*ret_s, s.s, s.len);
	(*ret_s)[s.len] = '\0';
	*ret_len = s.len;
	return SK_OK;
}

bool sk_text_config_bool(const struct sk_config *c, const char *key, bool otherwise)
{
	return sk_jread_bool(sk_jread_find(c->v, key), otherwise);
}

sk_status sk_text_config_int(const struct sk_config *c, const char *key, int64_t otherwise, int64_t min, int64_t max, int64_t *ret_i)
{
	const char *v = sk_jread_find(c->v, key);

	*ret_i = otherwise;
	if (!v)
		return SK_OK;
	if (!sk_jread_int(v, ret_i) || *ret_i < min || *ret_i > max)
		return sk_fail(c->err, SK_EFORMAT, "the %s %s: \"%s\" is no number from %lld to %lld", c->what, c->type, key,
			       (long long)min, (long long)max);
	return SK_OK;
}

sk_status sk_text_config_pattern(const struct sk_config *c, const char *key, struct sk_stage *step)
{
	const char *v = sk_jread_find(c->v, key), *text = sk_jread_find(v, "String"), *regex = sk_jread_find(v, "Regex");
	struct sk_config inner = *c;
	struct sk_err why = { .text = "" };
	sk_status st;

	if (!text && !regex)
		return sk_fail(c->err, SK_EFORMAT, "the %s %s: \"%s\" has neither \"String\" nor \"Regex\"", c->what, c->type, key);
	inner.v = v;
	st = sk_text_config_str(&inner, regex ? "Regex" : "String", NULL, &step->a, &step->a_len);
	if (st < 0 || !regex)
		return st;
	st = sk_regex_open(step->a, step->a_len, &step->re, &why);
	if (st < 0)
		return sk_fail(c->err, st, "the %s %s: %s", c->what, c->type, why.text);
	return SK_OK;
}

sk_status sk_text_config_behavior(const struct sk_config *c, enum sk_behavior otherwise, struct sk_stage *step)
{
	static const struct { const char *name; enum sk_behavior behavior; } names[] = {
		{ "Isolated", SK_SPLIT_ISOLATED }, { "Removed", SK_SPLIT_REMOVED }, { "Contiguous", SK_SPLIT_CONTIGUOUS },
		{ "MergedWithPrevious", SK_SPLIT_WITH_PREVIOUS }, { "MergedWithNext", SK_SPLIT_WITH_NEXT },
	};
	const char *v = sk_jread_find(c->v, "behavior");
	struct sk_str s = sk_jread_str(c->j, v);
	size_t i;

	step->behavior = otherwise;
	if (!v)
		return SK_OK;
	for (i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (sk_str_is(s, names[i].name)) {
			step->behavior = names[i].behavior;
			return SK_OK;
		}
	return sk_fail(c->err, SK_EFORMAT, "the %s %s: \"behavior\" is none of Isolated, Removed, Contiguous, MergedWithPrevious, MergedWithNext",
		       c->what, c->type);
}

/* ---- patterns --------------------------------------------------------------------------------------------------------- */

static size_t char_bytes(const char *s, size_t len)
{
	unsigned char c = (unsigned char)*s;
	size_t n = c < 0x80 ? 1 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4;

	return n < len ? n : len;
}

/* An empty match right behind the last match is none: the search goes on behind the next character. */
int sk_find_next(struct sk_find *f, size_t *ret_from, size_t *ret_to)
{
	const struct sk_stage *step = f->step;
	const char *at;
	int rc;

	if (!step->re) {
		at = step->a_len && f->pos < f->len ? memmem(f->s + f->pos, f->len - f->pos, step->a, step->a_len) : NULL;
		if (!at)
			return 0;
		*ret_from = (size_t)(at - f->s);
		*ret_to = f->pos = *ret_from + step->a_len;
		return 1;
	}
	while (f->pos <= f->len) {
		rc = sk_regex_next(step->re, f->match, f->s, f->len, f->pos, ret_from, ret_to, f->err);
		if (rc <= 0)
			return rc;
		if (*ret_from == *ret_to && f->any && *ret_to == f->last) {
			f->pos += f->pos < f->len ? char_bytes(f->s + f->pos, f->len - f->pos) : 1;
			continue;
		}
		f->pos = f->last = *ret_to;
		f->any = true;
		return 1;
	}
	return 0;
}

/* ---- normalizing ------------------------------------------------------------------------------------------------------ */

sk_status sk_normalize(const struct sk_stages *l, const struct sk_piece *p, struct sk_normal room[2], struct sk_piece *ret_out,
		       struct sk_err *err)
{
	struct sk_piece now = *p;
	size_t i, turn = 0, max = SK_NORMALIZED_MAX(p->len);
	sk_status st;
	bool same;

	for (i = 0; i < 2; i++)
		if (max < room[i].text.max)
			room[i].text.max = max;
	for (i = 0; i < l->len && now.len; i++) {
		const struct sk_normalizer_op *op = l->v[i].op;

		sk_normal_clear(&room[turn]);
		same = false;
		st = op->run(&l->v[i], &now, &room[turn], &same);
		if (st == SK_OK && !same)
			st = room[turn].failed;
		if (st == SK_EINVAL)
			return sk_fail(err, st, "the text cannot be normalised: a pattern needs too many steps");
		if (st == SK_ETOOBIG)
			return sk_fail(err, st, "the normalizers make more than %zu bytes of a text of %zu", max, p->len);
		if (st < 0)
			return sk_fail(err, st, "no memory to normalise %zu bytes of text", p->len);
		if (same)
			continue;
		now = sk_normal_piece(&room[turn]);
		now.base = p->base;
		turn ^= 1;
	}
	*ret_out = now;
	return SK_OK;
}

/* ---- GPT-2's alphabet ------------------------------------------------------------------------------------------------- */

char sk_letter_of[256][2];
uint8_t sk_letter_len[256];
/* Code points 0 to 323 -> byte; -1: not in the alphabet. Visible Latin-1 stands for itself, the rest is moved to 256... */
static int16_t byte_of[324];

__attribute__((constructor)) static void alphabet_init(void)
{
	uint32_t cp, next = 256;
	char utf8[4];
	int b;

	memset(byte_of, 0xff, sizeof(byte_of));
	for (b = 0; b < 256; b++) {
		cp = (b >= 33 && b <= 126) || (b >= 161 && b != 173) ? (uint32_t)b : next++;
		byte_of[cp] = (int16_t)b;
		sk_letter_len[b] = (uint8_t)sk_utf8_put(utf8, cp);
		memcpy(sk_letter_of[b], utf8, sk_letter_len[b]);
	}
}

int sk_letter_byte(uint32_t cp)
{
	return cp < 324 ? byte_of[cp] : -1;
}
