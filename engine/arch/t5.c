/* SPDX-License-Identifier: Apache-2.0 */
/*
 * T5 and FLAN-T5 (Raffel et al. 2020, Chung et al. 2022), mT5 and MT0 (Xue et al. 2021, Muennighoff et al. 2022): an encoder and a
 * decoder, RMSNorm, a learned bias by distance that the first layer holds for all, scores that are not scaled.
 *
 * The head is the file's own where it has one (FLAN-T5, mT5), else the embedding. What goes to it is scaled by width^-0.5 where a
 * T5's configuration ties it or says so itself (scale_decoder_outputs), never in mT5.
 */
#include "engine/arch/config.h"

#include <math.h>

static const struct sk_config_key t5_keys[] = {
	{ "d_model",                       offsetof(struct sk_dims, width),          SK_WIDTH_MAX },
	{ "d_kv",                          offsetof(struct sk_dims, head_width),     SK_HEAD_WIDTH_MAX },
	{ "d_ff",                          offsetof(struct sk_dims, ffn_width),      SK_FFN_MAX },
	{ "num_heads",                     offsetof(struct sk_dims, heads),          SK_HEADS_MAX },
	{ "num_layers",                    offsetof(struct sk_dims, encoder_layers), SK_LAYERS_MAX },
	{ "num_decoder_layers num_layers", offsetof(struct sk_dims, layers),         SK_LAYERS_MAX },
	{ "vocab_size",                    offsetof(struct sk_dims, vocab),          SK_VOCAB_MAX },
	{ "n_positions",                   offsetof(struct sk_dims, context_max),    SK_CONTEXT_MAX, SK_KEY_OPTIONAL },
	{ "relative_attention_num_buckets", offsetof(struct sk_dims, rel_buckets),   1 << 16,        SK_KEY_OPTIONAL },
	{ "relative_attention_max_distance", offsetof(struct sk_dims, rel_distance), 1 << 16,        SK_KEY_OPTIONAL },
};

/* "relu", "gated-gelu": the second means the tanh form, whatever "gelu" is elsewhere. */
static sk_status read_act(struct sk_dims *d, const struct sk_weights *w, struct sk_err *err)
{
	static const char *const names[] = { "relu", "gelu", "gated-relu", "gated-gelu", "gated-silu", NULL };
	static const struct { enum sk_act act; bool glu; } kinds[] = {
		{ SK_ACT_RELU, false }, { SK_ACT_GELU, false }, { SK_ACT_RELU, true }, { SK_ACT_GELU_TANH, true }, { SK_ACT_SILU, true },
	};
	int i = 0;
	sk_status st = sk_config_word(w, "feed_forward_proj", "a layer of the kind", names, &i, err);

	d->act = kinds[i].act;
	d->glu = kinds[i].glu;
	return st;
}

/* What depends on others' values, in both forms. */
static sk_status finish(struct sk_dims *d, const struct sk_weights *w, bool scaled, struct sk_err *err)
{
	if (d->rel_buckets < 4 || d->rel_buckets % 2 || d->rel_distance <= d->rel_buckets / 2)
		return sk_fail(err, SK_EFORMAT, "%s: %d buckets of relative positions up to a distance of %d: an even number from 4 on, and "
			       "a distance above its half are needed", sk_weights_path(w), d->rel_buckets, d->rel_distance);
	if (scaled)
		d->out_scale = (float)pow((double)d->width, -0.5);
	d->context_max *= 4;            /* distances have no end; published models are used far beyond n_positions */
	return SK_OK;
}

static sk_status t5_config(struct sk_dims *d, const struct sk_weights *w, struct sk_err *err)
{
	bool tied = true;
	sk_status st;

	d->head_tied = true;
	d->context_max = 512;           /* of T5Config, as the other defaults here */
	d->rel_buckets = 32;
	d->rel_distance = 128;
	d->norm_eps = 1e-6f;
	d->score_scale = 1.0f;
	st = SK_CONFIG_INTS(w, t5_keys, d, err);
	if (st >= 0)
		st = sk_config_derive(w, d, err);
	if (st >= 0)
		st = sk_config_float(w, "layer_norm_epsilon", 1.0, &d->norm_eps, err);
	if (st >= 0)
		st = read_act(d, w, err);
	if (st >= 0)
		st = sk_config_bool(w, "scale_decoder_outputs tie_word_embeddings", &tied, err);
	if (st >= 0)
		st = sk_config_bool(w, "tie_word_embeddings", &d->head_tied, err);
	if (st >= 0)
		st = sk_config_int(w, "decoder_start_token_id pad_token_id", 0, d->vocab - 1, &d->start_id, err);
	return st < 0 ? st : finish(d, w, tied && !sk_config_is(w, "model_type", "mt5"), err);
}

/*
 * A GGUF has T5 and mT5 under one name, and says neither which activation it is (gated: the tanh GELU, else ReLU), nor the largest
 * distance (128), nor whether the head is tied: then it has none, and the model is a T5 whose answer is scaled.
 */
static sk_status t5_gguf(struct sk_dims *d, const struct sk_weights *w, struct sk_err *err)
{
	sk_status st;

	d->rel_buckets = 32;
	d->rel_distance = 128;
	d->norm_eps = 1e-6f;
	d->score_scale = 1.0f;
	st = sk_config_gguf(w, d, err);
	d->encoder_layers = d->layers;
	if (st >= 0)
		st = sk_config_int(w, ".decoder_block_count", 1, SK_LAYERS_MAX, &d->layers, err);
	if (st >= 0)
		st = sk_config_int(w, ".attention.relative_buckets_count", 1, 1 << 16, &d->rel_buckets, err);
	if (st >= 0)
		st = sk_config_int(w, ".decoder_start_token_id", 0, d->vocab - 1, &d->start_id, err);
	d->glu = sk_weights_find(w, "dec.blk.0.ffn_gate.weight");
	d->act = d->glu ? SK_ACT_GELU_TANH : SK_ACT_RELU;
	return st < 0 ? st : finish(d, w, !sk_weights_find(w, "output.weight"), err);
}

static const struct sk_weight_rule t5_gguf_weights[] = {
	/* slot               name                               shape  split by ranks */
	{ SK_W_EMBED,         "token_embd.weight",               "V,D", SK_SPLIT_ROWS },
	{ SK_W_ENC_REL_BIAS,  "enc.blk.0.attn_rel_b.weight",     "B,H", SK_SPLIT_HEADS },
	{ SK_W_ENC_ATTN_NORM, "enc.blk.%d.attn_norm.weight",     "D",   SK_SPLIT_NONE,  SK_RULE_ENCODER },
	{ SK_W_ENC_Q,         "enc.blk.%d.attn_q.weight",        "Q,D", SK_SPLIT_HEADS, SK_RULE_ENCODER },
	{ SK_W_ENC_K,         "enc.blk.%d.attn_k.weight",        "G,D", SK_SPLIT_HEADS, SK_RULE_ENCODER },
	{ SK_W_ENC_V,         "enc.blk.%d.attn_v.weight",        "G,D", SK_SPLIT_HEADS, SK_RULE_ENCODER },
	{ SK_W_ENC_O,         "enc.blk.%d.attn_o.weight",        "D,Q", SK_SPLIT_K,     SK_RULE_ENCODER },
	{ SK_W_ENC_FFN_NORM,  "enc.blk.%d.ffn_norm.weight",      "D",   SK_SPLIT_NONE,  SK_RULE_ENCODER },
	{ SK_W_ENC_GATE,      "enc.blk.%d.ffn_gate.weight",      "F,D", SK_SPLIT_ROWS,  SK_RULE_ENCODER | SK_RULE_OPTIONAL },
	{ SK_W_ENC_UP,        "enc.blk.%d.ffn_up.weight",        "F,D", SK_SPLIT_ROWS,  SK_RULE_ENCODER },
	{ SK_W_ENC_DOWN,      "enc.blk.%d.ffn_down.weight",      "D,F", SK_SPLIT_K,     SK_RULE_ENCODER },
	{ SK_W_ENC_OUT_NORM,  "enc.output_norm.weight",          "D",   SK_SPLIT_NONE },
	{ SK_W_REL_BIAS,      "dec.blk.0.attn_rel_b.weight",     "B,H", SK_SPLIT_HEADS },
	{ SK_W_ATTN_NORM,     "dec.blk.%d.attn_norm.weight",     "D",   SK_SPLIT_NONE },
	{ SK_W_Q,             "dec.blk.%d.attn_q.weight",        "Q,D", SK_SPLIT_HEADS },
	{ SK_W_K,             "dec.blk.%d.attn_k.weight",        "G,D", SK_SPLIT_HEADS },
	{ SK_W_V,             "dec.blk.%d.attn_v.weight",        "G,D", SK_SPLIT_HEADS },
	{ SK_W_O,             "dec.blk.%d.attn_o.weight",        "D,Q", SK_SPLIT_K },
	{ SK_W_CROSS_NORM,    "dec.blk.%d.cross_attn_norm.weight", "D", SK_SPLIT_NONE },
	{ SK_W_CROSS_Q,       "dec.blk.%d.cross_attn_q.weight",  "Q,D", SK_SPLIT_HEADS },
	{ SK_W_CROSS_K,       "dec.blk.%d.cross_attn_k.weight",  "G,D", SK_SPLIT_HEADS },
	{ SK_W_CROSS_V,       "dec.blk.%d.cross_attn_v.weight",  "G,D", SK_SPLIT_HEADS },
	{ SK_W_CROSS_O,       "dec.blk.%d.cross_attn_o.weight",  "D,Q", SK_SPLIT_K },
	{ SK_W_IGNORE,        "dec.blk.0.cross_attn_rel_b.weight", NULL, SK_SPLIT_NONE },
	{ SK_W_FFN_NORM,      "dec.blk.%d.ffn_norm.weight",      "D",   SK_SPLIT_NONE },
	{ SK_W_GATE,          "dec.blk.%d.ffn_gate.weight",      "F,D", SK_SPLIT_ROWS,  SK_RULE_OPTIONAL },
	{ SK_W_UP,            "dec.blk.%d.ffn_up.weight",        "F,D", SK_SPLIT_ROWS },
	{ SK_W_DOWN,          "dec.blk.%d.ffn_down.weight",      "D,F", SK_SPLIT_K },
	{ SK_W_OUT_NORM,      "dec.output_norm.weight",          "D",   SK_SPLIT_NONE },
	{ SK_W_HEAD,          "output.weight",                   "V,D", SK_SPLIT_ROWS,  SK_RULE_OPTIONAL },
	{ SK_W_END }
};

static const struct sk_weight_rule t5_weights[] = {
	/* slot               name in the checkpoint                                        shape  split by ranks */
	{ SK_W_EMBED,         "shared.weight",                                              "V,D", SK_SPLIT_ROWS },
	{ SK_W_EMBED,         "decoder.embed_tokens.weight",                                "V,D", SK_SPLIT_ROWS },
	{ SK_W_IGNORE,        "encoder.embed_tokens.weight",                                NULL,  SK_SPLIT_NONE },
	{ SK_W_ENC_REL_BIAS,  "encoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight", "B,H", SK_SPLIT_HEADS },
	{ SK_W_ENC_ATTN_NORM, "encoder.block.%d.layer.0.layer_norm.weight",                 "D",   SK_SPLIT_NONE,  SK_RULE_ENCODER },
	{ SK_W_ENC_Q,         "encoder.block.%d.layer.0.SelfAttention.q.weight",            "Q,D", SK_SPLIT_HEADS, SK_RULE_ENCODER },
	{ SK_W_ENC_K,         "encoder.block.%d.layer.0.SelfAttention.k.weight",            "G,D", SK_SPLIT_HEADS, SK_RULE_ENCODER },
	{ SK_W_ENC_V,         "encoder.block.%d.layer.0.SelfAttention.v.weight",            "G,D", SK_SPLIT_HEADS, SK_RULE_ENCODER },
	{ SK_W_ENC_O,         "encoder.block.%d.layer.0.SelfAttention.o.weight",            "D,Q", SK_SPLIT_K,     SK_RULE_ENCODER },
	{ SK_W_ENC_FFN_NORM,  "encoder.block.%d.layer.1.layer_norm.weight",                 "D",   SK_SPLIT_NONE,  SK_RULE_ENCODER },
	{ SK_W_ENC_UP,        "encoder.block.%d.layer.1.DenseReluDense.wi.weight",          "F,D", SK_SPLIT_ROWS,  SK_RULE_ENCODER },
	{ SK_W_ENC_GATE,      "encoder.block.%d.layer.1.DenseReluDense.wi_0.weight",        "F,D", SK_SPLIT_ROWS,  SK_RULE_ENCODER | SK_RULE_OPTIONAL },
	{ SK_W_ENC_UP,        "encoder.block.%d.layer.1.DenseReluDense.wi_1.weight",        "F,D", SK_SPLIT_ROWS,  SK_RULE_ENCODER },
	{ SK_W_ENC_DOWN,      "encoder.block.%d.layer.1.DenseReluDense.wo.weight",          "D,F", SK_SPLIT_K,     SK_RULE_ENCODER },
	{ SK_W_ENC_OUT_NORM,  "encoder.final_layer_norm.weight",                            "D",   SK_SPLIT_NONE },
	{ SK_W_REL_BIAS,      "decoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight", "B,H", SK_SPLIT_HEADS },
	{ SK_W_ATTN_NORM,     "decoder.block.%d.layer.0.layer_norm.weight",                 "D",   SK_SPLIT_NONE },
	{ SK_W_Q,             "decoder.block.%d.layer.0.SelfAttention.q.weight",            "Q,D", SK_SPLIT_HEADS },
	{ SK_W_K,             "decoder.block.%d.layer.0.SelfAttention.k.weight",            "G,D", SK_SPLIT_HEADS },
	{ SK_W_V,             "decoder.block.%d.layer.0.SelfAttention.v.weight",            "G,D", SK_SPLIT_HEADS },
	{ SK_W_O,             "decoder.block.%d.layer.0.SelfAttention.o.weight",            "D,Q", SK_SPLIT_K },
	{ SK_W_CROSS_NORM,    "decoder.block.%d.layer.1.layer_norm.weight",                 "D",   SK_SPLIT_NONE },
	{ SK_W_CROSS_Q,       "decoder.block.%d.layer.1.EncDecAttention.q.weight",          "Q,D", SK_SPLIT_HEADS },
	{ SK_W_CROSS_K,       "decoder.block.%d.layer.1.EncDecAttention.k.weight",          "G,D", SK_SPLIT_HEADS },
	{ SK_W_CROSS_V,       "decoder.block.%d.layer.1.EncDecAttention.v.weight",          "G,D", SK_SPLIT_HEADS },
	{ SK_W_CROSS_O,       "decoder.block.%d.layer.1.EncDecAttention.o.weight",          "D,Q", SK_SPLIT_K },
	{ SK_W_IGNORE,        "decoder.block.0.layer.1.EncDecAttention.relative_attention_bias.weight", NULL, SK_SPLIT_NONE },
	{ SK_W_FFN_NORM,      "decoder.block.%d.layer.2.layer_norm.weight",                 "D",   SK_SPLIT_NONE },
	{ SK_W_UP,            "decoder.block.%d.layer.2.DenseReluDense.wi.weight",          "F,D", SK_SPLIT_ROWS },
	{ SK_W_GATE,          "decoder.block.%d.layer.2.DenseReluDense.wi_0.weight",        "F,D", SK_SPLIT_ROWS,  SK_RULE_OPTIONAL },
	{ SK_W_UP,            "decoder.block.%d.layer.2.DenseReluDense.wi_1.weight",        "F,D", SK_SPLIT_ROWS },
	{ SK_W_DOWN,          "decoder.block.%d.layer.2.DenseReluDense.wo.weight",          "D,F", SK_SPLIT_K },
	{ SK_W_OUT_NORM,      "decoder.final_layer_norm.weight",                            "D",   SK_SPLIT_NONE },
	{ SK_W_HEAD,          "lm_head.weight",                                             "V,D", SK_SPLIT_ROWS,  SK_RULE_OPTIONAL },
	{ SK_W_END }
};

const struct sk_arch sk_arch_t5 = {
	.name        = "t5",
	.aliases     = { "T5ForConditionalGeneration", "MT5ForConditionalGeneration", "mt5", "T5WithLMHeadModel" },
	.weights     = t5_weights,
	.norm        = SK_NORM_RMS,
	.position    = SK_POS_RELATIVE,
	.act         = SK_ACT_RELU,
	.residual    = SK_RESIDUAL_PRE,
	.kv          = SK_KV_SELF,
	.config      = t5_config,
	.gguf        = t5_gguf_weights,
	.config_gguf = t5_gguf,
};
