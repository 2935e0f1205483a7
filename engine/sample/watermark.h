/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Watermarks by green lists (Kirchenbauer et al., arXiv 2301.10226): what came before a place decides which tokens are green
 * there, their scores get `delta`, and a text with too many green tokens was written so.
 *
 *	public	text-generation-inference's scheme, by torch's CPU generator: the list is the first int(V * gamma) numbers of
 *		randperm(V), seeded with hash key * previous id. Whoever reads the paper can detect, and imitate, it
 *	keyed	a secret of the server's: a token is green where its number in the ChaCha20 stream of SHA-256(secret, the two
 *		ids before) is below gamma * 2^32. Only who has the secret can tell green from red
 *
 * Immutable after init; any thread.
 */
#ifndef SK_SAMPLE_WATERMARK_H
#define SK_SAMPLE_WATERMARK_H

#include "engine/base/sha256.h"
#include "engine/saker.h"

#define SK_WATERMARK_CONTEXT_MAX 2

struct sk_watermark {
	double gamma;
	float delta;
	uint64_t hash_key;
	bool keyed;
	uint8_t secret[SK_SHA256_BYTES];        /* keyed: the digest of what the file holds */
};

/* Reads the key file where one is named. SK_EINVAL: an option out of range, a key too short; SK_EIO SK_ENOENT. */
sk_status sk_watermark_init(struct sk_watermark *w, const struct sk_watermark_opts *o, struct sk_err *err);

/* The green ids behind ids[0 .. ids_len): into list, which has room for V. Returns how many; none where there is no context. */
int32_t sk_watermark_green(const struct sk_watermark *w, const int32_t *ids, int32_t ids_len, int32_t V, int32_t *list);

/* Count green tokens in a text of ids. SK_EINVAL: an id that is none, too many ids; SK_ENOMEM. */
sk_status sk_watermark_find(const struct sk_watermark *w, int32_t V, const int32_t *ids, size_t len,
			    struct sk_detection *ret_d, struct sk_err *err);

#endif
