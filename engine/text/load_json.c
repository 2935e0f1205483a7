/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The Hugging Face library's tokenizer.json into a draft: the model, the added tokens, the steps around them. What a file says
 * that the library would refuse is refused; what it would ignore is ignored.
 */
#include "engine/text/draft.h"

#include <stdlib.h>
#include <string.h>

#define MEMBERS_MAX 64

struct load {
	struct sk_draft *d;
	const struct sk_jread *j;
	const char *model;              /* the object */
	struct { struct sk_str key; const char *v; } members[MEMBERS_MAX];      /* of it: looking for one walks over the vocabulary */
	size_t members_len;
	struct sk_err *err;
};

static void members_read(struct load *l)
{
	struct sk_jiter it = sk_jread_iter(l->model, '{');

	while (l->members_len < MEMBERS_MAX &&
	       sk_jread_member(l->j, &it, &l->members[l->members_len].key, &l->members[l->members_len].v))
		l->members_len++;
}

/* A literal null is no member. */
static const char *member(const struct load *l, const char *key)
{
	size_t i;

	for (i = l->members_len; i > 0; i--)
		if (sk_str_is(l->members[i - 1].key, key))
			return *l->members[i - 1].v == 'n' ? NULL : l->members[i - 1].v;
	return NULL;
}

static struct sk_str string_of(const struct load *l, const char *key)
{
	return sk_jread_str(l->j, member(l, key));
}

/* ---- vocabularies ----------------------------------------------------------------------------------------------------- */

static sk_status vocab_object(const struct load *l, const char *v)
{
	struct sk_jiter it = sk_jread_iter(v, '{');
	struct sk_str s;
	const char *value;
	int64_t id;
	sk_status st = sk_draft_init(l->d, l->d->path, sk_jread_count(v), false, l->err);

	while (st == SK_OK && sk_jread_member(l->j, &it, &s, &value)) {
		if (!sk_jread_int(value, &id))
			id = -1;
		st = sk_draft_token(l->d, id, s, false, l->err);
	}
	return st;
}

/* [["piece", score], ...]; of equal pieces the last is found. */
static sk_status vocab_list(const struct load *l, const char *v)
{
	struct sk_jiter it = sk_jread_iter(v, '['), pair;
	const char *item, *piece, *score;
	int64_t id = 0;
	sk_status st = sk_draft_init(l->d, l->d->path, sk_jread_count(v), true, l->err);

	for (; st == SK_OK && sk_jread_item(&it, &item); id++) {
		pair = sk_jread_iter(item, '[');
		if (!sk_jread_item(&pair, &piece) || sk_jread_kind(piece) != '"' || !sk_jread_item(&pair, &score) ||
		    sk_jread_kind(score) != '0')
			return sk_fail(l->err, SK_EFORMAT, "%s: model.vocab[%lld] is no piece with its score", l->d->path, (long long)id);
		st = sk_draft_token(l->d, id, sk_jread_str(l->j, piece), true, l->err);
		if (st == SK_OK)
			l->d->scores[id] = sk_jread_double(score, 0);
	}
	l->d->scores_len = l->d->vocab;
	return st;
}

/* "left right", or ["left", "right"]. */
static sk_status merge_read(const struct load *l, size_t i, const char *v)
{
	struct sk_jiter pair = sk_jread_iter(v, '[');
	struct sk_str s = sk_jread_str(l->j, v);
	const char *left, *right, *space;

	if (sk_jread_kind(v) == '[' && sk_jread_item(&pair, &left) && sk_jread_item(&pair, &right) && !pair.at) {
		l->d->merges[i] = sk_jread_str(l->j, left);
		l->d->rights[i] = sk_jread_str(l->j, right);
	} else if (s.s && (space = memchr(s.s, ' ', s.len)) && !memchr(space + 1, ' ', s.len - (size_t)(space + 1 - s.s))) {
		l->d->merges[i] = (struct sk_str){ s.s, (size_t)(space - s.s) };
		l->d->rights[i] = (struct sk_str){ space + 1, s.len - (size_t)(space + 1 - s.s) };
	}
	if (!l->d->merges[i].s || !l->d->rights[i].s)
		return sk_fail(l->err, SK_EFORMAT, "%s: model.merges[%zu] is not two tokens", l->d->path, i);
	return SK_OK;
}

static sk_status merges_read(const struct load *l, const char *v)
{
	struct sk_jiter it = sk_jread_iter(v, '[');
	size_t len = sk_jread_count(v), i;
	const char *item;
	sk_status st = SK_OK;

	if (len > SK_TEXT_MERGES_MAX)
		return sk_fail(l->err, SK_ETOOBIG, "%s: %zu merges, the limit is %u", l->d->path, len, SK_TEXT_MERGES_MAX);
	l->d->merges = calloc(len + 1, sizeof(*l->d->merges));
	l->d->rights = calloc(len + 1, sizeof(*l->d->rights));
	if (!l->d->merges || !l->d->rights)
		return sk_fail(l->err, SK_ENOMEM, "no memory for %zu merges", len);
	for (i = 0; st == SK_OK && sk_jread_item(&it, &item); i++)
		st = merge_read(l, i, item);
	l->d->merges_len = len;
	return st;
}

/* ---- models ----------------------------------------------------------------------------------------------------------- */

static sk_status unk_find(const struct load *l, bool must)
{
	struct sk_str unk = string_of(l, "unk_token");
	char name[128];

	l->d->src.unk = sk_draft_find(l->d, unk);
	if (l->d->src.unk < 0 && (must || unk.s))
		return sk_fail(l->err, SK_EFORMAT, "%s: model.unk_token \"%s\" is not in the vocabulary", l->d->path,
			       unk.s ? sk_text_shown(unk, name) : "");
	return SK_OK;
}

static sk_status bpe_read(const struct load *l)
{
	struct sk_text_src *src = &l->d->src;
	sk_status st = vocab_object(l, member(l, "vocab"));

	if (st == SK_OK)
		st = merges_read(l, member(l, "merges"));
	if (st < 0)
		return st;
	src->prefix = string_of(l, "continuing_subword_prefix");
	src->suffix = string_of(l, "end_of_word_suffix");
	src->byte_fallback = sk_jread_bool(member(l, "byte_fallback"), false);
	src->ignore_merges = sk_jread_bool(member(l, "ignore_merges"), false);
	src->fuse_unk = sk_jread_bool(member(l, "fuse_unk"), false);
	return unk_find(l, false);
}

static sk_status unigram_read(const struct load *l)
{
	const char *unk = member(l, "unk_id");
	sk_status st = vocab_list(l, member(l, "vocab"));
	int64_t id;

	l->d->src.byte_fallback = sk_jread_bool(member(l, "byte_fallback"), false);
	if (st == SK_OK && unk) {
		if (!sk_jread_int(unk, &id) || id < 0 || (uint64_t)id >= l->d->vocab)
			return sk_fail(l->err, SK_EFORMAT, "%s: model.unk_id is not in the vocabulary of %zu", l->d->path, l->d->vocab);
		l->d->src.unk = id;
	}
	return st;
}

static sk_status wordpiece_read(const struct load *l)
{
	const char *prefix = member(l, "continuing_subword_prefix"), *max = member(l, "max_input_chars_per_word");
	sk_status st = vocab_object(l, member(l, "vocab"));

	l->d->src.prefix = prefix ? sk_jread_str(l->j, prefix) : (struct sk_str){ "##", 2 };
	l->d->src.chars_max = 100;
	if (st == SK_OK && max && (!sk_jread_int(max, &l->d->src.chars_max) || l->d->src.chars_max < 0))
		return sk_fail(l->err, SK_EFORMAT, "%s: model.max_input_chars_per_word is no count", l->d->path);
	return st < 0 ? st : unk_find(l, true);
}

static sk_status wordlevel_read(const struct load *l)
{
	sk_status st = vocab_object(l, member(l, "vocab"));

	return st < 0 ? st : unk_find(l, true);
}

static const struct { const char *type; sk_status (*read)(const struct load *l); } models[] = {
	{ "BPE", bpe_read }, { "Unigram", unigram_read }, { "WordPiece", wordpiece_read }, { "WordLevel", wordlevel_read },
};

/* Files of the library's first versions name no type. */
static const char *type_guess(const struct load *l)
{
	if (member(l, "merges"))
		return "BPE";
	if (sk_jread_kind(member(l, "vocab")) == '[')
		return "Unigram";
	return member(l, "continuing_subword_prefix") ? "WordPiece" : "WordLevel";
}

static sk_status model_read(const struct load *l)
{
	struct sk_str type = string_of(l, "type");
	const char *guess;
	size_t i;

	if (!l->model)
		return sk_fail(l->err, SK_EFORMAT, "%s has no \"model\"", l->d->path);
	if (!type.s) {
		guess = type_guess(l);
		type = (struct sk_str){ guess, strlen(guess) };
	}
	l->d->src.kind = type;
	for (i = 0; i < sizeof(models) / sizeof(models[0]); i++)
		if (sk_str_is(type, models[i].type))
			return models[i].read(l);
	return sk_fail(l->err, SK_ENOTSUP, "%s: the model \"%.*s\" is not known", l->d->path, (int)(type.len < 40 ? type.len : 40), type.s);
}

/* ---- added tokens ----------------------------------------------------------------------------------------------------- */

sk_status sk_load_added(struct sk_draft *d, const struct sk_jread *j, const char *v, int64_t id, struct sk_err *err)
{
	struct sk_added a = { .text = sk_jread_str(j, sk_jread_find(v, "content")), .id = -1 };

	if (!a.text.s)
		return sk_fail(err, SK_EFORMAT, "%s: the added token %lld has no \"content\"", d->path, (long long)id);
	if (id < 0 || id >= SK_TEXT_VOCAB_MAX)
		return sk_fail(err, SK_EFORMAT, "%s: the added token %lld has no id from 0 to %u", d->path, (long long)id,
			       SK_TEXT_VOCAB_MAX - 1);
	a.id = (int32_t)id;
	a.special = sk_jread_bool(sk_jread_find(v, "special"), false);
	a.normalized = sk_jread_bool(sk_jread_find(v, "normalized"), !a.special);
	a.lstrip = sk_jread_bool(sk_jread_find(v, "lstrip"), false);
	a.rstrip = sk_jread_bool(sk_jread_find(v, "rstrip"), false);
	a.single_word = sk_jread_bool(sk_jread_find(v, "single_word"), false);
	return sk_draft_added(d, a, err);
}

static sk_status added_read(const struct load *l, const char *v)
{
	struct sk_jiter it = sk_jread_iter(v, '[');
	sk_status st = SK_OK;
	const char *item;
	int64_t id;

	while (st == SK_OK && sk_jread_item(&it, &item)) {
		if (!sk_jread_int(sk_jread_find(item, "id"), &id))
			id = -1;
		st = sk_load_added(l->d, l->j, item, id, l->err);
	}
	return st;
}

/* ---- post-processors -------------------------------------------------------------------------------------------------- */

#define AROUND_MAX 256

struct around { int32_t before[AROUND_MAX], after[AROUND_MAX]; size_t before_len, after_len; bool text; };

static sk_status around_add(const struct load *l, struct around *a, int64_t id)
{
	size_t *len = a->text ? &a->after_len : &a->before_len;

	if (id < 0 || (uint64_t)id >= l->d->vocab)
		return sk_fail(l->err, SK_EFORMAT, "%s: the post_processor has id %lld, but the vocabulary has %zu tokens", l->d->path,
			       (long long)id, l->d->vocab);
	if (*len == AROUND_MAX)
		return sk_fail(l->err, SK_ETOOBIG, "%s: the post_processor puts more than %d tokens around a text", l->d->path, AROUND_MAX);
	(a->text ? a->after : a->before)[(*len)++] = (int32_t)id;
	return SK_OK;
}

static sk_status template_special(const struct load *l, const char *tokens, const char *part, struct around *a)
{
	struct sk_str name = sk_jread_str(l->j, sk_jread_find(part, "id")), key;
	struct sk_jiter it = sk_jread_iter(tokens, '{'), ids;
	const char *value, *id;
	char shown[128];
	int64_t n;
	sk_status st = SK_OK;

	while (sk_jread_member(l->j, &it, &key, &value)) {
		if (!name.s || key.len != name.len || memcmp(key.s, name.s, key.len) != 0)
			continue;
		ids = sk_jread_iter(sk_jread_find(value, "ids"), '[');
		while (st == SK_OK && sk_jread_item(&ids, &id))
			st = around_add(l, a, sk_jread_int(id, &n) ? n : -1);
		return st;
	}
	return sk_fail(l->err, SK_EFORMAT, "%s: the post_processor's template has \"%s\", which is none of its special_tokens", l->d->path,
		       name.s ? sk_text_shown(name, shown) : "");
}

static sk_status template_read(const struct load *l, const char *v, struct around *a)
{
	struct sk_jiter it = sk_jread_iter(sk_jread_find(v, "single"), '[');
	const char *item, *part;
	sk_status st = SK_OK;

	while (st == SK_OK && sk_jread_item(&it, &item)) {
		part = sk_jread_find(item, "SpecialToken");
		if (part) {
			st = template_special(l, sk_jread_find(v, "special_tokens"), part, a);
		} else if (!sk_jread_find(item, "Sequence")) {
			return sk_fail(l->err, SK_EFORMAT, "%s: the post_processor's template has what is neither token nor text", l->d->path);
		} else if (a->text) {
			return sk_fail(l->err, SK_ENOTSUP, "%s: a template that has the text twice is not supported", l->d->path);
		} else {
			a->text = true;
		}
	}
	if (st == SK_OK && !a->text)
		return sk_fail(l->err, SK_EFORMAT, "%s: the post_processor's template has no text", l->d->path);
	return st;
}

/* ["[SEP]", 102] */
static sk_status pair_id(const struct load *l, const char *v, const char *key, struct around *a)
{
	struct sk_jiter it = sk_jread_iter(sk_jread_find(v, key), '[');
	const char *text, *id;
	int64_t n = -1;

	if (!sk_jread_item(&it, &text) || !sk_jread_item(&it, &id) || !sk_jread_int(id, &n))
		return sk_fail(l->err, SK_EFORMAT, "%s: the post_processor's \"%s\" is no token with its id", l->d->path, key);
	return around_add(l, a, n);
}

static sk_status pair_read(const struct load *l, const char *v, struct around *a)
{
	sk_status st = pair_id(l, v, "cls", a);

	a->text = true;
	return st < 0 ? st : pair_id(l, v, "sep", a);
}

static void trim_read(const struct load *l, const char *v)
{
	if (!sk_jread_bool(sk_jread_find(v, "trim_offsets"), true))
		return;
	l->d->pipe.trim = true;
	l->d->pipe.trim_prefix = sk_jread_bool(sk_jread_find(v, "add_prefix_space"), true);
}

/* Each of a sequence puts its tokens around what the ones before it made. */
static sk_status post_read(const struct load *l, const char *v, struct around *all, int depth)
{
	struct sk_str type = sk_jread_str(l->j, sk_jread_find(v, "type"));
	struct around *a;
	struct sk_jiter it;
	const char *item;
	sk_status st = SK_OK;
	size_t i;

	if (!v || sk_jread_kind(v) == 'n')
		return SK_OK;
	if (depth > 8)
		return sk_fail(l->err, SK_ETOOBIG, "%s: the post_processor has more than 8 lists inside each other", l->d->path);
	if (sk_str_is(type, "Sequence")) {
		it = sk_jread_iter(sk_jread_find(v, "processors"), '[');
		while (st == SK_OK && sk_jread_item(&it, &item))
			st = post_read(l, item, all, depth + 1);
		return st;
	}
	if (sk_str_is(type, "ByteLevel")) {
		trim_read(l, v);
		return SK_OK;
	}
	a = calloc(1, sizeof(*a));
	if (!a)
		return sk_fail(l->err, SK_ENOMEM, "no memory for the tokenizer");
	if (sk_str_is(type, "TemplateProcessing"))
		st = template_read(l, v, a);
	else if (sk_str_is(type, "BertProcessing") || sk_str_is(type, "RobertaProcessing"))
		st = pair_read(l, v, a);
	else
		st = sk_fail(l->err, SK_ENOTSUP, "%s: the post_processor \"%.*s\" is not known", l->d->path,
			     (int)(type.len < 40 ? type.len : 40), type.s ? type.s : "");
	if (st == SK_OK && sk_str_is(type, "RobertaProcessing"))
		trim_read(l, v);
	if (st == SK_OK && (all->before_len + a->before_len > AROUND_MAX || all->after_len + a->after_len > AROUND_MAX))
		st = sk_fail(l->err, SK_ETOOBIG, "%s: the post_processor puts more than %d tokens around a text", l->d->path, AROUND_MAX);
	if (st == SK_OK) {
		memmove(all->before + a->before_len, all->before, all->before_len * sizeof(*all->before));
		memcpy(all->before, a->before, a->before_len * sizeof(*a->before));
		all->before_len += a->before_len;
		for (i = 0; i < a->after_len; i++)
			all->after[all->after_len++] = a->after[i];
	}
	free(a);
	return st;
}

/* ---- all -------------------------------------------------------------------------------------------------------------- */

static sk_status named(const struct sk_draft *d, sk_status st, const struct sk_err *why, struct sk_err *err)
{
	return st < 0 ? sk_fail(err, st, "%s: %s", d->path, why->text) : st;
}

sk_status sk_load_json(struct sk_draft *d, const struct sk_jread *j, const char *root, struct sk_err *err)
{
	enum { MODEL, ADDED, NORMALIZER, PRE, DECODER, POST, PARTS };
	static const char *const keys[PARTS] = { "model", "added_tokens", "normalizer", "pre_tokenizer", "decoder", "post_processor" };
	const char *part[PARTS];
	struct load l = { .d = d, .j = j, .err = err };
	struct around *all;
	struct sk_err why = { .text = "" };
	sk_status st;

	if (sk_jread_kind(root) != '{')
		return sk_fail(err, SK_EFORMAT, "%s is no object", d->path);
	sk_jread_find_all(root, keys, PARTS, part);
	l.model = part[MODEL];
	members_read(&l);
	st = model_read(&l);
	if (st == SK_OK)
		st = added_read(&l, part[ADDED]);
	if (st == SK_OK)
		st = named(d, sk_normalizers_read(j, part[NORMALIZER], &d->pipe.normal, &why), &why, err);
	if (st == SK_OK)
		st = named(d, sk_pretokenizers_read(j, part[PRE], &d->pipe.pre, &why), &why, err);
	if (st == SK_OK)
		st = named(d, sk_decoders_read(j, part[DECODER], &d->pipe.decoder, &why), &why, err);
	if (st < 0)
		return st;
	all = calloc(1, sizeof(*all));
	if (!all)
		return sk_fail(err, SK_ENOMEM, "no memory for the tokenizer");
	st = post_read(&l, part[POST], all, 0);
	if (st == SK_OK)
		st = sk_draft_around(d, all->before, all->before_len, all->after, all->after_len, err);
	free(all);
	return st;
}
