/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as a file of API keys: an error that tells no byte of it, or keys with names that need no escape. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "fcgi/keys.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static sk_status key_seen(void *user, const struct sk_key *key, int line, struct sk_err *err)
{
	size_t len = strlen(key->name);

	if (len < 1 || len > SK_KEY_NAME_MAX || line < 1 || strpbrk(key->name, "\"\\ \n#:=,{}"))
		abort();
	return SK_OK;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct sk_err err = { 0 };

	if (sk_keys_parse((const char *)data, len, "fuzz", key_seen, NULL, &err) < 0 && strncmp(err.text, "fuzz:", 5))
		abort();
	return 0;
}
