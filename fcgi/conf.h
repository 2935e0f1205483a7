/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The form of saker.conf: lines of `key = value`.
 *
 * '#' begins a comment at the start of a line or after white space; a value may stand in double quotes, inside which
 * '#' and blanks are kept and \" and \\ are escapes. A key comes once. What keys there are is not known here.
 */
#ifndef SK_FCGI_CONF_H
#define SK_FCGI_CONF_H

#include <stddef.h>

#include "engine/base/err.h"

/* Called for each setting in order; key and value are lent until it returns. A failure ends the reading. */
typedef sk_status (*sk_conf_fn)(void *user, const char *key, const char *value, int line, struct sk_err *err);

/* `name` is for messages. SK_EINVAL names file and line. */
sk_status sk_conf_parse(const char *text, size_t len, const char *name, sk_conf_fn fn, void *user, struct sk_err *err);

/* SK_ENOENT when there is no such file; SK_EIO; SK_ETOOBIG over 1 MiB. */
sk_status sk_conf_read(const char *path, sk_conf_fn fn, void *user, struct sk_err *err);

#endif
