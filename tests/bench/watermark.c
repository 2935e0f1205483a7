/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How surely a watermark is found with a real model: T = 200 drawn tokens (multinomial, temperature 1), delta 2, gamma 0.25 and
 * 0.5, both schemes, the threshold z = 4: the setting of arXiv 2301.10226's table of error rates, whose model is another one (its
 * numbers are not repeated here: no copy was at hand to compare them with). Prompts are pieces of tests/golden/text.txt.
 *
 *	watermark [ANSWERS]     of each kind; 24 unless told
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/golden/golden.h"
#include "tests/golden/runs.h"

enum { T = 200, PROMPT = 240 };
#define KEY "tests/bench: not a secret at all"

static char key_file[] = "/tmp/sk-mark-XXXXXX";

static const struct kind { const char *name; double gamma; bool keyed; } kinds[] = {
	{ "public, gamma 0.25", 0.25, false },
	{ "public, gamma 0.5",  0.5,  false },
	{ "keyed, gamma 0.25",  0.25, true },
	{ "keyed, gamma 0.5",   0.5,  true },
};
#define KINDS (sizeof(kinds) / sizeof(kinds[0]))

static struct sk_watermark_opts opts_of(const struct kind *k)
{
	return (struct sk_watermark_opts){ .gamma = k->gamma, .delta = 2.0, .key_file = k->keyed ? key_file : NULL };
}

static void generate(struct sk_engine *e, bool mark, size_t n, struct run *runs)
{
	size_t len;
	char *text = golden_file("text.txt", &len);
	struct sk_gen_params *p = calloc(n, sizeof(*p));

	for (size_t i = 0; i < n; i++) {
		p[i] = (struct sk_gen_params)SK_GEN_PARAMS_INIT;
		p[i].prompt = text + (i * 977) % (len - PROMPT);
		while ((*p[i].prompt & 0xc0) == 0x80)
			p[i].prompt++;
		p[i].prompt_len = PROMPT - 4;
		while (p[i].prompt_len && (p[i].prompt[p[i].prompt_len] & 0xc0) == 0x80)
			p[i].prompt_len--;
		p[i].max_new_tokens = T;
		p[i].ignore_eos = p[i].do_sample = p[i].has_seed = true;
		p[i].seed = 1000 + i;
		p[i].watermark = mark;
	}
	runs_do(e, p, n, runs);
	free(p);
	free(text);
}

/* How many of them have a z-score above 4, and the mean. */
static size_t found(const struct kind *k, uint32_t vocab, const struct run *runs, size_t n, double *ret_mean)
{
	struct sk_watermark_opts o = opts_of(k);
	size_t hits = 0;

	*ret_mean = 0.0;
	for (size_t i = 0; i < n; i++) {
		struct sk_detection d = { 0 };

		if (sk_watermark_detect(&o, vocab, runs[i].ids, runs[i].len, &d, NULL) < 0)
			abort();
		*ret_mean += d.z_score / (double)n;
		hits += d.z_score > 4.0;
	}
	return hits;
}

int main(int argc, char **argv)
{
	size_t n = argc > 1 ? (size_t)atoi(argv[1]) : 24;
	struct run *plain = calloc(n, sizeof(*plain)), *marked = calloc(n, sizeof(*marked));
	int fd = mkstemp(key_file);
	struct sk_info info;

	if (fd < 0 || write(fd, KEY, sizeof(KEY) - 1) < 0 || !plain || !marked)
		abort();
	close(fd);
	printf("%zu answers of %d tokens each, delta 2, found where z > 4\n%-20s %11s %8s %13s %8s\n", n, T, "scheme", "marked", "mean z",
	       "unmarked", "mean z");
	for (size_t k = 0; k < KINDS; k++) {
		struct sk_engine_opts o = { .watermark = opts_of(&kinds[k]), .total_tokens_max = 512 };
		struct sk_engine *e = runs_open(&o);
		double mean, plain_mean;
		size_t hits, plain_hits;

		sk_engine_info(e, &info);
		if (k == 0)
			generate(e, false, n, plain);
		generate(e, true, n, marked);
		sk_engine_close(&e);
		hits = found(&kinds[k], info.vocab, marked, n, &mean);
		plain_hits = found(&kinds[k], info.vocab, plain, n, &plain_mean);
		printf("%-20s %5zu %.3f %8.2f %7zu %.3f %8.2f\n", kinds[k].name, hits, (double)hits / (double)n, mean, plain_hits,
		       (double)plain_hits / (double)n, plain_mean);
		fflush(stdout);
		for (size_t i = 0; i < n; i++)
			run_fini(&marked[i]);
	}
	unlink(key_file);
	return 0;
}
