/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The messages as transformers hands them to a template: members that are null left out, reasoning under all its names; and the
 * last message continued by a mark that is looked for in the rendering.
 */
#include "engine/text/chat.h"

#include <stdlib.h>
#include <string.h>

#include "engine/base/jpull.h"
#include "engine/base/log.h"
#include "engine/base/map.h"
#include "engine/text/jinja.h"
#include "engine/text/jread.h"

#define JSON_MAX ((size_t)64 << 20)
#define KWARGS_MAX 64
#define VARS_MAX (KWARGS_MAX + 16)
#define MARK "CONTINUE_FINAL_MESSAGE_TAG "      /* transformers' own: a template may look at a text's end */

struct sk_chat_maker {
	struct sk_jinja *plain, *tools;         /* tools NULL: the plain one serves */
	struct sk_err err;                      /* why there is no plain one */
	struct sk_arena arena;
	struct sk_jinja_var special[4];
	size_t special_len;
};

/* ---- opening ------------------------------------------------------------------------------------------------ */

static void parse(struct sk_chat_maker *m, const char *what, const char *s, size_t len, struct sk_jinja **ret_t)
{
	struct sk_err err = { 0 };

	if (sk_jinja_open(s, len, ret_t, &err) == SK_OK)
		return;
	sk_log(SK_LOG_WARN, "the chat template %scannot be read: %s", what, err.text);
	if (ret_t == &m->plain)
		m->err = err;
}

/* "chat_template": a string, or a list of named ones. */
static void parse_config(struct sk_chat_maker *m, const struct sk_jread *j, const char *root)
{
	const char *v = sk_jread_find(root, "chat_template"), *item;
	struct sk_str s = sk_jread_str(j, v);
	struct sk_jiter it = sk_jread_iter(v, '[');

	if (s.s)
		parse(m, "", s.s, s.len, &m->plain);
	while (sk_jread_item(&it, &item)) {
		struct sk_str name = sk_jread_str(j, sk_jread_find(item, "name"));

		s = sk_jread_str(j, sk_jread_find(item, "template"));
		if (s.s && sk_str_is(name, "default") && !m->plain)
			parse(m, "", s.s, s.len, &m->plain);
		else if (s.s && sk_str_is(name, "tool_use") && !m->tools)
			parse(m, "tool_use ", s.s, s.len, &m->tools);
	}
}

static sk_status parse_files(struct sk_chat_maker *m, const char *file, const char *config, struct sk_err *err)
{
	bool is_config = !file || !*file;
	struct sk_map map;
	sk_status st = sk_map_open(&map, is_config ? config : file, err);

	if (st < 0)
		return st;
	if (is_config) {
		struct sk_jread j = { (const char *)map.data, map.len, &m->arena };
		const char *root;

		st = sk_jread_check(&j, config, &root, err);
		if (st >= 0) {
			parse_config(m, &j, root);
			if (!m->plain && !m->err.text[0])
				st = sk_fail(err, SK_EFORMAT, "%s has no chat_template", config);
		}
	} else {
		parse(m, "", (const char *)map.data, map.len, &m->plain);
	}
	sk_map_fini(&map);
	return st;
}

static void special(struct sk_chat_maker *m, const struct sk_text *t, const char *name, int32_t id)
{
	size_t len;
	const char *s;

	if (id < 0)
		return;
	s = sk_text_piece(t, id, &len);
	m->special[m->special_len++] = (struct sk_jinja_var){ name, s, len, true };
}

sk_status sk_chat_open(const struct sk_text *t, const char *file, const char *config, struct sk_chat_maker **ret_m, struct sk_err *err)
{
	struct sk_chat_maker *m = calloc(1, sizeof *m);
	const char *own = sk_text_chat_template(t), *own_tools = sk_text_tool_template(t);
	struct sk_text_info ti;
	sk_status st = SK_OK;

	if (!m)
		return sk_fail(err, SK_ENOMEM, "out of memory");
	if ((file && *file) || (config && *config)) {
		st = parse_files(m, file, config, err);
	} else {
		if (own)
			parse(m, "", own, strlen(own), &m->plain);
		if (own_tools)
			parse(m, "tool_use ", own_tools, strlen(own_tools), &m->tools);
	}
	if (st < 0) {
		sk_chat_close(&m);
		return st;
	}
	sk_text_info(t, &ti);
	special(m, t, "bos_token", ti.bos);
	special(m, t, "eos_token", ti.eos);
	special(m, t, "unk_token", ti.unk);
	special(m, t, "pad_token", ti.pad);
	*ret_m = m;
	return SK_OK;
}

void sk_chat_close(struct sk_chat_maker **m)
{
	if (!*m)
		return;
	sk_jinja_close(&(*m)->plain);
	sk_jinja_close(&(*m)->tools);
	sk_arena_fini(&(*m)->arena);
	free(*m);
	*m = NULL;
}

bool sk_chat_has(const struct sk_chat_maker *m)
{
	return m->plain != NULL;
}

/* ---- messages ----------------------------------------------------------------------------------------------- */

/* A value of JSON as it stands in the text. */
struct slice { size_t from, to; bool null; };

static struct slice take(struct sk_jpull *r)
{
	struct slice v;

	v.null = sk_jpull_peek(r) == SK_JPULL_NULL;
	v.from = r->at;
	sk_jpull_skip(r);
	v.to = r->at;
	return v;
}

/* Where the text of a content ends, before its closing quote; 0: it has none. */
static size_t content_end(struct sk_jpull *r)
{
	size_t end = 0;
	struct sk_str s;

	if (sk_jpull_peek(r) == SK_JPULL_STRING)
		return sk_jpull_str(r, &s) ? r->at - 1 : 0;
	if (sk_jpull_peek(r) != SK_JPULL_ARRAY) {
		sk_jpull_skip(r);
		return 0;
	}
	sk_jpull_enter(r, SK_JPULL_ARRAY);
	while (sk_jpull_item(r)) {
		if (sk_jpull_peek(r) != SK_JPULL_OBJECT) {
			sk_jpull_skip(r);
			continue;
		}
		sk_jpull_enter(r, SK_JPULL_OBJECT);
		while (sk_jpull_key(r, &s)) {
			bool text = s.len == 4 && !memcmp(s.s, "text", 4) && sk_jpull_peek(r) == SK_JPULL_STRING;

			sk_jpull_skip(r);
			if (text)
				end = r->at - 1;
		}
	}
	return end;
}

static void add_member(struct sk_buf *b, struct sk_str key, const char *s, struct slice v, size_t mark)
{
	sk_buf_adds(b, b->data[b->len - 1] == '{' ? "\"" : ",\"");
	sk_buf_add_json(b, key.s, key.len);
	sk_buf_adds(b, "\":");
	if (mark) {
		sk_buf_add(b, s + v.from, mark - v.from);
		sk_buf_adds(b, MARK);
		v.from = mark;
	}
	sk_buf_add(b, s + v.from, v.to - v.from);
}

static const struct sk_str reasons[3] = { { "reasoning_content", 17 }, { "thinking", 8 }, { "reasoning", 9 } };

/* One message, from its '{' at r->at. continued: the mark goes behind its text. */
static void add_message(struct sk_jpull *r, struct sk_buf *b, bool continued, sk_status *st, struct sk_err *err)
{
	struct sk_jpull look = *r;
	struct slice why = { .null = true };
	struct sk_str key;
	size_t end = 0;
	int best = 3;                   /* which name the reasoning has; the first counts */

	/* First the reasoning, since it goes in front. */
	sk_jpull_enter(&look, SK_JPULL_OBJECT);
	while (sk_jpull_key(&look, &key)) {
		struct sk_jpull at = look;
		struct slice v = take(&look);

		for (int i = 0; i < best && !v.null; i++) {
			if (key.len == reasons[i].len && !memcmp(key.s, reasons[i].s, key.len)) {
				why = v;
				best = i;
			}
		}
		if (continued && key.len == 7 && !memcmp(key.s, "content", 7))
			end = content_end(&at);
	}
	if (continued && !end && look.status == SK_OK) {
		*st = sk_fail(err, SK_EINVAL, "the last message has no text that could be continued");
		return;
	}
	sk_buf_addc(b, '{');
	if (!why.null)
		add_member(b, reasons[1], r->s, why, 0);
	sk_jpull_enter(r, SK_JPULL_OBJECT);
	while (sk_jpull_key(r, &key) && !b->failed) {
		struct slice v = take(r);
		bool content = continued && key.len == 7 && !memcmp(key.s, "content", 7);

		if (!v.null)
			add_member(b, key, r->s, v, content ? end : 0);
	}
	if (!why.null && !b->failed)
		add_member(b, reasons[0], r->s, why, 0);
	sk_buf_addc(b, '}');
}

static sk_status add_messages(const struct sk_chat_params *p, struct sk_arena *a, struct sk_buf *b, struct sk_err *err)
{
	struct sk_jpull count, r;
	size_t n = 0, i = 0;
	sk_status st = SK_OK;

	sk_jpull_init(&count, p->messages, p->messages_len, "messages", a, err);
	sk_jpull_enter(&count, SK_JPULL_ARRAY);
	while (sk_jpull_item(&count)) {
		if (sk_jpull_peek(&count) != SK_JPULL_OBJECT && count.status == SK_OK)
			return sk_fail(err, SK_EINVAL, "messages[%zu] is no object", n);
		sk_jpull_skip(&count);
		n++;
	}
	if (sk_jpull_end(&count) < 0)
		return count.status;
	if (!n)
		return sk_fail(err, SK_EINVAL, "`messages` cannot be empty");
	sk_jpull_init(&r, p->messages, p->messages_len, "messages", a, err);
	sk_jpull_enter(&r, SK_JPULL_ARRAY);
	sk_buf_addc(b, '[');
	while (st == SK_OK && sk_jpull_item(&r)) {
		if (i)
			sk_buf_addc(b, ',');
		add_message(&r, b, p->continue_last && i + 1 == n, &st, err);
		i++;
	}
	sk_buf_addc(b, ']');
	if (st == SK_OK && b->failed)
		st = sk_fail(err, b->failed, "the messages are too long");
	return st;
}

/* ---- rendering ---------------------------------------------------------------------------------------------- */

static sk_status add_kwargs(const struct sk_chat_params *p, struct sk_arena *a, struct sk_jinja_var *vars, size_t *io_len, struct sk_err *err)
{
	struct sk_jpull r;
	struct sk_str key;
	size_t n = 0;

	if (!p->kwargs)
		return SK_OK;
	sk_jpull_init(&r, p->kwargs, p->kwargs_len, "chat_template_kwargs", a, err);
	sk_jpull_enter(&r, SK_JPULL_OBJECT);
	while (sk_jpull_key(&r, &key)) {
		struct slice v = take(&r);
		char *name = sk_arena_strndup(a, key.s, key.len);

		if (++n > KWARGS_MAX)
			return sk_fail(err, SK_EINVAL, "`chat_template_kwargs` has at most %d members", KWARGS_MAX);
		if (!name)
			return sk_fail(err, SK_ENOMEM, "out of memory");
		vars[(*io_len)++] = (struct sk_jinja_var){ name, r.s + v.from, v.to - v.from, false };
	}
	return sk_jpull_end(&r);
}

static size_t add_json(struct sk_jinja_var *vars, size_t n, const char *name, const char *s, size_t len)
{
	vars[n] = (struct sk_jinja_var){ name, s ? s : "null", s ? len : 4, false };
	return n + 1;
}

/* Cut the rendering at the mark. Where the template has trimmed the text, the mark's blank is gone, and so is what is before it. */
static sk_status cut_at_mark(struct sk_buf *out, size_t from, struct sk_err *err)
{
	size_t bare = sizeof MARK - 2, at = out->len;

	while (at > from && (out->len - at < bare || memcmp(out->data + at, MARK, bare)))
		at--;
	if (out->len - at < bare || memcmp(out->data + at, MARK, bare))
		return sk_fail(err, SK_EINVAL, "the chat template leaves the last message out, so it cannot be continued");
	if (out->len - at > bare && out->data[at + bare] == ' ') {
		out->len = at;
		return SK_OK;
	}
	while (at > from && strchr(" \t\n\r\f\v", out->data[at - 1]) && out->data[at - 1])
		at--;
	out->len = at;
	return SK_OK;
}

static sk_status render(const struct sk_chat_maker *m, const struct sk_chat_params *p, struct sk_arena *a, struct sk_buf *messages,
			struct sk_buf *out, struct sk_err *err)
{
	struct sk_jinja_var vars[VARS_MAX];
	size_t n = 0, from = out->len;
	sk_status st = add_messages(p, a, messages, err);

	if (st == SK_OK)
		st = add_kwargs(p, a, vars, &n, err);
	if (st < 0)
		return st;
	memcpy(vars + n, m->special, m->special_len * sizeof *vars);
	n += m->special_len;
	n = add_json(vars, n, "messages", messages->data, messages->len);
	n = add_json(vars, n, "tools", p->tools, p->tools_len);
	n = add_json(vars, n, "documents", p->documents, p->documents_len);
	n = add_json(vars, n, "add_generation_prompt", p->no_generation_prompt || p->continue_last ? "false" : "true",
		     p->no_generation_prompt || p->continue_last ? 5 : 4);
	st = sk_jinja_render(p->tools && m->tools ? m->tools : m->plain, vars, n, NULL, out, err);
	return st == SK_OK && p->continue_last ? cut_at_mark(out, from, err) : st;
}

sk_status sk_chat_render(const struct sk_chat_maker *m, const struct sk_chat_params *p, struct sk_buf *out, struct sk_err *err)
{
	struct sk_arena a = { 0 };
	struct sk_buf messages = SK_BUF(JSON_MAX);
	size_t before = out->len;
	sk_status st;

	if (!m->plain)
		return sk_fail(err, SK_EINVAL, "%s", m->err.text[0] ? m->err.text : "the model has no chat template");
	sk_arena_init(&a, JSON_MAX);
	st = render(m, p, &a, &messages, out, err);
	if (st < 0)
		out->len = before;
	sk_buf_fini(&messages);
	sk_arena_fini(&a);
	return st;
}
