/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See faults.h. Functions of saker are wrapped by the linker. write() is defined here instead: libfcgi calls it too, and a
 * program's own definition comes before the C library's.
 */
#include "tests/fault/faults.h"

#include <dirent.h>
#include <errno.h>
#include <fcgiapp.h>
#include <json-c/json.h>
#include <netdb.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "tests/fault/refuse.h"

static struct shared {
	_Atomic int kind, error, hit;
	_Atomic long left;              /* -1: nothing fails any more */
	struct faults_made made;        /* written by the child's first thread */
} *shared;
static bool serving;

void faults_init(void)
{
	shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (shared == MAP_FAILED)
		abort();
	atomic_store(&shared->left, -1);
}

void faults_serve(void)
{
	serving = true;
}

void faults_arm(enum fault kind, long k, int error)
{
	atomic_store(&shared->left, -1);
	atomic_store(&shared->kind, (int)kind);
	atomic_store(&shared->error, error);
	atomic_store(&shared->hit, 0);
	atomic_store(&shared->left, k);
}

bool faults_disarm(void)
{
	atomic_store(&shared->left, -1);
	return atomic_load(&shared->hit);
}

/* Is this the call that fails? errno is set then. */
static bool fails(enum fault kind)
{
	if (!serving || atomic_load(&shared->kind) != (int)kind || atomic_load(&shared->left) < 0 ||
	    atomic_fetch_sub(&shared->left, 1) != 0)
		return false;
	atomic_store(&shared->hit, 1);
	errno = atomic_load(&shared->error);
	return true;
}

struct faults_made *faults_made(void)
{
	return &shared->made;
}

bool refuse(void)
{
	return fails(FAULT_MEMORY);
}

static mode_t type_of(int fd)
{
	struct stat sb;

	return fstat(fd, &sb) == 0 ? sb.st_mode & S_IFMT : 0;
}

/* ---- bytes -------------------------------------------------------------------------------------------------- */

ssize_t __real_send(int fd, const void *p, size_t len, int flags);
ssize_t __real_recv(int fd, void *p, size_t len, int flags);
ssize_t __real_read(int fd, void *p, size_t len);
ssize_t __wrap_send(int fd, const void *p, size_t len, int flags);
ssize_t __wrap_recv(int fd, void *p, size_t len, int flags);
ssize_t __wrap_read(int fd, void *p, size_t len);

ssize_t __wrap_send(int fd, const void *p, size_t len, int flags)
{
	if (!fails(FAULT_SEND))
		return __real_send(fd, p, len, flags);
	return errno ? -1 : __real_send(fd, p, (len + 1) / 2, flags);
}

ssize_t write(int fd, const void *p, size_t len)
{
	enum fault kind = fd == STDERR_FILENO ? FAULT_LOG : FAULT_SEND;

	/* Not an eventfd: that can be written as long as nobody counts to 2^64. */
	if (serving && (fd == STDERR_FILENO || type_of(fd) == S_IFSOCK) && fails(kind)) {
		if (errno)
			return -1;
		len = (len + 1) / 2;
	}
	if (serving && type_of(fd) == S_IFREG && fd != STDERR_FILENO && fails(FAULT_SYSTEM))
		return -1;
	return syscall(SYS_write, fd, p, len);
}

ssize_t __wrap_recv(int fd, void *p, size_t len, int flags)
{
	return fails(FAULT_RECV) ? -1 : __real_recv(fd, p, len, flags);
}

ssize_t __wrap_read(int fd, void *p, size_t len)
{
	return serving && (type_of(fd) == S_IFREG || type_of(fd) == S_IFIFO) && fails(FAULT_READ) ? -1 : __real_read(fd, p, len);
}

/* ---- descriptors and threads -------------------------------------------------------------------------------- */

int __real_accept4(int fd, struct sockaddr *a, socklen_t *len, int flags);
int __real_epoll_ctl(int ep, int op, int fd, struct epoll_event *ev);
int __real_epoll_wait(int ep, struct epoll_event *evs, int max, int ms);
int __real_poll(struct pollfd *fds, nfds_t len, int ms);
int __real_open(const char *path, int flags, ...);
FILE *__real_fopen(const char *path, const char *mode);
DIR *__real_opendir(const char *path);
int __real_socket(int domain, int type, int protocol);
int __real_eventfd(unsigned n, int flags);
int __real_signalfd(int fd, const sigset_t *set, int flags);
int __real_epoll_create1(int flags);
int __real_pthread_create(pthread_t *t, const pthread_attr_t *attr, void *(*fn)(void *), void *arg);
int __wrap_accept4(int fd, struct sockaddr *a, socklen_t *len, int flags);
int __wrap_epoll_ctl(int ep, int op, int fd, struct epoll_event *ev);
int __wrap_epoll_wait(int ep, struct epoll_event *evs, int max, int ms);
int __wrap_poll(struct pollfd *fds, nfds_t len, int ms);
int __wrap_open(const char *path, int flags, ...);
FILE *__wrap_fopen(const char *path, const char *mode);
DIR *__wrap_opendir(const char *path);
int __wrap_socket(int domain, int type, int protocol);
int __wrap_eventfd(unsigned n, int flags);
int __wrap_signalfd(int fd, const sigset_t *set, int flags);
int __wrap_epoll_create1(int flags);
int __wrap_pthread_create(pthread_t *t, const pthread_attr_t *attr, void *(*fn)(void *), void *arg);

int __wrap_accept4(int fd, struct sockaddr *a, socklen_t *len, int flags)
{
	return fails(FAULT_ACCEPT) ? -1 : __real_accept4(fd, a, len, flags);
}

int __wrap_epoll_ctl(int ep, int op, int fd, struct epoll_event *ev)
{
	return op == EPOLL_CTL_ADD && fails(FAULT_WATCH) ? -1 : __real_epoll_ctl(ep, op, fd, ev);
}

int __wrap_epoll_wait(int ep, struct epoll_event *evs, int max, int ms)
{
	return fails(FAULT_POLL) ? -1 : __real_epoll_wait(ep, evs, max, ms);
}

int __wrap_poll(struct pollfd *fds, nfds_t len, int ms)
{
	return fails(FAULT_POLL) ? -1 : __real_poll(fds, len, ms);
}

int __wrap_open(const char *path, int flags, ...)
{
	va_list ap;
	int mode;

	va_start(ap, flags);
	mode = va_arg(ap, int);
	va_end(ap);
	return fails(FAULT_OPEN) ? -1 : __real_open(path, flags, mode);
}

FILE *__wrap_fopen(const char *path, const char *mode)
{
	return fails(FAULT_OPEN) ? NULL : __real_fopen(path, mode);
}

DIR *__wrap_opendir(const char *path)
{
	return fails(FAULT_OPEN) ? NULL : __real_opendir(path);
}

int __wrap_socket(int domain, int type, int protocol)
{
	return fails(FAULT_OPEN) ? -1 : __real_socket(domain, type, protocol);
}

int __wrap_eventfd(unsigned n, int flags)
{
	return fails(FAULT_OPEN) ? -1 : __real_eventfd(n, flags);
}

int __wrap_signalfd(int fd, const sigset_t *set, int flags)
{
	return fails(FAULT_OPEN) ? -1 : __real_signalfd(fd, set, flags);
}

int __wrap_epoll_create1(int flags)
{
	return fails(FAULT_OPEN) ? -1 : __real_epoll_create1(flags);
}

int __wrap_pthread_create(pthread_t *t, const pthread_attr_t *attr, void *(*fn)(void *), void *arg)
{
	return fails(FAULT_THREAD) ? EAGAIN : __real_pthread_create(t, attr, fn, arg);
}

/* ---- processes and places ----------------------------------------------------------------------------------- */

pid_t __real_fork(void);
int __real_pipe2(int ends[2], int flags);
char *__real_mkdtemp(char *path);
int __real_flock(int fd, int how);
int __real_rename(const char *from, const char *to);
int __real_chmod(const char *path, mode_t mode);
int __real_chown(const char *path, uid_t uid, gid_t gid);
int __real_bind(int fd, const struct sockaddr *a, socklen_t len);
int __real_listen(int fd, int backlog);
int __real_getaddrinfo(const char *node, const char *service, const struct addrinfo *hints, struct addrinfo **list);
pid_t __wrap_fork(void);
int __wrap_pipe2(int ends[2], int flags);
char *__wrap_mkdtemp(char *path);
int __wrap_flock(int fd, int how);
int __wrap_rename(const char *from, const char *to);
int __wrap_chmod(const char *path, mode_t mode);
int __wrap_chown(const char *path, uid_t uid, gid_t gid);
int __wrap_bind(int fd, const struct sockaddr *a, socklen_t len);
int __wrap_listen(int fd, int backlog);
int __wrap_getaddrinfo(const char *node, const char *service, const struct addrinfo *hints, struct addrinfo **list);

pid_t __wrap_fork(void)
{
	pid_t pid = fails(FAULT_SYSTEM) ? -1 : __real_fork();

	if (serving && pid > 0 && shared->made.pids < FAULTS_MADE_MAX)
		shared->made.pid[shared->made.pids++] = pid;
	return pid;
}

int __wrap_pipe2(int ends[2], int flags)
{
	return fails(FAULT_SYSTEM) ? -1 : __real_pipe2(ends, flags);
}

char *__wrap_mkdtemp(char *path)
{
	char *made = fails(FAULT_SYSTEM) ? NULL : __real_mkdtemp(path);

	if (serving && made && shared->made.dirs < FAULTS_MADE_MAX)
		snprintf(shared->made.dir[shared->made.dirs++], sizeof shared->made.dir[0], "%s", made);
	return made;
}

int __wrap_flock(int fd, int how)
{
	return fails(FAULT_SYSTEM) ? -1 : __real_flock(fd, how);
}

int __wrap_rename(const char *from, const char *to)
{
	return fails(FAULT_SYSTEM) ? -1 : __real_rename(from, to);
}

int __wrap_chmod(const char *path, mode_t mode)
{
	return fails(FAULT_SYSTEM) ? -1 : __real_chmod(path, mode);
}

int __wrap_chown(const char *path, uid_t uid, gid_t gid)
{
	return fails(FAULT_SYSTEM) ? -1 : __real_chown(path, uid, gid);
}

int __wrap_bind(int fd, const struct sockaddr *a, socklen_t len)
{
	return fails(FAULT_SYSTEM) ? -1 : __real_bind(fd, a, len);
}

int __wrap_listen(int fd, int backlog)
{
	return fails(FAULT_SYSTEM) ? -1 : __real_listen(fd, backlog);
}

int __wrap_getaddrinfo(const char *node, const char *service, const struct addrinfo *hints, struct addrinfo **list)
{
	return fails(FAULT_SYSTEM) ? EAI_MEMORY : __real_getaddrinfo(node, service, hints, list);
}

/* ---- what makes objects of the libraries -------------------------------------------------------------------- */

struct json_tokener *__real_json_tokener_new(void);
struct json_tokener *__real_json_tokener_new_ex(int depth);
struct json_object *__real_json_object_new_object(void);
int __real_json_object_object_add(struct json_object *o, const char *key, struct json_object *v);
FCGX_Stream *__real_FCGX_CreateWriter(int fd, int id, int len, int type);
struct json_tokener *__wrap_json_tokener_new(void);
struct json_tokener *__wrap_json_tokener_new_ex(int depth);
struct json_object *__wrap_json_object_new_object(void);
int __wrap_json_object_object_add(struct json_object *o, const char *key, struct json_object *v);
FCGX_Stream *__wrap_FCGX_CreateWriter(int fd, int id, int len, int type);

struct json_tokener *__wrap_json_tokener_new(void)
{
	return refuse() ? NULL : __real_json_tokener_new();
}

struct json_tokener *__wrap_json_tokener_new_ex(int depth)
{
	return refuse() ? NULL : __real_json_tokener_new_ex(depth);
}

struct json_object *__wrap_json_object_new_object(void)
{
	return refuse() ? NULL : __real_json_object_new_object();
}

int __wrap_json_object_object_add(struct json_object *o, const char *key, struct json_object *v)
{
	return refuse() ? -1 : __real_json_object_object_add(o, key, v);
}

FCGX_Stream *__wrap_FCGX_CreateWriter(int fd, int id, int len, int type)
{
	return refuse() ? NULL : __real_FCGX_CreateWriter(fd, id, len, type);
}
