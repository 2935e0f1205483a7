/* SPDX-License-Identifier: Apache-2.0 */
/* See trie.h. Nodes live in one growing array; node 0 is the root, made by the first add. */
#include "engine/text/trie.h"

#include <stdlib.h>
#include <string.h>

static sk_status node_new(struct sk_trie *t, uint32_t *ret_node)
{
	struct sk_trie_node *p;
	uint32_t cap;

	if (t->len == t->cap) {
		cap = t->cap ? t->cap * 2 : 64;
		if (cap < t->cap || cap > UINT32_MAX / sizeof(*p))
			return SK_ENOMEM;
		p = realloc(t->nodes, cap * sizeof(*p));
		if (!p)
			return SK_ENOMEM;
		t->nodes = p;
		t->cap = cap;
	}
	t->nodes[t->len] = (struct sk_trie_node){ .value = -1 };
	*ret_node = t->len++;
	return SK_OK;
}

sk_status sk_trie_add(struct sk_trie *t, const char *s, size_t len, int32_t value)
{
	uint32_t node = 0, c;
	sk_status st;
	size_t i;

	if (!t->len && (st = node_new(t, &c)) < 0)
		return st;
	for (i = 0; i < len; i++, node = c) {
		c = sk_trie_step(t, node, (uint8_t)s[i]);
		if (c)
			continue;
		st = node_new(t, &c);
		if (st < 0)
			return st;
		t->nodes[c].byte = (uint8_t)s[i];
		t->nodes[c].depth = (uint32_t)i + 1;
		t->nodes[c].next = t->nodes[node].child;
		t->nodes[node].child = c;
	}
	t->nodes[node].value = value;
	t->nodes[node].match = t->nodes[node].depth;
	return SK_OK;
}

/* The link of node c (below `parent`): follow the parent's links until one has the same child. */
static uint32_t fail_find(const struct sk_trie *t, uint32_t parent, uint32_t c)
{
	uint32_t f = parent, to;

	while (f) {
		f = t->nodes[f].fail;
		to = sk_trie_step(t, f, t->nodes[c].byte);
		if (to)
			return to;
	}
	return 0;
}

sk_status sk_trie_link(struct sk_trie *t)
{
	uint32_t *queue, head = 0, tail = 0, node, c;

	if (!t->len)
		return SK_OK;
	queue = malloc(t->len * sizeof(*queue));
	if (!queue)
		return SK_ENOMEM;
	queue[tail++] = 0;
	while (head < tail) {           /* by depth: a link points to a shallower node, which is done already */
		node = queue[head++];
		for (c = t->nodes[node].child; c; c = t->nodes[c].next) {
			t->nodes[c].fail = fail_find(t, node, c);
			if (!t->nodes[c].match)
				t->nodes[c].match = t->nodes[t->nodes[c].fail].match;
			queue[tail++] = c;
		}
	}
	free(queue);
	return SK_OK;
}

void sk_trie_fini(struct sk_trie *t)
{
	free(t->nodes);
	*t = (struct sk_trie){ 0 };
}
