/* SPDX-License-Identifier: Apache-2.0 */
/* What Jinja's operators do: arithmetic, `in`, members, items, slices, and what a loop goes over. */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/text/jinja_in.h"

/* ---- arithmetic --------------------------------------------------------------------------------------------- */

static const char *const op_names[] = {
	[SK_JO_ADD] = "+", [SK_JO_SUB] = "-", [SK_JO_MUL] = "*", [SK_JO_DIV] = "/", [SK_JO_FLOORDIV] = "//", [SK_JO_MOD] = "%",
	[SK_JO_POW] = "** or pow()",
};

static _Noreturn void overflow(struct sk_j *j)
{
	sk_j_fail(j, SK_EINVAL, "an integer does not fit in 64 bits");
}

static int64_t int_of(struct sk_jv v)
{
	return v.kind == SK_J_BOOL ? v.b : v.i;
}

static struct sk_jv int_power(struct sk_j *j, int64_t base, int64_t exponent)
{
	int64_t r = 1;

	if (exponent < 0) {
		if (!base)
			sk_j_fail(j, SK_EINVAL, "0.0 cannot be raised to a negative power");
		return sk_jv_float(pow((double)base, (double)exponent));
	}
	while (exponent) {
		if (exponent & 1 && __builtin_mul_overflow(r, base, &r))
			overflow(j);
		exponent >>= 1;
		if (exponent && __builtin_mul_overflow(base, base, &base))
			overflow(j);
	}
	return sk_jv_int(r);
}

static struct sk_jv int_op(struct sk_j *j, enum sk_jop op, int64_t x, int64_t y)
{
	int64_t r;

	switch (op) {
	case SK_JO_ADD:
		if (__builtin_add_overflow(x, y, &r))
			overflow(j);
		return sk_jv_int(r);
	case SK_JO_SUB:
		if (__builtin_sub_overflow(x, y, &r))
			overflow(j);
		return sk_jv_int(r);
	case SK_JO_MUL:
		if (__builtin_mul_overflow(x, y, &r))
			overflow(j);
		return sk_jv_int(r);
	case SK_JO_POW:
		return int_power(j, x, y);
	default:
		break;
	}
	if (!y)
		sk_j_fail(j, SK_EINVAL, op == SK_JO_DIV ? "division by zero" : "integer division or modulo by zero");
	if (op == SK_JO_DIV)
		return sk_jv_float((double)x / (double)y);
	if (x == INT64_MIN && y == -1) {
		if (op == SK_JO_MOD)
			return sk_jv_int(0);
		overflow(j);
	}
	r = x % y;
	if (op == SK_JO_MOD)
		return sk_jv_int(r && (r < 0) != (y < 0) ? r + y : r);
	return sk_jv_int(x / y - (r && (r < 0) != (y < 0)));
}

static struct sk_jv float_op(struct sk_j *j, enum sk_jop op, double x, double y)
{
	double r;

	if (!y && (op == SK_JO_DIV || op == SK_JO_FLOORDIV || op == SK_JO_MOD))
		sk_j_fail(j, SK_EINVAL, op == SK_JO_DIV ? "float division by zero" : "float floor division or modulo by zero");
	switch (op) {
	case SK_JO_ADD:
		return sk_jv_float(x + y);
	case SK_JO_SUB:
		return sk_jv_float(x - y);
	case SK_JO_MUL:
		return sk_jv_float(x * y);
	case SK_JO_DIV:
		return sk_jv_float(x / y);
	case SK_JO_POW:
		r = pow(x, y);
		if ((isnan(r) && !isnan(x) && !isnan(y)) || (isinf(r) && isfinite(x) && isfinite(y)))
			sk_j_fail(j, SK_EINVAL, "a power that is no finite real number");
		return sk_jv_float(r);
	default:
		r = fmod(x, y);
		if (r && (r < 0) != (y < 0))
			r += y;
		if (!r)
			r = copysign(0, y);
		if (op == SK_JO_MOD)
			return sk_jv_float(r);
		x = (x - r) / y;
		return sk_jv_float(x ? floor(x) + (x - floor(x) > 0.5) : copysign(0, x));
	}
}

static struct sk_jv repeat(struct sk_j *j, struct sk_jv v, int64_t n)
{
	struct sk_jsb b = { 0 };
	struct sk_jlist *l;
	struct sk_jv r = v;

	if (v.kind == SK_J_STR) {
		if (n > 0 && v.len && (uint64_t)n > j->output_max / v.len)
			sk_j_fail(j, SK_ETOOBIG, "a text of more than %zu bytes", j->output_max);
		for (int64_t i = 0; i < n && v.len; i++)
			sk_jsb_add(j, &b, v.s, v.len);
		return sk_jsb_str(&b);
	}
	l = sk_j_list(j, 0);
	for (int64_t i = 0; i < n && v.list->len; i++)
		for (size_t k = 0; k < v.list->len; k++)
			sk_j_push(j, l, v.list->v[k]);
	r.list = l;
	return r;
}

static bool sequence(struct sk_jv v)
{
	return v.kind == SK_J_STR || v.kind == SK_J_LIST || v.kind == SK_J_TUPLE;
}

static struct sk_jv add_lists(struct sk_j *j, struct sk_jv a, struct sk_jv b)
{
	struct sk_jlist *l = sk_j_list(j, a.list->len + b.list->len);
	struct sk_jv r = a;

	for (size_t i = 0; i < a.list->len; i++)
		sk_j_push(j, l, a.list->v[i]);
	for (size_t i = 0; i < b.list->len; i++)
		sk_j_push(j, l, b.list->v[i]);
	r.list = l;
	return r;
}

static struct sk_jv add_texts(struct sk_j *j, struct sk_jv a, struct sk_jv b)
{
	struct sk_jv r;

	if (!a.markup && !b.markup)
		return sk_j_join(j, a, b);
	r = sk_j_join(j, sk_j_escape(j, a), sk_j_escape(j, b));
	r.markup = true;
	return r;
}

struct sk_jv sk_j_binary(struct sk_j *j, enum sk_jop op, struct sk_jv a, struct sk_jv b)
{
	if (sk_j_is_int(a) && sk_j_is_int(b))
		return int_op(j, op, int_of(a), int_of(b));
	if (sk_j_is_num(a) && sk_j_is_num(b))
		return float_op(j, op, sk_j_num(a), sk_j_num(b));
	if (op == SK_JO_MOD && a.kind == SK_J_STR)
		return sk_j_percent(j, a, b);
	if (a.kind == SK_J_UNDEF)
		sk_j_undef_fail(j, a);
	if (b.kind == SK_J_UNDEF)
		sk_j_undef_fail(j, b);
	if (op == SK_JO_ADD && a.kind == SK_J_STR && b.kind == SK_J_STR)
		return add_texts(j, a, b);
	if (op == SK_JO_ADD && sequence(a) && a.kind == b.kind)
		return add_lists(j, a, b);
	if (op == SK_JO_MUL && sequence(a) && sk_j_is_int(b))
		return repeat(j, a, int_of(b));
	if (op == SK_JO_MUL && sequence(b) && sk_j_is_int(a))
		return repeat(j, b, int_of(a));
	if (a.kind == SK_J_BIG || b.kind == SK_J_BIG)
		overflow(j);
	if (op == SK_JO_ADD && sequence(a))
		sk_j_fail(j, SK_EINVAL, "can only concatenate %s (not \"%s\") to %s", sk_j_type(a), sk_j_type(b), sk_j_type(a));
	sk_j_fail(j, SK_EINVAL, "unsupported operand type(s) for %s: '%s' and '%s'", op_names[op], sk_j_type(a), sk_j_type(b));
}

/* ---- looking into values ------------------------------------------------------------------------------------ */

bool sk_j_iterable(struct sk_jv v)
{
	return (v.kind >= SK_J_STR && v.kind <= SK_J_DICT) || v.kind == SK_J_UNDEF || v.kind == SK_J_LOOP;
}

bool sk_j_len(struct sk_j *j, struct sk_jv v, size_t *ret_len)
{
	switch ((enum sk_jkind)v.kind) {
	case SK_J_UNDEF:
		*ret_len = 0;
		return true;
	case SK_J_STR:
		*ret_len = sk_j_chars(j, v);
		return true;
	case SK_J_LIST:
	case SK_J_TUPLE:
	case SK_J_VIEW:
		*ret_len = v.list->len;
		return true;
	case SK_J_RANGE:
		*ret_len = v.range->len;
		return true;
	case SK_J_DICT:
		*ret_len = v.dict->len;
		return true;
	case SK_J_LOOP:
		*ret_len = v.loop->items->len;
		return true;
	default:
		return false;
	}
}

static struct sk_jlist *chars(struct sk_j *j, struct sk_jv v)
{
	struct sk_jlist *l = sk_j_list(j, sk_j_chars(j, v));

	for (size_t at = 0; at < v.len;) {
		struct sk_jv rest = sk_j_sub(v, at, v.len);
		size_t n = sk_j_offset(rest, 1);

		sk_j_push(j, l, sk_j_sub(v, at, at + n));
		at += n;
	}
	return l;
}

struct sk_jlist *sk_j_iter(struct sk_j *j, struct sk_jv v)
{
	struct sk_jlist *l;

	switch ((enum sk_jkind)v.kind) {
	case SK_J_LIST:
	case SK_J_TUPLE:
	case SK_J_VIEW:
		return v.list;
	case SK_J_GEN:
		if (v.list->used)
			return sk_j_list(j, 0);
		v.list->used = true;
		return v.list;
	case SK_J_STR:
		return chars(j, v);
	case SK_J_UNDEF:
		return sk_j_list(j, 0);
	case SK_J_RANGE:
		l = sk_j_list(j, v.range->len);
		for (size_t i = 0; i < v.range->len; i++)
			sk_j_push(j, l, sk_jv_int(v.range->start + (int64_t)i * v.range->step));
		return l;
	case SK_J_DICT:
		l = sk_j_list(j, v.dict->len);
		for (size_t i = 0; i < v.dict->len; i++)
			sk_j_push(j, l, v.dict->e[i].k);
		return l;
	default:
		sk_j_fail(j, SK_EINVAL, "'%s' object is not iterable", sk_j_type(v));
	}
}

bool sk_j_in(struct sk_j *j, struct sk_jv item, struct sk_jv all)
{
	struct sk_jlist *l;

	if (all.kind == SK_J_STR) {
		if (item.kind != SK_J_STR)
			sk_j_fail(j, SK_EINVAL, "'in <string>' requires string as left operand, not %s", sk_j_type(item));
		sk_j_step(j, all.len / 16);
		return !item.len || (item.len <= all.len && memmem(all.s, all.len, item.s, item.len));
	}
	if (all.kind == SK_J_DICT)
		return sk_j_find(j, all.dict, item) != NULL;
	if (!sk_j_iterable(all))
		sk_j_fail(j, SK_EINVAL, "argument of type '%s' is not iterable", sk_j_type(all));
	l = sk_j_iter(j, all);
	for (size_t i = 0; i < l->len; i++)
		if (sk_j_equal(j, l->v[i], item))
			return true;
	return false;
}

/* ---- members ------------------------------------------------------------------------------------------------ */

static const struct sk_jdef *method_of(struct sk_jv v, const char *s, size_t len)
{
	const struct sk_jdef *d = NULL;

	switch ((enum sk_jkind)v.kind) {
	case SK_J_STR:
		d = sk_j_def_find(sk_j_str_methods, s, len);
		return d ? d : sk_j_def_find(sk_j_str_asks, s, len);
	case SK_J_DICT:
		return sk_j_def_find(sk_j_dict_methods, s, len);
	case SK_J_LIST:
	case SK_J_TUPLE:
		return sk_j_def_find(sk_j_list_methods, s, len);
	case SK_J_CYCLER:
		return sk_j_def_find(sk_j_cycler_methods, s, len);
	case SK_J_INT:
	case SK_J_BOOL:
	case SK_J_FLOAT:
		return sk_j_def_find(sk_j_num_methods, s, len);
	case SK_J_FUNC:
		return !strcmp(v.func->name, "dict") ? sk_j_def_find(sk_j_dict_type_methods, s, len) : NULL;
	default:
		return NULL;
	}
}

static bool named(const char *s, size_t len, const char *const *names)
{
	for (; *names; names++)
		if (strlen(*names) == len && !memcmp(*names, s, len))
			return true;
	return false;
}

/* What Python's objects have, and the sandbox keeps from templates. */
static bool forbidden(struct sk_jv v, const char *s, size_t len)
{
	static const char *const of_all[] = {
		"__class__", "__init__", "__doc__", "__dict__", "__new__", "__repr__", "__str__", "__hash__", "__eq__", "__dir__",
		"__getattribute__", "__setattr__", "__delattr__", "__reduce__", "__reduce_ex__", "__subclasshook__", "__init_subclass__",
		"__format__", "__sizeof__", "__ne__", "__lt__", "__gt__", "__le__", "__ge__", NULL
	};
	static const char *const of_list[] = { "append", "clear", "pop", "reverse", "insert", "sort", "extend", "remove", NULL };
	static const char *const of_dict[] = { "clear", "pop", "popitem", "setdefault", "update", NULL };

	return named(s, len, of_all) || (v.kind == SK_J_LIST && named(s, len, of_list)) || (v.kind == SK_J_DICT && named(s, len, of_dict));
}

static struct sk_jv unsafe(struct sk_j *j, struct sk_jv v, const char *s, size_t len)
{
	struct sk_jsb b = { 0 };

	sk_jsb_addf(j, &b, "access to attribute '%.*s' of '%s' object is unsafe.", (int)(len < 60 ? len : 60), s, sk_j_type(v));
	sk_jsb_addc(j, &b, 0);
	return sk_j_undef_hint(j, b.s);
}

static struct sk_jv macro_attr(struct sk_j *j, struct sk_jv v, const char *s, size_t len)
{
	struct sk_jlist *l;

	if (len == 4 && !memcmp(s, "name", 4))
		return sk_jv_str(v.macro->name->s, v.macro->name->len);
	if (len == 9 && !memcmp(s, "arguments", 9)) {
		l = sk_j_list(j, 0);
		for (const struct sk_jnode *a = v.macro->node->args; a; a = a->next)
			sk_j_push(j, l, sk_jv_str(a->name->s, a->name->len));
		return (struct sk_jv){ .kind = SK_J_TUPLE, .list = l };
	}
	return (struct sk_jv){ 0 };
}

/* What getattr() gives; MISSING: nothing. */
static struct sk_jv python_attr(struct sk_j *j, struct sk_jv v, const char *s, size_t len)
{
	const struct sk_jdef *d = method_of(v, s, len);
	struct sk_jv *found;

	if (d) {
		struct sk_jmethod *m = sk_j_take(j, sizeof *m);

		*m = (struct sk_jmethod){ v, d };
		return (struct sk_jv){ .kind = SK_J_METHOD, .method = m };
	}
	if (forbidden(v, s, len))
		return unsafe(j, v, s, len);
	switch ((enum sk_jkind)v.kind) {
	case SK_J_NS:
		found = sk_j_find_name(j, v.dict, s, len);
		return found ? *found : (struct sk_jv){ 0 };
	case SK_J_LOOP:
		return sk_j_loop_attr(j, v, s, len);
	case SK_J_MACRO:
		return macro_attr(j, v, s, len);
	case SK_J_CYCLER:
		if (len == 7 && !memcmp(s, "current", 7))
			return v.cycler->items->v[v.cycler->at];
		return (struct sk_jv){ 0 };
	case SK_J_TUPLE:        /* groupby's pairs */
		if (v.list->what && len == 7 && !memcmp(s, "grouper", 7))
			return v.list->v[0];
		if (v.list->what && len == 4 && !memcmp(s, "list", 4))
			return v.list->v[1];
		return (struct sk_jv){ 0 };
	default:
		return (struct sk_jv){ 0 };
	}
}

/* v[key] of Python; MISSING: an IndexError, a KeyError or a TypeError. */
static struct sk_jv python_item(struct sk_j *j, struct sk_jv v, struct sk_jv key)
{
	size_t len = 0;
	int64_t i;

	if (v.kind == SK_J_DICT || v.kind == SK_J_NS) {
		struct sk_jv *found;

		if (key.kind == SK_J_LIST || key.kind == SK_J_DICT)
			return (struct sk_jv){ 0 };
		found = sk_j_find(j, v.dict, key);
		return found ? *found : (struct sk_jv){ 0 };
	}
	if (!sk_j_is_int(key) || !(sequence(v) || v.kind == SK_J_RANGE))
		return (struct sk_jv){ 0 };
	sk_j_len(j, v, &len);
	i = int_of(key);
	if (i < 0)
		i += (int64_t)len;
	if (i < 0 || i >= (int64_t)len)
		return (struct sk_jv){ 0 };
	if (v.kind == SK_J_STR) {
		size_t from = sk_j_offset(v, (size_t)i);

		sk_j_step(j, from / 16);
		return sk_j_sub(v, from, from + sk_j_offset(sk_j_sub(v, from, v.len), 1));
	}
	return v.kind == SK_J_RANGE ? sk_jv_int(v.range->start + i * v.range->step) : v.list->v[i];
}

struct sk_jv sk_j_attr(struct sk_j *j, struct sk_jv v, const char *s, size_t len)
{
	struct sk_jv found;

	if (v.kind == SK_J_UNDEF)
		sk_j_undef_fail(j, v);
	found = python_attr(j, v, s, len);
	if (found.kind == SK_J_MISSING)
		found = python_item(j, v, sk_jv_str(s, len));
	return found.kind == SK_J_MISSING ? sk_j_undef_member(j, v, sk_jv_str(s, len)) : found;
}

struct sk_jv sk_j_item(struct sk_j *j, struct sk_jv v, struct sk_jv key)
{
	struct sk_jv found;

	if (v.kind == SK_J_UNDEF)
		sk_j_undef_fail(j, v);
	found = python_item(j, v, key);
	if (found.kind == SK_J_MISSING && key.kind == SK_J_STR)
		found = python_attr(j, v, key.s, key.len);
	return found.kind == SK_J_MISSING ? sk_j_undef_member(j, v, key) : found;
}

struct sk_jv sk_j_path(struct sk_j *j, struct sk_jv v, struct sk_jv path, struct sk_jv otherwise)
{
	size_t from = 0;

	if (path.kind != SK_J_STR) {
		v = sk_j_item(j, v, path);
		return v.kind == SK_J_UNDEF && sk_j_given(otherwise) ? otherwise : v;
	}
	for (size_t at = 0; at <= path.len; at++) {
		struct sk_jv part;
		bool digits = at > from;

		if (at < path.len && path.s[at] != '.')
			continue;
		part = sk_j_sub(path, from, at);
		for (size_t i = 0; i < part.len; i++)
			digits &= part.s[i] >= '0' && part.s[i] <= '9';
		if (at == from)
			digits = false;
		if (digits && part.len < 10) {
			int64_t n = 0;

			for (size_t i = 0; i < part.len; i++)
				n = n * 10 + part.s[i] - '0';
			part = sk_jv_int(n);
		}
		v = sk_j_item(j, v, part);
		if (v.kind == SK_J_UNDEF && sk_j_given(otherwise))
			v = otherwise;
		from = at + 1;
	}
	return v;
}

/* ---- slices ------------------------------------------------------------------------------------------------- */

static int64_t bound(struct sk_j *j, struct sk_jv v, int64_t otherwise, int64_t len, bool down)
{
	int64_t i, low = down ? -1 : 0, high = down ? len - 1 : len;

	if (v.kind == SK_J_NONE)
		return otherwise;
	if (!sk_j_is_int(v))
		sk_j_fail(j, SK_EINVAL, "slice indices must be integers or None or have an __index__ method");
	i = int_of(v);
	if (i < 0)
		i = i < -len ? -1 : i + len;
	return i < low ? low : i > high ? high : i;
}

static struct sk_jv slice_list(struct sk_j *j, struct sk_jv v, int64_t start, int64_t stop, int64_t step)
{
	struct sk_jlist *from = v.list, *l = sk_j_list(j, 0);
	struct sk_jv r = v;

	if (v.kind == SK_J_STR)
		from = chars(j, v);
	else if (v.kind == SK_J_RANGE)
		from = sk_j_iter(j, v);
	for (int64_t i = start; step > 0 ? i < stop : i > stop; i += step)
		sk_j_push(j, l, from->v[i]);
	if (v.kind == SK_J_STR) {
		struct sk_jsb b = { 0 };

		for (size_t i = 0; i < l->len; i++)
			sk_jsb_add(j, &b, l->v[i].s, l->v[i].len);
		return sk_jsb_str(&b);
	}
	r.list = l;
	if (v.kind == SK_J_RANGE)
		r.kind = SK_J_LIST;
	return r;
}

struct sk_jv sk_j_slice(struct sk_j *j, struct sk_jv v, struct sk_jv start, struct sk_jv stop, struct sk_jv step)
{
	int64_t by = 1, len, from, to;
	size_t n = 0;

	if (v.kind == SK_J_UNDEF)
		sk_j_undef_fail(j, v);
	if (!sequence(v) && v.kind != SK_J_RANGE)
		sk_j_fail(j, SK_EINVAL, "'%s' object is not subscriptable", sk_j_type(v));
	if (step.kind != SK_J_NONE) {
		if (!sk_j_is_int(step))
			sk_j_fail(j, SK_EINVAL, "slice indices must be integers or None or have an __index__ method");
		by = int_of(step);
		if (!by)
			sk_j_fail(j, SK_EINVAL, "slice step cannot be zero");
		if (by > 1 << 30 || by < -(1 << 30))
			by = by > 0 ? 1 << 30 : -(1 << 30);
	}
	sk_j_len(j, v, &n);
	len = (int64_t)n;
	from = bound(j, start, by < 0 ? len - 1 : 0, len, by < 0);
	to = bound(j, stop, by < 0 ? -1 : len, len, by < 0);
	if (v.kind == SK_J_STR && by == 1) {
		size_t a = sk_j_offset(v, (size_t)from);

		sk_j_step(j, v.len / 16);
		return to <= from ? sk_jv_str("", 0) : sk_j_sub(v, a, a + sk_j_offset(sk_j_sub(v, a, v.len), (size_t)(to - from)));
	}
	return slice_list(j, v, from, to, by);
}
