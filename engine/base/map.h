/* SPDX-License-Identifier: Apache-2.0 */
/* A file mapped read-only into memory. */
#ifndef SK_BASE_MAP_H
#define SK_BASE_MAP_H

#include <stddef.h>

#include "engine/base/err.h"

struct sk_map {
	const unsigned char *data;
	size_t len;
	int fd;                         /* kept open: -1 after fini */
};

/* Errors: SK_ENOENT, SK_EIO (with errno's words), SK_EFORMAT (a directory, or empty). */
sk_status sk_map_open(struct sk_map *ret_map, const char *path, struct sk_err *err);
void sk_map_fini(struct sk_map *m);

/*
 * The file that a mapped byte belongs to; NULL: none that is known. For a handler of SIGBUS, which comes where a file was cut short
 * after it was mapped: takes no lock and no memory.
 */
const char *sk_map_name(const void *at);

/* Tell the kernel that these bytes will not be read again; page-aligned inwards. */
void sk_map_drop(const struct sk_map *m, size_t offset, size_t len);

/* Tell the kernel that these bytes will be read soon: it starts reading and does not wait. Page-aligned outwards. */
void sk_map_ahead(const struct sk_map *m, size_t offset, size_t len);

#endif
