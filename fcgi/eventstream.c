/* SPDX-License-Identifier: Apache-2.0 */
/* See eventstream.h. */
#include "fcgi/eventstream.h"

#include <string.h>

#define FRAME_BYTES 16                  /* prelude and last CRC */
#define TYPE_STRING 7

/* Four bits at a time: a table of 64 bytes stays in the cache, and a token's message is short. */
uint32_t sk_crc32(uint32_t crc, const void *p, size_t len)
{
	static const uint32_t nibble[16] = {
		0x00000000, 0x1db71064, 0x3b6e20c8, 0x26d930ac, 0x76dc4190, 0x6b6b51f4, 0x4db26158, 0x5005713c,
		0xedb88320, 0xf00f9344, 0xd6d6a3e8, 0xcb61b38c, 0x9b64c2b0, 0x86d3d2d4, 0xa00ae278, 0xbdbdf21c,
	};
	const unsigned char *s = p;

	crc = ~crc;
	for (size_t i = 0; i < len; i++) {
		crc = nibble[(crc ^ s[i]) & 15] ^ crc >> 4;
		crc = nibble[(crc ^ s[i] >> 4) & 15] ^ crc >> 4;
	}
	return ~crc;
}

static void add_number(struct sk_buf *b, uint64_t n, int bytes)
{
	while (bytes--)
		sk_buf_addc(b, (char)(n >> bytes * 8));
}

/* Bytes of all headers; 0 when one is too long. */
static size_t headers_size(const struct sk_eventstream_header *h, size_t len)
{
	size_t size = 0;

	for (size_t i = 0; i < len; i++) {
		size_t name = strlen(h[i].name), value = strlen(h[i].value);

		if (!name || name > UINT8_MAX || value > UINT16_MAX)
			return 0;
		size += 1 + name + 1 + 2 + value;
	}
	return size;
}

sk_status sk_eventstream_add(struct sk_buf *b, const struct sk_eventstream_header *headers, size_t headers_len,
			     const void *payload, size_t payload_len)
{
	size_t from = b->len, size = headers_size(headers, headers_len), all = FRAME_BYTES + size + payload_len;

	if (b->failed)
		return b->failed;
	if ((headers_len && !size) || payload_len > SK_EVENTSTREAM_PAYLOAD_MAX) {
		b->failed = SK_ETOOBIG;
		return b->failed;
	}
	if (sk_buf_reserve(b, all) < 0)
		return b->failed;
	add_number(b, all, 4);
	add_number(b, size, 4);
	add_number(b, sk_crc32(0, b->data + from, 8), 4);
	for (size_t i = 0; i < headers_len; i++) {
		add_number(b, strlen(headers[i].name), 1);
		sk_buf_adds(b, headers[i].name);
		add_number(b, TYPE_STRING, 1);
		add_number(b, strlen(headers[i].value), 2);
		sk_buf_adds(b, headers[i].value);
	}
	sk_buf_add(b, payload, payload_len);
	add_number(b, sk_crc32(0, b->data + from, all - 4), 4);
	return b->failed;
}
