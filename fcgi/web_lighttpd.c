/* SPDX-License-Identifier: Apache-2.0 */
/* lighttpd with mod_fastcgi: a configuration that needs nothing of /etc/lighttpd and writes nowhere but into its directory. */
#include "fcgi/web.h"

#include <errno.h>
#include <inttypes.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define CONNECTIONS_MAX 10000
#define FILES_RESERVED 64

/* A directory for bodies on their way to saker, which the server's user may write to. */
static sk_status body_dir_make(const struct sk_web_setup *s, struct sk_err *err)
{
	const struct passwd *pw = s->user ? getpwnam(s->user) : NULL;
	char path[256];

	snprintf(path, sizeof(path), "%s/body", s->dir);
	if (mkdir(path, 0700) < 0 || (pw && chown(path, pw->pw_uid, pw->pw_gid) < 0))
		return sk_fail(err, SK_EIO, "%s: %s", path, strerror(errno));
	return SK_OK;
}

/* Its own errors, one file a status; lighttpd wants .html and is told below that this is JSON. */
static sk_status answers_write(const struct sk_web_setup *s, struct sk_err *err)
{
	char path[256];

	for (const struct sk_web_answer *a = sk_web_answers; a->status; a++) {
		FILE *f;
		bool bad;

		snprintf(path, sizeof(path), "%s/error-%d.html", s->dir, a->status);
		f = fopen(path, "wxe");
		if (!f)
			return sk_fail(err, SK_EIO, "%s: %s", path, strerror(errno));
		fprintf(f, "{\"error\":\"%s\",\"error_type\":\"%s\"}", a->text, a->type);
		bad = fchmod(fileno(f), 0644) < 0;
		if (fclose(f) != 0 || bad)
			return sk_fail(err, SK_EIO, "%s: %s", path, strerror(errno));
	}
	return SK_OK;
}

static sk_status checks(const struct sk_web_setup *s, struct sk_err *err)
{
	sk_status st = sk_web_path_check(s->dir, "the run-time directory", err);

	if (st == SK_OK)
		st = sk_web_path_check(s->modules, "its modules", err);
	if (st < 0)
		return st;
	if (s->files_max < 2 * FILES_RESERVED)
		return sk_fail(err, SK_EINVAL, "the limit of open files is %d: lighttpd needs at least %d (ulimit -n)",
			       s->files_max, 2 * FILES_RESERVED);
	return SK_OK;
}

static sk_status lighttpd_conf_write(const struct sk_web_setup *s, struct sk_buf *conf, struct sk_err *err)
{
	int connections = (s->files_max - FILES_RESERVED) / 2;
	uint64_t kilobytes = s->payload_limit / 1024 + s->payload_limit / 4096 + 1024;
	sk_status st = checks(s, err);

	if (st == SK_OK)
		st = body_dir_make(s, err);
	if (st == SK_OK)
		st = answers_write(s, err);
	if (st < 0)
		return st;
	if (connections > CONNECTIONS_MAX)
		connections = CONNECTIONS_MAX;
	/* mod_fastcgi is a file in some builds and compiled in in others (Debian 12): both take this line. */
	sk_buf_addf(conf, "# Written by saker up, removed when it ends.\nserver.modules = ( \"mod_fastcgi\" )\n"
		    "server.compat-module-load = \"disable\"\nserver.document-root = \"%s/none\"\n"
		    "server.pid-file = \"%s/web.pid\"\nserver.upload-dirs = ( \"%s/body\" )\n"
		    "server.errorfile-prefix = \"%s/error-\"\nmimetype.assign = ( \".html\" => \"application/json\" )\n",
		    s->dir, s->dir, s->dir, s->dir);
	if (s->user)
		sk_buf_addf(conf, "server.username = \"%s\"\nserver.groupname = \"%s\"\n", s->user, s->group);
	sk_buf_addf(conf, strchr(s->address, ':') ? "server.bind = \"[%s]\"\n" : "server.bind = \"%s\"\n", s->address);
	sk_buf_addf(conf, "server.port = %d\nserver.listen-backlog = %d\nserver.tag = \"lighttpd\"\n"
		    "server.max-fds = %d\nserver.max-connections = %d\n", s->port, s->backlog,
		    2 * connections + FILES_RESERVED, connections);
	/* Larger than saker's own limit, so that saker answers 413; still a ceiling for what is spooled to disk. 0: none. */
	sk_buf_addf(conf, "server.max-request-size = %" PRIu64 "\n", kilobytes > UINT32_MAX ? 0 : kilobytes);
	sk_buf_addf(conf, "server.max-keep-alive-requests = 1000000\nserver.max-keep-alive-idle = 60\n"
		    "server.max-write-idle = 3600\n"
		    /* Told to end, it would cut what runs after 8 s; how long a drain takes is for drain-timeout-ms to say. */
		    "server.feature-flags = ( \"server.graceful-shutdown-timeout\" => 86400 )\n"
		    "server.stream-response-body = 2\n"     /* tokens at once, not at the end */
		    "fastcgi.server = ( \"/\" => (( \"socket\" => \"%s\", \"check-local\" => \"disable\",\n"
		    "\"disable-time\" => 0, \"max-procs\" => 1 )))\n", s->socket_path);
	if (conf->failed)
		return sk_fail(err, conf->failed, "the configuration of lighttpd: %s", sk_status_words(conf->failed));
	return SK_OK;
}

static void lighttpd_args_write(const struct sk_web_setup *s, const char *ret_args[SK_WEB_ARGS_MAX + 1])
{
	const char *const plain[] = { s->bin, "-D", "-f", s->conf_path, NULL };
	const char *const with[] = { s->bin, "-D", "-f", s->conf_path, "-m", s->modules, NULL };

	if (*s->modules)
		memcpy(ret_args, with, sizeof(with));
	else
		memcpy(ret_args, plain, sizeof(plain));
}

const struct sk_web sk_web_lighttpd = {
	.name = "lighttpd",
	.bins = { "lighttpd" },
	.packages = "Debian: apt install lighttpd",
	.version_arg = "-V",
	.version_words = "lighttpd/",
	.quit_signal = SIGINT,
	.drops_root = true,
	.conf_write = lighttpd_conf_write,
	.args_write = lighttpd_args_write,
};
