/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From options and a checkpoint's headers to every size of the engine: the memory plan, printed before anything is loaded.
 *
 * The pool of KV blocks is the only thing that bends: it takes what kv_bytes says, or a quarter of the memory that is
 * available, at most 32 full contexts; the longest request then fits what there is.
 */
#include <inttypes.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/arch/config.h"
#include "engine/base/log.h"
#include "engine/inside.h"

#define QUEUE 1024
#define TOP_N 5
#define CONTEXTS 32             /* the pool holds so many full contexts at most */
#define LIMIT_MAX (1 << 24)     /* of every count that an option gives */

/* ---- options ---- */

static int cores(void)
{
	cpu_set_t set;
	int n;

	CPU_ZERO(&set);
	n = sched_getaffinity(0, sizeof(set), &set) == 0 ? CPU_COUNT(&set) : 1;
	return n > 0 ? n : 1;
}

static sk_status setup_types(struct sk_setup *s, const struct sk_engine_opts *o, struct sk_err *err)
{
	const char *kv = o->kv_dtype;

	if (!sk_is_auto(o->dtype) && strcmp(o->dtype, "float32") != 0)
		return sk_fail(err, SK_ENOTSUP, "dtype %.32s: the %s backend calculates in auto or float32", o->dtype,
			       s->model.backend->name);
	s->model.quantise = sk_is_auto(o->dtype);
	if (sk_is_auto(kv))
		kv = s->model.quantise ? "bfloat16" : "float32";
	if (strcmp(kv, "bfloat16") != 0 && strcmp(kv, "float32") != 0)
		return sk_fail(err, SK_ENOTSUP, "KV type %.32s: it is auto, float32 or bfloat16", kv);
	s->model.kv_dtype = strcmp(kv, "float32") == 0 ? SK_F32 : SK_BF16;
	snprintf(s->info.kv_dtype, sizeof(s->info.kv_dtype), "%s", kv);
	return SK_OK;
}

static sk_status setup_counts(struct sk_setup *s, const struct sk_engine_opts *o, struct sk_err *err)
{
	uint32_t prefill = o->batch_prefill_tokens ? o->batch_prefill_tokens : SK_BATCH_PREFILL;
	uint32_t sequences = o->sequences_max ? o->sequences_max : SK_SEQUENCES;
	uint32_t queue = o->queue_max ? o->queue_max : QUEUE;

	if (prefill > LIMIT_MAX || sequences > LIMIT_MAX || queue > LIMIT_MAX || o->top_n_max > 1000 || o->threads < 0 ||
	    o->threads > 4096 || o->look_ahead < -1 || o->look_ahead > 1 || !(o->memory_fraction >= 0 && o->memory_fraction <= 1))
		return sk_fail(err, SK_EINVAL, "an engine option is out of range");
	if (sequences > prefill)
		sequences = prefill;
	s->model.tokens_max = (int32_t)prefill;
	s->model.sequences_max = s->model.logits_max = (int32_t)sequences;
	s->model.dev.threads = o->threads ? o->threads : cores();
	s->model.dev.isa = sk_is_auto(o->cpu_isa) ? NULL : o->cpu_isa;
	s->model.dev.no_step_down = o->no_step_down;
	s->info.batch_prefill_tokens = prefill;
	s->info.sequences_max = sequences;
	s->info.top_n_max = o->top_n_max ? o->top_n_max : TOP_N;
	s->info.threads = s->model.dev.threads;
	s->sched = (struct sk_sched_limits){
		.tokens_max = (int32_t)prefill, .sequences_max = (int32_t)sequences, .block_tokens = SK_KV_BLOCK,
		.waiting_max = (int32_t)(queue + sequences + SK_GEN_N_MAX), .look_ahead = o->look_ahead > 0,
	};
	return SK_OK;
}

/*
 * What "auto" comes to with these weights. The one word for clients is the type between the layers, or that of weights
 * which are plain numbers: TGI, too, names a quantised model by the type it calculates in.
 */
static void info_types(struct sk_setup *s, enum sk_dtype weights)
{
	const char *activations = NULL, *word = "float32";

	if (s->model.quantise && sk_quant_get(weights)->activation == SK_I8)
		activations = "int8";
	if (s->model.quantise && sk_quant_get(weights)->activation == SK_BF16)
		activations = "bf16";
	if (s->model.quantise && weights == SK_BF16)
		word = "bfloat16";
	if (s->model.quantise && weights == SK_F16)
		word = "float16";
	snprintf(s->info.dtype, sizeof(s->info.dtype), "%s%sfloat32%s", activations ? activations : "",
		 activations ? " activations, " : "", activations ? " residual" : "");
	snprintf(s->info.model_dtype, sizeof(s->info.model_dtype), "%s", word);
}

/* ---- the pool, and how long a request may be ---- */

/* A device's own memory is for nothing else: what weights and scratch leave of it. The host's is others' too. */
static uint64_t pool_budget(const struct sk_setup *s, const struct sk_model_plan *plan)
{
	uint64_t room, used = plan->weights_bytes + plan->scratch_bytes;

	if (!s->model.backend->memory)
		return sk_memory_available("") / 4;
	room = sk_room_bytes(s);
	return room > used ? room - used : 0;
}

/* Tokens of one request that so many blocks surely hold. Behind an encoder input and answer each begin with a block of their own. */
static uint64_t pool_tokens(const struct sk_setup *s, uint64_t blocks)
{
	if (s->start_id < 0)
		return blocks * SK_KV_BLOCK;
	return blocks < 2 ? 0 : (blocks - 1) * SK_KV_BLOCK + 1;
}

/* The other way round. */
static uint64_t pool_blocks(const struct sk_setup *s, uint64_t tokens)
{
	uint64_t blocks = (tokens + SK_KV_BLOCK - 1) / SK_KV_BLOCK;

	return s->start_id < 0 ? blocks : (tokens + SK_KV_BLOCK - 2) / SK_KV_BLOCK + 1;
}

/* An encoder's scratch is for the longest input, and for several short ones as far as a prompt's step goes. */
static void setup_lengths(struct sk_setup *s, const struct sk_engine_opts *o, uint64_t total)
{
	struct sk_info *i = &s->info;

	i->total_tokens_max = (uint32_t)total;
	i->input_tokens_max = o->input_tokens_max ? o->input_tokens_max : (uint32_t)total - 1;
	if (s->start_id >= 0 && !o->input_tokens_max && i->input_tokens_max > SK_ENCODE_MAX)
		i->input_tokens_max = SK_ENCODE_MAX;
	if (s->start_id >= 0)
		i->encode_tokens_max = i->input_tokens_max > i->batch_prefill_tokens ? i->input_tokens_max : i->batch_prefill_tokens;
	s->model.context_max = s->sched.context_max = (int32_t)total;
	s->model.encode_max = s->sched.encode_max = (int32_t)i->encode_tokens_max;
}

static sk_status setup_pool(struct sk_setup *s, const struct sk_engine_opts *o, const struct sk_dims *d, struct sk_err *err)
{
	struct sk_model_plan plan;
	uint64_t total = o->total_tokens_max ? o->total_tokens_max : (uint64_t)d->context_max;
	uint64_t budget, block_bytes, blocks, pool, full, least;
	sk_status st;

	if (total > (uint64_t)d->context_max)
		return sk_fail(err, SK_EINVAL, "max-total-tokens %" PRIu64 " is over the model's context of %d tokens", total,
			       (int)d->context_max);
	if (total < 2)
		return sk_fail(err, SK_EINVAL, "max-total-tokens %" PRIu64 ": a prompt and an answer need 2 at least", total);
	setup_lengths(s, o, total);
	st = sk_model_plan(s->weights, &s->model, &plan, err);
	if (st < 0)
		return st;
	block_bytes = plan.kv_bytes_per_token * SK_KV_BLOCK;
	if (SK_BUG_IF(block_bytes == 0))
		return sk_fail(err, SK_EBUG, "the backend keeps its KV cache nowhere");
	full = pool_blocks(s, total);
	least = pool_blocks(s, o->total_tokens_max ? total : 2) * block_bytes;
	budget = o->kv_tokens ? pool_blocks(s, o->kv_tokens) * block_bytes : o->kv_bytes;
	if (s->model.backend->memory)
		st = sk_room_check(s, o, &plan, budget ? budget : least, least, err);
	if (st < 0)
		return st;
	if (budget == 0) {
		budget = pool_budget(s, &plan);
		if (budget > CONTEXTS * full * block_bytes)
			budget = CONTEXTS * full * block_bytes;
	}
	blocks = budget / block_bytes;
	if (blocks > INT32_MAX / SK_KV_BLOCK)
		blocks = INT32_MAX / SK_KV_BLOCK;
	pool = pool_tokens(s, blocks);
	if (pool < 2 || (o->total_tokens_max && pool < total))
		return sk_fail(err, SK_ENOMEM, "the KV pool of %" PRIu64 " MiB holds %" PRIu64 " tokens, %" PRIu64 " are asked for "
			       "(%" PRIu64 " bytes each): give more kv-memory or fewer max-total-tokens", budget >> 20, pool,
			       total, plan.kv_bytes_per_token);
	if (total > pool)
		total = pool;
	if (o->input_tokens_max && o->input_tokens_max >= total)
		return sk_fail(err, SK_EINVAL, "max-input-tokens %u must be below max-total-tokens %" PRIu64,
			       o->input_tokens_max, total);
	setup_lengths(s, o, total);
	s->model.kv_blocks = s->sched.blocks = (int32_t)blocks;
	s->info.block_tokens = SK_KV_BLOCK;
	s->info.blocks = (uint32_t)blocks;

	st = sk_model_plan(s->weights, &s->model, &plan, err);
	if (st < 0)
		return st;
	s->info.weights_bytes = plan.weights_bytes;
	s->info.kv_bytes = plan.kv_bytes;
	s->info.kv_bytes_per_token = plan.kv_bytes_per_token;
	s->info.cross_bytes_per_token = s->start_id >= 0 ? plan.kv_bytes_per_token : 0;
	s->info.scratch_bytes = plan.scratch_bytes;
	s->info.params = plan.params;
	snprintf(s->info.quant, sizeof(s->info.quant), "%s", plan.quant);
	info_types(s, plan.weights);
	return SK_OK;
}

/* ---- what is printed and asked for ---- */

/* The engine's own room for a step belongs to the plan: taken for a moment, untouched. */
static sk_status info_room(struct sk_setup *s, struct sk_err *err)
{
	struct sk_step_room room;
	sk_status st = sk_step_room_init(&room, s, err);

	if (st < 0)
		return st;
	s->info.scratch_bytes += room.bytes;
	sk_step_room_fini(&room);
	return SK_OK;
}

/* The first of them; -1: none. */
static int32_t token_id(const struct sk_weights *w, const char *name)
{
	int32_t id = -1;

	sk_token_ids(w, name, &id, 1);
	return id;
}

static sk_status info_model(struct sk_setup *s, const char *id, const struct sk_arch *arch, const struct sk_dims *d, struct sk_err *err)
{
	struct sk_info *i = &s->info;
	const char *path = sk_weights_path(s->weights), *base = strrchr(path, '/'), *name = NULL, *chat = NULL;
	size_t len = 0, chat_len;
	sk_status st = sk_config_str(s->weights, "general.name", &name, &len, err);

	if (st >= 0)
		st = sk_config_str(s->weights, "tokenizer.chat_template", &chat, &chat_len, err);
	if (st >= 0)
		st = sk_token_ids_check(s->weights, "bos_token_id", err);
	if (st >= 0)
		st = sk_token_ids_check(s->weights, "eos_token_id", err);
	if (st < 0)
		return st;

	snprintf(i->model_id, sizeof(i->model_id), "%s", id ? id : base && base[1] ? base + 1 : path);
	if (name)
		snprintf(i->model_name, sizeof(i->model_name), "%.*s", (int)(len < 127 ? len : 127), name);
	snprintf(i->arch, sizeof(i->arch), "%s", arch->name);
	snprintf(i->format, sizeof(i->format), "%s", sk_weights_format(s->weights));
	i->layers = (uint32_t)d->layers;
	i->encoder_layers = (uint32_t)d->encoder_layers;
	i->start_id = s->start_id;
	i->width = (uint32_t)d->width;
	i->heads = (uint32_t)d->heads;
	i->kv_heads = (uint32_t)d->kv_heads;
	i->head_width = (uint32_t)d->head_width;
	i->ffn_width = (uint32_t)d->ffn_width;
	i->vocab = (uint32_t)d->vocab;
	i->context_max = (uint32_t)d->context_max;
	i->file_bytes = sk_weights_file_bytes(s->weights);
	/* Until the tokenizer is loaded and knows better. */
	i->bos_id = token_id(s->weights, "bos_token_id");
	i->eos_id = token_id(s->weights, "eos_token_id");
	i->has_chat_template = chat != NULL;
	return SK_OK;
}

/* Whether a backend has room for every weight's format; a module may know fewer of them. */
static bool holds(const struct sk_backend *b, const struct sk_weights *w)
{
	for (size_t i = 0; i < sk_weights_len(w); i++) {
		const struct sk_tensor *t = sk_weights_at(w, i);

		if (t->dtype != SK_DTYPES && t->dims == 2 && !b->weight_bytes(t->dtype, t->dim[0], t->dim[1]))
			return false;
	}
	return true;
}

static void info_backends(struct sk_setup *s)
{
	struct sk_info *i = &s->info;
	const char *chosen = s->model.backend->name;

	for (const struct sk_backend *const *b = sk_backends(); *b && i->backends_len < 8; b++) {
		struct sk_info_backend *ib = &i->backends[i->backends_len++];
		char why[128] = "";

		snprintf(ib->name, sizeof(ib->name), "%s", (*b)->name);
		ib->score = (*b)->score(why, sizeof(why));
		ib->chosen = *b == s->model.backend;
		if (ib->score <= 0)
			snprintf(ib->why, sizeof(ib->why), "not usable here: %s", why);
		else if (s->backend_asked)
			snprintf(ib->why, sizeof(ib->why), "%s was asked for", ib->chosen ? "it" : chosen);
		else if (ib->chosen)
			snprintf(ib->why, sizeof(ib->why), "the fastest that this machine runs");
		else if (!holds(*b, s->weights))
			snprintf(ib->why, sizeof(ib->why), "cannot hold this model's weights");
		else
			snprintf(ib->why, sizeof(ib->why), "slower than %s", chosen);
	}
	snprintf(i->backend, sizeof(i->backend), "%s", chosen);
}

void sk_setup_describe(struct sk_setup *s, const struct sk_dev *dev)
{
	struct sk_info *i = &s->info;

	s->model.backend->describe(dev, i->isa, sizeof(i->isa), i->device, sizeof(i->device));
	for (int k = 0; k < i->backends_len; k++) {
		struct sk_info_backend *ib = &i->backends[k];
		size_t len = strlen(ib->why);

		if (ib->chosen && i->isa[0])
			snprintf(ib->why + len, sizeof(ib->why) - len, " (%s)", i->isa);
	}
}

/* The one that is asked for; else the fastest that this machine runs and that holds the model's weights. */
static sk_status setup_backend(struct sk_setup *s, const struct sk_engine_opts *o, struct sk_err *err)
{
	const struct sk_backend *best = NULL;
	int best_score = 0;
	sk_status st = sk_device_find(sk_is_auto(o->backend) ? NULL : o->backend, &s->model.backend, &s->model.ordinal, err);

	if (st < 0 || !sk_is_auto(o->backend) || holds(s->model.backend, s->weights))
		return st;
	for (const struct sk_backend *const *b = sk_backends(); *b; b++) {
		char why[128];
		int score = (*b)->score(why, sizeof(why));

		if (score > best_score && holds(*b, s->weights)) {
			best_score = score;
			best = *b;
		}
	}
	if (!best)
		return SK_OK;                   /* the plan names the tensor */
	sk_log(SK_LOG_WARN, "backend %s cannot hold this model's weights: %s takes its place", s->model.backend->name, best->name);
	s->model.backend = best;
	s->model.ordinal = 0;
	return SK_OK;
}

sk_status sk_setup_init(struct sk_setup *s, const struct sk_engine_opts *o, struct sk_err *err)
{
	const struct sk_arch *arch;
	struct sk_dims dims;
	sk_status st;

	*s = (struct sk_setup){ .info = { .bos_id = -1, .eos_id = -1, .start_id = -1 }, .backend_asked = !sk_is_auto(o->backend),
				 .memory_fraction = o->memory_fraction > 0 ? o->memory_fraction : 1 };
	if (!o->model || !*o->model)
		return sk_fail(err, SK_EINVAL, "no model was given: name a GGUF file, or a directory that holds one or a Hugging Face model");
	st = sk_weights_open(o->model, &s->weights, err);
	if (st >= 0)
		st = sk_model_check(s->weights, &arch, &dims, err);
	if (st >= 0) {
		s->keep_special = dims.keep_special;
		s->sequences = dims.sequences;
		s->start_id = dims.encoder_layers ? dims.start_id : -1;
		st = setup_backend(s, o, err);
	}
	if (st >= 0)
		st = setup_types(s, o, err);
	if (st >= 0)
		st = setup_counts(s, o, err);
	if (st >= 0)
		st = setup_pool(s, o, &dims, err);
	if (st >= 0)
		st = info_model(s, o->model_id, arch, &dims, err);
	if (st >= 0) {
		info_backends(s);
		st = info_room(s, err);
	}
	if (st < 0)
		sk_setup_fini(s);
	return st;
}

void sk_setup_fini(struct sk_setup *s)
{
	sk_weights_close(&s->weights);
}

void sk_setup_log(const struct sk_setup *s)
{
	const struct sk_info *i = &s->info;
	double mib = 1.0 / (1 << 20);
	char found[512], number[16] = "";

	sk_devices_describe(found, sizeof(found));
	if (s->model.backend->look)
		snprintf(number, sizeof(number), ":%d", s->model.ordinal);
	sk_log(SK_LOG_INFO, "device %s%s: %s%s%s; there is %s", i->backend, number, i->device, *i->isa ? ", " : "", i->isa, found);
	sk_log(SK_LOG_INFO, "model %s: %s, %s, %.1f million weights, %u layers, width %u, vocabulary %u, context %u", i->model_id,
	       i->arch, i->quant, (double)i->params * 1e-6, i->layers, i->width, i->vocab, i->context_max);
	sk_log(SK_LOG_INFO, "memory plan: weights %.1f MiB, KV pool %.1f MiB (%u blocks of %u tokens, %" PRIu64
	       " bytes a token, %s), scratch %.1f MiB; backend %s, %d threads", (double)i->weights_bytes * mib,
	       (double)i->kv_bytes * mib, i->blocks, i->block_tokens, i->kv_bytes_per_token, i->kv_dtype,
	       (double)i->scratch_bytes * mib, i->backend, i->threads);
	if (s->start_id >= 0)
		sk_log(SK_LOG_INFO, "encoder: %u layers, %u tokens of inputs a step, of which each keeps %" PRIu64 " bytes in the KV pool",
		       i->encoder_layers, i->encode_tokens_max, i->cross_bytes_per_token);
	sk_log(SK_LOG_INFO, "limits: %u tokens a request (%u of prompt), %u tokens and %u sequences a step", i->total_tokens_max,
	       i->input_tokens_max, i->batch_prefill_tokens, i->sequences_max);
}

sk_status sk_engine_plan(const struct sk_engine_opts *o, struct sk_info *ret_info, struct sk_err *err)
{
	struct sk_setup s;
	struct sk_dev *dev = NULL;
	sk_status st = sk_setup_init(&s, o, err);

	if (st < 0)
		return st;
	/* With all threads, as the engine would: what cannot be opened is found here, and the name is the same. */
	st = s.model.backend->open(s.model.ordinal, &s.model.dev, &dev, err);
	if (st >= 0) {
		sk_setup_describe(&s, dev);
		s.model.backend->close(&dev);
		*ret_info = s.info;
	}
	sk_setup_fini(&s);
	return st;
}
