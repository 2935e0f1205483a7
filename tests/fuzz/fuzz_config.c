/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any bytes as config.json: refused with words, or every list in it can be walked, and the model it describes is refused with words or has
 * dimensions within their limits. The same bytes as an index of files.
 */
#include "engine/arch/config.h"
#include "engine/model/model.h"
#include "tests/fuzz/hf.h"
#include "tests/lib/tiny_hf.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void walk(const struct sk_meta_value *array, int depth)
{
	struct sk_meta_value item;
	const void *cursor = NULL;
	size_t i = 0, count = 0;

	while (sk_meta_next(array, &cursor, &i, &item)) {
		if (i != count++ || depth > 40)
			abort();
		if (array->item != SK_META_NONE && item.type != array->item)
			abort();
		if (item.type == SK_META_ARRAY)
			walk(&item, depth + 1);
		else if (item.type == SK_META_STRING && item.len)
			hf_sink = (unsigned char)(item.s[0] ^ item.s[item.len - 1]);
	}
	if (count != array->len)
		abort();
}

static void try_model(const struct sk_weights *w)
{
	const struct sk_arch *arch;
	struct sk_dims d;
	struct sk_err err = { 0 };

	if (sk_model_config(w, &arch, &d, &err) < 0) {
		if (err.text[0] == 0)
			abort();
		return;
	}
	if (d.layers < 1 || d.layers > SK_LAYERS_MAX || d.heads < 1 || d.heads > SK_HEADS_MAX || d.head_width < 1 ||
	    d.head_width > SK_HEAD_WIDTH_MAX || d.heads % d.kv_heads || d.rope.width > d.head_width || d.window < 0 ||
	    d.route.used > d.route.experts || d.route.experts > SK_EXPERTS_MAX)
		abort();
	hf_sink = (unsigned char)sk_model_params(arch, &d);
}

static void try_config(void)
{
	static const char *const keys[] = { "architectures", "eos_token_id", "a", "layer_types", "attention_types.0",
					    "generation_config.eos_token_id" };
	struct sk_weights *w = NULL;
	struct sk_err err = { 0 };

	if (sk_weights_open_config(hf_dir, &w, &err) < 0) {
		if (err.text[0] == 0 || w)
			abort();
		return;
	}
	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
		const struct sk_meta_value *v = sk_meta_find(w, keys[i]);

		if (v && v->type == SK_META_ARRAY)
			walk(v, 0);
		else if (v && v->type == SK_META_STRING && v->len)
			hf_sink = (unsigned char)(v->s[0] ^ v->s[v->len - 1]);
	}
	try_model(w);
	sk_weights_close(&w);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static const struct tiny_tensor t[2] = { { "a", "F32", 1, { 2 }, "01234567", 8 }, { "b", "I64", 1, { 1 }, "01234567", 8 } };
	struct tiny_buf b = { 0 };

	if (!hf_begin())
		return 0;
	if (hf_put("config.json", data, len))
		try_config();
	tiny_safetensors(&b, t, 2);
	if (hf_put("config.json", "{}", 2) && hf_put("a.safetensors", b.data, b.len) &&
	    hf_put("model.safetensors.index.json", data, len))
		hf_try();
	free(b.data);
	return 0;
}
