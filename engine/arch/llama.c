/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Llama 1, 2 and 3 (Touvron et al. 2023): RMSNorm before each half of a layer, grouped-query attention with rotary positions,
 * SiLU GLU. As GGUF also SmolLM, TinyLlama, Mistral, Mixtral and others that are
 * converted to the same form.
 *
 * The rows of q and k are permuted in a GGUF, so that the pairs that turn together lie side by side: rope.interleaved. Loading puts them
 * back, so that both forms of file give the same bits.
 */
#include "engine/arch/config.h"

static const struct sk_config_key llama_keys[] = {
	{ "num_hidden_layers",       offsetof(struct sk_dims, layers),      SK_LAYERS_MAX },
	{ "hidden_size",             offsetof(struct sk_dims, width),       SK_WIDTH_MAX },
	{ "intermediate_size",       offsetof(struct sk_dims, ffn_width),   SK_FFN_MAX },
	{ "num_attention_heads",     offsetof(struct sk_dims, heads),       SK_HEADS_MAX },
	{ "num_key_value_heads",     offsetof(struct sk_dims, kv_heads),    SK_HEADS_MAX,      SK_KEY_OPTIONAL },
	{ "head_dim",                offsetof(struct sk_dims, head_width),  SK_HEAD_WIDTH_MAX, SK_KEY_OPTIONAL },
	{ "vocab_size",              offsetof(struct sk_dims, vocab),       SK_VOCAB_MAX },
	{ "max_position_embeddings max_sequence_length", offsetof(struct sk_dims, context_max), SK_CONTEXT_MAX,    SK_KEY_OPTIONAL },
};

static sk_status llama_config(struct sk_dims *d, const struct sk_weights *w, struct sk_err *err)
{
	sk_status st;

	d->context_max = 2048;          /* of LlamaConfig, and its eps */
	d->norm_eps = 1e-6f;
	st = SK_CONFIG_INTS(w, llama_keys, d, err);
	if (st >= 0)
		st = sk_config_derive(w, d, err);
	if (st >= 0)
		st = sk_config_float(w, "rms_norm_eps", 1.0, &d->norm_eps, err);
	if (st >= 0)
		st = sk_config_act(w, "hidden_act", &d->act, err);
	if (st >= 0)
		st = sk_config_bool(w, "tie_word_embeddings", &d->tied_head, err);
	if (st >= 0)
		st = sk_config_bool(w, "attention_bias", &d->attention_bias, err);
	if (st >= 0)
		st = sk_config_bool(w, "mlp_bias", &d->mlp_bias, err);
	return st < 0 ? st : sk_config_rope(w, d, err);
}

static sk_status llama_gguf(struct sk_dims *d, const struct sk_weights *w, struct sk_err *err)
{
	sk_status st;

	d->rope.interleaved = true;
	d->route.renormalise = true;    /* Mixtral's, of which a GGUF is called a Llama too */
	st = sk_config_gguf_experts(w, d, err);
	return st < 0 ? st : sk_config_gguf(w, d, err);
}

static const struct sk_weight_rule llama_weights[] = {
	/* slot            name in the checkpoint                  shape   split by ranks */
	{ SK_W_EMBED,      "embed_tokens.weight",                  "V,D",  SK_SPLIT_ROWS },
	{ SK_W_ATTN_NORM,  "layers.%d.input_layernorm.weight",     "D",    SK_SPLIT_NONE },
	{ SK_W_Q,          "layers.%d.self_attn.q_proj.weight",    "Q,D",  SK_SPLIT_HEADS },
	{ SK_W_Q_B,        "layers.%d.self_attn.q_proj.bias",      "Q",    SK_SPLIT_HEADS,    SK_RULE_OPTIONAL },
	{ SK_W_K,          "layers.%d.self_attn.k_proj.weight",    "G,D",  SK_SPLIT_KV_HEADS },
	{ SK_W_K_B,        "layers.%d.self_attn.k_proj.bias",      "G",    SK_SPLIT_KV_HEADS, SK_RULE_OPTIONAL },
	{ SK_W_V,          "layers.%d.self_attn.v_proj.weight",    "G,D",  SK_SPLIT_KV_HEADS },
	{ SK_W_V_B,        "layers.%d.self_attn.v_proj.bias",      "G",    SK_SPLIT_KV_HEADS, SK_RULE_OPTIONAL },
	{ SK_W_O,          "layers.%d.self_attn.o_proj.weight",    "D,Q",  SK_SPLIT_K },
	{ SK_W_O_B,        "layers.%d.self_attn.o_proj.bias",      "D",    SK_SPLIT_NONE,     SK_RULE_OPTIONAL },
	{ SK_W_FFN_NORM,   "layers.%d.post_attention_layernorm.weight", "D", SK_SPLIT_NONE },
	{ SK_W_GATE,       "layers.%d.mlp.gate_proj.weight",       "F,D",  SK_SPLIT_ROWS },
	{ SK_W_GATE_B,     "layers.%d.mlp.gate_proj.bias",         "F",    SK_SPLIT_ROWS,     SK_RULE_OPTIONAL },
	{ SK_W_UP,         "layers.%d.mlp.up_proj.weight",         "F,D",  SK_SPLIT_ROWS },
	{ SK_W_UP_B,       "layers.%d.mlp.up_proj.bias",           "F",    SK_SPLIT_ROWS,     SK_RULE_OPTIONAL },
	{ SK_W_DOWN,       "layers.%d.mlp.down_proj.weight",       "D,F",  SK_SPLIT_K },
	{ SK_W_DOWN_B,     "layers.%d.mlp.down_proj.bias",         "D",    SK_SPLIT_NONE,     SK_RULE_OPTIONAL },
	{ SK_W_OUT_NORM,   "norm.weight",                          "D",    SK_SPLIT_NONE },
	{ SK_W_HEAD,       "lm_head.weight",                       "V,D",  SK_SPLIT_ROWS,     SK_RULE_OPTIONAL },
	{ SK_W_IGNORE,     "layers.%d.self_attn.rotary_emb.inv_freq", NULL, SK_SPLIT_NONE },
	{ SK_W_END }
};

const struct sk_arch sk_arch_llama = {
	.name        = "llama",
	.aliases     = { "LlamaForCausalLM", "LLaMAForCausalLM", "LlamaModel" },
	.prefix      = "model.",
	.weights     = llama_weights,
	.gguf        = sk_gguf_weights,
	.norm        = SK_NORM_RMS,
	.position    = SK_POS_ROPE,
	.act         = SK_ACT_SILU,
	.glu         = true,
	.residual    = SK_RESIDUAL_PRE,
	.kv          = SK_KV_SELF,
	.config      = llama_config,
	.config_gguf = llama_gguf,
};
