/* SPDX-License-Identifier: Apache-2.0 */
/* The list of backends, made from backends.def, and the choice among them. */
#include "kernels/backend.h"

#include <stdio.h>
#include <string.h>

#define SK_BACKEND(symbol) extern const struct sk_backend symbol;
#include "kernels/backends.def"
#undef SK_BACKEND

static const struct sk_backend *const backends[] = {
#define SK_BACKEND(symbol) &symbol,
#include "kernels/backends.def"
#undef SK_BACKEND
	NULL
};

const struct sk_backend *const *sk_backends(void)
{
	return backends;
}

static sk_status find_best(const struct sk_backend **ret_backend, struct sk_err *err)
{
	const struct sk_backend *best = NULL;
	char why[256] = "";
	int best_score = 0;

	for (size_t i = 0; backends[i]; i++) {
		int score = backends[i]->score(why, sizeof why);

		if (score > best_score) {
			best_score = score;
			best = backends[i];
		}
	}
	if (!best)
		return sk_fail(err, SK_ENOTSUP, "no backend is usable on this machine: %s", why);
	*ret_backend = best;
	return SK_OK;
}

sk_status sk_backend_find(const char *name, const struct sk_backend **ret_backend, struct sk_err *err)
{
	char known[128] = "";
	size_t len = 0;

	if (!name || !strcmp(name, "auto"))
		return find_best(ret_backend, err);
	for (size_t i = 0; backends[i]; i++) {
		char why[256] = "";

		if (!strcmp(name, backends[i]->name)) {
			if (backends[i]->score(why, sizeof why) <= 0)
				return sk_fail(err, SK_ENOTSUP, "backend %s: %s", name, why);
			*ret_backend = backends[i];
			return SK_OK;
		}
		if (len < sizeof known)
			len += (size_t)snprintf(known + len, sizeof known - len, "%s%s", len ? ", " : "", backends[i]->name);
	}
	return sk_fail(err, SK_ENOENT, "no backend \"%.64s\"; there is %s", name, known);
}
