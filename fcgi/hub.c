/* SPDX-License-Identifier: Apache-2.0 */
/* See hub.h. */
#include "fcgi/hub.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define NAME_MAX_BYTES 200
#define COMMIT_MAX 128

static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";

bool sk_hub_is_name(const char *name)
{
	size_t org = strspn(name, letters), rest;

	if (!org || name[0] == '.' || name[0] == '-' || strlen(name) > NAME_MAX_BYTES)
		return false;
	if (!name[org])
		return true;
	rest = strspn(name + org + 1, letters);
	return name[org] == '/' && rest && !name[org + 1 + rest] && name[org + 1] != '.';
}

/* The first that is set. */
static sk_status cache_dir(const char *cache, char *ret, size_t size, struct sk_err *err)
{
	static const struct { const char *env, *below; } places[] = {
		{ "HUGGINGFACE_HUB_CACHE", "" }, { "HF_HUB_CACHE", "" }, { "HF_HOME", "/hub" }, { "XDG_CACHE_HOME", "/huggingface/hub" },
		{ "HOME", "/.cache/huggingface/hub" },
	};
	const char *value = cache, *below = "";

	for (size_t i = 0; !*value && i < sizeof places / sizeof *places; i++) {
		value = getenv(places[i].env);
		value = value ? value : "";
		below = places[i].below;
	}
	if (!*value)
		return sk_fail(err, SK_ENOENT, "neither HF_HOME nor HOME says where the hub's cache is: set huggingface-hub-cache");
	if ((size_t)snprintf(ret, size, "%s%s", value, below) >= size)
		return sk_fail(err, SK_ETOOBIG, "the path of the hub's cache is longer than %zu bytes", size - 1);
	return SK_OK;
}

/* What refs/REVISION says; a revision that is no file there may be a commit itself. */
static void commit_read(const char *dir, const char *revision, char ret[COMMIT_MAX])
{
	char path[1024];
	FILE *f;

	snprintf(ret, COMMIT_MAX, "%s", revision);
	if ((size_t)snprintf(path, sizeof path, "%s/refs/%s", dir, revision) >= sizeof path)
		return;
	f = fopen(path, "re");
	if (!f)
		return;
	if (fgets(path, COMMIT_MAX, f) && path[strspn(path, letters)] < ' ' && path[0] != '.') {
		path[strspn(path, letters)] = '\0';
		snprintf(ret, COMMIT_MAX, "%.*s", COMMIT_MAX - 1, path);
	}
	fclose(f);
}

sk_status sk_hub_find(const char *cache, const char *name, const char *revision, char *ret_path, size_t size, struct sk_err *err)
{
	char dir[768], commit[COMMIT_MAX];
	struct stat sb;
	sk_status st = cache_dir(cache, dir, sizeof dir, err);
	size_t len = strlen(dir);

	if (st < 0)
		return st;
	if (!*revision)
		revision = "main";
	if (strstr(revision, "..") || revision[0] == '/' || strlen(revision) >= COMMIT_MAX)
		return sk_fail(err, SK_EINVAL, "revision \"%.60s\" is no branch, tag, commit or refs/pr/N", revision);
	len += (size_t)snprintf(dir + len, sizeof dir - len, "/models--%.*s", (int)strcspn(name, "/"), name);
	if (strchr(name, '/') && len < sizeof dir)
		len += (size_t)snprintf(dir + len, sizeof dir - len, "--%s", strchr(name, '/') + 1);
	if (len >= sizeof dir)
		return sk_fail(err, SK_ETOOBIG, "the path of %s in the hub's cache is longer than %zu bytes", name, sizeof dir - 1);
	if (stat(dir, &sb) < 0)
		return sk_fail(err, SK_ENOENT, "model %s: neither a file or directory here, nor in the hub's cache: %s: %s (saker "
			       "downloads nothing)", name, dir, strerror(errno));
	commit_read(dir, revision, commit);
	if ((size_t)snprintf(ret_path, size, "%s/snapshots/%s", dir, commit) >= size)
		return sk_fail(err, SK_ETOOBIG, "the path of %s in the hub's cache is longer than %zu bytes", name, size - 1);
	if (stat(ret_path, &sb) < 0)
		return sk_fail(err, SK_ENOENT, "model %s: its revision %s is not in the hub's cache: %s: %s (saker downloads nothing)",
			       name, revision, ret_path, strerror(errno));
	return SK_OK;
}
