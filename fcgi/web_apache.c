/* SPDX-License-Identifier: Apache-2.0 */
/* Apache httpd with mod_proxy_fcgi: a configuration that needs nothing of /etc/apache2 but the modules' directory. */
#include "fcgi/web.h"

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/*
 * A proxied stream holds one thread for as long as it lasts: the most streams at once. Threads are made when they are
 * needed, a process of THREADS at a time (one fork stalls for up to a second), and kept.
 */
#define THREADS 256
#define WORKERS_MAX 2048
#define FILES_A_STREAM 3                /* the client's connection, saker's, a temporary file of the body */
#define FILES_RESERVED 64

/* needed: without its file Apache cannot do the work; else it may be compiled in, and is loaded only where the file is. */
static const struct { const char *name; bool needed; } modules[] = {
	{ "mpm_event", false }, { "unixd", false }, { "authz_core", false }, { "setenvif", false }, { "headers", true },
	{ "proxy", true }, { "proxy_fcgi", true },
};

static bool module_is_in(const char *dir, const char *name)
{
	char path[512];

	return snprintf(path, sizeof(path), "%s/mod_%s.so", dir, name) < (int)sizeof(path) && access(path, R_OK) == 0;
}

/* -V has a line ` -D HTTPD_ROOT="/etc/httpd"`. */
static void root_of(const char *build, char *ret_root, size_t size)
{
	const char *at = strstr(build, "HTTPD_ROOT=\"");
	size_t len;

	*ret_root = '\0';
	if (!at)
		return;
	at += strlen("HTTPD_ROOT=\"");
	len = strcspn(at, "\"\n");
	if (len < size)
		snprintf(ret_root, size, "%.*s", (int)len, at);
}

static sk_status modules_find(const struct sk_web_setup *s, char *ret_dir, size_t size, struct sk_err *err)
{
	char root[256], own[300];
	const char *places[] = { own, "/usr/lib/apache2/modules", "/usr/lib64/httpd/modules", "/usr/lib/httpd/modules",
				 "/usr/lib64/apache2", "/usr/libexec/apache2" };

	root_of(s->build, root, sizeof(root));
	snprintf(own, sizeof(own), "%s/modules", root);
	for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
		const char *place = *s->modules ? s->modules : places[i];

		if (module_is_in(place, "proxy_fcgi") && snprintf(ret_dir, size, "%s", place) < (int)size)
			return SK_OK;
		if (*s->modules)
			return sk_fail(err, SK_ENOENT, "--web-modules: %s holds no mod_proxy_fcgi.so", s->modules);
	}
	return sk_fail(err, SK_ENOENT, "mod_proxy_fcgi.so is in none of the places where Apache's modules are: install it "
		       "(Debian: apt install apache2; Fedora: dnf install httpd), or name the directory with --web-modules");
}

static sk_status add_modules(struct sk_buf *conf, const char *dir, struct sk_err *err)
{
	for (size_t i = 0; i < sizeof(modules) / sizeof(modules[0]); i++) {
		const char *name = modules[i].name;

		if (module_is_in(dir, name))
			sk_buf_addf(conf, "<IfModule !mod_%s.c>\nLoadModule %s_module \"%s/mod_%s.so\"\n</IfModule>\n",
				    name, name, dir, name);
		else if (modules[i].needed)
			return sk_fail(err, SK_ENOENT, "mod_%s.so is not in %s: install it (Debian: apt install apache2; "
				       "Fedora: dnf install httpd)", name, dir);
	}
	return SK_OK;
}

static void add_threads(struct sk_buf *conf, int streams)
{
	int threads = streams < THREADS ? streams : THREADS;

	streams -= streams % threads;
	sk_buf_addf(conf, "ThreadLimit %d\nThreadsPerChild %d\nServerLimit %d\nMaxRequestWorkers %d\n"
		    "StartServers 1\nMinSpareThreads %d\nMaxSpareThreads %d\nMaxConnectionsPerChild 0\n",
		    threads, threads, streams / threads, streams, threads / 2, streams);
}

/*
 * Its own errors in saker's shape. What saker answers passes untouched (ProxyErrorOverride is off), and its errors are
 * JSON already, so that the type can be set by the status alone: a text of ErrorDocument is text/html.
 */
static void add_answers(struct sk_buf *conf)
{
	for (const struct sk_web_answer *a = sk_web_answers; a->status; a++)
		sk_buf_addf(conf, "ErrorDocument %d '{\"error\":\"%s\",\"error_type\":\"%s\"}'\n", a->status, a->text, a->type);
	sk_buf_adds(conf, "Header always set Content-Type application/json \"expr=%{REQUEST_STATUS} -ge 400\"\n");
}

static sk_status apache_conf_write(const struct sk_web_setup *s, struct sk_buf *conf, struct sk_err *err)
{
	int streams = (s->files_max - FILES_RESERVED) / FILES_A_STREAM;
	char dir[300];
	sk_status st = modules_find(s, dir, sizeof(dir), err);

	if (st == SK_OK)
		st = sk_web_path_check(dir, "its modules", err);
	if (st == SK_OK)
		st = sk_web_path_check(s->dir, "the run-time directory", err);
	if (st < 0)
		return st;
	if (streams > WORKERS_MAX)
		streams = WORKERS_MAX;
	if (streams < 16)
		return sk_fail(err, SK_EINVAL, "the limit of open files is %d: Apache needs at least %d (ulimit -n)", s->files_max,
			       FILES_RESERVED + 16 * FILES_A_STREAM);
	sk_buf_addf(conf, "# Written by saker up, removed when it ends.\nServerRoot \"%s\"\nDefaultRuntimeDir \"%s\"\n"
		    "PidFile \"%s/web.pid\"\nServerName localhost\n", s->dir, s->dir, s->dir);
	st = add_modules(conf, dir, err);
	if (st < 0)
		return st;
	if (s->user)
		sk_buf_addf(conf, "User %s\nGroup %s\n", s->user, s->group);
	/* cat writes to what saker's messages go to; /dev/stderr cannot be opened where it is a socket. */
	sk_buf_adds(conf, "ErrorLog \"|/bin/cat\"\nLogLevel error\n");
	sk_buf_addf(conf, strchr(s->address, ':') ? "Listen [%s]:%d\n" : "Listen %s:%d\n", s->address, s->port);
	sk_buf_addf(conf, "ListenBackLog %d\nServerTokens Prod\nServerSignature Off\nTraceEnable Off\n", s->backlog);
	add_threads(conf, streams);
	sk_buf_adds(conf, "Timeout 3600\nKeepAlive On\nMaxKeepAliveRequests 0\nKeepAliveTimeout 60\nGracefulShutdownTimeout 0\n"
		    "AllowEncodedSlashes NoDecode\n");
	/* Larger than saker's own limit, so that saker answers 413. */
	sk_buf_addf(conf, "LimitRequestBody %" PRIu64 "\n",
		    s->payload_limit > UINT64_MAX / 8 ? 0 : s->payload_limit + s->payload_limit / 4 + (1 << 20));
	add_answers(conf);
	sk_buf_addf(conf, "SetEnvIf Authorization \"(.*)\" HTTP_AUTHORIZATION=$1\nProxyFCGIBackendType GENERIC\n"
		    "ProxyPass \"/\" \"unix:%s|fcgi://saker/\" flushpackets=on timeout=3600 nocanon retry=0\n"
		    "<Location \"/\">\nRequire all granted\n</Location>\n", s->socket_path);
	if (conf->failed)
		return sk_fail(err, conf->failed, "the configuration of Apache: %s", sk_status_words(conf->failed));
	return SK_OK;
}

static void apache_args_write(const struct sk_web_setup *s, const char *ret_args[SK_WEB_ARGS_MAX + 1])
{
	const char *const args[] = { s->bin, "-D", "FOREGROUND", "-d", s->dir, "-f", s->conf_path, NULL };

	memcpy(ret_args, args, sizeof(args));
}

const struct sk_web sk_web_apache = {
	.name = "apache",
	.bins = { "apache2", "httpd" },
	.packages = "Debian: apt install apache2; Fedora: dnf install httpd",
	.version_arg = "-V",
	.version_words = "Server version: Apache",
	.quit_signal = SIGWINCH,
	.conf_write = apache_conf_write,
	.args_write = apache_args_write,
};
