/* SPDX-License-Identifier: Apache-2.0 */
/*
 * saker info: what a model is, what memory it would take, and which backend would calculate. Reads headers only.
 *
 * One table of facts serves the text and --json. A fact that is not known before loading is left out of the text, and
 * null in JSON.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "engine/base/buf.h"
#include "engine/saker.h"
#include "fcgi/commands.h"
#include "fcgi/info_plan.h"
#include "fcgi/json.h"
#include "fcgi/words.h"

enum kind { TEXT, NUMBER, BYTES, FLAG, ID };

#define FACT(group, key, kind, member) { group, key, kind, offsetof(struct sk_info, member), \
					 sizeof(((struct sk_info *)0)->member) }

static const struct fact {
	const char *group, *key;
	enum kind kind;
	size_t offset, bytes;
} facts[] = {
	FACT("model", "model_id", TEXT, model_id),
	FACT("model", "model_name", TEXT, model_name),
	FACT("model", "architecture", TEXT, arch),
	FACT("model", "format", TEXT, format),
	FACT("model", "quantization", TEXT, quant),
	FACT("model", "parameters", NUMBER, params),
	FACT("model", "chat_template", FLAG, has_chat_template),
	FACT("shapes", "layers", NUMBER, layers),
	FACT("shapes", "encoder_layers", NUMBER, encoder_layers),
	FACT("shapes", "width", NUMBER, width),
	FACT("shapes", "heads", NUMBER, heads),
	FACT("shapes", "kv_heads", NUMBER, kv_heads),
	FACT("shapes", "head_width", NUMBER, head_width),
	FACT("shapes", "ffn_width", NUMBER, ffn_width),
	FACT("shapes", "vocabulary", NUMBER, vocab),
	FACT("shapes", "context_max", NUMBER, context_max),
	FACT("shapes", "bos_id", ID, bos_id),
	FACT("shapes", "eos_id", ID, eos_id),
	FACT("shapes", "decoder_start_id", ID, start_id),
	FACT("limits", "input_tokens_max", NUMBER, input_tokens_max),
	FACT("limits", "total_tokens_max", NUMBER, total_tokens_max),
	FACT("limits", "batch_prefill_tokens", NUMBER, batch_prefill_tokens),
	FACT("limits", "encode_tokens_max", NUMBER, encode_tokens_max),
	FACT("limits", "sequences_max", NUMBER, sequences_max),
	FACT("limits", "top_n_max", NUMBER, top_n_max),
	FACT("memory", "file_bytes", BYTES, file_bytes),
	FACT("memory", "weights_bytes", BYTES, weights_bytes),
	FACT("memory", "kv_bytes", BYTES, kv_bytes),
	FACT("memory", "kv_bytes_per_token", BYTES, kv_bytes_per_token),
	FACT("memory", "cross_bytes_per_token", BYTES, cross_bytes_per_token),
	FACT("memory", "kv_blocks", NUMBER, blocks),
	FACT("memory", "kv_block_tokens", NUMBER, block_tokens),
	FACT("memory", "scratch_bytes", BYTES, scratch_bytes),
	FACT("memory", "tokenizer_bytes", BYTES, tokenizer_bytes),
	FACT("backend", "backend", TEXT, backend),
	FACT("backend", "instructions", TEXT, isa),
	FACT("backend", "device", TEXT, device),
	FACT("backend", "dtype", TEXT, dtype),
	FACT("backend", "kv_dtype", TEXT, kv_dtype),
	FACT("backend", "threads", NUMBER, threads),
};

#define FACTS_LEN (sizeof facts / sizeof *facts)

static const void *at(const struct sk_info *info, const struct fact *f)
{
	return (const char *)info + f->offset;
}

static const char *text_of(const struct sk_info *info, const struct fact *f)
{
	return at(info, f);
}

/* Every number of struct sk_info is 4 or 8 bytes; none is negative but an absent id. */
static int64_t number_of(const struct sk_info *info, const struct fact *f)
{
	uint64_t wide = 0;
	uint32_t narrow = 0;
	int32_t id = 0;
	bool flag = false;

	switch (f->kind) {
	case FLAG:
		memcpy(&flag, at(info, f), sizeof flag);
		return flag;
	case ID:
		memcpy(&id, at(info, f), sizeof id);
		return id;
	default:
		if (f->bytes == sizeof wide) {
			memcpy(&wide, at(info, f), sizeof wide);
			return wide > INT64_MAX ? INT64_MAX : (int64_t)wide;
		}
		memcpy(&narrow, at(info, f), sizeof narrow);
		return narrow;
	}
}

/* Bytes are 0 for want of knowing (the tokenizer's), or where there is no such thing (an encoder's). */
static bool is_known(const struct sk_info *info, const struct fact *f)
{
	switch (f->kind) {
	case TEXT:
		return *text_of(info, f) != '\0';
	case ID:
		return number_of(info, f) >= 0;
	case BYTES:
		return number_of(info, f) != 0;
	default:
		return true;
	}
}

static void add_bytes(struct sk_buf *b, int64_t bytes)
{
	if (bytes < 1 << 20)
		sk_buf_addf(b, "%" PRId64 " bytes", bytes);
	else
		sk_buf_addf(b, "%.1f MiB", (double)bytes / (1 << 20));
}

static void write_text(struct sk_buf *b, const struct sk_info *info)
{
	const char *group = "";

	for (size_t i = 0; i < FACTS_LEN; i++) {
		const struct fact *f = &facts[i];

		if (strcmp(group, f->group))
			sk_buf_addf(b, "%s%s\n", i ? "\n" : "", f->group);
		group = f->group;
		if (!is_known(info, f))
			continue;
		sk_buf_addf(b, "  %-22s ", f->key);
		switch (f->kind) {
		case TEXT:
			sk_buf_adds(b, text_of(info, f));
			break;
		case FLAG:
			sk_buf_adds(b, number_of(info, f) ? "yes" : "no");
			break;
		case BYTES:
			add_bytes(b, number_of(info, f));
			break;
		case ID:
		case NUMBER:
			sk_buf_addf(b, "%" PRId64, number_of(info, f));
			break;
		}
		sk_buf_addc(b, '\n');
	}
	sk_buf_adds(b, "\nbackends\n");
	for (int i = 0; i < info->backends_len; i++) {
		const struct sk_info_backend *k = &info->backends[i];

		sk_buf_addf(b, "%s %-22s %s\n", k->chosen ? " *" : "  ", k->name, k->why);
	}
}

static void write_json(struct sk_buf *b, const struct sk_info *info)
{
	sk_buf_addc(b, '{');
	for (size_t i = 0; i < FACTS_LEN; i++) {
		const struct fact *f = &facts[i];

		sk_buf_addf(b, "%s\"%s\":", i ? "," : "", f->key);
		if (!is_known(info, f))
			sk_buf_adds(b, "null");
		else if (f->kind == TEXT)
			sk_json_add_str(b, text_of(info, f), strlen(text_of(info, f)));
		else if (f->kind == FLAG)
			sk_buf_adds(b, number_of(info, f) ? "true" : "false");
		else
			sk_buf_addf(b, "%" PRId64, number_of(info, f));
	}
	sk_buf_adds(b, ",\"backends\":[");
	for (int i = 0; i < info->backends_len; i++) {
		const struct sk_info_backend *k = &info->backends[i];

		sk_buf_adds(b, i ? ",{\"name\":" : "{\"name\":");
		sk_json_add_str(b, k->name, strlen(k->name));
		sk_buf_addf(b, ",\"score\":%d,\"chosen\":%s,\"why\":", k->score, k->chosen ? "true" : "false");
		sk_json_add_str(b, k->why, strlen(k->why));
		sk_buf_addc(b, '}');
	}
	sk_buf_adds(b, "]}\n");
}

int sk_cmd_info(int argc, char **argv)
{
	struct sk_buf b = SK_BUF(1 << 20);
	struct sk_engine_opts eo = { 0 };
	struct sk_options o;
	struct sk_flags f;
	struct sk_info info;
	struct sk_err err = { 0 };
	sk_status st = sk_command_read("info", &o, &f, &argc, argv, &err);

	if (st == SK_OK && argc > 1)
		st = sk_fail(&err, SK_EINVAL, "unexpected word \"%s\"", argv[1]);
	if (st == SK_OK) {
		sk_options_engine(&o, &eo);
		st = f.info_plan ? sk_info_plan(&b, &eo, &f, &err) : sk_engine_plan(&eo, &info, &err);
	}
	if (st == SK_OK) {
		if (!f.info_plan)
			(f.info_json ? write_json : write_text)(&b, &info);
		st = sk_words_print(&b, &err);
	}
	sk_buf_fini(&b);
	return sk_exit("info", st, &err);
}
