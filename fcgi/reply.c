/* SPDX-License-Identifier: Apache-2.0 */
/* Output by libfcgi's stream writer: see reply.h for when it may write. */
#include "fcgi/reply.h"

#include <fcgiapp.h>
#include <inttypes.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "fcgi/record.h"

#define STREAM_BYTES 8192               /* libfcgi's buffer: one STDOUT record */

/*
 * Writers are kept by descriptor number and request id, and used again. FCGX_CreateWriter allocates a FCGX_Request that
 * nothing in libfcgi frees (2.4.2 and newer), so a writer a request would leak; kept ones are bounded by the open
 * descriptors. Web servers use id 1 always. A peer with more than IDS_KEPT ids on a descriptor costs 80 bytes whenever the
 * oldest makes way.
 */
#define IDS_KEPT 4

struct writer {
	FCGX_Stream *stream;
	unsigned char *start;           /* wrNext of an empty buffer */
	uint16_t id;
};
static struct writers {
	struct writer kept[IDS_KEPT];
	unsigned oldest;
} *writers;
static int writers_len;

static sk_status writers_grow(int fd)
{
	int len = fd < 64 ? 64 : fd * 2;
	struct writers *grown;

	if (fd < writers_len)
		return SK_OK;
	grown = realloc(writers, (size_t)len * sizeof *grown);
	if (!grown)
		return SK_ENOMEM;
	memset(grown + writers_len, 0, (size_t)(len - writers_len) * sizeof *grown);
	writers = grown;
	writers_len = len;
	return SK_OK;
}

/* The writer kept for this id, or the place for it. */
static struct writer *writer_find(struct writers *of, uint16_t id)
{
	for (unsigned i = 0; i < IDS_KEPT; i++)
		if (!of->kept[i].stream || of->kept[i].id == id)
			return &of->kept[i];
	of->oldest = (of->oldest + 1) % IDS_KEPT;
	FCGX_FreeStream(&of->kept[of->oldest].stream);
	return &of->kept[of->oldest];
}

sk_status sk_reply_open(struct sk_reply_out *w, int fd, uint16_t id)
{
	struct writer *k;

	if (writers_grow(fd) < 0)
		return SK_ENOMEM;
	k = writer_find(&writers[fd], id);
	if (!k->stream) {
		k->stream = FCGX_CreateWriter(fd, id, STREAM_BYTES, SK_FCGI_STDOUT);
		if (!k->stream)
			return SK_ENOMEM;
		k->start = k->stream->wrNext;
		k->id = id;
	}
	/* What an earlier connection with this descriptor left, a broken one too. */
	k->stream->wrNext = k->start;
	k->stream->isClosed = 0;
	k->stream->FCGI_errno = 0;
	w->stream = k->stream;
	w->fd = fd;
	w->id = id;
	w->begun = false;
	return SK_OK;
}

static bool writable(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLOUT };

	return poll(&p, 1, 0) == 1 && (p.revents & POLLOUT);
}

sk_status sk_reply_write(struct sk_reply_out *w, struct sk_buf *b)
{
	size_t at = 0;
	sk_status st = SK_OK;

	while (at < b->len) {
		size_t n = b->len - at < SK_REPLY_ROOM ? b->len - at : SK_REPLY_ROOM;

		if (!writable(w->fd)) {
			st = SK_EAGAIN;
			break;
		}
		if (FCGX_PutStr(b->data + at, (int)n, w->stream) != (int)n || FCGX_FFlush(w->stream) < 0)
			return SK_EIO;
		at += n;
	}
	sk_buf_drop_front(b, at);
	return st;
}

sk_status sk_reply_end(struct sk_reply_out *w)
{
	/* Not FCGX_FClose: it would end the kept writer. An empty STDOUT record ends the stream. */
	const uint8_t eof[8] = { SK_FCGI_VERSION, SK_FCGI_STDOUT, (uint8_t)(w->id >> 8), (uint8_t)w->id };
	struct sk_buf b = SK_BUF(64);
	bool ok;

	if (!writable(w->fd))
		return SK_EAGAIN;
	sk_buf_add(&b, eof, sizeof eof);
	sk_record_end_request(&b, w->id, SK_FCGI_COMPLETE);
	ok = !b.failed && send(w->fd, b.data, b.len, MSG_DONTWAIT | MSG_NOSIGNAL) == (ssize_t)b.len;
	sk_buf_fini(&b);
	return ok ? SK_OK : SK_EIO;
}

static const char *reason(int status)
{
	static const struct { int status; const char *words; } rows[] = {
		{ 200, "OK" }, { 202, "Accepted" }, { 204, "No Content" }, { 400, "Bad Request" }, { 401, "Unauthorized" },
		{ 404, "Not Found" }, { 405, "Method Not Allowed" }, { 408, "Request Timeout" }, { 410, "Gone" }, { 413, "Content Too Large" },
		{ 415, "Unsupported Media Type" }, { 422, "Unprocessable Entity" }, { 424, "Failed Dependency" },
		{ 429, "Too Many Requests" }, { 500, "Internal Server Error" }, { 501, "Not Implemented" },
		{ 503, "Service Unavailable" }, { 504, "Gateway Timeout" },
	};

	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
		if (rows[i].status == status)
			return rows[i].words;
	return "Unknown";
}

void sk_reply_head(struct sk_buf *b, int status, const char *type, int64_t length, const struct sk_buf *headers)
{
	sk_buf_addf(b, "Status: %d %s\r\n", status, reason(status));
	if (type)
		sk_buf_addf(b, "Content-Type: %s\r\n", type);
	if (length >= 0)
		sk_buf_addf(b, "Content-Length: %" PRId64 "\r\n", length);
	sk_buf_add(b, headers->data, headers->len);
	sk_buf_adds(b, "\r\n");
}
