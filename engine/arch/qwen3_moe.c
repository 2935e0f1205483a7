/* SPDX-License-Identifier: Apache-2.0 */
/* Qwen3-30B-A3B, Qwen3-235B-A22B and others (2025): Qwen3 whose MLPs are mixtures. */
#include "engine/arch/config.h"

/* Every layer a mixture: what published ones are. */
static sk_status all_sparse(const struct sk_weights *w, struct sk_err *err)
{
	const struct sk_meta_value *v = sk_meta_find(w, "mlp_only_layers");
	int32_t step = 1;
	sk_status st = sk_config_int(w, "decoder_sparse_step", 1, SK_LAYERS_MAX, &step, err);

	if (st >= 0 && (step != 1 || (v && v->type == SK_META_ARRAY && v->len)))
		st = sk_fail(err, SK_ENOTSUP, "%s: key %s: layers that are no mixture among others are not supported", sk_weights_path(w),
			     step != 1 ? "decoder_sparse_step" : "mlp_only_layers");
	return st;
}

static sk_status qwen3_moe_config(struct sk_dims *d, const struct sk_weights *w, struct sk_err *err)
{
	sk_status st;

	d->context_max = 32768;         /* of Qwen3MoeConfig, as what follows */
	d->norm_eps = 1e-6f;
	d->qk_norm = true;
	d->route = (struct sk_route){ .kind = SK_ROUTE_SOFTMAX, .experts = 128, .used = 8 };
	st = sk_config_hf(w, d, err);
	if (st >= 0)
		st = sk_config_hf_experts(w, d, err);
	if (st >= 0)
		st = sk_config_bool(w, "norm_topk_prob", &d->route.renormalise, err);
	if (st >= 0)
		st = sk_config_bool(w, "attention_bias", &d->attention_bias, err);
	if (st >= 0)
		st = all_sparse(w, err);
	return st < 0 ? st : sk_config_refuse(w, "use_sliding_window", "a window", err);
}

/* A GGUF does not say whether shares are of those chosen: of Qwen3's they are, as llama.cpp has it. */
static sk_status qwen3_moe_gguf(struct sk_dims *d, const struct sk_weights *w, struct sk_err *err)
{
	sk_status st;

	d->qk_norm = true;
	d->route.renormalise = true;
	st = sk_config_gguf_experts(w, d, err);
	return st < 0 ? st : sk_config_gguf(w, d, err);
}

static const struct sk_weight_rule qwen3_moe_weights[] = {
	SK_HF_ENDS, SK_HF_NORMS, SK_HF_ATTENTION, SK_HF_QKV_BIAS(SK_RULE_OPTIONAL), SK_HF_O_BIAS(SK_RULE_OPTIONAL), SK_HF_HEAD_NORMS,
	SK_HF_EXPERTS,
	{ SK_W_END }
};

static const struct sk_weight_rule qwen3_moe_gguf_weights[] = {
	SK_GGUF_ATTENTION, SK_GGUF_NORMS, SK_GGUF_HEAD_NORMS, SK_GGUF_EXPERTS,
	{ SK_W_END }
};

const struct sk_arch sk_arch_qwen3_moe = {
	.name        = "qwen3_moe",
	.aliases     = { "Qwen3MoeForCausalLM", "Qwen3MoeModel", "qwen3moe" },
	.prefix      = "model.",
	.weights     = qwen3_moe_weights,
	.gguf        = qwen3_moe_gguf_weights,
	.norm        = SK_NORM_RMS,
	.position    = SK_POS_ROPE,
	.act         = SK_ACT_SILU,
	.glu         = true,
	.residual    = SK_RESIDUAL_PRE,
	.kv          = SK_KV_SELF,
	.config      = qwen3_moe_config,
	.config_gguf = qwen3_moe_gguf,
};
