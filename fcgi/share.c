/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Clients by name. The number of one is the beginning of a SHA-256: whoever could find a name with another's number would have to
 * try for ages, and would only share with him.
 */
#include "fcgi/share.h"

#include <arpa/inet.h>
#include <string.h>

#include "engine/base/sha256.h"

#define NAME_MAX_HASHED 512             /* more of a user's name makes no difference */
#define BETWEEN ", \t"

static const char *const kinds[] = { "off", "address", "user", "key" };
enum { OFF, ADDRESS, USER, KEY, KINDS };

static int kind_of(const char *kind)
{
	for (int i = 0; kind && i < KINDS; i++)
		if (strcmp(kinds[i], kind) == 0)
			return i;
	return KINDS;
}

bool sk_share_kind_ok(const char *kind)
{
	return kind_of(kind) < KINDS;
}

/* The number behind the last '=' of an item; 0: there is none that is allowed. */
static uint32_t weight_read(const char *item, size_t len, size_t *ret_name_len)
{
	size_t at = len;
	uint32_t weight = 0;

	while (at > 0 && item[at - 1] != '=')
		at--;
	if (at < 2 || at == len)
		return 0;
	*ret_name_len = at - 1;
	for (; at < len; at++) {
		if (item[at] < '0' || item[at] > '9')
			return 0;
		weight = weight * 10 + (uint32_t)(item[at] - '0');
		if (weight > SK_SHARE_WEIGHT_MAX)
			return 0;
	}
	return weight;
}

/* The next item of a list; its length, 0 at the end. */
static size_t item_next(const char **at, const char **ret_item)
{
	size_t len;

	*at += strspn(*at, BETWEEN);
	*ret_item = *at;
	len = strcspn(*at, BETWEEN);
	*at += len;
	return len;
}

/* The weight of a name in a list of `len` bytes; 0: it is not there. */
static uint32_t weight_find(const char *list, size_t list_len, const char *name, size_t name_len)
{
	const char *end = list + list_len, *item;
	size_t len, item_name_len;

	while ((len = item_next(&list, &item)) > 0 && item < end) {
		uint32_t weight = weight_read(item, len, &item_name_len);

		if (weight && item_name_len == name_len && memcmp(item, name, name_len) == 0)
			return weight;
	}
	return 0;
}

sk_status sk_share_weights_check(const char *list, struct sk_err *err)
{
	const char *at = list, *item;
	size_t len, name_len;

	while ((len = item_next(&at, &item)) > 0) {
		if (!weight_read(item, len, &name_len))
			return sk_fail(err, SK_EINVAL, "\"%.*s\" is not NAME=WEIGHT with a weight from 1 to %d",
				       (int)(len < 80 ? len : 80), item, SK_SHARE_WEIGHT_MAX);
		if (weight_find(list, (size_t)(item - list), item, name_len))
			return sk_fail(err, SK_EINVAL, "\"%.*s\" has a weight already: each name once",
				       (int)(name_len < 80 ? name_len : 80), item);
	}
	return SK_OK;
}

static uint32_t weight_of(const char *list, const char *name)
{
	uint32_t weight = list ? weight_find(list, strlen(list), name, strlen(name)) : 0;

	return weight ? weight : 1;
}

static uint64_t number_of(char kind, const void *name, size_t len)
{
	uint8_t digest[SK_SHA256_BYTES], text[NAME_MAX_HASHED + 1];
	uint64_t number = 0;

	len = len < NAME_MAX_HASHED ? len : NAME_MAX_HASHED;
	text[0] = (uint8_t)kind;        /* a user called 192.0.2.1 is not that machine */
	memcpy(text + 1, name, len);
	sk_sha256(text, len + 1, digest);
	for (int i = 0; i < 8; i++)
		number = number << 8 | digest[i];
	return number ? number : 1;
}

static uint64_t address_number(const char *address)
{
	struct in6_addr six;

	if (inet_pton(AF_INET6, address, &six) == 1 && !IN6_IS_ADDR_V4MAPPED(&six))
		return number_of('6', &six, 8);
	return number_of('a', address, strlen(address));
}

void sk_share_of(const char *kind, const char *weights, const char *key, const char *user, const char *address,
		 uint64_t *ret_client, uint32_t *ret_weight)
{
	int by = kind_of(kind);

	*ret_client = 0;
	*ret_weight = 1;
	if (by == OFF || by == KINDS)
		return;
	address = address ? address : "";
	if (by == KEY && key && *key) {
		*ret_client = number_of('k', key, strlen(key));
		*ret_weight = weight_of(weights, key);
	} else if (by != ADDRESS && user && *user) {
		*ret_client = number_of('u', user, strlen(user));
		*ret_weight = weight_of(weights, user);
	} else {
		*ret_client = address_number(address);
		*ret_weight = weight_of(weights, address);
	}
}
