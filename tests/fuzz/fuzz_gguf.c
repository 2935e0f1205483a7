/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any bytes as a model file: it is refused, or everything in it can be read, and, where it is small, a step can be
 * calculated with it.
 */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "engine/model/model.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

extern const struct sk_backend sk_backend_ref;

static volatile unsigned char sink;

static void walk(const struct sk_meta_value *array, int depth)
{
	struct sk_meta_value item;
	const void *cursor = NULL;
	size_t i = 0, count = 0;

	while (sk_meta_next(array, &cursor, &i, &item)) {
		if (i != count++ || depth > 8)
			abort();
		if (item.type == SK_META_ARRAY)
			walk(&item, depth + 1);
		else if (item.type == SK_META_STRING && item.len)
			sink = (unsigned char)(item.s[0] ^ item.s[item.len - 1]);
	}
	if (count != array->len)
		abort();
}

static void read_all(const struct sk_weights *w)
{
	static const char *const arrays[] = { "tokenizer.ggml.tokens", "tokenizer.ggml.token_type",
					      "tokenizer.ggml.merges", "nested" };

	for (size_t i = 0; i < sk_weights_len(w); i++) {
		const struct sk_tensor *t = sk_weights_at(w, i);
		const unsigned char *p = t->data;

		if (sk_weights_find(w, t->name) != t || t->bytes == 0)
			abort();
		sink = (unsigned char)(p[0] ^ p[t->bytes - 1]);
	}
	for (size_t i = 0; i < sizeof(arrays) / sizeof(arrays[0]); i++) {
		const struct sk_meta_value *v = sk_meta_find(w, arrays[i]);

		if (v && v->type == SK_META_ARRAY)
			walk(v, 0);
	}
}

/* Two tokens through a model of a few MiB. */
static void calculate(const struct sk_weights *w)
{
	struct sk_model_opts o = { .backend = &sk_backend_ref, .dev.threads = 1, .kv_dtype = SK_BF16, .quantise = true,
				   .tokens_max = 2, .sequences_max = 1, .logits_max = 1, .context_max = 1, .kv_blocks = 1 };
	const int32_t ids[2] = { 0, 0 }, pos[2] = { 0, 0 }, start[2] = { 0, 1 }, block = 0;
	const int32_t *table = &block;
	const struct sk_step step = { .T = 1, .S = 1, .ids = ids, .pos = pos, .seq_start = start, .blocks = &table };
	struct sk_model_plan plan;
	struct sk_model *m = NULL;
	const float *logits;

	if (sk_model_plan(w, &o, &plan, NULL) < 0 || plan.weights_bytes + plan.scratch_bytes + plan.kv_bytes > 4 << 20)
		return;
	if (sk_model_open(w, &o, &m, NULL) < 0)
		return;
	if (sk_model_load(m, w, NULL, NULL, NULL) >= 0 &&
	    sk_model_forward(m, &step, &block, 1, &logits, NULL) < 0)
		abort();
	sk_model_close(&m);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static int fd = -1;
	static char path[32];
	struct sk_weights *w = NULL;
	struct sk_err err = { 0 };

	if (fd < 0) {
		fd = memfd_create("fuzz_gguf", MFD_CLOEXEC);
		if (fd < 0)
			return 0;
		snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	}
	if (ftruncate(fd, 0) < 0 || pwrite(fd, data, len, 0) != (ssize_t)len)
		return 0;
	if (sk_weights_open(path, &w, &err) < 0) {
		if (err.text[0] == 0 || w)
			abort();
		return 0;
	}
	read_all(w);
	calculate(w);
	sk_weights_close(&w);
	return 0;
}
