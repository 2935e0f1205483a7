/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What settings mean together: contradictions, with text-generation-inference's words where it has the case, and defaults that
 * follow from others.
 */
#ifndef SK_FCGI_SETTINGS_H
#define SK_FCGI_SETTINGS_H

#include "fcgi/options.h"

/*
 * After all were read. Settles `payload_limit`, `drain_timeout_ms`, `pipeline_tag` (from the model's card), and `model` where it is a name of the hub: then model_name
 * is that name. Its strings are in `strings`.
 *   SK_EINVAL  settings that contradict each other or cannot be;  SK_ENOTSUP  what there is not yet;  SK_ENOENT  sk_hub_find()
 */
sk_status sk_settings_settle(struct sk_options *o, struct sk_arena *strings, struct sk_err *err);

#endif
