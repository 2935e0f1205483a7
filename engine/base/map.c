/* SPDX-License-Identifier: Apache-2.0 */
/* A file mapped read-only into memory. */
#include "engine/base/map.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/*
 * Which bytes are whose, for who asks in a signal handler: no lock, and a slot is read only while its `begin` says what it said
 * before. More files than slots: the others have no name.
 */
#define SLOTS 2048
#define NAME_BYTES 248

static struct slot {
	_Atomic uintptr_t begin;        /* 0: free; 1: being written */
	size_t len;
	char name[NAME_BYTES];          /* of a longer path the end */
} slots[SLOTS];

static void slot_take(const struct sk_map *m, const char *path)
{
	size_t len = strlen(path), from = len < NAME_BYTES ? 0 : len - NAME_BYTES + 1;

	for (int i = 0; i < SLOTS; i++) {
		uintptr_t none = 0;

		if (!atomic_compare_exchange_strong(&slots[i].begin, &none, 1))
			continue;
		slots[i].len = m->len;
		memcpy(slots[i].name, path + from, len - from + 1);
		atomic_store(&slots[i].begin, (uintptr_t)m->data);
		return;
	}
}

static void slot_put(const struct sk_map *m)
{
	for (int i = 0; i < SLOTS; i++) {
		uintptr_t mine = (uintptr_t)m->data;

		if (atomic_compare_exchange_strong(&slots[i].begin, &mine, 0))
			return;
	}
}

const char *sk_map_name(const void *at)
{
	for (int i = 0; i < SLOTS; i++) {
		uintptr_t begin = atomic_load(&slots[i].begin);

		if (begin > 1 && (uintptr_t)at >= begin && (uintptr_t)at - begin < slots[i].len)
			return slots[i].name;
	}
	return NULL;
}

sk_status sk_map_open(struct sk_map *ret_map, const char *path, struct sk_err *err)
{
	struct stat sb;
	void *data;
	sk_status st;
	int fd;

	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);  /* NONBLOCK: a FIFO must not hold us */
	if (fd < 0)
		return sk_fail(err, errno == ENOENT ? SK_ENOENT : SK_EIO, "%s: %s", path, strerror(errno));
	if (fstat(fd, &sb) < 0) {
		st = sk_fail(err, SK_EIO, "%s: %s", path, strerror(errno));
		goto fail;
	}
	if (!S_ISREG(sb.st_mode)) {
		st = sk_fail(err, SK_EFORMAT, "%s: %s, not a file", path,
			     S_ISDIR(sb.st_mode) ? "a directory" : "a device, pipe or socket");
		goto fail;
	}
	if (sb.st_size == 0) {
		st = sk_fail(err, SK_EFORMAT, "%s: the file is empty", path);
		goto fail;
	}
	if ((uintmax_t)sb.st_size > SIZE_MAX) {
		st = sk_fail(err, SK_ETOOBIG, "%s: too large for this machine's addresses", path);
		goto fail;
	}
	data = mmap(NULL, (size_t)sb.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (data == MAP_FAILED) {
		st = sk_fail(err, SK_EIO, "%s: mmap: %s", path, strerror(errno));
		goto fail;
	}
	*ret_map = (struct sk_map){ .data = data, .len = (size_t)sb.st_size, .fd = fd };
	slot_take(ret_map, path);
	return SK_OK;
fail:
	close(fd);
	return st;
}

void sk_map_fini(struct sk_map *m)
{
	if (!m->data)
		return;
	slot_put(m);
	munmap((void *)(uintptr_t)m->data, m->len);
	close(m->fd);
	*m = (struct sk_map){ .fd = -1 };
}

void sk_map_drop(const struct sk_map *m, size_t offset, size_t len)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE), from, to;

	if (!m->data || offset >= m->len)
		return;
	if (len > m->len - offset)
		len = m->len - offset;
	from = (offset + page - 1) / page * page;
	to = (offset + len) / page * page;
	/* The pages leave this process, not the page cache: the next start finds them warm. */
	if (from < to)
		madvise((void *)(uintptr_t)(m->data + from), to - from, MADV_DONTNEED);
}

/* Of one call the kernel reads as much as the device takes at once, and forgets the rest: Linux promises no more than this. */
#define AHEAD_BYTES ((size_t)128 << 10)

void sk_map_ahead(const struct sk_map *m, size_t offset, size_t len)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE), from = offset / page * page;

	if (!m->data || offset >= m->len || !len)
		return;
	if (len > m->len - offset)
		len = m->len - offset;
	for (size_t end = offset + len; from < end; from += AHEAD_BYTES)
		madvise((void *)(uintptr_t)(m->data + from), end - from < AHEAD_BYTES ? end - from : AHEAD_BYTES, MADV_WILLNEED);
}
