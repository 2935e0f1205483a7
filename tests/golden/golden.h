/* SPDX-License-Identifier: Apache-2.0 */
/* What the golden tests share: where the model is, golden files by lines, and their escapes and runs. */
#ifndef GOLDEN_H
#define GOLDEN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define GOLDEN_SKIP 77          /* automake's exit status for a test that could not run */

/*
 * The path of SmolLM2's GGUF in ${SAKER_MODELS:-~/.cache/saker}; ends the program with 77, naming it, when
 * missing.
 */
const char *golden_model(void);

/* Where a file of this folder is: in the checkout, or in $SAKER_GOLDEN on a machine without one. Valid until the next call. */
const char *golden_path(const char *name);

/* A committed file of this folder, whole, NUL-terminated; free() it. Ends the program when it cannot be read. */
char *golden_file(const char *name, size_t *ret_len);

/* Cut *line (a NUL-terminated line) at tabs into at most max columns; returns their number. */
int golden_columns(char *line, char **columns, int max);

/* Undo make_tokenizer.py's esc(), in place; returns the new length. */
size_t golden_unescape(char *s);

/* "7 9*3" -> 7 9 9 9. *ret is malloc'ed. */
size_t golden_runs(const char *s, int32_t **ret);

#endif
