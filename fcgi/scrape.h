/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads Prometheus' text format, as much of it as /metrics writes. Pure; the text may come from anybody and is fuzzed.
 *
 * owner: one thread. The samples point into the text, which the caller keeps.
 */
#ifndef SK_FCGI_SCRAPE_H
#define SK_FCGI_SCRAPE_H

#include <stddef.h>

#include "engine/base/err.h"

#define SK_SCRAPE_MAX 50000             /* samples of one text */

struct sk_sample { const char *name, *labels; size_t name_len, labels_len; double value; };
struct sk_scrape { struct sk_sample *samples; size_t len; };

/* SK_EFORMAT names the line that is no sample;  SK_ETOOBIG  SK_ENOMEM */
sk_status sk_scrape_read(const char *text, size_t len, struct sk_scrape *ret_s, struct sk_err *err);
void sk_scrape_fini(struct sk_scrape *s);

/* The first sample of this name, with this label where one is named ("err=\"validation\""); 0 when there is none. */
double sk_scrape_get(const struct sk_scrape *s, const char *name, const char *label);

/*
 * The q-quantile of a histogram's observations between two texts (before: NULL for all of them), linear inside a bucket as
 * Prometheus' histogram_quantile(). NaN when there were none.
 */
double sk_scrape_quantile(const struct sk_scrape *now, const struct sk_scrape *before, const char *name, double q);

#endif
