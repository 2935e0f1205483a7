/* SPDX-License-Identifier: Apache-2.0 */
/* The list of architectures, made from archs.def. */
#include "engine/model/arch.h"

#include <stdio.h>
#include <string.h>

#define SK_ARCH(symbol) extern const struct sk_arch symbol;
#include "engine/arch/archs.def"
#undef SK_ARCH

static const struct sk_arch *const archs[] = {
#define SK_ARCH(symbol) &symbol,
#include "engine/arch/archs.def"
#undef SK_ARCH
};
enum { ARCHS = sizeof(archs) / sizeof(archs[0]), ALIASES = sizeof(archs[0]->aliases) / sizeof(char *) };

static bool is_called(const struct sk_arch *a, const char *name)
{
	if (!strcmp(a->name, name))
		return true;
	for (int i = 0; i < ALIASES && a->aliases[i]; i++)
		if (!strcmp(a->aliases[i], name))
			return true;
	return false;
}

sk_status sk_arch_find(const char *name, const struct sk_arch **ret_arch, struct sk_err *err)
{
	char known[512] = "";
	size_t len = 0;

	for (int i = 0; i < ARCHS; i++) {
		if (is_called(archs[i], name)) {
			*ret_arch = archs[i];
			return SK_OK;
		}
		if (len < sizeof(known))
			len += (size_t)snprintf(known + len, sizeof(known) - len, "%s%s", i ? ", " : "", archs[i]->name);
	}
	return sk_fail(err, SK_ENOTSUP, "architecture \"%s\" is not supported (known: %s)", name, known);
}
