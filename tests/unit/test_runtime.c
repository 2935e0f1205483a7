/* SPDX-License-Identifier: Apache-2.0 */
/*
 * AWS event streams and the answers of SageMaker's runtime API: messages byte for byte, and read back by a decoder of our own that
 * shares nothing with the encoder but the format. (tests/clients lets boto3 read them.)
 */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fcgi/eventstream.h"
#include "fcgi/request.h"
#include "fcgi/route.h"
#include "fcgi/runtime.h"

/* ---- a decoder ---------------------------------------------------------------------------------------------- */

/* One bit at a time, as the polynomial is written down. */
static uint32_t slow_crc(const unsigned char *s, size_t len)
{
	uint32_t crc = 0xffffffff;

	for (size_t i = 0; i < len; i++) {
		crc ^= s[i];
		for (int bit = 0; bit < 8; bit++)
			crc = crc & 1 ? crc >> 1 ^ 0xedb88320 : crc >> 1;
	}
	return ~crc;
}

static uint32_t u32(const unsigned char *s)
{
	return (uint32_t)s[0] << 24 | (uint32_t)s[1] << 16 | (uint32_t)s[2] << 8 | s[3];
}

struct message {
	char headers[8][2][128];
	size_t headers_len, bytes, payload_len;
	const unsigned char *payload;
};

/* The message at s; fails the test when it is none. */
static struct message decode(const char *data, size_t len)
{
	const unsigned char *s = (const unsigned char *)data, *h = s + 12, *end;
	struct message m = { 0 };

	ck_assert_uint_ge(len, 16);
	m.bytes = u32(s);
	ck_assert_uint_le(m.bytes, len);
	ck_assert_uint_le(16 + u32(s + 4), m.bytes);
	ck_assert_uint_eq(u32(s + 8), slow_crc(s, 8));
	ck_assert_uint_eq(u32(s + m.bytes - 4), slow_crc(s, m.bytes - 4));
	for (end = h + u32(s + 4); h < end; m.headers_len++) {
		size_t name = *h++, value;

		ck_assert_uint_lt(m.headers_len, 8);
		memcpy(m.headers[m.headers_len][0], h, name);
		h += name;
		ck_assert_uint_eq(*h, 7);
		value = (size_t)h[1] << 8 | h[2];
		ck_assert_uint_lt(value, 128);
		memcpy(m.headers[m.headers_len][1], h + 3, value);
		h += 3 + value;
	}
	ck_assert(h == end);
	m.payload = end;
	m.payload_len = m.bytes - 16 - u32(s + 4);
	return m;
}

static const char *header(const struct message *m, const char *name)
{
	for (size_t i = 0; i < m->headers_len; i++)
		if (!strcmp(m->headers[i][0], name))
			return m->headers[i][1];
	return "";
}

/* ---- the encoder -------------------------------------------------------------------------------------------- */

START_TEST(a_message_is_the_bytes_that_the_format_says)
{
	/* Written with zlib and struct of Python: 16 bytes of nothing, and one server-sent event. */
	static const char empty[] = "\x00\x00\x00\x10\x00\x00\x00\x00\x05\xc2\x48\xeb\x7d\x98\xc8\xff";
	static const char part[] =
		"\x00\x00\x00\x73\x00\x00\x00\x59\xc9\xe7\xac\x26"
		"\x0b" ":event-type" "\x07\x00\x0b" "PayloadPart"
		"\x0d" ":content-type" "\x07\x00\x18" "application/octet-stream"
		"\x0d" ":message-type" "\x07\x00\x05" "event"
		"data: {}\n\n" "\xc3\x5f\x37\x96";
	static const struct sk_eventstream_header headers[] = {
		{ ":event-type", "PayloadPart" }, { ":content-type", "application/octet-stream" }, { ":message-type", "event" },
	};
	struct sk_buf b = SK_BUF(1024);

	ck_assert_int_eq(sk_eventstream_add(&b, NULL, 0, "", 0), SK_OK);
	ck_assert_mem_eq(b.data, empty, sizeof empty - 1);
	ck_assert_uint_eq(b.len, sizeof empty - 1);
	sk_buf_clear(&b);
	ck_assert_int_eq(sk_eventstream_add(&b, headers, 3, "data: {}\n\n", 10), SK_OK);
	ck_assert_uint_eq(b.len, sizeof part - 1);
	ck_assert_mem_eq(b.data, part, b.len);
	sk_buf_fini(&b);
}
END_TEST

START_TEST(the_checksum_is_that_of_zlib)
{
	ck_assert_uint_eq(sk_crc32(0, "123456789", 9), 0xcbf43926);
	ck_assert_uint_eq(sk_crc32(sk_crc32(0, "1234", 4), "56789", 5), 0xcbf43926);
	ck_assert_uint_eq(sk_crc32(0, "", 0), 0);
}
END_TEST

START_TEST(whatever_goes_in_comes_out)
{
	struct sk_buf b = SK_BUF(1 << 20);
	unsigned seed = 1;

	for (int round = 0; round < 2000; round++) {
		struct sk_eventstream_header h[8];
		char names[8][40], values[8][100], payload[600];
		size_t n = (size_t)rand_r(&seed) % 9, len = (size_t)rand_r(&seed) % sizeof payload;
		struct message m;

		for (size_t i = 0; i < n; i++) {
			size_t a = 1 + (size_t)rand_r(&seed) % 39, v = (size_t)rand_r(&seed) % 100;

			memset(names[i], 'a' + (int)i, a);
			names[i][a] = 0;
			for (size_t k = 0; k < v; k++)
				values[i][k] = (char)(1 + rand_r(&seed) % 255);
			values[i][v] = 0;
			h[i] = (struct sk_eventstream_header){ names[i], values[i] };
		}
		for (size_t k = 0; k < len; k++)
			payload[k] = (char)rand_r(&seed);
		sk_buf_clear(&b);
		sk_buf_adds(&b, "x");
		ck_assert_int_eq(sk_eventstream_add(&b, h, n, payload, len), SK_OK);
		m = decode(b.data + 1, b.len - 1);
		ck_assert_uint_eq(m.bytes, b.len - 1);
		ck_assert_uint_eq(m.headers_len, n);
		for (size_t i = 0; i < n; i++)
			ck_assert_str_eq(header(&m, names[i]), values[i]);
		ck_assert_uint_eq(m.payload_len, len);
		ck_assert_mem_eq(m.payload, payload, len);
	}
	sk_buf_fini(&b);
}
END_TEST

START_TEST(what_is_too_long_leaves_nothing_behind)
{
	char *big = calloc(1, SK_EVENTSTREAM_PAYLOAD_MAX + 1), name[257];
	const struct sk_eventstream_header nameless = { "", "v" }, longest = { name, "v" };
	struct sk_buf b = SK_BUF(64);

	memset(name, 'n', 256);
	name[256] = 0;
	sk_buf_adds(&b, "before");
	ck_assert_int_eq(sk_eventstream_add(&b, NULL, 0, big, 64 - 16 - 6 + 1), SK_ETOOBIG);
	ck_assert_uint_eq(b.len, 6);
	ck_assert_int_eq(b.failed, SK_ETOOBIG);
	sk_buf_fini(&b);
	sk_buf_init(&b, SK_EVENTSTREAM_PAYLOAD_MAX * 2);
	ck_assert_int_eq(sk_eventstream_add(&b, NULL, 0, big, SK_EVENTSTREAM_PAYLOAD_MAX + 1), SK_ETOOBIG);
	sk_buf_clear(&b);
	ck_assert_int_eq(sk_eventstream_add(&b, &nameless, 1, "", 0), SK_ETOOBIG);
	sk_buf_clear(&b);
	ck_assert_int_eq(sk_eventstream_add(&b, &longest, 1, "", 0), SK_ETOOBIG);
	ck_assert_uint_eq(b.len, 0);
	sk_buf_fini(&b);
	free(big);
}
END_TEST

/* ---- answers ------------------------------------------------------------------------------------------------ */

static const struct sk_route whole_route = { .flags = SK_ROUTE_RUNTIME };
static const struct sk_route parts_route = { .flags = SK_ROUTE_RUNTIME | SK_ROUTE_PARTS };

struct world { struct sk_front front; struct sk_request r; };

static void begin(struct world *w, const struct sk_route *route, const char **params)
{
	*w = (struct world){ .r = { .front = &w->front, .route = route, .params = params, .id = "id-1" } };
	sk_arena_init(&w->r.arena, 1 << 20);
	sk_buf_init(&w->r.headers, 4096);
	sk_buf_init(&w->r.out, 1 << 20);
}

static void end(struct world *w)
{
	sk_buf_fini(&w->r.headers);
	sk_buf_fini(&w->r.out);
	sk_arena_fini(&w->r.arena);
}

START_TEST(each_event_is_a_part_wherever_the_stream_is_cut)
{
	static const char *const events[] = { "data: {\"token\":1}\n\n", ":\n\n", "data: {\"a\":\"\\n\\n\"}\n\n", "data:{}\n\n" };
	unsigned seed = 7;

	for (int round = 0; round < 300; round++) {
		struct sk_buf want = SK_BUF(1 << 16), got = SK_BUF(1 << 16);
		size_t parts = 0, seen = 0, framed = 0;
		struct world w;

		begin(&w, &parts_route, NULL);
		w.r.stream = true;
		for (int i = rand_r(&seed) % 12; i >= 0; i--, parts++) {
			const char *e = events[rand_r(&seed) % 4];

			sk_buf_adds(&w.r.out, e);
			sk_buf_adds(&want, e[0] == ':' ? "" : e);
			if (rand_r(&seed) % 2) {
				sk_runtime_frames(&w.r, &w.r.out, framed);
				framed = w.r.out.len;
			}
		}
		sk_runtime_frames(&w.r, &w.r.out, framed);
		for (size_t at = 0; at < w.r.out.len; seen++) {
			struct message m = decode(w.r.out.data + at, w.r.out.len - at);

			ck_assert_str_eq(header(&m, ":message-type"), "event");
			ck_assert_str_eq(header(&m, ":event-type"), "PayloadPart");
			ck_assert_str_eq(header(&m, ":content-type"), "application/octet-stream");
			sk_buf_add(&got, m.payload, m.payload_len);
			at += m.bytes;
		}
		ck_assert_uint_eq(seen, parts);
		ck_assert_str_eq(sk_buf_str(&got), sk_buf_str(&want));
		sk_buf_fini(&want);
		sk_buf_fini(&got);
		end(&w);
	}
}
END_TEST

static const struct { const char *name, *error_type; bool late; const char *exception, *payload; } endings[] = {
	{ "a generation that broke", "generation", false, "ModelStreamError",
	  "{\"Message\":\"{\\\"error\\\":\\\"x\\\"}\",\"ErrorCode\":\"ModelInvocationFailed\"}" },
	{ "a deadline", "deadline", false, "ModelStreamError",
	  "{\"Message\":\"{\\\"error\\\":\\\"x\\\"}\",\"ErrorCode\":\"ModelInvocationFailed\"}" },
	{ "the service's own fault", "internal", false, "InternalStreamFailure", "{\"Message\":\"{\\\"error\\\":\\\"x\\\"}\"}" },
	{ "TGI's error event, as its container sends it", "generation", true, "", "data: {\"error\":\"x\"}\n\n" },
};

START_TEST(an_error_ends_the_stream)
{
	struct world w;
	struct message m;

	begin(&w, &parts_route, NULL);
	w.r.stream = true;
	w.r.late_errors = endings[_i].late;
	w.r.error_type = endings[_i].error_type;
	sk_buf_adds(&w.r.out, "data: {\"token\":1}\n\ndata: {\"error\":\"x\"}\n\n");
	sk_runtime_frames(&w.r, &w.r.out, 0);
	m = decode(w.r.out.data, w.r.out.len);
	ck_assert_uint_eq(m.payload_len, 19);
	m = decode(w.r.out.data + m.bytes, w.r.out.len - m.bytes);
	ck_assert_str_eq(header(&m, ":exception-type"), endings[_i].exception);
	ck_assert_str_eq(header(&m, ":message-type"), endings[_i].late ? "event" : "exception");
	ck_assert_uint_eq(m.payload_len, strlen(endings[_i].payload));
	ck_assert_mem_eq(m.payload, endings[_i].payload, m.payload_len);
	end(&w);
}
END_TEST

static const struct { const char *name; int status; const char *error_type, *body; int want; const char *exception, *want_body; } errors[] = {
	{ "what the container refuses is a ModelError", 422, "validation", "{\"error\":\"a \\\"b\\\"\",\"error_type\":\"validation\"}", 424,
	  "ModelError", "{\"ErrorCode\":\"CLIENT_ERROR_FROM_MODEL\",\"Message\":\"Received client error (422) from primary with message "
	  "\\\"{\\\"error\\\":\\\"a \\\\\\\"b\\\\\\\"\\\",\\\"error_type\\\":\\\"validation\\\"}\\\".\",\"OriginalMessage\":"
	  "\"{\\\"error\\\":\\\"a \\\\\\\"b\\\\\\\"\\\",\\\"error_type\\\":\\\"validation\\\"}\",\"OriginalStatusCode\":422}" },
	{ "TGI's plain text too", 400, "invalid_json", "Failed to parse", 424, "ModelError",
	  "{\"ErrorCode\":\"CLIENT_ERROR_FROM_MODEL\",\"Message\":\"Received client error (400) from primary with message "
	  "\\\"Failed to parse\\\".\",\"OriginalMessage\":\"Failed to parse\",\"OriginalStatusCode\":400}" },
	{ "a server's fault", 500, "internal", "", 424, "ModelError",
	  "{\"ErrorCode\":\"INTERNAL_FAILURE_FROM_MODEL\",\"Message\":\"Received server error (500) from primary with message "
	  "\\\"\\\".\",\"OriginalMessage\":\"\",\"OriginalStatusCode\":500}" },
	{ "no key", 401, "unauthorized", "", 401, "AccessDeniedException", "{\"Message\":\"\"}" },
	{ "a bad header", 400, "invalid_header", "{\"error\":\"x\"}", 400, "ValidationError", "{\"Message\":\"x\"}" },
	{ "weights still come", 503, "loading", "{\"error\":\"x\"}", 429, "ModelNotReadyException", "{\"Message\":\"x\"}" },
	{ "no memory", 503, "overloaded", "{\"error\":\"x\"}", 503, "ServiceUnavailable", "{\"Message\":\"x\"}" },
	{ "it stops", 503, "draining", "{\"error\":\"x\"}", 503, "ServiceUnavailable", "{\"Message\":\"x\"}" },
};

START_TEST(errors_are_those_of_the_runtime)
{
	char line[64];
	struct world w;

	begin(&w, _i % 2 ? &parts_route : &whole_route, NULL);
	w.r.error_type = errors[_i].error_type;
	sk_reply(&w.r, errors[_i].status, "application/json", errors[_i].body, strlen(errors[_i].body));
	sk_runtime_head(&w.r);
	ck_assert_int_eq(w.r.status, errors[_i].want);
	ck_assert_str_eq(sk_buf_str(&w.r.out), errors[_i].want_body);
	ck_assert_str_eq(w.r.reply_type, "application/json");
	snprintf(line, sizeof line, "x-amzn-errortype: %s\r\n", errors[_i].exception);
	ck_assert_ptr_nonnull(strstr(sk_buf_str(&w.r.headers), line));
	ck_assert_ptr_nonnull(strstr(sk_buf_str(&w.r.headers), "x-amzn-requestid: id-1\r\n"));
	end(&w);
}
END_TEST

#define SESSION "HTTP_X_AMZN_SAGEMAKER_SESSION_ID"
#define ATTRIBUTES "HTTP_X_AMZN_SAGEMAKER_CUSTOM_ATTRIBUTES"
#define VARIANT "HTTP_X_AMZN_SAGEMAKER_TARGET_VARIANT"

static const struct { const char *name, *param, *value; bool parts; const char *reply, *refusal; } heads[] = {
	{ "attributes come back", ATTRIBUTES, "trace=1; a", false, "x-amzn-sagemaker-custom-attributes: trace=1; a\r\n", NULL },
	{ "on a stream too", ATTRIBUTES, "a", true, "x-amzn-sagemaker-custom-attributes: a\r\n", NULL },
	{ "attributes are visible", ATTRIBUTES, "a\tb", false, NULL, "visible ASCII" },
	{ "a session begins", SESSION, "NEW_SESSION", false, "x-amzn-sagemaker-new-session-id: ", NULL },
	{ "but not on a stream", SESSION, "NEW_SESSION", true, NULL, "a stream cannot begin a session" },
	{ "a session goes on", SESSION, "a1-b--2", true, NULL, NULL },
	{ "a session has a name", SESSION, "a_b", false, NULL, "must be NEW_SESSION" },
	{ "that ends well", SESSION, "a-", false, NULL, "must be NEW_SESSION" },
	{ "an empty one is none", SESSION, "", false, NULL, "must be NEW_SESSION" },
	{ "a variant that is asked for", VARIANT, "blue-2", false, "x-amzn-invoked-production-variant: blue-2\r\n", NULL },
	{ "a variant has a name", VARIANT, "a b", false, NULL, "Target-Variant must be" },
	{ "the one that there is", "X", "", true, "x-amzn-invoked-production-variant: AllTraffic\r\n", NULL },
	{ "a stream says of what", "X", "", true, "x-amzn-sagemaker-content-type: text/event-stream\r\n", NULL },
};

START_TEST(headers_are_those_of_the_runtime)
{
	const char *params[] = { heads[_i].param, heads[_i].value, NULL };
	const char *bad;
	struct world w;

	begin(&w, heads[_i].parts ? &parts_route : &whole_route, params);
	bad = sk_runtime_headers(&w.r);
	if (heads[_i].refusal) {
		ck_assert_ptr_nonnull(bad);
		ck_assert_ptr_nonnull(strstr(bad, heads[_i].refusal));
	} else {
		ck_assert_ptr_null(bad);
		w.r.status = 200;
		w.r.stream = true;
		w.r.reply_type = "text/event-stream";
		sk_runtime_head(&w.r);
		if (heads[_i].reply)
			ck_assert_ptr_nonnull(strstr(sk_buf_str(&w.r.headers), heads[_i].reply));
		ck_assert_str_eq(w.r.reply_type, heads[_i].parts ? "application/vnd.amazon.eventstream" : "text/event-stream");
	}
	end(&w);
}
END_TEST

START_TEST(a_long_answer_travels_in_several_parts)
{
	size_t len = 2 * SK_EVENTSTREAM_PAYLOAD_MAX + 5, at = 0, sum = 0;
	char *text = malloc(len);
	struct world w;

	memset(text, '\n', len);
	begin(&w, &parts_route, NULL);
	sk_buf_fini(&w.r.out);
	sk_buf_init(&w.r.out, len * 2);
	sk_reply(&w.r, 200, "application/json", text, len);
	sk_runtime_head(&w.r);
	ck_assert_ptr_nonnull(strstr(sk_buf_str(&w.r.headers), "x-amzn-sagemaker-content-type: application/json\r\n"));
	while (at < w.r.out.len) {
		struct message m = decode(w.r.out.data + at, w.r.out.len - at);

		sum += m.payload_len;
		at += m.bytes;
	}
	ck_assert_uint_eq(sum, len);
	end(&w);
	free(text);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("runtime");
	TCase *encoder = tcase_create("eventstream"), *answers = tcase_create("answers");
	SRunner *sr = srunner_create(s);
	int failed;

	tcase_add_test(encoder, a_message_is_the_bytes_that_the_format_says);
	tcase_add_test(encoder, the_checksum_is_that_of_zlib);
	tcase_add_test(encoder, whatever_goes_in_comes_out);
	tcase_add_test(encoder, what_is_too_long_leaves_nothing_behind);
	tcase_add_test(answers, each_event_is_a_part_wherever_the_stream_is_cut);
	tcase_add_loop_test(answers, an_error_ends_the_stream, 0, sizeof endings / sizeof *endings);
	tcase_add_loop_test(answers, errors_are_those_of_the_runtime, 0, sizeof errors / sizeof *errors);
	tcase_add_loop_test(answers, headers_are_those_of_the_runtime, 0, sizeof heads / sizeof *heads);
	tcase_add_test(answers, a_long_answer_travels_in_several_parts);
	suite_add_tcase(s, encoder);
	suite_add_tcase(s, answers);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed != 0;
}
