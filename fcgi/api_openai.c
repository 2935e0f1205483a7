/* SPDX-License-Identifier: Apache-2.0 */
/*
 * OpenAI's API: /v1/chat/completions, /v1/completions, /v1/models. From a body to a generation; openai_render.c writes the answer.
 *
 * In the dialect tgi-3 it is text-generation-inference's version of it: its errors' form, its penalties, one answer, a stop string that stays
 * in the text.
 */
#include <json-c/json.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "fcgi/api_chat.h"
#include "fcgi/json.h"
#include "fcgi/openai.h"
#include "fcgi/route.h"

#define COMPLETION_TOKENS 16    /* OpenAI's default for completions */

/* One body on its way. */
struct work {
	struct sk_openai_values v;
	struct sk_openai_shape shape;
	struct sk_gen_params p;
	struct sk_gen_params *prompts;  /* p with each prompt; shape.prompts of them */
	const char **stop;
	size_t *stop_bytes;
};

static void refuse(struct sk_request *r, const char *text)
{
	char whole[256];

	snprintf(whole, sizeof whole, "Input validation error: %s", text);
	sk_reply_error(r, 422, "validation", whole);
}

/* ---- members of several types ------------------------------------------------------------------------------- */

static struct json_object *member(struct json_object *body, const char *name)
{
	struct json_object *v = NULL;

	json_object_object_get_ex(body, name, &v);
	return v;
}

static bool is_text(struct json_object *v)
{
	return json_object_is_type(v, json_type_string);
}

/* A string or a list of them; the engine and the renderer get the same strings, which outlive the body. */
static bool take_stop(struct sk_request *r, struct json_object *body, struct work *w)
{
	struct json_object *v = member(body, "stop");
	size_t len = !v ? 0 : json_object_is_type(v, json_type_array) ? json_object_array_length(v) : 1;
	size_t max = (size_t)r->front->options->max_stop_sequences;
	char text[128];

	if (len > max) {
		snprintf(text, sizeof text, "`stop` supports up to %zu stop sequences. Given: %zu", max, len);
		refuse(r, text);
		return false;
	}
	w->stop = sk_arena_take(&r->arena, len * sizeof *w->stop + 1);
	w->stop_bytes = sk_arena_take(&r->arena, len * sizeof *w->stop_bytes + 1);
	for (size_t i = 0; i < len && w->stop && w->stop_bytes; i++) {
		struct json_object *s = is_text(v) ? v : json_object_is_type(v, json_type_array) ? json_object_array_get_idx(v, i) : NULL;

		if (!is_text(s) || !json_object_get_string_len(s)) {
			refuse(r, is_text(s) ? "`stop` sequences cannot be empty" : "`stop` must be a string or a list of strings");
			return false;
		}
		w->stop_bytes[i] = (size_t)json_object_get_string_len(s);
		w->stop[i] = sk_arena_strndup(&r->arena, json_object_get_string(s), w->stop_bytes[i]);
		if (!w->stop[i])
			w->stop = NULL;
	}
	if (!w->stop || !w->stop_bytes) {
		sk_reply_status(r, SK_ENOMEM, NULL);
		return false;
	}
	w->p.stop = w->stop;
	w->p.stop_bytes = w->stop_bytes;
	w->p.stop_len = len;
	return true;
}

static bool is_ids(struct json_object *v)
{
	return json_object_is_type(v, json_type_array) && json_object_array_length(v) &&
	       json_object_is_type(json_object_array_get_idx(v, 0), json_type_int);
}

static bool take_ids(struct sk_request *r, struct json_object *v, struct sk_gen_params *p)
{
	size_t len = json_object_array_length(v);
	int32_t *ids = sk_arena_take(&r->arena, len * sizeof *ids);

	if (!ids) {
		sk_reply_status(r, SK_ENOMEM, NULL);
		return false;
	}
	for (size_t i = 0; i < len; i++) {
		struct json_object *id = json_object_array_get_idx(v, i);
		int64_t n = json_object_get_int64(id);

		if (!json_object_is_type(id, json_type_int) || n < 0 || n > INT32_MAX) {
			refuse(r, "`prompt` as a list of token ids must hold nothing else");
			return false;
		}
		ids[i] = (int32_t)n;
	}
	p->ids = ids;
	p->ids_len = len;
	return true;
}

/* A text or ids. */
static bool take_prompt(struct sk_request *r, struct json_object *v, struct sk_gen_params *p)
{
	if (is_ids(v))
		return take_ids(r, v, p);
	if (!is_text(v) || !json_object_get_string_len(v)) {
		refuse(r, is_text(v) || json_object_is_type(v, json_type_array) ? "`prompt` cannot be empty"
			  : "`prompt` must be a string, a list of token ids, or a list of these");
		return false;
	}
	p->prompt = json_object_get_string(v);
	p->prompt_len = (size_t)json_object_get_string_len(v);
	return true;
}

/* One prompt or a list of them; each gets the parameters of w->p. TGI takes MAX_CLIENT_BATCH_SIZE, 4. */
static bool take_prompts(struct sk_request *r, struct json_object *body, struct work *w)
{
	struct json_object *v = member(body, "prompt");
	bool list = json_object_is_type(v, json_type_array) && !is_ids(v);
	size_t len = list ? json_object_array_length(v) : 1;
	size_t max = sk_request_dialect(r)->knows == SK_KNOWS_SAKER ? SK_GEN_N_MAX / w->p.n : 4;
	char text[128];

	if (!len || len > max) {
		snprintf(text, sizeof text, "`prompt` as a list must have 1 to %zu prompts. Given: %zu", max, len);
		refuse(r, text);
		return false;
	}
	w->prompts = sk_arena_take(&r->arena, len * sizeof *w->prompts);
	if (!w->prompts) {
		sk_reply_status(r, SK_ENOMEM, NULL);
		return false;
	}
	for (size_t i = 0; i < len; i++) {
		w->prompts[i] = w->p;
		if (!take_prompt(r, list ? json_object_array_get_idx(v, i) : v, &w->prompts[i]))
			return false;
	}
	w->shape.prompts = (uint32_t)len;
	return true;
}

/* ---- what both have ----------------------------------------------------------------------------------------- */

/* Types, then ranges with permits between them as elsewhere. */
static bool read_values(struct sk_request *r, struct json_object *body, const struct sk_field *fields, size_t len, struct work *w)
{
	const struct sk_dialect *d = sk_request_dialect(r);
	uint64_t limits[SK_LIMITS] = { 0 };
	struct sk_err err = { 0 };
	sk_status st = sk_schema_read(fields, len, body, d->knows, &w->v, &r->arena, &err);

	if (st < 0) {
		sk_reply_types(r, st, &err);
		return false;
	}
	r->generates = true;
	r->late_errors = w->v.stream.yes && d->late_errors;
	if (!sk_request_permits(r, w->v.n.u > 1 && w->v.n.u <= SK_GEN_N_MAX ? (int)w->v.n.u : 1))
		return false;
	limits[SK_LIMIT_TOP_N] = (uint64_t)r->front->options->max_top_n_tokens;
	st = sk_schema_check(fields, len, &w->v, limits, false, &err);
	if (st < 0)
		sk_reply_status(r, st, &err);
	return st >= 0;
}

/* A presence penalty p is a repetition penalty of p + 2 there. */
static void penalties(const struct sk_openai_values *v, const struct sk_dialect *d, struct sk_gen_params *p)
{
	*(d->frequency_share ? &p->frequency_share : &p->frequency_penalty) = v->frequency_penalty.f;
	if (d->knows == SK_KNOWS_SAKER)
		p->presence_penalty = v->presence_penalty.f;
	else if (v->presence_penalty.set)
		p->repetition_penalty = v->presence_penalty.f + 2.0f;
}

/* Temperature 0 is the likeliest token, and so is a top_p of 0: the least set of tokens that reaches it is one. */
static void draws(const struct sk_openai_values *v, struct sk_gen_params *p)
{
	float temperature = v->temperature.set ? v->temperature.f : 1.0f;

	if (temperature == 0.0f || (v->top_p.set && v->top_p.f == 0.0f))
		return;
	p->do_sample = true;
	p->temperature = temperature;
	if (v->top_p.set)
		p->top_p = v->top_p.f;
}

static bool begin(struct sk_request *r, struct json_object *body, bool chat, struct work *w)
{
	const struct sk_dialect *d = sk_request_dialect(r);
	size_t len;
	const struct sk_field *fields = chat ? sk_openai_chat_fields(&len) : sk_openai_fields(&len);
	struct sk_openai_shape *s = &w->shape;
	struct sk_info info;

	*w = (struct work){ .p = SK_GEN_PARAMS_INIT };
	r->openai = true;
	if (!read_values(r, body, fields, len, w) || !take_stop(r, body, w))
		return false;
	sk_engine_info(r->front->engine, &info);
	penalties(&w->v, d, &w->p);
	draws(&w->v, &w->p);
	w->p.n = w->v.n.set ? (uint32_t)w->v.n.u : 1;
	w->p.tgi_text = d->tgi_text;
	w->p.rng = d->rng;
	w->p.one_eos = d->one_eos;
	w->p.bias = w->v.logit_bias.bias.items;
	w->p.bias_len = w->v.logit_bias.bias.len;
	w->p.seed = w->v.seed.u;
	w->p.has_seed = w->v.seed.set;
	w->p.max_new_tokens = (uint32_t)(w->v.max_completion_tokens.set ? w->v.max_completion_tokens.u : w->v.max_tokens.u);
	*s = (struct sk_openai_shape){ .chat = chat, .stream = w->v.stream.yes, .usage = w->v.include_usage.yes, .n = w->p.n };
	s->model = d->knows == SK_KNOWS_SAKER ? sk_arena_strndup(&r->arena, info.model_id, strlen(info.model_id))
		 : w->v.model.set ? sk_arena_strndup(&r->arena, w->v.model.str.s, w->v.model.str.len) : "tgi";
	if (!d->tgi_text) {
		s->stop = w->stop;
		s->stop_bytes = w->stop_bytes;
		s->stop_len = w->p.stop_len;
	}
	if (!s->model)
		sk_reply_status(r, SK_ENOMEM, NULL);
	return s->model != NULL;
}

static void submit(struct sk_request *r, struct work *w)
{
	void *reply;

	reply = sk_openai_reply(r, &w->shape);
	if (!reply)
		sk_reply_status(r, SK_ENOMEM, NULL);
	else
		sk_request_generate_all(r, w->prompts, w->shape.prompts, w->shape.stream, &sk_openai_render, reply);
}

/* ---- chat --------------------------------------------------------------------------------------------------- */

/* Texts of a list of parts, one behind the other. NULL: answered, or no memory. */
static struct json_object *joined(struct sk_request *r, struct json_object *parts)
{
	struct sk_buf b = SK_BUF(r->out.max);
	struct json_object *text = NULL;
	char words[128];

	for (size_t i = 0; i < json_object_array_length(parts); i++) {
		struct json_object *part = json_object_array_get_idx(parts, i);
		struct json_object *type = json_object_is_type(part, json_type_object) ? member(part, "type") : NULL;
		struct json_object *s = type ? member(part, "text") : NULL;

		if (!is_text(type) || strcmp(json_object_get_string(type), "text") || !is_text(s)) {
			snprintf(words, sizeof words, "`messages`: content parts must be texts. Given: `%.40s`",
				 is_text(type) ? json_object_get_string(type) : "no type");
			sk_buf_fini(&b);
			refuse(r, words);
			return NULL;
		}
		sk_buf_add(&b, json_object_get_string(s), (size_t)json_object_get_string_len(s));
	}
	if (!b.failed)
		text = json_object_new_string_len(b.data ? b.data : "", (int)b.len);
	sk_buf_fini(&b);
	if (!text)
		sk_reply_status(r, SK_ENOMEM, NULL);
	return text;
}

/* Chat templates of models that read nothing but text know content as a string. */
static bool join_parts(struct sk_request *r, struct json_object *body)
{
	struct json_object *messages = member(body, "messages");

	if (!json_object_is_type(messages, json_type_array))
		return true;            /* sk_chat_prompt() says so */
	for (size_t i = 0; i < json_object_array_length(messages); i++) {
		struct json_object *m = json_object_array_get_idx(messages, i);
		struct json_object *content = json_object_is_type(m, json_type_object) ? member(m, "content") : NULL, *text;

		if (!json_object_is_type(content, json_type_array))
			continue;
		text = joined(r, content);
		if (!text)
			return false;
		if (json_object_object_add(m, "content", text)) {
			json_object_put(text);
			sk_reply_status(r, SK_ENOMEM, NULL);
			return false;
		}
	}
	return true;
}

/* What comes with constrained output; NULL: nothing of it is asked for. */
static const char *chat_fault(const struct sk_openai_values *v, struct json_object *body)
{
	struct json_object *tools = member(body, "tools"), *choice = member(body, "tool_choice"), *format = member(body, "response_format");
	struct json_object *type = json_object_is_type(format, json_type_object) ? member(format, "type") : NULL;

	if (tools && !(json_object_is_type(tools, json_type_array) && !json_object_array_length(tools)))
		return "`tools` is not supported yet";
	if (v->functions.set)
		return "`functions` is not supported yet";
	if (choice && !(is_text(choice) && (!strcmp(json_object_get_string(choice), "none") || !strcmp(json_object_get_string(choice), "auto"))))
		return "`tool_choice` must be `none` or `auto`: `tools` is not supported yet";
	if (format && !(is_text(type) && !strcmp(json_object_get_string(type), "text")))
		return "`response_format` must be of type `text`: no other is supported yet";
	if (v->top_logprobs.set && !v->logprobs.yes)
		return "`top_logprobs` needs `logprobs`";
	return NULL;
}

void sk_openai_chat(struct sk_request *r, struct json_object *body)
{
	struct work w;
	const char *fault;
	char *text = NULL;
	size_t len;

	if (!begin(r, body, true, &w))
		return;
	fault = chat_fault(&w.v, body);
	if (fault) {
		refuse(r, fault);
		return;
	}
	w.shape.logprobs = w.v.logprobs.yes;
	w.shape.top_n = (uint32_t)w.v.top_logprobs.u;
	if (!join_parts(r, body) || !sk_chat_prompt(r, body, &text, &len))
		return;
	w.p.prompt = text;
	w.p.prompt_len = len;
	w.p.no_special = true;
	w.p.top_n_tokens = w.shape.top_n;
	w.prompts = &w.p;
	w.shape.prompts = 1;
	submit(r, &w);
	free(text);
}

/* ---- completions -------------------------------------------------------------------------------------------- */

/* What is said before an answer: the prompt as it came, or what its ids mean. */
static sk_status echo_of(struct sk_request *r, const struct sk_gen_params *p, struct sk_str *ret_echo, struct sk_err *err)
{
	char *text = NULL;
	size_t len = p->prompt_len;
	sk_status st = p->ids ? sk_engine_detokenize(r->front->engine, p->ids, p->ids_len, true, &text, &len, err) : SK_OK;

	if (st < 0)
		return st;
	ret_echo->s = sk_arena_strndup(&r->arena, text ? text : p->prompt, len);
	ret_echo->len = len;
	free(text);
	return ret_echo->s ? SK_OK : sk_fail(err, SK_ENOMEM, "out of memory for a prompt of %zu bytes", len);
}

static bool take_echo(struct sk_request *r, struct work *w)
{
	struct sk_err err = { 0 };
	struct sk_str *echo;
	sk_status st;

	if (!w->v.echo.yes)
		return true;
	echo = sk_arena_take(&r->arena, w->shape.prompts * sizeof *echo);
	st = echo ? SK_OK : SK_ENOMEM;
	for (uint32_t i = 0; i < w->shape.prompts && st == SK_OK; i++)
		st = echo_of(r, &w->prompts[i], &echo[i], &err);
	if (st < 0)
		sk_reply_status(r, st, &err);
	w->shape.echo = echo;
	return st >= 0;
}

void sk_openai_complete(struct sk_request *r, struct json_object *body)
{
	struct json_object *suffix = NULL;
	struct work w;

	if (!begin(r, body, false, &w))
		return;
	suffix = member(body, "suffix");
	if (suffix && !(is_text(suffix) && !json_object_get_string_len(suffix))) {
		refuse(r, "`suffix` is not supported");
		return;
	}
	if (w.v.best_of.set && w.v.best_of.u != w.p.n) {
		refuse(r, "`best_of` other than `n` is not supported");
		return;
	}
	if (!w.v.max_tokens.set)
		w.p.max_new_tokens = sk_request_dialect(r)->knows == SK_KNOWS_SAKER ? COMPLETION_TOKENS : 0;
	w.shape.logprobs = w.v.logprobs.set;
	w.shape.top_n = (uint32_t)w.v.logprobs.u;
	w.p.top_n_tokens = w.shape.top_n;
	w.p.prompt_logprobs = w.shape.logprobs && w.v.echo.yes;
	if (!take_prompts(r, body, &w) || !take_echo(r, &w))
		return;
	submit(r, &w);
}

/* ---- routes ------------------------------------------------------------------------------------------------- */

void sk_api_chat_completions(struct sk_request *r, struct json_object *body)
{
	sk_openai_chat(r, body);
}

void sk_api_completions(struct sk_request *r, struct json_object *body)
{
	sk_openai_complete(r, body);
}

/* A model file does not say when it was made; clients want a number that stays the same: when it was first asked for. */
void sk_api_models(struct sk_request *r, struct json_object *body)
{
	static _Atomic long long began;
	bool tgi = sk_request_dialect(r)->knows != SK_KNOWS_SAKER;
	long long none = 0, now = (long long)time(NULL);
	struct sk_info info;

	atomic_compare_exchange_strong(&began, &none, now);
	sk_engine_info(r->front->engine, &info);
	sk_buf_adds(&r->out, "{\"object\":\"list\",\"data\":[{\"id\":");
	sk_json_add_str(&r->out, info.model_id, strlen(info.model_id));
	sk_buf_addf(&r->out, ",\"object\":\"model\",\"created\":%lld,\"owned_by\":", tgi ? 0 : (long long)began);
	sk_json_add_str(&r->out, tgi ? info.model_id : "saker", strlen(tgi ? info.model_id : "saker"));
	sk_buf_adds(&r->out, "}]}");
	sk_reply_out(r, 200, "application/json");
}
