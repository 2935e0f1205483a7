/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Watermarks: texts that were not marked are taken for marked as rarely as the p-value says, marked ones are found, and only by
 * who has the key. (That green lists equal torch's: tests/golden/test_draws.c.)
 */
#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "engine/base/rand.h"
#include "engine/sample/sample.h"

enum { V = 1000, TEXT = 200 };

#define LEN(a) ((int)(sizeof(a) / sizeof((a)[0])))

static double uniform(uint32_t seq)
{
	static uint32_t at;

	return sk_rand_uniform(20261127, seq, at++);
}

/* A scheme with the n-th of many keys. */
static struct sk_watermark scheme(bool keyed, double gamma, uint32_t n)
{
	struct sk_watermark w = { .gamma = gamma, .delta = 2.0f, .keyed = keyed, .hash_key = 15485863 + 2 * (uint64_t)n };

	sk_sha256(&n, sizeof(n), w.secret);
	return w;
}

static const struct { const char *name; bool keyed; double gamma; } schemes[] = {
	{ "public, a half green",    false, 0.5 },
	{ "public, a quarter green", false, 0.25 },
	{ "keyed, a half green",     true,  0.5 },
	{ "keyed, a quarter green",  true,  0.25 },
};

/* The same in long double, from the formula: all terms from `green` to the end. */
static double slow_tail(uint32_t green, uint32_t n, double rate)
{
	long double sum = 0.0L;

	for (uint32_t k = green; k <= n; k++)
		sum += expl(lgammal(n + 1.0L) - lgammal(k + 1.0L) - lgammal(n - k + 1.0L) + k * logl(rate) + (n - k) * logl(1.0L - rate));
	return (double)sum;
}

/*
 * Words of a people's text are few and come again: ids by a power law, and phrases repeated. Many keys, one text each. The share
 * of texts below a level may exceed it by four standard deviations; exact tails of whole numbers are mostly below.
 */
START_TEST(unmarked_texts_are_taken_for_marked_as_rarely_as_stated)
{
	static const double levels[] = { 0.1, 0.01, 0.001 };
	enum { TEXTS = 4000 };
	int below[LEN(levels)] = { 0 };
	double z_sum = 0.0;

	for (uint32_t n = 0; n < TEXTS; n++) {
		struct sk_watermark w = scheme(schemes[_i].keyed, schemes[_i].gamma, n);
		struct sk_detection d;
		int32_t ids[TEXT];

		for (int i = 0; i < TEXT; i++)
			ids[i] = (int32_t)(V * pow(uniform(1), 3.0));
		memcpy(ids + TEXT / 2, ids, TEXT / 4 * sizeof(*ids));
		ck_assert_int_eq(sk_watermark_find(&w, V, ids, TEXT, &d, NULL), SK_OK);
		ck_assert_uint_le(d.tokens, TEXT * 3 / 4 + 2);
		ck_assert_msg(fabs(d.p_value - slow_tail(d.green, d.tokens, schemes[_i].gamma)) < 1e-9, "%u of %u: %g", d.green,
			      d.tokens, d.p_value);
		for (int k = 0; k < LEN(levels); k++)
			below[k] += d.p_value <= levels[k];
		z_sum += d.z_score;
	}
	for (int k = 0; k < LEN(levels); k++)
		ck_assert_msg(below[k] <= TEXTS * levels[k] + 4 * sqrt(TEXTS * levels[k]), "%s: %d of %d texts are below %g",
			      schemes[_i].name, below[k], TEXTS, levels[k]);
	/* The mean of so many z-scores is a normal number with a deviation of 1/63; and tails that never fire would be no test. */
	ck_assert_msg(fabs(z_sum / TEXTS) < 0.07, "%s: the mean z-score is %.3f", schemes[_i].name, z_sum / TEXTS);
	ck_assert_int_gt(below[0], TEXTS / 20);
}
END_TEST

static float logits[V];

/* One text of TEXT tokens drawn from flat random scores, after two tokens of a prompt. */
static void text_draw(const struct sk_watermark *w, uint32_t n, int32_t ids[TEXT + 2])
{
	struct sk_sample_params p = { .draw = true, .temperature = 1, .repetition_penalty = 1, .top_p = 1, .typical_p = 1, .mark = w,
				      .seed = n };
	struct sk_sample_in in = { .logits = logits, .V = V, .p = &p, .ids = ids, .prompt_len = 2 };
	struct sk_sample_out out = { 0 };
	void *scratch = malloc(sk_sample_scratch_bytes(V));

	ids[0] = ids[1] = (int32_t)n;
	for (int i = 0; i < TEXT; i++) {
		double sum = 0.0;

		for (int k = 0; k < V; k++)
			logits[k] = (float)(2.0 * uniform(2));
		in.argmax = 0;
		for (int k = 0; k < V; k++) {
			sum += exp((double)logits[k]);
			in.argmax = logits[k] > logits[in.argmax] ? k : in.argmax;
		}
		in.max = logits[in.argmax];
		in.logsumexp = (float)log(sum);
		in.index = (uint32_t)i;
		in.ids_len = 2 + i;
		sk_sample(&in, &out, scratch);
		ids[2 + i] = out.id;
	}
	free(scratch);
}

START_TEST(marked_texts_are_found_by_who_has_the_key)
{
	for (uint32_t n = 0; n < 5; n++) {
		struct sk_watermark w = scheme(schemes[_i].keyed, schemes[_i].gamma, n), other = w;
		struct sk_detection d;
		int32_t ids[TEXT + 2];

		text_draw(&w, n, ids);
		ck_assert_int_eq(sk_watermark_find(&w, V, ids, TEXT + 2, &d, NULL), SK_OK);
		ck_assert_msg(d.z_score > 4.0 && d.p_value < 1e-5, "%s: z %.2f, p %g", schemes[_i].name, d.z_score, d.p_value);
		other.hash_key++;
		other.secret[31] ^= 1;
		ck_assert_int_eq(sk_watermark_find(&other, V, ids, TEXT + 2, &d, NULL), SK_OK);
		ck_assert_msg(fabs(d.z_score) < 4.0, "%s: z %.2f with another key", schemes[_i].name, d.z_score);
		text_draw(NULL, n, ids);
		ck_assert_int_eq(sk_watermark_find(&w, V, ids, TEXT + 2, &d, NULL), SK_OK);
		ck_assert_msg(fabs(d.z_score) < 4.0, "%s: z %.2f without a mark", schemes[_i].name, d.z_score);
	}
}
END_TEST

/* Detection asks for single tokens, generation for whole lists: both must say the same. */
START_TEST(what_is_green_when_writing_is_green_when_reading)
{
	struct sk_watermark w = scheme(schemes[_i].keyed, schemes[_i].gamma, 7);
	int32_t list[V], ids[3] = { 5, 9, 0 };
	int32_t n = sk_watermark_green(&w, ids, 2, V, list), green = 0;
	struct sk_detection d;

	ck_assert_int_gt(n, (int)(V * schemes[_i].gamma) - 80);
	ck_assert_int_lt(n, (int)(V * schemes[_i].gamma) + 80);
	for (ids[2] = 0; ids[2] < V; ids[2]++) {
		bool listed = false;
		uint32_t before;

		for (int32_t k = 0; k < n; k++)
			listed |= list[k] == ids[2];
		ck_assert_int_eq(sk_watermark_find(&w, V, ids, 2, &d, NULL), SK_OK);
		before = d.green;
		ck_assert_int_eq(sk_watermark_find(&w, V, ids, 3, &d, NULL), SK_OK);
		ck_assert_msg(d.green - before == listed, "%s: token %d", schemes[_i].name, ids[2]);
		green += listed;
	}
	ck_assert_int_eq(green, n);
	if (schemes[_i].keyed)
		ck_assert_int_eq(sk_watermark_green(&w, ids, 1, V, list), 0);
}
END_TEST

START_TEST(tails_are_right_far_from_the_middle)
{
	static int32_t ids[SK_DETECT_TOKENS_MAX + 1];
	struct sk_watermark w = scheme(true, 0.999, 1);
	struct sk_detection d;

	for (int i = 0; i < LEN(ids); i++)
		ids[i] = (i * 7919 + i * i) % V;
	ck_assert_int_eq(sk_watermark_find(&w, V, ids, SK_DETECT_TOKENS_MAX, &d, NULL), SK_OK);
	ck_assert(d.z_score > -4.0 && d.z_score < 4.0);
	/* Hardly anything is green where nearly all should be: chance gives more, surely. */
	w.gamma = 0.001;
	ck_assert_int_eq(sk_watermark_find(&w, V, ids, SK_DETECT_TOKENS_MAX, &d, NULL), SK_OK);
	ck_assert(d.p_value > 1e-5 && d.p_value <= 1.0);
	ck_assert_int_eq(sk_watermark_find(&w, V, ids, LEN(ids), &d, NULL), SK_EINVAL);
	ids[3] = V;
	ck_assert_int_eq(sk_watermark_find(&w, V, ids, 10, &d, NULL), SK_EINVAL);
	ck_assert_int_eq(sk_watermark_find(&w, V, ids, 0, &d, NULL), SK_OK);
	ck_assert(d.tokens == 0 && d.z_score == 0.0 && d.p_value == 1.0);
}
END_TEST

static const struct { const char *name, *text; sk_status st; const char *why; } secrets[] = {
	{ "a line", "0123456789abcdef\n", SK_OK, NULL },
	{ "the same without a line break", "0123456789abcdef", SK_OK, NULL },
	{ "too short", "0123456789abcde\n\n", SK_EINVAL, "a key for watermarks has 16 to 4096 bytes, this one has 15" },
	{ "nothing", "", SK_EINVAL, "a key for watermarks has 16 to 4096 bytes, this one has 0" },
};

START_TEST(a_secret_comes_from_a_file)
{
	struct sk_watermark w, first;
	char path[] = "/tmp/sk-mark-XXXXXX";
	struct sk_watermark_opts o = { .key_file = path };
	int fd = mkstemp(path);
	struct sk_err err;

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(write(fd, secrets[_i].text, strlen(secrets[_i].text)), (ssize_t)strlen(secrets[_i].text));
	close(fd);
	ck_assert_int_eq(sk_watermark_init(&w, &o, &err), secrets[_i].st);
	unlink(path);
	if (secrets[_i].why) {
		ck_assert_ptr_nonnull(strstr(err.text, secrets[_i].why));
	} else {
		first = (struct sk_watermark){ .gamma = 0.5, .delta = 2.0f, .hash_key = 15485863, .keyed = true };
		sk_sha256("0123456789abcdef", 16, first.secret);
		ck_assert_mem_eq(w.secret, first.secret, sizeof(w.secret));
		ck_assert(w.keyed && w.gamma == 0.5 && w.delta == 2.0f && w.hash_key == 15485863);
	}
	ck_assert_int_eq(sk_watermark_init(&w, &o, &err), SK_ENOENT);
	ck_assert_int_eq(sk_watermark_init(&w, &(struct sk_watermark_opts){ .gamma = 1.0 }, &err), SK_EINVAL);
	ck_assert_int_eq(sk_watermark_init(&w, &(struct sk_watermark_opts){ .delta = -1.0 }, &err), SK_EINVAL);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("watermark");
	TCase *t = tcase_create("watermark");
	SRunner *r = srunner_create(s);
	int failed;

	tcase_add_loop_test(t, unmarked_texts_are_taken_for_marked_as_rarely_as_stated, 0, LEN(schemes));
	tcase_add_loop_test(t, marked_texts_are_found_by_who_has_the_key, 0, LEN(schemes));
	tcase_add_loop_test(t, what_is_green_when_writing_is_green_when_reading, 0, LEN(schemes));
	tcase_add_test(t, tails_are_right_far_from_the_middle);
	tcase_add_loop_test(t, a_secret_comes_from_a_file, 0, LEN(secrets));
	tcase_set_timeout(t, 300);
	suite_add_tcase(s, t);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
