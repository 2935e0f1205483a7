/* SPDX-License-Identifier: Apache-2.0 */
/*
 * MPT (MosaicML 2023): ALiBi, LayerNorm without biases, no bias anywhere, an MLP four times as wide as the model whatever
 * expansion_ratio says (as the Hugging Face library has it). ALiBi's last slope is what alibi_bias_max says, as MPT's own code has it: the
 * library reads that and takes 8 always.
 */
#include "engine/arch/config.h"

static sk_status mpt_config(struct sk_dims *d, const struct sk_weights *w, struct sk_err *err)
{
	bool alibi = true, no_bias = true;
	sk_status st;

	d->context_max = 2048;          /* of MptConfig */
	d->tied_head = true;
	st = sk_config_hf(w, d, err);
	d->ffn_width = 4 * d->width;
	if (st >= 0)
		st = sk_config_bool(w, "attn_config.alibi", &alibi, err);
	if (st >= 0)
		st = sk_config_bool(w, "no_bias", &no_bias, err);
	if (st >= 0 && (!alibi || !no_bias))
		st = sk_fail(err, SK_ENOTSUP, "%s: key %s is false, which is not supported", sk_weights_path(w),
			     alibi ? "no_bias" : "attn_config.alibi");
	if (st >= 0)
		st = sk_config_refuse(w, "attn_config.qk_ln", "a norm of q and k", err);
	if (st >= 0)
		st = sk_config_float(w, "attn_config.alibi_bias_max", 1024.0, &d->alibi_max, err);
	if (st >= 0)
		st = sk_config_float(w, "attn_config.clip_qkv", 1e6, &d->qkv_limit, err);
	return st < 0 ? st : sk_config_float(w, "attn_config.softmax_scale", 1e6, &d->score_scale, err);
}

static sk_status mpt_gguf(struct sk_dims *d, const struct sk_weights *w, struct sk_err *err)
{
	sk_status st = sk_config_gguf(w, d, err);

	if (st >= 0)
		st = sk_config_float(w, ".attention.max_alibi_bias", 1024.0, &d->alibi_max, err);
	return st < 0 ? st : sk_config_float(w, ".attention.clamp_kqv", 1e6, &d->qkv_limit, err);
}

static const struct sk_weight_rule mpt_weights[] = {
	/* slot           name in the checkpoint                shape  split by ranks */
	{ SK_W_EMBED,     "wte.weight",                         "V,D", SK_SPLIT_ROWS },
	{ SK_W_ATTN_NORM, "blocks.%d.norm_1.weight",            "D",   SK_SPLIT_NONE },
	{ SK_W_QKV,       "blocks.%d.attn.Wqkv.weight",         "C,D", SK_SPLIT_HEADS },
	{ SK_W_O,         "blocks.%d.attn.out_proj.weight",     "D,Q", SK_SPLIT_K },
	{ SK_W_FFN_NORM,  "blocks.%d.norm_2.weight",            "D",   SK_SPLIT_NONE },
	{ SK_W_UP,        "blocks.%d.ffn.up_proj.weight",       "F,D", SK_SPLIT_ROWS },
	{ SK_W_DOWN,      "blocks.%d.ffn.down_proj.weight",     "D,F", SK_SPLIT_K },
	{ SK_W_OUT_NORM,  "norm_f.weight",                      "D",   SK_SPLIT_NONE },
	{ SK_W_HEAD,      "lm_head.weight",                     "V,D", SK_SPLIT_ROWS, SK_RULE_OPTIONAL },
	{ SK_W_END }
};

const struct sk_arch sk_arch_mpt = {
	.name        = "mpt",
	.aliases     = { "MptForCausalLM", "MPTForCausalLM", "MptModel" },
	.prefix      = "transformer.",
	.weights     = mpt_weights,
	.gguf        = sk_gguf_weights,
	.norm        = SK_NORM_LAYER,
	.position    = SK_POS_ALIBI,
	.act         = SK_ACT_GELU,
	.residual    = SK_RESIDUAL_PRE,
	.kv          = SK_KV_SELF,
	.config      = mpt_config,
	.config_gguf = mpt_gguf,
};
