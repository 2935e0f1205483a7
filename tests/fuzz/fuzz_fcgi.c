/* SPDX-License-Identifier: Apache-2.0 */
/*
 * FastCGI records. The first byte is the size of the pieces, the rest is what the peer sends. Two promises: no limit is
 * passed, and the meaning of bytes does not depend on how they are cut (each input is also fed whole).
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/hash.h"
#include "fcgi/record.h"

#define NEVER(cond) do { if (cond) abort(); } while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static const struct sk_record_limits limits = { .params_bytes_max = 4096, .params_max = 64, .body_bytes_max = 2048 };

/* What a run showed: news, requests and answers, folded into one number. */
struct seen {
	uint64_t hash;
	uint32_t requests;
	sk_status st;
};

static void note(struct seen *s, const void *p, size_t len)
{
	s->hash = sk_hash(len ? p : "", len, s->hash + 1);
}

static void see_request(struct seen *s, struct sk_record *p)
{
	struct sk_arena a = { 0 };
	const char **params = NULL;
	sk_status st = sk_record_params(p, &a, &params, NULL);
	size_t pairs = 0;

	s->requests++;
	note(s, &st, sizeof st);
	note(s, p->body.data, p->body.len);
	note(s, &p->too_large, sizeof p->too_large);
	if (st == SK_OK) {
		for (; params[2 * pairs]; pairs++) {
			note(s, params[2 * pairs], strlen(params[2 * pairs]));
			note(s, params[2 * pairs + 1], strlen(params[2 * pairs + 1]));
		}
		NEVER(pairs > limits.params_max);
	}
	sk_arena_fini(&a);
}

static struct seen run(const uint8_t *s, size_t len, size_t piece)
{
	struct seen seen = { 0 };
	struct sk_record p;

	sk_record_init(&p, &limits);
	for (size_t at = 0; at < len && seen.st == SK_OK;) {
		size_t n = len - at < piece ? len - at : piece, used = 0;
		enum sk_record_news news = SK_RECORD_MORE;

		seen.st = sk_record_feed(&p, s + at, n, &used, &news, NULL);
		NEVER(used > n || (seen.st == SK_OK && used == 0));
		NEVER(p.params.len > limits.params_bytes_max || p.body.len > limits.body_bytes_max || p.out.len > 16384);
		at += used;
		if (seen.st < 0)
			break;
		if (news == SK_RECORD_REQUEST) {
			see_request(&seen, &p);
			if (seen.requests % 3)
				sk_record_next(&p);
		}
	}
	note(&seen, p.out.data, p.out.len);     /* answers are never taken out, so this is all of them */
	sk_record_fini(&p);
	return seen;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct seen a, b;

	if (!len)
		return 0;
	a = run(data + 1, len - 1, SIZE_MAX);
	b = run(data + 1, len - 1, (size_t)data[0] + 1);
	NEVER(a.hash != b.hash || a.requests != b.requests || a.st != b.st);
	return 0;
}
