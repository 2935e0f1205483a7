/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Prints saker.1, saker.conf.5, saker-metrics.7, an example saker.conf, or the README's tables of dialects and settings, from the
 * tables that the program itself is made from.
 *
 *	gen saker.1 | saker.conf.5 | saker-metrics.7 | saker.conf | dialects | settings
 */
#include <ctype.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config.h"
#include "fcgi/dialect.h"

static const struct setting {
	const char *type, *flag, *env, *def, *arg, *help;
	double min, max;
	int live;
} settings[] = {
#define SK_OPT(field, type, flag, env, def, min, max, arg, help) { #type, flag, env, def, arg, help, min, max, 0 },
#define SK_OPT_LIVE(field, type, flag, env, def, min, max, arg, help) { #type, flag, env, def, arg, help, min, max, 1 },
#include "fcgi/options.def"
#undef SK_OPT_LIVE
#undef SK_OPT
	{ NULL, NULL, NULL, NULL, NULL, NULL, 0, 0, 0 },
};

static const struct foreign { const char *flag, *env, *why; int refused; } foreigns[] = {
#define SK_FOREIGN(flag, env, arg, why) { flag, env, why, 0 },
#define SK_FOREIGN_NOT(flag, env, arg, why) { flag, env, why, 1 },
#include "fcgi/foreign.def"
#undef SK_FOREIGN
#undef SK_FOREIGN_NOT
};

static const struct command { const char *name, *words, *help; } commands[] = {
#define SK_CMD(name, words, help) { #name, words, help },
#define SK_FLAG(cmd, field, type, flag, def, min, max, arg, help)
#include "fcgi/commands.def"
#undef SK_CMD
#undef SK_FLAG
	{ NULL, NULL, NULL },
};

static const struct flag { const char *cmd, *flag, *def, *arg, *help; } flags[] = {
#define SK_CMD(name, words, help)
#define SK_FLAG(cmd, field, type, flag, def, min, max, arg, help) { #cmd, flag, def, arg, help },
#include "fcgi/commands.def"
#undef SK_CMD
#undef SK_FLAG
	{ NULL, NULL, NULL, NULL, NULL },
};

static const struct metric { const char *name, *kind, *label, *values, *buckets, *help; } metrics[] = {
#define SK_METRIC(id, name, kind, label, values, buckets, help) { name, #kind, label, values, #buckets, help },
#include "fcgi/metrics.def"
#undef SK_METRIC
};

static const struct exits { int code; const char *words; } exit_codes[] = {
#define SK_EXIT(status, code, words) { code, words },
#include "fcgi/exits.def"
#undef SK_EXIT
};

/* Text for roff: no escapes, no requests by accident, '-' as typed. */
static void put(const char *text)
{
	if (*text == '.' || *text == '\'')
		fputs("\\&", stdout);
	for (; *text; text++)
		if (*text == '\\')
			fputs("\\e", stdout);
		else if (*text == '-')
			fputs("\\-", stdout);
		else
			putchar(*text);
}


/* "max-batch-size" as a key (max_batch_size) or a variable (SAKER_MAX_BATCH_SIZE) */
static void put_spelled(const char *prefix, const char *flag, int upper)
{
	fputs(prefix, stdout);
	for (; *flag; flag++)
		putchar(*flag == '-' ? '_' : upper ? toupper((unsigned char)*flag) : *flag);
}

static void put_limits(const struct setting *s)
{
	if (strcmp(s->type, "INT") == 0 || (strcmp(s->type, "U64") == 0 && s->max > 0))
		printf("From %.15g to %.15g.\n", s->min, s->max);
	if (*s->def)
		printf("Default: %s.\n", s->def);
	if (s->live)
		printf("Read again at SIGHUP.\n");
	if (*s->env) {
		printf("Environment, besides ");
		put_spelled("SAKER_", s->flag, 1);
		printf(": %s.\n", s->env);
	}
}

static void put_flag(const char *flag, const char *arg)
{
	printf(".TP\n.B \\-\\-");
	put(flag);
	if (*arg)
		printf(" \\fI%s\\fR", arg);
	putchar('\n');
}

static void page_begin(const char *name, const char *section, const char *about)
{
	printf(".\\\" Made by packaging/man/gen.c from the tables of settings and commands; do not edit.\n"
	       ".TH %s %s \"\" \"saker %s\" \"saker\"\n.SH NAME\n%s \\- %s\n", name, section, VERSION, name, about);
}

static void saker_1(void)
{
	page_begin("saker", "1", "a language model behind the web server you already have");
	printf(".SH SYNOPSIS\n.B saker\n\\fICOMMAND\\fR [\\fIFLAGS\\fR] [\\fIWORDS\\fR]\n.br\n.B saker\n"
	       "\\fICOMMAND\\fR \\fB\\-\\-help\\fR\n.br\n.B saker \\-\\-version\n.SH DESCRIPTION\n"
	       "saker answers text generation requests from a model in GGUF form. It speaks FastCGI: a web server (nginx, Apache\n"
	       "or lighttpd) stands before it and brings TLS, HTTP/2, users and logs.\n"
	       ".B saker up\nstarts both for one user.\n.SH COMMANDS\n");
	for (const struct command *c = commands; c->name; c++) {
		printf(".TP\n.B saker ");
		put(c->name);
		if (*c->words)
			printf(" \\fI%s\\fR", c->words);
		putchar('\n');
		put(c->help);
		putchar('\n');
		for (const struct flag *f = flags; f->cmd; f++) {
			if (strcmp(f->cmd, c->name) != 0)
				continue;
			printf(".RS\n");
			put_flag(f->flag, f->arg);
			put(f->help);
			if (*f->def && strcmp(f->def, "false") != 0)
				printf(" (default: %s)", f->def);
			printf("\n.RE\n");
		}
	}
	printf(".SH SETTINGS\nEach is a flag, an environment variable (\\fBSAKER_THREADS\\fR for \\fB\\-\\-threads\\fR) and a line in\n"
	       ".BR saker.conf (5).\nThe command line wins over the environment over the file.\n");
	for (const struct setting *s = settings; s->flag; s++) {
		put_flag(s->flag, s->arg);
		put(s->help);
		printf(".\n");
		put_limits(s);
	}
	printf(".SH SIGNALS\n.TP\n.BR SIGTERM \", \" SIGINT\nTake no new requests, finish the running answers, then end.\n"
	       "A second one ends at once.\n.TP\n.B SIGHUP\n\\fBsaker serve\\fR reads file and environment again and changes the\n"
	       "settings that say so; the log names what needs a restart, and what is wrong with the new ones (then all stays as it was).\n"
	       "\\fBsaker up\\fR, and \\fBsaker serve\\fR where standard input is a terminal, end as at SIGTERM: their terminal was\n"
	       "closed. Where it was ignored at the start (nohup) it stays so.\n.SH EXIT STATUS\n");
	for (size_t i = 0; i < sizeof(exit_codes) / sizeof(exit_codes[0]); i++) {
		printf(".TP\n.B %d\n", exit_codes[i].code);
		put(exit_codes[i].words);
		putchar('\n');
	}
	printf(".SH LOG\nOne line a message on standard error; with \\fB\\-\\-json\\-output\\fR one JSON object. Each request has one line, at its\n"
	       "end: the message is \\fBrequest\\fR, then come those of\n.BR id ,\n.BR method ,\n.BR path ,\n.BR status ,\n.BR error\n"
	       "(the error_type),\n.B end\n(client left, reader too slow, server stopped),\n.BR client ,\n.BR user ,\n.B key\n(a name),\n"
	       ".BR bytes_in ,\n.BR bytes_out ,\n.BR total_ms ,\nand of a generation\n.BR prompt_tokens ,\n.BR generated_tokens ,\n"
	       ".BR max_new_tokens ,\n.BR validation_ms ,\n.BR first_token_ms ,\n.BR queue_ms ,\n.BR inference_ms ,\n"
	       ".BR time_per_token_ms ,\n.BR finish_reason ,\n.BR seed ,\n.B since_queued_ms\n(where it did not finish) and\n.B prompt\n"
	       "(with \\fB\\-\\-log\\-prompts\\fR) that there are. Health checks, and what is neither a generation nor refused, are told at\n"
	       "\\fBdebug\\fR, answers from 500 on at \\fBwarn\\fR, all else at \\fBinfo\\fR.\n");
	printf(".SH FILES\n.TP\n.I /etc/saker/saker.conf\nread when it is there; another with \\fB\\-\\-conf\\fR\n"
	       ".SH SEE ALSO\n.BR saker.conf (5),\n.BR saker\\-metrics (7)\n");
}

/* Those that are accepted, or those that stop the start. */
static void put_foreigns(int refused)
{
	for (size_t i = 0; i < sizeof(foreigns) / sizeof(foreigns[0]); i++) {
		const struct foreign *f = &foreigns[i];

		if (f->refused != refused)
			continue;
		printf(".TP\n.B ");
		put_spelled("", f->flag, 0);
		printf(" \\fR(%s)\n", f->env);
		put(f->why);
		printf(".\n");
	}
}

static void saker_conf_5(void)
{
	page_begin("saker.conf", "5", "settings of saker");
	printf(".SH DESCRIPTION\nLines of\n.IP\n\\fIkey\\fR = \\fIvalue\\fR\n.PP\n"
	       "A # at the beginning of a line or after white space begins a comment. A value with blanks at its ends, or a #\n"
	       "after a blank, stands in double quotes; inside, \\e\" and \\e\\e are a quote and a backslash. Sizes take K, M, G\n"
	       "or T. A key comes once; an unknown one is an error that names the line. Environment and command line win over\n"
	       "the file.\n.SH KEYS\n");
	for (const struct setting *s = settings; s->flag; s++) {
		if (strcmp(s->flag, "conf") == 0)
			continue;
		printf(".TP\n.B ");
		put_spelled("", s->flag, 0);
		printf(" = \\fI%s\\fR\n", strcmp(s->type, "BOOL") == 0 ? "true|false" : s->arg);
		put(s->help);
		printf(".\n");
		put_limits(s);
	}
	printf(".SH SETTINGS OF TEXT-GENERATION-INFERENCE\nWhat the table above has under its name means the same; each name of the\n"
	       "environment is a flag too (\\fB\\-\\-model\\-id\\fR). These are accepted with a line in the log, as they have no meaning here:\n");
	put_foreigns(0);
	printf(".PP\nThese stop the start, because answers would not be what was asked for:\n");
	put_foreigns(1);
	printf(".SH API KEYS\nWithout \\fBapi_key\\fR and \\fBapi_key_file\\fR nobody is asked for a key. With them every path but \\fI/livez\\fR,\n"
	       "\\fI/readyz\\fR, \\fI/ping\\fR, \\fI/health\\fR, GET \\fI/\\fR and \\fI/docs\\fR wants \\fBAuthorization: Bearer\\fR \\fIKEY\\fR or\n"
	       "\\fBx\\-api\\-key:\\fR \\fIKEY\\fR, else it answers 401. A line of the file is\n.IP\n\\fINAME\\fR \\fIKEY\\fR [admin]\n.PP\n"
	       "where \\fIKEY\\fR is 1 to 512 visible ASCII characters, or sha256: and the 64 hexadecimal digits of\n"
	       "\\fBprintf %%s \\fIKEY\\fB | sha256sum\\fR. # begins a comment line. The name stands in the log and in metrics. An owner\n"
	       "sees and cancels its own requests (\\fI/requests\\fR), an admin those of all; the key of \\fBapi_key\\fR is an\n"
	       "admin's. A file that others than its owner may write is refused, one that everybody may read gets a warning.\n"
	       ".SH SEE ALSO\n.BR saker (1),\n.BR saker\\-metrics (7)\n");
}

static void put_buckets(const char *buckets)
{
	static const struct { const char *name, *words; } rows[] = {
		{ "TIMES", "35 buckets, 0.00015 times 1.5 to the power of 0 to 34 seconds" },
		{ "INPUT", "100 equal buckets up to max_input_tokens" },
		{ "TOTAL", "100 equal buckets up to max_total_tokens" },
		{ "BATCH", "1024 buckets, 1 to 1024" },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if (strcmp(rows[i].name, buckets) == 0)
			printf("; %s", rows[i].words);
}

static void saker_metrics_7(void)
{
	page_begin("saker\\-metrics", "7", "what saker tells Prometheus");
	printf(".SH DESCRIPTION\nGET \\fI/metrics\\fR answers in Prometheus' text format 0.0.4; it wants an API key where there are keys.\n"
	       "Names, types, labels and buckets of \\fBtgi_\\fR* are those of text\\-generation\\-inference. OpenMetrics is not\n"
	       "spoken: it would rename counters. What is counted begins with the process.\n.SH SCRAPING\n.nf\nscrape_configs:\n"
	       "  \\- job_name: saker\n    authorization: { credentials_file: /etc/prometheus/saker.key }   # where there are API keys\n"
	       "    static_configs: [ { targets: [ \\(aqlocalhost:8080\\(aq ] } ]\n.fi\n.SH METRICS\n");
	for (size_t i = 0; i < sizeof(metrics) / sizeof(metrics[0]); i++) {
		const struct metric *m = &metrics[i];

		printf(".TP\n.B ");
		put(m->name);
		if (strcmp(m->label, "key") == 0)
			printf(" \\fRkey = names of API keys, only where there are any");
		else if (*m->label)
			printf(" \\fR%s = %s", m->label, m->values);
		printf("\n(");
		for (const char *c = strcmp(m->kind, "INFO") == 0 ? "gauge" : m->kind; *c; c++)
			putchar(tolower((unsigned char)*c));
		put_buckets(m->buckets);
		printf(")\n");
		put(m->help);
		printf(".\n");
	}
	printf(".SH SEE ALSO\n.BR saker (1),\n.BR saker.conf (5)\n");
}

/* The example: every key with its default, commented out. */
static void saker_conf(void)
{
	printf("# SPDX-License-Identifier: Apache-2.0\n"
	       "# Settings of saker, each with its default (see saker.conf(5)). Made by packaging/man/gen.c from fcgi/options.def;\n"
	       "# make check compares. Copy to /etc/saker/saker.conf and take the # away where you want something else.\n");
	for (const struct setting *s = settings; s->flag; s++) {
		if (strcmp(s->flag, "conf") == 0)
			continue;
		printf("\n# %s\n#", s->help);
		put_spelled("", s->flag, 0);
		printf(" =%s%s\n", *s->def ? " " : "", s->def);
	}
}

/* ---- the README's table of dialects: one printer a type of dialects.def ---- */

static void cell_bool(bool yes)
{
	printf(" %s |", yes ? "yes" : "no");
}

static void cell_text(const char *text)
{
	if (text)
		printf(" `\"%s\"` |", text);
	else
		printf(" none |");
}

static void cell_u64(uint64_t n)
{
	printf(" %" PRIu64 " |", n);
}

static void cell_rng(enum sk_rng rng)
{
	printf(" %s |", rng == SK_RNG_SAKER ? "saker's" : "torch's");
}

/* Bits. */
static void cell_knows(enum sk_knows knows)
{
	printf(" %s |", knows == SK_KNOWS_SAKER ? "all" : knows == SK_KNOWS_TGI_3 ? "3.3.7's" : "0.9.3's");
}

#define CELL(type, value) \
	_Generic((type){ 0 }, bool: cell_bool, const char *: cell_text, enum sk_knows: cell_knows, enum sk_rng: cell_rng, default: cell_u64)(value)

static void dialects(void)
{
	printf("| | `saker` | `tgi-3` | `tgi-0.9.3` |\n| --- | --- | --- | --- |\n");
#define SK_DIALECT(type, field, saker, tgi3, tgi09, doc) \
	printf("| %s |", doc); CELL(type, saker); CELL(type, tgi3); CELL(type, tgi09); putchar('\n');
#include "fcgi/dialects.def"
#undef SK_DIALECT
}

/* ---- the README's table of settings ---- */

static void settings_table(void)
{
	printf("| setting | default | what |\n| --- | --- | --- |\n");
	for (const struct setting *s = settings; s->flag; s++) {
		printf(*s->def ? "| `%s`%s | `%s` | " : "| `%s`%s | %s | ", s->flag, s->live ? " \u21bb" : "", s->def);
		/* A bar would end the cell, a star or an angle bracket begin something else. */
		for (const char *c = s->help; *c; c++)
			printf(*c == '|' || *c == '<' || *c == '*' ? "\\%c" : "%c", *c);
		printf(" |\n");
	}
}

int main(int argc, char **argv)
{
	static const struct { const char *name; void (*print)(void); } pages[] = {
		{ "saker.1", saker_1 }, { "saker.conf.5", saker_conf_5 },
		{ "saker-metrics.7", saker_metrics_7 }, { "saker.conf", saker_conf }, { "dialects", dialects },
		{ "settings", settings_table },
	};

	for (size_t i = 0; argc == 2 && i < sizeof(pages) / sizeof(pages[0]); i++)
		if (strcmp(argv[1], pages[i].name) == 0) {
			pages[i].print();
			return fflush(stdout) == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
		}
	fprintf(stderr, "usage: gen saker.1 | saker.conf.5 | saker-metrics.7 | saker.conf | dialects | settings\n");
	return EXIT_FAILURE;
}
