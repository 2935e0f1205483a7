/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A mapped file that is cut short: who reads behind its new end is ended with its name and 74; a SIGBUS of any other kind ends
 * as ever. Each case is a process of its own.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "engine/base/map.h"
#include "engine/weights/weights.h"
#include "fcgi/fault.h"
#include "tests/lib/tiny_gguf.h"

enum how { READ, READ_OTHER, READ_CLOSED, READ_TENSOR };

static const struct { const char *name; enum how how; int exit_code; const char *words; } cases[] = {
	{ "the file is named",                            READ,        74, ": the file was cut short" },
	{ "a tensor of a model that was cut is named so", READ_TENSOR, 74, "model.gguf: the file was cut short" },
	{ "another mapping ends by the signal",           READ_OTHER,  -1, "" },
	{ "a file that was closed is nobody's",           READ_CLOSED, -1, "" },
};

static volatile unsigned char sink;

static void read_tensors(const char *path)
{
	struct sk_weights *w;
	struct sk_err err;

	if (sk_weights_open(path, &w, &err) < 0 || truncate(path, 4096)) {
		fprintf(stderr, "%s", err.text);
		_exit(1);
	}
	for (size_t i = 0; i < sk_weights_len(w); i++) {
		const struct sk_tensor *t = sk_weights_at(w, i);

		for (size_t k = 0; k < t->bytes; k++)
			sink = ((const unsigned char *)t->data)[k];
	}
}

/* What the process does that is to end. */
static void act(enum how how, const char *path, const char *model)
{
	struct sk_map m = { .fd = -1 };
	const unsigned char *other;

	sk_fault_init();
	if (how == READ_TENSOR)
		read_tensors(model);
	if (sk_map_open(&m, path, NULL) < 0)
		_exit(1);
	other = mmap(NULL, 8192, PROT_READ, MAP_PRIVATE, m.fd, 0);
	if (ftruncate(m.fd, 0) && truncate(path, 0))
		_exit(1);
	if (how == READ)
		sink = m.data[5000];
	if (how == READ_CLOSED)
		sk_map_fini(&m);
	sink = other[5000];
	_exit(0);
}

static int check(int i, const char *path, const char *model)
{
	static const char zeros[8192];
	char said[512] = "";
	int pipe_fd[2], status = 0;
	ssize_t n;
	size_t len = 0;
	FILE *f = fopen(path, "wb");
	pid_t child;

	if (!f || fwrite(zeros, 1, sizeof(zeros), f) != sizeof(zeros) || fclose(f) || pipe(pipe_fd))
		return 1;
	child = fork();
	if (child == 0) {
		dup2(pipe_fd[1], STDERR_FILENO);
		act(cases[i].how, path, model);
	}
	close(pipe_fd[1]);
	while (len < sizeof(said) - 1 && (n = read(pipe_fd[0], said + len, sizeof(said) - 1 - len)) > 0)
		len += (size_t)n;
	said[len] = 0;
	close(pipe_fd[0]);
	waitpid(child, &status, 0);
	if ((cases[i].exit_code < 0 ? WIFSIGNALED(status) && WTERMSIG(status) == SIGBUS && !len :
	     WIFEXITED(status) && WEXITSTATUS(status) == cases[i].exit_code && strstr(said, cases[i].words)))
		return 0;
	printf("FAIL %s: status %x, said \"%s\"\n", cases[i].name, (unsigned)status, said);
	return 1;
}

int main(void)
{
	char dir[] = "/tmp/sk-cut-XXXXXX", path[64], model[64];
	int failed = 0;
	struct tiny_gguf o = TINY_GGUF_INIT;

	if (!mkdtemp(dir))
		return 1;
	snprintf(path, sizeof(path), "%s/file", dir);
	snprintf(model, sizeof(model), "%s/model.gguf", dir);
	tiny_gguf_write(&o, model);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		failed += check((int)i, path, model);
	unlink(path);
	unlink(model);
	rmdir(dir);
	return failed ? 1 : 0;
}
