/* SPDX-License-Identifier: Apache-2.0 */
#include "fcgi/scrape.h"

#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NUMBER_MAX 64                   /* characters of a value */

static bool in_name(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == ':';
}

/* The end of {labels}: a brace in a value stands in quotes. NULL when there is none before `end`. */
static const char *labels_end(const char *s, const char *end)
{
	bool quoted = false;

	for (; s < end; s++) {
		if (quoted && *s == '\\')
			s++;
		else if (*s == '"')
			quoted = !quoted;
		else if (*s == '}' && !quoted)
			return s;
	}
	return NULL;
}

/* A time behind the value is ignored. */
static bool read_value(const char *s, const char *end, double *ret_value)
{
	char number[NUMBER_MAX + 1], *stop;
	size_t len = 0;

	while (s < end && *s == ' ')
		s++;
	while (s + len < end && s[len] != ' ' && len < NUMBER_MAX)
		len++;
	memcpy(number, s, len);
	number[len] = '\0';
	*ret_value = strtod(number, &stop);
	return len && stop == number + len;
}

static bool read_line(const char *s, const char *end, struct sk_sample *ret)
{
	ret->name = s;
	while (s < end && in_name(*s))
		s++;
	ret->name_len = (size_t)(s - ret->name);
	ret->labels = s;
	ret->labels_len = 0;
	if (s < end && *s == '{') {
		const char *close = labels_end(s + 1, end);

		if (!close)
			return false;
		ret->labels = s + 1;
		ret->labels_len = (size_t)(close - ret->labels);
		s = close + 1;
	}
	return ret->name_len && s < end && *s == ' ' && read_value(s, end, &ret->value);
}

sk_status sk_scrape_read(const char *text, size_t len, struct sk_scrape *ret_s, struct sk_err *err)
{
	struct sk_scrape s = { 0 };
	const char *end = text + len, *line_end;
	size_t cap = 0, lines = 0;

	for (const char *line = text; line < end; line = line_end + 1) {
		line_end = memchr(line, '\n', (size_t)(end - line));
		if (!line_end)
			line_end = end;
		lines++;
		if (line == line_end || *line == '#')
			continue;
		if (s.len == SK_SCRAPE_MAX) {
			sk_scrape_fini(&s);
			return sk_fail(err, SK_ETOOBIG, "more than %d samples", SK_SCRAPE_MAX);
		}
		if (s.len == cap) {
			struct sk_sample *more = realloc(s.samples, (cap = cap ? cap * 2 : 256) * sizeof *more);

			if (!more) {
				sk_scrape_fini(&s);
				return sk_fail(err, SK_ENOMEM, "no memory for %zu samples", cap);
			}
			s.samples = more;
		}
		if (!read_line(line, line_end, &s.samples[s.len])) {
			sk_scrape_fini(&s);
			return sk_fail(err, SK_EFORMAT, "line %zu is no sample of a metric", lines);
		}
		s.len++;
	}
	*ret_s = s;
	return SK_OK;
}

void sk_scrape_fini(struct sk_scrape *s)
{
	free(s->samples);
	*s = (struct sk_scrape){ 0 };
}

static bool is_named(const struct sk_sample *s, const char *name, const char *label)
{
	return s->name_len == strlen(name) && !memcmp(s->name, name, s->name_len) &&
	       (!label || memmem(s->labels, s->labels_len, label, strlen(label)));
}

double sk_scrape_get(const struct sk_scrape *s, const char *name, const char *label)
{
	for (size_t i = 0; i < s->len; i++)
		if (is_named(&s->samples[i], name, label))
			return s->samples[i].value;
	return 0;
}

/* The bucket's limit; NaN when its labels tell none. */
static double limit_of(const struct sk_sample *s)
{
	const char *le = memmem(s->labels, s->labels_len, "le=\"", 4);
	char number[NUMBER_MAX + 1];
	size_t len = 0;

	if (!le)
		return NAN;
	le += 4;
	while (le + len < s->labels + s->labels_len && le[len] != '"' && len < NUMBER_MAX)
		len++;
	memcpy(number, le, len);
	number[len] = '\0';
	return strtod(number, NULL);
}

/* What a bucket had counted before: the i-th of this name, as both texts are of the same server. */
static double earlier(const struct sk_scrape *before, const char *bucket, size_t i)
{
	for (size_t k = 0; before && k < before->len; k++)
		if (is_named(&before->samples[k], bucket, NULL) && i-- == 0)
			return before->samples[k].value;
	return 0;
}

double sk_scrape_quantile(const struct sk_scrape *now, const struct sk_scrape *before, const char *name, double q)
{
	char bucket[128], count[128];
	double total, low = 0, below = 0;
	size_t k = 0;

	snprintf(bucket, sizeof bucket, "%s_bucket", name);
	snprintf(count, sizeof count, "%s_count", name);
	total = sk_scrape_get(now, count, NULL) - (before ? sk_scrape_get(before, count, NULL) : 0);
	if (!(total > 0))
		return NAN;
	for (size_t i = 0; i < now->len; i++) {
		const struct sk_sample *s = &now->samples[i];
		double limit, n;

		if (!is_named(s, bucket, NULL))
			continue;
		limit = limit_of(s);
		n = s->value - earlier(before, bucket, k++);
		if (n >= q * total)
			return !(limit < HUGE_VAL) ? low : n > below ? low + (limit - low) * (q * total - below) / (n - below) : limit;
		low = limit;
		below = n;
	}
	return NAN;
}
