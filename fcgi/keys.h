/* SPDX-License-Identifier: Apache-2.0 */
/*
 * API keys: who may ask, by name. From the setting api-key (named "api-key", an admin) and from a file:
 *
 *	# comment
 *	NAME KEY [admin]
 *	NAME sha256:HEX [admin]
 *
 * Only digests are kept. A name has a slot for as long as the process lives, also when a reload removed its key: numbers that
 * are counted by slot never go back, and a slot never changes its owner.
 *
 * owner: the loop; sk_keys_find() and the names may be read by it only.
 */
#ifndef SK_FCGI_KEYS_H
#define SK_FCGI_KEYS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/base/err.h"
#include "engine/base/sha256.h"

#define SK_KEYS_MAX 1024                /* names since the start of the process */
#define SK_KEY_NAME_MAX 64
#define SK_KEY_BYTES_MAX 512
#define SK_KEY_NONE (-1)

struct sk_keys;

struct sk_key {
	char name[SK_KEY_NAME_MAX + 1];         /* [A-Za-z0-9._@-] */
	uint8_t digest[SK_SHA256_BYTES];
	bool admin;                             /* sees and cancels everybody's requests */
};

/* Called for each line that holds a key; lent until it returns. A failure ends the reading. */
typedef sk_status (*sk_key_fn)(void *user, const struct sk_key *key, int line, struct sk_err *err);

/* The form alone; `name` is for messages, which never hold a key. SK_EINVAL names file and line. */
sk_status sk_keys_parse(const char *text, size_t len, const char *name, sk_key_fn fn, void *user, struct sk_err *err);

/*
 * Both may be "": then *ret_k is NULL, and nobody is asked for a key. Strings are lent for as long as the object lives.
 *   SK_EINVAL  the key has a form that no header can carry; the file's form; two names or two keys are the same; no key in it;
 *              others than its owner may write the file. (That others can read it is a warning in the log.)
 *   SK_ENOENT SK_EIO SK_ETOOBIG SK_ENOMEM
 */
sk_status sk_keys_open(const char *api_key, const char *path, struct sk_keys **ret_k, struct sk_err *err);
void sk_keys_close(struct sk_keys **k);

/*
 * Read the file again. On failure (as above) everything stays as it was. Requests that run go on, whoever asked for them.
 * Loop only: it reads a file of at most 1 MiB. k may be NULL: nothing to do.
 */
sk_status sk_keys_reload(struct sk_keys *k, struct sk_err *err);

/* The slot of a key, SK_KEY_NONE when nobody has it. Takes as long whether and wherever it is found. */
int sk_keys_find(const struct sk_keys *k, const char *key, size_t len);

int sk_keys_len(const struct sk_keys *k);                       /* slots in use; 0 where k is NULL */
const char *sk_keys_name(const struct sk_keys *k, int slot);    /* NULL for SK_KEY_NONE */
bool sk_keys_admin(const struct sk_keys *k, int slot);

#endif
