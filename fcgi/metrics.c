/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One array of numbers for all metrics. A row of the table knows where its series begin and how many numbers each has:
 * one for a counter or a gauge, sum and count for a summary, for a histogram its buckets, what is beyond the last one, and
 * the sum.
 *
 * Only the text format 0.0.4 is written. OpenMetrics would rename counters (a sample must end in _total), and Prometheus asks
 * for it first: the dashboards of text-generation-inference would lose their names.
 */
#include "fcgi/metrics.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/times.h"
#include "engine/base/utf8.h"
#include "fcgi/keys.h"

enum kind { COUNTER, GAUGE, HISTOGRAM, SUMMARY, INFO };
enum buckets { NONE, TIMES, INPUT, TOTAL, BATCH };

#define LINEAR 100                      /* buckets of INPUT and TOTAL */
#define BATCHES 1024
#define INFO_BYTES_MAX ((size_t)8192)

static const char *const kind_names[] = { "counter", "gauge", "histogram", "summary", "gauge" };

static const struct row {
	const char *name;
	enum kind kind;
	const char *label, *values;
	enum buckets buckets;
	const char *help;
} rows[SK_METRICS] = {
#define SK_METRIC(id, name, kind, label, values, buckets, help) { name, kind, label, values, buckets, help },
#include "fcgi/metrics.def"
#undef SK_METRIC
};

struct sk_metrics {
	uint32_t input_max, total_max;
	char *info;                             /* labels of the INFO metric, rendered */
	size_t at[SK_METRICS];                  /* into n: the first series */
	uint64_t n[];
};

/* ---- shapes ------------------------------------------------------------------------------------------------- */

static bool by_key(const struct row *r)
{
	return strcmp(r->label, "key") == 0;
}

static int buckets_of(const struct row *r)
{
	static const int of[] = { [NONE] = 0, [TIMES] = SK_TIMES, [INPUT] = LINEAR, [TOTAL] = LINEAR, [BATCH] = BATCHES };

	return of[r->buckets];
}

/* Numbers of one series. */
static size_t width_of(const struct row *r)
{
	return r->kind == HISTOGRAM ? (size_t)buckets_of(r) + 2 : r->kind == SUMMARY ? 2 : 1;
}

static int series_of(const struct row *r)
{
	int n = 1;

	if (by_key(r))
		return SK_KEYS_MAX;
	for (const char *c = r->values; *c; c++)
		n += *c == ' ';
	return n;
}

/* The value of the label; *ret_len its length. */
static const char *value_of(const struct row *r, int label, size_t *ret_len)
{
	const char *at = r->values;

	while (label-- > 0)
		at = strchr(at, ' ') + 1;
	*ret_len = strcspn(at, " ");
	return at;
}

int sk_metrics_label(enum sk_metric id, const char *value)
{
	int last = series_of(&rows[id]) - 1;

	for (int i = 0; i < last; i++) {
		size_t len;
		const char *of = value_of(&rows[id], i, &len);

		if (strlen(value) == len && memcmp(value, of, len) == 0)
			return i;
	}
	return last;
}

/* Upper limit of a histogram's bucket, included. */
static double limit_of(const struct sk_metrics *m, const struct row *r, int bucket)
{
	switch (r->buckets) {
	case TIMES: return sk_times_limit_s(bucket);
	case INPUT: return (double)m->input_max / LINEAR * (bucket + 1);
	case TOTAL: return (double)m->total_max / LINEAR * (bucket + 1);
	case BATCH: return bucket + 1;
	case NONE: break;
	}
	return 0;
}

/* ---- counting ----------------------------------------------------------------------------------------------- */

sk_status sk_metrics_open(uint32_t input_tokens_max, uint32_t total_tokens_max, struct sk_metrics **ret_m, struct sk_err *err)
{
	struct sk_metrics *m;
	size_t n = 0;

	for (int i = 0; i < SK_METRICS; i++)
		n += width_of(&rows[i]) * (size_t)series_of(&rows[i]);
	m = calloc(1, sizeof *m + n * sizeof *m->n);
	if (!m)
		return sk_fail(err, SK_ENOMEM, "no memory for %d metrics", (int)SK_METRICS);
	n = 0;
	for (int i = 0; i < SK_METRICS; i++) {
		m->at[i] = n;
		n += width_of(&rows[i]) * (size_t)series_of(&rows[i]);
	}
	m->input_max = input_tokens_max ? input_tokens_max : 1;
	m->total_max = total_tokens_max ? total_tokens_max : 1;
	*ret_m = m;
	return SK_OK;
}

void sk_metrics_close(struct sk_metrics **m)
{
	if (*m)
		free((*m)->info);
	free(*m);
	*m = NULL;
}

static uint64_t *series(const struct sk_metrics *m, enum sk_metric id, int label)
{
	SK_BUG_IF(label < 0 || label >= series_of(&rows[id]));
	return (uint64_t *)m->n + m->at[id] + width_of(&rows[id]) * (size_t)label;
}

void sk_metrics_add(struct sk_metrics *m, enum sk_metric id, int label, int64_t n)
{
	if (m)
		*series(m, id, label) += (uint64_t)n;
}

void sk_metrics_set(struct sk_metrics *m, enum sk_metric id, int label, int64_t n)
{
	if (m)
		*series(m, id, label) = (uint64_t)n;
}

int64_t sk_metrics_get(const struct sk_metrics *m, enum sk_metric id, int label)
{
	return m ? (int64_t)*series(m, id, label) : 0;
}

/* Which of `len` equal steps up to max, each with its upper end; len: beyond. */
static int linear(uint64_t value, uint32_t max, int len)
{
	uint64_t at = value ? (value * (uint64_t)len - 1) / max : 0;

	return value > max ? len : (int)at;
}

void sk_metrics_observe(struct sk_metrics *m, enum sk_metric id, int label, uint64_t value)
{
	const struct row *r = &rows[id];
	int buckets = buckets_of(r), at = 0;
	uint64_t *n;

	if (!m)
		return;
	n = series(m, id, label);
	switch (r->buckets) {
	case TIMES: at = sk_times_bucket(value > INT64_MAX ? INT64_MAX : (int64_t)value); break;
	case INPUT: at = linear(value, m->input_max, buckets); break;
	case TOTAL: at = linear(value, m->total_max, buckets); break;
	case BATCH: at = linear(value, BATCHES, buckets); break;
	case NONE: break;
	}
	n[at]++;
	n[width_of(r) - 1] += value;
}

/* ---- the engine's ------------------------------------------------------------------------------------------- */

static void take_times(struct sk_metrics *m, enum sk_metric id, int label, const struct sk_times *t)
{
	uint64_t *n = series(m, id, label);

	memcpy(n, t->counts, sizeof t->counts);
	n[SK_TIMES + 1] = t->sum_us;
}

void sk_metrics_take_engine(struct sk_metrics *m, const struct sk_stats *stats, const struct sk_meters *meters,
			    uint32_t block_tokens)
{
	uint32_t used = stats->blocks_total - stats->blocks_free;
	uint64_t *joins;

	if (!m)
		return;
	sk_metrics_set(m, SK_M_QUEUE_SIZE, 0, stats->waiting);
	sk_metrics_set(m, SK_M_BATCH_SIZE, 0, stats->running);
	sk_metrics_set(m, SK_M_BATCH_TOKENS, 0, (int64_t)used * block_tokens);
	sk_metrics_set(m, SK_M_BATCH_TOTAL, 0, (int64_t)stats->blocks_total * block_tokens);
	for (int i = 0; i < SK_STEP_KINDS; i++) {
		const struct sk_meters_step *s = &meters->step[i];

		sk_metrics_set(m, SK_M_STEPS, i, (int64_t)s->count);
		sk_metrics_set(m, SK_M_STEPS_DONE, i, (int64_t)(s->count - s->failed));
		sk_metrics_set(m, SK_M_STEPS_FAILED, i, (int64_t)s->failed);
		take_times(m, SK_M_STEP_TIME, i, &s->whole);
		take_times(m, SK_M_FORWARD_TIME, i, &s->forward);
		take_times(m, SK_M_SAMPLE_TIME, i, &s->sample);
		take_times(m, SK_M_PLAN_TIME, i, &s->plan);
	}
	joins = series(m, SK_M_BATCH_NEXT, 0);
	memcpy(joins, meters->joins + 1, (BATCHES + 1) * sizeof *joins);
	joins[BATCHES + 1] = meters->joined;
	sk_metrics_set(m, SK_M_CONCAT, sk_metrics_label(SK_M_CONCAT, "chunking"), (int64_t)meters->joined_others);
	for (int i = 0; i <= SK_STATE_FAILED; i++)
		sk_metrics_set(m, SK_M_STATE, i, (int)stats->state == i);
	sk_metrics_set(m, SK_M_LOAD_DONE, 0, (int64_t)stats->load_done_bytes);
	sk_metrics_set(m, SK_M_LOAD_TOTAL, 0, (int64_t)stats->load_total_bytes);
	take_times(m, SK_M_TOKEN_GAP, 0, &meters->token_gap);
	take_times(m, SK_M_QUEUE_WAIT, 0, &meters->queue_wait);
	sk_metrics_set(m, SK_M_PROMPT_TOKENS, 0, (int64_t)stats->prompt_tokens);
	sk_metrics_set(m, SK_M_NEW_TOKENS, 0, (int64_t)stats->generated_tokens);
	sk_metrics_set(m, SK_M_KV_TOTAL, 0, stats->blocks_total);
	sk_metrics_set(m, SK_M_KV_USED, 0, used);
	sk_metrics_set(m, SK_M_PREEMPTIONS, 0, (int64_t)stats->preemptions);
}

/* ---- writing ------------------------------------------------------------------------------------------------ */

/* The value of a label: UTF-8, with backslash, quote and line feed escaped. */
static void add_value(struct sk_buf *b, const char *s)
{
	struct sk_buf clean = SK_BUF(INFO_BYTES_MAX);

	sk_utf8_add_lossy(&clean, s, strlen(s));
	for (size_t i = 0; i < clean.len; i++) {
		if (clean.data[i] == '\n') {
			sk_buf_adds(b, "\\n");
			continue;
		}
		if (clean.data[i] == '\\' || clean.data[i] == '"')
			sk_buf_addc(b, '\\');
		sk_buf_addc(b, clean.data[i]);
	}
	if (clean.failed && !b->failed)
		b->failed = clean.failed;
	sk_buf_fini(&clean);
}

sk_status sk_metrics_info(struct sk_metrics *m, enum sk_metric id, const char *const *pairs)
{
	struct sk_buf b = SK_BUF(INFO_BYTES_MAX);

	SK_BUG_IF(rows[id].kind != INFO);
	if (!m)
		return SK_OK;
	for (const char *const *p = pairs; p[0]; p += 2) {
		sk_buf_addf(&b, "%s%s=\"", p == pairs ? "" : ",", p[0]);
		add_value(&b, p[1]);
		sk_buf_addc(&b, '"');
	}
	if (b.failed < 0 || sk_buf_addc(&b, '\0') < 0) {
		sk_buf_fini(&b);
		return SK_ENOMEM;
	}
	free(m->info);
	m->info = b.data;
	return SK_OK;
}

static void write_histogram(const struct sk_metrics *m, const struct row *r, const uint64_t *n, const char *label,
			    struct sk_buf *b)
{
	const char *comma = *label ? "," : "", *open = *label ? "{" : "", *shut = *label ? "}" : "";
	int buckets = buckets_of(r);
	uint64_t sum = n[width_of(r) - 1], count = n[0];

	if (r->kind == HISTOGRAM) {
		count = 0;
		for (int i = 0; i < buckets; i++) {
			count += n[i];
			sk_buf_addf(b, "%s_bucket{%s%sle=\"%.10g\"} %" PRIu64 "\n", r->name, label, comma, limit_of(m, r, i),
				    count);
		}
		count += n[buckets];
		sk_buf_addf(b, "%s_bucket{%s%sle=\"+Inf\"} %" PRIu64 "\n", r->name, label, comma, count);
	}
	if (r->buckets == TIMES)
		sk_buf_addf(b, "%s_sum%s%s%s %.6f\n", r->name, open, label, shut, (double)sum * 1e-6);
	else
		sk_buf_addf(b, "%s_sum%s%s%s %" PRIu64 "\n", r->name, open, label, shut, sum);
	sk_buf_addf(b, "%s_count%s%s%s %" PRIu64 "\n", r->name, open, label, shut, count);
}

static void write_series(const struct sk_metrics *m, enum sk_metric id, int which, const char *label, struct sk_buf *b)
{
	const struct row *r = &rows[id];
	const uint64_t *n = series(m, id, which);

	if (r->kind == HISTOGRAM || r->kind == SUMMARY)
		write_histogram(m, r, n, label, b);
	else
		sk_buf_addf(b, *label ? "%s{%s} %" PRId64 "\n" : "%s%s %" PRId64 "\n", r->name, label, (int64_t)*n);
}

static void write_row(const struct sk_metrics *m, enum sk_metric id, const struct sk_keys *keys, struct sk_buf *b)
{
	const struct row *r = &rows[id];
	int len = by_key(r) ? sk_keys_len(keys) : series_of(r);
	char label[128];

	if (!len)
		return;
	sk_buf_addf(b, "# HELP %s %s\n# TYPE %s %s\n", r->name, r->help, r->name, kind_names[r->kind]);
	if (r->kind == INFO) {
		sk_buf_addf(b, "%s{%s} 1\n", r->name, m->info ? m->info : "");
		return;
	}
	for (int i = 0; i < len; i++) {
		size_t value_len = 0;
		const char *value = by_key(r) ? sk_keys_name(keys, i) : value_of(r, i, &value_len);

		if (by_key(r))
			value_len = strlen(value);
		label[0] = '\0';
		if (*r->label)
			snprintf(label, sizeof label, "%s=\"%.*s\"", r->label, (int)value_len, value);
		write_series(m, id, i, label, b);
	}
}

/* Whether a query asks for a metric: "name=a&name=b" for two of them, one without any name for all. */
static bool is_asked(const char *query, const char *name)
{
	size_t len = strlen(name);
	bool any = false;

	for (const char *at = query; *at; at += strcspn(at, "&"), at += *at == '&') {
		if (strncmp(at, "name=", 5))
			continue;
		any = true;
		if (!strncmp(at + 5, name, len) && (!at[5 + len] || at[5 + len] == '&'))
			return true;
	}
	return !any;
}

void sk_metrics_write(const struct sk_metrics *m, const struct sk_keys *keys, const char *query, struct sk_buf *b)
{
	for (int i = 0; m && i < SK_METRICS; i++)
		if (is_asked(query, rows[i].name))
			write_row(m, (enum sk_metric)i, keys, b);
}
