/* SPDX-License-Identifier: Apache-2.0 */
/* saker-double: the front's commands with the engine of double.c. */
#include <stdio.h>
#include <string.h>

#include "fcgi/commands.h"

int main(int argc, char **argv)
{
	if (argc > 1 && strcmp(argv[1], "serve") == 0)
		return sk_cmd_serve(argc - 1, argv + 1);
	if (argc > 1 && strcmp(argv[1], "up") == 0)
		return sk_cmd_up(argc - 1, argv + 1);
	fprintf(stderr, "usage: saker-double serve|up [FLAGS]\n");
	return 2;
}
