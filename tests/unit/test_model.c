/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The forward on tiny models: cpu agrees with ref for every weight type, and a row's bits depend on nothing but its own
 * sequence. Also what the check of a file against its architecture refuses.
 */
#include "engine/model/inside.h"

#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/lib/tiny_gguf.h"

enum { TOKENS = 100, BLOCKS = 64, SEQUENCES = 8 };

static char dir[64], path[128];
static int32_t ids[TOKENS], positions[TOKENS], all_rows[TOKENS];

static void setup(void)
{
	snprintf(dir, sizeof(dir), "/tmp/sk-model-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/model.gguf", dir);
	for (int32_t i = 0; i < TOKENS; i++) {
		ids[i] = (i * 7919 + 13) % 300;
		positions[i] = i;
		all_rows[i] = i;
	}
}

static void teardown(void)
{
	unlink(path);
	rmdir(dir);
}

/* ---- a model, and a sequence through it ----------------------------------------------------------------------- */

struct rig {
	struct sk_weights *w;
	struct sk_model *m;
	int32_t vocab;
};

struct rig_opts { const char *backend, *isa; int threads; bool quantise; };

/* A module is not everywhere, and may hold fewer weight formats than what is built in. */
static bool module_lacks(const char *backend, const struct tiny_gguf *tiny)
{
	const struct sk_backend *b;

	return strcmp(backend, "cpu") != 0 && strcmp(backend, "ref") != 0 &&
	       (sk_backend_find(backend, &b, NULL) < 0 || !b->weight_bytes(tiny->linear, 64, 64) || !b->weight_bytes(tiny->embed, 64, 64));
}

/* false: this machine or module has not what is asked for */
static bool rig_open(struct rig *r, const struct tiny_gguf *tiny, struct rig_opts o)
{
	struct sk_model_opts mo = {
		.dev = { .threads = o.threads ? o.threads : 1, .isa = o.isa },
		.kv_dtype = o.quantise ? SK_BF16 : SK_F32, .quantise = o.quantise, .tokens_max = TOKENS,
		.sequences_max = SEQUENCES, .logits_max = TOKENS, .context_max = tiny->context, .kv_blocks = BLOCKS };
	struct sk_err err = { 0 };

	memset(r, 0, sizeof(*r));
	if (module_lacks(o.backend, tiny))
		return false;
	tiny_gguf_write(tiny, path);
	ck_assert_int_eq(sk_backend_find(o.backend, &mo.backend, &err), SK_OK);
	ck_assert_msg(sk_weights_open(path, &r->w, &err) == SK_OK, "%s", err.text);
	if (sk_model_open(r->w, &mo, &r->m, &err) < 0) {
		ck_assert_msg(o.isa != NULL, "%s", err.text);   /* only an instruction set may be missing */
		sk_weights_close(&r->w);
		return false;
	}
	ck_assert_msg(sk_model_load(r->m, r->w, NULL, NULL, &err) == SK_OK, "%s", err.text);
	sk_weights_close(&r->w);
	r->vocab = sk_model_dims(r->m)->vocab;
	return true;
}

static void rig_close(struct rig *r)
{
	sk_model_close(&r->m);
}

/* One sequence's share of a step: tokens [first, first + len) of ids, in the blocks table. */
struct part { int32_t first, len; const int32_t *table; };

static const int32_t straight[BLOCKS] = { 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15 };
static const int32_t scattered[BLOCKS] = { 41, 3, 60, 17, 5, 33, 21, 9, 50, 2, 0, 63, 13, 14, 15, 16 };

/* A step of several parts; logits of all its rows go to out. */
static void step(struct rig *r, const struct part *parts, int32_t S, float *out)
{
	int32_t step_ids[TOKENS], pos[TOKENS], start[SEQUENCES + 1] = { 0 }, T = 0;
	const int32_t *tables[SEQUENCES];
	struct sk_step s = { .S = S, .ids = step_ids, .pos = pos, .seq_start = start, .blocks = tables };
	const float *logits;
	struct sk_err err = { 0 };

	for (int32_t i = 0; i < S; i++) {
		memcpy(step_ids + T, ids + parts[i].first, sizeof(*ids) * (size_t)parts[i].len);
		memcpy(pos + T, positions + parts[i].first, sizeof(*ids) * (size_t)parts[i].len);
		tables[i] = parts[i].table;
		T += parts[i].len;
		start[i + 1] = T;
	}
	s.T = T;
	ck_assert_msg(sk_model_forward(r->m, &s, all_rows, T, &logits, &err) == SK_OK, "%s", err.text);
	memcpy(out, logits, sizeof(float) * (size_t)T * (size_t)r->vocab);
}

/* The first `len` tokens as one sequence, `chunk` tokens a step. Returns logits of all rows; free() them. */
static float *run(struct rig *r, int32_t len, int32_t chunk, const int32_t *table)
{
	float *out = malloc(sizeof(float) * (size_t)len * (size_t)r->vocab);

	ck_assert_ptr_nonnull(out);
	for (int32_t at = 0; at < len; at += chunk)
		step(r, &(struct part){ at, len - at < chunk ? len - at : chunk, table }, 1, out + (size_t)at * (size_t)r->vocab);
	return out;
}

/* The largest difference, as a part of the largest value. */
static double difference(const float *a, const float *b, size_t len)
{
	double worst = 0, top = 0;

	for (size_t i = 0; i < len; i++) {
		if (!isfinite(a[i]) || !isfinite(b[i]))
			ck_abort_msg("not finite at %zu", i);
		worst = fmax(worst, fabs((double)a[i] - (double)b[i]));
		top = fmax(top, fabs((double)b[i]));
	}
	return worst / top;
}

static void assert_same_bits(const float *a, const float *b, size_t len, const char *what)
{
	if (memcmp(a, b, sizeof(*a) * len) == 0)        /* an assertion for each value would be most of the test's time */
		return;
	for (size_t i = 0; i < len; i++)
		if (memcmp(&a[i], &b[i], sizeof(float)) != 0)
			ck_abort_msg("%s: value %zu is %.9g, not %.9g", what, i, (double)a[i], (double)b[i]);
}

/* ---- shapes and types ----------------------------------------------------------------------------------------- */

static const struct { const char *name; struct tiny_gguf o; } models[] = {
#define SHAPE(l, D, H, K, d, F) .layers = l, .width = D, .heads = H, .kv_heads = K, .head_width = d, .ffn = F
#define SMALL SHAPE(2, 64, 4, 2, 16, 96)
#define MODEL(title, shape, ...) { title, { shape, .context = 256, .rope_base = 10000.0f, .pre = "smollm", .version = 3, \
	.alignment = 32, .seed = 1, __VA_ARGS__ } }
	MODEL("F32", SMALL, .embed = SK_F32,  .linear = SK_F32),
	MODEL("F16", SMALL, .embed = SK_F16,  .linear = SK_F16),
	MODEL("BF16", SMALL, .embed = SK_BF16, .linear = SK_BF16),
	MODEL("Q8_0", SMALL, .embed = SK_Q8_0, .linear = SK_Q8_0),
	MODEL("Q4_0", SMALL, .embed = SK_Q4_0, .linear = SK_Q4_0),
	MODEL("Q4_1", SMALL, .embed = SK_Q4_1, .linear = SK_Q4_1),
	MODEL("like SmolLM2: Q8_0 embedding, Q4_1 linears, 3 heads on 1, head width 64, 8 slices",
	      SHAPE(2, 192, 3, 1, 64, 512), .embed = SK_Q8_0, .linear = SK_Q4_1),
	MODEL("v and up of other types than their neighbours", SMALL,
	      .embed = SK_Q8_0, .linear = SK_Q4_0, .odd_v = true, .attn_v = SK_Q8_0, .odd_up = true, .ffn_up = SK_Q4_1),
	MODEL("a head of its own, frequency factors, linear rope scaling", SMALL,
	      .embed = SK_Q4_0, .linear = SK_Q8_0, .untied = true, .rope_freqs = true, .rope_scale = 2.0f),
	MODEL("float32 with widths that are no multiple of anything",
	      SHAPE(2, 50, 5, 5, 6, 37), .embed = SK_F32, .linear = SK_F32),
	MODEL("one layer, one head", SHAPE(1, 64, 1, 1, 64, 96), .embed = SK_BF16, .linear = SK_BF16),
#undef MODEL
#undef SMALL
#undef SHAPE
};
enum { MODELS = sizeof(models) / sizeof(models[0]) };

/*
 * float32: only the order of sums differs. Quantised: where a sum differs in its last bit, an activation may fall to
 * the other side of a rounding boundary; one step of int8 is 1/127 of a block's largest value, of bfloat16 1/256.
 */
static const struct { const char *backend, *isa; bool quantise; double tolerance; } levels[] = {
	{ "cpu", NULL,       false, 2e-5 }, { "cpu", NULL,       true, 3e-2 },
	{ "cpu", "portable", false, 2e-5 }, { "cpu", "portable", true, 3e-2 },
	{ "cpu", "avx2",     false, 2e-5 }, { "cpu", "avx2",     true, 3e-2 },
	{ "cpu", "avx512",   false, 2e-5 }, { "cpu", "avx512",   true, 3e-2 },
	{ "cuda-emu", NULL,  false, 2e-5 }, { "cuda-emu", NULL,  true, 3e-2 },
	{ "cuda", NULL,      false, 2e-5 }, { "cuda", NULL,      true, 3e-2 },
};
enum { LEVELS = sizeof(levels) / sizeof(levels[0]) };

START_TEST(backends_agree_with_ref_for_every_weight_type_and_instruction_set)
{
	const struct tiny_gguf *o = &models[_i].o;
	enum { LEN = 24 };

	for (int q = 0; q < 2; q++) {
		struct rig r;
		float *want, *got;
		size_t len;

		ck_assert(rig_open(&r, o, (struct rig_opts){ .backend = "ref", .quantise = q }));
		want = run(&r, LEN, LEN, straight);
		len = (size_t)LEN * (size_t)r.vocab;
		rig_close(&r);
		for (int i = 0; i < LEVELS; i++) {
			double d;

			if (levels[i].quantise != q ||
			    !rig_open(&r, o, (struct rig_opts){ .backend = levels[i].backend, .isa = levels[i].isa, .quantise = q }))
				continue;
			got = run(&r, LEN, LEN, straight);
			d = difference(got, want, len);
			if (getenv("SAKER_TEST_SHOW"))
				printf("%s, %s %s, quantise %d: %.2g\n", models[_i].name, levels[i].backend,
				       levels[i].isa ? levels[i].isa : "", q, d);
			ck_assert_msg(d <= levels[i].tolerance, "%s, %s %s, quantise %d: %g", models[_i].name, levels[i].backend,
				      levels[i].isa ? levels[i].isa : "", q, d);
			free(got);
			rig_close(&r);
		}
		free(want);
	}
}
END_TEST

/* ---- a row's bits do not depend on its neighbours ------------------------------------------------------------- */

START_TEST(chunked_prefill_gives_the_bits_of_a_whole_one)
{
	static const int32_t chunks[] = { 1, 3, 17, 64 };

	for (int q = 0; q < 2; q++) {
		struct rig r;
		float *want, *got;

		ck_assert(rig_open(&r, &models[_i].o, (struct rig_opts){ .backend = "cpu", .quantise = q }));
		want = run(&r, TOKENS, TOKENS, straight);
		for (size_t i = 0; i < sizeof(chunks) / sizeof(chunks[0]); i++) {
			got = run(&r, TOKENS, chunks[i], scattered);
			assert_same_bits(got, want, (size_t)TOKENS * (size_t)r.vocab, models[_i].name);
			free(got);
		}
		free(want);
		rig_close(&r);
	}
}
END_TEST

START_TEST(two_threads_give_the_bits_of_one)
{
	for (int q = 0; q < 2; q++) {
		struct rig r;
		float *one, *two;

		ck_assert(rig_open(&r, &models[_i].o, (struct rig_opts){ .backend = "cpu", .quantise = q, .threads = 1 }));
		one = run(&r, TOKENS, 33, straight);
		rig_close(&r);
		ck_assert(rig_open(&r, &models[_i].o, (struct rig_opts){ .backend = "cpu", .quantise = q, .threads = 2 }));
		two = run(&r, TOKENS, 33, straight);
		assert_same_bits(two, one, (size_t)TOKENS * (size_t)r.vocab, models[_i].name);
		free(one);
		free(two);
		rig_close(&r);
	}
}
END_TEST

/* Four sequences: prompts of 20 and 9, then decode tokens of both beside a prompt of 30, in other blocks. */
START_TEST(a_sequence_among_others_has_the_bits_of_one_alone)
{
	static const int32_t tables[3][4] = { { 7, 2, 30, 31 }, { 11, 4, 32, 33 }, { 0, 9, 34, 35 } };

	for (int q = 0; q < 2; q++) {
		struct rig r;
		float *alone, *got;
		size_t V;

		ck_assert(rig_open(&r, &models[_i].o, (struct rig_opts){ .backend = "cpu", .quantise = q, .threads = 2 }));
		V = (size_t)r.vocab;
		alone = run(&r, 40, 40, straight);      /* all sequences are the same text: rows can be compared */
		got = malloc(sizeof(float) * 60 * V);
		step(&r, (const struct part[]){ { 0, 20, tables[0] }, { 0, 9, tables[1] } }, 2, got);
		assert_same_bits(got, alone, 20 * V, "first prompt");
		assert_same_bits(got + 20 * V, alone, 9 * V, "second prompt");
		step(&r, (const struct part[]){ { 20, 1, tables[0] }, { 9, 1, tables[1] }, { 0, 30, tables[2] } }, 3, got);
		assert_same_bits(got, alone + 20 * V, V, "first decode");
		assert_same_bits(got + V, alone + 9 * V, V, "second decode");
		assert_same_bits(got + 2 * V, alone, 30 * V, "late prompt");
		step(&r, (const struct part[]){ { 30, 1, tables[2] }, { 21, 4, tables[0] }, { 10, 1, tables[1] } }, 3, got);
		assert_same_bits(got, alone + 30 * V, V, "late decode");
		assert_same_bits(got + V, alone + 21 * V, 4 * V, "several tokens at the end of a sequence");
		assert_same_bits(got + 5 * V, alone + 10 * V, V, "second decode again");
		free(alone);
		free(got);
		rig_close(&r);
	}
}
END_TEST

/* ---- the rows asked for --------------------------------------------------------------------------------------- */

struct collect { const float *want; int32_t next, vocab; };

static float log_sum_exp(const float *x, int32_t n)
{
	double sum = 0.0;

	for (int32_t i = 0; i < n; i++)
		sum += exp((double)x[i]);
	return (float)log(sum);
}

static void collect_row(void *arg, int32_t row, const float *logits, float logsumexp)
{
	struct collect *c = arg;

	ck_assert_int_eq(row, c->next++);
	assert_same_bits(logits, c->want + (size_t)row * (size_t)c->vocab, (size_t)c->vocab, "prompt row");
	ck_assert_msg(fabsf(logsumexp - log_sum_exp(logits, c->vocab)) < 1e-4f, "logsumexp of row %d", row);
}

START_TEST(rows_asked_for_have_the_bits_of_all_rows)
{
	const char *backends[] = { "ref", "cpu", "cuda-emu" };
	enum { LEN = SK_PROMPT_TILE + 6 };      /* more than a tile, also from row 3 on */

	for (int i = 0; i < 6; i++) {
		struct rig r;
		struct collect c;
		float *all;
		const float *some;
		const int32_t wanted[] = { 0, 7, LEN - 2, LEN - 1 }, start[] = { 0, LEN };
		const int32_t *table = straight;
		struct sk_step s = { .T = LEN, .S = 1, .ids = ids, .pos = positions, .seq_start = start, .blocks = &table };
		size_t V;

		if (!rig_open(&r, &models[_i].o, (struct rig_opts){ .backend = backends[i / 2], .quantise = i % 2 }))
			continue;
		V = (size_t)r.vocab;
		all = run(&r, LEN, LEN, straight);
		c = (struct collect){ .want = all, .vocab = r.vocab };
		sk_model_prompt_rows(r.m, 0, LEN, collect_row, &c);     /* after a step that finished all rows */
		ck_assert_int_eq(c.next, LEN);
		ck_assert_int_eq(sk_model_forward(r.m, &s, wanted, 4, &some, NULL), SK_OK);
		for (int k = 0; k < 4; k++)
			assert_same_bits(some + (size_t)k * V, all + (size_t)wanted[k] * V, V, "wanted row");
		c.next = 3;
		sk_model_prompt_rows(r.m, 3, LEN - 3, collect_row, &c);      /* after one that left most unfinished */
		ck_assert_int_eq(c.next, LEN);
		for (int k = 0; k < 4; k++)
			assert_same_bits(some + (size_t)k * V, all + (size_t)wanted[k] * V, V, "wanted row, still there");
		ck_assert_int_eq(sk_model_forward(r.m, &s, NULL, 0, &some, NULL), SK_OK);
		c.next = 0;
		sk_model_prompt_rows(r.m, 0, 1, collect_row, &c);
		ck_assert_int_eq(c.next, 1);
		free(all);
		rig_close(&r);
	}
}
END_TEST

START_TEST(a_copied_block_continues_like_its_original)
{
	const char *backends[] = { "ref", "cpu", "cuda-emu" };

	for (int i = 0; i < 3; i++) {
		static const int32_t fork[BLOCKS] = { 0, 40 };
		struct rig r;
		float *want, *got;

		if (!rig_open(&r, &models[0].o, (struct rig_opts){ .backend = backends[i] }))
			continue;
		want = run(&r, 30, 30, straight);
		got = run(&r, 20, 20, straight);
		sk_model_kv_copy(r.m, 1, 40);
		step(&r, &(struct part){ 20, 10, fork }, 1, got);
		assert_same_bits(got, want + 20 * (size_t)r.vocab, 10 * (size_t)r.vocab, "fork");
		free(want);
		free(got);
		rig_close(&r);
	}
}
END_TEST

/* ---- recorded steps ---- */

/* Three sequences, and how many of them take part in each step of one token. Behind 256 tokens attention has more splits. */
enum { SEQS = 3, LONGEST = 264 };
static const int32_t lens[SEQS] = { 5, 258, 21 }, takes[] = { 1, 3, 2, 3, 1 };

/* Tokens [from[i], from[i] + n) of S sequences, the first of them `first`; with n == 1 logits of all rows go to out. */
static bool feed(struct rig *r, int32_t first, int32_t S, const int32_t *from, int32_t n, float *out)
{
	int32_t tables[SEQS][20], step_ids[TOKENS], pos[TOKENS], start[SEQS + 1] = { 0 }, T = 0;
	const int32_t *blocks[SEQS];
	struct sk_step s = { .S = S, .ids = step_ids, .pos = pos, .seq_start = start, .blocks = blocks };
	const struct sk_ops *ops = r->m->backend->ops;
	const float *logits;
	struct sk_err err = { 0 };

	for (int32_t i = 0; i < S; i++) {
		for (int32_t b = 0; b < 20; b++)
			tables[i][b] = (first + i) * 20 + b;
		blocks[i] = tables[i];
		for (int32_t k = from[i]; k < from[i] + n; k++, T++) {
			pos[T] = k;
			step_ids[T] = (k * 7919 + (first + i) * 31 + 13) % 300;
		}
		start[i + 1] = T;
	}
	s.T = T;
	ck_assert_msg(sk_model_forward(r->m, &s, all_rows, n == 1 ? T : 0, &logits, &err) == SK_OK, "%s", err.text);
	if (n == 1 && out)
		memcpy(out, logits, sizeof(float) * (size_t)T * (size_t)r->vocab);
	/* Doing it a second time changes nothing, and tells whether it was a recorded one. */
	return n == 1 && ops->replay && ops->replay(r->m->dev, &s) && sk_model_sync(r->m, &err) == SK_OK;
}

/* Logits of all steps, one behind the other; whether every one of them was recorded. */
static bool decode(struct rig *r, float *out)
{
	int32_t at[SEQS];
	bool recorded = true;

	for (int32_t i = 0; i < SEQS; i++)
		for (int32_t k = 0; k < lens[i]; k += TOKENS)
			feed(r, i, 1, &k, lens[i] - k < TOKENS ? lens[i] - k : TOKENS, NULL);
	memcpy(at, lens, sizeof(at));
	for (size_t t = 0; t < sizeof(takes) / sizeof(takes[0]); t++) {
		recorded &= feed(r, 0, takes[t], at, 1, out);
		out += (size_t)takes[t] * (size_t)r->vocab;
		for (int32_t i = 0; i < takes[t]; i++)
			at[i]++;
	}
	return recorded;
}

START_TEST(a_recorded_step_has_the_bits_of_its_operations)
{
	struct tiny_gguf tiny = models[0].o;

	tiny.linear = tiny.embed = SK_BF16;
	tiny.context = LONGEST;
	for (int i = 0; i < 4; i++) {
		struct rig_opts o = { .backend = i / 2 ? "cuda" : "cuda-emu", .quantise = i % 2 };
		struct rig r;
		float *out[2] = { NULL, NULL };
		size_t len = 0;

		for (int record = 0; record < 2; record++) {
			if (!rig_open(&r, &tiny, o))
				break;
			len = 10 * (size_t)r.vocab;
			out[record] = malloc(sizeof(float) * len);
			ck_assert_ptr_nonnull(out[record]);
			if (record)
				ck_assert_int_eq(sk_model_record(r.m), 2 * 4);  /* 1, 2, 4 and 8 sequences, short and long */
			ck_assert_int_eq(decode(&r, out[record]), record);
			rig_close(&r);
		}
		if (out[1])
			assert_same_bits(out[1], out[0], len, "recorded");
		free(out[0]);
		free(out[1]);
	}
}
END_TEST

/* ---- slices --------------------------------------------------------------------------------------------------- */

static const struct {
	const char *name;
	struct tiny_gguf o;
	int32_t o_slices, o_ends[8], down_slices, down_ends[8];
} slice_cases[] = {
#define CASE(t, h, w, f) { .layers = 1, .width = 64, .heads = h, .kv_heads = h, .head_width = w, .ffn = f, .context = 64, \
	.embed = t, .linear = t, .rope_base = 1e4f, .no_tokenizer = true, .version = 3, .alignment = 32, .seed = 1 }
	{ "SmolLM2: 9 heads of 64, 1536 columns in blocks of 32", CASE(SK_Q4_1, 9, 64, 1536),
	  8, { 64, 128, 192, 256, 320, 384, 448, 576 }, 8, { 192, 384, 576, 768, 960, 1152, 1344, 1536 } },
	{ "a block of 32 holds two heads of 16; three blocks of columns", CASE(SK_Q8_0, 4, 16, 96),
	  2, { 32, 64 }, 3, { 32, 64, 96 } },
	{ "heads of 48 end on a block every second time", CASE(SK_Q4_0, 4, 48, 32), 2, { 96, 192 }, 1, { 32 } },
	{ "float32 has no blocks", CASE(SK_F32, 3, 10, 20), 3, { 10, 20, 30 }, 8, { 2, 5, 7, 10, 12, 15, 17, 20 } },
#undef CASE
};

START_TEST(sums_are_cut_on_heads_and_blocks)
{
	struct rig r;
	const struct sk_layer *y;

	ck_assert(rig_open(&r, &slice_cases[_i].o, (struct rig_opts){ .backend = "ref" }));
	y = &r.m->layers[0];
	ck_assert_int_eq(y->self.o.slices, slice_cases[_i].o_slices);
	ck_assert_mem_eq(y->self.o.slice_end, slice_cases[_i].o_ends, sizeof(y->self.o.slice_end));
	ck_assert_int_eq(y->mlp.down.slices, slice_cases[_i].down_slices);
	ck_assert_mem_eq(y->mlp.down.slice_end, slice_cases[_i].down_ends, sizeof(y->mlp.down.slice_end));
	rig_close(&r);
}
END_TEST

/* ---- plan and loading ----------------------------------------------------------------------------------------- */

static struct sk_weights *open_tiny(const struct tiny_gguf *o)
{
	struct sk_weights *w = NULL;

	tiny_gguf_write(o, path);
	ck_assert_int_eq(sk_weights_open(path, &w, NULL), SK_OK);
	return w;
}

static struct sk_model_opts small_opts(void)
{
	struct sk_model_opts o = { .dev.threads = 1, .kv_dtype = SK_BF16, .quantise = true, .tokens_max = 8, .sequences_max = 2,
				   .logits_max = 2, .context_max = 64, .kv_blocks = 8 };

	ck_assert_int_eq(sk_backend_find("cpu", &o.backend, NULL), SK_OK);
	return o;
}

START_TEST(the_plan_counts_weights_and_cache)
{
	struct sk_weights *w = open_tiny(&models[6].o);
	struct sk_model_opts o = small_opts();
	struct sk_model_plan p;
	uint64_t layer = 192 * 192 * 2 + 64 * 192 * 2 + 3 * 512 * 192 + 2 * 192;

	ck_assert_int_eq(sk_model_plan(w, &o, &p, NULL), SK_OK);
	ck_assert_uint_eq(p.params, 302 * 192 + 2 * layer + 192);
	ck_assert_uint_eq(p.kv_bytes_per_token, 2 * 2 * 64 * 2);        /* layers x (k, v) x width of a head x bfloat16 */
	ck_assert_uint_ge(p.kv_bytes, 8 * 16 * p.kv_bytes_per_token);
	ck_assert_uint_gt(p.weights_bytes, 2 * layer / 2);
	ck_assert_uint_gt(p.scratch_bytes, 2 * 302 * 4);
	ck_assert_str_eq(p.quant, "Q4_1");
	o.kv_blocks = 0;
	ck_assert_int_eq(sk_model_plan(w, &o, &p, NULL), SK_OK);
	ck_assert_uint_eq(p.kv_bytes, 0);
	sk_weights_close(&w);
}
END_TEST

static const int plan_threads[] = { 1, 2, 16 };

/* The cpu backend keeps scratch for each thread. */
START_TEST(the_plan_is_what_open_takes_whatever_the_number_of_threads)
{
	struct sk_weights *w = open_tiny(&models[6].o);
	struct sk_model_opts o = small_opts();
	struct sk_scratch list[SK_SCRATCH_LEN];
	struct sk_model_plan p;
	struct sk_dev_plan dev;
	struct sk_model *m = NULL;
	size_t bytes = 0;
	uint64_t sum;

	o.dev.threads = plan_threads[_i];
	ck_assert_int_eq(sk_model_plan(w, &o, &p, NULL), SK_OK);
	ck_assert_int_eq(sk_model_open(w, &o, &m, NULL), SK_OK);
	sk_model_dev_plan(m, &dev);
	ck_assert_int_eq(o.backend->reserve(sk_model_dev(m), &dev, &bytes, NULL), SK_OK);
	sk_model_scratch(m, sk_model_any_separate_glu(w, m->arch, &m->dims), list);
	sum = bytes;
	for (int i = 0; i < SK_SCRATCH_LEN; i++)
		sum += list[i].bytes;
	ck_assert_uint_eq(p.scratch_bytes, sum);
	sk_model_close(&m);
	sk_weights_close(&w);
}
END_TEST

START_TEST(loading_counts_every_byte_and_can_be_stopped)
{
	struct sk_weights *w = open_tiny(&models[7].o);
	struct sk_model_opts o = small_opts();
	_Atomic uint64_t done = 0;
	_Atomic bool stop = false;
	struct sk_model *m = NULL;
	struct sk_err err;

	ck_assert_int_eq(sk_model_open(w, &o, &m, &err), SK_OK);
	ck_assert_int_eq(sk_model_load(m, w, &done, &stop, &err), SK_OK);
	ck_assert_uint_eq(done, sk_model_load_bytes(m));
	ck_assert_uint_gt(done, 0);
	sk_model_close(&m);
	ck_assert_ptr_null(m);

	stop = true;
	ck_assert_int_eq(sk_model_open(w, &o, &m, &err), SK_OK);
	ck_assert_int_eq(sk_model_load(m, w, NULL, &stop, &err), SK_ECANCELED);
	sk_model_close(&m);
	sk_weights_close(&w);
}
END_TEST

START_TEST(a_step_beyond_the_plan_is_refused)
{
	struct sk_weights *w = open_tiny(&models[0].o);
	struct sk_model_opts o = small_opts();
	struct sk_model *m = NULL;
	const int32_t start[] = { 0, 9 }, bad_id[] = { 302 }, bad_pos[] = { 64 }, bad_row[] = { 1 };
	const int32_t *table = straight;
	struct sk_step s = { .T = 9, .S = 1, .ids = ids, .pos = positions, .seq_start = start, .blocks = &table };
	const float *logits = NULL;

	ck_assert_int_eq(sk_model_open(w, &o, &m, NULL), SK_OK);
	ck_assert_int_eq(sk_model_load(m, w, NULL, NULL, NULL), SK_OK);
	ck_assert_int_eq(sk_model_forward(m, &s, all_rows, 1, &logits, NULL), SK_EINVAL);
	s.T = 8;
	ck_assert_int_eq(sk_model_forward(m, &s, all_rows, 3, &logits, NULL), SK_EINVAL);
	s.T = 1;
	ck_assert_int_eq(sk_model_forward(m, &s, bad_row, 1, &logits, NULL), SK_EINVAL);
	s.ids = bad_id;
	ck_assert_int_eq(sk_model_forward(m, &s, all_rows, 1, &logits, NULL), SK_EINVAL);
	s.ids = ids;
	s.pos = bad_pos;
	ck_assert_int_eq(sk_model_forward(m, &s, all_rows, 1, &logits, NULL), SK_EINVAL);
	ck_assert_ptr_null(logits);
	sk_model_close(&m);
	sk_weights_close(&w);
}
END_TEST

/* ---- what does not fit together ------------------------------------------------------------------------------- */

/* Each changes one thing of a good file: `find` (once in it, bytes) becomes `put`, of equal length. */
static const struct { const char *find, *put; size_t len; sk_status want; const char *words; } broken[] = {
#define SWAP(a, b) a, b, sizeof(a) - 1
	{ SWAP("\x05\0\0\0\0\0\0\0llama", "\x05\0\0\0\0\0\0\0camel"), SK_ENOTSUP, "architecture \"camel\" is not supported (known: llama" },
	{ SWAP("general.architecture", "general.architectura"), SK_EFORMAT, "general.architecture is missing" },
	{ SWAP("llama.block_count", "llama.block_cound"), SK_EFORMAT, "key llama.block_count is missing" },
	{ SWAP("llama.block_count\x04\0\0\0\x02", "llama.block_count\x04\0\0\0\x03"), SK_EFORMAT, "tensor blk.2.attn_norm.weight is missing" },
	{ SWAP("llama.block_count\x04\0\0\0\x02", "llama.block_count\x04\0\0\0\x01"), SK_ENOTSUP, "tensor blk.1.attn_norm.weight is not known" },
	{ SWAP("llama.block_count\x04\0\0\0\x02", "llama.block_count\x04\0\0\0\x00"), SK_EFORMAT, "llama.block_count is 0, it must be from 1 to 1024" },
	{ SWAP("llama.block_count\x04\0\0\0\x02", "llama.block_count\x06\0\0\0\x02"), SK_EFORMAT, "it must be a whole number" },
	{ SWAP("llama.embedding_length\x04\0\0\0\x40", "llama.embedding_length\x04\0\0\0\x41"), SK_EFORMAT, "tensor token_embd.weight has shape [302, 64], the configuration wants [302, 65] (V,D)" },
	{ SWAP("head_count_kv\x04\0\0\0\x02", "head_count_kv\x04\0\0\0\x03"), SK_EFORMAT, "4 attention heads are no multiple of 3" },
	{ SWAP("key_length\x04\0\0\0\x10", "key_length\x04\0\0\0\x12"), SK_EFORMAT, "tensor blk.0.attn_q.weight has shape [64, 64], the configuration wants [72, 64] (Q,D)" },
	{ SWAP("dimension_count\x04\0\0\0\x10", "dimension_count\x04\0\0\0\x0f"), SK_EFORMAT, "llama.rope.dimension_count is 15" },
	{ SWAP("dimension_count\x04\0\0\0\x10", "dimension_count\x04\0\0\0\x12"), SK_EFORMAT, "llama.rope.dimension_count is 18" },
	{ SWAP("layer_norm_rms_epsilon\x06\0\0\0\xac\xc5\x27\x37", "layer_norm_rms_epsilon\x06\0\0\0\0\0\xc0\x7f"), SK_EFORMAT, "epsilon is nan" },
	{ SWAP("freq_base\x06\0\0\0\0\x40\x1c\x46", "freq_base\x06\0\0\0\0\x40\x1c\xc6"), SK_EFORMAT, "freq_base is -10000" },
	{ SWAP("blk.1.ffn_up.weight", "blk.1.ffn_ub.weight"), SK_EFORMAT, "tensor blk.1.ffn_up.weight is missing" },
	{ SWAP("llama.vocab_size\x04\0\0\0\x2e", "llama.vocab_size\x04\0\0\0\x2f"), SK_EFORMAT, "wants [303, 64]" },
	{ SWAP("general.name\x08\0\0\0\x04\0\0\0\0\0\0\0Tiny", "llama.x.coun\x08\0\0\0\x04\0\0\0\0\0\0\0Tiny"), SK_OK, "" },
	{ SWAP("\x06\0\0\0\0\0\0\0linear", "\x06\0\0\0\0\0\0\0dynami"), SK_ENOTSUP, "key llama.rope.scaling.type: rotary scaling \"dynami\" is not supported (known: linear, none, yarn)" },
#undef SWAP
};

static void replace_once(unsigned char *file, size_t len, int i)
{
	for (size_t at = 0; at + broken[i].len <= len; at++)
		if (!memcmp(file + at, broken[i].find, broken[i].len)) {
			memcpy(file + at, broken[i].put, broken[i].len);
			return;
		}
	ck_abort_msg("case %d: not in the file", i);
}

START_TEST(a_file_that_breaks_its_architecture_is_refused_by_name)
{
	struct tiny_gguf o = TINY_GGUF_INIT;
	const struct sk_arch *a = NULL;
	struct sk_weights *w = NULL;
	struct sk_dims d;
	struct sk_err err = { 0 };
	unsigned char *file;
	size_t len;
	sk_status st;

	o.rope_scale = 2.0f;
	file = tiny_gguf_make(&o, &len);
	replace_once(file, len, _i);
	tiny_save(file, len, path);
	free(file);
	ck_assert_msg(sk_weights_open(path, &w, &err) == SK_OK, "%s", err.text);
	st = sk_model_check(w, &a, &d, &err);
	ck_assert_msg(st == broken[_i].want, "case %d: %s: %s", _i, sk_status_name(st), err.text);
	ck_assert_msg(strstr(err.text, broken[_i].words) != NULL, "case %d: \"%s\" is not in: %s", _i, broken[_i].words, err.text);
	sk_weights_close(&w);
}
END_TEST

START_TEST(a_rope_factor_without_a_type_is_linear)
{
	static const char find[] = "llama.rope.scaling.type";
	struct tiny_gguf o = TINY_GGUF_INIT;
	const struct sk_arch *a = NULL;
	struct sk_weights *w = NULL;
	struct sk_dims d;
	struct sk_err err = { 0 };
	unsigned char *file, *at;
	size_t len;

	o.rope_scale = 2.0f;
	file = tiny_gguf_make(&o, &len);
	at = memmem(file, len, find, sizeof find - 1);
	ck_assert_ptr_nonnull(at);
	memcpy(at, "llama.rope.scaling.tipo", sizeof find - 1);
	tiny_save(file, len, path);
	free(file);
	ck_assert_msg(sk_weights_open(path, &w, &err) == SK_OK, "%s", err.text);
	ck_assert_msg(sk_model_check(w, &a, &d, &err) == SK_OK, "%s", err.text);
	ck_assert_float_eq(d.rope.factor, 2.0f);
	sk_weights_close(&w);
}
END_TEST

START_TEST(dimensions_come_from_the_keys)
{
	struct tiny_gguf o = models[8].o;
	const struct sk_arch *a = NULL;
	struct sk_dims d;
	struct sk_weights *w = open_tiny(&o);

	ck_assert_int_eq(sk_model_check(w, &a, &d, NULL), SK_OK);
	ck_assert_str_eq(a->name, "llama");
	ck_assert_int_eq(d.layers, 2);
	ck_assert_int_eq(d.width, 64);
	ck_assert_int_eq(d.heads, 4);
	ck_assert_int_eq(d.kv_heads, 2);
	ck_assert_int_eq(d.head_width, 16);
	ck_assert_int_eq(d.rope.width, 16);
	ck_assert_int_eq(d.ffn_width, 96);
	ck_assert_int_eq(d.vocab, 302);
	ck_assert_int_eq(d.context_max, 256);
	ck_assert(d.rope.interleaved);
	ck_assert(!d.tied_head);
	ck_assert_float_eq(d.rope.base, 10000.0f);
	ck_assert_float_eq(d.rope.factor, 2.0f);
	ck_assert_float_eq(d.norm_eps, 1e-5f);
	sk_weights_close(&w);
}
END_TEST

/* ---- q, k and v as the device has them ------------------------------------------------------------------------ */

static const struct { const char *name; struct tiny_gguf o; } lookers[] = {
#define LOOKER(title, ...) { title, { .layers = 2, .width = 64, .heads = 4, .kv_heads = 2, .head_width = 16, .ffn = 96, .context = 256, \
	.rope_base = 10000.0f, .pre = "smollm", .version = 3, .alignment = 32, .seed = 1, __VA_ARGS__ } }
	LOOKER("three tensors", .linear = SK_F32),
	LOOKER("three tensors in blocks, v of another type", .linear = SK_Q4_1, .odd_v = true, .attn_v = SK_Q8_0),
	LOOKER("part of a head turns", .linear = SK_Q8_0, .rope_width = 10),
	LOOKER("biases", .linear = SK_BF16, .qkv_bias = true, .rope_width = 12),
	LOOKER("in one tensor", .linear = SK_F16, .fused_qkv = true, .qkv_bias = true),
#undef LOOKER
};

/* Row n of q | k | v in the file's order of dims, and its bias: of which tensor, which row of it. */
static const struct sk_tensor *file_row(const struct sk_weights *w, const struct tiny_gguf *o, int32_t n, int32_t *ret_row,
					const struct sk_tensor **ret_bias)
{
	int32_t q = o->heads * o->head_width, k = o->kv_heads * o->head_width;
	const char *part = o->fused_qkv ? "qkv" : n < q ? "q" : n < q + k ? "k" : "v";
	char name[64];

	*ret_row = o->fused_qkv || n < q ? n : n < q + k ? n - q : n - q - k;
	snprintf(name, sizeof(name), "blk.1.attn_%s.bias", part);
	*ret_bias = sk_weights_find(w, name);
	snprintf(name, sizeof(name), "blk.1.attn_%s.weight", part);
	return sk_weights_find(w, name);
}

/* As Hugging Face directories have them: whatever a file's order, the same bits come out (golden/test_families has whole models). */
START_TEST(what_turns_together_is_half_a_head_apart_whatever_the_file_has)
{
	const struct tiny_gguf *o = &lookers[_i].o;
	int32_t d = o->head_width, turns = o->rope_width ? o->rope_width : d, looking = (o->heads + o->kv_heads) * d, n = 0;
	struct sk_weights *w;
	struct rig r;

	ck_assert(rig_open(&r, o, (struct rig_opts){ .backend = "cpu" }));
	ck_assert_int_eq(sk_weights_open(path, &w, NULL), SK_OK);
	for (int32_t i = 0; i < r.m->layers[1].self.qkv_len; i++) {
		const struct sk_linear *lin = &r.m->layers[1].self.qkv[i];

		ck_assert_int_eq(lin->column, n);
		ck_assert_int_eq(lin->bias != NULL, o->qkv_bias);
		for (int32_t row = 0; row < lin->w->N; row++, n++) {
			float have[64], want[64], bias;
			int32_t at = n % d, from = n, in_tensor;
			const struct sk_tensor *b, *t;

			if (n < looking && at < turns)
				from = n - at + (at < turns / 2 ? 2 * at : 2 * (at - turns / 2) + 1);
			t = file_row(w, o, from, &in_tensor, &b);
			sk_quant_get(t->dtype)->dequantise((const unsigned char *)t->data + t->bytes / (size_t)t->dim[0] * (size_t)in_tensor,
							   want, 64);
			r.m->backend->ops->embed(r.m->dev, &(struct sk_op_embed){ .ids = &row, .T = 1, .w = lin->w,
				.y = { .data = have, .dtype = SK_F32, .dim = { 1, 64 }, .stride = 64 } });
			ck_assert_msg(!memcmp(have, want, sizeof(have)), "%s: row %d of q | k | v is not the file's row %d",
				      lookers[_i].name, n, from);
			if (o->qkv_bias) {
				memcpy(&bias, (const float *)b->data + in_tensor, sizeof(bias));
				ck_assert_msg(lin->bias[row] == bias, "%s: bias %d is %g, the file's %g", lookers[_i].name, n,
					      (double)lin->bias[row], (double)bias);
			}
		}
	}
	ck_assert_int_eq(n, (o->heads + 2 * o->kv_heads) * d);
	sk_weights_close(&w);
	rig_close(&r);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("model");
	TCase *t = tcase_create("model");
	SRunner *r = srunner_create(s);
	int failed;

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_set_timeout(t, 120);
	tcase_add_loop_test(t, backends_agree_with_ref_for_every_weight_type_and_instruction_set, 0, MODELS);
	tcase_add_loop_test(t, chunked_prefill_gives_the_bits_of_a_whole_one, 0, MODELS);
	tcase_add_loop_test(t, two_threads_give_the_bits_of_one, 0, MODELS);
	tcase_add_loop_test(t, a_sequence_among_others_has_the_bits_of_one_alone, 0, MODELS);
	tcase_add_loop_test(t, rows_asked_for_have_the_bits_of_all_rows, 0, MODELS);
	tcase_add_test(t, a_copied_block_continues_like_its_original);
	tcase_add_test(t, a_recorded_step_has_the_bits_of_its_operations);
	tcase_add_loop_test(t, sums_are_cut_on_heads_and_blocks, 0, sizeof(slice_cases) / sizeof(slice_cases[0]));
	tcase_add_test(t, the_plan_counts_weights_and_cache);
	tcase_add_loop_test(t, the_plan_is_what_open_takes_whatever_the_number_of_threads, 0, 3);
	tcase_add_test(t, loading_counts_every_byte_and_can_be_stopped);
	tcase_add_test(t, a_step_beyond_the_plan_is_refused);
	tcase_add_loop_test(t, a_file_that_breaks_its_architecture_is_refused_by_name, 0, sizeof(broken) / sizeof(broken[0]));
	tcase_add_test(t, a_rope_factor_without_a_type_is_linear);
	tcase_add_test(t, dimensions_come_from_the_keys);
	tcase_add_loop_test(t, what_turns_together_is_half_a_head_apart_whatever_the_file_has, 0, sizeof(lookers) / sizeof(lookers[0]));
	suite_add_tcase(s, t);
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
