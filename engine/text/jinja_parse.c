/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Statements of a template: one parser for each tag, in a table. Opening and closing a template.
 */
#include <stdlib.h>
#include <string.h>

#include "engine/base/utf8.h"
#include "engine/text/jinja_in.h"
#include "engine/text/jinja_template.h"

/* ---- small things ------------------------------------------------------------------------------------------- */

struct sk_jnode *sk_jp_node(struct sk_jp *p, enum sk_jnode_kind kind)
{
	struct sk_jnode *n = sk_j_take(p->j, sizeof *n);

	n->kind = (uint8_t)kind;
	n->line = p->at->line;
	p->j->line = n->line;
	return n;
}

const struct sk_jsym *sk_jp_sym(struct sk_jp *p, const char *s, size_t len)
{
	uint32_t h = 2166136261u;
	struct sk_jsym *sym, **bucket;

	for (size_t i = 0; i < len; i++)
		h = (h ^ (unsigned char)s[i]) * 16777619u;
	bucket = &p->buckets[h % SK_J_BUCKETS];
	for (sym = *bucket; sym; sym = sym->next)
		if (sym->len == len && !memcmp(sym->s, s, len))
			return sym;
	sym = sk_j_take(p->j, sizeof *sym);
	*sym = (struct sk_jsym){ .s = s, .len = (uint32_t)len, .next = *bucket, .global = sk_j_def_find(sk_j_globals, s, len) };
	*bucket = sym;
	return sym;
}

bool sk_jp_is(const struct sk_jp *p, const char *name)
{
	return p->at->kind == SK_JT_NAME && sk_jv_is(p->at->value, name);
}

bool sk_jp_skip(struct sk_jp *p, const char *name)
{
	if (!sk_jp_is(p, name))
		return false;
	p->at++;
	return true;
}

bool sk_jp_op(const struct sk_jp *p, enum sk_jop op)
{
	return p->at->kind == SK_JT_OP && p->at->op == op;
}

bool sk_jp_skip_op(struct sk_jp *p, enum sk_jop op)
{
	if (!sk_jp_op(p, op))
		return false;
	p->at++;
	return true;
}

void sk_jp_unexpected(struct sk_jp *p, const char *wanted)
{
	static const char *const what[] = {
		[SK_JT_EOF] = "the end of the template", [SK_JT_DATA] = "text", [SK_JT_VAR] = "'{{'", [SK_JT_VAR_END] = "'}}'",
		[SK_JT_BLOCK] = "'{%'", [SK_JT_BLOCK_END] = "'%}'", [SK_JT_NAME] = "a name", [SK_JT_STR] = "a string",
		[SK_JT_NUM] = "a number", [SK_JT_OP] = "an operator",
	};

	p->j->line = p->at->line;
	if (p->at->kind == SK_JT_NAME)
		sk_j_fail(p->j, SK_EFORMAT, "'%.*s' stands where %s is wanted", (int)(p->at->value.len < 60 ? p->at->value.len : 60),
			  p->at->value.s, wanted);
	sk_j_fail(p->j, SK_EFORMAT, "%s stands where %s is wanted", what[p->at->kind], wanted);
}

void sk_jp_want_op(struct sk_jp *p, enum sk_jop op, const char *what)
{
	if (!sk_jp_skip_op(p, op))
		sk_jp_unexpected(p, what);
}

void sk_jp_want(struct sk_jp *p, const char *name)
{
	if (!sk_jp_skip(p, name))
		sk_jp_unexpected(p, name);
}

const struct sk_jsym *sk_jp_want_name(struct sk_jp *p)
{
	const struct sk_jsym *s;

	if (p->at->kind != SK_JT_NAME)
		sk_jp_unexpected(p, "a name");
	s = sk_jp_sym(p, p->at->value.s, p->at->value.len);
	p->at++;
	return s;
}

static void want(struct sk_jp *p, enum sk_jtok_kind kind, const char *what)
{
	if (p->at->kind != kind)
		sk_jp_unexpected(p, what);
	p->at++;
}

/* ---- statements --------------------------------------------------------------------------------------------- */

static struct sk_jnode *statements(struct sk_jp *p, const char *const *ends);

/* "%}", statements, and the name of a tag among `ends`, which is the token now. */
static struct sk_jnode *body(struct sk_jp *p, const char *const *ends)
{
	sk_jp_skip_op(p, SK_JO_COLON);
	want(p, SK_JT_BLOCK_END, "'%}'");
	return statements(p, ends);
}

/* The same with one end, which is skipped. */
static struct sk_jnode *body_to(struct sk_jp *p, const char *end)
{
	const char *const ends[] = { end, NULL };
	struct sk_jnode *n = body(p, ends);

	p->at++;
	return n;
}

/* A body whose lookups of filters are not excused by an if around it, and where a loop outside is out of reach (loops 0). */
static struct sk_jnode *own_body(struct sk_jp *p, const char *end, bool keep_loops)
{
	int soft = p->soft, loops = p->loops;
	struct sk_jnode *n;

	p->soft = 0;
	if (!keep_loops)
		p->loops = 0;
	n = body_to(p, end);
	p->soft = soft;
	p->loops = loops;
	return n;
}

/* The body of a macro or a caller; op: which of the evaluator's own names it mentions. */
static void macro_body(struct sk_jp *p, struct sk_jnode *n, const char *end)
{
	unsigned outside = p->mentioned;

	p->mentioned = 0;
	n->body = own_body(p, end, false);
	n->op = (uint8_t)p->mentioned;
	p->mentioned |= outside;
}

/* a: target, b: what over, c: the test or NULL, flag: recursive */
static struct sk_jnode *parse_for(struct sk_jp *p)
{
	static const char *const ends[] = { "endfor", "else", NULL };
	struct sk_jnode *n = sk_jp_node(p, SK_JN_FOR);
	int soft = p->soft;

	n->a = sk_jp_target(p, "in", false);
	sk_jp_want(p, "in");
	n->b = sk_jp_tuple(p, false, "recursive");
	if (sk_jp_skip(p, "if"))
		n->c = sk_jp_expr(p);
	n->flag = sk_jp_skip(p, "recursive");
	p->soft = 0;
	p->loops++;
	n->body = body(p, ends);
	p->loops--;
	if (sk_jp_skip(p, "else"))
		n->other = body_to(p, "endfor");
	else
		p->at++;
	p->soft = soft;
	return n;
}

/* a: the test; other: one more IF where flag says so (elif), or what else holds */
static struct sk_jnode *parse_if(struct sk_jp *p)
{
	static const char *const ends[] = { "elif", "else", "endif", NULL };
	struct sk_jnode *first = sk_jp_node(p, SK_JN_IF), *n = first;

	p->soft++;
	for (;;) {
		n->a = sk_jp_tuple(p, false, NULL);
		n->body = body(p, ends);
		if (sk_jp_skip(p, "elif")) {
			n->flag = true;
			n->other = sk_jp_node(p, SK_JN_IF);
			n = n->other;
			continue;
		}
		if (sk_jp_skip(p, "else"))
			n->other = body_to(p, "endif");
		else
			p->at++;
		p->soft--;
		return first;
	}
}

/* args: NAMEs with their default in a */
static void signature(struct sk_jp *p, struct sk_jnode *n)
{
	struct sk_jnode **tail = &n->args;
	bool defaults = false;

	sk_jp_want_op(p, SK_JO_LPAREN, "'('");
	while (!sk_jp_skip_op(p, SK_JO_RPAREN)) {
		if (n->args)
			sk_jp_want_op(p, SK_JO_COMMA, "',' or ')'");
		*tail = sk_jp_node(p, SK_JN_NAME);
		(*tail)->name = sk_jp_want_name(p);
		if (sk_jp_skip_op(p, SK_JO_ASSIGN)) {
			(*tail)->a = sk_jp_expr(p);
			defaults = true;
		} else if (defaults) {
			sk_j_fail(p->j, SK_EFORMAT, "an argument without a default follows one that has it");
		}
		tail = &(*tail)->next;
	}
}

/* name, args, body */
static struct sk_jnode *parse_macro(struct sk_jp *p)
{
	struct sk_jnode *n = sk_jp_node(p, SK_JN_MACRO);

	n->name = sk_jp_want_name(p);
	signature(p, n);
	macro_body(p, n, "endmacro");
	return n;
}

/* a: the call; args, body: those of the caller */
static struct sk_jnode *parse_call(struct sk_jp *p)
{
	struct sk_jnode *n = sk_jp_node(p, SK_JN_CALLBLOCK);

	if (sk_jp_op(p, SK_JO_LPAREN))
		signature(p, n);
	n->a = sk_jp_expr(p);
	if (n->a->kind != SK_JN_CALL)
		sk_j_fail(p->j, SK_EFORMAT, "a call block wants a call");
	macro_body(p, n, "endcall");
	return n;
}

/* a: filters, whose innermost has no operand */
static struct sk_jnode *parse_filter(struct sk_jp *p)
{
	struct sk_jnode *n = sk_jp_node(p, SK_JN_FILTERBLOCK);

	n->a = sk_jp_filters(p, NULL, true);
	n->body = own_body(p, "endfilter", true);
	return n;
}

/* a: target; b: the value; or body, with filters in b */
static struct sk_jnode *parse_set(struct sk_jp *p)
{
	struct sk_jnode *n = sk_jp_node(p, SK_JN_SET);

	n->a = sk_jp_target(p, NULL, true);
	if (sk_jp_skip_op(p, SK_JO_ASSIGN)) {
		n->b = sk_jp_tuple(p, true, NULL);
		return n;
	}
	n->kind = SK_JN_SETBLOCK;
	if (sk_jp_skip_op(p, SK_JO_PIPE))
		n->b = sk_jp_filters(p, NULL, true);
	n->body = own_body(p, "endset", true);
	return n;
}

/* args: pairs of target a and value b */
static struct sk_jnode *parse_with(struct sk_jp *p)
{
	struct sk_jnode *n = sk_jp_node(p, SK_JN_WITH), **tail = &n->args;

	while (p->at->kind != SK_JT_BLOCK_END) {
		if (n->args)
			sk_jp_want_op(p, SK_JO_COMMA, "','");
		*tail = sk_jp_node(p, SK_JN_SCOPE);
		(*tail)->a = sk_jp_target(p, NULL, false);
		sk_jp_want_op(p, SK_JO_ASSIGN, "'='");
		(*tail)->b = sk_jp_expr(p);
		tail = &(*tail)->next;
	}
	n->body = own_body(p, "endwith", true);
	return n;
}

/* One of those tags is about loading other templates, which nobody can here. */
static struct sk_jnode *parse_refused(struct sk_jp *p)
{
	struct sk_jnode *n = sk_jp_node(p, SK_JN_REFUSED);

	n->name = sk_jp_sym(p, p->at[-1].value.s, p->at[-1].value.len);
	while (p->at->kind != SK_JT_BLOCK_END && p->at->kind != SK_JT_EOF)
		p->at++;
	return n;
}

static struct sk_jnode *parse_block(struct sk_jp *p)
{
	struct sk_jnode *n = sk_jp_node(p, SK_JN_SCOPE);
	const struct sk_jsym *name = sk_jp_want_name(p);

	while (sk_jp_skip(p, "scoped") || sk_jp_skip(p, "required"))
		;
	n->body = own_body(p, "endblock", false);
	if (p->at->kind == SK_JT_NAME && sk_jp_want_name(p) != name)
		sk_j_fail(p->j, SK_EFORMAT, "endblock names another block than '%.*s'", (int)name->len, name->s);
	return n;
}

static struct sk_jnode *parse_generation(struct sk_jp *p)
{
	struct sk_jnode *n = sk_jp_node(p, SK_JN_SCOPE);

	n->body = own_body(p, "endgeneration", false);
	return n;
}

static struct sk_jnode *parse_autoescape(struct sk_jp *p)
{
	struct sk_jnode *n = sk_jp_node(p, SK_JN_SCOPE), *on = sk_jp_expr(p);

	if (on->kind != SK_JN_CONST || on->value.kind != SK_J_BOOL || on->value.b)
		sk_j_fail(p->j, SK_EFORMAT, "autoescape can only be off");
	n->body = own_body(p, "endautoescape", true);
	return n;
}

/* args: the expressions */
static struct sk_jnode *parse_print(struct sk_jp *p)
{
	struct sk_jnode *n = sk_jp_node(p, SK_JN_PRINT);
	struct sk_jnode **tail = &n->args;

	while (p->at->kind != SK_JT_BLOCK_END) {
		if (n->args)
			sk_jp_want_op(p, SK_JO_COMMA, "','");
		*tail = sk_jp_expr(p);
		tail = &(*tail)->next;
	}
	return n;
}

static struct sk_jnode *loop_exit(struct sk_jp *p, enum sk_jnode_kind kind)
{
	if (!p->loops)
		sk_j_fail(p->j, SK_EFORMAT, "break and continue belong in a loop");
	return sk_jp_node(p, kind);
}

static struct sk_jnode *parse_break(struct sk_jp *p)
{
	return loop_exit(p, SK_JN_BREAK);
}

static struct sk_jnode *parse_continue(struct sk_jp *p)
{
	return loop_exit(p, SK_JN_CONTINUE);
}

static const struct { const char *tag; struct sk_jnode *(*parse)(struct sk_jp *p); } tags[] = {
	{ "for", parse_for }, { "if", parse_if }, { "set", parse_set }, { "macro", parse_macro }, { "call", parse_call },
	{ "filter", parse_filter }, { "with", parse_with }, { "block", parse_block }, { "generation", parse_generation },
	{ "autoescape", parse_autoescape }, { "print", parse_print }, { "break", parse_break }, { "continue", parse_continue },
	{ "include", parse_refused }, { "import", parse_refused }, { "from", parse_refused }, { "extends", parse_refused },
};

static struct sk_jnode *statement(struct sk_jp *p)
{
	struct sk_jv name = p->at->value;

	if (p->at->kind != SK_JT_NAME)
		sk_jp_unexpected(p, "the name of a tag");
	for (size_t i = 0; i < sizeof tags / sizeof *tags; i++) {
		if (sk_jv_is(name, tags[i].tag)) {
			struct sk_jnode *n;

			p->at++;
			sk_j_down(p->j);
			n = tags[i].parse(p);
			sk_j_up(p->j);
			return n;
		}
	}
	p->j->line = p->at->line;
	sk_j_fail(p->j, SK_EFORMAT, "unknown tag '%.*s'", (int)(name.len < 60 ? name.len : 60), name.s);
}

static bool among(const struct sk_jp *p, const char *const *ends)
{
	for (; ends && *ends; ends++)
		if (sk_jp_is(p, *ends))
			return true;
	return false;
}

/* Linked by next, up to a tag among `ends`; NULL: up to the end of the template. */
static struct sk_jnode *statements(struct sk_jp *p, const char *const *ends)
{
	struct sk_jnode *first = NULL, **tail = &first;

	for (;;) {
		switch ((enum sk_jtok_kind)p->at->kind) {
		case SK_JT_DATA:
			*tail = sk_jp_node(p, SK_JN_DATA);
			(*tail)->value = p->at++->value;
			break;
		case SK_JT_VAR:
			p->at++;
			*tail = sk_jp_node(p, SK_JN_PRINT);
			(*tail)->args = sk_jp_tuple(p, true, NULL);
			want(p, SK_JT_VAR_END, "'}}'");
			break;
		case SK_JT_BLOCK:
			p->at++;
			if (among(p, ends))
				return first;
			*tail = statement(p);
			want(p, SK_JT_BLOCK_END, "'%}'");
			break;
		default:
			if (ends)
				sk_jp_unexpected(p, *ends);
			return first;
		}
		tail = &(*tail)->next;
	}
}

struct sk_jnode *sk_jp_template(struct sk_jp *p)
{
	return statements(p, NULL);
}

/* ---- a template --------------------------------------------------------------------------------------------- */

static void parse(struct sk_j *j, struct sk_jinja *t, const char *source, size_t len)
{
	static const char *const own[SK_J_SYMS] = { "loop", "caller", "varargs", "kwargs" };
	struct sk_jp *p = sk_j_take(j, sizeof *p);

	p->j = j;
	for (int i = 0; i < SK_J_SYMS; i++)
		p->syms[i] = sk_jp_sym(p, own[i], strlen(own[i]));
	p->toks = p->at = sk_j_lex(j, source, len);
	t->body = sk_jp_template(p);
	t->parser = p;
}

sk_status sk_jinja_open(const char *source, size_t len, struct sk_jinja **ret_t, struct sk_err *err)
{
	struct sk_jinja *t;
	struct sk_j j = { .err = err, .steps_max = UINT64_MAX };

	if (len > SK_JINJA_SOURCE_MAX)
		return sk_fail(err, SK_ETOOBIG, "a template of %zu bytes; the limit is %zu", len, SK_JINJA_SOURCE_MAX);
	if (!sk_utf8_valid(source, len))
		return sk_fail(err, SK_EFORMAT, "the template is not valid UTF-8");
	t = calloc(1, sizeof *t);
	if (!t)
		return sk_fail(err, SK_ENOMEM, "out of memory");
	sk_arena_init(&t->arena, SK_JINJA_SOURCE_MAX * 256);
	j.arena = &t->arena;
	if (setjmp(j.leave)) {
		sk_jinja_close(&t);
		return j.status;
	}
	parse(&j, t, source, len);
	*ret_t = t;
	return SK_OK;
}

void sk_jinja_close(struct sk_jinja **t)
{
	if (!*t)
		return;
	sk_arena_fini(&(*t)->arena);
	free(*t);
	*t = NULL;
}

bool sk_jinja_mentions(const struct sk_jinja *t, const char *name)
{
	return sk_jinja_sym(t, name) != NULL;
}

const struct sk_jsym *sk_jinja_sym(const struct sk_jinja *t, const char *name)
{
	uint32_t h = 2166136261u;
	size_t len = strlen(name);

	for (size_t i = 0; i < len; i++)
		h = (h ^ (unsigned char)name[i]) * 16777619u;
	for (const struct sk_jsym *s = t->parser->buckets[h % SK_J_BUCKETS]; s; s = s->next)
		if (s->len == len && !memcmp(s->s, name, len))
			return s;
	return NULL;
}
