/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The request fields of text-generation-inference's native API: one table that reads, checks and documents them.
 *
 * Texts are TGI's, byte for byte. Rows stand in TGI's order of checks, so the first fault is the one TGI names.
 */
#include <math.h>

#include "fcgi/api_tgi.h"
#include "fcgi/dialect.h"

#define PARAMETER(name) "parameters", #name
#define BODY(name) NULL, #name
#define SINCE_3 (SK_KNOWS_SAKER | SK_KNOWS_TGI_3)
#define AT(name) offsetof(struct sk_tgi_values, name)

static const struct sk_field fields[] = {
	{ PARAMETER(best_of), SK_FIELD_U64, false, AT(best_of), SK_RANGE_EARLY, 0, 0, SK_LIMIT_BEST_OF,
	  "`best_of` must be > 0 and <= {max}. Given: {n}", "1",
	  "draw this many answers and return the likeliest: the highest mean of its tokens' log-probabilities; not on streams, and "
	  "without `seed`" },
	{ PARAMETER(grammar), SK_FIELD_ANY, false, AT(grammar), 0, 0, 0, SK_LIMIT_NONE,
	  "`grammar` is not supported yet", "null", "constrain the text to a grammar; not supported yet", SINCE_3 },
	{ PARAMETER(adapter_id), SK_FIELD_ANY, false, AT(adapter_id), 0, 0, 0, SK_LIMIT_NONE,
	  "`adapter_id` is not supported yet", "null", "a LoRA adapter; not supported yet", SINCE_3 },
	{ PARAMETER(temperature), SK_FIELD_F32, false, AT(temperature), SK_RANGE_OPEN_MIN, 0, HUGE_VAL, SK_LIMIT_NONE,
	  "`temperature` must be strictly positive", "1.0",
	  "divides the logits; any value but 1 samples" },
	{ PARAMETER(repetition_penalty), SK_FIELD_F32, false, AT(repetition_penalty), SK_RANGE_OPEN_MIN, 0, HUGE_VAL,
	  SK_LIMIT_NONE, "`repetition_penalty` must be strictly positive", "1.0",
	  "divides (if negative: multiplies) the logits of tokens that prompt or answer hold; 1: off" },
	{ PARAMETER(frequency_penalty), SK_FIELD_F32, false, AT(frequency_penalty), 0, -2, 2, SK_LIMIT_NONE,
	  "`frequency_penalty` must be >= -2.0 and <= 2.0", "0.0",
	  "subtracted from a token's logit for each time the answer holds it (in tgi-3: times its share of prompt and answer); 0: off", SINCE_3 },
	{ PARAMETER(presence_penalty), SK_FIELD_F32, false, AT(presence_penalty), 0, -2, 2, SK_LIMIT_NONE,
	  "`presence_penalty` must be >= -2.0 and <= 2.0", "0.0",
	  "saker's own: subtracted once from the logit of each token that the answer holds; 0: off", SK_KNOWS_SAKER },
	{ PARAMETER(logit_bias), SK_FIELD_BIAS, false, AT(logit_bias), 0, 0, 100, SK_LIMIT_NONE,
	  "`logit_bias` values must be >= -100.0 and <= 100.0", "{}",
	  "saker's own: {\"50256\": -100} adds to the logits of token ids, before the penalties", SK_KNOWS_SAKER },
	{ PARAMETER(top_p), SK_FIELD_F32, false, AT(top_p), SK_RANGE_OPEN_MIN | SK_RANGE_OPEN_MAX, 0, 1, SK_LIMIT_NONE,
	  "`top_p` must be > 0.0 and < 1.0", "off", "keep the likeliest tokens that together reach this probability" },
	{ PARAMETER(typical_p), SK_FIELD_F32, false, AT(typical_p), SK_RANGE_OPEN_MIN | SK_RANGE_OPEN_MAX, 0, 1,
	  SK_LIMIT_NONE, "`typical_p` must be > 0.0 and < 1.0", "off",
	  "keep the tokens whose surprise is nearest to the expected one, up to this probability" },
	{ PARAMETER(min_p), SK_FIELD_F32, false, AT(min_p), 0, 0, 1, SK_LIMIT_NONE,
	  "`min_p` must be >= 0.0 and <= 1.0", "off",
	  "saker's own: keep the tokens at least this many times as likely as the likeliest", SK_KNOWS_SAKER },
	{ PARAMETER(top_k), SK_FIELD_I32, false, AT(top_k), SK_RANGE_OPEN_MIN, 0, HUGE_VAL, SK_LIMIT_NONE,
	  "`top_k` must be strictly positive", "off", "keep the k likeliest tokens" },
	{ PARAMETER(max_new_tokens), SK_FIELD_U32, false, AT(max_new_tokens), SK_RANGE_OPEN_MIN, 0, HUGE_VAL,
	  SK_LIMIT_NONE, "`max_new_tokens` must be strictly positive", SK_FALLBACK_NEW_TOKENS, "generate at most this many tokens" },
	{ PARAMETER(stop), SK_FIELD_STRS, false, AT(stop), 0, 0, 0, SK_LIMIT_STOP,
	  "`stop` supports up to {max} stop sequences. Given: {n}", "[]",
	  "end when the text holds one of these strings; the string stays in the text" },
	{ PARAMETER(seed), SK_FIELD_U64, false, AT(seed), SK_RANGE_ANY | SK_RANGE_UNSET, 0, 0, SK_LIMIT_SEED,
	  "`seed` must not be set when `best_of` > 1", "random", "the same seed gives the same text" },
	{ PARAMETER(top_n_tokens), SK_FIELD_U32, false, AT(top_n_tokens), 0, 0, 0, SK_LIMIT_TOP_N,
	  "`top_n_tokens` must be >= 0 and <= {max}. Given: {n}", "0",
	  "report the n likeliest tokens of every position", SINCE_3 },
	{ BODY(inputs), SK_FIELD_STR, true, AT(inputs), 0, 1, HUGE_VAL, SK_LIMIT_NONE,
	  "`inputs` cannot be empty", NULL, "the prompt" },
	{ PARAMETER(truncate), SK_FIELD_U32, false, AT(truncate), SK_RANGE_OPEN_MIN, 0, 0, SK_LIMIT_INPUT,
	  "`truncate` must be strictly positive and less than {max}. Given: {n}", "off",
	  "keep the last n tokens of the prompt" },
	{ BODY(parameters), SK_FIELD_ANY, false, AT(parameters), SK_RANGE_ANY, 0, 0, SK_LIMIT_NONE,
	  NULL, "{}", "what follows below `parameters.`" },
	{ BODY(stream), SK_FIELD_BOOL, false, AT(stream), SK_RANGE_ANY, 0, 0, SK_LIMIT_NONE,
	  NULL, "false", "POST / and /invocations: answer with events" },
	{ PARAMETER(do_sample), SK_FIELD_BOOL, false, AT(do_sample), SK_RANGE_ANY, 0, 0, SK_LIMIT_NONE,
	  NULL, "false", "draw tokens instead of taking the likeliest" },
	{ PARAMETER(watermark), SK_FIELD_BOOL, false, AT(watermark), SK_RANGE_ANY, 0, 0, SK_LIMIT_NONE,
	  NULL, "false", "mark the text as made by a machine: POST /watermark/detect and saker detect find it" },
	{ PARAMETER(return_full_text), SK_FIELD_BOOL, false, AT(return_full_text), SK_RANGE_ANY, 0, 0, SK_LIMIT_NONE,
	  NULL, "false", "put the prompt before generated_text" },
	{ PARAMETER(details), SK_FIELD_BOOL, false, AT(details), SK_RANGE_ANY, 0, 0, SK_LIMIT_NONE,
	  NULL, "false", "report tokens, log-probabilities and the reason of the end" },
	{ PARAMETER(decoder_input_details), SK_FIELD_BOOL, false, AT(decoder_input_details), SK_RANGE_ANY, 0, 0,
	  SK_LIMIT_NONE, NULL, "false", "report the prompt's tokens too; not on streams" },
	{ PARAMETER(ignore_eos), SK_FIELD_BOOL, false, AT(ignore_eos), SK_RANGE_ANY, 0, 0, SK_LIMIT_NONE,
	  NULL, "false", "saker's own: go on to max_new_tokens whatever the model says (benchmarks)", SK_KNOWS_SAKER },
};

#define FIELDS_LEN (sizeof fields / sizeof *fields)

const struct sk_field *sk_tgi_fields(size_t *ret_len)
{
	*ret_len = FIELDS_LEN;
	return fields;
}
