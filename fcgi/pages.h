/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The pages for people: etc/www, put into the program by etc/www/assemble.c when it is built. (pages.c serves them)
 */
#ifndef SK_FCGI_PAGES_H
#define SK_FCGI_PAGES_H

#include <stdbool.h>
#include <stddef.h>

struct sk_page {
	const unsigned char *bytes;
	size_t len;
	const char *policy;             /* Content-Security-Policy: its own script and style, its own server, nothing else */
};

extern const struct sk_page sk_page_playground, sk_page_docs;

/* Whether an Accept header names text/html, and not with a weight of zero: browsers do, API clients do not. NULL: no. */
bool sk_accepts_html(const char *accept);

#endif
