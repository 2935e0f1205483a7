/* SPDX-License-Identifier: Apache-2.0 */
/* What the Hugging Face library says of one tiny model: families/NAME/golden.txt. make_families.py has the meaning of its lines. */
#ifndef GOLDEN_FAMILY_H
#define GOLDEN_FAMILY_H

#include <stdint.h>

#define FAMILY_TOKENS 24
#define FAMILY_PROMPT_MAX 72
#define FAMILY_PENALTY 1.3f             /* of `penalised` */

struct family {
	int32_t prompt[FAMILY_PROMPT_MAX], greedy[FAMILY_TOKENS], penalised[FAMILY_TOKENS];
	double logprob[FAMILY_PROMPT_MAX], greedy_logprob[FAMILY_TOKENS];
	int prompt_len, logprob_len;
};

/* Ends the program with words where the file is not as it should be. The prompt is longer than a KV block. */
void family_read(const char *name, struct family *ret_f);

#endif
