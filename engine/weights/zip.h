/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The directory of a zip file whose entries are stored, not compressed, as PyTorch writes them: each is a piece of the
 * mapping. zip64 too. Everything is checked at open: entries lie in the file, share no byte, and are where the central
 * directory and their own headers both say. Check sums are not.
 *
 * For the files of this folder only. owner: one thread; names and data are lent from the mapping.
 */
#ifndef SK_WEIGHTS_ZIP_H
#define SK_WEIGHTS_ZIP_H

#include "engine/weights/format.h"

struct sk_zip_entry {
	const char *name;               /* not NUL-terminated */
	size_t name_len;
	const unsigned char *data;
	size_t bytes;
	uint64_t header;                /* where its header is */
};

struct sk_zip {
	struct sk_zip_entry *entries;   /* as the central directory lists them */
	size_t len;
	struct sk_table index;          /* name -> place in entries */
};

/* What was taken is freed by sk_zip_fini(), also after a failure. SK_EFORMAT SK_ENOTSUP SK_ETOOBIG SK_ENOMEM */
sk_status sk_zip_init(struct sk_zip *z, const struct sk_weights_file *f, struct sk_err *err);
void sk_zip_fini(struct sk_zip *z);
const struct sk_zip_entry *sk_zip_find(const struct sk_zip *z, const char *name, size_t len);   /* NULL: none */

#endif
