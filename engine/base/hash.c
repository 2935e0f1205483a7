/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The hash: for each eight bytes, mix them into the state and fold the 128-bit product with an odd constant onto
 * itself (high half xor low half), so every bit of the input reaches every bit of the state in two rounds.
 * The input word is added again after the fold: a product that happens to be zero does not forget the past.
 * Not for cryptography; the random seed of each table keeps chosen collisions out of reach of a model file.
 *
 * The table: a power of two slots, linear probing, at most 3/4 full.
 */
#include "engine/base/hash.h"

#include <stdlib.h>
#include <string.h>

#include "engine/base/rand.h"

/* Fractional parts of the golden ratio and of the square roots of 3 and 5, made odd. */
#define K0 0x9e3779b97f4a7c15u
#define K1 0xbb67ae8584caa73bu
#define K2 0x3c6ef372fe94f82bu

#define TABLE_CAP_MAX (UINT32_C(1) << 30)

static uint64_t fold(uint64_t a, uint64_t b)
{
	unsigned __int128 product = (unsigned __int128)a * b;

	return (uint64_t)product ^ (uint64_t)(product >> 64);
}

static uint64_t load(const unsigned char *p, size_t len)
{
	uint64_t word = 0;

	memcpy(&word, p, len);
	return word;
}

uint64_t sk_hash(const void *p, size_t len, uint64_t seed)
{
	const unsigned char *u = p;
	uint64_t h = fold(seed ^ K0, K1) ^ (uint64_t)len * K2;

	for (; len >= 8; u += 8, len -= 8) {
		uint64_t word = load(u, 8);

		h = fold(h ^ word, K0) + (word ^ (h >> 32));
	}
	if (len) {
		uint64_t word = load(u, len);

		h = fold(h ^ word, K1) + (word ^ (h >> 32));
	}
	h = fold(h ^ K2, K0);
	h ^= h >> 29;
	h *= K1;
	return h ^ h >> 32;
}

static sk_status slots_take(uint32_t cap, struct sk_table_slot **ret_slots)
{
	struct sk_table_slot *slots;

	if (cap > TABLE_CAP_MAX)
		return SK_ETOOBIG;
	slots = calloc(cap, sizeof(*slots));
	if (!slots)
		return SK_ENOMEM;
	*ret_slots = slots;
	return SK_OK;
}

sk_status sk_table_init(struct sk_table *t, uint32_t len_expected)
{
	uint64_t cap = 16;
	sk_status st;

	*t = (struct sk_table){ 0 };
	while (cap * 3 / 4 < len_expected)
		cap *= 2;
	if (cap > TABLE_CAP_MAX)
		return SK_ETOOBIG;
	st = slots_take((uint32_t)cap, &t->slots);
	if (st < 0)
		return st;
	t->cap = (uint32_t)cap;
	t->seed = sk_rand_seed();
	return SK_OK;
}

void sk_table_fini(struct sk_table *t)
{
	free(t->slots);
	*t = (struct sk_table){ 0 };
}

/* The slot that holds the key, or the empty one where it belongs. There is always an empty one. */
static struct sk_table_slot *slot_get(const struct sk_table *t, const char *key, size_t len, uint64_t hash)
{
	uint32_t mask = t->cap - 1;

	for (uint32_t i = (uint32_t)hash & mask;; i = (i + 1) & mask) {
		struct sk_table_slot *s = &t->slots[i];

		if (!s->key)
			return s;
		if (s->hash == hash && s->len == len && memcmp(s->key, key, len) == 0)
			return s;
	}
}

static sk_status table_grow(struct sk_table *t)
{
	struct sk_table bigger = { .cap = t->cap ? t->cap * 2 : 16, .len = t->len, .seed = t->seed };
	sk_status st;

	if (t->cap > TABLE_CAP_MAX / 2)
		return SK_ETOOBIG;
	st = slots_take(bigger.cap, &bigger.slots);
	if (st < 0)
		return st;
	for (uint32_t i = 0; i < t->cap; i++) {
		const struct sk_table_slot *s = &t->slots[i];

		if (s->key)
			*slot_get(&bigger, s->key, s->len, s->hash) = *s;
	}
	free(t->slots);
	*t = bigger;
	return SK_OK;
}

sk_status sk_table_put(struct sk_table *t, const char *key, size_t len, int32_t value)
{
	uint64_t hash;
	struct sk_table_slot *s;

	if (len > UINT32_MAX)
		return SK_ETOOBIG;
	if (!key)
		key = "";
	if ((uint64_t)t->len + 1 > (uint64_t)t->cap * 3 / 4) {
		sk_status st = table_grow(t);

		if (st < 0)
			return st;
	}
	hash = sk_hash(key, len, t->seed);
	s = slot_get(t, key, len, hash);
	if (!s->key)
		t->len++;
	*s = (struct sk_table_slot){ .key = key, .len = (uint32_t)len, .value = value, .hash = hash };
	return SK_OK;
}

int32_t sk_table_find(const struct sk_table *t, const char *key, size_t len, int32_t otherwise)
{
	const struct sk_table_slot *s;

	if (!t->slots || len > UINT32_MAX)
		return otherwise;
	if (!key)
		key = "";
	s = slot_get(t, key, len, sk_hash(key, len, t->seed));
	return s->key ? s->value : otherwise;
}
