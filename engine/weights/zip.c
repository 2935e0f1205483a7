/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading a zip's directory (PKWARE's APPNOTE 6.3, sections 4.3 and 4.5.3):
 *
 *	each entry:  local header (30 bytes, name, extra), its data
 *	central directory: a header for each entry (46 bytes, name, extra, comment)
 *	[zip64 end record, zip64 locator (20 bytes)]    end record (22 bytes, comment)
 *
 * A field that is all ones has its value in the zip64 record or extra field.
 */
#include "engine/weights/zip.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum {
	ENTRIES_MAX = 2 * SK_TENSORS_MAX,
	NAME_MAX_BYTES = 1024,
	END_BYTES = 22, END64_BYTES = 56, LOCATOR_BYTES = 20, CENTRAL_BYTES = 46, LOCAL_BYTES = 30,
	COMMENT_MAX = 65535,
	FLAG_ENCRYPTED = 1, FLAG_SIZES_BEHIND = 8,
	METHOD_STORED = 0, METHOD_DEFLATED = 8,
};

struct reader {
	const unsigned char *data;
	size_t len;
	const char *path;
	struct sk_err *err;
	uint64_t central, central_bytes, entries;       /* of the end record */
};

static uint64_t little(const unsigned char *p, int bytes)
{
	uint64_t v = 0;

	for (int i = bytes - 1; i >= 0; i--)
		v = v << 8 | p[i];
	return v;
}

/* ---- the end of the file -------------------------------------------------------------------------------------- */

/* The end record is the one whose comment ends with the file. */
static const unsigned char *find_end(const struct reader *x)
{
	size_t most = x->len < END_BYTES + COMMENT_MAX ? x->len : END_BYTES + COMMENT_MAX;

	for (size_t back = END_BYTES; back <= most; back++) {
		const unsigned char *p = x->data + x->len - back;

		if (!memcmp(p, "PK\5\6", 4) && little(p + 20, 2) == back - END_BYTES)
			return p;
	}
	return NULL;
}

/* Take the value of the zip64 record where the field of the end record is all ones; else they must agree. */
static bool agree(uint64_t *field, uint64_t ones, uint64_t value64)
{
	bool same = *field == ones || *field == value64;

	*field = value64;
	return same;
}

static sk_status take_end64(struct reader *x, const unsigned char *locator)
{
	uint64_t at = little(locator + 8, 8), here = (uint64_t)(locator - x->data);
	const unsigned char *p;

	if (at > here || here - at < END64_BYTES || memcmp(x->data + at, "PK\6\6", 4) != 0)
		return sk_fail(x->err, SK_EFORMAT, "%s: the zip64 end record should be at byte %" PRIu64 ", and is not", x->path, at);
	p = x->data + at;
	if (!agree(&x->entries, UINT16_MAX, little(p + 32, 8)) || !agree(&x->central_bytes, UINT32_MAX, little(p + 40, 8)) ||
	    !agree(&x->central, UINT32_MAX, little(p + 48, 8)))
		return sk_fail(x->err, SK_EFORMAT, "%s: the two end records of the zip file differ", x->path);
	return SK_OK;
}

static sk_status take_end(struct reader *x)
{
	const unsigned char *end = find_end(x);
	uint64_t here;
	sk_status st;

	if (!end)
		return sk_fail(x->err, SK_EFORMAT, "%s: truncated: no end record of a zip file in its last %zu bytes", x->path,
			       x->len < END_BYTES + COMMENT_MAX ? x->len : END_BYTES + COMMENT_MAX);
	here = (uint64_t)(end - x->data);
	x->entries = little(end + 10, 2);
	x->central_bytes = little(end + 12, 4);
	x->central = little(end + 16, 4);
	if (here >= LOCATOR_BYTES && !memcmp(end - LOCATOR_BYTES, "PK\6\7", 4)) {
		st = take_end64(x, end - LOCATOR_BYTES);
		if (st < 0)
			return st;
	}
	if (x->central > here || x->central_bytes > here - x->central)
		return sk_fail(x->err, SK_EFORMAT, "%s: the zip's directory of %" PRIu64 " bytes at byte %" PRIu64
			       " goes over the file's %zu", x->path, x->central_bytes, x->central, x->len);
	if (x->entries > ENTRIES_MAX)
		return sk_fail(x->err, SK_ETOOBIG, "%s: %" PRIu64 " entries in the zip file, the limit is %d", x->path, x->entries,
			       ENTRIES_MAX);
	if (x->entries * CENTRAL_BYTES > x->central_bytes)
		return sk_fail(x->err, SK_EFORMAT, "%s: %" PRIu64 " entries do not fit the zip's directory of %" PRIu64 " bytes",
			       x->path, x->entries, x->central_bytes);
	return SK_OK;
}

/* ---- entries -------------------------------------------------------------------------------------------------- */

/* Put the values of a zip64 extra field in the place of those that are all ones. false: it is cut. */
static bool take_extra64(const unsigned char *extra, size_t len, uint64_t *const fields[3])
{
	while (len >= 4) {
		size_t n = little(extra + 2, 2), used = 0;

		if (n > len - 4)
			return false;
		for (int i = 0; i < 3 && little(extra, 2) == 1; i++) {
			if (*fields[i] != UINT32_MAX)
				continue;
			if (n - used < 8)
				return false;
			*fields[i] = little(extra + 4 + used, 8);
			used += 8;
		}
		extra += 4 + n;
		len -= 4 + n;
	}
	return true;
}

/* The entry's own header must say the same. e->header is set; sets e->data. */
static sk_status take_local(const struct reader *x, const char *shown, uint64_t flags, struct sk_zip_entry *e)
{
	const unsigned char *p = x->data + e->header;
	uint64_t name_len, begin, stored, whole;

	if (e->header > x->central || x->central - e->header < LOCAL_BYTES || memcmp(p, "PK\3\4", 4) != 0)
		return sk_fail(x->err, SK_EFORMAT, "%s: entry %s should begin at byte %" PRIu64 ", and does not", x->path, shown,
			       e->header);
	name_len = little(p + 26, 2);
	begin = e->header + LOCAL_BYTES + name_len + little(p + 28, 2);
	if (begin > x->central || e->bytes > x->central - begin)
		return sk_fail(x->err, SK_EFORMAT, "%s: entry %s, of %zu bytes at byte %" PRIu64 ", goes into the directory at byte %"
			       PRIu64, x->path, shown, e->bytes, begin, x->central);
	if (name_len != e->name_len || memcmp(p + LOCAL_BYTES, e->name, name_len) != 0)
		return sk_fail(x->err, SK_EFORMAT, "%s: entry %s has another name in its own header", x->path, shown);
	stored = little(p + 18, 4);
	whole = little(p + 22, 4);
	if (little(p + 8, 2) != METHOD_STORED || ((little(p + 6, 2) ^ flags) & FLAG_ENCRYPTED))
		return sk_fail(x->err, SK_EFORMAT, "%s: entry %s is stored in another way by its own header", x->path, shown);
	if (!(little(p + 6, 2) & FLAG_SIZES_BEHIND) && ((stored != UINT32_MAX && stored != e->bytes) ||
							(whole != UINT32_MAX && whole != e->bytes)))
		return sk_fail(x->err, SK_EFORMAT, "%s: entry %s has %zu bytes by the zip's directory, %" PRIu64 " by its own header",
			       x->path, shown, e->bytes, stored != e->bytes ? stored : whole);
	e->data = x->data + begin;
	return SK_OK;
}

static sk_status refuse_method(const struct reader *x, const char *shown, uint64_t method)
{
	if (method == METHOD_DEFLATED)
		return sk_fail(x->err, SK_ENOTSUP, "%s: entry %s is deflated: only stored entries are read, as torch.save writes them",
			       x->path, shown);
	return sk_fail(x->err, SK_ENOTSUP, "%s: entry %s is compressed by method %" PRIu64 ": only stored entries are read", x->path,
		       shown, method);
}

/* One header of the central directory; *at moves behind it. */
static sk_status take_entry(const struct reader *x, uint64_t *at, struct sk_zip_entry *e)
{
	const unsigned char *p = x->data + *at;
	uint64_t left = x->central + x->central_bytes - *at, flags, method, stored, whole, offset, extra, comment;
	char shown[SK_SHOWN];

	if (left < CENTRAL_BYTES || memcmp(p, "PK\1\2", 4) != 0)
		return sk_fail(x->err, SK_EFORMAT, "%s: no entry of the zip's directory at byte %" PRIu64, x->path, *at);
	flags = little(p + 8, 2);
	method = little(p + 10, 2);
	stored = little(p + 20, 4);
	whole = little(p + 24, 4);
	e->name_len = little(p + 28, 2);
	extra = little(p + 30, 2);
	comment = little(p + 32, 2);
	offset = little(p + 42, 4);
	if (e->name_len + extra + comment > left - CENTRAL_BYTES)
		return sk_fail(x->err, SK_EFORMAT, "%s: the entry of the zip's directory at byte %" PRIu64 " is cut", x->path, *at);
	e->name = (const char *)p + CENTRAL_BYTES;
	sk_weights_show(shown, e->name, e->name_len);
	if (e->name_len == 0 || e->name_len > NAME_MAX_BYTES)
		return sk_fail(x->err, SK_ETOOBIG, "%s: entry %s: a name of %zu bytes, the limit is %d", x->path, shown, e->name_len,
			       NAME_MAX_BYTES);
	if (!take_extra64(p + CENTRAL_BYTES + e->name_len, extra, (uint64_t *const[3]){ &whole, &stored, &offset }))
		return sk_fail(x->err, SK_EFORMAT, "%s: entry %s: its zip64 field is cut", x->path, shown);
	if (flags & FLAG_ENCRYPTED)
		return sk_fail(x->err, SK_ENOTSUP, "%s: entry %s is encrypted", x->path, shown);
	if (method != METHOD_STORED)
		return refuse_method(x, shown, method);
	if (stored != whole)
		return sk_fail(x->err, SK_EFORMAT, "%s: entry %s is stored as it is, but its %" PRIu64 " bytes become %" PRIu64, x->path,
			       shown, stored, whole);
	if (stored > x->len || offset > x->len)
		return sk_fail(x->err, SK_EFORMAT, "%s: entry %s claims %" PRIu64 " bytes at byte %" PRIu64 ", the file has %zu", x->path,
			       shown, stored, offset, x->len);
	e->bytes = (size_t)stored;
	e->header = offset;
	*at += CENTRAL_BYTES + e->name_len + extra + comment;
	return take_local(x, shown, flags, e);
}

static int by_header(const void *a, const void *b)
{
	const struct sk_zip_entry *x = *(const struct sk_zip_entry *const *)a, *y = *(const struct sk_zip_entry *const *)b;

	return x->header < y->header ? -1 : x->header > y->header;
}

/* No two entries share a byte. */
static sk_status check_apart(const struct reader *x, const struct sk_zip *z)
{
	const struct sk_zip_entry **sorted = malloc((z->len + 1) * sizeof(*sorted));
	sk_status st = SK_OK;
	char a[SK_SHOWN], b[SK_SHOWN];

	if (!sorted)
		return sk_fail(x->err, SK_ENOMEM, "%s: out of memory", x->path);
	for (size_t i = 0; i < z->len; i++)
		sorted[i] = &z->entries[i];
	qsort(sorted, z->len, sizeof(*sorted), by_header);
	for (size_t i = 1; i < z->len && st >= 0; i++)
		if (x->data + sorted[i]->header < sorted[i - 1]->data + sorted[i - 1]->bytes)
			st = sk_fail(x->err, SK_EFORMAT, "%s: entries %s and %s of the zip file share bytes", x->path,
				     sk_weights_show(a, sorted[i - 1]->name, sorted[i - 1]->name_len),
				     sk_weights_show(b, sorted[i]->name, sorted[i]->name_len));
	free(sorted);
	return st;
}

sk_status sk_zip_init(struct sk_zip *z, const struct sk_weights_file *f, struct sk_err *err)
{
	struct reader x = { .data = f->map.data, .len = f->map.len, .path = f->path, .err = err };
	uint64_t at;
	char shown[SK_SHOWN];
	sk_status st;

	*z = (struct sk_zip){ 0 };
	st = take_end(&x);
	if (st < 0)
		return st;
	z->entries = calloc((size_t)x.entries + 1, sizeof(*z->entries));
	if (!z->entries || sk_table_init(&z->index, (uint32_t)x.entries) < 0)
		return sk_fail(err, SK_ENOMEM, "%s: out of memory for %" PRIu64 " entries", f->path, x.entries);
	at = x.central;
	for (uint64_t i = 0; i < x.entries; i++) {
		struct sk_zip_entry *e = &z->entries[i];

		st = take_entry(&x, &at, e);
		if (st < 0)
			return st;
		if (sk_table_find(&z->index, e->name, e->name_len, -1) >= 0)
			return sk_fail(err, SK_EFORMAT, "%s: entry %s is there twice", f->path,
				       sk_weights_show(shown, e->name, e->name_len));
		if (sk_table_put(&z->index, e->name, e->name_len, (int32_t)i) < 0)
			return sk_fail(err, SK_ENOMEM, "%s: out of memory", f->path);
		z->len++;
	}
	return check_apart(&x, z);
}

void sk_zip_fini(struct sk_zip *z)
{
	free(z->entries);
	sk_table_fini(&z->index);
	*z = (struct sk_zip){ 0 };
}

const struct sk_zip_entry *sk_zip_find(const struct sk_zip *z, const char *name, size_t len)
{
	int32_t at = sk_table_find(&z->index, name, len, -1);

	return at < 0 ? NULL : &z->entries[at];
}
