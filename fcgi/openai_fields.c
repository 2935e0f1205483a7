/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The request fields of OpenAI's API: one table for chat, one for completions. What text-generation-inference 3 has not is ignored in its
 * dialect, as there.
 */
#include <math.h>

#include "fcgi/dialect.h"
#include "fcgi/openai.h"

#define AT(name) offsetof(struct sk_openai_values, name)
#define FIELD(name, type, range, min, max, limit, message, fallback, doc, knows) \
	{ NULL, #name, type, false, AT(name), range, min, max, limit, message, fallback, doc, knows }
#define JSON(name, fallback, doc, knows) \
	{ NULL, #name, SK_FIELD_JSON, false, AT(name), SK_RANGE_ANY, 0, 0, SK_LIMIT_NONE, NULL, fallback, doc, knows }
#define BOOL(name, fallback, doc, knows) \
	{ NULL, #name, SK_FIELD_BOOL, false, AT(name), SK_RANGE_ANY, 0, 0, SK_LIMIT_NONE, NULL, fallback, doc, knows }
#define OURS SK_KNOWS_SAKER

#define COMMON \
	FIELD(model, SK_FIELD_STR, SK_RANGE_ANY, 0, 0, SK_LIMIT_NONE, NULL, "the one that is served", "any name: there is one model", 0), \
	FIELD(n, SK_FIELD_U32, 0, 1, SK_GEN_N_MAX, SK_LIMIT_NONE, "`n` must be >= 1 and <= {max}. Given: {n}", "1", "draw this many answers", OURS), \
	FIELD(temperature, SK_FIELD_F32, 0, 0, 2, SK_LIMIT_NONE, "`temperature` must be >= 0.0 and <= 2.0", "1.0", \
	      "divides the logits; 0 takes the likeliest token", 0), \
	FIELD(top_p, SK_FIELD_F32, 0, 0, 1, SK_LIMIT_NONE, "`top_p` must be >= 0.0 and <= 1.0", "1.0", \
	      "keep the likeliest tokens that together reach this probability", 0), \
	FIELD(frequency_penalty, SK_FIELD_F32, 0, -2, 2, SK_LIMIT_NONE, "`frequency_penalty` must be >= -2.0 and <= 2.0", "0.0", \
	      "subtracted from a token's logit for each time the answer holds it (in tgi-3: times its share of prompt and answer)", 0), \
	FIELD(presence_penalty, SK_FIELD_F32, 0, -2, 2, SK_LIMIT_NONE, "`presence_penalty` must be >= -2.0 and <= 2.0", "0.0", \
	      "subtracted once from the logit of each token that the answer holds (in tgi-3: 2 more than it is the repetition penalty)", 0), \
	FIELD(logit_bias, SK_FIELD_BIAS, 0, 0, 100, SK_LIMIT_NONE, "`logit_bias` values must be >= -100.0 and <= 100.0", "{}", \
	      "{\"50256\": -100} adds to the logits of token ids", OURS), \
	FIELD(seed, SK_FIELD_U64, SK_RANGE_ANY, 0, 0, SK_LIMIT_NONE, NULL, "random", "the same seed gives the same text", 0), \
	JSON(stop, "[]", "a string or a list of strings: the text ends before the first of them (in tgi-3: behind it)", 0), \
	BOOL(stream, "false", "answer with events", 0), \
	{ NULL, "stream_options", SK_FIELD_ANY, false, AT(stream_options), SK_RANGE_ANY, 0, 0, SK_LIMIT_NONE, NULL, "{}", \
	  "`include_usage`: true: a stream ends with a chunk that has the usage", 0 }, \
	{ "stream_options", "include_usage", SK_FIELD_BOOL, false, AT(include_usage), SK_RANGE_ANY, 0, 0, SK_LIMIT_NONE, NULL, "false", \
	  "end a stream with the usage", 0 }

#define TOKENS(name, fallback) \
	FIELD(name, SK_FIELD_U32, SK_RANGE_OPEN_MIN, 0, HUGE_VAL, SK_LIMIT_NONE, "`" #name "` must be strictly positive", fallback, \
	      "generate at most this many tokens", 0)

static const struct sk_field chat_fields[] = {
	{ NULL, "messages", SK_FIELD_JSON, true, AT(messages), SK_RANGE_ANY, 0, 0, SK_LIMIT_NONE, NULL, NULL,
	  "the conversation: a list of objects with `role` and `content`, which is a string or a list of parts {\"type\": \"text\", \"text\": ...}", 0 },
	COMMON,
	TOKENS(max_tokens, "all the room that is left"),
	TOKENS(max_completion_tokens, "all the room that is left"),
	BOOL(logprobs, "false", "report tokens with their log-probabilities", 0),
	FIELD(top_logprobs, SK_FIELD_U32, 0, 0, 0, SK_LIMIT_TOP_N, "`top_logprobs` must be >= 0 and <= {max}. Given: {n}", "0",
	      "with `logprobs`: the likeliest tokens of every position too", 0),
	JSON(tools, "null", "not supported yet", 0),
	JSON(tool_choice, "null", "without `tools`: `none` or `auto`", 0),
	JSON(functions, "null", "not supported yet", 0),
	JSON(response_format, "null", "{\"type\": \"text\"}; others are not supported yet", 0),
	JSON(documents, "null", "saker's own: documents for the chat template: a list", OURS),
	JSON(chat_template_kwargs, "{}", "saker's own: more variables of the chat template", OURS),
	BOOL(add_generation_prompt, "true", "saker's own: open the answer's turn", OURS),
	BOOL(continue_final_message, "false", "saker's own: the answer goes on with the last message", OURS),
};

static const struct sk_field fields[] = {
	{ NULL, "prompt", SK_FIELD_JSON, true, AT(prompt), SK_RANGE_ANY, 0, 0, SK_LIMIT_NONE, NULL, NULL,
	  "the text to go on with: a string, a list of token ids, or a list of these: 128 / `n` at most (in tgi-3 4)", 0 },
	COMMON,
	FIELD(best_of, SK_FIELD_U32, SK_RANGE_ANY, 0, 0, SK_LIMIT_NONE, NULL, "n", "no other than `n`: all answers that are drawn are given", OURS),
	TOKENS(max_tokens, "16; in tgi-3 all the room that is left"),
	FIELD(logprobs, SK_FIELD_U32, 0, 0, 0, SK_LIMIT_TOP_N, "`logprobs` must be >= 0 and <= {max}. Given: {n}", "null",
	      "report tokens with their log-probabilities, and this many of the likeliest of every position", OURS),
	BOOL(echo, "false", "put the prompt before the text", OURS),
	JSON(suffix, "null", "not supported", 0),
};

const struct sk_field *sk_openai_chat_fields(size_t *ret_len)
{
	*ret_len = sizeof chat_fields / sizeof *chat_fields;
	return chat_fields;
}

const struct sk_field *sk_openai_fields(size_t *ret_len)
{
	*ret_len = sizeof fields / sizeof *fields;
	return fields;
}
