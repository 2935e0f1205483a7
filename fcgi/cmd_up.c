/* SPDX-License-Identifier: Apache-2.0 */
/*
 * saker up: the daemon and a web server before it, in one command, without a line of anybody's configuration.
 *
 *	private directory:  lock  web.conf  web.pid  saker.sock  the web server's temporary directories
 *	this process:       the engine and the FastCGI loop on saker.sock
 *	its child:          the web server, on address:port
 *
 * The end: the last generation, then the web server (it still carries our answers to the clients, and those who ask meanwhile
 * hear our 503; then its port is closed, and they are refused), then the socket, the engine, and the directory. After a
 * SIGKILL the directory stays; the next saker up of the same user removes it, as nobody holds its lock.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <grp.h>
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "engine/base/clock.h"
#include "engine/base/log.h"
#include "fcgi/commands.h"
#include "fcgi/listen.h"
#include "fcgi/serve.h"
#include "fcgi/web.h"

#define BACKLOG_MAX 4096
#define WEB_START_MS 10000              /* to its first accepted connection */
#define WEB_QUIT_MS 5000                /* by then all answers were given; idle clients may hold on a little */
#define DIR_PREFIX "saker-up-"          /* and the six characters of mkdtemp() */
#define UNLOCKED_S 60                   /* a directory is locked long before this age */
#define CONF_BYTES_MAX ((size_t)65536)

struct up {
	struct sk_options o;
	struct sk_flags f;
	const struct sk_web *web;
	struct sk_listen listen;
	struct sk_serve *serve;
	struct sk_web_setup setup;
	struct sk_buf build;
	char bin[512], dir[80], conf_path[96], socket_path[100];
	char user[64], group[64];
	char host[64];                  /* address as in a URL */
	pid_t child;                    /* 0: not running */
	int lock;                       /* of the file `lock` in dir; -1: none */
	pid_t started;                  /* the same, kept when it ends: its process group may outlive it */
};

/* ---- the private directory ---------------------------------------------------------------------------------- */

static int remove_one(const char *path, const struct stat *sb, int type, struct FTW *at)
{
	remove(path);
	return 0;
}

static void dir_remove(const char *dir)
{
	if (*dir)
		nftw(dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

/* Holds it for as long as this process lives. It gets its name when it is held already, so that no sweep finds it free. */
static sk_status lock_take(struct up *u, struct sk_err *err)
{
	char path[96], early[96];

	snprintf(path, sizeof(path), "%s/lock", u->dir);
	snprintf(early, sizeof(early), "%s/lock.new", u->dir);
	u->lock = open(early, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (u->lock < 0 || flock(u->lock, LOCK_EX | LOCK_NB) < 0 || rename(early, path) < 0)
		return sk_fail(err, SK_EIO, "%s: %s", path, strerror(errno));
	return SK_OK;
}

/* Is this a directory of a saker up that was killed? One without a lock may just be in the making. */
static bool is_stale(const char *dir)
{
	struct stat sb;
	char path[512];
	int lock;
	bool stale;

	if (lstat(dir, &sb) < 0 || !S_ISDIR(sb.st_mode) || sb.st_uid != geteuid())
		return false;
	snprintf(path, sizeof(path), "%s/lock", dir);
	lock = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (lock < 0)
		return errno == ENOENT && sb.st_mtime < time(NULL) - UNLOCKED_S;
	stale = flock(lock, LOCK_EX | LOCK_NB) == 0;
	close(lock);
	return stale;
}

static void stale_sweep(const char *place)
{
	DIR *d = opendir(place);
	const struct dirent *e;
	char path[384];

	while (d && (e = readdir(d))) {
		if (strncmp(e->d_name, DIR_PREFIX, sizeof(DIR_PREFIX) - 1) || strlen(e->d_name) != sizeof(DIR_PREFIX) - 1 + 6)
			continue;
		if (snprintf(path, sizeof(path), "%s/%s", place, e->d_name) >= (int)sizeof(path) || !is_stale(path))
			continue;
		sk_log(SK_LOG_INFO, "%s was left by a saker up that was killed: removed", path);
		dir_remove(path);
	}
	if (d)
		closedir(d);
}

/*
 * A user's own run-time directory, else /run (root), else /tmp. Not root's XDG_RUNTIME_DIR: nobody else may enter it, and
 * the web server's workers are somebody else.
 */
static sk_status dir_make(struct up *u, struct sk_err *err)
{
	const char *xdg = getenv("XDG_RUNTIME_DIR");
	const char *const places[] = { geteuid() ? xdg : "/run", "/tmp" };
	int why = ENOENT;

	for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
		if (!places[i] || !*places[i] ||
		    snprintf(u->dir, sizeof(u->dir), "%s/" DIR_PREFIX "XXXXXX", places[i]) >= (int)sizeof(u->dir))
			continue;
		stale_sweep(places[i]);
		if (mkdtemp(u->dir)) {
			snprintf(u->conf_path, sizeof(u->conf_path), "%s/web.conf", u->dir);
			snprintf(u->socket_path, sizeof(u->socket_path), "%s/saker.sock", u->dir);
			/* Workers of another user pass through, and see no names. */
			if (u->setup.user && chmod(u->dir, 0711) < 0)
				return sk_fail(err, SK_EIO, "%s: %s", u->dir, strerror(errno));
			return lock_take(u, err);
		}
		why = errno;
	}
	u->dir[0] = '\0';
	return sk_fail(err, SK_EIO, "cannot make a directory in $XDG_RUNTIME_DIR, /run or /tmp: %s", strerror(why));
}

/* Whom the web server's workers run as when root starts it. */
static sk_status user_find(struct up *u, struct sk_err *err)
{
	const struct passwd *pw;
	const struct group *gr;

	if (geteuid() != 0)
		return SK_OK;
	pw = sk_web_user();
	if (!pw)
		pw = getpwnam("nobody");
	gr = pw ? getgrgid(pw->pw_gid) : NULL;
	if (gr) {
		snprintf(u->user, sizeof(u->user), "%s", pw->pw_name);
		snprintf(u->group, sizeof(u->group), "%s", gr->gr_name);
		u->setup.user = u->user;
		u->setup.group = u->group;
		return SK_OK;
	}
	return sk_fail(err, SK_ENOENT, "there is no user www-data, nginx, apache, lighttpd, http or nobody, or it has no group, for the web server's workers");
}

static sk_status socket_open(struct up *u, struct sk_err *err)
{
	char address[128];
	const struct group *gr = u->setup.group ? getgrnam(u->setup.group) : NULL;
	sk_status st;

	snprintf(address, sizeof(address), "unix:%s", u->socket_path);
	st = sk_listen_open(address, "0660", "none", &u->listen, err);
	if (st < 0)
		return st;
	if (gr && chown(u->socket_path, (uid_t)-1, gr->gr_gid) < 0)
		return sk_fail(err, SK_EIO, "%s: %s", u->socket_path, strerror(errno));
	return SK_OK;
}

/* ---- the web server's port ---------------------------------------------------------------------------------- */

static sk_status address_find(const struct up *u, struct sockaddr_storage *ret_sa, socklen_t *ret_len, struct sk_err *err)
{
	struct addrinfo hints = { .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV, .ai_socktype = SOCK_STREAM }, *list;
	char port[16];
	int why;

	snprintf(port, sizeof(port), "%d", u->setup.port);
	why = getaddrinfo(u->f.up_address, port, &hints, &list);
	if (why != 0 && why != EAI_NONAME && why != EAI_FAMILY && why != EAI_ADDRFAMILY)
		return sk_fail(err, SK_EIO, "--address: \"%s\": %s", u->f.up_address, gai_strerror(why));
	if (why != 0)
		return sk_fail(err, SK_EINVAL, "--address: \"%s\" is no IPv4 or IPv6 address", u->f.up_address);
	memcpy(ret_sa, list->ai_addr, list->ai_addrlen);
	*ret_len = list->ai_addrlen;
	freeaddrinfo(list);
	return SK_OK;
}

/*
 * Is the port free? The web server would say so too, but after five tries and in its own words. Port 0: the kernel
 * chooses one, which the web server then takes (between the two somebody else may; then it says so).
 */
static sk_status port_check(struct up *u, struct sk_err *err)
{
	struct sockaddr_storage sa = { 0 };
	socklen_t len = 0;
	sk_status st = address_find(u, &sa, &len, err);
	int fd, why = 0;

	if (st < 0)
		return st;
	fd = socket(sa.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return sk_fail(err, SK_EIO, "socket: %s", strerror(errno));
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &(int){ 1 }, sizeof(int));
	if (bind(fd, (struct sockaddr *)&sa, len) < 0 || listen(fd, 1) < 0)
		why = errno;
	else if (u->setup.port == 0 && getsockname(fd, (struct sockaddr *)&sa, &len) == 0)
		u->setup.port = ntohs(sa.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)&sa)->sin6_port
							       : ((struct sockaddr_in *)&sa)->sin_port);
	close(fd);
	if (why == EADDRINUSE)
		return sk_fail(err, SK_EIO, "port %d of %s is taken by another program: stop it, or choose another with --port",
			       u->setup.port, u->f.up_address);
	if (why == EACCES)
		return sk_fail(err, SK_EIO, "port %d needs root: choose one from 1024 up with --port", u->setup.port);
	if (why)
		return sk_fail(err, SK_EIO, "cannot listen on %s port %d: %s", u->f.up_address, u->setup.port, strerror(why));
	return SK_OK;
}

/* Wait until the web server takes a connection, or is gone. */
static sk_status web_wait(struct up *u, struct sk_err *err)
{
	int64_t until_us = sk_now_us() + (int64_t)WEB_START_MS * 1000;
	struct sockaddr_storage sa = { 0 };
	socklen_t len = 0;
	sk_status st = address_find(u, &sa, &len, err);
	char words[64];
	int status;

	if (st < 0)
		return st;
	while (sk_now_us() < until_us) {
		int fd = socket(sa.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0), rc;

		rc = fd < 0 ? -1 : connect(fd, (struct sockaddr *)&sa, len);
		if (fd >= 0)
			close(fd);
		if (waitpid(u->child, &status, WNOHANG) == u->child) {
			u->child = 0;
			sk_web_status_words(status, words, sizeof(words));
			return sk_fail(err, SK_EENGINE, "%s did not start: it %s; its own words are above", u->web->name, words);
		}
		if (rc == 0)
			return SK_OK;
		poll(NULL, 0, 10);
	}
	return sk_fail(err, SK_EENGINE, "%s took no connection on port %d for %d s", u->web->name, u->setup.port,
		       WEB_START_MS / 1000);
}

/* ---- the web server ----------------------------------------------------------------------------------------- */

/* All the files this process may have, for us and for the child that inherits the limit. */
static int files_raise(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return 1024;
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
	getrlimit(RLIMIT_NOFILE, &limit);
	return limit.rlim_cur > 1 << 20 ? 1 << 20 : (int)limit.rlim_cur;
}

static int backlog_max(void)
{
	FILE *f = fopen("/proc/sys/net/core/somaxconn", "re");
	int max = 128;

	if (f) {
		if (fscanf(f, "%d", &max) != 1)
			max = 128;
		fclose(f);
	}
	return max < BACKLOG_MAX ? max : BACKLOG_MAX;
}

static sk_status conf_write(struct up *u, struct sk_err *err)
{
	struct sk_buf conf = SK_BUF(CONF_BYTES_MAX);
	sk_status st = u->web->conf_write(&u->setup, &conf, err);
	int fd;

	if (st < 0)
		goto out;
	errno = ENOSPC;                         /* of a write that was cut short */
	fd = open(u->conf_path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0 || write(fd, conf.data, conf.len) != (ssize_t)conf.len)
		st = sk_fail(err, SK_EIO, "%s: %s", u->conf_path, strerror(errno));
	if (fd >= 0)
		close(fd);
out:
	sk_buf_fini(&conf);
	return st;
}

static sk_status web_start(struct up *u, struct sk_err *err)
{
	sk_status st;

	u->setup.bin = u->bin;
	u->setup.dir = u->dir;
	u->setup.conf_path = u->conf_path;
	u->setup.socket_path = u->socket_path;
	u->setup.address = u->f.up_address;
	u->setup.payload_limit = u->o.payload_limit;
	u->setup.backlog = backlog_max();
	u->setup.build = sk_buf_str(&u->build);
	u->setup.modules = u->f.up_web_modules;
	st = conf_write(u, err);
	if (st < 0)
		return st;
	st = sk_web_start(u->web, &u->setup, &u->child, err);
	if (st < 0)
		return st;
	u->started = u->child;
	return web_wait(u, err);
}

/* ---- the command -------------------------------------------------------------------------------------------- */

static void ready(void *arg)
{
	const struct up *u = arg;

	sk_log(SK_LOG_INFO, "ready: http://%s:%d", u->host, u->setup.port);
}

/* After its last answers; we go on answering until it is gone. */
static void quit(void *arg)
{
	const struct up *u = arg;

	kill(u->serve->child, u->web->quit_signal);
}

/* Before nobody answers on the socket: a web server that is there longer would say 502. */
static void leave(void *arg)
{
	struct up *u = arg;

	if (u->serve->child > 0)
		sk_web_stop(u->web, u->serve->child, 0);
	u->serve->child = 0;
}

/* At once: the web server still holds answers that nobody will finish, so it is not given time for them. */
static void end(void *arg)
{
	struct up *u = arg;

	if (u->serve->child > 0)
		sk_web_stop(u->web, u->serve->child, 0);
	else
		sk_web_sweep(u->started);
	dir_remove(u->dir);
}

static sk_status check(struct up *u, struct sk_err *err)
{
	struct sk_engine_opts e;
	struct sk_info info;
	sk_status st;

	if (!*u->o.model)
		return sk_fail(err, SK_EINVAL, "--model: name a GGUF file, or a directory that holds one or a Hugging Face model");
	if (*u->o.listen)
		return sk_fail(err, SK_EINVAL, "--listen: saker up makes its own socket; --address and --port are the web server's");
	st = sk_web_find(u->f.up_web, &u->web, err);
	if (st < 0)
		return st;
	st = sk_web_locate(u->web, u->f.up_web_bin, u->bin, sizeof(u->bin), err);
	if (st < 0)
		return st;
	/* A model that cannot be served is refused before a web server promises it. */
	sk_options_engine(&u->o, &e);
	st = sk_engine_plan(&e, &info, err);
	if (st < 0)
		return st;
	snprintf(u->host, sizeof(u->host), strchr(u->f.up_address, ':') ? "[%s]" : "%s", u->f.up_address);
	u->setup.port = (int)u->f.up_port;
	u->setup.files_max = files_raise();
	st = port_check(u, err);
	if (st < 0)
		return st;
	st = user_find(u, err);
	if (st < 0)
		return st;
	return sk_web_build_read(u->web, u->bin, &u->build, err);
}

static sk_status run(struct up *u, struct sk_err *err)
{
	struct sk_serve serve = { .own_socket = true, .child_name = u->web->name, .ready = ready, .quit = quit,
				  .quit_ms = WEB_QUIT_MS, .leave = leave, .end = end, .arg = u };
	sk_status st = dir_make(u, err);

	if (st < 0)
		return st;
	st = socket_open(u, err);
	if (st < 0)
		return st;
	st = web_start(u, err);
	if (st < 0)
		return st;
	sk_log(SK_LOG_INFO, "%s (%s, process %d) listens on http://%s:%d, directory %s", u->web->name, u->bin, (int)u->child,
	       u->host, u->setup.port, u->dir);
	serve.listen_fd = u->listen.fd;
	u->listen.fd = -1;                      /* sk_serve closes it */
	serve.child = u->child;
	u->serve = &serve;
	st = sk_serve(&u->o, &serve, err);
	u->child = serve.child;
	return st;
}

int sk_cmd_up(int argc, char **argv)
{
	struct up u = { .listen = { .fd = -1 }, .lock = -1 };
	struct sk_err err = { 0 };
	sigset_t ends;
	sk_status st;

	/* Whoever reads our log may leave (`saker up 2>&1 | head -1`); that is no reason to end without cleaning up. */
	signal(SIGPIPE, SIG_IGN);
	st = sk_command_read("up", &u.o, &u.f, &argc, argv, &err);
	if (st == SK_OK && argc > 1)
		st = sk_fail(&err, SK_EINVAL, "unexpected word \"%s\"", argv[1]);
	if (st == SK_OK)
		st = check(&u, &err);
	if (st < 0)
		goto out;
	/* From here on there is something to clean up: a signal waits until sk_serve takes it. */
	signal(SIGXFSZ, SIG_IGN);               /* a file too large (ulimit -f) is an error of write() */
	sk_serve_signals(&ends);
	sigprocmask(SIG_BLOCK, &ends, NULL);
	st = run(&u, &err);
	if (u.listen.fd >= 0)
		close(u.listen.fd);
	if (u.child > 0)
		sk_web_stop(u.web, u.child, WEB_QUIT_MS);
	else if (u.started > 0)
		sk_web_sweep(u.started);
	dir_remove(u.dir);
	if (u.lock >= 0)
		close(u.lock);
out:
	sk_buf_fini(&u.build);
	return sk_exit("up", st, &err);
}
