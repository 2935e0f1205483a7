/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A tokenizer from the metadata of a GGUF. Only reads and measures; sk_text_open() checks what it means. The models "llama" and
 * "t5" are SentencePiece's.
 */
#include "engine/text/draft.h"

#include <stdlib.h>
#include <string.h>

#include "engine/arch/config.h"

/* Elements of the array `key`, all of one type. *ret_len 0 and no failure when the key is missing. */
static sk_status array_find(const struct sk_weights *w, const char *key, enum sk_meta_type item, size_t max,
			    const struct sk_meta_value **ret_v, struct sk_err *err)
{
	const struct sk_meta_value *v = sk_meta_find(w, key);

	*ret_v = NULL;
	if (!v)
		return SK_OK;
	if (v->type != SK_META_ARRAY || (v->len && v->item != item))
		return sk_fail(err, SK_EFORMAT, "%s is not a list of %s", key,
			       item == SK_META_STRING ? "strings" : "numbers");
	if (v->len > max)
		return sk_fail(err, SK_ETOOBIG, "%s has %zu elements, the limit is %zu", key, v->len, max);
	*ret_v = v;
	return SK_OK;
}

static sk_status strings_take(const struct sk_weights *w, const char *key, size_t max, struct sk_str **ret_list,
			      size_t *ret_len, struct sk_err *err)
{
	const struct sk_meta_value *v;
	struct sk_meta_value item;
	const void *cursor = NULL;
	struct sk_str *list;
	size_t i = 0, n = 0;
	sk_status st;

	st = array_find(w, key, SK_META_STRING, max, &v, err);
	if (st < 0 || !v || !v->len)
		return st;
	list = malloc(v->len * sizeof(*list));
	if (!list)
		return sk_fail(err, SK_ENOMEM, "no memory for %zu elements of %s", v->len, key);
	while (n < v->len && sk_meta_next(v, &cursor, &i, &item))
		list[n++] = (struct sk_str){ item.s, item.len };
	*ret_list = list;
	*ret_len = n;
	return SK_OK;
}

static sk_status types_take(const struct sk_weights *w, size_t vocab, uint8_t **ret_types, struct sk_err *err)
{
	const char *key = "tokenizer.ggml.token_type";
	const struct sk_meta_value *v;
	struct sk_meta_value item;
	const void *cursor = NULL;
	uint8_t *types;
	size_t i = 0, n;
	sk_status st;

	st = array_find(w, key, SK_META_INT, SK_TEXT_VOCAB_MAX, &v, err);
	if (st < 0 || !v)
		return st;
	if (v->len != vocab)
		return sk_fail(err, SK_EFORMAT, "%s has %zu elements, but the vocabulary has %zu tokens", key, v->len,
			       vocab);
	types = calloc(vocab ? vocab : 1, 1);
	if (!types)
		return sk_fail(err, SK_ENOMEM, "no memory for %zu elements of %s", vocab, key);
	for (n = 0; n < vocab && sk_meta_next(v, &cursor, &i, &item); n++) {
		if (item.i < SK_TOKEN_NORMAL || item.i > SK_TOKEN_BYTE) {
			free(types);
			return sk_fail(err, SK_EFORMAT, "%s: token %zu has type %lld, known are 1 to 6", key, n,
				       (long long)item.i);
		}
		types[n] = (uint8_t)item.i;
	}
	*ret_types = types;
	return SK_OK;
}

/* Those that str_find() looks for: one of another type would be taken for none. */
static sk_status strs_check(const struct sk_weights *w, struct sk_err *err)
{
	static const char *const keys[] = { "tokenizer.ggml.model", "tokenizer.ggml.pre", "tokenizer.chat_template" };
	const char *s;
	size_t len;
	sk_status st = SK_OK;

	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]) && st >= 0; i++)
		st = sk_config_str(w, keys[i], &s, &len, err);
	return st;
}

static struct sk_str str_find(const struct sk_weights *w, const char *key)
{
	struct sk_str s = { NULL, 0 };

	s.s = sk_meta_str(w, key, &s.len);
	return s;
}

static sk_status scores_take(const struct sk_weights *w, struct sk_draft *d, struct sk_err *err)
{
	const struct sk_meta_value *v;
	struct sk_meta_value item;
	const void *cursor = NULL;
	size_t i = 0, n;
	sk_status st = array_find(w, "tokenizer.ggml.scores", SK_META_FLOAT, SK_TEXT_VOCAB_MAX, &v, err);

	if (st < 0)
		return st;
	if (!v || v->len != d->vocab)
		return sk_fail(err, SK_EFORMAT, "tokenizer.ggml.scores has %zu elements, but the vocabulary has %zu tokens", v ? v->len : 0,
			       d->vocab);
	for (n = 0; n < d->vocab && sk_meta_next(v, &cursor, &i, &item); n++)
		d->scores[n] = item.f;
	d->scores_len = d->vocab;
	return SK_OK;
}

/* Files of before 2024-05 name no pre-tokeniser; some converters write "default" where they did not know one. */
static struct sk_str pre_find(const struct sk_weights *w)
{
	struct sk_str pre = str_find(w, "tokenizer.ggml.pre"), arch = str_find(w, "general.architecture");
	const char *names;

	if (pre.len && !sk_str_is(pre, "default"))
		return pre;
	names = sk_pretok_of_arch(arch.s, arch.len)->names;
	return (struct sk_str){ names, strcspn(names, " ") };
}

/* The map of characters is an array of bytes. */
static sk_status charsmap_take(const struct sk_weights *w, struct sk_spm *m, struct sk_err *err)
{
	const struct sk_meta_value *v;
	struct sk_meta_value item;
	const void *cursor = NULL;
	unsigned char *bytes;
	size_t i = 0, n = 0;
	sk_status st = array_find(w, "tokenizer.ggml.precompiled_charsmap", SK_META_INT, 16u << 20, &v, err);

	if (st < 0 || !v || !v->len)
		return st;
	bytes = sk_arena_take(&m->d->strings, v->len);
	if (!bytes)
		return sk_fail(err, SK_ENOMEM, "no memory for the character map");
	while (n < v->len && sk_meta_next(v, &cursor, &i, &item))
		bytes[n++] = (unsigned char)item.i;
	m->charsmap = bytes;
	m->charsmap_len = n;
	return SK_OK;
}

static int64_t id_of(const struct sk_weights *w, const char *key)
{
	int64_t id = sk_meta_int(w, key, -1);

	return id == UINT32_MAX ? -1 : id;
}

static sk_status spm_open(const struct sk_weights *w, bool unigram, const struct sk_str *tokens, size_t len, uint8_t **types,
			  struct sk_text **ret_t, struct sk_err *err)
{
	struct sk_draft d = { 0 };
	struct sk_spm m = { .d = &d, .err = err, .model = unigram ? 1 : 2, .escape = true, .pieces = len };
	int32_t ends[3], bos, eos;
	sk_status st = sk_draft_init(&d, "tokenizer.ggml.tokens", len, true, err);
	size_t i, n = 0;

	d.types = *types ? *types : calloc(len + 1, 1);
	*types = NULL;
	if (!d.types)
		st = sk_fail(err, SK_ENOMEM, "no memory for the tokenizer");
	for (i = 0; i < len && st == SK_OK; i++) {
		d.types[i] = d.types[i] ? d.types[i] : SK_TOKEN_NORMAL;
		m.byte_fallback = m.byte_fallback || d.types[i] == SK_TOKEN_BYTE;
		st = sk_draft_token(&d, (int64_t)i, tokens[i], false, err);
	}
	d.src = (struct sk_text_src){ .eot = -1, .eom = -1 };
	m.unk = sk_meta_int(w, "tokenizer.ggml.unknown_token_id", unigram ? 2 : 0);
	m.bos = sk_meta_int(w, "tokenizer.ggml.bos_token_id", unigram ? -1 : 1);
	m.eos = sk_meta_int(w, "tokenizer.ggml.eos_token_id", unigram ? 1 : 2);
	m.pad = id_of(w, "tokenizer.ggml.padding_token_id");
	m.dummy_prefix = sk_meta_int(w, "tokenizer.ggml.add_space_prefix", 1);
	m.remove_extra = sk_meta_int(w, "tokenizer.ggml.remove_extra_whitespaces", 0);
	if (st == SK_OK)
		st = scores_take(w, &d, err);
	if (st == SK_OK)
		st = charsmap_take(w, &m, err);
	if (st == SK_OK)
		st = sk_spm_build(&m);
	if (st == SK_OK) {
		bos = (int32_t)d.src.bos;
		eos = (int32_t)d.src.eos;
		st = sk_draft_around(&d, &bos, bos >= 0 && sk_meta_int(w, "tokenizer.ggml.add_bos_token", !unigram), &eos,
				     eos >= 0 && sk_meta_int(w, "tokenizer.ggml.add_eos_token", unigram), err);
	}
	if (st == SK_OK) {
		ends[n++] = eos;
		ends[n++] = (int32_t)id_of(w, "tokenizer.ggml.eot_token_id");
		ends[n++] = (int32_t)id_of(w, "tokenizer.ggml.eom_token_id");
		sk_draft_src(&d);
		d.src.ends = ends;
		d.src.ends_len = n;
		d.src.chat_template = str_find(w, "tokenizer.chat_template");
		d.src.tool_template = str_find(w, "tokenizer.chat_template.tool_use");
		st = sk_text_open(&d.src, ret_t, err);
	}
	sk_draft_fini(&d);
	return st;
}

sk_status sk_text_open_gguf(const struct sk_weights *w, struct sk_text **ret_t, struct sk_err *err)
{
	struct sk_str *tokens = NULL, *merges = NULL;
	uint8_t *types = NULL;
	struct sk_text_src src = { 0 };
	sk_status st = strs_check(w, err);

	if (st < 0)
		return st;
	src.kind = str_find(w, "tokenizer.ggml.model");
	if (!src.kind.s)
		return sk_fail(err, SK_EFORMAT, "the file has no tokenizer (no key tokenizer.ggml.model)");
	src.pre = pre_find(w);
	st = strings_take(w, "tokenizer.ggml.tokens", SK_TEXT_VOCAB_MAX, &tokens, &src.vocab, err);
	if (st == SK_OK)
		st = strings_take(w, "tokenizer.ggml.merges", SK_TEXT_MERGES_MAX, &merges, &src.merges_len, err);
	if (st == SK_OK)
		st = types_take(w, src.vocab, &types, err);
	if (st == SK_OK && (sk_str_is(src.kind, "llama") || sk_str_is(src.kind, "t5"))) {
		st = spm_open(w, sk_str_is(src.kind, "t5"), tokens, src.vocab, &types, ret_t, err);
	} else if (st == SK_OK) {
		src.tokens = tokens;
		src.merges = merges;
		src.types = types;
		src.bos = sk_meta_int(w, "tokenizer.ggml.bos_token_id", -1);
		src.eos = sk_meta_int(w, "tokenizer.ggml.eos_token_id", -1);
		src.eot = sk_meta_int(w, "tokenizer.ggml.eot_token_id", -1);
		src.eom = sk_meta_int(w, "tokenizer.ggml.eom_token_id", -1);
		src.unk = sk_meta_int(w, "tokenizer.ggml.unknown_token_id", -1);
		src.pad = sk_meta_int(w, "tokenizer.ggml.padding_token_id", -1);
		src.add_bos = (int)sk_meta_int(w, "tokenizer.ggml.add_bos_token", -1);
		src.add_eos = (int)sk_meta_int(w, "tokenizer.ggml.add_eos_token", -1);
		src.chat_template = str_find(w, "tokenizer.chat_template");
		src.tool_template = str_find(w, "tokenizer.chat_template.tool_use");
		st = sk_text_open(&src, ret_t, err);
	}
	free(tokens);
	free(merges);
	free(types);
	return st;
}
