/* SPDX-License-Identifier: Apache-2.0 */
/*
 * application/vnd.amazon.eventstream, the form in which Amazon's services send a stream: messages with headers and a payload,
 * each with two checksums. Bytes only; what the messages of SageMaker's runtime say is runtime.c's.
 *
 *	u32 length of the whole message   u32 length of the headers   u32 CRC of these eight bytes
 *	headers: u8 length, name, u8 7 (a string), u16 length, value
 *	payload                           u32 CRC of all before it
 *
 * Big-endian; the CRC is that of zlib.
 */
#ifndef SK_FCGI_EVENTSTREAM_H
#define SK_FCGI_EVENTSTREAM_H

#include <stddef.h>
#include <stdint.h>

#include "engine/base/buf.h"

#define SK_EVENTSTREAM_PAYLOAD_MAX ((size_t)1 << 20)    /* of one message; its readers refuse more than 16 or 24 MiB */

/* A name and a string; at most 255 and 65535 bytes. */
struct sk_eventstream_header { const char *name, *value; };

/*
 * Append one message. What does not fit into b, or is longer than a limit above (SK_ETOOBIG), leaves b->failed set and b
 * without any of it.
 */
sk_status sk_eventstream_add(struct sk_buf *b, const struct sk_eventstream_header *headers, size_t headers_len,
			     const void *payload, size_t payload_len);

/* CRC-32 (IEEE 802.3, reflected) of bytes that follow those whose CRC is `crc`; 0 begins. */
uint32_t sk_crc32(uint32_t crc, const void *p, size_t len);

#endif
