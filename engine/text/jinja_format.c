/* SPDX-License-Identifier: Apache-2.0 */
/* Python's two ways of formatting: "%s" % x, and "{}".format(x). */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "engine/base/utf8.h"
#include "engine/text/jinja_in.h"

#define WIDTH_MAX 1000
#define PRECISION_MAX 300

/* A field: how wide, filled with what, signed how. */
struct spec {
	struct sk_jv fill;              /* one character */
	char align;                     /* '<' '>' '^' '=' or 0 */
	char sign;                      /* '+' ' ' or 0 */
	char group;                     /* ',' '_' or 0 */
	char type;
	bool alternate;
	int width, precision;           /* -1: none */
};

static void pad(struct sk_j *j, struct sk_jsb *b, const struct spec *f, struct sk_jv sign, struct sk_jv text, char align)
{
	int n = f->width - (int)sk_j_chars(j, sign) - (int)sk_j_chars(j, text), left;

	if (f->align)
		align = f->align;
	left = n <= 0 || align == '<' ? 0 : align == '^' ? n / 2 : n;
	if (align == '=')
		sk_jsb_add(j, b, sign.s, sign.len);
	for (int i = 0; i < left; i++)
		sk_jsb_add(j, b, f->fill.s, f->fill.len);
	if (align != '=')
		sk_jsb_add(j, b, sign.s, sign.len);
	sk_jsb_add(j, b, text.s, text.len);
	for (int i = left; i < n; i++)
		sk_jsb_add(j, b, f->fill.s, f->fill.len);
}

static struct sk_jv sign_of(const struct spec *f, bool negative)
{
	return negative ? sk_jv_str("-", 1) : f->sign ? sk_jv_str(&f->sign, 1) : sk_jv_str("", 0);
}

/* Digits in groups, up to a '.' or an 'e'. */
static struct sk_jv grouped(struct sk_j *j, struct sk_jv text, char with, size_t every)
{
	size_t whole = 0;
	struct sk_jsb b = { 0 };

	while (whole < text.len && ((text.s[whole] >= '0' && text.s[whole] <= '9') || (every == 4 && text.s[whole] >= 'a')))
		whole++;
	for (size_t i = 0; i < whole; i++) {
		if (i && (whole - i) % every == 0)
			sk_jsb_addc(j, &b, with);
		sk_jsb_addc(j, &b, text.s[i]);
	}
	sk_jsb_add(j, &b, text.s + whole, text.len - whole);
	return sk_jsb_str(&b);
}

static void add_int(struct sk_j *j, struct sk_jsb *b, const struct spec *f, int64_t i)
{
	uint64_t u = i < 0 ? -(uint64_t)i : (uint64_t)i;
	unsigned base = f->type == 'x' || f->type == 'X' ? 16 : f->type == 'o' ? 8 : f->type == 'b' ? 2 : 10;
	const char *digits = f->type == 'X' ? "0123456789ABCDEF" : "0123456789abcdef";
	char text[80];
	size_t at = sizeof text;
	struct sk_jsb sign = { 0 };
	struct sk_jv s = sign_of(f, i < 0), v;

	do {
		text[--at] = digits[u % base];
		u /= base;
	} while (u);
	while (f->precision > 0 && sizeof text - at < (size_t)f->precision && at)
		text[--at] = '0';
	v = sk_jv_str(text + at, sizeof text - at);
	if (f->group)
		v = grouped(j, v, f->group, base == 10 ? 3 : 4);
	sk_jsb_add(j, &sign, s.s, s.len);
	if (f->alternate && base != 10) {
		sk_jsb_addc(j, &sign, '0');
		sk_jsb_addc(j, &sign, f->type);
	}
	pad(j, b, f, sk_jsb_str(&sign), v, '>');
}

static void add_float(struct sk_j *j, struct sk_jsb *b, const struct spec *f, double d)
{
	char text[400];
	int precision = f->precision < 0 ? 6 : f->precision;
	char type = f->type == '%' ? 'f' : f->type == 'n' ? 'g' : f->type;
	bool negative = signbit(d) && !isnan(d);
	struct sk_jv v;

	if (f->type == '%')
		d *= 100;
	if (isnan(d) || isinf(d)) {
		snprintf(text, sizeof text, "%s", isnan(d) ? "nan" : "inf");
	} else if (!type) {
		struct sk_jsb plain = { 0 };

		if (f->precision < 0) {
			sk_j_add_float(j, &plain, fabs(d));
			snprintf(text, sizeof text, "%.*s", (int)plain.len, plain.s);
		} else {
			snprintf(text, sizeof text, "%.*g", precision ? precision : 1, fabs(d));
			if (!strpbrk(text, ".e"))
				snprintf(text + strlen(text), sizeof text - strlen(text), ".0");
		}
	} else if (fabs(d) > 1e60 && (type == 'f' || type == 'F')) {
		sk_j_fail(j, SK_ETOOBIG, "a number of more than 60 digits");
	} else {
		switch (type) {
		case 'e':
			snprintf(text, sizeof text, f->alternate ? "%#.*e" : "%.*e", precision, fabs(d));
			break;
		case 'E':
			snprintf(text, sizeof text, f->alternate ? "%#.*E" : "%.*E", precision, fabs(d));
			break;
		case 'g':
			snprintf(text, sizeof text, f->alternate ? "%#.*g" : "%.*g", precision, fabs(d));
			break;
		case 'G':
			snprintf(text, sizeof text, f->alternate ? "%#.*G" : "%.*G", precision, fabs(d));
			break;
		default:
			snprintf(text, sizeof text, f->alternate ? "%#.*f" : "%.*f", precision, fabs(d));
			break;
		}
	}
	v = sk_jv_str(text, strlen(text));
	if (f->group)
		v = grouped(j, v, f->group, 3);
	if (f->type == '%') {
		struct sk_jsb percent = { 0 };

		sk_jsb_add(j, &percent, v.s, v.len);
		sk_jsb_addc(j, &percent, '%');
		v = sk_jsb_str(&percent);
	}
	pad(j, b, f, sign_of(f, negative), v, '>');
}

static void add_text(struct sk_j *j, struct sk_jsb *b, const struct spec *f, struct sk_jv v, char align)
{
	if (f->precision >= 0)
		v = sk_j_sub(v, 0, sk_j_offset(v, (size_t)f->precision));
	pad(j, b, f, sk_jv_str("", 0), v, align);
}

static int number(struct sk_j *j, struct sk_jv s, size_t *at, int max)
{
	int n = 0;

	for (; *at < s.len && s.s[*at] >= '0' && s.s[*at] <= '9'; (*at)++) {
		n = n * 10 + s.s[*at] - '0';
		if (n > max)
			sk_j_fail(j, SK_ETOOBIG, "a width or precision of more than %d", max);
	}
	return n;
}

/* ---- "%s" % x ----------------------------------------------------------------------------------------------- */

struct percent {
	struct sk_jv args;
	size_t at;
	bool named;
};

static struct sk_jv next_arg(struct sk_j *j, struct percent *p)
{
	if (p->args.kind != SK_J_TUPLE) {
		if (p->at++)
			sk_j_fail(j, SK_EINVAL, "not enough arguments for format string");
		return p->args;
	}
	if (p->at >= p->args.list->len)
		sk_j_fail(j, SK_EINVAL, "not enough arguments for format string");
	return p->args.list->v[p->at++];
}

static int64_t percent_int(struct sk_j *j, struct sk_jv v, char type)
{
	if (v.kind == SK_J_FLOAT && strchr("diu", type) && fabs(v.f) < 9e18)
		return (int64_t)v.f;
	if (v.kind == SK_J_UNDEF)
		sk_j_undef_fail(j, v);
	if (!sk_j_is_int(v))
		sk_j_fail(j, SK_EINVAL, "%%%c format: a%s is required, not %s", type, strchr("diu", type) ? " real number" : "n integer",
			  sk_j_type(v));
	return sk_j_want_int(j, v);
}

static void percent_one(struct sk_j *j, struct sk_jsb *b, struct spec *f, struct sk_jv v)
{
	struct sk_jsb shown = { 0 };

	switch (f->type) {
	case 's':
		add_text(j, b, f, sk_j_str(j, v), '>');
		return;
	case 'r':
	case 'a':
		sk_j_add_repr(j, &shown, v);
		add_text(j, b, f, sk_jsb_str(&shown), '>');
		return;
	case 'c':
		if (sk_j_is_int(v)) {
			char bytes[4];
			int64_t cp = sk_j_want_int(j, v);

			if (cp < 0 || cp > 0x10ffff || (cp >= 0xd800 && cp < 0xe000))
				sk_j_fail(j, SK_EINVAL, "%%c arg not in range(0x110000)");
			add_text(j, b, f, sk_jv_str(bytes, sk_utf8_put(bytes, (uint32_t)cp)), '>');
			return;
		}
		if (v.kind != SK_J_STR || sk_j_chars(j, v) != 1)
			sk_j_fail(j, SK_EINVAL, "%%c requires int or char");
		add_text(j, b, f, v, '>');
		return;
	case 'd':
	case 'i':
	case 'u':
	case 'x':
	case 'X':
	case 'o':
		add_int(j, b, f, percent_int(j, v, f->type));
		return;
	case 'e':
	case 'E':
	case 'f':
	case 'F':
	case 'g':
	case 'G':
		if (v.kind == SK_J_UNDEF)
			sk_j_undef_fail(j, v);
		if (!sk_j_is_num(v))
			sk_j_fail(j, SK_EINVAL, "must be real number, not %s", sk_j_type(v));
		add_float(j, b, f, sk_j_num(v));
		return;
	default:
		sk_j_fail(j, SK_EINVAL, "unsupported format character '%c'", f->type >= ' ' && f->type < 127 ? f->type : '?');
	}
}

static size_t percent_flags(struct sk_jv format, size_t i, struct spec *f)
{
	bool zero = false;

	for (; i < format.len && strchr("-+ #0", format.s[i]); i++) {
		if (format.s[i] == '-')
			f->align = '<';
		else if (format.s[i] == '0')
			zero = true;
		else if (format.s[i] == '#')
			f->alternate = true;
		else if (f->sign != '+')
			f->sign = format.s[i];
	}
	if (zero && f->align != '<')
		f->align = '0';
	return i;
}

static size_t percent_field(struct sk_j *j, struct sk_jsb *b, struct sk_jv format, size_t i, struct percent *p)
{
	struct spec f = { .fill = sk_jv_str(" ", 1), .precision = -1 };
	struct sk_jv v = { 0 };

	if (i < format.len && format.s[i] == '(') {
		const char *end = memchr(format.s + i, ')', format.len - i);

		if (!end)
			sk_j_fail(j, SK_EINVAL, "incomplete format key");
		if (p->args.kind != SK_J_DICT)
			sk_j_fail(j, SK_EINVAL, "format requires a mapping");
		v = sk_j_item(j, p->args, sk_j_sub(format, i + 1, (size_t)(end - format.s)));
		p->named = true;
		i = (size_t)(end - format.s) + 1;
	}
	i = percent_flags(format, i, &f);
	if (i < format.len && format.s[i] == '*') {
		int64_t n = sk_j_want_int(j, next_arg(j, p));

		if (n > WIDTH_MAX || n < -WIDTH_MAX)
			sk_j_fail(j, SK_ETOOBIG, "a width of more than %d", WIDTH_MAX);
		f.align = n < 0 ? '<' : f.align;
		f.width = (int)(n < 0 ? -n : n);
		i++;
	} else {
		f.width = number(j, format, &i, WIDTH_MAX);
	}
	if (i < format.len && format.s[i] == '.') {
		i++;
		f.precision = number(j, format, &i, PRECISION_MAX);
	}
	while (i < format.len && strchr("hlL", format.s[i]))
		i++;
	if (i >= format.len)
		sk_j_fail(j, SK_EINVAL, "incomplete format");
	f.type = format.s[i++];
	if (f.align == '0') {
		f.align = strchr("srac", f.type) ? 0 : '=';
		if (f.align)
			f.fill = sk_jv_str("0", 1);
	}
	if (f.type == '%') {
		sk_jsb_addc(j, b, '%');
		return i;
	}
	percent_one(j, b, &f, sk_j_given(v) ? v : next_arg(j, p));
	return i;
}

struct sk_jv sk_j_percent(struct sk_j *j, struct sk_jv format, struct sk_jv args)
{
	struct sk_jsb b = { 0 };
	struct percent p = { .args = args };

	for (size_t i = 0; i < format.len;) {
		if (format.s[i] != '%') {
			sk_jsb_addc(j, &b, format.s[i++]);
			continue;
		}
		i = percent_field(j, &b, format, i + 1, &p);
	}
	if (args.kind == SK_J_TUPLE ? p.at < args.list->len : !p.at && !p.named && args.kind != SK_J_DICT && args.kind != SK_J_LIST &&
					   args.kind != SK_J_UNDEF)
		sk_j_fail(j, SK_EINVAL, "not all arguments converted during string formatting");
	return sk_jsb_str(&b);
}

/* ---- "{}".format(x) ----------------------------------------------------------------------------------------- */

struct format {
	const struct sk_jargs *args;
	size_t next;
	bool automatic, manual;
};

static struct spec read_spec(struct sk_j *j, struct sk_jv s)
{
	struct spec f = { .fill = sk_jv_str(" ", 1), .precision = -1 };
	size_t i = 0, first = sk_j_offset(s, 1);

	if (first < s.len && strchr("<>=^", s.s[first])) {
		f.fill = sk_j_sub(s, 0, first);
		f.align = s.s[first];
		i = first + 1;
	} else if (s.len && strchr("<>=^", s.s[0])) {
		f.align = s.s[i++];
	}
	if (i < s.len && strchr("+- ", s.s[i])) {
		f.sign = s.s[i] == '-' ? 0 : s.s[i];
		i++;
	}
	if (i < s.len && s.s[i] == '#') {
		f.alternate = true;
		i++;
	}
	if (i < s.len && s.s[i] == '0') {
		if (!f.align) {
			f.align = '0';
			f.fill = sk_jv_str("0", 1);
		}
		i++;
	}
	f.width = number(j, s, &i, WIDTH_MAX);
	if (i < s.len && strchr(",_", s.s[i]))
		f.group = s.s[i++];
	if (i < s.len && s.s[i] == '.') {
		i++;
		f.precision = number(j, s, &i, PRECISION_MAX);
	}
	if (i < s.len)
		f.type = s.s[i++];
	if (i < s.len)
		sk_j_fail(j, SK_EINVAL, "Invalid format specifier");
	return f;
}

static void format_value(struct sk_j *j, struct sk_jsb *b, struct sk_jv v, struct sk_jv spec)
{
	struct spec f = read_spec(j, spec);

	if (!spec.len) {
		sk_j_add_str(j, b, v);
		return;
	}
	if (f.align == '0')
		f.align = sk_j_is_num(v) ? '=' : '<';
	if (sk_j_is_int(v) && (!f.type || strchr("dxXobn", f.type)) && !(v.kind == SK_J_BOOL && !f.type)) {
		if (f.precision >= 0)
			sk_j_fail(j, SK_EINVAL, "Precision not allowed in integer format specifier");
		add_int(j, b, &f, sk_j_want_int(j, v));
	} else if (sk_j_is_num(v) && (!f.type || strchr("eEfFgGn%", f.type))) {
		if (v.kind == SK_J_BOOL && !f.type)
			add_int(j, b, &f, v.b);
		else
			add_float(j, b, &f, sk_j_num(v));
	} else if (v.kind == SK_J_STR && (!f.type || f.type == 's')) {
		if (f.align == '=')
			sk_j_fail(j, SK_EINVAL, "'=' alignment not allowed in string format specifier");
		add_text(j, b, &f, v, '<');
	} else if (v.kind == SK_J_STR || sk_j_is_num(v)) {
		sk_j_fail(j, SK_EINVAL, "Unknown format code '%c' for object of type '%s'", f.type, sk_j_type(v));
	} else {
		sk_j_fail(j, SK_EINVAL, "unsupported format string passed to %s.__format__", sk_j_type(v));
	}
}

/* The value of "0.name[key]". */
static struct sk_jv field_value(struct sk_j *j, struct format *f, struct sk_jv name)
{
	size_t at = 0, n = 0;
	struct sk_jv v = { 0 };

	while (at < name.len && name.s[at] != '.' && name.s[at] != '[')
		at++;
	if (!at || (name.s[0] >= '0' && name.s[0] <= '9')) {
		size_t i = 0;

		f->automatic |= !at;
		f->manual |= at > 0;
		if (f->automatic && f->manual)
			sk_j_fail(j, SK_EINVAL, "cannot switch between automatic field numbering and manual field specification");
		n = at ? (size_t)number(j, name, &i, WIDTH_MAX) : f->next++;
		if (n >= f->args->pos_len)
			sk_j_fail(j, SK_EINVAL, "Replacement index %zu out of range for positional args tuple", n);
		v = f->args->pos[n];
	}
	for (size_t i = 0; i < f->args->kw_len && v.kind == SK_J_MISSING; i++)
		if (f->args->kw[i].len == at && !memcmp(f->args->kw[i].name, name.s, at))
			v = f->args->kw[i].v;
	if (v.kind == SK_J_MISSING)
		sk_j_fail(j, SK_EINVAL, "%s", sk_j_repr(j, sk_j_sub(name, 0, at)));
	while (at < name.len) {
		bool item = name.s[at] == '[';
		size_t from = ++at;
		struct sk_jv key;

		while (at < name.len && (item ? name.s[at] != ']' : name.s[at] != '.' && name.s[at] != '['))
			at++;
		key = sk_j_sub(name, from, at);
		if (item && key.len && key.s[0] >= '0' && key.s[0] <= '9') {
			size_t i = 0;

			key = sk_jv_int(number(j, key, &i, 1 << 20));
		}
		v = item ? sk_j_item(j, v, key) : sk_j_attr(j, v, key.s, key.len);
		at += item && at < name.len;
	}
	return v;
}

static void format_text(struct sk_j *j, struct sk_jsb *b, struct format *f, struct sk_jv s, int depth);

/* "name!r:spec" between braces. */
static void format_field(struct sk_j *j, struct sk_jsb *b, struct format *f, struct sk_jv s, int depth)
{
	size_t at = 0;
	struct sk_jsb spec = { 0 }, shown = { 0 };
	struct sk_jv v;
	char convert = 0;

	while (at < s.len && s.s[at] != '!' && s.s[at] != ':') {
		if (s.s[at] == '[')
			while (at < s.len && s.s[at] != ']')
				at++;
		at += at < s.len;
	}
	v = field_value(j, f, sk_j_sub(s, 0, at));
	if (at < s.len && s.s[at] == '!') {
		convert = at + 1 < s.len ? s.s[at + 1] : 0;
		if (!convert || !strchr("rsa", convert))
			sk_j_fail(j, SK_EINVAL, "Unknown conversion specifier");
		at += 2;
		if (at < s.len && s.s[at] != ':')
			sk_j_fail(j, SK_EINVAL, "expected ':' after conversion specifier");
	}
	if (convert == 's') {
		v = sk_j_str(j, v);
	} else if (convert) {
		sk_j_add_repr(j, &shown, v);
		v = sk_jsb_str(&shown);
	}
	if (at < s.len)
		format_text(j, &spec, f, sk_j_sub(s, at + 1, s.len), depth + 1);
	format_value(j, b, v, sk_jsb_str(&spec));
}

static void format_text(struct sk_j *j, struct sk_jsb *b, struct format *f, struct sk_jv s, int depth)
{
	if (depth > 2)
		sk_j_fail(j, SK_EINVAL, "Max string recursion exceeded");
	for (size_t i = 0; i < s.len;) {
		size_t from;
		int open = 1;

		if (s.s[i] != '{' && s.s[i] != '}') {
			sk_jsb_addc(j, b, s.s[i++]);
			continue;
		}
		if (i + 1 < s.len && s.s[i + 1] == s.s[i] && !depth) {
			sk_jsb_addc(j, b, s.s[i]);
			i += 2;
			continue;
		}
		if (s.s[i] == '}')
			sk_j_fail(j, SK_EINVAL, "Single '}' encountered in format string");
		for (from = ++i; i < s.len && open; i++)
			open += (s.s[i] == '{') - (s.s[i] == '}');
		if (open)
			sk_j_fail(j, SK_EINVAL, from == s.len ? "Single '{' encountered in format string" : "expected '}' before end of string");
		format_field(j, b, f, sk_j_sub(s, from, i - 1), depth);
	}
}

struct sk_jv sk_j_format(struct sk_j *j, struct sk_jv format, const struct sk_jargs *args)
{
	struct sk_jsb b = { 0 };
	struct format f = { .args = args };

	format_text(j, &b, &f, format, 0);
	return sk_jsb_str(&b);
}
