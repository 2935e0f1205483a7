/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Numbers for Prometheus: the table is metrics.def, this counts and writes them.
 *
 * What the front knows is counted as it happens; what the engine knows is copied from its lock-free snapshots when somebody
 * asks (sk_metrics_take_engine). One thread owns it all, so there is neither a lock nor an atomic.
 *
 * owner: the loop. All functions but open allow m to be NULL: they do nothing then.
 */
#ifndef SK_FCGI_METRICS_H
#define SK_FCGI_METRICS_H

#include <stddef.h>
#include <stdint.h>

#include "engine/base/buf.h"
#include "engine/saker.h"

enum sk_metric {
#define SK_METRIC(id, name, kind, label, values, buckets, help) SK_M_##id,
#include "fcgi/metrics.def"
#undef SK_METRIC
	SK_METRICS
};

struct sk_keys;
struct sk_metrics;

/* What is written at most: every series of every metric, with SK_KEYS_MAX keys. */
#define SK_METRICS_BYTES_MAX ((size_t)1 << 20)

/* The limits are those of the buckets INPUT and TOTAL. SK_ENOMEM */
sk_status sk_metrics_open(uint32_t input_tokens_max, uint32_t total_tokens_max, struct sk_metrics **ret_m, struct sk_err *err);
void sk_metrics_close(struct sk_metrics **m);

/* Which value of its label: 0 for the first. An unknown one is the last. */
int sk_metrics_label(enum sk_metric id, const char *value);

/* Counters and gauges. `label`: which value (for "key" the slot); 0 where there is no label. */
void sk_metrics_add(struct sk_metrics *m, enum sk_metric id, int label, int64_t n);
void sk_metrics_set(struct sk_metrics *m, enum sk_metric id, int label, int64_t n);
int64_t sk_metrics_get(const struct sk_metrics *m, enum sk_metric id, int label);

/* Histograms and summaries: microseconds with buckets TIMES, else the number itself. */
void sk_metrics_observe(struct sk_metrics *m, enum sk_metric id, int label, uint64_t value);

/* Labels of an INFO metric, name, value, name, value, ..., NULL. Values may be any bytes. SK_ENOMEM */
sk_status sk_metrics_info(struct sk_metrics *m, enum sk_metric id, const char *const *pairs);

/* All that the engine knows. */
void sk_metrics_take_engine(struct sk_metrics *m, const struct sk_stats *stats, const struct sk_meters *meters,
			    uint32_t block_tokens);

/*
 * Append it in Prometheus' text format 0.0.4. keys: names for the label "key"; may be NULL. query: of the request; where it has
 * entries `name=METRIC`, only those are written.
 */
void sk_metrics_write(const struct sk_metrics *m, const struct sk_keys *keys, const char *query, struct sk_buf *b);

#endif
