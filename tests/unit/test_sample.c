/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The sampler against a naive one: double arithmetic, full sorts, TGI's rules word for word.
 *
 * A row whose cut depends on less than 1e-5 of mass or 1e-6 of a score is left out: there float32 and double may differ.
 * The test counts those, and they must be few.
 */
#include <check.h>
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/rand.h"
#include "engine/sample/sample.h"

enum { V_MAX = 49152, HISTORY = 40, TOP_MAX = 64 };

/* ---- chance ---- */

static uint64_t chance_at;

static double uniform(void)
{
	return sk_rand_uniform(20261123, 7, (uint32_t)chance_at++);
}

static double normal(void)
{
	return sqrt(-2.0 * log(uniform())) * cos(6.283185307179586 * uniform());
}

/* ---- the naive sampler ---- */

struct naive { int32_t V, kept; double *score, *p; int32_t *order; double mass; bool unsure; };
static const double *sort_by;

static int ascending(const void *a, const void *b)
{
	int32_t i = *(const int32_t *)a, j = *(const int32_t *)b;

	if (sort_by[i] != sort_by[j])
		return sort_by[i] < sort_by[j] ? -1 : 1;
	return i > j ? -1 : 1;          /* of equals the higher id comes first, and so is dropped first */
}

static void naive_sort(struct naive *n, const double *by)
{
	sort_by = by;
	for (int32_t i = 0; i < n->V; i++)
		n->order[i] = i;
	qsort(n->order, (size_t)n->V, sizeof(*n->order), ascending);
}

static void naive_softmax(struct naive *n)
{
	double max = -INFINITY, sum = 0.0;

	for (int32_t i = 0; i < n->V; i++)
		max = n->score[i] > max ? n->score[i] : max;
	for (int32_t i = 0; i < n->V; i++)
		sum += n->p[i] = exp(n->score[i] - max);
	for (int32_t i = 0; i < n->V; i++)
		n->p[i] /= sum;
}

static void naive_run(struct naive *n, const struct sk_sample_in *in)
{
	const struct sk_sample_params *p = in->p;
	double *dev = calloc((size_t)in->V, sizeof(*dev));
	int32_t *seen = calloc((size_t)in->V, sizeof(*seen));
	bool penalised = p->repetition_penalty != 1.0f || p->frequency_penalty != 0.0f || p->presence_penalty != 0.0f ||
			 p->frequency_share != 0.0f || p->bias_len > 0;

	n->V = in->V;
	n->unsure = false;
	for (int32_t i = 0; i < n->V; i++)
		n->score[i] = in->logits[i];
	for (size_t i = 0; i < p->bias_len; i++)
		if (p->bias[i].id < n->V)
			n->score[p->bias[i].id] += (double)p->bias[i].bias;
	for (int32_t i = 0; i < in->ids_len; i++)
		if (seen[in->ids[i]]++ == 0)
			n->score[in->ids[i]] *= n->score[in->ids[i]] < 0 ? (double)p->repetition_penalty :
									   1.0 / (double)p->repetition_penalty;
	memset(seen, 0, (size_t)in->V * sizeof(*seen));
	for (int32_t i = in->prompt_len; i < in->ids_len; i++)
		n->score[in->ids[i]] -= (double)p->frequency_penalty + (seen[in->ids[i]]++ ? 0.0 : (double)p->presence_penalty);
	for (int32_t i = 0; i < in->ids_len; i++)
		n->score[in->ids[i]] -= (double)p->frequency_share / in->ids_len;
	for (int32_t i = 0; p->draw && i < n->V; i++)
		n->score[i] /= (double)p->temperature;
	if (p->draw && p->top_k > 0 && p->top_k < n->V) {
		naive_sort(n, n->score);
		double kth = n->score[n->order[n->V - p->top_k]];

		for (int32_t i = 0; i < n->V; i++) {
			n->unsure |= n->score[i] != kth && fabs(n->score[i] - kth) < 1e-6;
			if (n->score[i] < kth)
				n->score[i] = -INFINITY;
		}
	}
	if (p->draw && p->top_p < 1.0f) {
		double sum = 0.0;

		naive_softmax(n);
		naive_sort(n, n->score);        /* the order stays right while scores are cut from its front */
		for (int32_t i = 0; i < n->V - 1; i++) {
			sum += n->p[n->order[i]];
			n->unsure |= fabs(sum - (1.0 - (double)p->top_p)) < 1e-5 && n->p[n->order[i + 1]] > 0;
			if (sum > 1.0 - (double)p->top_p)
				continue;
			/* Which of two equals goes may depend on how a penalty was rounded. */
			if (sum + n->p[n->order[i + 1]] > 1.0 - (double)p->top_p &&
			    n->score[n->order[i + 1]] - n->score[n->order[i]] < 1e-6)
				n->unsure |= penalised || n->score[n->order[i + 1]] != n->score[n->order[i]];
			n->score[n->order[i]] = -INFINITY;
		}
	}
	if (p->draw && p->typical_p < 1.0f) {
		double H = 0.0, sum = 0.0, limit = INFINITY;

		naive_softmax(n);
		for (int32_t i = 0; i < n->V; i++)
			H -= n->p[i] > 0 ? n->p[i] * log(n->p[i]) : 0;
		for (int32_t i = 0; i < n->V; i++)
			dev[i] = fabs(-log(n->p[i]) - H);
		naive_sort(n, dev);
		for (int32_t i = 0; i < n->V && limit == INFINITY; i++) {
			sum += n->p[n->order[i]];
			n->unsure |= fabs(sum - (double)p->typical_p) < 1e-5;
			if (sum >= (double)p->typical_p)
				limit = dev[n->order[i]];
		}
		for (int32_t i = 0; i < n->V; i++) {
			/* At the limit equals stay; a tie of true equals has a rounding error of its own in double too. */
			n->unsure |= dev[i] != limit && fabs(dev[i] - limit) < 1e-6;
			if (dev[i] > limit)
				n->score[i] = -INFINITY;
		}
	}
	if (p->draw && p->min_p > 0.0f) {
		double most = 0.0;

		naive_softmax(n);
		for (int32_t i = 0; i < n->V; i++)
			most = n->p[i] > most ? n->p[i] : most;
		for (int32_t i = 0; i < n->V; i++) {
			double share = n->p[i] / most;

			n->unsure |= fabs(share - (double)p->min_p) < 1e-6 && share != 1.0;
			if (share < (double)p->min_p)
				n->score[i] = -INFINITY;
		}
	}
	naive_softmax(n);
	n->kept = 0;
	for (int32_t i = 0; i < n->V; i++)
		n->kept += n->score[i] > -INFINITY;
	free(dev);
	free(seen);
}

/* ---- rows and rules to try ---- */

static const struct { const char *name; double scale, step; bool holes; } shapes[] = {
	{ "gentle",             1.0, 0.0, false },
	{ "like a model's",     3.0, 0.0, false },
	{ "one towers",         30.0, 0.0, false },
	{ "many ties",          2.0, 0.5, false },
	{ "all equal",          0.0, 1.0, false },
	{ "with -infinities",   3.0, 0.0, true },
};

static const struct sk_logit_bias biases[] = { { 0, 3.5f }, { 16, -100 }, { 60, 0.25f }, { 4000, 100 }, { 1 << 30, 5 } };

static const struct { const char *name; struct sk_sample_params p; } rules[] = {
	{ "greedy",             { .temperature = 1, .repetition_penalty = 1, .top_p = 1, .typical_p = 1 } },
	{ "greedy, top 5",      { .temperature = 1, .repetition_penalty = 1, .top_p = 1, .typical_p = 1, .top_n = 5 } },
	{ "greedy, penalised",  { .temperature = 1, .repetition_penalty = 1.3f, .top_p = 1, .typical_p = 1, .top_n = 3 } },
	{ "greedy, frequency",  { .temperature = 1, .repetition_penalty = 1, .frequency_penalty = 0.7f, .top_p = 1,
				  .typical_p = 1 } },
	{ "greedy, share",      { .temperature = 1, .repetition_penalty = 1, .frequency_share = 2, .top_p = 1, .typical_p = 1,
				  .top_n = 3 } },
	{ "greedy, presence",   { .temperature = 1, .repetition_penalty = 1, .presence_penalty = 1.1f, .top_p = 1,
				  .typical_p = 1, .top_n = 2 } },
	{ "greedy, biased",     { .temperature = 1, .repetition_penalty = 1, .bias = biases, .bias_len = 5, .top_p = 1,
				  .typical_p = 1, .top_n = 2 } },
	{ "pure draw",          { .draw = true, .temperature = 1, .repetition_penalty = 1, .top_p = 1, .typical_p = 1 } },
	{ "warm",               { .draw = true, .temperature = 1.7f, .repetition_penalty = 1, .top_p = 1, .typical_p = 1,
				  .top_n = 2 } },
	{ "cold",               { .draw = true, .temperature = 0.1f, .repetition_penalty = 1, .top_p = 1, .typical_p = 1 } },
	{ "top-k 1",            { .draw = true, .temperature = 1, .repetition_penalty = 1, .top_k = 1, .top_p = 1,
				  .typical_p = 1, .top_n = 5 } },
	{ "top-k 50",           { .draw = true, .temperature = 0.8f, .repetition_penalty = 1, .top_k = 50, .top_p = 1,
				  .typical_p = 1, .top_n = 4 } },
	{ "top-k 700",          { .draw = true, .temperature = 0.8f, .repetition_penalty = 1, .top_k = 700, .top_p = 1,
				  .typical_p = 1 } },
	{ "top-p .95",          { .draw = true, .temperature = 1, .repetition_penalty = 1, .top_p = 0.95f, .typical_p = 1 } },
	{ "top-p .3, warm",     { .draw = true, .temperature = 2, .repetition_penalty = 1, .top_p = 0.3f, .typical_p = 1,
				  .top_n = 5 } },
	{ "top-p .9999",        { .draw = true, .temperature = 1, .repetition_penalty = 1, .top_p = 0.9999f, .typical_p = 1 } },
	{ "typical .9",         { .draw = true, .temperature = 1, .repetition_penalty = 1, .top_p = 1, .typical_p = 0.9f } },
	{ "typical .2",         { .draw = true, .temperature = 1.2f, .repetition_penalty = 1, .top_p = 1, .typical_p = 0.2f,
				  .top_n = 3 } },
	{ "min-p .1",           { .draw = true, .temperature = 1, .repetition_penalty = 1, .top_p = 1, .typical_p = 1,
				  .min_p = 0.1f, .top_n = 3 } },
	{ "typical and min-p",  { .draw = true, .temperature = 1.5f, .repetition_penalty = 1, .top_p = 1, .typical_p = 0.4f,
				  .min_p = 0.5f } },
	{ "all of them",        { .draw = true, .temperature = 0.9f, .repetition_penalty = 1.2f, .frequency_penalty = -0.4f,
				  .frequency_share = 1.7f, .presence_penalty = 0.3f, .bias = biases, .bias_len = 4,
				  .top_k = 60, .top_p = 0.9f, .typical_p = 0.95f, .min_p = 0.05f, .top_n = 5 } },
	{ "penalties and top-p", { .draw = true, .temperature = 1.1f, .repetition_penalty = 0.8f, .frequency_penalty = 1.5f,
				  .top_p = 0.8f, .typical_p = 1, .top_n = 1 } },
};
#define LEN(a) (sizeof(a) / sizeof((a)[0]))

static const int32_t widths[] = { 1, 2, 17, 100, 1031, 5000, V_MAX };

static float logits[V_MAX];
static double score[V_MAX], prob[V_MAX];
static int32_t order[V_MAX], history[HISTORY];

static void row_draw(int32_t V, size_t shape)
{
	for (int32_t i = 0; i < V; i++) {
		double x = normal() * shapes[shape].scale;

		if (shapes[shape].step > 0)
			x = round(x / shapes[shape].step) * shapes[shape].step;
		logits[i] = shapes[shape].holes && uniform() < 0.5 && i != V / 2 ? -INFINITY : (float)x;
	}
	for (int i = 0; i < HISTORY; i++)
		history[i] = (int32_t)(uniform() * uniform() * V);
}

static void stats(struct sk_sample_in *in)
{
	double sum = 0.0;

	in->argmax = 0;
	for (int32_t i = 1; i < in->V; i++)
		if (in->logits[i] > in->logits[in->argmax])
			in->argmax = i;
	in->max = in->logits[in->argmax];
	for (int32_t i = 0; i < in->V; i++)
		sum += exp((double)in->logits[i] - in->max);
	in->logsumexp = (float)(in->max + log(sum));
}

static void compare(const struct sk_sample_in *in, const struct sk_sample_out *out, struct naive *n, const char *words)
{
	double tolerance = 2e-5, cum = 0.0, u = sk_rand_uniform(in->p->seed, in->seq, in->index), before;
	int32_t id = out->id;

	ck_assert_msg(id >= 0 && id < n->V && n->score[id] > -INFINITY, "%s: chose %d, which was cut", words, (int)id);
	ck_assert_msg(fabs(out->logprob - log(n->p[id])) < tolerance, "%s: log p(%d) %.7f, naive %.7f", words, (int)id,
		      (double)out->logprob, log(n->p[id]));
	if (in->p->draw) {
		for (int32_t i = 0; i < id; i++)
			cum += n->p[i];
		before = cum;
		ck_assert_msg(u > before - tolerance && u < before + n->p[id] + tolerance,
			      "%s: %.7f drew %d, which is [%.7f, %.7f)", words, u, (int)id, before, before + n->p[id]);
	} else {
		for (int32_t i = 0; i < n->V; i++)
			if (!(n->score[i] <= n->score[id] + 1e-5))      /* an assertion each is slow */
				ck_abort_msg("%s: %d is likelier than %d", words, (int)i, (int)id);
	}
	if (in->p->top_n == 0)
		return;
	/* Every alternative: right probability, right order; nobody likelier left out; ties of the last one in. */
	naive_sort(n, n->score);
	double nth = n->score[n->order[(int32_t)in->p->top_n < n->V ? n->V - (int32_t)in->p->top_n : 0]];
	uint32_t want = 0, near = 0;

	for (int32_t i = 0; i < n->V; i++) {
		want += n->score[i] > -INFINITY && n->score[i] >= nth;
		near += n->score[i] > -INFINITY && n->score[i] != nth && fabs(n->score[i] - nth) < 1e-5;
	}
	if (near == 0)
		ck_assert_msg(out->top_len == (want < out->top_max ? want : out->top_max), "%s: %u alternatives, naive %u", words,
			      out->top_len, want);
	for (uint32_t i = 0; i < out->top_len; i++) {
		ck_assert_msg(fabs(out->top[i].logprob - log(n->p[out->top[i].id])) < tolerance, "%s: alternative %u", words, i);
		ck_assert(i == 0 || out->top[i - 1].logprob > out->top[i].logprob ||
			  (out->top[i - 1].logprob == out->top[i].logprob && out->top[i - 1].id != out->top[i].id));
	}
}

START_TEST(test_the_sampler_agrees_with_a_naive_one_on_many_rows)
{
	struct sk_sample_alt top[TOP_MAX];
	void *scratch = malloc(sk_sample_scratch_bytes(V_MAX));
	struct naive n = { .score = score, .p = prob, .order = order };
	int rows = 0, unsure = 0;
	char words[160];

	for (size_t w = 0; w < LEN(widths); w++) {
		for (size_t s = 0; s < LEN(shapes); s++) {
			int again = widths[w] > 5000 ? 1 : widths[w] > 1000 ? 2 : 12;

			for (size_t k = 0; k < LEN(rules) * (size_t)again; k++) {
				struct sk_sample_params p = rules[k % LEN(rules)].p;
				struct sk_sample_in in = { .logits = logits, .V = widths[w], .p = &p, .ids = history,
							   .ids_len = HISTORY, .prompt_len = HISTORY / 2, .seq = 1,
							   .index = (uint32_t)rows };
				struct sk_sample_out out = { .top = top, .top_max = TOP_MAX };

				p.seed = (uint64_t)rows * 77;
				row_draw(in.V, s);
				stats(&in);
				snprintf(words, sizeof(words), "%d scores, %s, %s, row %d", (int)in.V, shapes[s].name,
					 rules[k % LEN(rules)].name, rows);
				memset(scratch, 0xa5, 4096);
				sk_sample(&in, &out, scratch);
				naive_run(&n, &in);
				rows++;
				if (n.unsure && p.draw)
					unsure++;
				else
					compare(&in, &out, &n, words);
			}
		}
	}
	printf("test_sample: %d rows, %d too close to call\n", rows, unsure);
	ck_assert_int_lt(unsure, rows / 5);
	free(scratch);
}
END_TEST

START_TEST(test_a_row_that_holds_no_numbers_is_seen_by_its_log_probability)
{
	float row[4] = { 0, NAN, 1, 2 };
	struct sk_sample_params p = { .temperature = 1, .repetition_penalty = 1, .top_p = 1, .typical_p = 1, .top_n = 2 };
	struct sk_sample_in in = { .logits = row, .V = 4, .p = &p, .max = 2, .logsumexp = NAN, .argmax = 3 };
	struct sk_sample_alt top[4];
	struct sk_sample_out out = { .top = top, .top_max = 4 };
	void *scratch = malloc(sk_sample_scratch_bytes(4));

	sk_sample(&in, &out, scratch);
	ck_assert(isnan(out.logprob));
	ck_assert_uint_eq(out.top_len, 0);
	free(scratch);
}
END_TEST

static const struct { const char *name; float temperature, repetition, frequency; } extremes[] = {
	{ "a temperature near 0",               1e-38f, 1, 0 },
	{ "a temperature near infinity",        3e38f, 1, 0 },
	{ "a repetition penalty near 0",        1, 1e-38f, 0 },
	{ "a repetition penalty near infinity", 1, 3e38f, 0 },
	{ "a frequency penalty beyond reason",  1, 1, 3e38f },
};

START_TEST(test_extreme_parameters_give_a_number)
{
	void *scratch = malloc(sk_sample_scratch_bytes(1000));

	for (size_t i = 0; i < LEN(extremes); i++) {
		for (int cut = 0; cut < 4; cut++) {
			struct sk_sample_params p = { .draw = true, .temperature = extremes[i].temperature,
						      .repetition_penalty = extremes[i].repetition,
						      .frequency_penalty = extremes[i].frequency,
						      .top_k = cut == 1 ? 5 : 0, .top_p = cut == 2 ? 0.5f : 1,
						      .typical_p = cut == 3 ? 0.5f : 1 };
			struct sk_sample_in in = { .logits = logits, .V = 1000, .p = &p, .ids = history,
						   .ids_len = HISTORY, .prompt_len = 3 };
			struct sk_sample_out out = { 0 };

			row_draw(1000, 1);
			stats(&in);
			sk_sample(&in, &out, scratch);
			ck_assert_msg(isfinite(out.logprob) && out.logprob <= 0.0f && out.id >= 0 && out.id < 1000, "%s, cut %d: %g",
				      extremes[i].name, cut, (double)out.logprob);
		}
	}
	free(scratch);
}
END_TEST

/* One token is left, so its probability is 1: rounding on the way there must not show it as more. */
START_TEST(test_no_log_probability_is_above_zero)
{
	void *scratch = malloc(sk_sample_scratch_bytes(1000));
	struct sk_sample_alt top[TOP_MAX];

	for (int round = 0; round < 2000; round++) {
		struct sk_sample_params p = { .draw = true, .temperature = 0.3f + 0.01f * (float)(round % 100), .repetition_penalty = 1,
					      .top_p = round % 3 == 1 ? 1e-38f : 1, .typical_p = round % 3 == 0 ? 1e-38f : 1,
					      .top_k = round % 3 == 2 ? 1 : 0, .top_n = 3 };
		struct sk_sample_in in = { .logits = logits, .V = 1000, .p = &p };
		struct sk_sample_out out = { .top = top, .top_max = TOP_MAX };

		row_draw(1000, (size_t)(round % 4));
		stats(&in);
		sk_sample(&in, &out, scratch);
		ck_assert_msg(out.logprob <= 0.0f, "round %d: %g", round, (double)out.logprob);
		for (uint32_t i = 0; i < out.top_len; i++)
			ck_assert_msg(top[i].logprob <= 0.0f, "round %d, likeliest %u: %g", round, i, (double)top[i].logprob);
	}
	free(scratch);
}
END_TEST

START_TEST(test_draws_follow_the_distribution)
{
	float row[4] = { 0.0f, 0.6931472f, 1.0986123f, 1.3862944f };    /* probabilities .1 .2 .3 .4 */
	struct sk_sample_params p = { .draw = true, .temperature = 1, .repetition_penalty = 1, .top_p = 1, .typical_p = 1 };
	struct sk_sample_in in = { .logits = row, .V = 4, .p = &p };
	struct sk_sample_out out = { 0 };
	void *scratch = malloc(sk_sample_scratch_bytes(4));
	int count[4] = { 0 }, draws = 100000;

	stats(&in);
	for (int i = 0; i < draws; i++) {
		in.index = (uint32_t)i;
		sk_sample(&in, &out, scratch);
		count[out.id]++;
	}
	/* Five standard deviations of a binomial count are at most 775. */
	for (int i = 0; i < 4; i++)
		ck_assert_int_lt(abs(count[i] - draws * (i + 1) / 10), 775);
	free(scratch);
}
END_TEST

/* The value that chi-squared with so many degrees of freedom exceeds once in 10,000 times (Wilson and Hilferty). */
static double chi_limit(int degrees)
{
	double v = 2.0 / (9.0 * degrees), w = 1.0 - v + 3.719 * sqrt(v);

	return degrees * w * w * w;
}

/* Many tokens, each rule at work, fixed seeds: counts against the probabilities of the naive sampler. */
START_TEST(test_a_hundred_thousand_draws_pass_the_chi_squared_test)
{
	enum { V = 60, DRAWS = 100000 };
	struct naive n = { .score = score, .p = prob, .order = order };
	struct sk_sample_params p = rules[_i].p;
	struct sk_sample_in in = { .logits = logits, .V = V, .p = &p, .ids = history, .ids_len = HISTORY,
				   .prompt_len = HISTORY / 2, .seq = 3 };
	struct sk_sample_out out = { 0 };
	void *scratch = malloc(sk_sample_scratch_bytes(V));
	double chi = 0.0, rest = 0.0;
	int count[V] = { 0 }, rest_count = 0, degrees = -1;

	chance_at = 1000;
	row_draw(V, 0);
	stats(&in);
	p.top_n = 0;
	p.draw = true;
	naive_run(&n, &in);
	ck_assert(!n.unsure);
	for (int i = 0; i < DRAWS; i++) {
		in.index = (uint32_t)i % 1000;
		p.seed = 77 + (uint64_t)i / 1000;
		sk_sample(&in, &out, scratch);
		count[out.id]++;
	}
	for (int32_t i = 0; i < V; i++) {
		double want = DRAWS * n.p[i];

		ck_assert_msg(n.p[i] > 0.0 || count[i] == 0, "%s: %d was cut, and drawn", rules[_i].name, (int)i);
		/* Those that come rarely go together: the test wants five of each at least. */
		if (want < 5.0) {
			rest += want;
			rest_count += count[i];
			continue;
		}
		chi += (count[i] - want) * (count[i] - want) / want;
		degrees++;
	}
	if (rest >= 5.0) {
		chi += (rest_count - rest) * (rest_count - rest) / rest;
		degrees++;
	}
	ck_assert_msg(degrees <= 0 || chi < chi_limit(degrees), "%s: chi-squared %.1f with %d degrees, the limit is %.1f",
		      rules[_i].name, chi, degrees, chi_limit(degrees));
	free(scratch);
}
END_TEST

int main(int argc, char **argv)
{
	Suite *s = suite_create("sample");
	TCase *c = tcase_create("sample");
	SRunner *r;
	int failed;

	tcase_set_timeout(c, 300);
	tcase_add_test(c, test_the_sampler_agrees_with_a_naive_one_on_many_rows);
	tcase_add_test(c, test_a_row_that_holds_no_numbers_is_seen_by_its_log_probability);
	tcase_add_test(c, test_extreme_parameters_give_a_number);
	tcase_add_test(c, test_no_log_probability_is_above_zero);
	tcase_add_test(c, test_draws_follow_the_distribution);
	tcase_add_loop_test(c, test_a_hundred_thousand_draws_pass_the_chi_squared_test, 0, (int)LEN(rules));
	suite_add_tcase(s, c);
	r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}
