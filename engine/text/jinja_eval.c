/* SPDX-License-Identifier: Apache-2.0 */
/* Running expressions: one function for each kind of node, and calls. */
#include <string.h>

#include "engine/text/jinja_in.h"

/* ---- names -------------------------------------------------------------------------------------------------- */

static struct sk_jv eval_name(struct sk_j *j, const struct sk_jnode *n)
{
	for (const struct sk_jscope *s = j->scope; s; s = s->outer) {
		for (const struct sk_jbind *b = s->binds; b; b = b->next)
			if (b->name == n->name)
				return b->v;
		sk_j_step(j, 1);
	}
	if (n->name->global)
		return (struct sk_jv){ .kind = SK_J_FUNC, .func = n->name->global };
	return sk_j_undef_name(j, n->name->s, n->name->len);
}

static struct sk_jv eval_const(struct sk_j *j, const struct sk_jnode *n)
{
	(void)j;
	return n->value;
}

static struct sk_jv eval_list(struct sk_j *j, const struct sk_jnode *n)
{
	struct sk_jlist *l = sk_j_list(j, 0);

	for (const struct sk_jnode *i = n->args; i; i = i->next)
		sk_j_push(j, l, sk_j_eval(j, i));
	return (struct sk_jv){ .kind = n->kind == SK_JN_LIST ? SK_J_LIST : SK_J_TUPLE, .list = l };
}

static struct sk_jv eval_dict(struct sk_j *j, const struct sk_jnode *n)
{
	struct sk_jdict *d = sk_j_dict(j);

	for (const struct sk_jnode *i = n->args; i; i = i->next) {
		struct sk_jv k = sk_j_eval(j, i->a);

		sk_j_put(j, d, k, sk_j_eval(j, i->b));
	}
	return (struct sk_jv){ .kind = SK_J_DICT, .dict = d };
}

/* ---- operators ---------------------------------------------------------------------------------------------- */

static struct sk_jv eval_cond(struct sk_j *j, const struct sk_jnode *n)
{
	if (sk_j_true(j, sk_j_eval(j, n->b)))
		return sk_j_eval(j, n->a);
	if (n->c)
		return sk_j_eval(j, n->c);
	return sk_j_undef_hint(j, "the inline if-expression evaluated to false and no else section was defined.");
}

static struct sk_jv eval_or(struct sk_j *j, const struct sk_jnode *n)
{
	struct sk_jv v = sk_j_eval(j, n->a);

	return sk_j_true(j, v) ? v : sk_j_eval(j, n->b);
}

static struct sk_jv eval_and(struct sk_j *j, const struct sk_jnode *n)
{
	struct sk_jv v = sk_j_eval(j, n->a);

	return sk_j_true(j, v) ? sk_j_eval(j, n->b) : v;
}

static struct sk_jv eval_not(struct sk_j *j, const struct sk_jnode *n)
{
	return sk_jv_bool(!sk_j_true(j, sk_j_eval(j, n->a)));
}

static bool holds(struct sk_j *j, enum sk_jop op, struct sk_jv a, struct sk_jv b)
{
	static const char *const names[] = { [SK_JO_LT] = "<", [SK_JO_LE] = "<=", [SK_JO_GT] = ">", [SK_JO_GE] = ">=" };
	int c;

	switch (op) {
	case SK_JO_EQ:
		return sk_j_equal(j, a, b);
	case SK_JO_NE:
		return !sk_j_equal(j, a, b);
	case SK_JO_IN:
		return sk_j_in(j, a, b);
	case SK_JO_NOTIN:
		return !sk_j_in(j, a, b);
	default:
		break;
	}
	c = sk_j_compare(j, a, b, names[op]);
	if (c == 2)
		return false;
	return op == SK_JO_LT ? c < 0 : op == SK_JO_LE ? c <= 0 : op == SK_JO_GT ? c > 0 : c >= 0;
}

static struct sk_jv eval_compare(struct sk_j *j, const struct sk_jnode *n)
{
	struct sk_jv left = sk_j_eval(j, n->a);

	for (const struct sk_jnode *i = n->args; i; i = i->next) {
		struct sk_jv right = sk_j_eval(j, i->a);

		j->line = n->line;
		if (!holds(j, (enum sk_jop)i->op, left, right))
			return sk_jv_bool(false);
		left = right;
	}
	return sk_jv_bool(true);
}

static struct sk_jv eval_binary(struct sk_j *j, const struct sk_jnode *n)
{
	struct sk_jv a = sk_j_eval(j, n->a), b = sk_j_eval(j, n->b);

	j->line = n->line;
	return sk_j_binary(j, (enum sk_jop)n->op, a, b);
}

static struct sk_jv eval_sign(struct sk_j *j, const struct sk_jnode *n)
{
	struct sk_jv v = sk_j_eval(j, n->a);

	if (v.kind == SK_J_UNDEF)
		sk_j_undef_fail(j, v);
	if (!sk_j_is_num(v))
		sk_j_fail(j, SK_EINVAL, "bad operand type for unary %c: '%s'", n->kind == SK_JN_NEG ? '-' : '+', sk_j_type(v));
	if (v.kind == SK_J_FLOAT)
		return sk_jv_float(n->kind == SK_JN_NEG ? -v.f : v.f);
	return n->kind == SK_JN_NEG ? sk_j_binary(j, SK_JO_SUB, sk_jv_int(0), v) : sk_j_binary(j, SK_JO_ADD, sk_jv_int(0), v);
}

static struct sk_jv eval_concat(struct sk_j *j, const struct sk_jnode *n)
{
	struct sk_jv v = sk_jv_str("", 0);

	for (const struct sk_jnode *i = n->args; i; i = i->next) {
		v = sk_j_join(j, v, sk_j_str(j, sk_j_eval(j, i)));
		v.markup = false;       /* `~` does not look, where autoescape is off */
	}
	return v;
}

static struct sk_jv eval_attr(struct sk_j *j, const struct sk_jnode *n)
{
	struct sk_jv v = sk_j_eval(j, n->a);

	j->line = n->line;
	return sk_j_attr(j, v, n->name->s, n->name->len);
}

static struct sk_jv eval_or_none(struct sk_j *j, const struct sk_jnode *n)
{
	return n ? sk_j_eval(j, n) : sk_jv_none();
}

static struct sk_jv eval_item(struct sk_j *j, const struct sk_jnode *n)
{
	struct sk_jv v = sk_j_eval(j, n->a), key;

	if (n->b->kind == SK_JN_SLICE) {
		struct sk_jv start = eval_or_none(j, n->b->a), stop = eval_or_none(j, n->b->b), step = eval_or_none(j, n->b->c);

		j->line = n->line;
		return sk_j_slice(j, v, start, stop, step);
	}
	key = sk_j_eval(j, n->b);
	j->line = n->line;
	return sk_j_item(j, v, key);
}

static struct sk_jv eval_slice(struct sk_j *j, const struct sk_jnode *n)
{
	(void)n;
	sk_j_fail(j, SK_EINVAL, "a slice among several indices");
}

/* ---- calls -------------------------------------------------------------------------------------------------- */

static void add_pos(struct sk_j *j, struct sk_jargs *a, struct sk_jv v)
{
	if (a->pos_len == SK_J_ARGS_MAX)
		sk_j_fail(j, SK_ETOOBIG, "more than %d arguments", SK_J_ARGS_MAX);
	a->pos[a->pos_len++] = v;
}

static void add_kw(struct sk_j *j, struct sk_jargs *a, const char *name, size_t len, struct sk_jv v)
{
	for (size_t i = 0; i < a->kw_len; i++)
		if (a->kw[i].len == len && !memcmp(a->kw[i].name, name, len))
			sk_j_fail(j, SK_EINVAL, "got multiple values for keyword argument '%.*s'", (int)len, name);
	if (a->kw_len == SK_J_ARGS_MAX)
		sk_j_fail(j, SK_ETOOBIG, "more than %d arguments", SK_J_ARGS_MAX);
	a->kw[a->kw_len++] = (struct sk_jkwarg){ name, (uint32_t)len, v };
}

static void add_kws(struct sk_j *j, struct sk_jargs *a, struct sk_jv v)
{
	if (v.kind != SK_J_DICT)
		sk_j_fail(j, SK_EINVAL, "argument after ** must be a mapping, not %s", sk_j_type(v));
	for (size_t i = 0; i < v.dict->len; i++) {
		struct sk_jv k = sk_j_want_str(j, v.dict->e[i].k);

		add_kw(j, a, k.s, k.len, v.dict->e[i].v);
	}
}

struct sk_jargs *sk_j_args_take(struct sk_j *j)
{
	struct sk_jargs *args = j->spare;

	if (!args)
		return sk_j_take(j, sizeof *args);
	j->spare = args->next;
	args->pos_len = args->kw_len = 0;
	return args;
}

void sk_j_args_put(struct sk_j *j, struct sk_jargs *args)
{
	args->next = j->spare;
	j->spare = args;
}

void sk_j_eval_args(struct sk_j *j, const struct sk_jnode *n, struct sk_jargs *ret_args)
{
	ret_args->pos_len = ret_args->kw_len = 0;
	for (; n; n = n->next) {
		struct sk_jv v = sk_j_eval(j, n->a);

		if (n->op == SK_JO_MUL) {
			struct sk_jlist *l = sk_j_iter(j, v);

			for (size_t i = 0; i < l->len; i++)
				add_pos(j, ret_args, l->v[i]);
		} else if (n->op == SK_JO_POW) {
			add_kws(j, ret_args, v);
		} else if (n->name) {
			add_kw(j, ret_args, n->name->s, n->name->len, v);
		} else {
			add_pos(j, ret_args, v);
		}
	}
}

/* The place of a keyword among "old new ?count"; -1: none. */
static int param_of(const char *params, const char *name, size_t len)
{
	int at = 0;

	for (const char *p = params; *p; at++) {
		size_t n;

		p += *p == '?';
		n = strcspn(p, " ");
		if (n == len && !memcmp(p, name, len))
			return at;
		p += n + (p[n] == ' ');
	}
	return -1;
}

#define PARAMS_MAX 8

struct sk_jv sk_j_call_def(struct sk_j *j, const struct sk_jdef *d, struct sk_jv self, const struct sk_jargs *args)
{
	struct sk_jv a[PARAMS_MAX] = { 0 };
	size_t at = 0;

	if (!d->params)
		return d->run(j, self, a, args);
	for (size_t i = 0; i < args->pos_len && i < PARAMS_MAX; i++)
		a[i] = args->pos[i];
	for (size_t i = 0; i < args->kw_len; i++) {
		int place = param_of(d->params, args->kw[i].name, args->kw[i].len);

		if (place < 0)
			sk_j_fail(j, SK_EINVAL, "%s() got an unexpected keyword argument '%.*s'", d->name, (int)args->kw[i].len,
				  args->kw[i].name);
		if (a[place].kind != SK_J_MISSING)
			sk_j_fail(j, SK_EINVAL, "%s() got multiple values for argument '%.*s'", d->name, (int)args->kw[i].len,
				  args->kw[i].name);
		a[place] = args->kw[i].v;
	}
	for (const char *p = d->params; *p; at++) {
		size_t n = strcspn(p, " ");

		if (*p != '?' && a[at].kind == SK_J_MISSING)
			sk_j_fail(j, SK_EINVAL, "%s() misses its argument '%.*s'", d->name, (int)n, p);
		p += n + (p[n] == ' ');
	}
	if (args->pos_len > at)
		sk_j_fail(j, SK_EINVAL, "%s() takes at most %zu arguments, %zu were given", d->name, at, args->pos_len);
	return d->run(j, self, a, args);
}

static struct sk_jv call_joiner(struct sk_jv f)
{
	if (f.cycler->used)
		return f.cycler->sep;
	f.cycler->used = true;
	return sk_jv_str("", 0);
}

struct sk_jv sk_j_call(struct sk_j *j, struct sk_jv f, const struct sk_jargs *args)
{
	switch ((enum sk_jkind)f.kind) {
	case SK_J_FUNC:
		return sk_j_call_def(j, f.func, (struct sk_jv){ 0 }, args);
	case SK_J_METHOD:
		return sk_j_call_def(j, f.method->def, f.method->self, args);
	case SK_J_MACRO:
		return sk_j_call_macro(j, f.macro, args);
	case SK_J_LOOP:
		return sk_j_call_loop(j, f.loop, args);
	case SK_J_JOINER:
		return call_joiner(f);
	case SK_J_UNDEF:
		sk_j_undef_fail(j, f);
	default:
		sk_j_fail(j, SK_EINVAL, "'%s' object is not callable", sk_j_type(f));
	}
}

static struct sk_jv eval_call(struct sk_j *j, const struct sk_jnode *n)
{
	struct sk_jv f = sk_j_eval(j, n->a);
	struct sk_jargs *args = sk_j_args_take(j);

	sk_j_eval_args(j, n->args, args);
	j->line = n->line;
	f = sk_j_call(j, f, args);
	sk_j_args_put(j, args);
	return f;
}

static struct sk_jv eval_filter(struct sk_j *j, const struct sk_jnode *n)
{
	struct sk_jv v = n->a ? sk_j_eval(j, n->a) : j->scope->binds->v;        /* of a block: bound by who runs it */
	struct sk_jargs *args;

	if (!n->def)
		sk_j_fail(j, SK_EINVAL, "no %s named '%.*s'", n->kind == SK_JN_FILTER ? "filter" : "test", (int)n->name->len, n->name->s);
	if (!n->args) {
		static const struct sk_jargs none;

		j->line = n->line;
		return sk_j_call_def(j, n->def, v, &none);
	}
	args = sk_j_args_take(j);
	sk_j_eval_args(j, n->args, args);
	j->line = n->line;
	v = sk_j_call_def(j, n->def, v, args);
	sk_j_args_put(j, args);
	return v;
}

/* ---- all ---------------------------------------------------------------------------------------------------- */

static struct sk_jv (*const kinds[SK_JN_KINDS])(struct sk_j *j, const struct sk_jnode *n) = {
	[SK_JN_CONST] = eval_const, [SK_JN_NAME] = eval_name, [SK_JN_LIST] = eval_list, [SK_JN_TUPLE] = eval_list, [SK_JN_DICT] = eval_dict,
	[SK_JN_COND] = eval_cond, [SK_JN_OR] = eval_or, [SK_JN_AND] = eval_and, [SK_JN_NOT] = eval_not, [SK_JN_COMPARE] = eval_compare,
	[SK_JN_BINARY] = eval_binary, [SK_JN_NEG] = eval_sign, [SK_JN_POS] = eval_sign, [SK_JN_CONCAT] = eval_concat,
	[SK_JN_ATTR] = eval_attr, [SK_JN_ITEM] = eval_item, [SK_JN_SLICE] = eval_slice, [SK_JN_CALL] = eval_call,
	[SK_JN_FILTER] = eval_filter, [SK_JN_TEST] = eval_filter,
};

struct sk_jv sk_j_eval(struct sk_j *j, const struct sk_jnode *n)
{
	struct sk_jv v;

	sk_j_step(j, 1);
	sk_j_down(j);
	j->line = n->line;
	v = kinds[n->kind](j, n);
	sk_j_up(j);
	return v;
}

const struct sk_jdef *sk_j_def_find(const struct sk_jdef *defs, const char *s, size_t len)
{
	for (; defs->name; defs++)
		if (strlen(defs->name) == len && !memcmp(defs->name, s, len))
			return defs;
	return NULL;
}
