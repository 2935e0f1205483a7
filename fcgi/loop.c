/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The loop's frame: sources, accepting, timers, signals, drain. What happens to one connection is in conn.c.
 */
#include "fcgi/loop.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "engine/base/clock.h"
#include "engine/base/log.h"
#include "fcgi/conn.h"
#include "fcgi/keys.h"
#include "fcgi/listen.h"
#include "fcgi/notify.h"

#define ACCEPTS_PER_ROUND 256
#define ACCEPT_PAUSE_US 100000          /* after running out of descriptors */
#define FULL_TICK_US 100000             /* all connections taken and others wait: look for an idle one */
#define IDLE_MIN_US 1000000             /* a younger idle connection may have its next request on the way */
#define FRESH_GRACE_US 1000000          /* who connected before the drain, and has not spoken, is waited for */
#define FILES_SPARE 8                   /* descriptors for the service manager, a reload, a model's files */
#define FILES_LATER 32                  /* descriptors that are opened when the limit has been raised: a model's files */
#define LOADING_TICK_US 10000
#define READY_TICK_US 1000000
#define BODIES_MAX 8                    /* full-size bodies that may be in memory at once */
#define CANCELLED_GRACE_US 2000000      /* for error frames, after the drain's time is over */

static sk_status watch(struct sk_loop *l, int fd, struct sk_source *s, enum sk_source_kind kind)
{
	struct epoll_event ev = { .events = EPOLLIN, .data.ptr = s };

	s->kind = kind;
	return epoll_ctl(l->epoll, EPOLL_CTL_ADD, fd, &ev) ? SK_EIO : SK_OK;
}

/* ---- accepting ---------------------------------------------------------------------------------------------- */

static void accepting(struct sk_loop *l, bool on)
{
	struct epoll_event ev = { .events = on ? EPOLLIN : 0, .data.ptr = &l->listen };

	if (l->serve->listen_fd < 0 || l->accepting == on)
		return;
	epoll_ctl(l->epoll, EPOLL_CTL_MOD, l->serve->listen_fd, &ev);
	l->accepting = on;
}

static int conns_max(const struct sk_loop *l)
{
	const struct sk_options *o = l->front->options;

	return o->max_connections < l->files_max ? (int)o->max_connections : l->files_max;
}

/* Is there a place for one more? An idle connection makes way. */
static bool make_room(struct sk_loop *l)
{
	return l->conns_len < conns_max(l) || sk_conns_evict(l, sk_now_us() - IDLE_MIN_US);
}

static void on_accept_timer(struct sk_loop *l)
{
	struct pollfd p = { .fd = l->serve->listen_fd, .events = POLLIN };

	l->paused = false;
	if (p.fd < 0 || l->accepting)
		return;
	if (l->conns_len < conns_max(l) || (poll(&p, 1, 0) == 1 && make_room(l)))
		accepting(l, true);
	else
		sk_timer_set(&l->timers, &l->accept_timer, sk_now_us() + FULL_TICK_US);
}

static void listen_close(struct sk_loop *l)
{
	epoll_ctl(l->epoll, EPOLL_CTL_DEL, l->serve->listen_fd, NULL);
	close(l->serve->listen_fd);
	l->serve->listen_fd = -1;
}

static void accept_some(struct sk_loop *l)
{
	const struct sk_options *o = l->front->options;
	const struct timeval send_max = { .tv_sec = 1 };
	const int on = 1;

	for (int i = 0; i < ACCEPTS_PER_ROUND; i++) {
		int fd;
		long uid;

		if (!make_room(l)) {
			accepting(l, false);
			sk_timer_set(&l->timers, &l->accept_timer, sk_now_us() + FULL_TICK_US);
			return;
		}
		fd = accept4(l->serve->listen_fd, NULL, NULL, SOCK_CLOEXEC);
		if (fd < 0) {
			if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
				sk_log(SK_LOG_WARN, "cannot accept with %d connections open: %s", l->conns_len, strerror(errno));
				accepting(l, false);
				l->paused = true;
				sk_timer_set(&l->timers, &l->accept_timer, sk_now_us() + ACCEPT_PAUSE_US);
			} else if (errno == EAGAIN && l->left) {
				listen_close(l);
			}
			return;
		}
		if (!sk_listen_peer_ok(fd, o->allow_uid, &uid)) {
			sk_log(SK_LOG_WARN, "connection of user id %ld refused: allow-uid is %s", uid, o->allow_uid);
			close(fd);
			continue;
		}
		/* Nothing is written without POLLOUT; should that ever be wrong, one write may block this long, once. */
		setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &send_max, sizeof send_max);
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
		if (sk_conn_open(l, fd) < 0) {
			sk_log(SK_LOG_WARN, "connection closed: no memory for it beside %d others", l->conns_len);
			close(fd);
			continue;
		}
	}
}

/* ---- life of the process ------------------------------------------------------------------------------------ */

static void begin_drain(struct sk_loop *l)
{
	int timeout_ms = (int)l->front->options->drain_timeout_ms;

	sk_log(SK_LOG_INFO, "draining: %d requests running, %d ms at most", l->active, timeout_ms);
	sk_notify("STOPPING=1\nSTATUS=draining, %d requests running", l->active);
	atomic_store(&l->front->draining, true);
	l->draining = true;
	l->front->backlog.stops_us = sk_now_us() + (int64_t)timeout_ms * 1000;
	if (l->serve->own_socket) {
		sk_engine_refuse(l->front->engine);
	} else {
		listen_close(l);
	}
	sk_timer_set(&l->timers, &l->drain_timer, sk_now_us() + (int64_t)timeout_ms * 1000);
	if (l->fresh)
		sk_timer_set(&l->timers, &l->fresh_timer, sk_now_us() + FRESH_GRACE_US);
}

/* Ends the child when no generation runs. Whoever asks now is refused, and under load some client always is: he is not waited for. */
static void child_ask(struct sk_loop *l)
{
	struct sk_stats stats;

	if (!l->draining || l->child_asked || !l->serve->quit || l->serve->child <= 0)
		return;
	sk_engine_stats(l->front->engine, &stats);
	if (l->active && stats.running + stats.waiting)
		return;
	l->child_asked = true;
	l->serve->quit(l->serve->arg);
}

/* The child was told to end, and carries our last answers to its clients: its end is ours. */
static bool child_awaited(struct sk_loop *l)
{
	if (!l->child_asked || l->serve->child <= 0)
		return false;
	if (!l->quit_timer.place) {
		sk_timer_clear(&l->timers, &l->drain_timer);
		sk_timer_set(&l->timers, &l->quit_timer, sk_now_us() + (int64_t)l->serve->quit_ms * 1000);
	}
	return true;
}

/*
 * Nothing is left to do, but for who is coming. While accepting has a pause its timer says when to look again; who connected
 * and has not spoken gets his time.
 */
static bool drained(struct sk_loop *l)
{
	if (!l->draining || l->active || (l->serve->listen_fd >= 0 && !l->accepting))
		return false;
	if (child_awaited(l))
		return false;
	if (l->fresh && !l->fresh_over && !l->fresh_timer.place)
		sk_timer_set(&l->timers, &l->fresh_timer, sk_now_us() + FRESH_GRACE_US);
	return !l->fresh || l->fresh_over;
}

/*
 * Drained, and the own socket is still open: what waits in it would be reset when it is closed, and closing the engine may
 * take long. First the name goes, then nobody can connect any more (unix; on TCP that ends a listener, its clients too), then
 * those that are in it are accepted, the last of which closes it, and have their time to speak.
 */
static void leave(struct sk_loop *l)
{
	int domain = 0;

	if (!l->left) {
		l->left = true;
		if (l->serve->leave)
			l->serve->leave(l->serve->arg);
		if (getsockopt(l->serve->listen_fd, SOL_SOCKET, SO_DOMAIN, &domain, &(socklen_t){ sizeof domain }) == 0 &&
		    domain == AF_UNIX)
			shutdown(l->serve->listen_fd, SHUT_RD);
		sk_timer_clear(&l->timers, &l->fresh_timer);
		l->fresh_over = false;
	}
	accept_some(l);
}

/*
 * For how many connections there are descriptors: a full table would refuse nobody, it would leave all of them waiting. A shell's
 * soft limit of 1,024 files is less than we promise; the hard one is ours to use.
 */
static void connections_limit(struct sk_loop *l)
{
	int64_t asked = l->front->options->max_connections, others = FILES_SPARE - l->conns_len;
	rlim_t want;
	struct rlimit limit;
	DIR *d = opendir("/proc/self/fd");

	l->files_max = INT32_MAX;
	if (!d || getrlimit(RLIMIT_NOFILE, &limit) < 0) {
		if (d)
			closedir(d);
		return;
	}
	while (readdir(d))
		others++;
	closedir(d);
	want = (rlim_t)(asked + others + FILES_LATER);
	if (limit.rlim_cur < want) {
		limit.rlim_cur = limit.rlim_max < want ? limit.rlim_max : want;
		setrlimit(RLIMIT_NOFILE, &limit);
		getrlimit(RLIMIT_NOFILE, &limit);
	}
	if (limit.rlim_cur < (rlim_t)INT32_MAX)
		l->files_max = (int64_t)limit.rlim_cur > others ? (int)((int64_t)limit.rlim_cur - others) : 1;
	if (l->files_max < asked)
		sk_log(SK_LOG_WARN, "max-connections is %" PRId64 ", the limit of open files %llu (ulimit -n): %d connections at most", asked,
		       (unsigned long long)limit.rlim_cur, l->files_max);
}

static void settings_free(struct sk_settings *s)
{
	while (s) {
		struct sk_settings *older = s->older;

		sk_arena_fini(&s->strings);
		free(s);
		s = older;
	}
}

/*
 * SIGHUP. What is wrong with the new settings is told, and the old ones stay. READY=1 is owed after RELOADING=1 and would be a lie while
 * the model loads or we drain: then the service manager hears neither.
 */
static void reload(struct sk_loop *l)
{
	bool tell = l->ready && !l->draining;
	const struct sk_options *old = l->front->options;
	struct sk_settings *s = calloc(1, sizeof *s);
	struct sk_err err = { 0 };

	if (tell)
		sk_notify("RELOADING=1\nMONOTONIC_USEC=%" PRId64, sk_now_us());
	if (!s || l->serve->reload(l->serve->arg, old, &s->strings, &s->o, &err) < 0) {
		sk_log(SK_LOG_ERROR, "settings stay as they were: %s", s ? err.text : "no memory");
		settings_free(s);
	} else {
		s->older = l->settings;
		l->settings = s;
		sk_permits_limit(&l->front->permits, s->o.max_concurrent_requests);
		l->front->options = &s->o;
		if (s->o.max_connections != old->max_connections)
			connections_limit(l);
		sk_log_level_set((enum sk_log_level)sk_log_level_find(s->o.log_level));
		if (sk_keys_reload(l->front->keys, &err) < 0)   /* those that were there stay */
			sk_log(SK_LOG_ERROR, "%s", err.text);
		sk_log(SK_LOG_INFO, "settings were read again");
	}
	if (tell)
		sk_notify("READY=1");
}

static void on_signal(struct sk_loop *l)
{
	struct signalfd_siginfo si;

	while (read(l->signal_fd, &si, sizeof si) == sizeof si) {
		if (si.ssi_signo == SIGHUP && l->serve->reload)
			reload(l);
		else if (l->draining)
			l->stop = l->at_once = true;
		else
			begin_drain(l);
	}
}

static void on_child(struct sk_loop *l, struct sk_err *err)
{
	int status = 0;

	if (waitpid(l->serve->child, &status, WNOHANG) != l->serve->child)
		return;
	l->serve->child = 0;
	close(l->child_fd);
	l->child_fd = -1;
	l->stop = true;
	if (l->draining)
		return;
	l->result = WIFSIGNALED(status) ?
		sk_fail(err, SK_EENGINE, "%s was ended by signal %d", l->serve->child_name, WTERMSIG(status)) :
		sk_fail(err, SK_EENGINE, "%s ended with exit code %d", l->serve->child_name, WEXITSTATUS(status));
}

/* While loading: progress, and the moment of readiness. Later: the watchdog, and whether the engine has failed for good. */
static void on_tick(struct sk_loop *l, int64_t now, struct sk_err *err)
{
	int64_t watchdog_us = sk_notify_watchdog_us();
	struct sk_stats stats;

	sk_engine_stats(l->front->engine, &stats);
	if (watchdog_us)
		sk_notify("WATCHDOG=1");
	if (!l->ready && stats.state == SK_STATE_LOADING) {
		if (now - l->told_us > 1000000) {
			sk_notify("STATUS=loading %s: %" PRIu64 " of %" PRIu64 " MiB", stats.load_phase,
				  stats.load_done_bytes >> 20, stats.load_total_bytes >> 20);
			l->told_us = now;
		}
		sk_progress_show(&l->progress, &stats, now);
		sk_timer_set(&l->timers, &l->tick, now + LOADING_TICK_US);
		return;
	}
	sk_progress_end(&l->progress);
	if (stats.state == SK_STATE_FAILED && l->result == SK_OK) {
		l->result = sk_engine_wait_ready(l->front->engine, err);
		if (l->result == SK_OK)
			l->result = sk_fail(err, SK_EENGINE, "the engine has failed");
		/* A service manager starts another; what was running gets its error answer first. */
		l->stop = !l->ready;
		if (l->ready && !l->draining)
			begin_drain(l);
		/* An engine that still runs tells its requests itself; a thread that hangs in a device does not. */
		if (l->ready && l->result == SK_EDEVICE)
			sk_conns_fail(l, l->result);
		return;
	}
	if (!l->ready) {
		l->ready = true;
		sk_workers_hold(l->workers, false);
		l->front->backlog.ready_us = now;
		sk_log(SK_LOG_INFO, "ready");
		sk_notify("READY=1\nSTATUS=ready");
		if (l->serve->ready)
			l->serve->ready(l->serve->arg);
	}
	sk_timer_set(&l->timers, &l->tick, now + (watchdog_us && watchdog_us < READY_TICK_US ? watchdog_us : READY_TICK_US));
}

static void on_drain_timeout(struct sk_loop *l, int64_t now)
{
	if (l->cancelled) {
		l->stop = l->at_once = true;
		return;
	}
	sk_log(SK_LOG_WARN, "drain-timeout-ms is over: %d requests are cancelled", l->active);
	l->cancelled = true;
	sk_conns_cancel(l);
	sk_timer_set(&l->timers, &l->drain_timer, now + CANCELLED_GRACE_US);
}

static void on_timers(struct sk_loop *l, struct sk_err *err)
{
	int64_t now = sk_now_us();
	struct sk_timer *t;

	while ((t = sk_timers_find(&l->timers)) && t->at_us <= now) {
		sk_timer_clear(&l->timers, t);
		if (t == &l->tick)
			on_tick(l, now, err);
		else if (t == &l->drain_timer)
			on_drain_timeout(l, now);
		else if (t == &l->accept_timer)
			on_accept_timer(l);
		else if (t == &l->quit_timer)
			l->stop = true;
		else if (t == &l->fresh_timer)
			l->fresh_over = true;
		else
			sk_conn_timeout(t, now);
	}
}

static void on_doorbell(struct sk_loop *l)
{
	uint64_t rings;
	struct sk_gen *g;

	if (read(sk_engine_doorbell(l->front->engine), &rings, sizeof rings) < 0 && errno != EAGAIN)
		return;
	while ((g = sk_engine_next_ready(l->front->engine))) {
		/* Not adopted yet: its worker is about to hand it over, and adoption reads its events. */
		if (sk_gen_user(g))
			sk_conn_advance(sk_gen_user(g));
	}
}

static void on_workers(struct sk_loop *l)
{
	uint64_t n;
	struct sk_request *r;

	if (read(sk_workers_fd(l->workers), &n, sizeof n) < 0 && errno != EAGAIN)
		return;
	while ((r = sk_workers_take(l->workers)))
		sk_conn_worked(r->conn);
}

sk_status sk_loop_run(struct sk_loop *l, struct sk_err *err)
{
	struct epoll_event evs[256];

	while (!l->stop) {
		bool idle, signalled = false, child_ended = false;
		struct sk_timer *t;
		int64_t wait_us;
		int n;

		child_ask(l);
		/* Drained: one more look, as a request may have come with the signal on a connection already taken. */
		idle = drained(l);
		t = sk_timers_find(&l->timers);
		wait_us = t ? t->at_us - sk_now_us() : -1;
		n = epoll_wait(l->epoll, evs, 256, idle ? 0 : !t ? -1 : wait_us <= 0 ? 0 : (int)((wait_us + 999) / 1000));
		if (n < 0 && errno != EINTR)
			return sk_fail(err, SK_EIO, "epoll_wait: %s", strerror(errno));
		if (idle && n == 0 && l->serve->listen_fd < 0)
			break;
		if (idle && n == 0)
			leave(l);
		for (int i = 0; i < n; i++) {
			struct sk_source *s = evs[i].data.ptr;

			switch (s->kind) {
			case SK_SOURCE_LISTEN:   accept_some(l); break;
			case SK_SOURCE_DOORBELL: on_doorbell(l); break;
			case SK_SOURCE_WORKERS:  on_workers(l); break;
			case SK_SOURCE_SIGNAL:   signalled = true; break;
			case SK_SOURCE_CHILD:    child_ended = true; break;
			case SK_SOURCE_CONN:     sk_conn_event(sk_conn_of_source(s), evs[i].events); break;
			}
		}
		/*
		 * Last, whatever its place in the list: who connected before the signal is served. Any signal, SIGSTOP too,
		 * links the signalfd into epoll's list, so it may stand there before what came earlier. A child that ended of
		 * the same ^C has not failed.
		 */
		if (signalled)
			on_signal(l);
		if (child_ended)
			on_child(l, err);
		on_timers(l, err);
		sk_conns_bury(l);
		if (!l->accepting && !l->paused && l->conns_len < conns_max(l))
			accepting(l, true);
		if (l->settings && l->settings->older && !l->working) {
			settings_free(l->settings->older);
			l->settings->older = NULL;
		}
	}
	return l->result;
}

/* ---- open and close ----------------------------------------------------------------------------------------- */

static sk_status setup(struct sk_loop *l, struct sk_err *err)
{
	sigset_t set;

	sk_serve_signals(&set);
	sigprocmask(SIG_BLOCK, &set, NULL);
	l->signal_fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
	l->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (l->signal_fd < 0 || l->epoll < 0)
		return sk_fail(err, SK_EIO, "cannot set up the loop: %s", strerror(errno));
	if (l->serve->child) {
		l->child_fd = (int)syscall(SYS_pidfd_open, l->serve->child, 0);
		if (l->child_fd < 0)
			return sk_fail(err, SK_EIO, "pidfd_open(%s): %s", l->serve->child_name, strerror(errno));
	}
	if (watch(l, l->serve->listen_fd, &l->listen, SK_SOURCE_LISTEN) < 0 ||
	    watch(l, sk_engine_doorbell(l->front->engine), &l->doorbell, SK_SOURCE_DOORBELL) < 0 ||
	    watch(l, sk_workers_fd(l->workers), &l->worked, SK_SOURCE_WORKERS) < 0 ||
	    watch(l, l->signal_fd, &l->signals, SK_SOURCE_SIGNAL) < 0 ||
	    (l->child_fd >= 0 && watch(l, l->child_fd, &l->child, SK_SOURCE_CHILD) < 0))
		return sk_fail(err, SK_EIO, "epoll_ctl: %s", strerror(errno));
	/* An inherited socket may have a predecessor, whose clients shall not hear that there was a change. */
	if (!l->serve->own_socket)
		sk_workers_hold(l->workers, true);
	l->accepting = true;
	connections_limit(l);
	if (sk_timers_reserve(&l->timers, 16) < 0)
		return sk_fail(err, SK_ENOMEM, "no memory for timers");
	sk_timer_set(&l->timers, &l->tick, sk_now_us());
	return SK_OK;
}

sk_status sk_loop_open(struct sk_front *front, struct sk_workers *workers, struct sk_serve *serve, struct sk_loop **ret_l,
		       struct sk_err *err)
{
	struct sk_loop *l = calloc(1, sizeof *l);
	sk_status st;

	if (!l)
		return sk_fail(err, SK_ENOMEM, "no memory for the loop");
	l->front = front;
	l->workers = workers;
	l->serve = serve;
	l->epoll = l->signal_fd = l->child_fd = -1;
	l->bodies_left = front->options->payload_limit < UINT64_MAX / BODIES_MAX ?
		front->options->payload_limit * BODIES_MAX : UINT64_MAX;
	st = setup(l, err);
	if (st < 0) {
		sk_loop_close(&l);
		return st;
	}
	*ret_l = l;
	return SK_OK;
}

bool sk_loop_at_once(const struct sk_loop *l)
{
	return l->at_once;
}

void sk_loop_tell(struct sk_loop *l)
{
	sk_conns_tell(l);
}

void sk_loop_close(struct sk_loop **pl)
{
	struct sk_loop *l = *pl;

	if (!l)
		return;
	sk_conns_close(l);
	sk_conns_bury(l);
	sk_timers_fini(&l->timers);
	settings_free(l->settings);
	if (l->child_fd >= 0)
		close(l->child_fd);
	if (l->signal_fd >= 0)
		close(l->signal_fd);
	if (l->epoll >= 0)
		close(l->epoll);
	free(l);
	*pl = NULL;
}
