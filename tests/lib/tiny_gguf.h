/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Makes tiny but complete GGUF files of the llama architecture for tests: real layout, deterministic random weights,
 * a byte-level BPE tokenizer of 256 bytes, some forty merges and three control tokens, and a ChatML template.
 *
 * The same options give the same bytes on every machine. Nothing of the engine is linked: a fault in the reader
 * cannot hide behind the same fault in the writer. Any allocation or write failure ends the test program.
 *
 *	struct tiny_gguf o = TINY_GGUF_INIT;
 *	o.linear = SK_Q4_1;
 *	tiny_gguf_write(&o, "/tmp/x/tiny.gguf");
 */
#ifndef TINY_GGUF_H
#define TINY_GGUF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kernels/kernels.h"

/* Ids of the control tokens; the bytes follow (id = 3 + place in byte order), then the merges. */
enum { TINY_ENDOFTEXT = 0, TINY_IM_START = 1, TINY_IM_END = 2, TINY_FIRST_BYTE = 3 };

struct tiny_gguf {
	int layers, width, heads, kv_heads, head_width, ffn, context;
	/* Weight types: F32, F16, BF16, Q8_0, Q4_0, Q4_1. Block types want a multiple of 32 columns. */
	enum sk_dtype embed;            /* token_embd, and output when untied */
	enum sk_dtype linear;           /* all of attention and the MLP, but for: */
	enum sk_dtype attn_v;           /* a type of its own for v (0 = SK_F32 only if odd_v is set) */
	enum sk_dtype ffn_up;           /* ... and for up */
	bool odd_v, odd_up;             /* use attn_v, ffn_up: q, k, v (gate, up) can then not be joined */
	bool untied;                    /* output.weight is there */
	bool fused_qkv, qkv_bias;       /* q, k and v in one tensor (of `linear`); with biases, F32 */
	int rope_width;                 /* how much of a head turns; 0: all of it */
	bool rope_freqs;                /* rope_freqs.weight is there (frequency factors) */
	bool no_tokenizer;
	int eot;                        /* tokenizer.ggml.eot_token_id: ends an answer as well; 0: the key is not there */
	int vocab_pad;                  /* unused tokens after the merges: makes the vocabulary larger */
	float rope_base, rope_scale;    /* scale 0: no llama.rope.scaling.* keys; else linear */
	const char *pre;                /* tokenizer.ggml.pre */
	const char *arch;               /* general.architecture; NULL: llama, which all else is */
	const char *chat_template;      /* NULL: none */
	uint32_t version, alignment;    /* GGUF 2 or 3; general.alignment when not 32 */
	uint64_t seed;
};

extern const char tiny_chatml[];

#define TINY_GGUF_INIT { \
	.layers = 2, .width = 64, .heads = 4, .kv_heads = 2, .head_width = 16, .ffn = 96, .context = 256, \
	.embed = SK_F32, .linear = SK_F32, .rope_base = 10000.0f, .pre = "smollm", \
	.chat_template = tiny_chatml, .version = 3, .alignment = 32, .seed = 1 }

int tiny_gguf_vocab(const struct tiny_gguf *o);
unsigned char *tiny_gguf_make(const struct tiny_gguf *o, size_t *ret_len);      /* free() it */
void tiny_gguf_write(const struct tiny_gguf *o, const char *path);

/* ---- pieces, for files that are wrong on purpose ---- */

struct tiny_buf { unsigned char *data; size_t len, cap; };
void tiny_add(struct tiny_buf *b, const void *p, size_t len);
void tiny_u32(struct tiny_buf *b, uint32_t v);
void tiny_u64(struct tiny_buf *b, uint64_t v);
void tiny_str(struct tiny_buf *b, const char *s);               /* u64 length and bytes */
void tiny_kv_str(struct tiny_buf *b, const char *key, const char *value);
void tiny_kv_u32(struct tiny_buf *b, const char *key, uint32_t value);
void tiny_kv_f32(struct tiny_buf *b, const char *key, float value);
void tiny_kv_bool(struct tiny_buf *b, const char *key, bool value);
void tiny_save(const void *data, size_t len, const char *path);

/* ggml's numbers for the types of a file's tensors and metadata values. */
uint32_t tiny_ggml_type(enum sk_dtype dtype);
enum {
	TINY_KV_U8, TINY_KV_I8, TINY_KV_U16, TINY_KV_I16, TINY_KV_U32, TINY_KV_I32, TINY_KV_F32, TINY_KV_BOOL,
	TINY_KV_STRING, TINY_KV_ARRAY, TINY_KV_U64, TINY_KV_I64, TINY_KV_F64,
};

#endif
