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
#include <stdarg.h>
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

/* ---- devices by name ---- */

#define DEVICES_SHOWN 16

static void add(char *text, size_t bytes, const char *form, ...) __attribute__((format(printf, 3, 4)));

static void add(char *text, size_t bytes, const char *form, ...)
{
	size_t len = strlen(text);
	va_list args;

	va_start(args, form);
	vsnprintf(text + len, bytes - len, form, args);
	va_end(args);
}

void sk_devices_describe(char *text, size_t text_bytes)
{
	*text = '\0';
	for (const struct sk_backend *const *b = sk_backends(); *b; b++) {
		char what[256] = "";

		if ((*b)->score(what, sizeof what) <= 0) {
			add(text, text_bytes, "%sno %s: %s", *text ? "; " : "", (*b)->name, what);
			continue;
		}
		if (!(*b)->look)
			add(text, text_bytes, "%s%s", *text ? "; " : "", (*b)->name);
		for (int i = 0; (*b)->look && i < DEVICES_SHOWN && (*b)->look(i, what, sizeof what); i++)
			add(text, text_bytes, "%s%s:%d %s", *text ? "; " : "", (*b)->name, i, what);
	}
}

/* A module is known by its name, be it there or not. */
static sk_status no_backend(const char *name, size_t len, struct sk_err *err)
{
	const char *dir = getenv("SAKER_MODULES");
	char found[512];

	sk_devices_describe(found, sizeof found);
	for (size_t i = 0; i < LEN(modules); i++)
		if (strlen(modules[i]) == len && !memcmp(modules[i], name, len))
			return sk_fail(err, SK_ENOENT, "no device \"%s\": saker-%s.so is not in %s, or cannot be used; there is %s", name,
				       modules[i], dir && *dir ? dir : SK_MODULE_DIR, found);
	return sk_fail(err, SK_ENOENT, "no device \"%.64s\"; there is %s", name, found);
}

static const struct sk_backend *backend_named(const char *name, size_t len)
{
	for (const struct sk_backend *const *b = sk_backends(); *b; b++)
		if (strlen((*b)->name) == len && !memcmp((*b)->name, name, len))
			return *b;
	return NULL;
}

sk_status sk_backend_find(const char *name, const struct sk_backend **ret_backend, struct sk_err *err)
{
	const struct sk_backend *b;
	char why[256] = "";

	if (!name || !strcmp(name, "auto"))
		return find_best(ret_backend, err);
	b = backend_named(name, strlen(name));
	if (!b)
		return no_backend(name, strlen(name), err);
	if (b->score(why, sizeof why) <= 0)
		return sk_fail(err, SK_ENOTSUP, "device %s: %s", name, why);
	*ret_backend = b;
	return SK_OK;
}

/* Digits to the end of the word, few enough for an int; -1: it is something else. */
static int ordinal_read(const char *text)
{
	size_t len = strlen(text);

	return len < 1 || len > 4 || strspn(text, "0123456789") != len ? -1 : atoi(text);
}

sk_status sk_device_find(const char *name, const struct sk_backend **ret_backend, int *ret_ordinal, struct sk_err *err)
{
	const char *colon = name ? strchr(name, ':') : NULL;
	char word[64], what[256], found[512];
	const struct sk_backend *b;
	int ordinal = 0;
	sk_status st;

	if (colon) {
		ordinal = ordinal_read(colon + 1);
		if (ordinal < 0 || (size_t)(colon - name) >= sizeof word)
			return sk_fail(err, SK_EINVAL, "device \"%.64s\": wanted: a name, or a name, a colon and a number of at most 4 digits",
				       name);
		snprintf(word, sizeof word, "%.*s", (int)(colon - name), name);
		name = word;
	}
	st = sk_backend_find(name, &b, err);
	if (st < 0)
		return st;
	if (colon && !b->look)
		return sk_fail(err, SK_EINVAL, "device %s:%d: %s is the machine itself and has no numbers", name, ordinal, name);
	if (colon && !b->look(ordinal, what, sizeof what)) {
		sk_devices_describe(found, sizeof found);
		return sk_fail(err, SK_ENOENT, "no device %s:%d; there is %s", name, ordinal, found);
	}
	*ret_backend = b;
	*ret_ordinal = ordinal;
	return SK_OK;
}
