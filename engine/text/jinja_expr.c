/* SPDX-License-Identifier: Apache-2.0 */
/* Expressions of a template: tokens to a tree, one function for each level of binding, loosest first. */
#include <string.h>

#include "engine/text/jinja_in.h"

static struct sk_jnode *primary(struct sk_jp *p);
static struct sk_jnode *unary(struct sk_jp *p, bool with_filter);
static struct sk_jnode *parse_or(struct sk_jp *p);

static void chain(struct sk_jnode **tail, struct sk_jnode *n)
{
	while (*tail)
		tail = &(*tail)->next;
	*tail = n;
}

static struct sk_jnode *pair(struct sk_jp *p, enum sk_jnode_kind kind, enum sk_jop op, struct sk_jnode *a, struct sk_jnode *b)
{
	struct sk_jnode *n = sk_jp_node(p, kind);

	n->line = a->line;
	n->op = (uint8_t)op;
	n->a = a;
	n->b = b;
	return n;
}

/* a if b else c */
struct sk_jnode *sk_jp_expr(struct sk_jp *p)
{
	struct sk_jnode *n;

	sk_j_down(p->j);
	n = parse_or(p);
	while (sk_jp_skip(p, "if")) {
		struct sk_jnode *test = parse_or(p);

		n = pair(p, SK_JN_COND, SK_JO_NONE, n, test);
		if (sk_jp_skip(p, "else"))
			n->c = sk_jp_expr(p);
	}
	sk_j_up(p->j);
	return n;
}

static struct sk_jnode *parse_compare(struct sk_jp *p);

static struct sk_jnode *parse_not(struct sk_jp *p)
{
	struct sk_jnode *n;

	if (!sk_jp_skip(p, "not"))
		return parse_compare(p);
	sk_j_down(p->j);
	n = sk_jp_node(p, SK_JN_NOT);
	n->a = parse_not(p);
	sk_j_up(p->j);
	return n;
}

static struct sk_jnode *parse_and(struct sk_jp *p)
{
	struct sk_jnode *n = parse_not(p);

	while (sk_jp_skip(p, "and"))
		n = pair(p, SK_JN_AND, SK_JO_NONE, n, parse_not(p));
	return n;
}

static struct sk_jnode *parse_or(struct sk_jp *p)
{
	struct sk_jnode *n = parse_and(p);

	while (sk_jp_skip(p, "or"))
		n = pair(p, SK_JN_OR, SK_JO_NONE, n, parse_and(p));
	return n;
}

static struct sk_jnode *power(struct sk_jp *p)
{
	struct sk_jnode *n = unary(p, true);

	while (sk_jp_skip_op(p, SK_JO_POW))
		n = pair(p, SK_JN_BINARY, SK_JO_POW, n, unary(p, true));
	return n;
}

static struct sk_jnode *product(struct sk_jp *p)
{
	struct sk_jnode *n = power(p);

	while (p->at->kind == SK_JT_OP && p->at->op >= SK_JO_MUL && p->at->op <= SK_JO_MOD) {
		enum sk_jop op = (enum sk_jop)p->at++->op;

		n = pair(p, SK_JN_BINARY, op, n, power(p));
	}
	return n;
}

/* a ~ b ~ c: a list of parts in args */
static struct sk_jnode *concat(struct sk_jp *p)
{
	struct sk_jnode *first = product(p), *n;

	if (!sk_jp_op(p, SK_JO_TILDE))
		return first;
	n = sk_jp_node(p, SK_JN_CONCAT);
	n->args = first;
	while (sk_jp_skip_op(p, SK_JO_TILDE)) {
		first->next = product(p);
		first = first->next;
	}
	return n;
}

static struct sk_jnode *sum(struct sk_jp *p)
{
	struct sk_jnode *n = concat(p);

	while (sk_jp_op(p, SK_JO_ADD) || sk_jp_op(p, SK_JO_SUB)) {
		enum sk_jop op = (enum sk_jop)p->at++->op;

		n = pair(p, SK_JN_BINARY, op, n, concat(p));
	}
	return n;
}

/* a < b <= c: a, and args with an op each */
static struct sk_jnode *parse_compare(struct sk_jp *p)
{
	struct sk_jnode *first = sum(p), *n = NULL, *last = NULL;

	for (;;) {
		enum sk_jop op = SK_JO_NONE;
		struct sk_jnode *right;

		if (p->at->kind == SK_JT_OP && p->at->op >= SK_JO_EQ && p->at->op <= SK_JO_GE) {
			op = (enum sk_jop)p->at++->op;
		} else if (sk_jp_skip(p, "in")) {
			op = SK_JO_IN;
		} else if (sk_jp_is(p, "not") && p->at[1].kind == SK_JT_NAME && sk_jv_is(p->at[1].value, "in")) {
			op = SK_JO_NOTIN;
			p->at += 2;
		} else {
			return n ? n : first;
		}
		if (!n) {
			n = sk_jp_node(p, SK_JN_COMPARE);
			n->a = first;
		}
		right = pair(p, SK_JN_SCOPE, op, first, sum(p));
		right->a = right->b;
		if (last)
			last->next = right;
		else
			n->args = right;
		last = right;
	}
}

static struct sk_jnode *const_node(struct sk_jp *p, struct sk_jv v)
{
	struct sk_jnode *n = sk_jp_node(p, SK_JN_CONST);

	n->value = v;
	return n;
}

/* One of the parts between brackets: an index or a slice (a:b:c). */
static struct sk_jnode *subscribed(struct sk_jp *p)
{
	struct sk_jnode *parts[3] = { NULL, NULL, NULL }, *n;
	int at = 0;

	if (!sk_jp_op(p, SK_JO_COLON)) {
		parts[0] = sk_jp_expr(p);
		if (!sk_jp_op(p, SK_JO_COLON))
			return parts[0];
	}
	while (sk_jp_skip_op(p, SK_JO_COLON)) {
		if (++at > 2)
			sk_jp_unexpected(p, "']'");
		if (!sk_jp_op(p, SK_JO_COLON) && !sk_jp_op(p, SK_JO_RBRACKET) && !sk_jp_op(p, SK_JO_COMMA))
			parts[at] = sk_jp_expr(p);
	}
	n = sk_jp_node(p, SK_JN_SLICE);
	n->a = parts[0];
	n->b = parts[1];
	n->c = parts[2];
	return n;
}

/* a.name, a.0, a[b], a[b:c] */
static struct sk_jnode *subscript(struct sk_jp *p, struct sk_jnode *of)
{
	struct sk_jnode *n, *args = NULL;
	size_t count = 0;

	if (sk_jp_skip_op(p, SK_JO_DOT)) {
		if (p->at->kind == SK_JT_NAME) {
			n = pair(p, SK_JN_ATTR, SK_JO_NONE, of, NULL);
			n->name = sk_jp_sym(p, p->at->value.s, p->at->value.len);
			p->at++;
			return n;
		}
		if (p->at->kind != SK_JT_NUM || p->at->value.kind != SK_J_INT)
			sk_jp_unexpected(p, "a name or a number");
		return pair(p, SK_JN_ITEM, SK_JO_NONE, of, const_node(p, p->at++->value));
	}
	sk_jp_want_op(p, SK_JO_LBRACKET, "'['");
	while (!sk_jp_op(p, SK_JO_RBRACKET)) {
		if (count++)
			sk_jp_want_op(p, SK_JO_COMMA, "','");
		chain(&args, subscribed(p));
	}
	p->at++;
	if (!args)
		sk_jp_unexpected(p, "an index");
	if (args->next) {
		struct sk_jnode *tuple = sk_jp_node(p, SK_JN_TUPLE);

		tuple->args = args;
		args = tuple;
	}
	return pair(p, SK_JN_ITEM, SK_JO_NONE, of, args);
}

/* (a, b=c, *d, **e): linked arguments. op MUL and POW mark the last two, name the second. */
struct sk_jnode *sk_jp_call_args(struct sk_jp *p)
{
	struct sk_jnode *args = NULL, *last = NULL, *n;
	size_t count = 0;
	bool keywords = false;

	sk_jp_want_op(p, SK_JO_LPAREN, "'('");
	while (!sk_jp_op(p, SK_JO_RPAREN)) {
		enum sk_jop star = SK_JO_NONE;
		const struct sk_jsym *name = NULL;

		if (count++) {
			sk_jp_want_op(p, SK_JO_COMMA, "',' or ')'");
			if (sk_jp_op(p, SK_JO_RPAREN))
				break;
		}
		if (sk_jp_skip_op(p, SK_JO_MUL)) {
			star = SK_JO_MUL;
		} else if (sk_jp_skip_op(p, SK_JO_POW)) {
			star = SK_JO_POW;
		} else if (p->at->kind == SK_JT_NAME && p->at[1].kind == SK_JT_OP && p->at[1].op == SK_JO_ASSIGN) {
			name = sk_jp_sym(p, p->at->value.s, p->at->value.len);
			p->at += 2;
		}
		if (keywords && !name && star == SK_JO_NONE)
			sk_jp_unexpected(p, "a keyword argument");
		keywords |= name || star == SK_JO_POW;
		n = sk_jp_node(p, SK_JN_SCOPE);
		n->a = sk_jp_expr(p);
		n->op = (uint8_t)star;
		n->name = name;
		if (last)
			last->next = n;
		else
			args = n;
		last = n;
	}
	p->at++;
	return args;
}

static struct sk_jnode *call(struct sk_jp *p, struct sk_jnode *of)
{
	struct sk_jnode *n = pair(p, SK_JN_CALL, SK_JO_NONE, of, NULL);

	n->args = sk_jp_call_args(p);
	return n;
}

static struct sk_jnode *postfix(struct sk_jp *p, struct sk_jnode *n)
{
	for (;;) {
		if (sk_jp_op(p, SK_JO_DOT) || sk_jp_op(p, SK_JO_LBRACKET))
			n = subscript(p, n);
		else if (sk_jp_op(p, SK_JO_LPAREN))
			n = call(p, n);
		else
			return n;
	}
}

/* "name" or "name.name": of a filter or a test. */
static const struct sk_jsym *dotted(struct sk_jp *p)
{
	struct sk_jsb b = { 0 };
	const struct sk_jsym *s = sk_jp_want_name(p);

	if (!sk_jp_op(p, SK_JO_DOT))
		return s;
	sk_jsb_add(p->j, &b, s->s, s->len);
	while (sk_jp_skip_op(p, SK_JO_DOT)) {
		s = sk_jp_want_name(p);
		sk_jsb_addc(p->j, &b, '.');
		sk_jsb_add(p->j, &b, s->s, s->len);
	}
	return sk_jp_sym(p, b.s, b.len);
}

static struct sk_jnode *filter(struct sk_jp *p, struct sk_jnode *of)
{
	struct sk_jnode *n = sk_jp_node(p, SK_JN_FILTER);

	n->a = of;
	n->name = dotted(p);
	n->def = sk_j_filter(n->name->s, n->name->len);
	if (!n->def && !p->soft)
		sk_j_fail(p->j, SK_EFORMAT, "no filter named '%.*s'", (int)n->name->len, n->name->s);
	if (sk_jp_op(p, SK_JO_LPAREN))
		n->args = sk_jp_call_args(p);
	return n;
}

static struct sk_jnode *test(struct sk_jp *p, struct sk_jnode *of)
{
	struct sk_jnode *n = sk_jp_node(p, SK_JN_TEST), *arg;
	bool negated = sk_jp_skip(p, "not");
	enum sk_jtok_kind next;

	n->a = of;
	n->name = dotted(p);
	n->def = sk_j_test(n->name->s, n->name->len);
	if (!n->def && !p->soft)
		sk_j_fail(p->j, SK_EFORMAT, "no test named '%.*s'", (int)n->name->len, n->name->s);
	next = (enum sk_jtok_kind)p->at->kind;
	if (sk_jp_op(p, SK_JO_LPAREN)) {
		n->args = sk_jp_call_args(p);
	} else if ((next == SK_JT_NAME && !sk_jp_is(p, "else") && !sk_jp_is(p, "or") && !sk_jp_is(p, "and")) || next == SK_JT_STR ||
		   next == SK_JT_NUM || sk_jp_op(p, SK_JO_LBRACKET) || sk_jp_op(p, SK_JO_LBRACE)) {
		if (sk_jp_is(p, "is"))
			sk_j_fail(p->j, SK_EFORMAT, "tests cannot be chained with 'is'");
		arg = sk_jp_node(p, SK_JN_SCOPE);
		arg->a = postfix(p, primary(p));
		n->args = arg;
	}
	if (negated) {
		struct sk_jnode *not = sk_jp_node(p, SK_JN_NOT);

		not->a = n;
		n = not;
	}
	return n;
}

/* |filter(...), is test, and calls of what came out. from_name: a filter's name comes first, without '|'. */
struct sk_jnode *sk_jp_filters(struct sk_jp *p, struct sk_jnode *n, bool from_name)
{
	int levels = 0;

	if (from_name) {
		n = filter(p, n);
		while (sk_jp_skip_op(p, SK_JO_PIPE))
			n = filter(p, n);
		return n;
	}
	for (;; levels++) {
		if (levels > SK_J_DEPTH_MAX / 2)
			sk_j_fail(p->j, SK_ETOOBIG, "more than %d filters in a row", SK_J_DEPTH_MAX / 2);
		if (sk_jp_skip_op(p, SK_JO_PIPE))
			n = filter(p, n);
		else if (sk_jp_skip(p, "is"))
			n = test(p, n);
		else if (sk_jp_op(p, SK_JO_LPAREN))
			n = call(p, n);
		else
			return n;
	}
}

struct sk_jnode *sk_jp_postfix_call(struct sk_jp *p)
{
	return unary(p, true);
}

static struct sk_jnode *unary(struct sk_jp *p, bool with_filter)
{
	struct sk_jnode *n;

	sk_j_down(p->j);
	if (sk_jp_op(p, SK_JO_SUB) || sk_jp_op(p, SK_JO_ADD)) {
		n = sk_jp_node(p, p->at++->op == SK_JO_SUB ? SK_JN_NEG : SK_JN_POS);
		n->a = unary(p, false);
	} else {
		n = postfix(p, primary(p));
	}
	if (with_filter)
		n = sk_jp_filters(p, n, false);
	sk_j_up(p->j);
	return n;
}

/* {a: b, c: d}: keys and values in turn */
static struct sk_jnode *dict(struct sk_jp *p)
{
	struct sk_jnode *n = sk_jp_node(p, SK_JN_DICT), **tail = &n->args;

	while (!sk_jp_op(p, SK_JO_RBRACE)) {
		if (n->args) {
			sk_jp_want_op(p, SK_JO_COMMA, "',' or '}'");
			if (sk_jp_op(p, SK_JO_RBRACE))
				break;
		}
		/* An item may be shared by nothing else, so `next` is free; yet a tuple's last item may have one. */
		*tail = sk_jp_node(p, SK_JN_SCOPE);
		(*tail)->a = sk_jp_expr(p);
		sk_jp_want_op(p, SK_JO_COLON, "':'");
		(*tail)->b = sk_jp_expr(p);
		tail = &(*tail)->next;
	}
	p->at++;
	return n;
}

static struct sk_jnode *list(struct sk_jp *p)
{
	struct sk_jnode *n = sk_jp_node(p, SK_JN_LIST), **tail = &n->args;

	while (!sk_jp_op(p, SK_JO_RBRACKET)) {
		if (n->args) {
			sk_jp_want_op(p, SK_JO_COMMA, "',' or ']'");
			if (sk_jp_op(p, SK_JO_RBRACKET))
				break;
		}
		*tail = sk_jp_expr(p);
		tail = &(*tail)->next;
	}
	p->at++;
	return n;
}

static const struct { const char *name; struct sk_jv v; } words[] = {
	{ "true", { .kind = SK_J_BOOL, .b = true } }, { "True", { .kind = SK_J_BOOL, .b = true } },
	{ "false", { .kind = SK_J_BOOL } }, { "False", { .kind = SK_J_BOOL } },
	{ "none", { .kind = SK_J_NONE } }, { "None", { .kind = SK_J_NONE } },
};

static struct sk_jnode *name_node(struct sk_jp *p)
{
	struct sk_jv v = p->at->value;
	struct sk_jnode *n;

	for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
		if (sk_jv_is(v, words[i].name)) {
			p->at++;
			return const_node(p, words[i].v);
		}
	}
	n = sk_jp_node(p, SK_JN_NAME);
	n->name = sk_jp_want_name(p);
	for (int i = 0; i < SK_J_SYMS; i++)
		if (n->name == p->syms[i])
			p->mentioned |= 1u << i;
	return n;
}

static struct sk_jnode *parenthesised(struct sk_jp *p)
{
	struct sk_jnode *n;

	if (sk_jp_skip_op(p, SK_JO_RPAREN))
		return sk_jp_node(p, SK_JN_TUPLE);
	n = sk_jp_tuple(p, true, NULL);
	sk_jp_want_op(p, SK_JO_RPAREN, "')'");
	/* The node may be linked into a list by who asked: never twice. */
	return n;
}

static struct sk_jnode *primary(struct sk_jp *p)
{
	struct sk_jnode *n;

	switch ((enum sk_jtok_kind)p->at->kind) {
	case SK_JT_NAME:
		return name_node(p);
	case SK_JT_NUM:
		return const_node(p, p->at++->value);
	case SK_JT_STR:
		n = const_node(p, p->at++->value);
		while (p->at->kind == SK_JT_STR)
			n->value = sk_j_join(p->j, n->value, p->at++->value);
		return n;
	default:
		break;
	}
	if (sk_jp_skip_op(p, SK_JO_LPAREN))
		return parenthesised(p);
	if (sk_jp_skip_op(p, SK_JO_LBRACKET))
		return list(p);
	if (sk_jp_skip_op(p, SK_JO_LBRACE))
		return dict(p);
	sk_jp_unexpected(p, "an expression");
}

/* Where a tuple without parentheses ends. */
static bool tuple_ends(const struct sk_jp *p, const char *end)
{
	return p->at->kind == SK_JT_VAR_END || p->at->kind == SK_JT_BLOCK_END || sk_jp_op(p, SK_JO_RPAREN) || (end && sk_jp_is(p, end));
}

/* a  or  a, b  or  a, */
struct sk_jnode *sk_jp_tuple(struct sk_jp *p, bool with_cond, const char *end)
{
	struct sk_jnode *first, *last, *n;

	if (tuple_ends(p, end))
		sk_jp_unexpected(p, "an expression");
	first = last = with_cond ? sk_jp_expr(p) : parse_or(p);
	if (!sk_jp_op(p, SK_JO_COMMA))
		return first;
	n = sk_jp_node(p, SK_JN_TUPLE);
	n->args = first;
	while (sk_jp_skip_op(p, SK_JO_COMMA) && !tuple_ends(p, end)) {
		last->next = with_cond ? sk_jp_expr(p) : parse_or(p);
		last = last->next;
	}
	return n;
}

/* name  or  name, (name, name)  or  namespace.name */
struct sk_jnode *sk_jp_target(struct sk_jp *p, const char *end, bool with_ns)
{
	struct sk_jnode *first = NULL, *last = NULL, *n;

	for (;;) {
		sk_j_down(p->j);
		if (sk_jp_skip_op(p, SK_JO_LPAREN)) {
			n = sk_jp_target(p, NULL, with_ns);
			sk_jp_want_op(p, SK_JO_RPAREN, "')'");
		} else {
			n = name_node(p->at->kind == SK_JT_NAME ? p : (sk_jp_unexpected(p, "a name"), p));
			if (n->kind != SK_JN_NAME)
				sk_j_fail(p->j, SK_EFORMAT, "a constant cannot be assigned to");
			if (with_ns && sk_jp_skip_op(p, SK_JO_DOT)) {
				n->kind = SK_JN_NSREF;
				n->a = sk_jp_node(p, SK_JN_NAME);
				n->a->name = sk_jp_want_name(p);
			}
		}
		sk_j_up(p->j);
		if (last)
			last->next = n;
		else
			first = n;
		last = n;
		if (!sk_jp_op(p, SK_JO_COMMA))
			break;
		p->at++;
		if (tuple_ends(p, end) || sk_jp_op(p, SK_JO_ASSIGN))
			goto tuple;
	}
	if (first == last)
		return first;
tuple:
	n = sk_jp_node(p, SK_JN_TUPLE);
	n->args = first;
	return n;
}
