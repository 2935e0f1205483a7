/* SPDX-License-Identifier: Apache-2.0 */
/* saker serve: the daemon alone, for a web server that somebody else runs. */
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fcgi/commands.h"
#include "fcgi/listen.h"
#include "fcgi/serve.h"

struct daemon {
	struct sk_listen listen;
	int argc;
	char **argv;                    /* as it came: reading the settings takes the flags out of the other one */
};

static void leave(void *arg)
{
	struct daemon *d = arg;

	sk_listen_unlink(&d->listen);
}

static sk_status reload(void *arg, const struct sk_options *old, struct sk_arena *strings, struct sk_options *ret_o,
			struct sk_err *err)
{
	const struct daemon *d = arg;

	return sk_options_reread("serve", d->argc, d->argv, old, strings, ret_o, err);
}

int sk_cmd_serve(int argc, char **argv)
{
	struct sk_options o;
	struct sk_flags f;
	struct sk_err err = { 0 };
	struct daemon d = { .listen = { .fd = -1 }, .argc = argc };
	struct sk_serve s = { 0 };
	sk_status st;

	/* Whoever reads our log may leave before the loop exists; the socket's file would stay. */
	signal(SIGPIPE, SIG_IGN);
	d.argv = malloc(((size_t)argc + 1) * sizeof *d.argv);
	if (!d.argv)
		return sk_exit("serve", SK_ENOMEM, NULL);
	memcpy(d.argv, argv, ((size_t)argc + 1) * sizeof *d.argv);
	st = sk_command_read("serve", &o, &f, &argc, argv, &err);
	if (st == SK_OK && argc > 1)
		st = sk_fail(&err, SK_EINVAL, "serve takes no words, '%s' is one", argv[1]);
	if (st == SK_OK && !o.model[0])
		st = sk_fail(&err, SK_EINVAL, "no model: give --model PATH");
	if (st == SK_OK)
		st = sk_listen_open(o.listen, o.socket_mode, o.socket_group, &d.listen, &err);
	if (st == SK_OK) {
		s.listen_fd = d.listen.fd;
		s.own_socket = d.listen.own;
		s.leave = leave;
		s.end = leave;
		s.arg = &d;
		/* On a terminal SIGHUP says that it was closed. A daemon has none. */
		if (!isatty(STDIN_FILENO))
			s.reload = reload;
		st = sk_serve(&o, &s, &err);
	}
	free(d.argv);
	return sk_exit("serve", st, &err);
}
