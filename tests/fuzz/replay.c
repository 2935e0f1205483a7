/* SPDX-License-Identifier: Apache-2.0 */
/*
 * main() for a fuzzer where there is no fuzzing engine: replays a corpus, then mutations of it.
 *
 *	tests/fuzz/fuzz_NAME [FILE...]
 *
 * Without arguments the corpus is tests/fuzz/corpus/NAME below $srcdir. Mutations are a function of (seed, number), so a
 * number that crashed crashes again. Environment:
 *	SAKER_FUZZ_RUNS      mutations, default 2000 (shared between the files of the corpus)
 *	SAKER_FUZZ_SECONDS   stop after so long; with it and no RUNS, mutate until then
 *	SAKER_FUZZ_SEED      default 1
 *	SAKER_FUZZ_ONLY      run only this mutation number, and write its input to fuzz_NAME.input
 * A crash prints the file, the seed and the number.
 *
 * The same fuzz_NAME.c, without this file, links with clang -fsanitize=fuzzer.
 */
#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "engine/base/clock.h"
#include "engine/base/rand.h"

#define INPUT_MAX ((size_t)1 << 20)
#define FILES_MAX 4096

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);
const char *__asan_default_options(void);
const char *__ubsan_default_options(void);

/* Sanitizers end in abort(), so that crashed() below can say which input it was. */
const char *__asan_default_options(void)
{
	return "abort_on_error=1:allocator_may_return_null=1";
}

const char *__ubsan_default_options(void)
{
	return "abort_on_error=1:print_stacktrace=1";
}

struct input {
	char *path;
	uint8_t *data;
	size_t len;
};

static struct input inputs[FILES_MAX];
static size_t inputs_len;
static uint64_t seed = 1;

/* What is running now, for crashed(). */
static char now_running[512];

static void crashed(int sig)
{
	static const char words[] = "\nfuzz: crashed at ";

	if (write(STDERR_FILENO, words, sizeof(words) - 1) > 0 && write(STDERR_FILENO, now_running, strlen(now_running)) > 0)
		(void)!write(STDERR_FILENO, "\n", 1);
	signal(sig, SIG_DFL);
	raise(sig);
}

static void crash_handlers_init(void)
{
	static const int signals[] = { SIGABRT, SIGSEGV, SIGBUS, SIGFPE, SIGILL };

	for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++) {
		struct sigaction old;

		/* A sanitizer that reports the signal itself keeps it, and aborts afterwards. */
		if (sigaction(signals[i], NULL, &old) == 0 && old.sa_handler == SIG_DFL)
			signal(signals[i], crashed);
	}
}

static int input_read(const char *path)
{
	FILE *f;
	struct input in;

	if (inputs_len == FILES_MAX) {
		fprintf(stderr, "fuzz: more than %d files\n", FILES_MAX);
		return -1;
	}
	f = fopen(path, "rb");
	if (!f) {
		fprintf(stderr, "fuzz: %s: %s\n", path, strerror(errno));
		return -1;
	}
	in.data = malloc(INPUT_MAX);
	in.path = strdup(path);
	in.len = in.data ? fread(in.data, 1, INPUT_MAX, f) : 0;
	fclose(f);
	if (!in.data || !in.path) {
		fprintf(stderr, "fuzz: out of memory\n");
		return -1;
	}
	inputs[inputs_len++] = in;
	return 0;
}

static int by_path(const void *a, const void *b)
{
	return strcmp(((const struct input *)a)->path, ((const struct input *)b)->path);
}

static int corpus_read(const char *dir)
{
	DIR *d = opendir(dir);
	const struct dirent *entry;
	char path[4096];

	if (!d) {
		fprintf(stderr, "fuzz: %s: %s\n", dir, strerror(errno));
		return -1;
	}
	while ((entry = readdir(d))) {
		if (entry->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), "%s/%s", dir, entry->d_name);
		if (input_read(path) < 0) {
			closedir(d);
			return -1;
		}
	}
	closedir(d);
	qsort(inputs, inputs_len, sizeof(inputs[0]), by_path);  /* readdir has no order */
	return 0;
}

/* ---- mutations ---------------------------------------------------------------------------------------------- */

struct dice {
	uint64_t run;
	uint32_t drawn;
};

static uint32_t roll(struct dice *d, uint32_t sides)
{
	const uint32_t counter[4] = { d->drawn++, 0, (uint32_t)d->run, (uint32_t)(d->run >> 32) };
	const uint32_t key[2] = { (uint32_t)seed, (uint32_t)(seed >> 32) };
	uint32_t out[4];

	sk_philox(counter, key, out);
	return sides ? out[0] % sides : 0;
}

/* Numbers that parsers get wrong. */
static const uint64_t numbers[] = {
	0, 1, 2, 7, 8, 15, 16, 31, 32, 63, 64, 127, 128, 255, 256, 4095, 4096, 32767, 32768, 65535, 65536,
	INT32_MAX, UINT64_C(1) << 31, UINT32_MAX, UINT64_C(1) << 32, INT64_MAX, UINT64_C(1) << 63, UINT64_MAX,
	UINT64_MAX - 1, UINT64_MAX - 31, UINT64_C(1) << 61, UINT64_C(0x0101010101010101),
};

struct work {
	uint8_t *data;          /* INPUT_MAX bytes */
	size_t len;
};

static void flip_bit(struct work *w, struct dice *d)
{
	if (w->len)
		w->data[roll(d, (uint32_t)w->len)] ^= (uint8_t)(1u << roll(d, 8));
}

static void set_byte(struct work *w, struct dice *d)
{
	if (w->len)
		w->data[roll(d, (uint32_t)w->len)] = (uint8_t)roll(d, 256);
}

static void set_number(struct work *w, struct dice *d)
{
	uint64_t number = numbers[roll(d, sizeof(numbers) / sizeof(numbers[0]))];
	size_t bytes = (size_t)1 << roll(d, 4);
	bool big_endian = roll(d, 2);
	size_t at;

	if (w->len < bytes)
		return;
	at = roll(d, (uint32_t)(w->len - bytes + 1));
	for (size_t i = 0; i < bytes; i++)
		w->data[at + (big_endian ? bytes - 1 - i : i)] = (uint8_t)(number >> 8 * i);
}

static void remove_part(struct work *w, struct dice *d)
{
	size_t at, part;

	if (!w->len)
		return;
	at = roll(d, (uint32_t)w->len);
	part = 1 + roll(d, roll(d, 2) ? 8 : (uint32_t)(w->len - at));
	if (part > w->len - at)
		part = w->len - at;
	memmove(w->data + at, w->data + at + part, w->len - at - part);
	w->len -= part;
}

static void repeat_part(struct work *w, struct dice *d)
{
	size_t at, part;

	if (!w->len)
		return;
	at = roll(d, (uint32_t)w->len);
	part = 1 + roll(d, (uint32_t)(w->len - at));
	if (part > INPUT_MAX - w->len)
		part = INPUT_MAX - w->len;
	memmove(w->data + at + part, w->data + at, w->len - at);
	w->len += part;
}

static void insert_bytes(struct work *w, struct dice *d)
{
	size_t at = roll(d, (uint32_t)w->len + 1), part = 1 + roll(d, 16);

	if (part > INPUT_MAX - w->len)
		return;
	memmove(w->data + at + part, w->data + at, w->len - at);
	for (size_t i = 0; i < part; i++)
		w->data[at + i] = (uint8_t)roll(d, 256);
	w->len += part;
}

static void cut_end(struct work *w, struct dice *d)
{
	w->len = roll(d, (uint32_t)w->len + 1);
}

/* The beginning of this input, then the end of another. */
static void join_other(struct work *w, struct dice *d)
{
	const struct input *other = &inputs[roll(d, (uint32_t)inputs_len)];
	size_t at = roll(d, (uint32_t)w->len + 1), from = roll(d, (uint32_t)other->len + 1);
	size_t part = other->len - from;

	if (part > INPUT_MAX - at)
		part = INPUT_MAX - at;
	memcpy(w->data + at, other->data + from, part);
	w->len = at + part;
}

static void (*const mutations[])(struct work *, struct dice *) = {
	flip_bit, flip_bit, set_byte, set_number, set_number, remove_part, repeat_part, insert_bytes, cut_end, join_other,
};

static void mutate(struct work *w, uint64_t run)
{
	struct dice d = { .run = run };
	const struct input *in = &inputs[run % inputs_len];
	uint32_t times = 1 + roll(&d, 6);

	memcpy(w->data, in->data, in->len);
	w->len = in->len;
	for (uint32_t i = 0; i < times; i++)
		mutations[roll(&d, sizeof(mutations) / sizeof(mutations[0]))](w, &d);
}

/* The input gets an allocation of just its size, so that a sanitizer sees the first byte read too far. */
static void run_one(const uint8_t *data, size_t len)
{
	uint8_t *exact = malloc(len ? len : 1);

	if (!exact)
		return;
	memcpy(exact, data, len);
	LLVMFuzzerTestOneInput(exact, len);
	free(exact);
}

static uint64_t number_env(const char *name, uint64_t otherwise)
{
	const char *value = getenv(name);

	return value && *value ? strtoull(value, NULL, 10) : otherwise;
}

static void input_save(const char *program, const struct work *w)
{
	char path[256];
	FILE *f;

	snprintf(path, sizeof(path), "%s.input", program);
	f = fopen(path, "wb");
	if (!f || fwrite(w->data, 1, w->len, f) != w->len)
		fprintf(stderr, "fuzz: %s: %s\n", path, strerror(errno));
	if (f)
		fclose(f);
}

int main(int argc, char **argv)
{
	const char *slash = strrchr(argv[0], '/'), *program = slash ? slash + 1 : argv[0];
	const char *only = getenv("SAKER_FUZZ_ONLY");
	uint64_t seconds = number_env("SAKER_FUZZ_SECONDS", 0), run = 0;
	uint64_t runs = number_env("SAKER_FUZZ_RUNS", seconds ? UINT64_MAX : 2000);
	int64_t begin_us = sk_now_us();
	struct work w = { .data = malloc(INPUT_MAX) };

	if (!w.data)
		return EXIT_FAILURE;
	seed = number_env("SAKER_FUZZ_SEED", 1);
	crash_handlers_init();
	for (int i = 1; i < argc; i++)
		if (input_read(argv[i]) < 0)
			return EXIT_FAILURE;
	if (argc == 1) {
		const char *srcdir = getenv("srcdir");
		char dir[4096];

		snprintf(dir, sizeof(dir), "%s/tests/fuzz/corpus/%s", srcdir ? srcdir : ".",
			 strncmp(program, "fuzz_", 5) == 0 ? program + 5 : program);
		if (corpus_read(dir) < 0)
			return EXIT_FAILURE;
	}
	if (inputs_len == 0) {
		fprintf(stderr, "fuzz: %s has no corpus\n", program);
		return EXIT_FAILURE;
	}
	for (size_t i = 0; i < inputs_len && !only; i++) {
		snprintf(now_running, sizeof(now_running), "%s", inputs[i].path);
		run_one(inputs[i].data, inputs[i].len);
	}
	if (only) {
		run = strtoull(only, NULL, 10);
		runs = run + 1;
	}
	for (; run < runs; run++) {
		if (seconds && sk_now_us() - begin_us > (int64_t)seconds * 1000000)
			break;
		snprintf(now_running, sizeof(now_running), "%s, SAKER_FUZZ_SEED=%" PRIu64 " SAKER_FUZZ_ONLY=%" PRIu64,
			 inputs[run % inputs_len].path, seed, run);
		mutate(&w, run);
		if (only)
			input_save(program, &w);
		run_one(w.data, w.len);
	}
	printf("%s: %zu files and %" PRIu64 " mutations (seed %" PRIu64 ") did no harm\n", program, inputs_len,
	       only ? 1 : run, seed);
	for (size_t i = 0; i < inputs_len; i++) {
		free(inputs[i].path);
		free(inputs[i].data);
	}
	free(w.data);
	return EXIT_SUCCESS;
}
