/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a checkpoint format fills in: the inside of struct sk_weights. For the files of this folder only.
 *
 * owner: the thread in sk_weights_open(); immutable after.
 */
#ifndef SK_WEIGHTS_FORMAT_H
#define SK_WEIGHTS_FORMAT_H

#include "engine/base/arena.h"
#include "engine/base/hash.h"
#include "engine/base/map.h"
#include "engine/weights/weights.h"

/* Limits of every format; a file over one is refused by name (SK_ETOOBIG). */
enum {
	SK_TENSORS_MAX = 65536,
	SK_METAS_MAX = 65536,
	SK_META_ARRAY_MAX = 1 << 24,            /* elements */
	SK_META_STRING_MAX = 1 << 26,           /* bytes */
	SK_META_DEPTH_MAX = 4,                  /* arrays in arrays */
	SK_TENSOR_NAME_MAX = 255,
	SK_META_KEY_MAX = 65535,
};

struct sk_weights_format {
	const char *name;
	/* Whether the file begins as this format does. data is at least 8 bytes long. */
	bool (*probe)(const unsigned char *data, size_t len);
	/* Fill tensors and metas from map; everything checked. What was taken so far is freed by the caller. */
	sk_status (*read)(struct sk_weights *w, struct sk_err *err);
};

struct sk_weights {
	const struct sk_weights_format *format;
	struct sk_map map;
	struct sk_arena names;                  /* path and NUL-terminated tensor names */
	const char *path;
	struct sk_tensor *tensors;
	size_t tensors_len;
	struct sk_table tensor_index;           /* name -> place in tensors */
	struct sk_meta_value *metas;
	size_t metas_len;
	struct sk_table meta_index;             /* key (lent from the mapping) -> place in metas */
};

/* A name from a file, fit for a message: at most 60 bytes, what is not printable ASCII as '?'. Returns out. */
#define SK_SHOWN 64
const char *sk_weights_show(char out[SK_SHOWN], const void *name, size_t len);

#endif
