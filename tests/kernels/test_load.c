/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Weights larger than what goes over to a device at once: every row gets to its place, whatever the sources are, one weight
 * right behind the other, and with their memory gone as soon as they were taken.
 *
 * A one as the activation picks a column: what comes out is the weight, exactly.
 */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/kernels/lab.h"

#define LEN(a) ((int32_t)(sizeof(a) / sizeof((a)[0])))
#define WIDTH 1000
#define PICKS 3

static const int32_t picks[PICKS] = { 0, 511, WIDTH - 1 };

static const struct { const char *name; int32_t N[3]; enum sk_weight_join join; } weights[] = {
	{ "one source",             { 5000 },             SK_JOIN_STACK },
	{ "three sources",          { 7000, 1, 2999 },    SK_JOIN_STACK },
	{ "less than a piece",      { 3 },                SK_JOIN_STACK },
	{ "gate and up",            { 5003, 5003 },       SK_JOIN_GLU },
	{ "whole pieces",  { 1024, 1024 },       SK_JOIN_STACK },
};

/* Row n of source s, column k: a small number that no two neighbours share. */
static float element(int weight, int s, int64_t n, int64_t k)
{
	return (float)((n * 131 + k * 7 + s * 17 + weight) % 4093 + 1);
}

static struct sk_weight *weight_open(struct lab *lab, int i)
{
	struct sk_weight_src src[3] = { { 0 } };
	struct sk_weight *w = NULL;
	struct sk_err err;
	int len = 0;

	for (; len < 3 && weights[i].N[len]; len++) {
		float *data = malloc((size_t)weights[i].N[len] * WIDTH * sizeof(float));

		ck_assert_ptr_nonnull(data);
		for (int64_t n = 0; n < weights[i].N[len]; n++)
			for (int64_t k = 0; k < WIDTH; k++)
				data[n * WIDTH + k] = element(i, len, n, k);
		src[len] = (struct sk_weight_src){ .data = data, .dtype = SK_F32, .N = weights[i].N[len], .K = WIDTH,
						   .row_bytes = WIDTH * sizeof(float) };
	}
	ck_assert_msg(lab->b->weight_open(lab->dev, src, len, weights[i].join, &w, &err) == SK_OK, "%s: %s", weights[i].name, err.text);
	while (len-- > 0) {
		void *data = (void *)(uintptr_t)src[len].data;

		memset(data, 0x55, (size_t)src[len].N * WIDTH * sizeof(float));
		free(data);
	}
	return w;
}

static void weight_check(struct lab *lab, int i, const struct sk_weight *w)
{
	bool glu = weights[i].join == SK_JOIN_GLU;
	int32_t N = glu ? w->N / 2 : w->N;
	float *x = lab_room(PICKS * WIDTH), *y = lab_room((size_t)PICKS * (size_t)N);
	struct sk_view vx, vy;

	for (int t = 0; t < PICKS; t++)
		x[t * WIDTH + picks[t]] = 1;
	vx = lab_put(lab, x, PICKS, WIDTH, WIDTH);
	vy = lab_put(lab, NULL, PICKS, N, N);
	lab->ops->linear(lab->dev, &(struct sk_op_linear){ .x = vx, .y = vy, .w = w, .flags = glu ? SK_LINEAR_GLU : 0 });
	lab_get(lab, &vy, y);
	for (int t = 0; t < PICKS; t++) {
		int64_t first = 0;

		for (int s = 0; s < (glu ? 1 : 3); first += weights[i].N[s++])
			for (int64_t n = 0; n < weights[i].N[s]; n++) {
				float want = element(i, s, n, picks[t]) * (glu ? element(i, 1, n, picks[t]) : 1);

				ck_assert_msg(y[t * N + first + n] == want, "%s, %s: row %d of source %d, column %d: %g, not %g",
					      lab->way->name, weights[i].name, (int)n, s, (int)picks[t],
					      (double)y[t * N + first + n], (double)want);
			}
	}
	lab_drop(lab, &vx);
	lab_drop(lab, &vy);
	free(x);
	free(y);
}

static void all_of(const struct lab_way *way, int threads)
{
	struct lab lab = lab_open(way, threads);
	struct sk_weight *w[LEN(weights)];

	for (int i = 0; i < LEN(weights); i++)
		w[i] = weight_open(&lab, i);
	for (int i = 0; i < LEN(weights); i++) {
		weight_check(&lab, i, w[i]);
		lab.b->weight_close(lab.dev, &w[i]);
	}
	lab_close(&lab);
}

/* The cpu repacks with its own tests; here are the devices that rows go over to, and the definition. */
START_TEST(every_row_gets_to_its_place)
{
	struct lab_way ways[LAB_WAYS_MAX];
	int n = lab_ways(ways);

	for (int i = 0; i < n; i++)
		if (i == 0 || lab_is_module(&ways[i]))
			for (int threads = 1; threads <= 3; threads += 2)
				all_of(&ways[i], threads);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("load");
	TCase *c = tcase_create("load");
	SRunner *r;
	int failed;

	tcase_set_timeout(c, 120);
	tcase_add_test(c, every_row_gets_to_its_place);
	suite_add_tcase(s, c);
	r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? 1 : 0;
}
