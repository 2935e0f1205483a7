/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The reader of FastCGI records, on what web servers send and on what nobody should. Each case is fed whole, byte by
 * byte, and in pieces of 3 and 7 bytes: the answers and the news must not depend on how the bytes arrive.
 */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "fcgi/record.h"

/*
 * Input is written as words, one record each (see put_word):
 *	B1 BK1  BEGIN_REQUEST of id 1, responder; K: keep the connection       A1  the same, authorizer
 *	P1 / p1  PARAMS: A=1 / end of PARAMS         X1  PARAMS whose value length points outside
 *	Z1  PARAMS with a NUL in the value           S1 / s1  STDIN "hello" / end of STDIN
 *	L1  STDIN "hello" with padding               Q1  ABORT_REQUEST           D1  DATA
 *	G0  GET_VALUES of one name, five times       g0  GET_VALUES of all names  U0  type 99
 *	V1  a record of version 2                    M1  BEGIN_REQUEST of 4 bytes   I0  GET_VALUES with INT_MAX lengths
 *	N0  GET_VALUES of 1000 bytes
 * Answers, in the order they were written: r(id,length)=GET_VALUES_RESULT, u(type), e(id,status)=END_REQUEST.
 * News: R(parameters,body bytes), R+ if kept, R! if too large; A. After R the request counts as answered, unless a '.'
 * comes first in the case's name.
 */
static const struct {
	const char *name, *in, *want;
	sk_status st;
} cases[] = {
	{ "a request is complete at the end of its body",       "B1 P1 p1 S1 s1", "R(1,5)", SK_OK },
	{ "a request may have no body",                         "B1 P1 p1 s1", "R(1,0)", SK_OK },
	{ "a request may have no parameters",                   "B1 p1 s1", "R(0,0)", SK_OK },
	{ "parameters and body may come in several records",    "B1 P1 P1 P1 p1 S1 S1 s1", "R(3,10)", SK_OK },
	{ "padding is skipped",                                 "B1 P1 p1 L1 L1 s1", "R(1,10)", SK_OK },
	{ "a kept connection serves the next request",          "BK1 P1 p1 s1 BK1 p1 S1 s1", "R+(1,0) R+(0,5)", SK_OK },
	{ "a body over the limit is read to its end and dropped",
	  "B1 P1 p1 S1 S1 S1 S1 S1 S1 S1 s1", "R!(1,0)", SK_OK },
	{ "the request after one that was too large is whole",
	  "BK1 p1 S1 S1 S1 S1 S1 S1 S1 s1 BK1 p1 S1 s1", "R!+(0,0) R+(0,5)", SK_OK },
	{ "another role than responder is refused",             "A1 P1 p1 s1", "e(1,3)", SK_OK },
	{ "after a refused role the next request is served",    "A1 B2 p2 s2", "e(1,3) R(0,0)", SK_OK },
	{ "a second request at the same time is refused",       "B1 B2 P2 p2 s2 P1 p1 s1", "e(2,1) R(1,0)", SK_OK },
	{ ".a second request during the answer is refused",     "B1 p1 s1 B2 p2 s2", "R(0,0) e(2,1)", SK_OK },
	{ ".an abort during the answer is news",                "B1 p1 s1 Q1", "R(0,0) A", SK_OK },
	{ ".an abort of another request is none",               "B1 p1 s1 Q2", "R(0,0)", SK_OK },
	{ ".body bytes after the end of the body are ignored",  "B1 p1 s1 S1 s1", "R(0,0)", SK_OK },
	{ "an abort before the request is complete ends it",    "B1 P1 Q1 B1 p1 s1", "e(1,0) R(0,0)", SK_OK },
	{ "an abort without a request is ignored",              "Q1 B1 p1 s1", "R(0,0)", SK_OK },
	{ "records of unknown requests are ignored",            "P7 S7 s7 D7 B1 p1 P9 S9 s1", "R(0,0)", SK_OK },
	{ "a body before the end of the parameters is ignored", "B1 P1 S1 s1 p1 S1 s1", "R(1,5)", SK_OK },
	{ "a repeated name is answered once",                   "G0", "r(0,20)", SK_OK },
	{ "all names are answered",                             "g0", "r(0,57)", SK_OK },
	{ "a question with lengths near INT_MAX is answered with nothing", "I0 g0", "r(0,0) r(0,57)", SK_OK },
	{ "a question of 1000 bytes is no danger",              "N0 g0", "r(0,0) r(0,57)", SK_OK },
	{ "questions are answered in the middle of a request",  "B1 P1 g0 p1 S1 g0 s1", "r(0,57) r(0,57) R(1,5)", SK_OK },
	{ "an unknown management record is named",              "U0", "u(99)", SK_OK },
	{ "a value whose length points outside is refused",     "B1 X1 p1 s1", "E", SK_EFORMAT },
	{ "a NUL in a value is refused",                        "B1 Z1 p1 s1", "E", SK_EFORMAT },
	{ "another version of the protocol is refused",         "V1", "", SK_EFORMAT },
	{ "a begin of the wrong size is refused",               "M1", "", SK_EFORMAT },
	{ "a begin without an id is refused",                   "B0", "", SK_EFORMAT },
	{ "parameters over the limit are refused",              "B1 P1 P1 P1 P1 P1 P1 P1 P1 P1 P1 P1 P1 P1 P1 P1 P1 P1", "",
	  SK_ETOOBIG },
	{ "more parameters than allowed are refused",           "B1 P1 P1 P1 P1 P1 P1 P1 P1 P1 p1 s1", "E", SK_ETOOBIG },
};

static const struct sk_record_limits limits = { .params_bytes_max = 64, .params_max = 8, .body_bytes_max = 32 };

static void put(struct sk_buf *b, int version, int type, int id, const void *content, size_t len, size_t padding)
{
	const unsigned char h[8] = { (unsigned char)version, (unsigned char)type, (unsigned char)(id >> 8),
				     (unsigned char)id, (unsigned char)(len >> 8), (unsigned char)len,
				     (unsigned char)padding, 0 };
	static const char zeros[256];

	sk_buf_add(b, h, sizeof h);
	sk_buf_add(b, content, len);
	sk_buf_add(b, zeros, padding);
}

#define NAME "\016\000FCGI_MAX_CONNS"
static void put_word(struct sk_buf *b, const char *w, size_t len)
{
	static const char all[] = NAME "\015\000FCGI_MAX_REQS" "\017\000FCGI_MPXS_CONNS" "\003\000ABC";
	static const char huge[] = "\xff\xff\xff\xff\xff\xff\xff\xff" "a" "\x80\x00\x00\x01\xff\xff\xff\xfe" "bc";
	static char many[1000];
	int id = w[len - 1] - '0', kept = len == 3;
	char begin[8] = { 0, w[0] == 'A' ? 2 : 1, (char)kept };
	const struct { char word; int version, type; const void *content; size_t len, padding; } rows[] = {
		{ 'B', 1, SK_FCGI_BEGIN_REQUEST, begin, 8, 0 },   { 'A', 1, SK_FCGI_BEGIN_REQUEST, begin, 8, 0 },
		{ 'M', 1, SK_FCGI_BEGIN_REQUEST, begin, 4, 0 },   { 'P', 1, SK_FCGI_PARAMS, "\001\001A1", 4, 4 },
		{ 'p', 1, SK_FCGI_PARAMS, "", 0, 0 },             { 'X', 1, SK_FCGI_PARAMS, "\001\xff\xff\xff\xff" "A1", 7, 1 },
		{ 'Z', 1, SK_FCGI_PARAMS, "\001\002A\0001", 5, 0 }, { 'S', 1, SK_FCGI_STDIN, "hello", 5, 0 },
		{ 's', 1, SK_FCGI_STDIN, "", 0, 0 },              { 'L', 1, SK_FCGI_STDIN, "hello", 5, 255 },
		{ 'Q', 1, SK_FCGI_ABORT_REQUEST, "", 0, 0 },      { 'D', 1, SK_FCGI_DATA, "data", 4, 0 },
		{ 'G', 1, SK_FCGI_GET_VALUES, NAME NAME NAME NAME NAME, 5 * 16, 0 },
		{ 'g', 1, SK_FCGI_GET_VALUES, all, sizeof all - 1, 0 },
		{ 'I', 1, SK_FCGI_GET_VALUES, huge, sizeof huge - 1, 0 },
		{ 'N', 1, SK_FCGI_GET_VALUES, many, sizeof many, 3 },
		{ 'U', 1, 99, "what", 4, 0 },                     { 'V', 2, SK_FCGI_BEGIN_REQUEST, begin, 8, 0 },
	};

	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
		if (rows[i].word == w[0]) {
			put(b, rows[i].version, rows[i].type, id, rows[i].content, rows[i].len, rows[i].padding);
			return;
		}
	ck_abort_msg("no such word: %.*s", (int)len, w);
}

static void say(struct sk_buf *got, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void say(struct sk_buf *got, const char *fmt, ...)
{
	va_list ap;

	if (got->len)
		sk_buf_addc(got, ' ');
	va_start(ap, fmt);
	sk_buf_vaddf(got, fmt, ap);
	va_end(ap);
}

/* Complete answers in p->out as words; they are taken out, as the loop does when it has written them. */
static void say_answers(struct sk_buf *got, struct sk_record *p)
{
	const unsigned char *s = (const unsigned char *)p->out.data;

	for (size_t at = 0; at < p->out.len;) {
		size_t len = (size_t)(s[at + 4] << 8 | s[at + 5]);
		int id = s[at + 2] << 8 | s[at + 3], type = s[at + 1];

		ck_assert_uint_le(at + 8 + len, p->out.len);
		if (type == SK_FCGI_END_REQUEST)
			say(got, "e(%d,%d)", id, s[at + 12]);
		else if (type == SK_FCGI_UNKNOWN_TYPE)
			say(got, "u(%d)", s[at + 8]);
		else
			say(got, "r(%d,%zu)", id, len);
		at += 8 + len + s[at + 6];
	}
	sk_buf_clear(&p->out);
}

static void say_request(struct sk_buf *got, struct sk_record *p, sk_status *st)
{
	struct sk_arena a = { 0 };
	const char **params = NULL;
	size_t pairs = 0;

	*st = sk_record_params(p, &a, &params, NULL);
	if (*st < 0) {
		say(got, "E");
	} else {
		while (params[2 * pairs])
			pairs++;
		say(got, "R%s%s(%zu,%zu)", p->too_large ? "!" : "", p->keep_conn ? "+" : "", pairs, p->body.len);
	}
	sk_arena_fini(&a);
}

static sk_status feed_all(const struct sk_buf *in, size_t piece, bool answer, struct sk_buf *got)
{
	struct sk_record p;
	sk_status st = SK_OK;

	sk_record_init(&p, &limits);
	for (size_t at = 0; at < in->len && st == SK_OK;) {
		size_t end = at + piece < in->len ? at + piece : in->len;

		while (at < end && st == SK_OK) {
			enum sk_record_news news = SK_RECORD_MORE;
			size_t used = 0;

			st = sk_record_feed(&p, in->data + at, end - at, &used, &news, NULL);
			ck_assert_uint_le(used, end - at);
			at += used;
			say_answers(got, &p);
			if (st < 0)
				break;
			ck_assert(used > 0);
			if (news == SK_RECORD_REQUEST) {
				say_request(got, &p, &st);
				if (answer)
					sk_record_next(&p);
			} else if (news == SK_RECORD_ABORT) {
				say(got, "A");
			}
		}
	}
	sk_record_fini(&p);
	return st;
}

START_TEST(bytes_mean_the_same_however_they_arrive)
{
	const size_t pieces[] = { SIZE_MAX / 2, 1, 3, 7 };
	bool answer = cases[_i].name[0] != '.';
	struct sk_buf in = SK_BUF(65536);

	for (const char *w = cases[_i].in; *w; w += strspn(w, " ")) {
		put_word(&in, w, strcspn(w, " "));
		w += strcspn(w, " ");
	}
	for (size_t i = 0; i < sizeof pieces / sizeof *pieces; i++) {
		struct sk_buf got = SK_BUF(4096);
		sk_status st = feed_all(&in, pieces[i], answer, &got);

		ck_assert_msg(st == cases[_i].st, "%s, pieces of %zu: status %s, want %s (%s)", cases[_i].name, pieces[i],
			      sk_status_name(st), sk_status_name(cases[_i].st), sk_buf_str(&got));
		ck_assert_msg(!strcmp(sk_buf_str(&got), cases[_i].want), "%s, pieces of %zu: got \"%s\", want \"%s\"",
			      cases[_i].name, pieces[i], sk_buf_str(&got), cases[_i].want);
		sk_buf_fini(&got);
	}
	sk_buf_fini(&in);
}
END_TEST

/* A request whose body has `bytes` bytes, without its end; in `p`. */
static void feed_body(struct sk_record *p, size_t bytes)
{
	static const char zeros[40000];
	struct sk_buf in = SK_BUF(65536);
	enum sk_record_news news;
	size_t used;

	put_word(&in, "B1", 2);
	put_word(&in, "p1", 2);
	put(&in, 1, SK_FCGI_STDIN, 1, zeros, bytes, 0);
	ck_assert_int_eq(sk_record_feed(p, in.data, in.len, &used, &news, NULL), SK_OK);
	ck_assert_uint_eq(used, in.len);
	sk_buf_fini(&in);
}

START_TEST(bodies_share_a_limit_and_give_back_what_they_took)
{
	const size_t free_bytes = SK_RECORD_BODY_FREE, over = 20000;
	uint64_t left = 2 * over;
	const struct sk_record_limits shared = { .params_bytes_max = 64, .params_max = 8, .body_bytes_max = 1 << 20,
						 .bodies_left = &left };
	struct sk_record p[4];

	for (int i = 0; i < 4; i++)
		sk_record_init(&p[i], &shared);
	feed_body(&p[0], free_bytes + over);
	feed_body(&p[1], free_bytes + over);
	ck_assert_uint_eq(left, 0);
	feed_body(&p[2], free_bytes + 1);
	ck_assert(p[2].refused && !p[2].too_large && p[2].body.cap == 0);
	feed_body(&p[3], free_bytes);
	ck_assert(!p[3].refused && p[3].body.len == free_bytes);
	sk_record_body_drop(&p[0]);
	ck_assert_uint_eq(left, over);
	sk_record_next(&p[0]);
	sk_record_next(&p[1]);
	sk_record_next(&p[2]);
	ck_assert(!p[2].refused);
	ck_assert_uint_eq(left, 2 * over);
	feed_body(&p[2], free_bytes + over);
	ck_assert(!p[2].refused);
	for (int i = 0; i < 4; i++)
		sk_record_fini(&p[i]);
	ck_assert_uint_eq(left, 2 * over);
}
END_TEST

START_TEST(a_peer_that_asks_without_reading_is_cut_off)
{
	struct sk_buf in = SK_BUF(65536);
	struct sk_record p;
	enum sk_record_news news;
	size_t used, asked = 0;
	sk_status st;

	put_word(&in, "g0", 2);
	sk_record_init(&p, &limits);
	do {
		st = sk_record_feed(&p, in.data, in.len, &used, &news, NULL);
	} while (st == SK_OK && ++asked < 10000);
	ck_assert_int_eq(st, SK_ETOOBIG);
	ck_assert_uint_le(p.out.cap, 16384);
	sk_record_fini(&p);
	sk_buf_fini(&in);
}
END_TEST

START_TEST(a_read_deadline_applies_from_the_first_byte_to_the_last)
{
	struct sk_buf in = SK_BUF(65536);
	struct sk_record p;
	enum sk_record_news news;
	size_t used;

	put_word(&in, "B1", 2);
	put_word(&in, "p1", 2);
	put_word(&in, "s1", 2);
	sk_record_init(&p, &limits);
	ck_assert(!sk_record_reading(&p));
	for (size_t i = 0; i < in.len; i++) {
		ck_assert_int_eq(sk_record_feed(&p, in.data + i, 1, &used, &news, NULL), SK_OK);
		ck_assert_msg(sk_record_reading(&p) == (i + 1 < in.len), "after byte %zu of %zu", i + 1, in.len);
	}
	ck_assert_int_eq(news, SK_RECORD_REQUEST);
	sk_record_fini(&p);
	sk_buf_fini(&in);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("record");
	TCase *t = tcase_create("record");
	SRunner *sr;
	int failed;

	tcase_add_loop_test(t, bytes_mean_the_same_however_they_arrive, 0, sizeof cases / sizeof *cases);
	tcase_add_test(t, bodies_share_a_limit_and_give_back_what_they_took);
	tcase_add_test(t, a_peer_that_asks_without_reading_is_cut_off);
	tcase_add_test(t, a_read_deadline_applies_from_the_first_byte_to_the_last);
	suite_add_tcase(s, t);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
