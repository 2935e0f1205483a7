/* SPDX-License-Identifier: Apache-2.0 */
/* Jinja's values as text: str() and repr() as Python writes them. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <utf8proc.h>

#include "engine/base/utf8.h"
#include "engine/text/jinja_in.h"

/* The fewest digits that read back as the same number; exponents as Python has them. */
void sk_j_add_float(struct sk_j *j, struct sk_jsb *b, double f)
{
	char text[40], *e;
	int digits = 1, exponent;

	if (isnan(f) || isinf(f)) {
		sk_jsb_adds(j, b, isnan(f) ? "nan" : f < 0 ? "-inf" : "inf");
		return;
	}
	for (; digits < 17; digits++) {
		snprintf(text, sizeof text, "%.*e", digits - 1, f);
		if (strtod(text, NULL) == f)
			break;
	}
	snprintf(text, sizeof text, "%.*e", digits - 1, f);
	e = strchr(text, 'e');
	exponent = atoi(e + 1);
	if (exponent < -4 || exponent >= 16) {
		sk_jsb_add(j, b, text, (size_t)(e - text));
		sk_jsb_addf(j, b, "e%c%02d", exponent < 0 ? '-' : '+', abs(exponent));
		return;
	}
	if (digits - 1 - exponent < 1)
		sk_jsb_addf(j, b, "%.1f", f);
	else
		sk_jsb_addf(j, b, "%.*f", digits - 1 - exponent, f);
}

static bool printable(uint32_t cp)
{
	utf8proc_category_t c = utf8proc_category((utf8proc_int32_t)cp);

	if (cp == ' ')
		return true;
	return c != UTF8PROC_CATEGORY_CC && c != UTF8PROC_CATEGORY_CF && c != UTF8PROC_CATEGORY_CS && c != UTF8PROC_CATEGORY_CO &&
	       c != UTF8PROC_CATEGORY_CN && c != UTF8PROC_CATEGORY_ZL && c != UTF8PROC_CATEGORY_ZP && c != UTF8PROC_CATEGORY_ZS;
}

static void add_char(struct sk_j *j, struct sk_jsb *b, const char *s, size_t len, uint32_t cp, char quote)
{
	if (cp == (unsigned char)quote || cp == '\\')
		sk_jsb_addf(j, b, "\\%c", (int)cp);
	else if (cp == '\n' || cp == '\r' || cp == '\t')
		sk_jsb_adds(j, b, cp == '\n' ? "\\n" : cp == '\r' ? "\\r" : "\\t");
	else if (cp < 0x80 ? cp >= ' ' && cp < 0x7f : printable(cp))
		sk_jsb_add(j, b, s, len);
	else if (cp < 0x100)
		sk_jsb_addf(j, b, "\\x%02x", (unsigned)cp);
	else if (cp < 0x10000)
		sk_jsb_addf(j, b, "\\u%04x", (unsigned)cp);
	else
		sk_jsb_addf(j, b, "\\U%08x", (unsigned)cp);
}

static void add_str_repr(struct sk_j *j, struct sk_jsb *b, struct sk_jv v)
{
	char quote = memchr(v.s, '\'', v.len) && !memchr(v.s, '"', v.len) ? '"' : '\'';

	sk_jsb_addc(j, b, quote);
	for (size_t i = 0; i < v.len;) {
		uint32_t cp = 0xfffd;
		int n = sk_utf8_next(v.s + i, v.len - i, &cp);
		size_t len = n > 0 ? (size_t)n : 1;

		add_char(j, b, v.s + i, len, cp, quote);
		i += len;
	}
	sk_jsb_addc(j, b, quote);
	sk_j_step(j, v.len / 8);
}

static void add_list(struct sk_j *j, struct sk_jsb *b, const struct sk_jlist *l, const char *open, const char *close)
{
	sk_jsb_adds(j, b, open);
	for (size_t i = 0; i < l->len; i++) {
		if (i)
			sk_jsb_adds(j, b, ", ");
		sk_j_add_repr(j, b, l->v[i]);
	}
	sk_jsb_adds(j, b, close);
}

static void add_dict(struct sk_j *j, struct sk_jsb *b, const struct sk_jdict *d)
{
	sk_jsb_addc(j, b, '{');
	for (size_t i = 0; i < d->len; i++) {
		if (i)
			sk_jsb_adds(j, b, ", ");
		sk_j_add_repr(j, b, d->e[i].k);
		sk_jsb_adds(j, b, ": ");
		sk_j_add_repr(j, b, d->e[i].v);
	}
	sk_jsb_addc(j, b, '}');
}

static void add_loop(struct sk_j *j, struct sk_jsb *b, const struct sk_jloop *l)
{
	sk_jsb_addf(j, b, "<LoopContext %zu/%zu>", l->at + 1, l->items->len);
}

static void add_range(struct sk_j *j, struct sk_jsb *b, const struct sk_jrange *r, size_t len)
{
	int64_t stop = r->start + r->step * (int64_t)len;

	(void)stop;
	if (r->step == 1)
		sk_jsb_addf(j, b, "range(%" PRId64 ", %" PRId64 ")", r->start, stop);
	else
		sk_jsb_addf(j, b, "range(%" PRId64 ", %" PRId64 ", %" PRId64 ")", r->start, stop, r->step);
}

void sk_j_add_repr(struct sk_j *j, struct sk_jsb *b, struct sk_jv v)
{
	sk_j_step(j, 1);
	sk_j_down(j);
	switch ((enum sk_jkind)v.kind) {
	case SK_J_MISSING:
	case SK_J_UNDEF:
		sk_jsb_adds(j, b, "Undefined");
		break;
	case SK_J_NONE:
		sk_jsb_adds(j, b, "None");
		break;
	case SK_J_BOOL:
		sk_jsb_adds(j, b, v.b ? "True" : "False");
		break;
	case SK_J_INT:
		sk_jsb_addf(j, b, "%" PRId64, v.i);
		break;
	case SK_J_BIG:
		sk_jsb_add(j, b, v.s, v.len);
		break;
	case SK_J_FLOAT:
		sk_j_add_float(j, b, v.f);
		break;
	case SK_J_STR:
		sk_jsb_adds(j, b, v.markup ? "Markup(" : "");
		add_str_repr(j, b, v);
		sk_jsb_adds(j, b, v.markup ? ")" : "");
		break;
	case SK_J_LIST:
		add_list(j, b, v.list, "[", "]");
		break;
	case SK_J_TUPLE:
		add_list(j, b, v.list, "(", v.list->len == 1 ? ",)" : ")");
		break;
	case SK_J_VIEW:
		sk_jsb_adds(j, b, v.list->what);
		add_list(j, b, v.list, "([", "])");
		break;
	case SK_J_RANGE:
		add_range(j, b, v.range, v.range->len);
		break;
	case SK_J_DICT:
		add_dict(j, b, v.dict);
		break;
	case SK_J_NS:
		sk_jsb_adds(j, b, "<Namespace ");
		add_dict(j, b, v.dict);
		sk_jsb_addc(j, b, '>');
		break;
	case SK_J_MACRO:
		sk_jsb_addf(j, b, "<Macro '%.*s'>", (int)v.macro->name->len, v.macro->name->s);
		break;
	case SK_J_LOOP:
		add_loop(j, b, v.loop);
		break;
	default:
		sk_jsb_addf(j, b, "<%s object>", sk_j_type(v));
		break;
	}
	sk_j_up(j);
}

void sk_j_add_str(struct sk_j *j, struct sk_jsb *b, struct sk_jv v)
{
	if (v.kind == SK_J_STR)
		sk_jsb_add(j, b, v.s, v.len);
	else if (v.kind != SK_J_UNDEF && v.kind != SK_J_MISSING)
		sk_j_add_repr(j, b, v);
}

struct sk_jv sk_j_str(struct sk_j *j, struct sk_jv v)
{
	struct sk_jsb b = { 0 };

	if (v.kind == SK_J_STR)
		return v;
	sk_j_add_str(j, &b, v);
	return sk_jsb_str(&b);
}

const char *sk_j_repr(struct sk_j *j, struct sk_jv v)
{
	struct sk_jsb b = { 0 };

	if (v.kind == SK_J_STR && v.len > 120)
		v.len = (uint32_t)sk_j_offset(v, 100);
	sk_j_add_repr(j, &b, v);
	if (b.len > 200)
		b.len = sk_j_offset(sk_jv_str(b.s, 200), 190);
	sk_jsb_addc(j, &b, 0);
	return b.s;
}
