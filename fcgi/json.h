/* SPDX-License-Identifier: Apache-2.0 */
/*
 * JSON in, by json-c behind a strict gate; JSON out, small helpers.
 *
 * json-c is lenient (NaN, odd cases, lone surrogates, the last of two equal keys wins) and spends up to 700 bytes on an
 * empty object. So the bytes first pass sk_json_check(): RFC 8259 to the letter, with caps. What is refused there never
 * reaches json-c.
 */
#ifndef SK_FCGI_JSON_H
#define SK_FCGI_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/base/buf.h"
#include "engine/base/err.h"

struct json_object;

#define SK_JSON_DEPTH_MAX 32                    /* arrays and objects inside each other */
#define SK_JSON_CONTAINERS_MAX (1u << 16)       /* arrays and objects in one document: about 46 MB in json-c */
#define SK_JSON_VALUES_MAX (1u << 20)           /* values in one document */

/*
 * Is s one JSON text and nothing else? Refused: ill-formed UTF-8, lone surrogates, a NUL in a key, NaN and Infinity,
 * bytes after the text, and what breaks a cap. *ret_members (may be NULL) is the
 * number of "key": value pairs.
 *   SK_EFORMAT  "expected value at line 1 column 5" (the words of serde_json, which TGI's clients know)
 *   SK_ETOOBIG  a cap
 */
sk_status sk_json_check(const char *s, size_t len, size_t *ret_members, struct sk_err *err);

/*
 * Check and parse. The tree is the caller's: json_object_put(). Refused are numbers whose double is infinite; an integer
 * over 64 bits is a float. Of equal keys the last one counts, see sk_json_is_duplicate(). A literal `null` gives *ret_value == NULL (json-c's null).
 *   SK_EFORMAT SK_ETOOBIG SK_ENOMEM
 */
sk_status sk_json_parse(const char *s, size_t len, struct json_object **ret_value, struct sk_err *err);

/* Whether the parsed body, or an object that is a member of it, held this key twice. */
bool sk_json_is_duplicate(struct json_object *object, const char *key);

/* Append "s" with its quotes. */
void sk_json_add_str(struct sk_buf *b, const char *s, size_t len);

/* The shortest decimal that reads back as the same float32; null for NaN and infinities. */
void sk_json_add_f32(struct sk_buf *b, float v);

#endif
