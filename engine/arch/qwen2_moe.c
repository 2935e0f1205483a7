/* SPDX-License-Identifier: Apache-2.0 */
/* Qwen1.5-MoE and Qwen2-57B-A14B (Yang et al. 2024): Qwen2 whose MLPs are mixtures beside an MLP that all tokens share, by a gate of its own. */
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

static sk_status qwen2_moe_config(struct sk_dims *d, const struct sk_weights *w, struct sk_err *err)
{
	sk_status st;

	d->context_max = 32768;         /* of Qwen2MoeConfig, as what follows */
	d->norm_eps = 1e-6f;
	d->route = (struct sk_route){ .kind = SK_ROUTE_SOFTMAX, .experts = 60, .used = 4 };
	d->shared_width = 5632;
	st = sk_config_hf(w, d, err);
	if (st >= 0)
		st = sk_config_hf_experts(w, d, err);
	if (st >= 0)
		st = sk_config_bool(w, "norm_topk_prob", &d->route.renormalise, err);
	if (st >= 0)
		st = all_sparse(w, err);
	return st < 0 ? st : sk_config_refuse(w, "use_sliding_window", "a window", err);
}

static sk_status qwen2_moe_gguf(struct sk_dims *d, const struct sk_weights *w, struct sk_err *err)
{
	sk_status st = sk_config_gguf_experts(w, d, err);

	if (st >= 0)
		st = sk_config_gguf(w, d, err);
	d->shared_width = d->ffn_width;
	return st < 0 ? st : sk_config_int(w, ".expert_shared_feed_forward_length", 1, SK_FFN_MAX, &d->shared_width, err);
}

static const struct sk_weight_rule qwen2_moe_weights[] = {
	/* slot             name in the checkpoint                           shape  split by ranks */
	SK_HF_ENDS, SK_HF_NORMS, SK_HF_ATTENTION, SK_HF_QKV_BIAS(0), SK_HF_EXPERTS,
	{ SK_W_SHARED_GATE, "layers.%d.mlp.shared_expert.gate_proj.weight",  "S,D", SK_SPLIT_NONE },
	{ SK_W_SHARED_UP,   "layers.%d.mlp.shared_expert.up_proj.weight",    "S,D", SK_SPLIT_NONE },
	{ SK_W_SHARED_DOWN, "layers.%d.mlp.shared_expert.down_proj.weight",  "D,S", SK_SPLIT_NONE },
	{ SK_W_SHARED_SCALE, "layers.%d.mlp.shared_expert_gate.weight",      "1,D", SK_SPLIT_NONE },
	{ SK_W_END }
};

static const struct sk_weight_rule qwen2_moe_gguf_weights[] = {
	/* slot             name                               shape  split by ranks */
	SK_GGUF_ATTENTION, SK_GGUF_NORMS, SK_GGUF_EXPERTS,
	{ SK_W_SHARED_GATE, "blk.%d.ffn_gate_shexp.weight",    "S,D", SK_SPLIT_NONE },
	{ SK_W_SHARED_UP,   "blk.%d.ffn_up_shexp.weight",      "S,D", SK_SPLIT_NONE },
	{ SK_W_SHARED_DOWN, "blk.%d.ffn_down_shexp.weight",    "D,S", SK_SPLIT_NONE },
	{ SK_W_SHARED_SCALE, "blk.%d.ffn_gate_inp_shexp.weight", "1,D", SK_SPLIT_NONE },
	{ SK_W_END }
};

const struct sk_arch sk_arch_qwen2_moe = {
	.name        = "qwen2_moe",
	.aliases     = { "Qwen2MoeForCausalLM", "Qwen2MoeModel", "qwen2moe" },
	.prefix      = "model.",
	.weights     = qwen2_moe_weights,
	.gguf        = qwen2_moe_gguf_weights,
	.norm        = SK_NORM_RMS,
	.position    = SK_POS_ROPE,
	.act         = SK_ACT_SILU,
	.glu         = true,
	.residual    = SK_RESIDUAL_PRE,
	.kv          = SK_KV_SELF,
	.config      = qwen2_moe_config,
	.config_gguf = qwen2_moe_gguf,
};
