/* SPDX-License-Identifier: Apache-2.0 */
/* See settings.h. */
#include "fcgi/settings.h"

#include <glob.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "fcgi/card.h"
#include "fcgi/dialect.h"
#include "fcgi/hub.h"

/* Devices as text-generation-inference counts them: those that an environment variable names, else those there are. */
static int devices_count(void)
{
	static const char *const vars[] = { "CUDA_VISIBLE_DEVICES", "NVIDIA_VISIBLE_DEVICES" };
	glob_t found;
	int n;

	for (size_t i = 0; i < sizeof vars / sizeof *vars; i++) {
		const char *list = getenv(vars[i]);

		if (!list || strcasecmp(list, "all") == 0)
			continue;
		if (!*list || strcasecmp(list, "void") == 0 || strcasecmp(list, "none") == 0)
			return 0;
		for (n = 1; *list; list++)
			n += *list == ',';
		return n;
	}
	if (glob("/dev/nvidia[0-9]*", 0, NULL, &found))
		return 0;
	n = (int)found.gl_pathc;
	globfree(&found);
	return n;
}

static sk_status shards_check(const struct sk_options *o, struct sk_err *err)
{
	bool sharded = strcasecmp(o->sharded, "true") == 0;
	int devices;

	if (*o->sharded && !sharded && strcasecmp(o->sharded, "false") != 0)
		return sk_fail(err, SK_EINVAL, "sharded: \"%s\" is neither true nor false", o->sharded);
	if (o->num_shard == 0 && !sharded)
		return SK_OK;
	if (o->num_shard < 0)
		return sk_fail(err, SK_EINVAL, "`num_shard` cannot be < 1. Given: %" PRId64, o->num_shard);
	if (sharded && o->num_shard == 1)
		return sk_fail(err, SK_EINVAL, "`sharded` is true but `num_shard` <= 1");
	if (o->num_shard == 1)
		return SK_OK;
	devices = devices_count();
	if (devices <= 1 || o->num_shard > devices)
		return sk_fail(err, SK_EINVAL, "`sharded` is true but only found %d CUDA devices", devices);
	return sk_fail(err, SK_ENOTSUP, "num-shard: a model over %" PRId64 " devices is not supported yet, only 1",
		       o->num_shard ? o->num_shard : devices);
}

static sk_status lengths_check(const struct sk_options *o, struct sk_err *err)
{
	int64_t input = o->max_input_tokens, total = o->max_total_tokens, batch = o->max_batch_total_tokens;

	if (o->workers < 1)
		return sk_fail(err, SK_EINVAL, "`validation_workers` must be > 0");
	if (input && total && input >= total)
		return sk_fail(err, SK_EINVAL, "`max_input_length` must be < `max_total_tokens`. Given: %" PRId64 " and %" PRId64, input,
			       total);
	if (batch && o->max_batch_prefill_tokens > batch)
		return sk_fail(err, SK_EINVAL, "`max_batch_prefill_tokens` must be <= `max_batch_total_tokens`. Given: %" PRId64 " and %" PRId64,
			       o->max_batch_prefill_tokens, batch);
	if (batch && total > batch)
		return sk_fail(err, SK_EINVAL, "`max_total_tokens` must be <= `max_batch_total_tokens`. Given: %" PRId64 " and %" PRId64, total,
			       batch);
	if (batch && o->kv_memory)
		return sk_fail(err, SK_EINVAL, "kv-memory and max-batch-total-tokens both say how large the KV pool is: set one of them");
	return SK_OK;
}

/* A name of the hub that is no path here. A bare name that the cache has not is left to whoever opens the file. */
static sk_status model_find(struct sk_options *o, struct sk_arena *strings, struct sk_err *err)
{
	char path[1024];
	sk_status st;

	if (!*o->model || access(o->model, F_OK) == 0 || !sk_hub_is_name(o->model))
		return SK_OK;
	st = sk_hub_find(o->huggingface_hub_cache, o->model, o->revision, path, sizeof path, err);
	if (st == SK_ENOENT && !strchr(o->model, '/'))
		return SK_OK;
	if (st < 0)
		return st;
	o->model_name = o->model;
	o->model = sk_arena_strndup(strings, path, strlen(path));
	return o->model ? SK_OK : sk_fail(err, SK_ENOMEM, "no memory for a path");
}

/* What text-generation-inference asks the hub for is in the model's card too. */
static sk_status tag_find(struct sk_options *o, struct sk_arena *strings, struct sk_err *err)
{
	char tag[SK_CARD_TAG_MAX];

	if (!strcmp(o->pipeline_tag, "none")) {
		o->pipeline_tag = "";
		return SK_OK;
	}
	if (*o->pipeline_tag || !*o->model || !sk_card_read(o->model, tag))
		return SK_OK;
	o->pipeline_tag = sk_arena_strndup(strings, tag, strlen(tag));
	return o->pipeline_tag ? SK_OK : sk_fail(err, SK_ENOMEM, "no memory for a tag");
}

sk_status sk_settings_settle(struct sk_options *o, struct sk_arena *strings, struct sk_err *err)
{
	sk_status st;

	if (*o->quantize)
		return sk_fail(err, SK_ENOTSUP, "quantize: \"%s\" is not supported yet. Quantised models are GGUF files: Q8_0, Q4_0 or Q4_1",
			       o->quantize);
	st = shards_check(o, err);
	if (st == SK_OK)
		st = lengths_check(o, err);
	if (st == SK_OK)
		st = model_find(o, strings, err);
	if (st == SK_OK)
		st = tag_find(o, strings, err);
	if (st < 0)
		return st;
	if (!o->payload_limit)
		o->payload_limit = sk_dialect_find(o->compat)->payload_limit;
	if (o->graceful_termination_timeout)
		o->drain_timeout_ms = o->graceful_termination_timeout * 1000;
	return SK_OK;
}
