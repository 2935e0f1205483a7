/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Granite 3 (IBM 2024): Llama with four numbers: of the embedding, of the scores, of what each half of a layer adds, and one that logits
 * are divided by. The rows of q and k are permuted in a GGUF as a Llama's are.
 */
#include "engine/arch/config.h"

/* What logits are divided by. */
static sk_status finish(struct sk_dims *d, float divided, sk_status st)
{
	d->out_scale = 1.0f / divided;
	return st;
}

static sk_status granite_config(struct sk_dims *d, const struct sk_weights *w, struct sk_err *err)
{
	float divided = 1.0f;
	sk_status st;

	d->context_max = 2048;          /* of GraniteConfig, its eps and its scale of the scores */
	d->norm_eps = 1e-6f;
	d->score_scale = 1.0f;
	st = sk_config_hf(w, d, err);
	if (st >= 0)
		st = sk_config_float(w, "embedding_multiplier", 1e6, &d->embed_scale, err);
	if (st >= 0)
		st = sk_config_float(w, "attention_multiplier", 1e6, &d->score_scale, err);
	if (st >= 0)
		st = sk_config_float(w, "residual_multiplier", 1e6, &d->half_scale, err);
	if (st >= 0)
		st = sk_config_float(w, "logits_scaling", 1e6, &divided, err);
	if (st >= 0)
		st = sk_config_bool(w, "attention_bias", &d->attention_bias, err);
	if (st >= 0)
		st = sk_config_bool(w, "mlp_bias", &d->mlp_bias, err);
	return finish(d, divided, st);
}

static sk_status granite_gguf(struct sk_dims *d, const struct sk_weights *w, struct sk_err *err)
{
	float divided = 1.0f;
	sk_status st;

	d->rope.interleaved = true;
	st = sk_config_gguf(w, d, err);
	if (st >= 0)
		st = sk_config_float(w, ".embedding_scale", 1e6, &d->embed_scale, err);
	if (st >= 0)
		st = sk_config_float(w, ".attention.scale", 1e6, &d->score_scale, err);
	if (st >= 0)
		st = sk_config_float(w, ".residual_scale", 1e6, &d->half_scale, err);
	if (st >= 0)
		st = sk_config_float(w, ".logit_scale", 1e6, &divided, err);
	return finish(d, divided, st);
}

static const struct sk_weight_rule granite_weights[] = {
	SK_HF_ENDS, SK_HF_NORMS, SK_HF_ATTENTION, SK_HF_QKV_BIAS(SK_RULE_OPTIONAL), SK_HF_O_BIAS(SK_RULE_OPTIONAL), SK_HF_GLU,
	SK_HF_GLU_BIAS(SK_RULE_OPTIONAL),
	{ SK_W_END }
};

const struct sk_arch sk_arch_granite = {
	.name        = "granite",
	.aliases     = { "GraniteForCausalLM", "GraniteModel" },
	.prefix      = "model.",
	.weights     = granite_weights,
	.gguf        = sk_gguf_weights,
	.norm        = SK_NORM_RMS,
	.position    = SK_POS_ROPE,
	.act         = SK_ACT_SILU,
	.glu         = true,
	.residual    = SK_RESIDUAL_PRE,
	.kv          = SK_KV_SELF,
	.config      = granite_config,
	.config_gguf = granite_gguf,
};
