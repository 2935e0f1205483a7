/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A web server run as a child, with a configuration of its own in a private directory: what `saker up` needs.
 *
 * One file a web server (fcgi/web_nginx.c, web_apache.c, web_lighttpd.c) and one line in webs.def.
 */
#ifndef SK_FCGI_WEB_H
#define SK_FCGI_WEB_H

#include <pwd.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "engine/base/buf.h"
#include "engine/base/err.h"

#define SK_WEB_ARGS_MAX 15

/* What the configuration is written from. Strings are lent. */
struct sk_web_setup {
	const char *bin;                /* the program */
	const char *build;              /* what it says about itself (version_arg) */
	const char *modules;            /* where its modules are (--web-modules); "": find them */
	const char *dir;                /* the private directory: every path the server writes to lies in it */
	const char *conf_path;          /* dir/web.conf */
	const char *socket_path;        /* where saker listens for FastCGI */
	const char *user, *group;       /* whom the server's workers run as; NULL unless root */
	const char *address;            /* IPv4, or IPv6 without brackets */
	int port;
	uint64_t payload_limit;         /* saker's; the server's own is larger, so that saker answers 413 */
	int files_max;                  /* open files of one process */
	int backlog;
};

struct sk_web {
	const char *name;
	const char *bins[3];            /* program names to look for, NULL ends */
	const char *packages;           /* what to install, in words */
	const char *version_arg;        /* makes it tell version and build */
	const char *version_words;      /* in what it tells: it is this web server, whatever its exit code */
	int quit_signal;                /* end after the running answers */
	bool drops_root;                /* its first process becomes `user`, and so loses PR_SET_PDEATHSIG */
	sk_status (*conf_write)(const struct sk_web_setup *s, struct sk_buf *conf, struct sk_err *err);
	void (*args_write)(const struct sk_web_setup *s, const char *ret_args[SK_WEB_ARGS_MAX + 1]);
};

/*
 * What saker cannot answer itself, in the shape of its own errors; every server is given these. The same rows stand in the
 * examples of etc/. The last row has status 0.
 */
struct sk_web_answer { int status; const char *text, *type; };
extern const struct sk_web_answer sk_web_answers[];

/* SK_EINVAL where a path holds what a configuration file would read as something else. */
sk_status sk_web_path_check(const char *path, const char *what, struct sk_err *err);

/* SK_ENOTSUP: known, but not built yet; SK_EINVAL: unknown. Both name what there is. */
sk_status sk_web_find(const char *name, const struct sk_web **ret_web, struct sk_err *err);

/* Where the program is: `asked` if not "", else the first on PATH, /usr/sbin, /usr/local/sbin. SK_ENOENT names the packages. */
sk_status sk_web_locate(const struct sk_web *w, const char *asked, char *ret_path, size_t size, struct sk_err *err);

/* Run `bin version_arg` and keep what it prints (both streams, the first 16 KiB). SK_EIO when it cannot be run. */
sk_status sk_web_build_read(const struct sk_web *w, const char *bin, struct sk_buf *ret_build, struct sk_err *err);

/*
 * Start it in the foreground as our child, in a process group of its own (^C on the terminal is ours to handle), with
 * default signals; it is ended when the calling thread (or, where it drops root, the process) ends.
 */
sk_status sk_web_start(const struct sk_web *w, const struct sk_web_setup *s, pid_t *ret_pid, struct sk_err *err);

/* Ask it to quit, then insist: quit_signal, after wait_ms SIGTERM, after 2 s more SIGKILL. Reaps it. */
void sk_web_stop(const struct sk_web *w, pid_t pid, int wait_ms);

/* The user that a web server's workers run as when root starts it, by the names distributions give it; NULL: there is none. */
const struct passwd *sk_web_user(void);

/* What a web server that ended by itself, killed perhaps, left behind: its workers hold the port. Ends them at once. */
void sk_web_sweep(pid_t pid);

/* "exited with code 1", "was ended by signal 9": for messages. */
void sk_web_status_words(int wait_status, char *ret_words, size_t size);

#endif
