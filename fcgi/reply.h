/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Output of one request by libfcgi: head, body in STDOUT records, end of stream, END_REQUEST.
 *
 * The descriptor is a blocking one (libfcgi takes EAGAIN for a broken stream), so nothing is written unless poll() says
 * POLLOUT, and never more than SK_REPLY_ROOM bytes for one such word: a unix socket says it when three quarters of its
 * buffer are free. A send timeout of the socket is the net under that.
 *
 * owner: the loop.
 */
#ifndef SK_FCGI_REPLY_H
#define SK_FCGI_REPLY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/base/buf.h"

#define SK_REPLY_ROOM 24576

struct FCGX_Stream;
struct sk_reply_out {
	struct FCGX_Stream *stream;     /* lent from a table by descriptor */
	int fd;
	uint16_t id;
	bool begun;                     /* the head was written */
};

/* SK_ENOMEM */
sk_status sk_reply_open(struct sk_reply_out *w, int fd, uint16_t id);

/*
 * Write from the front of b as much as the socket takes now.
 *   SK_OK      all written;  SK_EAGAIN  the rest has to wait for POLLOUT;  SK_EIO  the peer is gone
 */
sk_status sk_reply_write(struct sk_reply_out *w, struct sk_buf *b);

/* End of STDOUT and END_REQUEST, after sk_reply_write said SK_OK. SK_EAGAIN: not now; SK_EIO. */
sk_status sk_reply_end(struct sk_reply_out *w);

/* "Status: 404 Not Found\r\n" + headers + blank line. type NULL: no Content-Type; length < 0: no Content-Length. */
void sk_reply_head(struct sk_buf *b, int status, const char *type, int64_t length, const struct sk_buf *headers);

#endif
