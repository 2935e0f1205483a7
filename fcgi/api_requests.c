/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The requests that run: GET /requests, GET and DELETE /requests/ID. On the loop, which owns them all.
 *
 * Who sees what: with API keys, an owner its own requests and an admin all. Without keys nobody can be told from anybody: then
 * the list names neither ids nor clients, and knowing an id (the answer's x-request-id) is the right to look and to cancel. What
 * one may not see is not there: 404.
 */
#include <inttypes.h>
#include <string.h>

#include "engine/base/clock.h"
#include "fcgi/json.h"
#include "fcgi/keys.h"
#include "fcgi/request.h"
#include "fcgi/route.h"

#define LIST_MAX 1000                   /* entries; the loop has other things to do */

static const char *const states[] = {
	[SK_REQUEST_ARRIVED] = "arrived",
	[SK_REQUEST_QUEUED] = "queued",
	[SK_REQUEST_RUNNING] = "running",
};

static bool is_listed(const struct sk_request *r)
{
	return r->route && (r->route->flags & SK_ROUTE_GENERATE) && r->state != SK_REQUEST_ENDING;
}

static bool may_see(const struct sk_request *asker, const struct sk_request *r)
{
	const struct sk_keys *keys = asker->front->keys;

	return !keys || asker->key == r->key || sk_keys_admin(keys, asker->key);
}

static void add_text(struct sk_buf *b, const char *key, const char *value)
{
	if (!value || !*value)
		return;
	sk_buf_addf(b, ",\"%s\":", key);
	sk_json_add_str(b, value, strlen(value));
}

/* A worker may have the request just now: of one that has only arrived, nothing is read but what the loop wrote. */
static void add_request(struct sk_buf *b, const struct sk_request *r, bool whole)
{
	sk_buf_addf(b, "{\"state\":\"%s\"", states[r->state]);
	if (whole)
		add_text(b, "id", r->id);
	add_text(b, "path", r->path);
	sk_buf_addf(b, ",\"age_ms\":%" PRId64, (sk_now_us() - r->arrived_us) / 1000);
	if (whole) {
		add_text(b, "client", r->client);
		add_text(b, "user", sk_request_param(r, "REMOTE_USER"));
		add_text(b, "key", sk_keys_name(r->front->keys, r->key));
	}
	if (r->state != SK_REQUEST_ARRIVED)
		sk_buf_addf(b, ",\"prompt_tokens\":%" PRIu32 ",\"generated_tokens\":%" PRIu32 ",\"max_new_tokens\":%" PRIu32
			    ",\"stream\":%s", r->outcome.prompt_tokens, r->outcome.generated_tokens, r->max_new_tokens,
			    r->stream ? "true" : "false");
	if (r->state != SK_REQUEST_ARRIVED && r->sequences > 1)
		sk_buf_addf(b, ",\"sequences\":%" PRIu32, r->sequences);
	sk_buf_addf(b, ",\"cancelled\":%s}", r->cancelled ? "true" : "false");
}

void sk_api_requests(struct sk_request *r, struct json_object *body)
{
	int counts[3] = { 0 }, listed = 0, more = 0;

	sk_buf_adds(&r->out, "{\"requests\":[");
	for (const struct sk_request *q = r->front->requests; q; q = q->older) {
		if (!is_listed(q) || !may_see(r, q))
			continue;
		counts[q->state]++;
		if (listed == LIST_MAX) {
			more++;
			continue;
		}
		sk_buf_adds(&r->out, listed++ ? "," : "");
		add_request(&r->out, q, r->front->keys != NULL);
	}
	sk_buf_addf(&r->out, "],\"not_listed\":%d,\"arrived\":%d,\"queued\":%d,\"running\":%d}", more, counts[SK_REQUEST_ARRIVED],
		    counts[SK_REQUEST_QUEUED], counts[SK_REQUEST_RUNNING]);
	sk_reply_out(r, 200, "application/json");
}

/* The request that the path names; else 404 is answered. */
static struct sk_request *find(struct sk_request *r)
{
	const char *id = strrchr(r->path, '/') + 1;

	for (struct sk_request *q = r->front->requests; q; q = q->older)
		if (is_listed(q) && may_see(r, q) && strcmp(q->id, id) == 0)
			return q;
	sk_reply_error(r, 404, "not_found", "No request of this id is running");
	return NULL;
}

void sk_api_request_get(struct sk_request *r, struct json_object *body)
{
	const struct sk_request *q = find(r);

	if (!q)
		return;
	add_request(&r->out, q, true);
	sk_reply_out(r, 200, "application/json");
}

void sk_api_request_delete(struct sk_request *r, struct json_object *body)
{
	struct sk_request *q = find(r);

	if (!q)
		return;
	q->cancelled = true;
	/* While a worker has it there is no generation that the loop may touch: the loop cancels it when it comes back. */
	if (q->state != SK_REQUEST_ARRIVED)
		sk_request_cancel(q);
	add_request(&r->out, q, true);
	sk_reply_out(r, 200, "application/json");
}
