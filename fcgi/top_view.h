/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What `saker top` shows, as text: numbers from two looks at a server, and the lines that they make. Pure.
 */
#ifndef SK_FCGI_TOP_VIEW_H
#define SK_FCGI_TOP_VIEW_H

#include <stdbool.h>
#include <stdint.h>

#include "engine/base/buf.h"
#include "fcgi/scrape.h"

#define SK_TOP_RATES 120                /* remembered, for the line of blocks */
#define SK_TOP_CLIENTS 16               /* API keys that are shown at most */
#define SK_TOP_REQUESTS 64

struct sk_top_client { char name[64]; double tokens_s, requests; };
struct sk_top_request { char state[12], who[64], path[64]; int64_t age_ms, prompt, made, most; };

/* Tokens that clients have had: of requests that ended, by the counters, and of those that run, by their list. */
struct sk_top_totals { struct { char name[64]; double tokens, requests; } rows[SK_TOP_CLIENTS]; int len; };

struct sk_top {
	char place[300];
	char trouble[256];              /* why there is nothing new; "" when there is */
	char model[128], version[32], backend[64], state[16];
	double up_s, tokens_s, prompt_s, running, waiting, streams, places, kv_used, kv_all, preemptions;
	double load_done, load_all;
	double first_p50, first_p95, gap_p50, gap_p95, wait_p95;        /* seconds; NaN: none came */
	double answers[4], refused, cancelled;
	double window_s;                /* what rates, quantiles and shares are of */
	double rates[SK_TOP_RATES];     /* the last one last */
	int rates_len;
	struct sk_top_client clients[SK_TOP_CLIENTS];
	int clients_len;
	struct sk_top_totals underway, totals;  /* of the requests that run; of all */
	bool keys;                      /* there are API keys, so that clients have names */
	struct sk_top_request requests[SK_TOP_REQUESTS];
	int requests_len;
	int64_t requests_all;
};

/* The query that asks /metrics for what sk_top_take() reads. */
extern const char sk_top_query[];

/*
 * Numbers of `now`, after sk_top_take_requests(); rates and quantiles since `before`, window_s seconds ago, when t->totals were
 * `totals`. NULL, or another process: no rates, and quantiles since the start.
 */
void sk_top_take(struct sk_top *t, const struct sk_scrape *now, const struct sk_scrape *before, const struct sk_top_totals *totals,
		 double window_s);

/* The body of GET /requests. SK_EFORMAT and such: it is none. */
sk_status sk_top_take_requests(struct sk_top *t, const char *json, size_t len, struct sk_err *err);

/*
 * A screen of rows x cols, with what clears the rest of it; never a byte of the server's that could move the cursor.
 * utf8: blocks and dashes are drawn.
 */
void sk_top_draw(const struct sk_top *t, int rows, int cols, bool utf8, struct sk_buf *b);

/* One line for a log: all that changes. */
void sk_top_line(const struct sk_top *t, struct sk_buf *b);

#endif
