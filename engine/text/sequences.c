/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Galactica's sequences of letters (Taylor et al. 2022): what lies between [START_AMINO] and [END_AMINO], and likewise DNA, SMILES and
 * I_SMILES, is one token a character. Its tokenizer does so at a marker that its pre-tokenizer takes away again; the marker's text is
 * theirs, and TGI puts it in too.
 *
 * A sequence ends at the first end of its kind on the same line; without one it is text like any other.
 */
#include "engine/text/text.h"

#include <string.h>

static const char marker[] = "SPL1T-TH1S-Pl3A5E";
static const char *const kinds[] = { "DNA]", "SMILES]", "I_SMILES]", "AMINO]" };

static bool begins(const char *s, size_t len, const char *with)
{
	return len >= strlen(with) && !memcmp(s, with, strlen(with));
}

/* The kind of a sequence that begins at s; NULL: none. */
static const char *kind_at(const char *s, size_t len)
{
	if (!begins(s, len, "[START_"))
		return NULL;
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		if (begins(s + 7, len - 7, kinds[i]))
			return kinds[i];
	return NULL;
}

/* Where the line's first "[END_kind]" is; len: nowhere. */
static size_t find_end(const char *s, size_t len, const char *kind)
{
	const char *line = memchr(s, '\n', len);
	size_t most = line ? (size_t)(line - s) : len;

	for (size_t i = 0; i < most; i++)
		if (begins(s + i, most - i, "[END_") && begins(s + i + 5, most - i - 5, kind))
			return i;
	return len;
}

/* Each character behind a marker, and one more at the end. */
static void mark(struct sk_buf *out, const char *s, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		if (((unsigned char)s[i] & 0xc0) != 0x80)
			sk_buf_adds(out, marker);
		sk_buf_addc(out, s[i]);
	}
	sk_buf_adds(out, marker);
}

sk_status sk_sequences_mark(const char *s, size_t len, struct sk_buf *out)
{
	/* Of each kind, up to where no end is known to come: a text of many beginnings is looked through once a line and kind. */
	size_t none[sizeof(kinds) / sizeof(kinds[0])] = { 0 }, i = 0, from = 0;

	while (i < len) {
		const char *start = memchr(s + i, '[', len - i), *kind;
		size_t k = 0, first, end;

		if (!start)
			break;
		i = (size_t)(start - s);
		kind = kind_at(start, len - i);
		while (kind && kinds[k] != kind)
			k++;
		if (!kind || i < none[k]) {
			i++;
			continue;
		}
		first = i + 7 + strlen(kind);
		end = first + find_end(s + first, len - first, kind);
		if (end == len) {
			const char *line = memchr(s + first, '\n', len - first);

			none[k] = line ? (size_t)(line - s) : len;
			i++;
			continue;
		}
		sk_buf_add(out, s + from, first - from);
		mark(out, s + first, end - first);
		from = i = end;
	}
	sk_buf_add(out, s + from, len - from);
	return out->failed;
}

bool sk_sequences_known(const struct sk_text *t)
{
	struct sk_ids ids = { 0 };
	bool gone = sk_text_encode(t, marker, sizeof(marker) - 1, false, false, 0, &ids, NULL) >= 0 && ids.len == 0;

	sk_ids_fini(&ids);
	return gone;
}
