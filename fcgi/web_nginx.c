/* SPDX-License-Identifier: Apache-2.0 */
/* nginx: a configuration that needs nothing of /etc/nginx and writes nowhere but into its directory. */
#include "fcgi/web.h"

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#define CONNECTIONS_MAX 10000           /* two a stream: the client's and saker's */
#define HEADER_TOO_LARGE " 494"         /* nginx's own number for it */
#define FILES_RESERVED 64               /* log, listening sockets, temporary files */

/* What saker reads of a request, and what is worth a line in a log. Headers come as HTTP_* by themselves. */
static const char *const params[][2] = {
	{ "REQUEST_METHOD", "$request_method" },
	{ "REQUEST_URI", "$request_uri" },
	{ "QUERY_STRING", "$query_string" },
	{ "CONTENT_TYPE", "$content_type" },
	{ "CONTENT_LENGTH", "$content_length" },
	{ "SERVER_PROTOCOL", "$server_protocol" },
	{ "REQUEST_SCHEME", "$scheme" },
	{ "GATEWAY_INTERFACE", "CGI/1.1" },
	{ "SERVER_SOFTWARE", "nginx/$nginx_version" },
	{ "REMOTE_ADDR", "$remote_addr" },
	{ "REMOTE_PORT", "$remote_port" },
	{ "SERVER_ADDR", "$server_addr" },
	{ "SERVER_PORT", "$server_port" },
	{ "SERVER_NAME", "$server_name" },
};

/* Modules whose temporary directory nginx makes at start, used or not; a build may lack them. */
static const struct { const char *module, *directive; } temp_paths[] = {
	{ "proxy", "proxy_temp_path" },
	{ "scgi", "scgi_temp_path" },
	{ "uwsgi", "uwsgi_temp_path" },
};

/* `directive "prefix/dir/name"more;` nginx reads \" and \\ in quotes, and $ only where a directive takes variables. */
static void add_path(struct sk_buf *conf, const char *directive, const char *dir, const char *name, const char *more)
{
	sk_buf_addf(conf, "%s%s", directive, strchr(directive, '"') ? "" : " \"");
	for (const char *c = dir; *c; c++) {
		if (*c == '"' || *c == '\\')
			sk_buf_addc(conf, '\\');
		sk_buf_addc(conf, *c);
	}
	sk_buf_addf(conf, "%s%s\"%s;\n", *name ? "/" : "", name, more);
}

static sk_status nginx_conf_write(const struct sk_web_setup *s, struct sk_buf *conf, struct sk_err *err)
{
	int connections = s->files_max - FILES_RESERVED;
	char word[64];

	if (strstr(s->build, "--without-http_fastcgi_module"))
		return sk_fail(err, SK_ENOTSUP, "%s was built without FastCGI", s->bin);
	if (connections > CONNECTIONS_MAX)
		connections = CONNECTIONS_MAX;
	if (connections < 64)
		return sk_fail(err, SK_EINVAL, "the limit of open files is %d: nginx needs at least %d (ulimit -n)", s->files_max,
			       FILES_RESERVED + 64);
	sk_buf_addf(conf, "# Written by saker up, removed when it ends.\ndaemon off;\nworker_processes 1;\n"
		    "error_log stderr error;\n");
	if (s->user)
		sk_buf_addf(conf, "user %s %s;\n", s->user, s->group);
	add_path(conf, "pid", s->dir, "web.pid", "");
	add_path(conf, "lock_file", s->dir, "web.lock", "");
	sk_buf_addf(conf, "events {\nworker_connections %d;\n}\nhttp {\naccess_log off;\n", connections);
	add_path(conf, "client_body_temp_path", s->dir, "body", "");
	add_path(conf, "fastcgi_temp_path", s->dir, "fastcgi", "");
	for (size_t i = 0; i < sizeof(temp_paths) / sizeof(temp_paths[0]); i++) {
		snprintf(word, sizeof(word), "--without-http_%s_module", temp_paths[i].module);
		if (!strstr(s->build, word))
			add_path(conf, temp_paths[i].directive, s->dir, temp_paths[i].module, "");
	}
	sk_buf_adds(conf, "server_tokens off;\nkeepalive_requests 1000000;\nupstream saker {\n");
	add_path(conf, "server \"unix:", s->socket_path, "", " max_fails=0");
	sk_buf_adds(conf, "keepalive 64;\nkeepalive_requests 1000000;\n}\nserver {\n");
	sk_buf_addf(conf, strchr(s->address, ':') ? "listen [%s]:%d backlog=%d;\n" : "listen %s:%d backlog=%d;\n",
		    s->address, s->port, s->backlog);
	/* Larger than saker's own limit, so that saker answers 413; still a ceiling for what is spooled to disk. */
	sk_buf_addf(conf, "client_max_body_size %" PRIu64 ";\nclient_body_buffer_size 256k;\n",
		    s->payload_limit > UINT64_MAX / 4 ? 0 : s->payload_limit + s->payload_limit / 4 + (1 << 20));
	/* No named locations: a request whose line could not be read has no URI, and without one nginx refuses them. */
	for (const struct sk_web_answer *a = sk_web_answers; a->status; a++)
		sk_buf_addf(conf, "error_page %d%s /saker-error/%d;\nlocation = /saker-error/%d {\ninternal;\n"
			    "default_type application/json;\nreturn %d '{\"error\":\"%s\",\"error_type\":\"%s\"}';\n}\n",
			    a->status, a->status == 400 ? HEADER_TOO_LARGE : "", a->status, a->status, a->status, a->text,
			    a->type);
	sk_buf_adds(conf, "location / {\nfastcgi_pass saker;\n");
	for (size_t i = 0; i < sizeof(params) / sizeof(params[0]); i++)
		sk_buf_addf(conf, "fastcgi_param %s %s;\n", params[i][0], params[i][1]);
	sk_buf_adds(conf, "fastcgi_keep_conn on;\n"
		    "fastcgi_buffering off;\n"           /* tokens at once, not at the end */
		    "fastcgi_max_temp_file_size 0;\n"
		    "fastcgi_read_timeout 3600s;\n"
		    "fastcgi_send_timeout 3600s;\n"
		    "send_timeout 3600s;\n"
		    "fastcgi_next_upstream off;\n"       /* a generation is never started twice */
		    "gzip off;\n"
		    "}\n}\n}\n");
	if (conf->failed)
		return sk_fail(err, conf->failed, "the configuration of nginx: %s", sk_status_words(conf->failed));
	return SK_OK;
}

static void nginx_args_write(const struct sk_web_setup *s, const char *ret_args[SK_WEB_ARGS_MAX + 1])
{
	const char *const args[] = { s->bin, "-e", "stderr", "-p", s->dir, "-c", s->conf_path, NULL };

	memcpy(ret_args, args, sizeof(args));
}

const struct sk_web sk_web_nginx = {
	.name = "nginx",
	.bins = { "nginx" },
	.packages = "Debian: apt install nginx",
	.version_arg = "-V",
	.version_words = "nginx version",
	.quit_signal = SIGQUIT,
	.conf_write = nginx_conf_write,
	.args_write = nginx_args_write,
};
