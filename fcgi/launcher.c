/* SPDX-License-Identifier: Apache-2.0 */
/*
 * saker up under the name of text-generation-inference's launcher: where a script or a harness starts that, it starts this.
 *
 * Flags that are settings of saker or known from elsewhere (options.def, foreign.def) go through as they are; here is what only
 * the launcher has: --hostname and --port, their environment, and its defaults of them.
 */
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config.h"
#include "fcgi/commands.h"

#define PORT_DEFAULT "3000"

static bool is_address(const char *text)
{
	unsigned char bytes[16];

	return inet_pton(AF_INET, text, bytes) == 1 || inet_pton(AF_INET6, text, bytes) == 1;
}

/* The launcher's own spelling of a word; NULL: it is to be left out. */
static char *translate(char *word)
{
	static const struct { const char *theirs, *ours; } words[] = {
		{ "--hostname", "--address" }, { "-p", "--port" }, { "--env", NULL }, { "-e", NULL },
	};
	static char joined[8][320];
	static size_t used;
	size_t len = strcspn(word, "=");

	for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
		if (strlen(words[i].theirs) != len || memcmp(words[i].theirs, word, len) != 0)
			continue;
		if (!words[i].ours || used == sizeof joined / sizeof *joined)
			return NULL;
		snprintf(joined[used], sizeof joined[used], "%s%.256s", words[i].ours, word + len);
		return joined[used++];
	}
	return word;
}

int sk_launcher(int argc, char **argv)
{
	const char *port = getenv("PORT"), *host = getenv("HOSTNAME");
	char **words = calloc((size_t)argc + 2, sizeof *words);
	struct sk_err err = { 0 };
	int n = 0, code;

	if (!words)
		return sk_exit("up", sk_fail(&err, SK_ENOMEM, "no memory for %d words", argc), &err);
	words[n++] = "up";
	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
			sk_command_help("up", stdout);
			free(words);
			return 0;
		}
		if (strcmp(argv[i], "--version") == 0 || strcmp(argv[i], "-V") == 0) {
			printf("text-generation-launcher (saker) %s\n", VERSION);
			free(words);
			return 0;
		}
		words[n] = translate(argv[i]);
		n += words[n] != NULL;
	}
	/* HOSTNAME is a machine's name in many a shell: only an address is meant for us. */
	sk_options_preset("address", host && is_address(host) ? host : "0.0.0.0");
	sk_options_preset("port", port && *port ? port : PORT_DEFAULT);
	sk_options_preset("compat", "tgi-3");
	code = sk_cmd_up(n, words);
	free(words);
	return code;
}
