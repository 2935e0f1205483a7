/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The front when memory, descriptors, sockets and the log fail: in each act below every call of each kind fails once, in turn.
 *
 * Each time: the process lives; the request that met the fault is answered as ever, with an error that says so, or its connection is
 * closed, and no byte of a wrong answer is sent; the next one on a fresh connection is served right. In the end nothing is left: no
 * connection, no generation, no permit, no descriptor, and (with ASan) no memory.
 *
 *	test_front_faults [WORDS]       only acts whose name has these words
 */
#include <ctype.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "fcgi/record.h"
#include "tests/fault/faults.h"
#include "tests/front/wire.h"

#define KEY "key-of-alice"
#define CALLS_MAX 5000                  /* an act with more is one that does not end */

static struct wire_server server;
static int note = -1;                   /* NOTIFY_SOCKET: what systemd would hear */
static const char *note_path;
static bool armed;                      /* a fault may be met: answers that say so are right too */

static const char *const flags_of_server[] = {
	"--api-key-file", server.keys, "--conf", server.conf, "--comment-interval-ms", "3600000", "--payload-limit", "1M",
	"--read-timeout-ms", "3000", "--write-timeout-ms", "3000", "--log-level", "debug", NULL
};

/* ---- what is right ------------------------------------------------------------------------------------------ */

/* In place: each number becomes one 0, so that times and counts compare. */
static void numbers_fold(char *s)
{
	bool inside = false;
	char *to = s;

	for (; *s; s++) {
		bool digit = isdigit((unsigned char)*s);

		if (!digit || !inside)
			*to++ = digit ? '0' : *s;
		inside = digit;
	}
	*to = '\0';
}

static bool has(const struct wire_answer *a, const char *words)
{
	return strstr(a->body, words) != NULL;
}

/* An error that says what is missing, and is the client's fault in no case. One of HEAD has no words. */
static bool is_error(const struct wire_answer *a)
{
	return a->whole && (a->status == 503 || a->status == 500 || a->status == 424 || a->status == 429) &&
	       (!*a->body || has(a, "error_type") || has(a, "{\"Message\":\"Out of memory"));
}

/* A part of the answer wanted, then nothing or an error event. */
static bool is_cut_stream(const struct wire_answer *a, const char *want)
{
	const char *error = strstr(a->body, "data: {\"error\":");
	size_t len = error ? (size_t)(error - a->body) : strlen(a->body);

	return (!a->whole || error) && len <= strlen(want) && memcmp(a->body, want, len) == 0;
}

/* ---- acts that are one request ------------------------------------------------------------------------------ */

static char long_body[300000], too_long_body[1100000];

static struct single {
	const char *name, *method, *uri, *body, *key, *origin;
	int status;
	bool folded;                    /* numbers differ from one time to the next */
	/* seen without a fault */
	char *want;
	size_t names;
} singles[] = {
	{ "one JSON object", "POST", "/generate", WIRE_GEN(5, "hello"), KEY, NULL, 200, false, NULL, 0 },
	{ "details", "POST", "/generate", "{\"inputs\":\"a\",\"parameters\":{\"max_new_tokens\":3,\"details\":true,\"stop\":[\"yy\"],"
	  "\"decoder_input_details\":false,\"return_full_text\":true}}", KEY, NULL, 200, true, NULL, 0 },
	{ "a list", "POST", "/", WIRE_GEN(3, "hello"), KEY, NULL, 200, false, NULL, 0 },
	{ "SageMaker's path", "POST", "/endpoints/a%2Fb/invocations", WIRE_GEN(3, "hello"), KEY, NULL, 200, false, NULL, 0 },
	{ "SageMaker's stream", "POST", "/endpoints/a/invocations-response-stream", "{\"inputs\":\"hello\",\"stream\":true,"
	  "\"parameters\":{\"max_new_tokens\":5}}", KEY, NULL, 200, true, NULL, 0 },
	{ "SageMaker's error", "POST", "/endpoints/a/invocations", WIRE_GEN(0, "hello"), KEY, NULL, 424, false, NULL, 0 },
	{ "a stream", "POST", "/generate_stream", WIRE_GEN(20, "hello"), KEY, NULL, 200, true, NULL, 0 },
	{ "a wide stream", "POST", "/generate_stream", WIRE_GEN(40, "@wide"), KEY, NULL, 200, true, NULL, 0 },
	{ "a wide object", "POST", "/generate", WIRE_GEN(60, "@wide"), KEY, NULL, 200, false, NULL, 0 },
	{ "an object that fails", "POST", "/generate", WIRE_GEN(5, "@fail"), KEY, NULL, 424, false, NULL, 0 },
	{ "a stream that fails", "POST", "/generate_stream", WIRE_GEN(5, "@fail"), KEY, NULL, 200, true, NULL, 0 },
	{ "equal keys", "POST", "/generate", "{\"inputs\":\"a\",\"inputs\":\"b\",\"parameters\":{\"max_new_tokens\":2,\"seed\":1,\"seed\":2}}",
	  KEY, NULL, 422, false, NULL, 0 },
	{ "keys that are equal and unknown", "POST", "/generate", "{\"inputs\":\"a\",\"x\":1,\"x\":{\"y\":1,\"y\":2},\"parameters\":"
	  "{\"max_new_tokens\":2,\"z\":1,\"z\":2}}", KEY, NULL, 200, false, NULL, 0 },
	{ "a wide number", "POST", "/generate", "{\"inputs\":\"a\",\"x\":99999999999999999999999,\"parameters\":{\"max_new_tokens\":2}}",
	  KEY, NULL, 200, false, NULL, 0 },
	{ "a value of the wrong type", "POST", "/generate", "{\"inputs\":\"a\",\"parameters\":{\"max_new_tokens\":\"b\"}}", KEY, NULL,
	  422, false, NULL, 0 },
	{ "no JSON", "POST", "/generate", "{\"inputs\":", KEY, NULL, 400, false, NULL, 0 },
	{ "a body of 300 KB", "POST", "/generate", long_body, KEY, NULL, 200, false, NULL, 0 },
	{ "a body over the limit", "POST", "/generate", too_long_body, KEY, NULL, 413, false, NULL, 0 },
	{ "a body without a key", "POST", "/generate", long_body, "nobody", NULL, 401, false, NULL, 0 },
	{ "no path", "GET", "/nothing", NULL, KEY, NULL, 404, false, NULL, 0 },
	{ "tokens of a text", "POST", "/tokenize", "{\"inputs\":\"hello\",\"add_special_tokens\":false}", KEY, NULL, 200, false, NULL, 0 },
	{ "the text of tokens", "POST", "/detokenize", "{\"tokens\":[65,66,67]}", KEY, NULL, 200, false, NULL, 0 },
	{ "no such method", "GET", "/generate", NULL, KEY, NULL, 405, false, NULL, 0 },
	{ "a preflight request", "OPTIONS", "/generate", NULL, NULL, "https://a.example", 200, false, NULL, 0 },
	{ "only a head", "HEAD", "/info", NULL, KEY, NULL, 200, false, NULL, 0 },
	{ "health", "GET", "/health", NULL, NULL, NULL, 200, false, NULL, 0 },
	{ "life", "GET", "/livez", NULL, NULL, NULL, 200, false, NULL, 0 },
	{ "metrics", "GET", "/metrics", NULL, KEY, NULL, 200, true, NULL, 0 },
	{ "info", "GET", "/info", NULL, KEY, NULL, 200, false, NULL, 0 },
	{ "requests", "GET", "/requests", NULL, KEY, NULL, 200, true, NULL, 0 },
	{ "a request that is not there", "DELETE", "/requests/x", NULL, KEY, NULL, 404, false, NULL, 0 },
};
#define SINGLES (sizeof singles / sizeof *singles)

static struct wire_ask ask_of(const struct single *s)
{
	return (struct wire_ask){ .method = s->method, .uri = s->uri, .body = s->body, .key = s->key, .origin = s->origin };
}

/* NULL: right; else what is wrong. The first answer of all becomes the one that is wanted. */
static const char *judge(struct single *s, struct wire_answer *a)
{
	static char why[600];
	size_t len = strlen(a->body), same = 0;

	if (s->folded && *a->body)
		numbers_fold((char *)a->body);
	if (!s->want) {
		if (!a->whole || a->status != s->status) {
			snprintf(why, sizeof why, "status %d, want %d: %.300s", a->status, s->status, a->body);
			return why;
		}
		s->want = strdup(a->body);
		s->names = a->names;
		return NULL;
	}
	if (a->whole && a->status == s->status && a->names == s->names && strcmp(a->body, s->want) == 0)
		return NULL;
	if (armed && (is_error(a) || (!a->whole && !a->status) || (a->status == s->status && is_cut_stream(a, s->want))))
		return NULL;
	while (same < len && a->body[same] == s->want[same])
		same++;
	snprintf(why, sizeof why, "%s answer of status %d with %zu lines of head (want %d, %zu), %zu bytes (want %zu), different from byte "
		 "%zu on: %.200s", a->whole ? "whole" : "cut", a->status, a->names, s->status, s->names, len, strlen(s->want), same,
		 a->body + same);
	return why;
}

static const char *ask_single(struct single *s)
{
	const struct wire_ask ask = ask_of(s);
	struct wire_answer a;
	const char *why = wire_ask(server.path, &ask, &a) ? judge(s, &a) : "no answer in time";

	wire_answer_fini(&a);
	return why;
}

/* ---- acts of several steps ---------------------------------------------------------------------------------- */

/* Open a stream that says nothing, and read its head. -1: it was not to be. */
static int silent_open(struct wire_answer *a)
{
	const struct wire_ask ask = { .method = "POST", .uri = "/generate_stream", .body = WIRE_GEN(9, "@silent"), .key = KEY };
	struct sk_buf b = SK_BUF(1 << 16);
	int fd = wire_connect(server.path);

	*a = (struct wire_answer){ .out = SK_BUF(1 << 20), .body = "" };
	if (fd < 0)
		return -1;
	wire_request(&b, &ask);
	wire_send(fd, b.data, b.len);
	sk_buf_fini(&b);
	wire_read(fd, 1, ": ok\n\n", a);
	return fd;
}

/* Asked for by its end, its abort, or DELETE, the generation of a silent stream is freed. */
static const char *leave(int how)
{
	struct wire_answer a;
	struct sk_buf b = SK_BUF(64);
	int fd = silent_open(&a);
	const char *id = strstr(sk_buf_str(&a.out), "x-request-id: "), *why = NULL;
	char uri[128] = "";

	if (!has(&a, ": ok") && !armed)
		why = "the stream does not begin";
	if (how == 1) {
		wire_record(&b, SK_FCGI_ABORT_REQUEST, 1, "", 0);
		wire_send(fd, b.data, b.len);
	} else if (how == 2 && id) {
		struct wire_answer deleted;
		const struct wire_ask ask = { .method = "DELETE", .uri = uri, .key = KEY };

		snprintf(uri, sizeof uri, "/requests/%.*s", (int)strcspn(id + 14, "\r"), id + 14);
		wire_ask(server.path, &ask, &deleted);
		if (!armed && (deleted.status != 200 || !wire_read(fd, 1, NULL, &a) || !has(&a, "incomplete_generation")))
			why = "it was not cancelled";
		wire_answer_fini(&deleted);
	}
	close(fd);
	wire_answer_fini(&a);
	sk_buf_fini(&b);
	return why ? why : wire_metric_becomes(&server, KEY, "saker_open_streams", 0) ? NULL : "its generation is not freed";
}

static const char *leave_by_close(void)
{
	return leave(0);
}

static const char *leave_by_abort(void)
{
	return leave(1);
}

static const char *leave_by_delete(void)
{
	return leave(2);
}

/* Two requests on one connection, and questions about the server before, between and after them. */
static const char *keep_and_ask(void)
{
	struct wire_ask ask = ask_of(&singles[0]);
	int fd = wire_connect(server.path);
	const char *why = NULL;

	for (int i = 0; i < 2 && !why && fd >= 0; i++) {
		struct sk_buf b = SK_BUF(1 << 16), pairs = SK_BUF(1 << 10);
		struct wire_answer a = { .out = SK_BUF(1 << 20), .body = "" };

		wire_pair(&pairs, "FCGI_MAX_CONNS", "");
		wire_record(&b, SK_FCGI_GET_VALUES, 0, pairs.data, pairs.len);
		wire_record(&b, 99, 0, "what", 4);
		ask.keep = true;
		wire_request(&b, &ask);
		wire_record(&b, SK_FCGI_GET_VALUES, 0, pairs.data, pairs.len);
		wire_send(fd, b.data, b.len);
		why = wire_read(fd, 1, NULL, &a) ? judge(&singles[0], &a) : "no answer in time";
		sk_buf_fini(&pairs);
		sk_buf_fini(&b);
		wire_answer_fini(&a);
	}
	if (fd >= 0)
		close(fd);
	return why;
}

/* ---- settings read again ------------------------------------------------------------------------------------ */

/* Settings of one of two kinds: 1 or 3 stop strings, and a key that only that kind has. */
static void settings_write(int kind)
{
	char conf[256];

	snprintf(conf, sizeof conf, "max_stop_sequences = %d\ncors_allow_origin = https://%d.example,https://a.example\n", 1 + 2 * kind, kind);
	wire_file_write(server.conf, conf, 0600);
	wire_file_write(server.keys, kind ? "alice " KEY " admin\nb key-b\n" : "alice " KEY " admin\na key-a\n", 0600);
}

static bool note_heard(const char *words)
{
	char text[600] = "";
	ssize_t n;

	while ((n = recv(note, text, sizeof text - 1, MSG_DONTWAIT)) >= 0) {
		text[n] = '\0';
		if (strstr(text, words))
			return true;
	}
	return false;
}

/* Lines of the log that say how SIGHUP was answered. */
static int readings(void)
{
	char *log = wire_server_log(&server);
	int n = 0;

	for (const char *at = log; (at = strstr(at, "settings ")); at++)
		n += !strncmp(at, "settings were read again", 24) || !strncmp(at, "settings stay as they were", 26);
	free(log);
	return n;
}

/* Whether the limit of stop strings and the keys are those of the kind. */
static bool settings_are(int kind)
{
	const struct wire_ask stops = { .method = "POST", .uri = "/generate", .key = KEY, .body =
		"{\"inputs\":\"a\",\"parameters\":{\"max_new_tokens\":1,\"stop\":[\"x\",\"y\"]}}" };
	const struct wire_ask key = { .uri = "/info", .key = kind ? "key-b" : "key-a" };
	struct wire_answer a, b;
	bool ok = wire_ask(server.path, &stops, &a) && a.status == (kind ? 200 : 422);

	ok = wire_ask(server.path, &key, &b) && b.status == 200 && ok;
	wire_answer_fini(&a);
	wire_answer_fini(&b);
	return ok;
}

/* Told to systemd as a rule; where that is what fails, only in the log, and the note would have come long after. */
static bool signalled(void)
{
	int64_t until = wire_now_ms() + WIRE_WAIT_MS, logged = 0;
	int before = readings();

	note_heard("no such words");
	kill(server.pid, SIGHUP);
	while (!note_heard("READY=1") && !(logged && wire_now_ms() > logged + 500)) {
		if (!logged && readings() > before)
			logged = wire_now_ms();
		if (wire_now_ms() > until)
			return false;
		wire_pause();
	}
	return true;
}

static const char *read_again(void)
{
	static int kind;
	bool was_armed = armed;

	kind = !kind;
	settings_write(kind);
	if (!signalled())
		return "the settings are not read";
	if (!was_armed)
		return settings_are(kind) ? NULL : "the new settings do not hold";
	/* Whatever was met: once more, without it, and they hold. */
	faults_disarm();
	return signalled() && settings_are(kind) ? NULL : "after a fault the settings are not read";
}

/* ---- acts that want a server of their own ------------------------------------------------------------------- */

static void in_child(void)
{
	setenv("NOTIFY_SOCKET", note_path, 1);
	faults_serve();
}

static const char *end_well(void)
{
	char *log;
	int code = wire_server_stop(&server);
	static char why[2000];

	if (code == 0)
		return NULL;
	log = wire_server_log(&server);
	snprintf(why, sizeof why, "it ends with %d:\n%s", code, strlen(log) > 1800 ? log + strlen(log) - 1800 : log);
	free(log);
	return why;
}

static bool begin(void)
{
	unlink(server.log);
	wire_server_start(&server, flags_of_server, in_child);
	return wire_server_ready(&server);
}

/* The start meets a fault: it gives up with a reason, or serves. */
static const char *start_up(void)
{
	char *log;
	int code;
	bool told;

	if (begin()) {
		faults_disarm();
		return ask_single(&singles[0]);
	}
	code = wire_server_wait(&server);
	log = wire_server_log(&server);
	told = strstr(log, "saker serve: ") && !strstr(log, "Sanitizer");
	if (!told || code <= 0 || code > 127)
		fprintf(stderr, "%s\n", log);
	free(log);
	return told && code > 0 && code <= 127 ? NULL : "it ends without a reason";
}

/* Seventy connections that say nothing, and one that asks: tables grow. */
static const char *crowd(void)
{
	int fds[70];
	const char *why;

	for (int i = 0; i < 70; i++)
		fds[i] = wire_connect(server.path);
	why = ask_single(&singles[0]);
	for (int i = 0; i < 70; i++)
		close(fds[i]);
	return why;
}

/* SIGTERM in the middle of a stream. */
static const char *drain(void)
{
	static struct single s = { "a stream", "POST", "/generate_stream", WIRE_GEN(100, "hello"), KEY, NULL, 200, true, NULL, 0 };
	const struct wire_ask ask = ask_of(&s);
	struct wire_answer a = { .out = SK_BUF(1 << 20), .body = "" };
	struct sk_buf b = SK_BUF(1 << 16);
	int fd = wire_connect(server.path), code;
	const char *why;
	struct stat sb;

	wire_request(&b, &ask);
	wire_send(fd, b.data, b.len);
	wire_read(fd, 1, "data: ", &a);
	kill(server.pid, SIGTERM);
	why = a.whole || wire_read(fd, 1, NULL, &a) ? judge(&s, &a) : "no answer in time";
	code = wire_server_wait(&server);
	if (!why && code)
		why = "it does not end with 0";
	if (!why && stat(server.path, &sb) == 0)
		why = "its socket stays";
	close(fd);
	sk_buf_fini(&b);
	wire_answer_fini(&a);
	return why;
}

/* ---- all of them -------------------------------------------------------------------------------------------- */

enum own { SHARED, OWN, OWN_START };    /* OWN_START: the fault is there before the server is */

#define IN(kind) (1u << (kind))
#define ALL (~0u)

/* A server for each try takes its time: those acts meet the kinds that the others cannot, and each by its first error only. */
static const struct act { const char *name; const char *(*run)(void); enum own own; unsigned kinds; } acts[] = {
	{ "a client that closes", leave_by_close, SHARED, ALL },
	{ "a client that aborts", leave_by_abort, SHARED, ALL },
	{ "a request cancelled", leave_by_delete, SHARED, ALL },
	{ "a kept connection and questions", keep_and_ask, SHARED, ALL },
	{ "settings read again", read_again, SHARED, ALL },
	{ "a crowd", crowd, OWN, IN(FAULT_MEMORY) | IN(FAULT_WATCH) },
	{ "the drain", drain, OWN, IN(FAULT_MEMORY) | IN(FAULT_SEND) | IN(FAULT_RECV) | IN(FAULT_POLL) | IN(FAULT_LOG) | IN(FAULT_OPEN) },
	{ "the start", start_up, OWN_START, IN(FAULT_MEMORY) | IN(FAULT_WATCH) | IN(FAULT_OPEN) | IN(FAULT_READ) | IN(FAULT_THREAD) |
	  IN(FAULT_LOG) | IN(FAULT_SYSTEM) },
};
#define ACTS (sizeof acts / sizeof *acts)

static const struct { enum fault kind; int error; const char *name; } faults[] = {
	{ FAULT_MEMORY, ENOMEM, "allocation" },
	{ FAULT_SEND, EPIPE, "write (EPIPE)" }, { FAULT_SEND, EAGAIN, "write (EAGAIN)" }, { FAULT_SEND, ENOBUFS, "write (ENOBUFS)" },
	{ FAULT_SEND, 0, "write (half)" },
	{ FAULT_RECV, ECONNRESET, "read (ECONNRESET)" }, { FAULT_RECV, EINTR, "read (EINTR)" }, { FAULT_RECV, EAGAIN, "read (EAGAIN)" },
	{ FAULT_ACCEPT, EMFILE, "accept (EMFILE)" }, { FAULT_ACCEPT, ECONNABORTED, "accept (ECONNABORTED)" },
	{ FAULT_ACCEPT, ENOMEM, "accept (ENOMEM)" },
	{ FAULT_WATCH, ENOSPC, "epoll_ctl (ENOSPC)" }, { FAULT_POLL, EINTR, "poll (EINTR)" },
	{ FAULT_LOG, EIO, "log line (EIO)" }, { FAULT_LOG, ENOSPC, "log line (ENOSPC)" }, { FAULT_LOG, EAGAIN, "log line (EAGAIN)" },
	{ FAULT_OPEN, EMFILE, "descriptor (EMFILE)" }, { FAULT_READ, EIO, "file (EIO)" }, { FAULT_THREAD, EAGAIN, "thread (EAGAIN)" },
	{ FAULT_SYSTEM, EMFILE, "place (EMFILE)" },
};
#define FAULTS (sizeof faults / sizeof *faults)

static long tries[FAULTS];

static const char *name_of(size_t act)
{
	return act < SINGLES ? singles[act].name : acts[act - SINGLES].name;
}

/* One act with the k-th call failing. *ret_hit: there was one. NULL: all is right. */
static const char *once(size_t act, size_t fault, long k, bool *ret_hit)
{
	enum own own = act < SINGLES ? SHARED : acts[act - SINGLES].own;
	const char *why = NULL, *after = NULL;

	if (own == OWN && !begin())
		return "the server does not start";
	if (k >= 0)
		faults_arm(faults[fault].kind, k, faults[fault].error);
	armed = k >= 0;
	why = act < SINGLES ? ask_single(&singles[act]) : acts[act - SINGLES].run();
	armed = false;
	*ret_hit = faults_disarm();
	if (own == SHARED && !wire_server_alive(&server))
		return "the server is gone";
	if (server.pid)
		after = ask_single(&singles[0]);
	if (server.pid && own != SHARED)
		after = after ? after : end_well();
	return why ? why : after;
}

static bool try_act(size_t act, size_t fault)
{
	bool own = act >= SINGLES && acts[act - SINGLES].own != SHARED, hit = true;

	if (own && (!(acts[act - SINGLES].kinds & IN(faults[fault].kind)) || (fault && faults[fault - 1].kind == faults[fault].kind)))
		return true;
	/* Of many calls, a server of its own for each of the first, and then fewer. */
	for (long k = 0; hit; k += own ? 1 + k / 12 : 1) {
		int64_t began = wire_now_ms();
		const char *why = k < CALLS_MAX ? once(act, fault, k, &hit) : "it does not end";

		tries[fault] += hit;
		if (!why && wire_now_ms() - began > WIRE_WAIT_MS)
			why = "it took too long";
		if (why) {
			char *log = wire_server_log(&server);
			size_t len = strlen(log);

			printf("FAIL %s, %s %ld: %s\n--- the end of the server's log:\n%s\n", name_of(act), faults[fault].name, k, why,
			       log + (len > 3000 ? len - 3000 : 0));
			free(log);
			return false;
		}
	}
	return true;
}

static void prepare(void)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };

	setvbuf(stdout, NULL, _IOLBF, 0);
	signal(SIGPIPE, SIG_IGN);
	setenv("SAKER_DOUBLE_RATE", "20000", 1);
	unsetenv("SAKER_DOUBLE_TRACE");
	unsetenv("LISTEN_FDS");
	unsetenv("NOTIFY_SOCKET");
	memset(long_body, ' ', sizeof long_body - 1);
	memcpy(long_body, WIRE_GEN(3, "hello"), strlen(WIRE_GEN(3, "hello")));
	memset(too_long_body, ' ', sizeof too_long_body - 1);
	faults_init();
	wire_server_init(&server);
	settings_write(0);
	snprintf(a.sun_path, sizeof a.sun_path, "%s/n", server.dir);
	note_path = strdup(a.sun_path);
	note = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (note < 0 || bind(note, (struct sockaddr *)&a, sizeof a) < 0) {
		perror(note_path);
		exit(1);
	}
}

/* Acts [from, to) whose name has the words, each with all faults; first without any. */
static int run(size_t from, size_t to, const char *words)
{
	int failed = 0;

	for (size_t act = from; act < to; act++) {
		int64_t began = wire_now_ms();
		bool hit, own = act >= SINGLES && acts[act - SINGLES].own != SHARED;
		const char *why;

		if (!strstr(name_of(act), words))
			continue;
		why = once(act, 0, -1, &hit);
		if (why) {
			printf("FAIL %s, without a fault: %s\n", name_of(act), why);
			failed++;
		}
		for (size_t f = 0; f < FAULTS && !why && failed < 5; f++)
			failed += !try_act(act, f);
		printf("%6.1f s: %s\n", (double)(wire_now_ms() - began) / 1e3, name_of(act));
		if (own != (server.pid == 0) && !wire_server_alive(&server))
			break;
	}
	return failed;
}

int main(int argc, char **argv)
{
	const char *words = argc > 1 ? argv[1] : "", *why;
	size_t shared = SINGLES;
	int failed = 0, fds;

	while (acts[shared - SINGLES].own == SHARED)
		shared++;
	prepare();
	if (!begin() || ask_single(&singles[0])) {
		printf("FAIL the server does not start\n");
		return 1;
	}
	fds = wire_server_fds(&server);
	failed += run(0, shared, words);
	why = wire_server_rests(&server, KEY, fds);
	if (!why)
		why = end_well();
	if (why) {
		printf("FAIL in the end: %s\n", why);
		failed++;
	}
	if (!failed)
		failed += run(shared, SINGLES + ACTS, words);
	if (server.pid)
		wire_server_stop(&server);
	for (size_t f = 0; f < FAULTS; f++)
		printf("%6ld times: %s\n", tries[f], faults[f].name);
	for (size_t i = 0; i < SINGLES; i++)
		free(singles[i].want);
	unlink(note_path);
	wire_server_fini(&server);
	printf("%d failed\n", failed);
	return failed != 0;
}
