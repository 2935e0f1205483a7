/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What an architecture is: dimensions, flags, and a table of weight rules. One file each in engine/arch/, one line in
 * archs.def. A hook only where the mathematics really differ.
 */
#ifndef SK_ARCH_H
#define SK_ARCH_H

#include <stdbool.h>
#include <stdint.h>

#include "engine/base/err.h"
#include "engine/weights/weights.h"

enum sk_position_kind { SK_POS_ROPE };

/* What a layer keeps of the past. One entry a kind (self, window, cross, latent, state), with bytes per token. */
enum sk_kv_kind { SK_KV_SELF };

struct sk_dims {
	int32_t layers, width, heads, kv_heads, head_width, ffn_width, vocab, context_max;
	int32_t rope_width;                     /* rotated dims of a head */
	bool rope_interleaved;
	float rope_base, rope_factor;           /* factor: of cos and sin */
	float rope_scale;                       /* linear scaling: positions are divided by it; 1: none */
	float norm_eps;
	bool tied_head;                         /* no weight of its own: the embedding */
};

enum sk_slot {
	SK_W_END,
	SK_W_EMBED, SK_W_OUT_NORM, SK_W_HEAD,
	SK_W_ATTN_NORM, SK_W_Q, SK_W_K, SK_W_V, SK_W_O,
	SK_W_FFN_NORM, SK_W_GATE, SK_W_UP, SK_W_DOWN,
	SK_W_ROPE_FREQS,
	SK_SLOTS
};

/* How ranks share a weight: whole, rows (column-parallel), or K slices (row-parallel, summed in the fixed tree). */
enum sk_split { SK_SPLIT_NONE, SK_SPLIT_ROWS, SK_SPLIT_HEADS, SK_SPLIT_KV_HEADS, SK_SPLIT_K };

enum { SK_RULE_OPTIONAL = 1 };

/* shape: letters of the dimensions, rows first: "V,D", "Q,D" (Q = H*d), "G,D" (G = K*d), "F,D", "D,F", "D,Q", "D", "R" (half of rope_width). */
struct sk_weight_rule { enum sk_slot slot; const char *name, *shape; enum sk_split split; unsigned flags; };

struct sk_arch {
	const char *name, *aliases[8];
	const struct sk_weight_rule *weights;           /* "%d" in a name: the layer */
	enum sk_norm_kind norm;
	enum sk_position_kind position;
	enum sk_act act;
	enum sk_kv_kind kv;
	/* Fill dims from the metadata, every value checked against limits. */
	sk_status (*config)(struct sk_dims *ret_dims, const struct sk_weights *w, struct sk_err *err);
};

/* By the file's own name for it ("llama"); SK_ENOTSUP names those that are known. */
sk_status sk_arch_find(const char *name, const struct sk_arch **ret_arch, struct sk_err *err);

#endif
