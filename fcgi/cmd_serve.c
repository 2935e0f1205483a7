/* SPDX-License-Identifier: Apache-2.0 */
/* saker serve: the daemon alone, for a web server that somebody else runs. */
#include <signal.h>

#include "fcgi/commands.h"
#include "fcgi/listen.h"
#include "fcgi/serve.h"

static void end(void *arg)
{
	sk_listen_unlink(arg);
}

int sk_cmd_serve(int argc, char **argv)
{
	struct sk_options o;
	struct sk_flags f;
	struct sk_err err = { 0 };
	struct sk_listen l = { .fd = -1 };
	struct sk_serve s = { 0 };
	sk_status st;

	/* Whoever reads our log may leave before the loop exists; the socket's file would stay. */
	signal(SIGPIPE, SIG_IGN);
	st = sk_command_read("serve", &o, &f, &argc, argv, &err);
	if (st == SK_OK && argc > 1)
		st = sk_fail(&err, SK_EINVAL, "serve takes no words, '%s' is one", argv[1]);
	if (st == SK_OK && !o.model[0])
		st = sk_fail(&err, SK_EINVAL, "no model: give --model PATH");
	if (st == SK_OK)
		st = sk_listen_open(o.listen, o.socket_mode, &l, &err);
	if (st == SK_OK) {
		s.listen_fd = l.fd;
		s.own_socket = l.own;
		s.end = end;
		s.arg = &l;
		st = sk_serve(&o, &s, &err);
		sk_listen_unlink(&l);
	}
	return sk_exit("serve", st, &err);
}
