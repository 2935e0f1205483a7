/* SPDX-License-Identifier: Apache-2.0 */
/* Filters that take or give sequences. */
#include <string.h>

#include "engine/text/jinja_in.h"

#define FILTER(name) static struct sk_jv name(struct sk_j *j, struct sk_jv self, const struct sk_jv *a, const struct sk_jargs *raw)
#define UNUSED (void)j, (void)self, (void)a, (void)raw

static struct sk_jv gen(struct sk_jlist *l)
{
	return (struct sk_jv){ .kind = SK_J_GEN, .list = l };
}

static struct sk_jv tuple2(struct sk_j *j, struct sk_jv x, struct sk_jv y)
{
	struct sk_jlist *l = sk_j_list(j, 2);

	sk_j_push(j, l, x);
	sk_j_push(j, l, y);
	return (struct sk_jv){ .kind = SK_J_TUPLE, .list = l };
}

FILTER(f_length)
{
	size_t n;

	UNUSED;
	if (!sk_j_len(j, self, &n))
		sk_j_fail(j, SK_EINVAL, "object of type '%s' has no len()", sk_j_type(self));
	return sk_jv_int((int64_t)n);
}

FILTER(f_list)
{
	struct sk_jlist *from = sk_j_iter(j, self), *l = sk_j_list(j, from->len);

	UNUSED;
	for (size_t i = 0; i < from->len; i++)
		sk_j_push(j, l, from->v[i]);
	return sk_jv_list(l);
}

FILTER(f_first)
{
	struct sk_jlist *l = sk_j_iter(j, self);

	UNUSED;
	return l->len ? l->v[0] : sk_j_undef_hint(j, "No first item, sequence was empty.");
}

FILTER(f_last)
{
	struct sk_jlist *l;

	UNUSED;
	if (self.kind == SK_J_GEN)
		sk_j_fail(j, SK_EINVAL, "'generator' object is not reversible");
	l = sk_j_iter(j, self);
	return l->len ? l->v[l->len - 1] : sk_j_undef_hint(j, "No last item, sequence was empty.");
}

FILTER(f_reverse)
{
	struct sk_jlist *from = sk_j_iter(j, self), *l = sk_j_list(j, from->len);
	struct sk_jsb b = { 0 };

	UNUSED;
	for (size_t i = from->len; i-- > 0;) {
		if (self.kind == SK_J_STR)
			sk_jsb_add(j, &b, from->v[i].s, from->v[i].len);
		else
			sk_j_push(j, l, from->v[i]);
	}
	return self.kind == SK_J_STR ? sk_jsb_str(&b) : gen(l);
}

FILTER(f_default)
{
	bool falsy = sk_j_given_true(j, a[1]);

	(void)raw;
	if (self.kind == SK_J_UNDEF || (falsy && !sk_j_true(j, self)))
		return sk_j_given(a[0]) ? a[0] : sk_jv_str("", 0);
	return self;
}

/* a: d, attribute */
FILTER(f_join)
{
	struct sk_jlist *l = sk_j_iter(j, self);
	struct sk_jv sep = sk_j_given(a[0]) ? sk_j_str(j, a[0]) : sk_jv_str("", 0);
	struct sk_jsb b = { 0 };

	(void)raw;
	for (size_t i = 0; i < l->len; i++) {
		struct sk_jv v = l->v[i];

		if (sk_j_given(a[1]) && a[1].kind != SK_J_NONE)
			v = sk_j_path(j, v, a[1], (struct sk_jv){ 0 });
		if (i)
			sk_jsb_add(j, &b, sep.s, sep.len);
		sk_j_add_str(j, &b, v);
	}
	return sk_jsb_str(&b);
}

FILTER(f_attr)
{
	struct sk_jv name = sk_j_str(j, a[0]), v;

	(void)raw;
	if (self.kind == SK_J_DICT) {
		const struct sk_jdef *d = sk_j_def_find(sk_j_dict_methods, name.s, name.len);

		return d ? sk_j_attr(j, self, name.s, name.len) : sk_j_undef_member(j, self, name);
	}
	v = sk_j_attr(j, self, name.s, name.len);
	return v;
}

FILTER(f_items)
{
	if (self.kind == SK_J_UNDEF)
		return gen(sk_j_list(j, 0));
	if (self.kind != SK_J_DICT)
		sk_j_fail(j, SK_EINVAL, "Can only get item pairs from a mapping.");
	return gen(sk_j_def_find(sk_j_dict_methods, "items", 5)->run(j, self, a, raw).list);
}

/* ---- order -------------------------------------------------------------------------------------------------- */

struct keyed { struct sk_jv key, v; };

static struct sk_jv folded(struct sk_j *j, struct sk_jv v, bool exact)
{
	return v.kind == SK_J_STR && !exact ? sk_j_case(j, v, SK_J_LOWER) : v;
}

/* Stable; the smallest first, or the largest. */
static void sort(struct sk_j *j, struct keyed *k, struct keyed *room, size_t len, bool down)
{
	size_t half = len / 2, x = 0, y = half, n = 0;

	if (len < 2)
		return;
	sort(j, k, room, half, down);
	sort(j, k + half, room + half, len - half, down);
	while (x < half || y < len) {
		bool left = y >= len;

		if (!left && x < half) {
			int c = sk_j_compare(j, down ? k[x].key : k[y].key, down ? k[y].key : k[x].key, "<");

			left = c != -1;
		}
		room[n++] = left ? k[x++] : k[y++];
	}
	memcpy(k, room, len * sizeof *k);
}

/* Items with their keys: paths "a,b.c" give tuples. */
static struct keyed *keys_of(struct sk_j *j, const struct sk_jlist *l, struct sk_jv path, struct sk_jv otherwise, bool exact)
{
	struct keyed *k = sk_j_take(j, (l->len + 1) * 2 * sizeof *k);
	bool many = path.kind == SK_J_STR && memchr(path.s, ',', path.len);

	for (size_t i = 0; i < l->len; i++) {
		struct sk_jlist *parts;
		size_t from = 0;

		k[i].v = k[i].key = l->v[i];
		if (!sk_j_given(path) || path.kind == SK_J_NONE) {
			k[i].key = folded(j, l->v[i], exact);
			continue;
		}
		if (!many) {
			k[i].key = folded(j, sk_j_path(j, l->v[i], path, otherwise), exact);
			continue;
		}
		parts = sk_j_list(j, 0);
		for (size_t at = 0; at <= path.len; at++) {
			if (at < path.len && path.s[at] != ',')
				continue;
			sk_j_push(j, parts, folded(j, sk_j_path(j, l->v[i], sk_j_sub(path, from, at), otherwise), exact));
			from = at + 1;
		}
		k[i].key = sk_jv_list(parts);
	}
	return k;
}

static struct sk_jlist *values(struct sk_j *j, const struct keyed *k, size_t len)
{
	struct sk_jlist *l = sk_j_list(j, len);

	for (size_t i = 0; i < len; i++)
		sk_j_push(j, l, k[i].v);
	return l;
}

/* a: reverse, case_sensitive, attribute */
FILTER(f_sort)
{
	struct sk_jlist *l = sk_j_iter(j, self);
	struct keyed *k = keys_of(j, l, a[2], (struct sk_jv){ 0 }, sk_j_given_true(j, a[1]));

	(void)raw;
	sort(j, k, k + l->len, l->len, sk_j_given_true(j, a[0]));
	return sk_jv_list(values(j, k, l->len));
}

/* a: case_sensitive, by, reverse */
FILTER(f_dictsort)
{
	bool exact = sk_j_given_true(j, a[0]), by_value = sk_jv_is(a[1], "value");
	struct sk_jlist *l;
	struct keyed *k;

	(void)raw;
	if (sk_j_given(a[1]) && !by_value && !sk_jv_is(a[1], "key"))
		sk_j_fail(j, SK_EINVAL, "You can only sort by either \"key\" or \"value\"");
	if (self.kind != SK_J_DICT)
		sk_j_fail(j, SK_EINVAL, "dictsort wants a dict, not %s", sk_j_type(self));
	l = sk_j_def_find(sk_j_dict_methods, "items", 5)->run(j, self, a, raw).list;
	k = sk_j_take(j, (l->len + 1) * 2 * sizeof *k);
	for (size_t i = 0; i < l->len; i++)
		k[i] = (struct keyed){ folded(j, l->v[i].list->v[by_value], exact), l->v[i] };
	sort(j, k, k + l->len, l->len, sk_j_given_true(j, a[2]));
	return sk_jv_list(values(j, k, l->len));
}

/* a: case_sensitive, attribute */
static struct sk_jv extreme(struct sk_j *j, struct sk_jv self, const struct sk_jv *a, int side)
{
	struct sk_jlist *l = sk_j_iter(j, self);
	struct keyed *k = keys_of(j, l, a[1], (struct sk_jv){ 0 }, sk_j_given_true(j, a[0]));
	size_t best = 0;

	if (!l->len)
		return sk_j_undef_hint(j, "No aggregated item, sequence was empty.");
	for (size_t i = 1; i < l->len; i++)
		if (sk_j_compare(j, k[i].key, k[best].key, side < 0 ? "<" : ">") == side)
			best = i;
	return k[best].v;
}

FILTER(f_min) { UNUSED; return extreme(j, self, a, -1); }
FILTER(f_max) { UNUSED; return extreme(j, self, a, 1); }

/* a: case_sensitive, attribute */
FILTER(f_unique)
{
	struct sk_jlist *l = sk_j_iter(j, self), *kept = sk_j_list(j, 0);
	struct keyed *k = keys_of(j, l, a[1], (struct sk_jv){ 0 }, sk_j_given_true(j, a[0]));
	struct sk_jdict *seen = sk_j_dict(j);

	(void)raw;
	for (size_t i = 0; i < l->len; i++) {
		if (sk_j_find(j, seen, k[i].key))
			continue;
		sk_j_put(j, seen, k[i].key, sk_jv_none());
		sk_j_push(j, kept, k[i].v);
	}
	return gen(kept);
}

/* a: attribute, default, case_sensitive */
FILTER(f_groupby)
{
	struct sk_jlist *l = sk_j_iter(j, self), *groups = sk_j_list(j, 0), *members = NULL;
	bool exact = sk_j_given_true(j, a[2]);
	struct keyed *k = keys_of(j, l, a[0], a[1], exact);

	(void)raw;
	sort(j, k, k + l->len, l->len, false);
	for (size_t i = 0; i < l->len; i++) {
		if (!i || !sk_j_equal(j, k[i].key, k[i - 1].key)) {
			struct sk_jv pair;

			members = sk_j_list(j, 0);
			pair = tuple2(j, exact ? k[i].key : sk_j_path(j, k[i].v, a[0], a[1]), sk_jv_list(members));
			pair.list->what = "group";
			sk_j_push(j, groups, pair);
		}
		sk_j_push(j, members, k[i].v);
	}
	return sk_jv_list(groups);
}

/* a: attribute, start */
FILTER(f_sum)
{
	struct sk_jlist *l = sk_j_iter(j, self);
	struct sk_jv sum = sk_j_given(a[1]) ? a[1] : sk_jv_int(0);

	(void)raw;
	if (sum.kind == SK_J_STR)
		sk_j_fail(j, SK_EINVAL, "sum() can't sum strings [use ''.join(seq) instead]");
	for (size_t i = 0; i < l->len; i++) {
		struct sk_jv v = l->v[i];

		if (sk_j_given(a[0]) && a[0].kind != SK_J_NONE)
			v = sk_j_path(j, v, a[0], (struct sk_jv){ 0 });
		sum = sk_j_binary(j, SK_JO_ADD, sum, v);
	}
	return sum;
}

/* ---- cutting ------------------------------------------------------------------------------------------------ */

/* a: linecount, fill_with */
FILTER(f_batch)
{
	struct sk_jlist *l = sk_j_iter(j, self), *all = sk_j_list(j, 0), *row = NULL;
	int64_t n = sk_j_want_int(j, a[0]);

	(void)raw;
	for (size_t i = 0; i < l->len; i++) {
		if (!row || (int64_t)row->len == n) {
			row = sk_j_list(j, 0);
			sk_j_push(j, all, sk_jv_list(row));
		}
		sk_j_push(j, row, l->v[i]);
	}
	while (row && sk_j_given(a[1]) && a[1].kind != SK_J_NONE && (int64_t)row->len < n)
		sk_j_push(j, row, a[1]);
	return gen(all);
}

/* a: slices, fill_with */
FILTER(f_slice)
{
	struct sk_jlist *l = sk_j_iter(j, self), *all = sk_j_list(j, 0);
	int64_t n = sk_j_want_int(j, a[0]);
	size_t at = 0, each, extra;

	(void)raw;
	if (n <= 0)
		sk_j_fail(j, SK_EINVAL, "integer division or modulo by zero");
	each = l->len / (size_t)n;
	extra = l->len % (size_t)n;
	for (size_t i = 0; i < (size_t)n; i++) {
		struct sk_jlist *row = sk_j_list(j, 0);
		size_t len = each + (i < extra);

		for (size_t k = 0; k < len; k++)
			sk_j_push(j, row, l->v[at++]);
		if (sk_j_given(a[1]) && a[1].kind != SK_J_NONE && i >= extra)
			sk_j_push(j, row, a[1]);
		sk_j_push(j, all, sk_jv_list(row));
	}
	return gen(all);
}

/* ---- map, select and their kin ------------------------------------------------------------------------------ */

/* raw without its first n. */
static const struct sk_jargs *behind(struct sk_j *j, const struct sk_jargs *raw, size_t n)
{
	struct sk_jargs *args = sk_j_take(j, sizeof *args);

	memcpy(args, raw, sizeof *args);
	args->pos_len -= n;
	memmove(args->pos, args->pos + n, args->pos_len * sizeof *args->pos);
	return args;
}

static struct sk_jv map_attribute(struct sk_j *j, const struct sk_jlist *l, const struct sk_jargs *raw)
{
	struct sk_jv path = { 0 }, otherwise = { 0 };
	struct sk_jlist *to = sk_j_list(j, l->len);

	for (size_t i = 0; i < raw->kw_len; i++) {
		struct sk_jv name = sk_jv_str(raw->kw[i].name, raw->kw[i].len);

		if (sk_jv_is(name, "attribute"))
			path = raw->kw[i].v;
		else if (sk_jv_is(name, "default"))
			otherwise = raw->kw[i].v;
		else
			sk_j_fail(j, SK_EINVAL, "Unexpected keyword argument %s", sk_j_repr(j, name));
	}
	if (!sk_j_given(path))
		sk_j_fail(j, SK_EINVAL, "map requires a filter argument");
	if (otherwise.kind == SK_J_NONE)
		otherwise = (struct sk_jv){ 0 };
	for (size_t i = 0; i < l->len; i++)
		sk_j_push(j, to, sk_j_path(j, l->v[i], path, otherwise));
	return gen(to);
}

FILTER(f_map)
{
	struct sk_jlist *l = sk_j_true(j, self) ? sk_j_iter(j, self) : sk_j_list(j, 0), *to;
	const struct sk_jdef *d;
	const struct sk_jargs *args;

	(void)a;
	if (!raw->pos_len)
		return map_attribute(j, l, raw);
	d = sk_j_filter(sk_j_want_str(j, raw->pos[0]).s, raw->pos[0].len);
	if (!d)
		sk_j_fail(j, SK_EINVAL, "No filter named %s.", sk_j_repr(j, raw->pos[0]));
	args = behind(j, raw, 1);
	to = sk_j_list(j, l->len);
	for (size_t i = 0; i < l->len; i++)
		sk_j_push(j, to, sk_j_call_def(j, d, l->v[i], args));
	return gen(to);
}

/* select and reject, of items or of an attribute of theirs */
static struct sk_jv choose(struct sk_j *j, struct sk_jv self, const struct sk_jargs *raw, bool keep, bool by_attribute)
{
	struct sk_jlist *l = sk_j_true(j, self) ? sk_j_iter(j, self) : sk_j_list(j, 0), *kept = sk_j_list(j, 0);
	const struct sk_jdef *d = NULL;
	const struct sk_jargs *args = raw;
	size_t off = by_attribute;

	if (raw->pos_len < off)
		sk_j_fail(j, SK_EINVAL, "Missing parameter for attribute name");
	if (raw->pos_len > off) {
		d = sk_j_test(sk_j_want_str(j, raw->pos[off]).s, raw->pos[off].len);
		if (!d)
			sk_j_fail(j, SK_EINVAL, "No test named %s.", sk_j_repr(j, raw->pos[off]));
		args = behind(j, raw, off + 1);
	}
	for (size_t i = 0; i < l->len; i++) {
		struct sk_jv v = by_attribute ? sk_j_path(j, l->v[i], raw->pos[0], (struct sk_jv){ 0 }) : l->v[i];

		if (sk_j_true(j, d ? sk_j_call_def(j, d, v, args) : v) == keep)
			sk_j_push(j, kept, l->v[i]);
	}
	return gen(kept);
}

FILTER(f_select) { UNUSED; return choose(j, self, raw, true, false); }
FILTER(f_reject) { UNUSED; return choose(j, self, raw, false, false); }
FILTER(f_selectattr) { UNUSED; return choose(j, self, raw, true, true); }
FILTER(f_rejectattr) { UNUSED; return choose(j, self, raw, false, true); }

const struct sk_jdef sk_j_list_filters[] = {
	{ "length", f_length, "" }, { "count", f_length, "" }, { "list", f_list, "" }, { "first", f_first, "" }, { "last", f_last, "" },
	{ "reverse", f_reverse, "" }, { "default", f_default, "?default_value ?boolean" }, { "d", f_default, "?default_value ?boolean" },
	{ "join", f_join, "?d ?attribute" }, { "attr", f_attr, "name" }, { "items", f_items, "" },
	{ "sort", f_sort, "?reverse ?case_sensitive ?attribute" }, { "dictsort", f_dictsort, "?case_sensitive ?by ?reverse" },
	{ "min", f_min, "?case_sensitive ?attribute" }, { "max", f_max, "?case_sensitive ?attribute" },
	{ "unique", f_unique, "?case_sensitive ?attribute" }, { "groupby", f_groupby, "attribute ?default ?case_sensitive" },
	{ "sum", f_sum, "?attribute ?start" }, { "batch", f_batch, "linecount ?fill_with" }, { "slice", f_slice, "slices ?fill_with" },
	{ "map", f_map, NULL }, { "select", f_select, NULL }, { "reject", f_reject, NULL }, { "selectattr", f_selectattr, NULL },
	{ "rejectattr", f_rejectattr, NULL },
	{ NULL, NULL, NULL },
};

const struct sk_jdef *sk_j_filter(const char *s, size_t len)
{
	const struct sk_jdef *d = sk_j_def_find(sk_j_text_filters, s, len);

	return d ? d : sk_j_def_find(sk_j_list_filters, s, len);
}
