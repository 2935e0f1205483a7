/* SPDX-License-Identifier: Apache-2.0 */
/*
 * SIGBUS: a page of a mapped file that is no longer there, since somebody cut the file short or wrote a new one in its place, or that
 * its disk cannot give. There is no way back into the read; what is left is to say which file, instead of a bare "Bus error".
 * Any other SIGBUS ends as it would without this.
 */
#include "fcgi/fault.h"

#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "engine/base/map.h"

#define EXIT_IO 74              /* SK_EIO's in exits.def */

static void say(const char *s)
{
	ssize_t n = write(STDERR_FILENO, s, strlen(s));

	(void)n;                /* nobody is left to tell */
}

static void bus_error(int number, siginfo_t *info, void *context)
{
	const char *name = sk_map_name(info->si_addr);

	(void)context;
	if (!name) {
		signal(number, SIG_DFL);        /* the instruction runs again, and ends the process */
		return;
	}
	say("saker: ");
	say(name);
	say(": the file was cut short, or cannot be read, while it was in use\n");
	_exit(EXIT_IO);
}

void sk_fault_init(void)
{
	struct sigaction action = { .sa_sigaction = bus_error, .sa_flags = SA_SIGINFO };

	sigemptyset(&action.sa_mask);
	sigaction(SIGBUS, &action, NULL);
}
