/* SPDX-License-Identifier: Apache-2.0 */
/* What is known before a weight is loaded: options that are refused, limits, the memory plan, device, types. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "engine/base/log.h"
#include "engine/saker.h"
#include "tests/golden/runs.h"
#include "tests/lib/tiny_gguf.h"
#include "tests/unit/rig.h"

#define LEN(a) ((int)(sizeof(a) / sizeof((a)[0])))

static struct sk_engine *engine_open(struct sk_engine_opts o)
{
	o.model = rig_path;
	o.kv_bytes = o.kv_bytes ? o.kv_bytes : 1 << 22;
	return runs_open_named(&o);
}

/* ---- refused, shortened, planned, named ---- */

static const struct { const char *name; struct sk_engine_opts o; sk_status status; } bad_opts[] = {
	{ "no model",                           { .backend = "ref" }, SK_EINVAL },
	{ "a model that is not there",          { .model = "/nonexistent/x.gguf" }, SK_ENOENT },
	{ "a backend that is not there",        { .model = rig_path, .backend = "abacus" }, SK_ENOENT },
	{ "more tokens than the context",       { .model = rig_path, .backend = "ref", .total_tokens_max = 257 }, SK_EINVAL },
	{ "more tokens than the pool",          { .model = rig_path, .backend = "ref", .total_tokens_max = 256, .kv_bytes = 40000 },
	  SK_ENOMEM },
	{ "no room for one block",              { .model = rig_path, .backend = "ref", .kv_bytes = 1 }, SK_ENOMEM },
	{ "a prompt as long as everything",     { .model = rig_path, .backend = "ref", .input_tokens_max = 256 }, SK_EINVAL },
	{ "a type that does not exist",         { .model = rig_path, .backend = "ref", .dtype = "int3" }, SK_ENOTSUP },
	{ "a cache type that does not exist",   { .model = rig_path, .backend = "ref", .kv_dtype = "int3" }, SK_ENOTSUP },
};

START_TEST(options_that_cannot_be_met_are_refused_before_loading)
{
	struct sk_engine *e = NULL;
	struct sk_info info;
	struct sk_err err;

	rig_model_write(SK_Q8_0);
	for (int i = 0; i < LEN(bad_opts); i++) {
		memset(&err, 0, sizeof(err));
		ck_assert_msg(sk_engine_open(&bad_opts[i].o, &e, &err) == bad_opts[i].status, "%s: %s", bad_opts[i].name, err.text);
		ck_assert_msg(err.text[0] != '\0', "%s: no words", bad_opts[i].name);
		ck_assert_ptr_null(e);
		ck_assert_int_eq(sk_engine_plan(&bad_opts[i].o, &info, &err), bad_opts[i].status);
	}
	rig_model_remove();
}
END_TEST

static const struct { const char *name; enum sk_dtype weights; const char *dtype, *want, *word; } types[] = {
	{ "quantised",                  SK_Q4_1, NULL,      "int8 activations, float32 residual", "float32" },
	{ "quantised, auto by name",    SK_Q8_0, "auto",    "int8 activations, float32 residual", "float32" },
	{ "quantised, exact",           SK_Q8_0, "float32", "float32",                            "float32" },
	{ "bfloat16",                   SK_BF16, NULL,      "bf16 activations, float32 residual", "bfloat16" },
	{ "half",                       SK_F16,  NULL,      "float32",                            "float16" },
	{ "single",                     SK_F32,  NULL,      "float32",                            "float32" },
};

START_TEST(the_plan_says_in_what_it_will_calculate)
{
	struct tiny_gguf tiny = TINY_GGUF_INIT;
	struct sk_info info;

	rig_model_write(SK_Q8_0);
	for (int i = 0; i < LEN(types); i++) {
		struct sk_engine_opts o = { .model = rig_path, .dtype = types[i].dtype };

		tiny.linear = tiny.embed = types[i].weights;
		tiny_gguf_write(&tiny, rig_path);
		ck_assert_int_eq(sk_engine_plan(&o, &info, NULL), SK_OK);
		ck_assert_msg(!strcmp(info.dtype, types[i].want), "%s: %s", types[i].name, info.dtype);
		ck_assert_msg(!strcmp(info.model_dtype, types[i].word), "%s: %s", types[i].name, info.model_dtype);
	}
	rig_model_remove();
}
END_TEST

static const int plan_threads[] = { 1, 2, 16 };

START_TEST(the_plan_has_the_bytes_that_the_engine_takes)
{
	struct sk_info plan, info;
	struct sk_engine *e;

	rig_model_write(SK_Q8_0);
	for (int i = 0; i < LEN(plan_threads); i++) {
		struct sk_engine_opts o = { .model = rig_path, .backend = "cpu", .threads = plan_threads[i], .kv_bytes = 1 << 22 };

		ck_assert_int_eq(sk_engine_plan(&o, &plan, NULL), SK_OK);
		e = engine_open(o);
		sk_engine_info(e, &info);
		sk_engine_close(&e);
		ck_assert_uint_eq(plan.scratch_bytes, info.scratch_bytes);
		ck_assert_uint_eq(plan.weights_bytes, info.weights_bytes);
		ck_assert_uint_eq(plan.kv_bytes, info.kv_bytes);
	}
	rig_model_remove();
}
END_TEST

START_TEST(the_plan_names_the_device_and_why_each_backend_was_chosen_or_not)
{
	struct sk_info plan, info;
	struct sk_engine *e;
	char want[64];

	rig_model_write(SK_Q8_0);
	e = engine_open((struct sk_engine_opts){ .backend = "auto", .threads = 2 });
	sk_engine_info(e, &info);
	sk_engine_close(&e);
	ck_assert_int_eq(sk_engine_plan(&(struct sk_engine_opts){ .model = rig_path, .threads = 2 }, &plan, NULL), SK_OK);
	ck_assert_str_eq(plan.isa, info.isa);
	ck_assert_str_eq(plan.device, info.device);
	ck_assert(plan.isa[0] && plan.device[0]);
	for (int i = 0; i < plan.backends_len; i++) {
		if (plan.backends[i].chosen)
			snprintf(want, sizeof(want), "the fastest that this machine runs (%s)", plan.isa);
		else
			snprintf(want, sizeof(want), "slower than %s", plan.backend);
		/* A module may lack the format of this model's weights. */
		if (plan.backends[i].score > 0 && strncmp(plan.backends[i].name, "cuda", 4) != 0)
			ck_assert_str_eq(plan.backends[i].why, want);
		if (!strcmp(plan.backends[i].name, "cuda-emu"))
			ck_assert_str_eq(plan.backends[i].why, "cannot hold this model's weights");
	}
	ck_assert_int_eq(sk_engine_plan(&(struct sk_engine_opts){ .model = rig_path, .backend = "ref" }, &plan, NULL), SK_OK);
	for (int i = 0; i < plan.backends_len; i++)
		if (plan.backends[i].score > 0)
			ck_assert_str_eq(plan.backends[i].why, plan.backends[i].chosen ? "it was asked for (plain)" :
									 "ref was asked for");
	rig_model_remove();
}
END_TEST

static const struct { const char *name, *device; sk_status want; const char *says; } devices[] = {
	{ "by its name",                "cuda-emu",   SK_OK,     "" },
	{ "the first",                  "cuda-emu:0", SK_OK,     "" },
	{ "the last",                   "cuda-emu:1", SK_OK,     "" },
	{ "one too many",               "cuda-emu:2", SK_ENOENT, "no device cuda-emu:2; there is " },
	{ "what there is, is named",    "cuda-emu:9", SK_ENOENT, "cuda-emu:1 saker CUDA emulator (sm_80, " },
	{ "no number",                  "cuda-emu:",  SK_EINVAL, "device \"cuda-emu:\"" },
	{ "a word for a number",        "cuda-emu:x", SK_EINVAL, "device \"cuda-emu:x\"" },
	{ "a sign",                     "cuda-emu:-1", SK_EINVAL, "device \"cuda-emu:-1\"" },
	{ "more digits than there are", "cuda-emu:00000", SK_EINVAL, "at most 4 digits" },
	{ "the machine has no number",  "cpu:0",      SK_EINVAL, "cpu is the machine itself" },
	{ "a stranger",                 "abacus:1",   SK_ENOENT, "no device \"abacus\"; there is " },
};

START_TEST(a_device_is_a_name_and_perhaps_a_number)
{
	struct tiny_gguf tiny = TINY_GGUF_INIT;
	struct sk_info info;
	struct sk_err err;
	sk_status st;

	rig_model_write(SK_Q8_0);
	tiny.linear = tiny.embed = SK_BF16;
	tiny_gguf_write(&tiny, rig_path);
	setenv("SK_EMU_DEVICES", "2", 1);
	st = sk_engine_plan(&(struct sk_engine_opts){ .model = rig_path, .backend = "cuda-emu" }, &info, &err);
	ck_assert_msg(st == SK_OK || strstr(err.text, "saker-cuda-emu.so is not in"), "%s", st < 0 ? err.text : "");
	for (int i = 0; i < LEN(devices) && st == SK_OK; i++) {
		sk_status got = sk_engine_plan(&(struct sk_engine_opts){ .model = rig_path, .backend = devices[i].device }, &info, &err);

		ck_assert_msg(got == devices[i].want, "%s: %d %s", devices[i].name, got, got < 0 ? err.text : "");
		ck_assert_msg(got >= 0 || strstr(err.text, devices[i].says), "%s: %s", devices[i].name, err.text);
	}
	unsetenv("SK_EMU_DEVICES");
	rig_model_remove();
}
END_TEST

/* A device of so many KiB. What the words advise is done, and then it fits, or the words say that nothing helps. */
static const struct { const char *name; int kib; struct sk_engine_opts o; const char *advice; } small_devices[] = {
	{ "the pool is too large",         4096, { .kv_bytes = 1 << 24 },                     "kv-memory %" },
	{ "tokens of the pool",            4096, { .kv_tokens = 1 << 20 },                    "max-batch-total-tokens %" },
	{ "a small share",                 65536, { .memory_fraction = 0.02 },                "cuda-memory-fraction %" },
	{ "long requests",                 560, { .total_tokens_max = 256, .batch_prefill_tokens = 64 }, "max-total-tokens %" },
	{ "long steps",                    4096, { .batch_prefill_tokens = 16384 },           "max-batch-prefill-tokens %" },
	{ "weights alone are too large",   256,  { .total_tokens_max = 0 },                   "no setting makes it fit" },
};

/* "kv-memory 3M would fit": the option of that name gets the value. */
static bool follow(const char *advice, struct sk_engine_opts *o)
{
	double value;

	if (sscanf(advice, "kv-memory %lf", &value) == 1)
		o->kv_bytes = (uint64_t)value * (strstr(advice, "M would") ? 1 << 20 : 1);
	else if (sscanf(advice, "max-batch-total-tokens %lf", &value) == 1)
		o->kv_tokens = (uint64_t)value;
	else if (sscanf(advice, "cuda-memory-fraction %lf", &value) == 1)
		o->memory_fraction = value;
	else if (sscanf(advice, "max-total-tokens %lf", &value) == 1)
		o->total_tokens_max = (uint32_t)value;
	else if (sscanf(advice, "max-batch-prefill-tokens %lf", &value) == 1)
		o->batch_prefill_tokens = (uint32_t)value;
	else
		return false;
	return true;
}

START_TEST(a_device_too_small_is_refused_with_the_setting_that_helps)
{
	struct tiny_gguf tiny = TINY_GGUF_INIT;
	struct sk_engine_opts o = { .model = rig_path, .backend = "cuda-emu" };
	struct sk_info info;
	struct sk_err err;
	bool there;

	rig_model_write(SK_Q8_0);
	tiny.linear = tiny.embed = SK_BF16;
	tiny_gguf_write(&tiny, rig_path);
	there = sk_engine_plan(&o, &info, &err) == SK_OK;
	ck_assert_msg(there || strstr(err.text, "saker-cuda-emu.so is not in"), "%s", err.text);
	for (int i = 0; i < LEN(small_devices) && there; i++) {
		char kib[32];
		const char *advice;

		o = small_devices[i].o;
		o.model = rig_path;
		o.backend = "cuda-emu";
		snprintf(kib, sizeof(kib), "%d", small_devices[i].kib * 1024);
		setenv("SK_EMU_MEMORY_BYTES", kib, 1);
		ck_assert_msg(sk_engine_plan(&o, &info, &err) == SK_ENOMEM, "%s: it fits", small_devices[i].name);
		advice = strstr(err.text, "): ");
		ck_assert_ptr_nonnull(advice);
		advice += 3;
		ck_assert_msg(!strncmp(advice, small_devices[i].advice, strcspn(small_devices[i].advice, "%")), "%s: %s",
			      small_devices[i].name, advice);
		if (follow(advice, &o))
			ck_assert_msg(sk_engine_plan(&o, &info, &err) == SK_OK, "%s, done: %s", small_devices[i].name, err.text);
	}
	unsetenv("SK_EMU_MEMORY_BYTES");
	rig_model_remove();
}
END_TEST

/* All that is planned is taken; what is not would be a failure to load on a device with no byte more. */
START_TEST(a_device_as_large_as_the_plan_holds_the_model)
{
	struct tiny_gguf tiny = TINY_GGUF_INIT;
	struct sk_engine_opts o = { .model = rig_path, .backend = "cuda-emu", .kv_bytes = 1 << 20 };
	struct sk_engine *e;
	struct sk_info info;
	struct sk_err err;
	char bytes[32];

	rig_model_write(SK_Q8_0);
	tiny.linear = tiny.embed = SK_BF16;
	tiny_gguf_write(&tiny, rig_path);
	if (sk_engine_plan(&o, &info, &err) == SK_OK) {
		uint64_t low = 1 << 16, high = 1 << 26;

		while (low + 1 < high) {
			snprintf(bytes, sizeof(bytes), "%llu", (unsigned long long)(low + high) / 2);
			setenv("SK_EMU_MEMORY_BYTES", bytes, 1);
			*(sk_engine_plan(&o, &info, &err) == SK_OK ? &high : &low) = (low + high) / 2;
		}
		snprintf(bytes, sizeof(bytes), "%llu", (unsigned long long)high);
		setenv("SK_EMU_MEMORY_BYTES", bytes, 1);
		e = engine_open(o);
		sk_engine_close(&e);
		unsetenv("SK_EMU_MEMORY_BYTES");
	}
	rig_model_remove();
}
END_TEST

START_TEST(a_small_pool_shortens_the_longest_request)
{
	struct sk_info info;
	struct sk_engine_opts o = { .model = rig_path, .backend = "ref" };

	rig_model_write(SK_Q8_0);
	ck_assert_int_eq(sk_engine_plan(&o, &info, NULL), SK_OK);
	ck_assert_uint_eq(info.total_tokens_max, 256);
	ck_assert_uint_eq(info.input_tokens_max, 255);
	ck_assert_uint_eq(info.blocks, 32 * 16);
	o.kv_bytes = info.kv_bytes_per_token * 16 * 5 + 1;
	ck_assert_int_eq(sk_engine_plan(&o, &info, NULL), SK_OK);
	ck_assert_uint_eq(info.blocks, 5);
	ck_assert_uint_eq(info.total_tokens_max, 80);
	ck_assert_int_gt(info.backends_len, 0);
	rig_model_remove();
}
END_TEST

int main(void)
{
	Suite *s = suite_create("plan");
	TCase *c = tcase_create("plan");
	SRunner *r;
	int failed;

	sk_log_init(SK_LOG_ERROR, false);
	tcase_set_timeout(c, 60);
	tcase_add_test(c, options_that_cannot_be_met_are_refused_before_loading);
	tcase_add_test(c, the_plan_says_in_what_it_will_calculate);
	tcase_add_test(c, the_plan_has_the_bytes_that_the_engine_takes);
	tcase_add_test(c, the_plan_names_the_device_and_why_each_backend_was_chosen_or_not);
	tcase_add_test(c, a_device_is_a_name_and_perhaps_a_number);
	tcase_add_test(c, a_device_too_small_is_refused_with_the_setting_that_helps);
	tcase_add_test(c, a_device_as_large_as_the_plan_holds_the_model);
	tcase_add_test(c, a_small_pool_shortens_the_longest_request);
	suite_add_tcase(s, c);
	r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}
