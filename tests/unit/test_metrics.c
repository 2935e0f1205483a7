/* SPDX-License-Identifier: Apache-2.0 */
/* Metrics: what is counted is what is written, in Prometheus' text format. (A real parser reads it in tests/front/watch.py.) */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fcgi/keys.h"
#include "fcgi/metrics.h"

#define LEN(array) (sizeof(array) / sizeof((array)[0]))

static struct sk_metrics *open_metrics(uint32_t input_max, uint32_t total_max)
{
	struct sk_metrics *m = NULL;
	struct sk_err err = { 0 };

	ck_assert_msg(sk_metrics_open(input_max, total_max, &m, &err) == SK_OK, "%s", err.text);
	return m;
}

/* Whether the exposition has this line, whole. */
static bool has(struct sk_buf *b, const char *line)
{
	const char *at = sk_buf_str(b);
	size_t len = strlen(line);

	while ((at = strstr(at, line))) {
		if ((at == b->data || at[-1] == '\n') && at[len] == '\n')
			return true;
		at++;
	}
	return false;
}

static void expect(const struct sk_metrics *m, const struct sk_keys *keys, const char *const *lines, size_t len)
{
	struct sk_buf b = SK_BUF(SK_METRICS_BYTES_MAX);

	sk_metrics_write(m, keys, "", &b);
	for (size_t i = 0; i < len; i++)
		ck_assert_msg(has(&b, lines[i]), "there is no line %s", lines[i]);
	sk_buf_fini(&b);
}

/* What is asked for by name comes, with its whole name, and nothing else. */
START_TEST(a_query_chooses_metrics)
{
	static const struct { const char *query, *has, *lacks; } rows[] = {
		{ "", "\ntgi_queue_size 0\n", "none of this" },
		{ "x=1&names=tgi_queue_size", "\ntgi_queue_size 0\n", "none of this" },
		{ "name=tgi_queue_size", "\ntgi_queue_size 0\n", "tgi_batch" },
		{ "name=saker_kv_blocks", "\nsaker_kv_blocks 0\n", "saker_kv_blocks_used" },
		{ "a&name=tgi_queue_size&name=saker_kv_blocks_used&&", "\nsaker_kv_blocks_used 0\n", "\nsaker_kv_blocks 0\n" },
		{ "name=tgi_queue", "", "tgi" },
		{ "name=", "", "tgi" },
	};
	struct sk_metrics *m = NULL;

	ck_assert_int_eq(sk_metrics_open(100, 200, &m, &(struct sk_err){ 0 }), SK_OK);
	for (size_t i = 0; i < LEN(rows); i++) {
		struct sk_buf b = SK_BUF(SK_METRICS_BYTES_MAX);

		sk_metrics_write(m, NULL, rows[i].query, &b);
		ck_assert_msg(strstr(sk_buf_str(&b), rows[i].has), "%s: %s is missing", rows[i].query, rows[i].has);
		ck_assert_msg(!strstr(sk_buf_str(&b), rows[i].lacks), "%s: %s is there", rows[i].query, rows[i].lacks);
		sk_buf_fini(&b);
	}
	sk_metrics_close(&m);
}
END_TEST

START_TEST(counters_and_gauges_are_lines)
{
	static const char *const lines[] = { "# TYPE tgi_request_count counter", "tgi_request_count 3",
		"# TYPE tgi_request_failure counter", "tgi_request_failure{err=\"overloaded\"} 0",
		"tgi_request_failure{err=\"validation\"} 2", "tgi_request_failure{err=\"unavailable\"} 1",
		"# TYPE saker_open_streams gauge", "saker_open_streams -1", "saker_kv_blocks_used 7",
		"# HELP tgi_batch_current_size sequences that run" };
	struct sk_metrics *m = open_metrics(100, 200);

	sk_metrics_add(m, SK_M_REQUESTS, 0, 1);
	sk_metrics_add(m, SK_M_REQUESTS, 0, 2);
	sk_metrics_add(m, SK_M_FAILURE, sk_metrics_label(SK_M_FAILURE, "validation"), 2);
	sk_metrics_add(m, SK_M_FAILURE, sk_metrics_label(SK_M_FAILURE, "what nobody knows"), 1);
	sk_metrics_add(m, SK_M_STREAMS, 0, 1);
	sk_metrics_add(m, SK_M_STREAMS, 0, -2);
	sk_metrics_set(m, SK_M_KV_USED, 0, 9);
	sk_metrics_set(m, SK_M_KV_USED, 0, 7);
	expect(m, NULL, lines, LEN(lines));
	ck_assert_int_eq(sk_metrics_get(m, SK_M_STREAMS, 0), -1);
	/* A name is not the beginning of another. */
	ck_assert_int_eq(sk_metrics_label(SK_M_FAILURE, "valid"), sk_metrics_label(SK_M_FAILURE, "unavailable"));
	sk_metrics_close(&m);
	sk_metrics_add(m, SK_M_REQUESTS, 0, 1);
	sk_metrics_observe(m, SK_M_DURATION, 0, 1);
	ck_assert_int_eq(sk_metrics_get(m, SK_M_REQUESTS, 0), 0);
}
END_TEST

static const struct { const char *name; enum sk_metric id; uint64_t values[4]; const char *lines[6]; } histograms[] = {
	{ "seconds, cumulated", SK_M_DURATION, { 150, 151, 1000000, 200000000 },
	  { "tgi_request_duration_bucket{le=\"0.00015\"} 1", "tgi_request_duration_bucket{le=\"0.000225\"} 2",
	    "tgi_request_duration_bucket{le=\"145.6109606\"} 3", "tgi_request_duration_bucket{le=\"+Inf\"} 4",
	    "tgi_request_duration_sum 201.000301", "tgi_request_duration_count 4" } },
	{ "a hundred steps up to the longest prompt", SK_M_INPUT_LENGTH, { 0, 10, 11, 1000 },
	  { "tgi_request_input_length_bucket{le=\"10\"} 2", "tgi_request_input_length_bucket{le=\"20\"} 3",
	    "tgi_request_input_length_bucket{le=\"990\"} 3", "tgi_request_input_length_bucket{le=\"1000\"} 4",
	    "tgi_request_input_length_sum 1021", "tgi_request_input_length_count 4" } },
	{ "steps that are no whole numbers, and what is beyond", SK_M_GENERATED, { 1, 2, 150, 151 },
	  { "tgi_request_generated_tokens_bucket{le=\"1.5\"} 1", "tgi_request_generated_tokens_bucket{le=\"3\"} 2",
	    "tgi_request_generated_tokens_bucket{le=\"150\"} 3", "tgi_request_generated_tokens_bucket{le=\"+Inf\"} 4",
	    "tgi_request_generated_tokens_sum 304", "tgi_request_generated_tokens_count 4" } },
	{ "one by one", SK_M_BATCH_NEXT, { 1, 2, 1024, 1025 },
	  { "tgi_batch_next_size_bucket{le=\"1\"} 1", "tgi_batch_next_size_bucket{le=\"2\"} 2",
	    "tgi_batch_next_size_bucket{le=\"1023\"} 2", "tgi_batch_next_size_bucket{le=\"1024\"} 3",
	    "tgi_batch_next_size_bucket{le=\"+Inf\"} 4", "tgi_batch_next_size_sum 2052" } },
	{ "sum and count alone", SK_M_SKIPPED, { 5, 0, 0, 1 },
	  { "# TYPE tgi_request_skipped_tokens summary", "tgi_request_skipped_tokens_sum 6", "tgi_request_skipped_tokens_count 4",
	    "tgi_request_skipped_tokens_count 4", "tgi_request_skipped_tokens_sum 6", "tgi_request_skipped_tokens_sum 6" } },
};

START_TEST(histograms_count_up_to_their_limits)
{
	struct sk_metrics *m = open_metrics(1000, 150);

	for (int i = 0; i < 4; i++)
		sk_metrics_observe(m, histograms[_i].id, 0, histograms[_i].values[i]);
	expect(m, NULL, histograms[_i].lines, 6);
	sk_metrics_close(&m);
}
END_TEST

START_TEST(a_label_of_any_bytes_stays_one)
{
	static const char *const lines[] = { "saker_build_info{a=\"x\\\"} y{\\\\\",b=\"1\\n2\",c=\"\xef\xbf\xbd\",d=\"\"} 1" };
	struct sk_metrics *m = open_metrics(1, 1);

	ck_assert_int_eq(sk_metrics_info(m, SK_M_BUILD, (const char *const[]){ "a", "x\"} y{\\", "b", "1\n2", "c", "\xff", "d", "",
									      NULL }), SK_OK);
	expect(m, NULL, lines, 1);
	sk_metrics_close(&m);
}
END_TEST

START_TEST(the_names_of_keys_are_labels_where_there_are_keys)
{
	static const char *const lines[] = { "saker_key_requests_total{key=\"api-key\"} 0", "saker_key_requests_total{key=\"bob\"} 4",
		"saker_key_generated_tokens_total{key=\"api-key\"} 9" };
	char path[] = "/tmp/saker-metrics-XXXXXX";
	struct sk_metrics *m = open_metrics(1, 1);
	struct sk_buf b = SK_BUF(SK_METRICS_BYTES_MAX);
	struct sk_keys *k = NULL;
	int fd = mkstemp(path);

	sk_metrics_write(m, NULL, "", &b);
	ck_assert_ptr_null(strstr(sk_buf_str(&b), "saker_key"));
	ck_assert(fd >= 0 && write(fd, "bob x\n", 6) == 6);
	ck_assert_int_eq(sk_keys_open("secret", path, &k, &(struct sk_err){ 0 }), SK_OK);
	sk_metrics_add(m, SK_M_KEY_REQUESTS, 1, 4);
	sk_metrics_add(m, SK_M_KEY_GENERATED, 0, 9);
	expect(m, k, lines, LEN(lines));
	close(fd);
	unlink(path);
	sk_keys_close(&k);
	sk_metrics_close(&m);
	sk_buf_fini(&b);
}
END_TEST

START_TEST(the_engines_numbers_are_copied)
{
	static const char *const lines[] = { "tgi_queue_size 2", "tgi_batch_current_size 3", "tgi_batch_current_max_tokens 64",
		"tgi_batch_max_total_tokens 160", "tgi_batch_next_size_bucket{le=\"1\"} 5", "tgi_batch_next_size_bucket{le=\"2\"} 6",
		"tgi_batch_next_size_bucket{le=\"+Inf\"} 7", "tgi_batch_next_size_count 7", "tgi_batch_next_size_sum 1032",
		"tgi_batch_concat{reason=\"chunking\"} 4", "tgi_batch_inference_count{method=\"decode\"} 11",
		"tgi_batch_inference_success{method=\"decode\"} 9", "tgi_batch_inference_failure{method=\"decode\"} 2",
		"tgi_batch_forward_duration_bucket{method=\"decode\",le=\"0.00015\"} 0",
		"tgi_batch_forward_duration_bucket{method=\"decode\",le=\"0.000225\"} 1",
		"tgi_batch_forward_duration_sum{method=\"decode\"} 0.000200", "tgi_batch_forward_duration_count{method=\"prefill\"} 0",
		"saker_state{state=\"ready\"} 1", "saker_state{state=\"loading\"} 0", "saker_kv_blocks_used 4",
		"saker_kv_blocks 10", "saker_preemptions_total 8", "saker_inter_token_seconds_count 1",
		"saker_queue_wait_seconds_sum 1.000000", "saker_load_total_bytes 6" };
	struct sk_stats stats = { .state = SK_STATE_READY, .waiting = 2, .running = 3, .blocks_free = 6, .blocks_total = 10,
				  .preemptions = 8, .load_done_bytes = 5, .load_total_bytes = 6 };
	struct sk_meters *meters = calloc(1, sizeof *meters);
	struct sk_metrics *m = open_metrics(1, 1);

	ck_assert_ptr_nonnull(meters);
	meters->joins[1] = 5;
	meters->joins[2] = 1;
	meters->joins[SK_JOINS_MAX + 1] = 1;
	meters->joined = 1032;
	meters->joined_others = 4;
	meters->step[SK_STEP_DECODE].count = 11;
	meters->step[SK_STEP_DECODE].failed = 2;
	sk_times_add(&meters->step[SK_STEP_DECODE].forward, 200);
	sk_times_add(&meters->token_gap, 1);
	sk_times_add(&meters->queue_wait, 1000000);
	sk_metrics_take_engine(m, &stats, meters, 16);
	expect(m, NULL, lines, LEN(lines));
	sk_metrics_close(&m);
	free(meters);
}
END_TEST

START_TEST(every_metric_has_words_and_all_of_them_an_end)
{
	static char text[SK_KEYS_MAX * 128];
	char path[] = "/tmp/saker-metrics-XXXXXX";
	struct sk_metrics *m = open_metrics(UINT32_MAX, UINT32_MAX);
	struct sk_buf b = SK_BUF(SK_METRICS_BYTES_MAX);
	struct sk_keys *k = NULL;
	int fd = mkstemp(path), len = 0, helps = 0;

	for (int i = 0; i < SK_KEYS_MAX; i++)
		len += snprintf(text + len, sizeof text - (size_t)len, "%064d key%d\n", i, i);
	ck_assert(fd >= 0 && write(fd, text, (size_t)len) == len);
	ck_assert_int_eq(sk_keys_open("", path, &k, &(struct sk_err){ 0 }), SK_OK);
	for (int i = 0; i < SK_KEYS_MAX; i++)
		for (int id = SK_M_KEY_REQUESTS; id <= SK_M_KEY_GENERATED; id++)
			sk_metrics_set(m, (enum sk_metric)id, i, INT64_MIN);
	sk_metrics_write(m, k, "", &b);
	ck_assert_int_eq(b.failed, SK_OK);
	for (const char *at = sk_buf_str(&b); (at = strstr(at, "# HELP ")); at++) {
		helps++;
		ck_assert_ptr_nonnull(strchr(strchr(at + 7, ' '), '\n'));
		ck_assert(strchr(at + 7, ' ')[1] != '\n');
	}
	ck_assert_int_eq(helps, SK_METRICS);
	close(fd);
	unlink(path);
	sk_keys_close(&k);
	sk_metrics_close(&m);
	sk_buf_fini(&b);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("metrics");
	TCase *c = tcase_create("metrics");
	SRunner *r;
	int failed;

	tcase_add_test(c, counters_and_gauges_are_lines);
	tcase_add_test(c, a_query_chooses_metrics);
	tcase_add_loop_test(c, histograms_count_up_to_their_limits, 0, LEN(histograms));
	tcase_add_test(c, a_label_of_any_bytes_stays_one);
	tcase_add_test(c, the_names_of_keys_are_labels_where_there_are_keys);
	tcase_add_test(c, the_engines_numbers_are_copied);
	tcase_add_test(c, every_metric_has_words_and_all_of_them_an_end);
	suite_add_tcase(s, c);
	r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
