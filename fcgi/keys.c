/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The file of keys: its form, its permissions, and who has which slot. What is compared are digests, all of them, so that
 * neither the time nor a core dump tells a key.
 */
#include "fcgi/keys.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine/base/log.h"

#define FILE_BYTES_MAX ((size_t)1 << 20)
#define NAME_OF_SETTING "api-key"
#define NAME_CHARS "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._@-"
#define DIGEST_PREFIX "sha256:"

struct slot {
	struct sk_key key;
	bool active;                    /* false: a reload has removed it */
};

struct sk_keys {
	const char *path;               /* "": only the setting's */
	bool own;                       /* the setting's key is there, in the first slot */
	int len;
	struct slot slots[SK_KEYS_MAX];
};

/* Keys of one reading, before they are believed. */
struct reading {
	const char *path;
	int len;
	struct sk_key keys[SK_KEYS_MAX];
};

/* ---- the form ----------------------------------------------------------------------------------------------- */

/* What a header can carry: visible ASCII. */
static bool is_key(const char *s, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (s[i] < 0x21 || s[i] > 0x7e)
			return false;
	return len >= 1 && len <= SK_KEY_BYTES_MAX;
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool digest_read(const char *s, size_t len, uint8_t ret[SK_SHA256_BYTES])
{
	if (len != 2 * SK_SHA256_BYTES)
		return false;
	for (size_t i = 0; i < SK_SHA256_BYTES; i++) {
		int high = hex_digit(s[2 * i]), low = hex_digit(s[2 * i + 1]);

		if (high < 0 || low < 0)
			return false;
		ret[i] = (uint8_t)(high << 4 | low);
	}
	return true;
}

/* The next word of a line; its length, 0 at the end. */
static size_t word_next(const char **at, const char *end, const char **ret_word)
{
	while (*at < end && (**at == ' ' || **at == '\t'))
		++*at;
	*ret_word = *at;
	while (*at < end && **at != ' ' && **at != '\t')
		++*at;
	return (size_t)(*at - *ret_word);
}

static sk_status line_read(const char *s, const char *end, const char *file, int line, struct sk_key *ret_key,
			   struct sk_err *err)
{
	const size_t prefix = sizeof DIGEST_PREFIX - 1;
	const char *name, *key, *role, *rest;
	size_t name_len = word_next(&s, end, &name), key_len = word_next(&s, end, &key);
	size_t role_len = word_next(&s, end, &role);

	*ret_key = (struct sk_key){ 0 };
	for (size_t i = 0; i < name_len; i++)
		if (!name[i] || !strchr(NAME_CHARS, name[i]))
			return sk_fail(err, SK_EINVAL, "%s:%d: a name is made of letters, digits and . _ @ -", file, line);
	if (name_len > SK_KEY_NAME_MAX)
		return sk_fail(err, SK_EINVAL, "%s:%d: a name of %zu characters, the limit is %d", file, line, name_len,
			       SK_KEY_NAME_MAX);
	if (!key_len)
		return sk_fail(err, SK_EINVAL, "%s:%d: a line is NAME KEY, or NAME sha256:HEX, and perhaps admin", file, line);
	memcpy(ret_key->name, name, name_len);
	if (key_len >= prefix && memcmp(key, DIGEST_PREFIX, prefix) == 0) {
		if (!digest_read(key + prefix, key_len - prefix, ret_key->digest))
			return sk_fail(err, SK_EINVAL, "%s:%d: sha256: wants %d hexadecimal digits behind it", file, line,
				       2 * SK_SHA256_BYTES);
	} else if (is_key(key, key_len)) {
		sk_sha256(key, key_len, ret_key->digest);
	} else {
		return sk_fail(err, SK_EINVAL, "%s:%d: a key is 1 to %d visible ASCII characters", file, line, SK_KEY_BYTES_MAX);
	}
	ret_key->admin = role_len == 5 && memcmp(role, "admin", 5) == 0;
	if ((role_len && !ret_key->admin) || word_next(&s, end, &rest))
		return sk_fail(err, SK_EINVAL, "%s:%d: behind a key there may be the word admin, and nothing else", file, line);
	return SK_OK;
}

sk_status sk_keys_parse(const char *text, size_t len, const char *name, sk_key_fn fn, void *user, struct sk_err *err)
{
	const char *at = text, *stop = text + len;

	for (int line = 1; at < stop; line++) {
		const char *feed = memchr(at, '\n', (size_t)(stop - at)), *end = feed ? feed : stop, *first = at;
		struct sk_key key;
		sk_status st;

		at = feed ? feed + 1 : stop;
		if (end > first && end[-1] == '\r')
			end--;
		while (first < end && (*first == ' ' || *first == '\t'))
			first++;
		if (first == end || *first == '#')
			continue;
		st = line_read(first, end, name, line, &key, err);
		if (st == SK_OK)
			st = fn(user, &key, line, err);
		if (st < 0)
			return st;
	}
	return SK_OK;
}

/* ---- the file ----------------------------------------------------------------------------------------------- */

static sk_status key_add(void *user, const struct sk_key *key, int line, struct sk_err *err)
{
	struct reading *r = user;

	for (int i = 0; i < r->len; i++) {
		if (strcmp(r->keys[i].name, key->name) == 0)
			return sk_fail(err, SK_EINVAL, "%s:%d: there is a key of the name %s already", r->path, line, key->name);
		if (sk_sha256_equal(r->keys[i].digest, key->digest))
			return sk_fail(err, SK_EINVAL, "%s:%d: %s and %s have the same key", r->path, line, r->keys[i].name,
				       key->name);
	}
	if (r->len == SK_KEYS_MAX)
		return sk_fail(err, SK_ETOOBIG, "%s:%d: more than %d keys", r->path, line, SK_KEYS_MAX);
	r->keys[r->len++] = *key;
	return SK_OK;
}

static sk_status permissions_check(int fd, const char *path, struct sk_err *err)
{
	struct stat sb;

	if (fstat(fd, &sb) < 0)
		return sk_fail(err, SK_EIO, "%s: %s", path, strerror(errno));
	if (!S_ISREG(sb.st_mode))
		return sk_fail(err, SK_EINVAL, "%s: the file of API keys is no regular file", path);
	if (sb.st_mode & (S_IWGRP | S_IWOTH))
		return sk_fail(err, SK_EINVAL, "%s: others than its owner may write it (mode %04o): chmod go-w", path,
			       (unsigned)sb.st_mode & 07777);
	/* Secrets that a container's runtime mounts are often so, and nobody else is in there: a word, no refusal. */
	if (sb.st_mode & S_IROTH)
		sk_log(SK_LOG_WARN, "%s: everybody may read the API keys (mode %04o): chmod o-r", path,
		       (unsigned)sb.st_mode & 07777);
	return SK_OK;
}

static sk_status file_read(struct reading *r, struct sk_err *err)
{
	int fd = open(r->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	char *text;
	size_t len = 0;
	ssize_t n = 1;
	sk_status st;

	if (fd < 0)
		return sk_fail(err, errno == ENOENT ? SK_ENOENT : SK_EIO, "%s: %s", r->path, strerror(errno));
	st = permissions_check(fd, r->path, err);
	text = st == SK_OK ? malloc(FILE_BYTES_MAX + 1) : NULL;
	if (st == SK_OK && !text)
		st = sk_fail(err, SK_ENOMEM, "%s: no memory to read it", r->path);
	while (text && n > 0 && len <= FILE_BYTES_MAX) {
		n = read(fd, text + len, FILE_BYTES_MAX + 1 - len);
		len += n > 0 ? (size_t)n : 0;
	}
	if (st == SK_OK && n < 0)
		st = sk_fail(err, SK_EIO, "%s: %s", r->path, strerror(errno));
	if (st == SK_OK && len > FILE_BYTES_MAX)
		st = sk_fail(err, SK_ETOOBIG, "%s: over %zu bytes", r->path, FILE_BYTES_MAX);
	close(fd);
	if (st == SK_OK)
		st = sk_keys_parse(text, len, r->path, key_add, r, err);
	if (text)
		explicit_bzero(text, len);
	free(text);
	return st;
}

/* ---- slots -------------------------------------------------------------------------------------------------- */

static int slot_of(const struct sk_keys *k, const char *name)
{
	for (int i = 0; i < k->len; i++)
		if (strcmp(k->slots[i].key.name, name) == 0)
			return i;
	return SK_KEY_NONE;
}

/* All or nothing: first there must be room for the names that are new. */
static sk_status slots_take(struct sk_keys *k, const struct reading *r, struct sk_err *err)
{
	int fresh = 0;

	for (int i = 0; i < r->len; i++)
		fresh += slot_of(k, r->keys[i].name) < 0;
	if (k->len + fresh > SK_KEYS_MAX)
		return sk_fail(err, SK_ETOOBIG, "%s: %d names of API keys since the start, the limit is %d; a restart forgets old ones",
			       r->path, k->len + fresh, SK_KEYS_MAX);
	for (int i = 0; i < k->len; i++)
		k->slots[i].active = false;
	for (int i = 0; i < r->len; i++) {
		int at = slot_of(k, r->keys[i].name);

		if (at < 0)
			at = k->len++;
		k->slots[at] = (struct slot){ r->keys[i], true };
	}
	return SK_OK;
}

/* `first`, if given, is the key of the setting; it stays what it is while the file changes. */
static sk_status keys_read(struct sk_keys *k, const struct sk_key *first, struct sk_err *err)
{
	struct reading *r = calloc(1, sizeof *r);
	sk_status st = SK_OK;
	int own;

	if (!r)
		return sk_fail(err, SK_ENOMEM, "no memory for API keys");
	r->path = k->path;
	if (first)
		r->keys[r->len++] = *first;
	own = r->len;
	if (*k->path)
		st = file_read(r, err);
	if (st == SK_OK && *k->path && r->len == own)
		st = sk_fail(err, SK_EINVAL, "%s: there is no API key in it", k->path);
	if (st == SK_OK)
		st = slots_take(k, r, err);
	explicit_bzero(r, sizeof *r);
	free(r);
	return st;
}

sk_status sk_keys_open(const char *api_key, const char *path, struct sk_keys **ret_k, struct sk_err *err)
{
	struct sk_key first = { .name = NAME_OF_SETTING, .admin = true };
	size_t len = api_key ? strlen(api_key) : 0;
	struct sk_keys *k;
	sk_status st;

	if (!len && !(path && *path)) {
		*ret_k = NULL;
		return SK_OK;
	}
	if (len && !is_key(api_key, len))
		return sk_fail(err, SK_EINVAL, "api-key: a key is 1 to %d visible ASCII characters", SK_KEY_BYTES_MAX);
	k = calloc(1, sizeof *k);
	if (!k)
		return sk_fail(err, SK_ENOMEM, "no memory for API keys");
	k->path = path ? path : "";
	k->own = len > 0;
	if (len)
		sk_sha256(api_key, len, first.digest);
	st = keys_read(k, len ? &first : NULL, err);
	if (st < 0) {
		sk_keys_close(&k);
		return st;
	}
	*ret_k = k;
	return SK_OK;
}

void sk_keys_close(struct sk_keys **pk)
{
	if (!*pk)
		return;
	explicit_bzero(*pk, sizeof **pk);
	free(*pk);
	*pk = NULL;
}

sk_status sk_keys_reload(struct sk_keys *k, struct sk_err *err)
{
	struct sk_key first;

	if (!k || !*k->path)
		return SK_OK;
	first = k->slots[0].key;
	return keys_read(k, k->own ? &first : NULL, err);
}

/* ---- asking ------------------------------------------------------------------------------------------------- */

int sk_keys_find(const struct sk_keys *k, const char *key, size_t len)
{
	uint8_t digest[SK_SHA256_BYTES];
	int found = SK_KEY_NONE;

	if (!len)
		return SK_KEY_NONE;
	sk_sha256(key, len < SK_KEY_BYTES_MAX + 1 ? len : SK_KEY_BYTES_MAX + 1, digest);
	for (int i = 0; i < k->len; i++) {
		int equal = k->slots[i].active & sk_sha256_equal(k->slots[i].key.digest, digest);

		found = (found & (equal - 1)) | (i & -equal);
	}
	return found;
}

int sk_keys_len(const struct sk_keys *k)
{
	return k ? k->len : 0;
}

const char *sk_keys_name(const struct sk_keys *k, int slot)
{
	return k && slot >= 0 && slot < k->len ? k->slots[slot].key.name : NULL;
}

bool sk_keys_admin(const struct sk_keys *k, int slot)
{
	return k && slot >= 0 && slot < k->len && k->slots[slot].key.admin;
}
