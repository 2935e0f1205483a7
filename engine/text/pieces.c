/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See pieces.h. The strings are sorted; the children of a node are a range of them, and get cells in one block of 256, the first
 * of the last few blocks where they fit.
 */
#include "engine/text/pieces.h"

#include <stdlib.h>
#include <string.h>

#define FREE UINT32_MAX
#define BLOCKS_TRIED 8
#define CELLS_MAX (1u << 28)

struct sorted { struct sk_str s; int32_t id; };

struct build {
	struct sk_pieces *p;
	struct sorted *sorted;
	uint16_t *left;                         /* [blocks]: free cells */
	uint32_t first;                         /* the first block that is worth a look */
	uint32_t cap;
};

/* A node whose children are to be placed: strings [from, to) share `depth` bytes. */
struct todo { uint32_t node, from, to; uint32_t depth; };


static int sorted_compare(const void *a, const void *b)
{
	const struct sorted *x = a, *y = b;
	int c = memcmp(x->s.s, y->s.s, x->s.len < y->s.len ? x->s.len : y->s.len);

	if (c)
		return c;
	if (x->s.len != y->s.len)
		return x->s.len < y->s.len ? -1 : 1;
	return x->id < y->id ? -1 : x->id > y->id;
}

static sk_status block_add(struct build *b)
{
	uint32_t cap, i, len = b->p->len + 256;
	struct sk_pieces_cell *cells;
	uint16_t *left;

	if (len > CELLS_MAX)
		return SK_ETOOBIG;
	if (len > b->cap) {
		cap = b->cap ? b->cap * 2 : 1 << 12;
		cells = realloc(b->p->cells, cap * sizeof(*cells));
		if (!cells)
			return SK_ENOMEM;
		b->p->cells = cells;
		left = realloc(b->left, cap / 256 * sizeof(*left));
		if (!left)
			return SK_ENOMEM;
		b->left = left;
		b->cap = cap;
	}
	for (i = b->p->len; i < len; i++)
		b->p->cells[i] = (struct sk_pieces_cell){ 0, FREE, -1 };
	b->left[b->p->len / 256] = 256;
	b->p->len = len;
	return SK_OK;
}

/* A base in this block that has room for these bytes; 0: none (block 0 begins with the root, so 0 is never one). */
static uint32_t base_in(const struct build *b, uint32_t block, const uint8_t *bytes, uint32_t n)
{
	const struct sk_pieces_cell *cells = b->p->cells;
	uint32_t cell, base, k;

	for (cell = block * 256; cell < block * 256 + 256; cell++) {
		if (cells[cell].parent != FREE)
			continue;
		base = cell ^ bytes[0];
		for (k = 1; k < n && cells[base ^ bytes[k]].parent == FREE; k++)
			;
		if (k == n && base)
			return base;
	}
	return 0;
}

static sk_status base_find(struct build *b, const uint8_t *bytes, uint32_t n, uint32_t *ret_base)
{
	uint32_t blocks = b->p->len / 256, block, tried = 0;
	sk_status st;

	while (b->first < blocks && b->left[b->first] < 8)
		b->first++;
	if (b->first + BLOCKS_TRIED < blocks)
		b->first = blocks - BLOCKS_TRIED;
	for (block = b->first; block < blocks && tried < BLOCKS_TRIED; block++, tried++)
		if (b->left[block] >= n && (*ret_base = base_in(b, block, bytes, n)))
			return SK_OK;
	st = block_add(b);
	if (st < 0)
		return st;
	*ret_base = base_in(b, b->p->len / 256 - 1, bytes, n);
	return SK_OK;
}

/* Places the children of one node; they are added to the list. */
static sk_status children_place(struct build *b, struct todo now, struct todo **list, size_t *len, size_t *cap)
{
	uint32_t starts[257], n = 0, i, base, node;
	uint8_t bytes[256], c;
	struct todo *more;
	sk_status st;

	/* Strings that end here come first, equal ones in the order of their ids. */
	for (i = now.from; i < now.to && b->sorted[i].s.len == now.depth; i++)
		b->p->cells[now.node].id = b->sorted[i].id;
	for (; i < now.to; i++) {
		c = (uint8_t)b->sorted[i].s.s[now.depth];
		if (n && bytes[n - 1] == c)
			continue;
		starts[n] = i;
		bytes[n++] = c;
	}
	if (!n)
		return SK_OK;
	starts[n] = now.to;
	st = base_find(b, bytes, n, &base);
	if (st < 0)
		return st;
	if (*len + n > *cap) {
		*cap = (*len + n) * 2;
		more = realloc(*list, *cap * sizeof(*more));
		if (!more)
			return SK_ENOMEM;
		*list = more;
	}
	b->p->cells[now.node].base = base;
	for (i = 0; i < n; i++) {
		node = base ^ bytes[i];
		b->p->cells[node].parent = now.node;
		b->left[node / 256]--;
		(*list)[(*len)++] = (struct todo){ node, starts[i], starts[i + 1], now.depth + 1 };
	}
	return SK_OK;
}

static sk_status place_all(struct build *b, uint32_t count)
{
	struct todo *list = NULL;
	size_t len = 0, cap = 0;
	sk_status st = block_add(b);

	if (st < 0)
		return st;
	b->p->cells[0].parent = 0;
	b->left[0]--;
	st = children_place(b, (struct todo){ 0, 0, count, 0 }, &list, &len, &cap);
	while (st == SK_OK && len) {
		struct todo now = list[--len];

		st = children_place(b, now, &list, &len, &cap);
	}
	free(list);
	return st;
}

sk_status sk_pieces_open(struct sk_text *t, struct sk_pieces *p, const struct sk_str *strings, size_t len, struct sk_err *err)
{
	struct build b = { .p = p };
	uint32_t count = 0;
	sk_status st;
	size_t i;

	b.sorted = malloc((len + 1) * sizeof(*b.sorted));
	if (!b.sorted)
		return sk_fail(err, SK_ENOMEM, "no memory for %zu pieces", len);
	for (i = 0; i < len; i++)
		if (strings[i].len)
			b.sorted[count++] = (struct sorted){ strings[i], (int32_t)i };
	qsort(b.sorted, count, sizeof(*b.sorted), sorted_compare);
	st = place_all(&b, count);
	free(b.sorted);
	free(b.left);
	t->mem_bytes += p->len * sizeof(*p->cells);
	return st < 0 ? sk_fail(err, st, "no memory for %zu pieces", len) : SK_OK;
}

void sk_pieces_fini(struct sk_pieces *p)
{
	free(p->cells);
	*p = (struct sk_pieces){ NULL, 0 };
}
