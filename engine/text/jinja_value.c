/* SPDX-License-Identifier: Apache-2.0 */
/* Jinja's values: making them, comparing them as Python does; limits, and the way out of a failure. */
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "engine/base/clock.h"
#include "engine/base/hash.h"
#include "engine/base/utf8.h"
#include "engine/text/jinja_in.h"

#define CLOCK_EVERY 4096                /* steps between looks at the clock */
#define INDEX_FROM 12                   /* a dict of so many keys has an index */

/* ---- the state ---------------------------------------------------------------------------------------------- */

void sk_j_fail(struct sk_j *j, sk_status st, const char *fmt, ...)
{
	char text[400];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	j->status = sk_fail(j->err, st, "line %u: %s", (unsigned)j->line, text);
	longjmp(j->leave, 1);
}

void *sk_j_take(struct sk_j *j, size_t bytes)
{
	void *p = sk_arena_take(j->arena, bytes);

	if (!p && j->arena->limit_bytes && bytes > j->arena->limit_bytes - j->arena->used_bytes - 16)
		sk_j_fail(j, SK_ETOOBIG, "the template takes more than %zu bytes of memory", j->arena->limit_bytes);
	if (!p)
		sk_j_fail(j, SK_ENOMEM, "out of memory");
	return p;
}

void sk_j_step(struct sk_j *j, size_t n)
{
	uint64_t before = j->steps;

	j->steps += n;
	if (j->steps > j->steps_max)
		sk_j_fail(j, SK_ETOOBIG, "the template takes more than %llu steps", (unsigned long long)j->steps_max);
	if (before / CLOCK_EVERY != j->steps / CLOCK_EVERY && j->deadline_us && sk_now_us() > j->deadline_us)
		sk_j_fail(j, SK_ETOOBIG, "the template takes too much time");
}

void sk_j_down(struct sk_j *j)
{
	if (++j->depth > SK_J_DEPTH_MAX)
		sk_j_fail(j, SK_ETOOBIG, "more than %d levels inside each other", SK_J_DEPTH_MAX);
}

/* ---- growing strings ---------------------------------------------------------------------------------------- */

void sk_jsb_add(struct sk_j *j, struct sk_jsb *b, const char *s, size_t len)
{
	if (b->cap - b->len < len) {
		size_t cap = (b->len + len) + (b->len + len) / 2 + 64;
		char *grown;

		if (j->output_max && b->len + len > j->output_max)
			sk_j_fail(j, SK_ETOOBIG, "a text of more than %zu bytes", j->output_max);
		grown = sk_j_take(j, cap);
		if (b->len)
			memcpy(grown, b->s, b->len);
		sk_j_bytes(j, b->len);
		b->s = grown;
		b->cap = cap;
	}
	if (len)
		memcpy(b->s + b->len, s, len);
	b->len += len;
	sk_j_step(j, len / 64);
}

void sk_jsb_adds(struct sk_j *j, struct sk_jsb *b, const char *s)
{
	sk_jsb_add(j, b, s, strlen(s));
}

void sk_jsb_addf(struct sk_j *j, struct sk_jsb *b, const char *fmt, ...)
{
	char text[512];
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	sk_jsb_add(j, b, text, n < 0 ? 0 : (size_t)n < sizeof text ? (size_t)n : sizeof text - 1);
}

struct sk_jv sk_j_text(struct sk_j *j, const char *s)
{
	(void)j;
	return sk_jv_str(s, strlen(s));
}

/*
 * a followed by b. Where a is the string that was made last, and there is room behind it, b is written there: nobody sees bytes behind
 * the end of a slice. So a text that grows in a loop is not copied each time.
 */
struct sk_jv sk_j_join(struct sk_j *j, struct sk_jv a, struct sk_jv b)
{
	size_t len = (size_t)a.len + b.len, cap;
	char *s;

	if (!b.len)
		return a;
	if (!a.len)
		return b;
	if (j->output_max && len > j->output_max)
		sk_j_fail(j, SK_ETOOBIG, "a text of more than %zu bytes", j->output_max);
	sk_j_bytes(j, b.len);
	if (j->front && a.s + a.len == j->front && b.len <= j->front_room) {
		memcpy(j->front, b.s, b.len);
		j->front += b.len;
		j->front_room -= b.len;
		return sk_jv_str(a.s, len);
	}
	cap = len + len / 2 + 32;
	s = sk_j_take(j, cap);
	memcpy(s, a.s, a.len);
	memcpy(s + a.len, b.s, b.len);
	sk_j_bytes(j, a.len);
	j->front = s + len;
	j->front_room = cap - len;
	return sk_jv_str(s, len);
}

/* ---- strings ------------------------------------------------------------------------------------------------ */

bool sk_jv_is(struct sk_jv v, const char *s)
{
	return v.kind == SK_J_STR && strlen(s) == v.len && !memcmp(v.s, s, v.len);
}

size_t sk_j_chars(struct sk_j *j, struct sk_jv s)
{
	sk_j_step(j, s.len / 64);
	return sk_utf8_count(s.s, s.len);
}

size_t sk_j_offset(struct sk_jv s, size_t chars)
{
	size_t at = 0;

	for (; at < s.len && chars; chars--)
		for (at++; at < s.len && ((unsigned char)s.s[at] & 0xc0) == 0x80; at++)
			;
	return at;
}

struct sk_jv sk_j_sub(struct sk_jv s, size_t from, size_t to)
{
	s.s += from;
	s.len = (uint32_t)(to > from ? to - from : 0);
	return s;
}

/* Where autoescape is off, nothing else escapes a text than this, and joining it with what came from here. */
struct sk_jv sk_j_escape(struct sk_j *j, struct sk_jv s)
{
	static const char from[] = "&<>\"'";
	static const char *const to[] = { "&amp;", "&lt;", "&gt;", "&#34;", "&#39;" };
	struct sk_jsb b = { 0 };
	struct sk_jv r;

	if (s.markup)
		return s;
	for (size_t i = 0; i < s.len; i++) {
		const char *hit = s.s[i] ? strchr(from, s.s[i]) : NULL;

		if (hit)
			sk_jsb_adds(j, &b, to[hit - from]);
		else
			sk_jsb_addc(j, &b, s.s[i]);
	}
	r = sk_jsb_str(&b);
	r.markup = true;
	return r;
}

/* ---- lists and dicts ---------------------------------------------------------------------------------------- */

struct sk_jlist *sk_j_list(struct sk_j *j, size_t cap)
{
	struct sk_jlist *l = sk_j_take(j, sizeof *l);

	sk_j_step(j, 1 + cap / 16);
	l->v = cap ? sk_j_take(j, cap * sizeof *l->v) : NULL;
	l->cap = cap;
	return l;
}

void sk_j_push(struct sk_j *j, struct sk_jlist *l, struct sk_jv v)
{
	if (l->len == l->cap) {
		size_t cap = l->cap ? l->cap * 2 : 8;
		struct sk_jv *grown = sk_j_take(j, cap * sizeof *grown);

		if (l->len)
			memcpy(grown, l->v, l->len * sizeof *grown);
		sk_j_step(j, 1 + l->len / 4);
		l->v = grown;
		l->cap = cap;
	}
	sk_j_step(j, 1);
	l->v[l->len++] = v;
}

struct sk_jdict *sk_j_dict(struct sk_j *j)
{
	return sk_j_take(j, sizeof(struct sk_jdict));
}

/* Equal values have equal hashes: 1, 1.0 and true. */
static uint64_t hash_of(struct sk_j *j, struct sk_jv v)
{
	uint64_t h = v.kind;
	double f;

	switch ((enum sk_jkind)v.kind) {
	case SK_J_STR:
	case SK_J_BIG:
		sk_j_step(j, v.len / 64);
		return sk_hash(v.s, v.len, SK_J_STR);
	case SK_J_BOOL:
	case SK_J_INT:
	case SK_J_FLOAT:
		f = sk_j_num(v);
		if (f == 0)
			f = 0;
		return sk_hash(&f, sizeof f, SK_J_INT);
	case SK_J_TUPLE:
		sk_j_down(j);
		for (size_t i = 0; i < v.list->len; i++)
			h = h * 1099511628211u + hash_of(j, v.list->v[i]);
		sk_j_up(j);
		return h;
	case SK_J_LIST:
	case SK_J_DICT:
		sk_j_fail(j, SK_EINVAL, "unhashable type: '%s'", sk_j_type(v));
	default:
		return h;
	}
}

static struct sk_jv *find(struct sk_j *j, const struct sk_jdict *d, struct sk_jv k, uint64_t h)
{
	size_t mask = d->index_cap - 1;

	sk_j_step(j, 1);
	if (!d->index) {
		for (size_t i = 0; i < d->len; i++)
			if (d->e[i].hash == h && sk_j_equal(j, d->e[i].k, k))
				return &d->e[i].v;
		return NULL;
	}
	for (size_t at = h & mask; d->index[at]; at = (at + 1) & mask) {
		struct sk_jentry *e = &d->e[d->index[at] - 1];

		sk_j_step(j, 1);
		if (e->hash == h && sk_j_equal(j, e->k, k))
			return &e->v;
	}
	return NULL;
}

struct sk_jv *sk_j_find(struct sk_j *j, const struct sk_jdict *d, struct sk_jv k)
{
	return find(j, d, k, hash_of(j, k));
}

struct sk_jv *sk_j_find_name(struct sk_j *j, const struct sk_jdict *d, const char *s, size_t len)
{
	return sk_j_find(j, d, sk_jv_str(s, len));
}

static void index_add(struct sk_jdict *d, size_t entry)
{
	size_t mask = d->index_cap - 1, at = d->e[entry].hash & mask;

	while (d->index[at])
		at = (at + 1) & mask;
	d->index[at] = (uint32_t)entry + 1;
}

static void reindex(struct sk_j *j, struct sk_jdict *d)
{
	d->index_cap = d->cap * 2;              /* cap is a power of two */
	d->index = sk_j_take(j, d->index_cap * sizeof *d->index);
	for (size_t i = 0; i < d->len; i++)
		index_add(d, i);
}

void sk_j_put(struct sk_j *j, struct sk_jdict *d, struct sk_jv k, struct sk_jv v)
{
	uint64_t h = hash_of(j, k);
	struct sk_jv *old = find(j, d, k, h);

	if (old) {
		*old = v;
		return;
	}
	if (d->len == d->cap) {
		size_t cap = d->cap ? d->cap * 2 : 4;
		struct sk_jentry *grown = sk_j_take(j, cap * sizeof *grown);

		if (d->len)
			memcpy(grown, d->e, d->len * sizeof *grown);
		sk_j_step(j, 1 + d->len);
		d->e = grown;
		d->cap = cap;
		if (cap >= INDEX_FROM)
			reindex(j, d);
	}
	d->e[d->len++] = (struct sk_jentry){ k, v, h };
	if (d->index)
		index_add(d, d->len - 1);
}

/* ---- undefined ---------------------------------------------------------------------------------------------- */

static struct sk_jv undef(struct sk_j *j, struct sk_jundef u)
{
	struct sk_jundef *p = sk_j_take(j, sizeof *p);

	*p = u;
	return (struct sk_jv){ .kind = SK_J_UNDEF, .undef = p };
}

struct sk_jv sk_j_undef_name(struct sk_j *j, const char *s, size_t len)
{
	return undef(j, (struct sk_jundef){ .name = sk_jv_str(s, len) });
}

struct sk_jv sk_j_undef_member(struct sk_j *j, struct sk_jv of, struct sk_jv name)
{
	return undef(j, (struct sk_jundef){ .of = sk_j_type(of), .name = name });
}

struct sk_jv sk_j_undef_hint(struct sk_j *j, const char *hint)
{
	return undef(j, (struct sk_jundef){ .hint = hint });
}

void sk_j_undef_fail(struct sk_j *j, struct sk_jv v)
{
	const struct sk_jundef *u = v.undef;
	bool none = u->of && !strcmp(u->of, "NoneType");

	if (u->hint)
		sk_j_fail(j, SK_EINVAL, "%s", u->hint);
	if (!u->of)
		sk_j_fail(j, SK_EINVAL, "%s is undefined", sk_j_repr(j, u->name));
	if (u->name.kind == SK_J_STR)
		sk_j_fail(j, SK_EINVAL, "'%s%s' has no attribute %s", none ? "None" : u->of, none ? "" : " object", sk_j_repr(j, u->name));
	sk_j_fail(j, SK_EINVAL, "%s%s has no element %s", none ? "None" : u->of, none ? "" : " object", sk_j_repr(j, u->name));
}

/* ---- what values are ---------------------------------------------------------------------------------------- */

const char *sk_j_type(struct sk_jv v)
{
	static const char *const names[] = {
		[SK_J_MISSING] = "missing", [SK_J_UNDEF] = "Undefined", [SK_J_NONE] = "NoneType", [SK_J_BOOL] = "bool", [SK_J_INT] = "int",
		[SK_J_BIG] = "int", [SK_J_FLOAT] = "float", [SK_J_STR] = "str", [SK_J_LIST] = "list", [SK_J_TUPLE] = "tuple",
		[SK_J_VIEW] = "view", [SK_J_GEN] = "generator", [SK_J_RANGE] = "range", [SK_J_DICT] = "dict", [SK_J_NS] = "Namespace",
		[SK_J_MACRO] = "Macro", [SK_J_FUNC] = "function", [SK_J_METHOD] = "builtin_function_or_method",
		[SK_J_LOOP] = "LoopContext", [SK_J_CYCLER] = "Cycler", [SK_J_JOINER] = "Joiner",
	};

	return v.kind == SK_J_VIEW ? v.list->what : names[v.kind];
}

bool sk_j_is_int(struct sk_jv v)
{
	return v.kind == SK_J_INT || v.kind == SK_J_BOOL;
}

bool sk_j_is_num(struct sk_jv v)
{
	return sk_j_is_int(v) || v.kind == SK_J_FLOAT;
}

double sk_j_num(struct sk_jv v)
{
	return v.kind == SK_J_FLOAT ? v.f : v.kind == SK_J_BOOL ? (double)v.b : (double)v.i;
}

bool sk_j_true(struct sk_j *j, struct sk_jv v)
{
	(void)j;
	switch ((enum sk_jkind)v.kind) {
	case SK_J_MISSING:
	case SK_J_UNDEF:
	case SK_J_NONE:
		return false;
	case SK_J_BOOL:
		return v.b;
	case SK_J_INT:
		return v.i != 0;
	case SK_J_FLOAT:
		return v.f != 0;
	case SK_J_STR:
		return v.len > 0;
	case SK_J_LIST:
	case SK_J_TUPLE:
	case SK_J_VIEW:
		return v.list->len > 0;
	case SK_J_RANGE:
		return v.range->len > 0;
	case SK_J_DICT:
		return v.dict->len > 0;
	default:
		return true;
	}
}

static bool equal_lists(struct sk_j *j, const struct sk_jlist *a, const struct sk_jlist *b)
{
	if (a->len != b->len)
		return false;
	for (size_t i = 0; i < a->len; i++)
		if (!sk_j_equal(j, a->v[i], b->v[i]))
			return false;
	return true;
}

static bool equal_dicts(struct sk_j *j, const struct sk_jdict *a, const struct sk_jdict *b)
{
	if (a->len != b->len)
		return false;
	for (size_t i = 0; i < a->len; i++) {
		struct sk_jv *other = find(j, b, a->e[i].k, a->e[i].hash);

		if (!other || !sk_j_equal(j, a->e[i].v, *other))
			return false;
	}
	return true;
}

static bool equal_same_kind(struct sk_j *j, struct sk_jv a, struct sk_jv b)
{
	bool same;

	switch ((enum sk_jkind)a.kind) {
	case SK_J_MISSING:
	case SK_J_UNDEF:
	case SK_J_NONE:
		return true;
	case SK_J_STR:
	case SK_J_BIG:
		sk_j_step(j, a.len == b.len ? a.len / 64 : 0);
		return a.len == b.len && !memcmp(a.s, b.s, a.len);
	case SK_J_LIST:
	case SK_J_TUPLE:
		if (a.list == b.list)
			return true;
		sk_j_down(j);
		same = equal_lists(j, a.list, b.list);
		sk_j_up(j);
		return same;
	case SK_J_RANGE:
		return a.range->len == b.range->len && (!a.range->len || (a.range->start == b.range->start &&
			(a.range->len == 1 || a.range->step == b.range->step)));
	case SK_J_DICT:
		if (a.dict == b.dict)
			return true;
		sk_j_down(j);
		same = equal_dicts(j, a.dict, b.dict);
		sk_j_up(j);
		return same;
	default:
		return a.s == b.s;
	}
}

bool sk_j_equal(struct sk_j *j, struct sk_jv a, struct sk_jv b)
{
	sk_j_step(j, 1);
	if (sk_j_is_int(a) && sk_j_is_int(b))
		return (a.kind == SK_J_BOOL ? a.b : a.i) == (b.kind == SK_J_BOOL ? b.b : b.i);
	if (sk_j_is_num(a) && sk_j_is_num(b))
		return sk_j_num(a) == sk_j_num(b);
	return a.kind == b.kind && equal_same_kind(j, a, b);
}

static int order(bool less, bool more)
{
	return less ? -1 : more;
}

static int compare_lists(struct sk_j *j, const struct sk_jlist *a, const struct sk_jlist *b, const char *op)
{
	for (size_t i = 0; i < a->len && i < b->len; i++)
		if (!sk_j_equal(j, a->v[i], b->v[i]))
			return sk_j_compare(j, a->v[i], b->v[i], op);
	return order(a->len < b->len, a->len > b->len);
}

int sk_j_compare(struct sk_j *j, struct sk_jv a, struct sk_jv b, const char *op)
{
	sk_j_step(j, 1);
	if (sk_j_is_int(a) && sk_j_is_int(b)) {
		int64_t x = a.kind == SK_J_BOOL ? a.b : a.i, y = b.kind == SK_J_BOOL ? b.b : b.i;

		return order(x < y, x > y);
	}
	if (sk_j_is_num(a) && sk_j_is_num(b)) {
		double x = sk_j_num(a), y = sk_j_num(b);

		return isnan(x) || isnan(y) ? 2 : order(x < y, x > y);
	}
	if (a.kind == SK_J_STR && b.kind == SK_J_STR) {
		/* UTF-8 sorts as code points do. */
		int c = memcmp(a.s, b.s, a.len < b.len ? a.len : b.len);

		sk_j_step(j, a.len / 64);
		return c ? order(c < 0, c > 0) : order(a.len < b.len, a.len > b.len);
	}
	if ((a.kind == SK_J_LIST || a.kind == SK_J_TUPLE) && a.kind == b.kind) {
		int c;

		sk_j_down(j);
		c = compare_lists(j, a.list, b.list, op);
		sk_j_up(j);
		return c;
	}
	if (a.kind == SK_J_UNDEF)
		sk_j_undef_fail(j, a);
	if (b.kind == SK_J_UNDEF)
		sk_j_undef_fail(j, b);
	sk_j_fail(j, SK_EINVAL, "'%s' not supported between instances of '%s' and '%s'", op, sk_j_type(a), sk_j_type(b));
}

/* ---- arguments ---------------------------------------------------------------------------------------------- */

struct sk_jv sk_j_want_str(struct sk_j *j, struct sk_jv v)
{
	if (v.kind != SK_J_STR)
		sk_j_fail(j, SK_EINVAL, "a string is wanted, not %s", sk_j_type(v));
	return v;
}

int64_t sk_j_want_int(struct sk_j *j, struct sk_jv v)
{
	if (!sk_j_is_int(v))
		sk_j_fail(j, SK_EINVAL, "'%s' object cannot be interpreted as an integer", sk_j_type(v));
	return v.kind == SK_J_BOOL ? v.b : v.i;
}
