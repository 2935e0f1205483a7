/* SPDX-License-Identifier: Apache-2.0 */
/* See family.h. */
#include "tests/golden/family.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/golden/golden.h"

static int read_numbers(const char *line, double *out, int max)
{
	int n = 0;
	char *end;

	for (; n < max; n++, line = end) {
		out[n] = strtod(line, &end);
		if (end == line)
			break;
	}
	return n;
}

static void take(int32_t *ids, double *values, const double *numbers, int n, int max)
{
	for (int i = 0; i < n && i < max; i++)
		if (ids)
			ids[i] = (int32_t)numbers[i];
		else
			values[i] = numbers[i];
}

void family_read(const char *name, struct family *f)
{
	const struct { const char *word; int32_t *ids; double *values; int max, *len; } lines[] = {
		{ "prompt",         f->prompt,    NULL,              FAMILY_PROMPT_MAX, &f->prompt_len },
		{ "logprob",        NULL,         f->logprob,        FAMILY_PROMPT_MAX, &f->logprob_len },
		{ "greedy",         f->greedy,    NULL,              FAMILY_TOKENS },
		{ "greedy_logprob", NULL,         f->greedy_logprob, FAMILY_TOKENS },
		{ "penalised",      f->penalised, NULL,              FAMILY_TOKENS },
	};
	char path[256], *text, *save = NULL;
	double numbers[FAMILY_PROMPT_MAX];
	size_t len;

	memset(f, 0, sizeof(*f));
	snprintf(path, sizeof(path), "families/%s/golden.txt", name);
	text = golden_file(path, &len);
	for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		char *rest = line + strcspn(line, " ");
		int n;

		if (*rest)
			*rest++ = 0;
		n = read_numbers(rest, numbers, FAMILY_PROMPT_MAX);
		for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++)
			if (!strcmp(line, lines[i].word)) {
				take(lines[i].ids, lines[i].values, numbers, n, lines[i].max);
				if (lines[i].len)
					*lines[i].len = n;
			}
	}
	free(text);
	if (f->prompt_len <= 16) {
		printf("%s: a prompt of %d tokens\n", path, f->prompt_len);
		exit(1);
	}
}
