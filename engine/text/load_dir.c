/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A tokenizer from a directory, as transformers' AutoTokenizer puts it together: the file with the vocabulary, then what
 * tokenizer_config.json says beside it (special tokens, beginning and end of a text, the chat template).
 */
#include "engine/text/draft.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "engine/base/map.h"

#define PATH_MAX_BYTES 4096
#define SPM_MAX (64u << 20)

/* A JSON file of the directory; text NULL: it is not there. */
struct file { struct sk_map map; struct sk_jread j; const char *root; char path[PATH_MAX_BYTES]; };

struct dir {
	const char *path;
	struct sk_draft d;
	struct file main, config, special, added;
	struct sk_map merges;
	char merges_path[PATH_MAX_BYTES];
	struct sk_str bos, eos, unk, pad;       /* tokens by name */
	struct sk_err *err;
};

static sk_status path_make(const struct dir *x, const char *name, char out[PATH_MAX_BYTES])
{
	int n = snprintf(out, PATH_MAX_BYTES, "%s/%s", x->path, name);

	return n < 0 || n >= PATH_MAX_BYTES ? sk_fail(x->err, SK_ETOOBIG, "the directory's name is too long") : SK_OK;
}

/* Map and check; a file that is not there is no failure. */
static sk_status file_open(struct dir *x, struct file *f, const char *name)
{
	sk_status st = path_make(x, name, f->path);

	f->map.fd = -1;
	if (st < 0 || access(f->path, F_OK) != 0)
		return st;
	st = sk_map_open(&f->map, f->path, x->err);
	if (st < 0) {
		f->map = (struct sk_map){ .fd = -1 };
		return st;
	}
	f->j = (struct sk_jread){ (const char *)f->map.data, f->map.len, &x->d.strings };
	return sk_jread_check(&f->j, f->path, &f->root, x->err);
}

static void file_close(struct file *f)
{
	if (f->map.data)
		sk_map_fini(&f->map);
}

/* ---- tokens by name --------------------------------------------------------------------------------------------------- */

/* A special token is a string, or an object with its content and flags. */
static sk_status special_take(struct dir *x, const struct file *f, const char *v, struct sk_str *ret_name)
{
	struct sk_added a = { .id = -1, .special = true };
	const char *content = sk_jread_kind(v) == '{' ? sk_jread_find(v, "content") : v;
	size_t i;

	a.text = sk_jread_str(&f->j, content);
	if (!a.text.len)
		return SK_OK;
	if (ret_name)
		*ret_name = a.text;
	/* One that the tokenizer has already stays as it is. */
	a.id = sk_draft_find(&x->d, a.text);
	for (i = 0; a.id >= 0 && i < x->d.added_len; i++)
		if (x->d.added[i].id == a.id)
			return SK_OK;
	if (sk_jread_kind(v) == '{') {
		a.lstrip = sk_jread_bool(sk_jread_find(v, "lstrip"), false);
		a.rstrip = sk_jread_bool(sk_jread_find(v, "rstrip"), false);
		a.single_word = sk_jread_bool(sk_jread_find(v, "single_word"), false);
		a.normalized = sk_jread_bool(sk_jread_find(v, "normalized"), false);
	}
	return sk_draft_added(&x->d, a, x->err);
}

static sk_status specials_take(struct dir *x, const struct file *f)
{
	static const char *const lists[] = { "additional_special_tokens", "extra_special_tokens" };
	const struct { const char *key; struct sk_str *name; } keys[] = {
		{ "bos_token", &x->bos }, { "eos_token", &x->eos }, { "unk_token", &x->unk }, { "sep_token", NULL },
		{ "pad_token", &x->pad }, { "cls_token", NULL }, { "mask_token", NULL },
	};
	struct sk_jiter it;
	const char *v, *item;
	sk_status st = SK_OK;
	size_t i;

	for (i = 0; i < sizeof(keys) / sizeof(keys[0]) && st == SK_OK; i++) {
		v = sk_jread_find(f->root, keys[i].key);
		if (v && !(keys[i].name && keys[i].name->s))
			st = special_take(x, f, v, keys[i].name);
	}
	for (i = 0; i < 2 && st == SK_OK; i++) {
		v = sk_jread_find(f->root, lists[i]);
		it = sk_jread_iter(v, sk_jread_kind(v) == '{' ? '{' : '[');
		while (st == SK_OK && (sk_jread_kind(v) == '{' ? sk_jread_member(&f->j, &it, NULL, &item) : sk_jread_item(&it, &item)))
			st = special_take(x, f, item, NULL);
	}
	return st;
}

/* {"id": {"content": ..., flags}}: new ones, and flags of those that are there. */
static sk_status decoder_take(struct dir *x, const char *v)
{
	struct sk_jiter it = sk_jread_iter(v, '{');
	struct sk_str key;
	const char *item;
	char digits[20];
	sk_status st = SK_OK;
	char *end;
	long id;

	while (st == SK_OK && sk_jread_member(&x->config.j, &it, &key, &item)) {
		snprintf(digits, sizeof(digits), "%.*s", (int)(key.len < 19 ? key.len : 19), key.s);
		id = strtol(digits, &end, 10);
		if (!*digits || *end)
			return sk_fail(x->err, SK_EFORMAT, "%s: added_tokens_decoder has \"%s\", which is no id", x->config.path, digits);
		st = sk_load_added(&x->d, &x->config.j, item, id, x->err);
	}
	return st;
}

/* ---- what is around a text ---------------------------------------------------------------------------------------------- */

/* Either of add_bos_token and add_eos_token makes a new template; without both the file's own stays. */
static sk_status around_take(struct dir *x)
{
	const char *bos = sk_jread_find(x->config.root, "add_bos_token"), *eos = sk_jread_find(x->config.root, "add_eos_token");
	int32_t bos_id = sk_draft_find(&x->d, x->bos), eos_id = sk_draft_find(&x->d, x->eos);

	if (!bos && !eos)
		return SK_OK;
	return sk_draft_around(&x->d, &bos_id, sk_jread_bool(bos, false) && bos_id >= 0, &eos_id,
			       sk_jread_bool(eos, false) && eos_id >= 0, x->err);
}

/* ---- chat template ------------------------------------------------------------------------------------------------------ */

#define TEMPLATE_MAX (4u << 20)

static sk_status template_copy(struct dir *x, const char *s, size_t len, bool of_tools)
{
	char **own = of_tools ? &x->d.tool_template : &x->d.template;

	if (len > TEMPLATE_MAX)
		return sk_fail(x->err, SK_ETOOBIG, "the chat template has %zu bytes, the limit is %u", len, TEMPLATE_MAX);
	free(*own);
	*own = malloc(len + 1);
	if (!*own)
		return sk_fail(x->err, SK_ENOMEM, "no memory for the chat template");
	memcpy(*own, s, len);
	(*own)[len] = '\0';
	*(of_tools ? &x->d.src.tool_template : &x->d.src.chat_template) = (struct sk_str){ *own, len };
	return SK_OK;
}

/* A string, or a list of named ones: "default", and "tool_use" where there are tools. */
static sk_status template_value(struct dir *x, const struct file *f, const char *v)
{
	struct sk_jiter it = sk_jread_iter(v, '[');
	struct sk_str s = sk_jread_str(&f->j, v);
	const char *item;
	sk_status st = s.s ? template_copy(x, s.s, s.len, false) : SK_OK;

	while (st == SK_OK && sk_jread_item(&it, &item)) {
		struct sk_str name = sk_jread_str(&f->j, sk_jread_find(item, "name"));

		s = sk_jread_str(&f->j, sk_jread_find(item, "template"));
		if (s.s && (sk_str_is(name, "default") || sk_str_is(name, "tool_use")))
			st = template_copy(x, s.s, s.len, sk_str_is(name, "tool_use"));
	}
	return st;
}

static sk_status template_file(struct dir *x)
{
	char path[PATH_MAX_BYTES];
	struct sk_map map;
	sk_status st = path_make(x, "chat_template.jinja", path);

	if (st < 0 || access(path, F_OK) != 0)
		return st;
	st = sk_map_open(&map, path, x->err);
	if (st < 0)
		return st;
	st = template_copy(x, (const char *)map.data, map.len, false);
	sk_map_fini(&map);
	return st;
}

static sk_status template_take(struct dir *x)
{
	struct file json = { .map = { .fd = -1 } };
	sk_status st = template_value(x, &x->config, sk_jread_find(x->config.root, "chat_template"));

	if (st == SK_OK && !x->d.template) {
		st = file_open(x, &json, "chat_template.json");
		if (st == SK_OK && json.root)
			st = template_value(x, &json, sk_jread_find(json.root, "chat_template"));
		file_close(&json);
	}
	return st < 0 ? st : template_file(x);
}

/* ---- the vocabulary ----------------------------------------------------------------------------------------------------- */

static sk_status json_take(struct dir *x, bool *ret_found)
{
	sk_status st = file_open(x, &x->main, "tokenizer.json");

	*ret_found = x->main.root;
	if (st < 0 || !x->main.root)
		return st;
	x->d.path = x->main.path;
	return sk_load_json(&x->d, &x->main.j, x->main.root, x->err);
}

/* T5's vocabulary ends with a hundred tokens that are in no file, the last one first; and a text ends with eos. */
static sk_status t5_take(struct dir *x)
{
	const char *v = sk_jread_find(x->config.root, "extra_ids");
	int32_t eos = (int32_t)x->d.src.eos;
	struct sk_added a = { .id = -1, .special = true };
	int64_t i, extra = 100;
	sk_status st = SK_OK;

	if (v && (!sk_jread_int(v, &extra) || extra < 0 || extra > 10000))
		return sk_fail(x->err, SK_EFORMAT, "%s: extra_ids is no number from 0 to 10000", x->config.path);
	for (i = extra - 1; i >= 0 && st == SK_OK; i--) {
		a.text.s = sk_arena_take(&x->d.strings, 32);
		if (!a.text.s)
			return sk_fail(x->err, SK_ENOMEM, "no memory for the tokenizer");
		a.text.len = (size_t)snprintf((char *)(uintptr_t)a.text.s, 32, "<extra_id_%d>", (int)i);
		st = sk_draft_added(&x->d, a, x->err);
	}
	return st < 0 ? st : sk_draft_around(&x->d, NULL, 0, &eos, eos >= 0, x->err);
}

static struct sk_str name_of(const struct sk_draft *d, int64_t id)
{
	return id >= 0 ? d->tokens[id] : (struct sk_str){ NULL, 0 };
}

/* A model that says nothing of its ends: Llama's begin with bos, as its tokenizer's class does when no file says otherwise. */
static sk_status spm_take(struct dir *x, const char *name, bool *ret_found)
{
	struct sk_str class = sk_jread_str(&x->config.j, sk_jread_find(x->config.root, "tokenizer_class"));
	struct sk_draft *d = &x->d;
	int32_t bos;
	sk_status st = path_make(x, name, x->main.path);

	*ret_found = false;
	if (st < 0 || access(x->main.path, F_OK) != 0)
		return st;
	*ret_found = true;
	st = sk_map_open(&x->main.map, x->main.path, x->err);
	if (st < 0) {
		x->main.map = (struct sk_map){ .fd = -1 };
		return st;
	}
	d->path = x->main.path;
	if (x->main.map.len > SPM_MAX)
		return sk_fail(x->err, SK_ETOOBIG, "%s has %zu bytes, the limit is %u", d->path, x->main.map.len, SPM_MAX);
	st = sk_load_spm(d, x->main.map.data, x->main.map.len, x->err);
	if (st < 0)
		return st;
	x->bos = name_of(d, d->src.bos);
	x->eos = name_of(d, d->src.eos);
	x->pad = name_of(d, d->src.pad);
	if (sk_str_is(d->src.kind, "BPE")) {
		bos = (int32_t)d->src.bos;
		return sk_draft_around(d, &bos, bos >= 0, NULL, 0, x->err);
	}
	if (sk_str_is(class, "T5Tokenizer") || sk_str_is(class, "T5TokenizerFast") || sk_str_is(class, "MT5Tokenizer") ||
	    (!class.s && !strcmp(name, "spiece.model")))
		return t5_take(x);
	return SK_OK;
}

/* merges.txt: "left right" a line, below a line that begins with "#version". */
static sk_status merges_take(struct dir *x, const char *s, size_t len)
{
	struct sk_draft *d = &x->d;
	const char *end = s + len, *stop, *space;
	size_t lines = 1, n = 0, number = 0;

	for (stop = s; stop < end && (stop = memchr(stop, '\n', (size_t)(end - stop))); stop++)
		lines++;
	if (lines > SK_TEXT_MERGES_MAX)
		return sk_fail(x->err, SK_ETOOBIG, "%s: %zu merges, the limit is %u", x->merges_path, lines, SK_TEXT_MERGES_MAX);
	d->merges = malloc(lines * sizeof(*d->merges));
	d->rights = malloc(lines * sizeof(*d->rights));
	if (!d->merges || !d->rights)
		return sk_fail(x->err, SK_ENOMEM, "no memory for %zu merges", lines);
	for (; s < end; s = stop + 1) {
		stop = memchr(s, '\n', (size_t)(end - s));
		stop = stop ? stop : end;
		len = (size_t)(stop - s);
		len -= len && s[len - 1] == '\r';
		number++;
		if (!len || (len >= 8 && !memcmp(s, "#version", 8)))
			continue;
		space = memchr(s, ' ', len);
		if (!space || memchr(space + 1, ' ', len - (size_t)(space + 1 - s)))
			return sk_fail(x->err, SK_EFORMAT, "%s: line %zu is not two tokens", x->merges_path, number);
		d->merges[n] = (struct sk_str){ s, (size_t)(space - s) };
		d->rights[n++] = (struct sk_str){ space + 1, len - (size_t)(space + 1 - s) };
	}
	d->merges_len = n;
	return SK_OK;
}

static sk_status ids_take(struct dir *x, const struct file *f, bool added)
{
	struct sk_jiter it = sk_jread_iter(f->root, '{');
	struct sk_added a = { .id = -1, .normalized = true };
	const char *value;
	struct sk_str s;
	int64_t id;
	sk_status st = SK_OK;

	while (st == SK_OK && sk_jread_member(&f->j, &it, &s, &value)) {
		if (!sk_jread_int(value, &id) || id < 0 || id >= SK_TEXT_VOCAB_MAX)
			id = -1;
		a.text = s;
		a.id = (int32_t)id;
		if (added && id < 0)
			return sk_fail(x->err, SK_EFORMAT, "%s has a token without an id", f->path);
		st = added ? sk_draft_added(&x->d, a, x->err) : sk_draft_token(&x->d, id, s, false, x->err);
	}
	return st;
}

/* GPT-2's pair of files: byte-level BPE. */
static sk_status pair_take(struct dir *x, bool *ret_found)
{
	static const char decoder[] = "{\"type\":\"ByteLevel\"}";
	static const char plain[] = "{\"type\":\"ByteLevel\",\"add_prefix_space\":false}";
	static const char prefix[] = "{\"type\":\"ByteLevel\",\"add_prefix_space\":true}";
	struct sk_jread none = { "", 0, &x->d.strings };
	bool prefixed = sk_jread_bool(sk_jread_find(x->config.root, "add_prefix_space"), false);
	sk_status st = file_open(x, &x->main, "vocab.json");

	*ret_found = x->main.root;
	if (st < 0 || !x->main.root)
		return st;
	x->d.path = x->main.path;
	st = path_make(x, "merges.txt", x->merges_path);
	if (st == SK_OK)
		st = sk_draft_init(&x->d, x->d.path, sk_jread_count(x->main.root), false, x->err);
	if (st == SK_OK)
		st = ids_take(x, &x->main, false);
	if (st == SK_OK)
		st = sk_map_open(&x->merges, x->merges_path, x->err);
	if (st == SK_OK)
		st = merges_take(x, (const char *)x->merges.data, x->merges.len);
	else
		x->merges = (struct sk_map){ .fd = -1 };
	x->d.src.kind = (struct sk_str){ "BPE", 3 };
	if (st == SK_OK)
		st = sk_pretokenizers_read(&none, prefixed ? prefix : plain, &x->d.pipe.pre, x->err);
	return st < 0 ? st : sk_decoders_read(&none, decoder, &x->d.pipe.decoder, x->err);
}

static sk_status vocab_take(struct dir *x)
{
	bool found = false;
	sk_status st = json_take(x, &found);

	if (st == SK_OK && !found)
		st = spm_take(x, "tokenizer.model", &found);
	if (st == SK_OK && !found)
		st = spm_take(x, "spiece.model", &found);
	if (st == SK_OK && !found)
		st = pair_take(x, &found);
	if (st == SK_OK && !found)
		return sk_fail(x->err, SK_ENOENT, "%s has no tokenizer.json, tokenizer.model, spiece.model, or vocab.json with merges.txt",
			       x->path);
	return st;
}

/* ---- all ---------------------------------------------------------------------------------------------------------------- */

static sk_status beside_take(struct dir *x)
{
	const char *decoder = sk_jread_find(x->config.root, "added_tokens_decoder");
	sk_status st = decoder_take(x, decoder);

	if (st == SK_OK)
		st = specials_take(x, &x->config);
	/* Files of before there was added_tokens_decoder. */
	if (st == SK_OK && !decoder && x->special.root)
		st = specials_take(x, &x->special);
	if (st == SK_OK && !decoder)
		st = file_open(x, &x->added, "added_tokens.json");
	if (st == SK_OK && !decoder && x->added.root)
		st = ids_take(x, &x->added, true);
	if (st == SK_OK)
		st = around_take(x);
	return st < 0 ? st : template_take(x);
}

static sk_status read_all(struct dir *x, const int32_t *eos, size_t eos_len, struct sk_text **ret_t)
{
	struct sk_text_src *src = &x->d.src;
	struct sk_draft *d = &x->d;
	struct sk_err why = { .text = "" };
	sk_status st;

	*src = (struct sk_text_src){ .bos = -1, .eos = -1, .eot = -1, .eom = -1, .unk = -1, .pad = -1, .pipe = &d->pipe };
	st = file_open(x, &x->config, "tokenizer_config.json");
	if (st == SK_OK)
		st = file_open(x, &x->special, "special_tokens_map.json");
	if (st == SK_OK)
		st = vocab_take(x);
	if (st == SK_OK)
		st = beside_take(x);
	if (st < 0)
		return st;
	sk_draft_src(d);
	src->bos = sk_draft_find(d, x->bos);
	src->eos = sk_draft_find(d, x->eos);
	src->pad = sk_draft_find(d, x->pad);
	src->ends = eos;
	src->ends_len = eos_len;
	st = sk_text_open(src, ret_t, &why);
	if (st < 0 && !strstr(why.text, d->path))
		return sk_fail(x->err, st, "%s: %s", d->path, why.text);
	return st < 0 ? sk_fail(x->err, st, "%s", why.text) : SK_OK;
}

sk_status sk_text_open_dir(const char *dir, const int32_t *eos, size_t eos_len, struct sk_text **ret_t, struct sk_err *err)
{
	struct dir *x = calloc(1, sizeof(*x));
	sk_status st;

	if (!x)
		return sk_fail(err, SK_ENOMEM, "no memory for the tokenizer");
	x->path = dir;
	x->err = err;
	st = read_all(x, eos, eos_len, ret_t);
	sk_draft_fini(&x->d);
	file_close(&x->main);
	file_close(&x->config);
	file_close(&x->special);
	file_close(&x->added);
	if (x->merges.data)
		sk_map_fini(&x->merges);
	free(x);
	return st;
}
