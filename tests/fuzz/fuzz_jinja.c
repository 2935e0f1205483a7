/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A template, a NUL, and its variables as a JSON object. Whatever they are: a text or an error, within the limits.
 */
#include <stdlib.h>
#include <string.h>

#include "engine/base/clock.h"
#include "engine/base/jpull.h"
#include "engine/base/utf8.h"
#include "engine/text/jinja.h"

#define VARS_MAX 32
#define TIME_US 2000000

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static size_t read_vars(const char *s, size_t len, struct sk_arena *a, struct sk_jinja_var *vars)
{
	struct sk_jpull r;
	struct sk_err err = { 0 };
	struct sk_str key;
	size_t n = 0;

	sk_jpull_init(&r, s, len, "variables", a, &err);
	sk_jpull_enter(&r, SK_JPULL_OBJECT);
	while (n < VARS_MAX && sk_jpull_key(&r, &key)) {
		size_t from;

		sk_jpull_peek(&r);
		from = r.at;
		sk_jpull_skip(&r);
		if (r.status < 0)
			break;
		vars[n] = (struct sk_jinja_var){ sk_arena_strndup(a, key.s, key.len), s + from, r.at - from, n % 8 == 7 };
		n++;
	}
	return r.status == SK_OK ? n : 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static const struct sk_jinja_limits limits = { .steps = 100000, .memory_bytes = 16 << 20, .output_bytes = 1 << 20, .time_us = TIME_US };
	const char *s = (const char *)data, *split = memchr(s, 0, len);
	struct sk_jinja_var vars[VARS_MAX];
	struct sk_buf out = SK_BUF(4 << 20);
	struct sk_arena a = { 0 };
	struct sk_err err = { 0 };
	struct sk_jinja *t = NULL;
	size_t template_len = split ? (size_t)(split - s) : len, vars_len = 0;
	int64_t began = sk_now_us();
	sk_status st = sk_jinja_open(s, template_len, &t, &err);

	if (st == SK_OK && split)
		vars_len = read_vars(split + 1, len - template_len - 1, &a, vars);
	if (st == SK_OK)
		st = sk_jinja_render(t, vars, vars_len, &limits, &out, &err);
	if (st < 0 && (!err.text[0] || out.len))
		abort();
	if (st == SK_OK && !sk_utf8_valid(out.data ? out.data : "", out.len))
		abort();
	if (sk_now_us() - began > 10 * (int64_t)TIME_US)
		abort();
	sk_jinja_close(&t);
	sk_buf_fini(&out);
	sk_arena_fini(&a);
	return 0;
}
