/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a model would take, from its config.json alone: published models' weights to the byte, the same as the files' own headers say
 * of small ones, ranks, what fits, and what is refused.
 */
#include <check.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "engine/model/model.h"
#include "engine/saker.h"

#define LEN(a) ((int)(sizeof(a) / sizeof((a)[0])))
#define CONFIGS GOLDEN_SRCDIR "/tests/unit/configs/"
#define FAMILIES GOLDEN_SRCDIR "/tests/golden/families"
#define GIB ((uint64_t)1 << 30)

static struct sk_fit fit_of(struct sk_fit_opts o)
{
	struct sk_fit fit;
	struct sk_err err = { 0 };

	o.backend = o.backend ? o.backend : "ref";
	ck_assert_msg(sk_engine_fit(&o, &fit, &err) == SK_OK, "%s: %s", o.config, err.text);
	return fit;
}

/*
 * Counted by hand, as the ref backend holds them: matrices in the type of the weights, vectors in float32, padded to 64 bytes. The files
 * of Falcon-40B hold 0.53 billion more: the head, which is tied to the embedding, once again.
 */
static const struct { const char *config; uint64_t params, bytes; } published[] = {
	{ CONFIGS "falcon-40b.json",     41303293952,  82610553472 },
	{ CONFIGS "bloom-176b.json",     176247271424, 352520758464 },
	{ CONFIGS "galactica-120b.json", 121328947200, 242657894720 },
	{ CONFIGS "t5-11b.json",         11307321344,  45229516288 },
};

START_TEST(a_published_models_weights_are_known_to_the_byte)
{
	struct sk_fit fit = fit_of((struct sk_fit_opts){ .config = published[_i].config });

	ck_assert_uint_eq(fit.params, published[_i].params);
	ck_assert_uint_eq(fit.weights_bytes, published[_i].bytes);
	ck_assert_uint_eq(fit.rank[0].weights_bytes, published[_i].bytes);
}
END_TEST

/* ---- the same as with weights --------------------------------------------------------------------------------- */

static void compare_with_files(const char *name)
{
	char path[4096];
	const struct sk_arch *arch;
	struct sk_weights *w = NULL;
	struct sk_dims dims;
	struct sk_model_plan plan;
	struct sk_model_share share;
	struct sk_model_opts o = { .tokens_max = 32, .sequences_max = 4, .logits_max = 4, .kv_dtype = SK_BF16, .dev = { .threads = 2 },
				   .context_max = 32 };
	struct sk_err err = { 0 };

	snprintf(path, sizeof(path), FAMILIES "/%s", name);
	ck_assert_int_eq(sk_backend_find("ref", &o.backend, NULL), SK_OK);
	ck_assert_msg(sk_weights_open(path, &w, &err) == SK_OK, "%s", err.text);
	ck_assert_msg(sk_model_plan(w, &o, &plan, &err) == SK_OK, "%s", err.text);
	sk_weights_close(&w);
	ck_assert_msg(sk_weights_open_config(path, &w, &err) == SK_OK, "%s", err.text);
	ck_assert_msg(sk_model_config(w, &arch, &dims, &err) == SK_OK, "%s", err.text);
	ck_assert_msg(sk_model_share(arch, &dims, &o, plan.weights, 1, 0, &share, &err) == SK_OK, "%s", err.text);
	sk_weights_close(&w);
	ck_assert_msg(sk_model_params(arch, &dims) == plan.params, "%s: %lu weights, the file has %lu", name,
		      (unsigned long)sk_model_params(arch, &dims), (unsigned long)plan.params);
	ck_assert_msg(share.weights_bytes == plan.weights_bytes, "%s: %lu bytes of weights, the file's come to %lu", name,
		      (unsigned long)share.weights_bytes, (unsigned long)plan.weights_bytes);
	ck_assert_msg(share.scratch_bytes == plan.scratch_bytes, "%s: %lu bytes of scratch, with the file %lu", name,
		      (unsigned long)share.scratch_bytes, (unsigned long)plan.scratch_bytes);
	ck_assert_uint_eq(share.kv_block_bytes, plan.kv_bytes_per_token * SK_KV_BLOCK);
}

/* Not in their configurations: that these T5s have a head of their own, that SantaCoder's q lies apart from k and v. */
static bool is_silent(const char *name)
{
	const char *const list[] = { "mt5", "t5-gated-untied", "t5-far-gated-bf16", "santacoder", "santacoder-fim" };

	for (int i = 0; i < LEN(list); i++)
		if (!strcmp(list[i], name))
			return true;
	return false;
}

START_TEST(a_configuration_alone_says_what_the_weights_beside_it_say)
{
	DIR *dir = opendir(FAMILIES);
	const struct dirent *e;
	int seen = 0;

	ck_assert_ptr_nonnull(dir);
	while ((e = readdir(dir)) != NULL) {
		if (e->d_name[0] == '.' || strstr(e->d_name, "-gguf") || is_silent(e->d_name))
			continue;
		compare_with_files(e->d_name);
		seen++;
	}
	closedir(dir);
	ck_assert_int_gt(seen, 25);
}
END_TEST

/* ---- ranks ---------------------------------------------------------------------------------------------------- */

START_TEST(ranks_own_whole_slices_and_nothing_is_lost)
{
	for (int i = 0; i < LEN(published); i++)
		for (int ranks = 1; ranks <= 8; ranks++) {
			struct sk_fit fit = fit_of((struct sk_fit_opts){ .config = published[i].config, .ranks = ranks });
			uint64_t bytes = 0, vectors = 0;
			uint32_t slices = 0, heads = 0, columns = 0;

			for (int r = 0; r < ranks; r++) {
				slices += fit.rank[r].slices;
				heads += fit.rank[r].heads;
				columns += fit.rank[r].ffn_width;
				bytes += fit.rank[r].embed_bytes + fit.rank[r].attention_bytes + fit.rank[r].mlp_bytes + fit.rank[r].head_bytes;
				vectors += fit.rank[r].vector_bytes;
				ck_assert_uint_eq(fit.rank[r].weights_bytes, fit.rank[r].embed_bytes + fit.rank[r].attention_bytes +
						  fit.rank[r].mlp_bytes + fit.rank[r].head_bytes + fit.rank[r].vector_bytes);
			}
			ck_assert_uint_eq(slices, 8);
			ck_assert_uint_eq(heads, fit.heads);
			ck_assert_uint_eq(columns, fit.ffn_width);
			ck_assert_uint_eq(bytes + vectors, fit.weights_bytes);
			/* Positions are on every rank; all other matrices are on one rank each. */
			if (ranks == 1 || strstr(published[i].config, "galactica"))
				continue;
			ck_assert_uint_eq(bytes, fit_of((struct sk_fit_opts){ .config = published[i].config }).weights_bytes -
					  fit_of((struct sk_fit_opts){ .config = published[i].config }).rank[0].vector_bytes);
		}
}
END_TEST

START_TEST(three_ranks_share_eight_slices_as_three_three_and_two)
{
	struct sk_fit fit = fit_of((struct sk_fit_opts){ .config = CONFIGS "t5-11b.json", .ranks = 3 });
	const uint32_t heads[] = { 48, 48, 32 }, columns[] = { 24576, 24576, 16384 };

	for (int r = 0; r < 3; r++) {
		ck_assert_uint_eq(fit.rank[r].slices, r < 2 ? 3 : 2);
		ck_assert_uint_eq(fit.rank[r].heads, heads[r]);
		ck_assert_uint_eq(fit.rank[r].ffn_width, columns[r]);
	}
}
END_TEST

START_TEST(a_key_value_head_is_on_every_rank_whose_heads_look_at_it)
{
	/* 6 query heads of 2 key-value heads on 4 ranks: heads 0 1 | 2 3 | 4 | 5. */
	struct sk_fit fit = fit_of((struct sk_fit_opts){ .config = FAMILIES "/llama-gqa-bf16", .ranks = 4 });
	const uint32_t heads[] = { 2, 2, 1, 1 }, kv[] = { 1, 2, 1, 1 };

	for (int r = 0; r < 4; r++) {
		ck_assert_uint_eq(fit.rank[r].heads, heads[r]);
		ck_assert_uint_eq(fit.rank[r].kv_heads, kv[r]);
		ck_assert_uint_eq(fit.rank[r].kv_bytes_per_token, (uint64_t)kv[r] * 12 * 2 * 2 * fit.layers);
	}
}
END_TEST

/* ---- what fits ------------------------------------------------------------------------------------------------ */

static const struct { const char *name, *config, *dtype; int ranks; uint64_t memory; bool fits; uint32_t context; } fits[] = {
	{ "Falcon-40B does not fit four times 16 GiB", "falcon-40b.json", NULL, 4, 16 * GIB, false, 0 },
	{ "Falcon-40B with weights of 8 bits does",    "falcon-40b.json", "q8_0", 4, 16 * GIB, true, 2048 },
	{ "Falcon-40B fits four times 24 GiB",         "falcon-40b.json", NULL, 4, 24 * GIB, true, 2048 },
	{ "BLOOM-176B fits eight times 80 GiB",        "bloom-176b.json", NULL, 8, 80 * GIB, true, 2048 },
	{ "BLOOM-176B does not fit eight times 40",    "bloom-176b.json", NULL, 8, 40 * GIB, false, 0 },
	{ "Galactica-120B fits four times 80 GiB",     "galactica-120b.json", NULL, 4, 80 * GIB, true, 2048 },
	{ "T5-11B fits two times 48 GiB",              "t5-11b.json", NULL, 2, 48 * GIB, true, 2048 },
};

/* path: a template for mkstemp(). */
static void config_write(char *path, const char *text)
{
	int fd = mkstemp(path);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	close(fd);
}

START_TEST(what_fits_is_said)
{
	char path[512];
	struct sk_fit fit;

	snprintf(path, sizeof(path), CONFIGS "%s", fits[_i].config);
	fit = fit_of((struct sk_fit_opts){ .config = path, .dtype = fits[_i].dtype, .ranks = fits[_i].ranks, .memory_bytes = fits[_i].memory });
	ck_assert_msg(fit.fits == fits[_i].fits, "%s: %s", fits[_i].name, fit.why);
	ck_assert_uint_eq(fit.context, fits[_i].context);
	ck_assert_int_eq(fit.why[0] == '\0', fit.fits);
}
END_TEST

START_TEST(what_is_short_is_said_in_units_that_show_it)
{
	struct sk_fit_opts o = { .config = FAMILIES "/llama-gqa-bf16", .memory_bytes = 24 };
	struct sk_fit fit = fit_of(o);

	ck_assert_ptr_nonnull(strstr(fit.why, ", 24 B are there"));
	o.memory_bytes = fit.rank[0].weights_bytes + fit.rank[0].scratch_bytes;
	fit = fit_of(o);
	ck_assert(!fit.fits);
	ck_assert_ptr_nonnull(strstr(fit.why, "no room for the KV cache of a request of 1 tokens"));
	ck_assert_ptr_nonnull(strstr(fit.why, " are there"));
	ck_assert_msg(!strstr(fit.why, "0.00"), "%s", fit.why);
}
END_TEST

START_TEST(the_longest_request_is_the_longest)
{
	const char *const configs[] = { CONFIGS "falcon-40b.json", CONFIGS "t5-11b.json", FAMILIES "/llama-gqa-bf16" };
	uint32_t before = 0;
	int partly = 0;

	for (int i = 0; i < LEN(configs); i++) {
		struct sk_fit all = fit_of((struct sk_fit_opts){ .config = configs[i], .ranks = 2 });
		uint64_t base = all.rank[0].weights_bytes + all.rank[0].scratch_bytes;
		uint64_t step = all.rank[0].kv_bytes_per_token * all.context_max / 7 + all.rank[0].scratch_bytes / 7;

		before = 0;
		for (uint64_t memory = all.rank[0].weights_bytes; memory < base + 20 * step; memory += step) {
			struct sk_fit fit = fit_of((struct sk_fit_opts){ .config = configs[i], .ranks = 2, .memory_bytes = memory });
			uint32_t each = (fit.context + 15) / 16 * 16 * (fit.encoder_layers ? 2 : 1);

			ck_assert_uint_ge(fit.context, before);
			before = fit.context;
			if (!fit.fits)
				continue;
			partly += fit.context < fit.context_max;
			for (int r = 0; r < 2; r++)
				ck_assert_uint_le(fit.rank[r].weights_bytes + fit.rank[r].scratch_bytes + fit.rank[r].kv_bytes, memory);
			ck_assert_uint_ge(fit.pool_tokens, fit.batch * each);
			if (fit.batch < fit.sequences_max)
				ck_assert_uint_lt(fit.pool_tokens, (fit.batch + 1) * each);
			if (fit.context < fit.context_max) {     /* one token more needs more than there is */
				struct sk_fit more = fit_of((struct sk_fit_opts){ .config = configs[i], .ranks = 2, .memory_bytes = memory,
										  .total_tokens_max = fit.context + 1 });

				ck_assert(!more.fits);
				ck_assert_ptr_nonnull(strstr(more.why, "rank 0"));
			}
		}
		ck_assert_uint_eq(before, all.context_max);
	}
	ck_assert_int_gt(partly, 3);
}
END_TEST

/* A T5's distances have no end, an encoder's input has: a configuration that promises more is planned as far as that. */
START_TEST(an_encoder_without_an_end_is_planned_up_to_the_longest_input)
{
	struct sk_fit_opts o = { .memory_bytes = 64 * GIB };
	char path[] = "/tmp/sk-fit-XXXXXX";
	struct sk_fit fit;

	config_write(path, "{\"model_type\": \"t5\", \"d_model\": 32, \"d_kv\": 8, \"d_ff\": 32, \"num_heads\": 4, \"num_layers\": 1, "
		     "\"vocab_size\": 99, \"n_positions\": 1000000}");
	o.config = path;
	fit = fit_of(o);
	ck_assert_uint_eq(fit.context_max, 4000000);
	ck_assert_uint_eq(fit.context, SK_ENCODE_MAX);
	o.memory_bytes = 0;
	ck_assert_uint_eq(fit_of(o).encoder_layers, 1);
	unlink(path);
}
END_TEST

/* ---- refused -------------------------------------------------------------------------------------------------- */

static const struct { const char *name, *text; struct sk_fit_opts o; sk_status status; const char *words; } refused[] = {
	{ "no configuration", NULL, { 0 }, SK_EINVAL, "config.json" },
	{ "an architecture that is not known", "{\"model_type\": \"mamba\"}", { 0 }, SK_ENOTSUP,
	  "\"mamba\" is not supported (known: llama, bloom, falcon, gpt_bigcode, gpt_neox, opt, santacoder, t5, " },
	{ "a configuration with a hole", "{\"model_type\": \"llama\", \"num_hidden_layers\": 2}", { 0 }, SK_EFORMAT, "hidden_size is missing" },
	{ "more ranks than slices", "{\"model_type\": \"bloom\", \"n_layer\": 1, \"hidden_size\": 30, \"n_head\": 3, \"vocab_size\": 9}",
	  { .ranks = 4 }, SK_EINVAL, "4 ranks: the sums of this model are cut into 3 slices" },
	{ "a type that does not exist", "{\"model_type\": \"bloom\", \"n_layer\": 1, \"hidden_size\": 32, \"n_head\": 2, \"vocab_size\": 9}",
	  { .dtype = "int3" }, SK_ENOTSUP, "\"int3\" are not known (float32, float16, bfloat16, F32" },
	{ "blocks that heads do not fill", "{\"model_type\": \"bloom\", \"n_layer\": 1, \"hidden_size\": 30, \"n_head\": 3, \"vocab_size\": 9}",
	  { .dtype = "q8_0" }, SK_ENOTSUP, "at least 32 columns" },
	{ "a longer request than the context", "{\"model_type\": \"bloom\", \"n_layer\": 1, \"hidden_size\": 32, \"n_head\": 2, \"vocab_size\": 9}",
	  { .total_tokens_max = 2049 }, SK_EINVAL, "context of 2048" },
#define T5 "{\"model_type\": \"t5\", \"d_model\": 32, \"d_kv\": 8, \"d_ff\": 32, \"num_heads\": 4, \"num_layers\": 1, \"vocab_size\": 99, "
#define LLAMA "{\"model_type\": \"llama\", \"hidden_size\": 32, \"intermediate_size\": 32, \"num_attention_heads\": 4, " \
	"\"num_hidden_layers\": 1, \"vocab_size\": 99, \"max_position_embeddings\": 64, "
	{ "a number for an activation", T5 "\"feed_forward_proj\": 7}", { 0 }, SK_EFORMAT, "key feed_forward_proj is 7, it must be a text" },
	{ "an object for an activation", T5 "\"feed_forward_proj\": {}}", { 0 }, SK_EFORMAT, "key feed_forward_proj is an object, it must be a text" },
	{ "an activation that is not known", T5 "\"feed_forward_proj\": \"gated-tanh\"}", { 0 }, SK_ENOTSUP,
	  "\"gated-tanh\" is not supported (known: relu, gelu, gated-relu, gated-gelu, gated-silu)" },
	{ "a truth for an activation", LLAMA "\"hidden_act\": true}", { 0 }, SK_EFORMAT, "key hidden_act is true, it must be a text" },
	{ "a number for a type", LLAMA "\"dtype\": 5}", { 0 }, SK_EFORMAT, "key dtype is 5, it must be a text" },
	{ "a list for a type", LLAMA "\"torch_dtype\": [\"float16\"]}", { 0 }, SK_EFORMAT, "key torch_dtype is a list, it must be a text" },
	{ "a text for a number", LLAMA "\"rope_theta\": \"1e4\"}", { 0 }, SK_EFORMAT, "key rope_theta is \"1e4\", it must be a number" },
	{ "a text for a truth", LLAMA "\"tie_word_embeddings\": \"yes\"}", { 0 }, SK_EFORMAT, "is \"yes\", it must be true or false" },
	{ "half a head", LLAMA "\"num_key_value_heads\": 1.5}", { 0 }, SK_EFORMAT, "is 1.5, it must be a whole number" },
	{ "scaling that is a word", LLAMA "\"rope_parameters\": \"linear\"}", { 0 }, SK_EFORMAT, "key rope_parameters is \"linear\", it must be an object" },
	{ "scaling that is a list", LLAMA "\"rope_scaling\": [1, 2]}", { 0 }, SK_EFORMAT, "key rope_scaling is a list, it must be an object" },
	{ "a factor of nothing", LLAMA "\"rope_scaling\": {\"factor\": 2}}", { 0 }, SK_EFORMAT,
	  "key rope_scaling.factor is 2, but no rope_type beside it" },
	{ "a factor of null", LLAMA "\"rope_parameters\": {\"factor\": 2.5, \"rope_type\": null}}", { 0 }, SK_EFORMAT,
	  "key rope_parameters.factor is 2.5, but no rope_type beside it" },
	{ "scaling by number", LLAMA "\"rope_scaling\": {\"type\": 3, \"factor\": 2}}", { 0 }, SK_EFORMAT, "key rope_scaling.type is 3, it must be a text" },
	{ "a class that is no list", LLAMA "\"architectures\": \"LlamaForCausalLM\"}", { 0 }, SK_EFORMAT,
	  "key architectures is \"LlamaForCausalLM\", it must be a list of names" },
	{ "a class that is a number", LLAMA "\"architectures\": [1]}", { 0 }, SK_EFORMAT, "key architectures is a list, it must be a list of names" },
	{ "a family that is a number", "{\"architectures\": [\"LlamaForCausalLM\"], \"model_type\": 1}", { 0 }, SK_EFORMAT,
	  "key model_type is 1, it must be a text" },
	{ "a cache type that does not exist", "{\"model_type\": \"bloom\", \"n_layer\": 1, \"hidden_size\": 32, \"n_head\": 2, \"vocab_size\": 9}",
	  { .kv_dtype = "int3" }, SK_ENOTSUP, "KV type int3" },
};

/* What the library takes for a rope that is not scaled, or for one that is, by either name. */
static const struct { const char *text; uint32_t context; } ropes[] = {
	{ LLAMA "\"rope_scaling\": null, \"architectures\": null}", 64 },
	{ LLAMA "\"rope_parameters\": {}, \"architectures\": []}", 64 },
	{ LLAMA "\"rope_parameters\": {\"rope_type\": \"default\", \"rope_theta\": 500000.0}}", 64 },
	{ LLAMA "\"rope_scaling\": {\"type\": \"default\", \"factor\": 2}}", 64 },
	{ LLAMA "\"rope_scaling\": {\"type\": \"linear\", \"factor\": 2}}", 128 },
	{ LLAMA "\"rope_scaling\": {\"rope_type\": \"linear\", \"factor\": 2.0}}", 128 },
	{ LLAMA "\"rope_scaling\": null, \"rope_parameters\": {\"rope_type\": \"dynamic\", \"type\": \"dynamic\", \"factor\": 4.0}}", 256 },
};

START_TEST(a_rope_is_written_in_several_ways)
{
	char path[] = "/tmp/sk-fit-XXXXXX";

	config_write(path, ropes[_i].text);
	ck_assert_uint_eq(fit_of((struct sk_fit_opts){ .config = path }).context_max, ropes[_i].context);
	unlink(path);
}
END_TEST

START_TEST(what_cannot_be_planned_is_refused)
{
	char path[] = "/tmp/sk-fit-XXXXXX";
	struct sk_fit_opts o = refused[_i].o;
	struct sk_fit fit;
	struct sk_err err = { 0 };

	config_write(path, refused[_i].text ? refused[_i].text : "");
	if (refused[_i].text)
		o.config = path;
	o.backend = "ref";
	ck_assert_msg(sk_engine_fit(&o, &fit, &err) == refused[_i].status, "%s: %s", refused[_i].name, err.text);
	ck_assert_msg(strstr(err.text, refused[_i].words) != NULL, "%s: %s", refused[_i].name, err.text);
	unlink(path);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("fit");
	TCase *t = tcase_create("fit");
	SRunner *r;
	int failed;

	tcase_set_timeout(t, 60);
	tcase_add_loop_test(t, a_published_models_weights_are_known_to_the_byte, 0, LEN(published));
	tcase_add_test(t, a_configuration_alone_says_what_the_weights_beside_it_say);
	tcase_add_test(t, ranks_own_whole_slices_and_nothing_is_lost);
	tcase_add_test(t, three_ranks_share_eight_slices_as_three_three_and_two);
	tcase_add_test(t, a_key_value_head_is_on_every_rank_whose_heads_look_at_it);
	tcase_add_loop_test(t, what_fits_is_said, 0, LEN(fits));
	tcase_add_test(t, what_is_short_is_said_in_units_that_show_it);
	tcase_add_test(t, the_longest_request_is_the_longest);
	tcase_add_test(t, an_encoder_without_an_end_is_planned_up_to_the_longest_input);
	tcase_add_loop_test(t, a_rope_is_written_in_several_ways, 0, LEN(ropes));
	tcase_add_loop_test(t, what_cannot_be_planned_is_refused, 0, LEN(refused));
	suite_add_tcase(s, t);
	r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? 1 : 0;
}
