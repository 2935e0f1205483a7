/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Opening a tokenizer around its kind: pieces and flags of all tokens, added tokens, special ids; and facts about it.
 */
#include "engine/text/kind.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DECODED_MAX ((size_t)64 << 20)   /* bytes of text of all tokens, whatever the file has */

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

static const struct sk_text_kind *kind_find(struct sk_str name, bool json)
{
	size_t i;

	for (i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		if (sk_str_is(name, json ? kinds[i]->json : kinds[i]->ggml ? kinds[i]->ggml : ""))
			return kinds[i];
	return NULL;
}

/* What is known of a kind of name, for the message about one that is not. */
static const char *known_kinds(bool json, char *out, size_t out_bytes)
{
	size_t i, len = 0;

	out[0] = '\0';
	for (i = 0; i < sizeof(kinds) / sizeof(kinds[0]) && len < out_bytes; i++) {
		const char *name = json ? kinds[i]->json : kinds[i]->ggml;

		if (name)
			len += (size_t)snprintf(out + len, out_bytes - len, "%s%s", len ? ", " : "", name);
	}
	return out;
}

static const char *known_pre(char *out, size_t out_bytes)
{
	const struct sk_pretok_rule *rule;
	size_t i, len = 0;

	out[0] = '\0';
	for (i = 0; (rule = sk_pretok_at(i)) && len < out_bytes; i++)
		len += (size_t)snprintf(out + len, out_bytes - len, "%s%s", len ? " " : "", rule->names);
	return out;
}

static int shown_len(struct sk_str s)
{
	return s.len < 64 ? (int)s.len : 64;
}

static sk_status src_check(const struct sk_text_src *src, struct sk_err *err)
{
	size_t i;

	if (!src->vocab)
		return sk_fail(err, SK_EFORMAT, "%s: the vocabulary is empty", src->tokens_name);
	if (src->vocab > SK_TEXT_VOCAB_MAX)
		return sk_fail(err, SK_ETOOBIG, "%s: %zu tokens, the limit is %u", src->tokens_name, src->vocab,
			       SK_TEXT_VOCAB_MAX);
	if (src->merges_len > SK_TEXT_MERGES_MAX)
		return sk_fail(err, SK_ETOOBIG, "%s: %zu merges, the limit is %u", src->merges_name, src->merges_len,
			       SK_TEXT_MERGES_MAX);
	for (i = 0; i < src->vocab; i++)
		if (src->tokens[i].len > SK_TEXT_PIECE_MAX)
			return sk_fail(err, SK_ETOOBIG, "%s: token %zu has %zu bytes, the limit is %u",
				       src->tokens_name, i, src->tokens[i].len, SK_TEXT_PIECE_MAX);
	return SK_OK;
}

static sk_status id_check(const char *what, bool json, int64_t id, size_t vocab, int32_t *ret_id, struct sk_err *err)
{
	if (id == -1 || id == UINT32_MAX) {     /* some writers say "none" with all bits set */
		*ret_id = -1;
		return SK_OK;
	}
	if (id < 0 || (uint64_t)id >= vocab)
		return sk_fail(err, SK_EFORMAT, "%s%s_token_id is %lld, but the vocabulary has %zu tokens",
			       json ? "" : "tokenizer.ggml.", what, (long long)id, vocab);
	*ret_id = (int32_t)id;
	return SK_OK;
}

/* The ids around a text with specials. */
static sk_status around_take(struct sk_text *t, const struct sk_text_src *src, struct sk_err *err)
{
	const struct sk_text_pipe *p = src->pipe;

	t->before_len = p ? p->before_len : t->add_bos;
	t->after_len = p ? p->after_len : t->add_eos;
	t->around = malloc((t->before_len + t->after_len + 1) * sizeof(*t->around));
	if (!t->around)
		return sk_fail(err, SK_ENOMEM, "no memory for the tokenizer");
	if (p && p->before_len)
		memcpy(t->around, p->before, p->before_len * sizeof(*t->around));
	if (p && p->after_len)
		memcpy(t->around + p->before_len, p->after, p->after_len * sizeof(*t->around));
	if (!p && t->add_bos)
		t->around[0] = t->bos;
	if (!p && t->add_eos)
		t->around[t->before_len] = t->eos;
	t->add_bos = t->before_len && t->bos >= 0 && t->around[0] == t->bos;
	t->add_eos = t->after_len && t->eos >= 0 && t->around[t->before_len + t->after_len - 1] == t->eos;
	return SK_OK;
}

static sk_status ids_take(struct sk_text *t, const struct sk_text_src *src, const struct sk_pretok_rule *rule, struct sk_err *err)
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
		st = id_check(ids[i].what, src->pipe != NULL, ids[i].id, src->vocab, ids[i].ret_id, err);
		if (st < 0)
			return st;
	}
	if (src->pipe) {
		for (i = 0; i < src->ends_len; i++)
			if (src->ends[i] >= 0 && src->ends[i] < t->vocab)
				t->flags[src->ends[i]] |= SK_TF_EOS;
		if (!src->ends_len && t->eos >= 0)
			t->flags[t->eos] |= SK_TF_EOS;
		return around_take(t, src, err);
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
	t->add_bos = t->bos >= 0 && (src->add_bos < 0 ? rule->add_bos : src->add_bos > 0);
	t->add_eos = t->eos >= 0 && src->add_eos > 0;
	return around_take(t, src, err);
}

/*
 * The bytes that a token's letters of the alphabet stand for; a token outside the alphabet (an added one with a space, say)
 * stands for its own.
 */
static size_t piece_bytes(struct sk_str token, char out[SK_TEXT_PIECE_MAX])
{
	struct sk_piece p = { token.s, token.len, NULL, 0 };
	size_t i, n = 0, size;
	uint32_t cp;
	int b;

	for (i = 0; i < token.len; i += size) {
		if ((unsigned char)token.s[i] >= 0x80 && (token.len - i < 2 || (unsigned char)token.s[i] < 0xc2 ||
		    (unsigned char)token.s[i] > 0xc5 || (token.s[i + 1] & 0xc0) != 0x80))
			break;          /* the alphabet ends at U+0143: two bytes at most */
		size = sk_piece_char(&p, i, &cp);
		b = sk_letter_byte(cp);
		if (b < 0)
			break;
		out[n++] = (char)b;
	}
	if (i == token.len)
		return n;
	memcpy(out, token.s, token.len);
	return token.len;
}

/*
 * An added token that is looked for in normalised text is decoded as it was normalised: that is what the reference keeps of it.
 * Such strings, by id; the caller frees the list and text of each.
 */
static sk_status shown_make(const struct sk_text *t, const struct sk_text_src *src, struct sk_str **ret_list, struct sk_err *err)
{
	struct sk_normal room[2] = { SK_NORMAL, SK_NORMAL };
	const struct sk_added *a = src->pipe ? src->pipe->added : NULL;
	size_t len = a && t->normal.len ? src->pipe->added_len : 0, i;
	struct sk_piece p;
	sk_status st = SK_OK;
	char *copy;

	for (i = 0; i < len && st == SK_OK; i++) {
		p = (struct sk_piece){ a[i].text.s, a[i].text.len, NULL, 0 };
		if (!a[i].normalized || !p.len)
			continue;
		st = sk_normalize(&t->normal, &p, room, &p, err);
		if (st < 0 || (p.len == a[i].text.len && !memcmp(p.s, a[i].text.s, p.len)))
			continue;
		if (!*ret_list)
			*ret_list = calloc(src->vocab, sizeof(**ret_list));
		copy = malloc(p.len + 1);
		if (!*ret_list || !copy || p.len > SK_TEXT_PIECE_MAX) {
			free(copy);
			st = sk_fail(err, SK_ENOMEM, "no memory for added tokens");
			break;
		}
		if (p.len)
			memcpy(copy, p.s, p.len);
		free((char *)(uintptr_t)(*ret_list)[a[i].id].s);
		(*ret_list)[a[i].id] = (struct sk_str){ copy, p.len };
	}
	sk_normal_fini(&room[0]);
	sk_normal_fini(&room[1]);
	return st;
}

static void shown_free(struct sk_str *list, size_t len)
{
	size_t i;

	for (i = 0; list && i < len; i++)
		free((char *)(uintptr_t)list[i].s);
	free(list);
}

/* Pieces and flags. shown: strings that stand for the file's; NULL: none. */
static sk_status pieces_take(struct sk_text *t, const struct sk_text_src *src, const struct sk_str *shown, struct sk_err *err)
{
	struct sk_buf b = SK_BUF(0);
	size_t total = 0, i, len;
	char place[SK_TEXT_PIECE_MAX];
	struct sk_str token;
	sk_status st;

	for (i = 0; i < src->vocab; i++)
		total += src->tokens[i].len;
	if (total > INT32_MAX)
		return sk_fail(err, SK_ETOOBIG, "%s: %zu bytes of text, the limit is %d", src->tokens_name, total,
			       INT32_MAX);
	/* Decoders may make much of a token; all texts together are still some times the file's. */
	sk_buf_init(&b, total < INT32_MAX / 64 ? DECODED_MAX + 32 * total : (size_t)INT32_MAX);
	t->at = malloc((src->vocab + 1) * sizeof(*t->at));
	t->flags = calloc(src->vocab, 1);
	if (!t->at || !t->flags || sk_buf_reserve(&b, total + 1) < 0) {
		sk_buf_fini(&b);
		return sk_fail(err, SK_ENOMEM, "no memory for %zu tokens", src->vocab);
	}
	for (i = 0; i < src->vocab; i++) {
		token = shown && shown[i].s ? shown[i] : src->tokens[i];
		t->at[i] = (uint32_t)b.len;
		if (!token.s)
			t->flags[i] = SK_TF_HOLE;
		else if (t->raw_pieces)
			sk_buf_add(&b, place, piece_bytes(token, place));
		else
			sk_decoder_piece(&t->decoder, token.s, token.len, &b);
		len = b.len - t->at[i];
		if (!t->raw)
			len = src->tokens[i].len;
		if (len > t->piece_max)
			t->piece_max = (uint32_t)len;
	}
	t->at[src->vocab] = (uint32_t)b.len;
	if (b.failed < 0) {
		st = b.failed;
		sk_buf_fini(&b);
		return sk_fail(err, st, "%s: the tokens' text takes more than %zu bytes, or there is no memory", src->tokens_name, b.max);
	}
	sk_buf_str(&b);
	t->bytes = b.data;
	if (!t->piece_max)
		t->piece_max = 1;
	t->text_max = t->piece_max;
	t->mem_bytes += t->at[src->vocab] + 1u + (src->vocab + 1) * sizeof(*t->at) + src->vocab;
	return SK_OK;
}

static sk_status added_put(struct sk_text *t, const struct sk_added *a, const struct sk_text_src *src, struct sk_err *err)
{
	struct sk_normal room[2] = { SK_NORMAL, SK_NORMAL };
	struct sk_trie *trie = a->normalized || a->as_is ? &t->added_normal : &t->added;
	struct sk_piece p = { a->text.s, a->text.len, NULL, 0 };
	sk_status st = SK_OK;
	uint32_t node = 0;
	size_t j;

	if (a->text.len > SK_TEXT_ADDED_MAX)
		return sk_fail(err, SK_ETOOBIG, "%s: added token %d has %zu bytes, the limit is %u", src->tokens_name, a->id,
			       a->text.len, SK_TEXT_ADDED_MAX);
	if (a->normalized)
		st = sk_normalize(&t->normal, &p, room, &p, err);
	/* Of equal ones the first counts. */
	for (j = 0; st == SK_OK && j < p.len && trie->len && (node = sk_trie_step(trie, node, (uint8_t)p.s[j])); j++)
		;
	if (st == SK_OK && p.len && !(trie->len && j == p.len && node && trie->nodes[node].value >= 0)) {
		if (sk_trie_add(trie, p.s, p.len, a->id) < 0)
			st = sk_fail(err, SK_ENOMEM, "no memory for added tokens");
		else
			t->added_first[trie == &t->added_normal][(uint8_t)p.s[0]] = true;
	}
	/* An added token stands for its text in the file; its piece is shorter where that has the alphabet's letters. */
	if (a->text.len > t->text_max)
		t->text_max = (uint32_t)a->text.len;
	for (j = 1; j < a->text.len; j++)
		t->added_cut = t->added_cut || sk_text_is_cut(a->text.s, j);
	sk_normal_fini(&room[0]);
	sk_normal_fini(&room[1]);
	return st;
}

static void added_flags(struct sk_text *t, const struct sk_added *a)
{
	t->flags[a->id] |= SK_TF_ADDED | (a->special ? SK_TF_SPECIAL : 0) | (a->lstrip ? SK_TF_LSTRIP : 0) |
			   (a->rstrip ? SK_TF_RSTRIP : 0) | (a->single_word ? SK_TF_WORD : 0);
}

/* Of a tokenizer.json: the special ones first, which matters only where two are equal. */
static sk_status pipe_added_take(struct sk_text *t, const struct sk_text_src *src, struct sk_err *err)
{
	const struct sk_added *a = src->pipe->added;
	sk_status st = SK_OK;
	bool strips = false;
	size_t i, round;

	for (round = 0; round < 2; round++)
		for (i = 0; i < src->pipe->added_len && st == SK_OK; i++) {
			if (a[i].special != !round || !a[i].text.len)
				continue;
			if (SK_BUG_IF(a[i].id < 0 || a[i].id >= t->vocab))
				return SK_EBUG;
			added_flags(t, &a[i]);
			strips = strips || a[i].lstrip || a[i].rstrip;
			st = added_put(t, &a[i], src, err);
		}
	if (strips) {
		t->added_cut = true;
		t->text_max = 0;
	}
	return st;
}

/* Added tokens are found by their text in the file, which is what a person writes. */
static sk_status added_take(struct sk_text *t, const struct sk_text_src *src, struct sk_err *err)
{
	struct sk_added a = { .id = 0 };
	sk_status st = SK_OK;
	size_t i;

	if (src->pipe)
		return pipe_added_take(t, src, err);
	for (i = 0; src->types && i < src->vocab && st == SK_OK; i++) {
		a.special = src->types[i] == SK_TOKEN_CONTROL || src->types[i] == SK_TOKEN_UNKNOWN;
		if (!a.special && src->types[i] != SK_TOKEN_USER)
			continue;
		a.id = (int32_t)i;
		a.text = src->tokens[i];
		added_flags(t, &a);
		if (a.text.len)
			st = added_put(t, &a, src, err);
	}
	return st;
}

static sk_status template_take(struct sk_text *t, struct sk_str from, char **ret_s, struct sk_err *err)
{
	if (!from.s)
		return SK_OK;
	*ret_s = malloc(from.len + 1);
	if (!*ret_s)
		return sk_fail(err, SK_ENOMEM, "no memory for the chat template");
	memcpy(*ret_s, from.s, from.len);
	(*ret_s)[from.len] = '\0';
	t->mem_bytes += from.len + 1;
	return SK_OK;
}

/* The words of a row of pretok.c, as one step. */
static sk_status rule_take(struct sk_text *t, const struct sk_pretok_rule *rule, struct sk_err *err)
{
	struct sk_stage *step;
	sk_status st;

	snprintf(t->pre_name, sizeof(t->pre_name), "%.*s", (int)strcspn(rule->names, " "), rule->names);
	st = sk_stages_add(&t->steps, &sk_pretokenizer_rule, &step, err);
	if (st == SK_OK)
		st = sk_pretok_open(rule, &step->pretok, err);
	if (st == SK_OK && rule->nfc)
		st = sk_stages_add(&t->normal, &sk_normalizer_nfc, &step, err);
	t->composes = rule->nfc;
	t->raw = t->raw_pieces = true;
	return st;
}

/* Whether every byte has its letter among the tokens. */
static bool letters_all(const struct sk_text_src *src)
{
	bool has[256] = { false };
	struct sk_piece p;
	size_t i, n = 0;
	uint32_t cp;
	int b;

	for (i = 0; i < src->vocab; i++) {
		p = (struct sk_piece){ src->tokens[i].s, src->tokens[i].len, NULL, 0 };
		if (!p.s || !p.len || p.len > 2 || sk_piece_char(&p, 0, &cp) != p.len)
			continue;
		b = sk_letter_byte(cp);
		n += b >= 0 && !has[b];
		if (b >= 0)
			has[b] = true;
	}
	return n == 256;
}

/*
 * Where ByteLevel is the last step and BPE the model, words stay bytes and are never written in the alphabet. Not where a
 * letter that is no token, a prefix or a suffix would make a difference.
 */
static void raw_choose(struct sk_text *t, const struct sk_text_src *src)
{
	struct sk_stage *last = t->steps.len ? &t->steps.v[t->steps.len - 1] : NULL;
	bool prefix = false;

	t->raw_pieces = t->decoder.len == 1 && t->decoder.v[0].op == &sk_decoder_bytes;
	t->raw = last && sk_pre_is_bytes(last, &prefix) && !strcmp(t->kind->name, "bpe") && !src->prefix.len && !src->suffix.len &&
		 (letters_all(src) || (src->unk < 0 && !src->byte_fallback)) && t->raw_pieces;
	if (t->raw)
		sk_pre_bytes_raw(last, true);
}

static sk_status pipe_take(struct sk_text *t, const struct sk_text_src *src, struct sk_err *err)
{
	struct sk_text_pipe *p = src->pipe;
	bool known = true, prefix = false, one;
	size_t i;

	t->normal = p->normal;
	t->steps = p->pre;
	t->decoder = p->decoder;
	p->normal = p->pre = p->decoder = (struct sk_stages){ NULL, 0 };
	t->trim = p->trim;
	t->trim_prefix = p->trim_prefix;
	if (t->steps.len)
		snprintf(t->pre_name, sizeof(t->pre_name), "%s", ((const struct sk_pretokenizer_op *)t->steps.v[t->steps.len - 1].op)->type);
	raw_choose(t, src);
	for (i = 0; i < t->steps.len; i++) {
		known = known && sk_pre_is_known(&t->steps.v[i]);
		prefix = (sk_pre_is_bytes(&t->steps.v[i], &one) && one) || prefix;
	}
	t->composes = t->normal.len == 1 && t->normal.v[0].op == &sk_normalizer_nfc;
	t->added_cut = !t->raw || !known || prefix || (t->normal.len && !t->composes);
	return sk_decoder_check(&t->decoder, err);
}

/* Whether no step makes text shorter, but for composing; so that bytes of text say something about the number of tokens. */
static bool keeps_bytes(const struct sk_text *t)
{
	size_t i;

	for (i = 0; i < t->normal.len; i++) {
		const struct sk_stage *s = &t->normal.v[i];
		bool grows = s->op == &sk_normalizer_prepend || (s->op == &sk_normalizer_replace && !s->re && s->b_len >= s->a_len);

		if (!grows && !(t->raw && t->composes))
			return false;
	}
	for (i = 0; i < t->steps.len && !t->raw; i++)
		if (t->steps.v[i].op != &sk_pretokenizer_metaspace)
			return false;
	for (i = 0; i < t->steps.len && t->raw; i++)
		if (!sk_pre_is_known(&t->steps.v[i]))
			return false;
	return true;
}

static sk_status parts_take(struct sk_text *t, struct sk_text_src *src, struct sk_err *err)
{
	const struct sk_pretok_rule *rule = src->pipe ? NULL : sk_pretok_find(src->pre.s, src->pre.len);
	struct sk_str *shown = NULL;
	char known[400];
	sk_status st;

	t->kind = kind_find(src->kind, src->pipe != NULL);
	if (!t->kind)
		return sk_fail(err, SK_ENOTSUP, "%s \"%.*s\" is not supported, only %s%s", src->pipe ? "the model" : "tokenizer.ggml.model",
			       shown_len(src->kind), src->kind.s, src->pipe ? "" : "llama, t5, ",
			       known_kinds(src->pipe != NULL, known, sizeof(known)));
	if (!src->pipe && !rule)
		return sk_fail(err, SK_ENOTSUP, "tokenizer.ggml.pre \"%.*s\" is not known; known are %s", shown_len(src->pre), src->pre.s,
			       known_pre(known, sizeof(known)));
	st = rule ? rule_take(t, rule, err) : pipe_take(t, src, err);
	if (rule)
		src->ignore_merges = rule->ignore_merges;
	if (st == SK_OK)
		st = shown_make(t, src, &shown, err);
	if (st == SK_OK)
		st = pieces_take(t, src, shown, err);
	shown_free(shown, src->vocab);
	if (st == SK_OK)
		st = added_take(t, src, err);
	if (src->pipe && !keeps_bytes(t))
		t->text_max = 0;
	if (st == SK_OK)
		st = ids_take(t, src, rule, err);
	if (st == SK_OK)
		st = template_take(t, src->chat_template, &t->chat_template, err);
	if (st == SK_OK)
		st = template_take(t, src->tool_template, &t->tool_template, err);
	if (st == SK_OK)
		st = t->kind->open(t, src, err);
	t->mem_bytes += (t->added.cap + t->added_normal.cap) * sizeof(*t->added.nodes);
	return st;
}

sk_status sk_text_open(const struct sk_text_src *given, struct sk_text **ret_t, struct sk_err *err)
{
	struct sk_text_src src = *given;
	struct sk_text *t = calloc(1, sizeof(*t));
	sk_status st;

	if (!src.tokens_name)
		src.tokens_name = "tokenizer.ggml.tokens";
	if (!src.merges_name)
		src.merges_name = "tokenizer.ggml.merges";
	st = t ? src_check(&src, err) : sk_fail(err, SK_ENOMEM, "no memory for the tokenizer");
	if (st == SK_OK) {
		t->mem_bytes = sizeof(*t);
		t->vocab = (int32_t)src.vocab;
		st = parts_take(t, &src, err);
	}
	if (src.pipe) {
		sk_stages_fini(&src.pipe->normal);
		sk_stages_fini(&src.pipe->pre);
		sk_stages_fini(&src.pipe->decoder);
	}
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
	sk_trie_fini(&t->added_normal);
	sk_stages_fini(&t->normal);
	sk_stages_fini(&t->steps);
	sk_stages_fini(&t->decoder);
	free(t->around);
	free(t->bytes);
	free(t->at);
	free(t->flags);
	free(t->chat_template);
	free(t->tool_template);
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

const char *sk_text_tool_template(const struct sk_text *t)
{
	return t->tool_template;
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
