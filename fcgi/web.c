/* SPDX-License-Identifier: Apache-2.0 */
/* Finding, starting and ending a web server; what is particular to one is in its own file. */
#include "fcgi/web.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "engine/base/clock.h"

#define BUILD_BYTES_MAX ((size_t)16384)
#define INSIST_MS 2000

#define SK_WEB(name) extern const struct sk_web sk_web_##name;
#define SK_WEB_LATER(name)
#include "fcgi/webs.def"
#undef SK_WEB
#undef SK_WEB_LATER

static const struct entry { const char *name; const struct sk_web *web; } webs[] = {
#define SK_WEB(name) { #name, &sk_web_##name },
#define SK_WEB_LATER(name) { #name, NULL },
#include "fcgi/webs.def"
#undef SK_WEB
#undef SK_WEB_LATER
};

const struct sk_web_answer sk_web_answers[] = {
	{ 400, "the request or a header is no HTTP, or too large", "bad_request" },
	{ 403, "the web server does not allow this", "forbidden" },
	{ 404, "There is nothing at this path", "not_found" },
	{ 405, "the method is not allowed", "method_not_allowed" },
	{ 408, "the request did not come in time", "request_timeout" },
	{ 413, "the request body is over the limit", "payload_too_large" },
	{ 414, "the URI is too long", "uri_too_long" },
	{ 431, "a header is too large", "header_too_large" },
	{ 500, "the web server failed", "internal" },
	{ 501, "the web server does not support this request", "not_implemented" },
	{ 502, "saker does not answer", "bad_gateway" },
	{ 503, "the web server is overloaded", "overloaded" },
	{ 504, "saker did not answer in time", "gateway_timeout" },
	{ 0, NULL, NULL },
};

sk_status sk_web_path_check(const char *path, const char *what, struct sk_err *err)
{
	for (const char *c = path; *c; c++)
		if ((unsigned char)*c < ' ' || strchr("\"\\$%|#", *c))
			return sk_fail(err, SK_EINVAL, "the path of %s, \"%s\", has a character that this web server's "
				       "configuration cannot hold (one of \" \\ $ %% | # or a control character)", what, path);
	return SK_OK;
}

sk_status sk_web_find(const char *name, const struct sk_web **ret_web, struct sk_err *err)
{
	struct sk_buf names = SK_BUF(256);
	bool known = false;
	sk_status st;

	for (size_t i = 0; i < sizeof(webs) / sizeof(webs[0]); i++) {
		known |= strcmp(webs[i].name, name) == 0;
		if (webs[i].web && strcmp(webs[i].name, name) == 0) {
			*ret_web = webs[i].web;
			sk_buf_fini(&names);
			return SK_OK;
		}
		if (webs[i].web)
			sk_buf_addf(&names, "%s%s", names.len ? ", " : "", webs[i].name);
	}
	if (known)
		st = sk_fail(err, SK_ENOTSUP, "--web: %s is not supported yet; supported: %s", name, sk_buf_str(&names));
	else
		st = sk_fail(err, SK_EINVAL, "--web: \"%s\" is no web server known here; supported: %s", name, sk_buf_str(&names));
	sk_buf_fini(&names);
	return st;
}

const struct passwd *sk_web_user(void)
{
	static const char *const names[] = { "www-data", "nginx", "apache", "lighttpd", "http" };
	const struct passwd *pw = NULL;

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]) && !pw; i++)
		pw = getpwnam(names[i]);
	return pw;
}

static bool is_program(const char *path)
{
	struct stat sb;

	return stat(path, &sb) == 0 && S_ISREG(sb.st_mode) && access(path, X_OK) == 0;
}

static bool locate_in(const char *dir, size_t dir_len, const char *name, char *ret_path, size_t size)
{
	if (dir_len == 0)
		return false;                   /* an empty part of PATH means ".": not for a server */
	return snprintf(ret_path, size, "%.*s/%s", (int)dir_len, dir, name) < (int)size && is_program(ret_path);
}

sk_status sk_web_locate(const struct sk_web *w, const char *asked, char *ret_path, size_t size, struct sk_err *err)
{
	const char *path = getenv("PATH");
	const char *const places[] = { path ? path : "", "/usr/sbin:/usr/local/sbin" };

	if (*asked) {
		if (!is_program(asked))
			return sk_fail(err, SK_ENOENT, "--web-bin: %s is no program that can be run", asked);
		if (snprintf(ret_path, size, "%s", asked) >= (int)size)
			return sk_fail(err, SK_ETOOBIG, "--web-bin: the path is longer than %zu bytes", size - 1);
		return SK_OK;
	}
	for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++)
		for (const char *part = places[i]; *part;) {
			size_t len = strcspn(part, ":");

			for (int k = 0; w->bins[k]; k++)
				if (locate_in(part, len, w->bins[k], ret_path, size))
					return SK_OK;
			part += len + (part[len] == ':');
		}
	return sk_fail(err, SK_ENOENT, "%s is neither on PATH nor in /usr/sbin nor in /usr/local/sbin: install it (%s), or name "
		       "the program with --web-bin", w->name, w->packages);
}

/* In the child: nothing of ours but the three standard streams. */
static void child_begin(pid_t parent)
{
	sigset_t none;

	sigemptyset(&none);
	for (int sig = 1; sig < NSIG; sig++)
		if (sig != SIGKILL && sig != SIGSTOP)
			signal(sig, SIG_DFL);
	sigprocmask(SIG_SETMASK, &none, NULL);
	setpgid(0, 0);
	prctl(PR_SET_PDEATHSIG, SIGTERM);
	if (getppid() != parent)
		_exit(1);                       /* the parent died before prctl */
}

sk_status sk_web_build_read(const struct sk_web *w, const char *bin, struct sk_buf *ret_build, struct sk_err *err)
{
	pid_t parent = getpid(), pid;
	char part[1024];
	int ends[2], status, why = 0;
	ssize_t got;

	if (pipe2(ends, O_CLOEXEC) < 0)
		return sk_fail(err, SK_EIO, "pipe: %s", strerror(errno));
	pid = fork();
	if (pid < 0) {
		close(ends[0]);
		close(ends[1]);
		return sk_fail(err, SK_EIO, "fork: %s", strerror(errno));
	}
	if (pid == 0) {
		child_begin(parent);
		dup2(ends[1], STDOUT_FILENO);
		dup2(ends[1], STDERR_FILENO);
		execl(bin, bin, w->version_arg, (char *)NULL);
		_exit(127);
	}
	close(ends[1]);
	sk_buf_init(ret_build, BUILD_BYTES_MAX);
	while ((got = read(ends[0], part, sizeof(part))) != 0) {
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			why = errno;
		if (got < 0 || sk_buf_add(ret_build, part, (size_t)got) < 0)
			break;
	}
	close(ends[0]);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		continue;
	/* Apache's -V tells all it should and then ends with 1 where its own default configuration has a fault. */
	if (WIFEXITED(status) && ret_build->failed == SK_OK && !why &&
	    (WEXITSTATUS(status) == 0 || strstr(sk_buf_str(ret_build), w->version_words)))
		return SK_OK;
	if (ret_build->failed == SK_ENOMEM)
		why = ENOMEM;
	sk_buf_fini(ret_build);
	if (why)
		return sk_fail(err, why == ENOMEM ? SK_ENOMEM : SK_EIO, "what %s %s says: %s", bin, w->version_arg, strerror(why));
	return sk_fail(err, SK_EIO, "%s %s could not be run, or failed: is it %s?", bin, w->version_arg, w->name);
}

/*
 * A server that gives up root loses PR_SET_PDEATHSIG with it: a shell in its process group holds the reading end of a
 * pipe whose only writing end is ours, and ends the group when that closes. Called in the child.
 */
static void guard_start(pid_t parent, const struct sk_web *w, int pipe_fd)
{
	if (!w->drops_root || pipe_fd < 0 || fork() != 0)
		return;
	if (getppid() == parent)
		_exit(1);
	prctl(PR_SET_PDEATHSIG, 0);
	dup2(pipe_fd, STDIN_FILENO);
	execl("/bin/sh", "sh", "-c", "trap '' TERM; read -r x; kill -TERM 0; sleep 2; kill -KILL 0", (char *)NULL);
	_exit(127);
}

sk_status sk_web_start(const struct sk_web *w, const struct sk_web_setup *s, pid_t *ret_pid, struct sk_err *err)
{
	const char *args[SK_WEB_ARGS_MAX + 1];
	pid_t parent = getpid(), pid;
	static int life = -1;                   /* the writing end: open for as long as this process lives */
	int ends[2] = { -1, -1 };

	w->args_write(s, args);
	if (w->drops_root && s->user && life < 0) {
		if (pipe2(ends, O_CLOEXEC) < 0)
			return sk_fail(err, SK_EIO, "pipe: %s", strerror(errno));
		life = ends[1];
	}
	pid = fork();
	if (pid < 0) {
		sk_fail(err, SK_EIO, "fork: %s", strerror(errno));
		if (ends[0] >= 0) {
			close(ends[0]);
			close(ends[1]);
			life = -1;
		}
		return SK_EIO;
	}
	if (pid == 0) {
		int null = open("/dev/null", O_RDONLY);

		child_begin(parent);
		if (ends[1] >= 0)
			close(ends[1]);
		guard_start(parent, w, ends[0]);
		dup2(STDERR_FILENO, STDOUT_FILENO);     /* a server's words are log lines, wherever it writes them */
		if (null >= 0)
			dup2(null, STDIN_FILENO);
		execv(s->bin, (char *const *)args);
		_exit(127);
	}
	if (ends[0] >= 0)
		close(ends[0]);
	*ret_pid = pid;
	return SK_OK;
}

/* True when the child ended within the time. */
static bool wait_for(pid_t pid, int ms)
{
	int64_t until_us = sk_now_us() + (int64_t)ms * 1000;

	for (;;) {
		pid_t got = waitpid(pid, NULL, WNOHANG);

		if (got == pid || (got < 0 && errno != EINTR))
			return true;
		if (sk_now_us() >= until_us)
			return false;
		poll(NULL, 0, 5);
	}
}

void sk_web_stop(const struct sk_web *w, pid_t pid, int wait_ms)
{
	bool ended;

	kill(pid, w->quit_signal);
	ended = wait_for(pid, wait_ms);
	if (!ended) {
		kill(pid, SIGTERM);
		ended = wait_for(pid, INSIST_MS);
	}
	kill(-pid, SIGKILL);                    /* its process group: workers, a logger, the guard */
	if (ended)
		return;
	kill(pid, SIGKILL);
	wait_for(pid, INSIST_MS);
}

void sk_web_sweep(pid_t pid)
{
	kill(-pid, SIGKILL);
}

void sk_web_status_words(int wait_status, char *ret_words, size_t size)
{
	if (WIFSIGNALED(wait_status))
		snprintf(ret_words, size, "was ended by signal %d (%s)", WTERMSIG(wait_status), strsignal(WTERMSIG(wait_status)));
	else
		snprintf(ret_words, size, "ended with exit code %d", WEXITSTATUS(wait_status));
}
