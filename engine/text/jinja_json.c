/* SPDX-License-Identifier: Apache-2.0 */
/* JSON to a template's values, and the filter `tojson` as transformers defines it: json.dumps with ensure_ascii off. */
#include <math.h>
#include <string.h>

#include "engine/base/utf8.h"
#include "engine/text/jinja_in.h"

/* ---- in ----------------------------------------------------------------------------------------------------- */

static struct sk_jv read_value(struct sk_j *j, struct sk_jpull *r);

static struct sk_jv read_number(struct sk_j *j, struct sk_jpull *r)
{
	struct sk_jnum n = { 0 };
	size_t from = r->at, len;
	const char *s;

	sk_jpull_num(r, &n);
	while (from < r->at && !strchr("-0123456789", r->s[from]))
		from++;
	s = r->s + from;
	len = r->at - from;
	if (n.is_int)
		return sk_jv_int(n.i);
	if (r->status == SK_OK && !memchr(s, '.', len) && !memchr(s, 'e', len) && !memchr(s, 'E', len) && len && s[len - 1] <= '9') {
		struct sk_jv big = sk_jv_str(s, len);

		big.kind = SK_J_BIG;    /* an integer that 64 bits do not hold: shown, not calculated with */
		return big;
	}
	(void)j;
	return sk_jv_float(n.f);
}

static struct sk_jv read_object(struct sk_j *j, struct sk_jpull *r)
{
	struct sk_jdict *d = sk_j_dict(j);
	struct sk_str key;

	sk_jpull_enter(r, SK_JPULL_OBJECT);
	while (sk_jpull_key(r, &key)) {
		struct sk_jv v = read_value(j, r);

		if (r->status == SK_OK)
			sk_j_put(j, d, sk_jv_str(key.s, key.len), v);
	}
	return (struct sk_jv){ .kind = SK_J_DICT, .dict = d };
}

static struct sk_jv read_value(struct sk_j *j, struct sk_jpull *r)
{
	struct sk_str s = { "", 0 };
	struct sk_jlist *l;
	bool yes = false;

	switch (sk_jpull_peek(r)) {
	case SK_JPULL_NULL:
		sk_jpull_null(r);
		return sk_jv_none();
	case SK_JPULL_BOOL:
		sk_jpull_bool(r, &yes);
		return sk_jv_bool(yes);
	case SK_JPULL_NUMBER:
		return read_number(j, r);
	case SK_JPULL_STRING:
		sk_jpull_str(r, &s);
		return sk_jv_str(s.s, s.len);
	case SK_JPULL_ARRAY:
		l = sk_j_list(j, 0);
		sk_jpull_enter(r, SK_JPULL_ARRAY);
		while (sk_jpull_item(r))
			sk_j_push(j, l, read_value(j, r));
		return sk_jv_list(l);
	case SK_JPULL_OBJECT:
		return read_object(j, r);
	default:
		sk_jpull_skip(r);
		return sk_jv_none();
	}
}

struct sk_jv sk_j_from_json(struct sk_j *j, const char *name, const char *s, size_t len)
{
	struct sk_jpull r;
	struct sk_err err = { 0 };
	struct sk_jv v;
	sk_status st;

	if (len > UINT32_MAX)
		sk_j_fail(j, SK_ETOOBIG, "%s: %zu bytes of JSON", name, len);
	sk_jpull_init(&r, s, len, name, j->arena, &err);
	v = read_value(j, &r);
	st = sk_jpull_end(&r);
	if (st < 0)
		sk_j_fail(j, st, "%s", err.text);
	return v;
}

/* ---- out ---------------------------------------------------------------------------------------------------- */

struct dump {
	struct sk_j *j;
	struct sk_jsb b;
	struct sk_jv indent;            /* of one level; MISSING: all in one line */
	struct sk_jv comma, colon;
	bool ascii, sort;
};

static void dump_value(struct dump *d, struct sk_jv v, size_t level);

static void dump_str(struct dump *d, struct sk_jv v)
{
	static const char from[] = "\"\\\n\r\t\b\f", to[] = "\"\\nrtbf";
	size_t plain = 0;

	sk_jsb_addc(d->j, &d->b, '"');
	for (size_t i = 0; i < v.len;) {
		unsigned char c = (unsigned char)v.s[i];
		const char *simple = c ? strchr(from, c) : NULL;
		uint32_t cp = c;
		int n = c < 0x80 ? 1 : sk_utf8_next(v.s + i, v.len - i, &cp);

		n = n > 0 ? n : 1;
		if (c < 0x80 ? !simple && c >= ' ' : !d->ascii) {
			i += (size_t)n;
			continue;
		}
		sk_jsb_add(d->j, &d->b, v.s + plain, i - plain);
		if (simple)
			sk_jsb_addf(d->j, &d->b, "\\%c", to[simple - from]);
		else if (cp > 0xffff)
			sk_jsb_addf(d->j, &d->b, "\\u%04x\\u%04x", (unsigned)(0xd800 + ((cp - 0x10000) >> 10)),
				    (unsigned)(0xdc00 + ((cp - 0x10000) & 0x3ff)));
		else
			sk_jsb_addf(d->j, &d->b, "\\u%04x", (unsigned)cp);
		i += (size_t)n;
		plain = i;
	}
	sk_jsb_add(d->j, &d->b, v.s + plain, v.len - plain);
	sk_jsb_addc(d->j, &d->b, '"');
}

static void dump_float(struct dump *d, double f)
{
	if (isnan(f))
		sk_jsb_adds(d->j, &d->b, "NaN");
	else if (isinf(f))
		sk_jsb_adds(d->j, &d->b, f < 0 ? "-Infinity" : "Infinity");
	else
		sk_j_add_float(d->j, &d->b, f);
}

static void new_line(struct dump *d, size_t level)
{
	if (d->indent.kind == SK_J_MISSING)
		return;
	sk_jsb_addc(d->j, &d->b, '\n');
	for (size_t i = 0; i < level; i++)
		sk_jsb_add(d->j, &d->b, d->indent.s, d->indent.len);
}

static void dump_list(struct dump *d, const struct sk_jlist *l, size_t level)
{
	sk_jsb_addc(d->j, &d->b, '[');
	for (size_t i = 0; i < l->len; i++) {
		if (i)
			sk_jsb_add(d->j, &d->b, d->comma.s, d->comma.len);
		new_line(d, level + 1);
		dump_value(d, l->v[i], level + 1);
	}
	if (l->len)
		new_line(d, level);
	sk_jsb_addc(d->j, &d->b, ']');
}

static void dump_key(struct dump *d, struct sk_jv k)
{
	if (k.kind == SK_J_STR) {
		dump_str(d, k);
		return;
	}
	if (k.kind != SK_J_NONE && !sk_j_is_num(k) && k.kind != SK_J_BIG)
		sk_j_fail(d->j, SK_EINVAL, "keys must be str, int, float, bool or None, not %s", sk_j_type(k));
	sk_jsb_addc(d->j, &d->b, '"');
	dump_value(d, k, 0);
	sk_jsb_addc(d->j, &d->b, '"');
}

/* Places of entries in the order of their keys: a merge sort. */
static void sort_keys(struct dump *d, const struct sk_jdict *dict, uint32_t *at, uint32_t *room, size_t len)
{
	size_t half = len / 2, a = 0, b = half, n = 0;

	if (len < 2)
		return;
	sort_keys(d, dict, at, room, half);
	sort_keys(d, dict, at + half, room + half, len - half);
	while (a < half || b < len) {
		if (b >= len || (a < half && sk_j_compare(d->j, dict->e[at[a]].k, dict->e[at[b]].k, "<") <= 0))
			room[n++] = at[a++];
		else
			room[n++] = at[b++];
	}
	memcpy(at, room, len * sizeof *at);
}

static void dump_dict(struct dump *d, const struct sk_jdict *dict, size_t level)
{
	uint32_t *at = NULL;

	if (d->sort && dict->len) {
		at = sk_j_take(d->j, dict->len * sizeof *at * 2);
		for (size_t i = 0; i < dict->len; i++)
			at[i] = (uint32_t)i;
		sort_keys(d, dict, at, at + dict->len, dict->len);
	}
	sk_jsb_addc(d->j, &d->b, '{');
	for (size_t i = 0; i < dict->len; i++) {
		const struct sk_jentry *e = &dict->e[at ? at[i] : i];

		if (i)
			sk_jsb_add(d->j, &d->b, d->comma.s, d->comma.len);
		new_line(d, level + 1);
		dump_key(d, e->k);
		sk_jsb_add(d->j, &d->b, d->colon.s, d->colon.len);
		dump_value(d, e->v, level + 1);
	}
	if (dict->len)
		new_line(d, level);
	sk_jsb_addc(d->j, &d->b, '}');
}

static void dump_value(struct dump *d, struct sk_jv v, size_t level)
{
	sk_j_step(d->j, 1);
	sk_j_down(d->j);
	switch ((enum sk_jkind)v.kind) {
	case SK_J_NONE:
		sk_jsb_adds(d->j, &d->b, "null");
		break;
	case SK_J_BOOL:
		sk_jsb_adds(d->j, &d->b, v.b ? "true" : "false");
		break;
	case SK_J_INT:
	case SK_J_BIG:
		sk_j_add_repr(d->j, &d->b, v);
		break;
	case SK_J_FLOAT:
		dump_float(d, v.f);
		break;
	case SK_J_STR:
		dump_str(d, v);
		break;
	case SK_J_LIST:
	case SK_J_TUPLE:
		dump_list(d, v.list, level);
		break;
	case SK_J_DICT:
		dump_dict(d, v.dict, level);
		break;
	default:
		sk_j_fail(d->j, SK_EINVAL, "Object of type %s is not JSON serializable", sk_j_type(v));
	}
	sk_j_up(d->j);
}

/* a: ensure_ascii, indent, separators, sort_keys */
struct sk_jv sk_j_tojson(struct sk_j *j, struct sk_jv self, const struct sk_jv *a, const struct sk_jargs *raw)
{
	struct dump d = { .j = j, .comma = sk_jv_str(", ", 2), .colon = sk_jv_str(": ", 2) };

	(void)raw;
	d.ascii = sk_j_given_true(j, a[0]);
	d.sort = sk_j_given_true(j, a[3]);
	if (sk_j_given(a[1]) && a[1].kind == SK_J_STR) {
		d.indent = a[1];
	} else if (sk_j_given(a[1]) && a[1].kind != SK_J_NONE) {
		int64_t n = sk_j_want_int(j, a[1]);
		struct sk_jsb spaces = { 0 };

		if (n > 1000)
			sk_j_fail(j, SK_ETOOBIG, "an indent of more than 1000");
		for (int64_t i = 0; i < n; i++)
			sk_jsb_addc(j, &spaces, ' ');
		d.indent = sk_jsb_str(&spaces);
	}
	if (d.indent.kind != SK_J_MISSING)
		d.comma = sk_jv_str(",", 1);
	if (sk_j_given(a[2]) && a[2].kind != SK_J_NONE) {
		struct sk_jlist *l = sk_j_iter(j, a[2]);

		if (l->len != 2)
			sk_j_fail(j, SK_EINVAL, "separators wants 2 strings, not %zu", l->len);
		d.comma = sk_j_want_str(j, l->v[0]);
		d.colon = sk_j_want_str(j, l->v[1]);
	}
	dump_value(&d, self, 0);
	return sk_jsb_str(&d.b);
}
