/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where the listening socket comes from: fd 0 (spawn-fcgi), LISTEN_FDS (systemd), or an own one.
 */
#ifndef SK_FCGI_LISTEN_H
#define SK_FCGI_LISTEN_H

#include <stdbool.h>
#include <sys/types.h>

#include "engine/base/err.h"

struct sk_listen {
	int fd;
	bool own;                       /* made here */
	char unix_path[108];            /* of an own unix socket, for removal at the end; "" else */
	dev_t unix_dev;                 /* which file that is: by the end another process may have its own there */
	ino_t unix_ino;
};

/*
 * address: "unix:PATH", "HOST:PORT", "[V6]:PORT", or "" for an inherited socket: LISTEN_FDS (when LISTEN_PID is this
 * process), else fd 0. mode, group: octal permissions and group of an own unix socket, which it has before anybody can connect;
 * group "auto": where root makes it, that of the web server's user; "none": ours.
 * A unix socket file that refuses connections is replaced; one that is answered, or may be somebody's, is SK_EINVAL,
 * with the process that answers where the kernel tells it. Of many that start at once on one path one gets it: PATH.lock is
 * there meanwhile, and locked; one left behind stops nobody.
 *   SK_EINVAL SK_ENOENT (no inherited socket; says how to give one) SK_EIO
 */
sk_status sk_listen_open(const char *address, const char *mode, const char *group, struct sk_listen *ret_l,
			 struct sk_err *err);

/*
 * Remove the own unix socket's file, if it still is ours. Before its descriptor is closed, which is its user's to do: a file
 * of a closed socket is taken for stale, and its number may be another's. Again: nothing.
 */
void sk_listen_unlink(struct sk_listen *l);

/*
 * Whether the peer may stay: `allow` (comma-separated user ids; "" allows all) has its user id, it is root or our own
 * user, or the socket is not a unix one. A unix peer whose user the kernel does not tell is refused.
 * false: refuse the connection; *ret_uid says who it was, -1: nobody knows.
 */
bool sk_listen_peer_ok(int fd, const char *allow, long *ret_uid);

#endif
