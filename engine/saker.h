/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The engine's public face: a model that answers many requests at once.
 *
 * The engine runs on threads of its own. A caller submits a request (any thread), gets a generation, and
 * reads its events when the engine's doorbell rings. Nothing here blocks, except open, drain and close.
 *
 *	sk_engine_open -> (LOADING -> READY) -> sk_engine_submit -> sk_gen_next ... -> sk_gen_close -> sk_engine_close
 */
#ifndef SAKER_H
#define SAKER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/base/err.h"
#include "engine/base/times.h"

struct sk_engine;
struct sk_gen;

/* ---- options ------------------------------------------------------------------------------------------------ */

/*
 * How texts are marked where a request asks for it, and how marks are looked for (arXiv 2301.10226). All zero is what
 * text-generation-inference does by itself: gamma 0.5, delta 2, its public hash key.
 */
struct sk_watermark_opts {
	double gamma;                   /* the green share of the vocabulary, above 0 and below 1 */
	double delta;                   /* added to the scores of green tokens, above 0 */
	uint64_t hash_key;              /* of the public scheme */
	const char *key_file;           /* NULL, "": the public scheme. Else the file whose text is the keyed scheme's secret */
};

/* All zero is the default of everything but `model`. Strings are lent until sk_engine_open returns. */
struct sk_engine_opts {
	const char *model;              /* a .gguf file, or a directory that holds one model */
	const char *backend;            /* a name from kernels/backends.def or modules.def, or a device of it: "cuda:1"; NULL or "auto": the best score */
	const char *dtype;              /* "auto" (NULL): as suits the weights, KV in bfloat16; "float32"; no others yet */
	const char *kv_dtype;           /* "auto" (NULL): as dtype says; "float32", "bfloat16" */
	int threads;                    /* 0: one per core this process may run on */
	uint32_t input_tokens_max;      /* 0: total_tokens_max - 1. Behind an encoder the input is the encoder's, which takes it whole */
	uint32_t total_tokens_max;      /* 0: min(model's context, pool) */
	uint32_t batch_prefill_tokens;  /* T of one step at most, prompt chunk included; 0: 512 */
	uint32_t sequences_max;         /* S of one step at most; 0: 128 */
	const char *model_id;           /* what sk_info calls the model; NULL: its base name */
	const char *chat_template;      /* a Jinja file that takes the place of the model's chat template; NULL, "": none */
	const char *tokenizer_config;   /* the same of a tokenizer_config.json */
	uint64_t kv_tokens;             /* tokens that the KV pool holds; 0: as kv_bytes says */
	uint64_t kv_bytes;              /* 0: min(MemAvailable / 4, or what a GPU has left, 32 * total_tokens_max tokens) */
	double memory_fraction;         /* of a GPU's memory, for all that this process takes there; 0: 1 */
	uint32_t device_timeout_ms;     /* a GPU whose step takes longer has failed; 0: however long */
	uint32_t queue_max;             /* sequences waiting for admission; 0: 1024. Where nobody waits any request may come */
	uint32_t top_n_max;             /* 0: 5 */
	int look_ahead;                 /* depth of planning before commit: 0 or 1; -1: the default (0 on the CPU) */
	const char *cpu_isa;            /* NULL/"auto", "portable", "avx2", "avx512": for tests and for bug hunts */
	struct sk_watermark_opts watermark;
	bool no_step_down;              /* keep all threads although a neighbour is busy (benchmarks) */
};

/* ---- planning ------------------------------------------------------------------------------------------------ */

/*
 * What a model would take on some ranks, from its config.json alone. All zero is the default of everything but config.
 */
#define SK_RANKS_MAX 8
struct sk_fit_opts {
	const char *config;             /* a config.json, or the directory it is in */
	const char *backend;            /* whose layout of weights; NULL or "auto": the best score */
	const char *dtype;              /* of weights: "float32", "float16", "bfloat16", "q8_0" ...; NULL or "auto": as the configuration says */
	const char *kv_dtype;           /* NULL or "auto": bfloat16, float32 where weights are; "float32", "bfloat16" */
	int threads;
	int ranks;                      /* 0: one */
	uint64_t memory_bytes;          /* of each rank; 0: not known, and so nothing is said of what fits */
	uint32_t total_tokens_max;      /* of a request; 0: the longest that fits */
	uint32_t batch_prefill_tokens, sequences_max;
};

struct sk_fit {
	char arch[32], dtype[16], kv_dtype[16], backend[16];
	uint64_t params;
	uint32_t layers, encoder_layers, width, heads, kv_heads, head_width, ffn_width, vocab, context_max;
	uint32_t batch_prefill_tokens, sequences_max;
	int ranks, ranks_max;
	struct sk_fit_rank {
		uint32_t slices, mlp_slices, heads, kv_heads, ffn_width;
		uint64_t embed_bytes, attention_bytes, mlp_bytes, head_bytes, vector_bytes, weights_bytes;      /* the last: their sum */
		uint64_t scratch_bytes;         /* for requests of `context` tokens, or of the least there can be */
		uint64_t kv_bytes_per_token;
		uint64_t kv_bytes;              /* of the pool; 0: memory is not known, or nothing fits */
	} rank[SK_RANKS_MAX];
	uint64_t weights_bytes;         /* of all ranks together */
	/* With a memory: */
	uint64_t memory_bytes;
	bool fits;                      /* weights, scratch, and one request at least */
	uint32_t context;               /* the longest request: prompt and answer; behind an encoder so much of each */
	uint32_t pool_tokens;           /* that all ranks have room for */
	uint32_t batch;                 /* requests of that length at once, at most sequences_max */
	char why[240];                  /* one sentence where it does not fit */
};

/* SK_EINVAL: more ranks than slices and the like; SK_ENOTSUP: an architecture (all known ones are named), a type; and errors of files. */
sk_status sk_engine_fit(const struct sk_fit_opts *o, struct sk_fit *ret_fit, struct sk_err *err);

/* ---- what is loaded ----------------------------------------------------------------------------------------- */

enum sk_engine_state { SK_STATE_LOADING, SK_STATE_READY, SK_STATE_DRAINING, SK_STATE_FAILED };

struct sk_info_backend {
	char name[16];
	int score;                      /* 0: not usable here */
	bool chosen;
	char why[160];                  /* one sentence: why it was or was not chosen */
};

struct sk_info {
	char model_id[256];             /* base name of the file or directory */
	char model_name[128];           /* general.name of the file, or "" */
	char arch[32], format[16], quant[32];
	char backend[16], isa[32], kv_dtype[16], device[64];
	char dtype[48];                 /* what is calculated in: "int8 activations, float32 residual" */
	char model_dtype[16];           /* the same in one word, as TGI would say: "float32", "bfloat16", "float16" */
	uint64_t params;                /* number of weights */
	uint32_t layers, width, heads, kv_heads, head_width, ffn_width, vocab, context_max;
	uint32_t encoder_layers;        /* 0: there is no encoder */
	uint32_t input_tokens_max, total_tokens_max, batch_prefill_tokens, sequences_max, top_n_max;
	uint32_t encode_tokens_max;     /* of the inputs of one step of the encoder */
	uint32_t block_tokens, blocks;  /* KV pool */
	int threads;
	int32_t bos_id, eos_id;         /* -1: none */
	int32_t start_id;               /* the first token of a decoder behind an encoder; -1: there is none */
	bool has_chat_template;
	/* the memory plan, bytes */
	uint64_t file_bytes, weights_bytes, kv_bytes, scratch_bytes, tokenizer_bytes, kv_bytes_per_token;
	uint64_t cross_bytes_per_token;      /* of an encoder's input, from the same pool; 0: there is no encoder */
	struct sk_info_backend backends[8];
	int backends_len;
};

/* A snapshot for metrics and /readyz. Counters only grow. */
struct sk_stats {
	enum sk_engine_state state;     /* FAILED also while a step takes longer than device_timeout_ms */
	uint64_t load_done_bytes, load_total_bytes;
	char load_phase[32];            /* "weights", "tokenizer", "warm-up" */
	uint32_t waiting, running;      /* sequences, of which a request may have several; so are finished, failed and cancelled */
	uint32_t blocks_free, blocks_total;
	uint64_t steps, prompt_tokens, generated_tokens, preemptions, cancelled, failed, finished;
	uint64_t step_us;               /* time spent in steps */
};

/* What a step was for: one with any token of a prompt in it counts as PREFILL. */
enum sk_step_kind { SK_STEP_PREFILL, SK_STEP_DECODE, SK_STEP_KINDS };
#define SK_JOINS_MAX 1024

/* More numbers for metrics, counted since the start. */
struct sk_meters {
	struct sk_meters_step {
		uint64_t count, failed;
		struct sk_times whole, forward, sample, plan;   /* sample: to the new tokens' events; plan: of the next step */
	} step[SK_STEP_KINDS];
	uint64_t joins[SK_JOINS_MAX + 2];       /* [k]: steps that k sequences joined at once, k > 0; the last: more */
	uint64_t joined;                        /* sequences that joined: sum of the above */
	uint64_t joined_others;                 /* steps at which they joined others that ran already */
	struct sk_times token_gap;              /* between two tokens of a sequence, waiting for its turn included */
	struct sk_times queue_wait;             /* submit to first step */
};

/*
 * Check the model and plan its memory (a second at most), start loading on the engine's own threads, return in
 * state LOADING. On failure nothing is left behind and err says why.
 *   SK_ENOENT SK_EIO SK_EFORMAT SK_ENOTSUP SK_ENOMEM SK_ETOOBIG SK_EINVAL
 */
sk_status sk_engine_open(const struct sk_engine_opts *o, struct sk_engine **ret_engine, struct sk_err *err);

/* The same checks and plan, from headers only: loads no weights; the device is opened to be described, and closed. */
sk_status sk_engine_plan(const struct sk_engine_opts *o, struct sk_info *ret_info, struct sk_err *err);

void sk_engine_info(const struct sk_engine *e, struct sk_info *ret_info);       /* any thread */
void sk_engine_stats(const struct sk_engine *e, struct sk_stats *ret_stats);    /* any thread, lock-free */
void sk_engine_meters(const struct sk_engine *e, struct sk_meters *ret_meters); /* any thread, lock-free */

/*
 * Wait until the state is no longer LOADING. SK_OK: READY. Else why the engine has FAILED. SK_EDEVICE: its device; then no thread comes
 * back from it for certain, so sk_engine_close() may wait for ever, and the process has to end without it.
 */
sk_status sk_engine_wait_ready(struct sk_engine *e, struct sk_err *err);

/* Refuse new requests (SK_EDRAINING) and wait until all running ones ended; cancel the rest after timeout_ms (-1: never). */
void sk_engine_drain(struct sk_engine *e, int timeout_ms);

/* Refuse new requests from now on, without waiting. Any thread. */
void sk_engine_refuse(struct sk_engine *e);

/* Ends all generations (their readers get FAIL with SK_ECANCELED), joins the threads, frees. Generations must
 * still be closed, before or after. */
void sk_engine_close(struct sk_engine **e);

/* ---- text --------------------------------------------------------------------------------------------------- */

/*
 * A token of a text and where it is from: bytes [start, stop) of the text, always whole characters, so tokens that share a
 * character name it all; 0 and 0 where it stands for no text. As the Hugging Face library's offsets.
 */
struct sk_token_at { int32_t id; uint32_t start, stop; };

/*
 * Text to ids. add_special: the model's BOS (and such) where its tokenizer says so; parse_special: "<|im_end|>"
 * in the text is that token, not its characters. *ret_ids is malloc'ed, free() it. Any thread, READY or not
 * (SK_ELOADING until the tokenizer is there).
 */
sk_status sk_engine_tokenize(const struct sk_engine *e, const char *text, size_t len, bool add_special,
			     bool parse_special, int32_t **ret_ids, size_t *ret_len, struct sk_err *err);

/* The same with places. *ret_tokens is malloc'ed; SK_ETOOBIG: more than tokens_max of them (0: no limit). */
sk_status sk_engine_tokens(const struct sk_engine *e, const char *text, size_t len, bool add_special, bool parse_special,
			   size_t tokens_max, struct sk_token_at **ret_tokens, size_t *ret_len, struct sk_err *err);

/* Ids to text; *ret_text is malloc'ed and NUL-terminated. Ill-formed bytes become U+FFFD. SK_EINVAL: an id out of range. */
sk_status sk_engine_detokenize(const struct sk_engine *e, const int32_t *ids, size_t len, bool skip_special,
			       char **ret_text, size_t *ret_len, struct sk_err *err);

/*
 * A tokenizer alone, without its model: of a .gguf file, of a directory that holds one, or of a directory with a tokenizer's own
 * files (tokenizer.json, tokenizer.model ...). Immutable; any thread. sk_tokenizer_close() ends it.
 *   SK_ENOENT SK_EIO SK_EFORMAT SK_ENOTSUP SK_ETOOBIG SK_ENOMEM
 */
struct sk_text;
sk_status sk_tokenizer_open(const char *model, struct sk_text **ret_t, struct sk_err *err);
void sk_tokenizer_close(struct sk_text **t);
/* As sk_engine_tokenize(), sk_engine_tokens() and sk_engine_detokenize(). */
sk_status sk_tokenizer_encode(const struct sk_text *t, const char *text, size_t len, bool add_special, bool parse_special,
			      int32_t **ret_ids, size_t *ret_len, struct sk_err *err);
sk_status sk_tokenizer_tokens(const struct sk_text *t, const char *text, size_t len, bool add_special, bool parse_special,
			      size_t tokens_max, struct sk_token_at **ret_tokens, size_t *ret_len, struct sk_err *err);
sk_status sk_tokenizer_decode(const struct sk_text *t, const int32_t *ids, size_t len, bool skip_special, char **ret_text,
			      size_t *ret_len, struct sk_err *err);

/* The text of one token inside a text: a blank at its beginning is kept, half a character is U+FFFD. Malloc'ed. */
sk_status sk_tokenizer_token(const struct sk_text *t, int32_t id, char **ret_text, size_t *ret_len, struct sk_err *err);

/*
 * A conversation. The strings are JSON (UTF-8): messages a list of objects; tools and documents lists, kwargs an object whose members
 * are variables of the template, each NULL when there is none.
 */
struct sk_chat_params {
	const char *messages, *tools, *documents, *kwargs;
	size_t messages_len, tools_len, documents_len, kwargs_len;
	bool no_generation_prompt;      /* do not open the answer's turn */
	bool continue_last;             /* the rendering ends inside the last message, whose text the answer goes on with */
};

/*
 * The prompt that the model's chat template (Jinja) makes of a conversation, as transformers renders it; tokenize it without
 * add_special. *ret_text is malloc'ed and NUL-terminated. Any thread.
 *   SK_EINVAL   the template refuses (raise_exception, an undefined value ...), or there is none, or it cannot be read
 *   SK_ETOOBIG  it takes too long or too much;  SK_EFORMAT  no JSON;  SK_ELOADING SK_ENOMEM
 */
sk_status sk_engine_chat(const struct sk_engine *e, const struct sk_chat_params *p, char **ret_text, size_t *ret_len, struct sk_err *err);

/* ---- requests ----------------------------------------------------------------------------------------------- */

/*
 * Whose random numbers draw a token: a function of (seed, sequence, token index), or those of torch's CPU generator, one for
 * each request, so that a seed gives the draws of text-generation-inference on a CPU. The latter cost two words of a
 * Mersenne twister for each entry of the vocabulary and token.
 */
enum sk_rng { SK_RNG_SAKER, SK_RNG_TORCH };

struct sk_logit_bias { int32_t id; float bias; };       /* added to the score of one token */
#define SK_LOGIT_BIAS_MAX 1024

/*
 * One request. SK_GEN_PARAMS_INIT gives "unset" values. Pointers are lent until submit returns. Behind an encoder the prompt
 * is the encoder's input; the answer begins after start_id, and penalties look at that and the answer.
 * Ranges are the caller's business (fcgi validates with TGI's texts); submit checks what needs the model.
 */
struct sk_gen_params {
	const char *prompt;             /* UTF-8, or NULL and ids */
	size_t prompt_len;
	const int32_t *ids;
	size_t ids_len;
	bool no_special;                /* do not add BOS to the prompt */
	uint32_t max_new_tokens;        /* 0: all the room that the prompt leaves */
	uint32_t n;                     /* sequences, 1 to SK_GEN_N_MAX: that many answers to one prompt, which is computed once */
	bool do_sample;
	float temperature;              /* 1: off */
	float repetition_penalty;       /* 1: off */
	float frequency_penalty;        /* 0: off; this and the next are OpenAI's: they look at the answer alone */
	float presence_penalty;         /* 0: off */
	float frequency_share;          /* 0: off; text-generation-inference's: times an id's share of prompt and answer */
	const struct sk_logit_bias *bias;       /* of distinct ids, SK_LOGIT_BIAS_MAX at most; before all penalties */
	size_t bias_len;
	int32_t top_k;                  /* 0: off */
	float top_p, typical_p;         /* 1: off */
	float min_p;                    /* 0: off; last of all: least share of the likeliest token's probability */
	bool watermark;                 /* mark the text: sk_engine_opts.watermark says how */
	enum sk_rng rng;                /* who draws; 0: saker */
	uint64_t seed;
	/*
	 * false: random ones are drawn if the request samples, one for each sequence, so that each answer can be had alone by its seed.
	 * true: sequence i draws with (seed, i, token), with SK_RNG_TORCH with seed + i.
	 */
	bool has_seed;
	const char *const *stop;        /* stop strings, each not empty */
	const size_t *stop_bytes;
	size_t stop_len;
	uint32_t truncate;              /* keep the last n prompt tokens; 0: all. See SK_TRUNCATE_BYTES_MAX */
	uint32_t top_n_tokens;          /* alternatives reported with each token */
	bool prompt_logprobs;           /* PREFILL event: every prompt token with its log-probability; behind an encoder start_id alone */
	bool ignore_eos;                /* go on to max_new_tokens */
	bool one_eos;                   /* only the tokenizer's own end token ends it, not those that the model names beside it */
	/*
	 * Text as text-generation-inference makes it: a stop string counts only where a token's text ends (or one more line break
	 * follows), special tokens' text included; nothing is held back; a character that stays unfinished is in no token's text.
	 */
	bool tgi_text;
	uint64_t client;                /* whose it is: those that wait are admitted so that clients get tokens by their weights */
	uint32_t weight;                /* 1 to 1000; 0 is 1 */
};

/*
 * A prompt with `truncate` may be of any length where its last tokens lie in so many bytes at its end, after a place
 * where words surely end (a line or a blank after an ASCII letter); else it is refused (SK_EINVAL) when it is longer.
 */
#define SK_TRUNCATE_BYTES_MAX ((size_t)1 << 20)

#define SK_GEN_N_MAX 128                 /* sequences of a request */

#define SK_GEN_PARAMS_INIT { .n = 1, .max_new_tokens = 20, .temperature = 1.0f, .repetition_penalty = 1.0f, \
			     .top_p = 1.0f, .typical_p = 1.0f }

/* Whether a token is drawn rather than the likeliest taken: TGI's rule (do_sample, or any warper not at rest). */
bool sk_gen_params_samples(const struct sk_gen_params *p);

enum sk_event_type {
	SK_EVENT_PREFILL,       /* the prompt is computed; with prompt_logprobs: its tokens. Comes once, first, for all sequences. */
	SK_EVENT_TOKEN,         /* one token */
	SK_EVENT_FINISH,        /* the last event of a good sequence; the next event after its TOKEN marked `last` */
	SK_EVENT_FAIL,          /* the last event of all, whichever sequence failed; also of what was cancelled */
};

enum sk_finish_reason { SK_FINISH_LENGTH, SK_FINISH_EOS, SK_FINISH_STOP };

struct sk_event_token {
	int32_t id;
	const char *text;       /* valid UTF-8; "" while a character is unfinished, U+FFFD if it stays so */
	size_t text_len;
	float logprob;          /* NaN: none (first prompt token) */
	bool special;
};

struct sk_event {
	enum sk_event_type type;
	uint32_t seq;                                   /* which of the n sequences, from 0 */
	uint32_t left;                                  /* sequences whose FINISH is not read yet; FINISH with 0 is the last event */
	union {
		struct {
			const struct sk_event_token *tokens;    /* empty unless prompt_logprobs */
			size_t tokens_len;
			uint32_t prompt_tokens;                 /* of the input, also where an encoder takes it */
		} prefill;
		struct {
			struct sk_event_token t;
			const struct sk_event_token *top;       /* top_n_tokens, likeliest first, ties included */
			size_t top_len;
			uint32_t index;                         /* counts from 0 */
			bool last;                              /* FINISH is already in the ring behind it */
		} token;
		struct {
			enum sk_finish_reason reason;
			uint32_t generated_tokens, prompt_tokens;
			const char *text;                       /* all generated text, specials skipped, ends right after a stop string */
			size_t text_len;
			size_t stop_bytes;                      /* bytes of the matched stop string at the end of text; 0: none */
			uint64_t seed;
			bool has_seed;                          /* false when greedy */
			int64_t queue_us, inference_us;         /* submit -> first step; first step -> end */
		} finish;
		struct {
			sk_status status;                       /* SK_ECANCELED, SK_EENGINE ... */
			const char *text;                       /* fit for a client */
		} fail;
	};
};

/*
 * Tokenise, check lengths, queue. Any thread. On success *ret_gen belongs to the caller, who ends it with
 * sk_gen_close(). `err` holds TGI's words for what a client did wrong (without the "Input validation error: " prefix).
 *   SK_EINVAL       the request breaks a rule that needs the model (lengths, ids, budget)
 *   SK_ELOADING     not ready;  SK_EDRAINING  shutting down;  SK_EOVERLOADED  the queue is full
 *   SK_ENOMEM;  SK_EENGINE  the engine has failed for good
 */
sk_status sk_engine_submit(struct sk_engine *e, const struct sk_gen_params *p, struct sk_gen **ret_gen,
			   struct sk_err *err);

/*
 * One eventfd for all generations: readable when sk_engine_next_ready() may have something. read() 8 bytes first, then drain.
 * Ask before the first submit: only from then on is the list of ready generations kept.
 */
int sk_engine_doorbell(const struct sk_engine *e);

/*
 * The next generation whose ring has news since it was last returned; NULL when none. One thread only: the one
 * that reads events. A returned generation is reported again only after new events came. A generation that was
 * closed is never returned.
 */
struct sk_gen *sk_engine_next_ready(struct sk_engine *e);

/* One word of the caller's, for finding its request again. Set before or after; reader thread only. */
void sk_gen_set_user(struct sk_gen *g, void *user);
void *sk_gen_user(const struct sk_gen *g);
uint64_t sk_gen_id(const struct sk_gen *g);             /* unique in this process, from 1 */
uint32_t sk_gen_prompt_tokens(const struct sk_gen *g);
uint32_t sk_gen_max_new_tokens(const struct sk_gen *g); /* of each sequence: as asked for, or the room there was */

/*
 * Copy the next event to *ret_event. Never blocks. Reader thread.
 *   SK_OK       copied; what it points to stays valid until the next call or close
 *   SK_EAGAIN   nothing yet; the doorbell will ring
 *   SK_ENDED    the last event was already read
 */
sk_status sk_gen_next(struct sk_gen *g, struct sk_event *ret_event);

/* For programs without a loop: wait for the next event. SK_OK or SK_ENDED. Not together with the doorbell. */
sk_status sk_gen_wait(struct sk_gen *g, struct sk_event *ret_event);

/* Stop early. Any thread, any number of times. The reader still gets a last event. Blocks are free within one step. */
void sk_gen_cancel(struct sk_gen *g);

/* Cancels if still running. Any time; reader thread. */
void sk_gen_close(struct sk_gen **g);

/* ---- watermarks --------------------------------------------------------------------------------------------- */

#define SK_DETECT_TOKENS_MAX 8192       /* half a millisecond each at worst, where the vocabulary has 250,000 */
#define SK_DETECT_BYTES_MAX ((size_t)1 << 20)

/*
 * What a text looks like to somebody who knows the scheme. Each token counts once behind the same words; the first one or two
 * do not count. Texts of people come to a p_value below x with a probability of x at most; in marked ones it is tiny.
 */
struct sk_detection {
	uint32_t tokens, green;
	double gamma;
	double z_score;                 /* standard deviations above what chance gives */
	double p_value;                 /* how likely so many green tokens, or more, are by chance: exact, binomial */
	bool keyed;
};

/*
 * Look for the engine's watermark in a text, or in `ids` when `text` is NULL. Any thread; with the public scheme it may take
 * seconds on a long text.
 *   SK_EINVAL   an id that is none, more than SK_DETECT_TOKENS_MAX tokens or SK_DETECT_BYTES_MAX bytes
 *   SK_ELOADING SK_ENOMEM
 */
sk_status sk_engine_detect(const struct sk_engine *e, const char *text, size_t text_len, const int32_t *ids, size_t ids_len,
			   struct sk_detection *ret_d, struct sk_err *err);

/* The same without an engine. vocab: sk_info.vocab of the model, which may be more than its tokenizer's. */
sk_status sk_watermark_detect(const struct sk_watermark_opts *o, uint32_t vocab, const int32_t *ids, size_t len,
			      struct sk_detection *ret_d, struct sk_err *err);

/* ---- measuring ---------------------------------------------------------------------------------------------- */

struct sk_bench_result { double prompt_tok_s, decode_tok_s; };

#endif
