/* SPDX-License-Identifier: Apache-2.0 */
/* See charsmap.h; and the normalizer "Precompiled" of a tokenizer.json, which is such a map in base64. */
#include "engine/text/charsmap.h"

#include <stdlib.h>
#include <string.h>

#include <utf8proc.h>

#include "engine/text/pipe.h"

static uint32_t le32(const unsigned char *p)
{
	return p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

sk_status sk_charsmap_init(struct sk_charsmap *m, const void *data, size_t len, struct sk_err *err)
{
	const unsigned char *p = data;
	uint32_t trie;
	size_t i;

	*m = (struct sk_charsmap){ 0 };
	if (!len)
		return SK_OK;
	if (len > SK_CHARSMAP_BYTES_MAX)
		return sk_fail(err, SK_ETOOBIG, "the character map has %zu bytes, the limit is %u", len, SK_CHARSMAP_BYTES_MAX);
	trie = len < 4 ? 0 : le32(p);
	if (len < 4 || trie > len - 4 || trie % 4)
		return sk_fail(err, SK_EFORMAT, "the character map says %u bytes of trie, but has %zu", trie, len < 4 ? 0 : len - 4);
	m->units_len = trie / 4;
	m->text_len = len - 4 - trie;
	m->units = malloc(trie + 4);
	m->copy = malloc(m->text_len + 1);
	if (!m->units || !m->copy) {
		sk_charsmap_fini(m);
		return sk_fail(err, SK_ENOMEM, "no memory for the character map");
	}
	for (i = 0; i < m->units_len; i++)
		m->units[i] = le32(p + 4 + 4 * i);
	memcpy(m->copy, p + 4 + trie, m->text_len);
	m->copy[m->text_len] = '\0';
	m->text = m->copy;
	return SK_OK;
}

void sk_charsmap_fini(struct sk_charsmap *m)
{
	free(m->units);
	free(m->copy);
	*m = (struct sk_charsmap){ 0 };
}

/* A unit's fields, as Darts packs them. */
static inline uint32_t unit_offset(uint32_t u)
{
	return (u >> 10) << ((u & (1u << 9)) >> 6);
}

size_t sk_charsmap_find(const struct sk_charsmap *m, const char *s, size_t len, bool longest, const char **ret_to, size_t *ret_to_len)
{
	size_t i, at = 0, found = 0;
	uint32_t unit, value = 0;

	if (!m->units_len)
		return 0;
	at ^= unit_offset(m->units[0]);
	for (i = 0; i < len && s[i]; i++) {
		at ^= (unsigned char)s[i];
		if (at >= m->units_len)
			break;
		unit = m->units[at];
		if ((unit & (1u << 31 | 0xff)) != (unsigned char)s[i])
			break;
		at ^= unit_offset(unit);
		if (at >= m->units_len)
			break;
		if (unit >> 8 & 1) {
			value = m->units[at] & ~(1u << 31);
			found = i + 1;
			if (!longest)
				break;
		}
	}
	if (!found || value > m->text_len)
		return 0;
	*ret_to = m->text + value;
	*ret_to_len = strlen(*ret_to);
	return found;
}

/* ---- Precompiled ---------------------------------------------------------------------------------------------------- */

static int base64_value(char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	return c == '+' ? 62 : c == '/' ? 63 : -1;
}

/* *ret_len: bytes; SIZE_MAX: no base64. out has room for 3/4 of len. */
static void base64_read(const char *s, size_t len, unsigned char *out, size_t *ret_len)
{
	uint32_t bits = 0;
	size_t i, n = 0;
	int v, have = 0;

	while (len && s[len - 1] == '=')
		len--;
	for (i = 0; i < len; i++) {
		v = base64_value(s[i]);
		if (v < 0) {
			*ret_len = SIZE_MAX;
			return;
		}
		bits = bits << 6 | (uint32_t)v;
		have += 6;
		if (have >= 8) {
			have -= 8;
			out[n++] = (unsigned char)(bits >> have);
		}
	}
	*ret_len = n;
}

/* The map and its arrays in one piece of memory, which is how a step frees its data. */
struct packed { struct sk_charsmap map; uint32_t units[]; };

sk_status sk_charsmap_pack(const struct sk_charsmap *m, void **ret_data)
{
	struct packed *p = malloc(sizeof(*p) + m->units_len * 4 + m->text_len + 1);
	char *text;

	if (!p)
		return SK_ENOMEM;
	text = (char *)(p->units + m->units_len);
	if (m->units_len)
		memcpy(p->units, m->units, m->units_len * 4);
	if (m->text_len)
		memcpy(text, m->text, m->text_len);
	text[m->text_len] = '\0';
	p->map = (struct sk_charsmap){ p->units, m->units_len, text, m->text_len, NULL };
	*ret_data = p;
	return SK_OK;
}

static sk_status precompiled_read(struct sk_stage *step, const struct sk_config *c)
{
	struct sk_str s = sk_jread_str(c->j, sk_jread_find(c->v, "precompiled_charsmap"));
	struct sk_charsmap m;
	struct sk_err why = { .text = "" };
	unsigned char *raw;
	size_t len;
	sk_status st;

	if (!s.s)
		return sk_fail(c->err, SK_EFORMAT, "the normalizer Precompiled has no string \"precompiled_charsmap\"");
	raw = malloc(s.len + 1);
	if (!raw)
		return sk_fail(c->err, SK_ENOMEM, "no memory for the tokenizer");
	base64_read(s.s, s.len, raw, &len);
	if (len == SIZE_MAX)
		st = sk_fail(c->err, SK_EFORMAT, "the normalizer Precompiled: \"precompiled_charsmap\" is not base64");
	else if ((st = sk_charsmap_init(&m, raw, len, &why)) < 0)
		sk_fail(c->err, st, "the normalizer Precompiled: %s", why.text);
	free(raw);
	if (st < 0)
		return st;
	st = sk_charsmap_pack(&m, &step->data);
	sk_charsmap_fini(&m);
	return st < 0 ? sk_fail(c->err, st, "no memory for the tokenizer") : SK_OK;
}

/*
 * A grapheme of fewer than six bytes is looked up whole, else (or when it is not there) its characters; and the shortest
 * beginning that is in the map stands for all of it. That is what the reference does, and no other rule gives its ids.
 */
static size_t grapheme_end(const struct sk_piece *p, size_t from)
{
	utf8proc_int32_t state = 0;
	uint32_t cp, next;
	size_t at = from + sk_piece_char(p, from, &cp), size;

	while (at < p->len) {
		size = sk_piece_char(p, at, &next);
		if (utf8proc_grapheme_break_stateful((utf8proc_int32_t)cp, (utf8proc_int32_t)next, &state))
			break;
		cp = next;
		at += size;
	}
	return at;
}

static size_t chars_in(const char *s, size_t len)
{
	size_t i, n = 0;

	for (i = 0; i < len; i++)
		n += ((unsigned char)s[i] & 0xc0) != 0x80;
	return n;
}

/* The last character of out has another place. */
static void last_move(struct sk_normal *out, struct sk_span to)
{
	size_t i = out->text.len;

	do
		out->at[--i] = to;
	while (i && (out->text.data[i] & 0xc0) == 0x80);
}

/*
 * The new characters take the places of the old ones, one each; more of them share the last one's, and of fewer the last
 * takes the rest. Where one that had no place of its own (*io_extra) is followed by characters that go, it has the first one's, as
 * the reference counts.
 */
static void part_put(struct sk_normal *out, const struct sk_piece *in, size_t from, size_t to, const char *with, size_t with_len,
		     bool *io_extra)
{
	struct sk_piece w = { with, with_len, NULL, 0 };
	struct sk_span span = from ? sk_piece_span(in, from - 1, from) : sk_piece_span(in, 0, 0);
	size_t i, size, old = chars_in(in->s + from, to - from), n = 0, at = from, k;
	uint32_t cp;

	if (!with_len && *io_extra && !out->failed)
		last_move(out, sk_piece_span(in, from, from + sk_piece_char(in, from, &cp)));
	for (i = 0; i < with_len; i += size, n++) {
		if (n < old && at < to) {
			k = sk_piece_char(in, at, &cp);
			span = sk_piece_span(in, at, at + k);
			at += k;
		}
		size = sk_piece_char(&w, i, &cp);
		sk_normal_put(out, with + i, size, span);
	}
	*io_extra = n > old;
}

static void keep(struct sk_normal *out, const struct sk_piece *in, size_t from, size_t to, bool *ret_extra)
{
	sk_normal_keep(out, in, from, to);
	*ret_extra = *ret_extra && from == to;
}

static sk_status precompiled_run(const struct sk_stage *step, const struct sk_piece *in, struct sk_normal *out, bool *ret_same)
{
	const struct sk_charsmap *m = &((const struct packed *)step->data)->map;
	size_t i, end, at, size, with_len, kept = 0;
	const char *with;
	bool extra = false;
	uint32_t cp;

	for (i = 0; i < in->len; i = end) {
		end = grapheme_end(in, i);
		if (end - i < 6 && sk_charsmap_find(m, in->s + i, end - i, false, &with, &with_len)) {
			keep(out, in, kept, i, &extra);
			part_put(out, in, i, end, with, with_len, &extra);
			kept = end;
			continue;
		}
		for (at = i; at < end; at += size) {
			size = sk_piece_char(in, at, &cp);
			if (!sk_charsmap_find(m, in->s + at, size, false, &with, &with_len))
				continue;
			keep(out, in, kept, at, &extra);
			part_put(out, in, at, at + size, with, with_len, &extra);
			kept = at + size;
		}
	}
	*ret_same = !kept;
	if (kept)
		sk_normal_keep(out, in, kept, in->len);
	return SK_OK;
}

const struct sk_normalizer_op sk_normalizer_precompiled = { .type = "Precompiled", .read = precompiled_read, .run = precompiled_run };
