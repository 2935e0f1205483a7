/* SPDX-License-Identifier: Apache-2.0 */
/* See rig.h. */
#include "tests/unit/rig.h"

#include <check.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "tests/golden/runs.h"
#include "tests/lib/scratch.h"
#include "tests/lib/tiny_gguf.h"

#define LEN(a) ((int)(sizeof(a) / sizeof((a)[0])))

char rig_path[96];
static char dir[64];

void rig_model_write(enum sk_dtype linear)
{
	struct tiny_gguf o = TINY_GGUF_INIT;

	scratch_make(dir, "engine");
	snprintf(rig_path, sizeof(rig_path), "%s/tiny.gguf", dir);
	o.linear = linear;
	tiny_gguf_write(&o, rig_path);
}

void rig_model_remove(void)
{
	scratch_remove(dir);
}

struct sk_engine *rig_engine_open(struct sk_engine_opts o)
{
	o.model = rig_path;
	if (!o.backend)
		o.backend = "ref";
	if (!o.threads)
		o.threads = 1;
	if (!o.kv_bytes)
		o.kv_bytes = 1 << 22;
	return runs_open_named(&o);
}

/* The requests of all comparisons; whatever is left out is at rest. */
static const struct { const char *prompt; struct sk_gen_params p; const char *stop; } requests[] = {
	{ "Hello",                                    { .max_new_tokens = 12 }, NULL },
	{ "The quick brown fox jumps over the lazy dog, and then again over another one, until evening comes.",
						      { .max_new_tokens = 30, .ignore_eos = true }, NULL },
	{ "a",                                        { .max_new_tokens = 1 }, NULL },
	{ "penalties",                                { .max_new_tokens = 20, .repetition_penalty = 1.3f }, NULL },
	{ "more penalties",                           { .max_new_tokens = 20, .frequency_penalty = 0.5f }, NULL },
	{ "penalties by share",                       { .max_new_tokens = 20, .frequency_share = 2.0f, .repetition_penalty = 1.1f }, NULL },
	{ "penalties for having been said",           { .max_new_tokens = 20, .presence_penalty = 1.5f, .min_p = 0.2f, .seed = 4,
							.has_seed = true }, NULL },
	{ "drawn",                                    { .max_new_tokens = 25, .do_sample = true, .seed = 1, .has_seed = true }, NULL },
	{ "marked",                                   { .max_new_tokens = 30, .ignore_eos = true, .do_sample = true, .watermark = true,
							.seed = 12, .has_seed = true }, NULL },
	{ "marked, the likeliest",                    { .max_new_tokens = 20, .watermark = true, .top_n_tokens = 2 }, NULL },
	{ "drawn as torch draws",                     { .max_new_tokens = 60, .ignore_eos = true, .temperature = 1.2f, .top_p = 0.95f,
							.rng = SK_RNG_TORCH, .seed = 11, .has_seed = true }, NULL },
	{ "drawn again, another way",                 { .max_new_tokens = 25, .temperature = 0.7f, .top_k = 20, .top_p = 0.9f,
							.seed = 7, .has_seed = true, .top_n_tokens = 3 }, NULL },
	{ "typical",                                  { .max_new_tokens = 25, .typical_p = 0.8f, .seed = 9, .has_seed = true,
							.ignore_eos = true }, NULL },
	{ "long",                                     { .max_new_tokens = 90, .ignore_eos = true }, NULL },
	{ "longer, drawn",                            { .max_new_tokens = 80, .ignore_eos = true, .do_sample = true, .seed = 8,
							.has_seed = true }, NULL },
	{ "another long one",                         { .max_new_tokens = 100, .ignore_eos = true, .repetition_penalty = 1.1f },
						      NULL },
	{ "what does the prompt itself weigh? It is longer than a chunk, and comes in several pieces when chunks are small.",
						      { .max_new_tokens = 8, .prompt_logprobs = true, .top_n_tokens = 5 }, NULL },
	{ "cut from the left, so that only the end is left",  { .max_new_tokens = 10, .truncate = 7 }, NULL },
	{ "stop at a letter",                         { .max_new_tokens = 60, .ignore_eos = true }, "e" },
	{ "stop at what never comes",                 { .max_new_tokens = 30, .ignore_eos = true, .do_sample = true, .seed = 3,
							.has_seed = true }, "never comes" },
};

struct sk_gen *rig_submit(struct sk_engine *e, int which)
{
	struct sk_gen_params p = requests[which % LEN(requests)].p;
	const char *stop = requests[which % LEN(requests)].stop;
	size_t stop_bytes = stop ? strlen(stop) : 0;
	struct sk_gen *g = NULL;
	struct sk_err err;

	p.n = 1;
	p.prompt = requests[which % LEN(requests)].prompt;
	p.prompt_len = strlen(p.prompt);
	p.temperature = p.temperature != 0 ? p.temperature : 1;
	p.repetition_penalty = p.repetition_penalty != 0 ? p.repetition_penalty : 1;
	p.top_p = p.top_p != 0 ? p.top_p : 1;
	p.typical_p = p.typical_p != 0 ? p.typical_p : 1;
	p.seed += (uint64_t)(which / LEN(requests));
	p.max_new_tokens += (uint32_t)(which / LEN(requests));
	p.stop = &stop;
	p.stop_bytes = &stop_bytes;
	p.stop_len = stop != NULL;
	ck_assert_msg(sk_engine_submit(e, &p, &g, &err) == SK_OK, "%s", err.text);
	return g;
}

void rig_bell_wait(struct sk_engine *e)
{
	struct pollfd p = { .fd = sk_engine_doorbell(e), .events = POLLIN };
	uint64_t n;

	ck_assert_int_eq(poll(&p, 1, 20000), 1);
	ck_assert_int_eq(read(p.fd, &n, 8), 8);
}
