/* SPDX-License-Identifier: Apache-2.0 */
/* mktiny [--FIELD VALUE]... OUT.gguf: a tiny model for shell scripts; fields and defaults are those of tiny_gguf.h. */
#include "tests/lib/tiny_gguf.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct tiny_gguf o = TINY_GGUF_INIT;

static const struct { const char *name; int *value; } numbers[] = {
	{ "--layers", &o.layers }, { "--width", &o.width }, { "--heads", &o.heads }, { "--kv-heads", &o.kv_heads },
	{ "--head-width", &o.head_width }, { "--ffn", &o.ffn }, { "--context", &o.context },
	{ "--vocab-pad", &o.vocab_pad }, { "--eot", &o.eot },
};

static const struct { const char *name; bool *value; } flags[] = {
	{ "--untied", &o.untied }, { "--rope-freqs", &o.rope_freqs }, { "--no-tokenizer", &o.no_tokenizer },
};

static const struct { const char *name; enum sk_dtype dtype; } types[] = {
	{ "F32", SK_F32 }, { "F16", SK_F16 }, { "BF16", SK_BF16 }, { "Q8_0", SK_Q8_0 }, { "Q4_0", SK_Q4_0 },
	{ "Q4_1", SK_Q4_1 },
};

static int usage(void)
{
	fputs("usage: mktiny [--layers|--width|--heads|--kv-heads|--head-width|--ffn|--context|--vocab-pad|--eot|--seed N]\n"
	      "              [--embed|--linear F32|F16|BF16|Q8_0|Q4_0|Q4_1] [--pre NAME] [--untied] [--rope-freqs]\n"
	      "              [--version 2|3] [--alignment N]\n"
	      "              [--no-template] [--no-tokenizer] OUT.gguf\n", stderr);
	return 64;
}

static bool type_find(const char *name, enum sk_dtype *ret_dtype)
{
	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++)
		if (!strcmp(name, types[i].name)) {
			*ret_dtype = types[i].dtype;
			return true;
		}
	return false;
}

static bool option(const char *name, const char *value)
{
	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
		if (!strcmp(name, numbers[i].name)) {
			*numbers[i].value = atoi(value);
			return true;
		}
	if (!strcmp(name, "--embed"))
		return type_find(value, &o.embed);
	if (!strcmp(name, "--linear"))
		return type_find(value, &o.linear);
	if (!strcmp(name, "--pre"))
		o.pre = value;
	else if (!strcmp(name, "--version"))
		o.version = (uint32_t)atoi(value);
	else if (!strcmp(name, "--alignment"))
		o.alignment = (uint32_t)atoi(value);
	else if (!strcmp(name, "--seed"))
		o.seed = strtoull(value, NULL, 10);
	else
		return false;
	return true;
}

static bool flag(const char *name)
{
	for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++)
		if (!strcmp(name, flags[i].name)) {
			*flags[i].value = true;
			return true;
		}
	if (strcmp(name, "--no-template") != 0)
		return false;
	o.chat_template = NULL;
	return true;
}

int main(int argc, char **argv)
{
	int i = 1;

	while (i < argc && argv[i][0] == '-') {
		if (flag(argv[i]))
			i++;
		else if (i + 1 < argc && option(argv[i], argv[i + 1]))
			i += 2;
		else
			return usage();
	}
	if (i + 1 != argc)
		return usage();
	tiny_gguf_write(&o, argv[i]);
	return 0;
}
