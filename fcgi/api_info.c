/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the server says about itself: health, readiness, the model and its limits.
 *
 * Health answers on the loop from the engine's lock-free snapshot: a full pool of workers or a long step cannot delay it.
 */
#include <inttypes.h>
#include <stdatomic.h>
#include <string.h>

#include "config.h"
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
	sk_buf_adds(&r->out, "{\"error\":\"unhealthy\",\"error_type\":\"healthcheck\",");
	add_progress(r, state, &stats);
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
	sk_metrics_write(m, r->front->keys, &r->out);
	sk_reply_out(r, 200, "text/plain; version=0.0.4; charset=utf-8");
}

/* ---- /info -------------------------------------------------------------------------------------------------- */

static void add_key(struct sk_buf *b, const char *key)
{
	sk_buf_addf(b, "%s\"%s\":", b->len > 1 ? "," : "", key);
}

static void add_text(struct sk_buf *b, const char *key, const char *value)
{
	add_key(b, key);
	if (value && *value)
		sk_json_add_str(b, value, strlen(value));
	else
		sk_buf_adds(b, "null");
}

static void add_number(struct sk_buf *b, const char *key, uint64_t value)
{
	add_key(b, key);
	sk_buf_addf(b, "%" PRIu64, value);
}

/* The union of what TGI 0.9.3 and 3.3.7 tell, then saker's own. */
void sk_api_info(struct sk_request *r, struct json_object *body)
{
	const struct sk_options *o = r->front->options;
	struct sk_buf *b = &r->out;
	struct sk_info info;
	struct sk_stats stats;

	sk_engine_info(r->front->engine, &info);
	sk_buf_addc(b, '{');
	add_text(b, "model_id", info.model_id);
	add_text(b, "model_sha", NULL);
	add_text(b, "model_dtype", info.model_dtype);
	add_text(b, "model_device_type", info.backend);
	add_text(b, "model_pipeline_tag", o->pipeline_tag);
	add_number(b, "max_concurrent_requests", (uint64_t)o->max_concurrent_requests);
	add_number(b, "max_best_of", 1);
	add_number(b, "max_stop_sequences", (uint64_t)o->max_stop_sequences);
	add_number(b, "max_input_length", info.input_tokens_max);
	add_number(b, "max_input_tokens", info.input_tokens_max);
	add_number(b, "max_total_tokens", info.total_tokens_max);
	add_key(b, "waiting_served_ratio");
	sk_buf_adds(b, "0.3");
	add_number(b, "max_batch_total_tokens", (uint64_t)info.blocks * info.block_tokens);
	add_number(b, "max_batch_prefill_tokens", info.batch_prefill_tokens);
	add_number(b, "max_waiting_tokens", 20);
	add_number(b, "validation_workers", (uint64_t)o->workers);
	add_number(b, "max_client_batch_size", 1);
	add_text(b, "router", "saker");
	add_text(b, "version", PACKAGE_VERSION);
	add_text(b, "sha", NULL);
	add_text(b, "docker_label", NULL);

	add_text(b, "saker_state", state_names[state_of(r, &stats)]);
	add_text(b, "model_name", info.model_name);
	add_text(b, "model_architecture", info.arch);
	add_text(b, "model_format", info.format);
	add_text(b, "model_quantization", info.quant);
	add_number(b, "model_parameters", info.params);
	add_number(b, "model_context", info.context_max);
	add_text(b, "backend_isa", info.isa);
	add_text(b, "device", info.device);
	add_text(b, "calculation", info.dtype);
	add_text(b, "kv_dtype", info.kv_dtype);
	add_number(b, "threads", (uint64_t)(info.threads > 0 ? info.threads : 0));
	add_number(b, "max_batch_size", info.sequences_max);
	add_number(b, "max_top_n_tokens", (uint64_t)o->max_top_n_tokens);
	add_number(b, "payload_limit", o->payload_limit);
	add_number(b, "weights_bytes", info.weights_bytes);
	add_number(b, "kv_cache_bytes", info.kv_bytes);
	add_number(b, "scratch_bytes", info.scratch_bytes);
	sk_buf_addc(b, '}');
	sk_reply_out(r, 200, "application/json");
}
