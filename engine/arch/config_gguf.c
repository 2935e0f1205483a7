/* SPDX-License-Identifier: Apache-2.0 */
/* What a GGUF's metadata says of any architecture, by the keys that all of them share. */
#include "engine/arch/config.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static const struct sk_config_key keys[] = {
	{ ".block_count",             offsetof(struct sk_dims, layers),      SK_LAYERS_MAX },
	{ ".embedding_length",        offsetof(struct sk_dims, width),       SK_WIDTH_MAX },
	{ ".feed_forward_length",     offsetof(struct sk_dims, ffn_width),   SK_FFN_MAX },
	{ ".context_length",          offsetof(struct sk_dims, context_max), SK_CONTEXT_MAX },
	{ ".attention.head_count",    offsetof(struct sk_dims, heads),       SK_HEADS_MAX },
	{ ".attention.head_count_kv", offsetof(struct sk_dims, kv_heads),    SK_HEADS_MAX,      SK_KEY_OPTIONAL },
	{ ".attention.key_length",    offsetof(struct sk_dims, head_width),  SK_HEAD_WIDTH_MAX, SK_KEY_OPTIONAL },
	{ ".rope.dimension_count",    offsetof(struct sk_dims, rope.width),  SK_HEAD_WIDTH_MAX, SK_KEY_OPTIONAL },
	{ ".vocab_size",              offsetof(struct sk_dims, vocab),       SK_VOCAB_MAX,      SK_KEY_OPTIONAL },
};

/*
 * Every architecture's tensors have these names, whichever of them it has: what must be there is said by the dims (check.c). The
 * converter puts fused q, k and v in parts.
 */
const struct sk_weight_rule sk_gguf_weights[] = {
	/* slot              name                         shape  split by ranks */
	{ SK_W_EMBED,        "token_embd.weight",         "V,D", SK_SPLIT_ROWS },
	{ SK_W_EMBED_NORM,   "token_embd_norm.weight",    "D",   SK_SPLIT_NONE,     SK_RULE_OPTIONAL },
	{ SK_W_EMBED_NORM_B, "token_embd_norm.bias",      "D",   SK_SPLIT_NONE,     SK_RULE_OPTIONAL },
	{ SK_W_POSITIONS,    "position_embd.weight",      "P,D", SK_SPLIT_NONE,     SK_RULE_OPTIONAL },
	{ SK_W_ATTN_NORM,    "blk.%d.attn_norm.weight",   "D",   SK_SPLIT_NONE },
	{ SK_W_ATTN_NORM_B,  "blk.%d.attn_norm.bias",     "D",   SK_SPLIT_NONE,     SK_RULE_OPTIONAL },
	{ SK_W_QKV,          "blk.%d.attn_qkv.weight",    "C,D", SK_SPLIT_HEADS,    SK_RULE_OPTIONAL },
	{ SK_W_QKV_B,        "blk.%d.attn_qkv.bias",      "C",   SK_SPLIT_HEADS,    SK_RULE_OPTIONAL },
	{ SK_W_Q,            "blk.%d.attn_q.weight",      "Q,D", SK_SPLIT_HEADS,    SK_RULE_OPTIONAL },
	{ SK_W_Q_B,          "blk.%d.attn_q.bias",        "Q",   SK_SPLIT_HEADS,    SK_RULE_OPTIONAL },
	{ SK_W_K,            "blk.%d.attn_k.weight",      "G,D", SK_SPLIT_KV_HEADS, SK_RULE_OPTIONAL },
	{ SK_W_K_B,          "blk.%d.attn_k.bias",        "G",   SK_SPLIT_KV_HEADS, SK_RULE_OPTIONAL },
	{ SK_W_V,            "blk.%d.attn_v.weight",      "G,D", SK_SPLIT_KV_HEADS, SK_RULE_OPTIONAL },
	{ SK_W_V_B,          "blk.%d.attn_v.bias",        "G",   SK_SPLIT_KV_HEADS, SK_RULE_OPTIONAL },
	{ SK_W_O,            "blk.%d.attn_output.weight", "D,Q", SK_SPLIT_K },
	{ SK_W_O_B,          "blk.%d.attn_output.bias",   "D",   SK_SPLIT_NONE,     SK_RULE_OPTIONAL },
	{ SK_W_FFN_NORM,     "blk.%d.ffn_norm.weight",    "D",   SK_SPLIT_NONE,     SK_RULE_OPTIONAL },
	{ SK_W_FFN_NORM_B,   "blk.%d.ffn_norm.bias",      "D",   SK_SPLIT_NONE,     SK_RULE_OPTIONAL },
	{ SK_W_GATE,         "blk.%d.ffn_gate.weight",    "F,D", SK_SPLIT_ROWS,     SK_RULE_OPTIONAL },
	{ SK_W_GATE_B,       "blk.%d.ffn_gate.bias",      "F",   SK_SPLIT_ROWS,     SK_RULE_OPTIONAL },
	{ SK_W_UP,           "blk.%d.ffn_up.weight",      "F,D", SK_SPLIT_ROWS },
	{ SK_W_UP_B,         "blk.%d.ffn_up.bias",        "F",   SK_SPLIT_ROWS,     SK_RULE_OPTIONAL },
	{ SK_W_DOWN,         "blk.%d.ffn_down.weight",    "D,F", SK_SPLIT_K },
	SK_GGUF_EXPERTS,
	{ SK_W_DOWN_B,       "blk.%d.ffn_down.bias",      "D",   SK_SPLIT_NONE,     SK_RULE_OPTIONAL },
	{ SK_W_OUT_NORM,     "output_norm.weight",        "D",   SK_SPLIT_NONE },
	{ SK_W_OUT_NORM_B,   "output_norm.bias",          "D",   SK_SPLIT_NONE,     SK_RULE_OPTIONAL },
	{ SK_W_HEAD,         "output.weight",             "V,D", SK_SPLIT_ROWS,     SK_RULE_OPTIONAL },
	{ SK_W_HEAD_B,       "output.bias",               "V",   SK_SPLIT_ROWS,     SK_RULE_OPTIONAL },
	{ SK_W_ROPE_FREQS,   "rope_freqs.weight",         "R",   SK_SPLIT_NONE,     SK_RULE_OPTIONAL },
	{ SK_W_END }
};

static sk_status read_vocab(const struct sk_weights *w, struct sk_dims *d, struct sk_err *err)
{
	const struct sk_tensor *embed = sk_weights_find(w, "token_embd.weight");

	if (!d->vocab && embed && embed->dims == 2 && embed->dim[0] <= SK_VOCAB_MAX)
		d->vocab = (int32_t)embed->dim[0];      /* older files have no vocab_size */
	return d->vocab ? SK_OK : sk_fail(err, SK_EFORMAT, "%s: neither vocab_size nor token_embd.weight with at most %d rows",
					  sk_weights_path(w), SK_VOCAB_MAX);
}

/*
 * What llama.cpp understands by it: of cos and sin attn_factor times what the scaling itself says, 1 where the key is not there. The
 * share of the frequencies that are kept (ext_factor) is all or, elsewhere, none.
 */
static sk_status read_yarn(const struct sk_weights *w, struct sk_dims *d, struct sk_err *err)
{
	struct sk_rope *r = &d->rope;
	float extent = 1.0f, factor = 1.0f;
	double length;
	sk_status st;

	r->scaling = SK_ROPE_YARN;
	r->original = d->context_max;
	r->round = true;
	r->low = 1.0f;
	r->high = 32.0f;
	st = sk_config_int(w, ".rope.scaling.original_context_length", 1, SK_CONTEXT_MAX, &r->original, err);
	if (st >= 0)
		st = sk_config_float(w, ".rope.scaling.yarn_beta_slow", 1e6, &r->low, err);
	if (st >= 0)
		st = sk_config_float(w, ".rope.scaling.yarn_beta_fast", 1e6, &r->high, err);
	if (st >= 0)
		st = sk_config_float(w, ".rope.scaling.attn_factor .rope.scaling.yarn_attn_factor", 1e6, &factor, err);
	if (st >= 0)
		st = sk_config_float(w, ".rope.scaling.yarn_ext_factor", 1.0, &extent, err);
	if (st >= 0 && extent < 1.0f)
		st = sk_fail(err, SK_ENOTSUP, "%s: rope.scaling.yarn_ext_factor is %g, only 1 is supported", sk_weights_path(w), (double)extent);
	if (st >= 0)
		st = sk_config_refuse(w, ".rope.scaling.yarn_log_multiplier", "another magnitude of yarn", err);
	if (r->factor > 1.0f)
		r->attention = factor * (0.1f * logf(r->factor) + 1.0f);
	else
		r->attention = factor;
	length = (double)r->original * (double)r->factor;
	if (length > d->context_max)
		d->context_max = length < SK_CONTEXT_MAX ? (int32_t)length : SK_CONTEXT_MAX;
	return st;
}

static sk_status read_rope(const struct sk_weights *w, struct sk_dims *d, struct sk_err *err)
{
	struct sk_rope *r = &d->rope;
	static const char *const types[] = { "linear", "none", "yarn", NULL };
	int type = 0;                           /* a factor alone means linear, as in llama.cpp */
	size_t len = 0;
	const char *arch = sk_meta_str(w, "general.architecture", &len);
	sk_status st;

	if (!r->width)
		r->width = d->head_width;
	if (r->width > d->head_width || r->width % 2)
		return sk_fail(err, SK_EFORMAT, "%s: %.*s.rope.dimension_count is %d, it must be even and at most the head's width "
			       "%d", sk_weights_path(w), (int)len, arch, r->width, d->head_width);
	r->base = 10000.0f;
	r->factor = 1.0f;
	st = sk_config_float(w, ".rope.freq_base", 1e15, &r->base, err);
	if (st >= 0)
		st = sk_config_float(w, ".rope.scaling.factor .rope.scale_linear", 1e6, &r->factor, err);
	if (st >= 0)
		st = sk_config_word(w, ".rope.scaling.type", "rotary scaling", types, &type, err);
	if (st < 0)
		return st;
	if (type == 2)
		return read_yarn(w, d, err);
	if (type == 1)
		r->factor = 1.0f;
	r->scaling = r->factor != 1.0f ? SK_ROPE_LINEAR : SK_ROPE_PLAIN;
	return SK_OK;
}

sk_status sk_config_gguf_experts(const struct sk_weights *w, struct sk_dims *d, struct sk_err *err)
{
	sk_status st = sk_config_int(w, ".expert_count", 0, SK_EXPERTS_MAX, &d->route.experts, err);

	if (st >= 0)
		st = sk_config_int(w, ".expert_used_count", 1, SK_EXPERTS_USED_MAX, &d->route.used, err);
	if (st >= 0)
		st = sk_config_int(w, ".expert_feed_forward_length .feed_forward_length", 1, SK_FFN_MAX, &d->expert_width, err);
	return st < 0 ? st : sk_config_experts_fit(w, d, err);
}

sk_status sk_config_gguf_windowed(const struct sk_weights *w, struct sk_dims *d, struct sk_err *err)
{
	int32_t value_length;
	sk_status st = d->route.experts ? SK_OK : sk_config_refuse(w, ".expert_count", "a mixture of experts", err);

	if (st >= 0)
		st = SK_CONFIG_INTS(w, keys, d, err);
	if (st >= 0)
		st = sk_config_derive(w, d, err);
	if (st >= 0 && d->position == SK_POS_ROPE)
		st = read_rope(w, d, err);
	if (st >= 0)
		st = sk_config_float(w, ".attention.layer_norm_rms_epsilon .attention.layer_norm_epsilon", 1.0, &d->norm_eps, err);
	value_length = d->head_width;
	if (st >= 0)
		st = sk_config_int(w, ".attention.value_length", 1, SK_HEAD_WIDTH_MAX, &value_length, err);
	if (st >= 0 && value_length != d->head_width)
		st = sk_fail(err, SK_ENOTSUP, "%s: values of width %d beside keys of width %d are not supported", sk_weights_path(w),
			     value_length, d->head_width);
	if (st >= 0)
		st = read_vocab(w, d, err);
	return st < 0 ? st : sk_config_int(w, ".attention.sliding_window", 0, SK_CONTEXT_MAX, &d->window, err);
}

/* Up to the window's length a sliding window hides nothing: the model is exact there, so that is its context. */
sk_status sk_config_gguf(const struct sk_weights *w, struct sk_dims *d, struct sk_err *err)
{
	sk_status st = sk_config_gguf_windowed(w, d, err);

	if (st >= 0 && d->window > 0 && d->window < d->context_max)
		d->context_max = d->window;
	d->window = 0;
	return st;
}
