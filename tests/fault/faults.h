/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One call of a kind fails, once, in a process that serves: allocations of saker (refuse.c), and system calls of saker and libfcgi.
 *
 * The counter is in memory that the test shares with its child: the test arms, the child's threads count down.
 */
#ifndef FAULTS_H
#define FAULTS_H

#include <stdbool.h>

enum fault {
	FAULT_MEMORY,           /* malloc, calloc, realloc; json-c's and libfcgi's makers */
	FAULT_SEND,             /* send() and libfcgi's write() to a socket; errno 0: half of the bytes go */
	FAULT_RECV, FAULT_ACCEPT,
	FAULT_WATCH,            /* epoll_ctl() that adds: the one that needs memory */
	FAULT_POLL,             /* poll() and epoll_wait() */
	FAULT_LOG,              /* a line to stderr */
	FAULT_OPEN,             /* open, fopen, opendir, socket, eventfd, signalfd, epoll_create1 */
	FAULT_READ,             /* of a file or a pipe */
	FAULT_THREAD,
	FAULT_SYSTEM,           /* fork, pipe2, mkdtemp, flock, rename, chmod, chown, bind, listen, getaddrinfo; write to a file */
};

void faults_init(void);                                 /* before the first child */
void faults_serve(void);                                /* in the child: calls count from now on */
void faults_arm(enum fault kind, long k, int error);    /* the k-th from now fails, counted from 0 */
bool faults_disarm(void);                               /* whether it did */

/* What the child made, for a test to see whether it is gone: directories of mkdtemp() and processes of fork(), up to 8 of each. */
#define FAULTS_MADE_MAX 8
struct faults_made { int dirs, pids, pid[FAULTS_MADE_MAX]; char dir[FAULTS_MADE_MAX][96]; };
struct faults_made *faults_made(void);

#endif
