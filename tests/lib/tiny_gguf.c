/* SPDX-License-Identifier: Apache-2.0 */
/* A writer of tiny GGUF files; see tiny_gguf.h. Little endian is written byte by byte. */
#include "tests/lib/tiny_gguf.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char tiny_chatml[] =
	"{% for message in messages %}{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}"
	"{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}";

/* In the byte-level alphabet: "\xc4\xa0" (U+0120) is the space. Every part is a byte or the result of an earlier merge. */
#define SP "\xc4\xa0"
static const struct { const char *left, *right; } merges[] = {
	{ SP, "t" }, { "h", "e" }, { SP, "a" }, { "i", "n" }, { "r", "e" }, { "o", "n" }, { SP "t", "he" }, { "e", "r" },
	{ SP, "s" }, { "a", "t" }, { SP, "w" }, { SP, "o" }, { "e", "n" }, { SP, "c" }, { "i", "t" }, { "i", "s" },
	{ "a", "n" }, { "o", "r" }, { "e", "s" }, { SP, "b" }, { "e", "d" }, { SP, "f" }, { "in", "g" }, { SP, "p" },
	{ "o", "u" }, { SP "a", "n" }, { "a", "l" }, { "a", "r" }, { SP "o", "f" }, { SP "an", "d" }, { "l", "l" },
	{ "a", "p" }, { "it", "al" }, { SP "c", "ap" }, { SP "cap", "ital" }, { "c", "e" }, { SP, "is" }, { "H", "e" },
	{ "ll", "o" }, { "He", "llo" }, { "l", "d" }, { SP "w", "or" }, { SP "wor", "ld" },
};
enum { MERGES = sizeof(merges) / sizeof(merges[0]), SPECIALS = 3 };
static const char *const specials[SPECIALS] = { "<|endoftext|>", "<|im_start|>", "<|im_end|>" };

/* ---- bytes ---------------------------------------------------------------------------------------------------- */

static void die(const char *what)
{
	perror(what);
	exit(2);
}

void tiny_add(struct tiny_buf *b, const void *p, size_t len)
{
	if (b->len + len > b->cap) {
		b->cap = (b->len + len) * 2 + 4096;
		b->data = realloc(b->data, b->cap);
		if (!b->data)
			die("tiny_gguf");
	}
	if (len)
		memcpy(b->data + b->len, p, len);
	b->len += len;
}

static void little(struct tiny_buf *b, uint64_t v, int bytes)
{
	unsigned char c[8];

	for (int i = 0; i < bytes; i++)
		c[i] = (unsigned char)(v >> (8 * i));
	tiny_add(b, c, (size_t)bytes);
}

void tiny_u32(struct tiny_buf *b, uint32_t v) { little(b, v, 4); }
void tiny_u64(struct tiny_buf *b, uint64_t v) { little(b, v, 8); }

static void put_f32(struct tiny_buf *b, float f)
{
	uint32_t u;

	memcpy(&u, &f, 4);
	tiny_u32(b, u);
}

void tiny_str(struct tiny_buf *b, const char *s)
{
	tiny_u64(b, strlen(s));
	tiny_add(b, s, strlen(s));
}

void tiny_kv_str(struct tiny_buf *b, const char *key, const char *value)
{
	tiny_str(b, key);
	tiny_u32(b, TINY_KV_STRING);
	tiny_str(b, value);
}

void tiny_kv_u32(struct tiny_buf *b, const char *key, uint32_t value)
{
	tiny_str(b, key);
	tiny_u32(b, TINY_KV_U32);
	tiny_u32(b, value);
}

void tiny_kv_f32(struct tiny_buf *b, const char *key, float value)
{
	tiny_str(b, key);
	tiny_u32(b, TINY_KV_F32);
	put_f32(b, value);
}

void tiny_kv_bool(struct tiny_buf *b, const char *key, bool value)
{
	tiny_str(b, key);
	tiny_u32(b, TINY_KV_BOOL);
	little(b, value, 1);
}

void tiny_save(const void *data, size_t len, const char *path)
{
	FILE *f = fopen(path, "wb");

	if (!f || fwrite(data, 1, len, f) != len || fclose(f) != 0)
		die(path);
}

/* ---- numbers -------------------------------------------------------------------------------------------------- */

/* splitmix64 (S. Vigna, public domain algorithm): the state is the seed. */
static uint64_t random64(uint64_t *state)
{
	uint64_t z = *state += 0x9e3779b97f4a7c15u;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
	return z ^ (z >> 31);
}

/* Uniform in [-1, 1). */
static float random1(uint64_t *state)
{
	return (float)(int32_t)(random64(state) >> 40) / 8388608.0f - 1.0f;
}

/* To IEEE half, nearest even; |f| < 65504 here. */
static uint16_t to_f16(float f)
{
	uint32_t u, sign;

	memcpy(&u, &f, 4);
	sign = u >> 16 & 0x8000;
	u &= 0x7fffffff;
	if (u < 0x38800000) {           /* subnormal or zero: a multiple of 2^-24 */
		float a;

		memcpy(&a, &u, 4);
		return (uint16_t)(sign | (uint32_t)lrintf(a * 16777216.0f));
	}
	u += 0xfff + (u >> 13 & 1);
	return (uint16_t)(sign | (u - 0x38000000) >> 13);
}

static float from_f16(uint16_t h)
{
	int e = h >> 10 & 31;
	float m = (float)(h & 1023);
	float a = e ? ldexpf(m + 1024.0f, e - 25) : ldexpf(m, -24);

	return h & 0x8000 ? -a : a;
}

static uint16_t to_bf16(float f)
{
	uint32_t u;

	memcpy(&u, &f, 4);
	return (uint16_t)((u + 0x7fff + (u >> 16 & 1)) >> 16);
}

static int clamp(float f, int low, int high)
{
	int i = (int)lrintf(f);

	return i < low ? low : i > high ? high : i;
}

/* One block of 32 values: Q8_0 {f16 d; int8 q[32]}, Q4_0 {f16 d; nibbles - 8}, Q4_1 {f16 d; f16 m; nibbles}. */
static void put_block(struct tiny_buf *b, enum sk_dtype t, const float *x)
{
	float lo = x[0], hi = x[0], top, d, m = 0;
	int q[32];

	for (int i = 1; i < 32; i++) {
		lo = fminf(lo, x[i]);
		hi = fmaxf(hi, x[i]);
	}
	top = fmaxf(-lo, hi);
	d = t == SK_Q8_0 ? top / 127.0f : t == SK_Q4_0 ? top / 7.0f : (hi - lo) / 15.0f;
	little(b, to_f16(d), 2);
	d = from_f16(to_f16(d));
	if (t == SK_Q4_1) {
		little(b, to_f16(lo), 2);
		m = from_f16(to_f16(lo));
	}
	for (int i = 0; i < 32; i++) {
		float v = d > 0 ? (x[i] - m) / d : 0;

		q[i] = t == SK_Q8_0 ? clamp(v, -127, 127) : t == SK_Q4_0 ? clamp(v, -8, 7) + 8 : clamp(v, 0, 15);
	}
	if (t == SK_Q8_0) {
		for (int i = 0; i < 32; i++)
			little(b, (uint64_t)(uint8_t)q[i], 1);
		return;
	}
	for (int i = 0; i < 16; i++)
		little(b, (uint64_t)(q[i] | q[i + 16] << 4), 1);
}

static void put_values(struct tiny_buf *b, enum sk_dtype t, const float *x, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		if (t == SK_F32)
			put_f32(b, x[i]);
		else if (t == SK_F16)
			little(b, to_f16(x[i]), 2);
		else if (t == SK_BF16)
			little(b, to_bf16(x[i]), 2);
		else if (i % 32 == 0)
			put_block(b, t, x + i);
	}
}

uint32_t tiny_ggml_type(enum sk_dtype dtype)
{
	static const uint32_t number[SK_DTYPES] = {
		[SK_F32] = 0, [SK_F16] = 1, [SK_BF16] = 30, [SK_Q8_0] = 8, [SK_Q4_0] = 2, [SK_Q4_1] = 3,
	};

	return number[dtype];
}

/* ---- the tokenizer -------------------------------------------------------------------------------------------- */

int tiny_gguf_vocab(const struct tiny_gguf *o)
{
	return SPECIALS + 256 + MERGES + o->vocab_pad;
}

/*
 * The character that stands for a byte in byte-level BPE: itself where it is printable in Latin-1, else U+0100 + n for
 * the n-th byte that is not.
 */
static void byte_char(int byte, char ret[3])
{
	int n = 0, cp = byte;

	for (int c = 0; c <= byte; c++) {
		bool plain = (c >= 33 && c <= 126) || (c >= 161 && c != 173);

		if (c == byte && !plain)
			cp = 256 + n;
		n += !plain;
	}
	if (cp < 128) {
		ret[0] = (char)cp;
		ret[1] = 0;
	} else {
		ret[0] = (char)(0xc0 | cp >> 6);
		ret[1] = (char)(0x80 | (cp & 63));
		ret[2] = 0;
	}
}

static void array_head(struct tiny_buf *b, const char *key, uint32_t type, uint64_t len)
{
	tiny_str(b, key);
	tiny_u32(b, TINY_KV_ARRAY);
	tiny_u32(b, type);
	tiny_u64(b, len);
}

static uint64_t put_tokenizer(struct tiny_buf *b, const struct tiny_gguf *o)
{
	int vocab = tiny_gguf_vocab(o);
	uint64_t keys = 10;
	char s[64];

	tiny_kv_str(b, "tokenizer.ggml.model", "gpt2");
	tiny_kv_str(b, "tokenizer.ggml.pre", o->pre);
	array_head(b, "tokenizer.ggml.tokens", TINY_KV_STRING, (uint64_t)vocab);
	for (int i = 0; i < SPECIALS; i++)
		tiny_str(b, specials[i]);
	for (int i = 0; i < 256; i++) {
		byte_char(i, s);
		tiny_str(b, s);
	}
	for (int i = 0; i < MERGES; i++) {
		snprintf(s, sizeof(s), "%s%s", merges[i].left, merges[i].right);
		tiny_str(b, s);
	}
	for (int i = 0; i < o->vocab_pad; i++) {
		snprintf(s, sizeof(s), "[unused%d]", i);
		tiny_str(b, s);
	}
	array_head(b, "tokenizer.ggml.token_type", TINY_KV_I32, (uint64_t)vocab);
	for (int i = 0; i < vocab; i++)         /* 3: control, 1: normal, 5: unused */
		tiny_u32(b, i < SPECIALS ? 3 : i < vocab - o->vocab_pad ? 1 : 5);
	array_head(b, "tokenizer.ggml.merges", TINY_KV_STRING, MERGES);
	for (int i = 0; i < MERGES; i++) {
		snprintf(s, sizeof(s), "%s %s", merges[i].left, merges[i].right);
		tiny_str(b, s);
	}
	tiny_kv_u32(b, "tokenizer.ggml.bos_token_id", TINY_IM_START);
	tiny_kv_u32(b, "tokenizer.ggml.eos_token_id", TINY_IM_END);
	tiny_kv_u32(b, "tokenizer.ggml.unknown_token_id", TINY_ENDOFTEXT);
	tiny_kv_u32(b, "tokenizer.ggml.padding_token_id", TINY_IM_END);
	tiny_kv_bool(b, "tokenizer.ggml.add_bos_token", false);
	if (o->eot) {
		tiny_kv_u32(b, "tokenizer.ggml.eot_token_id", (uint32_t)o->eot);
		keys++;
	}
	if (o->chat_template) {
		tiny_kv_str(b, "tokenizer.chat_template", o->chat_template);
		keys++;
	}
	return keys;
}

/* ---- the file ------------------------------------------------------------------------------------------------- */

static uint64_t put_config(struct tiny_buf *b, const struct tiny_gguf *o)
{
	uint64_t keys = 13;

	tiny_kv_str(b, "general.architecture", o->arch ? o->arch : "llama");
	tiny_kv_str(b, "general.name", "Tiny");
	tiny_kv_u32(b, "llama.block_count", (uint32_t)o->layers);
	tiny_kv_u32(b, "llama.context_length", (uint32_t)o->context);
	tiny_kv_u32(b, "llama.embedding_length", (uint32_t)o->width);
	tiny_kv_u32(b, "llama.feed_forward_length", (uint32_t)o->ffn);
	tiny_kv_u32(b, "llama.attention.head_count", (uint32_t)o->heads);
	tiny_kv_u32(b, "llama.attention.head_count_kv", (uint32_t)o->kv_heads);
	tiny_kv_u32(b, "llama.attention.key_length", (uint32_t)o->head_width);
	tiny_kv_f32(b, "llama.rope.freq_base", o->rope_base);
	tiny_kv_f32(b, "llama.attention.layer_norm_rms_epsilon", 1e-5f);
	tiny_kv_u32(b, "llama.vocab_size", (uint32_t)tiny_gguf_vocab(o));
	tiny_kv_u32(b, "llama.rope.dimension_count", (uint32_t)(o->rope_width ? o->rope_width : o->head_width));
	if (o->rope_scale > 0) {
		tiny_kv_str(b, "llama.rope.scaling.type", "linear");
		tiny_kv_f32(b, "llama.rope.scaling.factor", o->rope_scale);
		keys += 2;
	}
	if (o->alignment != 32) {
		tiny_kv_u32(b, "general.alignment", o->alignment);
		keys++;
	}
	return keys;
}

struct writer {
	const struct tiny_gguf *o;
	struct tiny_buf infos, data;
	uint64_t tensors;
	uint64_t state;
};

static void pad(struct tiny_buf *b, uint32_t alignment)
{
	while (b->len % alignment)
		little(b, 0, 1);
}

/* Uniform in centre +- spread. rows 0: a vector. In the file the columns come first. */
static void tensor(struct writer *w, const char *name, enum sk_dtype t, int rows, int columns, float centre, float spread)
{
	size_t len = (size_t)(rows ? rows : 1) * (size_t)columns;
	float *x = malloc(len * sizeof(*x));

	if (!x)
		die("tiny_gguf");
	for (size_t i = 0; i < len; i++)
		x[i] = centre + spread * random1(&w->state);
	pad(&w->data, w->o->alignment);
	tiny_str(&w->infos, name);
	tiny_u32(&w->infos, rows ? 2 : 1);
	tiny_u64(&w->infos, (uint64_t)columns);
	if (rows)
		tiny_u64(&w->infos, (uint64_t)rows);
	tiny_u32(&w->infos, tiny_ggml_type(t));
	tiny_u64(&w->infos, w->data.len);
	put_values(&w->data, t, x, len);
	w->tensors++;
	free(x);
}

static void linear(struct writer *w, int layer, const char *name, enum sk_dtype t, int rows, int columns)
{
	char full[64];

	snprintf(full, sizeof(full), "blk.%d.%s.weight", layer, name);
	tensor(w, full, t, rows, columns, 0.0f, sqrtf(6.0f / (float)columns));
}

/* q, k or v, or all of them. */
static void looker(struct writer *w, int layer, const char *name, enum sk_dtype t, int rows)
{
	char full[64];

	linear(w, layer, name, t, rows, w->o->width);
	snprintf(full, sizeof(full), "blk.%d.%s.bias", layer, name);
	if (w->o->qkv_bias)
		tensor(w, full, SK_F32, 0, rows, 0.0f, 0.5f);
}

static void layer(struct writer *w, int l)
{
	const struct tiny_gguf *o = w->o;
	int q = o->heads * o->head_width, k = o->kv_heads * o->head_width;
	char name[64];

	snprintf(name, sizeof(name), "blk.%d.attn_norm.weight", l);
	tensor(w, name, SK_F32, 0, o->width, 1.0f, 0.2f);
	linear(w, l, "ffn_down", o->linear, o->width, o->ffn);
	linear(w, l, "ffn_gate", o->linear, o->ffn, o->width);
	linear(w, l, "ffn_up", o->odd_up ? o->ffn_up : o->linear, o->ffn, o->width);
	snprintf(name, sizeof(name), "blk.%d.ffn_norm.weight", l);
	tensor(w, name, SK_F32, 0, o->width, 1.0f, 0.2f);
	if (o->fused_qkv)
		looker(w, l, "attn_qkv", o->linear, q + 2 * k);
	else
		looker(w, l, "attn_k", o->linear, k);
	linear(w, l, "attn_output", o->linear, o->width, q);
	if (o->fused_qkv)
		return;
	looker(w, l, "attn_q", o->linear, q);
	looker(w, l, "attn_v", o->odd_v ? o->attn_v : o->linear, k);
}

unsigned char *tiny_gguf_make(const struct tiny_gguf *o, size_t *ret_len)
{
	struct writer w = { .o = o, .state = o->seed };
	struct tiny_buf keys = { 0 }, file = { 0 };
	uint64_t keys_len = put_config(&keys, o);
	int vocab = tiny_gguf_vocab(o);

	if (!o->no_tokenizer)
		keys_len += put_tokenizer(&keys, o);

	tensor(&w, "token_embd.weight", o->embed, vocab, o->width, 0.0f, 0.5f);
	for (int l = 0; l < o->layers; l++)
		layer(&w, l);
	tensor(&w, "output_norm.weight", SK_F32, 0, o->width, 1.0f, 0.2f);
	if (o->untied)
		tensor(&w, "output.weight", o->embed, vocab, o->width, 0.0f, 0.5f);
	if (o->rope_freqs)
		tensor(&w, "rope_freqs.weight", SK_F32, 0, o->head_width / 2, 2.0f, 1.0f);
	pad(&w.data, o->alignment);

	tiny_add(&file, "GGUF", 4);
	tiny_u32(&file, o->version);
	tiny_u64(&file, w.tensors);
	tiny_u64(&file, keys_len);
	tiny_add(&file, keys.data, keys.len);
	tiny_add(&file, w.infos.data, w.infos.len);
	pad(&file, o->alignment);
	tiny_add(&file, w.data.data, w.data.len);
	free(keys.data);
	free(w.infos.data);
	free(w.data.data);
	*ret_len = file.len;
	return file.data;
}

void tiny_gguf_write(const struct tiny_gguf *o, const char *path)
{
	size_t len;
	unsigned char *data = tiny_gguf_make(o, &len);

	tiny_save(data, len, path);
	free(data);
}
