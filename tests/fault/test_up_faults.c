/* SPDX-License-Identifier: Apache-2.0 */
/*
 * saker up when memory, descriptors, processes and files fail: at its start and at its end every call of each kind fails once, in turn.
 *
 * Each time it serves, or gives up with a reason; and in the end its processes and its directory are gone.
 *
 *	test_up_faults [nginx|apache|lighttpd]
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "engine/base/clock.h"
#include "fcgi/commands.h"
#include "tests/fault/faults.h"

#define WAIT_MS 30000
#define CALLS_MAX 5000

static const char *web = "nginx";
static char log_path[] = "/tmp/saker-up-faults-XXXXXX";
static char words[1 << 16];             /* of the log */
static pid_t up;
static int code;                        /* how it ended */

static const struct { enum fault kind; int error; const char *name; } faults[] = {
	{ FAULT_MEMORY, ENOMEM, "allocation" }, { FAULT_OPEN, EMFILE, "descriptor" }, { FAULT_READ, EIO, "read of a file" },
	{ FAULT_SYSTEM, EMFILE, "process or place" }, { FAULT_THREAD, EAGAIN, "thread" }, { FAULT_WATCH, ENOSPC, "epoll_ctl" },
	{ FAULT_POLL, EINTR, "poll" },
};
#define FAULTS (sizeof faults / sizeof *faults)

static void start(void)
{
	char *argv[] = { "up", "--model", "double", "--port", "0", "--web", (char *)web, "--drain-timeout-ms", "5000", NULL };
	int log = open(log_path, O_RDWR | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0600);

	memset(faults_made(), 0, sizeof *faults_made());
	fflush(NULL);
	up = fork();
	if (up == 0) {
		dup2(log, STDERR_FILENO);
		signal(SIGHUP, SIG_DFL);
		faults_serve();
		exit(sk_cmd_up((int)(sizeof argv / sizeof *argv) - 1, argv));
	}
	close(log);
}

static const char *log_read(void)
{
	int fd = open(log_path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? 0 : read(fd, words, sizeof words - 1);

	words[n > 0 ? n : 0] = '\0';
	if (fd >= 0)
		close(fd);
	return words;
}

static bool ended(void)
{
	int status;

	if (up && waitpid(up, &status, WNOHANG) == up) {
		code = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
		up = 0;
	}
	return !up;
}

static bool is_ready(void)
{
	return ended() || strstr(log_read(), "ready: http://");
}

/* Processes have left, and been buried by whoever inherited them. */
static bool are_gone(void)
{
	for (int i = 0; i < faults_made()->pids; i++)
		if (kill(-faults_made()->pid[i], 0) == 0 || kill(faults_made()->pid[i], 0) == 0)
			return false;
	return true;
}

static bool becomes(bool (*what)(void))
{
	int64_t until = sk_now_us() + WAIT_MS * 1000;

	while (!what()) {
		if (sk_now_us() > until)
			return false;
		poll(NULL, 0, 5);
	}
	return true;
}

static const char *nothing_left(void)
{
	struct stat sb;

	if (!becomes(are_gone))
		return "a process is left";
	for (int i = 0; i < faults_made()->dirs; i++)
		if (stat(faults_made()->dir[i], &sb) == 0)
			return "its directory is left";
	return NULL;
}

/* One life, with the k-th call failing at its start or at its end. NULL: all is right. */
static const char *once(size_t f, long k, bool at_end, bool *ret_hit)
{
	bool told;

	if (!at_end)
		faults_arm(faults[f].kind, k, faults[f].error);
	start();
	if (!becomes(is_ready))
		return "it neither serves nor ends";
	*ret_hit = !at_end && faults_disarm();
	if (!up) {
		told = strstr(log_read(), "saker up: ") && !strstr(words, "Sanitizer");
		return !*ret_hit ? "it ends without a fault" : !told || code < 1 || code > 127 ? "it ends without a reason" : nothing_left();
	}
	if (at_end)
		faults_arm(faults[f].kind, k, faults[f].error);
	kill(up, SIGTERM);
	if (!becomes(ended))
		return "it does not end";
	*ret_hit |= at_end && faults_disarm();
	if (code || strstr(log_read(), "Sanitizer"))
		return "it does not end with 0";
	return nothing_left();
}

static int try_all(size_t f, bool at_end)
{
	long tries = 0;
	bool hit = true;

	/* A web server for each of the first calls, and then for fewer. */
	for (long k = 0; hit; k += 1 + k / 8) {
		const char *why = k < CALLS_MAX ? once(f, k, at_end, &hit) : "it does not come to an end";

		if (why) {
			printf("FAIL %s, %s %ld: %s (%d)\n%s\n", at_end ? "the end" : "the start", faults[f].name, k, why, code, log_read());
			return 1;
		}
		tries += hit;
	}
	printf("%4ld times %s: %s\n", tries, at_end ? "at the end" : "at the start", faults[f].name);
	return 0;
}

int main(int argc, char **argv)
{
	int failed = 0;
	bool hit;
	const char *why;

	web = argc > 1 ? argv[1] : web;
	setvbuf(stdout, NULL, _IOLBF, 0);
	close(mkstemp(log_path));
	faults_init();
	why = once(0, CALLS_MAX, true, &hit);
	if (why && strstr(words, "install it")) {
		printf("skip: %s is not installed\n", web);
		unlink(log_path);
		return 77;
	}
	if (why) {
		printf("FAIL without a fault: %s\n%s\n", why, words);
		failed = 1;
	}
	/* At the start the log's own poll() is what would fail, and the line that the test waits for would be lost. */
	for (size_t f = 0; f < 2 * FAULTS && !failed; f++)
		if (f % 2 || faults[f / 2].kind != FAULT_POLL)
			failed += try_all(f / 2, f % 2);
	if (up > 0) {
		kill(up, SIGTERM);
		becomes(ended);
	}
	unlink(log_path);
	return failed;
}
