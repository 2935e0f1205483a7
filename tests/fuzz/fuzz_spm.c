/* SPDX-License-Identifier: Apache-2.0 */
/* A SentencePiece model, through sk_text_open_dir: what is accepted is used. */
#include <stdint.h>

#include "tests/fuzz/text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct sk_text *t = NULL;
	struct sk_err err = { .text = "" };
	sk_status st;

	dir_make();
	file_put("tokenizer.model", data, len);
	st = sk_text_open_dir(dir, NULL, 0, &t, &err);
	opened_try(st, &t, &err, (const char *)data, len);
	return 0;
}
