/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The queue's model: how fast places become free, and so when who is refused may come again with some hope.
 *
 *	places a second = tokens a second / tokens of a request         both measured lately
 *
 * Who is refused is booked for a second in which a place will be free that nobody else was booked for: a thousand refused at once do
 * not come back at once. Beyond SK_RETRY_MAX_S nothing is promised; who finds no place before is sent into the half minute
 * that is booked least. The bookings of one client delay another's only as far as he has as many himself: a client that does not wait and
 * is refused again and again fills its own minute.
 *
 * All times come as arguments: nothing here knows a clock. owner: loop.
 */
#ifndef SK_FCGI_BACKLOG_H
#define SK_FCGI_BACKLOG_H

#include <stdbool.h>
#include <stdint.h>

#define SK_RETRY_MAX_S 60
#define SK_BOOK_CLIENTS 64              /* with bookings of their own; those of further ones are counted together */
#define SK_BOOK_LEN 64                  /* seconds; a power of two, more than SK_RETRY_MAX_S */

/*
 * So much was done in so many busy seconds; what is long ago counts less. All zero but `most`: nothing yet.
 *
 * What is measured while few are busy says little about many at once: a batch of a hundred is much faster than a batch of one. So
 * the rate is told for as many as are busy now, as if each were as quick as then. That is too much at first, and true when the
 * crowd has been measured: who is refused for a wait that was too long in the model would have been wronged, not so the other.
 */
struct sk_meter {
	int most;                       /* can be busy at once; the others wait */
	double done, seconds, crowd;    /* crowd: the integral of how many were busy */
	int64_t since_us;               /* until when these are told */
	int64_t fresh;                  /* done since then */
	int busy;                       /* how many have something to do, waiting ones too; idle time is not counted */
};
void sk_meter_begin(struct sk_meter *m, int64_t now_us);        /* one more has something to do */
void sk_meter_did(struct sk_meter *m, int64_t n, int64_t now_us);
void sk_meter_end(struct sk_meter *m, int64_t now_us);
double sk_meter_rate(const struct sk_meter *m);                 /* a second; 0: nothing measured yet */

struct sk_backlog {
	struct sk_meter tokens;         /* of prompts and answers; busy: generations that go on */
	struct sk_meter workers;        /* requests that they gave back; busy: those that they have */
	uint32_t block_tokens;          /* tokens of a KV block */
	int64_t owed;                   /* tokens that those generations may still need */
	double cost;                    /* tokens of one request, mean of those that ended lately; 0: none has */
	int64_t started_us, ready_us;   /* of the process; ready_us 0: not yet */
	int64_t stops_us;               /* the drain's end; 0: no drain */
	uint32_t booked[SK_BOOK_LEN][SK_BOOK_CLIENTS + 1];      /* [second % SK_BOOK_LEN] how many were told to come then */
	struct { uint64_t id, turn; } clients[SK_BOOK_CLIENTS]; /* whose booked[][i] are; turn: of his last refusal, 0: nobody's */
	uint64_t turns;
	int64_t book_s;                 /* the seconds up to this one have been forgotten */
};

/* A generation was accepted that may need so many tokens; some of them were calculated; it ended, with so many never used. */
void sk_backlog_accept(struct sk_backlog *b, int64_t tokens, int64_t now_us);
void sk_backlog_did(struct sk_backlog *b, int64_t tokens, int64_t now_us);
void sk_backlog_end(struct sk_backlog *b, int64_t used, int64_t unused, int64_t now_us);

/* Places that become free in a second. Without a measurement: 1. */
double sk_backlog_places(const struct sk_backlog *b);

/* Requests that the workers give back in a second. Without a measurement: 1. */
double sk_backlog_works(const struct sk_backlog *b);

/*
 * Seconds until who comes now begins, behind those who wait for a worker and those that the engine says are running and waiting,
 * while its pool has room for so many tokens. 0: at once, or unknown.
 */
double sk_backlog_wait(const struct sk_backlog *b, uint32_t running, uint32_t waiting, uint64_t free_tokens);

/* Seconds of loading that are left, from the bytes and from when it began. */
double sk_backlog_load_left(const struct sk_backlog *b, uint64_t done_bytes, uint64_t total_bytes, int64_t now_us);

/* Seconds until a successor is ready: this process ends its work, at its drain's end at the latest; loading takes as long as here. */
double sk_backlog_restart(const struct sk_backlog *b, int64_t now_us);

/*
 * The Retry-After of one refused request of a client, 1 to SK_RETRY_MAX_S: from from_s seconds on per_s places become free each second.
 * It is booked.
 */
int sk_backlog_book(struct sk_backlog *b, uint64_t client, double from_s, double per_s, int64_t now_us);
/* The same for who only asks (a health check): nothing is booked. */
int sk_backlog_clamp(double seconds);

#endif
