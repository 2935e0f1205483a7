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
	SK_FILES_MAX = 1024,                    /* of one checkpoint */
	SK_TENSORS_MAX = 65536,
	SK_METAS_MAX = 65536,
	SK_META_ARRAY_MAX = 1 << 24,            /* elements */
	SK_META_STRING_MAX = 1 << 26,           /* bytes */
	SK_META_DEPTH_MAX = 4,                  /* arrays in arrays */
	SK_TENSOR_NAME_MAX = 255,
	SK_META_KEY_MAX = 65535,
	SK_CONFIG_BYTES_MAX = 4 << 20,          /* config.json */
	SK_CONFIG_VALUES_MAX = 65536,           /* elements of all its lists */
	SK_CONFIG_KEY_MAX = 255,                /* with the keys around it */
	SK_INDEX_BYTES_MAX = 64 << 20,          /* model.safetensors.index.json */
};

struct sk_weights_file {
	struct sk_map map;
	const char *path, *name;                /* name: behind the directory */
};

struct sk_weights_format {
	const char *name;
	/* Whether the file begins as this format does. data is at least 8 bytes long. */
	bool (*probe)(const unsigned char *data, size_t len);
	/* Add the tensors of f (a GGUF also fills metas); everything checked. What was taken so far is freed by the caller. */
	sk_status (*read)(struct sk_weights *w, const struct sk_weights_file *f, struct sk_err *err);
};
#define SK_WEIGHTS_FORMAT(symbol) extern const struct sk_weights_format symbol;
#include "engine/weights/formats.def"
#undef SK_WEIGHTS_FORMAT

/* Memory of a tensor that does not lie in a file as it is wanted. */
struct sk_weights_copy { void *data; size_t bytes; };

struct sk_weights {
	enum sk_weights_form form;
	const struct sk_weights_format *format; /* NULL: metadata alone */
	struct sk_arena names;                  /* paths, NUL-terminated tensor names, config.json's keys and values */
	const char *path, *dir;
	struct sk_weights_file *files;
	size_t files_len;
	struct sk_tensor *tensors;
	size_t tensors_len, tensors_cap;
	uint16_t *tensor_file;                  /* place in files; a GGUF has one file, and no list */
	size_t tensor_file_cap;
	struct sk_table tensor_index;           /* name -> place in tensors */
	struct sk_meta_value *metas;
	size_t metas_len, metas_cap;
	struct sk_table meta_index;             /* key (lent) -> place in metas */
	size_t list_values;                     /* elements of config.json's lists */
	struct sk_table shard_index;            /* tensor -> place in files, as an index file says; no slots: there is none */
	struct sk_weights_copy *copies;
	size_t copies_len, copies_cap;
	uint64_t copies_bytes;
};

/* sk_meta_value.raw_type of a list whose raw is `struct sk_meta_value[len]`; others are GGUF's value types. */
#define SK_META_RAW_VALUES UINT32_MAX

/* A name from a file, fit for a message: at most 60 bytes, what is not printable ASCII as '?'. Returns out. */
#define SK_SHOWN 64
const char *sk_weights_show(char out[SK_SHOWN], const void *name, size_t len);

/* "dir/name" in w->names; NULL: out of memory. */
char *sk_weights_join(struct sk_weights *w, const char *dir, const char *name);

/* Make *items, of which len are there and *cap have room, large enough for one more. Items are zeroed. */
sk_status sk_weights_grow(void **items, size_t item_bytes, size_t len, size_t *cap);

/*
 * Add a tensor of f; its name is copied. Left out, with SK_OK: one that the index says is in another file. Refused: a
 * name that is empty, too long, or there already, and what is over a limit.
 */
sk_status sk_weights_add(struct sk_weights *w, const struct sk_weights_file *f, const char *name, size_t name_len,
			 const struct sk_tensor *t, struct sk_err *err);

/* Fill t's dims from a shape; one that does not fit four dimensions, or is empty, makes it opaque. false: over 2^63. */
bool sk_tensor_shape(struct sk_tensor *t, const int64_t *dim, size_t dims);

/*
 * Memory for a tensor that must be copied (anonymous pages, closed with w). All copies together may not take more than
 * the files: a file that claims more is refused.
 */
sk_status sk_weights_take_copy(struct sk_weights *w, const struct sk_weights_file *f, const char *name, size_t bytes,
			       void **ret_data, struct sk_err *err);

/* Map a file of weights to *f. path in w->names. A git-lfs pointer is refused as one. */
sk_status sk_weights_map(struct sk_weights_file *f, const char *path, struct sk_err *err);
sk_status sk_weights_refuse_pointer(const char *path, const struct sk_map *map, struct sk_err *err);

/* dir.c: fill w from a directory. kind: NULL, or the format asked for by name; file: NULL, or the file that must be in it. */
sk_status sk_weights_read_dir(struct sk_weights *w, const char *dir, const struct sk_weights_format *kind, const char *file,
			      struct sk_err *err);

/* config.c: read a config.json into metas, each key behind `prefix` and a dot (NULL: as it is). */
sk_status sk_weights_read_config(struct sk_weights *w, const char *path, const char *prefix, struct sk_err *err);

/* index.c: the names of the files, sorted, and w->shard_index. */
sk_status sk_weights_read_index(struct sk_weights *w, const char *path, const struct sk_weights_format *kind,
				const char ***ret_names, size_t *ret_len, struct sk_err *err);
/* Every tensor of the index was found in its file. */
sk_status sk_weights_check_index(const struct sk_weights *w, const char *path, struct sk_err *err);

#endif
