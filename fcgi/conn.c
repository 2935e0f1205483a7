/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One connection's life on the loop: records in, request to the workers or answered at once, events rendered only when
 * the socket can take them, client gone, end.
 *
 * A slow reader costs nobody anything: its events stay in its generation's ring, which was sized for all of them.
 */
#include "fcgi/conn.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "engine/base/clock.h"
#include "engine/base/log.h"
#include "fcgi/keys.h"
#include "fcgi/metrics.h"
#include "fcgi/runtime.h"
#include "fcgi/share.h"
#include "fcgi/watch.h"

#define PARAMS_BYTES_MAX (256u << 10)
#define PARAMS_MAX 1024u
#define HEADERS_BYTES_MAX 16384u
#define REPLY_BYTES_MAX ((size_t)256 << 20)
#define ARENA_BYTES_MAX ((size_t)512 << 20)
#define OUT_HIGH_BYTES 16384u           /* more events are rendered only when less than this waits to be written */

enum { TIMER_STATE, TIMER_DEADLINE };    /* sk_timer.kind */

struct sk_conn *sk_conn_of_source(struct sk_source *s)
{
	return (struct sk_conn *)((char *)s - offsetof(struct sk_conn, source));
}

static void active(struct sk_conn *c, bool on)
{
	if (c->counted == on)
		return;
	c->counted = on;
	c->loop->active += on ? 1 : -1;
}

static void spoken(struct sk_conn *c)
{
	c->loop->fresh -= c->fresh;
	c->fresh = false;
}

static void want_out(struct sk_conn *c, bool on)
{
	struct epoll_event ev = { .events = EPOLLIN | EPOLLRDHUP | (on ? EPOLLOUT : 0), .data.ptr = &c->source };

	if (c->want_out == on)
		return;
	c->want_out = on;
	epoll_ctl(c->loop->epoll, EPOLL_CTL_MOD, c->fd, &ev);
}

sk_status sk_conn_open(struct sk_loop *l, int fd)
{
	const struct sk_options *o = l->front->options;
	const struct sk_record_limits limits = {
		.params_bytes_max = PARAMS_BYTES_MAX, .params_max = PARAMS_MAX, .body_bytes_max = o->payload_limit,
		.bodies_left = &l->bodies_left,
	};
	struct epoll_event ev = { .events = EPOLLIN | EPOLLRDHUP };
	struct sk_conn *c;

	if (sk_timers_reserve(&l->timers, ((uint32_t)l->conns_len + 16) * 2) < 0)
		return SK_ENOMEM;
	c = calloc(1, sizeof *c);
	if (!c)
		return SK_ENOMEM;
	c->source.kind = SK_SOURCE_CONN;
	c->timer.kind = TIMER_STATE;
	c->deadline.kind = TIMER_DEADLINE;
	c->loop = l;
	c->fd = fd;
	ev.data.ptr = &c->source;
	if (epoll_ctl(l->epoll, EPOLL_CTL_ADD, fd, &ev)) {
		free(c);
		return SK_EIO;
	}
	sk_record_init(&c->rec, &limits);
	c->next = l->conns;
	if (c->next)
		c->next->prev = c;
	l->conns = c;
	l->conns_len++;
	sk_metrics_add(l->front->metrics, SK_M_CONNECTIONS, 0, 1);
	sk_metrics_add(l->front->metrics, SK_M_ACCEPTED, 0, 1);
	c->fresh = true;
	l->fresh++;
	c->idle_us = sk_now_us();
	/* A peer that connects and says nothing has as long as one that stops in mid-request. */
	sk_timer_set(&l->timers, &c->timer, c->idle_us + o->read_timeout_ms * 1000);
	return SK_OK;
}

/* Everything of the request: generation (cancelled if running), permits, memory. */
static void request_fini(struct sk_conn *c)
{
	struct sk_request *r = &c->req;

	sk_watch_fini(r);
	sk_timer_clear(&c->loop->timers, &c->deadline);
	if (r->gen)
		sk_request_gens_close(r);
	if (r->permits)
		sk_permits_give(&r->front->permits, r->permits, r->share);
	if (r->large_bytes)
		atomic_fetch_sub(&r->front->large_bytes, r->large_bytes);
	sk_buf_fini(&r->headers);
	sk_buf_fini(&r->out);
	sk_buf_fini(&c->head);
	sk_arena_fini(&r->arena);
	memset(r, 0, sizeof *r);
}

static void conn_close(struct sk_conn *c)
{
	struct sk_loop *l = c->loop;

	if (c->buried)
		return;
	request_fini(c);
	active(c, false);
	spoken(c);
	sk_timer_clear(&l->timers, &c->timer);
	sk_record_fini(&c->rec);
	close(c->fd);
	c->fd = -1;
	if (c->prev)
		c->prev->next = c->next;
	else
		l->conns = c->next;
	if (c->next)
		c->next->prev = c->prev;
	l->conns_len--;
	sk_metrics_add(l->front->metrics, SK_M_CONNECTIONS, 0, -1);
	c->buried = true;
	c->grave = l->graves;
	l->graves = c;
}

/* Is all of the answer written, but for the end? nginx may close as soon as it has the bytes of Content-Length. */
static bool answered(const struct sk_conn *c)
{
	const struct sk_request *r = &c->req;

	return r->status && !r->gen && c->writer.begun && !c->head.len && !r->out.len && !r->out.failed;
}

/* The peer is gone, broke the protocol, or takes nothing any more. */
static void hang_up(struct sk_conn *c, enum sk_watch_how how)
{
	if (c->state == SK_CONN_WORKING) {
		/* The worker still reads the request: off the epoll set, and wait for it. */
		epoll_ctl(c->loop->epoll, EPOLL_CTL_DEL, c->fd, NULL);
		c->gone = true;
		return;
	}
	if (c->state == SK_CONN_ANSWERING)
		sk_watch_end(&c->req, answered(c) ? SK_WATCH_WHOLE : how);
	conn_close(c);
}

/* The answer is out. */
static void request_end(struct sk_conn *c)
{
	const struct sk_loop *l = c->loop;
	/*
	 * An own socket's web server hears 503 while we drain, on this connection too: were it closed, a request already on its way
	 * would become a 502. One of an inherited socket is better off with the successor.
	 */
	bool keep = c->rec.keep_conn && (!l->draining || (l->serve->own_socket && !l->left));

	sk_watch_end(&c->req, SK_WATCH_WHOLE);
	if (!keep) {
		conn_close(c);
		return;
	}
	request_fini(c);
	sk_record_next(&c->rec);
	c->state = SK_CONN_READING;
	c->idle_us = sk_now_us();
	want_out(c, false);
	active(c, false);
	sk_timer_clear(&c->loop->timers, &c->timer);
}

/* ---- answering ---------------------------------------------------------------------------------------------- */

/* Render events while little waits to be written. */
static void pump(struct sk_conn *c)
{
	struct sk_request *r = &c->req;
	struct sk_event ev;

	while (r->gen && !r->gen_ended && r->out.len < OUT_HIGH_BYTES && sk_request_next(r, &ev) == SK_OK) {
		sk_watch_event(r, &ev);
		r->gen_ended = ev.type == SK_EVENT_FAIL || (ev.type == SK_EVENT_FINISH && ev.left == 0);
		r->render->event(r, &ev);
	}
	if (r->gen_ended && r->gen)
		sk_request_gens_close(r);
}

/* Management answers first: a record is never cut by another. */
static sk_status write_management(struct sk_conn *c)
{
	while (c->rec.out.len) {
		ssize_t n = send(c->fd, c->rec.out.data, c->rec.out.len, MSG_DONTWAIT | MSG_NOSIGNAL);

		if (n < 0)
			return errno == EAGAIN || errno == EINTR ? SK_EAGAIN : SK_EIO;
		sk_buf_drop_front(&c->rec.out, (size_t)n);
	}
	return SK_OK;
}

static sk_status write_counted(struct sk_conn *c, struct sk_buf *b)
{
	size_t before = b->len;
	sk_status st = sk_reply_write(&c->writer, b);

	sk_watch_sent(&c->req, before - b->len);
	return st;
}

/* The head, as bytes that wait; from then on status and headers are fixed. */
static sk_status write_head(struct sk_conn *c)
{
	struct sk_request *r = &c->req;
	size_t greeting;

	if (r->out.failed == SK_ENOMEM && !r->stream)
		sk_reply_status(r, SK_ENOMEM, NULL);
	else if (r->out.failed && !r->stream)
		sk_reply_error(r, 500, "internal", "the answer is too large");
	if (r->status == 429 || r->status == 503)
		sk_watch_retry(r);
	if (sk_runtime_serves(r))
		sk_runtime_head(r);
	sk_reply_head(&c->head, r->status, r->reply_type, r->stream ? -1 : (int64_t)r->out.len, &r->headers);
	greeting = c->head.len;
	if (r->stream)
		sk_buf_adds(&c->head, ": ok\n\n");
	if (r->stream && sk_runtime_parts(r))
		sk_runtime_frames(r, &c->head, greeting);
	/* A head without one of its lines says something else, and so does a body with a hole in it. */
	if (c->head.failed || r->headers.failed || (r->out.failed && !r->stream))
		return SK_ENOMEM;
	c->writer.begun = true;
	return SK_OK;
}

static sk_status write_reply(struct sk_conn *c)
{
	struct sk_request *r = &c->req;
	sk_status st;

	if (!r->status)
		return SK_OK;
	if (!c->writer.begun) {
		st = write_head(c);
		if (st < 0)
			return st;
	}
	if (r->head_only)
		sk_buf_clear(&r->out);
	if (r->stream && sk_runtime_parts(r)) {
		sk_runtime_frames(r, &r->out, r->framed);
		r->framed = r->out.len;
		if (r->out.failed)
			return SK_ENOMEM;
	}
	st = write_counted(c, &c->head);
	if (st == SK_OK && r->out.len) {
		st = write_counted(c, &r->out);
		r->framed = r->framed ? r->out.len : 0;
		c->comment_us = sk_now_us() + r->front->options->comment_interval_ms * 1000;
	}
	return st;
}

void sk_conn_advance(struct sk_conn *c)
{
	struct sk_request *r = &c->req;
	const struct sk_options *o = r->front->options;
	bool rendered, complete;
	sk_status st;

	if (c->buried || c->state != SK_CONN_ANSWERING)
		return;
	do {
		pump(c);
		rendered = r->out.len > 0;
		st = write_management(c);
		/* A stream with a hole in it must not look like a whole one. */
		if (st == SK_OK)
			st = r->stream && r->out.failed ? SK_ENOMEM : write_reply(c);
	} while (st == SK_OK && rendered && r->gen && !r->gen_ended);
	complete = r->status && !r->gen;
	if (st == SK_OK && complete)
		st = sk_reply_end(&c->writer);
	if (st == SK_EIO || st == SK_ENOMEM) {
		hang_up(c, st == SK_EIO ? SK_WATCH_LEFT : SK_WATCH_MEMORY);
	} else if (st == SK_EAGAIN) {
		if (!c->want_out || !c->timer.place)
			sk_timer_set(&c->loop->timers, &c->timer, sk_now_us() + o->write_timeout_ms * 1000);
		want_out(c, true);
	} else if (complete) {
		request_end(c);
	} else {
		want_out(c, false);
		if (r->stream)
			sk_timer_set(&c->loop->timers, &c->timer, c->comment_us);
		else
			sk_timer_clear(&c->loop->timers, &c->timer);
	}
}

/* The request has an answer or a generation. */
static void begin_answer(struct sk_conn *c)
{
	struct sk_request *r = &c->req;

	c->state = SK_CONN_ANSWERING;
	sk_watch_worked(r);
	if (sk_reply_open(&c->writer, c->fd, c->rec.id) < 0) {
		hang_up(c, SK_WATCH_MEMORY);
		return;
	}
	sk_buf_init(&c->head, HEADERS_BYTES_MAX + 1024);
	c->comment_us = sk_now_us() + r->front->options->comment_interval_ms * 1000;
	if (r->gen)
		sk_gen_set_user(r->gen, c);
	for (uint32_t i = 0; i < r->more_len; i++)
		sk_gen_set_user(r->more[i], c);
	if (r->cancelled)
		sk_request_cancel(r);
	if (r->gen && r->deadline_us)
		sk_timer_set(&c->loop->timers, &c->deadline, r->deadline_us);
	sk_conn_advance(c);
}

void sk_conn_worked(struct sk_conn *c)
{
	int64_t now = sk_now_us();

	c->loop->working--;
	sk_meter_did(&c->loop->front->backlog.workers, 1, now);
	sk_meter_end(&c->loop->front->backlog.workers, now);
	/* What the answer needs of the body was copied: other bodies may have its room while this one is answered. */
	c->req.body = "";
	c->req.body_len = 0;
	sk_record_body_drop(&c->rec);
	if (c->gone) {
		c->state = SK_CONN_ANSWERING;
		sk_watch_worked(&c->req);
		hang_up(c, SK_WATCH_LEFT);
		return;
	}
	begin_answer(c);
}

/* ---- reading ------------------------------------------------------------------------------------------------ */

/* The parameters are there, the body comes: without an API key it is not worth memory that others may need. */
static void judge(struct sk_conn *c)
{
	struct sk_request r = { .front = c->loop->front };

	c->judged = true;
	sk_arena_init(&r.arena, ARENA_BYTES_MAX);
	if (sk_record_params(&c->rec, &r.arena, &r.params, NULL) == SK_OK && sk_request_begin(&r, NULL) == SK_OK &&
	    !sk_route_admits(&r))
		sk_record_body_refuse(&c->rec);
	sk_arena_fini(&r.arena);
}

static sk_status begin_request(struct sk_conn *c, struct sk_err *err)
{
	struct sk_loop *l = c->loop;
	struct sk_request *r = &c->req;
	sk_status st;

	c->judged = false;
	r->front = l->front;
	r->conn = c;
	r->arrived_us = sk_now_us();
	sk_arena_init(&r->arena, ARENA_BYTES_MAX);
	sk_buf_init(&r->headers, HEADERS_BYTES_MAX);
	sk_buf_init(&r->out, REPLY_BYTES_MAX);
	st = sk_record_params(&c->rec, &r->arena, &r->params, err);
	if (st == SK_OK)
		st = sk_request_begin(r, err);
	if (st < 0)
		return st;
	r->body_too_large = c->rec.too_large;
	r->body = c->rec.body.len ? c->rec.body.data : "";
	r->body_len = c->rec.body.len;
	sk_watch_begin(r);
	active(c, true);
	sk_timer_clear(&l->timers, &c->timer);
	if (sk_route_quick(r)) {
		begin_answer(c);
		return SK_OK;
	}
	sk_share_of(l->front->options->fair_share, l->front->options->fair_share_weights, sk_keys_name(l->front->keys, r->key),
		    sk_request_param(r, "REMOTE_USER"), r->client, &r->share, &r->weight);
	c->state = SK_CONN_WORKING;
	st = c->rec.refused ? SK_EOVERLOADED : sk_workers_put(l->workers, r);
	if (st < 0) {
		sk_watch_refused(r);
		sk_reply_status(r, st, NULL);
		begin_answer(c);
	} else {
		l->working++;
		sk_meter_begin(&l->front->backlog.workers, r->arrived_us);
	}
	return SK_OK;
}

/* Bytes came. */
static void take_bytes(struct sk_conn *c, const unsigned char *s, size_t len)
{
	struct sk_err err = { 0 };
	sk_status st = SK_OK;
	size_t at = 0;

	while (at < len && st == SK_OK && !c->buried && !c->gone) {
		bool was_reading = sk_record_reading(&c->rec);
		enum sk_record_news news;
		size_t used = 0;

		st = sk_record_feed(&c->rec, s + at, len - at, &used, &news, &err);
		at += used;
		if (st < 0)
			break;
		if (news == SK_RECORD_REQUEST) {
			st = begin_request(c, &err);
		} else if (news == SK_RECORD_ABORT) {
			hang_up(c, SK_WATCH_LEFT);
			return;
		} else if (c->state == SK_CONN_READING && !was_reading && sk_record_reading(&c->rec)) {
			active(c, true);
			sk_timer_set(&c->loop->timers, &c->timer,
				     sk_now_us() + c->loop->front->options->read_timeout_ms * 1000);
		} else if (c->state == SK_CONN_READING && !sk_record_reading(&c->rec)) {
			active(c, false);
		}
		if (c->rec.state == SK_RECORD_BODY && !c->judged && c->loop->front->keys)
			judge(c);
	}
	if (c->buried || c->gone)
		return;
	if (st < 0) {
		sk_log(SK_LOG_WARN, "connection closed: %s", err.text);
		hang_up(c, SK_WATCH_LEFT);
		return;
	}
	if (c->rec.out.len) {
		st = write_management(c);
		if (st == SK_EIO || (st == SK_OK && c->rec.hang_up && c->state == SK_CONN_READING))
			hang_up(c, SK_WATCH_LEFT);
		else
			want_out(c, st == SK_EAGAIN || c->want_out);
	}
}

void sk_conn_event(struct sk_conn *c, uint32_t events)
{
	if (c->buried || c->gone)
		return;
	if (events & (EPOLLIN | EPOLLHUP | EPOLLERR | EPOLLRDHUP)) {
		ssize_t n = recv(c->fd, c->loop->read_bytes, sizeof c->loop->read_bytes, MSG_DONTWAIT);

		if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR)) {
			hang_up(c, SK_WATCH_LEFT);
			return;
		}
		if (n > 0) {
			sk_metrics_add(c->loop->front->metrics, SK_M_RECEIVED, 0, n);
			spoken(c);
			take_bytes(c, c->loop->read_bytes, (size_t)n);
		}
		if (c->buried || c->gone)
			return;
	}
	if (!(events & EPOLLOUT))
		return;
	if (c->state == SK_CONN_ANSWERING) {
		want_out(c, false);
		sk_conn_advance(c);
	} else if (write_management(c) == SK_OK) {
		want_out(c, false);
		if (c->rec.hang_up && c->state == SK_CONN_READING)
			hang_up(c, SK_WATCH_LEFT);
	}
}

/*
 * The client waits no longer. What it has got stays; the engine is not waited for: it gives the blocks back within a step, and
 * a step may be long.
 */
static void deadline_passed(struct sk_conn *c)
{
	struct sk_request *r = &c->req;

	pump(c);                        /* perhaps the last token has just come */
	if (r->gen) {
		sk_watch_late(r);
		sk_reply_deadline(r);
		r->gen_ended = true;
		sk_request_gens_close(r);
	}
	sk_conn_advance(c);
}

static void timer_passed(struct sk_conn *c, int64_t now_us)
{
	const struct sk_options *o = c->loop->front->options;
	struct sk_request *r = &c->req;

	if (c->state == SK_CONN_READING) {
		sk_log(SK_LOG_DEBUG, "connection closed: no complete request within %d ms", (int)o->read_timeout_ms);
		hang_up(c, SK_WATCH_LEFT);
	} else if (c->want_out) {
		sk_log(SK_LOG_INFO, "connection closed: the reader took nothing for %d ms", (int)o->write_timeout_ms);
		hang_up(c, SK_WATCH_SLOW);
	} else if (r->stream && r->gen) {
		if (now_us >= c->comment_us)
			sk_buf_adds(&r->out, ":\n\n");
		sk_conn_advance(c);
	}
}

void sk_conn_timeout(struct sk_timer *t, int64_t now_us)
{
	bool deadline = t->kind == TIMER_DEADLINE;
	size_t offset = deadline ? offsetof(struct sk_conn, deadline) : offsetof(struct sk_conn, timer);
	struct sk_conn *c = (struct sk_conn *)((char *)t - offset);

	if (c->buried || c->gone)
		return;
	if (deadline)
		deadline_passed(c);
	else
		timer_passed(c, now_us);
}

/* ---- all of them -------------------------------------------------------------------------------------------- */

void sk_conns_cancel(struct sk_loop *l)
{
	for (struct sk_conn *c = l->conns; c; c = c->next)
		if (c->state == SK_CONN_ANSWERING && c->req.gen)
			sk_request_cancel(&c->req);
}

void sk_conns_fail(struct sk_loop *l, sk_status st)
{
	for (struct sk_conn *c = l->conns, *next; c; c = next) {
		struct sk_request *r = &c->req;

		next = c->next;
		if (c->state != SK_CONN_ANSWERING || c->buried || c->gone || !r->gen)
			continue;
		pump(c);                /* perhaps its end has come after all */
		if (r->gen) {
			sk_reply_status(r, st, NULL);
			r->gen_ended = true;
			sk_request_gens_close(r);
		}
		sk_conn_advance(c);
	}
}

void sk_conns_tell(struct sk_loop *l)
{
	/* Not those that a worker has: it writes to them. */
	for (struct sk_conn *c = l->conns; c; c = c->next)
		if (c->state == SK_CONN_ANSWERING)
			sk_watch_end(&c->req, answered(c) ? SK_WATCH_WHOLE : SK_WATCH_CUT);
}

bool sk_conns_evict(struct sk_loop *l, int64_t before_us)
{
	struct sk_conn *oldest = NULL;

	for (struct sk_conn *c = l->conns; c; c = c->next)
		if (c->state == SK_CONN_READING && c->rec.state == SK_RECORD_IDLE && (!oldest || c->idle_us < oldest->idle_us))
			oldest = c;
	if (!oldest || oldest->idle_us > before_us)
		return false;
	sk_log(SK_LOG_DEBUG, "connection closed: without a request for longest, and others wait for its place");
	conn_close(oldest);
	return true;
}

void sk_conns_close(struct sk_loop *l)
{
	while (l->conns) {
		/* The workers were joined before: nobody else owns a request now. */
		l->conns->state = SK_CONN_READING;
		conn_close(l->conns);
	}
}

void sk_conns_bury(struct sk_loop *l)
{
	while (l->graves) {
		struct sk_conn *c = l->graves;

		l->graves = c->grave;
		free(c);
	}
}
