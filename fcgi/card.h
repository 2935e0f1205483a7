/* SPDX-License-Identifier: Apache-2.0 */
/* The card that models of the hub carry: README.md, which begins with a few lines of YAML between two lines "---". */
#ifndef SK_FCGI_CARD_H
#define SK_FCGI_CARD_H

#include <stdbool.h>
#include <stddef.h>

#define SK_CARD_TAG_MAX 64

/*
 * What a card says behind `pipeline_tag:` ("text-generation"): small letters, digits and hyphens, below SK_CARD_TAG_MAX of them.
 * False, and ret_tag "", where it says nothing of that kind. Of YAML only this is read: a plain or quoted word on the key's own line.
 */
bool sk_card_tag(const char *card, size_t len, char ret_tag[SK_CARD_TAG_MAX]);

/* The same of DIR/README.md, of which the first 64 KiB are read; one that is no regular file or cannot be read says nothing. */
bool sk_card_read(const char *dir, char ret_tag[SK_CARD_TAG_MAX]);

#endif
