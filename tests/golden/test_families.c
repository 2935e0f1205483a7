/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tiny models of every family against the Hugging Face library (families/, make_families.py): log-probabilities of all prompt
 * tokens within 1e-3, 24 greedy tokens with and without repetition penalty, alone, in chunks and beside another sequence.
 *
 * SAKER_FAMILIES_TOKENS: so many of the 24 tokens. An emulated device takes a thousand times as long: 4 tokens there, and a model's second
 * form is left out, whose bits were compared elsewhere.
 */
#include <check.h>
#include <dirent.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "engine/model/model.h"
#include "tests/golden/family.h"
#include "tests/golden/golden.h"

enum { MODELS_MAX = 512, TOKENS = FAMILY_TOKENS, PROMPT_MAX = FAMILY_PROMPT_MAX, T_MAX = 2 * (PROMPT_MAX + TOKENS), BLOCKS = 32, WAYS_MAX = 4 };
#define TOLERANCE 1e-3

static char *models[MODELS_MAX];
static int models_len;
static const struct sk_backend *ways[WAYS_MAX];
static int ways_len, tokens_len = TOKENS;

/* ---- a model, and steps --------------------------------------------------------------------------------------- */

struct rig {
	struct sk_weights *w;
	struct sk_model *m;
	int32_t vocab;
	bool encoder;
};

static void rig_open(struct rig *r, const char *name, const struct sk_backend *backend)
{
	struct sk_model_opts o = { .backend = backend, .dev = { .threads = 2 }, .kv_dtype = SK_F32, .tokens_max = T_MAX,
				   .sequences_max = 2, .logits_max = T_MAX, .encode_max = 2 * PROMPT_MAX, .kv_blocks = BLOCKS };
	const struct sk_arch *arch;
	struct sk_dims dims;
	char path[256];
	struct sk_err err = { 0 };

	memset(r, 0, sizeof(*r));
	snprintf(path, sizeof(path), "families/%s", name);
	ck_assert_msg(sk_weights_open(golden_path(path), &r->w, &err) == SK_OK, "%s", err.text);
	ck_assert_msg(sk_model_check(r->w, &arch, &dims, &err) == SK_OK, "%s", err.text);
	o.context_max = dims.context_max < PROMPT_MAX + TOKENS ? dims.context_max : PROMPT_MAX + TOKENS;
	ck_assert_msg(sk_model_open(r->w, &o, &r->m, &err) == SK_OK, "%s", err.text);
	ck_assert_msg(sk_model_load(r->m, r->w, NULL, NULL, &err) == SK_OK, "%s", err.text);
	r->vocab = sk_model_dims(r->m)->vocab;
	r->encoder = sk_model_dims(r->m)->encoder_layers > 0;
}

static void rig_close(struct rig *r)
{
	sk_model_close(&r->m);
	sk_weights_close(&r->w);
}

/* One sequence: its ids so far, how many of them are in the cache. */
struct seq {
	int32_t ids[PROMPT_MAX + TOKENS], len, done, prompt_len;
	const int32_t *table, *cross_table;
	int32_t source[PROMPT_MAX], source_len;         /* of an encoder */
};

static const int32_t first_table[] = { 5, 2, 9, 30, 7, 1 }, second_table[] = { 11, 4, 20, 13, 6, 8 };
static const int32_t first_cross[] = { 31, 0, 3, 29 }, second_cross[] = { 10, 28, 12, 27 };

/* The encoder's step of some sequences. */
static void encode(struct rig *r, struct seq **seqs, int32_t S)
{
	int32_t ids[2 * PROMPT_MAX], pos[2 * PROMPT_MAX], start[3] = { 0 }, lens[2], T = 0;
	const int32_t *tables[2];
	struct sk_step s = { .S = S, .ids = ids, .pos = pos, .seq_start = start, .blocks = tables, .cross_blocks = tables,
			     .cross_len = lens };
	struct sk_err err = { 0 };

	for (int32_t i = 0; i < S; i++) {
		for (int32_t k = 0; k < seqs[i]->source_len; k++, T++) {
			ids[T] = seqs[i]->source[k];
			pos[T] = k;
		}
		lens[i] = seqs[i]->source_len;
		tables[i] = seqs[i]->cross_table;
		start[i + 1] = T;
	}
	s.T = T;
	ck_assert_msg(sk_model_encode(r->m, &s, &err) == SK_OK, "%s", err.text);
}

/* Computes what is new of the sequences in one step, at most `most` tokens of each; logits of all its rows. */
static const float *step(struct rig *r, struct seq **seqs, int32_t S, int32_t most)
{
	int32_t ids[T_MAX], pos[T_MAX], rows[T_MAX], start[3] = { 0 }, lens[2], prompts[2], T = 0;
	const int32_t *tables[2], *cross[2];
	struct sk_step s = { .S = S, .ids = ids, .pos = pos, .seq_start = start, .blocks = tables, .prompt_len = prompts,
			     .cross_blocks = r->encoder ? cross : NULL, .cross_len = r->encoder ? lens : NULL };
	const float *logits = NULL;
	struct sk_err err = { 0 };

	for (int32_t i = 0; i < S; i++) {
		int32_t n = seqs[i]->len - seqs[i]->done;

		n = n < most ? n : most;
		for (int32_t k = 0; k < n; k++, T++) {
			ids[T] = seqs[i]->ids[seqs[i]->done + k];
			pos[T] = seqs[i]->done + k;
			rows[T] = T;
		}
		seqs[i]->done += n;
		prompts[i] = seqs[i]->prompt_len;
		tables[i] = seqs[i]->table;
		cross[i] = seqs[i]->cross_table;
		lens[i] = seqs[i]->source_len;
		start[i + 1] = T;
	}
	s.T = T;
	ck_assert_msg(sk_model_forward(r->m, &s, rows, T, &logits, &err) == SK_OK, "%s", err.text);
	return logits;
}

static double logprob(const float *logits, int32_t vocab, int32_t id)
{
	double max = -INFINITY, sum = 0.0;

	for (int32_t i = 0; i < vocab; i++)
		max = fmax(max, (double)logits[i]);
	for (int32_t i = 0; i < vocab; i++)
		sum += exp((double)logits[i] - max);
	return (double)logits[id] - max - log(sum);
}

static int32_t likeliest(const float *logits, int32_t vocab)
{
	int32_t best = 0;

	for (int32_t i = 1; i < vocab; i++)
		if (logits[i] > logits[best])
			best = i;
	return best;
}

static void penalise(float *logits, const struct seq *s)
{
	for (int32_t i = 0; i < s->len; i++) {
		bool before = false;

		for (int32_t k = 0; k < i && !before; k++)
			before = s->ids[k] == s->ids[i];
		if (!before)
			logits[s->ids[i]] *= logits[s->ids[i]] < 0.0f ? FAMILY_PENALTY : 1.0f / FAMILY_PENALTY;
	}
}

/* A decoder begins with the prompt, or behind an encoder with the start token. */
static struct seq seq_of(const struct rig *r, const struct family *g, bool first)
{
	struct seq s = { .table = first ? first_table : second_table, .cross_table = first ? first_cross : second_cross };

	memcpy(r->encoder ? s.source : s.ids, g->prompt, sizeof(*g->prompt) * (size_t)g->prompt_len);
	*(r->encoder ? &s.source_len : &s.len) = g->prompt_len;
	if (r->encoder) {
		s.ids[0] = sk_model_dims(r->m)->start_id;
		s.len = 1;
	}
	s.prompt_len = s.len;
	return s;
}

/* Encodes where there is an encoder, and computes the first step: logits of its last row. */
static const float *begin(struct rig *r, struct seq *s)
{
	const float *logits;

	if (r->encoder)
		encode(r, (struct seq *[]){ s }, 1);
	logits = step(r, (struct seq *[]){ s }, 1, T_MAX);
	return logits + (size_t)(s->len - 1) * (size_t)r->vocab;
}

/* The generated tokens: `logits` are those of the prompt's last row. */
static void generate(struct rig *r, const char *what, struct seq *s, const float *logits, const int32_t *want, const double *want_logprob)
{
	float *own = malloc(sizeof(float) * (size_t)r->vocab);

	for (int i = 0; i < tokens_len; i++) {
		int32_t id;

		memcpy(own, logits, sizeof(float) * (size_t)r->vocab);
		if (!want_logprob)
			penalise(own, s);
		id = likeliest(own, r->vocab);
		ck_assert_msg(id == want[i], "%s: token %d is %d, the library's %d", what, i, id, want[i]);
		if (want_logprob)
			ck_assert_msg(fabs(logprob(own, r->vocab, id) - want_logprob[i]) < TOLERANCE,
				      "%s: log-probability of token %d is %.5f, the library's %.5f", what, i, logprob(own, r->vocab, id),
				      want_logprob[i]);
		s->ids[s->len++] = id;
		if (i + 1 < tokens_len)
			logits = step(r, (struct seq *[]){ s }, 1, T_MAX);
	}
	free(own);
}

/* The model that this one holds in another form, "llama-1" of "llama-1-bin"; NULL: it is one of its own. */
static const char *twin_of(const char *name)
{
	const char *best = NULL;

	for (int i = 0; i < models_len; i++) {
		size_t len = strlen(models[i]);
		const char *form = name + len;

		if (strncmp(models[i], name, len) || (strcmp(form, "-gguf") && strcmp(form, "-bin") && strcmp(form, "-bin-sharded") &&
						      strcmp(form, "-safetensors") && strcmp(form, "-safetensors-sharded")))
			continue;
		best = models[i];
	}
	return best;
}

/* Left out: see above. */
static bool is_too_slow(const struct sk_backend *way, const char *name)
{
	return strstr(way->name, "-emu") && twin_of(name);
}

/* ---- tests ---------------------------------------------------------------------------------------------------- */

static const char *case_of(int i, const struct sk_backend **ret_way)
{
	*ret_way = ways[i % ways_len];
	return models[i / ways_len];
}

START_TEST(a_family_gives_the_tokens_of_the_reference)
{
	const struct sk_backend *way;
	const char *name = case_of(_i, &way);
	char what[128];
	struct family g;
	struct rig r;
	struct seq s;
	const float *logits;

	if (is_too_slow(way, name))
		return;
	snprintf(what, sizeof(what), "%s on %s", name, way->name);
	tokens_len = strstr(way->name, "-emu") && tokens_len > 4 ? 4 : tokens_len;
	family_read(name, &g);
	rig_open(&r, name, way);
	s = seq_of(&r, &g, true);
	logits = begin(&r, &s);
	for (int i = 0; i < g.logprob_len; i++) {
		double have = logprob(logits - (size_t)(g.prompt_len - 1 - i) * (size_t)r.vocab, r.vocab, g.prompt[i + 1]);

		ck_assert_msg(fabs(have - g.logprob[i]) < TOLERANCE, "%s: log-probability of prompt token %d is %.5f, the library's %.5f",
			      what, i + 1, have, g.logprob[i]);
	}
	generate(&r, what, &s, logits, g.greedy, g.greedy_logprob);
	s = seq_of(&r, &g, false);
	generate(&r, what, &s, begin(&r, &s), g.penalised, NULL);
	rig_close(&r);
}
END_TEST

START_TEST(a_familys_bits_are_the_same_alone_and_in_a_batch)
{
	const struct sk_backend *way;
	const char *name = case_of(_i, &way);
	struct family g;
	struct rig r;
	struct seq alone, other, again;
	float *want;
	const float *logits;
	int32_t row = 0;

	if (is_too_slow(way, name))
		return;
	family_read(name, &g);
	rig_open(&r, name, way);
	want = malloc(sizeof(float) * PROMPT_MAX * (size_t)r.vocab);
	alone = seq_of(&r, &g, true);
	for (int i = 0; r.encoder && i < tokens_len; i++)       /* a decoder's rows to compare: the library's answer */
		alone.ids[alone.len++] = g.greedy[i];
	if (r.encoder)
		encode(&r, (struct seq *[]){ &alone }, 1);
	memcpy(want, step(&r, (struct seq *[]){ &alone }, 1, T_MAX), sizeof(float) * (size_t)alone.len * (size_t)r.vocab);

	/* Another sequence first, of another length; both in chunks of 10. */
	again = alone;
	other = alone;
	again.done = other.done = 0;
	again.table = second_table;
	again.cross_table = second_cross;
	other.len -= other.len > 7 ? 7 : other.len - 1;  /* a decoder that is asked for few tokens has few rows */
	other.prompt_len = other.len;
	other.source_len -= r.encoder ? 5 : 0;
	for (int32_t i = 0; i < other.len; i++)
		other.ids[i] = alone.ids[other.len - 1 - i];
	if (r.encoder)
		encode(&r, (struct seq *[]){ &other, &again }, 2);
	while (again.done < again.len) {
		int32_t before = other.len - other.done < 10 ? other.len - other.done : 10, n;

		n = again.len - again.done < 10 ? again.len - again.done : 10;
		logits = step(&r, (struct seq *[]){ &other, &again }, 2, 10);
		ck_assert_msg(!memcmp(logits + (size_t)before * (size_t)r.vocab, want + (size_t)row * (size_t)r.vocab,
				      sizeof(float) * (size_t)n * (size_t)r.vocab), "%s on %s: rows %d to %d differ", name, way->name, row,
			      row + n - 1);
		row += n;
	}
	free(want);
	rig_close(&r);
}
END_TEST

/* The logits of all rows of a prompt, malloc'ed. */
static float *all_logits(const char *name, const struct sk_backend *way, const struct family *g, size_t *ret_len, struct sk_dims *ret_dims)
{
	struct rig r;
	struct seq s;
	float *copy;

	rig_open(&r, name, way);
	*ret_dims = *sk_model_dims(r.m);
	s = seq_of(&r, g, true);
	for (int i = 0; r.encoder && i < tokens_len; i++)
		s.ids[s.len++] = g->greedy[i];
	if (r.encoder)
		encode(&r, (struct seq *[]){ &s }, 1);
	*ret_len = (size_t)s.len * (size_t)r.vocab;
	copy = malloc(sizeof(float) * *ret_len);
	memcpy(copy, step(&r, (struct seq *[]){ &s }, 1, T_MAX), sizeof(float) * *ret_len);
	rig_close(&r);
	return copy;
}

START_TEST(a_models_bits_are_the_same_from_every_form_of_file)
{
	const struct sk_backend *way;
	const char *name = case_of(_i, &way), *twin = twin_of(name);
	size_t len, twin_len;
	struct sk_dims dims, twin_dims;
	struct family g;
	float *have, *want;

	if (!twin || is_too_slow(way, name))
		return;
	family_read(name, &g);
	have = all_logits(name, way, &g, &len, &dims);
	want = all_logits(twin, way, &g, &twin_len, &twin_dims);
	ck_assert_uint_eq(len, twin_len);
	if (dims.act != twin_dims.act)          /* no GGUF names its GELU */
		for (size_t i = 0; i < len; i++)
			ck_assert_msg(fabsf(have[i] - want[i]) < 5e-3f, "%s on %s: logit %zu is %g, its twin's %g", name, way->name, i,
				      (double)have[i], (double)want[i]);
	else
		ck_assert_msg(!memcmp(have, want, sizeof(float) * len), "%s on %s: other bits than %s", name, way->name, twin);
	free(have);
	free(want);
}
END_TEST

/* ---- configurations that do not fit the weights beside them --------------------------------------------------- */

static const struct { const char *model, *from, *to, *words; } unfit[] = {
	{ "t5", "\"feed_forward_proj\": \"relu\"", "\"feed_forward_proj\": \"gated-gelu\"", "layer 0 has no gate in its MLP" },
	{ "t5-gated-untied", "\"feed_forward_proj\": \"gated-gelu\"", "\"feed_forward_proj\": \"relu\"", "layer 0 has no MLP without a gate" },
	{ "opt", "\"word_embed_proj_dim\": 40", "\"word_embed_proj_dim\": 41", "[133, 40], the configuration wants [133, 41]" },
	{ "neox", "\"num_attention_heads\": 3", "\"num_attention_heads\": 5", "width 48 is no multiple of 5 heads" },
	{ "falcon-7b", "\"multi_query\": true", "\"multi_query\": false", "the configuration wants [144, 48]" },
	{ "llama-llama3", "\"head_dim\": 12", "\"head_dim\": 7", "key partial_rotary_factor: 7 of a head's 7 dimensions turn, it must be" },
};

static void copy_file(const char *from, const char *to, const char *find, const char *put)
{
	size_t len;
	char *text = golden_file(from, &len), *at = find ? strstr(text, find) : NULL;
	FILE *f = fopen(to, "wb");

	ck_assert_ptr_nonnull(f);
	ck_assert_msg(!find || at, "%s has no %s", from, find);
	if (at)
		fprintf(f, "%.*s%s%s", (int)(at - text), text, put, at + strlen(find));
	else
		ck_assert_uint_eq(fwrite(text, 1, len, f), len);
	fclose(f);
	free(text);
}

START_TEST(a_configuration_that_does_not_fit_its_weights_is_refused)
{
	static const char *const files[] = { "config.json", "model.safetensors" };
	char dir[] = "/tmp/sk-unfit-XXXXXX", from[256], to[256];
	const struct sk_arch *arch;
	struct sk_weights *w = NULL;
	struct sk_dims dims;
	struct sk_err err = { 0 };

	ck_assert_ptr_nonnull(mkdtemp(dir));
	for (int i = 0; i < 2; i++) {
		snprintf(from, sizeof(from), "families/%s/%s", unfit[_i].model, files[i]);
		snprintf(to, sizeof(to), "%s/%s", dir, files[i]);
		copy_file(from, to, i == 0 ? unfit[_i].from : NULL, unfit[_i].to);
	}
	ck_assert_msg(sk_weights_open(dir, &w, &err) == SK_OK, "%s", err.text);
	ck_assert_int_lt(sk_model_check(w, &arch, &dims, &err), 0);
	ck_assert_msg(strstr(err.text, unfit[_i].words) != NULL, "\"%s\" is not in: %s", unfit[_i].words, err.text);
	sk_weights_close(&w);
	for (int i = 0; i < 2; i++) {
		snprintf(to, sizeof(to), "%s/%s", dir, files[i]);
		unlink(to);
	}
	rmdir(dir);
}
END_TEST

/* ---- finding them --------------------------------------------------------------------------------------------- */

static int by_name(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static void find_models(void)
{
	const char *only = getenv("SAKER_FAMILY");
	DIR *dir = opendir(golden_path("families"));
	const struct dirent *e;

	while (dir && (e = readdir(dir)) != NULL)
		if (e->d_name[0] != '.' && models_len < MODELS_MAX && (!only || strstr(e->d_name, only)))
			models[models_len++] = strdup(e->d_name);
	if (dir)
		closedir(dir);
	qsort(models, (size_t)models_len, sizeof(*models), by_name);
}

static void find_ways(void)
{
	const char *only = getenv("SAKER_BACKEND"), *tokens = getenv("SAKER_FAMILIES_TOKENS");

	for (const struct sk_backend *const *b = sk_backends(); *b && ways_len < WAYS_MAX; b++) {
		char why[128];

		if ((!only || !strcmp(only, (*b)->name)) && (*b)->score(why, sizeof(why)) > 0)
			ways[ways_len++] = *b;
	}
	if (tokens && atoi(tokens) > 0 && atoi(tokens) < TOKENS)
		tokens_len = atoi(tokens);
}

int main(void)
{
	Suite *s = suite_create("families");
	TCase *t = tcase_create("families");
	SRunner *r;
	int failed;

	find_models();
	find_ways();
	if (!models_len || !ways_len) {
		printf("no model or no backend\n");
		return 1;
	}
	tcase_set_timeout(t, 300);
	tcase_add_loop_test(t, a_family_gives_the_tokens_of_the_reference, 0, models_len * ways_len);
	tcase_add_loop_test(t, a_familys_bits_are_the_same_alone_and_in_a_batch, 0, models_len * ways_len);
	tcase_add_loop_test(t, a_models_bits_are_the_same_from_every_form_of_file, 0, models_len * ways_len);
	tcase_add_loop_test(t, a_configuration_that_does_not_fit_its_weights_is_refused, 0, sizeof(unfit) / sizeof(unfit[0]));
	suite_add_tcase(s, t);
	r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	for (int i = 0; i < models_len; i++)
		free(models[i]);
	return failed ? 1 : 0;
}
