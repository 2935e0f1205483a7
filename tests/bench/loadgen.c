/* SPDX-License-Identifier: Apache-2.0 */
/*
 * loadgen: many streams at once against a server of text, light enough to share the cores with it.
 *
 *	loadgen --port P --path /generate_stream --bodies FILE -c 8 -n 16 --tokens 64 --expect '"generated_tokens":64'
 *
 * Keeps -c streams open until -n requests are done; request i posts line i of FILE (again from the first when they run
 * out). A good answer is status 200, at least one `data:` event, and a last event that holds the text of --expect; it counts
 * as --tokens tokens. Prints one line of JSON with times and the CPU time this program took, which a comparison takes off.
 * Exit status 1 when an answer was not good.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define STREAMS_MAX 4096
#define REQUESTS_MAX 100000
#define LINE_MAX_BYTES (64u << 10)
#define EVENTS_MAX 4096

/* Where the bytes of an answer are: the head, a chunk's size line, a chunk, the CRLF behind it, or a plain body. */
enum place { HEAD, CHUNK_SIZE, CHUNK, CHUNK_END, PLAIN, TRAILER };

struct stream {
	int fd;                         /* -1: free */
	char *request;
	size_t request_len, sent;
	enum place place;
	char head[8192];
	size_t head_len;
	uint64_t chunk_left;
	char *line;                     /* the line being read; kept when it was a data: line */
	size_t line_len;
	char *last;                     /* the last whole data: line */
	size_t last_len;
	double begin, first, previous;
	int status;
	uint32_t events;
};

static struct {
	int port, at_once, requests;
	double tokens;
	const char *path, *expect;
	char **bodies;
	size_t bodies_len;
} opt = { .port = 8080, .at_once = 1, .requests = 1, .tokens = 64, .path = "/generate_stream", .expect = "" };

static struct stream streams[STREAMS_MAX];
static double *ttft, *itl, *whole;
static double *delay;
static size_t ttft_len, itl_len, itl_cap, delay_len, delay_cap;
static int started, done, errors;
static int epoll;

static void die(const char *what)
{
	fprintf(stderr, "loadgen: %s: %s\n", what, strerror(errno));
	exit(2);
}

static void *take(size_t bytes)
{
	void *p = calloc(1, bytes);

	if (!p)
		die("memory");
	return p;
}

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static void watch(struct stream *s, uint32_t events, int how)
{
	struct epoll_event e = { .events = events, .data.ptr = s };

	if (epoll_ctl(epoll, how, s->fd, &e))
		die("epoll_ctl");
}

static void stream_start(struct stream *s)
{
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons((uint16_t)opt.port),
				  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	const char *body = opt.bodies[(size_t)started++ % opt.bodies_len];
	size_t cap = strlen(body) + strlen(opt.path) + 256;
	char *line = s->line, *last = s->last;

	*s = (struct stream){ .line = line, .last = last, .begin = now() };
	if (!s->line) {
		s->line = take(LINE_MAX_BYTES);
		s->last = take(LINE_MAX_BYTES);
	}
	s->request = take(cap);
	s->request_len = (size_t)snprintf(s->request, cap, "POST %s HTTP/1.1\r\nHost: 127.0.0.1\r\n"
		"Content-Type: application/json\r\nAccept: text/event-stream\r\nConnection: close\r\n"
		"Content-Length: %zu\r\n\r\n%s", opt.path, strlen(body), body);
	s->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (s->fd < 0)
		die("socket");
	if (connect(s->fd, (struct sockaddr *)&to, sizeof to) && errno != EINPROGRESS)
		die("connect");
	watch(s, EPOLLOUT, EPOLL_CTL_ADD);
}

static void itl_add(double v)
{
	if (itl_len == itl_cap) {
		itl_cap = itl_cap ? itl_cap * 2 : 4096;
		itl = realloc(itl, itl_cap * sizeof *itl);
		if (!itl)
			die("memory");
	}
	itl[itl_len++] = v;
}

/* The engine double's SAKER_DOUBLE_STAMP makes a token's text the clock's microseconds: how old it is when it comes. */
static void delay_add(const char *line, double at)
{
	const char *text = strstr(line, "\"text\":\" ");
	double stamp = text ? strtod(text + 9, NULL) : 0;

	if (stamp <= 0)
		return;
	if (delay_len == delay_cap) {
		delay_cap = delay_cap ? delay_cap * 2 : 4096;
		delay = realloc(delay, delay_cap * sizeof *delay);
		if (!delay)
			die("memory");
	}
	delay[delay_len++] = at - stamp * 1e-6;
}

/* A whole line of the body is in s->line. */
static void line_end(struct stream *s, double at)
{
	char *swap = s->last;

	if (s->line_len < 5 || memcmp(s->line, "data:", 5))
		return;
	if (s->events++)
		itl_add(at - s->previous);
	else
		s->first = at;
	s->line[s->line_len] = 0;       /* there is room: see body_bytes() */
	delay_add(s->line, at);
	s->previous = at;
	s->last = s->line;
	s->last_len = s->line_len;
	s->line = swap;
}

static void body_bytes(struct stream *s, const char *p, size_t len, double at)
{
	while (len) {
		const char *end = memchr(p, '\n', len);
		size_t n = end ? (size_t)(end - p) : len;
		size_t room = LINE_MAX_BYTES - 1 - s->line_len, keep = n < room ? n : room;

		memcpy(s->line + s->line_len, p, keep);
		s->line_len += keep;
		p += n;
		len -= n;
		if (!end)
			return;
		line_end(s, at);
		s->line_len = 0;
		p++;
		len--;
	}
}

/* One byte of the head; at its end the status and the framing of the body are known. */
static void head_byte(struct stream *s, char c)
{
	if (s->head_len + 1 >= sizeof s->head) {
		s->status = -1;
		return;
	}
	s->head[s->head_len++] = c;
	if (s->head_len < 4 || memcmp(s->head + s->head_len - 4, "\r\n\r\n", 4))
		return;
	s->head[s->head_len] = 0;
	s->status = s->head_len > 12 ? atoi(s->head + 9) : -1;
	s->place = strcasestr(s->head, "\r\ntransfer-encoding: chunked") ? CHUNK_SIZE : PLAIN;
	s->head_len = 0;
}

static void answer_bytes(struct stream *s, const char *p, size_t len, double at)
{
	size_t n;

	while (len) {
		switch (s->place) {
		case HEAD:
			head_byte(s, *p);
			n = 1;
			break;
		case CHUNK_SIZE:                /* head[] holds the digits */
			n = 1;
			if (*p != '\n') {
				if (s->head_len < 32)
					s->head[s->head_len++] = *p;
				break;
			}
			s->head[s->head_len] = 0;
			s->head_len = 0;
			s->chunk_left = strtoull(s->head, NULL, 16);
			s->place = s->chunk_left ? CHUNK : TRAILER;
			break;
		case CHUNK:
			n = len < s->chunk_left ? len : (size_t)s->chunk_left;
			body_bytes(s, p, n, at);
			s->chunk_left -= n;
			if (!s->chunk_left)
				s->place = CHUNK_END;
			break;
		case CHUNK_END:
			n = 1;
			if (*p == '\n')
				s->place = CHUNK_SIZE;
			break;
		case PLAIN:
			n = len;
			body_bytes(s, p, n, at);
			break;
		default:
			n = len;
			break;
		}
		p += n;
		len -= n;
	}
}

static void stream_end(struct stream *s)
{
	bool good = s->status == 200 && s->events && s->last_len < LINE_MAX_BYTES - 1;

	if (good) {
		s->last[s->last_len] = 0;
		good = strstr(s->last, opt.expect) != NULL;
	}
	if (good) {
		ttft[ttft_len] = s->first - s->begin;
		whole[ttft_len++] = now() - s->begin;
	} else if (errors++ < 3) {
		fprintf(stderr, "loadgen: status %d, %u events, last: %.300s\n", s->status, s->events,
			s->last_len ? s->last : "");
	}
	close(s->fd);
	free(s->request);
	s->request = NULL;
	s->fd = -1;
	done++;
	if (started < opt.requests)
		stream_start(s);
}

static void stream_ready(struct stream *s, uint32_t events)
{
	char piece[65536];
	ssize_t n;

	if (s->sent < s->request_len && (events & EPOLLOUT)) {
		n = send(s->fd, s->request + s->sent, s->request_len - s->sent, MSG_NOSIGNAL);
		if (n < 0 && errno != EAGAIN) {
			stream_end(s);
			return;
		}
		s->sent += n > 0 ? (size_t)n : 0;
		if (s->sent == s->request_len)
			watch(s, EPOLLIN, EPOLL_CTL_MOD);
		return;
	}
	n = recv(s->fd, piece, sizeof piece, 0);
	if (n > 0)
		answer_bytes(s, piece, (size_t)n, now());
	else if (n == 0 || errno != EAGAIN)
		stream_end(s);
}

static void bodies_read(const char *path)
{
	FILE *f = fopen(path, "r");
	char *line = NULL;
	size_t cap = 0;
	ssize_t n;

	if (!f)
		die(path);
	opt.bodies = take(REQUESTS_MAX * sizeof *opt.bodies);
	while ((n = getline(&line, &cap, f)) > 0 && opt.bodies_len < REQUESTS_MAX) {
		if (line[n - 1] == '\n')
			line[n - 1] = 0;
		if (*line)
			opt.bodies[opt.bodies_len++] = strdup(line);
	}
	free(line);
	fclose(f);
	if (!opt.bodies_len) {
		fprintf(stderr, "loadgen: %s holds no body\n", path);
		exit(2);
	}
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

/* In milliseconds; the values are sorted by the first call. */
static double percentile(double *v, size_t len, double p)
{
	size_t i = (size_t)((double)len * p);

	if (!len)
		return 0;
	qsort(v, len, sizeof *v, compare);
	return v[i < len ? i : len - 1] * 1e3;
}

static void usage(void)
{
	fputs("usage: loadgen --port P --path PATH --bodies FILE [-c STREAMS] [-n REQUESTS] [--tokens N] "
	      "[--expect TEXT]\n", stderr);
	exit(2);
}

static void options_read(int argc, char **argv)
{
	for (int i = 1; i < argc; i += 2) {
		const char *v = i + 1 < argc ? argv[i + 1] : NULL;

		if (!v)
			usage();
		else if (!strcmp(argv[i], "--port"))
			opt.port = atoi(v);
		else if (!strcmp(argv[i], "--path"))
			opt.path = v;
		else if (!strcmp(argv[i], "--bodies"))
			bodies_read(v);
		else if (!strcmp(argv[i], "-c"))
			opt.at_once = atoi(v);
		else if (!strcmp(argv[i], "-n"))
			opt.requests = atoi(v);
		else if (!strcmp(argv[i], "--tokens"))
			opt.tokens = atof(v);
		else if (!strcmp(argv[i], "--expect"))
			opt.expect = v;
		else
			usage();
	}
	if (!opt.bodies_len || opt.at_once < 1 || opt.at_once > STREAMS_MAX || opt.requests < 1 ||
	    opt.requests > REQUESTS_MAX)
		usage();
}

int main(int argc, char **argv)
{
	struct epoll_event ready[EVENTS_MAX];
	struct rusage used;
	double begin, wall, cpu;

	options_read(argc, argv);
	ttft = take((size_t)opt.requests * sizeof *ttft);
	whole = take((size_t)opt.requests * sizeof *whole);
	epoll = epoll_create1(EPOLL_CLOEXEC);
	if (epoll < 0)
		die("epoll");
	begin = now();
	for (int i = 0; i < opt.at_once && started < opt.requests; i++)
		stream_start(&streams[i]);
	while (done < opt.requests) {
		int n = epoll_wait(epoll, ready, EVENTS_MAX, -1);

		if (n < 0 && errno != EINTR)
			die("epoll_wait");
		for (int i = 0; i < n; i++)
			stream_ready(ready[i].data.ptr, ready[i].events);
	}
	wall = now() - begin;
	getrusage(RUSAGE_SELF, &used);
	cpu = (double)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) +
	      (double)(used.ru_utime.tv_usec + used.ru_stime.tv_usec) * 1e-6;
	printf("{\"streams\":%d,\"requests\":%d,\"errors\":%d,\"wall_s\":%.4f,\"cpu_s\":%.4f,\"tok_s\":%.2f,"
	       "\"ttft_p50_ms\":%.2f,\"ttft_p95_ms\":%.2f,\"itl_p50_ms\":%.2f,\"itl_p95_ms\":%.2f,"
	       "\"whole_p50_ms\":%.2f,\"whole_p95_ms\":%.2f",
	       opt.at_once, opt.requests, errors, wall, cpu, (double)ttft_len * opt.tokens / wall,
	       percentile(ttft, ttft_len, .5), percentile(ttft, ttft_len, .95), percentile(itl, itl_len, .5),
	       percentile(itl, itl_len, .95), percentile(whole, ttft_len, .5), percentile(whole, ttft_len, .95));
	if (delay_len)
		printf(",\"tokens\":%zu,\"delay_p50_ms\":%.3f,\"delay_p99_ms\":%.3f,\"delay_max_ms\":%.3f", delay_len,
		       percentile(delay, delay_len, .5), percentile(delay, delay_len, .99), percentile(delay, delay_len, 1));
	puts("}");
	return errors ? 1 : 0;
}
