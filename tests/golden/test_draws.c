/* SPDX-License-Identifier: Apache-2.0 */
/* torch's CPU generator bit for bit: its noise, TGI's seeded draws, the lists of TGI's watermark (torch.txt). */
#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/mt.h"
#include "engine/sample/sample.h"
#include "tests/golden/golden.h"

enum { V_MAX = 250880, COLUMNS = 64 };

static uint64_t fnv(uint64_t h, const void *p, size_t len)
{
	const uint8_t *bytes = p;

	for (size_t i = 0; i < len; i++)
		h = (h ^ bytes[i]) * UINT64_C(0x100000001b3);
	return h;
}

#define FNV_INIT UINT64_C(0xcbf29ce484222325)

/* noise SEED N COUNT HASH */
static void check_noise(char **word, int words)
{
	uint64_t h = FNV_INIT, n = strtoull(word[2], NULL, 10) * strtoull(word[3], NULL, 10);
	struct sk_mt mt;

	ck_assert_int_eq(words, 5);
	sk_mt_seed(&mt, strtoull(word[1], NULL, 10));
	for (uint64_t i = 0; i < n; i++) {
		float q = sk_mt_exponential(&mt);

		h = fnv(h, &q, sizeof(q));
	}
	ck_assert_msg(h == strtoull(word[4], NULL, 16), "the noise of seed %s, %s x %s numbers", word[1], word[3], word[2]);
}

static float logits[V_MAX];

static void row_make(struct sk_sample_in *in, uint64_t seed)
{
	double sum = 0.0;

	in->argmax = 0;
	for (int32_t i = 0; i < in->V; i++) {
		seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
		logits[i] = (float)((int64_t)((seed >> 33) % 8193) - 4096) / 1024.0f;
		in->argmax = logits[i] > logits[in->argmax] ? i : in->argmax;
	}
	in->max = logits[in->argmax];
	for (int32_t i = 0; i < in->V; i++)
		sum += exp((double)logits[i] - (double)in->max);
	in->logsumexp = (float)((double)in->max + log(sum));
}

/* draw SEED V TEMPERATURE TOP_K ROW0 IDS...: in order, then again out of order, as after a generation that begins anew. */
static void check_draws(char **word, int words)
{
	struct sk_sample_params p = { .draw = true, .temperature = strtof(word[3], NULL), .repetition_penalty = 1, .top_p = 1,
				      .typical_p = 1, .top_k = atoi(word[4]), .seed = strtoull(word[1], NULL, 10) };
	struct sk_sample_torch torch = { .next = 0 };
	struct sk_sample_in in = { .logits = logits, .V = atoi(word[2]), .p = &p, .torch = &torch };
	struct sk_sample_out out = { 0 };
	void *scratch = malloc(sk_sample_scratch_bytes(in.V));
	int draws = words - 6;

	ck_assert_int_gt(draws, 0);
	for (int i = 0; i < 2 * draws; i++) {
		int k = i < draws ? i : 2 * draws - 1 - i;

		in.index = (uint32_t)k;
		row_make(&in, strtoull(word[5], NULL, 10) + (uint64_t)k);
		sk_sample(&in, &out, scratch);
		ck_assert_msg(out.id == atoi(word[6 + k]), "seed %s, %s scores, draw %d: %d, torch %s", word[1], word[2], k, out.id,
			      word[6 + k]);
	}
	free(scratch);
}

/* green KEY PREVIOUS V GAMMA LEN HASH FIRST... */
static void check_green(char **word, int words)
{
	struct sk_watermark w = { .hash_key = strtoull(word[1], NULL, 10), .gamma = strtod(word[4], NULL) };
	int32_t V = atoi(word[3]), len = atoi(word[5]), previous = atoi(word[2]), *p = malloc((size_t)V * sizeof(*p));

	ck_assert_int_ge(words, 7);
	ck_assert_int_eq(sk_watermark_green(&w, &previous, 1, V, p), len);
	for (int i = 7; i < words; i++)
		ck_assert_msg(p[i - 7] == atoi(word[i]), "%s behind %s: number %d is %d, torch %s", word[3], word[2], i - 7, p[i - 7],
			      word[i]);
	ck_assert_msg(fnv(FNV_INIT, p, (size_t)len * sizeof(*p)) == strtoull(word[6], NULL, 16), "%d of %s behind %s", len, word[3],
		      word[2]);
	free(p);
}

static const struct { const char *name; void (*check)(char **word, int words); int least; } kinds[] = {
	{ "noise", check_noise, 60 },
	{ "draw", check_draws, 30 },
	{ "green", check_green, 120 },
};

START_TEST(what_torch_draws_is_drawn_here)
{
	size_t len;
	char *text = golden_file("torch.txt", &len), *line, *rest = text, *word[COLUMNS];
	int count = 0;

	while ((line = strtok_r(rest, "\n", &rest)) != NULL) {
		int words = 0;

		for (char *at = line, *w; words < COLUMNS && (w = strtok_r(at, " ", &at)) != NULL;)
			word[words++] = w;
		if (strcmp(word[0], kinds[_i].name) != 0)
			continue;
		kinds[_i].check(word, words);
		count++;
	}
	ck_assert_int_ge(count, kinds[_i].least);
	free(text);
}
END_TEST

START_TEST(skipping_is_the_same_as_taking)
{
	struct sk_mt a, b;

	for (uint64_t n = 0; n < 3000; n += 1 + n / 7) {
		sk_mt_seed(&a, n);
		sk_mt_seed(&b, n);
		for (uint64_t i = 0; i < n; i++)
			sk_mt_next(&a);
		sk_mt_skip(&b, n);
		ck_assert_uint_eq(sk_mt_next(&a), sk_mt_next(&b));
	}
}
END_TEST

int main(void)
{
	Suite *s = suite_create("draws");
	TCase *t = tcase_create("draws");
	SRunner *r = srunner_create(s);
	int failed;

	tcase_add_loop_test(t, what_torch_draws_is_drawn_here, 0, (int)(sizeof(kinds) / sizeof(kinds[0])));
	tcase_add_test(t, skipping_is_the_same_as_taking);
	tcase_set_timeout(t, 300);
	suite_add_tcase(s, t);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
