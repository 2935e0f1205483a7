/* SPDX-License-Identifier: Apache-2.0 */
/* saker top without a server: places, answers, Prometheus' text, and what is shown of them. */
#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "fcgi/ask.h"
#include "fcgi/scrape.h"
#include "fcgi/top_view.h"

#define LEN(table) (sizeof(table) / sizeof *(table))

static const struct { const char *words, *host, *port, *prefix; } places[] = {
	{ "http://127.0.0.1:8080", "127.0.0.1", "8080", "" },
	{ "http://a.example/llm/", "a.example", "80", "/llm" },
	{ "localhost:81/a/b", "localhost", "81", "/a/b" },
	{ "HTTP://[::1]:8080/", "::1", "8080", "" },
	{ "[::1]", "::1", "80", "" },
	{ "unix:/run/saker/saker.sock", "", "", "" },
	{ "https://a.example", NULL, NULL, NULL },
	{ "", NULL, NULL, NULL },
	{ "http://", NULL, NULL, NULL },
	{ "http://:80", NULL, NULL, NULL },
	{ "a:0", NULL, NULL, NULL },
	{ "a:65536", NULL, NULL, NULL },
	{ "a:8x", NULL, NULL, NULL },
	{ "a:", NULL, NULL, NULL },
	{ "[::1", NULL, NULL, NULL },
	{ "a b", NULL, NULL, NULL },
	{ "http://user@a.example", NULL, NULL, NULL },
	{ "a/b?c", NULL, NULL, NULL },
	{ "unix:", NULL, NULL, NULL },
	{ "unix:/012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890", NULL, NULL, NULL },
};

START_TEST(a_place_is_read_or_named)
{
	struct sk_place p;
	struct sk_err err = { 0 };
	sk_status st = sk_place_read(places[_i].words, &p, &err);

	if (!places[_i].host) {
		ck_assert_int_eq(st, SK_EINVAL);
		ck_assert_ptr_nonnull(strstr(err.text, places[_i].words));
		return;
	}
	ck_assert_msg(st == SK_OK, "%s: %s", places[_i].words, err.text);
	ck_assert_str_eq(p.host, places[_i].host);
	ck_assert_str_eq(p.port, places[_i].port);
	ck_assert_str_eq(p.prefix, places[_i].prefix);
	ck_assert_int_eq(p.is_socket, !places[_i].host[0]);
}
END_TEST

static const struct { const char *text; sk_status st; int status; const char *body; } answers[] = {
	{ "HTTP/1.1 200 OK\r\nA: b\r\n\r\nbody", SK_OK, 200, "body" },
	{ "Status: 503 Service Unavailable\r\n\r\n", SK_OK, 503, "" },
	{ "HTTP/1.0 404\r\n\r\n\r\n\r\n", SK_OK, 404, "\r\n\r\n" },
	{ "HTTP/1.1 200 OK\r\nA: b\r\n", SK_EFORMAT, 0, NULL },
	{ "HTTP/2 200\r\n\r\n", SK_EFORMAT, 0, NULL },
	{ "HTTP/1.1 2000\r\n\r\n", SK_EFORMAT, 0, NULL },
	{ "SSH-2.0\r\n\r\n", SK_EFORMAT, 0, NULL },
	{ "", SK_EFORMAT, 0, NULL },
};

START_TEST(an_answer_has_a_status_and_a_body)
{
	struct sk_buf b = SK_BUF(1000);
	int status = 0;

	sk_buf_adds(&b, answers[_i].text);
	ck_assert_int_eq(sk_ask_read_http(&b, &status, &(struct sk_err){ 0 }), answers[_i].st);
	if (answers[_i].body) {
		ck_assert_int_eq(status, answers[_i].status);
		ck_assert_str_eq(sk_buf_str(&b), answers[_i].body);
	}
	sk_buf_fini(&b);
}
END_TEST

/* STDOUT in two records with padding, a STDERR between them, and END_REQUEST; then something behind the end. */
START_TEST(records_become_what_they_carry)
{
	static const char whole[] = "\1\6\0\1\0\2\1\0ab.\1\7\0\1\0\1\0\0x\1\6\0\1\0\1\0\0c\1\3\0\1\0\10\0\0........" "\1\6\0\1\0\1\0\0d";
	bool ended;

	for (size_t len = 0; len < sizeof whole - 1; len++) {
		struct sk_buf b = SK_BUF(1000);

		sk_buf_add(&b, whole, len);
		ck_assert_int_eq(sk_ask_read_records(&b, &ended, &(struct sk_err){ 0 }), SK_OK);
		ck_assert_int_eq(ended, len >= 45);
		ck_assert_str_eq(sk_buf_str(&b), len >= 29 ? "abc" : len >= 11 ? "ab" : "");
		sk_buf_fini(&b);
	}
}
END_TEST

static const struct { const char *text; size_t len; } texts[] = {
	{ "", 0 }, { "# HELP a b\n\n", 0 }, { "a 1\n", 1 }, { "a 1", 1 }, { "a{b=\"}\\\"\"} 2.5 1234\na +Inf\na NaN\n", 3 },
	{ "a", SIZE_MAX }, { "a\n", SIZE_MAX }, { "a x\n", SIZE_MAX }, { "a{b=\"} 1\n", SIZE_MAX }, { " 1\n", SIZE_MAX }, { "a{} 1\nb 1x\n", SIZE_MAX },
};

START_TEST(samples_are_read_or_the_line_is_named)
{
	struct sk_scrape s = { 0 };
	struct sk_err err = { 0 };
	sk_status st = sk_scrape_read(texts[_i].text, strlen(texts[_i].text), &s, &err);

	ck_assert_int_eq(st, texts[_i].len == SIZE_MAX ? SK_EFORMAT : SK_OK);
	ck_assert(st == SK_OK ? s.len == texts[_i].len : strstr(err.text, "line ") != NULL);
	sk_scrape_fini(&s);
}
END_TEST

static struct sk_scrape scrape(const char *text)
{
	struct sk_scrape s = { 0 };

	ck_assert_int_eq(sk_scrape_read(text, strlen(text), &s, &(struct sk_err){ 0 }), SK_OK);
	return s;
}

/* 4 observations: 2 up to 1, 2 more up to 3; before that 2 up to 1. */
START_TEST(quantiles_lie_inside_their_bucket)
{
	struct sk_scrape now = scrape("h_bucket{le=\"1\"} 2\nh_bucket{le=\"3\"} 4\nh_bucket{le=\"+Inf\"} 4\nh_sum 1\nh_count 4\n");
	struct sk_scrape before = scrape("h_bucket{le=\"1\"} 2\nh_bucket{le=\"3\"} 2\nh_bucket{le=\"+Inf\"} 2\nh_sum 1\nh_count 2\n");
	struct sk_scrape far = scrape("h_bucket{le=\"1\"} 0\nh_bucket{le=\"+Inf\"} 2\nh_count 2\n");

	ck_assert_double_eq_tol(sk_scrape_quantile(&now, NULL, "h", 0.5), 1, 1e-9);
	ck_assert_double_eq_tol(sk_scrape_quantile(&now, NULL, "h", 0.25), 0.5, 1e-9);
	ck_assert_double_eq_tol(sk_scrape_quantile(&now, NULL, "h", 0.75), 2, 1e-9);
	ck_assert_double_eq_tol(sk_scrape_quantile(&now, &before, "h", 0.5), 2, 1e-9);
	ck_assert_double_eq_tol(sk_scrape_quantile(&far, NULL, "h", 0.5), 1, 1e-9);
	ck_assert(isnan(sk_scrape_quantile(&now, &now, "h", 0.5)));
	ck_assert(isnan(sk_scrape_quantile(&now, NULL, "other", 0.5)));
	sk_scrape_fini(&now);
	sk_scrape_fini(&before);
	sk_scrape_fini(&far);
}
END_TEST

static const char first[] = "saker_start_time_seconds 5\nsaker_generated_tokens_total 100\nsaker_key_generated_tokens_total{key=\"a\"} 10\n"
	"saker_key_generated_tokens_total{key=\"b\"} 0\nsaker_key_requests_total{key=\"a\"} 1\nsaker_key_requests_total{key=\"b\"} 1\n";
static const char second[] = "saker_build_info{version=\"1\",model=\"\x1b[2J\xc3\xa9\",backend=\"cpu\"} 1\nsaker_state{state=\"loading\"} 0\n"
	"saker_state{state=\"ready\"} 1\nsaker_start_time_seconds 5\nsaker_generated_tokens_total 140\n"
	"saker_key_generated_tokens_total{key=\"a\"} 20\nsaker_key_generated_tokens_total{key=\"b\"} 30\n"
	"saker_key_requests_total{key=\"a\"} 1\nsaker_key_requests_total{key=\"b\"} 3\n";
static const char restarted[] = "saker_start_time_seconds 9\nsaker_generated_tokens_total 3\n";

/* b has two requests that run and have made 10 and 5 tokens: the counters know them when they end. */
START_TEST(rates_and_shares_are_of_the_time_between)
{
	static const char requests[] = "{\"requests\":[{\"key\":\"b\",\"generated_tokens\":10},{\"key\":\"b\",\"generated_tokens\":5}]}";
	struct sk_scrape a = scrape(first), b = scrape(second), c = scrape(restarted);
	struct sk_top_totals before;
	struct sk_top t = { 0 };

	sk_top_take(&t, &a, NULL, NULL, 1);
	ck_assert_double_eq_tol(t.tokens_s, 0, 1e-9);
	before = t.totals;
	ck_assert_int_eq(sk_top_take_requests(&t, requests, sizeof requests - 1, &(struct sk_err){ 0 }), SK_OK);
	sk_top_take(&t, &b, &a, &before, 2);
	ck_assert_double_eq_tol(t.tokens_s, 20, 1e-9);
	ck_assert_str_eq(t.state, "ready");
	ck_assert_int_eq(t.clients_len, 2);
	ck_assert_str_eq(t.clients[0].name, "b");
	ck_assert_double_eq_tol(t.clients[0].tokens_s, 22.5, 1e-9);
	ck_assert_double_eq_tol(t.clients[0].requests, 2, 1e-9);
	ck_assert_double_eq_tol(t.clients[1].tokens_s, 5, 1e-9);
	before = t.totals;
	sk_top_take(&t, &c, &b, &before, 2);
	ck_assert_double_eq_tol(t.tokens_s, 0, 1e-9);
	ck_assert_double_eq_tol(t.clients[0].tokens_s, 0, 1e-9);
	ck_assert_int_eq(t.rates_len, 3);
	for (int i = 0; i < 2 * SK_TOP_RATES; i++)
		sk_top_take(&t, &b, &a, NULL, 2);
	ck_assert_int_eq(t.rates_len, SK_TOP_RATES);
	sk_scrape_fini(&a);
	sk_scrape_fini(&b);
	sk_scrape_fini(&c);
}
END_TEST

/* Whatever the server says and however small the window is: no more rows or columns than there are, no sequence of its own. */
START_TEST(a_screen_stays_inside_its_edges)
{
	static const char requests[] = "{\"requests\":[{\"state\":\"run\\u001b[H\",\"path\":\"/\\u0007x\",\"key\":\"k\",\"age_ms\":1500,\"prompt_tokens\":3,"
		"\"generated_tokens\":4,\"max_new_tokens\":5,\"stream\":true,\"cancelled\":false},{\"state\":\"queued\"},7],\"not_listed\":2}";
	static const char ours[] = "HKJm01";
	struct sk_scrape a = scrape(first), b = scrape(second);
	struct sk_top t = { .place = "here" };

	sk_top_take(&t, &a, NULL, NULL, 1);
	sk_top_take(&t, &b, &a, NULL, 2);
	ck_assert_int_eq(sk_top_take_requests(&t, requests, sizeof requests - 1, &(struct sk_err){ 0 }), SK_OK);
	ck_assert_int_eq(t.requests_len, 2);
	ck_assert_int_eq((int)t.requests_all, 5);
	for (int rows = 1; rows < 40; rows++)
		for (int cols = 1; cols < 200; cols += 7) {
			struct sk_buf out = SK_BUF(1 << 18);
			int lines = 1, width = 0;

			sk_top_draw(&t, rows, cols, rows % 2, &out);
			ck_assert_int_eq(out.failed, SK_OK);
			for (const char *s = sk_buf_str(&out); *s; s++) {
				if (*s == '\x1b') {
					ck_assert(s[1] == '[');
					s += 2;
					while (*s >= '0' && *s <= '9')
						s++;
					ck_assert(strchr(ours, *s));
				} else if (*s == '\n') {
					lines++;
					width = 0;
				} else if (*s != '\r') {
					ck_assert((unsigned char)*s >= ' ' && *s != 0x7f);
					width += ((unsigned char)*s & 0xc0) != 0x80;
					ck_assert_int_le(width, cols);
				}
			}
			ck_assert_int_le(lines, rows);
			sk_buf_fini(&out);
		}
	ck_assert_int_eq(sk_top_take_requests(&t, "{}", 2, &(struct sk_err){ 0 }), SK_EFORMAT);
	ck_assert_int_eq(sk_top_take_requests(&t, "[", 1, &(struct sk_err){ 0 }), SK_EFORMAT);
	sk_scrape_fini(&a);
	sk_scrape_fini(&b);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("top");
	TCase *c = tcase_create("top");
	SRunner *r;
	int failed;

	tcase_add_loop_test(c, a_place_is_read_or_named, 0, LEN(places));
	tcase_add_loop_test(c, an_answer_has_a_status_and_a_body, 0, LEN(answers));
	tcase_add_test(c, records_become_what_they_carry);
	tcase_add_loop_test(c, samples_are_read_or_the_line_is_named, 0, LEN(texts));
	tcase_add_test(c, quantiles_lie_inside_their_bucket);
	tcase_add_test(c, rates_and_shares_are_of_the_time_between);
	tcase_add_test(c, a_screen_stays_inside_its_edges);
	suite_add_tcase(s, c);
	r = srunner_create(s);
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
