/* SPDX-License-Identifier: Apache-2.0 */
/* See wire.h. */
#include "tests/front/wire.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "engine/base/clock.h"
#include "fcgi/commands.h"
#include "fcgi/record.h"

#define FLAGS_MAX 32
#define ANSWER_BYTES_MAX ((size_t)64 << 20)

int64_t wire_now_ms(void)
{
	return sk_now_us() / 1000;
}

void wire_pause(void)
{
	poll(NULL, 0, 2);
}

static void give_up(const char *what)
{
	fprintf(stderr, "%s: %s\n", what, strerror(errno));
	exit(1);
}

void wire_file_write(const char *path, const char *text, mode_t mode)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode);

	if (fd < 0 || write(fd, text, strlen(text)) != (ssize_t)strlen(text))
		give_up(path);
	close(fd);
}

/* ---- the server --------------------------------------------------------------------------------------------- */

void wire_server_init(struct wire_server *s)
{
	memset(s, 0, sizeof *s);
	snprintf(s->dir, sizeof s->dir, "/tmp/saker-wire-XXXXXX");
	if (!mkdtemp(s->dir))
		give_up(s->dir);
	snprintf(s->path, sizeof s->path, "%s/s", s->dir);
	snprintf(s->log, sizeof s->log, "%s/log", s->dir);
	snprintf(s->conf, sizeof s->conf, "%s/conf", s->dir);
	snprintf(s->keys, sizeof s->keys, "%s/keys", s->dir);
}

static void serve(const struct wire_server *s, const char *const *flags, void (*in_child)(void))
{
	char listen_at[128], *argv[FLAGS_MAX + 8];
	int log = open(s->log, O_WRONLY | O_CREAT | O_APPEND, 0600), null = open("/dev/null", O_RDONLY), argc = 0;

	if (log < 0 || null < 0 || dup2(null, 0) < 0 || dup2(log, 2) < 0)
		_exit(99);
	close(log);
	close(null);
	signal(SIGHUP, SIG_DFL);
	snprintf(listen_at, sizeof listen_at, "unix:%s", s->path);
	for (const char *const first[] = { "serve", "--model", "double", "--listen", listen_at, NULL }; first[argc]; argc++)
		argv[argc] = (char *)first[argc];
	for (; *flags && argc < FLAGS_MAX; flags++)
		argv[argc++] = (char *)*flags;
	argv[argc] = NULL;
	if (in_child)
		in_child();
	exit(sk_cmd_serve(argc, argv));
}

void wire_server_start(struct wire_server *s, const char *const *flags, void (*in_child)(void))
{
	fflush(NULL);
	s->pid = fork();
	if (s->pid < 0)
		give_up("fork");
	if (!s->pid)
		serve(s, flags, in_child);
}

bool wire_server_alive(const struct wire_server *s)
{
	siginfo_t si = { 0 };

	return s->pid && waitid(P_PID, (id_t)s->pid, &si, WEXITED | WNOHANG | WNOWAIT) == 0 && si.si_pid == 0;
}

bool wire_server_ready(struct wire_server *s)
{
	const struct wire_ask ask = { .uri = "/readyz" };
	int64_t until = wire_now_ms() + WIRE_WAIT_MS;

	while (wire_now_ms() < until && wire_server_alive(s)) {
		struct wire_answer a;
		bool ok = wire_ask(s->path, &ask, &a) && a.whole && a.status == 200;

		wire_answer_fini(&a);
		if (ok)
			return true;
		wire_pause();
	}
	return false;
}

int wire_server_wait(struct wire_server *s)
{
	int64_t until = wire_now_ms() + WIRE_WAIT_MS;
	int status, code = -1;

	while (wire_server_alive(s) && wire_now_ms() < until)
		wire_pause();
	if (wire_server_alive(s)) {
		kill(s->pid, SIGKILL);
		waitpid(s->pid, &status, 0);
	} else if (waitpid(s->pid, &status, 0) == s->pid) {
		code = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
	}
	s->pid = 0;
	return code;
}

int wire_server_stop(struct wire_server *s)
{
	kill(s->pid, SIGTERM);
	return wire_server_wait(s);
}

void wire_server_fini(struct wire_server *s)
{
	for (size_t i = 0; i < 4; i++)
		unlink((const char *[]){ s->path, s->log, s->conf, s->keys }[i]);
	rmdir(s->dir);
}

char *wire_server_log(const struct wire_server *s)
{
	FILE *f = fopen(s->log, "re");
	struct stat sb;
	char *text;
	size_t len;

	if (!f || fstat(fileno(f), &sb) < 0)
		give_up(s->log);
	text = malloc((size_t)sb.st_size + 1);
	if (!text)
		give_up(s->log);
	len = fread(text, 1, (size_t)sb.st_size, f);
	text[len] = '\0';
	fclose(f);
	return text;
}

int wire_server_fds(const struct wire_server *s)
{
	char path[64];
	int n = 0;
	DIR *d;

	snprintf(path, sizeof path, "/proc/%d/fd", (int)s->pid);
	d = opendir(path);
	if (!d)
		return -1;
	while (readdir(d))
		n++;
	closedir(d);
	return n - 2;
}

long wire_server_rss_kib(const struct wire_server *s)
{
	char path[64];
	long pages = -1;
	FILE *f;

	snprintf(path, sizeof path, "/proc/%d/statm", (int)s->pid);
	f = fopen(path, "re");
	if (!f || fscanf(f, "%*d %ld", &pages) != 1)
		pages = -1;
	if (f)
		fclose(f);
	return pages * (sysconf(_SC_PAGESIZE) / 1024);
}

/* ---- records ------------------------------------------------------------------------------------------------ */

void wire_record(struct sk_buf *b, int type, int id, const void *content, size_t len)
{
	const uint8_t h[8] = { SK_FCGI_VERSION, (uint8_t)type, (uint8_t)(id >> 8), (uint8_t)id, (uint8_t)(len >> 8), (uint8_t)len };

	sk_buf_add(b, h, sizeof h);
	sk_buf_add(b, content, len);
}

void wire_begin(struct sk_buf *b, int id, bool keep)
{
	const uint8_t body[8] = { 0, 1, keep };

	wire_record(b, SK_FCGI_BEGIN_REQUEST, id, body, sizeof body);
}

static void length_put(struct sk_buf *b, size_t n)
{
	const uint8_t wide[4] = { (uint8_t)(0x80 | n >> 24), (uint8_t)(n >> 16), (uint8_t)(n >> 8), (uint8_t)n };

	if (n < 128)
		sk_buf_addc(b, (char)n);
	else
		sk_buf_add(b, wide, sizeof wide);
}

void wire_pair(struct sk_buf *b, const char *name, const char *value)
{
	length_put(b, strlen(name));
	length_put(b, strlen(value));
	sk_buf_adds(b, name);
	sk_buf_adds(b, value);
}

static void stream(struct sk_buf *b, int type, int id, const char *s, size_t len)
{
	for (size_t at = 0; at < len; at += 60000)
		wire_record(b, type, id, s + at, len - at < 60000 ? len - at : 60000);
	wire_record(b, type, id, "", 0);
}

void wire_request(struct sk_buf *b, const struct wire_ask *a)
{
	struct sk_buf params = SK_BUF(1 << 20);
	const char *body = a->body ? a->body : "";
	int id = a->id ? a->id : 1;

	wire_pair(&params, "REQUEST_METHOD", a->method ? a->method : "GET");
	wire_pair(&params, "REQUEST_URI", a->uri);
	wire_pair(&params, "CONTENT_TYPE", "application/json");
	wire_pair(&params, "REMOTE_ADDR", "192.0.2.1");
	if (a->key)
		wire_pair(&params, "HTTP_X_API_KEY", a->key);
	if (a->origin) {
		wire_pair(&params, "HTTP_ORIGIN", a->origin);
		wire_pair(&params, "HTTP_ACCESS_CONTROL_REQUEST_METHOD", "POST");
	}
	wire_begin(b, id, a->keep);
	stream(b, SK_FCGI_PARAMS, id, params.data, params.len);
	stream(b, SK_FCGI_STDIN, id, body, a->body_len ? a->body_len : strlen(body));
	sk_buf_fini(&params);
}

/* ---- asking ------------------------------------------------------------------------------------------------- */

int wire_connect(const char *path)
{
	const struct timeval most = { .tv_sec = WIRE_WAIT_MS / 1000 };
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		give_up("socket");
	memcpy(a.sun_path, path, strlen(path) + 1);
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &most, sizeof most);
	if (connect(fd, (struct sockaddr *)&a, sizeof a) < 0) {
		close(fd);
		return -1;
	}
	return fd;
}

bool wire_send(int fd, const void *p, size_t len)
{
	for (size_t at = 0; at < len;) {
		ssize_t n = send(fd, (const char *)p + at, len - at, MSG_NOSIGNAL);

		if (n < 0)
			return false;
		at += (size_t)n;
	}
	return true;
}

/* `len` bytes: 1; the end or an error came first: 0; not in time: -1. */
static int take(int fd, uint8_t *p, size_t len, int64_t until)
{
	while (len) {
		struct pollfd want = { .fd = fd, .events = POLLIN };
		int64_t left = until - wire_now_ms();
		ssize_t n;

		if (left < 0 || poll(&want, 1, (int)left) == 0)
			return -1;
		n = recv(fd, p, len, 0);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return 0;
		p += n;
		len -= (size_t)n;
	}
	return 1;
}

static void head_read(struct wire_answer *a)
{
	const char *all = sk_buf_str(&a->out), *end = strstr(all, "\r\n\r\n");

	a->body = end ? end + 4 : "";
	a->status = end && strncasecmp(all, "Status: ", 8) == 0 ? (int)strtol(all + 8, NULL, 10) : 0;
	a->names = 0;
	for (const char *at = all; end && at < end + 2; at++)
		a->names += *at == '\n';
}

bool wire_read(int fd, int id, const char *until, struct wire_answer *a)
{
	int64_t last = wire_now_ms() + WIRE_WAIT_MS;
	uint8_t h[8], content[65536 + 256];
	int got;

	while ((got = take(fd, h, sizeof h, last)) == 1) {
		size_t len = (size_t)h[4] << 8 | h[5];

		got = h[0] == SK_FCGI_VERSION ? take(fd, content, len + h[6], last) : 0;
		if (got != 1)
			break;
		if ((h[2] << 8 | h[3]) != id)
			continue;
		if (h[1] == SK_FCGI_STDOUT)
			sk_buf_add(&a->out, content, len);
		a->whole = h[1] == SK_FCGI_END_REQUEST;
		if (a->whole || (until && strstr(sk_buf_str(&a->out), until)))
			break;
	}
	head_read(a);
	return got >= 0;
}

void wire_answer_fini(struct wire_answer *a)
{
	sk_buf_fini(&a->out);
}

bool wire_ask(const char *path, const struct wire_ask *ask, struct wire_answer *ret_a)
{
	struct sk_buf b = SK_BUF(ANSWER_BYTES_MAX);
	int fd = wire_connect(path);
	bool ok = true;

	*ret_a = (struct wire_answer){ .out = SK_BUF(ANSWER_BYTES_MAX), .body = "" };
	if (fd < 0)
		return true;
	wire_request(&b, ask);
	wire_send(fd, b.data, b.len);           /* who closes in the middle of it may have answered already */
	ok = wire_read(fd, ask->id ? ask->id : 1, NULL, ret_a);
	close(fd);
	sk_buf_fini(&b);
	return ok;
}

/* ---- what is left ------------------------------------------------------------------------------------------- */

long wire_metric(const struct wire_server *s, const char *key, const char *name)
{
	const struct wire_ask ask = { .uri = "/metrics", .key = key };
	struct wire_answer a;
	long value = -1;

	if (wire_ask(s->path, &ask, &a) && a.whole && a.status == 200) {
		const char *at = a.body;

		while ((at = strstr(at, name)) && !(at > a.body && at[-1] == '\n' && at[strlen(name)] == ' '))
			at++;
		if (at)
			value = strtol(at + strlen(name), NULL, 10);
	}
	wire_answer_fini(&a);
	return value;
}

bool wire_metric_becomes(const struct wire_server *s, const char *key, const char *name, long want)
{
	int64_t until = wire_now_ms() + WIRE_WAIT_MS;

	while (wire_metric(s, key, name) != want) {
		if (wire_now_ms() > until || !wire_server_alive(s))
			return false;
		wire_pause();
	}
	return true;
}

const char *wire_server_rests(const struct wire_server *s, const char *key, int fds)
{
	static const struct { const char *name; long want; const char *what; } rows[] = {
		{ "saker_connections", 1, "connections are left" }, { "saker_open_streams", 0, "streams are left" },
		{ "saker_permits_used", 0, "permits are left" }, { "saker_kv_blocks_used", 0, "blocks are left" },
	};
	int64_t until = wire_now_ms() + WIRE_WAIT_MS;

	if (!wire_server_alive(s))
		return "the server is gone";
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
		if (!wire_metric_becomes(s, key, rows[i].name, rows[i].want))
			return rows[i].what;
	while (wire_server_fds(s) > fds && wire_now_ms() < until)
		wire_pause();
	return wire_server_fds(s) <= fds ? NULL : "descriptors are left";
}
