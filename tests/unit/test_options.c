/* SPDX-License-Identifier: Apache-2.0 */
/* Settings: every place they come from, who wins, and what is said when one is wrong. */
#include <check.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fcgi/conf.h"
#include "fcgi/options.h"

#define LEN(array) (sizeof(array) / sizeof((array)[0]))
#define WORDS_MAX 8

static char conf_path[64];

/* Every test reads a file of its own, so that one in /etc does not matter. */
static void conf_write(const char *text)
{
	int fd;

	memcpy(conf_path, "/tmp/saker-test-conf-XXXXXX", sizeof("/tmp/saker-test-conf-XXXXXX"));
	fd = mkstemp(conf_path);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	close(fd);
	setenv("SAKER_CONF", conf_path, 1);
}

static void setup(void)
{
	conf_write("");
}

static void teardown(void)
{
	unlink(conf_path);
}

/* Read `line`, words separated by one blank; the words left over are joined into left. */
static sk_status options_of(const char *line, struct sk_options *o, char left[256], struct sk_err *err)
{
	static char storage[512];
	char *argv[WORDS_MAX + 2] = { (char[]){ "serve" } };
	int argc = 1;
	sk_status st;

	ck_assert_uint_lt(strlen(line), sizeof(storage));
	memcpy(storage, line, strlen(line) + 1);
	for (char *word = storage; word && *word && argc <= WORDS_MAX;) {
		char *blank = strchr(word, ' ');

		if (blank)
			*blank = '\0';
		argv[argc++] = word;
		word = blank ? blank + 1 : NULL;
	}
	st = sk_options_read(o, &argc, argv, err);
	left[0] = '\0';
	for (int i = 1; st == SK_OK && i < argc; i++)
		snprintf(left + strlen(left), 256 - strlen(left), "%s%s", i > 1 ? " " : "", argv[i]);
	return st;
}

START_TEST(without_anything_the_defaults_hold)
{
	struct sk_options o;
	struct sk_err err = { 0 };
	char left[256];

	ck_assert_msg(options_of("", &o, left, &err) == SK_OK, "%s", err.text);
	ck_assert_int_eq(o.max_concurrent_requests, 128);
	ck_assert_uint_eq(o.payload_limit, 16u << 20);
	ck_assert_int_eq(o.look_ahead, -1);
	ck_assert(!o.json_output);
	ck_assert_str_eq(o.socket_mode, "0660");
	ck_assert_str_eq(o.model, "");
}
END_TEST

START_TEST(a_models_card_says_what_it_is_for_unless_a_setting_does)
{
	char dir[] = "/tmp/saker-test-card-XXXXXX", card[64], line[160], left[256];
	struct sk_options o;
	struct sk_err err = { 0 };
	FILE *f;

	ck_assert_ptr_nonnull(mkdtemp(dir));
	snprintf(line, sizeof line, "--model %s", dir);
	ck_assert_int_eq(options_of(line, &o, left, &err), SK_OK);
	ck_assert_str_eq(o.pipeline_tag, "");
	snprintf(card, sizeof card, "%s/README.md", dir);
	f = fopen(card, "w");
	fputs("---\npipeline_tag: text-generation\n---\n", f);
	fclose(f);
	ck_assert_int_eq(options_of(line, &o, left, &err), SK_OK);
	ck_assert_str_eq(o.pipeline_tag, "text-generation");
	snprintf(line, sizeof line, "--model %s --pipeline-tag none", dir);
	ck_assert_int_eq(options_of(line, &o, left, &err), SK_OK);
	ck_assert_str_eq(o.pipeline_tag, "");
	unlink(card);
	rmdir(dir);
}
END_TEST

START_TEST(the_command_line_wins_over_the_environment_over_the_file)
{
	struct sk_options o;
	struct sk_err err = { 0 };
	char left[256];

	unlink(conf_path);
	conf_write("threads = 1\nworkers = 11\nmax_batch_size = 21\n");
	setenv("SAKER_WORKERS", "12", 1);
	setenv("MAX_BATCH_SIZE", "22", 1);
	ck_assert_msg(options_of("--max-batch-size 23", &o, left, &err) == SK_OK, "%s", err.text);
	ck_assert_int_eq(o.threads, 1);
	ck_assert_int_eq(o.workers, 12);
	ck_assert_int_eq(o.max_batch_size, 23);
}
END_TEST

START_TEST(sakers_own_name_wins_and_an_empty_variable_is_unset)
{
	struct sk_options o;
	struct sk_err err = { 0 };
	char left[256];

	setenv("MODEL_ID", "a.gguf", 1);
	setenv("HF_MODEL_ID", "b.gguf", 1);
	ck_assert_int_eq(options_of("", &o, left, &err), SK_OK);
	ck_assert_str_eq(o.model, "a.gguf");
	setenv("MODEL_ID", "", 1);
	ck_assert_int_eq(options_of("", &o, left, &err), SK_OK);
	ck_assert_str_eq(o.model, "b.gguf");
	setenv("SAKER_MODEL", "c.gguf", 1);
	ck_assert_int_eq(options_of("", &o, left, &err), SK_OK);
	ck_assert_str_eq(o.model, "c.gguf");
}
END_TEST

static const struct { const char *line, *left; int64_t threads; uint64_t payload; bool json; } good[] = {
	{ "--threads 3", "", 3, 16 << 20, false },
	{ "--threads=4 word", "word", 4, 16 << 20, false },
	{ "a --json-output b", "a b", 0, 16 << 20, true },
	{ "--json-output --json-output=false", "", 0, 16 << 20, false },
	{ "--payload-limit 2K", "", 0, 2048, false },
	{ "--payload-limit=3g", "", 0, UINT64_C(3) << 30, false },
	{ "--payload-limit 1T", "", 0, UINT64_C(1) << 40, false },
	{ "--payload-limit 2t", "", 0, UINT64_C(2) << 40, false },
	{ "--payload-limit 5", "", 0, 5, false },
	{ "--compat tgi-3", "", 0, 2000000, false },
	{ "--compat=tgi-0.9.3", "", 0, 2 << 20, false },
	{ "--payload-limit 7 --compat=tgi-0.9.3", "", 0, 7, false },
	{ "--threads 1 --threads 2", "", 2, 16 << 20, false },
	{ "- -- --threads 2", "- --threads 2", 0, 16 << 20, false },
};

START_TEST(flags_and_words_are_told_apart)
{
	struct sk_options o;
	struct sk_err err = { 0 };
	char left[256];

	ck_assert_msg(options_of(good[_i].line, &o, left, &err) == SK_OK, "%s: %s", good[_i].line, err.text);
	ck_assert_str_eq(left, good[_i].left);
	ck_assert_int_eq(o.threads, good[_i].threads);
	ck_assert_uint_eq(o.payload_limit, good[_i].payload);
	ck_assert(o.json_output == good[_i].json);
}
END_TEST

static const struct { const char *line, *want; } bad[] = {
	{ "--nonsense 3", "unknown flag --nonsense" },
	{ "--nonsense=3", "unknown flag --nonsense (" },
	{ "-t 3", "unknown flag -t" },
	{ "--", "" },
	{ "--threads", "--threads: its N is missing" },
	{ "--threads abc", "--threads: \"abc\" is no number" },
	{ "--threads 12x", "--threads: \"12x\" is no number" },
	{ "--threads=", "--threads: \"\" is no number" },
	{ "--threads 2K", "is no number" },
	{ "--threads 1025", "--threads: 1025 is too large, the limit is 1024" },
	{ "--threads -1", "--threads: -1 is too small, the least is 0" },
	{ "--threads 99999999999999999999999", "too large, the limit is 1024" },
	{ "--look-ahead -2", "the least is -1" },
	{ "--compat tgi-2", "--compat: \"tgi-2\" is no dialect: saker, tgi-3 or tgi-0.9.3" },
	{ "--payload-limit -5", "is no number" },
	{ "--payload-limit 99999999999G", "too large, the limit is 18446744073709551615" },
	{ "--payload-limit 16777216T", "too large" },
	{ "--payload-limit 1P", "is no number (digits, then K, M, G or T if you like)" },
	{ "--json-output=maybe", "\"maybe\" is neither true nor false" },
	{ "--log-level loud", "--log-level: \"loud\" is no level" },
	{ "--socket-mode 0999", "is no mode" },
	{ "--allow-uid www-nobody-has-this-name", "--allow-uid: \"www-nobody-has-this-name\" is neither a user id" },
	{ "--allow-uid ,,", "--allow-uid: \"\" is neither a user id" },
	{ "--allow-uid 33,", "--allow-uid: \"\" is neither a user id" },
	{ "--allow-uid 33;34", "--allow-uid: \"33;34\" is neither a user id" },
	{ "--allow-uid -1", "--allow-uid: \"-1\" is neither a user id" },
	{ "--allow-uid 4294967295", "--allow-uid: \"4294967295\" is neither a user id" },
	{ "--allow-uid 33,0,4294967294", "" },
	{ "--allow-uid=", "" },
	{ "--path-prefix llm", "begins with a slash" },
	{ "--path-prefix /llm/", "does not end with one" },
	{ "--path-prefix /a%20b", "none of ? # %" },
	{ "--socket-mode 7777", "is no mode" },
	{ "--quantize bitsandbytes", "quantize: \"bitsandbytes\" is not supported yet. Quantised models are GGUF files: Q8_0" },
	{ "--num-shard -1", "`num_shard` cannot be < 1. Given: -1" },
	{ "--sharded true --num-shard 1", "`sharded` is true but `num_shard` <= 1" },
	{ "--sharded maybe", "sharded: \"maybe\" is neither true nor false" },
	{ "--validation-workers 0", "`validation_workers` must be > 0" },
	{ "--max-input-length 9 --max-total-tokens 9", "`max_input_length` must be < `max_total_tokens`. Given: 9 and 9" },
	{ "--max-batch-total-tokens 9 --max-batch-prefill-tokens 10",
	  "`max_batch_prefill_tokens` must be <= `max_batch_total_tokens`. Given: 10 and 9" },
	{ "--max-batch-total-tokens 9 --max-total-tokens 10", "`max_total_tokens` must be <= `max_batch_total_tokens`. Given: 10 and 9" },
	{ "--cuda-memory-fraction 1.1", "--cuda-memory-fraction: 1.1 is too large, the limit is 1" },
	{ "--cuda-memory-fraction 0", "--cuda-memory-fraction: 0 is too small, the least is 0.01" },
	{ "--cuda-memory-fraction half", "\"half\" is no number" },
	{ "--cuda-memory-fraction 0.5", "" },
	{ "--max-batch-total-tokens 9 --kv-memory 1G", "both say how large the KV pool is" },
	{ "--rope-scaling linear", "--rope-scaling: not supported: the model's own rope scaling is used" },
	{ "--ngrok", "--ngrok: not supported" },
	{ "--ngrok=false --trust-remote-code --cuda-graphs 1,2 --waiting-served-ratio 1.2", "" },
	{ "--trust-remote-code=perhaps", "\"perhaps\" is neither true nor false" },
	{ "--max-waiting-tokens", "--max-waiting-tokens: its N is missing" },
	{ "--hf-model-id a.gguf --sm-num-gpus 1 --port 3", "unknown flag --port" },
	{ "--MODEL-ID a.gguf", "unknown flag --MODEL-ID" },
	{ "--model nobody/nothing --huggingface-hub-cache /nonexistent",
	  "neither a file or directory here, nor in the hub's cache: /nonexistent/models--nobody--nothing: No such file" },
	{ "--conf /nonexistent/saker.conf", "/nonexistent/saker.conf: No such file" },
};

START_TEST(a_wrong_flag_is_named_with_value_and_limit)
{
	struct sk_options o;
	struct sk_err err = { 0 };
	char left[256];
	sk_status st = options_of(bad[_i].line, &o, left, &err);

	ck_assert_msg((st == SK_OK) == !*bad[_i].want, "%s: %s", bad[_i].line, err.text);
	ck_assert_msg(strstr(err.text, bad[_i].want) != NULL, "%s: got \"%s\"", bad[_i].line, err.text);
}
END_TEST

static const struct { const char *visible; const char *line, *want; } shards[] = {
	{ "", "--num-shard 1", "" },
	{ "", "--num-shard 2", "`sharded` is true but only found 0 CUDA devices" },
	{ "0", "--num-shard 2", "`sharded` is true but only found 1 CUDA devices" },
	{ "0", "--sharded true", "`sharded` is true but only found 1 CUDA devices" },
	{ "0,1", "--num-shard 3", "`sharded` is true but only found 2 CUDA devices" },
	{ "0,1", "--num-shard 2", "num-shard: a model over 2 devices is not supported yet, only 1" },
	{ "0,1,2", "--sharded=true", "num-shard: a model over 3 devices is not supported yet, only 1" },
	{ "0,1,2", "--sharded=false", "" },
	{ "0,1,2", "", "" },
};

START_TEST(a_model_over_several_devices_is_refused_in_tgis_words)
{
	struct sk_options o;
	struct sk_err err = { 0 };
	char left[256];
	sk_status st;

	setenv("CUDA_VISIBLE_DEVICES", shards[_i].visible, 1);
	st = options_of(shards[_i].line, &o, left, &err);
	ck_assert_msg((st == SK_OK) == !*shards[_i].want && strstr(err.text, shards[_i].want), "%s: got \"%s\"", shards[_i].line, err.text);
}
END_TEST

START_TEST(seconds_of_grace_are_milliseconds_of_drain)
{
	struct sk_options o;
	struct sk_err err = { 0 };
	char left[256];

	setenv("GRACEFUL_TERMINATION_TIMEOUT", "7", 1);
	ck_assert_int_eq(options_of("--drain-timeout-ms 5", &o, left, &err), SK_OK);
	ck_assert_int_eq(o.drain_timeout_ms, 7000);
}
END_TEST

START_TEST(a_wrong_variable_is_named)
{
	struct sk_options o;
	struct sk_err err = { 0 };
	char left[256];

	setenv("MAX_CONCURRENT_REQUESTS", "many", 1);
	ck_assert_int_eq(options_of("", &o, left, &err), SK_EINVAL);
	ck_assert_str_eq(err.text, "MAX_CONCURRENT_REQUESTS: \"many\" is no number");
}
END_TEST

static const struct { const char *text, *want; } conf_bad[] = {
	{ "nonsense = 1\n", ":1: unknown setting \"nonsense\"" },
	{ "\n# x\nthreads = a\n", ":3: threads: \"a\" is no number" },
	{ "threads 3\n", ":1: expected '=' after \"threads\"" },
	{ "threads\n", ":1: expected '='" },
	{ "= 3\n", ":1: expected a key" },
	{ "Threads = 3\n", ":1: expected a key" },
	{ "threads = 1\nthreads = 2\n", ":2: threads is set a second time" },
	{ "model = \"abc\n", ":1: model: the closing quote is missing" },
	{ "model = \"abc\" x\n", ":1: model: text after the closing quote" },
	{ "model = a\001b\n", ":1: model: control byte 0x01" },
	{ "conf = other.conf\n", ":1: unknown setting \"conf\"" },
	{ "max-batch-size = 3\n", ":1: expected '='" },
};

START_TEST(a_wrong_line_of_the_file_is_named)
{
	struct sk_options o;
	struct sk_err err = { 0 };
	char left[256];

	unlink(conf_path);
	conf_write(conf_bad[_i].text);
	ck_assert_int_eq(options_of("", &o, left, &err), SK_EINVAL);
	ck_assert_msg(strstr(err.text, conf_bad[_i].want) != NULL, "got \"%s\"", err.text);
}
END_TEST

static const struct { const char *text, *model; } conf_good[] = {
	{ "model = a.gguf", "a.gguf" },
	{ "  model\t=  a b.gguf  # a comment\r\n", "a b.gguf" },
	{ "model = a#b.gguf\n", "a#b.gguf" },
	{ "model = \" a # \\\"b\\\\ \"  # c\n", " a # \"b\\ " },
	{ "model =\n", "" },
	{ "\r\n\n  # only\nmodel = x", "x" },
};

START_TEST(lines_of_the_file_keep_what_they_should)
{
	struct sk_options o;
	struct sk_err err = { 0 };
	char left[256];

	unlink(conf_path);
	conf_write(conf_good[_i].text);
	ck_assert_msg(options_of("", &o, left, &err) == SK_OK, "%s", err.text);
	ck_assert_str_eq(o.model, conf_good[_i].model);
}
END_TEST

START_TEST(users_may_be_named)
{
	struct sk_options o;
	struct sk_err err = { 0 };
	char left[256];

	ck_assert_msg(options_of("--allow-uid 33,root,7", &o, left, &err) == SK_OK, "%s", err.text);
	ck_assert_str_eq(o.allow_uid, "33,0,7");
}
END_TEST

START_TEST(the_engine_gets_its_share)
{
	struct sk_options o;
	struct sk_engine_opts e;
	struct sk_err err = { 0 };
	char left[256];

	ck_assert_int_eq(options_of("--model m --threads 3 --kv-memory 1M --no-step-down", &o, left, &err), SK_OK);
	sk_options_engine(&o, &e);
	ck_assert_str_eq(e.model, "m");
	ck_assert_int_eq(e.threads, 3);
	ck_assert_uint_eq(e.kv_bytes, 1 << 20);
	ck_assert_ptr_null(e.kv_dtype);
	ck_assert(e.no_step_down);
	ck_assert_int_eq(e.look_ahead, -1);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("options");
	TCase *t = tcase_create("options");
	SRunner *runner;
	int failed;

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, without_anything_the_defaults_hold);
	tcase_add_test(t, a_models_card_says_what_it_is_for_unless_a_setting_does);
	tcase_add_test(t, the_command_line_wins_over_the_environment_over_the_file);
	tcase_add_test(t, sakers_own_name_wins_and_an_empty_variable_is_unset);
	tcase_add_loop_test(t, flags_and_words_are_told_apart, 0, LEN(good));
	tcase_add_loop_test(t, a_wrong_flag_is_named_with_value_and_limit, 0, LEN(bad));
	tcase_add_test(t, a_wrong_variable_is_named);
	tcase_add_loop_test(t, a_model_over_several_devices_is_refused_in_tgis_words, 0, sizeof(shards) / sizeof(shards[0]));
	tcase_add_test(t, seconds_of_grace_are_milliseconds_of_drain);
	tcase_add_loop_test(t, a_wrong_line_of_the_file_is_named, 0, LEN(conf_bad));
	tcase_add_loop_test(t, lines_of_the_file_keep_what_they_should, 0, LEN(conf_good));
	tcase_add_test(t, users_may_be_named);
	tcase_add_test(t, the_engine_gets_its_share);
	suite_add_tcase(s, t);
	runner = srunner_create(s);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
