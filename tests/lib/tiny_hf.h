/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Makes tiny Hugging Face checkpoints for tests: safetensors files, and PyTorch's zip files with a pickle in them. The same
 * calls give the same bytes. Nothing of the engine is linked. Any allocation or write failure ends the test program.
 *
 * Files that are wrong on purpose are made from the pieces, or from right ones by changing bytes.
 */
#ifndef TINY_HF_H
#define TINY_HF_H

#include "tests/lib/tiny_gguf.h"

/* ---- safetensors ---- */

struct tiny_tensor {
	const char *name, *type;                /* "F32" */
	int dims;
	int64_t dim[8];
	const void *data;
	size_t bytes;
};
void tiny_safetensors(struct tiny_buf *b, const struct tiny_tensor *t, size_t len);
/* The header as it is given, then `data_bytes` bytes 0, 1, 2 ... */
void tiny_safetensors_raw(struct tiny_buf *b, const char *header, size_t data_bytes);

/* ---- zip ---- */

struct tiny_zip { struct tiny_buf file, central; uint32_t entries; bool zip64; };
/* Stored, its data at a multiple of 64 as torch does it. */
void tiny_zip_add(struct tiny_zip *z, const char *name, const void *data, size_t len);
void tiny_zip_end(struct tiny_zip *z);          /* z->file is the file; the caller frees its data */

/* ---- pickle, protocol 2, as torch.save writes it ---- */

void tiny_pk_begin(struct tiny_buf *b);                                         /* PROTO 2 */
void tiny_pk_global(struct tiny_buf *b, const char *module, const char *name);
void tiny_pk_str(struct tiny_buf *b, const char *s);
void tiny_pk_int(struct tiny_buf *b, int64_t v);
void tiny_pk_ints(struct tiny_buf *b, const int64_t *v, int len);               /* a tuple */
/* One tensor: a call of torch._utils._rebuild_tensor_v2. Nothing is kept in the memo. */
struct tiny_torch_tensor {
	const char *name, *storage;             /* "FloatStorage" */
	const char *key;                        /* data/KEY */
	int64_t numel, offset;                  /* of the storage; of the tensor in it */
	int dims;
	int64_t size[8], stride[8];
};
void tiny_pk_tensor(struct tiny_buf *b, const struct tiny_torch_tensor *t);
/* {name: tensor, ...} and STOP */
void tiny_pk_state_dict(struct tiny_buf *b, const struct tiny_torch_tensor *t, size_t len);

#endif
