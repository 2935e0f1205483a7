/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the server says about itself: health, readiness, the model and its limits.
 *
 * Health answers on the loop from the engine's lock-free snapshot: a full pool of workers or a long step cannot delay it.
 */
#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "config.h"
#include "fcgi/api_info.h"
#include "fcgi/json.h"
#include "fcgi/metrics.h"
#include "fcgi/request.h"
#include "fcgi/route.h"

static const char *const state_names[] = {
	[SK_STATE_LOADING] = "loading",
	[SK_STATE_READY] = "ready",
	[SK_STATE_DRAINING] = "draining",
	[SK_STATE_FAILED] = "failed",
};

static enum sk_engine_state state_of(struct sk_request *r, struct sk_stats *ret_stats)
{
	sk_engine_stats(r->front->engine, ret_stats);
	if (ret_stats->state == SK_STATE_READY && atomic_load(&r->front->draining))
		return SK_STATE_DRAINING;
	return ret_stats->state;
}

/* ,"status":"loading","phase":"weights","done":5,"total":10: members of an object that has begun. */
static void add_progress(struct sk_request *r, enum sk_engine_state state, const struct sk_stats *stats)
{
	sk_buf_addf(&r->out, "\"status\":\"%s\"", state_names[state]);
	if (state != SK_STATE_LOADING)
		return;
	sk_buf_adds(&r->out, ",\"phase\":");
	sk_json_add_str(&r->out, stats->load_phase, strnlen(stats->load_phase, sizeof stats->load_phase));
	sk_buf_addf(&r->out, ",\"done\":%" PRIu64 ",\"total\":%" PRIu64, stats->load_done_bytes, stats->load_total_bytes);
}

/* TGI's: an empty 200, or its error object, here with the progress. */
void sk_api_health(struct sk_request *r, struct json_object *body)
{
	struct sk_stats stats;
	enum sk_engine_state state = state_of(r, &stats);

	if (state == SK_STATE_READY) {
		sk_reply(r, 200, NULL, "", 0);
		return;
	}
	sk_buf_adds(&r->out, "{\"error\":\"unhealthy\",\"error_type\":\"healthcheck\"");
	if (!sk_request_dialect(r)->bare_health) {
		sk_buf_addc(&r->out, ',');
		add_progress(r, state, &stats);
	}
	sk_buf_addc(&r->out, '}');
	sk_reply_out(r, 503, "application/json");
}

void sk_api_livez(struct sk_request *r, struct json_object *body)
{
	static const char alive[] = "{\"status\":\"alive\"}";
	struct sk_stats stats;

	if (state_of(r, &stats) == SK_STATE_FAILED)
		sk_reply_error(r, 503, "healthcheck", "the engine has failed");
	else
		sk_reply(r, 200, "application/json", alive, sizeof alive - 1);
}

void sk_api_readyz(struct sk_request *r, struct json_object *body)
{
	struct sk_stats stats;
	enum sk_engine_state state = state_of(r, &stats);

	sk_buf_addc(&r->out, '{');
	add_progress(r, state, &stats);
	sk_buf_addc(&r->out, '}');
	sk_reply_out(r, state == SK_STATE_READY ? 200 : 503, "application/json");
}

/* ---- /metrics ----------------------------------------------------------------------------------------------- */

void sk_api_metrics(struct sk_request *r, struct json_object *body)
{
	struct sk_metrics *m = r->front->metrics;
	struct sk_info info;
	struct sk_stats stats;
	struct sk_meters meters;

	sk_engine_info(r->front->engine, &info);
	stats.state = state_of(r, &stats);
	sk_engine_meters(r->front->engine, &meters);
	sk_metrics_take_engine(m, &stats, &meters, info.block_tokens);
	sk_metrics_set(m, SK_M_PERMITS_USED, 0, sk_permits_used(&r->front->permits));
	sk_metrics_write(m, r->front->keys, r->query, &r->out);
	sk_reply_out(r, 200, "text/plain; version=0.0.4; charset=utf-8");
}

/* ---- /info -------------------------------------------------------------------------------------------------- */

#define OURS SK_KNOWS_SAKER
#define TGI_0_9 (SK_KNOWS_SAKER | SK_KNOWS_TGI_0_9)
#define TGI_3 (SK_KNOWS_SAKER | SK_KNOWS_TGI_3)
#define ALL (TGI_0_9 | TGI_3)

/* The object being written, and the bit of the dialect that it is written for; or, of the same members, the schema. */
struct info { struct sk_buf *b; unsigned dialect; bool schema; size_t members; };

/* False where the dialect has no such member, or its type was all that was wanted. */
static bool add_key(struct info *i, unsigned knows, const char *key, const char *type)
{
	if (!(knows & i->dialect))
		return false;
	sk_buf_addf(i->b, "%s\"%s\":", i->members++ ? "," : "", key);
	if (i->schema)
		sk_buf_addf(i->b, "{\"type\":%s}", type);
	return !i->schema;
}

static void add_text(struct info *i, unsigned knows, const char *key, const char *value)
{
	if (!add_key(i, knows, key, "[\"string\",\"null\"]"))
		return;
	if (value && *value)
		sk_json_add_str(i->b, value, strlen(value));
	else
		sk_buf_adds(i->b, "null");
}

static void add_number(struct info *i, unsigned knows, const char *key, uint64_t value)
{
	if (add_key(i, knows, key, "\"integer\""))
		sk_buf_addf(i->b, "%" PRIu64, value);
}

static void add_real(struct info *i, unsigned knows, const char *key, double value)
{
	if (add_key(i, knows, key, "\"number\""))
		sk_buf_addf(i->b, "%.15g", value);
}

/* Of a model from the hub's cache: the commit that its directory is named after. */
static const char *commit_of(const struct sk_options *o)
{
	const char *slash = o->model_name ? strrchr(o->model, '/') : NULL;

	return slash ? slash + 1 : NULL;
}

/* What TGI 0.9.3 or 3.3.7 tells; in our own dialect the union of both, then what is ours. */
static void add_members(struct sk_request *r, bool schema)
{
	const struct sk_options *o = r->front->options;
	struct info i = { &r->out, sk_request_dialect(r)->knows, schema, 0 };
	char torch_dtype[32];
	struct sk_info info;
	struct sk_stats stats;

	sk_engine_info(r->front->engine, &info);
	snprintf(torch_dtype, sizeof torch_dtype, "torch.%s", info.model_dtype);
	add_text(&i, ALL, "model_id", info.model_id);
	add_text(&i, ALL, "model_sha", commit_of(o));
	add_text(&i, TGI_0_9, "model_dtype", i.dialect & SK_KNOWS_TGI_0_9 ? torch_dtype : info.model_dtype);
	add_text(&i, TGI_0_9, "model_device_type", info.backend);
	add_text(&i, ALL, "model_pipeline_tag", o->pipeline_tag);
	add_number(&i, ALL, "max_concurrent_requests", (uint64_t)o->max_concurrent_requests);
	add_number(&i, ALL, "max_best_of", 1);
	add_number(&i, ALL, "max_stop_sequences", (uint64_t)o->max_stop_sequences);
	add_number(&i, TGI_0_9, "max_input_length", info.input_tokens_max);
	add_number(&i, TGI_3, "max_input_tokens", info.input_tokens_max);
	add_number(&i, ALL, "max_total_tokens", info.total_tokens_max);
	add_real(&i, TGI_0_9, "waiting_served_ratio", 0.3);
	add_number(&i, TGI_0_9, "max_batch_total_tokens", (uint64_t)info.blocks * info.block_tokens);
	add_number(&i, OURS, "max_batch_prefill_tokens", info.batch_prefill_tokens);
	add_number(&i, TGI_0_9, "max_waiting_tokens", 20);
	add_number(&i, ALL, "validation_workers", (uint64_t)o->workers);
	add_number(&i, TGI_3, "max_client_batch_size", 1);
	add_text(&i, TGI_3, "router", "saker");
	add_text(&i, ALL, "version", PACKAGE_VERSION);
	add_text(&i, ALL, "sha", NULL);
	add_text(&i, ALL, "docker_label", NULL);

	add_text(&i, OURS, "saker_state", state_names[state_of(r, &stats)]);
	add_text(&i, OURS, "model_name", info.model_name);
	add_text(&i, OURS, "model_architecture", info.arch);
	add_text(&i, OURS, "model_format", info.format);
	add_text(&i, OURS, "model_quantization", info.quant);
	add_number(&i, OURS, "model_parameters", info.params);
	add_number(&i, OURS, "model_context", info.context_max);
	add_text(&i, OURS, "backend_isa", info.isa);
	add_text(&i, OURS, "device", info.device);
	add_text(&i, OURS, "calculation", info.dtype);
	add_text(&i, OURS, "kv_dtype", info.kv_dtype);
	add_number(&i, OURS, "threads", (uint64_t)(info.threads > 0 ? info.threads : 0));
	add_number(&i, OURS, "max_batch_size", info.sequences_max);
	add_number(&i, OURS, "max_top_n_tokens", (uint64_t)o->max_top_n_tokens);
	add_number(&i, OURS, "payload_limit", o->payload_limit);
	add_text(&i, OURS, "watermark_scheme", *o->watermark_key_file ? "keyed" : "public");
	add_real(&i, OURS, "watermark_gamma", o->watermark_gamma);
	add_real(&i, OURS, "watermark_delta", o->watermark_delta);
	add_number(&i, OURS, "weights_bytes", info.weights_bytes);
	add_number(&i, OURS, "kv_cache_bytes", info.kv_bytes);
	add_number(&i, OURS, "scratch_bytes", info.scratch_bytes);
}

void sk_api_info(struct sk_request *r, struct json_object *body)
{
	sk_buf_addc(&r->out, '{');
	add_members(r, false);
	sk_buf_addc(&r->out, '}');
	sk_reply_out(r, 200, "application/json");
}

void sk_info_schema(struct sk_request *r)
{
	add_members(r, true);
}
