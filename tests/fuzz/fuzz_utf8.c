/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes: what comes out of the two cleaners is valid UTF-8, and valid input is not changed. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/buf.h"
#include "engine/base/utf8.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	const char *s = (const char *)data;
	struct sk_buf lossy = SK_BUF(len * 3), json = SK_BUF(len * 6);

	if (sk_utf8_add_lossy(&lossy, s, len) < 0 || sk_buf_add_json(&json, s, len) < 0)
		abort();
	if (!sk_utf8_valid(lossy.data, lossy.len) || !sk_utf8_valid(json.data, json.len))
		abort();
	if (sk_utf8_valid(s, len) && (lossy.len != len || (len && memcmp(lossy.data, s, len) != 0)))
		abort();
	if (sk_utf8_count(s, len) != sk_utf8_count(lossy.data, lossy.len))
		abort();
	for (size_t i = 0; i < json.len; i++)
		if ((unsigned char)json.data[i] < 0x20)
			abort();
	sk_buf_fini(&lossy);
	sk_buf_fini(&json);
	return 0;
}
