/* SPDX-License-Identifier: Apache-2.0 */
/* saker info --plan: one table of the model's facts and one of a rank's serve the text and --json. */
#include "fcgi/info_plan.h"

#include <inttypes.h>
#include <string.h>

#include "fcgi/json.h"

/* ---- tables --------------------------------------------------------------------------------------------------- */

static const struct { const char *key; size_t offset; } words[] = {
	{ "architecture", offsetof(struct sk_fit, arch) },
	{ "dtype", offsetof(struct sk_fit, dtype) },
	{ "kv_dtype", offsetof(struct sk_fit, kv_dtype) },
	{ "backend", offsetof(struct sk_fit, backend) },
};

static const struct { const char *key; size_t offset; } counts[] = {
	{ "layers", offsetof(struct sk_fit, layers) },
	{ "encoder_layers", offsetof(struct sk_fit, encoder_layers) },
	{ "width", offsetof(struct sk_fit, width) },
	{ "heads", offsetof(struct sk_fit, heads) },
	{ "kv_heads", offsetof(struct sk_fit, kv_heads) },
	{ "head_width", offsetof(struct sk_fit, head_width) },
	{ "ffn_width", offsetof(struct sk_fit, ffn_width) },
	{ "vocabulary", offsetof(struct sk_fit, vocab) },
	{ "context_max", offsetof(struct sk_fit, context_max) },
	{ "batch_prefill_tokens", offsetof(struct sk_fit, batch_prefill_tokens) },
	{ "sequences_max", offsetof(struct sk_fit, sequences_max) },
};

/* Of a rank: counts are 4 bytes, bytes are 8. */
static const struct { const char *key, *words; size_t offset; bool bytes; } shares[] = {
	{ "slices", "slices of the heads", offsetof(struct sk_fit_rank, slices), false },
	{ "mlp_slices", "slices of the MLP", offsetof(struct sk_fit_rank, mlp_slices), false },
	{ "heads", "heads", offsetof(struct sk_fit_rank, heads), false },
	{ "kv_heads", "key-value heads", offsetof(struct sk_fit_rank, kv_heads), false },
	{ "ffn_width", "columns of the MLP", offsetof(struct sk_fit_rank, ffn_width), false },
	{ "embed_bytes", "embedding", offsetof(struct sk_fit_rank, embed_bytes), true },
	{ "attention_bytes", "attention", offsetof(struct sk_fit_rank, attention_bytes), true },
	{ "mlp_bytes", "MLP", offsetof(struct sk_fit_rank, mlp_bytes), true },
	{ "head_bytes", "head", offsetof(struct sk_fit_rank, head_bytes), true },
	{ "vector_bytes", "norms, biases, tables", offsetof(struct sk_fit_rank, vector_bytes), true },
	{ "weights_bytes", "weights, together", offsetof(struct sk_fit_rank, weights_bytes), true },
	{ "scratch_bytes", "scratch", offsetof(struct sk_fit_rank, scratch_bytes), true },
	{ "kv_bytes_per_token", "KV cache of a token", offsetof(struct sk_fit_rank, kv_bytes_per_token), true },
	{ "kv_bytes", "KV pool", offsetof(struct sk_fit_rank, kv_bytes), true },
};

#define LEN(a) (sizeof(a) / sizeof((a)[0]))

static uint32_t count_at(const void *p, size_t offset)
{
	uint32_t v;

	memcpy(&v, (const char *)p + offset, sizeof(v));
	return v;
}

static uint64_t share_at(const struct sk_fit_rank *r, size_t i)
{
	uint64_t v;

	if (!shares[i].bytes)
		return count_at(r, shares[i].offset);
	memcpy(&v, (const char *)r + shares[i].offset, sizeof(v));
	return v;
}

/* ---- text ----------------------------------------------------------------------------------------------------- */

static void add_share(struct sk_buf *b, uint64_t v, bool bytes)
{
	char s[SK_BYTES_SHOWN];

	if (bytes)
		sk_buf_addf(b, " %11s", sk_bytes_show(s, v));
	else
		sk_buf_addf(b, " %11" PRIu64, v);
}

static void write_fit(struct sk_buf *b, const struct sk_fit *fit)
{
	char memory[SK_BYTES_SHOWN];

	if (!fit->memory_bytes) {
		sk_buf_adds(b, "\nwhat fits: say --memory, of each rank\n");
		return;
	}
	sk_buf_addf(b, "\nwith %s for each rank", sk_bytes_show(memory, fit->memory_bytes));
	if (!fit->fits) {
		sk_buf_addf(b, " it does not fit\n  %s\n", fit->why);
		return;
	}
	sk_buf_addf(b, " it fits\n  %-24s %u tokens%s\n", "longest request", fit->context,
		    fit->encoder_layers ? " of input, and as many of answer" : "");
	sk_buf_addf(b, "  %-24s %u requests of this length%s\n", "largest batch", fit->batch,
		    fit->batch == fit->sequences_max ? " (sequences_max)" : "");
	sk_buf_addf(b, "  %-24s %u tokens\n", "KV pool", fit->pool_tokens);
}

static void write_text(struct sk_buf *b, const struct sk_fit *fit)
{
	char weights[SK_BYTES_SHOWN];

	sk_buf_adds(b, "model\n");
	for (size_t i = 0; i < LEN(words); i++)
		sk_buf_addf(b, "  %-24s %s\n", words[i].key, (const char *)fit + words[i].offset);
	sk_buf_addf(b, "  %-24s %.2f billion\n", "parameters", (double)fit->params * 1e-9);
	for (size_t i = 0; i < LEN(counts); i++)
		sk_buf_addf(b, "  %-24s %u\n", counts[i].key, count_at(fit, counts[i].offset));
	sk_buf_addf(b, "\n%d of at most %d ranks; weights %s together\n  %-24s", fit->ranks, fit->ranks_max,
		    sk_bytes_show(weights, fit->weights_bytes), "");
	for (int r = 0; r < fit->ranks; r++)
		sk_buf_addf(b, "      rank %d", r);
	for (size_t i = 0; i < LEN(shares); i++) {
		sk_buf_addf(b, "\n  %-24s", shares[i].words);
		for (int r = 0; r < fit->ranks; r++)
			add_share(b, share_at(&fit->rank[r], i), shares[i].bytes);
	}
	sk_buf_addc(b, '\n');
	write_fit(b, fit);
}

/* ---- JSON ----------------------------------------------------------------------------------------------------- */

static void write_json(struct sk_buf *b, const struct sk_fit *fit)
{
	sk_buf_addc(b, '{');
	for (size_t i = 0; i < LEN(words); i++) {
		const char *s = (const char *)fit + words[i].offset;

		sk_buf_addf(b, "\"%s\":", words[i].key);
		sk_json_add_str(b, s, strlen(s));
		sk_buf_addc(b, ',');
	}
	sk_buf_addf(b, "\"parameters\":%" PRIu64, fit->params);
	for (size_t i = 0; i < LEN(counts); i++)
		sk_buf_addf(b, ",\"%s\":%u", counts[i].key, count_at(fit, counts[i].offset));
	sk_buf_addf(b, ",\"ranks_max\":%d,\"weights_bytes\":%" PRIu64 ",\"ranks\":[", fit->ranks_max, fit->weights_bytes);
	for (int r = 0; r < fit->ranks; r++) {
		sk_buf_adds(b, r ? ",{" : "{");
		for (size_t i = 0; i < LEN(shares); i++)
			sk_buf_addf(b, "%s\"%s\":%" PRIu64, i ? "," : "", shares[i].key, share_at(&fit->rank[r], i));
		sk_buf_addc(b, '}');
	}
	sk_buf_addc(b, ']');
	if (fit->memory_bytes)
		sk_buf_addf(b, ",\"memory_bytes\":%" PRIu64 ",\"fits\":%s,\"context\":%u,\"batch\":%u,\"pool_tokens\":%u", fit->memory_bytes,
			    fit->fits ? "true" : "false", fit->context, fit->batch, fit->pool_tokens);
	if (fit->why[0]) {
		sk_buf_adds(b, ",\"why\":");
		sk_json_add_str(b, fit->why, strlen(fit->why));
	}
	sk_buf_adds(b, "}\n");
}

sk_status sk_info_plan(struct sk_buf *b, const struct sk_engine_opts *eo, const struct sk_flags *f, struct sk_err *err)
{
	const struct sk_fit_opts o = {
		.config = *f->info_config ? f->info_config : eo->model, .backend = eo->backend, .dtype = eo->dtype, .kv_dtype = eo->kv_dtype,
		.threads = eo->threads, .ranks = (int)f->info_ranks, .memory_bytes = f->info_memory, .total_tokens_max = eo->total_tokens_max,
		.batch_prefill_tokens = eo->batch_prefill_tokens, .sequences_max = eo->sequences_max,
	};
	struct sk_fit fit;
	sk_status st = sk_engine_fit(&o, &fit, err);

	if (st == SK_OK)
		(f->info_json ? write_json : write_text)(b, &fit);
	return st;
}
