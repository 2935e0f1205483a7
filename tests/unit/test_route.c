/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Routes, refusals, replies and events, byte for byte: handlers run against a double of the loop (sk_reply and such) and
 * of the engine, which answers every prompt with two tokens, " Hi" and "!".
 */
#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "engine/base/clock.h"
#include "fcgi/api_tgi.h"
#include "fcgi/keys.h"
#include "fcgi/pages.h"
#include "fcgi/request.h"
#include "fcgi/route.h"

/* ---- the double of the loop --------------------------------------------------------------------------------- */

void sk_reply(struct sk_request *r, int status, const char *type, const void *body, size_t len)
{
	sk_buf_clear(&r->out);
	sk_buf_add(&r->out, body, len);
	r->status = status;
	r->reply_type = type;
}

void sk_reply_out(struct sk_request *r, int status, const char *type)
{
	r->status = status;
	r->reply_type = type;
}

void sk_reply_header(struct sk_request *r, const char *name, const char *value)
{
	sk_buf_addf(&r->headers, "%s: %s\r\n", name, value);
}

const char *sk_request_param(const struct sk_request *r, const char *name)
{
	for (const char **p = r->params; p && *p; p += 2) {
		if (!strcmp(p[0], name))
			return p[1];
	}
	return NULL;
}

/* ---- the double of the engine ------------------------------------------------------------------------------- */

struct sk_gen { struct sk_gen_params params; bool cancelled; };
struct sk_engine {
	enum sk_engine_state state;
	sk_status submit;               /* what submit answers */
	sk_status fail;                 /* FAIL instead of FINISH */
	struct sk_gen gen;
	char prompt[64];
};

void sk_engine_info(const struct sk_engine *e, struct sk_info *ret_info)
{
	*ret_info = (struct sk_info){ .model_id = "tiny.gguf", .backend = "ref", .dtype = "float32", .arch = "llama",
				      .input_tokens_max = 100, .total_tokens_max = 128, .block_tokens = 16,
				      .blocks = 8 };
}

void sk_engine_stats(const struct sk_engine *e, struct sk_stats *ret_stats)
{
	*ret_stats = (struct sk_stats){ .state = e->state, .load_done_bytes = 5, .load_total_bytes = 10,
					.load_phase = "weights" };
}

void sk_engine_meters(const struct sk_engine *e, struct sk_meters *ret_meters)
{
	*ret_meters = (struct sk_meters){ .joined = 1 };
}

/* The rendering of messages is their JSON. */
sk_status sk_engine_chat(const struct sk_engine *e, const struct sk_chat_params *p, char **ret_text, size_t *ret_len, struct sk_err *err)
{
	*ret_text = strndup(p->messages, p->messages_len);
	if (!*ret_text)
		return sk_fail(err, SK_ENOMEM, "no memory for a prompt");
	*ret_len = p->messages_len;
	return SK_OK;
}

/* A token is a byte. */
sk_status sk_engine_tokens(const struct sk_engine *e, const char *text, size_t len, bool add_special, bool parse_special,
			   size_t tokens_max, struct sk_token_at **ret_tokens, size_t *ret_len, struct sk_err *err)
{
	struct sk_token_at *tokens = malloc((len + 1) * sizeof(*tokens));

	if (len > tokens_max)
		return sk_fail(err, SK_ETOOBIG, "the text has more than %zu tokens", tokens_max);
	for (size_t i = 0; i < len; i++)
		tokens[i] = (struct sk_token_at){ (unsigned char)text[i], (uint32_t)i, (uint32_t)i + 1 };
	*ret_tokens = tokens;
	*ret_len = len;
	return SK_OK;
}

sk_status sk_engine_detokenize(const struct sk_engine *e, const int32_t *ids, size_t len, bool skip_special, char **ret_text,
			       size_t *ret_len, struct sk_err *err)
{
	*ret_text = calloc(len + 1, 1);
	*ret_len = len;
	for (size_t i = 0; i < len; i++)
		(*ret_text)[i] = (char)ids[i];
	return SK_OK;
}

sk_status sk_engine_detect(const struct sk_engine *e, const char *text, size_t text_len, const int32_t *ids, size_t ids_len,
			   struct sk_detection *ret_d, struct sk_err *err)
{
	if (ids_len > 3)
		return sk_fail(err, SK_EINVAL, "token id 9 is not one of the vocabulary of 8");
	*ret_d = (struct sk_detection){ .tokens = (uint32_t)(text ? text_len : ids_len), .green = 2, .gamma = 0.25, .z_score = -0.5,
					.p_value = 0.125, .keyed = text != NULL };
	return SK_OK;
}

uint32_t sk_gen_max_new_tokens(const struct sk_gen *g)
{
	return g->params.max_new_tokens;
}

uint32_t sk_gen_prompt_tokens(const struct sk_gen *g)
{
	return 2;
}

void sk_gen_cancel(struct sk_gen *g)
{
	g->cancelled = true;
}

/* The one generation is the world's. */
void sk_gen_close(struct sk_gen **g)
{
	*g = NULL;
}

/* Events are given by play(). */
sk_status sk_gen_next(struct sk_gen *g, struct sk_event *ret_event)
{
	return SK_EAGAIN;
}

sk_status sk_engine_submit(struct sk_engine *e, const struct sk_gen_params *p, struct sk_gen **ret_gen,
			   struct sk_err *err)
{
	if (e->submit < 0)
		return sk_fail(err, e->submit, "`inputs` must have less than 100 tokens. Given: 101");
	e->gen.params = *p;
	snprintf(e->prompt, sizeof e->prompt, "%.*s", (int)p->prompt_len, p->prompt);
	*ret_gen = &e->gen;
	return SK_OK;
}

/* The other of two answers: its tokens are likelier, all together they are not. */
static void play_second(struct sk_request *r, const struct sk_gen_params *p)
{
	struct sk_event ev = { .type = SK_EVENT_TOKEN, .seq = 1, .left = 1, .token = { .t = { 7, " Hi", 3, -0.25f } } };

	for (; ev.token.index < 3; ev.token.index++)
		r->render->event(r, &ev);
	ev = (struct sk_event){ .type = SK_EVENT_FINISH, .seq = 1, .finish = { .reason = SK_FINISH_EOS, .generated_tokens = 3,
		.prompt_tokens = 2, .text = " Hi Hi Hi", .text_len = 9, .seed = 77, .has_seed = p->do_sample, .inference_us = 12 } };
	r->render->event(r, &ev);
}

/* All events of one generation, given to the renderer as the loop does it. */
static void play(struct sk_request *r)
{
	static const struct sk_event_token tops[] = { { 7, " Hi", 3, -0.5f }, { 8, "\"", 1, -1.25f } };
	static const struct sk_event_token prompt[] = { { 1, "<s>", 3, NAN, true }, { 2, "a", 1, -2.0f } };
	const struct sk_engine *e = r->front->engine;
	const struct sk_gen_params *p = &r->gen->params;
	struct sk_event ev = { .type = SK_EVENT_PREFILL, .prefill = { .prompt_tokens = 2 } };

	if (p->prompt_logprobs) {
		ev.prefill.tokens = prompt;
		ev.prefill.tokens_len = 2;
	}
	r->render->event(r, &ev);
	ev = (struct sk_event){ .type = SK_EVENT_TOKEN, .token = { .t = { 7, " Hi", 3, -0.5f } } };
	if (p->top_n_tokens) {
		ev.token.top = tops;
		ev.token.top_len = 2;
	}
	r->render->event(r, &ev);
	if (e->fail < 0) {
		ev = (struct sk_event){ .type = SK_EVENT_FAIL, .fail = { e->fail, "it broke" } };
		r->render->event(r, &ev);
		return;
	}
	ev.token.t = (struct sk_event_token){ 9, "!", 1, -0.125f, false };
	ev.token.index = 1;
	ev.token.last = true;
	r->render->event(r, &ev);
	ev = (struct sk_event){ .type = SK_EVENT_FINISH, .finish = { .reason = SK_FINISH_LENGTH, .generated_tokens = 2,
		.prompt_tokens = 2, .text = " Hi!", .text_len = 4, .seed = p->seed, .has_seed = p->do_sample,
		.queue_us = 0, .inference_us = 10 } };
	ev.left = p->n - 1;
	r->render->event(r, &ev);
	if (p->n == 2)
		play_second(r, p);
}

/* ---- one exchange ------------------------------------------------------------------------------------------- */

struct world {
	struct sk_options options;
	struct sk_engine engine;
	struct sk_front front;
	struct sk_request r;
};

static void world_init(struct world *w)
{
	*w = (struct world){ .engine = { .state = SK_STATE_READY } };
	w->options = (struct sk_options){ .max_best_of = 2, .max_stop_sequences = 4, .max_top_n_tokens = 5, .payload_limit = 1000,
		.max_concurrent_requests = 2, .cors_allow_origin = "*", .pipeline_tag = "", .compute_type = "",
		.watermark_gamma = 0.25, .watermark_delta = 1.5, .watermark_key_file = "",
		.workers = 2 };
	w->front = (struct sk_front){ .options = &w->options, .engine = &w->engine };
	sk_permits_init(&w->front.permits, 2);
}

static void world_fini(struct world *w)
{
	sk_buf_fini(&w->r.out);
	sk_buf_fini(&w->r.headers);
	sk_arena_fini(&w->r.arena);
}

static void ask(struct world *w, const char *method, const char *path, const char *type, const char *body)
{
	struct sk_request *r = &w->r;

	world_fini(w);
	*r = (struct sk_request){ .front = &w->front, .method = method, .path = path, .query = "",
		.content_type = type, .body = body, .body_len = strlen(body), .params = r->params,
		.body_too_large = r->body_too_large, .arrived_us = sk_now_us() };
	sk_arena_init(&r->arena, 1 << 20);
	sk_buf_init(&r->out, 1 << 20);
	sk_buf_init(&r->headers, 1 << 16);
	if (sk_route_quick(r))
		return;
	sk_route(r);
	if (r->gen)
		play(r);
	if (r->permits)
		sk_permits_give(&w->front.permits, r->permits, r->share);
}

#define JSON "application/json"

static const struct { const char *name, *method, *path, *type, *body; int status; const char *want; } cases[] = {
	{ "a plain answer", "POST", "/generate", JSON, "{\"inputs\":\"a\"}", 200, "{\"generated_text\":\" Hi!\"}" },
	{ "details", "POST", "/generate", JSON, "{\"inputs\":\"a\",\"parameters\":{\"details\":true}}", 200,
	  "{\"generated_text\":\" Hi!\",\"details\":{\"finish_reason\":\"length\",\"generated_tokens\":2,\"seed\":null,"
	  "\"prefill\":[],\"tokens\":[{\"id\":7,\"text\":\" Hi\",\"logprob\":-0.5,\"special\":false},"
	  "{\"id\":9,\"text\":\"!\",\"logprob\":-0.125,\"special\":false}]}}" },
	{ "details of the prompt imply details", "POST", "/generate", JSON,
	  "{\"inputs\":\"a\",\"parameters\":{\"decoder_input_details\":true,\"do_sample\":true,"
	  "\"seed\":18446744073709551615}}", 200,
	  "{\"generated_text\":\" Hi!\",\"details\":{\"finish_reason\":\"length\",\"generated_tokens\":2,"
	  "\"seed\":18446744073709551615,\"prefill\":[{\"id\":1,\"text\":\"<s>\",\"logprob\":null},"
	  "{\"id\":2,\"text\":\"a\",\"logprob\":-2.0}],\"tokens\":[{\"id\":7,\"text\":\" Hi\",\"logprob\":-0.5,"
	  "\"special\":false},{\"id\":9,\"text\":\"!\",\"logprob\":-0.125,\"special\":false}]}}" },
	{ "alternatives", "POST", "/generate", JSON,
	  "{\"inputs\":\"a\",\"parameters\":{\"details\":true,\"top_n_tokens\":2}}", 200,
	  "{\"generated_text\":\" Hi!\",\"details\":{\"finish_reason\":\"length\",\"generated_tokens\":2,\"seed\":null,"
	  "\"prefill\":[],\"tokens\":[{\"id\":7,\"text\":\" Hi\",\"logprob\":-0.5,\"special\":false},"
	  "{\"id\":9,\"text\":\"!\",\"logprob\":-0.125,\"special\":false}],\"top_tokens\":["
	  "[{\"id\":7,\"text\":\" Hi\",\"logprob\":-0.5,\"special\":false},"
	  "{\"id\":8,\"text\":\"\\\"\",\"logprob\":-1.25,\"special\":false}],"
	  "[{\"id\":7,\"text\":\" Hi\",\"logprob\":-0.5,\"special\":false},"
	  "{\"id\":8,\"text\":\"\\\"\",\"logprob\":-1.25,\"special\":false}]]}}" },
	{ "the full text", "POST", "/generate", JSON, "{\"inputs\":\"a\\\"\",\"parameters\":{\"return_full_text\":true}}",
	  200, "{\"generated_text\":\"a\\\" Hi!\"}" },
	{ "a list on /", "POST", "/", JSON, "{\"inputs\":\"a\"}", 200, "[{\"generated_text\":\" Hi!\"}]" },
	{ "a list on /invocations", "POST", "/invocations", JSON, "{\"inputs\":\"a\",\"stream\":false}", 200,
	  "[{\"generated_text\":\" Hi!\"}]" },
	{ "a list behind an endpoint's name", "POST", "/endpoints/me/invocations", JSON, "{\"inputs\":\"a\"}", 200,
	  "[{\"generated_text\":\" Hi!\"}]" },
	{ "events", "POST", "/generate_stream", JSON, "{\"inputs\":\"a\"}", 200,
	  "data: {\"index\":1,\"token\":{\"id\":7,\"text\":\" Hi\",\"logprob\":-0.5,\"special\":false},"
	  "\"generated_text\":null,\"details\":null}\n\n"
	  "data: {\"index\":2,\"token\":{\"id\":9,\"text\":\"!\",\"logprob\":-0.125,\"special\":false},"
	  "\"generated_text\":\" Hi!\",\"details\":null}\n\n" },
	{ "events with details, alternatives and the full text", "POST", "/", "application/json; charset=utf-8",
	  "{\"inputs\":\"a\",\"stream\":true,\"parameters\":{\"details\":true,\"top_n_tokens\":1,"
	  "\"return_full_text\":true,\"do_sample\":true,\"seed\":3}}", 200,
	  "data: {\"index\":1,\"token\":{\"id\":7,\"text\":\" Hi\",\"logprob\":-0.5,\"special\":false},\"top_tokens\":["
	  "{\"id\":7,\"text\":\" Hi\",\"logprob\":-0.5,\"special\":false},"
	  "{\"id\":8,\"text\":\"\\\"\",\"logprob\":-1.25,\"special\":false}],"
	  "\"generated_text\":null,\"details\":null}\n\n"
	  "data: {\"index\":2,\"token\":{\"id\":9,\"text\":\"!\",\"logprob\":-0.125,\"special\":false},\"top_tokens\":["
	  "{\"id\":7,\"text\":\" Hi\",\"logprob\":-0.5,\"special\":false},"
	  "{\"id\":8,\"text\":\"\\\"\",\"logprob\":-1.25,\"special\":false}],\"generated_text\":\"a Hi!\","
	  "\"details\":{\"finish_reason\":\"length\",\"generated_tokens\":2,\"seed\":3,\"input_length\":2}}\n\n" },
	{ "the stream member is ignored on /generate", "POST", "/generate", JSON, "{\"inputs\":\"a\",\"stream\":true}", 200,
	  "{\"generated_text\":\" Hi!\"}" },

	{ "an unknown path", "GET", "/nothing", "", "", 404,
	  "{\"error\":\"There is nothing at this path\",\"error_type\":\"not_found\"}" },
	{ "no segment where one must be", "POST", "/endpoints//invocations", JSON, "{\"inputs\":\"a\"}", 404,
	  "{\"error\":\"There is nothing at this path\",\"error_type\":\"not_found\"}" },
	{ "a wrong verb", "GET", "/generate", "", "", 405,
	  "{\"error\":\"This path does not answer to this method\",\"error_type\":\"method_not_allowed\"}" },
	{ "no content type", "POST", "/generate", "", "{\"inputs\":\"a\"}", 415,
	  "{\"error\":\"Expected request with `Content-Type: application/json`\","
	  "\"error_type\":\"unsupported_media_type\"}" },
	{ "a form", "POST", "/generate", "application/x-www-form-urlencoded", "{\"inputs\":\"a\"}", 415,
	  "{\"error\":\"Expected request with `Content-Type: application/json`\","
	  "\"error_type\":\"unsupported_media_type\"}" },
	{ "a type on JSON's base", "POST", "/generate", "application/vnd.x+json", "{\"inputs\":\"a\"}", 200,
	  "{\"generated_text\":\" Hi!\"}" },
	{ "broken JSON", "POST", "/generate", JSON, "{\"inputs\":", 400,
	  "{\"error\":\"Failed to parse the request body as JSON: EOF while parsing a value at line 1 column 11\","
	  "\"error_type\":\"invalid_json\"}" },
	{ "an empty body", "POST", "/generate_stream", JSON, "", 400,
	  "{\"error\":\"Failed to parse the request body as JSON: EOF while parsing a value at line 1 column 1\","
	  "\"error_type\":\"invalid_json\"}" },
	{ "a wrong type", "POST", "/", JSON, "{\"inputs\":\"a\",\"parameters\":{\"top_k\":\"x\"}}", 422,
	  "{\"error\":\"Failed to deserialize the JSON body into the target type: parameters.top_k: invalid type: string "
	  "\\\"x\\\", expected i32\",\"error_type\":\"validation\"}" },
	{ "best_of on a stream", "POST", "/generate_stream", JSON, "{\"inputs\":\"a\",\"parameters\":{\"best_of\":2}}", 422,
	  "{\"error\":\"Input validation error: `best_of` != 1 is not supported when streaming tokens\","
	  "\"error_type\":\"validation\"}" },
	{ "details of the prompt on a stream", "POST", "/generate_stream", JSON,
	  "{\"inputs\":\"a\",\"parameters\":{\"decoder_input_details\":true}}", 422,
	  "{\"error\":\"Input validation error: `decoder_input_details` == true is not supported when streaming tokens\","
	  "\"error_type\":\"validation\"}" },
	{ "best_of gives the answer with the highest mean, not sum", "POST", "/generate", JSON,
	  "{\"inputs\":\"a\",\"parameters\":{\"best_of\":2,\"do_sample\":true,\"details\":true}}", 200,
	  "{\"generated_text\":\" Hi Hi Hi\",\"details\":{\"finish_reason\":\"eos_token\",\"generated_tokens\":3,\"seed\":77,\"prefill\":[],"
	  "\"tokens\":[{\"id\":7,\"text\":\" Hi\",\"logprob\":-0.25,\"special\":false},{\"id\":7,\"text\":\" Hi\",\"logprob\":-0.25,"
	  "\"special\":false},{\"id\":7,\"text\":\" Hi\",\"logprob\":-0.25,\"special\":false}],\"best_of_sequences\":["
	  "{\"generated_text\":\" Hi!\",\"finish_reason\":\"length\",\"generated_tokens\":2,\"seed\":0,\"prefill\":[],\"tokens\":["
	  "{\"id\":7,\"text\":\" Hi\",\"logprob\":-0.5,\"special\":false},{\"id\":9,\"text\":\"!\",\"logprob\":-0.125,\"special\":false}]}]}}" },
	{ "best_of", "POST", "/generate", JSON, "{\"inputs\":\"a\",\"parameters\":{\"best_of\":3}}", 422,
	  "{\"error\":\"Input validation error: `best_of` must be > 0 and <= 2. Given: 3\","
	  "\"error_type\":\"validation\"}" },
	{ "a watermark in a text", "POST", "/watermark/detect", JSON, "{\"inputs\":\"abcd\"}", 200,
	  "{\"scheme\":\"keyed\",\"gamma\":0.25,\"tokens\":4,\"green_tokens\":2,\"z_score\":-0.5,\"p_value\":0.125}" },
	{ "a watermark in ids", "POST", "/watermark/detect", JSON, "{\"ids\":[1,2,3]}", 200,
	  "{\"scheme\":\"public\",\"gamma\":0.25,\"tokens\":3,\"green_tokens\":2,\"z_score\":-0.5,\"p_value\":0.125}" },
	{ "a watermark in nothing", "POST", "/watermark/detect", JSON, "{}", 422,
	  "{\"error\":\"Input validation error: one of `inputs` and `ids` must be given\",\"error_type\":\"validation\"}" },
	{ "a watermark in two things", "POST", "/watermark/detect", JSON, "{\"inputs\":\"a\",\"ids\":[1]}", 422,
	  "{\"error\":\"Input validation error: only one of `inputs` and `ids` can be given\",\"error_type\":\"validation\"}" },
	{ "a watermark in an empty text", "POST", "/watermark/detect", JSON, "{\"inputs\":\"\"}", 422,
	  "{\"error\":\"Input validation error: `inputs` has 1 to 1048576 bytes. Given: 0\",\"error_type\":\"validation\"}" },
	{ "a watermark in a negative id", "POST", "/watermark/detect", JSON, "{\"ids\":[1,-1]}", 422,
	  "{\"error\":\"Failed to deserialize the JSON body into the target type: ids[1]: invalid value: integer `-1`, "
	  "expected a token id\",\"error_type\":\"validation\"}" },
	{ "a watermark in an id that is none", "POST", "/watermark/detect", JSON, "{\"ids\":[1,2,3,9]}", 422,
	  "{\"error\":\"Input validation error: token id 9 is not one of the vocabulary of 8\",\"error_type\":\"validation\"}" },
	{ "tokens of a text", "POST", "/tokenize", JSON, "{\"inputs\":\"a\\\"\"}", 200,
	  "[{\"id\":97,\"text\":\"a\",\"start\":0,\"stop\":1},{\"id\":34,\"text\":\"\\\"\",\"start\":1,\"stop\":2}]" },
	{ "tokens of nothing", "POST", "/tokenize", JSON, "{\"inputs\":\"\"}", 200, "[]" },
	{ "tokens of half a character", "POST", "/tokenize", JSON, "{\"inputs\":\"\u00e9\"}", 200,
	  "[{\"id\":195,\"text\":\"\ufffd\",\"start\":0,\"stop\":1},{\"id\":169,\"text\":\"\ufffd\",\"start\":1,\"stop\":2}]" },
	{ "tokens, and a parameter of a wrong type", "POST", "/tokenize", JSON, "{\"inputs\":\"a\",\"parameters\":{\"top_k\":\"x\"}}", 422,
	  "{\"error\":\"Failed to deserialize the JSON body into the target type: parameters.top_k: invalid type: string "
	  "\\\"x\\\", expected i32\",\"error_type\":\"validation\"}" },
	{ "tokens of what is no text", "POST", "/tokenize", JSON, "{\"inputs\":\"a\",\"add_special_tokens\":1}", 422,
	  "{\"error\":\"Failed to deserialize the JSON body into the target type: add_special_tokens: invalid type: integer `1`, "
	  "expected a boolean\",\"error_type\":\"validation\"}" },
	{ "the text of ids", "POST", "/detokenize", JSON, "{\"tokens\":[72,34,105]}", 200, "{\"prompt\":\"H\\\"i\"}" },
	{ "the text of no ids", "POST", "/detokenize", JSON, "{\"tokens\":[]}", 200, "{\"prompt\":\"\"}" },
	{ "the text of nothing", "POST", "/detokenize", JSON, "{\"inputs\":\"a\"}", 422,
	  "{\"error\":\"Failed to deserialize the JSON body into the target type: missing field `tokens`\",\"error_type\":\"validation\"}" },
	{ "an empty stop string", "POST", "/generate", JSON, "{\"inputs\":\"a\",\"parameters\":{\"stop\":[\"\"]}}", 422,
	  "{\"error\":\"Input validation error: `stop` sequences cannot be empty\",\"error_type\":\"validation\"}" },
	{ "what only the limits know", "POST", "/generate", JSON, "{\"inputs\":\"a\",\"parameters\":{\"truncate\":101}}",
	  422, "{\"error\":\"Input validation error: `truncate` must be strictly positive and less than 100. Given: 101\","
	  "\"error_type\":\"validation\"}" },
	{ "health", "GET", "/health", "", "", 200, "" },
	{ "ping", "GET", "/ping", "", "", 200, "" },
	{ "the root", "HEAD", "/", "", "", 200, "" },
	{ "alive", "GET", "/livez", "", "", 200, "{\"status\":\"alive\"}" },
	{ "ready", "GET", "/readyz", "", "", 200, "{\"status\":\"ready\"}" },
};

START_TEST(requests_get_these_answers)
{
	struct world w;
	const char *got;

	world_init(&w);
	ask(&w, cases[_i].method, cases[_i].path, cases[_i].type, cases[_i].body);
	got = sk_buf_str(&w.r.out);
	ck_assert_msg(w.r.status == cases[_i].status, "%s: status %d, %s", cases[_i].name, w.r.status, got);
	ck_assert_msg(!strcmp(got, cases[_i].want), "%s:\n got %s\nwant %s", cases[_i].name, got, cases[_i].want);
	ck_assert_int_eq(sk_permits_used(&w.front.permits), 0);
	world_fini(&w);
}
END_TEST

static bool has_header(struct world *w, const char *line)
{
	return strstr(sk_buf_str(&w->r.headers), line) != NULL;
}

START_TEST(long_answers_that_nobody_reads_do_not_fill_the_memory)
{
	struct world w;

	world_init(&w);
	w.front.large_bytes = SK_LARGE_BYTES_MAX;
	ask(&w, "POST", "/tokenize", JSON, "{\"inputs\":\"a\"}");
	ck_assert_int_eq(w.r.status, 429);
	ck_assert_uint_eq(w.front.large_bytes, SK_LARGE_BYTES_MAX);
	w.front.large_bytes = 0;
	ask(&w, "POST", "/tokenize", JSON, "{\"inputs\":\"a\"}");
	ck_assert_int_eq(w.r.status, 200);
	ck_assert(w.r.large_bytes >= w.r.out.len && w.front.large_bytes == w.r.large_bytes);
	world_fini(&w);
}
END_TEST

START_TEST(a_dialect_has_its_own_paths)
{
	struct world w;

	world_init(&w);
	w.front.dialect = sk_dialect_find("tgi-3");
	ask(&w, "POST", "/tokenize", JSON, "{\"inputs\":\"a\"}");
	ck_assert_int_eq(w.r.status, 200);
	w.front.dialect = sk_dialect_find("tgi-0.9.3");
	ask(&w, "POST", "/tokenize", JSON, "{\"inputs\":\"a\"}");
	ck_assert_int_eq(w.r.status, 404);
	ask(&w, "GET", "/detokenize", JSON, "");
	ck_assert_int_eq(w.r.status, 404);
	world_fini(&w);
}
END_TEST

START_TEST(a_path_names_the_methods_that_it_answers)
{
	struct world w;

	world_init(&w);
	ask(&w, "PUT", "/", "", "");
	ck_assert_int_eq(w.r.status, 405);
	ck_assert(has_header(&w, "allow: POST, GET, HEAD, OPTIONS\r\n"));
	ask(&w, "HEAD", "/generate", "", "");
	ck_assert_int_eq(w.r.status, 405);
	ck_assert(has_header(&w, "allow: POST, OPTIONS\r\n"));
	ask(&w, "POST", "/requests/x", "", "");
	ck_assert(has_header(&w, "allow: GET, HEAD, DELETE, OPTIONS\r\n"));
	ask(&w, "OPTIONS", "/generate", "", "");
	ck_assert_int_eq(w.r.status, 200);
	ck_assert(has_header(&w, "access-control-allow-origin: *\r\n"));
	ck_assert(has_header(&w, "access-control-expose-headers: x-request-id,retry-after\r\n"));
	ck_assert(!has_header(&w, "access-control-allow-methods"));
	world_fini(&w);
}
END_TEST

START_TEST(a_browser_of_a_named_site_may_read_answers)
{
	const char *preflight[] = { "HTTP_ORIGIN", "https://b.example", "HTTP_ACCESS_CONTROL_REQUEST_METHOD", "POST", NULL };
	const char *stranger[] = { "HTTP_ORIGIN", "https://b.example.org", NULL };
	struct world w;

	world_init(&w);
	w.options.cors_allow_origin = "https://a.example,https://b.example";
	w.r.params = preflight;
	ask(&w, "OPTIONS", "/generate", "", "");
	ck_assert(has_header(&w, "access-control-allow-origin: https://b.example\r\n"));
	ck_assert(has_header(&w, "access-control-allow-methods: GET,POST,DELETE\r\n"));
	ck_assert(has_header(&w, "access-control-allow-headers: content-type,authorization,x-api-key,x-request-id,"
			     "x-request-timeout,x-saker-deadline-ms\r\n"));
	w.r.params = stranger;
	ask(&w, "GET", "/ping", "", "");
	ck_assert(!has_header(&w, "access-control-allow-origin"));
	ck_assert(has_header(&w, "vary: origin\r\n"));
	world_fini(&w);
}
END_TEST

/* Every row of routes.def: open, or refused without a key and served with one. */
START_TEST(routes_are_open_or_ask_for_a_key)
{
	static const char *const key[] = { "HTTP_AUTHORIZATION", "Bearer k", NULL };
	const struct sk_route *rows;
	size_t len, open = 0;
	struct world w;

	world_init(&w);
	ck_assert_int_eq(sk_keys_open("k", "", &w.front.keys, &(struct sk_err){ 0 }), SK_OK);
	rows = sk_route_list(&len);
	for (size_t i = 0; i < len; i++) {
		w.r.params = NULL;
		ask(&w, rows[i].method, rows[i].path, JSON, "{\"inputs\":\"a\",\"tokens\":[1],\"messages\":[{}],\"prompt\":\"a\"}");
		ck_assert_msg(w.r.status == (rows[i].flags & SK_ROUTE_OPEN ? 200 : 401), "%s %s: %d", rows[i].method, rows[i].path,
			      w.r.status);
		open += (rows[i].flags & SK_ROUTE_OPEN) != 0;
		ck_assert(w.r.status == 200 || (w.r.key == SK_KEY_NONE && !w.r.gen && !w.r.generates));
		w.r.params = (const char **)key;
		ask(&w, rows[i].method, rows[i].path, JSON, "{\"inputs\":\"a\",\"tokens\":[1],\"messages\":[{}],\"prompt\":\"a\"}");
		ck_assert_msg(w.r.status == 200 || w.r.status == 404, "%s %s: %d", rows[i].method, rows[i].path, w.r.status);
		ck_assert_int_eq(w.r.generates, (rows[i].flags & SK_ROUTE_GENERATE) != 0);
	}
	ck_assert_uint_eq(open, 6);
	sk_keys_close(&w.front.keys);
	world_fini(&w);
}
END_TEST

START_TEST(a_cancelled_request_is_not_tried_again)
{
	struct world w;

	world_init(&w);
	w.engine.fail = SK_ECANCELED;
	ask(&w, "POST", "/generate", JSON, "{\"inputs\":\"a\"}");
	ck_assert_int_eq(w.r.status, 500);
	ck_assert_str_eq(w.r.error_type, "incomplete_generation");
	w.r.cancelled = true;
	sk_buf_clear(&w.r.out);
	sk_reply_status(&w.r, SK_ECANCELED, NULL);
	ck_assert_int_eq(w.r.status, 410);
	ck_assert_str_eq(sk_buf_str(&w.r.out), "{\"error\":\"Incomplete generation: the request was cancelled\","
			 "\"error_type\":\"incomplete_generation\"}");
	ck_assert(!has_header(&w, "\nretry-after:"));
	world_fini(&w);
}
END_TEST

START_TEST(a_body_over_the_limit_is_refused)
{
	struct world w;

	world_init(&w);
	w.r.body_too_large = true;
	ask(&w, "POST", "/generate", JSON, "");
	ck_assert_int_eq(w.r.status, 413);
	ck_assert_str_eq(sk_buf_str(&w.r.out), "{\"error\":\"The request body is larger than the limit of 1000 bytes\","
			 "\"error_type\":\"payload_too_large\"}");
	world_fini(&w);
}
END_TEST

/* "wrong type" < "no permit" < "out of range" */
START_TEST(permits_come_between_types_and_ranges)
{
	struct world w;

	world_init(&w);
	sk_permits_limit(&w.front.permits, 0);
	ask(&w, "POST", "/generate", JSON, "{\"inputs\":5}");
	ck_assert_int_eq(w.r.status, 422);
	ask(&w, "POST", "/generate", JSON, "{\"inputs\":\"a\",\"parameters\":{\"best_of\":3}}");
	ck_assert_int_eq(w.r.status, 422);
	ask(&w, "POST", "/generate_stream", JSON, "{\"inputs\":\"\"}");
	ck_assert_int_eq(w.r.status, 429);
	ck_assert_str_eq(sk_buf_str(&w.r.out), "{\"error\":\"Model is overloaded\",\"error_type\":\"overloaded\"}");
	ck_assert(!w.r.stream);
	world_fini(&w);
}
END_TEST

/* name and value of a header; the settings request-timeout-ms and max-request-timeout-ms; -1: refused */
static const struct { const char *name, *value; int64_t usual, most, want_ms; } deadline_cases[] = {
	{ NULL, NULL, 0, 0, 0 },
	{ NULL, NULL, 500, 0, 500 },
	{ NULL, NULL, 0, 700, 700 },
	{ "HTTP_X_REQUEST_TIMEOUT", "2", 500, 0, 2000 },
	{ "HTTP_X_REQUEST_TIMEOUT", "2", 0, 1500, 1500 },
	{ "HTTP_X_REQUEST_TIMEOUT", "0.25", 0, 0, 250 },
	{ "HTTP_X_REQUEST_TIMEOUT", "1.", 0, 0, -1 },
	{ "HTTP_X_REQUEST_TIMEOUT", "2, 1.5", 0, 0, 1500 },
	{ "HTTP_X_REQUEST_TIMEOUT", " 1\t,2", 0, 0, 1000 },
	{ "HTTP_X_REQUEST_TIMEOUT", "2, soon", 0, 0, -1 },
	{ "HTTP_X_REQUEST_TIMEOUT", "2,", 0, 0, -1 },
	{ "HTTP_X_REQUEST_TIMEOUT", "2,,1", 0, 0, -1 },
	{ "HTTP_X_REQUEST_TIMEOUT", "2 1", 0, 0, -1 },
	{ "HTTP_X_SAKER_DEADLINE_MS", "1500,900", 0, 0, 900 },
	{ "HTTP_X_REQUEST_TIMEOUT", "0.001", 0, 0, 1 },
	{ "HTTP_X_REQUEST_TIMEOUT", "86400", 0, 0, 86400000 },
	{ "HTTP_X_REQUEST_TIMEOUT", "86400.001", 0, 0, -1 },
	{ "HTTP_X_REQUEST_TIMEOUT", "0.0001", 0, 0, -1 },
	{ "HTTP_X_REQUEST_TIMEOUT", "0", 0, 0, -1 },
	{ "HTTP_X_REQUEST_TIMEOUT", "", 0, 0, -1 },
	{ "HTTP_X_REQUEST_TIMEOUT", ".5", 0, 0, -1 },
	{ "HTTP_X_REQUEST_TIMEOUT", "1.2.3", 0, 0, -1 },
	{ "HTTP_X_REQUEST_TIMEOUT", "5s", 0, 0, -1 },
	{ "HTTP_X_REQUEST_TIMEOUT", "-1", 0, 0, -1 },
	{ "HTTP_X_REQUEST_TIMEOUT", "99999999999999999999999999", 0, 0, -1 },
	{ "HTTP_X_SAKER_DEADLINE_MS", "1500", 0, 0, 1500 },
	{ "HTTP_X_SAKER_DEADLINE_MS", "86400000", 0, 0, 86400000 },
	{ "HTTP_X_SAKER_DEADLINE_MS", "86400001", 0, 0, -1 },
	{ "HTTP_X_SAKER_DEADLINE_MS", "1.5", 0, 0, -1 },
	{ "HTTP_X_SAKER_DEADLINE_MS", "0", 0, 0, -1 },
};

START_TEST(a_client_says_how_long_it_waits)
{
	const char *params[] = { deadline_cases[_i].name, deadline_cases[_i].value, NULL };
	int64_t want = deadline_cases[_i].want_ms;
	struct world w;

	world_init(&w);
	w.options.request_timeout_ms = deadline_cases[_i].usual;
	w.options.max_request_timeout_ms = deadline_cases[_i].most;
	w.r.params = params;
	ask(&w, "POST", "/generate", JSON, "{\"inputs\":\"a\"}");
	if (want < 0) {
		ck_assert_int_eq(w.r.status, 400);
		ck_assert_str_eq(w.r.error_type, "invalid_header");
		ck_assert_ptr_nonnull(strstr(sk_buf_str(&w.r.out), "{\"error\":\"The header x-"));
	} else {
		ck_assert_int_eq(w.r.status, 200);
		ck_assert_int_eq(w.r.timeout_ms, want);
		ck_assert_int_eq(w.r.deadline_us, want ? w.r.arrived_us + want * 1000 : 0);
	}
	/* Who generates nothing has no deadline, and is not asked for a right one. */
	ask(&w, "GET", "/info", JSON, "");
	ck_assert_int_eq(w.r.status, 200);
	world_fini(&w);
}
END_TEST

START_TEST(the_shorter_of_two_deadlines_counts)
{
	const char *params[] = { "HTTP_X_SAKER_DEADLINE_MS", "300", "HTTP_X_REQUEST_TIMEOUT", "0.2", NULL };
	struct world w;

	world_init(&w);
	w.r.params = params;
	ask(&w, "POST", "/generate", JSON, "{\"inputs\":\"a\"}");
	ck_assert_int_eq(w.r.timeout_ms, 200);
	params[3] = "20";
	ask(&w, "POST", "/generate", JSON, "{\"inputs\":\"a\"}");
	ck_assert_int_eq(w.r.timeout_ms, 300);
	world_fini(&w);
}
END_TEST

/* As nginx passes on a header that came twice; other web servers make a list of it. */
START_TEST(a_header_that_comes_twice_is_the_shorter_time)
{
	const char *params[] = { "HTTP_X_REQUEST_TIMEOUT", "2", "HTTP_X_REQUEST_TIMEOUT", "1", NULL };
	struct world w;

	world_init(&w);
	w.r.params = params;
	ask(&w, "POST", "/generate", JSON, "{\"inputs\":\"a\"}");
	ck_assert_int_eq(w.r.timeout_ms, 1000);
	params[3] = "soon";
	ask(&w, "POST", "/generate", JSON, "{\"inputs\":\"a\"}");
	ck_assert_int_eq(w.r.status, 400);
	world_fini(&w);
}
END_TEST

START_TEST(what_comes_to_a_worker_after_its_deadline_is_not_parsed)
{
	const char *params[] = { "HTTP_X_SAKER_DEADLINE_MS", "5", NULL };
	struct world w;

	world_init(&w);
	w.r = (struct sk_request){ .front = &w.front, .method = "POST", .path = "/generate", .content_type = JSON, .body = "no JSON",
				   .body_len = 7, .params = params, .arrived_us = sk_now_us() - 6000 };
	sk_buf_init(&w.r.out, 1 << 20);
	sk_buf_init(&w.r.headers, 1 << 16);
	ck_assert(!sk_route_quick(&w.r));
	sk_route(&w.r);
	ck_assert_int_eq(w.r.status, 504);
	ck_assert_str_eq(sk_buf_str(&w.r.out), "{\"error\":\"Deadline exceeded: the answer was not complete within 5 ms\","
			 "\"error_type\":\"deadline\"}");
	world_fini(&w);
}
END_TEST

static const struct { sk_status st; int http; const char *want; } submit_cases[] = {
	{ SK_EINVAL, 422, "{\"error\":\"Input validation error: `inputs` must have less than 100 tokens. Given: 101\","
	  "\"error_type\":\"validation\"}" },
	/* The engine's own words, which tell the progress. */
	{ SK_ELOADING, 503, "{\"error\":\"`inputs` must have less than 100 tokens. Given: 101\",\"error_type\":\"loading\"}" },
	{ SK_EDRAINING, 503, "{\"error\":\"Server is shutting down\",\"error_type\":\"draining\"}" },
	{ SK_EOVERLOADED, 429, "{\"error\":\"Model is overloaded\",\"error_type\":\"overloaded\"}" },
	{ SK_EBUG, 500, "{\"error\":\"Internal error\",\"error_type\":\"internal\"}" },
};

START_TEST(what_the_engine_refuses_has_a_status)
{
	struct world w;

	world_init(&w);
	w.engine.submit = submit_cases[_i].st;
	ask(&w, "POST", "/generate_stream", JSON, "{\"inputs\":\"a\"}");
	ck_assert_int_eq(w.r.status, submit_cases[_i].http);
	ck_assert_str_eq(sk_buf_str(&w.r.out), submit_cases[_i].want);
	ck_assert(!w.r.stream);
	world_fini(&w);
}
END_TEST

START_TEST(a_failure_is_an_event_in_a_stream_and_a_status_elsewhere)
{
	struct world w;
	const char *last;

	world_init(&w);
	w.engine.fail = SK_EENGINE;
	ask(&w, "POST", "/generate", JSON, "{\"inputs\":\"a\",\"parameters\":{\"details\":true}}");
	ck_assert_int_eq(w.r.status, 424);
	ck_assert_str_eq(sk_buf_str(&w.r.out),
			 "{\"error\":\"Request failed during generation: it broke\",\"error_type\":\"generation\"}");
	ask(&w, "POST", "/generate_stream", JSON, "{\"inputs\":\"a\"}");
	ck_assert_int_eq(w.r.status, 200);
	last = strstr(sk_buf_str(&w.r.out), "\n\n") + 2;
	ck_assert_str_eq(last, "data: {\"error\":\"Request failed during generation: it broke\","
			 "\"error_type\":\"generation\"}\n\n");
	world_fini(&w);
}
END_TEST

START_TEST(headers_tell_the_times)
{
	static const char *const names[] = { "x-compute-type: ref+optimized\r\n", "x-compute-characters: 3\r\n",
		"x-compute-time: 0.", "x-total-time: ", "x-validation-time: ", "x-queue-time: 0\r\n",
		"x-inference-time: 0\r\n", "x-time-per-token: 0\r\n", "x-prompt-tokens: 2\r\n",
		"x-generated-tokens: 2\r\n" };
	struct world w;

	world_init(&w);
	ask(&w, "POST", "/generate", JSON, "{\"inputs\":\"h\\u00e9\xf0\x9f\x98\x80\"}");
	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		ck_assert_msg(has_header(&w, names[i]), "%s", names[i]);
	ask(&w, "POST", "/generate_stream", JSON, "{\"inputs\":\"a\"}");
	ck_assert(has_header(&w, "cache-control: no-cache\r\n") && has_header(&w, "x-accel-buffering: no\r\n"));
	ck_assert(has_header(&w, "x-compute-type: ref+optimized\r\n") && !has_header(&w, "x-total-time"));
	ck_assert_str_eq(w.r.reply_type, "text/event-stream");
	world_fini(&w);
}
END_TEST

START_TEST(parameters_reach_the_engine)
{
	struct world w;
	const struct sk_gen_params *p = &w.engine.gen.params;

	world_init(&w);
	ask(&w, "POST", "/generate", JSON, "{\"inputs\":\"abc\",\"parameters\":{\"temperature\":0.5,"
	    "\"repetition_penalty\":1.5,\"frequency_penalty\":-1,\"top_k\":3,\"top_p\":0.25,\"typical_p\":0.75,"
	    "\"do_sample\":true,\"max_new_tokens\":7,\"seed\":9,\"stop\":[\"x\",\"yz\"],\"truncate\":5,"
	    "\"top_n_tokens\":2,\"decoder_input_details\":true,\"ignore_eos\":true,\"best_of\":1,\"watermark\":true,"
	    "\"presence_penalty\":0.5,\"min_p\":0.125,\"logit_bias\":{\"7\":-3,\"9\":1.5},"
	    "\"grammar\":null,\"adapter_id\":null}}");
	ck_assert_int_eq(w.r.status, 200);
	ck_assert_str_eq(w.engine.prompt, "abc");
	ck_assert(p->temperature == 0.5f && p->repetition_penalty == 1.5f && p->frequency_penalty == -1.0f);
	ck_assert(p->top_k == 3 && p->top_p == 0.25f && p->typical_p == 0.75f && p->do_sample);
	ck_assert(p->presence_penalty == 0.5f && p->min_p == 0.125f && p->bias_len == 2 && p->watermark);
	ck_assert(p->max_new_tokens == 7 && p->has_seed && p->seed == 9 && p->truncate == 5);
	ck_assert(p->top_n_tokens == 2 && p->prompt_logprobs && p->ignore_eos && p->n == 1);
	ck_assert(p->stop_len == 2 && p->stop_bytes[0] == 1 && p->stop_bytes[1] == 2 && !p->no_special);
	ask(&w, "POST", "/generate", JSON, "{\"inputs\":\"abc\"}");
	ck_assert(p->temperature == 1.0f && p->repetition_penalty == 1.0f && p->frequency_penalty == 0.0f);
	ck_assert(p->top_k == 0 && p->top_p == 1.0f && p->typical_p == 1.0f && !p->do_sample && !p->has_seed);
	ck_assert(p->presence_penalty == 0.0f && p->min_p == 0.0f && p->bias_len == 0 && !p->watermark);
	ck_assert(p->max_new_tokens == 20 && p->truncate == 0 && p->stop_len == 0 && !p->ignore_eos && p->frequency_share == 0.0f);
	w.front.dialect = sk_dialect_find("tgi-3");
	ask(&w, "POST", "/generate", JSON, "{\"inputs\":\"abc\",\"parameters\":{\"frequency_penalty\":-1.5}}");
	ck_assert(p->frequency_penalty == 0.0f && p->frequency_share == -1.5f && !p->one_eos);
	w.front.dialect = sk_dialect_find("tgi-0.9.3");
	ask(&w, "POST", "/generate", JSON, "{\"inputs\":\"abc\"}");
	ck_assert(p->one_eos);
	world_fini(&w);
}
END_TEST

START_TEST(a_hub_model_repeats_the_prompt_on_the_compat_route)
{
	struct world w;

	world_init(&w);
	w.options.pipeline_tag = "text-generation";
	ask(&w, "POST", "/", JSON, "{\"inputs\":\"a\"}");
	ck_assert_str_eq(sk_buf_str(&w.r.out), "[{\"generated_text\":\"a Hi!\"}]");
	ask(&w, "POST", "/", JSON, "{\"inputs\":\"a\",\"parameters\":{\"return_full_text\":false}}");
	ck_assert_str_eq(sk_buf_str(&w.r.out), "[{\"generated_text\":\" Hi!\"}]");
	ask(&w, "POST", "/generate", JSON, "{\"inputs\":\"a\"}");
	ck_assert_str_eq(sk_buf_str(&w.r.out), "{\"generated_text\":\" Hi!\"}");
	world_fini(&w);
}
END_TEST

START_TEST(health_follows_the_engine)
{
	struct world w;

	world_init(&w);
	w.engine.state = SK_STATE_LOADING;
	ask(&w, "GET", "/readyz", "", "");
	ck_assert_int_eq(w.r.status, 503);
	ck_assert_str_eq(sk_buf_str(&w.r.out), "{\"status\":\"loading\",\"phase\":\"weights\",\"done\":5,\"total\":10}");
	ask(&w, "GET", "/ping", "", "");
	ck_assert_int_eq(w.r.status, 503);
	ck_assert_str_eq(sk_buf_str(&w.r.out), "{\"error\":\"unhealthy\",\"error_type\":\"healthcheck\","
			 "\"status\":\"loading\",\"phase\":\"weights\",\"done\":5,\"total\":10}");
	ask(&w, "GET", "/livez", "", "");
	ck_assert_int_eq(w.r.status, 200);
	w.engine.state = SK_STATE_FAILED;
	ask(&w, "GET", "/livez", "", "");
	ck_assert_int_eq(w.r.status, 503);
	w.engine.state = SK_STATE_READY;
	w.front.draining = true;
	ask(&w, "GET", "/readyz", "", "");
	ck_assert_int_eq(w.r.status, 503);
	ck_assert_str_eq(sk_buf_str(&w.r.out), "{\"status\":\"draining\"}");
	world_fini(&w);
}
END_TEST

START_TEST(info_tells_the_model_and_the_limits)
{
	static const char *const parts[] = { "{\"model_id\":\"tiny.gguf\",\"model_sha\":null,", "\"max_input_tokens\":100,",
		"\"max_input_length\":100,", "\"max_total_tokens\":128,", "\"max_batch_total_tokens\":128,",
		"\"max_concurrent_requests\":2,", "\"model_pipeline_tag\":null,",
		"\"watermark_scheme\":\"public\",\"watermark_gamma\":0.25,\"watermark_delta\":1.5," };
	struct world w;

	world_init(&w);
	ask(&w, "GET", "/info", "", "");
	ck_assert_int_eq(w.r.status, 200);
	for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
		ck_assert_msg(strstr(sk_buf_str(&w.r.out), parts[i]), "%s", parts[i]);
	w.options.model_name = "o/m";
	w.options.model = "/cache/models--o--m/snapshots/abc123";
	w.options.watermark_key_file = "/etc/key";
	ask(&w, "GET", "/info", "", "");
	ck_assert(strstr(sk_buf_str(&w.r.out), "\"model_sha\":\"abc123\"") && strstr(sk_buf_str(&w.r.out), "\"watermark_scheme\":\"keyed\""));
	world_fini(&w);
}
END_TEST

START_TEST(every_field_has_words_for_the_manual)
{
	size_t len;
	const struct sk_field *f = sk_tgi_fields(&len);

	for (size_t i = 0; i < len; i++) {
		ck_assert(f[i].doc && *f[i].doc);
		ck_assert((f[i].range & SK_RANGE_ANY) || f[i].message);
		ck_assert(f[i].required || f[i].fallback);
	}
}
END_TEST

static const struct { const char *accept; bool html; } accepts[] = {
	{ NULL, false }, { "", false }, { "*/*", false }, { "application/json", false }, { "text/*", false }, { "text/htmlx", false },
	{ "xtext/html", false }, { "text/html;q=0", false }, { "text/html ; Q=0.000", false }, { ",, ,", false }, { "text/htm", false },
	{ "text/html", true }, { "TEXT/HTML;level=1", true }, { "*/*;q=0.1,text/html;q=0.001", true }, { "text/html;q=", true },
	{ "text/html;xq=0", true }, { "a/b, text/html", true }, { "text/html, text/html;q=0", true },
	{ "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", true },
};

/* Browsers name text/html; what programs send does not. */
START_TEST(a_page_is_for_whom_accepts_html)
{
	ck_assert_msg(sk_accepts_html(accepts[_i].accept) == accepts[_i].html, "%s", accepts[_i].accept);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("route");
	TCase *c = tcase_create("route");
	SRunner *sr;
	int failed;

	tcase_add_loop_test(c, requests_get_these_answers, 0, sizeof cases / sizeof *cases);
	tcase_add_test(c, long_answers_that_nobody_reads_do_not_fill_the_memory);
	tcase_add_test(c, a_dialect_has_its_own_paths);
	tcase_add_test(c, a_path_names_the_methods_that_it_answers);
	tcase_add_test(c, a_browser_of_a_named_site_may_read_answers);
	tcase_add_loop_test(c, a_page_is_for_whom_accepts_html, 0, sizeof accepts / sizeof *accepts);
	tcase_add_test(c, routes_are_open_or_ask_for_a_key);
	tcase_add_test(c, a_cancelled_request_is_not_tried_again);
	tcase_add_test(c, a_body_over_the_limit_is_refused);
	tcase_add_test(c, permits_come_between_types_and_ranges);
	tcase_add_loop_test(c, a_client_says_how_long_it_waits, 0, sizeof deadline_cases / sizeof *deadline_cases);
	tcase_add_test(c, the_shorter_of_two_deadlines_counts);
	tcase_add_test(c, a_header_that_comes_twice_is_the_shorter_time);
	tcase_add_test(c, what_comes_to_a_worker_after_its_deadline_is_not_parsed);
	tcase_add_loop_test(c, what_the_engine_refuses_has_a_status, 0, sizeof submit_cases / sizeof *submit_cases);
	tcase_add_test(c, a_failure_is_an_event_in_a_stream_and_a_status_elsewhere);
	tcase_add_test(c, headers_tell_the_times);
	tcase_add_test(c, parameters_reach_the_engine);
	tcase_add_test(c, a_hub_model_repeats_the_prompt_on_the_compat_route);
	tcase_add_test(c, health_follows_the_engine);
	tcase_add_test(c, info_tells_the_model_and_the_limits);
	tcase_add_test(c, every_field_has_words_for_the_manual);
	suite_add_tcase(s, c);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_ENV);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? 1 : 0;
}
