/* SPDX-License-Identifier: Apache-2.0 */
/*
 * saker top [PLACE]: what a running server does, on a terminal until q; a line a look where standard output is none.
 *
 * It asks as any client does, /metrics for the numbers and /requests for who runs. Rates and quantiles are over the last ten looks.
 */
#include <errno.h>
#include <langinfo.h>
#include <locale.h>
#include <math.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include "engine/base/clock.h"
#include "fcgi/ask.h"
#include "fcgi/commands.h"
#include "fcgi/top_view.h"
#include "fcgi/words.h"

#define LOOKS 10                        /* that are kept, for rates and quantiles */
#define ANSWER_MS 5000
#define SCREEN_MAX ((size_t)1 << 18)

struct look { struct sk_buf text; struct sk_scrape numbers; struct sk_top_totals totals; int64_t at_us; };

struct top {
	struct sk_place place;
	const char *key;
	struct look looks[LOOKS];       /* a ring: the n-th look is in looks[n % LOOKS] */
	unsigned len;
	struct sk_top view;
	bool screen, changed_mode, utf8;
	struct termios before;
	int signals;
};

/* ---- asking ------------------------------------------------------------------------------------------------- */

/* One answer of 200, or why not. */
static sk_status get(struct top *t, const char *path, struct sk_buf *body, struct sk_err *err)
{
	int status = 0;
	sk_status st = sk_ask(&t->place, path, t->key, ANSWER_MS, &status, body, err);

	if (st < 0 || status == 200)
		return st;
	if (status == 401)
		return sk_fail(err, SK_EINVAL, "%.*s wants an API key: --api-key, or API_KEY in the environment", (int)strcspn(path, "?"), path);
	return sk_fail(err, SK_EFORMAT, "%.*s is answered with %d", (int)strcspn(path, "?"), path, status);
}

static void forget(struct look *l)
{
	sk_scrape_fini(&l->numbers);
	sk_buf_fini(&l->text);
}

/* Look once more. On failure the view keeps what it had, and says why. */
static sk_status look(struct top *t, struct sk_err *err)
{
	struct look *now = &t->looks[t->len % LOOKS], *before = t->len ? &t->looks[t->len < LOOKS ? 0 : (t->len + 1) % LOOKS] : NULL;
	struct look fresh = { .text = SK_BUF(SK_ASK_BYTES_MAX) };
	struct sk_buf requests = SK_BUF(SK_ASK_BYTES_MAX);
	char path[2048];
	sk_status st;

	snprintf(path, sizeof path, "/metrics?%s", sk_top_query);
	st = get(t, path, &fresh.text, err);
	fresh.at_us = sk_now_us();
	if (st == SK_OK)
		st = sk_scrape_read(sk_buf_str(&fresh.text), fresh.text.len, &fresh.numbers, err);
	if (st == SK_OK && get(t, "/requests", &requests, err) == SK_OK)
		sk_top_take_requests(&t->view, requests.data, requests.len, err);
	sk_buf_fini(&requests);
	if (st < 0) {
		snprintf(t->view.trouble, sizeof t->view.trouble, "%s", err->text);
		forget(&fresh);
		return st;
	}
	forget(now);
	*now = fresh;
	sk_top_take(&t->view, &now->numbers, before ? &before->numbers : NULL, before ? &before->totals : NULL,
		    before ? (double)(now->at_us - before->at_us) * 1e-6 : 1);
	now->totals = t->view.totals;
	t->view.up_s = (double)time(NULL) - t->view.up_s;
	t->len++;
	return SK_OK;
}

/* ---- the terminal ------------------------------------------------------------------------------------------- */

static void write_all(const char *s, size_t len)
{
	while (len) {
		ssize_t n = write(STDOUT_FILENO, s, len);

		if (n < 0 && errno != EINTR)
			return;
		if (n > 0) {
			s += n;
			len -= (size_t)n;
		}
	}
}

/* Another screen, without a cursor; keys come one by one and are not shown. */
static void screen_open(struct top *t)
{
	static const char enter[] = "\x1b[?1049h\x1b[?25l\x1b[?7l";
	struct termios raw;

	if (!t->screen)
		return;
	if (isatty(STDIN_FILENO) && tcgetattr(STDIN_FILENO, &t->before) == 0) {
		raw = t->before;
		raw.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
		t->changed_mode = tcsetattr(STDIN_FILENO, TCSANOW, &raw) == 0;
	}
	write_all(enter, sizeof enter - 1);
}

static void screen_close(struct top *t)
{
	static const char leave[] = "\x1b[?7h\x1b[?25h\x1b[?1049l";

	if (!t->screen)
		return;
	write_all(leave, sizeof leave - 1);
	if (t->changed_mode)
		tcsetattr(STDIN_FILENO, TCSANOW, &t->before);
}

static sk_status show(struct top *t, struct sk_err *err)
{
	struct sk_buf b = SK_BUF(SCREEN_MAX);
	struct winsize size = { .ws_row = 24, .ws_col = 80 };
	sk_status st;

	if (!t->screen) {
		sk_top_line(&t->view, &b);
		st = sk_words_print(&b, err);
		sk_buf_fini(&b);
		return st == SK_OK ? sk_words_flush(err) : st;
	}
	ioctl(STDOUT_FILENO, TIOCGWINSZ, &size);
	sk_top_draw(&t->view, size.ws_row ? size.ws_row : 24, size.ws_col ? size.ws_col : 80, t->utf8, &b);
	if (!b.failed)
		write_all(b.data, b.len);
	sk_buf_fini(&b);
	return SK_OK;
}

/* Wait until the next look is due. False: a key or a signal ends it. */
static bool pause_until(struct top *t, int64_t due_us, struct sk_err *err)
{
	struct pollfd fds[2] = { { .fd = t->signals, .events = POLLIN }, { .fd = t->changed_mode ? STDIN_FILENO : -1, .events = POLLIN } };

	for (;;) {
		int64_t left = (due_us - sk_now_us() + 999) / 1000;
		struct signalfd_siginfo si;
		char key;

		if (left <= 0)
			return true;
		if (poll(fds, 2, (int)left) <= 0)
			continue;
		if (fds[0].revents && read(t->signals, &si, sizeof si) == sizeof si) {
			if (si.ssi_signo != SIGWINCH)
				return false;
			show(t, err);
		}
		if (fds[1].revents && (read(STDIN_FILENO, &key, 1) != 1 || key == 'q' || key == 'Q'))
			return false;
	}
}

/* ---- the command -------------------------------------------------------------------------------------------- */

static sk_status watch(struct top *t, const struct sk_flags *f, struct sk_err *err)
{
	int64_t interval_us = (int64_t)(f->top_interval * 1e6), due_us;
	sk_status st = look(t, err);

	/* A place that never answered is a mistake; one that stops answering may come back. */
	if (st < 0)
		return st;
	due_us = sk_now_us() + interval_us;
	if (f->top_once) {
		/* One look alone knows no rates. */
		if (pause_until(t, due_us, err))
			st = look(t, err);
		return st == SK_OK ? show(t, err) : st;
	}
	screen_open(t);
	for (st = show(t, err); st == SK_OK && pause_until(t, due_us, err); st = show(t, err)) {
		due_us += interval_us;
		if (due_us < sk_now_us())
			due_us = sk_now_us() + interval_us;
		look(t, err);
	}
	screen_close(t);
	return st;
}

int sk_cmd_top(int argc, char **argv)
{
	struct top t = { .signals = -1 };
	struct sk_options o;
	struct sk_flags f;
	struct sk_err err = { 0 };
	sigset_t signals;
	sk_status st = sk_command_read("top", &o, &f, &argc, argv, &err);
	const char *words = argc > 1 ? argv[1] : "http://127.0.0.1:8080";

	if (st == SK_OK && argc > 2)
		st = sk_fail(&err, SK_EINVAL, "unexpected word \"%s\": one place is watched", argv[2]);
	if (st == SK_OK)
		st = sk_place_read(words, &t.place, &err);
	if (st == SK_OK) {
		snprintf(t.view.place, sizeof t.view.place, "%s", words);
		t.key = o.api_key;
		t.screen = isatty(STDOUT_FILENO) && !f.top_once;
		setlocale(LC_CTYPE, "");
		t.utf8 = !strcmp(nl_langinfo(CODESET), "UTF-8");
		sigemptyset(&signals);
		sigaddset(&signals, SIGINT);
		sigaddset(&signals, SIGTERM);
		sigaddset(&signals, SIGHUP);
		sigaddset(&signals, SIGWINCH);
		sigprocmask(SIG_BLOCK, &signals, NULL);
		t.signals = signalfd(-1, &signals, SFD_CLOEXEC);
		if (t.signals < 0)
			st = sk_fail(&err, SK_EIO, "signalfd: %s", strerror(errno));
	}
	if (st == SK_OK)
		st = watch(&t, &f, &err);
	for (int i = 0; i < LOOKS; i++)
		forget(&t.looks[i]);
	if (t.signals >= 0)
		close(t.signals);
	return sk_exit("top", st, &err);
}
