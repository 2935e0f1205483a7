/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The front in a child process, and FastCGI spoken to it by hand: what tests in C share. Python's twin is front.py.
 *
 * A program that uses it is linked with libskfcgi.a and an engine (tests/front/double.c). Nothing here waits without a limit.
 */
#ifndef WIRE_H
#define WIRE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "engine/base/buf.h"

#define WIRE_WAIT_MS 20000              /* nothing takes longer; a busy machine with sanitizers is slow */

/* ---- the server ---- */

/* `saker serve` as a child, on a socket in a directory of its own. All zero: none. */
struct wire_server {
	pid_t pid;
	char dir[64], path[96], log[96], conf[96], keys[96];    /* conf and keys are for the caller to write */
};

/* Make the directory. */
void wire_server_init(struct wire_server *s);
/* Start the child; `in_child`, if given, is called there first. Its standard error goes to s->log, appended. */
void wire_server_start(struct wire_server *s, const char *const *flags, void (*in_child)(void));
/* Whether it answers /readyz with 200; false when it has ended instead (or does not in time). */
bool wire_server_ready(struct wire_server *s);
bool wire_server_alive(const struct wire_server *s);
/* Wait for its end: the exit code, 128 + the signal that ended it, or -1 when it has not ended in time (it is then killed). */
int wire_server_wait(struct wire_server *s);
int wire_server_stop(struct wire_server *s);            /* SIGTERM, then wait */
/* Remove the directory. */
void wire_server_fini(struct wire_server *s);
/* Its log so far, NUL-terminated; the caller frees it. */
char *wire_server_log(const struct wire_server *s);
int wire_server_fds(const struct wire_server *s);
long wire_server_rss_kib(const struct wire_server *s);

/* A number of /metrics without a label, -1 when there is no answer; whether it becomes `want` in time. `key` may be NULL. */
long wire_metric(const struct wire_server *s, const char *key, const char *name);
bool wire_metric_becomes(const struct wire_server *s, const char *key, const char *name, long want);
/* NULL when nothing is left of what went on: connections, streams, permits, KV blocks, more descriptors than `fds`. Else what is. */
const char *wire_server_rests(const struct wire_server *s, const char *key, int fds);

void wire_file_write(const char *path, const char *text, mode_t mode);

/* ---- one request ---- */

/* The body of a generation. */
#define WIRE_GEN(n, words) "{\"inputs\":\"" words "\",\"parameters\":{\"max_new_tokens\":" #n "}}"

struct wire_ask {
	const char *method, *uri;       /* NULL: GET */
	const char *body;               /* NULL: empty */
	size_t body_len;                /* 0: strlen(body) */
	const char *key;                /* an API key, or NULL */
	const char *origin;             /* of a page, or NULL */
	uint16_t id;                    /* 0: 1 */
	bool keep;
};

struct wire_answer {
	bool whole;                     /* END_REQUEST came */
	int status;                     /* 0: no head */
	size_t names;                   /* header lines */
	struct sk_buf out;              /* what came on STDOUT, NUL behind it */
	const char *body;               /* in out; "" when there is none */
};

void wire_record(struct sk_buf *b, int type, int id, const void *content, size_t len);
void wire_begin(struct sk_buf *b, int id, bool keep);
void wire_pair(struct sk_buf *b, const char *name, const char *value);
/* A whole request, appended. */
void wire_request(struct sk_buf *b, const struct wire_ask *a);

int wire_connect(const char *path);                     /* -1: refused */
bool wire_send(int fd, const void *p, size_t len);      /* false: the peer has closed */
/*
 * Read to the end of the request `id`, or of the connection. `until`, if given: stop when these words are in what came on STDOUT.
 * false: neither came in time.
 */
bool wire_read(int fd, int id, const char *until, struct wire_answer *a);
void wire_answer_fini(struct wire_answer *a);
/* On a connection of its own. false: no end in time. */
bool wire_ask(const char *path, const struct wire_ask *ask, struct wire_answer *ret_a);

int64_t wire_now_ms(void);
void wire_pause(void);                                  /* between two looks at something */

#endif
