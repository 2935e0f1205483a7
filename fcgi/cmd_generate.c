/* SPDX-License-Identifier: Apache-2.0 */
/*
 * saker generate: one prompt, its answer streamed to the terminal.
 *
 * Ctrl-C stops the answer where it is (exit code 130), a second one the process. Signals are taken by a thread that does
 * nothing else: a handler may not call the engine.
 */
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "engine/base/buf.h"
#include "engine/saker.h"
#include "fcgi/commands.h"
#include "fcgi/progress.h"
#include "fcgi/words.h"

#define PROMPT_MAX (16u << 20)
#define EXIT_INTERRUPTED 130            /* what a shell expects: 128 + SIGINT */

/* The running generation, for the thread that waits for signals. */
struct watch {
	sigset_t signals;
	pthread_mutex_t lock;
	struct sk_gen *gen;             /* under lock; NULL: none is running */
	atomic_bool interrupted;
};

static void *watch_signals(void *arg)
{
	struct watch *w = arg;
	int sig;

	for (;;) {
		if (sigwait(&w->signals, &sig))
			continue;
		if (atomic_exchange(&w->interrupted, true))
			_exit(EXIT_INTERRUPTED);
		pthread_mutex_lock(&w->lock);
		if (w->gen)
			sk_gen_cancel(w->gen);
		pthread_mutex_unlock(&w->lock);
	}
	return NULL;
}

static void watch_gen(struct watch *w, struct sk_gen *gen)
{
	pthread_mutex_lock(&w->lock);
	w->gen = gen;
	if (gen && atomic_load(&w->interrupted))
		sk_gen_cancel(gen);
	pthread_mutex_unlock(&w->lock);
}

static struct sk_gen_params params_of(const struct sk_flags *f, const struct sk_buf *prompt, const char **stop,
				      size_t *stop_bytes)
{
	struct sk_gen_params p = SK_GEN_PARAMS_INIT;

	p.prompt = prompt->data;
	p.prompt_len = prompt->len;
	p.max_new_tokens = (uint32_t)f->generate_max_new_tokens;
	/*
	 * A temperature of 0 is the limit of a colder and colder draw: the likeliest token, whatever it is drawn from. So
	 * top-k and its like stay unset then: each by itself makes the engine sample.
	 */
	if (f->generate_temperature > 0) {
		p.do_sample = f->generate_do_sample;
		p.temperature = (float)f->generate_temperature;
		p.top_k = (int32_t)f->generate_top_k;
		p.top_p = (float)f->generate_top_p;
		p.typical_p = (float)f->generate_typical_p;
		p.min_p = (float)f->generate_min_p;
	}
	p.repetition_penalty = (float)f->generate_repetition_penalty;
	p.frequency_penalty = (float)f->generate_frequency_penalty;
	p.presence_penalty = (float)f->generate_presence_penalty;
	p.watermark = f->generate_watermark;
	p.seed = f->generate_seed;
	p.has_seed = p.seed != 0;
	p.ignore_eos = f->generate_ignore_eos;
	p.top_n_tokens = (uint32_t)f->generate_top_n_tokens;
	p.truncate = (uint32_t)f->generate_truncate;
	if (*f->generate_stop) {
		*stop = f->generate_stop;
		*stop_bytes = strlen(*stop);
		p.stop = stop;
		p.stop_bytes = stop_bytes;
		p.stop_len = 1;
	}
	return p;
}

/* One line a token on stderr, so that the text on stdout stays clean. */
static void print_details(const struct sk_event *ev)
{
	struct sk_buf b = SK_BUF(1 << 16);

	sk_buf_addf(&b, "%7d %9.4f \"", ev->token.t.id, (double)ev->token.t.logprob);
	sk_buf_add_json(&b, ev->token.t.text, ev->token.t.text_len);
	sk_buf_adds(&b, "\"");
	for (size_t i = 0; i < ev->token.top_len; i++) {
		sk_buf_addf(&b, "%s%d %.4f \"", i ? ", " : "   of: ", ev->token.top[i].id,
			    (double)ev->token.top[i].logprob);
		sk_buf_add_json(&b, ev->token.top[i].text, ev->token.top[i].text_len);
		sk_buf_adds(&b, "\"");
	}
	fprintf(stderr, "%s\n", sk_buf_str(&b));
	sk_buf_fini(&b);
}

/* Special tokens (end of text and such) are not shown: they are not in generated_text either. */
static sk_status show_answer(struct sk_gen *gen, const struct sk_flags *f, struct sk_err *err)
{
	static const char *const reasons[] = { "length", "eos_token", "stop_sequence" };
	struct sk_event ev;
	sk_status st = SK_OK;
	bool silent = false;

	while (sk_gen_wait(gen, &ev) == SK_OK) {
		switch (ev.type) {
		case SK_EVENT_PREFILL:
			break;
		case SK_EVENT_TOKEN:
			if (!ev.token.t.special && ev.token.t.text_len) {
				fwrite(ev.token.t.text, 1, ev.token.t.text_len, stdout);
				fflush(stdout);
			}
			if (f->generate_details)
				print_details(&ev);
			break;
		case SK_EVENT_FINISH:
			silent = !ev.finish.text_len && ev.finish.reason == SK_FINISH_EOS;
			if (f->generate_details)
				fprintf(stderr, "%u prompt tokens, %u generated in %.3f s, %s\n",
					ev.finish.prompt_tokens, ev.finish.generated_tokens,
					(double)ev.finish.inference_us * 1e-6, reasons[ev.finish.reason]);
			break;
		case SK_EVENT_FAIL:
			st = sk_fail(err, ev.fail.status, "%s", ev.fail.text ? ev.fail.text : "");
			break;
		}
	}
	putchar('\n');
	fflush(stdout);
	/* An empty line alone looks like a fault. */
	if (silent)
		fprintf(stderr, "the model ended at once, without a word\n");
	return st == SK_OK ? sk_words_flush(err) : st;
}

static sk_status generate(const struct sk_options *o, const struct sk_flags *f, const struct sk_buf *prompt,
			  struct watch *w, struct sk_err *err)
{
	struct sk_engine_opts eo = { 0 };
	struct sk_engine *engine = NULL;
	struct sk_gen *gen = NULL;
	const char *stop = NULL;
	size_t stop_bytes = 0;
	struct sk_gen_params p = params_of(f, prompt, &stop, &stop_bytes);
	sk_status st;

	sk_options_engine(o, &eo);
	st = sk_engine_open(&eo, &engine, err);
	if (st < 0)
		return st;
	st = sk_progress_wait(engine, err);
	if (st == SK_OK)
		st = sk_engine_submit(engine, &p, &gen, err);
	if (st == SK_OK) {
		watch_gen(w, gen);
		st = show_answer(gen, f, err);
		watch_gen(w, NULL);
		sk_gen_close(&gen);
	}
	sk_engine_close(&engine);
	return st;
}

int sk_cmd_generate(int argc, char **argv)
{
	struct watch w = { .lock = PTHREAD_MUTEX_INITIALIZER };
	struct sk_buf prompt = SK_BUF(PROMPT_MAX);
	struct sk_options o;
	struct sk_flags f;
	struct sk_err err = { 0 };
	pthread_t thread;
	sk_status st = sk_command_read("generate", &o, &f, &argc, argv, &err);

	if (st == SK_OK)
		sk_words_quiet(&o);
	if (st == SK_OK)
		st = sk_words_read(&prompt, argc, argv, "prompt", &err);
	if (st == SK_OK && !prompt.len)
		st = sk_fail(&err, SK_EINVAL, "the prompt is empty");
	if (st == SK_OK) {
		/* Before any other thread exists: all inherit the mask, and only the watcher takes the signals. */
		sigemptyset(&w.signals);
		sigaddset(&w.signals, SIGINT);
		sigaddset(&w.signals, SIGTERM);
		pthread_sigmask(SIG_BLOCK, &w.signals, NULL);
		if (pthread_create(&thread, NULL, watch_signals, &w))
			st = sk_fail(&err, SK_ENOMEM, "no thread for signals");
	}
	if (st == SK_OK) {
		pthread_detach(thread);
		st = generate(&o, &f, &prompt, &w, &err);
	}
	sk_buf_fini(&prompt);
	if (atomic_load(&w.interrupted))
		return EXIT_INTERRUPTED;
	return sk_exit("generate", st, &err);
}
