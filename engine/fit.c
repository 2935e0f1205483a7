/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a model would take on some ranks, and what then fits beside it, from its config.json alone: saker info --plan.
 *
 * Each rank holds its share of the weights (engine/model/share.c), the scratch of a step and a pool of KV blocks. The rank with
 * the least room decides, since a block is on all of them.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "engine/arch/config.h"
#include "engine/base/buf.h"
#include "engine/inside.h"

struct fit {
	const struct sk_arch *arch;
	struct sk_dims dims;
	struct sk_model_opts model;
	enum sk_dtype weights;
	struct sk_fit *out;
};

/* ---- types ---------------------------------------------------------------------------------------------------- */

/* "bfloat16" or "bf16": the library's words for types, or our own. */
static bool find_type(const char *s, size_t len, enum sk_dtype *ret_dtype)
{
	static const struct { const char *name; enum sk_dtype dtype; } names[] = {
		{ "float32", SK_F32 }, { "float16", SK_F16 }, { "bfloat16", SK_BF16 }, { "float", SK_F32 }, { "half", SK_F16 },
	};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (strlen(names[i].name) == len && !memcmp(names[i].name, s, len)) {
			*ret_dtype = names[i].dtype;
			return true;
		}
	for (int i = 0; i < SK_DTYPES; i++) {
		const struct sk_quant *q = sk_quant_get((enum sk_dtype)i);

		if (q && strlen(q->name) == len && !strncasecmp(q->name, s, len)) {
			*ret_dtype = (enum sk_dtype)i;
			return true;
		}
	}
	return false;
}

static sk_status unknown_type(const char *s, size_t len, struct sk_err *err)
{
	char known[128] = "";
	size_t at = 0;

	for (int i = 0; i < SK_DTYPES && at < sizeof(known); i++) {
		const struct sk_quant *q = sk_quant_get((enum sk_dtype)i);

		if (q)
			at += (size_t)snprintf(known + at, sizeof(known) - at, ", %s", q->name);
	}
	return sk_fail(err, SK_ENOTSUP, "weights of type \"%.*s\" are not known (float32, float16, bfloat16%s are)",
		       len < 32 ? (int)len : 32, s, known);
}

/* A configuration without a word of its own means float32, as in the library. */
static sk_status read_types(struct fit *f, const struct sk_weights *w, const struct sk_fit_opts *o, struct sk_err *err)
{
	const char *s = o->dtype, *kv = o->kv_dtype;
	size_t len = s ? strlen(s) : 0;

	f->weights = SK_F32;
	if (sk_is_auto(s)) {
		sk_status st;

		s = NULL;
		st = sk_config_str(w, "torch_dtype dtype", &s, &len, err);
		if (st < 0)
			return st;
	}
	if (s && !find_type(s, len, &f->weights))
		return unknown_type(s, len, err);
	if (sk_is_auto(kv))
		kv = f->weights == SK_F32 ? "float32" : "bfloat16";
	if (strcmp(kv, "float32") != 0 && strcmp(kv, "bfloat16") != 0)
		return sk_fail(err, SK_ENOTSUP, "KV type %.32s: it is auto, float32 or bfloat16", kv);
	f->model.kv_dtype = strcmp(kv, "float32") ? SK_BF16 : SK_F32;
	snprintf(f->out->kv_dtype, sizeof(f->out->kv_dtype), "%s", kv);
	snprintf(f->out->dtype, sizeof(f->out->dtype), "%s", sk_quant_get(f->weights)->name);
	return SK_OK;
}

/* ---- what fits ------------------------------------------------------------------------------------------------ */

/* Requests of so many tokens: all ranks' shares. */
static sk_status shares(struct fit *f, uint32_t context, struct sk_model_share list[SK_RANKS_MAX], struct sk_err *err)
{
	sk_status st = SK_OK;

	f->model.context_max = (int32_t)context;
	f->model.encode_max = f->dims.encoder_layers ? (int32_t)context : 0;    /* over SK_ENCODE_MAX: refused by name */
	for (int r = 0; r < f->out->ranks && st >= 0; r++)
		st = sk_model_share(f->arch, &f->dims, &f->model, f->weights, f->out->ranks, r, &list[r], err);
	return st;
}

/* Blocks that every rank has room for; `short_of` is the one with the least. */
static uint64_t pool_blocks(const struct fit *f, const struct sk_model_share *list, int *ret_rank)
{
	uint64_t least = INT32_MAX / SK_KV_BLOCK;

	*ret_rank = 0;
	for (int r = 0; r < f->out->ranks; r++) {
		uint64_t used = list[r].weights_bytes + list[r].scratch_bytes, room = f->out->memory_bytes;
		uint64_t blocks = room > used ? (room - used) / list[r].kv_block_bytes : 0;

		if (blocks < least) {
			least = blocks;
			*ret_rank = r;
		}
	}
	return least;
}

/* Of one request: behind an encoder the input has as many as the answer. */
static uint64_t request_blocks(const struct fit *f, uint32_t context)
{
	return ((uint64_t)context + SK_KV_BLOCK - 1) / SK_KV_BLOCK * (f->dims.encoder_layers ? 2 : 1);
}

static sk_status request_fits(struct fit *f, uint32_t context, bool *ret_fits, struct sk_err *err)
{
	struct sk_model_share list[SK_RANKS_MAX];
	sk_status st = shares(f, context, list, err);
	int rank;

	if (st >= 0)
		*ret_fits = pool_blocks(f, list, &rank) >= request_blocks(f, context);
	return st;
}

/* The longest request that fits; 0: none. More tokens never take less, so halving finds it. */
static sk_status longest(struct fit *f, uint32_t most, uint32_t *ret_context, struct sk_err *err)
{
	uint32_t low = 0, high = most;

	while (low < high) {
		uint32_t middle = low + (high - low + 1) / 2;
		bool fits = false;
		sk_status st = request_fits(f, middle, &fits, err);

		if (st < 0)
			return st;
		if (fits)
			low = middle;
		else
			high = middle - 1;
	}
	*ret_context = low;
	return SK_OK;
}

static void say_why(struct sk_fit *out, int rank, uint32_t asked)
{
	const struct sk_fit_rank *r = &out->rank[rank];
	char weights[SK_BYTES_SHOWN], scratch[SK_BYTES_SHOWN], memory[SK_BYTES_SHOWN];

	sk_bytes_show(weights, r->weights_bytes);
	sk_bytes_show(scratch, r->scratch_bytes);
	sk_bytes_show(memory, out->memory_bytes);
	if (r->weights_bytes + r->scratch_bytes > out->memory_bytes)
		snprintf(out->why, sizeof(out->why), "rank %d needs %s for weights and %s for scratch, %s are there", rank, weights,
			 scratch, memory);
	else
		snprintf(out->why, sizeof(out->why), "rank %d has no room for the KV cache of a request of %u tokens beside %s of "
			 "weights and %s of scratch: %s are there", rank, asked, weights, scratch, memory);
}

/* What a request may have at most, where nobody asks for a length: behind an encoder the input is as long as the answer. */
static uint32_t context_of(const struct fit *f)
{
	return f->dims.encoder_layers && f->out->context_max > SK_ENCODE_MAX ? SK_ENCODE_MAX : f->out->context_max;
}

static sk_status fit_memory(struct fit *f, const struct sk_fit_opts *o, struct sk_err *err)
{
	struct sk_fit *out = f->out;
	uint32_t most = o->total_tokens_max ? o->total_tokens_max : context_of(f), least = o->total_tokens_max ? most : 1;
	struct sk_model_share list[SK_RANKS_MAX];
	uint64_t blocks;
	sk_status st = SK_OK;
	int rank;

	if (most > out->context_max)
		return sk_fail(err, SK_EINVAL, "max-total-tokens %u is over the model's context of %u tokens", most, out->context_max);
	if (out->memory_bytes)
		st = longest(f, most, &out->context, err);
	if (st >= 0 && out->context < least)
		out->context = 0;
	if (st >= 0)
		st = shares(f, out->memory_bytes ? (out->context ? out->context : least) : most, list, err);
	if (st < 0)
		return st;
	blocks = pool_blocks(f, list, &rank);
	for (int r = 0; r < out->ranks; r++) {
		const struct sk_model_share *s = &list[r];

		out->rank[r] = (struct sk_fit_rank){
			.slices = (uint32_t)s->slices, .mlp_slices = (uint32_t)s->mlp_slices, .heads = (uint32_t)s->heads,
			.kv_heads = (uint32_t)s->kv_heads, .ffn_width = (uint32_t)s->ffn_width, .embed_bytes = s->embed_bytes,
			.attention_bytes = s->attention_bytes, .mlp_bytes = s->mlp_bytes, .head_bytes = s->head_bytes,
			.vector_bytes = s->vector_bytes, .weights_bytes = s->weights_bytes, .scratch_bytes = s->scratch_bytes,
			.kv_bytes_per_token = s->kv_block_bytes / SK_KV_BLOCK,
			.kv_bytes = out->context ? blocks * s->kv_block_bytes : 0,
		};
		out->weights_bytes += s->weights_bytes;
	}
	out->fits = out->context > 0;
	if (out->memory_bytes && !out->fits)
		say_why(out, rank, least);
	if (!out->fits)
		return SK_OK;
	blocks /= request_blocks(f, out->context);
	out->batch = blocks < out->sequences_max ? (uint32_t)blocks : out->sequences_max;
	out->pool_tokens = (uint32_t)(out->rank[rank].kv_bytes / list[rank].kv_block_bytes * SK_KV_BLOCK);
	return SK_OK;
}

/* ---- all of it ------------------------------------------------------------------------------------------------ */

static void describe(struct fit *f)
{
	const struct sk_dims *d = &f->dims;
	struct sk_fit *out = f->out;

	snprintf(out->arch, sizeof(out->arch), "%s", f->arch->name);
	snprintf(out->backend, sizeof(out->backend), "%s", f->model.backend->name);
	out->params = sk_model_params(f->arch, d);
	out->layers = (uint32_t)d->layers;
	out->encoder_layers = (uint32_t)d->encoder_layers;
	out->width = (uint32_t)d->width;
	out->heads = (uint32_t)d->heads;
	out->kv_heads = (uint32_t)d->kv_heads;
	out->head_width = (uint32_t)d->head_width;
	out->ffn_width = (uint32_t)d->ffn_width;
	out->vocab = (uint32_t)d->vocab;
	out->context_max = (uint32_t)d->context_max;
	out->ranks_max = sk_model_ranks_max(d, f->weights);
}

sk_status sk_engine_fit(const struct sk_fit_opts *o, struct sk_fit *ret_fit, struct sk_err *err)
{
	struct sk_fit out = { .ranks = o->ranks ? o->ranks : 1, .memory_bytes = o->memory_bytes };
	struct fit f = { .out = &out };
	struct sk_weights *w = NULL;
	int ordinal;
	sk_status st;

	if (!o->config || !*o->config)
		return sk_fail(err, SK_EINVAL, "no configuration was given: name a config.json, or the directory it is in");
	st = sk_weights_open_config(o->config, &w, err);
	if (st >= 0)
		st = sk_model_config(w, &f.arch, &f.dims, err);
	if (st >= 0)
		st = sk_device_find(sk_is_auto(o->backend) ? NULL : o->backend, &f.model.backend, &ordinal, err);
	if (st >= 0)
		st = read_types(&f, w, o, err);
	if (st >= 0) {
		out.batch_prefill_tokens = o->batch_prefill_tokens ? o->batch_prefill_tokens : SK_BATCH_PREFILL;
		out.sequences_max = o->sequences_max ? o->sequences_max : SK_SEQUENCES;
		if (out.sequences_max > out.batch_prefill_tokens)
			out.sequences_max = out.batch_prefill_tokens;
		f.model.dev.threads = o->threads > 0 ? o->threads : 1;
		f.model.tokens_max = (int32_t)out.batch_prefill_tokens;
		f.model.sequences_max = f.model.logits_max = (int32_t)out.sequences_max;
		describe(&f);
		st = fit_memory(&f, o, err);
	}
	sk_weights_close(&w);
	if (st >= 0)
		*ret_fit = out;
	return st;
}
