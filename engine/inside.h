/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The inside of struct sk_engine and struct sk_gen, for the files of this folder.
 *
 * Threads: the engine thread (loads, then steps), the text thread (loads the tokenizer beside it and ends), any thread that
 * submits or cancels, and the reader: the one thread that reads events. They meet
 *
 *	submit list     under engine.lock; the engine thread takes it whole, once a step
 *	gen.published   how many events the engine thread has written; everything below it is constant
 *	ready list      a stack that the engine thread pushes on and the reader takes whole, without a lock
 *
 * Each struct says who owns a field. `_Atomic` ones are shared on purpose.
 */
#ifndef SK_ENGINE_INSIDE_H
#define SK_ENGINE_INSIDE_H

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#include "engine/model/model.h"
#include "engine/saker.h"
#include "engine/sample/sample.h"
#include "engine/sched/sched.h"
#include "engine/text/text.h"
#include "engine/weights/weights.h"

#define SK_TOP_TIES 8                   /* room for ties beyond top_n_tokens */
#define SK_BATCH_PREFILL 512            /* what options that are not given come to */
#define SK_SEQUENCES 128
#define SK_FAILURES_MAX 8               /* so many steps failed in a row: the engine gives up */

/* Everything that is known before a weight is loaded. Filled by sk_setup_init(), emptied by sk_setup_fini(). */
struct sk_setup {
	struct sk_weights *weights;             /* NULL after loading */
	struct sk_model_opts model;
	struct sk_sched_limits sched;
	struct sk_info info;
	bool backend_asked;                     /* by its name */
	double memory_fraction;                 /* of a device's memory */
	bool keep_special, sequences;           /* sk_dims' */
	int32_t start_id;                       /* sk_dims.start_id; -1: there is no encoder */
};
sk_status sk_setup_init(struct sk_setup *s, const struct sk_engine_opts *o, struct sk_err *err);
void sk_setup_fini(struct sk_setup *s);
/* Once the device is open: its name and instructions, and why this backend. */
void sk_setup_describe(struct sk_setup *s, const struct sk_dev *dev);
void sk_setup_log(const struct sk_setup *s);

/* An option whose value is left to us. */
static inline bool sk_is_auto(const char *word)
{
	return !word || !*word || !strcmp(word, "auto");
}

/*
 * room.c, of backends whose devices have a memory of their own. What is left for weights, scratch and pool; and SK_ENOMEM, with the
 * setting that would help, where they do not fit with a pool of kv_bytes. least_kv_bytes: the smallest pool that would still do.
 */
uint64_t sk_room_bytes(const struct sk_setup *s);
sk_status sk_room_check(const struct sk_setup *s, const struct sk_engine_opts *o, const struct sk_model_plan *plan, uint64_t kv_bytes,
			uint64_t least_kv_bytes, struct sk_err *err);

/* memory.c. `root` stands before /proc and /sys: "", or a test's own. */
uint64_t sk_memory_available(const char *root);

/* published: the count of PREFILL and TOKEN events, and in the two highest bits how it ended. */
#define SK_PUBLISHED_COUNT 0x3fffffffu
enum { SK_GEN_GOES_ON = 0, SK_GEN_FINISHED = 1, SK_GEN_FAILED = 2 };

/*
 * One sequence of a generation. All of them lie in one block of memory, `stride` bytes apart, taken at submit for all they may ever
 * emit. The first is what the caller holds: `root` of each. Of it alone are the members marked so.
 */
struct sk_gen {
	/* constant after submit */
	struct sk_engine *e;
	struct sk_gen *root;
	size_t stride;
	uint32_t n, seq, draw_seq;              /* how many; which; the sampler's */
	uint64_t id;                            /* the same for all */
	struct sk_sample_params sample;
	uint32_t prompt_len, max_new, top_max;  /* prompt_len: of the decoder, so 1 behind an encoder */
	uint32_t source_len;                    /* 0: there is no encoder */
	int32_t *source;                        /* [source_len] what the encoder takes; the root's */
	bool ignore_eos, tgi_text;
	int32_t eos;                            /* the one end token; -1: all that the tokenizer knows */
	uint64_t client;
	uint32_t weight;
	struct sk_sample_torch *torch;          /* SK_RNG_TORCH: its generator, the sampler's between steps; else NULL */
	struct sk_logit_bias *bias;             /* what sample.bias points to; the root's */
	struct sk_stop *stop;                   /* NULL: no stop strings. Its state is the engine thread's */
	int64_t submitted_us;

	/* shared */
	_Atomic uint32_t published;
	_Atomic bool cancel;                    /* root */
	_Atomic bool queued;                    /* root: in the ready list, or about to be */
	_Atomic int refs;                       /* root: caller, each sequence that the engine thread has, ready list */

	/* written by the engine thread, read below `published` */
	int32_t *ids;                           /* [prompt_len + max_new] */
	float *logprob;                         /* [max_new] */
	float *prompt_logprob;                  /* [prompt_len], the root's; NULL: not asked for */
	struct sk_sample_alt *top;              /* [max_new][top_max]; NULL: not asked for */
	uint16_t *top_len;                      /* [max_new] */
	enum sk_finish_reason reason;
	size_t text_cut, stop_bytes;            /* stop_bytes > 0: a stop string ends at text_cut */
	int64_t queue_us, inference_us;
	sk_status fail_status;                  /* root: of the first that failed; the others are cancelled for it */
	const char *fail_text;                  /* root: a constant */

	/* engine thread */
	uint32_t generated, released;           /* tokens; those whose text holds no beginning of a stop string */
	uint32_t *text_end;                     /* [max_new] bytes of text after each token; NULL: no stop strings */
	size_t text_len;
	struct sk_detok detok;
	struct sk_text_window stop_window;      /* tgi_text: what `detok` is otherwise */
	int64_t first_us;                       /* 0: no step yet */
	int64_t token_us;                       /* of the last token */
	int in_flight;                          /* planned steps it has a part in */
	bool ended, news;                       /* news: root */
	struct sk_gen *prev, *next;             /* engine.active; `next` of a root also the submit list's */
	struct sk_gen *news_next;               /* root */
	struct sk_gen *ready_next;              /* root: the ready list's; whoever holds that end of it */

	/* reader thread */
	uint32_t read;                          /* events; of the others PREFILL counts as read */
	bool end_read, closed;                  /* closed: root */
	uint32_t turn, left;                    /* root: the sequence whose events are looked at first; those without their end */
	void *user;
	struct sk_text_window window;
	struct sk_buf text;                     /* root: what the last event points to */
	struct sk_event_token *tokens;          /* [top_max or prompt_len], the root's */
};

static inline struct sk_gen *sk_gen_seq(const struct sk_gen *root, uint32_t i)
{
	return (struct sk_gen *)((char *)root + i * root->stride);
}

/* What one step needs, sized at start for the largest one. owner: engine thread. */
struct sk_step_room {
	int32_t *ids, *pos, *seq_start, *prompt_len, *rows;
	const int32_t **blocks, **cross_blocks;
	int32_t *cross_len;
	int32_t *row_seq;                       /* [rows] which sequence of the batch a row of logits belongs to */
	int32_t *argmax;
	float *max, *logsumexp;
	struct sk_sample_in *in;
	struct sk_sample_out *out;
	int32_t *work;                          /* rows that need more than their statistics */
	struct sk_fate *fates;
	char *scratch;                          /* [threads] scratch of the sampler */
	size_t scratch_bytes;
	struct sk_sample_alt *top;              /* [sequences][top_max] */
	uint32_t top_max;
	struct sk_buf piece;                    /* text of one token */
	uint64_t bytes;
};

/* struct sk_meters while it grows: written by the engine thread alone, read by any. */
struct sk_meters_shared {
	struct {
		_Atomic uint64_t count, failed;
		struct sk_times_shared whole, forward, sample, plan;
	} step[SK_STEP_KINDS];
	_Atomic uint64_t joins[SK_JOINS_MAX + 2], joined, joined_others;
	struct sk_times_shared token_gap, queue_wait;
};

struct sk_engine {
	/* constant after open (info: after loading) */
	struct sk_setup setup;
	struct sk_model *model;
	const struct sk_backend *backend;
	struct sk_watermark mark;
	uint32_t queue_max;
	uint64_t load_total;
	int look_ahead;
	int64_t device_timeout_us;              /* 0: none */
	_Atomic int64_t step_began_us;          /* 0: no step runs */
	int bell;                               /* eventfd */

	_Atomic int refs;                       /* the owner's, and one of each generation */
	_Atomic(struct sk_text *) text;         /* NULL until loaded */
	_Atomic int state;                      /* enum sk_engine_state without DRAINING */
	_Atomic int phase;
	_Atomic bool refusing, closing, cancels, cancel_all, load_stop;
	_Atomic bool belled;                    /* somebody reads the ready list */
	_Atomic uint64_t load_done, ids, steps, prompt_tokens, generated_tokens, preemptions, cancelled, failed, finished,
		step_us;
	_Atomic uint32_t held, waiting, running, blocks_free;   /* held: submitted and not ended; waiting: no step yet */
	struct sk_meters_shared meters;
	_Atomic int waiters;                    /* threads in sk_gen_wait() */
	_Atomic(struct sk_gen *) ready;         /* a stack */

	pthread_mutex_t lock;
	pthread_cond_t wake;                    /* engine thread: something was submitted, or closing */
	pthread_cond_t told;                    /* others: state has changed, events came, the last one ended */
	struct sk_gen *submitted, **submitted_end;      /* under lock */
	bool gone;                              /* under lock: the engine thread takes no more */
	struct sk_err load_err;                 /* under lock: why the state is FAILED */

	pthread_t thread, text_thread;
	sk_status text_status;                  /* the text thread's, read after joining */
	struct sk_err text_err;
	char *chat_template, *tokenizer_config; /* paths, for the text thread; NULL: none */
	struct sk_chat_maker *chat;             /* constant once `text` is set */

	/* engine thread */
	struct sk_sched *sched;
	struct sk_gen *active;
	struct sk_gen *news, **news_end;
	struct sk_step_room room;
	int failures;

	/* reader thread */
	struct sk_gen *taken;                   /* ready ones, oldest first */
};

/* ---- tokenizer.c ---- */

/*
 * The ids that a checkpoint gives for a name ("eos_token_id"), a number or a list of them: generation_config.json's before
 * config.json's, a GGUF's own. At most max; returns how many. sk_token_ids_check refuses what is neither.
 */
#define SK_TOKEN_IDS_MAX 64
size_t sk_token_ids(const struct sk_weights *w, const char *name, int32_t *ret_ids, size_t max);
sk_status sk_token_ids_check(const struct sk_weights *w, const char *name, struct sk_err *err);
/* The tokenizer that belongs to a checkpoint. */
sk_status sk_text_of_weights(const struct sk_weights *w, struct sk_text **ret_t, struct sk_err *err);

/* ---- engine.c ---- */
void sk_engine_unref(struct sk_engine *e);

/* ---- gen.c ---- */

/* Engine thread: events up to what is released, and the end if there is one, become visible; the bell rings in sk_news_tell(). */
void sk_gen_publish(struct sk_gen *g, int end);
void sk_news_tell(struct sk_engine *e);
void sk_gen_unref(struct sk_gen *g);
void sk_gen_free(struct sk_gen *root);   /* one that was never submitted */

/* ---- step.c: the engine thread after loading, until closing ---- */
sk_status sk_step_room_init(struct sk_step_room *r, const struct sk_setup *s, struct sk_err *err);
void sk_step_room_fini(struct sk_step_room *r);
/* A prompt of one token, whose answer nobody reads: SK_EENGINE when its logits are no numbers. */
sk_status sk_step_warm_up(struct sk_engine *e, struct sk_err *err);
void sk_step_loop(struct sk_engine *e);

#endif
