/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The tokenizer with any text and with any metadata. The first byte says which:
 *
 *	0..127    encode and decode the rest with a fixed small vocabulary and pre-tokeniser number (byte % rules), and feed
 *	          what comes out to stop strings
 *	128..     the rest is a vocabulary: lines "T token", "C control", "U user", "M merge", "I ids"; what is accepted is used
 *	'G'       ("GGUF": a whole file) a GGUF, through sk_text_open_gguf
 *	'{'       a tokenizer.json, through sk_text_open_dir
 *	"S:"      a SentencePiece model behind it, through the same
 *	"P:"      vocab.json, a NUL, merges.txt, a NUL, tokenizer_config.json
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "engine/base/utf8.h"
#include "engine/text/kind.h"
#include "tests/fuzz/text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

/* ---- the fixed vocabularies ------------------------------------------------------------------------------------------------ */

#define LETTERS 256
#define EXTRA 64

struct vocab {
	struct sk_str token[LETTERS + EXTRA], merge[EXTRA];
	uint8_t type[LETTERS + EXTRA];
	char letter[LETTERS][4];
	struct sk_text_src src;
};

static void letters_make(struct vocab *v)
{
	uint32_t next = 256, cp;

	for (uint32_t b = 0; b < LETTERS; b++) {
		cp = (b > 32 && b < 127) || (b > 160 && b != 173) ? b : next++;
		v->token[b] = (struct sk_str){ v->letter[b], sk_utf8_put(v->letter[b], cp) };
		v->type[b] = SK_TOKEN_NORMAL;
	}
	v->src = (struct sk_text_src){ .kind = { "gpt2", 4 }, .tokens = v->token, .types = v->type, .vocab = LETTERS,
				       .merges = v->merge, .bos = 0, .eos = 1, .eot = -1, .eom = -1, .unk = -1, .pad = -1 };
}

static const struct { const char *left, *right; } merges[] = {
	{ "a", "b" }, { "ab", "c" }, { "b", "c" }, { "a", "a" }, { "aa", "aa" }, { "\xc4\xa0", "a" }, { "\xc4\xa0", "\xc4\xa0" },
	{ "t", "h" }, { "th", "e" }, { "\xc4\xa0", "the" }, { "\xc3\xa3", "\xc4\xa3" }, { "1", "2" }, { "\xc4\x8a", "\xc4\x8a" },
};
static const char *const added[] = { "<|end|>", "<|start|>", "<|end|>x", "the end", "aaaaaaab", "\xe4\xb8\x96" };

static struct sk_text *fixed_open(const struct sk_pretok_rule *rule)
{
	static char joined[EXTRA][16], text[EXTRA][16];
	struct sk_text *t = NULL;
	struct sk_err err;
	struct vocab *v = calloc(1, sizeof(*v));
	size_t i, j;

	MUST(v);
	letters_make(v);
	for (i = 0; i < sizeof(merges) / sizeof(merges[0]); i++) {
		snprintf(joined[i], sizeof(joined[i]), "%s%s", merges[i].left, merges[i].right);
		snprintf(text[i], sizeof(text[i]), "%s %s", merges[i].left, merges[i].right);
		v->merge[v->src.merges_len++] = (struct sk_str){ text[i], strlen(text[i]) };
		v->type[v->src.vocab] = SK_TOKEN_NORMAL;
		v->token[v->src.vocab++] = (struct sk_str){ joined[i], strlen(joined[i]) };
	}
	for (j = 0; j < sizeof(added) / sizeof(added[0]); j++) {
		v->type[v->src.vocab] = j < 3 ? SK_TOKEN_CONTROL : SK_TOKEN_USER;
		v->token[v->src.vocab++] = (struct sk_str){ added[j], strlen(added[j]) };
	}
	v->src.pre = (struct sk_str){ rule->names, strcspn(rule->names, " ") };
	v->src.add_bos = 1;
	if (sk_text_open(&v->src, &t, &err) < 0) {
		fprintf(stderr, "%s\n", err.text);
		abort();
	}
	free(v);
	return t;
}

static void fixed_try(unsigned which, const char *s, size_t len)
{
	static struct sk_text *made[16];
	const struct sk_pretok_rule *rule;
	size_t n = 0;

	while (sk_pretok_at(n) && n < 16)
		n++;
	which %= (unsigned)n;
	rule = sk_pretok_at(which);
	if (!made[which])
		made[which] = fixed_open(rule);
	text_try(made[which], s, len, !rule->nfc);
}

/* ---- any vocabulary ----------------------------------------------------------------------------------------------------------- */

static void lines_try(const char *s, size_t len)
{
	enum { MAX = 2000 };
	struct sk_str *tokens = calloc(MAX, sizeof(*tokens)), *list = calloc(MAX, sizeof(*list));
	uint8_t *types = calloc(MAX, 1);
	struct sk_text_src src = { .kind = { "gpt2", 4 }, .tokens = tokens, .types = types, .merges = list, .bos = -1, .eos = -1,
				   .eot = -1, .eom = -1, .unk = -1, .pad = -1, .add_bos = 1, .add_eos = 1 };
	int64_t *const ids[] = { &src.bos, &src.eos, &src.eot, &src.eom, &src.unk, &src.pad };
	const char *p = s, *end = s + len, *stop;
	struct sk_text *t = NULL;
	struct sk_err err = { .text = "" };
	size_t id = 0;
	sk_status st;

	MUST(tokens && list && types);
	for (; p < end; p = stop + 1) {
		stop = memchr(p, '\n', (size_t)(end - p));
		if (!stop)
			stop = end;
		if (stop - p < 2)
			continue;
		struct sk_str line = { p + 2, (size_t)(stop - p - 2) };

		if (*p == 'M' && src.merges_len < MAX)
			list[src.merges_len++] = line;
		else if (*p == 'P')
			src.pre = line;
		else if (*p == 'I' && id < 6)
			*ids[id++] = line.len ? (int64_t)(signed char)line.s[0] * (line.len > 4 ? 1 << 24 : 1) : -1;
		else if (src.vocab < MAX) {
			types[src.vocab] = *p == 'C' ? SK_TOKEN_CONTROL : *p == 'U' ? SK_TOKEN_USER : SK_TOKEN_NORMAL;
			tokens[src.vocab++] = line;
		}
	}
	st = sk_text_open(&src, &t, &err);
	opened_try(st, &t, &err, s, len);
	free(tokens);
	free(list);
	free(types);
}

static void gguf_try(const uint8_t *data, size_t len)
{
	static int fd = -1;
	static char path[32];
	struct sk_weights *w = NULL;
	struct sk_text *t = NULL;
	struct sk_err err = { .text = "" };
	sk_status st;

	if (fd < 0) {
		fd = memfd_create("fuzz_tokenizer", MFD_CLOEXEC);
		if (fd < 0)
			return;
		snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	}
	if (ftruncate(fd, 0) < 0 || pwrite(fd, data, len, 0) != (ssize_t)len || sk_weights_open(path, &w, &err) < 0)
		return;
	st = sk_text_open_gguf(w, &t, &err);
	sk_weights_close(&w);
	opened_try(st, &t, &err, (const char *)data, len);
}

/* A directory of files; those that are empty are not there. */
static void dir_try(const char *json, size_t json_len, const char *model, size_t model_len, const char *pair, size_t pair_len)
{
	const char *after = pair_len ? memchr(pair, 0, pair_len) : NULL, *config = NULL;
	struct sk_text *t = NULL;
	struct sk_err err = { .text = "" };
	size_t used = after ? (size_t)(after - pair) + 1 : 0;
	sk_status st;

	dir_make();
	if (after)
		config = memchr(pair + used, 0, pair_len - used);
	file_put("tokenizer.json", json, json_len);
	file_put("tokenizer.model", model, model_len);
	file_put("vocab.json", pair, after ? used - 1 : 0);
	file_put("merges.txt", pair + used, after ? config ? (size_t)(config - pair) - used : pair_len - used : 0);
	file_put("tokenizer_config.json", config ? config + 1 : NULL, config ? pair_len - (size_t)(config + 1 - pair) : 0);
	st = sk_text_open_dir(dir, NULL, 0, &t, &err);
	opened_try(st, &t, &err, json_len ? json : model_len ? model : pair, json_len + model_len + pair_len);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	if (!len)
		return 0;
	if (len > 4 && !memcmp(data, "GGUF", 4))
		gguf_try(data, len);
	else if (data[0] == '{')
		dir_try((const char *)data, len, NULL, 0, NULL, 0);
	else if (len > 2 && !memcmp(data, "S:", 2))
		dir_try(NULL, 0, (const char *)data + 2, len - 2, NULL, 0);
	else if (len > 2 && !memcmp(data, "P:", 2))
		dir_try(NULL, 0, NULL, 0, (const char *)data + 2, len - 2);
	else if (data[0] < 128)
		fixed_try(data[0], (const char *)data + 1, len - 1);
	else
		lines_try((const char *)data + 1, len - 1);
	return 0;
}
