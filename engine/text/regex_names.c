/* SPDX-License-Identifier: Apache-2.0 */
/* See regex_names.h. */
#include "engine/text/regex_names.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "engine/text/sets.h"

static const struct { const char *name, *items; } words[] = {
	{ "space", "\\t-\\r \\x{85}\\x{a0}\\x{1680}\\x{2000}-\\x{200a}\\x{2028}\\x{2029}\\x{202f}\\x{205f}\\x{3000}" },
	{ "whitespace", "\\t-\\r \\x{85}\\x{a0}\\x{1680}\\x{2000}-\\x{200a}\\x{2028}\\x{2029}\\x{202f}\\x{205f}\\x{3000}" },
	{ "xdigit", "0-9A-Fa-f" },
	{ "asciihexdigit", "0-9A-Fa-f" },
	{ "ascii", "\\x{0}-\\x{7f}" },
	{ "any", "\\x{0}-\\x{10ffff}" },
	{ "cntrl", "\\x{0}-\\x{1f}\\x{7f}-\\x{9f}" },
};

/* Letters in circles and squares. */
#define CIRCLED "\\x{24b6}-\\x{24cf}\\x{1f130}-\\x{1f149}\\x{1f150}-\\x{1f169}\\x{1f170}-\\x{1f189}"

/* Categories by their long names, and POSIX's classes, in categories. */
static const struct { const char *name, *categories, *more; } unions[] = {
	{ "letter", "L", "" }, { "casedletter", "Lu Ll Lt", "" }, { "lc", "Lu Ll Lt", "" }, { "l&", "Lu Ll Lt", "" },
	{ "uppercaseletter", "Lu", "" }, { "lowercaseletter", "Ll", "" }, { "titlecaseletter", "Lt", "" },
	{ "modifierletter", "Lm", "" }, { "otherletter", "Lo", "" },
	{ "mark", "M", "" }, { "combiningmark", "M", "" }, { "nonspacingmark", "Mn", "" }, { "spacingmark", "Mc", "" }, { "enclosingmark", "Me", "" },
	{ "number", "N", "" }, { "decimalnumber", "Nd", "" }, { "digit", "Nd", "" }, { "letternumber", "Nl", "" }, { "othernumber", "No", "" },
	{ "punctuation", "P", "" }, { "connectorpunctuation", "Pc", "" }, { "dashpunctuation", "Pd", "" },
	{ "openpunctuation", "Ps", "" }, { "closepunctuation", "Pe", "" }, { "initialpunctuation", "Pi", "" },
	{ "finalpunctuation", "Pf", "" }, { "otherpunctuation", "Po", "" }, { "punct", "P", "" },
	{ "symbol", "S", "" }, { "mathsymbol", "Sm", "" }, { "currencysymbol", "Sc", "" }, { "modifiersymbol", "Sk", "" }, { "othersymbol", "So", "" },
	{ "separator", "Z", "" }, { "spaceseparator", "Zs", "" }, { "lineseparator", "Zl", "" }, { "paragraphseparator", "Zp", "" },
	{ "blank", "Zs", "\\t" }, { "posixpunct", "P S", "" },
	{ "print", "L M N P S Zs Cf Co", "" }, { "graph", "L M N P S Cf Co", "" },
	{ "upper", "Lu", "\\x{2160}-\\x{216f}" CIRCLED }, { "uppercase", "Lu", "\\x{2160}-\\x{216f}" CIRCLED }, { "control", "Cc", "" }, { "format", "Cf", "" }, { "privateuse", "Co", "" },
	{ "word", "L M Nd Nl Pc", CIRCLED "\\x{24d0}-\\x{24e9}" },
	/* \\w outside of brackets: a table of Latin-1 knows more words. */
	{ "escapedword", "L M Nd Nl Pc", CIRCLED "\\x{24d0}-\\x{24e9}\\x{b2}\\x{b3}\\x{b9}\\x{bc}-\\x{be}" },
};

/* Names of one category, or of a group of them by their first letter. */
static const char categories[] = " L Lu Ll Lt Lm Lo M Mn Mc Me N Nd Nl No P Pc Pd Ps Pe Pi Pf Po S Sm Sc Sk So Z Zs Zl Zp Cc Cf Co ";

static bool fold(const char *name, char *out, size_t out_bytes)
{
	size_t n = 0;

	for (; *name; name++) {
		if (*name == ' ' || *name == '_' || *name == '-')
			continue;
		if ((unsigned char)*name >= 0x80 || n + 1 >= out_bytes)
			return false;
		out[n++] = *name >= 'A' && *name <= 'Z' ? (char)(*name | 0x20) : *name;
	}
	out[n] = '\0';
	return n > 0;
}

static bool add(char *out, size_t out_bytes, size_t *io_len, const char *more)
{
	size_t n = strlen(more);

	if (*io_len + n >= out_bytes)
		return false;
	memcpy(out + *io_len, more, n + 1);
	*io_len += n;
	return true;
}

/* A category and what came to it after Unicode 14. */
static bool category_add(const char *name, char *out, size_t out_bytes, size_t *io_len)
{
	char part[64];
	const char *cat;
	uint32_t first, last;
	size_t i;
	bool ok;

	snprintf(part, sizeof(part), "\\p{%s}", name);
	ok = add(out, out_bytes, io_len, part);
	for (i = 0; ok && sk_category_added(i, &first, &last, &cat); i++)
		if (!strncmp(cat, name, strlen(name))) {
			snprintf(part, sizeof(part), first == last ? "\\x{%x}" : "\\x{%x}-\\x{%x}", (unsigned)first, (unsigned)last);
			ok = add(out, out_bytes, io_len, part);
		}
	return ok;
}

static bool union_add(const char *list, const char *more, char *out, size_t out_bytes)
{
	size_t len = 0, n;
	char name[8];
	bool ok = true;

	for (; *list && ok; list += n + (list[n] == ' ')) {
		n = strcspn(list, " ");
		snprintf(name, sizeof(name), "%.*s", (int)n, list);
		ok = category_add(name, out, out_bytes, &len);
	}
	return ok && add(out, out_bytes, &len, more);
}

/* PCRE2 is asked whether it knows the word. */
static bool pcre2_knows(const char *items)
{
	char pattern[80];
	int code;
	PCRE2_SIZE at;
	pcre2_code *c;

	snprintf(pattern, sizeof(pattern), "[%s]", items);
	c = pcre2_compile((PCRE2_SPTR)pattern, PCRE2_ZERO_TERMINATED, PCRE2_UTF | PCRE2_UCP, &code, &at, NULL);
	pcre2_code_free(c);
	return c;
}

static bool script_add(const char *name, char *out, size_t out_bytes)
{
	uint32_t first, last;
	const char *script;
	char part[64];
	size_t len = 0, i;
	bool ok;

	/* From 10.40 on \p{Greek} means the script's extensions, and sc: the script itself. A name may be a property's as well. */
	snprintf(part, sizeof(part), "\\p{sc:%s}", name);
	if (!pcre2_knows(part))
		snprintf(part, sizeof(part), "\\p{%s}", name);
	ok = pcre2_knows(part) && add(out, out_bytes, &len, part);
	for (i = 0; ok && sk_script_added(i, &first, &last, &script); i++) {
		if (strcmp(name, script) != 0)
			continue;
		snprintf(part, sizeof(part), "\\x{%x}-\\x{%x}", (unsigned)first, (unsigned)last);
		ok = add(out, out_bytes, &len, part);
	}
	return ok;
}

/* A union and the ranges of a table beside it. */
static bool ranges_add(const char *list, enum sk_set set, const char *more, char *out, size_t out_bytes)
{
	uint32_t first, last;
	char part[64];
	size_t len, i;
	bool ok = union_add(list, more, out, out_bytes);

	len = strlen(out);
	for (i = 0; ok && sk_set_range(set, i, &first, &last); i++) {
		snprintf(part, sizeof(part), "\\x{%x}-\\x{%x}", (unsigned)first, (unsigned)last);
		ok = add(out, out_bytes, &len, part);
	}
	return ok;
}

bool sk_regex_property(const char *name, char *out, size_t out_bytes)
{
	char folded[48], spaced[8];
	size_t i, len = 0;

	if (!fold(name, folded, sizeof(folded)))
		return false;
	for (i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (!strcmp(words[i].name, folded))
			return add(out, out_bytes, &len, words[i].items);
	for (i = 0; i < sizeof(unions) / sizeof(unions[0]); i++)
		if (!strcmp(unions[i].name, folded))
			return union_add(unions[i].categories, unions[i].more, out, out_bytes);
	if (!strcmp(folded, "alpha") || !strcmp(folded, "alphabetic"))
		return ranges_add("L Nl", SK_SET_ALPHA_MORE, "", out, out_bytes);
	if (!strcmp(folded, "alnum"))
		return ranges_add("L Nl Nd", SK_SET_ALPHA_MORE, "", out, out_bytes);
	if (!strcmp(folded, "lower") || !strcmp(folded, "lowercase"))
		return ranges_add("Ll", SK_SET_LOWER_MORE, "", out, out_bytes);
	if (strlen(folded) <= 2) {
		char cat[3] = { (char)(folded[0] & ~0x20), folded[1], '\0' };

		snprintf(spaced, sizeof(spaced), " %s ", cat);
		return strstr(categories, spaced) && category_add(cat, out, out_bytes, &len);
	}
	return script_add(folded, out, out_bytes);
}
