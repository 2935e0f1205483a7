/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Jinja: the language of chat templates, as the jinja2 library (3.1) runs it in the environment that transformers makes: sandboxed
 * and immutable, trim_blocks, lstrip_blocks, loop controls, {% generation %}, raise_exception, strftime_now, its own tojson.
 *
 *	sk_jinja_open -> sk_jinja_render ... -> sk_jinja_close
 *
 * A template is a program of a stranger: it cannot reach anything but its variables, and a render has limits of steps, memory, output,
 * depth and time. Not built: templates that load others (there is no loader in the reference either), integers beyond 64 bits in
 * arithmetic, and `self`.
 */
#ifndef SK_TEXT_JINJA_H
#define SK_TEXT_JINJA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/base/buf.h"
#include "engine/base/err.h"

#define SK_JINJA_SOURCE_MAX ((size_t)1 << 20)

/* A parsed template. Immutable: any thread, any number of renders at once. */
struct sk_jinja;

/* Zero: the default. */
struct sk_jinja_limits {
	uint64_t steps;                 /* 20,000,000; a step is a node, or 64 bytes that were touched */
	size_t memory_bytes;            /* 256 MiB */
	size_t output_bytes;            /* 64 MiB */
	int64_t time_us;                /* 10 s */
	int64_t now;                    /* what strftime_now says, seconds since 1970; 0: the clock */
};

/* A variable of a render: JSON, or a string as it is. */
struct sk_jinja_var {
	const char *name;
	const char *s;
	size_t len;
	bool is_text;
};

/*
 * Parse. Messages begin with the line: "line 3: unknown tag 'x'".
 *   SK_EFORMAT  a fault of syntax;  SK_ETOOBIG  the source is too long, or nested too deeply;  SK_ENOMEM
 */
sk_status sk_jinja_open(const char *source, size_t len, struct sk_jinja **ret_t, struct sk_err *err);
void sk_jinja_close(struct sk_jinja **t);

/*
 * Append the rendering to out, whose own ceiling counts too; on failure out is as it was. Messages begin with the template's line.
 *   SK_EINVAL   the template failed on these variables: raise_exception, an undefined value, a wrong type
 *   SK_ETOOBIG  a limit;  SK_EFORMAT  a variable is no JSON;  SK_ENOMEM
 */
sk_status sk_jinja_render(const struct sk_jinja *t, const struct sk_jinja_var *vars, size_t vars_len, const struct sk_jinja_limits *limits,
			  struct sk_buf *out, struct sk_err *err);

/* Whether the template mentions a name at all: `tools`, `documents`. */
bool sk_jinja_mentions(const struct sk_jinja *t, const char *name);

#endif
