/* SPDX-License-Identifier: Apache-2.0 */
/*
 * POST /chat_tokenize: the prompt that the model's chat template makes of a conversation, and its tokens. A worker does it; nothing is
 * generated.
 */
#include "fcgi/api_chat.h"

#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fcgi/api_tokenize.h"
#include "fcgi/json.h"
#include "fcgi/request.h"
#include "fcgi/route.h"

#define AT(name) offsetof(struct sk_chat_values, name)
#define BODY(name, type, required, range, message, fallback, doc, knows) \
	{ NULL, #name, type, required, AT(name), range, 0, 0, SK_LIMIT_NONE, message, fallback, doc, knows }

static const struct sk_field fields[] = {
	BODY(messages, SK_FIELD_ANY, true, SK_RANGE_ANY, NULL, NULL, "the conversation: a list of objects with `role` and `content`", 0),
	BODY(tools, SK_FIELD_ANY, false, SK_RANGE_ANY, NULL, "null", "what the chat template is told of tools: a list", 0),
	BODY(documents, SK_FIELD_ANY, false, SK_RANGE_ANY, NULL, "null", "saker's own: documents for the chat template: a list", SK_KNOWS_SAKER),
	BODY(chat_template_kwargs, SK_FIELD_ANY, false, SK_RANGE_ANY, NULL, "{}", "saker's own: more variables of the chat template",
	     SK_KNOWS_SAKER),
	BODY(add_generation_prompt, SK_FIELD_BOOL, false, SK_RANGE_ANY, NULL, "true", "saker's own: open the answer's turn", SK_KNOWS_SAKER),
	BODY(continue_final_message, SK_FIELD_BOOL, false, SK_RANGE_ANY, NULL, "false",
	     "saker's own: the answer goes on with the last message", SK_KNOWS_SAKER),
};

#define FIELDS_LEN (sizeof fields / sizeof *fields)

const struct sk_field *sk_chat_fields(size_t *ret_len)
{
	*ret_len = FIELDS_LEN;
	return fields;
}

/* A member as JSON; its string lives as long as the body. False when answered: it is not of the type that it must be. */
static bool member(struct sk_request *r, struct json_object *body, const char *name, bool set, enum json_type type, const char **ret_s,
		   size_t *ret_len)
{
	struct json_object *v = NULL;
	char text[128];

	*ret_s = NULL;
	*ret_len = 0;
	if (!set || !json_object_object_get_ex(body, name, &v))
		return true;
	if (!json_object_is_type(v, type)) {
		snprintf(text, sizeof text, "Failed to deserialize the JSON body into the target type: %s: invalid type, expected a %s", name,
			 type == json_type_array ? "sequence" : "map");
		sk_reply_unreadable(r, 422, "validation", text);
		return false;
	}
	*ret_s = json_object_to_json_string_length(v, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE, ret_len);
	if (!*ret_s)
		sk_reply_status(r, SK_ENOMEM, NULL);
	return *ret_s != NULL;
}

/* In TGI an assistant's message at the end is always gone on with. */
static bool last_is_assistant(struct json_object *body)
{
	struct json_object *messages, *last, *role;
	size_t n;

	if (!json_object_object_get_ex(body, "messages", &messages) || !(n = json_object_array_length(messages)))
		return false;
	last = json_object_array_get_idx(messages, n - 1);
	return json_object_is_type(last, json_type_object) && json_object_object_get_ex(last, "role", &role) &&
	       json_object_is_type(role, json_type_string) && !strcmp(json_object_get_string(role), "assistant");
}

static void template_error(struct sk_request *r, sk_status st, const struct sk_err *err)
{
	char text[sizeof err->text + 32];

	if (st != SK_EINVAL && st != SK_ETOOBIG) {
		sk_reply_status(r, st, err);
		return;
	}
	snprintf(text, sizeof text, "Template error: %s", err->text);
	sk_reply_error(r, 422, "template_error", text);
}

bool sk_chat_prompt(struct sk_request *r, struct json_object *body, char **ret_text, size_t *ret_len)
{
	unsigned knows = sk_request_dialect(r)->knows;
	struct sk_chat_params p = { 0 };
	struct sk_chat_values v;
	struct sk_err err = { 0 };
	sk_status st = sk_schema_read(fields, FIELDS_LEN, body, knows, &v, &r->arena, &err);

	if (st < 0) {
		sk_reply_types(r, st, &err);
		return false;
	}
	if (!member(r, body, "messages", true, json_type_array, &p.messages, &p.messages_len) ||
	    !member(r, body, "tools", v.tools.set, json_type_array, &p.tools, &p.tools_len) ||
	    !member(r, body, "documents", v.documents.set, json_type_array, &p.documents, &p.documents_len) ||
	    !member(r, body, "chat_template_kwargs", v.chat_template_kwargs.set, json_type_object, &p.kwargs, &p.kwargs_len))
		return false;
	p.no_generation_prompt = v.add_generation_prompt.set && !v.add_generation_prompt.yes;
	p.continue_last = knows == SK_KNOWS_SAKER ? v.continue_final_message.yes : last_is_assistant(body);
	if (p.continue_last && v.add_generation_prompt.set && v.add_generation_prompt.yes) {
		sk_reply_error(r, 422, "validation",
			       "Input validation error: `continue_final_message` and `add_generation_prompt` exclude each other");
		return false;
	}
	st = sk_engine_chat(r->front->engine, &p, ret_text, ret_len, &err);
	if (st < 0)
		template_error(r, st, &err);
	return st >= 0;
}

void sk_api_chat_tokenize(struct sk_request *r, struct json_object *body)
{
	char *text = NULL;
	size_t len = 0;

	if (!sk_chat_prompt(r, body, &text, &len))
		return;
	sk_buf_adds(&r->out, "{\"tokenize_response\":");
	if (sk_tokens_add(r, text, len, false)) {
		sk_buf_adds(&r->out, ",\"templated_text\":");
		sk_json_add_str(&r->out, text, len);
		sk_buf_addc(&r->out, '}');
		sk_tokens_reply(r);
	}
	free(text);
}
