/* SPDX-License-Identifier: Apache-2.0 */
/* engine/base: buffer, arena, UTF-8, hash table, ring, random numbers, map, errors. */
#include <check.h>
#include <inttypes.h>
#include <math.h>
#include <pthread.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "engine/base/arena.h"
#include "engine/base/buf.h"
#include "engine/base/chacha.h"
#include "engine/base/clock.h"
#include "engine/base/hash.h"
#include "engine/base/log.h"
#include "engine/base/map.h"
#include "engine/base/rand.h"
#include "engine/base/ring.h"
#include "engine/base/sha256.h"
#include "engine/base/times.h"
#include "engine/base/utf8.h"

#define LEN(array) (sizeof(array) / sizeof((array)[0]))

/* ---- buffer ------------------------------------------------------------------------------------------------- */

START_TEST(a_buffer_refuses_the_byte_too_many_and_remembers)
{
	struct sk_buf b = SK_BUF(4);

	ck_assert_int_eq(sk_buf_adds(&b, "abc"), SK_OK);
	ck_assert_int_eq(sk_buf_adds(&b, "de"), SK_ETOOBIG);
	ck_assert_int_eq(sk_buf_addc(&b, 'd'), SK_ETOOBIG);
	ck_assert_uint_eq(b.len, 3);
	ck_assert_str_eq(sk_buf_str(&b), "");
	sk_buf_clear(&b);
	ck_assert_int_eq(sk_buf_adds(&b, "wxyz"), SK_OK);
	ck_assert_str_eq(sk_buf_str(&b), "wxyz");
	ck_assert_int_eq(sk_buf_reserve(&b, SIZE_MAX), SK_ETOOBIG);
	sk_buf_fini(&b);
	ck_assert_uint_eq(b.max, 4);
}
END_TEST

START_TEST(a_buffer_formats_short_and_long_text)
{
	struct sk_buf b = SK_BUF(2000);
	char many[1001];

	memset(many, 'x', 1000);
	many[1000] = '\0';
	ck_assert_int_eq(sk_buf_addf(&b, "%d-%s", 42, "a"), SK_OK);
	ck_assert_int_eq(sk_buf_addf(&b, "%s|", many), SK_OK);
	ck_assert_uint_eq(b.len, 4 + 1001);
	ck_assert_str_eq(sk_buf_str(&b) + 1003, "x|");
	sk_buf_drop_front(&b, 1003);
	ck_assert_str_eq(sk_buf_str(&b), "x|");
	sk_buf_drop_front(&b, 99);
	ck_assert_uint_eq(b.len, 0);
	sk_buf_fini(&b);
}
END_TEST

static const struct { const char *name, *in; size_t len; const char *want; } json_cases[] = {
	{ "plain text is not changed", "hello", 5, "hello" },
	{ "quotes and backslashes are escaped", "a\"b\\c", 5, "a\\\"b\\\\c" },
	{ "control bytes have short and long forms", "\b\t\n\f\r\x01\x1f\0", 8, "\\b\\t\\n\\f\\r\\u0001\\u001f\\u0000" },
	{ "delete is not escaped", "\x7f", 1, "\x7f" },
	{ "characters stay as they are", "\xc3\xa9\xf0\x9f\xa6\x85", 6, "\xc3\xa9\xf0\x9f\xa6\x85" },
	{ "an ill-formed byte becomes U+FFFD", "a\xff" "b", 3, "a\xef\xbf\xbd" "b" },
	{ "an unfinished end becomes one U+FFFD", "a\xf0\x9f\xa6", 4, "a\xef\xbf\xbd" },
	{ "nothing gives nothing", "", 0, "" },
};

START_TEST(json_strings_are_escaped)
{
	struct sk_buf b = SK_BUF(1000);

	ck_assert_int_eq(sk_buf_add_json(&b, json_cases[_i].in, json_cases[_i].len), SK_OK);
	ck_assert_msg(strcmp(sk_buf_str(&b), json_cases[_i].want) == 0, "%s: got %s", json_cases[_i].name, sk_buf_str(&b));
	sk_buf_fini(&b);
}
END_TEST

/* ---- arena -------------------------------------------------------------------------------------------------- */

START_TEST(an_arena_gives_zeroed_aligned_pieces_up_to_its_limit)
{
	struct sk_arena a;
	size_t total = 0;

	sk_arena_init(&a, 100000);
	for (size_t bytes = 1; bytes < 500; bytes += 7) {
		unsigned char *p = sk_arena_take(&a, bytes);

		if (!p)
			break;
		ck_assert_uint_eq((uintptr_t)p % 16, 0);
		for (size_t i = 0; i < bytes; i++)
			ck_assert_uint_eq(p[i], 0);
		memset(p, 0xff, bytes);
		total += bytes;
	}
	ck_assert_uint_ge(a.used_bytes, total);
	ck_assert_ptr_null(sk_arena_take(&a, 100000));
	ck_assert_ptr_null(sk_arena_take(&a, SIZE_MAX));
	ck_assert_ptr_null(sk_arena_strndup(&a, "", SIZE_MAX));
	sk_arena_reset(&a);
	ck_assert_uint_eq(a.used_bytes, 0);
	ck_assert_uint_eq(*(unsigned char *)sk_arena_take(&a, 64), 0);
	ck_assert_str_eq(sk_arena_strndup(&a, "saker and more", 5), "saker");
	ck_assert_ptr_nonnull(sk_arena_take(&a, 90000));
	sk_arena_fini(&a);
	ck_assert_ptr_null(a.head);
}
END_TEST

/* ---- UTF-8 -------------------------------------------------------------------------------------------------- */

START_TEST(a_number_of_bytes_is_shown_in_the_unit_that_fits)
{
	static const struct { uint64_t bytes; const char *want; } cases[] = {
		{ 0, "0 B" }, { 24, "24 B" }, { (1 << 20) - 1, "1048575 B" }, { 1 << 20, "1.0 MiB" }, { 3 << 19, "1.5 MiB" },
		{ 1 << 30, "1.00 GiB" }, { (uint64_t)1 << 40, "1024.00 GiB" }, { UINT64_MAX, "17179869184.00 GiB" },
	};
	char s[SK_BYTES_SHOWN];

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		ck_assert_str_eq(sk_bytes_show(s, cases[i].bytes), cases[i].want);
}
END_TEST

static const struct { const char *in; size_t len; int want; uint32_t cp; } utf8_cases[] = {
	{ "", 0, 0, 0 },
	{ "A", 1, 1, 'A' },
	{ "\0", 1, 1, 0 },
	{ "\xc2\x80", 2, 2, 0x80 },
	{ "\xdf\xbf", 2, 2, 0x7ff },
	{ "\xe0\xa0\x80", 3, 3, 0x800 },
	{ "\xed\x9f\xbf", 3, 3, 0xd7ff },
	{ "\xee\x80\x80", 3, 3, 0xe000 },
	{ "\xef\xbf\xbf", 3, 3, 0xffff },
	{ "\xf0\x90\x80\x80", 4, 4, 0x10000 },
	{ "\xf4\x8f\xbf\xbf", 4, 4, 0x10ffff },
	{ "\x80", 1, -1, 0 },                   /* a continuation byte alone */
	{ "\xc0\xaf", 2, -1, 0 },               /* overlong */
	{ "\xc1\xbf", 2, -1, 0 },
	{ "\xe0\x9f\xbf", 3, -1, 0 },
	{ "\xf0\x8f\xbf\xbf", 4, -1, 0 },
	{ "\xed\xa0\x80", 3, -1, 0 },           /* a surrogate */
	{ "\xf4\x90\x80\x80", 4, -1, 0 },       /* over U+10FFFF */
	{ "\xf5\x80\x80\x80", 4, -1, 0 },
	{ "\xff", 1, -1, 0 },
	{ "\xe1\x80" "A", 3, -2, 0 },           /* maximal parts */
	{ "\xf1\x80\x80" "A", 4, -3, 0 },
	{ "\xc3", 1, 0, 0 },                    /* could still become valid */
	{ "\xe1\x80", 2, 0, 0 },
	{ "\xf0\x9f\xa6", 3, 0, 0 },
	{ "\xf0", 1, 0, 0 },
};

START_TEST(utf8_follows_table_3_7)
{
	uint32_t cp = 0;

	ck_assert_int_eq(sk_utf8_next(utf8_cases[_i].in, utf8_cases[_i].len, &cp), utf8_cases[_i].want);
	if (utf8_cases[_i].want > 0)
		ck_assert_uint_eq(cp, utf8_cases[_i].cp);
}
END_TEST

START_TEST(every_scalar_value_makes_a_round_trip)
{
	for (uint32_t cp = 0; cp <= 0x10ffff; cp++) {
		char out[4];
		uint32_t back = 0;
		size_t len;

		if (cp >= 0xd800 && cp <= 0xdfff)
			continue;
		len = sk_utf8_put(out, cp);
		if (sk_utf8_next(out, len, &back) != (int)len || back != cp)
			ck_abort_msg("U+%04X came back as U+%04X", cp, back);
	}
}
END_TEST

static const struct { const char *in, *want; size_t count; } lossy_cases[] = {
	{ "plain", "plain", 5 },
	/* The example of the Unicode standard, section 3.9, table 3-8. */
	{ "a\xf1\x80\x80\xe1\x80\xc2" "b\x80" "c\x80\xbf" "d",
	  "a\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd" "b\xef\xbf\xbd" "c\xef\xbf\xbd\xef\xbf\xbd" "d", 10 },
	{ "caf\xc3", "caf\xef\xbf\xbd", 4 },
	{ "\xed\xa0\x80", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd", 3 },
};

START_TEST(ill_formed_parts_are_replaced_one_by_one)
{
	struct sk_buf b = SK_BUF(1000);
	const char *in = lossy_cases[_i].in;

	ck_assert_int_eq(sk_utf8_add_lossy(&b, in, strlen(in)), SK_OK);
	ck_assert_str_eq(sk_buf_str(&b), lossy_cases[_i].want);
	ck_assert_uint_eq(sk_utf8_count(in, strlen(in)), lossy_cases[_i].count);
	sk_buf_fini(&b);
}
END_TEST

/* ---- hash --------------------------------------------------------------------------------------------------- */

START_TEST(one_changed_bit_changes_about_half_of_the_hash)
{
	uint64_t flips = 0, rounds = 0;
	int least = 64;

	for (size_t len = 1; len <= 40; len++) {
		unsigned char key[40] = { 0 };

		for (size_t i = 0; i < len; i++)
			key[i] = (unsigned char)(i * 37);
		for (size_t bit = 0; bit < len * 8; bit++, rounds++) {
			uint64_t before = sk_hash(key, len, 7), changed;
			int n;

			key[bit / 8] ^= (unsigned char)(1u << bit % 8);
			changed = before ^ sk_hash(key, len, 7);
			key[bit / 8] ^= (unsigned char)(1u << bit % 8);
			n = __builtin_popcountll(changed);
			flips += (uint64_t)n;
			least = n < least ? n : least;
		}
	}
	/* 6,560 rounds of 64 fair coins: the mean is within 32 +- 0.2 (4 sigma), the least far over 8. */
	ck_assert_msg(fabs((double)flips / (double)rounds - 32) < 0.2, "mean %f", (double)flips / (double)rounds);
	ck_assert_int_gt(least, 8);
}
END_TEST

START_TEST(hashes_of_counting_keys_do_not_collide)
{
	enum { KEYS = 100000 };
	uint64_t *hashes = calloc(KEYS, sizeof(*hashes));
	uint32_t *buckets = calloc(65536, sizeof(*buckets));
	double chi = 0;

	ck_assert_ptr_nonnull(hashes);
	ck_assert_ptr_nonnull(buckets);
	for (int i = 0; i < KEYS; i++) {
		char key[16];

		hashes[i] = sk_hash(key, (size_t)snprintf(key, sizeof(key), "%d", i), 1);
		buckets[hashes[i] & 65535]++;
	}
	for (int i = 0; i < 65536; i++)
		chi += pow(buckets[i] - KEYS / 65536.0, 2) / (KEYS / 65536.0);
	/* Chi-square with 65,535 degrees of freedom: standard deviation 362. */
	ck_assert_msg(fabs(chi - 65535) < 5 * 362, "chi-square %f", chi);
	ck_assert_uint_ne(sk_hash("a", 1, 1), sk_hash("a", 1, 2));
	ck_assert_uint_ne(sk_hash("a\0", 2, 1), sk_hash("a", 1, 1));
	free(hashes);
	free(buckets);
}
END_TEST

START_TEST(a_table_finds_what_was_put_and_nothing_else)
{
	enum { KEYS = 5000 };
	static char keys[KEYS][8];
	struct sk_table t;

	ck_assert_int_eq(sk_table_init(&t, 10), SK_OK);
	for (int i = 0; i < KEYS; i++) {
		snprintf(keys[i], sizeof(keys[i]), "k%d", i);
		ck_assert_int_eq(sk_table_put(&t, keys[i], strlen(keys[i]), i), SK_OK);
	}
	ck_assert_uint_eq(t.len, KEYS);
	ck_assert_int_eq(sk_table_put(&t, "k17", 3, -5), SK_OK);
	ck_assert_int_eq(sk_table_put(&t, "", 0, 99), SK_OK);
	ck_assert_uint_eq(t.len, KEYS + 1);
	for (int i = 0; i < KEYS; i++)
		ck_assert_int_eq(sk_table_find(&t, keys[i], strlen(keys[i]), -1), i == 17 ? -5 : i);
	ck_assert_int_eq(sk_table_find(&t, "", 0, -1), 99);
	ck_assert_int_eq(sk_table_find(&t, "k5000", 5, -1), -1);
	ck_assert_int_eq(sk_table_find(&t, "k17x", 4, -1), -1);
	sk_table_fini(&t);
	ck_assert_int_eq(sk_table_find(&t, "k1", 2, -7), -7);
	ck_assert_int_eq(sk_table_put(&t, "k1", 2, 3), SK_OK);
	ck_assert_int_eq(sk_table_find(&t, "k1", 2, -7), 3);
	sk_table_fini(&t);
	ck_assert_int_eq(sk_table_init(&t, UINT32_MAX), SK_ETOOBIG);
}
END_TEST

/* ---- ring --------------------------------------------------------------------------------------------------- */

START_TEST(a_ring_is_full_and_empty_when_it_should_be)
{
	struct sk_ring r;
	int item = 0;

	ck_assert_int_eq(sk_ring_init(&r, sizeof(int), 5), SK_OK);
	ck_assert_uint_eq(r.cap, 8);
	atomic_store(&r.head, UINT32_MAX - 3);          /* the counters wrap in the middle of the test */
	atomic_store(&r.tail, UINT32_MAX - 3);
	for (int round = 0; round < 3; round++) {
		for (int i = 0; i < 8; i++)
			ck_assert(sk_ring_put(&r, &i));
		ck_assert(!sk_ring_put(&r, &item));
		ck_assert_uint_eq(sk_ring_len(&r), 8);
		for (int i = 0; i < 8; i++) {
			ck_assert(sk_ring_take(&r, &item));
			ck_assert_int_eq(item, i);
		}
		ck_assert(!sk_ring_take(&r, &item));
	}
	sk_ring_fini(&r);
	ck_assert_int_eq(sk_ring_init(&r, UINT32_MAX, UINT32_MAX), SK_ETOOBIG);
	ck_assert_int_eq(sk_ring_init(&r, 0, 1), SK_EINVAL);
}
END_TEST

#define RING_ITEMS 200000

static void *ring_write(void *arg)
{
	struct sk_ring *r = arg;

	for (uint64_t i = 0; i < RING_ITEMS; i++) {
		uint64_t item[3] = { i, ~i, i * 3 };

		while (!sk_ring_put(r, item))
			sched_yield();
	}
	return NULL;
}

START_TEST(a_ring_carries_items_between_two_threads_in_order_and_whole)
{
	struct sk_ring r;
	pthread_t writer;

	ck_assert_int_eq(sk_ring_init(&r, 3 * sizeof(uint64_t), 64), SK_OK);
	ck_assert_int_eq(pthread_create(&writer, NULL, ring_write, &r), 0);
	for (uint64_t i = 0; i < RING_ITEMS; i++) {
		uint64_t item[3];

		while (!sk_ring_take(&r, item))
			sched_yield();
		if (item[0] != i || item[1] != ~i || item[2] != i * 3)
			ck_abort_msg("item %" PRIu64 " arrived as %" PRIu64, i, item[0]);
	}
	pthread_join(writer, NULL);
	sk_ring_fini(&r);
}
END_TEST

/* ---- random numbers ----------------------------------------------------------------------------------------- */

/* RFC 8439, section 2.3.2. */
START_TEST(chacha_gives_the_answer_of_its_specification)
{
	static const uint32_t nonce[3] = { 0x09000000, 0x4a000000, 0 }, want[SK_CHACHA_WORDS] = {
		0xe4e7f110, 0x15593bd1, 0x1fdd0f50, 0xc47120a3, 0xc7f4d1c7, 0x0368c033, 0x9aaa2204, 0x4e6cd4c3,
		0x466482d2, 0x09aa9f07, 0x05d7c214, 0xa2028bd9, 0xd19c12b5, 0xb94e16de, 0xe883d0cb, 0x4e3c50a2,
	};
	uint8_t key[SK_CHACHA_KEY_BYTES];
	uint32_t got[SK_CHACHA_WORDS];

	for (int i = 0; i < SK_CHACHA_KEY_BYTES; i++)
		key[i] = (uint8_t)i;
	sk_chacha_block(key, 1, nonce, got);
	ck_assert_mem_eq(got, want, sizeof(want));
}
END_TEST

/* The known answers that the authors of Philox publish with their library (kat_vectors, philox4x32 10 rounds). */
static const struct { uint32_t counter[4], key[2], want[4]; } philox_cases[] = {
	{ { 0, 0, 0, 0 }, { 0, 0 }, { 0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8 } },
	{ { 0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff }, { 0xffffffff, 0xffffffff },
	  { 0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd } },
	{ { 0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344 }, { 0xa4093822, 0x299f31d0 },
	  { 0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1 } },
};

START_TEST(philox_gives_the_known_answers)
{
	uint32_t out[4];

	sk_philox(philox_cases[_i].counter, philox_cases[_i].key, out);
	ck_assert_mem_eq(out, philox_cases[_i].want, sizeof(out));
}
END_TEST

START_TEST(uniform_draws_lie_between_zero_and_one_and_depend_on_all_three_numbers)
{
	double sum = 0, squares = 0;

	for (uint32_t i = 0; i < 100000; i++) {
		double u = sk_rand_uniform(42, 0, i);

		ck_assert(u > 0 && u < 1);
		sum += u;
		squares += u * u;
	}
	/* mean 1/2 +- 5 * 0.289/sqrt(1e5); mean square 1/3 */
	ck_assert_msg(fabs(sum / 1e5 - 0.5) < 0.005, "mean %f", sum / 1e5);
	ck_assert_msg(fabs(squares / 1e5 - 1.0 / 3) < 0.005, "mean square %f", squares / 1e5);
	ck_assert(sk_rand_uniform(1, 0, 5) == sk_rand_uniform(1, 0, 5));
	ck_assert(sk_rand_uniform(1, 0, 5) != sk_rand_uniform(2, 0, 5));
	ck_assert(sk_rand_uniform(1, 0, 5) != sk_rand_uniform(1, 1, 5));
	ck_assert(sk_rand_uniform(1, 0, 5) != sk_rand_uniform(1, 0, 6));
	ck_assert(sk_rand_uniform(1, 0, 5) != sk_rand_uniform(1 + (UINT64_C(1) << 32), 0, 5));
	ck_assert_uint_ne(sk_rand_seed(), sk_rand_seed());
}
END_TEST

/* ---- map, errors, log, clock -------------------------------------------------------------------------------- */

START_TEST(a_map_shows_the_file_and_names_what_is_wrong)
{
	char path[] = "/tmp/saker-test-map-XXXXXX";
	struct sk_map m = { .fd = -1 };
	struct sk_err err;
	int fd = mkstemp(path);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(sk_map_open(&m, path, &err), SK_EFORMAT);
	ck_assert_ptr_nonnull(strstr(err.text, "empty"));
	ck_assert_int_eq(write(fd, "hello", 5), 5);
	close(fd);
	ck_assert_int_eq(sk_map_open(&m, path, &err), SK_OK);
	ck_assert_uint_eq(m.len, 5);
	sk_map_drop(&m, 0, 5);
	sk_map_drop(&m, 3, SIZE_MAX);
	sk_map_drop(&m, SIZE_MAX, SIZE_MAX);
	ck_assert_mem_eq(m.data, "hello", 5);
	sk_map_fini(&m);
	ck_assert_int_eq(m.fd, -1);
	sk_map_fini(&m);
	unlink(path);
	ck_assert_int_eq(sk_map_open(&m, path, &err), SK_ENOENT);
	ck_assert_ptr_nonnull(strstr(err.text, path));
	ck_assert_int_eq(sk_map_open(&m, "/tmp", &err), SK_EFORMAT);
	ck_assert_ptr_nonnull(strstr(err.text, "directory"));
	ck_assert_int_eq(sk_map_open(&m, "/dev/null", NULL), SK_EFORMAT);
}
END_TEST

START_TEST(an_error_is_cut_on_a_character)
{
	struct sk_err err = { 0 };
	char text[1024];

	for (int i = 0; i < 4; i++) {
		memset(text, 'a', sizeof(text));
		for (int at = i; at + 4 < (int)sizeof(text) - 1; at += 4)
			memcpy(text + at, "\xf0\x9f\xa6\x85", 4);
		text[1000] = '\0';
		ck_assert_int_eq(sk_fail(&err, SK_EINVAL, "%s", text), SK_EINVAL);
		ck_assert(sk_utf8_valid(err.text, strlen(err.text)));
		ck_assert_uint_gt(strlen(err.text), sizeof(err.text) - 5);
	}
	ck_assert_int_eq(err.status, SK_EINVAL);
	ck_assert_int_eq(sk_fail(NULL, SK_EIO, "x"), SK_EIO);
	ck_assert_str_eq(sk_status_name(SK_EINVAL), "EINVAL");
	ck_assert_str_eq(sk_status_name(12345), "?");
	ck_assert_str_eq(sk_status_words(SK_OK), "success");
}
END_TEST

static const struct { const char *name; bool json; const char *message, *want; } log_cases[] = {
	{ "text", false, "hello", "Z info hello\n" },
	{ "a line break cannot begin a line", false, "a\nb\x1b", "Z info a\\x0ab\\x1b\n" },
	{ "JSON", true, "say \"hi\"\n", "Z\",\"level\":\"info\",\"message\":\"say \\\"hi\\\"\\u000a\"}\n" },
	{ "ill-formed bytes are replaced", false, "a\xff", "Z info a\xef\xbf\xbd\n" },
	{ "an escape of eight bits is one too", false, "a\xc2\x9b" "2J", "Z info a\\x9b2J\n" },
	{ "text is not turned round", false, "a\xe2\x80\xae" "b", "Z info a\\u202eb\n" },
};

START_TEST(a_log_message_is_one_line)
{
	int ends[2], saved = dup(STDERR_FILENO);
	char line[512] = "";
	ssize_t got;

	ck_assert_int_eq(pipe(ends), 0);
	dup2(ends[1], STDERR_FILENO);
	sk_log_init(SK_LOG_INFO, log_cases[_i].json);
	sk_log(SK_LOG_DEBUG, "never shown");
	sk_log(SK_LOG_INFO, "%s", log_cases[_i].message);
	dup2(saved, STDERR_FILENO);
	got = read(ends[0], line, sizeof(line) - 1);
	ck_assert_int_gt(got, 0);
	ck_assert_ptr_nonnull(strchr(line, 'Z'));
	ck_assert_msg(strcmp(strchr(line, 'Z'), log_cases[_i].want) == 0, "%s: %s", log_cases[_i].name, line);
	close(ends[0]);
	close(ends[1]);
	close(saved);
	sk_log_init(SK_LOG_INFO, false);
	ck_assert_int_eq(sk_log_level_find("WARN"), SK_LOG_WARN);
	ck_assert_int_eq(sk_log_level_find("loud"), -1);
}
END_TEST

/* What one call writes, from the message on. */
static void log_line(bool json, const char *message, const struct sk_log_field *f, size_t len, char *ret_line, size_t size)
{
	int ends[2], saved = dup(STDERR_FILENO);
	ssize_t got;

	ck_assert_int_eq(pipe(ends), 0);
	dup2(ends[1], STDERR_FILENO);
	sk_log_init(SK_LOG_INFO, json);
	sk_log_fields(SK_LOG_DEBUG, "never shown", f, len);
	sk_log_fields(SK_LOG_INFO, message, f, len);
	dup2(saved, STDERR_FILENO);
	sk_log_init(SK_LOG_INFO, false);
	got = read(ends[0], ret_line, size - 1);
	ck_assert_int_gt(got, 0);
	ret_line[got] = '\0';
	close(ends[0]);
	close(ends[1]);
	close(saved);
}

static const struct { const char *name; bool json; const char *value; size_t max; const char *want; } field_cases[] = {
	{ "plain", false, "a.b-c:1/x@y%2F+", 100, " v=a.b-c:1/x@y%2F+\n" },
	{ "plain in JSON", true, "abc", 100, ",\"v\":\"abc\"}\n" },
	{ "empty", false, "", 100, " v=\"\"\n" },
	{ "a blank cannot begin another field", false, "a status=200", 100, " v=\"a status=200\"\n" },
	{ "nor can a quote", false, "a\" b=\"c\\", 100, " v=\"a\\\" b=\\\"c\\\\\"\n" },
	{ "nor a line break a line", false, "a\r\nb", 100, " v=\"a\\u000d\\u000ab\"\n" },
	{ "a member of an object neither", true, "a\",\"status\":200,\"x\":\"\n", 100,
	  ",\"v\":\"a\\\",\\\"status\\\":200,\\\"x\\\":\\\"\\u000a\"}\n" },
	{ "a terminal's escape", true, "\x1b[2J\xc2\x9b" "1m\x7f", 100, ",\"v\":\"\\u001b[2J\\u009b1m\\u007f\"}\n" },
	{ "ill-formed bytes", true, "\xff\xc3(", 100, ",\"v\":\"\xef\xbf\xbd\xef\xbf\xbd(\"}\n" },
	{ "letters of any script", false, "J\xc3\xb6rg", 100, " v=\"J\xc3\xb6rg\"\n" },
	{ "too long", false, "abcdef", 3, " v=abc\n" },
	{ "cut inside a character", true, "ab\xc3\xb6", 3, ",\"v\":\"ab\xef\xbf\xbd\"}\n" },
};

START_TEST(a_field_of_a_log_line_stays_one)
{
	const struct sk_log_field f[] = { { .name = "n", .type = SK_LOG_INT, .i = -5 }, { .name = "absent", .type = SK_LOG_STR },
					  { .name = "t", .type = SK_LOG_MS, .i = 1234567 },
					  { .name = "v", .type = SK_LOG_STR, .s = field_cases[_i].value, .max = field_cases[_i].max } };
	char line[1024], want[512];

	snprintf(want, sizeof(want), "%s%s", field_cases[_i].json ? "\"message\":\"m\",\"n\":-5,\"t\":1234.567" :
		 "m n=-5 t=1234.567", field_cases[_i].want);
	log_line(field_cases[_i].json, "m", f, LEN(f), line, sizeof(line));
	ck_assert_msg(strstr(line, want) != NULL, "%s: %s", field_cases[_i].name, line);
}
END_TEST

START_TEST(fields_that_do_not_fit_leave_the_line_whole)
{
	char many[3000], line[16384];
	struct sk_log_field f[20];

	memset(many, 1, sizeof(many) - 1);
	many[sizeof(many) - 1] = '\0';
	for (int json = 0; json < 2; json++) {
		for (size_t i = 0; i < LEN(f); i++)
			f[i] = (struct sk_log_field){ .name = "v", .type = i % 2 ? SK_LOG_STR : SK_LOG_INT, .s = many, .max = 200 + i,
						      .i = INT64_MIN };
		log_line(json, "m", f, LEN(f), line, sizeof(line));
		ck_assert_uint_le(strlen(line), PIPE_BUF);
		ck_assert_uint_gt(strlen(line), PIPE_BUF - 60);
		ck_assert_str_eq(strchr(line, '\n'), "\n");
		if (json)
			ck_assert_str_eq(line + strlen(line) - 2, "}\n");
	}
}
END_TEST

static const struct { const char *name, *text; size_t repeat; const char *want; } sha256_cases[] = {
	{ "nothing", "", 1, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855" },
	{ "one block", "abc", 1, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad" },
	{ "padding in a block of its own", "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq", 1,
	  "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1" },
	{ "a million letters", "a", 1000000, "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0" },
};

START_TEST(sha256_gives_the_known_answers)
{
	size_t n = strlen(sha256_cases[_i].text), len = n * sha256_cases[_i].repeat;
	char *text = malloc(len + 1), hex[65];
	uint8_t got[SK_SHA256_BYTES], other[SK_SHA256_BYTES];

	ck_assert_ptr_nonnull(text);
	for (size_t i = 0; i < sha256_cases[_i].repeat; i++)
		memcpy(text + i * n, sha256_cases[_i].text, n);
	sk_sha256(text, len, got);
	for (int i = 0; i < SK_SHA256_BYTES; i++)
		snprintf(hex + 2 * i, 3, "%02x", got[i]);
	ck_assert_msg(strcmp(hex, sha256_cases[_i].want) == 0, "%s: %s", sha256_cases[_i].name, hex);
	memcpy(other, got, sizeof(got));
	ck_assert(sk_sha256_equal(got, other));
	for (int i = 0; i < SK_SHA256_BYTES * 8; i++) {
		other[i / 8] ^= (uint8_t)(1 << i % 8);
		ck_assert(!sk_sha256_equal(got, other));
		other[i / 8] ^= (uint8_t)(1 << i % 8);
	}
	free(text);
}
END_TEST

START_TEST(a_duration_is_counted_below_its_limit)
{
	struct sk_times_shared shared = { 0 };
	struct sk_times t = { 0 }, read;

	for (int k = 0; k < SK_TIMES; k++) {
		int64_t us = (int64_t)floor(sk_times_limit_s(k) * 1e6 + 1e-6);

		ck_assert_int_eq(sk_times_bucket(us), k);
		ck_assert_int_eq(sk_times_bucket(us + 1), k + 1);
	}
	ck_assert_int_eq(sk_times_bucket(-1), 0);
	ck_assert_int_eq(sk_times_bucket(INT64_MAX), SK_TIMES);
	sk_times_add(&t, 100);
	sk_times_add(&t, 300);
	sk_times_add(&t, -300);
	sk_times_tell(&shared, 100);
	sk_times_tell(&shared, 300);
	sk_times_tell(&shared, -300);
	ck_assert(t.counts[0] == 2 && t.counts[2] == 1 && t.sum_us == 400);
	sk_times_read(&shared, &read);
	ck_assert_mem_eq(&t, &read, sizeof(t));
}
END_TEST

START_TEST(the_longest_message_is_one_line_that_a_pipe_takes_whole)
{
	int ends[2], saved = dup(STDERR_FILENO);
	char message[4000], line[16384] = "";
	ssize_t got;

	memset(message, 1, sizeof(message) - 1);
	message[sizeof(message) - 1] = '\0';
	ck_assert_int_eq(pipe(ends), 0);
	dup2(ends[1], STDERR_FILENO);
	sk_log_init(SK_LOG_INFO, true);
	sk_log(SK_LOG_INFO, "%s", message);
	dup2(saved, STDERR_FILENO);
	sk_log_init(SK_LOG_INFO, false);
	got = read(ends[0], line, sizeof(line) - 1);
	ck_assert_int_gt(got, 4000);
	ck_assert_int_le(got, PIPE_BUF);
	ck_assert_str_eq(line + got - 9, "\\u0001\"}\n");
	close(ends[0]);
	close(ends[1]);
	close(saved);
}
END_TEST

START_TEST(the_clock_does_not_go_back)
{
	int64_t before = sk_now_us();

	ck_assert_int_gt(before, 0);
	ck_assert_int_ge(sk_now_us(), before);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("base");
	TCase *t = tcase_create("base");
	SRunner *runner;
	int failed;

	tcase_set_timeout(t, 60);
	tcase_add_test(t, a_buffer_refuses_the_byte_too_many_and_remembers);
	tcase_add_test(t, a_buffer_formats_short_and_long_text);
	tcase_add_loop_test(t, json_strings_are_escaped, 0, LEN(json_cases));
	tcase_add_test(t, a_number_of_bytes_is_shown_in_the_unit_that_fits);
	tcase_add_test(t, an_arena_gives_zeroed_aligned_pieces_up_to_its_limit);
	tcase_add_loop_test(t, utf8_follows_table_3_7, 0, LEN(utf8_cases));
	tcase_add_test(t, every_scalar_value_makes_a_round_trip);
	tcase_add_loop_test(t, ill_formed_parts_are_replaced_one_by_one, 0, LEN(lossy_cases));
	tcase_add_test(t, one_changed_bit_changes_about_half_of_the_hash);
	tcase_add_test(t, hashes_of_counting_keys_do_not_collide);
	tcase_add_test(t, a_table_finds_what_was_put_and_nothing_else);
	tcase_add_test(t, a_ring_is_full_and_empty_when_it_should_be);
	tcase_add_test(t, a_ring_carries_items_between_two_threads_in_order_and_whole);
	tcase_add_test(t, chacha_gives_the_answer_of_its_specification);
	tcase_add_loop_test(t, philox_gives_the_known_answers, 0, LEN(philox_cases));
	tcase_add_test(t, uniform_draws_lie_between_zero_and_one_and_depend_on_all_three_numbers);
	tcase_add_test(t, a_map_shows_the_file_and_names_what_is_wrong);
	tcase_add_test(t, an_error_is_cut_on_a_character);
	tcase_add_loop_test(t, a_log_message_is_one_line, 0, LEN(log_cases));
	tcase_add_loop_test(t, a_field_of_a_log_line_stays_one, 0, LEN(field_cases));
	tcase_add_test(t, fields_that_do_not_fit_leave_the_line_whole);
	tcase_add_loop_test(t, sha256_gives_the_known_answers, 0, LEN(sha256_cases));
	tcase_add_test(t, a_duration_is_counted_below_its_limit);
	tcase_add_test(t, the_longest_message_is_one_line_that_a_pipe_takes_whole);
	tcase_add_test(t, the_clock_does_not_go_back);
	suite_add_tcase(s, t);
	runner = srunner_create(s);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
