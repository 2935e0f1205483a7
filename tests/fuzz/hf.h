/* SPDX-License-Identifier: Apache-2.0 */
/* For fuzzers of a Hugging Face directory's files: a directory whose files are links to memory. */
#ifndef FUZZ_HF_H
#define FUZZ_HF_H

#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "engine/weights/weights.h"

enum { HF_FILES_MAX = 4 };
static char hf_dir[64];
static struct { char path[128]; int fd; } hf_files[HF_FILES_MAX];
static int hf_len;

static inline void hf_end(void)
{
	for (int i = 0; i < hf_len; i++)
		unlink(hf_files[i].path);
	rmdir(hf_dir);
}

/* Make the directory, once. false: it cannot be made. */
static inline bool hf_begin(void)
{
	if (hf_dir[0])
		return true;
	snprintf(hf_dir, sizeof(hf_dir), "/tmp/sk-fuzz-XXXXXX");
	if (!mkdtemp(hf_dir)) {
		hf_dir[0] = 0;
		return false;
	}
	atexit(hf_end);
	return true;
}

/* Set the contents of a file of the directory, making it when it is new. */
static inline bool hf_put(const char *name, const void *data, size_t len)
{
	char target[64];
	int i;

	for (i = 0; i < hf_len; i++)
		if (!strcmp(strrchr(hf_files[i].path, '/') + 1, name))
			break;
	if (i == hf_len) {
		snprintf(hf_files[i].path, sizeof(hf_files[i].path), "%s/%s", hf_dir, name);
		hf_files[i].fd = memfd_create(name, MFD_CLOEXEC);
		snprintf(target, sizeof(target), "/proc/self/fd/%d", hf_files[i].fd);
		if (hf_files[i].fd < 0 || symlink(target, hf_files[i].path) != 0)
			return false;
		hf_len++;
	}
	return ftruncate(hf_files[i].fd, 0) == 0 && pwrite(hf_files[i].fd, data, len, 0) == (ssize_t)len;
}

static volatile unsigned char hf_sink;

/* Open the directory: it is refused with words, or every tensor is what it says, and all its bytes can be read. */
static inline void hf_try(void)
{
	struct sk_weights *w = NULL;
	struct sk_err err = { 0 };

	if (sk_weights_open(hf_dir, &w, &err) < 0) {
		if (err.text[0] == 0 || w)
			abort();
		return;
	}
	for (size_t i = 0; i < sk_weights_len(w); i++) {
		const struct sk_tensor *t = sk_weights_at(w, i);
		const unsigned char *p = t->data;
		size_t elements = 1;

		if (sk_weights_find(w, t->name) != t || !t->type || t->dims < 1 || t->dims > 4 || (t->bytes && !p))
			abort();
		for (int d = 0; d < t->dims; d++)
			elements *= (size_t)t->dim[d];
		if (t->dtype != SK_DTYPES && (elements == 0 || t->bytes != elements * sk_quant_get(t->dtype)->block_bytes))
			abort();
		for (size_t b = 0; b < t->bytes; b += 512)
			hf_sink = p[b];
		if (t->bytes)
			hf_sink = p[t->bytes - 1];
	}
	sk_weights_close(&w);
}

#endif
