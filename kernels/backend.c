/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The list of backends: the built-in ones (backends.def), and the modules (modules.def) that are found when somebody first
 * asks. And the choice among them.
 *
 * A module is $SAKER_MODULES/saker-NAME.so, or one in the directory of the installation. It has one symbol,
 * `sk_backend_module`, and stays loaded. Without a module's file there is no such backend, and nothing is said.
 */
#include "kernels/backend.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "engine/base/log.h"

#define SK_BACKEND(symbol) extern const struct sk_backend symbol;
#include "kernels/backends.def"
#undef SK_BACKEND

static const struct sk_backend *const built_in[] = {
#define SK_BACKEND(symbol) &symbol,
#include "kernels/backends.def"
#undef SK_BACKEND
};

static const char *const modules[] = {
#define SK_MODULE(name) name,
#include "kernels/modules.def"
#undef SK_MODULE
};

#define LEN(a) (sizeof(a) / sizeof *(a))

/* Written once, under the pthread_once. */
static const struct sk_backend *backends[LEN(built_in) + LEN(modules) + 1];
static pthread_once_t listed = PTHREAD_ONCE_INIT;

/* NULL: there is none, or it does not fit (which is logged). */
static const struct sk_backend *module_load(const char *name)
{
	const char *dir = getenv("SAKER_MODULES");
	const struct sk_backend *b;
	char path[4096];
	void *so;

	snprintf(path, sizeof path, "%s/saker-%s.so", dir && *dir ? dir : SK_MODULE_DIR, name);
	if (access(path, F_OK) != 0)
		return NULL;
	so = dlopen(path, RTLD_NOW | RTLD_LOCAL);
	if (!so) {
		sk_log(SK_LOG_WARN, "backend %s cannot be loaded: %s", name, dlerror());
		return NULL;
	}
	b = dlsym(so, "sk_backend_module");
	if (b && b->abi == SK_BACKEND_ABI && b->size == sizeof *b)
		return b;
	sk_log(SK_LOG_WARN, "%s is not of this version of saker: %s", path, b ? "its ABI number differs" : "it has no sk_backend_module");
	dlclose(so);
	return NULL;
}

static void list(void)
{
	size_t n = 0;

	for (size_t i = 0; i < LEN(built_in); i++)
		backends[n++] = built_in[i];
	for (size_t i = 0; i < LEN(modules); i++) {
		backends[n] = module_load(modules[i]);
		n += backends[n] != NULL;
	}
}

const struct sk_backend *const *sk_backends(void)
{
	pthread_once(&listed, list);
	return backends;
}

static sk_status find_best(const struct sk_backend **ret_backend, struct sk_err *err)
{
	const struct sk_backend *best = NULL;
	char why[256] = "";
	int best_score = 0;

	for (const struct sk_backend *const *b = sk_backends(); *b; b++) {
		int score = (*b)->score(why, sizeof why);

		if (score > best_score) {
			best_score = score;
			best = *b;
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
	for (const struct sk_backend *const *b = sk_backends(); *b; b++) {
		char why[256] = "";

		if (!strcmp(name, (*b)->name)) {
			if ((*b)->score(why, sizeof why) <= 0)
				return sk_fail(err, SK_ENOTSUP, "backend %s: %s", name, why);
			*ret_backend = *b;
			return SK_OK;
		}
		if (len < sizeof known)
			len += (size_t)snprintf(known + len, sizeof known - len, "%s%s", len ? ", " : "", (*b)->name);
	}
	return sk_fail(err, SK_ENOENT, "no backend \"%.64s\"; there is %s", name, known);
}
