/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Stop strings: the automaton of Aho and Corasick over bytes, fed as text comes.
 *
 * The state after all text so far is the longest ending of it that begins a stop string, so its depth is the
 * number of bytes to hold back. With at most 16 strings a node has at most 16 children, so a byte costs a
 * bounded number of steps.
 */
#include "engine/text/text.h"
#include "engine/text/trie.h"

#include <stdlib.h>

#define STOPS_MAX	16
#define STOP_BYTES_MAX	4096

struct sk_stop {
	struct sk_trie trie;
	uint32_t node;                  /* where the text so far has led */
};

sk_status sk_stop_open(const char *const *stop, const size_t *stop_bytes, size_t stop_len, struct sk_stop **ret_s,
		       struct sk_err *err)
{
	struct sk_stop *s;
	sk_status st = SK_OK;
	size_t i;

	if (stop_len > STOPS_MAX)
		return sk_fail(err, SK_EINVAL, "%zu stop strings, the limit is %d", stop_len, STOPS_MAX);
	for (i = 0; i < stop_len; i++) {
		if (!stop_bytes[i])
			return sk_fail(err, SK_EINVAL, "stop string %zu is empty", i + 1);
		if (stop_bytes[i] > STOP_BYTES_MAX)
			return sk_fail(err, SK_EINVAL, "stop string %zu has %zu bytes, the limit is %d", i + 1,
				       stop_bytes[i], STOP_BYTES_MAX);
	}
	s = calloc(1, sizeof(*s));
	if (!s)
		return sk_fail(err, SK_ENOMEM, "no memory for stop strings");
	for (i = 0; i < stop_len && st == SK_OK; i++)
		st = sk_trie_add(&s->trie, stop[i], stop_bytes[i], (int32_t)i);
	if (st == SK_OK)
		st = sk_trie_link(&s->trie);
	if (st < 0) {
		sk_stop_close(&s);
		return sk_fail(err, st, "no memory for stop strings");
	}
	*ret_s = s;
	return SK_OK;
}

void sk_stop_close(struct sk_stop **s)
{
	if (!s || !*s)
		return;
	sk_trie_fini(&(*s)->trie);
	free(*s);
	*s = NULL;
}

static uint32_t follow(const struct sk_trie *t, uint32_t node, uint8_t byte)
{
	uint32_t to;

	while (!(to = sk_trie_step(t, node, byte)) && node)
		node = t->nodes[node].fail;
	return to;
}

bool sk_stop_feed_end(struct sk_stop *s, const char *bytes, size_t len)
{
	const struct sk_trie *t = &s->trie;
	bool before;

	if (!t->len || !len)
		return false;
	for (size_t i = 0; i + 1 < len; i++)
		s->node = follow(t, s->node, (uint8_t)bytes[i]);
	before = t->nodes[s->node].match > 0;
	s->node = follow(t, s->node, (uint8_t)bytes[len - 1]);
	return t->nodes[s->node].match > 0 || (before && bytes[len - 1] == '\n');
}

bool sk_stop_feed(struct sk_stop *s, const char *bytes, size_t len, size_t *ret_used, size_t *ret_match_len,
		  size_t *ret_held)
{
	const struct sk_trie *t = &s->trie;
	size_t i;

	*ret_held = 0;
	if (!t->len)
		return false;
	for (i = 0; i < len; i++) {
		s->node = follow(t, s->node, (uint8_t)bytes[i]);
		if (t->nodes[s->node].match) {
			*ret_used = i + 1;
			*ret_match_len = t->nodes[s->node].match;
			s->node = 0;
			return true;
		}
	}
	*ret_held = t->nodes[s->node].depth;
	return false;
}
