/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Green lists, and looking for them.
 *
 * Detection counts each (context, token) once: where a text repeats itself, the repetition says nothing new, and to count it
 * would make accidents weigh as much as evidence. So unmarked places are independent coins, and the number of
 * green ones is binomial: p_value is its exact tail, good for short texts too. z_score is the paper's.
 */
#include "engine/sample/watermark.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/chacha.h"
#include "engine/base/mt.h"

#define GAMMA 0.5
#define DELTA 2.0
#define HASH_KEY 15485863
#define SECRET_MIN 16
#define SECRET_MAX 4096

/* ---- the two schemes ---- */

static int context_len(const struct sk_watermark *w)
{
	return w->keyed ? SK_WATERMARK_CONTEXT_MAX : 1;
}

static int32_t public_size(const struct sk_watermark *w, int32_t V)
{
	return (int32_t)((double)V * w->gamma);
}

/* The key of one place: the secret stands on both sides, so that nothing can be put behind a known one. */
static void place_key(const struct sk_watermark *w, const int32_t *context, uint8_t ret[SK_SHA256_BYTES])
{
	uint8_t text[2 * SK_SHA256_BYTES + 4 * SK_WATERMARK_CONTEXT_MAX], *at = text;

	memcpy(at, w->secret, SK_SHA256_BYTES);
	at += SK_SHA256_BYTES;
	for (int i = 0; i < SK_WATERMARK_CONTEXT_MAX; i++)
		for (int shift = 0; shift < 32; shift += 8)
			*at++ = (uint8_t)((uint32_t)context[i] >> shift);
	memcpy(at, w->secret, SK_SHA256_BYTES);
	sk_sha256(text, sizeof(text), ret);
}

static bool below(const struct sk_watermark *w, uint32_t number)
{
	return (double)number < w->gamma * 0x1p32;
}

static int32_t keyed_list(const struct sk_watermark *w, const int32_t *context, int32_t V, int32_t *list)
{
	static const uint32_t nonce[3];
	uint8_t key[SK_SHA256_BYTES];
	int32_t n = 0;

	place_key(w, context, key);
	for (int32_t from = 0; from < V; from += SK_CHACHA_WORDS) {
		uint32_t numbers[SK_CHACHA_WORDS];

		sk_chacha_block(key, (uint32_t)from / SK_CHACHA_WORDS, nonce, numbers);
		for (int32_t i = 0; i < SK_CHACHA_WORDS && from + i < V; i++) {
			list[n] = from + i;
			n += below(w, numbers[i]);
		}
	}
	return n;
}

static int32_t public_list(const struct sk_watermark *w, const int32_t *context, int32_t V, int32_t *list)
{
	int32_t n = public_size(w, V);
	struct sk_mt mt;

	sk_mt_seed(&mt, w->hash_key * (uint64_t)context[0]);
	sk_mt_permute(&mt, list, V, n);
	return n;
}

int32_t sk_watermark_green(const struct sk_watermark *w, const int32_t *ids, int32_t ids_len, int32_t V, int32_t *list)
{
	const int32_t *context = ids + ids_len - context_len(w);

	if (ids_len < context_len(w))
		return 0;
	return w->keyed ? keyed_list(w, context, V, list) : public_list(w, context, V, list);
}

/* ---- options ---- */

static sk_status secret_read(struct sk_watermark *w, const char *path, struct sk_err *err)
{
	char text[SECRET_MAX + 1];
	FILE *f = fopen(path, "rb");
	bool broken;
	size_t len;

	if (!f)
		return sk_fail(err, errno == ENOENT ? SK_ENOENT : SK_EIO, "%s: %s", path, strerror(errno));
	len = fread(text, 1, sizeof(text), f);
	broken = ferror(f);
	fclose(f);
	if (broken)
		return sk_fail(err, SK_EIO, "%s: cannot be read", path);
	while (len > 0 && strchr(" \t\r\n", text[len - 1]))
		len--;
	if (len < SECRET_MIN || len > SECRET_MAX)
		return sk_fail(err, SK_EINVAL, "%s: a key for watermarks has %d to %d bytes, this one has %zu%s", path, SECRET_MIN,
			       SECRET_MAX, len, len > SECRET_MAX ? " or more" : "");
	sk_sha256(text, len, w->secret);
	w->keyed = true;
	return SK_OK;
}

sk_status sk_watermark_init(struct sk_watermark *w, const struct sk_watermark_opts *o, struct sk_err *err)
{
	*w = (struct sk_watermark){ .gamma = o->gamma != 0.0 ? o->gamma : GAMMA, .delta = (float)(o->delta != 0.0 ? o->delta : DELTA),
				    .hash_key = o->hash_key ? o->hash_key : HASH_KEY };
	if (!(w->gamma > 0.0 && w->gamma < 1.0))
		return sk_fail(err, SK_EINVAL, "a watermark's gamma is above 0 and below 1, not %g", w->gamma);
	if (!(w->delta > 0.0f && w->delta <= 1000.0f))
		return sk_fail(err, SK_EINVAL, "a watermark's delta is above 0 and at most 1000, not %g", (double)w->delta);
	return o->key_file && *o->key_file ? secret_read(w, o->key_file, err) : SK_OK;
}

/* ---- detection ---- */

struct place { int32_t context[SK_WATERMARK_CONTEXT_MAX], token; };

static int place_compare(const void *a, const void *b)
{
	const int32_t *x = (const int32_t *)a, *y = (const int32_t *)b;

	for (size_t i = 0; i < sizeof(struct place) / sizeof(*x); i++)
		if (x[i] != y[i])
			return x[i] < y[i] ? -1 : 1;
	return 0;
}

/* The places of a text in the order of their contexts, each once. */
static size_t places_make(const struct sk_watermark *w, const int32_t *ids, size_t len, struct place *p)
{
	size_t c = (size_t)context_len(w), n = 0, kept = 0;

	for (size_t i = c; i < len; i++) {
		p[n] = (struct place){ .token = ids[i] };
		memcpy(p[n++].context, ids + i - c, c * sizeof(*ids));
	}
	qsort(p, n, sizeof(*p), place_compare);
	for (size_t i = 0; i < n; i++)
		if (i == 0 || place_compare(&p[i], &p[kept - 1]) != 0)
			p[kept++] = p[i];
	return kept;
}

/* green: a byte for each id, made anew where the context changes. The keyed scheme needs one number of each place only. */
static uint32_t count_green(const struct sk_watermark *w, int32_t V, const struct place *p, size_t n, int32_t *list,
			    uint8_t *green)
{
	static const uint32_t nonce[3];
	uint8_t key[SK_SHA256_BYTES];
	uint32_t numbers[SK_CHACHA_WORDS], count = 0;

	for (size_t i = 0; i < n; i++) {
		if (w->keyed) {
			place_key(w, p[i].context, key);
			sk_chacha_block(key, (uint32_t)p[i].token / SK_CHACHA_WORDS, nonce, numbers);
			count += below(w, numbers[p[i].token % SK_CHACHA_WORDS]);
			continue;
		}
		if (i == 0 || p[i].context[0] != p[i - 1].context[0]) {
			int32_t len = public_list(w, p[i].context, V, list);

			memset(green, 0, (size_t)V);
			for (int32_t k = 0; k < len; k++)
				green[list[k]] = 1;
		}
		count += green[p[i].token];
	}
	return count;
}

static double binomial(uint32_t k, uint32_t n, double rate)
{
	return exp(lgamma(n + 1.0) - lgamma(k + 1.0) - lgamma(n - k + 1.0) + k * log(rate) + (n - k) * log1p(-rate));
}

/* How likely so many green tokens, or more, are by chance. The smaller tail is summed, from its largest term outwards. */
static double binomial_tail(uint32_t green, uint32_t n, double rate)
{
	double odds = rate / (1.0 - rate), sum = 0.0, term;

	if (green > rate * n) {
		term = binomial(green, n, rate);
		for (uint32_t k = green; k <= n; k++) {
			sum += term;
			term *= odds * (n - k) / (k + 1.0);
		}
		return sum < 1.0 ? sum : 1.0;
	}
	if (green == 0)
		return 1.0;
	term = binomial(green - 1, n, rate);
	for (uint32_t k = green - 1;; k--) {
		sum += term;
		if (k == 0)
			break;
		term *= k / (odds * (n - k + 1.0));
	}
	return sum < 1.0 ? 1.0 - sum : 0.0;
}

sk_status sk_watermark_find(const struct sk_watermark *w, int32_t V, const int32_t *ids, size_t len,
			    struct sk_detection *ret_d, struct sk_err *err)
{
	double rate = w->keyed ? w->gamma : (double)public_size(w, V) / V, deviation;
	struct sk_detection d = { .gamma = w->gamma, .keyed = w->keyed, .p_value = 1.0 };
	struct place *places;
	uint8_t *green;
	int32_t *list;

	if (len > SK_DETECT_TOKENS_MAX)
		return sk_fail(err, SK_EINVAL, "a text of %zu tokens, the limit is %d", len, SK_DETECT_TOKENS_MAX);
	for (size_t i = 0; i < len; i++)
		if (ids[i] < 0 || ids[i] >= V)
			return sk_fail(err, SK_EINVAL, "token id %d is not one of the vocabulary of %d", ids[i], V);
	places = malloc((len + 1) * sizeof(*places));
	list = malloc((size_t)V * sizeof(*list));
	green = malloc((size_t)V);
	if (!places || !list || !green) {
		free(places);
		free(list);
		free(green);
		return sk_fail(err, SK_ENOMEM, "no memory to look at %zu tokens", len);
	}
	d.tokens = (uint32_t)places_make(w, ids, len, places);
	d.green = count_green(w, V, places, d.tokens, list, green);
	deviation = sqrt(d.tokens * rate * (1.0 - rate));
	if (deviation > 0.0) {
		d.z_score = (d.green - rate * d.tokens) / deviation;
		d.p_value = binomial_tail(d.green, d.tokens, rate);
	}
	free(places);
	free(list);
	free(green);
	*ret_d = d;
	return SK_OK;
}

sk_status sk_watermark_detect(const struct sk_watermark_opts *o, uint32_t vocab, const int32_t *ids, size_t len,
			      struct sk_detection *ret_d, struct sk_err *err)
{
	struct sk_watermark w;
	sk_status st = sk_watermark_init(&w, o, err);

	return st < 0 ? st : sk_watermark_find(&w, (int32_t)vocab, ids, len, ret_d, err);
}
