/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The playground at / and the description of the interface at /docs. On the loop: they are there while the model loads.
 * Both are open to everybody, and ask for the API key themselves.
 */
#include "fcgi/pages.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "fcgi/request.h"
#include "fcgi/route.h"

/* ";q=0", ";q=0.000" among the parameters of one entry: this one is not wanted. */
static bool is_refused(const char *parameters, size_t len)
{
	for (size_t i = 0; i + 2 < len; i++) {
		if ((parameters[i] | 0x20) != 'q' || parameters[i + 1] != '=' || (i && !strchr("; \t", parameters[i - 1])))
			continue;
		for (i += 2; i < len && parameters[i] != ';'; i++)
			if (parameters[i] >= '1' && parameters[i] <= '9')
				return false;
		return true;
	}
	return false;
}

static const char html[] = "text/html";
#define HTML_LEN (sizeof html - 1)

bool sk_accepts_html(const char *accept)
{
	while (accept && *accept) {
		size_t len;

		accept += strspn(accept, ", \t");
		len = strcspn(accept, ",");
		if (len >= HTML_LEN && !strncasecmp(accept, html, HTML_LEN) && strchr(",; \t", accept[HTML_LEN]))
			return !is_refused(accept + HTML_LEN, len - HTML_LEN);
		accept += len;
	}
	return false;
}

static void reply_page(struct sk_request *r, int status, const struct sk_page *page)
{
	sk_reply_header(r, "content-security-policy", page->policy);
	sk_reply_header(r, "x-content-type-options", "nosniff");
	sk_reply_header(r, "referrer-policy", "no-referrer");
	sk_reply_header(r, "cross-origin-opener-policy", "same-origin");
	/* Another version of saker may be behind the same address tomorrow. */
	sk_reply_header(r, "cache-control", "no-cache");
	sk_reply(r, status, "text/html; charset=utf-8", page->bytes, page->len);
}

/*
 * TGI's answer, an empty 200 or 503 with JSON; for a browser the playground in its place, with the same status: some
 * libraries for HTTP say text/html too, and who asks through them for the health of the server must hear the truth.
 */
void sk_api_home(struct sk_request *r, struct json_object *body)
{
	bool pages = !r->front->options->no_pages;

	sk_api_health(r, NULL);
	if (pages)
		sk_reply_header(r, "vary", "accept");
	if (pages && sk_accepts_html(sk_request_param(r, "HTTP_ACCEPT")))
		reply_page(r, r->status, &sk_page_playground);
}

void sk_api_docs(struct sk_request *r, struct json_object *body)
{
	if (r->front->options->no_pages)
		sk_reply_error(r, 404, "not_found", "There is nothing at this path");
	else
		reply_page(r, 200, &sk_page_docs);
}
