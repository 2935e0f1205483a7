/* SPDX-License-Identifier: Apache-2.0 */
/* The vocabulary's strings, found by their bytes: eight bytes a slot, so that a common one stays in the second-level cache. */
#include "engine/text/kind.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/hash.h"
#include "engine/base/rand.h"
#include "engine/base/utf8.h"

const char *sk_text_shown(struct sk_str s, char out[128])
{
	struct sk_buf b = SK_BUF(127);

	sk_utf8_add_lossy(&b, s.s, s.len < 40 ? s.len : 40);
	memcpy(out, b.len ? b.data : "", b.len);
	out[b.len] = '\0';
	sk_buf_fini(&b);
	return out;
}

static struct sk_vocab_slot *slot_of(const struct sk_vocab *v, const char *s, size_t len, uint64_t hash)
{
	uint32_t i = (uint32_t)(hash >> 32) & v->mask, at;

	for (; v->slots[i].id >= 0; i = (i + 1) & v->mask) {
		at = v->at[v->slots[i].id];
		if (v->slots[i].tag == (uint32_t)hash && v->at[v->slots[i].id + 1] - at == len && !memcmp(v->bytes + at, s, len))
			break;
	}
	return &v->slots[i];
}

sk_status sk_vocab_open(struct sk_text *t, struct sk_vocab *v, const struct sk_text_src *src, bool last_wins, struct sk_err *err)
{
	size_t total = 0, i, used = 0;
	struct sk_vocab_slot *slot;
	uint32_t slots = 16;
	char name[128];
	uint64_t hash;

	for (i = 0; i < src->vocab; i++)
		total += src->tokens[i].len;
	while (slots < src->vocab + src->vocab / 3)
		slots *= 2;
	v->seed = sk_rand_seed();       /* a file cannot know which strings will collide */
	v->mask = slots - 1;
	v->bytes = malloc(total + 1);
	v->at = malloc((src->vocab + 1) * sizeof(*v->at));
	v->slots = malloc(slots * sizeof(*v->slots));
	if (!v->bytes || !v->at || !v->slots)
		return sk_fail(err, SK_ENOMEM, "no memory for %zu tokens", src->vocab);
	memset(v->slots, 0xff, slots * sizeof(*v->slots));              /* id -1 everywhere */
	for (i = 0; i < src->vocab; i++) {
		v->at[i] = (uint32_t)used;
		if (src->tokens[i].len)
			memcpy(v->bytes + used, src->tokens[i].s, src->tokens[i].len);
		used += src->tokens[i].len;
		v->at[i + 1] = (uint32_t)used;
		if (!src->tokens[i].s)
			continue;
		hash = sk_hash(src->tokens[i].s, src->tokens[i].len, v->seed);
		slot = slot_of(v, src->tokens[i].s, src->tokens[i].len, hash);
		if (slot->id >= 0 && !last_wins)
			return sk_fail(err, SK_EFORMAT, "%s: tokens %d and %zu are both \"%s\"", src->tokens_name, slot->id, i,
				       sk_text_shown(src->tokens[i], name));
		*slot = (struct sk_vocab_slot){ (uint32_t)hash, (int32_t)i };
	}
	t->mem_bytes += total + 1 + (src->vocab + 1) * sizeof(*v->at) + slots * sizeof(*v->slots);
	return SK_OK;
}

void sk_vocab_fini(struct sk_vocab *v)
{
	free(v->bytes);
	free(v->at);
	free(v->slots);
	*v = (struct sk_vocab){ 0 };
}

int32_t sk_vocab_find(const struct sk_vocab *v, const char *s, size_t len)
{
	return slot_of(v, s, len, sk_hash(s, len, v->seed))->id;
}

void sk_vocab_bytes(const struct sk_vocab *v, int32_t of_byte[256])
{
	char name[8];
	int i;

	for (i = 0; i < 256; i++) {
		snprintf(name, sizeof(name), "<0x%02X>", (unsigned)i);
		of_byte[i] = sk_vocab_find(v, name, 6);
	}
}
