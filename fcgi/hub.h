/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The local cache of the Hugging Face hub: from a model's name to the directory that holds it. Nothing is ever downloaded.
 *
 * Layout (huggingface_hub's documentation, "Understand caching"): HUB/models--ORG--NAME/refs/REVISION holds a commit,
 * HUB/models--ORG--NAME/snapshots/COMMIT/ the files.
 */
#ifndef SK_FCGI_HUB_H
#define SK_FCGI_HUB_H

#include <stdbool.h>
#include <stddef.h>

#include "engine/base/err.h"

/* Whether a word could be a model's name on the hub: NAME or ORG/NAME of letters, digits and "._-". */
bool sk_hub_is_name(const char *name);

/*
 * The directory of a model. cache: "" for $HUGGINGFACE_HUB_CACHE, $HF_HUB_CACHE, $HF_HOME/hub or ~/.cache/huggingface/hub,
 * the first that is set; revision: "" for main; a branch, a tag, a commit, or refs/pr/N.
 *   SK_ENOENT   not there: err names what was looked at
 *   SK_EINVAL   a revision that could leave the cache;  SK_ETOOBIG  path over `size`
 */
sk_status sk_hub_find(const char *cache, const char *name, const char *revision, char *ret_path, size_t size, struct sk_err *err);

#endif
