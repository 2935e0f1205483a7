/* SPDX-License-Identifier: Apache-2.0 */
/* A conversation to a prompt (engine/text/chat.h): where the template comes from, and what of apply_chat_template is not Jinja. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/text/chat.h"
#include "tests/lib/scratch.h"
#include "tests/lib/tiny_gguf.h"

#define SHOW "{{ messages|tojson }}|{{ tools|tojson }}|{{ documents|tojson }}|{{ add_generation_prompt }}"
#define TURNS "{% for m in messages %}[{{ m.role }}:{{ m.content }}]{% endfor %}{% if add_generation_prompt %}>{% endif %}"
#define TRIMMED "{% for m in messages %}[{{ m.role }}:{{ m.content | trim }}]{% endfor %}"
#define PARTS "{% for m in messages %}[{% for c in m.content %}{{ c.text }};{% endfor %}]{% endfor %}"
#define HI "{\"role\": \"user\", \"content\": \"Hi\"}"

static char dir[64];

/* Wants are by reading what transformers 5.24 does with a conversation before it renders; tests/golden compares the rendering itself. */
static const struct {
	const char *name, *template, *messages, *tools, *documents, *kwargs;
	bool no_prompt, continue_last;
	const char *want, *error;
} cases[] = {
	{ "what was not given is none", SHOW, "[" HI "]", NULL, NULL, NULL, false, false,
	  "[{\"role\": \"user\", \"content\": \"Hi\"}]|null|null|True", NULL },
	{ "tools and documents arrive as they are", SHOW, "[" HI "]", "[{\"a\": 1.0}]", "[]", NULL, true, false,
	  "[{\"role\": \"user\", \"content\": \"Hi\"}]|[{\"a\": 1.0}]|[]|False", NULL },
	{ "members that are null are not there", SHOW, "[{\"role\": \"assistant\", \"content\": null, \"x\": [null]}]", NULL, NULL, NULL, false,
	  false, "[{\"role\": \"assistant\", \"x\": [null]}]|null|null|True", NULL },
	{ "reasoning has all its names", SHOW, "[{\"role\": \"a\", \"reasoning\": \"why\"}]", NULL, NULL, NULL, false, false,
	  "[{\"thinking\": \"why\", \"role\": \"a\", \"reasoning\": \"why\", \"reasoning_content\": \"why\"}]|null|null|True", NULL },
	{ "of several reasonings the standard one counts", SHOW,
	  "[{\"thinking\": \"t\", \"reasoning\": \"r\", \"reasoning_content\": \"c\"}]", NULL, NULL, NULL, false, false,
	  "[{\"thinking\": \"t\", \"reasoning\": \"r\", \"reasoning_content\": \"c\"}]|null|null|True", NULL },
	{ "an answer's turn is opened", TURNS, "[" HI "]", NULL, NULL, NULL, false, false, "[user:Hi]>", NULL },
	{ "or not", TURNS, "[" HI "]", NULL, NULL, NULL, true, false, "[user:Hi]", NULL },
	{ "the last message is gone on with", TURNS, "[" HI ",{\"role\": \"assistant\", \"content\": \"So \\\"it\\\"\"}]", NULL, NULL, NULL, false,
	  true, "[user:Hi][assistant:So \"it\"", NULL },
	{ "with the blank at its end", TURNS, "[{\"role\": \"assistant\", \"content\": \"So \"}]", NULL, NULL, NULL, false, true,
	  "[assistant:So ", NULL },
	{ "but not where the template trims", TRIMMED, "[{\"role\": \"assistant\", \"content\": \"So \"}]", NULL, NULL, NULL, false, true,
	  "[assistant:So", NULL },
	{ "the last text part is gone on with", PARTS,
	  "[{\"content\": [{\"type\": \"text\", \"text\": \"a\"}, {\"type\": \"text\", \"text\": \"b\"}, {\"type\": \"image\"}]}]", NULL, NULL, NULL,
	  false, true, "[a;b", NULL },
	{ "an empty message can be gone on with", TURNS, "[" HI ",{\"role\": \"assistant\", \"content\": \"\"}]", NULL, NULL, NULL, false, true,
	  "[user:Hi][assistant:", NULL },
	{ "kwargs are variables", "{{ a }}{{ b|tojson }}", "[" HI "]", NULL, NULL, "{\"a\": 1, \"b\": {\"c\": null}}", false, false,
	  "1{\"c\": null}", NULL },
	{ "kwargs do not take the messages' place", "{{ messages|length }}{{ eos_token }}", "[" HI "]", NULL, NULL,
	  "{\"messages\": [], \"eos_token\": 5}", false, false, "1<|im_end|>", NULL },
	{ "special tokens have their text", "{{ bos_token }}{{ eos_token }}", "[" HI "]", NULL, NULL, NULL, false, false,
	  "<|im_start|><|im_end|>", NULL },
	{ "no messages", TURNS, "[]", NULL, NULL, NULL, false, false, NULL, "`messages` cannot be empty" },
	{ "a message that is none", TURNS, "[" HI ",5]", NULL, NULL, NULL, false, false, NULL, "messages[1] is no object" },
	{ "nothing to go on with", TURNS, "[{\"role\": \"assistant\"}]", NULL, NULL, NULL, false, true, NULL,
	  "the last message has no text that could be continued" },
	{ "the template leaves the last message out", "x", "[" HI "]", NULL, NULL, NULL, false, true, NULL,
	  "the chat template leaves the last message out, so it cannot be continued" },
	{ "the template refuses", "{{ raise_exception('Not \"so\"') }}", "[" HI "]", NULL, NULL, NULL, false, false, NULL,
	  "line 1: Not \"so\"" },
	{ "a template that cannot be read", "\n{% nope %}", "[" HI "]", NULL, NULL, NULL, false, false, NULL, "line 2: unknown tag 'nope'" },
	{ "messages that are no JSON", TURNS, "[" HI, NULL, NULL, NULL, false, false, NULL, "messages" },
};

static struct sk_text *open_text(const char *template)
{
	struct tiny_gguf o = TINY_GGUF_INIT;
	struct sk_text *t = NULL;
	struct sk_err err = { 0 };
	char path[512];

	o.chat_template = template;
	snprintf(path, sizeof path, "%s/t.gguf", dir);
	tiny_gguf_write(&o, path);
	ck_assert_msg(sk_tokenizer_open(path, &t, &err) == SK_OK, "%s", err.text);
	return t;
}

static struct sk_chat_params params(const char *messages)
{
	return (struct sk_chat_params){ .messages = messages, .messages_len = strlen(messages) };
}

START_TEST(conversations)
{
	struct sk_text *t = open_text(cases[_i].template);
	struct sk_chat_params p = params(cases[_i].messages);
	struct sk_buf out = SK_BUF(1 << 16);
	struct sk_chat_maker *m = NULL;
	struct sk_err err = { 0 };
	sk_status st;

	p.tools = cases[_i].tools;
	p.tools_len = p.tools ? strlen(p.tools) : 0;
	p.documents = cases[_i].documents;
	p.documents_len = p.documents ? strlen(p.documents) : 0;
	p.kwargs = cases[_i].kwargs;
	p.kwargs_len = p.kwargs ? strlen(p.kwargs) : 0;
	p.no_generation_prompt = cases[_i].no_prompt;
	p.continue_last = cases[_i].continue_last;
	ck_assert_int_eq(sk_chat_open(t, NULL, "", &m, &err), SK_OK);
	st = sk_chat_render(m, &p, &out, &err);
	if (cases[_i].error) {
		ck_assert_msg(st < 0, "%s: rendered [%s]", cases[_i].name, sk_buf_str(&out));
		ck_assert_msg(strstr(err.text, cases[_i].error), "%s: %s", cases[_i].name, err.text);
		ck_assert_uint_eq(out.len, 0);
	} else {
		ck_assert_msg(st == SK_OK, "%s: %s", cases[_i].name, err.text);
		ck_assert_msg(!strcmp(sk_buf_str(&out), cases[_i].want), "%s: [%s]", cases[_i].name, sk_buf_str(&out));
	}
	sk_buf_fini(&out);
	sk_chat_close(&m);
	sk_text_close(&t);
}
END_TEST

static const char *put(char path[512], const char *name, const char *text)
{
	FILE *f;

	snprintf(path, 512, "%s/%s", dir, name);
	f = fopen(path, "w");
	ck_assert(f && fwrite(text, 1, strlen(text), f) == strlen(text) && !fclose(f));
	return path;
}

static void expect(struct sk_text *t, const char *file, const char *config, const char *tools, const char *want)
{
	struct sk_chat_params p = params("[" HI "]");
	struct sk_buf out = SK_BUF(1 << 16);
	struct sk_chat_maker *m = NULL;
	struct sk_err err = { 0 };

	p.tools = tools;
	p.tools_len = tools ? strlen(tools) : 0;
	ck_assert_msg(sk_chat_open(t, file, config, &m, &err) == SK_OK, "%s", err.text);
	ck_assert_msg(sk_chat_render(m, &p, &out, &err) == SK_OK, "%s", err.text);
	ck_assert_str_eq(sk_buf_str(&out), want);
	sk_buf_fini(&out);
	sk_chat_close(&m);
}

START_TEST(files_take_the_place_of_the_models_template)
{
	struct sk_text *t = open_text("own");
	char file[512], config[512];

	expect(t, NULL, NULL, NULL, "own");
	put(file, "f.jinja", "of a file");
	put(config, "c.json", "{\"chat_template\": \"of a \\u0063onfig\"}");
	expect(t, file, NULL, NULL, "of a file");
	expect(t, NULL, config, NULL, "of a config");
	expect(t, file, config, NULL, "of a file");
	put(config, "c.json", "{\"chat_template\": [{\"name\": \"x\", \"template\": \"x\"}, {\"name\": \"tool_use\", \"template\": \"tools\"},"
			      "{\"name\": \"default\", \"template\": \"plain\"}]}");
	expect(t, NULL, config, NULL, "plain");
	expect(t, NULL, config, "[]", "tools");
	sk_text_close(&t);
}
END_TEST

START_TEST(files_that_cannot_be_read_are_named)
{
	struct sk_text *t = open_text("own");
	struct sk_chat_maker *m = NULL;
	struct sk_err err = { 0 };
	char path[512];

	ck_assert_int_eq(sk_chat_open(t, "/nowhere/x.jinja", NULL, &m, &err), SK_ENOENT);
	ck_assert_ptr_nonnull(strstr(err.text, "/nowhere/x.jinja"));
	ck_assert_int_eq(sk_chat_open(t, NULL, put(path, "a.json", "{\"chat_template\": 5}"), &m, &err), SK_EFORMAT);
	ck_assert_ptr_nonnull(strstr(err.text, "has no chat_template"));
	ck_assert_int_eq(sk_chat_open(t, NULL, put(path, "b.json", "{\"chat_template\": "), &m, &err), SK_EFORMAT);
	ck_assert_ptr_null(m);
	sk_text_close(&t);
}
END_TEST

START_TEST(without_a_template_nobody_chats)
{
	struct sk_text *t = open_text(NULL);
	struct sk_chat_params p = params("[" HI "]");
	struct sk_chat_maker *m = NULL;
	struct sk_buf out = SK_BUF(100);
	struct sk_err err = { 0 };

	ck_assert_int_eq(sk_chat_open(t, NULL, NULL, &m, &err), SK_OK);
	ck_assert(!sk_chat_has(m));
	ck_assert_int_eq(sk_chat_render(m, &p, &out, &err), SK_EINVAL);
	ck_assert_str_eq(err.text, "the model has no chat template");
	sk_chat_close(&m);
	sk_text_close(&t);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("chat");
	TCase *c = tcase_create("chat");
	SRunner *r = srunner_create(s);
	int failed;

	scratch_make(dir, "chat");
	tcase_add_loop_test(c, conversations, 0, sizeof cases / sizeof *cases);
	tcase_add_test(c, files_take_the_place_of_the_models_template);
	tcase_add_test(c, files_that_cannot_be_read_are_named);
	tcase_add_test(c, without_a_template_nobody_chats);
	suite_add_tcase(s, c);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	scratch_remove(dir);
	return failed != 0;
}
