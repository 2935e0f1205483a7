/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/lib/tiny_hf.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void text(struct tiny_buf *b, const char *s) { tiny_add(b, s, strlen(s)); }
static void byte(struct tiny_buf *b, int v) { tiny_add(b, &(unsigned char){ (unsigned char)v }, 1); }
static void u16(struct tiny_buf *b, uint32_t v) { byte(b, (int)(v & 255)); byte(b, (int)(v >> 8 & 255)); }

static void number(struct tiny_buf *b, int64_t v)
{
	char s[24];

	snprintf(s, sizeof(s), "%" PRId64, v);
	text(b, s);
}

/* ---- safetensors ---------------------------------------------------------------------------------------------- */

void tiny_safetensors(struct tiny_buf *b, const struct tiny_tensor *t, size_t len)
{
	struct tiny_buf h = { 0 };
	int64_t at = 0;

	text(&h, "{\"__metadata__\":{\"format\":\"pt\"}");
	for (size_t i = 0; i < len; i++) {
		text(&h, ",\"");
		text(&h, t[i].name);
		text(&h, "\":{\"dtype\":\"");
		text(&h, t[i].type);
		text(&h, "\",\"shape\":[");
		for (int d = 0; d < t[i].dims; d++) {
			text(&h, d ? "," : "");
			number(&h, t[i].dim[d]);
		}
		text(&h, "],\"data_offsets\":[");
		number(&h, at);
		at += (int64_t)t[i].bytes;
		text(&h, ",");
		number(&h, at);
		text(&h, "]}");
	}
	text(&h, "}");
	while (h.len % 8)
		text(&h, " ");
	tiny_u64(b, h.len);
	tiny_add(b, h.data, h.len);
	for (size_t i = 0; i < len; i++)
		tiny_add(b, t[i].data, t[i].bytes);
	free(h.data);
}

void tiny_safetensors_raw(struct tiny_buf *b, const char *header, size_t data_bytes)
{
	tiny_u64(b, strlen(header));
	text(b, header);
	for (size_t i = 0; i < data_bytes; i++)
		byte(b, (int)(i & 255));
}

/* ---- zip ------------------------------------------------------------------------------------------------------ */

void tiny_zip_add(struct tiny_zip *z, const char *name, const void *data, size_t len)
{
	uint32_t at = (uint32_t)z->file.len, name_len = (uint32_t)strlen(name);
	uint32_t pad = (64 - (at + 30 + name_len + 4) % 64) % 64;

	tiny_u32(&z->file, 0x04034b50);
	u16(&z->file, 0);
	u16(&z->file, 0);
	u16(&z->file, 0);               /* stored */
	tiny_u32(&z->file, 0);
	tiny_u32(&z->file, 0);          /* crc */
	tiny_u32(&z->file, (uint32_t)len);
	tiny_u32(&z->file, (uint32_t)len);
	u16(&z->file, name_len);
	u16(&z->file, 4 + pad);
	text(&z->file, name);
	text(&z->file, "FB");
	u16(&z->file, pad);
	for (uint32_t i = 0; i < pad; i++)
		text(&z->file, "Z");
	tiny_add(&z->file, data, len);

	tiny_u32(&z->central, 0x02014b50);
	u16(&z->central, 0);
	u16(&z->central, 0);
	u16(&z->central, 0);
	u16(&z->central, 0);            /* stored */
	tiny_u32(&z->central, 0);
	tiny_u32(&z->central, 0);       /* crc */
	tiny_u32(&z->central, z->zip64 ? UINT32_MAX : (uint32_t)len);
	tiny_u32(&z->central, z->zip64 ? UINT32_MAX : (uint32_t)len);
	u16(&z->central, name_len);
	u16(&z->central, z->zip64 ? 28 : 0);
	u16(&z->central, 0);
	u16(&z->central, 0);
	u16(&z->central, 0);
	tiny_u32(&z->central, 0);
	tiny_u32(&z->central, z->zip64 ? UINT32_MAX : at);
	text(&z->central, name);
	if (z->zip64) {
		u16(&z->central, 1);
		u16(&z->central, 24);
		tiny_u64(&z->central, len);
		tiny_u64(&z->central, len);
		tiny_u64(&z->central, at);
	}
	z->entries++;
}

void tiny_zip_end(struct tiny_zip *z)
{
	uint32_t at = (uint32_t)z->file.len, end;

	tiny_add(&z->file, z->central.data, z->central.len);
	end = (uint32_t)z->file.len;
	if (z->zip64) {
		tiny_u32(&z->file, 0x06064b50);
		tiny_u64(&z->file, 44);
		u16(&z->file, 0);
		u16(&z->file, 0);
		tiny_u32(&z->file, 0);
		tiny_u32(&z->file, 0);
		tiny_u64(&z->file, z->entries);
		tiny_u64(&z->file, z->entries);
		tiny_u64(&z->file, z->central.len);
		tiny_u64(&z->file, at);
		tiny_u32(&z->file, 0x07064b50);
		tiny_u32(&z->file, 0);
		tiny_u64(&z->file, end);
		tiny_u32(&z->file, 1);
	}
	tiny_u32(&z->file, 0x06054b50);
	u16(&z->file, 0);
	u16(&z->file, 0);
	u16(&z->file, z->zip64 ? 65535 : z->entries);
	u16(&z->file, z->zip64 ? 65535 : z->entries);
	tiny_u32(&z->file, z->zip64 ? UINT32_MAX : (uint32_t)z->central.len);
	tiny_u32(&z->file, z->zip64 ? UINT32_MAX : at);
	u16(&z->file, 0);
	free(z->central.data);
	z->central = (struct tiny_buf){ 0 };
}

/* ---- pickle --------------------------------------------------------------------------------------------------- */

void tiny_pk_begin(struct tiny_buf *b)
{
	tiny_add(b, "\x80\x02", 2);
}

void tiny_pk_global(struct tiny_buf *b, const char *module, const char *name)
{
	text(b, "c");
	text(b, module);
	text(b, "\n");
	text(b, name);
	text(b, "\n");
}

void tiny_pk_str(struct tiny_buf *b, const char *s)
{
	text(b, "X");
	tiny_u32(b, (uint32_t)strlen(s));
	text(b, s);
}

void tiny_pk_int(struct tiny_buf *b, int64_t v)
{
	if (v >= 0 && v < 256) {
		text(b, "K");
		byte(b, (int)v);
	} else if (v >= INT32_MIN && v <= INT32_MAX) {
		text(b, "J");
		tiny_u32(b, (uint32_t)v);
	} else {
		tiny_add(b, "\x8a\x08", 2);
		tiny_u64(b, (uint64_t)v);
	}
}

void tiny_pk_ints(struct tiny_buf *b, const int64_t *v, int len)
{
	text(b, "(");
	for (int i = 0; i < len; i++)
		tiny_pk_int(b, v[i]);
	text(b, "t");
}

void tiny_pk_tensor(struct tiny_buf *b, const struct tiny_torch_tensor *t)
{
	tiny_pk_global(b, "torch._utils", "_rebuild_tensor_v2");
	text(b, "((");
	tiny_pk_str(b, "storage");
	tiny_pk_global(b, "torch", t->storage);
	tiny_pk_str(b, t->key);
	tiny_pk_str(b, "cpu");
	tiny_pk_int(b, t->numel);
	text(b, "tQ");
	tiny_pk_int(b, t->offset);
	tiny_pk_ints(b, t->size, t->dims);
	tiny_pk_ints(b, t->stride, t->dims);
	text(b, "\x89");                /* requires_grad */
	tiny_pk_global(b, "collections", "OrderedDict");
	text(b, ")RtR");
}

void tiny_pk_state_dict(struct tiny_buf *b, const struct tiny_torch_tensor *t, size_t len)
{
	tiny_pk_begin(b);
	text(b, "}(");
	for (size_t i = 0; i < len; i++) {
		tiny_pk_str(b, t[i].name);
		tiny_pk_tensor(b, &t[i]);
	}
	text(b, "u.");
}
