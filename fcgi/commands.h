/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sub-commands: `saker NAME ...` runs sk_cmd_NAME() with argv[0] = NAME; the result is the exit code.
 *
 * A command begins with
 *
 *	struct sk_options o;
 *	struct sk_flags f;
 *	struct sk_err err;
 *	sk_status st = sk_command_read("up", &o, &f, &argc, argv, &err);
 *
 *	if (st < 0)
 *		return sk_exit("up", st, &err);
 */
#ifndef SK_FCGI_COMMANDS_H
#define SK_FCGI_COMMANDS_H

#include <stdio.h>

#include "engine/base/err.h"
#include "fcgi/options.h"

#define SK_CMD(name, words, help) int sk_cmd_##name(int argc, char **argv);
#define SK_FLAG(cmd, field, type, flag, def, min, max, arg, help)
#include "fcgi/commands.def"
#undef SK_CMD
#undef SK_FLAG

/* The values of all commands' own flags; those of other commands hold their defaults. */
struct sk_flags {
#define SK_CMD(name, words, help)
#define SK_FLAG(cmd, field, type, flag, def, min, max, arg, help) SK_OPT_T_##type cmd##_##field;
#include "fcgi/commands.def"
#undef SK_CMD
#undef SK_FLAG
	char unused;            /* C wants a member when no command has a flag */
};

/*
 * sk_options_read() for a command that has flags of its own; also starts the log (log-level, json-output).
 * argv is left with the command's words: argv[1] .. argv[*argc - 1].
 */
sk_status sk_command_read(const char *cmd, struct sk_options *ret_o, struct sk_flags *ret_f, int *argc, char **argv,
			  struct sk_err *err);

/* `saker CMD --help`: its words, its flags, then the settings. */
void sk_command_help(const char *cmd, FILE *to);

/*
 * `text-generation-launcher ...`: saker up with the defaults, flags and environment of the program of that name; the dialect is
 * tgi-3 unless compat says otherwise. (launcher.c)
 */
int sk_launcher(int argc, char **argv);

/* Say on stderr why a command failed and return the exit code of exits.def. Says nothing for SK_OK. */
int sk_exit(const char *cmd, sk_status status, const struct sk_err *err);
/* The code alone. */
int sk_exit_code(sk_status status);

#endif
