/* SPDX-License-Identifier: Apache-2.0 */
/* Names of classes in Oniguruma's patterns, as items of a class of PCRE2. */
#ifndef SK_TEXT_REGEX_NAMES_H
#define SK_TEXT_REGEX_NAMES_H

#include <stdbool.h>
#include <stddef.h>

/* What stands between brackets for \p{name} or [:name:]; false: not known. Case, blanks, '-' and '_' do not count. */
bool sk_regex_property(const char *name, char *out, size_t out_bytes);

#endif
