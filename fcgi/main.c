/* SPDX-License-Identifier: Apache-2.0 */
/* saker: picks the sub-command from the table and runs it. */
#include <stdio.h>
#include <string.h>

#include "config.h"
#include "fcgi/commands.h"
#include "fcgi/fault.h"
#include "fcgi/words.h"

static const struct command {
	const char *name, *words, *help;
	int (*run)(int argc, char **argv);
} commands[] = {
#define SK_CMD(name, words, help) { #name, words, help, sk_cmd_##name },
#define SK_FLAG(cmd, field, type, flag, def, min, max, arg, help)
#include "fcgi/commands.def"
#undef SK_CMD
#undef SK_FLAG
	{ NULL, NULL, NULL, NULL },
};

static void help(FILE *to)
{
	fprintf(to, "saker %s: a language model behind the web server you already have\n\n"
		"usage: saker COMMAND [FLAGS] [WORDS]\n       saker COMMAND --help\n       saker --version\n\n", VERSION);
	for (const struct command *c = commands; c->name; c++)
		fprintf(to, "  %-10s %-14s %s\n", c->name, c->words, c->help);
	fputc('\n', to);
	sk_options_help(to);
}

static const struct command *command_find(const char *name)
{
	for (const struct command *c = commands; c->name; c++)
		if (strcmp(c->name, name) == 0)
			return c;
	return NULL;
}

/* Was --help asked for, among the flags? A word after "--" is not a flag. */
static int help_wanted(int argc, char **argv)
{
	for (int i = 0; i < argc && strcmp(argv[i], "--") != 0; i++)
		if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0)
			return 1;
	return 0;
}

/* The exit code of what only prints: a help that did not get through is no success. */
static int printed(const char *what)
{
	struct sk_err err = { 0 };

	return sk_words_flush(&err) < 0 ? sk_exit(what, SK_EIO, &err) : 0;
}

int main(int argc, char **argv)
{
	const struct command *c;
	const char *name = argc > 0 ? strrchr(argv[0], '/') : NULL;

	sk_fault_init();
	if (argc > 0 && strcmp(name ? name + 1 : argv[0], "text-generation-launcher") == 0)
		return sk_launcher(argc, argv);
	if (argc < 2) {
		help(stderr);
		return 2;
	}
	if (help_wanted(1, argv + 1) || strcmp(argv[1], "help") == 0) {
		help(stdout);
		return printed("help");
	}
	if (strcmp(argv[1], "--version") == 0) {
		printf("saker %s\n", VERSION);
		return printed("--version");
	}
	c = command_find(argv[1]);
	if (!c) {
		fprintf(stderr, "saker: unknown command \"%s\"; there are:", argv[1]);
		for (c = commands; c->name; c++)
			fprintf(stderr, " %s", c->name);
		fprintf(stderr, "\n");
		return 2;
	}
	if (help_wanted(argc - 2, argv + 2)) {
		sk_command_help(c->name, stdout);
		return printed(c->name);
	}
	return c->run(argc - 1, argv + 1);
}
