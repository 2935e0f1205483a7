/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A vocabulary as a trie in a double array (Aoe 1989): one step is one look into memory.
 * Immutable after open. Cell 0 is the root; cells[n].base ^ byte is the child's cell, if its `parent` is n.
 */
#ifndef SK_TEXT_PIECES_H
#define SK_TEXT_PIECES_H

#include "engine/text/kind.h"

struct sk_pieces_cell { uint32_t base, parent; int32_t id; };  /* parent UINT32_MAX: free; id -1: no piece ends here */
struct sk_pieces { struct sk_pieces_cell *cells; uint32_t len; };

/* Of strings [0, len) those that are not empty; of equal ones the last counts. SK_ENOMEM SK_ETOOBIG */
sk_status sk_pieces_open(struct sk_text *t, struct sk_pieces *p, const struct sk_str *strings, size_t len, struct sk_err *err);
void sk_pieces_fini(struct sk_pieces *p);

/* 0: no string goes on so. */
static inline uint32_t sk_pieces_step(const struct sk_pieces *p, uint32_t node, uint8_t byte)
{
	uint32_t to = p->cells[node].base ^ byte;

	return to < p->len && p->cells[to].parent == node ? to : 0;
}

#endif
