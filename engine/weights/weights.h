/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An opened checkpoint: named tensors, metadata, and where the tokenizer is. One file a format, listed in formats.def.
 *
 * Two forms: a GGUF file, whose keys are the metadata; and a Hugging Face directory, where the keys of config.json are:
 * "hidden_size", nested ones joined with a dot ("rope_scaling.factor"; "rope_scaling" itself is an OBJECT without a value), those of
 * generation_config.json behind "generation_config.", null as if it were not there.
 *
 * Everything in a file is hostile: each header field is checked against the file's size before it is used.
 * Immutable after open; any thread may read. The mappings live until close.
 */
#ifndef SK_WEIGHTS_H
#define SK_WEIGHTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/base/err.h"
#include "kernels/kernels.h"

/*
 * dtype SK_DTYPES: a tensor that nothing can be calculated with, by its type (I64, BOOL, F8_E4M3 ...), because it is
 * empty, or has more than four dimensions. It is there to be seen: the model's rules say whether it may be left out. Its
 * data may be NULL, and its dims are one where they do not fit.
 */
struct sk_tensor {
	const char *name;               /* NUL-terminated */
	enum sk_dtype dtype;
	int32_t dims;                   /* 1 to 4; a scalar has one, of 1 */
	int64_t dim[4];                 /* slowest first: [rows, columns], as in the Hugging Face library (GGUF's order reversed) */
	const void *data;               /* contiguous; not always aligned to its elements */
	size_t bytes;
	const char *type;               /* the file's own word: "F32", "Q4_1", "torch.int64" */
};

/* Metadata: typed values by key. */
enum sk_meta_type { SK_META_NONE, SK_META_INT, SK_META_FLOAT, SK_META_BOOL, SK_META_STRING, SK_META_ARRAY, SK_META_OBJECT };
struct sk_meta_value {
	enum sk_meta_type type;
	int64_t i;                      /* INT, BOOL; ARRAY: bytes at raw */
	double f;                       /* FLOAT */
	const char *s;                  /* STRING: lent, NOT NUL-terminated */
	size_t len;                     /* STRING: bytes; ARRAY: elements */
	enum sk_meta_type item;         /* ARRAY: type of its elements; NONE: not all are of one type (or it is empty) */
	const void *raw;                /* ARRAY: for the two functions below */
	uint32_t raw_type;
};

struct sk_weights;

/*
 * path is
 *	a GGUF file (known by its first bytes, whatever its name);
 *	a directory with config.json and weights, as the Hugging Face library writes them;
 *	a directory with exactly one .gguf file and nothing of that;
 *	a .safetensors or .bin file of such a directory: then weights of that kind.
 * Weights beside config.json go before a .gguf file there (name the file to have it), *.safetensors before *.bin.
 *
 *   SK_ENOENT SK_EIO SK_EINVAL (a choice that only the caller can make) SK_EFORMAT SK_ENOTSUP SK_ETOOBIG SK_ENOMEM
 */
sk_status sk_weights_open(const char *path, struct sk_weights **ret_w, struct sk_err *err);
/* Metadata alone: a config.json, or the directory it is in (with its generation_config.json). No tensors. Same errors. */
sk_status sk_weights_open_config(const char *path, struct sk_weights **ret_w, struct sk_err *err);
void sk_weights_close(struct sk_weights **w);

enum sk_weights_form { SK_FORM_GGUF, SK_FORM_HF };
enum sk_weights_form sk_weights_form(const struct sk_weights *w);
const char *sk_weights_format(const struct sk_weights *w);      /* "gguf" "safetensors" "torch"; "config": metadata alone */
const char *sk_weights_path(const struct sk_weights *w);        /* the GGUF file, or the directory */
const char *sk_weights_dir(const struct sk_weights *w);         /* the Hugging Face directory; NULL for GGUF */
uint64_t sk_weights_file_bytes(const struct sk_weights *w);     /* of all files of weights */

size_t sk_weights_len(const struct sk_weights *w);
const struct sk_tensor *sk_weights_at(const struct sk_weights *w, size_t i);
const struct sk_tensor *sk_weights_find(const struct sk_weights *w, const char *name);         /* NULL: none */

/* The bytes of this tensor (of these rows) will not be read soon: give the pages back. They can still be read. */
void sk_weights_drop(const struct sk_weights *w, const struct sk_tensor *t);
void sk_weights_drop_rows(const struct sk_weights *w, const struct sk_tensor *t, int64_t first, int64_t rows);
/* The bytes of this tensor will be read soon: the disk may begin. Does not wait. */
void sk_weights_ahead(const struct sk_weights *w, const struct sk_tensor *t);

/*
 * What a rank holds of a tensor. Rows are the first dimension, columns the last. Both want 0 <= first, 0 < len, and an
 * end inside the tensor; columns begin and end on a block of the type. The tensor is not opaque.
 */
/* Rows first ... first + rows - 1: where they lie. Reads nothing; whoever reads there touches no other page. */
const void *sk_tensor_rows(const struct sk_tensor *t, int64_t first, int64_t rows, size_t *ret_bytes);
/* Bytes of `columns` columns of all rows, and copying them there, row by row; pages are given back on the way. */
size_t sk_tensor_columns_bytes(const struct sk_tensor *t, int64_t columns);
void sk_weights_copy_columns(const struct sk_weights *w, const struct sk_tensor *t, int64_t first, int64_t columns, void *out);

/* NULL: no such key. */
const struct sk_meta_value *sk_meta_find(const struct sk_weights *w, const char *key);
int64_t sk_meta_int(const struct sk_weights *w, const char *key, int64_t otherwise);
double sk_meta_float(const struct sk_weights *w, const char *key, double otherwise);
/* String, lent; NULL: none. */
const char *sk_meta_str(const struct sk_weights *w, const char *key, size_t *ret_len);

/*
 * Walk an ARRAY value in order: *cursor starts at NULL. Strings are lent. false at the end. (Every element was checked at
 * open.) Elements of a list in config.json may be of different types: NONE for null and for an object. A list that has
 * such ones, or lists in it, is also reachable element by element, as "key.0", "key.0.sub".
 */
bool sk_meta_next(const struct sk_meta_value *array, const void **cursor, size_t *index, struct sk_meta_value *ret_item);

#endif
