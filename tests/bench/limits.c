/* SPDX-License-Identifier: Apache-2.0 */
/*
 * limits [THREADS] [MIB] [SECONDS]: what this machine gives in these minutes, so that rates can be read as shares of it.
 *
 * Prints one line of JSON: bytes read from memory per second by all threads together (a buffer that no cache holds, each
 * thread its own part), and the same from a part that fits the second-level cache. Medians of five.
 */
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#define THREADS_MAX 256
#define RUNS 5
#define CACHED_BYTES (512u << 10)

struct reader {
	pthread_t thread;
	const uint64_t *data;
	size_t len;                     /* words, a multiple of 64 */
	double seconds;                 /* how long to read */
	double bytes_per_s;
	uint64_t sum;
};

static pthread_barrier_t start;

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

/* Eight independent sums hide the latency of the adds; the compiler makes vectors of the inner loop. */
#if defined(__x86_64__) && !defined(__clang__)
__attribute__((target_clones("avx512f", "avx2", "default")))
#endif
static uint64_t read_all(const uint64_t *p, size_t len)
{
	uint64_t sum[64] = { 0 }, all = 0;

	for (size_t i = 0; i < len; i += 64)
		for (size_t k = 0; k < 64; k++)
			sum[k] ^= p[i + k];
	for (size_t k = 0; k < 64; k++)
		all ^= sum[k];
	return all;
}

static void *run(void *arg)
{
	struct reader *r = arg;
	double begin, end;
	double bytes = 0;

	pthread_barrier_wait(&start);
	begin = now();
	do {
		r->sum ^= read_all(r->data, r->len);
		bytes += (double)r->len * sizeof *r->data;
		end = now();
	} while (end - begin < r->seconds);
	r->bytes_per_s = bytes / (end - begin);
	return NULL;
}

static double measure(const uint64_t *data, size_t len_each, size_t stride, int threads, double seconds)
{
	static struct reader readers[THREADS_MAX];
	double sum = 0;

	pthread_barrier_init(&start, NULL, (unsigned)threads);
	for (int i = 0; i < threads; i++) {
		readers[i] = (struct reader){ .data = data + (size_t)i * stride, .len = len_each, .seconds = seconds };
		if (pthread_create(&readers[i].thread, NULL, run, &readers[i])) {
			perror("limits: pthread_create");
			exit(1);
		}
	}
	for (int i = 0; i < threads; i++) {
		pthread_join(readers[i].thread, NULL);
		sum += readers[i].bytes_per_s;
	}
	pthread_barrier_destroy(&start);
	return sum;
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

int main(int argc, char **argv)
{
	long threads = argc > 1 ? atol(argv[1]) : 1, mib = argc > 2 ? atol(argv[2]) : 512;
	double seconds = argc > 3 ? atof(argv[3]) : 0.1;
	size_t bytes = (size_t)mib << 20, stride;
	double memory[RUNS], cached[RUNS];
	uint64_t *data;

	if (threads < 1 || threads > THREADS_MAX || mib < threads || mib > 1 << 20) {
		fprintf(stderr, "usage: limits [THREADS] [MIB] [SECONDS]\n");
		return 2;
	}
	data = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (data == MAP_FAILED) {
		perror("limits: mmap");
		return 1;
	}
	madvise(data, bytes, MADV_HUGEPAGE);
	memset(data, 1, bytes);
	stride = bytes / (size_t)threads / sizeof *data / 64 * 64;
	for (int i = 0; i < RUNS; i++) {
		memory[i] = measure(data, stride, stride, (int)threads, seconds);
		cached[i] = measure(data, CACHED_BYTES / sizeof *data, stride, (int)threads, seconds / 4);
	}
	qsort(memory, RUNS, sizeof *memory, compare);
	qsort(cached, RUNS, sizeof *cached, compare);
	printf("{\"threads\":%ld,\"memory_GBps\":%.2f,\"cached_GBps\":%.2f}\n", threads, memory[RUNS / 2] * 1e-9,
	       cached[RUNS / 2] * 1e-9);
	return 0;
}
