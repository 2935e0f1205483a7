/* SPDX-License-Identifier: Apache-2.0 */
/* The bodies of POST /tokenize and POST /detokenize. */
#ifndef SK_FCGI_API_TOKENIZE_H
#define SK_FCGI_API_TOKENIZE_H

#include "fcgi/schema.h"

const struct sk_field *sk_tokenize_fields(size_t *ret_len);
const struct sk_field *sk_detokenize_fields(size_t *ret_len);

#endif
