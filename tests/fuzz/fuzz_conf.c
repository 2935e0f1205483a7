/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as saker.conf: an error or settings, whose keys and values keep their limits. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "fcgi/conf.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static sk_status setting_seen(void *user, const char *key, const char *value, int line, struct sk_err *err)
{
	if (*key == '\0' || strlen(key) > 63 || strlen(value) > 4095 || line < 1 || strchr(value, '\n'))
		abort();
	return SK_OK;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct sk_err err;

	sk_conf_parse((const char *)data, len, "fuzz", setting_seen, NULL, &err);
	return 0;
}
