/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Settings: made from options.def, filled from defaults, the configuration file, the environment and the command line,
 * the later winning.
 */
#ifndef SK_FCGI_OPTIONS_H
#define SK_FCGI_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "engine/base/arena.h"
#include "engine/base/err.h"
#include "engine/saker.h"

struct sk_options {
#define SK_OPT_T_STR const char *
#define SK_OPT_T_INT int64_t
#define SK_OPT_T_U64 uint64_t
#define SK_OPT_T_BOOL bool
#define SK_OPT_T_NUM double
#define SK_OPT(field, type, flag, env, def, min, max, arg, help) SK_OPT_T_##type field;
#define SK_OPT_LIVE SK_OPT
#include "fcgi/options.def"
#undef SK_OPT_LIVE
#undef SK_OPT
	const char *model_name;         /* of a model that was found in the hub's cache: its name there; else NULL */
};

/*
 * Fill *ret_o. argv[0] is skipped; words that are no settings are left in argv, *argc is their number (argv[0] included).
 * Strings are lent from argv, the environment, or never freed. SK_EINVAL names setting, value and limit.
 */
sk_status sk_options_read(struct sk_options *ret_o, int *argc, char **argv, struct sk_err *err);

/*
 * Read settings again for a daemon that runs: `argv` as the process got it, environment and file as they are now. Rows that may
 * change (SK_OPT_LIVE) come anew, the others are those of `old`; one that would differ is named in the log. Its new strings are
 * in `strings`, which lives as long as *ret_o. On failure, as sk_options_read(), nothing is to be changed.
 */
sk_status sk_options_reread(const char *cmd, int argc, char *const *argv, const struct sk_options *old,
			    struct sk_arena *strings, struct sk_options *ret_o, struct sk_err *err);

/* The default of a setting or flag is another one for this process (a constant). Before anything is read. */
void sk_options_preset(const char *flag, const char *def);

/* The engine's share. */
void sk_options_engine(const struct sk_options *o, struct sk_engine_opts *ret_e);

void sk_options_help(FILE *to);                         /* the table, for --help */

#endif
