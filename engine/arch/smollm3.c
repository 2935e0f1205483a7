/* SPDX-License-Identifier: Apache-2.0 */
/*
 * SmolLM3 (Bakouch et al. 2025): Llama in which every fourth layer does not turn; in some those see a window. The rows of q and k are permuted
 * in a GGUF as a Llama's are.
 */
#include "engine/arch/config.h"

static void every_fourth(struct sk_dims *d, int32_t interval)
{
	for (int32_t l = interval - 1; l < d->layers; l += interval)
		sk_layers_add(&d->unturned, l);
}

/* no_rope_layers: for each layer whether it turns, its name notwithstanding. */
static sk_status read_turns(struct sk_dims *d, const struct sk_weights *w, struct sk_err *err)
{
	const struct sk_meta_value *v = sk_meta_find(w, "no_rope_layers");
	struct sk_meta_value item;
	const void *cursor = NULL;
	int32_t interval = 4;
	size_t at = 0;
	sk_status st = sk_config_int(w, "no_rope_layer_interval", 1, SK_LAYERS_MAX, &interval, err);

	if (st < 0)
		return st;
	if (!v) {
		every_fourth(d, interval);
		return SK_OK;
	}
	if (v->type != SK_META_ARRAY || (v->item != SK_META_INT && v->item != SK_META_BOOL) || v->len != (size_t)d->layers)
		return sk_config_wrong(w, "no_rope_layers", "a list of as many zeros and ones as there are layers", err);
	for (int32_t l = 0; sk_meta_next(v, &cursor, &at, &item); l++)
		if (!item.i)
			sk_layers_add(&d->unturned, l);
	return SK_OK;
}

static sk_status read_window(struct sk_dims *d, const struct sk_weights *w, struct sk_err *err)
{
	bool used = false, there = false;
	sk_status st = sk_config_bool(w, "use_sliding_window", &used, err);

	if (st < 0 || !used)
		return st;
	st = sk_config_int(w, "sliding_window", 1, SK_CONTEXT_MAX, &d->window, err);
	if (st >= 0)
		st = sk_config_layer_types(w, "layer_types", "sliding_attention", "full_attention", d, &there, err);
	if (!there)
		d->local = d->unturned;
	return st;
}

static sk_status smollm3_config(struct sk_dims *d, const struct sk_weights *w, struct sk_err *err)
{
	sk_status st;

	d->context_max = 32768;         /* of SmolLM3Config, its eps and its groups */
	d->norm_eps = 1e-6f;
	d->tied_head = true;
	st = sk_config_hf(w, d, err);
	if (st >= 0)
		st = sk_config_bool(w, "attention_bias", &d->attention_bias, err);
	if (st >= 0)
		st = sk_config_bool(w, "mlp_bias", &d->mlp_bias, err);
	if (st >= 0)
		st = read_turns(d, w, err);
	return st < 0 ? st : read_window(d, w, err);
}

static sk_status smollm3_gguf(struct sk_dims *d, const struct sk_weights *w, struct sk_err *err)
{
	sk_status st;

	d->rope.interleaved = true;
	st = sk_config_gguf(w, d, err);
	every_fourth(d, 4);
	return st;
}

static const struct sk_weight_rule smollm3_weights[] = {
	SK_HF_ENDS, SK_HF_NORMS, SK_HF_ATTENTION, SK_HF_QKV_BIAS(SK_RULE_OPTIONAL), SK_HF_O_BIAS(SK_RULE_OPTIONAL), SK_HF_GLU,
	SK_HF_GLU_BIAS(SK_RULE_OPTIONAL),
	{ SK_W_END }
};

const struct sk_arch sk_arch_smollm3 = {
	.name        = "smollm3",
	.aliases     = { "SmolLM3ForCausalLM", "SmolLM3Model" },
	.prefix      = "model.",
	.weights     = smollm3_weights,
	.gguf        = sk_gguf_weights,
	.norm        = SK_NORM_RMS,
	.position    = SK_POS_ROPE,
	.act         = SK_ACT_SILU,
	.glu         = true,
	.residual    = SK_RESIDUAL_PRE,
	.kv          = SK_KV_SELF,
	.config      = smollm3_config,
	.config_gguf = smollm3_gguf,
};
