/* SPDX-License-Identifier: Apache-2.0 */
/* See dialect.h. */
#include "fcgi/dialect.h"

#include <stddef.h>
#include <string.h>

const struct sk_dialect sk_dialect_saker = {
	.name = "saker",
#define SK_DIALECT(type, field, saker, tgi3, tgi09, doc) .field = saker,
#include "fcgi/dialects.def"
#undef SK_DIALECT
};

static const struct sk_dialect tgi_3 = {
	.name = "tgi-3",
#define SK_DIALECT(type, field, saker, tgi3, tgi09, doc) .field = tgi3,
#include "fcgi/dialects.def"
#undef SK_DIALECT
};

static const struct sk_dialect tgi_0_9 = {
	.name = "tgi-0.9.3",
#define SK_DIALECT(type, field, saker, tgi3, tgi09, doc) .field = tgi09,
#include "fcgi/dialects.def"
#undef SK_DIALECT
};

const struct sk_dialect *sk_dialect_find(const char *name)
{
	static const struct sk_dialect *const all[] = { &sk_dialect_saker, &tgi_3, &tgi_0_9 };

	for (size_t i = 0; i < sizeof all / sizeof *all; i++)
		if (!strcmp(all[i]->name, name))
			return all[i];
	return NULL;
}
