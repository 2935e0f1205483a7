/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whose a request is, for fair shares: the settings fair-share and fair-share-weights. Pure; any thread.
 */
#ifndef SK_FCGI_SHARE_H
#define SK_FCGI_SHARE_H

#include <stdbool.h>
#include <stdint.h>

#include "engine/base/err.h"

#define SK_SHARE_WEIGHT_MAX 1000        /* SK_SCHED_WEIGHT_MAX behind the engine's door */

/* Whether the setting fair-share may have this value: off, address, user or key. */
bool sk_share_kind_ok(const char *kind);

/* Whether fair-share-weights has its form: NAME=WEIGHT, several with blanks or commas between, no name twice. SK_EINVAL names the wrong one. */
sk_status sk_share_weights_check(const char *list, struct sk_err *err);

/*
 * A number for the client, 0 where kind is "off", and its weight. kind "key" takes the API key's name, where there is none the
 * user, where there is none the address; "user" begins there, "address" takes that alone. Of an IPv6 address the first 64 bits
 * count: one machine has all the others. Any string may be NULL or "".
 */
void sk_share_of(const char *kind, const char *weights, const char *key, const char *user, const char *address,
		 uint64_t *ret_client, uint32_t *ret_weight);

#endif
