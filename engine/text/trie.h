/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A set of byte strings with a value each, read byte by byte; with links it is the automaton of Aho and
 * Corasick (1975).
 *
 * All zero is empty. Children are a linked list: few strings share a beginning here (stop strings, added tokens).
 * owner: one thread while strings are added, any after.
 */
#ifndef SK_TEXT_TRIE_H
#define SK_TEXT_TRIE_H

#include <stddef.h>
#include <stdint.h>

#include "engine/base/err.h"

struct sk_trie_node {
	uint32_t child, next;                   /* first child, next sibling; 0: none (0 is the root, nobody's child) */
	uint32_t fail;                          /* node of the longest proper ending that is in the trie */
	uint32_t depth;                         /* bytes from the root */
	uint32_t match;                         /* bytes of the longest string that ends here; 0: none. Links set it for inner ones */
	int32_t value;                          /* of the string that ends here; -1: none */
	uint8_t byte;
};
struct sk_trie { struct sk_trie_node *nodes; uint32_t len, cap; };

/* SK_ENOMEM. A string added twice keeps its last value. len > 0. */
sk_status sk_trie_add(struct sk_trie *t, const char *s, size_t len, int32_t value);
/* Set fail and match of every node, once, after the last add. SK_ENOMEM. */
sk_status sk_trie_link(struct sk_trie *t);
void sk_trie_fini(struct sk_trie *t);

/* The child of `node` by `byte`; 0: none. */
static inline uint32_t sk_trie_step(const struct sk_trie *t, uint32_t node, uint8_t byte)
{
	uint32_t c;

	for (c = t->nodes[node].child; c; c = t->nodes[c].next)
		if (t->nodes[c].byte == byte)
			return c;
	return 0;
}

#endif
