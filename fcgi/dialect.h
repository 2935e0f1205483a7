/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Dialects: the same server, with the defaults, statuses and bytes of text-generation-inference 3 or 0.9.3 where they
 * differ from ours. Chosen for the whole process by --compat.
 */
#ifndef SK_FCGI_DIALECT_H
#define SK_FCGI_DIALECT_H

#include <stdbool.h>
#include <stdint.h>

/* Whose request fields and members: bits for tables' rows, 0 there meaning everybody's. */
enum sk_knows {
	SK_KNOWS_SAKER = 1,
	SK_KNOWS_TGI_3 = 2,
	SK_KNOWS_TGI_0_9 = 4,
};

/* Constant; made from dialects.def, which says what each member is. */
struct sk_dialect {
	const char *name;
#define SK_DIALECT(type, field, saker, tgi3, tgi09, doc) type field;
#include "fcgi/dialects.def"
#undef SK_DIALECT
};

/* By the word of --compat; NULL: there is none of this name. */
const struct sk_dialect *sk_dialect_find(const char *name);

/* saker's own, for whoever has set nothing. */
extern const struct sk_dialect sk_dialect_saker;

#endif
