/* SPDX-License-Identifier: Apache-2.0 */
/* What a parsed template is; made by jinja_parse.c, run by jinja_run.c. */
#ifndef SK_TEXT_JINJA_TEMPLATE_H
#define SK_TEXT_JINJA_TEMPLATE_H

#include "engine/text/jinja_in.h"

struct sk_jinja {
	struct sk_arena arena;
	struct sk_jnode *body;
	struct sk_jp *parser;           /* its names */
};

/* NULL: the template does not mention it. */
const struct sk_jsym *sk_jinja_sym(const struct sk_jinja *t, const char *name);

#endif
