/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Python's pickles, as far as dictionaries of tensors need them. Nothing is executed: the few functions that such a
 * pickle names are known by their names and turned into values here; any other name, and any other instruction, is
 * refused by its name.
 *
 * The result is a graph of values in one array, and may have cycles: whoever walks it counts its steps.
 *
 * For the files of this folder only. owner: one thread; bytes are lent from the mapping.
 */
#ifndef SK_WEIGHTS_PICKLE_H
#define SK_WEIGHTS_PICKLE_H

#include "engine/weights/format.h"

enum { SK_PICKLE_DIMS_MAX = 8 };

/* An element type of torch. */
struct sk_torch_type {
	const char *name;               /* "torch.float32" */
	const char *storage;            /* "FloatStorage"; NULL: it has no storage class of its own */
	uint8_t bytes;
	enum sk_dtype dtype;            /* SK_DTYPES: nothing can be calculated with it */
};

/* A run of elements in the file. type NULL: of bytes. */
struct sk_torch_storage { const struct sk_torch_type *type; const char *key; size_t key_len; uint64_t numel; };

/* A view of a storage. Numbers are the pickle's own: not negative, not checked against the storage. */
struct sk_torch_tensor {
	struct sk_torch_storage storage;
	const struct sk_torch_type *type;
	int64_t offset;                 /* elements */
	int32_t dims;
	int64_t size[SK_PICKLE_DIMS_MAX], stride[SK_PICKLE_DIMS_MAX];
};

enum sk_value_kind {
	SK_VALUE_NONE, SK_VALUE_BOOL, SK_VALUE_INT, SK_VALUE_FLOAT, SK_VALUE_LONG, SK_VALUE_STR, SK_VALUE_TUPLE, SK_VALUE_LIST,
	SK_VALUE_DICT, SK_VALUE_GLOBAL, SK_VALUE_STORAGE, SK_VALUE_TENSOR,
};

struct sk_torch_name;
struct sk_value {
	enum sk_value_kind kind;
	union {
		int64_t i;                                              /* BOOL, INT */
		struct { const char *s; size_t len; };                  /* STR; LONG: over 64 bits, little-endian */
		struct { uint32_t *items, items_len, items_cap; };      /* TUPLE, LIST; DICT: key, value, key, value */
		struct {                                                /* GLOBAL: a function, or a type */
			const struct sk_torch_name *name;
			const struct sk_torch_type *type;
			bool is_storage;                                /* the type's storage class */
		};
		struct sk_torch_storage *storage;
		struct sk_torch_tensor *tensor;
	};
};

struct sk_pickle {
	struct sk_value *values;
	size_t values_len, values_cap;
	uint32_t root;                  /* place in values */
	size_t bytes;                   /* of the pickle, with its STOP */
	struct sk_arena arena;          /* storages and tensors */
};

/*
 * Run the pickle at the begin of data. path: for messages. What was taken is freed by sk_pickle_fini(), also after a
 * failure. SK_EFORMAT SK_ENOTSUP SK_ETOOBIG SK_ENOMEM
 */
sk_status sk_pickle_init(struct sk_pickle *p, const unsigned char *data, size_t len, const char *path, struct sk_err *err);
void sk_pickle_fini(struct sk_pickle *p);

#endif
