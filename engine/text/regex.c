/* SPDX-License-Identifier: Apache-2.0 */
/* See regex.h. First the rewriting, then PCRE2. */
#include "engine/text/regex.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "engine/base/buf.h"
#include "engine/base/utf8.h"
#include "engine/text/regex_names.h"

/*
 * Backtracking steps from one place of a text. A match is tried with few; where they are not enough it is tried anew with more,
 * and what these tries may take is paid from what the text has earned by its length. So a text of n bytes takes 2 n * FIRST_LIMIT
 * + BUDGET + n * EARNED steps at most, and a pattern that needs a few for each character of a long run never runs out.
 */
#define MATCH_LIMIT	10000000u
#define FIRST_LIMIT	2000u
#define MORE_TIMES	8u
#define BUDGET		1000000u
#define EARNED		256u
#define HEAP_LIMIT_KIB	(64u * 1024)
#define DEPTH_MAX	100             /* groups and classes inside each other */
#define REWRITTEN_MAX	(1u << 20)

struct rewrite {
	const char *p, *end, *pattern;
	struct sk_buf *out;
	size_t atom;                    /* where the last thing that can be repeated begins in out */
	int depth;
	bool in_class;
	struct sk_err *err;
};

static sk_status refuse(const struct rewrite *r, sk_status st, const char *why)
{
	return sk_fail(r->err, st, "the pattern has %s at byte %zu", why, (size_t)(r->p - r->pattern));
}

/* A buffer that has failed. */
static sk_status overfull(const struct rewrite *r, sk_status failed)
{
	return failed == SK_ENOMEM ? sk_fail(r->err, SK_ENOMEM, "no memory for a pattern") : refuse(r, SK_ETOOBIG, "too much in it");
}

static bool starts(const struct rewrite *r, const char *with)
{
	size_t n = strlen(with);

	return (size_t)(r->end - r->p) >= n && !memcmp(r->p, with, n);
}

static void literal_put(struct sk_buf *b, uint32_t cp)
{
	if (cp < 0x80 && ((cp | 0x20) - 'a' < 26 || cp - '0' < 10 || cp >= 0x80))
		sk_buf_addc(b, (char)cp);
	else
		sk_buf_addf(b, "\\x{%x}", cp);
}

/* ---- escapes that both worlds share ----------------------------------------------------------------------------- */

/* What an escape stands for: one character, or a class of them. */
struct escape {
	bool set, negated;
	uint32_t cp;
	char items[16384];               /* of a set: what stands between brackets */
};

static int hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static int32_t hex_read(struct rewrite *r, int digits_max)
{
	int32_t v = 0;
	int n = 0;

	while (n < digits_max && r->p < r->end && hex_value(*r->p) >= 0) {
		v = v << 4 | hex_value(*r->p++);
		n++;
	}
	return n ? v : -1;
}

static sk_status hex_escape(struct rewrite *r, struct escape *e)
{
	int32_t v;

	if (r->p < r->end && *r->p == '{') {
		r->p++;
		v = hex_read(r, 6);
		if (v < 0 || r->p == r->end || *r->p != '}')
			return refuse(r, SK_EFORMAT, "a bad \\x{...}");
		r->p++;
	} else {
		v = hex_read(r, 2);
		if (v < 0)
			return refuse(r, SK_EFORMAT, "a bad \\x");
		if (v > 0x7f)
			return refuse(r, SK_ENOTSUP, "a single byte of a character, which is not supported,");
	}
	if (v > 0x10ffff || (v >= 0xd800 && v < 0xe000))
		return refuse(r, SK_EFORMAT, "a number that is no character");
	e->cp = (uint32_t)v;
	return SK_OK;
}

static sk_status property_escape(struct rewrite *r, struct escape *e)
{
	char name[48];
	size_t n = 0;

	e->set = true;
	if (r->p == r->end || *r->p != '{')
		return refuse(r, SK_EFORMAT, "\\p without {");
	r->p++;
	if (r->p < r->end && *r->p == '^') {
		e->negated = !e->negated;
		r->p++;
	}
	while (r->p < r->end && *r->p != '}' && n + 1 < sizeof(name))
		name[n++] = *r->p++;
	name[n] = '\0';
	if (r->p == r->end || *r->p != '}')
		return refuse(r, SK_EFORMAT, "an endless \\p{");
	r->p++;
	if (!sk_regex_property(name, e->items, sizeof(e->items)))
		return sk_fail(r->err, SK_ENOTSUP, "the pattern has a property \\p{%s}, which is not known", name);
	return SK_OK;
}

static void set_escape(struct escape *e, const char *property, bool negated)
{
	e->set = true;
	e->negated = negated;
	sk_regex_property(property, e->items, sizeof(e->items));
}

/* r->p is behind the backslash. */
static sk_status escape_read(struct rewrite *r, struct escape *e)
{
	static const char names[] = "ntrfvae", chars[] = "\n\t\r\f\v\a\033";
	const char *at;
	int32_t v;
	char c;

	e->set = e->negated = false;
	e->cp = 0;
	e->items[0] = '\0';
	if (r->p == r->end)
		return refuse(r, SK_EFORMAT, "a backslash at its end,");
	if ((unsigned char)*r->p >= 0x80)
		return refuse(r, SK_ENOTSUP, "an escape that is not supported");
	c = *r->p++;
	switch (c) {
	case 'd': case 'D': set_escape(e, "Nd", c == 'D'); return SK_OK;
	case 'w': case 'W': set_escape(e, r->in_class ? "Word" : "EscapedWord", c == 'W'); return SK_OK;
	case 's': case 'S': set_escape(e, "Space", c == 'S'); return SK_OK;
	case 'h': case 'H': set_escape(e, "XDigit", c == 'H'); return SK_OK;
	case 'p': case 'P': e->negated = c == 'P'; return property_escape(r, e);
	case 'x': return hex_escape(r, e);
	case 'u':
		at = r->p;
		v = hex_read(r, 4);
		if (r->p - at != 4 || (v >= 0xd800 && v < 0xe000))
			return refuse(r, SK_EFORMAT, "a bad \\u");
		e->cp = (uint32_t)v;
		return SK_OK;
	default:
		break;
	}
	at = strchr(names, c);
	if (at) {
		e->cp = (uint32_t)chars[at - names];
		return SK_OK;
	}
	if (((c | 0x20) >= 'a' && (c | 0x20) <= 'z') || (c >= '0' && c <= '9'))
		return refuse(r, SK_ENOTSUP, "an escape that is not supported,");
	e->cp = (unsigned char)c;
	return SK_OK;
}

/* ---- classes ------------------------------------------------------------------------------------------------------ */

/* items: what stands between brackets; alts: patterns that match one character each, divided by '|'. */
struct class { struct sk_buf items, alts; };

static void class_fini(struct class *c)
{
	sk_buf_fini(&c->items);
	sk_buf_fini(&c->alts);
}

static void class_put(struct sk_buf *out, struct class *c, bool negated)
{
	bool both = c->items.len && c->alts.len;

	if (!c->alts.len && !c->items.len) {
		sk_buf_adds(out, negated ? "[\\s\\S]" : "(?!)");
		return;
	}
	if (!c->alts.len) {
		sk_buf_addf(out, "[%s%s]", negated ? "^" : "", sk_buf_str(&c->items));
		return;
	}
	sk_buf_adds(out, negated ? "(?:(?!" : "(?:");
	if (c->items.len)
		sk_buf_addf(out, "[%s]", sk_buf_str(&c->items));
	sk_buf_addf(out, "%s%s%s", both ? "|" : "", sk_buf_str(&c->alts), negated ? ")[\\s\\S])" : ")");
}

static void alt_open(struct class *c)
{
	if (c->alts.len)
		sk_buf_addc(&c->alts, '|');
}

static uint32_t char_read(struct rewrite *r)
{
	const unsigned char *s = (const unsigned char *)r->p;
	size_t n = s[0] < 0x80 ? 1 : s[0] < 0xe0 ? 2 : s[0] < 0xf0 ? 3 : 4, i;
	uint32_t cp = n == 1 ? s[0] : s[0] & (0x7fu >> n);

	for (i = 1; i < n; i++)
		cp = cp << 6 | (s[i] & 0x3f);
	r->p += n;
	return cp;
}

static sk_status class_read(struct rewrite *r, struct sk_buf *out);

/* [:name:] or [:^name:]; *ret_is: it was one. */
static sk_status posix_read(struct rewrite *r, struct class *c, struct escape *e, bool *ret_is)
{
	const char *p = r->p + 2, *name;
	bool negated = p < r->end && *p == '^';
	char copy[16];
	size_t n;

	*ret_is = false;
	name = p += negated;
	while (p < r->end && (unsigned char)(*p - 'a') < 26)
		p++;
	n = (size_t)(p - name);
	if (r->end - p < 2 || p[0] != ':' || p[1] != ']' || !n || n >= sizeof(copy))
		return SK_OK;
	memcpy(copy, name, n);
	copy[n] = '\0';
	/* A sign is punctuation here, and not for \\p{Punct}. */
	if (!sk_regex_property(!strcmp(copy, "punct") ? "posixpunct" : copy, e->items, sizeof(e->items)))
		return sk_fail(r->err, SK_EFORMAT, "the pattern has [:%s:], which is no class", copy);
	*ret_is = true;
	r->p = p + 2;
	if (negated) {
		alt_open(c);
		sk_buf_addf(&c->alts, "[^%s]", e->items);
	} else {
		sk_buf_adds(&c->items, e->items);
	}
	return SK_OK;
}

/* One end of a range, or a set. *ret_cp: the character; a set has been added already. */
static sk_status class_item(struct rewrite *r, struct class *c, struct escape *e, bool *ret_set, uint32_t *ret_cp)
{
	sk_status st;

	*ret_set = false;
	if (*r->p != '\\') {
		*ret_cp = char_read(r);
		return SK_OK;
	}
	r->p++;
	if (r->p < r->end && *r->p == 'b') {
		r->p++;
		*ret_cp = '\b';
		return SK_OK;
	}
	r->in_class = true;
	st = escape_read(r, e);
	r->in_class = false;
	if (st < 0)
		return st;
	*ret_cp = e->cp;
	*ret_set = e->set;
	if (e->set && e->negated) {
		alt_open(c);
		sk_buf_addf(&c->alts, "[^%s]", e->items);
	} else if (e->set) {
		sk_buf_adds(&c->items, e->items);
	}
	return SK_OK;
}

static sk_status range_read(struct rewrite *r, struct class *c, struct escape *e)
{
	uint32_t from, to;
	bool set;
	sk_status st = class_item(r, c, e, &set, &from);

	if (st < 0 || set)
		return st;
	if (r->end - r->p < 2 || r->p[0] != '-' || r->p[1] == ']' || (r->p[1] == '&' && starts(r, "-&&"))) {
		literal_put(&c->items, from);
		return SK_OK;
	}
	r->p++;
	if (*r->p == '[')
		return refuse(r, SK_ENOTSUP, "a range that ends in a class, which is not supported,");
	st = class_item(r, c, e, &set, &to);
	if (st < 0)
		return st;
	if (set || to < from)
		return refuse(r, SK_EFORMAT, "a range without an end");
	literal_put(&c->items, from);
	sk_buf_addc(&c->items, '-');
	literal_put(&c->items, to);
	return SK_OK;
}

/* a && b: what has been read so far becomes a condition before the rest. */
static sk_status intersect(struct rewrite *r, struct class *c, struct sk_buf *before)
{
	sk_buf_adds(before, "(?=");
	class_put(before, c, false);
	sk_buf_adds(before, ")");
	sk_buf_clear(&c->items);
	sk_buf_clear(&c->alts);
	r->p += 2;
	return before->failed;
}

static sk_status class_body(struct rewrite *r, struct class *c, struct sk_buf *before, struct escape *e)
{
	const char *first = r->p;
	sk_status st = SK_OK;
	bool is;

	for (;;) {
		if (r->p == r->end)
			return refuse(r, SK_EFORMAT, "an endless class");
		if (*r->p == ']' && r->p != first) {
			r->p++;
			return SK_OK;
		}
		if (starts(r, "[:")) {
			st = posix_read(r, c, e, &is);
			if (st < 0)
				return st;
			if (is)
				continue;
		}
		if (starts(r, "&&")) {
			st = intersect(r, c, before);
		} else if (*r->p == '[') {
			r->p++;
			alt_open(c);
			st = class_read(r, &c->alts);
		} else {
			st = range_read(r, c, e);
		}
		if (st < 0)
			return st;
	}
}

/* r->p is behind the bracket. */
static sk_status class_read(struct rewrite *r, struct sk_buf *out)
{
	struct class c = { SK_BUF(REWRITTEN_MAX), SK_BUF(REWRITTEN_MAX) };
	struct sk_buf before = SK_BUF(REWRITTEN_MAX);
	struct escape *e = malloc(sizeof(*e));
	bool negated = r->p < r->end && *r->p == '^';
	sk_status st;

	r->p += negated;
	if (!e)
		st = sk_fail(r->err, SK_ENOMEM, "no memory for a pattern");
	else if (++r->depth > DEPTH_MAX)
		st = refuse(r, SK_ETOOBIG, "too many classes inside each other");
	else
		st = class_body(r, &c, &before, e);
	if (st == SK_OK && before.len) {
		if (negated)
			sk_buf_adds(out, "(?:(?!");
		sk_buf_addf(out, "(?:%s", sk_buf_str(&before));
		class_put(out, &c, false);
		sk_buf_adds(out, negated ? "))[\\s\\S])" : ")");
	} else if (st == SK_OK) {
		class_put(out, &c, negated);
	}
	if (st == SK_OK && (c.items.failed < 0 || c.alts.failed < 0 || before.failed < 0 || out->failed < 0))
		st = overfull(r, c.items.failed == SK_ENOMEM || c.alts.failed == SK_ENOMEM || before.failed == SK_ENOMEM ||
				 out->failed == SK_ENOMEM ? SK_ENOMEM : SK_ETOOBIG);
	r->depth--;
	free(e);
	class_fini(&c);
	sk_buf_fini(&before);
	return st;
}

/* ---- outside of classes --------------------------------------------------------------------------------------------- */

/* Whether a word begins or ends here, or (\B) does not. */
static sk_status boundary_rewrite(struct rewrite *r, bool is)
{
	struct escape *e = malloc(sizeof(*e));

	if (!e)
		return sk_fail(r->err, SK_ENOMEM, "no memory for a pattern");
	set_escape(e, "EscapedWord", false);
	sk_buf_addf(r->out, "(?:(?<=[%s])(?%c[%s])", e->items, is ? '!' : '=', e->items);
	sk_buf_addf(r->out, "|(?<![%s])(?%c[%s]))", e->items, is ? '=' : '!', e->items);
	free(e);
	return r->out->failed < 0 ? overfull(r, r->out->failed) : SK_OK;
}

static sk_status escape_rewrite(struct rewrite *r)
{
	struct escape *e;
	sk_status st;
	char c;

	r->p++;
	if (r->p == r->end)
		return refuse(r, SK_EFORMAT, "a backslash at its end,");
	c = *r->p;
	r->atom = r->out->len;
	if (c == 'b' || c == 'B') {
		r->p++;
		return boundary_rewrite(r, c == 'b');
	}
	if (strchr("AzZGRX", c) && c) {
		r->p++;
		return sk_buf_addf(r->out, "\\%c", c);
	}
	if (c >= '1' && c <= '9') {
		r->p++;
		if (r->p < r->end && *r->p >= '0' && *r->p <= '9')
			return refuse(r, SK_ENOTSUP, "a number of two digits after a backslash, which is not supported,");
		return sk_buf_addf(r->out, "\\g{%c}", c);
	}
	e = malloc(sizeof(*e));
	if (!e)
		return sk_fail(r->err, SK_ENOMEM, "no memory for a pattern");
	st = escape_read(r, e);
	if (st == SK_OK && e->set)
		sk_buf_addf(r->out, "[%s%s]", e->negated ? "^" : "", e->items);
	else if (st == SK_OK)
		literal_put(r->out, e->cp);
	free(e);
	return st;
}

static sk_status body_rewrite(struct rewrite *r);

static sk_status group_end(struct rewrite *r, size_t began)
{
	if (r->p == r->end || *r->p != ')')
		return refuse(r, SK_EFORMAT, "a group without an end");
	r->p++;
	sk_buf_addc(r->out, ')');
	r->atom = began;
	r->depth--;
	return r->out->failed;
}

/* (?flags:...) with Ruby's letters; (?flags) at the very beginning only, where both worlds agree. */
static sk_status flags_rewrite(struct rewrite *r)
{
	const char *was = r->p - 2;
	size_t began = r->out->len;
	bool off = false;
	sk_status st;

	sk_buf_adds(r->out, "(?");
	for (; r->p < r->end && *r->p != ':' && *r->p != ')'; r->p++) {
		if (*r->p == '-' && !off) {
			off = true;
			sk_buf_addc(r->out, '-');
		} else if (*r->p == 'i') {
			sk_buf_addc(r->out, 'i');
		} else if (*r->p == 'm') {
			sk_buf_addc(r->out, 's');
		} else {
			return refuse(r, SK_ENOTSUP, "a kind of group that is not supported");
		}
	}
	if (r->p == r->end)
		return refuse(r, SK_EFORMAT, "a group without an end");
	if (*r->p == ')') {
		if (was != r->pattern)
			return refuse(r, SK_ENOTSUP, "flags that are not at its beginning, which is not supported,");
		r->p++;
		r->depth--;
		return sk_buf_addc(r->out, ')');
	}
	r->p++;
	sk_buf_addc(r->out, ':');
	st = body_rewrite(r);
	return st < 0 ? st : group_end(r, began);
}

static sk_status group_rewrite(struct rewrite *r)
{
	static const char *const kinds[] = { "(?:", "(?=", "(?!", "(?<=", "(?<!", "(?>" };
	size_t began = r->out->len, i, n = 1;
	sk_status st;

	if (++r->depth > DEPTH_MAX)
		return refuse(r, SK_ETOOBIG, "too many groups inside each other");
	if (starts(r, "(?#")) {
		while (r->p < r->end && *r->p != ')')
			r->p++;
		if (r->p == r->end)
			return refuse(r, SK_EFORMAT, "a group without an end");
		r->p++;
		r->depth--;
		return SK_OK;
	}
	if (starts(r, "(*"))
		return refuse(r, SK_EFORMAT, "nothing to repeat");
	if (starts(r, "(?")) {
		for (i = 0; i < sizeof(kinds) / sizeof(kinds[0]) && !starts(r, kinds[i]); i++)
			;
		if (i == sizeof(kinds) / sizeof(kinds[0])) {
			r->p += 2;
			return flags_rewrite(r);
		}
		n = strlen(kinds[i]);
		sk_buf_adds(r->out, kinds[i]);
	} else {
		sk_buf_addc(r->out, '(');
	}
	r->p += n;
	st = body_rewrite(r);
	return st < 0 ? st : group_end(r, began);
}

/* {n}, {n,}, {,m}, {n,m}; false: an ordinary brace. */
static bool interval_read(struct rewrite *r, unsigned *ret_min, int64_t *ret_max)
{
	const char *p = r->p + 1;
	unsigned v[2] = { 0, 0 };
	bool any[2] = { false, false }, comma = false;
	int k = 0;

	for (; p < r->end && *p != '}'; p++) {
		if (*p == ',' && !comma) {
			comma = true;
			k = 1;
		} else if (*p >= '0' && *p <= '9' && v[k] <= 100000) {
			v[k] = v[k] * 10 + (unsigned)(*p - '0');
			any[k] = true;
		} else {
			return false;
		}
	}
	if (p == r->end || (!any[0] && !any[1]))
		return false;
	*ret_min = v[0];
	*ret_max = !comma ? (int64_t)v[0] : any[1] ? (int64_t)v[1] : -1;
	r->p = p + 1;
	return true;
}

/* In Ruby a plus behind an interval repeats it again; in PCRE2 it makes it possessive. */
static sk_status interval_rewrite(struct rewrite *r)
{
	unsigned min;
	int64_t max;
	size_t len = r->out->len - r->atom;
	bool again;

	if (!interval_read(r, &min, &max)) {
		r->p++;
		r->atom = r->out->len;
		return sk_buf_adds(r->out, "\\{");
	}
	if (min > 65535 || max > 65535)
		return refuse(r, SK_ETOOBIG, "a repeat over 65535");
	again = r->p < r->end && (*r->p == '+' || *r->p == '*');
	if (again) {
		sk_buf_adds(r->out, "(?:");
		if (r->out->failed < 0)
			return overfull(r, r->out->failed);
		memmove(r->out->data + r->atom + 3, r->out->data + r->atom, len);
		memcpy(r->out->data + r->atom, "(?:", 3);
	}
	if (max < 0)
		sk_buf_addf(r->out, "{%u,}", min);
	else
		sk_buf_addf(r->out, "{%u,%u}", min, (unsigned)max);
	if (again)
		sk_buf_adds(r->out, ")");
	return r->out->failed;
}

static sk_status one_rewrite(struct rewrite *r)
{
	const char *was = r->p;

	switch (*r->p) {
	case '\\': return escape_rewrite(r);
	case '(': return group_rewrite(r);
	case '{': return interval_rewrite(r);
	case '[':
		r->p++;
		r->atom = r->out->len;
		return class_read(r, r->out);
	case '^':
	case '$':
		r->p++;
		r->atom = r->out->len;
		return sk_buf_adds(r->out, *was == '^' ? "(?m:^)" : "(?m:$)");
	case '*':
	case '+':
	case '?':
	case '|':
		r->p++;
		return sk_buf_addc(r->out, *was);
	default:
		r->atom = r->out->len;
		char_read(r);
		return sk_buf_add(r->out, was, (size_t)(r->p - was));
	}
}

static sk_status body_rewrite(struct rewrite *r)
{
	sk_status st = SK_OK;

	while (st == SK_OK && r->p < r->end && *r->p != ')')
		st = one_rewrite(r);
	if (r->out->failed < 0)
		return overfull(r, r->out->failed);
	return st;
}

sk_status sk_regex_rewrite(const char *pattern, size_t len, struct sk_buf *b, struct sk_err *err)
{
	struct rewrite r = { .p = pattern, .end = pattern + len, .pattern = pattern, .out = b, .err = err };
	sk_status st;

	if (len > SK_REGEX_BYTES_MAX)
		return sk_fail(err, SK_ETOOBIG, "the pattern has %zu bytes, the limit is %d", len, SK_REGEX_BYTES_MAX);
	if (!sk_utf8_valid(pattern, len))
		return sk_fail(err, SK_EFORMAT, "the pattern is not UTF-8");
	st = body_rewrite(&r);
	if (st == SK_OK && r.p < r.end)
		return refuse(&r, SK_EFORMAT, "a bracket without a beginning");
	return st;
}

/* ---- PCRE2 -------------------------------------------------------------------------------------------------------- */

struct program { pcre2_code *code; bool jit; };

struct sk_regex {
	struct program any, here;       /* at any place from one on; at one place alone */
	pcre2_match_context *limits;
};

static int program_make(struct program *p, const struct sk_buf *b, uint32_t options, pcre2_compile_context *c)
{
	PCRE2_SIZE at = 0;
	int code = 0;

	p->code = pcre2_compile((PCRE2_SPTR)b->data, b->len, PCRE2_UTF | PCRE2_UCP | PCRE2_NEVER_BACKSLASH_C | options, &code, &at, c);
	p->jit = p->code && pcre2_jit_compile(p->code, PCRE2_JIT_COMPLETE) == 0;
	return p->code ? 0 : code;
}

static sk_status compile(struct sk_regex *re, const struct sk_buf *b, struct sk_err *err)
{
	pcre2_compile_context *c = pcre2_compile_context_create(NULL);
	unsigned char words[120];
	int code;

	re->limits = pcre2_match_context_create(NULL);
	if (!c || !re->limits) {
		pcre2_compile_context_free(c);
		return sk_fail(err, SK_ENOMEM, "no memory for a pattern");
	}
	pcre2_set_newline(c, PCRE2_NEWLINE_LF);
	pcre2_set_match_limit(re->limits, MATCH_LIMIT);
	pcre2_set_heap_limit(re->limits, HEAP_LIMIT_KIB);
	code = program_make(&re->any, b, 0, c);
	if (!code)
		code = program_make(&re->here, b, PCRE2_ANCHORED, c);
	pcre2_compile_context_free(c);
	if (code) {
		if (code == PCRE2_ERROR_HEAP_FAILED)
			return sk_fail(err, SK_ENOMEM, "no memory for a pattern");
		pcre2_get_error_message(code, words, sizeof(words));
		return sk_fail(err, SK_EFORMAT, "the pattern cannot be used: %s", words);
	}
	return SK_OK;
}

sk_status sk_regex_open(const char *pattern, size_t len, struct sk_regex **ret_re, struct sk_err *err)
{
	struct sk_buf b = SK_BUF(REWRITTEN_MAX);
	struct sk_regex *re = NULL;
	sk_status st = sk_regex_rewrite(pattern, len, &b, err);

	if (st == SK_OK) {
		re = calloc(1, sizeof(*re));
		/* sk_buf_str() so that an empty pattern has a place */
		st = re && *sk_buf_str(&b) >= 0 ? compile(re, &b, err) : sk_fail(err, SK_ENOMEM, "no memory for a pattern");
	}
	sk_buf_fini(&b);
	if (st < 0)
		sk_regex_close(&re);
	else
		*ret_re = re;
	return st;
}

void sk_regex_close(struct sk_regex **re)
{
	if (!re || !*re)
		return;
	pcre2_code_free((*re)->any.code);
	pcre2_code_free((*re)->here.code);
	pcre2_match_context_free((*re)->limits);
	free(*re);
	*re = NULL;
}

/* Of one thread and one text. */
struct scratch {
	pcre2_match_data *data;
	pcre2_match_context *limits;
	uint64_t left;                  /* steps that dear matches may still take */
};

static struct scratch *scratch_open(const struct sk_regex *re)
{
	struct scratch *x = calloc(1, sizeof(*x));

	if (!x)
		return NULL;
	x->data = pcre2_match_data_create(1, NULL);
	x->limits = pcre2_match_context_copy(re->limits);
	x->left = BUDGET;
	if (x->data && x->limits)
		return x;
	sk_regex_match_free(x);
	return NULL;
}

static int match_once(const struct program *p, struct scratch *x, const char *s, size_t len, size_t pos, uint32_t limit)
{
	int rc = PCRE2_ERROR_JIT_STACKLIMIT;

	pcre2_set_match_limit(x->limits, limit);
	if (p->jit)
		rc = pcre2_jit_match(p->code, (PCRE2_SPTR)s, len, pos, 0, x->data, x->limits);
	if (rc == PCRE2_ERROR_JIT_STACKLIMIT)
		rc = pcre2_match(p->code, (PCRE2_SPTR)s, len, pos, PCRE2_NO_UTF_CHECK | PCRE2_NO_JIT, x->data, x->limits);
	return rc;
}

/* Place by place, and at each with more steps as long as they are paid for: PCRE2's limit is of one place, not of a search. */
static int match_dear(const struct sk_regex *re, struct scratch *x, const char *s, size_t len, size_t pos)
{
	uint32_t limit;
	int rc = PCRE2_ERROR_NOMATCH;

	for (; rc == PCRE2_ERROR_NOMATCH && pos <= len; pos++) {
		if (pos < len && (s[pos] & 0xc0) == 0x80)
			continue;
		rc = match_once(&re->here, x, s, len, pos, FIRST_LIMIT);
		for (limit = FIRST_LIMIT; rc == PCRE2_ERROR_MATCHLIMIT && limit < MATCH_LIMIT;) {
			limit = limit * MORE_TIMES < MATCH_LIMIT ? limit * MORE_TIMES : MATCH_LIMIT;
			if (x->left < limit)
				return rc;
			x->left -= limit;
			rc = match_once(&re->here, x, s, len, pos, limit);
		}
	}
	return rc;
}

int sk_regex_next(const struct sk_regex *re, void **io_match, const char *s, size_t len, size_t pos, size_t *ret_from,
		  size_t *ret_to, struct sk_err *err)
{
	struct scratch *x = *io_match ? *io_match : scratch_open(re);
	pcre2_match_data *m;
	unsigned char words[120];
	int rc;

	*io_match = x;
	if (!x)
		return sk_fail(err, SK_ENOMEM, "no memory to split the text");
	m = x->data;
	if (!pos)
		x->left += EARNED * (uint64_t)len;
	rc = match_once(&re->any, x, s, len, pos, FIRST_LIMIT);
	if (rc == PCRE2_ERROR_MATCHLIMIT)
		rc = match_dear(re, x, s, len, pos);
	if (rc == PCRE2_ERROR_NOMATCH)
		return 0;
	if (rc == PCRE2_ERROR_NOMEMORY)
		return sk_fail(err, SK_ENOMEM, "no memory to split the text");
	if (rc < 0) {
		pcre2_get_error_message(rc, words, sizeof(words));
		return sk_fail(err, SK_EINVAL, "the text cannot be split into words: %s", words);
	}
	*ret_from = pcre2_get_ovector_pointer(m)[0];
	*ret_to = pcre2_get_ovector_pointer(m)[1];
	/* A lookbehind with \K could give a match that ends before it begins. */
	if (*ret_from > *ret_to)
		return 0;
	return 1;
}

void sk_regex_match_free(void *match)
{
	struct scratch *x = match;

	if (!x)
		return;
	pcre2_match_data_free(x->data);
	pcre2_match_context_free(x->limits);
	free(x);
}
