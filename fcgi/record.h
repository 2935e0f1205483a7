/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reader of FastCGI input records (FastCGI Specification 1.0, sections 3 to 5), incremental and bounded.
 *
 * Pure: it is fed bytes and says what they mean; it touches no socket. Whatever the bytes are, it neither blocks nor
 * crashes nor grows past its limits. Management records and records that cannot be served are answered into `out`;
 * the loop writes these bytes to the peer.
 *
 * One request at a time (FCGI_MPXS_CONNS = 0): a second BEGIN_REQUEST before sk_record_next() is refused with CANT_MPX_CONN.
 *
 * owner: the loop. Life: init, then feed ... REQUEST, sk_record_params, (answered), sk_record_next, feed ...; fini.
 */
#ifndef SK_FCGI_RECORD_H
#define SK_FCGI_RECORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/base/arena.h"
#include "engine/base/buf.h"

#define SK_FCGI_VERSION 1
enum sk_fcgi_type {
	SK_FCGI_BEGIN_REQUEST = 1, SK_FCGI_ABORT_REQUEST, SK_FCGI_END_REQUEST, SK_FCGI_PARAMS, SK_FCGI_STDIN,
	SK_FCGI_STDOUT, SK_FCGI_STDERR, SK_FCGI_DATA, SK_FCGI_GET_VALUES, SK_FCGI_GET_VALUES_RESULT, SK_FCGI_UNKNOWN_TYPE
};
enum sk_fcgi_end { SK_FCGI_COMPLETE, SK_FCGI_CANT_MPX_CONN, SK_FCGI_OVERLOADED, SK_FCGI_UNKNOWN_ROLE };

struct sk_record_limits {
	uint32_t params_bytes_max;      /* all names and values of a request */
	uint32_t params_max;            /* pairs */
	uint64_t body_bytes_max;        /* longer bodies are read to their end, dropped, and marked too_large */
	/*
	 * Bytes that the bodies of all connections may still take together; NULL: no common limit. The first
	 * SK_RECORD_BODY_FREE of each are not counted. A body that finds nothing left is dropped and marked refused.
	 */
	uint64_t *bodies_left;
};
#define SK_RECORD_BODY_FREE 16384u

enum sk_record_news {
	SK_RECORD_MORE,                 /* nothing to act on yet */
	SK_RECORD_REQUEST,              /* a request is complete: params and body */
	SK_RECORD_ABORT,                /* FCGI_ABORT_REQUEST for the current request */
};

enum sk_record_state { SK_RECORD_IDLE, SK_RECORD_PARAMS, SK_RECORD_BODY, SK_RECORD_BUSY };

struct sk_record {
	struct sk_record_limits limits;
	enum sk_record_state state;
	uint16_t id;                    /* of the current request */
	bool keep_conn, too_large, refused;
	bool hang_up;                   /* a refused request did not ask to keep the connection: close it once `out` is written */
	struct sk_buf params;           /* raw name-value stream */
	struct sk_buf body;
	uint64_t charged;               /* of limits.bodies_left */
	struct sk_buf out;              /* answers to management records, for the peer */

	/* the record being read */
	uint8_t head[8], head_len;
	uint8_t small[64];              /* content of the short kinds, as much as they may use */
	uint32_t small_len, small_want;
	uint32_t content_left, padding_left;
};

void sk_record_init(struct sk_record *p, const struct sk_record_limits *limits);
void sk_record_fini(struct sk_record *p);

/*
 * Take bytes. Stops after the record that brought news: *ret_used bytes were eaten, call again with the rest.
 *   SK_OK       *ret_news says what
 *   SK_EFORMAT  the peer does not speak FastCGI, or breaks it; err says how. Close the connection.
 *   SK_ETOOBIG  parameters over the limit. Close the connection.
 *   SK_ENOMEM
 */
sk_status sk_record_feed(struct sk_record *p, const void *bytes, size_t len, size_t *ret_used,
			 enum sk_record_news *ret_news, struct sk_err *err);

/*
 * The parameters of a complete request as NUL-terminated name, value, name, value ... NULL, in the arena.
 *   SK_EFORMAT  a length points outside, or a NUL inside;  SK_ETOOBIG  too many;  SK_ENOMEM
 */
sk_status sk_record_params(const struct sk_record *p, struct sk_arena *a, const char ***ret_params, struct sk_err *err);

/* The current request was answered; be ready for the next on this connection. */
void sk_record_next(struct sk_record *p);

/* The body was read, nobody needs its bytes any more: give back its memory. */
void sk_record_body_drop(struct sk_record *p);

/* The answer does not depend on the body: what is still to come of it is dropped, and marked refused. */
void sk_record_body_refuse(struct sk_record *p);

/* Whether a request has begun but is not complete: a read deadline applies. */
bool sk_record_reading(const struct sk_record *p);

/* Append an END_REQUEST record. */
void sk_record_end_request(struct sk_buf *out, uint16_t id, enum sk_fcgi_end status);

#endif
