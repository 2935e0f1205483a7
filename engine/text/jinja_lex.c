/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A template's source as a list of tokens: data, and what stands inside {{ }} and {% %}. Comments and raw blocks are gone, white space
 * is as trim_blocks and lstrip_blocks leave it: a line break right behind a block goes, and so do blanks between the beginning of a line
 * and a block. '-' takes all white space on its side, '+' keeps what would go.
 */
#include <stdlib.h>
#include <string.h>

#include "engine/base/utf8.h"
#include "engine/text/jinja_in.h"

struct lex {
	struct sk_j *j;
	const char *s;
	size_t len, at;
	uint32_t line;
	size_t lined;                   /* `line` is that of this place */
	struct sk_jtok *toks;
	size_t toks_len, toks_cap;
};

static struct sk_jtok *push(struct lex *x, enum sk_jtok_kind kind)
{
	struct sk_jtok *t;

	if (x->toks_len == x->toks_cap) {
		size_t cap = x->toks_cap ? x->toks_cap * 2 : 256;
		struct sk_jtok *grown = sk_j_take(x->j, cap * sizeof *grown);

		if (x->toks_len)
			memcpy(grown, x->toks, x->toks_len * sizeof *grown);
		x->toks = grown;
		x->toks_cap = cap;
	}
	t = &x->toks[x->toks_len++];
	*t = (struct sk_jtok){ .kind = (uint8_t)kind, .line = x->line };
	return t;
}

/* The line of a place behind the last one asked for. */
static void set_line(struct lex *x, size_t at)
{
	for (; x->lined < at; x->lined++)
		x->line += x->s[x->lined] == '\n';
	x->j->line = x->line;
}

static bool has(const struct lex *x, size_t at, const char *what)
{
	size_t n = strlen(what);

	return x->len - at >= n && !memcmp(x->s + at, what, n);
}

static bool sign_at(const struct lex *x, size_t at, const char *of)
{
	return at < x->len && strchr(of, x->s[at]);
}

static size_t skip_space(const struct lex *x, size_t at)
{
	uint32_t cp;

	while (at < x->len) {
		int n = sk_utf8_next(x->s + at, x->len - at, &cp);

		if (n <= 0 || !sk_j_space(cp))
			break;
		at += (size_t)n;
	}
	return at;
}

/* Behind a tag's end: '-' takes white space, a block's or comment's end one line break. */
static size_t after_end(const struct lex *x, size_t at, char sign, bool block)
{
	if (sign == '-')
		return skip_space(x, at);
	if (block && sign != '+' && at < x->len && x->s[at] == '\n')
		return at + 1;
	return at;
}

static void add_data(struct lex *x, size_t from, size_t to)
{
	if (to > from)
		push(x, SK_JT_DATA)->value = sk_jv_str(x->s + from, to - from);
}

/* Data up to a tag at `tag`, whose sign stands at tag + 2. */
static void data_before(struct lex *x, size_t from, size_t tag, bool block)
{
	char sign = tag + 2 < x->len ? x->s[tag + 2] : 0;
	size_t to = tag;

	if (sign == '-') {
		struct sk_jv v = sk_j_strip(sk_jv_str(x->s + from, tag - from), (struct sk_jv){ 0 }, 2);

		to = from + v.len;
	} else if (sign != '+' && block) {
		size_t line = tag;

		while (line > from && x->s[line - 1] != '\n')
			line--;
		/* The beginning of the data is that of a line only where a line break stands before it. */
		if ((line > from || from == 0 || x->s[from - 1] == '\n') && skip_space(x, line) >= tag)
			to = line;
	}
	add_data(x, from, to);
}

/* "{%- raw -%}" at a block's beginning: where its text begins; 0: it is none. */
static size_t raw_word(const struct lex *x, size_t at, const char *word, bool is_end)
{
	char sign = 0;

	at += 2;
	if (sign_at(x, at, "-+"))
		at++;
	at = skip_space(x, at);
	if (!has(x, at, word))
		return 0;
	at = skip_space(x, at + strlen(word));
	if (sign_at(x, at, is_end ? "-+" : "-"))
		sign = x->s[at++];
	if (!has(x, at, "%}"))
		return 0;
	/* A line break behind {% raw %} stays. */
	return after_end(x, at + 2, sign, is_end);
}

static void lex_raw(struct lex *x, size_t from)
{
	for (size_t at = from; at + 1 < x->len; at++) {
		size_t end;

		if (x->s[at] != '{' || x->s[at + 1] != '%')
			continue;
		end = raw_word(x, at, "endraw", true);
		if (!end)
			continue;
		data_before(x, from, at, true);
		x->at = end;
		return;
	}
	sk_j_fail(x->j, SK_EFORMAT, "missing end of raw block");
}

static void lex_comment(struct lex *x, size_t from)
{
	for (size_t at = from; at + 1 < x->len; at++) {
		char sign = 0;

		if (x->s[at] != '#' || x->s[at + 1] != '}')
			continue;
		if (at > from && (x->s[at - 1] == '-' || x->s[at - 1] == '+'))
			sign = x->s[at - 1];
		x->at = after_end(x, at + 2, sign, true);
		return;
	}
	sk_j_fail(x->j, SK_EFORMAT, "missing end of comment");
}

/* ---- inside a tag ------------------------------------------------------------------------------------------- */

static const struct { const char *text; enum sk_jop op; } operators[] = {
	{ "//", SK_JO_FLOORDIV }, { "**", SK_JO_POW }, { "==", SK_JO_EQ }, { "!=", SK_JO_NE }, { "<=", SK_JO_LE }, { ">=", SK_JO_GE },
	{ "+", SK_JO_ADD }, { "-", SK_JO_SUB }, { "*", SK_JO_MUL }, { "/", SK_JO_DIV }, { "%", SK_JO_MOD }, { "<", SK_JO_LT },
	{ ">", SK_JO_GT }, { "(", SK_JO_LPAREN }, { ")", SK_JO_RPAREN }, { "[", SK_JO_LBRACKET }, { "]", SK_JO_RBRACKET },
	{ "{", SK_JO_LBRACE }, { "}", SK_JO_RBRACE }, { ".", SK_JO_DOT }, { ",", SK_JO_COMMA }, { ":", SK_JO_COLON }, { "|", SK_JO_PIPE },
	{ "~", SK_JO_TILDE }, { "=", SK_JO_ASSIGN }, { ";", SK_JO_SEMICOLON },
};

static bool digit(const struct lex *x, size_t at)
{
	return at < x->len && x->s[at] >= '0' && x->s[at] <= '9';
}

/* Digits, '_' between them. */
static size_t digits(const struct lex *x, size_t at)
{
	while (digit(x, at) || (at < x->len && x->s[at] == '_' && digit(x, at + 1)))
		at++;
	return at;
}

static void number_value(struct lex *x, size_t from, size_t to, bool is_float)
{
	char text[64];
	size_t n = 0;
	struct sk_jv v;

	if (to - from >= sizeof text)
		sk_j_fail(x->j, SK_EFORMAT, "a number of %zu characters; the limit is %zu", to - from, sizeof text - 1);
	for (size_t i = from; i < to; i++)
		if (x->s[i] != '_')
			text[n++] = x->s[i];
	text[n] = 0;
	if (is_float) {
		v = sk_jv_float(strtod(text, NULL));
	} else {
		int base = n > 2 && strchr("xX", text[1]) ? 16 : n > 2 && strchr("oO", text[1]) ? 8 : n > 2 && strchr("bB", text[1]) ? 2 : 10;
		unsigned long long u = strtoull(base == 10 ? text : text + 2, NULL, base);

		if (u > INT64_MAX || n > 60)
			sk_j_fail(x->j, SK_EFORMAT, "the integer %s does not fit in 64 bits", text);
		v = sk_jv_int((int64_t)u);
	}
	push(x, SK_JT_NUM)->value = v;
	x->at = to;
}

static bool based_digit(char c, char base)
{
	if (base == 'b')
		return c == '0' || c == '1';
	if (base == 'o')
		return c >= '0' && c <= '7';
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

static void lex_number(struct lex *x)
{
	size_t from = x->at, to = digits(x, from), exp;
	bool is_float = false;
	/* "a.1.2" are members, not a float. */
	bool member = from > 0 && x->s[from - 1] == '.';

	if (to == from + 1 && x->s[from] == '0' && sign_at(x, to, "xXoObB")) {
		char base = (char)(x->s[to] | 32);
		size_t end = to + 1;

		while (end < x->len && (based_digit(x->s[end], base) ||
					(x->s[end] == '_' && end + 1 < x->len && based_digit(x->s[end + 1], base))))
			end++;
		if (end > to + 1) {
			number_value(x, from, end, false);
			return;
		}
	}
	if (!member && to < x->len && x->s[to] == '.' && digit(x, to + 1)) {
		to = digits(x, to + 1);
		is_float = true;
	}
	exp = to + 1;
	if (!member && sign_at(x, to, "eE")) {
		if (sign_at(x, exp, "+-"))
			exp++;
		if (digit(x, exp)) {
			to = digits(x, exp);
			is_float = true;
		}
	}
	number_value(x, from, to, is_float);
}

static void add_code(struct lex *x, struct sk_jsb *b, const char *s, size_t hex)
{
	char bytes[4];
	uint32_t cp = 0;

	for (size_t i = 0; i < hex; i++) {
		if (!based_digit(s[i], 'x'))
			sk_j_fail(x->j, SK_EFORMAT, "a \\x, \\u or \\U in a string wants %zu hexadecimal digits", hex);
		cp = cp * 16 + (uint32_t)(s[i] <= '9' ? s[i] - '0' : (s[i] | 32) - 'a' + 10);
	}
	if (cp > 0x10ffff || (cp >= 0xd800 && cp < 0xe000))
		sk_j_fail(x->j, SK_EFORMAT, "U+%X in a string is no character", (unsigned)cp);
	sk_jsb_add(x->j, b, bytes, sk_utf8_put(bytes, cp));
}

/* The escape behind a backslash at s[0]; how many bytes it has. */
static size_t unescape(struct lex *x, struct sk_jsb *b, const char *s, size_t len)
{
	static const char from[] = "\\'\"abfnrtv", to[] = "\\'\"\a\b\f\n\r\t\v";
	const char *simple = strchr(from, s[0]);
	size_t hex = s[0] == 'x' ? 2 : s[0] == 'u' ? 4 : s[0] == 'U' ? 8 : 0;

	if (s[0] && simple) {
		sk_jsb_addc(x->j, b, to[simple - from]);
		return 1;
	}
	if (s[0] == '\n')
		return 1;
	if (hex) {
		if (len < 1 + hex)
			sk_j_fail(x->j, SK_EFORMAT, "a \\%c in a string wants %zu hexadecimal digits", s[0], hex);
		add_code(x, b, s + 1, hex);
		return 1 + hex;
	}
	if (s[0] >= '0' && s[0] <= '7') {
		uint32_t cp = 0;
		size_t n = 0;
		char bytes[4];

		for (; n < 3 && n < len && s[n] >= '0' && s[n] <= '7'; n++)
			cp = cp * 8 + (uint32_t)(s[n] - '0');
		sk_jsb_add(x->j, b, bytes, sk_utf8_put(bytes, cp));
		return n;
	}
	if (s[0] == 'N')
		sk_j_fail(x->j, SK_EFORMAT, "names of characters (\\N) in strings are not supported");
	sk_jsb_add(x->j, b, "\\", 1);
	return 0;
}

static void lex_string(struct lex *x)
{
	char quote = x->s[x->at];
	size_t from = x->at + 1, to = from;
	struct sk_jsb b = { 0 };
	bool escaped = false;

	while (to < x->len && x->s[to] != quote) {
		escaped |= x->s[to] == '\\';
		to += x->s[to] == '\\' && to + 1 < x->len ? 2 : 1;
	}
	if (to >= x->len)
		sk_j_fail(x->j, SK_EFORMAT, "a string has no end");
	push(x, SK_JT_STR)->value = sk_jv_str(x->s + from, to - from);
	x->at = to + 1;
	if (!escaped)
		return;
	for (size_t i = from; i < to;) {
		if (x->s[i] != '\\') {
			sk_jsb_addc(x->j, &b, x->s[i++]);
			continue;
		}
		i++;
		i += unescape(x, &b, x->s + i, to - i);
	}
	x->toks[x->toks_len - 1].value = sk_jsb_str(&b);
}

static bool lex_name(struct lex *x)
{
	size_t to = x->at;
	uint32_t cp;

	while (to < x->len) {
		int n = sk_utf8_next(x->s + to, x->len - to, &cp);

		if (n <= 0 || !sk_j_word(cp))
			break;
		to += (size_t)n;
	}
	if (to == x->at)
		return false;
	push(x, SK_JT_NAME)->value = sk_jv_str(x->s + x->at, to - x->at);
	x->at = to;
	return true;
}

static enum sk_jop lex_operator(struct lex *x)
{
	for (size_t i = 0; i < sizeof operators / sizeof *operators; i++) {
		if (!has(x, x->at, operators[i].text))
			continue;
		x->at += strlen(operators[i].text);
		push(x, SK_JT_OP)->op = (uint8_t)operators[i].op;
		return operators[i].op;
	}
	sk_j_fail(x->j, SK_EFORMAT, "unexpected character '%.*s'", sk_utf8_next(x->s + x->at, x->len - x->at, &(uint32_t){ 0 }) > 0 ?
		  sk_utf8_next(x->s + x->at, x->len - x->at, &(uint32_t){ 0 }) : 1, x->s + x->at);
}

/* The end of the tag at x->at: its length with the sign, 0: it is none. */
static size_t tag_end(const struct lex *x, bool block, char *ret_sign)
{
	const char *end = block ? "%}" : "}}";

	*ret_sign = 0;
	if (has(x, x->at, end))
		return 2;
	if (sign_at(x, x->at, block ? "-+" : "-") && has(x, x->at + 1, end)) {
		*ret_sign = x->s[x->at];
		return 3;
	}
	return 0;
}

static void lex_tag(struct lex *x, bool block)
{
	char open[SK_J_DEPTH_MAX];
	size_t open_len = 0, n;
	char sign;

	push(x, block ? SK_JT_BLOCK : SK_JT_VAR);
	for (;;) {
		enum sk_jop op;

		x->at = skip_space(x, x->at);
		set_line(x, x->at);
		if (x->at >= x->len)
			sk_j_fail(x->j, SK_EFORMAT, "a tag has no end");
		n = open_len ? 0 : tag_end(x, block, &sign);
		if (n) {
			push(x, block ? SK_JT_BLOCK_END : SK_JT_VAR_END);
			x->at = after_end(x, x->at + n, sign, block);
			return;
		}
		if (digit(x, x->at)) {
			lex_number(x);
			continue;
		}
		if (x->s[x->at] == '\'' || x->s[x->at] == '"') {
			lex_string(x);
			continue;
		}
		if (lex_name(x))
			continue;
		op = lex_operator(x);
		if (op == SK_JO_LPAREN || op == SK_JO_LBRACKET || op == SK_JO_LBRACE) {
			if (open_len == sizeof open)
				sk_j_fail(x->j, SK_ETOOBIG, "more than %zu brackets inside each other", sizeof open);
			open[open_len++] = (char)(op + 1);
		} else if (op == SK_JO_RPAREN || op == SK_JO_RBRACKET || op == SK_JO_RBRACE) {
			if (!open_len || open[open_len - 1] != (char)op)
				sk_j_fail(x->j, SK_EFORMAT, "a closing bracket that fits no opening one");
			open_len--;
		}
	}
}

/* Line breaks as '\n'; one at the very end goes. */
static void normalise(struct lex *x, const char *s, size_t len)
{
	char *copy = sk_j_take(x->j, len + 1);
	size_t n = 0;

	for (size_t i = 0; i < len; i++) {
		if (s[i] == '\r' && i + 1 < len && s[i + 1] == '\n')
			continue;
		copy[n++] = s[i];
		if (s[i] == '\r')
			copy[n - 1] = '\n';
	}
	if (n && copy[n - 1] == '\n')
		n--;
	x->s = copy;
	x->len = n;
}

struct sk_jtok *sk_j_lex(struct sk_j *j, const char *source, size_t len)
{
	struct lex x = { .j = j, .line = 1 };

	normalise(&x, source, len);
	while (x.at < x.len) {
		size_t from = x.at, tag = from, raw;

		while (tag < x.len && !(x.s[tag] == '{' && tag + 1 < x.len && strchr("{%#", x.s[tag + 1])))
			tag++;
		set_line(&x, from);
		if (tag >= x.len) {
			add_data(&x, from, x.len);
			break;
		}
		data_before(&x, from, tag, x.s[tag + 1] != '{');
		set_line(&x, tag);
		raw = x.s[tag + 1] == '%' ? raw_word(&x, tag, "raw", false) : 0;
		x.at = tag + 2;
		if (raw) {
			lex_raw(&x, raw);
			continue;
		}
		if (sign_at(&x, x.at, "-+"))
			x.at++;
		if (x.s[tag + 1] == '#')
			lex_comment(&x, x.at);
		else
			lex_tag(&x, x.s[tag + 1] == '%');
	}
	set_line(&x, x.len);
	push(&x, SK_JT_EOF);
	return x.toks;
}
