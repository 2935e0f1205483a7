/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Spoilt streams of FastCGI records against the real loop, with the engine double, beside an honest client whose answers must stay the
 * same, byte for byte. In the end nothing is left: no connection, stream, permit, block, descriptor or (with ASan) byte of memory.
 *
 *	mutate_records [COUNT [SEED]]           default 3000, 1; tests/run.sh --long asks for 100,000
 *
 * A stream is a good one (or one of tests/fuzz/corpus/fcgi) with up to eight mutations, most of them of whole records, as a byte
 * changed anywhere is nearly always a version or a length. It is sent in pieces; then the peer reads to the end, leaves, or stays.
 */
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fcgi/record.h"
#include "tests/front/wire.h"

#define STREAM_BYTES_MAX ((size_t)300000)
#define SEEDS_MAX 64
#define RECORDS_MAX 512
#define HELD 64                         /* peers that stay and say nothing more, at most */
#define GROWTH_KIB_MAX 16384            /* of memory after the first tenth: sockets' buffers, libfcgi's writers, malloc's pieces */

static struct wire_server server;
static struct sk_buf seeds[SEEDS_MAX];
static int seeds_len;
static uint64_t state;

/* SplitMix64 (Steele, Lea, Flood 2014). */
static uint32_t below(uint32_t n)
{
	uint64_t z = state += 0x9e3779b97f4a7c15;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
	z = (z ^ z >> 27) * 0x94d049bb133111eb;
	return (uint32_t)((z ^ z >> 31) >> 33) % n;
}

/* ---- good streams ------------------------------------------------------------------------------------------- */

static struct sk_buf *seed_add(void)
{
	sk_buf_init(&seeds[seeds_len], STREAM_BYTES_MAX);
	return &seeds[seeds_len++];
}

static void seeds_make(void)
{
	static char large[40000];
	static const struct wire_ask asks[] = {
		{ .uri = "/livez" }, { .uri = "/metrics" }, { .uri = "/requests", .id = 7 }, { .method = "HEAD", .uri = "/info" },
		{ .method = "POST", .uri = "/generate", .body = WIRE_GEN(3, "hello") },
		{ .method = "POST", .uri = "/generate_stream", .body = WIRE_GEN(20, "hello"), .id = 2 },
		{ .method = "POST", .uri = "/generate_stream", .body = WIRE_GEN(9, "@wide") },
		{ .method = "POST", .uri = "/generate_stream", .body = WIRE_GEN(9, "@silent") },
		{ .method = "POST", .uri = "/generate", .body = WIRE_GEN(9, "@fail") },
		{ .method = "POST", .uri = "/generate", .body = large }, { .method = "POST", .uri = "/nothing", .body = "{}" },
		{ .method = "OPTIONS", .uri = "/generate", .origin = "https://a.example" },
		{ .method = "DELETE", .uri = "/requests/x" }, { .method = "POST", .uri = "/generate", .body = "{\"inputs\":" },
	};
	struct sk_buf pairs = SK_BUF(1 << 10);

	memset(large, ' ', sizeof large - 1);
	memcpy(large, WIRE_GEN(1, "x"), strlen(WIRE_GEN(1, "x")));
	for (size_t i = 0; i < sizeof asks / sizeof *asks; i++)
		wire_request(seed_add(), &asks[i]);
	for (size_t i = 0; i + 1 < sizeof asks / sizeof *asks; i++) {   /* two requests and questions on one connection */
		struct wire_ask kept = asks[i];
		struct sk_buf *b = seed_add();

		kept.keep = true;
		sk_buf_clear(&pairs);
		wire_pair(&pairs, "FCGI_MPXS_CONNS", "");
		wire_record(b, SK_FCGI_GET_VALUES, 0, pairs.data, pairs.len);
		wire_request(b, &kept);
		wire_record(b, 42, 0, "what", 4);
		wire_request(b, &asks[i + 1]);
	}
	sk_buf_fini(&pairs);
}

/* The fuzzer's corpus; its first byte is the size of pieces. */
static void seeds_read(void)
{
	const char *srcdir = getenv("srcdir");
	char dir[512], path[1024];
	struct dirent *e;
	DIR *d;

	snprintf(dir, sizeof dir, "%s/tests/fuzz/corpus/fcgi", srcdir ? srcdir : ".");
	d = opendir(dir);
	while (d && (e = readdir(d)) && seeds_len < SEEDS_MAX) {
		unsigned char bytes[4096];
		size_t len;
		FILE *f;

		snprintf(path, sizeof path, "%s/%s", dir, e->d_name);
		f = e->d_name[0] == '.' ? NULL : fopen(path, "re");
		if (!f)
			continue;
		while ((len = fread(bytes, 1, sizeof bytes, f)) > 1 && len < sizeof bytes)
			sk_buf_add(seed_add(), bytes + 1, len - 1);
		fclose(f);
	}
	if (d)
		closedir(d);
}

/* ---- spoiling them ------------------------------------------------------------------------------------------ */

struct cut { size_t at, len; };

/* Where the records of a stream begin, as far as their lengths can be believed. */
static int records_find(const struct sk_buf *b, struct cut cuts[RECORDS_MAX])
{
	int n = 0;

	for (size_t at = 0; at + 8 <= b->len && n < RECORDS_MAX;) {
		const uint8_t *h = (const uint8_t *)b->data + at;
		size_t len = 8 + ((size_t)h[4] << 8 | h[5]) + h[6];

		cuts[n++] = (struct cut){ at, len < b->len - at ? len : b->len - at };
		at += cuts[n - 1].len;
	}
	return n;
}

/* b[at, at + gone) becomes p[0, len). */
static void replace(struct sk_buf *b, size_t at, size_t gone, const void *p, size_t len)
{
	struct sk_buf out = SK_BUF(STREAM_BYTES_MAX);

	if (b->len - gone + len <= STREAM_BYTES_MAX) {
		sk_buf_add(&out, b->data, at);
		sk_buf_add(&out, p, len);
		sk_buf_add(&out, b->data + at + gone, b->len - at - gone);
		sk_buf_fini(b);
		*b = out;
	}
}

static void insert_record(struct sk_buf *b, size_t at)
{
	static const uint8_t types[] = { 1, 2, 2, 2, 4, 5, 8, 9, 9, 11, 0, 77 };
	struct sk_buf r = SK_BUF(70000);
	uint8_t content[600];
	size_t len = below(4) ? below(24) : below(sizeof content);

	for (size_t i = 0; i < len; i++)
		content[i] = (uint8_t)below(256);
	for (uint32_t times = below(20) ? 1 : 1 + below(200); times; times--)
		wire_record(&r, types[below(sizeof types)], below(3) ? 1 : (int)below(65536), content, len);
	replace(b, at, 0, r.data, r.len);
	sk_buf_fini(&r);
}

static void mutate(struct sk_buf *b)
{
	struct cut cuts[RECORDS_MAX], c;
	int n = records_find(b, cuts);
	uint8_t *s = (uint8_t *)b->data;
	char copy[70000];

	if (!n)
		return;
	c = cuts[below((uint32_t)n)];
	switch (below(10)) {
	case 0:         /* a byte anywhere */
		s[below((uint32_t)b->len)] = (uint8_t)below(256);
		break;
	case 1:         /* a bit of a head */
		s[c.at + below(c.len < 8 ? (uint32_t)c.len : 8)] ^= (uint8_t)(1u << below(8));
		break;
	case 2:         /* a length or a padding that lies */
		if (c.len >= 8)
			s[c.at + 4 + below(3)] = (uint8_t)(below(3) ? below(256) : 255);
		break;
	case 3:         /* another id or type */
		if (c.len >= 8)
			s[c.at + 1 + 2 * below(2)] = (uint8_t)below(12);
		break;
	case 4:
		replace(b, c.at, c.len, "", 0);
		break;
	case 5:         /* a record twice, there or elsewhere */
		if (c.len < sizeof copy) {
			memcpy(copy, s + c.at, c.len);
			replace(b, cuts[below((uint32_t)n)].at, 0, copy, c.len);
		}
		break;
	case 6:
		insert_record(b, c.at);
		break;
	case 7:         /* the end is missing */
		b->len = below((uint32_t)b->len) + 1;
		break;
	case 8: {       /* another stream, or its tail, in the middle */
		const struct sk_buf *other = &seeds[below((uint32_t)seeds_len)];
		size_t from = below((uint32_t)other->len);

		replace(b, c.at, below(2) ? c.len : 0, other->data + from, other->len - from);
		break;
	}
	default:        /* a byte of what a record holds */
		if (c.len > 8)
			s[c.at + 8 + below((uint32_t)(c.len - 8))] = (uint8_t)below(256);
		break;
	}
}

/* ---- sending them ------------------------------------------------------------------------------------------- */

static int held[HELD], held_len;

static void hold(int fd)
{
	if (held_len == HELD) {
		close(held[0]);
		memmove(held, held + 1, (HELD - 1) * sizeof *held);
		held_len--;
	}
	held[held_len++] = fd;
}

/* Whether the server hangs up in time, once it knows that nothing more comes. */
static bool ends(int fd)
{
	const struct timeval most = { .tv_sec = WIRE_WAIT_MS / 1000 };
	char bytes[65536];
	ssize_t n;

	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &most, sizeof most);
	shutdown(fd, SHUT_WR);
	while ((n = recv(fd, bytes, sizeof bytes, 0)) > 0)
		;
	close(fd);
	return n == 0 || errno == ECONNRESET;
}

static const char *attack(void)
{
	const struct sk_buf *from = &seeds[below((uint32_t)seeds_len)];
	struct sk_buf b = SK_BUF(STREAM_BYTES_MAX);
	uint32_t pieces = below(4) ? 1 : 1 + below(9);
	int fd = wire_connect(server.path);
	const char *why = NULL;
	bool open = fd >= 0;

	if (fd < 0)
		return "the server refuses a connection";
	sk_buf_add(&b, from->data, from->len);
	for (uint32_t n = 1 + below(8); n; n--)
		mutate(&b);
	for (size_t at = 0, len; at < b.len && open; at += len) {
		len = b.len / pieces + 1 < b.len - at ? b.len / pieces + 1 : b.len - at;
		open = wire_send(fd, b.data + at, len);
	}
	sk_buf_fini(&b);
	switch (below(8)) {
	case 0: case 1:
		close(fd);
		break;
	case 2:
		hold(fd);
		break;
	default:
		why = ends(fd) ? NULL : "the server does not hang up";
		break;
	}
	return why;
}

/* ---- the honest client -------------------------------------------------------------------------------------- */

static const struct wire_ask honest_asks[] = {
	{ .method = "POST", .uri = "/generate", .body = WIRE_GEN(30, "honest") },
	{ .method = "POST", .uri = "/generate_stream", .body = WIRE_GEN(200, "honest") },
	{ .uri = "/livez" }, { .uri = "/info" },
};
#define HONEST (sizeof honest_asks / sizeof *honest_asks)

/* A child that asks until the pipe is closed; its exit code says whether all answers were the first one's twins. */
static int honest(int until)
{
	char *want[HONEST] = { NULL };
	long answers = 0, wrong = 0;

	for (bool stop = false; !stop; stop = read(until, &(char){ 0 }, 1) == 0) {
		for (size_t i = 0; i < HONEST; i++) {
			struct wire_answer a;
			bool ok = wire_ask(server.path, &honest_asks[i], &a) && a.whole && a.status == 200;

			if (ok && !want[i])
				want[i] = strdup(a.body);
			answers++;
			if (!ok || strcmp(a.body, want[i])) {
				wrong++;
				printf("FAIL honest client: %s: status %d, %.300s\n", honest_asks[i].uri, a.status, a.body);
			}
			wire_answer_fini(&a);
		}
	}
	for (size_t i = 0; i < HONEST; i++)
		free(want[i]);
	printf("honest client: %ld answers, %ld wrong\n", answers, wrong);
	return wrong != 0 || answers < (long)HONEST;
}

static pid_t honest_start(int *ret_pipe)
{
	int ends_of[2];
	pid_t pid;

	if (pipe2(ends_of, O_CLOEXEC | O_NONBLOCK) < 0)
		exit(1);
	fflush(NULL);
	pid = fork();
	if (!pid) {
		close(ends_of[1]);
		exit(honest(ends_of[0]));
	}
	close(ends_of[0]);
	*ret_pipe = ends_of[1];
	return pid;
}

static bool is_sanitized(void)
{
	return dlsym(RTLD_DEFAULT, "__asan_init") || dlsym(RTLD_DEFAULT, "__tsan_init");
}

/* ---- all ---------------------------------------------------------------------------------------------------- */

/* NULL, or what went wrong; all of it was said. */
static const char *attacks(long count, uint64_t seed)
{
	long rss = -1;

	for (long i = 0; i < count; i++) {
		const char *why;

		state = seed * 1000003 + (uint64_t)i * 1000;    /* one number leads back to a stream */
		why = attack();
		if (!why && !wire_server_alive(&server))
			why = "the server is gone";
		if (why) {
			printf("FAIL stream %ld of seed %llu: %s\n", i, (unsigned long long)seed, why);
			return why;
		}
		if (i == count / 10)
			rss = wire_server_rss_kib(&server);
	}
	if (!is_sanitized() && wire_server_rss_kib(&server) > rss + GROWTH_KIB_MAX) {
		printf("FAIL memory: %ld KiB after a tenth, %ld in the end\n", rss, wire_server_rss_kib(&server));
		return "memory grows";
	}
	return NULL;
}

int main(int argc, char **argv)
{
	static const char *const flags[] = { "--read-timeout-ms", "2000", "--payload-limit", "128K", "--log-level", "error",
					     "--max-concurrent-requests", "1000", "--comment-interval-ms", "3600000", NULL };
	long count = argc > 1 ? strtol(argv[1], NULL, 10) : 3000;
	uint64_t seed = argc > 2 ? strtoull(argv[2], NULL, 10) : 1;
	int fds, tell, status = 0, code;
	const char *why, *rest;
	int64_t began = wire_now_ms();
	pid_t other;
	char *log;

	setvbuf(stdout, NULL, _IOLBF, 0);
	signal(SIGPIPE, SIG_IGN);
	setenv("SAKER_DOUBLE_RATE", "2000", 1);
	unsetenv("SAKER_DOUBLE_TRACE");
	wire_server_init(&server);
	wire_server_start(&server, flags, NULL);
	if (!wire_server_ready(&server)) {
		printf("FAIL the server does not start\n");
		return 1;
	}
	seeds_make();
	seeds_read();
	fds = wire_server_fds(&server);
	other = honest_start(&tell);
	why = attacks(count, seed);
	while (held_len)
		close(held[--held_len]);
	close(tell);
	if (waitpid(other, &status, 0) != other || status)
		why = "the honest client";
	rest = wire_server_rests(&server, NULL, fds);
	code = wire_server_alive(&server) ? wire_server_stop(&server) : wire_server_wait(&server);
	log = wire_server_log(&server);
	if (rest || code || strstr(log, "Sanitizer")) {
		printf("FAIL the server: %s, ends with %d:\n%s\n", rest ? rest : "nothing is left", code, log);
		why = "the server";
	}
	free(log);
	for (int i = 0; i < seeds_len; i++)
		sk_buf_fini(&seeds[i]);
	wire_server_fini(&server);
	printf("%ld spoilt streams of %d good ones, seed %llu, %.1f s: %s\n", count, seeds_len, (unsigned long long)seed,
	       (double)(wire_now_ms() - began) / 1e3, why ? "failed" : "nothing lost, nothing left");
	return why != NULL;
}
