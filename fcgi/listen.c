/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Listening sockets. Only SO_ACCEPTCONN tells an inherited listening socket from a pipe or a terminal; libfcgi's
 * FCGX_IsCGI looks at fd 0 alone and is wrong under systemd.
 */
#include "fcgi/listen.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <netdb.h>
#include <poll.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "engine/base/clock.h"
#include "engine/base/log.h"
#include "fcgi/web.h"

#define BACKLOG 4096                    /* a web server's connect is refused, not queued, when it is full */
#define LISTEN_FDS_START 3              /* sd_listen_fds(3) */
#define LOCK_SUFFIX ".lock"
#define LOCK_START_MS 10000             /* a start waits for others that start; each has the lock for a few calls */
#define LOCK_END_MS 200                 /* an end that finds it taken does without */
#define LOCK_TICK_MS 2

static bool is_listening(int fd)
{
	int on = 0;
	socklen_t len = sizeof on;

	return getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &on, &len) == 0 && on;
}

static sk_status inherit(struct sk_listen *l, struct sk_err *err)
{
	const char *pid = getenv("LISTEN_PID"), *fds = getenv("LISTEN_FDS");

	if (pid && fds && strtol(pid, NULL, 10) == (long)getpid()) {
		long n = strtol(fds, NULL, 10);

		if (n != 1)
			return sk_fail(err, SK_EINVAL, "LISTEN_FDS is %ld, one socket is expected", n);
		if (!is_listening(LISTEN_FDS_START))
			return sk_fail(err, SK_EINVAL, "LISTEN_FDS: descriptor %d is no listening socket", LISTEN_FDS_START);
		l->fd = LISTEN_FDS_START;
	} else if (is_listening(STDIN_FILENO)) {
		/* Moved away from 0, so that nothing that reads standard input can touch it. */
		l->fd = fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3);
		if (l->fd < 0)
			return sk_fail(err, SK_EIO, "cannot duplicate fd 0: %s", strerror(errno));
	} else {
		return sk_fail(err, SK_ENOENT, "no socket: give --listen unix:PATH, or start me with a listening "
			       "socket as fd 0 (spawn-fcgi) or through LISTEN_FDS (systemd)");
	}
	fcntl(l->fd, F_SETFD, FD_CLOEXEC);
	return SK_OK;
}

/* (gid_t)-1: as it comes. */
static sk_status group_find(const char *name, gid_t *ret_gid, struct sk_err *err)
{
	const struct passwd *pw;
	const struct group *gr;

	*ret_gid = (gid_t)-1;
	if (!strcmp(name, "none") || (!strcmp(name, "auto") && geteuid() != 0))
		return SK_OK;
	if (!strcmp(name, "auto")) {
		pw = sk_web_user();
		if (pw)
			*ret_gid = pw->pw_gid;
		return SK_OK;
	}
	gr = getgrnam(name);
	if (!gr)
		return sk_fail(err, SK_EINVAL, "socket-group: there is no group \"%s\"", name);
	*ret_gid = gr->gr_gid;
	return SK_OK;
}

/*
 * PATH.lock: held while PATH is looked at, removed and made, so that of two who find a stale file only one replaces it, and
 * nobody's end takes away what another has made since. It is no proof that somebody runs, and stops nobody when it was left
 * behind: only its flock counts. Who has it removes it, so whoever waited looks whether the name is still that file's.
 */
static int lock_take(const char *path, int wait_ms, struct sk_err *err)
{
	char name[sizeof(((struct sk_listen *)0)->unix_path) + sizeof LOCK_SUFFIX];
	int64_t until_us = sk_now_us() + (int64_t)wait_ms * 1000;
	struct stat ours, there;
	int fd, why;

	snprintf(name, sizeof name, "%s" LOCK_SUFFIX, path);
	for (;;) {
		fd = open(name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600);
		if (fd < 0) {
			sk_fail(err, SK_EIO, "cannot listen on %s: its lock %s: %s", path, name, strerror(errno));
			return -1;
		}
		why = flock(fd, LOCK_EX | LOCK_NB) < 0 ? errno : 0;
		if (!why && fstat(fd, &ours) == 0 && !S_ISREG(ours.st_mode)) {
			sk_fail(err, SK_EINVAL, "cannot listen on %s: its lock %s is no regular file", path, name);
			break;
		}
		if (!why && lstat(name, &there) == 0 && there.st_dev == ours.st_dev && there.st_ino == ours.st_ino)
			return fd;
		if (why && why != EWOULDBLOCK && why != EINTR) {
			sk_fail(err, SK_EIO, "cannot listen on %s: its lock %s: %s", path, name, strerror(why));
			break;
		}
		if (sk_now_us() > until_us) {
			sk_fail(err, SK_EIO, "cannot listen on %s: another process has had its lock %s for %d ms", path, name, wait_ms);
			break;
		}
		close(fd);
		if (why)
			poll(NULL, 0, LOCK_TICK_MS);
	}
	close(fd);
	return -1;
}

static void lock_give(const char *path, int fd)
{
	char name[sizeof(((struct sk_listen *)0)->unix_path) + sizeof LOCK_SUFFIX];
	struct stat sb;

	/* One with bytes in it is not of our making. */
	snprintf(name, sizeof name, "%s" LOCK_SUFFIX, path);
	if (fstat(fd, &sb) == 0 && sb.st_size == 0)
		unlink(name);
	close(fd);
}

/* Make way for a new file at the path, if what is there is a socket that nobody listens on. */
static sk_status replace_stale(const struct sockaddr_un *a, struct sk_err *err)
{
	struct ucred who = { 0 };
	socklen_t len = sizeof who;
	struct stat sb;
	int probe, rc;

	if (lstat(a->sun_path, &sb) < 0)
		return SK_OK;
	if (!S_ISSOCK(sb.st_mode))
		return sk_fail(err, SK_EINVAL, "%s is there and is no socket", a->sun_path);
	/* It must not wait: with a full backlog connect() would, and EAGAIN says that somebody listens. */
	probe = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (probe < 0)
		return sk_fail(err, SK_EIO, "socket: %s", strerror(errno));
	rc = connect(probe, (const struct sockaddr *)a, sizeof *a) < 0 ? errno : 0;
	if (rc == 0 && getsockopt(probe, SOL_SOCKET, SO_PEERCRED, &who, &len) < 0)
		who.pid = 0;
	close(probe);
	if (rc == 0 && who.pid > 0)
		return sk_fail(err, SK_EINVAL, "%s: another process answers on this socket: %d, of user id %ld", a->sun_path,
			       (int)who.pid, (long)who.uid);
	if (rc == 0 || rc == EAGAIN)
		return sk_fail(err, SK_EINVAL, "%s: another process answers on this socket", a->sun_path);
	/* Only a refusal proves that nobody listens. EACCES, EPROTOTYPE (a datagram socket): it is somebody's. */
	if (rc != ECONNREFUSED && rc != ENOENT)
		return sk_fail(err, SK_EINVAL, "%s is there, and is not known to be ours: %s", a->sun_path, strerror(rc));
	unlink(a->sun_path);
	return SK_OK;
}

/* Under the lock. */
static sk_status bind_unix(const struct sockaddr_un *a, mode_t bits, const char *group, gid_t gid, struct sk_listen *l,
			   struct sk_err *err)
{
	const char *path = a->sun_path;
	struct stat sb;
	sk_status st = replace_stale(a, err);
	mode_t old;
	int rc;

	if (st < 0)
		return st;
	l->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (l->fd < 0)
		return sk_fail(err, SK_EIO, "socket: %s", strerror(errno));
	old = umask(0777 & ~bits);
	rc = bind(l->fd, (const struct sockaddr *)a, sizeof *a);
	umask(old);
	if (rc == 0 && gid != (gid_t)-1 && chown(path, (uid_t)-1, gid) < 0) {
		sk_fail(err, SK_EIO, "socket-group: cannot give %s to group %s: %s", path, group, strerror(errno));
		unlink(path);
		close(l->fd);
		return SK_EIO;
	}
	if (rc < 0 || lstat(path, &sb) < 0 || listen(l->fd, BACKLOG) < 0) {
		sk_fail(err, SK_EIO, "cannot listen on %s: %s", path, strerror(errno));
		close(l->fd);
		return SK_EIO;
	}
	memcpy(l->unix_path, path, strlen(path) + 1);
	l->unix_dev = sb.st_dev;
	l->unix_ino = sb.st_ino;
	return SK_OK;
}

static sk_status open_unix(const char *path, const char *mode, const char *group, struct sk_listen *l,
			   struct sk_err *err)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	char *end;
	long bits = strtol(mode, &end, 8);
	size_t len = strlen(path);
	sk_status st;
	gid_t gid;
	int lock;

	if (*end || end == mode || bits < 0 || bits > 0777)
		return sk_fail(err, SK_EINVAL, "socket-mode '%s' is no octal number from 0 to 0777", mode);
	if (!len || len >= sizeof a.sun_path)
		return sk_fail(err, SK_EINVAL, "unix socket path of %zu bytes, the limit is %zu", len, sizeof a.sun_path - 1);
	memcpy(a.sun_path, path, len + 1);
	if (group_find(group, &gid, err) < 0)
		return SK_EINVAL;
	lock = lock_take(path, LOCK_START_MS, err);
	if (lock < 0)
		return SK_EIO;
	st = bind_unix(&a, (mode_t)bits, group, gid, l, err);
	lock_give(path, lock);
	return st;
}

static sk_status open_tcp(const char *address, struct sk_listen *l, struct sk_err *err)
{
	const char *colon = strrchr(address, ':');
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE | AI_NUMERICSERV }, *ai = NULL;
	char host[256];
	size_t len;
	int rc, on = 1;

	if (!colon || !colon[1] || (size_t)(colon - address) >= sizeof host)
		return sk_fail(err, SK_EINVAL, "listen '%s' is neither unix:PATH nor HOST:PORT", address);
	len = (size_t)(colon - address);
	if (len >= 2 && address[0] == '[' && address[len - 1] == ']') {
		address++;
		len -= 2;
	}
	memcpy(host, address, len);
	host[len] = 0;
	rc = getaddrinfo(len ? host : "127.0.0.1", colon + 1, &hints, &ai);
	if (rc)
		return sk_fail(err, SK_EINVAL, "listen address '%s' port '%s': %s", host, colon + 1, gai_strerror(rc));
	l->fd = socket(ai->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (l->fd >= 0)
		setsockopt(l->fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
	if (l->fd < 0 || bind(l->fd, ai->ai_addr, ai->ai_addrlen) < 0 || listen(l->fd, BACKLOG) < 0) {
		sk_fail(err, SK_EIO, "cannot listen on %s:%s: %s", host, colon + 1, strerror(errno));
		if (l->fd >= 0)
			close(l->fd);
		freeaddrinfo(ai);
		return SK_EIO;
	}
	freeaddrinfo(ai);
	sk_log(SK_LOG_WARN, "listening on TCP %s:%s: FastCGI has no passwords, whoever reaches this port may use the model",
	       host, colon + 1);
	return SK_OK;
}

sk_status sk_listen_open(const char *address, const char *mode, const char *group, struct sk_listen *ret_l,
			 struct sk_err *err)
{
	struct sk_listen l = { .fd = -1 };
	sk_status st;

	if (!address[0]) {
		st = inherit(&l, err);
	} else {
		l.own = true;
		st = strncmp(address, "unix:", 5) ? open_tcp(address, &l, err) : open_unix(address + 5, mode, group, &l, err);
	}
	if (st < 0)
		return st;
	fcntl(l.fd, F_SETFL, fcntl(l.fd, F_GETFL) | O_NONBLOCK);
	*ret_l = l;
	return SK_OK;
}

void sk_listen_unlink(struct sk_listen *l)
{
	struct sk_err err = { 0 };
	struct stat sb;
	int lock;

	if (!l->unix_path[0])
		return;
	lock = lock_take(l->unix_path, LOCK_END_MS, &err);
	/* While our descriptor is open no other file can have this number. */
	if (lstat(l->unix_path, &sb) == 0 && sb.st_dev == l->unix_dev && sb.st_ino == l->unix_ino)
		unlink(l->unix_path);
	if (lock >= 0)
		lock_give(l->unix_path, lock);
	l->unix_path[0] = 0;
}

bool sk_listen_peer_ok(int fd, const char *allow, long *ret_uid)
{
	struct ucred cred;
	socklen_t len = sizeof cred;
	int domain = AF_UNIX;
	const char *s = allow;

	*ret_uid = -1;
	if (!allow[0])
		return true;
	/*
	 * Only the domain says that there is no peer to ask. The pid does not: it is 0 for a peer outside our PID namespace
	 * (saker in a container, nginx on the host), whose uid is known all the same.
	 */
	if (getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &(socklen_t){ sizeof domain }) == 0 && domain != AF_UNIX)
		return true;
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) < 0)
		return false;
	*ret_uid = (long)cred.uid;
	if (cred.uid == 0 || cred.uid == geteuid())
		return true;
	while (*s) {
		char *end;
		long uid = strtol(s, &end, 10);

		if (end != s && uid == (long)cred.uid)
			return true;
		s = end == s ? s + 1 : end;
	}
	return false;
}
