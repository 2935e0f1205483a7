/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Jinja against answers of the jinja2 library: test_jinja [FILE]. Without a FILE: tests/golden/jinja.jsonl, which make_jinja.py wrote.
 *
 * A line is a case: {"t": template, "v": {variables}, "o": what it gives}, or "e" in place of "o": it fails; a string there is what the
 * message must hold. strftime_now says 2026-11-27 12:34:56 UTC.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "engine/base/map.h"
#include "engine/base/jpull.h"
#include "engine/text/jinja.h"

#define NOW 1795782896
#define VARS_MAX 32
#define SHOWN_MAX 40

struct one {
	struct sk_str template, want, error;
	bool fails;
	struct sk_jinja_var vars[VARS_MAX];
	size_t vars_len;
};

static void read_vars(struct sk_jpull *r, struct sk_arena *a, struct one *c)
{
	struct sk_str key;

	sk_jpull_enter(r, SK_JPULL_OBJECT);
	while (sk_jpull_key(r, &key)) {
		size_t from;

		sk_jpull_peek(r);
		from = r->at;
		sk_jpull_skip(r);
		if (c->vars_len == VARS_MAX) {
			sk_jpull_fail(r, SK_ETOOBIG, "more than %d variables", VARS_MAX);
			return;
		}
		c->vars[c->vars_len++] = (struct sk_jinja_var){ sk_arena_strndup(a, key.s, key.len), r->s + from, r->at - from, false };
	}
}

static sk_status read_case(const char *line, size_t len, struct sk_arena *a, struct one *c, struct sk_err *err)
{
	struct sk_jpull r;
	struct sk_str key;

	sk_jpull_init(&r, line, len, "case", a, err);
	sk_jpull_enter(&r, SK_JPULL_OBJECT);
	while (sk_jpull_key(&r, &key)) {
		if (key.len == 1 && *key.s == 't') {
			sk_jpull_str(&r, &c->template);
		} else if (key.len == 1 && *key.s == 'o') {
			sk_jpull_str(&r, &c->want);
		} else if (key.len == 1 && *key.s == 'e') {
			c->fails = true;
			sk_jpull_str(&r, &c->error);
		} else if (key.len == 1 && *key.s == 'v') {
			read_vars(&r, a, c);
		} else {
			sk_jpull_skip(&r);
		}
	}
	return sk_jpull_end(&r);
}

static bool holds(const char *text, struct sk_str what)
{
	return !what.len || memmem(text, strlen(text), what.s, what.len);
}

/* Whether the case went as it should; else says how it went. */
static bool run(const struct one *c, size_t number, bool quiet)
{
	struct sk_jinja_limits limits = { .now = NOW };
	struct sk_err err = { 0 };
	struct sk_jinja *t = NULL;
	struct sk_buf out = SK_BUF((size_t)64 << 20);
	sk_status st = sk_jinja_open(c->template.s, c->template.len, &t, &err);
	bool good;

	if (st == SK_OK)
		st = sk_jinja_render(t, c->vars, c->vars_len, &limits, &out, &err);
	good = c->fails ? st < 0 && holds(err.text, c->error) : st == SK_OK && out.len == c->want.len && !memcmp(out.data ? out.data : "",
												     c->want.s, out.len);
	if (!good && !quiet) {
		printf("case %zu\n  template: %.*s\n", number, (int)(c->template.len < 1500 ? c->template.len : 1500), c->template.s);
		if (c->fails)
			printf("  wanted:   an error with '%.*s'\n", (int)c->error.len, c->error.s);
		else
			printf("  wanted:   [%.*s]\n", (int)c->want.len, c->want.s);
		if (st < 0)
			printf("  got:      %s\n", err.text);
		else
			printf("  got:      [%.*s]\n", (int)out.len, out.data ? out.data : "");
	}
	sk_buf_fini(&out);
	sk_jinja_close(&t);
	return good;
}

int main(int argc, char **argv)
{
	const char *path = argc > 1 ? argv[1] : GOLDEN_SRCDIR "/tests/golden/jinja.jsonl", *line, *end;
	struct sk_map map;
	struct sk_err err = { 0 };
	size_t cases = 0, bad = 0;

	setenv("TZ", "UTC0", 1);
	tzset();
	if (sk_map_open(&map, path, &err) < 0) {
		fprintf(stderr, "%s\n", err.text);
		return 1;
	}
	for (line = (const char *)map.data; line < (const char *)map.data + map.len; line = end + 1) {
		struct sk_arena a = { 0 };
		struct one c = { .vars_len = 0 };

		end = memchr(line, '\n', map.len - (size_t)(line - (const char *)map.data));
		if (!end)
			end = (const char *)map.data + map.len;
		if (read_case(line, (size_t)(end - line), &a, &c, &err) < 0) {
			fprintf(stderr, "%s: case %zu: %s\n", path, cases, err.text);
			return 1;
		}
		bad += !run(&c, cases++, bad >= SHOWN_MAX);
		sk_arena_fini(&a);
	}
	sk_map_fini(&map);
	printf("%zu of %zu templates as jinja2 renders them\n", cases - bad, cases);
	return bad || !cases;
}
