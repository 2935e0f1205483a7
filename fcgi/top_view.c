/* SPDX-License-Identifier: Apache-2.0 */
#include "fcgi/top_view.h"

#include <inttypes.h>
#include <json-c/json.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fcgi/json.h"

const char sk_top_query[] = "name=saker_build_info&name=saker_start_time_seconds&name=saker_state&name=saker_load_done_bytes"
	"&name=saker_load_total_bytes&name=saker_generated_tokens_total&name=saker_prompt_tokens_total&name=tgi_batch_current_size"
	"&name=tgi_queue_size&name=saker_open_streams&name=saker_permits_used&name=saker_kv_blocks&name=saker_kv_blocks_used"
	"&name=saker_preemptions_total&name=saker_time_to_first_token_seconds&name=saker_inter_token_seconds"
	"&name=saker_queue_wait_seconds&name=saker_http_responses_total&name=saker_refusals_total&name=saker_cancellations_total"
	"&name=saker_key_requests_total&name=saker_key_generated_tokens_total";

/* ---- numbers ------------------------------------------------------------------------------------------------ */

/* Somebody else's bytes for a terminal: printable ASCII; all else is a question mark. */
static void copy_plain(char *to, size_t size, const char *from, size_t len)
{
	size_t n = 0;

	for (size_t i = 0; i < len && n + 1 < size; i++)
		to[n++] = from[i] >= ' ' && from[i] <= '~' ? from[i] : '?';
	to[n] = '\0';
}

/* The value of `key="..."` among a sample's labels; escapes stay as they are. */
static void copy_label(char *to, size_t size, const struct sk_sample *s, const char *key)
{
	char open[64];
	const char *at;
	size_t len = 0, open_len = (size_t)snprintf(open, sizeof open, "%s=\"", key);

	to[0] = '\0';
	at = memmem(s->labels, s->labels_len, open, open_len);
	if (!at)
		return;
	at += open_len;
	while (at + len < s->labels + s->labels_len && at[len] != '"')
		len++;
	copy_plain(to, size, at, len);
}

static bool is_named(const struct sk_sample *s, const char *name)
{
	return s->name_len == strlen(name) && !memcmp(s->name, name, s->name_len);
}

static double sum_of(const struct sk_scrape *s, const char *name)
{
	double sum = 0;

	for (size_t i = 0; i < s->len; i++)
		if (is_named(&s->samples[i], name))
			sum += s->samples[i].value;
	return sum;
}

/* How much a counter grew; 0 where there is nothing to compare with. */
static double growth(const struct sk_scrape *now, const struct sk_scrape *before, const char *name, const char *label)
{
	return before ? fmax(0, sk_scrape_get(now, name, label) - sk_scrape_get(before, name, label)) : 0;
}

static int by_tokens(const void *a, const void *b)
{
	const struct sk_top_client *x = a, *y = b;

	return x->tokens_s != y->tokens_s ? (x->tokens_s < y->tokens_s ? 1 : -1) : (x->requests < y->requests) - (x->requests > y->requests);
}

/* The row of a name, a new one where there is room; -1. */
static int row_of(struct sk_top_totals *t, const char *name)
{
	for (int i = 0; i < t->len; i++)
		if (!strcmp(t->rows[i].name, name))
			return i;
	if (t->len == SK_TOP_CLIENTS)
		return -1;
	memset(&t->rows[t->len], 0, sizeof *t->rows);
	snprintf(t->rows[t->len].name, sizeof t->rows->name, "%s", name);
	return t->len++;
}

static void take_totals(struct sk_top *t, const struct sk_scrape *now)
{
	t->totals.len = 0;
	t->keys = false;
	for (size_t i = 0; i < now->len; i++) {
		const struct sk_sample *s = &now->samples[i];
		bool tokens = is_named(s, "saker_key_generated_tokens_total");
		char name[64];
		int row;

		if (!tokens && !is_named(s, "saker_key_requests_total"))
			continue;
		t->keys = true;
		copy_label(name, sizeof name, s, "key");
		row = row_of(&t->totals, name);
		if (row >= 0)
			*(tokens ? &t->totals.rows[row].tokens : &t->totals.rows[row].requests) += s->value;
	}
	for (int i = 0; i < t->underway.len; i++) {
		int row = row_of(&t->totals, t->underway.rows[i].name);

		if (row >= 0)
			t->totals.rows[row].tokens += t->underway.rows[i].tokens;
	}
}

static void take_clients(struct sk_top *t, const struct sk_top_totals *before)
{
	t->clients_len = t->totals.len;
	for (int i = 0; i < t->totals.len; i++) {
		struct sk_top_client *c = &t->clients[i];

		memcpy(c->name, t->totals.rows[i].name, sizeof c->name);
		c->tokens_s = c->requests = 0;
		for (int k = 0; before && k < before->len; k++) {
			if (strcmp(before->rows[k].name, c->name))
				continue;
			c->tokens_s = fmax(0, t->totals.rows[i].tokens - before->rows[k].tokens) / t->window_s;
			c->requests = fmax(0, t->totals.rows[i].requests - before->rows[k].requests);
		}
	}
	qsort(t->clients, (size_t)t->clients_len, sizeof *t->clients, by_tokens);
}

static void take_words(struct sk_top *t, const struct sk_scrape *now)
{
	t->state[0] = '\0';
	for (size_t i = 0; i < now->len; i++) {
		const struct sk_sample *s = &now->samples[i];

		if (is_named(s, "saker_build_info")) {
			copy_label(t->model, sizeof t->model, s, "model");
			copy_label(t->version, sizeof t->version, s, "version");
			copy_label(t->backend, sizeof t->backend, s, "backend");
		} else if (is_named(s, "saker_state") && s->value == 1) {
			copy_label(t->state, sizeof t->state, s, "state");
		}
	}
}

static void add_rate(struct sk_top *t, double rate)
{
	if (t->rates_len == SK_TOP_RATES)
		memmove(t->rates, t->rates + 1, (size_t)--t->rates_len * sizeof *t->rates);
	t->rates[t->rates_len++] = rate;
}

void sk_top_take(struct sk_top *t, const struct sk_scrape *now, const struct sk_scrape *before, const struct sk_top_totals *totals,
		 double window_s)
{
	static const char *const codes[] = { "code=\"2xx\"", "code=\"3xx\"", "code=\"4xx\"", "code=\"5xx\"" };
	/* Another process answers than before: its histograms began anew. */
	bool same = before && sk_scrape_get(now, "saker_start_time_seconds", NULL) == sk_scrape_get(before, "saker_start_time_seconds", NULL);

	if (!same)
		before = NULL;
	t->window_s = window_s > 0 ? window_s : 1;
	t->trouble[0] = '\0';
	take_words(t, now);
	t->up_s = sk_scrape_get(now, "saker_start_time_seconds", NULL);
	t->tokens_s = growth(now, before, "saker_generated_tokens_total", NULL) / t->window_s;
	t->prompt_s = growth(now, before, "saker_prompt_tokens_total", NULL) / t->window_s;
	t->running = sk_scrape_get(now, "tgi_batch_current_size", NULL);
	t->waiting = sk_scrape_get(now, "tgi_queue_size", NULL);
	t->streams = sk_scrape_get(now, "saker_open_streams", NULL);
	t->places = sk_scrape_get(now, "saker_permits_used", NULL);
	t->kv_used = sk_scrape_get(now, "saker_kv_blocks_used", NULL);
	t->kv_all = sk_scrape_get(now, "saker_kv_blocks", NULL);
	t->preemptions = sk_scrape_get(now, "saker_preemptions_total", NULL);
	t->load_done = sk_scrape_get(now, "saker_load_done_bytes", NULL);
	t->load_all = sk_scrape_get(now, "saker_load_total_bytes", NULL);
	t->first_p50 = sk_scrape_quantile(now, before, "saker_time_to_first_token_seconds", 0.5);
	t->first_p95 = sk_scrape_quantile(now, before, "saker_time_to_first_token_seconds", 0.95);
	t->gap_p50 = sk_scrape_quantile(now, before, "saker_inter_token_seconds", 0.5);
	t->gap_p95 = sk_scrape_quantile(now, before, "saker_inter_token_seconds", 0.95);
	t->wait_p95 = sk_scrape_quantile(now, before, "saker_queue_wait_seconds", 0.95);
	for (int i = 0; i < 4; i++)
		t->answers[i] = sk_scrape_get(now, "saker_http_responses_total", codes[i]);
	t->refused = sum_of(now, "saker_refusals_total");
	t->cancelled = sum_of(now, "saker_cancellations_total");
	take_totals(t, now);
	take_clients(t, before ? totals : NULL);
	add_rate(t, t->tokens_s);
}

/* ---- requests ----------------------------------------------------------------------------------------------- */

static void member_text(struct json_object *o, const char *key, char *to, size_t size)
{
	struct json_object *v = NULL;

	to[0] = '\0';
	if (json_object_object_get_ex(o, key, &v) && json_object_is_type(v, json_type_string))
		copy_plain(to, size, json_object_get_string(v), (size_t)json_object_get_string_len(v));
}

static int64_t member_int(struct json_object *o, const char *key)
{
	struct json_object *v = NULL;

	return json_object_object_get_ex(o, key, &v) ? json_object_get_int64(v) : 0;
}

/* What it made counts for its key; it is listed while there is room. */
static void take_request(struct sk_top *t, struct json_object *o)
{
	static const char *const whose[] = { "key", "user", "client" };
	struct sk_top_request r = { .age_ms = member_int(o, "age_ms"), .prompt = member_int(o, "prompt_tokens"),
				    .made = member_int(o, "generated_tokens"), .most = member_int(o, "max_new_tokens") };
	char key[64];
	int row;

	member_text(o, "key", key, sizeof key);
	row = key[0] ? row_of(&t->underway, key) : -1;
	if (row >= 0)
		t->underway.rows[row].tokens += (double)r.made;
	if (t->requests_len == SK_TOP_REQUESTS)
		return;
	member_text(o, "state", r.state, sizeof r.state);
	member_text(o, "path", r.path, sizeof r.path);
	for (size_t k = 0; k < sizeof whose / sizeof *whose && !r.who[0]; k++)
		member_text(o, whose[k], r.who, sizeof r.who);
	t->requests[t->requests_len++] = r;
}

sk_status sk_top_take_requests(struct sk_top *t, const char *json, size_t len, struct sk_err *err)
{
	struct json_object *body = NULL, *list = NULL;
	sk_status st = sk_json_parse(json, len, &body, err);

	t->requests_len = 0;
	t->requests_all = 0;
	t->underway.len = 0;
	if (st < 0)
		return st;
	if (!json_object_is_type(body, json_type_object) || !json_object_object_get_ex(body, "requests", &list) ||
	    !json_object_is_type(list, json_type_array)) {
		json_object_put(body);
		return sk_fail(err, SK_EFORMAT, "no list of requests");
	}
	t->requests_all = (int64_t)json_object_array_length(list) + member_int(body, "not_listed");
	for (size_t i = 0; i < json_object_array_length(list); i++) {
		struct json_object *o = json_object_array_get_idx(list, i);

		if (json_object_is_type(o, json_type_object))
			take_request(t, o);
	}
	json_object_put(body);
	return SK_OK;
}

/* ---- lines -------------------------------------------------------------------------------------------------- */

struct screen { struct sk_buf *b; int rows, cols, row; bool utf8; };

/* One line, cut at the edge; not a byte of it moves the cursor. `bold`: what leads. */
static void line(struct screen *s, bool bold, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
static void line(struct screen *s, bool bold, const char *fmt, ...)
{
	char text[1024];
	int at = 0, shown = 0;
	va_list ap;

	if (s->row >= s->rows)
		return;
	va_start(ap, fmt);
	vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	/* A character of UTF-8 is one column here: blocks and dashes are all that is drawn beside ASCII. */
	while (text[at] && shown < s->cols) {
		at++;
		while (((unsigned char)text[at] & 0xc0) == 0x80)
			at++;
		shown++;
	}
	sk_buf_addf(s->b, "%s%s%.*s%s\x1b[K", s->row ? "\r\n" : "", bold ? "\x1b[1m" : "", at, text, bold ? "\x1b[0m" : "");
	s->row++;
}

#define BAR_CELLS 24

/* [########........]; `text` has room for 3 bytes a cell. */
static const char *bar(const struct screen *s, double share, char text[BAR_CELLS * 3 + 1])
{
	int full = (int)lround((share > 1 ? 1 : share > 0 ? share : 0) * BAR_CELLS);

	text[0] = '\0';
	for (int i = 0; i < BAR_CELLS; i++)
		memcpy(text + strlen(text), s->utf8 ? (i < full ? "█" : "░") : (i < full ? "#" : "."), s->utf8 ? 4 : 2);
	return text;
}

/* "0.12 s", "11.9 ms", "-". */
static const char *seconds(double s, char text[16])
{
	if (isnan(s))
		return "-";
	snprintf(text, 16, s >= 1 ? "%.2f s" : s >= 0.1 ? "%.0f ms" : "%.1f ms", s >= 1 ? s : s * 1000);
	return text;
}

static const char *duration(double s, char text[32])
{
	long n = s > 0 && s < 1e9 ? (long)s : 0;

	if (n >= 86400)
		snprintf(text, 32, "%ld d %ld h", n / 86400, n % 86400 / 3600);
	else if (n >= 3600)
		snprintf(text, 32, "%ld h %ld min", n / 3600, n % 3600 / 60);
	else
		snprintf(text, 32, "%ld min %ld s", n / 60, n % 60);
	return text;
}

/* The last rates as blocks, the highest one full. */
static void rates_line(struct screen *s, const struct sk_top *t)
{
	static const char *const blocks[] = { " ", "▁", "▂", "▃", "▄", "▅", "▆", "▇", "█" };
	static const char plain[] = " .:-=+*%#";
	int room = s->cols - 16 < SK_TOP_RATES ? s->cols - 16 : SK_TOP_RATES, from = t->rates_len > room ? t->rates_len - room : 0;
	char text[SK_TOP_RATES * 3 + 1] = "";
	double most = 1e-9;
	size_t len = 0;

	for (int i = from; i < t->rates_len; i++)
		most = fmax(most, t->rates[i]);
	for (int i = from; i < t->rates_len; i++) {
		int level = t->rates[i] > 0 ? (int)fmax(1, ceil(t->rates[i] / most * 8)) : 0;

		len += (size_t)snprintf(text + len, sizeof text - len, s->utf8 ? "%s" : "%.1s", s->utf8 ? blocks[level] : &plain[level]);
	}
	line(s, false, "%-14s %s", "", text);
}

static void clients_lines(struct screen *s, const struct sk_top *t)
{
	double all = 0;
	char text[BAR_CELLS * 3 + 1];

	line(s, false, "%s", "");
	if (!t->keys) {
		line(s, false, "shares of clients: they have names where there are API keys (--api-key-file)");
		return;
	}
	snprintf(text, sizeof text, "SHARE OF THE LAST %.0f S", t->window_s);
	line(s, true, "%-16s %-24s %6s %10s %9s", "CLIENT", text, "", "TOKENS/S", "REQUESTS");
	for (int i = 0; i < t->clients_len; i++)
		all += t->clients[i].tokens_s;
	for (int i = 0; i < t->clients_len && s->row < s->rows - 4; i++) {
		const struct sk_top_client *c = &t->clients[i];
		double share = all > 0 ? c->tokens_s / all : 0;

		line(s, false, "%-16.16s %s %4.0f %% %10.1f %9.0f", c->name, bar(s, share, text), share * 100, c->tokens_s, c->requests);
	}
}

static void requests_lines(struct screen *s, const struct sk_top *t)
{
	char age[32];

	if (!t->requests_len)
		return;
	line(s, false, "%s", "");
	line(s, true, "%-10s %10s %8s %15s  %-16s %s", "REQUEST", "AGE", "PROMPT", "TOKENS", "WHO", "PATH");
	for (int i = 0; i < t->requests_len; i++) {
		const struct sk_top_request *r = &t->requests[i];
		char made[48];

		snprintf(made, sizeof made, "%" PRId64 "/%" PRId64, r->made, r->most);
		if (s->row == s->rows - 1 && i + 1 < t->requests_len) {
			line(s, false, "... and %" PRId64 " more", t->requests_all - i);
			return;
		}
		line(s, false, "%-10s %10s %8" PRId64 " %15s  %-16.16s %s", r->state, seconds((double)r->age_ms * 1e-3, age), r->prompt,
		     made, r->who[0] ? r->who : "-", r->path);
	}
}

static void numbers_lines(struct screen *s, const struct sk_top *t)
{
	char a[16], b[16], c[16], d[16], e[16], text[BAR_CELLS * 3 + 1], done[SK_BYTES_SHOWN], all[SK_BYTES_SHOWN];

	if (!strcmp(t->state, "loading") && t->load_all > 0)
		line(s, false, "%-14s %s %3.0f %%   %s of %s", "loading", bar(s, t->load_done / t->load_all, text), t->load_done / t->load_all * 100,
		     sk_bytes_show(done, (uint64_t)t->load_done), sk_bytes_show(all, (uint64_t)t->load_all));
	line(s, false, "%-14s %.1f generated, %.1f of prompts", "tokens/s", t->tokens_s, t->prompt_s);
	rates_line(s, t);
	line(s, false, "%-14s %.0f running, %.0f waiting, %.0f open streams, %.0f places taken", "requests", t->running, t->waiting,
	     t->streams, t->places);
	line(s, false, "%-14s %s %3.0f %%   %.0f of %.0f blocks, %.0f preemptions", "KV cache", bar(s, t->kv_all > 0 ? t->kv_used / t->kv_all : 0, text),
	     t->kv_all > 0 ? t->kv_used / t->kv_all * 100 : 0, t->kv_used, t->kv_all, t->preemptions);
	line(s, false, "%-14s p50 %s, p95 %s; in the queue p95 %s", "first token", seconds(t->first_p50, a), seconds(t->first_p95, b),
	     seconds(t->wait_p95, c));
	line(s, false, "%-14s p50 %s, p95 %s", "between two", seconds(t->gap_p50, d), seconds(t->gap_p95, e));
	line(s, false, "%-14s %.0f good, %.0f refused or wrong (4xx), %.0f failed (5xx); %.0f cancelled", "answers", t->answers[0] + t->answers[1],
	     t->answers[2], t->answers[3], t->cancelled);
}

void sk_top_draw(const struct sk_top *t, int rows, int cols, bool utf8, struct sk_buf *b)
{
	struct screen s = { b, rows, cols, 0, utf8 };
	char up[32];

	sk_buf_adds(b, "\x1b[H");
	line(&s, true, "saker %s  %s on %s  %s%s%s", t->version, t->model, t->backend, t->state, t->state[0] ? ", up " : "",
	     t->state[0] ? duration(t->up_s, up) : "");
	line(&s, false, "%s%s%s", t->place, t->trouble[0] ? "  cannot be reached: " : "  q ends", t->trouble);
	line(&s, false, "%s", "");
	numbers_lines(&s, t);
	clients_lines(&s, t);
	requests_lines(&s, t);
	sk_buf_adds(b, "\x1b[J");
}

void sk_top_line(const struct sk_top *t, struct sk_buf *b)
{
	char a[16], c[16];

	if (t->trouble[0]) {
		sk_buf_addf(b, "%s: %s\n", t->place, t->trouble);
		return;
	}
	sk_buf_addf(b, "state=%s tokens_s=%.1f prompt_tokens_s=%.1f running=%.0f waiting=%.0f streams=%.0f kv=%.0f%% first_token_p50=\"%s\" "
		    "between_p50=\"%s\" 4xx=%.0f 5xx=%.0f\n", t->state[0] ? t->state : "-", t->tokens_s, t->prompt_s, t->running, t->waiting,
		    t->streams, t->kv_all > 0 ? t->kv_used / t->kv_all * 100 : 0, seconds(t->first_p50, a), seconds(t->gap_p50, c), t->answers[2],
		    t->answers[3]);
}
