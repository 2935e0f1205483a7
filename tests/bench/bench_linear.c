/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Speed of linear on the cpu backend, beside the machine's read bandwidth of the same run.
 *
 *	bench_linear [-t threads] [-i isa] [-f format] [-e] [-c] [-N rows -K columns]
 *
 * For T = 1 the weights pass by in turn, so that they come from memory (a set of SET_BYTES); GB/s counts their bytes.
 * For more tokens one weight is used again and again; GOP/s counts 2 * N * K * T. -e: the exact mode (float activations).
 * -c: processor time instead of the wall's, and the best round instead of the median: for a busy machine, with -t 1.
 * Not a test: nothing is judged here. The bandwidth of a shared machine changes by half within minutes.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "kernels/backend.h"
#include "kernels/cpu/cpu.h"
#include "kernels/quant/half.h"

extern const struct sk_backend sk_backend_cpu;

#define SET_BYTES ((size_t)96 << 20)
#define T_MAX 512
#define ROUNDS 7

static const int tokens[] = { 1, 2, 4, 6, 8, 16, 32, 64, 256, 512 };

static clockid_t watch = CLOCK_MONOTONIC;
static int pick = ROUNDS / 2;   /* of the sorted rounds */

static double now(void)
{
	struct timespec ts;

	clock_gettime(watch, &ts);
	return (double)ts.tv_sec + 1e-9 * (double)ts.tv_nsec;
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

/* ---- plain reading ---- */

struct read_job {
	const uint64_t *p;
	uint64_t sum[SK_POOL_THREADS_MAX * 16];
};

static void read_lines(void *arg, int32_t from, int32_t to, int worker)
{
	struct read_job *j = arg;
	uint64_t s[8] = { 0 };

	for (const uint64_t *p = j->p + (size_t)from * 512, *end = j->p + (size_t)to * 512; p < end; p += 8)
		for (int i = 0; i < 8; i++)
			s[i] ^= p[i];
	for (int i = 0; i < 8; i++)
		j->sum[worker * 16 + i] += s[i];
}

static double read_gbs(struct sk_dev *dev, const void *p, size_t bytes)
{
	static struct read_job j;
	double t[ROUNDS];

	j.p = p;
	for (int i = 0; i < ROUNDS; i++) {
		double start = now();

		sk_cpu_run(dev, (int32_t)(bytes / 4096), 0, read_lines, &j);
		t[i] = now() - start;
	}
	qsort(t, ROUNDS, sizeof t[0], compare);
	return (double)bytes / t[pick] * 1e-9;
}

/* ---- linear ---- */

struct set {
	struct sk_weight **w;
	int len;
	int32_t N, K;
};

static void set_open(struct sk_dev *dev, enum sk_dtype dtype, int32_t N, int32_t K, struct set *ret_set)
{
	const struct sk_quant *q = sk_quant_get(dtype);
	size_t row_bytes = (size_t)K / q->block_len * q->block_bytes, bytes = row_bytes * (size_t)N;
	unsigned char *file = malloc(bytes);
	struct sk_weight_src src = { file, dtype, N, K, row_bytes };
	double start;

	for (size_t i = 0; i < bytes; i++)
		file[i] = (unsigned char)(i * 2654435761u >> 13);
	for (size_t i = 0; q->block_len > 1 && i < bytes; i += q->block_bytes) {
		file[i] = file[i + 2] = 0;
		file[i + 1] = file[i + 3] = 0x2c;
	}
	ret_set->len = (int)(SET_BYTES / bytes) + 1;
	ret_set->N = N;
	ret_set->K = K;
	ret_set->w = calloc((size_t)ret_set->len, sizeof(ret_set->w[0]));
	start = now();
	for (int i = 0; i < ret_set->len; i++)
		if (sk_backend_cpu.weight_open(dev, &src, 1, SK_JOIN_STACK, &ret_set->w[i], NULL) < 0)
			abort();
	printf("%-5s %6d x %-5d  repack %.1f ms a 100 MB\n", q->name, N, K,
	       (now() - start) * 1e3 / ((double)bytes * ret_set->len) * 1e8);
	free(file);
}

static void set_close(struct sk_dev *dev, struct set *s)
{
	for (int i = 0; i < s->len; i++)
		sk_backend_cpu.weight_close(dev, &s->w[i]);
	free(s->w);
}

static void bench_tokens(struct sk_dev *dev, const struct set *s, int T, bool quantise, float *x, float *y)
{
	double t[ROUNDS], gop = 2e-9 * s->N * s->K * T, bytes = (double)s->w[0]->bytes;
	int calls = T == 1 ? s->len : (int)(20.0 / gop) + 1;

	if (calls > 20000)
		calls = 20000;
	for (int i = 0; i < ROUNDS; i++) {
		double start = now();

		for (int c = 0; c < calls; c++) {
			struct sk_op_linear op = {
				.x = { x, SK_F32, { T, s->K }, s->K }, .y = { y, SK_F32, { T, s->N }, s->N },
				.w = s->w[T <= 16 ? c % s->len : 0], .quantise = quantise,
			};

			sk_backend_cpu.ops->linear(dev, &op);
		}
		t[i] = (now() - start) / calls;
	}
	qsort(t, ROUNDS, sizeof t[0], compare);
	printf("  T %3d  %8.1f us  %7.1f GOP/s", T, t[pick] * 1e6, gop / t[pick]);
	if (T <= 16)
		printf("  %6.1f GB/s of weights", bytes / t[pick] * 1e-9);
	printf("\n");
}

int main(int argc, char **argv)
{
	struct sk_dev_opts o = { .threads = 2, .isa = "auto", .no_step_down = true };
	struct sk_dev_plan plan = { .tokens_max = T_MAX, .sequences_max = 1, .heads = 1, .kv_heads = 1, .head_width = 64,
				    .context_max = 64 };
	const char *format = NULL;
	struct sk_dev *dev = NULL;
	struct sk_err err = { 0 };
	int32_t N = 3072, K = 576;
	bool quantise = true;
	float *x, *y;
	void *memory;
	char isa[32], device[160];

	for (int c; (c = getopt(argc, argv, "t:i:f:ecN:K:")) != -1;) {
		if (c == 't')
			o.threads = atoi(optarg);
		else if (c == 'i')
			o.isa = optarg;
		else if (c == 'f')
			format = optarg;
		else if (c == 'e')
			quantise = false;
		else if (c == 'c')
			watch = CLOCK_PROCESS_CPUTIME_ID, pick = 0;
		else if (c == 'N')
			N = atoi(optarg);
		else if (c == 'K')
			K = atoi(optarg);
		else
			return 2;
	}
	plan.K_max = K;
	plan.N_max = N;
	if (N < 1 || K < 32 || sk_backend_cpu.open(0, &o, &dev, &err) < 0 || sk_backend_cpu.reserve(dev, &plan, NULL, &err) < 0) {
		fprintf(stderr, "bench_linear: %s\n", err.text);
		return 1;
	}
	sk_backend_cpu.describe(dev, isa, sizeof isa, device, sizeof device);
	x = malloc(sizeof(float) * T_MAX * (size_t)K);
	y = malloc(sizeof(float) * T_MAX * (size_t)N);
	for (int i = 0; i < T_MAX * K; i++)
		x[i] = (float)(i * 37 % 201 - 100) * 0.01f;
	memory = sk_cpu_pages_take(SET_BYTES);
	memset(memory, 1, SET_BYTES);
	printf("%s, %s, %s activations\n", device, isa, quantise ? "rounded" : "float");
	for (int d = 0; d < SK_DTYPES; d++) {
		struct set s;

		if (sk_backend_cpu.weight_bytes((enum sk_dtype)d, N, K) == 0)
			continue;
		if (format != NULL && strcmp(format, sk_quant_get((enum sk_dtype)d)->name) != 0)
			continue;
		set_open(dev, (enum sk_dtype)d, N, K, &s);
		printf("  plain read of %zu MiB: %.1f GB/s\n", SET_BYTES >> 20, read_gbs(dev, memory, SET_BYTES));
		for (size_t i = 0; i < sizeof tokens / sizeof tokens[0]; i++)
			bench_tokens(dev, &s, tokens[i], quantise, x, y);
		set_close(dev, &s);
	}
	sk_cpu_pages_put(memory, SET_BYTES);
	sk_backend_cpu.close(&dev);
	free(x);
	free(y);
	return 0;
}
