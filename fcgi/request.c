/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The request's own functions: its parameters, its path, and setting its reply. No socket, no thread.
 */
#include "fcgi/request.h"

#include <string.h>
#include <strings.h>

#define ADDRESS_MAX 64

const char *sk_request_param(const struct sk_request *r, const char *name)
{
	for (const char **p = r->params; p && p[0]; p += 2)
		if (!strcmp(p[0], name))
			return p[1];
	return NULL;
}

static int hex(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/*
 * Percent-decoding; a broken escape and %00 stay as they are written. So does %2F: a slash that was encoded belongs to a
 * name (`/endpoints/a%2Fb/invocations`) and separates nothing.
 */
static char *decode(struct sk_arena *a, const char *s, size_t len)
{
	char *out = sk_arena_strndup(a, s, len);
	size_t n = 0;

	if (!out)
		return NULL;
	for (size_t i = 0; i < len; i++) {
		int h = s[i] == '%' && i + 2 < len ? hex(s[i + 1]) : -1;
		int l = h >= 0 ? hex(s[i + 2]) : -1;

		if (l >= 0 && (h || l) && (h << 4 | l) != '/') {
			out[n++] = (char)(h << 4 | l);
			i += 2;
		} else {
			out[n++] = s[i];
		}
	}
	out[n] = 0;
	return out;
}

/* The URI without the prefix that the web server's administrator put before every path; without it, the URI as it is. */
static const char *prefix_skip(const char *uri, const char *prefix)
{
	size_t len = prefix ? strlen(prefix) : 0;

	if (!len || strncmp(uri, prefix, len) || (uri[len] && uri[len] != '/' && uri[len] != '?'))
		return uri;
	return uri + len;
}

const char *sk_request_uri(const struct sk_request *r)
{
	const char *uri = sk_request_param(r, "REQUEST_URI");

	if (uri && (!strncasecmp(uri, "http://", 7) || !strncasecmp(uri, "https://", 8))) {
		uri = strchr(uri, ':') + 3;
		return uri + strcspn(uri, "/?");
	}
	return uri ? uri : sk_request_param(r, "SCRIPT_NAME");
}

sk_status sk_request_begin(struct sk_request *r, struct sk_err *err)
{
	const char *uri = sk_request_uri(r), *type = sk_request_param(r, "CONTENT_TYPE");
	const char *method = sk_request_param(r, "REQUEST_METHOD"), *end;
	const char *path;

	if (!method || !uri)
		return sk_fail(err, SK_EFORMAT, "FastCGI request without REQUEST_METHOD or REQUEST_URI");
	uri = prefix_skip(uri, r->front->options->path_prefix);
	end = strchr(uri, '?');
	path = decode(&r->arena, uri, end ? (size_t)(end - uri) : strlen(uri));
	if (!path)
		return sk_fail(err, SK_ENOMEM, "no memory for a path of %zu bytes", strlen(uri));
	r->method = method;
	r->path = path[0] ? path : "/";
	r->query = end ? end + 1 : "";
	r->content_type = type ? type : "";
	r->head_only = !strcmp(method, "HEAD");
	return SK_OK;
}

/* IPv4, IPv6, perhaps in brackets and with a port or a zone; anything else somebody has made up. */
static bool is_address(const char *s, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (!s[i] || !strchr("0123456789abcdefABCDEF.:[]%", s[i]))
			return false;
	return len > 0 && len <= ADDRESS_MAX;
}

/* The n-th entry from the end of a list with commas; false when it is shorter, or the entry is no address. */
static bool entry_from_end(const char *list, int64_t n, const char **ret_entry, size_t *ret_len)
{
	const char *end = list + strlen(list), *from = end;

	for (;;) {
		while (from > list && from[-1] != ',')
			from--;
		if (--n == 0 || from == list)
			break;
		end = --from;
	}
	while (from < end && (*from == ' ' || *from == '\t'))
		from++;
	while (end > from && (end[-1] == ' ' || end[-1] == '\t'))
		end--;
	*ret_entry = from;
	*ret_len = (size_t)(end - from);
	return n == 0 && is_address(from, *ret_len);
}

const char *sk_request_client(struct sk_request *r)
{
	int64_t hops = r->front->options->forwarded_hops;
	const char *list = hops ? sk_request_param(r, "HTTP_X_FORWARDED_FOR") : NULL;
	const char *remote = sk_request_param(r, "REMOTE_ADDR"), *entry;
	size_t len;

	if (list && entry_from_end(list, hops, &entry, &len)) {
		const char *copy = sk_arena_strndup(&r->arena, entry, len);

		if (copy)
			return copy;
	}
	return remote ? remote : "";
}

void sk_reply_out(struct sk_request *r, int status, const char *type)
{
	r->status = status;
	r->reply_type = type;
}

void sk_reply(struct sk_request *r, int status, const char *type, const void *body, size_t len)
{
	sk_buf_clear(&r->out);
	sk_buf_add(&r->out, body, len);
	sk_reply_out(r, status, type);
}

void sk_reply_header(struct sk_request *r, const char *name, const char *value)
{
	/* A value comes from a setting or from us; a line break in it would begin another header. */
	if (strpbrk(name, "\r\n:") || strpbrk(value, "\r\n"))
		return;
	sk_buf_addf(&r->headers, "%s: %s\r\n", name, value);
}
