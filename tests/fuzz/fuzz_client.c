/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as X-Forwarded-For: the client is one of its entries and looks like an address, or it is REMOTE_ADDR. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "fcgi/request.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	char *list = malloc(len + 1);

	if (!list)
		return 0;
	if (len)
		memcpy(list, data, len);
	list[len] = '\0';
	for (int64_t hops = 0; hops <= 4; hops++) {
		const char *params[] = { "HTTP_X_FORWARDED_FOR", list, "REMOTE_ADDR", "remote", NULL };
		const struct sk_options o = { .forwarded_hops = hops };
		struct sk_front f = { .options = &o };
		struct sk_request r = { .front = &f, .params = params };
		const char *client;

		sk_arena_init(&r.arena, 65536);
		client = sk_request_client(&r);
		if (strcmp(client, "remote") != 0 && (!hops || !*client || strlen(client) > 64 || !strstr(list, client) ||
						      strpbrk(client, ", \t\"\\\n")))
			abort();
		sk_arena_fini(&r.arena);
	}
	free(list);
	return 0;
}
