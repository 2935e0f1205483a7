/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An opened checkpoint: named tensors, metadata, and where the tokenizer is. One file a format, listed in formats.def.
 *
 * Everything in a file is hostile: each header field is checked against the file's size before it is used.
 * Immutable after open; any thread may read. The mapping lives until close.
 */
#ifndef SK_WEIGHTS_H
#define SK_WEIGHTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/base/err.h"
#include "kernels/kernels.h"

struct sk_tensor {
	const char *name;               /* NUL-terminated */
	enum sk_dtype dtype;
	int32_t dims;                   /* 1 to 4 */
	int64_t dim[4];                 /* slowest first: [rows, columns], as in the Hugging Face library (GGUF's order reversed) */
	const void *data;
	size_t bytes;
};

/* Metadata: typed values by key, as a GGUF has them; config.json will be put into the same shape. */
enum sk_meta_type { SK_META_NONE, SK_META_INT, SK_META_FLOAT, SK_META_BOOL, SK_META_STRING, SK_META_ARRAY };
struct sk_meta_value {
	enum sk_meta_type type;
	int64_t i;                      /* INT, BOOL; ARRAY: bytes at raw */
	double f;                       /* FLOAT */
	const char *s;                  /* STRING: lent, NOT NUL-terminated */
	size_t len;                     /* STRING: bytes; ARRAY: elements */
	enum sk_meta_type item;         /* ARRAY: type of its elements */
	const void *raw;                /* ARRAY: for the two functions below */
	uint32_t raw_type;
};

struct sk_weights;

/* path: a .gguf file (a directory with exactly one .gguf counts too). SK_ENOENT SK_EIO SK_EFORMAT SK_ENOTSUP SK_ETOOBIG SK_ENOMEM */
sk_status sk_weights_open(const char *path, struct sk_weights **ret_w, struct sk_err *err);
void sk_weights_close(struct sk_weights **w);

const char *sk_weights_format(const struct sk_weights *w);              /* "gguf" */
const char *sk_weights_path(const struct sk_weights *w);
uint64_t sk_weights_file_bytes(const struct sk_weights *w);

size_t sk_weights_len(const struct sk_weights *w);
const struct sk_tensor *sk_weights_at(const struct sk_weights *w, size_t i);
const struct sk_tensor *sk_weights_find(const struct sk_weights *w, const char *name);         /* NULL: none */

/* The bytes of this tensor will not be read again: give the pages back. */
void sk_weights_drop(const struct sk_weights *w, const struct sk_tensor *t);

/* NULL: no such key. */
const struct sk_meta_value *sk_meta_find(const struct sk_weights *w, const char *key);
int64_t sk_meta_int(const struct sk_weights *w, const char *key, int64_t otherwise);
double sk_meta_float(const struct sk_weights *w, const char *key, double otherwise);
/* String, lent; NULL: none. */
const char *sk_meta_str(const struct sk_weights *w, const char *key, size_t *ret_len);

/*
 * Walk an ARRAY value in order: *cursor starts at NULL. Strings are lent from the mapping. false at the end.
 * (Every element was checked at open.)
 */
bool sk_meta_next(const struct sk_meta_value *array, const void **cursor, size_t *index, struct sk_meta_value *ret_item);

#endif
