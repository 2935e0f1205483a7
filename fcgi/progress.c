/* SPDX-License-Identifier: Apache-2.0 */
#include "fcgi/progress.h"

#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "engine/base/buf.h"
#include "engine/base/clock.h"
#include "engine/base/log.h"

#define CELLS 20
#define BAR_FIRST_US 300000
#define BAR_US 100000
#define LINE_US 10000000
#define LOOK_NS 5000000

/* The cursor stays at the left: a line of the log that comes meanwhile writes over the bar, and the next one is drawn below it. */
static void draw(const struct sk_stats *s, double share)
{
	char cells[CELLS + 1], line[160], done[SK_BYTES_SHOWN], all[SK_BYTES_SHOWN];
	struct pollfd out = { .fd = STDERR_FILENO, .events = POLLOUT };
	int full = (int)(share * CELLS), len;

	memset(cells, '.', CELLS);
	memset(cells, '#', (size_t)full);
	cells[CELLS] = '\0';
	len = snprintf(line, sizeof line, "\r%.12s [%s] %3.0f %% %s of %s\x1b[K\r", s->load_phase, cells, share * 100,
		       sk_bytes_show(done, s->load_done_bytes), sk_bytes_show(all, s->load_total_bytes));
	/* A terminal that takes nothing loses a bar: nobody waits for it. */
	if (poll(&out, 1, 0) == 1 && (out.revents & POLLOUT) && write(STDERR_FILENO, line, (size_t)len) < 0)
		return;
}

void sk_progress_show(struct sk_progress *p, const struct sk_stats *s, int64_t now_us)
{
	bool terminal = isatty(STDERR_FILENO);
	double share = s->load_total_bytes ? (double)s->load_done_bytes / (double)s->load_total_bytes : 0;

	if (!p->begun) {
		p->begun = true;
		p->next_us = now_us + (terminal ? BAR_FIRST_US : LINE_US);
	}
	if (now_us < p->next_us || !s->load_total_bytes)
		return;
	p->next_us = now_us + (terminal ? BAR_US : LINE_US);
	share = share < 1 ? share : 1;
	if (terminal) {
		draw(s, share);
		p->drawn = true;
	} else {
		sk_log(SK_LOG_INFO, "loading %s: %.0f %%, %llu of %llu MiB", s->load_phase, share * 100,
		       (unsigned long long)s->load_done_bytes >> 20, (unsigned long long)s->load_total_bytes >> 20);
	}
}

void sk_progress_end(struct sk_progress *p)
{
	static const char clear[] = "\r\x1b[K";

	if (p->drawn && write(STDERR_FILENO, clear, sizeof clear - 1) < 0)
		return;
	p->drawn = false;
}

sk_status sk_progress_wait(struct sk_engine *e, struct sk_err *err)
{
	const struct timespec pause = { .tv_nsec = LOOK_NS };
	struct sk_progress p = { 0 };
	struct sk_stats s;

	if (isatty(STDERR_FILENO)) {
		for (sk_engine_stats(e, &s); s.state == SK_STATE_LOADING; sk_engine_stats(e, &s)) {
			sk_progress_show(&p, &s, sk_now_us());
			nanosleep(&pause, NULL);
		}
		sk_progress_end(&p);
	}
	return sk_engine_wait_ready(e, err);
}
