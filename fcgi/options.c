/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Settings and flags from four places, and --help from the tables.
 *
 * Both tables become one array of rows; a row knows where its value goes (settings: struct sk_options, flags: struct
 * sk_flags). The order is fixed: defaults, configuration file, environment, command line; each overwrites the last.
 */
#include "fcgi/options.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <pwd.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "engine/base/arena.h"
#include "engine/base/log.h"
#include "fcgi/commands.h"
#include "fcgi/conf.h"
#include "fcgi/dialect.h"
#include "fcgi/settings.h"
#include "fcgi/share.h"

#define CONF_DEFAULT "/etc/saker/saker.conf"

enum row_type { TYPE_STR, TYPE_INT, TYPE_U64, TYPE_BOOL, TYPE_NUM, TYPE_FOREIGN };

struct row {
	const char *cmd;                /* NULL: a setting, for every command */
	const char *flag, *env, *def, *arg, *help;
	enum row_type type;
	double min, max;                /* U64: max 0 is none */
	size_t offset;
	bool live;                      /* may change while the daemon runs */
	bool refused;                   /* TYPE_FOREIGN: stops the start */
};

/* The limits of both tables fit a double exactly: all are below 2^53. */
static const struct row rows[] = {
#define SK_OPT(field, type, flag, env, def, min, max, arg, help) \
	{ NULL, flag, env, def, arg, help, TYPE_##type, min, max, offsetof(struct sk_options, field), false, false },
#define SK_OPT_LIVE(field, type, flag, env, def, min, max, arg, help) \
	{ NULL, flag, env, def, arg, help, TYPE_##type, min, max, offsetof(struct sk_options, field), true, false },
#include "fcgi/options.def"
#undef SK_OPT_LIVE
#undef SK_OPT
#define SK_FOREIGN(flag, env, arg, why) { NULL, flag, env, "", arg, why, TYPE_FOREIGN, 0, 0, 0, false, false },
#define SK_FOREIGN_NOT(flag, env, arg, why) { NULL, flag, env, "", arg, why, TYPE_FOREIGN, 0, 0, 0, false, true },
#include "fcgi/foreign.def"
#undef SK_FOREIGN
#undef SK_FOREIGN_NOT
#define SK_CMD(name, words, help)
#define SK_FLAG(cmd, field, type, flag, def, min, max, arg, help) \
	{ #cmd, flag, "", def, arg, help, TYPE_##type, min, max, offsetof(struct sk_flags, cmd##_##field), false, false },
#include "fcgi/commands.def"
#undef SK_CMD
#undef SK_FLAG
};
#define ROWS (sizeof(rows) / sizeof(rows[0]))

static const struct command { const char *name, *words, *help; } commands[] = {
#define SK_CMD(name, words, help) { #name, words, help },
#define SK_FLAG(cmd, field, type, flag, def, min, max, arg, help)
#include "fcgi/commands.def"
#undef SK_CMD
#undef SK_FLAG
	{ NULL, NULL, NULL },
};

/* What is read into. */
struct target {
	const char *cmd;                /* NULL: settings only */
	struct sk_options *o;
	struct sk_flags *f;
	uint64_t in_conf[(ROWS + 63) / 64];
	uint64_t foreign[(ROWS + 63) / 64];     /* accepted, and to be told */
	const char *conf_path;
	struct sk_arena *strings;       /* for those that came from the configuration file, or were rewritten */
};

/* The first settings live as long as the process. */
static struct sk_arena conf_strings;

/* ---- one value ---------------------------------------------------------------------------------------------- */

static sk_status bool_read(const char *text, bool *ret)
{
	static const struct { const char *word; bool value; } words[] = {
		{ "true", true }, { "1", true }, { "yes", true }, { "on", true },
		{ "false", false }, { "0", false }, { "no", false }, { "off", false },
	};

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (strcasecmp(text, words[i].word) == 0) {
			*ret = words[i].value;
			return SK_OK;
		}
	return SK_EINVAL;
}

/* Digits, then K, M, G or T (of 1024) where `suffixes`. SK_ETOOBIG: over UINT64_MAX. */
static sk_status u64_read(const char *text, bool suffixes, uint64_t *ret)
{
	static const struct { char letter; int shift; } units[] = { { 'K', 10 }, { 'M', 20 }, { 'G', 30 }, { 'T', 40 } };
	uint64_t value = 0;
	int shift = 0;

	if (!isdigit((unsigned char)*text))
		return SK_EINVAL;
	for (; isdigit((unsigned char)*text); text++)
		if (__builtin_mul_overflow(value, (uint64_t)10, &value) ||
		    __builtin_add_overflow(value, (uint64_t)(*text - '0'), &value))
			return SK_ETOOBIG;
	for (size_t i = 0; suffixes && *text && i < sizeof(units) / sizeof(units[0]); i++)
		if (toupper((unsigned char)*text) == units[i].letter) {
			shift = units[i].shift;
			text++;
			break;
		}
	if (*text)
		return SK_EINVAL;
	if (value > UINT64_MAX >> shift)
		return SK_ETOOBIG;
	*ret = value << shift;
	return SK_OK;
}

static sk_status limits_check(const struct row *row, const char *where, const char *text, double value,
			      struct sk_err *err)
{
	if (value < row->min)
		return sk_fail(err, SK_EINVAL, "%s: %s is too small, the least is %.15g", where, text, row->min);
	if (value > row->max && !(row->type == TYPE_U64 && row->max == 0))
		return sk_fail(err, SK_EINVAL, "%s: %s is too large, the limit is %.15g", where, text, row->max);
	return SK_OK;
}

/* Strings of a fixed form are checked here, where the message can still name the place they came from. */
static sk_status string_check(const struct row *row, const char *where, const char *text, struct sk_err *err)
{
	struct sk_err inner;

	if (row->cmd)
		return SK_OK;
	if (strcmp(row->flag, "log-level") == 0 && sk_log_level_find(text) < 0)
		return sk_fail(err, SK_EINVAL, "%s: \"%s\" is no level: error, warn, info or debug", where, text);
	if (strcmp(row->flag, "fair-share") == 0 && !sk_share_kind_ok(text))
		return sk_fail(err, SK_EINVAL, "%s: \"%s\" is none of off, address, user and key", where, text);
	if (strcmp(row->flag, "fair-share-weights") == 0 && sk_share_weights_check(text, &inner) < 0)
		return sk_fail(err, SK_EINVAL, "%s: %s", where, inner.text);
	if (strcmp(row->flag, "socket-mode") == 0 && (strspn(text, "01234567") != strlen(text) ||
						      strlen(text) < 3 || strlen(text) > 4 || strtol(text, NULL, 8) > 0777))
		return sk_fail(err, SK_EINVAL, "%s: \"%s\" is no mode: octal, 000 to 0777", where, text);
	if (strcmp(row->flag, "compat") == 0 && !sk_dialect_find(text))
		return sk_fail(err, SK_EINVAL, "%s: \"%s\" is no dialect: saker, tgi-3 or tgi-0.9.3", where, text);
	if (strcmp(row->flag, "path-prefix") == 0 && *text &&
	    (*text != '/' || text[strlen(text) - 1] == '/' || strpbrk(text, "?#% \t")))
		return sk_fail(err, SK_EINVAL, "%s: \"%s\" is no prefix of paths: it begins with a slash, does not end with one, "
			       "and holds no blank and none of ? # %%", where, text);
	return SK_OK;
}

/* A user's number, from digits or from the system's list of users. */
static bool uid_read(const char *word, uint64_t *ret_uid)
{
	const struct passwd *user;

	if (isdigit((unsigned char)*word))
		return u64_read(word, false, ret_uid) == SK_OK && *ret_uid < (uid_t)-1;
	user = getpwnam(word);
	*ret_uid = user ? user->pw_uid : 0;
	return user;
}

/* allow-uid as numbers alone: whoever compares a peer with it asks nobody for names. */
static sk_status uids_settle(const char *where, const char **text, struct sk_arena *strings, struct sk_err *err)
{
	const char *at = *text;
	char word[64], *out;
	size_t used = 0, size = 11 * (strlen(at) + 1);  /* ten digits and a comma for each */

	if (!*at)
		return SK_OK;
	out = sk_arena_take(strings, size);
	if (!out)
		return sk_fail(err, SK_ENOMEM, "%s: out of memory", where);
	for (;;) {
		size_t len = strcspn(at, ",");
		uint64_t uid;

		snprintf(word, sizeof(word), "%.*s", (int)len, at);
		if (!len || len >= sizeof(word) || !uid_read(word, &uid))
			return sk_fail(err, SK_EINVAL, "%s: \"%s\" is neither a user id (0 to 4294967294) nor a user of this machine; "
				       "wanted: several of them with commas between", where, word);
		used += (size_t)snprintf(out + used, size - used, "%s%" PRIu64, used ? "," : "", uid);
		at += len;
		if (!*at++)
			break;
	}
	*text = out;
	return SK_OK;
}

/* A setting of another server. "false" asks for nothing, and is what many set everywhere. */
static sk_status foreign_set(struct target *t, const struct row *row, const char *where, const char *text, struct sk_err *err)
{
	size_t i = (size_t)(row - rows);
	bool yes = true;

	if (!*row->arg && bool_read(text, &yes) < 0)
		return sk_fail(err, SK_EINVAL, "%s: \"%s\" is neither true nor false", where, text);
	if (yes && row->refused)
		return sk_fail(err, SK_ENOTSUP, "%s: not supported: %s", where, row->help);
	if (yes)
		t->foreign[i / 64] |= UINT64_C(1) << i % 64;
	return SK_OK;
}

static sk_status value_set(struct target *t, const struct row *row, const char *where, const char *text,
			   struct sk_err *err)
{
	char *to = row->cmd ? (char *)t->f + row->offset : (char *)t->o + row->offset;
	const char *digits = text;
	uint64_t u;
	double num;
	char *end;
	bool yes;
	sk_status st;

	switch (row->type) {
	case TYPE_FOREIGN:
		return foreign_set(t, row, where, text, err);
	case TYPE_STR:
		st = string_check(row, where, text, err);
		if (st == SK_OK && !row->cmd && strcmp(row->flag, "allow-uid") == 0)
			st = uids_settle(where, &text, t->strings, err);
		if (st == SK_OK)
			memcpy(to, &text, sizeof(text));
		return st;
	case TYPE_BOOL:
		if (bool_read(text, &yes) < 0)
			return sk_fail(err, SK_EINVAL, "%s: \"%s\" is neither true nor false", where, text);
		memcpy(to, &yes, sizeof(yes));
		return SK_OK;
	case TYPE_NUM:
		errno = 0;
		num = strtod(text, &end);
		if (end == text || *end || !isfinite(num))
			return sk_fail(err, SK_EINVAL, "%s: \"%s\" is no number", where, text);
		st = limits_check(row, where, text, num, err);
		if (st == SK_OK)
			memcpy(to, &num, sizeof(num));
		return st;
	case TYPE_U64:
	case TYPE_INT:
		break;
	}
	if (row->type == TYPE_INT && *digits == '-')
		digits++;
	st = u64_read(digits, row->type == TYPE_U64, &u);
	if (st == SK_EINVAL)
		return sk_fail(err, SK_EINVAL, "%s: \"%s\" is no number%s", where, text,
			       row->type == TYPE_U64 ? " (digits, then K, M, G or T if you like)" : "");
	if (st == SK_ETOOBIG || (row->type == TYPE_INT && u > INT64_MAX))
		return sk_fail(err, SK_EINVAL, "%s: %s is too large, the limit is %" PRIu64, where, text,
			       row->max != 0 ? (uint64_t)row->max : UINT64_MAX);
	st = limits_check(row, where, text, digits == text ? (double)u : -(double)u, err);
	if (st < 0)
		return st;
	if (row->type == TYPE_INT)
		memcpy(to, &(int64_t){ digits == text ? (int64_t)u : -(int64_t)u }, sizeof(int64_t));
	else
		memcpy(to, &u, sizeof(u));
	return SK_OK;
}

static bool row_fits(const struct row *row, const struct target *t)
{
	return !row->cmd || (t->cmd && strcmp(row->cmd, t->cmd) == 0);
}

/* ---- the four places ---------------------------------------------------------------------------------------- */

static struct { const char *flag, *def; } presets[4];
static size_t presets_len;

void sk_options_preset(const char *flag, const char *def)
{
	if (SK_BUG_IF(presets_len == sizeof(presets) / sizeof(presets[0])))
		return;
	presets[presets_len].flag = flag;
	presets[presets_len++].def = def;
}

static const char *default_of(const struct row *row)
{
	for (size_t i = 0; i < presets_len; i++)
		if (strcmp(presets[i].flag, row->flag) == 0)
			return presets[i].def;
	return row->def;
}

static sk_status defaults_read(struct target *t, struct sk_err *err)
{
	for (size_t i = 0; i < ROWS; i++) {
		const struct row *row = &rows[i];
		sk_status st;

		if ((row->cmd && !t->f) || row->type == TYPE_FOREIGN)
			continue;
		st = value_set(t, row, row->flag, default_of(row), err);
		if (st < 0 && default_of(row) != row->def)
			return st;
		if (SK_BUG_IF(st < 0))
			return st;
	}
	return SK_OK;
}

/* "max-total-tokens" -> "max_total_tokens", or "SAKER_MAX_TOTAL_TOKENS" */
static void flag_spell(char *out, size_t size, const char *prefix, const char *flag, bool upper)
{
	size_t len = (size_t)snprintf(out, size, "%s%s", prefix, flag);

	for (size_t i = strlen(prefix); i < len && i < size - 1; i++)
		out[i] = out[i] == '-' ? '_' : upper ? (char)toupper((unsigned char)out[i]) : out[i];
}

static sk_status conf_set(void *user, const char *key, const char *value, int line, struct sk_err *err)
{
	struct target *t = user;
	char where[256], spelled[64];

	for (size_t i = 0; i < ROWS; i++) {
		const char *kept = value;

		if (rows[i].cmd || strcmp(rows[i].flag, "conf") == 0)
			continue;
		flag_spell(spelled, sizeof(spelled), "", rows[i].flag, false);
		if (strcmp(spelled, key) != 0)
			continue;
		if (t->in_conf[i / 64] >> i % 64 & 1)
			return sk_fail(err, SK_EINVAL, "%s:%d: %s is set a second time", t->conf_path, line, key);
		t->in_conf[i / 64] |= UINT64_C(1) << i % 64;
		snprintf(where, sizeof(where), "%s:%d: %s", t->conf_path, line, key);
		if (rows[i].type == TYPE_STR)
			kept = sk_arena_strndup(t->strings, value, strlen(value));
		if (!kept)
			return sk_fail(err, SK_ENOMEM, "%s: out of memory", where);
		return value_set(t, &rows[i], where, kept, err);
	}
	return sk_fail(err, SK_EINVAL, "%s:%d: unknown setting \"%s\"", t->conf_path, line, key);
}

/* SAKER_<FLAG> first, as it can mean nothing else; then the names of other servers. Empty is unset. */
static const char *env_find(const struct row *row, char *ret_name, size_t size)
{
	const char *name = row->env, *value;

	flag_spell(ret_name, size, "SAKER_", row->flag, true);
	value = getenv(ret_name);
	while ((!value || !*value) && *name) {
		size_t len = strcspn(name, " ");

		snprintf(ret_name, size, "%.*s", (int)len, name);
		value = getenv(ret_name);
		name += len;
		name += strspn(name, " ");
	}
	return value && *value ? value : NULL;
}

static sk_status env_read(struct target *t, struct sk_err *err)
{
	char name[64];

	for (size_t i = 0; i < ROWS; i++) {
		const char *value = rows[i].cmd ? NULL : env_find(&rows[i], name, sizeof(name));
		sk_status st = value ? value_set(t, &rows[i], name, value, err) : SK_OK;

		if (st < 0)
			return st;
	}
	return SK_OK;
}

/* Whether a flag is one of a row's environment names, as other servers spell it: --model-id is MODEL_ID. */
static bool flag_is_env(const struct row *row, const char *name, size_t len)
{
	const char *env = row->env;

	for (size_t words = strcspn(env, " "); *env; env += words, env += strspn(env, " "), words = strcspn(env, " ")) {
		size_t i = 0;

		while (i < len && i < words && (name[i] == '-' ? '_' : toupper((unsigned char)name[i])) == env[i])
			i++;
		if (i == len && i == words && islower((unsigned char)*name))
			return true;
	}
	return false;
}

static const struct row *flag_find(const struct target *t, const char *name, size_t len)
{
	for (size_t i = 0; i < ROWS; i++)
		if (row_fits(&rows[i], t) && strlen(rows[i].flag) == len && memcmp(rows[i].flag, name, len) == 0)
			return &rows[i];
	for (size_t i = 0; i < ROWS; i++)
		if (row_fits(&rows[i], t) && flag_is_env(&rows[i], name, len))
			return &rows[i];
	return NULL;
}

static sk_status argv_read(struct target *t, int *argc, char **argv, struct sk_err *err)
{
	int words = 1;

	for (int i = 1; i < *argc; i++) {
		const char *word = argv[i], *value;
		const struct row *row;
		char where[80];
		size_t len;
		sk_status st;

		if (strcmp(word, "--") == 0) {
			while (++i < *argc)
				argv[words++] = argv[i];
			break;
		}
		if (word[0] != '-' || word[1] == '\0') {        /* "-" alone is a word: standard input */
			argv[words++] = argv[i];
			continue;
		}
		len = word[1] == '-' ? strcspn(word + 2, "=") : 0;
		row = len ? flag_find(t, word + 2, len) : NULL;
		if (!row)
			return sk_fail(err, SK_EINVAL, "unknown flag %.*s (see --help; words that begin with '-' go after --)",
				       (int)strcspn(word, "="), word);
		snprintf(where, sizeof(where), "--%s", row->flag);
		if (word[2 + len] == '=')
			value = word + 2 + len + 1;
		else if (row->type == TYPE_BOOL || (row->type == TYPE_FOREIGN && !*row->arg))
			value = "true";
		else if (++i < *argc)
			value = argv[i];
		else
			return sk_fail(err, SK_EINVAL, "%s: its %s is missing", where, row->arg);
		st = value_set(t, row, where, value, err);
		if (st < 0)
			return st;
	}
	*argc = words;
	argv[words] = NULL;
	return SK_OK;
}

/* --conf decides what is read before the rest of argv may overwrite it, so it is looked up alone. */
static const char *conf_find(const struct target *t, int argc, char **argv)
{
	const char *path = getenv("SAKER_CONF");

	for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++) {
		const struct row *row;
		size_t len;

		if (strncmp(argv[i], "--", 2) != 0)
			continue;
		len = strcspn(argv[i] + 2, "=");
		row = flag_find(t, argv[i] + 2, len);
		if (row && !row->cmd && strcmp(row->flag, "conf") == 0)
			path = argv[i][2 + len] == '=' ? argv[i] + 2 + len + 1 : i + 1 < argc ? argv[i + 1] : path;
		if (row && row->type != TYPE_BOOL && argv[i][2 + len] != '=')
			i++;
	}
	return path && *path ? path : NULL;
}

static sk_status target_read(struct target *t, int *argc, char **argv, struct sk_err *err)
{
	const char *path = conf_find(t, *argc, argv);
	sk_status st = defaults_read(t, err);

	if (st < 0)
		return st;
	t->conf_path = path ? path : CONF_DEFAULT;
	if (path || access(CONF_DEFAULT, F_OK) == 0)
		st = sk_conf_read(t->conf_path, conf_set, t, err);
	if (st < 0)
		return st;
	st = env_read(t, err);
	if (st == SK_OK)
		st = argv_read(t, argc, argv, err);
	if (st == SK_OK)
		st = sk_settings_settle(t->o, t->strings, err);
	return st;
}

sk_status sk_options_read(struct sk_options *ret_o, int *argc, char **argv, struct sk_err *err)
{
	struct sk_options o;
	struct target t = { .o = &o, .strings = &conf_strings };
	sk_status st;

	memset(&o, 0, sizeof(o));
	st = target_read(&t, argc, argv, err);
	if (st == SK_OK)
		*ret_o = o;
	return st;
}

static void foreign_tell(const struct target *t)
{
	for (size_t i = 0; i < ROWS; i++)
		if (t->foreign[i / 64] >> i % 64 & 1)
			sk_log(SK_LOG_INFO, "%s is accepted and has no meaning here: %s", rows[i].flag, rows[i].help);
}

sk_status sk_command_read(const char *cmd, struct sk_options *ret_o, struct sk_flags *ret_f, int *argc, char **argv,
			  struct sk_err *err)
{
	struct sk_options o;
	struct sk_flags f;
	struct target t = { .cmd = cmd, .o = &o, .f = &f, .strings = &conf_strings };
	sk_status st;

	memset(&o, 0, sizeof(o));
	memset(&f, 0, sizeof(f));
	st = target_read(&t, argc, argv, err);
	if (st < 0)
		return st;
	sk_log_init((enum sk_log_level)sk_log_level_find(o.log_level), o.json_output);
	foreign_tell(&t);
	*ret_o = o;
	*ret_f = f;
	return SK_OK;
}

static bool value_same(const struct row *row, const char *a, const char *b)
{
	static const size_t sizes[] = { [TYPE_STR] = sizeof(char *), [TYPE_INT] = sizeof(int64_t), [TYPE_U64] = sizeof(uint64_t),
					[TYPE_BOOL] = sizeof(bool), [TYPE_NUM] = sizeof(double) };
	const char *s, *t;

	if (row->type != TYPE_STR)
		return memcmp(a + row->offset, b + row->offset, sizes[row->type]) == 0;
	memcpy(&s, a + row->offset, sizeof(s));
	memcpy(&t, b + row->offset, sizeof(t));
	return strcmp(s, t) == 0;
}

sk_status sk_options_reread(const char *cmd, int argc, char *const *argv, const struct sk_options *old,
			    struct sk_arena *strings, struct sk_options *ret_o, struct sk_err *err)
{
	struct sk_options o = { 0 };
	struct sk_flags f = { 0 };
	struct target t = { .cmd = cmd, .o = &o, .f = &f, .strings = strings };
	char **words = sk_arena_take(strings, ((size_t)argc + 1) * sizeof(*words));
	sk_status st;

	if (!words)
		return sk_fail(err, SK_ENOMEM, "no memory for %d words", argc);
	/* Reading takes the flags out of it. */
	memcpy(words, argv, ((size_t)argc + 1) * sizeof(*words));
	st = target_read(&t, &argc, words, err);
	if (st < 0)
		return st;
	*ret_o = *old;
	for (size_t i = 0; i < ROWS; i++) {
		const struct row *row = &rows[i];

		if (row->cmd || row->type == TYPE_FOREIGN || value_same(row, (const char *)&o, (const char *)old))
			continue;
		sk_log(row->live ? SK_LOG_INFO : SK_LOG_WARN, row->live ? "%s was changed" : "%s was changed: it needs a restart",
		       row->flag);
	}
	/* A live string moves although it says the same: the old one goes with its arena. */
#define SK_OPT(field, type, flag, env, def, min, max, arg, help)
#define SK_OPT_LIVE(field, type, flag, env, def, min, max, arg, help) ret_o->field = o.field;
#include "fcgi/options.def"
#undef SK_OPT_LIVE
#undef SK_OPT
	return SK_OK;
}

void sk_options_engine(const struct sk_options *o, struct sk_engine_opts *ret_e)
{
	*ret_e = (struct sk_engine_opts){
		.model = o->model,
		.model_id = o->model_name,
		.chat_template = o->chat_template,
		.tokenizer_config = o->tokenizer_config_path,
		.backend = o->device,
		.dtype = o->dtype,
		.kv_dtype = strcmp(o->kv_cache_dtype, "auto") == 0 ? NULL : o->kv_cache_dtype,
		.threads = (int)o->threads,
		.input_tokens_max = (uint32_t)o->max_input_tokens,
		.total_tokens_max = (uint32_t)o->max_total_tokens,
		.batch_prefill_tokens = (uint32_t)o->max_batch_prefill_tokens,
		.sequences_max = (uint32_t)o->max_batch_size,
		.kv_bytes = o->kv_memory,
		.device_timeout_ms = (uint32_t)o->device_timeout_ms,
		.memory_fraction = o->cuda_memory_fraction,
		.kv_tokens = (uint64_t)o->max_batch_total_tokens,
		.top_n_max = (uint32_t)o->max_top_n_tokens,
		.look_ahead = (int)o->look_ahead,
		.cpu_isa = o->cpu_isa,
		.no_step_down = o->no_step_down,
		.watermark = { .gamma = o->watermark_gamma, .delta = o->watermark_delta, .key_file = o->watermark_key_file },
	};
}

/* ---- help --------------------------------------------------------------------------------------------------- */

static void row_help(const struct row *row, FILE *to)
{
	char left[64];

	snprintf(left, sizeof(left), "--%s%s%s", row->flag, *row->arg ? " " : "", row->arg);
	fprintf(to, "  %-36s%s%s", left, strlen(left) > 35 ? "\n                                      " : "", row->help);
	if (*row->def && strcmp(row->def, "false") != 0)
		fprintf(to, " [%s]", row->def);
	if (*row->env)
		fprintf(to, " (also %s)", row->env);
	fputc('\n', to);
}

void sk_options_help(FILE *to)
{
	fprintf(to, "Settings, in [] the default. Each is also an environment variable (SAKER_THREADS for --threads) and a\n"
		"line in the configuration file (threads = 2); the command line wins over the environment over the file.\n");
	for (size_t i = 0; i < ROWS; i++)
		if (!rows[i].cmd && rows[i].type != TYPE_FOREIGN)
			row_help(&rows[i], to);
	fprintf(to, "\nSettings of text-generation-inference that are accepted and have no meaning here:");
	for (size_t i = 0; i < ROWS; i++)
		if (rows[i].type == TYPE_FOREIGN && !rows[i].refused)
			fprintf(to, " %s", rows[i].flag);
	fputc('\n', to);
}

void sk_command_help(const char *cmd, FILE *to)
{
	bool any = false;

	for (const struct command *c = commands; c->name; c++)
		if (strcmp(c->name, cmd) == 0)
			fprintf(to, "usage: saker %s [FLAGS]%s%s\n\n%s\n\n", c->name, *c->words ? " " : "", c->words, c->help);
	for (size_t i = 0; i < ROWS; i++)
		if (rows[i].cmd && strcmp(rows[i].cmd, cmd) == 0) {
			if (!any)
				fprintf(to, "Flags of this command:\n");
			any = true;
			row_help(&rows[i], to);
		}
	if (any)
		fputc('\n', to);
	sk_options_help(to);
}

int sk_exit_code(sk_status status)
{
	static const struct { sk_status status; int code; } exits[] = {
#define SK_EXIT(status, code, words) { status, code },
#include "fcgi/exits.def"
#undef SK_EXIT
	};

	for (size_t i = 0; i < sizeof(exits) / sizeof(exits[0]); i++)
		if (exits[i].status == status)
			return exits[i].code;
	return 1;
}

int sk_exit(const char *cmd, sk_status status, const struct sk_err *err)
{
	if (status != SK_OK)
		fprintf(stderr, "saker %s: %s\n", cmd, err && *err->text ? err->text : sk_status_words(status));
	return sk_exit_code(status);
}
