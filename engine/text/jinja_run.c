/* SPDX-License-Identifier: Apache-2.0 */
/* Running statements: scopes, loops, macros; and a render from its variables to its text. */
#include <stdlib.h>
#include <string.h>

#include "engine/base/clock.h"
#include "engine/text/jinja_in.h"
#include "engine/text/jinja_template.h"

#define STEPS 20000000u
#define MEMORY ((size_t)256 << 20)
#define OUTPUT ((size_t)64 << 20)
#define TIME_US ((int64_t)10000000)

/* ---- scopes ------------------------------------------------------------------------------------------------- */

static struct sk_jscope *scope_open(struct sk_j *j, struct sk_jscope *outer)
{
	struct sk_jscope *s = sk_j_take(j, sizeof *s);

	s->outer = outer;
	return s;
}

static void bind(struct sk_j *j, const struct sk_jsym *name, struct sk_jv v)
{
	struct sk_jbind *b;

	for (b = j->scope->binds; b; b = b->next) {
		if (b->name == name) {
			b->v = v;
			return;
		}
	}
	b = sk_j_take(j, sizeof *b);
	*b = (struct sk_jbind){ name, v, j->scope->binds };
	j->scope->binds = b;
}

/* name = v;  a, b = v;  namespace.name = v */
static void assign(struct sk_j *j, const struct sk_jnode *target, struct sk_jv v)
{
	struct sk_jlist *l;
	size_t at = 0;

	if (target->kind == SK_JN_NAME) {
		bind(j, target->name, v);
		return;
	}
	if (target->kind == SK_JN_NSREF) {
		struct sk_jnode name = { .kind = SK_JN_NAME, .line = target->line, .name = target->name };
		struct sk_jv ns = sk_j_eval(j, &name);

		if (ns.kind != SK_J_NS)
			sk_j_fail(j, SK_EINVAL, "cannot assign attribute on non-namespace object");
		if (target->a->name->s[0] == '_')
			sk_j_fail(j, SK_EINVAL, "a namespace takes no attribute that begins with an underscore: '%.*s'",
				  (int)target->a->name->len, target->a->name->s);
		sk_j_put(j, ns.dict, sk_jv_str(target->a->name->s, target->a->name->len), v);
		return;
	}
	l = sk_j_iter(j, v);
	for (const struct sk_jnode *t = target->args; t; t = t->next, at++) {
		if (at >= l->len)
			sk_j_fail(j, SK_EINVAL, "not enough values to unpack (%zu)", l->len);
		assign(j, t, l->v[at]);
	}
	if (at < l->len)
		sk_j_fail(j, SK_EINVAL, "too many values to unpack (expected %zu)", at);
}

/* A list of statements in a scope of its own, below `outer`. */
static void run_scoped(struct sk_j *j, const struct sk_jnode *body, struct sk_jscope *outer)
{
	struct sk_jscope *before = j->scope;

	j->scope = scope_open(j, outer);
	sk_j_run(j, body);
	j->scope = before;
}

/* ---- loops -------------------------------------------------------------------------------------------------- */

/* The items that the loop's test lets through; it sees the targets, and not the loop. */
static struct sk_jlist *filtered(struct sk_j *j, const struct sk_jnode *n, struct sk_jlist *items)
{
	struct sk_jlist *l = sk_j_list(j, 0);
	struct sk_jscope *before = j->scope;

	for (size_t i = 0; i < items->len; i++) {
		j->scope = scope_open(j, before);
		assign(j, n->a, items->v[i]);
		if (sk_j_true(j, sk_j_eval(j, n->c)))
			sk_j_push(j, l, items->v[i]);
	}
	j->scope = before;
	return l;
}

static void run_loop(struct sk_j *j, const struct sk_jnode *n, struct sk_jscope *scope, struct sk_jv over, size_t depth0)
{
	struct sk_jloop *loop = sk_j_take(j, sizeof *loop);
	struct sk_jscope *before = j->scope;
	bool whole = false;             /* a body came to its end, without break or continue */

	j->scope = scope;
	*loop = (struct sk_jloop){ .node = n, .scope = scope, .items = sk_j_iter(j, over), .depth0 = depth0 };
	if (n->c)
		loop->items = filtered(j, n, loop->items);
	for (; loop->at < loop->items->len; loop->at++) {
		sk_j_step(j, 1);
		j->scope = scope_open(j, scope);
		bind(j, j->syms[SK_J_SYM_LOOP], (struct sk_jv){ .kind = SK_J_LOOP, .loop = loop });
		assign(j, n->a, loop->items->v[loop->at]);
		sk_j_run(j, n->body);
		if (j->loop_exit) {
			bool leave = j->loop_exit->kind == SK_JN_BREAK;

			j->loop_exit = NULL;
			if (leave)
				break;
		} else {
			whole = true;
		}
	}
	/* So it is in the reference, whose manual says "if no iteration took place". */
	if (!whole && n->other)
		run_scoped(j, n->other, scope);
	j->scope = before;
}

static void run_for(struct sk_j *j, const struct sk_jnode *n)
{
	run_loop(j, n, j->scope, sk_j_eval(j, n->b), 0);
}

/* loop(items): the body again, as text. */
struct sk_jv sk_j_call_loop(struct sk_j *j, struct sk_jloop *l, const struct sk_jargs *args)
{
	struct sk_jsb text = { 0 }, *before = j->out;

	if (!l->node->flag)
		sk_j_fail(j, SK_EINVAL, "The loop must have the 'recursive' marker to be called recursively.");
	if (args->pos_len != 1)
		sk_j_fail(j, SK_EINVAL, "loop() wants one argument, not %zu", args->pos_len);
	j->out = &text;
	run_loop(j, l->node, l->scope, args->pos[0], l->depth0 + 1);
	j->out = before;
	return sk_jsb_str(&text);
}

static struct sk_jv neighbour(struct sk_j *j, const struct sk_jloop *l, bool next)
{
	if (next ? l->at + 1 < l->items->len : l->at > 0)
		return l->items->v[next ? l->at + 1 : l->at - 1];
	return sk_j_undef_hint(j, next ? "there is no next item" : "there is no previous item");
}

static struct sk_jv loop_cycle(struct sk_j *j, struct sk_jv self, const struct sk_jv *a, const struct sk_jargs *raw)
{
	(void)a;
	if (!raw->pos_len)
		sk_j_fail(j, SK_EINVAL, "no items for cycling given");
	return raw->pos[self.loop->at % raw->pos_len];
}

static struct sk_jv loop_changed(struct sk_j *j, struct sk_jv self, const struct sk_jv *a, const struct sk_jargs *raw)
{
	struct sk_jlist *l = sk_j_list(j, raw->pos_len);
	struct sk_jv now = { .kind = SK_J_TUPLE, .list = l };

	(void)a;
	for (size_t i = 0; i < raw->pos_len; i++)
		sk_j_push(j, l, raw->pos[i]);
	if (self.loop->changed.kind == SK_J_TUPLE && sk_j_equal(j, self.loop->changed, now))
		return sk_jv_bool(false);
	self.loop->changed = now;
	return sk_jv_bool(true);
}

const struct sk_jdef sk_j_loop_methods[] = {
	{ "cycle", loop_cycle, NULL },
	{ "changed", loop_changed, NULL },
	{ NULL, NULL, NULL },
};

enum loop_part { INDEX, INDEX0, REVINDEX, REVINDEX0, FIRST, LAST, LENGTH, DEPTH, DEPTH0, PREVITEM, NEXTITEM };

static const struct { const char *name; enum loop_part part; } loop_parts[] = {
	{ "index", INDEX }, { "index0", INDEX0 }, { "revindex", REVINDEX }, { "revindex0", REVINDEX0 }, { "first", FIRST },
	{ "last", LAST }, { "length", LENGTH }, { "depth", DEPTH }, { "depth0", DEPTH0 }, { "previtem", PREVITEM }, { "nextitem", NEXTITEM },
};

static struct sk_jv loop_part(struct sk_j *j, const struct sk_jloop *l, enum loop_part part)
{
	size_t len = l->items->len;

	switch (part) {
	case INDEX:
		return sk_jv_int((int64_t)l->at + 1);
	case INDEX0:
		return sk_jv_int((int64_t)l->at);
	case REVINDEX:
		return sk_jv_int((int64_t)(len - l->at));
	case REVINDEX0:
		return sk_jv_int((int64_t)(len - l->at) - 1);
	case FIRST:
		return sk_jv_bool(l->at == 0);
	case LAST:
		return sk_jv_bool(l->at + 1 >= len);
	case LENGTH:
		return sk_jv_int((int64_t)len);
	case DEPTH:
		return sk_jv_int((int64_t)l->depth0 + 1);
	case DEPTH0:
		return sk_jv_int((int64_t)l->depth0);
	default:
		return neighbour(j, l, part == NEXTITEM);
	}
}

struct sk_jv sk_j_loop_attr(struct sk_j *j, struct sk_jv v, const char *s, size_t len)
{
	const struct sk_jdef *d = sk_j_def_find(sk_j_loop_methods, s, len);
	struct sk_jmethod *m;

	for (size_t i = 0; i < sizeof loop_parts / sizeof *loop_parts; i++)
		if (strlen(loop_parts[i].name) == len && !memcmp(loop_parts[i].name, s, len))
			return loop_part(j, v.loop, loop_parts[i].part);
	if (!d)
		return (struct sk_jv){ 0 };
	m = sk_j_take(j, sizeof *m);
	*m = (struct sk_jmethod){ v, d };
	return (struct sk_jv){ .kind = SK_J_METHOD, .method = m };
}

/* ---- macros ------------------------------------------------------------------------------------------------- */

static struct sk_jv macro_of(struct sk_j *j, const struct sk_jnode *n, const struct sk_jsym *name)
{
	struct sk_jmacro *m = sk_j_take(j, sizeof *m);

	*m = (struct sk_jmacro){ n, j->scope, name };
	return (struct sk_jv){ .kind = SK_J_MACRO, .macro = m };
}

static const struct sk_jkwarg *keyword(const struct sk_jargs *args, const struct sk_jsym *name)
{
	for (size_t i = 0; i < args->kw_len; i++)
		if (args->kw[i].len == name->len && !memcmp(args->kw[i].name, name->s, name->len))
			return &args->kw[i];
	return NULL;
}

/* Bind what was given; a keyword that is taken has its bit set in *taken. */
static size_t bind_args(struct sk_j *j, const struct sk_jnode *n, const struct sk_jargs *args, uint64_t *taken)
{
	size_t at = 0;

	for (const struct sk_jnode *p = n->args; p; p = p->next, at++) {
		const struct sk_jkwarg *kw = keyword(args, p->name);

		if (at < args->pos_len) {
			bind(j, p->name, args->pos[at]);
		} else if (kw) {
			bind(j, p->name, kw->v);
			*taken |= 1ull << (kw - args->kw);
		} else if (p->a) {
			bind(j, p->name, sk_j_eval(j, p->a));
		} else {
			struct sk_jsb hint = { 0 };

			sk_jsb_addf(j, &hint, "parameter '%.*s' was not provided", (int)p->name->len, p->name->s);
			sk_jsb_addc(j, &hint, 0);
			bind(j, p->name, sk_j_undef_hint(j, hint.s));
		}
	}
	return at;
}

static bool mentions(const struct sk_jmacro *m, int sym)
{
	return m->node->op >> sym & 1;
}

/* What was given beyond the signature: varargs, kwargs and caller, where the body asks for them. */
static void bind_rest(struct sk_j *j, const struct sk_jmacro *m, const struct sk_jargs *args, size_t params, uint64_t taken)
{
	struct sk_jlist *rest = sk_j_list(j, 0);
	struct sk_jdict *kwargs = sk_j_dict(j);
	struct sk_jv caller = { 0 };

	for (size_t i = params; i < args->pos_len; i++)
		sk_j_push(j, rest, args->pos[i]);
	for (size_t i = 0; i < args->kw_len; i++) {
		const struct sk_jkwarg *kw = &args->kw[i];

		if (taken >> i & 1)
			continue;
		if (kw->len == 6 && !memcmp(kw->name, "caller", 6) && mentions(m, SK_J_SYM_CALLER))
			caller = kw->v;
		else
			sk_j_put(j, kwargs, sk_jv_str(kw->name, kw->len), kw->v);
	}
	if (mentions(m, SK_J_SYM_CALLER))
		bind(j, j->syms[SK_J_SYM_CALLER], sk_j_given(caller) ? caller : sk_j_undef_hint(j, "No caller defined"));
	if (mentions(m, SK_J_SYM_VARARGS))
		bind(j, j->syms[SK_J_SYM_VARARGS], (struct sk_jv){ .kind = SK_J_TUPLE, .list = rest });
	else if (rest->len)
		sk_j_fail(j, SK_EINVAL, "macro '%.*s' takes not more than %zu argument(s)", (int)m->name->len, m->name->s, params);
	if (mentions(m, SK_J_SYM_KWARGS))
		bind(j, j->syms[SK_J_SYM_KWARGS], (struct sk_jv){ .kind = SK_J_DICT, .dict = kwargs });
	else if (kwargs->len)
		sk_j_fail(j, SK_EINVAL, "macro '%.*s' takes no keyword argument %s", (int)m->name->len, m->name->s,
			  sk_j_repr(j, kwargs->e[0].k));
}

struct sk_jv sk_j_call_macro(struct sk_j *j, struct sk_jmacro *m, const struct sk_jargs *args)
{
	struct sk_jscope *before = j->scope;
	struct sk_jsb text = { 0 }, *out = j->out;
	uint64_t taken = 0;
	size_t params;

	sk_j_down(j);
	j->scope = scope_open(j, m->scope);
	params = bind_args(j, m->node, args, &taken);
	bind_rest(j, m, args, params, taken);
	j->out = &text;
	sk_j_run(j, m->node->body);
	j->out = out;
	j->scope = before;
	sk_j_up(j);
	return sk_jsb_str(&text);
}

static void run_macro(struct sk_j *j, const struct sk_jnode *n)
{
	bind(j, n->name, macro_of(j, n, n->name));
}

static void run_callblock(struct sk_j *j, const struct sk_jnode *n)
{
	struct sk_jv f = sk_j_eval(j, n->a->a), caller = macro_of(j, n, j->syms[SK_J_SYM_CALLER]);
	struct sk_jargs *args = sk_j_args_take(j);
	const struct sk_jsym *name = j->syms[SK_J_SYM_CALLER];

	sk_j_eval_args(j, n->a->args, args);
	if (args->kw_len == SK_J_ARGS_MAX)
		sk_j_fail(j, SK_ETOOBIG, "more than %d arguments", SK_J_ARGS_MAX);
	args->kw[args->kw_len++] = (struct sk_jkwarg){ name->s, name->len, caller };
	sk_j_add_str(j, j->out, sk_j_call(j, f, args));
	sk_j_args_put(j, args);
}

/* ---- the other statements ----------------------------------------------------------------------------------- */

static void run_data(struct sk_j *j, const struct sk_jnode *n)
{
	sk_jsb_add(j, j->out, n->value.s, n->value.len);
}

static void run_print(struct sk_j *j, const struct sk_jnode *n)
{
	for (const struct sk_jnode *i = n->args; i; i = i->next)
		sk_j_add_str(j, j->out, sk_j_eval(j, i));
}

static void run_if(struct sk_j *j, const struct sk_jnode *n)
{
	while (!sk_j_true(j, sk_j_eval(j, n->a))) {
		if (!n->flag) {
			sk_j_run(j, n->other);
			return;
		}
		n = n->other;
	}
	sk_j_run(j, n->body);
}

static void run_set(struct sk_j *j, const struct sk_jnode *n)
{
	assign(j, n->a, sk_j_eval(j, n->b));
}

/* The text of a body in a scope of its own. */
static struct sk_jv captured(struct sk_j *j, const struct sk_jnode *body)
{
	struct sk_jsb text = { 0 }, *out = j->out;

	j->out = &text;
	run_scoped(j, body, j->scope);
	j->out = out;
	return sk_jsb_str(&text);
}

/* A chain of filters whose innermost takes `v`: eval_filter() finds it as the youngest name of the scope. */
static struct sk_jv through(struct sk_j *j, const struct sk_jnode *filters, struct sk_jv v)
{
	static const struct sk_jsym operand = { .s = "" };
	struct sk_jscope *before = j->scope;

	if (!filters)
		return v;
	j->scope = scope_open(j, before);
	bind(j, &operand, v);
	v = sk_j_eval(j, filters);
	j->scope = before;
	return v;
}

static void run_setblock(struct sk_j *j, const struct sk_jnode *n)
{
	assign(j, n->a, through(j, n->b, captured(j, n->body)));
}

static void run_filterblock(struct sk_j *j, const struct sk_jnode *n)
{
	sk_j_add_str(j, j->out, through(j, n->a, captured(j, n->body)));
}

/* All values are those outside of the block. */
static void run_with(struct sk_j *j, const struct sk_jnode *n)
{
	struct sk_jscope *before = j->scope, *inner = scope_open(j, before);

	for (const struct sk_jnode *i = n->args; i; i = i->next) {
		struct sk_jv v = sk_j_eval(j, i->b);

		j->scope = inner;
		assign(j, i->a, v);
		j->scope = before;
	}
	run_scoped(j, n->body, inner);
}

static void run_scope(struct sk_j *j, const struct sk_jnode *n)
{
	run_scoped(j, n->body, j->scope);
}

static void run_exit(struct sk_j *j, const struct sk_jnode *n)
{
	j->loop_exit = n;
}

static void run_refused(struct sk_j *j, const struct sk_jnode *n)
{
	sk_j_fail(j, SK_EINVAL, "'%.*s': no other templates can be loaded", (int)n->name->len, n->name->s);
}

static void (*const kinds[SK_JN_KINDS])(struct sk_j *j, const struct sk_jnode *n) = {
	[SK_JN_DATA] = run_data, [SK_JN_PRINT] = run_print, [SK_JN_FOR] = run_for, [SK_JN_IF] = run_if, [SK_JN_MACRO] = run_macro,
	[SK_JN_CALLBLOCK] = run_callblock, [SK_JN_FILTERBLOCK] = run_filterblock, [SK_JN_SET] = run_set, [SK_JN_SETBLOCK] = run_setblock,
	[SK_JN_WITH] = run_with, [SK_JN_SCOPE] = run_scope, [SK_JN_BREAK] = run_exit, [SK_JN_CONTINUE] = run_exit,
	[SK_JN_REFUSED] = run_refused,
};

void sk_j_run(struct sk_j *j, const struct sk_jnode *n)
{
	sk_j_down(j);
	for (; n && !j->loop_exit; n = n->next) {
		sk_j_step(j, 1);
		j->line = n->line;
		kinds[n->kind](j, n);
	}
	sk_j_up(j);
}

/* ---- a render ----------------------------------------------------------------------------------------------- */

static void render(struct sk_j *j, const struct sk_jinja *t, const struct sk_jinja_var *vars, size_t vars_len)
{
	j->scope = scope_open(j, NULL);
	for (size_t i = 0; i < vars_len; i++) {
		const struct sk_jsym *name = sk_jinja_sym(t, vars[i].name);

		if (name)
			bind(j, name, vars[i].is_text ? sk_jv_str(vars[i].s, vars[i].len)
						      : sk_j_from_json(j, vars[i].name, vars[i].s, vars[i].len));
	}
	j->scope = scope_open(j, j->scope);
	sk_j_run(j, t->body);
}

sk_status sk_jinja_render(const struct sk_jinja *t, const struct sk_jinja_var *vars, size_t vars_len, const struct sk_jinja_limits *limits,
			  struct sk_buf *out, struct sk_err *err)
{
	static const struct sk_jinja_limits none;
	const struct sk_jinja_limits *l = limits ? limits : &none;
	struct sk_arena arena;
	struct sk_jsb text = { 0 };
	struct sk_j j = { .arena = &arena, .err = err, .out = &text, .now = l->now, .syms = t->parser->syms };
	sk_status st;

	j.steps_max = l->steps ? l->steps : STEPS;
	j.output_max = l->output_bytes ? l->output_bytes : OUTPUT;
	j.deadline_us = sk_now_us() + (l->time_us ? l->time_us : TIME_US);
	sk_arena_init(&arena, l->memory_bytes ? l->memory_bytes : MEMORY);
	if (setjmp(j.leave)) {
		st = j.status;
	} else {
		render(&j, t, vars, vars_len);
		st = sk_buf_add(out, text.s, text.len);
		if (st < 0)
			sk_fail(err, st, "the rendering of %zu bytes is longer than the limit", text.len);
	}
	sk_arena_fini(&arena);
	return st;
}
