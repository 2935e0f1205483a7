/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The sampling rules beside numpy: sampling.txt (made by make_sampling.py) holds, for each rule and some together, which
 * tokens are left and how likely they are.
 */
#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/sample/sample.h"

enum { V_MAX = 256, HISTORY_MAX = 64, BIAS_MAX = 16 };

struct golden_case {
	char name[256];
	int32_t V, prompt_len, ids_len, ids[HISTORY_MAX];
	float logits[V_MAX];
	struct sk_sample_params p;
	struct sk_logit_bias bias[BIAS_MAX];
};

/* The maker's formula. */
static void logits_fill(struct golden_case *c, uint64_t seed, double scale)
{
	for (int32_t i = 0; i < c->V; i++) {
		double n;

		seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
		n = (double)((int64_t)((seed >> 33) % 8193) - 4096);
		c->logits[i] = (float)(scale == 512.0 ? floor(n / 512.0) / 2.0 : n * scale / 1024.0);
	}
}

static void read_row(struct golden_case *c, char *s)
{
	uint64_t seed = strtoull(s, &s, 10);
	double scale;

	c->V = (int32_t)strtol(s, &s, 10);
	scale = strtod(s, &s);
	c->prompt_len = (int32_t)strtol(s, &s, 10);
	ck_assert_int_le(c->V, V_MAX);
	for (char *end; c->ids_len < HISTORY_MAX; s = end) {
		c->ids[c->ids_len] = (int32_t)strtol(s, &end, 10);
		if (end == s)
			break;
		c->ids_len++;
	}
	logits_fill(c, seed, scale);
	c->p = (struct sk_sample_params){ .draw = true, .temperature = 1, .repetition_penalty = 1, .top_p = 1, .typical_p = 1,
					  .top_n = (uint32_t)c->V, .bias = c->bias };
}

static void read_set(struct golden_case *c, const char *s)
{
	const struct { const char *name; float *to; } floats[] = {
		{ "repetition_penalty", &c->p.repetition_penalty }, { "frequency_penalty", &c->p.frequency_penalty }, { "frequency_share", &c->p.frequency_share },
		{ "presence_penalty", &c->p.presence_penalty }, { "temperature", &c->p.temperature }, { "top_p", &c->p.top_p },
		{ "typical_p", &c->p.typical_p }, { "min_p", &c->p.min_p },
	};
	char name[32];
	double value;

	ck_assert_int_eq(sscanf(s, "%31s %lf", name, &value), 2);
	if (strcmp(name, "top_k") == 0) {
		c->p.top_k = (int32_t)value;
		return;
	}
	for (size_t i = 0; i < sizeof(floats) / sizeof(floats[0]); i++)
		if (strcmp(name, floats[i].name) == 0) {
			*floats[i].to = (float)value;
			return;
		}
	ck_abort_msg("%s: no parameter is called %s", c->name, name);
}

static void read_bias(struct golden_case *c, const char *s)
{
	struct sk_logit_bias *b = &c->bias[c->p.bias_len++];

	ck_assert_uint_le(c->p.bias_len, BIAS_MAX);
	ck_assert_int_eq(sscanf(s, "%d %f", &b->id, &b->bias), 2);
}

/* Who is left, by way of top_n_tokens: all of them, with their log-probabilities. */
static void compare(struct golden_case *c, char *s)
{
	struct sk_sample_alt top[V_MAX];
	struct sk_sample_in in = { .logits = c->logits, .V = c->V, .p = &c->p, .ids = c->ids, .ids_len = c->ids_len,
				   .prompt_len = c->prompt_len };
	struct sk_sample_out out = { .top = top, .top_max = V_MAX };
	void *scratch = malloc(sk_sample_scratch_bytes(c->V));
	double got[V_MAX] = { 0 }, sum = 0.0, want;
	uint32_t kept = 0;
	char *end;

	for (int32_t i = 1; i < c->V; i++)
		in.argmax = c->logits[i] > c->logits[in.argmax] ? i : in.argmax;
	in.max = c->logits[in.argmax];
	for (int32_t i = 0; i < c->V; i++)
		sum += exp((double)c->logits[i] - (double)in.max);
	in.logsumexp = (float)((double)in.max + log(sum));
	sk_sample(&in, &out, scratch);
	free(scratch);
	for (uint32_t i = 0; i < out.top_len; i++)
		got[top[i].id] = exp((double)top[i].logprob);
	for (;; s = end, kept++) {
		long id = strtol(s, &end, 10);

		if (end == s)
			break;
		want = strtod(end + 1, &end);
		ck_assert_msg(got[id] > 0.0, "%s: token %ld is cut, numpy keeps it", c->name, id);
		ck_assert_msg(fabs(got[id] - want) < 1e-6, "%s: token %ld: %.8f, numpy %.8f", c->name, id, got[id], want);
	}
	ck_assert_msg(kept == out.top_len, "%s: %u tokens are kept, numpy keeps %u", c->name, out.top_len, kept);
	ck_assert_msg(got[out.id] > 0.0 && fabs(exp((double)out.logprob) - got[out.id]) < 1e-6, "%s: token %d was drawn", c->name,
		      out.id);
}

START_TEST(every_rule_keeps_what_numpy_keeps_with_the_same_probabilities)
{
	FILE *f = fopen(GOLDEN_SRCDIR "/tests/golden/sampling.txt", "r");
	struct golden_case c = { .V = 0 };
	char line[8192];
	int cases = 0;

	ck_assert_ptr_nonnull(f);
	while (fgets(line, sizeof(line), f)) {
		line[strcspn(line, "\n")] = '\0';
		if (strncmp(line, "case ", 5) == 0) {
			memset(&c, 0, sizeof(c));
			snprintf(c.name, sizeof(c.name), "%s", line + 5);
		} else if (strncmp(line, "row ", 4) == 0) {
			read_row(&c, line + 4);
		} else if (strncmp(line, "set ", 4) == 0) {
			read_set(&c, line + 4);
		} else if (strncmp(line, "bias ", 5) == 0) {
			read_bias(&c, line + 5);
		} else if (strncmp(line, "kept ", 5) == 0) {
			compare(&c, line + 5);
			cases++;
		}
	}
	fclose(f);
	printf("test_sampling: %d cases\n", cases);
	ck_assert_int_gt(cases, 150);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("sampling");
	TCase *t = tcase_create("sampling");
	SRunner *r = srunner_create(s);
	int failed;

	tcase_add_test(t, every_rule_keeps_what_numpy_keeps_with_the_same_probabilities);
	tcase_set_timeout(t, 60);
	suite_add_tcase(s, t);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
