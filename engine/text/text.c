/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The tokenizer around its kind: pieces and flags of all tokens, added tokens found in the text, offsets, ids.
 *
 *	caller's bytes -> (U+FFFD for ill-formed parts) -> split at added tokens -> kind->encode -> sk_text_emit
 */
#include "engine/text/kind.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/utf8.h"
#include "engine/text/normal.h"

#define SK_TEXT_KIND(name) extern const struct sk_text_kind sk_text_kind_##name;
#include "engine/text/kinds.def"
#undef SK_TEXT_KIND

static const struct sk_text_kind *const kinds[] = {
#define SK_TEXT_KIND(name) &sk_text_kind_##name,
#include "engine/text/kinds.def"
#undef SK_TEXT_KIND
};

/*
 * Control tokens that end a turn, for files that name no end-of-turn id. "<|endoftext|>" is none: eos says so
 * or not.
 */
static const char *const turn_ends[] = { "<|im_end|>", "<|eot_id|>", "<|eom_id|>", "<|end|>", "<end_of_turn>" };

/* ---- opening ------------------------------------------------------------------------------------------------------ */

static const struct sk_text_kind *kind_find(struct sk_str name)
{
	size_t i;

	for (i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		if (strlen(kinds[i]->ggml) == name.len && !memcmp(kinds[i]->ggml, name.s, name.len))
			return kinds[i];
	return NULL;
}

static int shown_len(struct sk_str s)
{
	return s.len < 64 ? (int)s.len : 64;
}

static sk_status src_check(const struct sk_text_src *src, struct sk_err *err)
{
	size_t i;

	if (!src->vocab)
		return sk_fail(err, SK_EFORMAT, "tokenizer.ggml.tokens: the vocabulary is empty");
	if (src->vocab > SK_TEXT_VOCAB_MAX)
		return sk_fail(err, SK_ETOOBIG, "tokenizer.ggml.tokens: %zu tokens, the limit is %u", src->vocab,
			       SK_TEXT_VOCAB_MAX);
	if (src->merges_len > SK_TEXT_MERGES_MAX)
		return sk_fail(err, SK_ETOOBIG, "tokenizer.ggml.merges: %zu merges, the limit is %u", src->merges_len,
			       SK_TEXT_MERGES_MAX);
	for (i = 0; i < src->vocab; i++)
		if (src->tokens[i].len > SK_TEXT_PIECE_MAX)
			return sk_fail(err, SK_ETOOBIG, "tokenizer.ggml.tokens: token %zu has %zu bytes, the limit is %u",
				       i, src->tokens[i].len, SK_TEXT_PIECE_MAX);
	return SK_OK;
}

static sk_status id_check(const char *what, int64_t id, size_t vocab, int32_t *ret_id, struct sk_err *err)
{
	if (id == -1 || id == UINT32_MAX) {     /* some writers say "none" with all bits set */
		*ret_id = -1;
		return SK_OK;
	}
	if (id < 0 || (uint64_t)id >= vocab)
		return sk_fail(err, SK_EFORMAT, "tokenizer.ggml.%s_token_id is %lld, but the vocabulary has %zu tokens",
			       what, (long long)id, vocab);
	*ret_id = (int32_t)id;
	return SK_OK;
}

static sk_status ids_take(struct sk_text *t, const struct sk_text_src *src, struct sk_err *err)
{
	int32_t eot = -1, eom = -1;
	const struct { const char *what; int64_t id; int32_t *ret_id; } ids[] = {
		{ "bos", src->bos, &t->bos }, { "eos", src->eos, &t->eos }, { "eot", src->eot, &eot },
		{ "eom", src->eom, &eom }, { "unknown", src->unk, &t->unk }, { "padding", src->pad, &t->pad },
	};
	const char *p;
	sk_status st;
	size_t i, len;
	int32_t id;

	for (i = 0; i < sizeof(ids) / sizeof(ids[0]); i++) {
		st = id_check(ids[i].what, ids[i].id, src->vocab, ids[i].ret_id, err);
		if (st < 0)
			return st;
	}
	if (t->eos >= 0)
		t->flags[t->eos] |= SK_TF_EOS;
	if (eot >= 0)
		t->flags[eot] |= SK_TF_EOS;
	if (eom >= 0)
		t->flags[eom] |= SK_TF_EOS;
	for (id = 0; eot < 0 && id < t->vocab; id++) {
		if (!(t->flags[id] & SK_TF_SPECIAL))
			continue;
		p = sk_text_piece(t, id, &len);
		for (i = 0; i < sizeof(turn_ends) / sizeof(turn_ends[0]); i++)
			if (strlen(turn_ends[i]) == len && !memcmp(turn_ends[i], p, len))
				t->flags[id] |= SK_TF_EOS;
	}
	t->add_bos = t->bos >= 0 && (src->add_bos < 0 ? t->pre->add_bos : src->add_bos > 0);
	t->add_eos = t->eos >= 0 && src->add_eos > 0;
	return SK_OK;
}

/* Pieces and flags. */
static sk_status pieces_take(struct sk_text *t, const struct sk_text_src *src, struct sk_err *err)
{
	size_t total = 0, i, len;
	char *p;

	for (i = 0; i < src->vocab; i++)
		total += src->tokens[i].len;
	if (total > INT32_MAX)
		return sk_fail(err, SK_ETOOBIG, "tokenizer.ggml.tokens: %zu bytes of text, the limit is %d", total,
			       INT32_MAX);
	t->bytes = malloc(total + 1);
	t->at = malloc((src->vocab + 1) * sizeof(*t->at));
	t->flags = calloc(src->vocab, 1);
	if (!t->bytes || !t->at || !t->flags)
		return sk_fail(err, SK_ENOMEM, "no memory for %zu tokens", src->vocab);
	t->at[0] = 0;
	for (i = 0; i < src->vocab; i++) {
		len = t->kind->piece(src->tokens[i], t->bytes + t->at[i]);
		t->at[i + 1] = t->at[i] + (uint32_t)len;
		if (len > t->piece_max)
			t->piece_max = (uint32_t)len;
	}
	t->bytes[t->at[src->vocab]] = '\0';
	p = realloc(t->bytes, t->at[src->vocab] + 1u);
	if (p)
		t->bytes = p;
	if (!t->piece_max)
		t->piece_max = 1;
	t->text_max = t->piece_max;
	t->mem_bytes += t->at[src->vocab] + 1u + (src->vocab + 1) * sizeof(*t->at) + src->vocab;
	return SK_OK;
}

/*
 * Whether every rule of pretok.c ends a word before s[i], whatever is around: between an ASCII letter and a blank or
 * newline, as no match that has a letter goes on with white space; and between a newline and a letter (an ASCII one, or
 * a lead byte of U+5000 to U+8FFF), as no match that has a newline goes on with anything but white space. No pattern
 * looks back, so the words after the cut do not depend on what is before it; and nothing composes across it.
 */
static inline bool is_cut(const char *s, size_t i)
{
	uint8_t a = (uint8_t)s[i - 1], b = (uint8_t)s[i];
	bool letter_before = (uint8_t)((a | 0x20) - 'a') < 26, letter_after = (uint8_t)((b | 0x20) - 'a') < 26;

	return (letter_before && (b == ' ' || b == '\n')) || (a == '\n' && (letter_after || (b >= 0xe5 && b <= 0xe8)));
}

/* Added tokens are found by their text in the file, which is what a person writes. */
static sk_status added_take(struct sk_text *t, const struct sk_text_src *src, struct sk_err *err)
{
	struct sk_str s;
	size_t i;

	for (i = 0; src->types && i < src->vocab; i++) {
		if (src->types[i] == SK_TOKEN_CONTROL || src->types[i] == SK_TOKEN_UNKNOWN)
			t->flags[i] = SK_TF_SPECIAL | SK_TF_ADDED;
		else if (src->types[i] == SK_TOKEN_USER)
			t->flags[i] = SK_TF_ADDED;
		s = src->tokens[i];
		if (!(t->flags[i] & SK_TF_ADDED) || !s.len)
			continue;
		if (s.len > SK_TEXT_ADDED_MAX)
			return sk_fail(err, SK_ETOOBIG, "tokenizer.ggml.tokens: added token %zu has %zu bytes, the limit is %u",
				       i, s.len, SK_TEXT_ADDED_MAX);
		if (sk_trie_add(&t->added, s.s, s.len, (int32_t)i) < 0)
			return sk_fail(err, SK_ENOMEM, "no memory for added tokens");
		t->added_first[(uint8_t)s.s[0]] = true;
		/* An added token stands for its text in the file; its piece is shorter where that has the alphabet's letters. */
		if (s.len > t->text_max)
			t->text_max = (uint32_t)s.len;
		for (size_t j = 1; j < s.len; j++)
			t->added_cut = t->added_cut || is_cut(s.s, j);
	}
	t->mem_bytes += t->added.cap * sizeof(*t->added.nodes);
	return SK_OK;
}

static sk_status template_take(struct sk_text *t, const struct sk_text_src *src, struct sk_err *err)
{
	if (!src->chat_template.s)
		return SK_OK;
	t->chat_template = malloc(src->chat_template.len + 1);
	if (!t->chat_template)
		return sk_fail(err, SK_ENOMEM, "no memory for the chat template");
	memcpy(t->chat_template, src->chat_template.s, src->chat_template.len);
	t->chat_template[src->chat_template.len] = '\0';
	t->mem_bytes += src->chat_template.len + 1;
	return SK_OK;
}

sk_status sk_text_open(const struct sk_text_src *src, struct sk_text **ret_t, struct sk_err *err)
{
	struct sk_text *t;
	sk_status st;

	st = src_check(src, err);
	if (st < 0)
		return st;
	t = calloc(1, sizeof(*t));
	if (!t)
		return sk_fail(err, SK_ENOMEM, "no memory for the tokenizer");
	t->mem_bytes = sizeof(*t);
	t->vocab = (int32_t)src->vocab;
	t->kind = kind_find(src->kind);
	t->pre = sk_pretok_find(src->pre.s, src->pre.len);
	if (!t->kind)
		st = sk_fail(err, SK_ENOTSUP, "tokenizer.ggml.model \"%.*s\" is not supported", shown_len(src->kind),
			     src->kind.s);
	else if (!t->pre)
		st = sk_fail(err, SK_ENOTSUP, "tokenizer.ggml.pre \"%.*s\" is not known", shown_len(src->pre),
			     src->pre.s);
	if (st == SK_OK) {
		snprintf(t->pre_name, sizeof(t->pre_name), "%.*s", (int)strcspn(t->pre->names, " "), t->pre->names);
		st = pieces_take(t, src, err);
	}
	if (st == SK_OK)
		st = added_take(t, src, err);
	if (st == SK_OK)
		st = ids_take(t, src, err);
	if (st == SK_OK)
		st = template_take(t, src, err);
	if (st == SK_OK)
		st = t->kind->open(t, src, err);
	if (st < 0) {
		sk_text_close(&t);
		return st;
	}
	*ret_t = t;
	return SK_OK;
}

void sk_text_close(struct sk_text **ref)
{
	struct sk_text *t = ref ? *ref : NULL;

	if (!t)
		return;
	if (t->kind)
		t->kind->close(t);
	sk_trie_fini(&t->added);
	free(t->bytes);
	free(t->at);
	free(t->flags);
	free(t->chat_template);
	free(t);
	*ref = NULL;
}

/* ---- facts -------------------------------------------------------------------------------------------------------- */

void sk_text_info(const struct sk_text *t, struct sk_text_info *ret_info)
{
	*ret_info = (struct sk_text_info){
		.vocab = t->vocab, .bos = t->bos, .eos = t->eos, .unk = t->unk, .pad = t->pad,
		.add_bos = t->add_bos, .add_eos = t->add_eos,
		.kind = t->kind->name, .pre = t->pre_name, .bytes = t->mem_bytes,
	};
}

const char *sk_text_chat_template(const struct sk_text *t)
{
	return t->chat_template;
}

bool sk_text_is_eos(const struct sk_text *t, int32_t id)
{
	return id >= 0 && id < t->vocab && t->flags[id] & SK_TF_EOS;
}

bool sk_text_is_special(const struct sk_text *t, int32_t id)
{
	return id >= 0 && id < t->vocab && t->flags[id] & SK_TF_SPECIAL;
}

const char *sk_text_piece(const struct sk_text *t, int32_t id, size_t *ret_len)
{
	if (id < 0 || id >= t->vocab) {
		*ret_len = 0;
		return "";
	}
	*ret_len = t->at[id + 1] - t->at[id];
	return t->bytes + t->at[id];
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
	if (t->pre->nfc)
		return every ? 1 : 0;
	return t->has_byte[0xef] && t->has_byte[0xbf] && t->has_byte[0xbd] ? 4 : 0;
}

size_t sk_text_least(const struct sk_text *t, const char *s, size_t len)
{
	size_t same = 0, changed = 0;

	for (size_t i = 0; i < len; i++) {
		bool has = t->has_byte[(uint8_t)s[i]], ascii = (uint8_t)s[i] < 0x80;

		/* ASCII is never changed, but composed with what follows it when that is not ASCII. */
		if (ascii && (!t->pre->nfc || i + 1 == len || (uint8_t)s[i + 1] < 0x80))
			same += has;
		else
			changed += has;
	}
	return (same + changed / 4 * changed_quarters(t)) / t->text_max;
}

size_t sk_text_cut(const struct sk_text *t, const char *s, size_t len, size_t from)
{
	for (size_t i = from ? from : 1; i < len && !t->added_cut; i++)
		if (is_cut(s, i))
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

static bool vector_grow(void *ref, size_t cap)
{
	uint32_t *p, **v = ref;

	p = realloc(*v, cap * sizeof(*p));
	if (p)
		*v = p;
	return p;
}

sk_status sk_text_emit(struct sk_text_job *job, int32_t id, size_t start, size_t stop)
{
	struct sk_ids *v = job->io;
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
		v->start[v->len] = job->map ? job->map[start] : (uint32_t)start;
		v->stop[v->len] = job->map ? job->map[stop] : (uint32_t)stop;
	}
	v->len++;
	return SK_OK;
}

/* ---- encoding ----------------------------------------------------------------------------------------------------- */

/* The longest added token at s; -1: none. */
static int32_t added_at(const struct sk_text *t, const char *s, size_t len, size_t *ret_len)
{
	uint32_t node = 0;
	int32_t id = -1;
	size_t i;

	for (i = 0; i < len && (node = sk_trie_step(&t->added, node, (uint8_t)s[i])); i++)
		if (t->added.nodes[node].value >= 0) {
			id = t->added.nodes[node].value;
			*ret_len = i + 1;
		}
	return id;
}

/*
 * Added tokens go first: the leftmost, of those the longest. A control token that is not asked for stays text,
 * and what is inside it is not looked at again (the Hugging Face library's split_special_tokens).
 */
static sk_status split_encode(struct sk_text_job *job, size_t len, bool parse_special)
{
	const struct sk_text *t = job->t;
	const char *s = job->text;
	size_t i = 0, from = 0, n = 0;
	sk_status st;
	int32_t id;

	while (i < len) {
		if (!t->added_first[(uint8_t)s[i]] || (id = added_at(t, s + i, len - i, &n)) < 0) {
			i++;
			continue;
		}
		if (t->flags[id] & SK_TF_SPECIAL && !parse_special) {
			i += n;
			continue;
		}
		st = i > from ? t->kind->encode(job, s + from, i - from) : SK_OK;
		if (st == SK_OK)
			st = sk_text_emit(job, id, i, i + n);
		if (st < 0)
			return st;
		i += n;
		from = i;
	}
	return len > from ? t->kind->encode(job, s + from, len - from) : SK_OK;
}

/* Ids that stand for no text have the offsets of an end of it. */
static sk_status bare_emit(struct sk_text_job *job, int32_t id, size_t at)
{
	job->map = NULL;
	return sk_text_emit(job, id, at, at);
}

sk_status sk_text_encode(const struct sk_text *t, const char *s, size_t len, bool add_special, bool parse_special,
			 size_t ids_max, struct sk_ids *io, struct sk_err *err)
{
	struct sk_text_job job = { .t = t, .io = io, .ids_max = ids_max, .text = s, .err = err };
	struct sk_normal lossy = SK_NORMAL;
	size_t was = io->len, text_len = len;
	sk_status st = SK_OK;

	if (len > SK_TEXT_INPUT_MAX)
		return sk_fail(err, SK_ETOOBIG, "the text has %zu bytes, the limit is %u", len, SK_TEXT_INPUT_MAX);
	if (add_special && t->add_bos)
		st = bare_emit(&job, t->bos, 0);
	if (st == SK_OK && len && !sk_utf8_valid(s, len)) {
		st = sk_normal_lossy(&lossy, s, len);
		if (st < 0)
			sk_fail(err, st, "no memory for %zu bytes of text", len);
		job.text = lossy.text.data;
		job.map = lossy.at;
		text_len = lossy.text.len;
	}
	if (st == SK_OK)
		st = split_encode(&job, text_len, parse_special);
	if (st == SK_OK && add_special && t->add_eos)
		st = bare_emit(&job, t->eos, len);
	sk_normal_fini(&lossy);
	if (st < 0)
		io->len = was;
	return st;
}
