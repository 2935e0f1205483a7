/* SPDX-License-Identifier: Apache-2.0 */
#include "fcgi/ask.h"

#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "engine/base/clock.h"
#include "fcgi/record.h"

/* ---- places ------------------------------------------------------------------------------------------------- */

/* HOST, HOST:PORT, [IPV6] or [IPV6]:PORT, up to `end`. */
static bool read_authority(const char *s, const char *end, struct sk_place *p)
{
	const char *host = s, *host_end, *port;

	if (*s == '[') {
		host = s + 1;
		host_end = memchr(host, ']', (size_t)(end - host));
		if (!host_end)
			return false;
		port = host_end + 1;
	} else {
		host_end = memchr(s, ':', (size_t)(end - s));
		if (!host_end)
			host_end = end;
		port = host_end;
	}
	if (host == host_end || (size_t)(host_end - host) >= sizeof p->host || (port < end && *port != ':'))
		return false;
	snprintf(p->host, sizeof p->host, "%.*s", (int)(host_end - host), host);
	if (port == end) {
		snprintf(p->port, sizeof p->port, "80");
		return true;
	}
	port++;
	if (port == end || end - port > 5 || strspn(port, "0123456789") < (size_t)(end - port))
		return false;
	snprintf(p->port, sizeof p->port, "%.*s", (int)(end - port), port);
	return atoi(p->port) > 0 && atoi(p->port) < 65536;
}

sk_status sk_place_read(const char *words, struct sk_place *ret_place, struct sk_err *err)
{
	struct sk_place p = { 0 };
	const char *s = words, *slash;
	size_t prefix;

	if (!strncmp(s, "unix:", 5)) {
		p.is_socket = true;
		if (!s[5] || strlen(s + 5) >= sizeof p.path)
			return sk_fail(err, SK_EINVAL, "\"%s\": a socket's path has 1 to %zu bytes", words, sizeof p.path - 1);
		strncpy(p.path, s + 5, sizeof p.path - 1);
		*ret_place = p;
		return SK_OK;
	}
	if (!strncasecmp(s, "https:", 6))
		return sk_fail(err, SK_EINVAL, "\"%s\": TLS is not spoken here; name http://HOST:PORT or the daemon's socket, unix:PATH",
			       words);
	if (!strncasecmp(s, "http://", 7))
		s += 7;
	slash = s + strcspn(s, "/");
	prefix = strlen(slash);
	while (prefix && slash[prefix - 1] == '/')
		prefix--;
	if (prefix >= sizeof p.prefix || strpbrk(s, " \t\r\n?#@") || !read_authority(s, slash, &p))
		return sk_fail(err, SK_EINVAL, "\"%s\" is no place: http://HOST:PORT, HOST:PORT or unix:PATH is wanted", words);
	snprintf(p.prefix, sizeof p.prefix, "%.*s", (int)prefix, slash);
	*ret_place = p;
	return SK_OK;
}

/* ---- answers ------------------------------------------------------------------------------------------------ */

/* "HTTP/1.0 200 OK" or CGI's "Status: 200 OK", headers, a blank line. */
sk_status sk_ask_read_http(struct sk_buf *b, int *ret_status, struct sk_err *err)
{
	const char *text = sk_buf_str(b), *end = strstr(text, "\r\n\r\n"), *status;

	if (b->failed)
		return sk_fail(err, b->failed, "the answer is too long");
	if (!strncmp(text, "HTTP/1.", 7))
		status = text + 8;
	else if (!strncasecmp(text, "Status:", 7))
		status = text + 7;
	else
		status = NULL;
	if (!end || !status)
		return sk_fail(err, SK_EFORMAT, "what answers there does not speak HTTP");
	status += strspn(status, " ");
	if (strspn(status, "0123456789") != 3)
		return sk_fail(err, SK_EFORMAT, "an answer without a status");
	*ret_status = atoi(status);
	sk_buf_drop_front(b, (size_t)(end + 4 - text));
	return SK_OK;
}

sk_status sk_ask_read_records(struct sk_buf *b, bool *ret_ended, struct sk_err *err)
{
	size_t at = 0, to = 0;

	*ret_ended = false;
	while (b->len - at >= 8 && !*ret_ended) {
		const uint8_t *head = (const uint8_t *)b->data + at;
		uint8_t version = head[0], type = head[1];
		size_t content = (size_t)head[4] << 8 | head[5], whole = 8 + content + head[6];

		if (version != SK_FCGI_VERSION)
			return sk_fail(err, SK_EFORMAT, "what answers there does not speak FastCGI");
		if (b->len - at < whole)
			break;
		*ret_ended = type == SK_FCGI_END_REQUEST;
		if (type == SK_FCGI_STDOUT) {
			memmove(b->data + to, b->data + at + 8, content);
			to += content;
		}
		at += whole;
	}
	b->len = to;
	return SK_OK;
}

/* ---- connections -------------------------------------------------------------------------------------------- */

static sk_status no_answer(const struct sk_place *p, const char *why, struct sk_err *err)
{
	if (p->is_socket)
		return sk_fail(err, SK_EIO, "%s: %s", p->path, why);
	return sk_fail(err, SK_EIO, "%s port %s: %s", p->host, p->port, why);
}

/* poll() for `events` until the deadline; false: it is over. */
static bool wait_for(int fd, short events, int64_t deadline_us)
{
	struct pollfd f = { .fd = fd, .events = events };
	int64_t left = (deadline_us - sk_now_us() + 999) / 1000;

	return left > 0 && poll(&f, 1, (int)left) == 1;
}

/* -1: why is in *ret_errno. */
static int connect_to(const struct sockaddr *address, socklen_t len, int64_t deadline_us, int *ret_errno)
{
	int fd = socket(address->sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), error = 0;
	socklen_t error_len = sizeof error;

	if (fd >= 0 && connect(fd, address, len) == 0)
		return fd;
	*ret_errno = errno;
	if (fd >= 0 && errno == EINPROGRESS) {
		if (!wait_for(fd, POLLOUT, deadline_us))
			error = ETIMEDOUT;
		else if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &error_len) < 0)
			error = errno;
		if (!error)
			return fd;
		*ret_errno = error;
	}
	if (fd >= 0)
		close(fd);
	return -1;
}

static sk_status open_place(const struct sk_place *p, int64_t deadline_us, int *ret_fd, struct sk_err *err)
{
	struct sockaddr_un local = { .sun_family = AF_UNIX };
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM }, *list = NULL;
	int fd = -1, why = ENOENT;

	if (p->is_socket) {
		memcpy(local.sun_path, p->path, strlen(p->path) + 1);
		fd = connect_to((struct sockaddr *)&local, sizeof local, deadline_us, &why);
	} else {
		int unknown = getaddrinfo(p->host, p->port, &hints, &list);

		if (unknown)
			return no_answer(p, gai_strerror(unknown), err);
		for (struct addrinfo *a = list; a && fd < 0; a = a->ai_next)
			fd = connect_to(a->ai_addr, a->ai_addrlen, deadline_us, &why);
		freeaddrinfo(list);
	}
	if (fd < 0)
		return no_answer(p, strerror(why), err);
	*ret_fd = fd;
	return SK_OK;
}

static sk_status send_all(const struct sk_place *p, int fd, const struct sk_buf *b, int64_t deadline_us, struct sk_err *err)
{
	for (size_t at = 0; at < b->len;) {
		ssize_t n = send(fd, b->data + at, b->len - at, MSG_NOSIGNAL);

		if (n > 0)
			at += (size_t)n;
		else if (errno != EAGAIN && errno != EINTR)
			return no_answer(p, strerror(errno), err);
		else if (!wait_for(fd, POLLOUT, deadline_us))
			return no_answer(p, "takes no request in time", err);
	}
	return SK_OK;
}

static sk_status read_all(const struct sk_place *p, int fd, struct sk_buf *b, int64_t deadline_us, struct sk_err *err)
{
	char piece[16384];

	for (;;) {
		ssize_t n = recv(fd, piece, sizeof piece, 0);

		if (n == 0)
			return SK_OK;
		if (n > 0) {
			if (sk_buf_add(b, piece, (size_t)n) < 0)
				return sk_fail(err, b->failed, "the answer has more than %zu bytes", b->max);
		} else if (errno != EAGAIN && errno != EINTR) {
			return no_answer(p, strerror(errno), err);
		} else if (!wait_for(fd, POLLIN, deadline_us)) {
			return no_answer(p, "no answer in time", err);
		}
	}
}

/* ---- requests ----------------------------------------------------------------------------------------------- */

static void add_record(struct sk_buf *b, enum sk_fcgi_type type, const void *content, size_t len)
{
	const uint8_t head[8] = { SK_FCGI_VERSION, (uint8_t)type, 0, 1, (uint8_t)(len >> 8), (uint8_t)len };

	sk_buf_add(b, head, sizeof head);
	sk_buf_add(b, content, len);
}

static void add_param(struct sk_buf *b, const char *name, const char *value)
{
	size_t len = strlen(value);
	const uint8_t lengths[5] = { (uint8_t)strlen(name), (uint8_t)(len >> 24 | 0x80), (uint8_t)(len >> 16), (uint8_t)(len >> 8), (uint8_t)len };

	sk_buf_add(b, lengths, sizeof lengths);
	sk_buf_adds(b, name);
	sk_buf_adds(b, value);
}

/* Role 1 is a responder; without its flag the connection is closed with the answer. */
static void add_fastcgi(struct sk_buf *b, const char *path, const char *key)
{
	static const uint8_t role[8] = { 0, 1 };
	struct sk_buf params = SK_BUF(60000);

	add_param(&params, "REQUEST_METHOD", "GET");
	add_param(&params, "REQUEST_URI", path);
	if (*key)
		add_param(&params, "HTTP_X_API_KEY", key);
	add_record(b, SK_FCGI_BEGIN_REQUEST, role, sizeof role);
	add_record(b, SK_FCGI_PARAMS, params.data, params.len);
	add_record(b, SK_FCGI_PARAMS, "", 0);
	add_record(b, SK_FCGI_STDIN, "", 0);
	if (params.failed && !b->failed)
		b->failed = params.failed;
	sk_buf_fini(&params);
}

sk_status sk_ask(const struct sk_place *place, const char *path, const char *key, int timeout_ms, int *ret_status,
		 struct sk_buf *body, struct sk_err *err)
{
	int64_t deadline_us = sk_now_us() + timeout_ms * INT64_C(1000);
	struct sk_buf request = SK_BUF(1 << 16);
	bool ended = true;
	int fd = -1;
	sk_status st;

	sk_buf_clear(body);
	if (strpbrk(key, "\r\n"))
		return sk_fail(err, SK_EINVAL, "an API key has no line ends");
	if (place->is_socket) {
		add_fastcgi(&request, path, key);
	} else {
		sk_buf_addf(&request, "GET %s%s HTTP/1.0\r\nHost: %s\r\nAccept: */*\r\nConnection: close\r\n", place->prefix, path, place->host);
		sk_buf_addf(&request, *key ? "x-api-key: %s\r\n\r\n" : "%s\r\n", key);
	}
	st = request.failed ? sk_fail(err, request.failed, "the request is too long") : open_place(place, deadline_us, &fd, err);
	if (st == SK_OK)
		st = send_all(place, fd, &request, deadline_us, err);
	if (st == SK_OK)
		st = read_all(place, fd, body, deadline_us, err);
	if (st == SK_OK && place->is_socket)
		st = sk_ask_read_records(body, &ended, err);
	if (st == SK_OK && !ended)
		st = no_answer(place, "the connection ended before the answer", err);
	if (st == SK_OK)
		st = sk_ask_read_http(body, ret_status, err);
	if (fd >= 0)
		close(fd);
	sk_buf_fini(&request);
	return st;
}
