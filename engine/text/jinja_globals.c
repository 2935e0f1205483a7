/* SPDX-License-Identifier: Apache-2.0 */
/* Functions that every template finds: range, dict, namespace, cycler, joiner, and those of transformers. */
#include <string.h>
#include <time.h>

#include "engine/base/utf8.h"
#include "engine/text/jinja_in.h"

#define GLOBAL(name) static struct sk_jv name(struct sk_j *j, struct sk_jv self, const struct sk_jv *a, const struct sk_jargs *raw)

#define RANGE_MAX 100000                /* jinja2's own limit in a sandbox */

GLOBAL(g_range)
{
	struct sk_jrange *r = sk_j_take(j, sizeof *r);
	uint64_t span;

	(void)self, (void)raw;
	*r = (struct sk_jrange){ .start = 0, .stop = sk_j_want_int(j, a[0]), .step = 1 };
	if (sk_j_given(a[1])) {
		r->start = r->stop;
		r->stop = sk_j_want_int(j, a[1]);
	}
	if (sk_j_given(a[2]))
		r->step = sk_j_want_int(j, a[2]);
	if (!r->step)
		sk_j_fail(j, SK_EINVAL, "range() arg 3 must not be zero");
	if (r->step > 0 ? r->stop > r->start : r->stop < r->start) {
		uint64_t by = r->step > 0 ? (uint64_t)r->step : -(uint64_t)r->step;

		span = r->step > 0 ? (uint64_t)r->stop - (uint64_t)r->start : (uint64_t)r->start - (uint64_t)r->stop;
		span = (span - 1) / by + 1;
		if (span > RANGE_MAX)
			sk_j_fail(j, SK_ETOOBIG, "Range too big. The sandbox blocks ranges larger than MAX_RANGE (%d).", RANGE_MAX);
		r->len = (size_t)span;
	}
	return (struct sk_jv){ .kind = SK_J_RANGE, .range = r };
}

/* dict(pairs or a dict, name=value ...) */
GLOBAL(g_dict)
{
	struct sk_jdict *d = sk_j_dict(j);

	(void)self, (void)a;
	if (raw->pos_len > 1)
		sk_j_fail(j, SK_EINVAL, "dict expected at most 1 argument, got %zu", raw->pos_len);
	if (raw->pos_len && raw->pos[0].kind == SK_J_DICT) {
		for (size_t i = 0; i < raw->pos[0].dict->len; i++)
			sk_j_put(j, d, raw->pos[0].dict->e[i].k, raw->pos[0].dict->e[i].v);
	} else if (raw->pos_len) {
		struct sk_jlist *l = sk_j_iter(j, raw->pos[0]);

		for (size_t i = 0; i < l->len; i++) {
			struct sk_jlist *pair = sk_j_iter(j, l->v[i]);

			if (pair->len != 2)
				sk_j_fail(j, SK_EINVAL, "dictionary update sequence element #%zu has length %zu; 2 is required", i, pair->len);
			sk_j_put(j, d, pair->v[0], pair->v[1]);
		}
	}
	for (size_t i = 0; i < raw->kw_len; i++)
		sk_j_put(j, d, sk_jv_str(raw->kw[i].name, raw->kw[i].len), raw->kw[i].v);
	return (struct sk_jv){ .kind = SK_J_DICT, .dict = d };
}

GLOBAL(g_namespace)
{
	struct sk_jv v = g_dict(j, self, a, raw);

	for (size_t i = 0; i < v.dict->len; i++)
		if (v.dict->e[i].k.kind == SK_J_STR && v.dict->e[i].k.len && v.dict->e[i].k.s[0] == '_')
			sk_j_fail(j, SK_EINVAL, "a namespace takes no attribute that begins with an underscore: %s",
				  sk_j_repr(j, v.dict->e[i].k));
	v.kind = SK_J_NS;
	return v;
}

static struct sk_jv cycler(struct sk_j *j, const struct sk_jargs *raw, enum sk_jkind kind)
{
	struct sk_jcycler *c = sk_j_take(j, sizeof *c);

	c->items = sk_j_list(j, raw->pos_len);
	for (size_t i = 0; i < raw->pos_len; i++)
		sk_j_push(j, c->items, raw->pos[i]);
	return (struct sk_jv){ .kind = (uint8_t)kind, .cycler = c };
}

GLOBAL(g_cycler)
{
	(void)self, (void)a;
	if (!raw->pos_len)
		sk_j_fail(j, SK_EINVAL, "at least one item has to be provided");
	return cycler(j, raw, SK_J_CYCLER);
}

GLOBAL(g_joiner)
{
	struct sk_jv v = cycler(j, raw, SK_J_JOINER);

	(void)self;
	v.cycler->sep = sk_j_given(a[0]) ? a[0] : sk_jv_str(", ", 2);
	return v;
}

GLOBAL(m_cycler_next)
{
	struct sk_jv v = self.cycler->items->v[self.cycler->at];

	(void)j, (void)a, (void)raw;
	self.cycler->at = (self.cycler->at + 1) % self.cycler->items->len;
	return v;
}

GLOBAL(m_cycler_reset)
{
	(void)j, (void)a, (void)raw;
	self.cycler->at = 0;
	return sk_jv_none();
}

const struct sk_jdef sk_j_cycler_methods[] = { { "next", m_cycler_next, "" }, { "reset", m_cycler_reset, "" }, { NULL, NULL, NULL } };

GLOBAL(g_raise_exception)
{
	struct sk_jv s = sk_j_str(j, a[0]);

	(void)self, (void)raw;
	if (s.len > 380)
		s.len = (uint32_t)sk_j_offset(sk_j_sub(s, 0, 380), 90);
	sk_j_fail(j, SK_EINVAL, "%.*s", (int)s.len, s.s);
}

GLOBAL(g_strftime_now)
{
	char format[256], text[1024];
	struct sk_jv s = sk_j_want_str(j, a[0]);
	time_t now = j->now ? (time_t)j->now : time(NULL);
	struct tm tm;
	size_t n;

	(void)self, (void)raw;
	if (s.len >= sizeof format || memchr(s.s, 0, s.len))
		sk_j_fail(j, SK_ETOOBIG, "strftime_now: a format of %u bytes; the limit is %zu", (unsigned)s.len, sizeof format - 1);
	memcpy(format, s.s, s.len);
	format[s.len] = 0;
	/* A width like %9999d would be honoured by the C library: digits behind '%' are Python's no more than ours. */
	for (size_t i = 0; i + 1 < s.len; i++)
		if (format[i] == '%' && format[i + 1] >= '1' && format[i + 1] <= '9')
			sk_j_fail(j, SK_EINVAL, "strftime_now: a width in a format");
	if (!localtime_r(&now, &tm))
		sk_j_fail(j, SK_EINVAL, "strftime_now: no local time");
	n = s.len ? strftime(text, sizeof text, format, &tm) : 0;
	if (!sk_utf8_valid(text, n))
		n = 0;
	{
		struct sk_jsb b = { 0 };

		sk_jsb_add(j, &b, text, n);
		return sk_jsb_str(&b);
	}
}

const struct sk_jdef sk_j_globals[] = {
	{ "range", g_range, "start ?stop ?step" }, { "dict", g_dict, NULL }, { "namespace", g_namespace, NULL },
	{ "cycler", g_cycler, NULL }, { "joiner", g_joiner, "?sep" }, { "raise_exception", g_raise_exception, "message" },
	{ "strftime_now", g_strftime_now, "format" },
	{ NULL, NULL, NULL },
};
