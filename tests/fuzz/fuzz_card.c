/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as a model card: a tag of its few letters, which the card holds, or none. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "fcgi/card.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	char tag[SK_CARD_TAG_MAX], *copy = malloc(len + !len);
	bool found;

	if (len)
		memcpy(copy, data, len);
	memset(tag, 'x', sizeof tag);
	found = sk_card_tag(copy, len, tag);
	if (!memchr(tag, '\0', sizeof tag) || found != (tag[0] != '\0') || tag[strspn(tag, "abcdefghijklmnopqrstuvwxyz0123456789-")] ||
	    (found && !memmem(copy, len, tag, strlen(tag))))
		abort();
	free(copy);
	return 0;
}
